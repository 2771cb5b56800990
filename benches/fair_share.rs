//! What a caller notices of a job: latencies of `TriageTicket` from a server on one processor, without a job and while it
//! works on one. The calls come at a steady rate whether or not earlier ones are answered, so that none hides a wait.
//!
//! `TRIAGE_DATA=… cargo bench --bench fair_share` (Linux with `taskset` and two processors; the folder holds
//! `known_errors/` and `grp_tickets/`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    reason = "a bench fails by panicking, speaks on standard output, and need not use all that benches share"
)]

mod server;

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use server::{Server, tickets};
use ticket_triage::pb::{
    self, job_service_client::JobServiceClient, reclassification_spec::Source,
    triage_service_client::TriageServiceClient,
};
use tokio::{task::JoinSet, time};
use tonic::transport::Channel;

const CALLS: usize = 3_000;
/// A fifth of what one processor can answer.
const CALLS_A_SECOND: u32 = 100;
/// So many that the job outlasts the calls.
const JOB_TICKETS: usize = 600_000;

/// Sends the calls; their latencies, shortest first.
async fn latencies(client: &TriageServiceClient<Channel>, tickets: &[String]) -> Vec<Duration> {
    let mut calls = JoinSet::new();
    let mut clock = time::interval(Duration::from_secs(1) / CALLS_A_SECOND);
    for call in 0..CALLS {
        clock.tick().await;
        let ticket = pb::Ticket { description: tickets[call % tickets.len()].clone(), ..pb::Ticket::default() };
        let request = pb::TriageTicketRequest { ticket: Some(ticket), features: Vec::new(), top_n: Some(3) };
        let mut client = client.clone();
        calls.spawn(async move {
            let started = Instant::now();
            client.triage_ticket(request).await.unwrap();
            started.elapsed()
        });
    }
    let mut latencies = calls.join_all().await;
    latencies.sort();
    latencies
}

fn report(what: &str, latencies: &[Duration]) -> Duration {
    let p99 = latencies[CALLS * 99 / 100];
    println!("{what:<24} p50 {:>8.2?}  p99 {p99:>8.2?}  longest {:>8.2?}", latencies[CALLS / 2], latencies[CALLS - 1]);
    p99
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(data) = std::env::var_os("TRIAGE_DATA").map(PathBuf::from) else {
        eprintln!("TRIAGE_DATA is not set: name the folder that holds known_errors/ and grp_tickets/");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let texts = tickets(&data);
    let mut rows = "id,text,category\n".to_owned();
    for number in 0..JOB_TICKETS {
        let words = texts[number % texts.len()].replace('"', "'");
        writeln!(rows, "T{number},\"{words}\",network").unwrap();
    }
    fs::write(path("tickets.csv"), rows).unwrap();
    fs::write(path("triage.toml"), format!("[jobs]\nfolders = [\"{}\"]\n", folder.path().display())).unwrap();
    let import = Command::new(env!("CARGO_BIN_EXE_triage"))
        .args(["kb", "import", "--map", "summary=description", "--data-dir", &path("data")])
        .arg(data.join("known_errors/kb.jsonl.gz"))
        .status();
    assert!(import.unwrap().success());

    // The bench itself runs on the other processor.
    pin(std::process::id(), 1);
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0", env!("CARGO_BIN_EXE_triage")]);
    let server = Server::start_with(pinned, path("data").as_ref(), &["--config", &path("triage.toml")]);
    server.serving().await;
    let client = TriageServiceClient::connect(format!("http://{}", server.address)).await.unwrap();
    latencies(&client, &texts).await;
    let without = report("without a job", &latencies(&client, &texts).await);

    let mut jobs = JobServiceClient::connect(format!("http://{}", server.address)).await.unwrap();
    let spec = pb::ReclassificationSpec {
        source: Some(Source::File(pb::FileTickets {
            path: path("tickets.csv"),
            output_path: path("out.csv"),
            text_columns: vec!["text".to_owned()],
            ..pb::FileTickets::default()
        })),
        fields: vec![pb::ReclassificationField { field: "category".to_owned(), ..Default::default() }],
        ..pb::ReclassificationSpec::default()
    };
    let request = pb::CreateReclassificationJobRequest { spec: Some(spec), ..Default::default() };
    let job = jobs.create_reclassification_job(tokio_stream::once(request)).await.unwrap().into_inner().job.unwrap();
    let mut watch = jobs.watch_job(pb::WatchJobRequest { id: job.id.clone() }).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().job.unwrap().progress.unwrap().done == 0 {}
    drop(watch);
    let with = report("while a job is at work", &latencies(&client, &texts).await);

    let job = jobs.get_job(pb::GetJobRequest { id: job.id }).await.unwrap().into_inner().job.unwrap();
    assert_eq!(job.state(), pb::JobState::Running, "the job ended too early");
    let progress = job.progress.unwrap();
    println!(
        "p99 with a job: {:.1} times, {:+.2?}",
        with.as_secs_f64() / without.as_secs_f64(),
        with.saturating_sub(without)
    );
    println!(
        "the job meanwhile: {:.0} tickets a second; resident memory {:.0} MB",
        progress.rate.unwrap(),
        server.resident_megabytes()
    );
}

/// Keeps a process on one processor.
fn pin(process: u32, processor: usize) {
    let pinned = Command::new("taskset").args(["-pc", &processor.to_string(), &process.to_string()]).output();
    assert!(pinned.unwrap().status.success());
}
