//! What is said again: once as long as it stands, and anew when it was withdrawn or its ticket deleted.

use ticket_triage::pb;

use crate::harness::{ServerProcess, TestServer, field, request, ticket};

const ASKED: &str = "The badge reader at the north gate does not open the door for our forklift drivers";
const ALIKE: &str = "Badge reader at the north gate does not open its door for forklift drivers today";
const SAID: &str = "network/telephony";

/// What `ann` says of the decision on the ticket with this id.
async fn said(server: &TestServer, id: &str) -> pb::RecordFeedbackRequest {
    let asked = pb::Ticket { id: id.to_owned(), ..ticket(ASKED, "") };
    let decision = server.triage().await.triage_ticket(request(asked)).await.unwrap().into_inner().decision.unwrap();
    pb::RecordFeedbackRequest {
        decision_handle: decision.decision_handle,
        source: "ann".to_owned(),
        corrections: [("category".to_owned(), SAID.to_owned())].into(),
        ..pb::RecordFeedbackRequest::default()
    }
}

async fn record(server: &TestServer, said: &pb::RecordFeedbackRequest) -> (u64, bool, bool) {
    let answer = server.feedback().await.record_feedback(said.clone()).await.unwrap().into_inner();
    (answer.feedback_id, answer.recorded, answer.memory_changed)
}

async fn withdraw(server: &TestServer, feedback_id: u64) -> bool {
    let request = pb::WithdrawFeedbackRequest { feedback_id };
    server.feedback().await.withdraw_feedback(request).await.unwrap().into_inner().withdrawn
}

async fn delete(server: &TestServer, id: &str) {
    let request = pb::DeleteTicketsRequest { ids: vec![id.to_owned()] };
    assert_eq!(server.memory().await.delete_tickets(request).await.unwrap().into_inner().deleted, 1);
}

async fn category(server: &TestServer) -> String {
    let asked = request(ticket(ALIKE, ""));
    let decision = server.triage().await.triage_ticket(asked).await.unwrap().into_inner().decision.unwrap();
    field(&decision, "category").value.clone()
}

#[tokio::test]
async fn what_was_withdrawn_can_be_said_again_and_what_stands_counts_once() {
    let server = TestServer::start().await;
    let said = said(&server, "INC1").await;
    let mut last = 0;
    for round in 0..3 {
        let (id, recorded, changed) = record(&server, &said).await;
        assert!(recorded && changed && id > last, "round {round}: {id} behind {last}");
        assert_eq!(record(&server, &said).await, (id, false, false));
        assert_eq!(category(&server).await, SAID);
        assert!(withdraw(&server, id).await && !withdraw(&server, id).await);
        assert_ne!(category(&server).await, SAID);
        last = id;
    }
    let (id, ..) = record(&server, &said).await;
    let listed = server.feedback().await.list_feedback(pb::ListFeedbackRequest::default()).await.unwrap().into_inner();
    let standing: Vec<_> = listed.feedback.iter().filter(|said| said.withdrawn_at.is_none()).collect();
    assert_eq!((listed.feedback.len(), standing.len(), standing[0].id), (4, 1, id));
    server.stop().await;
}

