//! `triage feedback import`: resolved tickets, each first decided as it would be at that moment, compared with what it
//! turned out to be, and then learnt. So it says how right the program would have been on the way, with and without
//! learning. Killed half-way and run again, what was recorded counts once.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    time::Instant,
};

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::{
    DEFAULT_DATA_DIR, DEFAULT_ID, UsageError, block_on, classify::open_triager, progress::Progress, warn_without_id,
};
use crate::{
    config::Config,
    domain::{memory::ConfirmedTicket, steering, ticket::TicketLimits},
    feedback::now,
    grpc::client::Client,
    memory::TicketColumns,
    rows::{Rows, parse_rename},
    triage::{
        FieldTally, RESOLVED_AT_ONCE, ResolvedCounts, UnknownValue, UnknownValues, resolved_violations,
        source_violations,
    },
};

/// Bad rows named one by one; the rest are counted.
const MAX_WARNINGS: u64 = 10;
/// Values that nobody knows, of each field.
const MAX_EXAMPLES: usize = 5;
/// Tickets sent to a server in one frame, within what it takes.
const FRAME_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
pub(in super::super) struct ImportArgs {
    /// Resolved tickets in the order in which they were closed, one a row: .jsonl, .ndjson or .csv, .gz on top
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Columns that hold the text; with several, the first is the summary
    #[arg(long = "text", value_name = "A,B", value_delimiter = ',', required = true)]
    text_columns: Vec<String>,
    /// Column with the final value of the field of that name; may be repeated
    #[arg(long = "label", value_name = "COLUMN", required = true)]
    labels: Vec<String>,
    /// Who vouches for the values, such as the name of the service desk's tool
    #[arg(long = "by", value_name = "NAME", default_value = "import")]
    source: String,
    /// Column that holds the id (default `id`); where a row has none, its number
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Read column THEIRS under the name OURS
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = parse_rename)]
    map: Vec<(String, String)>,
    /// Show how right it was so far behind every N tickets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "server")]
    every: Option<u64>,
    /// Model bundle that decides; without it the one that `triage classify` uses
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    model: Option<PathBuf>,
    /// Folder with the memory; created when absent
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Have a running server learn from them
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// How right it was, behind so many tickets.
type Milestone = (u64, BTreeMap<String, FieldTally>);

/// What became of the rows.
#[derive(Default)]
struct Outcome {
    counts: ResolvedCounts,
    failed: u64,
    /// Rows without a value of any of the fields.
    unlabelled: u64,
    milestones: Vec<Milestone>,
}

pub(super) fn run(args: &ImportArgs, config: &Config) -> anyhow::Result<()> {
    let started = Instant::now();
    if let Some(violation) = source_violations(&args.source).first() {
        return Err(UsageError(format!("--by {}", violation.description)).into());
    }
    let rows = Rows::open(&args.input, &args.map)?;
    let columns = args.columns();
    rows.require(&columns.named().collect::<Vec<_>>())?;
    rows.require_once(&columns.of_one_value().chain([columns.id.as_str()]).collect::<Vec<_>>())?;
    let bar = Progress::counting("tickets");
    if args.id.is_some() {
        warn_without_id(&rows, &columns.id, &bar);
    }
    let mut outcome = Outcome::default();
    if let Some(address) = &args.server {
        let tickets = args.read(rows, &columns, &config.limits.ticket, &bar, &mut outcome, |_| Ok(()))?;
        let (counts, refused) = block_on(async {
            Client::connect(address, &config.client).await?.record_resolved(&args.source, tickets, FRAME_BYTES).await
        })?;
        outcome.counts = counts;
        outcome.failed += refused;
    } else {
        let triager = open_triager(args.model.as_deref(), Some(&args.data_dir), config)?;
        let mut tickets = Vec::new();
        let (mut counts, mut milestones) = (ResolvedCounts::default(), Vec::new());
        let (mut done, mut last) = (0_u64, 0_u64);
        let mut learn = |tickets: &mut Vec<ConfirmedTicket>| -> anyhow::Result<()> {
            counts += triager.learn_resolved(tickets, &args.source, now(), &mut |_| ())?;
            done += tickets.len() as u64;
            tickets.clear();
            if args.every.is_some_and(|every| done / every > last / every) {
                milestones.push((done, counts.fields.clone()));
            }
            last = done;
            Ok(())
        };
        let rest = args.read(rows, &columns, &config.limits.ticket, &bar, &mut outcome, |ticket| {
            tickets.push(ticket);
            if tickets.len() == RESOLVED_AT_ONCE { learn(&mut tickets) } else { Ok(()) }
        })?;
        debug_assert!(rest.is_empty(), "every ticket was handed over");
        learn(&mut tickets)?;
        (outcome.counts, outcome.milestones) = (counts, milestones);
    }
    bar.finish();
    for warning in unknown_warnings(&outcome.counts.unknown) {
        eprintln!("warning: {warning}");
    }
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", outcome.to_json(started.elapsed().as_secs_f64()))?;
    } else {
        outcome.print(&mut out)?;
    }
    anyhow::ensure!(outcome.failed == 0, "{} rows of {} could not be used", outcome.failed, args.input.display());
    Ok(())
}

impl ImportArgs {
    fn columns(&self) -> TicketColumns {
        TicketColumns {
            id: self.id.clone().unwrap_or_else(|| DEFAULT_ID.to_owned()),
            text: self.text_columns.clone(),
            labels: self.labels.clone(),
            ..TicketColumns::default()
        }
    }

