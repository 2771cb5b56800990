//! Articles that do no good: never suggested, never helpful, expired, or there twice.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use super::duplicates::{self, Sketch};
use crate::domain::{
    article::{Article, ArticleKind, Day},
    feedback::ArticleUsage,
    gaps::{ArticleFinding, ArticleFindings, ArticleName, NearDuplicates, Standing},
};

/// So many articles are compared with one another, the first by their ids.
const MAX_COMPARED: usize = 20_000;

/// The articles of the knowledge base, as far as the report needs them.
#[derive(Debug, Default)]
pub(super) struct Articles {
    by_id: BTreeMap<String, Facts>,
    /// Of those in force, the first of them.
    compared: Vec<(String, Sketch)>,
}

#[derive(Debug)]
struct Facts {
    title: String,
    kind: ArticleKind,
    valid_until: Option<Day>,
    standing: Option<Standing>,
    suggested: u64,
    passed_over: u64,
}

/// That an article would be suggested for a ticket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suggested {
    /// Others solved the ticket.
    pub is_passed_over: bool,
}

impl Articles {
    pub(super) fn add(&mut self, article: &Article, today: Day) {
        let standing = Standing::of(article.status, article.valid_until, today);
        if standing.is_none() && self.compared.len() < MAX_COMPARED {
            self.compared.push((article.id.clone(), Sketch::of(article)));
        }
        let facts = Facts {
            title: article.title.clone(),
            kind: article.kind,
            valid_until: article.valid_until,
            standing,
            suggested: 0,
            passed_over: 0,
        };
        self.by_id.insert(article.id.clone(), facts);
    }

    /// Why an article is not in force; `None` where it is.
    pub(super) fn standing(&self, id: &str) -> Option<Standing> {
        self.by_id.get(id).map_or(Some(Standing::Missing), |facts| facts.standing)
    }

    /// Empty for an article that is not there.
    pub(super) fn title(&self, id: &str) -> &str {
        self.by_id.get(id).map_or("", |facts| &facts.title)
    }

    pub(super) fn suggested(&mut self, id: &str, suggested: Suggested) {
        if let Some(facts) = self.by_id.get_mut(id) {
            facts.suggested += 1;
            facts.passed_over += u64::from(suggested.is_passed_over);
        }
    }

    pub(super) fn findings(self, usages: &HashMap<String, ArticleUsage>) -> ArticleFindings {
        let (mut never_suggested, mut never_helpful, mut expired) = (Vec::new(), Vec::new(), Vec::new());
        let near_duplicates: Vec<_> = self.near_duplicates();
        for (id, facts) in &self.by_id {
            let usage = usages.get(id).copied().unwrap_or_default();
            let finding = || facts.finding(id, usage);
            match facts.standing {
                None if facts.suggested == 0 && usage == ArticleUsage::default() => never_suggested.push(finding()),
                None if is_never_helpful(facts, usage) => never_helpful.push(finding()),
                Some(Standing::Expired) => expired.push(finding()),
                None | Some(Standing::Missing | Standing::Draft | Standing::Retired) => {}
            }
        }
        let offered = |one: &ArticleFinding| one.usage.shown + one.usage.clicked + one.suggested;
        never_helpful.sort_by_key(|one| Reverse((one.usage.refused, offered(one))));
        expired.sort_by_key(|one| Reverse((one.usage.solved_tickets, one.valid_until)));
        ArticleFindings {
            articles: self.by_id.len() as u64,
            never_suggested: never_suggested.into(),
            never_helpful: never_helpful.into(),
            expired: expired.into(),
            near_duplicates: near_duplicates.into(),
            compared: self.compared.len() as u64,
        }
    }

    fn near_duplicates(&self) -> Vec<NearDuplicates> {
        let sketches: Vec<Sketch> = self.compared.iter().map(|(_, sketch)| sketch.clone()).collect();
        let name = |place: usize| {
            let (id, _) = &self.compared[place];
            ArticleName { id: id.clone(), title: self.title(id).to_owned() }
        };
        let pairs = duplicates::pairs(&sketches).into_iter();
        let named =
            |(first, second, similarity)| NearDuplicates { first: name(first), second: name(second), similarity };
        pairs.map(named).collect()
    }
}

fn is_never_helpful(facts: &Facts, usage: ArticleUsage) -> bool {
    let ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage;
    let is_offered = shown + clicked + refused > 0 || facts.passed_over >= ArticleFindings::PASSED_OVER;
    is_offered && helped == 0 && solved_tickets == 0
}

impl Facts {
    fn finding(&self, id: &str, usage: ArticleUsage) -> ArticleFinding {
        ArticleFinding {
            id: id.to_owned(),
            title: self.title.clone(),
            kind: self.kind,
            valid_until: self.valid_until,
            suggested: self.suggested,
            passed_over: self.passed_over,
            usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::article::ArticleStatus;

    const TODAY: &str = "2026-06-15";

    fn articles(rows: &[(&str, ArticleStatus, Option<&str>)]) -> Articles {
        let mut articles = Articles::default();
        for (id, status, valid_until) in rows {
            let valid_until = valid_until.map(|day| Day::parse(day).unwrap());
            let article = Article {
                id: (*id).to_owned(),
                title: format!("About {id}"),
                status: *status,
                valid_until,
                ..Article::default()
            };
            articles.add(&article, Day::parse(TODAY).unwrap());
        }
        articles
    }

    fn ids(listed: &crate::domain::gaps::Listed<ArticleFinding>) -> Vec<&str> {
        listed.first.iter().map(|one| one.id.as_str()).collect()
    }

    #[test]
    fn each_article_is_listed_for_one_reason() {
        let published = ArticleStatus::Published;
        let mut articles = articles(&[
            ("draft", ArticleStatus::Draft, None),
            ("expired", published, Some("2026-06-14")),
            ("expired-used", published, Some("2025-06-14")),
            ("helpful", published, None),
            ("passed-over", published, None),
            ("refused", published, None),
            ("retired", ArticleStatus::Retired, None),
            ("shown", published, None),
            ("suggested", published, Some(TODAY)),
            ("unused", published, None),
        ]);
        articles.suggested("suggested", Suggested { is_passed_over: true });
        (0..ArticleFindings::PASSED_OVER)
            .for_each(|_| articles.suggested("passed-over", Suggested { is_passed_over: true }));
        let usages = [
            ("expired-used", ArticleUsage { solved_tickets: 2, ..ArticleUsage::default() }),
            ("helpful", ArticleUsage { shown: 9, refused: 8, helped: 1, ..ArticleUsage::default() }),
            ("refused", ArticleUsage { refused: 1, ..ArticleUsage::default() }),
            ("shown", ArticleUsage { shown: 2, ..ArticleUsage::default() }),
        ];
        let found = articles.findings(&usages.map(|(id, usage)| (id.to_owned(), usage)).into());
        assert_eq!(found.articles, 10);
        assert_eq!(ids(&found.never_suggested), ["unused"]);
        assert_eq!(ids(&found.never_helpful), ["refused", "passed-over", "shown"]);
        assert_eq!(ids(&found.expired), ["expired-used", "expired"]);
        assert_eq!(found.near_duplicates.total, 0);
    }
}
