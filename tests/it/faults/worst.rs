//! The worst that the limits allow: each is answered, in time, and memory stays bounded.

use std::{
    fs,
    time::{Duration, Instant},
};

use ticket_triage::pb;

use super::setting;
use crate::harness::{ServerProcess, article, file, in_time, request, ticket, upsert};

const TEXT_BYTES: usize = 64 << 10;
/// Of one answer, on a machine that runs other tests beside it; the promise is a second on one of its own.
const SLOW: Duration = Duration::from_secs(10);

/// Texts of (nearly) the largest size, each hard on another part of the reading.
fn texts() -> Vec<(&'static str, String)> {
    let fill = |part: &str| part.repeat((TEXT_BYTES - 64) / part.len());
    let numbered = |part: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let part = part(number);
            if text.len() + part.len() > TEXT_BYTES - 64 {
                break;
            }
            text.push_str(&part);
        }
        text
    };
    let base64 = |number: usize| {
        let block = (0..60).map(|at| char::from(b"ABCDEFGHijklmnop0123456789+/"[(number * 31 + at * 17) % 28]));
        block.collect::<String>()
    };
    vec![
        ("one word", fill("x")),
        ("one-letter words", fill("a ")),
        ("all words distinct", numbered(&|number| format!("w{number:x} "))),
        ("all words distinct and long", numbered(&|number| format!("{number:x}{} ", "q".repeat(40)))),
        ("emoji", fill("🏳️‍🌈👩‍👩‍👧‍👦")),
        ("combining marks", fill("a\u{301}\u{302}\u{303}\u{304}")),
        ("deep markup", fill("<div>")),
        ("deep quotes", fill("<blockquote>")),
        ("tags that never end", fill("<a href=\"")),
        ("comments that never end", fill("<!--")),
        ("entities", fill("&amp;lt;")),
        ("base64", numbered(&base64)),
        ("quoted mail", fill("> > > > on it said:\n")),
        ("mail heads", fill("From: a@b.c\nSent: now\n")),
        ("addresses", fill("a.b.c.d@e.f.g.h.example ")),
        ("numbers", fill("10.0.0.1 +49 30 1234567 ")),
        ("secrets", fill("password: hunter2 token=abcdef0123456789 ")),
        ("links", numbered(&|number| format!("https://a.example/{number}?q=%41%42 "))),
        ("white space", format!("{}x", fill(" \t"))),
        ("no-break spaces", fill("\u{a0}\u{2003}x")),
        ("lines", fill("\n.\r\n")),
        ("Chinese", fill("打印机无法工作")),
        ("German compounds", fill("Donaudampfschifffahrtsgesellschaftskapitän")),
        ("brackets", fill("[[((({{{")),
        ("Markdown emphasis", fill("*_**__")),
        ("pipes", fill("|-|\n")),
    ]
}

/// The most memory that the process has had at a time, in MiB.
fn peak_mebibytes(server: &ServerProcess) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_tickets_are_answered_in_bounded_memory_and_time() {
    let folder = tempfile::tempdir().unwrap();
    // Machines that run tests have others to run beside it: a call ends with ours, not with the server's patience.
    let config = file(folder.path(), "triage.toml", "[limits]\ndeadline_seconds = 60\n");
    let server = ServerProcess::start(&folder.path().join("data"), &["--config", &config]).await;
    let at_rest = peak_mebibytes(&server);
    // Everything that is compared with a ticket is as bad as the ticket.
    let articles = texts().into_iter().map(|(name, text)| article(name, name, &text)).collect();
    upsert(&mut server.knowledge().await, articles).await;
    let confirmed = texts().into_iter().map(|(name, text)| pb::ConfirmedTicket {
        id: name.to_owned(),
        summary: name.to_owned(),
        resolution: text.clone(),
        description: text,
        ..pb::ConfirmedTicket::default()
    });
    for frame in confirmed.collect::<Vec<_>>().chunks(20) {
        let frame = pb::UpsertTicketsRequest { tickets: frame.to_vec(), validate_only: false };
        server.memory().await.upsert_tickets(tokio_stream::iter([frame])).await.unwrap();
    }

    let mut slowest = (Duration::ZERO, "");
    let (mut triage, mut knowledge) = (server.triage().await, server.knowledge().await);
    // Answers to batches hold their tickets sealed and may be larger than clients take by default.
    triage = triage.max_decoding_message_size(64 << 20);
    for (name, text) in texts() {
        let begun = Instant::now();
        in_time(triage.triage_ticket(request(ticket("", &text))))
            .await
            .unwrap_or_else(|status| panic!("{name}: {status:?}"));
        slowest = slowest.max((begun.elapsed(), name));
        let begun = Instant::now();
        let said = pb::SuggestAnswersRequest { text: text.clone(), ..Default::default() };
        in_time(knowledge.suggest_answers(said)).await.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        let query: String = text.chars().take(1_024).collect();
        let search = pb::SearchArticlesRequest { query, ..Default::default() };
        if let Err(status) = in_time(knowledge.search_articles(search)).await {
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{name}: {status:?}");
        }
        slowest = slowest.max((begun.elapsed(), name));
    }
    let (after_tickets, mut slowest_batch) = (peak_mebibytes(&server), (Duration::ZERO, ""));
    for (name, text) in texts() {
        let short = &text[..text.floor_char_boundary(15 << 10)];
        let batch =
            pb::BatchTriageTicketsRequest { tickets: vec![ticket("", short); 256], features: Vec::new(), top_n: None };
        let begun = Instant::now();
        let results =
            in_time(triage.batch_triage_tickets(batch)).await.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        assert_eq!(results.into_inner().results.len(), 256, "{name}");
        slowest_batch = slowest_batch.max((begun.elapsed(), name));
        if setting("TRIAGE_WORST", 0) == 0 && name == "deep markup" {
            break;
        }
    }
    let peak = peak_mebibytes(&server);
    #[expect(clippy::print_stdout, reason = "figures; shown with --nocapture")]
    {
        println!(
            "slowest {slowest:?}, of 256 at once {slowest_batch:?}; MiB at rest {at_rest}, behind tickets {after_tickets}, behind batches {peak}"
        );
    }
    assert!(slowest.0 < SLOW, "{slowest:?}");
    assert!(peak < 400, "{peak} MiB");
}
