//! A text as one vector that can be compared with others: the sum of its tokens' static vectors, centred and whitened
//! by what tickets have in common, so that the words that every ticket holds say little (the idea of Arora, Liang and
//! Ma 2017). Kept in 256 bytes whose sums are whole numbers, so that adding up many does not depend on their order.
//!
//! Mean and whitening are those of the tickets in `models/corpus`; see `models/README.md`.

use std::{borrow::Cow, hint::black_box, sync::LazyLock};

use super::{
    static_vectors::{DIMENSIONS, StaticVectors, dot, norm},
    wordpiece::WordPiece,
};

/// The vocabulary and vectors inside the binary, the same in every bundle.
pub(crate) static VOCABULARY: &str = include_str!("../../models/default/1/vocab.txt");
pub(crate) static VECTORS: &[u8] = include_bytes!("../../models/default/1/vectors.safetensors");

/// The mean vector of the corpus, then the rows of the inverse Cholesky factor of its covariance up to the diagonal,
/// as little-endian 32-bit floats.
static WHITENING: &[u8; 4 * (DIMENSIONS + FACTOR_VALUES)] = include_bytes!("../../models/whitening.f32");
/// Of a lower triangle.
const FACTOR_VALUES: usize = DIMENSIONS * (DIMENSIONS + 1) / 2;

/// A unit vector's components are kept as multiples of one part in this many; they are seldom larger than a third.
const STEPS: f32 = 352.0;
/// Of a long text the beginning is read.
const MAX_TEXT_BYTES: usize = 8 << 10;

struct Encoder {
    pieces: WordPiece,
    vectors: StaticVectors,
    whitening: Whitening,
}

/// A test holds that the files inside the binary can be read.
static ENCODER: LazyLock<Option<Encoder>> = LazyLock::new(|| {
    let pieces = WordPiece::parse(Cow::Borrowed(VOCABULARY))?;
    let vectors = StaticVectors::parse(Cow::Borrowed(VECTORS), pieces.len()).ok()?;
    Some(Encoder { pieces, vectors, whitening: Whitening::read(WHITENING) })
});

/// A text's vector; all zero where the text holds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextVector([i8; DIMENSIONS]);

impl Default for TextVector {
    fn default() -> Self {
        Self([0; DIMENSIONS])
    }
}

impl TextVector {
    /// Reads the text, up to a bound. The text is plain.
    pub(crate) fn of(text: &str) -> Self {
        let Some(encoder) = ENCODER.as_ref() else { return Self::default() };
        let unit = encoder.static_vector(&text[..text.floor_char_boundary(MAX_TEXT_BYTES)]);
        Self(unit.map_or([0; DIMENSIONS], |unit| encoder.whitening.apply(&unit).map(quantised)))
    }

    /// That of many texts, whose vectors of length one have this mean.
    pub(crate) fn of_mean(mean: &[f32; DIMENSIONS]) -> Self {
        let Some(encoder) = ENCODER.as_ref() else { return Self::default() };
        Self(encoder.whitening.apply(mean).map(quantised))
    }

    /// A vector as it was kept; `None` for bytes that are none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; DIMENSIONS] = bytes.try_into().ok()?;
        Some(Self(bytes.map(u8::cast_signed)))
    }

    pub(crate) fn to_bytes(&self) -> [u8; DIMENSIONS] {
        self.0.map(i8::cast_unsigned)
    }

    /// That of length one which points where this one does; zero stays zero.
    pub(crate) fn of_direction(direction: &[f32; DIMENSIONS]) -> Self {
        unit(direction).map_or_else(Self::default, |unit| Self(unit.map(quantised)))
    }

    /// Of length one.
    pub(crate) fn unit(&self) -> [f32; DIMENSIONS] {
        let values = self.0.map(f32::from);
        unit(&values).unwrap_or(values)
    }

    /// Cosine of two texts, -1 to 1; 0 where one of them is empty.
    pub(crate) fn cosine(&self, other: &Self) -> f32 {
        cosine(self.dot(other).into(), self.square().into(), other.square().into())
    }

    fn dot(&self, other: &Self) -> i32 {
        self.0.iter().zip(&other.0).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
    }

    fn square(&self) -> i32 {
        self.0.iter().map(|value| i32::from(*value) * i32::from(*value)).sum()
    }
}

/// A text's vector with the square of its length, for comparing with many.
#[derive(Debug, Clone, Default)]
pub(crate) struct MeasuredVector {
    vector: TextVector,
    square: i32,
}

impl From<TextVector> for MeasuredVector {
    fn from(vector: TextVector) -> Self {
        Self { square: vector.square(), vector }
    }
}