#[tokio::test]
async fn of_a_ticket_that_is_confirmed_anyway_the_same_can_be_said_again_too() {
    let server = TestServer::start().await;
    let confirmed = pb::ConfirmedTicket {
        id: "INC1".to_owned(),
        summary: ASKED.to_owned(),
        labels: [("category".to_owned(), "data/reporting".to_owned())].into(),
        ..pb::ConfirmedTicket::default()
    };
    let frame = pb::UpsertTicketsRequest { tickets: vec![confirmed], validate_only: false };
    server.memory().await.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();
    let label = async || {
        let similar = pb::FindSimilarTicketsRequest { ticket: Some(ticket(ASKED, "")), top_n: None };
        let found = server.memory().await.find_similar_tickets(similar).await.unwrap().into_inner().tickets;
        found[0].labels["category"].clone()
    };
    let said = said(&server, "INC1").await;
    let mut last = 0;
    for _ in 0..2 {
        let (id, recorded, changed) = record(&server, &said).await;
        assert!(recorded && changed && id > last);
        assert_eq!((record(&server, &said).await, label().await.as_str()), ((id, false, false), SAID));
        assert!(withdraw(&server, id).await);
        assert_eq!(label().await, "data/reporting");
        last = id;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_that_was_deleted_comes_back_when_the_same_is_said_of_it() {
    let server = TestServer::start().await;
    let said = said(&server, "INC1").await;
    let (first, ..) = record(&server, &said).await;
    delete(&server, "INC1").await;
    assert_ne!(category(&server).await, SAID);
    let (second, recorded, changed) = record(&server, &said).await;
    assert!(recorded && changed && second > first);
    assert_eq!(category(&server).await, SAID);
    assert_eq!(record(&server, &said).await, (second, false, false));
    server.stop().await;
}

#[tokio::test]
async fn the_same_resolved_ticket_is_learnt_again_where_it_was_withdrawn_or_deleted() {
    let server = TestServer::start().await;
    let resolved = |id: &str| pb::ConfirmedTicket {
        id: id.to_owned(),
        summary: format!("{ASKED}, says shift {id}"),
        labels: [("category".to_owned(), SAID.to_owned())].into(),
        ..pb::ConfirmedTicket::default()
    };
    let send = async || {
        let tickets = ["1", "2", "3"].map(resolved).into();
        let frames = tokio_stream::iter([pb::RecordResolvedTicketsRequest { source: "desk".into(), tickets }]);
        let answer = server.feedback().await.record_resolved_tickets(frames).await.unwrap().into_inner();
        (answer.recorded, answer.unchanged)
    };
    assert_eq!([send().await, send().await], [(3, 0), (0, 3)]);
    delete(&server, "2").await;
    assert_eq!([send().await, send().await], [(1, 2), (0, 3)]);
    let of_third = pb::ListFeedbackRequest { ticket_id: "3".to_owned(), ..pb::ListFeedbackRequest::default() };
    let listed = server.feedback().await.list_feedback(of_third).await.unwrap().into_inner().feedback;
    assert!(withdraw(&server, listed[0].id).await);
    assert_eq!([send().await, send().await], [(1, 2), (0, 3)]);
    let similar = pb::FindSimilarTicketsRequest { ticket: Some(ticket(ASKED, "")), top_n: None };
    let found = server.memory().await.find_similar_tickets(similar).await.unwrap().into_inner().tickets;
    let mut found: Vec<_> =
        found.iter().map(|ticket| (ticket.id.as_str(), ticket.labels["category"].as_str())).collect();
    found.sort_unstable();
    assert_eq!(found, [("1", SAID), ("2", SAID), ("3", SAID)]);
    server.stop().await;
}

#[tokio::test]
async fn what_was_withdrawn_and_said_again_before_a_kill_stands_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let asked = pb::Ticket { id: "INC1".to_owned(), ..ticket(ASKED, "") };
    let decision = server.triage().await.triage_ticket(request(asked)).await.unwrap().into_inner().decision.unwrap();
    let said = pb::RecordFeedbackRequest {
        decision_handle: decision.decision_handle,
        source: "ann".to_owned(),
        corrections: [("category".to_owned(), SAID.to_owned())].into(),
        ..pb::RecordFeedbackRequest::default()
    };
    let mut feedback = server.feedback().await;
    let feedback_id = feedback.record_feedback(said.clone()).await.unwrap().into_inner().feedback_id;
    feedback.withdraw_feedback(pb::WithdrawFeedbackRequest { feedback_id }).await.unwrap();
    let again = feedback.record_feedback(said.clone()).await.unwrap().into_inner();
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);

    let server = ServerProcess::start(folder.path(), &[]).await;
    let repeated = server.feedback().await.record_feedback(said).await.unwrap().into_inner();
    assert_eq!((repeated.feedback_id, repeated.recorded), (again.feedback_id, false));
    let decision = server.triage().await.triage_ticket(request(ticket(ALIKE, ""))).await.unwrap().into_inner().decision;
    assert_eq!(field(&decision.unwrap(), "category").value, SAID);
}
