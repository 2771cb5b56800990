//! Whether an article answers a ticket that no article is known to have solved. The one place that decides it for the
//! report on gaps.

use super::{Evidence, Suggester, scores, weights::Features};
use crate::{
    domain::{article::Day, memory::ConfirmedTicket},
    error::TriageError,
    knowledge::KnowledgeView,
    memory::{Copies, MemoryView},
};

/// Articles that a caller is shown where nobody asks for more.
const SHOWN: usize = 3;
/// From this chance on the first suggestion counts as the answer.
const ANSWERED_CHANCE: f32 = 0.5;
/// From this sum on, of the part of the title that stands in the ticket and the cosine of both, an article is about what
/// the ticket asks. About half of 1,827 public questions reach it, each asked of the base that holds its article.
const ANSWERED_BY_TEXT: f64 = 1.0;

/// What would be suggested for a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Offer {
    /// Ids of the first articles, best first; at most three.
    pub first: Vec<String>,
    /// One of them answers the ticket.
    pub is_answer: bool,
    /// The desk's own links say so, and not the text alone.
    pub is_learned: bool,
}

impl Suggester {
    /// What would be suggested for a confirmed ticket if it were new: on `today`, its own links left out, and without
    /// the articles that were refused for it.
    pub(crate) fn offer(
        &self,
        (knowledge, memory): (&KnowledgeView<'_>, &MemoryView<'_>),
        ticket: &ConfirmedTicket,
        today: Day,
    ) -> Result<Offer, TriageError> {
        let text = ticket.text();
        let question = self.confirmed(ticket, &text, memory)?;
        let mut evidence = Evidence::gather(knowledge, Some(memory), &question, Copies::Vote, today)?;
        evidence.leave_out(|id| ticket.refused.contains(id));
        let learned = self.learned();
        let shares = evidence.shares(&learned.weights(evidence.basis()), question.is_incident);
        let best = knowledge.best(&evidence.candidates, &scores(&shares), SHOWN);
        let chance = best.first().and_then(|best| learned.chance(shares[best.place], evidence.basis()));
        Ok(Offer {
            first: best.iter().map(|best| evidence.candidates.list[best.place].id.clone()).collect(),
            is_answer: is_answer(chance, &evidence.features),
            is_learned: chance.is_some(),
        })
    }
}

/// From the chance of the first suggestion, where the desk's links tell one, else from what speaks for each candidate.
fn is_answer(chance: Option<f32>, candidates: &[Features]) -> bool {
    if let Some(chance) = chance {
        return chance >= ANSWERED_CHANCE;
    }
    let by_text = candidates.iter().map(|[_, title, likeness, ..]| title + likeness);
    by_text.fold(0.0, f64::max) >= ANSWERED_BY_TEXT
}

impl Evidence<'_> {
    /// Takes candidates away.
    fn leave_out(&mut self, unwanted: impl Fn(&str) -> bool) {
        let kept: Vec<bool> = self.candidates.list.iter().map(|candidate| !unwanted(&candidate.id)).collect();
        let (mut of_candidates, mut of_features) = (kept.iter(), kept.iter());
        self.candidates.list.retain(|_| *of_candidates.next().unwrap_or(&true));
        self.features.retain(|_| *of_features.next().unwrap_or(&true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_answers_by_its_chance_or_by_its_text() {
        let candidate = |title: f64, likeness: f64| [1.0, title, likeness, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0];
        for (chance, candidates, expected) in [
            (None, &[][..], false),
            (Some(0.5), &[candidate(0.0, 0.0)][..], true),
            (Some(0.49), &[candidate(0.9, 0.9)], false),
            (None, &[candidate(0.0, 0.0), candidate(0.6, 0.4)], true),
            (None, &[candidate(0.9, 0.0), candidate(0.0, 0.9)], false),
        ] {
            assert_eq!(is_answer(chance, candidates), expected, "{chance:?} {candidates:?}");
        }
    }
}
