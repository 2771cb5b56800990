//! What people say of decisions, checked and weighed against what model and confirmed tickets made of the ticket.
//! It refuses what speaks of other fields than the decision, of labels that nobody knows, or of the future.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
};

use super::{
    Triager, blend,
    unknown::{UnknownValue, UnknownValues},
};
use crate::{
    classify::FieldScores,
    domain::{
        decision::{FieldDecision, Versions},
        feedback::{Agreement, DecisionFeedback, FeedbackId, FeedbackReceipt, FieldOutcome, Proposal, SealedDecision},
        memory::ConfirmedTicket,
        priority::{Impact, Urgency},
        route::{Route, RouteSetting},
        steering::steers,
        taxonomy::{ASSIGNMENT_GROUP, IMPACT, Label, PRIORITY, URGENCY},
        ticket::{MAX_NAME_CHARS, MAX_VALUE_CHARS, TicketDraft, TicketLimits},
        trust::{FieldTrust, TrustReport},
    },
    error::{FieldViolation, TriageError},
    feedback::{self, Feedback, seconds_of},
    memory::{self, LabelVotes, Memory},
    telemetry::METRICS,
};

/// Clocks differ; what is given later than this, in seconds, is from the future.
const CLOCK_SKEW: u64 = 300;
/// A confirmed ticket was checked before.
const UNLIMITED: TicketLimits = TicketLimits { summary_chars: usize::MAX, text_bytes: usize::MAX };
/// From this similarity on two tickets are about the same thing, so that sources can be compared.
const COMPARABLE: f32 = 0.5;

/// What somebody says of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Who says so, as the client names it.
    pub source: String,
    /// Seconds since 1970; `None`: now.
    pub given_at: Option<u64>,
    /// Fields whose proposal was right; with no corrections and none of these, all that were shown.
    pub accepted: Vec<String>,
    /// By field, the right value.
    pub corrections: BTreeMap<String, String>,
}

/// So many resolved tickets are decided before they are learnt: of every one alone the disk would have to be waited for.
pub const RESOLVED_AT_ONCE: usize = 100;

/// What became of resolved tickets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvedCounts {
    pub recorded: u64,
    /// Recorded before.
    pub unchanged: u64,
    /// By field of the model.
    pub fields: BTreeMap<String, FieldTally>,
    /// Values that neither model nor taxonomy knows; the tickets keep them.
    pub unknown: UnknownValues,
}

/// How often what would have been proposed for a field was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldTally {
    pub tickets: u64,
    /// By model and confirmed tickets together.
    pub right: u64,
    /// By the model alone.
    pub right_by_model: u64,
}

impl AddAssign for FieldTally {
    fn add_assign(&mut self, other: Self) {
        self.tickets += other.tickets;
        self.right += other.right;
        self.right_by_model += other.right_by_model;
    }
}

impl AddAssign for ResolvedCounts {
    fn add_assign(&mut self, other: Self) {
        let Self { recorded, unchanged, fields, unknown } = other;
        self.unknown += unknown;
        self.recorded += recorded;
        self.unchanged += unchanged;
        for (field, tally) in fields {
            *self.fields.entry(field).or_default() += tally;
        }
    }
}

impl Triager {
    /// Feedback on the decision that this handle came with, as it can be recorded.
    ///
    /// Errors: `InvalidRequest` with every violation; `Internal` when the index fails.
    pub fn review_sealed(&self, handle: &str, verdict: &Verdict, now: u64) -> Result<DecisionFeedback, TriageError> {
        self.review(self.takes_feedback()?.open_decision(handle)?, verdict, now)
    }

    fn review(&self, sealed: SealedDecision, verdict: &Verdict, now: u64) -> Result<DecisionFeedback, TriageError> {
        let violations = self.verdict_violations(&sealed, verdict, now);
        if !violations.is_empty() {
            return Err(TriageError::InvalidRequest(violations));
        }
        let SealedDecision { digest, ticket, mut proposals, model, taxonomy } = sealed;
        let mut finals = finals(verdict, &proposals);
        for (field, value) in &mut finals {
            *value = self.taxonomy.names(field).renamed(value).to_owned();
        }
        let outcomes = finals.iter().map(|(field, value)| FieldOutcome {
            field: field.clone(),
            value: value.clone(),
            proposal: proposals.remove(field),
            hindsight: None,
        });
        let mut feedback = DecisionFeedback {
            fingerprint: feedback::fingerprint(&digest, &verdict.source, verdict.given_at, &finals),
            ticket,
            source: verdict.source.trim().to_owned(),
            given_at: verdict.given_at.unwrap_or(now),
            model,
            taxonomy,
            outcomes: outcomes.collect(),
            agreement: Vec::new(),
        };
        // Of another model nothing can be said now.
        if feedback.model == self.classifier.version() {
            let text = feedback.ticket.text();
            let scores = self.renamed(&self.classifier.classify(&text));
            self.look_back(&mut feedback, &scores, &text)?;
        }
        Ok(feedback)
    }

