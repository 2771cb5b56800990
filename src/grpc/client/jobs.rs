//! What the command line asks `JobService`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tonic::Streaming;

use super::{
    super::convert::{domain_training, import_spec, reclassification_spec},
    Client,
    connection::Service,
    domain_abstention,
};
use crate::{
    domain::job::{FieldResult, JobCounts, JobId, JobState, Pause, PauseCause, TicketResult, UndoOutcome},
    jobs::{
        Band, Diff, FieldDiff, Job, NewImport, NewReclassification, PairDiff, Progress, ResultFilter,
        specification::{
            FieldColumn, FieldValue, FileSource, Filter, Pace, Reclassification, Source, Specification, TrainingWork,
            Work,
        },
    },
    memory::TicketColumns,
    pb::{self, job_service_client::JobServiceClient},
    rows::CsvStyle,
    store::{JobOrigin, JobRecord},
};

/// Jobs asked for in one call, at most as many as a server gives.
const JOBS_A_PAGE: usize = 100;
/// A diff over many labels with long names is the longest answer there is.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A job as it changes.
#[derive(Debug)]
pub struct JobChanges {
    client: Client,
    answers: Streaming<pb::WatchJobResponse>,
}

impl JobChanges {
    /// How it stands now, or once it has changed; `None` behind its end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Job>> {
        let answer = self.answers.message().await.map_err(|status| self.client.explain(&status))?;
        answer.map(|answer| job(answer.job)).transpose()
    }
}

/// The results of a job.
#[derive(Debug)]
pub struct JobResults {
    client: Client,
    answers: Streaming<pb::ExportJobResultsResponse>,
}

impl JobResults {
    /// Some more of them; `None` behind the last ones.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<TicketResult>>> {
        let answer = self.answers.message().await.map_err(|status| self.client.explain(&status))?;
        answer.map(|answer| answer.results.into_iter().map(ticket_result).collect()).transpose()
    }
}

