//! The texts that an article had before: kept when it is changed or deleted, in the transaction of the change, so that
//! an answer can be traced to the text it came from. Only the newest are kept, and none once they are erased.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    Store, StoreError,
    articles::{COLUMNS, read_article},
    changes::closed,
};
use crate::domain::{
    article::{Article, ArticleStatus},
    known_error::ArticleVersion,
};

/// So many texts of an article are kept, the one in force included.
pub const KEPT_VERSIONS: u32 = 100;

/// One text of an article, and where it stands among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArticleText {
    pub article: Article,
    /// As in [`ArticleVersion`].
    pub made_at: Option<u64>,
    /// The version in force; 0 where the article was deleted.
    pub current_version: u32,
}

/// A part of the versions of an article.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionPage {
    /// The latest first.
    pub versions: Vec<ArticleVersion>,
    /// Whether earlier ones follow.
    pub more: bool,
}

impl Store {
    /// The text of an article in force, or that of a version; `None` where there is no such article, or where that
    /// version never was or is not kept.
    pub fn article_text(&self, id: &str, version: Option<u32>) -> Result<Option<ArticleText>, StoreError> {
        text(&self.reader(), id, version).map_err(self.failed("reading a version of an article"))
    }

    /// The versions of an article that are kept, the latest first and those behind `before` only; at most `limit`. `None`
    /// where nothing of the article is kept.
    pub fn article_versions(
        &self,
        id: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Option<VersionPage>, StoreError> {
        let failed = self.failed("listing the versions of an article");
        let reader = self.reader();
        if kept(&reader, id).map_err(&failed)?.is_none() {
            return Ok(None);
        }
        versions(&reader, id, before.unwrap_or(u32::MAX), limit).map(Some).map_err(&failed)
    }

    /// The first and the last version of an article that are kept.
    pub fn kept_article_versions(&self, id: &str) -> Result<Option<(u32, u32)>, StoreError> {
        kept(&self.reader(), id).map_err(self.failed("looking for the versions of an article"))
    }
}

/// Keeps the text in force as an earlier one, before another takes its place.
pub(super) fn keep(transaction: &Transaction<'_>, id: &str, version: u32) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(&format!(
            "INSERT INTO article_versions ({COLUMNS}) SELECT {COLUMNS} FROM articles WHERE id = ?1"
        ))?
        .execute([id])?;
    // The next one is in force then, and counts too.
    transaction
        .prepare_cached("DELETE FROM article_versions WHERE id = ?1 AND version <= ?2")?
        .execute(params![id, (version + 1).saturating_sub(KEPT_VERSIONS)])
        .map(|_| ())
}

