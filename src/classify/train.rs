//! Makes a bundle of rows: chooses how much each kind of feature and each mistake weighs on rows held back, fits
//! every field, and calibrates on scores that no row had a part in. The same rows, options and seed give the same
//! bytes. No text of any row enters the bundle.

use std::collections::BTreeMap;

use super::{
    bundle::{self, BundleError},
    calibrate::{self, Threshold},
    classifier::Classifier,
    counts::Counts,
    cross_check::{Choice, Fitted, HeldBack, Trainer},
    evaluate::{Guesses, Quality},
    features::FEATURE_VERSION,
    golden,
    heads::Planes,
    manifest::{Blocks, FORMAT_VERSION, FieldManifest, Manifest, TrainingSummary},
    samples::{BlockWeights, Samples},
    scope::{ScopeModel, Signals},
    suspects::{self, Suspect},
    training_set::{TrainingField, TrainingRows, TrainingSet},
};
use crate::{classify::bundle::Files, encode::DIMENSIONS};

/// The out-of-scope threshold rejects at most this share of the rows in scope.
const REJECTED_SHARE: f64 = 0.05;
const MIN_CONFIDENCE: f32 = 0.4;
const MIN_GAP: f32 = 0.1;
/// More labels than this are ids, not labels; the time to learn them grows with rows times labels.
const MAX_LABELS: usize = 5_000;
/// From so many labels on, with fewer than two rows each, the column is no label but an id or a text.
const MANY_LABELS: usize = 50;

/// Why nothing can be learnt from the rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrainError {
    #[error("no row has text and a label; check the --text and --label columns")]
    NoRows,
    #[error("every row of `{field}` that has text is labelled `{label}`; a classifier needs two labels at least")]
    OneLabel { field: String, label: String },
    #[error("`{field}` has {labels} different labels in {rows} rows; is this the column with the label?")]
    LabelsOfTheirOwn { field: String, labels: usize, rows: usize },
    #[error(
        "`{field}` has {labels} different labels, at most {MAX_LABELS} can be learnt; is this the column with the label?"
    )]
    TooManyLabels { field: String, labels: usize },
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
    /// Decides the order in which rows are visited.
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
    /// The rows that the fit saw; fewer than were added where memory did not hold them all.
    pub(crate) rows: TrainingRows,
}

/// How a field does on rows held back from the fit.
pub(crate) struct FieldReport {
    pub(crate) name: String,
    /// Sorted.
    pub(crate) labels: Vec<String>,
    pub(crate) quality: Quality,
    /// By numbers of `labels`.
    pub(crate) guesses: Guesses,
    /// By precision; one that nothing certifies is missing.
    pub(crate) thresholds: BTreeMap<String, Threshold>,
    /// Most suspicious first; empty where they are not asked for.
    pub(crate) suspects: Vec<Suspect>,
}

/// Fits a bundle.
pub(crate) fn train(set: TrainingSet, options: &TrainOptions<'_>) -> Result<Trained, TrainError> {
    let (rows, counts, mut files) = set.finish();
    check(&rows, &counts)?;
    let mut trainer = Trainer::new(&rows, counts, options).ok_or(TrainError::NoFeatures)?;
    let choices = trainer.choose();
    let fitted = trainer.fit(&choices);
    let fields = rows.fields.iter().zip(&fitted.held_back).zip(&choices);
    let duplicates = options.find_suspects.then(|| suspects::duplicates(&rows.text_hashes));
    let reports: Vec<_> = fields
        .map(|((field, scores), choice)| {
            let (mut report, manifest) = calibrate(field, &rows.text_hashes, &trainer.judged, scores, *choice);
            if let Some(duplicates) = &duplicates {
                let confidences = |row: usize| {
                    let place = trainer.judged.binary_search(&u32::try_from(row).ok()?).ok()?;
                    Some(calibrate::confidences(&scores.scores(place), manifest.sharpness, &manifest.curve).1)
                };
                report.suspects = suspects::find(&rows, field, duplicates, confidences);
            }
            (report, manifest)
        })
        .collect();
    let scope = fit_scope(&rows, &trainer, &fitted);
    let BlockWeights { words, characters } = trainer.samples.blocks();
    let planes = pack(trainer.samples, &fitted.planes);
    drop(fitted);
    files.insert(bundle::WEIGHTS, bundle::write_planes(&planes)?.into());

    let outside_rows = rows.outside.iter().filter(|outside| **outside).count();
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION,
        feature_version: FEATURE_VERSION,
        name: options.name.clone(),
        languages: rows.languages.clone(),
        training: TrainingSummary {
            rows: rows.text_hashes.len() - outside_rows,
            out_of_scope_rows: outside_rows,
            seed: options.seed,
        },
        blocks: Blocks { words, characters },
        scope,
        files: BTreeMap::new(),
        fields: reports.iter().map(|(_, manifest)| manifest.clone()).collect(),
    };
    let classifier = Classifier::assemble(options.name.clone(), manifest.clone(), &files)?;
    files.insert(bundle::GOLDEN, golden::write(&classifier)?.into());
    manifest.files = bundle::hashes(&files);
    files.insert(bundle::MANIFEST, manifest.write().map_err(BundleError::from)?.into());
    Classifier::from_files(&files)?;
    let fields = reports.into_iter().map(|(report, _)| report).collect();
    Ok(Trained { files, fields, rows })
}

