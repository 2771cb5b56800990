//! `JobService`: parse, call the jobs where waiting for the disk holds up no call, convert.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Api, Core, Observed, Outcome,
    convert::{self, AskedJob},
    import::Frames,
    noted, observe, pages,
};
use crate::{
    compute::Urgency,
    domain::job::{JobId, TicketResult, UndoOutcome},
    error::TriageError,
    jobs::{Job, JobError, Jobs, ResultPlace, Spool, Wanted},
    pb::{self, job_service_server::JobService},
    store::JobOrigin,
};

const DEFAULT_LIST_PAGE: usize = 20;
const MAX_LIST_PAGE: usize = 100;
const DEFAULT_RESULT_PAGE: usize = 100;
const MAX_RESULT_PAGE: usize = 1_000;
/// Results in one message of an export.
const EXPORT_RESULTS: usize = 500;

#[derive(Debug, Clone)]
pub(crate) struct JobHandler(pub(crate) Api);

/// No job has any other id.
fn parse_id(raw: &str) -> Result<JobId, TriageError> {
    if raw.trim().is_empty() {
        return Err(TriageError::invalid("id", "must not be blank"));
    }
    JobId::parse(raw).ok_or_else(|| TriageError::NotFound { resource: "job", id: raw.to_owned() })
}

impl JobHandler {
    /// Does something to or about jobs that may wait for the disk.
    async fn with_jobs<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Jobs) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, TriageError> {
        let place = self.0.disk.admit()?;
        self.0.block(place, move |core| Ok(act(&core.jobs)?)).await
    }

    async fn get(&self, id: JobId) -> Result<Job, TriageError> {
        let place = self.0.pool.wait(Urgency::Interactive).await?;
        self.0.compute(place, move |core| Ok(core.jobs.get(id)?)).await
    }

    /// Reads the tickets of a stream into a file of the data directory.
    async fn spooled(
        &self,
        asked: &AskedJob,
        mut tickets: Vec<pb::Ticket>,
        frames: &mut Frames<pb::CreateReclassificationJobRequest>,
    ) -> Result<Spool, Status> {
        let fields: Vec<String> = asked.new.fields.iter().map(|field| field.field.clone()).collect();
        let place = self.0.disk.wait(Urgency::Batch).await?;
        let begin = self.0.block(place, move |core| Ok(core.jobs.spool(fields, core.memory.redactor().clone())?));
        let mut spool = begin.await?;
        loop {
            let place = self.0.pool.wait(Urgency::Batch).await?;
            let limits = self.0.limits.ticket;
            let take = move |_: &_| {
                for ticket in tickets {
                    let id = ticket.id.clone();
                    match convert::job_ticket(ticket, &limits) {
                        Ok(ticket) => spool.append(&id, Ok(&ticket))?,
                        Err(violations) => spool.append(&id, Err(&violations))?,
                    }
                }
                Ok(spool)
            };
            spool = self.0.compute(place, take).await?;
            let Some(frame) = frames.next().await? else { break };
            pb::CreateReclassificationJobRequest { tickets, .. } = frame;
        }
        if spool.tickets() == 0 {
            return Err(TriageError::invalid("tickets", "none were sent").into());
        }
        Ok(spool)
    }

    async fn create(&self, mut frames: Frames<pb::CreateReclassificationJobRequest>) -> Result<Job, Status> {
        self.0.core()?;
        let first = frames.next().await?;
        let first = first.ok_or_else(|| TriageError::invalid("spec", "must be set in the first message"))?;
        let pb::CreateReclassificationJobRequest { spec, request_id, tickets } = first;
        let asked = convert::asked_job(spec, request_id, &tickets)?;
        if let Some(request_id) = asked.request_id.clone()
            && let Some(known) = self.with_jobs(move |jobs| jobs.of_request(&request_id)).await?
        {
            return Ok(known);
        }
        // Before a long stream is read for nothing.
        asked.new.check(&self.0.core()?.triager).map_err(TriageError::from)?;
        let spool = if asked.is_sent { Some(self.spooled(&asked, tickets, &mut frames).await?) } else { None };
        let AskedJob { request_id, is_sent: _, new } = asked;
        let place = self.0.disk.wait(Urgency::Batch).await?;
        let create = self.0.block(place, move |core| {
            let (request_id, triager) = (request_id.as_deref(), &core.triager);
            Ok(match spool {
                Some(spool) => core.jobs.create_over(spool, new, request_id, triager)?,
                None => core.jobs.create(new, request_id, JobOrigin::Server, triager)?,
            })
        });
        Ok(create.await?)
    }

    /// One message of an export, and where the next one begins.
    async fn exported(
        &self,
        id: JobId,
        from: ResultPlace,
        wanted: Wanted,
    ) -> Result<(Vec<TicketResult>, Option<ResultPlace>), TriageError> {
        let place = self.0.disk.wait(Urgency::Batch).await?;
        let read =
            move |core: &Core| Ok(core.jobs.results(id, from, EXPORT_RESULTS, |result| wanted.lets_through(result))?);
        let page = self.0.block(place, read).await?;
        Ok((page.results, page.next))
    }
}

