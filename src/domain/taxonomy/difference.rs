//! What tells one taxonomy from another, for dry runs, histories and the log.

use std::collections::{BTreeMap, BTreeSet};

use super::{CATEGORY, Label, LearntLabels, Taxonomy, find};
use crate::domain::{priority::Priority, sla::written};

/// What becomes of the labels of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldDifference {
    pub field: String,
    pub added: Vec<String>,
    /// From and to.
    pub renamed: Vec<(String, String)>,
    /// From and into.
    pub merged: Vec<(String, String)>,
    pub retired: Vec<String>,
    pub restored: Vec<String>,
    /// In the document no more: never proposed, as though they were retired.
    pub removed: Vec<String>,
    /// With another description, or other examples.
    pub described: Vec<String>,
}

/// From one taxonomy to another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaxonomyDifference {
    /// Those with a difference, by name.
    pub fields: Vec<FieldDifference>,
    /// What else is another, as sentences.
    pub others: Vec<String>,
}

impl FieldDifference {
    fn is_empty(&self) -> bool {
        *self == Self { field: self.field.clone(), ..Self::default() }
    }

    fn sentences(&self) -> Vec<String> {
        let Self { field, added, renamed, merged, retired, restored, removed, described } = self;
        let plain = |verb: &str, values: &[String]| -> Vec<String> {
            values.iter().map(|value| format!("{field}: {verb} {value}")).collect()
        };
        let pairs = |verb: &str, link: &str, pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(from, to)| format!("{field}: {verb} {from} {link} {to}")).collect()
        };
        let parts = [
            plain("added", added),
            pairs("renamed", "to", renamed),
            pairs("merged", "into", merged),
            plain("retired", retired),
            plain("restored", restored),
            plain("removed", removed),
            plain("described", described),
        ];
        parts.concat()
    }

    /// Labels that mean something else than before, by the names that they had.
    pub fn concerned(&self) -> impl Iterator<Item = &str> {
        let Self { renamed, merged, retired, restored, removed, .. } = self;
        let moved = renamed.iter().chain(merged).map(|(from, _)| from);
        moved.chain(retired).chain(restored).chain(removed).map(String::as_str)
    }
}

impl TaxonomyDifference {
    /// From `old` to `new`, while a model with these labels serves.
    pub fn between(old: &Taxonomy, new: &Taxonomy, learnt: &LearntLabels) -> Self {
        let others = others(old, new);
        // What a taxonomy leaves open is what the model knows: nothing is added by writing it down.
        let list = |taxonomy: &Taxonomy| if new.restricts { taxonomy.listed(learnt) } else { taxonomy.clone() };
        let (old, new) = (list(old), list(new));
        let fields: BTreeSet<&String> = [&old, &new]
            .into_iter()
            .flat_map(|taxonomy| taxonomy.fields.keys().chain(taxonomy.retired.keys()))
            .collect();
        let fields = fields.into_iter().map(|field| of_field(field, &old, &new)).filter(|field| !field.is_empty());
        let mut difference = Self { fields: fields.collect(), others };
        difference.others.extend(moved_groups(&old, &new));
        difference
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.others.is_empty()
    }

    /// Everything, a line each.
    pub fn sentences(&self) -> Vec<String> {
        self.fields.iter().flat_map(FieldDifference::sentences).chain(self.others.iter().cloned()).collect()
    }

    /// By field, every name under which tickets may bear a label that means something else than before.
    pub fn concerned(&self, old: &Taxonomy) -> BTreeMap<String, BTreeSet<String>> {
        let of_field = |difference: &FieldDifference| {
            let field = &difference.field;
            let names = difference.concerned().flat_map(|value| {
                old.former_names(field, value).map(str::to_owned).chain([value.to_owned()]).collect::<Vec<_>>()
            });
            (field.clone(), names.collect::<BTreeSet<_>>())
        };
        self.fields.iter().map(of_field).filter(|(_, names)| !names.is_empty()).collect()
    }
}

fn of_field(field: &str, old: &Taxonomy, new: &Taxonomy) -> FieldDifference {
    let labels = |of: &BTreeMap<String, Vec<Label>>| of.get(field).cloned().unwrap_or_default();
    let (before, after) = (labels(&old.fields), labels(&new.fields));
    let (gone_before, gone_after) = (labels(&old.retired), labels(&new.retired));
    let aliases = new.aliases.get(field);
    let mut difference = FieldDifference { field: field.to_owned(), ..FieldDifference::default() };
    let mut moved: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for label in &before {
        let value = label.value.as_str();
        if let Some(now) = find(&after, value) {
            if now != label {
                difference.described.push(value.to_owned());
            }
        } else if find(&gone_after, value).is_some() {
            difference.retired.push(value.to_owned());
        } else if let Some(current) = aliases.and_then(|aliases| aliases.get(value)) {
            moved.entry(current).or_default().push(value);
        } else if new.fields.contains_key(field) {
            difference.removed.push(value.to_owned());
        }
    }
    let mut new_names = BTreeSet::new();
    for (current, values) in moved {
        let pairs = values.iter().map(|value| ((*value).to_owned(), current.to_owned()));
        if values.len() == 1 && find(&before, current).is_none() && find(&gone_before, current).is_none() {
            difference.renamed.extend(pairs);
        } else {
            difference.merged.extend(pairs);
        }
        new_names.insert(current.to_owned());
    }
    for label in after.iter().filter(|label| find(&before, &label.value).is_none()) {
        let value = &label.value;
        if find(&gone_before, value).is_some() {
            difference.restored.push(value.clone());
        } else if !new_names.contains(value) {
            difference.added.push(value.clone());
        }
    }
    difference
}

/// Categories that another group takes than before.
fn moved_groups(old: &Taxonomy, new: &Taxonomy) -> Vec<String> {
    let labels = old.fields.get(CATEGORY).into_iter().flatten();
    let moved = labels.filter_map(|label| {
        let now = new.current(CATEGORY, &label.value)?;
        let (before, after) = (old.group(&label.value), new.group(now));
        (before != after).then(|| format!("assignment group of {now}: {before} becomes {after}"))
    });
    moved.collect()
}

fn others(old: &Taxonomy, new: &Taxonomy) -> Vec<String> {
    let mut others = Vec::new();
    if old.name() != new.name() {
        others.push(format!("name: {} becomes {}", old.name(), new.name()));
    }
    if old.matrix != new.matrix {
        others.push(format!("matrix: {} becomes {}", old.matrix, new.matrix));
    }
    let routes: BTreeSet<&String> = old.routes.keys().chain(new.routes.keys()).collect();
    for field in routes {
        let (before, after) = (old.route(field), new.route(field));
        if before != after {
            others.push(format!("route of {field}: {before} becomes {after}"));
        }
    }
    for source in new.impact_sources.iter().filter(|source| !old.impact_sources.contains(source)) {
        others.push(format!("impact: {} {} counts as {}", source.kind.as_str(), source.name, source.impact));
    }
    let is_named = |source: &&super::ImpactSource| {
        new.impact_sources.iter().any(|other| other.kind == source.kind && other.name == source.name)
    };
    for source in old.impact_sources.iter().filter(|source| !is_named(source)) {
        others.push(format!("impact: {} {} raises nothing any more", source.kind.as_str(), source.name));
    }
    for priority in Priority::ALL {
        let (before, after) = (old.sla.of(priority), new.sla.of(priority));
        if before != after {
            let [response, resolution] = [after.response(), after.resolution()].map(written);
            others.push(format!("SLA of {priority}: response within {response}, resolution within {resolution}"));
        }
    }
    others
}
