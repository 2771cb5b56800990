//! Which sentence encoder reads texts: the one that the command line names, or the one that a bundle or data directory
//! recorded. Each folder is read once in a process, and its weights are shared.

use std::{
    path::{Path, PathBuf, absolute},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    norm,
    sentence::{Sentence, SentenceEncoder, SentenceEncoderError},
};

/// The only kind of encoder there is.
const KIND: &str = "minilm:";
const NONE: &str = "none";

/// What bundles and data directories keep of the encoder that their vectors come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderRecord {
    /// Where it was when it was recorded; absolute.
    pub folder: PathBuf,
    /// As [`SentenceEncoder::sha256`]; vectors of another one cannot be compared with those that are there.
    pub sha256: String,
    /// Length of a vector.
    pub dimensions: usize,
}

/// What `--encoder` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncoderChoice {
    /// Do without one from now on.
    None,
    Folder(PathBuf),
}

impl FromStr for EncoderChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(KIND) {
            _ if text == NONE => Ok(Self::None),
            Some(folder) if !folder.is_empty() => Ok(Self::Folder(folder.into())),
            Some(_) | None => {
                Err(format!("expected `{KIND}DIR`, with the folder of a sentence transformer, or `{NONE}`"))
            }
        }
    }
}

/// Why there is no encoder.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    #[error(transparent)]
    Unusable(#[from] SentenceEncoderError),
    #[error(
        "{source}; it was recorded when it lay there: where it lies elsewhere now, name its folder with --encoder {KIND}DIR"
    )]
    Moved { source: SentenceEncoderError },
    #[error(
        "{}: this is not the encoder that the vectors come from (SHA-256 {} instead of {}); \
         name the folder of that one, {instead}",
        folder.display(), short(found), short(expected)
    )]
    Other { folder: PathBuf, found: String, expected: String, instead: &'static str },
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// Loads encoders. Clones share what is loaded.
#[derive(Debug, Clone, Default)]
pub struct Encoders {
    choice: Option<EncoderChoice>,
    loaded: Arc<Mutex<Vec<SentenceEncoder>>>,
}

impl Encoders {
    /// As the command line says.
    pub fn new(choice: Option<EncoderChoice>) -> Self {
        Self { choice, loaded: Arc::default() }
    }

    /// What the command line says; `None` where it says nothing.
    pub fn choice(&self) -> Option<&EncoderChoice> {
        self.choice.as_ref()
    }

    /// The encoder that the command line names.
    pub fn named(&self) -> Result<Option<SentenceEncoder>, EncoderError> {
        match &self.choice {
            Some(EncoderChoice::Folder(folder)) => Ok(Some(self.load(folder)?)),
            Some(EncoderChoice::None) | None => Ok(None),
        }
    }

    /// The encoder that was recorded, from the folder that the command line names or else from where it was; refused
    /// where what lies there is another one. `instead` says what else could be done then.
    pub fn recorded(&self, record: &EncoderRecord, instead: &'static str) -> Result<SentenceEncoder, EncoderError> {
        let encoder = match &self.choice {
            Some(EncoderChoice::Folder(folder)) => self.load(folder)?,
            Some(EncoderChoice::None) | None => {
                self.load(&record.folder).map_err(|source| EncoderError::Moved { source })?
            }
        };
        if encoder.sha256() == record.sha256 {
            return Ok(encoder);
        }
        let (folder, found) = (encoder.folder().to_owned(), encoder.sha256().to_owned());
        Err(EncoderError::Other { folder, found, expected: record.sha256.clone(), instead })
    }

    fn load(&self, folder: &Path) -> Result<SentenceEncoder, SentenceEncoderError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = absolute(folder).unwrap_or_else(|_| folder.to_owned());
        if let Some(known) = loaded.iter().find(|encoder| encoder.folder() == wanted) {
            return Ok(known.clone());
        }
        let encoder = SentenceEncoder::load(folder)?;
        // The same one under two names takes its memory once.
        let encoder = loaded.iter().find(|known| known.sha256() == encoder.sha256()).cloned().unwrap_or(encoder);
        loaded.push(encoder.clone());
        Ok(encoder)
    }
}

impl Sentence {
    /// Both together, of length one; the other is the beginning of this one's text.
    fn plus(&self, other: &Self) -> Self {
        let add = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f32>>();
        let sum = add(&self.vector, &other.vector);
        let scale = 1.0 / norm(&sum).max(f32::MIN_POSITIVE);
        let scaled = |values: Vec<f32>| values.into_iter().map(|value| value * scale).collect();
        Self {
            vector: scaled(sum),
            tokens: [self.tokens.as_slice(), &other.tokens].concat(),
            parts: scaled([self.parts.as_slice(), &other.parts].concat()),
            special: scaled(add(&self.special, &other.special)),
            truncated: self.truncated,
        }
    }
}

impl SentenceEncoder {
    /// What is kept of it beside vectors that it made.
    pub(crate) fn record(&self) -> EncoderRecord {
        EncoderRecord {
            folder: self.folder().to_owned(),
            sha256: self.sha256().to_owned(),
            dimensions: self.dimensions(),
        }
    }

    /// A text's vector, whoever waits for it.
    pub(crate) fn vector(&self, text: &str) -> Vec<f32> {
        let sentence = self.encode(text, &|| false);
        sentence.map_or_else(|| vec![0.0; self.dimensions()], |sentence| sentence.vector)
    }

    /// Reads a text and again its first `first` bytes, which count as much as the whole: a summary says in few words what
    /// the rest is about. Nothing is read again where `first` is 0.
    pub(crate) fn read_with_first(&self, text: &str, first: usize, stop: &dyn Fn() -> bool) -> Option<Arc<Sentence>> {
        let whole = self.read(text, stop)?;
        if first == 0 {
            return Some(whole);
        }
        Some(Arc::new(whole.plus(&*self.read(&text[..first], stop)?)))
    }
}
