//! The labels of a taxonomy file: a description, or a table that says more. Read by hand, so that a wrong key or type
//! is named together with everything else.

use std::collections::BTreeMap;

use figment::value::Value;

use crate::domain::taxonomy::Label;

/// By field, in the order of their values.
type Labels = BTreeMap<String, Vec<Label>>;

/// Labels in use, and retired ones.
pub(super) fn parse(raw: BTreeMap<String, BTreeMap<String, Value>>, problems: &mut Vec<String>) -> (Labels, Labels) {
    let (mut fields, mut retired) = (Labels::new(), Labels::new());
    for (field, labels) in raw {
        let mut active = Vec::new();
        for (value, raw) in labels {
            match label(value.clone(), raw) {
                Ok((label, false)) => active.push(label),
                Ok((label, true)) => retired.entry(field.clone()).or_default().push(label),
                Err(problem) => problems.push(format!("fields.{field}: `{value}` {problem}")),
            }
        }
        fields.insert(field, active);
    }
    (fields, retired)
}

/// A label, and whether it is retired.
fn label(value: String, raw: Value) -> Result<(Label, bool), String> {
    const SHAPE: &str = "must be a description, or a table such as { description = \"…\", examples = [\"…\"] }";
    let mut table = match raw {
        Value::String(_, description) => return Ok((Label::new(value, description), false)),
        Value::Dict(_, table) => table,
        Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) | Value::Array(..) => {
            return Err(SHAPE.to_owned());
        }
    };
    let mut key = |name: &str| table.remove(name);
    let (description, examples, retired) = (key("description"), key("examples"), key("retired"));
    if let Some(unknown) = table.keys().next() {
        return Err(format!("has the unknown key `{unknown}`, expected description, examples or retired"));
    }
    let description = description.map(|text| text.into_string().ok_or("has a description that is no string"));
    let examples = examples.map(|list| list.deserialize().map_err(|_| "has examples that are no list of strings"));
    let retired = retired.map(|flag| flag.to_bool().ok_or("must be retired = true, or without"));
    let label = Label {
        value,
        description: description.transpose()?.unwrap_or_default(),
        examples: examples.transpose()?.unwrap_or_default(),
    };
    Ok((label, retired.transpose()?.unwrap_or_default()))
}
