//! Brings a database from the schema version it has to the one this program knows, in one transaction, at start.
//! A newer database is refused: an older program would misread it.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, classify};

/// The n-th brings version n to n + 1. Append; never edit one that was released.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_articles.sql"),
    include_str!("migrations/0002_memory.sql"),
    include_str!("migrations/0003_article_feedback.sql"),
    include_str!("migrations/0004_learned.sql"),
    include_str!("migrations/0005_jobs.sql"),
    include_str!("migrations/0006_feedback.sql"),
    include_str!("migrations/0007_taxonomy.sql"),
    include_str!("migrations/0008_models.sql"),
    include_str!("migrations/0009_trust.sql"),
    include_str!("migrations/0010_article_versions.sql"),
    include_str!("migrations/0011_encoder.sql"),
    include_str!("migrations/0012_audit.sql"),
];

/// The version of the schema that this program works with.
pub(super) fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

pub(super) fn apply(connection: &mut Connection, database: &Path) -> Result<(), StoreError> {
    let known = known_version();
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
    use crate::domain::article::{Article, ArticleKind};

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

    #[test]
    fn a_database_of_an_older_version_is_brought_up_to_date_and_keeps_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join(super::super::DATABASE_FILE);
        let older = Connection::open(&database).unwrap();
        older.execute_batch(MIGRATIONS[0]).unwrap();
        let columns = "id, title, summary, body, kind, status, products, content_hash, sequence";
        let article =
            format!("INSERT INTO articles ({columns}) VALUES ('a', 'T', '', '', 'faq', 'draft', '[]', x'', 7)");
        older.execute(&article, []).unwrap();
        older.execute("UPDATE change_counter SET last = 7", []).unwrap();
        older.pragma_update(None, "user_version", 1).unwrap();
        let identity: String = older.query_row("SELECT identity FROM change_counter", [], |row| row.get(0)).unwrap();
        drop(older);

        let store = Store::open(folder.path()).unwrap();
        let article = store.article("a").unwrap().unwrap();
        assert_eq!((article.title.as_str(), article.version, article.known_error.is_empty()), ("T", 1, true));
        let versions = store.article_versions("a", None, 10).unwrap().unwrap().versions;
        assert_eq!((versions.len(), versions[0].version, versions[0].made_at), (1, 1, None));
        assert_eq!((store.identity().unwrap(), store.last_change().unwrap()), (identity, 7));
        assert_eq!((store.count_memory_tickets().unwrap(), store.last_memory_change().unwrap()), (0, 0));
    }

    #[test]
    fn articles_from_before_versions_were_kept_are_the_first_of_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join(super::super::DATABASE_FILE);
        let older = Connection::open(&database).unwrap();
        for migration in &MIGRATIONS[..9] {
            older.execute_batch(migration).unwrap();
        }
        // As the program before wrote an article with the title T and the body B.
        older
            .execute_batch(
                "INSERT INTO articles (id, title, summary, body, kind, status, products, content_hash, sequence) \
                 VALUES ('a', 'T', '', 'B', 'known_error', 'published', '[]', \
                 x'e9722fbdbceca31a52b65b010afb9437b19c465157c20f7fc18740d0e4324ef9', 1); \
                 INSERT INTO deleted_articles (id, sequence) VALUES ('b', 2); \
                 UPDATE change_counter SET last = 2;",
            )
            .unwrap();
        older.pragma_update(None, "user_version", 9).unwrap();
        drop(older);

        let store = Store::open(folder.path()).unwrap();
        let article = |id: &str, body: &str| Article {
            id: id.into(),
            title: "T".into(),
            body: body.into(),
            kind: ArticleKind::KnownError,
            ..Article::default()
        };
        let counts = store.upsert_articles(&[article("a", "B"), article("b", "B")], 5).unwrap();
        assert_eq!((counts.imported, counts.updated, counts.unchanged), (1, 0, 1), "what is the same stays the same");
        store.upsert_articles(&[article("a", "C")], 6).unwrap();
        let text = |id: &str, version: u32| store.article_text(id, Some(version)).unwrap().unwrap();
        assert_eq!((text("a", 1).article.body.as_str(), text("a", 1).made_at), ("B", None));
        assert_eq!((text("a", 2).article.body.as_str(), text("a", 2).made_at), ("C", Some(6)));
        assert_eq!(text("b", 1).made_at, Some(5));
    }
}
