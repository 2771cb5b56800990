//! Columns of words and names, read so that a question is compared with many articles without a look into a
//! dictionary: every value stands for its hash.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use tantivy::columnar::{BytesColumn, StrColumn};
use xxhash_rust::xxh3::xxh3_64;

/// The values of one column in one segment.
pub(crate) struct Names {
    /// By document, where the numbers of its values start and those before it end; one more than documents.
    starts: Vec<u32>,
    numbers: Vec<u32>,
    /// By the number of the value, its hash.
    hashes: Vec<u64>,
    /// The values: looking one up in the column's dictionary takes as long as comparing an article.
    values: Vec<Box<str>>,
}

impl Names {
    pub(crate) fn load(column: Option<&StrColumn>, documents: u32) -> io::Result<Self> {
        let values = column.map_or_else(|| Ok(Vec::new()), values)?;
        let hashes = values.iter().map(|value| xxh3_64(value.as_bytes())).collect();
        let (mut starts, mut numbers) = (vec![0], Vec::new());
        for document in 0..documents {
            let of_document = column.into_iter().flat_map(|column| column.term_ords(document));
            numbers.extend(of_document.filter_map(|number| u32::try_from(number).ok()));
            starts.push(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
        }
        numbers.shrink_to_fit();
        Ok(Self { starts, numbers, hashes, values })
    }

    /// Different values.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether any document has a value of this hash.
    pub(super) fn contains(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    /// The values of a document: each with its number and its hash.
    pub(crate) fn of(&self, document: u32) -> impl Iterator<Item = (usize, u64)> + '_ {
        let hashed = |number: &u32| Some((*number as usize, *self.hashes.get(*number as usize)?));
        self.numbers_of(document).iter().filter_map(hashed)
    }

    /// The values of a document: each with its hash and as it was given.
    pub(crate) fn hashed_values_of(&self, document: u32) -> impl Iterator<Item = (u64, &str)> {
        self.of(document).map(|(number, hash)| (hash, self.value(number)))
    }

    pub(crate) fn has_any(&self, document: u32) -> bool {
        !self.numbers_of(document).is_empty()
    }

    fn numbers_of(&self, document: u32) -> &[u32] {
        // Many columns are empty: then there is no need to wait for where it would start.
        if self.numbers.is_empty() {
            return &[];
        }
        let place = document as usize;
        &self.numbers[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// The value of this number; empty where there is none.
    pub(crate) fn value(&self, number: usize) -> &str {
        self.values.get(number).map_or("", |value| value)
    }
}

/// All values of a column by their numbers.
fn values(column: &StrColumn) -> io::Result<Vec<Box<str>>> {
    let mut values = Vec::with_capacity(column.dictionary().num_terms());
    let mut stream = column.dictionary().stream()?;
    while stream.advance() {
        values.push(String::from_utf8_lossy(stream.key()).into());
    }
    Ok(values)
}

/// How rare each word of a column is, looked up when it is first asked for.
pub(super) struct Rarities(Vec<AtomicU32>);

/// Not the bits of a number that a rarity can be.
const UNKNOWN: u32 = u32::MAX;

impl Rarities {
    pub(super) fn unknown(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU32::new(UNKNOWN)).collect())
    }

    pub(super) fn get(&self, number: usize, look_up: impl FnOnce() -> f32) -> f32 {
        let Some(known) = self.0.get(number) else { return look_up() };
        let bits = known.load(Ordering::Relaxed);
        if bits != UNKNOWN {
            return f32::from_bits(bits);
        }
        // Whoever else looks it up meanwhile finds the same.
        let rarity = look_up();
        known.store(rarity.to_bits(), Ordering::Relaxed);
        rarity
    }
}

/// Hands over the value of each of these documents that has one, in the order in which the values lie in the file.
pub(crate) fn for_each_value(
    column: &BytesColumn,
    documents: impl Iterator<Item = u32>,
    mut act: impl FnMut(u32, &[u8]),
) -> io::Result<()> {
    let with_value = documents.filter_map(|document| Some((column.ords().first(document)?, document)));
    let mut numbered: Vec<(u64, u32)> = with_value.collect();
    numbered.sort_unstable();
    let (numbers, documents): (Vec<u64>, Vec<u32>) = numbered.into_iter().unzip();
    let mut documents = documents.into_iter();
    // Called once for each number, also for equal ones.
    column.dictionary().sorted_ords_to_term_cb(&numbers, |value| {
        if let Some(document) = documents.next() {
            act(document, value);
        }
    })?;
    Ok(())
}
