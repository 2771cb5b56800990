//! Makes a bundle of rows: counts features, chooses how much each kind of feature and each mistake weighs on rows
//! held back, fits every field, and calibrates on scores that no row had a part in. The same rows, options and
//! seed give the same bytes. No text of any row enters the bundle.

use std::collections::BTreeMap;

use super::{
    bundle::{self, BundleError, Files},
    calibrate,
    classifier::Classifier,
    cross_check::{HeldBack, Trainer},
    embedded,
    evaluate::{Guesses, Quality},
    features::FEATURE_VERSION,
    golden,
    heads::Planes,
    manifest::{Blocks, FORMAT_VERSION, FieldManifest, Manifest, TrainingSummary},
    samples::{BlockWeights, Counts, Samples},
    scope::{self, ScopeModel, Signals},
    suspects::{self, Suspect},
};
use crate::encode::DIMENSIONS;

/// The out-of-scope threshold rejects at most this share of the rows in scope.
const REJECTED_SHARE: f64 = 0.05;
const MIN_CONFIDENCE: f32 = 0.4;
const MIN_GAP: f32 = 0.1;

/// Rows to learn from.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrainingRows {
    pub(crate) texts: Vec<String>,
    pub(crate) fields: Vec<TrainingField>,
    /// Which of the texts are out of scope.
    pub(crate) outside: Vec<bool>,
}

/// One field's label of every text.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrainingField {
    pub(crate) name: String,
    /// Sorted.
    pub(crate) labels: Vec<String>,
    /// Numbers into `labels`; `None`: the text has none, and teaches this field nothing.
    pub(crate) of_text: Vec<Option<u32>>,
}

/// Why nothing can be learnt from the rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrainError {
    #[error("no row has text and a label; check the --text and --label columns")]
    NoRows,
    #[error("every row of `{field}` that has text is labelled `{label}`; a classifier needs two labels at least")]
    OneLabel { field: String, label: String },
    #[error("`{field}` has {labels} different labels in {rows} rows; is this the column with the label?")]
    LabelsOfTheirOwn { field: String, labels: usize, rows: usize },
    #[error("no row has a label for `{0}`; check the column, or leave the field out")]
    NoLabels(String),
    #[error("no two texts share a word; there is nothing to learn from")]
    NoFeatures,
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

pub(crate) struct TrainOptions<'a> {
    /// First part of the bundle's version.
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// Whether rows that are probably mislabelled are looked for.
    pub(crate) find_suspects: bool,
    /// Told after each step: what is being done, how much of it is done, and how much there is.
    pub(crate) progress: &'a (dyn Fn(&'static str, usize, usize) + Sync),
}

/// What came of it.
pub(crate) struct Trained {
    pub(crate) files: Files,
    pub(crate) fields: Vec<FieldReport>,
}

/// How a field does on rows held back from the fit.
pub(crate) struct FieldReport {
    pub(crate) name: String,
    pub(crate) classes: usize,
    pub(crate) rows: usize,
    pub(crate) quality: Quality,
    /// By numbers of the field's labels.
    pub(crate) guesses: Guesses,
    /// The confidence from which on a precision is certified; a precision that nothing certifies is missing.
    pub(crate) thresholds: BTreeMap<String, f32>,
    /// Most suspicious first; empty where they are not asked for.
    pub(crate) suspects: Vec<Suspect>,
}

/// Fits a bundle.
pub(crate) fn train(rows: &TrainingRows, options: &TrainOptions<'_>) -> Result<Trained, TrainError> {
    check(rows)?;
    let mut files = embedded::encoder_files();
    let (pieces, vectors) = embedded::encoder(&files)?;
    let mut counts = Counts::new();
    for (number, texts) in rows.texts.chunks(PROGRESS_TEXTS).enumerate() {
        (options.progress)("reading texts", number * PROGRESS_TEXTS, rows.texts.len());
        counts.extend(texts, &pieces, &vectors, options.threads);
    }
    let trainer = Trainer::new(rows, &counts, options).ok_or(TrainError::NoFeatures)?;
    let choice = trainer.choose();
    let samples = trainer.samples(choice.blocks);
    let held_back = trainer.held_back(&samples, &choice);
    let duplicates = options.find_suspects.then(|| suspects::duplicates(&rows.texts));
    let reports: Vec<_> = rows
        .fields
        .iter()
        .zip(&held_back.fields)
        .zip(&choice.costs)
        .map(|((field, scores), cost)| {
            let (mut report, manifest) = calibrate(field, scores, cost.base);
            if let Some(duplicates) = &duplicates {
                let confidences =
                    |row: usize| calibrate::confidences(&scores[row], manifest.sharpness, &manifest.curve).1;
                report.suspects = suspects::find(rows, field, duplicates, confidences);
            }
            (report, manifest)
        })
        .collect();
    let planes = pack(&samples, &trainer.fit(&samples, &choice));
    files.insert(bundle::WEIGHTS, bundle::write_planes(&planes)?.into());

    let BlockWeights { words, characters, vectors } = choice.blocks;
    let inside = rows.texts.iter().zip(&rows.outside).filter(|(_, outside)| !**outside).map(|(text, _)| text.as_str());
    let outside_rows = rows.outside.iter().filter(|outside| **outside).count();
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        feature_version: FEATURE_VERSION,
        name: options.name.clone(),
        languages: scope::languages(inside.take(LANGUAGE_TEXTS)),
        training: TrainingSummary {
            rows: rows.texts.len() - outside_rows,
            out_of_scope_rows: outside_rows,
            seed: options.seed,
        },
        blocks: Blocks { words, characters, vectors },
        scope: fit_scope(rows, &held_back, trainer.widest),
        files: BTreeMap::new(),
        fields: reports.iter().map(|(_, manifest)| manifest.clone()).collect(),
    };
    let classifier = Classifier::assemble(options.name.clone(), manifest.clone(), &files)?;
    files.insert(bundle::GOLDEN, golden::write(&classifier)?.into());
    manifest.files = bundle::hashes(&files);
    files.insert(bundle::MANIFEST, manifest.write().map_err(BundleError::from)?.into());
    Classifier::from_files(&files)?;
    Ok(Trained { files, fields: reports.into_iter().map(|(report, _)| report).collect() })
}

