//! What a backup takes of a database, and what it needs to know of it; and whether a database is whole.

use std::{collections::BTreeSet, path::Path, time::Duration};

use rusqlite::{Connection, Row, backup::Backup};

use super::{DATABASE_FILE, DatabaseView, StoreError, classify, migrations};
use crate::domain::job::JobState;

/// Pages copied at a time, 4 MiB.
const PAGES: i32 = 1_024;
/// Problems of a database that are told one by one.
const MAX_PROBLEMS: usize = 20;

/// The name of the database within its data directory.
pub const DATABASE_NAME: &str = DATABASE_FILE;

impl DatabaseView {
    /// Writes the state that is looked at into a new file, as a database of its own.
    pub fn copy_to(&self, target: &Path) -> Result<(), StoreError> {
        let failed = |source| classify(target.to_owned(), "writing a copy", source);
        let mut copy = Connection::open(target).map_err(failed)?;
        let backup = Backup::new(self.connection(), &mut copy).map_err(failed)?;
        backup.run_to_completion(PAGES, Duration::ZERO, None).map_err(self.failed("copying"))
    }

    /// What is wrong with the file: pages, indexes, and rows that name others which are not there. Reads all of it.
    pub fn damage(&self) -> Result<Vec<String>, StoreError> {
        let check = || {
            let mut problems = Vec::new();
            let connection = self.connection();
            let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MAX_PROBLEMS})"))?;
            for line in statement.query_map([], |row| row.get::<_, String>(0))? {
                problems.push(line?);
            }
            problems.retain(|line| line != "ok");
            let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
            let dangling = |row: &Row<'_>| {
                let (table, of): (String, String) = (row.get(0)?, row.get(2)?);
                Ok(format!("a row of {table} names one of {of} that is not there"))
            };
            let dangling: BTreeSet<String> = statement.query_map([], dangling)?.collect::<Result<_, _>>()?;
            problems.extend(dangling.into_iter().take(MAX_PROBLEMS));
            Ok(problems)
        };
        match check().map_err(self.failed("checking")) {
            Err(StoreError::Damaged { source, .. }) => Ok(vec![source.to_string()]),
            checked => checked,
        }
    }

    /// Versions of the bundles that the database knows.
    pub fn model_versions(&self) -> Result<Vec<String>, StoreError> {
        self.column("models", "SELECT version FROM models ORDER BY version", "reading which models there are")
    }

    /// The version that the database has serve; `None`: the one inside the program.
    pub fn active_model(&self) -> Result<Option<String>, StoreError> {
        let statement =
            "SELECT version FROM (SELECT * FROM activations ORDER BY id DESC LIMIT 1) WHERE NOT is_embedded";
        Ok(self.column("activations", statement, "reading which model is active")?.pop())
    }

    /// Whether it is brought up to date when it is next used.
    pub fn is_older(&self) -> Result<bool, StoreError> {
        Ok(self.schema_version()? < migrations::known_version())
    }

    /// What jobs that still read their input are to do, as JSON.
    pub fn open_jobs(&self) -> Result<Vec<String>, StoreError> {
        let states =
            [JobState::Queued, JobState::Running, JobState::Paused].map(|state| format!("'{state}'")).join(", ");
        let statement = format!("SELECT specification FROM jobs WHERE state IN ({states}) ORDER BY id");
        self.column("jobs", &statement, "listing jobs")
    }

    /// As [`super::Store::encoder`].
    pub fn encoder(&self) -> Result<Option<String>, StoreError> {
        Ok(self.column("encoder", "SELECT record FROM encoder", "reading which encoder there is")?.pop())
    }

    /// The database's identity, and the last changes to articles and confirmed tickets: what an index is held against.
    pub fn state(&self) -> Result<(String, u64, u64), StoreError> {
        let failed = self.failed("reading the last changes");
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let connection = self.connection();
        let (identity, articles) =
            connection.query_row("SELECT identity, last FROM change_counter", [], read).map_err(&failed)?;
        let tickets = if self.has_table("memory_counter")? {
            connection.query_row("SELECT last FROM memory_counter", [], |row| row.get(0)).map_err(&failed)?
        } else {
            0
        };
        Ok((identity, articles, tickets))
    }

    /// The texts of one column; none where the database is from before there was such a table.
    fn column(&self, table: &str, statement: &str, operation: &'static str) -> Result<Vec<String>, StoreError> {
        if !self.has_table(table)? {
            return Ok(Vec::new());
        }
        let read = || {
            let mut statement = self.connection().prepare(statement)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<Result<_, _>>()
        };
        read().map_err(self.failed(operation))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Store, *};

    #[test]
    fn a_copy_holds_one_state_whatever_is_written_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.keep_encoder(Some("one")).unwrap();
        let view = DatabaseView::open(folder.path()).unwrap();
        assert_eq!(view.encoder().unwrap().as_deref(), Some("one"));
        store.keep_encoder(Some("two")).unwrap();
        let copy = folder.path().join("copy");
        view.copy_to(&copy).unwrap();
        let copied = DatabaseView::of_file(&copy).unwrap();
        assert_eq!(copied.encoder().unwrap().as_deref(), Some("one"));
        assert_eq!(copied.damage().unwrap(), Vec::<String>::new());
        assert_eq!(copied.state().unwrap(), view.state().unwrap());
        assert!(copied.model_versions().unwrap().is_empty() && copied.open_jobs().unwrap().is_empty());
    }

    #[test]
    fn damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store
            .writer()
            .execute_batch("PRAGMA foreign_keys = OFF; INSERT INTO job_chunks VALUES (9, 0, 0, 0, 0, 0, x'', x'')")
            .unwrap();
        drop(store);
        let damage = DatabaseView::open(folder.path()).unwrap().damage().unwrap();
        assert_eq!(damage, ["a row of job_chunks names one of jobs that is not there"]);
    }
}
