//! What the command line asks `ModelService`.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;

use super::{Client, connection::Service, jobs};
use crate::{
    domain::{
        job::JobId,
        model::{Activation, ActivationKind, EMBEDDED, ModelName, ModelOrigin, ModelState, PairCounts, Verdict},
    },
    grpc::convert::training_spec,
    jobs::{Job, NewTraining},
    pb::{self, model_service_client::ModelServiceClient},
    registry::{
        Agreement, Author, Basis, Comparison, Coverage, FieldComparison, FieldReport, GuessChange, LabelComparison,
        LabelCounts, Model, ModelReport,
    },
};

/// Activations asked for in one call, at most as many as a server gives.
const ACTIVATIONS_A_PAGE: u32 = 100;
/// A comparison over many labels with long names is the longest answer there is.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The models of a server, and what it knows of its shadow.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedModels {
    pub models: Vec<Model>,
    pub serving: String,
    /// The folder of the bundle that serves whatever is active; empty where there is none.
    pub pinned: String,
    pub agreement: BTreeMap<String, Agreement>,
    pub dropped: u64,
}

impl Client {
    fn models_service(&self) -> ModelServiceClient<Service> {
        ModelServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    pub async fn list_models(&self) -> anyhow::Result<ListedModels> {
        let answer = self.models_service().list_models(pb::ListModelsRequest {}).await;
        let answer = answer.map_err(|status| self.explain(&status))?.into_inner();
        let pb::ListModelsResponse { models, serving_version, pinned_path, shadow_agreement, shadow_dropped } = answer;
        let agreement = shadow_agreement
            .into_iter()
            .map(|pb::ShadowAgreement { field, agreed, differed }| (field, Agreement { agreed, differed }));
        Ok(ListedModels {
            models: models.into_iter().map(|found| model(Some(found))).collect::<anyhow::Result<_>>()?,
            serving: serving_version,
            pinned: pinned_path,
            agreement: agreement.collect(),
            dropped: shadow_dropped,
        })
    }

    pub async fn model(&self, version: &str) -> anyhow::Result<Model> {
        let answer = self.models_service().get_model(pb::GetModelRequest { version: version.to_owned() }).await;
        model(answer.map_err(|status| self.explain(&status))?.into_inner().model)
    }

    /// Imports a bundle from a folder of the server's.
    pub async fn import_model(&self, folder: &Path, by: &str) -> anyhow::Result<Model> {
        let request = pb::ImportModelRequest { path: jobs::sent_path(folder)?, by: by.to_owned() };
        let answer = self.models_service().import_model(request).await;
        model(answer.map_err(|status| self.explain(&status))?.into_inner().model)
    }

    pub async fn train_model(&self, new: NewTraining) -> anyhow::Result<Job> {
        let NewTraining { training, by, automatic_since: _ } = new;
        let mut spec = training_spec(training.clone(), false);
        for (file, sent) in training.files.iter().zip(&mut spec.files) {
            sent.path = jobs::sent_path(&file.path)?;
        }
        let request = pb::TrainModelRequest { spec: Some(spec), request_id: String::new(), by };
        let answer = self.models_service().train_model(request).await;
        jobs::job(answer.map_err(|status| self.explain(&status))?.into_inner().job)
    }

    /// Compares a model with another; `first` may be left to the active one.
    pub async fn compare_models(&self, first: &str, second: &str, tickets: Option<u32>) -> anyhow::Result<Comparison> {
        let request = pb::CompareModelsRequest { first: first.to_owned(), second: second.to_owned(), tickets };
        let answer = self.models_service().compare_models(request).await;
        comparison(answer.map_err(|status| self.explain(&status))?.into_inner())
    }

    /// The shadow from now on; `None` where that is no model.
    pub async fn set_shadow(&self, version: Option<&str>) -> anyhow::Result<Option<Model>> {
        let Some(version) = version else {
            let answer = self.models_service().clear_shadow(pb::ClearShadowRequest {}).await;
            answer.map_err(|status| self.explain(&status))?;
            return Ok(None);
        };
        let answer = self.models_service().set_shadow(pb::SetShadowRequest { version: version.to_owned() }).await;
        model(answer.map_err(|status| self.explain(&status))?.into_inner().model).map(Some)
    }

    /// The model that serves, and what served before.
    pub async fn activate_model(
        &self,
        version: &str,
        expected: Option<&str>,
        author: Author,
    ) -> anyhow::Result<(Model, String)> {
        let Author { by, reason } = author;
        let (version, expected_active) = (version.to_owned(), expected.unwrap_or_default().to_owned());
        let request = pb::ActivateModelRequest { version, expected_active, by, reason };
        let answer = self.models_service().activate_model(request).await;
        let pb::ActivateModelResponse { model: active, previous } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok((model(active)?, previous))
    }

    pub async fn roll_back_model(&self, author: Author) -> anyhow::Result<(Model, String)> {
        let Author { by, reason } = author;
        let answer = self.models_service().rollback_model(pb::RollbackModelRequest { by, reason }).await;
        let pb::RollbackModelResponse { model: active, previous } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok((model(active)?, previous))
    }

    pub async fn delete_model(&self, version: &str) -> anyhow::Result<()> {
        let answer = self.models_service().delete_model(pb::DeleteModelRequest { version: version.to_owned() }).await;
        answer.map(|_| ()).map_err(|status| self.explain(&status))
    }

    /// Activations, the latest first, at most `limit`, and the latest verdicts.
    pub async fn activations(&self, limit: usize) -> anyhow::Result<(Vec<Activation>, Vec<Verdict>)> {
        let (mut activations, mut verdicts, mut page_token) = (Vec::new(), Vec::new(), String::new());
        while activations.len() < limit {
            let left = u32::try_from(limit - activations.len()).unwrap_or(u32::MAX);
            let request = pb::ListActivationsRequest { page_size: Some(left.min(ACTIVATIONS_A_PAGE)), page_token };
            let answer = self.models_service().list_activations(request).await;
            let page = answer.map_err(|status| self.explain(&status))?.into_inner();
            for found in page.activations {
                activations.push(activation(found)?);
            }
            verdicts.extend(page.verdicts.into_iter().map(verdict));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok((activations, verdicts))
    }
}

fn seconds(time: prost_types::Timestamp) -> u64 {
    u64::try_from(time.seconds).unwrap_or(0)
}

fn model(model: Option<pb::Model>) -> anyhow::Result<Model> {
    let model = model.context("the server answers no model")?;
    let (state, origin) = (model.state(), model.origin());
    let pb::Model { version, name, state: _, origin: _, job_id, automatic, create_time, by, report, shadow_scores } =
        model;
    let newer = || anyhow::anyhow!("the server answers something about {version} that this version does not know");
    Ok(Model {
        name,
        origin: match origin {
            pb::ModelOrigin::Unspecified => return Err(newer()),
            pb::ModelOrigin::Embedded => ModelOrigin::Embedded,
            pb::ModelOrigin::Imported => ModelOrigin::Imported,
            pb::ModelOrigin::Trained => ModelOrigin::Trained(JobId::parse(&job_id)),
        },
        state: match state {
            pb::ModelState::Unspecified => return Err(newer()),
            pb::ModelState::Active => ModelState::Active,
            pb::ModelState::Shadow => ModelState::Shadow,
            pb::ModelState::Candidate => ModelState::Candidate,
            pb::ModelState::Retired => ModelState::Retired,
        },
        is_automatic: automatic,
        created_at: create_time.map(seconds),
        by,
        report: model_report(report.unwrap_or_default()),
        shadow_scores: shadow_scores.into_iter().map(pair_counts).map(|(field, counts, _)| (field, counts)).collect(),
        version,
    })
}

fn model_report(report: pb::ModelReport) -> ModelReport {
    let pb::ModelReport { rows, out_of_scope_rows, seed, languages, fields } = report;
    let field = |report: pb::FieldReport| {
        let pb::FieldReport { field, labels, accuracy, macro_f1, calibration_error, coverage } = report;
        let coverage = coverage.into_iter().map(|coverage| {
            let pb::CertifiedCoverage { precision, confidence, share, reached } = coverage;
            Coverage { precision, confidence, share, reached }
        });
        let coverage = coverage.collect();
        FieldReport { name: field, labels, accuracy, macro_f1, calibration_error, coverage }
    };
    ModelReport { rows, out_of_scope_rows, seed, languages, fields: fields.into_iter().map(field).collect() }
}

/// The field, the counts, and the chance of such a difference.
fn pair_counts(score: pb::PairedScore) -> (String, PairCounts, f64) {
    let pb::PairedScore { field, both_right, only_first_right, only_second_right, both_wrong, p_value } = score;
    (field, PairCounts { both_right, only_first_right, only_second_right, both_wrong }, p_value)
}

fn comparison(comparison: pb::CompareModelsResponse) -> anyhow::Result<Comparison> {
    let basis = match comparison.basis() {
        pb::ComparisonBasis::Unseen => Basis::Unseen,
        // What is not known must not pass for new tickets.
        pb::ComparisonBasis::MayBeLearnt | pb::ComparisonBasis::Unspecified => Basis::MayBeLearnt,
    };
    let pb::CompareModelsResponse {
        first,
        second,
        basis: _,
        tickets,
        left_out,
        fields,
        only_in_first,
        only_in_second,
        shadow_scores,
    } = comparison;
    Ok(Comparison {
        first,
        second,
        basis,
        tickets,
        left_out,
        fields: fields.into_iter().map(field_comparison).collect::<anyhow::Result<_>>()?,
        only_in_first,
        only_in_second,
        shadow_scores: shadow_scores.into_iter().map(pair_counts).map(|(field, counts, _)| (field, counts)).collect(),
    })
}

fn field_comparison(comparison: pb::FieldComparison) -> anyhow::Result<FieldComparison> {
    let pb::FieldComparison { score, labels, changes, other_changes } = comparison;
    let (field, counts, p_value) = pair_counts(score.context("the server answers a field without a score")?);
    let change = |pb::GuessChange { from, to, tickets, first_right, second_right }: pb::GuessChange| GuessChange {
        from,
        to,
        tickets,
        first_right,
        second_right,
    };
    Ok(FieldComparison {
        field,
        counts,
        p_value,
        labels: labels.into_iter().map(label_comparison).collect(),
        changes: changes.into_iter().map(change).collect(),
        other_changes,
    })
}

fn label_comparison(comparison: pb::LabelComparison) -> LabelComparison {
    // The shares follow from the counts.
    let pb::LabelComparison { label, tickets, first_guessed, first_right, second_guessed, second_right, .. } =
        comparison;
    LabelComparison {
        label,
        tickets,
        first: LabelCounts { guessed: first_guessed, right: first_right },
        second: LabelCounts { guessed: second_guessed, right: second_right },
    }
}

fn activation(activation: pb::Activation) -> anyhow::Result<Activation> {
    let kind = match activation.kind() {
        pb::ActivationKind::Activated => ActivationKind::Activated,
        pb::ActivationKind::RolledBack => ActivationKind::RolledBack,
        pb::ActivationKind::Promoted => ActivationKind::Promoted,
        pb::ActivationKind::Unspecified => {
            anyhow::bail!("the server answers an activation of a kind that this version does not know")
        }
    };
    let pb::Activation { id, version, previous, kind: _, activate_time, by, reason } = activation;
    let name = |version: String| ModelName { is_embedded: version == EMBEDDED, version };
    Ok(Activation {
        id: id.parse().with_context(|| format!("the server answers `{id}` for the number of an activation"))?,
        model: name(version),
        previous: name(previous),
        kind,
        at: activate_time.map_or(0, seconds),
        by,
        reason,
    })
}

fn verdict(verdict: pb::PromotionVerdict) -> Verdict {
    let pb::PromotionVerdict { candidate, active, promoted, judge_time, reasons } = verdict;
    Verdict { candidate, active, is_promoted: promoted, at: judge_time.map_or(0, seconds), reasons }
}
