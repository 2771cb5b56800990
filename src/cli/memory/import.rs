//! `triage memory import`: solved tickets from a file of rows into the memory. It goes row by row in bounded memory, and
//! what is stored already is left as it is: killed half-way and run again, it ends as one clean run. Bad rows do not
//! stop it unless they are many.

use std::{
    fmt,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use clap::Args;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::super::{
    DEFAULT_DATA_DIR, DEFAULT_ID, block_on, data_dir, parse_share,
    progress::Progress,
    reclassify::{follow_to_end, server_flag},
};
use crate::{
    config::Config,
    domain::{
        memory::{ConfirmedTicket, keep_last_of_each},
        steering,
    },
    grpc::client::Client,
    jobs::{NewImport, Reject, Rejects, specification::Pace, too_many_bad},
    memory::{Memory, TicketColumns, UnknownArticles},
    rows::{RowError, Rows, parse_rename},
    store::{ImportCounts, SeenIds, Store},
};

/// Tickets are stored in batches: one durable write each, and memory for one.
const BATCH_TICKETS: u64 = 1_000;
const BATCH_BYTES: usize = 8 << 20;
/// Behind so many stored tickets they are made findable, so that the end of a long import is not one long wait.
const PUBLISHED_TICKETS: u64 = 20_000;
/// Bad rows and unknown articles named one by one; the rest are counted.
const MAX_WARNINGS: u64 = 10;

#[derive(Debug, Args)]
pub(in super::super) struct ImportArgs {
    /// Solved tickets, one a row: .jsonl, .ndjson or .csv, .gz on top
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Columns that hold the text; with several, the first is the summary
    #[arg(long = "text", value_name = "A,B", value_delimiter = ',', required = true)]
    text_columns: Vec<String>,
    /// Column with the ids of the articles that solved the ticket; without it, tickets keep the links they have
    #[arg(long, value_name = "COLUMN")]
    articles: Option<String>,
    /// Column with the right value of the field of that name; may be repeated
    #[arg(long = "label", value_name = "COLUMN")]
    labels: Vec<String>,
    /// Column that holds the id (default `id`); where a row has none, its number
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Column that says what was done
    #[arg(long, value_name = "COLUMN")]
    resolution: Option<String>,
    /// Column with the business service
    #[arg(long, value_name = "COLUMN")]
    service: Option<String>,
    /// Column with the configuration item
    #[arg(long, value_name = "COLUMN")]
    configuration_item: Option<String>,
    /// Column with the day on which it was resolved, or a time of that day: YYYY-MM-DD [hh:mm[:ss]], RFC 3339
    #[arg(long, value_name = "COLUMN")]
    resolved_on: Option<String>,
    /// Read column THEIRS under the name OURS
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = parse_rename)]
    map: Vec<(String, String)>,
    /// Keep bad rows in this file, each with its line and what is wrong: mended, it can be imported like FILE
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Stop when more than this share of the rows is bad, 0 to 1; below 100 rows only at 0
    #[arg(long, value_name = "P", default_value_t = Pace::DEFAULT_MAX_BAD_SHARE, value_parser = parse_share)]
    max_bad_share: f64,
    /// Folder with the memory; created when absent
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Have a running server do it, as a job; both FILEs are its files, in one of its jobs.folders
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["data_dir", "map"])]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl ImportArgs {
    fn columns(&self) -> TicketColumns {
        TicketColumns {
            id: self.id.clone().unwrap_or_else(|| DEFAULT_ID.to_owned()),
            text: self.text_columns.clone(),
            articles: self.articles.clone(),
            labels: self.labels.clone(),
            resolution: self.resolution.clone(),
            service: self.service.clone(),
            configuration_item: self.configuration_item.clone(),
            resolved_on: self.resolved_on.clone(),
        }
    }
}

/// Tickets on their way into the memory.
struct Batches<'a> {
    keeps_links: bool,
    memory: &'a Memory,
    bar: &'a Progress,
    tickets: Vec<ConfirmedTicket>,
    bytes: usize,
    counts: ImportCounts,
    unknown: UnknownArticles,
    unpublished: u64,
    /// The ids so far.
    seen: SeenIds,
    /// Rows whose id stands further up already.
    repeated: u64,
}

