//! Which confirmed tickets are like a text. A few terms of the text find candidates by BM25; these are compared with
//! the whole text by the cosine of TF-IDF over words (sublinear term frequency and smooth inverse document frequency,
//! as in Manning, Raghavan and Schütze 2008, chapter 6). The cost is bounded however long the text is, and the answer is
//! the same in whatever order the tickets came. A ticket that is left out counts nowhere, as if it had been deleted.

use std::{ops::Range, sync::LazyLock};

use tantivy::{TantivyError, Term};

use super::{
    bag::{self, Feature},
    experience::Own,
    schema::Fields,
    snapshot::{Segment, Snapshot, slot},
};
use crate::{
    domain::memory::{Neighbour, SharedText},
    encode::{PlainText, Sources, TextVector},
    knowledge::{
        derived::Derived as _,
        question::{MAX_REPEATS, SUMMARY_WORD},
        rank::{self, MAX_POSTINGS, MAX_TERMS, RARITY_EXPONENT, Saturation},
        top::{Ranked, Top},
        words::is_desk_term,
    },
};

/// At least so many candidates are compared with the whole text, and twice as many as are asked for.
const MIN_CANDIDATES: usize = 64;
/// BM25's saturation and length normalisation: the usual ones.
const K1: f32 = 1.2;
const B: f32 = 0.5;
/// Words that explain a similarity, before those that touch become phrases.
const MAX_SHARED_WORDS: usize = 12;
const MAX_SHARED: usize = 5;

/// Which tickets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// Those that articles solved, or were of no use to.
    Linked,
}

/// The memory as it is without one ticket, where there is such.
pub(super) struct Others<'a> {
    snapshot: &'a Snapshot,
    fields: &'a Fields,
    own: Option<(usize, u32)>,
    /// Slots that the ticket's words count in, in order.
    own_slots: Vec<usize>,
    tickets: u32,
    mean_length: f32,
}

impl<'a> Others<'a> {
    /// All tickets but the one with the id `leave_out`.
    pub(super) fn new(snapshot: &'a Snapshot, fields: &'a Fields, leave_out: &str) -> Result<Self, TantivyError> {
        let own = if leave_out.is_empty() { None } else { snapshot.find(&fields.id_term(leave_out))? };
        let (mut lengths, mut own_slots) = (snapshot.lengths, Vec::new());
        if let Some((segment, document)) = own {
            let segment = &snapshot.segments[segment];
            own_slots.extend(segment.words(document).map(|(hash, _)| slot(hash)));
            own_slots.sort_unstable();
            lengths.documents -= 1;
            lengths.terms -= u64::from(segment.lengths.fieldnorm(document));
        }
        let tickets = snapshot.tickets - u32::from(own.is_some());
        Ok(Self { snapshot, fields, own, own_slots, tickets, mean_length: lengths.mean() })
    }

    /// In how many tickets a word stands.
    fn frequency(&self, hash: u32) -> u32 {
        let found = self.snapshot.frequencies.of(hash);
        if self.own_slots.is_empty() {
            return found;
        }
        let slot = slot(hash);
        let start = self.own_slots.partition_point(|own| *own < slot);
        let own = self.own_slots[start..].iter().take_while(|own| **own == slot).count();
        found.saturating_sub(u32::try_from(own).unwrap_or(u32::MAX))
    }

    /// What of the ticket left out speaks for articles; `None` where there is no such ticket or nothing does.
    pub(super) fn own(&self) -> Result<Option<Own>, TantivyError> {
        let Some((segment, document)) = self.own else { return Ok(None) };
        let segment = &self.snapshot.segments[segment];
        let Some(vector) = TextVector::from_bytes(&segment.vector(document)?) else { return Ok(None) };
        Ok(Some(Own { vector, articles: segment.solved(document).map(str::to_owned).collect() }))
    }
}

/// A ticket that was compared with the text.
pub(super) struct Near<'a> {
    pub id: &'a str,
    pub segment: &'a Segment,
    pub document: u32,
    pub similarity: f32,
    likeness: Likeness,
}

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
    let others = Others::new(snapshot, fields, leave_out)?;
    let near = nearest(&others, &features, Wanted::All, MIN_CANDIDATES.max(2 * limit), limit)?;
    let neighbour = |near: Near<'_>| {
        let Near { id, segment, document, similarity, likeness: Likeness { mut shared, .. } } = near;
        let place = |(hash, _)| features.binary_search_by_key(&hash, |feature| feature.hash).ok();
        shared.extend(segment.pairs(document).filter_map(place).map(|place| (place, 0.0)));
        Ok(Neighbour {
            id: id.to_owned(),
            similarity,
            articles: segment.solved(document).map(str::to_owned).collect(),
            refused: segment.refused(document).map(str::to_owned).collect(),
            shared: phrases(shared, &features, text.sources()),
        })
    };
    near.into_iter().map(neighbour).collect()
}

