//! `KnowledgeService.ListGaps` and `triage kb gaps`: what the knowledge base lacks, from a server and a data directory.

use serde_json::Value;
use ticket_triage::pb;
use tonic::Code;

use crate::harness::{
    Outcome, ServerProcess, TestServer, article, file, in_time, reason, run, upsert, violated_fields,
};

const ARTICLES: &str = "id,title,text,status,valid_until\n\
    KB809,VPN error 809,Allow UDP 500 and 4500 in the router and connect the VPN again.,,\n\
    KB-OLD,Blank pages from the scanner,Clean the glass.,retired,\n\
    KB-LATE,Toner of the old printers,Order toner.,,2024-05-01\n\
    KB-LONE,Standing desks,Ask facilities for one.,,\n";

/// Two things that no article answers, and one that one does.
const TICKETS: &str = "id,summary,articles,category\n\
    1,Badge reader at the north gate is dead,,access\n\
    2,The north gate's badge reader blinks red for ann@x.example,,access\n\
    3,Badge reader again: north gate stays shut,,door\n\
    4,North gate: badge reader beeps,,\n\
    5,Scanner sends blank pages,KB-OLD,\n\
    6,Blank pages from the scanner on floor two,KB-OLD,\n\
    7,All pages that the scanner sends are blank,KB-OLD,\n\
    8,VPN fails with error 809,KB809,\n\
    9,VPN error 809 in the hotel,KB809,\n";

fn json(outcome: &Outcome) -> Value {
    outcome.check(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

fn gaps(place: [&str; 2], flags: &[&str]) -> Outcome {
    run(["kb", "gaps"].into_iter().chain(place).chain(flags.iter().copied()))
}

#[tokio::test]
async fn what_is_missing_is_the_same_in_a_data_directory_and_from_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (articles, tickets) = (file(folder.path(), "kb.csv", ARTICLES), file(folder.path(), "tickets.csv", TICKETS));
    let data = folder.path().join("data");
    let here = ["--data-dir", data.to_str().unwrap()];
    run(["kb", "import", &articles].into_iter().chain(here)).check(0, &[]);
    let columns = ["--text", "summary", "--articles", "articles", "--label", "category"];
    run(["memory", "import", &tickets].into_iter().chain(columns).chain(here)).check(0, &[]);

    let (table, document) = (gaps(here, &[]), json(&gaps(here, &["--json"])));
    assert_eq!(document["tickets"]["looked_at"], 9);
    assert_eq!(document["tickets"]["unanswered"], 7);
    let clusters = document["clusters"].as_array().unwrap();
    assert_eq!(clusters.iter().map(|cluster| cluster["tickets"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(clusters[0]["terms"][0].as_str().unwrap().to_lowercase(), "badge reader");
    assert_eq!(clusters[0]["labels"][0]["value"], "access");
    assert_eq!(clusters[1]["named_articles"][0]["id"], "KB-OLD");
    assert_eq!(clusters[1]["named_articles"][0]["standing"], "retired");
    assert_eq!(document["articles"]["expired"][0]["id"], "KB-LATE");
    assert_eq!(document["articles"]["never_suggested"][0]["id"], "KB-LONE");
    assert!(!document.to_string().contains("ann@x.example"), "what is shown is what may be kept");
    table.check(0, &[]);
    for line in [
        "9 tickets since ",
        "no article answers 7 of them; 7 of these are in 2 clusters",
        "3 solved by KB-OLD “Blank pages from the scanner”, which is retired",
        "category access (2 of 3)",
        "KB-LATE “Toner of the old printers”: 2024-05-01, solved 0 tickets",
    ] {
        assert!(table.stdout.contains(line), "{line} in\n{}", table.stdout);
    }
    let one = json(&gaps(here, &["--json", "--top", "1", "--max-tickets", "8"]));
    assert_eq!(one["clusters"].as_array().unwrap().len(), 1);
    assert_eq!((&one["clusters_total"], &one["tickets"]["cut"]), (&Value::from(2), &Value::from(true)));

    let server = ServerProcess::start(&data, &[]).await;
    let there = ["--server", server.address.as_str()];
    assert_eq!(gaps(there, &[]).stdout, table.stdout);
    assert_eq!(json(&gaps(there, &["--json"])), document);
    assert_eq!(json(&gaps(there, &["--json", "--top", "1", "--max-tickets", "8"])), one);
}

#[test]
fn an_empty_memory_and_an_empty_base_are_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let here = ["--data-dir", data.to_str().unwrap()];
    gaps(here, &[]).check(1, &["no knowledge base in"]);
    let articles = file(folder.path(), "kb.csv", ARTICLES);
    run(["kb", "import", &articles].into_iter().chain(here)).check(0, &[]);
    let outcome = gaps(here, &[]);
    outcome.check(0, &[]);
    assert!(outcome.stdout.starts_with("no confirmed ticket since "), "{}", outcome.stdout);

    let other = folder.path().join("other");
    let there = ["--data-dir", other.to_str().unwrap()];
    let tickets = file(folder.path(), "tickets.csv", TICKETS);
    run(["memory", "import", &tickets, "--text", "summary"].into_iter().chain(there)).check(0, &[]);
    let outcome = gaps(there, &[]);
    outcome.check(0, &[]);
    assert!(outcome.stdout.contains("no article answers 9 of them"), "{}", outcome.stdout);
    assert!(outcome.stdout.ends_with("there is no article: fill the knowledge base with `triage kb import`\n"));
}

#[test]
fn what_cannot_be_asked_for_is_wrong_usage() {
    let here = ["--data-dir", "nowhere"];
    for (flags, problem) in [
        (["--since", "2999-01-01"], "--since must not be in the future"),
        (["--since", "yesterday"], "not a day, such as 2026-01-31"),
        (["--top", "0"], "0 is not in 1..=100"),
        (["--top", "101"], "101 is not in 1..=100"),
        (["--max-tickets", "20001"], "20001 is not in 1..=20000"),
    ] {
        gaps(here, &flags).check(2, &[problem]);
    }
}

#[tokio::test]
async fn a_bad_request_is_refused_with_everything_that_is_wrong() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    let bad = pb::ListGapsRequest { since: "2999-01-01".into(), top: Some(0), max_tickets: Some(0) };
    let status = client.list_gaps(bad).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    let mut fields = violated_fields(&status);
    fields.sort_unstable();
    assert_eq!(fields, ["max_tickets", "since", "top"]);
    let empty = client.list_gaps(pb::ListGapsRequest::default()).await.unwrap().into_inner();
    assert_eq!((empty.clusters.len(), empty.tickets.unwrap().looked_at), (0, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_search_whose_caller_left_holds_up_no_other() {
    let server = TestServer::start().await;
    let mut client = server.knowledge().await;
    upsert(&mut client, vec![article("KB1", "Doors", "Open the door.")]).await;
    for _ in 0..3 {
        // Polled once, so that it is sent, and dropped before it is answered or with its answer.
        tokio::select! {
            biased;
            _ = client.list_gaps(pb::ListGapsRequest::default()) => {}
            () = tokio::task::yield_now() => {}
        }
    }
    let answer = in_time(client.list_gaps(pb::ListGapsRequest::default())).await.unwrap().into_inner();
    assert_eq!(answer.articles.unwrap().articles, 1);
    let versions = answer.versions.unwrap();
    assert_eq!((versions.knowledge.as_str(), versions.memory.as_str()), ("1", "0"));
    server.stop().await;
}
