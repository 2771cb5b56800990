//! Trains models by itself where the desk's policy asks for it, judges them, and has them serve where the policy is met.
//! Training is a job like any other; this decides when there is one, and what becomes of it.

use std::{error::Error, time::Duration};

use crate::{
    compute::{Pool, Urgency},
    domain::model::{LearningPolicy, Verdict},
    error::TriageError,
    grpc::{Api, Core},
    jobs::NewTraining,
    registry::{RegistryError, Training},
    store::JobOrigin,
};

/// Where nobody says that tickets came, it is looked so often.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// The share of the tickets that what was trained is judged on.
const HOLDOUT_SHARE: f64 = 0.2;
/// First part of the versions of what the server trains.
const NAME: &str = "auto";

/// Looks at once, and again whenever tickets or models may have come; returns at once where the policy is off.
pub(super) async fn run(api: Api, disk: Pool, policy: LearningPolicy) {
    if !policy.retrain {
        return;
    }
    loop {
        if let Err(error) = step(&api, &disk, policy).await {
            let error: &dyn Error = &error;
            tracing::error!(error, "no model is trained or promoted now; tried again later");
        }
        // Late is better than never: time out where no news comes.
        _ = tokio::time::timeout(LOOK_EVERY, api.tickets_changed()).await;
    }
}

async fn step(api: &Api, disk: &Pool, policy: LearningPolicy) -> Result<(), TriageError> {
    let core = api.core()?;
    let place = disk.wait(Urgency::Background).await?;
    let api = api.clone();
    let verdicts = disk.run(place, move || judge(&api, &core, &policy)).await??;
    for Verdict { candidate, active, is_promoted, at: _, reasons } in verdicts {
        let reasons = reasons.join("; ");
        tracing::info!(candidate, active, promoted = is_promoted, reasons, "a model that was trained is judged");
    }
    Ok(())
}

fn judge(api: &Api, core: &Core, policy: &LearningPolicy) -> Result<Vec<Verdict>, TriageError> {
    let Core { triager, jobs, registry, .. } = core;
    let swap = |classifier| -> Result<(), RegistryError> { api.swap_model(classifier) };
    let verdicts = registry.judge(policy, triager.taxonomy(), &swap)?;
    // Before jobs are looked through.
    if !registry.is_training_due(policy, 0)? {
        return Ok(verdicts);
    }
    let last = jobs.last_training_by_itself()?;
    let is_open = last.as_ref().is_some_and(|(job, _)| job.record.state.is_open());
    if !is_open && registry.is_training_due(policy, last.map_or(0, |(_, change)| change))? {
        let training = Training {
            name: NAME.to_owned(),
            fields: Vec::new(),
            files: Vec::new(),
            without_memory: false,
            holdout_share: HOLDOUT_SHARE,
            seed: Training::DEFAULT_SEED,
        };
        let new = NewTraining { training, by: String::new(), automatic_since: Some(registry.memory_change()?) };
        let job = jobs.create_training(new, None, JobOrigin::Server, triager)?;
        tracing::info!(job = %job.record.id, "enough tickets were confirmed: a model is trained");
    }
    Ok(verdicts)
}
