//! A look at the database of a data directory that another process may hold: one state of it, which stays as it is while
//! the look lasts, and nothing is ever changed.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{DATABASE_FILE, StoreError, classify, migrations};

/// One state of a database, read only.
#[derive(Debug)]
pub struct DatabaseView {
    database: PathBuf,
    connection: Connection,
}

impl DatabaseView {
    /// Opens the database of `directory` as it is now.
    ///
    /// Fails where there is none, or where it is newer than this program or damaged.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::of_file(&directory.join(DATABASE_FILE))
    }

    /// As [`Self::open`], of a database in a file of another name.
    pub fn of_file(database: &Path) -> Result<Self, StoreError> {
        let view = Self::of_any_version(database)?;
        let (found, known) = (view.schema_version()?, migrations::known_version());
        if found > known || found < 0 {
            return Err(StoreError::NewerSchema { database: database.to_owned(), found, known });
        }
        Ok(view)
    }

    fn of_any_version(database: &Path) -> Result<Self, StoreError> {
        let failed = |source| classify(database.to_owned(), "opening", source);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags).map_err(failed)?;
        connection.busy_timeout(super::BUSY_TIMEOUT).map_err(failed)?;
        // Everything that is read from here on is read from one state.
        connection.execute_batch("BEGIN").map_err(failed)?;
        Ok(Self { database: database.to_owned(), connection })
    }

    /// The version of the schema, which a program that is older than the database does not know.
    pub fn schema_version(&self) -> Result<i64, StoreError> {
        let read = self.connection.pragma_query_value(None, "user_version", |row| row.get(0));
        read.map_err(self.failed("reading the schema version"))
    }

    /// Whether there is such a table: an older database may lack it.
    pub(super) fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let statement = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)";
        let found = self.connection().query_row(statement, [name], |row| row.get(0));
        found.map_err(self.failed("reading the schema"))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn failed(&self, operation: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let database = self.database.clone();
        move |source| classify(database.clone(), operation, source)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Store, *};

    #[test]
    fn a_view_looks_past_the_holder_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(DatabaseView::open(folder.path()), Err(StoreError::Database { .. })));
        let store = Store::open(folder.path()).unwrap();
        let view = DatabaseView::open(folder.path()).unwrap();
        assert_eq!(view.schema_version().unwrap(), migrations::known_version());
        let count =
            || -> i64 { view.connection().query_row("SELECT COUNT(*) FROM encoder", [], |row| row.get(0)).unwrap() };
        assert_eq!(count(), 0);
        store.keep_encoder(Some("one")).unwrap();
        assert_eq!(count(), 0);
        assert!(view.connection().execute("DELETE FROM encoder", []).is_err());
    }

    #[test]
    fn a_newer_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.writer().pragma_update(None, "user_version", 999).unwrap();
        let error = DatabaseView::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error}");
    }
}