/// A job as it changes.
struct Watching {
    handler: JobHandler,
    id: JobId,
    news: watch::Receiver<u64>,
    last: Option<Job>,
}

impl Watching {
    /// How it stands now, or once it has changed; who is slow misses what was in between. `None` behind its end.
    async fn next(&mut self) -> Result<Option<Job>, TriageError> {
        let draining = self.handler.0.draining.clone();
        loop {
            if self.last.as_ref().is_some_and(|last| !last.record.state.is_open()) {
                return Ok(None);
            }
            if draining.is_cancelled() {
                return Err(super::draining_error());
            }
            self.news.mark_unchanged();
            let job = self.handler.get(self.id).await?;
            if self.last.as_ref() != Some(&job) {
                self.last = Some(job.clone());
                return Ok(Some(job));
            }
            // Said again where nothing happens: a connection that carries nothing is closed.
            let idle = self.handler.0.limits.idle / 2;
            tokio::select! {
                () = draining.cancelled() => {}
                () = tokio::time::sleep(idle) => return Ok(Some(job)),
                changed = self.news.changed() => changed.map_err(TriageError::internal)?,
            }
        }
    }
}

type Answers<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

/// Answers with a stream that counts as one call, or refuses it.
async fn streamed<A: 'static, S: Stream<Item = Result<A, Status>> + Send + 'static>(
    method: &'static str,
    begin: impl Future<Output = Result<S, TriageError>>,
) -> Result<Response<Answers<A>>, Status> {
    let mut outcome = Outcome::new(method);
    match begin.await {
        Ok(answers) => Ok(Response::new(Box::pin(Observed { answers: Box::pin(answers), outcome }))),
        Err(error) => {
            let status = Status::from(error);
            outcome.set(Some(&status));
            Err(status)
        }
    }
}

#[tonic::async_trait]
impl JobService for JobHandler {
    async fn create_reclassification_job(
        &self,
        request: Request<Streaming<pb::CreateReclassificationJobRequest>>,
    ) -> Result<Response<pb::CreateReclassificationJobResponse>, Status> {
        let create = self.create(Frames::new(request.into_inner(), self.0.draining.clone()));
        let answer = async {
            let job = create.await?;
            noted::about([job.record.id.to_string().as_str()]);
            Ok::<_, Status>(pb::CreateReclassificationJobResponse { job: Some(convert::job(job)) })
        };
        observe("CreateReclassificationJob", answer).await
    }

    async fn create_memory_import_job(
        &self,
        request: Request<pb::CreateMemoryImportJobRequest>,
    ) -> Result<Response<pb::CreateMemoryImportJobResponse>, Status> {
        let create = async {
            let (new, request_id) = convert::asked_import(request.into_inner())?;
            // Reading the file for what tells it from others may take longer than a call's deadline.
            let place = self.0.pool.wait(Urgency::Batch).await?;
            let create = self.0.block(place, move |core| {
                Ok(core.jobs.create_import(new, request_id.as_deref(), JobOrigin::Server, &core.triager)?)
            });
            let job = create.await?;
            noted::about([job.record.id.to_string().as_str()]);
            Ok::<_, TriageError>(pb::CreateMemoryImportJobResponse { job: Some(convert::job(job)) })
        };
        observe("CreateMemoryImportJob", create).await
    }

    async fn get_job(&self, request: Request<pb::GetJobRequest>) -> Result<Response<pb::GetJobResponse>, Status> {
        self.0
            .unary("GetJob", request, async |request| {
                let id = parse_id(&request.id)?;
                let place = self.0.pool.admit()?;
                let job = self.0.compute(place, move |core| Ok(core.jobs.get(id)?)).await?;
                Ok(pb::GetJobResponse { job: Some(convert::job(job)) })
            })
            .await
    }

