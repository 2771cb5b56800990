//! `FeedbackService`: what became of suggested articles, and what the memory learns from it.

use serde_json::{Value, json};
use ticket_triage::pb::{
    self, ArticleEvent, feedback_service_client::FeedbackServiceClient,
    knowledge_service_client::KnowledgeServiceClient, memory_service_client::MemoryServiceClient,
};
use tonic::{Code, Status, transport::Channel};

use crate::harness::{
    HeldWrites, ServerProcess, TestServer, article, file, in_time, reason, request, run, ticket, upsert,
    violated_fields,
};

/// The services of one server that take part in the loop from a suggestion to what was learnt.
struct Desk {
    knowledge: KnowledgeServiceClient<Channel>,
    memory: MemoryServiceClient<Channel>,
    feedback: FeedbackServiceClient<Channel>,
}

impl Desk {
    async fn of(server: &TestServer) -> Self {
        Self { knowledge: server.knowledge().await, memory: server.memory().await, feedback: server.feedback().await }
    }

    async fn of_process(server: &ServerProcess) -> Self {
        Self { knowledge: server.knowledge().await, memory: server.memory().await, feedback: server.feedback().await }
    }

    async fn fill(&mut self) {
        let articles = vec![
            article("KB1", "Clear a paper jam in the printer", "Open the tray and take the paper out."),
            article("KB2", "Order toner for a printer", "Fill in the form for paper and toner."),
            article("KB3", "VPN error 809", "Open the ports of the tunnel."),
        ];
        upsert(&mut self.knowledge, articles).await;
    }

    /// What is suggested for a ticket: the handle and the ids of the articles.
    async fn suggest(&mut self, ticket: pb::Ticket) -> (String, Vec<String>) {
        let request = pb::SuggestArticlesRequest { ticket: Some(ticket), top_n: None };
        let answer = self.knowledge.suggest_articles(request).await.unwrap().into_inner();
        (answer.suggestion_handle, answer.articles.into_iter().map(|article| article.id).collect())
    }

    async fn send(&mut self, handle: &str, article: &str, event: ArticleEvent) -> Result<(bool, bool), Status> {
        let answer = self.feedback.record_article_feedback(message(handle, article, event)).await?.into_inner();
        Ok((answer.recorded, answer.memory_changed))
    }

    /// The confirmed tickets like a text: id, what solved it and how alike they are.
    async fn similar(&mut self, text: &str) -> Vec<(String, Vec<String>, f32)> {
        let request = pb::FindSimilarTicketsRequest { ticket: Some(ticket(text, "")), top_n: Some(10) };
        let tickets = self.memory.find_similar_tickets(request).await.unwrap().into_inner().tickets;
        tickets.into_iter().map(|ticket| (ticket.id, ticket.articles, ticket.similarity)).collect()
    }

    async fn solved(&mut self, text: &str) -> Vec<(String, Vec<String>)> {
        self.similar(text).await.into_iter().map(|(id, articles, _)| (id, articles)).collect()
    }

    async fn usage(&mut self, article: &str) -> [u64; 5] {
        let request = pb::GetArticleRequest { id: article.to_owned(), version: None };
        let usage = self.knowledge.get_article(request).await.unwrap().into_inner().usage.unwrap();
        [usage.shown, usage.clicked, usage.helped, usage.refused, usage.solved_tickets]
    }
}

fn message(handle: &str, article: &str, event: ArticleEvent) -> pb::RecordArticleFeedbackRequest {
    pb::RecordArticleFeedbackRequest {
        suggestion_handle: handle.to_owned(),
        article_id: article.to_owned(),
        event: event.into(),
    }
}

fn jam(id: &str) -> pb::Ticket {
    pb::Ticket { id: id.to_owned(), ..ticket("Paper jam in the printer", "<p>It jams with <b>every page</b></p>") }
}

