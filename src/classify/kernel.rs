//! What planes read of a sentence's vector. Labels are no half-spaces of it: planes over random Fourier features (Rahimi
//! and Recht 2007), whose dot products are those of a Gaussian kernel, can surround what is alike. The random directions
//! are orthogonal and come from sign changes and Walsh–Hadamard transforms (Yu et al. 2016): nothing is stored, and a
//! vector costs some ten thousand additions.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Sign changes, each with a transform behind it.
const ROUNDS: u64 = 3;
/// Another seed would make other features: bundles rely on it.
const SEED: u64 = 0x5e17_e4ce;
/// Signs in one hash.
const SIGNS: usize = 64;

/// How many features a vector of so many dimensions has.
pub(crate) const fn features_of(dimensions: usize) -> usize {
    if dimensions == 0 { 0 } else { 2 * dimensions.next_power_of_two() }
}

/// A vector in the random directions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phases {
    dimensions: usize,
    values: Vec<f32>,
}

impl Phases {
    /// Of a vector of length one, or one that is all zero, which has no features.
    pub(crate) fn of(vector: &[f32]) -> Self {
        if vector.iter().all(|value| *value == 0.0) {
            return Self { dimensions: vector.len(), values: Vec::new() };
        }
        let mut values = vector.to_vec();
        values.resize(vector.len().next_power_of_two(), 0.0);
        for round in 0..ROUNDS {
            change_signs(&mut values, round);
            transform(&mut values);
        }
        // The transforms keep lengths; a phase of a Gaussian direction is as long as the vector in the mean.
        let scale = length(&values).sqrt();
        for value in &mut values {
            *value *= scale;
        }
        Self { dimensions: vector.len(), values }
    }

    /// Cosines, then sines, of length one together: the dot product of two vectors' features is about
    /// e^-(1 - cos), where cos is their cosine.
    pub(crate) fn features(&self) -> Vec<f32> {
        if self.values.is_empty() {
            return vec![0.0; features_of(self.dimensions)];
        }
        let scale = 1.0 / length(&self.values).sqrt();
        let cosines = self.values.iter().map(|phase| scale * phase.cos());
        cosines.chain(self.values.iter().map(|phase| scale * phase.sin())).collect()
    }

    /// What a plane says of the vector, as a plane over vectors: with it each part of the vector has its share of the
    /// score by integrated gradients (Sundararajan et al. 2017), from nothing to the whole vector. The number is what the
    /// plane says of nothing; it and the shares add up to the score.
    pub(crate) fn linear(&self, plane: &[f32]) -> (Vec<f32>, f32) {
        if self.values.is_empty() {
            return (vec![0.0; self.dimensions], 0.0);
        }
        let (cosines, sines) = plane.split_at(self.values.len());
        let scale = 1.0 / length(&self.values).sqrt();
        // The mean slope on the way from 0 to the phase.
        let slope = |((phase, of_cosine), of_sine): ((&f32, &f32), &f32)| {
            if phase.abs() < 1e-6 {
                return *of_sine;
            }
            (of_cosine * (phase.cos() - 1.0) + of_sine * phase.sin()) / phase
        };
        let mut slopes: Vec<f32> = self.values.iter().zip(cosines).zip(sines).map(slope).collect();
        for round in (0..ROUNDS).rev() {
            transform(&mut slopes);
            change_signs(&mut slopes, round);
        }
        // The phases' own scale and that of the features cancel out.
        slopes.truncate(self.dimensions);
        (slopes, scale * cosines.iter().sum::<f32>())
    }
}

#[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
fn length(values: &[f32]) -> f32 {
    values.len() as f32
}

fn change_signs(values: &mut [f32], round: u64) {
    for (place, values) in (0_u64..).zip(values.chunks_mut(SIGNS)) {
        let signs = xxh3_64_with_seed(&place.to_le_bytes(), SEED + round);
        for (bit, value) in values.iter_mut().enumerate() {
            if signs >> bit & 1 == 1 {
                *value = -*value;
            }
        }
    }
}

/// The Walsh–Hadamard transform, scaled so that it keeps lengths; twice it changes nothing.
fn transform(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for block in values.chunks_exact_mut(2 * half) {
            let (first, second) = block.split_at_mut(half);
            for (a, b) in first.iter_mut().zip(second) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / length(values).sqrt();
    for value in values {
        *value *= scale;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode::{dot, norm};

    fn unit(values: &[f32]) -> Vec<f32> {
        let length = norm(values).max(f32::MIN_POSITIVE);
        values.iter().map(|value| value / length).collect()
    }

    fn vector(dimensions: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-1.0_f32..1.0, dimensions).prop_map(|values| unit(&values))
    }

    proptest! {
        #[test]
        fn features_of_like_vectors_are_alike_as_the_kernel_says(a in vector(384), b in vector(384), near in 0.0_f32..1.0) {
            let b = unit(&a.iter().zip(&b).map(|(a, b)| near * a + (1.0 - near) * b).collect::<Vec<_>>());
            let (of_a, of_b) = (Phases::of(&a).features(), Phases::of(&b).features());
            prop_assert_eq!(of_a.len(), features_of(384));
            prop_assert!((norm(&of_a) - 1.0).abs() < 1e-3);
            let expected = (dot(&a, &b) - 1.0).exp();
            prop_assert!((dot(&of_a, &of_b) - expected).abs() < 0.05, "{} for {expected}", dot(&of_a, &of_b));
        }

        #[test]
        fn the_parts_of_a_vector_share_its_score(
            vector in vector(48),
            part in prop::collection::vec(-1.0_f32..1.0, 48),
            plane in prop::collection::vec(-1.0_f32..1.0, features_of(48)),
        ) {
            let phases = Phases::of(&vector);
            let (linear, of_nothing) = phases.linear(&plane);
            let other: Vec<f32> = vector.iter().zip(&part).map(|(whole, part)| whole - part).collect();
            let sum = dot(&linear, &part) + dot(&linear, &other) + of_nothing;
            let score = dot(&plane, &phases.features());
            prop_assert!((sum - score).abs() < 1e-3, "{sum} for {score}");
        }
    }

    #[test]
    fn nothing_has_no_features() {
        let phases = Phases::of(&[0.0; 30]);
        assert_eq!(phases.features(), [0.0; 64]);
        assert_eq!(phases.linear(&[1.0; 64]), (vec![0.0; 30], 0.0));
        assert_eq!(features_of(0), 0);
    }

    #[test]
    fn a_transform_undoes_itself() {
        let values: Vec<f32> = (0_u8..64).map(f32::from).collect();
        let mut twice = values.clone();
        transform(&mut twice);
        assert!((twice[0] - 252.0).abs() < 1e-3, "the first is the sum over the root of how many: {}", twice[0]);
        transform(&mut twice);
        assert!(values.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
