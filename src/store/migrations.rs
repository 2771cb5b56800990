//! Brings a database from the schema version it has to the one this program knows, in one transaction, at start.
//! A newer database is refused: an older program would misread it.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, classify};

/// The n-th brings version n to n + 1. Append; never edit one that was released.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_articles.sql")];

pub(super) fn apply(connection: &mut Connection, database: &Path) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let failed = |source| classify(database.to_owned(), "migrating", source);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > known || found < 0 {
        return Err(StoreError::NewerSchema { database: database.to_owned(), found, known });
    }
    let pending = &MIGRATIONS[usize::try_from(found).unwrap_or(MIGRATIONS.len())..];
    if pending.is_empty() {
        return Ok(());
    }
    for migration in pending {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    tracing::info!(from = found, to = known, "database migrated");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::Store, *};

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let database = folder.path().join(super::super::DATABASE_FILE);
        Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
        let version: i64 =
            Connection::open(&database).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 99);
    }

    #[test]
    fn opening_again_migrates_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        for _ in 0..2 {
            apply(&mut connection, Path::new("test")).unwrap();
        }
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(version).unwrap(), MIGRATIONS.len());
    }
}
