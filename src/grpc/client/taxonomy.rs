//! What the command line asks `TaxonomyService`.

use super::Client;
use crate::{
    grpc::convert,
    pb::{self, taxonomy_service_client::TaxonomyServiceClient},
    store::TaxonomyRecord,
    taxonomy::{NewRevision, Outcome, Revision},
};

/// The taxonomy in force at a server.
#[derive(Debug, Clone)]
pub struct ServedTaxonomy {
    /// The text of a taxonomy file.
    pub document: String,
    pub warnings: Vec<String>,
    /// `None` where nothing was changed yet, or a file is the truth.
    pub number: Option<u64>,
    /// The file that is the truth.
    pub file: Option<String>,
}

impl Client {
    pub async fn taxonomy(&self) -> anyhow::Result<ServedTaxonomy> {
        let answer = TaxonomyServiceClient::new(self.channel.clone()).get_taxonomy(pb::GetTaxonomyRequest {}).await;
        let pb::GetTaxonomyResponse { taxonomy: _, document, warnings, number, file } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok(ServedTaxonomy {
            document,
            warnings,
            number: Some(number).filter(|number| *number > 0),
            file: Some(file).filter(|file| !file.is_empty()),
        })
    }

    /// Makes a revision, or says what it would come to.
    pub async fn revise_taxonomy(&self, asked: NewRevision, validate_only: bool) -> anyhow::Result<Outcome> {
        let NewRevision { revision, expected_version, changed_by } = asked;
        let expected_version = expected_version.unwrap_or_default();
        let mut client = TaxonomyServiceClient::new(self.channel.clone());
        let answer = match revision {
            Revision::Changes(changes) => {
                let changes = changes.into_iter().map(convert::wire_change).collect();
                let request = pb::ChangeTaxonomyRequest { changes, expected_version, changed_by, validate_only };
                client.change_taxonomy(request).await.map(|answer| answer.into_inner().revision)
            }
            Revision::Document(document) => {
                let request = pb::ApplyTaxonomyRequest { document, expected_version, changed_by, validate_only };
                client.apply_taxonomy(request).await.map(|answer| answer.into_inner().revision)
            }
            Revision::Version(number) => {
                let request = pb::RevertTaxonomyRequest { number, expected_version, changed_by, validate_only };
                client.revert_taxonomy(request).await.map(|answer| answer.into_inner().revision)
            }
        };
        Ok(convert::outcome(answer.map_err(|status| self.explain(&status))?.unwrap_or_default()))
    }

    /// The latest versions first, at most `limit`; without their documents.
    pub async fn taxonomy_versions(&self, limit: usize) -> anyhow::Result<Vec<TaxonomyRecord>> {
        let page_size = u32::try_from(limit).ok();
        let request = pb::ListTaxonomyVersionsRequest { page_size, page_token: String::new() };
        let answer = TaxonomyServiceClient::new(self.channel.clone()).list_taxonomy_versions(request).await;
        let versions = answer.map_err(|status| self.explain(&status))?.into_inner().versions;
        Ok(versions.into_iter().map(record).collect())
    }
}

fn record(version: pb::TaxonomyVersion) -> TaxonomyRecord {
    let pb::TaxonomyVersion { number, version, changed_by, create_time, changes } = version;
    let changed_at = create_time.and_then(|time| u64::try_from(time.seconds).ok()).unwrap_or_default();
    TaxonomyRecord { number, version, document: String::new(), changed_by, changed_at, changes }
}
