//! CSV as spreadsheets and service desks export it: commas, quotes doubled within quotes, any line end, line ends
//! within quotes, empty lines skipped. It drives the parser itself, since the place of a row, its bytes as they stand
//! and a quote that is not closed are known only at that level.

use std::{
    io::{self, BufRead},
    sync::{Arc, LazyLock},
};

use csv_core::ReadRecordResult;
use serde::{Deserialize, Serialize};

use super::{Bad, Found, MAX_LINE_BYTES, Original, RowProblem, content::Content, kept_of_endless, row::Cells};

/// Most columns of a file. A row of nothing but commas must not fill the memory either.
pub(super) const MAX_COLUMNS: usize = 1 << 16;
/// Buffers that one huge row has made larger than this are given back.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

static WRITER: LazyLock<csv_core::Writer> = LazyLock::new(csv_core::Writer::new);

/// The fields of one row.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    text: String,
    /// Where each field ends in `text`.
    ends: Box<[usize]>,
}

impl Record {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter()).map(|(start, end)| &self.text[start..*end])
    }
}

impl<'a> FromIterator<&'a str> for Record {
    fn from_iter<I: IntoIterator<Item = &'a str>>(fields: I) -> Self {
        let mut text = String::new();
        let ends = fields.into_iter().map(|field| {
            text.push_str(field);
            text.len()
        });
        Self { ends: ends.collect(), text }
    }
}

/// What a CSV file looks like apart from its values, so that another can be written like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CsvStyle {
    /// It begins with a byte order mark: spreadsheets take it for what it is.
    pub has_bom: bool,
    /// Its lines end as those of Windows do.
    pub has_crlf: bool,
}