impl Batches<'_> {
    fn add(&mut self, ticket: ConfirmedTicket) -> anyhow::Result<()> {
        self.bytes += ticket.text_bytes();
        self.repeated += u64::from(!self.seen.insert(xxh3_64(ticket.id.as_bytes()))?);
        self.tickets.push(ticket);
        if self.tickets.len() as u64 >= BATCH_TICKETS || self.bytes >= BATCH_BYTES {
            self.store()?;
        }
        Ok(())
    }

    fn store(&mut self) -> anyhow::Result<()> {
        keep_last_of_each(&mut self.tickets);
        if self.keeps_links {
            for ticket in &mut self.tickets {
                if let Some(known) = self.memory.get(&ticket.id)? {
                    (ticket.articles, ticket.refused) = (known.articles, known.refused);
                }
            }
        }
        let counts = self.memory.stage(&self.tickets)?;
        self.counts += counts;
        let before = self.unknown.count();
        for (article, number) in self.unknown.add(self.memory, &self.tickets)?.iter().zip(before..MAX_WARNINGS) {
            debug_assert!(number < MAX_WARNINGS, "the range ends there");
            self.bar.warn(format_args!("no article `{article}` in the knowledge base; the link to it is kept"));
        }
        self.tickets.clear();
        self.bytes = 0;
        self.unpublished += counts.imported + counts.updated;
        if self.unpublished >= PUBLISHED_TICKETS {
            self.memory.publish()?;
            self.unpublished = 0;
        }
        Ok(())
    }
}

/// Has a server do it, and watches.
async fn run_at(args: &ImportArgs, address: &str, config: &Config) -> anyhow::Result<ExitCode> {
    let client = Client::connect(address, &config.client).await?;
    let new = NewImport {
        path: args.input.clone(),
        renames: Vec::new(),
        columns: TicketColumns { id: args.id.clone().unwrap_or_default(), ..args.columns() },
        rejects: args.rejects.clone(),
        pace: Pace { max_bad_share: args.max_bad_share, ..Pace::default() },
    };
    let job = client.create_import(new).await?;
    let job = follow_to_end(&client, &job, args.max_bad_share, args.json).await?;
    let (id, bad) = (job.record.id, job.record.counts.failed);
    if bad == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    match job.specification.rejects() {
        Some(rejects) => eprintln!(
            "{bad} rows are bad: mend them in {} and import that file",
            steering::without(&rejects.display().to_string())
        ),
        None => eprintln!(
            "{bad} rows are bad: `triage jobs results {id} --failed{}` says what is wrong, and --rejects FILE keeps them",
            server_flag(address)
        ),
    }
    Ok(ExitCode::FAILURE)
}

pub(super) fn run(args: &ImportArgs, config: &Config) -> anyhow::Result<ExitCode> {
    if let Some(address) = &args.server {
        super::super::no_encoder_for(address, config)?;
        return block_on(run_at(args, address, config));
    }
    let started = Instant::now();
    let rows = Rows::open(&args.input, &args.map)?;
    let columns = args.columns();
    rows.require(&columns.named().chain(args.id.as_deref()).collect::<Vec<_>>())?;
    rows.require_once(&columns.of_one_value().chain([columns.id.as_str()]).collect::<Vec<_>>())?;
    let rejects = args.rejects.as_deref();
    rejects.map_or(Ok(()), |path| Rejects::check(path, &rows))?;
    let store = Store::open(&args.data_dir)?;
    let rejects = rejects.map(|path| Rejects::create(path, &rows, &columns.id)).transpose()?;
    let bar = Arc::new(Progress::counting("tickets"));
    let encoding = data_dir::settled(&store, config, &bar)?;
    let memory = Memory::open(store.clone(), &args.data_dir, config.redactor.clone(), encoding)?;
    let mut batches = Batches {
        keeps_links: args.articles.is_none(),
        memory: &memory,
        bar: &bar,
        tickets: Vec::new(),
        bytes: 0,
        counts: ImportCounts::default(),
        unknown: UnknownArticles::default(),
        unpublished: 0,
        seen: store.seen_ids("import")?,
        repeated: 0,
    };
    let mut bad = BadRows { args, rejects, count: 0, unnamed: 0 };
    let (mut without_id, mut stopped) = (0_u64, None);
    for (row, number) in rows.zip(1..) {
        bar.step();
        let rejected = match row {
            Ok(row) => {
                without_id += u64::from(row.value(&columns.id).is_none());
                match columns.ticket(&row, &config.limits.ticket) {
                    Ok(ticket) => {
                        batches.add(ticket)?;
                        continue;
                    }
                    Err(problem) => {
                        bad.name(&bar, format_args!("{}, line {}: {problem}", args.input.display(), row.line));
                        let (id, original) = (row.id(&columns.id), row.original());
                        bad.add(Reject { line: row.line, reason: &problem, id: &id, original: Some(&original) })
                    }
                }
            }
            Err(error) if error.is_fatal() => {
                bad.count += 1;
                Err(error.into())
            }
            Err(error) => {
                bad.name(&bar, &error);
                let RowError { path: _, line, problem, original } = error;
                let (reason, id) = (problem.to_string(), number.to_string());
                bad.add(Reject { line, reason: &reason, id: &id, original: original.as_ref() })
            }
        };
        stopped = rejected.and_then(|()| bad.check(number)).err();
        if stopped.is_some() {
            break;
        }
    }
    batches.store()?;
    memory.publish()?;
    bar.finish();
    let Batches { counts, unknown, repeated, .. } = batches;
    super::learn(&store, memory.clone(), &args.data_dir, config)?;
    if bad.unnamed > 0 {
        let keep = if args.rejects.is_none() { "; --rejects FILE keeps them all" } else { "" };
        eprintln!("warning: … and {} more bad rows{keep}", bad.unnamed);
    }
    if unknown.count() > MAX_WARNINGS {
        eprintln!("warning: {} articles in all are not in the knowledge base", unknown.count());
    }
    if without_id > 0 {
        let column = &columns.id;
        eprintln!(
            "warning: {without_id} rows have nothing in `{column}` and go by their number; name the column with --id, \
             or the rows of another file will replace them"
        );
    }
    if repeated > 0 {
        eprintln!(
            "warning: {repeated} rows have an id that stands further up already: of such rows the last one counts"
        );
    }
    let failed = bad.count;
    let rejected = if stopped.is_none() { bad.finish()? } else { None };
    report(args, counts, (failed, unknown.count()), rejected, started.elapsed().as_secs_f64())?;
    match stopped {
        Some(error) => Err(error),
        None if failed == 0 => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::FAILURE),
    }
}

