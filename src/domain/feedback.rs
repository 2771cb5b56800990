//! Feedback on suggested articles: what became of one of them, for which ticket, and what came of it in all.

use super::memory::ConfirmedTicket;

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
