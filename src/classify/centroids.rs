//! The mean sentence of each label. Where labels have few rows, a plane that also points to its label's mean, away from
//! that of all, is right more often than one that only separates the rows there are.

use super::samples::Samples;
use crate::encode::{dot, norm};

/// By label, of length one less the mean over all labels; zero for labels without rows.
pub(crate) struct Centroids(Vec<Vec<f32>>);

impl Centroids {
    /// Of these rows, each with its label, one of so many.
    pub(crate) fn of(samples: &Samples, rows: impl Iterator<Item = (u32, u32)>, labels: usize) -> Self {
        let dimensions = samples.sentence_features();
        let mut means = vec![vec![0.0; dimensions]; labels];
        for (row, label) in rows {
            samples.add_sentence_to(row as usize, &mut means[label as usize]);
        }
        let mut middle = vec![0.0; dimensions];
        let mut with_rows = 0.0_f32;
        for mean in &mut means {
            let length = norm(mean);
            if length > 0.0 {
                for value in mean.iter_mut() {
                    *value /= length;
                }
                middle.iter_mut().zip(&*mean).for_each(|(middle, value)| *middle += value);
                with_rows += 1.0;
            }
        }
        for mean in means.iter_mut().filter(|mean| norm(mean) > 0.0) {
            mean.iter_mut().zip(&middle).for_each(|(value, middle)| *value -= middle / with_rows);
        }
        Self(means)
    }

    /// How much more a row is like this label's mean than like all.
    pub(crate) fn score(&self, samples: &Samples, row: u32, label: u32) -> f32 {
        let mean = &self.0[label as usize];
        let mut sentence = vec![0.0; mean.len()];
        samples.add_sentence_to(row as usize, &mut sentence);
        dot(mean, &sentence)
    }

    /// Has a label's plane score so much of it.
    pub(crate) fn add_to(&self, label: u32, scale: f32, plane: &mut [f32]) {
        plane.iter_mut().zip(&self.0[label as usize]).for_each(|(weight, value)| *weight += scale * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::samples::{DenseRows, SparseRows},
        encode::DIMENSIONS,
    };

    /// Rows of nothing but a sentence's vector each.
    fn samples(sentences: &[[f32; 3]]) -> Samples {
        let (mut sparse, mut tokens, mut dense) =
            (SparseRows::default(), DenseRows::new(DIMENSIONS), DenseRows::new(8));
        for sentence in sentences {
            sparse.end_row();
            tokens.push(&[0.0; DIMENSIONS]);
            let [first, second, third] = *sentence;
            dense.push(&[first, second, third, 0.0, 0.0, 0.0, 0.0, 0.0]);
        }
        Samples::new(Vec::new(), sparse, (tokens, Some(dense)), 1.0, f32::from)
    }

    #[test]
    fn a_mean_pulls_towards_its_label_and_away_from_what_all_share() {
        // Two labels that share the first value and differ in the others, and a third without rows.
        let samples = samples(&[[0.8, 0.6, 0.0], [0.8, 0.6, 0.0], [0.8, 0.0, 0.6], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
        let means = Centroids::of(&samples, [(0, 0), (1, 0), (2, 1)].into_iter(), 3);
        for (row, label, expected) in [
            (0, 0, 0.18),
            (0, 1, -0.18),
            (3, 0, -0.3),
            (3, 1, 0.3),
            // What both labels share tells nothing.
            (4, 0, 0.0),
            (4, 1, 0.0),
            // Nothing is known of a label without rows.
            (0, 2, 0.0),
        ] {
            let score = means.score(&samples, row, label);
            assert!((score - expected).abs() < 0.01, "row {row}, label {label}: {score} for {expected}");
        }
        // As many rows of a label say no more than one of them.
        let single = Centroids::of(&samples, [(0, 0), (2, 1)].into_iter(), 3);
        assert!((single.score(&samples, 0, 0) - means.score(&samples, 0, 0)).abs() < 1e-6);
    }

    #[test]
    fn a_plane_scores_what_its_mean_adds() {
        let samples = samples(&[[0.8, 0.6, 0.0], [0.8, 0.0, 0.6]]);
        let means = Centroids::of(&samples, [(0, 0), (1, 1)].into_iter(), 2);
        let mut plane = vec![0.0; samples.width()];
        plane[samples.sentence_places()].fill(0.2);
        let before = samples.dot(1, &plane);
        means.add_to(1, 2.0, &mut plane[samples.sentence_places()]);
        let added = samples.dot(1, &plane) - before;
        assert!((added - 2.0 * means.score(&samples, 1, 1)).abs() < 1e-5, "{added}");
    }
}
