//! The desk's own patterns: a name, which becomes the placeholder, and a regular expression. Refuses what matches the
//! empty text, and what is too large to be read in a few microseconds. The engine takes linear time on any text.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

/// Patterns that a desk may have.
pub const MAX_PATTERNS: usize = 64;
const MAX_EXPRESSION_BYTES: usize = 1_000;
const MAX_COMPILED_BYTES: usize = 2 << 20;
const MAX_NAME_BYTES: usize = 32;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error(
        "redaction.patterns.{0}: a name has 1 to {MAX_NAME_BYTES} of a-z, 0-9 and -, begins with a letter, and ends in no number of its own such as -2"
    )]
    Name(String),
    #[error("redaction.patterns.{name}: {problem}")]
    Expression { name: String, problem: String },
    #[error(
        "redaction.patterns.{0}: matches the empty text, so it would be found everywhere; let it match a character at least"
    )]
    Empty(String),
    #[error("redaction.patterns: at most {MAX_PATTERNS} patterns, here are {0}")]
    TooMany(usize),
}

#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// Number of the placeholder's name.
    pub(super) name: usize,
}

impl Pattern {
    pub(super) fn parse(name: &str, expression: &str) -> Result<Regex, PatternError> {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_number = |end: &str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.len() <= MAX_NAME_BYTES
            && name.bytes().all(is_letter)
            && !name.ends_with('-')
            && !name.rsplit_once('-').is_some_and(|(_, end)| is_number(end));
        if !is_name {
            return Err(PatternError::Name(name.to_owned()));
        }
        let refuse = |problem: String| PatternError::Expression { name: name.to_owned(), problem };
        if expression.len() > MAX_EXPRESSION_BYTES {
            return Err(refuse(format!("longer than {MAX_EXPRESSION_BYTES} bytes")));
        }
        let mut builder = RegexBuilder::new(expression);
        builder.size_limit(MAX_COMPILED_BYTES).dfa_size_limit(MAX_COMPILED_BYTES);
        let regex = builder.build().map_err(|error| {
            if matches!(error, regex::Error::CompiledTooBig(_)) {
                refuse("too large; use smaller repetitions".to_owned())
            } else {
                refuse(one_line(&error.to_string()))
            }
        })?;
        // Boundaries such as \b match the empty text within others only.
        let matches_nothing =
            ["", "a", " ab 12-c\n"].iter().any(|text| regex.find_iter(text).any(|hit| hit.is_empty()));
        if matches_nothing { Err(PatternError::Empty(name.to_owned())) } else { Ok(regex) }
    }

    /// What the pattern matches; where it has a group, what its first group does, so that words around a value can be
    /// asked for and kept.
    pub(super) fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        let has_group = self.regex.captures_len() > 1;
        let whole = (!has_group).then(|| self.regex.find_iter(text).map(|hit| hit.range()));
        let groups = has_group.then(|| {
            let captures = self.regex.captures_iter(text);
            captures.filter_map(|captures| captures.get(1).map(|group| group.range()))
        });
        whole.into_iter().flatten().chain(groups.into_iter().flatten())
    }
}

/// The last line of a message of the engine says what is wrong; those before it draw where.
fn one_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or(message);
    last.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_cannot_be_used_says_why() {
        for (name, expression, expected) in [
            ("employee-number", r"\bP\d{7}\b", None),
            ("x", "(unclosed", Some("redaction.patterns.x: unclosed group")),
            ("x", "", Some("matches the empty text")),
            ("x", r"\d*", Some("matches the empty text")),
            ("x", r"\b", Some("matches the empty text")),
            ("x", "^", Some("matches the empty text")),
            ("x", r"(\w{1000}){1000}", Some("too large")),
            ("x", &"a".repeat(1_001), Some("longer than 1000 bytes")),
            ("Employee", "a", Some("redaction.patterns.Employee: a name has")),
            ("asset-2", "a", Some("a name has")),
            ("", "a", Some("a name has")),
        ] {
            let found = Pattern::parse(name, expression).err().map(|error| error.to_string());
            match (&found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{expression}: {found}"),
                _ => panic!("{expression}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_group_keeps_the_words_around_it() {
        let text = "Badge no. 1234, badge no. 77";
        let found = |expression: &str| {
            let pattern = Pattern { regex: Pattern::parse("x", expression).unwrap(), name: 0 };
            pattern.find(text).map(|bytes| text[bytes].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(r"(?i)badge no\. (\d+)"), ["1234", "77"]);
        assert_eq!(found(r"(?i)badge no\. \d+"), ["Badge no. 1234", "badge no. 77"]);
    }
}
