//! Counts the n-grams of training texts as they come, in bounded memory: texts are turned into numbers at once and
//! forgotten, rare n-grams are dropped when there are too many (after the lossy counting of Manku and Motwani 2002), and
//! rows can be taken out again. What the counts are worth is `samples`' business.
#![expect(clippy::cast_precision_loss, reason = "counts of texts are far below 2^24 where precision counts")]

use std::thread;

use super::{
    features::{self, Block, FirstLine},
    kernel::{self, Phases},
    samples::{DenseRows, Feature, Samples, SparseRows, term_frequency},
};
use crate::encode::{DIMENSIONS, HashIndex, Redactor, SentenceEncoder, StaticVectors, WordPiece, norm};

/// Texts whose n-grams are counted but not yet weighted.
pub(crate) struct Counts {
    index: HashIndex,
    keys: Vec<u64>,
    blocks: Vec<Block>,
    texts_with: Vec<u32>,
    /// N-grams with how often the text has them.
    rows: SparseRows,
    /// By row, how many n-grams its text has, each as often as it counts.
    occurrences: Vec<u32>,
    dense: DenseRows,
    /// Features of sentences, where there is an encoder for them.
    sentences: Option<DenseRows>,
    /// N-grams that fewer texts have may have been dropped and counted from nothing again.
    dropped_below: u32,
}

impl Extracted {
    /// How many different n-grams the text has.
    pub(crate) fn len(&self) -> usize {
        self.features.len()
    }
}

/// Features of one text: hashes with their block and count, the vector of its tokens, and what planes read of its sentence.
pub(crate) struct Extracted {
    features: Vec<(u64, Block, u16)>,
    vector: [f32; DIMENSIONS],
    sentence: Option<Vec<f32>>,
}

/// What texts are read with.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) tokens: &'a WordPiece,
    pub(crate) vectors: &'a StaticVectors,
    pub(crate) redactor: &'a Redactor,
    pub(crate) sentences: Option<&'a SentenceEncoder>,
}

const CHUNK: usize = 256;

/// Extracts the features of texts on up to `threads` threads; the result does not depend on how many.
pub(crate) fn extract(texts: &[&str], reader: Reader<'_>, threads: usize) -> Vec<Extracted> {
    let mut extracted = Vec::with_capacity(texts.len());
    let threads = threads.max(1);
    // A few texts are shared out too: a sentence encoder reads a hundred of them in a second.
    let chunk = texts.len().div_ceil(threads).clamp(1, CHUNK);
    for round in texts.chunks(chunk * threads) {
        let of_round: Vec<Vec<Extracted>> = thread::scope(|scope| {
            let workers: Vec<_> = round
                .chunks(chunk)
                .map(|texts| scope.spawn(|| texts.iter().map(|text| extract_one(text, reader)).collect()))
                .collect();
            let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|features| features.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        extracted.extend(of_round.into_iter().flatten());
    }
    extracted
}

fn extract_one(text: &str, Reader { tokens, vectors, redactor, sentences }: Reader<'_>) -> Extracted {
    let text = features::readable(text, redactor);
    let mut found = Vec::new();
    features::extract(&text, |occurrence| found.push((occurrence.key, occurrence.block, occurrence.times)));
    found.sort_unstable_by_key(|(key, ..)| *key);
    found.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.2 = first.2.saturating_add(next.2);
        }
        same
    });
    let mut vector = [0.0; DIMENSIONS];
    let first_line = FirstLine::of(text.as_str());
    for token in tokens.tokenize(&text.words()) {
        vectors.add(token.id, first_line.times(token.bytes.start), &mut vector);
    }
    let length = norm(&vector).max(f32::MIN_POSITIVE);
    let sentence = sentences.and_then(|encoder| features::sentence(encoder, &text, &|| false));
    let sentence = sentence.map(|sentence| Phases::of(&sentence.vector).features());
    Extracted { features: found, vector: vector.map(|value| value / length), sentence }
}

impl Counts {
    /// With the length of a sentence encoder's vectors, where there is one.
    pub(crate) fn new(sentence_dimensions: Option<usize>) -> Self {
        Self {
            index: HashIndex::default(),
            keys: Vec::new(),
            blocks: Vec::new(),
            texts_with: Vec::new(),
            rows: SparseRows::default(),
            occurrences: Vec::new(),
            dense: DenseRows::new(DIMENSIONS),
            sentences: sentence_dimensions.map(|dimensions| DenseRows::new(kernel::features_of(dimensions))),
            dropped_below: 1,
        }
    }

