//! `triage jobs`: look at jobs, steer them, read their results, and take them back.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{DEFAULT_DATA_DIR, job, reclassify};
use crate::{
    config::Config,
    domain::job::{JobId, JobState, TicketResult, UndoOutcome},
    jobs::{Job, Jobs, ResultPlace, Undone, result_line},
    store::Store,
};

/// Results read from the store in one go.
const PAGE: usize = 1_000;
/// Tickets named one by one that undoing left as they are.
const SHOWN_TICKETS: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// List jobs, the latest first
    List(ListArgs),
    /// Show a job, how far it is, and what it changes
    Show(JobArgs),
    /// Go on with a paused or interrupted job
    Resume(JobArgs),
    /// End a job before its time; its changes to the memory stay until they are undone
    Cancel(JobArgs),
    /// Print what a job made of each ticket
    Results(ResultsArgs),
    /// Take back what a job did
    Undo(UndoArgs),
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Folder that keeps the jobs
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Most jobs to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = parse_id)]
    id: JobId,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct ResultsArgs {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = parse_id)]
    id: JobId,
    /// Only tickets that change
    #[arg(long)]
    changed: bool,
    /// Only bad rows
    #[arg(long, conflicts_with = "changed")]
    failed: bool,
    /// Only changes of this field
    #[arg(long, value_name = "FIELD", requires = "changed")]
    field: Option<String>,
    /// At most N tickets
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = parse_id)]
    id: JobId,
    /// Of a job over a file: where the previous values of the changed tickets go [default: beside the job's output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

fn parse_id(raw: &str) -> Result<JobId, String> {
    JobId::parse(raw).ok_or_else(|| "a job goes by its number, as `triage jobs list` shows it".to_owned())
}

pub(super) fn run(command: &JobsCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        JobsCommand::List(args) => list(args),
        JobsCommand::Show(JobArgs { id, place }) => {
            reclassify::report(&open(&place.data_dir)?.1, *id, &place.data_dir, place.json)
        }
        JobsCommand::Resume(args) => resume(args, config),
        JobsCommand::Cancel(JobArgs { id, place }) => {
            let jobs = open(&place.data_dir)?.1;
            jobs.cancel(*id)?;
            reclassify::report(&jobs, *id, &place.data_dir, place.json)
        }
        JobsCommand::Results(args) => results(args),
        JobsCommand::Undo(args) => undo(args, config),
    }
}

/// For commands about jobs that are there: a folder without any is a misspelt one.
fn open(data_dir: &Path) -> anyhow::Result<(Store, Jobs)> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "no jobs in {}: name the folder that keeps them with --data-dir",
        data_dir.display()
    );
    let store = Store::open(data_dir)?;
    let jobs = Jobs::open(store.clone(), data_dir);
    Ok((store, jobs))
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let jobs = open(&args.place.data_dir)?.1.list(None, args.limit)?;
    let mut out = io::stdout().lock();
    if args.place.json {
        writeln!(out, "{}", json!({"jobs": jobs.iter().map(job::job_json).collect::<Vec<_>>()}))?;
    } else if jobs.is_empty() {
        writeln!(out, "no jobs yet")?;
    } else {
        job::list(&mut out, &jobs)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn resume(args: &JobArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let (store, jobs) = open(&args.place.data_dir)?;
    let state = jobs.get(args.id)?.record.state;
    let Job { specification, .. } = if state == JobState::Undoing { jobs.get(args.id)? } else { jobs.resume(args.id)? };
    let triager = reclassify::triager(specification.pace.model.as_deref(), config)?;
    reclassify::work(&jobs, args.id, triager, store, &args.place.data_dir, config)?;
    reclassify::report(&jobs, args.id, &args.place.data_dir, args.place.json)
}

fn results(args: &ResultsArgs) -> anyhow::Result<ExitCode> {
    let jobs = open(&args.place.data_dir)?.1;
    let Job { specification, .. } = jobs.get(args.id)?;
    let fields = &specification.fields;
    let place = args.field.as_ref().map(|name| fields.iter().position(|field| field.field == *name));
    if let (Some(None), Some(name)) = (place, &args.field) {
        let known: Vec<&str> = fields.iter().map(|field| field.field.as_str()).collect();
        anyhow::bail!("job {} is not about field `{name}`; its fields are {}", args.id, known.join(", "));
    }
    let place = place.flatten();
    let wanted = |result: &TicketResult| {
        let changes = match place {
            Some(place) => result.fields.get(place).is_some_and(|field| field.changed),
            None => result.is_changed(),
        };
        (!args.changed || changes) && (!args.failed || result.error.is_some())
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut next, mut left) = (Some(ResultPlace::default()), args.limit.unwrap_or(usize::MAX));
    while let Some(from) = next.filter(|_| left > 0) {
        let page = jobs.results(args.id, from, PAGE.min(left), wanted)?;
        left -= page.results.len();
        for result in &page.results {
            if args.place.json {
                out.write_all(&result_line(fields, result))?;
            } else {
                job::result_line(&mut out, fields, result)?;
            }
        }
        next = page.next;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn undo(args: &UndoArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let (store, jobs) = open(&args.place.data_dir)?;
    let output = args.output.as_deref().map(std::path::absolute).transpose()?;
    let job = jobs.undo(args.id, output.as_deref())?;
    if job.record.state == JobState::Undoing {
        // Nothing is decided anew: any model will do.
        let triager = reclassify::triager(None, config)?;
        reclassify::work(&jobs, args.id, triager, store, &args.place.data_dir, config)?;
    }
    let Undone { counts, output: default } = jobs.undone(args.id)?;
    let output = output.or(default);
    let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
    let touched = jobs.undone_tickets(args.id, UndoOutcome::Touched, "", PAGE)?;
    let mut out = io::stdout().lock();
    if args.place.json {
        let document = json!({
            "job": args.id.to_string(),
            "restored": count(UndoOutcome::Restored),
            "touched": count(UndoOutcome::Touched),
            "deleted": count(UndoOutcome::Deleted),
            "touched_tickets": touched,
            "output": output.map(|path| path.display().to_string()),
        });
        writeln!(out, "{document}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(output) = output {
        let restored = job::number(count(UndoOutcome::Restored));
        writeln!(out, "job {}: the previous values of {restored} tickets are in {}", args.id, output.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let [restored, touched_count, deleted] =
        [UndoOutcome::Restored, UndoOutcome::Touched, UndoOutcome::Deleted].map(|outcome| job::number(count(outcome)));
    writeln!(
        out,
        "job {}: {restored} tickets have their previous values again; {touched_count} were changed since and stay as \
         they are; {deleted} are no longer there",
        args.id
    )?;
    job::ids(&mut out, "changed since", &touched, SHOWN_TICKETS)?;
    Ok(ExitCode::SUCCESS)
}
