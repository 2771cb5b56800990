//! What a request costs the server: a real process over a real knowledge base, its CPU time read from the
//! system, split by the stages that it reports itself. Also start-up time and memory.
//!
//! `TRIAGE_DATA=… cargo bench --bench round_trip` (Linux; the folder holds `known_errors/` and `grp_tickets/`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench fails by panicking and speaks on standard output"
)]

mod server;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use server::{Server, tickets};
use ticket_triage::pb::{self, triage_service_client::TriageServiceClient};

const WARM_UP: usize = 500;
const CALLS: usize = 5_000;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(data) = std::env::var_os("TRIAGE_DATA").map(PathBuf::from) else {
        eprintln!("TRIAGE_DATA is not set: name the folder that holds known_errors/ and grp_tickets/");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    println!("start to SERVING, empty directory: {}", {
        let mut times = Vec::new();
        for run in 0..5 {
            let server = Server::start(&folder.path().join(format!("empty-{run}")));
            times.push(server.serving().await);
        }
        times.sort_by(f64::total_cmp);
        format!("{:.0} ms (median of 5)", times[2] * 1e3)
    });

    let data_dir = folder.path().join("data");
    let import = Command::new(env!("CARGO_BIN_EXE_triage"))
        .args(["kb", "import", "--map", "summary=description", "--data-dir"])
        .arg(&data_dir)
        .arg(data.join("known_errors/kb.jsonl.gz"))
        .status();
    assert!(import.unwrap().success());

    let server = Server::start(&data_dir);
    println!("start to SERVING, known_errors: {:.0} ms", server.serving().await * 1e3);
    let tickets = tickets(&data);
    let mut client = TriageServiceClient::connect(format!("http://{}", server.address)).await.unwrap();
    let mut latencies: Vec<Duration> = Vec::new();
    let mut before = (server.cpu_seconds(), server.stages());
    for call in 0..WARM_UP + CALLS {
        if call == WARM_UP {
            before = (server.cpu_seconds(), server.stages());
            latencies.clear();
        }
        let ticket = pb::Ticket { description: tickets[call % tickets.len()].clone(), ..pb::Ticket::default() };
        let request = pb::TriageTicketRequest { ticket: Some(ticket), features: Vec::new(), top_n: Some(3) };
        let started = Instant::now();
        client.triage_ticket(request).await.unwrap();
        latencies.push(started.elapsed());
    }
    let calls = CALLS as f64;
    println!("server CPU a call, everything, 3 articles: {:.0} µs", (server.cpu_seconds() - before.0) / calls * 1e6);
    for (stage, (seconds, _)) in server.stages() {
        let earlier = before.1.get(&stage).map_or(0.0, |(seconds, _)| *seconds);
        println!("  {stage:<9} {:>6.0} µs", (seconds - earlier) / calls * 1e6);
    }
    latencies.sort();
    println!("round trip: p50 {:.0?}, p99 {:.0?}", latencies[CALLS / 2], latencies[CALLS * 99 / 100]);
    println!("resident memory: {:.0} MB", server.resident_megabytes());
}
