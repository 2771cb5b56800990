//! What every taxonomy keeps to, wherever it comes from, and what works but is probably not meant.

use std::collections::BTreeMap;

use super::{ASSIGNMENT_GROUP, CATEGORY, IMPACT, Label, MAX_LABELS, PRIORITY, Taxonomy, URGENCY, find, first_level};
use crate::{
    domain::{
        priority::{Impact, Urgency},
        steering::steers,
    },
    error::FieldViolation,
};

const MAX_FIELD_CHARS: usize = 256;

impl Taxonomy {
    /// Everything that is wrong, by the place in the file.
    pub fn violations(&self) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        let count = self.fields.values().chain(self.retired.values()).map(Vec::len).sum::<usize>();
        if count > MAX_LABELS {
            violations
                .push(FieldViolation::new("fields", format!("must hold at most {MAX_LABELS} labels, hold {count}")));
        }
        for (field, labels) in &self.fields {
            self.check_field(field, labels, &mut violations);
        }
        for field in self.retired.keys().filter(|field| !self.fields.contains_key(*field)) {
            let problem = "has retired labels only; a field needs one that is in use, or the route off";
            violations.push(FieldViolation::new(format!("fields.{field}"), problem));
        }
        self.check_aliases(&mut violations);
        self.check_groups(&mut violations);
        violations
    }

    /// Where the version or a description holds what nobody sees, by the place in the file. No part of
    /// [`Self::violations`]: a taxonomy that was kept before this was checked is still read.
    pub fn unseen(&self) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        if is_unseen(&self.version) {
            violations.push(FieldViolation::new("version", "must hold no control or invisible characters"));
        }
        for (field, labels) in self.fields.iter().chain(&self.retired) {
            let problems = labels.iter().filter_map(description_problem);
            violations.extend(problems.map(|problem| FieldViolation::new(format!("fields.{field}"), problem)));
        }
        violations
    }

    fn check_field(&self, field: &str, labels: &[Label], violations: &mut Vec<FieldViolation>) {
        let mut wrong = |problem: String| violations.push(FieldViolation::new(format!("fields.{field}"), problem));
        if field == PRIORITY {
            return wrong("priority follows from the matrix and has no labels of its own".to_owned());
        }
        if field.trim().is_empty() || field.chars().count() > MAX_FIELD_CHARS {
            wrong(format!("a field's name is not blank and has at most {MAX_FIELD_CHARS} characters"));
        }
        if labels.is_empty() {
            wrong("has no labels; leave the field out to take the model's".to_owned());
        }
        let retired = self.retired.get(field).map(Vec::as_slice).unwrap_or_default();
        for label in labels.iter().chain(retired) {
            label_problems(field, label).into_iter().for_each(&mut wrong);
        }
        for label in labels.iter().filter(|label| find(retired, &label.value).is_some()) {
            wrong(format!("`{}` is both in use and retired", label.value));
        }
    }

    /// Each leads to a label, in one step, and is no label itself.
    fn check_aliases(&self, violations: &mut Vec<FieldViolation>) {
        for (field, aliases) in &self.aliases {
            let mut wrong = |problem: String| violations.push(FieldViolation::new(format!("aliases.{field}"), problem));
            if matches!(field.as_str(), IMPACT | URGENCY | PRIORITY) {
                wrong(format!("the labels of {field} are fixed and have no former names"));
            }
            let labels = [&self.fields, &self.retired].map(|of| of.get(field).map(Vec::as_slice).unwrap_or_default());
            let is_label = |value: &str| labels.iter().any(|labels| find(labels, value).is_some());
            for (old, current) in aliases {
                if is_label(old) {
                    wrong(format!("`{old}` is a label of the field and cannot be the former name of `{current}`"));
                }
                if aliases.contains_key(current) {
                    wrong(format!("`{old}` leads to `{current}`, which is a former name itself"));
                } else if !is_label(current) && self.fields.contains_key(field) {
                    wrong(format!("`{old}` leads to `{current}`, which is no label of the field"));
                }
            }
        }
    }

    /// A group for a category that no ticket can have is a misspelling.
    fn check_groups(&self, violations: &mut Vec<FieldViolation>) {
        let labels = [&self.fields, &self.retired].map(|of| of.get(CATEGORY).map(Vec::as_slice).unwrap_or_default());
        // A taxonomy that only describes may be of other categories than the model's.
        let is_listed = self.restricts && self.fields.contains_key(CATEGORY);
        for (category, group) in &self.groups {
            let mut wrong = |problem: &str| violations.push(FieldViolation::new(format!("groups.{category}"), problem));
            if group.trim().is_empty() {
                wrong("the group has no name");
            }
            let is_known = |label: &Label| label.value == *category || first_level(&label.value) == category;
            if is_listed && !labels.iter().any(|labels| labels.iter().any(is_known)) {
                wrong("fields.category has no such label and no such first level");
            }
        }
    }

    /// What works but is probably not meant, as sentences.
    pub fn warnings(&self) -> Vec<String> {
        let matrix =
            self.matrix.inversion().map(|inversion| format!("the priority matrix is not monotonic: {inversion}"));
        let sla = self.sla.inversion().map(|inversion| format!("the SLA targets are not monotonic: {inversion}"));
        matrix.into_iter().chain(sla).collect()
    }

    /// Aliases that lead over others lead to the last one; the fields and names of those that go round in a circle.
    pub fn flatten_aliases(&mut self) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        for (field, aliases) in &mut self.aliases {
            match flattened(aliases) {
                Ok(flat) => *aliases = flat,
                Err(old) => {
                    let problem = format!("`{old}` leads back to itself");
                    violations.push(FieldViolation::new(format!("aliases.{field}"), problem));
                }
            }
        }
        self.aliases.retain(|_, aliases| !aliases.is_empty());
        violations
    }
}

