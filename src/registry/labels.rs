//! The labels of a field as the desk calls them today: where models learn from tickets and where they are judged.

use std::collections::BTreeMap;

use crate::{
    classify::Classifier,
    domain::{memory::ConfirmedTicket, taxonomy::Taxonomy},
};

/// What a ticket was confirmed to be; `None` where the field is not known.
pub(super) fn label<'a>(taxonomy: &'a Taxonomy, ticket: &'a ConfirmedTicket, field: &str) -> Option<&'a str> {
    ticket.labels.get(field).map(|label| taxonomy.names(field).renamed(label))
}

/// What a model takes a text for, by field.
pub(super) fn guesses(taxonomy: &Taxonomy, classifier: &Classifier, text: &str) -> BTreeMap<String, String> {
    let guesses = classifier.best_guesses(text).into_iter();
    let renamed = guesses.map(|(field, guess)| {
        let current = taxonomy.names(&field).renamed(&guess).to_owned();
        (field, current)
    });
    renamed.collect()
}
