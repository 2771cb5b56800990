//! Rows that could not be used, in a file of their own: each as it was, in the format of its file, with its line and
//! what is wrong. Once that is mended, the same command reads the file like the input: what is added here is not asked
//! for, and a row that went by its number keeps it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{
    JobError,
    output::{self, Growing, is_csv},
    specification::{FileSource, Source, Specification},
    storage,
    vacant::{check_target, check_vacant},
};
use crate::rows::{
    CsvStyle, JSON_LINE, JSON_REASON, JSON_ROW, Original, Rows, append_csv, append_json, behind_fields, source_column,
};

/// Of fewer rows the share of bad ones says nothing.
const MIN_ROWS_TO_JUDGE: u64 = 100;
/// Rejects are written in pieces of this size where no chunk ends earlier.
const PIECE_BYTES: usize = 1 << 16;
const LINE: &str = "line";
const REASON: &str = "reason";

/// Whether so many bad rows of so many so far are more than this share. Where it is 0, the first one is.
pub fn too_many_bad(bad: u64, rows: u64, max_share: f64) -> bool {
    let can_be_judged = rows >= MIN_ROWS_TO_JUDGE || max_share <= 0.0;
    can_be_judged && bad > 0 && super::input::share(bad, rows) > max_share
}

/// A row that could not be used.
#[derive(Debug, Clone, Copy)]
pub struct Reject<'a> {
    /// The line that it starts on, from 1.
    pub line: u64,
    pub reason: &'a str,
    /// The row's id, else its number.
    pub id: &'a str,
    /// `None`: there is nothing to be mended.
    pub original: Option<&'a Original>,
}

/// How the rejects of one file are written.
#[derive(Debug, Clone)]
pub(super) struct RejectFormat {
    /// The columns of the file, in CSV; without ours.
    header: Option<Vec<String>>,
    /// The file is one of rejects: what was wrong the last time stands in front, and is outdated.
    comes_again: bool,
    style: CsvStyle,
    /// The column of the id: of JSON lines, and of CSV where the file has none, so that its rows go by their numbers.
    id: Option<String>,
}

impl RejectFormat {
    /// `None` for the memory, which has no rows.
    pub(super) fn of(job: &Specification) -> Option<Self> {
        let Source::File(FileSource { path, renames, id, columns, style, .. }) = &job.source else { return None };
        Some(Self::new(is_csv(path).then_some(columns), *style, source_column(renames, id)))
    }

    fn new(header: Option<&[String]>, style: CsvStyle, id: &str) -> Self {
        let has_id = header.is_some_and(|header| header.iter().any(|column| column == id));
        let theirs = header.map(|header| header.strip_prefix(&[LINE, REASON].map(str::to_owned)).unwrap_or(header));
        let comes_again = theirs.map(<[String]>::len) != header.map(<[String]>::len);
        Self { header: theirs.map(<[String]>::to_vec), comes_again, style, id: (!has_id).then(|| id.to_owned()) }
    }

    /// What stands before the first row.
    pub(super) fn append_header(&self, out: &mut Vec<u8>) {
        if let Some(header) = &self.header {
            self.style.begin(out);
            append_csv(
                out,
                [LINE, REASON].into_iter().chain(self.id.as_deref()).chain(header.iter().map(String::as_str)),
            );
            self.style.end_line(out);
        }
    }

