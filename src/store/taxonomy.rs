//! Taxonomies that were in force. The latest is the one that serves, unless the configuration names a file.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::{Store, StoreError};

const COLUMNS: &str = "number, version, document, changed_by, changed_at, changes";

/// Tickets whose labels are read at a time, so that writing waits no longer for it.
const TICKETS_AT_A_TIME: usize = 5_000;

/// Versions that are kept: older ones make room.
const KEPT: u64 = 1_000;

/// A page of the list ends behind this many bytes of changes.
const LIST_PAGE_BYTES: usize = 1 << 20;

/// A taxonomy that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxonomyRecord {
    /// From 1.
    pub number: u64,
    pub version: String,
    /// The text of a taxonomy file.
    pub document: String,
    pub changed_by: String,
    /// Seconds since 1970 began.
    pub changed_at: u64,
    /// What it changed about the one before.
    pub changes: Vec<String>,
}

/// A taxonomy that is to be in force.
#[derive(Debug, Clone, Copy)]
pub struct NewTaxonomy<'a> {
    pub version: &'a str,
    pub document: &'a str,
    pub changed_by: &'a str,
    pub changed_at: u64,
    pub changes: &'a [String],
}

impl Store {
    /// The one in force; `None` before the first change.
    pub fn latest_taxonomy(&self) -> Result<Option<TaxonomyRecord>, StoreError> {
        latest(&self.reader()).map_err(self.failed("reading the taxonomy"))
    }

    pub fn taxonomy(&self, number: u64) -> Result<Option<TaxonomyRecord>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM taxonomy_versions WHERE number = ?1");
        let found = self.reader().query_row(&statement, [number], record).optional();
        found.map_err(self.failed("reading a version of the taxonomy"))
    }

    /// The latest first, below the number `before`, without their documents: at most `limit`, and fewer where much was
    /// changed. And whether older ones follow.
    pub fn list_taxonomies(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<TaxonomyRecord>, bool), StoreError> {
        let failed = self.failed("listing versions of the taxonomy");
        let reader = self.reader();
        let read = || {
            let mut statement = reader.prepare_cached(
                "SELECT number, version, '' AS document, changed_by, changed_at, changes FROM taxonomy_versions \
                 WHERE number < ?1 ORDER BY number DESC LIMIT ?2",
            )?;
            let before = before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
            let rows = statement.query_map(params![before, limit + 1], record)?;
            let (mut records, mut bytes) = (Vec::new(), 0);
            for row in rows {
                let row = row?;
                if records.len() == limit || bytes > LIST_PAGE_BYTES {
                    return Ok((records, true));
                }
                bytes += row.changes.iter().map(String::len).sum::<usize>();
                records.push(row);
            }
            Ok((records, false))
        };
        read().map_err(&failed)
    }

    /// Puts a taxonomy in force and says its number; the last thousand are kept. `before` is what is in force without a kept one: the first change
    /// keeps it too, so that it can be brought back.
    pub fn keep_taxonomy(&self, before: NewTaxonomy<'_>, new: NewTaxonomy<'_>) -> Result<u64, StoreError> {
        let failed = self.failed("keeping the taxonomy");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let insert = |number: u64, taxonomy: NewTaxonomy<'_>| {
            let NewTaxonomy { version, document, changed_by, changed_at, changes } = taxonomy;
            let statement = format!("INSERT INTO taxonomy_versions ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
            let values = params![number, version, document, changed_by, changed_at, changes.join("\n")];
            transaction.execute(&statement, values)
        };
        let keep = || {
            let number = if let Some(latest) = latest(&transaction)? {
                latest.number + 1
            } else {
                insert(1, before)?;
                2
            };
            insert(number, new)?;
            transaction.execute("DELETE FROM taxonomy_versions WHERE number + ?1 <= ?2", [KEPT, number])?;
            Ok(number)
        };
        let number = keep().map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(number)
    }

    /// How many confirmed tickets bear one of these values, by field.
    pub fn count_tickets_labelled(&self, labels: &BTreeMap<String, BTreeSet<String>>) -> Result<u64, StoreError> {
        let failed = self.failed("counting confirmed tickets by their labels");
        let (mut count, mut after) = (0, None);
        loop {
            let page = labels_page(&self.reader(), after.as_deref()).map_err(&failed)?;
            let Some((last, _)) = page.last() else { return Ok(count) };
            after = Some(last.clone());
            let bears = |of_ticket: &BTreeMap<String, String>| {
                of_ticket.iter().any(|(field, value)| labels.get(field).is_some_and(|values| values.contains(value)))
            };
            count += page.iter().filter(|(_, of_ticket)| bears(of_ticket)).count() as u64;
        }
    }
}

