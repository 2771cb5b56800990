//! Models as they are kept: which there are, which served when, the shadow and how it does, and what became of models
//! that the server trained by itself. The bundles themselves are folders; what holds both together is `registry`'s.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{Store, StoreError, changes::closed};
use crate::domain::{
    job::JobId,
    memory::ConfirmedTicket,
    model::{Activation, ActivationKind, ModelName, ModelOrigin, PairCounts, Verdict},
};

const COLUMNS: &str =
    "version, name, origin, job_id, is_automatic, created_at, by_whom, training_rows, memory_change, report";
const ACTIVATION_COLUMNS: &str =
    "id, version, is_embedded, previous, previous_is_embedded, kind, activated_at, by_whom, reason";

/// A model of the data directory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRecord {
    pub version: String,
    pub name: String,
    pub origin: ModelOrigin,
    /// The server trained it by itself.
    pub is_automatic: bool,
    /// Seconds since 1970.
    pub created_at: u64,
    pub by: String,
    pub training_rows: u64,
    /// Changes to confirmed tickets up to this one came before it.
    pub memory_change: u64,
    /// How it does, as the registry writes and reads it.
    pub report: String,
}

/// A model that is to serve.
#[derive(Debug, Clone)]
pub struct NewActivation<'a> {
    pub model: ModelName,
    pub kind: ActivationKind,
    /// Seconds since 1970.
    pub at: u64,
    pub by: &'a str,
    pub reason: &'a str,
}

impl Store {
    /// Adds a model, with a hash of each text that it learnt from where they are known. One that is there stays as it
    /// is.
    pub fn add_model(&self, model: &ModelRecord, learnt_texts: Option<&[u64]>) -> Result<(), StoreError> {
        let ModelRecord { version, name, origin, is_automatic, created_at, by, training_rows, memory_change, report } =
            model;
        let job = if let ModelOrigin::Trained(job) = origin { job.map(|job| job.0) } else { None };
        let texts = learnt_texts.map(|texts| texts.iter().flat_map(|hash| hash.to_le_bytes()).collect::<Vec<u8>>());
        let statement = format!(
            "INSERT INTO models ({COLUMNS}, learnt_texts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT (version) DO NOTHING"
        );
        let origin = origin.as_str();
        let values = params![
            version,
            name,
            origin,
            job,
            is_automatic,
            created_at,
            by,
            training_rows,
            memory_change,
            report,
            texts
        ];
        self.writer().execute(&statement, values).map(|_| ()).map_err(self.failed("adding a model"))
    }

