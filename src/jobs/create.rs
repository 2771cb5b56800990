//! Begins jobs: checks what is asked for before anything is written, and finds the job again that does the same.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use super::{
    Job, JobError, Jobs,
    decide::Decider,
    folders::Folders,
    input::Identity,
    now,
    output::{OUR_COLUMNS, is_csv, our_columns},
    rejects::check_fits,
    specification::{
        FieldColumn, FieldValue, FileSource, Filter, Pace, Reclassification, Source, Specification, Work,
        is_at_or_below,
    },
    vacant::{check_begun, check_target},
};
use crate::{
    domain::job::{JobId, JobState},
    memory::TicketColumns,
    rows::Rows,
    store::{Created, JobOrigin, JobRecord, NewJob},
    triage::Triager,
};

/// A reclassification that somebody asks for.
#[derive(Debug, Clone)]
pub struct NewReclassification {
    /// `None`: the confirmed tickets.
    pub file: Option<NewFile>,
    /// Each field with the column that holds today's value; for the memory both are the field.
    pub fields: Vec<FieldColumn>,
    pub filter: Filter,
    pub dry_run: bool,
    pub output: Option<PathBuf>,
    pub pace: Pace,
}

/// An import of confirmed tickets that somebody asks for.
#[derive(Debug, Clone)]
pub struct NewImport {
    pub path: PathBuf,
    pub renames: Vec<(String, String)>,
    /// With an empty `id`: the column `id` where there is one.
    pub columns: TicketColumns,
    /// Where rows go that cannot be used; `None`: they are only counted.
    pub rejects: Option<PathBuf>,
    pub pace: Pace,
}

/// A file of tickets.
#[derive(Debug, Clone)]
pub struct NewFile {
    pub path: PathBuf,
    pub renames: Vec<(String, String)>,
    pub text: Vec<String>,
    /// `None`: the column `id` where there is one.
    pub id: Option<String>,
    pub sample: Option<u64>,
    pub is_spool: bool,
}

const DEFAULT_ID: &str = "id";

impl NewReclassification {
    /// Checks what is asked for against the model and the taxonomy, as far as that can be done without the input.
    pub fn check(&self, triager: &Triager) -> Result<(), JobError> {
        let Self { file: _, fields, filter, dry_run: _, output: _, pace } = self;
        check_fields(fields, filter, triager)?;
        check_pace(pace)?;
        if !(0.0..=1.0).contains(&filter.min_confidence) {
            return Err(JobError::Invalid(format!("a confidence is from 0 to 1, not {}", filter.min_confidence)));
        }
        Ok(())
    }

    /// Checks what is asked for, and reads the input for what tells it from others.
    fn specify(self, triager: &Triager, folders: &Folders) -> Result<Specification, JobError> {
        self.check(triager)?;
        let Self { file, fields, filter, dry_run, output, pace } = self;
        let output = output.filter(|_| !dry_run).map(|path| folders.to_write(&absolute(&path)?)).transpose()?;
        let source = match file {
            Some(file) if !file.is_spool => {
                let path = folders.to_read(&absolute(&file.path)?)?;
                Source::File(specify_file(NewFile { path, ..file }, &fields, dry_run, output.as_deref())?)
            }
            Some(file) => Source::File(specify_file(file, &fields, dry_run, output.as_deref())?),
            None => Source::Memory,
        };
        let work = Work::Reclassify(Reclassification { fields, filter, dry_run });
        let redaction = triager.redactor().version();
        Ok(Specification { source, work, output, import_rejects: None, redaction, pace })
    }
}

impl NewImport {
    fn specify(self, triager: &Triager, folders: &Folders) -> Result<Specification, JobError> {
        let Self { path, renames, columns, rejects, pace } = self;
        check_pace(&pace)?;
        let id = Some(columns.id.clone()).filter(|id| !id.is_empty());
        let path = folders.to_read(&absolute(&path)?)?;
        let rows = Rows::open(&path, &renames)?;
        rows.require(&columns.named().collect::<Vec<_>>())?;
        rows.require_once(&columns.of_one_value().collect::<Vec<_>>())?;
        let rejects = rejects.map(|path| folders.to_write(&absolute(&path)?)).transpose()?;
        rejects.as_deref().map_or(Ok(()), |rejects| check_fits(rejects, &rows))?;
        let file = NewFile { path, renames, text: columns.text.clone(), id, sample: None, is_spool: false };
        let file = specify_file(file, &[], false, None)?;
        let work = Work::Import(TicketColumns { id: file.id.clone(), ..columns });
        let redaction = triager.redactor().version();
        Ok(Specification { source: Source::File(file), work, output: None, import_rejects: rejects, redaction, pace })
    }
}

