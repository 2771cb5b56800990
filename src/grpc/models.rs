//! `ModelService`: parse, call the registry where waiting for the disk holds up no call, convert. What serves is swapped
//! here, behind what was written down.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Api, Core, convert, noted, observe};
use crate::{
    classify::Classifier,
    compute::Urgency,
    error::TriageError,
    pb::{self, model_service_server::ModelService},
    registry::{Agreement, DEFAULT_TICKETS, RegistryError, Shadow},
    store::JobOrigin,
};

const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: usize = 100;
/// Verdicts on the first page of a history.
const LISTED_VERDICTS: usize = 100;

#[derive(Debug, Clone)]
pub(crate) struct ModelHandler(pub(crate) Api);

impl ModelHandler {
    /// Does something to or about models that may wait for the disk. It goes on to its end also where its caller leaves.
    async fn with_models<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Api, &Core) -> Result<T, TriageError> + Send + 'static,
    ) -> Result<T, TriageError> {
        let (place, api) = (self.0.disk.admit()?, self.0.clone());
        self.0.block(place, move |core| act(&api, core)).await
    }
}

impl Api {
    /// Has this model answer the calls that follow. Where it was the shadow, there is none any more.
    pub(crate) fn swap_model(&self, classifier: Classifier) -> Result<(), RegistryError> {
        self.change_core(|core| {
            let shadow = core.shadow.clone().filter(|shadow| shadow.version() != classifier.version());
            let triager = core.triager.with_classifier(classifier);
            for mismatch in triager.mismatches() {
                tracing::warn!("{mismatch}");
            }
            Ok(Core { triager, shadow, ..core.clone() })
        })
    }

    fn swap_shadow(&self, shadow: Option<Shadow>) -> Result<(), RegistryError> {
        self.change_core(|core| Ok(Core { shadow, ..core.clone() }))
    }
}

fn model_of(core: &Core, version: &str) -> Result<Option<pb::Model>, TriageError> {
    Ok(Some(convert::model(core.registry.get(version)?)))
}

/// What jobs say of their specification, said of the path.
fn of_path(mut error: TriageError) -> TriageError {
    if let TriageError::InvalidRequest(violations) = &mut error {
        for violation in violations {
            "path".clone_into(&mut violation.field);
        }
    }
    error
}

