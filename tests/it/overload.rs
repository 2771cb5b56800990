//! A full house: who is served first, and what becomes of calls whose callers have left.

use std::time::Duration;

use ticket_triage::pb;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{HeldWrites, TestServer, article, in_time, request, ticket, upsert, vpn_ticket};

/// Nothing is taken in any more where it takes so long.
const UNREAD_AFTER: Duration = Duration::from_millis(500);
const LEAVE_AFTER: Duration = Duration::from_millis(20);
const ONE_THREAD: &str = "[compute]\nthreads = 1\n";

/// Keeps the only thread busy until the writes are let go.
async fn occupy(server: &TestServer) -> (HeldWrites, JoinHandle<pb::UpsertArticlesResponse>) {
    let held = server.hold_writes();
    let mut knowledge = server.knowledge().await;
    let import = tokio::spawn(async move { upsert(&mut knowledge, vec![article("KB1", "Printer offline", "")]).await });
    in_time(async { while metric(server, "triage_calls_in_flight ").await == 0 {} }).await;
    (held, import)
}

async fn metric(server: &TestServer, name: &str) -> u64 {
    let (_, text) = server.admin("/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn a_single_call_is_answered_before_the_batch_that_came_earlier() {
    let server = TestServer::start_with(ONE_THREAD).await;
    let (held, import) = occupy(&server).await;
    let (mut batches, mut single) = (server.triage().await, server.triage().await);
    let tickets = (0..256).map(|n| vpn_ticket(&n.to_string())).collect();
    let batch = pb::BatchTriageTicketsRequest { tickets, features: Vec::new(), top_n: None };
    let batch = tokio::spawn(async move { batches.batch_triage_tickets(batch).await.unwrap() });
    in_time(async { while metric(&server, r#"triage_queued{urgency="batch"} "#).await == 0 {} }).await;
    let single = tokio::spawn(async move { single.triage_ticket(request(vpn_ticket("1"))).await.unwrap() });
    in_time(async { while metric(&server, r#"triage_queued{urgency="interactive"} "#).await == 0 {} }).await;
    drop(held);
    in_time(single).await.unwrap();
    assert!(!batch.is_finished());
    assert_eq!(in_time(batch).await.unwrap().into_inner().results.len(), 256);
    in_time(import).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_short_tickets_that_comes_faster_than_it_is_read_is_answered_in_full() {
    let server = TestServer::start_with(ONE_THREAD).await;
    let (held, import) = occupy(&server).await;
    let (send, frames) = mpsc::channel(1);
    let mut client = server.triage().await;
    let mut answers = client.stream_triage(ReceiverStream::new(frames)).await.unwrap().into_inner();
    // Until no more is taken in: what lies unread by then is a few thousand messages.
    let mut sent = 0;
    loop {
        let ticket = Some(ticket("no mail", ""));
        let frame = pb::StreamTriageRequest { ticket, features: Vec::new(), top_n: None };
        let Ok(taken) = tokio::time::timeout(UNREAD_AFTER, send.send(frame)).await else { break };
        taken.expect("the stream is open");
        sent += 1;
        assert!(sent < 100_000, "the server takes in without end");
    }
    assert!(sent > 2_500, "{sent} were taken in");
    drop((held, send));
    let mut answered = 0;
    while in_time(answers.message()).await.unwrap().is_some() {
        answered += 1;
    }
    assert_eq!(answered, sent);
    in_time(import).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn the_work_of_callers_that_left_is_not_done_and_their_places_are_free() {
    // One for the import, one for what the server may have to do in the background, and two.
    let server = TestServer::start_with(&format!("{ONE_THREAD}[limits]\ncalls = 4\n")).await;
    let (held, import) = occupy(&server).await;
    let abandoned = metric(&server, "triage_abandoned_total ").await;
    let mut client = server.triage().await;
    for _ in 0..10 {
        // Answered until the import is at work, refused until the server knows that those of the round before have left,
        // and then queued until they leave.
        let queued = async {
            loop {
                let [mut one, mut other] = [client.clone(), client.clone()];
                let both = async {
                    tokio::try_join!(
                        one.triage_ticket(request(vpn_ticket("1"))),
                        other.triage_ticket(request(vpn_ticket("2")))
                    )
                };
                if tokio::time::timeout(LEAVE_AFTER, both).await.is_err() {
                    return;
                }
            }
        };
        in_time(queued).await;
    }
    assert!(metric(&server, "triage_abandoned_total ").await > abandoned);
    drop(held);
    in_time(import).await.unwrap();
    in_time(async { while client.triage_ticket(request(vpn_ticket("1"))).await.is_err() {} }).await;
    server.stop().await;
}
