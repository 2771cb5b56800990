//! Models, comparisons and the history of who served, between wire and domain.

use std::path::PathBuf;

use super::super::pages;
use crate::{
    domain::{
        job::JobId,
        model::{
            Activation, ActivationKind, MAX_BY_CHARS, MAX_REASON_CHARS, ModelOrigin, ModelState, PairCounts, Verdict,
        },
    },
    error::{FieldViolation, TriageError},
    jobs::NewTraining,
    memory::TicketColumns,
    pb,
    registry::{
        Author, Basis, Comparison, Coverage, FieldComparison, FieldReport, GuessChange, LabelComparison, MAX_TICKETS,
        Model, ModelReport, Training, TrainingFile, p_value,
    },
};

/// Longest name that a client gives its request, in characters.
const MAX_REQUEST_ID_CHARS: usize = 256;
/// Fields, files or columns; a longer list is a mistake.
const MAX_LISTED: usize = 256;

/// Violations as they are found.
#[derive(Default)]
struct Violations(Vec<FieldViolation>);

impl Violations {
    fn check(&mut self, holds: bool, field: &str, problem: impl Into<String>) {
        if !holds {
            self.0.push(FieldViolation::new(field, problem));
        }
    }

    fn at_most(&mut self, text: &str, field: &str, most: usize) {
        let chars = text.chars().count();
        self.check(chars <= most, field, format!("must be at most {most} characters, is {chars}"));
    }

    fn finish<T>(self, value: T) -> Result<T, TriageError> {
        if self.0.is_empty() { Ok(value) } else { Err(TriageError::InvalidRequest(self.0)) }
    }
}

/// A version that must be named.
pub(in crate::grpc) fn version(version: String) -> Result<String, TriageError> {
    let mut violations = Violations::default();
    violations.check(
        !version.trim().is_empty(),
        "version",
        "must be a version of ListModels, \"active\" or \"embedded\"",
    );
    violations.finish(version)
}

pub(in crate::grpc) fn asked_model_import(request: pb::ImportModelRequest) -> Result<(PathBuf, String), TriageError> {
    let pb::ImportModelRequest { path, by } = request;
    let path = PathBuf::from(path);
    let mut violations = Violations::default();
    violations.check(path.is_absolute(), "path", "must be a whole path, from the root on");
    violations.at_most(&by, "by", MAX_BY_CHARS);
    violations.finish((path, by))
}

/// Version, the one that must be active, and who activates it and why.
pub(in crate::grpc) fn asked_activation(
    request: pb::ActivateModelRequest,
) -> Result<(String, Option<String>, Author), TriageError> {
    let pb::ActivateModelRequest { version, expected_active, by, reason } = request;
    let mut violations = Violations::default();
    violations.check(
        !version.trim().is_empty(),
        "version",
        "must be a version of ListModels, \"active\" or \"embedded\"",
    );
    let author = author(by, reason, &mut violations);
    violations.finish((version, Some(expected_active).filter(|version| !version.is_empty()), author))
}

pub(in crate::grpc) fn asked_rollback(request: pb::RollbackModelRequest) -> Result<Author, TriageError> {
    let pb::RollbackModelRequest { by, reason } = request;
    let mut violations = Violations::default();
    let author = author(by, reason, &mut violations);
    violations.finish(author)
}

fn author(by: String, reason: String, violations: &mut Violations) -> Author {
    violations.at_most(&by, "by", MAX_BY_CHARS);
    violations.at_most(&reason, "reason", MAX_REASON_CHARS);
    Author { by, reason }
}

/// The two versions, the first of which may be left to the active one, and on how many tickets.
pub(in crate::grpc) fn asked_comparison(
    request: pb::CompareModelsRequest,
    default_tickets: usize,
) -> Result<(Option<String>, String, usize), TriageError> {
    let pb::CompareModelsRequest { first, second, tickets } = request;
    let mut violations = Violations::default();
    violations.check(
        !second.trim().is_empty(),
        "second",
        "must be a version of ListModels, \"active\" or \"embedded\"",
    );
    let tickets = tickets.map_or(default_tickets, |tickets| tickets as usize);
    let problem = format!("must be 1 to {MAX_TICKETS}, is {tickets}");
    violations.check((1..=MAX_TICKETS).contains(&tickets), "tickets", problem);
    violations.finish((Some(first).filter(|version| !version.is_empty()), second, tickets))
}

