//! What callers get wrong: each answered with a code, a reason, and the field to mend.

use std::sync::mpsc;

use prost::Message as _;
use ticket_triage::pb::{self, triage_service_client::TriageServiceClient};
use tokio::net::TcpStream;
use tonic::{Code, Status, codec::CompressionEncoding, transport::Endpoint};
use tonic_types::StatusExt as _;

use crate::{
    harness::{
        TestServer, article, frame, http, in_time, item_status, names_a_retry, reason, request, ticket, upsert,
        violated_fields, vpn_ticket, with_form,
    },
    raw,
};

/// What a unary call of this ticket is refused with.
async fn refusal(server: &TestServer, request: pb::TriageTicketRequest) -> Status {
    server.triage().await.triage_ticket(request).await.unwrap_err()
}

#[track_caller]
fn check_invalid(status: &Status, fields: &[&str]) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"), "{status:?}");
    assert_eq!(violated_fields(status), fields);
}

#[tokio::test]
async fn a_blank_ticket_is_refused_and_the_field_named() {
    let server = TestServer::start().await;
    for blank in [ticket("", ""), ticket("   ", "\n\t ")] {
        check_invalid(&refusal(&server, request(blank)).await, &["ticket.summary"]);
    }
    let without = pb::TriageTicketRequest { ticket: None, features: Vec::new(), top_n: None };
    check_invalid(&refusal(&server, without).await, &["ticket"]);
    let suggest = pb::SuggestArticlesRequest { ticket: Some(ticket("", "")), top_n: Some(0) };
    let status = server.knowledge().await.suggest_articles(suggest).await.unwrap_err();
    check_invalid(&status, &["ticket.summary", "top_n"]);
    server.stop().await;
}

#[tokio::test]
async fn all_violations_come_at_once() {
    let server = TestServer::start().await;
    let attributes = [("note".to_owned(), "y".repeat(1_025))].into();
    let ticket = pb::Ticket { id: "x".repeat(257), attributes, ..ticket("", "") };
    let request = pb::TriageTicketRequest { ticket: Some(ticket), features: vec![99], top_n: Some(11) };
    let status = refusal(&server, request).await;
    check_invalid(&status, &["ticket.summary", "ticket.id", "ticket.attributes[note]", "features[0]", "top_n"]);
    for field in violated_fields(&status) {
        assert!(status.message().contains(&field), "{field} is missing in {}", status.message());
    }
    server.stop().await;
}

#[tokio::test]
async fn the_limits_of_a_ticket_hold_from_both_sides() {
    let server = TestServer::start().await;
    let mut client = server.triage().await;
    for accepted in [ticket(&"ü".repeat(1_024), ""), ticket("vpn", &"x ".repeat((64 << 10) / 2 - 2))] {
        client.triage_ticket(request(accepted)).await.unwrap();
    }
    for (refused, field) in [
        (ticket(&"ü".repeat(1_025), ""), "ticket.summary"),
        (ticket("vpn", &"x".repeat((64 << 10) - 2)), "ticket.description"),
        (pb::Ticket { requester: "é".repeat(257), ..vpn_ticket("1") }, "ticket.requester"),
        (pb::Ticket { service: "é".repeat(257), ..vpn_ticket("1") }, "ticket.service"),
        (pb::Ticket { configuration_item: "é".repeat(257), ..vpn_ticket("1") }, "ticket.configuration_item"),
    ] {
        check_invalid(&refusal(&server, request(refused)).await, &[field]);
    }
    let attributes = (0..65).map(|number| (number.to_string(), String::new())).collect();
    let crowded = pb::Ticket { attributes, ..vpn_ticket("1") };
    check_invalid(&refusal(&server, request(crowded)).await, &["ticket.attributes"]);
    server.stop().await;
}

