//! Confirmed tickets as they are kept, which articles solved them, and the sequence of their changes that the memory's
//! index follows. Text comes here prepared and redacted. What is deleted is gone from the database's files when the
//! call returns.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    Store, StoreError,
    changes::{CHANGES_PAGE_BYTES, Change, Effect, ImportCounts, closed, closed_or_null},
    decision_feedback,
    feedback::{forget_ticket, with_links},
    jobs,
    overlay::{self, Overlaid},
};
use crate::domain::{
    article::Day,
    memory::{ConfirmedTicket, LinkCounts},
};

const COLUMNS: &str =
    "id, summary, description, service, configuration_item, labels, resolution, resolved_on, own_labels, voices";
const SOLVED: &str = "solved";
const REFUSED: &str = "refused";

/// A page of the list ends behind this many bytes of text.
const LIST_PAGE_BYTES: usize = 2 << 20;

/// A part of the list of all confirmed tickets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryPage {
    pub tickets: Vec<ConfirmedTicket>,
    /// Whether tickets follow behind the last one.
    pub more: bool,
}

impl Store {
    /// The sequence number of the latest change to the confirmed tickets; 0 before the first.
    pub fn last_memory_change(&self) -> Result<u64, StoreError> {
        last_change(&self.reader()).map_err(self.failed("reading the memory's change counter"))
    }

    /// Adds or replaces tickets by id, with their links: all of them or, on an error, none. Of two with one id the
    /// later counts. Links and labels that came through feedback stay, but where the ticket says otherwise of the article
    /// or comes with another label than before.
    pub fn upsert_memory_tickets(&self, tickets: &[ConfirmedTicket]) -> Result<ImportCounts, StoreError> {
        let failed = self.failed("writing confirmed tickets");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let counts = upsert(&transaction, tickets).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(counts)
    }

    /// What [`Self::upsert_memory_tickets`] would do; stores nothing.
    pub fn plan_memory_tickets(&self, tickets: &[ConfirmedTicket]) -> Result<ImportCounts, StoreError> {
        let failed = self.failed("comparing confirmed tickets");
        let reader = self.reader();
        let mut counts = ImportCounts::default();
        let mut planned = HashMap::new();
        for ticket in tickets {
            let linked = with_links(&reader, ticket).map_err(&failed)?;
            let hash = Overlaid::of(&reader, &linked).map_err(&failed)?.content_hash();
            let known = match planned.get(ticket.id.as_str()) {
                Some(hash) => Some(*hash),
                None => stored_hash(&reader, &ticket.id).map_err(&failed)?,
            };
            counts.add(Effect::of(known, hash));
            planned.insert(ticket.id.as_str(), hash);
        }
        Ok(counts)
    }

    pub fn memory_ticket(&self, id: &str) -> Result<Option<ConfirmedTicket>, StoreError> {
        ticket(&self.reader(), id).map_err(self.failed("reading a confirmed ticket"))
    }

    /// Tickets in the order of their ids, behind the id `after`: at most `limit`, and fewer where they are long.
    pub fn list_memory_tickets(&self, after: Option<&str>, limit: usize) -> Result<MemoryPage, StoreError> {
        select_tickets(&self.reader(), after, limit).map_err(self.failed("listing confirmed tickets"))
    }

    pub fn count_memory_tickets(&self) -> Result<u64, StoreError> {
        self.reader()
            .query_row("SELECT COUNT(*) FROM memory_tickets", [], |row| row.get(0))
            .map_err(self.failed("counting confirmed tickets"))
    }

    /// Deletes tickets with their links; those of the ids that there was no ticket of, in the order given. Nothing of
    /// a deleted ticket but its id is left in the database's files.
    pub fn delete_memory_tickets(&self, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let failed = self.failed("deleting confirmed tickets");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let unknown = delete(&transaction, ids).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        // The log still holds the tickets as they were written. Nobody reads meanwhile, so that it can be emptied.
        let _reader = self.reader();
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(&failed)?;
        Ok(unknown)
    }

    /// As [`Self::latest_memory_tickets`], without tickets that were resolved before `since`.
    pub fn recent_memory_tickets(
        &self,
        before: Option<u64>,
        since: Day,
        limit: usize,
    ) -> Result<Vec<(ConfirmedTicket, u64)>, StoreError> {
        let tickets = latest_tickets(&self.reader(), before, Some(since), limit);
        tickets.map_err(self.failed("reading confirmed tickets"))
    }

