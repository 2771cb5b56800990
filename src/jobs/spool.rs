//! Tickets that a client sends, on their way to a file in the data directory that lives as long as their job is open.
//! Their text is prepared and redacted before it is written. Until its job is created the file is nobody's: after a
//! crash the next start removes it.

use std::{
    collections::HashSet,
    fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tempfile::NamedTempFile;

use super::{
    Job, JobError, Jobs, NewFile, NewReclassification, output,
    specification::{FieldColumn, Source, Specification},
    storage::sync_folder,
};
use crate::{
    domain::{
        job::JobState,
        memory::ConfirmedTicket,
        ticket::{MAX_NAME_CHARS, Ticket, TicketPart},
    },
    encode::Redactor,
    error::FieldViolation,
    memory::prepared_within,
    rows::append_json,
    store::{DatabaseView, JobOrigin},
    triage::Triager,
};

const ID: &str = "id";
const TEXT: &str = "text";
/// What is wrong with a ticket; null where nothing is.
pub(super) const PROBLEM: &str = "problem";
/// Before the name of a field whose value of today stands in the column.
const CURRENT: &str = "current.";

/// What the names of spooled files begin and end with; nothing else in their folder is ours to remove.
const PREFIX: &str = "sent-";
const ENDING: &str = ".jsonl";
const UNFINISHED: &str = ".part";

/// The tickets of one client as they come.
#[derive(Debug)]
pub struct Spool {
    file: BufWriter<NamedTempFile>,
    fields: Vec<String>,
    redactor: Redactor,
    tickets: u64,
}

impl Spool {
    /// Tickets so far, bad ones included.
    pub fn tickets(&self) -> u64 {
        self.tickets
    }

    /// Adds a ticket, or what is wrong with it under the id that it came with.
    pub fn append(&mut self, id: &str, ticket: Result<&Ticket, &[FieldViolation]>) -> Result<(), JobError> {
        let (text, problem) = match ticket {
            Ok(ticket) => (self.kept_text(ticket), Value::Null),
            Err(violations) => {
                let problems: Vec<String> = violations.iter().map(ToString::to_string).collect();
                // Names of fields are the client's words as well.
                (String::new(), self.redactor.redacted(&problems.join("; ")).into())
            }
        };
        // Every line has every column: that none is missing is asked of the first.
        let mut line = Map::new();
        line.insert(ID.to_owned(), id.chars().take(MAX_NAME_CHARS).collect::<String>().into());
        line.insert(TEXT.to_owned(), text.into());
        for field in &self.fields {
            let current = ticket.ok().and_then(|ticket| ticket.field_value(field));
            line.insert(column(field), current.into());
        }
        line.insert(PROBLEM.to_owned(), problem);
        let mut bytes = Vec::new();
        append_json(&mut bytes, &line).map_err(JobError::internal)?;
        self.file.write_all(&bytes).map_err(|source| self.unwritable(source))?;
        self.tickets += 1;
        Ok(())
    }

    /// The text as the memory would keep it.
    fn kept_text(&self, ticket: &Ticket) -> String {
        let part = |part| ticket.part(part).to_owned();
        let (summary, description) = (part(TicketPart::Summary), part(TicketPart::Description));
        let whole = ConfirmedTicket { summary, description, ..ConfirmedTicket::default() };
        prepared_within(&whole, usize::MAX, &self.redactor).text()
    }

    fn unwritable(&self, source: io::Error) -> JobError {
        JobError::Unwritable { path: self.file.get_ref().path().to_owned(), source }
    }

    /// Makes the file durable under its own name.
    fn finish(self) -> Result<PathBuf, JobError> {
        let unfinished = self.file.get_ref().path().to_owned();
        let unwritable = |source| JobError::Unwritable { path: unfinished.clone(), source };
        let file = self.file.into_inner().map_err(|error| unwritable(error.into_error()))?;
        file.as_file().sync_all().map_err(unwritable)?;
        let path = unfinished.with_extension("");
        file.persist_noclobber(&path).map_err(|error| unwritable(error.error))?;
        // The folder may be new as well.
        let folder = path.parent().unwrap_or(&path);
        sync_folder(&path).and_then(|()| sync_folder(folder)).map_err(unwritable)?;
        Ok(path)
    }
}

/// The column with today's value of a field.
fn column(field: &str) -> String {
    format!("{CURRENT}{field}")
}

impl Jobs {
    /// Begins to take tickets for a job about `fields`.
    pub fn spool(&self, fields: Vec<String>, redactor: Redactor) -> Result<Spool, JobError> {
        let unwritable = |source| JobError::Unwritable { path: self.folder.to_path_buf(), source };
        fs::create_dir_all(&self.folder).map_err(unwritable)?;
        let ending = format!("{ENDING}{UNFINISHED}");
        let file = tempfile::Builder::new().prefix(PREFIX).suffix(&ending).tempfile_in(&self.folder);
        Ok(Spool { file: BufWriter::new(file.map_err(unwritable)?), fields, redactor, tickets: 0 })
    }

    /// Creates a job over what a client sent. Two that send the same get two jobs, unless they name their requests
    /// alike.
    ///
    /// Fails as [`Self::create`] does.
    pub fn create_over(
        &self,
        spool: Spool,
        new: NewReclassification,
        request_id: Option<&str>,
        triager: &Triager,
    ) -> Result<Job, JobError> {
        let path = spool.finish()?;
        let fields =
            new.fields.into_iter().map(|FieldColumn { field, .. }| FieldColumn { column: column(&field), field });
        let file = NewFile {
            path: path.clone(),
            renames: Vec::new(),
            text: vec![TEXT.to_owned()],
            id: Some(ID.to_owned()),
            sample: None,
            is_spool: true,
        };
        let new = NewReclassification { fields: fields.collect(), file: Some(file), output: None, ..new };
        let created = self.create(new, request_id, JobOrigin::Server, triager);
        let owns = |job: &Job| spool_of(job).is_some_and(|owned| owned.file_name() == path.file_name());
        if !created.as_ref().is_ok_and(owns) {
            output::discard(&path)?;
        }
        created
    }

    /// Removes what clients sent and no open job needs: a crash, or a client that left, may have left it behind. For
    /// the start, when nobody sends anything yet.
    pub(super) fn remove_orphans(&self) -> Result<(), JobError> {
        let unreadable = |source| JobError::Unreadable { path: self.folder.to_path_buf(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut owned = HashSet::new();
        for record in self.store.jobs_in(&[JobState::Queued, JobState::Running, JobState::Paused])? {
            let job = self.with_progress(record)?;
            owned.extend(spool_of(&job).and_then(Path::file_name).map(ToOwned::to_owned));
        }
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            let text = name.to_string_lossy();
            let is_ours = text.starts_with(PREFIX) && text.trim_end_matches(UNFINISHED).ends_with(ENDING);
            if is_ours && !owned.contains(&name) {
                output::discard(&self.folder.join(&name))?;
            }
        }
        Ok(())
    }
}

/// What a client sent lies in the data directory, which may be another one than when the job was created: it was moved,
/// or restored from a backup.
pub(super) fn bring_home(specification: &mut Specification, folder: &Path) {
    if let Source::File(file) = &mut specification.source
        && file.is_spool
        && let Some(name) = file.path.file_name()
    {
        file.path = folder.join(name);
    }
}

/// The names of files with what clients sent that jobs still need.
pub(crate) fn files_of_open_jobs(view: &DatabaseView) -> Result<Vec<String>, JobError> {
    let mut names = Vec::new();
    for raw in view.open_jobs()? {
        let specification = Specification::from_json(&raw).map_err(|error| JobError::Damaged(error.to_string()))?;
        if let Source::File(file) = specification.source
            && file.is_spool
            && let Some(name) = file.path.file_name()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// The file with what a client sent, where the job is over such a file.
fn spool_of(job: &Job) -> Option<&Path> {
    match &job.specification.source {
        Source::File(file) if file.is_spool => Some(&file.path),
        Source::File(_) | Source::Memory => None,
    }
}
