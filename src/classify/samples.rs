//! The training texts as numbers: one sparse row of n-grams and one dense vector a text, ready for the solver.
//! N-grams that too few texts have are left out here, so that nothing of a single text enters a bundle.
#![expect(clippy::cast_precision_loss, reason = "counts of texts are far below 2^24 where precision counts")]

use std::thread;

use crate::{
    classify::features::{self, Block, FirstLine},
    encode::{DIMENSIONS, HashIndex, StaticVectors, WordPiece, norm},
};

/// How strongly each kind of feature counts: the length of its part of a text's vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BlockWeights {
    pub(crate) words: f32,
    pub(crate) characters: f32,
    pub(crate) vectors: f32,
}

impl BlockWeights {
    pub(crate) fn of(&self, block: Block) -> f32 {
        match block {
            Block::Words => self.words,
            Block::Characters => self.characters,
        }
    }
}

/// An n-gram that has a row in the bundle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Feature {
    pub(crate) key: u64,
    pub(crate) block: Block,
    /// Inverse document frequency, smoothed.
    pub(crate) idf: f32,
}

/// Texts whose n-grams are counted but not yet weighted.
pub(crate) struct Counts {
    index: HashIndex,
    keys: Vec<(u64, Block)>,
    texts_with: Vec<u32>,
    offsets: Vec<usize>,
    /// Feature and how often the text has it.
    entries: Vec<(u32, u16)>,
    dense: Vec<f32>,
}

/// Features of one text: hashes with their block and count, and the vector of its tokens.
type Extracted = (Vec<(u64, Block, u16)>, [f32; DIMENSIONS]);

const CHUNK: usize = 512;

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            index: HashIndex::default(),
            keys: Vec::new(),
            texts_with: Vec::new(),
            offsets: vec![0],
            entries: Vec::new(),
            dense: Vec::new(),
        }
    }

    /// Adds texts, in order, on up to `threads` threads; the result does not depend on how many.
    pub(crate) fn extend(&mut self, texts: &[String], tokens: &WordPiece, vectors: &StaticVectors, threads: usize) {
        for round in texts.chunks(CHUNK * threads.max(1)) {
            let extracted: Vec<Vec<Extracted>> = thread::scope(|scope| {
                let workers: Vec<_> = round
                    .chunks(CHUNK)
                    .map(|texts| scope.spawn(move || texts.iter().map(|text| extract(text, tokens, vectors)).collect()))
                    .collect();
                workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
            });
            for (features, vector) in extracted.into_iter().flatten() {
                for (key, block, times) in features {
                    let id = self.index.intern(key);
                    if id as usize == self.keys.len() {
                        self.keys.push((key, block));
                        self.texts_with.push(0);
                    }
                    self.texts_with[id as usize] += 1;
                    self.entries.push((id, times));
                }
                self.offsets.push(self.entries.len());
                self.dense.extend(vector);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many features at least `texts` texts have.
    pub(crate) fn features_in(&self, texts: u32) -> usize {
        self.texts_with.iter().filter(|&&with| with >= texts).count()
    }

    /// The share of each text's n-grams, counted as often as the text has them, that at least `min_texts` texts have.
    pub(crate) fn known_shares(&self, min_texts: u32) -> Vec<f32> {
        let share = |range: &[usize]| {
            let (mut all, mut known) = (0_u32, 0_u32);
            for (id, times) in &self.entries[range[0]..range[1]] {
                all += u32::from(*times);
                // A row that is held back must not count itself.
                if self.texts_with[*id as usize] > min_texts {
                    known += u32::from(*times);
                }
            }
            known as f32 / all.max(1) as f32
        };
        self.offsets.windows(2).map(share).collect()
    }

    /// Weights the counts: TF (sublinear) × IDF, each block at its length. Features that fewer than
    /// `min_texts` texts have are dropped.
    pub(crate) fn weighted(&self, min_texts: u32, weights: BlockWeights) -> Samples {
        let total = self.len() as f32;
        let mut rows = vec![u32::MAX; self.keys.len()];
        let mut features = Vec::new();
        for (id, &(key, block)) in self.keys.iter().enumerate() {
            let texts = self.texts_with[id];
            if texts >= min_texts {
                rows[id] = u32::try_from(features.len()).unwrap_or(u32::MAX);
                features.push(Feature { key, block, idf: ((1.0 + total) / (1.0 + texts as f32)).ln() + 1.0 });
            }
        }
        let mut samples = Samples {
            features,
            offsets: vec![0],
            indices: Vec::new(),
            values: Vec::new(),
            dense: self.dense.iter().map(|value| value * weights.vectors).collect(),
        };
        for range in self.offsets.windows(2) {
            let start = samples.indices.len();
            let mut squares = [0.0_f32; Block::COUNT];
            for &(id, times) in &self.entries[range[0]..range[1]] {
                let row = rows[id as usize];
                let Some(feature) = samples.features.get(row as usize) else { continue };
                let value = term_frequency(times.into()) * feature.idf;
                squares[feature.block as usize] += value * value;
                samples.indices.push(row);
                samples.values.push(value);
            }
            for (row, value) in samples.indices[start..].iter().zip(&mut samples.values[start..]) {
                let block = samples.features[*row as usize].block;
                *value *= weights.of(block) / squares[block as usize].sqrt();
            }
            samples.offsets.push(samples.indices.len());
        }
        samples
    }
}

/// Sublinear: the tenth time a word is used says little more than the ninth.
pub(crate) fn term_frequency(times: f32) -> f32 {
    1.0 + times.ln()
}

fn extract(text: &str, tokens: &WordPiece, vectors: &StaticVectors) -> Extracted {
    let text = features::readable(text);
    let text = text.as_str();
    let mut found = Vec::new();
    features::extract(text, |occurrence| found.push((occurrence.key, occurrence.block, occurrence.times)));
    found.sort_unstable_by_key(|(key, ..)| *key);
    found.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.2 = first.2.saturating_add(next.2);
        }
        same
    });
    let mut vector = [0.0; DIMENSIONS];
    let first_line = FirstLine::of(text);
    for token in tokens.tokenize(text) {
        vectors.add(token.id, first_line.times(token.bytes.start), &mut vector);
    }
    let length = norm(&vector).max(f32::MIN_POSITIVE);
    (found, vector.map(|value| value / length))
}

