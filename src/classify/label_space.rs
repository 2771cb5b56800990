//! What texts of one label have in common, as vectors: by it a label that the model never learnt is held against those
//! that it did. A text's vector is multiplied with the inverse of how vectors vary within labels (Fisher's linear
//! discriminant), so that what differs among texts of one label says little, and then compared with the mean of each label.
//! Made of the vectors that training has anyway.

use super::{samples::Samples, training_set::TrainingField};
use crate::encode::{DIMENSIONS, TextVector, inverse_of_positive};

/// How sharply the most alike label stands out among all of them.
const SHARPNESS: f32 = 12.0;
/// Variation is measured on about so many labelled texts of all fields.
const MEASURED: usize = 8_000;
/// Added to every direction, as a share of the mean variation: few texts tell little of 256 directions.
const SHRINKAGE: f32 = 2.0;
const SHRINKAGE_OF_FEW: f32 = 2.0;
/// Of a triangle up to its diagonal.
pub(crate) const TRIANGLE: usize = DIMENSIONS * (DIMENSIONS + 1) / 2;

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LabelSpace {
    /// One vector a label, in the order of the heads' columns.
    pub(crate) means: Vec<TextVector>,
    /// The lower triangle of the symmetric matrix that a text's vector is multiplied with, row by row.
    pub(crate) contrast: Vec<f32>,
}

impl LabelSpace {
    /// That of the rows that have labels.
    pub(crate) fn of(fields: &[TrainingField], samples: &Samples) -> Self {
        let means = fields.iter().flat_map(|field| means(field, samples)).collect();
        Self { means, contrast: contrast(fields, samples) }
    }

    /// The vector with what tells labels apart brought out.
    pub(crate) fn contrasted(&self, vector: &TextVector) -> TextVector {
        if self.contrast.len() != TRIANGLE {
            return vector.clone();
        }
        let vector = vector.unit();
        let mut product = [0.0; DIMENSIONS];
        let mut rest = self.contrast.as_slice();
        for row in 0..DIMENSIONS {
            let (below, next) = rest.split_at(row + 1);
            let (diagonal, below) = (below[row], &below[..row]);
            product[row] += diagonal * vector[row];
            for (column, value) in below.iter().enumerate() {
                product[row] += value * vector[column];
                product[column] += value * vector[row];
            }
            rest = next;
        }
        TextVector::of_direction(&product)
    }