/// The version of an article that is created: the first, or the one behind those that it had.
pub(super) fn next_of_deleted(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<u32> {
    let last: Option<u32> = transaction
        .prepare_cached("SELECT last_version FROM deleted_articles WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0) + 1)
}

/// Whether anything was kept.
pub(super) fn erase(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    Ok(transaction.execute("DELETE FROM article_versions WHERE id = ?1", [id])? > 0)
}

fn text(connection: &Connection, id: &str, version: Option<u32>) -> rusqlite::Result<Option<ArticleText>> {
    let read = |row: &Row<'_>| Ok((read_article(row)?, row.get("made_at")?));
    let current = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM articles WHERE id = ?1"))?
        .query_row([id], read)
        .optional()?;
    let current_version = current.as_ref().map_or(0, |(article, _)| article.version);
    let found = match version {
        Some(version) if version != current_version => connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM article_versions WHERE id = ?1 AND version = ?2"))?
            .query_row(params![id, version], read)
            .optional()?,
        Some(_) | None => current,
    };
    Ok(found.map(|(article, made_at)| ArticleText { article, made_at, current_version }))
}

const ALL_VERSIONS: &str = "SELECT version, made_at, title, status FROM articles WHERE id = ?1 \
     UNION ALL SELECT version, made_at, title, status FROM article_versions WHERE id = ?1";

fn kept(connection: &Connection, id: &str) -> rusqlite::Result<Option<(u32, u32)>> {
    connection
        .prepare_cached(&format!("SELECT MIN(version), MAX(version) FROM ({ALL_VERSIONS}) AS every_version"))?
        .query_row([id], |row| {
            let (first, last): (Option<u32>, Option<u32>) = (row.get(0)?, row.get(1)?);
            Ok(first.zip(last))
        })
}

fn versions(connection: &Connection, id: &str, before: u32, limit: usize) -> rusqlite::Result<VersionPage> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT version, made_at, title, status FROM ({ALL_VERSIONS}) AS every_version \
         WHERE version < ?2 ORDER BY version DESC LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![id, before, limit.saturating_add(1)], |row| {
        Ok(ArticleVersion {
            version: row.get("version")?,
            made_at: row.get("made_at")?,
            title: row.get("title")?,
            status: closed(row, "status", ArticleStatus::parse)?,
        })
    })?;
    let mut versions: Vec<ArticleVersion> = rows.collect::<Result<_, _>>()?;
    let more = versions.len() > limit;
    versions.truncate(limit);
    Ok(VersionPage { versions, more })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn article(id: &str, body: &str) -> Article {
        Article { id: id.into(), title: format!("About {id}"), body: body.into(), ..Article::default() }
    }

    fn write(store: &Store, body: &str, at: u64) {
        store.upsert_articles(&[article("a", body)], at).unwrap();
    }

    fn numbers(store: &Store) -> Vec<u32> {
        let page = store.article_versions("a", None, 1_000).unwrap().unwrap_or_default();
        page.versions.into_iter().map(|version| version.version).collect()
    }

    fn body(store: &Store, version: u32) -> Option<String> {
        store.article_text("a", Some(version)).unwrap().map(|text| text.article.body)
    }

    #[test]
    fn every_change_makes_a_version_and_what_stays_the_same_makes_none() {
        let (_folder, store) = store();
        write(&store, "one", 10);
        write(&store, "one", 20);
        write(&store, "two", 30);
        let retired = Article { status: ArticleStatus::Retired, ..article("a", "two") };
        store.upsert_articles(std::slice::from_ref(&retired), 40).unwrap();
        store.upsert_articles(&[retired, article("a", "three"), article("a", "four")], 50).unwrap();
        let expected: [(u32, u64, ArticleStatus); 5] = [
            (5, 50, ArticleStatus::Published),
            (4, 50, ArticleStatus::Published),
            (3, 40, ArticleStatus::Retired),
            (2, 30, ArticleStatus::Published),
            (1, 10, ArticleStatus::Published),
        ];
        let versions = store.article_versions("a", None, 10).unwrap().unwrap().versions;
        let found: Vec<_> = versions.iter().map(|one| (one.version, one.made_at.unwrap(), one.status)).collect();
        assert_eq!(found, expected);
        for (version, text) in (1..).zip(["one", "two", "two", "three", "four"]) {
            let found = store.article_text("a", Some(version)).unwrap().unwrap();
            assert_eq!((found.article.body.as_str(), found.article.version), (text, version));
            assert_eq!(found.current_version, 5);
        }
        assert_eq!(store.article("a").unwrap().unwrap().version, 5);
        assert_eq!(store.article_text("a", None).unwrap().unwrap().made_at, Some(50));
        assert_eq!((body(&store, 0), body(&store, 6)), (None, None));
        assert_eq!(store.kept_article_versions("a").unwrap(), Some((1, 5)));
        assert_eq!(store.kept_article_versions("b").unwrap(), None);
        assert_eq!(store.article_versions("b", None, 10).unwrap(), None);
    }

    #[test]
    fn versions_are_listed_page_by_page() {
        let (_folder, store) = store();
        for number in 0..7 {
            write(&store, &number.to_string(), number);
        }
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = store.article_versions("a", before, 3).unwrap().unwrap();
            seen.extend(page.versions.iter().map(|version| version.version));
            before = page.versions.last().map(|version| version.version);
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_deleted_article_keeps_its_texts_and_goes_on_counting() {
        let (_folder, store) = store();
        write(&store, "one", 1);
        write(&store, "two", 2);
        assert!(store.delete_article("a", false).unwrap());
        assert!(!store.delete_article("a", false).unwrap());
        assert_eq!(store.article_text("a", None).unwrap(), None);
        let last = store.article_text("a", Some(2)).unwrap().unwrap();
        assert_eq!((last.article.body.as_str(), last.current_version), ("two", 0));
        assert_eq!(numbers(&store), [2, 1]);
        write(&store, "two", 3);
        assert_eq!(numbers(&store), [3, 2, 1]);
        assert_eq!(store.article_text("a", None).unwrap().unwrap().article.version, 3);
    }

    #[test]
    fn erasing_leaves_no_text_in_any_file_and_no_version_twice() {
        let (folder, store) = store();
        let secret = |number: usize| format!("xyzzy{number}");
        write(&store, &secret(1), 1);
        write(&store, &secret(2), 2);
        assert!(store.delete_article("a", true).unwrap());
        assert_eq!((numbers(&store), body(&store, 1)), (vec![], None));
        write(&store, &secret(3), 3);
        assert_eq!(numbers(&store), [3], "an answer that named version 1 must not lead to another text");
        store.delete_article("a", false).unwrap();
        // Also once the article itself is gone.
        assert!(store.delete_article("a", true).unwrap());
        assert!(!store.delete_article("a", true).unwrap());
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap_or_default();
            assert!(!bytes.windows(5).any(|window| window == b"xyzzy"), "{}", path.display());
        }
        write(&store, "new", 4);
        assert_eq!(numbers(&store), [4]);
    }

    #[test]
    fn only_the_newest_versions_are_kept() {
        let (_folder, store) = store();
        let articles: Vec<_> = (1..=130).map(|number: u32| article("a", &number.to_string())).collect();
        store.upsert_articles(&articles, 1).unwrap();
        assert_eq!(store.kept_article_versions("a").unwrap(), Some((31, 130)));
        assert_eq!(numbers(&store).len(), KEPT_VERSIONS as usize);
        assert_eq!((body(&store, 30), body(&store, 31)), (None, Some("31".into())));
        store.upsert_articles(&[article("b", "x"), article("b", "y")], 1).unwrap();
        store.delete_article("a", false).unwrap();
        assert_eq!(store.kept_article_versions("a").unwrap(), Some((32, 130)), "what is in force counts too");
        assert_eq!(store.kept_article_versions("b").unwrap(), Some((1, 2)));
    }

    #[test]
    fn a_change_and_its_version_are_written_together_or_not_at_all() {
        let (_folder, store) = store();
        write(&store, "one", 1);
        store.limit_pages(60);
        let long = article("a", &"x".repeat(1 << 20));
        assert!(store.upsert_articles(&[article("a", "two"), long], 2).is_err());
        assert_eq!((numbers(&store), body(&store, 1)), (vec![1], Some("one".into())));
    }
}
