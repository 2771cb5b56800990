//! Reads the taxonomy file again, and hands it over to the calls that follow. A file that is refused leaves the old
//! taxonomy in force.

use std::{error::Error, path::Path, sync::Arc};

use crate::{
    compute::{Pool, Urgency},
    config::taxonomy,
    domain::taxonomy::{Taxonomy, TaxonomyDifference},
    error::TriageError,
    grpc::{Api, Core},
    taxonomy::in_one_line,
    telemetry::ReloadOutcome,
};

pub(super) async fn read_again(file: &Path, api: &Api, pool: &Pool) -> ReloadOutcome {
    let (core, taxonomy) = match load(file, api, pool).await {
        Ok(loaded) => loaded,
        Err(error) => {
            let error: &dyn Error = &*error;
            tracing::error!(file = %file.display(), error, "the taxonomy is refused, the old one stays in force");
            return ReloadOutcome::Refused;
        }
    };
    let before = core.triager.taxonomy();
    if taxonomy.version == before.version {
        tracing::info!(taxonomy = taxonomy.version, "the taxonomy was read again and is the same");
        return ReloadOutcome::Unchanged;
    }
    let difference = TaxonomyDifference::between(before, &taxonomy, &core.triager.learnt_labels());
    let triager = core.triager.with_taxonomy(Arc::clone(&taxonomy));
    for warning in taxonomy.warnings().into_iter().chain(triager.mismatches()) {
        tracing::warn!("{warning}");
    }
    let swapped = api.change_core(|core| {
        let triager = core.triager.with_taxonomy(Arc::clone(&taxonomy));
        Ok::<_, TriageError>(Core { triager, ..core.clone() })
    });
    if let Err(error) = swapped {
        tracing::error!(error = &error as &dyn Error, "the old taxonomy stays in force");
        return ReloadOutcome::Refused;
    }
    let (version, previous, changes) = (&taxonomy.version, &before.version, in_one_line(&difference.sentences()));
    tracing::info!(taxonomy = version, previous, changes, "another taxonomy is in force");
    ReloadOutcome::Replaced
}

/// What serves, and the taxonomy in the file.
async fn load(file: &Path, api: &Api, pool: &Pool) -> anyhow::Result<(Arc<Core>, Arc<Taxonomy>)> {
    let file = file.to_owned();
    let place = pool.wait(Urgency::Interactive).await?;
    let taxonomy = pool.run(place, move || taxonomy::load(Some(&file))).await??;
    Ok((api.core()?, Arc::new(taxonomy)))
}
