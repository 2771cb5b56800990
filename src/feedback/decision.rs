//! Feedback on decisions: their handles, and what is kept of what people said.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Feedback,
    handle::{Kind, NOT_OURS, SealedTicket},
    standing::{PROMISES, ROWS_A_FIELD, Standing},
};
use crate::{
    domain::{
        article::Day,
        decision::{Abstention, FieldDecision, TriageDecision, ValueSource},
        feedback::{DecisionFeedback, FeedbackId, FeedbackReceipt, FeedbackRecord, Proposal, SealedDecision},
        memory::ConfirmedTicket,
        route::Route,
        ticket::Ticket,
    },
    error::TriageError,
    store::{FeedbackFilter, Withdrawn},
    telemetry::METRICS,
};

/// What the handle of a decision holds, as JSON.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    ticket: SealedTicket<'a>,
    proposals: BTreeMap<String, SealedProposal>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    taxonomy: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct SealedProposal {
    value: String,
    confidence: f32,
    route: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    abstention: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promised: Option<f64>,
}

impl Feedback {
    /// With what feedback on the fields of this decision is given: the ticket as the memory would keep it, and what was
    /// proposed. `promised` is the precision that the desk asks for of a field's values that fill themselves in.
    pub(crate) fn decision_handle(
        &self,
        ticket: &Ticket,
        decision: &TriageDecision,
        promised: &dyn Fn(&str) -> Option<f64>,
    ) -> Result<String, TriageError> {
        let (sealed, _) = self.seal.kept(ticket);
        // What the form held was no proposal.
        let proposed = decision.fields.iter().filter(|field| field.source != ValueSource::Form);
        let proposals = proposed.map(|field| {
            let is_promised = field.route == Route::Autofill || field.is_demoted;
            let promised = is_promised.then(|| promised(&field.field)).flatten();
            let Proposal { value, confidence, route, abstention, promised } = proposal(field, promised);
            let abstention = abstention.map(|abstention| abstention.as_str().to_owned());
            let sealed = SealedProposal { value, confidence, route: route.as_str().to_owned(), abstention, promised };
            (field.field.clone(), sealed)
        });
        let content = Content {
            ticket: sealed,
            proposals: proposals.collect(),
            model: Cow::Borrowed(&decision.versions.model),
            taxonomy: Cow::Borrowed(&decision.versions.taxonomy),
        };
        self.seal.sealed(Kind::Decision, &content)
    }

    /// The decision that a handle is of.
    ///
    /// Errors: `InvalidRequest` for a handle that this database did not seal.
    pub fn open_decision(&self, handle: &str) -> Result<SealedDecision, TriageError> {
        let wrong = |problem: String| TriageError::invalid("decision_handle", problem);
        let (digest, content) = self.seal.opened(Kind::Decision, handle).map_err(wrong)?;
        let content: Content<'_> = serde_json::from_slice(&content).map_err(|_| wrong(NOT_OURS.to_owned()))?;
        let Content { ticket, proposals, model, taxonomy } = content;
        let proposals = proposals.into_iter().map(|(field, sealed)| {
            let SealedProposal { value, confidence, route, abstention, promised } = sealed;
            let route = Route::parse(&route).unwrap_or_default();
            let abstention = abstention.as_deref().and_then(Abstention::parse);
            (field, Proposal { value, confidence, route, abstention, promised })
        });
        Ok(SealedDecision {
            digest,
            ticket: ticket.into_confirmed("decision", digest),
            proposals: proposals.collect(),
            model: model.into_owned(),
            taxonomy: taxonomy.into_owned(),
        })
    }

    /// Records feedback on decisions; it is durable, and the memory that it leads to is found, when this returns. What
    /// was said before, and was neither withdrawn nor lost its ticket, changes nothing. On an error nothing is recorded, or all is and the next call or start makes it
    /// findable.
    pub fn record_decisions(&self, feedback: &[DecisionFeedback]) -> Result<Vec<FeedbackReceipt>, TriageError> {
        let receipts = self.store.record_decision_feedback(feedback, now(), self.hourly_limit)?;
        for (feedback, receipt) in feedback.iter().zip(&receipts).filter(|(_, receipt)| receipt.is_new) {
            for outcome in &feedback.outcomes {
                METRICS.count_feedback(
                    &outcome.field,
                    outcome.is_correction(),
                    receipt.held_back.contains(&outcome.field),
                );
            }
        }
        // Also where nothing is new: the index may have failed when it was recorded.
        self.memory.publish()?;
        Ok(receipts)
    }

