//! For the fuzz targets in `fuzz/`: the readers of a bundle's files, each alone, where a whole bundle is refused by its
//! hashes before they are reached.

use std::borrow::Cow;

use super::{
    bundle::{self, BundleError},
    embedded,
    heads::Heads,
    manifest::Manifest,
    samples::BlockWeights,
};

/// Columns of the small bundles that targets read.
const COLUMNS: usize = 3;

/// Reads a `manifest.toml` and writes it again.
pub fn manifest(bytes: &[u8]) -> Result<Vec<u8>, BundleError> {
    Ok(Manifest::parse(bytes)?.write()?)
}

/// Reads a `weights.safetensors` of two labels.
pub fn weights(bytes: &[u8]) -> Result<(), BundleError> {
    let planes = bundle::read_planes(bytes, COLUMNS, None)?;
    bundle::read_label_space(bytes, COLUMNS - 1)?;
    Heads::new(planes, BlockWeights { words: 1.0, characters: 1.0 });
    Ok(())
}

/// Reads a `vocab.txt` and a `vectors.safetensors` that stand one behind the other, divided by a zero byte.
pub fn vectors(bytes: &[u8]) -> Result<(), BundleError> {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (vocabulary, vectors) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let owned = |bytes: &[u8]| Cow::Owned(bytes.to_vec());
    embedded::encoder(&[(bundle::VOCABULARY, owned(vocabulary)), (bundle::VECTORS, owned(vectors))].into()).map(drop)
}
