//! What a bundle says of itself, for people who choose between bundles.

use std::collections::BTreeMap;

use super::{Classifier, Threshold, manifest::TrainingSummary};

/// A bundle without its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct BundleSummary {
    /// First part of its version.
    pub name: String,
    /// ISO 639-3 codes; empty where they are not known.
    pub languages: Vec<String>,
    /// Rows in scope that the fit saw.
    pub rows: usize,
    pub out_of_scope_rows: usize,
    pub seed: u64,
    pub fields: Vec<FieldSummary>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FieldSummary {
    pub name: String,
    /// Sorted.
    pub labels: Vec<String>,
    /// On rows held back from the fit.
    pub accuracy: f32,
    /// By certified precision.
    pub thresholds: BTreeMap<String, Threshold>,
}

impl Classifier {
    pub fn summary(&self) -> BundleSummary {
        let manifest = self.manifest();
        let TrainingSummary { rows, out_of_scope_rows, seed } = manifest.training;
        let fields = manifest.fields.iter().map(|field| FieldSummary {
            name: field.name.clone(),
            labels: field.labels.clone(),
            accuracy: field.accuracy,
            thresholds: field.thresholds.clone(),
        });
        BundleSummary {
            name: manifest.name.clone(),
            languages: manifest.languages.clone(),
            rows,
            out_of_scope_rows,
            seed,
            fields: fields.collect(),
        }
    }

    /// The best guess for each field, as [`Self::classify`] ranks them.
    pub fn best_guesses(&self, text: &str) -> BTreeMap<String, String> {
        let guesses = self.classify(text).fields.into_iter().filter_map(|field| {
            let best = field.ranked.first()?;
            Some((field.name.to_string(), best.label.to_string()))
        });
        guesses.collect()
    }
}
