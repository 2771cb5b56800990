//! Which confirmed tickets are like a text. A few terms of the text find candidates by BM25; these are compared with
//! the whole text by the cosine of TF-IDF over words (sublinear term frequency and smooth inverse document frequency,
//! as in Manning, Raghavan and Schütze 2008, chapter 6). The cost is bounded however long the text is, and the answer is
//! the same in whatever order the tickets came. A ticket that is left out counts nowhere, as if it had been deleted.

use std::{ops::Range, sync::LazyLock};

use tantivy::TantivyError;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    bag::{self, Feature},
    experience::Own,
    labels,
    schema::Fields,
    snapshot::{Segment, Snapshot, slot},
};
use crate::{
    domain::memory::{Neighbour, SharedText},
    encode::{HashIndex, PlainText, Sources, TextVector},
    knowledge::{
        derived::Derived as _,
        question::{MAX_REPEATS, SUMMARY_WORD},
        rank::{self, Impact, MAX_TERMS, Parts, RARITY_EXPONENT, Saturation},
        snapshot::Lengths,
        top::{Ranked, Top},
        words::is_desk_term,
    },
};

/// At least so many candidates are compared with the whole text, and twice as many as are asked for.
const MIN_CANDIDATES: usize = 64;
/// Postings that one text may read: with half of them it finds clearly less among 300,000 tickets, with more no better.
const MAX_POSTINGS: u32 = 30_000;
/// BM25's saturation and length normalisation: the usual ones.
const K1: f32 = 1.2;
const B: f32 = 0.5;
/// Words that explain a similarity, before those that touch become phrases.
const MAX_SHARED_WORDS: usize = 12;
const MAX_SHARED: usize = 5;

/// For tickets of these lengths.
pub(super) fn saturation(lengths: Lengths) -> Saturation {
    Saturation::new(K1, B, lengths.mean())
}

/// Which tickets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// Those that articles solved, or were of no use to.
    Linked,
    /// Those that have labels.
    Labelled,
}

/// The memory as it is without one ticket, where there is such.
pub(super) struct Others<'a> {
    snapshot: &'a Snapshot,
    own: Option<(usize, u32)>,
    /// Slots that the ticket's words count in, in order.
    own_slots: Vec<usize>,
    tickets: u32,
    /// Where it is another without the ticket left out.
    own_saturation: Option<Saturation>,
}

impl<'a> Others<'a> {
    /// All tickets but the one with the id `leave_out`.
    pub(super) fn new(snapshot: &'a Snapshot, fields: &'a Fields, leave_out: &str) -> Result<Self, TantivyError> {
        let own = if leave_out.is_empty() { None } else { snapshot.find(&fields.id_term(leave_out))? };
        let (mut lengths, mut own_slots) = (snapshot.lengths, Vec::new());
        if let Some((segment, document)) = own {
            let segment = &snapshot.segments[segment];
            own_slots.extend(segment.words(document).iter().map(|entry| slot(bag::unpacked(*entry).0)));
            own_slots.sort_unstable();
            lengths.documents -= 1;
            lengths.terms -= u64::from(segment.lengths.fieldnorm(document));
        }
        let tickets = snapshot.tickets - u32::from(own.is_some());
        let own_saturation = own.map(|_| saturation(lengths));
        Ok(Self { snapshot, own, own_slots, tickets, own_saturation })
    }

    /// The tickets, that one among them.
    pub(super) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// Whether this is the one.
    pub(super) fn leaves_out(&self, ticket: &Ranked) -> bool {
        self.own == Some((ticket.segment, ticket.document))
    }

    fn saturation(&self) -> &Saturation {
        self.own_saturation.as_ref().unwrap_or(&self.snapshot.saturation)
    }

    /// In how many tickets a word stands.
    fn frequency(&self, hash: u32) -> u32 {
        let found = self.snapshot.frequencies.of(hash);
        found.saturating_sub(u32::try_from(self.own_times(hash)).unwrap_or(u32::MAX))
    }

    /// How many words of the ticket left out count where this one does.
    fn own_times(&self, hash: u32) -> usize {
        let slot = slot(hash);
        let start = self.own_slots.partition_point(|own| *own < slot);
        self.own_slots[start..].iter().take_while(|own| **own == slot).count()
    }

    /// [`bag::magnitude`] of the frequency.
    #[inline]
    fn magnitude(&self, hash: u32) -> u8 {
        if self.own_slots.is_empty() {
            return self.snapshot.frequencies.magnitude_of(hash);
        }
        self.magnitude_without_own(hash)
    }

