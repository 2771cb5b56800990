//! Changes to the labels of one field that is listed. Each checks before it changes anything.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CATEGORY, Label, Taxonomy, below, find,
    rules::{description_problem, is_fixed, label_problems},
};

fn of<'a>(labels: &'a BTreeMap<String, Vec<Label>>, field: &str) -> &'a [Label] {
    labels.get(field).map(Vec::as_slice).unwrap_or_default()
}

/// The values of those at or below `branch`.
fn branch(labels: &[Label], branch: &str) -> Vec<String> {
    labels.iter().filter(|label| below(branch, &label.value).is_some()).map(|label| label.value.clone()).collect()
}

fn insert(labels: &mut BTreeMap<String, Vec<Label>>, field: &str, label: Label) {
    let labels = labels.entry(field.to_owned()).or_default();
    let place = labels.partition_point(|other| other.value < label.value);
    labels.insert(place, label);
}

fn take(labels: &mut BTreeMap<String, Vec<Label>>, field: &str, value: &str) -> Option<Label> {
    let of_field = labels.get_mut(field)?;
    let place = of_field.binary_search_by(|label| label.value.as_str().cmp(value)).ok()?;
    let taken = of_field.remove(place);
    // Only retired ones may be none: every field keeps a label in use.
    if of_field.is_empty() {
        labels.remove(field);
    }
    Some(taken)
}

/// Why there is no label of this name in use.
fn unknown(taxonomy: &Taxonomy, field: &str, value: &str) -> String {
    if !branch(of(&taxonomy.retired, field), value).is_empty() {
        return format!("`{value}` is retired: restore it first");
    }
    match taxonomy.aliases.get(field).and_then(|aliases| aliases.get(value)) {
        Some(current) => format!("`{value}` is called `{current}` now"),
        None => format!("{field} has no label `{value}`"),
    }
}

