//! The knowledge base: articles kept in the store, found through an index derived from it.
//! It decides what is indexed and how articles rank; it does not decide which of them a caller may see.
//! Calls block and use the CPU; callers run them on the compute pool.

pub(crate) mod derived;
mod dictionary;
mod error;
pub(crate) mod evidence;
mod files;
mod front_matter;
mod harmless;
pub mod import;
pub(crate) mod index;
pub(crate) mod language;
mod markdown;
mod merging;
pub(crate) mod names;
pub(crate) mod passage;
pub(crate) mod question;
pub(crate) mod rank;
mod schema;
mod search;
pub(crate) mod snapshot;
mod spelling;
pub(crate) mod term_table;
pub(crate) mod top;
mod word_map;
pub(crate) mod words;

use std::{path::Path, sync::Arc};

pub use self::{error::IndexError, search::SearchFilter};
use self::{
    evidence::{Best, Candidates, Subject, Suggested},
    index::DerivedIndex,
    schema::Fields,
    snapshot::Snapshot,
};
use crate::{
    domain::article::{Article, ArticleHit, Day, FoundArticle},
    store::{ArticlePage, ImportCounts, Store},
};

type ArticleIndex = DerivedIndex<Fields>;

/// Where the index lies within the data directory: no name that a folder of articles would have.
const INDEX_FOLDER: &str = "index/articles";

/// Today in UTC by the system's clock; `None` when that shows a year behind 9999.
pub fn today() -> Option<Day> {
    let today = time::OffsetDateTime::now_utc().date();
    Day::new(u16::try_from(today.year()).ok()?, today.month().into(), today.day())
}

/// As they are kept.
fn cleaned(articles: &[Article]) -> Vec<Article> {
    articles.iter().map(harmless::cleaned).collect()
}

/// A cheap handle on the articles and their index.
#[derive(Debug, Clone)]
pub struct KnowledgeBase {
    store: Store,
    index: Arc<ArticleIndex>,
}

impl KnowledgeBase {
    /// Opens the index in the data directory and brings it up to date; builds it anew where it is missing,
    /// damaged or not of this database. Takes seconds for thousands of articles then.
    pub fn open(store: Store, data_directory: &Path) -> Result<Self, IndexError> {
        let index = ArticleIndex::open(&store, &data_directory.join(INDEX_FOLDER))?;
        Ok(Self { store, index: Arc::new(index) })
    }

    /// Adds or replaces articles by id. They are durable and can be found when it returns; on an error nothing of
    /// them is stored, or all of them are and the next call or start makes them findable.
    ///
    /// The caller has checked [`Article::violations`].
    pub fn upsert(&self, articles: &[Article]) -> Result<ImportCounts, IndexError> {
        let counts = self.stage(articles)?;
        self.publish()?;
        Ok(counts)
    }

    /// What [`Self::upsert`] would do; stores nothing.
    pub fn plan(&self, articles: &[Article]) -> Result<ImportCounts, IndexError> {
        Ok(self.store.plan_articles(&cleaned(articles))?)
    }

    /// Stores articles that [`Self::publish`] makes findable: for many at a time.
    pub fn stage(&self, articles: &[Article]) -> Result<ImportCounts, IndexError> {
        Ok(self.store.upsert_articles(&cleaned(articles))?)
    }

    /// Makes everything stored findable.
    pub fn publish(&self) -> Result<(), IndexError> {
        self.index.catch_up(&self.store).map(|_| ())
    }

    /// Whether there was such an article; it can no longer be found when this returns.
    pub fn delete(&self, id: &str) -> Result<bool, IndexError> {
        let deleted = self.store.delete_article(id)?;
        self.publish()?;
        Ok(deleted)
    }

    pub fn get(&self, id: &str) -> Result<Option<Article>, IndexError> {
        Ok(self.store.article(id)?)
    }

    pub fn contains(&self, id: &str) -> Result<bool, IndexError> {
        Ok(self.store.contains_article(id)?)
    }

    /// At most `limit` articles in the order of their ids, behind the id `after`.
    pub fn list(&self, after: Option<&str>, limit: usize) -> Result<ArticlePage, IndexError> {
        Ok(self.store.list_articles(after, limit)?)
    }

    /// What can be found now; it stays as it is while it is held.
    pub fn view(&self) -> KnowledgeView<'_> {
        KnowledgeView { index: &self.index, snapshot: self.index.snapshot() }
    }

    /// What a search found, each with its last day. Where an article was changed since, it is the changed one's.
    pub fn with_last_days(&self, hits: Vec<ArticleHit>) -> Result<Vec<FoundArticle>, IndexError> {
        let with_last_day = |hit: ArticleHit| {
            let valid_until = self.store.article_valid_until(&hit.id)?;
            Ok(FoundArticle { hit, valid_until })
        };
        hits.into_iter().map(with_last_day).collect()
    }

    /// As [`KnowledgeView::search`], on what can be found now.
    pub fn search(
        &self,
        query: &str,
        filter: &SearchFilter,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<ArticleHit>, IndexError> {
        self.view().search(query, filter, offset, limit)
    }

    /// The change that everything found reflects; grows with every change to an article.
    pub fn version(&self) -> u64 {
        self.index.snapshot().version
    }

    /// Articles that can be found, whatever their status.
    pub fn article_count(&self) -> u64 {
        self.index.snapshot().searcher.num_docs()
    }
}

/// The articles as they stood behind one change.
pub struct KnowledgeView<'a> {
    index: &'a ArticleIndex,
    snapshot: Arc<Snapshot>,
}

impl KnowledgeView<'_> {
    /// The change that this view reflects.
    pub fn version(&self) -> u64 {
        self.snapshot.version
    }

    /// Articles that may solve a ticket: those that share most words with it, and those of the ids in `also`; of all
    /// only published ones, valid on `today`. The text may be of any length and as messy as it came; the cost is
    /// bounded.
    pub(crate) fn candidates<'a>(
        &self,
        subject: &Subject,
        also: impl Iterator<Item = &'a str>,
        today: Day,
    ) -> Result<Candidates, IndexError> {
        let found = evidence::candidates(&self.snapshot, subject, also, today);
        found.map_err(|error| self.index.error(error))
    }

    /// The candidates with the best scores, at most `limit`. `scores` are those of the list, each more than 0; of
    /// candidates with the same score the one with the first id stands first.
    pub(crate) fn best(&self, candidates: &Candidates, scores: &[f32], limit: usize) -> Vec<Best> {
        evidence::best(&self.snapshot, candidates, scores, limit)
    }

    /// What people see of the best candidates, in their order.
    pub(crate) fn show(&self, candidates: &Candidates, best: &[Best]) -> Result<Vec<Suggested>, IndexError> {
        let shown = evidence::show(&self.snapshot, self.index.fields(), candidates, best);
        shown.map_err(|error| self.index.error(error))
    }

    /// Articles for the words an analyst typed, at most `limit` behind the first `offset`: of any status, all quoted
    /// phrases exactly, the best for the other words first; an article whose id was typed stands first.
    pub fn search(
        &self,
        query: &str,
        filter: &SearchFilter,
        offset: usize,
        limit: usize,
    ) -> Result<Vec<ArticleHit>, IndexError> {
        let found = search::search(&self.snapshot, self.index.fields(), query, filter, (offset, limit));
        found.map_err(|error| self.index.error(error))
    }
}