    async fn list_jobs(&self, request: Request<pb::ListJobsRequest>) -> Result<Response<pb::ListJobsResponse>, Status> {
        self.0
            .unary("ListJobs", request, async |request| {
                let pb::ListJobsRequest { page_size, page_token } = request;
                let before = match page_token.as_str() {
                    "" => Ok(None),
                    token => JobId::parse(token).map(Some).ok_or_else(pages::foreign),
                };
                let size = convert::at_most(page_size, "page_size", DEFAULT_LIST_PAGE, MAX_LIST_PAGE);
                let (size, before) = convert::both(size, before)?;
                // One more than the page holds tells whether another page follows.
                let mut jobs = self.with_jobs(move |jobs| jobs.list(before, size + 1)).await?;
                let more = jobs.len() > size;
                jobs.truncate(size);
                let last = jobs.last().filter(|_| more);
                Ok(pb::ListJobsResponse {
                    next_page_token: last.map(|job| job.record.id.to_string()).unwrap_or_default(),
                    jobs: jobs.into_iter().map(convert::job).collect(),
                })
            })
            .await
    }

    type WatchJobStream = Answers<pb::WatchJobResponse>;

    async fn watch_job(&self, request: Request<pb::WatchJobRequest>) -> Result<Response<Self::WatchJobStream>, Status> {
        let begin = async {
            let id = parse_id(&request.get_ref().id)?;
            let news = self.0.core()?.jobs.news();
            self.get(id).await?;
            let watching = Watching { handler: self.clone(), id, news, last: None };
            Ok(stream::try_unfold(watching, async |mut watching: Watching| {
                let next = watching.next().await?;
                Ok(next.map(|job| (pb::WatchJobResponse { job: Some(convert::job(job)) }, watching)))
            }))
        };
        streamed("WatchJob", begin).await
    }

    async fn pause_job(&self, request: Request<pb::PauseJobRequest>) -> Result<Response<pb::PauseJobResponse>, Status> {
        self.0
            .unary("PauseJob", request, async |request| {
                let id = parse_id(&request.id)?;
                noted::about([request.id.as_str()]);
                let job = self.with_jobs(move |jobs| jobs.pause(id)).await?;
                Ok(pb::PauseJobResponse { job: Some(convert::job(job)) })
            })
            .await
    }

