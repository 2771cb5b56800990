//! `triage reclassify`: decides the tickets of a file or of the memory anew. It is a job: killed, it goes on where it was
//! when the same command is run again; done, the same command shows what it came to.

use std::{
    io::{self, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{
    DEFAULT_DATA_DIR, UsageError, block_on, data_dir, job,
    jobs::{Pauses, watch},
    model::classifier,
    parse_share,
    progress::JobProgress,
    taxonomy::taxonomy_in_force,
};
use crate::{
    compute::Pool,
    config::Config,
    domain::job::{JobId, JobState, PauseCause},
    grpc::client::Client,
    jobs::{
        Diff, Job, Jobs, NewFile, NewReclassification, Workshop,
        specification::{FieldColumn, FieldValue, Filter, Pace, Source},
    },
    registry::Registry,
    rows::{Rows, parse_rename},
    store::{JobOrigin, Store},
    triage::Triager,
};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct ReclassifyArgs {
    /// Tickets, one a row: .jsonl, .ndjson or .csv, .gz on top
    #[arg(long, value_name = "FILE", required_unless_present = "memory", conflicts_with = "memory")]
    input: Option<PathBuf>,
    /// Reclassify the confirmed tickets of the memory: their labels change
    #[arg(long, conflicts_with_all = ["output", "text_columns", "id", "map", "sample"])]
    memory: bool,
    /// Columns of --input that hold the text, joined by a newline
    #[arg(long = "text", value_name = "A,B", value_delimiter = ',', required_unless_present = "memory")]
    text_columns: Vec<String>,
    /// Column of --input that holds the id (default `id`); where a row has none, its number
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Column with today's value: COLUMN where the model knows one field or the field's name is the column's, otherwise
    /// FIELD=COLUMN; may be repeated. With --memory: the field
    #[arg(long, value_name = "[FIELD=]COLUMN", required = true)]
    current: Vec<String>,
    /// Where the results go: .csv keeps the input's columns and adds ours, otherwise JSON lines; .gz on top
    #[arg(long, value_name = "FILE", required_unless_present_any = ["dry_run", "memory"])]
    output: Option<PathBuf>,
    /// Say what would change, and change and write nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: look at N rows only, spread over the file
    #[arg(long, value_name = "N", requires = "dry_run", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Change only where the model is at least so sure, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_confidence: f32,
    /// Change only what has this value today, or one below it; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = parse_value)]
    from: Vec<FieldValue>,
    /// Change only to this value, or one below it; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = parse_value)]
    to: Vec<FieldValue>,
    /// Change only where there is no value today
    #[arg(long)]
    only_empty: bool,
    /// At most N tickets a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Pause when more than this share of the rows is bad, 0 to 1; below 100 rows only at 0, or when all are
    #[arg(long, value_name = "P", default_value_t = Pace::DEFAULT_MAX_BAD_SHARE, value_parser = parse_share)]
    max_bad_share: f64,
    /// Model bundle; without it the active one of --data-dir, else the one inside this program
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Read column THEIRS of --input under the name OURS
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = parse_rename)]
    map: Vec<(String, String)>,
    /// Folder that keeps the job, and the memory; created when absent
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Have a running server do it; --input and --output are its files, in one of its jobs.folders
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["data_dir", "model", "map"])]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn parse_value(raw: &str) -> Result<FieldValue, String> {
    match raw.split_once('=') {
        Some((field, value)) if !field.trim().is_empty() && !value.trim().is_empty() => {
            Ok(FieldValue { field: field.trim().to_owned(), value: value.trim().to_owned() })
        }
        Some(_) | None => Err("expected FIELD=VALUE, such as category=network".to_owned()),
    }
}

impl ReclassifyArgs {
    /// Which field each `--current` is about.
    fn fields(&self, known: &[String]) -> Result<Vec<FieldColumn>, UsageError> {
        let field = |raw: &String| match raw.split_once('=') {
            Some((field, column)) => {
                Ok(FieldColumn { field: field.trim().to_owned(), column: column.trim().to_owned() })
            }
            None if known.contains(raw) => Ok(FieldColumn { field: raw.clone(), column: raw.clone() }),
            None => match known {
                [only] => Ok(FieldColumn { field: only.clone(), column: raw.clone() }),
                _ => Err(UsageError(format!(
                    "--current {raw}: say which field that is, FIELD={raw}; the fields are {}",
                    known.join(", ")
                ))),
            },
        };
        self.current.iter().map(field).collect()
    }

