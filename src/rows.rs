//! Rows of a file that a command was given: JSON lines or CSV by extension, gzip on top, one row at a time.
//! A bad row is an error of its own and reading goes on behind it; only a file that cannot be read ends early.
//! What the columns mean is the caller's business, and nothing is guessed: no delimiter, no encoding but UTF-8.

mod writer;

pub use writer::RowWriter;

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;
use serde_json::{Map, Value};

/// Longest line of JSON and longest row of CSV, in bytes: a file without line breaks, or with a quote that is not
/// closed, must not fill the memory.
const MAX_LINE_BYTES: u64 = 64 << 20;
const UTF8_BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Why a file cannot be read as rows at all.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: rows come as .jsonl, .ndjson or .csv, each also with .gz", path.display())]
    UnknownFormat { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{}: no column {} (columns present: {}); {}", path.display(), quoted(missing), quoted(present), remedy(present))]
    MissingColumns { path: PathBuf, missing: Vec<String>, present: Vec<String> },
}

/// One row that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}, line {line}: {problem}", path.display())]
pub struct RowError {
    pub path: PathBuf,
    /// From 1; in CSV the line that the row starts on.
    pub line: u64,
    pub problem: RowProblem,
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowProblem {
    #[error("not UTF-8, save the file as UTF-8")]
    InvalidUtf8,
    #[error("not a JSON object: {0}")]
    InvalidJson(String),
    #[error("longer than {} MiB", MAX_LINE_BYTES >> 20)]
    TooLong,
    /// A row of CSV without an end in sight; no row follows.
    #[error("row longer than {} MiB, perhaps after a quote that is not closed; what follows is not read", MAX_LINE_BYTES >> 20)]
    NoEndOfRow,
    #[error("{found} fields where the header has {expected}{}", spanning(*lines))]
    FieldCount { expected: usize, found: usize, lines: u64 },
    /// The rest of the file cannot be read; no row follows.
    #[error("cannot read on: {0}")]
    Unreadable(io::Error),
}

impl RowError {
    /// Whether the file could not be read on, so that rows may be missing.
    pub fn is_fatal(&self) -> bool {
        matches!(self.problem, RowProblem::Unreadable(_) | RowProblem::NoEndOfRow)
    }
}

/// Reads one `ours=theirs` of `--map`.
pub fn parse_rename(raw: &str) -> Result<(String, String), String> {
    match raw.split_once('=') {
        Some((ours, theirs)) if !ours.trim().is_empty() && !theirs.trim().is_empty() => {
            Ok((ours.trim().to_owned(), theirs.trim().to_owned()))
        }
        Some(_) | None => Err(format!("`{raw}` is not of the form ours=theirs")),
    }
}

/// More lines than one in a row that does not fit are most often those behind a quote that nothing closes.
fn spanning(lines: u64) -> String {
    if lines > 1 { format!(", in a row of {lines} lines: is there a quote that is not closed?") } else { String::new() }
}

fn remedy(present: &[String]) -> &'static str {
    match present {
        [] => "is the file empty?",
        [one] if one.contains([';', '\t']) => "its columns are not separated by commas: save it with commas",
        _ => "name it, or rename with --map ours=theirs",
    }
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// One row. Column names are the caller's own: `--map` has been applied.
#[derive(Debug, Clone)]
pub struct Row {
    /// From 1, bad rows counted.
    pub number: u64,
    cells: Cells,
    renames: Arc<[(String, String)]>,
}

#[derive(Debug, Clone)]
enum Cells {
    Csv { header: Arc<[String]>, record: csv::StringRecord },
    Json(Map<String, Value>),
}

impl Row {
    /// The value of `column`, or the row's number where the row has none.
    pub fn id(&self, column: &str) -> String {
        self.value(column).unwrap_or_else(|| self.number.to_string())
    }

