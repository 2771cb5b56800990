//! The wire: one thin handler a service, conversions, and what they share. Handlers parse, call, convert.

pub(crate) mod admission;
mod answers;
pub mod client;
#[doc(hidden)]
pub mod codec;
pub(crate) mod connections;
mod convert;
pub(crate) mod edge;
mod feedback;
pub(crate) mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod gaps;
pub(crate) mod guard;
mod held;
mod import;
mod jobs;
mod knowledge;
mod memory;
mod models;
mod noted;
mod pages;
mod places;
mod status;
mod taxonomy;
pub(crate) mod tls;
mod triage;
pub(crate) mod web;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use prost::Message;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::{admission::Deadline, noted::Noted};
pub(crate) use self::{
    feedback::FeedbackHandler, jobs::JobHandler, knowledge::KnowledgeHandler, memory::MemoryHandler,
    models::ModelHandler, taxonomy::TaxonomyHandler, triage::TriageHandler,
};
use crate::{
    audit::{AuditEntry, AuditLog, Versions},
    compute::{self, Place, Pool, Urgency},
    config::Limits,
    domain::answer::AnswerSettings,
    error::TriageError,
    feedback::Feedback,
    jobs::Jobs,
    knowledge::KnowledgeBase,
    memory::Memory,
    registry::{Registry, Shadow},
    taxonomy::Taxonomies,
    telemetry::{METRICS, Stage},
    triage::Triager,
};

/// When a caller should ask again that came before the index was ready.
const STARTING_RETRY: Duration = Duration::from_secs(1);

/// What answers once the model and the indexes are loaded.
#[derive(Debug, Clone)]
pub struct Core {
    pub triager: Triager,
    pub knowledge: KnowledgeBase,
    pub memory: Memory,
    pub feedback: Feedback,
    pub jobs: Jobs,
    pub taxonomies: Taxonomies,
    pub registry: Registry,
    pub answers: AnswerSettings,
    /// Who changed what; every change has its entry before it is answered.
    pub audit: AuditLog,
    /// Answers silently beside the triager's model; `None` where no model does.
    pub shadow: Option<Shadow>,
}

/// What all handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    /// Held only while it is read or swapped.
    core: Arc<RwLock<Option<Arc<Core>>>>,
    pool: Pool,
    /// For what waits for the disk longer than a processor can be spared.
    disk: Pool,
    limits: Arc<Limits>,
    draining: CancellationToken,
    /// Changes to the knowledge base, the memory and the taxonomy take turns here, where waiting costs no thread of the pool.
    writes: Arc<Semaphore>,
    /// Comparisons of models take turns: each may take seconds on a thread that activations wait for too.
    comparisons: Arc<Semaphore>,
    /// Searches for gaps take turns: each keeps up to some thousand tickets in memory.
    gap_searches: Arc<Semaphore>,
    links_changed: Arc<Notify>,
    tickets_changed: Arc<Notify>,
}

impl Api {
    pub fn new(pool: Pool, disk: Pool, limits: Limits, draining: CancellationToken) -> Self {
        Self {
            core: Arc::default(),
            pool,
            disk,
            limits: Arc::new(limits),
            draining,
            writes: Arc::new(Semaphore::new(1)),
            comparisons: Arc::new(Semaphore::new(1)),
            gap_searches: Arc::new(Semaphore::new(1)),
            links_changed: Arc::default(),
            tickets_changed: Arc::default(),
        }
    }

    /// From now on calls are answered by these parts; those that have begun end with what they began with.
    pub fn serve_with(&self, core: Core) {
        let mut serving = self.core.write().unwrap_or_else(PoisonError::into_inner);
        Self::replace(&mut serving, core);
    }

    /// As [`Self::serve_with`], with what `change` makes of the parts that answer now. Changes take turns, so that none
    /// is lost; `change` must be quick, since every call waits for it.
    pub(crate) fn change_core<E: From<TriageError>>(
        &self,
        change: impl FnOnce(&Core) -> Result<Core, E>,
    ) -> Result<(), E> {
        let mut serving = self.core.write().unwrap_or_else(PoisonError::into_inner);
        let core = change(serving.as_deref().ok_or_else(not_loaded)?)?;
        Self::replace(&mut serving, core);
        Ok(())
    }

