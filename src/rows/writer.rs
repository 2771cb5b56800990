//! Rows written back as they came: the same columns in the same order, with the values of some of them changed.
//! JSON lines or CSV by extension, gzip on top. It does not turn one format into the other.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

use super::{Format, Row, Rows, RowsError, Source, append_csv, format_of, row::Cells};

/// Writes the rows of one file.
pub struct RowWriter {
    file: BufWriter<Output>,
    format: Format,
    line: Vec<u8>,
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
            Source::Csv(_) => format == Format::Csv,
            Source::Json(_) => format == Format::JsonLines,
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
        let mut writer = Self { file: BufWriter::new(file), format: Format::JsonLines, line: Vec::new() };
        if let Some(header) = header {
            writer.format = Format::Csv;
            append_csv(&mut writer.line, header);
            writer.file.write_all(&writer.line).map_err(unwritable)?;
        }
        Ok(writer)
    }

    /// Adds a row of the format that the file was made for.
    pub fn write(&mut self, row: &Row) -> io::Result<()> {
        let format = match &row.cells {
            Cells::Csv { .. } => Format::Csv,
            Cells::Json(_) => Format::JsonLines,
        };
        if format != self.format {
            return Err(io::Error::other("a row of the other format"));
        }
        self.line.clear();
        row.append_to(&mut self.line);
        self.file.write_all(&self.line)
    }

    /// Writes all that is left; without it the file may lack its end.
    pub fn finish(self) -> io::Result<()> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
    }
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
