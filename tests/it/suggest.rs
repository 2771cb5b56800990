//! Suggestions as callers see them: what solved such tickets, why, and how sure that is.

use ticket_triage::pb::{self, ArticleReasonKind};

use crate::harness::{TestServer, article, ticket, upsert};

fn confirmed(id: &str, summary: &str, articles: &[&str]) -> pb::ConfirmedTicket {
    pb::ConfirmedTicket {
        id: id.to_owned(),
        summary: summary.to_owned(),
        articles: articles.iter().map(ToString::to_string).collect(),
        ..pb::ConfirmedTicket::default()
    }
}

async fn remember(server: &TestServer, tickets: Vec<pb::ConfirmedTicket>) {
    let frame = pb::UpsertTicketsRequest { tickets, validate_only: false };
    server.memory().await.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();
}

async fn suggest(server: &TestServer, ticket: pb::Ticket) -> pb::SuggestArticlesResponse {
    let request = pb::SuggestArticlesRequest { ticket: Some(ticket), top_n: Some(10) };
    server.knowledge().await.suggest_articles(request).await.unwrap().into_inner()
}

fn reason(hit: &pb::ArticleHit, kind: ArticleReasonKind) -> Option<&pb::ArticleReason> {
    hit.reasons.iter().find(|reason| reason.kind() == kind)
}

async fn desk() -> TestServer {
    let server = TestServer::start().await;
    let articles = vec![
        article("KB1", "Clean the rollers", "Open the tray and wipe the rubber."),
        article("KB2", "Printer out of toner", "Order a cartridge for the printer."),
        pb::Article { products: vec!["VPN client".to_owned()], ..article("KB3", "Error 809", "Open the ports.") },
    ];
    upsert(&mut server.knowledge().await, articles).await;
    server
}

#[tokio::test]
async fn what_solved_such_tickets_is_suggested_and_says_so() {
    let server = desk().await;
    let asked = || ticket("Paper jam in my printer", "");
    assert_eq!(suggest(&server, asked()).await.articles[0].id, "KB2");
    let jams = ["The printer on floor two has a paper jam", "Paper jam again in the printer"];
    let tickets = jams.iter().zip(["INC1", "INC2"]).map(|(summary, id)| confirmed(id, summary, &["KB1", "NONE"]));
    remember(&server, tickets.collect()).await;

    let answer = suggest(&server, asked()).await;
    let first = answer.articles.iter().find(|hit| hit.id == "KB1").unwrap();
    let solved = reason(first, ArticleReasonKind::SolvedSimilar).unwrap();
    assert_eq!(
        (solved.text.as_str(), solved.values.as_slice()),
        ("solved 2 similar tickets", &["INC2".to_owned(), "INC1".to_owned()][..])
    );
    let second = answer.articles.iter().find(|hit| hit.id == "KB2").unwrap();
    assert_eq!(reason(second, ArticleReasonKind::SharedWords).unwrap().values, ["printer"]);
    assert_eq!((first.chance, answer.versions.unwrap().learned.as_str()), (None, "0"));

    let own = pb::Ticket { id: "INC1".to_owned(), ..asked() };
    let of_others = suggest(&server, own).await.articles;
    let solved = of_others.iter().find(|hit| hit.id == "KB1").unwrap();
    assert_eq!(reason(solved, ArticleReasonKind::SolvedSimilar).unwrap().values, ["INC2"]);
    server.stop().await;
}

#[tokio::test]
async fn what_is_withdrawn_is_not_suggested_any_more() {
    let server = desk().await;
    remember(&server, vec![confirmed("INC1", "Paper jam in the printer", &["KB1"])]).await;
    let found = suggest(&server, ticket("paper jam in my printer", "")).await.articles;
    assert!(found.iter().any(|hit| hit.id == "KB1"));
    let retired = pb::Article {
        status: pb::ArticleStatus::Retired.into(),
        ..article("KB1", "Clean the rollers", "Open the tray and wipe the rubber.")
    };
    upsert(&mut server.knowledge().await, vec![retired]).await;
    let found = suggest(&server, ticket("paper jam in my printer", "")).await.articles;
    assert!(found.iter().all(|hit| hit.id != "KB1") && !found.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn the_decision_of_a_ticket_holds_the_same_suggestions() {
    let server = desk().await;
    remember(&server, vec![confirmed("INC1", "Paper jam in the printer", &["KB1"])]).await;
    let asked = pb::Ticket { service: "vpn CLIENT".to_owned(), ..ticket("printer: paper jam, error 809", "") };
    let suggested = suggest(&server, asked.clone()).await.articles;
    let request =
        pb::TriageTicketRequest { ticket: Some(asked), top_n: Some(10), ..pb::TriageTicketRequest::default() };
    let decision = server.triage().await.triage_ticket(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.articles, suggested);
    let about = suggested.iter().find(|hit| hit.id == "KB3").unwrap();
    assert_eq!(reason(about, ArticleReasonKind::SameProduct).unwrap().text, "is about vpn CLIENT too");
    server.stop().await;
}

#[tokio::test]
async fn chances_come_with_enough_links_and_without_a_restart() {
    let server = desk().await;
    let topics = [("paper jam tray", "KB1"), ("toner cartridge empty", "KB2"), ("error 809 ports", "KB3")];
    let ticket_of = |number: usize| {
        let (words, article) = topics[number % topics.len()];
        confirmed(&format!("INC{number}"), &format!("{words} case{number}"), &[article])
    };
    remember(&server, (0..60).map(ticket_of).collect()).await;
    // Learning goes on in the background; its end is seen in the answers.
    let answer = crate::harness::in_time(async {
        loop {
            let answer = suggest(&server, ticket("toner is empty", "")).await;
            if answer.articles[0].chance.is_some() {
                break answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(answer.articles[0].id, "KB2");
    assert!(answer.articles[0].chance.is_some_and(|chance| (0.5..=1.0).contains(&chance)));
    let versions = answer.versions.unwrap();
    assert_eq!(versions.learned, versions.memory);
    server.stop().await;
}
