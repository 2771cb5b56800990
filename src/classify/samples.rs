//! The training texts as numbers: one sparse row of n-grams and one dense vector a text, ready for the solver, in six
//! bytes an n-gram and one a dimension, because a million rows must fit into two gigabytes.

use std::ops::Range;

use super::{counts::retain_by_place, features::Block};
use crate::encode::DIMENSIONS;

/// How strongly each kind of n-gram counts: the length of its part of a text's vector. The part of the static
/// vectors has length one; what it weighs is in the planes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BlockWeights {
    pub(crate) words: f32,
    pub(crate) characters: f32,
}

impl BlockWeights {
    pub(crate) fn of(self, block: Block) -> f32 {
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

/// Sublinear: the tenth time a word is used says little more than the ninth.
pub(crate) fn term_frequency(times: f32) -> f32 {
    // Most often it is the first time, and a logarithm takes long.
    if times > 1.0 { 1.0 + times.ln() } else { 1.0 }
}

/// Rows of numbered features, each with a number of 16 bits.
#[derive(Debug, Default)]
pub(crate) struct SparseRows {
    ids: Vec<u32>,
    values: Vec<u16>,
    /// Where each row ends.
    ends: Vec<usize>,
}

impl SparseRows {
    pub(crate) fn push(&mut self, id: u32, value: u16) {
        self.ids.push(id);
        self.values.push(value);
    }

    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.ids.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn entries(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (u32, u16)> {
        let range = self.range(row);
        self.ids[range.clone()].iter().copied().zip(self.values[range].iter().copied())
    }

    fn range(&self, row: usize) -> Range<usize> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        start..self.ends[row]
    }

    /// Gives every feature the number that `ids` has for its old one; those without one (`u32::MAX`) are dropped.
    pub(crate) fn renumber(&mut self, ids: &[u32]) {
        let mut kept = 0;
        let mut at = 0;
        for end in &mut self.ends {
            while at < *end {
                let id = ids[self.ids[at] as usize];
                if id != u32::MAX {
                    self.ids[kept] = id;
                    self.values[kept] = self.values[at];
                    kept += 1;
                }
                at += 1;
            }
            *end = kept;
        }
        self.ids.truncate(kept);
        self.values.truncate(kept);
    }

    /// Keeps the rows for which `keeps` says so, by their places.
    pub(crate) fn retain(&mut self, keeps: impl Fn(usize) -> bool) {
        let mut kept = 0;
        let mut start = 0;
        for (row, end) in self.ends.iter_mut().enumerate() {
            let range = start..*end;
            start = *end;
            if keeps(row) {
                self.ids.copy_within(range.clone(), kept);
                self.values.copy_within(range.clone(), kept);
                kept += range.len();
            }
            *end = kept;
        }
        retain_by_place(&mut self.ends, keeps);
        self.ids.truncate(kept);
        self.values.truncate(kept);
    }
}

/// Rows of so many values, in steps of a 127th of each row's largest.
#[derive(Debug)]
pub(crate) struct DenseRows {
    dimensions: usize,
    values: Vec<i8>,
    /// What 1 in a row stands for.
    steps: Vec<f32>,
}

impl DenseRows {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self { dimensions, values: Vec::new(), steps: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: &[f32]) {
        let step = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
        self.steps.push(step);
        #[expect(clippy::cast_possible_truncation, reason = "at most 127 by the choice of the step")]
        self.values.extend(row.iter().map(|value| (value / step.max(f32::MIN_POSITIVE)).round() as i8));
    }

    pub(crate) fn retain(&mut self, keeps: impl Fn(usize) -> bool) {
        let mut place = 0;
        self.values.retain(|_| {
            place += 1;
            keeps((place - 1) / self.dimensions)
        });
        retain_by_place(&mut self.steps, keeps);
    }

    fn row(&self, row: usize) -> &[i8] {
        &self.values[row * self.dimensions..][..self.dimensions]
    }
}

/// Vectors of every row, and how much they weigh beside the n-grams while a field is fitted.
#[derive(Debug)]
struct DenseBlock {
    rows: DenseRows,
    weight: f32,
}

impl DenseBlock {
    /// What 1 in the row stands for.
    fn step(&self, row: usize) -> f32 {
        self.rows.steps[row] * self.weight
    }
}

/// How much each kind of vector weighs beside the n-grams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VectorWeights {
    /// Of the sums of static token vectors.
    pub(crate) tokens: f32,
    /// Of the features of sentences; of no use without an encoder for them.
    pub(crate) sentence: f32,
}

/// Weighted texts.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) features: Vec<Feature>,
    /// Values in units of `unit`.
    rows: SparseRows,
    unit: f32,
    /// Static vectors, and features of sentences where there is an encoder for them.
    dense: Vec<DenseBlock>,
    blocks: BlockWeights,
}

