//! Articles with nearly the same text, by the stretches of four words that both hold: the resemblance of two texts
//! (Broder 1997), read from the smallest hashes of each, so that every pair need not be compared.

use std::collections::BTreeSet;

use super::{cluster::as_float, text::hash};
use crate::{domain::article::Article, knowledge::words::Terms};

/// Words in a row.
const STRETCH: usize = 4;
/// Hashes kept of a text: a resemblance is exact to about a twentieth.
const SKETCH: usize = 128;
/// From this resemblance on two texts are nearly the same.
const MIN_RESEMBLANCE: f32 = 0.7;
/// What more articles share is a template, and makes no pair.
const MAX_SHARING: usize = 50;
/// Shorter texts are alike by chance.
const MIN_STRETCHES: usize = 8;

/// The smallest hashes of a text's stretches, in order; none of a short text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sketch(Vec<u64>);

impl Sketch {
    pub(super) fn of(article: &Article) -> Self {
        let mut hashes = Vec::new();
        let sections = article.known_error.sections().map(|(_, section)| section);
        for text in [article.title.as_str(), &article.summary, &article.body].into_iter().chain(sections) {
            let mut terms = Terms::new(text);
            let mut end = 0;
            while let Some((term, bytes)) = terms.next_term() {
                if bytes.start >= end {
                    hashes.push(hash(term));
                    end = bytes.end;
                }
            }
        }
        let stretches: BTreeSet<u64> = hashes.windows(STRETCH).map(of_stretch).collect();
        if stretches.len() < MIN_STRETCHES {
            return Self::default();
        }
        Self(stretches.into_iter().take(SKETCH).collect())
    }

    /// The part of the stretches of both that both hold, 0 to 1.
    fn resemblance(&self, other: &Self) -> f32 {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let (mut all, mut both) = (0, 0);
        // Of the smallest hashes of both together, those that both hold: behind the end of a full sketch nothing is
        // known.
        while all < SKETCH {
            let (Some(&&our), Some(&&their)) = (ours.peek(), theirs.peek()) else {
                let rest =
                    if self.0.len() == SKETCH || other.0.len() == SKETCH { 0 } else { ours.len() + theirs.len() };
                all += rest;
                break;
            };
            all += 1;
            both += usize::from(our == their);
            if our <= their {
                ours.next();
            }
            if their <= our {
                theirs.next();
            }
        }
        if all == 0 { 0.0 } else { as_float(both) / as_float(all) }
    }
}

fn of_stretch(words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

/// Pairs of these texts that are nearly the same, by place, most alike first.
pub(super) fn pairs(sketches: &[Sketch]) -> Vec<(usize, usize, f32)> {
    let held =
        |(place, sketch): (usize, &'_ Sketch)| sketch.0.iter().map(move |hash| (*hash, place)).collect::<Vec<_>>();
    let mut holders: Vec<(u64, usize)> = sketches.iter().enumerate().flat_map(held).collect();
    holders.sort_unstable();
    let mut candidates: Vec<(usize, usize)> = Vec::new();
    let shared = holders.chunk_by(|(one, _), (next, _)| one == next);
    for places in shared.filter(|places| (2..=MAX_SHARING).contains(&places.len())) {
        for (at, (_, first)) in places.iter().enumerate() {
            candidates.extend(places[at + 1..].iter().map(|(_, second)| (*first, *second)));
        }
        if candidates.len() > 4 * holders.len() {
            candidates.sort_unstable();
            candidates.dedup();
        }
    }
    candidates.sort_unstable();
    candidates.dedup();
    let resemblance = |(first, second): (usize, usize)| {
        let resemblance = sketches[first].resemblance(&sketches[second]);
        (resemblance >= MIN_RESEMBLANCE).then_some((first, second, resemblance))
    };
    let mut pairs: Vec<_> = candidates.into_iter().filter_map(resemblance).collect();
    pairs.sort_by(|(_, _, a), (_, _, b)| b.total_cmp(a));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(body: &str) -> Sketch {
        Sketch::of(&Article { title: "Title".into(), body: body.into(), ..Article::default() })
    }

    fn numbered(numbers: std::ops::Range<u32>) -> String {
        numbers.fold(String::new(), |text, number| format!("{text}word{number} "))
    }

    #[test]
    fn nearly_the_same_texts_are_found() {
        let texts = [
            numbered(0..400),
            numbered(500..900),
            // Two words are others.
            numbered(0..400).replace("word50 ", "other ").replace("word250 ", "other "),
            numbered(0..200) + &numbered(900..1_100),
        ];
        let found = pairs(&texts.map(|text| sketch(&text)));
        assert_eq!(found.iter().map(|(first, second, _)| (*first, *second)).collect::<Vec<_>>(), [(0, 2)]);
        assert!((0.9..1.0).contains(&found[0].2), "{}", found[0].2);
    }

    #[test]
    fn a_short_text_resembles_none_and_a_copy_wholly() {
        assert_eq!(pairs(&[sketch("switch it on"), sketch("switch it on")]), []);
        let copy = sketch(&numbered(0..30));
        assert_eq!(pairs(&[copy.clone(), copy.clone()]), [(0, 1, 1.0)]);
        let most = sketch(&numbered(0..24));
        let resemblance = copy.resemblance(&most);
        assert!((resemblance - 22.0 / 28.0).abs() < 1e-6, "{resemblance}");
    }

    #[test]
    fn what_many_articles_share_makes_no_pairs() {
        let template = numbered(0..200);
        let sketches: Vec<Sketch> = vec![sketch(&template); MAX_SHARING + 1];
        assert_eq!(pairs(&sketches), []);
    }
}
