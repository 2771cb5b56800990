//! Rows of a file that a command was given: JSON lines or CSV by extension, gzip on top, one row at a time.
//! A bad row is an error of its own and reading goes on behind it; only a file that cannot be read ends early.
//! Reading can be taken up again where it was left. What the columns mean is the caller's business, and nothing is
//! guessed: no delimiter, no encoding but UTF-8.

mod content;
mod csv;
mod error;
mod json_lines;
mod row;
mod writer;

pub use csv::{CsvStyle, append_csv, behind_fields};
pub use error::{Original, RowError, RowProblem, RowsError};
pub use json_lines::{JSON_LINE, JSON_REASON, JSON_ROW, append_json};
pub use row::{Row, source_column};
pub use writer::RowWriter;

use std::{
    collections::HashSet,
    io::BufRead,
    path::{Path, PathBuf},
    sync::Arc,
};

use content::Content;
use row::Cells;

/// Longest line of JSON and longest row of CSV, in bytes: a file without line breaks, or with a quote that is not
/// closed, must not fill the memory.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// So much is kept of a longer one.
const KEPT_BYTES: usize = 1 << 10;

/// Reads one `ours=theirs` of `--map`.
pub fn parse_rename(raw: &str) -> Result<(String, String), String> {
    match raw.split_once('=') {
        Some((ours, theirs)) if !ours.trim().is_empty() && !theirs.trim().is_empty() => {
            Ok((ours.trim().to_owned(), theirs.trim().to_owned()))
        }
        Some(_) | None => Err(format!("`{raw}` is not of the form ours=theirs")),
    }
}

/// Where in a file a row starts, so that reading can be taken up there; the default is the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Bytes of the content before it: unpacked, and behind the byte order mark.
    pub byte: u64,
    /// Lines before it.
    pub line: u64,
    /// Rows before it, bad ones counted.
    pub number: u64,
}

/// Reads one file's rows in order.
pub struct Rows {
    path: PathBuf,
    renames: Arc<[(String, String)]>,
    content: Content,
    source: Source,
    position: Position,
    is_empty: bool,
    has_ended: bool,
}

enum Source {
    Csv(Box<csv::CsvReader>),
    Json(json_lines::JsonReader),
}

/// What a format's reader found on the lines from `line` on.
struct Found {
    line: u64,
    cells: Result<Cells, Bad>,
}

struct Bad {
    problem: RowProblem,
    original: Option<Original>,
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

fn kept_of_endless(raw: &[u8]) -> Vec<u8> {
    raw[..raw.len().min(KEPT_BYTES)].to_vec()
}

impl Rows {
    /// Opens a file; `renames` are `(ours, theirs)` pairs as `--map` gives them.
    pub fn open(path: &Path, renames: &[(String, String)]) -> Result<Self, RowsError> {
        if path.is_dir() {
            return Err(RowsError::Folder { path: path.to_owned() });
        }
        let unreadable = |source| RowsError::unreadable(path, source);
        let (format, gzip) = format_of(path)?;
        let mut content = Content::open(path, gzip)?;
        let source = match format {
            Format::Csv => Source::Csv(Box::new(csv::CsvReader::open(&mut content).map_err(unreadable)?)),
            Format::JsonLines => Source::Json(json_lines::JsonReader::open(&mut content).map_err(unreadable)?),
        };
        let is_empty = content.fill_buf().map_err(unreadable)?.is_empty();
        let mut rows = Self {
            path: path.to_owned(),
            renames: renames.into(),
            content,
            source,
            position: Position::default(),
            is_empty,
            has_ended: false,
        };
        rows.position = rows.place(0);
        Ok(rows)
    }

