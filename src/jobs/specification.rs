//! What a job is to do: which tickets, what with them, and where results go. Kept with the job as JSON, and what tells
//! one job from another.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::output::is_csv;
use crate::{domain::decision::Versions, memory::TicketColumns, registry::Training, rows::CsvStyle};

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Specification {
    pub source: Source,
    pub work: Work,
    /// Where the file of results goes; `None` for a dry run, for the memory, and for an import.
    pub output: Option<PathBuf>,
    /// Where the rows of an import go that cannot be used; `None` where they are only counted. Those of a
    /// reclassification go beside its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_rejects: Option<PathBuf>,
    /// What is taken out of texts before they are read, as [`crate::encode::Redactor::version`] says it.
    pub redaction: String,
    #[serde(default)]
    pub pace: Pace,
}

/// What is done with each ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    Reclassify(Reclassification),
    /// The tickets of a file become confirmed tickets of the memory.
    Import(TicketColumns),
    /// A model is trained, on the memory and on files.
    Train(TrainingWork),
}

/// A training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingWork {
    pub training: Training,
    /// The content of each file, as [`super::input::Identity`] writes it.
    #[serde(default)]
    pub contents: Vec<String>,
    /// Who asked for it.
    pub by: String,
    /// The server asked for it by itself, when this was the last change to the memory.
    #[serde(default)]
    pub automatic_since: Option<u64>,
}

/// A reclassification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reclassification {
    /// At least one; each once.
    pub fields: Vec<FieldColumn>,
    #[serde(default)]
    pub filter: Filter,
    /// Decide everything, change and write nothing.
    pub dry_run: bool,
}

impl Work {
    /// As the store names the kind of job.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Reclassify(_) => "reclassification",
            Self::Import(_) => "memory_import",
            Self::Train(_) => "training",
        }
    }
}

/// Where the tickets come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    File(FileSource),
    /// The confirmed tickets, whose labels change.
    Memory,
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSource {
    pub path: PathBuf,
    /// `(ours, theirs)`, as `--map` gives them.
    #[serde(default)]
    pub renames: Vec<(String, String)>,
    /// Columns that hold the text.
    pub text: Vec<String>,
    /// Column with the id; where a row has none, its number.
    pub id: String,
    /// The columns of the file, in its order; of JSON lines only where the output is CSV.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Files of CSV that are made of it are written like it.
    #[serde(default, skip_serializing_if = "CsvStyle::is_plain")]
    pub style: CsvStyle,
    /// So many rows, spread over the file; `None` for all. For dry runs only.
    #[serde(default)]
    pub sample: Option<u64>,
    /// The file's content, as [`super::input::Identity`] writes it.
    pub content: String,
    /// What a client sent, kept in the data directory until the job ends.
    #[serde(default)]
    pub is_spool: bool,
}

/// A field and the column with today's value; for the memory both are the field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldColumn {
    pub field: String,
    pub column: String,
}

/// Which of the proposed changes are made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// The least confidence, 0 to 1.
    #[serde(default)]
    pub min_confidence: f32,
    /// Where not empty: only where today's value of the field is one of these, or below one.
    #[serde(default)]
    pub from: Vec<FieldValue>,
    /// Where not empty: only where the new value of the field is one of these, or below one.
    #[serde(default)]
    pub to: Vec<FieldValue>,
    /// Only where there is no value today.
    #[serde(default)]
    pub only_empty: bool,
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldValue {
    pub field: String,
    pub value: String,
}

/// How a job goes about its work; no part of what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// At most so many tickets a second; `None` for as many as the processors can take.
    #[serde(default)]
    pub tickets_per_second: Option<u32>,
    /// Above this share of bad rows the job pauses, 0 to 1.
    pub max_bad_share: f64,
    /// The folder of the model; `None` for what serves.
    #[serde(default)]
    pub model: Option<PathBuf>,
}

impl Pace {
    pub const DEFAULT_MAX_BAD_SHARE: f64 = 0.1;
}

