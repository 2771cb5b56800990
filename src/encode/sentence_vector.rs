//! Vectors of a sentence encoder as indexes keep them: a byte a dimension, compared by cosine. Sums are whole numbers, so
//! that adding up many does not depend on their order.

/// A unit vector's components are kept as multiples of one part in this many; few are larger than a third.
const STEPS: f32 = 352.0;

/// A text's vector; all zero where the text holds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentenceVector(Box<[i8]>);

impl SentenceVector {
    /// Of a vector of length one.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what a byte holds")]
    pub(crate) fn new(unit: &[f32]) -> Self {
        Self(unit.iter().map(|value| (value * STEPS).round().clamp(-127.0, 127.0) as i8).collect())
    }

    /// A vector as it was kept.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| byte.cast_signed()).collect())
    }

    pub(crate) fn to_bytes(&self) -> impl Iterator<Item = u8> {
        self.0.iter().map(|value| value.cast_unsigned())
    }

    fn square(&self) -> i32 {
        dot(&self.0, &self.0)
    }
}

/// Many vectors of one length, ready to be compared with others.
#[derive(Debug, Default)]
pub(crate) struct SentenceVectors {
    /// One behind the other.
    values: Vec<i8>,
    /// One over the length of each; 0 for a vector that is all zero.
    scales: Vec<f32>,
}

impl SentenceVectors {
    pub(crate) fn len(&self) -> usize {
        self.scales.len()
    }

    pub(crate) fn push(&mut self, vector: &SentenceVector) {
        self.values.extend_from_slice(&vector.0);
        self.scales.push(scale(vector.square()));
    }

    /// The vector of this number; `None` where there is none.
    pub(crate) fn get(&self, number: usize) -> Option<SentenceVector> {
        let length = self.values.len() / self.scales.len().max(1);
        Some(SentenceVector(self.values.get(number * length..(number + 1) * length)?.into()))
    }

    /// Cosine of the text and each vector in order, -1 to 1; 0 where one of them is empty, or of another length.
    pub(crate) fn cosines(&self, text: &SentenceVector) -> impl Iterator<Item = f32> {
        let own = scale(text.square());
        let length = self.values.len() / self.scales.len().max(1);
        let vectors = self.values.chunks_exact(length.max(1)).zip(&self.scales);
        vectors.map(move |(vector, scale)| own * scale * product(vector, &text.0))
    }

    /// Cosine of the text and the vector of this number; 0 where there is none.
    pub(crate) fn cosine(&self, number: usize, text: &SentenceVector) -> f32 {
        let length = self.values.len() / self.scales.len().max(1);
        let vector = self.values.get(number * length..(number + 1) * length);
        let known = vector.zip(self.scales.get(number));
        known.map_or(0.0, |(vector, own)| own * scale(text.square()) * product(vector, &text.0))
    }
}

/// The sum of texts' vectors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SentenceSum(Vec<i32>);

impl SentenceSum {
    pub(crate) fn add(&mut self, vector: &SentenceVector) {
        self.0.resize(self.0.len().max(vector.0.len()), 0);
        self.0.iter_mut().zip(&vector.0).for_each(|(sum, value)| *sum += i32::from(*value));
    }

    pub(crate) fn subtract(&mut self, vector: &SentenceVector) {
        self.0.iter_mut().zip(&vector.0).for_each(|(sum, value)| *sum -= i32::from(*value));
    }

    /// Cosine of the sum and a text, -1 to 1; 0 where one of them is empty.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a cosine, of exact whole numbers"
    )]
    pub(crate) fn cosine(&self, text: &SentenceVector) -> f32 {
        let square: i64 = self.0.iter().map(|sum| i64::from(*sum) * i64::from(*sum)).sum();
        let dot: i64 = self.0.iter().zip(&text.0).map(|(sum, value)| i64::from(*sum) * i64::from(*value)).sum();
        if square == 0 || dot == 0 {
            return 0.0;
        }
        (dot as f64 / ((square as f64).sqrt() * f64::from(text.square()).sqrt())) as f32
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a cosine needs the leading digits")]
fn scale(square: i32) -> f32 {
    if square == 0 { 0.0 } else { (1.0 / f64::from(square).sqrt()) as f32 }
}

#[expect(clippy::cast_precision_loss, reason = "a cosine needs the leading digits")]
fn product(a: &[i8], b: &[i8]) -> f32 {
    if a.len() == b.len() { dot(a, b) as f32 } else { 0.0 }
}

/// Products of two bytes fit into 16 bits, of which the compiler adds up eight pairs at a time.
fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(i16::from(*a) * i16::from(*b))).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(values: &[f32]) -> SentenceVector {
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        SentenceVector::new(&values.iter().map(|value| value / length).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn cosines_are_those_of_the_vectors_that_were_kept(
            values in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 64), 1..6),
            asked in prop::collection::vec(-1.0_f32..1.0, 64),
        ) {
            let asked = vector(&asked);
            let mut kept = SentenceVectors::default();
            for values in &values {
                let bytes: Vec<u8> = vector(values).to_bytes().collect();
                kept.push(&SentenceVector::from_bytes(&bytes));
            }
            let cosines: Vec<f32> = kept.cosines(&asked).collect();
            for (number, values) in values.iter().enumerate() {
                let mut sum = SentenceSum::default();
                sum.add(&vector(values));
                prop_assert!((cosines[number] - sum.cosine(&asked)).abs() < 1e-5);
                prop_assert!((cosines[number] - kept.cosine(number, &asked)).abs() < 1e-6);
            }
            prop_assert!(kept.cosine(values.len(), &asked).abs() < f32::EPSILON);
        }

        #[test]
        fn a_sum_does_not_know_what_was_taken_away(
            values in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 16), 2..6),
        ) {
            let vectors: Vec<SentenceVector> = values.iter().map(|values| vector(values)).collect();
            let (mut all, mut others) = (SentenceSum::default(), SentenceSum::default());
            for vector in &vectors {
                all.add(vector);
            }
            for vector in vectors[1..].iter().rev() {
                others.add(vector);
            }
            all.subtract(&vectors[0]);
            prop_assert_eq!(all, others);
        }
    }

    #[test]
    fn vectors_of_other_lengths_and_empty_ones_are_like_nothing() {
        let mut kept = SentenceVectors::default();
        kept.push(&vector(&[1.0, 2.0]));
        kept.push(&SentenceVector::new(&[0.0, 0.0]));
        assert_eq!(kept.cosines(&vector(&[1.0, 2.0, 3.0])).collect::<Vec<_>>(), [0.0, 0.0]);
        let same: Vec<f32> = kept.cosines(&vector(&[1.0, 2.0])).collect();
        assert!((same[0] - 1.0).abs() < 1e-5 && same[1].abs() < f32::EPSILON, "{same:?}");
    }
}
