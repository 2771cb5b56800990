//! Articles out of files: folders of Markdown, and rows of JSON lines or CSV. One at a time, so that memory does not
//! grow with the files. What cannot be read is an error with its file and row, and reading goes on behind it.

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::markdown;
use crate::{
    domain::article::{Article, ArticleKind, ArticleStatus, Day},
    error::FieldViolation,
    rows::{Row, RowError, Rows, RowsError},
};

/// A title taken from the text is cut here, in characters.
const DERIVED_TITLE_CHARS: usize = 200;
/// A larger Markdown file cannot be an article: the body may have a mebibyte.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// An article that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: ArticleProblem },
    #[error("{}, row {row}: {problem}", path.display())]
    Row { path: PathBuf, row: u64, problem: ArticleProblem },
    #[error(transparent)]
    MalformedRow(#[from] RowError),
    #[error(transparent)]
    MalformedRows(#[from] RowsError),
}

/// What is wrong with an article.
#[derive(Debug, thiserror::Error)]
pub enum ArticleProblem {
    #[error("not UTF-8, save the file as UTF-8")]
    InvalidUtf8,
    #[error("larger than {} MiB", MAX_FILE_BYTES >> 20)]
    TooLarge,
    #[error("the front matter between the `---` lines is not valid: {0}")]
    FrontMatter(String),
    #[error("`{value}` is no {field}: it is one of {}", allowed.join(", "))]
    UnknownName { field: &'static str, value: String, allowed: &'static [&'static str] },
    #[error("valid_until `{0}` is no date, write YYYY-MM-DD")]
    InvalidDay(String),
    #[error("no id")]
    NoId,
    #[error("nothing in it: neither text nor title")]
    Empty,
    #[error("id `{id}` stood before in {}", first.display())]
    RepeatedId { id: String, first: PathBuf },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldViolation>),
}

/// Reads the articles of some paths in a fixed order: files of a folder by name, rows as they stand.
pub struct Articles {
    sources: VecDeque<Source>,
    renames: Vec<(String, String)>,
    rows: Option<Rows>,
    /// Where each id was first seen: a second article of that id would undo the first at every import.
    seen: HashMap<String, usize>,
    paths: Vec<PathBuf>,
}

enum Source {
    Markdown { path: PathBuf, name: String },
    Rows(PathBuf),
    Failed(ImportError),
}

impl Articles {
    /// `paths` are folders of Markdown (symbolic links in them are not followed), Markdown files, and files of rows;
    /// `renames` are `(ours, theirs)` pairs for the columns of rows.
    pub fn new(paths: &[PathBuf], renames: &[(String, String)]) -> Self {
        let sources = paths.iter().flat_map(|path| sources(path)).collect();
        Self { sources, renames: renames.to_vec(), rows: None, seen: HashMap::new(), paths: Vec::new() }
    }

    fn next_row(&mut self) -> Option<Result<Article, ImportError>> {
        let rows = self.rows.as_mut()?;
        let path = rows.path().to_owned();
        Some(match rows.next()? {
            Err(error) => Err(error.into()),
            Ok(row) => article_of_row(&row)
                .and_then(|article| self.first_of_its_id(article, &path))
                .map_err(|problem| ImportError::Row { path, row: row.number, problem }),
        })
    }

    fn open_rows(&mut self, path: &Path) -> Result<(), ImportError> {
        let rows = Rows::open(path, &self.renames)?;
        rows.require(&["id"])?;
        if rows.require(&["body"]).is_err() {
            rows.require(&["text"])?;
        }
        self.rows = Some(rows);
        Ok(())
    }

    fn read_markdown(&mut self, path: PathBuf, name: &str) -> Result<Article, ImportError> {
        let article = match read_text(&path)? {
            Ok(text) => parse_markdown(name, &text),
            Err(problem) => Err(problem),
        };
        let article = article.and_then(|article| self.first_of_its_id(article, &path));
        article.map_err(|problem| ImportError::File { path, problem })
    }

    fn first_of_its_id(&mut self, article: Article, path: &Path) -> Result<Article, ArticleProblem> {
        if let Some(first) = self.seen.get(&article.id) {
            return Err(ArticleProblem::RepeatedId { id: article.id, first: self.paths[*first].clone() });
        }
        if self.paths.last().is_none_or(|last| last != path) {
            self.paths.push(path.to_owned());
        }
        self.seen.insert(article.id.clone(), self.paths.len() - 1);
        Ok(article)
    }
}

impl Iterator for Articles {
    type Item = Result<Article, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(article) = self.next_row() {
                return Some(article);
            }
            self.rows = None;
            match self.sources.pop_front()? {
                Source::Failed(error) => return Some(Err(error)),
                Source::Markdown { path, name } => return Some(self.read_markdown(path, &name)),
                Source::Rows(path) => {
                    if let Err(error) = self.open_rows(&path) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

fn sources(path: &Path) -> Vec<Source> {
    if !path.is_dir() {
        return vec![match markdown_stem(path) {
            Some(name) => Source::Markdown { path: path.to_owned(), name },
            None => Source::Rows(path.to_owned()),
        }];
    }
    let entries = walkdir::WalkDir::new(path).sort_by_file_name();
    entries
        .into_iter()
        .filter_map(|entry| match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let relative = entry.path().strip_prefix(path).unwrap_or(entry.path());
                let name = markdown_stem(relative)?;
                let folders = relative.parent().into_iter().flat_map(Path::iter).map(|part| part.to_string_lossy());
                let name = folders.map(|part| part.into_owned() + "/").collect::<String>() + &name;
                Some(Source::Markdown { path: entry.into_path(), name })
            }
            Ok(_) => None,
            Err(error) => {
                let path = error.path().unwrap_or(path).to_owned();
                Some(Source::Failed(ImportError::Unreadable { path, source: error.into() }))
            }
        })
        .collect()
}

/// The file's name without its extension; `None` unless it is Markdown.
fn markdown_stem(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_string_lossy().to_ascii_lowercase();
    if !matches!(extension.as_str(), "md" | "markdown") {
        return None;
    }
    Some(path.file_stem()?.to_string_lossy().into_owned())
}

fn read_text(path: &Path) -> Result<Result<String, ArticleProblem>, ImportError> {
    let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Ok(Err(ArticleProblem::TooLarge));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    Ok(String::from_utf8(bytes).map_err(|_| ArticleProblem::InvalidUtf8))
}

/// What may stand between the `---` lines; other keys are ignored.
#[derive(Debug, Default, Deserialize)]
struct FrontMatter {
    id: Option<String>,
    title: Option<String>,
    summary: Option<String>,
    kind: Option<String>,
    status: Option<String>,
    #[serde(default)]
    products: Products,
    category: Option<String>,
    valid_until: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Products {
    #[default]
    None,
    Separated(String),
    List(Vec<String>),
}

impl Products {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Separated(products) => separated(&products),
            Self::List(products) => products.iter().flat_map(|product| separated(product)).collect(),
        }
    }
}

/// Reads one Markdown article; `name` is its id unless the front matter gives another, usually the file's name
/// without its extension. The title is the front matter's, else the first heading's, else the first line.
pub fn parse_markdown(name: &str, text: &str) -> Result<Article, ArticleProblem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (front_matter, body) = split_front_matter(text);
    let front_matter: FrontMatter = match front_matter {
        Some(yaml) if !yaml.trim().is_empty() => {
            serde_saphyr::from_str(yaml).map_err(|error| ArticleProblem::FrontMatter(first_line(&error.to_string())))?
        }
        Some(_) | None => FrontMatter::default(),
    };
    let title = match front_matter.title.filter(|title| !title.trim().is_empty()) {
        Some(title) => title,
        None => {
            let plain = markdown::read(body);
            plain.headings.first().map_or_else(|| derived_title(&plain.text), |heading| derived_title(heading))
        }
    };
    checked(Article {
        id: front_matter.id.unwrap_or_else(|| name.to_owned()).trim().to_owned(),
        title: title.trim().to_owned(),
        summary: front_matter.summary.unwrap_or_default().trim().to_owned(),
        body: body.trim().to_owned(),
        kind: kind(front_matter.kind)?,
        status: status(front_matter.status)?,
        products: front_matter.products.into_list(),
        category: front_matter.category.map(|category| category.trim().to_owned()).filter(|value| !value.is_empty()),
        valid_until: valid_until(front_matter.valid_until)?,
    })
}

/// The lines between a first line `---` and the next one, and what follows; a text without both has none.
fn split_front_matter(text: &str) -> (Option<&str>, &str) {
    let mut lines = text.split_inclusive('\n');
    let Some(opening) = lines.next().filter(|line| line.trim_end() == "---") else { return (None, text) };
    let start = opening.len();
    let mut end = start;
    for line in lines {
        if matches!(line.trim_end(), "---" | "...") {
            return (Some(&text[start..end]), &text[end + line.len()..]);
        }
        end += line.len();
    }
    (None, text)
}

fn article_of_row(row: &Row) -> Result<Article, ArticleProblem> {
    let text = row.value("text").or_else(|| row.value("body")).unwrap_or_default();
    let title = row.value("title").filter(|title| !title.trim().is_empty());
    let summary = row.value("summary").or_else(|| row.value("description")).unwrap_or_default();
    let products = row.list("products");
    checked(Article {
        id: row.value("id").ok_or(ArticleProblem::NoId)?.trim().to_owned(),
        title: title.unwrap_or_else(|| derived_title(&text)).trim().to_owned(),
        summary: summary.trim().to_owned(),
        body: text.trim().to_owned(),
        kind: kind(row.value("kind"))?,
        status: status(row.value("status"))?,
        products: products.iter().flat_map(|product| separated(product)).collect(),
        category: None,
        valid_until: valid_until(row.value("valid_until"))?,
    })
}

fn checked(article: Article) -> Result<Article, ArticleProblem> {
    if article.id.is_empty() {
        return Err(ArticleProblem::NoId);
    }
    if article.title.is_empty() {
        return Err(ArticleProblem::Empty);
    }
    let violations = article.violations("");
    if violations.is_empty() { Ok(article) } else { Err(ArticleProblem::Invalid(violations)) }
}

fn kind(raw: Option<String>) -> Result<ArticleKind, ArticleProblem> {
    closed("kind", raw, ArticleKind::parse, ArticleKind::NAMES)
}

fn status(raw: Option<String>) -> Result<ArticleStatus, ArticleProblem> {
    closed("status", raw, ArticleStatus::parse, ArticleStatus::NAMES)
}

fn closed<T: Default>(
    field: &'static str,
    raw: Option<String>,
    parse: fn(&str) -> Option<T>,
    allowed: &'static [&'static str],
) -> Result<T, ArticleProblem> {
    let Some(value) = raw.filter(|value| !value.trim().is_empty()) else { return Ok(T::default()) };
    parse(value.trim()).ok_or(ArticleProblem::UnknownName { field, value, allowed })
}

fn valid_until(raw: Option<String>) -> Result<Option<Day>, ArticleProblem> {
    let Some(value) = raw.filter(|value| !value.trim().is_empty()) else { return Ok(None) };
    Day::parse(value.trim()).map(Some).ok_or(ArticleProblem::InvalidDay(value))
}

fn separated(products: &str) -> Vec<String> {
    products.split(';').map(str::trim).filter(|product| !product.is_empty()).map(str::to_owned).collect()
}

/// The first line that holds anything, without a heading's marks, cut to length.
fn derived_title(text: &str) -> String {
    let line = text.lines().map(|line| line.trim().trim_start_matches('#').trim()).find(|line| !line.is_empty());
    line.unwrap_or_default().chars().take(DERIVED_TITLE_CHARS).collect()
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
