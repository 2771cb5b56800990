//! Knowledge articles and the hits a search finds.

use std::ops::Range;

use super::{
    known_error::{KnownError, Section, is_link},
    steering::steers,
    suggestion::Reason,
};
use crate::error::FieldViolation;

/// What an article is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ArticleKind {
    /// A problem with a documented cause and workaround.
    KnownError,
    #[default]
    HowTo,
    Faq,
    Policy,
}

/// Where an article stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ArticleStatus {
    Draft,
    #[default]
    Published,
    Retired,
}

macro_rules! closed_names {
    ($kind:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $kind {
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// `None` for a name that is not one of [`Self::NAMES`].
            pub fn parse(raw: &str) -> Option<Self> {
                match raw {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}
closed_names!(ArticleKind { KnownError = "known_error", HowTo = "how_to", Faq = "faq", Policy = "policy" });
closed_names!(ArticleStatus { Draft = "draft", Published = "published", Retired = "retired" });

/// A calendar day, `YYYY-MM-DD`; orders by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    year: u16,
    month: u8,
    of_month: u8,
}

impl Day {
    /// `None` unless the text is a day of the Gregorian calendar written `YYYY-MM-DD`.
    pub fn parse(raw: &str) -> Option<Self> {
        let bytes = raw.as_bytes();
        let shape = bytes.len() == 10
            && bytes.iter().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { *b == b'-' } else { b.is_ascii_digit() });
        if !shape {
            return None;
        }
        Self::new(raw[..4].parse().ok()?, raw[5..7].parse().ok()?, raw[8..].parse().ok()?)
    }

    /// `None` unless it is a day of the Gregorian calendar, from year 1 on.
    pub fn new(year: u16, month: u8, of_month: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (year > 0 && (1..=last).contains(&of_month)).then_some(Self { year, month, of_month })
    }

    /// `YYYYMMDD` as a number; orders as the days do.
    pub fn number(self) -> u32 {
        u32::from(self.year) * 10_000 + u32::from(self.month) * 100 + u32::from(self.of_month)
    }
}

/// What becomes of an article's last day when it is moved on in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastDay {
    #[default]
    AsItIs,
    None,
    On(Day),
}

impl LastDay {
    /// The last day then, where it is `current` now.
    pub fn or(self, current: Option<Day>) -> Option<Day> {
        match self {
            Self::AsItIs => current,
            Self::None => None,
            Self::On(day) => Some(day),
        }
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.of_month)
    }
}

/// One article of the desk's knowledge base, as written. Text fields hold plain text or Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Article {
    pub id: String,
    pub title: String,
    /// One or two sentences; may be empty.
    pub summary: String,
    /// Markdown.
    pub body: String,
    pub kind: ArticleKind,
    pub status: ArticleStatus,
    pub products: Vec<String>,
    /// A label of the taxonomy's `category`, where the author gave one.
    pub category: Option<String>,
    /// Last day on which the article may be suggested.
    pub valid_until: Option<Day>,
    /// Where people read it: an address of http or https.
    pub link: Option<String>,
    /// Id of the problem that it belongs to.
    pub problem: Option<String>,
    /// Empty for other kinds than known error.
    pub known_error: KnownError,
    /// Which of its texts this is, as the store counts them from 1; 0 where it has not been stored. No part of what it
    /// says.
    pub version: u32,
}

impl Article {
    pub const MAX_ID_CHARS: usize = 256;
    pub const MAX_TITLE_CHARS: usize = 1_024;
    pub const MAX_SUMMARY_CHARS: usize = 4_096;
    pub const MAX_PRODUCTS: usize = 64;
    pub const MAX_PRODUCT_CHARS: usize = 256;
    pub const MAX_CATEGORY_CHARS: usize = 256;
    pub const MAX_LINK_CHARS: usize = 2_048;
    pub const MAX_PROBLEM_CHARS: usize = 256;
    /// Longest body, and body and sections of a known error together, in bytes.
    pub const MAX_BODY_BYTES: usize = 1 << 20;

