//! The program as a server process that benches measure, and the tickets that they send.
#![allow(dead_code, reason = "not every bench asks for everything")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use ticket_triage::rows::Rows;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// `_SC_CLK_TCK` of every Linux in use.
const TICKS_A_SECOND: f64 = 100.0;

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    admin: String,
    started: Instant,
}

impl Server {
    /// Starts the program over a folder.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(Command::new(env!("CARGO_BIN_EXE_triage")), data_dir, &[])
    }

    /// Starts the program, or what starts it, with further arguments.
    pub(crate) fn start_with(mut program: Command, data_dir: &Path, arguments: &[&str]) -> Self {
        let started = Instant::now();
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(arguments)
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
    pub(crate) async fn serving(&self) -> f64 {
        let channel = Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap();
        let mut health = HealthClient::new(channel);
        let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        self.started.elapsed().as_secs_f64()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor seconds so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_A_SECOND
    }

    /// Memory that it holds now.
    pub(crate) fn resident_megabytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn metrics(&self) -> String {
        let mut socket = TcpStream::connect(&self.admin).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().trim().parse().unwrap()
    }

    /// Seconds and count of every stage so far.
    pub(crate) fn stages(&self) -> BTreeMap<String, (f64, f64)> {
        let text = self.metrics();
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
pub(crate) fn tickets(data: &Path) -> Vec<String> {
    let columns = ["short_description".to_owned(), "description".to_owned()];
    let rows = Rows::open(&data.join("grp_tickets/dev.jsonl.gz"), &[]).unwrap();
    let texts = rows.map(|row| row.unwrap().text(&columns));
    texts.filter(|text| (80..=120).contains(&text.split_whitespace().count())).take(500).collect()
}
