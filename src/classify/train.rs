//! Makes a bundle of rows: chooses how much each kind of feature and each mistake weighs on rows held back, fits
//! every field, and calibrates on scores that no row had a part in. The same rows, options and seed give the same
//! bytes. No text of any row enters the bundle.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

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
    kernel,
    label_space::LabelSpace,
    manifest::{Blocks, FORMAT_VERSION, FieldManifest, Manifest, TrainingSummary},
    samples::{BlockWeights, Samples},
    scope::{ScopeModel, Signals},
    suspects::{self, Suspect},
    together::Together,
    training_set::{TrainingField, TrainingRows, TrainingSet},
};
use crate::{
    classify::bundle::Files,
    encode::{DIMENSIONS, SentenceEncoder},
};

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
    /// [`TrainOptions::stop`] was set.
    #[error("the training was stopped")]
    Stopped,
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
    /// Ends the training before its time once it is set.
    pub(crate) stop: &'a AtomicBool,
}

/// For trainings that go on to their end.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
impl TrainOptions<'static> {
    /// A training on one thread that tells nothing and goes on to its end.
    pub(crate) fn quiet(name: &str, seed: u64) -> Self {
        Self { name: name.to_owned(), seed, threads: 1, find_suspects: false, progress: &|_, _, _| {}, stop: &NEVER }
    }
}

impl TrainOptions<'_> {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
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
    let (rows, counts, mut files, sentences) = set.finish();
    check(&rows, &counts)?;
    let mut trainer = Trainer::new(&rows, counts, options).ok_or(TrainError::NoFeatures)?;
    let choices = trainer.choose();
    let fitted = trainer.fit(&choices);
    if options.is_stopped() {
        return Err(TrainError::Stopped);
    }
    let calibration = Calibration::new(&rows, &trainer, &fitted.held_back);
    let duplicates = options.find_suspects.then(|| suspects::duplicates(&rows.text_hashes));
    let reports: Vec<_> = choices
        .iter()
        .enumerate()
        .map(|(number, choice)| {
            let (mut report, manifest) = calibration.of_field(number, *choice);
            if let Some(duplicates) = &duplicates {
                let confidences = |row: usize| {
                    let place = trainer.judged.binary_search(&u32::try_from(row).ok()?).ok()?;
                    Some(calibration.confidences(number, place))
                };
                report.suspects = suspects::find(&rows, &rows.fields[number], duplicates, confidences);
            }
            (report, manifest)
        })
        .collect();
    let together = calibration.together.clone();
    let scope = fit_scope(&rows, &trainer, &fitted);
    let BlockWeights { words, characters } = trainer.samples.blocks();
    let space = LabelSpace::of(&rows.fields, &trainer.samples);
    let sentence_features = sentences.as_ref().map_or(0, |encoder| kernel::features_of(encoder.dimensions()));
    let planes = pack(trainer.samples, &fitted.planes, sentence_features);
    drop(fitted);
    files.insert(bundle::WEIGHTS, bundle::write_weights(&planes, &space)?.into());

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
        encoder: sentences.as_ref().map(SentenceEncoder::record),
        scope,
        together,
        files: BTreeMap::new(),
        fields: reports.iter().map(|(_, manifest)| manifest.clone()).collect(),
    };
    let classifier = Classifier::assemble(options.name.clone(), manifest.clone(), &files, sentences.clone())?;
    files.insert(bundle::GOLDEN, golden::write(&classifier)?.into());
    manifest.files = bundle::hashes(&files);
    files.insert(bundle::MANIFEST, manifest.write().map_err(BundleError::from)?.into());
    Classifier::with_encoder(&files, sentences)?;
    let fields = reports.into_iter().map(|(report, _)| report).collect();
    Ok(Trained { files, fields, rows })
}

