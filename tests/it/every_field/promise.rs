//! What the comments of the contract promise of a field: they come with the descriptors, so that they are held to.

use std::sync::LazyLock;

use prost_reflect::FieldDescriptor;
use regex::Regex;

/// What a request must keep to in one field.
#[derive(Debug, Default, PartialEq)]
pub struct Promise {
    pub required: bool,
    /// Of a text, or of each text of a list, or of each value of a map.
    pub max_chars: Option<usize>,
    /// Of each key of a map.
    pub max_key_chars: Option<usize>,
    /// Elements of a list or entries of a map.
    pub max_entries: Option<usize>,
    /// Of a number, or of the elements of a list.
    pub range: Option<(f64, f64)>,
}

impl Promise {
    pub fn of(field: &FieldDescriptor) -> Self {
        let comment = comment(field);
        if field.is_list() || field.is_map() { Self::of_many(&comment) } else { Self::of_one(&comment) }
    }

    fn of_one(comment: &str) -> Self {
        Self { required: is_required(comment), max_chars: chars(comment), range: range(comment), ..Self::default() }
    }

    fn of_many(comment: &str) -> Self {
        let counted = |pattern: &Regex| pattern.captures(comment).map(|found| count(&found[1]));
        let range = range(comment);
        Self {
            required: is_required(comment) || range.is_some_and(|(least, _)| least >= 1.0),
            max_chars: chars(comment),
            max_key_chars: counted(&KEY_CHARS),
            max_entries: counted(&ENTRIES),
            range,
        }
    }
}

static REQUIRED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?i)\brequired\b").unwrap());
static CHARS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:at most|to) ([\d,]+) characters").unwrap());
static KEY_CHARS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"keys at most ([\d,]+)").unwrap());
static ENTRIES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"at most ([\d,]*\d)(?: entries|[,;.]? (?:each|and|of|none)|[.;])").unwrap());
static RANGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|[ :])([\d.]+) to ([\d.,]*\d)(?:[.,;]|$)").unwrap());

fn is_required(comment: &str) -> bool {
    REQUIRED.is_match(comment)
}

fn chars(comment: &str) -> Option<usize> {
    CHARS.captures(comment).map(|found| count(&found[1]))
}

fn range(comment: &str) -> Option<(f64, f64)> {
    let found = RANGE.captures(comment)?;
    Some((found[1].parse().unwrap(), found[2].replace(',', "").parse().unwrap()))
}

fn count(digits: &str) -> usize {
    digits.replace(',', "").parse().unwrap()
}

/// What stands above the field in its file, as one line.
fn comment(field: &FieldDescriptor) -> String {
    let file = field.parent_file();
    // Types of the protocol's makers come without.
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    let place = source.and_then(|source| source.location.iter().find(|location| location.path == field.path()));
    let text = place.and_then(|place| place.leading_comments.as_deref()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn promises_are_read_as_they_are_written() {
    let one = |comment| Promise::of_one(comment);
    assert_eq!(
        one("Required, at most 1,024 characters."),
        Promise { required: true, max_chars: Some(1_024), ..Promise::default() }
    );
    assert_eq!(one("1 to 20,000. Default 2,000.").range, Some((1.0, 20_000.0)));
    assert_eq!(one("The share, 0 to 0.9. Default 0.").range, Some((0.0, 0.9)));
    assert_eq!(one("Words; quoted phrases match exactly. 1 to 1,024 characters.").max_chars, Some(1_024));
    let many = Promise::of_many("At all: at most 64 entries; keys at most 256 and values at most 1,024 characters.");
    assert_eq!((many.max_entries, many.max_key_chars, many.max_chars), (Some(64), Some(256), Some(1_024)));
    let many = Promise::of_many("Texts of such tickets: at most 50 of at most 1,024 characters.");
    assert_eq!((many.max_entries, many.max_chars), (Some(50), Some(1_024)));
    let many = Promise::of_many("Products the article is about; at most 64, each at most 256 characters.");
    assert_eq!((many.max_entries, many.max_chars), (Some(64), Some(256)));
    assert!(Promise::of_many("1 to 1,000.").required);
}
