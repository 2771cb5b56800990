//! Keeps what was counted of decisions, every half minute and at the end.

use std::{error::Error, time::Duration};

use crate::{
    compute::{Pool, Urgency},
    error::TriageError,
    grpc::Api,
};

const EVERY: Duration = Duration::from_secs(30);
/// Days that the metrics speak of.
const DAYS: u32 = 30;

pub(super) async fn run(api: Api, disk: Pool) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = keep(&api, &disk).await {
            tracing::error!(error = &error as &dyn Error, "counts of decisions are not kept");
        }
    }
}

/// Keeps them once, and brings the metrics that follow from them up to date.
pub(super) async fn keep(api: &Api, disk: &Pool) -> Result<(), TriageError> {
    let core = api.core()?;
    let place = disk.wait(Urgency::Background).await?;
    disk.run(place, move || core.triager.measure_trust(DAYS)).await?
}