fn solved_by(id: &str, articles: &[&str]) -> (String, Vec<String>) {
    (id.to_owned(), articles.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn what_helped_is_known_to_the_next_call() {
    let server = TestServer::start().await;
    let mut desk = Desk::of(&server).await;
    desk.fill().await;
    let (handle, articles) = desk.suggest(jam("INC1")).await;
    assert_eq!(articles[0], "KB1");
    for (event, expected) in [
        (ArticleEvent::Shown, (true, false)),
        (ArticleEvent::Clicked, (true, false)),
        (ArticleEvent::Helped, (true, true)),
        (ArticleEvent::Helped, (false, false)),
        (ArticleEvent::Shown, (false, false)),
    ] {
        assert_eq!(desk.send(&handle, "KB1", event).await.unwrap(), expected, "{event:?}");
    }
    assert_eq!(desk.solved("the printer jams with every page").await, [solved_by("INC1", &["KB1"])]);
    assert_eq!((desk.usage("KB1").await, desk.usage("KB2").await), ([1, 1, 1, 0, 1], [0; 5]));

    // The decision of a ticket without an id brings a handle as well.
    let mut triage = server.triage().await;
    let decision = triage.triage_ticket(request(jam(""))).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(desk.send(&decision.suggestion_handle, "KB1", ArticleEvent::Helped).await.unwrap(), (true, true));
    let found = desk.similar("Paper jam in the printer\nIt jams with every page").await;
    assert_eq!(found.len(), 2);
    let (id, articles, similarity) = found.into_iter().find(|(id, _, _)| id != "INC1").unwrap();
    assert!(id.len() == 27 && id.starts_with("suggestion-") && articles == ["KB1"] && similarity > 0.99, "{id}");
    assert_eq!(desk.usage("KB1").await, [1, 1, 2, 0, 2]);

    let (_, metrics) = server.admin("/metrics").await;
    for event in ["shown", "clicked", "helped"] {
        let series = format!("triage_article_feedback_total{{event=\"{event}\"}}");
        assert!(metrics.lines().any(|line| line.starts_with(&series)), "{metrics}");
    }
    server.stop().await;
}

#[tokio::test]
async fn of_helped_and_refused_the_later_counts_and_a_confirmed_ticket_keeps_its_text() {
    let server = TestServer::start().await;
    let mut desk = Desk::of(&server).await;
    desk.fill().await;
    let confirmed = pb::ConfirmedTicket {
        id: "INC1".to_owned(),
        summary: "Rollers of the printer are worn".to_owned(),
        articles: vec!["KB9".to_owned()],
        ..pb::ConfirmedTicket::default()
    };
    let frame = pb::UpsertTicketsRequest { tickets: vec![confirmed], validate_only: false };
    desk.memory.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();

    let (handle, _) = desk.suggest(jam("INC1")).await;
    let printer = "rollers of the printer";
    assert_eq!(desk.send(&handle, "KB1", ArticleEvent::Refused).await.unwrap(), (true, true));
    assert_eq!(desk.solved(printer).await, [solved_by("INC1", &["KB9"])]);
    assert_eq!(desk.usage("KB1").await, [0, 0, 0, 1, 0]);
    assert_eq!(desk.send(&handle, "KB1", ArticleEvent::Helped).await.unwrap(), (true, true));
    assert_eq!(desk.solved(printer).await, [solved_by("INC1", &["KB1", "KB9"])]);
    assert_eq!(desk.usage("KB1").await, [0, 0, 1, 0, 1]);
    assert_eq!(desk.send(&handle, "KB1", ArticleEvent::Refused).await.unwrap(), (true, true));
    assert_eq!(desk.solved(printer).await, [solved_by("INC1", &["KB9"])]);
    assert!(desk.solved("jams with every page").await.is_empty(), "its text stays");
    server.stop().await;
}

#[tokio::test]
async fn handles_come_with_suggestions_only() {
    let server = TestServer::start().await;
    let mut desk = Desk::of(&server).await;
    desk.fill().await;
    assert_eq!(desk.suggest(ticket("xylophone", "")).await, (String::new(), Vec::new()));
    let (handle, _) = desk.suggest(jam("INC1")).await;
    assert_eq!(desk.suggest(jam("INC1")).await.0, handle, "the same request has the same answer");
    assert_ne!(desk.suggest(jam("INC2")).await.0, handle);

    let mut triage = server.triage().await;
    let mut handle_with = async |features: &[pb::Feature]| {
        let features = features.iter().map(|feature| i32::from(*feature)).collect();
        let request = pb::TriageTicketRequest { ticket: Some(jam("INC1")), features, top_n: None };
        triage.triage_ticket(request).await.unwrap().into_inner().decision.unwrap().suggestion_handle
    };
    assert!(handle_with(&[pb::Feature::Fields, pb::Feature::Similar]).await.is_empty());
    assert_eq!(handle_with(&[pb::Feature::Articles]).await, handle);
    server.stop().await;
}

#[tokio::test]
async fn wrong_feedback_is_refused_and_named() {
    let (server, other) = (TestServer::start().await, TestServer::start().await);
    let (mut desk, mut other_desk) = (Desk::of(&server).await, Desk::of(&other).await);
    desk.fill().await;
    other_desk.fill().await;
    let (handle, _) = desk.suggest(jam("INC1")).await;
    let (foreign, _) = other_desk.suggest(jam("INC1")).await;
    let cut = &handle[..handle.len() - 1];
    let forged = format!("{}A{}", &handle[..40], &handle[41..]);
    let forged = if forged == handle { format!("{}B{}", &handle[..40], &handle[41..]) } else { forged };
    let long = "A".repeat(300_000);
    for (handle, article, event, fields) in [
        ("", "", ArticleEvent::Unspecified, vec!["suggestion_handle", "article_id", "event"]),
        (&handle, "KB1", ArticleEvent::Unspecified, vec!["event"]),
        (&handle, "KB3", ArticleEvent::Helped, vec!["article_id"]),
        (&handle, "kb1", ArticleEvent::Shown, vec!["article_id"]),
        (&foreign, "KB1", ArticleEvent::Helped, vec!["suggestion_handle"]),
        (cut, "KB1", ArticleEvent::Helped, vec!["suggestion_handle"]),
        (&forged, "KB1", ArticleEvent::Helped, vec!["suggestion_handle"]),
        (&long, "KB1", ArticleEvent::Helped, vec!["suggestion_handle"]),
        ("größe", "KB1", ArticleEvent::Helped, vec!["suggestion_handle"]),
    ] {
        let status = desk.send(handle, article, event).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(violated_fields(&status), fields);
    }
    let unknown = pb::RecordArticleFeedbackRequest { event: 9, ..message(&handle, "KB1", ArticleEvent::Helped) };
    let status = desk.feedback.record_article_feedback(unknown).await.unwrap_err();
    assert_eq!(violated_fields(&status), ["event"]);
    let status = desk.send(&handle, "KB3", ArticleEvent::Helped).await.unwrap_err();
    assert!(status.message().contains("it held KB1, KB2"), "{status}");
    assert_eq!((desk.usage("KB1").await, desk.usage("KB3").await), ([0; 5], [0; 5]));
    assert!(desk.similar("printer").await.is_empty());
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn two_calls_at_once_have_one_effect() {
    let server = TestServer::start().await;
    let mut desk = Desk::of(&server).await;
    desk.fill().await;
    let (handle, _) = desk.suggest(jam("INC1")).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (mut feedback, handle) = (desk.feedback.clone(), handle.clone());
            tokio::spawn(async move {
                feedback.record_article_feedback(message(&handle, "KB1", ArticleEvent::Helped)).await
            })
        })
        .collect();
    let mut recorded = 0;
    for call in calls {
        let answer = in_time(call).await.unwrap().unwrap().into_inner();
        assert_eq!(answer.recorded, answer.memory_changed);
        recorded += usize::from(answer.recorded);
    }
    assert_eq!(recorded, 1);
    assert_eq!((desk.usage("KB1").await, desk.similar("paper jam").await.len()), ([0, 0, 1, 0, 1], 1));
    server.stop().await;
}

#[tokio::test]
async fn feedback_that_was_acknowledged_survives_a_kill_and_so_do_handles() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut desk = Desk::of_process(&server).await;
    desk.fill().await;
    let (handle, _) = desk.suggest(jam("INC1")).await;
    assert_eq!(desk.send(&handle, "KB1", ArticleEvent::Helped).await.unwrap(), (true, true));
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);

    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut desk = Desk::of_process(&server).await;
    assert_eq!(desk.solved("paper jam").await, [solved_by("INC1", &["KB1"])]);
    assert_eq!(desk.usage("KB1").await, [0, 0, 1, 0, 1]);
    assert_eq!(desk.send(&handle, "KB1", ArticleEvent::Helped).await.unwrap(), (false, false));
    assert_eq!(desk.send(&handle, "KB2", ArticleEvent::Helped).await.unwrap(), (true, true));
    assert_eq!(desk.solved("paper jam").await, [solved_by("INC1", &["KB1", "KB2"])]);
}