    /// Adds the row of one text.
    pub(crate) fn push(&mut self, text: &Extracted) {
        let mut occurrences = 0_u32;
        for &(key, block, times) in &text.features {
            let id = self.index.intern(key);
            if id as usize == self.keys.len() {
                self.keys.push(key);
                self.blocks.push(block);
                self.texts_with.push(0);
            }
            self.texts_with[id as usize] += 1;
            self.rows.push(id, times);
            occurrences += u32::from(times);
        }
        self.rows.end_row();
        self.occurrences.push(occurrences);
        self.dense.push(&text.vector);
        if let Some((rows, sentence)) = self.sentences.as_mut().zip(text.sentence.as_ref()) {
            rows.push(sentence);
        }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many different n-grams are counted.
    pub(crate) fn features(&self) -> usize {
        self.keys.len()
    }

    /// How many numbers the rows hold.
    pub(crate) fn entries(&self) -> usize {
        self.rows.entries()
    }

    /// How many features at least `texts` texts have.
    pub(crate) fn features_in(&self, texts: u32) -> usize {
        self.texts_with.iter().filter(|&&with| with >= texts).count()
    }

    /// Drops the n-grams that the fewest texts have; what comes again is counted from nothing.
    pub(crate) fn drop_rare(&mut self) {
        self.dropped_below += 1;
        let mut ids = vec![u32::MAX; self.keys.len()];
        let mut index = HashIndex::with_capacity(self.features_in(self.dropped_below));
        for (id, key) in self.keys.iter().enumerate().filter(|(id, _)| self.texts_with[*id] >= self.dropped_below) {
            ids[id] = index.intern(*key);
        }
        let kept = |id: usize| ids[id] != u32::MAX;
        retain_by_place(&mut self.keys, kept);
        retain_by_place(&mut self.blocks, kept);
        retain_by_place(&mut self.texts_with, kept);
        self.rows.renumber(&ids);
        self.index = index;
    }

    /// Keeps the rows for which `keeps` says so, by their places.
    pub(crate) fn retain_rows(&mut self, keeps: impl Fn(usize) -> bool) {
        for row in (0..self.len()).filter(|row| !keeps(*row)) {
            for (id, _) in self.rows.row(row) {
                self.texts_with[id as usize] -= 1;
            }
        }
        self.rows.retain(&keeps);
        self.dense.retain(&keeps);
        if let Some(sentences) = &mut self.sentences {
            sentences.retain(&keeps);
        }
        retain_by_place(&mut self.occurrences, keeps);
    }

    /// The share of each row's n-grams, counted as often as the text has them, that other texts have often enough
    /// to be known to a bundle that knows what `min_texts` texts have.
    pub(crate) fn known_shares(&self, min_texts: u32) -> Vec<f32> {
        let share = |row: usize| {
            // A row that is held back must not count itself.
            let known = self.rows.row(row).filter(|(id, _)| self.texts_with[*id as usize] > min_texts);
            let known: u32 = known.map(|(_, times)| u32::from(times)).sum();
            known as f32 / self.occurrences[row].max(1) as f32
        };
        (0..self.len()).map(share).collect()
    }

    /// Weights the counts: TF (sublinear) × IDF, each block of a row at its length, `words` beside 1 for runs of
    /// characters. Features that fewer than `min_texts` texts have are dropped.
    pub(crate) fn weighted(self, min_texts: u32, words: f32) -> Samples {
        let Self { index, keys, blocks, texts_with, mut rows, dense, sentences, .. } = self;
        drop(index);
        let total = rows.len() as f32;
        let mut ids = vec![u32::MAX; keys.len()];
        let mut features = Vec::new();
        for (id, (key, block)) in keys.into_iter().zip(blocks).enumerate() {
            let texts = texts_with[id];
            if texts >= min_texts {
                ids[id] = u32::try_from(features.len()).unwrap_or(u32::MAX);
                features.push(Feature { key, block, idf: ((1.0 + total) / (1.0 + texts as f32)).ln() + 1.0 });
            }
        }
        rows.renumber(&ids);
        Samples::new(features, rows, (dense, sentences), words, |times| term_frequency(times.into()))
    }
}

/// Keeps the items at the places for which `keeps` says so.
pub(super) fn retain_by_place<T>(items: &mut Vec<T>, keeps: impl Fn(usize) -> bool) {
    let mut place = 0;
    items.retain(|_| {
        place += 1;
        keeps(place - 1)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::embedded;

    fn counted(texts: &[&str]) -> Counts {
        let mut counts = Counts::new(None);
        add(&mut counts, texts);
        counts
    }

    fn add(counts: &mut Counts, texts: &[&str]) {
        let (tokens, vectors) = embedded::encoder(&embedded::encoder_files()).unwrap();
        let redactor = &Redactor::default();
        let reader = Reader { tokens: &tokens, vectors: &vectors, redactor, sentences: None };
        for text in extract(texts, reader, 2) {
            counts.push(&text);
        }
    }

    #[test]
    fn rare_n_grams_are_dropped_and_counted_again_when_they_return() {
        let mut counts = counted(&["vpn down", "vpn slow", "printer jam"]);
        let all = counts.features();
        let shared = counts.features_in(2);
        counts.drop_rare();
        assert!(shared > 0 && counts.features() == shared && shared < all);
        add(&mut counts, &["printer jam"]);
        assert!(counts.features() > shared);
        assert_eq!(counts.features_in(2), shared);
        let shares = counts.known_shares(0);
        assert!(shares[2] < 0.1 && (shares[3] - 1.0).abs() < 1e-6, "{shares:?}");
    }

    #[test]
    fn rows_that_are_taken_out_no_longer_count() {
        let mut counts = counted(&["vpn down", "printer jam", "vpn down"]);
        counts.retain_rows(|row| row != 2);
        assert_eq!((counts.len(), counts.features_in(2)), (2, 0));
        assert_eq!(counts.known_shares(0), [1.0, 1.0]);
        assert_eq!(counts.known_shares(1), [0.0, 0.0]);
    }
}
