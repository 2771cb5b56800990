//! One row: its values under the names that the caller or the file has for them. Everything is text here; a value
//! that a caller needs as something else, the caller parses.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use super::{
    Original,
    csv::{Record, append_csv},
    json_lines::{Members, append_members},
};

/// One row. Column names are the caller's own: `--map` has been applied.
#[derive(Debug, Clone)]
pub struct Row {
    /// From 1, bad rows counted.
    pub number: u64,
    /// From 1; in CSV the line that the row starts on.
    pub line: u64,
    pub(super) cells: Cells,
    pub(super) renames: Arc<[(String, String)]>,
}

#[derive(Debug, Clone)]
pub(super) enum Cells {
    Csv { header: Arc<[String]>, record: Record },
    Json(Members),
}

impl Row {
    /// The value of `column`, or the row's number where the row has none.
    pub fn id(&self, column: &str) -> String {
        self.value(column).unwrap_or_else(|| self.number.to_string())
    }

    /// The values of `columns` that hold text, joined by a newline; may be empty.
    pub fn text(&self, columns: &[String]) -> String {
        let mut text = String::new();
        for part in columns.iter().filter_map(|column| self.field(column)).filter(|part| !part.trim().is_empty()) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&part);
        }
        text
    }

    /// One label: the value without blanks around it; `None` where nothing is left.
    pub fn label(&self, column: &str) -> Option<String> {
        self.field(column).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value of a column as text, numbers as JSON writes them; `None` where it is missing, null or empty.
    pub fn value(&self, column: &str) -> Option<String> {
        self.field(column).map(Cow::into_owned)
    }

    /// A list of ids: a list, one id, or the keys of an object; in CSV separated by `;`.
    pub fn list(&self, column: &str) -> Vec<String> {
        let ids: Vec<String> = match &self.cells {
            Cells::Csv { .. } => {
                let field = self.field(column).unwrap_or_default();
                field.split(';').map(|id| id.trim().to_owned()).collect()
            }
            Cells::Json(members) => match self.member(members, column) {
                Some(Value::Array(items)) => items.iter().map(|item| scalar(item).into_owned()).collect(),
                Some(Value::Object(keyed)) => keyed.keys().cloned().collect(),
                Some(one) => vec![scalar(one).into_owned()],
                None => Vec::new(),
            },
        };
        ids.into_iter().filter(|id| !id.is_empty()).collect()
    }

    /// Every column as the file names it, with its value as text; in file order, repeated ones each time.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        // One of the two is empty: the formats share no iterator.
        let (csv, json) = match &self.cells {
            Cells::Csv { header, record } => (Some(header.iter().map(String::as_str).zip(record.iter())), None),
            Cells::Json(members) => (None, Some(members.iter())),
        };
        let csv = csv.into_iter().flatten().map(|(name, field)| (name, Cow::Borrowed(field)));
        csv.chain(json.into_iter().flatten().map(|(name, value)| (&**name, scalar(value))))
    }

    /// Appends the row as a line of its file's format, with its line end.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match &self.cells {
            Cells::Csv { header: _, record } => append_csv(out, record.iter()),
            Cells::Json(members) => append_members(out, members),
        }
    }

    /// The row as it would be written.
    pub fn original(&self) -> Original {
        let mut text = Vec::new();
        self.append_to(&mut text);
        text.pop_if(|last| *last == b'\n');
        match &self.cells {
            Cells::Csv { .. } => Original::Csv(text),
            Cells::Json(_) => Original::Json(text),
        }
    }

    /// The value of a column; `None` where it is missing, null or empty. Of columns that have the same name, the
    /// first that holds anything: exports repeat a column for its further values.
    fn field(&self, column: &str) -> Option<Cow<'_, str>> {
        let value = match &self.cells {
            Cells::Csv { header, record } => {
                let name = source_column(&self.renames, column);
                let mut fields = header.iter().zip(record.iter()).filter(|(known, _)| *known == name);
                Cow::Borrowed(fields.find(|(_, field)| !field.is_empty())?.1)
            }
            Cells::Json(members) => scalar(self.member(members, column)?),
        };
        (!value.is_empty()).then_some(value)
    }

    fn member<'a>(&self, members: &'a Members, column: &str) -> Option<&'a Value> {
        let name = source_column(&self.renames, column);
        members.iter().rfind(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// Changes the texts of these columns, those within lists and objects as well. A number becomes a string where
    /// `change` changes it. Returns whether anything changed.
    pub fn change(&mut self, columns: &[String], mut change: impl FnMut(&str) -> Option<String>) -> bool {
        let names: Vec<&str> = columns.iter().map(|column| source_column(&self.renames, column)).collect();
        let mut changed = false;
        match &mut self.cells {
            Cells::Csv { header, record } => {
                let fields = header.iter().zip(record.iter()).map(|(name, field)| {
                    let new = if names.contains(&name.as_str()) { change(field) } else { None };
                    changed |= new.is_some();
                    new.map_or(Cow::Borrowed(field), Cow::Owned)
                });
                let fields: Vec<Cow<'_, str>> = fields.collect();
                if changed {
                    *record = fields.iter().map(AsRef::as_ref).collect();
                }
            }
            Cells::Json(members) => {
                for (name, value) in members.iter_mut() {
                    if names.contains(&&**name) {
                        changed |= change_value(value, &mut change);
                    }
                }
            }
        }
        changed
    }
}