    /// What is asked of those who know these fields.
    fn asked(&self, known: &[String]) -> anyhow::Result<NewReclassification> {
        let file = self.input.as_ref().map(|path| NewFile {
            path: path.clone(),
            renames: self.map.clone(),
            text: self.text_columns.clone(),
            id: self.id.clone(),
            sample: self.sample,
            is_spool: false,
        });
        Ok(NewReclassification {
            file,
            fields: self.fields(known)?,
            filter: Filter {
                min_confidence: self.min_confidence,
                from: self.from.clone(),
                to: self.to.clone(),
                only_empty: self.only_empty,
            },
            dry_run: self.dry_run,
            output: self.output.clone(),
            pace: Pace {
                tickets_per_second: self.rate,
                max_bad_share: self.max_bad_share,
                model: self.model.as_deref().map(std::path::absolute).transpose()?,
            },
        })
    }
}

pub(super) fn run(args: &ReclassifyArgs, config: &Config) -> anyhow::Result<ExitCode> {
    if let Some(address) = &args.server {
        return block_on(run_at(args, address, config));
    }
    // Before anything is created for a bundle that cannot be read.
    let named = args.model.as_deref().map(|bundle| triager(Some(bundle), None, config)).transpose()?;
    let store = Store::open(&args.data_dir)?;
    let registry = Registry::open(store.clone(), &args.data_dir, config.redactor.clone(), config.encoders.clone())?;
    let triager = named.map_or_else(|| triager(None, Some(&registry), config), Ok)?;
    let known: Vec<String> = triager.fields().into_iter().map(|field| field.name).collect();
    let asked = args.asked(&known)?;
    let triager = triager.with_taxonomy(taxonomy_in_force(&store, config)?);
    let jobs = Jobs::open(store.clone(), &args.data_dir);
    let max_bad_share = asked.pace.max_bad_share;
    let job = jobs.create(asked, None, JobOrigin::CommandLine, &triager)?;
    let id = job.record.id;
    if must_be_resumed(&job, max_bad_share)? {
        jobs.resume(id)?;
    }
    if args.id.is_none() {
        warn_without_ids(&jobs.get(id)?);
    }
    let worked = work(&jobs, id, triager, &store, &args.data_dir, config);
    if worked.is_err() && args.json {
        // Programs hear the job's number, and why it is paused.
        writeln!(io::stdout(), "{}", job::job_json(&jobs.get(id)?))?;
    }
    worked?;
    report(&jobs.get(id)?, &jobs.diff(id)?, &data_dir_flag(&args.data_dir), args.json)
}

/// Says so where rows go by their number, which no service desk knows.
fn warn_without_ids(job: &Job) {
    let Source::File(file) = &job.specification.source else { return };
    let rows = Rows::open(&file.path, &file.renames);
    if rows.is_ok_and(|rows| rows.require(&[&file.id]).is_err()) {
        eprintln!(
            "warning: {} has no column `{}`: its rows go by their number; name the column with the id with --id",
            file.path.display(),
            file.id
        );
    }
}

/// Has a server do it, and watches.
async fn run_at(args: &ReclassifyArgs, address: &str, config: &Config) -> anyhow::Result<ExitCode> {
    let client = Client::connect(address, &config.client).await?;
    let known: Vec<String> = client.fields().await?.0.into_iter().map(|(field, _)| field).collect();
    let asked = args.asked(&known)?;
    let job = client.create_job(&asked).await?;
    follow_to_end(&client, &job, asked.pace.max_bad_share, args.json).await?;
    Ok(ExitCode::SUCCESS)
}

