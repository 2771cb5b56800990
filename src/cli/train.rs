//! `triage train`: rows with labels to a bundle, and how good it is on rows held back.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{
    progress::Progress,
    report::{FieldGuesses, percent},
    suspects::{self, Line, Origin, Written},
};
use crate::{
    classify::{
        bundle,
        train::{self, FieldReport, TrainOptions, Trained, TrainingField, TrainingRows},
    },
    rows::{Rows, parse_rename},
};

/// Learns from labelled rows and writes a bundle.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    /// Rows to learn from: .jsonl, .ndjson or .csv, each also with .gz
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Columns that hold the text, joined by a newline
    #[arg(long, required = true, value_delimiter = ',', value_name = "COLUMN,…")]
    text: Vec<String>,
    /// Column with the label; also the name of the field. May be repeated
    #[arg(long, required = true, value_name = "COLUMN")]
    label: Vec<String>,
    /// Rows labelled so are out of scope: no class of their own
    #[arg(long, default_value = "oos", value_name = "LABEL")]
    oos_label: String,
    /// Column with the id of a row, for --suspects; its number where there is none
    #[arg(long, default_value = "id", value_name = "COLUMN")]
    id: String,
    /// Our name of a column = its name in the file
    #[arg(long, value_delimiter = ',', value_parser = parse_rename, value_name = "OURS=THEIRS,…")]
    map: Vec<(String, String)>,
    /// Folder for the bundle
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Labels that are probably wrong and copies with different labels, most suspicious first, as CSV to correct by
    /// hand (UTF-8 with a byte order mark). It quotes ticket text; the bundle does not
    #[arg(long, value_name = "FILE")]
    suspects: Option<PathBuf>,
    /// First part of the bundle's version
    #[arg(long, default_value = "desk")]
    name: String,
    /// The same rows and seed give the same bundle
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut labels = args.label.clone();
    labels.sort();
    labels.dedup();
    anyhow::ensure!(labels.len() == args.label.len(), "--label names a column twice");

    if let Some(path) = &args.suspects {
        suspects::check(path, &args.input)?;
    }
    let loaded = load(args)?;
    for problem in &loaded.problems {
        warn(problem);
    }
    let bar = Progress::staged();
    let on_progress = |stage: &'static str, done: usize, total: usize| bar.stage(stage, done as u64, total as u64);
    let options = TrainOptions {
        name: args.name.clone(),
        seed: args.seed,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        find_suspects: args.suspects.is_some(),
        progress: &on_progress,
    };
    let trained = train::train(&loaded.rows, &options)?;
    bar.finish();
    bundle::write(&args.out, &trained.files)?;

    let written = args.suspects.as_deref().map(|path| write_suspects(path, args, &loaded, &trained)).transpose()?;
    let result =
        Outcome { args, loaded: &loaded, fields: &trained.fields, written, seconds: start.elapsed().as_secs_f64() };
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", result.to_json())?;
    } else {
        result.write(&mut stdout)?;
    }
    Ok(())
}

/// Rows as read, with what was left out.
struct Loaded {
    rows: TrainingRows,
    /// By text; empty where nobody asks for them.
    origins: Vec<Origin>,
    /// Rows read, bad ones not counted.
    read: usize,
    without_text: usize,
    /// By field.
    without_label: Vec<usize>,
    problems: Vec<String>,
}

fn load(args: &TrainArgs) -> anyhow::Result<Loaded> {
    let mut texts = Vec::new();
    let mut outside = Vec::new();
    let mut of_text: Vec<Vec<Option<String>>> = vec![Vec::new(); args.label.len()];
    let mut loaded = Loaded {
        rows: TrainingRows::default(),
        origins: Vec::new(),
        read: 0,
        without_text: 0,
        without_label: vec![0; args.label.len()],
        problems: Vec::new(),
    };
    for (file, input) in args.input.iter().enumerate() {
        let rows = Rows::open(input, &args.map)?;
        let columns: Vec<&str> = args.text.iter().chain(&args.label).map(String::as_str).collect();
        rows.require(&columns)?;
        for row in rows {
            let row = match row {
                Ok(row) => row,
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    loaded.problems.push(format!("{error}; row left out"));
                    continue;
                }
            };
            loaded.read += 1;
            let text = row.text(&args.text);
            if text.is_empty() {
                loaded.without_text += 1;
                continue;
            }
            let labels: Vec<Option<String>> = args.label.iter().map(|label| row.label(label)).collect();
            let is_outside = labels.iter().flatten().any(|label| *label == args.oos_label);
            if !is_outside {
                let missing = loaded.without_label.iter_mut().zip(&labels).filter(|(_, label)| label.is_none());
                missing.for_each(|(count, _)| *count += 1);
                if labels.iter().all(Option::is_none) {
                    continue;
                }
            }
            texts.push(text);
            if args.suspects.is_some() {
                loaded.origins.push(Origin { id: row.id(&args.id), file });
            }
            outside.push(is_outside);
            for (column, label) in of_text.iter_mut().zip(labels) {
                column.push(label.filter(|_| !is_outside));
            }
        }
    }
    let fields =
        args.label.iter().zip(of_text).map(|(name, labels)| field(name, &labels)).collect::<anyhow::Result<_>>();
    loaded.rows = TrainingRows { texts, fields: fields?, outside };
    Ok(loaded)
}

