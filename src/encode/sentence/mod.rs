//! A sentence encoder of the BERT family with mean pooling, such as all-MiniLM-L6-v2: a text becomes one vector of
//! length one, and what each token adds to it is known exactly. Computed on the CPU, one text a thread, without
//! padding; the kernel is `kernel.rs`, the pass `forward.rs`.
//!
//! The same folder and text give the same bits on the same machine, whatever else is computed meanwhile.

mod attention;
mod config;
mod cpu;
mod dots;
mod error;
mod forward;
mod int8;
mod kernel;
mod lanes;
#[cfg(test)]
mod naive;
mod recent;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;
mod tokens;
mod weights;

use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use config::{Config, unsupported};
use cpu::Cpu;
pub use error::SentenceEncoderError;
use forward::{Model, Scratch};
use recent::Recent;
use tokens::{TokenizedText, Tokens};

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
/// Published beside the three files, and read only to refuse what pools otherwise.
const POOLING: &str = "1_Pooling/config.json";

/// A transformer that makes one vector of a text. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct SentenceEncoder(Arc<Loaded>);

struct Loaded {
    folder: PathBuf,
    sha256: String,
    tokens: Tokens,
    model: Model,
    /// As many as there were passes at once.
    scratch: Mutex<Vec<Scratch>>,
    recent: Recent,
}

/// How the weights of the layers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As published.
    Float32,
    /// In eight bits, of each output multiples of one step; what they are multiplied with too.
    Int8,
}

/// A text's tokens and vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    /// Mean over all tokens, special ones included, of length one; all zero for a text without tokens.
    pub vector: Vec<f32>,
    /// Of each token but the special ones: UTF-8 bytes of the text.
    pub tokens: Vec<Range<usize>>,
    /// What each of them adds to `vector`, in the same order, `dimensions` values each.
    pub parts: Vec<f32>,
    /// What the special tokens add; with `parts` it is `vector`.
    pub special: Vec<f32>,
    /// What is beyond the model's bound, 512 tokens at most, was cut off.
    pub truncated: bool,
}

impl SentenceEncoder {
    /// Reads `config.json`, `tokenizer.json` and `model.safetensors` of the folder whole, and checks them. Weights are
    /// kept in eight bits, which costs no accuracy that could be measured.
    pub fn load(folder: &Path) -> Result<Self, SentenceEncoderError> {
        Self::load_as(folder, Precision::Int8)
    }

    /// As `load`, with weights in this precision.
    pub fn load_as(folder: &Path, precision: Precision) -> Result<Self, SentenceEncoderError> {
        Self::load_for(Cpu::detect(), folder, precision)
    }

    fn load_for(cpu: Cpu, folder: &Path, precision: Precision) -> Result<Self, SentenceEncoderError> {
        let folder = std::path::absolute(folder)
            .map_err(|source| SentenceEncoderError::Read { path: folder.to_owned(), source })?;
        let [config_path, tokenizer_path, weights_path] = [CONFIG, TOKENIZER, WEIGHTS].map(|name| folder.join(name));
        let config_bytes = read(&config_path)?;
        let config = Config::parse(&config_path, &config_bytes)?;
        check_pooling(&folder.join(POOLING))?;
        let tokenizer_bytes = read(&tokenizer_path)?;
        let tokens = Tokens::parse(&tokenizer_path, &tokenizer_bytes, config.vocab_size, config.max_tokens())?;
        let weights_bytes = read(&weights_path)?;
        let model = Model::read(&weights_path, &weights_bytes, &config, cpu, precision)?;
        let sha256 = sha256(&[(CONFIG, &config_bytes), (TOKENIZER, &tokenizer_bytes), (WEIGHTS, &weights_bytes)]);
        let (scratch, recent) = (Mutex::default(), Recent::default());
        let encoder = Self(Arc::new(Loaded { folder, sha256, tokens, model, scratch, recent }));
        // Weights can be numbers each and still have none as their product.
        match encoder.encode("a", &|| false) {
            Some(sentence) if sentence.vector.iter().any(|value| *value != 0.0) => Ok(encoder),
            _ => Err(SentenceEncoderError::NoVector { path: weights_path }),
        }
    }

    /// As given to `load`, made absolute.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Over names and contents of the three files, in lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// Length of a vector.
    pub fn dimensions(&self) -> usize {
        self.0.model.heads.hidden()
    }

    /// `None` where `stop` said so between two layers.
    pub fn encode(&self, text: &str, stop: &dyn Fn() -> bool) -> Option<Sentence> {
        let text = self.0.tokens.tokenize(text);
        if text.ranges.is_empty() {
            let zero = vec![0.0; self.dimensions()];
            let (vector, special) = (zero.clone(), zero);
            return Some(Sentence { vector, tokens: Vec::new(), parts: Vec::new(), special, truncated: false });
        }
        let mut scratch = self.scratch().pop().unwrap_or_default();
        let run = self.0.model.run(&text.ids, &mut scratch, stop);
        let sentence = run.map(|()| pool(text, &scratch.rows, self.dimensions()));
        self.scratch().push(scratch);
        sentence
    }

    /// As [`Self::encode`]; what was read just before is not read again.
    pub fn read(&self, text: &str, stop: &dyn Fn() -> bool) -> Option<Arc<Sentence>> {
        self.0.recent.get_or_read(text, || self.encode(text, stop))
    }

    fn scratch(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.0.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SentenceEncoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SentenceEncoder").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

/// The mean of the rows has the direction of their sum, so the number of rows falls out.
fn pool(text: TokenizedText, rows: &[f32], dimensions: usize) -> Sentence {
    let own = text.first * dimensions..(text.first + text.ranges.len()) * dimensions;
    let add = |rows: &[f32], sum: &mut [f32]| {
        for row in rows.chunks_exact(dimensions) {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
    };
    let mut special = vec![0.0; dimensions];
    add(&rows[..own.start], &mut special);
    add(&rows[own.end..], &mut special);
    let mut vector = special.clone();
    add(&rows[own.clone()], &mut vector);
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    // Weights that are no model's could overflow, and a vector is never to hold what is not a number.
    let scale = norm.is_normal().then(|| 1.0 / norm);
    let scaled = |values: &[f32]| values.iter().map(|value| scale.map_or(0.0, |scale| value * scale)).collect();
    Sentence {
        vector: scaled(&vector),
        tokens: text.ranges,
        parts: scaled(&rows[own]),
        special: scaled(&special),
        truncated: text.truncated,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SentenceEncoderError> {
    fs::read(path).map_err(|source| SentenceEncoderError::Read { path: path.to_owned(), source })
}

/// A model that was trained to be pooled otherwise would give vectors, and bad ones.
fn check_pooling(path: &Path) -> Result<(), SentenceEncoderError> {
    #[derive(Deserialize)]
    struct Pooling {
        #[serde(default)]
        pooling_mode_mean_tokens: Option<bool>,
    }
    let Ok(bytes) = fs::read(path) else { return Ok(()) };
    match serde_json::from_slice(&bytes) {
        Ok(Pooling { pooling_mode_mean_tokens: Some(false) }) => {
            Err(unsupported(path, "pooling_mode_mean_tokens", &false, "true"))
        }
        Ok(Pooling { pooling_mode_mean_tokens: Some(true) | None }) => Ok(()),
        Err(source) => Err(SentenceEncoderError::Config { path: path.to_owned(), source }),
    }
}

fn sha256(files: &[(&str, &[u8])]) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        hash.update(name);
        hash.update([0]);
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(bytes);
    }
    format!("{:x}", hash.finalize())
}
