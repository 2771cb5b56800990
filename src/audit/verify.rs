//! Reads the whole log and says what of it was changed or removed.

use std::{fmt, path::Path};

use super::{
    AuditError,
    chain::{self, KEY_FILE, Key, NOTHING},
};
use crate::store::{AuditHead, AuditRow, DatabaseView};

/// Entries read at a time.
const PAGE: usize = 5_000;
/// Problems that are told one by one.
const MAX_PROBLEMS: usize = 100;

/// An entry that was written down elsewhere, by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    pub sequence: u64,
    pub hash: [u8; 32],
}

/// Something that whoever has no key cannot have left as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// These entries are gone, the last one included.
    Missing {
        first: u64,
        last: u64,
    },
    /// The entry is not what was written.
    Changed {
        sequence: u64,
    },
    /// What names the last entry was changed, or is gone, in the database or in its file.
    Head(String),
    /// The entry that was written down is gone, or another one stands in its place.
    NotAsNoted {
        sequence: u64,
    },
    NoKey,
    /// So many more.
    More(u64),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { first, last } if first == last => write!(f, "entry {first} was removed"),
            Self::Missing { first, last } => write!(f, "entries {first} to {last} were removed"),
            Self::Changed { sequence } => {
                write!(f, "entry {sequence} was changed, or not written by this program with this key")
            }
            Self::Head(what) => f.write_str(what),
            Self::NotAsNoted { sequence } => write!(f, "entry {sequence} is not the one that was written down"),
            Self::NoKey => {
                write!(f, "{KEY_FILE} is gone: put it back from a backup; nothing can be verified without it")
            }
            Self::More(count) => write!(f, "{count} more"),
        }
    }
}

/// What reading the log came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries that are there.
    pub entries: u64,
    /// The last one; `None` where there is none.
    pub head: Option<Noted>,
    /// Empty: the log is as it was written.
    pub problems: Vec<Problem>,
}

/// Reads the whole log of a data directory, whoever holds it. `noted` must be in it.
pub fn verify(directory: &Path, noted: Option<&Noted>) -> Result<Verified, AuditError> {
    // Before the database: it never names an entry that is not there yet.
    let in_file = chain::read_head(directory);
    let key = Key::load(directory);
    let view = DatabaseView::open(directory)?;
    let kept = view.audit_head()?;
    let mut reading = Reading::default();
    let key = match key {
        Ok(Some(key)) => key,
        // No entry was ever written.
        Ok(None) if kept.is_none() && view.audit_rows(0, 1)?.is_empty() => {
            return Ok(Verified { entries: 0, head: None, problems: Vec::new() });
        }
        Ok(None) | Err(AuditError::NoKey(_)) => {
            return Ok(Verified { entries: 0, head: None, problems: vec![Problem::NoKey] });
        }
        Err(error) => return Err(error),
    };
    loop {
        let rows = view.audit_rows(reading.last.sequence, PAGE)?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            reading.read(&key, row, noted);
        }
    }
    reading.end(&key, kept, in_file.map_err(|error| error.to_string()), noted);
    Ok(reading.verified())
}

struct Reading {
    entries: u64,
    last: Noted,
    has_noted: bool,
    problems: Vec<Problem>,
    more: u64,
}

impl Default for Reading {
    fn default() -> Self {
        let last = Noted { sequence: 0, hash: NOTHING };
        Self { entries: 0, last, has_noted: false, problems: Vec::new(), more: 0 }
    }
}

impl Reading {
    fn read(&mut self, key: &Key, row: &AuditRow, noted: Option<&Noted>) {
        let expected = self.last.sequence + 1;
        let follows = row.sequence == expected;
        if !follows {
            self.tell(Problem::Missing { first: expected, last: row.sequence - 1 });
        }
        // Behind a gap nobody can tell what it was chained to: that it is gone was said already.
        if follows && key.hash(&self.last.hash, row) != row.hash {
            self.tell(Problem::Changed { sequence: row.sequence });
        }
        self.entries += 1;
        self.last = Noted { sequence: row.sequence, hash: row.hash };
        self.has_noted |= noted == Some(&self.last);
    }

    fn end(
        &mut self,
        key: &Key,
        kept: Option<AuditHead>,
        in_file: Result<Option<AuditHead>, String>,
        noted: Option<&Noted>,
    ) {
        match kept {
            // Written with the last entry: it is behind only where an older one was put in its place.
            Some(head) if head.sequence < self.last.sequence => {
                self.tell(Problem::Head("the database names an earlier entry than the last one".into()));
            }
            Some(head) => self.check_head(key, &head, "the database"),
            None if self.entries > 0 => self.tell(Problem::Head("the database no longer names the last entry".into())),
            None => {}
        }
        match in_file {
            Ok(Some(head)) => self.check_head(key, &head, chain::HEAD_FILE),
            Ok(None) => self.tell(Problem::Head(format!("{} is gone", chain::HEAD_FILE))),
            Err(problem) => self.tell(Problem::Head(problem)),
        }
        if let Some(noted) = noted.filter(|_| !self.has_noted) {
            self.tell(Problem::NotAsNoted { sequence: noted.sequence });
        }
    }

    fn check_head(&mut self, key: &Key, head: &AuditHead, place: &str) {
        if !key.vouches_for(head) {
            self.tell(Problem::Head(format!("what {place} says of the last entry was changed")));
        } else if head.sequence > self.last.sequence {
            let missing = Problem::Missing { first: self.last.sequence + 1, last: head.sequence };
            if !self.problems.contains(&missing) {
                self.tell(missing);
            }
        } else if head.sequence == self.last.sequence && head.hash != self.last.hash {
            self.tell(Problem::Head(format!("{place} names another last entry than the one that is there")));
        }
    }

    fn tell(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn verified(mut self) -> Verified {
        if self.more > 0 {
            self.problems.push(Problem::More(self.more));
        }
        let head = (self.entries > 0).then_some(self.last);
        Verified { entries: self.entries, head, problems: self.problems }
    }
}
