//! Confirmed tickets, from which the desk's own experience is read: what a ticket was, and what solved it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Range,
};

use super::{
    article::{Article, Day, Passage},
    decision::Evidence,
    steering::steers,
    ticket::{MAX_MAP_ENTRIES, MAX_NAME_CHARS, MAX_VALUE_CHARS, TicketLimits},
};
use crate::error::FieldViolation;

/// A ticket that is resolved or was corrected by an analyst, so that its labels and articles are right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfirmedTicket {
    /// As the desk names it.
    pub id: String,
    pub summary: String,
    pub description: String,
    pub service: String,
    pub configuration_item: String,
    /// The right value of each field that is known.
    pub labels: BTreeMap<String, String>,
    /// What was done, in the analyst's words; may be empty.
    pub resolution: String,
    /// Ids of the articles that solved it, whether or not the knowledge base holds them.
    pub articles: BTreeSet<String>,
    /// Ids of articles that were offered and were of no use.
    pub refused: BTreeSet<String>,
    pub resolved_on: Option<Day>,
    /// By field, who said that its label is right, where that came as feedback and not with the ticket.
    pub voices: BTreeMap<String, Voice>,
}

/// Who said that a label is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// As the client names it.
    pub source: String,
    /// Something else had been proposed.
    pub corrected: bool,
}

impl ConfirmedTicket {
    pub const MAX_ARTICLES: usize = 64;
    /// Longest resolution, in bytes.
    pub const MAX_RESOLUTION_BYTES: usize = 64 << 10;

    /// Every rule the ticket breaks; `path` is put before the field names.
    pub fn violations(&self, path: &str, limits: &TicketLimits) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        let mut check = |broken: bool, field: &str, description: String| {
            if broken {
                violations.push(FieldViolation::new(format!("{path}{field}"), description));
            }
        };
        check(self.id.trim().is_empty(), "id", "must not be blank".to_owned());
        check(
            self.id.chars().any(|c| steers(c) || matches!(c, '\n' | '\t')),
            "id",
            "must hold no control or invisible characters".to_owned(),
        );
        let has_text = !self.summary.trim().is_empty() || !self.description.trim().is_empty();
        check(!has_text, "summary", "summary or description must hold text".to_owned());
        let (most, bytes) = (limits.text_bytes, self.summary.len() + self.description.len());
        check(
            bytes > most,
            "description",
            format!("summary and description must be at most {most} bytes together, are {bytes}"),
        );
        let (most, bytes) = (Self::MAX_RESOLUTION_BYTES, self.resolution.len());
        check(bytes > most, "resolution", format!("must be at most {most} bytes, is {bytes}"));
        for (text, longest, field) in [
            (&self.id, MAX_NAME_CHARS, "id"),
            (&self.summary, limits.summary_chars, "summary"),
            (&self.service, MAX_NAME_CHARS, "service"),
            (&self.configuration_item, MAX_NAME_CHARS, "configuration_item"),
        ] {
            check(text.chars().count() > longest, field, format!("must be at most {longest} characters"));
        }
        let most = MAX_MAP_ENTRIES;
        check(self.labels.len() > most, "labels", format!("must have at most {most} entries"));
        for (name, value) in self.labels.iter().take(most) {
            let field = format!("labels[{}]", name.chars().take(MAX_NAME_CHARS).collect::<String>());
            check(name.trim().is_empty(), &field, "the key must not be blank".to_owned());
            check(value.trim().is_empty(), &field, "must not be blank".to_owned());
            check(
                [name, value].into_iter().any(|text| text.chars().any(|c| steers(c) || matches!(c, '\n' | '\t'))),
                &field,
                "must hold no control or invisible characters".to_owned(),
            );
            let too_long = name.chars().count() > MAX_NAME_CHARS || value.chars().count() > MAX_VALUE_CHARS;
            check(
                too_long,
                &field,
                format!("the key must be at most {MAX_NAME_CHARS} characters, the value {MAX_VALUE_CHARS}"),
            );
        }
        for (ids, field) in [(&self.articles, "articles"), (&self.refused, "refused")] {
            let most = Self::MAX_ARTICLES;
            check(ids.len() > most, field, format!("must be at most {most}, are {}", ids.len()));
            let fits = |id: &String| !id.trim().is_empty() && id.chars().count() <= Article::MAX_ID_CHARS;
            let longest = Article::MAX_ID_CHARS;
            check(
                !ids.iter().all(fits),
                field,
                format!("each must be the id of an article, 1 to {longest} characters"),
            );
        }
        if let Some(both) = self.articles.intersection(&self.refused).next() {
            check(true, "refused", format!("`{both}` also stands in articles: it solved the ticket or it did not"));
        }
        violations
    }

    /// Summary and description, joined by a newline where both hold text.
    pub fn text(&self) -> String {
        let parts = [self.summary.as_str(), &self.description];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Bytes of all its text, for bounds on memory.
    pub fn text_bytes(&self) -> usize {
        let parts = [&self.id, &self.summary, &self.description, &self.service, &self.configuration_item];
        let labels = self.labels.iter().flat_map(|(name, value)| [name, value]);
        let links = self.articles.iter().chain(&self.refused);
        parts.into_iter().chain([&self.resolution]).chain(labels).chain(links).map(String::len).sum()
    }
}