/// Weighted texts.
pub(crate) struct Samples {
    pub(crate) features: Vec<Feature>,
    offsets: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
    dense: Vec<f32>,
}

impl Samples {
    /// Length of a weight vector: the sparse features, the dense ones, and one that is always 1.
    pub(crate) fn width(&self) -> usize {
        self.features.len() + DIMENSIONS + 1
    }

    pub(crate) fn dense(&self, row: usize) -> &[f32] {
        &self.dense[row * DIMENSIONS..][..DIMENSIONS]
    }

    /// The row's weight vector times `weights`.
    pub(crate) fn dot(&self, row: usize, weights: &[f32]) -> f32 {
        let (sparse, rest) = weights.split_at(self.features.len());
        let range = self.offsets[row]..self.offsets[row + 1];
        let pairs = self.indices[range.clone()].iter().zip(&self.values[range]);
        let sum: f32 = pairs.map(|(&index, value)| sparse[index as usize] * value).sum();
        sum + dot(self.dense(row), &rest[..DIMENSIONS]) + rest[DIMENSIONS]
    }

    /// Adds `scale` times the row to `weights`.
    pub(crate) fn add_to(&self, row: usize, scale: f32, weights: &mut [f32]) {
        let (sparse, rest) = weights.split_at_mut(self.features.len());
        let range = self.offsets[row]..self.offsets[row + 1];
        for (&index, value) in self.indices[range.clone()].iter().zip(&self.values[range]) {
            sparse[index as usize] += scale * value;
        }
        for (weight, value) in rest.iter_mut().zip(self.dense(row)) {
            *weight += scale * value;
        }
        rest[DIMENSIONS] += scale;
    }

    /// The square of the row's length.
    pub(crate) fn square(&self, row: usize) -> f32 {
        let values = &self.values[self.offsets[row]..self.offsets[row + 1]];
        1.0 + dot(values, values) + dot(self.dense(row), self.dense(row))
    }
}

/// A dot product in eight sums, which the compiler can keep in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}
