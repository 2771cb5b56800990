//! What became of suggested articles, and the links of confirmed tickets that follow from it. An event is recorded once
//! and together with its link. Tickets come here prepared and redacted.

use std::{borrow::Cow, collections::HashMap};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::{
    Store, StoreError,
    changes::{ImportCounts, closed},
    memory::{solved_tickets, ticket, upsert},
};
use crate::domain::{
    article::Day,
    feedback::{ArticleEvent, ArticleFeedback, ArticleUsage, FeedbackEffect},
    memory::{ConfirmedTicket, LinkCounts},
};

impl Store {
    /// The key of this database that seals the handles of suggestions. Not to be shown to anybody.
    pub(crate) fn suggestion_key(&self) -> Result<[u8; 32], StoreError> {
        self.reader()
            .query_row("SELECT key FROM suggestion_key", [], |row| row.get(0))
            .map_err(self.failed("reading the key of suggestions"))
    }

    /// Records an event with the link that follows from it, both or, on an error, neither. A repeated event changes
    /// nothing; of helped and refused the later one stands.
    pub fn record_article_feedback(&self, feedback: &ArticleFeedback, day: Day) -> Result<FeedbackEffect, StoreError> {
        let failed = self.failed("recording feedback on an article");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let effect = record(&transaction, feedback, day).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(effect)
    }

    /// What came of suggesting an article; all zero for one that is not known.
    pub fn article_usage(&self, article: &str) -> Result<ArticleUsage, StoreError> {
        usage(&self.reader(), article).map_err(self.failed("counting feedback on an article"))
    }

    /// What came of suggesting articles, by their ids; those that nothing came of yet are missing.
    pub fn article_usages(&self) -> Result<HashMap<String, ArticleUsage>, StoreError> {
        let links = self.article_links()?;
        usages(&self.reader(), &links).map_err(self.failed("counting feedback on articles"))
    }
}

fn record(transaction: &Transaction<'_>, feedback: &ArticleFeedback, day: Day) -> rusqlite::Result<FeedbackEffect> {
    let ArticleFeedback { suggestion, article, event } = feedback;
    let ticket_id = event.opposite().map(|_| &suggestion.ticket.id);
    let recorded = transaction.execute(
        "INSERT INTO article_feedback (digest, article_id, event, ticket_id, recorded_on) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (digest, article_id, event) DO NOTHING",
        params![suggestion.digest, article, event.as_str(), ticket_id, day.to_string()],
    )?;
    if recorded == 0 {
        return Ok(FeedbackEffect::default());
    }
    let Some(opposite) = event.opposite() else { return Ok(FeedbackEffect { is_new: true, memory_changed: false }) };
    transaction.execute(
        "DELETE FROM article_feedback WHERE digest = ?1 AND article_id = ?2 AND event = ?3",
        params![suggestion.digest, article, opposite.as_str()],
    )?;
    // What another suggestion for the same ticket led to.
    transaction.execute(
        "UPDATE article_feedback SET ticket_id = NULL WHERE ticket_id = ?1 AND article_id = ?2 AND event = ?3",
        params![suggestion.ticket.id, article, opposite.as_str()],
    )?;
    let known = ticket(transaction, &suggestion.ticket.id)?;
    let mut linked = known.unwrap_or_else(|| suggestion.ticket.clone());
    match event {
        ArticleEvent::Helped => {
            linked.refused.remove(article);
            linked.resolved_on.get_or_insert(day);
        }
        ArticleEvent::Refused => _ = linked.articles.remove(article),
        ArticleEvent::Shown | ArticleEvent::Clicked => {}
    }
    let ImportCounts { imported, updated, unchanged: _ } = upsert(transaction, &[linked])?;
    Ok(FeedbackEffect { is_new: true, memory_changed: imported + updated > 0 })
}

/// The ticket with the links that feedback gave it, but for articles that it names itself. A full list takes no more.
pub(super) fn with_links<'a>(
    connection: &Connection,
    ticket: &'a ConfirmedTicket,
) -> rusqlite::Result<Cow<'a, ConfirmedTicket>> {
    let mut statement =
        connection.prepare_cached("SELECT article_id, event FROM article_feedback WHERE ticket_id = ?1")?;
    let mut links = statement.query([&ticket.id])?;
    let mut linked = Cow::Borrowed(ticket);
    while let Some(link) = links.next()? {
        let article: String = link.get("article_id")?;
        if linked.articles.contains(&article) || linked.refused.contains(&article) {
            continue;
        }
        let ids = match event(link)? {
            ArticleEvent::Helped => &mut linked.to_mut().articles,
            ArticleEvent::Refused => &mut linked.to_mut().refused,
            ArticleEvent::Shown | ArticleEvent::Clicked => continue,
        };
        if ids.len() < ConfirmedTicket::MAX_ARTICLES {
            ids.insert(article);
        }
    }
    Ok(linked)
}