    /// How often each linked article solved a ticket and was refused.
    pub fn article_links(&self) -> Result<HashMap<String, LinkCounts>, StoreError> {
        links_by_article(&self.reader()).map_err(self.failed("counting links to articles"))
    }

    /// Changes behind `sequence`, oldest first; at most `limit` and about 4 MiB of text, empty when there are none.
    pub fn memory_changes_since(
        &self,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Change<ConfirmedTicket>>, StoreError> {
        changes_since(&self.reader(), sequence, limit).map_err(self.failed("reading the memory's changes"))
    }
}

pub(super) fn upsert(transaction: &Transaction<'_>, tickets: &[ConfirmedTicket]) -> rusqlite::Result<ImportCounts> {
    let mut counts = ImportCounts::default();
    for ticket in tickets {
        let linked = with_links(transaction, ticket)?;
        let overlaid = Overlaid::of(transaction, &linked)?;
        decision_feedback::supersede(transaction, &ticket.id, &overlaid.superseded)?;
        counts.add(write(transaction, &overlaid)?);
    }
    Ok(counts)
}

/// Writes a ticket with its links where it is another than before.
pub(super) fn write(transaction: &Transaction<'_>, overlaid: &Overlaid) -> rusqlite::Result<Effect> {
    let Overlaid { ticket, own_labels, .. } = overlaid;
    let hash = overlaid.content_hash();
    let effect = Effect::of(stored_hash(transaction, &ticket.id)?, hash);
    if effect == Effect::Same {
        return Ok(effect);
    }
    let sequence = last_change(transaction)? + 1;
    let json = |labels: &BTreeMap<String, String>| {
        serde_json::to_string(labels).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    };
    transaction
        .prepare_cached(&format!(
            "INSERT INTO memory_tickets ({COLUMNS}, content_hash, sequence) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             ON CONFLICT (id) DO UPDATE SET summary = excluded.summary, description = excluded.description, \
             service = excluded.service, configuration_item = excluded.configuration_item, labels = excluded.labels, \
             resolution = excluded.resolution, resolved_on = excluded.resolved_on, \
             own_labels = excluded.own_labels, voices = excluded.voices, \
             content_hash = excluded.content_hash, sequence = excluded.sequence"
        ))?
        .execute(params![
            ticket.id,
            ticket.summary,
            ticket.description,
            ticket.service,
            ticket.configuration_item,
            json(&ticket.labels)?,
            ticket.resolution,
            ticket.resolved_on.map(|day| day.to_string()),
            own_labels.as_ref().map(json).transpose()?,
            overlay::voices_to_json(&ticket.voices)?,
            hash,
            sequence,
        ])?;
    if effect == Effect::New {
        transaction.prepare_cached("DELETE FROM deleted_memory_tickets WHERE id = ?1")?.execute([&ticket.id])?;
    } else {
        transaction.prepare_cached("DELETE FROM memory_links WHERE ticket_id = ?1")?.execute([&ticket.id])?;
    }
    let mut link =
        transaction.prepare_cached("INSERT INTO memory_links (ticket_id, article_id, outcome) VALUES (?1, ?2, ?3)")?;
    for (ids, outcome) in [(&ticket.articles, SOLVED), (&ticket.refused, REFUSED)] {
        for article in ids {
            link.execute(params![ticket.id, article, outcome])?;
        }
    }
    set_last_change(transaction, sequence)?;
    Ok(effect)
}

pub(super) fn delete(transaction: &Transaction<'_>, ids: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut unknown = Vec::new();
    let mut sequence = last_change(transaction)?;
    let mut delete = transaction.prepare_cached("DELETE FROM memory_tickets WHERE id = ?1")?;
    let mut remember =
        transaction.prepare_cached("INSERT INTO deleted_memory_tickets (id, sequence) VALUES (?1, ?2)")?;
    for id in ids {
        if delete.execute([id])? == 0 {
            unknown.push(id.clone());
            continue;
        }
        sequence += 1;
        remember.execute(params![id, sequence])?;
        forget_ticket(transaction, id)?;
        decision_feedback::forget_ticket(transaction, id)?;
        jobs::forget_ticket(transaction, id)?;
    }
    set_last_change(transaction, sequence)?;
    Ok(unknown)
}

fn last_change(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT last FROM memory_counter", [], |row| row.get(0))
}

fn set_last_change(transaction: &Transaction<'_>, sequence: u64) -> rusqlite::Result<()> {
    transaction.execute("UPDATE memory_counter SET last = ?1", [sequence]).map(|_| ())
}

fn stored_hash(connection: &Connection, id: &str) -> rusqlite::Result<Option<[u8; 32]>> {
    connection
        .prepare_cached("SELECT content_hash FROM memory_tickets WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()
}

pub(super) fn ticket(connection: &Connection, id: &str) -> rusqlite::Result<Option<ConfirmedTicket>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM memory_tickets WHERE id = ?1"))?
        .query_row([id], |row| read_ticket(connection, row))
        .optional()
}

fn select_tickets(connection: &Connection, after: Option<&str>, limit: usize) -> rusqlite::Result<MemoryPage> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM memory_tickets WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
    // No id is empty, so the empty string stands before the first. One more than asked for tells whether more follow.
    let mut rows = statement.query(params![after.unwrap_or(""), limit.saturating_add(1)])?;
    let mut page = MemoryPage::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.tickets.len() == limit || bytes >= LIST_PAGE_BYTES {
            page.more = true;
            break;
        }
        let ticket = read_ticket(connection, row)?;
        bytes += ticket.text_bytes();
        page.tickets.push(ticket);
    }
    Ok(page)
}

