//! The ids that a job or an import has come across. They stand on disk, beside the database, so that memory stays the same however
//! many there are. Nobody else sees them, and they are gone with the process: what a killed job came across is read
//! back from its chunks.

use std::{fs, path::Path};

use rusqlite::{Connection, params};

use super::{Store, StoreError};
use crate::domain::job::JobId;

/// What is held of them in memory, in KiB.
const CACHE_KIB: i64 = 8 << 10;
/// Chunks whose ids are read back at once: about 1 MiB.
const CHUNKS_READ: usize = 64;

/// Hashes of ids, each once.
#[derive(Debug)]
pub struct SeenIds {
    connection: Connection,
    store: Store,
}

impl Store {
    /// The ids that the committed chunks of a job brought.
    pub fn ids_seen_by(&self, id: JobId) -> Result<SeenIds, StoreError> {
        let mut seen = self.seen_ids(&format!("job-{id}"))?;
        let mut chunk = 0;
        loop {
            let hashes = self.job_id_hashes(id, chunk, CHUNKS_READ)?;
            if hashes.is_empty() {
                return Ok(seen);
            }
            chunk += hashes.len() as u64;
            let mut hashes: Vec<u64> = hashes.iter().flat_map(|hashes| read(hashes)).collect();
            // Neighbours stand on one page.
            hashes.sort_unstable();
            for hash in hashes {
                seen.insert(hash)?;
            }
        }
    }

    /// No ids yet; `name` tells them from those of others at the same time.
    pub fn seen_ids(&self, name: &str) -> Result<SeenIds, StoreError> {
        let path = self.shared.database.with_file_name(format!("{name}-ids.tmp"));
        let connection = anew(&path).map_err(self.failed("making room for ids"))?;
        Ok(SeenIds { connection, store: self.clone() })
    }
}

impl SeenIds {
    /// Whether this hash is new.
    pub fn insert(&mut self, hash: u64) -> Result<bool, StoreError> {
        let failed = self.store.failed("looking for an id");
        let mut statement =
            self.connection.prepare_cached("INSERT OR IGNORE INTO seen VALUES (?1)").map_err(&failed)?;
        let added = statement.execute(params![hash.cast_signed()]).map_err(&failed)?;
        Ok(added > 0)
    }
}

/// The hashes as a chunk keeps them, eight bytes each.
fn read(hashes: &[u8]) -> impl Iterator<Item = u64> {
    let (hashes, _) = hashes.as_chunks();
    hashes.iter().map(|hash| u64::from_le_bytes(*hash))
}

/// An empty table in a file that has no name once it is open, where the system allows that.
fn anew(path: &Path) -> rusqlite::Result<Connection> {
    // Left by a process that was killed where it could not be unnamed.
    fs::remove_file(path).ok();
    let connection = Connection::open(path)?;
    // Nothing of it is to survive.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.execute_batch("CREATE TABLE seen (hash INTEGER PRIMARY KEY); BEGIN")?;
    fs::remove_file(path).ok();
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut seen = store.ids_seen_by(JobId(7)).unwrap();
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..50_000 {
            assert!(seen.insert(hash(number)).unwrap(), "{number}");
        }
        for number in 49_990..50_010 {
            assert_eq!(seen.insert(hash(number)).unwrap(), number >= 50_000, "{number}");
        }
        assert!(!seen.insert(hash(0)).unwrap());
        assert!(seen.insert(u64::MAX).unwrap());
        drop(seen);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("ids")), "{left:?}");
        assert!(store.ids_seen_by(JobId(7)).unwrap().insert(u64::MAX).unwrap(), "another turn begins anew");
    }
}
