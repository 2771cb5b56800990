//! The audit log as rows. What their hashes mean, and what an entry may hold, is `audit`'s business.

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::{DatabaseView, Store, StoreError};

const COLUMNS: &str = "sequence, at_ms, caller, action, outcome, details, hash";

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// From 1, without gaps.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub caller: String,
    pub action: String,
    pub outcome: String,
    pub details: String,
    pub hash: [u8; 32],
}

/// The last entry by number and hash, with a code that only who has the key can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    pub sequence: u64,
    pub hash: [u8; 32],
    pub mac: [u8; 32],
}

impl Store {
    /// Adds entries, and names the last one; durable when it returns.
    pub fn append_audit(&self, rows: &[AuditRow], head: &AuditHead) -> Result<(), StoreError> {
        let failed = self.failed("writing the audit log");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let insert = || {
            let statement = format!("INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
            let mut statement = transaction.prepare_cached(&statement)?;
            for AuditRow { sequence, at_ms, caller, action, outcome, details, hash } in rows {
                statement.execute(params![sequence, at_ms, caller, action, outcome, details, hash])?;
            }
            transaction.execute(
                "INSERT INTO audit_head (only_row, sequence, hash, mac) VALUES (1, ?1, ?2, ?3) ON CONFLICT (only_row) \
                 DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, mac = excluded.mac",
                params![head.sequence, head.hash, head.mac],
            )
        };
        insert().map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }

    /// What names the last entry; `None` before the first.
    pub fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        head(&self.reader()).map_err(self.failed("reading the audit log"))
    }

    /// The number of the last entry that is there; 0 where there is none.
    pub fn last_audit_sequence(&self) -> Result<u64, StoreError> {
        let statement = "SELECT COALESCE(MAX(sequence), 0) FROM audit";
        let read = self.reader().query_row(statement, [], |row| row.get(0));
        read.map_err(self.failed("reading the audit log"))
    }

    /// Bytes that nobody can guess.
    pub fn random_key(&self) -> Result<[u8; 32], StoreError> {
        let read = self.reader().query_row("SELECT randomblob(32)", [], |row| row.get(0));
        read.map_err(self.failed("making a key"))
    }
}

impl DatabaseView {
    /// As [`Store::audit_head`].
    pub fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        if !self.has_table("audit_head")? {
            return Ok(None);
        }
        head(self.connection()).map_err(self.failed("reading the audit log"))
    }

    /// Entries behind `after`, oldest first; at most `limit`.
    pub fn audit_rows(&self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.read_audit("WHERE sequence > ?1 ORDER BY sequence LIMIT ?2", after, limit)
    }

    /// The latest entries, the last one first; at most `limit`.
    pub fn latest_audit_rows(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.read_audit("WHERE sequence > ?1 ORDER BY sequence DESC LIMIT ?2", 0, limit)
    }

    fn read_audit(&self, which: &str, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let failed = self.failed("reading the audit log");
        if !self.has_table("audit")? {
            return Ok(Vec::new());
        }
        let statement = format!("SELECT {COLUMNS} FROM audit {which}");
        let mut statement = self.connection().prepare_cached(&statement).map_err(&failed)?;
        let rows = statement.query_map(params![after, limit], audit_row).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }
}

fn head(connection: &Connection) -> rusqlite::Result<Option<AuditHead>> {
    let read = |row: &Row<'_>| Ok(AuditHead { sequence: row.get(0)?, hash: row.get(1)?, mac: row.get(2)? });
    connection.query_row("SELECT sequence, hash, mac FROM audit_head", [], read).optional()
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: row.get(0)?,
        at_ms: row.get(1)?,
        caller: row.get(2)?,
        action: row.get(3)?,
        outcome: row.get(4)?,
        details: row.get(5)?,
        hash: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_not_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!((store.audit_head().unwrap(), store.last_audit_sequence().unwrap()), (None, 0));
        let row = |sequence: u64| AuditRow {
            sequence,
            at_ms: 1_700_000_000_000,
            caller: "desk".to_owned(),
            action: "kb import".to_owned(),
            outcome: "OK".to_owned(),
            details: "{}".to_owned(),
            hash: [7; 32],
        };
        let head = AuditHead { sequence: 2, hash: [7; 32], mac: [8; 32] };
        store.append_audit(&[row(1), row(2)], &head).unwrap();
        assert_eq!((store.audit_head().unwrap(), store.last_audit_sequence().unwrap()), (Some(head), 2));
        let view = DatabaseView::open(folder.path()).unwrap();
        assert_eq!(view.audit_rows(1, 10).unwrap(), [row(2)]);
        assert_eq!(view.latest_audit_rows(1).unwrap(), [row(2)]);
        for statement in ["UPDATE audit SET caller = 'x'", "DELETE FROM audit WHERE sequence = 2"] {
            let error = store.writer().execute(statement, []).unwrap_err().to_string();
            assert!(error.contains("audit log are not"), "{error}");
        }
        // A number that is taken is not written over.
        store.append_audit(&[row(2)], &head).unwrap_err();
        assert_eq!(store.last_audit_sequence().unwrap(), 2);
    }
}
