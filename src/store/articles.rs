//! Articles as they were written, and the sequence of their changes that the search index follows.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    Store, StoreError, article_versions,
    changes::{CHANGES_PAGE_BYTES, Change, ContentHash, Effect, ImportCounts, closed, closed_or_null},
};
use crate::domain::{
    article::{Article, ArticleKind, ArticleStatus, Day},
    known_error::KnownError,
};

/// A page of the list ends behind this many bytes of text: a client reads messages of 4 MiB at most.
const LIST_PAGE_BYTES: usize = 2 << 20;

pub(super) const COLUMNS: &str = "id, title, summary, body, kind, status, products, category, valid_until, \
     link, problem, symptoms, cause, workaround, fix, affected, version, made_at";
/// As many values as there are columns, for a row without an article.
const NO_ARTICLE: &str = "id, '', '', '', '', '', '', NULL, NULL, NULL, NULL, '', '', '', '', '', 0, NULL";

/// A part of the list of all articles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArticlePage {
    pub articles: Vec<Article>,
    /// Whether articles follow behind the last one.
    pub more: bool,
}

/// Which articles a list shows; empty lists stand for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArticleFilter {
    pub kinds: Vec<ArticleKind>,
    pub statuses: Vec<ArticleStatus>,
    /// Only those whose last day lies before this one.
    pub expired_on: Option<Day>,
}

impl Store {
    /// Tells this database from any other, for whatever is derived from it.
    pub fn identity(&self) -> Result<String, StoreError> {
        self.reader()
            .query_row("SELECT identity FROM change_counter", [], |row| row.get(0))
            .map_err(self.failed("reading the identity"))
    }

    /// The sequence number of the latest change; 0 before the first.
    pub fn last_change(&self) -> Result<u64, StoreError> {
        last_change(&self.reader()).map_err(self.failed("reading the change counter"))
    }

    /// Adds or replaces articles by id: all of them or, on an error, none. Of two with one id the later counts. What is
    /// new or changed gets its next version, made `at` so many seconds since 1970, and the text before is kept.
    pub fn upsert_articles(&self, articles: &[Article], at: u64) -> Result<ImportCounts, StoreError> {
        let failed = self.failed("writing articles");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let counts = upsert(&transaction, articles, at).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(counts)
    }

    /// What [`Self::upsert_articles`] would do; stores nothing.
    pub fn plan_articles(&self, articles: &[Article]) -> Result<ImportCounts, StoreError> {
        let failed = self.failed("comparing articles");
        let reader = self.reader();
        let mut counts = ImportCounts::default();
        let mut planned = std::collections::HashMap::new();
        for article in articles {
            let hash = content_hash(article);
            let known = match planned.get(article.id.as_str()) {
                Some(hash) => Some(*hash),
                None => stored(&reader, &article.id).map_err(&failed)?.map(|(hash, _)| hash),
            };
            counts.add(Effect::of(known, hash));
            planned.insert(article.id.as_str(), hash);
        }
        Ok(counts)
    }

    pub fn article(&self, id: &str) -> Result<Option<Article>, StoreError> {
        self.reader()
            .prepare_cached(&format!("SELECT {COLUMNS} FROM articles WHERE id = ?1"))
            .and_then(|mut statement| statement.query_row([id], read_article).optional())
            .map_err(self.failed("reading an article"))
    }

    /// The last day on which an article may be suggested; `None` also where there is no such article.
    pub fn article_valid_until(&self, id: &str) -> Result<Option<Day>, StoreError> {
        self.reader()
            .prepare_cached("SELECT valid_until FROM articles WHERE id = ?1")
            .and_then(|mut statement| {
                statement.query_row([id], |row| closed_or_null(row, "valid_until", Day::parse)).optional()
            })
            .map(Option::flatten)
            .map_err(self.failed("reading an article"))
    }

    pub fn contains_article(&self, id: &str) -> Result<bool, StoreError> {
        stored(&self.reader(), id).map(|stored| stored.is_some()).map_err(self.failed("reading an article"))
    }

