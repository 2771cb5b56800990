//! Watches a job of a running server, as the command line shows its own.

use anyhow::Context as _;

use crate::{
    cli::{progress::JobProgress, reclassify::interrupt},
    domain::{
        job::{JobId, JobState},
        steering,
    },
    grpc::client::Client,
    jobs::Job,
};

/// Whether a job that is paused is watched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Pauses {
    WaitFor,
    EndAt,
}

/// Shows how far a job is until it has ended; how it stands then.
///
/// Fails where the server leaves, or the user does: the job goes on then.
pub(in crate::cli) async fn watch(client: &Client, id: JobId, pauses: Pauses) -> anyhow::Result<Job> {
    let progress = JobProgress::start();
    let watched = tokio::select! {
        watched = follow(client, id, pauses, &progress) => watched,
        interrupted = interrupt() => {
            interrupted?;
            let address = client.address();
            Err(anyhow::anyhow!(
                "job {id} is no longer watched and stands as it does: `triage jobs show {id} --server {address}` says how"
            ))
        }
    };
    progress.finish();
    watched
}

async fn follow(client: &Client, id: JobId, pauses: Pauses, progress: &JobProgress) -> anyhow::Result<Job> {
    let mut changes = client.watch_job(id).await?;
    let mut last: Option<Job> = None;
    let lost = || {
        format!(
            "job {id} is kept, and goes on when the server does: `triage jobs watch {id} --server {}`",
            client.address()
        )
    };
    while let Some(job) = changes.next().await.with_context(lost)? {
        let is_news = last.as_ref().is_none_or(|last| last.record.state != job.record.state);
        match (job.record.state, &job.progress) {
            (JobState::Queued, _) if is_news => progress.note(&format!("job {id} waits for its turn")),
            (JobState::Undoing, _) if is_news => progress.note(&format!("job {id} is being undone")),
            (JobState::Paused, _) => {
                if pauses == Pauses::EndAt {
                    return Ok(job);
                }
                let why = job.record.pause.as_ref().map(|pause| pause.text.as_str()).unwrap_or_default();
                if is_news {
                    progress.note(&format!("job {id} is paused: {}", steering::without(why)));
                }
            }
            (_, Some(now)) => progress.show(now),
            (_, None) => {}
        }
        last = Some(job);
    }
    last.with_context(|| format!("{} ended before it said how job {id} stands", client.address()))
}
