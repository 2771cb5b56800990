//! What articles and confirmed tickets have in common: what became of those of an import, and the sequence of changes
//! that an index follows.

use rusqlite::Row;
use sha2::{Digest, Sha256};

/// A page of changes ends behind this many bytes of text, so that following them takes bounded memory.
pub(super) const CHANGES_PAGE_BYTES: usize = 4 << 20;

/// What became of the records of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportCounts {
    /// New ones.
    pub imported: u64,
    /// Ones that replaced another text.
    pub updated: u64,
    /// Ones that were there, the same.
    pub unchanged: u64,
}

impl std::ops::AddAssign for ImportCounts {
    fn add_assign(&mut self, other: Self) {
        self.imported += other.imported;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
    }
}

/// One step in the history of the records of a kind; of several changes to one record only the last is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    /// Position in the history; grows with every change, from 1.
    pub sequence: u64,
    pub id: String,
    /// The record since then; `None` when it was deleted.
    pub record: Option<T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    New,
    Changed,
    Same,
}

impl Effect {
    /// What writing content of this hash over the known one does.
    pub(super) fn of(known: Option<[u8; 32]>, hash: [u8; 32]) -> Self {
        match known {
            None => Self::New,
            Some(known) if known == hash => Self::Same,
            Some(_) => Self::Changed,
        }
    }
}

impl ImportCounts {
    pub(super) fn add(&mut self, effect: Effect) {
        match effect {
            Effect::New => self.imported += 1,
            Effect::Changed => self.updated += 1,
            Effect::Same => self.unchanged += 1,
        }
    }
}

/// SHA-256 over parts, each with its length, so that text moved from one to the next is another content.
#[derive(Default)]
pub(super) struct ContentHash(Sha256);

impl ContentHash {
    pub(super) fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// A value that only this program writes; another one means that the file was edited by other means.
pub(super) fn closed<T>(row: &Row<'_>, column: &str, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let raw: String = row.get(column)?;
    parse(&raw).ok_or_else(|| {
        let problem = format!("`{raw}` in column {column} was not written by this program");
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, problem.into())
    })
}

/// As [`closed`], for a column that may be null.
pub(super) fn closed_or_null<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> rusqlite::Result<Option<T>> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(None),
        Some(_) => closed(row, column, parse).map(Some),
    }
}
