//! Wire to domain and back. Messages are taken apart field by field, so that a new one stops the build.

mod answers;
mod article;
mod feedback;
mod gaps;
mod jobs;
mod memory;
mod models;
mod taxonomy;

pub(super) use self::answers::{answer_request, answer_response};
pub(super) use self::article::{
    article, article_text, article_version, asked_status, domain_article, known_section, list_filter, wire_article,
    wire_section,
};
pub(super) use self::feedback::{
    article_event, article_feedback, article_usage, feedback_filter, feedback_record, field_verdict, tally, trust_days,
    trust_report, unknown_value,
};
pub(super) use self::gaps::{domain_gap_report, gap_query, gap_report};
pub(super) use self::jobs::{
    AskedJob, asked_import, asked_job, diff, import_spec, job, job_ticket, reclassification_spec, result_filter,
    ticket_result, undo_outcome,
};
pub(super) use self::memory::{confirmed_ticket, similar_request, similar_ticket, wire_confirmed_ticket};
pub(super) use self::models::{
    activation, activation_token, asked_activation, asked_comparison, asked_model_import, asked_rollback,
    asked_training, comparison, domain_training, model, training_spec, verdict, version,
};
pub(super) use self::taxonomy::{
    asked_changes, asked_document, asked_version, outcome, revision, taxonomy, taxonomy_version, wire_change,
};
use std::ops::Range;

use crate::{
    config::Limits,
    domain::{
        article::{ArticleHit, ArticleKind, ArticleStatus, FoundArticle, Passage},
        decision::{
            Abstention, Candidate, Evidence, FieldDecision, FieldWitness, PriorityDecision, TriageDecision,
            ValueSource, Versions,
        },
        route::{Precision, Route, RouteSetting},
        sla::SlaTarget,
        suggestion::{Reason, ReasonKind},
        taxonomy::Label,
        ticket::{Ticket, TicketDraft, TicketLimits, TicketPart},
    },
    error::{FieldViolation, TriageError},
    pb,
    triage::{FieldOverview, TriageOptions},
};

/// More than there are: a longer list is a mistake, and naming each of its entries would be another.
const MAX_FEATURES: usize = 16;
/// Kinds or statuses in a filter.
const MAX_FILTER: usize = 16;

/// Ticket and options of a call, with all violations together.
pub(super) fn triage_request(
    request: pb::TriageTicketRequest,
    limits: &TicketLimits,
) -> Result<(Ticket, TriageOptions), TriageError> {
    let pb::TriageTicketRequest { ticket: raw, features, top_n } = request;
    both(ticket(raw, limits), options(&features, top_n))
}

pub(super) fn suggest_request(
    request: pb::SuggestArticlesRequest,
    limits: &TicketLimits,
) -> Result<(Ticket, usize), TriageError> {
    let pb::SuggestArticlesRequest { ticket: raw, top_n } = request;
    both(ticket(raw, limits), at_most(top_n, "top_n", TriageOptions::DEFAULT_TOP_N, TriageOptions::MAX_TOP_N))
}

/// Both values, or the violations of both.
pub(super) fn both<A, B>(
    first: Result<A, Vec<FieldViolation>>,
    second: Result<B, Vec<FieldViolation>>,
) -> Result<(A, B), TriageError> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => {
            let violations = first.err().into_iter().chain(second.err()).flatten();
            Err(TriageError::InvalidRequest(violations.collect()))
        }
    }
}

pub(super) fn ticket(ticket: Option<pb::Ticket>, limits: &TicketLimits) -> Result<Ticket, Vec<FieldViolation>> {
    let Some(ticket) = ticket else { return Err(vec![FieldViolation::new("ticket", "must be set")]) };
    draft(ticket).parse("ticket.", limits)
}

fn draft(ticket: pb::Ticket) -> TicketDraft {
    let pb::Ticket { id, summary, description, requester, service, configuration_item, field_values, attributes } =
        ticket;
    TicketDraft {
        id,
        summary,
        description,
        requester,
        service,
        configuration_item,
        field_values: field_values.into_iter().collect(),
        attributes: attributes.into_iter().collect(),
    }
}