    async fn resume_job(
        &self,
        request: Request<pb::ResumeJobRequest>,
    ) -> Result<Response<pb::ResumeJobResponse>, Status> {
        self.0
            .unary("ResumeJob", request, async |request| {
                let id = parse_id(&request.id)?;
                noted::about([request.id.as_str()]);
                let job = self.with_jobs(move |jobs| jobs.resume(id)).await?;
                Ok(pb::ResumeJobResponse { job: Some(convert::job(job)) })
            })
            .await
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::CancelJobResponse>, Status> {
        self.0
            .unary("CancelJob", request, async |request| {
                let id = parse_id(&request.id)?;
                noted::about([request.id.as_str()]);
                let job = self.with_jobs(move |jobs| jobs.cancel(id)).await?;
                Ok(pb::CancelJobResponse { job: Some(convert::job(job)) })
            })
            .await
    }

    async fn list_job_results(
        &self,
        request: Request<pb::ListJobResultsRequest>,
    ) -> Result<Response<pb::ListJobResultsResponse>, Status> {
        self.0
            .unary("ListJobResults", request, async |request| {
                let pb::ListJobResultsRequest { id, filter, page_size, page_token } = request;
                let job = parse_id(&id)?;
                let asked = format!("{id} {filter:?}");
                let size = convert::at_most(page_size, "page_size", DEFAULT_RESULT_PAGE, MAX_RESULT_PAGE);
                let from = pages::parse_result_token(&page_token, &asked);
                let (size, from) = convert::both(size, from)?;
                let filter = convert::result_filter(filter)?;
                let page = self.with_jobs(move |jobs| {
                    let job = jobs.get(job)?;
                    let wanted = filter.of(&job)?;
                    Ok((jobs.results(job.record.id, from, size, |result| wanted.lets_through(result))?, job))
                });
                let (page, job) = page.await?;
                let fields = job.specification.fields();
                Ok(pb::ListJobResultsResponse {
                    results: page.results.into_iter().map(|result| convert::ticket_result(result, fields)).collect(),
                    next_page_token: page.next.map(|next| pages::result_token(next, &asked)).unwrap_or_default(),
                })
            })
            .await
    }

    type ExportJobResultsStream = Answers<pb::ExportJobResultsResponse>;

    async fn export_job_results(
        &self,
        request: Request<pb::ExportJobResultsRequest>,
    ) -> Result<Response<Self::ExportJobResultsStream>, Status> {
        let begin = async {
            let pb::ExportJobResultsRequest { id, filter } = request.into_inner();
            let (id, filter) = (parse_id(&id)?, convert::result_filter(filter)?);
            let job = self.get(id).await?;
            let wanted = filter.of(&job)?;
            let (handler, fields) = (self.clone(), job.specification.fields().to_vec());
            Ok(stream::try_unfold(Some(ResultPlace::default()), move |from| {
                let (handler, fields) = (handler.clone(), fields.clone());
                async move {
                    let Some(from) = from else { return Ok(None) };
                    let (results, next) = handler.exported(id, from, wanted).await?;
                    let results = results.into_iter().map(|result| convert::ticket_result(result, &fields)).collect();
                    Ok(Some((pb::ExportJobResultsResponse { results }, next)))
                }
            }))
        };
        streamed("ExportJobResults", begin).await
    }

    async fn get_job_diff(
        &self,
        request: Request<pb::GetJobDiffRequest>,
    ) -> Result<Response<pb::GetJobDiffResponse>, Status> {
        self.0
            .unary("GetJobDiff", request, async |request| {
                let id = parse_id(&request.id)?;
                let mut counting = self.with_jobs(move |jobs| jobs.begin_diff(id)).await?;
                // Piece by piece: nothing is left over of a caller that leaves.
                loop {
                    let place = self.0.disk.wait(Urgency::Interactive).await?;
                    let step = move |core: &Core| Ok((counting.step(&core.jobs)?, counting));
                    let more: bool;
                    (more, counting) = self.0.block(place, step).await?;
                    if !more {
                        break;
                    }
                }
                Ok(convert::diff(counting.finish()))
            })
            .await
    }

    async fn undo_job(&self, request: Request<pb::UndoJobRequest>) -> Result<Response<pb::UndoJobResponse>, Status> {
        self.0
            .unary("UndoJob", request, async |request| {
                let id = parse_id(&request.id)?;
                noted::about([request.id.as_str()]);
                let (job, undone) = self.with_jobs(move |jobs| Ok((jobs.undo(id, None)?, jobs.undone(id)?))).await?;
                let output = undone.output.map(|path| path.display().to_string());
                Ok(pb::UndoJobResponse { job: Some(convert::job(job)), output_path: output.unwrap_or_default() })
            })
            .await
    }

    async fn list_undone_tickets(
        &self,
        request: Request<pb::ListUndoneTicketsRequest>,
    ) -> Result<Response<pb::ListUndoneTicketsResponse>, Status> {
        self.0
            .unary("ListUndoneTickets", request, async |request| {
                let pb::ListUndoneTicketsRequest { id, outcome, page_size, page_token } = request;
                let id = parse_id(&id)?;
                let size = convert::at_most(page_size, "page_size", DEFAULT_RESULT_PAGE, MAX_RESULT_PAGE);
                let (size, after) = convert::both(size, pages::parse_id_token(&page_token))?;
                let outcome = convert::undo_outcome(outcome)?;
                let list =
                    move |jobs: &Jobs| Ok((jobs.undone(id)?, jobs.undone_tickets(id, outcome, &after, size + 1)?));
                let (undone, mut ticket_ids) = self.with_jobs(list).await?;
                let more = ticket_ids.len() > size;
                ticket_ids.truncate(size);
                let last = ticket_ids.last().filter(|_| more);
                let count = |outcome| undone.counts.get(&outcome).copied().unwrap_or(0);
                Ok(pb::ListUndoneTicketsResponse {
                    next_page_token: last.map(|id| pages::id_token(id)).unwrap_or_default(),
                    ticket_ids,
                    restored: count(UndoOutcome::Restored),
                    touched: count(UndoOutcome::Touched),
                    deleted: count(UndoOutcome::Deleted),
                })
            })
            .await
    }
}
