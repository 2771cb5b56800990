//! `triage eval`: how a bundle does on labelled rows that it has not seen.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{
    DEFAULT_ID, output,
    progress::Progress,
    report::{FieldGuesses, percent},
    warn_without_id,
};
use crate::{
    classify::{
        Classifier, Field,
        evaluate::{Guesses, area_under_curve, share},
    },
    config::Config,
    domain::decision::Abstention,
    encode::EncoderChoice,
    rows::{Row, Rows, parse_rename},
};

/// Scores a bundle on labelled rows.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalArgs {
    /// Bundle to score; the embedded one where this is not given
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Labelled rows: .jsonl, .ndjson or .csv, each also with .gz
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    input: Vec<PathBuf>,
    /// Columns that hold the text, joined by a newline
    #[arg(long, required = true, value_delimiter = ',', value_name = "COLUMN,…")]
    text: Vec<String>,
    /// Column with the true label; also the name of the field
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// Rows labelled so are out of scope
    #[arg(long, default_value = "oos", value_name = "LABEL")]
    oos_label: String,
    /// Column with the id of a row (default `id`); its number where there is none
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Our name of a column = its name in the file
    #[arg(long, value_delimiter = ',', value_parser = parse_rename, value_name = "OURS=THEIRS,…")]
    map: Vec<(String, String)>,
    /// One JSON line a row: id, label, value, confidence, abstention
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &EvalArgs, config: &Config) -> anyhow::Result<()> {
    let start = Instant::now();
    let classifier = match &args.model {
        Some(folder) => Classifier::load(folder, &config.encoders)
            .with_context(|| format!("bundle {} refused", folder.display()))?,
        None => Classifier::embedded()?,
    };
    let classifier = classifier.with_redactor(config.redactor.clone());
    let named = matches!(config.encoders.choice(), Some(EncoderChoice::Folder(_)));
    anyhow::ensure!(
        !named || classifier.has_encoder(),
        "--encoder: this bundle was trained without one, so that it would change nothing; `triage train --encoder` trains \
         one with it"
    );
    let mut scored = Scored::new(&classifier, &args.label)?;
    let mut predictions = match &args.predictions {
        Some(path) => {
            output::check("--predictions", path, &args.input)?;
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Some(BufWriter::new(file))
        }
        None => None,
    };
    let bar = Progress::counting("rows");
    for input in &args.input {
        let rows = Rows::open(input, &args.map)?;
        let columns: Vec<&str> = args.text.iter().chain([&args.label]).map(String::as_str).collect();
        rows.require(&columns)?;
        if let (Some(id), Some(_)) = (&args.id, &args.predictions) {
            warn_without_id(&rows, id, &bar);
        }
        for row in rows {
            bar.step();
            match row {
                Ok(row) => {
                    let prediction = scored.add(&row, args);
                    if let Some((file, prediction)) = predictions.as_mut().zip(prediction) {
                        writeln!(file, "{prediction}")?;
                    }
                }
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    scored.bad += 1;
                    bar.warn(format_args!("{error}; row left out"));
                }
            }
        }
    }
    if let Some(mut file) = predictions {
        file.flush()?;
    }
    bar.finish();
    anyhow::ensure!(scored.rows > 0, "no row has a label in `{}`", args.label);

    if let Some(warning) = scored.unknown_labels() {
        bar.warn(warning);
    }
    let mut stdout = std::io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", scored.to_json(start.elapsed().as_secs_f64()))?;
    } else {
        scored.write(&mut stdout)?;
    }
    Ok(())
}

/// Guesses so far.
struct Scored<'a> {
    classifier: &'a Classifier,
    field: &'a Field,
    /// Numbers of labels, those of the bundle first, then those met in the rows, then that of no guess.
    numbers: HashMap<String, usize>,
    guesses: Guesses,
    /// Rows with a label, out-of-scope ones included.
    rows: usize,
    without_label: usize,
    /// Rows that could not be read.
    bad: usize,
    inside: Vec<f32>,
    inside_rejected: usize,
    outside: Vec<f32>,
    outside_rejected: usize,
}

impl<'a> Scored<'a> {
    fn new(classifier: &'a Classifier, label: &str) -> anyhow::Result<Self> {
        let known =
            || classifier.fields().iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
        let field = classifier.fields().iter().find(|field| &*field.name == label);
        let field = field.with_context(|| {
            format!(
                "bundle {} has no field `{label}` (it has {}); train one with --label {label}, or name another field",
                classifier.version(),
                known()
            )
        })?;
        let numbers = field.labels.iter().enumerate().map(|(number, label)| (label.to_string(), number)).collect();
        Ok(Self {
            classifier,
            field,
            numbers,
            guesses: Guesses::new(field.labels.len()),
            rows: 0,
            without_label: 0,
            bad: 0,
            inside: Vec::new(),
            inside_rejected: 0,
            outside: Vec::new(),
            outside_rejected: 0,
        })
    }

