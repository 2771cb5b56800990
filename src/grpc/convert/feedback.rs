//! Feedback on decisions and articles, between wire and domain.

use prost_types::Timestamp;

use super::{wire_abstention, wire_route};
use crate::{
    domain::{
        feedback::{ArticleEvent, ArticleUsage, FeedbackRecord, FieldOutcome, KeptOutcome},
        trust::{DecisionCounts, FieldTrust, LabelTrust, ReviewCounts, TicketCounts, TrustReport},
    },
    error::{FieldViolation, TriageError},
    pb,
    store::FeedbackFilter,
    triage::{FieldTally, UnknownValue, Verdict},
};

/// More fields than any decision has.
const MAX_FIELDS: usize = 64;
/// Of a page of feedback.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Days of trust figures.
const DEFAULT_DAYS: usize = 30;
const MAX_DAYS: usize = 400;

/// Handle and verdict, with the violations that show without opening the handle.
pub(in crate::grpc) fn field_verdict(request: pb::RecordFeedbackRequest) -> Result<(String, Verdict), TriageError> {
    let pb::RecordFeedbackRequest { decision_handle, source, given_at, accepted, corrections } = request;
    let mut violations = Vec::new();
    if decision_handle.is_empty() {
        let problem = "must be set: it comes with every decision that holds fields";
        violations.push(FieldViolation::new("decision_handle", problem));
    }
    for (field, count) in [("accepted", accepted.len()), ("corrections", corrections.len())] {
        if count > MAX_FIELDS {
            violations.push(FieldViolation::new(field, format!("must be at most {MAX_FIELDS}, are {count}")));
        }
    }
    let seconds = given_at.map(|time| u64::try_from(time.seconds)).transpose();
    if seconds.is_err() {
        violations.push(FieldViolation::new("given_at", "lies before 1970: give the time when it was said"));
    }
    let given_at = seconds.ok().flatten();
    if violations.is_empty() {
        let corrections = corrections.into_iter().collect();
        return Ok((decision_handle, Verdict { source, given_at, accepted, corrections }));
    }
    Err(TriageError::InvalidRequest(violations))
}

/// What is listed, and how much of it at once.
pub(in crate::grpc) fn feedback_filter(
    request: pb::ListFeedbackRequest,
) -> Result<(FeedbackFilter, usize, String), Vec<FieldViolation>> {
    let pb::ListFeedbackRequest { ticket_id, source, corrections_only, page_size, page_token } = request;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let filter = FeedbackFilter { ticket_id: given(ticket_id), source: given(source), corrections: corrections_only };
    let size = super::at_most(page_size, "page_size", DEFAULT_PAGE, MAX_PAGE)?;
    Ok((filter, size, page_token))
}

pub(in crate::grpc) fn feedback_record(record: FeedbackRecord) -> pb::Feedback {
    let FeedbackRecord { id, ticket_id, source, given_at, recorded_at, withdrawn_at, model, taxonomy, outcomes } =
        record;
    pb::Feedback {
        id: id.0,
        ticket_id,
        source,
        given_at: Some(timestamp(given_at)),
        recorded_at: Some(timestamp(recorded_at)),
        withdrawn_at: withdrawn_at.map(timestamp),
        model,
        taxonomy,
        outcomes: outcomes.into_iter().map(outcome).collect(),
    }
}

fn outcome(kept: KeptOutcome) -> pb::FieldOutcome {
    let KeptOutcome { outcome: FieldOutcome { field, value, proposal, hindsight: _ }, counts } = kept;
    let mut wire = pb::FieldOutcome { field, value, counts, ..pb::FieldOutcome::default() };
    if let Some(proposal) = proposal {
        wire.proposed = proposal.value;
        wire.confidence = proposal.confidence;
        wire.route = wire_route(proposal.route).into();
        wire.abstention = wire_abstention(proposal.abstention).into();
    }
    wire
}

fn timestamp(seconds: u64) -> Timestamp {
    Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }
}

pub(in crate::grpc) fn tally((field, tally): (String, FieldTally)) -> pb::FieldTally {
    let FieldTally { tickets, right, right_by_model } = tally;
    pb::FieldTally { field, tickets, right, right_by_model }
}

pub(in crate::grpc) fn unknown_value(unknown: UnknownValue) -> pb::UnknownValue {
    let UnknownValue { field, value, tickets } = unknown;
    pb::UnknownValue { field, value, tickets }
}

