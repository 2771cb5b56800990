//! What a server logs, at every level: nothing that anybody sent.

use std::{fs, process::Stdio};

use ticket_triage::pb;

use crate::harness::{ServerProcess, article, file, request, ticket, upsert};

/// Stands in every text that is sent, and nowhere else.
const CANARY: &str = "quetzalcoatl";

/// A text of several words with the word in it, as a person, a place, and something that is redacted.
fn said(what: &str) -> String {
    format!("{what} {CANARY} at {CANARY}.example, ask {CANARY}@example.org, password is {CANARY}1")
}

#[tokio::test]
async fn no_text_that_was_sent_is_in_the_log_at_any_level() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "triage.toml", "[log]\nfilter = \"trace\"\nformat = \"json\"\n");
    let log = folder.path().join("log");
    let data_dir = folder.path().join("data");
    let stderr = Stdio::from(fs::File::create(&log).unwrap());
    let (server, _) = ServerProcess::start_with_admin(&data_dir, &["--config", &config], stderr).await;

    let body = said("Switch it off and on again.");
    let remembered = article(&format!("KB-{CANARY}"), &said("VPN drops"), &body);
    upsert(&mut server.knowledge().await, vec![remembered, article("", &said("no id"), &body)]).await;
    let sent = pb::Ticket {
        id: format!("T-{CANARY}"),
        requester: said("requester"),
        service: said("service"),
        configuration_item: said("ci"),
        attributes: [(said("key"), said("value"))].into(),
        ..ticket(&said("VPN drops every few minutes"), &said("since this morning"))
    };
    let mut triage = server.triage().await;
    let decided = triage.triage_ticket(request(sent.clone())).await.unwrap().into_inner();
    let decision = decided.decision.unwrap();
    // Refused calls as well, whose errors might quote what is wrong.
    triage.triage_ticket(request(ticket(" ", ""))).await.unwrap_err();
    let strange = pb::Ticket { field_values: [(CANARY.to_owned(), CANARY.to_owned())].into(), ..sent.clone() };
    triage.triage_ticket(request(strange)).await.ok();
    let long = ticket(&said("x"), &format!("{CANARY} ").repeat(100_000));
    triage.triage_ticket(request(long)).await.unwrap_err();

    let feedback = pb::RecordFeedbackRequest {
        decision_handle: decision.decision_handle.clone(),
        source: said("source"),
        corrections: [("category".to_owned(), "network/vpn".to_owned())].into(),
        ..pb::RecordFeedbackRequest::default()
    };
    server.feedback().await.record_feedback(feedback.clone()).await.ok();
    let strange = [(CANARY.to_owned(), CANARY.to_owned())].into();
    let no_handle = CANARY.to_owned();
    let feedback = pb::RecordFeedbackRequest { decision_handle: no_handle, corrections: strange, ..feedback };
    server.feedback().await.record_feedback(feedback).await.unwrap_err();
    let solved = pb::ConfirmedTicket {
        id: format!("S-{CANARY}"),
        summary: said("VPN drops"),
        description: said("again"),
        resolution: said("restarted"),
        labels: [("category".to_owned(), CANARY.to_owned())].into(),
        articles: vec![format!("KB-{CANARY}")],
        ..pb::ConfirmedTicket::default()
    };
    let frames = pb::UpsertTicketsRequest { tickets: vec![solved], validate_only: false };
    server.memory().await.upsert_tickets(tokio_stream::iter([frames])).await.unwrap();
    let search = pb::SearchArticlesRequest { query: said("vpn"), ..pb::SearchArticlesRequest::default() };
    server.knowledge().await.search_articles(search).await.unwrap();
    let suggest = pb::SuggestArticlesRequest { ticket: Some(sent.clone()), ..pb::SuggestArticlesRequest::default() };
    server.knowledge().await.suggest_articles(suggest).await.unwrap();
    let missing = pb::GetArticleRequest { id: CANARY.to_owned(), version: None };
    server.knowledge().await.get_article(missing).await.unwrap_err();

    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    let log = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_calls = lines.iter().filter(|line| line["message"] == "call ended").count();
    assert!(of_calls >= 8, "{log}");
    let told: Vec<_> = log.lines().filter(|line| line.to_lowercase().contains(CANARY)).collect();
    assert!(told.is_empty(), "{told:?}");
}