fn rows_with_label(field: &TrainingField) -> usize {
    field.of_row.iter().flatten().count()
}

fn check(rows: &TrainingRows, counts: &Counts) -> Result<(), TrainError> {
    if counts.len() == 0 {
        return Err(TrainError::NoRows);
    }
    for field in &rows.fields {
        match &*field.labels {
            [] => return Err(TrainError::NoLabels(field.name.clone())),
            [label] => return Err(TrainError::OneLabel { field: field.name.clone(), label: label.clone() }),
            labels if labels.len() > MAX_LABELS => {
                return Err(TrainError::TooManyLabels { field: field.name.clone(), labels: labels.len() });
            }
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
fn fit_scope(rows: &TrainingRows, trainer: &Trainer<'_>, fitted: &Fitted) -> ScopeModel {
    let signals = |outside: bool| -> Vec<Signals> {
        let judged = trainer.judged.iter().enumerate().filter(|(_, row)| rows.outside[**row as usize] == outside);
        let signals = judged.map(|(place, row)| Signals {
            best_score: fitted.held_back[trainer.widest].scores(place).into_iter().fold(f32::NEG_INFINITY, f32::max),
            outside_score: fitted.outside.get(place).copied().unwrap_or_default(),
            known_share: trainer.known_shares[*row as usize],
        });
        signals.collect()
    };
    let (inside, outside) = (signals(false), signals(true));
    let learns = !fitted.outside.is_empty() && !outside.is_empty();
    let mut scope = if learns { ScopeModel::fit(&inside, &outside) } else { ScopeModel::without_examples() };
    let scores: Vec<f32> = inside.iter().map(|row| scope.score(row)).collect();
    // A likelihood has no more to say than 1.
    scope.threshold = calibrate::rejection_threshold(&scores, REJECTED_SHARE).min(1.0);
    scope
}

/// What a field's held-back scores say of it.
fn calibrate(
    field: &TrainingField,
    text_hashes: &[u128],
    judged: &[u32],
    held_back: &HeldBack,
    choice: Choice,
) -> (FieldReport, FieldManifest) {
    // By text, so that copies are in one half.
    let half = |number: u128| {
        judged.iter().enumerate().filter_map(move |(place, row)| {
            let label = field.of_row[*row as usize].filter(|_| text_hashes[*row as usize] % 2 == number)?;
            Some((held_back.scores(place), label as usize))
        })
    };
    let mut rows: Vec<(Vec<f32>, usize)> = half(0).collect();
    let middle = rows.len();
    rows.extend(half(1));
    let (one, other) = rows.split_at(middle);
    let (sharpness, curve) = fit_confidence(&rows);
    let certified_on = guess(&rows, sharpness, &curve, Guesses::new(field.labels.len()));
    // The figures come from confidences that were fitted without the row too: each half judged by the other's.
    let mut guesses = Guesses::new(field.labels.len());
    for (fitted_on, judged) in [(other, one), (one, other)] {
        let (sharpness, curve) = fit_confidence(fitted_on);
        guesses = guess(judged, sharpness, &curve, guesses);
    }
    let quality = guesses.quality();
    let thresholds = calibrate::PRECISIONS.iter().filter_map(|name| {
        let precision: f64 = name.parse().ok()?;
        Some(((*name).to_owned(), calibrate::certify(certified_on.all(), &field.labels, precision)?))
    });
    #[expect(clippy::cast_possible_truncation, reason = "a share of 1 needs no more digits")]
    let manifest = FieldManifest {
        name: field.name.clone(),
        labels: field.labels.clone(),
        cost: choice.cost.base,
        balance: choice.cost.balance,
        vectors: choice.vectors,
        sharpness,
        curve,
        min_confidence: MIN_CONFIDENCE,
        min_gap: MIN_GAP,
        accuracy: quality.accuracy as f32,
        thresholds: thresholds.collect(),
    };
    let report = FieldReport {
        name: field.name.clone(),
        labels: field.labels.clone(),
        quality,
        guesses,
        thresholds: manifest.thresholds.clone(),
        suspects: Vec::new(),
    };
    (report, manifest)
}

/// The sharpness and the curve that turn these scores into confidences.
fn fit_confidence(rows: &[(Vec<f32>, usize)]) -> (f32, Vec<[f32; 2]>) {
    let sharpness = calibrate::fit_sharpness(rows);
    let uncorrected = guess(rows, sharpness, &[], Guesses::new(0));
    (sharpness, calibrate::fit_curve(uncorrected.all()))
}

/// Adds the best guess of every row.
fn guess(rows: &[(Vec<f32>, usize)], sharpness: f32, curve: &[[f32; 2]], mut guesses: Guesses) -> Guesses {
    for (scores, label) in rows {
        let (best, confidences) = calibrate::confidences(scores, sharpness, curve);
        guesses.add(*label, best, confidences[best]);
    }
    guesses
}

/// Packs planes by feature, in the order of their keys, as int8 with a scale a feature.
fn pack(samples: Samples, columns: &[Vec<f32>]) -> Planes {
    let features = samples.into_features();
    let mut order: Vec<usize> = (0..features.len()).collect();
    order.sort_unstable_by_key(|feature| features[*feature].key);
    let dense_start = features.len();
    let mut planes = Planes::default();
    for feature in order {
        let largest = columns.iter().map(|column| column[feature].abs()).fold(0.0, f32::max);
        let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
        planes.keys.push(features[feature].key);
        planes.idf.push(features[feature].idf);
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

    /// Fits rows of one field, given as text and label; the label `-` is out of scope.
    fn fit(labelled: &[(&str, &str)], threads: usize) -> Result<Trained, TrainError> {
        let mut set = TrainingSet::new(&["topic".to_owned()], threads)?;
        for (text, label) in labelled {
            set.add((*text).to_owned(), vec![Some((*label).to_owned())], *label == "-");
        }
        train(
            set,
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
        let trained = fit(&labelled, 1).unwrap();
        assert_eq!(trained.files, fit(&labelled, 3).unwrap().files);

        let found = Classifier::from_files(&trained.files).unwrap().classify("the printer has a paper jam");
        assert_eq!(&*found.fields[0].ranked[0].label, "printing");
    }

    #[test]
    fn rows_that_teach_nothing_are_refused_with_the_reason() {
        let ids: Vec<String> = (0..=MAX_LABELS).map(|number| format!("INC{number}")).collect();
        let ids: Vec<(&str, &str)> = ids.iter().map(|id| ("vpn is down", id.as_str())).collect();
        for (labelled, reason) in [
            (&[][..], "no row has text"),
            (&[("vpn is down", "a"), ("vpn is slow", "a")], "labelled `a`"),
            (&[("hello", "-"), ("hello", "-")], "no row has a label"),
            (&[("xylem", "a"), ("quartz", "b")], "no two texts share a word"),
            (&ids, "5001 different labels"),
        ] {
            let error = fit(labelled, 1).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn odd_rows_are_learnt_from_without_a_fault() {
        let same = [("the same text", "a"); 10].into_iter().chain([("the same text", "b")]).collect::<Vec<_>>();
        let rare = [("vpn is down", "a"), ("vpn is slow", "a"), ("vpn is gone", "b")];
        let strange = [("e\u{301} 👩‍💻 e\u{301}", "a"), ("\u{202e}👩‍💻 e\u{301}", "b"), ("\u{0}\u{1} 👩‍💻", "b")];
        for labelled in [&same[..], &rare, &strange] {
            let trained = fit(labelled, 2).unwrap();
            assert_eq!(trained.fields[0].guesses.rows(), labelled.len());
        }
    }
}
