//! A confirmed ticket's labels under what feedback said of them: of each field the latest word counts, a ticket that
//! comes again with another label than before included. What is below is kept, so that feedback can be withdrawn as if
//! it never was.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Map, Value, json};

use super::{
    changes::{ContentHash, closed, closed_or_null},
    decision_feedback,
};
use crate::domain::memory::{ConfirmedTicket, Voice};

type Labels = BTreeMap<String, String>;

/// A ticket as it is kept.
pub(super) struct Overlaid {
    /// With the labels that count, and who said so.
    pub ticket: ConfirmedTicket,
    /// The labels it has without feedback; `None` where it stands here for feedback alone.
    pub own_labels: Option<Labels>,
    /// Fields whose label came anew with the ticket, so that older feedback counts no more.
    pub superseded: Vec<String>,
}

impl Overlaid {
    /// The ticket as it comes, under what was said about it before.
    pub(super) fn of(connection: &Connection, ticket: &ConfirmedTicket) -> rusqlite::Result<Self> {
        let known = known_labels(connection, &ticket.id)?;
        let (mut own_labels, mut superseded) = (Labels::new(), Vec::new());
        for (field, label) in &ticket.labels {
            let own = known.as_ref().and_then(|known| known.own.as_ref()?.get(field));
            let is_what_counts = known.as_ref().is_some_and(|known| known.counting.get(field) == Some(label));
            if own == Some(label) || !is_what_counts {
                own_labels.insert(field.clone(), label.clone());
            } else if let Some(own) = own {
                own_labels.insert(field.clone(), own.clone());
            }
            if own != Some(label) && !is_what_counts {
                superseded.push(field.clone());
            }
        }
        Self::under_feedback(connection, ticket, Some(own_labels), superseded)
    }

    /// The ticket that is kept, or where there is none `otherwise`, under what is said about it now.
    pub(super) fn anew(
        connection: &Connection,
        kept: Option<ConfirmedTicket>,
        otherwise: &ConfirmedTicket,
    ) -> rusqlite::Result<Self> {
        let Some(kept) = kept else { return Self::under_feedback(connection, otherwise, None, Vec::new()) };
        let own = known_labels(connection, &kept.id)?.and_then(|known| known.own);
        Self::under_feedback(connection, &kept, own, Vec::new())
    }

    fn under_feedback(
        connection: &Connection,
        ticket: &ConfirmedTicket,
        own_labels: Option<Labels>,
        superseded: Vec<String>,
    ) -> rusqlite::Result<Self> {
        let mut ticket = ticket.clone();
        ticket.labels = own_labels.clone().unwrap_or_default();
        ticket.voices.clear();
        for said in decision_feedback::said_of(connection, &ticket.id)? {
            if !superseded.contains(&said.field) {
                ticket.labels.insert(said.field.clone(), said.value);
                ticket.voices.insert(said.field, said.voice);
            }
        }
        Ok(Self { ticket, own_labels, superseded })
    }

    pub(super) fn content_hash(&self) -> [u8; 32] {
        content_hash(&self.ticket, self.own_labels.is_some())
    }

    /// Whether nothing speaks for keeping it.
    pub(super) fn is_empty(&self) -> bool {
        self.own_labels.is_none() && self.ticket.voices.is_empty()
    }
}

struct KnownLabels {
    counting: Labels,
    own: Option<Labels>,
}

fn known_labels(connection: &Connection, id: &str) -> rusqlite::Result<Option<KnownLabels>> {
    let labels = |raw: &str| serde_json::from_str(raw).ok();
    connection
        .prepare_cached("SELECT labels, own_labels FROM memory_tickets WHERE id = ?1")?
        .query_row([id], |row| {
            Ok(KnownLabels {
                counting: closed(row, "labels", labels)?,
                own: closed_or_null(row, "own_labels", labels)?,
            })
        })
        .optional()
}

pub(super) fn voices_to_json(voices: &BTreeMap<String, Voice>) -> rusqlite::Result<String> {
    let voices: Map<String, Value> = voices
        .iter()
        .map(|(field, Voice { source, corrected })| (field.clone(), json!({"source": source, "corrected": corrected})))
        .collect();
    serde_json::to_string(&voices).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn voices_from_json(raw: &str) -> Option<BTreeMap<String, Voice>> {
    let voices: Map<String, Value> = serde_json::from_str(raw).ok()?;
    let voice = |(field, voice): (String, Value)| {
        let source = voice.get("source")?.as_str()?.to_owned();
        Some((field, Voice { source, corrected: voice.get("corrected")?.as_bool()? }))
    };
    voices.into_iter().map(voice).collect()
}

/// Over everything that is kept of a ticket.
fn content_hash(ticket: &ConfirmedTicket, is_own: bool) -> [u8; 32] {
    let ConfirmedTicket {
        id,
        summary,
        description,
        service,
        configuration_item,
        labels,
        resolution,
        articles,
        refused,
        resolved_on,
        voices,
    } = ticket;
    let mut hash = ContentHash::default();
    for text in [id, summary, description, service, configuration_item, resolution] {
        hash.part(text);
    }
    hash.part(&resolved_on.map(|day| day.to_string()).unwrap_or_default());
    // With the lengths of the lists, so that an entry moved from one to the next is another content.
    hash.part(&format!("{} {}", labels.len(), articles.len()));
    for text in labels.iter().flat_map(|(name, value)| [name, value]).chain(articles).chain(refused) {
        hash.part(text);
    }
    // Nothing more for tickets that nobody said anything about: their hashes stay what they were.
    for (field, Voice { source, corrected }) in voices {
        hash.part(&format!("{field} {corrected}"));
        hash.part(source);
    }
    if !is_own {
        hash.part("for feedback alone");
    }
    hash.finish()
}
