//! The mean sentence of each label. Where labels have few rows, a plane that also points to its label's mean, away from
//! that of all, is right more often than one that only separates the rows there are.

use super::samples::Samples;
use crate::encode::{dot, norm};

/// By label, of length one less the mean over all labels; zero for labels without rows.
pub(crate) struct Centroids(Vec<Vec<f32>>);

impl Centroids {
    /// Of these rows, each with its label, one of so many.
    pub(crate) fn of(samples: &Samples, rows: impl Iterator<Item = (u32, u32)>, labels: usize) -> Self {
        let dimensions = samples.sentence_dimensions();
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
