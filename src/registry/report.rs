//! How a model does, as it is kept with the model and shown: of one that was trained here everything that training
//! measured, of another what its bundle says.

use serde::{Deserialize, Serialize};

use crate::{
    classify::{
        BundleSummary, Classifier, FieldSummary,
        evaluate::PRECISIONS,
        train::{self, Trained},
    },
    store::ModelRecord,
};

/// How a model does on rows held back from its fit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelReport {
    pub rows: u64,
    pub out_of_scope_rows: u64,
    pub seed: u64,
    /// ISO 639-3 codes; empty where they are not known.
    pub languages: Vec<String>,
    pub fields: Vec<FieldReport>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldReport {
    pub name: String,
    /// Sorted.
    pub labels: Vec<String>,
    pub accuracy: f64,
    /// What only training measures; `None` of a bundle that came from elsewhere.
    pub macro_f1: Option<f64>,
    pub calibration_error: Option<f64>,
    /// Certified precisions, the lowest first.
    pub coverage: Vec<Coverage>,
}

/// What a certified precision covers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Coverage {
    pub precision: String,
    /// The least confidence that most labels need.
    pub confidence: f64,
    /// The share of the rows whose guess keeps the promise, and of those the share that is right; as `macro_f1`.
    pub share: Option<f64>,
    pub reached: Option<f64>,
}

impl ModelReport {
    /// What a bundle says of itself.
    pub(super) fn of_bundle(classifier: &Classifier) -> Self {
        let BundleSummary { name: _, languages, rows, out_of_scope_rows, seed, fields } = classifier.summary();
        let field = |FieldSummary { name, labels, accuracy, thresholds }: FieldSummary| FieldReport {
            name,
            labels,
            accuracy: accuracy.into(),
            macro_f1: None,
            calibration_error: None,
            coverage: thresholds
                .into_iter()
                .map(|(precision, threshold)| Coverage {
                    precision,
                    confidence: threshold.confidence().into(),
                    share: None,
                    reached: None,
                })
                .collect(),
        };
        Self {
            rows: rows as u64,
            out_of_scope_rows: out_of_scope_rows as u64,
            seed,
            languages,
            fields: fields.into_iter().map(field).collect(),
        }
    }

    /// What training measured.
    pub(super) fn of_training(trained: &Trained, classifier: &Classifier) -> Self {
        let mut report = Self::of_bundle(classifier);
        for (report, measured) in report.fields.iter_mut().zip(&trained.fields) {
            let train::FieldReport { name: _, labels, quality, guesses, thresholds, suspects: _ } = measured;
            report.accuracy = quality.accuracy;
            report.macro_f1 = Some(quality.macro_f1);
            report.calibration_error = Some(quality.calibration_error);
            let coverage = PRECISIONS.iter().filter_map(|precision| {
                let threshold = thresholds.get(*precision)?;
                let (reached, share) = guesses.coverage(|guess| {
                    labels.get(guess.label).is_some_and(|label| threshold.is_met(label, guess.confidence))
                });
                let precision = (*precision).to_owned();
                Some(Coverage { precision, confidence: threshold.confidence().into(), share: Some(share), reached })
            });
            report.coverage = coverage.collect();
        }
        report
    }

    /// As the store keeps it.
    pub(super) fn to_json(&self) -> String {
        // Strings, numbers and lists: nothing that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// One that a later program wrote says what this one understands of it.
    pub(super) fn of_record(record: &ModelRecord) -> Self {
        serde_json::from_str(&record.report).unwrap_or_default()
    }
}
