//! A map from words to what is known of them, for looks that every word of a text takes. Words are known by their 64-bit
//! hashes, which no two words of a language share, and are not kept.

use xxhash_rust::xxh3::xxh3_64;

use crate::encode::HashIndex;

#[derive(Debug)]
pub(crate) struct WordMap<T> {
    /// Places in `values`.
    index: HashIndex,
    values: Vec<T>,
}

impl<T> WordMap<T> {
    pub(crate) fn with_capacity(words: usize) -> Self {
        Self { index: HashIndex::with_capacity(words), values: Vec::with_capacity(words) }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn get(&self, word: &str) -> Option<&T> {
        self.values.get(self.index.get(xxh3_64(word.as_bytes()))? as usize)
    }

    pub(crate) fn get_mut(&mut self, word: &str) -> Option<&mut T> {
        self.values.get_mut(self.index.get(xxh3_64(word.as_bytes()))? as usize)
    }

    pub(crate) fn contains(&self, word: &str) -> bool {
        self.get(word).is_some()
    }

    /// Keeps what is known of a word already.
    pub(crate) fn insert(&mut self, word: &str, value: T) {
        if self.index.intern(xxh3_64(word.as_bytes())) as usize == self.values.len() {
            self.values.push(value);
        }
    }

    /// In the order of their words' first insertion.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.values.into_iter()
    }
}

impl<'a, T> FromIterator<(&'a str, T)> for WordMap<T> {
    fn from_iter<I: IntoIterator<Item = (&'a str, T)>>(words: I) -> Self {
        let mut map = Self::with_capacity(0);
        words.into_iter().for_each(|(word, value)| map.insert(word, value));
        map
    }
}
