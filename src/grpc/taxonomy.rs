//! `TaxonomyService`: parse, change where waiting for the disk holds up no call, convert.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Api, Core, convert, noted, pages};
use crate::{
    compute::Urgency,
    config::taxonomy::write,
    error::TriageError,
    pb::{self, taxonomy_service_server::TaxonomyService},
    taxonomy::{NewRevision, Outcome, in_one_line},
    telemetry::{METRICS, ReloadOutcome, TaxonomyCause},
};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

#[derive(Debug, Clone)]
pub(crate) struct TaxonomyHandler(pub(crate) Api);

impl TaxonomyHandler {
    /// Makes a revision, or says what it would come to.
    async fn revise(&self, asked: NewRevision, validate_only: bool) -> Result<pb::TaxonomyRevision, TriageError> {
        // Who only asks holds nobody up.
        let turn = if validate_only {
            noted::rehearsed();
            None
        } else {
            Some(Arc::clone(&self.0.writes).acquire_owned().await.map_err(TriageError::internal)?)
        };
        let place = self.0.disk.wait(Urgency::Interactive).await?;
        let api = self.0.clone();
        // What is kept is served, also where the caller has gone meanwhile: both here, in one turn.
        let outcome = self
            .0
            .block(place, move |core| {
                let _turn = turn;
                revise(&api, core, &asked, validate_only)
            })
            .await;
        if !validate_only {
            METRICS.count_taxonomy_change(TaxonomyCause::Call, counted(&outcome));
        }
        outcome.map(convert::revision)
    }
}

fn counted(outcome: &Result<Outcome, TriageError>) -> ReloadOutcome {
    match outcome {
        Ok(Outcome { number: Some(_), .. }) => ReloadOutcome::Replaced,
        Ok(Outcome { number: None, .. }) => ReloadOutcome::Unchanged,
        Err(_) => ReloadOutcome::Refused,
    }
}

fn revise(api: &Api, core: &Core, asked: &NewRevision, validate_only: bool) -> Result<Outcome, TriageError> {
    let now = core.triager.taxonomy();
    let revised = core.taxonomies.plan(&core.triager, asked)?;
    if validate_only || !revised.is_new {
        return Ok(revised.outcome(None));
    }
    let number = core.taxonomies.keep(now, &revised, &asked.changed_by)?;
    // The model may have become another one since: only the taxonomy is changed.
    api.change_core(|core| {
        let triager = core.triager.with_taxonomy(Arc::clone(&revised.taxonomy));
        Ok::<_, TriageError>(Core { triager, ..core.clone() })
    })?;
    let outcome = revised.outcome(Some(number));
    let (version, previous, by) = (&outcome.version, &now.version, &asked.changed_by);
    let changes = in_one_line(&outcome.changes);
    tracing::info!(taxonomy = version, number, previous, by, changes, "another taxonomy is in force");
    Ok(outcome)
}

#[tonic::async_trait]
impl TaxonomyService for TaxonomyHandler {
    async fn get_taxonomy(
        &self,
        request: Request<pb::GetTaxonomyRequest>,
    ) -> Result<Response<pb::GetTaxonomyResponse>, Status> {
        self.0
            .unary("GetTaxonomy", request, async |request| {
                let pb::GetTaxonomyRequest {} = request;
                let place = self.0.disk.admit()?;
                self.0
                    .block(place, |core| {
                        let (taxonomy, taxonomies) = (core.triager.taxonomy(), &core.taxonomies);
                        let mut warnings = taxonomy.warnings();
                        warnings.extend(core.triager.mismatches());
                        Ok(pb::GetTaxonomyResponse {
                            taxonomy: Some(convert::taxonomy(taxonomy)),
                            document: write(taxonomy),
                            warnings,
                            number: taxonomies.number()?.unwrap_or_default(),
                            file: taxonomies.file().map(|file| file.display().to_string()).unwrap_or_default(),
                        })
                    })
                    .await
            })
            .await
    }

    async fn apply_taxonomy(
        &self,
        request: Request<pb::ApplyTaxonomyRequest>,
    ) -> Result<Response<pb::ApplyTaxonomyResponse>, Status> {
        self.0
            .unary("ApplyTaxonomy", request, async |request| {
                let (asked, validate_only) = convert::asked_document(request);
                let revision = Some(self.revise(asked, validate_only).await?);
                Ok(pb::ApplyTaxonomyResponse { revision })
            })
            .await
    }

    async fn change_taxonomy(
        &self,
        request: Request<pb::ChangeTaxonomyRequest>,
    ) -> Result<Response<pb::ChangeTaxonomyResponse>, Status> {
        self.0
            .unary("ChangeTaxonomy", request, async |request| {
                let (asked, validate_only) = convert::asked_changes(request)?;
                let revision = Some(self.revise(asked, validate_only).await?);
                Ok(pb::ChangeTaxonomyResponse { revision })
            })
            .await
    }

    async fn list_taxonomy_versions(
        &self,
        request: Request<pb::ListTaxonomyVersionsRequest>,
    ) -> Result<Response<pb::ListTaxonomyVersionsResponse>, Status> {
        self.0
            .unary("ListTaxonomyVersions", request, async |request| {
                let pb::ListTaxonomyVersionsRequest { page_size, page_token } = request;
                let size = convert::at_most(page_size, "page_size", DEFAULT_PAGE, MAX_PAGE);
                let (size, before) = convert::both(size, pages::parse_number_token(&page_token))?;
                let place = self.0.disk.admit()?;
                self.0
                    .block(place, move |core| {
                        let (records, more) = core.taxonomies.list(before, size)?;
                        let last = records.last().filter(|_| more).map(|record| record.number);
                        Ok(pb::ListTaxonomyVersionsResponse {
                            next_page_token: last.map(|number| number.to_string()).unwrap_or_default(),
                            versions: records.into_iter().map(convert::taxonomy_version).collect(),
                        })
                    })
                    .await
            })
            .await
    }

    async fn revert_taxonomy(
        &self,
        request: Request<pb::RevertTaxonomyRequest>,
    ) -> Result<Response<pb::RevertTaxonomyResponse>, Status> {
        self.0
            .unary("RevertTaxonomy", request, async |request| {
                let (asked, validate_only) = convert::asked_version(request)?;
                let revision = Some(self.revise(asked, validate_only).await?);
                Ok(pb::RevertTaxonomyResponse { revision })
            })
            .await
    }
}
