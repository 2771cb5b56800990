//! `triage jobs`: look at jobs, steer them, read their results, and take them back: those of a data directory, or those
//! of a running server.

mod results;
mod watch;

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

pub(super) use self::watch::{Pauses, watch};
use super::{DEFAULT_DATA_DIR, UsageError, block_on, job, reclassify, taxonomy::taxonomy_in_force};
use crate::{
    config::Config,
    domain::{
        job::{JobId, JobState, UndoOutcome},
        steering,
    },
    grpc::client::Client,
    jobs::{Diff, Job, JobError, Jobs, Undone},
    registry::Registry,
    store::Store,
};

/// Tickets asked for that undoing left as they are.
const LISTED_TICKETS: usize = 1_000;
/// Those of them that people are shown.
const SHOWN_TICKETS: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// List jobs, the latest first
    List(ListArgs),
    /// Show a job, how far it is, and what it changes
    Show(JobArgs),
    /// Show how far a job of a running server is until it ends
    Watch(JobArgs),
    /// Stop a job of a running server until it is resumed
    Pause(JobArgs),
    /// Go on with a paused or interrupted job
    Resume(ResumeArgs),
    /// End a job before its time; its changes to the memory stay until they are undone
    Cancel(JobArgs),
    /// Print what a job made of each ticket
    Results(results::ResultsArgs),
    /// Write what a job made of each ticket to a file
    Export(results::ExportArgs),
    /// Take back what a job did
    Undo(UndoArgs),
}

#[derive(Debug, Args)]
struct Place {
    /// Folder that keeps the jobs
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Place {
    /// What further commands about the same job need.
    fn flag(&self) -> String {
        self.server.as_deref().map_or_else(|| reclassify::data_dir_flag(&self.data_dir), reclassify::server_flag)
    }

    /// The server, for what only a server can do.
    fn server(&self, verb: &str) -> Result<&str, UsageError> {
        self.server.as_deref().ok_or_else(|| {
            UsageError(format!(
                "only a job of a running server can be {verb}: name it with --server ADDRESS (a job of the command \
                 line holds its data directory while it is at work; Ctrl-C interrupts it)"
            ))
        })
    }
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
pub(super) struct ResumeArgs {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = parse_id)]
    id: JobId,
    /// Where the model bundle is now that the job began with [default: where it was then]
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    model: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = parse_id)]
    id: JobId,
    /// Of a job over a file: where the previous values of the changed tickets go [default: beside the job's output]
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

fn parse_id(raw: &str) -> Result<JobId, String> {
    JobId::parse(raw).ok_or_else(|| "a job goes by its number, as `triage jobs list` shows it".to_owned())
}

pub(super) fn run(command: &JobsCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        JobsCommand::List(args) => list(args, config),
        JobsCommand::Show(args) => show(args, config),
        JobsCommand::Watch(JobArgs { id, place }) => block_on(watch_to_the_end(*id, place, config)),
        JobsCommand::Pause(JobArgs { id, place }) => {
            let address = place.server("paused")?;
            let job = block_on(async { Client::connect(address, &config.client).await?.pause_job(*id).await })?;
            stands(&job, place.json)
        }
        JobsCommand::Resume(args) => resume(args, config),
        JobsCommand::Cancel(args) => cancel(args, config),
        JobsCommand::Results(args) => results::print(args, config),
        JobsCommand::Export(args) => results::export(args, config),
        JobsCommand::Undo(args) => undo(args, config),
    }
}

/// For commands about jobs that are there: a folder without any is a misspelt one.
fn open(data_dir: &Path) -> anyhow::Result<(Store, Jobs)> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "no jobs in {}: name the folder that keeps them with --data-dir, or a running server with --server",
        data_dir.display()
    );
    let store = Store::open(data_dir)?;
    let jobs = Jobs::open(store.clone(), data_dir);
    Ok((store, jobs))
}

