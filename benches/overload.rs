//! What a flood does: a server pinned to one processor, and calls that come at random at a steady rate, whether or not
//! earlier ones are answered, from another processor. What it can answer, how fast it answers 70 % of that, what becomes of
//! three times that, how soon it recovers, and what work is done for nobody at twice that.
//!
//! `TRIAGE_DATA=… cargo bench --bench overload -- --seconds 60` (Linux with `taskset` and two processors; the folder holds
//! `known_errors/` and `grp_tickets/`). `--peer HOST:PORT --pid PID` sends the same to another server of `TriageTicket`,
//! and `--peer http://HOST:PORT` posts the tickets as JSON; see `peers/overload.py`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    dead_code,
    reason = "a bench fails by panicking, speaks on standard output, and need not use all that benches share"
)]

#[path = "overload/http.rs"]
mod http;
#[path = "overload/load.rs"]
mod load;
mod server;

use std::{path::PathBuf, process::Command, time::Duration};

use load::{Answer, Answers, Caller, Plan, cpu_seconds};
use server::{Server, tickets};

/// After the flood calls come at 70 % again for so long.
const RECOVERY: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_millis(100);

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

/// A server of ours on the first processor.
async fn start(data: &std::path::Path, folder: &std::path::Path) -> Server {
    let data_dir = folder.join("data");
    let import = Command::new(env!("CARGO_BIN_EXE_triage"))
        .args(["kb", "import", "--map", "summary=description", "--data-dir"])
        .arg(&data_dir)
        .arg(data.join("known_errors/kb.jsonl.gz"))
        .status();
    assert!(import.unwrap().success());
    let mut program = Command::new("taskset");
    program.args(["-c", "0", env!("CARGO_BIN_EXE_triage")]);
    let server = Server::start_with(program, &data_dir, &[]);
    server.serving().await;
    server
}

/// How long after the end of the flood a window has no refusals and answers as fast as before.
fn recovered(answers: &Answers, usual: Duration) -> Option<Duration> {
    let windows = RECOVERY.as_millis() / WINDOW.as_millis();
    (0..u32::try_from(windows).unwrap()).map(|window| window * WINDOW).find_map(|from| {
        let there = answers.between(from, from + WINDOW);
        let is_well = there.count(Answer::Given) == there.len() && there.percentile(Answer::Given, 50)? <= usual;
        is_well.then_some(from)
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(data) = std::env::var_os("TRIAGE_DATA").map(PathBuf::from) else {
        eprintln!("TRIAGE_DATA is not set: name the folder that holds known_errors/ and grp_tickets/");
        return;
    };
    let seconds = option("--seconds").map_or(Duration::from_mins(1), |text| Duration::from_secs(text.parse().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let (ours, address, pid) = if let (Some(address), Some(pid)) = (option("--peer"), option("--pid")) {
        (None, address, pid.parse().unwrap())
    } else {
        let server = start(&data, folder.path()).await;
        let (address, pid) = (server.address.clone(), server.pid());
        (Some(server), address, pid)
    };
    let this = std::process::id().to_string();
    assert!(Command::new("taskset").args(["-cp", "1", &this]).output().unwrap().status.success());
    let caller = Caller::connect(&address, tickets(&data)).await;

    caller.closed(4, Duration::from_secs(3)).await;
    let capacity = caller.closed(8, Duration::from_secs(10)).await;
    println!("capacity, 8 calls at a time: {capacity:.0} a second");

    let calm = caller.open(Plan::at(0.7 * capacity, seconds / 2)).await;
    calm.report("70 %");
    let usual = calm.percentile(Answer::Given, 99).unwrap();

    let before = cpu_seconds(pid);
    let flood = caller.open(Plan::at(3.0 * capacity, seconds)).await;
    flood.report("300 %");
    let goodput = flood.count(Answer::Given) as f64 / seconds.as_secs_f64();
    let peak = capacity.max(goodput);
    println!(
        "300 %: goodput {:.1} % of peak; p99 {:.1} times that at 70 %; processor {:.0} % busy",
        goodput / peak * 100.0,
        flood.percentile(Answer::Given, 99).unwrap().as_secs_f64() / usual.as_secs_f64(),
        (cpu_seconds(pid) - before) / seconds.as_secs_f64() * 100.0
    );
    let after = caller.open(Plan::at(0.7 * capacity, RECOVERY)).await;
    after.report("70 % again");
    match recovered(&after, usual) {
        Some(time) => println!("recovered {time:.1?} after the flood"),
        None => println!("not recovered within {RECOVERY:?}"),
    }

    for (what, plan) in [
        (
            "200 %, deadlines of 20 ms",
            Plan { deadline: Some(Duration::from_millis(20)), ..Plan::at(2.0 * capacity, seconds / 2) },
        ),
        ("200 %, a fifth cancelled after 5 ms", Plan { cancelled: 5, ..Plan::at(2.0 * capacity, seconds / 2) }),
        ("200 %, all cancelled after 5 ms", Plan { cancelled: 1, ..Plan::at(2.0 * capacity, seconds / 2) }),
    ] {
        let (cpu, wasted) = (cpu_seconds(pid), ours.as_ref().map(wasted));
        let answers = caller.open(plan).await;
        answers.report(what);
        let cpu = cpu_seconds(pid) - cpu;
        // What was answered is taken for as costly as everything was at capacity.
        let useful = answers.count(Answer::Given) as f64 / capacity;
        println!("{what}: {cpu:.1} s of processor, {:.1} s of it would have answered these", useful.min(cpu));
        if let (Some(server), Some(before)) = (&ours, wasted) {
            let wasted = wasted_since(server, before);
            println!("{what}: work for callers that left: {:.2} s, {:.1} %", wasted, wasted / cpu * 100.0);
        }
    }
}

fn wasted(server: &Server) -> f64 {
    server.metric("triage_wasted_seconds_total")
}

fn wasted_since(server: &Server, before: f64) -> f64 {
    wasted(server) - before
}
