//! What the imports of articles and of confirmed tickets share: their frames, and the list of what was wrong.

use std::{future::Future, pin::Pin, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::edge;
use crate::error::{FieldViolation, TriageError};

/// How long an import may go on sending once the server drains.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
const MAX_LISTED_ERRORS: usize = 100;

/// The frames of an import as they arrive.
pub(super) struct Frames<T> {
    frames: Streaming<T>,
    cut_off: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<T> Frames<T> {
    pub(super) fn new(frames: Streaming<T>, draining: CancellationToken) -> Self {
        let cut_off = async move {
            draining.cancelled().await;
            tokio::time::sleep(DRAIN_GRACE).await;
        };
        Self { frames, cut_off: Box::pin(cut_off) }
    }

    /// The next frame; `None` behind the last. What has arrived is stored and acknowledged also while the server
    /// drains, for a while.
    pub(super) async fn next(&mut self) -> Result<Option<T>, Status> {
        tokio::select! {
            biased;
            () = &mut self.cut_off => Err(Status::from(super::draining_error())),
            frame = self.frames.message() => frame.map_err(edge::translate),
        }
    }
}

/// The items of an import that were refused, counted; the first of them are listed.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) count: u64,
    /// Place in the stream, id and what was wrong.
    pub(super) listed: Vec<(u64, String, tonic_types::pb::Status)>,
}

impl Refused {
    pub(super) fn add(&mut self, index: u64, id: String, violations: Vec<FieldViolation>) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED_ERRORS {
            let error = super::status::item_error(TriageError::InvalidRequest(violations));
            self.listed.push((index, id, error));
        }
    }
}
