//! What may be changed about a taxonomy that is in use. Pure: a change gives another taxonomy, or everything that is
//! wrong with it. Names that labels had stay known, so that models and tickets that use them count for the new ones.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CATEGORY, ImpactSource, ImpactSourceKind, Label, PRIORITY, Taxonomy, first_level, labels,
    rules::{follows_from_tables, has_route, is_fixed},
};
use crate::{
    domain::{
        priority::{Impact, Priority, PriorityMatrix, Urgency},
        route::RouteSetting,
        sla::SlaTarget,
    },
    error::FieldViolation,
};

/// The labels that the model which serves has learnt, by field.
pub type LearntLabels = BTreeMap<String, Vec<String>>;

/// One change. Where a label is named that others lie below, they come along.
#[derive(Debug, Clone, PartialEq)]
pub enum TaxonomyChange {
    /// A field that neither the taxonomy nor the model has, with its first labels.
    AddField {
        field: String,
        labels: Vec<Label>,
    },
    AddLabel {
        field: String,
        label: Label,
    },
    /// What is `None` stays as it is.
    Describe {
        field: String,
        value: String,
        description: Option<String>,
        examples: Option<Vec<String>>,
    },
    Rename {
        field: String,
        from: String,
        to: String,
    },
    /// `from` become `into`, which must be there.
    Merge {
        field: String,
        into: String,
        from: Vec<String>,
    },
    /// `from` is retired, and `into` take its place.
    Split {
        field: String,
        from: String,
        into: Vec<Label>,
    },
    Retire {
        field: String,
        value: String,
    },
    Restore {
        field: String,
        value: String,
    },
    SetRoute {
        field: String,
        route: RouteSetting,
    },
    /// `None`: the category has no group of its own.
    SetGroup {
        category: String,
        group: Option<String>,
    },
    /// `None`: it raises nothing any more.
    SetImpactSource {
        kind: ImpactSourceKind,
        name: String,
        impact: Option<Impact>,
    },
    SetMatrix(PriorityMatrix),
    SetSla {
        priority: Priority,
        target: SlaTarget,
    },
}

impl TaxonomyChange {
    /// As requests and violations name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AddField { .. } => "add_field",
            Self::AddLabel { .. } => "add_label",
            Self::Describe { .. } => "describe",
            Self::Rename { .. } => "rename",
            Self::Merge { .. } => "merge",
            Self::Split { .. } => "split",
            Self::Retire { .. } => "retire",
            Self::Restore { .. } => "restore",
            Self::SetRoute { .. } => "set_route",
            Self::SetGroup { .. } => "set_group",
            Self::SetImpactSource { .. } => "set_impact_source",
            Self::SetMatrix(_) => "set_matrix",
            Self::SetSla { .. } => "set_sla",
        }
    }
}

impl Taxonomy {
    /// What these changes, one after the other, make of the taxonomy while a model with these labels serves: all of
    /// them, or everything that is wrong. The version stays that of before.
    pub fn changed(&self, changes: &[TaxonomyChange], learnt: &LearntLabels) -> Result<Self, Vec<FieldViolation>> {
        let mut changed = self.clone();
        let mut violations = Vec::new();
        for (place, change) in changes.iter().enumerate() {
            if let Err(problem) = changed.apply(change, learnt) {
                violations.push(FieldViolation::new(format!("changes[{place}].{}", change.as_str()), problem));
            }
        }
        if violations.is_empty() {
            violations = changed.violations();
        }
        if violations.is_empty() { Ok(changed) } else { Err(violations) }
    }

    /// The same with every field that the model knows listed. Where the taxonomy only described, it restricts from now
    /// on, to what could be proposed before: the model's labels, each with what is said about it.
    #[must_use]
    pub fn listed(&self, learnt: &LearntLabels) -> Self {
        let mut listed = self.restricting(learnt);
        for field in learnt.keys() {
            listed.list_field(field, learnt);
        }
        listed
    }

    fn restricting(&self, learnt: &LearntLabels) -> Self {
        let mut restricting = self.clone();
        if self.restricts {
            return restricting;
        }
        restricting.restricts = true;
        restricting.fields.clear();
        for field in learnt.keys() {
            let labels = self.labels_in_use(field, learnt);
            if !labels.is_empty() {
                restricting.fields.insert(field.clone(), labels);
            }
        }
        let Self { fields, retired, aliases, groups, .. } = &mut restricting;
        retired.retain(|field, _| fields.contains_key(field));
        aliases.retain(|field, _| fields.contains_key(field));
        if let Some(categories) = fields.get(CATEGORY) {
            let is_known = |category: &str| {
                categories.iter().any(|label| label.value == category || first_level(&label.value) == category)
            };
            groups.retain(|category, _| is_known(category));
        }
        restricting
    }

    /// Lists a field that had the labels of the model.
    fn list_field(&mut self, field: &str, learnt: &LearntLabels) {
        if !self.fields.contains_key(field) {
            let labels = self.labels_in_use(field, learnt);
            if !labels.is_empty() {
                self.fields.insert(field.to_owned(), labels);
            }
        }
    }

    /// The model's labels under the names that they have now, with what is said about them.
    fn labels_in_use(&self, field: &str, learnt: &LearntLabels) -> Vec<Label> {
        let names = self.names(field);
        let known = learnt.get(field).into_iter().flatten();
        let values: BTreeSet<&str> = known.filter_map(|label| names.current(label)).collect();
        let is_possible =
            |value: &&str| !is_fixed(field) || (Impact::parse(value).is_some() && Urgency::parse(value).is_some());
        let values = values.into_iter().filter(is_possible);
        values.map(|value| self.label(field, value).cloned().unwrap_or_else(|| Label::new(value, ""))).collect()
    }