fn latest(connection: &Connection) -> rusqlite::Result<Option<TaxonomyRecord>> {
    let statement = format!("SELECT {COLUMNS} FROM taxonomy_versions ORDER BY number DESC LIMIT 1");
    connection.query_row(&statement, [], record).optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<TaxonomyRecord> {
    let changes: String = row.get("changes")?;
    Ok(TaxonomyRecord {
        number: row.get("number")?,
        version: row.get("version")?,
        document: row.get("document")?,
        changed_by: row.get("changed_by")?,
        changed_at: row.get("changed_at")?,
        changes: changes.lines().map(str::to_owned).collect(),
    })
}

/// Ids and labels of some tickets behind `after`, in the order of their ids; empty behind the last one.
fn labels_page(
    connection: &Connection,
    after: Option<&str>,
) -> rusqlite::Result<Vec<(String, BTreeMap<String, String>)>> {
    let statement = "SELECT id, labels FROM memory_tickets WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(statement)?;
    let rows = statement.query_map(params![after.unwrap_or_default(), TICKETS_AT_A_TIME], |row| {
        let (id, labels): (String, String) = (row.get(0)?, row.get(1)?);
        let labels = serde_json::from_str(&labels)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into()))?;
        Ok((id, labels))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::memory::ConfirmedTicket;

    fn new<'a>(version: &'a str, changes: &'a [String]) -> NewTaxonomy<'a> {
        NewTaxonomy { version, document: "version = \"x\"", changed_by: "ann", changed_at: 7, changes }
    }

    #[test]
    fn versions_are_kept_in_order_with_what_was_there_before_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.latest_taxonomy().unwrap(), None);
        let changes = ["added a", "retired b"].map(str::to_owned);
        assert_eq!(store.keep_taxonomy(new("x+0", &[]), new("x+1", &changes)).unwrap(), 2);
        drop(store);

        let store = Store::open(folder.path()).unwrap();
        let latest = store.latest_taxonomy().unwrap().unwrap();
        assert_eq!((latest.number, latest.version.as_str(), latest.changes), (2, "x+1", changes.to_vec()));
        assert_eq!(store.keep_taxonomy(new("x+9", &[]), new("x+2", &[])).unwrap(), 3);
        assert_eq!(store.taxonomy(1).unwrap().unwrap().version, "x+0");
        assert_eq!(store.taxonomy(9).unwrap(), None);
        let page = |before, limit| {
            let (records, more) = store.list_taxonomies(before, limit).unwrap();
            (records.into_iter().map(|record| record.number).collect::<Vec<_>>(), more)
        };
        assert_eq!(page(None, 2), (vec![3, 2], true));
        assert_eq!(page(Some(2), 2), (vec![1], false));
    }

    #[test]
    fn the_last_thousand_versions_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.keep_taxonomy(new("x+0", &[]), new("x+1", &[])).unwrap();
        let statement = "UPDATE taxonomy_versions SET number = number + 999";
        store.writer().execute(statement, []).unwrap();
        assert_eq!(store.keep_taxonomy(new("x+0", &[]), new("x+2", &[])).unwrap(), 1_002);
        store.writer().execute("UPDATE taxonomy_versions SET number = 1 WHERE number = 1000", []).unwrap();
        store.keep_taxonomy(new("x+0", &[]), new("x+3", &[])).unwrap();
        let (records, _) = store.list_taxonomies(None, 10).unwrap();
        assert_eq!(records.iter().map(|record| record.number).collect::<Vec<_>>(), [1_003, 1_002, 1_001]);
    }

    #[test]
    fn tickets_are_counted_that_bear_a_label() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let ticket = |id: usize, topic: &str| ConfirmedTicket {
            id: id.to_string(),
            summary: "x".to_owned(),
            labels: [("topic".to_owned(), topic.to_owned())].into(),
            ..ConfirmedTicket::default()
        };
        let topics = ["a", "b", "c"].iter().cycle();
        let tickets: Vec<_> = topics.take(12_000).enumerate().map(|(id, topic)| ticket(id, topic)).collect();
        store.upsert_memory_tickets(&tickets).unwrap();
        let count = |field: &str, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            store.count_tickets_labelled(&[(field.to_owned(), values)].into()).unwrap()
        };
        assert_eq!((count("topic", &["a", "b"]), count("topic", &["z"]), count("x", &["a"])), (8_000, 0, 0));
    }
}