impl Default for Pace {
    fn default() -> Self {
        Self { tickets_per_second: None, max_bad_share: Self::DEFAULT_MAX_BAD_SHARE, model: None }
    }
}

impl Filter {
    /// Whether a value may take the place of today's.
    pub(super) fn allows(&self, field: &str, current: Option<&str>, value: &str, confidence: f32) -> bool {
        let within = |asked: &[FieldValue], value: Option<&str>| {
            let mut of_field = asked.iter().filter(|asked| asked.field == field).peekable();
            of_field.peek().is_none()
                || value.is_some_and(|value| of_field.any(|asked| is_at_or_below(value, &asked.value)))
        };
        confidence >= self.min_confidence
            && (!self.only_empty || current.is_none())
            && within(&self.from, current)
            && within(&self.to, Some(value))
    }
}

/// Whether a label is this one or lies below it, as `network/vpn` below `network`.
pub(super) fn is_at_or_below(label: &str, asked: &str) -> bool {
    label.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Specification {
    /// The fields that are reclassified; none of other work.
    pub fn fields(&self) -> &[FieldColumn] {
        self.reclassification().map_or(&[], |work| &work.fields)
    }

    /// Whether nothing is changed and written.
    pub fn is_dry_run(&self) -> bool {
        self.reclassification().is_some_and(|work| work.dry_run)
    }

    /// `None` for other work.
    pub fn reclassification(&self) -> Option<&Reclassification> {
        match &self.work {
            Work::Reclassify(work) => Some(work),
            Work::Import(_) | Work::Train(_) => None,
        }
    }

    /// `None` for other work.
    pub fn training(&self) -> Option<&TrainingWork> {
        match &self.work {
            Work::Train(work) => Some(work),
            Work::Reclassify(_) | Work::Import(_) => None,
        }
    }

    /// As the store keeps it.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists: nothing that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn from_json(raw: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(raw)
    }

    /// The same for jobs that do the same: same input, options, versions and output.
    pub fn fingerprint(&self, versions: &Versions) -> [u8; 32] {
        let mut same = Self { pace: Pace::default(), ..self.clone() };
        if let Source::File(file) = &mut same.source {
            // The content tells one input from another, wherever it lies.
            file.path = file.path.file_name().map(PathBuf::from).unwrap_or_default();
        }
        let Versions { model, taxonomy, matrix, .. } = versions;
        let parts = [same.to_json(), model.clone(), taxonomy.clone(), matrix.clone()];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// Whether a row is bad whose id stands further up already. Of two tickets that are imported the later counts.
    pub(super) fn tells_ids_apart(&self) -> bool {
        matches!(self.source, Source::File(_)) && matches!(self.work, Work::Reclassify(_))
    }

    /// Whether it changes what can be given back.
    pub fn can_be_undone(&self) -> bool {
        self.reclassification().is_some_and(|work| !work.dry_run) && !self.is_over_spool()
    }

    /// Whether a client sent the tickets.
    pub fn is_over_spool(&self) -> bool {
        matches!(&self.source, Source::File(file) if file.is_spool)
    }

    /// Where rows go that cannot be used: where an import was told to write them, otherwise beside the output; `None`
    /// where nothing is written.
    pub fn rejects(&self) -> Option<PathBuf> {
        let Source::File(FileSource { path, .. }) = &self.source else { return None };
        if let Work::Import(_) = self.work {
            return self.import_rejects.clone();
        }
        let extension = if is_csv(path) { "csv" } else { "jsonl" };
        self.output.as_deref().map(|output| beside(output, &format!("rejects.{extension}")))
    }

    /// Every file that it writes.
    pub(super) fn written(&self) -> impl Iterator<Item = PathBuf> {
        [self.output.clone(), self.rejects()].into_iter().flatten()
    }
}

/// `out.csv` and `rejects.csv` give `out.csv.rejects.csv`: each output has its own.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(filter: &Filter, field: &str, current: Option<&str>, value: &str) -> bool {
        filter.allows(field, current, value, 0.5)
    }

    #[test]
    fn a_filter_lets_through_what_it_names_and_what_lies_below() {
        let value = |field: &str, value: &str| FieldValue { field: field.into(), value: value.into() };
        let everything = Filter::default();
        assert!(of(&everything, "category", None, "network"));
        let from = Filter { from: vec![value("category", "network")], ..Filter::default() };
        for (field, current, expected) in [
            ("category", Some("network"), true),
            ("category", Some("network/vpn"), true),
            ("category", Some("networking"), false),
            ("category", None, false),
            ("type", Some("incident"), true),
        ] {
            assert_eq!(of(&from, field, current, "x"), expected, "{field} {current:?}");
        }
        let to = Filter { to: vec![value("category", "network/vpn"), value("category", "mail")], ..Filter::default() };
        for (value, expected) in [("network/vpn", true), ("network", false), ("mail/spam", true)] {
            assert_eq!(of(&to, "category", Some("x"), value), expected, "{value}");
        }
        let only_empty = Filter { only_empty: true, ..Filter::default() };
        assert!(of(&only_empty, "type", None, "incident") && !of(&only_empty, "type", Some("x"), "incident"));
        let sure = Filter { min_confidence: 0.6, ..Filter::default() };
        assert!(!of(&sure, "type", None, "incident") && sure.allows("type", None, "incident", 0.6));
    }

    #[test]
    fn files_beside_an_output_bear_its_name() {
        for (output, expected) in [
            ("a/out.csv", "a/out.csv.rejects.csv"),
            ("out.jsonl.gz", "out.jsonl.gz.rejects.csv"),
            ("out", "out.rejects.csv"),
        ] {
            assert_eq!(beside(Path::new(output), "rejects.csv"), Path::new(expected));
        }
    }

    #[test]
    fn the_pace_and_the_folder_of_the_input_make_no_other_job() {
        let source = FileSource {
            path: "a/in.csv".into(),
            renames: Vec::new(),
            text: vec!["text".into()],
            id: "id".into(),
            columns: Vec::new(),
            style: CsvStyle::default(),
            sample: None,
            content: "xxh3:1".into(),
            is_spool: false,
        };
        let fields = vec![FieldColumn { field: "category".into(), column: "category".into() }];
        let reclassification = Reclassification { fields, filter: Filter::default(), dry_run: false };
        let job = Specification {
            source: Source::File(source.clone()),
            work: Work::Reclassify(reclassification.clone()),
            output: Some("out.csv".into()),
            import_rejects: None,
            redaction: String::new(),
            pace: Pace::default(),
        };
        let other_work = |work| Specification { work: Work::Reclassify(work), ..job.clone() };
        let versions = Versions { model: "m".into(), ..Versions::default() };
        let fingerprint = job.fingerprint(&versions);
        let slow = Pace { tickets_per_second: Some(5), ..Pace::default() };
        let moved = FileSource { path: "b/in.csv".into(), ..source.clone() };
        for same in [
            Specification { pace: slow, ..job.clone() },
            Specification { source: Source::File(moved), ..job.clone() },
            Specification::from_json(&job.to_json()).unwrap(),
        ] {
            assert_eq!(same.fingerprint(&versions), fingerprint);
        }
        let other_content = FileSource { content: "xxh3:2".into(), ..source };
        for other in [
            other_work(Reclassification { dry_run: true, ..reclassification.clone() }),
            other_work(Reclassification {
                filter: Filter { only_empty: true, ..Filter::default() },
                ..reclassification
            }),
            Specification { output: Some("other.csv".into()), ..job.clone() },
            Specification { source: Source::File(other_content), ..job.clone() },
            Specification { import_rejects: Some("bad.csv".into()), ..job.clone() },
            Specification { work: Work::Import(TicketColumns::default()), ..job.clone() },
        ] {
            assert_ne!(other.fingerprint(&versions), fingerprint);
        }
        assert_ne!(job.fingerprint(&Versions::default()), fingerprint);
    }
}