    /// Records feedback and learns from it: the next decision knows it.
    pub fn learn(&self, feedback: &DecisionFeedback) -> Result<FeedbackReceipt, TriageError> {
        let recorded = self.takes_feedback()?.record_decisions(std::slice::from_ref(feedback))?;
        self.relearn()?;
        recorded.into_iter().next().ok_or_else(|| TriageError::internal("feedback was recorded without a receipt"))
    }

    /// Takes feedback back; `false` where it was withdrawn before.
    ///
    /// Errors: `NotFound` where there is no such feedback.
    pub fn unlearn(&self, id: FeedbackId) -> Result<bool, TriageError> {
        let withdrawn = self.takes_feedback()?.withdraw(id)?;
        self.relearn()?;
        Ok(withdrawn)
    }

    /// Keeps what was counted of decisions, and tells the metrics what came of promises in the last `days`.
    pub(crate) fn measure_trust(&self, days: u32) -> Result<(), TriageError> {
        for FieldTrust { field, reviews, .. } in self.trust(days)?.fields {
            if let Some(precision) = reviews.promise.precision() {
                METRICS.set_realised_precision(&field, precision);
            }
        }
        Ok(())
    }

    /// How far decisions may be trusted, by the last `days`.
    pub fn trust(&self, days: u32) -> Result<TrustReport, TriageError> {
        self.takes_feedback()?.trust(days, self.classifier.version(), &self.standing())
    }

    fn takes_feedback(&self) -> Result<&Feedback, TriageError> {
        self.feedback.as_ref().ok_or_else(|| TriageError::internal("feedback is kept nowhere"))
    }

    /// Records resolved tickets, whose labels are right, and learns from them: each is first decided as it would be now,
    /// in pieces of [`RESOLVED_AT_ONCE`]. The caller has checked [`ConfirmedTicket::violations`] and that each has a
    /// label; `now` counts for tickets that do not say when they were resolved.
    ///
    /// Hands over what is new, once it is recorded.
    ///
    /// Errors: `Internal` when the disk refuses the write; what came before the piece is recorded.
    pub fn learn_resolved(
        &self,
        tickets: &[ConfirmedTicket],
        source: &str,
        now: u64,
        on_new: &mut dyn FnMut(&DecisionFeedback),
    ) -> Result<ResolvedCounts, TriageError> {
        let feedback = self.takes_feedback()?;
        let (mut counts, known) = (ResolvedCounts::default(), self.known_values());
        for piece in tickets.chunks(RESOLVED_AT_ONCE) {
            let mut reviewed = Vec::with_capacity(piece.len());
            for ticket in piece {
                let (said, tallies) = self.review_resolved(ticket, source, now)?;
                for FieldOutcome { field, value, .. } in &said.outcomes {
                    if !known.knows(field, value) {
                        counts.unknown.add(UnknownValue { field: field.clone(), value: value.clone(), tickets: 1 });
                    }
                }
                reviewed.push(said);
                for (field, tally) in tallies {
                    *counts.fields.entry(field).or_default() += tally;
                }
            }
            for (said, receipt) in reviewed.iter().zip(feedback.record_resolved(&reviewed)?) {
                if receipt.is_new {
                    on_new(said);
                }
                *(if receipt.is_new { &mut counts.recorded } else { &mut counts.unchanged }) += 1;
            }
            self.relearn()?;
        }
        Ok(counts)
    }

