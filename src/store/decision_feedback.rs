//! What people said about decisions, and the labels of confirmed tickets that follow from it. Feedback is recorded once
//! and together with its labels; withdrawn, it leaves the ticket as if it never was. Tickets come here prepared and
//! redacted.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{
    Store, StoreError,
    changes::{Effect, closed_or_null},
    memory,
    overlay::Overlaid,
};
use crate::domain::{
    decision::Abstention,
    feedback::{
        Agreement, DecisionFeedback, FeedbackId, FeedbackReceipt, FeedbackRecord, FieldOutcome, Hindsight, KeptOutcome,
        Proposal,
    },
    memory::{ConfirmedTicket, Voice},
    route::Route,
};

const COLUMNS: &str = "id, ticket_id, source, given_at, recorded_at, withdrawn_at, model, taxonomy";
/// Gives feedback a fingerprint that nothing said has, so that the same can be recorded anew.
const FREE_TO_SAY: &str = "fingerprint = CAST('said ' || id AS BLOB)";
const SECONDS_AN_HOUR: u64 = 3_600;
/// Feedback that teaches about model, memory and sources, the latest: what it costs must not grow with the years.
pub(super) const TEACHING: u64 = 20_000;

/// Which feedback is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedbackFilter {
    /// Only on this ticket.
    pub ticket_id: Option<String>,
    /// Only from this source.
    pub source: Option<String>,
    /// Only corrections.
    pub corrections: bool,
}

/// How model and confirmed tickets saw a right value; see [`Hindsight`].
#[derive(Debug, Clone, PartialEq)]
pub struct LeanRow {
    pub field: String,
    pub hindsight: Hindsight,
}

/// What withdrawing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Withdrawn {
    /// It had not been withdrawn before.
    pub counted: bool,
    /// The ticket was confirmed by nothing else and is deleted.
    pub is_ticket_gone: bool,
}

/// What feedback said of one field of a ticket.
pub(super) struct Said {
    pub field: String,
    pub value: String,
    pub voice: Voice,
}

impl Store {
    /// How many times feedback on decisions was recorded or withdrawn.
    pub fn last_feedback_change(&self) -> Result<u64, StoreError> {
        let read = self.reader().query_row("SELECT last FROM feedback_counter", [], |row| row.get(0));
        read.map_err(self.failed("reading the counter of feedback"))
    }

    /// Records feedback with the labels that follow from it: all of it or, on an error, nothing; a receipt each. What was
    /// said before changes nothing, unless it was withdrawn or its ticket deleted since. Of two that speak of one field of
    /// a ticket the one given later counts. Beyond `hourly_limit` corrections of its source within an hour it is recorded
    /// and gives no label.
    pub fn record_decision_feedback(
        &self,
        feedback: &[DecisionFeedback],
        now: u64,
        hourly_limit: u64,
    ) -> Result<Vec<FeedbackReceipt>, StoreError> {
        let failed = self.failed("recording feedback on a decision");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let recorded: rusqlite::Result<Vec<_>> =
            feedback.iter().map(|feedback| record(&transaction, feedback, now, hourly_limit)).collect();
        let recorded = recorded.map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(recorded)
    }

    /// Takes feedback back. `None` where there is no such feedback.
    pub fn withdraw_decision_feedback(&self, id: FeedbackId, now: u64) -> Result<Option<Withdrawn>, StoreError> {
        let failed = self.failed("withdrawing feedback");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let withdrawn = withdraw(&transaction, id, now).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        if withdrawn.is_some_and(|withdrawn| withdrawn.is_ticket_gone) {
            // A ticket that stood there for this alone is gone: see `delete_memory_tickets`.
            let _reader = self.reader();
            writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(&failed)?;
        }
        Ok(withdrawn)
    }

    /// The latest first, those behind `before`; at most `limit`.
    pub fn list_decision_feedback(
        &self,
        filter: &FeedbackFilter,
        before: Option<FeedbackId>,
        limit: usize,
    ) -> Result<Vec<FeedbackRecord>, StoreError> {
        list(&self.reader(), filter, before, limit).map_err(self.failed("listing feedback"))
    }

    /// How model and confirmed tickets saw the last right values of each field that decisions of this model were about,
    /// at most `limit` a field.
    pub fn lean_rows(&self, model: &str, fields: &[&str], limit: usize) -> Result<Vec<LeanRow>, StoreError> {
        let failed = self.failed("reading what feedback said of the model");
        let reader = self.reader();
        let mut rows = Vec::new();
        for field in fields {
            rows.extend(lean_rows(&reader, model, field, limit).map_err(&failed)?);
        }
        Ok(rows)
    }

