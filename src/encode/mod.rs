//! What was sent to plain text, text to tokens, and tokens to a vector: WordPiece as all-MiniLM-L6-v2 uses it, and the
//! static vectors distilled from that model. It knows nothing of labels.

mod encoders;
mod hash_index;
pub(crate) mod html;
mod mail;
mod plain_text;
pub mod redact;
mod sentence;
mod sentence_vector;
mod source_text;
mod static_vectors;
mod symmetric;
mod text_vector;
mod wordpiece;

pub use encoders::{EncoderChoice, EncoderError, EncoderRecord, Encoders};
pub(crate) use hash_index::HashIndex;
pub(crate) use plain_text::{PlainText, Sources};
pub use redact::Redactor;
#[cfg(test)]
pub(crate) use sentence::tiny;
pub use sentence::{Precision, Sentence, SentenceEncoder, SentenceEncoderError};
pub(crate) use sentence_vector::{SentenceSum, SentenceVector, SentenceVectors};
pub(crate) use static_vectors::{DIMENSIONS, StaticVectors, VectorsError, dot, norm};
pub(crate) use symmetric::inverse_of_positive;
pub(crate) use text_vector::{MeasuredVector, TextVector, VECTORS, VOCABULARY, VectorSum};
pub(crate) use wordpiece::{Token, WordPiece};
