//! How a server process ends: it finishes what it has taken on, takes on no more, and says so.

use std::{process::Stdio, time::Instant};

use ticket_triage::pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::harness::{
    HeldWrites, PATIENCE, ServerProcess, article, frame, get, in_time, names_a_retry, reason, upsert, vpn_ticket,
};

/// Asks the admin address until it says so.
async fn wait_until_calls_in_flight(admin: &str, calls: u32) {
    let wanted = format!("triage_calls_in_flight {calls}");
    in_time(async { while !get(admin.to_owned(), "/metrics").await.1.lines().any(|line| line == wanted) {} }).await;
}

async fn wait_until_draining(admin: &str) {
    in_time(async { while get(admin.to_owned(), "/readyz").await.0 == 200 {} }).await;
}

#[tokio::test]
async fn an_idle_server_ends_at_once_and_well() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(folder.path(), &[]).await;
        // A client that is connected and asks nothing holds nothing up.
        let client = server.triage().await;
        let told = Instant::now();
        server.signal(signal);
        assert_eq!(server.exit_code().await, Some(0), "{signal}");
        assert!(told.elapsed() < PATIENCE / 12, "{signal}: took {:?}", told.elapsed());
        drop(client);
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, _) = ServerProcess::start_with_admin(folder.path(), &[], Stdio::piped()).await;
    drop(server.child.stderr.take());
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_open_stream_gets_its_answers_and_is_told_to_come_again() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(folder.path(), &[]).await;
        let (send, frames) = mpsc::channel(8);
        let mut client = server.triage().await;
        let mut answers = client.stream_triage(ReceiverStream::new(frames)).await.unwrap().into_inner();
        for id in ["1", "2", "3"] {
            let ticket = Some(vpn_ticket(id));
            send.send(pb::StreamTriageRequest { ticket, features: Vec::new(), top_n: None }).await.unwrap();
            let answer = in_time(answers.message()).await.unwrap().unwrap();
            assert_eq!(answer.result.unwrap().ticket_id, id);
        }

        server.signal(signal);
        let status = in_time(answers.message()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_READY"));
        assert!(names_a_retry(&status) && status.message().contains("shutting down"), "{status:?}");
        assert_eq!(server.exit_code().await, Some(0), "{signal}");
        drop(send);
    }
}

#[tokio::test]
async fn tickets_that_a_stream_has_taken_in_are_answered_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let (send, frames) = mpsc::channel(64);
    let mut client = server.triage().await;
    let mut answers = client.stream_triage(ReceiverStream::new(frames)).await.unwrap().into_inner();
    for number in 0..50 {
        let ticket = Some(vpn_ticket(&number.to_string()));
        send.send(pb::StreamTriageRequest { ticket, features: Vec::new(), top_n: None }).await.unwrap();
    }
    let mut next = 0;
    let status = loop {
        match in_time(answers.message()).await {
            Ok(answer) => {
                assert_eq!(answer.expect("the stream ends with a status").result.unwrap().ticket_id, next.to_string());
                next += 1;
                if next == 1 {
                    server.signal("TERM");
                }
            }
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_READY"));
    assert!((1..=50).contains(&next));
    assert_eq!(server.exit_code().await, Some(0));
    drop(send);
}

#[tokio::test]
async fn a_call_in_flight_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (server, admin) = ServerProcess::start_with_admin(folder.path(), &[], Stdio::null()).await;
    let mut client = server.knowledge().await;
    upsert(&mut client, vec![article("KB1", "Printer offline", "")]).await;
    let held = HeldWrites::new(folder.path());
    let call = tokio::spawn(async move {
        client.delete_article(pb::DeleteArticleRequest { id: "KB1".to_owned(), erase_versions: false }).await
    });
    wait_until_calls_in_flight(&admin, 1).await;

    server.signal("TERM");
    wait_until_draining(&admin).await;
    drop(held);
    in_time(call).await.unwrap().expect("the call was cut off");
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_import_whose_frames_have_all_arrived_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (server, admin) = ServerProcess::start_with_admin(folder.path(), &[], Stdio::null()).await;
    let held = HeldWrites::new(folder.path());
    let mut client = server.knowledge().await;
    let frames = [frame(vec![article("KB1", "Printer offline", "")])];
    let import = tokio::spawn(async move { client.upsert_articles(tokio_stream::iter(frames)).await });
    wait_until_calls_in_flight(&admin, 1).await;

    server.signal("TERM");
    wait_until_draining(&admin).await;
    drop(held);
    let answer = in_time(import).await.unwrap().expect("stored, and told to come again").into_inner();
    assert_eq!(answer.imported, 1);
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_open_import_is_told_to_come_again_and_keeps_what_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut reader = server.knowledge().await;
    let mut client = server.knowledge().await;
    let (send, frames) = mpsc::channel(1);
    send.send(frame(vec![article("KB1", "Printer offline", "")])).await.unwrap();
    let import = tokio::spawn(async move { client.upsert_articles(ReceiverStream::new(frames)).await });
    let get = || pb::GetArticleRequest { id: "KB1".to_owned(), version: None };
    in_time(async { while reader.get_article(get()).await.is_err() {} }).await;

    server.signal("TERM");
    let status = in_time(import).await.unwrap().unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_READY"));
    assert_eq!(server.exit_code().await, Some(0));
    drop(send);

    let again = ServerProcess::start(folder.path(), &[]).await;
    again.knowledge().await.get_article(get()).await.unwrap();
}
