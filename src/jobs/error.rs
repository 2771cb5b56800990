//! What a job can fail with, each with what to do.

use std::{error::Error, io, path::PathBuf};

use crate::{
    domain::job::{JobId, JobState},
    error::TriageError,
    knowledge::IndexError,
    registry::RegistryError,
    rows::{RowError, RowsError},
    store::StoreError,
};

/// The setting that names the folders in which clients may have files read and written.
const FOLDERS_SETTING: &str = "jobs.folders";

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("there is no job {0}: `triage jobs list` shows those there are")]
    Unknown(JobId),
    #[error("job {id} is {state} and cannot be {operation}")]
    WrongState { id: JobId, state: JobState, operation: &'static str },
    /// The file belongs to somebody else.
    #[error("{}: {problem}", path.display())]
    OutputTaken { path: PathBuf, problem: String },
    /// Clients may not have this file read or written.
    #[error("{} is in none of the folders of the setting {FOLDERS_SETTING}", .0.display())]
    PathNotAllowed(PathBuf),
    /// The job is not about a field of this name.
    #[error("job {id} is not about field `{field}`; its fields are {}", known.join(", "))]
    UnknownField { id: JobId, field: String, known: Vec<String> },
    /// The job changed nothing of what can be given back.
    #[error("job {0} has nothing to undo: it was a dry run, an import, a training, or over tickets that a client sent")]
    NothingToUndo(JobId),
    /// What was asked for makes no job.
    #[error("{0}")]
    Invalid(String),
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Row(RowError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Triage(#[from] TriageError),
    /// What the store holds was not written by this program.
    #[error("the job is damaged in the database ({0}): restore it from a backup")]
    Damaged(String),
    #[error("internal error")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl From<JobError> for TriageError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Unknown(id) => Self::NotFound { resource: "job", id: id.to_string() },
            JobError::WrongState { .. } => Self::JobState(error.to_string()),
            JobError::OutputTaken { path, problem } => Self::OutputTaken { path, problem },
            JobError::PathNotAllowed(path) => Self::PathNotAllowed { path, setting: FOLDERS_SETTING },
            JobError::UnknownField { .. } => Self::invalid("filter.field", error.to_string()),
            JobError::NothingToUndo(_) => Self::invalid("id", error.to_string()),
            JobError::Invalid(_) | JobError::Unreadable { .. } | JobError::Rows(_) | JobError::Row(_) => {
                Self::invalid("spec", error.to_string())
            }
            JobError::Unwritable { path, source } => Self::Unwritable { path, problem: source.to_string() },
            JobError::Index(error) => error.into(),
            JobError::Registry(RegistryError::Invalid(problem)) => Self::invalid("spec", problem),
            JobError::Registry(error) => error.into(),
            JobError::Triage(error) => error,
            JobError::Internal(source) => Self::Internal(source),
            JobError::Store(_) | JobError::Damaged(_) => Self::internal(error),
        }
    }
}

impl JobError {
    pub(super) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// The error and what led to it, as one sentence.
    pub(super) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = error.source();
        }
        text
    }
}
