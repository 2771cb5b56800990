//! Linear heads over n-grams and static vectors: every field's labels side by side, so that one pass scores them
//! all. The dense part is one product in candle; the sparse part sums the rows of the n-grams that the text has,
//! never a product over all of them. Scores are sums, so each word's share of a score is exact.

use std::{ops::Range, sync::Arc};

use candle_core::{Device, Tensor};

use super::{
    features::{self, Block, FirstLine, Occurrence},
    kernel::Phases,
    samples::{BlockWeights, term_frequency},
};
use crate::encode::{DIMENSIONS, HashIndex, PlainText, Sentence, StaticVectors, Token, WordPiece, dot, norm};

/// The planes of all fields.
pub(crate) struct Heads {
    /// Row of an n-gram, by its hash.
    index: HashIndex,
    /// Row after row: IDF and scale, four bytes each, and one value a column. What is read together lies together.
    rows: Vec<u8>,
    /// One row a column.
    dense: Tensor,
    /// The same, one stretch a column.
    dense_columns: Vec<f32>,
    /// One stretch a column, of as many values as a sentence has features; none without a sentence encoder.
    sentence_columns: Vec<f32>,
    bias: Vec<f32>,
    blocks: BlockWeights,
}

/// What is known of an n-gram.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    idf: f32,
    /// What 1 in `weights` stands for.
    scale: f32,
    /// By column, an int8 each.
    weights: &'a [u8],
}

/// Bytes of a row before its weights.
const ROW_HEAD: usize = 8;

/// What [`Heads`] are made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Planes {
    pub(crate) keys: Vec<u64>,
    pub(crate) idf: Vec<f32>,
    pub(crate) scales: Vec<f32>,
    pub(crate) weights: Vec<i8>,
    /// Column after column, each of [`DIMENSIONS`] values.
    pub(crate) dense: Vec<f32>,
    /// Column after column; empty without a sentence encoder.
    pub(crate) sentence: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// What the heads found in a text.