fn check_pace(pace: &Pace) -> Result<(), JobError> {
    if !(0.0..=1.0).contains(&pace.max_bad_share) {
        return Err(JobError::Invalid(format!("a share of bad rows is from 0 to 1, not {}", pace.max_bad_share)));
    }
    if pace.tickets_per_second == Some(0) {
        return Err(JobError::Invalid("a rate of 0 tickets a second never ends".to_owned()));
    }
    Ok(())
}

fn check_fields(fields: &[FieldColumn], filter: &Filter, triager: &Triager) -> Result<(), JobError> {
    let known = Decider::known_fields(triager);
    if fields.is_empty() {
        return Err(JobError::Invalid(format!("name at least one field; the fields are {}", known.join(", "))));
    }
    for (place, FieldColumn { field, .. }) in fields.iter().enumerate() {
        if !known.contains(field) {
            let known = known.join(", ");
            return Err(JobError::Invalid(format!(
                "the model and the taxonomy know no field `{field}`; the fields are {known}"
            )));
        }
        if fields[..place].iter().any(|earlier| earlier.field == *field) {
            return Err(JobError::Invalid(format!("field `{field}` is named twice")));
        }
    }
    for FieldValue { field, value } in &filter.to {
        let of_field = triager.fields().into_iter().find(|known| known.name == *field);
        if of_field.is_some_and(|known| !known.labels.iter().any(|label| is_at_or_below(&label.value, value))) {
            return Err(JobError::Invalid(format!(
                "no value of `{field}` that the model knows is or lies below `{value}`"
            )));
        }
    }
    for asked in filter.from.iter().chain(&filter.to) {
        if !fields.iter().any(|field| field.field == asked.field) {
            return Err(JobError::Invalid(format!(
                "the filter names field `{}`, which the job is not about",
                asked.field
            )));
        }
    }
    Ok(())
}

fn specify_file(
    file: NewFile,
    fields: &[FieldColumn],
    dry_run: bool,
    output: Option<&Path>,
) -> Result<FileSource, JobError> {
    let NewFile { path, renames, text, id, sample, is_spool } = file;
    if sample.is_some() && !dry_run {
        return Err(JobError::Invalid("a sample is for dry runs only".to_owned()));
    }
    if text.is_empty() {
        return Err(JobError::Invalid("name the columns that hold the text".to_owned()));
    }
    let path = absolute(&path)?;
    let unreadable = |source| JobError::Unreadable { path: path.clone(), source };
    // Opening a pipe would wait for somebody to write into it.
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(JobError::Invalid(format!("{} is no plain file", path.display())));
    }
    let rows = Rows::open(&path, &renames)?;
    if rows.is_empty() {
        return Err(JobError::Invalid(format!("{} holds no rows", path.display())));
    }
    let named = text.iter().map(String::as_str).chain(fields.iter().map(|field| field.column.as_str()));
    let named: Vec<&str> = named.chain(id.as_deref()).collect();
    rows.require(&named)?;
    let mut unique: Vec<&str> = fields.iter().map(|field| field.column.as_str()).collect();
    unique.push(id.as_deref().unwrap_or(DEFAULT_ID));
    rows.require_once(&unique)?;
    let style = rows.csv_style();
    let columns = match rows.header() {
        Some(header) => header.to_vec(),
        None if output.is_some_and(is_csv) => columns_of(rows),
        None => Vec::new(),
    };
    if output.is_some_and(is_csv)
        && let Some(ours) = our_columns(fields).find(|ours| columns.contains(ours))
    {
        return Err(JobError::Invalid(format!(
            "{} has a column `{ours}` already, as the output of a job has: rename or remove its columns that begin with \
             `{OUR_COLUMNS}`",
            path.display()
        )));
    }
    let Identity { content, .. } = Identity::of(&path).map_err(unreadable)?;
    let id = id.unwrap_or_else(|| DEFAULT_ID.to_owned());
    Ok(FileSource { path, renames, text, id, columns, style, sample, content, is_spool })
}

/// Every column of a file of JSON lines, in the order in which they come up.
fn columns_of(rows: Rows) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for row in rows.flatten() {
        for (name, _) in row.fields() {
            if !columns.iter().any(|known| known == name) {
                columns.push(name.to_owned());
            }
        }
    }
    columns
}

fn absolute(path: &Path) -> Result<PathBuf, JobError> {
    std::path::absolute(path).map_err(|source| JobError::Unreadable { path: path.to_owned(), source })
}

