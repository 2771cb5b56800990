//! The files inside the binary: the default bundle, and the vocabulary and vectors that every bundle shares.

use std::borrow::Cow;

use super::bundle::{self, BundleError, Files};
use crate::encode::{StaticVectors, VECTORS, VOCABULARY, WordPiece};

static MANIFEST: &[u8] = include_bytes!("../../models/default/1/manifest.toml");
static WEIGHTS: &[u8] = include_bytes!("../../models/default/1/weights.safetensors");
static GOLDEN: &[u8] = include_bytes!("../../models/default/1/golden.jsonl");

/// The default bundle.
pub(super) fn default_bundle() -> Files {
    let mut files = encoder_files();
    files.extend([(bundle::MANIFEST, MANIFEST), (bundle::WEIGHTS, WEIGHTS), (bundle::GOLDEN, GOLDEN)].map(borrowed));
    files
}

/// The part of a bundle that training does not change.
pub(super) fn encoder_files() -> Files {
    [(bundle::VOCABULARY, VOCABULARY.as_bytes()), (bundle::VECTORS, VECTORS)].map(borrowed).into()
}

/// The pieces and vectors of a bundle's files.
pub(super) fn encoder(files: &Files) -> Result<(WordPiece, StaticVectors), BundleError> {
    let vocabulary = match files.get(bundle::VOCABULARY).cloned().unwrap_or_default() {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    };
    let pieces = vocabulary.and_then(WordPiece::parse).ok_or(BundleError::Vocabulary)?;
    let vectors = StaticVectors::parse(files.get(bundle::VECTORS).cloned().unwrap_or_default(), pieces.len())?;
    Ok((pieces, vectors))
}

fn borrowed((name, bytes): (&'static str, &'static [u8])) -> (&'static str, Cow<'static, [u8]>) {
    (name, Cow::Borrowed(bytes))
}
