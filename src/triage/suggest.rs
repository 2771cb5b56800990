//! Which articles may solve a ticket, from everything that is known: the words of ticket and article, what solved tickets
//! like it before, and whether both are about the same thing. Articles that are retired, expired or drafts are never
//! among them, whatever they solved once.

mod answered;
mod chance;
mod fit;
mod fitting;
mod learn;
mod weights;

pub(crate) use self::{
    answered::Offer,
    fitting::{Fitting, FittingArticle},
    learn::Learning,
};

use std::sync::{Arc, PoisonError, RwLock};

use self::{
    learn::Learned,
    weights::{Basis, Features, NO_ARTICLE, Weights},
};
use crate::{
    compute,
    domain::{
        article::{ArticleHit, ArticleKind, Day},
        memory::ConfirmedTicket,
        suggestion::Reason,
        taxonomy::{CATEGORY, TYPE},
        ticket::Ticket,
    },
    encode::{PlainText, Redactor, SentenceEncoder, SentenceVector, TextVector},
    error::TriageError,
    knowledge::{
        KnowledgeBase, KnowledgeView,
        evidence::{Agreement, Candidates, Subject},
    },
    memory::{Copies, Experienced, Memory, MemoryView},
};

/// The field or label that names a product.
const PRODUCT: &str = "product";
/// So many votes are cast for no article, so that a few neighbours do not decide alone.
const PRIOR_VOTES: f32 = 5.0;
const PRIOR_VOTES_BY_MEANING: f32 = 0.3;
/// A part of all votes counts by its logarithm, from about this part on.
const VOTE_SCALE: f64 = 0.03;
/// What a known error is given for an incident: as much as a difference in words that nobody would notice. It is fixed
/// since it settles what the evidence leaves open, and links say nothing about that.
const KNOWN_ERROR_BONUS: f64 = 0.1;

/// Suggests articles from a knowledge base and, where there is one, a memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Suggester {
    knowledge: KnowledgeBase,
    memory: Option<Memory>,
    redactor: Redactor,
    learned: Arc<RwLock<Arc<Learned>>>,
}

/// Articles that may solve a ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestions {
    /// Most useful first.
    pub articles: Vec<ArticleHit>,
    /// The change to the knowledge base that they reflect.
    pub knowledge_version: u64,
    /// The change to the memory; 0 without one.
    pub memory_version: u64,
    /// The change to the memory that weights and chances were learned from; 0 where nothing was learned yet.
    pub learned_version: u64,
}

impl Suggester {
    /// Takes up what was learned from the memory's links before. What `redactor` finds in a text is not looked for.
    pub fn new(knowledge: KnowledgeBase, memory: Option<Memory>, redactor: Redactor) -> Result<Self, TriageError> {
        let kept = memory.as_ref().map(Memory::learned).transpose()?.flatten();
        let encoder = knowledge.encoder().map(SentenceEncoder::sha256);
        let learned = kept.and_then(|kept| Learned::parse(&kept, encoder)).unwrap_or_default();
        Ok(Self { knowledge, memory, redactor, learned: Arc::new(RwLock::new(Arc::new(learned))) })
    }

    /// Where articles and past tickets come from.
    pub(crate) fn sources(&self) -> (KnowledgeBase, Option<Memory>) {
        (self.knowledge.clone(), self.memory.clone())
    }