    fn replace(serving: &mut Option<Arc<Core>>, core: Core) {
        let version = core.triager.versions().model;
        let previous = serving.replace(Arc::new(core));
        let previous = previous.map(|previous| previous.triager.versions().model);
        if previous.as_ref().is_some_and(|previous| *previous != version) {
            METRICS.model_swaps.inc();
        }
        METRICS.set_model(&version, previous.as_deref());
    }

    /// Says that confirmed tickets, their links to articles, or models may have come or gone.
    pub(crate) fn tell_links_changed(&self) {
        self.links_changed.notify_one();
        self.tickets_changed.notify_one();
    }

    /// As [`Self::links_changed`], for who trains on tickets.
    pub(crate) async fn tickets_changed(&self) {
        self.tickets_changed.notified().await;
    }

    /// Waits until links between tickets and articles came or went; at once where they did since the last time.
    pub(crate) async fn links_changed(&self) {
        self.links_changed.notified().await;
    }

    /// Model and index answer, and the server is not draining.
    pub fn is_ready(&self) -> bool {
        self.core().is_ok() && !self.draining.is_cancelled()
    }

    /// The parts that answer, once they are loaded.
    pub fn core(&self) -> Result<Arc<Core>, TriageError> {
        let core = self.core.read().unwrap_or_else(PoisonError::into_inner).clone();
        core.ok_or_else(not_loaded)
    }

    /// Runs one unary call: size, deadline, metrics.
    async fn unary<Q: Message, A>(
        &self,
        method: &'static str,
        request: Request<Q>,
        call: impl AsyncFnOnce(Q) -> Result<A, TriageError>,
    ) -> Result<Response<A>, Status> {
        let deadline = self.deadline(&request);
        let request = request.into_inner();
        let answer = async {
            // tonic knows one limit a service; batches and imports have the larger one.
            self.check_size(request.encoded_len())?;
            within(deadline, call(request)).await
        };
        observe(method, answer).await
    }

    /// When a unary call must have been answered.
    fn deadline<Q>(&self, request: &Request<Q>) -> Deadline {
        let begun = request.extensions().get().copied();
        begun.unwrap_or_else(|| Deadline(Instant::now() + self.limits.deadline))
    }

    /// Waits until no other call changes the knowledge base or the memory, then for a place.
    async fn wait_to_write(&self, urgency: Urgency) -> Result<(OwnedSemaphorePermit, Place), TriageError> {
        let turn = Arc::clone(&self.writes).acquire_owned().await.map_err(TriageError::internal)?;
        Ok((turn, self.pool.wait(urgency).await?))
    }

    fn check_size(&self, bytes: usize) -> Result<(), TriageError> {
        let allowed = self.limits.message_bytes;
        if bytes > allowed {
            return Err(TriageError::TooLarge { bytes, limit: "limits.message_bytes", allowed });
        }
        Ok(())
    }

    /// Runs `work` on the compute pool in `place`, with what answers now.
    async fn compute<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce(&Core) -> Result<T, TriageError> + Send + 'static,
    ) -> Result<T, TriageError> {
        self.compute_with(self.core()?, place, work).await
    }

    /// Runs `work` on the compute pool in `place`, with these parts.
    async fn compute_with<T: Send + 'static>(
        &self,
        core: Arc<Core>,
        place: Place,
        work: impl FnOnce(&Core) -> Result<T, TriageError> + Send + 'static,
    ) -> Result<T, TriageError> {
        let queued = Instant::now();
        let run = move || {
            METRICS.record_stage(Stage::Queue, queued.elapsed());
            work(&core)
        };
        self.pool.run(place, run).await?
    }

    /// Runs `work`, which may wait for the disk, in a `place` of the pool that is there for it.
    async fn block<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce(&Core) -> Result<T, TriageError> + Send + 'static,
    ) -> Result<T, TriageError> {
        let core = self.core()?;
        self.disk.run(place, move || work(&core)).await?
    }

    /// Writes down what became of a call that may change something. Who is told that it was done is told so when the entry
    /// is durable.
    async fn audit(&self, caller: &str, method: &'static str, noted: &Noted, code: tonic::Code) {
        use tonic::Code;

        // Without its parts the server answers no call that changes anything.
        let Ok(core) = self.core() else { return };
        let entry = entry(&core, caller, method, noted, code);
        if code == Code::Ok {
            // What was done is done, and its caller has to know; that the log lacks it stands in the server's log.
            core.audit.record(entry).await.ok();
        } else if matches!(code, Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted | Code::Unavailable)
        {
            // Nothing was begun, and of these there may be a flood.
            core.audit.refused(entry);
        } else {
            core.audit.note(entry);
        }
    }

    /// Writes down a call that may change something and whose caller left before it was answered.
    fn audit_left(&self, caller: &str, method: &'static str, noted: &Noted) {
        if let Ok(core) = self.core() {
            core.audit.note(entry(&core, caller, method, noted, tonic::Code::Cancelled));
        }
    }

    /// Writes down a call that was not let in; of a flood some, and how many others there were.
    pub(crate) fn audit_refusal(&self, caller: &str, method: &str, code: tonic::Code) {
        if let Ok(core) = self.core() {
            core.audit.refused(AuditEntry::new(caller, method, code_name(code)));
        }
    }

    /// Calls at work or waiting for a processor.
    pub(crate) fn in_flight(&self) -> usize {
        self.pool.taken()
    }

    /// Brings the gauges up to date, before they are read.
    pub(crate) async fn record_gauges(&self) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        METRICS.calls_in_flight.set(gauge(self.in_flight() as u64));
        METRICS.calls_limit.set(gauge(self.pool.limit() as u64));
        for urgency in Urgency::ALL {
            METRICS.set_queued(urgency.as_str(), gauge(self.pool.waiting(urgency) as u64));
        }
        if let Ok(core) = self.core() {
            METRICS.articles.set(gauge(core.knowledge.article_count()));
            METRICS.confirmed_tickets.set(gauge(core.memory.count()));
            let jobs = core.jobs.clone();
            // Where the database fails or has no time, the last numbers stay.
            if let Ok(place) = self.disk.admit()
                && let Ok(Ok(open)) = self.disk.run(place, move || jobs.count_open()).await
            {
                METRICS.set_open_jobs(&open);
            }
        }
    }
}

