//! Jobs, their results and what they change, between wire and domain.

use std::path::PathBuf;

use super::{both, draft, wire_abstention};
use crate::{
    domain::{
        job::{FieldResult, JobCounts, JobId, JobState, Pause, PauseCause, TicketResult, UndoOutcome},
        ticket::{Ticket, TicketLimits},
    },
    error::{FieldViolation, TriageError},
    jobs::{
        Band, Diff, FieldDiff, Job, NewFile, NewImport, NewReclassification, PairDiff, Progress, ResultFilter,
        specification::{
            FieldColumn, FieldValue, FileSource, Filter, Pace, Reclassification, Source, Specification, Work,
        },
    },
    memory::TicketColumns,
    pb,
    store::{JobOrigin, JobRecord},
};

/// Longest name that a client gives its request, in characters.
const MAX_REQUEST_ID_CHARS: usize = 256;
/// Fields, columns, or values of a filter; a longer list is a mistake.
const MAX_LISTED: usize = 256;
/// Pairs of values of one field in a diff.
const MAX_PAIRS: usize = 1_000;

const ABSOLUTE: &str = "must be a whole path, from the root on";

/// A job that a client asks for.
#[derive(Debug)]
pub(in crate::grpc) struct AskedJob {
    pub(in crate::grpc) request_id: Option<String>,
    /// Its tickets follow.
    pub(in crate::grpc) is_sent: bool,
    pub(in crate::grpc) new: NewReclassification,
}

/// Violations as they are found.
#[derive(Default)]
struct Violations(Vec<FieldViolation>);

impl Violations {
    fn check(&mut self, holds: bool, field: impl Into<String>, problem: impl Into<String>) {
        if !holds {
            self.0.push(FieldViolation::new(field, problem));
        }
    }
}

/// What a first message asks for, with all violations together.
pub(in crate::grpc) fn asked_job(
    spec: Option<pb::ReclassificationSpec>,
    request_id: String,
    tickets: &[pb::Ticket],
) -> Result<AskedJob, TriageError> {
    use pb::reclassification_spec::Source as Wire;

    let missing = || TriageError::invalid("spec", "must be set in the first message");
    let pb::ReclassificationSpec { source, fields, filter, dry_run, tickets_per_second, max_bad_share } =
        spec.ok_or_else(missing)?;
    let mut violations = Violations::default();
    let request_id = checked_request_id(request_id, &mut violations);
    violations.check(source.is_some(), "spec.source", "must be set: client, file or memory");
    let (is_sent, is_file) = (matches!(source, Some(Wire::Client(_))), matches!(source, Some(Wire::File(_))));
    violations.check(is_sent || tickets.is_empty(), "tickets", "must be empty unless spec.client is set");
    let fields = columns(fields, is_file, &mut violations);
    let filter = conditions(filter.unwrap_or_default(), &mut violations);
    let max_bad_share = max_bad_share.unwrap_or(Pace::DEFAULT_MAX_BAD_SHARE);
    violations.check(
        (0.0..=1.0).contains(&max_bad_share),
        "spec.max_bad_share",
        format!("must be 0 to 1, is {max_bad_share}"),
    );
    let (file, output) = match source {
        Some(Wire::File(source)) => file(source, dry_run, &mut violations),
        Some(Wire::Client(pb::ClientTickets {}) | Wire::Memory(pb::MemoryTickets {})) | None => (None, None),
    };
    if !violations.0.is_empty() {
        return Err(TriageError::InvalidRequest(violations.0));
    }
    let tickets_per_second = Some(tickets_per_second).filter(|rate| *rate > 0);
    let pace = Pace { tickets_per_second, max_bad_share, model: None };
    Ok(AskedJob { request_id, is_sent, new: NewReclassification { file, fields, filter, dry_run, output, pace } })
}

