//! The file of results, and how it and the file of rejects grow: chunk by chunk under another name, and each gets its
//! own when the job is done: what bears it is whole. A chunk's bytes follow from its tickets alone.

use std::{
    borrow::Cow,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde::{Deserialize, Serialize};

use super::{
    JobError,
    input::BadRow,
    rejects::RejectFormat,
    results,
    specification::{FieldColumn, FileSource, Source, Specification},
    storage::{Append, BEGIN_ANEW, Storage},
};
use crate::{
    domain::{
        decision::Abstention,
        job::{FieldResult, TicketResult},
    },
    rows::{CsvStyle, Original, Row, append_csv},
};

/// What the columns that we add to a CSV file begin with.
pub(super) const OUR_COLUMNS: &str = "triage_";

/// How many bytes of each file are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Lengths {
    pub output: u64,
    pub rejects: u64,
}

/// How results are written.
#[derive(Debug, Clone)]
pub(super) struct Format {
    fields: Vec<FieldColumn>,
    /// The input's columns, in CSV; `None` for JSON lines.
    columns: Option<Vec<String>>,
    style: CsvStyle,
    is_from_csv: bool,
}

impl Format {
    /// `None` where nothing is written.
    pub(super) fn of(job: &Specification) -> Option<Self> {
        let (Source::File(FileSource { path, columns, style, .. }), Some(output)) = (&job.source, &job.output) else {
            return None;
        };
        let columns = is_csv(output).then(|| columns.clone());
        Some(Self { fields: job.fields().to_vec(), columns, style: *style, is_from_csv: is_csv(path) })
    }

    /// What stands before the first result.
    fn append_header(&self, out: &mut Vec<u8>) {
        if let Some(columns) = &self.columns {
            self.style.begin(out);
            append_csv(out, columns.iter().cloned().chain(our_columns(&self.fields)));
            self.style.end_line(out);
        }
    }

    /// Adds a ticket's result; `row` is what it was read from.
    pub(super) fn append_result(&self, out: &mut Vec<u8>, row: &Row, result: &TicketResult) {
        let Some(columns) = &self.columns else { return results::append_line(out, &self.fields, result) };
        if self.is_from_csv {
            row.append_to(out);
        } else {
            let known: Vec<_> = row.fields().collect();
            let value = |column: &String| known.iter().find(|(name, _)| name == column).map(|(_, value)| &**value);
            append_csv(out, columns.iter().map(|column| value(column).unwrap_or_default()));
        }
        self.append_our_values(out, result, &[]);
    }

    /// Adds the line of a row that could not be used.
    pub(super) fn append_bad(&self, out: &mut Vec<u8>, bad: &BadRow, result: &TicketResult) {
        let Some(columns) = &self.columns else { return results::append_line(out, &self.fields, result) };
        let mut values = match &bad.original {
            Some(Original::Csv(raw)) => fields_of(raw),
            Some(Original::Json(_)) | None => Vec::new(),
        };
        values.resize(columns.len(), String::new());
        append_csv(out, values);
        self.append_our_values(out, result, &bad.current);
    }

    /// Goes on with the line that ends `out`; `kept` are today's values of a row that could not be used, as far as they
    /// are known.
    fn append_our_values(&self, out: &mut Vec<u8>, result: &TicketResult, kept: &[Option<String>]) {
        out.pop_if(|last| *last == b'\n');
        out.push(b',');
        let mut values = Vec::with_capacity(OUR_ENDINGS.len() * self.fields.len() + 1);
        for place in 0..self.fields.len() {
            if let Some(field) = result.fields.get(place) {
                values.extend(our_values(field));
            } else {
                values.push(kept.get(place).cloned().flatten().unwrap_or_default());
                values.extend([const { String::new() }; OUR_ENDINGS.len() - 1]);
            }
        }
        values.push(result.error.clone().unwrap_or_default());
        append_csv(out, values);
        self.style.end_line(out);
    }
}

/// Of each field: the value from now on, the best guess, how sure, why not, whether it changes.
const OUR_ENDINGS: [&str; 5] = ["", "_guess", "_confidence", "_abstention", "_changed"];

/// The columns that we add.
pub(super) fn our_columns(fields: &[FieldColumn]) -> impl Iterator<Item = String> {
    let of_field = |field: &FieldColumn| OUR_ENDINGS.map(|ending| format!("{OUR_COLUMNS}{}{ending}", field.field));
    fields.iter().flat_map(of_field).chain([format!("{OUR_COLUMNS}error")])
}

fn our_values(field: &FieldResult) -> [String; OUR_ENDINGS.len()] {
    let FieldResult { current, value, confidence, abstention, changed } = field;
    let from_now_on = if *changed { value } else { current };
    [
        from_now_on.clone().unwrap_or_default(),
        value.clone().unwrap_or_default(),
        confidence.to_string(),
        abstention.map(Abstention::as_str).unwrap_or_default().to_owned(),
        changed.to_string(),
    ]
}

