//! Learns from past links, in the background and in small pieces, when they have grown enough to teach something new.

use std::error::Error;

use crate::{
    compute::{Pool, Urgency},
    grpc::Api,
    knowledge,
    triage::Learning,
};

/// Learns once where that is due, and again whenever links came since.
pub(super) async fn run(api: Api, pool: Pool) {
    loop {
        if let Err(error) = learn(&api, &pool).await {
            let error: &dyn Error = &*error;
            tracing::error!(error, "nothing could be learned from past links; suggestions go on as before");
        }
        api.links_changed().await;
    }
}

async fn learn(api: &Api, pool: &Pool) -> anyhow::Result<()> {
    let core = api.core()?;
    let (Some(suggester), Some(today)) = (core.triager.suggester().cloned(), knowledge::today()) else { return Ok(()) };
    let place = pool.wait(Urgency::Background).await?;
    let Some(mut learning) = pool.run(place, move || suggester.learning_when_due(today)).await? else { return Ok(()) };
    // Piece by piece, so that calls do not wait.
    loop {
        let place = pool.wait(Urgency::Background).await?;
        let step = move || learning.step().map(|more| (learning, more));
        let more: bool;
        (learning, more) = pool.run(place, step).await??;
        if !more {
            break;
        }
    }
    let place = pool.wait(Urgency::Background).await?;
    let links = pool.run(place, move || Learning::finish(learning)).await??;
    tracing::info!(links, "learned from past links");
    Ok(())
}
