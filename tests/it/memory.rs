//! `MemoryService`: what solved tickets leave behind, and which are like another.

use std::{collections::HashMap, path::Path, process::Stdio};

use ticket_triage::pb::{self, memory_service_client::MemoryServiceClient};
use tonic::{Code, transport::Channel};

use crate::harness::{
    ServerProcess, TestServer, article, in_time, item_status, names_a_retry, reason, ticket, upsert, violated_fields,
};

type Client = MemoryServiceClient<Channel>;

fn confirmed(id: &str, summary: &str, articles: &[&str]) -> pb::ConfirmedTicket {
    pb::ConfirmedTicket {
        id: id.to_owned(),
        summary: summary.to_owned(),
        articles: articles.iter().map(ToString::to_string).collect(),
        ..pb::ConfirmedTicket::default()
    }
}

fn desk_tickets() -> Vec<pb::ConfirmedTicket> {
    vec![
        pb::ConfirmedTicket {
            description: "<p>It jams with <b>every page</b> since noon.</p>".to_owned(),
            labels: HashMap::from([("category".to_owned(), "hardware/printer".to_owned())]),
            resolution: "Cleaned the rollers. The paper jam did not come back.".to_owned(),
            resolved_on: "2026-03-01".to_owned(),
            ..confirmed("INC1", "Paper jam in the printer on floor two", &["KB2", "KB1"])
        },
        confirmed("INC2", "VPN drops with error 809", &["KB3"]),
        confirmed("INC3", "Printer out of toner", &[]),
    ]
}

async fn store(client: &mut Client, tickets: Vec<pb::ConfirmedTicket>) -> pb::UpsertTicketsResponse {
    let frame = pb::UpsertTicketsRequest { tickets, validate_only: false };
    client.upsert_tickets(tokio_stream::iter([frame])).await.unwrap().into_inner()
}

async fn delete(client: &mut Client, ids: &[&str]) -> pb::DeleteTicketsResponse {
    let ids = ids.iter().map(ToString::to_string).collect();
    client.delete_tickets(pb::DeleteTicketsRequest { ids }).await.unwrap().into_inner()
}

async fn similar(client: &mut Client, ticket: pb::Ticket) -> pb::FindSimilarTicketsResponse {
    let request = pb::FindSimilarTicketsRequest { ticket: Some(ticket), top_n: Some(10) };
    client.find_similar_tickets(request).await.unwrap().into_inner()
}

async fn similar_ids(client: &mut Client, summary: &str) -> Vec<String> {
    similar(client, ticket(summary, "")).await.tickets.into_iter().map(|ticket| ticket.id).collect()
}

fn counts(answer: &pb::UpsertTicketsResponse) -> [u64; 5] {
    [answer.imported, answer.updated, answer.unchanged, answer.failed, answer.unknown_articles]
}