    /// What a resolved ticket says, beside what would be proposed for it now. Fields that the model does not have are
    /// kept with the ticket.
    fn review_resolved(
        &self,
        ticket: &ConfirmedTicket,
        source: &str,
        now: u64,
    ) -> Result<(DecisionFeedback, Vec<(String, FieldTally)>), TriageError> {
        let mut kept = memory::prepared_within(ticket, usize::MAX, self.redactor());
        let mut labels = std::mem::take(&mut kept.labels);
        for (field, value) in &mut labels {
            *value = self.taxonomy.names(field).renamed(value).to_owned();
        }
        let draft = TicketDraft {
            id: kept.id.clone(),
            summary: kept.summary.clone(),
            description: kept.description.clone(),
            service: kept.service.clone(),
            configuration_item: kept.configuration_item.clone(),
            ..TicketDraft::default()
        };
        // Of a ticket that was nothing but what is taken out nothing is left to decide.
        let asked = draft.parse("", &UNLIMITED).map_err(TriageError::InvalidRequest)?;
        let decided = self.decide_with_memory(&asked)?;
        let own = self.renamed(&decided.classification);
        let tallies = own.iter().filter_map(|scores| {
            let value = labels.get(&*scores.name)?;
            let proposed = decided.fields.iter().find(|decided| *decided.field == *scores.name);
            let tally = FieldTally {
                tickets: 1,
                right: u64::from(proposed.is_some_and(|proposed| proposed.value == *value)),
                right_by_model: u64::from(scores.ranked.first().is_some_and(|best| *best.label == **value)),
            };
            Some((scores.name.to_string(), tally))
        });
        let tallies = tallies.collect();
        let proposal = |field: &str| decided.fields.iter().find(|decided| decided.field == field);
        let outcomes = labels.iter().map(|(field, value)| FieldOutcome {
            field: field.clone(),
            value: value.clone(),
            proposal: proposal(field).map(|decided| self.proposal(decided)),
            hindsight: None,
        });
        let Versions { model, taxonomy, .. } = self.versions();
        let mut feedback = DecisionFeedback {
            fingerprint: feedback::fingerprint_of_resolved(&kept, source, &labels),
            source: source.to_owned(),
            given_at: kept.resolved_on.and_then(seconds_of).unwrap_or(now),
            model,
            taxonomy,
            outcomes: outcomes.collect(),
            agreement: Vec::new(),
            ticket: kept,
        };
        self.look_back(&mut feedback, &own, asked.text())?;
        Ok((feedback, tallies))
    }

    /// What a decision proposes for a field, as feedback keeps it.
    fn proposal(&self, decided: &FieldDecision) -> Proposal {
        let promised = match self.taxonomy.route(&decided.field) {
            RouteSetting::Autofill(precision) if decided.route == Route::Autofill || decided.is_demoted => {
                Some(precision.share())
            }
            RouteSetting::Autofill(_) | RouteSetting::Off | RouteSetting::Monitor | RouteSetting::Recommend => None,
        };
        feedback::proposal(decided, promised)
    }

    /// Adds how model and confirmed tickets saw the right values, and who else said what about tickets like it.
    fn look_back(
        &self,
        feedback: &mut DecisionFeedback,
        scores: &[FieldScores],
        text: &str,
    ) -> Result<(), TriageError> {
        let Some(view) = self.memory.as_ref().map(Memory::view) else { return Ok(()) };
        let votes = view.label_votes(text, &feedback.ticket.id)?;
        let standing = self.standing();
        for outcome in &mut feedback.outcomes {
            let scores = scores.iter().find(|scores| *scores.name == *outcome.field);
            outcome.hindsight =
                scores.map(|scores| blend::hindsight(scores, &votes.witnesses, &standing, &outcome.value));
        }
        feedback.agreement = agreement(&votes, feedback);
        Ok(())
    }

    fn verdict_violations(&self, sealed: &SealedDecision, verdict: &Verdict, now: u64) -> Vec<FieldViolation> {
        let Verdict { source, given_at, accepted, corrections } = verdict;
        let mut violations = source_violations(source);
        if given_at.is_some_and(|given_at| given_at > now + CLOCK_SKEW) {
            violations.push(FieldViolation::new("given_at", "lies in the future: give the time when it was said"));
        }
        let decided = || sealed.proposals.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let accepted: BTreeSet<&String> = accepted.iter().collect();
        for field in accepted.iter().filter(|field| !sealed.proposals.contains_key(**field)) {
            let problem = format!("this decision proposed nothing for `{field}`; it decided {}", decided());
            violations.push(FieldViolation::new("accepted", problem));
        }
        for (field, proposal) in sealed.proposals.iter().filter(|(field, _)| accepted.contains(field)) {
            if self.taxonomy.current(field, &proposal.value).is_none() {
                let problem = format!("`{}` of {field} is retired by now: say what it is instead", proposal.value);
                violations.push(FieldViolation::new("accepted", problem));
            }
        }
        for (field, value) in corrections {
            let path = format!("corrections[{field}]");
            if accepted.contains(field) {
                violations.push(FieldViolation::new(&path, "is accepted and corrected at once"));
            }
            if let Some(problem) = self.label_problem(field, value) {
                violations.push(FieldViolation::new(&path, problem));
            }
        }
        if violations.is_empty() && finals(verdict, &sealed.proposals).is_empty() {
            let problem = "this decision showed nothing that could be accepted: name what was right in corrections";
            violations.push(FieldViolation::new("accepted", problem));
        }
        violations
    }

