//! `config.json`: the sizes of the model, and whether it is one that `forward.rs` computes.

use std::path::Path;

use serde::Deserialize;

use super::{SentenceEncoderError, attention::Heads, int8::MAX_INPUTS, lanes::LANES};

/// What is longer is cut off, whatever the model could read: the time of attention grows with the square.
pub(super) const MAX_TOKENS: usize = 512;
/// Keeps products of two sizes from overflow.
const MAX_SIZE: usize = 1 << 20;

#[derive(Debug, Deserialize)]
pub(super) struct Config {
    model_type: String,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(default)]
    is_decoder: bool,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    num_attention_heads: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) type_vocab_size: usize,
    pub(super) vocab_size: usize,
    #[serde(default = "epsilon")]
    pub(super) layer_norm_eps: f32,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

fn epsilon() -> f32 {
    1e-12
}

impl Config {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, SentenceEncoderError> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|source| SentenceEncoderError::Config { path: path.to_owned(), source })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), SentenceEncoderError> {
        let require = |holds: bool, key, found: &dyn ToString, supported| {
            if holds { Ok(()) } else { Err(unsupported(path, key, found, supported)) }
        };
        let size = |size: usize| (1..=MAX_SIZE).contains(&size);
        require(self.model_type == "bert", "model_type", &self.model_type, "bert")?;
        require(self.hidden_act == "gelu", "hidden_act", &self.hidden_act, "gelu")?;
        let positions = &self.position_embedding_type;
        require(positions == "absolute", "position_embedding_type", positions, "absolute")?;
        require(!self.is_decoder, "is_decoder", &self.is_decoder, "false")?;
        let heads = self.num_attention_heads;
        require(
            (1..=MAX_INPUTS).contains(&self.hidden_size)
                && size(heads)
                && self.hidden_size.is_multiple_of(heads * LANES),
            "hidden_size",
            &format!("{} with num_attention_heads {heads}", self.hidden_size),
            "a multiple of 16 for each head, up to 65536",
        )?;
        require(
            (1..=MAX_INPUTS).contains(&self.intermediate_size) && self.intermediate_size.is_multiple_of(LANES),
            "intermediate_size",
            &self.intermediate_size,
            "a multiple of 16, up to 65536",
        )?;
        let count = "a number from 1 to 1048576";
        require(size(self.num_hidden_layers), "num_hidden_layers", &self.num_hidden_layers, count)?;
        require(size(self.type_vocab_size), "type_vocab_size", &self.type_vocab_size, count)?;
        require(size(self.vocab_size), "vocab_size", &self.vocab_size, count)?;
        let positions = self.max_position_embeddings;
        require(size(positions), "max_position_embeddings", &positions, count)?;
        let epsilon = self.layer_norm_eps;
        require((0.0..1.0).contains(&epsilon), "layer_norm_eps", &epsilon, "a small number")
    }

    pub(super) fn heads(&self) -> Heads {
        Heads { count: self.num_attention_heads, width: self.hidden_size / self.num_attention_heads }
    }

    /// Of a text with what is put before and after it.
    pub(super) fn max_tokens(&self) -> usize {
        self.max_position_embeddings.min(MAX_TOKENS)
    }
}

pub(super) fn unsupported(
    path: &Path,
    key: &'static str,
    found: &dyn ToString,
    supported: &'static str,
) -> SentenceEncoderError {
    SentenceEncoderError::Unsupported { path: path.to_owned(), key, found: found.to_string(), supported }
}