/// Whether so many different labels of so many rows are labels, and no ids or texts.
pub(crate) fn is_label(labels: usize, rows: u64) -> bool {
    labels <= MAX_LABELS && (labels <= MANY_LABELS || labels as u64 * 2 <= rows)
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
            labels if !is_label(labels.len(), rows_with_label(field) as u64) => {
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

/// What the held-back scores of all fields say.
struct Calibration<'a> {
    rows: &'a TrainingRows,
    judged: &'a [u32],
    has_sentences: bool,
    held_back: &'a [HeldBack],
    /// How each field's scores become confidences.
    confidence: Vec<Confidence>,
    together: Option<Together>,
}

/// A place among the judged rows with the scores and the true label of the row there.
type Scored = (usize, Vec<f32>, usize);

/// How scores become confidences.
struct Confidence {
    sharpness: f32,
    curve: Vec<[f32; 2]>,
}

impl Confidence {
    fn fit(rows: &[Scored]) -> Self {
        let scores: Vec<(&[f32], usize)> = rows.iter().map(|(_, scores, label)| (scores.as_slice(), *label)).collect();
        let sharpness = calibrate::fit_sharpness(&scores);
        let mut uncorrected = Guesses::new(0);
        for (scores, label) in scores {
            let (best, confidences) = calibrate::confidences(scores, sharpness, &[]);
            uncorrected.add(label, best, confidences[best]);
        }
        Self { sharpness, curve: calibrate::fit_curve(uncorrected.all()) }
    }

    fn of(&self, scores: &[f32]) -> Vec<f32> {
        calibrate::confidences(scores, self.sharpness, &self.curve).1
    }
}

impl<'a> Calibration<'a> {
    fn new(rows: &'a TrainingRows, trainer: &'a Trainer<'_>, held_back: &'a [HeldBack]) -> Self {
        let (judged, has_sentences) = (trainer.judged.as_slice(), trainer.samples.have_sentences());
        let together = Together::learn(&rows.fields);
        let mut all = Self { rows, judged, has_sentences, held_back, confidence: Vec::new(), together };
        for number in 0..rows.fields.len() {
            let scored: Vec<Scored> = all.half(number, 0).chain(all.half(number, 1)).collect();
            all.confidence.push(Confidence::fit(&scored));
        }
        all
    }

    /// The labelled rows of a half; by text, so that copies are in one.
    fn half(&self, number: usize, half: u128) -> impl Iterator<Item = Scored> {
        let of_row = &self.rows.fields[number].of_row;
        self.judged.iter().enumerate().filter_map(move |(place, row)| {
            let row = *row as usize;
            let label = of_row[row].filter(|_| self.rows.text_hashes[row] % 2 == half)?;
            Some((place, self.held_back[number].scores(place), label as usize))
        })
    }

    /// The confidences of a field's labels for a judged row, by a model that has not seen it.
    fn confidences(&self, number: usize, place: usize) -> Vec<f32> {
        let scores = self.held_back[number].scores(place);
        self.weighed(number, place, self.confidence[number].of(&scores))
    }

    fn weighed(&self, number: usize, place: usize, own: Vec<f32>) -> Vec<f32> {
        let together = self.together.as_ref();
        let Some((together, other)) = together.and_then(|together| Some((together, together.other(number)?))) else {
            return own;
        };
        let beside = self.confidence[other].of(&self.held_back[other].scores(place));
        together.weigh(number, &own, &beside)
    }

    /// Adds the best guess of every row.
    fn guess(&self, number: usize, rows: &[Scored], confidence: &Confidence, mut guesses: Guesses) -> Guesses {
        for (place, scores, label) in rows {
            let confidences = self.weighed(number, *place, confidence.of(scores));
            let best = calibrate::best_of(&confidences);
            guesses.add(*label, best, confidences[best]);
        }
        guesses
    }

    /// How well a field does, and what its manifest says.
    fn of_field(&self, number: usize, choice: Choice) -> (FieldReport, FieldManifest) {
        let field = &self.rows.fields[number];
        let (one, other): (Vec<Scored>, Vec<Scored>) = (self.half(number, 0).collect(), self.half(number, 1).collect());
        let confidence = &self.confidence[number];
        let certified_on = self.guess(number, &one, confidence, Guesses::new(field.labels.len()));
        let certified_on = self.guess(number, &other, confidence, certified_on);
        // The figures come from confidences that were fitted without the row too: each half judged by the other's.
        let mut guesses = Guesses::new(field.labels.len());
        for (fitted_on, judged) in [(&other, &one), (&one, &other)] {
            guesses = self.guess(number, judged, &Confidence::fit(fitted_on), guesses);
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
            contrast: choice.cost.contrast,
            vectors: choice.vectors.tokens,
            sentence: self.has_sentences.then_some(choice.vectors.sentence),
            sharpness: confidence.sharpness,
            curve: confidence.curve.clone(),
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
}

/// Packs planes by feature, in the order of their keys, as int8 with a scale a feature.
fn pack(samples: Samples, columns: &[Vec<f32>], sentence_features: usize) -> Planes {
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
    let sentence_start = dense_start + DIMENSIONS;
    let stretch = |start: usize, length: usize| {
        columns.iter().flat_map(move |column| &column[start..][..length]).copied().collect::<Vec<f32>>()
    };
    planes.dense = stretch(dense_start, DIMENSIONS);
    planes.sentence = stretch(sentence_start, sentence_features);
    planes.bias = stretch(sentence_start + sentence_features, 1);
    planes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fits rows of one field, given as text and label; the label `-` is out of scope.
    fn fit(labelled: &[(&str, &str)], threads: usize) -> Result<Trained, TrainError> {
        let mut set = TrainingSet::new(&["topic".to_owned()], threads, crate::encode::Redactor::default(), None)?;
        for (text, label) in labelled {
            set.add((*text).to_owned(), vec![Some((*label).to_owned())], *label == "-");
        }
        train(set, &TrainOptions { threads, find_suspects: true, ..TrainOptions::quiet("test", 7) })
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

        let found = Classifier::with_encoder(&trained.files, None).unwrap().classify("the printer has a paper jam");
        assert_eq!(&*found.fields[0].ranked[0].label, "printing");
    }

    #[test]
    fn a_training_that_is_stopped_makes_nothing() {
        let mut set = TrainingSet::new(&["topic".to_owned()], 1, crate::encode::Redactor::default(), None).unwrap();
        for (text, label) in [("vpn is down", "a"), ("vpn is slow", "a"), ("mail is slow", "b"), ("mail is down", "b")]
        {
            set.add(text.to_owned(), vec![Some(label.to_owned())], false);
        }
        let (stop, steps) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
        let progress = |_: &'static str, _, _| {
            steps.fetch_add(1, Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
        };
        let (name, seed) = ("test".to_owned(), 7);
        let options = TrainOptions { name, seed, threads: 1, find_suspects: false, progress: &progress, stop: &stop };
        assert!(matches!(train(set, &options), Err(TrainError::Stopped)));
        assert!(steps.into_inner() > 0);
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