/// Takes a deleted ticket out of the feedback: what is sent again does not bring it back, and under its id another
/// begins anew.
pub(super) fn forget_ticket(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE article_feedback SET ticket_id = NULL WHERE ticket_id = ?1")?
        .execute([id])
        .map(|_| ())
}

fn usage(connection: &Connection, article: &str) -> rusqlite::Result<ArticleUsage> {
    let mut usage = ArticleUsage { solved_tickets: solved_tickets(connection, article)?, ..ArticleUsage::default() };
    let mut statement = connection.prepare_cached(
        "SELECT event, COUNT(*) AS events FROM article_feedback WHERE article_id = ?1 GROUP BY event",
    )?;
    let mut rows = statement.query([article])?;
    while let Some(row) = rows.next()? {
        *count_of(event(row)?, &mut usage) = row.get("events")?;
    }
    Ok(usage)
}

fn usages(
    connection: &Connection,
    links: &HashMap<String, LinkCounts>,
) -> rusqlite::Result<HashMap<String, ArticleUsage>> {
    let solved = |links: &LinkCounts| ArticleUsage { solved_tickets: links.solved, ..ArticleUsage::default() };
    let mut usages: HashMap<_, _> = links.iter().map(|(article, links)| (article.clone(), solved(links))).collect();
    let mut statement = connection.prepare_cached(
        "SELECT article_id, event, COUNT(*) AS events FROM article_feedback GROUP BY article_id, event",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let usage = usages.entry(row.get("article_id")?).or_default();
        *count_of(event(row)?, usage) = row.get("events")?;
    }
    Ok(usages)
}

