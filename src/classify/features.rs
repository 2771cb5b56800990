//! Text to n-grams: words, pairs of neighbouring words, and runs of characters within a word, each as a 64-bit
//! hash with the words it came from. Training and serving share this file; a change of what comes out of it
//! needs a new [`FEATURE_VERSION`]. It keeps no table: which n-grams count is the bundle's business.

use std::{ops::Range, sync::Arc};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::encode::{PlainText, Redactor, Sentence, SentenceEncoder, redact};

/// Changes whenever the same text would give other features.
pub(crate) const FEATURE_VERSION: u32 = 3;

/// How much of a text is read, in bytes without its markup: the matter of a ticket stands at its beginning, and the cost of a
/// call must have a bound.
const MAX_TEXT_BYTES: usize = 4 << 10;

// The seeds differ in their high halves: xxh3 mixes a seed weakly into texts of up to three bytes.
const WORD_SEED: u64 = 0x243F_6A88_85A3_08D3;
const SHAPE_SEED: u64 = 0x1319_8A2E_0370_7344;
const PAIR_SEED: u64 = 0xA409_3822_299F_31D0;
const CHARACTERS_SEED: u64 = 0x082E_FA98_EC4E_6C89;
const PLACEHOLDER_SEED: u64 = 0x4528_21E6_38D0_1377;

const CHARACTER_RUNS: Range<usize> = 3..6;

/// Features of one kind; each block of a text is brought to length one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    Words,
    Characters,
}

impl Block {
    pub(crate) const COUNT: usize = 2;
}

/// One feature at one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurrence {
    pub(crate) key: u64,
    pub(crate) block: Block,
    /// As how many it counts.
    pub(crate) times: u16,
    /// The first and the last word it came from, numbers into what [`extract`] returns.
    pub(crate) words: (u32, u32),
}

impl Occurrence {
    /// Whether it is a word, not part of one nor several.
    pub(crate) fn is_word(&self) -> bool {
        self.block == Block::Words && self.words.0 == self.words.1
    }
}

/// The part of what was sent that is read, as plain text.
pub(crate) fn readable<'a>(text: &'a str, redactor: &Redactor) -> PlainText<'a> {
    PlainText::of(text, MAX_TEXT_BYTES, redactor)
}

/// What a sentence encoder makes of a text, its first line counted once more; `None` where `stop` said so.
pub(crate) fn sentence(
    encoder: &SentenceEncoder,
    text: &PlainText<'_>,
    stop: &dyn Fn() -> bool,
) -> Option<Arc<Sentence>> {
    encoder.read_with_first(&text.words(), FirstLine::of(text.as_str()).length(), stop)
}

/// The first line of several: a ticket's summary. It says in few words what the rest is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstLine {
    /// UTF-8 bytes; 0 where there is one line only.
    end: usize,
}

impl FirstLine {
    const TIMES: u16 = 2;

    pub(crate) fn of(text: &str) -> Self {
        Self { end: text.trim_end().find('\n').unwrap_or(0) }
    }

    /// Its length in bytes; 0 where there is one line only.
    pub(crate) fn length(self) -> usize {
        self.end
    }

    /// As how many a word that begins at this byte counts.
    pub(crate) fn times(self, start: usize) -> u16 {
        if start < self.end { Self::TIMES } else { 1 }
    }
}

/// Hands every feature of the text to `found`, in order; returns the words as UTF-8 byte ranges. A placeholder is a
/// word of its own, whatever its number, so that an address in a signature is not the word "email".
pub(crate) fn extract(text: &PlainText<'_>, mut found: impl FnMut(Occurrence)) -> Vec<Range<usize>> {
    let mut placeholders = text.placeholders().iter().peekable();
    let mut skipped = 0;
    let text = text.as_str();
    let mut words = Vec::with_capacity(text.len() / 5);
    let mut scratch = Scratch::default();
    let first_line = FirstLine::of(text);
    let mut previous_word = None;
    let mut word_start = None;
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        if at < skipped {
            continue;
        }
        if character.is_alphanumeric() {
            word_start.get_or_insert(at);
            continue;
        }
        if let Some(start) = word_start.take() {
            let number = count(words.len());
            words.push(start..at);
            let times = first_line.times(start);
            let here = Place { words: (number, number), times };
            let word = scratch.word(&text[start..at], here, &mut found);
            if let Some(previous) = previous_word.replace(word) {
                let here = Place { words: (number - 1, number), times };
                found(here.occurrence(pair(previous, word), Block::Words));
            }
        }
        if let Some(placeholder) = placeholders.next_if(|placeholder| placeholder.start == at) {
            let number = count(words.len());
            words.push(placeholder.clone());
            let name = redact::name_of(&text[placeholder.clone()]);
            let word = xxh3_64_with_seed(name.as_bytes(), PLACEHOLDER_SEED);
            let times = first_line.times(at);
            found(Place { words: (number, number), times }.occurrence(word, Block::Words));
            if let Some(previous) = previous_word.replace(word) {
                found(Place { words: (number - 1, number), times }.occurrence(pair(previous, word), Block::Words));
            }
            skipped = placeholder.end;
        } else if matches!(character, '?' | '!') {
            let number = count(words.len());
            words.push(at..at + 1);
            let key = xxh3_64_with_seed(&text.as_bytes()[at..=at], WORD_SEED);
            let here = Place { words: (number, number), times: first_line.times(at) };
            found(here.occurrence(key, Block::Words));
            previous_word = None;
        }
    }
    words
}

