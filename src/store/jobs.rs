//! Jobs as they are kept: what each is to do, where it stands, and its results by chunk. Of two that try to move a job
//! on, one finds that it has moved already.

mod commit;
#[cfg(test)]
mod tests;
mod undo;

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

pub use self::commit::{ChunkCommit, Committed, Imported, Relabelled};
pub(super) use self::undo::forget_ticket;
use super::{
    Store, StoreError,
    changes::{closed, closed_or_null},
    memory,
};
use crate::domain::{
    job::{JobCounts, JobId, JobState, Pause, PauseCause},
    memory::ConfirmedTicket,
};

const COLUMNS: &str = "id, request_id, kind, origin, specification, model, taxonomy, state, pause_cause, pause_text, \
                       created_at, ended_at, worked_ms, chunks, row_count, changed, abstained, failed, checkpoint";

/// Who works on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobOrigin {
    Server,
    CommandLine,
}

impl JobOrigin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::CommandLine => "command_line",
        }
    }

    fn parse(raw: &str) -> Option<Self> {
        [Self::Server, Self::CommandLine].into_iter().find(|origin| origin.as_str() == raw)
    }
}

/// A job that is to be created.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    pub request_id: Option<&'a str>,
    /// Tells jobs of the same input, options, versions and output; `None` for a job that is like no other.
    pub fingerprint: Option<[u8; 32]>,
    pub kind: &'a str,
    pub origin: JobOrigin,
    /// What is to be done, as the job itself writes and reads it.
    pub specification: &'a str,
    pub model: &'a str,
    pub taxonomy: &'a str,
    /// Seconds since 1970.
    pub created_at: u64,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    pub id: JobId,
    pub request_id: Option<String>,
    pub kind: String,
    pub origin: JobOrigin,
    pub specification: String,
    pub model: String,
    pub taxonomy: String,
    pub state: JobState,
    pub pause: Option<Pause>,
    /// Seconds since 1970.
    pub created_at: u64,
    pub ended_at: Option<u64>,
    pub worked_ms: u64,
    /// Chunks that are committed.
    pub chunks: u64,
    pub counts: JobCounts,
    /// Where the next chunk begins, as the job itself writes and reads it.
    pub checkpoint: Option<String>,
}

/// What asking for a job came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    pub id: JobId,
    /// Otherwise it was there already.
    pub is_new: bool,
}

/// The results of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobChunk {
    pub number: u64,
    pub counts: JobCounts,
    pub results: Vec<u8>,
}

impl Store {
    /// Creates a job, or finds the one with its request id or its fingerprint.
    pub fn create_job(&self, job: &NewJob<'_>) -> Result<Created, StoreError> {
        let failed = self.failed("creating a job");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let created = create(&transaction, job).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(created)
    }

    pub fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let read = self.reader().query_row(&format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1"), [id.0], read_job);
        read.optional().map_err(self.failed("reading a job"))
    }

