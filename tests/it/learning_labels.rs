//! Labels that came or went since the model learnt: what was added is proposed by calls and jobs alike, what was retired
//! by nobody, whoever still bears it.

use ticket_triage::pb::{self, taxonomy_change::Change};

use crate::{
    harness::{TestServer, field, request, ticket},
    jobs::{client_tickets, create, ended, results, spec},
};

const CATEGORY: &str = "category";
const TEXT: &str = "The gate at the parking lot does not open when I hold my badge to the reader";

async fn make(server: &TestServer, change: Change) {
    let changes = vec![pb::TaxonomyChange { change: Some(change) }];
    let request = pb::ChangeTaxonomyRequest { changes, ..pb::ChangeTaxonomyRequest::default() };
    server.taxonomy().await.change_taxonomy(request).await.unwrap();
}

async fn category(server: &TestServer, id: &str) -> pb::FieldDecision {
    let asked = request(pb::Ticket { id: id.to_owned(), ..ticket(TEXT, "") });
    let decision = server.triage().await.triage_ticket(asked).await.unwrap().into_inner().decision.unwrap();
    field(&decision, CATEGORY).clone()
}

/// What a job proposes for the ticket.
async fn by_job(server: &TestServer) -> String {
    let mut client = server.jobs().await;
    let asked = pb::Ticket { id: "INC1".to_owned(), ..ticket(TEXT, "") };
    let job = create(&mut client, spec(client_tickets()), "", &[asked]).await.unwrap();
    ended(&mut client, &job.id).await;
    results(&mut client, &job.id, None).await[0].fields[0].value.clone().unwrap_or_default()
}

fn badges() -> Change {
    let examples =
        ["my badge does not open the gate", "badge reader at the entrance is dead", "turnstile rejects badge"];
    let label = pb::TaxonomyLabel {
        value: "facilities/badges".to_owned(),
        description: "Badges, gates, turnstiles and doors that open with a badge.".to_owned(),
        examples: examples.map(str::to_owned).into(),
        ..pb::TaxonomyLabel::default()
    };
    Change::AddLabel(pb::AddLabel { field: CATEGORY.to_owned(), label: Some(label) })
}

#[tokio::test]
async fn a_label_that_was_added_is_proposed_by_jobs_too() {
    let server = TestServer::start().await;
    let before = by_job(&server).await;
    assert_ne!(before, "facilities/badges");
    make(&server, badges()).await;
    assert_eq!(by_job(&server).await, "facilities/badges");
    let retire = pb::RetireLabel { field: CATEGORY.to_owned(), value: "facilities/badges".to_owned() };
    make(&server, Change::Retire(retire)).await;
    assert_eq!(by_job(&server).await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_label_that_was_retired_is_not_proposed_though_confirmed_tickets_bear_it() {
    let server = TestServer::start().await;
    make(&server, badges()).await;
    let confirmed = (0..5).map(|number| pb::ConfirmedTicket {
        id: format!("T{number}"),
        summary: format!("{TEXT}, says shift {number}"),
        labels: [(CATEGORY.to_owned(), "facilities/badges".to_owned())].into(),
        ..pb::ConfirmedTicket::default()
    });
    let frame = pb::UpsertTicketsRequest { tickets: confirmed.collect(), validate_only: false };
    server.memory().await.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();
    let with = category(&server, "1").await;
    assert_eq!((with.value.as_str(), with.witnesses.len()), ("facilities/badges", 3));

    let retire = pb::RetireLabel { field: CATEGORY.to_owned(), value: "facilities/badges".to_owned() };
    make(&server, Change::Retire(retire)).await;
    let without = category(&server, "1").await;
    assert!(without.candidates.iter().all(|candidate| candidate.value != "facilities/badges"), "{without:?}");
    assert!(without.value != "facilities/badges" && without.witnesses.is_empty(), "{without:?}");
    server.stop().await;
}
