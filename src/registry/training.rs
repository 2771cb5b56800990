//! Trains a model on confirmed tickets: those of the memory, and files. Both are read alike, and as `triage train` reads
//! its rows, so that the same tickets give the same model. What it makes is a candidate.

use std::{collections::BTreeMap, path::PathBuf, sync::atomic::AtomicBool};

use serde::{Deserialize, Serialize};

use super::{Registry, RegistryError, compare::short_hash, folder, labels::label, now, report::ModelReport};
use crate::{
    classify::{
        Classifier,
        train::{self, TrainError, TrainOptions, Trained, is_label},
        training_set::TrainingSet,
    },
    domain::{
        job::JobId,
        memory::ConfirmedTicket,
        model::{ModelName, ModelOrigin},
        taxonomy::{PRIORITY, Taxonomy},
        ticket::TicketLimits,
    },
    knowledge::encoder_of,
    memory::{TicketColumns, prepared_within},
    rows::{RowError, Rows, RowsError},
    store::ModelRecord,
};

const PAGE_TICKETS: usize = 2_000;
/// Tickets with this label are out of scope: no class of their own.
const OUT_OF_SCOPE: &str = "oos";
/// Fields are learnt unasked where so many labels have so many tickets.
const MIN_LABELS: usize = 2;
const MIN_TICKETS: u64 = 2;
/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 64;

/// What is to be trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// First part of the model's version.
    pub name: String,
    /// Empty: every field that can be learnt.
    #[serde(default)]
    pub fields: Vec<String>,
    #[serde(default)]
    pub files: Vec<TrainingFile>,
    /// Learn from the files alone.
    #[serde(default)]
    pub without_memory: bool,
    /// The share of the confirmed tickets, the latest, that is not learnt from.
    #[serde(default)]
    pub holdout_share: f64,
    pub seed: u64,
}

impl Training {
    pub const DEFAULT_NAME: &'static str = "desk";
    pub const DEFAULT_SEED: u64 = 1;
    pub const MAX_HOLDOUT_SHARE: f64 = 0.9;

    /// Refuses what nothing can be trained by, whatever the tickets are.
    pub fn check(&self) -> Result<(), RegistryError> {
        let Self { name, fields, files, without_memory, holdout_share, seed: _ } = self;
        let invalid = |problem: String| Err(RegistryError::Invalid(problem));
        folder::check_name(name)?;
        if name.is_empty() || name.len() > MAX_NAME_CHARS || name.contains('+') {
            return invalid(format!("the name {name:?} must be 1 to {MAX_NAME_CHARS} characters, and hold no +"));
        }
        if let Some(twice) = fields.iter().enumerate().find(|(place, field)| fields[..*place].contains(field)) {
            return invalid(format!("field `{}` is named twice", twice.1));
        }
        if !(0.0..=Self::MAX_HOLDOUT_SHARE).contains(holdout_share) {
            return invalid(format!("a share to hold back is 0 to {}, not {holdout_share}", Self::MAX_HOLDOUT_SHARE));
        }
        if *without_memory && files.is_empty() {
            return invalid("there is nothing to learn from: neither the memory nor a file".to_owned());
        }
        if files.iter().any(|file| file.columns.text.is_empty() || file.columns.labels.is_empty()) {
            return invalid("name the columns of each file that hold text and labels".to_owned());
        }
        Ok(())
    }
}

/// A file of tickets to learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingFile {
    pub path: PathBuf,
    /// `(ours, theirs)`, as `--map` gives them.
    #[serde(default)]
    pub renames: Vec<(String, String)>,
    pub columns: TicketColumns,
}

/// Who trains, and with what.
pub struct Run<'a> {
    pub threads: usize,
    pub limits: TicketLimits,
    pub taxonomy: &'a Taxonomy,
    /// `None`: the command line.
    pub job: Option<JobId>,
    /// The server trains by itself.
    pub is_automatic: bool,
    pub by: &'a str,
    /// Told after each step: what is being done, how much of it is done, and how much there is; 0 where that is not
    /// known.
    pub progress: &'a (dyn Fn(&'static str, usize, usize) + Sync),
    /// Ends the training before its time once it is set.
    pub stop: &'a AtomicBool,
}

/// Why nothing was trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error("the training was stopped")]
    Stopped,
    /// The tickets are not such that something can be learnt; as a sentence.
    #[error("{0}")]
    Untrainable(String),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Row(RowError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl From<TrainError> for TrainingError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped => Self::Stopped,
            TrainError::Bundle(error) => Self::Registry(error.into()),
            TrainError::NoRows
            | TrainError::OneLabel { .. }
            | TrainError::LabelsOfTheirOwn { .. }
            | TrainError::TooManyLabels { .. }
            | TrainError::NoLabels(_)
            | TrainError::NoFeatures => Self::Untrainable(error.to_string()),
        }
    }
}

