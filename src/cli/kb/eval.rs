//! `triage kb eval`: how well the knowledge base suggests, measured on questions whose article is known.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::super::{DEFAULT_DATA_DIR, data_dir, progress::Progress};
use crate::{
    config::Config,
    domain::ticket::{Ticket, TicketDraft, TicketLimits},
    knowledge::{self, KnowledgeBase},
    rows::{Row, Rows, parse_rename},
    triage::Suggester,
};

/// How many articles are asked for.
const DEPTH: usize = 10;
const HIT_DEPTHS: [usize; 4] = [1, 3, 5, 10];
/// Unknown ids named one by one; the rest are counted.
const MAX_WARNINGS: u64 = 10;

#[derive(Debug, Args)]
pub(in super::super) struct EvalArgs {
    /// Folder with the knowledge base
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Questions, one a row: .jsonl, .ndjson or .csv, .gz on top
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Columns that hold the text, joined by a newline
    #[arg(long = "text", value_name = "A,B", value_delimiter = ',', required = true)]
    text_columns: Vec<String>,
    /// Column with the ids of the articles that answer it
    #[arg(long, value_name = "COLUMN")]
    relevant: String,
    /// Column that holds the question's id; where a row has none, its number
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: String,
    /// Column with the business service or product that a question is about
    #[arg(long, value_name = "COLUMN")]
    service: Option<String>,
    /// Read column THEIRS under the name OURS
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = parse_rename)]
    map: Vec<(String, String)>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl EvalArgs {
    /// The question as a ticket; with several columns the first is the summary, as when tickets are imported. `None`
    /// where there is no text.
    fn ticket(&self, row: &Row) -> Option<Ticket> {
        let (mut summary, mut description) = (String::new(), row.text(&self.text_columns));
        if let [first, others @ ..] = self.text_columns.as_slice()
            && !others.is_empty()
            && let Some(value) = row.value(first).filter(|value| !value.trim().contains('\n'))
        {
            (summary, description) = (value.trim().to_owned(), row.text(others));
        }
        let service = self.service.as_ref().and_then(|column| row.label(column)).unwrap_or_default();
        let draft = TicketDraft { id: row.id(&self.id), summary, description, service, ..TicketDraft::default() };
        // A measure takes questions of any length.
        draft.parse("", &TicketLimits { summary_chars: usize::MAX, text_bytes: usize::MAX }).ok()
    }
}

/// Sums over the questions asked.
#[derive(Default)]
struct Scores {
    queries: u64,
    hits: [u64; HIT_DEPTHS.len()],
    reciprocal_ranks: f64,
    gains: f64,
    latencies: Vec<Duration>,
    /// Questions without a relevant id: of no answer could be said whether it is right.
    skipped: u64,
}

impl Scores {
    fn add(&mut self, found: &[String], relevant: &HashSet<String>, latency: Duration) {
        self.queries += 1;
        self.latencies.push(latency);
        let first = found.iter().position(|id| relevant.contains(id));
        if let Some(place) = first {
            self.reciprocal_ranks += 1.0 / rank(place);
            for (hits, depth) in self.hits.iter_mut().zip(HIT_DEPTHS) {
                *hits += u64::from(place < depth);
            }
        }
        let gain: f64 = (0..found.len()).filter(|&place| relevant.contains(&found[place])).map(discount).sum();
        let best: f64 = (0..relevant.len().min(DEPTH)).map(discount).sum();
        self.gains += if best > 0.0 { gain / best } else { 0.0 };
    }

    /// Whether a question with these ids is left out; counts it then.
    fn skips(&mut self, relevant: &HashSet<String>) -> bool {
        if relevant.is_empty() {
            self.skipped += 1;
        }
        relevant.is_empty()
    }

    fn mean(&self, sum: f64) -> f64 {
        if self.queries == 0 { 0.0 } else { sum / float(self.queries) }
    }

    /// Milliseconds within which this share of the questions was answered.
    fn latency(&mut self, share: f64) -> f64 {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place among the questions, from 0 to the last"
        )]
        let place = (share * last as f64).round() as usize;
        self.latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
    }
}

/// Gain of a relevant article at this place, from 0 (Järvelin and Kekäläinen 2002).
fn discount(place: usize) -> f64 {
    1.0 / (rank(place) + 1.0).log2()
}

#[expect(clippy::cast_precision_loss, reason = "places and counts are far below 2^52")]
fn rank(place: usize) -> f64 {
    place as f64 + 1.0
}

#[expect(clippy::cast_precision_loss, reason = "places and counts are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

