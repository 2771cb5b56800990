//! Terms and ids by the hashes of their texts. A walk through tantivy's dictionary waits for the memory at every letter,
//! a look in here once. The half of a hash that does not choose the place is compared: a text that is none of the terms is
//! taken for one once in some billion looks.

use std::{hint::black_box, io};

use tantivy::{postings::TermInfo, termdict::TermDictionary};
use xxhash_rust::xxh3::xxh3_64;

/// The terms of a field without positions.
#[derive(Debug)]
pub(crate) struct TermTable {
    numbers: NumberTable,
    /// By number.
    postings: Vec<Postings>,
}

/// Where the postings of a term lie, and how many documents hold it.
#[derive(Debug, Clone, Copy)]
struct Postings {
    start: u64,
    length: u32,
    documents: u32,
}

impl TermTable {
    pub(crate) fn read(terms: &TermDictionary) -> io::Result<Self> {
        let mut hashes = Vec::with_capacity(terms.num_terms());
        let mut postings = Vec::with_capacity(terms.num_terms());
        let mut stream = terms.stream()?;
        while let Some((term, info)) = stream.next() {
            let (start, length) = (info.postings_range.start, info.postings_range.len());
            let (Ok(start), Ok(length)) = (u64::try_from(start), u32::try_from(length)) else {
                return Err(io::Error::other("a term has more than 4 GB of postings"));
            };
            hashes.push(xxh3_64(term));
            postings.push(Postings { start, length, documents: info.doc_freq });
        }
        Ok(Self { numbers: NumberTable::new(&hashes), postings })
    }

    /// What the dictionary knows of the term with this [`xxh3_64`].
    pub(crate) fn info(&self, hash: u64) -> Option<TermInfo> {
        let Postings { start, length, documents } = self.postings.get(self.numbers.first(hash)? as usize)?;
        let start = usize::try_from(*start).ok()?;
        let postings_range = start..start + *length as usize;
        Some(TermInfo { doc_freq: *documents, postings_range, positions_range: 0..0 })
    }

    pub(crate) fn contains(&self, hash: u64) -> bool {
        self.numbers.first(hash).is_some()
    }

    /// Asks the memory for what the looks at these hashes will read, at once: a look takes so long that the processor does
    /// not go ahead to the next.
    pub(crate) fn fetch(&self, hashes: impl Iterator<Item = u64>) {
        black_box(hashes.fold(0, |sum: u32, hash| sum.wrapping_add(self.numbers.tag_at(hash))));
    }
}

const EMPTY: u32 = u32::MAX;

/// Places in a list by the hashes that stood there. Open addressing with linear probing, at most half full.
#[derive(Debug)]
pub(crate) struct NumberTable {
    /// The high half of a hash and its number, at the place that the low half tells.
    slots: Vec<(u32, u32)>,
}

impl NumberTable {
    /// Every hash by its place; equal ones are kept each.
    pub(crate) fn new(hashes: &[u64]) -> Self {
        let mut slots = vec![(0, EMPTY); (hashes.len() * 2).next_power_of_two().max(16)];
        for (number, &hash) in (0..EMPTY).zip(hashes) {
            let (tag, mut at) = split(hash, slots.len());
            while slots[at].1 != EMPTY {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = (tag, number);
        }
        Self { slots }
    }

    /// What is compared with this hash first.
    fn tag_at(&self, hash: u64) -> u32 {
        self.slots[split(hash, self.slots.len()).1].0
    }

    /// The number of the first that has this hash.
    pub(crate) fn first(&self, hash: u64) -> Option<u32> {
        let (tag, mut at) = split(hash, self.slots.len());
        loop {
            let (known, number) = self.slots[at];
            if number == EMPTY || known == tag {
                return (number != EMPTY).then_some(number);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The numbers of all that have it.
    pub(crate) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        let (tag, first) = split(hash, self.slots.len());
        let probed = self.slots[first..].iter().chain(&self.slots[..first]);
        let found = probed.take_while(|(_, number)| *number != EMPTY);
        found.filter(move |(known, _)| *known == tag).map(|(_, number)| *number)
    }
}

/// What of a hash is compared, and the slot where it is looked for first.
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a hash")]
fn split(hash: u64, slots: usize) -> (u32, usize) {
    ((hash >> u32::BITS) as u32, hash as usize & (slots - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few low bits, so that slots collide.
    fn spread(hash: u64) -> u64 {
        (hash << 30) | (hash % 3)
    }

    proptest! {
        #[test]
        fn every_hash_is_found_by_its_places(hashes in prop::collection::vec(0_u64..300, 0..400)) {
            let hashes: Vec<u64> = hashes.into_iter().map(spread).collect();
            let table = NumberTable::new(&hashes);
            for hash in (0..300_u64).map(spread) {
                let (tag, _) = split(hash, 1);
                let expected: Vec<u32> =
                    (0..).zip(&hashes).filter(|(_, one)| split(**one, 1).0 == tag && **one == hash).map(|(n, _)| n).collect();
                let mut found: Vec<u32> = table.all(hash).collect();
                prop_assert_eq!(table.first(hash), found.first().copied());
                found.retain(|number| hashes[*number as usize] == hash);
                found.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
