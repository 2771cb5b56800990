//! Which words of an index a misspelt one may mean: those within one edit, where a swap of neighbours is one (Damerau
//! 1964), and with the same first letter, which is seldom wrong (Pollock and Zamora 1984). Words are kept as hashes of
//! themselves and of what is left of them without one letter (symmetric deletes, Garbe 2012): a look takes about as many
//! steps as the word has letters, however many words there are.

use std::io;

use tantivy::termdict::TermDictionary;

/// Shorter words have too many neighbours that mean something else.
pub(super) const MIN_MISSPELT_CHARS: usize = 5;
/// Longer ones are not written by hand.
pub(super) const MAX_MISSPELT_CHARS: usize = 24;

/// The words of one segment.
#[derive(Debug)]
pub(super) struct Spellings {
    /// Bucket by bucket, each with the number of a word in the dictionary.
    hashes: Vec<(u32, u32)>,
    /// Where the hashes of each bucket start and those of the one before end; one more than buckets.
    starts: Vec<u32>,
    /// What of a hash is left of this tells its bucket.
    shift: u32,
}

impl Spellings {
    pub(super) fn read(words: &TermDictionary) -> io::Result<Self> {
        let mut hashes = Vec::new();
        let mut stream = words.stream()?;
        while stream.advance() {
            if let (Ok(word), Ok(number)) = (str::from_utf8(stream.key()), u32::try_from(stream.term_ord()))
                && is_kept(word)
            {
                for_each_hash(word, |hash| hashes.push((hash, number)));
            }
        }
        let bits = hashes.len().max(2).ilog2();
        let shift = u32::BITS - bits;
        let mut starts = vec![0_u32; (1 << bits) + 1];
        for (hash, _) in &hashes {
            starts[(hash >> shift) as usize + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut by_bucket = vec![(0, 0); hashes.len()];
        for (hash, number) in hashes {
            let place = &mut next[(hash >> shift) as usize];
            by_bucket[*place as usize] = (hash, number);
            *place += 1;
        }
        Ok(Self { hashes: by_bucket, starts, shift })
    }

    /// Numbers of words within one edit, and perhaps of others whose hashes are the same.
    pub(super) fn near(&self, word: &str) -> Vec<u32> {
        let mut near = Vec::new();
        for_each_hash(word, |hash| near.extend(self.with_hash(hash)));
        near.sort_unstable();
        near.dedup();
        near
    }

    fn with_hash(&self, hash: u32) -> impl Iterator<Item = u32> {
        let bucket = (hash >> self.shift) as usize;
        let of_bucket = &self.hashes[self.starts[bucket] as usize..self.starts[bucket + 1] as usize];
        of_bucket.iter().filter(move |(known, _)| *known == hash).map(|(_, number)| *number)
    }
}

/// Whether what is within one edit of a misspelt word may be this one.
fn is_kept(word: &str) -> bool {
    word.chars().all(char::is_alphabetic)
        && (MIN_MISSPELT_CHARS - 1..=MAX_MISSPELT_CHARS + 1).contains(&word.chars().count())
}

/// The hash of a word, and of it without each letter but the first.
fn for_each_hash(word: &str, mut act: impl FnMut(u32)) {
    let whole = rolled(0, word);
    act(mixed(whole));
    let mut before = 0_u64;
    for (place, letter) in word.char_indices() {
        let end = place + letter.len_utf8();
        let with_letter = rolled(before, &word[place..end]);
        if place > 0
            && let Some(power) = POWERS.get(word.len() - end)
        {
            act(mixed(whole.wrapping_add(before.wrapping_sub(with_letter).wrapping_mul(*power))));
        }
        before = with_letter;
    }
}

/// Of a polynomial over bytes, so that the hash of a word without a letter follows from that of the word.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;
/// Powers of [`BASE`], for more bytes than a word that is kept has.
static POWERS: [u64; 128] = {
    let mut powers = [1_u64; 128];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1].wrapping_mul(BASE);
        place += 1;
    }
    powers
};

fn rolled(before: u64, text: &str) -> u64 {
    text.bytes().fold(before, |hash, byte| hash.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1))
}

/// The half of a polynomial's bits that all of it has mixed into, well enough spread to choose buckets by.
fn mixed(hash: u64) -> u32 {
    let [.., a, b, c, d] = (hash ^ hash >> 32).wrapping_mul(BASE).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Whether one letter more, less or other, or a swap of neighbours, makes one word of the other.
pub(super) fn is_within_one_edit(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let start = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&one[..one.len() - end], &other[..other.len() - end]) {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_edit_is_a_letter_or_a_swap_of_neighbours() {
        for (one, other, expected) in [
            ("printer", "pritner", true),
            ("printer", "prnter", true),
            ("printer", "printeer", true),
            ("printer", "printxr", true),
            ("größe", "grösse", false),
            ("größe", "grüße", true),
            ("printer", "printer", true),
            ("printer", "pirnetr", false),
            ("printer", "prin", false),
            ("", "ab", false),
        ] {
            assert_eq!(is_within_one_edit(one, other), expected, "{one} {other}");
            assert_eq!(is_within_one_edit(other, one), expected, "{other} {one}");
        }
    }

    proptest! {
        #[test]
        fn words_within_one_edit_share_a_hash(one in "a[abä]{3,6}", other in "a[abä]{3,6}") {
            let hashes = |word: &str| {
                let mut hashes = Vec::new();
                for_each_hash(word, |hash| hashes.push(hash));
                hashes
            };
            let theirs = hashes(&other);
            let share = hashes(&one).iter().any(|hash| theirs.contains(hash));
            prop_assert!(share || !is_within_one_edit(&one, &other));
        }
    }
}
