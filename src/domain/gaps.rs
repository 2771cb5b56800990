//! What the knowledge base lacks: groups of recent tickets that no article answers, and articles that do no good.

use super::{
    article::{ArticleKind, ArticleStatus, Day},
    feedback::ArticleUsage,
};
use crate::error::FieldViolation;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapQuery {
    /// Tickets that were resolved earlier are not looked at; those of no known day always are.
    pub since: Day,
    /// Most clusters in the report.
    pub top: usize,
    /// Most tickets that are looked at, those that changed last.
    pub tickets: usize,
}

impl GapQuery {
    /// Days before today that count as recent where nobody says otherwise.
    pub const DEFAULT_DAYS: u32 = 90;
    pub const DEFAULT_TOP: usize = 20;
    pub const MAX_TOP: usize = 100;
    /// What is kept of so many takes about 100 MB while the report is made.
    pub const MAX_TICKETS: usize = 20_000;

    /// Every rule the query breaks.
    pub fn violations(&self, today: Day) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        if self.since > today {
            violations.push(FieldViolation::new("since", format!("must not be in the future; today is {today}")));
        }
        for (count, most, field) in [(self.top, Self::MAX_TOP, "top"), (self.tickets, Self::MAX_TICKETS, "tickets")] {
            if !(1..=most).contains(&count) {
                violations.push(FieldViolation::new(field, format!("must be 1 to {most}, is {count}")));
            }
        }
        violations
    }
}

/// What was found, on one state of memory and knowledge base.
#[derive(Debug, Clone, PartialEq)]
pub struct GapReport {
    pub since: Day,
    pub tickets: LookedAt,
    /// Most tickets first.
    pub clusters: Vec<GapCluster>,
    /// Clusters found, those beyond the report's length included.
    pub clusters_total: u64,
    pub articles: ArticleFindings,
}

/// Which tickets the clusters are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookedAt {
    /// Tickets of the time asked for.
    pub looked_at: u64,
    /// Of these, those of no known day.
    pub undated: u64,
    /// Of these, those that no article answers.
    pub unanswered: u64,
    /// Of the unanswered, those that are in a cluster.
    pub clustered: u64,
    /// There are more tickets of the time asked for than were looked at.
    pub is_cut: bool,
}

/// Tickets about one thing that no article answers.
#[derive(Debug, Clone, PartialEq)]
pub struct GapCluster {
    pub tickets: u64,
    /// Of the tickets whose day is known.
    pub first_seen: Option<Day>,
    pub last_seen: Option<Day>,
    /// Words and phrases that tell these tickets from the others, as people wrote them, most telling first.
    pub terms: Vec<String>,
    /// The most typical tickets, most typical first, each with another summary.
    pub examples: Vec<GapExample>,
    /// Ids of the most typical tickets, most typical first; at most [`Self::MAX_TICKET_IDS`].
    pub ticket_ids: Vec<String>,
    /// The article that would be suggested first for most of them, where that is a third or more.
    pub nearest: Option<NearestArticle>,
    /// Articles that solved some of them and are not in force, most tickets first.
    pub named: Vec<NamedArticle>,
    /// The most frequent category and assignment group, as far as tickets have such.
    pub labels: Vec<TypicalLabel>,
    /// How like the tickets are to one another on average, 0 to 1.
    pub likeness: f32,
}

impl GapCluster {
    pub const MAX_EXAMPLES: usize = 3;
    pub const MAX_TICKET_IDS: usize = 100;
    pub const MAX_TERMS: usize = 8;
    pub const MAX_NAMED: usize = 5;
}

/// A ticket of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapExample {
    pub id: String,
    pub summary: String,
}

/// An article that comes near what a cluster asks.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestArticle {
    pub id: String,
    pub title: String,
    /// For so many of the tickets it is the first suggestion.
    pub tickets: u64,
}

/// An article that solved tickets and is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedArticle {
    pub id: String,
    /// Empty where there is no such article.
    pub title: String,
    pub standing: Standing,
    pub tickets: u64,
}

/// Why an article does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The knowledge base does not hold it.
    Missing,
    Draft,
    Retired,
    /// Its last day is past.
    Expired,
}

impl Standing {
    pub const ALL: [Self; 4] = [Self::Missing, Self::Draft, Self::Retired, Self::Expired];

