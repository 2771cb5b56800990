//! What following the store with an index can fail with, and what to do then.

use std::{io, path::PathBuf};

use tantivy::TantivyError;

use crate::{encode::EncoderError, error::TriageError, store::StoreError};

/// What an index and the store behind it can fail with.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("search index {}: {source}; when it stays, delete that folder: it is built anew on the next start", directory.display())]
    Index { directory: PathBuf, source: TantivyError },
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    #[error("the database names a sentence encoder in a way that this program does not read: {0}")]
    EncoderRecord(serde_json::Error),
    #[error("cannot replace search index {}: {source}", directory.display())]
    Replace { directory: PathBuf, source: io::Error },
    #[error(
        "search index folder {} holds other files ({}): move them elsewhere, or name another directory with --data-dir",
        directory.display(),
        entry.display()
    )]
    Foreign { directory: PathBuf, entry: PathBuf },
}

impl From<IndexError> for TriageError {
    fn from(error: IndexError) -> Self {
        Self::internal(error)
    }
}