    /// Reads every ticket, and hands it over; those that are left when a server is to be asked come back.
    fn read(
        &self,
        rows: Rows,
        columns: &TicketColumns,
        limits: &TicketLimits,
        bar: &Progress,
        outcome: &mut Outcome,
        mut take: impl FnMut(ConfirmedTicket) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<ConfirmedTicket>> {
        // A long text is history: the model reads its beginning.
        let limits = TicketLimits { text_bytes: usize::MAX, ..*limits };
        let mut kept = Vec::new();
        for row in rows {
            bar.step();
            let ticket = match row {
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => Err(error.to_string()),
                Ok(row) => columns.ticket(&row, &limits).map_err(|problem| format!("row {}: {problem}", row.number)),
            };
            match ticket {
                Ok(ticket) if ticket.labels.is_empty() => outcome.unlabelled += 1,
                Ok(ticket) if !resolved_violations(&ticket, "").is_empty() => {
                    let problems = resolved_violations(&ticket, "");
                    let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                    outcome.refuse(format!("ticket {}: {problems}", ticket.id), bar);
                }
                Ok(ticket) if self.server.is_some() => kept.push(ticket),
                Ok(ticket) => take(ticket)?,
                Err(problem) => outcome.refuse(problem, bar),
            }
        }
        Ok(kept)
    }
}

impl Outcome {
    fn refuse(&mut self, problem: String, bar: &Progress) {
        self.failed += 1;
        if self.failed <= MAX_WARNINGS {
            bar.warn(problem);
        }
    }

    fn to_json(&self, seconds: f64) -> Value {
        let Self { counts, failed, unlabelled, milestones } = self;
        let ResolvedCounts { recorded, unchanged, fields, unknown } = counts;
        let unknown = unknown
            .told()
            .into_iter()
            .map(|UnknownValue { field, value, tickets }| json!({"field": field, "value": value, "tickets": tickets}));
        let by_field = |fields: &BTreeMap<String, FieldTally>| -> Map<String, Value> {
            let tally = |(field, tally): (&String, &FieldTally)| {
                let FieldTally { tickets, right, right_by_model } = tally;
                let document = json!({"tickets": tickets, "right": right, "right_by_model": right_by_model});
                (field.clone(), document)
            };
            fields.iter().map(tally).collect()
        };
        let milestones =
            milestones.iter().map(|(tickets, fields)| json!({"tickets": tickets, "fields": by_field(fields)}));
        json!({
            "recorded": recorded,
            "unchanged": unchanged,
            "failed": failed,
            "unlabelled": unlabelled,
            "fields": by_field(fields),
            "milestones": milestones.collect::<Vec<_>>(),
            "unknown_values": unknown.collect::<Vec<_>>(),
            "seconds": seconds,
        })
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { counts, failed, unlabelled, milestones } = self;
        let ResolvedCounts { recorded, unchanged, fields, unknown: _ } = counts;
        writeln!(
            out,
            "{recorded} recorded, {unchanged} recorded before, {failed} failed, {unlabelled} without a value"
        )?;
        if fields.is_empty() {
            writeln!(out, "the model has none of these fields: nothing could be compared")?;
            return Ok(());
        }
        writeln!(out, "{:>9}  {:<20} {:>9} {:>14} {:>10}", "tickets", "field", "right", "model alone", "learning")?;
        let last = (fields.values().map(|tally| tally.tickets).max().unwrap_or_default(), fields.clone());
        let is_last = milestones.last().is_some_and(|(tickets, _)| *tickets == last.0);
        for (tickets, fields) in milestones.iter().chain((!is_last).then_some(&last)) {
            for (field, FieldTally { tickets: of_field, right, right_by_model }) in fields {
                let (right, alone) = (share(*right, *of_field), share(*right_by_model, *of_field));
                let gain = (right - alone) * 100.0;
                let (right, alone) = (right * 100.0, alone * 100.0);
                writeln!(out, "{tickets:>9}  {field:<20} {right:>7.1} % {alone:>12.1} % {gain:>+10.1}")?;
            }
        }
        Ok(())
    }
}

/// Of each field, the values that neither model nor taxonomy knows, the most frequent ones.
fn unknown_warnings(unknown: &UnknownValues) -> Vec<String> {
    let mut by_field: BTreeMap<String, Vec<UnknownValue>> = BTreeMap::new();
    for unknown in unknown.told() {
        by_field.entry(unknown.field.clone()).or_default().push(unknown);
    }
    let warning = |(field, values): (String, Vec<UnknownValue>)| {
        let value = |UnknownValue { field: _, value, tickets }: &UnknownValue| {
            let noun = if *tickets == 1 { "ticket" } else { "tickets" };
            format!("`{}` ({tickets} {noun})", steering::one_line(value))
        };
        let mut examples: Vec<_> = values.iter().take(MAX_EXAMPLES).map(value).map(Cow::Owned).collect();
        if values.len() > MAX_EXAMPLES {
            examples.push(Cow::Borrowed("and others"));
        }
        let (field, examples) = (steering::one_line(&field).into_owned(), examples.join(", "));
        format!("{field}: neither model nor taxonomy knows {examples}; tickets keep them: are they spelt right?")
    };
    by_field.into_iter().map(warning).collect()
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}
