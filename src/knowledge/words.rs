//! Text to search terms, the same for articles, tickets and passages.
//! A term is a word in lower case without its plural ending; error codes, versions, host and file names are terms
//! as a whole and in their parts. Function words are none. It knows English and leaves other languages as they are.

use std::{collections::HashSet, ops::Range, sync::LazyLock};

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Longer terms are cut: a pasted key or hash must not fill the dictionary.
const MAX_TERM_BYTES: usize = 64;
/// A letters-then-digits code such as `KB5034441` is also found by its digits when it has this many.
const MIN_CODE_DIGITS: usize = 3;

/// Words that carry no subject; neither indexed nor searched.
const FUNCTION_WORDS: &str = "a about again all also am an and any are as at be been being both but by can could did do \
    does doing don't dont down each few for from had has have having he hello her here hi him his how i if in into is it \
    its just like me more most my no not now of on once only or other our out over own please regards same she should \
    since so some still such than thank thanks that the their them then there these they this those to too up us very \
    was we were what when where which who why will with would you your dear i'm im even however because before after \
    while during via";

/// Words that nearly every ticket holds, whatever it is about. An article may be found by them, a ticket is not
/// described by them.
const DESK_WORDS: &str = "get got getting use using used want need know try tried trying see new one two way help error \
    problem issue issues problems work working works";

static FUNCTION_WORD_SET: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| FUNCTION_WORDS.split_ascii_whitespace().collect());
static DESK_TERM_SET: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| DESK_WORDS.split_ascii_whitespace().map(without_plural).collect());

/// Whether nearly every ticket holds this term.
pub(super) fn is_desk_term(term: &str) -> bool {
    DESK_TERM_SET.contains(term)
}

/// The terms of a text, in order.
pub(super) struct Terms<'a> {
    text: &'a str,
    cursor: usize,
    /// Parts still to be given of the compound just read, as ranges of `text`; last one first.
    parts: Vec<Range<usize>>,
    token: Token,
}

impl<'a> Terms<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, cursor: 0, parts: Vec::new(), token: Token::default() }
    }

    /// The next term and the bytes of the text it stands for; a compound comes first, then its parts.
    pub(super) fn next_term(&mut self) -> Option<(&str, Range<usize>)> {
        if !self.advance() {
            return None;
        }
        Some((&self.token.text, self.token.offset_from..self.token.offset_to))
    }

    /// Reads the term at `range` into the token; `false` where it is a function word or nothing is left of it.
    fn set(&mut self, range: Range<usize>) -> bool {
        let token = &mut self.token;
        token.text.clear();
        let raw = &self.text[range.clone()];
        if raw.is_ascii() {
            token.text.extend(
                raw.bytes().filter(|byte| !is_dropped_byte(*byte)).map(|byte| char::from(byte.to_ascii_lowercase())),
            );
        } else {
            token.text.extend(raw.chars().filter(|&c| !is_dropped(c)).flat_map(char::to_lowercase));
        }
        if token.text.len() > MAX_TERM_BYTES {
            token.text.truncate(token.text.floor_char_boundary(MAX_TERM_BYTES));
        }
        if let Some(stem) = token.text.strip_suffix("'s").or_else(|| token.text.strip_suffix("’s")) {
            let length = stem.len();
            token.text.truncate(length);
        }
        if token.text.is_empty() || FUNCTION_WORD_SET.contains(token.text.as_str()) {
            return false;
        }
        let stem = without_plural(&token.text);
        let (length, ends_in_y) = (stem.len(), token.text.ends_with("ies") && token.text.len() - stem.len() == 3);
        token.text.truncate(length);
        if ends_in_y {
            token.text.push('y');
        }
        token.offset_from = range.start;
        token.offset_to = range.end;
        token.position = token.position.wrapping_add(1);
        true
    }

    /// The next run of letters and digits, with connectors between them.
    fn next_run(&mut self) -> Option<Range<usize>> {
        let rest = &self.text[self.cursor..];
        let start = self.cursor + rest.find(char::is_alphanumeric)?;
        let mut end = start;
        let mut connector = None;
        for (offset, character) in self.text[start..].char_indices() {
            let position = start + offset;
            if character.is_alphanumeric() {
                end = position + character.len_utf8();
                connector = None;
            } else if connector.is_none() && is_connector(character) {
                connector = Some(character);
            } else {
                break;
            }
        }
        self.cursor = end;
        Some(start..end)
    }

    /// Queues what else the run is found by, last one first.
    fn queue_parts(&mut self, run: &Range<usize>) {
        let text = &self.text[run.clone()];
        let mut parts = text.split(|c: char| !c.is_alphanumeric() && !is_apostrophe(c)).peekable();
        let whole = parts.next().unwrap_or_default();
        if parts.peek().is_none() {
            if let Some(code) = code_digits(whole) {
                self.parts.push(run.start + code..run.end);
            }
            return;
        }
        let base = self.text.as_ptr() as usize;
        let mut ranges: Vec<Range<usize>> = std::iter::once(whole)
            .chain(parts)
            .filter(|part| part.chars().nth(1).is_some())
            .map(|part| {
                let start = part.as_ptr() as usize - base;
                start..start + part.len()
            })
            .collect();
        ranges.reverse();
        self.parts = ranges;
    }
}

