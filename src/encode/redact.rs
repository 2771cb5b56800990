//! Takes out of a text what must not be kept: addresses of people, payment data, passwords, keys. Each value becomes a
//! placeholder such as `<email>`; the same value in one text the same one, the next value `<email-2>`. Decided by form
//! and by the words around it; names of people, hosts, error codes, versions, ticket and asset numbers stay, because
//! they find the article. Best effort: what looks like nothing is not found. The rules stand in the modules below.

mod address;
mod keyword;
mod login;
mod look;
mod network;
mod number;
mod password;
mod pattern;
mod phone;
mod secret;

use std::{borrow::Cow, cmp::Reverse, collections::HashMap, ops::Range, sync::Arc};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

pub use self::pattern::{MAX_PATTERNS, PatternError};

use self::pattern::Pattern;
use super::source_text::{Offsets, SourceText};

/// What the program finds by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Email,
    Phone,
    Card,
    Iban,
    Ip,
    Password,
    /// API keys, tokens, keys of accounts.
    Secret,
    PrivateKey,
}

impl Kind {
    pub const ALL: [Self; 8] =
        [Self::Email, Self::Phone, Self::Card, Self::Iban, Self::Ip, Self::Password, Self::Secret, Self::PrivateKey];

    /// The word between the brackets of the placeholder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ip => "ip",
            Self::Password => "password",
            Self::Secret => "secret",
            Self::PrivateKey => "private-key",
        }
    }

    /// Whether a desk may keep values of this kind: addresses are its daily work, secrets never are.
    pub fn may_be_kept(self) -> bool {
        match self {
            Self::Email | Self::Phone | Self::Ip => true,
            Self::Card | Self::Iban | Self::Password | Self::Secret | Self::PrivateKey => false,
        }
    }
}

/// A value found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    bytes: Range<usize>,
    kind: Kind,
}

/// The rules that texts are read with: those of the program, and the desk's own. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    /// Names of placeholders: those of [`Kind::ALL`] in their order, then the desk's.
    names: Vec<String>,
    keep: Vec<Kind>,
    patterns: Vec<Pattern>,
}

/// A value to be replaced.
#[derive(Debug, Clone)]
struct Span {
    bytes: Range<usize>,
    /// Number into [`Rules::names`].
    name: usize,
}

/// A placeholder that stood in the text already.
#[derive(Debug)]
struct Known {
    bytes: Range<usize>,
    name: usize,
    number: u32,
}

/// Which value has which number, and how many of each kind were replaced. One for a text; one for a whole file where
/// the same value is to have the same placeholder from its first line to its last.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    given: HashMap<(usize, u128), u32>,
    /// By name: the highest number given, and how many values were replaced.
    last: Vec<u32>,
    replaced: Vec<u64>,
}

impl Numbers {
    /// Different values remembered; those beyond share the placeholder without a number, so that a file of any
    /// length takes bounded memory.
    const MAX_VALUES: usize = 1 << 18;

    fn number(&mut self, name: usize, value: &str) -> u32 {
        let key = (name, xxh3_128(normal_form(name, value).as_bytes()));
        if let Some(number) = self.given.get(&key) {
            return *number;
        }
        if self.given.len() >= Self::MAX_VALUES {
            return 1;
        }
        self.seen(name, 0);
        self.last[name] += 1;
        self.given.insert(key, self.last[name]);
        self.last[name]
    }

    /// Numbers that stand in the text already are not given again.
    fn seen(&mut self, name: usize, number: u32) {
        if self.last.len() <= name {
            self.last.resize(name + 1, 0);
        }
        self.last[name] = self.last[name].max(number);
    }

    fn count(&mut self, name: usize) {
        if self.replaced.len() <= name {
            self.replaced.resize(name + 1, 0);
        }
        self.replaced[name] += 1;
    }

    /// How many values were replaced, by number of the name.
    pub(crate) fn replaced(&self, name: usize) -> u64 {
        self.replaced.get(name).copied().unwrap_or_default()
    }
}

/// A text without what must not be kept.
#[derive(Debug, Default)]
pub(crate) struct Redacted {
    /// `None`: nothing was replaced.
    pub(crate) made: Option<(String, Offsets)>,
    /// Where placeholders stand in the text, in order; those that stood there before as well.
    pub(crate) placeholders: Vec<Range<usize>>,
}

