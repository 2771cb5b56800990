//! Jobs as they are kept: what each is to do, where it stands, its results by chunk, and what it changed in the memory.
//! A chunk is committed whole, with the changes that follow from it, or not at all; of two that try to move a job on,
//! one finds that it has moved already.

use std::{borrow::Cow, collections::BTreeMap};

use rusqlite::{OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{
    Store, StoreError,
    changes::{ImportCounts, closed, closed_or_null},
    memory,
};
use crate::domain::{
    job::{JobCounts, JobId, JobState, Pause, PauseCause, UndoOutcome},
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

/// Everything that one chunk changes.
#[derive(Debug, Clone)]
pub struct ChunkCommit<'a> {
    /// From 0; those before it are committed.
    pub number: u64,
    pub counts: JobCounts,
    pub results: &'a [u8],
    pub id_hashes: &'a [u8],
    pub checkpoint: &'a str,
    pub worked_ms: u64,
    pub relabelled: &'a [Relabelled],
    pub imported: Imported<'a>,
}

/// Confirmed tickets that are added or replaced; those that this changes are added to the changed ones of the chunk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Imported<'a> {
    pub tickets: &'a [ConfirmedTicket],
    /// Whether a ticket that is replaced keeps its links to articles.
    pub keeps_links: bool,
}

/// A confirmed ticket that gets other labels.
#[derive(Debug, Clone)]
pub struct Relabelled {
    /// With its new labels.
    pub ticket: ConfirmedTicket,
    /// By changed field, the label it had; `None` where it had none.
    pub previous: BTreeMap<String, Option<String>>,
    /// The change that the ticket was read at.
    pub read_at: u64,
}