    /// The job that was created with this request id.
    pub fn job_of_request(&self, request_id: &str) -> Result<Option<JobRecord>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM jobs WHERE request_id = ?1");
        let read = self.reader().query_row(&statement, [request_id], read_job);
        read.optional().map_err(self.failed("reading a job"))
    }

    /// The job that stands for this fingerprint.
    pub fn job_of_fingerprint(&self, fingerprint: &[u8; 32]) -> Result<Option<JobRecord>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM jobs WHERE fingerprint = ?1");
        let read = self.reader().query_row(&statement, [fingerprint], read_job);
        read.optional().map_err(self.failed("reading a job"))
    }

    /// The latest jobs first, those behind `before`; at most `limit`.
    pub fn list_jobs(&self, before: Option<JobId>, limit: usize) -> Result<Vec<JobRecord>, StoreError> {
        let failed = self.failed("listing jobs");
        let reader = self.reader();
        let statement = format!("SELECT {COLUMNS} FROM jobs WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
        let mut statement = reader.prepare_cached(&statement).map_err(&failed)?;
        let before = before.map_or(i64::MAX, |id| i64::try_from(id.0).unwrap_or(i64::MAX));
        let rows = statement.query_map(params![before, limit], read_job).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Jobs in one of these states, oldest first.
    pub fn jobs_in(&self, states: &[JobState]) -> Result<Vec<JobRecord>, StoreError> {
        let failed = self.failed("listing jobs");
        let reader = self.reader();
        let states = states.iter().map(|state| format!("'{state}'")).collect::<Vec<_>>().join(", ");
        let statement = format!("SELECT {COLUMNS} FROM jobs WHERE state IN ({states}) ORDER BY id");
        let mut statement = reader.prepare(&statement).map_err(&failed)?;
        let rows = statement.query_map([], read_job).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// How many jobs are in each state that has one, by state.
    pub fn count_jobs(&self) -> Result<BTreeMap<JobState, u64>, StoreError> {
        let failed = self.failed("counting jobs");
        let reader = self.reader();
        let mut statement =
            reader.prepare_cached("SELECT state, COUNT(*) FROM jobs GROUP BY state").map_err(&failed)?;
        let read = |row: &Row<'_>| Ok((closed(row, "state", JobState::parse)?, row.get(1)?));
        let rows = statement.query_map([], read).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Brings a job from one of the states `from` to another, with why it is paused; whether it was in one of them.
    /// `at` is in seconds since 1970. A job that ends otherwise than done no longer stands for its fingerprint.
    pub fn move_job(
        &self,
        id: JobId,
        from: &[JobState],
        to: JobState,
        pause: Option<&Pause>,
        at: u64,
    ) -> Result<bool, StoreError> {
        let from = from.iter().map(|state| format!("'{state}'")).collect::<Vec<_>>().join(", ");
        let ended_at = (!to.is_open()).then_some(at);
        let keeps_fingerprint = !matches!(to, JobState::Cancelled | JobState::Undoing | JobState::Undone);
        let statement = format!(
            "UPDATE jobs SET state = ?2, pause_cause = ?3, pause_text = ?4, ended_at = ?5, \
             fingerprint = CASE WHEN ?6 THEN fingerprint END WHERE id = ?1 AND state IN ({from})"
        );
        let (cause, text) = pause.map(|pause| (pause.cause.as_str(), pause.text.as_str())).unzip();
        let values = params![id.0, to.as_str(), cause, text, ended_at, keeps_fingerprint];
        let moved = self.writer().execute(&statement, values);
        moved.map(|rows| rows > 0).map_err(self.failed("changing the state of a job"))
    }

    /// Says that a running job is done, and whether it goes on standing for its fingerprint. `at` is in seconds since
    /// 1970.
    pub fn end_job(&self, id: JobId, keeps_fingerprint: bool, at: u64) -> Result<(), StoreError> {
        let statement = "UPDATE jobs SET state = ?2, ended_at = ?3, fingerprint = CASE WHEN ?4 THEN fingerprint END \
                         WHERE id = ?1 AND state = ?5";
        let values = params![id.0, JobState::Done.as_str(), at, keeps_fingerprint, JobState::Running.as_str()];
        self.writer().execute(statement, values).map(|_| ()).map_err(self.failed("changing the state of a job"))
    }

    /// Takes a job's fingerprint away: what it stood for may be asked for anew.
    pub fn release_job(&self, id: JobId) -> Result<(), StoreError> {
        let released = self.writer().execute("UPDATE jobs SET fingerprint = NULL WHERE id = ?1", [id.0]);
        released.map(|_| ()).map_err(self.failed("changing a job"))
    }

    /// Replaces what a job is to do from here on, and who works on it.
    pub fn respecify_job(&self, id: JobId, specification: &str, origin: JobOrigin) -> Result<(), StoreError> {
        let statement = "UPDATE jobs SET specification = ?2, origin = ?3 WHERE id = ?1";
        let written = self.writer().execute(statement, params![id.0, specification, origin.as_str()]);
        written.map(|_| ()).map_err(self.failed("changing a job"))
    }

    /// The chunks of a job from `number` on, at most `limit`.
    pub fn job_chunks(&self, id: JobId, number: u64, limit: usize) -> Result<Vec<JobChunk>, StoreError> {
        let failed = self.failed("reading the results of a job");
        let reader = self.reader();
        let statement = "SELECT number, row_count, changed, abstained, failed, results FROM job_chunks \
                         WHERE job_id = ?1 AND number >= ?2 ORDER BY number LIMIT ?3";
        let mut statement = reader.prepare_cached(statement).map_err(&failed)?;
        let read =
            |row: &Row<'_>| Ok(JobChunk { number: row.get(0)?, counts: counts(row)?, results: row.get("results")? });
        let rows = statement.query_map(params![id.0, number, limit], read).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// The hashes of the ids of a job as its chunks brought them, from chunk `first` on; at most `limit` chunks.
    pub(super) fn job_id_hashes(&self, id: JobId, first: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let failed = self.failed("reading the ids of a job");
        let reader = self.reader();
        let statement = "SELECT id_hashes FROM job_chunks WHERE job_id = ?1 AND number >= ?2 ORDER BY number LIMIT ?3";
        let mut statement = reader.prepare_cached(statement).map_err(&failed)?;
        let rows = statement.query_map(params![id.0, first, limit], |row| row.get(0)).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Tickets in the order of their ids, behind the id `after`, each with the change that wrote it; at most `limit`,
    /// and fewer where they are long, but one where there is one.
    pub fn memory_tickets_with_changes(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(ConfirmedTicket, u64)>, StoreError> {
        let tickets = memory::tickets_with_changes(&self.reader(), after, limit);
        tickets.map_err(self.failed("reading confirmed tickets"))
    }
}

fn create(transaction: &Transaction<'_>, job: &NewJob<'_>) -> rusqlite::Result<Created> {
    let known = "SELECT id FROM jobs WHERE request_id = ?1 OR fingerprint = ?2 ORDER BY request_id = ?1 DESC";
    let known = transaction.query_row(known, params![job.request_id, job.fingerprint], |row| row.get(0)).optional()?;
    if let Some(id) = known {
        return Ok(Created { id: JobId(id), is_new: false });
    }
    let NewJob { request_id, fingerprint, kind, origin, specification, model, taxonomy, created_at } = job;
    let id = transaction.query_row(
        "INSERT INTO jobs (request_id, fingerprint, kind, origin, specification, model, taxonomy, state, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
        params![
            request_id,
            fingerprint,
            kind,
            origin.as_str(),
            specification,
            model,
            taxonomy,
            JobState::Queued.as_str(),
            created_at
        ],
        |row| row.get(0),
    )?;
    Ok(Created { id: JobId(id), is_new: true })
}

fn counts(row: &Row<'_>) -> rusqlite::Result<JobCounts> {
    Ok(JobCounts {
        rows: row.get("row_count")?,
        changed: row.get("changed")?,
        abstained: row.get("abstained")?,
        failed: row.get("failed")?,
    })
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<JobRecord> {
    let pause = match closed_or_null(row, "pause_cause", PauseCause::parse)? {
        Some(cause) => Some(Pause { cause, text: row.get("pause_text")? }),
        None => None,
    };
    Ok(JobRecord {
        id: JobId(row.get("id")?),
        request_id: row.get("request_id")?,
        kind: row.get("kind")?,
        origin: closed(row, "origin", JobOrigin::parse)?,
        specification: row.get("specification")?,
        model: row.get("model")?,
        taxonomy: row.get("taxonomy")?,
        state: closed(row, "state", JobState::parse)?,
        pause,
        created_at: row.get("created_at")?,
        ended_at: row.get("ended_at")?,
        worked_ms: row.get("worked_ms")?,
        chunks: row.get("chunks")?,
        counts: counts(row)?,
        checkpoint: row.get("checkpoint")?,
    })
}
