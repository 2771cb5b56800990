//! Takes back what a job changed in the memory, and says what that came to ticket by ticket.

use std::collections::BTreeMap;

use rusqlite::{Row, Transaction, TransactionBehavior, params};

use super::super::{Store, StoreError, changes::closed, memory};
use crate::domain::job::{JobId, UndoOutcome};

impl Store {
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
pub(in super::super) fn forget_ticket(transaction: &Transaction<'_>, ticket_id: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE job_changes SET previous = '{}' WHERE ticket_id = ?1")?
        .execute([ticket_id])
        .map(|_| ())
}