    /// By source, how often what it said agrees with what was said about tickets that are much alike, of the latest
    /// feedback.
    pub fn agreement_by_source(&self) -> Result<BTreeMap<String, Agreement>, StoreError> {
        agreement_by_source(&self.reader()).map_err(self.failed("comparing what sources said"))
    }
}

fn record(
    transaction: &Transaction<'_>,
    feedback: &DecisionFeedback,
    now: u64,
    hourly_limit: u64,
) -> rusqlite::Result<FeedbackReceipt> {
    let DecisionFeedback { fingerprint, ticket, source, given_at, model, taxonomy, outcomes, agreement } = feedback;
    let known: Option<(u64, bool)> = transaction
        .prepare_cached("SELECT id, withdrawn_at IS NOT NULL FROM feedback WHERE fingerprint = ?1")?
        .query_row([fingerprint], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        Some((id, false)) => {
            let id = FeedbackId(id);
            return Ok(FeedbackReceipt { id, is_new: false, memory_changed: false, held_back: Vec::new() });
        }
        Some((_, true)) => {
            let taken_back = format!("UPDATE feedback SET {FREE_TO_SAY} WHERE fingerprint = ?1");
            transaction.prepare_cached(&taken_back)?.execute([fingerprint])?;
        }
        None => {}
    }
    let corrections = outcomes.iter().filter(|outcome| outcome.is_correction()).count() as u64;
    let is_too_much = corrections > 0 && recent_corrections(transaction, source, now)? + corrections > hourly_limit;
    transaction
        .prepare_cached(
            "INSERT INTO feedback (fingerprint, ticket_id, source, given_at, recorded_at, model, taxonomy) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![fingerprint, ticket.id, source, given_at, now, model, taxonomy])?;
    let id = FeedbackId(u64::try_from(transaction.last_insert_rowid()).unwrap_or_default());
    let mut held_back = Vec::new();
    for outcome in outcomes {
        let counts = !(is_too_much && outcome.is_correction());
        if !counts {
            held_back.push(outcome.field.clone());
        }
        insert_outcome(transaction, id, outcome, counts)?;
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO feedback_agreement (feedback_id, other_source, agreed, disagreed) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for Agreement { source, agreed, disagreed } in agreement {
        insert.execute(params![id.0, source, agreed, disagreed])?;
    }
    count_change(transaction)?;
    let memory_changed = relabel(transaction, &ticket.id, ticket)?;
    Ok(FeedbackReceipt { id, is_new: true, memory_changed, held_back })
}

fn insert_outcome(
    transaction: &Transaction<'_>,
    id: FeedbackId,
    outcome: &FieldOutcome,
    counts: bool,
) -> rusqlite::Result<()> {
    let FieldOutcome { field, value, proposal, hindsight } = outcome;
    transaction
        .prepare_cached(
            "INSERT INTO feedback_fields (feedback_id, field, value, proposed, confidence, route, abstention, promised, \
             counts, model_share, memory_share, lean, support) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            id.0,
            field,
            value,
            proposal.as_ref().map(|proposal| &proposal.value),
            proposal.as_ref().map(|proposal| proposal.confidence),
            proposal.as_ref().map(|proposal| proposal.route.as_str()),
            proposal.as_ref().and_then(|proposal| proposal.abstention).map(Abstention::as_str),
            proposal.as_ref().and_then(|proposal| proposal.promised),
            counts,
            hindsight.map(|seen| seen.model_share),
            hindsight.map(|seen| seen.memory_share),
            hindsight.map(|seen| seen.lean),
            hindsight.map(|seen| seen.support),
        ])
        .map(|_| ())
}

/// Values that this source corrected within the last hour and that count.
fn recent_corrections(connection: &Connection, source: &str, now: u64) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT COUNT(*) FROM feedback JOIN feedback_fields ON feedback_id = id \
             WHERE source = ?1 AND recorded_at > ?2 AND counts = 1 AND proposed IS NOT NULL AND proposed <> value",
        )?
        .query_row(params![source, now.saturating_sub(SECONDS_AN_HOUR)], |row| row.get(0))
}