    /// Articles in the order of their ids, behind the id `after`: at most `limit`, and fewer where they are long.
    pub fn list_articles(
        &self,
        filter: &ArticleFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ArticlePage, StoreError> {
        select_articles(&self.reader(), filter, after, limit).map_err(self.failed("listing articles"))
    }

    pub fn count_articles(&self) -> Result<u64, StoreError> {
        count(&self.reader()).map_err(self.failed("counting articles"))
    }

    /// Deletes an article; whether there was one. Its texts stay readable by their versions unless they are erased with
    /// it, or later: then nothing but its id and its number of versions is left in the database's files, and it tells
    /// whether there was anything to erase.
    pub fn delete_article(&self, id: &str, erase_versions: bool) -> Result<bool, StoreError> {
        let failed = self.failed("deleting an article");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let deleted = delete(&transaction, id).map_err(&failed)?;
        let erased = erase_versions && article_versions::erase(&transaction, id).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        if erased {
            // The log still holds the texts as they were written. Nobody reads meanwhile, so that it can be emptied.
            let _reader = self.reader();
            writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(&failed)?;
        }
        Ok(deleted || erased)
    }

    /// Changes behind `sequence`, oldest first; at most `limit` and about 4 MiB of text, empty when there are none.
    pub fn article_changes_since(&self, sequence: u64, limit: usize) -> Result<Vec<Change<Article>>, StoreError> {
        changes_since(&self.reader(), sequence, limit).map_err(self.failed("reading the changes"))
    }
}

fn upsert(transaction: &Transaction<'_>, articles: &[Article], at: u64) -> rusqlite::Result<ImportCounts> {
    let mut counts = ImportCounts::default();
    let mut sequence = last_change(transaction)?;
    let mut write = transaction.prepare_cached(&format!(
        "INSERT INTO articles ({COLUMNS}, content_hash, sequence) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
         ON CONFLICT (id) DO UPDATE SET title = excluded.title, summary = excluded.summary, body = excluded.body, \
         kind = excluded.kind, status = excluded.status, products = excluded.products, \
         category = excluded.category, valid_until = excluded.valid_until, link = excluded.link, \
         problem = excluded.problem, symptoms = excluded.symptoms, cause = excluded.cause, \
         workaround = excluded.workaround, fix = excluded.fix, affected = excluded.affected, \
         version = excluded.version, made_at = excluded.made_at, \
         content_hash = excluded.content_hash, sequence = excluded.sequence"
    ))?;
    let mut revive = transaction.prepare_cached("DELETE FROM deleted_articles WHERE id = ?1")?;
    for article in articles {
        let hash = content_hash(article);
        let stored = stored(transaction, &article.id)?;
        let effect = Effect::of(stored.map(|(hash, _)| hash), hash);
        counts.add(effect);
        if effect == Effect::Same {
            continue;
        }
        let version = match stored {
            Some((_, version)) => {
                article_versions::keep(transaction, &article.id, version)?;
                version + 1
            }
            None => article_versions::next_of_deleted(transaction, &article.id)?,
        };
        sequence += 1;
        write.execute(params![
            article.id,
            article.title,
            article.summary,
            article.body,
            article.kind.as_str(),
            article.status.as_str(),
            names_to_json(&article.products)?,
            article.category,
            article.valid_until.map(|day| day.to_string()),
            article.link,
            article.problem,
            article.known_error.symptoms,
            article.known_error.cause,
            article.known_error.workaround,
            article.known_error.fix,
            names_to_json(&article.known_error.affected)?,
            version,
            at,
            hash,
            sequence,
        ])?;
        if effect == Effect::New {
            revive.execute([&article.id])?;
        }
    }
    set_last_change(transaction, sequence)?;
    Ok(counts)
}

fn delete(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    let Some((_, version)) = stored(transaction, id)? else { return Ok(false) };
    article_versions::keep(transaction, id, version)?;
    transaction.execute("DELETE FROM articles WHERE id = ?1", [id])?;
    let sequence = last_change(transaction)? + 1;
    let insert = "INSERT INTO deleted_articles (id, sequence, last_version) VALUES (?1, ?2, ?3)";
    transaction.execute(insert, params![id, sequence, version])?;
    set_last_change(transaction, sequence)?;
    Ok(true)
}

fn last_change(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT last FROM change_counter", [], |row| row.get(0))
}

fn set_last_change(transaction: &Transaction<'_>, sequence: u64) -> rusqlite::Result<()> {
    transaction.execute("UPDATE change_counter SET last = ?1", [sequence]).map(|_| ())
}

/// The hash and the version of the article in force.
fn stored(connection: &Connection, id: &str) -> rusqlite::Result<Option<([u8; 32], u32)>> {
    connection
        .prepare_cached("SELECT content_hash, version FROM articles WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn count(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT COUNT(*) FROM articles", [], |row| row.get(0))
}

fn select_articles(
    connection: &Connection,
    filter: &ArticleFilter,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<ArticlePage> {
    // Names of closed sets, which need no quoting; days that are written so compare as texts do.
    let one_of = |column: &str, names: Vec<&str>| match names.as_slice() {
        [] => String::new(),
        names => format!("AND {column} IN ('{}')", names.join("', '")),
    };
    let kinds = one_of("kind", filter.kinds.iter().map(|kind| kind.as_str()).collect());
    let statuses = one_of("status", filter.statuses.iter().map(|status| status.as_str()).collect());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM articles WHERE id > ?1 {kinds} {statuses} \
         AND (?3 IS NULL OR valid_until < ?3) ORDER BY id LIMIT ?2"
    ))?;
    // No id is empty, so the empty string stands before the first. One more than asked for tells whether more follow.
    let expired_on = filter.expired_on.map(|day| day.to_string());
    let mut rows = statement.query(params![after.unwrap_or(""), limit.saturating_add(1), expired_on])?;
    let mut page = ArticlePage::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.articles.len() == limit || bytes >= LIST_PAGE_BYTES {
            page.more = true;
            break;
        }
        let article = read_article(row)?;
        bytes += article.text_bytes();
        page.articles.push(article);
    }
    Ok(page)
}