#[tonic::async_trait]
impl ModelService for ModelHandler {
    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        self.0
            .unary("ListModels", request, async |request| {
                let pb::ListModelsRequest {} = request;
                self.with_models(|_, core| {
                    let (agreement, shadow_dropped) = core.shadow.as_ref().map(Shadow::agreement).unwrap_or_default();
                    let agreement = agreement
                        .into_iter()
                        .map(|(field, Agreement { agreed, differed })| pb::ShadowAgreement { field, agreed, differed });
                    let pinned = core.registry.pinned().map(|path| path.display().to_string());
                    Ok(pb::ListModelsResponse {
                        models: core.registry.list()?.into_iter().map(convert::model).collect(),
                        serving_version: core.triager.classifier().version().to_owned(),
                        pinned_path: pinned.unwrap_or_default(),
                        shadow_agreement: agreement.collect(),
                        shadow_dropped,
                    })
                })
                .await
            })
            .await
    }

    async fn get_model(&self, request: Request<pb::GetModelRequest>) -> Result<Response<pb::GetModelResponse>, Status> {
        self.0
            .unary("GetModel", request, async |request| {
                let version = convert::version(request.version)?;
                let model = self.with_models(move |_, core| model_of(core, &version)).await?;
                Ok(pb::GetModelResponse { model })
            })
            .await
    }

    async fn import_model(
        &self,
        request: Request<pb::ImportModelRequest>,
    ) -> Result<Response<pb::ImportModelResponse>, Status> {
        self.0
            .unary("ImportModel", request, async |request| {
                let (path, by) = convert::asked_model_import(request)?;
                let import = move |_: &Api, core: &Core| {
                    let folder = core.jobs.folder_to_read(&path).map_err(|error| of_path(error.into()))?;
                    let imported = core.registry.import(&folder, &by).map_err(|error| {
                        let is_of_folder = matches!(error, RegistryError::Bundle(_));
                        if is_of_folder { TriageError::invalid("path", error.to_string()) } else { error.into() }
                    })?;
                    tracing::info!(model = imported.version, by, "a model was imported");
                    model_of(core, &imported.version)
                };
                let model = self.with_models(import).await?;
                noted::about(model.iter().map(|model| model.version.as_str()));
                Ok(pb::ImportModelResponse { model })
            })
            .await
    }

    async fn train_model(
        &self,
        request: Request<pb::TrainModelRequest>,
    ) -> Result<Response<pb::TrainModelResponse>, Status> {
        let create = async {
            let (new, request_id) = convert::asked_training(request.into_inner())?;
            // Reading files for what tells them from others may take longer than a call's deadline.
            let place = self.0.disk.wait(Urgency::Interactive).await?;
            let create = self.0.block(place, move |core| {
                Ok(core.jobs.create_training(new, request_id.as_deref(), JobOrigin::Server, &core.triager)?)
            });
            let job = create.await?;
            noted::about([job.record.id.to_string().as_str()]);
            Ok::<_, TriageError>(pb::TrainModelResponse { job: Some(convert::job(job)) })
        };
        observe("TrainModel", create).await
    }

    async fn compare_models(
        &self,
        request: Request<pb::CompareModelsRequest>,
    ) -> Result<Response<pb::CompareModelsResponse>, Status> {
        let compare = async {
            let (first, second, tickets) = convert::asked_comparison(request.into_inner(), DEFAULT_TICKETS)?;
            let turn = Arc::clone(&self.0.comparisons).acquire_owned().await.map_err(TriageError::internal)?;
            // Deciding thousands of tickets twice may take longer than a call's deadline.
            let compare = self.with_models(move |_, core| {
                // Held to the end, also where the caller leaves.
                let _turn = turn;
                let registry = &core.registry;
                let first = first.map_or_else(|| registry.active(), |first| registry.find(&first))?;
                let second = registry.find(&second)?;
                Ok(registry.compare(&first, &second, tickets, core.triager.taxonomy())?)
            });
            Ok::<_, TriageError>(convert::comparison(compare.await?))
        };
        observe("CompareModels", compare).await
    }

    async fn set_shadow(
        &self,
        request: Request<pb::SetShadowRequest>,
    ) -> Result<Response<pb::SetShadowResponse>, Status> {
        self.0
            .unary("SetShadow", request, async |request| {
                let version = convert::version(request.version)?;
                noted::about([version.as_str()]);
                let set = move |api: &Api, core: &Core| {
                    core.registry.set_shadow(Some(&version), |shadow| api.swap_shadow(shadow))?;
                    tracing::info!(model = version, "a model answers silently");
                    model_of(core, &version)
                };
                Ok(pb::SetShadowResponse { model: self.with_models(set).await? })
            })
            .await
    }

    async fn clear_shadow(
        &self,
        request: Request<pb::ClearShadowRequest>,
    ) -> Result<Response<pb::ClearShadowResponse>, Status> {
        self.0
            .unary("ClearShadow", request, async |request| {
                let pb::ClearShadowRequest {} = request;
                let clear =
                    |api: &Api, core: &Core| Ok(core.registry.set_shadow(None, |shadow| api.swap_shadow(shadow))?);
                self.with_models(clear).await?;
                Ok(pb::ClearShadowResponse {})
            })
            .await
    }

    async fn activate_model(
        &self,
        request: Request<pb::ActivateModelRequest>,
    ) -> Result<Response<pb::ActivateModelResponse>, Status> {
        self.0
            .unary("ActivateModel", request, async |request| {
                let (version, expected, author) = convert::asked_activation(request)?;
                noted::about([version.as_str()]);
                let activate = move |api: &Api, core: &Core| {
                    let swap = |classifier| api.swap_model(classifier);
                    let taxonomy = core.triager.taxonomy();
                    let activation = core.registry.activate(&version, expected.as_deref(), &author, taxonomy, swap)?;
                    let previous = match activation {
                        Some(activation) => {
                            let (model, previous) = (&activation.model.version, &activation.previous.version);
                            tracing::info!(model, previous, by = author.by, "another model was activated");
                            activation.previous.version
                        }
                        None => core.registry.find(&version)?.version,
                    };
                    Ok(pb::ActivateModelResponse { model: model_of(core, &version)?, previous })
                };
                self.with_models(activate).await
            })
            .await
    }

    async fn rollback_model(
        &self,
        request: Request<pb::RollbackModelRequest>,
    ) -> Result<Response<pb::RollbackModelResponse>, Status> {
        self.0
            .unary("RollbackModel", request, async |request| {
                let author = convert::asked_rollback(request)?;
                let roll_back = move |api: &Api, core: &Core| {
                    let swap = |classifier| api.swap_model(classifier);
                    let activation = core.registry.roll_back(&author, core.triager.taxonomy(), swap)?;
                    let (model, previous) = (&activation.model.version, &activation.previous.version);
                    tracing::info!(model, previous, by = author.by, "rolled back to the model before");
                    Ok(pb::RollbackModelResponse {
                        model: model_of(core, model)?,
                        previous: activation.previous.version,
                    })
                };
                let answer = self.with_models(roll_back).await?;
                noted::about(answer.model.iter().map(|model| model.version.as_str()));
                Ok(answer)
            })
            .await
    }

    async fn delete_model(
        &self,
        request: Request<pb::DeleteModelRequest>,
    ) -> Result<Response<pb::DeleteModelResponse>, Status> {
        self.0
            .unary("DeleteModel", request, async |request| {
                let version = convert::version(request.version)?;
                noted::about([version.as_str()]);
                let delete = move |_: &Api, core: &Core| {
                    core.registry.delete(&version)?;
                    tracing::info!(model = version, "a model was deleted");
                    Ok(())
                };
                self.with_models(delete).await?;
                Ok(pb::DeleteModelResponse {})
            })
            .await
    }

    async fn list_activations(
        &self,
        request: Request<pb::ListActivationsRequest>,
    ) -> Result<Response<pb::ListActivationsResponse>, Status> {
        self.0
            .unary("ListActivations", request, async |request| {
                let pb::ListActivationsRequest { page_size, page_token } = request;
                let size = convert::at_most(page_size, "page_size", DEFAULT_PAGE, MAX_PAGE);
                let (size, before) = convert::both(size, convert::activation_token(&page_token))?;
                let list = move |_: &Api, core: &Core| {
                    // One more than the page holds tells whether another page follows.
                    let mut activations = core.registry.activations(before, size + 1)?;
                    let more = activations.len() > size;
                    activations.truncate(size);
                    let last = activations.last().filter(|_| more).map(|last| last.id.to_string());
                    let verdicts = if before.is_none() { core.registry.verdicts(LISTED_VERDICTS)? } else { Vec::new() };
                    Ok(pb::ListActivationsResponse {
                        activations: activations.into_iter().map(convert::activation).collect(),
                        next_page_token: last.unwrap_or_default(),
                        verdicts: verdicts.into_iter().map(convert::verdict).collect(),
                    })
                };
                self.with_models(list).await
            })
            .await
    }
}
