//! Why a folder is no sentence encoder: which file, what about it, and what would do.

use std::{io, path::PathBuf};

const WANTED: &str = "a sentence encoder is a folder with config.json, tokenizer.json and model.safetensors, as published for all-MiniLM-L6-v2";

#[derive(Debug, thiserror::Error)]
pub enum SentenceEncoderError {
    #[error("{} cannot be read; {WANTED}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not the configuration of a BERT model; take the file that was published with the weights", path.display())]
    Config { path: PathBuf, source: serde_json::Error },
    #[error(
        "{} says {key} is {found}, but {supported} is supported; take a model of the BERT family with mean pooling",
        path.display()
    )]
    Unsupported { path: PathBuf, key: &'static str, found: String, supported: &'static str },
    #[error("{} is not a safetensors file, or not all of one; fetch it again", path.display())]
    Weights { path: PathBuf, source: safetensors::SafeTensorError },
    #[error("{} has no tensor {tensor}, which config.json asks for; take both files of the same model", path.display())]
    MissingTensor { path: PathBuf, tensor: String },
    #[error(
        "{}: tensor {tensor} is {found}, but config.json makes it {expected}; take both files of the same model, with \
        32-bit weights",
        path.display()
    )]
    Tensor { path: PathBuf, tensor: String, found: String, expected: String },
    #[error("{}: tensor {tensor} holds a value that is not a number, or infinite; fetch the file again", path.display())]
    NotFinite { path: PathBuf, tensor: String },
    #[error("{} is not a tokenizer that can be read; take the file that was published with the weights", path.display())]
    NotTokenizer { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{} {problem}; take the file that was published with the weights", path.display())]
    Tokenizer { path: PathBuf, problem: String },
    #[error("{} makes a vector of the letter a that has no length or no end; fetch the file again", path.display())]
    NoVector { path: PathBuf },
}
