//! Two fields that lean on each other: what is grave for many is seldom without hurry. Each field is scored by itself;
//! this weighs the pairs of their labels by how much more often training rows have both than chance would have it.

use serde::{Deserialize, Serialize};

use super::training_set::TrainingField;
use crate::domain::taxonomy::{IMPACT, URGENCY};

/// The fields that are weighed together, where a model has both.
const FIELDS: [&str; 2] = [IMPACT, URGENCY];
/// Half of what the rows say: the words of a text speak for both fields already.
const STRENGTH: f32 = 0.5;
/// Rows added to every pair, as chance would spread them, so that a pair never seen is not impossible.
const SMOOTHING: f32 = 9.0;

/// How pairs of labels go together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Together {
    /// Numbers of the two fields.
    fields: [usize; 2],
    /// What a pair counts beside chance: by label of the first field, by label of the second.
    ratios: Vec<Vec<f32>>,
}

impl Together {
    /// `None` where the rows do not have both fields.
    pub(crate) fn learn(fields: &[TrainingField]) -> Option<Self> {
        let place = |name: &str| fields.iter().position(|field| field.name == name);
        let [first, second] = [place(FIELDS[0])?, place(FIELDS[1])?];
        let mut counts = vec![vec![0.0_f32; fields[second].labels.len()]; fields[first].labels.len()];
        let mut rows = 0.0_f32;
        for (one, other) in fields[first].of_row.iter().zip(&fields[second].of_row) {
            if let (Some(one), Some(other)) = (one, other) {
                counts[*one as usize][*other as usize] += 1.0;
                rows += 1.0;
            }
        }
        let of_first: Vec<f32> = counts.iter().map(|row| row.iter().sum()).collect();
        let of_second: Vec<f32> =
            (0..fields[second].labels.len()).map(|label| counts.iter().map(|row| row[label]).sum()).collect();
        let ratio = |(one, other): (usize, usize)| {
            let chance = of_first[one] * of_second[other] / rows.max(1.0);
            let share = chance / rows.max(1.0);
            ((counts[one][other] + SMOOTHING * share) / (chance + SMOOTHING * share).max(f32::MIN_POSITIVE))
                .max(1e-3)
                .powf(STRENGTH)
        };
        let ratios =
            (0..of_first.len()).map(|one| (0..of_second.len()).map(|other| ratio((one, other))).collect()).collect();
        Some(Self { fields: [first, second], ratios })
    }

    /// The other field of a pair, where `field` is one of it.
    pub(crate) fn other(&self, field: usize) -> Option<usize> {
        match self.fields {
            [first, second] if first == field => Some(second),
            [first, second] if second == field => Some(first),
            _ => None,
        }
    }

    /// The confidences of `field` once those of the other one are known.
    pub(crate) fn weigh(&self, field: usize, own: &[f32], other: &[f32]) -> Vec<f32> {
        let ratio = |label: usize, beside: usize| {
            if field == self.fields[0] { self.ratios[label][beside] } else { self.ratios[beside][label] }
        };
        let weigh = |(label, own): (usize, &f32)| {
            own * other.iter().enumerate().map(|(beside, other)| other * ratio(label, beside)).sum::<f32>()
        };
        let weighed: Vec<f32> = own.iter().enumerate().map(weigh).collect();
        let sum: f32 = weighed.iter().sum();
        weighed.into_iter().map(|weight| weight / sum.max(f32::MIN_POSITIVE)).collect()
    }

    /// Whether it fits fields with so many labels, and holds nothing but numbers above 0.
    pub(crate) fn fits(&self, labels: &[usize]) -> bool {
        let [first, second] = self.fields.map(|field| labels.get(field).copied());
        first == Some(self.ratios.len())
            && self.ratios.iter().all(|row| second == Some(row.len()))
            && self.ratios.iter().flatten().all(|ratio| ratio.is_finite() && *ratio > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, of_row: &[u32]) -> TrainingField {
        let labels = ["high", "low"].map(str::to_owned).to_vec();
        TrainingField { name: name.to_owned(), labels, of_row: of_row.iter().map(|label| Some(*label)).collect() }
    }

    #[test]
    fn a_label_gains_beside_the_one_it_goes_with() {
        let levels: Vec<u32> = (0..100).map(|row| u32::from(row % 4 != 0)).collect();
        let fields = [field("type", &levels), field(URGENCY, &levels), field(IMPACT, &levels)];
        let together = Together::learn(&fields).unwrap();
        assert_eq!((together.other(1), together.other(2), together.other(0)), (Some(2), Some(1), None));
        let weighed = together.weigh(1, &[0.45, 0.55], &[0.9, 0.1]);
        assert!(weighed[0] > 0.6 && (weighed.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{weighed:?}");
        assert!(together.fits(&[2, 2, 2]) && !together.fits(&[2, 3, 2]) && !together.fits(&[2]));
        assert_eq!(Together::learn(&fields[..2]), None);
    }

    #[test]
    fn fields_that_have_nothing_to_do_with_each_other_stay_as_they_are() {
        let impact: Vec<u32> = (0..100).map(|row| row % 2).collect();
        let urgency: Vec<u32> = (0..100).map(|row| row / 2 % 2).collect();
        let together = Together::learn(&[field(IMPACT, &impact), field(URGENCY, &urgency)]).unwrap();
        let weighed = together.weigh(0, &[0.3, 0.7], &[0.8, 0.2]);
        assert!((weighed[0] - 0.3).abs() < 1e-3, "{weighed:?}");
    }
}
