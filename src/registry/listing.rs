//! The models that there are, each with where it stands.

use std::collections::BTreeMap;

use super::{Inside, ModelReport, Registry, RegistryError, inside};
use crate::{
    domain::model::{ModelName, ModelOrigin, ModelState, PairCounts},
    store::ModelRecord,
};

/// A model and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub version: String,
    pub name: String,
    pub origin: ModelOrigin,
    pub state: ModelState,
    /// The server trained it by itself.
    pub is_automatic: bool,
    /// Seconds since 1970; `None` of the one inside the program.
    pub created_at: Option<u64>,
    pub by: String,
    pub report: ModelReport,
    /// Of the shadow, by field: how it did where feedback told (first: the active one).
    pub shadow_scores: BTreeMap<String, PairCounts>,
}

impl Registry {
    /// Every model, the latest first and the one inside the program last.
    pub fn list(&self) -> Result<Vec<Model>, RegistryError> {
        let stand = self.stand()?;
        let mut models = Vec::new();
        for record in self.store.list_models()? {
            models.push(self.described(record, &stand)?);
        }
        models.push(self.described_embedded(&stand)?);
        Ok(models)
    }

    /// The model that goes by this version, or by the name `embedded` or `active`.
    pub fn get(&self, version: &str) -> Result<Model, RegistryError> {
        let stand = self.stand()?;
        let model = self.find(version)?;
        if model.is_embedded {
            return self.described_embedded(&stand);
        }
        let record = self.store.model(&model.version)?.ok_or(RegistryError::Unknown(model.version))?;
        self.described(record, &stand)
    }

    fn stand(&self) -> Result<Stand, RegistryError> {
        Ok(Stand { active: self.active()?, shadow: self.shadow()?, served: self.store.models_that_served()? })
    }

    fn described(&self, record: ModelRecord, stand: &Stand) -> Result<Model, RegistryError> {
        let report = ModelReport::of_record(&record);
        let ModelRecord { version, name, origin, is_automatic, created_at, by, .. } = record;
        let (state, shadow_scores) = self.stands(&version, stand)?;
        let created_at = Some(created_at);
        Ok(Model { version, name, origin, state, is_automatic, created_at, by, report, shadow_scores })
    }

    fn described_embedded(&self, stand: &Stand) -> Result<Model, RegistryError> {
        let Inside { version, name, report } = inside()?;
        let (state, shadow_scores) = self.stands(version, stand)?;
        Ok(Model {
            version: version.clone(),
            name: name.clone(),
            origin: ModelOrigin::Embedded,
            state,
            is_automatic: false,
            created_at: None,
            by: String::new(),
            report: report.clone(),
            shadow_scores,
        })
    }

    fn stands(
        &self,
        version: &str,
        stand: &Stand,
    ) -> Result<(ModelState, BTreeMap<String, PairCounts>), RegistryError> {
        let Stand { active, shadow, served } = stand;
        if active.version == version {
            return Ok((ModelState::Active, BTreeMap::new()));
        }
        if shadow.as_deref() == Some(version) {
            return Ok((ModelState::Shadow, self.store.shadow_scores(&active.version, version)?));
        }
        let has_served = served.iter().any(|served| served == version);
        Ok((if has_served { ModelState::Retired } else { ModelState::Candidate }, BTreeMap::new()))
    }
}

/// What tells where models stand.
struct Stand {
    active: ModelName,
    shadow: Option<String>,
    served: Vec<String>,
}