    /// As [`Self::record_decisions`], for many without a limit on how much one source may say: what a desk's own tool
    /// holds is no flood.
    pub fn record_resolved(&self, feedback: &[DecisionFeedback]) -> Result<Vec<FeedbackReceipt>, TriageError> {
        self.clone().with_hourly_limit(u64::MAX).record_decisions(feedback)
    }

    /// Takes feedback back, as if it never was; `false` where it was withdrawn before.
    ///
    /// Errors: `NotFound` where there is no such feedback.
    pub fn withdraw(&self, id: FeedbackId) -> Result<bool, TriageError> {
        let withdrawn = self.store.withdraw_decision_feedback(id, now())?;
        let not_found = || TriageError::NotFound { resource: "feedback", id: id.to_string() };
        let Withdrawn { counted, is_ticket_gone } = withdrawn.ok_or_else(not_found)?;
        if is_ticket_gone {
            self.memory.publish_purged()?;
        } else {
            self.memory.publish()?;
        }
        Ok(counted)
    }

    /// The latest first, those behind `before`; at most `limit`.
    pub fn list(
        &self,
        filter: &FeedbackFilter,
        before: Option<FeedbackId>,
        limit: usize,
    ) -> Result<Vec<FeedbackRecord>, TriageError> {
        Ok(self.store.list_decision_feedback(filter, before, limit)?)
    }

    /// What feedback taught about this model's fields and the memory.
    pub(crate) fn standing(&self, model: &str, fields: &[&str]) -> Result<Standing, TriageError> {
        let version = self.store.last_feedback_change()?;
        let rows = self.store.lean_rows(model, fields, ROWS_A_FIELD)?;
        let promises = self.store.promise_rows(model, PROMISES)?;
        Ok(Standing::learn(version, &rows, &self.store.agreement_by_source()?).with_promises(&promises))
    }
}

/// What a decision proposes for a field; `promised` is of a value that may be filled in.
pub(crate) fn proposal(decided: &FieldDecision, promised: Option<f64>) -> Proposal {
    let FieldDecision { value, confidence, route, abstention, .. } = decided;
    Proposal { value: value.clone(), confidence: *confidence, route: *route, abstention: *abstention, promised }
}

/// The same for what is said again of a decision: by the same source, of the same time where one was given.
pub(crate) fn fingerprint(
    digest: &[u8; 16],
    source: &str,
    given_at: Option<u64>,
    finals: &BTreeMap<String, String>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(digest);
    hash.update(given_at.unwrap_or_default().to_le_bytes());
    finish(hash, source, finals)
}

/// The same for a resolved ticket that comes again with the same text and labels.
pub(crate) fn fingerprint_of_resolved(
    ticket: &ConfirmedTicket,
    source: &str,
    labels: &BTreeMap<String, String>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [&ticket.id, &ticket.summary, &ticket.description] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    finish(hash, source, labels)
}

fn finish(mut hash: Sha256, source: &str, labels: &BTreeMap<String, String>) -> [u8; 32] {
    for part in labels.iter().flat_map(|(field, value)| [field.as_str(), value]).chain([source.trim()]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds since 1970 of a day or a time as people write them (RFC 3339).
pub(crate) fn seconds_of_text(raw: &str) -> Option<u64> {
    if let Some(day) = Day::parse(raw) {
        return seconds_of(day);
    }
    let time = time::OffsetDateTime::parse(raw, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

/// The day of a time in seconds since 1970, in UTC, as people read it.
pub(crate) fn day_of(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map(|time| time.date().to_string()).unwrap_or_default()
}

/// The beginning of a day, in seconds since 1970; `None` before.
pub(crate) fn seconds_of(day: Day) -> Option<u64> {
    let date = time::Date::parse(&day.to_string(), time::macros::format_description!("[year]-[month]-[day]")).ok()?;
    u64::try_from(date.midnight().assume_utc().unix_timestamp()).ok()
}