    /// Scores one row; its line for `--predictions`, where it has a label.
    fn add(&mut self, row: &Row, args: &EvalArgs) -> Option<Value> {
        let Some(label) = row.label(&args.label) else {
            self.without_label += 1;
            return None;
        };
        self.rows += 1;
        let text = row.text(&args.text);
        let found = self.classifier.classify(&text);
        let scores = found.fields.into_iter().find(|scores| scores.name == self.field.name)?;
        let best = scores.ranked.first().filter(|_| !text.is_empty());
        // Not the abstention, which names a short text or a foreign language first.
        let rejected = found.out_of_scope > self.classifier.out_of_scope_threshold();
        if label == args.oos_label {
            self.outside.push(found.out_of_scope);
            self.outside_rejected += usize::from(rejected);
        } else {
            self.inside.push(found.out_of_scope);
            self.inside_rejected += usize::from(rejected);
            let guess = best.map_or("", |best| &*best.label);
            let (label, guess) = (self.number(&label), self.number(guess));
            self.guesses.add(label, guess, best.map_or(0.0, |best| best.confidence));
        }
        Some(json!({
            "id": row.id(args.id.as_deref().unwrap_or(DEFAULT_ID)),
            "label": label,
            "value": best.map(|best| &*best.label),
            "confidence": best.map(|best| best.confidence),
            "abstention": scores.abstention.map(Abstention::as_str),
        }))
    }

    /// What to say where rows have labels that the bundle never learnt: it cannot be right about them.
    fn unknown_labels(&self) -> Option<String> {
        let learnt = |label: &str| label.is_empty() || self.field.labels.iter().any(|known| **known == *label);
        let mut unknown: Vec<&str> = self.numbers.keys().map(String::as_str).filter(|label| !learnt(label)).collect();
        unknown.sort_unstable();
        let shown = unknown.iter().take(10).map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let more = if unknown.len() > 10 { ", …" } else { "" };
        (!unknown.is_empty()).then(|| {
            format!(
                "{} labels of these rows are unknown to the bundle and count as misses: {shown}{more}",
                unknown.len()
            )
        })
    }

    fn number(&mut self, label: &str) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(label.to_owned()).or_insert(next)
    }

    fn guesses(&self) -> FieldGuesses<'_> {
        let mut names = vec![""; self.numbers.len()];
        for (name, number) in &self.numbers {
            names[*number] = name;
        }
        FieldGuesses { guesses: &self.guesses, names, thresholds: &self.field.thresholds }
    }

    fn outside(&self) -> Option<Outside> {
        (!self.outside.is_empty()).then(|| Outside {
            area: area_under_curve(&self.inside, &self.outside),
            recall: share(self.outside_rejected, self.outside.len()),
            inside_rejected: share(self.inside_rejected, self.inside.len()),
        })
    }

    fn to_json(&self, seconds: f64) -> Value {
        let quality = self.guesses.quality();
        let outside = self.outside().map(|Outside { area, recall, inside_rejected }| {
            json!({
                "auroc": area,
                "recall": recall,
                "in_scope_accuracy": quality.accuracy,
                "in_scope_rejected": inside_rejected,
            })
        });
        let mut report = Map::new();
        report.insert("rows".to_owned(), self.rows.into());
        report.insert("accuracy".to_owned(), quality.accuracy.into());
        report.insert("macro_f1".to_owned(), quality.macro_f1.into());
        report.insert("ece".to_owned(), quality.calibration_error.into());
        report.insert("oos".to_owned(), outside.into());
        report.insert("seconds".to_owned(), seconds.into());
        report.insert("rows_without_label".to_owned(), self.without_label.into());
        report.insert("bad_rows".to_owned(), self.bad.into());
        self.guesses().add_to(&mut report);
        report.into()
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{} rows, field `{}`, bundle {}\n", self.rows, self.field.name, self.classifier.version())?;
        let quality = self.guesses.quality();
        for (name, figure) in [
            ("accuracy", quality.accuracy),
            ("macro-F1", quality.macro_f1),
            ("calibration error", quality.calibration_error),
        ] {
            writeln!(out, "  {name:18}{:>7}", percent(Some(figure)))?;
        }
        writeln!(out)?;
        self.guesses().write(out)?;
        if let Some(Outside { area, recall, inside_rejected }) = self.outside() {
            writeln!(
                out,
                "\n  out of scope: {} found, {} of the others rejected, area under curve {area:.3}",
                percent(Some(recall)),
                percent(Some(inside_rejected)),
            )?;
        }
        if self.without_label > 0 {
            writeln!(out, "\n{} rows had no label and were left out.", self.without_label)?;
        }
        if self.bad > 0 {
            writeln!(out, "\n{} rows could not be read and were left out; the warnings name them.", self.bad)?;
        }
        Ok(())
    }
}

/// How well rows out of scope are told from the others.
struct Outside {
    /// Under the ROC curve.
    area: f64,
    recall: f64,
    inside_rejected: f64,
}