#[tokio::test]
async fn numbers_outside_their_range_and_unknown_enum_numbers_are_named() {
    let server = TestServer::start().await;
    for (features, top_n, fields) in [
        (vec![pb::Feature::Fields.into(), 5], None, vec!["features[1]"]),
        (vec![0], None, vec!["features[0]"]),
        (vec![-1], Some(0), vec!["features[0]", "top_n"]),
        (Vec::new(), Some(0), vec!["top_n"]),
        (Vec::new(), Some(11), vec!["top_n"]),
        (Vec::new(), Some(u32::MAX), vec!["top_n"]),
    ] {
        let request = pb::TriageTicketRequest { ticket: Some(vpn_ticket("1")), features, top_n };
        check_invalid(&refusal(&server, request).await, &fields);
    }
    for top_n in [1, 10] {
        let request = pb::TriageTicketRequest { top_n: Some(top_n), ..request(vpn_ticket("1")) };
        server.triage().await.triage_ticket(request).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn form_values_that_no_ticket_can_have_are_named() {
    let server = TestServer::start().await;
    for (field, value, help) in [
        ("colour", "red", "category"),
        ("impact", "grave", "high, medium or low"),
        ("urgency", "HIGH", "high, medium or low"),
        ("priority", "P6", "P1 to P5"),
        ("priority", "1", "P1 to P5"),
    ] {
        let status = refusal(&server, request(with_form(vpn_ticket("1"), &[(field, value)]))).await;
        check_invalid(&status, &[&format!("ticket.field_values[{field}]")]);
        assert!(status.message().contains(help), "{}", status.message());
    }
    let both = with_form(vpn_ticket("1"), &[("impact", "1"), ("urgency", "2")]);
    check_invalid(
        &refusal(&server, request(both)).await,
        &["ticket.field_values[impact]", "ticket.field_values[urgency]"],
    );
    server.stop().await;
}

#[tokio::test]
async fn a_unary_message_over_1_mib_names_the_limit_and_a_batch_may_be_larger() {
    let server = TestServer::start().await;
    let status = refusal(&server, request(ticket("vpn", &"x".repeat(1 << 20)))).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "TOO_LARGE"));
    assert!(status.message().contains("limits.message_bytes"), "{}", status.message());

    let tickets = vec![ticket("vpn", &"drops ".repeat(1_400)); 200];
    let features = vec![pb::Feature::Fields.into()];
    let batch = pb::BatchTriageTicketsRequest { tickets, features, top_n: None };
    assert!((1 << 20..4 << 20).contains(&batch.encoded_len()));
    server.triage().await.batch_triage_tickets(batch).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_message_over_4_mib_is_too_large_plain_and_compressed() {
    let server = TestServer::start().await;
    let large = || ticket("vpn", &"x".repeat(5 << 20));
    for compressed in [false, true] {
        let mut client = server.triage().await;
        if compressed {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let batch = pb::BatchTriageTicketsRequest { tickets: vec![large()], features: Vec::new(), top_n: None };
        let frame = pb::StreamTriageRequest { ticket: Some(large()), features: Vec::new(), top_n: None };
        let mut stream = client.stream_triage(tokio_stream::iter([frame])).await.unwrap().into_inner();
        for status in [
            in_time(client.triage_ticket(request(large()))).await.unwrap_err(),
            in_time(client.batch_triage_tickets(batch)).await.unwrap_err(),
            in_time(stream.message()).await.unwrap_err(),
        ] {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "TOO_LARGE"), "{compressed}");
        }
    }
    let mut client = server.knowledge().await;
    let frames = [frame(vec![article("KB1", "kept", "")]), frame(vec![article("KB2", "x", &"x".repeat(5 << 20))])];
    let status = in_time(client.upsert_articles(tokio_stream::iter(frames))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "TOO_LARGE"));
    client
        .get_article(pb::GetArticleRequest { id: "KB1".to_owned(), version: None })
        .await
        .expect("the frame before was stored");
    server.stop().await;
}

