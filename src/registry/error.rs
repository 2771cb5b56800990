//! What can go wrong with models, each with what to do.

use std::{io, path::PathBuf};

use crate::{classify::BundleError, domain::steering, error::TriageError, knowledge::IndexError, store::StoreError};

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("there is no model {}: `triage model list` shows those there are", steering::one_line(.0))]
    Unknown(String),
    /// A bundle of the data directory is not what it was.
    #[error(
        "model {version} in {} cannot be used: {problem}; import its bundle again (`triage model import DIR`), have \
         another serve (`triage model activate VERSION`, or `embedded`), or serve a bundle with --model",
        folder.display()
    )]
    Damaged { version: String, folder: PathBuf, problem: String },
    /// As things stand, it must not be.
    #[error("{0}")]
    Refused(String),
    /// What was asked for cannot be done whatever stands.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Triage(#[from] TriageError),
}

impl From<RegistryError> for TriageError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Unknown(version) => Self::NotFound { resource: "model", id: version },
            RegistryError::Damaged { .. } | RegistryError::Refused(_) => Self::ModelState(error.to_string()),
            RegistryError::Invalid(_) | RegistryError::Bundle(_) => Self::invalid("model", error.to_string()),
            RegistryError::Unwritable { path, source } => Self::Unwritable { path, problem: source.to_string() },
            RegistryError::Triage(error) => error,
            RegistryError::Index(_) | RegistryError::Store(_) => Self::internal(error),
        }
    }
}