/// What a client asks to have trained, and how it calls that.
pub(in crate::grpc) fn asked_training(
    request: pb::TrainModelRequest,
) -> Result<(NewTraining, Option<String>), TriageError> {
    let pb::TrainModelRequest { spec, request_id, by } = request;
    let spec = spec.ok_or_else(|| TriageError::invalid("spec", "must be set"))?;
    let mut violations = Violations::default();
    violations.at_most(&request_id, "request_id", MAX_REQUEST_ID_CHARS);
    violations.at_most(&by, "by", MAX_BY_CHARS);
    let most = |listed: usize| (listed <= MAX_LISTED, format!("must be at most {MAX_LISTED}, are {listed}"));
    for (listed, field) in [(spec.fields.len(), "spec.fields"), (spec.files.len(), "spec.files")] {
        let (holds, problem) = most(listed);
        violations.check(holds, field, problem);
    }
    for (place, file) in spec.files.iter().take(MAX_LISTED).enumerate() {
        let path = format!("spec.files[{place}]");
        violations.check(!file.path.trim().is_empty(), &format!("{path}.path"), "must not be blank");
        for (columns, field) in [(&file.text_columns, "text_columns"), (&file.label_columns, "label_columns")] {
            let count = columns.len();
            let problem = format!("must be 1 to {MAX_LISTED}, are {count}");
            violations.check((1..=MAX_LISTED).contains(&count), &format!("{path}.{field}"), problem);
        }
    }
    let request_id = Some(request_id).filter(|name| !name.is_empty());
    violations.finish((NewTraining { training: domain_training(spec), by, automatic_since: None }, request_id))
}

/// What is to be trained, with the defaults for what is not said.
pub(in crate::grpc) fn domain_training(spec: pb::TrainingSpec) -> Training {
    let pb::TrainingSpec { name, fields, files, without_memory, holdout_share, seed, automatic: _ } = spec;
    let file = |pb::TrainingFile { path, text_columns, label_columns }: pb::TrainingFile| TrainingFile {
        path: path.into(),
        renames: Vec::new(),
        columns: TicketColumns { text: text_columns, labels: label_columns, ..TicketColumns::default() },
    };
    Training {
        name: if name.is_empty() { Training::DEFAULT_NAME.to_owned() } else { name },
        fields,
        files: files.into_iter().map(file).collect(),
        without_memory,
        holdout_share,
        seed: seed.unwrap_or(Training::DEFAULT_SEED),
    }
}

pub(in crate::grpc) fn training_spec(training: Training, is_automatic: bool) -> pb::TrainingSpec {
    let Training { name, fields, files, without_memory, holdout_share, seed } = training;
    let file = |TrainingFile { path, renames: _, columns }: TrainingFile| pb::TrainingFile {
        path: path.display().to_string(),
        text_columns: columns.text,
        label_columns: columns.labels,
    };
    pb::TrainingSpec {
        name,
        fields,
        files: files.into_iter().map(file).collect(),
        without_memory,
        holdout_share,
        seed: Some(seed),
        automatic: is_automatic,
    }
}

pub(in crate::grpc) fn model(model: Model) -> pb::Model {
    let Model { version, name, origin, state, is_automatic, created_at, by, report, shadow_scores } = model;
    let job_id = if let ModelOrigin::Trained(Some(job)) = origin { job.to_string() } else { String::new() };
    pb::Model {
        version,
        name,
        state: match state {
            ModelState::Active => pb::ModelState::Active,
            ModelState::Shadow => pb::ModelState::Shadow,
            ModelState::Candidate => pb::ModelState::Candidate,
            ModelState::Retired => pb::ModelState::Retired,
        }
        .into(),
        origin: match origin {
            ModelOrigin::Embedded => pb::ModelOrigin::Embedded,
            ModelOrigin::Imported => pb::ModelOrigin::Imported,
            ModelOrigin::Trained(_) => pb::ModelOrigin::Trained,
        }
        .into(),
        job_id,
        automatic: is_automatic,
        create_time: created_at.map(timestamp),
        by,
        report: Some(wire_report(report)),
        shadow_scores: shadow_scores.into_iter().map(|(field, counts)| paired_score(field, counts)).collect(),
    }
}

