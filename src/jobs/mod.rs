//! Work over many tickets: created once, worked on chunk by chunk, watched, paused, resumed, cancelled and undone.
//! It decides when a job may do what, and what tells one from another; the store keeps it, and `reclassify` does the
//! work. Calls block and touch the disk, but for those that work.

mod course;
mod create;
mod decide;
mod diff;
mod error;
mod folders;
mod input;
mod output;
mod rejects;
mod results;
pub mod specification;
mod spool;
mod storage;
#[cfg(test)]
mod tests;
mod train;
mod treat;
mod undo;
mod vacant;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::spool::files_of_open_jobs;
use self::{
    course::{Course, Ending, Tools},
    folders::Folders,
    specification::{Source, Specification, Work},
    storage::{BEGIN_ANEW, Durable},
};
pub use self::{
    create::{NewFile, NewImport, NewReclassification},
    diff::{Band, Diff, FieldDiff, PairDiff},
    error::JobError,
    input::Identity,
    rejects::{Reject, Rejects, too_many_bad},
    results::{ResultFilter, ResultPage, ResultPlace, Wanted, result_line},
    spool::Spool,
    train::NewTraining,
    undo::Undone,
};
use crate::{
    compute::Pool,
    domain::{
        job::{JobCounts, JobId, JobState, Pause, PauseCause, TicketResult},
        ticket::TicketLimits,
    },
    memory::Memory,
    registry::Registry,
    store::{JobOrigin, JobRecord, Store},
    triage::Triager,
};

/// Where what clients sent is kept within the data directory, until its job ends.
pub(crate) const SPOOL_FOLDER: &str = "jobs";

/// How far a job at work has come.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    pub counts: JobCounts,
    /// How much of the input is read, 0 to 1.
    pub fraction: f64,
    /// Since the job's turn began.
    pub rows_a_second: f64,
}

impl Progress {
    /// Seconds until it is done; `None` where they cannot be told.
    pub fn seconds_left(&self) -> Option<f64> {
        let Self { counts, fraction, rows_a_second } = *self;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rows = counts.rows as f64;
        (fraction > 0.0 && rows_a_second > 0.0).then(|| rows * (1.0 / fraction - 1.0) / rows_a_second)
    }
}

/// A job and, while it is at work, how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub record: JobRecord,
    pub specification: Specification,
    pub progress: Option<Progress>,
}

impl Job {
    /// Whether it reads or writes confirmed tickets.
    pub fn is_over_memory(&self) -> bool {
        matches!(self.specification.source, Source::Memory) || matches!(self.specification.work, Work::Import(_))
    }
}

/// A cheap handle on the jobs of a data directory.
#[derive(Debug, Clone)]
pub struct Jobs {
    store: Store,
    folder: Arc<Path>,
    /// Where files may be read and written.
    folders: Folders,
    /// Says that a job was created, moved or came further.
    news: watch::Sender<u64>,
    progress: Arc<Mutex<HashMap<JobId, Progress>>>,
    /// Jobs are created one after the other, so that no two are given the same output.
    creating: Arc<Mutex<()>>,
}

impl Jobs {
    /// For the command line: with files wherever its user may read and write. `data_directory` is the store's.
    pub fn open(store: Store, data_directory: &Path) -> Self {
        Self {
            store,
            folder: data_directory.join(SPOOL_FOLDER).into(),
            folders: Folders::Any,
            news: watch::Sender::new(0),
            progress: Arc::default(),
            creating: Arc::default(),
        }
    }

    /// For a server: clients name files in `folders` only, each without links. Removes what a crash left behind.
    pub fn serve(store: Store, data_directory: &Path, folders: &[PathBuf]) -> Result<Self, JobError> {
        let jobs = Self { folders: Folders::Only(folders.into()), ..Self::open(store, data_directory) };
        jobs.remove_orphans()?;
        Ok(jobs)
    }