/// What committing a chunk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// With what the chunk came to.
    Yes(JobCounts),
    /// The job is no longer running, or this chunk is committed already: nothing was changed.
    NotRunning,
    /// Somebody changed one of the tickets since it was read: nothing was changed.
    Touched,
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

    /// Commits a chunk with everything that follows from it.
    pub fn commit_chunk(&self, id: JobId, chunk: &ChunkCommit<'_>) -> Result<Committed, StoreError> {
        let failed = self.failed("committing a chunk of a job");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let committed = commit(&transaction, id, chunk).map_err(&failed)?;
        if let Committed::Yes(_) = committed {
            transaction.commit().map_err(&failed)?;
        }
        Ok(committed)
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

    /// Takes back what a job changed in at most `limit` tickets, those that nobody touched since; how many tickets it
    /// looked at, 0 once there are no more.
    pub fn undo_step(&self, id: JobId, limit: usize) -> Result<usize, StoreError> {
        let failed = self.failed("undoing a job");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let undone = undo(&transaction, id, limit).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(undone)
    }

    /// How many tickets undoing came to each outcome for.
    pub fn undo_counts(&self, id: JobId) -> Result<BTreeMap<UndoOutcome, u64>, StoreError> {
        let failed = self.failed("counting what was undone");
        let reader = self.reader();
        let statement = "SELECT undo, COUNT(*) FROM job_changes WHERE job_id = ?1 AND undo IS NOT NULL GROUP BY undo";
        let mut statement = reader.prepare_cached(statement).map_err(&failed)?;
        let read = |row: &Row<'_>| Ok((closed(row, "undo", UndoOutcome::parse)?, row.get(1)?));
        let rows = statement.query_map([id.0], read).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Ids of the tickets that undoing came to this outcome for, in order, behind `after`; at most `limit`.
    pub fn undone_tickets(
        &self,
        id: JobId,
        outcome: UndoOutcome,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let failed = self.failed("listing what was undone");
        let reader = self.reader();
        let statement = "SELECT ticket_id FROM job_changes WHERE job_id = ?1 AND undo = ?2 AND ticket_id > ?3 \
                         ORDER BY ticket_id LIMIT ?4";
        let mut statement = reader.prepare_cached(statement).map_err(&failed)?;
        let values = params![id.0, outcome.as_str(), after, limit];
        let rows = statement.query_map(values, |row| row.get(0)).map_err(&failed)?;
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

fn commit(transaction: &Transaction<'_>, id: JobId, chunk: &ChunkCommit<'_>) -> rusqlite::Result<Committed> {
    let ChunkCommit { number, counts, results, id_hashes, checkpoint, worked_ms, relabelled, imported } = chunk;
    let counts = JobCounts { changed: counts.changed + import(transaction, *imported)?, ..*counts };
    let JobCounts { rows, changed, abstained, failed } = counts;
    let moved = transaction.execute(
        "UPDATE jobs SET chunks = chunks + 1, row_count = row_count + ?4, changed = changed + ?5, \
         abstained = abstained + ?6, failed = failed + ?7, checkpoint = ?8, worked_ms = worked_ms + ?9 \
         WHERE id = ?1 AND chunks = ?2 AND state = ?3",
        params![id.0, number, JobState::Running.as_str(), rows, changed, abstained, failed, checkpoint, worked_ms],
    )?;
    if moved == 0 {
        return Ok(Committed::NotRunning);
    }
    transaction.execute(
        "INSERT INTO job_chunks (job_id, number, row_count, changed, abstained, failed, results, id_hashes) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![id.0, number, rows, changed, abstained, failed, results, id_hashes],
    )?;
    for Relabelled { ticket, read_at, .. } in *relabelled {
        if memory::change_of(transaction, &ticket.id)? != Some(*read_at) {
            return Ok(Committed::Touched);
        }
    }
    let mut note = transaction
        .prepare_cached("INSERT INTO job_changes (job_id, ticket_id, previous, sequence) VALUES (?1, ?2, ?3, ?4)")?;
    for Relabelled { ticket, previous, .. } in *relabelled {
        memory::upsert(transaction, std::slice::from_ref(ticket))?;
        let previous =
            serde_json::to_string(previous).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        note.execute(params![id.0, ticket.id, previous, memory::change_of(transaction, &ticket.id)?])?;
    }
    Ok(Committed::Yes(counts))
}

/// Adds or replaces tickets; how many that changes.
fn import(transaction: &Transaction<'_>, imported: Imported<'_>) -> rusqlite::Result<u64> {
    let mut tickets = Cow::Borrowed(imported.tickets);
    if imported.keeps_links {
        for ticket in tickets.to_mut() {
            if let Some(known) = memory::ticket(transaction, &ticket.id)? {
                (ticket.articles, ticket.refused) = (known.articles, known.refused);
            }
        }
    }
    let ImportCounts { imported, updated, unchanged: _ } = memory::upsert(transaction, &tickets)?;
    Ok(imported + updated)
}

fn undo(transaction: &Transaction<'_>, id: JobId, limit: usize) -> rusqlite::Result<usize> {
    let mut statement = transaction.prepare_cached(
        "SELECT ticket_id, previous, sequence FROM job_changes WHERE job_id = ?1 AND undo IS NULL \
         ORDER BY ticket_id LIMIT ?2",
    )?;
    let mut note =
        transaction.prepare_cached("UPDATE job_changes SET undo = ?3 WHERE job_id = ?1 AND ticket_id = ?2")?;
    let mut rows = statement.query(params![id.0, limit])?;
    let mut noted: Vec<(String, UndoOutcome)> = Vec::new();
    while let Some(row) = rows.next()? {
        let ticket_id: String = row.get("ticket_id")?;
        let written: u64 = row.get("sequence")?;
        let outcome = match memory::change_of(transaction, &ticket_id)? {
            None => UndoOutcome::Deleted,
            Some(last) if last != written => UndoOutcome::Touched,
            Some(_) => {
                let previous: BTreeMap<String, Option<String>> =
                    closed(row, "previous", |raw| serde_json::from_str(raw).ok())?;
                if let Some(mut ticket) = memory::ticket(transaction, &ticket_id)? {
                    for (field, label) in previous {
                        match label {
                            Some(label) => drop(ticket.labels.insert(field, label)),
                            None => drop(ticket.labels.remove(&field)),
                        }
                    }
                    memory::upsert(transaction, &[ticket])?;
                }
                UndoOutcome::Restored
            }
        };
        noted.push((ticket_id, outcome));
    }
    for (ticket_id, outcome) in &noted {
        note.execute(params![id.0, ticket_id, outcome.as_str()])?;
    }
    Ok(noted.len())
}

/// Forgets which labels a deleted ticket had.
pub(super) fn forget_ticket(transaction: &Transaction<'_>, ticket_id: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE job_changes SET previous = '{}' WHERE ticket_id = ?1")?
        .execute([ticket_id])
        .map(|_| ())
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_OPEN: [JobState; 3] = [JobState::Queued, JobState::Running, JobState::Paused];

    struct Desk {
        _folder: tempfile::TempDir,
        store: Store,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            Self { _folder: folder, store }
        }

        fn create(&self, request_id: Option<&str>, fingerprint: u8) -> Created {
            self.store
                .create_job(&NewJob {
                    request_id,
                    fingerprint: Some([fingerprint; 32]),
                    kind: "reclassification",
                    origin: JobOrigin::Server,
                    specification: "{}",
                    model: "m",
                    taxonomy: "t",
                    created_at: 7,
                })
                .unwrap()
        }

        fn running(&self) -> JobId {
            let id = self.create(None, 1).id;
            assert!(self.store.move_job(id, &[JobState::Queued], JobState::Running, None, 8).unwrap());
            id
        }

        fn remember(&self, id: &str, category: &str) {
            let labels = [("category".to_owned(), category.to_owned())].into();
            let ticket =
                ConfirmedTicket { id: id.into(), summary: "It fails".into(), labels, ..ConfirmedTicket::default() };
            self.store.upsert_memory_tickets(&[ticket]).unwrap();
        }

        fn category(&self, id: &str) -> Option<String> {
            self.store.memory_ticket(id).unwrap().and_then(|ticket| ticket.labels.get("category").cloned())
        }

        fn relabelled(&self, id: &str, category: &str) -> Relabelled {
            let all = self.store.memory_tickets_with_changes("", 100).unwrap();
            let (mut ticket, read_at) = all.into_iter().find(|(ticket, _)| ticket.id == id).unwrap();
            let previous = ticket.labels.insert("category".into(), category.into());
            Relabelled { ticket, previous: [("category".to_owned(), previous)].into(), read_at }
        }

        fn commit(&self, id: JobId, number: u64, relabelled: &[Relabelled]) -> Committed {
            let counts = JobCounts { rows: 2, changed: 1, ..JobCounts::default() };
            let chunk = ChunkCommit {
                number,
                counts,
                results: b"r",
                id_hashes: b"12345678",
                checkpoint: "{}",
                worked_ms: 5,
                relabelled,
                imported: Imported::default(),
            };
            self.store.commit_chunk(id, &chunk).unwrap()
        }
    }

    #[test]
    fn the_same_request_makes_one_job_until_it_no_longer_stands_for_it() {
        let desk = Desk::new();
        let first = desk.create(Some("a"), 1);
        assert!(first.is_new);
        for (request_id, fingerprint, expected) in [(Some("a"), 1, 1), (Some("a"), 2, 1), (None, 1, 1), (None, 3, 2)] {
            assert_eq!(desk.create(request_id, fingerprint).id, JobId(expected), "{request_id:?} {fingerprint}");
        }
        assert!(desk.store.move_job(first.id, &ALL_OPEN, JobState::Cancelled, None, 9).unwrap());
        assert_eq!(desk.create(None, 1), Created { id: JobId(3), is_new: true });
        assert_eq!(desk.create(Some("a"), 9).id, first.id, "a request's name stays taken");
    }

    #[test]
    fn a_chunk_is_committed_once_and_only_while_the_job_runs() {
        let desk = Desk::new();
        let id = desk.create(None, 1).id;
        assert_eq!(desk.commit(id, 0, &[]), Committed::NotRunning);
        desk.store.move_job(id, &[JobState::Queued], JobState::Running, None, 8).unwrap();
        assert!(matches!(desk.commit(id, 0, &[]), Committed::Yes(_)));
        assert_eq!(desk.commit(id, 0, &[]), Committed::NotRunning);
        assert!(matches!(desk.commit(id, 1, &[]), Committed::Yes(_)));
        desk.store.move_job(id, &ALL_OPEN, JobState::Cancelled, None, 9).unwrap();
        assert_eq!(desk.commit(id, 2, &[]), Committed::NotRunning);
        let job = desk.store.job(id).unwrap().unwrap();
        assert_eq!((job.chunks, job.counts.rows, job.counts.changed, job.worked_ms), (2, 4, 2, 10));
        assert_eq!((job.state, job.ended_at), (JobState::Cancelled, Some(9)));
        assert_eq!(desk.store.job_chunks(id, 1, 9).unwrap().len(), 1);
        assert_eq!(desk.store.job_id_hashes(id, 0, 9).unwrap(), [b"12345678", b"12345678"]);
        assert_eq!(desk.store.job_id_hashes(id, 1, 9).unwrap(), [b"12345678"]);
        let mut seen = desk.store.ids_seen_by(id).unwrap();
        assert!(!seen.insert(u64::from_le_bytes(*b"12345678")).unwrap());
        assert!(seen.insert(u64::from_le_bytes(*b"87654321")).unwrap());
    }

    #[test]
    fn of_two_that_move_a_job_one_is_late() {
        let desk = Desk::new();
        let id = desk.running();
        let pause = Pause { cause: PauseCause::BadRows, text: "too many".into() };
        assert!(desk.store.move_job(id, &[JobState::Running], JobState::Paused, Some(&pause), 9).unwrap());
        assert!(!desk.store.move_job(id, &[JobState::Running], JobState::Done, None, 9).unwrap());
        assert_eq!(desk.store.job(id).unwrap().unwrap().pause, Some(pause));
        assert_eq!(desk.store.jobs_in(&[JobState::Paused]).unwrap().len(), 1);
        assert!(desk.store.move_job(id, &[JobState::Paused], JobState::Running, None, 9).unwrap());
        assert_eq!(desk.store.job(id).unwrap().unwrap().pause, None);
    }

    #[test]
    fn labels_change_with_their_chunk_or_not_at_all() {
        let desk = Desk::new();
        desk.remember("A", "Network");
        desk.remember("B", "Network");
        let id = desk.running();
        let stale = [desk.relabelled("A", "Printer"), desk.relabelled("B", "Printer")];
        desk.remember("B", "Mail");
        assert_eq!(desk.commit(id, 0, &stale), Committed::Touched);
        assert_eq!(desk.category("A").as_deref(), Some("Network"));
        assert_eq!(desk.store.job(id).unwrap().unwrap().chunks, 0);
        let fresh = [desk.relabelled("A", "Printer"), desk.relabelled("B", "Printer")];
        assert!(matches!(desk.commit(id, 0, &fresh), Committed::Yes(_)));
        assert_eq!((desk.category("A"), desk.category("B")), (Some("Printer".into()), Some("Printer".into())));
    }

    #[test]
    fn undoing_restores_what_nobody_touched_since() {
        let desk = Desk::new();
        for id in ["A", "B", "C", "D"] {
            desk.remember(id, "Network");
        }
        let unlabelled = ConfirmedTicket { id: "E".into(), summary: "It fails".into(), ..ConfirmedTicket::default() };
        desk.store.upsert_memory_tickets(&[unlabelled]).unwrap();
        let id = desk.running();
        let changes: Vec<_> = ["A", "B", "C", "E"].map(|ticket| desk.relabelled(ticket, "Printer")).into();
        assert!(matches!(desk.commit(id, 0, &changes), Committed::Yes(_)));
        desk.remember("B", "Mail");
        desk.store.delete_memory_tickets(&["C".to_owned()]).unwrap();

        assert_eq!(desk.store.undo_step(id, 3).unwrap(), 3);
        assert_eq!(desk.store.undo_step(id, 3).unwrap(), 1);
        assert_eq!(desk.store.undo_step(id, 3).unwrap(), 0);
        let found = ["A", "B", "C", "D", "E"].map(|ticket| desk.category(ticket));
        assert_eq!(found, [Some("Network".into()), Some("Mail".into()), None, Some("Network".into()), None]);
        let expected = [(UndoOutcome::Restored, 2), (UndoOutcome::Touched, 1), (UndoOutcome::Deleted, 1)];
        assert_eq!(desk.store.undo_counts(id).unwrap(), expected.into());
        assert_eq!(desk.store.undone_tickets(id, UndoOutcome::Touched, "", 9).unwrap(), ["B"]);
    }

    #[test]
    fn jobs_are_listed_latest_first() {
        let desk = Desk::new();
        for fingerprint in 1..=3 {
            desk.create(None, fingerprint);
        }
        let ids = |before| {
            let jobs = desk.store.list_jobs(before, 2).unwrap();
            jobs.into_iter().map(|job| job.id.0).collect::<Vec<_>>()
        };
        assert_eq!((ids(None), ids(Some(JobId(2)))), (vec![3, 2], vec![1]));
    }
}
