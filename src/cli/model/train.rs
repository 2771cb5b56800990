//! `triage model train`: in the foreground over a data directory, or as a job of a running server.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use clap::Args;
use tokio::sync::oneshot;

use super::{Place, author, create, shown};
use crate::{
    cli::{
        DEFAULT_ID, UsageError, block_on,
        jobs::{Pauses, watch},
        parse_share,
        progress::Progress,
        reclassify::interrupt,
    },
    config::Config,
    domain::{job::JobState, model::ModelOrigin},
    grpc::client::Client,
    jobs::NewTraining,
    memory::TicketColumns,
    registry::{Author, Model, Run, TrainedModel, Training, TrainingError, TrainingFile},
    rows::parse_rename,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct TrainArgs {
    /// Also learn from these rows: .jsonl, .ndjson or .csv, each also with .gz
    #[arg(long, num_args = 1.., value_name = "FILE", requires_all = ["text", "label"])]
    input: Vec<PathBuf>,
    /// Columns of --input that hold the text; with several, the first is the summary
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,…", requires = "input")]
    text: Vec<String>,
    /// Column of --input with the label; also the name of the field. May be repeated
    #[arg(long, value_name = "COLUMN", requires = "input")]
    label: Vec<String>,
    /// Read column THEIRS of --input under the name OURS
    #[arg(long, value_delimiter = ',', value_parser = parse_rename, value_name = "OURS=THEIRS,…", requires = "input")]
    map: Vec<(String, String)>,
    /// Learn from --input alone, without the memory
    #[arg(long, requires = "input")]
    without_memory: bool,
    /// Field to learn; may be repeated [default: every field with at least two labels that two tickets have]
    #[arg(long, value_name = "FIELD")]
    field: Vec<String>,
    /// Hold back this share of the confirmed tickets, the latest, so that models can be compared on them
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    holdout: f64,
    /// First part of the model's version
    #[arg(long, default_value = Training::DEFAULT_NAME)]
    name: String,
    /// The same tickets and seed give the same model
    #[arg(long, default_value_t = Training::DEFAULT_SEED)]
    seed: u64,
    /// Who does it [default: the user]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl TrainArgs {
    fn training(&self) -> Training {
        let columns = TicketColumns { text: self.text.clone(), labels: self.label.clone(), ..TicketColumns::default() };
        let file = |path: &PathBuf| TrainingFile {
            path: path.clone(),
            renames: self.map.clone(),
            columns: TicketColumns { id: DEFAULT_ID.to_owned(), ..columns.clone() },
        };
        Training {
            name: self.name.clone(),
            fields: self.field.clone(),
            files: self.input.iter().map(file).collect(),
            without_memory: self.without_memory,
            holdout_share: self.holdout,
            seed: self.seed,
        }
    }
}

pub(super) fn run(args: &TrainArgs, config: &Config) -> anyhow::Result<()> {
    let Author { by, .. } = author(args.by.as_ref(), "");
    let training = args.training();
    let model = match &args.place.server {
        Some(_) if !args.map.is_empty() => {
            return Err(UsageError("--map is for --data-dir: a server reads the columns as they are".to_owned()).into());
        }
        Some(address) => block_on(train_at(address, config, NewTraining { training, by, automatic_since: None }))?,
        None => train_here(args, &training, &by, config)?,
    };
    shown(&model, args.place.json)
}

/// Trains on this machine, with all processors.
fn train_here(args: &TrainArgs, training: &Training, by: &str, config: &Config) -> anyhow::Result<Model> {
    let (registry, taxonomy) = create(&args.place.data_dir, config)?;
    let (bar, stop) = (Progress::staged(), AtomicBool::new(false));
    let progress = |stage: &'static str, done: usize, total: usize| match total {
        0 => bar.stage(stage, done as u64, done as u64),
        _ => bar.stage(stage, done as u64, total as u64),
    };
    let run = Run {
        threads: config.compute_threads.get(),
        limits: config.limits.ticket,
        taxonomy: &taxonomy,
        job: None,
        is_automatic: false,
        by,
        progress: &progress,
        stop: &stop,
    };
    let trained = std::thread::scope(|scope| {
        let (done, ended) = oneshot::channel::<()>();
        let (registry, run) = (&registry, &run);
        let trained = scope.spawn(move || {
            // Dropped at the end, whatever that is.
            let _done = done;
            registry.train(training, run)
        });
        block_on(async {
            // Ctrl-C ends it cleanly: nothing of it is left.
            tokio::select! {
                interrupted = interrupt() => {
                    stop.store(true, Ordering::Relaxed);
                    interrupted?;
                }
                _ = ended => {}
            }
            Ok(())
        })?;
        trained.join().map_err(|_| anyhow::anyhow!("the training failed"))?.map_err(|error| {
            let is_stopped = matches!(error, TrainingError::Stopped);
            if is_stopped { anyhow::anyhow!("interrupted: nothing was trained") } else { error.into() }
        })
    })?;
    bar.finish();
    let TrainedModel { model, tickets: _, bad_rows } = trained;
    if bad_rows > 0 {
        eprintln!("warning: {bad_rows} rows could not be used and were left out");
    }
    Ok(registry.get(&model.version)?)
}

/// Has a server train, and watches.
async fn train_at(address: &str, config: &Config, new: NewTraining) -> anyhow::Result<Model> {
    let client = Client::connect(address, &config.client).await?;
    let id = client.train_model(new).await?.record.id;
    let job = watch(&client, id, Pauses::EndAt).await?;
    match (job.record.state, &job.record.pause) {
        (JobState::Paused, Some(pause)) => Err(anyhow::anyhow!("job {id} is paused: {}", pause.text)),
        (JobState::Cancelled, _) => Err(anyhow::anyhow!("job {id} was cancelled")),
        _ => {
            let models = client.list_models().await?.models;
            let trained = models.into_iter().find(|model| model.origin == ModelOrigin::Trained(Some(id)));
            trained.with_context(|| format!("job {id} is done, and the model that it trained was there before it"))
        }
    }
}
