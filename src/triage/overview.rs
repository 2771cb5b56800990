//! What this model and this taxonomy propose together, and where they do not fit: for clients, and for the log.

use std::collections::HashSet;

use super::Triager;
use crate::domain::{
    priority::Impact,
    route::{Precision, RouteSetting},
    taxonomy::{ASSIGNMENT_GROUP, CATEGORY, IMPACT, Label, URGENCY},
};

/// A field that decisions may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldOverview {
    pub name: String,
    /// The labels that may be proposed.
    pub labels: Vec<Label>,
    /// What the desk wants done with it; a field that is off is in no decision.
    pub route: RouteSetting,
    /// With autofill: whether any threshold of the model certifies the precision asked for. Without one the model's
    /// guesses are recommended on every ticket.
    pub is_certified: bool,
}

impl Triager {
    /// The fields of a decision, in its order, those that are off included. Priority is no field: it follows from
    /// the matrix.
    pub fn fields(&self) -> Vec<FieldOverview> {
        let described = |field: &str, value: &str| {
            let known = self.taxonomy.fields.get(field).into_iter().flatten().find(|label| label.value == value);
            known.cloned().unwrap_or_else(|| Label::new(value, ""))
        };
        let mut fields: Vec<_> = self
            .classifier
            .fields()
            .iter()
            .map(|field| {
                let names = self.taxonomy.names(&field.name);
                let mut allowed: Vec<_> = field.labels.iter().filter_map(|label| names.current(label)).collect();
                if !names.is_plain() {
                    // Those of a merged label are one.
                    let mut seen = HashSet::new();
                    allowed.retain(|label| seen.insert(*label));
                }
                // A desk's own taxonomy may have labels that no model knows yet.
                let listed = self.taxonomy.fields.get(&*field.name).filter(|_| self.taxonomy.restricts);
                let new: Vec<_> = listed.into_iter().flatten().map(|label| &*label.value).collect();
                let new = new.into_iter().filter(|label| !allowed.contains(label)).collect::<Vec<_>>();
                allowed.extend(new);
                let labels: Vec<_> = allowed.into_iter().map(|label| described(&field.name, label)).collect();
                let (route, is_certified) = self.route(&field.name, &field.name);
                FieldOverview { name: field.name.to_string(), labels, route, is_certified }
            })
            .filter(|field| !field.labels.is_empty())
            .collect();
        fields.extend(self.unlearnt_fields().map(|name| {
            let labels = self.taxonomy.fields.get(name).cloned().unwrap_or_default();
            FieldOverview { name: name.to_owned(), labels, route: self.taxonomy.route(name), is_certified: false }
        }));
        let categories = fields.iter().find(|field| field.name == CATEGORY);
        if let (Some(categories), false) = (categories, fields.iter().any(|field| field.name == ASSIGNMENT_GROUP)) {
            let categories = &categories.labels;
            let mut groups: Vec<_> =
                categories.iter().map(|label| self.taxonomy.group(&label.value).to_owned()).collect();
            groups.sort_unstable();
            groups.dedup();
            let labels = groups.into_iter().map(|value| Label::new(value, "")).collect();
            let (route, is_certified) = self.route(ASSIGNMENT_GROUP, CATEGORY);
            fields.push(FieldOverview { name: ASSIGNMENT_GROUP.to_owned(), labels, route, is_certified });
        }
        fields
    }

    /// The setting of `field`, and whether any guess of the field `guessed` can be certified for it.
    fn route(&self, field: &str, guessed: &str) -> (RouteSetting, bool) {
        let (route, names) = (self.taxonomy.route(field), self.taxonomy.names(guessed));
        let learnt = self.classifier.fields().iter().filter(|field| *field.name == *guessed);
        let guesses = || learnt.clone().flat_map(|field| &field.labels).filter(|label| names.current(label).is_some());
        let certifies =
            |precision: Precision| guesses().any(|label| self.classifier.certifies(guessed, label, 1.0, precision));
        (route, matches!(route, RouteSetting::Autofill(precision) if certifies(precision)))
    }

    /// Where model and taxonomy do not fit together, as sentences for the log.
    pub fn mismatches(&self) -> Vec<String> {
        let mut mismatches = self.label_mismatches();
        mismatches.extend(self.route_mismatches());
        mismatches
    }