#[derive(Debug, Clone)]
pub(crate) struct Activation {
    pub(crate) words: Vec<Range<usize>>,
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
    /// What the sentence encoder made of the text, and what planes read of that; `None` without one.
    sentence: Option<(Arc<Sentence>, Phases)>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    row: u32,
    block: Block,
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
        let Planes { keys, idf, scales, weights, dense, sentence, bias } = planes;
        let columns = bias.len();
        let fits = idf.len() == keys.len()
            && scales.len() == keys.len()
            && weights.len() == keys.len() * columns
            && dense.len() == columns * DIMENSIONS
            && sentence.len().is_multiple_of(columns.max(1));
        if !fits {
            return None;
        }
        let mut index = HashIndex::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            if index.intern(*key) as usize != row {
                return None;
            }
        }
        let mut rows = Vec::with_capacity(keys.len() * (ROW_HEAD + columns));
        for (row, (idf, scale)) in idf.iter().zip(scales).enumerate() {
            rows.extend(idf.to_le_bytes());
            rows.extend(scale.to_le_bytes());
            rows.extend(weights[row * columns..][..columns].iter().map(|weight| weight.cast_unsigned()));
        }
        let tensor = Tensor::from_slice(&dense, (columns, DIMENSIONS), &Device::Cpu).ok()?;
        Some(Self { index, rows, dense: tensor, dense_columns: dense, sentence_columns: sentence, bias, blocks })
    }

    /// Finds what the heads know in the text, of which a sentence encoder made `sentence`.
    pub(crate) fn activate(
        &self,
        text: &PlainText<'_>,
        pieces: &WordPiece,
        vectors: &StaticVectors,
        sentence: Option<Arc<Sentence>>,
    ) -> Activation {
        let mut found: Vec<Occurrence> = Vec::with_capacity(text.as_str().len() * 3);
        let words = features::extract(text, |occurrence| found.push(occurrence));
        // Looked up one right after the other, so that the processor waits for several rows at once. The row is in the
        // high half, the place in `found` in the low one: plain numbers are sorted fastest.
        let mut order: Vec<u64> = Vec::with_capacity(found.len());
        let mut occurrences = 0;
        let (mut known_occurrences, mut known_words) = (0, 0);
        for (place, occurrence) in (0_u64..).zip(&found) {
            occurrences += usize::from(occurrence.times);
            if let Some(row) = self.index.get(occurrence.key) {
                order.push(u64::from(row) << 32 | place);
                known_occurrences += usize::from(occurrence.times);
                known_words += usize::from(occurrence.is_word());
            }
        }
        order.sort_unstable();
        #[expect(clippy::cast_possible_truncation, reason = "each half is one number of 32 bits")]
        let known = order.iter().map(|both| ((both >> 32) as u32, *both as u32 as usize)).map(|(row, place)| {
            let Occurrence { block, times, words, .. } = found[place];
            Known { row, block, words, value: f32::from(times) }
        });
        let mut known: Vec<Known> = known.collect();
        let mut squares = [0.0_f32; Block::COUNT];
        let mut groups = Vec::with_capacity(known.len());
        for group in known.chunk_by(|a, b| a.row == b.row) {
            let times = group.iter().map(|one| one.value).sum();
            let value = term_frequency(times) * self.row(group[0].row).idf;
            squares[group[0].block as usize] += value * value;
            groups.push((value, times));
        }
        let lengths = squares.map(f32::sqrt);
        for (group, (value, times)) in known.chunk_by_mut(|a, b| a.row == b.row).zip(groups) {
            let block = group[0].block;
            let value = value * self.blocks.of(block) / (lengths[block as usize] * times);
            for one in group {
                one.value *= value;
            }
        }
        let tokens = pieces.tokenize(&text.words());
        vectors.fetch(tokens.iter().map(|token| token.id));
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
            sentence: sentence.map(|sentence| (Arc::clone(&sentence), Phases::of(&sentence.vector))),
        }
    }

    /// The values that a sentence's features are multiplied with for a column.
    fn sentence_plane(&self, column: usize) -> &[f32] {
        let length = self.sentence_columns.len() / self.bias.len().max(1);
        &self.sentence_columns[column * length..][..length]
    }

    fn row(&self, number: u32) -> Row<'_> {
        let length = ROW_HEAD + self.bias.len();
        let row = &self.rows[number as usize * length..][..length];
        let (head, weights) = row.split_at(ROW_HEAD);
        let (head, _) = head.as_chunks::<4>();
        Row { idf: f32::from_le_bytes(head[0]), scale: f32::from_le_bytes(head[1]), weights }
    }

    /// The score of every column.
    pub(crate) fn scores(&self, activation: &Activation) -> Vec<f32> {
        let mut scores = self.bias.clone();
        for group in activation.known.chunk_by(|a, b| a.row == b.row) {
            let Row { scale, weights, .. } = self.row(group[0].row);
            let value = scale * group.iter().map(|known| known.value).sum::<f32>();
            for (score, weight) in scores.iter_mut().zip(weights) {
                *score += value * f32::from(weight.cast_signed());
            }
        }
        // A product of shapes that were checked on load.
        if let Ok(dense) = self.dense_scores(&activation.vector) {
            for (score, dense) in scores.iter_mut().zip(dense) {
                *score += dense;
            }
        }
        if let Some((_, phases)) = &activation.sentence {
            let features = phases.features();
            for (column, score) in scores.iter_mut().enumerate() {
                *score += dot(self.sentence_plane(column), &features);
            }
        }
        scores
    }

    fn dense_scores(&self, vector: &[f32; DIMENSIONS]) -> candle_core::Result<Vec<f32>> {
        // Not `matmul`: candle asks the system for its cores before each one, which takes longer than the product.
        self.dense.broadcast_mul(&Tensor::from_slice(vector, DIMENSIONS, &Device::Cpu)?)?.sum(1)?.to_vec1()
    }

    /// What each word adds to the score of each of these columns. The shares and the bias add up to the score.
    pub(crate) fn shares(&self, activation: &Activation, columns: &[usize], vectors: &StaticVectors) -> Vec<Shares> {
        let none = |column: &usize| Shares { words: vec![0.0; activation.words.len()], rest: self.bias[*column] };
        let mut shares: Vec<Shares> = columns.iter().map(none).collect();
        for known in &activation.known {
            let Row { scale, weights, .. } = self.row(known.row);
            for (shares, column) in shares.iter_mut().zip(columns) {
                let share = known.value * scale * f32::from(weights[*column].cast_signed()) / 2.0;
                shares.words[known.words.0 as usize] += share;
                shares.words[known.words.1 as usize] += share;
            }
        }
        let plane = |column: &usize| &self.dense_columns[column * DIMENSIONS..][..DIMENSIONS];
        let planes: Vec<&[f32]> = columns.iter().map(plane).collect();
        for token in &activation.tokens {
            let times = f32::from(activation.first_line.times(token.bytes.start));
            let word = activation.word_at(&token.bytes);
            let Some(row) = vectors.decoded(token.id) else { continue };
            for (shares, plane) in shares.iter_mut().zip(&planes) {
                *shares.of(word) += times * activation.token_scale * row.dot(plane);
            }
        }
        if let Some((sentence, phases)) = &activation.sentence {
            let linear = |(column, shares): (&usize, &mut Shares)| {
                let (plane, of_nothing) = phases.linear(self.sentence_plane(*column));
                shares.rest += of_nothing;
                plane
            };
            let planes: Vec<Vec<f32>> = columns.iter().zip(&mut shares).map(linear).collect();
            let words = sentence.tokens.iter().map(|bytes| activation.word_at(bytes));
            let parts = sentence.parts.chunks_exact(sentence.vector.len().max(1));
            for (word, part) in words.zip(parts).chain([(None, sentence.special.as_slice())]) {
                for (shares, plane) in shares.iter_mut().zip(&planes) {
                    *shares.of(word) += dot(plane, part);
                }
            }
        }
        shares
    }
}

impl Shares {
    fn of(&mut self, word: Option<usize>) -> &mut f32 {
        word.map_or(&mut self.rest, |word| &mut self.words[word])
    }
}

impl Activation {
    /// The word that a token of these bytes belongs to.
    fn word_at(&self, token: &Range<usize>) -> Option<usize> {
        let word = self.words.partition_point(|bytes| bytes.end <= token.start);
        self.words.get(word).is_some_and(|bytes| bytes.start < token.end).then_some(word)
    }

    /// The share of the text's words that have a row; 0 for a text without any.
    #[expect(clippy::cast_precision_loss, reason = "a text has some thousands at most")]
    pub(crate) fn known_words(&self) -> f32 {
        self.known_words as f32 / self.words.len().max(1) as f32
    }

    /// How many of the text's words have a row, and how many there are.
    pub(crate) fn counted_words(&self) -> (usize, usize) {
        (self.known_words.min(self.words.len()), self.words.len())
    }

    /// The share of the text's n-grams that have a row; 0 for a text without any.
    #[expect(clippy::cast_precision_loss, reason = "a text has some thousands at most")]
    pub(crate) fn known_share(&self) -> f32 {
        self.known_occurrences as f32 / self.occurrences.max(1) as f32
    }
}