pub(super) fn options(features: &[i32], top_n: Option<u32>) -> Result<TriageOptions, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    let everything = features.is_empty();
    let mut options = TriageOptions {
        fields: everything,
        explanation: everything,
        articles: everything,
        similar: everything,
        top_n: TriageOptions::DEFAULT_TOP_N,
    };
    if features.len() > MAX_FEATURES {
        return Err(vec![FieldViolation::new(
            "features",
            format!("must be at most {MAX_FEATURES}, are {}", features.len()),
        )]);
    }
    for (index, feature) in features.iter().enumerate() {
        match pb::Feature::try_from(*feature) {
            Ok(pb::Feature::Fields) => options.fields = true,
            Ok(pb::Feature::Explanation) => options.explanation = true,
            Ok(pb::Feature::Articles) => options.articles = true,
            Ok(pb::Feature::Similar) => options.similar = true,
            Ok(pb::Feature::Unspecified) | Err(_) => {
                let problem = format!("{feature} is no feature: FIELDS, EXPLANATION, ARTICLES or SIMILAR");
                violations.push(FieldViolation::new(format!("features[{index}]"), problem));
            }
        }
    }
    match at_most(top_n, "top_n", TriageOptions::DEFAULT_TOP_N, TriageOptions::MAX_TOP_N) {
        Ok(top_n) => options.top_n = top_n,
        Err(violation) => violations.extend(violation),
    }
    if violations.is_empty() { Ok(options) } else { Err(violations) }
}

/// A count from 1 to `limit`, or the default where the client gave none.
pub(super) fn at_most(
    value: Option<u32>,
    field: &str,
    default: usize,
    limit: usize,
) -> Result<usize, Vec<FieldViolation>> {
    let Some(value) = value else { return Ok(default) };
    let count = usize::try_from(value).ok().filter(|count| (1..=limit).contains(count));
    count.ok_or_else(|| vec![FieldViolation::new(field, format!("must be 1 to {limit}, is {value}"))])
}

pub(super) fn decision(decision: TriageDecision) -> pb::Decision {
    let TriageDecision {
        ticket_id,
        fields,
        priority,
        reasons,
        articles,
        decision_handle,
        suggestion_handle,
        similar,
        truncated,
        versions: made_by,
    } = decision;
    pb::Decision {
        ticket_id,
        fields: fields.into_iter().map(field_decision).collect(),
        priority: priority.map(|decision| {
            let PriorityDecision { priority, impact, urgency, disagreement, sla, route } = decision;
            pb::PriorityDecision {
                priority: priority.to_string(),
                impact: impact.to_string(),
                urgency: urgency.to_string(),
                disagreement,
                route: wire_route(route).into(),
                sla: sla.map(sla_target),
            }
        }),
        reasons,
        articles: articles.into_iter().map(article_hit).collect(),
        decision_handle: decision_handle.unwrap_or_default(),
        suggestion_handle: suggestion_handle.unwrap_or_default(),
        truncated,
        versions: Some(versions(made_by)),
        similar_tickets: similar.into_iter().map(similar_ticket).collect(),
    }
}

fn sla_target(target: SlaTarget) -> pb::SlaTarget {
    let [response, resolution] =
        [target.response(), target.resolution()].map(|span| prost_types::Duration::try_from(span).ok());
    pb::SlaTarget { response, resolution }
}

fn field_decision(decision: FieldDecision) -> pb::FieldDecision {
    let FieldDecision {
        field,
        value,
        source,
        confidence,
        abstention,
        candidates,
        evidence,
        witnesses,
        is_demoted,
        disagreement,
        route,
    } = decision;
    let (source, raised_by) = match source {
        ValueSource::Model => (pb::ValueSource::Model, String::new()),
        ValueSource::Form => (pb::ValueSource::Form, String::new()),
        ValueSource::ImpactTable(raised_by) => (pb::ValueSource::ImpactTable, raised_by),
        ValueSource::GroupTable => (pb::ValueSource::GroupTable, String::new()),
        ValueSource::Memory => (pb::ValueSource::Memory, String::new()),
    };
    pb::FieldDecision {
        field,
        value,
        source: source.into(),
        confidence,
        abstention: wire_abstention(abstention).into(),
        candidates: candidates
            .into_iter()
            .map(|Candidate { value, confidence }| pb::Candidate { value, confidence })
            .collect(),
        evidence: evidence.into_iter().map(wire_evidence).collect(),
        disagreement,
        raised_by,
        route: wire_route(route).into(),
        demoted: is_demoted,
        witnesses: witnesses
            .into_iter()
            .map(|FieldWitness { ticket_id, similarity, value, corrected }| pb::FieldWitness {
                ticket_id,
                similarity,
                value,
                corrected,
            })
            .collect(),
    }
}

