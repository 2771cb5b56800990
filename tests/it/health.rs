//! What operators and other clients look at: health, reflection, gRPC-Web and the admin address.

use std::sync::mpsc;

use prost::Message as _;
use ticket_triage::pb;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::{TestServer, http, in_time, request, serving, ticket, vpn_ticket};

const SERVICES: [&str; 8] = [
    "",
    "triage.v1.TriageService",
    "triage.v1.KnowledgeService",
    "triage.v1.MemoryService",
    "triage.v1.TaxonomyService",
    "triage.v1.ModelService",
    "triage.v1.FeedbackService",
    "triage.v1.JobService",
];

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn states(server: &TestServer) -> Vec<ServingStatus> {
    let mut client = HealthClient::new(server.channel().await);
    let mut states = Vec::new();
    for service in SERVICES {
        states.push(client.check(health_of(service)).await.unwrap().into_inner().status());
    }
    states
}

#[tokio::test]
async fn health_and_readiness_wait_for_model_and_index() {
    let (go, wait) = mpsc::channel::<()>();
    let (server, ready) = TestServer::launch("", None, move || wait.recv().unwrap()).await;
    let mut watch = HealthClient::new(server.channel().await).watch(health_of("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(states(&server).await, [ServingStatus::NotServing; SERVICES.len()]);
    assert_eq!(server.admin("/readyz").await, (503, "not ready\n".to_owned()));
    assert_eq!(server.admin("/livez").await, (200, "ok\n".to_owned()));

    go.send(()).unwrap();
    in_time(ready).await.unwrap();
    assert_eq!(in_time(watch.message()).await.unwrap().unwrap().status(), serving());
    assert_eq!(states(&server).await, [serving(); SERVICES.len()]);
    assert_eq!(server.admin("/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.admin("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(server.admin("/nowhere").await.0, 404);

    let unknown = HealthClient::new(server.channel().await).check(health_of("triage.v1.Nope")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn those_who_watch_health_are_told_of_the_drain_and_hold_nothing_up() {
    let server = TestServer::start().await;
    let mut watches = Vec::new();
    for service in SERVICES {
        let mut watch = HealthClient::new(server.channel().await).watch(health_of(service)).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), serving());
        watches.push(watch);
    }
    let served = server.begin_shutdown();
    for mut watch in watches {
        assert_eq!(in_time(watch.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(in_time(watch.message()).await.unwrap(), None);
    }
    in_time(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_stopped_while_it_loads_ends_well() {
    let (go, wait) = mpsc::channel::<()>();
    let (server, ready) = TestServer::launch("", None, move || wait.recv().unwrap_or(())).await;
    let served = server.begin_shutdown();
    in_time(served).await.unwrap().unwrap();
    drop((go, ready));
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let server = TestServer::start().await;
    let check = |mut names: Vec<String>| {
        names.retain(|name| name.starts_with("triage.") || name == "grpc.health.v1.Health");
        names.sort_unstable();
        let ours = [
            "FeedbackService",
            "JobService",
            "KnowledgeService",
            "MemoryService",
            "ModelService",
            "TaxonomyService",
            "TriageService",
        ]
        .map(|name| format!("triage.v1.{name}"));
        assert_eq!((names[0].as_str(), &names[1..]), ("grpc.health.v1.Health", &ours[..]));
    };

    let mut client = v1::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut answers = client.server_reflection_info(tokio_stream::iter([asked])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    check(list.service.into_iter().map(|service| service.name).collect());

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel().await);
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut answers = client.server_reflection_info(tokio_stream::iter([asked])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    check(list.service.into_iter().map(|service| service.name).collect());
    server.stop().await;
}

/// One gRPC-Web call over HTTP/1.1: head, messages and trailers of the answer.
async fn web_call(server: &TestServer, message: &impl prost::Message) -> (String, Vec<Vec<u8>>, String) {
    let message = message.encode_to_vec();
    let size = u32::try_from(message.len()).unwrap();
    let head = format!(
        "POST /triage.v1.TriageService/TriageTicket HTTP/1.1\r\nHost: {}\r\nContent-Type: application/grpc-web+proto\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        server.address,
        message.len() + 5
    );
    let bytes = [head.as_bytes(), &[0], &size.to_be_bytes(), &message].concat();
    let (code, head, body) = http(server.address.to_string(), bytes).await;
    assert_eq!(code, 200);
    let (mut messages, mut trailers, mut rest) = (Vec::new(), String::new(), body.as_slice());
    while let Some((frame, behind)) = rest.split_first_chunk::<5>() {
        let [kind, size @ ..] = *frame;
        let (content, behind) = behind.split_at(u32::from_be_bytes(size) as usize);
        if kind & 0x80 == 0 {
            messages.push(content.to_vec());
        } else {
            trailers.push_str(std::str::from_utf8(content).unwrap());
        }
        rest = behind;
    }
    (head, messages, trailers)
}

#[tokio::test]
async fn a_browser_reaches_the_service_over_http_1() {
    let server = TestServer::start().await;
    let (head, messages, trailers) = web_call(&server, &request(vpn_ticket("W"))).await;
    assert!(head.contains("content-type: application/grpc-web+proto"), "{head}");
    assert!(trailers.contains("grpc-status:0"), "{trailers:?}");
    let [message] = messages.try_into().unwrap();
    let answer = pb::TriageTicketResponse::decode(message.as_slice()).unwrap();
    assert_eq!(answer.decision.unwrap().ticket_id, "W");

    let (head, messages, trailers) = web_call(&server, &request(ticket("", ""))).await;
    let told = format!("{}\n{trailers}", head.replace(": ", ":"));
    assert!(told.contains("grpc-status:3") && told.contains("grpc-status-details-bin:"), "{told}");
    assert!(messages.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn metrics_count_calls_by_method_and_code_and_time_every_stage() {
    let server = TestServer::start().await;
    let mut client = server.triage().await;
    client.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    client.triage_ticket(request(ticket("xylophone", "quetzalcoatl"))).await.unwrap();
    client.triage_ticket(request(ticket("", ""))).await.unwrap_err();
    let (code, metrics) = server.admin("/metrics").await;
    assert_eq!(code, 200);
    let calls = |code: &str| {
        let series = metrics.lines().find(|line| {
            line.starts_with("triage_calls_total{")
                && line.contains("method=\"TriageTicket\"")
                && line.contains(&format!("code=\"{code}\""))
        });
        let series = series.unwrap_or_else(|| panic!("no call with {code} in\n{metrics}"));
        series.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    // Other tests of this process count as well.
    assert!(calls("OK") >= 2 && calls("INVALID_ARGUMENT") >= 1);
    for stage in ["queue", "classify", "explain", "articles", "similar", "total"] {
        assert!(metrics.contains(&format!("triage_stage_seconds_count{{stage=\"{stage}\"}}")), "{stage}\n{metrics}");
    }
    for gauge in ["triage_calls_in_flight", "triage_connections", "triage_articles", "triage_confirmed_tickets"] {
        assert!(metrics.lines().any(|line| line.starts_with(gauge)), "{gauge}\n{metrics}");
    }
    assert!(metrics.contains("triage_model_info{version=\"default-1+"), "{metrics}");
    for private in ["xylophone", "quetzalcoatl"] {
        assert!(!metrics.contains(private), "ticket text in the metrics");
    }
    server.stop().await;
}
