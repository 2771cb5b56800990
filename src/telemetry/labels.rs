//! The values of labels, which are closed sets.

/// A step of the way that one call takes; the label `stage` of `triage_stage_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From admission to the start of work.
    Queue,
    Classify,
    Explain,
    Articles,
    Similar,
    /// A turn of a conversation.
    Answers,
    /// The whole call, as the server saw it.
    Total,
}

impl Stage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Classify => "classify",
            Self::Explain => "explain",
            Self::Articles => "articles",
            Self::Similar => "similar",
            Self::Answers => "answers",
            Self::Total => "total",
        }
    }
}

/// What came of reading the model folder, or the taxonomy, again; the label `outcome` of `triage_reloads_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// Another one serves now.
    Replaced,
    /// It is the one that serves already.
    Unchanged,
    /// It cannot be used; the old one serves on.
    Refused,
    /// The active model of the data directory or the one inside the program serves; there is no folder.
    Embedded,
}

impl ReloadOutcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Embedded => "embedded",
        }
    }
}

/// Where another taxonomy comes from; the label `cause` of `triage_taxonomy_changes_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaxonomyCause {
    /// Somebody called `TaxonomyService`.
    Call,
    /// The file was read again on SIGHUP.
    File,
}

impl TaxonomyCause {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::File => "file",
        }
    }
}

/// What guards the server and is read again while it serves; the label `part` of `triage_door_reloads_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorPart {
    Certificates,
    /// Tokens, and the key of signed ones.
    Credentials,
}

impl DoorPart {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificates => "certificates",
            Self::Credentials => "credentials",
        }
    }
}

/// Why a call was refused without a look at it; the label `reason` of `triage_refused_calls_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It would have waited too long for a processor, or for the disk.
    FullHouse,
    /// Too many calls were open already.
    OpenCalls,
    /// Calls held too many bytes already.
    HeldBytes,
}

impl Refusal {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::FullHouse => "full_house",
            Self::OpenCalls => "open_calls",
            Self::HeldBytes => "held_bytes",
        }
    }
}

/// Why the server ended a connection; the label `reason` of `triage_ended_connections_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It did not say in time what it speaks.
    Handshake,
    Idle,
    Age,
    /// It sent frames that ask for nothing.
    Flood,
}

impl ConnectionEnd {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Age => "age",
            Self::Flood => "flood",
        }
    }
}

/// What a shadow proposed for a field, beside the active model; the label `outcome` of `triage_shadow_guesses_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowOutcome {
    Agreed,
    Differed,
}

impl ShadowOutcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Differed => "differed",
        }
    }
}
