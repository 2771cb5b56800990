//! Makes a bundle of rows: counts features, chooses how much each kind of feature and each mistake weighs on rows
//! held back, fits every field, and calibrates on scores that no row had a part in. The same rows, options and
//! seed give the same bytes. No text of any row enters the bundle.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^24 where precision counts")]

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    bundle::{self, BundleError, Files},
    calibrate,
    classifier::Classifier,
    embedded,
    evaluate::{Guesses, Quality},
    features::FEATURE_VERSION,
    fit::{self, Cost, Members},
    golden,
    heads::Planes,
    manifest::{Blocks, FORMAT_VERSION, FieldManifest, Manifest, TrainingSummary},
    samples::{BlockWeights, Counts, Samples},
    scope::{self, ScopeModel, Signals},
};
use crate::encode::DIMENSIONS;

/// Weights a bundle may have; features that few texts have are dropped until it fits.
const MAX_WEIGHTS: usize = 96 << 20;
/// From this many rows on a feature needs three texts to count.
const MANY_ROWS: usize = 20_000;
/// So many out-of-scope rows are enough to learn from.
const MIN_OUTSIDE_ROWS: usize = 20;
const REJECTED_SHARE: f64 = 0.05;
const MIN_CONFIDENCE: f32 = 0.4;
const MIN_GAP: f32 = 0.1;

/// What a mistake may cost; the one that does best on held-back rows is taken.
const COSTS: [Cost; 3] =
    [Cost { base: 1.0, balance: 0.5 }, Cost { base: 0.3, balance: 0.5 }, Cost { base: 0.1, balance: 0.8 }];
/// How much the static vectors may weigh beside the n-grams: they carry small desks, n-grams large ones.
const VECTOR_WEIGHTS: [f32; 3] = [1.0, 1.5, 2.5];

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
pub enum TrainError {
    #[error("no row has text and a label; check the --text and --label columns")]
    NoRows,
    #[error("every row of `{field}` that has text is labelled `{label}`; a classifier needs two labels at least")]
    OneLabel { field: String, label: String },
    #[error("no row has a label for `{0}`; check the column, or leave the field out")]
    NoLabels(String),
    #[error("the labels are too many for so few texts: no feature is shared by two of them")]
    NoFeatures,
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

pub(crate) struct TrainOptions<'a> {
    /// First part of the bundle's version.
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
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
    let columns = rows.fields.iter().map(|field| field.labels.len()).sum::<usize>() + 1;
    let trainer = Trainer { rows, options, counts: &counts, min_texts: min_texts(&counts, columns)? };
    let choice = trainer.choose();
    let samples = trainer.samples(choice.vectors);
    let held_back = trainer.held_back(&samples, &choice);

    let (scope, reports) = trainer.calibrate(&held_back);
    let planes = trainer.planes(&samples, &choice);
    files.insert(bundle::WEIGHTS, bundle::write_planes(&planes)?.into());

    let BlockWeights { words, characters, vectors } = block_weights(choice.vectors);
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
        scope,
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

fn check(rows: &TrainingRows) -> Result<(), TrainError> {
    if rows.texts.is_empty() {
        return Err(TrainError::NoRows);
    }
    for field in &rows.fields {
        match &*field.labels {
            [] => return Err(TrainError::NoLabels(field.name.clone())),
            [label] => return Err(TrainError::OneLabel { field: field.name.clone(), label: label.clone() }),
            _ => {}
        }
    }
    Ok(())
}

/// How many texts must share a feature for it to count.
fn min_texts(counts: &Counts, columns: usize) -> Result<u32, TrainError> {
    let mut min_texts = if counts.len() < MANY_ROWS { 2 } else { 3 };
    while counts.features_in(min_texts) * columns > MAX_WEIGHTS {
        min_texts += 1;
    }
    if counts.features_in(min_texts) == 0 { Err(TrainError::NoFeatures) } else { Ok(min_texts) }
}

fn block_weights(vectors: f32) -> BlockWeights {
    BlockWeights { words: 1.0, characters: 1.0, vectors }
}

/// What was chosen on held-back rows.
struct Choice {
    vectors: f32,
    /// One a field.
    costs: Vec<Cost>,
}

/// Scores of rows by planes that were fitted without them.
struct HeldBack {
    /// By field; by row the score of every label.
    fields: Vec<Vec<Vec<f32>>>,
    /// By row; empty where too few rows are out of scope.
    outside: Vec<f32>,
    known_shares: Vec<f32>,
}

struct Trainer<'a> {
    rows: &'a TrainingRows,
    options: &'a TrainOptions<'a>,
    counts: &'a Counts,
    min_texts: u32,
}