fn wire_abstention(abstention: Option<Abstention>) -> pb::Abstention {
    match abstention {
        None => pb::Abstention::Unspecified,
        Some(Abstention::TooShort) => pb::Abstention::TooShort,
        Some(Abstention::UnsupportedLanguage) => pb::Abstention::UnsupportedLanguage,
        Some(Abstention::OutOfScope) => pb::Abstention::OutOfScope,
        Some(Abstention::Ambiguous) => pb::Abstention::Ambiguous,
        Some(Abstention::LowConfidence) => pb::Abstention::LowConfidence,
    }
}

fn wire_route(route: Route) -> pb::Route {
    match route {
        Route::Monitor => pb::Route::Monitor,
        Route::Recommend => pb::Route::Recommend,
        Route::Autofill => pb::Route::Autofill,
    }
}

fn wire_evidence(evidence: Evidence) -> pb::Evidence {
    let Evidence { part, bytes, utf16, text, weight } = evidence;
    let part = match part {
        TicketPart::Summary => pb::TicketPart::Summary,
        TicketPart::Description => pb::TicketPart::Description,
    };
    pb::Evidence {
        part: part.into(),
        start_byte: offset(bytes.start),
        end_byte: offset(bytes.end),
        start_utf16: offset(utf16.start),
        end_utf16: offset(utf16.end),
        text,
        weight,
    }
}

/// Texts are limited to far less than 4 GiB; a desk that raises the limit beyond gets the largest offset.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

pub(super) fn versions(versions: Versions) -> pb::Versions {
    let Versions { model, taxonomy, matrix, knowledge, memory, learned, feedback, server } = versions;
    pb::Versions { model, taxonomy, matrix, knowledge, server, memory, learned, feedback }
}

pub(super) fn server_info(made_by: Versions, fields: Vec<FieldOverview>, limits: &Limits) -> pb::GetServerInfoResponse {
    let Limits {
        message_bytes,
        batch_bytes,
        ticket: TicketLimits { summary_chars, text_bytes },
        batch_tickets,
        streams_per_connection,
        connections,
        calls: _,
        open_calls_per_peer: _,
        held_bytes: _,
        held_bytes_per_peer: _,
        deadline,
        header_bytes: _,
        connections_per_peer: _,
        queue: _,
        handshake: _,
        idle: _,
        connection_age: _,
        connection_grace: _,
    } = limits;
    pb::GetServerInfoResponse {
        versions: Some(versions(made_by)),
        limits: Some(pb::Limits {
            message_bytes: *message_bytes as u64,
            batch_bytes: *batch_bytes as u64,
            summary_chars: offset(*summary_chars),
            text_bytes: *text_bytes as u64,
            batch_tickets: offset(*batch_tickets),
            streams_per_connection: *streams_per_connection,
            connections: offset(*connections),
            deadline: prost_types::Duration::try_from(*deadline).ok(),
        }),
        fields: fields.into_iter().map(field_info).collect(),
    }
}

fn field_info(field: FieldOverview) -> pb::FieldInfo {
    let FieldOverview { name, labels, route, is_certified } = field;
    let label = |Label { value, description, examples: _ }: Label| pb::LabelInfo { value, description };
    let precision = match route {
        RouteSetting::Off | RouteSetting::Monitor | RouteSetting::Recommend => None,
        RouteSetting::Autofill(precision) => Some(Precision::share(precision)),
    };
    pb::FieldInfo {
        field: name,
        labels: labels.into_iter().map(label).collect(),
        route: route.furthest().map_or(pb::Route::Off, wire_route).into(),
        precision,
        certified: is_certified,
    }
}

pub(super) fn article_hit(hit: ArticleHit) -> pb::ArticleHit {
    let ArticleHit { id, title, kind, status, products, score, passage: shown, reasons, chance, version, link } = hit;
    pb::ArticleHit {
        id,
        title,
        kind: wire_kind(kind).into(),
        status: wire_status(status).into(),
        products,
        score,
        passage: Some(passage(shown)),
        reasons: reasons.into_iter().map(reason).collect(),
        chance,
        valid_until: String::new(),
        version,
        link: link.unwrap_or_default(),
    }
}

pub(super) fn found_article(found: FoundArticle) -> pb::ArticleHit {
    let FoundArticle { hit, valid_until } = found;
    pb::ArticleHit { valid_until: valid_until.map(|day| day.to_string()).unwrap_or_default(), ..article_hit(hit) }
}