/// Has a job of a server that was created or found go on, watches it, and prints what it came to; how it stands then.
pub(super) async fn follow_to_end(client: &Client, job: &Job, max_bad_share: f64, json: bool) -> anyhow::Result<Job> {
    let id = job.record.id;
    if must_be_resumed(job, max_bad_share)? {
        client.resume_job(id).await?;
    }
    let job = watch(client, id, Pauses::EndAt).await?;
    match (job.record.state, &job.record.pause) {
        (JobState::Paused, Some(pause)) => Err(paused(id, &pause.text)),
        (JobState::Cancelled, _) => Err(anyhow::anyhow!("job {id} was cancelled")),
        _ => {
            report(&job, &client.job_diff(id).await?, &server_flag(client.address()), json)?;
            Ok(job)
        }
    }
}

/// Whether a job that was found is paused and may go on.
fn must_be_resumed(job: &Job, max_bad_share: f64) -> anyhow::Result<bool> {
    let Some(pause) = &job.record.pause else { return Ok(false) };
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than the leading digits")]
    let share = job.record.counts.failed as f64 / job.record.counts.rows.max(1) as f64;
    if pause.cause == PauseCause::BadRows && share > max_bad_share {
        return Err(paused(job.record.id, &pause.text));
    }
    Ok(true)
}

/// What decides, without articles or memory: the model of this bundle, else that of the registry.
pub(super) fn triager(bundle: Option<&Path>, registry: Option<&Registry>, config: &Config) -> anyhow::Result<Triager> {
    let classifier = classifier(bundle, registry, config)?;
    Ok(Triager::new(classifier, Arc::new(config.taxonomy.clone()), None, None)?)
}

/// Works on a job with all processors until it ends, is paused, or is interrupted.
pub(super) fn work(
    jobs: &Jobs,
    id: JobId,
    triager: Triager,
    store: &Store,
    data_dir: &Path,
    config: &Config,
) -> anyhow::Result<()> {
    let job = jobs.get(id)?;
    if !matches!(job.record.state, JobState::Queued | JobState::Running | JobState::Undoing) {
        return Ok(());
    }
    let registry = Some(Registry::open(store.clone(), data_dir, config.redactor.clone(), config.encoders.clone())?);
    let memory = if job.is_over_memory() { Some(data_dir::memory(store, data_dir, config)?) } else { None };
    let threads = config.compute_threads.get();
    // Some pieces wait, so that no processor does.
    let places = NonZeroUsize::new(8 * threads).map_or(8, NonZeroUsize::get);
    let pool = Pool::start(config.compute_threads, places)?;
    let workshop = Workshop { pool, width: 2 * threads, memory, registry, limits: config.limits.ticket };
    let progress = JobProgress::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let job = runtime.block_on(async {
        let stop = CancellationToken::new();
        let interrupted = stop.clone();
        tokio::spawn(async move {
            if interrupt().await.is_ok() {
                interrupted.cancel();
            }
        });
        jobs.work(id, triager, workshop, &stop, &|now| progress.show(&now)).await
    })?;
    progress.finish();
    let Job { record, .. } = job;
    match (record.state, record.pause) {
        (JobState::Paused, Some(pause)) => Err(paused(id, &pause.text)),
        (JobState::Running | JobState::Undoing, _) => {
            Err(anyhow::anyhow!("interrupted: job {id} is kept as far as it came; run the same command again to go on"))
        }
        _ => Ok(()),
    }
}

fn paused(id: JobId, why: &str) -> anyhow::Error {
    anyhow::anyhow!("job {id} is paused: {why}")
}

/// Ends with Ctrl-C or SIGTERM.
pub(super) async fn interrupt() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// What further commands about a job of this folder need.
pub(super) fn data_dir_flag(data_dir: &Path) -> String {
    if data_dir == Path::new(DEFAULT_DATA_DIR) {
        return String::new();
    }
    format!(" --data-dir {}", data_dir.display())
}

/// What further commands about a job of this server need.
pub(super) fn server_flag(address: &str) -> String {
    format!(" --server {address}")
}

/// Prints what a job came to, or would; `place` is the flag that says where the job is.
pub(super) fn report(job: &Job, diff: &Diff, place: &str, json: bool) -> anyhow::Result<ExitCode> {
    for asked in job::absent(job, diff) {
        eprintln!("warning: --from {asked}: no ticket has this value today, or one below it");
    }
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", job::summary_json(job, diff))?;
    } else {
        job::summary(&mut out, job, diff, place)?;
    }
    Ok(ExitCode::SUCCESS)
}
