//! What was decided, day by day, and what feedback said of it.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Store, StoreError, decision_feedback::TEACHING};
use crate::domain::{
    article::Day,
    trust::{DecisionCounts, Promise, ReviewCounts, TicketCounts},
};

/// By field and value.
pub type ByLabel<T> = BTreeMap<(String, String), T>;

/// A value that was promised to be right, and whether it was.
#[derive(Debug, Clone, PartialEq)]
pub struct PromiseRow {
    pub field: String,
    pub label: String,
    pub promised: f64,
    pub is_right: bool,
}

impl Store {
    /// Adds what was decided on a day, and lets go of days before `oldest`.
    pub fn add_decision_counts(
        &self,
        day: Day,
        oldest: Day,
        tickets: TicketCounts,
        decisions: &ByLabel<DecisionCounts>,
    ) -> Result<(), StoreError> {
        let failed = self.failed("counting decisions");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        add(&transaction, &day.to_string(), tickets, decisions).map_err(&failed)?;
        for table in ["decision_counts", "ticket_counts"] {
            let statement = format!("DELETE FROM {table} WHERE day < ?1");
            transaction.execute(&statement, [oldest.to_string()]).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)
    }

    /// What was decided from this day on.
    pub fn decision_counts(&self, since: Day) -> Result<(TicketCounts, ByLabel<DecisionCounts>), StoreError> {
        decided(&self.reader(), &since.to_string()).map_err(self.failed("reading counts of decisions"))
    }

    /// What feedback that was given from then on, in seconds since 1970, says of what was proposed.
    pub fn review_counts(&self, since: u64) -> Result<ByLabel<ReviewCounts>, StoreError> {
        reviewed(&self.reader(), since).map_err(self.failed("counting feedback"))
    }

    /// The latest values of this model that were promised to be right, at most `limit`.
    pub fn promise_rows(&self, model: &str, limit: usize) -> Result<Vec<PromiseRow>, StoreError> {
        promises(&self.reader(), model, limit).map_err(self.failed("reading what came of promises"))
    }
}

fn add(
    transaction: &Transaction<'_>,
    day: &str,
    tickets: TicketCounts,
    decisions: &ByLabel<DecisionCounts>,
) -> rusqlite::Result<()> {
    let TicketCounts { tickets, out_of_scope, unsupported_language, too_short, words, new_words } = tickets;
    transaction.execute(
        "INSERT INTO ticket_counts (day, tickets, out_of_scope, unsupported_language, too_short, words, new_words) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (day) DO UPDATE SET tickets = tickets + excluded.tickets, \
         out_of_scope = out_of_scope + excluded.out_of_scope, \
         unsupported_language = unsupported_language + excluded.unsupported_language, \
         too_short = too_short + excluded.too_short, words = words + excluded.words, \
         new_words = new_words + excluded.new_words",
        params![day, tickets, out_of_scope, unsupported_language, too_short, words, new_words],
    )?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO decision_counts (day, field, label, proposed, abstained, filled) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (day, field, label) DO UPDATE SET proposed = proposed + excluded.proposed, \
         abstained = abstained + excluded.abstained, filled = filled + excluded.filled",
    )?;
    for ((field, label), DecisionCounts { proposed, abstained, filled }) in decisions {
        insert.execute(params![day, field, label, proposed, abstained, filled])?;
    }
    Ok(())
}

fn decided(connection: &Connection, since: &str) -> rusqlite::Result<(TicketCounts, ByLabel<DecisionCounts>)> {
    let tickets = connection.query_row(
        "SELECT COALESCE(SUM(tickets), 0), COALESCE(SUM(out_of_scope), 0), COALESCE(SUM(unsupported_language), 0), \
         COALESCE(SUM(too_short), 0), COALESCE(SUM(words), 0), COALESCE(SUM(new_words), 0) \
         FROM ticket_counts WHERE day >= ?1",
        [since],
        |row| {
            Ok(TicketCounts {
                tickets: row.get(0)?,
                out_of_scope: row.get(1)?,
                unsupported_language: row.get(2)?,
                too_short: row.get(3)?,
                words: row.get(4)?,
                new_words: row.get(5)?,
            })
        },
    )?;
    let mut statement = connection.prepare_cached(
        "SELECT field, label, SUM(proposed), SUM(abstained), SUM(filled) FROM decision_counts WHERE day >= ?1 \
         GROUP BY field, label",
    )?;
    let rows = statement.query_map([since], |row| {
        let counts = DecisionCounts { proposed: row.get(2)?, abstained: row.get(3)?, filled: row.get(4)? };
        Ok(((row.get(0)?, row.get(1)?), counts))
    })?;
    Ok((tickets, rows.collect::<rusqlite::Result<_>>()?))
}

fn reviewed(connection: &Connection, since: u64) -> rusqlite::Result<ByLabel<ReviewCounts>> {
    let mut statement = connection.prepare_cached(
        "SELECT field, proposed, COUNT(*), SUM(CASE WHEN value = proposed THEN 1 ELSE 0 END), \
         COALESCE(MAX(promised), 0.0), SUM(CASE WHEN promised IS NOT NULL THEN 1 ELSE 0 END), \
         SUM(CASE WHEN promised IS NOT NULL AND value = proposed THEN 1 ELSE 0 END) \
         FROM feedback_fields JOIN feedback ON id = feedback_id \
         WHERE withdrawn_at IS NULL AND proposed IS NOT NULL AND given_at >= ?1 GROUP BY field, proposed",
    )?;
    let rows = statement.query_map([since], |row| {
        let promise = Promise { promised: row.get(4)?, reviewed: row.get(5)?, right: row.get(6)? };
        let counts = ReviewCounts { reviewed: row.get(2)?, accepted: row.get(3)?, promise };
        Ok(((row.get(0)?, row.get(1)?), counts))
    })?;
    rows.collect()
}

fn promises(connection: &Connection, model: &str, limit: usize) -> rusqlite::Result<Vec<PromiseRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT field, proposed, promised, value = proposed AS is_right \
         FROM feedback_fields JOIN feedback ON id = feedback_id \
         WHERE promised IS NOT NULL AND withdrawn_at IS NULL AND model = ?1 \
         AND feedback_id > (SELECT COALESCE(MAX(id), 0) FROM feedback) - ?3 ORDER BY feedback_id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![model, limit, TEACHING], |row| {
        Ok(PromiseRow {
            field: row.get("field")?,
            label: row.get("proposed")?,
            promised: row.get("promised")?,
            is_right: row.get("is_right")?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_days_and_old_days_are_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let day = |text: &str| Day::parse(text).unwrap();
        let decided = |proposed| {
            let counts = DecisionCounts { proposed, abstained: 1, filled: 0 };
            ByLabel::from([(("category".to_owned(), "network/vpn".to_owned()), counts)])
        };
        let tickets = TicketCounts { tickets: 2, words: 9, new_words: 3, ..TicketCounts::default() };
        for (date, proposed) in [("2026-01-01", 5), ("2026-03-01", 2), ("2026-03-01", 3), ("2026-03-02", 4)] {
            store.add_decision_counts(day(date), day("2026-02-01"), tickets, &decided(proposed)).unwrap();
        }
        let (tickets, decisions) = store.decision_counts(day("2025-01-01")).unwrap();
        assert_eq!((tickets.tickets, tickets.words, tickets.new_words), (6, 27, 9));
        assert_eq!(decisions.values().next().unwrap().proposed, 9);
        let (tickets, decisions) = store.decision_counts(day("2026-03-02")).unwrap();
        assert_eq!((tickets.tickets, decisions.values().next().unwrap().proposed), (2, 4));
    }
}
