//! Works on jobs one after the other while the server serves. When it drains, the job at work ends behind its chunk and
//! is taken up at the next start.

use std::{error::Error, num::NonZeroUsize};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    compute::{Pool, Urgency},
    domain::ticket::TicketLimits,
    error::TriageError,
    grpc::{Api, Core},
    jobs::{Job, JobError, Workshop},
};

/// What jobs are worked on with.
pub(super) struct Worker {
    pub(super) api: Api,
    pub(super) pool: Pool,
    /// For looking up the next job.
    pub(super) disk: Pool,
    /// Those that compute: so many pieces of a job are at work, so that calls come first.
    pub(super) threads: NonZeroUsize,
    pub(super) limits: TicketLimits,
    pub(super) stop: CancellationToken,
}

impl Worker {
    /// Works until the server drains.
    pub(super) async fn run(self) {
        if let Err(error) = self.work_on_all().await {
            tracing::error!(error = &error as &dyn Error, "no job is worked on until the server is started again");
        }
    }

    async fn work_on_all(&self) -> Result<(), TriageError> {
        let jobs = self.api.core()?.jobs.clone();
        let mut news = jobs.news();
        // Jobs that could not even be paused: others have their turn, and these when something has changed.
        let mut left = Vec::new();
        while !self.stop.is_cancelled() {
            news.mark_unchanged();
            let next = {
                let (jobs, left) = (jobs.clone(), left.clone());
                let place = self.disk.wait(Urgency::Background).await?;
                self.disk.run(place, move || jobs.next(&left)).await?
            };
            match next {
                Ok(Some(job)) => {
                    let id = job.record.id;
                    match self.work_on(job).await {
                        // Somebody paused or cancelled it just now.
                        Ok(()) | Err(JobError::WrongState { .. }) => {}
                        Err(error) => {
                            let error: &dyn Error = &error;
                            tracing::error!(job = %id, error, "the job is left as it stands until something changes");
                            left.push(id);
                        }
                    }
                }
                Ok(None) => {
                    self.wait(&mut news).await;
                    left.clear();
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, "jobs cannot be read; tried again when one changes");
                    self.wait(&mut news).await;
                }
            }
        }
        Ok(())
    }

    /// Waits for news, or for the end.
    async fn wait(&self, news: &mut watch::Receiver<u64>) {
        // We hold a sender ourselves: this channel does not close.
        _ = self.stop.run_until_cancelled(news.changed()).await;
    }

    async fn work_on(&self, job: Job) -> Result<(), JobError> {
        // What serves now decides to the end, also where another model takes over meanwhile.
        let core = self.api.core()?;
        let Core { triager, memory, jobs, registry, .. } = core.as_ref();
        let workshop = Workshop {
            pool: self.pool.clone(),
            width: self.threads.get(),
            memory: Some(memory.clone()),
            registry: Some(registry.clone()),
            limits: self.limits,
        };
        let id = job.record.id;
        tracing::info!(job = %id, state = %job.record.state, "a job begins its turn");
        let job = jobs.work(id, triager.clone(), workshop, &self.stop, &|_| ()).await?;
        if job.is_over_memory() {
            self.api.tell_links_changed();
        }
        let (state, rows) = (job.record.state, job.record.counts.rows);
        let cause = job.record.pause.map(|pause| pause.cause.as_str());
        tracing::info!(job = %id, %state, cause, rows, "a job ends its turn");
        Ok(())
    }
}
