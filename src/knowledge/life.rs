//! The life of an article: draft, published, retired, and back to any of them but from a draft to retired. Moving it on is
//! refused where nobody would see the effect that was asked for.

use crate::domain::article::{Article, ArticleStatus, Day};

/// Why an article must not be moved from a status to what it would be then.
pub(super) fn problem(from: ArticleStatus, moved: &Article, today: Option<Day>) -> Option<String> {
    match moved.status {
        ArticleStatus::Draft => None,
        ArticleStatus::Published => {
            let last = moved.valid_until.filter(|last| today.is_some_and(|today| *last < today))?;
            Some(format!(
                "would not be suggested: its last day, {last}, is past; publish it with a later valid_until, or with none"
            ))
        }
        ArticleStatus::Retired => (from == ArticleStatus::Draft)
            .then(|| "is a draft, which was never in force: publish it, or delete it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_goes_from_draft_to_published_to_retired_and_back() {
        use ArticleStatus::{Draft, Published, Retired};
        let today = Day::parse("2026-06-15");
        let check = |from, status, last: &str, refused: bool| {
            let moved = Article { status, valid_until: Day::parse(last), ..Article::default() };
            assert_eq!(problem(from, &moved, today).is_some(), refused, "{from:?} {status:?} {last}");
        };
        for from in [Draft, Published, Retired] {
            check(from, Draft, "2026-01-01", false);
            check(from, Published, "", false);
            check(from, Published, "2026-06-15", false);
            check(from, Published, "2026-06-14", true);
            check(from, Retired, "2026-01-01", from == Draft);
        }
    }
}
