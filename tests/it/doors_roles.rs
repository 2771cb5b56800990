//! Every role and every method, as the list of methods has it.

use ticket_triage::access::{
    methods::{METHODS, Method},
    role::Role,
};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use crate::{
    doors::Tokens,
    harness::{TestServer, in_time},
};

/// Calls a method with an empty message, whatever it is.
async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter([()]));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let path = PathAndQuery::try_from(format!("/{path}")).unwrap();
    let mut answers = client.streaming(request, path, ProstCodec::<(), ()>::default()).await?.into_inner();
    answers.message().await.map(drop)
}

/// The reason of a refusal at the door; none for any other end of a call.
fn refusal(outcome: &Result<(), Status>) -> Option<String> {
    let reason = outcome.as_ref().err()?.get_details_error_info()?.reason;
    ["UNAUTHENTICATED", "PERMISSION_DENIED"].contains(&reason.as_str()).then_some(reason)
}

#[tokio::test]
async fn every_role_may_call_its_methods_and_no_others() {
    let tokens = Tokens::new();
    let by_role = Role::ALL.map(|role| (role, tokens.add(role.as_str(), role, "")));
    let server = TestServer::start_with(&tokens.configuration()).await;
    let channel = server.channel().await;
    for method @ Method { path, .. } in METHODS {
        let strange = in_time(call(&channel, path, None)).await;
        assert_eq!(refusal(&strange).as_deref(), Some("UNAUTHENTICATED"), "{path}");
        for (role, token) in &by_role {
            let outcome = in_time(call(&channel, path, Some(token))).await;
            let expected = (!method.allows(*role)).then_some("PERMISSION_DENIED");
            assert_eq!(refusal(&outcome).as_deref(), expected, "{role} calls {path}: {outcome:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_method_is_for_nobody() {
    let tokens = Tokens::new();
    let admin = tokens.add("admin", Role::Admin, "");
    let server = TestServer::start_with(&tokens.configuration()).await;
    let channel = server.channel().await;
    for path in [
        "triage.v1.TriageService/Nothing",
        "triage.v1.triageservice/TriageTicket",
        "triage.v1.TriageService/TriageTicket/",
        "triage.v1.TriageService//TriageTicket",
        "x/../triage.v1.TriageService/TriageTicket",
        "triage.v1.TriageService/%54riageTicket",
        "grpc.health.v1.HealthX/Check",
        "",
    ] {
        assert_eq!(refusal(&call(&channel, path, None).await).as_deref(), Some("UNAUTHENTICATED"), "{path}");
        assert_eq!(refusal(&call(&channel, path, Some(&admin)).await).as_deref(), Some("PERMISSION_DENIED"), "{path}");
    }
    server.stop().await;

    let open = TestServer::start().await;
    let status = call(&open.channel().await, "triage.v1.TriageService/Nothing", None).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    open.stop().await;
}

const REFLECTION: [&str; 2] = [
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

#[tokio::test]
async fn reflection_needs_a_credential_and_can_be_off() {
    let tokens = Tokens::new();
    let bot = tokens.add("bot", Role::Chatbot, "");
    let server = TestServer::start_with(&tokens.configuration()).await;
    let channel = server.channel().await;
    for path in REFLECTION {
        assert_eq!(refusal(&call(&channel, path, None).await).as_deref(), Some("UNAUTHENTICATED"));
        assert_eq!(refusal(&call(&channel, path, Some(&bot)).await), None);
    }
    server.stop().await;

    let server = TestServer::start_with("[server]\nreflection = false\n").await;
    for path in REFLECTION {
        let status = call(&server.channel().await, path, None).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    server.stop().await;
}

#[test]
fn the_page_on_security_lists_the_methods_as_they_are() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/SECURITY.md")).unwrap();
    let rows = METHODS.iter().map(|method| {
        let path = method.path.strip_prefix("triage.v1.").unwrap();
        let marks = Role::ALL.map(|role| if method.allows(role) { "✓" } else { " " });
        format!("| `{path}` | {} |", marks.join(" | "))
    });
    let listed = page.lines().filter(|line| line.starts_with("| `") && line.contains("Service/"));
    assert_eq!(listed.collect::<Vec<_>>(), rows.collect::<Vec<_>>());
}