impl Default for Redactor {
    /// The rules of the program alone.
    fn default() -> Self {
        let names = Kind::ALL.map(|kind| kind.as_str().to_owned()).into();
        Self(Arc::new(Rules { names, keep: Vec::new(), patterns: Vec::new() }))
    }
}

impl Redactor {
    /// Rules with the desk's own patterns, each a name and a regular expression, on top of the program's. Values of
    /// the kinds in `keep` stay.
    pub fn new<'a>(
        keep: Vec<Kind>,
        patterns: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<PatternError>> {
        let mut names: Vec<String> = Kind::ALL.map(|kind| kind.as_str().to_owned()).into();
        let (mut compiled, mut errors) = (Vec::new(), Vec::new());
        for (name, expression) in patterns {
            match Pattern::parse(name, expression) {
                Ok(regex) => {
                    let number = names.iter().position(|known| known == name).unwrap_or_else(|| {
                        names.push(name.to_owned());
                        names.len() - 1
                    });
                    compiled.push(Pattern { regex, name: number });
                }
                Err(error) => errors.push(error),
            }
        }
        if compiled.len() > MAX_PATTERNS {
            errors.push(PatternError::TooMany(compiled.len()));
        }
        if errors.is_empty() { Ok(Self(Arc::new(Rules { names, keep, patterns: compiled }))) } else { Err(errors) }
    }

    /// The same for the same rules: what tells whether texts were read alike.
    pub fn version(&self) -> String {
        let Rules { names, keep, patterns } = &*self.0;
        let patterns: Vec<_> = patterns.iter().map(|pattern| (pattern.name, pattern.regex.as_str())).collect();
        format!("{:016x}", xxh3_64(format!("{names:?} {keep:?} {patterns:?}").as_bytes()))
    }

    /// Names of the placeholders.
    pub(crate) fn names(&self) -> &[String] {
        &self.0.names
    }