const PROGRESS_TEXTS: usize = 8_192;
/// Languages are looked for in so many texts.
const LANGUAGE_TEXTS: usize = 5_000;

/// From so many labels on, most of them on one row each, the column is no label but an id or a text.
const MANY_LABELS: usize = 500;

fn rows_with_label(field: &TrainingField) -> usize {
    field.of_text.iter().flatten().count()
}

fn check(rows: &TrainingRows) -> Result<(), TrainError> {
    if rows.texts.is_empty() {
        return Err(TrainError::NoRows);
    }
    for field in &rows.fields {
        match &*field.labels {
            [] => return Err(TrainError::NoLabels(field.name.clone())),
            [label] => return Err(TrainError::OneLabel { field: field.name.clone(), label: label.clone() }),
            labels if labels.len() > MANY_LABELS && labels.len() * 2 > rows_with_label(field) => {
                let (field, labels, rows) = (field.name.clone(), labels.len(), rows_with_label(field));
                return Err(TrainError::LabelsOfTheirOwn { field, labels, rows });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The out-of-scope score and its threshold.
fn fit_scope(rows: &TrainingRows, held_back: &HeldBack, widest: usize) -> ScopeModel {
    let signals = |outside: bool| -> Vec<Signals> {
        let rows = (0..rows.texts.len()).filter(|row| rows.outside[*row] == outside);
        let signals = rows.map(|row| Signals {
            best_score: held_back.fields[widest][row].iter().copied().fold(f32::NEG_INFINITY, f32::max),
            outside_score: held_back.outside.get(row).copied().unwrap_or_default(),
            known_share: held_back.known_shares[row],
        });
        signals.collect()
    };
    let inside = signals(false);
    let learns = !held_back.outside.is_empty();
    let mut scope = if learns { ScopeModel::fit(&inside, &signals(true)) } else { ScopeModel::without_examples() };
    let scores: Vec<f32> = inside.iter().map(|row| scope.score(row)).collect();
    // A likelihood has no more to say than 1.
    scope.threshold = calibrate::rejection_threshold(&scores, REJECTED_SHARE).min(1.0);
    scope
}

/// What a field's held-back scores say of it.
fn calibrate(field: &TrainingField, scores: &[Vec<f32>], cost: f32) -> (FieldReport, FieldManifest) {
    let labelled = field.of_text.iter().zip(scores).filter_map(|(label, scores)| Some(((*label)? as usize, scores)));
    let rows: Vec<(Vec<f32>, usize)> = labelled.map(|(label, scores)| (scores.clone(), label)).collect();
    let sharpness = calibrate::fit_sharpness(&rows);
    let judged = |curve: &[[f32; 2]]| -> Vec<(usize, f32, bool)> {
        let judge = |(scores, label): &(Vec<f32>, usize)| {
            let (best, confidences) = calibrate::confidences(scores, sharpness, curve);
            (best, confidences[best], best == *label)
        };
        rows.iter().map(judge).collect()
    };
    let confidences = |curve: &[[f32; 2]]| -> Vec<(f32, bool)> {
        judged(curve).into_iter().map(|(_, confidence, right)| (confidence, right)).collect()
    };
    let curve = calibrate::fit_curve(&confidences(&[]));
    let mut guesses = Guesses::new(field.labels.len());
    for ((_, label), (best, confidence, _)) in rows.iter().zip(judged(&curve)) {
        guesses.add(*label, best, confidence);
    }
    let confidences = confidences(&curve);
    let quality = guesses.quality();
    let thresholds = calibrate::PRECISIONS.iter().filter_map(|name| {
        let precision: f64 = name.parse().ok()?;
        Some(((*name).to_owned(), calibrate::certified_threshold(&confidences, precision)?))
    });
    #[expect(clippy::cast_possible_truncation, reason = "a share of 1 needs no more digits")]
    let manifest = FieldManifest {
        name: field.name.clone(),
        labels: field.labels.clone(),
        cost,
        sharpness,
        curve,
        min_confidence: MIN_CONFIDENCE,
        min_gap: MIN_GAP,
        accuracy: quality.accuracy as f32,
        thresholds: thresholds.collect(),
    };
    let report = FieldReport {
        name: field.name.clone(),
        classes: field.labels.len(),
        rows: rows.len(),
        quality,
        guesses,
        thresholds: manifest.thresholds.clone(),
        suspects: Vec::new(),
    };
    (report, manifest)
}

/// Packs planes by feature, in the order of their keys, as int8 with a scale a feature.
fn pack(samples: &Samples, columns: &[Vec<f32>]) -> Planes {
    let mut order: Vec<usize> = (0..samples.features.len()).collect();
    order.sort_unstable_by_key(|feature| samples.features[*feature].key);
    let dense_start = samples.features.len();
    let mut planes = Planes::default();
    for feature in order {
        let largest = columns.iter().map(|column| column[feature].abs()).fold(0.0, f32::max);
        let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
        planes.keys.push(samples.features[feature].key);
        planes.idf.push(samples.features[feature].idf);
        planes.scales.push(scale);
        #[expect(clippy::cast_possible_truncation, reason = "at most 127 by the choice of the scale")]
        planes.weights.extend(columns.iter().map(|column| (column[feature] / scale).round() as i8));
    }
    planes.dense = columns.iter().flat_map(|column| &column[dense_start..][..DIMENSIONS]).copied().collect();
    planes.bias = columns.iter().map(|column| column[dense_start + DIMENSIONS]).collect();
    planes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one field, as text and label; the label `-` is out of scope.
    fn rows(labelled: &[(&str, &str)]) -> TrainingRows {
        let mut labels: Vec<String> =
            labelled.iter().map(|(_, label)| (*label).to_owned()).filter(|label| label != "-").collect();
        labels.sort();
        labels.dedup();
        let of_text = labelled.iter().map(|(_, label)| labels.iter().position(|known| known == label));
        let of_text = of_text.map(|number| number.map(|number| u32::try_from(number).unwrap())).collect();
        TrainingRows {
            texts: labelled.iter().map(|(text, _)| (*text).to_owned()).collect(),
            fields: vec![TrainingField { name: "topic".to_owned(), labels, of_text }],
            outside: labelled.iter().map(|(_, label)| *label == "-").collect(),
        }
    }

    fn fit(rows: &TrainingRows, threads: usize) -> Result<Trained, TrainError> {
        train(
            rows,
            &TrainOptions { name: "test".to_owned(), seed: 7, threads, find_suspects: true, progress: &|_, _, _| {} },
        )
    }

    #[test]
    fn the_same_rows_give_the_same_bytes_on_any_number_of_threads() {
        let places = ["in room 1", "at home", "again", "since monday", "for all of us"];
        let texts: Vec<(String, &str)> = places
            .iter()
            .flat_map(|place| {
                [("printer jams", "printing"), ("vpn drops", "network"), ("tell me a joke", "-")]
                    .map(|(text, label)| (format!("{text} {place}"), label))
            })
            .collect();
        let labelled: Vec<(&str, &str)> = texts.iter().map(|(text, label)| (text.as_str(), *label)).collect();
        let trained = fit(&rows(&labelled), 1).unwrap();
        assert_eq!(trained.files, fit(&rows(&labelled), 3).unwrap().files);

        let found = Classifier::from_files(&trained.files).unwrap().classify("the printer has a paper jam");
        assert_eq!(&*found.fields[0].ranked[0].label, "printing");
    }

    #[test]
    fn rows_that_teach_nothing_are_refused_with_the_reason() {
        for (labelled, reason) in [
            (&[][..], "no row has text"),
            (&[("vpn is down", "a"), ("vpn is slow", "a")], "labelled `a`"),
            (&[("hello", "-"), ("hello", "-")], "no row has a label"),
            (&[("xylem", "a"), ("quartz", "b")], "no two texts share a word"),
        ] {
            let error = fit(&rows(labelled), 1).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn odd_rows_are_learnt_from_without_a_fault() {
        let same = [("the same text", "a"); 10].into_iter().chain([("the same text", "b")]).collect::<Vec<_>>();
        let rare = [("vpn is down", "a"), ("vpn is slow", "a"), ("vpn is gone", "b")];
        let strange = [("e\u{301} 👩‍💻 e\u{301}", "a"), ("\u{202e}👩‍💻 e\u{301}", "b"), ("\u{0}\u{1} 👩‍💻", "b")];
        for labelled in [&same[..], &rare, &strange] {
            let trained = fit(&rows(labelled), 2).unwrap();
            assert_eq!(trained.fields[0].rows, labelled.len());
        }
    }
}
