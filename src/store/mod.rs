//! The `Store`: one SQLite database under the data directory, the source of truth for everything that is kept.
//! It decides who may open a directory (one process at a time) and brings the schema up to date, at start only.
//! SQL stands in this module and nowhere else, and stays portable: PostgreSQL may come behind the same handle.
//! Calls block; callers run them on the compute pool.

mod article_versions;
mod articles;
mod audit;
mod changes;
mod decision_feedback;
mod encoder;
mod feedback;
mod jobs;
mod learned;
mod lock;
mod memory;
mod migrations;
mod models;
mod overlay;
mod seen_ids;
mod snapshot;
mod taxonomy;
mod trust;
mod view;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

pub use self::{
    article_versions::{ArticleText, KEPT_VERSIONS, VersionPage},
    articles::{ArticleFilter, ArticlePage},
    audit::{AuditHead, AuditRow},
    changes::{Change, ImportCounts},
    decision_feedback::{FeedbackFilter, LeanRow, Withdrawn},
    jobs::{ChunkCommit, Committed, Created, Imported, JobChunk, JobOrigin, JobRecord, NewJob, Relabelled},
    lock::DirectoryLock,
    memory::MemoryPage,
    models::{ModelRecord, NewActivation},
    seen_ids::SeenIds,
    snapshot::DATABASE_NAME,
    taxonomy::{NewTaxonomy, TaxonomyRecord},
    trust::{ByLabel, PromiseRow},
    view::DatabaseView,
};
use crate::error::TriageError;

const DATABASE_FILE: &str = "triage.sqlite3";
/// How long a connection waits for one that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a store can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "data directory {} is held by another process{}: stop it, or talk to the \
         running server (--server ADDRESS) where the command can",
        directory.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Held { directory: PathBuf, pid: Option<u32> },
    #[error("{} is not a directory: name another with --data-dir", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "cannot write in data directory {}: {source}; give this user the right to write there, \
         or name another directory with --data-dir",
        directory.display()
    )]
    NotWritable { directory: PathBuf, source: io::Error },
    #[error(
        "database {} has schema version {found}, this program knows versions up to {known}: \
         use the newer program that wrote it, or restore a backup made before the upgrade",
        database.display()
    )]
    NewerSchema { database: PathBuf, found: i64, known: i64 },
    #[error("database {} is damaged ({source}): restore it from a backup", database.display())]
    Damaged { database: PathBuf, source: rusqlite::Error },
    #[error("{operation} in database {}: {source}", database.display())]
    Database { database: PathBuf, operation: &'static str, source: rusqlite::Error },
}

impl From<StoreError> for TriageError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

/// A cheap handle on the database of one data directory; the directory is held until the last clone is gone.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: PathBuf,
    writer: Mutex<Connection>,
    /// Of its own, so that an import does not hold up reading (write-ahead logging lets both go on).
    reader: Mutex<Connection>,
    /// Stands last for its drop: the directory is given back behind both connections.
    _lock: DirectoryLock,
}

impl Store {
    /// Whether a database was ever kept in `directory`.
    pub fn exists(directory: &Path) -> bool {
        directory.join(DATABASE_FILE).exists()
    }

    /// Takes hold of `directory`, creating it when absent, and opens its database, migrating it when older.
    ///
    /// Fails when another process holds the directory, it cannot be written, or the database is newer or damaged.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        let database = directory.join(DATABASE_FILE);
        let failed = |operation| {
            let database = database.clone();
            move |source| classify(database, operation, source)
        };
        let mut writer = connect(&database).map_err(failed("opening"))?;
        migrations::apply(&mut writer, &database)?;
        let reader = connect(&database).map_err(failed("opening"))?;
        let shared = Shared { database, writer: Mutex::new(writer), reader: Mutex::new(reader), _lock: lock };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held rolled its transaction back: the connection is sound.
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the database grow to so many pages and no further, as a full disk would.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.writer().query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }

    fn failed(&self, operation: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let database = self.shared.database.clone();
        move |source| classify(database.clone(), operation, source)
    }
}

fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With FULL a commit that was reported survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten with zeros: the text of a deleted ticket is not to be found in the file.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

fn classify(database: PathBuf, operation: &'static str, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            StoreError::Damaged { database, source }
        }
        _ => StoreError::Database { database, operation, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_created_and_held_until_the_last_handle_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("new").join("data");
        let store = Store::open(&directory).unwrap();
        let clone = store.clone();
        drop(store);
        let error = Store::open(&directory).unwrap_err();
        assert!(matches!(error, StoreError::Held { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
        assert!(
            error.to_string().contains("or talk to the running server (--server ADDRESS) where the command can"),
            "{error}"
        );
        drop(clone);
        Store::open(&directory).unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, "").unwrap();
        for path in [path.clone(), path.join("below")] {
            let error = Store::open(&path).unwrap_err();
            assert!(matches!(error, StoreError::NotADirectory(_)), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_directory_is_named_with_the_way_out() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o555)).unwrap();
        if std::fs::write(directory.join("probe"), "").is_ok() {
            return; // this user may write everywhere
        }
        let error = Store::open(&directory).unwrap_err();
        assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(DATABASE_FILE),
            "not a database, but long enough to look like one ".repeat(99),
        )
        .unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_commit_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mode: String = store.writer().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        let synchronous: i64 = store.writer().query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    }
}