    /// Read by the sentence encoder, where there is one.
    fn question<'a>(&self, ticket: &'a Ticket) -> Question<'a> {
        let mut question = Question::of_ticket(ticket, &self.redactor);
        let encoder = self.knowledge.encoder();
        let sentence = encoder.and_then(|encoder| encoder.read(&question.text.words(), &compute::is_abandoned));
        question.sentence = sentence.map(|sentence| SentenceVector::new(&sentence.vector));
        question
    }

    /// What was kept of a confirmed ticket; nothing is read anew.
    fn confirmed<'a>(
        &self,
        ticket: &'a ConfirmedTicket,
        text: &'a str,
        memory: &MemoryView<'_>,
    ) -> Result<Question<'a>, TriageError> {
        let mut question = Question::of_confirmed(ticket, text, &self.redactor);
        question.sentence = memory.sentence(&ticket.id)?;
        Ok(question)
    }

    fn learned(&self) -> Arc<Learned> {
        Arc::clone(&self.learned.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The change to the memory that weights and chances were learned from; 0 where nothing was learned yet.
    pub fn learned_version(&self) -> u64 {
        self.learned().memory_version()
    }

    fn use_learned(&self, learned: Learned) {
        *self.learned.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(learned);
    }

    /// Articles that may solve the ticket, most useful first: published ones, valid on `today`. The memory's ticket of
    /// the same id is left out. Of known errors an incident is shown what helps; `is_incident` is asked whether the ticket
    /// is one where that would matter and its form does not say so.
    pub fn suggest(
        &self,
        ticket: &Ticket,
        today: Day,
        limit: usize,
        is_incident: impl FnOnce() -> Result<bool, TriageError>,
    ) -> Result<Suggestions, TriageError> {
        let (knowledge, memory) = (self.knowledge.view(), self.memory.as_ref().map(Memory::view));
        let learned = self.learned();
        let question = self.question(ticket);
        let evidence = Evidence::gather(&knowledge, memory.as_ref(), &question, Copies::Vote, today)?;
        let shares = evidence.shares(&learned.weights(evidence.basis()), question.is_incident);
        let best = knowledge.best(&evidence.candidates, &scores(&shares), limit);
        let has_remedies = best.iter().any(|best| evidence.candidates.list[best.place].has_remedy);
        let remedies_first = has_remedies && (question.is_incident || is_incident()?);
        let mut articles = Vec::with_capacity(best.len());
        for suggested in knowledge.show(&evidence.candidates, &best, remedies_first)? {
            let reasons = evidence.reasons(suggested.place, suggested.words, question.is_incident);
            let chance = learned.chance(shares[suggested.place], evidence.basis());
            articles.push(ArticleHit { reasons, chance, ..suggested.hit });
        }
        let memory_version = memory.as_ref().map_or(0, MemoryView::version);
        Ok(Suggestions {
            articles,
            knowledge_version: knowledge.version(),
            memory_version,
            learned_version: learned.memory_version(),
        })
    }

    /// The ids of what [`Self::suggest`] finds, in its order: for measuring, where nobody reads passages and reasons.
    pub fn suggest_ids(&self, ticket: &Ticket, today: Day, limit: usize) -> Result<Vec<String>, TriageError> {
        let (knowledge, memory) = (self.knowledge.view(), self.memory.as_ref().map(Memory::view));
        let question = self.question(ticket);
        let evidence = Evidence::gather(&knowledge, memory.as_ref(), &question, Copies::Vote, today)?;
        let shares = evidence.shares(&self.learned().weights(evidence.basis()), question.is_incident);
        let best = knowledge.best(&evidence.candidates, &scores(&shares), limit);
        Ok(best.into_iter().map(|best| evidence.candidates.list[best.place].id.clone()).collect())
    }
}

/// Shares as articles are ordered by.
#[expect(clippy::cast_possible_truncation, reason = "a share of 1 in single precision, kept above 0")]
fn scores(shares: &[f64]) -> Vec<f32> {
    shares.iter().map(|share| (*share as f32).max(f32::MIN_POSITIVE)).collect()
}

/// A ticket as articles are looked for.
struct Question<'a> {
    text: PlainText<'a>,
    vector: TextVector,
    sentence: Option<SentenceVector>,
    /// Empty where the ticket has none.
    id: &'a str,
    products: Vec<&'a str>,
    category: Option<&'a str>,
    is_incident: bool,
}

impl<'a> Question<'a> {
    fn of_ticket(ticket: &'a Ticket, redactor: &Redactor) -> Self {
        let named = [ticket.service(), ticket.configuration_item(), ticket.field_value(PRODUCT).unwrap_or_default()];
        let kind = ticket.field_value(TYPE);
        let text = PlainText::of(ticket.text(), usize::MAX, redactor);
        Self::new(text, ticket.id(), &named, ticket.field_value(CATEGORY), kind)
    }

    fn of_confirmed(ticket: &'a ConfirmedTicket, text: &'a str, redactor: &Redactor) -> Self {
        let label = |name| ticket.labels.get(name).map(String::as_str);
        let named = [&ticket.service, &ticket.configuration_item, label(PRODUCT).unwrap_or_default()];
        let text = PlainText::of(text, usize::MAX, redactor);
        Self::new(text, &ticket.id, &named, label(CATEGORY), label(TYPE))
    }