    /// `None` for an article that is in force on that day.
    pub fn of(status: ArticleStatus, valid_until: Option<Day>, today: Day) -> Option<Self> {
        match status {
            ArticleStatus::Draft => Some(Self::Draft),
            ArticleStatus::Retired => Some(Self::Retired),
            ArticleStatus::Published => valid_until.filter(|last| *last < today).map(|_| Self::Expired),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Draft => "draft",
            Self::Retired => "retired",
            Self::Expired => "expired",
        }
    }
}

/// The value that most tickets of a cluster have in a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypicalLabel {
    pub field: String,
    pub value: String,
    /// Tickets with this value.
    pub tickets: u64,
    /// Tickets with any value in the field.
    pub labelled: u64,
}

/// Articles to look at; of each list the first [`Self::MAX_LISTED`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArticleFindings {
    /// Articles that the knowledge base holds.
    pub articles: u64,
    /// In force, first to third suggestion for none of the tickets looked at, without a link to any confirmed ticket
    /// and without feedback; in the order of their ids.
    pub never_suggested: Listed<ArticleFinding>,
    /// In force, without a ticket that it solved, and refused or shown as feedback says, or passed over for
    /// [`Self::PASSED_OVER`] tickets; the most refused first, then the most offered.
    pub never_helpful: Listed<ArticleFinding>,
    /// Published, and past their last day; those that solved most first.
    pub expired: Listed<ArticleFinding>,
    /// In force with nearly the same text, most alike first.
    pub near_duplicates: Listed<NearDuplicates>,
    /// Articles that near-duplicates were looked for among.
    pub compared: u64,
}

impl ArticleFindings {
    pub const MAX_LISTED: usize = 100;
    /// For so many tickets an article may be among the first three, and others solve them, before that is worth a look.
    pub const PASSED_OVER: u64 = 10;
}

/// The first of a list, and how long the whole one is.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    pub first: Vec<T>,
    pub total: u64,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { first: Vec::new(), total: 0 }
    }
}

impl<T> From<Vec<T>> for Listed<T> {
    /// The first [`ArticleFindings::MAX_LISTED`].
    fn from(mut all: Vec<T>) -> Self {
        let total = all.len() as u64;
        all.truncate(ArticleFindings::MAX_LISTED);
        Self { first: all, total }
    }
}

/// An article to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArticleFinding {
    pub id: String,
    pub title: String,
    pub kind: ArticleKind,
    pub valid_until: Option<Day>,
    /// Tickets looked at that it is among the first three suggestions for.
    pub suggested: u64,
    /// Of these, those that other articles solved and it did not.
    pub passed_over: u64,
    /// What feedback and links say of it, since they are counted.
    pub usage: ArticleUsage,
}

/// Two articles with nearly the same text.
#[derive(Debug, Clone, PartialEq)]
pub struct NearDuplicates {
    pub first: ArticleName,
    pub second: ArticleName,
    /// The part of their stretches of words that both hold, 0 to 1.
    pub similarity: f32,
}

/// An article as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArticleName {
    pub id: String,
    pub title: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(raw: &str) -> Day {
        Day::parse(raw).unwrap()
    }

    #[test]
    fn a_query_is_bounded_and_of_the_past() {
        let today = day("2026-06-15");
        for (since, top, tickets, expected) in [
            ("2026-06-15", 1, 1, &[][..]),
            ("0001-01-01", GapQuery::MAX_TOP, GapQuery::MAX_TICKETS, &[]),
            ("2026-06-16", 0, 0, &["since", "top", "tickets"]),
            ("2026-01-01", GapQuery::MAX_TOP + 1, GapQuery::MAX_TICKETS + 1, &["top", "tickets"]),
        ] {
            let violations = GapQuery { since: day(since), top, tickets }.violations(today);
            assert_eq!(violations.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), expected, "{since}");
        }
    }

    #[test]
    fn an_article_is_in_force_or_says_why_not() {
        let today = day("2026-06-15");
        for (status, valid_until, expected) in [
            (ArticleStatus::Published, None, None),
            (ArticleStatus::Published, Some("2026-06-15"), None),
            (ArticleStatus::Published, Some("2026-06-14"), Some(Standing::Expired)),
            (ArticleStatus::Draft, None, Some(Standing::Draft)),
            (ArticleStatus::Retired, Some("2026-06-14"), Some(Standing::Retired)),
        ] {
            assert_eq!(Standing::of(status, valid_until.map(day), today), expected);
        }
    }

    #[test]
    fn a_long_list_says_how_long_it_is() {
        let listed = Listed::from((0..250).collect::<Vec<_>>());
        assert_eq!((listed.first.len(), listed.total), (ArticleFindings::MAX_LISTED, 250));
    }
}