fn changes_since(connection: &Connection, sequence: u64, limit: usize) -> rusqlite::Result<Vec<Change<Article>>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, sequence, 0 AS deleted FROM articles WHERE sequence > ?1 \
         UNION ALL \
         SELECT {NO_ARTICLE}, sequence, 1 FROM deleted_articles WHERE sequence > ?1 \
         ORDER BY sequence LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![sequence, limit])?;
    let mut changes = Vec::new();
    let mut bytes = 0;
    while bytes < CHANGES_PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let article = if row.get("deleted")? { None } else { Some(read_article(row)?) };
        bytes += article.as_ref().map_or(0, Article::text_bytes);
        changes.push(Change { sequence: row.get("sequence")?, id: row.get("id")?, record: article });
    }
    Ok(changes)
}

pub(super) fn read_article(row: &Row<'_>) -> rusqlite::Result<Article> {
    Ok(Article {
        id: row.get("id")?,
        title: row.get("title")?,
        summary: row.get("summary")?,
        body: row.get("body")?,
        kind: closed(row, "kind", ArticleKind::parse)?,
        status: closed(row, "status", ArticleStatus::parse)?,
        products: closed(row, "products", |raw| serde_json::from_str(raw).ok())?,
        category: row.get("category")?,
        valid_until: closed_or_null(row, "valid_until", Day::parse)?,
        link: row.get("link")?,
        problem: row.get("problem")?,
        known_error: KnownError {
            symptoms: row.get("symptoms")?,
            cause: row.get("cause")?,
            workaround: row.get("workaround")?,
            fix: row.get("fix")?,
            affected: closed(row, "affected", |raw| serde_json::from_str(raw).ok())?,
        },
        version: row.get("version")?,
    })
}

fn names_to_json(names: &[String]) -> rusqlite::Result<String> {
    serde_json::to_string(names).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Of all that an article says. One without link, problem and sections hashes as it did before there were any, so that
/// importing it again changes nothing.
fn content_hash(article: &Article) -> [u8; 32] {
    let Article {
        id,
        title,
        summary,
        body,
        kind,
        status,
        products,
        category,
        valid_until,
        link,
        problem,
        known_error,
        version: _,
    } = article;
    let mut hash = ContentHash::default();
    for text in [id.as_str(), title, summary, body, kind.as_str(), status.as_str()] {
        hash.part(text);
    }
    hash.part(category.as_deref().unwrap_or_default());
    hash.part(&valid_until.map(|day| day.to_string()).unwrap_or_default());
    for product in products {
        hash.part(product);
    }
    if link.is_some() || problem.is_some() || !known_error.is_empty() {
        // What no product is.
        hash.part("\0\n");
        hash.part(link.as_deref().unwrap_or_default());
        hash.part(problem.as_deref().unwrap_or_default());
        for (_, text) in known_error.sections() {
            hash.part(text);
        }
        for affected in &known_error.affected {
            hash.part(affected);
        }
    }
    hash.finish()
}

#[cfg(test)]
mod tests;