    fn new(
        text: PlainText<'a>,
        id: &'a str,
        named: &[&'a str],
        category: Option<&'a str>,
        ticket_type: Option<&'a str>,
    ) -> Self {
        let vector = TextVector::of(&text.words());
        let products = named.iter().copied().filter(|name| !name.trim().is_empty()).collect();
        let is_incident = ticket_type == Some(INCIDENT);
        Self { text, vector, sentence: None, id, products, category, is_incident }
    }
}

/// The ticket type of something broken.
pub(super) const INCIDENT: &str = "incident";

/// What speaks for each candidate.
struct Evidence<'a> {
    candidates: Candidates,
    has_meaning: bool,
    features: Vec<Features>,
    experienced: Option<Experienced<'a>>,
}

impl<'a> Evidence<'a> {
    fn gather(
        knowledge: &KnowledgeView<'_>,
        memory: Option<&'a MemoryView<'a>>,
        question: &Question<'_>,
        copies: Copies,
        today: Day,
    ) -> Result<Self, TriageError> {
        let (text, sentence) = (question.text.as_str(), question.sentence.as_ref());
        let experienced = memory.map(|memory| memory.experienced(text, sentence, question.id, copies)).transpose()?;
        let words = question.text.words();
        let subject = Subject {
            text: &words,
            vector: &question.vector,
            sentence,
            products: question.products.clone(),
            category: question.category,
        };
        let voted = experienced.iter().flat_map(Experienced::articles);
        let candidates = knowledge.candidates(&subject, voted, today)?;
        let features = candidates
            .list
            .iter()
            .map(|candidate| {
                let (share, by_meaning, past) = experienced.as_ref().map_or((0.0, 0.0, 0.0), |experienced| {
                    let share = experienced.share(&candidate.id, PRIOR_VOTES);
                    let by_meaning = experienced.share_by_meaning(&candidate.id, PRIOR_VOTES_BY_MEANING);
                    let past = match sentence {
                        Some(sentence) => experienced.likeness_of_meaning(&candidate.id, sentence),
                        None => experienced.likeness(&candidate.id, &question.vector),
                    };
                    (share, by_meaning, past)
                });
                let agreement = match candidate.agreement {
                    Agreement::Unknown => 0.5,
                    Agreement::Differs => 0.0,
                    Agreement::SameProduct(_) | Agreement::SameCategory(_) => 1.0,
                };
                [
                    f64::from(candidate.words),
                    f64::from(candidate.title),
                    f64::from(candidate.likeness),
                    (f64::from(share) / VOTE_SCALE).ln_1p(),
                    f64::from(past),
                    agreement,
                    0.0,
                    f64::from(candidate.meaning.head),
                    f64::from(candidate.meaning.passage),
                    (f64::from(by_meaning) / VOTE_SCALE).ln_1p(),
                ]
            })
            .collect();
        Ok(Self { candidates, has_meaning: sentence.is_some(), features, experienced })
    }

    /// The share of each candidate that it is the one, against the others and against none of them; not yet a chance.
    fn shares(&self, weights: &Weights, is_incident: bool) -> Vec<f64> {
        let bonus = |kind| if is_incident && kind == ArticleKind::KnownError { KNOWN_ERROR_BONUS } else { 0.0 };
        let scored = self.candidates.list.iter().zip(&self.features);
        let mut scores: Vec<f64> =
            scored.map(|(candidate, features)| weights::score(weights, features) + bonus(candidate.kind)).collect();
        scores.push(weights::score(weights, &NO_ARTICLE));
        let mut shares = weights::softmax(&scores);
        shares.pop();
        shares
    }

    fn basis(&self) -> Basis {
        // The one that is asked about is not among them.
        let linked = self.experienced.as_ref().map_or(0, Experienced::linked);
        Basis { linked, has_meaning: self.has_meaning }
    }

    fn reasons(&self, place: usize, words: Vec<String>, is_incident: bool) -> Vec<Reason> {
        let candidate = &self.candidates.list[place];
        let mut reasons = Vec::new();
        let solved = self.experienced.as_ref().map(|experienced| experienced.solved_by(&candidate.id));
        if let Some(tickets) = solved.filter(|tickets| !tickets.is_empty()) {
            reasons.push(Reason::solved_similar(&tickets));
        }
        if !words.is_empty() {
            reasons.push(Reason::shared_words(words));
        }
        match &candidate.agreement {
            Agreement::SameProduct(name) => reasons.push(Reason::same_product(name)),
            Agreement::SameCategory(name) => reasons.push(Reason::same_category(name)),
            Agreement::Unknown | Agreement::Differs => {}
        }
        if is_incident && candidate.kind == ArticleKind::KnownError {
            reasons.push(Reason::known_error());
        }
        reasons
    }
}

#[cfg(test)]
mod tests;