    /// The text without what must not be kept.
    pub fn redacted<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.read(text, &mut Numbers::default()).made {
            Some((made, _)) => Cow::Owned(made),
            None => Cow::Borrowed(text),
        }
    }

    /// As [`Self::redacted`], with the places of all placeholders and the way back. Takes time linear in the text's
    /// length.
    pub(crate) fn read(&self, text: &str, numbers: &mut Numbers) -> Redacted {
        let known = self.known_placeholders(text);
        let spans = self.spans(text, &known);
        if spans.is_empty() {
            return Redacted { made: None, placeholders: known.into_iter().map(|known| known.bytes).collect() };
        }
        for known in &known {
            numbers.seen(known.name, known.number);
        }
        let mut made = SourceText::with_capacity(text.len());
        let mut placeholders = Vec::with_capacity(spans.len() + known.len());
        let mut known = known.into_iter().peekable();
        let mut from = 0;
        let mut take = |made: &mut SourceText, placeholders: &mut Vec<Range<usize>>, bytes: Range<usize>| {
            while let Some(one) = known.next_if(|known| known.bytes.end <= bytes.end) {
                let start = made.as_str().len() + (one.bytes.start - bytes.start);
                placeholders.push(start..start + one.bytes.len());
            }
            made.take(text, bytes);
        };
        for span in spans {
            take(&mut made, &mut placeholders, from..span.bytes.start);
            let name = &self.0.names[span.name];
            let placeholder = match numbers.number(span.name, &text[span.bytes.clone()]) {
                1 => format!("<{name}>"),
                number => format!("<{name}-{number}>"),
            };
            numbers.count(span.name);
            let start = made.as_str().len();
            placeholders.push(start..start + placeholder.len());
            from = span.bytes.end;
            made.put(&placeholder, span.bytes);
        }
        take(&mut made, &mut placeholders, from..text.len());
        Redacted { made: Some(made.into_parts()), placeholders }
    }

    /// What is to be replaced, in order and apart from each other. A value that is taken out may leave another one
    /// behind to be seen, so the rules read the text again as it will be, until they find nothing.
    fn spans(&self, text: &str, known: &[Known]) -> Vec<Span> {
        const MAX_ROUNDS: usize = 16;
        let mut spans = self.visible(text, known);
        if spans.is_empty() {
            return spans;
        }
        for _ in 1..MAX_ROUNDS {
            let mut made = SourceText::with_capacity(text.len());
            let mut from = 0;
            for Span { bytes, name } in &spans {
                made.take(text, from..bytes.start);
                made.put(&format!("<{}>", self.0.names[*name]), bytes.clone());
                from = bytes.end;
            }
            made.take(text, from..text.len());
            let (made, offsets) = made.into_parts();
            let more = self.visible(&made, &self.known_placeholders(&made));
            if more.is_empty() {
                break;
            }
            spans.extend(more.into_iter().map(|Span { bytes, name }| Span { bytes: offsets.source(bytes), name }));
            merge(&mut spans);
        }
        spans
    }

    /// What the rules see in a text as it stands.
    fn visible(&self, text: &str, known: &[Known]) -> Vec<Span> {
        let mut found = Vec::new();
        keyword::find(text, &mut found);
        address::find(text, &mut found);
        number::find(text, &mut found);
        network::find(text, &mut found);
        let Rules { names: _, keep, patterns } = &*self.0;
        found.retain(|found| !keep.contains(&found.kind));
        let of_kind = |kind: Kind| Kind::ALL.iter().position(|known| *known == kind).unwrap_or_default();
        // The desk's own come first, so that they win where both found the same.
        let mut spans = Vec::with_capacity(found.len());
        for pattern in patterns {
            spans.extend(pattern.find(text).map(|bytes| Span { bytes, name: pattern.name }));
        }
        spans.extend(found.into_iter().map(|Found { bytes, kind }| Span { bytes, name: of_kind(kind) }));
        let is_placeholder = |bytes: &Range<usize>| {
            let next = known.partition_point(|known| known.bytes.end <= bytes.start);
            known.get(next).is_some_and(|known| known.bytes.start < bytes.end)
        };
        spans.retain(|span| !span.bytes.is_empty() && !is_placeholder(&span.bytes));
        merge(&mut spans);
        spans
    }

    fn known_placeholders(&self, text: &str) -> Vec<Known> {
        let longest = self.0.names.iter().map(String::len).max().unwrap_or_default() + 12;
        let mut known = Vec::new();
        for (start, _) in text.match_indices('<') {
            let inner = &text.as_bytes()[start + 1..text.len().min(start + longest)];
            let Some(length) = inner.iter().position(|byte| *byte == b'>') else { continue };
            let Ok(inner) = std::str::from_utf8(&inner[..length]) else { continue };
            let (name, number) = match inner.rsplit_once('-') {
                Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                    (name, number.parse().unwrap_or(1))
                }
                Some(_) | None => (inner, 1),
            };
            if let Some(name) = self.0.names.iter().position(|one| one == name) {
                known.push(Known { bytes: start..start + length + 2, name, number });
            }
        }
        known
    }
}

/// Puts spans in order. What two of them share goes as one: a rule that saw less must not leave the rest of a value
/// behind.
fn merge(spans: &mut Vec<Span>) {
    spans.sort_by_key(|span| (span.bytes.start, Reverse(span.bytes.end)));
    spans.dedup_by(|next, last| {
        let overlaps = next.bytes.start < last.bytes.end;
        if overlaps {
            last.bytes.end = last.bytes.end.max(next.bytes.end);
        }
        overlaps
    });
}

/// What two spellings of one value share.
fn normal_form(name: usize, value: &str) -> Cow<'_, str> {
    match Kind::ALL.get(name) {
        Some(Kind::Email) => value.to_lowercase().into(),
        Some(Kind::Phone | Kind::Card) => value.chars().filter(char::is_ascii_digit).collect::<String>().into(),
        Some(Kind::Iban) => {
            let letters = value.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|letter| letter.to_ascii_uppercase()).collect::<String>().into()
        }
        Some(Kind::Ip | Kind::Password | Kind::Secret | Kind::PrivateKey) | None => value.into(),
    }
}

/// The name between the brackets of a placeholder, without its number.
pub(crate) fn name_of(placeholder: &str) -> &str {
    let inner = placeholder.trim_start_matches('<').trim_end_matches('>');
    match inner.rsplit_once('-') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => inner,
    }
}

/// Whether the character before this byte belongs to a word or number.
fn joins_before(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(is_of_word)
}

/// Whether the character at this byte belongs to a word or number.
fn joins_after(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_some_and(is_of_word)
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests;