pub(super) fn run(args: &EvalArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let rows = Rows::open(&args.queries, &args.map)?;
    let mut columns: Vec<&str> = args.text_columns.iter().map(String::as_str).collect();
    columns.push(&args.relevant);
    rows.require(&columns)?;
    let store = super::existing_store(&args.data_dir)?;
    let knowledge = data_dir::knowledge(&store, &args.data_dir, config)?;
    let memory = data_dir::memory(&store, &args.data_dir, config)?;
    let suggester = Suggester::new(knowledge.clone(), Some(memory.clone()), config.redactor.clone())?;
    let today = knowledge::today().context("the system's clock shows no date")?;
    let bar = Progress::counting("questions");
    if memory.count() > 0
        && let Err(error) = rows.require(&[&args.id])
    {
        bar.warn(format_args!(
            "{error}; until then a question that the memory holds is answered with its own article: name the column \
             with --id"
        ));
    }
    let mut scores = Scores::default();
    let (mut failed, mut unknown) = (0_u64, 0_u64);
    let mut relevant_ids = RelevantIds::default();
    for row in rows {
        bar.step();
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                failed += 1;
                bar.warn(error);
                continue;
            }
        };
        let relevant: HashSet<String> = row.list(&args.relevant).into_iter().collect();
        if scores.skips(&relevant) {
            continue;
        }
        for id in relevant_ids.unknown(&knowledge, &relevant)? {
            unknown += 1;
            if unknown <= MAX_WARNINGS {
                let question = row.id(&args.id);
                bar.warn(format_args!("question {question}: no article `{id}`, which counts as a miss"));
            }
        }
        let Some(ticket) = args.ticket(&row) else {
            scores.add(&[], &relevant, Duration::ZERO);
            continue;
        };
        let asked = Instant::now();
        let found = suggester.suggest_ids(&ticket, today, DEPTH)?;
        scores.add(&found, &relevant, asked.elapsed());
    }
    bar.finish();
    if unknown > MAX_WARNINGS {
        eprintln!("warning: {unknown} relevant ids in all are of no article");
    }
    if scores.skipped > 0 {
        eprintln!("warning: {} questions without an id in `{}` are left out", scores.skipped, args.relevant);
    }
    report(args, &mut scores, started.elapsed())?;
    anyhow::ensure!(failed == 0, "{failed} rows of {} could not be read", args.queries.display());
    Ok(ExitCode::SUCCESS)
}

/// Which ids are of articles; each is looked up once, so that what is measured is the suggestions.
#[derive(Default)]
struct RelevantIds(HashMap<String, bool>);

impl RelevantIds {
    /// Those that are of none, in order.
    fn unknown<'a>(&mut self, knowledge: &KnowledgeBase, ids: &'a HashSet<String>) -> anyhow::Result<Vec<&'a String>> {
        let mut unknown = Vec::new();
        for id in ids {
            let is_known = match self.0.get(id) {
                Some(is_known) => *is_known,
                None => *self.0.entry(id.clone()).or_insert(knowledge.contains(id)?),
            };
            if !is_known {
                unknown.push(id);
            }
        }
        unknown.sort_unstable();
        Ok(unknown)
    }
}

fn report(args: &EvalArgs, scores: &mut Scores, elapsed: Duration) -> io::Result<()> {
    let [hit_1, hit_3, hit_5, hit_10] = scores.hits.map(|hits| scores.mean(float(hits)));
    let (mrr, ndcg) = (scores.mean(scores.reciprocal_ranks), scores.mean(scores.gains));
    let (p50, p99) = (scores.latency(0.5), scores.latency(0.99));
    let (queries, seconds) = (scores.queries, elapsed.as_secs_f64());
    let mut out = io::stdout().lock();
    if args.json {
        let summary = json!({
            "queries": queries,
            "hit_at": {"1": hit_1, "3": hit_3, "5": hit_5, "10": hit_10},
            "mrr_at_10": mrr,
            "ndcg_at_10": ndcg,
            "latency_ms": {"p50": p50, "p99": p99},
            "seconds": seconds,
        });
        return writeln!(out, "{summary}");
    }
    writeln!(
        out,
        "{queries} questions in {seconds:.1} s; a suggestion takes {p50:.2} ms, 99 of 100 at most {p99:.2} ms"
    )?;
    writeln!(out, "  a right article is first       {:5.1} %", 100.0 * hit_1)?;
    writeln!(
        out,
        "  … among the first 3 / 5 / 10   {:5.1} / {:.1} / {:.1} %",
        100.0 * hit_3,
        100.0 * hit_5,
        100.0 * hit_10
    )?;
    writeln!(out, "  MRR@10 {mrr:.3}, nDCG@10 {ndcg:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn measures_follow_their_definitions() {
        let mut scores = Scores::default();
        for (found, relevant) in
            [(&["a", "b"][..], &["a"][..]), (&["x", "a", "y", "b"], &["a", "b"]), (&["x"], &["a"]), (&[], &["a"])]
        {
            scores.add(&ids(found), &ids(relevant).into_iter().collect(), Duration::from_millis(scores.queries + 1));
        }
        assert_eq!(scores.hits, [1, 2, 2, 2]);
        assert!((scores.mean(scores.reciprocal_ranks) - 1.5 / 4.0).abs() < 1e-12);
        let second = (1.0 / 3_f64.log2() + 1.0 / 5_f64.log2()) / (1.0 + 1.0 / 3_f64.log2());
        assert!((scores.gains - (1.0 + second)).abs() < 1e-12);
        assert!((scores.latency(1.0) - 4.0).abs() < 1e-9 && (scores.latency(0.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_question_without_relevant_ids_is_left_out_and_counted() {
        let mut scores = Scores::default();
        let skipped = scores.skips(&HashSet::new());
        assert!(skipped);
        let skipped = scores.skips(&HashSet::from(["a".to_owned()]));
        assert!(!skipped);
        assert_eq!((scores.skipped, scores.queries), (1, 0));
    }

    #[test]
    fn no_questions_are_no_division_by_zero() {
        let mut scores = Scores::default();
        assert!(scores.mean(0.0).abs() < 1e-12 && scores.latency(0.99).abs() < 1e-12);
    }
}
