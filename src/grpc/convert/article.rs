//! Articles and their versions, between wire and domain.

use prost_types::Timestamp;

use super::{domain_kind, domain_status, filter, wire_kind, wire_status};
use crate::{
    domain::{
        article::{Article, ArticleStatus, Day, LastDay},
        known_error::{ArticleVersion, KnownError, Section},
    },
    error::{FieldViolation, TriageError},
    knowledge, pb,
    store::{ArticleFilter, ArticleText},
};

pub(in super::super) fn wire_article(article: Article) -> pb::Article {
    let Article {
        id,
        title,
        summary,
        body,
        kind,
        status,
        products,
        category,
        valid_until,
        link,
        problem,
        known_error,
        version,
    } = article;
    pb::Article {
        id,
        title,
        summary,
        body,
        kind: wire_kind(kind).into(),
        status: wire_status(status).into(),
        products,
        category: category.unwrap_or_default(),
        valid_until: written(valid_until),
        link: link.unwrap_or_default(),
        problem: problem.unwrap_or_default(),
        known_error: Some(known_error).filter(|known| !known.is_empty()).map(wire_known_error),
        version,
    }
}

fn wire_known_error(known: KnownError) -> pb::KnownError {
    let KnownError { symptoms, cause, workaround, fix, affected } = known;
    pb::KnownError { symptoms, cause, workaround, fix, affected }
}

fn domain_known_error(known: pb::KnownError) -> KnownError {
    let pb::KnownError { symptoms, cause, workaround, fix, affected } = known;
    KnownError { symptoms, cause, workaround, fix, affected }
}

fn written(day: Option<Day>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

/// An article with every violation reported; field names start with `path`.
pub(in super::super) fn article(raw: pb::Article, path: &str) -> Result<Article, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    let mut refuse =
        |field: &str, problem: String| violations.push(FieldViolation::new(format!("{path}{field}"), problem));
    if pb::ArticleKind::try_from(raw.kind).is_err() {
        refuse("kind", format!("{} is not a kind of article", raw.kind));
    }
    if pb::ArticleStatus::try_from(raw.status).is_err() {
        refuse("status", format!("{} is not a status of an article", raw.status));
    }
    if let Err(problem) = day(&raw.valid_until) {
        refuse("valid_until", problem);
    }
    let article = domain_article(raw);
    violations.extend(article.violations(path));
    if violations.is_empty() { Ok(Article { version: 0, ..article }) } else { Err(violations) }
}

/// What is not known counts as not given.
pub(in super::super) fn domain_article(article: pb::Article) -> Article {
    let (kind, status) = (domain_kind(article.kind()), domain_status(article.status()));
    let pb::Article {
        id,
        title,
        summary,
        body,
        kind: _,
        status: _,
        products,
        category,
        valid_until,
        link,
        problem,
        known_error,
        version,
    } = article;
    Article {
        id,
        title,
        summary,
        body,
        kind: kind.unwrap_or_default(),
        status: status.unwrap_or_default(),
        products,
        category: Some(category).filter(|category| !category.is_empty()),
        valid_until: Day::parse(&valid_until),
        link: Some(link).filter(|link| !link.is_empty()),
        problem: Some(problem).filter(|problem| !problem.trim().is_empty()),
        known_error: known_error.map(domain_known_error).unwrap_or_default(),
        version,
    }
}

/// None where the text is empty.
fn day(raw: &str) -> Result<Option<Day>, String> {
    let day = Day::parse(raw);
    if day.is_none() && !raw.is_empty() {
        return Err(format!("`{raw}` is not a date, expected YYYY-MM-DD"));
    }
    Ok(day)
}

pub(in super::super) fn wire_section(section: Option<Section>) -> pb::KnownErrorSection {
    match section {
        None => pb::KnownErrorSection::Unspecified,
        Some(Section::Symptoms) => pb::KnownErrorSection::Symptoms,
        Some(Section::Cause) => pb::KnownErrorSection::Cause,
        Some(Section::Workaround) => pb::KnownErrorSection::Workaround,
        Some(Section::Fix) => pb::KnownErrorSection::Fix,
    }
}

/// `None` for UNSPECIFIED.
pub(in super::super) fn known_section(section: pb::KnownErrorSection) -> Option<Section> {
    match section {
        pb::KnownErrorSection::Unspecified => None,
        pb::KnownErrorSection::Symptoms => Some(Section::Symptoms),
        pb::KnownErrorSection::Cause => Some(Section::Cause),
        pb::KnownErrorSection::Workaround => Some(Section::Workaround),
        pb::KnownErrorSection::Fix => Some(Section::Fix),
    }
}

/// One text of an article, without what came of suggesting it.
pub(in super::super) fn article_text(text: ArticleText) -> pb::GetArticleResponse {
    let ArticleText { article, made_at, current_version } = text;
    pb::GetArticleResponse {
        article: Some(wire_article(article)),
        usage: None,
        create_time: made_at.map(timestamp),
        current_version,
    }
}

pub(in super::super) fn article_version(version: ArticleVersion) -> pb::ArticleVersion {
    let ArticleVersion { version, made_at, title, status } = version;
    pb::ArticleVersion { version, create_time: made_at.map(timestamp), title, status: wire_status(status).into() }
}

fn timestamp(seconds: u64) -> Timestamp {
    Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }
}

/// The status and, where one is given, the last day; an empty one takes it away.
pub(in super::super) fn asked_status(
    status: i32,
    valid_until: Option<&str>,
) -> Result<(ArticleStatus, LastDay), TriageError> {
    let known = pb::ArticleStatus::try_from(status).ok().and_then(domain_status);
    let status = known.ok_or_else(|| {
        vec![FieldViolation::new("status", format!("must be DRAFT, PUBLISHED or RETIRED, is {status}"))]
    });
    let day = valid_until.map_or(Ok(LastDay::AsItIs), |raw| Ok(day(raw)?.map_or(LastDay::None, LastDay::On)));
    super::both(status, day.map_err(|problem: String| vec![FieldViolation::new("valid_until", problem)]))
}

pub(in super::super) fn list_filter(
    kinds: &[i32],
    statuses: &[i32],
    expired: bool,
) -> Result<ArticleFilter, Vec<FieldViolation>> {
    let kinds = filter(kinds, "kinds", domain_kind);
    let statuses = filter(statuses, "statuses", domain_status);
    match (kinds, statuses) {
        (Ok(kinds), Ok(statuses)) => {
            Ok(ArticleFilter { kinds, statuses, expired_on: knowledge::today().filter(|_| expired) })
        }
        (kinds, statuses) => Err(kinds.err().into_iter().chain(statuses.err()).flatten().collect()),
    }
}