/// What was trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainedModel {
    pub model: ModelName,
    /// Tickets that it was trained on.
    pub tickets: u64,
    /// Rows of the files that could not be used.
    pub bad_rows: u64,
}

/// Tickets by field and label.
type LabelCounts = BTreeMap<String, BTreeMap<String, u64>>;

impl Registry {
    /// Trains a model on the tickets there are now, and keeps it as a candidate. Takes seconds to minutes.
    pub fn train(&self, training: &Training, run: &Run<'_>) -> Result<TrainedModel, TrainingError> {
        training.check()?;
        let failed = |error| TrainingError::Registry(RegistryError::Store(error));
        let memory_change = self.store.last_memory_change().map_err(failed)?;
        let last = self.last_to_learn(training, memory_change)?;
        let mut counts = LabelCounts::new();
        self.for_each_ticket(training, last, run, &mut |ticket| {
            for field in ticket.labels.keys() {
                if let Some(label) = label(run.taxonomy, ticket, field)
                    && label != OUT_OF_SCOPE
                {
                    *counts.entry(field.clone()).or_default().entry(label.to_owned()).or_default() += 1;
                }
            }
        })?;
        let fields = chosen_fields(training, &counts)?;
        let encoder = encoder_of(&self.store, &self.encoders).map_err(RegistryError::from)?;
        let set = TrainingSet::new(&fields, run.threads, self.redactor.clone(), encoder);
        let mut set = set.map_err(RegistryError::from)?;
        let bad_rows = self.for_each_ticket(training, last, run, &mut |ticket| {
            let labels: Vec<Option<String>> =
                fields.iter().map(|field| label(run.taxonomy, ticket, field).map(str::to_owned)).collect();
            let outside = labels.iter().flatten().any(|label| label == OUT_OF_SCOPE);
            if outside || labels.iter().any(Option::is_some) {
                set.add(ticket.text(), labels, outside);
            }
        })?;
        let options = TrainOptions {
            name: training.name.clone(),
            seed: training.seed,
            threads: run.threads,
            find_suspects: false,
            progress: run.progress,
            stop: run.stop,
        };
        let trained = train::train(set, &options)?;
        let classifier = Classifier::from_files(&trained.files, &self.encoders).map_err(RegistryError::from)?;
        let model = self.keep_trained(training, run, &trained, (&classifier, memory_change))?;
        Ok(TrainedModel { model, tickets: trained.rows.added as u64, bad_rows })
    }

    fn keep_trained(
        &self,
        training: &Training,
        run: &Run<'_>,
        trained: &Trained,
        (classifier, memory_change): (&Classifier, u64),
    ) -> Result<ModelName, RegistryError> {
        let mut texts: Vec<u64> = trained.rows.text_hashes.iter().map(|hash| short_hash(*hash)).collect();
        texts.sort_unstable();
        texts.dedup();
        let record = ModelRecord {
            version: classifier.version().to_owned(),
            name: training.name.clone(),
            origin: ModelOrigin::Trained(run.job),
            is_automatic: run.is_automatic,
            created_at: now(),
            by: run.by.to_owned(),
            training_rows: trained.rows.text_hashes.len() as u64,
            memory_change,
            report: ModelReport::of_training(trained, classifier).to_json(),
        };
        self.add(&record, Some(&texts), &trained.files)
    }

