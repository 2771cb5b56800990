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

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ticket_triage::{
    pb::{self, triage_service_client::TriageServiceClient},
    rows::Rows,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

const WARM_UP: usize = 500;
const CALLS: usize = 5_000;
/// `_SC_CLK_TCK` of every Linux in use.
const TICKS_A_SECOND: f64 = 100.0;

struct Server {
    child: Child,
    address: String,
    admin: String,
    started: Instant,
}

impl Server {
    fn start(data_dir: &Path) -> Self {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_triage"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut address = |prefix: &str| lines.next().unwrap().strip_prefix(prefix).unwrap().to_owned();
        let (address, admin) = (address("listening on "), address("admin listening on "));
        Self { child, address, admin, started }
    }

    /// Seconds from the start of the process to health SERVING.
    async fn serving(&self) -> f64 {
        let channel = Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap();
        let mut health = HealthClient::new(channel);
        let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        self.started.elapsed().as_secs_f64()
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_A_SECOND
    }

    fn resident_megabytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Seconds and count of every stage so far.
    fn stages(&self) -> BTreeMap<String, (f64, f64)> {
        let mut socket = TcpStream::connect(&self.admin).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let mut stages: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("triage_stage_seconds_") else { continue };
            let Some((kind, rest)) = rest.split_once("{stage=\"") else { continue };
            let (stage, rest) = rest.split_once('"').unwrap();
            let value: f64 = rest.rsplit(' ').next().unwrap().parse().unwrap();
            let entry = stages.entry(stage.to_owned()).or_default();
            match kind {
                "sum" => entry.0 = value,
                "count" => entry.1 = value,
                _ => {}
            }
        }
        stages
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Real tickets of 80 to 120 words.
fn tickets(data: &Path) -> Vec<String> {
    let columns = ["short_description".to_owned(), "description".to_owned()];
    let rows = Rows::open(&data.join("grp_tickets/dev.jsonl.gz"), &[]).unwrap();
    let texts = rows.map(|row| row.unwrap().text(&columns));
    texts.filter(|text| (80..=120).contains(&text.split_whitespace().count())).take(500).collect()
}

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
