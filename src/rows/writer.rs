//! Rows written back as they came: the same columns in the same order, with the values of some of them changed.
//! JSON lines or CSV by extension, gzip on top. It does not turn one format into the other.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use super::{Cells, Format, Row, Rows, RowsError, Source, format_of, source_column};

/// Writes the rows of one file.
pub struct RowWriter(Sink);

enum Sink {
    Csv(Box<csv::Writer<Output>>),
    Json(BufWriter<Output>),
}

enum Output {
    Plain(File),
    Gzip(GzEncoder<File>),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(file) => file.flush(),
        }
    }
}

impl Output {
    fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut file) => file.flush(),
            Self::Gzip(file) => file.finish().map(drop),
        }
    }
}

impl Rows {
    /// Whether a file of this name would have the format of these rows.
    pub fn fit_into(&self, path: &Path) -> Result<bool, RowsError> {
        let (format, _) = format_of(path)?;
        Ok(match &self.source {
            Source::Csv { .. } => format == Format::Csv,
            Source::Json { .. } | Source::Ended => format == Format::JsonLines,
        })
    }
}

impl RowWriter {
    /// Makes the file, over one that is there; `header` are the columns of CSV, as [`Rows::header`] gives them.
    pub fn create(path: &Path, header: Option<&[String]>) -> Result<Self, RowsError> {
        let (_, gzip) = format_of(path)?;
        let unwritable = |source| RowsError::Unwritable { path: path.to_owned(), source };
        let file = File::create(path).map_err(unwritable)?;
        let file = if gzip { Output::Gzip(GzEncoder::new(file, Compression::default())) } else { Output::Plain(file) };
        let Some(header) = header else { return Ok(Self(Sink::Json(BufWriter::new(file)))) };
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(header).map_err(|error| unwritable(io::Error::other(error)))?;
        Ok(Self(Sink::Csv(Box::new(writer))))
    }

    /// Adds a row of the format that the file was made for.
    pub fn write(&mut self, row: &Row) -> io::Result<()> {
        match (&mut self.0, &row.cells) {
            (Sink::Csv(writer), Cells::Csv { header: _, record }) => {
                writer.write_record(record).map_err(io::Error::other)
            }
            (Sink::Json(writer), Cells::Json(object)) => {
                serde_json::to_writer(&mut *writer, object)?;
                writer.write_all(b"\n")
            }
            (Sink::Csv(_), Cells::Json(_)) | (Sink::Json(_), Cells::Csv { .. }) => {
                Err(io::Error::other("a row of the other format"))
            }
        }
    }

    /// Writes all that is left; without it the file may lack its end.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Sink::Csv(writer) => writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?.finish(),
            Sink::Json(writer) => writer.into_inner().map_err(io::IntoInnerError::into_error)?.finish(),
        }
    }
}

impl Row {
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
            Cells::Json(object) => {
                for (name, value) in object.iter_mut() {
                    if names.contains(&name.as_str()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_with_what_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let json = "{\"z\":1,\"text\":\"one a\",\"more\":[\"a\",{\"x\":2}],\"a\":\"a\"}\n{\"text\":null,\"n\":1.50}\n";
        let csv = "z,text,a,text\n1,\"one, a\",a,\n\"\",\"two\nlines\",,a\n";
        for (name, content, expected) in [
            (
                "r.jsonl",
                json,
                "{\"z\":1,\"text\":\"one b\",\"more\":[\"b\",{\"x\":\"b\"}],\"a\":\"a\"}\n{\"text\":null,\"n\":1.5}\n",
            ),
            ("r.csv", csv, "z,text,a,text\n1,\"one, b\",a,\n,\"two\nlines\",,b\n"),
        ] {
            let (input, output) = (folder.path().join(name), folder.path().join(format!("out-{name}.gz")));
            std::fs::write(&input, content).unwrap();
            let rows = Rows::open(&input, &[]).unwrap();
            assert!(rows.fit_into(&output).unwrap());
            assert_eq!(rows.fit_into(Path::new("x.csv")).unwrap(), name == "r.csv");
            let mut writer = RowWriter::create(&output, rows.header()).unwrap();
            let columns = ["text".to_owned(), "more".to_owned()];
            for row in rows {
                let mut row = row.unwrap();
                row.change(&columns, |text| {
                    let end = text.strip_suffix(['a', '2'])?;
                    Some(format!("{end}b"))
                });
                writer.write(&row).unwrap();
            }
            writer.finish().unwrap();
            let mut written = String::new();
            let mut file = flate2::read::GzDecoder::new(File::open(&output).unwrap());
            io::Read::read_to_string(&mut file, &mut written).unwrap();
            assert_eq!(written, expected);
        }
    }
}
