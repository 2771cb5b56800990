//! What articles have solved so far, and what has which label: of each the sum of its tickets' vectors, a small model of
//! the past. Sums of whole numbers, so that the way to a memory does not matter.

use std::{collections::HashMap, sync::Arc};

use crate::encode::{SentenceVector, TextVector, VectorSum};

#[derive(Debug, Clone, Default)]
pub(super) struct Experience {
    /// Shared with earlier states where nothing changed.
    articles: HashMap<Arc<str>, Arc<Solved>>,
    /// Tickets that an article solved.
    pub linked: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Solved {
    sum: VectorSum,
    /// Of the sum's length.
    square: i64,
    tickets: u32,
}

/// A ticket that is not to speak for its own articles.
pub(super) struct Own {
    pub vector: TextVector,
    /// Of a ticket that articles solved, where there is a sentence encoder.
    pub sentence: Option<SentenceVector>,
    pub articles: Vec<String>,
}

impl Experience {
    pub(super) fn is_empty(&self) -> bool {
        self.articles.is_empty()
    }

    /// How like the text is to what the article solved, and how many tickets that is, `own` left aside; `None` where that
    /// is nothing.
    pub(super) fn likeness(&self, article: &str, vector: &TextVector, own: Option<&Own>) -> Option<(f32, u32)> {
        let solved = self.articles.get(article)?;
        match own.filter(|own| own.articles.iter().any(|id| id == article)) {
            None => Some((solved.sum.cosine(solved.square, vector), solved.tickets)),
            Some(own) if solved.tickets > 1 => {
                let mut others = solved.sum.clone();
                others.subtract(&own.vector);
                Some((others.cosine(others.square(), vector), solved.tickets - 1))
            }
            Some(_) => None,
        }
    }

    pub(super) fn add(&mut self, article: &str, sum: &VectorSum, tickets: u32) {
        let solved = Arc::make_mut(self.articles.entry(article.into()).or_default());
        solved.sum.add_all(sum);
        solved.square = solved.sum.square();
        solved.tickets += tickets;
    }

    pub(super) fn subtract(&mut self, article: &str, sum: &VectorSum, tickets: u32) {
        let Some(solved) = self.articles.get_mut(article) else { return };
        let solved = Arc::make_mut(solved);
        solved.sum.subtract_all(sum);
        solved.square = solved.sum.square();
        solved.tickets = solved.tickets.saturating_sub(tickets);
        if solved.tickets == 0 {
            self.articles.remove(article);
        }
    }
}

impl PartialEq for Experience {
    fn eq(&self, other: &Self) -> bool {
        self.linked == other.linked && self.articles == other.articles
    }
}