    /// How like a contrasted vector is to the labels of these columns together: a soft maximum of the cosines, so that a
    /// text between two labels is not taken for a new one. It is taken by the root of how many there are, between their
    /// sum and their mean: the more labels a field has, the narrower they are. `None` without any.
    pub(crate) fn likeness(&self, columns: impl Iterator<Item = usize>, vector: &TextVector) -> Option<f32> {
        let (mut sum, mut labels) = (0.0, 0.0_f32);
        for mean in columns.filter_map(|column| self.means.get(column)) {
            sum += (SHARPNESS * mean.cosine(vector)).exp();
            labels += 1.0;
        }
        (labels > 0.0).then(|| (sum / labels.sqrt()).ln() / SHARPNESS)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean of many numbers")]
fn means(field: &TrainingField, samples: &Samples) -> Vec<TextVector> {
    let mut sums = vec![[0.0; DIMENSIONS]; field.labels.len()];
    let mut rows = vec![0_u32; field.labels.len()];
    for (row, label) in field.of_row.iter().enumerate() {
        if let Some(label) = *label {
            samples.add_vector_to(row, &mut sums[label as usize]);
            rows[label as usize] += 1;
        }
    }
    let mean = |(sum, rows): ([f32; DIMENSIONS], u32)| sum.map(|value| value / rows.max(1) as f32);
    sums.into_iter().zip(rows).map(mean).map(|mean| TextVector::of_mean(&mean)).collect()
}

/// The inverse of the variation within labels, over an even choice of the labelled rows of all fields; empty where none
/// varies.
#[expect(clippy::cast_precision_loss, reason = "a mean of many numbers")]
fn contrast(fields: &[TrainingField], samples: &Samples) -> Vec<f32> {
    let labelled: usize = fields.iter().map(|field| field.of_row.iter().flatten().count()).sum();
    let step = labelled.div_ceil(MEASURED).max(1);
    let mut covariance = vec![0.0_f32; TRIANGLE];
    let mut measured = 0.0;
    for field in fields {
        let labelled = field.of_row.iter().enumerate().filter_map(|(row, label)| Some((row, (*label)? as usize)));
        let chosen: Vec<(usize, [f32; DIMENSIONS])> = labelled
            .step_by(step)
            .map(|(row, label)| {
                let mut vector = [0.0; DIMENSIONS];
                samples.add_vector_to(row, &mut vector);
                (label, TextVector::of_mean(&vector).unit())
            })
            .collect();
        let mut sums = vec![([0.0; DIMENSIONS], 0.0_f32); field.labels.len()];
        for (label, vector) in &chosen {
            let (sum, rows) = &mut sums[*label];
            sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            *rows += 1.0;
        }
        for (label, vector) in &chosen {
            let (sum, rows) = &sums[*label];
            let mut own = [0.0; DIMENSIONS];
            own.iter_mut().zip(vector).zip(sum).for_each(|((own, value), sum)| *own = value - sum / rows);
            let mut rest = covariance.as_mut_slice();
            for row in 0..DIMENSIONS {
                let (products, next) = rest.split_at_mut(row + 1);
                products.iter_mut().zip(&own).for_each(|(product, value)| *product += own[row] * value);
                rest = next;
            }
        }
        // Each label's mean is taken from its own rows.
        measured += chosen.len() as f32 - sums.iter().filter(|(_, rows)| *rows > 0.0).count() as f32;
    }
    let diagonal = |row: usize| (row + 1) * (row + 2) / 2 - 1;
    let variation = (0..DIMENSIONS).map(|row| covariance[diagonal(row)]).sum::<f32>() / DIMENSIONS as f32;
    if variation <= 0.0 || measured < 1.0 {
        return Vec::new();
    }
    for value in &mut covariance {
        *value /= variation;
    }
    let added = SHRINKAGE + SHRINKAGE_OF_FEW * DIMENSIONS as f32 / measured;
    for row in 0..DIMENSIONS {
        covariance[diagonal(row)] += added;
    }
    inverse_of_positive(&covariance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> TextVector {
        TextVector::of(text)
    }

    #[test]
    fn a_text_is_most_like_labels_of_its_topic_and_each_more_label_adds_to_it() {
        let means = vec![of("the printer has a paper jam"), of("vpn drops"), of("vpn is slow")];
        let space = LabelSpace { means, contrast: Vec::new() };
        let likeness = |columns: &[usize], text: &str| space.likeness(columns.iter().copied(), &of(text)).unwrap();
        assert!(likeness(&[0], "paper jam again") > likeness(&[1], "paper jam again") + 0.2);
        let (one, both) = (likeness(&[1], "vpn is down"), likeness(&[1, 2], "vpn is down"));
        assert!(both > one && both < one + 0.2, "{one} {both}");
        assert_eq!(space.likeness(std::iter::empty(), &of("vpn")), None);
        assert_eq!(LabelSpace::default().likeness(0..3, &of("vpn")), None);
    }

    #[test]
    fn a_direction_that_says_nothing_is_turned_down() {
        let mut contrast = vec![0.0; TRIANGLE];
        (0..DIMENSIONS).for_each(|row| contrast[(row + 1) * (row + 2) / 2 - 1] = if row < 128 { 0.0 } else { 1.0 });
        let space = LabelSpace { means: Vec::new(), contrast };
        let contrasted = space.contrasted(&of("the printer has a paper jam")).unit();
        assert!(contrasted[..128].iter().all(|value| *value == 0.0));
        assert!(contrasted[128..].iter().any(|value| value.abs() > 0.05));
        let vector = of("vpn");
        assert_eq!(LabelSpace::default().contrasted(&vector), vector);
    }
}