/// Rows that could not be used.
struct BadRows<'a> {
    args: &'a ImportArgs,
    rejects: Option<Rejects>,
    count: u64,
    unnamed: u64,
}

impl BadRows<'_> {
    /// Says what is wrong with the next one, while they are few.
    fn name(&mut self, bar: &Progress, problem: impl fmt::Display) {
        if self.count < MAX_WARNINGS {
            bar.warn(problem);
        } else {
            self.unnamed += 1;
        }
    }

    fn add(&mut self, reject: Reject<'_>) -> anyhow::Result<()> {
        self.count += 1;
        if let Some(rejects) = &mut self.rejects {
            rejects.add(reject)?;
        }
        Ok(())
    }

    /// Stops where too many of so many rows are bad.
    fn check(&mut self, rows: u64) -> anyhow::Result<()> {
        let (bad, most) = (self.count, self.args.max_bad_share);
        if !too_many_bad(bad, rows, most) {
            return Ok(());
        }
        let found = match &mut self.rejects {
            Some(rejects) => {
                rejects.flush()?;
                format!("see {}", rejects.unfinished().display())
            }
            None => "--rejects FILE collects them".to_owned(),
        };
        anyhow::bail!(
            "{}: {bad} of {rows} rows so far are bad, more than the {:.0} % that are allowed ({found}), and what follows \
             was not read: mend the file, or go on with what is good by --max-bad-share 1",
            self.args.input.display(),
            most * 100.0
        )
    }

    /// Gives the file of bad rows its name; `None` where there is none.
    fn finish(self) -> anyhow::Result<Option<PathBuf>> {
        let path = self.args.rejects.clone().filter(|_| self.count > 0);
        self.rejects.map_or(Ok(()), Rejects::finish)?;
        Ok(path)
    }
}

fn report(
    args: &ImportArgs,
    counts: ImportCounts,
    (failed, unknown_articles): (u64, u64),
    rejects: Option<PathBuf>,
    seconds: f64,
) -> io::Result<()> {
    let ImportCounts { imported, updated, unchanged } = counts;
    let mut out = io::stdout().lock();
    if args.json {
        let summary = json!({
            "imported": imported,
            "updated": updated,
            "unchanged": unchanged,
            "failed": failed,
            "unknown_articles": unknown_articles,
            "rejects": rejects.map(|path| path.display().to_string()),
            "seconds": seconds,
        });
        return writeln!(out, "{summary}");
    }
    writeln!(out, "{imported} new, {updated} updated, {unchanged} unchanged, {failed} failed in {seconds:.1} s")?;
    match rejects {
        Some(path) => writeln!(out, "the failed rows are in {}: mend them there and import that file", path.display()),
        None => Ok(()),
    }
}