#[tokio::test]
async fn a_compressed_message_within_the_limits_is_answered() {
    let server = TestServer::start().await;
    let mut client = server.triage().await.send_compressed(CompressionEncoding::Gzip);
    client.triage_ticket(request(ticket("vpn", &"drops ".repeat(1_000)))).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_of_the_type_are_the_callers_fault() {
    let server = TestServer::start().await;
    let cut_off = [0x0a, 0x7f, 0x01];
    let no_utf8 = [0x0a, 0x04, 0x12, 0x02, 0xff, 0xfe];
    let number_for_a_message = [0x08, 0x01];
    for bytes in [&cut_off[..], &no_utf8, &number_for_a_message] {
        let status = raw::call(&server.channel().await, "/triage.v1.TriageService/TriageTicket", bytes.to_vec())
            .await
            .unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"), "{status:?}");
        assert_eq!(violated_fields(&status).len(), 1);
    }
    let unknown_field = [vec![0xf8, 0x07, 0x01], request(vpn_ticket("1")).encode_to_vec()].concat();
    let known = pb::TriageTicketRequest::decode(unknown_field.as_slice()).unwrap();
    server.triage().await.triage_ticket(known).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_method_or_service_is_unimplemented() {
    let server = TestServer::start().await;
    for method in ["/triage.v1.TriageService/GuessTicket", "/triage.v2.TriageService/TriageTicket"] {
        let status = raw::call(&server.channel().await, method, Vec::new()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"), "{status:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_that_cannot_be_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let articles = (0..3).map(|n| article(&format!("KB{n}"), "Printer offline", "Switch it on.")).collect();
    upsert(&mut client, articles).await;
    let search = |query: &str, page_token: &str, page_size| pb::SearchArticlesRequest {
        query: query.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
        ..pb::SearchArticlesRequest::default()
    };
    let token = client.search_articles(search("printer", "", Some(1))).await.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    let with_kind = pb::SearchArticlesRequest { kinds: vec![2], ..search("printer", &token, None) };
    for (request, fields) in [
        (search("offline", &token, None), vec!["page_token"]),
        (with_kind, vec!["page_token"]),
        (search("printer", "next", None), vec!["page_token"]),
        (search("printer", "", Some(0)), vec!["page_size"]),
        (search("printer", "", Some(101)), vec!["page_size"]),
        (search("  ", "next", Some(0)), vec!["query", "page_size", "page_token"]),
        (search(&"x".repeat(1_025), "", None), vec!["query"]),
    ] {
        check_invalid(&client.search_articles(request).await.unwrap_err(), &fields);
    }
    let unknown = pb::SearchArticlesRequest { kinds: vec![1, 0, 9], statuses: vec![7], ..search("printer", "", None) };
    check_invalid(&client.search_articles(unknown).await.unwrap_err(), &["kinds[1]", "statuses[0]"]);

    for (page_size, page_token, fields) in [
        (Some(0), "", vec!["page_size"]),
        (Some(1_001), "", vec!["page_size"]),
        (None, "KB1", vec!["page_token"]),
        (Some(0), "é", vec!["page_size", "page_token"]),
    ] {
        let request = pb::ListArticlesRequest {
            page_size,
            page_token: page_token.to_owned(),
            ..pb::ListArticlesRequest::default()
        };
        check_invalid(&client.list_articles(request).await.unwrap_err(), &fields);
    }
    for id in ["", " "] {
        let id = id.to_owned();
        check_invalid(
            &client.get_article(pb::GetArticleRequest { id: id.clone(), version: None }).await.unwrap_err(),
            &["id"],
        );
        check_invalid(
            &client.delete_article(pb::DeleteArticleRequest { id, erase_versions: false }).await.unwrap_err(),
            &["id"],
        );
    }
    let version_0 = pb::GetArticleRequest { id: "KB1".to_owned(), version: Some(0) };
    check_invalid(&client.get_article(version_0).await.unwrap_err(), &["version"]);
    for (id, page_size, page_token, fields) in [
        (" ", None, "", vec!["id"]),
        ("KB1", Some(101), "x", vec!["page_size", "page_token"]),
        ("KB1", Some(0), "4294967296", vec!["page_size", "page_token"]),
    ] {
        let (id, page_token) = (id.to_owned(), page_token.to_owned());
        let request = pb::ListArticleVersionsRequest { id, page_size, page_token };
        check_invalid(&client.list_article_versions(request).await.unwrap_err(), &fields);
    }
    for (id, status, valid_until, fields) in [
        ("", 2, None, vec!["id"]),
        ("KB1", 0, None, vec!["status"]),
        ("KB1", 7, Some("soon"), vec!["status", "valid_until"]),
    ] {
        let (id, valid_until) = (id.to_owned(), valid_until.map(str::to_owned));
        let request = pb::SetArticleStatusRequest { id, status, valid_until };
        check_invalid(&client.set_article_status(request).await.unwrap_err(), &fields);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_article_is_refused_with_everything_that_is_wrong_with_it() {
    let server = TestServer::start().await;
    let fine = article("KB1", "Printer offline", "");
    let known = |cause: &str, affected: &str| pb::KnownError {
        cause: cause.to_owned(),
        affected: vec![affected.to_owned()],
        ..pb::KnownError::default()
    };
    let frames = [
        (pb::Article { valid_until: "2026-02-30".to_owned(), ..fine.clone() }, vec!["valid_until"]),
        (pb::Article { valid_until: "tomorrow".to_owned(), ..article("KB2", " ", "") }, vec!["valid_until", "title"]),
        (pb::Article { kind: 9, status: -1, ..fine.clone() }, vec!["kind", "status"]),
        (article("", "", ""), vec!["id", "title"]),
        (article(&"x".repeat(257), &"t".repeat(1_025), ""), vec!["id", "title"]),
        (article("KB3", "large", &"x".repeat((1 << 20) + 1)), vec!["body"]),
        (pb::Article { link: "kb/1".to_owned(), problem: "P\n".to_owned(), ..fine.clone() }, vec!["link", "problem"]),
        (pb::Article { known_error: Some(known("c", "a")), ..fine.clone() }, vec!["known_error"]),
        (
            pb::Article {
                kind: pb::ArticleKind::KnownError.into(),
                known_error: Some(known(&"c".repeat(1 << 20), &"a".repeat(257))),
                body: "b".to_owned(),
                ..fine.clone()
            },
            vec!["known_error.affected[0]", "known_error"],
        ),
    ];
    let articles = frames.iter().map(|(article, _)| article.clone()).collect();
    let answer = upsert(&mut server.knowledge().await, articles).await;
    assert_eq!((answer.failed, answer.imported, answer.errors.len()), (9, 0, 9));
    for (index, (error, (article, fields))) in answer.errors.iter().zip(frames).enumerate() {
        assert_eq!((error.index, &error.id), (index as u64, &article.id));
        let expected: Vec<_> = fields.iter().map(|field| format!("articles[{index}].{field}")).collect();
        let status = item_status(error.error.as_ref().unwrap());
        assert_eq!(violated_fields(&status), expected);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_full_house_refuses_at_once_and_says_when_to_come_again() {
    let server = TestServer::start_with("[limits]\ncalls = 1\n").await;
    let held = server.hold_writes();
    let mut knowledge = server.knowledge().await;
    // An import waits for its place and then keeps it for as long as it cannot write.
    let import = tokio::spawn(async move { upsert(&mut knowledge, vec![article("KB1", "Printer offline", "")]).await });

    let mut client = server.triage().await;
    let alone = || request(vpn_ticket("1"));
    let batch = || pb::BatchTriageTicketsRequest { tickets: vec![vpn_ticket("1")], features: Vec::new(), top_n: None };
    // Calls that come before the import has the place are answered.
    let refused = async {
        let single = loop {
            if let Err(status) = client.triage_ticket(alone()).await {
                break status;
            }
        };
        let several = loop {
            if let Err(status) = client.batch_triage_tickets(batch()).await {
                break status;
            }
        };
        [single, several]
    };
    for status in in_time(refused).await {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
        assert!(names_a_retry(&status), "{status:?}");
    }

    drop(held);
    assert_eq!(in_time(import).await.unwrap().imported, 1, "the call that had the place was answered");
    in_time(async { while client.triage_ticket(alone()).await.is_err() {} }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_at_once_and_a_free_place_is_given_again() {
    let server = TestServer::start_with("[limits]\nconnections = 1\n").await;
    let mut only = server.triage().await;
    only.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    let refused = TcpStream::connect(server.address).await.unwrap();
    in_time(refused.readable()).await.unwrap();
    assert_eq!(refused.try_read(&mut [0; 8]).unwrap(), 0, "the connection is open");

    drop(only);
    let info = || pb::GetServerInfoRequest {};
    let answered = async {
        loop {
            let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
            let Ok(channel) = endpoint.connect().await else { continue };
            if TriageServiceClient::new(channel).get_server_info(info()).await.is_ok() {
                return;
            }
        }
    };
    in_time(answered).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_carries_nothing_is_closed() {
    let server = TestServer::start_with("[limits]\nidle_seconds = 1\n").await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let closed = async {
        loop {
            idle.readable().await.unwrap();
            // The server speaks first in HTTP/2, if at all; what matters is the end.
            match idle.try_read(&mut [0; 1_024]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    in_time(closed).await;
    server.stop().await;
}

#[tokio::test]
async fn a_call_ends_with_the_servers_deadline() {
    let server = TestServer::start_with("[limits]\ndeadline_seconds = 1\n").await;
    upsert(&mut server.knowledge().await, vec![article("KB1", "Printer offline", "")]).await;
    let held = server.hold_writes();
    let delete = pb::DeleteArticleRequest { id: "KB1".to_owned(), erase_versions: false };
    let status = in_time(server.knowledge().await.delete_article(delete)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    drop(held);
    server.triage().await.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_call_ends_with_its_callers_deadline() {
    let server = TestServer::start().await;
    upsert(&mut server.knowledge().await, vec![article("KB1", "Printer offline", "")]).await;
    let held = server.hold_writes();
    // Raw, because a gRPC client ends the call by its own clock and never sees the answer.
    let message = pb::DeleteArticleRequest { id: "KB1".to_owned(), erase_versions: false }.encode_to_vec();
    let mut call = format!(
        "POST /triage.v1.KnowledgeService/DeleteArticle HTTP/1.1\r\nHost: {}\r\n\
         Content-Type: application/grpc-web+proto\r\nContent-Length: {}\r\nConnection: close\r\n\
         Grpc-Timeout: 100m\r\n\r\n",
        server.address,
        message.len() + 5
    )
    .into_bytes();
    call.push(0);
    call.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    call.extend(message);
    let (_, head, _) = in_time(http(server.address.to_string(), call)).await;
    assert!(head.contains("grpc-status: 4"), "not DEADLINE_EXCEEDED:\n{head}");
    assert!(head.contains("grpc-status-details-bin:"), "no details:\n{head}");
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn before_the_model_is_loaded_calls_are_asked_to_come_again() {
    let (go, wait) = mpsc::channel::<()>();
    let (server, ready) = TestServer::launch("", None, move || wait.recv().unwrap()).await;
    let mut knowledge = server.knowledge().await;
    let stream = || tokio_stream::iter([pb::StreamTriageRequest::default()]);
    let batch = pb::BatchTriageTicketsRequest { tickets: vec![vpn_ticket("1")], features: Vec::new(), top_n: None };
    for status in [
        refusal(&server, request(vpn_ticket("1"))).await,
        server.triage().await.batch_triage_tickets(batch).await.unwrap_err(),
        server.triage().await.stream_triage(stream()).await.unwrap_err(),
        server.triage().await.get_server_info(pb::GetServerInfoRequest {}).await.unwrap_err(),
        knowledge.upsert_articles(tokio_stream::iter([frame(Vec::new())])).await.unwrap_err(),
        knowledge.get_article(pb::GetArticleRequest { id: "KB1".to_owned(), version: None }).await.unwrap_err(),
    ] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_READY"));
        assert!(names_a_retry(&status), "{status:?}");
        assert!(status.get_details_bad_request().is_none());
    }
    go.send(()).unwrap();
    in_time(ready).await.unwrap();
    server.triage().await.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    server.stop().await;
}
