//! Training a model as a job: on a thread of its own, so that calls go on, and from the start again after a crash. What
//! it makes is a candidate of the registry, which names the job.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Job, JobError, Jobs, Progress,
    course::{Ending, Tools},
    folders::Folders,
    input::Identity,
    specification::{Source, Specification, TrainingWork, Work},
};
use crate::{
    compute::Pool,
    domain::job::{JobCounts, JobId, JobState, Pause, PauseCause},
    registry::{Run, TrainedModel, Training, TrainingError, TrainingFile},
    rows::Rows,
    store::{ChunkCommit, Committed, Imported, JobOrigin},
    triage::Triager,
};

const DEFAULT_ID: &str = "id";
const PAGE_JOBS: usize = 100;
/// How often a training says how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// A training that somebody asks for.
#[derive(Debug, Clone)]
pub struct NewTraining {
    pub training: Training,
    /// Who asks for it.
    pub by: String,
    /// The server asks for it by itself; this is the last change to the memory.
    pub automatic_since: Option<u64>,
}

impl NewTraining {
    /// Checks what is asked for, and reads the files for what tells them from others.
    fn specify(self, triager: &Triager, folders: &Folders) -> Result<Specification, JobError> {
        let Self { mut training, by, automatic_since } = self;
        training.check()?;
        let mut contents = Vec::new();
        for file in &mut training.files {
            let path = std::path::absolute(&file.path);
            let path = path.map_err(|source| JobError::Unreadable { path: file.path.clone(), source })?;
            file.path = folders.to_read(&path)?;
            if file.columns.id.is_empty() {
                DEFAULT_ID.clone_into(&mut file.columns.id);
            }
            let rows = Rows::open(&file.path, &file.renames)?;
            rows.require(&file.columns.named().collect::<Vec<_>>())?;
            rows.require_once(&file.columns.of_one_value().collect::<Vec<_>>())?;
            let unreadable = |source| JobError::Unreadable { path: file.path.clone(), source };
            let Identity { content, .. } = Identity::of(&file.path).map_err(unreadable)?;
            contents.push(content);
        }
        Ok(Specification {
            source: Source::Memory,
            work: Work::Train(TrainingWork { training, contents, by, automatic_since }),
            output: None,
            import_rejects: None,
            redaction: triager.redactor().version(),
            pace: super::specification::Pace::default(),
        })
    }
}

impl Jobs {
    /// Creates a job that trains a model, or finds the one that does the same and has not ended; with a `request_id`, the
    /// job that was created with it.
    pub fn create_training(
        &self,
        new: NewTraining,
        request_id: Option<&str>,
        origin: JobOrigin,
        triager: &Triager,
    ) -> Result<Job, JobError> {
        self.create_specified(|| new.specify(triager, &self.folders), request_id, origin, triager)
    }

    /// The latest training that the server began by itself, with the change to the memory that was the last one then.
    pub fn last_training_by_itself(&self) -> Result<Option<(Job, u64)>, JobError> {
        let mut before = None;
        loop {
            let page = self.list(before, PAGE_JOBS)?;
            let Some(last) = page.last() else { return Ok(None) };
            before = Some(last.record.id);
            for job in page {
                if let Some(change) = job.specification.training().and_then(|work| work.automatic_since) {
                    return Ok(Some((job, change)));
                }
            }
        }
    }
}