impl Trainer<'_> {
    fn samples(&self, vectors: f32) -> Samples {
        self.counts.weighted(self.min_texts, block_weights(vectors))
    }

    /// The fold of a row: by its text, so that copies stay together.
    fn fold(&self, row: usize, folds: u64) -> u64 {
        xxh3_64_with_seed(self.rows.texts[row].as_bytes(), self.options.seed) % folds
    }

    fn fit_options(&self, cost: Cost) -> fit::Options {
        fit::Options { cost, seed: self.options.seed, threads: self.options.threads }
    }

    /// Rows that teach the field: those with a label, and those out of scope.
    fn members(&self, field: &TrainingField) -> (Vec<u32>, Vec<Option<u32>>) {
        let rows = (0_u32..).zip(&field.of_text).zip(&self.rows.outside);
        rows.filter(|((_, label), outside)| label.is_some() || **outside).map(|((row, label), _)| (row, *label)).unzip()
    }

    /// Scores the rows of fold `fold` by planes fitted on all the others; by row, every label's score.
    fn score_fold(
        &self,
        samples: &Samples,
        field: &TrainingField,
        (fold, folds): (u64, u64),
        cost: Cost,
    ) -> Vec<(usize, Vec<f32>)> {
        let (rows, labels) = self.members(field);
        let in_fold: Vec<bool> = rows.iter().map(|row| self.fold(*row as usize, folds) == fold).collect();
        let fitted = rows.iter().zip(&labels).zip(&in_fold).filter(|(_, held)| !**held).map(|(member, _)| member);
        let (fit_rows, fit_labels): (Vec<u32>, Vec<Option<u32>>) = fitted.map(|(row, label)| (*row, *label)).unzip();
        let mut held: Vec<usize> =
            rows.iter().zip(&in_fold).filter(|(_, held)| **held).map(|(row, _)| *row as usize).collect();
        // Rows without a label for this field are scored as well: another field may need to know how strange they are.
        let others = (0..self.rows.texts.len()).filter(|row| field.of_text[*row].is_none() && !self.rows.outside[*row]);
        held.extend(others.filter(|row| self.fold(*row, folds) == fold));
        let members = Members { rows: &fit_rows, labels: &fit_labels };
        let score = |_, plane: Vec<f32>| held.iter().map(|&row| samples.dot(row, &plane)).collect::<Vec<f32>>();
        let columns = fit::fit_labels(samples, &members, field.labels.len(), &self.fit_options(cost), score);
        let scores = |at: usize| columns.iter().map(|column| column[at]).collect();
        held.iter().enumerate().map(|(at, &row)| (row, scores(at))).collect()
    }

    /// Tries the weights of vectors and mistakes on held-back rows.
    fn choose(&self) -> Choice {
        // Few rows: every one is held back once, for a single fold would be all noise.
        let tried_folds = if self.rows.texts.len() < 3_000 { 0..3 } else { 0..1 };
        let folds = if self.rows.texts.len() < 3_000 { 3 } else { 5 };
        let mut best: Option<(f64, Choice)> = None;
        for (number, vectors) in VECTOR_WEIGHTS.into_iter().enumerate() {
            let samples = self.samples(vectors);
            let mut costs = Vec::new();
            let mut total = 0.0;
            for (field_number, field) in self.rows.fields.iter().enumerate() {
                let done = number * self.rows.fields.len() + field_number;
                (self.options.progress)("choosing weights", done, VECTOR_WEIGHTS.len() * self.rows.fields.len());
                let quality = |cost: Cost| {
                    let scored =
                        tried_folds.clone().flat_map(|fold| self.score_fold(&samples, field, (fold, folds), cost));
                    let mut guesses = Guesses::new(field.labels.len());
                    for (row, scores) in scored {
                        if let Some(label) = field.of_text[row] {
                            guesses.add(label as usize, best_of(&scores), 0.0);
                        }
                    }
                    let quality = guesses.quality();
                    f64::midpoint(quality.accuracy, quality.macro_f1)
                };
                let tried = COSTS.map(|cost| (quality(cost), cost));
                // The first of equals: the choice must not hang on the order of a sort.
                let mut chosen = tried[0];
                for next in tried {
                    if next.0 > chosen.0 + 1e-9 {
                        chosen = next;
                    }
                }
                total += chosen.0;
                costs.push(chosen.1);
            }
            if best.as_ref().is_none_or(|(so_far, _)| total > *so_far + 1e-9) {
                best = Some((total, Choice { vectors, costs }));
            }
        }
        best.map_or_else(|| Choice { vectors: 1.0, costs: Vec::new() }, |(_, choice)| choice)
    }

    fn held_back(&self, samples: &Samples, choice: &Choice) -> HeldBack {
        let texts = self.rows.texts.len();
        let folds = if texts < MANY_ROWS { 5 } else { 3 };
        let mut fields = Vec::new();
        for (number, (field, cost)) in self.rows.fields.iter().zip(&choice.costs).enumerate() {
            let mut scores = vec![Vec::new(); texts];
            for fold in 0..folds {
                let done = number * usize::try_from(folds).unwrap_or(1) + usize::try_from(fold).unwrap_or(0);
                (self.options.progress)(
                    "cross-checking",
                    done,
                    self.rows.fields.len() * usize::try_from(folds).unwrap_or(1),
                );
                self.score_fold(samples, field, (fold, folds), *cost)
                    .into_iter()
                    .for_each(|(row, of_row)| scores[row] = of_row);
            }
            fields.push(scores);
        }
        let mut outside = Vec::new();
        if let Some(field) = self.outside_field() {
            outside.resize(texts, 0.0);
            for fold in 0..folds {
                for (row, scores) in self.score_fold(samples, &field, (fold, folds), OUTSIDE_COST) {
                    outside[row] = scores[0];
                }
            }
        }
        HeldBack { fields, outside, known_shares: self.counts.known_shares(self.min_texts) }
    }

    /// Out of scope or not, as a field of one label; `None` where too few rows are out of scope.
    fn outside_field(&self) -> Option<TrainingField> {
        let count = self.rows.outside.iter().filter(|outside| **outside).count();
        let of_text = self.rows.outside.iter().map(|outside| Some(u32::from(!outside))).collect();
        let labels = vec![String::new()];
        (count >= MIN_OUTSIDE_ROWS).then(|| TrainingField { name: String::new(), labels, of_text })
    }

    /// What the held-back scores say of each field, and the out-of-scope score.
    fn calibrate(&self, held_back: &HeldBack) -> (ScopeModel, Vec<(FieldReport, FieldManifest)>) {
        let reports = self.rows.fields.iter().zip(&held_back.fields);
        let reports = reports.map(|(field, scores)| calibrate_field(field, scores)).collect();

        let mut widest = 0;
        for number in 1..self.rows.fields.len() {
            if self.rows.fields[number].labels.len() > self.rows.fields[widest].labels.len() {
                widest = number;
            }
        }
        let signals = |outside: bool| -> Vec<Signals> {
            let rows = (0..self.rows.texts.len()).filter(|row| self.rows.outside[*row] == outside);
            rows.map(|row| Signals {
                best_score: held_back.fields[widest][row].iter().copied().fold(f32::NEG_INFINITY, f32::max),
                outside_score: held_back.outside.get(row).copied().unwrap_or_default(),
                known_share: held_back.known_shares[row],
            })
            .collect()
        };
        let (inside, outside) = (signals(false), signals(true));
        let learns = !held_back.outside.is_empty();
        let mut scope = if learns { ScopeModel::fit(&inside, &outside) } else { ScopeModel::without_examples() };
        let scores: Vec<f32> = inside.iter().map(|row| scope.score(row)).collect();
        // A likelihood has no more to say than 1.
        scope.threshold = calibrate::rejection_threshold(&scores, REJECTED_SHARE).min(1.0);
        (scope, reports)
    }

    /// Fits every field on all rows and packs the planes.
    fn planes(&self, samples: &Samples, choice: &Choice) -> Planes {
        let mut columns: Vec<Vec<f32>> = Vec::new();
        for (number, (field, cost)) in self.rows.fields.iter().zip(&choice.costs).enumerate() {
            (self.options.progress)("fitting", number, self.rows.fields.len());
            let (rows, labels) = self.members(field);
            let members = Members { rows: &rows, labels: &labels };
            columns.extend(fit::fit_labels(
                samples,
                &members,
                field.labels.len(),
                &self.fit_options(*cost),
                |_, plane| plane,
            ));
        }
        columns.push(match self.outside_field() {
            Some(field) => {
                let (rows, labels) = self.members(&field);
                let members = Members { rows: &rows, labels: &labels };
                let options = self.fit_options(OUTSIDE_COST);
                fit::fit_labels(samples, &members, 1, &options, |_, plane| plane).pop().unwrap_or_default()
            }
            None => vec![0.0; samples.width()],
        });
        (self.options.progress)("fitting", self.rows.fields.len(), self.rows.fields.len());
        pack(samples, &columns, choice.vectors)
    }
}