fn entry(core: &Core, caller: &str, method: &str, noted: &Noted, code: tonic::Code) -> AuditEntry {
    let versions = core.triager.versions();
    let entry = AuditEntry::new(caller, method, code_name(code)).with_subjects(noted.subjects());
    entry.with_versions(Versions {
        model: Some(versions.model),
        taxonomy: Some(versions.taxonomy),
        ..Versions::default()
    })
}

fn not_loaded() -> TriageError {
    TriageError::NotReady { what: "the server", retry_after: STARTING_RETRY }
}

fn draining_error() -> TriageError {
    TriageError::NotReady { what: "the server, which is shutting down,", retry_after: STARTING_RETRY }
}

async fn within<A>(deadline: Deadline, call: impl Future<Output = Result<A, TriageError>>) -> Result<A, TriageError> {
    let call = compute::until(deadline.0.into_std(), call);
    tokio::time::timeout_at(deadline.0, call).await.unwrap_or(Err(TriageError::DeadlineExceeded))
}

/// Times and counts a call, also one that its client gives up.
async fn observe<A, E: Into<Status>>(
    method: &'static str,
    call: impl Future<Output = Result<A, E>>,
) -> Result<Response<A>, Status> {
    let started = Instant::now();
    let mut outcome = Outcome::new(method);
    let answer = call.await.map_err(Into::into);
    METRICS.record_stage(Stage::Total, started.elapsed());
    outcome.set(answer.as_ref().err());
    answer.map(Response::new)
}

/// Counts a call when it ends, however it ends: one that is dropped had a client that left.
struct Outcome {
    method: &'static str,
    code: &'static str,
    started: Instant,
}

impl Outcome {
    fn new(method: &'static str) -> Self {
        Self { method, code: code_name(tonic::Code::Cancelled), started: Instant::now() }
    }

    fn set(&mut self, error: Option<&Status>) {
        self.code = code_name(error.map_or(tonic::Code::Ok, Status::code));
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        METRICS.count_call(self.method, self.code);
        let (method, code) = (self.method, self.code);
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(method, code, milliseconds, "call ended");
    }
}

/// A stream of answers that counts as one call when it ends.
struct Observed<S> {
    answers: S,
    outcome: Outcome,
}

impl<A, S: Stream<Item = Result<A, Status>> + Unpin> Stream for Observed<S> {
    type Item = Result<A, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.answers).poll_next(context));
        match &next {
            Some(Err(status)) => self.outcome.set(Some(status)),
            None if self.outcome.code == code_name(tonic::Code::Cancelled) => self.outcome.set(None),
            // An answer, or the end behind an error.
            Some(Ok(_)) | None => {}
        }
        Poll::Ready(next)
    }
}

fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;

    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
