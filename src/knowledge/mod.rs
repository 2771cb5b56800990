//! The knowledge base: articles kept in the store, found through an index derived from it.
//! It decides what is indexed and how articles rank; it does not decide which of them a caller may see.
//! Calls block and use the CPU; callers run them on the compute pool.

pub(crate) mod answer;
pub(crate) mod derived;
mod dictionary;
mod encoder;
mod error;
mod everyday;
pub(crate) mod evidence;
mod files;
mod front_matter;
#[doc(hidden)]
pub mod fuzzing;
mod harmless;
pub mod import;
pub(crate) mod index;
pub(crate) mod language;
mod life;
mod markdown;
mod merging;
pub(crate) mod names;
pub(crate) mod passage;
pub(crate) mod question;
pub(crate) mod rank;
mod schema;
mod scope;
mod search;
mod sections;
pub(crate) mod sentences;
pub(crate) mod snapshot;
mod spelling;
mod state;
pub(crate) mod term_table;
mod texts;
pub(crate) mod top;
mod word_map;
pub(crate) mod words;

use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) use self::answer::Answered;
pub use self::{
    encoder::{Encoding, OnEncoded, encoder_of, settle_encoder},
    error::IndexError,
    search::SearchFilter,
    state::IndexState,
    texts::IndexedText,
};
use self::{
    evidence::{Best, Candidates, Subject, Suggested},
    index::DerivedIndex,
    schema::Fields,
    snapshot::Snapshot,
};
use crate::{
    domain::article::{Article, ArticleHit, ArticleStatus, Day, FoundArticle, LastDay},
    encode::{SentenceEncoder, TextVector},
    error::TriageError,
    store::{ArticleFilter, ArticlePage, ArticleText, ImportCounts, Store, VersionPage},
};

type ArticleIndex = DerivedIndex<Fields>;

/// What errors call an article.
const ARTICLE: &str = "article";

/// Where the index lies within the data directory: no name that a folder of articles would have.
pub(crate) const INDEX_FOLDER: &str = "index/articles";

/// How the index of a data directory stands to its database, whose last change to articles is `last`.
pub(crate) fn look_at_index(directory: &Path, database: &str, last: u64, encoder: Option<&str>) -> IndexState {
    ArticleIndex::look(&directory.join(INDEX_FOLDER), database, last, encoder)
}

