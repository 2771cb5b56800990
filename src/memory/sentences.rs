//! What a sentence encoder made of the tickets that articles solved: which of them mean what a text does, whatever their
//! words. Exact dot products over all of them.

use std::{collections::HashMap, io, sync::Arc};

use tantivy::columnar::BytesColumn;

use super::neighbours::{Near, Others};
use crate::{
    encode::{SentenceSum, SentenceVector, SentenceVectors},
    knowledge::{
        names::for_each_value,
        top::{Ranked, Top},
    },
};

/// The vectors of a segment's tickets.
#[derive(Default)]
pub(super) struct TicketSentences {
    vectors: SentenceVectors,
    /// The documents that they belong to, in order.
    documents: Vec<u32>,
}

impl TicketSentences {
    pub(super) fn load(column: Option<&BytesColumn>, documents: u32) -> io::Result<Self> {
        let mut values = Vec::new();
        if let Some(column) = column {
            for_each_value(column, 0..documents, |document, bytes| {
                values.push((document, SentenceVector::from_bytes(bytes)));
            })?;
        }
        values.sort_unstable_by_key(|(document, _)| *document);
        let mut all = Self::default();
        for (document, vector) in values {
            all.documents.push(document);
            all.vectors.push(&vector);
        }
        Ok(all)
    }

    /// Cosine of a text and each ticket that has a vector, by document.
    fn all(&self, text: &SentenceVector) -> impl Iterator<Item = (u32, f32)> {
        self.documents.iter().copied().zip(self.vectors.cosines(text))
    }

    /// Each vector with its document.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, SentenceVector)> {
        let numbered = self.documents.iter().enumerate();
        numbered.filter_map(|(number, document)| Some((*document, self.vectors.get(number)?)))
    }

    /// The vector of a ticket; `None` where it has none.
    pub(super) fn of(&self, document: u32) -> Option<SentenceVector> {
        self.vectors.get(self.documents.binary_search(&document).ok()?)
    }
}

/// Of each article the sum of the vectors of the tickets that it solved.
#[derive(Clone, Default)]
pub(super) struct SolvedMeanings(HashMap<Arc<str>, Arc<(SentenceSum, u32)>>);

impl SolvedMeanings {
    pub(super) fn add(&mut self, article: &str, vector: &SentenceVector) {
        let (sum, tickets) = Arc::make_mut(self.0.entry(article.into()).or_default());
        sum.add(vector);
        *tickets += 1;
    }

    pub(super) fn subtract(&mut self, article: &str, vector: &SentenceVector) {
        let Some(known) = self.0.get_mut(article) else { return };
        let (sum, tickets) = Arc::make_mut(known);
        sum.subtract(vector);
        *tickets = tickets.saturating_sub(1);
        if *tickets == 0 {
            self.0.remove(article);
        }
    }

    /// How like a text is to what the article solved, `own` left aside where it is the vector of one of these; 0 where
    /// that is nothing.
    pub(super) fn likeness(&self, article: &str, text: &SentenceVector, own: Option<&SentenceVector>) -> f32 {
        let Some((sum, _)) = self.0.get(article).map(Arc::as_ref) else { return 0.0 };
        let Some(own) = own else { return sum.cosine(text) };
        let mut others = sum.clone();
        others.subtract(own);
        others.cosine(text)
    }
}

/// The `limit` tickets that articles solved or were of no use to whose meaning is most like that of the text, best first.
pub(super) fn nearest<'a>(others: &Others<'a>, text: &SentenceVector, limit: usize) -> Vec<Near<'a>> {
    let snapshot = others.snapshot();
    let mut top = Top::new(limit);
    for (number, segment) in snapshot.segments.iter().enumerate() {
        for (document, score) in segment.sentences().all(text) {
            let ranked = Ranked { segment: number, document, score };
            if segment.is_linked(document) && segment.is_alive(document) && !others.leaves_out(&ranked) {
                top.push(ranked);
            }
        }
    }
    let best = top.take(|ranked| snapshot.segments[ranked.segment].ticket_id(ranked.document), 0);
    let near = |Ranked { segment, document, score }| {
        let segment = &snapshot.segments[segment];
        Near { id: segment.ticket_id(document), segment, document, similarity: score }
    };
    best.into_iter().map(near).collect()
}
