//! The one error the API can answer with. It knows nothing of gRPC: `grpc::status` gives it a code.

use std::{error::Error, fmt, path::PathBuf, time::Duration};

/// One thing that is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field the caller must fix, such as `ticket.summary`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub description: String,
}

impl FieldViolation {
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

impl fmt::Display for FieldViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// What a call can fail with. Not knowing the answer is no error: see `domain::decision::Abstention`.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// The request cannot be understood; every violation found is listed.
    #[error("invalid request: {}", join(.0))]
    InvalidRequest(Vec<FieldViolation>),
    #[error("{resource} `{id}` not found")]
    NotFound { resource: &'static str, id: String },
    /// An article has other versions than the one that was asked for; `kept` are the first and the last that are there.
    #[error("article `{id}` has no version {version}: those that are kept go from {} to {}", kept.0, kept.1)]
    NoSuchVersion { id: String, version: u32, kept: (u32, u32) },
    /// An article must not be moved on in its life as asked for; says why.
    #[error("{0}")]
    ArticleState(String),
    /// A conversation rested for too long.
    #[error("the conversation has expired: send its turns without `conversation`, and a new one begins")]
    ConversationExpired,
    /// A message is larger than the limit of that name allows.
    #[error("message of {bytes} bytes is over {limit}, {allowed} bytes")]
    TooLarge { bytes: usize, limit: &'static str, allowed: usize },
    /// A message has so many parts that it would take more memory than one caller may have.
    #[error(
        "the message has so many parts that it would take about {bytes} bytes of memory, over limits.held_bytes_per_peer, \
         {allowed} bytes: send several messages"
    )]
    TooManyParts { bytes: usize, allowed: usize },
    /// Every place is taken; nothing was done.
    #[error("the server is at capacity, try again in {} ms", .retry_after.as_millis())]
    Overloaded { retry_after: Duration },
    /// The part asked for is starting, draining or healing.
    #[error("{what} is not ready")]
    NotReady { what: &'static str, retry_after: Duration },
    #[error("the call took longer than its deadline")]
    DeadlineExceeded,
    /// A job stands where it cannot be moved as asked for; says where it stands.
    #[error("{0}")]
    JobState(String),
    /// Another taxonomy is in force than the one that a change was made for.
    #[error("the taxonomy is {found} by now, and the change was made for {expected}: look at it again")]
    TaxonomyChanged { expected: String, found: String },
    /// The configuration names a taxonomy file.
    #[error(
        "the taxonomy is read from {}, as the configuration says (taxonomy.file): change that file and send SIGHUP to \
         the server, or take the setting out",
        file.display()
    )]
    TaxonomyInFile { file: PathBuf },
    /// Models stand so that what is asked for must not be; says how.
    #[error("{0}")]
    ModelState(String),
    /// A file belongs to somebody else.
    #[error("{problem}: {}", path.display())]
    OutputTaken { path: PathBuf, problem: String },
    /// A file that clients may not have read or written.
    #[error("{} is in none of the folders of the setting {setting}", path.display())]
    PathNotAllowed { path: PathBuf, setting: &'static str },
    /// A file that the server may not, or cannot, write.
    #[error("cannot write: {problem}: {}", path.display())]
    Unwritable { path: PathBuf, problem: String },
    /// The call needs a credential. What is wrong with the one that was sent is not said.
    #[error("{}", if *.is_missing {
        "this server lets in only who shows a credential: send `authorization: Bearer <token>`"
    } else {
        "the credential is not valid"
    })]
    Unauthenticated { is_missing: bool },
    /// The caller's role may not call this; names those that may, none for what is no method.
    #[error("the role {role} may not call this{}", if .allowed.is_empty() {
        String::new()
    } else {
        format!("; it is for {}", .allowed)
    })]
    PermissionDenied { role: &'static str, allowed: String },
    /// The caller calls more often than its credential allows.
    #[error("too many calls with this credential, try again in {} ms", .retry_after.as_millis().max(1))]
    RateLimited { retry_after: Duration },
    /// A browser sends this for a page of another origin.
    #[error("web pages of this origin may not call: see the setting server.web_origins")]
    OriginNotAllowed,
    /// A fault of ours. The cause goes to the log and never to the client.
    #[error("internal error")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl TriageError {
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::InvalidRequest(vec![FieldViolation::new(field, description)])
    }

    /// Stable machine-readable reason. These strings are API and are never reused.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "INVALID_REQUEST",
            Self::NotFound { .. } | Self::NoSuchVersion { .. } => "NOT_FOUND",
            Self::ArticleState(_) => "ARTICLE_STATE",
            Self::ConversationExpired => "CONVERSATION_EXPIRED",
            Self::TooLarge { .. } | Self::TooManyParts { .. } => "TOO_LARGE",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::NotReady { .. } => "NOT_READY",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::JobState(_) => "JOB_STATE",
            Self::TaxonomyChanged { .. } => "TAXONOMY_CHANGED",
            Self::TaxonomyInFile { .. } => "TAXONOMY_IN_FILE",
            Self::ModelState(_) => "MODEL_STATE",
            Self::OutputTaken { .. } => "OUTPUT_TAKEN",
            Self::PathNotAllowed { .. } => "PATH_NOT_ALLOWED",
            Self::Unwritable { .. } => "UNWRITABLE",
            Self::Unauthenticated { .. } => "UNAUTHENTICATED",
            Self::PermissionDenied { .. } => "PERMISSION_DENIED",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::OriginNotAllowed => "ORIGIN_NOT_ALLOWED",
            Self::Internal(_) => "INTERNAL",
        }
    }
}

fn join(violations: &[FieldViolation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