/// Every name with the last one that it leads to; the first that leads back to itself.
fn flattened(aliases: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let mut flat = BTreeMap::new();
    for (old, next) in aliases {
        let mut last = next;
        for _ in 0..aliases.len() {
            match aliases.get(last) {
                Some(further) => last = further,
                None => break,
            }
        }
        if aliases.contains_key(last) {
            return Err(old.clone());
        }
        flat.insert(old.clone(), last.clone());
    }
    Ok(flat)
}

/// Impact and urgency feed the matrix, so their labels are fixed.
pub(super) fn label_problems(field: &str, label: &Label) -> Vec<String> {
    let Label { value, description, examples } = label;
    let is_blank = |text: &str| text.trim().is_empty();
    let cannot_be = match field {
        IMPACT => Impact::parse(value).is_none(),
        URGENCY => Urgency::parse(value).is_none(),
        _ => value.split('/').any(is_blank),
    };
    let mut problems = Vec::new();
    if cannot_be {
        problems.push(format!("`{value}` cannot be a label of this field"));
    }
    if is_unseen(value) {
        problems.push(format!("`{}`: a label has no control or invisible characters", value.escape_debug()));
    }
    let too_long = |text: &str, most: usize| text.len() > most && text.chars().count() > most;
    let mut limit = |is_over: bool, what: &str, most: usize| {
        if is_over {
            problems.push(format!("`{value}`: {what} at most {most}"));
        }
    };
    let longest = Label::MAX_VALUE_CHARS;
    limit(too_long(value, longest), "characters of a label are", longest);
    let longest = Label::MAX_DESCRIPTION_CHARS;
    limit(too_long(description, longest), "characters of a description are", longest);
    limit(examples.len() > Label::MAX_EXAMPLES, "examples are", Label::MAX_EXAMPLES);
    let longest = Label::MAX_EXAMPLE_CHARS;
    limit(examples.iter().any(|example| too_long(example, longest)), "characters of an example are", longest);
    if examples.iter().any(|example| is_blank(example)) {
        problems.push(format!("`{value}`: an example is blank"));
    }
    problems
}

/// What is wrong with the characters of a description, which may have several lines.
pub(super) fn description_problem(label: &Label) -> Option<String> {
    let Label { value, description, examples: _ } = label;
    let is_wrong = description.replace("\r\n", "\n").chars().any(steers);
    is_wrong.then(|| {
        let value = value.escape_debug();
        format!("`{value}`: a description has no control or invisible characters but tabs and line ends")
    })
}

/// Whether what stands on one line holds characters that are not seen.
fn is_unseen(text: &str) -> bool {
    text.chars().any(|c| steers(c) || matches!(c, '\n' | '\t'))
}

/// Whether a field may have a route of its own.
pub(super) fn has_route(field: &str) -> bool {
    field != PRIORITY
}

/// Whether the labels of a field are given by the matrix.
pub(super) fn is_fixed(field: &str) -> bool {
    matches!(field, IMPACT | URGENCY)
}

/// Fields that follow from others without being listed or learnt.
pub(super) fn follows_from_tables(field: &str) -> bool {
    field == ASSIGNMENT_GROUP
}
