//! A ticket as it comes in: parsed once, with every violation reported together.

use std::{collections::BTreeMap, ops::Range};

use crate::error::FieldViolation;

/// How long the parts of a ticket may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketLimits {
    pub summary_chars: usize,
    /// Summary and description together.
    pub text_bytes: usize,
}

impl Default for TicketLimits {
    fn default() -> Self {
        Self { summary_chars: 1_024, text_bytes: 64 << 10 }
    }
}

/// A ticket before it is checked.
#[derive(Debug, Clone, Default)]
pub struct TicketDraft {
    pub id: String,
    pub summary: String,
    pub description: String,
    pub requester: String,
    pub service: String,
    pub configuration_item: String,
    /// What the form already holds, by field name; blank values count as not given.
    pub field_values: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
}

/// A ticket whose summary or description holds text and whose parts are within their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    id: String,
    text: String,
    description_start: usize,
    requester: String,
    service: String,
    configuration_item: String,
    field_values: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
}

/// The part of a ticket that a piece of evidence stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TicketPart {
    Summary,
    Description,
}

pub(crate) const MAX_NAME_CHARS: usize = 256;
pub(crate) const MAX_VALUE_CHARS: usize = 1_024;
pub(super) const MAX_MAP_ENTRIES: usize = 64;

impl TicketDraft {
    /// Checks every part; `path` (such as `ticket.`) is put before the field names.
    pub fn parse(mut self, path: &str, limits: &TicketLimits) -> Result<Ticket, Vec<FieldViolation>> {
        self.field_values.retain(|_, value| !value.trim().is_empty());
        let violations = self.violations(path, limits);
        if !violations.is_empty() {
            return Err(violations);
        }
        let mut text = self.summary;
        if !text.is_empty() && !self.description.is_empty() {
            text.push('\n');
        }
        let description_start = text.len();
        text.push_str(&self.description);
        Ok(Ticket {
            id: self.id,
            text,
            description_start,
            requester: self.requester,
            service: self.service,
            configuration_item: self.configuration_item,
            field_values: self.field_values,
            attributes: self.attributes,
        })
    }

    fn violations(&self, path: &str, limits: &TicketLimits) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        let mut check = |broken: bool, field: &str, description: String| {
            if broken {
                violations.push(FieldViolation::new(format!("{path}{field}"), description));
            }
        };
        check(
            self.summary.trim().is_empty() && self.description.trim().is_empty(),
            "summary",
            "summary or description must hold text".to_owned(),
        );
        check(
            self.summary.chars().count() > limits.summary_chars,
            "summary",
            format!("must be at most {} characters", limits.summary_chars),
        );
        let bytes = self.summary.len() + self.description.len();
        check(
            bytes > limits.text_bytes,
            "description",
            format!("summary and description must be at most {} bytes together, are {bytes}", limits.text_bytes),
        );
        for (field, value) in [
            ("id", &self.id),
            ("requester", &self.requester),
            ("service", &self.service),
            ("configuration_item", &self.configuration_item),
        ] {
            let too_long = value.chars().count() > MAX_NAME_CHARS;
            check(too_long, field, format!("must be at most {MAX_NAME_CHARS} characters"));
        }
        for (field, map) in [("field_values", &self.field_values), ("attributes", &self.attributes)] {
            check(map.len() > MAX_MAP_ENTRIES, field, format!("must have at most {MAX_MAP_ENTRIES} entries"));
            for (key, value) in map.iter().take(MAX_MAP_ENTRIES) {
                let name: String = key.chars().take(MAX_NAME_CHARS).collect();
                let field = format!("{field}[{name}]");
                check(key.trim().is_empty(), &field, "the key must not be blank".to_owned());
                let long_key = key.chars().count() > MAX_NAME_CHARS;
                check(long_key, &field, format!("the key must be at most {MAX_NAME_CHARS} characters"));
                let long_value = value.chars().count() > MAX_VALUE_CHARS;
                check(long_value, &field, format!("must be at most {MAX_VALUE_CHARS} characters"));
            }
        }
        violations
    }
}

impl Ticket {
    /// As the client named it; may be empty.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Summary and description, joined by a newline where both hold text.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn requester(&self) -> &str {
        &self.requester
    }

    pub fn service(&self) -> &str {
        &self.service
    }

    pub fn configuration_item(&self) -> &str {
        &self.configuration_item
    }

    /// What the form holds for `field`.
    pub fn field_value(&self, field: &str) -> Option<&str> {
        self.field_values.get(field).map(String::as_str)
    }

    pub fn field_values(&self) -> &BTreeMap<String, String> {
        &self.field_values
    }

    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// The part of the ticket that holds this byte range of [`Self::text`], and the range within that part.
    /// A range that spans both parts is cut to the one it starts in.
    pub fn locate(&self, range: Range<usize>) -> (TicketPart, Range<usize>) {
        if range.start >= self.description_start {
            let shift = |at: usize| at - self.description_start;
            return (TicketPart::Description, shift(range.start)..shift(range.end));
        }
        let newline = usize::from(self.description_start < self.text.len());
        (TicketPart::Summary, range.start..range.end.min(self.description_start - newline))
    }

    /// The text of one part.
    pub fn part(&self, part: TicketPart) -> &str {
        match part {
            TicketPart::Summary => self.text[..self.description_start].trim_end_matches('\n'),
            TicketPart::Description => &self.text[self.description_start..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(summary: &str, description: &str) -> TicketDraft {
        TicketDraft { summary: summary.to_owned(), description: description.to_owned(), ..TicketDraft::default() }
    }

    fn violated_fields(draft: TicketDraft) -> Vec<String> {
        let violations = draft.parse("ticket.", &TicketLimits::default()).unwrap_err();
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn all_violations_are_reported_together() {
        let mut ticket = draft("  ", "\n");
        ticket.id = "x".repeat(300);
        ticket.attributes.insert("note".to_owned(), "y".repeat(2_000));
        assert_eq!(violated_fields(ticket), ["ticket.summary", "ticket.id", "ticket.attributes[note]"]);
    }

    #[test]
    fn the_limits_hold_from_both_sides() {
        let limits = TicketLimits { summary_chars: 4, text_bytes: 10 };
        assert!(draft("äöüß", "12").parse("", &limits).is_ok());
        assert!(draft("äöüßx", "").parse("", &limits).is_err());
        assert!(draft("ab", "123456789").parse("", &limits).is_err());
    }

    #[test]
    fn evidence_is_mapped_to_the_part_it_stands_in() {
        let check = |summary: &str, description: &str, word: &str, expected: TicketPart| {
            let ticket = draft(summary, description).parse("", &TicketLimits::default()).unwrap();
            let start = ticket.text().find(word).unwrap();
            let (part, range) = ticket.locate(start..start + word.len());
            assert_eq!((part, &ticket.part(part)[range]), (expected, word));
        };
        check("printer jam", "on floor two", "jam", TicketPart::Summary);
        check("printer jam", "on floor two", "on", TicketPart::Description);
        check("", "on floor two", "floor", TicketPart::Description);
        check("printer jam", "", "printer", TicketPart::Summary);

        let ticket = draft("printer jam", "on floor").parse("", &TicketLimits::default()).unwrap();
        assert_eq!(ticket.locate(8..14), (TicketPart::Summary, 8..11));
    }

    #[test]
    fn a_blank_form_value_counts_as_not_given() {
        let mut ticket = draft("x", "");
        ticket.field_values.insert("type".to_owned(), " ".to_owned());
        let ticket = ticket.parse("", &TicketLimits::default()).unwrap();
        assert_eq!(ticket.field_value("type"), None);
    }
}