    /// The last change to learn from: the tickets behind it are held back.
    fn last_to_learn(&self, training: &Training, memory_change: u64) -> Result<u64, RegistryError> {
        if training.holdout_share <= 0.0 {
            return Ok(memory_change);
        }
        let tickets = self.store.count_memory_tickets()?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count that is far below 2^52"
        )]
        let held_back = (tickets as f64 * training.holdout_share).ceil() as u64;
        Ok(self.store.memory_change_at(held_back)?.unwrap_or(0))
    }

    /// Hands over every ticket to learn from; how many rows of the files are bad.
    fn for_each_ticket(
        &self,
        training: &Training,
        last: u64,
        run: &Run<'_>,
        act: &mut dyn FnMut(&ConfirmedTicket),
    ) -> Result<u64, TrainingError> {
        use std::sync::atomic::Ordering;

        let stopped = || run.stop.load(Ordering::Relaxed);
        let mut read = 0;
        let mut since = if training.without_memory { last } else { 0 };
        while since < last {
            let page = self.store.memory_changes_since(since, PAGE_TICKETS).map_err(RegistryError::from)?;
            let Some(end) = page.last() else { break };
            since = end.sequence;
            for ticket in page.into_iter().filter(|change| change.sequence <= last).filter_map(|change| change.record) {
                act(&ticket);
                read += 1;
            }
            (run.progress)("reading tickets", read, 0);
            if stopped() {
                return Err(TrainingError::Stopped);
            }
        }
        let mut bad = 0;
        for TrainingFile { path, renames, columns } in &training.files {
            let rows = Rows::open(path, renames)?;
            rows.require(&columns.named().collect::<Vec<_>>())?;
            for row in rows {
                let row = match row {
                    Ok(row) => row,
                    Err(error) if error.is_fatal() => return Err(TrainingError::Row(error)),
                    Err(_) => {
                        bad += 1;
                        continue;
                    }
                };
                match columns.ticket(&row, &run.limits) {
                    // As it would be kept, so that its text is known where it is in the memory too.
                    Ok(ticket) => act(&prepared_within(&ticket, usize::MAX, &self.redactor)),
                    Err(_) => bad += 1,
                }
                read += 1;
                if read.is_multiple_of(PAGE_TICKETS) {
                    (run.progress)("reading tickets", read, 0);
                    if stopped() {
                        return Err(TrainingError::Stopped);
                    }
                }
            }
        }
        Ok(bad)
    }
}

/// The fields that are asked for, or every one that can be learnt.
fn chosen_fields(training: &Training, counts: &LabelCounts) -> Result<Vec<String>, TrainingError> {
    if !training.fields.is_empty() {
        return Ok(training.fields.clone());
    }
    let can_be_learnt = |(field, labels): &(&String, &BTreeMap<String, u64>)| {
        // Priority follows from the matrix.
        *field != PRIORITY
            && labels.values().filter(|tickets| **tickets >= MIN_TICKETS).count() >= MIN_LABELS
            && is_label(labels.len(), labels.values().sum())
    };
    let fields: Vec<String> = counts.iter().filter(can_be_learnt).map(|(field, _)| field.clone()).collect();
    if fields.is_empty() {
        return Err(TrainingError::Untrainable(format!(
            "there is nothing to learn: no field has {MIN_LABELS} labels that {MIN_TICKETS} tickets have; confirm more \
             tickets (`triage memory import`), or name files"
        )));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(fields: &[(&str, &[(&str, u64)])]) -> LabelCounts {
        let named = |(label, tickets): &(&str, u64)| ((*label).to_owned(), *tickets);
        fields.iter().map(|(field, labels)| ((*field).to_owned(), labels.iter().map(named).collect())).collect()
    }

    fn training() -> Training {
        Training {
            name: "desk".into(),
            fields: Vec::new(),
            files: Vec::new(),
            without_memory: false,
            holdout_share: 0.0,
            seed: 1,
        }
    }

    #[test]
    fn fields_that_can_be_learnt_are_chosen() {
        let counts = counted(&[
            ("category", &[("network", 9), ("mail", 2), ("rare", 1)]),
            ("priority", &[("P1", 9), ("P2", 9)]),
            ("one", &[("a", 9)]),
            ("rare", &[("a", 9), ("b", 1)]),
        ]);
        assert_eq!(chosen_fields(&training(), &counts).unwrap(), ["category"]);
        let asked = Training { fields: vec!["one".into()], ..training() };
        assert_eq!(chosen_fields(&asked, &counts).unwrap(), ["one"]);
        assert!(chosen_fields(&training(), &LabelCounts::new()).unwrap_err().to_string().contains("nothing to learn"));
        let numbers: Vec<(String, u64)> = (0..80).map(|number| (number.to_string(), 1 + number % 2)).collect();
        let numbers: Vec<(&str, u64)> = numbers.iter().map(|(number, tickets)| (number.as_str(), *tickets)).collect();
        assert!(chosen_fields(&training(), &counted(&[("number", &numbers)])).is_err(), "an id is no label");
    }

    #[test]
    fn what_nothing_can_be_trained_by_is_refused() {
        for (asked, expected) in [
            (Training { name: "../x".into(), ..training() }, "must be letters"),
            (Training { name: "a+b".into(), ..training() }, "hold no +"),
            (Training { name: String::new(), ..training() }, "1 to 64"),
            (Training { fields: vec!["a".into(), "a".into()], ..training() }, "named twice"),
            (Training { holdout_share: 0.95, ..training() }, "0 to 0.9"),
            (Training { holdout_share: f64::NAN, ..training() }, "0 to 0.9"),
            (Training { without_memory: true, ..training() }, "neither the memory nor a file"),
        ] {
            let error = asked.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        training().check().unwrap();
    }
}
