//! `triage train`: rows with labels to a bundle, and how good it is on rows held back.

use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{
    DEFAULT_ID, output,
    progress::Progress,
    report::{FieldGuesses, percent},
    suspects::{self, Line, Origin, Written},
    warn_without_id,
};
use crate::{
    classify::{
        bundle,
        suspects::text_hash,
        train::{self, TrainOptions, Trained},
        training_set::TrainingSet,
    },
    config::Config,
    encode::Redactor,
    rows::{Row, Rows, parse_rename},
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
    /// Column with the id of a row, for --suspects (default `id`); its number where there is none
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Our name of a column = its name in the file
    #[arg(long, value_delimiter = ',', value_parser = parse_rename, value_name = "OURS=THEIRS,…")]
    map: Vec<(String, String)>,
    /// Folder for the bundle
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Labels that are probably wrong and copies with different labels, most suspicious first, as CSV to correct by
    /// hand (UTF-8 with a byte order mark). It quotes ticket text, redacted; the bundle does not
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

pub(crate) fn run(args: &TrainArgs, config: &Config) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut labels = args.label.clone();
    labels.sort();
    labels.dedup();
    anyhow::ensure!(labels.len() == args.label.len(), "--label names a column twice");

    if let Some(path) = &args.suspects {
        output::check("--suspects", path, &args.input)?;
    }
    let bar = Progress::staged();
    let on_progress = |stage: &'static str, done: usize, total: usize| bar.stage(stage, done as u64, total as u64);
    let options = TrainOptions {
        name: args.name.clone(),
        seed: args.seed,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        find_suspects: args.suspects.is_some(),
        progress: &on_progress,
        stop: &train::NEVER,
    };
    let mut set = TrainingSet::new(&args.label, options.threads, config.redactor.clone(), config.encoders.named()?)?;
    let mut loaded = Loaded { without_label: vec![0; args.label.len()], ..Loaded::default() };
    for input in &args.input {
        load(input, args, &mut loaded, Some(&bar), |_, usable| set.add(usable.text, usable.labels, usable.outside))?;
    }
    // A folder that cannot be written is better found before the fit than after it.
    std::fs::create_dir_all(&args.out).with_context(|| format!("--out {}", args.out.display()))?;
    let trained = train::train(set, &options)?;
    bar.finish();
    bundle::write(&args.out, &trained.files)?;
    let written =
        args.suspects.as_deref().map(|path| write_suspects(path, args, &trained, &config.redactor)).transpose()?;

    let result = Outcome { args, loaded: &loaded, trained: &trained, written, seconds: start.elapsed().as_secs_f64() };
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", result.to_json())?;
    } else {
        result.write(&mut stdout)?;
    }
    Ok(())
}

/// What was read and what was left out.
#[derive(Default)]
struct Loaded {
    /// Rows read, bad ones not counted.
    read: usize,
    without_text: usize,
    /// By field.
    without_label: Vec<usize>,
    bad: usize,
}

/// A row with text and at least one label.
struct Usable {
    text: String,
    labels: Vec<Option<String>>,
    outside: bool,
}

/// Hands every usable row of a file to `found`; warns of the others where there is a bar.
fn load(
    input: &Path,
    args: &TrainArgs,
    loaded: &mut Loaded,
    bar: Option<&Progress>,
    mut found: impl FnMut(&Row, Usable),
) -> anyhow::Result<()> {
    let rows = Rows::open(input, &args.map)?;
    let columns: Vec<&str> = args.text.iter().chain(&args.label).map(String::as_str).collect();
    rows.require(&columns)?;
    if let (Some(bar), Some(id), Some(_)) = (bar, &args.id, &args.suspects) {
        warn_without_id(&rows, id, bar);
    }
    for row in rows {
        let row = match row {
            Ok(row) => row,
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => {
                if let Some(bar) = bar {
                    bar.warn(format_args!("{error}; row left out"));
                }
                loaded.bad += 1;
                continue;
            }
        };
        loaded.read += 1;
        if let Some(bar) = bar {
            bar.count("reading rows", loaded.read as u64);
        }
        let text = row.text(&args.text);
        if text.is_empty() {
            loaded.without_text += 1;
            continue;
        }
        let labels: Vec<Option<String>> = args.label.iter().map(|label| row.label(label)).collect();
        let outside = labels.iter().flatten().any(|label| *label == args.oos_label);
        if !outside {
            let missing = loaded.without_label.iter_mut().zip(&labels).filter(|(_, label)| label.is_none());
            missing.for_each(|(count, _)| *count += 1);
            if labels.iter().all(Option::is_none) {
                continue;
            }
        }
        found(&row, Usable { text, labels, outside });
    }
    Ok(())
}

