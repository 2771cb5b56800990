//! Linear heads over n-grams and static vectors: every field's labels side by side, so that one pass scores them
//! all. The dense part is one product in candle; the sparse part sums the rows of the n-grams that the text has,
//! never a product over all of them. Scores are sums, so each word's share of a score is exact.

use candle_core::{Device, Tensor};

use super::{
    features::{self, Block, FirstLine, Occurrence},
    samples::{BlockWeights, term_frequency},
};
use crate::encode::{DIMENSIONS, HashIndex, PlainText, StaticVectors, Token, WordPiece, norm};

/// The planes of all fields.
pub(crate) struct Heads {
    /// Row of an n-gram, by its hash.
    index: HashIndex,
    rows: Vec<RowScale>,
    /// Row after row, one value a column.
    weights: Vec<i8>,
    /// One row a column.
    dense: Tensor,
    /// The same, one stretch a column.
    dense_columns: Vec<f32>,
    bias: Vec<f32>,
    blocks: BlockWeights,
}

#[derive(Debug, Clone, Copy)]
struct RowScale {
    idf: f32,
    /// What 1 in the row stands for.
    scale: f32,
}

/// What [`Heads`] are made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Planes {
    pub(crate) keys: Vec<u64>,
    pub(crate) idf: Vec<f32>,
    pub(crate) scales: Vec<f32>,
    pub(crate) weights: Vec<i8>,
    /// Column after column, each of [`DIMENSIONS`] values.
    pub(crate) dense: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// What the heads found in a text.
#[derive(Debug, Clone)]
pub(crate) struct Activation {
    pub(crate) words: Vec<std::ops::Range<usize>>,
    /// How many n-grams the text has, each as often as it counts, and how many of them have a row.
    occurrences: usize,
    known_occurrences: usize,
    /// How many of the words have a row.
    known_words: usize,
    known: Vec<Known>,
    tokens: Vec<Token>,
    first_line: FirstLine,
    vector: [f32; DIMENSIONS],
    /// What a token's row is multiplied by to give its part of `vector`.
    token_scale: f32,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    row: u32,
    words: (u32, u32),
    /// This occurrence's part of the feature's value.
    value: f32,
}

/// Each word's share of a score; `rest` is what no word carries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares {
    pub(crate) words: Vec<f32>,
    pub(crate) rest: f32,
}