    #[cold]
    fn magnitude_without_own(&self, hash: u32) -> u8 {
        match self.own_times(hash) {
            0 => self.snapshot.frequencies.magnitude_of(hash),
            _ => bag::magnitude(self.frequency(hash)),
        }
    }

    /// What of the ticket left out speaks for articles; `None` where there is no such ticket or nothing does.
    pub(super) fn own(&self) -> Result<Option<Own>, TantivyError> {
        let Some((segment, document)) = self.own else { return Ok(None) };
        let segment = &self.snapshot.segments[segment];
        let Some(vector) = TextVector::from_bytes(&segment.vector(document)?) else { return Ok(None) };
        let (sentence, solved) = (segment.sentences().of(document), segment.solved(document));
        Ok(Some(Own { vector, sentence, articles: solved.map(str::to_owned).collect() }))
    }

    /// What of the ticket left out speaks for labels, these in the place of articles.
    pub(super) fn own_labels(&self) -> Result<Option<Own>, TantivyError> {
        let Some((segment, document)) = self.own else { return Ok(None) };
        let segment = &self.snapshot.segments[segment];
        let Some(vector) = TextVector::from_bytes(&segment.vector(document)?) else { return Ok(None) };
        let keys = segment.labels(document).map(|label| labels::key(label).to_owned());
        Ok(Some(Own { vector, sentence: None, articles: keys.collect() }))
    }
}

/// A ticket that was compared with the text.
pub(super) struct Near<'a> {
    pub id: &'a str,
    pub segment: &'a Segment,
    pub document: u32,
    pub similarity: f32,
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
    let asking = Weighted::new(&features, &others);
    let neighbour = |Near { id, segment, document, similarity }: Near<'_>| {
        let mut shared = asking.shared(segment.words(document));
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
    let mut compared: Vec<(Ranked, f32)> = Vec::with_capacity(candidates);
    let found = find_candidates(others, features, wanted, candidates)?;
    others.snapshot.fetch_words(found.iter().map(|found| (found.segment, found.document)));
    for candidate in found {
        let words = others.snapshot.segments[candidate.segment].words(candidate.document);
        if let Some(similarity) = asking.similarity(words) {
            compared.push((candidate, similarity));
        }
    }
    compared.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    // Every further one that is as like as the last: which of them stays, their ids tell.
    if let Some(least) = limit.checked_sub(1).and_then(|last| compared.get(last)).map(|(_, last)| *last) {
        compared.truncate(compared.partition_point(|(_, similarity)| *similarity >= least));
    }
    let mut near = Vec::with_capacity(compared.len());
    for (Ranked { segment, document, .. }, similarity) in compared {
        let segment = &others.snapshot.segments[segment];
        near.push(Near { id: segment.ticket_id(document), segment, document, similarity });
    }
    near.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| a.id.cmp(b.id)));
    near.truncate(limit);
    Ok(near)
}

/// The tickets that hold the text's most telling words, in no certain order.
fn find_candidates(
    others: &Others<'_>,
    features: &[Feature],
    wanted: Wanted,
    limit: usize,
) -> Result<Vec<Ranked>, TantivyError> {
    let snapshot = others.snapshot;
    let terms = choose_terms(others, features);
    let saturation = others.saturation();
    let parts = Parts::new(terms.iter().map(|(_, weight)| *weight), saturation);
    let hashes: Vec<u64> = terms.iter().map(|(term, _)| xxh3_64(term.as_bytes())).collect();
    for segment in &snapshot.segments {
        segment.fetch_terms(hashes.iter().copied());
    }
    let mut top = Top::new(limit);
    let mut scores = Vec::new();
    for (number, segment) in snapshot.segments.iter().enumerate() {
        scores.clear();
        scores.resize(segment.documents as usize, 0);
        for (&hash, &part) in hashes.iter().zip(&parts.of_terms) {
            let impact = Impact { part, saturation, lengths: segment.length_ids() };
            impact.add(&segment.text, segment.term_info(hash).as_ref(), &mut scores)?;
        }
        top.collect(number, &scores, |document| {
            let is_wanted = match wanted {
                Wanted::All => true,
                Wanted::Linked => segment.is_linked(document),
                Wanted::Labelled => segment.is_labelled(document),
            };
            is_wanted && segment.is_alive(document) && others.own != Some((number, document))
        });
    }
    Ok(top.take_unordered(|ranked| snapshot.segments[ranked.segment].ticket_id(ranked.document)))
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

/// The words of a text with their TF-IDF weights. Pairs are not among them: they explain a similarity and do not make it.
struct Weighted<'a> {
    /// A word's number, by its hash.
    index: HashIndex,
    /// 0 for words without a subject.
    weights: Vec<f32>,
    /// Places of the words among the features.
    places: Vec<usize>,
    length: f32,
    weighing: Weighing<'a>,
}

