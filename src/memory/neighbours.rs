//! Which confirmed tickets are like a text. A few terms of the text find candidates by BM25; these are compared with
//! the whole text by the cosine of TF-IDF over words and pairs of neighbouring words (sublinear term frequency and
//! smooth inverse document frequency, as in Manning, Raghavan and Schütze 2008, chapter 6). The cost is bounded however
//! long the text is, and the answer is the same in whatever order the tickets came.

use std::ops::Range;

use tantivy::{TantivyError, Term};

use super::{
    bag::{self, Feature},
    schema::Fields,
    snapshot::{Frequencies, Segment, Snapshot, strings},
};
use crate::{
    domain::memory::{Neighbour, SharedText},
    encode::{PlainText, Sources},
    knowledge::{
        derived::Derived as _,
        question::MAX_REPEATS,
        rank::{self, MAX_TERMS},
        top::{Ranked, Top},
        words::is_desk_term,
    },
};

/// At least so many candidates are compared with the whole text, and twice as many as are asked for.
const MIN_CANDIDATES: usize = 64;
/// Postings that finding candidates may read: of a large memory the least telling words are left out.
const MAX_POSTINGS: u32 = 250_000;
/// Words and pairs that explain a similarity, before those that touch become phrases.
const MAX_SHARED_FEATURES: usize = 12;
const MAX_SHARED: usize = 5;

/// The `limit` tickets that are most like the text, best first, without the ticket of the id `leave_out`. Those that
/// share no word with it are none.
pub(super) fn neighbours(
    snapshot: &Snapshot,
    fields: &Fields,
    text: &PlainText<'_>,
    leave_out: &str,
    limit: usize,
) -> Result<Vec<Neighbour>, TantivyError> {
    let features = bag::features(text.as_str());
    let asking = Weighted::new(&features, snapshot);
    let own = snapshot.find(&fields.id_term(leave_out))?;
    let mut compared: Vec<(Ranked, Likeness)> = Vec::new();
    let mut bag = Vec::new();
    for candidate in candidates(snapshot, fields, &features, MIN_CANDIDATES.max(2 * limit))? {
        if own == Some((candidate.segment, candidate.document)) {
            continue;
        }
        snapshot.segments[candidate.segment].bag(candidate.document, &mut bag)?;
        if let Some(likeness) = asking.compare(&bag) {
            compared.push((candidate, likeness));
        }
    }
    keep_most_alike(&mut compared, limit);
    let mut named = Vec::with_capacity(compared.len());
    for (Ranked { segment, document, score: _ }, likeness) in compared {
        let segment = &snapshot.segments[segment];
        named.push((segment.ticket_id(document)?, segment, document, likeness));
    }
    named.sort_unstable_by(|(a_id, .., a), (b_id, .., b)| {
        b.similarity.total_cmp(&a.similarity).then_with(|| a_id.cmp(b_id))
    });
    named.truncate(limit);
    let neighbour = |(id, segment, document, likeness): (String, &Segment, u32, Likeness)| {
        Ok(Neighbour {
            id,
            similarity: likeness.similarity,
            articles: strings(segment.linked_ids.solved.as_ref(), document)?,
            refused: strings(segment.linked_ids.refused.as_ref(), document)?,
            shared: phrases(likeness.shared, &features, text.sources()),
        })
    };
    named.into_iter().map(neighbour).collect()
}

/// The `limit` most alike and every further one that is as alike as the last: which of them stay is told by their ids,
/// which are costly to read.
fn keep_most_alike(compared: &mut Vec<(Ranked, Likeness)>, limit: usize) {
    compared.sort_unstable_by(|(_, a), (_, b)| b.similarity.total_cmp(&a.similarity));
    if let Some((_, last)) = limit.checked_sub(1).and_then(|last| compared.get(last)) {
        let least = last.similarity;
        compared.retain(|(_, likeness)| likeness.similarity >= least);
    }
}

/// The tickets that hold the text's most telling words, at most one more than `wanted`: one may be the asking ticket.
fn candidates(
    snapshot: &Snapshot,
    fields: &Fields,
    features: &[Feature],
    wanted: usize,
) -> Result<Vec<Ranked>, TantivyError> {
    let terms = choose_terms(snapshot, features);
    let saturation = rank::saturation_by_length(snapshot.mean_length);
    let mut top = Top::new(wanted + 1);
    for (number, segment) in snapshot.segments.iter().enumerate() {
        let mut scores = vec![0.0; segment.documents as usize];
        for (text, weight) in &terms {
            let term = Term::from_field_text(fields.text, text);
            if let Some(postings) = segment.text.get_term_info(&term)? {
                rank::add_scores(&segment.text, &segment.lengths, &postings, *weight, &saturation, &mut scores)?;
            }
        }
        for (document, &score) in (0_u32..).zip(&scores) {
            if score >= top.threshold() && segment.is_alive(document) {
                top.push(Ranked { segment: number, document, score });
            }
        }
    }
    Ok(top.take(|segment| snapshot.segments[segment].ids.as_ref(), 0)?)
}