    fn label_mismatches(&self) -> Vec<String> {
        let mut mismatches = Vec::new();
        for field in self.classifier.fields() {
            let levels_only = matches!(&*field.name, IMPACT | URGENCY);
            if levels_only && field.labels.iter().any(|label| Impact::parse(label).is_none()) {
                mismatches.push(format!(
                    "the model's labels of {} are not high, medium and low: where they decide, there is no priority",
                    field.name
                ));
            }
            if !self.taxonomy.restricts {
                continue;
            }
            let wanted = self.taxonomy.fields.get(&*field.name).map(Vec::as_slice).unwrap_or_default();
            let names = self.taxonomy.names(&field.name);
            let current: HashSet<_> = field.labels.iter().filter_map(|known| names.current(known)).collect();
            let learnt = |label: &&Label| current.contains(label.value.as_str());
            let unlearnt: Vec<_> = wanted.iter().filter(|label| !learnt(label)).map(|label| &*label.value).collect();
            if !wanted.is_empty() && unlearnt.len() == wanted.len() {
                mismatches.push(format!(
                    "the model knows none of the taxonomy's labels of {}: the field is left out",
                    field.name
                ));
            } else if !unlearnt.is_empty() {
                mismatches.push(format!(
                    "the model has not learnt these labels of {}: only their descriptions and examples and confirmed \
                     tickets speak for them: {}",
                    field.name,
                    some_of(&unlearnt)
                ));
            }
            let retired = self.taxonomy.retired.get(&*field.name).map(Vec::as_slice).unwrap_or_default();
            let is_retired = |label: &str| retired.iter().any(|retired| retired.value == label);
            let unlisted = field.labels.iter().filter(|label| names.current(label).is_none());
            let unlisted: Vec<_> =
                unlisted.filter(|label| !is_retired(names.renamed(label))).map(|label| &**label).collect();
            if !wanted.is_empty() && !unlisted.is_empty() {
                mismatches.push(format!(
                    "the taxonomy does not list these labels of {}, which the model has learnt: they are never \
                     proposed: {}",
                    field.name,
                    some_of(&unlisted)
                ));
            }
        }
        mismatches
    }

    fn route_mismatches(&self) -> Vec<String> {
        let fields = self.fields();
        let is_off = |name: &str| self.taxonomy.route(name) == RouteSetting::Off;
        let is_learnt = |name: &str| self.classifier.fields().iter().any(|field| *field.name == *name);
        let follows_from_category = !is_learnt(ASSIGNMENT_GROUP);
        let mut mismatches = Vec::new();
        for (name, setting) in &self.taxonomy.routes {
            let Some(field) = fields.iter().find(|field| field.name == *name) else {
                let known: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                let known = known.join(", ");
                mismatches
                    .push(format!("the taxonomy routes `{name}`, which this model does not have: it has {known}"));
                continue;
            };
            if let (RouteSetting::Autofill(precision), false) = (setting, field.is_certified) {
                let but = match name.as_str() {
                    IMPACT if !self.taxonomy.impact_sources.is_empty() => {
                        "and filled only where the impact table raises it"
                    }
                    ASSIGNMENT_GROUP if follows_from_category => "and filled only where the form holds the category",
                    _ => "never filled",
                };
                mismatches.push(format!("no threshold certifies {precision} for `{name}`: it is recommended, {but}"));
            }
            if name == ASSIGNMENT_GROUP && follows_from_category && is_off(CATEGORY) && !is_off(name) {
                mismatches.push(format!(
                    "`{name}` follows from `{CATEGORY}`, which is off: only a category in the form gives one"
                ));
            }
            if [IMPACT, URGENCY].contains(&name.as_str()) && is_off(name) {
                mismatches.push(format!("`{name}` is off: there is a priority only where the form holds it"));
            }
        }
        mismatches
    }
}

/// The first ones, and how many there are besides.
fn some_of(labels: &[&str]) -> String {
    const SHOWN: usize = 20;
    let shown = labels[..labels.len().min(SHOWN)].join(", ");
    if labels.len() > SHOWN { format!("{shown} and {} more", labels.len() - SHOWN) } else { shown }
}
