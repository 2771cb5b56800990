//! `manifest.toml` of a bundle: what the model knows of itself. Read strictly: unknown keys and versions of the
//! future are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    calibrate::Threshold, features::FEATURE_VERSION, samples::BlockWeights, scope::ScopeModel, together::Together,
};
use crate::encode::EncoderRecord;

/// Changes whenever older programs could not read the folder.
pub(crate) const FORMAT_VERSION: u32 = 3;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format_version: u32,
    pub(crate) feature_version: u32,
    pub(crate) name: String,
    /// ISO 639-3 codes of the languages that the rows were written in; empty: not known, never abstain.
    pub(crate) languages: Vec<String>,
    pub(crate) training: TrainingSummary,
    pub(crate) blocks: Blocks,
    /// The sentence encoder that reads texts beside the n-grams; missing where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoder: Option<EncoderRecord>,
    pub(crate) scope: ScopeModel,
    /// Fields that are weighed together; missing where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) together: Option<Together>,
    /// SHA-256 of the other files, by name.
    pub(crate) files: BTreeMap<String, String>,
    /// In the order of their columns in the weights.
    pub(crate) fields: Vec<FieldManifest>,
}

/// What the model was made from. No text of any row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingSummary {
    pub(crate) rows: usize,
    pub(crate) out_of_scope_rows: usize,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blocks {
    pub(crate) words: f32,
    pub(crate) characters: f32,
}

/// One field: its labels and how its scores become decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldManifest {
    pub(crate) name: String,
    pub(crate) labels: Vec<String>,
    /// What a mistake cost in the fit.
    pub(crate) cost: f32,
    /// How far rare labels were made up for, 0 (not at all) to 1 (every label counts the same).
    pub(crate) balance: f32,
    /// How far features counted for what tells a label from the others, 0 (not at all) to 1.
    pub(crate) contrast: f32,
    /// How much the static vectors weighed beside the n-grams.
    pub(crate) vectors: f32,
    /// How much the sentence encoder's vectors weighed; missing without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sentence: Option<f32>,
    /// One over the temperature of the softmax.
    pub(crate) sharpness: f32,
    /// Points of the line from the best label's probability to its confidence.
    pub(crate) curve: Vec<[f32; 2]>,
    /// Below it the best guess is not to be used.
    pub(crate) min_confidence: f32,
    /// A smaller gap between the first two is ambiguous.
    pub(crate) min_gap: f32,
    /// Accuracy on rows held back.
    pub(crate) accuracy: f32,
    /// By precision; a precision that nothing certifies is missing.
    pub(crate) thresholds: BTreeMap<String, Threshold>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("manifest.toml cannot be read: {0}")]
    Unreadable(String),
    #[error("{what} {found} is not the {known} that this program reads; train the bundle again or update the program")]
    Version { what: &'static str, found: u32, known: u32 },
    #[error("manifest.toml: {0}")]
    Invalid(String),
}

impl Manifest {
    /// Reads and checks the file's bytes.
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Versions {
            format_version: u32,
            feature_version: u32,
        }
        let text = std::str::from_utf8(raw).map_err(|error| ManifestError::Unreadable(error.to_string()))?;
        let unreadable = |error: toml::de::Error| ManifestError::Unreadable(error.message().to_owned());
        // The versions first: a manifest of the future may hold keys that are unknown here.
        let versions: Versions = toml::from_str(text).map_err(unreadable)?;
        for (what, found, known) in [
            ("format version", versions.format_version, FORMAT_VERSION),
            ("feature version", versions.feature_version, FEATURE_VERSION),
        ] {
            if found != known {
                return Err(ManifestError::Version { what, found, known });
            }
        }
        let manifest: Self = toml::from_str(text).map_err(unreadable)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let invalid = |what: String| Err(ManifestError::Invalid(what));
        if self.fields.is_empty() {
            return invalid("no fields".to_owned());
        }
        let blocks = [self.blocks.words, self.blocks.characters];
        if !self.scope.is_finite() || !blocks.iter().all(|weight| weight.is_finite()) {
            return invalid("a weight is not a finite number".to_owned());
        }
        let labels: Vec<usize> = self.fields.iter().map(|field| field.labels.len()).collect();
        if self.together.as_ref().is_some_and(|together| !together.fits(&labels)) {
            return invalid("`together` does not fit the fields".to_owned());
        }
        for field in &self.fields {
            if field.labels.len() < 2 {
                return invalid(format!("field `{}` has fewer than two labels", field.name));
            }
            let numbers = [field.sharpness, field.min_confidence, field.min_gap];
            if !numbers.iter().chain(field.curve.as_flattened()).all(|number| number.is_finite())
                || !field.thresholds.values().all(Threshold::is_finite)
            {
                return invalid(format!("field `{}`: a number is not finite", field.name));
            }
        }
        Ok(())
    }

    /// The file's bytes.
    pub(crate) fn write(&self) -> Result<Vec<u8>, ManifestError> {
        toml::to_string(self).map(String::into_bytes).map_err(|error| ManifestError::Invalid(error.to_string()))
    }

    /// Columns of the weights: every field's labels and one for out-of-scope rows.
    pub(crate) fn columns(&self) -> usize {
        self.fields.iter().map(|field| field.labels.len()).sum::<usize>() + 1
    }

    pub(crate) fn block_weights(&self) -> BlockWeights {
        let Blocks { words, characters } = self.blocks;
        BlockWeights { words, characters }
    }
}