    pub(super) fn append(&self, out: &mut Vec<u8>, reject: Reject<'_>) {
        let Reject { line, reason, id, original } = reject;
        match original {
            Some(Original::Csv(raw)) => {
                let number = self.id.as_ref().map(|_| id);
                append_csv(out, [&*line.to_string(), reason].into_iter().chain(number));
                out.pop();
                out.push(b',');
                out.extend_from_slice(if self.comes_again { without_ours(raw) } else { raw });
                out.push(b'\n');
                self.style.end_line(out);
            }
            Some(Original::Json(raw)) => {
                let mut object =
                    Map::from_iter([(JSON_LINE.to_owned(), line.into()), (JSON_REASON.to_owned(), reason.into())]);
                if let Ok(Value::Object(original)) = serde_json::from_slice(raw) {
                    // Of a row that comes again, what was wrong the last time is outdated.
                    let is_ours = |name: &str| name == JSON_LINE || name == JSON_REASON;
                    let is_kept_line = original.contains_key(JSON_LINE) && original.contains_key(JSON_ROW);
                    object.extend(original.into_iter().filter(|(name, _)| !is_ours(name)));
                    // The id of a line that is not mended stands within it, if anywhere.
                    if let Some(column) = self.id.as_ref().filter(|_| !is_kept_line) {
                        object.entry(column.as_str()).or_insert_with(|| id.into());
                    }
                } else {
                    object.insert(JSON_ROW.to_owned(), String::from_utf8_lossy(raw).into());
                }
                // Strings and numbers can be written as JSON, and memory takes it.
                append_json(out, &object).ok();
            }
            None => {}
        }
    }
}

/// A row of rejects without the line and the reason in front, where it has them still.
fn without_ours(raw: &[u8]) -> &[u8] {
    let first = raw.split(|byte| *byte == b',').next().unwrap_or_default();
    let is_line = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    is_line.then(|| behind_fields(raw, 2)).flatten().unwrap_or(raw)
}

/// The rejects of an import that is no job. The file has its name only once all rows were read.
pub struct Rejects {
    format: RejectFormat,
    file: Growing,
    pending: Vec<u8>,
    count: u64,
}

impl Rejects {
    /// Fails with [`JobError::OutputTaken`] where something is in the place of the rejects of `rows`, and with
    /// [`JobError::Invalid`] where no such file can be made there, or its name is not one for this format.
    pub fn check(path: &Path, rows: &Rows) -> Result<(), JobError> {
        check_fits(path, rows)?;
        check_target(path, Some(rows.path()))?;
        check_vacant(path)
    }

    /// Begins a file for the rejects of `rows`, whose ids are in the column `id`; fails as [`Self::check`] does.
    pub fn create(path: &Path, rows: &Rows, id: &str) -> Result<Self, JobError> {
        Self::check(path, rows)?;
        let file = Growing::open(path.to_owned(), 0, storage::open)?;
        let format = RejectFormat::new(rows.header(), rows.csv_style(), rows.source_column(id));
        let mut pending = Vec::new();
        format.append_header(&mut pending);
        Ok(Self { format, file, pending, count: 0 })
    }

    /// Where the rows are until the file has its name.
    pub fn unfinished(&self) -> PathBuf {
        output::unfinished(self.file.path())
    }