    fn apply(&mut self, change: &TaxonomyChange, learnt: &LearntLabels) -> Result<(), String> {
        match change {
            TaxonomyChange::AddField { field, labels } => self.add_field(field, labels, learnt),
            TaxonomyChange::AddLabel { field, label } => {
                self.open_field(field, learnt)?;
                labels::add(self, field, label)
            }
            TaxonomyChange::Describe { field, value, description, examples } => {
                self.open_field(field, learnt)?;
                labels::describe(self, field, value, description.as_deref(), examples.as_deref())
            }
            TaxonomyChange::Rename { field, from, to } => {
                self.open_field(field, learnt)?;
                labels::rename(self, field, from, to.trim())
            }
            TaxonomyChange::Merge { field, into, from } => {
                self.open_field(field, learnt)?;
                labels::merge(self, field, into, from)
            }
            TaxonomyChange::Split { field, from, into } => {
                self.open_field(field, learnt)?;
                labels::split(self, field, from, into)
            }
            TaxonomyChange::Retire { field, value } => {
                self.open_field(field, learnt)?;
                labels::retire(self, field, value)
            }
            TaxonomyChange::Restore { field, value } => {
                self.open_field(field, learnt)?;
                labels::restore(self, field, value)
            }
            TaxonomyChange::SetRoute { field, route } => self.set_route(field, *route, learnt),
            TaxonomyChange::SetGroup { category, group } => self.set_group(category, group.as_deref(), learnt),
            TaxonomyChange::SetImpactSource { kind, name, impact } => self.set_impact_source(*kind, name, *impact),
            TaxonomyChange::SetMatrix(matrix) => {
                self.matrix = matrix.clone();
                Ok(())
            }
            TaxonomyChange::SetSla { priority, target } => {
                self.sla = self.sla.with(*priority, *target);
                Ok(())
            }
        }
    }

    /// Sees to it that the labels of the field are listed.
    fn open_field(&mut self, field: &str, learnt: &LearntLabels) -> Result<(), String> {
        if field == PRIORITY {
            return Err("priority follows from the matrix and has no labels of its own".to_owned());
        }
        let mut listed = self.restricting(learnt);
        listed.list_field(field, learnt);
        if !listed.fields.contains_key(field) {
            if follows_from_tables(field) {
                return Err(format!("`{field}` follows from the category: set the group of a category"));
            }
            return Err(listed.no_such_field(field));
        }
        *self = listed;
        Ok(())
    }

    fn no_such_field(&self, field: &str) -> String {
        let known: Vec<_> = self.fields.keys().map(String::as_str).collect();
        format!("there is no field `{field}`; the fields are {}", known.join(", "))
    }

    fn add_field(&mut self, field: &str, new: &[Label], learnt: &LearntLabels) -> Result<(), String> {
        let field = field.trim();
        if field.is_empty() || field.chars().any(char::is_control) {
            return Err("the field's name is blank".to_owned());
        }
        if !has_route(field) {
            return Err("priority follows from the matrix and has no labels of its own".to_owned());
        }
        let mut listed = self.restricting(learnt);
        listed.list_field(field, learnt);
        if listed.fields.contains_key(field) {
            return Err(format!("there is a field `{field}` already"));
        }
        if new.is_empty() {
            return Err("a field needs at least one label".to_owned());
        }
        listed.fields.insert(field.to_owned(), Vec::new());
        for label in new {
            labels::add(&mut listed, field, label)?;
        }
        *self = listed;
        Ok(())
    }

    fn set_route(&mut self, field: &str, route: RouteSetting, learnt: &LearntLabels) -> Result<(), String> {
        if !has_route(field) {
            return Err("priority takes the more careful route of impact and urgency: set theirs".to_owned());
        }
        let listed = self.listed(learnt);
        if !listed.fields.contains_key(field) && !follows_from_tables(field) {
            return Err(listed.no_such_field(field));
        }
        if route == RouteSetting::default() {
            self.routes.remove(field);
        } else {
            self.routes.insert(field.to_owned(), route);
        }
        Ok(())
    }

    fn set_group(&mut self, category: &str, group: Option<&str>, learnt: &LearntLabels) -> Result<(), String> {
        let Some(group) = group.map(str::trim) else {
            let removed = self.groups.remove(category);
            return removed.map(|_| ()).ok_or_else(|| format!("`{category}` has no group of its own"));
        };
        if group.is_empty() {
            return Err("the group has no name".to_owned());
        }
        let listed = self.listed(learnt);
        let known = [&listed.fields, &listed.retired].into_iter().filter_map(|of| of.get(CATEGORY)).flatten();
        let mut known = known.map(|label| label.value.as_str());
        if !known.any(|label| label == category || first_level(label) == category) {
            return Err(format!("there is no category `{category}` and no first level of that name"));
        }
        self.groups.insert(category.to_owned(), group.to_owned());
        Ok(())
    }

    fn set_impact_source(&mut self, kind: ImpactSourceKind, name: &str, impact: Option<Impact>) -> Result<(), String> {
        let name = name.trim();
        if name.is_empty() {
            return Err(format!("the {} has no name", kind.as_str()));
        }
        let is_same = |source: &ImpactSource| source.kind == kind && source.name.to_lowercase() == name.to_lowercase();
        let count = self.impact_sources.len();
        self.impact_sources.retain(|source| !is_same(source));
        match impact {
            Some(impact) => self.impact_sources.push(ImpactSource { kind, name: name.to_owned(), impact }),
            None if self.impact_sources.len() == count => {
                return Err(format!("no {} `{name}` raises impact", kind.as_str()));
            }
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