fn withdraw(transaction: &Transaction<'_>, id: FeedbackId, now: u64) -> rusqlite::Result<Option<Withdrawn>> {
    // No number that the database gives is larger.
    let Ok(number) = i64::try_from(id.0) else { return Ok(None) };
    let known: Option<(String, Option<u64>)> = transaction
        .query_row("SELECT ticket_id, withdrawn_at FROM feedback WHERE id = ?1", [number], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((ticket_id, withdrawn_at)) = known else { return Ok(None) };
    if withdrawn_at.is_some() {
        return Ok(Some(Withdrawn::default()));
    }
    let was_kept = memory::change_of(transaction, &ticket_id)?.is_some();
    transaction.execute("UPDATE feedback SET withdrawn_at = ?2 WHERE id = ?1", params![id.0, now])?;
    count_change(transaction)?;
    relabel(transaction, &ticket_id, &ConfirmedTicket::default())?;
    let is_ticket_gone = was_kept && memory::change_of(transaction, &ticket_id)?.is_none();
    Ok(Some(Withdrawn { counted: true, is_ticket_gone }))
}

fn count_change(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE feedback_counter SET last = last + 1", []).map(|_| ())
}

/// Gives the ticket the labels that feedback says now, `otherwise` where it is not kept; whether that changed it. One
/// that nothing speaks for any more is deleted.
fn relabel(transaction: &Transaction<'_>, id: &str, otherwise: &ConfirmedTicket) -> rusqlite::Result<bool> {
    let kept = memory::ticket(transaction, id)?;
    let is_kept = kept.is_some();
    let overlaid = Overlaid::anew(transaction, kept, otherwise)?;
    if overlaid.is_empty() {
        if is_kept {
            memory::delete(transaction, &[id.to_owned()])?;
        }
        return Ok(is_kept);
    }
    Ok(memory::write(transaction, &overlaid)? != Effect::Same)
}

/// What counts of feedback on this ticket, in the order in which it was given.
pub(super) fn said_of(connection: &Connection, ticket_id: &str) -> rusqlite::Result<Vec<Said>> {
    let mut statement = connection.prepare_cached(
        "SELECT field, value, source, proposed IS NOT NULL AND proposed <> value AS corrected \
         FROM feedback JOIN feedback_fields ON feedback_id = id \
         WHERE ticket_id = ?1 AND withdrawn_at IS NULL AND counts = 1 ORDER BY given_at, id",
    )?;
    let said = statement.query_map([ticket_id], |row| {
        let voice = Voice { source: row.get("source")?, corrected: row.get("corrected")? };
        Ok(Said { field: row.get("field")?, value: row.get("value")?, voice })
    })?;
    said.collect()
}

/// What was said of these fields of a ticket counts no more: the ticket itself says otherwise.
pub(super) fn supersede(transaction: &Transaction<'_>, ticket_id: &str, fields: &[String]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "UPDATE feedback_fields SET counts = 0 \
         WHERE field = ?2 AND feedback_id IN (SELECT id FROM feedback WHERE ticket_id = ?1)",
    )?;
    for field in fields {
        statement.execute(params![ticket_id, field])?;
    }
    Ok(())
}

/// Of a deleted ticket nothing comes back by itself: under its id another begins anew, the same where it is said again.
pub(super) fn forget_ticket(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE feedback_fields SET counts = 0 \
             WHERE feedback_id IN (SELECT id FROM feedback WHERE ticket_id = ?1)",
        )?
        .execute([id])?;
    let free = format!("UPDATE feedback SET {FREE_TO_SAY} WHERE ticket_id = ?1");
    transaction.prepare_cached(&free)?.execute([id]).map(|_| ())
}

fn list(
    connection: &Connection,
    filter: &FeedbackFilter,
    before: Option<FeedbackId>,
    limit: usize,
) -> rusqlite::Result<Vec<FeedbackRecord>> {
    let FeedbackFilter { ticket_id, source, corrections } = filter;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM feedback WHERE id < ?1 AND (?2 IS NULL OR ticket_id = ?2) \
         AND (?3 IS NULL OR source = ?3) AND (?4 = 0 OR EXISTS (SELECT 1 FROM feedback_fields \
         WHERE feedback_id = id AND proposed IS NOT NULL AND proposed <> value)) ORDER BY id DESC LIMIT ?5"
    ))?;
    let before = before.map_or(i64::MAX, |id| i64::try_from(id.0).unwrap_or(i64::MAX));
    let rows = statement.query_map(params![before, ticket_id, source, corrections, limit], |row| {
        Ok(FeedbackRecord {
            id: FeedbackId(row.get("id")?),
            ticket_id: row.get("ticket_id")?,
            source: row.get("source")?,
            given_at: row.get("given_at")?,
            recorded_at: row.get("recorded_at")?,
            withdrawn_at: row.get("withdrawn_at")?,
            model: row.get("model")?,
            taxonomy: row.get("taxonomy")?,
            outcomes: outcomes(connection, row.get("id")?)?,
        })
    })?;
    rows.collect()
}

