//! Work over many tickets that is begun, watched, paused, resumed, cancelled and undone, and what it makes of each.

use std::{fmt, ops::AddAssign};

use super::decision::Abstention;

/// Tells one job from the others of a data directory; from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl JobId {
    /// `None` for anything but a whole number from 1 that a record can have.
    pub fn parse(raw: &str) -> Option<Self> {
        raw.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0).map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// It is at work; after a crash, it is taken up where the last chunk ended.
    Running,
    /// It waits for somebody to resume it.
    Paused,
    Done,
    /// Nothing more is done; what was done stays, and can be undone.
    Cancelled,
    /// What it did is being taken back.
    Undoing,
    Undone,
}

impl JobState {
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Running, Self::Paused, Self::Done, Self::Cancelled, Self::Undoing, Self::Undone];

    /// As the database, scripts and the API name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == raw)
    }

    /// Whether it has an end of its own ahead, so that watching it makes sense.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Paused | Self::Undoing)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a job is paused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseCause {
    /// Somebody asked for it.
    Asked,
    /// More rows are bad than was allowed.
    BadRows,
    /// Input, output or database cannot be read or written.
    Storage,
    /// The input is not what the job began with.
    InputChanged,
    /// The model or the taxonomy is not what the job began with.
    OtherVersion,
    /// Nothing can be learnt from the tickets.
    Untrainable,
}

impl PauseCause {
    pub const ALL: [Self; 6] =
        [Self::Asked, Self::BadRows, Self::Storage, Self::InputChanged, Self::OtherVersion, Self::Untrainable];

    /// As the database, scripts and the API name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::BadRows => "bad_rows",
            Self::Storage => "storage",
            Self::InputChanged => "input_changed",
            Self::OtherVersion => "other_version",
            Self::Untrainable => "untrainable",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == raw)
    }
}

/// Why a job is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub cause: PauseCause,
    /// What happened and what to do, for people.
    pub text: String,
}

/// What became of the tickets of a job, or of a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounts {
    /// Tickets that were read, bad ones included.
    pub rows: u64,
    /// Tickets of which at least one field changes.
    pub changed: u64,
    /// Tickets of which the model abstains from at least one field.
    pub abstained: u64,
    /// Bad rows.
    pub failed: u64,
}

impl AddAssign for JobCounts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.changed += other.changed;
        self.abstained += other.abstained;
        self.failed += other.failed;
    }
}

/// What a reclassification makes of one field of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldResult {
    /// Today's value; `None` where there is none.
    pub current: Option<String>,
    /// The best guess; `None` where there is no text.
    pub value: Option<String>,
    /// The model's calibrated probability that `value` is right, 0 to 1.
    pub confidence: f32,
    pub abstention: Option<Abstention>,
    /// Whether `value` takes the place of `current`.
    pub changed: bool,
}

/// What a reclassification makes of one ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct TicketResult {
    pub id: String,
    /// In the order of the job's fields; none of a bad row.
    pub fields: Vec<FieldResult>,
    /// What is wrong with the row.
    pub error: Option<String>,
}

/// What became of a ticket; each has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketOutcome {
    /// At least one field changes.
    Changed,
    /// None changes, and the model abstains from at least one.
    Abstained,
    /// Everything stays as it is.
    Kept,
    /// The row is bad.
    Failed,
}

impl TicketOutcome {
    pub const ALL: [Self; 4] = [Self::Changed, Self::Abstained, Self::Kept, Self::Failed];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Abstained => "abstained",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

impl TicketResult {
    pub fn outcome(&self) -> TicketOutcome {
        match self {
            Self { error: Some(_), .. } => TicketOutcome::Failed,
            changed if changed.is_changed() => TicketOutcome::Changed,
            unsure if unsure.is_abstained() => TicketOutcome::Abstained,
            Self { .. } => TicketOutcome::Kept,
        }
    }

    pub fn is_changed(&self) -> bool {
        self.fields.iter().any(|field| field.changed)
    }

    pub fn is_abstained(&self) -> bool {
        self.fields.iter().any(|field| field.abstention.is_some())
    }

    pub fn counts(&self) -> JobCounts {
        JobCounts {
            rows: 1,
            changed: self.is_changed().into(),
            abstained: self.is_abstained().into(),
            failed: self.error.is_some().into(),
        }
    }
}

/// What undoing a job over the memory came to for a ticket that the job had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UndoOutcome {
    /// It has its previous values again.
    Restored,
    /// Somebody changed it since: it is left as it is.
    Touched,
    /// It is no longer there.
    Deleted,
}

impl UndoOutcome {
    pub const ALL: [Self; 3] = [Self::Restored, Self::Touched, Self::Deleted];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Touched => "touched",
            Self::Deleted => "deleted",
        }
    }

    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == raw)
    }
}