fn change_value(value: &mut Value, change: &mut impl FnMut(&str) -> Option<String>) -> bool {
    let new = match value {
        Value::Null | Value::Bool(_) => None,
        Value::Number(number) => change(&number.to_string()),
        Value::String(text) => change(text),
        Value::Array(items) => {
            return items.iter_mut().fold(false, |changed, item| change_value(item, change) | changed);
        }
        Value::Object(object) => {
            return object.iter_mut().fold(false, |changed, (_, item)| change_value(item, change) | changed);
        }
    };
    if let Some(new) = new {
        *value = Value::String(new);
        return true;
    }
    false
}

/// What a file calls a column, by the `(ours, theirs)` pairs of `--map`.
pub fn source_column<'a>(renames: &'a [(String, String)], column: &'a str) -> &'a str {
    renames.iter().find(|(ours, _)| ours == column).map_or(column, |(_, theirs)| theirs)
}

fn scalar(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Rows;

    fn first(name: &str, content: &str, renames: &[(String, String)]) -> Row {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Rows::open(&path, renames).unwrap().next().unwrap().unwrap()
    }

    fn fields(row: &Row) -> Vec<(&str, Cow<'_, str>)> {
        row.fields().collect()
    }

    #[test]
    fn fields_come_in_file_order_under_the_names_of_the_file() {
        let renames = [("text".to_owned(), "z".to_owned())];
        let row = first("a.csv", "z, a ,z\n,\"1,\"\"2\",3\n", &renames);
        assert_eq!(fields(&row), [("z", "".into()), ("a", "1,\"2".into()), ("z", "3".into())]);
        assert_eq!(row.value("text").as_deref(), Some("3"));
        assert_eq!(row.original(), Original::Csv(b",\"1,\"\"2\",3".to_vec()));
        let row = first("a.jsonl", "{\"z\": 1.50, \"a\": null, \"\\u0061b\": [\"x\"], \"c\": \"y\"}", &renames);
        assert_eq!(fields(&row), [("z", "1.5".into()), ("a", "".into()), ("ab", "[\"x\"]".into()), ("c", "y".into())]);
        assert_eq!(row.value("text").as_deref(), Some("1.5"));
        assert_eq!(row.original(), Original::Json(b"{\"z\":1.5,\"a\":null,\"ab\":[\"x\"],\"c\":\"y\"}".to_vec()));
    }

    #[test]
    fn of_a_json_name_that_stands_twice_the_later_value_counts() {
        let row = first("a.jsonl", "{\"a\": 1, \"b\": 2, \"a\": [3, 4]}", &[]);
        assert_eq!(row.value("a").as_deref(), Some("[3,4]"));
        assert_eq!(row.list("a"), ["3", "4"]);
    }
}
