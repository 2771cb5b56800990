//! Jobs over the memory, taken back: what nobody touched since is as it was, and the rest is listed.

use std::collections::{BTreeMap, HashMap};

use ticket_triage::pb::{self, JobState, UndoOutcome, reclassification_spec::Source};
use tonic::Code;

use crate::{
    harness::{TestServer, reason, violated_fields},
    jobs::{Client, create, done, ended, spec, until},
};

fn over_memory() -> pb::ReclassificationSpec {
    spec(Source::Memory(pb::MemoryTickets {}))
}

/// Tickets about a VPN that are filed under printers.
fn confirmed(ids: &[&str]) -> Vec<pb::ConfirmedTicket> {
    let ticket = |id: &&str| pb::ConfirmedTicket {
        id: (*id).to_owned(),
        summary: "VPN drops every few minutes".to_owned(),
        description: "cannot stay connected from home since this morning".to_owned(),
        labels: HashMap::from([("category".to_owned(), "hardware/printer".to_owned())]),
        ..pb::ConfirmedTicket::default()
    };
    ids.iter().map(ticket).collect()
}

async fn store(server: &TestServer, tickets: Vec<pb::ConfirmedTicket>) {
    let frame = pb::UpsertTicketsRequest { tickets, validate_only: false };
    server.memory().await.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();
}

/// The labels of the tickets that are like those of the desk.
async fn labels(server: &TestServer, label: &str) -> BTreeMap<String, String> {
    let asked = crate::harness::ticket("VPN drops every few minutes", "cannot stay connected from home");
    let request = pb::FindSimilarTicketsRequest { ticket: Some(asked), top_n: Some(10) };
    let found = server.memory().await.find_similar_tickets(request).await.unwrap().into_inner().tickets;
    let label = |ticket: pb::SimilarTicket| (ticket.id, ticket.labels.get(label).cloned().unwrap_or_default());
    found.into_iter().map(label).collect()
}

async fn undone(client: &mut Client, id: &str, outcome: UndoOutcome) -> (Vec<String>, [u64; 3]) {
    let mut request = pb::ListUndoneTicketsRequest {
        id: id.to_owned(),
        outcome: outcome.into(),
        page_size: Some(2),
        page_token: String::new(),
    };
    let mut ids = Vec::new();
    loop {
        let page = client.list_undone_tickets(request.clone()).await.unwrap().into_inner();
        ids.extend(page.ticket_ids);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return (ids, [page.restored, page.touched, page.deleted]);
        }
    }
}

async fn undo(client: &mut Client, id: &str) -> pb::Job {
    client.undo_job(pb::UndoJobRequest { id: id.to_owned() }).await.unwrap().into_inner().job.unwrap()
}

#[tokio::test]
async fn a_job_over_the_memory_is_looked_at_done_and_taken_back() {
    let server = TestServer::start().await;
    store(&server, confirmed(&["A", "B", "C", "D", "E"])).await;
    let mut client = server.jobs().await;
    let dry_run = pb::ReclassificationSpec { dry_run: true, ..over_memory() };
    let id = create(&mut client, dry_run, "", &[]).await.unwrap().id;
    assert_eq!(ended(&mut client, &id).await.progress.unwrap().changed, 5);
    assert!(labels(&server, "category").await.values().all(|value| value == "hardware/printer"));
    let status = client.undo_job(pb::UndoJobRequest { id }).await.unwrap_err();
    assert_eq!((status.code(), violated_fields(&status)), (Code::InvalidArgument, vec!["id".to_owned()]));

    let id = create(&mut client, over_memory(), "", &[]).await.unwrap().id;
    assert_eq!(ended(&mut client, &id).await.progress.unwrap().changed, 5);
    assert!(labels(&server, "category").await.values().all(|value| value == "network/vpn"));
    let mut touched = confirmed(&["B"]);
    touched[0].labels.insert("category".to_owned(), "network/wifi".to_owned());
    store(&server, touched).await;
    server.memory().await.delete_tickets(pb::DeleteTicketsRequest { ids: vec!["D".to_owned()] }).await.unwrap();

    assert!(matches!(undo(&mut client, &id).await.state(), JobState::Undoing | JobState::Undone));
    assert_eq!(ended(&mut client, &id).await.state(), JobState::Undone);
    assert_eq!(undo(&mut client, &id).await.state(), JobState::Undone, "undoing an undone job changes nothing");
    let counts = [3, 1, 1];
    for (outcome, ids) in [
        (UndoOutcome::Restored, vec!["A", "C", "E"]),
        (UndoOutcome::Touched, vec!["B"]),
        (UndoOutcome::Deleted, vec!["D"]),
    ] {
        assert_eq!(undone(&mut client, &id, outcome).await, (ids.into_iter().map(str::to_owned).collect(), counts));
    }
    let found = labels(&server, "category").await;
    assert_eq!((found["A"].as_str(), found["B"].as_str(), found.len()), ("hardware/printer", "network/wifi", 4));
    let wrong = pb::ListUndoneTicketsRequest { id, ..pb::ListUndoneTicketsRequest::default() };
    assert_eq!(violated_fields(&client.list_undone_tickets(wrong).await.unwrap_err()), ["outcome"]);
    server.stop().await;
}

#[tokio::test]
async fn undoing_leaves_what_another_job_has_changed_and_lists_it() {
    let server = TestServer::start().await;
    let ids: Vec<String> = (0..9).map(|number| format!("T{number}")).collect();
    store(&server, confirmed(&ids.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let mut client = server.jobs().await;
    let first = create(&mut client, over_memory(), "", &[]).await.unwrap().id;
    assert_eq!(ended(&mut client, &first).await.progress.unwrap().changed, 9);
    // The second one changes the same tickets, one a second.
    let field = pb::ReclassificationField { field: "type".to_owned(), current_column: String::new() };
    let slow = pb::ReclassificationSpec { tickets_per_second: 1, fields: vec![field], ..over_memory() };
    let second = create(&mut client, slow, "", &[]).await.unwrap().id;
    until(&mut client, &second, |job| done(job) > 0).await;
    let status = client.undo_job(pb::UndoJobRequest { id: second.clone() }).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "JOB_STATE"), "it is open");
    undo(&mut client, &first).await;
    client.pause_job(pb::PauseJobRequest { id: second.clone() }).await.unwrap();
    assert_eq!(ended(&mut client, &first).await.state(), JobState::Undone);

    let request = pb::GetJobRequest { id: second.clone() };
    let so_far = client.get_job(request).await.unwrap().into_inner().job.unwrap().progress.unwrap();
    let changed = usize::try_from(so_far.changed).unwrap();
    let (touched, counts) = undone(&mut client, &first, UndoOutcome::Touched).await;
    assert_eq!((touched.as_slice(), counts), (&ids[..changed], [9 - so_far.changed, so_far.changed, 0]));
    let found = labels(&server, "category").await;
    for (place, id) in ids.iter().enumerate() {
        let expected = if place < changed { "network/vpn" } else { "hardware/printer" };
        assert_eq!(found[id], expected, "{id}");
    }
    client.cancel_job(pb::CancelJobRequest { id: second.clone() }).await.unwrap();
    undo(&mut client, &second).await;
    assert_eq!(ended(&mut client, &second).await.state(), JobState::Undone);
    assert!(labels(&server, "type").await.values().all(String::is_empty));
    server.stop().await;
}
