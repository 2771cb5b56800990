//! What a large memory of confirmed tickets costs: importing, opening, adding, correcting and deleting one, finding the
//! tickets most like another, and feedback that adds to it.
//!
//! `TRIAGE_DATA` names a folder with `support_kb/queries.jsonl.gz` (columns title, body, articles). The tickets are made
//! of its rows, words of two rows mixed; `TRIAGE_TICKETS` says how many (default 300,000).

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{error::Error, path::Path, time::Instant};

use ticket_triage::{
    domain::{
        article::{ArticleHit, ArticleKind, ArticleStatus, Passage},
        feedback::ArticleEvent,
        memory::ConfirmedTicket,
        ticket::{Ticket, TicketDraft, TicketLimits},
    },
    encode::Redactor,
    error::TriageError,
    feedback::Feedback,
    memory::Memory,
    rows::Rows,
    store::Store,
};

const BATCH: usize = 2_000;
const ASKED: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(data) = std::env::var_os("TRIAGE_DATA") else {
        println!("TRIAGE_DATA is not set: it names the folder with the tickets to measure with");
        return Ok(());
    };
    let wanted = std::env::var("TRIAGE_TICKETS").ok().and_then(|count| count.parse().ok()).unwrap_or(300_000);
    let rows = Rows::open(&Path::new(&data).join("support_kb/queries.jsonl.gz"), &[])?;
    let columns = ["title".to_owned(), "body".to_owned()];
    let sources: Vec<(Vec<String>, Vec<String>)> = rows
        .map(|row| {
            let row = row?;
            let words = row.text(&columns).split_whitespace().map(str::to_owned).collect();
            Ok::<_, Box<dyn Error>>((words, row.list("articles")))
        })
        .collect::<Result<_, _>>()?;
    let folder = tempfile::tempdir()?;

    let started = Instant::now();
    let memory = Memory::open(Store::open(folder.path())?, folder.path(), Redactor::default(), None)?;
    for start in (0..wanted).step_by(BATCH) {
        let batch: Vec<_> = (start..wanted.min(start + BATCH)).map(|number| made(&sources, number)).collect();
        memory.stage(&batch)?;
    }
    println!("{wanted} tickets stored: {:.1} s, {}", started.elapsed().as_secs_f64(), resident());
    memory.publish()?;
    println!("and indexed: {:.1} s, {}", started.elapsed().as_secs_f64(), resident());
    drop(memory);

    let started = Instant::now();
    let store = Store::open(folder.path())?;
    let memory = Memory::open(store.clone(), folder.path(), Redactor::default(), None)?;
    println!("open: {:.0} ms, {}", started.elapsed().as_secs_f64() * 1_000.0, resident());

    measure("add one", 50, |number| memory.upsert(&[made(&sources, wanted + number)]).map(|_| ()))?;
    measure("correct one", 50, |number| {
        let ticket = made(&sources, number * 5_003 % wanted);
        memory.upsert(&[ConfirmedTicket { resolution: "corrected".to_owned(), ..ticket }]).map(|_| ())
    })?;
    let texts: Vec<String> = (0..ASKED).map(|number| hundred_words(&sources, number)).collect();
    measure("30 neighbours of 100 words, some tickets corrected", ASKED, |number| {
        memory.view().neighbours(&texts[number], "", 30).map(|_| ())
    })?;
    measure("delete one", 5, |number| memory.delete(&[number.to_string()]).map(|_| ()))?;
    measure("30 neighbours of 100 words", ASKED, |number| {
        memory.view().neighbours(&texts[number], "", 30).map(|_| ())
    })?;
    let long = texts.concat();
    let long = &long[..long.floor_char_boundary(64 << 10)];
    measure("30 neighbours of 64 KiB", 50, |_| memory.view().neighbours(long, "", 30).map(|_| ()))?;
    measure_feedback(&Feedback::open(store, memory)?, &texts, long)?;
    println!("at the end: {}", resident());
    Ok(())
}

