//! `tokenizer.json`: text to token ids and where in the text they stand, up to the model's bound. What the file says of
//! truncation and padding is not followed: it is that of a training, mostly 128 tokens.

use std::{ops::Range, path::Path};

use serde_json::Value;
use tokenizers::{ModelWrapper, Tokenizer};

use super::SentenceEncoderError;

/// Vocabularies of models are padded to multiples of 128 at most.
const MAX_PADDING: usize = 128;
/// A token of a word seldom has more bytes than this, so a second look at a text is as seldom.
const BYTES_A_TOKEN: usize = 8;

pub(super) struct Tokens {
    tokenizer: Tokenizer,
    /// What stands before and after a text.
    before: Vec<u32>,
    after: Vec<u32>,
    /// Of the text alone.
    limit: usize,
    /// Tokens that a word has at most.
    longest_word: usize,
}

/// A text up to the bound.
pub(super) struct TokenizedText {
    /// With the special tokens.
    pub(super) ids: Vec<u32>,
    /// Where among them the text's own begin.
    pub(super) first: usize,
    /// Of the text's own tokens, UTF-8 bytes of the text.
    pub(super) ranges: Vec<Range<usize>>,
    pub(super) truncated: bool,
}

impl Tokens {
    /// `vocabulary` is the number of ids that the model knows, `max_tokens` includes the special tokens.
    pub(super) fn parse(
        path: &Path,
        bytes: &[u8],
        vocabulary: usize,
        max_tokens: usize,
    ) -> Result<Self, SentenceEncoderError> {
        let not_tokenizer = |source| SentenceEncoderError::NotTokenizer { path: path.to_owned(), source };
        let wrong = |problem: String| SentenceEncoderError::Tokenizer { path: path.to_owned(), problem };
        // The crate panics where a part of the file is no JSON, and where a map of SentencePiece is none.
        let content: Value = serde_json::from_slice(bytes).map_err(|source| not_tokenizer(source.into()))?;
        if has_precompiled_map(&content["normalizer"]) {
            return Err(wrong("prepares texts by a map of SentencePiece, which WordPiece does not".to_owned()));
        }
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(not_tokenizer)?;
        tokenizer.with_truncation(None).map_err(not_tokenizer)?;
        tokenizer.with_padding(None);
        let ModelWrapper::WordPiece(pieces) = tokenizer.get_model() else {
            return Err(wrong("holds another kind of tokenizer than WordPiece".to_owned()));
        };
        let longest_word = pieces.max_input_chars_per_word;
        if tokenizer.token_to_id(&pieces.unk_token).is_none() {
            return Err(wrong(format!("lacks the token {} for unknown words", pieces.unk_token)));
        }
        let ids = tokenizer.get_vocab(true).into_values().max().map_or(0, |largest| largest as usize + 1);
        if ids > vocabulary || ids + MAX_PADDING <= vocabulary {
            return Err(wrong(format!("has {ids} tokens, but config.json says vocab_size is {vocabulary}")));
        }
        let sample = tokenizer.encode("a", true).map_err(not_tokenizer)?;
        let own = |mask: &&u32| **mask == 0;
        let mask = sample.get_special_tokens_mask();
        let before = mask.iter().take_while(|mask| !own(mask)).count();
        let after = mask.iter().rev().take_while(|mask| !own(mask)).count();
        if before == mask.len() || before + after == 0 {
            return Err(wrong("puts no special tokens around a text".to_owned()));
        }
        let (before, after) = (&sample.get_ids()[..before], &sample.get_ids()[mask.len() - after..]);
        if let Some(id) = before.iter().chain(after).find(|id| **id as usize >= vocabulary) {
            return Err(wrong(format!(
                "puts the id {id} around a text, but config.json says vocab_size is {vocabulary}"
            )));
        }
        let Some(limit) = max_tokens.checked_sub(before.len() + after.len()).filter(|limit| *limit > 0) else {
            return Err(wrong(format!("leaves no room for a text in the {max_tokens} tokens of the model")));
        };
        let (before, after) = (before.to_vec(), after.to_vec());
        Ok(Self { tokenizer, before, after, limit, longest_word })
    }

    pub(super) fn tokenize(&self, text: &str) -> TokenizedText {
        let mut bytes = (self.limit + self.longest_word) * BYTES_A_TOKEN;
        let (ids, mut ranges) = loop {
            // A long text is not read to its end only to be cut.
            let beginning = &text[..text.floor_char_boundary(bytes)];
            let (ids, ranges) = self.tokenize_all(beginning);
            // The last word may be cut off, and what is before it is not changed by that.
            if beginning.len() == text.len() || ids.len() >= self.limit + self.longest_word {
                break (ids, ranges);
            }
            bytes *= 2;
        };
        let truncated = ids.len() > self.limit;
        let own = &ids[..ids.len().min(self.limit)];
        ranges.truncate(self.limit);
        TokenizedText { ids: [&self.before, own, &self.after].concat(), first: self.before.len(), ranges, truncated }
    }

    fn tokenize_all(&self, text: &str) -> (Vec<u32>, Vec<Range<usize>>) {
        // WordPiece fails only for want of a token for unknown words, and that is there.
        let Ok(encoding) = self.tokenizer.encode(text, false) else { return Default::default() };
        (encoding.get_ids().to_vec(), encoding.get_offsets().iter().map(|&(from, to)| from..to).collect())
    }
}

fn has_precompiled_map(normalizer: &Value) -> bool {
    let mut steps = normalizer["normalizers"].as_array().into_iter().flatten();
    normalizer["type"] == "Precompiled" || steps.any(has_precompiled_map)
}