/// Today in UTC by the system's clock; `None` when that shows a year behind 9999.
pub fn today() -> Option<Day> {
    let today = time::OffsetDateTime::now_utc().date();
    Day::new(u16::try_from(today.year()).ok()?, today.month().into(), today.day())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The different words of a text that carry a subject, in the order of their first use: neither function words nor those
/// that nearly every question holds.
pub(crate) fn subject_terms(text: &str) -> Vec<String> {
    let language = language::Language::of(text);
    let mut terms = words::Terms::new(text);
    let mut found: Vec<String> = Vec::new();
    while let Some((term, _)) = terms.next_term() {
        let says_nothing = words::is_desk_term(term) || language.is_some_and(|one| one.is_function_term(term));
        if !says_nothing && found.iter().all(|known| known != term) {
            found.push(term.to_owned());
        }
    }
    found
}

/// The day that lies so many days before another; the first of the calendar where there is none.
pub(crate) fn days_before(day: Day, days: u32) -> Day {
    let [year, month, of_month] = [day.number() / 10_000, day.number() / 100 % 100, day.number() % 100];
    let date = || {
        let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date =
            time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(of_month).ok()?).ok()?;
        let before = date.checked_sub(time::Duration::days(days.into()))?;
        Day::new(u16::try_from(before.year()).ok()?, before.month().into(), before.day())
    };
    date().or_else(|| Day::new(1, 1, 1)).unwrap_or(day)
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
    /// damaged or not of this database, or of another sentence encoder than `encoding`'s. Takes seconds for thousands of
    /// articles then, with an encoder minutes.
    pub fn open(store: Store, data_directory: &Path, encoding: Option<Encoding>) -> Result<Self, IndexError> {
        let index = ArticleIndex::open(&store, &data_directory.join(INDEX_FOLDER), encoding)?;
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
        Ok(self.store.upsert_articles(&cleaned(articles), now())?)
    }

    /// Makes everything stored findable.
    pub fn publish(&self) -> Result<(), IndexError> {
        self.index.catch_up(&self.store).map(|_| ())
    }

    /// Whether there was such an article; it can no longer be found when this returns. Its texts stay readable by their
    /// versions, unless they are erased: then it also tells whether there were any.
    pub fn delete(&self, id: &str, erase_versions: bool) -> Result<bool, IndexError> {
        let deleted = self.store.delete_article(id, erase_versions)?;
        self.publish()?;
        Ok(deleted)
    }

    pub fn get(&self, id: &str) -> Result<Option<Article>, IndexError> {
        Ok(self.store.article(id)?)
    }

    /// The text in force, or that of a version.
    ///
    /// Errors: `NotFound` without such an article, `NoSuchVersion` where it has or keeps no such version.
    pub fn text(&self, id: &str, version: Option<u32>) -> Result<ArticleText, TriageError> {
        if let Some(text) = self.store.article_text(id, version)? {
            return Ok(text);
        }
        match (version, self.store.kept_article_versions(id)?) {
            (Some(version), Some(kept)) => Err(TriageError::NoSuchVersion { id: id.to_owned(), version, kept }),
            (None, _) | (_, None) => Err(TriageError::NotFound { resource: ARTICLE, id: id.to_owned() }),
        }
    }

    /// The versions of an article that are kept, the latest first, behind `before`; at most `limit`.
    ///
    /// Errors: `NotFound` where nothing of such an article is kept.
    pub fn versions(&self, id: &str, before: Option<u32>, limit: usize) -> Result<VersionPage, TriageError> {
        let page = self.store.article_versions(id, before, limit)?;
        page.ok_or_else(|| TriageError::NotFound { resource: ARTICLE, id: id.to_owned() })
    }

    /// Moves an article on in its life, with another last day where one is given; the article as it is then, and whether
    /// that is a change. One caller writes at a time.
    ///
    /// Errors: `NotFound`; `ArticleState` for a published article whose last day is past, and for a draft to be retired.
    pub fn set_status(
        &self,
        id: &str,
        status: ArticleStatus,
        last_day: LastDay,
    ) -> Result<(Article, bool), TriageError> {
        let not_found = || TriageError::NotFound { resource: ARTICLE, id: id.to_owned() };
        let article = self.store.article(id)?.ok_or_else(not_found)?;
        let moved = Article { status, valid_until: last_day.or(article.valid_until), ..article.clone() };
        if let Some(problem) = life::problem(article.status, &moved, today()) {
            return Err(TriageError::ArticleState(format!("article `{id}` {problem}")));
        }
        let changed = self.upsert(&[moved])?.updated > 0;
        Ok((self.store.article(id)?.ok_or_else(not_found)?, changed))
    }

    pub fn contains(&self, id: &str) -> Result<bool, IndexError> {
        Ok(self.store.contains_article(id)?)
    }

    /// At most `limit` articles in the order of their ids, behind the id `after`.
    pub fn list(&self, filter: &ArticleFilter, after: Option<&str>, limit: usize) -> Result<ArticlePage, IndexError> {
        Ok(self.store.list_articles(filter, after, limit)?)
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

    /// Reads questions as the vectors of articles were made; `None` where they have none.
    pub(crate) fn encoder(&self) -> Option<&SentenceEncoder> {
        self.index.encoder()
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

    /// What people see of the best candidates, in their order. With `remedies_first` the passage of a known error is the
    /// beginning of its workaround, or of its fix, where it has one.
    pub(crate) fn show(
        &self,
        candidates: &Candidates,
        best: &[Best],
        remedies_first: bool,
    ) -> Result<Vec<Suggested>, IndexError> {
        let shown = evidence::show(&self.snapshot, self.index.fields(), candidates, best, remedies_first);
        shown.map_err(|error| self.index.error(error))
    }

    /// The text of an article of any status as the index keeps it, for passages of another kind; no database is read.
    /// `None` where there is no such article.
    pub fn text(&self, id: &str) -> Result<Option<IndexedText>, IndexError> {
        let found = texts::of_article(&self.snapshot, self.index.fields(), id);
        found.map_err(|error| self.index.error(error))
    }

    /// The likelihood, 0 to 1, that a question with this vector is about what the articles in force on `today` are about;
    /// its candidates may stand for it with their titles.
    pub(crate) fn scope(&self, vector: &TextVector, candidates: &Candidates, today: Day) -> f32 {
        let title = candidates.list.iter().map(|candidate| candidate.title).fold(0.0, f32::max);
        scope::likelihood(&self.snapshot, vector, title, schema::day_number(today))
    }

    /// The stretch of an article that best answers the question of the candidates, none of whose sentences and lists was
    /// `shown` before in the conversation; the article need not be one of the candidates. `None` where there is no such
    /// article, and where nothing is left in it worth showing.
    pub(crate) fn answer(
        &self,
        candidates: &Candidates,
        id: &str,
        shown: &HashSet<u64>,
    ) -> Result<Option<Answered>, IndexError> {
        let found = answer::of_article(&self.snapshot, self.index.fields(), candidates, id, shown);
        found.map_err(|error| self.index.error(error))
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
