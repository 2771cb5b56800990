//! What stands between the `---` lines at the start of a Markdown article: YAML, of which other keys are ignored.
//! Nothing there is guessed; front matter that does not end is refused.

use serde::Deserialize;

use super::import::{ArticleProblem, separated};

/// What may stand between the `---` lines; other keys are ignored.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FrontMatter {
    pub id: Option<String>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub kind: Option<String>,
    pub status: Option<String>,
    #[serde(default)]
    pub products: Names,
    pub category: Option<String>,
    pub valid_until: Option<String>,
    pub link: Option<String>,
    pub problem: Option<String>,
    #[serde(default)]
    pub affected: Names,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged, expecting = "products and affected must be a list, or one string")]
pub(super) enum Names {
    #[default]
    None,
    Separated(String),
    List(Vec<String>),
}

impl Names {
    pub(super) fn into_list(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Separated(names) => separated(&names),
            Self::List(names) => names.iter().flat_map(|name| separated(name)).collect(),
        }
    }
}

/// The front matter of a text, empty where it has none, and the body below.
pub(super) fn read(text: &str) -> Result<(FrontMatter, &str), ArticleProblem> {
    let (front_matter, body) = split(text)?;
    let front_matter = match front_matter {
        Some(yaml) if !yaml.trim().is_empty() => {
            serde_saphyr::from_str(yaml).map_err(|error| ArticleProblem::FrontMatter(first_line(&error.to_string())))?
        }
        Some(_) | None => FrontMatter::default(),
    };
    Ok((front_matter, body))
}

/// The lines between a first line `---` and the next one, and what follows; a text without both has none.
/// Refused is a first line `---` with a key below it and no end: a draft would be published with its key in the text.
fn split(text: &str) -> Result<(Option<&str>, &str), ArticleProblem> {
    let mut lines = text.split_inclusive('\n');
    let Some(opening) = lines.next().filter(|line| line.trim_end() == "---") else {
        return Ok((None, text));
    };
    let start = opening.len();
    let mut end = start;
    for line in lines {
        if matches!(line.trim_end(), "---" | "...") {
            return Ok((Some(&text[start..end]), &text[end + line.len()..]));
        }
        end += line.len();
    }
    let below = text[start..].lines().find(|line| !line.trim().is_empty());
    if below.is_some_and(starts_with_key) { Err(ArticleProblem::OpenFrontMatter) } else { Ok((None, text)) }
}

/// Whether the line reads `word:`, alone or with a value behind a blank.
fn starts_with_key(line: &str) -> bool {
    line.split_once(':').is_some_and(|(word, value)| {
        !word.is_empty()
            && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
            && (value.is_empty() || value.starts_with(char::is_whitespace))
    })
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
