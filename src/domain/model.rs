//! Models that can serve: where each came from, where it stands, and which served when.

use super::job::JobId;

/// The name by which the model inside the program can be asked for.
pub const EMBEDDED: &str = "embedded";
/// The name by which the active model can be asked for.
pub const ACTIVE: &str = "active";

/// Longest name of who does something, and longest reason, in characters.
pub const MAX_BY_CHARS: usize = 256;
pub const MAX_REASON_CHARS: usize = 1_024;

/// Where a model came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelOrigin {
    /// It is inside the program.
    Embedded,
    Imported,
    /// `None`: by the command line.
    Trained(Option<JobId>),
}

impl ModelOrigin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Imported => "imported",
            Self::Trained(_) => "trained",
        }
    }
}

/// Where a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// It serves, unless the server was started with another (`--model`).
    Active,
    /// It answers silently beside the active one.
    Shadow,
    /// It has never served here.
    Candidate,
    /// It served once.
    Retired,
}

impl ModelState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Shadow => "shadow",
            Self::Candidate => "candidate",
            Self::Retired => "retired",
        }
    }
}

/// Why another model began to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationKind {
    /// Somebody asked for it.
    Activated,
    /// Somebody asked for the one before.
    RolledBack,
    /// The server trained it and the policy was met.
    Promoted,
}

impl ActivationKind {
    pub const ALL: [Self; 3] = [Self::Activated, Self::RolledBack, Self::Promoted];

    /// As the database and scripts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activated => "activated",
            Self::RolledBack => "rolled_back",
            Self::Promoted => "promoted",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == raw)
    }
}

/// Which model it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    pub version: String,
    /// The one inside the program, whatever its version is by now.
    pub is_embedded: bool,
}

/// A model that began to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Later ones have higher numbers.
    pub id: u64,
    pub model: ModelName,
    /// What served before.
    pub previous: ModelName,
    pub kind: ActivationKind,
    /// Seconds since 1970.
    pub at: u64,
    pub by: String,
    pub reason: String,
}

/// What became of a model that the server trained by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub candidate: String,
    /// What it stood against.
    pub active: String,
    pub is_promoted: bool,
    /// Seconds since 1970.
    pub at: u64,
    /// As sentences, with the figures.
    pub reasons: Vec<String>,
}

/// When the server trains a model by itself, and when that takes over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningPolicy {
    pub retrain: bool,
    /// Confirmed tickets that are new since the active model was trained, or since the server last trained one.
    pub retrain_after: u64,
    /// Confirmed tickets that there must be.
    pub min_rows: u64,
    pub promote: bool,
    /// What one field must be more accurate by, and what none may be less accurate by, 0 to 1.
    pub promote_margin: f64,
    /// What the recall of a label with enough tickets may fall by, 0 to 1.
    pub max_class_fall: f64,
    /// The most likely that the gain is chance, 0 to 1.
    pub promote_p: f64,
}

/// Tickets by which of two models was right about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PairCounts {
    pub both_right: u64,
    pub only_first_right: u64,
    pub only_second_right: u64,
    pub both_wrong: u64,
}

impl PairCounts {
    pub fn add(&mut self, first_is_right: bool, second_is_right: bool) {
        let count = match (first_is_right, second_is_right) {
            (true, true) => &mut self.both_right,
            (true, false) => &mut self.only_first_right,
            (false, true) => &mut self.only_second_right,
            (false, false) => &mut self.both_wrong,
        };
        *count += 1;
    }

    pub fn tickets(&self) -> u64 {
        self.both_right + self.only_first_right + self.only_second_right + self.both_wrong
    }

    pub fn first_right(&self) -> u64 {
        self.both_right + self.only_first_right
    }

    pub fn second_right(&self) -> u64 {
        self.both_right + self.only_second_right
    }
}
