//! Which columns of a file of rows hold what of a confirmed ticket.

use serde::{Deserialize, Serialize};

use super::day::day_of_export;
use crate::{
    domain::{article::Day, memory::ConfirmedTicket, ticket::TicketLimits},
    rows::Row,
};

/// Of a value that is wrong so much is shown.
const MAX_SHOWN_CHARS: usize = 40;

/// The columns that a ticket is read from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TicketColumns {
    /// With the id; where a row has none, its number.
    pub id: String,
    /// With the text; with several, the first is the summary.
    pub text: Vec<String>,
    /// With the ids of the articles that solved the ticket; without it, tickets keep the links they have.
    pub articles: Option<String>,
    /// Each with the right value of the field of that name.
    pub labels: Vec<String>,
    pub resolution: Option<String>,
    pub service: Option<String>,
    pub configuration_item: Option<String>,
    /// With the day of the resolution, or a time of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_on: Option<String>,
}

impl TicketColumns {
    /// Every column that is named, but for the id's.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let Self { id: _, text, articles, labels, resolution, service, configuration_item, resolved_on } = self;
        let optional = [articles, resolution, service, configuration_item, resolved_on].into_iter().flatten();
        text.iter().chain(labels).chain(optional).map(String::as_str)
    }

    /// Those of them that hold one value and not a part of the text: a file must not have them twice.
    pub fn of_one_value(&self) -> impl Iterator<Item = &str> {
        self.named().skip(self.text.len())
    }

    /// The ticket of a row; what is wrong with it where it cannot be kept.
    pub fn ticket(&self, row: &Row, limits: &TicketLimits) -> Result<ConfirmedTicket, String> {
        let Self { id, text, articles, labels, resolution, service, configuration_item, resolved_on } = self;
        let (mut summary, mut description) = (String::new(), row.text(text));
        if description.trim().is_empty() {
            return Err(format!("no text in {}", text.join(", ")));
        }
        if let [first, others @ ..] = text.as_slice()
            && !others.is_empty()
            && let Some(value) = row.value(first)
            // What is no line is no summary.
            && !value.trim().contains('\n')
            && value.trim().chars().count() <= limits.summary_chars
        {
            (summary, description) = (value.trim().to_owned(), row.text(others));
        }
        let optional =
            |column: &Option<String>| column.as_ref().and_then(|column| row.label(column)).unwrap_or_default();
        let ticket = ConfirmedTicket {
            id: row.id(id),
            summary,
            description,
            service: optional(service),
            configuration_item: optional(configuration_item),
            labels: labels.iter().filter_map(|column| Some((column.clone(), row.label(column)?))).collect(),
            resolution: optional(resolution),
            articles: articles.as_ref().map(|column| row.list(column)).unwrap_or_default().into_iter().collect(),
            resolved_on: resolved_on.as_deref().map_or(Ok(None), |column| resolution_day(row, column))?,
            ..ConfirmedTicket::default()
        };
        let violations = ticket.violations("", limits);
        if violations.is_empty() {
            return Ok(ticket);
        }
        Err(violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// The day that this column holds; `None` where it holds nothing.
fn resolution_day(row: &Row, column: &str) -> Result<Option<Day>, String> {
    let Some(raw) = row.label(column) else { return Ok(None) };
    let problem = || {
        let shown: String = raw.chars().take(MAX_SHOWN_CHARS).collect();
        format!("{column}: `{shown}` is no day: expected 2026-03-31, or a time such as 2026-03-31T09:15:00Z")
    };
    day_of_export(&raw).map(Some).ok_or_else(problem)
}