/// Reads the inputs again for the texts of the suspects, which training did not keep.
fn write_suspects(path: &Path, args: &TrainArgs, trained: &Trained, redactor: &Redactor) -> anyhow::Result<Written> {
    let rows = &trained.rows;
    let numbers = trained.fields.iter().flat_map(|field| &field.suspects).map(|suspect| rows.numbers[suspect.row]);
    let mut origins: HashMap<u32, Option<Origin>> = numbers.map(|number| (number, None)).collect();
    let mut number = 0;
    for input in &args.input {
        let mut loaded = Loaded { without_label: vec![0; args.label.len()], ..Loaded::default() };
        load(input, args, &mut loaded, None, |row, usable| {
            if let Some(origin) = origins.get_mut(&number) {
                *origin = Some(Origin {
                    id: row.id(args.id.as_deref().unwrap_or(DEFAULT_ID)),
                    file: input.clone(),
                    text_hash: text_hash(&usable.text),
                    text: redactor.redacted(&usable.text).into_owned(),
                });
            }
            number += 1;
        })?;
    }
    let mut lines = Vec::new();
    for field in &trained.fields {
        for suspect in &field.suspects {
            let origin = origins.get(&rows.numbers[suspect.row]).and_then(Option::as_ref);
            let origin = origin.filter(|origin| origin.text_hash == rows.text_hashes[suspect.row]);
            let origin = origin.context("the input changed while it was read, so no suspects are named; run again")?;
            let (name, labels) = (&field.name, &field.labels);
            lines.push(Line { origin, field: name, labels, oos_label: &args.oos_label, suspect });
        }
    }
    suspects::write(path, lines)
}

/// What came of it, to be reported.
struct Outcome<'a> {
    args: &'a TrainArgs,
    loaded: &'a Loaded,
    trained: &'a Trained,
    /// What is in the file of `--suspects`.
    written: Option<Written>,
    seconds: f64,
}

impl Outcome<'_> {
    fn to_json(&self) -> Value {
        let Self { args, loaded, trained, written, seconds } = self;
        let fields = trained.fields.iter().enumerate().map(|(number, field)| {
            let mut figures = Map::new();
            figures.insert("classes".to_owned(), field.labels.len().into());
            figures.insert("accuracy".to_owned(), field.quality.accuracy.into());
            figures.insert("macro_f1".to_owned(), field.quality.macro_f1.into());
            figures.insert("ece".to_owned(), field.quality.calibration_error.into());
            figures.insert("rows".to_owned(), field.guesses.rows().into());
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
            "rows_learnt": trained.rows.text_hashes.len(),
            "bad_rows": loaded.bad,
            "suspects": suspects,
        })
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Self { args, loaded, trained, written, seconds } = self;
        let fields = &trained.fields;
        writeln!(out, "Learnt from {} rows in {seconds:.1} s. On rows held back from the fit:\n", trained.rows.added)?;
        let width = fields.iter().map(|field| field.name.chars().count()).max().unwrap_or_default().max("field".len());
        writeln!(out, "  {:width$}  labels   rows  accuracy  macro-F1  calibration error", "field")?;
        for field in fields {
            let (name, classes, rows, quality) = (&field.name, field.labels.len(), field.guesses.rows(), field.quality);
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
        let (learnt, usable) = (trained.rows.text_hashes.len(), trained.rows.added);
        if learnt < usable {
            writeln!(
                out,
                "Learnt from {learnt} of {usable} rows, an even share of each frequent label and all of the rare ones: \
                 more do not fit into memory."
            )?;
        }
        if loaded.bad > 0 {
            writeln!(out, "{} rows could not be read and were left out; the warnings name them.", loaded.bad)?;
        }
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
        let field = &self.trained.fields[number];
        let names = field.labels.iter().map(String::as_str).collect();
        FieldGuesses { guesses: &field.guesses, names, thresholds: &field.thresholds }
    }
}