fn list(args: &ListArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let jobs = match &args.place.server {
        Some(address) => {
            block_on(async { Client::connect(address, &config.client).await?.list_jobs(args.limit).await })?
        }
        None => open(&args.place.data_dir)?.1.list(None, args.limit)?,
    };
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

fn show(args: &JobArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let JobArgs { id, place } = args;
    let (job, diff) = match &place.server {
        Some(address) => block_on(async { asked(&Client::connect(address, &config.client).await?, *id).await })?,
        None => read(&open(&place.data_dir)?.1, *id)?,
    };
    reclassify::report(&job, &diff, &place.flag(), place.json)
}

fn cancel(args: &JobArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let JobArgs { id, place } = args;
    let (job, diff) = if let Some(address) = &place.server {
        block_on(async {
            let client = Client::connect(address, &config.client).await?;
            client.cancel_job(*id).await?;
            asked(&client, *id).await
        })?
    } else {
        let jobs = open(&place.data_dir)?.1;
        jobs.cancel(*id)?;
        read(&jobs, *id)?
    };
    reclassify::report(&job, &diff, &place.flag(), place.json)
}

fn read(jobs: &Jobs, id: JobId) -> anyhow::Result<(Job, Diff)> {
    Ok((jobs.get(id)?, jobs.diff(id)?))
}

async fn asked(client: &Client, id: JobId) -> anyhow::Result<(Job, Diff)> {
    Ok((client.job(id).await?, client.job_diff(id).await?))
}

async fn watch_to_the_end(id: JobId, place: &Place, config: &Config) -> anyhow::Result<ExitCode> {
    let address = place.server("watched")?;
    let client = Client::connect(address, &config.client).await?;
    let job = watch(&client, id, Pauses::WaitFor).await?;
    reclassify::report(&job, &client.job_diff(id).await?, &place.flag(), place.json)
}

/// Says where a job stands that a server goes on with.
fn stands(job: &Job, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", job::job_json(job))?;
    } else {
        writeln!(out, "job {} is {}", job.record.id, job.record.state)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn resume(args: &ResumeArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let ResumeArgs { id, model, place } = args;
    if let Some(address) = &place.server {
        let job = block_on(async { Client::connect(address, &config.client).await?.resume_job(*id).await })?;
        return stands(&job, place.json);
    }
    let (store, jobs) = open(&place.data_dir)?;
    let Job { record, specification, .. } = jobs.get(*id)?;
    if !record.state.is_open() {
        // Before a model is looked for that nothing needs.
        return Err(JobError::WrongState { id: *id, state: record.state, operation: "resumed" }.into());
    }
    let model = model.as_deref().map(std::path::absolute).transpose()?;
    let is_undone = record.state == JobState::Undoing;
    // To undo a job nothing is decided anew: any model will do.
    let known = specification.pace.model.as_deref().filter(|_| !is_undone);
    let triager = match model.as_deref().or(known) {
        Some(folder) => reclassify::triager(Some(folder), None, config).with_context(|| {
            format!("job {id} began with model {}; name the folder that it is in now with --model", record.model)
        })?,
        // To undo a job, the active one need not even be whole.
        None if is_undone => reclassify::triager(None, None, config)?,
        None => {
            let registry =
                Registry::open(store.clone(), &place.data_dir, config.redactor.clone(), config.encoders.clone())?;
            reclassify::triager(None, Some(&registry), config)?
        }
    };
    let triager = triager.with_taxonomy(taxonomy_in_force(&store, config)?);
    if let Some(folder) = &model {
        jobs.look_for_model(*id, folder)?;
    }
    if !is_undone {
        jobs.resume(*id)?;
    }
    reclassify::work(&jobs, *id, triager, &store, &place.data_dir, config)?;
    let (job, diff) = read(&jobs, *id)?;
    reclassify::report(&job, &diff, &place.flag(), place.json)
}

/// What undoing a job came to, and the first tickets that were changed since.
struct Outcome {
    counts: BTreeMap<UndoOutcome, u64>,
    touched: Vec<String>,
    output: Option<PathBuf>,
}

fn undo(args: &UndoArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let UndoArgs { id, output, place } = args;
    let Outcome { counts, touched, output } = match &place.server {
        Some(address) => block_on(undo_at(*id, address, config))?,
        None => undo_here(*id, output.as_deref(), place, config)?,
    };
    let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
    let mut out = io::stdout().lock();
    if place.json {
        let document = json!({
            "job": id.to_string(),
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
        let output = output.display().to_string();
        writeln!(out, "job {id}: the previous values of {restored} tickets are in {}", steering::without(&output))?;
        return Ok(ExitCode::SUCCESS);
    }
    let [restored, touched_count, deleted] =
        [UndoOutcome::Restored, UndoOutcome::Touched, UndoOutcome::Deleted].map(|outcome| job::number(count(outcome)));
    writeln!(
        out,
        "job {id}: {restored} tickets have their previous values again; {touched_count} were changed since and stay as \
         they are; {deleted} are no longer there"
    )?;
    job::ids(&mut out, "changed since", &touched, SHOWN_TICKETS)?;
    Ok(ExitCode::SUCCESS)
}

fn undo_here(id: JobId, output: Option<&Path>, place: &Place, config: &Config) -> anyhow::Result<Outcome> {
    let (store, jobs) = open(&place.data_dir)?;
    let output = output.map(std::path::absolute).transpose()?;
    let job = jobs.undo(id, output.as_deref())?;
    if job.record.state == JobState::Undoing {
        // Nothing is decided anew: any model will do.
        let triager = reclassify::triager(None, None, config)?;
        reclassify::work(&jobs, id, triager, &store, &place.data_dir, config)?;
    }
    let Undone { counts, output: default } = jobs.undone(id)?;
    let touched = jobs.undone_tickets(id, UndoOutcome::Touched, "", LISTED_TICKETS)?;
    Ok(Outcome { counts, touched, output: output.or(default) })
}

async fn undo_at(id: JobId, address: &str, config: &Config) -> anyhow::Result<Outcome> {
    let client = Client::connect(address, &config.client).await?;
    let (job, output) = client.undo_job(id).await?;
    if job.record.state == JobState::Undoing {
        watch(&client, id, Pauses::WaitFor).await?;
    }
    let (counts, touched) = client.undone_tickets(id, UndoOutcome::Touched).await?;
    Ok(Outcome { counts, touched, output })
}