    /// Hears of every change to a job from now on.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    pub fn get(&self, id: JobId) -> Result<Job, JobError> {
        self.with_progress(self.store.job(id)?.ok_or(JobError::Unknown(id))?)
    }

    /// The latest first, those behind `before`; at most `limit`.
    pub fn list(&self, before: Option<JobId>, limit: usize) -> Result<Vec<Job>, JobError> {
        self.store.list_jobs(before, limit)?.into_iter().map(|record| self.with_progress(record)).collect()
    }

    fn with_progress(&self, record: JobRecord) -> Result<Job, JobError> {
        let mut specification = specification(&record)?;
        spool::bring_home(&mut specification, &self.folder);
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).get(&record.id).copied();
        Ok(Job { record, specification, progress })
    }

    /// Stops the job behind the chunk it is at; pausing a paused one changes nothing.
    ///
    /// Fails with [`JobError::WrongState`] where it has ended.
    pub fn pause(&self, id: JobId) -> Result<Job, JobError> {
        let pause = Pause { cause: PauseCause::Asked, text: "paused by request".to_owned() };
        self.pause_with(id, &pause)?;
        let job = self.get(id)?;
        if job.record.state != JobState::Paused {
            return Err(JobError::WrongState { id, state: job.record.state, operation: "paused" });
        }
        Ok(job)
    }

    fn pause_with(&self, id: JobId, pause: &Pause) -> Result<bool, JobError> {
        let from = [JobState::Queued, JobState::Running];
        let moved = self.store.move_job(id, &from, JobState::Paused, Some(pause), now())?;
        self.tell();
        Ok(moved)
    }

    /// Has a paused job go on when its turn comes; one that waits or works is left as it is. A job that was paused for
    /// its bad rows goes on however many more there are. A server takes over what was begun on the command line.
    ///
    /// Fails with [`JobError::WrongState`] where it has ended, and on a server with [`JobError::PathNotAllowed`] for
    /// files that clients may not name.
    pub fn resume(&self, id: JobId) -> Result<Job, JobError> {
        let Job { record, mut specification, .. } = self.get(id)?;
        let JobCounts { rows, failed, .. } = record.counts;
        let has_bad_rows = input::share(failed, rows) > specification.pace.max_bad_share
            && record.pause.is_some_and(|pause| pause.cause == PauseCause::BadRows);
        if has_bad_rows {
            specification.pace.max_bad_share = 1.0;
        }
        let is_taken_over = record.state.is_open() && self.is_server() && record.origin == JobOrigin::CommandLine;
        if is_taken_over {
            self.check_files(&specification)?;
        }
        if has_bad_rows || is_taken_over {
            let origin = if is_taken_over { JobOrigin::Server } else { record.origin };
            self.store.respecify_job(id, &specification.to_json(), origin)?;
        }
        self.store.move_job(id, &[JobState::Paused], JobState::Queued, None, now())?;
        self.tell();
        let job = self.get(id)?;
        if !matches!(job.record.state, JobState::Queued | JobState::Running) {
            return Err(JobError::WrongState { id, state: job.record.state, operation: "resumed" });
        }
        Ok(job)
    }

    /// Has the model of a job be looked for in this folder; which model it is stays as it was.
    pub fn look_for_model(&self, id: JobId, folder: &Path) -> Result<(), JobError> {
        let Job { record, mut specification, .. } = self.get(id)?;
        specification.pace.model = Some(folder.to_owned());
        Ok(self.store.respecify_job(id, &specification.to_json(), record.origin)?)
    }

    /// The folder that a client names, where it may have it read.
    pub fn folder_to_read(&self, path: &Path) -> Result<PathBuf, JobError> {
        self.folders.to_read_folder(path)
    }

    fn is_server(&self) -> bool {
        matches!(self.folders, Folders::Only(_))
    }

    /// Refuses a job over files that may not be named here.
    fn check_files(&self, job: &Specification) -> Result<(), JobError> {
        if let Source::File(file) = &job.source
            && !file.is_spool
        {
            self.folders.to_read(&file.path)?;
        }
        for file in train::files(&job.work) {
            self.folders.to_read(&file.path)?;
        }
        job.written().try_for_each(|path| self.folders.to_write(&path).map(|_| ()))
    }

    /// Ends a job before its time. A chunk that is being committed counts whole or not at all. What changed in the
    /// memory stays until it is undone; of files nothing is left. Cancelling a cancelled one changes nothing.
    ///
    /// Fails with [`JobError::WrongState`] where it has ended otherwise.
    pub fn cancel(&self, id: JobId) -> Result<Job, JobError> {
        let from = [JobState::Queued, JobState::Running, JobState::Paused];
        let moved = self.store.move_job(id, &from, JobState::Cancelled, None, now())?;
        self.tell();
        let job = self.get(id)?;
        if moved {
            Self::clear_away(&job)?;
        }
        if job.record.state != JobState::Cancelled {
            return Err(JobError::WrongState { id, state: job.record.state, operation: "cancelled" });
        }
        Ok(job)
    }

    /// Removes what a job that has ended no longer needs.
    fn clear_away(job: &Job) -> Result<(), JobError> {
        if job.record.state == JobState::Cancelled {
            output::discard_unfinished(&job.specification)?;
        }
        Self::discard_spool(job)
    }

    fn discard_spool(job: &Job) -> Result<(), JobError> {
        match &job.specification.source {
            Source::File(file) if file.is_spool => output::discard(&file.path),
            Source::File(_) | Source::Memory => Ok(()),
        }
    }

    /// The next job that a server is to work on, but for those of `left`: one that a crash interrupted before those
    /// that wait. What the command line has begun is its own business, but not what is to be undone.
    pub fn next(&self, left: &[JobId]) -> Result<Option<Job>, JobError> {
        let mut open = self.store.jobs_in(&[JobState::Running, JobState::Undoing, JobState::Queued])?;
        open.retain(|job| job.origin == JobOrigin::Server || job.state == JobState::Undoing);
        open.retain(|job| !left.contains(&job.id));
        open.sort_by_key(|job| (job.state == JobState::Queued, job.id));
        open.into_iter().next().map(|record| self.with_progress(record)).transpose()
    }

    /// Works on a job until it ends, is paused or cancelled, or `stop` is called, and says how it stands then.
    /// `triager` must be what the job began with, otherwise it is paused. Where the disk fails, the job is paused with
    /// the reason; the error comes back where not even that can be kept.
    pub async fn work(
        &self,
        id: JobId,
        triager: Triager,
        workshop: Workshop,
        stop: &CancellationToken,
        report: &(dyn Fn(Progress) + Sync),
    ) -> Result<Job, JobError> {
        let tools = Tools {
            store: self.store.clone(),
            storage: Arc::new(Durable(self.store.clone())),
            pool: workshop.pool,
            disk: Pool::start(Tools::DISK_THREADS, 2 * Tools::DISK_THREADS.get()).map_err(JobError::internal)?,
            width: workshop.width,
            memory: workshop.memory,
            registry: workshop.registry,
            limits: workshop.limits,
        };
        self.work_with(id, triager, &tools, stop, report).await
    }

    async fn work_with(
        &self,
        id: JobId,
        triager: Triager,
        tools: &Tools,
        stop: &CancellationToken,
        report: &(dyn Fn(Progress) + Sync),
    ) -> Result<Job, JobError> {
        let jobs = self.clone();
        let job = tools.on_disk(move || jobs.begin_turn(id)).await??;
        if job.record.state == JobState::Undoing {
            undo::take_back(self, tools, id, stop).await?;
            let jobs = self.clone();
            return tools.on_disk(move || jobs.get(id)).await?;
        }
        let (jobs, files) = (self.clone(), job.specification.clone());
        if let Err(error) = tools.on_disk(move || jobs.check_files(&files)).await? {
            let jobs = self.clone();
            return tools.on_disk(move || jobs.end_turn(id, Err(error))).await?;
        }
        let heard = |progress: Progress| {
            self.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(id, progress);
            self.tell();
            report(progress);
        };
        let ending = match self.other_version(&job, &triager) {
            Some(pause) => Ok(Ending::Paused(pause)),
            None => match &job.specification.work {
                Work::Train(work) => train::work(tools, (&job, work), &triager, stop, self.news(), &heard).await,
                Work::Reclassify(_) | Work::Import(_) => Course::new(tools, job, triager)?.run(stop, &heard).await,
            },
        };
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let jobs = self.clone();
        tools.on_disk(move || jobs.end_turn(id, ending)).await?
    }

    /// A reclassification is decided by one model and one taxonomy.
    fn other_version(&self, job: &Job, triager: &Triager) -> Option<Pause> {
        let Job { record, specification, .. } = job;
        let paused = |text| Some(Pause { cause: PauseCause::OtherVersion, text });
        let (versions, redaction) = (triager.versions(), triager.redactor().version());
        if redaction != specification.redaction {
            let text = "the job began with other settings of what is taken out of texts ([redaction] of the \
                        configuration): bring them back and resume the job, or cancel it and begin anew";
            return paused(text.to_owned());
        }
        specification.reclassification()?;
        let (what, found, pinned) = if versions.model != record.model {
            ("model", versions.model, &record.model)
        } else if versions.taxonomy != record.taxonomy {
            ("taxonomy", versions.taxonomy, &record.taxonomy)
        } else {
            return None;
        };
        let remedy = match what {
            "model" if self.is_server() => format!(
                "have {pinned} serve (`triage model activate {pinned}`, or `triage serve --model DIR`) and resume the job"
            ),
            "model" => {
                format!("resume it with the folder of {pinned} (`triage jobs resume {} --model DIR`)", record.id)
            }
            _ => format!(
                "bring {pinned} back (`triage taxonomy revert`, or the taxonomy file that it was read from) and resume \
                 the job"
            ),
        };
        paused(format!(
            "the job began with {what} {pinned}, and now {found} is there: {remedy}, or cancel it and begin anew"
        ))
    }

    /// Says that a job is at work, unless it is to be undone.
    fn begin_turn(&self, id: JobId) -> Result<Job, JobError> {
        let job = self.get(id)?;
        if job.record.state == JobState::Undoing {
            return Ok(job);
        }
        let from = [JobState::Queued, JobState::Running];
        if !self.store.move_job(id, &from, JobState::Running, None, now())? {
            return Err(JobError::WrongState { id, state: job.record.state, operation: "worked on" });
        }
        self.tell();
        Ok(job)
    }

    /// Keeps how a job's turn ended.
    fn end_turn(&self, id: JobId, ending: Result<Ending, JobError>) -> Result<Job, JobError> {
        match ending {
            Ok(Ending::Done) => {
                // Gone before anybody hears that the job is done; every ticket is decided.
                let job = self.get(id)?;
                Self::discard_spool(&job)?;
                // The memory goes on changing: asking for the same again is another job, also for who hears of the end
                // first.
                self.store.end_job(id, !job.is_over_memory(), now())?;
            }
            Ok(Ending::Paused(pause)) => _ = self.pause_with(id, &pause)?,
            Ok(Ending::Moved | Ending::Stopped) => {}
            Err(error) => {
                let problem = error.with_causes();
                let text = if matches!(error, JobError::Row(_) | JobError::Rows(_)) {
                    format!("{problem}; mend the input, cancel the job and begin anew")
                } else if problem.contains(BEGIN_ANEW) {
                    problem
                } else {
                    format!("{problem}; when that is mended, resume the job")
                };
                let pause = Pause { cause: PauseCause::Storage, text };
                if self.pause_with(id, &pause).is_err() {
                    return Err(error);
                }
            }
        }
        self.tell();
        let job = self.get(id)?;
        if !job.record.state.is_open() {
            Self::clear_away(&job)?;
        }
        Ok(job)
    }

    /// The results of a job in the order of its tickets, from the `skip`-th of the chunk `chunk` on, each with the
    /// place behind it; those that `wanted` lets through, read page by page.
    pub fn results(
        &self,
        id: JobId,
        from: ResultPlace,
        limit: usize,
        wanted: impl Fn(&TicketResult) -> bool,
    ) -> Result<ResultPage, JobError> {
        results::page(&self.store, id, from, limit, wanted)
    }

    /// What a job changes or would change, pair by pair.
    pub fn diff(&self, id: JobId) -> Result<Diff, JobError> {
        let mut counting = self.begin_diff(id)?;
        while counting.step(self)? {}
        Ok(counting.finish())
    }

    /// Begins to count what a job changes, so that who asks can leave in between.
    pub fn begin_diff(&self, id: JobId) -> Result<DiffCounting, JobError> {
        let specification = self.get(id)?.specification;
        let from = specification.reclassification().map_or(&[][..], |work| &work.filter.from);
        let asked =
            |field: &str| from.iter().filter(|asked| asked.field == field).map(|asked| asked.value.clone()).collect();
        let fields = specification.fields().iter().map(|field| (field.field.clone(), asked(&field.field)));
        Ok(DiffCounting { id, chunk: 0, counting: diff::Counting::new(fields) })
    }

    /// How many open jobs are in each state.
    pub fn count_open(&self) -> Result<BTreeMap<JobState, u64>, JobError> {
        let mut counts = self.store.count_jobs()?;
        counts.retain(|state, _| state.is_open());
        Ok(counts)
    }
}