    pub fn model(&self, version: &str) -> Result<Option<ModelRecord>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM models WHERE version = ?1");
        let read = self.reader().query_row(&statement, [version], read_model);
        read.optional().map_err(self.failed("reading a model"))
    }

    /// The model that a job trained.
    pub fn model_of_job(&self, job: JobId) -> Result<Option<ModelRecord>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM models WHERE job_id = ?1");
        let read = self.reader().query_row(&statement, [job.0], read_model);
        read.optional().map_err(self.failed("reading a model"))
    }

    /// Every model, the latest first.
    pub fn list_models(&self) -> Result<Vec<ModelRecord>, StoreError> {
        let failed = self.failed("listing models");
        let reader = self.reader();
        let statement = format!("SELECT {COLUMNS} FROM models ORDER BY created_at DESC, version");
        let mut statement = reader.prepare_cached(&statement).map_err(&failed)?;
        let rows = statement.query_map([], read_model).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Models that the server trained by itself and that were not judged yet, the oldest first.
    pub fn unjudged_models(&self) -> Result<Vec<ModelRecord>, StoreError> {
        let failed = self.failed("listing models");
        let reader = self.reader();
        let statement = format!(
            "SELECT {COLUMNS} FROM models WHERE is_automatic \
             AND version NOT IN (SELECT candidate FROM promotion_verdicts) ORDER BY created_at, version"
        );
        let mut statement = reader.prepare_cached(&statement).map_err(&failed)?;
        let rows = statement.query_map([], read_model).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Hashes of the texts that a model learnt from, in their order; `None` where they are not known.
    pub fn learnt_texts(&self, version: &str) -> Result<Option<Vec<u64>>, StoreError> {
        let statement = "SELECT learnt_texts FROM models WHERE version = ?1";
        let read = self.reader().query_row(statement, [version], |row| row.get::<_, Option<Vec<u8>>>(0)).optional();
        let bytes = read.map_err(self.failed("reading what a model learnt from"))?.flatten();
        Ok(bytes.map(|bytes| bytes.as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash)).collect()))
    }

    /// Forgets a model with how it did as a shadow; what is said of it in the history stays.
    pub fn delete_model(&self, version: &str) -> Result<(), StoreError> {
        let failed = self.failed("deleting a model");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let delete = |statement| transaction.execute(statement, [version]).map_err(&failed);
        delete("DELETE FROM models WHERE version = ?1")?;
        delete("DELETE FROM shadow_scores WHERE active = ?1 OR shadow = ?1")?;
        transaction.commit().map_err(&failed)
    }

    /// The latest activation; `None` before the first.
    pub fn last_activation(&self) -> Result<Option<Activation>, StoreError> {
        Ok(self.list_activations(None, 1)?.pop())
    }

    /// Activations, the latest first, those behind `before`; at most `limit`.
    pub fn list_activations(&self, before: Option<u64>, limit: usize) -> Result<Vec<Activation>, StoreError> {
        let failed = self.failed("reading which model served when");
        let reader = self.reader();
        let statement = format!("SELECT {ACTIVATION_COLUMNS} FROM activations WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
        let mut statement = reader.prepare_cached(&statement).map_err(&failed)?;
        let before = before.map_or(i64::MAX, |id| i64::try_from(id).unwrap_or(i64::MAX));
        let rows = statement.query_map(params![before, limit], read_activation).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// The latest activation of this model that was no rollback.
    pub fn activation_of(&self, model: &ModelName) -> Result<Option<Activation>, StoreError> {
        let statement = format!(
            "SELECT {ACTIVATION_COLUMNS} FROM activations WHERE kind <> ?1 AND is_embedded = ?2 \
             AND (is_embedded OR version = ?3) ORDER BY id DESC LIMIT 1"
        );
        let values = params![ActivationKind::RolledBack.as_str(), model.is_embedded, model.version];
        let read = self.reader().query_row(&statement, values, read_activation);
        read.optional().map_err(self.failed("reading which model served when"))
    }

    /// Whether a model served before, by version.
    pub fn models_that_served(&self) -> Result<Vec<String>, StoreError> {
        let failed = self.failed("reading which model served when");
        let reader = self.reader();
        let statement = "SELECT version FROM activations UNION SELECT previous FROM activations";
        let mut statement = reader.prepare_cached(statement).map_err(&failed)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Writes down that a model serves in place of `previous`. Where it is the shadow, there is none from then on.
    pub fn activate_model(&self, new: &NewActivation<'_>, previous: &ModelName) -> Result<Activation, StoreError> {
        let failed = self.failed("activating a model");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let activation = activate(&transaction, new, previous).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(activation)
    }

    /// The model that answers silently.
    pub fn shadow(&self) -> Result<Option<String>, StoreError> {
        let read = self.reader().query_row("SELECT version FROM shadow", [], |row| row.get(0));
        read.optional().map_err(self.failed("reading the shadow"))
    }

    /// Sets or clears it.
    pub fn set_shadow(&self, version: Option<&str>) -> Result<(), StoreError> {
        let failed = self.failed("setting the shadow");
        let written = match version {
            Some(version) => self.writer().execute(
                "INSERT INTO shadow (only_row, version) VALUES (1, ?1) \
                 ON CONFLICT (only_row) DO UPDATE SET version = excluded.version",
                [version],
            ),
            None => self.writer().execute("DELETE FROM shadow", []),
        };
        written.map(|_| ()).map_err(failed)
    }

    /// Adds how two models did on a ticket, by field, as (the active one is right, the shadow is right).
    pub fn add_shadow_scores(
        &self,
        active: &str,
        shadow: &str,
        scores: &BTreeMap<String, (bool, bool)>,
    ) -> Result<(), StoreError> {
        let failed = self.failed("scoring the shadow");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        for (field, (active_is_right, shadow_is_right)) in scores {
            let mut one = PairCounts::default();
            one.add(*active_is_right, *shadow_is_right);
            add_scores(&transaction, (active, shadow, field), one).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)
    }

    /// How a shadow did against one that was active, by field.
    pub fn shadow_scores(&self, active: &str, shadow: &str) -> Result<BTreeMap<String, PairCounts>, StoreError> {
        let failed = self.failed("reading how the shadow does");
        let reader = self.reader();
        let statement = "SELECT field, both_right, only_active_right, only_shadow_right, both_wrong \
                         FROM shadow_scores WHERE active = ?1 AND shadow = ?2";
        let mut statement = reader.prepare_cached(statement).map_err(&failed)?;
        let read = |row: &Row<'_>| {
            let counts = PairCounts {
                both_right: row.get("both_right")?,
                only_first_right: row.get("only_active_right")?,
                only_second_right: row.get("only_shadow_right")?,
                both_wrong: row.get("both_wrong")?,
            };
            Ok((row.get("field")?, counts))
        };
        let rows = statement.query_map([active, shadow], read).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// Writes down what became of a model that the server trained by itself, once.
    pub fn keep_verdict(&self, verdict: &Verdict) -> Result<(), StoreError> {
        let failed = self.failed("keeping a verdict");
        keep_verdict(&self.writer(), verdict).map_err(failed)
    }

    /// Activates a model and keeps the verdict that led to it, both or, on an error, neither.
    pub fn promote_model(
        &self,
        new: &NewActivation<'_>,
        previous: &ModelName,
        verdict: &Verdict,
    ) -> Result<Activation, StoreError> {
        let failed = self.failed("promoting a model");
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let activation = activate(&transaction, new, previous).map_err(&failed)?;
        keep_verdict(&transaction, verdict).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(activation)
    }

    /// Verdicts, the latest first; at most `limit`.
    pub fn list_verdicts(&self, limit: usize) -> Result<Vec<Verdict>, StoreError> {
        let failed = self.failed("reading verdicts");
        let reader = self.reader();
        let statement = "SELECT candidate, active, is_promoted, judged_at, reasons FROM promotion_verdicts \
                         ORDER BY judged_at DESC, candidate LIMIT ?1";
        let mut statement = reader.prepare_cached(statement).map_err(&failed)?;
        let read = |row: &Row<'_>| {
            Ok(Verdict {
                candidate: row.get("candidate")?,
                active: row.get("active")?,
                is_promoted: row.get("is_promoted")?,
                at: row.get("judged_at")?,
                reasons: closed(row, "reasons", |raw| serde_json::from_str(raw).ok())?,
            })
        };
        let rows = statement.query_map([limit], read).map_err(&failed)?;
        rows.collect::<Result<_, _>>().map_err(&failed)
    }

    /// How many confirmed tickets were added or changed behind this change.
    pub fn count_memory_tickets_since(&self, change: u64) -> Result<u64, StoreError> {
        let statement = "SELECT COUNT(*) FROM memory_tickets WHERE sequence > ?1";
        let counted = self.reader().query_row(statement, [change], |row| row.get(0));
        counted.map_err(self.failed("counting confirmed tickets"))
    }

    /// Confirmed tickets, the latest change first, each with the change that wrote it: those before `before`, at most
    /// `limit`, and fewer where they are long, but one where there is one.
    pub fn latest_memory_tickets(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(ConfirmedTicket, u64)>, StoreError> {
        let tickets = super::memory::latest_tickets(&self.reader(), before, None, limit);
        tickets.map_err(self.failed("reading confirmed tickets"))
    }

    /// The change of the ticket that stands `place` tickets behind the latest one, from 0; `None` where there are no so
    /// many.
    pub fn memory_change_at(&self, place: u64) -> Result<Option<u64>, StoreError> {
        let statement = "SELECT sequence FROM memory_tickets ORDER BY sequence DESC LIMIT 1 OFFSET ?1";
        let read = self.reader().query_row(statement, [place], |row| row.get(0)).optional();
        read.map_err(self.failed("reading confirmed tickets"))
    }
}

fn activate(
    transaction: &Transaction<'_>,
    new: &NewActivation<'_>,
    previous: &ModelName,
) -> rusqlite::Result<Activation> {
    let NewActivation { model, kind, at, by, reason } = new;
    let id = transaction.query_row(
        "INSERT INTO activations (version, is_embedded, previous, previous_is_embedded, kind, activated_at, by_whom, \
         reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
        params![
            model.version,
            model.is_embedded,
            previous.version,
            previous.is_embedded,
            kind.as_str(),
            at,
            by,
            reason
        ],
        |row| row.get(0),
    )?;
    transaction.execute("DELETE FROM shadow WHERE version = ?1", [&model.version])?;
    Ok(Activation {
        id,
        model: model.clone(),
        previous: previous.clone(),
        kind: *kind,
        at: *at,
        by: (*by).to_owned(),
        reason: (*reason).to_owned(),
    })
}

fn keep_verdict(connection: &Connection, verdict: &Verdict) -> rusqlite::Result<()> {
    let Verdict { candidate, active, is_promoted, at, reasons } = verdict;
    let reasons =
        serde_json::to_string(reasons).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let statement = "INSERT INTO promotion_verdicts (candidate, active, is_promoted, judged_at, reasons) \
                     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (candidate) DO NOTHING";
    connection.execute(statement, params![candidate, active, is_promoted, at, reasons]).map(|_| ())
}

fn add_scores(
    transaction: &Transaction<'_>,
    (active, shadow, field): (&str, &str, &str),
    counts: PairCounts,
) -> rusqlite::Result<()> {
    let PairCounts { both_right, only_first_right, only_second_right, both_wrong } = counts;
    let statement = "INSERT INTO shadow_scores \
                     (active, shadow, field, both_right, only_active_right, only_shadow_right, both_wrong) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (active, shadow, field) DO UPDATE SET \
                     both_right = shadow_scores.both_right + excluded.both_right, \
                     only_active_right = shadow_scores.only_active_right + excluded.only_active_right, \
                     only_shadow_right = shadow_scores.only_shadow_right + excluded.only_shadow_right, \
                     both_wrong = shadow_scores.both_wrong + excluded.both_wrong";
    let values = params![active, shadow, field, both_right, only_first_right, only_second_right, both_wrong];
    transaction.prepare_cached(statement)?.execute(values).map(|_| ())
}

fn read_model(row: &Row<'_>) -> rusqlite::Result<ModelRecord> {
    let job: Option<u64> = row.get("job_id")?;
    let origin = |raw: &str| {
        [ModelOrigin::Imported, ModelOrigin::Trained(job.map(JobId))].into_iter().find(|origin| origin.as_str() == raw)
    };
    Ok(ModelRecord {
        version: row.get("version")?,
        name: row.get("name")?,
        origin: closed(row, "origin", origin)?,
        is_automatic: row.get("is_automatic")?,
        created_at: row.get("created_at")?,
        by: row.get("by_whom")?,
        training_rows: row.get("training_rows")?,
        memory_change: row.get("memory_change")?,
        report: row.get("report")?,
    })
}

fn read_activation(row: &Row<'_>) -> rusqlite::Result<Activation> {
    let name = |version, is_embedded| {
        Ok::<_, rusqlite::Error>(ModelName { version: row.get(version)?, is_embedded: row.get(is_embedded)? })
    };
    Ok(Activation {
        id: row.get("id")?,
        model: name("version", "is_embedded")?,
        previous: name("previous", "previous_is_embedded")?,
        kind: closed(row, "kind", ActivationKind::parse)?,
        at: row.get("activated_at")?,
        by: row.get("by_whom")?,
        reason: row.get("reason")?,
    })
}
