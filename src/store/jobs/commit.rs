//! Commits a chunk of a job with everything that follows from it, whole or not at all.

use std::{borrow::Cow, collections::BTreeMap};

use rusqlite::{Transaction, TransactionBehavior, params};

use super::super::{Store, StoreError, changes::ImportCounts, memory};
use crate::domain::{
    job::{JobCounts, JobId, JobState},
    memory::ConfirmedTicket,
};

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

impl Store {
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
