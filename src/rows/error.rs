//! What can be wrong with a file of rows, and with one row of it. Each message says where it is and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{MAX_LINE_BYTES, csv::MAX_COLUMNS};

/// Of the names of columns in a message.
const MAX_NAME_CHARS: usize = 80;
const MAX_NAMES: usize = 100;

/// Why a file cannot be read as rows at all.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is a folder: name a file of rows", path.display())]
    Folder { path: PathBuf },
    #[error("{}: rows come as .jsonl, .ndjson or .csv, each also with .gz", path.display())]
    UnknownFormat { path: PathBuf },
    #[error("{}: UTF-16, save the file as UTF-8", path.display())]
    Utf16 { path: PathBuf },
    #[error("{} ends before byte {byte}, where reading is to go on: has the file changed?", path.display())]
    Shortened { path: PathBuf, byte: u64 },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{}: no column {} (columns present: {}); {}", path.display(), quoted(missing), quoted(present), remedy(present))]
    MissingColumns { path: PathBuf, missing: Vec<String>, present: Vec<String> },
    /// `places` count from 1.
    #[error("{}: column {} stands {} times in the header (columns {}): remove or rename {}", path.display(), quoted(std::slice::from_ref(column)), places.len(), listed(places), rest(places))]
    RepeatedColumn { path: PathBuf, column: String, places: Vec<usize> },
}

impl RowsError {
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }
}

/// One row that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}, line {line}: {problem}", path.display())]
pub struct RowError {
    pub path: PathBuf,
    /// From 1; in CSV the line that the row starts on.
    pub line: u64,
    pub problem: RowProblem,
    /// The row as it stands in the file; `None` where it could not be read.
    pub original: Option<Original>,
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowProblem {
    #[error("not UTF-8, save the file as UTF-8")]
    InvalidUtf8,
    #[error("not a JSON object: {0}")]
    InvalidJson(String),
    /// A line that was kept among rejects, and came back with this wrong.
    #[error("mend the line in `_row`, or put the row in the place of this one ({0})")]
    NotMended(String),
    #[error("longer than {} MiB", MAX_LINE_BYTES >> 20)]
    TooLong,
    /// A row of CSV without an end in sight; no row follows.
    #[error("row longer than {} MiB, perhaps after a quote that is not closed; what follows is not read", MAX_LINE_BYTES >> 20)]
    NoEndOfRow,
    /// The file ends within a quoted field: whatever stands behind the quote was taken for its text.
    #[error("a quote that is not closed{}", swallowing(*lines))]
    UnclosedQuote { lines: u64 },
    #[error("{found} fields where the header has {expected}{}", spanning(*lines))]
    FieldCount { expected: usize, found: usize, lines: u64 },
    #[error("more than {MAX_COLUMNS} columns")]
    TooManyColumns,
    /// The rest of the file cannot be read; no row follows.
    #[error("cannot read on: {0}")]
    Unreadable(io::Error),
}

impl RowError {
    /// Whether the file could not be read on, so that rows may be missing.
    pub fn is_fatal(&self) -> bool {
        self.problem.is_fatal()
    }
}

impl RowProblem {
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::NoEndOfRow)
    }
}

/// The text of a row without its line end, so that it can be kept and mended. A bad row is given byte for byte, what
/// is not UTF-8 in it included; one that is too long, by its first KiB; a good row, as it would be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Original {
    /// The fields with their commas and quotes. A row with a quote that is not closed must be the last of a file.
    Csv(Vec<u8>),
    Json(Vec<u8>),
}

/// More lines than one in a row that does not fit are most often those behind a quote that nothing closes.
fn spanning(lines: u64) -> String {
    if lines > 1 { format!(", in a row of {lines} lines: is there a quote that is not closed?") } else { String::new() }
}

fn swallowing(lines: u64) -> String {
    if lines > 1 { format!(": all {lines} lines to the end of the file are one row") } else { String::new() }
}

fn remedy(present: &[String]) -> &'static str {
    match present {
        [] => "is the file empty?",
        [one] if one.contains([';', '\t']) => "its columns are not separated by commas: save it with commas",
        _ => "name it, or rename with --map ours=theirs",
    }
}

/// Names of columns, as far as a person reads them: a file may have thousands, or text in the place of a header.
fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let quoted = |name: &String| match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((cut, _)) => format!("`{}…`", &name[..cut]),
        None => format!("`{name}`"),
    };
    let shown: Vec<_> = names.iter().take(MAX_NAMES).map(quoted).collect();
    let others = names.len() - shown.len();
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    shown.join(", ") + &others
}

fn listed(places: &[usize]) -> String {
    let names: Vec<String> = places.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        Some(_) | None => names.concat(),
    }
}

fn rest(places: &[usize]) -> &'static str {
    if places.len() > 2 { "all but one" } else { "one" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{KEPT_BYTES, Rows};

    #[test]
    fn names_of_columns_are_shown_as_far_as_a_person_reads_them() {
        let numbered: Vec<String> = (0..102).map(|number| number.to_string()).collect();
        for (names, begin, end) in [
            (&[][..], "none", "none"),
            (&["a".to_owned(), "é".repeat(80)], "`a`, `é", "é`"),
            (&["é".repeat(81)], "`é", "é…`"),
            (&numbered[..100], "`0`, `1`, ", ", `99`"),
            (&numbered, "`0`, ", ", `99` and 2 more"),
        ] {
            let shown = quoted(names);
            assert!(shown.starts_with(begin) && shown.ends_with(end), "{shown}");
        }
    }

    #[test]
    fn bad_rows_come_with_the_bytes_that_they_had() {
        let json = b"{\"a\": 1}\r\nnot json\r\n {\"a\": \"\xff\"}\n".to_vec();
        let long = [&b"["[..], &vec![b'x'; usize::try_from(MAX_LINE_BYTES).unwrap()], b"\n{}"].concat();
        let csv = b"a,b\r\n1,\"x\"\r\n\r\nfew\r\n\"1\",\xff\n\"m\r\nany\",,\n2,\"y\nz\n".to_vec();
        for (name, content, expected) in [
            ("a.jsonl", json, vec![(2, b"not json".to_vec()), (3, b" {\"a\": \"\xff\"}".to_vec())]),
            ("a.ndjson", long.clone(), vec![(1, long[..KEPT_BYTES].to_vec())]),
            (
                "a.csv",
                csv,
                vec![
                    (4, b"few".to_vec()),
                    (5, b"\"1\",\xff".to_vec()),
                    (6, b"\"m\r\nany\",,".to_vec()),
                    (8, b"2,\"y\nz\n".to_vec()),
                ],
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            std::fs::write(&path, &content).unwrap();
            let rows = Rows::open(&path, &[]).unwrap();
            let bad: Vec<_> = rows
                .filter_map(Result::err)
                .map(|error| match error.original.unwrap() {
                    Original::Csv(text) | Original::Json(text) => (error.line, text),
                })
                .collect();
            assert_eq!(bad, expected, "{name}");
        }
    }
}
