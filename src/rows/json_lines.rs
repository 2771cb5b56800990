//! JSON lines: one object a line, blank lines skipped. Names are kept in the order of the line; of a name that stands
//! twice in an object, the later value counts. A line that could not be read and comes back kept in an object is read
//! from there, once it is mended.

use std::{
    fmt,
    io::{self, BufRead, Read},
    sync::Arc,
};

use serde::{
    Deserializer, Serialize,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};
use serde_json::Value;

use super::{Bad, Found, MAX_LINE_BYTES, Original, RowProblem, content::Content, kept_of_endless, row::Cells};

/// A line buffer that one huge line has made larger than this is given back.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Of a bad row that is kept: its line, what is wrong, and, of a line that is no object, the line as text.
pub const JSON_LINE: &str = "_line";
pub const JSON_REASON: &str = "_reason";
pub const JSON_ROW: &str = "_row";

/// The values of one object with their names.
pub(super) type Members = Vec<(Arc<str>, Value)>;

/// Reads the objects of a file.
pub(super) struct JsonReader {
    /// Line feeds before the place that reading is at.
    pub(super) lines: u64,
    line: Vec<u8>,
    /// The names of the last object: those of the next are mostly the same, and then they are shared.
    names: Vec<Arc<str>>,
}

impl JsonReader {
    pub(super) fn open(content: &mut Content) -> io::Result<Self> {
        Ok(Self { lines: content.skip_line_ends()?, line: Vec::new(), names: Vec::new() })
    }

    pub(super) fn next(&mut self, content: &mut Content) -> Option<Found> {
        loop {
            if self.line.capacity() > KEPT_BUFFER_BYTES {
                self.line = Vec::new();
            }
            self.line.clear();
            let read = read_line(content, &mut self.line);
            let line = self.lines + 1;
            self.lines = line;
            let (problem, original) = match read {
                Ok(LineRead::End) => return None,
                Ok(LineRead::Line) if self.line.trim_ascii().is_empty() => continue,
                Ok(LineRead::Line) => match self.members() {
                    Ok(members) => return Some(Found { line, cells: Ok(Cells::Json(members)) }),
                    Err(problem) => {
                        while self.line.pop_if(|last| matches!(last, b'\r' | b'\n')).is_some() {}
                        (problem, Some(Original::Json(self.line.clone())))
                    }
                },
                Ok(LineRead::TooLong) => (RowProblem::TooLong, Some(Original::Json(kept_of_endless(&self.line)))),
                Err(error) => (RowProblem::Unreadable(error), None),
            };
            return Some(Found { line, cells: Err(Bad { problem, original }) });
        }
    }

    fn members(&mut self) -> Result<Members, RowProblem> {
        let members = parse(&self.line, &mut self.names)?;
        kept_line(&members).map(mended).unwrap_or(Ok(members))
    }
}

fn parse(line: &[u8], names: &mut Vec<Arc<str>>) -> Result<Members, RowProblem> {
    let text = std::str::from_utf8(line).map_err(|_| RowProblem::InvalidUtf8)?;
    let invalid = |error: serde_json::Error| RowProblem::InvalidJson(error.to_string());
    let mut json = serde_json::Deserializer::from_str(text);
    let members = json.deserialize_map(Object(names)).map_err(invalid)?;
    json.end().map_err(invalid)?;
    Ok(members)
}

/// The line that an object of rejects keeps.
fn kept_line(members: &Members) -> Option<&str> {
    let value = |name: &str| members.iter().rfind(|(known, _)| **known == *name).map(|(_, value)| value);
    value(JSON_LINE).and(value(JSON_REASON)).and(value(JSON_ROW)?.as_str())
}

/// The row of a line that was kept as text and is mended within it. What stands beside it is no part of the row: an id
/// that the line itself holds would be lost.
fn mended(kept: &str) -> Result<Members, RowProblem> {
    if kept.contains(char::REPLACEMENT_CHARACTER) {
        return Err(RowProblem::NotMended("it holds \u{fffd} in the place of what was not UTF-8".to_owned()));
    }
    parse(kept.as_bytes(), &mut Vec::new()).map_err(|problem| RowProblem::NotMended(problem.to_string()))
}

enum LineRead {
    Line,
    TooLong,
    End,
}

/// Reads up to and with the next line break; an over-long line is skipped and only its start kept.
fn read_line(content: &mut Content, line: &mut Vec<u8>) -> io::Result<LineRead> {
    if content.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', line)? == 0 {
        return Ok(LineRead::End);
    }
    if line.len() as u64 == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
        content.skip_until(b'\n')?;
        return Ok(LineRead::TooLong);
    }
    Ok(LineRead::Line)
}

struct Object<'a>(&'a mut Vec<Arc<str>>);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
        let names = self.0;
        let mut members = Members::with_capacity(names.len());
        while let Some(name) = map.next_key_seed(Name(names.get(members.len())))? {
            members.push((name, map.next_value()?));
        }
        let is_same = members.len() == names.len()
            && members.iter().zip(names.iter()).all(|((name, _), known)| Arc::ptr_eq(name, known));
        if !is_same {
            names.clear();
            names.extend(members.iter().map(|(name, _)| Arc::clone(name)));
        }
        Ok(members)
    }
}

/// A name, shared with the one that is expected where it is the same.
struct Name<'a>(Option<&'a Arc<str>>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Arc<str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Arc<str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Arc<str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Arc<str>, E> {
        Ok(self.0.filter(|known| ***known == *name).map_or_else(|| Arc::from(name), Arc::clone))
    }
}

/// Appends one line of JSON with its line end; nothing where the value cannot be written as JSON.
pub fn append_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
    let start = out.len();
    let written = serde_json::to_writer(&mut *out, value);
    if written.is_ok() {
        out.push(b'\n');
    } else {
        out.truncate(start);
    }
    written
}

/// Appends the line of one object.
pub(super) fn append_members(out: &mut Vec<u8>, members: &Members) {
    struct Line<'a>(&'a Members);
    impl Serialize for Line<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, value)))
        }
    }
    // What was read as JSON can be written as JSON, and memory takes it.
    append_json(out, &Line(members)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Rows;

    #[test]
    fn a_kept_line_is_read_once_it_is_mended_and_stays_what_it_is_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let kept = |row: &str| format!(r#"{{"_line":7,"_reason":"bad","_row":{},"nr":"1"}}"#, Value::from(row));
        for (row, expected) in [
            (r#"{"nr":"A","text":"mended"}"#, Ok("A")),
            (r#"{"nr":"A","text":"men"#, Err("mend the line in `_row`, or put the row in the place of this one")),
            ("{\"nr\":\"A\",\"text\":\"\u{fffd}\"}", Err("in the place of what was not UTF-8")),
            ("[1]", Err("not a JSON object")),
        ] {
            std::fs::write(&path, kept(row)).unwrap();
            let mut rows = Rows::open(&path, &[]).unwrap();
            match (rows.next().unwrap(), expected) {
                (Ok(found), Ok(id)) => assert_eq!(found.value("nr").as_deref(), Some(id)),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{error}");
                    assert_eq!(error.original, Some(Original::Json(kept(row).into())));
                }
                (found, _) => panic!("{row}: {found:?}"),
            }
        }
        std::fs::write(&path, r#"{"_row":"shelf 3","nr":"A"}"#).unwrap();
        let row = Rows::open(&path, &[]).unwrap().next().unwrap().unwrap();
        assert_eq!(row.value("nr").as_deref(), Some("A"), "a column of that name is no kept line");
    }
}