#[derive(Debug, Clone, Copy)]
struct Place {
    words: (u32, u32),
    times: u16,
}

impl Place {
    fn occurrence(self, key: u64, block: Block) -> Occurrence {
        Occurrence { key, block, times: self.times, words: self.words }
    }
}

/// Buffers kept from word to word.
#[derive(Default)]
struct Scratch {
    /// The word in lower case, between two blanks.
    padded: String,
    /// The word with each digit as `0`.
    shape: String,
    /// Where the characters of `padded` begin, and its length.
    bounds: Vec<usize>,
}

impl Scratch {
    /// Hands over the features of one word; returns its hash.
    fn word(&mut self, word: &str, here: Place, found: &mut impl FnMut(Occurrence)) -> u64 {
        self.padded.clear();
        self.padded.push(' ');
        if word.is_ascii() {
            self.padded.push_str(word);
            self.padded.make_ascii_lowercase();
        } else {
            self.padded.extend(word.chars().flat_map(char::to_lowercase));
        }
        let literal = &self.padded[1..];
        let hash = xxh3_64_with_seed(literal.as_bytes(), WORD_SEED);
        found(here.occurrence(hash, Block::Words));
        if literal.chars().any(char::is_numeric) {
            self.shape.clear();
            self.shape.extend(literal.chars().map(|character| if character.is_numeric() { '0' } else { character }));
            found(here.occurrence(xxh3_64_with_seed(self.shape.as_bytes(), SHAPE_SEED), Block::Words));
        }
        self.padded.push(' ');

        self.bounds.clear();
        self.bounds.extend(self.padded.char_indices().map(|(at, _)| at));
        self.bounds.push(self.padded.len());
        for length in CHARACTER_RUNS {
            for run in self.bounds.windows(length + 1) {
                let characters = &self.padded.as_bytes()[run[0]..run[length]];
                found(here.occurrence(xxh3_64_with_seed(characters, CHARACTERS_SEED), Block::Characters));
            }
        }
        hash
    }
}

fn pair(first: u64, second: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    xxh3_64_with_seed(&bytes, PAIR_SEED)
}

/// Texts are at most [`MAX_TEXT_BYTES`] long, so the count of their words always fits.
fn count(words: usize) -> u32 {
    u32::try_from(words).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> PlainText<'_> {
        readable(text, &Redactor::default())
    }

    fn keys(text: &str) -> HashSet<u64> {
        let mut keys = HashSet::new();
        extract(&plain(text), |occurrence| _ = keys.insert(occurrence.key));
        keys
    }

    #[test]
    fn case_and_punctuation_make_no_difference() {
        assert_eq!(keys("VPN: Won't CONNECT"), keys("vpn won t connect"));
        assert_ne!(keys("is it down?"), keys("is it down"));
    }

    #[test]
    fn an_address_is_neither_its_words_nor_the_word_email() {
        let address = keys("ann@x.example");
        assert_eq!(address, keys("<email>"));
        assert_eq!(address, keys("<email-2>"));
        assert!(address.is_disjoint(&keys("email ann example")));
        assert_eq!(keys("mail ann@x.example, bob@x.example"), keys("mail <email>, <email-2>"));
    }

    #[test]
    fn numbers_share_their_shape() {
        let shared = keys("10").intersection(&keys("11")).count();
        assert_eq!(shared, 1);
        assert!(keys("windows 10") != keys("windows 11"));
    }

    #[test]
    fn the_first_of_several_lines_counts_double() {
        let times = |text: &str| {
            let mut times = Vec::new();
            extract(&plain(text), |occurrence| times.push(occurrence.times));
            (times.first().copied(), times.last().copied())
        };
        assert_eq!(times("vpn down\nsince noon"), (Some(2), Some(1)));
        assert_eq!(times("vpn down since noon\n"), (Some(1), Some(1)));
    }

    #[test]
    fn words_are_found_in_the_original_text() {
        let text = "Käse? naïve   x1";
        let words = extract(&plain(text), |_| {});
        assert_eq!(words.iter().map(|bytes| &text[bytes.clone()]).collect::<Vec<_>>(), ["Käse", "?", "naïve", "x1"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_features_of_words_that_exist(text in "(\\PC|[a-z ?]){0,200}") {
            let mut last = 0;
            let plain = plain(&text);
            let words = extract(&plain, |occurrence| {
                assert!(occurrence.words.0 <= occurrence.words.1);
                last = last.max(occurrence.words.1 + 1);
            });
            prop_assert_eq!(last as usize, words.len());
            prop_assert!(words.is_sorted_by_key(|bytes| bytes.start));
            prop_assert!(words.iter().all(|bytes| plain.as_str().get(bytes.clone()).is_some()));
        }
    }
}
