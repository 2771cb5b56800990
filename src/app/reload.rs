//! Reads certificates, credentials, the model's folder and the taxonomy file again when the process is asked to, and hands them over to the calls
//! that follow. What is refused leaves the old one serving.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use futures_util::{Stream, StreamExt as _};

use super::taxonomy;
use crate::{
    access::doors::Doors,
    classify::Classifier,
    compute::{Pool, Urgency},
    error::TriageError,
    grpc::{Api, Core},
    telemetry::{METRICS, ReloadOutcome, TaxonomyCause},
    triage::Triager,
};

/// When to read model and taxonomy again, and from where.
pub(super) struct Reloads {
    pub(super) requests: Pin<Box<dyn Stream<Item = ()> + Send>>,
    /// `None`: the bundle inside the program serves.
    pub(super) folder: Option<PathBuf>,
    /// `None`: the taxonomy comes from the data directory, or is the default one.
    pub(super) taxonomy_file: Option<PathBuf>,
    pub(super) doors: Arc<Doors>,
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloads").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Reloads {
    /// Answers one request after the other; those that come meanwhile are one.
    pub(super) async fn run(mut self, api: Api, pool: Pool) {
        while self.requests.next().await.is_some() {
            // First: a token that was taken back is no good from now on.
            read_doors(Arc::clone(&self.doors), &pool).await;
            let outcome = if let Some(folder) = &self.folder {
                reload(folder, &api, &pool).await
            } else {
                say_without_folder(&api);
                ReloadOutcome::Embedded
            };
            METRICS.count_reload(outcome);
            if let Some(file) = &self.taxonomy_file {
                METRICS.count_taxonomy_change(TaxonomyCause::File, taxonomy::read_again(file, &api, &pool).await);
            }
        }
    }
}

async fn read_doors(doors: Arc<Doors>, pool: &Pool) {
    let read = async {
        let place = pool.wait(Urgency::Background).await?;
        pool.run(place, move || doors.read_again()).await
    };
    if let Err(error) = read.await {
        let error: &dyn Error = &error;
        tracing::error!(error, "certificates and credentials could not be read again");
    }
}

fn say_without_folder(api: &Api) {
    let is_active = api.core().is_ok_and(|core| core.registry.active().is_ok_and(|active| !active.is_embedded));
    if is_active {
        tracing::info!("the active model of the data directory serves: without --model there is no folder to read");
    } else {
        tracing::info!("the bundle inside the program serves: without --model there is no folder to read");
    }
}

async fn reload(folder: &Path, api: &Api, pool: &Pool) -> ReloadOutcome {
    let (core, classifier) = match load(folder, api, pool).await {
        Ok(loaded) => loaded,
        Err(error) => {
            let error: &dyn Error = &*error;
            tracing::error!(folder = %folder.display(), error, "the bundle is refused, the old model serves on");
            return ReloadOutcome::Refused;
        }
    };
    let (model, previous) = (classifier.version().to_owned(), core.triager.versions().model);
    if model == previous {
        tracing::info!(model, "the model was read again and is the same");
        return ReloadOutcome::Unchanged;
    }
    let fields = |triager: &Triager| triager.fields().into_iter().map(|field| field.name).collect::<Vec<_>>();
    let before = fields(&core.triager);
    let triager = core.triager.with_classifier(classifier.clone());
    let now = fields(&triager);
    for lost in before.iter().filter(|name| !now.contains(name)) {
        tracing::warn!(field = lost, "the new model has not learnt this field: it is no longer answered");
    }
    for mismatch in triager.mismatches() {
        tracing::warn!("{mismatch}");
    }
    let swapped = api.change_core(|core| {
        let triager = core.triager.with_classifier(classifier);
        Ok::<_, TriageError>(Core { triager, ..core.clone() })
    });
    if let Err(error) = swapped {
        tracing::error!(error = &error as &dyn Error, "the old model serves on");
        return ReloadOutcome::Refused;
    }
    tracing::info!(model, previous, "another model serves");
    ReloadOutcome::Replaced
}

/// What serves, and the model in the folder.
async fn load(folder: &Path, api: &Api, pool: &Pool) -> anyhow::Result<(Arc<Core>, Classifier)> {
    let (folder, registry) = (folder.to_owned(), api.core()?.registry.clone());
    let place = pool.wait(Urgency::Interactive).await?;
    let classifier = pool.run(place, move || registry.read(&folder)).await??;
    Ok((api.core()?, classifier))
}