impl Samples {
    /// Makes values of counts: the term frequency of the count times IDF, each block of a row brought to its length.
    pub(crate) fn new(
        features: Vec<Feature>,
        mut rows: SparseRows,
        (dense, sentences): (DenseRows, Option<DenseRows>),
        words: f32,
        term_frequency: impl Fn(u16) -> f32,
    ) -> Self {
        let blocks = BlockWeights { words, characters: 1.0 };
        let unit = words.max(1.0) / f32::from(u16::MAX);
        for row in 0..rows.len() {
            let range = rows.range(row);
            let value = |id: u32, times: u16| term_frequency(times) * features[id as usize].idf;
            let mut squares = [0.0_f32; Block::COUNT];
            for (id, times) in rows.row(row) {
                squares[features[id as usize].block as usize] += value(id, times).powi(2);
            }
            let scales = squares.map(|square| 1.0 / (square.sqrt().max(f32::MIN_POSITIVE) * unit));
            for (id, number) in rows.ids[range.clone()].iter().zip(&mut rows.values[range]) {
                let block = features[*id as usize].block;
                let value = value(*id, *number) * scales[block as usize] * blocks.of(block);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "positive, and at most u16::MAX by the choice of the unit"
                )]
                let rounded = value.round() as u16;
                *number = rounded;
            }
        }
        let dense = [dense].into_iter().chain(sentences).map(|rows| DenseBlock { rows, weight: 1.0 }).collect();
        Self { features, rows, unit, dense, blocks }
    }

    /// The features alone, without the rows.
    pub(crate) fn into_features(self) -> Vec<Feature> {
        self.features
    }

    pub(crate) fn blocks(&self) -> BlockWeights {
        self.blocks
    }

    /// Whether a sentence encoder read the texts.
    pub(crate) fn have_sentences(&self) -> bool {
        self.dense.len() > 1
    }

    /// How much the vectors weigh from now on.
    pub(crate) fn weigh_vectors(&mut self, weights: VectorWeights) {
        for (block, weight) in self.dense.iter_mut().zip([weights.tokens, weights.sentence]) {
            block.weight = weight;
        }
    }

    /// Makes a plane that was fitted with weighed vectors one for vectors of length one.
    pub(crate) fn fold_in_vectors(&self, plane: &mut [f32]) {
        let mut rest = &mut plane[self.features.len()..];
        for block in &self.dense {
            let (own, next) = rest.split_at_mut(block.rows.dimensions);
            for weight in own {
                *weight *= block.weight;
            }
            rest = next;
        }
    }

    /// Length of a weight vector: the sparse features, the dense ones, and one that is always 1.
    pub(crate) fn width(&self) -> usize {
        self.features.len() + self.dense.iter().map(|block| block.rows.dimensions).sum::<usize>() + 1
    }

    /// The row's weight vector times `weights`.
    pub(crate) fn dot(&self, row: usize, weights: &[f32]) -> f32 {
        let (sparse, mut rest) = weights.split_at(self.features.len());
        let sum: f32 = self.rows.row(row).map(|(id, value)| sparse[id as usize] * f32::from(value)).sum();
        let mut score = sum * self.unit;
        for block in &self.dense {
            let (own, next) = rest.split_at(block.rows.dimensions);
            score += dot(block.rows.row(row), own) * block.step(row);
            rest = next;
        }
        score + rest[0]
    }

    /// Adds `scale` times the row to `weights`.
    pub(crate) fn add_to(&self, row: usize, scale: f32, weights: &mut [f32]) {
        let (sparse, rest) = weights.split_at_mut(self.features.len());
        let sparse_scale = scale * self.unit;
        for (id, value) in self.rows.row(row) {
            sparse[id as usize] += sparse_scale * f32::from(value);
        }
        self.add_dense_to(row, scale, rest);
    }

    /// [`Self::add_to`] with each sparse feature times the square of its emphasis.
    pub(crate) fn add_emphasised_to(&self, row: usize, scale: f32, squares: &[f32], weights: &mut [f32]) {
        let (sparse, rest) = weights.split_at_mut(self.features.len());
        let sparse_scale = scale * self.unit;
        for (id, value) in self.rows.row(row) {
            sparse[id as usize] += sparse_scale * f32::from(value) * squares[id as usize];
        }
        self.add_dense_to(row, scale, rest);
    }

    /// Adds the row's static vector, of length one.
    pub(crate) fn add_vector_to(&self, row: usize, sum: &mut [f32; DIMENSIONS]) {
        let rows = &self.dense[0].rows;
        let step = rows.steps[row];
        sum.iter_mut().zip(rows.row(row)).for_each(|(sum, value)| *sum += f32::from(*value) * step);
    }

    /// How many features a sentence has; 0 without an encoder.
    pub(crate) fn sentence_features(&self) -> usize {
        self.dense.get(1).map_or(0, |block| block.rows.dimensions)
    }

    /// Where in a plane the weights of a sentence's features stand.
    pub(crate) fn sentence_places(&self) -> Range<usize> {
        let start = self.features.len() + DIMENSIONS;
        start..start + self.sentence_features()
    }

    /// Adds the features of the row's sentence, of length one; nothing without an encoder.
    pub(crate) fn add_sentence_to(&self, row: usize, sum: &mut [f32]) {
        if let Some(DenseBlock { rows, .. }) = self.dense.get(1) {
            let step = rows.steps[row];
            sum.iter_mut().zip(rows.row(row)).for_each(|(sum, value)| *sum += f32::from(*value) * step);
        }
    }

    fn add_dense_to(&self, row: usize, scale: f32, mut weights: &mut [f32]) {
        for block in &self.dense {
            let (own, next) = weights.split_at_mut(block.rows.dimensions);
            let dense_scale = scale * block.step(row);
            for (weight, value) in own.iter_mut().zip(block.rows.row(row)) {
                *weight += dense_scale * f32::from(*value);
            }
            weights = next;
        }
        weights[0] += scale;
    }

    /// Counts the row's sparse features.
    pub(crate) fn count_features(&self, row: usize, counts: &mut [u32]) {
        for (id, _) in self.rows.row(row) {
            counts[id as usize] += 1;
        }
    }

    /// The square of the row's length.
    pub(crate) fn square(&self, row: usize) -> f32 {
        let square = |block: &DenseBlock| {
            let own: f32 = block.rows.row(row).iter().map(|value| f32::from(*value).powi(2)).sum();
            own * block.step(row).powi(2)
        };
        1.0 + self.sparse_square(row) + self.dense.iter().map(square).sum::<f32>()
    }

    /// The part of the square that the sparse features have.
    pub(crate) fn sparse_square(&self, row: usize) -> f32 {
        self.rows.row(row).map(|(_, value)| f32::from(value).powi(2)).sum::<f32>() * self.unit.powi(2)
    }

    /// The same with each of them times the square of its emphasis.
    pub(crate) fn emphasised_square(&self, row: usize, squares: &[f32]) -> f32 {
        let square = |(id, value): (u32, u16)| f32::from(value).powi(2) * squares[id as usize];
        self.rows.row(row).map(square).sum::<f32>() * self.unit.powi(2)
    }
}