impl MeasuredVector {
    /// Cosine of two texts, -1 to 1; 0 where one of them is empty.
    pub(crate) fn cosine(&self, other: &Self) -> f32 {
        cosine(self.vector.dot(&other.vector).into(), self.square.into(), other.square.into())
    }

    /// Asks the memory for all of these at once.
    pub(crate) fn fetch<'a>(vectors: impl Iterator<Item = &'a Self>) {
        const CACHE_LINE: usize = 64;
        let lines = vectors.flat_map(|one| one.vector.0.iter().step_by(CACHE_LINE));
        black_box(lines.fold(0, |sum: i8, byte| sum.wrapping_add(*byte)));
    }
}

/// The sum of texts' vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VectorSum([i32; DIMENSIONS]);

impl Default for VectorSum {
    fn default() -> Self {
        Self([0; DIMENSIONS])
    }
}

impl VectorSum {
    pub(crate) fn add(&mut self, vector: &TextVector) {
        self.0.iter_mut().zip(&vector.0).for_each(|(sum, value)| *sum += i32::from(*value));
    }

    pub(crate) fn subtract(&mut self, vector: &TextVector) {
        self.0.iter_mut().zip(&vector.0).for_each(|(sum, value)| *sum -= i32::from(*value));
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, value)| *sum += value);
    }

    pub(crate) fn subtract_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, value)| *sum -= value);
    }

    /// Of its length.
    pub(crate) fn square(&self) -> i64 {
        self.0.iter().map(|sum| i64::from(*sum) * i64::from(*sum)).sum()
    }

    /// Cosine of the sum, whose `square` is given, and a text, -1 to 1; 0 where one of them is empty.
    pub(crate) fn cosine(&self, square: i64, vector: &TextVector) -> f32 {
        let dot = self.0.iter().zip(&vector.0).map(|(sum, value)| i64::from(*sum) * i64::from(*value)).sum();
        cosine(dot, square, vector.square().into())
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a cosine, of exact whole numbers")]
fn cosine(dot: i64, square: i64, other_square: i64) -> f32 {
    if square == 0 || other_square == 0 {
        return 0.0;
    }
    (dot as f64 / ((square as f64).sqrt() * (other_square as f64).sqrt())) as f32
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to what a byte holds")]
fn quantised(value: f32) -> i8 {
    (value * STEPS).round().clamp(-127.0, 127.0) as i8
}

impl Encoder {
    /// The sum of the tokens' vectors, of length one; `None` where there are none.
    fn static_vector(&self, text: &str) -> Option<[f32; DIMENSIONS]> {
        let mut sum = [0.0; DIMENSIONS];
        let tokens = self.pieces.tokenize(text);
        self.vectors.fetch(tokens.iter().map(|token| token.id));
        for token in tokens {
            self.vectors.add(token.id, 1, &mut sum);
        }
        unit(&sum)
    }
}

fn unit(vector: &[f32; DIMENSIONS]) -> Option<[f32; DIMENSIONS]> {
    let length = norm(vector);
    (length > 0.0).then(|| vector.map(|value| value / length))
}

struct Whitening {
    mean: [f32; DIMENSIONS],
    /// Rows of a lower triangle, each up to its diagonal.
    factor: Vec<f32>,
}

impl Whitening {
    fn read(file: &[u8]) -> Self {
        let (values, _) = file.as_chunks::<4>();
        let mut values = values.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let mut mean = [0.0; DIMENSIONS];
        mean.iter_mut().zip(values.by_ref()).for_each(|(mean, value)| *mean = value);
        Self { mean, factor: values.collect() }
    }

    /// The vector without what all tickets have in common, of length one.
    fn apply(&self, vector: &[f32; DIMENSIONS]) -> [f32; DIMENSIONS] {
        let mut centred = *vector;
        centred.iter_mut().zip(&self.mean).for_each(|(value, mean)| *value -= mean);
        let mut white = [0.0; DIMENSIONS];
        let mut rest = self.factor.as_slice();
        for (place, white) in white.iter_mut().enumerate() {
            let (row, next) = rest.split_at((place + 1).min(rest.len()));
            *white = dot(row, &centred[..row.len()]);
            rest = next;
        }
        unit(&white).unwrap_or(white)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;
    use crate::encode::symmetric::{cholesky, inverse_of_lower};

    #[test]
    fn the_files_inside_the_binary_can_be_read() {
        assert!(ENCODER.is_some());
    }

    #[test]
    fn like_texts_have_like_vectors_and_none_stands_out() {
        let of = |text: &str| MeasuredVector::from(TextVector::of(text));
        let similarity = |a: &str, b: &str| of(a).cosine(&of(b));
        let near = similarity("printer out of paper", "the scanner jams");
        let far = similarity("printer out of paper", "please reset my password");
        assert!(near > far + 0.1, "{near} {far}");
        assert!((similarity("vpn drops", "VPN drops") - 1.0).abs() < 1e-6);
        assert!(similarity("", "vpn").abs() < f32::EPSILON);
    }

    #[test]
    fn a_vector_is_kept_as_it_was() {
        let vector = TextVector::of("Outlook asks for the password again and again");
        assert_eq!(TextVector::from_bytes(&vector.to_bytes()), Some(vector.clone()));
        assert_eq!(TextVector::from_bytes(&vector.to_bytes()[1..]), None);
        let at_the_bound = vector.0.iter().filter(|value| value.unsigned_abs() == 127).count();
        assert!(at_the_bound <= 2, "{at_the_bound} components are cut off");
    }

    proptest! {
        #[test]
        fn a_sum_does_not_know_its_order(
            texts in proptest::collection::vec("[a-z ]{0,30}", 1..8),
            gone in 0_usize..8,
        ) {
            let vectors: Vec<_> = texts.iter().map(|text| TextVector::of(text)).collect();
            let mut forward = VectorSum::default();
            for vector in &vectors {
                forward.add(vector);
            }
            let mut backward = VectorSum::default();
            for vector in vectors.iter().rev() {
                backward.add(vector);
            }
            prop_assert_eq!(&forward, &backward);
            let gone = gone % vectors.len();
            forward.subtract(&vectors[gone]);
            let mut without = VectorSum::default();
            let others = vectors.iter().enumerate().filter(|(place, _)| *place != gone);
            for (_, vector) in others {
                without.add(vector);
            }
            prop_assert_eq!(&forward, &without);
            prop_assert!(without.cosine(without.square(), &vectors[gone]).abs() <= 1.0 + 1e-6);
        }
    }

    /// Mean and whitening of these vectors, as the file holds them. Each text's vector x is centred and multiplied
    /// with the inverse Cholesky factor of the covariance plus its mean eigenvalue on the diagonal, which keeps the
    /// directions that hardly vary from being blown up.
    fn whitening(vectors: &[[f32; DIMENSIONS]]) -> Vec<u8> {
        let count = f64::from(u32::try_from(vectors.len()).unwrap());
        let mut mean = [0.0_f64; DIMENSIONS];
        for vector in vectors {
            mean.iter_mut().zip(vector).for_each(|(mean, value)| *mean += f64::from(*value) / count);
        }
        let mut covariance = vec![[0.0_f64; DIMENSIONS]; DIMENSIONS];
        for vector in vectors {
            let centred: Vec<f64> = vector.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean).collect();
            for (row, a) in covariance.iter_mut().zip(&centred) {
                row.iter_mut().zip(&centred).for_each(|(sum, b)| *sum += a * b / count);
            }
        }
        let mean_eigenvalue = (0..DIMENSIONS).map(|place| covariance[place][place]).sum::<f64>() / 256.0;
        (0..DIMENSIONS).for_each(|place| covariance[place][place] += mean_eigenvalue);
        let inverse = inverse_of_lower(&cholesky(&covariance));
        let triangle = inverse.iter().enumerate().flat_map(|(row, values)| values[..=row].iter());
        #[expect(clippy::cast_possible_truncation, reason = "kept in single precision")]
        mean.iter().chain(triangle).flat_map(|value| (*value as f32).to_le_bytes()).collect()
    }

    /// Every third row of the corpus: more change nothing.
    fn corpus() -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/corpus");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let text_of = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let part = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", part("summary"), part("description"))
        };
        let texts = files.iter().flat_map(|file| {
            let rows = fs::read_to_string(file).unwrap();
            rows.lines().step_by(3).map(text_of).collect::<Vec<_>>()
        });
        texts.collect()
    }

    /// With `TRIAGE_UPDATE_MODELS=1` in the environment it writes the file.
    #[test]
    fn the_whitening_is_that_of_the_corpus() {
        let encoder = ENCODER.as_ref().unwrap();
        let vectors: Vec<_> = corpus().iter().filter_map(|text| encoder.static_vector(text)).collect();
        let made = whitening(&vectors);
        if std::env::var_os("TRIAGE_UPDATE_MODELS").is_some() {
            fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/whitening.f32"), &made).unwrap();
        }
        assert!(
            made == WHITENING || std::env::var_os("TRIAGE_UPDATE_MODELS").is_some(),
            "models/whitening.f32 is not that of the corpus: run this test with TRIAGE_UPDATE_MODELS=1, and raise the \
             versions of both indexes"
        );
    }
}
