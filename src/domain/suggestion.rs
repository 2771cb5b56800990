//! Why an article is suggested.

/// What kind of reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonKind {
    /// It solved tickets like this one.
    SolvedSimilar,
    /// Ticket and article share words.
    SharedWords,
    /// Both are about the same product, service or configuration item.
    SameProduct,
    /// Both are of the same category.
    SameCategory,
    /// A known error, for a ticket that is an incident.
    KnownError,
}

impl ReasonKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SolvedSimilar => "solved_similar",
            Self::SharedWords => "shared_words",
            Self::SameProduct => "same_product",
            Self::SameCategory => "same_category",
            Self::KnownError => "known_error",
        }
    }
}

/// One reason for a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub kind: ReasonKind,
    /// For people, such as “solved 7 similar tickets”.
    pub text: String,
    /// What it names: of `SolvedSimilar` the ids of at most [`Reason::MAX_TICKETS`] tickets, most alike first; of
    /// `SharedWords` the words; else the name that both share.
    pub values: Vec<String>,
}

impl Reason {
    pub const MAX_TICKETS: usize = 3;

    /// The article solved these similar tickets, most alike first.
    pub fn solved_similar(tickets: &[String]) -> Self {
        let text = match tickets.len() {
            1 => "solved a similar ticket".to_owned(),
            count => format!("solved {count} similar tickets"),
        };
        let values = tickets.iter().take(Self::MAX_TICKETS).cloned().collect();
        Self { kind: ReasonKind::SolvedSimilar, text, values }
    }

    pub fn shared_words(words: Vec<String>) -> Self {
        let quoted: Vec<_> = words.iter().map(|word| format!("“{word}”")).collect();
        Self { kind: ReasonKind::SharedWords, text: format!("shares {}", quoted.join(", ")), values: words }
    }

    pub fn same_product(name: &str) -> Self {
        Self { kind: ReasonKind::SameProduct, text: format!("is about {name} too"), values: vec![name.to_owned()] }
    }

    pub fn same_category(name: &str) -> Self {
        let text = format!("is of the same category, {name}");
        Self { kind: ReasonKind::SameCategory, text, values: vec![name.to_owned()] }
    }

    pub fn known_error() -> Self {
        let text = "is a known error, and the ticket an incident".to_owned();
        Self { kind: ReasonKind::KnownError, text, values: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_sentences() {
        let ids: Vec<_> = (1..=7).map(|number| format!("INC{number}")).collect();
        let seven = Reason::solved_similar(&ids);
        assert_eq!((seven.text.as_str(), seven.values.len()), ("solved 7 similar tickets", Reason::MAX_TICKETS));
        assert_eq!(Reason::solved_similar(&ids[..1]).text, "solved a similar ticket");
        assert_eq!(Reason::shared_words(vec!["vpn".into(), "809".into()]).text, "shares “vpn”, “809”");
    }
}