    /// The values of `columns` that hold text, joined by a newline; may be empty.
    pub fn text(&self, columns: &[String]) -> String {
        let parts = columns.iter().filter_map(|column| self.value(column));
        parts.filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// One label: the value without blanks around it; `None` where nothing is left.
    pub fn label(&self, column: &str) -> Option<String> {
        self.value(column).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value of a column as text, numbers as JSON writes them; `None` where it is missing, null or empty.
    pub fn value(&self, column: &str) -> Option<String> {
        let value = match &self.cells {
            Cells::Csv { .. } => self.csv_field(column)?.to_owned(),
            Cells::Json(object) => scalar(object.get(self.source_column(column))?),
        };
        (!value.is_empty()).then_some(value)
    }

    /// A list of ids: a list, one id, or the keys of an object; in CSV separated by `;`.
    pub fn list(&self, column: &str) -> Vec<String> {
        let ids: Vec<String> = match &self.cells {
            Cells::Csv { .. } => {
                let field = self.csv_field(column).unwrap_or_default();
                field.split(';').map(|id| id.trim().to_owned()).collect()
            }
            Cells::Json(object) => match object.get(self.source_column(column)) {
                Some(Value::Array(items)) => items.iter().map(scalar).collect(),
                Some(Value::Object(keyed)) => keyed.keys().cloned().collect(),
                Some(one) => vec![scalar(one)],
                None => Vec::new(),
            },
        };
        ids.into_iter().filter(|id| !id.is_empty()).collect()
    }

    /// Every column as the file names it, with its value as text; in file order.
    pub fn columns(&self) -> Vec<(&str, String)> {
        match &self.cells {
            Cells::Csv { header, record } => {
                header.iter().map(String::as_str).zip(record.iter().map(str::to_owned)).collect()
            }
            Cells::Json(object) => object.iter().map(|(name, value)| (name.as_str(), scalar(value))).collect(),
        }
    }

    fn source_column<'a>(&'a self, column: &'a str) -> &'a str {
        source_column(&self.renames, column)
    }

    /// The first field of this name that holds anything: exports repeat a column for its further values.
    fn csv_field(&self, column: &str) -> Option<&str> {
        let Cells::Csv { header, record } = &self.cells else { return None };
        let name = self.source_column(column);
        let mut fields = header.iter().zip(record.iter()).filter(|(known, _)| *known == name).map(|(_, field)| field);
        fields.find(|field| !field.is_empty())
    }
}

fn source_column<'a>(renames: &'a [(String, String)], column: &'a str) -> &'a str {
    renames.iter().find(|(ours, _)| ours == column).map_or(column, |(_, theirs)| theirs)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Reads one file's rows in order.
pub struct Rows {
    path: PathBuf,
    renames: Arc<[(String, String)]>,
    source: Source,
    number: u64,
}

enum Source {
    Csv { reader: Box<csv::Reader<io::Take<Box<dyn Read + Send>>>>, header: Arc<[String]> },
    Json { reader: Box<dyn BufRead + Send>, line: u64 },
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// The format of a file of this name, and whether it is gzipped.
fn format_of(path: &Path) -> Result<(Format, bool), RowsError> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (stem, gzip) = name.strip_suffix(".gz").map_or((name.as_str(), false), |stem| (stem, true));
    match stem.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv") => Ok((Format::Csv, gzip)),
        Some("jsonl" | "ndjson") => Ok((Format::JsonLines, gzip)),
        Some(_) | None => Err(RowsError::UnknownFormat { path: path.to_owned() }),
    }
}

impl Rows {
    /// Opens a file; `renames` are `(ours, theirs)` pairs as `--map` gives them.
    pub fn open(path: &Path, renames: &[(String, String)]) -> Result<Self, RowsError> {
        let unreadable = |source| RowsError::Unreadable { path: path.to_owned(), source };
        let (format, gzip) = format_of(path)?;
        let file = BufReader::new(File::open(path).map_err(unreadable)?);
        let content: Box<dyn Read + Send> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let content = without_bom(content).map_err(unreadable)?;
        let source = match format {
            Format::JsonLines => Source::Json { reader: Box::new(BufReader::with_capacity(1 << 16, content)), line: 0 },
            Format::Csv => {
                let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(content.take(MAX_LINE_BYTES));
                let header = reader.headers().map_err(|error| {
                    let is_text = !matches!(error.kind(), csv::ErrorKind::Utf8 { .. });
                    unreadable(if is_text {
                        io::Error::other(error)
                    } else {
                        io::Error::other(RowProblem::InvalidUtf8)
                    })
                })?;
                let header = header.clone();
                if reader.get_ref().limit() == 0 {
                    return Err(unreadable(io::Error::other(RowProblem::NoEndOfRow)));
                }
                let header = header.iter().map(|column| column.trim().to_owned()).collect();
                Source::Csv { reader: Box::new(reader), header }
            }
        };
        Ok(Self { path: path.to_owned(), renames: renames.into(), source, number: 0 })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The columns of a CSV file as the file names them; `None` for JSON lines, where each row has its own.
    pub fn header(&self) -> Option<&[String]> {
        match &self.source {
            Source::Csv { header, .. } => Some(header),
            Source::Json { .. } | Source::Ended => None,
        }
    }

    /// Refuses a file in which no row has one of these columns, so that a misspelt name is found at once.
    /// A file of JSON lines is read ahead, from its start, until each column was seen.
    pub fn require(&self, columns: &[&str]) -> Result<(), RowsError> {
        let mut missing: Vec<&str> = columns.iter().map(|column| source_column(&self.renames, column)).collect();
        let mut present: Vec<String> = Vec::new();
        if let Source::Csv { header, .. } = &self.source {
            present = header.to_vec();
            missing.retain(|column| !present.iter().any(|known| known == column));
        } else {
            let mut known = HashSet::new();
            let mut any_row = false;
            for row in Self::open(&self.path, &self.renames)?.flatten() {
                any_row = true;
                for (column, _) in row.columns() {
                    if known.insert(column.to_owned()) {
                        missing.retain(|name| *name != column);
                        present.push(column.to_owned());
                    }
                }
                if missing.is_empty() {
                    break;
                }
            }
            if !any_row {
                return Ok(());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.into_iter().map(str::to_owned).collect();
        Err(RowsError::MissingColumns { path: self.path.clone(), missing, present })
    }

    fn error(&self, line: u64, problem: RowProblem) -> RowError {
        RowError { path: self.path.clone(), line, problem }
    }

    fn row(&self, cells: Cells) -> Row {
        Row { number: self.number, cells, renames: Arc::clone(&self.renames) }
    }

    fn next_csv(&mut self) -> Option<Result<Row, RowError>> {
        let Source::Csv { reader, header } = &mut self.source else { return None };
        let mut record = csv::ByteRecord::new();
        reader.get_mut().set_limit(MAX_LINE_BYTES);
        let read = reader.read_byte_record(&mut record);
        let endless = reader.get_ref().limit() == 0;
        let line = record.position().map_or_else(|| reader.position().line(), csv::Position::line);
        let header = Arc::clone(header);
        match read {
            Ok(false) => return None,
            Ok(true) => {}
            Err(error) => {
                self.source = Source::Ended;
                return Some(Err(self.error(line, RowProblem::Unreadable(io::Error::other(error)))));
            }
        }
        self.number += 1;
        if endless {
            self.source = Source::Ended;
            return Some(Err(self.error(line, RowProblem::NoEndOfRow)));
        }
        if record.len() != header.len() {
            let lines = reader.position().line().saturating_sub(line);
            let problem = RowProblem::FieldCount { expected: header.len(), found: record.len(), lines };
            return Some(Err(self.error(line, problem)));
        }
        Some(match csv::StringRecord::from_byte_record(record) {
            Ok(record) => Ok(self.row(Cells::Csv { header, record })),
            Err(_) => Err(self.error(line, RowProblem::InvalidUtf8)),
        })
    }

    fn next_json(&mut self) -> Option<Result<Row, RowError>> {
        loop {
            let Source::Json { reader, line } = &mut self.source else { return None };
            let mut bytes = Vec::new();
            let read = read_line(reader, &mut bytes);
            *line += 1;
            let line = *line;
            let complete = match read {
                Ok(LineRead::End) => return None,
                Ok(LineRead::Line) => true,
                Ok(LineRead::TooLong) => false,
                Err(error) => {
                    self.source = Source::Ended;
                    return Some(Err(self.error(line, RowProblem::Unreadable(error))));
                }
            };
            if complete && bytes.trim_ascii().is_empty() {
                continue;
            }
            self.number += 1;
            if !complete {
                return Some(Err(self.error(line, RowProblem::TooLong)));
            }
            return Some(match parse_object(&bytes) {
                Ok(object) => Ok(self.row(Cells::Json(object))),
                Err(problem) => Err(self.error(line, problem)),
            });
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.source {
            Source::Csv { .. } => self.next_csv(),
            Source::Json { .. } => self.next_json(),
            Source::Ended => None,
        }
    }
}

enum LineRead {
    Line,
    TooLong,
    End,
}

/// Reads up to and with the next line break; an over-long line is skipped and only its start kept.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<LineRead> {
    if reader.take(MAX_LINE_BYTES).read_until(b'\n', line)? == 0 {
        return Ok(LineRead::End);
    }
    if line.len() as u64 == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
        reader.skip_until(b'\n')?;
        return Ok(LineRead::TooLong);
    }
    Ok(LineRead::Line)
}

fn parse_object(line: &[u8]) -> Result<Map<String, Value>, RowProblem> {
    let text = std::str::from_utf8(line).map_err(|_| RowProblem::InvalidUtf8)?;
    serde_json::from_str(text).map_err(|error| RowProblem::InvalidJson(error.to_string()))
}

fn without_bom(mut content: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(UTF8_BOM.len());
    content.by_ref().take(UTF8_BOM.len() as u64).read_to_end(&mut start)?;
    if start == UTF8_BOM {
        start.clear();
    }
    Ok(Box::new(io::Cursor::new(start).chain(content)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn rows(name: &str, content: &[u8], renames: &[(&str, &str)]) -> (tempfile::TempDir, Rows) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        if Path::new(name).extension().is_some_and(|extension| extension == "gz") {
            let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
            file.write_all(content).unwrap();
            file.finish().unwrap();
        } else {
            std::fs::write(&path, content).unwrap();
        }
        let renames: Vec<_> = renames.iter().map(|(ours, theirs)| (ours.to_string(), theirs.to_string())).collect();
        let rows = Rows::open(&path, &renames).unwrap();
        (folder, rows)
    }

    fn names(columns: &[&str]) -> Vec<String> {
        columns.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_formats_give_the_same_rows() {
        let json = "\u{feff}{\"nr\": 7, \"title\": \"Käse\", \"body\": null, \"label\": 4, \"seen\": [1, \"b\"]}\r\n\r\n\
                    {\"title\": \"  \", \"body\": \"x\\ny\", \"label\": \"4\", \"seen\": {\"b\": 1}}";
        let csv = "\u{feff}nr,title,body,label,seen\r\n7,Käse,,4,1; b\r\n,\"  \",\"x\ny\",4,b\r\n";
        for (name, content) in [("a.jsonl", json), ("a.NDJSON.gz", json), ("a.csv", csv), ("a.csv.gz", csv)] {
            let (_folder, rows) = rows(name, content.as_bytes(), &[("text", "title")]);
            rows.require(&["text", "body", "label"]).unwrap();
            let rows: Vec<Row> = rows.map(Result::unwrap).collect();
            let text: Vec<_> = rows.iter().map(|row| row.text(&names(&["text", "body"]))).collect();
            assert_eq!(text, ["Käse", "x\ny"], "{name}");
            assert_eq!(rows.iter().map(|row| row.id("nr")).collect::<Vec<_>>(), ["7", "2"], "{name}");
            assert!(rows.iter().all(|row| row.label("label").as_deref() == Some("4")), "{name}");
            let lists: Vec<_> = rows.iter().map(|row| row.list("seen")).collect();
            assert_eq!(lists, [names(&["1", "b"]), names(&["b"])], "{name}");
        }
    }

    #[test]
    fn reading_goes_on_after_a_bad_row() {
        let json = b"{\"a\": 1}\nnot json\n[1]\n{\"a\": \"\xff\"}\n{\"a\": 2}";
        let csv = b"a,b\n1,x\n1\n1,2,3\n\xff,x\n2,x\n";
        for (name, content, lines) in [("a.jsonl", &json[..], [2, 3, 4]), ("a.csv", &csv[..], [3, 4, 5])] {
            let (_folder, rows) = rows(name, content, &[]);
            let (good, bad): (Vec<_>, Vec<_>) = rows.partition(Result::is_ok);
            let values: Vec<_> = good.into_iter().map(|row| row.unwrap().value("a").unwrap()).collect();
            assert_eq!(values, ["1", "2"], "{name}");
            let bad: Vec<_> = bad.into_iter().map(Result::unwrap_err).collect();
            assert_eq!(bad.iter().map(|error| error.line).collect::<Vec<_>>(), lines, "{name}");
            assert!(matches!(bad[2].problem, RowProblem::InvalidUtf8), "{name}");
        }
    }

    #[test]
    fn a_column_that_no_row_has_is_named_with_those_present() {
        for (name, content) in [("a.jsonl", "{\"a\": 1}\n{\"b\": 1}"), ("a.csv", "a,b\n1,1\n")] {
            let (_folder, rows) = rows(name, content.as_bytes(), &[]);
            rows.require(&["b", "a"]).unwrap();
            let message = rows.require(&["a", "labl"]).unwrap_err().to_string();
            assert!(message.contains("no column `labl` (columns present: `a`, `b`)"), "{message}");
        }
    }

    #[test]
    fn a_broken_archive_ends_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl.gz");
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for number in 0..20_000_u64 {
            writeln!(file, "{{\"a\": {}}}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).unwrap();
        }
        let bytes = file.finish().unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let rows: Vec<_> = Rows::open(&path, &[]).unwrap().collect();
        let fatal: Vec<_> = rows.iter().map(|row| row.as_ref().is_err_and(RowError::is_fatal)).collect();
        assert_eq!(fatal.iter().filter(|fatal| **fatal).count(), 1);
        assert_eq!(fatal.last(), Some(&true));
    }

    #[test]
    fn a_quote_that_is_not_closed_ends_the_file_and_does_not_fill_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        for start in ["a,b\n1,2\n3,\"", "\""] {
            let path = folder.path().join("a.csv.gz");
            let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
            file.write_all(start.as_bytes()).unwrap();
            io::copy(&mut io::repeat(b'x').take(2 * MAX_LINE_BYTES), &mut file).unwrap();
            file.finish().unwrap();
            let Ok(mut rows) = Rows::open(&path, &[]) else {
                assert_eq!(start, "\"");
                continue;
            };
            assert_eq!(rows.next().unwrap().unwrap().value("b").unwrap(), "2");
            let error = rows.next().unwrap().unwrap_err();
            assert!(matches!(error.problem, RowProblem::NoEndOfRow) && error.is_fatal() && error.line == 3, "{error}");
            assert!(rows.next().is_none());
        }
    }

    #[test]
    fn an_unknown_extension_is_refused_before_the_file_is_opened() {
        for name in ["a.txt", "a", "a.gz", "a.xlsx.gz"] {
            let error = Rows::open(Path::new(name), &[]).err().unwrap();
            assert!(matches!(error, RowsError::UnknownFormat { .. }), "{name}");
        }
        assert!(matches!(Rows::open(Path::new("/no/such.csv"), &[]).err().unwrap(), RowsError::Unreadable { .. }));
    }
}
