//! The course of a job: read a chunk, decide it on the compute pool, commit it, until the tickets end or
//! somebody stops it. While a chunk is decided the next one is read. Every chunk is committed whole: after a kill the
//! job goes on behind the last one.

use std::{
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    Job, JobError, Progress,
    input::{CHUNK_TICKETS, Chunk, Done, Entry, Identity, Input, Place},
    output::{self, Files, Lengths},
    specification::{Source, Specification, Work},
    storage::Storage,
    treat::{Decided, Treatment},
};
use crate::{
    compute::{Pool, Urgency},
    domain::{
        job::{JobCounts, JobId, Pause, PauseCause},
        memory::keep_last_of_each,
        ticket::TicketLimits,
    },
    memory::Memory,
    registry::Registry,
    store::{ChunkCommit, Committed, Imported, Store},
    telemetry::METRICS,
    triage::Triager,
};

/// Tickets and bytes of text that are decided in one go: about a millisecond, so that a call never waits for long.
const SLICE_TICKETS: usize = 16;
const SLICE_BYTES: usize = 16 << 10;
/// Behind so many relabelled tickets the index of the memory follows.
const PUBLISHED_TICKETS: usize = 20_000;

/// What works on jobs.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub store: Store,
    pub storage: Arc<dyn Storage>,
    pub pool: Pool,
    /// For what waits for the disk, so that no processor does.
    pub disk: Pool,
    /// Slices at work or waiting for a processor.
    pub width: usize,
    pub memory: Option<Memory>,
    /// For trainings.
    pub registry: Option<Registry>,
    /// For tickets that are imported.
    pub limits: TicketLimits,
}

impl Tools {
    /// Threads that wait for the disk: one reads while another commits.
    pub(super) const DISK_THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

    /// Runs `work` where waiting for the disk holds up nobody.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        let place = self.disk.wait(Urgency::Background).await?;
        Ok(self.disk.run(place, work).await?)
    }
}

/// How a job's turn at work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Paused(Pause),
    /// Somebody paused or cancelled it.
    Moved,
    /// The process ends; the job goes on at the next start.
    Stopped,
}

/// What the store keeps of where a job stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Checkpoint {
    next: Option<Place>,
    /// Every ticket is decided.
    is_last: bool,
    lengths: Lengths,
}

/// One job at work.
pub(super) struct Course<'a> {
    tools: &'a Tools,
    id: JobId,
    job: Specification,
    treatment: Arc<Treatment>,
    checkpoint: Checkpoint,
    chunks: u64,
    counts: JobCounts,
    unpublished: usize,
}

impl<'a> Course<'a> {
    pub(super) fn new(tools: &'a Tools, job: Job, triager: Triager) -> Result<Self, JobError> {
        let Job { record, specification: job, .. } = job;
        let damaged = |error: serde_json::Error| JobError::Damaged(error.to_string());
        let checkpoint = record.checkpoint.as_deref().map(serde_json::from_str).transpose().map_err(damaged)?;
        let redactor = tools.memory.as_ref().map(|memory| memory.redactor().clone()).unwrap_or_default();
        Ok(Self {
            tools,
            id: record.id,
            treatment: Arc::new(Treatment::of(&job, triager, redactor)),
            job,
            checkpoint: checkpoint.unwrap_or_default(),
            chunks: record.chunks,
            counts: record.counts,
            unpublished: 0,
        })
    }

    /// Works until the end, or until the job or the process is stopped. `report` hears of every chunk.
    pub(super) async fn run(
        mut self,
        stop: &CancellationToken,
        report: &(dyn Fn(Progress) + Sync),
    ) -> Result<Ending, JobError> {
        let mut identity = match &self.job.source {
            Source::File(file) => Some((file.path.clone(), Identity::expected(&file.content))),
            Source::Memory => None,
        };
        if !self.checkpoint.is_last {
            if let Some(ending) = self.check_identity(&mut identity).await? {
                return Ok(ending);
            }
            let ending = self.work(&mut identity, stop, report).await;
            self.publish().await?;
            if let Some(ending) = ending? {
                return Ok(ending);
            }
        }
        let (job, storage, lengths) = (self.job.clone(), Arc::clone(&self.tools.storage), self.checkpoint.lengths);
        self.tools.on_disk(move || output::finish(&job, &*storage, lengths)).await??;
        Ok(Ending::Done)
    }

