//! Text to search terms, the same for articles, tickets and passages.
//! A term is a word in lower case without its plural ending; error codes, versions, host and file names are terms
//! as a whole and in their parts. Function words are none. It knows English and leaves other languages as they are.

use std::{ops::Range, sync::LazyLock};

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use super::word_map::WordMap;

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

static FUNCTION_WORD_SET: LazyLock<WordMap<()>> = LazyLock::new(|| function_words().map(|word| (word, ())).collect());
static DESK_TERM_SET: LazyLock<WordMap<()>> = LazyLock::new(|| {
    let mut terms: Vec<String> = DESK_WORDS.split_ascii_whitespace().map(str::to_owned).collect();
    terms.iter_mut().for_each(cut_plural);
    terms.iter().map(|term| (term.as_str(), ())).collect()
});

/// Whether nearly every ticket holds this term.
pub(crate) fn is_desk_term(term: &str) -> bool {
    DESK_TERM_SET.contains(term)
}

/// The words of English that carry no subject.
pub(super) fn function_words() -> impl Iterator<Item = &'static str> {
    FUNCTION_WORDS.split_ascii_whitespace()
}

/// Whether a word of English in lower case carries no subject.
pub(super) fn is_function_word(word: &str) -> bool {
    FUNCTION_WORD_SET.contains(word)
}

/// The terms of a text, in order.
pub(crate) struct Terms<'a> {
    text: &'a str,
    cursor: usize,
    /// Parts still to be given of the compound just read, as ranges of `text`; last one first.
    parts: Vec<Range<usize>>,
    /// Only words that can be one of these are looked at.
    beginnings: Option<&'a Beginnings>,
    token: Token,
}

/// A run of letters and digits with single connectors between them.
struct Run {
    range: Range<usize>,
    has_connector: bool,
    has_digit: bool,
}

impl<'a> Terms<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, cursor: 0, parts: Vec::new(), beginnings: None, token: Token::default() }
    }

    /// The terms that begin like one of the wanted; others are passed over quickly, though not all of them.
    pub(super) fn beginning_with(text: &'a str, beginnings: &'a Beginnings) -> Self {
        Self { beginnings: Some(beginnings), ..Self::new(text) }
    }

    /// The next term and the bytes of the text it stands for; a compound comes first, then its parts.
    pub(crate) fn next_term(&mut self) -> Option<(&str, Range<usize>)> {
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
            let kept = raw.bytes().filter(|byte| *byte != b'-');
            token.text.extend(kept.map(|byte| char::from(byte.to_ascii_lowercase())));
        } else {
            token.text.extend(raw.chars().filter(|&c| !is_hyphen(c)).flat_map(char::to_lowercase));
        }
        if token.text.len() > MAX_TERM_BYTES {
            token.text.truncate(token.text.floor_char_boundary(MAX_TERM_BYTES));
        }
        for possessive in ["'s", "’s"] {
            if token.text.ends_with(possessive) {
                token.text.truncate(token.text.len() - possessive.len());
            }
        }
        if token.text.is_empty() || FUNCTION_WORD_SET.contains(&token.text) {
            return false;
        }
        cut_plural(&mut token.text);
        token.offset_from = range.start;
        token.offset_to = range.end;
        token.position = token.position.wrapping_add(1);
        true
    }

    fn next_run(&mut self) -> Option<Run> {
        let start = self.find_word_character()?;
        let mut run = Run { range: start..start, has_connector: false, has_digit: false };
        let mut place = start;
        loop {
            place = self.skip_word_characters(place, &mut run.has_digit);
            run.range.end = place;
            // One connector holds it to what follows, if that is a letter or a digit.
            let Some((Class::Connector, length)) = self.class_at(place) else { break };
            let Some((Class::Letter | Class::Digit, _)) = self.class_at(place + length) else { break };
            run.has_connector = true;
            place += length;
        }
        self.cursor = run.range.end;
        Some(run)
    }

    /// Where the next letter or digit stands.
    fn find_word_character(&self) -> Option<usize> {
        let mut place = self.cursor;
        loop {
            match self.class_at(place)? {
                (Class::Letter | Class::Digit, _) => return Some(place),
                (Class::Connector | Class::Other, length) => place += length,
            }
        }
    }

    /// Where the letters and digits from `place` on end.
    fn skip_word_characters(&self, mut place: usize, has_digit: &mut bool) -> usize {
        while let Some((class @ (Class::Letter | Class::Digit), length)) = self.class_at(place) {
            *has_digit |= class == Class::Digit;
            place += length;
        }
        place
    }

    /// The class of the character that begins at `place`, and its bytes; `None` at the end.
    #[inline]
    fn class_at(&self, place: usize) -> Option<(Class, usize)> {
        let byte = *self.text.as_bytes().get(place)?;
        if let Some(class) = ASCII_CLASSES.get(usize::from(byte)) {
            return Some((*class, 1));
        }
        let character = self.text[place..].chars().next()?;
        Some((class_of(character), character.len_utf8()))
    }

    /// Queues what else the run is found by, last one first.
    fn queue_parts(&mut self, run: &Run) {
        let range = run.range.clone();
        if !run.has_connector {
            if run.has_digit
                && let Some(code) = code_digits(&self.text[range.clone()])
            {
                self.parts.push(range.start + code..range.end);
            }
            return;
        }
        let text = &self.text[range.clone()];
        let elided = elision(text).map(|place| range.start + place..range.end);
        let mut start = elided.as_ref().map_or(range.start, |word| word.start);
        let rest = &self.text[start..range.end];
        let ends = rest.match_indices(|c| class_of(c) == Class::Connector && !is_apostrophe(c));
        let first = start;
        let ends = ends.map(|(end, connector)| (first + end, connector.len()));
        for (end, connector) in ends.chain(std::iter::once((range.end, 0))) {
            // One letter says nothing of its own, and a run in one piece is itself the term.
            if self.text[start..end].chars().nth(1).is_some() && end - start < rest.len() {
                self.parts.push(start..end);
            }
            start = end + connector;
        }
        self.parts.reverse();
        self.parts.extend(elided);
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
                        run.range
                    }
                    None => return false,
                },
            };
            if self.beginnings.is_some_and(|wanted| !wanted.may_hold(self.text[range.clone()].as_bytes())) {
                continue;
            }
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
pub(crate) struct TermTokenizer;