fn field(name: &str, of_text: &[Option<String>]) -> anyhow::Result<TrainingField> {
    let labels: Vec<String> = of_text.iter().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let number = |label: &String| u32::try_from(labels.binary_search(label).unwrap_or_default());
    let of_text = of_text.iter().map(|label| label.as_ref().map(number).transpose()).collect::<Result<_, _>>();
    Ok(TrainingField { name: name.to_owned(), of_text: of_text.context("too many labels")?, labels })
}

fn write_suspects(path: &Path, args: &TrainArgs, loaded: &Loaded, trained: &Trained) -> anyhow::Result<Written> {
    let mut lines = Vec::new();
    for (field, report) in loaded.rows.fields.iter().zip(&trained.fields) {
        for suspect in &report.suspects {
            let origin = &loaded.origins[suspect.row];
            lines.push(Line {
                origin,
                file: &args.input[origin.file],
                field: &field.name,
                labels: &field.labels,
                oos_label: &args.oos_label,
                text: &loaded.rows.texts[suspect.row],
                suspect,
            });
        }
    }
    suspects::write(path, lines)
}

/// What came of it, to be reported.
struct Outcome<'a> {
    args: &'a TrainArgs,
    loaded: &'a Loaded,
    fields: &'a [FieldReport],
    /// What is in the file of `--suspects`.
    written: Option<Written>,
    seconds: f64,
}

impl Outcome<'_> {
    fn to_json(&self) -> Value {
        let Self { args, loaded, fields, written, seconds } = self;
        let fields = fields.iter().enumerate().map(|(number, field)| {
            let mut figures = Map::new();
            figures.insert("classes".to_owned(), field.classes.into());
            figures.insert("accuracy".to_owned(), field.quality.accuracy.into());
            figures.insert("macro_f1".to_owned(), field.quality.macro_f1.into());
            figures.insert("ece".to_owned(), field.quality.calibration_error.into());
            figures.insert("rows".to_owned(), field.rows.into());
            figures.insert("rows_without_label".to_owned(), loaded.without_label[number].into());
            self.guesses(number).add_to(&mut figures);
            (field.name.clone(), Value::from(figures))
        });
        let suspects = args.suspects.as_ref().zip(*written).map(|(path, written)| {
            json!({
                "file": path.display().to_string(),
                "mislabelled": written.mislabelled,
                "conflicting_duplicates": written.conflicting_duplicates,
            })
        });
        json!({
            "bundle": args.out.display().to_string(),
            "rows": loaded.read,
            "seconds": seconds,
            "fields": fields.collect::<Map<_, _>>(),
            "rows_without_text": loaded.without_text,
            "bad_rows": loaded.problems.len(),
            "suspects": suspects,
        })
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Self { args, loaded, fields, written, seconds } = self;
        writeln!(out, "Learnt from {} rows in {seconds:.1} s. On rows held back from the fit:\n", loaded.read)?;
        let width = fields.iter().map(|field| field.name.chars().count()).max().unwrap_or_default().max("field".len());
        writeln!(out, "  {:width$}  labels   rows  accuracy  macro-F1  calibration error", "field")?;
        for field in *fields {
            let FieldReport { name, classes, rows, quality, .. } = field;
            writeln!(
                out,
                "  {name:width$}  {classes:6}  {rows:5}  {:>8}  {:>8}  {:>17}",
                percent(Some(quality.accuracy)),
                percent(Some(quality.macro_f1)),
                percent(Some(quality.calibration_error))
            )?;
        }
        for (number, field) in fields.iter().enumerate() {
            writeln!(out, "\n{}\n", field.name)?;
            self.guesses(number).write(out)?;
        }
        writeln!(out)?;
        if loaded.without_text > 0 {
            writeln!(out, "{} rows had no text and were left out.", loaded.without_text)?;
        }
        for (name, count) in args.label.iter().zip(&loaded.without_label).filter(|(_, count)| **count > 0) {
            writeln!(out, "{count} rows had no `{name}` and taught that field nothing.")?;
        }
        if let Some((path, written)) = args.suspects.as_ref().zip(*written) {
            let Written { mislabelled, conflicting_duplicates } = written;
            writeln!(
                out,
                "Labels to look at again are in {}, most suspicious first: {mislabelled} that other rows speak against, \
                 {conflicting_duplicates} whose text stands elsewhere under another label.",
                path.display()
            )?;
        }
        let bundle = args.out.display();
        writeln!(out, "The bundle is in {bundle}; serve it with `triage serve --model {bundle}`.")
    }

    fn guesses(&self, number: usize) -> FieldGuesses<'_> {
        let FieldReport { guesses, thresholds, .. } = &self.fields[number];
        let names = self.loaded.rows.fields[number].labels.iter().map(String::as_str).collect();
        FieldGuesses { guesses, names, thresholds }
    }
}

#[expect(clippy::print_stderr, reason = "warnings of a command go to stderr, results to stdout")]
fn warn(problem: &str) {
    eprintln!("warning: {problem}");
}