fn wire_report(report: ModelReport) -> pb::ModelReport {
    let ModelReport { rows, out_of_scope_rows, seed, languages, fields } = report;
    let field = |FieldReport { name, labels, accuracy, macro_f1, calibration_error, coverage }: FieldReport| {
        let coverage = coverage.into_iter().map(|Coverage { precision, confidence, share, reached }| {
            pb::CertifiedCoverage { precision, confidence, share, reached }
        });
        let coverage = coverage.collect();
        pb::FieldReport { field: name, labels, accuracy, macro_f1, calibration_error, coverage }
    };
    pb::ModelReport { rows, out_of_scope_rows, seed, languages, fields: fields.into_iter().map(field).collect() }
}

fn paired_score(field: String, counts: PairCounts) -> pb::PairedScore {
    let PairCounts { both_right, only_first_right, only_second_right, both_wrong } = counts;
    let p_value = p_value(only_first_right, only_second_right);
    pb::PairedScore { field, both_right, only_first_right, only_second_right, both_wrong, p_value }
}

pub(in crate::grpc) fn comparison(comparison: Comparison) -> pb::CompareModelsResponse {
    let Comparison { first, second, basis, tickets, left_out, fields, only_in_first, only_in_second, shadow_scores } =
        comparison;
    pb::CompareModelsResponse {
        first,
        second,
        basis: match basis {
            Basis::Unseen => pb::ComparisonBasis::Unseen,
            Basis::MayBeLearnt => pb::ComparisonBasis::MayBeLearnt,
        }
        .into(),
        tickets,
        left_out,
        fields: fields.into_iter().map(field_comparison).collect(),
        only_in_first,
        only_in_second,
        shadow_scores: shadow_scores.into_iter().map(|(field, counts)| paired_score(field, counts)).collect(),
    }
}

fn field_comparison(comparison: FieldComparison) -> pb::FieldComparison {
    let FieldComparison { field, counts, p_value: _, labels, changes, other_changes } = comparison;
    let label = |LabelComparison { label, tickets, first, second }: LabelComparison| pb::LabelComparison {
        label,
        tickets,
        first_precision: first.precision(),
        second_precision: second.precision(),
        first_recall: first.recall(tickets),
        second_recall: second.recall(tickets),
        first_guessed: first.guessed,
        first_right: first.right,
        second_guessed: second.guessed,
        second_right: second.right,
    };
    let change = |GuessChange { from, to, tickets, first_right, second_right }: GuessChange| pb::GuessChange {
        from,
        to,
        tickets,
        first_right,
        second_right,
    };
    pb::FieldComparison {
        score: Some(paired_score(field, counts)),
        labels: labels.into_iter().map(label).collect(),
        changes: changes.into_iter().map(change).collect(),
        other_changes,
    }
}

pub(in crate::grpc) fn activation(activation: Activation) -> pb::Activation {
    let Activation { id, model, previous, kind, at, by, reason } = activation;
    pb::Activation {
        id: id.to_string(),
        version: model.version,
        previous: previous.version,
        kind: match kind {
            ActivationKind::Activated => pb::ActivationKind::Activated,
            ActivationKind::RolledBack => pb::ActivationKind::RolledBack,
            ActivationKind::Promoted => pb::ActivationKind::Promoted,
        }
        .into(),
        activate_time: Some(timestamp(at)),
        by,
        reason,
    }
}

pub(in crate::grpc) fn verdict(verdict: Verdict) -> pb::PromotionVerdict {
    let Verdict { candidate, active, is_promoted, at, reasons } = verdict;
    pb::PromotionVerdict { candidate, active, promoted: is_promoted, judge_time: Some(timestamp(at)), reasons }
}

/// Behind which activation a page begins.
pub(in crate::grpc) fn activation_token(token: &str) -> Result<Option<u64>, Vec<FieldViolation>> {
    match token {
        "" => Ok(None),
        token => JobId::parse(token).map(|id| Some(id.0)).ok_or_else(pages::foreign),
    }
}

fn timestamp(seconds: u64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }
}