/// Tickets in the order of their ids, behind the id `after`, each with the change that wrote it; a page.
pub(super) fn tickets_with_changes(
    connection: &Connection,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<(ConfirmedTicket, u64)>> {
    let statement = format!("SELECT {COLUMNS}, sequence FROM memory_tickets WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&statement)?;
    let mut rows = statement.query(params![after, limit])?;
    let (mut tickets, mut bytes) = (Vec::new(), 0);
    while bytes < LIST_PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let ticket = read_ticket(connection, row)?;
        bytes += ticket.text_bytes();
        tickets.push((ticket, row.get("sequence")?));
    }
    Ok(tickets)
}

/// Tickets, the latest change first, each with the change that wrote it, without those that were resolved before
/// `since`; a page.
pub(super) fn latest_tickets(
    connection: &Connection,
    before: Option<u64>,
    since: Option<Day>,
    limit: usize,
) -> rusqlite::Result<Vec<(ConfirmedTicket, u64)>> {
    let statement = format!(
        "SELECT {COLUMNS}, sequence FROM memory_tickets \
         WHERE sequence < ?1 AND (resolved_on IS NULL OR resolved_on >= ?2) ORDER BY sequence DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&statement)?;
    let before = before.map_or(i64::MAX, |change| i64::try_from(change).unwrap_or(i64::MAX));
    let since = since.map(|day| day.to_string()).unwrap_or_default();
    let mut rows = statement.query(params![before, since, limit])?;
    let (mut tickets, mut bytes) = (Vec::new(), 0);
    while bytes < LIST_PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let ticket = read_ticket(connection, row)?;
        bytes += ticket.text_bytes();
        tickets.push((ticket, row.get("sequence")?));
    }
    Ok(tickets)
}

/// The change that wrote a ticket; `None` where there is no such ticket.
pub(super) fn change_of(connection: &Connection, id: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT sequence FROM memory_tickets WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// How many confirmed tickets an article solved.
pub(super) fn solved_tickets(connection: &Connection, article: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT COUNT(*) FROM memory_links WHERE article_id = ?1 AND outcome = ?2")?
        .query_row([article, SOLVED], |row| row.get(0))
}

fn links_by_article(connection: &Connection) -> rusqlite::Result<HashMap<String, LinkCounts>> {
    let mut statement = connection.prepare_cached(
        "SELECT article_id, outcome, COUNT(*) AS links FROM memory_links GROUP BY article_id, outcome",
    )?;
    let mut rows = statement.query([])?;
    let mut counts: HashMap<String, LinkCounts> = HashMap::new();
    while let Some(row) = rows.next()? {
        let links = row.get("links")?;
        let of_article = counts.entry(row.get("article_id")?).or_default();
        if is_solved(row)? {
            of_article.solved = links;
        } else {
            of_article.refused = links;
        }
    }
    Ok(counts)
}

fn changes_since(
    connection: &Connection,
    sequence: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Change<ConfirmedTicket>>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, sequence, 0 AS deleted FROM memory_tickets WHERE sequence > ?1 \
         UNION ALL \
         SELECT id, '', '', '', '', '', '', NULL, NULL, '', sequence, 1 FROM deleted_memory_tickets WHERE sequence > ?1 \
         ORDER BY sequence LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![sequence, limit])?;
    let mut changes = Vec::new();
    let mut bytes = 0;
    while bytes < CHANGES_PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let ticket = if row.get("deleted")? { None } else { Some(read_ticket(connection, row)?) };
        bytes += ticket.as_ref().map_or(0, ConfirmedTicket::text_bytes);
        changes.push(Change { sequence: row.get("sequence")?, id: row.get("id")?, record: ticket });
    }
    Ok(changes)
}

