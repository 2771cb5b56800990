//! The audit log: what gets an entry, and what of it shows when somebody tampers with it.

use std::{fs, path::Path};

use serde_json::Value;
use ticket_triage::{
    access::role::Role,
    audit::{AuditEntry, AuditLog, Problem, verify},
    pb,
    store::{Store, StoreError},
};

use crate::{
    doors::Tokens,
    harness::{Outcome, ServerProcess, TestServer, article, file, frame, run},
};

fn on(data_dir: &Path, arguments: &[&str]) -> Outcome {
    run(arguments.iter().copied().chain(["--data-dir", data_dir.to_str().unwrap()]))
}

/// A data directory with these many entries, closed again.
fn log_of(entries: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(Store::open(folder.path()).unwrap(), folder.path()).unwrap();
    for n in 0..entries {
        log.record_now(AuditEntry::new("desk", "kb import", "OK").with_count("imported", n as u64)).unwrap();
    }
    folder
}

/// The directory is held until processes that other tests start have let go of what they inherit for a moment.
fn reopened(data_dir: &Path) -> Store {
    loop {
        match Store::open(data_dir) {
            Err(StoreError::Held { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// As somebody edits the database who knows about its triggers.
fn edit(data_dir: &Path, statements: &str) {
    let database = rusqlite::Connection::open(data_dir.join("triage.sqlite3")).unwrap();
    let triggers = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_shortened;";
    database.execute_batch(&format!("{triggers} {statements}")).unwrap();
}

#[test]
fn every_command_that_changes_the_directory_has_one_entry_without_any_text() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let rows = file(folder.path(), "articles.jsonl", "{\"id\": \"KB1\", \"text\": \"Wombat offline\"}\n");
    on(&data_dir, &["kb", "import", &rows]).check(0, &[]);
    on(&data_dir, &["kb", "search", "wombat"]).check(0, &[]);
    on(&data_dir, &["kb", "delete", "KB1", "KB2"]);
    on(&data_dir, &["kb", "publish", "KB9"]).check(1, &[]);
    on(&data_dir, &["taxonomy", "retire", "type", "question", "--dry-run"]).check(0, &[]);

    let listed = on(&data_dir, &["audit", "list", "--json"]);
    listed.check(0, &[]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let entries = listed["entries"].as_array().unwrap();
    let told: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {} {}", entry["sequence"], entry["action"], entry["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(told, ["3 kb publish FAILED", "2 kb delete OK", "1 kb import OK"]);
    assert_eq!(entries[1]["details"]["subjects"], serde_json::json!(["KB1", "KB2"]));
    assert_eq!(entries[2]["details"]["versions"]["model"], "embedded");
    assert!(!listed.to_string().to_lowercase().contains("wombat"));

    let verified = on(&data_dir, &["audit", "verify"]);
    verified.check(0, &[]);
    assert!(verified.stdout.contains("3 entries: nothing was removed or changed"), "{}", verified.stdout);
    assert!(!data_dir.join("audit.pending").exists());
}

#[test]
fn a_folder_that_is_misspelt_is_not_made_for_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    on(&absent, &["kb", "delete", "KB1"]).check(1, &["no knowledge base"]);
    on(&absent, &["audit", "verify"]).check(1, &["no audit log"]);
    assert!(!absent.exists());
}

#[test]
fn what_is_removed_or_changed_is_found() {
    let changed = |sequence| Problem::Changed { sequence };
    let missing = |first, last| Problem::Missing { first, last };
    let removed_head = || Problem::Head("the database no longer names the last entry".to_owned());
    let earlier_head = "UPDATE audit_head SET sequence = 2, hash = (SELECT hash FROM audit WHERE sequence = 2);";
    let forged =
        "INSERT INTO audit SELECT 6, at_ms, 'else', action, outcome, details, hash FROM audit WHERE sequence = 5;";
    for (statements, expected) in [
        ("UPDATE audit SET caller = 'else' WHERE sequence = 3;", vec![changed(3)]),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = 5;", vec![changed(5)]),
        ("UPDATE audit SET hash = zeroblob(32) WHERE sequence = 2;", vec![changed(2), changed(3)]),
        ("DELETE FROM audit WHERE sequence = 1;", vec![missing(1, 1)]),
        ("DELETE FROM audit WHERE sequence IN (3, 4);", vec![missing(3, 4)]),
        ("DELETE FROM audit WHERE sequence > 3;", vec![missing(4, 5)]),
        ("DELETE FROM audit; DELETE FROM audit_head;", vec![missing(1, 5)]),
        ("DELETE FROM audit_head;", vec![removed_head()]),
        (
            &format!("{earlier_head} DELETE FROM audit WHERE sequence > 2;"),
            vec![Problem::Head("what the database says of the last entry was changed".to_owned()), missing(3, 5)],
        ),
        (forged, vec![changed(6), Problem::Head("the database names an earlier entry than the last one".to_owned())]),
    ] {
        let folder = log_of(5);
        assert_eq!(verify(folder.path(), None).unwrap().problems, []);
        edit(folder.path(), statements);
        assert_eq!(verify(folder.path(), None).unwrap().problems, expected, "{statements}");
    }
}

#[test]
fn a_tail_that_was_removed_stays_found_when_the_log_goes_on() {
    let folder = log_of(5);
    edit(folder.path(), "DELETE FROM audit WHERE sequence > 3;");
    let log = AuditLog::open(reopened(folder.path()), folder.path()).unwrap();
    assert_eq!(log.record_now(AuditEntry::new("desk", "kb import", "OK")).unwrap(), 6);
    drop(log);
    assert_eq!(verify(folder.path(), None).unwrap().problems, [Problem::Missing { first: 4, last: 5 }]);
}

#[test]
fn a_head_that_was_written_down_must_still_be_there() {
    let folder = log_of(3);
    let verified = on(folder.path(), &["audit", "verify"]);
    let noted = verified.stdout.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert!(noted.starts_with("3:"), "{noted}");
    on(folder.path(), &["audit", "verify", "--since", &noted]).check(0, &[]);

    // A log that somebody with the key wrote anew.
    let anew = log_of(4);
    let outcome = on(anew.path(), &["audit", "verify", "--since", &noted, "--json"]);
    outcome.check(1, &[]);
    assert!(outcome.stdout.contains("entry 3 is not the one that was written down"), "{}", outcome.stdout);
}

#[test]
fn files_of_the_log_that_are_gone_are_found_and_a_lost_key_stops_it() {
    let folder = log_of(3);
    fs::remove_file(folder.path().join("audit.head")).unwrap();
    assert_eq!(verify(folder.path(), None).unwrap().problems, [Problem::Head("audit.head is gone".to_owned())]);

    let folder = log_of(3);
    fs::remove_file(folder.path().join("audit.key")).unwrap();
    assert_eq!(verify(folder.path(), None).unwrap().problems, [Problem::NoKey]);
    let error = AuditLog::open(reopened(folder.path()), folder.path()).unwrap_err().to_string();
    assert!(error.contains("audit.key") && error.contains("backup"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn entries_of_many_callers_are_chained_and_durable_when_they_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(Store::open(folder.path()).unwrap(), folder.path()).unwrap();
    let callers = (0..20).map(|caller| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..25 {
                let entry = AuditEntry::new(&format!("caller {caller}"), "triage.v1.X/Y", "OK");
                numbers.push(log.record(entry).await.unwrap());
            }
            numbers
        })
    });
    let mut numbers = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        numbers.extend(caller.await.unwrap());
    }
    // While the log is open, as a server has it.
    let verified = verify(folder.path(), None).unwrap();
    assert_eq!((verified.entries, verified.problems.len()), (500, 0));
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_not_written_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = AuditLog::open(Store::open(folder.path()).unwrap(), folder.path()).unwrap();
    for _ in 0..5_000 {
        log.refused(AuditEntry::new("", "triage.v1.X/Y", "UNAUTHENTICATED"));
    }
    std::thread::spawn(move || drop(log)).join().unwrap();
    let listed = on(folder.path(), &["audit", "list", "--limit", "1", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let last = &listed["entries"][0];
    let (written, counted) = (last["sequence"].as_u64().unwrap(), last["details"]["counts"]["calls"].as_u64().unwrap());
    assert!(written < 1_000 && written - 1 + counted <= 5_000 && counted > 3_000, "{last}");
}

#[tokio::test]
async fn the_log_is_read_while_a_server_holds_the_directory() {
    let folder = std::thread::spawn(|| log_of(2)).join().unwrap();
    let _server = ServerProcess::start(folder.path(), &[]).await;
    for command in [["audit", "list"], ["audit", "verify"]] {
        on(folder.path(), &command).check(0, &[]);
    }
}

/// Caller, action, outcome and subjects of all entries, the first first.
fn told(data_dir: &Path) -> Vec<[String; 4]> {
    let listed = on(data_dir, &["audit", "list", "--json"]);
    listed.check(0, &[]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let entries = listed["entries"].as_array().unwrap().iter().rev();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .map(|entry| {
            let [caller, action, outcome] = ["caller", "action", "outcome"].map(|key| text(entry, key));
            let subjects = entry["details"]["subjects"].as_array().into_iter().flatten();
            let subjects: Vec<_> = subjects.filter_map(Value::as_str).collect();
            [caller, action, outcome, subjects.join(" ")]
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_over_the_wire_is_written_down_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let server = ServerProcess::start(&data_dir, &[]).await;
    let mut knowledge = server.knowledge().await;
    let sent = tokio_stream::iter([frame(vec![article("KB1", "Wombat offline", "Turn it on.")])]);
    knowledge.upsert_articles(sent).await.unwrap();
    knowledge.get_article(pb::GetArticleRequest { id: "KB1".to_owned(), version: None }).await.unwrap();
    let delete = pb::DeleteArticleRequest { id: "KB1".to_owned(), ..pb::DeleteArticleRequest::default() };
    knowledge.delete_article(delete.clone()).await.unwrap();
    knowledge.delete_article(delete).await.unwrap_err();
    // What failed is written down with what comes next, at the latest.
    let sent = tokio_stream::iter([frame(vec![article("KB2", "Wombat offline", "Turn it on.")])]);
    knowledge.upsert_articles(sent).await.unwrap();
    // Killed.
    drop(server);
    let entry = |method: &str, outcome: &str, id: &str| {
        ["127.0.0.1", &format!("triage.v1.KnowledgeService/{method}"), outcome, id].map(str::to_owned)
    };
    let expected = [
        entry("UpsertArticles", "OK", "KB1"),
        entry("DeleteArticle", "OK", "KB1"),
        entry("DeleteArticle", "NOT_FOUND", "KB1"),
        entry("UpsertArticles", "OK", "KB2"),
    ];
    assert_eq!(told(&data_dir), expected);
    on(&data_dir, &["audit", "verify"]).check(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_says_what_a_call_was_about_and_a_call_that_only_asks_gets_none() {
    let server = TestServer::start().await;
    let id = |id: &str| id.to_owned();
    let mut knowledge = server.knowledge().await;
    let rehearsal = pb::UpsertArticlesRequest { validate_only: true, ..frame(vec![article("KB1", "Wombat", "On.")]) };
    knowledge.upsert_articles(tokio_stream::iter([rehearsal])).await.unwrap();
    let mut taxonomy = server.taxonomy().await;
    let document = taxonomy.get_taxonomy(pb::GetTaxonomyRequest {}).await.unwrap().into_inner().document;
    let ask = pb::ApplyTaxonomyRequest { document, validate_only: true, ..pb::ApplyTaxonomyRequest::default() };
    taxonomy.apply_taxonomy(ask).await.unwrap();

    let status = pb::SetArticleStatusRequest {
        id: id("KB7"),
        status: pb::ArticleStatus::Retired.into(),
        ..pb::SetArticleStatusRequest::default()
    };
    knowledge.set_article_status(status).await.unwrap_err();
    let ids = vec![id("T1"), id("T2")];
    server.memory().await.delete_tickets(pb::DeleteTicketsRequest { ids }).await.unwrap();
    server.jobs().await.pause_job(pb::PauseJobRequest { id: id("7") }).await.unwrap_err();
    let activate = pb::ActivateModelRequest { version: id("v7"), by: id("ann"), ..pb::ActivateModelRequest::default() };
    server.models().await.activate_model(activate).await.unwrap_err();
    server.feedback().await.withdraw_feedback(pb::WithdrawFeedbackRequest { feedback_id: 7 }).await.unwrap_err();

    let data_dir = server.data_dir();
    let folder = server.stop_and_keep().await;
    let found: Vec<_> = told(&data_dir)
        .into_iter()
        .map(|[_, action, _, subjects]| format!("{} {subjects}", action.rsplit('/').next().unwrap()))
        .collect();
    let expected =
        ["SetArticleStatus KB7", "DeleteTickets T1 T2", "PauseJob 7", "ActivateModel v7", "WithdrawFeedback 7"];
    assert_eq!(found, expected);
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_refused_is_written_down_by_name_where_it_is_known() {
    let tokens = Tokens::new();
    let token = tokens.add("bot", Role::Chatbot, "");
    let server = TestServer::start_with(&tokens.configuration()).await;
    let delete = |authorization: Option<&str>| {
        let mut request = tonic::Request::new(pb::DeleteArticleRequest {
            id: "KB1".to_owned(),
            ..pb::DeleteArticleRequest::default()
        });
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        request
    };
    let mut knowledge = server.knowledge().await;
    knowledge.delete_article(delete(Some(&format!("Bearer {token}")))).await.unwrap_err();
    knowledge.delete_article(delete(None)).await.unwrap_err();
    let data_dir = server.data_dir();
    let folder = server.stop_and_keep().await;
    let expected = [["token:bot", "PERMISSION_DENIED"], ["127.0.0.1", "UNAUTHENTICATED"]];
    let found = told(&data_dir);
    let found: Vec<_> = found.iter().map(|[caller, _, outcome, _]| [caller.as_str(), outcome.as_str()]).collect();
    assert_eq!(found, expected);
    drop(folder);
}
