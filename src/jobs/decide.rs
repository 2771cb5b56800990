//! What a job makes of one ticket: the decision that the service would give, held against today's values and the
//! filter. Pure but for the model; runs on the compute pool.

use super::specification::{FieldColumn, Filter, Reclassification};
use crate::{
    domain::{
        decision::{Abstention, FieldDecision, PriorityDecision},
        job::{FieldResult, TicketResult},
        taxonomy::{IMPACT, PRIORITY, URGENCY},
        ticket::{Ticket, TicketDraft, TicketLimits},
    },
    error::TriageError,
    triage::Triager,
};

/// A ticket to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub id: String,
    /// May be blank.
    pub text: String,
    /// Today's value of each field of the job, in their order.
    pub current: Vec<Option<String>>,
}

/// Decides with one model and one taxonomy, from the first ticket of a job to the last.
#[derive(Debug)]
pub(super) struct Decider {
    pub triager: Triager,
    pub fields: Vec<FieldColumn>,
    pub filter: Filter,
}

impl Decider {
    pub(super) fn new(triager: Triager, work: &Reclassification) -> Self {
        Self { triager, fields: work.fields.clone(), filter: work.filter.clone() }
    }

    /// Names of the fields that a job can be about.
    pub(super) fn known_fields(triager: &Triager) -> Vec<String> {
        let fields = triager.fields().into_iter().filter(|field| field.route.furthest().is_some());
        let mut names: Vec<String> = fields.map(|field| field.name).collect();
        if [IMPACT, URGENCY].iter().all(|part| names.iter().any(|name| name == part)) {
            names.push(PRIORITY.to_owned());
        }
        names
    }

    pub(super) fn decide(&self, subject: &Subject) -> Result<TicketResult, TriageError> {
        let Subject { id, text, current } = subject;
        let guesses = if text.trim().is_empty() { None } else { Some(self.guess(text)?) };
        let fields = self.fields.iter().zip(current).map(|(field, current)| {
            let guess = guesses.as_ref().map(|(fields, priority)| guess_of(&field.field, fields, priority.as_ref()));
            self.held_against(&field.field, current.clone(), guess.unwrap_or_else(Guess::without_text))
        });
        Ok(TicketResult { id: id.clone(), fields: fields.collect(), error: None })
    }

    fn guess(&self, text: &str) -> Result<(Vec<FieldDecision>, Option<PriorityDecision>), TriageError> {
        let ticket = parse(text)?;
        let (_, fields, priority) = self.triager.decide(&ticket);
        Ok((fields, priority))
    }

    fn held_against(&self, field: &str, current: Option<String>, guess: Guess) -> FieldResult {
        let Guess { value, confidence, abstention } = guess;
        let changed = abstention.is_none()
            && value.as_ref().is_some_and(|value| {
                current.as_ref() != Some(value) && self.filter.allows(field, current.as_deref(), value, confidence)
            });
        FieldResult { current, value, confidence, abstention, changed }
    }
}

/// Rows of a file may be longer than a caller's ticket: the model reads their beginning.
fn parse(text: &str) -> Result<Ticket, TriageError> {
    let limits = TicketLimits { text_bytes: usize::MAX, ..TicketLimits::default() };
    let draft = TicketDraft { description: text.to_owned(), ..TicketDraft::default() };
    draft.parse("", &limits).map_err(TriageError::InvalidRequest)
}

struct Guess {
    value: Option<String>,
    confidence: f32,
    abstention: Option<Abstention>,
}

impl Guess {
    fn without_text() -> Self {
        Self { value: None, confidence: 0.0, abstention: Some(Abstention::TooShort) }
    }

    fn unsure() -> Self {
        Self { value: None, confidence: 0.0, abstention: Some(Abstention::LowConfidence) }
    }
}

fn guess_of(field: &str, fields: &[FieldDecision], priority: Option<&PriorityDecision>) -> Guess {
    let find = |name: &str| fields.iter().find(|decision| decision.field == name);
    if field != PRIORITY {
        return find(field).map_or_else(Guess::unsure, |decision| Guess {
            value: Some(decision.value.clone()),
            confidence: decision.confidence,
            abstention: decision.abstention,
        });
    }
    // As sure as the less sure of what it follows from.
    let (Some(priority), Some(impact), Some(urgency)) = (priority, find(IMPACT), find(URGENCY)) else {
        return Guess::unsure();
    };
    Guess {
        value: Some(priority.priority.to_string()),
        confidence: impact.confidence.min(urgency.confidence),
        abstention: impact.abstention.or(urgency.abstention),
    }
}
