//! A ticket as others are compared with it: its words, weighted, and its meaning as a vector. Words of the summary count
//! three times.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    domain::memory::ConfirmedTicket,
    encode::{DIMENSIONS, HashIndex, PlainText, Redactor, TextVector},
    knowledge::{
        language::Language,
        words::{Terms, is_desk_term},
    },
};

/// Different words a ticket; the first ones count.
const MAX_WORDS: usize = 128;
/// Of a long text the beginning is read.
const MAX_BYTES: usize = 8 << 10;
const SUMMARY_TIMES: u32 = 3;
/// How much of a likeness is that of the words; the rest is that of the vectors. Chosen on public questions.
const WORDS_PART: f32 = 0.7;

/// What is kept of a ticket's text while the others are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Hashes with counts, in the order of the hashes.
    words: Vec<(u64, u32)>,
    vector: Vec<f32>,
}

impl Reading {
    pub(super) fn of(ticket: &ConfirmedTicket, redactor: &Redactor) -> Self {
        let [summary, description] = [&ticket.summary, &ticket.description].map(|text| plain(text, redactor));
        let language = Language::of(&description).or_else(|| Language::of(&summary));
        let mut words = BTreeMap::new();
        for (text, times) in [(&summary, SUMMARY_TIMES), (&description, 1)] {
            let mut terms = Terms::new(text);
            while let Some((term, _)) = terms.next_term() {
                if language.is_some_and(|language| language.is_function_term(term)) {
                    continue;
                }
                let hash = hash(term);
                if words.len() < MAX_WORDS || words.contains_key(&hash) {
                    *words.entry(hash).or_insert(0_u32) += times;
                }
            }
        }
        let mut vector = vec![0.0; DIMENSIONS];
        for text in [&summary, &format!("{summary}\n{description}")] {
            let bytes = TextVector::of(text).to_bytes();
            vector.iter_mut().zip(bytes).for_each(|(sum, byte)| *sum += f32::from(byte.cast_signed()));
        }
        scale(&mut vector);
        Self { words: words.into_iter().collect(), vector }
    }
}

/// The text without placeholders, up to a bound.
pub(super) fn plain(text: &str, redactor: &Redactor) -> String {
    PlainText::of(text, MAX_BYTES, redactor).words().into_owned()
}

pub(super) fn hash(term: &str) -> u64 {
    xxh3_64(term.as_bytes())
}

/// Whether a term may describe what tickets are about.
pub(super) fn tells(term: &str, language: Option<Language>) -> bool {
    term.chars().nth(1).is_some()
        && !is_desk_term(term)
        && !language.is_some_and(|language| language.is_function_term(term))
}

fn scale(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

/// In how many tickets each word stands.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    numbers: HashIndex,
    found: Vec<u32>,
    tickets: u32,
}

impl Vocabulary {
    pub(super) fn add(&mut self, reading: &Reading) {
        self.tickets += 1;
        for (hash, _) in &reading.words {
            let number = self.numbers.intern(*hash) as usize;
            if number == self.found.len() {
                self.found.push(0);
            }
            self.found[number] += 1;
        }
    }

    /// Tickets that were counted.
    pub(super) fn tickets(&self) -> u32 {
        self.tickets
    }

    pub(super) fn found(&self, hash: u64) -> u32 {
        self.numbers.get(hash).map_or(0, |number| self.found[number as usize])
    }

    /// Smooth inverse document frequency.
    #[expect(clippy::cast_precision_loss, reason = "a logarithm needs no more than the leading digits")]
    fn rarity(&self, hash: u64) -> f32 {
        ((self.tickets + 1) as f32 / (self.found(hash) + 1) as f32).ln() + 1.0
    }
}

/// A ticket, or the sum of several.
#[derive(Debug, Clone, Default)]
pub(super) struct Point {
    /// By number, in order.
    pub words: Vec<(u32, f32)>,
    pub vector: Vec<f32>,
}