impl TokenStream for Terms<'_> {
    fn advance(&mut self) -> bool {
        loop {
            let range = match self.parts.pop() {
                Some(part) => part,
                None => match self.next_run() {
                    Some(run) => {
                        self.queue_parts(&run);
                        run
                    }
                    None => return false,
                },
            };
            if self.set(range) {
                return true;
            }
        }
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// Gives tantivy the terms of a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct TermTokenizer;

impl Tokenizer for TermTokenizer {
    type TokenStream<'a> = Terms<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Terms<'a> {
        Terms::new(text)
    }
}

/// Holds a code together: `ORA-01017`, `10.0.22631`, `ERROR_ACCESS_DENIED`, `jo@example.com`, `don't`.
fn is_connector(character: char) -> bool {
    matches!(character, '-' | '‑' | '.' | '_' | '@') || is_apostrophe(character)
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’')
}

/// Hyphens come and go (`e-mail`, `ORA-01017`), so the whole is written without.
fn is_dropped(character: char) -> bool {
    matches!(character, '-' | '‑')
}

fn is_dropped_byte(byte: u8) -> bool {
    byte == b'-'
}

/// Where the digits start by which a code is also found: behind the letters of `KB5034441`, behind `0x`.
fn code_digits(word: &str) -> Option<usize> {
    let bytes = word.as_bytes();
    if let [b'0', b'x' | b'X', digits @ ..] = bytes {
        return (digits.len() >= MIN_CODE_DIGITS && digits.iter().all(u8::is_ascii_hexdigit)).then_some(2);
    }
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let digits = &bytes[letters..];
    (letters > 0 && digits.len() >= MIN_CODE_DIGITS && digits.iter().all(u8::is_ascii_digit)).then_some(letters)
}

/// The "S" stemmer (Harman, "How effective is suffixing?", 1991): plural endings only. On labelled queries it ranked
/// better than Porter's and, for tickets in people's own words, better than none. `ies` is cut whole: add the `y`.
fn without_plural(word: &str) -> &str {
    let is_plain = word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let Some(stem) = word.strip_suffix('s').filter(|_| is_plain) else { return word };
    if let Some(stem) = word.strip_suffix("ies")
        && !stem.ends_with(['a', 'e'])
    {
        return stem;
    }
    let keeps_ending = stem.ends_with(['u', 's']) || ["ae", "ee", "oe"].iter().any(|ending| stem.ends_with(ending));
    if keeps_ending { word } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let mut terms = Terms::new(text);
        let mut found = Vec::new();
        while let Some((term, range)) = terms.next_term() {
            assert!(text.get(range).is_some_and(|text| !text.is_empty()), "{text}");
            found.push(term.to_owned());
        }
        found
    }

    #[test]
    fn codes_and_names_are_terms_whole_and_in_parts() {
        for (text, expected) in [
            ("0x80070005", "0x80070005 80070005"),
            ("KB5034441!", "kb5034441 5034441"),
            ("ORA-01017:", "ora01017 ora 01017"),
            ("ora 01017", "ora 01017"),
            ("10.0.22631.", "10.0.22631 10 22631"),
            ("e-mail", "email mail"),
            ("the e-mails", "email mail"),
            ("fs01.corp.example", "fs01.corp.example fs01 corp example"),
            ("outlook.exe", "outlook.exe outlook exe"),
            ("ERROR_ACCESS_DENIED", "error_access_denied error access denied"),
            ("jo@example.com", "jo@example.com jo example com"),
            ("C:\\Windows\\system32", "c window system32"),
            ("Windows 11", "window 11"),
            ("end.Start", "end.start end start"),
            ("a -- b", "b"),
            ("", ""),
            ("...", ""),
        ] {
            assert_eq!(terms(text).join(" "), expected, "{text}");
        }
    }

    #[test]
    fn one_and_many_are_the_same_term() {
        for (text, expected) in [
            ("printers", "printer"),
            ("policies", "policy"),
            ("boxes", "boxe"),
            ("access", "access"),
            ("status", "status"),
            ("bus", "bus"),
            ("DNS", "dns"),
            ("user's", "user"),
            ("users’", "user"),
            ("Käses", "käses"),
            ("ÄRGER", "ärger"),
        ] {
            assert_eq!(terms(text), [expected], "{text}");
        }
        assert!(is_desk_term(&terms("problems")[0]) && !is_desk_term("printer"));
    }

    #[test]
    fn function_words_are_no_terms() {
        assert_eq!(terms("I can't see the printer, don't you"), ["can't", "see", "printer"]);
    }

    #[test]
    fn a_long_run_is_cut_on_a_character() {
        let term = terms(&"ä".repeat(100)).remove(0);
        assert_eq!(term, "ä".repeat(32));
    }
}
