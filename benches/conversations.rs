//! What a turn of a conversation costs, and whether open conversations cost memory: a real server over 6,666 articles, first
//! one client after the other, then a thousand conversations at once.
//!
//! `TRIAGE_DATA=… cargo bench --bench conversations` (Linux; the folder holds `known_errors/`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a bench fails by panicking, speaks on standard output, and uses a part of what benches share"
)]

mod server;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use server::Server;
use ticket_triage::{
    pb::{self, knowledge_service_client::KnowledgeServiceClient},
    rows::Rows,
};
use tonic::transport::Channel;

const WARM_UP: usize = 200;
const CONVERSATIONS: usize = 1_000;
const TURNS: usize = 4;
/// Turns that are answered at the same time.
const AT_ONCE: usize = 64;
const NO_HELP: &str = "that did not help";

struct Chat {
    turns: Vec<pb::Turn>,
    conversation: String,
}

/// Says a turn; how long the answer took, and what it was.
async fn say(client: &mut KnowledgeServiceClient<Channel>, chat: &mut Chat, text: &str) -> (Duration, &'static str) {
    let request = pb::SuggestAnswersRequest {
        text: text.to_owned(),
        earlier_turns: chat.turns.clone(),
        conversation: std::mem::take(&mut chat.conversation),
        ..pb::SuggestAnswersRequest::default()
    };
    let started = Instant::now();
    let answer = client.suggest_answers(request).await.unwrap().into_inner();
    let took = started.elapsed();
    chat.turns.push(pb::Turn { speaker: pb::Speaker::User.into(), text: text.to_owned() });
    chat.conversation = answer.conversation;
    (took, answer.no_answer.map_or("ANSWERED", |why| why.reason().as_str_name()))
}

async fn converse(mut client: KnowledgeServiceClient<Channel>, question: String) -> Vec<(Duration, &'static str)> {
    let mut chat = Chat { turns: Vec::new(), conversation: String::new() };
    let mut said = vec![say(&mut client, &mut chat, &question).await];
    for _ in 1..TURNS {
        said.push(say(&mut client, &mut chat, NO_HELP).await);
    }
    said
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(data) = std::env::var_os("TRIAGE_DATA").map(PathBuf::from) else {
        eprintln!("TRIAGE_DATA is not set: name the folder that holds known_errors/");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let import = Command::new(env!("CARGO_BIN_EXE_triage"))
        .args(["kb", "import", "--map", "summary=description", "--data-dir"])
        .arg(&data_dir)
        .arg(data.join("known_errors/kb.jsonl.gz"))
        .status();
    assert!(import.unwrap().success());
    let rows = Rows::open(&data.join("known_errors/queries.jsonl.gz"), &[]).unwrap();
    let questions: Vec<String> = rows.map(|row| row.unwrap().text(&["text".to_owned()])).collect();
    let question = |number: usize| questions[number % questions.len()].clone();
    let server = Server::start(&data_dir);
    server.serving().await;
    let client = KnowledgeServiceClient::connect(format!("http://{}", server.address)).await.unwrap();

    for number in 0..WARM_UP {
        converse(client.clone(), question(number)).await;
    }
    let (cpu, memory) = (server.cpu_seconds(), server.resident_megabytes());
    let mut said = Vec::new();
    for number in 0..CONVERSATIONS {
        said.extend(converse(client.clone(), question(number)).await);
    }
    report("one after the other", &mut said);
    println!("  server CPU a turn: {:.0} µs", (server.cpu_seconds() - cpu) / said.len() as f64 * 1e6);

    let open = (0..CONVERSATIONS).map(|number| converse(client.clone(), question(number)));
    let mut said: Vec<_> = stream::iter(open).buffer_unordered(AT_ONCE).concat().await;
    report("64 at once", &mut said);
    println!("  resident memory: {memory:.0} MB before, {:.0} MB after", server.resident_megabytes());
}

fn report(what: &str, said: &mut [(Duration, &'static str)]) {
    said.sort_unstable();
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, outcome) in said.iter() {
        *outcomes.entry(outcome).or_default() += 1;
    }
    let at = |share: usize| said[said.len() * share / 100].0;
    println!("{} turns, {what}: p50 {:.1?}, p99 {:.1?}; {outcomes:?}", said.len(), at(50), at(99));
}
