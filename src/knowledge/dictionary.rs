//! The words that articles hold, and which of them a word may mean that none holds: one that is a slip of the
//! keyboard away, or two that it is made of. Every look takes a bounded number of steps.

use std::collections::HashMap;

use tantivy::{TantivyError, postings::TermInfo};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    snapshot::Snapshot,
    spelling::{self, MAX_MISSPELT_CHARS, MIN_MISSPELT_CHARS},
    words::{cut_plural, is_function_word},
};

const MIN_PART_CHARS: usize = 3;
/// What may stand between the parts of a compound, in German and Dutch.
const LINKS: [&str; 6] = ["", "s", "es", "n", "en", "er"];
/// Shorter ones say little where the rest of the compound is unknown.
const MIN_LONE_PART_CHARS: usize = 5;
/// Two words are written as one where that is at least so frequent beside the rarer of them.
const MIN_JOINED_SHARE: f32 = 0.3;

pub(super) struct Dictionary<'a> {
    snapshot: &'a Snapshot,
    /// Looks so far, to hold against the bound.
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

/// What the index knows of a word.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// In each segment.
    pub postings: Vec<Option<TermInfo>>,
    /// In how many documents it stands; not 0.
    pub documents: u32,
}

impl<'a> Dictionary<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks.get()
    }

    /// In each segment what it knows of a word.
    fn postings(&self, word: &str) -> impl Iterator<Item = Option<TermInfo>> {
        self.count_look();
        let hash = xxh3_64(word.as_bytes());
        self.snapshot.segments.iter().map(move |segment| segment.term_info(hash))
    }

    /// To be told of the words that will be looked up, before the first.
    pub(super) fn fetch<'w>(&self, words: impl Iterator<Item = &'w str>) {
        let hashes: Vec<u64> = words.map(|word| xxh3_64(word.as_bytes())).collect();
        for segment in &self.snapshot.segments {
            segment.fetch_terms(&hashes);
        }
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "counts in tests only"))]
    fn count_look(&self) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
    }

    /// `None` for a word that no article holds.
    pub(super) fn entry(&self, word: &str) -> Option<Entry> {
        let postings: Vec<_> = self.postings(word).collect();
        let documents = postings.iter().flatten().map(|info| info.doc_freq).sum();
        (documents > 0).then_some(Entry { postings, documents })
    }

    fn documents(&self, word: &str) -> u32 {
        self.postings(word).flatten().map(|info| info.doc_freq).sum()
    }

    /// The most frequent word within one edit and with the same first letter, see [`spelling`]; the first of equals.
    /// `None` for short words.
    pub(super) fn respelt(&self, word: &str) -> Result<Option<String>, TantivyError> {
        if !(MIN_MISSPELT_CHARS..=MAX_MISSPELT_CHARS).contains(&word.chars().count()) {
            return Ok(None);
        }
        let mut near: HashMap<String, u32> = HashMap::new();
        let mut found = Vec::new();
        for segment in &self.snapshot.segments {
            let words = segment.text.terms();
            for number in segment.spellings()?.near(word) {
                self.count_look();
                words.ord_to_term(number.into(), &mut found)?;
                if let Ok(found) = str::from_utf8(&found)
                    && spelling::is_within_one_edit(word, found)
                {
                    *near.entry(found.to_owned()).or_default() += words.get(found)?.map_or(0, |info| info.doc_freq);
                }
            }
        }
        let best = near.into_iter().max_by(|(a, of_a), (b, of_b)| of_a.cmp(of_b).then_with(|| b.cmp(a)));
        Ok(best.map(|(word, _)| word))
    }

    /// Two words that make up this one, which the most articles hold; a function word among them, as in `logon`, is
    /// left out.
    ///
    /// In a language of compounds one known word at its beginning or end is better than none.
    pub(super) fn parts(&self, word: &str, is_compounding: bool) -> Vec<String> {
        let mut best = Vec::new();
        let mut most = 0;
        let mut longest_part = String::new();
        let mut keep = |part: &str| {
            let chars = part.chars().count();
            if is_compounding && chars >= MIN_LONE_PART_CHARS && chars > longest_part.chars().count() {
                part.clone_into(&mut longest_part);
            }
        };
        for (place, _) in word.char_indices().skip(MIN_PART_CHARS).take(MAX_MISSPELT_CHARS) {
            let (first, second) = word.split_at(place);
            let mut second = second.to_owned();
            cut_plural(&mut second);
            let is_empty_word = is_function_word(&second) && second.len() > 1;
            if second.chars().count() < MIN_PART_CHARS && !is_empty_word {
                continue;
            }
            let of_second = if is_empty_word { u32::MAX } else { self.documents(&second) };
            if of_second > 0 && !is_empty_word {
                keep(&second);
            }
            if of_second <= most && !is_compounding {
                continue;
            }
            for link in LINKS {
                let Some(first) = first.strip_suffix(link) else { continue };
                if first.chars().count() < MIN_PART_CHARS {
                    continue;
                }
                let mut first = first.to_owned();
                cut_plural(&mut first);
                let of_first = self.documents(&first);
                if of_first > 0 {
                    keep(&first);
                }
                let of_both = of_first.min(of_second);
                if of_both > most {
                    most = of_both;
                    best = vec![first];
                    best.extend((!is_empty_word).then(|| second.clone()));
                }
            }
        }
        if best.is_empty() && !longest_part.is_empty() {
            best.push(longest_part);
        }
        best
    }

    /// Whether articles write two neighbours as one word, the [`joined`] one.
    pub(super) fn is_joined(&self, joined: &str, first: &str, second: &str) -> bool {
        let found = self.documents(joined);
        if found == 0 {
            return false;
        }
        let mut rarer = u32::MAX;
        for part in [first, second] {
            let mut part = part.to_lowercase();
            if !is_function_word(&part) {
                cut_plural(&mut part);
                rarer = rarer.min(self.documents(&part));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts needs no more than the leading digits")]
        let is_usual = found as f32 >= MIN_JOINED_SHARE * rarer as f32;
        // Of two function words nothing is known.
        rarer < u32::MAX && is_usual
    }
}

/// What two neighbours are in one word, `logon` for `log on`; `None` where that is too short to be one.
pub(super) fn joined(first: &str, second: &str) -> Option<String> {
    let mut joined = [first, second].concat();
    if joined.is_ascii() {
        joined.make_ascii_lowercase();
    } else {
        joined = joined.chars().flat_map(char::to_lowercase).collect();
    }
    if joined.chars().count() < MIN_MISSPELT_CHARS {
        return None;
    }
    cut_plural(&mut joined);
    Some(joined)
}