#[tokio::test]
async fn a_ticket_is_found_by_the_next_call_with_what_solved_it_and_what_both_say() {
    let server = TestServer::start().await;
    let mut client = server.memory().await;
    let before = similar(&mut client, ticket("paper jam", "")).await;
    assert!(before.tickets.is_empty());
    store(&mut client, desk_tickets()).await;

    let asked = ticket("Größe A3: paper jam", "The printer says <i>paper&nbsp;jam</i> with every page");
    let answer = similar(&mut client, asked.clone()).await;
    assert_ne!(answer.versions.unwrap().memory, before.versions.unwrap().memory);
    let [first, second] = answer.tickets.try_into().unwrap();
    assert_eq!((first.id.as_str(), second.id.as_str()), ("INC1", "INC3"));
    assert!(first.similarity > second.similarity && first.similarity < 1.0 && second.similarity > 0.0);
    assert_eq!(
        (first.summary.as_str(), first.articles),
        ("Paper jam in the printer on floor two", vec!["KB1".into(), "KB2".into()])
    );
    assert_eq!((first.labels["category"].as_str(), first.resolved_on.as_str()), ("hardware/printer", "2026-03-01"));
    assert!(first.resolution.unwrap().text.contains("Cleaned the rollers"));
    assert_eq!(second.resolution, None);
    for shared in &first.shared {
        let part = match shared.part() {
            pb::TicketPart::Summary => &asked.summary,
            pb::TicketPart::Description => &asked.description,
            pb::TicketPart::Unspecified => panic!("{shared:?}"),
        };
        assert_eq!(part[shared.start_byte as usize..shared.end_byte as usize], shared.text);
        let utf16: Vec<u16> = part.encode_utf16().collect();
        let text = String::from_utf16(&utf16[shared.start_utf16 as usize..shared.end_utf16 as usize]).unwrap();
        assert_eq!(text, shared.text);
    }
    let shared: Vec<_> = first.shared.iter().map(|shared| shared.text.as_str()).collect();
    assert!(shared.contains(&"paper jam"), "{shared:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_is_not_like_itself() {
    let server = TestServer::start().await;
    let mut client = server.memory().await;
    store(&mut client, desk_tickets()).await;
    let asked = |id: &str| pb::Ticket { id: id.to_owned(), ..ticket("VPN drops with error 809", "") };
    assert!(similar(&mut client, asked("INC2")).await.tickets.is_empty());
    let of_another = similar(&mut client, asked("INC9")).await.tickets;
    assert_eq!(of_another[0].id, "INC2");
    assert!((of_another[0].similarity - 1.0).abs() < 1e-5);
    server.stop().await;
}

#[tokio::test]
async fn an_import_counts_what_is_new_changed_the_same_wrong_and_linked_to_nothing() {
    let server = TestServer::start().await;
    upsert(&mut server.knowledge().await, vec![article("KB1", "Clear a paper jam", "")]).await;
    let mut client = server.memory().await;
    assert_eq!(counts(&store(&mut client, desk_tickets()).await), [3, 0, 0, 0, 2]);
    assert_eq!(counts(&store(&mut client, desk_tickets()).await), [0, 0, 3, 0, 2]);

    let mut changed = desk_tickets();
    changed[1].articles.clear();
    changed[1].refused.push("KB3".to_owned());
    let wrong = pb::ConfirmedTicket { resolved_on: "soon".to_owned(), ..confirmed("BAD", " ", &["KB1", "KB1", ""]) };
    let new = confirmed("INC4", "Scanner sends blank pages", &["KB1"]);
    let frame = |tickets, validate_only| pb::UpsertTicketsRequest { tickets, validate_only };
    let frames = || {
        let [first, second, third] = changed.clone().try_into().unwrap();
        vec![vec![first, wrong.clone(), second], Vec::new(), vec![third, new.clone()]]
    };
    let planned: Vec<_> = frames().into_iter().map(|tickets| frame(tickets, true)).collect();
    let planned = client.upsert_tickets(tokio_stream::iter(planned)).await.unwrap().into_inner();
    assert_eq!(counts(&planned), [1, 1, 2, 1, 2]);
    assert!(similar_ids(&mut client, "scanner").await.is_empty(), "a dry run stores nothing");

    let stored: Vec<_> = frames().into_iter().map(|tickets| frame(tickets, false)).collect();
    let answer = client.upsert_tickets(tokio_stream::iter(stored)).await.unwrap().into_inner();
    assert_eq!(answer, planned);
    assert_eq!((answer.errors.len(), answer.errors[0].index, answer.errors[0].id.as_str()), (1, 1, "BAD"));
    let status = item_status(answer.errors[0].error.as_ref().unwrap());
    let fields = ["resolved_on", "articles", "summary", "articles"].map(|field| format!("tickets[1].{field}"));
    assert_eq!((status.code(), violated_fields(&status)), (Code::InvalidArgument, fields.to_vec()));
    assert_eq!(similar_ids(&mut client, "scanner").await, ["INC4"]);
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_ticket_is_found_no_more_and_an_unknown_one_is_no_error() {
    let server = TestServer::start().await;
    let mut client = server.memory().await;
    store(&mut client, desk_tickets()).await;
    let answer = delete(&mut client, &["INC9", "INC1", "INC1"]).await;
    assert_eq!((answer.deleted, answer.unknown_ids), (1, vec!["INC9".to_owned(), "INC1".to_owned()]));
    assert_eq!(similar_ids(&mut client, "paper jam in the printer").await, ["INC3"]);
    assert_eq!(counts(&store(&mut client, desk_tickets()).await)[..3], [1, 0, 2]);
    assert_eq!(similar_ids(&mut client, "paper jam").await, ["INC1"]);
    server.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_field_by_field() {
    let server = TestServer::start().await;
    let mut client = server.memory().await;
    let many = (0..1_001).map(|number| number.to_string()).collect();
    for (ids, fields) in [
        (Vec::new(), vec!["ids"]),
        (many, vec!["ids"]),
        (vec!["a".to_owned(), " ".to_owned(), "ä".repeat(257)], vec!["ids[1]", "ids[2]"]),
    ] {
        let status = client.delete_tickets(pb::DeleteTicketsRequest { ids }).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(violated_fields(&status), fields);
    }
    for (asked, top_n, fields) in [
        (None, None, vec!["ticket"]),
        (Some(ticket("", "")), Some(11), vec!["ticket.summary", "top_n"]),
        (Some(ticket("x", "")), Some(0), vec!["top_n"]),
    ] {
        let request = pb::FindSimilarTicketsRequest { ticket: asked, top_n };
        let status = client.find_similar_tickets(request).await.unwrap_err();
        assert_eq!(
            (status.code(), violated_fields(&status)),
            (Code::InvalidArgument, fields.iter().map(ToString::to_string).collect())
        );
    }
    for odd in ["\"", "\u{0}", "a\u{202e}b", "ß\u{301}'", "the and of", &"jam ".repeat(16_000)] {
        in_time(similar(&mut client, ticket("", odd))).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_decision_holds_similar_tickets_where_they_are_asked_for() {
    let server = TestServer::start().await;
    store(&mut server.memory().await, desk_tickets()).await;
    let mut client = server.triage().await;
    let mut decision = async |features: &[pb::Feature]| {
        let features = features.iter().map(|feature| i32::from(*feature)).collect();
        let request = pb::TriageTicketRequest { ticket: Some(ticket("paper jam", "")), features, top_n: Some(1) };
        client.triage_ticket(request).await.unwrap().into_inner().decision.unwrap()
    };
    let whole = decision(&[]).await;
    assert_eq!(whole.similar_tickets[0].id, "INC1");
    assert_eq!(whole.versions.unwrap().memory, "3");
    let similar = decision(&[pb::Feature::Similar]).await;
    assert_eq!((similar.similar_tickets.len(), similar.fields.len(), similar.articles.len()), (1, 0, 0));
    assert!(decision(&[pb::Feature::Fields]).await.similar_tickets.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.memory().await;
    store(&mut client, desk_tickets()).await;
    delete(&mut client, &["INC3"]).await;
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);

    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.memory().await;
    assert_eq!(similar_ids(&mut client, "printer vpn").await, ["INC2", "INC1"]);
    assert_eq!(counts(&store(&mut client, desk_tickets()).await)[..3], [1, 0, 2]);
}

/// Does something to a data directory that holds the tickets of the desk, then starts a server over it: it is not ready
/// until the memory is whole again, says once why, and answers.
async fn check_healed(damage: impl FnOnce(&Path), why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    store(&mut server.memory().await, desk_tickets()).await;
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    damage(folder.path());

    let log = folder.path().join("log");
    let (server, _) =
        ServerProcess::start_with_admin(folder.path(), &[], Stdio::from(std::fs::File::create(&log).unwrap())).await;
    assert_eq!(similar_ids(&mut server.memory().await, "printer").await, ["INC3", "INC1"], "{why}");
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    let said = std::fs::read_to_string(log).unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("memory index")).collect();
    assert!(lines.len() == 1 && lines[0].contains("built") && lines[0].contains(why), "{why}: {lines:?}");
}

#[tokio::test]
async fn an_index_that_is_of_no_use_is_built_anew_and_the_log_says_why() {
    let index = |folder: &Path| folder.join("index/memory");
    let meta = |folder: &Path, change: &dyn Fn(&str) -> String| {
        let path = index(folder).join("meta.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "the test is blind");
        std::fs::write(path, changed).unwrap();
    };
    check_healed(|folder| std::fs::remove_dir_all(index(folder)).unwrap(), "there was none").await;
    let flip = |folder: &Path| {
        let files = std::fs::read_dir(index(folder)).unwrap().map(|entry| entry.unwrap().path());
        let file = files.into_iter().find(|path| path.extension().is_some_and(|found| found == "fast")).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[0] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    check_healed(flip, "checksum").await;
    let older = |text: &str| text.replace("schema_version\\\":", "schema_version\\\":9");
    check_healed(|folder| meta(folder, &older), "schema version").await;
    let ahead = |text: &str| text.replace("sequence\\\":3", "sequence\\\":9");
    check_healed(|folder| meta(folder, &ahead), "ahead of the database").await;
}

#[tokio::test]
async fn the_memory_waits_for_its_index_as_the_other_services_do() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (server, ready) = TestServer::launch("", None, move || wait.recv().unwrap()).await;
    let mut client = server.memory().await;
    let request = pb::FindSimilarTicketsRequest { ticket: Some(ticket("x", "")), top_n: None };
    let status = client.find_similar_tickets(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_READY"));
    assert!(names_a_retry(&status));
    go.send(()).unwrap();
    in_time(ready).await.unwrap();
    assert!(similar_ids(&mut client, "x").await.is_empty());
    server.stop().await;
}
