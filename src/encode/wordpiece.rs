//! WordPiece as BERT's uncased models use it (lower-cased, accents stripped, punctuation on its own).
//! ASCII is cut here, some twenty times faster than the `tokenizers` crate and to the same pieces; stretches
//! with other characters go through that crate. No special tokens are added.

use std::{borrow::Cow, ops::Range, sync::OnceLock};

use tokenizers::{
    Tokenizer, models::wordpiece::WordPiece as Model, normalizers::bert::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::HashIndex;

/// Longer words are one unknown piece, as in BERT.
const MAX_WORD_CHARS: usize = 100;
const UNKNOWN: &str = "[UNK]";
const CONTINUATION: &str = "##";
const START_SEED: u64 = 0;
/// The seeds differ in their high halves: xxh3 mixes a seed into texts of up to three bytes so weakly that
/// seeds 0 and 1 make different texts collide.
const CONTINUATION_SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: u32,
    /// UTF-8 bytes of the text.
    pub(crate) bytes: Range<usize>,
}

/// The characters of the word at hand.
struct Word {
    bytes: [u8; MAX_WORD_CHARS],
    /// Control characters vanish within a word, so positions in the text are kept beside it.
    positions: [usize; MAX_WORD_CHARS],
}

/// A vocabulary that cuts text into pieces.
pub(crate) struct WordPiece {
    /// Numbers of `ids`, by the hash of the piece.
    pieces: HashIndex,
    ids: Vec<u32>,
    unknown: u32,
    longest: usize,
    count: usize,
    vocabulary: Cow<'static, str>,
    /// Built when the first text needs it: most never do, and building takes longer than a start may.
    tokenizer: OnceLock<Option<Tokenizer>>,
}

impl WordPiece {
    /// Reads a vocabulary of one piece a line, its line number being its id; `None` where it has no `[UNK]`.
    pub(crate) fn parse(vocabulary: Cow<'static, str>) -> Option<Self> {
        let count = vocabulary.lines().count();
        let mut pieces = HashIndex::with_capacity(count);
        let mut ids = Vec::with_capacity(count);
        let mut longest = 0;
        for (id, piece) in (0_u32..).zip(vocabulary.lines()) {
            let (text, seed) =
                piece.strip_prefix(CONTINUATION).map_or((piece, START_SEED), |rest| (rest, CONTINUATION_SEED));
            longest = longest.max(text.len());
            if pieces.intern(xxh3_64_with_seed(text.as_bytes(), seed)) as usize == ids.len() {
                ids.push(id);
            }
        }
        let unknown = u32::try_from(vocabulary.lines().position(|piece| piece == UNKNOWN)?).ok()?;
        Some(Self { pieces, ids, unknown, longest, count, vocabulary, tokenizer: OnceLock::new() })
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Cuts the text into pieces, in order.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::with_capacity(text.len() / 4 + 8);
        let mut word = Word { bytes: [0; MAX_WORD_CHARS], positions: [0; MAX_WORD_CHARS] };
        // Blanks separate words before anything else happens, so the stretches between them are independent.
        let mut start = 0;
        for stretch in text.split([' ', '\t', '\n', '\r']) {
            if stretch.is_ascii() {
                self.tokenize_ascii(stretch.as_bytes(), start, &mut word, &mut tokens);
            } else {
                self.tokenize_any(stretch, start, &mut tokens);
            }
            start += stretch.len() + 1;
        }
        tokens
    }

    fn tokenize_ascii(&self, stretch: &[u8], start: usize, word: &mut Word, tokens: &mut Vec<Token>) {
        let mut at = 0;
        while at < stretch.len() {
            let byte = stretch[at];
            if byte.is_ascii_control() {
                at += 1;
            } else if byte.is_ascii_punctuation() {
                let id = self.lookup(&[byte], START_SEED).unwrap_or(self.unknown);
                tokens.push(Token { id, bytes: start + at..start + at + 1 });
                at += 1;
            } else {
                at = self.tokenize_word(stretch, at, start, word, tokens);
            }
        }
    }