    /// Why `field` cannot turn out to be `value`.
    fn label_problem(&self, field: &str, value: &str) -> Option<String> {
        let one_of = |names: Vec<&str>| (!names.contains(&value)).then(|| format!("must be {}", names.join(", ")));
        match field {
            PRIORITY => Some("follows from impact and urgency: correct these".to_owned()),
            IMPACT => one_of(Impact::ALL.map(Impact::as_str).to_vec()),
            URGENCY => one_of(Urgency::ALL.map(Urgency::as_str).to_vec()),
            _ if value.trim().is_empty() => Some("must not be blank".to_owned()),
            _ if value.chars().count() > MAX_VALUE_CHARS => {
                Some(format!("must be at most {MAX_VALUE_CHARS} characters"))
            }
            // Groups come from the desk's table and from its tool; no list of them is complete.
            ASSIGNMENT_GROUP => None,
            _ => {
                let value = self.taxonomy.names(field).renamed(value);
                let fields = self.fields();
                let Some(known) = fields.iter().find(|known| known.name == field) else {
                    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                    return Some(format!("no such field; the fields are {}", names.join(", ")));
                };
                let listed = |label: &Label| label.value == value;
                let in_memory = self.memory.as_ref().is_some_and(|memory| memory.view().has_label(field, value));
                let in_taxonomy = self.taxonomy.fields.get(field).is_some_and(|labels| labels.iter().any(listed));
                let is_retired = self.taxonomy.current(field, value).is_none();
                (is_retired || (!known.labels.iter().any(listed) && !in_taxonomy && !in_memory)).then(|| {
                    format!("no such label of {field}: GetServerInfo lists them, and the taxonomy takes new ones")
                })
            }
        }
    }
}

/// Every rule that the name of a source breaks.
pub fn source_violations(source: &str) -> Vec<FieldViolation> {
    let problem = if source.trim().is_empty() {
        "must say who gives the feedback"
    } else if source.chars().count() > MAX_NAME_CHARS {
        "must be at most 256 characters"
    } else if source.chars().any(|c| steers(c) || matches!(c, '\n' | '\t')) {
        "must hold no control or invisible characters"
    } else {
        return Vec::new();
    };
    vec![FieldViolation::new("source", problem)]
}

/// Every rule that the labels of a resolved ticket break; field names start with `path`.
pub fn resolved_violations(ticket: &ConfirmedTicket, path: &str) -> Vec<FieldViolation> {
    if ticket.labels.is_empty() {
        return vec![FieldViolation::new(format!("{path}labels"), "must hold at least one value")];
    }
    let problem = |field: &str, value: &str| match field {
        PRIORITY => Some("follows from impact and urgency: give these".to_owned()),
        IMPACT | URGENCY if Impact::parse(value).is_none() => {
            Some(format!("`{value}` must be high, medium or low before it is sent"))
        }
        _ => None,
    };
    let labels = ticket.labels.iter();
    let problems = labels.filter_map(|(field, value)| Some((field, problem(field, value)?)));
    problems.map(|(field, problem)| FieldViolation::new(format!("{path}labels[{field}]"), problem)).collect()
}

/// By field, the right value: what was corrected, and what was accepted as it was proposed.
fn finals(verdict: &Verdict, proposals: &BTreeMap<String, Proposal>) -> BTreeMap<String, String> {
    let Verdict { source: _, given_at: _, accepted, corrections } = verdict;
    let all = accepted.is_empty() && corrections.is_empty();
    let is_accepted = |(field, proposal): &(&String, &Proposal)| {
        if all { proposal.route != Route::Monitor } else { accepted.contains(field) }
    };
    let accepted =
        proposals.iter().filter(is_accepted).map(|(field, proposal)| (field.clone(), proposal.value.clone()));
    accepted.chain(corrections.clone()).collect()
}

fn agreement(votes: &LabelVotes<'_>, feedback: &DecisionFeedback) -> Vec<Agreement> {
    let mut by_source: BTreeMap<&str, Agreement> = BTreeMap::new();
    for witness in votes.witnesses.iter().filter(|witness| witness.similarity >= COMPARABLE) {
        // What the source itself said too: who says another thing each time agrees with nobody.
        for said in &witness.labels {
            let Some(outcome) = feedback.outcomes.iter().find(|outcome| outcome.field == said.field) else { continue };
            let known = by_source.entry(said.source).or_default();
            let count = if outcome.value == said.label { &mut known.agreed } else { &mut known.disagreed };
            *count += 1;
        }
    }
    by_source.into_iter().map(|(source, counts)| Agreement { source: source.to_owned(), ..counts }).collect()
}