    /// Decides and commits chunk by chunk; `None` at the end of the tickets.
    async fn work(
        &mut self,
        identity: &mut Option<(PathBuf, Identity)>,
        stop: &CancellationToken,
        report: &(dyn Fn(Progress) + Sync),
    ) -> Result<Option<Ending>, JobError> {
        let (started, begun_with) = (Instant::now(), self.counts.rows);
        let mut files = self.open_files().await?;
        let mut read = self.read(self.open_input().await?).await?;
        loop {
            let chunk_started = Instant::now();
            let (input, chunk) = read;
            let chunk = chunk?;
            let (next, is_last, too_many_bad, fraction) =
                (chunk.next.clone(), chunk.is_last, chunk.too_many_bad, chunk.fraction);
            let id_hashes = chunk.id_hashes.clone();
            let (decided, following) = tokio::join!(self.decide(chunk), self.read(input));
            let decided = decided?;
            read = following?;
            if let Some(ending) = self.check_identity(identity).await? {
                return Ok(Some(ending));
            }
            let committed;
            (files, committed) =
                self.commit(files, decided, (next, is_last), id_hashes, chunk_started.elapsed()).await?;
            match committed {
                Committed::Yes(_) => {}
                Committed::NotRunning => return Ok(Some(Ending::Moved)),
                Committed::Touched => {
                    read = self.read(self.open_input().await?).await?;
                    continue;
                }
            }
            let rows_a_second = rate(self.counts.rows - begun_with, started.elapsed());
            report(Progress { counts: self.counts, fraction, rows_a_second });
            if let Some((bad, rows)) = too_many_bad {
                return Ok(Some(Ending::Paused(self.too_many_bad(bad, rows))));
            }
            if is_last {
                return Ok(None);
            }
            if self.unpublished >= PUBLISHED_TICKETS {
                self.publish().await?;
            }
            let pause = self.pace(self.counts.rows - begun_with, started.elapsed());
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ending::Stopped)),
                () = tokio::time::sleep(pause), if !pause.is_zero() => {}
                () = std::future::ready(()), if pause.is_zero() => {}
            }
        }
    }

    /// Stops the job where its input is no longer what it began with.
    async fn check_identity(&self, identity: &mut Option<(PathBuf, Identity)>) -> Result<Option<Ending>, JobError> {
        let Some((path, mut known)) = identity.take() else { return Ok(None) };
        let check = move || {
            let held = known.still_holds(&path);
            (path, known, held)
        };
        let (path, known, held) = self.tools.on_disk(check).await?;
        let held = held.map_err(|source| JobError::Unreadable { path: path.clone(), source })?;
        let changed = |path: &Path| Pause {
            cause: PauseCause::InputChanged,
            text: format!(
                "{} is not what it was when the job began: put it back and resume the job, or cancel it and begin anew",
                path.display()
            ),
        };
        let ending = (!held).then(|| Ending::Paused(changed(&path)));
        *identity = Some((path, known));
        Ok(ending)
    }

    async fn open_files(&self) -> Result<Files, JobError> {
        let (job, storage, lengths) = (self.job.clone(), Arc::clone(&self.tools.storage), self.checkpoint.lengths);
        self.tools.on_disk(move || Files::open(&job, &*storage, lengths)).await?
    }

    async fn open_input(&self) -> Result<Input, JobError> {
        let (id, job, store, next) =
            (self.id, self.job.clone(), self.tools.store.clone(), self.checkpoint.next.clone());
        let (done, limits) = (Done { rows: self.counts.rows, bad: self.counts.failed }, self.tools.limits);
        let open = move || {
            let seen = job.tells_ids_apart().then(|| store.ids_seen_by(id)).transpose()?;
            Input::open(&job, &store, next, done, seen, limits)
        };
        self.tools.on_disk(open).await?
    }

    /// Reads the next chunk.
    async fn read(&self, mut input: Input) -> Result<(Input, Result<Chunk, JobError>), JobError> {
        // A slow job commits about every second.
        let limit = self.job.pace.tickets_per_second.map_or(CHUNK_TICKETS, |rate| rate as usize);
        let read = move || {
            let chunk = input.next_chunk(limit);
            (input, chunk)
        };
        self.tools.on_disk(read).await
    }

    /// Decides the tickets of a chunk, slice by slice on the pool.
    async fn decide(&self, chunk: Chunk) -> Result<Decided, JobError> {
        let entries = Arc::new(chunk.entries);
        let slices = slices(&entries);
        let decided = stream::iter(slices).map(|slice| self.decide_slice(Arc::clone(&entries), slice));
        let mut decided = decided.buffered(self.tools.width);
        let mut whole = Decided::default();
        while let Some(slice) = decided.try_next().await? {
            whole.extend(slice);
        }
        Ok(whole)
    }

    async fn decide_slice(&self, entries: Arc<Vec<Entry>>, slice: Range<usize>) -> Result<Decided, JobError> {
        let treatment = Arc::clone(&self.treatment);
        let place = self.tools.pool.wait(Urgency::Background).await?;
        let work = move || {
            let mut decided = Decided::default();
            for entry in &entries[slice] {
                treatment.treat(entry, &mut decided)?;
            }
            Ok(decided)
        };
        self.tools.pool.run(place, work).await?
    }

    /// Makes a chunk durable: first the files, then the store, which tells what of the files counts.
    async fn commit(
        &mut self,
        mut files: Files,
        mut decided: Decided,
        (next, is_last): (Place, bool),
        id_hashes: Vec<u8>,
        worked: Duration,
    ) -> Result<(Files, Committed), JobError> {
        keep_last_of_each(&mut decided.imported);
        let (id, number, storage) = (self.id, self.chunks, Arc::clone(&self.tools.storage));
        let (for_memory, outcomes) = (decided.relabelled.len() + decided.imported.len(), decided.outcomes);
        let keeps_links = matches!(&self.job.work, Work::Import(columns) if columns.articles.is_none());
        let write = move || {
            let Decided { counts, results, output, rejects, relabelled, imported, outcomes: _ } = decided;
            let lengths = files.append(output, &rejects)?;
            let checkpoint = Checkpoint { next: Some(next), is_last, lengths };
            let kept = serde_json::to_string(&checkpoint).map_err(JobError::internal)?;
            let worked_ms = u64::try_from(worked.as_millis()).unwrap_or(u64::MAX);
            let commit = ChunkCommit {
                number,
                counts,
                results: &results,
                id_hashes: &id_hashes,
                checkpoint: &kept,
                worked_ms,
                relabelled: &relabelled,
                imported: Imported { tickets: &imported, keeps_links },
            };
            Ok((storage.commit(id, &commit)?, files, checkpoint))
        };
        let written: Result<_, JobError> = self.tools.on_disk(write).await?;
        let (committed, files, checkpoint) = written?;
        if let Committed::Yes(counts) = committed {
            self.checkpoint = checkpoint;
            self.chunks += 1;
            self.counts += counts;
            self.unpublished += for_memory;
            METRICS.count_job_tickets(outcomes);
        }
        Ok((files, committed))
    }

    /// Lets the index of the memory follow.
    async fn publish(&mut self) -> Result<(), JobError> {
        let Some(memory) = self.tools.memory.clone().filter(|_| self.unpublished > 0) else { return Ok(()) };
        self.unpublished = 0;
        Ok(self.tools.on_disk(move || memory.publish()).await??)
    }

    /// How long to rest so that the job stays within its rate.
    fn pace(&self, rows: u64, elapsed: Duration) -> Duration {
        let Some(rate) = self.job.pace.tickets_per_second else { return Duration::ZERO };
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than the leading digits")]
        let due = Duration::from_secs_f64(rows as f64 / f64::from(rate.max(1)));
        due.saturating_sub(elapsed)
    }

    fn too_many_bad(&self, bad: u64, rows: u64) -> Pause {
        let rejects = self.job.rejects().map(|path| output::unfinished(&path));
        let rejects = rejects.map(|path| format!(" (see {})", path.display())).unwrap_or_default();
        let text = format!(
            "{bad} of {rows} rows so far are bad{rejects}, more than the {:.0} % that are allowed: mend the \
             input, cancel the job and begin anew, or resume the job to go on with what is good",
            self.job.pace.max_bad_share * 100.0
        );
        Pause { cause: PauseCause::BadRows, text }
    }
}

fn rate(rows: u64, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than the leading digits")]
    let rows = rows as f64;
    if elapsed.is_zero() { 0.0 } else { rows / elapsed.as_secs_f64() }
}

/// Ranges of entries that are decided in one go.
fn slices(entries: &[Entry]) -> Vec<Range<usize>> {
    let (mut slices, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (place, entry) in entries.iter().enumerate() {
        if let Entry::Ticket { subject, .. } = entry {
            bytes += subject.text.len();
        }
        if place + 1 - start == SLICE_TICKETS || bytes >= SLICE_BYTES || place + 1 == entries.len() {
            slices.push(start..place + 1);
            (start, bytes) = (place + 1, 0);
        }
    }
    slices
}
