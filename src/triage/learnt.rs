//! What a ticket is by the model alone, and by model and confirmed tickets together; both under the names that labels
//! have now, and with labels that the model does not know yet.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    error::Error,
    sync::{Arc, PoisonError},
};

use super::{
    Triager,
    blend::{self, Blended, NewLabel},
    naming, policy,
};
use crate::{
    classify::{Classification, FieldScores},
    domain::{
        decision::{Abstention, FieldDecision, PriorityDecision, TriageDecision, ValueSource},
        priority::Impact,
        route::{Precision, Route, RouteSetting},
        taxonomy::{ASSIGNMENT_GROUP, IMPACT, URGENCY},
        ticket::Ticket,
    },
    encode::{PlainText, TextVector},
    error::TriageError,
    feedback::Standing,
    memory::{LabelVotes, Memory, Witness},
    telemetry::METRICS,
};

/// Of a field that no model has been calibrated for: less apart is close, and less is unlikely.
const CLOSE: f32 = 0.1;
const LIKELY: f32 = 0.5;

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

/// What there is to compare a ticket with, beside what the model learnt.
struct Experience<'a> {
    votes: Option<&'a LabelVotes<'a>>,
    /// As it is read.
    text: String,
    /// Made when it is first asked for: mostly every label is known.
    vector: OnceCell<TextVector>,
    standing: Arc<Standing>,
}

impl Triager {
    /// What model and taxonomy make of a ticket, without reasons and without the memory: for work over many tickets,
    /// which counts them itself and must come out the same however the memory changes meanwhile.
    pub(crate) fn decide(&self, ticket: &Ticket) -> (Classification, Vec<FieldDecision>, Option<PriorityDecision>) {
        let classification = self.classifier.classify_for_caller(ticket.text());
        let mut scores = self.renamed(&classification);
        if !self.examples.is_empty() {
            let experience =
                Experience { votes: None, text: self.plain(ticket), vector: OnceCell::new(), standing: Arc::default() };
            for scores in &mut scores {
                self.blend(scores, &experience);
            }
        }
        let fields = self.apply_policy(&classification, &scores, ticket, &Standing::default());
        let priority = policy::prioritise(&fields, &self.taxonomy, ticket);
        (classification, fields, priority)
    }

    /// The same with what confirmed tickets like it say; the one with its id is left out.
    pub(super) fn decide_with_memory(&self, ticket: &Ticket) -> Result<Decided, TriageError> {
        let Some(view) = self.memory.as_ref().map(Memory::view) else {
            let (classification, fields, priority) = self.decide(ticket);
            let (memory, feedback) = (String::new(), String::new());
            return Ok(Decided { classification, fields, priority, memory, feedback });
        };
        let classification = self.classifier.classify_for_caller(ticket.text());
        let mut scores = self.renamed(&classification);
        let text = self.plain(ticket);
        let votes = view.label_votes(&text, ticket.id())?;
        let experience = Experience { votes: Some(&votes), text, vector: OnceCell::new(), standing: self.standing() };
        let blended: Vec<Blended> = scores.iter_mut().map(|scores| self.blend(scores, &experience)).collect();
        let mut fields = self.apply_policy(&classification, &scores, ticket, &experience.standing);
        for (scores, Blended { memory_leads, witnesses, .. }) in scores.iter().zip(blended) {
            let Some(field) = fields.iter_mut().find(|field| *field.field == *scores.name) else { continue };
            field.witnesses = witnesses;
            if memory_leads && field.source == ValueSource::Model {
                (field.source, field.is_demoted) = (ValueSource::Memory, false);
            }
        }
        let priority = policy::prioritise(&fields, &self.taxonomy, ticket);
        let (memory, feedback) = (view.version().to_string(), experience.standing.version.to_string());
        Ok(Decided { classification, fields, priority, memory, feedback })
    }

    /// As it is compared with other texts.
    fn plain(&self, ticket: &Ticket) -> String {
        PlainText::of(ticket.text(), usize::MAX, self.redactor()).as_str().to_owned()
    }

    /// What the model says, under the names that its labels have now; nothing yet of the fields that only the taxonomy
    /// has.
    pub(super) fn renamed(&self, classification: &Classification) -> Vec<FieldScores> {
        let doubt = |field: &str, first: f32, second: Option<f32>| self.classifier.doubt(field, first, second);
        let mut scores = naming::rename(&classification.fields, &self.taxonomy, &doubt).into_owned();
        let of_text = classification.fields.iter().find_map(|field| field.abstention.filter(|why| why.is_of_text()));
        for field in self.unlearnt_fields() {
            scores.push(FieldScores { name: field.into(), ranked: Vec::new(), abstention: of_text });
        }
        scores
    }

    /// Fields that the desk's taxonomy has labels of and the model does not know.
    pub(super) fn unlearnt_fields(&self) -> impl Iterator<Item = &str> {
        let fields = self.taxonomy.fields.keys().filter(|_| self.taxonomy.restricts).map(String::as_str);
        fields.filter(|field| {
            !matches!(*field, IMPACT | URGENCY | ASSIGNMENT_GROUP)
                && self.classifier.fields().iter().all(|known| *known.name != **field)
        })
    }

    /// Why the best of these is not to be used unseen.
    fn doubt(&self, field: &str, first: f32, second: Option<f32>) -> Option<Abstention> {
        if self.classifier.fields().iter().any(|known| *known.name == *field) {
            return self.classifier.doubt(field, first, second);
        }
        if second.is_some_and(|second| first - second < CLOSE) {
            return Some(Abstention::Ambiguous);
        }
        (first < LIKELY).then_some(Abstention::LowConfidence)
    }