impl Tokenizer for TermTokenizer {
    type TokenStream<'a> = Terms<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Terms<'a> {
        Terms::new(text)
    }
}

/// The first two bytes of some terms: tells most other words from them without reading these whole.
#[derive(Debug)]
pub(super) struct Beginnings([bool; 1 << 10]);

impl Beginnings {
    pub(super) fn new() -> Self {
        Self([false; 1 << 10])
    }

    pub(super) fn insert(&mut self, term: &str) {
        if let Some(place) = Self::place(term.as_bytes()) {
            self.0[place] = true;
        }
    }

    /// `false` only for a word that is none of the terms.
    fn may_hold(&self, word: &[u8]) -> bool {
        Self::place(word).is_none_or(|place| self.0[place])
    }

    /// `None` for words whose first bytes may change on their way to a term.
    fn place(word: &[u8]) -> Option<usize> {
        let (first, second) = (*word.first()?, word.get(1).copied().unwrap_or(0));
        if !first.is_ascii() || !(second.is_ascii_alphanumeric() || second == 0) {
            return None;
        }
        let (first, second) = (first.to_ascii_lowercase(), second.to_ascii_lowercase());
        Some((usize::from(first) * 31 + usize::from(second)) % (1 << 10))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    /// Holds a code together: `ORA-01017`, `10.0.22631`, `ERROR_ACCESS_DENIED`, `jo@example.com`, `don't`.
    Connector,
    Other,
}

/// Of the characters that most texts are made of: passages are cut from many of them.
static ASCII_CLASSES: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut byte = 0;
    while byte < 128_u8 {
        classes[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'-' | b'.' | b'_' | b'@' | b'\'' => Class::Connector,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

fn class_of(character: char) -> Class {
    if let Some(class) = ASCII_CLASSES.get(character as usize) {
        return *class;
    }
    match character {
        '‑' | '’' => Class::Connector,
        _ if character.is_alphabetic() => Class::Letter,
        _ if character.is_numeric() => Class::Digit,
        _ => Class::Other,
    }
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’')
}

/// Where the word begins behind an article or pronoun without its vowel: `l'imprimante`, `qu'un`, `dell'ufficio`.
/// What English puts behind an apostrophe is shorter than a word.
fn elision(run: &str) -> Option<usize> {
    let apostrophe = run.find(is_apostrophe)?;
    let elided = apostrophe + run[apostrophe..].chars().next()?.len_utf8();
    let is_short = run[..apostrophe].chars().all(char::is_alphabetic) && apostrophe <= 5;
    (is_short && run[elided..].chars().nth(2).is_some()).then_some(elided)
}

/// Hyphens come and go (`e-mail`, `ORA-01017`), so the whole is written without.
fn is_hyphen(character: char) -> bool {
    matches!(character, '-' | '‑')
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
/// better than Porter's and, for tickets in people's own words, better than none.
pub(super) fn cut_plural(word: &mut String) {
    if word.len() <= 3 || !word.ends_with('s') || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return;
    }
    let ends_in = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    if ends_in(&["ies"]) && !ends_in(&["eies", "aies"]) {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if !ends_in(&["us", "ss", "aes", "ees", "oes"]) {
        word.pop();
    }
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
            ("l'imprimante", "l'imprimante imprimante"),
            ("d’e-mails", "d’emails email mail"),
            ("they've can't", "they've can't"),
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
