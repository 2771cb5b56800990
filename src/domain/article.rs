//! Knowledge articles and the hits a search finds.

use std::ops::Range;

use super::{steering::steers, suggestion::Reason};
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
}

impl Article {
    pub const MAX_ID_CHARS: usize = 256;
    pub const MAX_TITLE_CHARS: usize = 1_024;
    pub const MAX_SUMMARY_CHARS: usize = 4_096;
    pub const MAX_PRODUCTS: usize = 64;
    pub const MAX_PRODUCT_CHARS: usize = 256;
    pub const MAX_CATEGORY_CHARS: usize = 256;
    /// Longest body, in bytes.
    pub const MAX_BODY_BYTES: usize = 1 << 20;

    /// Every rule the article breaks; `path` is put before the field names.
    pub fn violations(&self, path: &str) -> Vec<FieldViolation> {
        let mut violations = Vec::new();
        let mut check = |broken: bool, field: &str, description: String| {
            if broken {
                violations.push(FieldViolation::new(format!("{path}{field}"), description));
            }
        };
        check(self.id.trim().is_empty(), "id", "must not be blank".into());
        check(
            self.id.chars().any(|c| steers(c) || matches!(c, '\n' | '\t')),
            "id",
            "must hold no control or invisible characters".into(),
        );
        check(is_blank(&self.title), "title", "must not be blank".into());
        let category = self.category.as_deref().unwrap_or_default();
        for (text, longest, field) in [
            (self.id.as_str(), Self::MAX_ID_CHARS, "id"),
            (&self.title, Self::MAX_TITLE_CHARS, "title"),
            (&self.summary, Self::MAX_SUMMARY_CHARS, "summary"),
            (category, Self::MAX_CATEGORY_CHARS, "category"),
        ] {
            check(text.chars().count() > longest, field, format!("must be at most {longest} characters"));
        }
        check(
            self.products.len() > Self::MAX_PRODUCTS,
            "products",
            format!("must be at most {}, are {}", Self::MAX_PRODUCTS, self.products.len()),
        );
        for (place, product) in self.products.iter().enumerate().take(Self::MAX_PRODUCTS) {
            check(
                product.chars().count() > Self::MAX_PRODUCT_CHARS,
                &format!("products[{place}]"),
                format!("must be at most {} characters", Self::MAX_PRODUCT_CHARS),
            );
        }
        check(
            self.body.len() > Self::MAX_BODY_BYTES,
            "body",
            format!("must be at most {} bytes, is {}", Self::MAX_BODY_BYTES, self.body.len()),
        );
        violations
    }

    /// Bytes of all its text, for bounds on memory.
    pub fn text_bytes(&self) -> usize {
        let parts = [&self.id, &self.title, &self.summary, &self.body].into_iter();
        parts.chain(&self.products).chain(&self.category).map(String::len).sum()
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
}

/// An article that a search found.
#[derive(Debug, Clone, PartialEq)]
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
            ..Article::default()
        };
        assert_eq!(longest.violations(""), []);
        assert_eq!(longest.text_bytes(), (1 << 20) + 2 * (256 + 1_024 + 4_096 + 64 * 256 + 256));
        let more = |text: &str| format!("{text}x");
        let longer = Article {
            id: more(&longest.id),
            title: more(&longest.title),
            summary: more(&longest.summary),
            body: more(&longest.body),
            products: [&longest.products[..], &["p".repeat(257)]].concat(),
            category: longest.category.as_deref().map(more),
            ..Article::default()
        };
        let fields: Vec<_> = longer.violations("").into_iter().map(|v| v.field).collect();
        assert_eq!(fields, ["id", "title", "summary", "category", "products", "body"]);
        let product = Article { products: vec!["p".into(), "p".repeat(257)], ..longest };
        assert_eq!(product.violations("")[0].field, "products[1]");
    }
}