/// Trains until that is done, or the job or the process is stopped.
pub(super) async fn work(
    tools: &Tools,
    (job, work): (&Job, &TrainingWork),
    triager: &Triager,
    stop: &CancellationToken,
    mut news: watch::Receiver<u64>,
    report: &(dyn Fn(Progress) + Sync),
) -> Result<Ending, JobError> {
    let (id, started) = (job.record.id, Instant::now());
    let store = tools.store.clone();
    if let Some(known) = tools.on_disk(move || store.model_of_job(id)).await?? {
        // It was killed when all was done but to say so.
        return commit(tools, id, JobCounts { rows: known.training_rows, ..JobCounts::default() }, started).await;
    }
    if let Some(pause) = changed_file(tools, work).await? {
        return Ok(Ending::Paused(pause));
    }
    let told = Stop(Arc::default());
    let (progress, mut seen) = watch::channel(Progress::default());
    let train = training(tools, (id, work), triager, (Arc::clone(&told.0), progress))?;
    let own = Pool::start(NonZeroUsize::MIN, 1).map_err(JobError::internal)?;
    let trained = own.run(own.admit()?, train);
    tokio::pin!(trained);
    let mut ending = None;
    let outcome = loop {
        tokio::select! {
            outcome = &mut trained => break outcome?,
            () = stop.cancelled(), if ending.is_none() => {
                ending = Some(Ending::Stopped);
                told.0.store(true, Ordering::Relaxed);
            }
            // The sender goes with the training, which then ends.
            Ok(()) = seen.changed() => {
                let now = *seen.borrow_and_update();
                report(now);
            }
            Ok(()) = news.changed(), if ending.is_none() => {
                let store = tools.store.clone();
                let record = tools.on_disk(move || store.job(id)).await??;
                if record.is_none_or(|record| record.state != JobState::Running) {
                    ending = Some(Ending::Moved);
                    told.0.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    match outcome {
        Ok(TrainedModel { model, tickets, bad_rows }) => {
            let counts = JobCounts { rows: tickets + bad_rows, failed: bad_rows, ..JobCounts::default() };
            let ending = commit(tools, id, counts, started).await?;
            if ending == Ending::Moved {
                forget_if_cancelled(tools, id, model.version).await?;
            }
            Ok(ending)
        }
        Err(TrainingError::Stopped) => Ok(ending.unwrap_or(Ending::Moved)),
        Err(TrainingError::Untrainable(problem)) => {
            let text = format!("{problem}; then resume the job, or cancel it");
            Ok(Ending::Paused(Pause { cause: PauseCause::Untrainable, text }))
        }
        Err(TrainingError::Rows(error)) => Err(error.into()),
        Err(TrainingError::Row(error)) => Err(JobError::Row(error)),
        Err(TrainingError::Registry(error)) => Err(error.into()),
    }
}

/// Tells a training that nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The training, to be run where it may take its time.
fn training(
    tools: &Tools,
    (id, work): (JobId, &TrainingWork),
    triager: &Triager,
    (stop, progress): (Arc<AtomicBool>, watch::Sender<Progress>),
) -> Result<impl FnOnce() -> Result<TrainedModel, TrainingError> + Send + 'static, JobError> {
    let missing = || JobError::Internal("a job trains where there is no registry".into());
    let registry = tools.registry.clone().ok_or_else(missing)?;
    let (work, taxonomy, limits) = (work.clone(), Arc::clone(triager.taxonomy()), tools.limits);
    // Half of the processors stay with calls, whatever the operating system makes of it.
    let threads = (tools.width / 2).max(1);
    Ok(move || {
        let last = Mutex::new(None::<Instant>);
        let heard = |stage: &'static str, done: usize, total: usize| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
                *last = Some(Instant::now());
                progress.send_modify(|progress| *progress = after(*progress, stage, done, total));
            }
        };
        let TrainingWork { training, contents: _, by, automatic_since } = &work;
        let run = Run {
            threads,
            limits,
            taxonomy: &taxonomy,
            job: Some(id),
            is_automatic: automatic_since.is_some(),
            by,
            progress: &heard,
            stop: &stop,
        };
        registry.train(training, &run)
    })
}

/// How far a training is: reading a tenth, choosing weights four of them, fitting the rest.
fn after(before: Progress, stage: &str, done: usize, total: usize) -> Progress {
    #[expect(clippy::cast_precision_loss, reason = "a share of a few steps")]
    let part = done as f64 / total.max(1) as f64;
    let (fraction, rows) = match (stage, total) {
        (_, 0) => (0.05, done as u64),
        ("choosing weights", _) => (0.1 + 0.4 * part, before.counts.rows),
        (_, _) => (0.5 + 0.5 * part, before.counts.rows),
    };
    let counts = JobCounts { rows, ..before.counts };
    Progress { counts, fraction: fraction.max(before.fraction), rows_a_second: 0.0 }
}

/// Why the job cannot go on where one of its files is not what it was.
async fn changed_file(tools: &Tools, work: &TrainingWork) -> Result<Option<Pause>, JobError> {
    let files: Vec<_> = work.training.files.iter().map(|file| file.path.clone()).zip(work.contents.clone()).collect();
    let check = move || {
        for (path, content) in files {
            let held = Identity::expected(&content).still_holds(&path);
            if !held.map_err(|source| JobError::Unreadable { path: path.clone(), source })? {
                let text = format!(
                    "{} is not what it was when the job began: put it back and resume the job, or cancel it and begin \
                     anew",
                    path.display()
                );
                return Ok(Some(Pause { cause: PauseCause::InputChanged, text }));
            }
        }
        Ok(None)
    };
    tools.on_disk(check).await?
}

/// Writes down what the training came to.
async fn commit(tools: &Tools, id: JobId, counts: JobCounts, started: Instant) -> Result<Ending, JobError> {
    let storage = Arc::clone(&tools.storage);
    let worked_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let write = move || {
        let chunk = ChunkCommit {
            number: 0,
            counts,
            results: &[],
            id_hashes: &[],
            checkpoint: "{}",
            worked_ms,
            relabelled: &[],
            imported: Imported::default(),
        };
        storage.commit(id, &chunk)
    };
    match tools.on_disk(write).await?? {
        Committed::Yes(_) => Ok(Ending::Done),
        Committed::NotRunning | Committed::Touched => {
            let store = tools.store.clone();
            let record = tools.on_disk(move || store.job(id)).await??;
            // Killed between the last two steps, it was written down already.
            let is_done = record.is_some_and(|record| record.state == JobState::Running && record.chunks > 0);
            Ok(if is_done { Ending::Done } else { Ending::Moved })
        }
    }
}

/// Of a training that was cancelled at the last moment nothing is left.
async fn forget_if_cancelled(tools: &Tools, id: JobId, version: String) -> Result<(), JobError> {
    let (store, registry) = (tools.store.clone(), tools.registry.clone());
    let forget = move || {
        let is_cancelled = store.job(id)?.is_some_and(|record| record.state == JobState::Cancelled);
        match registry.filter(|_| is_cancelled) {
            Some(registry) => Ok(registry.delete(&version)?),
            None => Ok(()),
        }
    };
    tools.on_disk(forget).await?
}

/// The files that a training reads.
pub(super) fn files(work: &Work) -> &[TrainingFile] {
    match work {
        Work::Train(work) => &work.training.files,
        Work::Reclassify(_) | Work::Import(_) => &[],
    }
}