const OUTSIDE_COST: Cost = Cost { base: 1.0, balance: 0.5 };

fn best_of(scores: &[f32]) -> usize {
    let mut best = 0;
    for number in 1..scores.len() {
        if scores[number] > scores[best] {
            best = number;
        }
    }
    best
}

fn calibrate_field(field: &TrainingField, scores: &[Vec<f32>]) -> (FieldReport, FieldManifest) {
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
        sharpness,
        curve,
        min_confidence: MIN_CONFIDENCE,
        min_gap: MIN_GAP,
        accuracy: quality.accuracy as f32,
        thresholds: thresholds.collect(),
    };
    (FieldReport { name: field.name.clone(), classes: field.labels.len(), rows: rows.len(), quality }, manifest)
}

/// Packs planes by feature, in the order of their keys, as int8 with a scale a feature.
fn pack(samples: &Samples, columns: &[Vec<f32>], vectors: f32) -> Planes {
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
    // The samples' dense part is at its length already, and so is the vector that the planes will meet.
    debug_assert!(vectors > 0.0);
    planes.dense = columns.iter().flat_map(|column| &column[dense_start..][..DIMENSIONS]).copied().collect();
    planes.bias = columns.iter().map(|column| column[dense_start + DIMENSIONS]).collect();
    planes
}
