//! Takes back what a job did. In the memory every ticket that the job changed and nobody touched since gets its previous
//! values; for a file, a file of the previous values is made, which the desk can import.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{
    Job, JobError, Jobs,
    course::Tools,
    now,
    output::is_csv,
    results,
    specification::{FieldColumn, FileSource, Source, beside},
    vacant::check_vacant,
};
use crate::{
    domain::job::{JobId, JobState, TicketResult, UndoOutcome},
    rows::{CsvStyle, append_csv, append_json, source_column},
};

/// Tickets that are restored in one go.
const STEP_TICKETS: usize = 500;

/// What undoing a job came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// Tickets by outcome; of a job over a file, those whose previous values were written are restored.
    pub counts: BTreeMap<UndoOutcome, u64>,
    /// Where the previous values stand, of a job over a file.
    pub output: Option<PathBuf>,
}

impl Jobs {
    /// Takes back what a job did that is done or cancelled. Of a job over a file the previous values of the changed
    /// tickets are written to `output`, by default beside the job's. A job over the memory is queued to be undone; what
    /// that came to [`Self::undone`] says. Undoing an undone job changes nothing, but for the file, which is written
    /// again.
    ///
    /// Fails with [`JobError::WrongState`] while the job is open, [`JobError::NothingToUndo`] for dry runs, imports and
    /// what a client sent, and on a server with [`JobError::PathNotAllowed`] for a file that clients may not name.
    pub fn undo(&self, id: JobId, output: Option<&Path>) -> Result<Job, JobError> {
        let job = self.get(id)?;
        if !job.specification.can_be_undone() {
            return Err(JobError::NothingToUndo(id));
        }
        let to = match &job.specification.source {
            Source::File(file) => {
                if !matches!(job.record.state, JobState::Done | JobState::Undone) {
                    return Err(JobError::WrongState { id, state: job.record.state, operation: "undone" });
                }
                write_previous(self, &job, file, &self.folders.to_write(&previous_values(&job, output))?)?;
                JobState::Undone
            }
            Source::Memory => JobState::Undoing,
        };
        let moved = self.store.move_job(id, &[JobState::Done, JobState::Cancelled], to, None, now())?;
        self.tell();
        let job = self.get(id)?;
        if !moved && !matches!(job.record.state, JobState::Undoing | JobState::Undone) {
            return Err(JobError::WrongState { id, state: job.record.state, operation: "undone" });
        }
        Ok(job)
    }

    /// What undoing a job has come to so far.
    pub fn undone(&self, id: JobId) -> Result<Undone, JobError> {
        let job = self.get(id)?;
        if let Source::Memory = job.specification.source {
            return Ok(Undone { counts: self.store.undo_counts(id)?, output: None });
        }
        if job.record.state != JobState::Undone {
            return Ok(Undone { counts: BTreeMap::new(), output: None });
        }
        let counts = [(UndoOutcome::Restored, job.record.counts.changed)].into();
        Ok(Undone { counts, output: Some(previous_values(&job, None)) })
    }

    /// Ids of the tickets that undoing came to this outcome for, in order, behind `after`; at most `limit`.
    pub fn undone_tickets(
        &self,
        id: JobId,
        outcome: UndoOutcome,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, JobError> {
        Ok(self.store.undone_tickets(id, outcome, after, limit)?)
    }
}

/// Where the previous values go.
fn previous_values(job: &Job, asked: Option<&Path>) -> PathBuf {
    let output = job.specification.output.as_deref().unwrap_or(Path::new("job.csv"));
    let ending = if is_csv(output) { "undo.csv" } else { "undo.jsonl" };
    asked.map_or_else(|| beside(output, ending), Path::to_owned)
}

/// Writes the previous values of every changed ticket under the names of the input's columns; whole or not at all.
fn write_previous(jobs: &Jobs, job: &Job, file: &FileSource, path: &Path) -> Result<(), JobError> {
    let unwritable = |source| JobError::Unwritable { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut written = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    let csv = is_csv(path).then_some(file.style);
    let fields = job.specification.fields();
    let theirs = |column: &str| source_column(&file.renames, column).to_owned();
    let columns: Vec<String> =
        std::iter::once(theirs(&file.id)).chain(fields.iter().map(|field| theirs(&field.column))).collect();
    let mut bytes = Vec::new();
    if let Some(style) = csv {
        style.begin(&mut bytes);
        append_csv(&mut bytes, &columns);
        style.end_line(&mut bytes);
    }
    results::for_each(&jobs.store, job.record.id, |result| {
        if result.is_changed() {
            append_previous(&mut bytes, &columns, fields, &result, csv)?;
        }
        if bytes.len() > 1 << 16 {
            written.write_all(&bytes).map_err(unwritable)?;
            bytes.clear();
        }
        Ok(())
    })?;
    written.write_all(&bytes).map_err(unwritable)?;
    written.as_file().sync_all().map_err(unwritable)?;
    if path.exists() && fs::read(path).map_err(unwritable)? == fs::read(written.path()).map_err(unwritable)? {
        return Ok(());
    }
    check_vacant(path)?;
    written.persist(path).map_err(|error| unwritable(error.error))?;
    super::storage::sync_folder(path).map_err(unwritable)
}

/// Today's value of each field: of those that the job did not change it is the one in force.
fn append_previous(
    out: &mut Vec<u8>,
    columns: &[String],
    fields: &[FieldColumn],
    result: &TicketResult,
    csv: Option<CsvStyle>,
) -> Result<(), JobError> {
    debug_assert_eq!(fields.len() + 1, columns.len(), "a column for the id and one a field");
    let previous = result.fields.iter().map(|field| field.current.clone());
    if let Some(style) = csv {
        append_csv(out, std::iter::once(result.id.clone()).chain(previous.map(Option::unwrap_or_default)));
        style.end_line(out);
        return Ok(());
    }
    let values = std::iter::once(Value::from(result.id.as_str())).chain(previous.map(Value::from));
    let line: Map<String, Value> = columns.iter().cloned().zip(values).collect();
    append_json(out, &line).map_err(JobError::internal)
}

/// Works on an undoing step by step, each committed whole: after a kill it goes on behind the last one.
pub(super) async fn take_back(jobs: &Jobs, tools: &Tools, id: JobId, stop: &CancellationToken) -> Result<(), JobError> {
    while !stop.is_cancelled() {
        let store = jobs.store.clone();
        let looked_at = tools.on_disk(move || store.undo_step(id, STEP_TICKETS)).await??;
        if looked_at == 0 {
            if let Some(memory) = tools.memory.clone() {
                tools.on_disk(move || memory.publish()).await??;
            }
            let store = jobs.store.clone();
            let end = move || store.move_job(id, &[JobState::Undoing], JobState::Undone, None, now());
            tools.on_disk(end).await??;
            break;
        }
        jobs.tell();
    }
    jobs.tell();
    Ok(())
}