impl CsvStyle {
    /// That of files that say nothing else.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Appends what a file of this style begins with.
    pub fn begin(self, out: &mut Vec<u8>) {
        if self.has_bom {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
    }

    /// Has the last line, as [`append_csv`] ends it, end in this style.
    pub fn end_line(self, out: &mut Vec<u8>) {
        if self.has_crlf && out.pop_if(|last| *last == b'\n').is_some() {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Reads the rows below a header.
pub(super) struct CsvReader {
    pub(super) header: Arc<[String]>,
    pub(super) style: CsvStyle,
    /// Line feeds before the place that reading is at.
    pub(super) lines: u64,
    parser: csv_core::Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// The row as it stands in the file, of a bad row only.
    raw: Vec<u8>,
    /// Why reading stopped behind the last row.
    failed: Option<io::Error>,
    /// The last byte that was read.
    last: Option<u8>,
}

impl CsvReader {
    /// Reads the header; no columns where there is none.
    pub(super) fn open(content: &mut Content) -> io::Result<Self> {
        let mut reader = Self {
            header: Arc::default(),
            style: CsvStyle { has_bom: content.has_bom(), has_crlf: false },
            lines: content.skip_line_ends()?,
            parser: csv_core::Reader::new(),
            fields: vec![0; 1 << 12],
            ends: vec![0; 64],
            raw: Vec::new(),
            failed: None,
            last: None,
        };
        if let Some(header) = reader.read(content, None)? {
            let header = header.map_err(io::Error::other)?;
            reader.header = header.iter().map(|column| column.trim().to_owned()).collect();
            reader.style.has_crlf = reader.last == Some(b'\r') && content.fill_buf()?.first() == Some(&b'\n');
            reader.lines += content.skip_line_ends()?;
        }
        Ok(reader)
    }

    pub(super) fn next(&mut self, content: &mut Content) -> Option<Found> {
        let line = self.lines + 1;
        let read = match self.failed.take() {
            Some(error) => Err(error),
            None => self.read(content, Some(self.header.len())),
        };
        let cells = match read {
            Ok(None) => return None,
            Ok(Some(Ok(record))) => Ok(Cells::Csv { header: Arc::clone(&self.header), record }),
            Ok(Some(Err(problem))) => {
                let mut raw = std::mem::take(&mut self.raw);
                if matches!(problem, RowProblem::NoEndOfRow) {
                    raw = kept_of_endless(&raw);
                } else {
                    // Behind a quote that is not closed even the line ends are text.
                    let is_text = matches!(problem, RowProblem::UnclosedQuote { .. });
                    while !is_text && raw.pop_if(|last| matches!(last, b'\r' | b'\n')).is_some() {}
                }
                Err(Bad { problem, original: Some(Original::Csv(raw)) })
            }
            Err(error) => Err(Bad { problem: RowProblem::Unreadable(error), original: None }),
        };
        self.skip_line_ends(content);
        Some(Found { line, cells })
    }

    /// Goes on to the start of the next row; where that cannot be read, the next row says so.
    pub(super) fn skip_line_ends(&mut self, content: &mut Content) {
        match content.skip_line_ends() {
            Ok(lines) => self.lines += lines,
            Err(error) => self.failed = Some(error),
        }
    }

    /// Reads one row with `expected` fields, or any number; `None` at the end. After a problem `raw` holds the row.
    fn read(
        &mut self,
        content: &mut Content,
        expected: Option<usize>,
    ) -> io::Result<Option<Result<Record, RowProblem>>> {
        let (mut text_bytes, mut field_count, mut raw_bytes) = (0, 0, 0_u64);
        self.parser.set_line(0);
        self.raw.clear();
        self.raw.shrink_to(KEPT_BUFFER_BYTES);
        loop {
            if self.fields.len() - text_bytes < 2 {
                self.fields.resize(self.fields.len() * 2, 0);
            }
            // Fields beyond the most that a row can have are only counted.
            let place = field_count.min(MAX_COLUMNS);
            if self.ends.len() - place < 2 {
                self.ends.resize(self.ends.len() * 2, 0);
            }
            let input = content.fill_buf()?;
            let at_end = input.is_empty();
            if at_end && raw_bytes == 0 {
                return Ok(None);
            }
            // At the end of the file a line end of ours ends the row, unless it is within quotes.
            let input = if at_end { b"\n" } else { input };
            let (result, read, written, ended) =
                self.parser.read_record(input, &mut self.fields[text_bytes..], &mut self.ends[place..]);
            text_bytes += written;
            field_count += ended;
            let is_whole = result == ReadRecordResult::Record;
            if at_end {
                self.parser.set_line(self.parser.line() - 1);
            } else {
                raw_bytes += read as u64;
            }
            if !at_end {
                self.last = input[..read].last().copied();
            }
            // A last line without a line feed is a line as well.
            let lines = self.parser.line() + u64::from(self.last != Some(b'\n'));
            let record = if is_whole {
                Some(self.record(text_bytes, field_count, expected, lines))
            } else if at_end {
                Some(Err(RowProblem::UnclosedQuote { lines }))
            } else if raw_bytes >= MAX_LINE_BYTES {
                Some(Err(RowProblem::NoEndOfRow))
            } else {
                None
            };
            if !at_end {
                if !matches!(record, Some(Ok(_))) {
                    self.raw.extend_from_slice(&input[..read]);
                }
                content.consume(read);
            }
            if record.is_some() {
                self.lines += self.parser.line();
                if self.fields.len() > KEPT_BUFFER_BYTES {
                    self.fields = vec![0; KEPT_BUFFER_BYTES];
                }
                return Ok(record);
            }
        }
    }

    fn record(
        &self,
        text_bytes: usize,
        field_count: usize,
        expected: Option<usize>,
        lines: u64,
    ) -> Result<Record, RowProblem> {
        if let Some(expected) = expected.filter(|expected| *expected != field_count) {
            return Err(RowProblem::FieldCount { expected, found: field_count, lines });
        }
        if field_count > MAX_COLUMNS {
            return Err(RowProblem::TooManyColumns);
        }
        let (text, ends) = (&self.fields[..text_bytes], &self.ends[..field_count]);
        let text = std::str::from_utf8(text).map_err(|_| RowProblem::InvalidUtf8)?;
        // Half a character at the end of one field and half at the start of the next would go together.
        if !ends.iter().all(|end| text.is_char_boundary(*end)) {
            return Err(RowProblem::InvalidUtf8);
        }
        Ok(Record { text: text.to_owned(), ends: ends.into() })
    }
}

/// What stands behind the first `count` fields of a row as a file holds it; `None` where there are no more.
pub fn behind_fields(raw: &[u8], count: usize) -> Option<&[u8]> {
    let (mut fields, mut is_quoted, mut at_start) = (0, false, true);
    for (place, byte) in raw.iter().enumerate() {
        match byte {
            _ if fields == count => return Some(&raw[place..]),
            b'"' if at_start || is_quoted => is_quoted = !is_quoted,
            // The second of two quotes within quotes.
            b'"' if place > 0 && raw[place - 1] == b'"' => is_quoted = true,
            b',' if !is_quoted => fields += 1,
            _ => {}
        }
        at_start = *byte == b',' && !is_quoted;
    }
    (fields == count).then_some(&[])
}

/// Appends one row of CSV with its line end; fields are quoted where they need it.
pub fn append_csv<T: AsRef<[u8]>>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = T>) {
    let start = out.len();
    for (place, field) in fields.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let field = field.as_ref();
        if !WRITER.should_quote(field) {
            out.extend_from_slice(field);
            continue;
        }
        out.push(b'"');
        for part in field.split_inclusive(|byte| *byte == b'"') {
            out.extend_from_slice(part);
            if part.ends_with(b"\"") {
                out.push(b'"');
            }
        }
        out.push(b'"');
    }
    if out.len() == start {
        // A row of one empty field would be an empty line, which readers skip.
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{Row, RowError, Rows};

    /// The line and the fields of each row.
    fn read(content: &[u8]) -> Vec<Result<(u64, Vec<String>), RowError>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, content).unwrap();
        let fields = |row: Row| (row.line, row.fields().map(|(_, field)| field.into_owned()).collect());
        Rows::open(&path, &[]).unwrap().map(|row| row.map(fields)).collect()
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_csv_crate(content in "([abä,\" ]|\r|\n|\r\n|\",\"){0,60}") {
            let content = format!("a,b\n{content}");
            let mut reference = ::csv::ReaderBuilder::new().flexible(true).from_reader(content.as_bytes());
            let reference: Vec<Vec<String>> =
                reference.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            let rows = read(content.as_bytes());
            prop_assert_eq!(rows.len(), reference.len());
            for (row, expected) in rows.into_iter().zip(reference) {
                match row {
                    Ok((_, fields)) => prop_assert_eq!(fields, expected),
                    Err(RowError { problem: RowProblem::FieldCount { found, .. }, .. }) => {
                        prop_assert_eq!(found, expected.len());
                    }
                    Err(error) => prop_assert!(matches!(error.problem, RowProblem::UnclosedQuote { .. }), "{error}"),
                }
            }
        }

        #[test]
        fn what_is_written_is_read_again(rows in prop::collection::vec(("[a,\" ä\r\n]{0,20}", "[a,\" ä\r\n]{0,8}"), 0..8)) {
            let mut text = Vec::new();
            append_csv(&mut text, ["x", "y"]);
            let mut one = b"x\n".to_vec();
            for (first, second) in &rows {
                append_csv(&mut text, [first, second]);
                append_csv(&mut one, [first]);
            }
            let again: Vec<_> = read(&text).into_iter().map(|row| row.unwrap().1).collect();
            prop_assert_eq!(again, rows.iter().map(|(first, second)| vec![first.clone(), second.clone()]).collect::<Vec<_>>());
            let again: Vec<_> = read(&one).into_iter().map(|row| row.unwrap().1).collect();
            prop_assert_eq!(again, rows.iter().map(|(first, _)| vec![first.clone()]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn fields_are_quoted_where_they_need_it() {
        let mut text = Vec::new();
        append_csv(&mut text, ["plain", "a,b", "say \"a\"", "two\nlines", "", " "]);
        append_csv(&mut text, [""]);
        assert_eq!(String::from_utf8(text).unwrap(), "plain,\"a,b\",\"say \"\"a\"\"\",\"two\nlines\",, \n\"\"\n");
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            let content = ["", "a,b", "1,2", "3,\"x", "", "y\"", "", "4,5", "few", "6,7"].join(end);
            let rows = read(content.as_bytes());
            let lines = rows.into_iter().map(|row| row.map_or_else(|error| error.line, |(line, _)| line));
            assert_eq!(lines.collect::<Vec<_>>(), [3, 4, 8, 9, 10], "{content:?}");
        }
    }

    #[test]
    fn a_file_is_written_like_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        for (content, has_bom, has_crlf) in [
            ("a,b\n1,2\n", false, false),
            ("a,b\n\n1,2\r\n", false, false),
            ("\u{feff}a,b\r\n1,2\r\n", true, true),
            ("\r\n\"a\nx\",b\r\n", false, true),
            ("a,b\r1,2\r", false, false),
            ("a,b", false, false),
        ] {
            std::fs::write(&path, content).unwrap();
            let style = Rows::open(&path, &[]).unwrap().csv_style();
            assert_eq!(style, CsvStyle { has_bom, has_crlf }, "{content:?}");
        }
        let mut out = Vec::new();
        let style = CsvStyle { has_bom: true, has_crlf: true };
        style.begin(&mut out);
        append_csv(&mut out, ["a", "b\n"]);
        style.end_line(&mut out);
        assert_eq!(out, "\u{feff}a,\"b\n\"\r\n".as_bytes());
    }

    #[test]
    fn a_quote_that_is_not_closed_is_a_bad_row() {
        for (content, line, message) in [
            (
                "a,b\n1,2\n3,\"x\n4,5\n6,7\n",
                3,
                "a quote that is not closed: all 3 lines to the end of the file are one row",
            ),
            ("a,b\r\n1,2\r\n3,\"x", 3, "a quote that is not closed"),
            ("a,b\n1,2\n\"3,4\n5,6", 3, "a quote that is not closed: all 2 lines to the end of the file are one row"),
        ] {
            let mut rows = read(content.as_bytes());
            let error = rows.pop().unwrap().unwrap_err();
            assert_eq!((error.line, error.problem.to_string().as_str()), (line, message), "{content:?}");
            assert!(!error.is_fatal() && rows.len() == 1);
        }
        for closed in ["a,b\n1,\"2\"", "a,b\n1,\"2\"\"\"", "a,b\n1,\"\"", "a,b\n1,2\"", "a,b\n1,"] {
            assert!(read(closed.as_bytes()).iter().all(Result::is_ok), "{closed:?}");
        }
    }

    #[test]
    fn a_row_of_many_fields_is_bad_and_a_header_of_many_is_refused() {
        let rows = read(format!("a,b\n1,2\n{}\n3,4\n", ",".repeat(5 * MAX_COLUMNS)).as_bytes());
        let found = rows[1].as_ref().unwrap_err();
        assert!(matches!(found.problem, RowProblem::FieldCount { found, .. } if found == 5 * MAX_COLUMNS + 1));
        assert_eq!(rows[2].as_ref().unwrap(), &(4, vec!["3".to_owned(), "4".to_owned()]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        for (commas, is_good) in [(MAX_COLUMNS - 1, true), (MAX_COLUMNS, false), (3 * MAX_COLUMNS, false)] {
            std::fs::write(&path, ",".repeat(commas)).unwrap();
            assert_eq!(Rows::open(&path, &[]).is_ok(), is_good, "{commas}");
        }
    }

    #[test]
    fn a_row_of_many_lines_that_does_not_fit_makes_one_look_for_a_quote() {
        let rows = read(b"a,b\r\n1,\"x\r\n2,y\r\n3\",4,5\r\n6,7\r\n");
        let expected = "4 fields where the header has 2, in a row of 3 lines: is there a quote that is not closed?";
        assert_eq!(rows[0].as_ref().unwrap_err().problem.to_string(), expected);
        assert_eq!(rows[1].as_ref().unwrap().0, 5);
    }

    #[test]
    fn half_characters_of_two_fields_are_no_character() {
        let rows = read(b"a,b\n\xc3,\xa4\n");
        assert!(matches!(rows[0].as_ref().unwrap_err().problem, RowProblem::InvalidUtf8));
    }

    #[test]
    fn a_row_without_an_end_ends_the_file_and_does_not_fill_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        for start in ["a,b\n1,2\n3,\"", "\""] {
            let file = std::fs::File::create(&path).unwrap();
            let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            io::Write::write_all(&mut file, start.as_bytes()).unwrap();
            io::copy(&mut io::Read::take(io::repeat(b'x'), 2 * MAX_LINE_BYTES), &mut file).unwrap();
            file.finish().unwrap();
            let Ok(mut rows) = Rows::open(&path, &[]) else {
                assert_eq!(start, "\"");
                continue;
            };
            assert_eq!(rows.next().unwrap().unwrap().value("b").unwrap(), "2");
            let position = rows.position();
            let error = rows.next().unwrap().unwrap_err();
            assert!(matches!(error.problem, RowProblem::NoEndOfRow) && error.is_fatal() && error.line == 3, "{error}");
            let Some(Original::Csv(kept)) = error.original else { panic!("no original") };
            assert!(kept.starts_with(b"3,\"xxx") && kept.len() == 1 << 10);
            assert!(rows.next().is_none());
            assert_eq!(rows.position(), position);
        }
    }
}