    /// The proposal for every field. Training certified the model's own labels at its own confidence: the best one
    /// behind a value must be as sure as is asked, and where confirmed tickets only agree, the value is no less right.
    /// What feedback shows to be wrong more often than that is only recommended.
    fn apply_policy(
        &self,
        own: &Classification,
        scores: &[FieldScores],
        ticket: &Ticket,
        standing: &Standing,
    ) -> Vec<FieldDecision> {
        let certified = |guess: &FieldDecision, precision: Precision| {
            let FieldDecision { field, value, .. } = guess;
            naming::behind(&own.fields, &self.taxonomy, field, value)
                .is_some_and(|behind| self.classifier.certifies(field, &behind.label, behind.confidence, precision))
        };
        let certifies = |guess: &FieldDecision, precision: Precision| {
            !standing.is_demoted(&guess.field, &guess.value) && certified(guess, precision)
        };
        let mut fields = policy::decide(scores, &self.taxonomy, ticket, &certifies);
        for field in fields.iter_mut().filter(|field| standing.is_demoted(&field.field, &field.value)) {
            if let (RouteSetting::Autofill(precision), Route::Recommend) =
                (self.taxonomy.route(&field.field), field.route)
            {
                field.is_demoted =
                    field.source == ValueSource::Model && field.abstention.is_none() && certified(field, precision);
            }
        }
        fields
    }

    /// Takes what witnesses and examples say into the scores of one field.
    fn blend(&self, scores: &mut FieldScores, experience: &Experience<'_>) -> Blended {
        let field = scores.name.clone();
        let names = self.taxonomy.names(&field);
        // Priority follows from these two: nothing but their levels may come of what tickets say.
        let is_level = |label: &str| !matches!(&*field, IMPACT | URGENCY) || Impact::parse(label).is_some();
        let current = |label| names.current(label).filter(|label| is_level(label));
        let witnesses: &[Witness<'_>] = experience.votes.map_or(&[], |votes| &votes.witnesses);
        let is_new = |label: &str| scores.ranked.iter().all(|ranked| *ranked.label != *label);
        // By label, the sum of likenesses, each as often as there are texts, and how many there are.
        let mut new: BTreeMap<&str, (f32, u32)> = BTreeMap::new();
        let vector = || {
            let contrasted = || self.classifier.contrasted(&TextVector::of(&experience.text));
            experience.vector.get_or_init(contrasted)
        };
        if self.examples.has(&field) {
            for (label, likeness, texts) in self.examples.likenesses(&field, vector()) {
                new.insert(label, (weighted(likeness, texts), texts));
            }
        }
        if let Some(votes) = experience.votes {
            let of_taxonomy = self.taxonomy.fields.get(&*field).into_iter().flatten().map(|label| label.value.as_str());
            let said = witnesses.iter().flat_map(|witness| &witness.labels).filter(|said| *said.field == *field);
            let mut known: Vec<&str> =
                said.filter_map(|said| current(said.label)).chain(of_taxonomy).filter(|label| is_new(label)).collect();
            known.sort_unstable();
            known.dedup();
            for label in known {
                let Some((likeness, tickets)) = votes.likeness(&field, label, vector()) else { continue };
                let (sum, texts) = new.entry(label).or_default();
                *sum += weighted(likeness, tickets);
                *texts += tickets;
            }
        }
        let new: Vec<NewLabel<'_>> = new
            .into_iter()
            .map(|(label, (sum, count))| NewLabel { label, likeness: sum / weighted(1.0, count), count })
            .collect();
        // A label that was retired, as one that was split, does not keep its texts from those that took its place.
        let is_current = |label: &str| names.current(label).is_some();
        let learnt = if new.is_empty() { None } else { self.classifier.likeness(&field, vector(), is_current) };
        let mut blended = blend::blend(scores, witnesses, &new, learnt, &experience.standing, &current);
        if let Some(ranked) = blended.ranked.take() {
            let of_text = scores.abstention.filter(|abstention| abstention.is_of_text());
            // A text whose like is confirmed is in scope, and its language is known at the desk.
            let of_text = of_text.filter(|of_text| !blended.memory_leads || *of_text == Abstention::TooShort);
            let confidence = |place: usize| ranked.get(place).map(|ranked| ranked.confidence);
            let doubt = || self.doubt(&field, confidence(0).unwrap_or_default(), confidence(1));
            scores.abstention = of_text.or_else(doubt);
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
        let standing = Arc::new(standing);
        let mut current = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Arc::clone(&standing));
        drop(current);
        for (field, label) in standing.demoted().filter(|(field, label)| !before.is_demoted(field, label)) {
            tracing::warn!(
                field,
                label,
                "fewer of these are right than was promised: recommended, no longer filled in"
            );
        }
        for (field, label) in before.demoted().filter(|(field, label)| !standing.is_demoted(field, label)) {
            tracing::info!(field, label, "what was promised is kept again: filled in as before");
        }
        METRICS.set_demoted(standing.demoted().map(|(field, _)| field));
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

/// A likeness as often as there are texts.
#[expect(clippy::cast_precision_loss, reason = "only the ratio of such numbers counts")]
fn weighted(likeness: f32, texts: u32) -> f32 {
    likeness * texts as f32
}
