//! Feedback: what became of a suggested article, for which ticket, and what came of it in all; and what the fields of a
//! ticket turned out to be, beside what had been proposed.

use std::{collections::BTreeMap, fmt};

use super::{decision::Abstention, memory::ConfirmedTicket, route::Route};

/// What became of an article that was suggested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArticleEvent {
    /// Somebody saw it.
    Shown,
    /// Somebody opened it.
    Clicked,
    /// It solved the ticket.
    Helped,
    /// It was of no use for the ticket.
    Refused,
}

impl ArticleEvent {
    pub const ALL: [Self; 4] = [Self::Shown, Self::Clicked, Self::Helped, Self::Refused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Clicked => "clicked",
            Self::Helped => "helped",
            Self::Refused => "refused",
        }
    }

    /// `None` for a name that [`Self::as_str`] gives to no event.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == raw)
    }

    /// The event that this one takes back: an article solved a ticket or it did not.
    pub fn opposite(self) -> Option<Self> {
        match self {
            Self::Helped => Some(Self::Refused),
            Self::Refused => Some(Self::Helped),
            Self::Shown | Self::Clicked => None,
        }
    }
}

/// Articles that were suggested for a ticket, as the handle of the suggestion brings them back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Tells this suggestion from any other.
    pub digest: [u8; 16],
    /// What the memory keeps of the ticket once somebody says what solved it; without articles, and with an id also
    /// where the ticket came without one.
    pub ticket: ConfirmedTicket,
    /// Ids of the suggested articles, best first.
    pub articles: Vec<String>,
}

/// One event for one of the articles of a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArticleFeedback {
    pub suggestion: Suggestion,
    /// Id of an article of the suggestion.
    pub article: String,
    pub event: ArticleEvent,
}

/// What recording an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedbackEffect {
    /// The event was not recorded before.
    pub is_new: bool,
    /// The ticket became a confirmed one, or its link to the article is new or another.
    pub memory_changed: bool,
}

/// How many suggestions of an article had each event, and what it solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArticleUsage {
    pub shown: u64,
    pub clicked: u64,
    pub helped: u64,
    pub refused: u64,
    /// Confirmed tickets that it solved, through feedback or otherwise.
    pub solved_tickets: u64,
}

/// Tells one piece of feedback on a decision from the others of a data directory; from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedbackId(pub u64);

impl FeedbackId {
    /// `None` for anything but a whole number from 1.
    pub fn parse(raw: &str) -> Option<Self> {
        raw.parse().ok().filter(|number| *number > 0).map(Self)
    }
}

impl fmt::Display for FeedbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was proposed for a field of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    pub value: String,
    /// 0 to 1.
    pub confidence: f32,
    pub route: Route,
    pub abstention: Option<Abstention>,
    /// The precision that the desk was promised of a value that may be filled in, 0.5 to 0.999.
    pub promised: Option<f64>,
}

/// A decision, as its handle brings it back.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedDecision {
    /// Tells this decision from any other.
    pub digest: [u8; 16],
    /// What the memory keeps of the ticket once somebody says what it was; with an id also where it came without one.
    pub ticket: ConfirmedTicket,
    pub proposals: BTreeMap<String, Proposal>,
    pub model: String,
    pub taxonomy: String,
}

/// What a field of a ticket turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldOutcome {
    pub field: String,
    /// The right value.
    pub value: String,
    /// `None` where nothing had been proposed.
    pub proposal: Option<Proposal>,
    /// `None` for a field that the model does not have.
    pub hindsight: Option<Hindsight>,
}

impl FieldOutcome {
    /// Whether something else had been proposed.
    pub fn is_correction(&self) -> bool {
        self.proposal.as_ref().is_some_and(|proposal| proposal.value != self.value)
    }
}

/// How model and confirmed tickets each saw the right value, before they knew it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Hindsight {
    /// The probability that the model gave it, 0 to 1.
    pub model_share: f32,
    /// The part of the votes that the confirmed tickets gave it, 0 to 1.
    pub memory_share: f32,
    /// What spoke for the confirmed tickets rather than the model, as a logit without the desk's own part.
    pub lean: f32,
    /// How far the confirmed tickets are enough to speak at all, 0 to 1.
    pub support: f32,
}

impl Hindsight {
    /// How much the confirmed tickets count beside the model, 0 to 1, where the desk's own part of the logit is `own`.
    pub fn memory_weight(self, own: f32) -> f32 {
        self.support / (1.0 + (-(own + self.lean)).exp())
    }

    /// What both together gave the right value, 0 to 1.
    pub fn blended(self, own: f32) -> f32 {
        let weight = self.memory_weight(own);
        (1.0 - weight) * self.model_share + weight * self.memory_share
    }
}

/// What somebody says a ticket was.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionFeedback {
    /// The same for what is said again.
    pub fingerprint: [u8; 32],
    /// Without labels.
    pub ticket: ConfirmedTicket,
    /// Who says so, as the client names it; not blank.
    pub source: String,
    /// Seconds since 1970.
    pub given_at: u64,
    /// What made the decision.
    pub model: String,
    pub taxonomy: String,
    /// At least one; each field once.
    pub outcomes: Vec<FieldOutcome>,
    /// What others said about tickets that are much alike, by who said it; each once.
    pub agreement: Vec<Agreement>,
}

/// How often others said the same, or something else, about tickets that are much alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agreement {
    /// Empty: what came with the tickets.
    pub source: String,
    pub agreed: u64,
    pub disagreed: u64,
}

/// What recording feedback on a decision did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackReceipt {
    pub id: FeedbackId,
    /// It was not recorded before.
    pub is_new: bool,
    /// The ticket became a confirmed one, or a label of it is new or another.
    pub memory_changed: bool,
    /// Fields that are recorded and not learnt from, because their source said too much within the hour.
    pub held_back: Vec<String>,
}

/// Feedback on a decision as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedbackRecord {
    pub id: FeedbackId,
    pub ticket_id: String,
    pub source: String,
    /// Seconds since 1970.
    pub given_at: u64,
    pub recorded_at: u64,
    pub withdrawn_at: Option<u64>,
    pub model: String,
    pub taxonomy: String,
    pub outcomes: Vec<KeptOutcome>,
}

/// An outcome as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptOutcome {
    pub outcome: FieldOutcome,
    /// It gives the confirmed ticket its label.
    pub counts: bool,
}
