//! Articles out of files: folders of Markdown, and rows of JSON lines or CSV. One at a time, so that memory does not
//! grow with the files. What cannot be read is an error with its file and row, and reading goes on behind it.

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
};

use super::{front_matter, markdown, sections};
use crate::{
    domain::{
        article::{Article, ArticleKind, ArticleStatus, Day},
        known_error::{KnownError, Section},
    },
    error::FieldViolation,
    rows::{Row, RowError, Rows, RowsError},
};

/// A title taken from the text is cut here, in characters.
const DERIVED_TITLE_CHARS: usize = 200;
/// A larger Markdown file cannot be an article: the body may have a mebibyte.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// What is read of a row: of each only one column, for which of two is meant?
const ARTICLE_COLUMNS: &[&str] = &[
    "id",
    "text",
    "body",
    "title",
    "summary",
    "description",
    "kind",
    "status",
    "products",
    "valid_until",
    "link",
    "problem",
];
/// Read of rows of the kind known error only: exports have columns of these names that say something else.
const AFFECTED: &str = "affected";

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
    #[error("front matter has no closing ---")]
    OpenFrontMatter,
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
    folders_without_markdown: Vec<PathBuf>,
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
        let mut all = VecDeque::new();
        let mut folders_without_markdown = Vec::new();
        for path in paths {
            let sources = sources(path);
            if sources.is_empty() {
                folders_without_markdown.push(path.clone());
            }
            all.extend(sources);
        }
        Self {
            sources: all,
            renames: renames.to_vec(),
            rows: None,
            seen: HashMap::new(),
            paths: Vec::new(),
            folders_without_markdown,
        }
    }

    /// Folders among the paths in which nothing was to read; a caller warns of them.
    pub fn folders_without_markdown(&self) -> &[PathBuf] {
        &self.folders_without_markdown
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
        rows.require_once(ARTICLE_COLUMNS)?;
        // `text` first: a file of JSON lines is read to its end for a column that it does not have.
        if let Err(no_text) = rows.require(&["text"])
            && rows.require(&["body"]).is_err()
            && !has_sections(&rows)
        {
            return Err(no_text.into());
        }
        let kind = rows.source_column("kind");
        if rows.header().is_some_and(|header| header.iter().any(|column| column == kind)) {
            rows.require_once(&Section::ALL.map(Section::as_str))?;
            rows.require_once(&[AFFECTED])?;
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
    if let Err(source) = fs::metadata(path) {
        return vec![Source::Failed(ImportError::Unreadable { path: path.to_owned(), source })];
    }
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

/// Whether rows of a file without a text may be known errors, whose text stands in sections.
fn has_sections(rows: &Rows) -> bool {
    rows.require(&["kind"]).is_ok() && Section::ALL.iter().any(|section| rows.require(&[section.as_str()]).is_ok())
}

/// Reads one Markdown article; `name` is its id unless the front matter gives another, usually the file's name
/// without its extension. The title is the front matter's, else the first heading's, else the first line. Of a known
/// error the sections are taken out of the text, by their headings.
pub fn parse_markdown(name: &str, text: &str) -> Result<Article, ArticleProblem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (front_matter, text) = front_matter::read(text)?;
    let kind = kind(front_matter.kind)?;
    let (body, mut known_error) = match kind {
        ArticleKind::KnownError => sections::split(text),
        ArticleKind::HowTo | ArticleKind::Faq | ArticleKind::Policy => (text.trim().to_owned(), KnownError::default()),
    };
    known_error.affected = front_matter.affected.into_list();
    let title = front_matter.title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| {
        let plain = markdown::read(if body.is_empty() { text } else { &body });
        derived_title(plain.headings.first().unwrap_or(&plain.text))
    });
    checked(Article {
        id: front_matter.id.unwrap_or_else(|| name.to_owned()).trim().to_owned(),
        title: title.trim().to_owned(),
        summary: front_matter.summary.unwrap_or_default().trim().to_owned(),
        body,
        kind,
        status: status(front_matter.status)?,
        products: front_matter.products.into_list(),
        category: filled(front_matter.category),
        valid_until: valid_until(front_matter.valid_until)?,
        link: filled(front_matter.link),
        problem: filled(front_matter.problem),
        known_error,
        version: 0,
    })
}

fn article_of_row(row: &Row) -> Result<Article, ArticleProblem> {
    let text = row.value("text").or_else(|| row.value("body")).unwrap_or_default();
    let title = row.value("title").filter(|title| !title.trim().is_empty());
    let summary = row.value("summary").or_else(|| row.value("description")).unwrap_or_default();
    let kind = kind(row.value("kind"))?;
    let (body, known_error) = match kind {
        ArticleKind::KnownError => known_error_of_row(row, &text),
        ArticleKind::HowTo | ArticleKind::Faq | ArticleKind::Policy => (text.trim().to_owned(), KnownError::default()),
    };
    let title = title.unwrap_or_else(|| {
        let texts = [text.as_str()].into_iter().chain(known_error.sections().map(|(_, text)| text));
        derived_title(texts.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default())
    });
    checked(Article {
        id: row.value("id").ok_or(ArticleProblem::NoId)?.trim().to_owned(),
        title: title.trim().to_owned(),
        summary: summary.trim().to_owned(),
        body,
        kind,
        status: status(row.value("status"))?,
        products: names(row, "products"),
        category: None,
        valid_until: valid_until(row.value("valid_until"))?,
        link: filled(row.value("link")),
        problem: filled(row.value("problem")),
        known_error,
        version: 0,
    })
}

/// The body and the sections of a known error: those of its columns, and those that stand in its text by their headings.
fn known_error_of_row(row: &Row, text: &str) -> (String, KnownError) {
    let (body, mut known_error) = sections::split(text);
    for section in Section::ALL {
        let column = row.value(section.as_str()).unwrap_or_default().trim().to_owned();
        let of_text = std::mem::replace(known_error.section_mut(section), column);
        // Exports have a section in a column and in the text too.
        let into = known_error.section_mut(section);
        if of_text.contains(into.as_str()) {
            *into = of_text;
        } else if !into.contains(&of_text) {
            sections::append(into, &of_text);
        }
    }
    known_error.affected = names(row, AFFECTED);
    (body, known_error)
}

fn names(row: &Row, column: &str) -> Vec<String> {
    row.list(column).iter().flat_map(|names| separated(names)).collect()
}

fn filled(raw: Option<String>) -> Option<String> {
    raw.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
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

pub(super) fn separated(products: &str) -> Vec<String> {
    products.split(';').map(str::trim).filter(|product| !product.is_empty()).map(str::to_owned).collect()
}

/// The first line that holds anything, without a heading's marks, cut to length.
fn derived_title(text: &str) -> String {
    let line = text.lines().map(|line| line.trim().trim_start_matches('#').trim()).find(|line| !line.is_empty());
    line.unwrap_or_default().chars().take(DERIVED_TITLE_CHARS).collect()
}

#[cfg(test)]
mod tests;