/// Refuses a name that another label has or had. `bearer` may take back a name of its own.
fn check_free(taxonomy: &Taxonomy, field: &str, name: &str, bearer: Option<&str>) -> Result<(), String> {
    if taxonomy.label(field, name).is_some() {
        return Err(format!("{field} has a label `{name}` already"));
    }
    if find(of(&taxonomy.retired, field), name).is_some() {
        return Err(format!("`{name}` is a retired label: restore it, or choose another name"));
    }
    match taxonomy.aliases.get(field).and_then(|aliases| aliases.get(name)) {
        Some(current) if Some(current.as_str()) != bearer => Err(format!(
            "`{name}` is a former name of `{current}`, and tickets that bear it count for that: choose another name"
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_new(taxonomy: &Taxonomy, field: &str, label: &Label) -> Result<(), String> {
    if label.value.trim().is_empty() {
        return Err("the label's name is blank".to_owned());
    }
    if label.value.chars().any(char::is_control) {
        return Err("the label's name holds characters that cannot be printed".to_owned());
    }
    let mut problems = label_problems(field, label);
    problems.extend(description_problem(label));
    if problems.is_empty() { check_free(taxonomy, field, &label.value, None) } else { Err(problems.join("; ")) }
}

fn check_not_fixed(field: &str) -> Result<(), String> {
    if is_fixed(field) {
        return Err(format!("the labels of {field} are high, medium and low, which the matrix is read with"));
    }
    Ok(())
}

fn trimmed(label: &Label) -> Label {
    Label { value: label.value.trim().to_owned(), ..label.clone() }
}

pub(super) fn add(taxonomy: &mut Taxonomy, field: &str, label: &Label) -> Result<(), String> {
    let label = trimmed(label);
    check_new(taxonomy, field, &label)?;
    insert(&mut taxonomy.fields, field, label);
    Ok(())
}

pub(super) fn describe(
    taxonomy: &mut Taxonomy,
    field: &str,
    value: &str,
    description: Option<&str>,
    examples: Option<&[String]>,
) -> Result<(), String> {
    let Some(known) = taxonomy.label(field, value) else { return Err(unknown(taxonomy, field, value)) };
    let mut described = known.clone();
    if let Some(description) = description {
        description.trim().clone_into(&mut described.description);
    }
    if let Some(examples) = examples {
        described.examples = examples.to_vec();
    }
    let mut problems = label_problems(field, &described);
    problems.extend(description.and_then(|_| description_problem(&described)));
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    let labels = taxonomy.fields.get_mut(field).into_iter().flatten();
    labels.filter(|label| label.value == value).for_each(|label| *label = described.clone());
    Ok(())
}

/// Gives the labels at and below `from` names at and below `to`; retired ones come along.
pub(super) fn rename(taxonomy: &mut Taxonomy, field: &str, from: &str, to: &str) -> Result<(), String> {
    check_not_fixed(field)?;
    if from == to {
        return Err(format!("`{from}` is its name already"));
    }
    let (active, retired) = (branch(of(&taxonomy.fields, field), from), branch(of(&taxonomy.retired, field), from));
    if active.is_empty() {
        return Err(unknown(taxonomy, field, from));
    }
    let moved: BTreeSet<&str> = active.iter().chain(&retired).map(String::as_str).collect();
    if below(from, to).is_some() && moved.iter().any(|value| *value != from) {
        return Err(format!("`{from}` has labels below it and cannot become one of them"));
    }
    let mut names = Vec::new();
    for value in moved {
        let name = format!("{to}{}", below(from, value).unwrap_or_default());
        let label = Label::new(name.clone(), "");
        let problems = label_problems(field, &label);
        if name.chars().any(char::is_control) || !problems.is_empty() {
            return Err(format!("`{name}` cannot be a label of this field"));
        }
        check_free(taxonomy, field, &name, Some(value))?;
        names.push((value.to_owned(), name));
    }
    for (value, name) in names {
        move_label(taxonomy, field, &value, &name);
    }
    move_groups(taxonomy, field, from, to);
    Ok(())
}

/// Takes a label and everything that leads to it to a name that is free.
fn move_label(taxonomy: &mut Taxonomy, field: &str, value: &str, name: &str) {
    for labels in [&mut taxonomy.fields, &mut taxonomy.retired] {
        if let Some(label) = take(labels, field, value) {
            insert(labels, field, Label { value: name.to_owned(), ..label });
        }
    }
    lead(taxonomy, field, value, name);
}

/// What led to `value` leads to `name`, and so does `value`.
fn lead(taxonomy: &mut Taxonomy, field: &str, value: &str, name: &str) {
    let aliases = taxonomy.aliases.entry(field.to_owned()).or_default();
    aliases.values_mut().filter(|current| *current == value).for_each(|current| name.clone_into(current));
    aliases.insert(value.to_owned(), name.to_owned());
    aliases.remove(name);
}

fn move_groups(taxonomy: &mut Taxonomy, field: &str, from: &str, to: &str) {
    if field != CATEGORY {
        return;
    }
    let moved = std::mem::take(&mut taxonomy.groups).into_iter();
    taxonomy.groups = moved
        .map(|(category, group)| match below(from, &category) {
            Some(rest) => (format!("{to}{rest}"), group),
            None => (category, group),
        })
        .collect();
}

/// What becomes of one label of a merge.
enum Fate {
    Joins(String),
    Moves(String),
}

/// The labels at and below each of `from` become `into`, or those of the same name below it.
pub(super) fn merge(taxonomy: &mut Taxonomy, field: &str, into: &str, from: &[String]) -> Result<(), String> {
    check_not_fixed(field)?;
    if from.is_empty() {
        return Err("name at least one label that is to be merged".to_owned());
    }
    let target = branch(of(&taxonomy.fields, field), into);
    if target.is_empty() {
        return Err(unknown(taxonomy, field, into));
    }
    for (place, value) in from.iter().enumerate() {
        if value == into {
            return Err(format!("`{into}` cannot be merged with itself"));
        }
        if below(into, value).is_some() || below(value, into).is_some() {
            return Err(format!("`{value}` and `{into}`: a label cannot be merged with one above or below it"));
        }
        if from[..place].iter().any(|other| below(other, value).is_some() || below(value, other).is_some()) {
            return Err(format!("`{value}` is named more than once"));
        }
    }
    let is_label = target.iter().any(|value| value == into);
    let mut fates: Vec<(String, Fate)> = Vec::new();
    for value in from {
        let merged = branch(of(&taxonomy.fields, field), value);
        if merged.is_empty() {
            return Err(unknown(taxonomy, field, value));
        }
        for label in merged {
            let rest = below(value, &label).unwrap_or_default();
            let twin = format!("{into}{rest}");
            let joins_moved = fates.iter().any(|(_, fate)| matches!(fate, Fate::Moves(name) if *name == twin));
            let fate = if taxonomy.label(field, &twin).is_some() || joins_moved {
                Fate::Joins(twin)
            } else if is_label && target.len() == 1 {
                Fate::Joins(into.to_owned())
            } else if rest.is_empty() {
                return Err(format!("`{into}` stands for the labels below it: name the one that `{value}` becomes"));
            } else {
                check_free(taxonomy, field, &twin, Some(&label))?;
                Fate::Moves(twin)
            };
            fates.push((label, fate));
        }
    }
    for (label, fate) in fates {
        match fate {
            Fate::Joins(name) => join(taxonomy, field, &label, &name),
            Fate::Moves(name) => {
                move_label(taxonomy, field, &label, &name);
                move_groups(taxonomy, field, &label, &name);
            }
        }
    }
    forget_groups(taxonomy, field, from);
    Ok(())
}

/// Makes a label one with another: its examples come along, as far as there is room.
fn join(taxonomy: &mut Taxonomy, field: &str, value: &str, into: &str) {
    let Some(Label { description, examples, .. }) = take(&mut taxonomy.fields, field, value) else { return };
    let mut labels = taxonomy.fields.get_mut(field).into_iter().flatten();
    if let Some(label) = labels.find(|label| label.value == into) {
        if label.description.trim().is_empty() {
            label.description = description;
        }
        for example in examples {
            if label.examples.len() < Label::MAX_EXAMPLES && !label.examples.contains(&example) {
                label.examples.push(example);
            }
        }
    }
    lead(taxonomy, field, value, into);
}

/// Groups of categories at and below `gone` that no category is left of.
fn forget_groups(taxonomy: &mut Taxonomy, field: &str, gone: &[String]) {
    if field != CATEGORY {
        return;
    }
    let Taxonomy { fields, retired, groups, .. } = taxonomy;
    let is_left =
        |category: &str| [&*fields, &*retired].iter().any(|labels| !branch(of(labels, CATEGORY), category).is_empty());
    groups.retain(|category, _| !gone.iter().any(|value| below(value, category).is_some()) || is_left(category));
}

/// Retires `from` and adds `into`, which its group takes as well.
pub(super) fn split(taxonomy: &mut Taxonomy, field: &str, from: &str, into: &[Label]) -> Result<(), String> {
    check_not_fixed(field)?;
    if taxonomy.label(field, from).is_none() {
        if !branch(of(&taxonomy.fields, field), from).is_empty() {
            return Err(format!("`{from}` stands for the labels below it: split one of them"));
        }
        return Err(unknown(taxonomy, field, from));
    }
    if into.len() < 2 {
        return Err(format!("name at least two labels that `{from}` is split into"));
    }
    let into: Vec<Label> = into.iter().map(trimmed).collect();
    for (place, label) in into.iter().enumerate() {
        check_new(taxonomy, field, label)?;
        if into[..place].iter().any(|other| other.value == label.value) {
            return Err(format!("`{}` is named twice", label.value));
        }
    }
    let group = taxonomy.groups.get(from).filter(|_| field == CATEGORY).cloned();
    for label in into {
        if let Some(group) = &group {
            taxonomy.groups.insert(label.value.clone(), group.clone());
        }
        insert(&mut taxonomy.fields, field, label);
    }
    if let Some(label) = take(&mut taxonomy.fields, field, from) {
        insert(&mut taxonomy.retired, field, label);
    }
    Ok(())
}

/// Labels at and below `value` are never proposed again.
pub(super) fn retire(taxonomy: &mut Taxonomy, field: &str, value: &str) -> Result<(), String> {
    check_not_fixed(field)?;
    let values = branch(of(&taxonomy.fields, field), value);
    if values.is_empty() {
        return Err(unknown(taxonomy, field, value));
    }
    if values.len() == of(&taxonomy.fields, field).len() {
        return Err(format!("{field} needs a label that is in use: add another one first, or set its route off"));
    }
    for value in values {
        if let Some(label) = take(&mut taxonomy.fields, field, &value) {
            insert(&mut taxonomy.retired, field, label);
        }
    }
    Ok(())
}

/// Labels at and below `value` that were retired are in use again.
pub(super) fn restore(taxonomy: &mut Taxonomy, field: &str, value: &str) -> Result<(), String> {
    let values = branch(of(&taxonomy.retired, field), value);
    if values.is_empty() {
        if !branch(of(&taxonomy.fields, field), value).is_empty() {
            return Err(format!("`{value}` is in use"));
        }
        return Err(unknown(taxonomy, field, value));
    }
    for value in values {
        if let Some(label) = take(&mut taxonomy.retired, field, &value) {
            insert(&mut taxonomy.fields, field, label);
        }
    }
    Ok(())
}