/// Sublinear term frequency times smooth inverse document frequency (Manning, Raghavan and Schütze 2008, chapter 6), as
/// unit vectors. Words are numbered in the order of their hashes, so that sums do not depend on the order of tickets;
/// words of one ticket alone make it longer and are not kept.
pub(super) fn points(readings: &[Reading], vocabulary: &Vocabulary) -> Vec<Point> {
    let mut hashes: Vec<u64> =
        readings.iter().flat_map(|reading| reading.words.iter().map(|(hash, _)| *hash)).collect();
    hashes.sort_unstable();
    let shared: Vec<u64> =
        hashes.chunk_by(|one, next| one == next).filter(|same| same.len() > 1).map(|same| same[0]).collect();
    drop(hashes);
    readings.iter().map(|reading| point(reading, vocabulary, &shared)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of words in a text")]
fn point(reading: &Reading, vocabulary: &Vocabulary, shared: &[u64]) -> Point {
    let weigh = |(hash, count): &(u64, u32)| (*hash, (1.0 + (*count as f32).ln()) * vocabulary.rarity(*hash));
    let weighted: Vec<(u64, f32)> = reading.words.iter().map(weigh).collect();
    let length = weighted.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
    let number = |hash| shared.binary_search(&hash).ok().and_then(|number| u32::try_from(number).ok());
    let words = weighted.into_iter().filter_map(|(hash, weight)| Some((number(hash)?, weight / length)));
    Point { words: words.collect(), vector: reading.vector.clone() }
}

impl Point {
    /// The likeness of two tickets, at most 1; of two sums, the sum of those of all pairs.
    pub(super) fn likeness(&self, other: &Self) -> f32 {
        let (mut product, mut theirs) = (0.0, other.words.iter().peekable());
        for (number, weight) in &self.words {
            while theirs.next_if(|(their_number, _)| their_number < number).is_some() {}
            if let Some((_, their_weight)) = theirs.next_if(|(their_number, _)| their_number == number) {
                product += weight * their_weight;
            }
        }
        blend(product, dot(&self.vector, &other.vector))
    }

    /// As [`Self::likeness`] with a point whose words stand by number in `spread`.
    pub(super) fn likeness_to(&self, spread: &[f32], vector: &[f32]) -> f32 {
        let product = self.words.iter().map(|(number, weight)| weight * spread[*number as usize]).sum();
        blend(product, dot(&self.vector, vector))
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut sum = Vec::with_capacity(self.words.len() + other.words.len());
        let mut theirs = other.words.iter().copied().peekable();
        for (number, weight) in &self.words {
            while let Some(before) = theirs.next_if(|(their_number, _)| their_number < number) {
                sum.push(before);
            }
            let both = theirs.next_if(|(their_number, _)| their_number == number);
            sum.push((*number, weight + both.map_or(0.0, |(_, their_weight)| their_weight)));
        }
        sum.extend(theirs);
        self.words = sum;
        if self.vector.is_empty() {
            self.vector.clone_from(&other.vector);
        } else {
            self.vector.iter_mut().zip(&other.vector).for_each(|(sum, value)| *sum += value);
        }
    }
}

fn blend(words: f32, vectors: f32) -> f32 {
    WORDS_PART * words + (1.0 - WORDS_PART) * vectors
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let ((a, _), (b, _)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// Of summaries and descriptions.
#[cfg(test)]
pub(super) fn points_of(texts: &[(&str, &str)]) -> Vec<Point> {
    let mut vocabulary = Vocabulary::default();
    let readings: Vec<Reading> = texts.iter().map(|(summary, description)| reading(summary, description)).collect();
    for reading in &readings {
        vocabulary.add(reading);
    }
    points(&readings, &vocabulary)
}

#[cfg(test)]
fn reading(summary: &str, description: &str) -> Reading {
    let ticket =
        ConfirmedTicket { summary: summary.into(), description: description.into(), ..ConfirmedTicket::default() };
    Reading::of(&ticket, &Redactor::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_as_like_as_can_be_and_a_like_one_is_nearer_than_another() {
        let points = points_of(&[
            ("badge reader at the gate", "it does not open"),
            ("badge reader at the gate", "it does not open"),
            ("the gate's badge reader blinks", ""),
            ("scanner sends blank pages", ""),
        ]);
        let like = |a: usize, b: usize| points[a].likeness(&points[b]);
        assert!((like(0, 1) - 1.0).abs() < 1e-3, "{}", like(0, 1));
        assert!(like(0, 2) > 0.4 && like(0, 3) < 0.1, "{} {}", like(0, 2), like(0, 3));
    }

    #[test]
    fn a_sum_has_the_likeness_of_all_pairs() {
        let points =
            points_of(&[("badge reader broken", ""), ("badge lost", ""), ("reader broken", "badge"), ("x y", "")]);
        let mut sum = points[0].clone();
        sum.add(&points[1]);
        let expected = points[0].likeness(&points[2]) + points[1].likeness(&points[2]);
        assert!((sum.likeness(&points[2]) - expected).abs() < 1e-5);
        let mut spread = vec![0.0; 16];
        sum.words.iter().for_each(|(number, weight)| spread[*number as usize] = *weight);
        assert!((points[2].likeness_to(&spread, &sum.vector) - expected).abs() < 1e-5);
        assert!(sum.words.is_sorted_by_key(|(number, _)| *number));
    }

    #[test]
    fn placeholders_are_no_words() {
        assert!(reading("<email> <phone>", "").words.is_empty());
        assert_eq!(reading("badge", "badge <email>").words, [(hash("badge"), SUMMARY_TIMES + 1)]);
    }
}