    pub fn add(&mut self, reject: Reject<'_>) -> Result<(), JobError> {
        self.format.append(&mut self.pending, reject);
        self.count += 1;
        if self.pending.len() >= PIECE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Has everything so far in the unfinished file.
    pub fn flush(&mut self) -> Result<(), JobError> {
        let pending = std::mem::take(&mut self.pending);
        if self.count > 0 { self.file.append(&pending) } else { Ok(()) }
    }

    /// Gives the file its name; without a row there is none.
    pub fn finish(mut self) -> Result<(), JobError> {
        self.flush()?;
        let (part, path) = (self.unfinished(), self.file.path());
        if self.count == 0 {
            return output::discard(&part);
        }
        check_vacant(path)?;
        storage::rename(&part, path).map_err(|source| JobError::Unwritable { path: path.to_owned(), source })
    }
}

/// Refuses a name by which the rejects could not be read again.
pub(super) fn check_fits(path: &Path, rows: &Rows) -> Result<(), JobError> {
    if rows.fit_into(path)? {
        return Ok(());
    }
    Err(JobError::Invalid(format!(
        "{}: bad rows are kept in the format of {}: let the name end like that one's, so that they can be read again",
        path.display(),
        rows.path().display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: Option<&[&str]>, id: &str, rejects: &[Reject<'_>]) -> String {
        let header = header.map(|header| header.iter().map(|&column| column.to_owned()).collect::<Vec<_>>());
        let format = RejectFormat::new(header.as_deref(), CsvStyle::default(), id);
        let mut out = Vec::new();
        format.append_header(&mut out);
        for reject in rejects {
            format.append(&mut out, *reject);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_stands_behind_its_line_and_what_is_wrong() {
        let csv = Original::Csv(b"1,\"a\nb\",x".to_vec());
        let reject = |original| Reject { line: 4, reason: "too, many", id: "7", original: Some(original) };
        assert_eq!(
            written(Some(&["nr", "text"]), "nr", &[reject(&csv)]),
            "line,reason,nr,text\n4,\"too, many\",1,\"a\nb\",x\n"
        );
        let [good, odd, again, unmended] = [
            r#"{"nr":"1","text":""}"#,
            "[1]",
            r#"{"_line":2,"_reason":"old","nr":1}"#,
            r#"{"_line":2,"_reason":"old","_row":"{\"nr\":"}"#,
        ]
        .map(|raw| Original::Json(raw.as_bytes().to_vec()));
        assert_eq!(
            written(None, "nr", &[reject(&good), reject(&odd), reject(&again), reject(&unmended)]),
            "{\"_line\":4,\"_reason\":\"too, many\",\"nr\":\"1\",\"text\":\"\"}\n\
             {\"_line\":4,\"_reason\":\"too, many\",\"_row\":\"[1]\"}\n\
             {\"_line\":4,\"_reason\":\"too, many\",\"nr\":1}\n\
             {\"_line\":4,\"_reason\":\"too, many\",\"_row\":\"{\\\"nr\\\":\"}\n"
        );
        assert_eq!(written(None, "nr", &[Reject { original: None, ..reject(&odd) }]), "");
    }

    #[test]
    fn of_a_row_that_comes_again_only_the_new_reason_stands_there() {
        let [good, many, bare] =
            [&b"2,\"old, \"\"one\"\"\",A,"[..], b"3,old,B,\"x,y\",z", b"few"].map(|raw| Original::Csv(raw.to_vec()));
        let reject = |original| Reject { line: 4, reason: "new", id: "7", original: Some(original) };
        assert_eq!(
            written(Some(&["line", "reason", "nr", "text"]), "nr", &[reject(&good), reject(&many), reject(&bare)]),
            "line,reason,nr,text\n4,new,A,\n4,new,B,\"x,y\",z\n4,new,few\n"
        );
    }

    #[test]
    fn few_rows_are_too_many_bad_ones_only_where_none_may_be() {
        for (bad, rows, most, expected) in [
            (1, 4, 0.1, false),
            (99, 99, 0.1, false),
            (1, 99, 0.0, true),
            (1, 1, 0.0, true),
            (0, 99, 0.0, false),
            (0, 1_000, 0.0, false),
            (10, 100, 0.1, false),
            (11, 100, 0.1, true),
            (500, 500, 1.0, false),
        ] {
            assert_eq!(too_many_bad(bad, rows, most), expected, "{bad} of {rows}, at most {most}");
        }
    }

    #[test]
    fn a_row_that_goes_by_its_number_keeps_it() {
        let [csv, json] = [Original::Csv(b"x".to_vec()), Original::Json(b"{\"text\":\"\"}".to_vec())];
        let reject = |original| Reject { line: 4, reason: "bad", id: "3", original: Some(original) };
        assert_eq!(written(Some(&["text"]), "id", &[reject(&csv)]), "line,reason,id,text\n4,bad,3,x\n");
        assert_eq!(
            written(None, "id", &[reject(&json)]),
            "{\"_line\":4,\"_reason\":\"bad\",\"text\":\"\",\"id\":\"3\"}\n"
        );
    }
}