fn reason(reason: Reason) -> pb::ArticleReason {
    let Reason { kind, text, values } = reason;
    let kind = match kind {
        ReasonKind::SolvedSimilar => pb::ArticleReasonKind::SolvedSimilar,
        ReasonKind::SharedWords => pb::ArticleReasonKind::SharedWords,
        ReasonKind::SameProduct => pb::ArticleReasonKind::SameProduct,
        ReasonKind::SameCategory => pb::ArticleReasonKind::SameCategory,
        ReasonKind::KnownError => pb::ArticleReasonKind::KnownError,
    };
    pb::ArticleReason { kind: kind.into(), text, values }
}

/// `None` for a kind that this program does not know.
pub(super) fn domain_reason(reason: pb::ArticleReason) -> Option<Reason> {
    let kind = match reason.kind() {
        pb::ArticleReasonKind::Unspecified => return None,
        pb::ArticleReasonKind::SolvedSimilar => ReasonKind::SolvedSimilar,
        pb::ArticleReasonKind::SharedWords => ReasonKind::SharedWords,
        pb::ArticleReasonKind::SameProduct => ReasonKind::SameProduct,
        pb::ArticleReasonKind::SameCategory => ReasonKind::SameCategory,
        pb::ArticleReasonKind::KnownError => ReasonKind::KnownError,
    };
    let pb::ArticleReason { kind: _, text, values } = reason;
    Some(Reason { kind, text, values })
}

fn passage(passage: Passage) -> pb::Passage {
    let Passage { text, highlights, section } = passage;
    let highlights = highlights.into_iter().map(highlight).collect();
    pb::Passage { text, highlights, section: wire_section(section).into() }
}

fn highlight(bytes: Range<usize>) -> pb::Highlight {
    pb::Highlight { start_byte: offset(bytes.start), end_byte: offset(bytes.end) }
}

pub(super) fn wire_kind(kind: ArticleKind) -> pb::ArticleKind {
    match kind {
        ArticleKind::KnownError => pb::ArticleKind::KnownError,
        ArticleKind::HowTo => pb::ArticleKind::HowTo,
        ArticleKind::Faq => pb::ArticleKind::Faq,
        ArticleKind::Policy => pb::ArticleKind::Policy,
    }
}

/// `None` for UNSPECIFIED.
pub(super) fn domain_kind(kind: pb::ArticleKind) -> Option<ArticleKind> {
    match kind {
        pb::ArticleKind::Unspecified => None,
        pb::ArticleKind::KnownError => Some(ArticleKind::KnownError),
        pb::ArticleKind::HowTo => Some(ArticleKind::HowTo),
        pb::ArticleKind::Faq => Some(ArticleKind::Faq),
        pb::ArticleKind::Policy => Some(ArticleKind::Policy),
    }
}

pub(super) fn wire_status(status: ArticleStatus) -> pb::ArticleStatus {
    match status {
        ArticleStatus::Draft => pb::ArticleStatus::Draft,
        ArticleStatus::Published => pb::ArticleStatus::Published,
        ArticleStatus::Retired => pb::ArticleStatus::Retired,
    }
}

/// `None` for UNSPECIFIED.
pub(super) fn domain_status(status: pb::ArticleStatus) -> Option<ArticleStatus> {
    match status {
        pb::ArticleStatus::Unspecified => None,
        pb::ArticleStatus::Draft => Some(ArticleStatus::Draft),
        pb::ArticleStatus::Published => Some(ArticleStatus::Published),
        pb::ArticleStatus::Retired => Some(ArticleStatus::Retired),
    }
}

/// A list of closed values, none of them UNSPECIFIED.
pub(super) fn filter<W: TryFrom<i32>, D>(
    raw: &[i32],
    field: &str,
    parse: fn(W) -> Option<D>,
) -> Result<Vec<D>, Vec<FieldViolation>> {
    if raw.len() > MAX_FILTER {
        return Err(vec![FieldViolation::new(field, format!("must be at most {MAX_FILTER}, are {}", raw.len()))]);
    }
    let parsed = raw.iter().enumerate().map(|(index, number)| {
        let value = W::try_from(*number).ok().and_then(parse);
        value.ok_or_else(|| {
            vec![FieldViolation::new(format!("{field}[{index}]"), format!("{number} is not a value of this filter"))]
        })
    });
    parsed.collect()
}
