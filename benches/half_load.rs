//! Latency of suggestions while the server works at half of what its processors can do: calls come at a steady rate
//! whether or not earlier ones are answered, so that none hides a wait.
//!
//! `TRIAGE_DIR=… TRIAGE_QUESTIONS=… cargo bench --bench half_load` (Linux): a data directory, and JSON lines with a
//! `text` each. `benches/peers/suggestion_speed.py --keep FOLDER` makes both: `FOLDER/data` and `FOLDER/asked.jsonl`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a bench fails by panicking, speaks on standard output, and need not use all that benches share"
)]

mod server;

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use server::Server;
use ticket_triage::{
    pb::{self, knowledge_service_client::KnowledgeServiceClient},
    rows::Rows,
};
use tokio::{task::JoinSet, time};
use tonic::transport::Channel;

const WARM_UP: usize = 500;
const CALLS: usize = 10_000;

async fn ask(client: &mut KnowledgeServiceClient<Channel>, text: &str) -> Duration {
    let ticket = pb::Ticket { description: text.to_owned(), ..pb::Ticket::default() };
    let request = pb::SuggestArticlesRequest { ticket: Some(ticket), ..pb::SuggestArticlesRequest::default() };
    let started = Instant::now();
    client.suggest_articles(request).await.unwrap();
    started.elapsed()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(data_dir), Some(questions)) = (variable("TRIAGE_DIR"), variable("TRIAGE_QUESTIONS")) else {
        eprintln!("TRIAGE_DIR and TRIAGE_QUESTIONS are not set: name a data directory and a file of questions");
        return;
    };
    let rows = Rows::open(&questions, &[]).unwrap();
    let texts: Vec<String> = rows.map(|row| row.unwrap().text(&["text".to_owned()])).collect();
    let server = Server::start(&data_dir);
    server.serving().await;
    let mut client = KnowledgeServiceClient::connect(format!("http://{}", server.address)).await.unwrap();
    let mut before = 0.0;
    for call in 0..2 * WARM_UP {
        if call == WARM_UP {
            before = server.cpu_seconds();
        }
        ask(&mut client, &texts[call % texts.len()]).await;
    }
    let seconds = (server.cpu_seconds() - before) / WARM_UP as f64;
    let processors = thread::available_parallelism().unwrap().get();
    let rate = processors as f64 / seconds / 2.0;
    println!(
        "server CPU a call: {:.0} µs; half load of {processors} processors: {rate:.0} calls a second",
        seconds * 1e6
    );

    let mut calls = JoinSet::new();
    let mut clock = time::interval(Duration::from_secs_f64(1.0 / rate));
    for call in 0..CALLS {
        clock.tick().await;
        let (mut client, text) = (client.clone(), texts[call % texts.len()].clone());
        calls.spawn(async move { ask(&mut client, &text).await });
    }
    let mut latencies = calls.join_all().await;
    latencies.sort();
    println!(
        "p50 {:.2?}, p99 {:.2?}, longest {:.2?}",
        latencies[CALLS / 2],
        latencies[CALLS * 99 / 100],
        latencies[CALLS - 1]
    );
    println!("resident memory: {:.0} MB", server.resident_megabytes());
}
