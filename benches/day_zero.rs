//! How often the embedded bundle is right on tickets of a desk that it has never seen: a real server and client,
//! scored on the best value. A row's labels are lists of accepted values.
//!
//! `TRIAGE_DATA=… cargo bench --bench day_zero` (the folder holds `dayzero/dev.jsonl`). Further arguments go to the server:
//! `… -- --model DIR` measures another bundle.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench fails by panicking and speaks on standard output"
)]

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use ticket_triage::{
    pb::{self, triage_service_client::TriageServiceClient},
    rows::Rows,
};

fn first_level(label: &str) -> &str {
    label.split('/').next().unwrap()
}

fn number(priority: &str) -> i8 {
    priority.trim_start_matches('P').parse().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(data) = std::env::var_os("TRIAGE_DATA").map(PathBuf::from) else {
        eprintln!("TRIAGE_DATA is not set: name the folder that holds dayzero/dev.jsonl");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_triage"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"])
        .arg(folder.path())
        // Cargo says `--bench` to every bench.
        .args(std::env::args().skip(1).filter(|argument| argument != "--bench"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let mut client = TriageServiceClient::connect(format!("http://{address}")).await.unwrap();

    let mut right = [0_u32; 7];
    // Tickets of priority P1 or P2: truly so, called so, both.
    let mut grave = [0_u32; 3];
    let mut rows = 0_u32;
    for row in Rows::open(&data.join("dayzero/dev.jsonl"), &[]).unwrap() {
        let row = row.unwrap();
        let text = |column: &str| row.value(column).unwrap_or_default();
        let ticket = pb::Ticket {
            summary: text("short_description").chars().take(1_024).collect(),
            description: text("description"),
            ..pb::Ticket::default()
        };
        let request = pb::TriageTicketRequest { ticket: Some(ticket), features: Vec::new(), top_n: None };
        let answer = loop {
            match client.triage_ticket(request.clone()).await {
                // The server says when to come again while it loads.
                Err(status) if status.code() == tonic::Code::Unavailable => tokio::task::yield_now().await,
                answer => break answer.unwrap().into_inner().decision.unwrap(),
            }
        };
        let best = |field: &str| &answer.fields.iter().find(|decision| decision.field == field).unwrap().value;
        let accepted = |field: &str| row.list(field);
        let category = best("category");
        let priority = number(&answer.priority.as_ref().unwrap().priority);
        let apart = accepted("priority").iter().map(|wanted| (number(wanted) - priority).abs()).min().unwrap();
        let hits = [
            accepted("type").contains(best("type")),
            accepted("category").iter().any(|wanted| first_level(wanted) == first_level(category)),
            accepted("category").contains(category),
            accepted("impact").contains(best("impact")),
            accepted("urgency").contains(best("urgency")),
            apart == 0,
            apart <= 1,
        ];
        for (count, hit) in right.iter_mut().zip(hits) {
            *count += u32::from(hit);
        }
        let truly = accepted("priority").iter().all(|wanted| number(wanted) <= 2);
        for (count, hit) in grave.iter_mut().zip([truly, priority <= 2, truly && priority <= 2]) {
            *count += u32::from(hit);
        }
        rows += 1;
    }
    server.kill().unwrap();
    server.wait().unwrap();

    println!("{rows} tickets");
    let names = ["type", "category L1", "category L1/L2", "impact", "urgency", "priority", "priority within one"];
    for (name, right) in names.iter().zip(right) {
        println!("  {name:<20} {:.3}", f64::from(right) / f64::from(rows));
    }
    let share = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
    println!("  P1 and P2: found {:.3}, right when said {:.3}", share(grave[2], grave[0]), share(grave[2], grave[1]));
}