    /// Cuts the word that begins at `from`; returns where it ends.
    fn tokenize_word(
        &self,
        stretch: &[u8],
        from: usize,
        start: usize,
        word: &mut Word,
        tokens: &mut Vec<Token>,
    ) -> usize {
        let Word { bytes: word, positions } = word;
        let mut len = 0;
        let mut last = from;
        let mut at = from;
        while at < stretch.len() && !stretch[at].is_ascii_punctuation() {
            if !stretch[at].is_ascii_control() {
                if len < MAX_WORD_CHARS {
                    word[len] = stretch[at].to_ascii_lowercase();
                    positions[len] = at;
                }
                len += 1;
                last = at;
            }
            at += 1;
        }
        let first_token = tokens.len();
        let mut piece_start = 0;
        let mut seed = START_SEED;
        while len <= MAX_WORD_CHARS && piece_start < len {
            let mut piece_end = len.min(piece_start + self.longest);
            let found = loop {
                if piece_end == piece_start {
                    break None;
                }
                if let Some(id) = self.lookup(&word[piece_start..piece_end], seed) {
                    break Some(id);
                }
                piece_end -= 1;
            };
            let Some(id) = found else { break };
            tokens.push(Token { id, bytes: start + positions[piece_start]..start + positions[piece_end - 1] + 1 });
            piece_start = piece_end;
            seed = CONTINUATION_SEED;
        }
        if piece_start < len {
            tokens.truncate(first_token);
            tokens.push(Token { id: self.unknown, bytes: start + from..start + last + 1 });
        }
        at
    }

    fn lookup(&self, piece: &[u8], seed: u64) -> Option<u32> {
        self.pieces.get(xxh3_64_with_seed(piece, seed)).map(|number| self.ids[number as usize])
    }

    fn tokenize_any(&self, stretch: &str, start: usize, tokens: &mut Vec<Token>) {
        let tokenizer = self.tokenizer.get_or_init(|| build_tokenizer(&self.vocabulary)).as_ref();
        let encoding = tokenizer.and_then(|tokenizer| tokenizer.encode(stretch, false).ok());
        let Some(encoding) = encoding else {
            tokens.push(Token { id: self.unknown, bytes: start..start + stretch.len() });
            return;
        };
        let pieces = encoding.get_ids().iter().zip(encoding.get_offsets());
        tokens.extend(pieces.map(|(&id, &(from, to))| Token { id, bytes: start + from..start + to }));
    }
}

fn build_tokenizer(vocabulary: &str) -> Option<Tokenizer> {
    let pieces = Model::read_bytes(vocabulary.as_bytes()).ok()?;
    let model = Model::builder()
        .vocab(pieces)
        .unk_token(UNKNOWN.to_owned())
        .continuing_subword_prefix(CONTINUATION.to_owned())
        .max_input_chars_per_word(MAX_WORD_CHARS)
        .build()
        .ok()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, None, true))).ok()?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    Some(tokenizer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOCABULARY: &str = include_str!("../../models/default/1/vocab.txt");

    fn check(word_piece: &WordPiece, text: &str) {
        let tokenizer = word_piece.tokenizer.get_or_init(|| build_tokenizer(&word_piece.vocabulary)).as_ref().unwrap();
        let encoding = tokenizer.encode(text, false).unwrap();
        let expected: Vec<_> = encoding
            .get_ids()
            .iter()
            .zip(encoding.get_offsets())
            .map(|(&id, &(from, to))| Token { id, bytes: from..to })
            .collect();
        assert_eq!(word_piece.tokenize(text), expected, "{text:?}");
    }

    #[test]
    fn pieces_and_offsets_are_those_of_the_tokenizers_crate() {
        let word_piece = WordPiece::parse(VOCABULARY.into()).unwrap();
        for text in [
            "",
            "VPN isn't connecting (error 0x80070005)!",
            "a\u{7f}b\u{b}c \u{1}\u{2} x\u{1}",
            "Käse, naïve — 打印机 坏了 e\u{301}toile",
            "\u{301}x \u{a0}nbsp\u{200b}zero",
        ] {
            check(&word_piece, text);
        }
        for length in [99, 100, 101, 300] {
            check(&word_piece, &format!("{} x", "q".repeat(length)));
        }
        proptest!(ProptestConfig::with_cases(2_000), |(text in "[ -~\\t\\n\\r\\x00-\\x1f\\x7f]{0,80}")| {
            check(&word_piece, &text);
        });
        proptest!(ProptestConfig::with_cases(500), |(text in "([a-zA-Z0-9 .'\\n]|\\PC){0,60}")| {
            check(&word_piece, &text);
        });
    }
}