impl Client {
    fn jobs_service(&self) -> JobServiceClient<Service> {
        JobServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Creates a job over a file of the server's or over its memory, or finds the one that does the same.
    pub async fn create_job(&self, new: &NewReclassification) -> anyhow::Result<Job> {
        let request = pb::CreateReclassificationJobRequest {
            spec: Some(wire_spec(new)?),
            request_id: String::new(),
            tickets: Vec::new(),
        };
        let answer = self.jobs_service().create_reclassification_job(tokio_stream::iter([request])).await;
        job(answer.map_err(|status| self.explain(&status))?.into_inner().job)
    }

    /// Creates a job that imports confirmed tickets from a file of the server's.
    pub async fn create_import(&self, new: NewImport) -> anyhow::Result<Job> {
        let NewImport { path, renames: _, columns, rejects, pace } = new;
        let rejects = rejects.as_deref().map(sent_path).transpose()?.unwrap_or_default();
        let spec = import_spec(sent_path(&path)?, rejects, columns, &pace);
        let request = pb::CreateMemoryImportJobRequest { spec: Some(spec), request_id: String::new() };
        let answer = self.jobs_service().create_memory_import_job(request).await;
        job(answer.map_err(|status| self.explain(&status))?.into_inner().job)
    }

    pub async fn job(&self, id: JobId) -> anyhow::Result<Job> {
        let answer = self.jobs_service().get_job(pb::GetJobRequest { id: id.to_string() }).await;
        job(answer.map_err(|status| self.explain(&status))?.into_inner().job)
    }

    /// The latest jobs first; at most `limit`.
    pub async fn list_jobs(&self, limit: usize) -> anyhow::Result<Vec<Job>> {
        let (mut jobs, mut page_token) = (Vec::new(), String::new());
        while jobs.len() < limit {
            let page_size = u32::try_from((limit - jobs.len()).min(JOBS_A_PAGE)).ok();
            let answer = self.jobs_service().list_jobs(pb::ListJobsRequest { page_size, page_token }).await;
            let page = answer.map_err(|status| self.explain(&status))?.into_inner();
            jobs.extend(page.jobs.into_iter().map(|found| job(Some(found))).collect::<anyhow::Result<Vec<_>>>()?);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(jobs)
    }

    pub async fn watch_job(&self, id: JobId) -> anyhow::Result<JobChanges> {
        let answer = self.jobs_service().watch_job(pb::WatchJobRequest { id: id.to_string() }).await;
        let answers = answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok(JobChanges { client: self.clone(), answers })
    }

    pub async fn pause_job(&self, id: JobId) -> anyhow::Result<Job> {
        let answer = self.jobs_service().pause_job(pb::PauseJobRequest { id: id.to_string() }).await;
        job(answer.map_err(|status| self.explain(&status))?.into_inner().job)
    }

    pub async fn resume_job(&self, id: JobId) -> anyhow::Result<Job> {
        let answer = self.jobs_service().resume_job(pb::ResumeJobRequest { id: id.to_string() }).await;
        job(answer.map_err(|status| self.explain(&status))?.into_inner().job)
    }

    pub async fn cancel_job(&self, id: JobId) -> anyhow::Result<Job> {
        let answer = self.jobs_service().cancel_job(pb::CancelJobRequest { id: id.to_string() }).await;
        job(answer.map_err(|status| self.explain(&status))?.into_inner().job)
    }

    pub async fn job_diff(&self, id: JobId) -> anyhow::Result<Diff> {
        let answer = self.jobs_service().get_job_diff(pb::GetJobDiffRequest { id: id.to_string() }).await;
        let fields = answer.map_err(|status| self.explain(&status))?.into_inner().fields;
        Ok(Diff { fields: fields.into_iter().map(field_diff).collect() })
    }

    /// What a job made of each ticket, in their order.
    pub async fn job_results(&self, id: JobId, filter: &ResultFilter) -> anyhow::Result<JobResults> {
        let ResultFilter { changed_only, failed_only, field } = filter.clone();
        let filter = pb::JobResultFilter { changed_only, failed_only, field: field.unwrap_or_default() };
        let request = pb::ExportJobResultsRequest { id: id.to_string(), filter: Some(filter) };
        let answer = self.jobs_service().export_job_results(request).await;
        let answers = answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok(JobResults { client: self.clone(), answers })
    }

    /// Takes back what a job did; over the memory that has only begun. Of a job over a file, with where the previous
    /// values stand now.
    pub async fn undo_job(&self, id: JobId) -> anyhow::Result<(Job, Option<PathBuf>)> {
        let answer = self.jobs_service().undo_job(pb::UndoJobRequest { id: id.to_string() }).await;
        let pb::UndoJobResponse { job: undone, output_path } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok((job(undone)?, Some(PathBuf::from(output_path)).filter(|path| !path.as_os_str().is_empty())))
    }

    /// How many tickets undoing came to each outcome for, and of those that came to `outcome` the ids of the first.
    pub async fn undone_tickets(
        &self,
        id: JobId,
        outcome: UndoOutcome,
    ) -> anyhow::Result<(BTreeMap<UndoOutcome, u64>, Vec<String>)> {
        let outcome = match outcome {
            UndoOutcome::Restored => pb::UndoOutcome::Restored,
            UndoOutcome::Touched => pb::UndoOutcome::Touched,
            UndoOutcome::Deleted => pb::UndoOutcome::Deleted,
        };
        let (id, page_token) = (id.to_string(), String::new());
        let request = pb::ListUndoneTicketsRequest { id, outcome: outcome.into(), page_size: Some(1_000), page_token };
        let answer = self.jobs_service().list_undone_tickets(request).await;
        let answer = answer.map_err(|status| self.explain(&status))?.into_inner();
        let pb::ListUndoneTicketsResponse { ticket_ids, next_page_token: _, restored, touched, deleted } = answer;
        let counts: BTreeMap<_, _> = UndoOutcome::ALL.into_iter().zip([restored, touched, deleted]).collect();
        Ok((counts, ticket_ids))
    }
}

/// As a server is told of it, whose working directory is another: from the root on.
pub(super) fn sent_path(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().with_context(|| format!("{} cannot be sent: it is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

fn wire_spec(new: &NewReclassification) -> anyhow::Result<pb::ReclassificationSpec> {
    use pb::reclassification_spec::Source as Wire;

    let NewReclassification { file, fields, filter, dry_run, output, pace } = new;
    let source = match file {
        Some(file) => Wire::File(pb::FileTickets {
            path: sent_path(&file.path)?,
            output_path: output.as_deref().map(sent_path).transpose()?.unwrap_or_default(),
            text_columns: file.text.clone(),
            id_column: file.id.clone().unwrap_or_default(),
            sample: file.sample.unwrap_or(0),
        }),
        None => Wire::Memory(pb::MemoryTickets {}),
    };
    let work = Reclassification { fields: fields.clone(), filter: filter.clone(), dry_run: *dry_run };
    Ok(reclassification_spec(source, work, pace))
}

/// The job, but for what a server keeps to itself.
pub(super) fn job(job: Option<pb::Job>) -> anyhow::Result<Job> {
    let job = job.context("the server answers no job")?;
    let state = state(job.state())?;
    let pb::Job { id, request_id, state: _, pause, work, versions, progress, create_time, end_time, rejects_path: _ } =
        job;
    let pb::Versions { model, taxonomy, .. } = versions.unwrap_or_default();
    let pb::JobProgress { done, changed, abstained, failed, fraction, rate, time_left: _, worked } =
        progress.unwrap_or_default();
    let counts = JobCounts { rows: done, changed, abstained, failed };
    let specification = specification(work);
    let seconds = |time: prost_types::Timestamp| u64::try_from(time.seconds).unwrap_or(0);
    let worked = worked.and_then(|worked| Duration::try_from(worked).ok()).unwrap_or_default();
    let record = JobRecord {
        id: JobId::parse(&id).with_context(|| format!("the server answers `{id}` for the number of a job"))?,
        request_id: Some(request_id).filter(|name| !name.is_empty()),
        kind: String::new(),
        origin: JobOrigin::Server,
        specification: specification.to_json(),
        model,
        taxonomy,
        state,
        pause: pause.map(domain_pause),
        created_at: create_time.map_or(0, seconds),
        ended_at: end_time.map(seconds),
        worked_ms: u64::try_from(worked.as_millis()).unwrap_or(u64::MAX),
        chunks: 0,
        counts,
        checkpoint: None,
    };
    let progress = fraction.map(|fraction| Progress { counts, fraction, rows_a_second: rate.unwrap_or(0.0) });
    Ok(Job { record, specification, progress })
}

fn specification(work: Option<pb::job::Work>) -> Specification {
    match work {
        Some(pb::job::Work::MemoryImport(spec)) => import(spec),
        Some(pb::job::Work::Reclassification(spec)) => reclassification(spec),
        Some(pb::job::Work::Training(spec)) => training(spec),
        None => reclassification(pb::ReclassificationSpec::default()),
    }
}

fn import(spec: pb::MemoryImportSpec) -> Specification {
    let pb::MemoryImportSpec { path, text_columns, id_column, tickets_per_second, max_bad_share, rejects_path, .. } =
        spec;
    let columns = TicketColumns { id: id_column.clone(), text: text_columns.clone(), ..TicketColumns::default() };
    let source = FileSource { text: text_columns, id: id_column, ..file(path.into(), false) };
    let pace = pace(tickets_per_second, max_bad_share);
    Specification {
        source: Source::File(source),
        work: Work::Import(columns),
        output: None,
        import_rejects: Some(PathBuf::from(rejects_path)).filter(|path| !path.as_os_str().is_empty()),
        redaction: String::new(),
        pace,
    }
}

fn training(spec: pb::TrainingSpec) -> Specification {
    // Since when, the server keeps to itself.
    let automatic_since = spec.automatic.then_some(0);
    let training = domain_training(spec);
    Specification {
        source: Source::Memory,
        work: Work::Train(TrainingWork { training, contents: Vec::new(), by: String::new(), automatic_since }),
        output: None,
        import_rejects: None,
        redaction: String::new(),
        pace: Pace::default(),
    }
}

fn pace(tickets_per_second: u32, max_bad_share: Option<f64>) -> Pace {
    Pace {
        tickets_per_second: Some(tickets_per_second).filter(|rate| *rate > 0),
        max_bad_share: max_bad_share.unwrap_or(Pace::DEFAULT_MAX_BAD_SHARE),
        model: None,
    }
}

fn file(path: PathBuf, is_spool: bool) -> FileSource {
    FileSource {
        path,
        renames: Vec::new(),
        text: Vec::new(),
        id: String::new(),
        columns: Vec::new(),
        style: CsvStyle::default(),
        sample: None,
        content: String::new(),
        is_spool,
    }
}

fn reclassification(spec: pb::ReclassificationSpec) -> Specification {
    use pb::reclassification_spec::Source as Wire;

    let pb::ReclassificationSpec { source, fields, filter, dry_run, tickets_per_second, max_bad_share } = spec;
    let (source, output) = match source {
        Some(Wire::Memory(pb::MemoryTickets {})) | None => (Source::Memory, None),
        Some(Wire::Client(pb::ClientTickets {})) => (Source::File(file(PathBuf::new(), true)), None),
        Some(Wire::File(pb::FileTickets { path, output_path, text_columns, id_column, sample })) => {
            let sample = Some(sample).filter(|size| *size > 0);
            let source = FileSource { text: text_columns, id: id_column, sample, ..file(path.into(), false) };
            (Source::File(source), Some(PathBuf::from(output_path)).filter(|path| !path.as_os_str().is_empty()))
        }
    };
    let field = |pb::ReclassificationField { field, current_column }: pb::ReclassificationField| {
        let column = if current_column.is_empty() { field.clone() } else { current_column };
        FieldColumn { field, column }
    };
    let values = |values: Vec<pb::FieldValue>| {
        values.into_iter().map(|pb::FieldValue { field, value }| FieldValue { field, value }).collect()
    };
    let pb::ReclassificationFilter { min_confidence, from, to, only_empty } = filter.unwrap_or_default();
    let work = Reclassification {
        fields: fields.into_iter().map(field).collect(),
        filter: Filter { min_confidence, from: values(from), to: values(to), only_empty },
        dry_run,
    };
    let pace = pace(tickets_per_second, max_bad_share);
    let work = Work::Reclassify(work);
    Specification { source, work, output, import_rejects: None, redaction: String::new(), pace }
}

fn state(state: pb::JobState) -> anyhow::Result<JobState> {
    Ok(match state {
        pb::JobState::Unspecified => {
            anyhow::bail!("the server answers a state of a job that this version does not know")
        }
        pb::JobState::Queued => JobState::Queued,
        pb::JobState::Running => JobState::Running,
        pb::JobState::Paused => JobState::Paused,
        pb::JobState::Done => JobState::Done,
        pb::JobState::Cancelled => JobState::Cancelled,
        pb::JobState::Undoing => JobState::Undoing,
        pb::JobState::Undone => JobState::Undone,
    })
}

fn domain_pause(pause: pb::JobPause) -> Pause {
    let cause = match pause.cause() {
        // The message says what happened, whatever it is.
        pb::PauseCause::Unspecified | pb::PauseCause::Asked | pb::PauseCause::Interrupted => PauseCause::Asked,
        pb::PauseCause::BadRows => PauseCause::BadRows,
        pb::PauseCause::Storage => PauseCause::Storage,
        pb::PauseCause::InputChanged => PauseCause::InputChanged,
        pb::PauseCause::OtherVersion => PauseCause::OtherVersion,
        pb::PauseCause::Untrainable => PauseCause::Untrainable,
    };
    Pause { cause, text: pause.message }
}

fn ticket_result(result: pb::TicketResult) -> anyhow::Result<TicketResult> {
    let pb::TicketResult { id, fields, error } = result;
    let field = |result: pb::FieldResult| {
        let pb::FieldResult { field, current, value, confidence, abstention, changed } = result;
        let abstention = domain_abstention(&field, abstention)?;
        anyhow::Ok(FieldResult { current, value, confidence, abstention, changed })
    };
    let fields = fields.into_iter().map(field).collect::<anyhow::Result<_>>()?;
    Ok(TicketResult { id, fields, error: Some(error).filter(|error| !error.is_empty()) })
}

fn field_diff(diff: pb::FieldDiff) -> FieldDiff {
    let pb::FieldDiff { field, changed, confirmed, abstained, pairs, other_pairs, absent_from: absent } = diff;
    let pair = |pb::PairDiff { from, to, tickets, bands: wire, examples }: pb::PairDiff| {
        let mut bands = [0; Band::ALL.len()];
        for pb::ConfidenceBand { lower, upper: _, tickets } in wire {
            bands[Band::of(lower) as usize] += tickets;
        }
        PairDiff { from, to, tickets, bands, examples }
    };
    let pairs = pairs.into_iter().map(pair).collect();
    FieldDiff { field, changed, confirmed, abstained, pairs, other_pairs, absent }
}