/// The changes of a job while they are counted.
#[derive(Debug)]
pub struct DiffCounting {
    id: JobId,
    chunk: u64,
    counting: diff::Counting,
}

impl DiffCounting {
    /// Counts some more results; `false` once there are none.
    pub fn step(&mut self, jobs: &Jobs) -> Result<bool, JobError> {
        let next = results::for_some(&jobs.store, self.id, self.chunk, |result| {
            self.counting.add(&result);
            Ok(())
        })?;
        self.chunk = next.unwrap_or(self.chunk);
        Ok(next.is_some())
    }

    pub fn finish(self) -> Diff {
        self.counting.finish()
    }
}

/// What jobs are worked on with.
#[derive(Debug, Clone)]
pub struct Workshop {
    pub pool: Pool,
    /// Pieces of work at a processor or waiting for one: as many as there are processors to be fair to calls, more to
    /// leave none idle.
    pub width: usize,
    /// For jobs over the memory.
    pub memory: Option<Memory>,
    /// For trainings.
    pub registry: Option<Registry>,
    /// For tickets that are imported.
    pub limits: TicketLimits,
}

fn specification(record: &JobRecord) -> Result<Specification, JobError> {
    Specification::from_json(&record.specification).map_err(|error| JobError::Damaged(error.to_string()))
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