/// Handles of suggestions of three articles, made, read and sent back.
fn measure_feedback(feedback: &Feedback, texts: &[String], long: &str) -> Result<(), Box<dyn Error>> {
    let articles = ["KB0000001", "KB0000002", "KB0000003"].map(|id| ArticleHit {
        id: id.to_owned(),
        title: String::new(),
        kind: ArticleKind::default(),
        status: ArticleStatus::Published,
        products: Vec::new(),
        score: 1.0,
        passage: Passage::default(),
        reasons: Vec::new(),
        chance: None,
        version: 1,
        link: None,
    });
    let ticket = |id: usize, text: &str| -> Result<Ticket, TriageError> {
        let draft = TicketDraft { id: format!("asked {id}"), description: text.to_owned(), ..TicketDraft::default() };
        draft.parse("", &TicketLimits::default()).map_err(TriageError::InvalidRequest)
    };
    let tickets = texts.iter().enumerate().map(|(id, text)| ticket(id, text)).collect::<Result<Vec<_>, _>>()?;
    let handle = |ticket| feedback.handle(ticket, &articles).map(Option::unwrap_or_default);
    let handles = tickets.iter().map(handle).collect::<Result<Vec<_>, _>>()?;
    let (characters, texts) = (handles.concat().len() / ASKED, texts.concat().len() / ASKED);
    println!("a handle of 100 words: {characters} characters for {texts} bytes of text");
    measure("make a handle of 100 words", ASKED, |number| handle(&tickets[number]).map(|_| ()))?;
    let long = ticket(0, long)?;
    measure("make a handle of 64 KiB", 100, |_| handle(&long).map(|_| ()))?;
    let parse = |number: usize, event| feedback.parse(&handles[number], "KB0000002", event);
    measure("read a handle of 100 words", ASKED, |number| parse(number, ArticleEvent::Shown).map(|_| ()))?;
    for event in [ArticleEvent::Shown, ArticleEvent::Helped, ArticleEvent::Refused] {
        measure(&format!("record {}", event.as_str()), 50, |number| {
            feedback.record(&parse(number, event)?).map(|_| ())
        })?;
    }
    measure("record refused again", 50, |number| feedback.record(&parse(number, ArticleEvent::Refused)?).map(|_| ()))
}

/// The ticket of this number: the first half of one row and the second of another.
fn made(sources: &[(Vec<String>, Vec<String>)], number: usize) -> ConfirmedTicket {
    let (first, articles) = &sources[number % sources.len()];
    let (second, _) = &sources[(number / sources.len() * 7 + number) % sources.len()];
    let words = first.iter().take(first.len().div_ceil(2)).chain(second.iter().skip(second.len() / 2)).take(150);
    let text: Vec<&str> = words.map(String::as_str).collect();
    ConfirmedTicket {
        id: number.to_string(),
        description: format!("{} case{number}", text.join(" ")),
        articles: articles.iter().cloned().collect(),
        ..ConfirmedTicket::default()
    }
}

fn hundred_words(sources: &[(Vec<String>, Vec<String>)], number: usize) -> String {
    let words = sources.iter().cycle().skip(number * 3).flat_map(|(words, _)| words).take(100);
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn measure<E: Error + 'static>(
    what: &str,
    times: usize,
    act: impl Fn(usize) -> Result<(), E>,
) -> Result<(), Box<dyn Error>> {
    let mut milliseconds = Vec::with_capacity(times);
    let before = processor_microseconds()?;
    for number in 0..times {
        let started = Instant::now();
        act(number)?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    let processor = (processor_microseconds()? - before) / times as u64;
    milliseconds.sort_by(f64::total_cmp);
    let place = |share: usize| milliseconds[(times - 1) * share / 100];
    let (middle, late, longest) = (place(50), place(99), place(100));
    println!(
        "{what}: this thread's processor {processor} µs; p50 {middle:.2} ms, p99 {late:.2} ms, longest {longest:.2} ms"
    );
    Ok(())
}

/// Processor time of this thread so far; exact to some milliseconds, so take it over many calls.
fn processor_microseconds() -> Result<u64, Box<dyn Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = statistics.split(' ').next().ok_or("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1_000)
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines: Vec<&str> =
        status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("RssAnon")).collect();
    lines.join(", ").replace(['\t', ' '], "")
}