impl<'a> Weighted<'a> {
    fn new(features: &[Feature], others: &'a Others<'_>) -> Self {
        let weighing = Weighing::new(others);
        let mut index = HashIndex::with_capacity(features.len());
        let (mut weights, mut places) = (Vec::with_capacity(features.len()), Vec::with_capacity(features.len()));
        for (place, feature) in features.iter().enumerate().filter(|(_, feature)| feature.term.is_some()) {
            // Of two words that tickets do not tell apart the first counts.
            if index.intern(key(feature.hash)) as usize == places.len() {
                places.push(place);
                weights.push(if feature.is_function_word {
                    0.0
                } else {
                    weighing.weight((feature.hash, feature.count))
                });
            }
        }
        let length = weights.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
        Self { index, weights, places, length, weighing }
    }

    /// How like a ticket of these words is; `None` where nothing is shared.
    fn similarity(&self, words: &[u32]) -> Option<f32> {
        let mut product = 0.0_f32;
        let scale = self.compare(words, |_, part| product += part);
        (product > 0.0 && scale > 0.0).then(|| (product / scale).min(1.0))
    }

    /// Places of the features that a ticket of these words shares, each with its part of the similarity.
    fn shared(&self, words: &[u32]) -> Vec<(usize, f32)> {
        let mut shared = Vec::new();
        let scale = self.compare(words, |place, part| shared.push((place, part)));
        for (_, part) in &mut shared {
            *part /= scale;
        }
        shared
    }

    /// Hands over what both have; returns what it is to be divided by.
    fn compare(&self, words: &[u32], mut both: impl FnMut(usize, f32)) -> f32 {
        // All weights first: no branch hangs on them, so that the processor asks the memory for many at once.
        let weights = words.iter().map(|entry| self.weighing.weight(bag::unpacked(*entry)));
        let mut square: f32 = weights.map(|weight| weight * weight).sum();
        for entry in words.iter().map(|entry| bag::unpacked(*entry)) {
            let Some(number) = self.index.get(key(entry.0)) else { continue };
            let (weight, asked) = (self.weighing.weight(entry), self.weights[number as usize]);
            if asked > 0.0 {
                both(self.places[number as usize], weight * asked);
            } else {
                square -= weight * weight;
            }
        }
        self.length * square.max(0.0).sqrt()
    }
}

/// Of a word's hash, as much of it as tickets keep.
fn key(hash: u32) -> u64 {
    u64::from(hash >> bag::COUNT_BITS)
}

/// Sublinear term frequency times smooth inverse document frequency, from tables.
struct Weighing<'a> {
    others: &'a Others<'a>,
    /// By magnitude, from 1 on.
    rarities: [f32; 256],
    /// By how often a word stands in a text, from 1 on.
    repeats: &'static [f32; 256],
}

impl<'a> Weighing<'a> {
    fn new(others: &'a Others<'_>) -> Self {
        static REPEATS: LazyLock<[f32; 256]> =
            LazyLock::new(|| std::array::from_fn(|count| 1.0 + logarithm(count.max(1))));
        let all = logarithm(others.tickets as usize + 1);
        #[expect(clippy::cast_precision_loss, reason = "at most 255")]
        let rarities = std::array::from_fn(|magnitude| (all - magnitude as f32 / bag::MAGNITUDES).max(0.0) + 1.0);
        Self { others, rarities, repeats: &REPEATS }
    }

    /// Of a word's hash and count; more than 0.
    #[inline]
    fn weight(&self, (hash, count): (u32, u8)) -> f32 {
        self.repeats[usize::from(count)] * self.rarities[usize::from(self.others.magnitude(hash))]
    }
}

#[expect(clippy::cast_precision_loss, reason = "a logarithm needs no more than the leading digits")]
fn logarithm(number: usize) -> f32 {
    (number as f32).ln()
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