fn count_of(event: ArticleEvent, usage: &mut ArticleUsage) -> &mut u64 {
    match event {
        ArticleEvent::Shown => &mut usage.shown,
        ArticleEvent::Clicked => &mut usage.clicked,
        ArticleEvent::Helped => &mut usage.helped,
        ArticleEvent::Refused => &mut usage.refused,
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<ArticleEvent> {
    closed(row, "event", ArticleEvent::parse)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::feedback::Suggestion;

    struct Desk {
        _folder: tempfile::TempDir,
        store: Store,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            Self { _folder: folder, store }
        }

        /// Records an event of the suggestion with this number; whether it was new, and whether the memory changed.
        fn record(&self, suggestion: u8, ticket: &str, article: &str, event: ArticleEvent) -> (bool, bool) {
            let ticket = ConfirmedTicket { id: ticket.into(), summary: "asked".into(), ..Default::default() };
            let suggestion = Suggestion { digest: [suggestion; 16], ticket, articles: Vec::new() };
            let feedback = ArticleFeedback { suggestion, article: article.into(), event };
            let day = Day::parse("2026-03-01").unwrap();
            let effect = self.store.record_article_feedback(&feedback, day).unwrap();
            (effect.is_new, effect.memory_changed)
        }

        fn links(&self, ticket: &str) -> Option<(Vec<String>, Vec<String>)> {
            let ticket = self.store.memory_ticket(ticket).unwrap()?;
            Some((ticket.articles.into_iter().collect(), ticket.refused.into_iter().collect()))
        }

        fn usage(&self, article: &str) -> [u64; 5] {
            let usage = self.store.article_usage(article).unwrap();
            [usage.shown, usage.clicked, usage.helped, usage.refused, usage.solved_tickets]
        }
    }

    fn ids<const N: usize>(ids: [&str; N]) -> Vec<String> {
        ids.map(str::to_owned).into()
    }

    use ArticleEvent::{Clicked, Helped, Refused, Shown};

    #[test]
    fn the_key_is_of_the_database_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let key = || Store::open(folder.path()).unwrap().suggestion_key().unwrap();
        let first = key();
        assert_eq!(key(), first);
        assert_ne!(Desk::new().store.suggestion_key().unwrap(), first);
    }

    #[test]
    fn seeing_and_opening_are_counted_once_and_keep_nothing_of_the_ticket() {
        let desk = Desk::new();
        assert_eq!(desk.record(1, "t", "a", Shown), (true, false));
        assert_eq!(desk.record(1, "t", "a", Shown), (false, false));
        assert_eq!(desk.record(1, "t", "a", Clicked), (true, false));
        assert_eq!(desk.record(2, "t", "a", Shown), (true, false));
        assert_eq!(desk.record(1, "t", "b", Shown), (true, false));
        assert_eq!((desk.usage("a"), desk.usage("b"), desk.usage("c")), ([2, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0; 5]));
        assert_eq!((desk.links("t"), desk.store.last_memory_change().unwrap()), (None, 0));
    }

    #[test]
    fn what_helped_becomes_memory_once() {
        let desk = Desk::new();
        assert_eq!(desk.record(1, "t", "a", Helped), (true, true));
        assert_eq!(desk.record(1, "t", "a", Helped), (false, false));
        let ticket = desk.store.memory_ticket("t").unwrap().unwrap();
        assert_eq!((ticket.summary.as_str(), ticket.resolved_on), ("asked", Day::parse("2026-03-01")));
        assert_eq!(desk.links("t"), Some((ids(["a"]), ids([]))));
        assert_eq!(desk.record(1, "t", "b", Helped), (true, true));
        assert_eq!(desk.record(2, "t", "a", Helped), (true, false), "the link is there");
        assert_eq!((desk.usage("a"), desk.store.last_memory_change().unwrap()), ([0, 0, 2, 0, 1], 2));
    }

    #[test]
    fn of_helped_and_refused_the_later_counts() {
        for (first, second, links, usage) in [
            (Helped, Refused, (ids([]), ids(["a"])), [0, 0, 0, 1, 0]),
            (Refused, Helped, (ids(["a"]), ids([])), [0, 0, 1, 0, 1]),
        ] {
            let desk = Desk::new();
            for event in [first, second, first, second] {
                assert_eq!(desk.record(1, "t", "a", event), (true, true));
            }
            assert_eq!(desk.record(1, "t", "a", second), (false, false));
            assert_eq!((desk.links("t"), desk.usage("a")), (Some(links.clone()), usage));
            // Another suggestion for the same ticket.
            assert_eq!(desk.record(2, "t", "a", first), (true, true));
            assert_eq!(desk.record(3, "t", "a", second), (true, true));
            assert_eq!(desk.links("t"), Some(links));
        }
    }

    #[test]
    fn a_confirmed_ticket_keeps_its_text_and_its_links() {
        let desk = Desk::new();
        let confirmed = ConfirmedTicket {
            id: "t".into(),
            summary: "from the desk".into(),
            resolved_on: Day::parse("2026-01-01"),
            articles: BTreeSet::from(["x".into(), "y".into()]),
            ..Default::default()
        };
        desk.store.upsert_memory_tickets(std::slice::from_ref(&confirmed)).unwrap();
        desk.record(1, "t", "a", Helped);
        desk.record(1, "t", "x", Refused);
        assert_eq!(desk.links("t"), Some((ids(["a", "y"]), ids(["x"]))));
        let kept = desk.store.memory_ticket("t").unwrap().unwrap();
        assert_eq!((kept.summary.as_str(), kept.resolved_on), ("from the desk", confirmed.resolved_on));
    }

    #[test]
    fn an_import_leaves_the_links_that_feedback_gave() {
        let desk = Desk::new();
        desk.record(1, "t", "a", Helped);
        desk.record(1, "t", "b", Refused);
        let exported = ConfirmedTicket {
            id: "t".into(),
            summary: "exported".into(),
            articles: BTreeSet::from(["b".into()]),
            ..Default::default()
        };
        let import = || {
            let planned = desk.store.plan_memory_tickets(std::slice::from_ref(&exported)).unwrap();
            let counts = desk.store.upsert_memory_tickets(std::slice::from_ref(&exported)).unwrap();
            assert_eq!(planned, counts);
            counts
        };
        assert_eq!(import().updated, 1);
        assert_eq!(desk.links("t"), Some((ids(["a", "b"]), ids([]))));
        assert_eq!(import().unchanged, 1);
    }

    #[test]
    fn a_deleted_ticket_does_not_come_back() {
        let desk = Desk::new();
        desk.record(1, "t", "a", Helped);
        desk.store.delete_memory_tickets(&["t".to_owned()]).unwrap();
        assert_eq!(desk.record(1, "t", "a", Helped), (false, false));
        assert_eq!((desk.links("t"), desk.usage("a")), (None, [0, 0, 1, 0, 0]));
        let again = ConfirmedTicket { id: "t".into(), summary: "another".into(), ..Default::default() };
        desk.store.upsert_memory_tickets(&[again]).unwrap();
        assert_eq!(desk.links("t"), Some((ids([]), ids([]))));
    }

    #[test]
    fn a_full_list_of_links_takes_no_more() {
        let desk = Desk::new();
        let articles = (0..ConfirmedTicket::MAX_ARTICLES).map(|number| number.to_string()).collect();
        let full = ConfirmedTicket { id: "t".into(), summary: "s".into(), articles, ..Default::default() };
        desk.store.upsert_memory_tickets(&[full]).unwrap();
        assert!(desk.record(1, "t", "a", Helped).0);
        assert_eq!(desk.links("t").unwrap().0.len(), ConfirmedTicket::MAX_ARTICLES);
    }
}
