//! What a suggestion and a search cost, over the articles of a real knowledge base.
//!
//! `TRIAGE_DATA` names a folder with `known_errors/kb.jsonl.gz` (columns id, title, description, product, body) and
//! `known_errors/queries.jsonl.gz` (column text). Times are of this thread's processor, free of other load.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::{error::Error, path::Path, time::Instant};

use ticket_triage::{
    domain::{
        article::Day,
        ticket::{TicketDraft, TicketLimits},
    },
    encode::Redactor,
    error::TriageError,
    knowledge::{KnowledgeBase, SearchFilter, import::Articles},
    rows::Rows,
    store::Store,
    triage::Suggester,
};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(data) = std::env::var_os("TRIAGE_DATA") else {
        println!("TRIAGE_DATA is not set: it names the folder with the articles and queries to measure with");
        return Ok(());
    };
    let data = Path::new(&data).join("known_errors");
    let folder = tempfile::tempdir()?;

    let started = Instant::now();
    let knowledge = KnowledgeBase::open(Store::open(folder.path())?, folder.path(), None)?;
    let renames = [("products".to_owned(), "product".to_owned())];
    let mut imported = 0;
    let mut articles = Articles::new(&[data.join("kb.jsonl.gz")], &renames);
    loop {
        let batch = articles.by_ref().take(500).collect::<Result<Vec<_>, _>>()?;
        imported += batch.len();
        if batch.is_empty() {
            break;
        }
        knowledge.stage(&batch)?;
    }
    println!("{imported} articles stored: {:.2} s, {}", started.elapsed().as_secs_f64(), memory());
    knowledge.publish()?;
    println!("and indexed: {:.2} s, {}", started.elapsed().as_secs_f64(), memory());
    drop(knowledge);

    let started = Instant::now();
    let knowledge = KnowledgeBase::open(Store::open(folder.path())?, folder.path(), None)?;
    println!("open: {:.1} ms, {}", started.elapsed().as_secs_f64() * 1_000.0, memory());

    let column = ["text".to_owned()];
    let texts: Vec<String> = Rows::open(&data.join("queries.jsonl.gz"), &[])?
        .map(|row| row.map(|row| row.text(&column)))
        .collect::<Result<_, _>>()?;
    let hundred_words: Vec<String> = texts
        .chunks_exact(2)
        .map(|pair| pair.join(" ").split_whitespace().take(100).collect::<Vec<_>>().join(" "))
        .filter(|text| text.split_whitespace().count() == 100)
        .collect();
    let long = texts.iter().flat_map(|text| [text, "\n"]).take(2_000).collect::<String>();
    let long = long[..long.floor_char_boundary(64 << 10)].to_owned();
    let short: Vec<String> =
        texts.iter().map(|text| text.split_whitespace().take(4).collect::<Vec<_>>().join(" ")).collect();
    let today = Day::new(2026, 1, 1).ok_or("no day")?;
    let filter = SearchFilter::default();

    let suggester = Suggester::new(knowledge.clone(), None, Redactor::default())?;
    let suggest = |text: &str, hits: usize| -> Result<usize, TriageError> {
        let draft = TicketDraft { description: text.to_owned(), ..TicketDraft::default() };
        let ticket = draft.parse("", &TicketLimits::default()).map_err(TriageError::InvalidRequest)?;
        suggester.suggest(&ticket, today, hits, || Ok(false)).map(|suggestions| suggestions.articles.len())
    };
    for hits in [0, 1, 3, 10] {
        measure(&format!("suggest, 100 words, {hits} hits"), &hundred_words, |text| suggest(text, hits))?;
    }
    measure("suggest, 64 KiB, 3 hits", &vec![long; 500], |text| suggest(text, 3))?;
    measure("search, 4 words, 10 hits", &short, |text| knowledge.search(text, &filter, 0, 10).map(|hits| hits.len()))?;
    println!("at the end: {}", memory());
    Ok(())
}

fn measure<E: Error + 'static>(
    what: &str,
    texts: &[String],
    ask: impl Fn(&str) -> Result<usize, E>,
) -> Result<(), Box<dyn Error>> {
    for text in texts.iter().take(200) {
        ask(text)?;
    }
    let mut times = Vec::with_capacity(texts.len());
    let before = processor_microseconds()?;
    for text in texts {
        let started = Instant::now();
        ask(text)?;
        times.push(started.elapsed().as_micros());
    }
    let mean = (processor_microseconds()? - before) / texts.len() as u64;
    times.sort_unstable();
    let place = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what}: processor {mean} µs; elapsed p50 {} µs, p99 {} µs ({} texts)", place(50), place(99), texts.len());
    Ok(())
}

/// Processor time of this thread so far; exact to some milliseconds, so take it over many calls.
fn processor_microseconds() -> Result<u64, Box<dyn Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = statistics.split(' ').next().ok_or("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1_000)
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines: Vec<&str> =
        status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon")).collect();
    lines.join(", ").replace(['\t', ' '], "")
}