/// Handle, article and event, with the violations that show without opening the handle.
pub(in crate::grpc) fn article_feedback(
    request: pb::RecordArticleFeedbackRequest,
) -> Result<(String, String, ArticleEvent), TriageError> {
    let pb::RecordArticleFeedbackRequest { suggestion_handle, article_id, event } = request;
    let mut violations = Vec::new();
    let mut refuse = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
    if suggestion_handle.is_empty() {
        refuse("suggestion_handle", "must be set: it comes with SuggestArticles and with decisions that hold articles");
    }
    if article_id.is_empty() {
        refuse("article_id", "must be the id of an article of the suggestion");
    }
    let known = match pb::ArticleEvent::try_from(event) {
        Ok(pb::ArticleEvent::Shown) => Some(ArticleEvent::Shown),
        Ok(pb::ArticleEvent::Clicked) => Some(ArticleEvent::Clicked),
        Ok(pb::ArticleEvent::Helped) => Some(ArticleEvent::Helped),
        Ok(pb::ArticleEvent::Refused) => Some(ArticleEvent::Refused),
        Ok(pb::ArticleEvent::Unspecified) | Err(_) => None,
    };
    match known {
        Some(event) if violations.is_empty() => Ok((suggestion_handle, article_id, event)),
        Some(_) => Err(TriageError::InvalidRequest(violations)),
        None => {
            let problem = format!("{event} is no event: SHOWN, CLICKED, HELPED or REFUSED");
            violations.push(FieldViolation::new("event", problem));
            Err(TriageError::InvalidRequest(violations))
        }
    }
}

pub(in crate::grpc) fn article_event(event: ArticleEvent) -> pb::ArticleEvent {
    match event {
        ArticleEvent::Shown => pb::ArticleEvent::Shown,
        ArticleEvent::Clicked => pb::ArticleEvent::Clicked,
        ArticleEvent::Helped => pb::ArticleEvent::Helped,
        ArticleEvent::Refused => pb::ArticleEvent::Refused,
    }
}

pub(in crate::grpc) fn article_usage(usage: ArticleUsage) -> pb::ArticleUsage {
    let ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage;
    pb::ArticleUsage { shown, clicked, helped, refused, solved_tickets }
}

/// How many days are asked for.
pub(in crate::grpc) fn trust_days(request: pb::GetTrustFiguresRequest) -> Result<u32, Vec<FieldViolation>> {
    let pb::GetTrustFiguresRequest { days } = request;
    let days = super::at_most(days, "days", DEFAULT_DAYS, MAX_DAYS)?;
    Ok(u32::try_from(days).unwrap_or(u32::MAX))
}

pub(in crate::grpc) fn trust_report(report: TrustReport) -> pb::GetTrustFiguresResponse {
    let TrustReport { days, model, tickets, fields } = report;
    let TicketCounts { tickets, out_of_scope, unsupported_language, too_short, words, new_words } = tickets;
    let field = |FieldTrust { field, decisions, reviews, labels }| pb::FieldTrust {
        field,
        figures: Some(figures(decisions, reviews)),
        labels: labels.into_iter().map(label_trust).collect(),
    };
    pb::GetTrustFiguresResponse {
        days,
        model,
        tickets,
        out_of_scope,
        unsupported_language,
        too_short,
        words,
        new_words,
        fields: fields.into_iter().map(field).collect(),
    }
}

fn label_trust(LabelTrust { label, decisions, reviews, is_demoted }: LabelTrust) -> pb::LabelTrust {
    pb::LabelTrust { label, figures: Some(figures(decisions, reviews)), demoted: is_demoted }
}

fn figures(decisions: DecisionCounts, reviews: ReviewCounts) -> pb::TrustFigures {
    let DecisionCounts { proposed, abstained, filled } = decisions;
    let ReviewCounts { reviewed, accepted, promise } = reviews;
    let realised = promise.precision().zip(promise.bounds());
    pb::TrustFigures {
        proposed,
        abstained,
        filled,
        reviewed,
        accepted,
        promised: promise.promised,
        promised_reviewed: promise.reviewed,
        promised_right: promise.right,
        realised: realised.map(|(share, (lower, upper))| pb::Bounds { share, lower, upper }),
    }
}