/// The words of the text that best tell its like from the others, with their weights, best first; words that every
/// ticket holds only where there are no others.
fn choose_terms<'a>(snapshot: &Snapshot, features: &'a [Feature]) -> Vec<(&'a str, f32)> {
    let words = features.iter().filter_map(|feature| Some((feature.term.as_deref()?, feature)));
    let mut terms: Vec<(&str, f32, u32)> = words
        .filter_map(|(term, feature)| {
            let found = snapshot.frequencies.of(feature.hash).min(snapshot.tickets);
            let times = f32::from(feature.count).min(MAX_REPEATS);
            (found > 0).then(|| (term, times * rank::inverse_document_frequency(found, snapshot.tickets), found))
        })
        .collect();
    if !terms.iter().all(|(term, ..)| is_desk_term(term)) {
        terms.retain(|(term, ..)| !is_desk_term(term));
    }
    terms.sort_unstable_by(|(a, a_weight, _), (b, b_weight, _)| b_weight.total_cmp(a_weight).then_with(|| a.cmp(b)));
    let mut postings = 0_u32;
    let affordable = terms.into_iter().take(MAX_TERMS).enumerate().filter(|(place, (.., found))| {
        let all = postings.saturating_add(*found);
        let fits = *place == 0 || all <= MAX_POSTINGS;
        postings = if fits { all } else { postings };
        fits
    });
    affordable.map(|(_, (term, weight, _))| (term, weight)).collect()
}

/// A text's features with their TF-IDF weights.
struct Weighted<'a> {
    features: &'a [Feature],
    weights: Vec<f32>,
    length: f32,
    frequencies: &'a Frequencies,
    tickets: u32,
}

/// How like a ticket is to the asking text.
struct Likeness {
    similarity: f32,
    /// Places of the features that both have, each with its part of the similarity.
    shared: Vec<(usize, f32)>,
}

impl<'a> Weighted<'a> {
    fn new(features: &'a [Feature], snapshot: &'a Snapshot) -> Self {
        let (frequencies, tickets) = (&snapshot.frequencies, snapshot.tickets);
        let weights: Vec<f32> =
            features.iter().map(|feature| weight(feature.count, frequencies.of(feature.hash), tickets)).collect();
        let length = weights.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
        Self { features, weights, length, frequencies, tickets }
    }

    /// `None` where nothing is shared.
    fn compare(&self, bag: &[u8]) -> Option<Likeness> {
        let mut shared = Vec::new();
        let (mut product, mut square) = (0.0_f32, 0.0_f32);
        let mut next = 0;
        for (hash, count) in bag::decode(bag) {
            let weight = weight(count, self.frequencies.of(hash), self.tickets);
            square += weight * weight;
            while self.features.get(next).is_some_and(|feature| feature.hash < hash) {
                next += 1;
            }
            if self.features.get(next).is_some_and(|feature| feature.hash == hash) {
                let part = weight * self.weights[next];
                product += part;
                shared.push((next, part));
            }
        }
        let scale = self.length * square.sqrt();
        if shared.is_empty() || scale <= 0.0 {
            return None;
        }
        for (_, part) in &mut shared {
            *part /= scale;
        }
        Some(Likeness { similarity: (product / scale).min(1.0), shared })
    }
}

/// Sublinear term frequency times smooth inverse document frequency; more than 0.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts needs no more than the leading digits")]
fn weight(count: u8, found: u32, tickets: u32) -> f32 {
    let rarity = ((1.0 + tickets as f32) / (1.0 + found.min(tickets) as f32)).ln() + 1.0;
    (1.0 + f32::from(count).ln()) * rarity
}

/// The weightiest shared words and pairs as stretches of the text that was sent; those that touch are one.
fn phrases(mut shared: Vec<(usize, f32)>, features: &[Feature], sources: &Sources) -> Vec<SharedText> {
    shared.sort_unstable_by(|(a, a_part), (b, b_part)| b_part.total_cmp(a_part).then_with(|| a.cmp(b)));
    shared.truncate(MAX_SHARED_FEATURES);
    let mut stretches: Vec<(Range<usize>, f32)> =
        shared.into_iter().map(|(place, part)| (features[place].bytes.clone(), part)).collect();
    stretches.sort_unstable_by_key(|(bytes, _)| (bytes.start, bytes.end));
    let mut phrases: Vec<(Range<usize>, f32)> = Vec::new();
    for (bytes, part) in stretches {
        match phrases.last_mut() {
            Some((last, weight)) if bytes.start < last.end => {
                last.end = last.end.max(bytes.end);
                *weight += part;
            }
            Some(_) | None => phrases.push((bytes, part)),
        }
    }
    phrases.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    phrases.truncate(MAX_SHARED);
    phrases.into_iter().map(|(bytes, weight)| SharedText { bytes: sources.original(bytes), weight }).collect()
}