/// A dot product in eight sums, which the compiler can keep in vector registers.
fn dot(row: &[i8], weights: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (row, _) = row.as_chunks::<8>();
    let (weights, _) = weights.as_chunks::<8>();
    for (row, weights) in row.iter().zip(weights) {
        for ((sum, value), weight) in sums.iter_mut().zip(row).zip(weights) {
            *sum += f32::from(*value) * weight;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(of: &[Vec<(u32, u16)>]) -> SparseRows {
        let mut rows = SparseRows::default();
        for row in of {
            for (id, value) in row {
                rows.push(*id, *value);
            }
            rows.end_row();
        }
        rows
    }

    fn contents(rows: &SparseRows) -> Vec<Vec<(u32, u16)>> {
        (0..rows.len()).map(|row| rows.row(row).collect()).collect()
    }

    proptest! {
        #[test]
        fn rows_and_features_leave_without_a_trace(
            of in prop::collection::vec(prop::collection::vec((0_u32..20, 1_u16..9), 0..8), 0..12),
            lost_row in 0_usize..12,
            lost_feature in 0_u32..20,
        ) {
            let mut sparse = rows(&of);
            sparse.retain(|row| row != lost_row);
            let ids: Vec<u32> = (0..20).map(|id| if id == lost_feature { u32::MAX } else { 19 - id }).collect();
            sparse.renumber(&ids);
            let expected: Vec<Vec<(u32, u16)>> = of
                .iter()
                .enumerate()
                .filter(|(row, _)| *row != lost_row)
                .map(|(_, row)| row.iter().filter(|(id, _)| *id != lost_feature).map(|(id, value)| (19 - id, *value)).collect())
                .collect();
            prop_assert_eq!(contents(&sparse), expected);
        }
    }

    #[test]
    fn each_part_of_a_row_has_its_length() {
        let feature = |key, block| Feature { key, block, idf: 1.5 };
        let features = vec![feature(1, Block::Words), feature(2, Block::Words), feature(3, Block::Characters)];
        let (mut dense, mut sentences) = (DenseRows::new(DIMENSIONS), DenseRows::new(32));
        let vector: [f32; DIMENSIONS] = std::array::from_fn(|i| if i < 4 { 0.5 } else { 0.0 });
        dense.push(&vector);
        dense.push(&[0.0; DIMENSIONS]);
        sentences.push(&vector[..32]);
        sentences.push(&[0.0; 32]);
        let sparse = rows(&[vec![(0, 1), (1, 3), (2, 1)], vec![]]);
        let mut samples =
            Samples::new(features, sparse, (dense, Some(sentences)), 1.4, |times| term_frequency(times.into()));
        samples.weigh_vectors(VectorWeights { tokens: 2.0, sentence: 3.0 });
        assert!((samples.square(0) - (1.0 + 1.4 * 1.4 + 1.0 + 4.0 + 9.0)).abs() < 2e-2, "{}", samples.square(0));
        assert!((samples.square(1) - 1.0).abs() < 1e-6);
        let mut weights = vec![0.0; samples.width()];
        samples.add_to(0, 0.5, &mut weights);
        assert!((samples.dot(0, &weights) - samples.square(0) / 2.0).abs() < 1e-3);
    }
}
