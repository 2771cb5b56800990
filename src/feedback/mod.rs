//! Feedback on decisions and on suggested articles. It decides what is kept of it: what somebody says a ticket was, and
//! what helped, becomes memory, what was refused votes against the article, the rest is counted. Nothing is kept of a ticket that nobody confirmed: its text travels in the
//! handle. Calls block; callers run them on the compute pool.

mod decision;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod standing;
mod trust;

use std::{collections::HashMap, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::{
    decision::{day_of, fingerprint, fingerprint_of_resolved, now, proposal, seconds_of, seconds_of_text},
    standing::Standing,
};
use self::{
    handle::{Kind, Seal},
    trust::Tally,
};
use crate::{
    domain::{
        article::ArticleHit,
        feedback::{ArticleEvent, ArticleFeedback, ArticleUsage, FeedbackEffect},
        ticket::Ticket,
    },
    error::TriageError,
    knowledge,
    memory::Memory,
    store::{Store, StoreError},
    telemetry::METRICS,
};

/// Corrections of one source within an hour: more than any analyst makes.
pub const DEFAULT_HOURLY_LIMIT: u64 = 120;

const NO_CONVERSATION: &str = "was changed on its way or does not come from this server's database; send that of the answer \
                               before, unchanged, or none to begin a new one";

/// Gives suggestions their handles and records what became of their articles. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feedback {
    store: Store,
    memory: Memory,
    seal: Seal,
    /// Corrections that a source may make within an hour and that are learnt from.
    hourly_limit: u64,
    tally: Arc<Tally>,
}

impl Feedback {
    /// Handles are sealed with the key of this database; `memory` is what grows by the feedback.
    pub fn open(store: Store, memory: Memory) -> Result<Self, StoreError> {
        let seal = Seal::new(&store.suggestion_key()?, memory.redactor().clone());
        Ok(Self { store, memory, seal, hourly_limit: DEFAULT_HOURLY_LIMIT, tally: Arc::default() })
    }

    /// The same with another number of corrections that a source may make within an hour and that are learnt from.
    #[must_use]
    pub fn with_hourly_limit(self, hourly_limit: u64) -> Self {
        Self { hourly_limit, ..self }
    }

    /// What is remembered of a conversation, as a caller carries it: whoever holds it can read it, and nobody change it.
    pub(crate) fn seal_conversation(&self, remembered: &impl Serialize) -> Result<String, TriageError> {
        self.seal.sealed(Kind::Conversation, remembered)
    }

    /// What a conversation that was sealed holds; on an error what is wrong with it and what to do.
    pub(crate) fn open_conversation<T: DeserializeOwned>(&self, sealed: &str) -> Result<T, String> {
        let opened = self.seal.opened(Kind::Conversation, sealed);
        let (_, remembered) =
            opened.map_err(|problem| if problem == handle::NOT_OURS { NO_CONVERSATION.into() } else { problem })?;
        serde_json::from_slice(&remembered).map_err(|_| NO_CONVERSATION.to_owned())
    }

    /// The handle of a suggestion; none where nothing was suggested. The same suggestion has the same handle.
    pub fn handle(&self, ticket: &Ticket, articles: &[ArticleHit]) -> Result<Option<String>, TriageError> {
        if articles.is_empty() {
            return Ok(None);
        }
        self.seal.handle(ticket, articles.iter().map(|article| article.id.as_str())).map(Some)
    }

    /// An event as a caller sends it, with what its handle holds.
    ///
    /// Errors: `InvalidRequest` for a handle that this database did not seal, and an article that it does not hold.
    pub fn parse(&self, handle: &str, article: &str, event: ArticleEvent) -> Result<ArticleFeedback, TriageError> {
        let opened = self.seal.open(handle);
        let suggestion = opened.map_err(|problem| TriageError::invalid("suggestion_handle", problem))?;
        if !suggestion.articles.iter().any(|suggested| suggested == article) {
            let problem = format!("was not in this suggestion; it held {}", suggestion.articles.join(", "));
            return Err(TriageError::invalid("article_id", problem));
        }
        Ok(ArticleFeedback { suggestion, article: article.to_owned(), event })
    }

    /// Records an event; it is durable, and the memory that it leads to is found, when this returns. A repeated one
    /// changes nothing. On an error nothing is recorded, or all is and the next call or start makes it findable.
    pub fn record(&self, feedback: &ArticleFeedback) -> Result<FeedbackEffect, TriageError> {
        let today =
            knowledge::today().ok_or_else(|| TriageError::internal("the clock shows no day of the calendar"))?;
        let effect = self.store.record_article_feedback(feedback, today)?;
        if effect.is_new {
            METRICS.count_article_feedback(feedback.event.as_str());
        }
        if feedback.event.opposite().is_some() {
            // Also where it was recorded before: the index may have failed then.
            self.memory.publish()?;
        }
        Ok(effect)
    }

    /// What came of suggesting an article.
    pub fn usage(&self, article: &str) -> Result<ArticleUsage, TriageError> {
        Ok(self.store.article_usage(article)?)
    }

    /// The same of all articles that something came of, by their ids.
    pub fn usages(&self) -> Result<HashMap<String, ArticleUsage>, TriageError> {
        Ok(self.store.article_usages()?)
    }
}
