//! Pure: what may be done with a value on this ticket, by the desk's setting and the model's certificate.
//! Refuses to fill in what the model abstains from, and what the form holds already.

use crate::domain::{
    decision::{FieldDecision, ValueSource},
    route::{Precision, Route, RouteSetting},
    taxonomy::{IMPACT, Taxonomy, URGENCY},
};

/// Whether a best guess of the model is certified for a precision.
pub(super) type Certifies<'a> = &'a dyn Fn(&FieldDecision, Precision) -> bool;

/// The route of a field; `None` where it is off. `category` is the decision that a group from the table follows from.
pub(super) fn of_field(
    decision: &FieldDecision,
    category: Option<&FieldDecision>,
    taxonomy: &Taxonomy,
    certifies: Certifies,
) -> Option<Route> {
    let setting = taxonomy.route(&decision.field);
    let RouteSetting::Autofill(precision) = setting else { return setting.furthest() };
    let certified = |guess: &FieldDecision| guess.abstention.is_none() && certifies(guess, precision);
    let fills = match decision.source {
        ValueSource::Model => certified(decision),
        // There is nothing left to fill in; and no certificate speaks of what confirmed tickets say against the model.
        ValueSource::Form | ValueSource::Memory => false,
        // The desk's own rule, and no guess.
        ValueSource::ImpactTable(_) => true,
        ValueSource::GroupTable => {
            category.is_some_and(|category| category.source == ValueSource::Form || certified(category))
        }
    };
    Some(if fills { Route::Autofill } else { Route::Recommend })
}

/// The route of the priority that follows from these fields. What a person put into the form does not hold it back.
pub(super) fn of_priority(fields: &[FieldDecision], taxonomy: &Taxonomy) -> Route {
    let of_level = |name: &str| {
        let decided = fields.iter().find(|decision| decision.field == name);
        match decided.filter(|decision| decision.source != ValueSource::Form) {
            Some(decision) => decision.route,
            None => taxonomy.route(name).furthest().map_or(Route::Recommend, |furthest| furthest.max(Route::Recommend)),
        }
    };
    of_level(IMPACT).min(of_level(URGENCY))
}