    /// Opens a file and goes on at a position that [`Self::position`] gave: what follows is what an uninterrupted
    /// reading would have given. It cannot tell whether the file is still the same. What is gzipped is unpacked from
    /// its start.
    pub fn open_at(path: &Path, renames: &[(String, String)], position: Position) -> Result<Self, RowsError> {
        let mut rows = Self::open(path, renames)?;
        if position.byte <= rows.position.byte {
            return Ok(rows);
        }
        let unreadable = |source| RowsError::unreadable(path, source);
        if !rows.content.skip_to(position.byte).map_err(unreadable)? {
            return Err(RowsError::Shortened { path: path.to_owned(), byte: position.byte });
        }
        match &mut rows.source {
            Source::Csv(reader) => {
                reader.lines = position.line;
                // Where this could not be read the last time, the position is before it.
                reader.skip_line_ends(&mut rows.content);
            }
            Source::Json(reader) => reader.lines = position.line,
        }
        rows.position = rows.place(position.number);
        Ok(rows)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next row starts; before a row that could not be read, where the file could not be read on.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Bytes of the file itself, packed as it is, that were read so far, and its size when it was opened.
    pub fn progress(&self) -> (u64, u64) {
        self.content.progress()
    }

    /// Whether the file has no row at all: nothing in it, or only a header.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// The columns of a CSV file as the file names them; `None` for JSON lines, where each row has its own.
    pub fn header(&self) -> Option<&[String]> {
        match &self.source {
            Source::Csv(reader) => Some(&reader.header),
            Source::Json(_) => None,
        }
    }

    /// How the file is written apart from its values; JSON lines are plain.
    pub fn csv_style(&self) -> CsvStyle {
        match &self.source {
            Source::Csv(reader) => reader.style,
            Source::Json(_) => CsvStyle::default(),
        }
    }

    /// Refuses a file in which no row has one of these columns, so that a misspelt name is found at once.
    /// A file of JSON lines is read ahead, from its start, until each column was seen.
    pub fn require(&self, columns: &[&str]) -> Result<(), RowsError> {
        let mut missing: Vec<&str> = columns.iter().map(|column| source_column(&self.renames, column)).collect();
        let mut present: Vec<String> = Vec::new();
        if let Some(header) = self.header() {
            present = header.to_vec();
            missing.retain(|column| !present.iter().any(|known| known == column));
        } else {
            let mut known = HashSet::new();
            let mut any_row = false;
            for row in Self::open(&self.path, &self.renames)?.flatten() {
                any_row = true;
                for (column, _) in row.fields() {
                    if !known.contains(column) {
                        known.insert(column.to_owned());
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

    /// What the file itself calls a column.
    pub fn source_column<'a>(&'a self, column: &'a str) -> &'a str {
        source_column(&self.renames, column)
    }

    /// Refuses a CSV file in whose header one of these columns stands more than once: exports repeat columns, but
    /// which of two ids is meant? JSON lines have no header, and pass.
    pub fn require_once(&self, columns: &[&str]) -> Result<(), RowsError> {
        for column in columns.iter().map(|column| source_column(&self.renames, column)) {
            let named = self.header().unwrap_or_default().iter().zip(1..).filter(|(name, _)| *name == column);
            let places: Vec<usize> = named.map(|(_, place)| place).collect();
            if places.len() > 1 {
                return Err(RowsError::RepeatedColumn { path: self.path.clone(), column: column.to_owned(), places });
            }
        }
        Ok(())
    }

    /// Where reading is at, behind so many rows.
    fn place(&self, number: u64) -> Position {
        let line = match &self.source {
            Source::Csv(reader) => reader.lines,
            Source::Json(reader) => reader.lines,
        };
        Position { byte: self.content.position(), line, number }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let Found { line, cells } = match &mut self.source {
            Source::Csv(reader) => reader.next(&mut self.content),
            Source::Json(reader) => reader.next(&mut self.content),
        }?;
        self.has_ended = cells.as_ref().is_err_and(|bad| bad.problem.is_fatal());
        let number = self.position.number + 1;
        if !self.has_ended {
            self.position = self.place(number);
        }
        Some(match cells {
            Ok(cells) => Ok(Row { number, line, cells, renames: Arc::clone(&self.renames) }),
            Err(Bad { problem, original }) => Err(RowError { path: self.path.clone(), line, problem, original }),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        file.write_all(content).unwrap();
        file.finish().unwrap()
    }

    fn rows(name: &str, content: &[u8], renames: &[(&str, &str)]) -> (tempfile::TempDir, Rows) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let is_gzip = Path::new(name).extension().is_some_and(|extension| extension == "gz");
        let packed = if is_gzip { gzipped(content) } else { content.to_vec() };
        std::fs::write(&path, packed).unwrap();
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

    /// A file's content below its header: lines that go well and lines that do not, with every line end.
    fn content(is_csv: bool) -> impl Strategy<Value = Vec<u8>> {
        let long = if is_csv {
            format!("{},\"{}\"", "ab".repeat(9_000), "c\r\nd\"\"".repeat(12_000))
        } else {
            format!("{{\"a\": \"{}\"}}", "long ".repeat(15_000))
        };
        let csv_lines = [
            &b"1,x"[..],
            b"\"two\nlines\",\"a \"\"quote\"\"\"",
            b"\"a\r\n\r\nb\",",
            b"few",
            b"m,a,n,y",
            b"\xff,x",
            b"\xc3,\xa4",
            b"",
            b" ",
            b"\xef\xbb\xbf1,2",
            long.as_bytes(),
        ];
        let json_lines = [
            &b"{\"a\": 1, \"b\": null}"[..],
            b"{\"b\": [1, {}], \"a\": \"\"}",
            b"{\"a\": 1, \"a\": 2}",
            b"{}",
            b"[1]",
            b"{\"a\": 1} x",
            b"{\"a\": \"\xff\"}",
            b"",
            b" \t",
            b"{",
            long.as_bytes(),
        ];
        let lines: Vec<_> = if is_csv { csv_lines } else { json_lines }.map(<[u8]>::to_vec).to_vec();
        let ends = prop::sample::select(vec!["\n", "\r\n", if is_csv { "\r" } else { "\n\n" }]);
        let line = (prop::sample::select(lines), ends).prop_map(|(line, end)| [&line, end.as_bytes()].concat());
        let last = prop::sample::select(vec!["", "2,y", "3,\"z", "\"a,b\n1,2\n"]);
        let lines = prop::collection::vec(line, 0..12);
        (lines, last).prop_map(|(lines, last)| [&lines.concat(), last.as_bytes()].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn reading_goes_on_at_any_position_as_if_it_had_not_stopped(
            (is_csv, content) in any::<bool>().prop_flat_map(|is_csv| (Just(is_csv), content(is_csv))),
            has_bom: bool,
            is_gzip: bool,
        ) {
            let start = [if has_bom { "\u{feff}" } else { "" }, if is_csv { "a,b\r\n" } else { "" }].concat();
            let content = [start.as_bytes(), &content].concat();
            let name = format!("a.{}{}", if is_csv { "csv" } else { "jsonl" }, if is_gzip { ".gz" } else { "" });
            let (_folder, mut rows) = rows(&name, &content, &[]);
            let mut read = vec![(rows.position(), String::new())];
            while let Some(row) = rows.next() {
                read.push((rows.position(), format!("{row:?}")));
            }
            let (done, size) = rows.progress();
            prop_assert_eq!(done, size);
            for (place, (position, _)) in read.iter().enumerate() {
                let stored = serde_json::to_string(position).unwrap();
                let mut rest = Rows::open_at(rows.path(), &[], serde_json::from_str(&stored).unwrap()).unwrap();
                prop_assert_eq!(rest.position(), *position);
                for (position, row) in &read[place + 1..] {
                    prop_assert_eq!(&format!("{:?}", rest.next().unwrap()), row);
                    prop_assert_eq!(rest.position(), *position);
                }
                prop_assert!(rest.next().is_none());
            }
        }
    }

    #[test]
    fn a_file_that_ends_before_the_position_is_refused() {
        for name in ["a.csv", "a.jsonl.gz"] {
            let (_folder, rows) = rows(name, b"{}\n{}\n", &[]);
            let open = |byte| Rows::open_at(rows.path(), &[], Position { byte, line: 2, number: 2 });
            assert_eq!(open(6).unwrap().count(), 0);
            let message = open(7).err().unwrap().to_string();
            assert!(
                message.ends_with(" ends before byte 7, where reading is to go on: has the file changed?"),
                "{message}"
            );
        }
    }

    #[test]
    fn an_empty_file_can_be_told() {
        for (name, content, empty) in [
            ("a.csv", "", true),
            ("a.csv", "\u{feff}", true),
            ("a.csv", "id,text", true),
            ("a.csv", "id\r\n\r\n", true),
            ("a.csv", "id\n1", false),
            ("a.jsonl", "", true),
            ("a.jsonl", "\n\r\n", true),
            ("a.jsonl.gz", "", true),
            ("a.jsonl", "{}", false),
            ("a.jsonl", "x", false),
        ] {
            let (_folder, rows) = rows(name, content.as_bytes(), &[]);
            assert_eq!(rows.is_empty(), empty, "{content:?}");
            assert_eq!(rows.count() == 0, empty, "{content:?}");
        }
    }

    #[test]
    fn a_column_that_must_stand_once_is_named_with_its_places() {
        let (_folder, csv) = rows("a.csv", b"nr, text ,x,nr,text,text\n", &[("id", "nr")]);
        csv.require_once(&["x", "missing"]).unwrap();
        for (column, end) in [
            ("id", "column `nr` stands 2 times in the header (columns 1 and 4): remove or rename one"),
            ("text", "column `text` stands 3 times in the header (columns 2, 5 and 6): remove or rename all but one"),
        ] {
            let message = csv.require_once(&["x", column]).unwrap_err().to_string();
            assert!(message.ends_with(end), "{message}");
        }
        let (_folder, json) = rows("a.jsonl", b"{\"id\": 1, \"id\": 2}", &[]);
        json.require_once(&["id"]).unwrap();
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
