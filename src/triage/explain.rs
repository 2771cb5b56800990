//! Why a decision came out as it did: the words that carried each field, and sentences for people.

use std::fmt::Write as _;

use super::naming;
use crate::{
    classify::{Classification, Classifier},
    domain::{
        decision::{Evidence, FieldDecision, TriageDecision, ValueSource},
        route::Route,
        taxonomy::{ASSIGNMENT_GROUP, IMPACT, Taxonomy, URGENCY},
        ticket::Ticket,
    },
    encode::html,
};

/// Words shown for one field.
const MAX_EVIDENCE: usize = 5;

/// Adds to every field the words that spoke for the model's best guess; of a merged label, those for the best of the
/// model's labels that stand behind it.
pub(super) fn add_evidence(
    decision: &mut TriageDecision,
    classifier: &Classifier,
    taxonomy: &Taxonomy,
    classification: &Classification,
    ticket: &Ticket,
) {
    let guessed = decision.fields.iter().filter_map(|field| Some((&*field.field, &*field.candidates.first()?.value)));
    let guessed = guessed.map(|(field, value)| {
        let behind = naming::behind(&classification.fields, taxonomy, field, value);
        (field, behind.map_or(value, |ranked| &*ranked.label))
    });
    let explained = classifier.explain(classification, &guessed.collect::<Vec<_>>(), MAX_EVIDENCE);
    let guessed = decision.fields.iter_mut().filter(|field| !field.candidates.is_empty());
    for (field, attributions) in guessed.zip(explained) {
        field.evidence = attributions
            .into_iter()
            .map(|attribution| Evidence::within(ticket, attribution.bytes, attribution.weight))
            .collect();
    }
}

/// One sentence for the priority, and one for each field; none for what nobody is to see.
pub(super) fn reasons(decision: &TriageDecision) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(priority) = decision.priority.as_ref().filter(|priority| priority.route != Route::Monitor) {
        let because = |name: &str, level: &str| {
            let field = decision.field(name);
            format!("{name} {level}{}", field.map(|field| because(field, &field.value)).unwrap_or_default())
        };
        let mut reason = format!(
            "priority {} = {} × {}",
            priority.priority,
            because(IMPACT, priority.impact.as_str()),
            because(URGENCY, priority.urgency.as_str())
        );
        if priority.disagreement {
            reason.push_str("; the form holds another priority");
        }
        reasons.push(reason);
    }
    let shown = decision.fields.iter().filter(|field| field.route != Route::Monitor);
    reasons.extend(shown.filter_map(field_reason));
    reasons
}

fn field_reason(field: &FieldDecision) -> Option<String> {
    if field.field == ASSIGNMENT_GROUP && field.source == ValueSource::GroupTable {
        return None;
    }
    let best = field.candidates.first()?;
    if field.disagreement {
        return Some(format!(
            "{}: the form says {}, the text speaks for {} ({}){}",
            field.field,
            field.value,
            best.value,
            percent(best.confidence),
            words(field)
        ));
    }
    if let Some(abstention) = field.abstention {
        let runners_up: Vec<_> =
            field.candidates.iter().take(2).map(|one| format!("{} {}", one.value, percent(one.confidence))).collect();
        return Some(format!("{}: not sure ({}): {}", field.field, abstention.as_str(), runners_up.join(", ")));
    }
    if field.is_demoted {
        let because = because(field, &best.value);
        let demoted = "recommended only, since fewer of these were right than was promised";
        return Some(format!("{} {}{because}; {demoted}", field.field, field.value));
    }
    // Impact and urgency stand in the priority's sentence.
    (field.field != IMPACT && field.field != URGENCY)
        .then(|| format!("{} {}{}", field.field, field.value, because(field, &best.value)))
}

/// Where a value comes from, in brackets.
fn because(field: &FieldDecision, value: &str) -> String {
    match &field.source {
        ValueSource::Form => " (from the form)".to_owned(),
        ValueSource::ImpactTable(source) => format!(" ({source} counts as {value})"),
        ValueSource::Memory => {
            let like = field.witnesses.iter().find(|witness| witness.value == value);
            let like = like.map(|like| {
                let corrected = if like.corrected { ", corrected" } else { "" };
                format!(": like {} ({}{corrected})", like.ticket_id, percent(like.similarity))
            });
            format!(" ({}{})", percent(field.confidence), like.unwrap_or_default())
        }
        ValueSource::Model | ValueSource::GroupTable => {
            let mut because = format!(" ({}", percent(field.confidence));
            because.push_str(&words(field));
            because.push(')');
            because
        }
    }
}

fn words(field: &FieldDecision) -> String {
    let mut words = String::new();
    for (index, word) in field.evidence_words().take(3).enumerate() {
        let separator = if index == 0 { ": " } else { ", " };
        // Of HTML, the stretch that the word stands in may hold markup.
        let word = html::text(word);
        // Writing to a string cannot fail.
        write!(words, "{separator}“{word}”").ok();
    }
    words
}

/// Whole percents; nothing is rounded up to certainty.
pub(crate) fn percent(confidence: f32) -> String {
    if confidence > 0.995 { ">99 %".to_owned() } else { format!("{:.0} %", confidence * 100.0) }
}