/// How often an article solved a ticket, and how often it was of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounts {
    pub solved: u64,
    pub refused: u64,
}

/// A confirmed ticket that is like another text.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    pub id: String,
    /// 0 for nothing in common to 1 for the same words in the same pairs.
    pub similarity: f32,
    /// Ids of the articles that solved it, in order.
    pub articles: Vec<String>,
    /// Ids of the articles that were of no use to it, in order.
    pub refused: Vec<String>,
    /// What both have in common, weightiest first; not overlapping.
    pub shared: Vec<SharedText>,
}

/// A stretch of the asking text that a neighbour holds too.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedText {
    /// UTF-8 bytes within the asking text.
    pub bytes: Range<usize>,
    /// Its part of the similarity.
    pub weight: f32,
}

/// A confirmed ticket as it is shown beside the ticket that it is like.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarTicket {
    pub id: String,
    pub summary: String,
    /// As [`Neighbour::similarity`].
    pub similarity: f32,
    pub labels: BTreeMap<String, String>,
    /// Ids of the articles that solved it, in order.
    pub articles: Vec<String>,
    /// The stretch of the resolution that fits best; empty where there is no resolution.
    pub resolution: Passage,
    pub resolved_on: Option<Day>,
    /// The words and phrases of the asking ticket that both hold, weightiest first.
    pub shared: Vec<Evidence>,
}

/// Leaves of tickets with the same id the last one: of two the later counts, and what is written over at once need not
/// be written.
pub fn keep_last_of_each(tickets: &mut Vec<ConfirmedTicket>) {
    let mut later = HashSet::new();
    let mut is_last: Vec<bool> = tickets.iter().rev().map(|ticket| later.insert(ticket.id.as_str())).collect();
    tickets.retain(|_| is_last.pop().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violated_fields(ticket: &ConfirmedTicket) -> Vec<String> {
        ticket.violations("", &TicketLimits::default()).into_iter().map(|violation| violation.field).collect()
    }

    fn ids<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
        ids.map(str::to_owned).into()
    }

    #[test]
    fn a_blank_ticket_breaks_two_rules() {
        let fields = ConfirmedTicket { description: " \n".into(), ..ConfirmedTicket::default() };
        assert_eq!(violated_fields(&fields), ["id", "summary"]);
    }

    #[test]
    fn every_part_of_a_ticket_has_its_limit() {
        let name = "ä".repeat(256);
        let longest = ConfirmedTicket {
            id: name.clone(),
            summary: "ä".repeat(1_024),
            description: "d".repeat((64 << 10) - 2_048),
            service: name.clone(),
            configuration_item: name.clone(),
            labels: (0..64).map(|number| (format!("{number:0256}"), "ä".repeat(1_024))).collect(),
            resolution: "r".repeat(64 << 10),
            articles: (0..64).map(|number| format!("{number:0256}")).collect(),
            refused: ids(["x"]),
            resolved_on: Day::parse("2026-01-31"),
            voices: BTreeMap::new(),
        };
        assert_eq!(longest.violations("", &TicketLimits::default()), []);
        let more = |text: &str| format!("{text}x");
        let longer = ConfirmedTicket {
            id: more(&name),
            summary: more(&longest.summary),
            description: more(&longest.description),
            service: more(&name),
            configuration_item: more(&name),
            labels: longest.labels.clone().into_iter().chain([("x".into(), "y".into())]).collect(),
            resolution: more(&longest.resolution),
            articles: longest.articles.iter().cloned().chain(["x".to_owned()]).collect(),
            refused: ids(["", "y"]),
            resolved_on: None,
            voices: BTreeMap::new(),
        };
        let expected = [
            "description",
            "resolution",
            "id",
            "summary",
            "service",
            "configuration_item",
            "labels",
            "articles",
            "refused",
        ];
        assert_eq!(violated_fields(&longer), expected);
        let labels = [("a", ""), ("b", "x"), (" ", "y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(violated_fields(&ConfirmedTicket { labels: labels.into(), ..longest }), ["labels[ ]", "labels[a]"]);
    }

    #[test]
    fn an_article_solved_a_ticket_or_was_refused() {
        let ticket = ConfirmedTicket {
            id: "1".into(),
            summary: "s".into(),
            articles: ids(["a", "b"]),
            refused: ids(["b"]),
            ..ConfirmedTicket::default()
        };
        let violations = ticket.violations("tickets[3].", &TicketLimits::default());
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "tickets[3].refused");
        assert!(violations[0].description.contains("`b`"));
    }

    #[test]
    fn all_text_counts_towards_the_size() {
        let ticket = ConfirmedTicket {
            id: "1".into(),
            summary: "22".into(),
            description: "333".into(),
            labels: BTreeMap::from([("4444".into(), "5".into())]),
            articles: ids(["66"]),
            ..ConfirmedTicket::default()
        };
        assert_eq!((ticket.text_bytes(), ticket.text().as_str()), (13, "22\n333"));
    }
}