    /// Every rule the article breaks; `path` is put before the field names.
    pub fn violations(&self, path: &str) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        let unseen = |text: &str| text.chars().any(|c| steers(c) || matches!(c, '\n' | '\t'));
        let mut check = |broken: bool, field: &str, description: String| {
            if broken {
                violations.push(FieldViolation::new(format!("{path}{field}"), description));
            }
        };
        check(self.id.trim().is_empty(), "id", "must not be blank".into());
        check(unseen(&self.id), "id", "must hold no control or invisible characters".into());
        check(is_blank(&self.title), "title", "must not be blank".into());
        let [category, link, problem] =
            [&self.category, &self.link, &self.problem].map(|text| text.as_deref().unwrap_or_default());
        check(
            !link.is_empty() && !is_link(link),
            "link",
            "must be an address such as https://kb.example/KB0017: http or https and a host, without a user name, blanks or quotation marks"
                .into(),
        );
        check(unseen(problem), "problem", "must hold no control or invisible characters".into());
        for (text, longest, field) in [
            (self.id.as_str(), Self::MAX_ID_CHARS, "id"),
            (&self.title, Self::MAX_TITLE_CHARS, "title"),
            (&self.summary, Self::MAX_SUMMARY_CHARS, "summary"),
            (category, Self::MAX_CATEGORY_CHARS, "category"),
            (link, Self::MAX_LINK_CHARS, "link"),
            (problem, Self::MAX_PROBLEM_CHARS, "problem"),
        ] {
            check(text.chars().count() > longest, field, format!("must be at most {longest} characters"));
        }
        let affected = &self.known_error.affected;
        for (names, most, longest, field) in [
            (&self.products, Self::MAX_PRODUCTS, Self::MAX_PRODUCT_CHARS, "products"),
            (affected, KnownError::MAX_AFFECTED, KnownError::MAX_AFFECTED_CHARS, "known_error.affected"),
        ] {
            check(names.len() > most, field, format!("must be at most {most}, are {}", names.len()));
            for (place, name) in names.iter().enumerate().take(most) {
                let field = format!("{field}[{place}]");
                check(name.chars().count() > longest, &field, format!("must be at most {longest} characters"));
            }
        }
        check(
            self.kind != ArticleKind::KnownError && !self.known_error.is_empty(),
            "known_error",
            format!(
                "only an article of the kind known_error has symptoms, cause, workaround, fix and affected; this is a {}",
                self.kind.as_str()
            ),
        );
        check(
            self.body.len() > Self::MAX_BODY_BYTES,
            "body",
            format!("must be at most {} bytes, is {}", Self::MAX_BODY_BYTES, self.body.len()),
        );
        let bytes = self.body.len() + self.known_error.section_bytes();
        check(
            bytes > Self::MAX_BODY_BYTES && self.body.len() <= Self::MAX_BODY_BYTES,
            "known_error",
            format!("body and sections must be at most {} bytes together, are {bytes}", Self::MAX_BODY_BYTES),
        );
        violations
    }

    /// All of it as one Markdown document: the body, and below it each section under its heading.
    pub fn markdown(&self) -> String {
        let sections = self.known_error.sections().filter(|(_, text)| !text.trim().is_empty());
        let sections = sections.map(|(section, text)| format!("## {}\n\n{}", Section::heading(section), text.trim()));
        let body = Some(self.body.trim().to_owned()).filter(|body| !body.is_empty());
        body.into_iter().chain(sections).collect::<Vec<_>>().join("\n\n")
    }

    /// Bytes of all its text, for bounds on memory.
    pub fn text_bytes(&self) -> usize {
        let parts = [&self.id, &self.title, &self.summary, &self.body].into_iter();
        let parts = parts.chain(&self.products).chain(&self.category).chain(&self.link).chain(&self.problem);
        parts.map(String::len).sum::<usize>() + self.known_error.text_bytes()
    }
}

/// Whether nothing of it would be seen.
fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || steers(character))
}

/// A stretch of an article worth showing, as plain text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passage {
    pub text: String,
    /// UTF-8 byte ranges of `text` that match the query, in order, not overlapping.
    pub highlights: Vec<Range<usize>>,
    /// The section of a known error that it was taken from; `None`: from anywhere in the article.
    pub section: Option<Section>,
}

/// An article that a search found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArticleHit {
    pub id: String,
    pub title: String,
    pub kind: ArticleKind,
    pub status: ArticleStatus,
    pub products: Vec<String>,
    /// Rank score: larger is better; comparable within one answer only.
    pub score: f32,
    pub passage: Passage,
    /// Why it is suggested, the strongest first; empty for what a search found.
    pub reasons: Vec<Reason>,
    /// The chance that it is the one that solves the ticket, 0 to 1; `None` where too few links tell, and for what a
    /// search found.
    pub chance: Option<f32>,
    /// As in [`Article`]: which text was found.
    pub version: u32,
    /// As in [`Article`].
    pub link: Option<String>,
}

/// What a search found, with what tells whether it may still be suggested.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundArticle {
    pub hit: ArticleHit,
    /// As in [`Article`].
    pub valid_until: Option<Day>,
}