impl Heads {
    /// `None` where the lengths of the parts do not fit together.
    pub(crate) fn new(planes: Planes, blocks: BlockWeights) -> Option<Self> {
        let Planes { keys, idf, scales, weights, dense, bias } = planes;
        let columns = bias.len();
        let fits = idf.len() == keys.len()
            && scales.len() == keys.len()
            && weights.len() == keys.len() * columns
            && dense.len() == columns * DIMENSIONS;
        if !fits {
            return None;
        }
        let mut index = HashIndex::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            if index.intern(*key) as usize != row {
                return None;
            }
        }
        let rows = idf.into_iter().zip(scales).map(|(idf, scale)| RowScale { idf, scale }).collect();
        let tensor = Tensor::from_slice(&dense, (columns, DIMENSIONS), &Device::Cpu).ok()?;
        Some(Self { index, rows, weights, dense: tensor, dense_columns: dense, bias, blocks })
    }

    /// Finds what the heads know in the text.
    pub(crate) fn activate(&self, text: &PlainText<'_>, pieces: &WordPiece, vectors: &StaticVectors) -> Activation {
        let mut found: Vec<(u32, Occurrence)> = Vec::with_capacity(text.as_str().len() * 3);
        let mut occurrences = 0;
        let (mut known_occurrences, mut known_words) = (0, 0);
        let words = features::extract(text, |occurrence| {
            occurrences += usize::from(occurrence.times);
            let row = self.index.get(occurrence.key);
            known_words += usize::from(row.is_some() && occurrence.is_word());
            if let Some(row) = row {
                known_occurrences += usize::from(occurrence.times);
                found.push((row, occurrence));
            }
        });
        found.sort_unstable_by_key(|(row, occurrence)| (*row, occurrence.words.0));
        let mut squares = [0.0_f32; Block::COUNT];
        for group in found.chunk_by(|a, b| a.0 == b.0) {
            let value = self.value(group);
            squares[group[0].1.block as usize] += value * value;
        }
        let mut known = Vec::with_capacity(found.len());
        for group in found.chunk_by(|a, b| a.0 == b.0) {
            let block = group[0].1.block;
            let length = squares[block as usize].sqrt();
            let value = self.value(group) * self.blocks.of(block) / (length * times(group));
            known.extend(group.iter().map(|(row, occurrence)| Known {
                row: *row,
                words: occurrence.words,
                value: value * f32::from(occurrence.times),
            }));
        }
        let tokens = pieces.tokenize(&text.words());
        let first_line = FirstLine::of(text.as_str());
        let mut vector = [0.0; DIMENSIONS];
        for token in &tokens {
            vectors.add(token.id, first_line.times(token.bytes.start), &mut vector);
        }
        let token_scale = 1.0 / norm(&vector).max(f32::MIN_POSITIVE);
        for value in &mut vector {
            *value *= token_scale;
        }
        Activation {
            words,
            occurrences,
            known_occurrences,
            known_words,
            known,
            tokens,
            first_line,
            vector,
            token_scale,
        }
    }

    fn value(&self, group: &[(u32, Occurrence)]) -> f32 {
        term_frequency(times(group)) * self.rows[group[0].0 as usize].idf
    }

    /// The score of every column.
    pub(crate) fn scores(&self, activation: &Activation) -> Vec<f32> {
        let columns = self.bias.len();
        let mut scores = self.bias.clone();
        for group in activation.known.chunk_by(|a, b| a.row == b.row) {
            let row = group[0].row as usize;
            let value = self.rows[row].scale * group.iter().map(|known| known.value).sum::<f32>();
            for (score, &weight) in scores.iter_mut().zip(&self.weights[row * columns..][..columns]) {
                *score += value * f32::from(weight);
            }
        }
        // A product of shapes that were checked on load.
        if let Ok(dense) = self.dense_scores(&activation.vector) {
            for (score, dense) in scores.iter_mut().zip(dense) {
                *score += dense;
            }
        }
        scores
    }

    fn dense_scores(&self, vector: &[f32; DIMENSIONS]) -> candle_core::Result<Vec<f32>> {
        // Not `matmul`: candle asks the system for its cores before each one, which takes longer than the product.
        self.dense.broadcast_mul(&Tensor::from_slice(vector, DIMENSIONS, &Device::Cpu)?)?.sum(1)?.to_vec1()
    }

    /// What each word adds to the score of one column. The shares and the bias add up to the score.
    pub(crate) fn shares(&self, activation: &Activation, column: usize, vectors: &StaticVectors) -> Shares {
        let mut shares = Shares { words: vec![0.0; activation.words.len()], rest: self.bias[column] };
        for known in &activation.known {
            let row = known.row as usize;
            let weight = f32::from(self.weights[row * self.bias.len() + column]);
            let share = known.value * self.rows[row].scale * weight / 2.0;
            shares.words[known.words.0 as usize] += share;
            shares.words[known.words.1 as usize] += share;
        }
        let plane = &self.dense_columns[column * DIMENSIONS..][..DIMENSIONS];
        for token in &activation.tokens {
            let times = f32::from(activation.first_line.times(token.bytes.start));
            let share = times * activation.token_scale * vectors.dot(token.id, plane);
            let word = activation.words.partition_point(|bytes| bytes.end <= token.bytes.start);
            match activation.words.get(word) {
                Some(bytes) if bytes.start < token.bytes.end => shares.words[word] += share,
                Some(_) | None => shares.rest += share,
            }
        }
        shares
    }
}

impl Activation {
    /// The share of the text's words that have a row; 0 for a text without any.
    #[expect(clippy::cast_precision_loss, reason = "a text has some thousands at most")]
    pub(crate) fn known_words(&self) -> f32 {
        self.known_words as f32 / self.words.len().max(1) as f32
    }

    /// The share of the text's n-grams that have a row; 0 for a text without any.
    #[expect(clippy::cast_precision_loss, reason = "a text has some thousands at most")]
    pub(crate) fn known_share(&self) -> f32 {
        self.known_occurrences as f32 / self.occurrences.max(1) as f32
    }
}

/// How often the text has a feature, as features count.
fn times(group: &[(u32, Occurrence)]) -> f32 {
    group.iter().map(|(_, occurrence)| f32::from(occurrence.times)).sum()
}
