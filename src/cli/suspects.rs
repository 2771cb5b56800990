//! The file of `train --suspects`: labels to look at again, as CSV for a spreadsheet. Cells never work as formulas.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::render::shortened;
use crate::classify::suspects::{Reason, Suspect, Verdict};

const TEXT_CHARS: usize = 200;
/// Without it spreadsheets take UTF-8 for something else; our own reader skips it.
const UTF8_BOM: &[u8] = "\u{feff}".as_bytes();
const COLUMNS: [&str; 8] = ["id", "file", "field", "label", "suggested_label", "confidence", "reason", "text"];

/// A row as it was read.
pub(super) struct Origin {
    pub(super) id: String,
    pub(super) file: PathBuf,
    /// Of the text as it was read.
    pub(super) text_hash: u128,
    /// Without what must not be kept.
    pub(super) text: String,
}

/// A suspect with all that its line says.
pub(super) struct Line<'a> {
    pub(super) origin: &'a Origin,
    pub(super) field: &'a str,
    pub(super) labels: &'a [String],
    pub(super) oos_label: &'a str,
    pub(super) suspect: &'a Suspect,
}

/// How many of which kind were written.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Written {
    pub(super) mislabelled: usize,
    pub(super) conflicting_duplicates: usize,
}

/// Writes the lines, most suspicious first.
pub(super) fn write(path: &Path, mut lines: Vec<Line<'_>>) -> anyhow::Result<Written> {
    lines.sort_by(|a, b| b.suspect.margin.total_cmp(&a.suspect.margin));
    let file = File::create(path).and_then(|file| write_lines(BufWriter::new(file), &lines));
    file.with_context(|| format!("cannot write {}", path.display()))?;
    let count = |reason| lines.iter().filter(|line| line.suspect.reason == reason).count();
    Ok(Written { mislabelled: count(Reason::Mislabelled), conflicting_duplicates: count(Reason::ConflictingDuplicate) })
}

fn write_lines(mut file: impl Write, lines: &[Line<'_>]) -> std::io::Result<()> {
    file.write_all(UTF8_BOM)?;
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record(COLUMNS)?;
    for line in lines {
        let verdict = |verdict: Verdict| match verdict {
            Verdict::Label(number) => line.labels.get(number).map_or("", String::as_str),
            Verdict::OutOfScope => line.oos_label,
        };
        let Suspect { given, suggested, confidence, reason, .. } = line.suspect;
        let text = line.origin.text.split_whitespace().collect::<Vec<_>>().join(" ");
        csv.write_record([
            &cell(&line.origin.id),
            &cell(&line.origin.file.display().to_string()),
            &cell(line.field),
            &cell(verdict(*given)),
            &cell(verdict(*suggested)),
            &format!("{confidence:.3}"),
            reason.as_str(),
            &cell(&shortened(&text, TEXT_CHARS)),
        ])?;
    }
    csv.flush()
}

/// A value that a spreadsheet would take for a formula gets the apostrophe that marks text there.
fn cell(value: &str) -> String {
    let is_formula = value.starts_with(['=', '+', '-', '@']) && value.parse::<f64>().is_err();
    if is_formula { format!("'{value}") } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_text_and_a_number_stays_one() {
        for (value, expected) in
            [("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("- none -", "'- none -"), ("-5", "-5"), ("INC1", "INC1")]
        {
            assert_eq!(cell(value), expected);
        }
    }

    #[test]
    fn long_texts_are_cut_on_one_line_and_quoted() {
        let suspect = Suspect {
            row: 0,
            given: Verdict::OutOfScope,
            suggested: Verdict::Label(1),
            confidence: 0.98765,
            margin: 0.9,
            reason: Reason::Mislabelled,
        };
        let text = format!("Drücker\r\n\tkaputt {}", "x".repeat(300));
        let origin = Origin { id: "INC1".to_owned(), file: PathBuf::from("rows.csv"), text_hash: 0, text };
        let labels = ["a".to_owned(), "b, or \"c\"".to_owned()];
        let line = Line { origin: &origin, field: "topic", labels: &labels, oos_label: "oos", suspect: &suspect };
        let mut file = Vec::new();
        write_lines(&mut file, &[line]).unwrap();
        let file = String::from_utf8(file).unwrap();
        assert!(file.starts_with("\u{feff}id,file,field,label,suggested_label,confidence,reason,text\n"), "{file}");
        let start = "INC1,rows.csv,topic,oos,\"b, or \"\"c\"\"\",0.988,mislabelled,Drücker kaputt xxx";
        let row = file.lines().nth(1).unwrap();
        assert!(row.starts_with(start), "{row}");
        assert_eq!(row.rsplit(',').next().map(|text| text.chars().count()), Some(TEXT_CHARS));
    }
}