#[tokio::test]
async fn feedback_that_was_killed_before_it_was_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut desk = Desk::of_process(&server).await;
    desk.fill().await;
    let (handle, _) = desk.suggest(jam("INC1")).await;
    let held = HeldWrites::new(folder.path());
    let call = {
        let (mut feedback, handle) = (desk.feedback.clone(), handle.clone());
        tokio::spawn(
            async move { feedback.record_article_feedback(message(&handle, "KB1", ArticleEvent::Helped)).await },
        )
    };
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);
    drop(held);
    in_time(call).await.unwrap().unwrap_err();

    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut desk = Desk::of_process(&server).await;
    assert!(desk.similar("paper jam").await.is_empty());
    assert_eq!(desk.send(&handle, "KB1", ArticleEvent::Helped).await.unwrap(), (true, true));
}

/// Runs the program; its one JSON document.
fn json_of(arguments: &[&str]) -> Value {
    let outcome = run(arguments);
    outcome.check(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[tokio::test]
async fn the_command_line_gives_feedback_to_a_folder_and_to_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let articles = file(
        folder.path(),
        "kb.jsonl",
        "{\"id\":\"KB1\",\"title\":\"Clear a paper jam\",\"text\":\"Open the tray.\"}\n",
    );
    run(["kb", "import", &articles, "--data-dir", data]).check(0, &[]);
    let decision = json_of(&["classify", "--data-dir", data, "--json", "paper jam in the printer"]);
    let handle = decision["suggestion_handle"].as_str().unwrap();
    let give = |article: &str, event: &str, place: [&str; 2]| {
        run(["feedback", "article", "--handle", handle, "--article", article, "--event", event].iter().chain(&place))
    };
    let outcome = give("KB1", "shown", ["--data-dir", data]);
    outcome.check(0, &[]);
    assert_eq!(outcome.stdout, "recorded\n");
    let outcome = give("KB1", "helped", ["--data-dir", data]);
    outcome.check(0, &[]);
    assert_eq!(outcome.stdout, "recorded: the memory knows that it solved this ticket\n");
    let similar = json_of(&["memory", "similar", "--data-dir", data, "--json", "paper jam"]);
    assert_eq!(similar["tickets"][0]["articles"], json!(["KB1"]));
    assert_eq!(json_of(&["classify", "--json", "paper jam"])["suggestion_handle"], Value::Null);

    give("KB2", "helped", ["--data-dir", data]).check(1, &["article_id", "it held KB1"]);
    give("KB1", "loved", ["--data-dir", data]).check(2, &["shown, clicked, helped, refused"]);
    give("KB1", "helped", ["--data-dir", "/nowhere/to/be/found"]).check(1, &["--data-dir", "--server"]);

    let server = ServerProcess::start(data.as_ref(), &[]).await;
    let address = server.address.clone();
    let asked = json_of(&["classify", "--server", &address, "--json", "paper jam in the printer"]);
    assert_eq!(asked["suggestion_handle"], handle);
    let again = json_of(&[
        "feedback",
        "article",
        "--handle",
        handle,
        "--article",
        "KB1",
        "--event",
        "helped",
        "--server",
        &address,
        "--json",
    ]);
    assert_eq!(again, json!({"recorded": false, "memory_changed": false}));
    give("KB1", "refused", ["--data-dir", data]).check(1, &["--server"]);
    let outcome = give("KB1", "refused", ["--server", &address]);
    outcome.check(0, &[]);
    assert_eq!(outcome.stdout, "recorded: the memory knows that it was of no use for this ticket\n");
    give("KB2", "refused", ["--server", &address]).check(1, &["article_id", "it held KB1"]);
}
