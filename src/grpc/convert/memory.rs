//! Confirmed tickets and what is like them, between wire and domain.

use std::collections::BTreeSet;

use super::{at_most, both, passage, ticket, wire_evidence};
use crate::{
    domain::{
        article::Day,
        memory::{ConfirmedTicket, SimilarTicket},
        ticket::{Ticket, TicketLimits},
    },
    error::{FieldViolation, TriageError},
    pb,
    triage::TriageOptions,
};

pub(in crate::grpc) fn similar_request(
    request: pb::FindSimilarTicketsRequest,
    limits: &TicketLimits,
) -> Result<(Ticket, usize), TriageError> {
    let pb::FindSimilarTicketsRequest { ticket: raw, top_n } = request;
    both(ticket(raw, limits), at_most(top_n, "top_n", TriageOptions::DEFAULT_TOP_N, TriageOptions::MAX_TOP_N))
}

/// A confirmed ticket with every violation reported; field names start with `path`.
pub(in crate::grpc) fn confirmed_ticket(
    ticket: pb::ConfirmedTicket,
    path: &str,
    limits: &TicketLimits,
) -> Result<ConfirmedTicket, Vec<FieldViolation>> {
    let pb::ConfirmedTicket {
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
    } = ticket;
    let mut violations = Vec::new();
    let day = Day::parse(&resolved_on);
    if day.is_none() && !resolved_on.is_empty() {
        let problem = format!("`{resolved_on}` is not a date, expected YYYY-MM-DD");
        violations.push(FieldViolation::new(format!("{path}resolved_on"), problem));
    }
    let mut set = |ids: Vec<String>, field: &str| {
        let count = ids.len();
        let set: BTreeSet<String> = ids.into_iter().collect();
        if set.len() < count {
            violations.push(FieldViolation::new(format!("{path}{field}"), "must name each article once"));
        }
        set
    };
    let ticket = ConfirmedTicket {
        id,
        summary,
        description,
        service,
        configuration_item,
        labels: labels.into_iter().collect(),
        resolution,
        articles: set(articles, "articles"),
        refused: set(refused, "refused"),
        resolved_on: day,
        ..ConfirmedTicket::default()
    };
    violations.extend(ticket.violations(path, limits));
    if violations.is_empty() { Ok(ticket) } else { Err(violations) }
}

pub(in crate::grpc) fn wire_confirmed_ticket(ticket: ConfirmedTicket) -> pb::ConfirmedTicket {
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
        voices: _,
    } = ticket;
    pb::ConfirmedTicket {
        id,
        summary,
        description,
        service,
        configuration_item,
        labels: labels.into_iter().collect(),
        resolution,
        articles: articles.into_iter().collect(),
        refused: refused.into_iter().collect(),
        resolved_on: resolved_on.map(|day| day.to_string()).unwrap_or_default(),
    }
}

pub(in crate::grpc) fn similar_ticket(ticket: SimilarTicket) -> pb::SimilarTicket {
    let SimilarTicket { id, summary, similarity, labels, articles, resolution, resolved_on, shared } = ticket;
    pb::SimilarTicket {
        id,
        summary,
        similarity,
        labels: labels.into_iter().collect(),
        articles,
        resolution: (!resolution.text.is_empty()).then(|| passage(resolution)),
        resolved_on: resolved_on.map(|day| day.to_string()).unwrap_or_default(),
        shared: shared.into_iter().map(wire_evidence).collect(),
    }
}
