//! The articles that fit what a chatbot's user asks, each with the chance that it is the one.

use super::{Evidence, Suggester, scores};
use crate::{
    domain::{article::Day, ticket::Ticket},
    error::TriageError,
    knowledge::{Answered, KnowledgeView, language::Language},
    memory::{Copies, Memory, MemoryView},
};
use std::collections::HashSet;

/// Without enough links of the desk, the chance of a candidate: a logistic function of its share and of how far the first
/// stands before the second. Set by hand on three public knowledge bases, between what each would want: it orders well and
/// promises little.
const OF_SHARE: f64 = 1.4;
const OF_LEAD: f64 = 1.4;
const MOST_LEAD: f64 = 3.0;
const CHANCE: f64 = 2.0;
/// Of a question in another language than the everyday ones nothing is known but what its words say.
const OTHER_LANGUAGE: f32 = 1.0;

/// What fits a question, as the knowledge base and the memory stood when it was asked.
pub(crate) struct Fitting<'a> {
    view: KnowledgeView<'a>,
    evidence: Evidence<'a>,
    /// Best first.
    pub articles: Vec<FittingArticle>,
    /// The likelihood, 0 to 1, that the question is about what the knowledge base is about.
    pub scope: f32,
    pub knowledge_version: u64,
    /// 0 without a memory.
    pub memory_version: u64,
    pub learned_version: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FittingArticle {
    pub id: String,
    /// Its part of all that speaks for any article or none, 0 to 1.
    pub share: f64,
    /// The chance that it is the one, 0 to 1, where the question is in scope.
    pub chance: f32,
}

impl Suggester {
    /// The articles that fit a question, at most `limit`: published ones, valid on `today`. `products` are those it is
    /// about beside what the ticket names; `memory` is what is known of solved tickets.
    pub(crate) fn fitting<'a>(
        &'a self,
        ticket: &Ticket,
        products: &[&str],
        memory: Option<&'a MemoryView<'a>>,
        today: Day,
        limit: usize,
    ) -> Result<Fitting<'a>, TriageError> {
        let view = self.knowledge.view();
        let learned = self.learned();
        let mut question = self.question(ticket);
        question.products.extend(products);
        let evidence = Evidence::gather(&view, memory, &question, Copies::Vote, today)?;
        let shares = evidence.shares(&learned.weights(evidence.basis()), question.is_incident);
        let best = view.best(&evidence.candidates, &scores(&shares), limit);
        let scope = match Language::of(question.text.as_str()) {
            None => view.scope(&question.vector, &evidence.candidates, today),
            Some(_) => OTHER_LANGUAGE,
        };
        let share = |rank: usize| best.get(rank).map_or(0.0, |best| shares[best.place]);
        let lead = (share(0).max(f64::MIN_POSITIVE) / share(1).max(f64::MIN_POSITIVE)).ln();
        let articles = best.iter().enumerate().map(|(rank, best)| {
            let share = shares[best.place];
            let lead = if rank == 0 { lead } else { 0.0 };
            let chance = learned.chance(share, evidence.basis()).unwrap_or_else(|| estimate(share, lead));
            FittingArticle { id: evidence.candidates.list[best.place].id.clone(), share, chance }
        });
        let articles = articles.collect();
        Ok(Fitting {
            articles,
            scope,
            knowledge_version: view.version(),
            memory_version: memory.map_or(0, MemoryView::version),
            learned_version: learned.memory_version(),
            view,
            evidence,
        })
    }

    /// The title of an article; `None` where there is no such article by now.
    pub(crate) fn article_title(&self, id: &str) -> Result<Option<String>, TriageError> {
        Ok(self.knowledge.view().text(id)?.map(|text| text.title))
    }

    /// What is known of solved tickets now.
    pub(crate) fn memory_view(&self) -> Option<MemoryView<'_>> {
        self.memory.as_ref().map(Memory::view)
    }
}

impl Fitting<'_> {
    /// Of the article that fits best; 0 where none does.
    pub(crate) fn best_chance(&self) -> f32 {
        self.articles.first().map_or(0.0, |article| article.chance)
    }

    /// The passage of an article that answers, without the units that were shown before; `None` where nothing is left.
    pub(crate) fn answer(&self, id: &str, shown: &HashSet<u64>) -> Result<Option<Answered>, TriageError> {
        Ok(self.view.answer(&self.evidence.candidates, id, shown)?)
    }

    /// The products of an article; none where it has none.
    pub(crate) fn products(&self, id: &str) -> Result<Vec<String>, TriageError> {
        Ok(self.view.text(id)?.map(|text| text.products).unwrap_or_default())
    }
}

/// The lead is a difference of scores, which the logarithm of the shares' ratio is.
#[expect(clippy::cast_possible_truncation, reason = "a chance needs no more digits")]
fn estimate(share: f64, lead: f64) -> f32 {
    let logit = (share.clamp(1e-6, 1.0 - 1e-6) / (1.0 - share.clamp(1e-6, 1.0 - 1e-6))).ln();
    (1.0 / (1.0 + (-(OF_SHARE * logit + OF_LEAD * lead.min(MOST_LEAD) + CHANCE)).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_share_and_a_longer_lead_are_a_better_chance() {
        let by_share: Vec<f32> = [0.0, 0.01, 0.1, 0.4, 0.9, 1.0].map(|share| estimate(share, 0.0)).to_vec();
        assert!(by_share.is_sorted() && by_share.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(estimate(0.2, 2.0) > estimate(0.2, 0.1));
        assert!((estimate(0.2, 3.0) - estimate(0.2, 300.0)).abs() < f32::EPSILON);
    }
}