fn columns(fields: Vec<pb::ReclassificationField>, is_file: bool, violations: &mut Violations) -> Vec<FieldColumn> {
    let count = fields.len();
    violations.check(
        (1..=MAX_LISTED).contains(&count),
        "spec.fields",
        format!("must be 1 to {MAX_LISTED}, are {count}"),
    );
    let mut columns = Vec::new();
    for (place, pb::ReclassificationField { field, current_column }) in fields.into_iter().take(MAX_LISTED).enumerate()
    {
        let path = format!("spec.fields[{place}]");
        violations.check(!field.trim().is_empty(), format!("{path}.field"), "must not be blank");
        let has_column = !current_column.is_empty();
        violations.check(is_file || !has_column, format!("{path}.current_column"), "is for spec.file only");
        columns.push(FieldColumn { column: if has_column { current_column } else { field.clone() }, field });
    }
    columns
}

fn conditions(filter: pb::ReclassificationFilter, violations: &mut Violations) -> Filter {
    let pb::ReclassificationFilter { min_confidence, from, to, only_empty } = filter;
    let problem = format!("must be 0 to 1, is {min_confidence}");
    violations.check((0.0..=1.0).contains(&min_confidence), "spec.filter.min_confidence", problem);
    let mut values = |values: Vec<pb::FieldValue>, name: &str| {
        let count = values.len();
        let path = format!("spec.filter.{name}");
        violations.check(count <= MAX_LISTED, path.clone(), format!("must be at most {MAX_LISTED}, are {count}"));
        let mut kept = Vec::new();
        for (place, pb::FieldValue { field, value }) in values.into_iter().take(MAX_LISTED).enumerate() {
            let is_whole = !field.trim().is_empty() && !value.trim().is_empty();
            violations.check(is_whole, format!("{path}[{place}]"), "field and value must not be blank");
            kept.push(FieldValue { field, value });
        }
        kept
    };
    Filter { min_confidence, from: values(from, "from"), to: values(to, "to"), only_empty }
}

fn file(source: pb::FileTickets, is_dry_run: bool, violations: &mut Violations) -> (Option<NewFile>, Option<PathBuf>) {
    let pb::FileTickets { path, output_path, text_columns, id_column, sample } = source;
    let (path, output) = (PathBuf::from(path), PathBuf::from(output_path));
    violations.check(path.is_absolute(), "spec.file.path", ABSOLUTE);
    let has_output = !output.as_os_str().is_empty();
    violations.check(has_output || is_dry_run, "spec.file.output_path", "must be set unless dry_run is");
    violations.check(output.is_absolute() || !has_output, "spec.file.output_path", ABSOLUTE);
    let count = text_columns.len();
    let problem = format!("must be 1 to {MAX_LISTED} columns, are {count}");
    violations.check((1..=MAX_LISTED).contains(&count), "spec.file.text_columns", problem);
    violations.check(sample == 0 || is_dry_run, "spec.file.sample", "is for dry_run only");
    let id = Some(id_column).filter(|column| !column.is_empty());
    let sample = Some(sample).filter(|size| *size > 0);
    let file = NewFile { path, renames: Vec::new(), text: text_columns, id, sample, is_spool: false };
    (Some(file), has_output.then_some(output))
}

/// A ticket of a stream; field names in violations have nothing before them.
pub(in crate::grpc) fn job_ticket(ticket: pb::Ticket, limits: &TicketLimits) -> Result<Ticket, Vec<FieldViolation>> {
    let named =
        if ticket.id.trim().is_empty() { Err(vec![FieldViolation::new("id", "must not be blank")]) } else { Ok(()) };
    match both(named, draft(ticket).parse("", limits)) {
        Ok(((), ticket)) => Ok(ticket),
        Err(TriageError::InvalidRequest(violations)) => Err(violations),
        Err(other) => Err(vec![FieldViolation::new("ticket", other.to_string())]),
    }
}