impl FoundArticle {
    /// The last day on which it was in force, where that is past.
    pub fn expired(&self, today: Day) -> Option<Day> {
        self.valid_until.filter(|last| *last < today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_real_days() {
        for (raw, valid) in [
            ("2026-02-28", true),
            ("2026-02-29", false),
            ("2024-02-29", true),
            ("2026-13-01", false),
            ("2026-00-10", false),
            ("2026-1-1", false),
            ("tomorrow", false),
            ("+026-01-01", false),
        ] {
            assert_eq!(Day::parse(raw).map(|day| day.to_string()), valid.then(|| raw.to_owned()), "{raw}");
        }
        assert!(Day::parse("2025-12-31") < Day::parse("2026-01-01"));
        assert_eq!(Day::parse("2025-12-31").unwrap().number(), 20_251_231);
    }

    #[test]
    fn a_blank_article_breaks_two_rules() {
        let fields: Vec<_> = Article::default().violations("article.").into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["article.id", "article.title"]);
    }

    #[test]
    fn every_part_of_an_article_has_its_limit() {
        let longest = Article {
            id: "ä".repeat(256),
            title: "ä".repeat(1_024),
            summary: "ä".repeat(4_096),
            body: "b".repeat(1 << 20),
            products: vec!["ä".repeat(256); 64],
            category: Some("ä".repeat(256)),
            link: Some(format!("https://x/{}", "ä".repeat(2_038))),
            problem: Some("ä".repeat(256)),
            ..Article::default()
        };
        assert_eq!(longest.violations(""), []);
        let characters = 256 + 1_024 + 4_096 + 64 * 256 + 256 + 2_038 + 256;
        assert_eq!(longest.text_bytes(), (1 << 20) + 10 + 2 * characters);
        let more = |text: &str| format!("{text}x");
        let longer = Article {
            id: more(&longest.id),
            title: more(&longest.title),
            summary: more(&longest.summary),
            body: more(&longest.body),
            products: [&longest.products[..], &["p".repeat(257)]].concat(),
            category: longest.category.as_deref().map(more),
            link: longest.link.as_deref().map(more),
            problem: longest.problem.as_deref().map(more),
            ..Article::default()
        };
        let fields: Vec<_> = longer.violations("").into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["id", "title", "summary", "category", "link", "problem", "products", "body"]);
        let product = Article { products: vec!["p".into(), "p".repeat(257)], ..longest };
        assert_eq!(product.violations("")[0].field, "products[1]");
    }

    #[test]
    fn the_sections_of_a_known_error_have_their_limits_and_their_kind() {
        let known = |known_error: KnownError| Article {
            id: "KE".into(),
            title: "It fails".into(),
            kind: ArticleKind::KnownError,
            known_error,
            ..Article::default()
        };
        let fields =
            |article: &Article| article.violations("").into_iter().map(|violation| violation.field).collect::<Vec<_>>();
        let names = |count: usize, chars: usize| vec!["ä".repeat(chars); count];
        let quarter = || "w".repeat(1 << 18);
        let largest = known(KnownError {
            symptoms: quarter(),
            cause: quarter(),
            workaround: quarter(),
            fix: quarter(),
            affected: names(64, 256),
        });
        assert_eq!(fields(&largest), [""; 0]);
        assert_eq!(fields(&Article { body: "b".into(), ..largest.clone() }), ["known_error"]);
        assert_eq!(
            fields(&known(KnownError { affected: names(65, 1), ..KnownError::default() })),
            ["known_error.affected"]
        );
        let long = KnownError { affected: vec!["a".into(), "x".repeat(257)], ..KnownError::default() };
        assert_eq!(fields(&known(long)), ["known_error.affected[1]"]);
        for kind in [ArticleKind::HowTo, ArticleKind::Faq, ArticleKind::Policy] {
            let with = KnownError { cause: "c".into(), ..KnownError::default() };
            let violations = Article { kind, ..known(with) }.violations("");
            assert_eq!(violations[0].field, "known_error");
            assert!(violations[0].description.contains("only an article of the kind known_error"));
            assert_eq!(fields(&Article { kind, ..known(KnownError::default()) }), [""; 0]);
        }
        assert_eq!(fields(&Article { link: Some("kb.example".into()), ..known(KnownError::default()) }), ["link"]);
        assert_eq!(fields(&Article { problem: Some("P\n1".into()), ..known(KnownError::default()) }), ["problem"]);
    }

    #[test]
    fn an_article_reads_as_one_document() {
        let known_error =
            KnownError { symptoms: "- It fails.\n".into(), fix: "Update.".into(), ..KnownError::default() };
        let article = Article { body: "About it.\n".into(), known_error, ..Article::default() };
        assert_eq!(article.markdown(), "About it.\n\n## Symptoms\n\n- It fails.\n\n## Fix\n\nUpdate.");
        assert_eq!(
            Article { body: String::new(), ..article }.markdown(),
            "## Symptoms\n\n- It fails.\n\n## Fix\n\nUpdate."
        );
    }
}