/// Of the best `candidates` by BM25 the `limit` that are most like the text, best first.
pub(super) fn nearest<'a>(
    others: &Others<'a>,
    features: &[Feature],
    wanted: Wanted,
    candidates: usize,
    limit: usize,
) -> Result<Vec<Near<'a>>, TantivyError> {
    let asking = Weighted::new(features, others);
    let mut compared: Vec<(Ranked, Likeness)> = Vec::new();
    for candidate in find_candidates(others, features, wanted, candidates)? {
        let words = others.snapshot.segments[candidate.segment].words(candidate.document);
        if let Some(likeness) = asking.compare(words) {
            compared.push((candidate, likeness));
        }
    }
    compared.sort_by(|(_, a), (_, b)| b.similarity.total_cmp(&a.similarity));
    // Every further one that is as like as the last: which of them stays, their ids tell.
    if let Some(least) = limit.checked_sub(1).and_then(|last| compared.get(last)).map(|(_, last)| last.similarity) {
        compared.truncate(compared.partition_point(|(_, likeness)| likeness.similarity >= least));
    }
    let mut near = Vec::with_capacity(compared.len());
    for (Ranked { segment, document, .. }, likeness) in compared {
        let segment = &others.snapshot.segments[segment];
        let id = segment.ticket_id(document);
        near.push(Near { id, segment, document, similarity: likeness.similarity, likeness });
    }
    near.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| a.id.cmp(b.id)));
    near.truncate(limit);
    Ok(near)
}

/// The tickets that hold the text's most telling words, best first.
fn find_candidates(
    others: &Others<'_>,
    features: &[Feature],
    wanted: Wanted,
    limit: usize,
) -> Result<Vec<Ranked>, TantivyError> {
    let Others { snapshot, fields, .. } = others;
    let terms = choose_terms(others, features);
    let saturation = Saturation::new(K1, B, others.mean_length);
    let mut top = Top::new(limit);
    for (number, segment) in snapshot.segments.iter().enumerate() {
        let mut scores = vec![0.0; segment.documents as usize];
        for (text, weight) in &terms {
            let term = Term::from_field_text(fields.text, text);
            if let Some(postings) = segment.text.get_term_info(&term)? {
                rank::add_scores(&segment.text, &segment.lengths, &postings, *weight, &saturation, &mut scores)?;
            }
        }
        if let Some((_, document)) = others.own.filter(|(segment, _)| *segment == number) {
            scores[document as usize] = 0.0;
        }
        for (document, &score) in (0_u32..).zip(&scores) {
            if score >= top.threshold()
                && segment.is_alive(document)
                && (wanted == Wanted::All || segment.is_linked(document))
            {
                top.push(Ranked { segment: number, document, score });
            }
        }
    }
    Ok(top.take(|ranked| snapshot.segments[ranked.segment].ticket_id(ranked.document), 0))
}

/// The words of the text that best tell its like from the others, with their weights, best first; words that every
/// ticket holds only where there are no others.
fn choose_terms<'a>(others: &Others<'_>, features: &'a [Feature]) -> Vec<(&'a str, f32)> {
    let telling = features.iter().filter(|feature| !feature.is_function_word);
    let words = telling.filter_map(|feature| Some((feature.term.as_deref()?, feature)));
    let mut terms: Vec<Telling> = words
        .filter_map(|(term, feature)| {
            let found = others.frequency(feature.hash).min(others.tickets);
            if found == 0 {
                return None;
            }
            let rarity = rank::inverse_document_frequency(found, others.tickets);
            let times = f32::from(feature.count).min(MAX_REPEATS);
            let value = (times + (SUMMARY_WORD - 1.0) * f32::from(feature.in_summary)) * rarity;
            Some(Telling { term, value, weight: value * rarity.powf(RARITY_EXPONENT), found })
        })
        .collect();
    if !terms.iter().all(|telling| is_desk_term(telling.term)) {
        terms.retain(|telling| !is_desk_term(telling.term));
    }
    terms.sort_unstable_by(|a, b| b.value.total_cmp(&a.value).then_with(|| a.term.cmp(b.term)));
    let mut postings = 0_u32;
    let affordable = terms.into_iter().take(MAX_TERMS).enumerate().filter(|(place, telling)| {
        let all = postings.saturating_add(telling.found);
        let fits = *place == 0 || all <= MAX_POSTINGS;
        postings = if fits { all } else { postings };
        fits
    });
    affordable.map(|(_, telling)| (telling.term, telling.weight)).collect()
}

