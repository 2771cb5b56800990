//! Static token vectors: a text's vector is the sum of its tokens' rows, brought to length one.
//! Frequency weighting is in the rows already. A plain loop: a tensor library takes thirty times as long.

use std::{borrow::Cow, hint::black_box};

use safetensors::{Dtype, SafeTensors};

/// Length of a vector.
pub(crate) const DIMENSIONS: usize = 256;

/// Why a file holds no usable vectors.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    #[error("not a safetensors file: {0}")]
    Unreadable(#[from] safetensors::SafeTensorError),
    #[error("tensor `{name}` is {found}, expected {expected}")]
    WrongShape { name: &'static str, found: String, expected: String },
    #[error("a scale is not a finite number")]
    NotFinite,
}

/// One row of int8 a token, with a scale.
pub(crate) struct StaticVectors {
    file: Cow<'static, [u8]>,
    /// Where the rows begin in the file.
    start: usize,
    scales: Vec<f32>,
}

impl StaticVectors {
    /// Reads the file's bytes; `tokens` is how many rows it must have.
    pub(crate) fn parse(file: Cow<'static, [u8]>, tokens: usize) -> Result<Self, VectorsError> {
        let tensors = SafeTensors::deserialize(&file)?;
        let check = |name, dtype: Dtype, shape: &[usize]| {
            let tensor = tensors.tensor(name)?;
            if tensor.dtype() == dtype && tensor.shape() == shape {
                return Ok(tensor);
            }
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            Err(VectorsError::WrongShape { name, found, expected: format!("{dtype:?} {shape:?}") })
        };
        let scales = check("scales", Dtype::F32, &[tokens])?;
        let rows = check("vectors", Dtype::I8, &[tokens, DIMENSIONS])?;
        let (scales, _) = scales.data().as_chunks::<4>();
        let scales: Vec<f32> = scales.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if !scales.iter().all(|scale| scale.is_finite()) {
            return Err(VectorsError::NotFinite);
        }
        let start = rows.data().as_ptr().addr() - file.as_ptr().addr();
        drop(tensors);
        Ok(Self { file, start, scales })
    }

    /// Asks the memory for the rows of all these tokens at once: those of rare tokens are in no cache, and adding one up
    /// takes so long that the processor does not look ahead to the next.
    pub(crate) fn fetch(&self, ids: impl Iterator<Item = u32>) {
        const CACHE_LINE: usize = 64;
        let lines = ids.filter_map(|id| self.row(id)).flat_map(|(row, _)| row.iter().step_by(CACHE_LINE));
        black_box(lines.fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    }

    /// Adds the token's row to `sum`, `times` over; an id out of range adds nothing.
    pub(crate) fn add(&self, id: u32, times: u16, sum: &mut [f32; DIMENSIONS]) {
        let Some((row, scale)) = self.row(id) else { return };
        let scale = scale * f32::from(times);
        for (sum, &value) in sum.iter_mut().zip(row) {
            *sum += scale * f32::from(value.cast_signed());
        }
    }

    /// The token's row, ready for products with several vectors; `None` for an id out of range.
    pub(crate) fn decoded(&self, id: u32) -> Option<Decoded> {
        let (row, scale) = self.row(id)?;
        let mut values = [0.0; DIMENSIONS];
        values.iter_mut().zip(row).for_each(|(value, byte)| *value = f32::from(byte.cast_signed()));
        Some(Decoded { values, scale })
    }

    fn row(&self, id: u32) -> Option<(&[u8], f32)> {
        let start = self.start + id as usize * DIMENSIONS;
        Some((self.file.get(start..start + DIMENSIONS)?, *self.scales.get(id as usize)?))
    }
}

/// A token's row.
pub(crate) struct Decoded {
    values: [f32; DIMENSIONS],
    scale: f32,
}

impl Decoded {
    pub(crate) fn dot(&self, other: &[f32]) -> f32 {
        self.scale * dot(&self.values, other)
    }
}

/// A dot product in sixteen sums, which the compiler can keep in vector registers.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Length of a vector in the usual sense.
pub(crate) fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::WordPiece;

    static VECTORS: &[u8] = include_bytes!("../../models/default/1/vectors.safetensors");
    const VOCABULARY: &str = include_str!("../../models/default/1/vocab.txt");

    #[test]
    fn like_words_have_like_vectors() {
        let words = WordPiece::parse(VOCABULARY.into()).unwrap();
        let vectors = StaticVectors::parse(VECTORS.into(), words.len()).unwrap();
        let embed = |text: &str| {
            let mut sum = [0.0; DIMENSIONS];
            words.tokenize(text).iter().for_each(|token| vectors.add(token.id, 1, &mut sum));
            let norm = norm(&sum);
            sum.map(|value| value / norm)
        };
        let similarity = |a: &str, b: &str| embed(a).iter().zip(embed(b)).map(|(a, b)| a * b).sum::<f32>();
        let near = similarity("printer out of paper", "the scanner jams");
        let far = similarity("printer out of paper", "forgot my password");
        assert!(near > far + 0.1, "{near} {far}");
    }

    #[test]
    fn a_file_of_the_wrong_shape_is_refused() {
        let shape = StaticVectors::parse(VECTORS.into(), 7).err().unwrap();
        assert!(shape.to_string().contains("scales"), "{shape}");
        assert!(StaticVectors::parse(VECTORS[..1_000].into(), 7).is_err());
    }
}
