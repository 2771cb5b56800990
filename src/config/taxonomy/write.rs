//! A taxonomy as a file that reads the same: everything it says, in one order, so that the same content is the same
//! text. It is what the version is a hash of, what the database keeps and what `taxonomy export` prints.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::domain::{
    priority::{Impact, Priority, PriorityMatrix, Urgency},
    route::RouteSetting,
    sla::written,
    taxonomy::{ImpactSource, Label, Taxonomy},
};

/// The text of a taxonomy file.
pub fn write(taxonomy: &Taxonomy) -> String {
    let Taxonomy { version: _, fields, retired, aliases, restricts, matrix, groups, impact_sources, routes, sla } =
        taxonomy;
    let mut text = format!("version = {}\n", string(taxonomy.name()));
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if !restricts {
        line("# The labels below only describe: others that the model knows are proposed as well.".to_owned());
        line("restricts = false".to_owned());
    }
    line(format!("\n[matrix]\n{}", rows(matrix)));
    line("\n[sla]".to_owned());
    for priority in Priority::ALL {
        let target = sla.of(priority);
        let (response, resolution) = (written(target.response()), written(target.resolution()));
        line(format!("{priority} = {{ response = \"{response}\", resolution = \"{resolution}\" }}"));
    }
    if !groups.is_empty() {
        line("\n[groups]".to_owned());
        for (category, group) in groups {
            line(format!("{} = {}", key(category), string(group)));
        }
    }
    for ImpactSource { kind, name, impact } in impact_sources {
        line(format!("\n[[impact]]\n{} = {}\nimpact = \"{impact}\"", kind.as_str(), string(name)));
    }
    for (field, route) in routes {
        line(format!("\n[routes.{}]\nroute = \"{}\"", key(field), route.as_str()));
        if let RouteSetting::Autofill(precision) = route {
            line(format!("precision = {precision}"));
        }
    }
    let names: BTreeSet<&String> = fields.keys().chain(retired.keys()).collect();
    for field in names {
        line(format!("\n[fields.{}]", key(field)));
        for active in fields.get(field).into_iter().flatten() {
            line(label(active, false));
        }
        for retired in retired.get(field).into_iter().flatten() {
            line(label(retired, true));
        }
    }
    for (field, names) in aliases {
        line(format!("\n[aliases.{}]", key(field)));
        for (old, current) in names {
            line(format!("{} = {}", key(old), string(current)));
        }
    }
    text
}

fn rows(matrix: &PriorityMatrix) -> String {
    let row = |impact: Impact| {
        let numbers = Urgency::ALL.map(|urgency| matrix.priority(impact, urgency).number().to_string());
        format!("{impact} = [{}]", numbers.join(", "))
    };
    Impact::ALL.map(row).join("\n")
}

fn label(label: &Label, is_retired: bool) -> String {
    let Label { value, description, examples } = label;
    if examples.is_empty() && !is_retired {
        return format!("{} = {}", key(value), string(description));
    }
    let mut parts = vec![format!("description = {}", string(description))];
    if !examples.is_empty() {
        let examples: Vec<_> = examples.iter().map(|example| string(example)).collect();
        parts.push(format!("examples = [{}]", examples.join(", ")));
    }
    if is_retired {
        parts.push("retired = true".to_owned());
    }
    format!("{} = {{ {} }}", key(value), parts.join(", "))
}

/// A key without quotation marks where it can do without.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { name.to_owned() } else { string(name) }
}

/// A string on one line.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Writing to a string cannot fail.
            control if control.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
