//! What a ticket is by the model alone, and by model and confirmed tickets together.

use std::{
    error::Error,
    sync::{Arc, PoisonError},
};

use super::{
    Triager,
    blend::{self, Blended, NewLabel},
    policy,
};
use crate::{
    classify::{Classification, FieldScores},
    domain::{
        decision::{Abstention, FieldDecision, PriorityDecision, TriageDecision, ValueSource},
        route::{Precision, RouteSetting},
        ticket::Ticket,
    },
    encode::PlainText,
    error::TriageError,
    feedback::Standing,
    memory::{LabelVotes, Memory},
};

/// From so many tickets on what they have in common stands for their label.
const ENOUGH_TICKETS: u32 = 8;

/// What a ticket is, and what made it so.
pub(super) struct Decided {
    pub classification: Classification,
    pub fields: Vec<FieldDecision>,
    pub priority: Option<PriorityDecision>,
    /// The change to the memory that it reflects; empty without one.
    pub memory: String,
    /// The change to feedback.
    pub feedback: String,
}

impl Triager {
    /// What model and taxonomy make of a ticket, without reasons and without the memory: for work over many tickets,
    /// which counts them itself and must come out the same however the memory changes meanwhile.
    pub(crate) fn decide(&self, ticket: &Ticket) -> (Classification, Vec<FieldDecision>, Option<PriorityDecision>) {
        let classification = self.classifier.classify(ticket.text());
        let fields = self.apply_policy(&classification, &classification.fields, ticket);
        let priority = policy::prioritise(&fields, &self.taxonomy, ticket);
        (classification, fields, priority)
    }

    /// The same with what confirmed tickets like it say; the one with its id is left out.
    pub(super) fn decide_with_memory(&self, ticket: &Ticket) -> Result<Decided, TriageError> {
        let classification = self.classifier.classify(ticket.text());
        let (mut memory, mut feedback) = (String::new(), String::new());
        let mut scores = classification.fields.clone();
        let mut blended = Vec::new();
        if let Some(view) = self.memory.as_ref().map(Memory::view) {
            let standing = self.standing();
            let text = PlainText::of(ticket.text(), usize::MAX, self.redactor());
            let votes = view.label_votes(text.as_str(), ticket.id())?;
            blended = scores.iter_mut().map(|scores| self.blend(scores, &votes, &standing)).collect();
            (memory, feedback) = (view.version().to_string(), standing.version.to_string());
        }
        let mut fields = self.apply_policy(&classification, &scores, ticket);
        for (scores, Blended { memory_leads, witnesses, .. }) in scores.iter().zip(blended) {
            let Some(field) = fields.iter_mut().find(|field| *field.field == *scores.name) else { continue };
            field.witnesses = witnesses;
            if memory_leads && field.source == ValueSource::Model {
                field.source = ValueSource::Memory;
            }
        }
        let priority = policy::prioritise(&fields, &self.taxonomy, ticket);
        Ok(Decided { classification, fields, priority, memory, feedback })
    }

    /// The proposal for every field. What is certified is the model's own guess at its own confidence: where the
    /// confirmed tickets only agree, it is no less right.
    fn apply_policy(&self, own: &Classification, scores: &[FieldScores], ticket: &Ticket) -> Vec<FieldDecision> {
        let certifies = |guess: &FieldDecision, precision: Precision| {
            let field = own.fields.iter().find(|field| *field.name == *guess.field);
            let known = field.and_then(|field| field.ranked.iter().find(|ranked| *ranked.label == *guess.value));
            known
                .is_some_and(|known| self.classifier.certifies(&guess.field, &guess.value, known.confidence, precision))
        };
        policy::decide(scores, &self.taxonomy, ticket, &certifies)
    }

    /// Takes what the witnesses say into the scores of one field.
    fn blend(&self, scores: &mut FieldScores, votes: &LabelVotes<'_>, standing: &Standing) -> Blended {
        let field = scores.name.clone();
        let current = |label| self.taxonomy.allows(&field, label).then_some(label);
        let is_new = |label: &&str| scores.ranked.iter().all(|ranked| *ranked.label != **label);
        let of_taxonomy = self.taxonomy.fields.get(&*field).into_iter().flatten().map(|label| label.value.as_str());
        let of_witnesses = votes.witnesses.iter().flat_map(|witness| &witness.labels);
        let of_witnesses = of_witnesses.filter(|said| *said.field == *field).filter_map(|said| current(said.label));
        let mut new: Vec<&str> = of_taxonomy.chain(of_witnesses).filter(is_new).collect();
        new.sort_unstable();
        new.dedup();
        let new: Vec<NewLabel<'_>> = new
            .into_iter()
            .filter_map(|label| {
                let (likeness, count) = votes.likeness(&field, label)?;
                Some(NewLabel { label, likeness, count })
            })
            .collect();
        let best = scores.ranked.first().and_then(|best| votes.likeness(&field, &best.label));
        let best = best.filter(|(_, tickets)| *tickets >= ENOUGH_TICKETS).map(|(likeness, _)| likeness);
        let mut blended = blend::blend(scores, &votes.witnesses, &new, best, standing, &current);
        if let Some(ranked) = blended.ranked.take() {
            let of_text = scores.abstention.filter(|abstention| abstention.is_of_text());
            // A text whose like is confirmed is in scope, and its language is known at the desk.
            let of_text = of_text.filter(|of_text| !blended.memory_leads || *of_text == Abstention::TooShort);
            scores.abstention = of_text.or_else(|| self.classifier.doubt(&field, &ranked));
            scores.ranked = ranked;
        }
        blended
    }

    /// What feedback taught so far.
    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up what feedback teaches now about this model and the memory.
    pub fn relearn(&self) -> Result<(), TriageError> {
        let Some(feedback) = &self.feedback else { return Ok(()) };
        let fields: Vec<&str> = self.classifier.fields().iter().map(|field| &*field.name).collect();
        let standing = feedback.standing(self.classifier.version(), &fields)?;
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(standing);
        Ok(())
    }

    pub(super) fn relearn_or_log(&self) {
        if let Err(error) = self.relearn() {
            let error: &dyn Error = &error;
            tracing::error!(error, "what feedback taught cannot be read: model and memory count as usual");
        }
    }

    /// With what feedback on the fields of this decision is given; none where none is taken.
    pub(super) fn decision_handle(
        &self,
        ticket: &Ticket,
        decision: &TriageDecision,
    ) -> Result<Option<String>, TriageError> {
        let promised = |field: &str| match self.taxonomy.route(field) {
            RouteSetting::Autofill(precision) => Some(precision.share()),
            RouteSetting::Off | RouteSetting::Monitor | RouteSetting::Recommend => None,
        };
        self.feedback.as_ref().map(|feedback| feedback.decision_handle(ticket, decision, &promised)).transpose()
    }
}
