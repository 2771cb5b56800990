//! The entry of a command while it is at work. A command holds its data directory, log included, and may be killed: so
//! its entry lies in a file of its own from its beginning on, and whoever opens the log next puts it there.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{AuditEntry, AuditError, Details, chain};

/// Where the entry lies within the data directory.
pub const PENDING_FILE: &str = "audit.pending";
/// What becomes of a command that never said what became of it.
const INTERRUPTED: &str = "INTERRUPTED";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    at_ms: u64,
    caller: String,
    action: String,
    outcome: String,
    details: Details,
}

/// Notes that a command begins. The caller holds the data directory, and has opened its log: so no other entry waits.
pub fn begin(directory: &Path, caller: &str, action: &str, subjects: &[String]) -> Result<(), AuditError> {
    let entry =
        AuditEntry::new(caller, action, INTERRUPTED).with_subjects(subjects.iter().map(String::as_str).collect());
    keep(directory, entry)
}

/// Notes what became of the command that began; it had nothing to begin with where the directory is new.
pub fn conclude(directory: &Path, entry: AuditEntry) -> Result<(), AuditError> {
    let began = left_behind(directory)?.map(|began| began.at_ms);
    keep(directory, AuditEntry { at_ms: began.unwrap_or(entry.at_ms), ..entry })
}

fn keep(directory: &Path, entry: AuditEntry) -> Result<(), AuditError> {
    let path = directory.join(PENDING_FILE);
    let AuditEntry { at_ms, caller, action, outcome, details } = entry;
    let pending = Pending { at_ms, caller, action, outcome, details };
    let text = serde_json::to_vec(&pending).map_err(|error| AuditError::file(&path, error.into()))?;
    chain::replace(&path, &text).map_err(|source| AuditError::file(&path, source))
}

/// The entry that waits; `None` where none does.
pub(super) fn left_behind(directory: &Path) -> Result<Option<AuditEntry>, AuditError> {
    let path = directory.join(PENDING_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AuditError::file(&path, source)),
    };
    // Something else under this name is somebody's doing, and no reason not to serve.
    let entry = match serde_json::from_slice(&text) {
        Ok(Pending { at_ms, caller, action, outcome, details }) => {
            AuditEntry { at_ms, details, ..AuditEntry::new(&caller, &action, &outcome) }
        }
        Err(_) => AuditEntry::new("", PENDING_FILE, "UNREADABLE"),
    };
    Ok(Some(entry))
}

/// The entry stands in the log.
pub(super) fn end(directory: &Path) -> Result<(), AuditError> {
    let path = directory.join(PENDING_FILE);
    fs::remove_file(&path).map_err(|source| AuditError::file(&path, source))
}

#[cfg(test)]
mod tests {
    use super::{super::AuditLog, *};
    use crate::store::{DatabaseView, Store};

    #[test]
    fn a_command_has_one_entry_whether_it_ends_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || AuditLog::open(Store::open(folder.path()).unwrap(), folder.path()).unwrap();
        let outcomes = || {
            let rows = DatabaseView::open(folder.path()).unwrap().audit_rows(0, 10).unwrap();
            rows.into_iter().map(|row| format!("{} {}", row.action, row.outcome)).collect::<Vec<_>>()
        };
        drop(open());
        begin(folder.path(), "me", "kb import", &[]).unwrap();
        drop(open());
        assert_eq!(outcomes(), ["kb import INTERRUPTED"]);

        begin(folder.path(), "me", "kb delete", &["KB1".to_owned()]).unwrap();
        conclude(folder.path(), AuditEntry::new("me", "kb delete", "OK")).unwrap();
        drop(open());
        drop(open());
        assert_eq!(outcomes(), ["kb import INTERRUPTED", "kb delete OK"]);

        fs::write(folder.path().join(PENDING_FILE), "{").unwrap();
        drop(open());
        assert_eq!(outcomes().last().unwrap(), "audit.pending UNREADABLE");
    }
}