fn outcomes(connection: &Connection, id: u64) -> rusqlite::Result<Vec<KeptOutcome>> {
    // Nothing that was given later, and counts itself, speaks of the same field of the ticket.
    let mut statement = connection.prepare_cached(
        "SELECT ours.*, ours.counts = 1 AND said.withdrawn_at IS NULL AND NOT EXISTS ( \
             SELECT 1 FROM feedback AS later JOIN feedback_fields AS theirs ON theirs.feedback_id = later.id \
             WHERE later.ticket_id = said.ticket_id AND theirs.field = ours.field AND theirs.counts = 1 \
             AND later.withdrawn_at IS NULL AND (later.given_at > said.given_at \
                 OR (later.given_at = said.given_at AND later.id > said.id)) \
         ) AS stands FROM feedback_fields AS ours JOIN feedback AS said ON said.id = ours.feedback_id \
         WHERE ours.feedback_id = ?1 ORDER BY ours.field",
    )?;
    let rows = statement.query_map([id], |row| {
        let outcome = FieldOutcome {
            field: row.get("field")?,
            value: row.get("value")?,
            proposal: proposal(row)?,
            hindsight: hindsight(row)?,
        };
        Ok(KeptOutcome { outcome, counts: row.get("stands")? })
    })?;
    rows.collect()
}

fn proposal(row: &Row<'_>) -> rusqlite::Result<Option<Proposal>> {
    let Some(value) = row.get("proposed")? else { return Ok(None) };
    Ok(Some(Proposal {
        value,
        confidence: row.get("confidence")?,
        route: closed_or_null(row, "route", Route::parse)?.unwrap_or_default(),
        abstention: closed_or_null(row, "abstention", Abstention::parse)?,
        promised: row.get("promised")?,
    }))
}

fn hindsight(row: &Row<'_>) -> rusqlite::Result<Option<Hindsight>> {
    let Some(model_share) = row.get("model_share")? else { return Ok(None) };
    Ok(Some(Hindsight {
        model_share,
        memory_share: row.get("memory_share")?,
        lean: row.get("lean")?,
        support: row.get("support")?,
    }))
}

fn lean_rows(connection: &Connection, model: &str, field: &str, limit: usize) -> rusqlite::Result<Vec<LeanRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT field, model_share, memory_share, lean, support FROM feedback_fields JOIN feedback ON feedback_id = id \
         WHERE field = ?1 AND model = ?2 AND withdrawn_at IS NULL AND counts = 1 AND support > 0 \
         AND feedback_id > (SELECT COALESCE(MAX(id), 0) FROM feedback) - ?4 ORDER BY feedback_id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![field, model, limit, TEACHING], |row| {
        Ok(LeanRow { field: row.get("field")?, hindsight: hindsight(row)?.unwrap_or_default() })
    })?;
    rows.collect()
}

fn agreement_by_source(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Agreement>> {
    // Both ways: whoever disagrees with most that was said stands alone, whichever of them spoke first.
    let mut statement = connection.prepare_cached(
        "SELECT source, SUM(agreed), SUM(disagreed) FROM ( \
             SELECT source, agreed, disagreed FROM feedback_agreement JOIN feedback ON id = feedback_id \
             WHERE withdrawn_at IS NULL AND id > (SELECT COALESCE(MAX(id), 0) FROM feedback) - ?1 \
             UNION ALL \
             SELECT other_source, agreed, disagreed FROM feedback_agreement JOIN feedback ON id = feedback_id \
             WHERE withdrawn_at IS NULL AND other_source <> source \
             AND id > (SELECT COALESCE(MAX(id), 0) FROM feedback) - ?1 \
         ) AS both_ways GROUP BY source",
    )?;
    let mut rows = statement.query([TEACHING])?;
    let mut by_source = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let agreement = Agreement { source: row.get(0)?, agreed: row.get(1)?, disagreed: row.get(2)? };
        by_source.insert(agreement.source.clone(), agreement);
    }
    Ok(by_source)
}
