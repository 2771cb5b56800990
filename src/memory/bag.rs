//! The words of a text and its pairs of neighbouring words, as hashes with counts: what two tickets are compared by,
//! so that comparing needs no text. Bounded, whatever the text.

use std::{ops::Range, sync::LazyLock};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    encode::HashIndex,
    knowledge::{language::Language, question::MAX_BYTES_READ, words::Terms},
};

/// Different words and pairs a text; the first ones count.
const MAX_FEATURES: usize = 512;
/// Magnitudes to the unit of a logarithm: rarities are exact to a twentieth, and the largest count still is one byte.
pub(super) const MAGNITUDES: f32 = 11.0;
/// Tells the hashes of pairs from those of words.
const PAIR_BIT: u32 = 1;

/// A word or a pair of neighbouring words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Feature {
    pub hash: u32,
    /// How often it stands in the text, at most 255.
    pub count: u8,
    /// How often of that in the summary, the first line.
    pub in_summary: u8,
    /// The word as a search term; `None` for a pair.
    pub term: Option<String>,
    /// It carries no subject in the language of the text. English words of the kind are no terms at all; others are
    /// rare in a memory that is mostly English, and would be taken for telling.
    pub is_function_word: bool,
    /// Where it first stands.
    pub bytes: Range<usize>,
}

/// What a text is compared by, in the order of the hashes. Of a long text only the beginning is read.
pub(super) fn features(text: &str) -> Vec<Feature> {
    read(text, true)
}

/// The words among the [`features`]; of a long text they are more.
pub(super) fn words(text: &str) -> Vec<Feature> {
    read(text, false)
}

fn read(text: &str, with_pairs: bool) -> Vec<Feature> {
    let mut counting = Counting { language: Language::of(beginning(text)), ..Counting::default() };
    let summary_end = text.find('\n').unwrap_or(0);
    let mut terms = Terms::new(beginning(text));
    let mut last: Option<(u64, Range<usize>)> = None;
    while let Some((term, bytes)) = terms.next_term() {
        let hash = xxh3_64(term.as_bytes());
        counting.add(hash, Some(term), bytes.clone(), bytes.start < summary_end);
        // The parts of a compound follow it and lie in it: they have no neighbours of their own.
        if !with_pairs || last.as_ref().is_some_and(|(_, last)| bytes.start < last.end) {
            continue;
        }
        if let Some((before, place)) = last {
            counting.add(of_pair(before, hash), None, place.start..bytes.end, false);
        }
        last = Some((hash, bytes));
    }
    let mut features = counting.features;
    features.sort_unstable_by_key(|feature| feature.hash);
    features
}

/// As much of a text as is read.
pub(super) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_BYTES_READ)]
}

#[derive(Default)]
struct Counting {
    language: Option<Language>,
    features: Vec<Feature>,
    /// By their hashes.
    places: HashIndex,
}

impl Counting {
    fn add(&mut self, hash: u64, term: Option<&str>, bytes: Range<usize>, in_summary: bool) {
        let [a, b, c, d, ..] = hash.to_le_bytes();
        let hash = u32::from_le_bytes([a, b, c, d]) & !PAIR_BIT | if term.is_none() { PAIR_BIT } else { 0 };
        if let Some(place) = self.places.get(hash.into()) {
            let Feature { count, in_summary: bonus, .. } = &mut self.features[place as usize];
            *count = count.saturating_add(1);
            *bonus = bonus.saturating_add(u8::from(in_summary));
        } else if self.features.len() < MAX_FEATURES {
            self.places.intern(hash.into());
            let in_summary = u8::from(in_summary);
            let is_function_word =
                self.language.zip(term).is_some_and(|(language, term)| language.is_function_term(term));
            let term = term.map(str::to_owned);
            self.features.push(Feature { hash, count: 1, in_summary, term, is_function_word, bytes });
        }
    }
}

fn of_pair(first: u64, second: u64) -> u64 {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&first.to_le_bytes());
    both[8..].copy_from_slice(&second.to_le_bytes());
    xxh3_64(&both)
}

/// The logarithm of a count and one, in steps of [`MAGNITUDES`] to the unit: all that a weight wants to know of it.
pub(super) fn magnitude(count: u32) -> u8 {
    static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=u16::MAX).map(|count| rounded(count.into())).collect());
    SMALL.get(count as usize).copied().unwrap_or_else(|| rounded(count))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 244, for the largest count")]
fn rounded(count: u32) -> u8 {
    (f64::from(count).ln_1p() * f64::from(MAGNITUDES)).round() as u8
}

/// A feature as the index keeps it; orders as the hashes do.
pub(super) fn encode(feature: &Feature) -> u64 {
    u64::from(feature.hash) << u8::BITS | u64::from(feature.count)
}

/// As many bits of an entry as tell its count where it is [`packed`].
pub(super) const COUNT_BITS: u32 = 6;

/// An entry in half the bytes: less the last bits of its hash, and with a count of at most 63.
pub(super) fn packed(entry: u64) -> u32 {
    let (hash, count) = decode(entry);
    let most = (1 << COUNT_BITS) - 1;
    hash & !most | u32::from(count).min(most)
}

/// A hash, less what [`packed`] left out, and its count.
pub(super) fn unpacked(entry: u32) -> (u32, u8) {
    let [count, ..] = entry.to_le_bytes();
    (entry >> COUNT_BITS << COUNT_BITS, count & ((1 << COUNT_BITS) - 1))
}

/// A hash and its count.
pub(super) fn decode(entry: u64) -> (u32, u8) {
    let [count, a, b, c, d, ..] = entry.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The features as they are read in the text, in alphabetic order.
    fn read(text: &str) -> Vec<String> {
        let times = |feature: &Feature| if feature.count > 1 { format!(" x{}", feature.count) } else { String::new() };
        let mut read: Vec<String> = features(text)
            .iter()
            .map(|feature| format!("{}{}", &text[feature.bytes.clone()], times(feature)))
            .collect();
        read.sort();
        read
    }

    #[test]
    fn words_and_pairs_are_counted() {
        for (text, expected) in [
            // Both pairs of printer and jam are one, however they end.
            (
                "The printer jams, the Printers jam",
                &["jams x2", "jams, the Printers", "printer jams x2", "printer x2"][..],
            ),
            ("Paper in the tray", &["Paper", "Paper in the tray", "tray"]),
            ("vpn ora-01017 shown", &["01017", "ora", "ora-01017", "ora-01017 shown", "shown", "vpn", "vpn ora-01017"]),
            ("", &[]),
            ("the and of", &[]),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_bag_is_kept_as_it_was() {
        let features = features("printer jams printer again");
        let kept: Vec<_> = features.iter().map(|feature| decode(encode(feature))).collect();
        assert_eq!(kept, features.iter().map(|feature| (feature.hash, feature.count)).collect::<Vec<_>>());
        assert!(kept.is_sorted());
    }

    #[test]
    fn a_packed_entry_loses_little() {
        for (hash, count, expected) in
            [(0xFEDC_BA98_u32, 1_u8, (0xFEDC_BA80, 1)), (u32::MAX, 255, (u32::MAX << COUNT_BITS, 63))]
        {
            let entry = u64::from(hash) << u8::BITS | u64::from(count);
            assert_eq!(unpacked(packed(entry)), expected);
        }
    }

    #[test]
    fn a_bag_is_bounded() {
        let long = (0..20_000).map(|number| format!("w{number}")).collect::<Vec<_>>().join(" ");
        assert_eq!(features(&long).len(), MAX_FEATURES);
        assert_eq!(features(&"printer ".repeat(2_000))[0].count, 255);
    }
}