pub(in crate::grpc) fn job(job: Job) -> pb::Job {
    let Job { record, specification, progress } = job;
    let rejects = specification.rejects().filter(|_| record.counts.failed > 0);
    let JobRecord {
        id,
        request_id,
        kind: _,
        origin,
        specification: _,
        model,
        taxonomy,
        state,
        pause,
        created_at,
        ended_at,
        worked_ms,
        chunks: _,
        counts,
        checkpoint: _,
    } = record;
    let wire = |Pause { cause, text }| pb::JobPause { cause: wire_cause(cause).into(), message: text };
    let (state, pause) = match (origin, state) {
        (JobOrigin::CommandLine, JobState::Queued | JobState::Running) => (JobState::Paused, Some(interrupted(id))),
        (JobOrigin::CommandLine | JobOrigin::Server, state) => (state, pause.map(wire)),
    };
    pb::Job {
        id: id.to_string(),
        request_id: request_id.unwrap_or_default(),
        state: wire_state(state).into(),
        pause,
        work: Some(wire_work(specification)),
        versions: Some(pb::Versions { model, taxonomy, ..pb::Versions::default() }),
        progress: Some(wire_progress(counts, progress, worked_ms)),
        create_time: Some(timestamp(created_at)),
        end_time: ended_at.map(timestamp),
        rejects_path: rejects.map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

/// A job that the command line worked on when it was stopped: while a server holds the data directory nobody does.
fn interrupted(id: JobId) -> pb::JobPause {
    let message = format!(
        "job {id} was begun on the command line and interrupted: resume it, and the server goes on with the model that \
         it serves"
    );
    pb::JobPause { cause: pb::PauseCause::Interrupted.into(), message }
}

fn timestamp(seconds: u64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }
}

fn wire_progress(counts: JobCounts, progress: Option<Progress>, worked_ms: u64) -> pb::JobProgress {
    let JobCounts { rows, changed, abstained, failed } = counts;
    let duration = |duration: std::time::Duration| prost_types::Duration::try_from(duration).ok();
    let left = progress.as_ref().and_then(Progress::seconds_left);
    let left = left.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    pb::JobProgress {
        done: rows,
        changed,
        abstained,
        failed,
        fraction: progress.map(|progress| progress.fraction),
        rate: progress.map(|progress| progress.rows_a_second),
        time_left: left.and_then(duration),
        worked: duration(std::time::Duration::from_millis(worked_ms)),
    }
}

fn wire_work(specification: Specification) -> pb::job::Work {
    use pb::reclassification_spec::Source as Wire;

    let Specification { source, work, output, import_rejects, redaction: _, pace } = specification;
    let text = |path: Option<PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
    match work {
        Work::Reclassify(work) => {
            let source = match source {
                Source::Memory => Wire::Memory(pb::MemoryTickets {}),
                Source::File(file) if file.is_spool => Wire::Client(pb::ClientTickets {}),
                Source::File(file) => {
                    let FileSource {
                        path,
                        renames: _,
                        text: text_columns,
                        id: id_column,
                        columns: _,
                        style: _,
                        sample,
                        content: _,
                        is_spool: _,
                    } = file;
                    Wire::File(pb::FileTickets {
                        path: text(Some(path)),
                        output_path: text(output),
                        text_columns,
                        id_column,
                        sample: sample.unwrap_or(0),
                    })
                }
            };
            pb::job::Work::Reclassification(reclassification_spec(source, work, &pace))
        }
        Work::Import(columns) => {
            let path = if let Source::File(file) = source { Some(file.path) } else { None };
            pb::job::Work::MemoryImport(import_spec(text(path), text(import_rejects), columns, &pace))
        }
        Work::Train(work) => {
            pb::job::Work::Training(super::models::training_spec(work.training, work.automatic_since.is_some()))
        }
    }
}

/// What an import is to do; `rejects` may be empty.
pub(in crate::grpc) fn import_spec(
    path: String,
    rejects: String,
    columns: TicketColumns,
    pace: &Pace,
) -> pb::MemoryImportSpec {
    let TicketColumns { id, text, articles, labels, resolution, service, configuration_item, resolved_on } = columns;
    let Pace { tickets_per_second, max_bad_share, model: _ } = pace;
    pb::MemoryImportSpec {
        path,
        text_columns: text,
        id_column: id,
        article_column: articles.unwrap_or_default(),
        label_columns: labels,
        resolution_column: resolution.unwrap_or_default(),
        service_column: service.unwrap_or_default(),
        configuration_item_column: configuration_item.unwrap_or_default(),
        tickets_per_second: tickets_per_second.unwrap_or(0),
        max_bad_share: Some(*max_bad_share),
        rejects_path: rejects,
        resolved_on_column: resolved_on.unwrap_or_default(),
    }
}

/// What a reclassification is to do.
pub(in crate::grpc) fn reclassification_spec(
    source: pb::reclassification_spec::Source,
    work: Reclassification,
    pace: &Pace,
) -> pb::ReclassificationSpec {
    let Reclassification { fields, filter, dry_run } = work;
    let is_file = matches!(source, pb::reclassification_spec::Source::File(_));
    let field = |FieldColumn { field, column }: FieldColumn| pb::ReclassificationField {
        current_column: if is_file { column } else { String::new() },
        field,
    };
    let value = |FieldValue { field, value }: FieldValue| pb::FieldValue { field, value };
    let Filter { min_confidence, from, to, only_empty } = filter;
    let Pace { tickets_per_second, max_bad_share, model: _ } = pace;
    pb::ReclassificationSpec {
        source: Some(source),
        fields: fields.into_iter().map(field).collect(),
        filter: Some(pb::ReclassificationFilter {
            min_confidence,
            from: from.into_iter().map(value).collect(),
            to: to.into_iter().map(value).collect(),
            only_empty,
        }),
        dry_run,
        tickets_per_second: tickets_per_second.unwrap_or(0),
        max_bad_share: Some(*max_bad_share),
    }
}

/// The name that a client gives its request; `None` where it gives none.
fn checked_request_id(request_id: String, violations: &mut Violations) -> Option<String> {
    let chars = request_id.chars().count();
    let too_long = format!("must be at most {MAX_REQUEST_ID_CHARS} characters, is {chars}");
    violations.check(chars <= MAX_REQUEST_ID_CHARS, "request_id", too_long);
    Some(request_id).filter(|name| !name.is_empty())
}

/// What a client asks to have imported, and how it calls that; with all violations together.
pub(in crate::grpc) fn asked_import(
    request: pb::CreateMemoryImportJobRequest,
) -> Result<(NewImport, Option<String>), TriageError> {
    let pb::CreateMemoryImportJobRequest { spec, request_id } = request;
    let spec = spec.ok_or_else(|| TriageError::invalid("spec", "must be set"))?;
    let pb::MemoryImportSpec {
        path,
        text_columns,
        id_column,
        article_column,
        label_columns,
        resolution_column,
        service_column,
        configuration_item_column,
        tickets_per_second,
        max_bad_share,
        rejects_path,
        resolved_on_column,
    } = spec;
    let mut violations = Violations::default();
    let request_id = checked_request_id(request_id, &mut violations);
    violations.check(!path.trim().is_empty(), "spec.path", "must not be blank");
    let rejects = Some(PathBuf::from(rejects_path)).filter(|path| !path.as_os_str().is_empty());
    violations.check(rejects.as_ref().is_none_or(|path| path.is_absolute()), "spec.rejects_path", ABSOLUTE);
    let count = text_columns.len();
    let wrong = format!("must be 1 to {MAX_LISTED}, are {count}");
    violations.check((1..=MAX_LISTED).contains(&count), "spec.text_columns", wrong);
    let count = label_columns.len();
    let wrong = format!("must be at most {MAX_LISTED}, are {count}");
    violations.check(count <= MAX_LISTED, "spec.label_columns", wrong);
    if !violations.0.is_empty() {
        return Err(TriageError::InvalidRequest(violations.0));
    }
    let optional = |column: String| Some(column).filter(|column| !column.is_empty());
    let columns = TicketColumns {
        id: id_column,
        text: text_columns,
        articles: optional(article_column),
        labels: label_columns,
        resolution: optional(resolution_column),
        service: optional(service_column),
        configuration_item: optional(configuration_item_column),
        resolved_on: optional(resolved_on_column),
    };
    let pace = Pace {
        tickets_per_second: Some(tickets_per_second).filter(|rate| *rate > 0),
        max_bad_share: max_bad_share.unwrap_or(Pace::DEFAULT_MAX_BAD_SHARE),
        model: None,
    };
    Ok((NewImport { path: path.into(), renames: Vec::new(), columns, rejects, pace }, request_id))
}

fn wire_state(state: JobState) -> pb::JobState {
    match state {
        JobState::Queued => pb::JobState::Queued,
        JobState::Running => pb::JobState::Running,
        JobState::Paused => pb::JobState::Paused,
        JobState::Done => pb::JobState::Done,
        JobState::Cancelled => pb::JobState::Cancelled,
        JobState::Undoing => pb::JobState::Undoing,
        JobState::Undone => pb::JobState::Undone,
    }
}

fn wire_cause(cause: PauseCause) -> pb::PauseCause {
    match cause {
        PauseCause::Asked => pb::PauseCause::Asked,
        PauseCause::BadRows => pb::PauseCause::BadRows,
        PauseCause::Storage => pb::PauseCause::Storage,
        PauseCause::InputChanged => pb::PauseCause::InputChanged,
        PauseCause::OtherVersion => pb::PauseCause::OtherVersion,
        PauseCause::Untrainable => pb::PauseCause::Untrainable,
    }
}

pub(in crate::grpc) fn result_filter(filter: Option<pb::JobResultFilter>) -> Result<ResultFilter, TriageError> {
    let pb::JobResultFilter { changed_only, failed_only, field } = filter.unwrap_or_default();
    let mut violations = Violations::default();
    violations.check(
        !(changed_only && failed_only),
        "filter.failed_only",
        "a bad row changes nothing: set one of the two",
    );
    violations.check(changed_only || field.is_empty(), "filter.field", "is for changed_only");
    if !violations.0.is_empty() {
        return Err(TriageError::InvalidRequest(violations.0));
    }
    let field = Some(field).filter(|field| !field.is_empty());
    Ok(ResultFilter { changed_only, failed_only, field })
}

/// A ticket's result; `fields` are those of its job.
pub(in crate::grpc) fn ticket_result(result: TicketResult, fields: &[FieldColumn]) -> pb::TicketResult {
    let TicketResult { id, fields: results, error } = result;
    let field = |(FieldColumn { field, column: _ }, result): (&FieldColumn, FieldResult)| {
        let FieldResult { current, value, confidence, abstention, changed } = result;
        let abstention = wire_abstention(abstention).into();
        pb::FieldResult { field: field.clone(), current, value, confidence, abstention, changed }
    };
    let fields = fields.iter().zip(results).map(field).collect();
    pb::TicketResult { id, fields, error: error.unwrap_or_default() }
}

pub(in crate::grpc) fn diff(diff: Diff) -> pb::GetJobDiffResponse {
    let Diff { fields } = diff;
    pb::GetJobDiffResponse { fields: fields.into_iter().map(field_diff).collect() }
}

fn field_diff(diff: FieldDiff) -> pb::FieldDiff {
    let FieldDiff { field, changed, confirmed, abstained, mut pairs, mut other_pairs, absent } = diff;
    let unlisted = pairs.split_off(pairs.len().min(MAX_PAIRS));
    other_pairs += unlisted.iter().map(|pair| pair.tickets).sum::<u64>();
    let pair = |PairDiff { from, to, tickets, bands, examples }: PairDiff| {
        let band = |(band, tickets): (Band, u64)| {
            let (lower, upper) = band.bounds();
            pb::ConfidenceBand { lower, upper, tickets }
        };
        pb::PairDiff { from, to, tickets, bands: Band::ALL.into_iter().zip(bands).map(band).collect(), examples }
    };
    let pairs = pairs.into_iter().map(pair).collect();
    pb::FieldDiff { field, changed, confirmed, abstained, pairs, other_pairs, absent_from: absent }
}

pub(in crate::grpc) fn undo_outcome(outcome: i32) -> Result<UndoOutcome, TriageError> {
    match pb::UndoOutcome::try_from(outcome) {
        Ok(pb::UndoOutcome::Restored) => Ok(UndoOutcome::Restored),
        Ok(pb::UndoOutcome::Touched) => Ok(UndoOutcome::Touched),
        Ok(pb::UndoOutcome::Deleted) => Ok(UndoOutcome::Deleted),
        Ok(pb::UndoOutcome::Unspecified) | Err(_) => {
            Err(TriageError::invalid("outcome", format!("{outcome} is no outcome: RESTORED, TOUCHED or DELETED")))
        }
    }
}