fn read_ticket(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<ConfirmedTicket> {
    let id: String = row.get("id")?;
    let (mut articles, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let mut statement =
        connection.prepare_cached("SELECT article_id, outcome FROM memory_links WHERE ticket_id = ?1")?;
    let mut links = statement.query([&id])?;
    while let Some(link) = links.next()? {
        let ids = if is_solved(link)? { &mut articles } else { &mut refused };
        ids.insert(link.get("article_id")?);
    }
    Ok(ConfirmedTicket {
        id,
        summary: row.get("summary")?,
        description: row.get("description")?,
        service: row.get("service")?,
        configuration_item: row.get("configuration_item")?,
        labels: closed(row, "labels", |raw| serde_json::from_str(raw).ok())?,
        resolution: row.get("resolution")?,
        articles,
        refused,
        resolved_on: closed_or_null(row, "resolved_on", Day::parse)?,
        voices: closed(row, "voices", overlay::voices_from_json)?,
    })
}

/// Whether the article of this link solved the ticket; else it was refused.
fn is_solved(link: &Row<'_>) -> rusqlite::Result<bool> {
    closed(link, "outcome", |raw| match raw {
        SOLVED => Some(true),
        REFUSED => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn ids<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
        ids.map(str::to_owned).into()
    }

    fn ticket(id: &str, summary: &str) -> ConfirmedTicket {
        ConfirmedTicket { id: id.into(), summary: summary.into(), ..ConfirmedTicket::default() }
    }

    fn linked(id: &str, articles: BTreeSet<String>, refused: BTreeSet<String>) -> ConfirmedTicket {
        ConfirmedTicket { articles, refused, ..ticket(id, "s") }
    }

    fn counts(imported: u64, updated: u64, unchanged: u64) -> ImportCounts {
        ImportCounts { imported, updated, unchanged }
    }

    fn links(store: &Store, article: &str) -> LinkCounts {
        store.article_links().unwrap().get(article).copied().unwrap_or_default()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (_folder, store) = store();
        let written = ConfirmedTicket {
            id: "INC/1".into(),
            summary: "Käse".into(),
            description: "b\n\0b".into(),
            service: "Payroll".into(),
            configuration_item: "srv-1".into(),
            labels: [("category", "network/vpn"), ("größe", "\"")].map(|(a, b)| (a.into(), b.into())).into(),
            resolution: "Restarted.".into(),
            articles: ids(["b", "a;c"]),
            refused: ids(["z"]),
            resolved_on: Day::parse("2026-02-28"),
            voices: BTreeMap::new(),
        };
        store.upsert_memory_tickets(std::slice::from_ref(&written)).unwrap();
        assert_eq!(store.memory_ticket("INC/1").unwrap(), Some(written.clone()));
        assert_eq!(store.memory_ticket("inc/1").unwrap(), None);
        assert_eq!(store.memory_changes_since(0, 10).unwrap()[0].record, Some(written));
    }

    #[test]
    fn an_unchanged_ticket_is_recognised_and_is_no_change() {
        let (_folder, store) = store();
        let first = [ticket("a", "1"), linked("b", ids(["x"]), ids([]))];
        assert_eq!(store.plan_memory_tickets(&first).unwrap(), counts(2, 0, 0));
        assert_eq!(store.upsert_memory_tickets(&first).unwrap(), counts(2, 0, 0));
        let second =
            [ticket("a", "1"), linked("b", ids([]), ids(["x"])), ticket("c", "1"), ticket("c", "2"), ticket("c", "2")];
        assert_eq!(store.plan_memory_tickets(&second).unwrap(), counts(1, 2, 2));
        assert_eq!(store.upsert_memory_tickets(&second).unwrap(), counts(1, 2, 2));
        assert_eq!(store.last_memory_change().unwrap(), 5);
        assert_eq!(store.memory_ticket("b").unwrap().unwrap().refused, ids(["x"]));
        assert_eq!(store.memory_ticket("c").unwrap().unwrap().summary, "2");
        assert_eq!(store.last_change().unwrap(), 0, "articles have their own sequence");
    }

    #[test]
    fn links_are_counted_by_article_and_go_with_their_tickets() {
        let (_folder, store) = store();
        let tickets = [
            linked("1", ids(["a", "b"]), ids(["c"])),
            linked("2", ids(["a"]), ids(["b"])),
            linked("3", ids(["a"]), ids([])),
        ];
        store.upsert_memory_tickets(&tickets).unwrap();
        assert_eq!(links(&store, "a"), LinkCounts { solved: 3, refused: 0 });
        assert_eq!(links(&store, "b"), LinkCounts { solved: 1, refused: 1 });
        store.upsert_memory_tickets(&[linked("3", ids([]), ids(["a"]))]).unwrap();
        assert_eq!(links(&store, "a"), LinkCounts { solved: 2, refused: 1 });
        let asked = ["2", "9", "1", "2"].map(str::to_owned);
        assert_eq!(store.delete_memory_tickets(&asked).unwrap(), ["9", "2"]);
        assert_eq!(links(&store, "a"), LinkCounts { solved: 0, refused: 1 });
        assert_eq!(links(&store, "b"), LinkCounts::default());
        assert_eq!(store.count_memory_tickets().unwrap(), 1);
    }

    #[test]
    fn changes_come_in_order_with_deletions_and_each_ticket_once() {
        let (_folder, store) = store();
        store.upsert_memory_tickets(&[ticket("a", "1"), ticket("b", "1"), ticket("c", "1")]).unwrap();
        store.upsert_memory_tickets(&[ticket("a", "2")]).unwrap();
        store.delete_memory_tickets(&["b".to_owned()]).unwrap();
        let seen = |since| {
            let changes = store.memory_changes_since(since, 10).unwrap().into_iter();
            changes.map(|change| (change.sequence, change.id, change.record.is_some())).collect::<Vec<_>>()
        };
        let (a, b, c) = ("a".to_owned(), "b".to_owned(), "c".to_owned());
        assert_eq!(seen(0), [(3, c, true), (4, a, true), (5, b.clone(), false)]);
        store.upsert_memory_tickets(&[ticket("b", "3")]).unwrap();
        assert_eq!(seen(4), [(6, b, true)]);
        assert_eq!(seen(6), []);
    }

    #[test]
    fn pages_are_bounded_and_go_on_where_the_last_one_ended() {
        let (_folder, store) = store();
        let long = "x".repeat(1 << 20);
        let tickets: Vec<_> = (0..12).map(|number| ticket(&format!("{number:02}"), &long)).collect();
        store.upsert_memory_tickets(&tickets).unwrap();
        assert_eq!(store.memory_changes_since(0, 100).unwrap().len(), 4);
        let mut seen: Vec<String> = Vec::new();
        loop {
            let page = store.list_memory_tickets(seen.last().map(String::as_str), 100).unwrap();
            assert!(page.tickets.len() <= 2);
            seen.extend(page.tickets.into_iter().map(|ticket| ticket.id));
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, tickets.iter().map(|ticket| ticket.id.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_of_a_deleted_ticket_is_left_in_the_files() {
        let (folder, store) = store();
        let of_several_pages = format!("quetzalcoatl {}", "and more ".repeat(4_000));
        store.upsert_memory_tickets(&[ticket("a", &of_several_pages), ticket("b", "xylophone")]).unwrap();
        store.upsert_memory_tickets(&[ticket("a", "quetzalcoatl again")]).unwrap();
        let holds = |word: &str| {
            let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
            files.into_iter().any(|bytes| bytes.unwrap().windows(word.len()).any(|found| found == word.as_bytes()))
        };
        assert!(holds("quetzalcoatl") && holds("xylophone"), "the search is blind");
        store.delete_memory_tickets(&["a".to_owned()]).unwrap();
        assert!(!holds("quetzalcoatl"));
        assert!(holds("xylophone"));
    }

    #[test]
    fn an_entry_moved_to_the_next_list_is_another_content() {
        let solved = linked("1", ids(["x", "y"]), ids([]));
        let refused = linked("1", ids(["x"]), ids(["y"]));
        let (_folder, store) = store();
        store.upsert_memory_tickets(&[solved]).unwrap();
        assert_eq!(store.plan_memory_tickets(&[refused]).unwrap(), counts(0, 1, 0));
    }
}