/// A word of the text, and what it tells its like from the others by.
struct Telling<'a> {
    term: &'a str,
    /// What it is chosen by.
    value: f32,
    weight: f32,
    /// Tickets that hold it.
    found: u32,
}

/// A text's features with their TF-IDF weights.
struct Weighted<'a> {
    features: &'a [Feature],
    /// 0 for pairs, which explain a similarity and do not make it, and for words without a subject.
    weights: Vec<f32>,
    length: f32,
    others: &'a Others<'a>,
}

/// How like a ticket is to the asking text.
struct Likeness {
    similarity: f32,
    /// Places of the features that both have, each with its part of the similarity.
    shared: Vec<(usize, f32)>,
}

impl<'a> Weighted<'a> {
    fn new(features: &'a [Feature], others: &'a Others<'_>) -> Self {
        let of = |feature: &Feature| match feature.term {
            Some(_) if !feature.is_function_word => weight(feature.hash, feature.count, others),
            Some(_) | None => 0.0,
        };
        let weights: Vec<f32> = features.iter().map(of).collect();
        let length = weights.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
        Self { features, weights, length, others }
    }

    /// `None` where nothing is shared.
    fn compare(&self, words: impl Iterator<Item = (u32, u8)>) -> Option<Likeness> {
        let mut shared = Vec::new();
        let (mut product, mut square) = (0.0_f32, 0.0_f32);
        let mut next = 0;
        for (hash, count) in words {
            while self.features.get(next).is_some_and(|feature| feature.hash < hash) {
                next += 1;
            }
            let same = self.features.get(next).filter(|feature| feature.hash == hash);
            if same.is_some_and(|feature| feature.is_function_word) {
                continue;
            }
            let weight = weight(hash, count, self.others);
            square += weight * weight;
            if same.is_some() {
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

/// Sublinear term frequency times smooth inverse document frequency, more than 0.
fn weight(hash: u32, count: u8, others: &Others<'_>) -> f32 {
    let found = others.frequency(hash).min(others.tickets);
    let rarity = logarithm(1 + others.tickets) - logarithm(1 + found) + 1.0;
    (1.0 + logarithm(count.into())) * rarity
}

/// Of whole numbers; of small ones from a table, since comparing tickets asks for tens of thousands.
fn logarithm(number: u32) -> f32 {
    static SMALL: LazyLock<Vec<f32>> = LazyLock::new(|| (0..4_096_u16).map(|number| f32::from(number).ln()).collect());
    #[expect(clippy::cast_precision_loss, reason = "a logarithm needs no more than the leading digits")]
    SMALL.get(number as usize).copied().unwrap_or_else(|| (number as f32).ln())
}

/// The weightiest shared words as stretches of the text that was sent; words that stand side by side in both are one.
fn phrases(mut shared: Vec<(usize, f32)>, features: &[Feature], sources: &Sources) -> Vec<SharedText> {
    shared.sort_unstable_by(|(a, a_part), (b, b_part)| b_part.total_cmp(a_part).then_with(|| a.cmp(b)));
    let (words, pairs): (Vec<_>, Vec<_>) = shared.into_iter().partition(|(place, _)| features[*place].term.is_some());
    let mut stretches: Vec<(Range<usize>, f32)> =
        words.into_iter().take(MAX_SHARED_WORDS).map(|(place, part)| (features[place].bytes.clone(), part)).collect();
    for (place, _) in pairs {
        let pair = &features[place].bytes;
        let ends_with = |word: &(Range<usize>, f32)| word.0.start == pair.start || word.0.end == pair.end;
        if stretches.iter().filter(|word| ends_with(word)).count() >= 2 {
            stretches.push((pair.clone(), 0.0));
        }
    }
    stretches.sort_by_key(|(bytes, _)| (bytes.start, bytes.end));
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