/// The fields of a CSV row, whatever is wrong with it.
fn fields_of(raw: &[u8]) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(raw);
    let mut record = csv::ByteRecord::new();
    // Reading from memory does not fail.
    reader.read_byte_record(&mut record).ok();
    record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
}

pub(super) fn is_csv(path: &Path) -> bool {
    let unpacked = if extension(path) == "gz" { path.with_extension("") } else { path.to_owned() };
    extension(&unpacked) == "csv"
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// The name of a file until it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// The files of one job while they grow.
pub(super) struct Files {
    output: Option<Growing>,
    rejects: Option<Growing>,
    format: Option<Format>,
    reject_format: Option<RejectFormat>,
}

/// A file that bears another name until it is whole.
pub(super) struct Growing {
    path: PathBuf,
    file: Box<dyn Append>,
    length: u64,
}

impl Growing {
    /// Opens the file as it was when it had so many bytes.
    pub(super) fn open(
        path: PathBuf,
        length: u64,
        open: impl Fn(&Path, u64) -> io::Result<Box<dyn Append>>,
    ) -> Result<Self, JobError> {
        let part = unfinished(&path);
        let file = open(&part, length).map_err(|source| JobError::Unwritable { path: part, source })?;
        Ok(Self { path, file, length })
    }

    /// The name that it will have.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends to the file, with gzip as a member of its own; durable when it returns.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), JobError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let unwritable = |source| JobError::Unwritable { path: unfinished(&self.path), source };
        let packed = self.packed(bytes).map_err(unwritable)?;
        self.file.append(&packed).and_then(|()| self.file.sync()).map_err(unwritable)?;
        self.length += packed.len() as u64;
        Ok(())
    }

    fn packed<'a>(&self, bytes: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
        if extension(&self.path) != "gz" {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes)?;
        packed.finish().map(Cow::Owned)
    }
}

impl Files {
    /// Opens the files as they were when so many bytes were committed.
    pub(super) fn open(job: &Specification, storage: &dyn Storage, lengths: Lengths) -> Result<Self, JobError> {
        let open = |path: Option<PathBuf>, length| {
            path.map(|path| Growing::open(path, length, |part, length| storage.open(part, length))).transpose()
        };
        Ok(Self {
            output: open(job.output.clone(), lengths.output)?,
            rejects: open(job.rejects(), lengths.rejects)?,
            format: Format::of(job),
            reject_format: RejectFormat::of(job),
        })
    }

    /// Appends a chunk to both files; durable when it returns.
    pub(super) fn append(&mut self, output: Vec<u8>, rejects: &[u8]) -> Result<Lengths, JobError> {
        if let (Some(file), Some(format)) = (&mut self.output, &self.format) {
            let mut whole = Vec::new();
            if file.length == 0 {
                format.append_header(&mut whole);
            }
            whole.extend(output);
            file.append(&whole)?;
        }
        if let (Some(file), Some(format)) = (&mut self.rejects, &self.reject_format)
            && !rejects.is_empty()
        {
            let mut whole = Vec::new();
            if file.length == 0 {
                format.append_header(&mut whole);
            }
            whole.extend(rejects);
            file.append(&whole)?;
        }
        Ok(self.lengths())
    }

    pub(super) fn lengths(&self) -> Lengths {
        let length = |file: &Option<Growing>| file.as_ref().map_or(0, |file| file.length);
        Lengths { output: length(&self.output), rejects: length(&self.rejects) }
    }
}

/// Gives finished files their names, the output last: once it has its name, all is whole. What has its name already is
/// left as it is: the job was killed in between.
pub(super) fn finish(job: &Specification, storage: &dyn Storage, lengths: Lengths) -> Result<(), JobError> {
    let Lengths { output, rejects } = lengths;
    for (path, length) in [(job.rejects(), (rejects > 0).then_some(rejects)), (job.output.clone(), Some(output))] {
        let Some(path) = path else { continue };
        let part = unfinished(&path);
        let Some(length) = length else {
            discard(&part)?;
            continue;
        };
        let found = fs::metadata(&path).map_or(0, |file| file.len());
        if !part.exists() {
            // Killed in between, unless somebody took it away.
            if found == length {
                continue;
            }
            let source = io::Error::new(io::ErrorKind::NotFound, format!("it is gone: {BEGIN_ANEW}"));
            return Err(JobError::Unwritable { path: part, source });
        }
        if found > 0 {
            return Err(JobError::OutputTaken { path, problem: "somebody made it meanwhile; remove it".to_owned() });
        }
        storage.rename(&part, &path).map_err(|source| JobError::Unwritable { path, source })?;
    }
    Ok(())
}

/// Removes what a job that was cancelled has written.
pub(super) fn discard_unfinished(job: &Specification) -> Result<(), JobError> {
    for path in job.written() {
        discard(&unfinished(&path))?;
    }
    Ok(())
}

pub(super) fn discard(path: &Path) -> Result<(), JobError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(JobError::Unwritable { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