impl Jobs {
    /// Creates a job, or finds the one that does the same and has neither been cancelled nor undone. With a
    /// `request_id` the job that was created with it is found, whatever is asked for now.
    ///
    /// Fails with [`JobError::Invalid`] for what makes no job, and [`JobError::OutputTaken`] where the output is
    /// another's.
    pub fn create(
        &self,
        new: NewReclassification,
        request_id: Option<&str>,
        origin: JobOrigin,
        triager: &Triager,
    ) -> Result<Job, JobError> {
        self.create_specified(|| new.specify(triager, &self.folders), request_id, origin, triager)
    }

    /// Creates a job that imports confirmed tickets, or finds the one that does the same and has not ended; otherwise as
    /// [`Self::create`].
    pub fn create_import(
        &self,
        new: NewImport,
        request_id: Option<&str>,
        origin: JobOrigin,
        triager: &Triager,
    ) -> Result<Job, JobError> {
        self.create_specified(|| new.specify(triager, &self.folders), request_id, origin, triager)
    }

    pub(super) fn create_specified(
        &self,
        specify: impl FnOnce() -> Result<Specification, JobError>,
        request_id: Option<&str>,
        origin: JobOrigin,
        triager: &Triager,
    ) -> Result<Job, JobError> {
        if let Some(known) = request_id.map(|request_id| self.of_request(request_id)).transpose()?.flatten() {
            return Ok(known);
        }
        let specification = specify()?;
        let versions = triager.versions();
        // Of two clients that send the same each gets its own job.
        let fingerprint = (!specification.is_over_spool()).then(|| specification.fingerprint(&versions));
        let json = specification.to_json();
        let job = NewJob {
            request_id,
            fingerprint,
            kind: specification.work.kind(),
            origin,
            specification: &json,
            model: &versions.model,
            taxonomy: &versions.taxonomy,
            created_at: now(),
        };
        // Of two that want the same output one is told.
        let _turn = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let known = fingerprint.map(|fingerprint| self.store.job_of_fingerprint(&fingerprint)).transpose()?.flatten();
        if let Some(known) = known
            && let Some(job) = self.taken_up(&known, &specification, origin)?
        {
            return Ok(job);
        }
        self.check_written(&specification)?;
        let Created { id, .. } = self.store.create_job(&job)?;
        self.tell();
        self.get(id)
    }

    /// The job that was created under this name.
    pub fn of_request(&self, request_id: &str) -> Result<Option<Job>, JobError> {
        self.store.job_of_request(request_id)?.map(|known| self.with_progress(known)).transpose()
    }

    /// The known job that does the same; `None` where its results are gone, so that it must be done again.
    fn taken_up(&self, known: &JobRecord, asked: &Specification, origin: JobOrigin) -> Result<Option<Job>, JobError> {
        let is_gone = asked.output.as_deref().is_some_and(|output| !output.exists());
        if known.state == JobState::Done && is_gone {
            self.store.release_job(known.id)?;
            return Ok(None);
        }
        // How fast it goes, how many bad rows it bears, and who works on it may be said anew.
        if known.state != JobState::Done {
            self.store.respecify_job(known.id, &asked.to_json(), origin)?;
            self.tell();
        }
        self.get(known.id).map(Some)
    }

    /// Nothing is written over that this job did not write.
    fn check_written(&self, job: &Specification) -> Result<(), JobError> {
        let written: Vec<PathBuf> = job.written().collect();
        let input = if let Source::File(file) = &job.source { Some(file.path.as_path()) } else { None };
        written.iter().try_for_each(|path| check_target(path, input))?;
        let mut before: Option<JobId> = None;
        while !written.is_empty() {
            let page = self.store.list_jobs(before, 100)?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            page.iter().try_for_each(|record| check_owner(record, &written))?;
        }
        written.iter().try_for_each(|path| check_begun(path))
    }
}

/// Refuses a path that another job writes or has written.
fn check_owner(record: &JobRecord, paths: &[PathBuf]) -> Result<(), JobError> {
    if record.state == JobState::Cancelled {
        return Ok(());
    }
    let specification = super::specification(record)?;
    let is_theirs = |path: &&PathBuf| {
        (record.state.is_open() || path.exists()) && specification.written().any(|written| written == **path)
    };
    let Some(path) = paths.iter().find(is_theirs) else { return Ok(()) };
    let JobRecord { id, state, .. } = record;
    let what = if specification.output.as_ref() == Some(path) { "the output" } else { "the file of bad rows" };
    let remedy = if state.is_open() {
        format!(
            " and was asked for with other options, another input or another model: cancel it (`triage jobs cancel \
             {id}`), ask for the same again, or name another output"
        )
    } else {
        "; name another output, or remove it".to_owned()
    };
    let problem = format!("it is {what} of job {id}, which is {state}{remedy}");
    Err(JobError::OutputTaken { path: path.clone(), problem })
}
