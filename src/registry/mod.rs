//! The models of a data directory: which there are, which one serves, which one answers silently, and how they compare.
//! A bundle is a folder in `models/` and a row in the store; this module keeps both in step, whatever is killed when.
//! Calls block and touch the disk.

mod compare;
mod error;
mod folder;
mod labels;
mod listing;
mod paired;
mod policy;
mod promotion;
mod report;
mod shadow;
#[cfg(test)]
mod tests;
mod training;

use std::{
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) use self::folder::MODELS_FOLDER;
pub use self::{
    compare::{
        Basis, Comparison, DEFAULT_TICKETS, FieldComparison, GuessChange, LabelComparison, LabelCounts, MAX_TICKETS,
        share,
    },
    error::RegistryError,
    listing::Model,
    paired::p_value,
    report::{Coverage, FieldReport, ModelReport},
    shadow::{Agreement, Confirmed, Shadow},
    training::{Run, TrainedModel, Training, TrainingError, TrainingFile},
};
use crate::{
    classify::{BundleError, Classifier, bundle},
    domain::{
        model::{ACTIVE, Activation, ActivationKind, EMBEDDED, ModelName, ModelOrigin, Verdict},
        route::RouteSetting,
        taxonomy::Taxonomy,
    },
    encode::{Encoders, Redactor},
    store::{ModelRecord, NewActivation, Store},
};

/// A cheap handle on the models of a data directory.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Store,
    /// Where the bundles lie.
    folder: Arc<Path>,
    redactor: Redactor,
    encoders: Encoders,
    /// The bundle that serves whatever is active (`--model`).
    pinned: Option<Arc<Path>>,
    /// Whoever changes which models there are or which one serves takes turns here, so that what is written down last
    /// also serves.
    turn: Arc<Mutex<()>>,
}

/// Who does something to the models, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    pub by: String,
    pub reason: String,
}

impl Registry {
    /// Opens the models of the store's data directory, and removes what a crash left of bundles. Texts are read with
    /// `redactor`, and with the sentence encoders that bundles name.
    pub fn open(
        store: Store,
        data_directory: &Path,
        redactor: Redactor,
        encoders: Encoders,
    ) -> Result<Self, RegistryError> {
        let folder: Arc<Path> = data_directory.join(folder::MODELS_FOLDER).into();
        let kept: Vec<String> = store.list_models()?.into_iter().map(|model| model.version).collect();
        folder::remove_orphans(&folder, &kept)?;
        Ok(Self { store, folder, redactor, encoders, pinned: None, turn: Arc::default() })
    }

    /// The same where this bundle serves whatever is active.
    #[must_use]
    pub fn pinned_to(self, bundle: Option<&Path>) -> Self {
        Self { pinned: bundle.map(Into::into), ..self }
    }

    /// The bundle that serves whatever is active.
    pub fn pinned(&self) -> Option<&Path> {
        self.pinned.as_deref()
    }

    /// The model that serves: that of the bundle that it is pinned to, else the active one, which is the one inside the
    /// program until another was activated.
    ///
    /// Fails with [`RegistryError::Damaged`] where the active one cannot be used: another must not take its place
    /// unseen.
    pub fn serving(&self) -> Result<Classifier, RegistryError> {
        match &self.pinned {
            Some(bundle) => self.read(bundle),
            None => self.load(&self.active()?),
        }
    }

    /// Reads a bundle that is not of the data directory.
    pub fn read(&self, bundle: &Path) -> Result<Classifier, RegistryError> {
        Ok(Classifier::load(bundle, &self.encoders)?.with_redactor(self.redactor.clone()))
    }

    /// The active model.
    pub fn active(&self) -> Result<ModelName, RegistryError> {
        let last = self.store.last_activation()?.map(|activation| activation.model);
        match last.filter(|active| !active.is_embedded) {
            Some(active) => Ok(active),
            None => embedded(),
        }
    }

    /// The model that goes by this version, or by the name `embedded` or `active`.
    pub fn find(&self, version: &str) -> Result<ModelName, RegistryError> {
        if version == ACTIVE {
            return self.active();
        }
        let inside = embedded()?;
        if version == EMBEDDED || version == inside.version {
            return Ok(inside);
        }
        let known = self.store.model(version)?.ok_or_else(|| RegistryError::Unknown(version.to_owned()))?;
        Ok(ModelName { version: known.version, is_embedded: false })
    }

    /// Reads a model; refuses one that is not what it was when it came here.
    pub fn load(&self, model: &ModelName) -> Result<Classifier, RegistryError> {
        if model.is_embedded {
            return Ok(Classifier::embedded()?.with_redactor(self.redactor.clone()));
        }
        let folder = self.folder.join(&model.version);
        let damaged = |problem: String| RegistryError::Damaged {
            version: model.version.clone(),
            folder: folder.clone(),
            problem,
        };
        let classifier = Classifier::load(&folder, &self.encoders).map_err(|error| {
            // The bundle is what it was; its encoder is not there.
            if matches!(error, BundleError::Encoder(_)) { error.into() } else { damaged(error.to_string()) }
        })?;
        if classifier.version() != model.version {
            return Err(damaged(format!("it holds {}", classifier.version())));
        }
        Ok(classifier.with_redactor(self.redactor.clone()))
    }

    /// Copies a bundle into the data directory. One that is there already is put right where it is damaged, and stays
    /// as it is otherwise.
    ///
    /// Fails with [`RegistryError::Bundle`] for a folder that is no bundle or a damaged one.
    pub fn import(&self, folder: &Path, by: &str) -> Result<ModelName, RegistryError> {
        let files = bundle::read(folder)?;
        let classifier = Classifier::from_files(&files, &self.encoders)?;
        let inside = embedded()?;
        if classifier.version() == inside.version {
            return Ok(inside);
        }
        let record = ModelRecord {
            version: classifier.version().to_owned(),
            name: classifier.summary().name,
            origin: ModelOrigin::Imported,
            is_automatic: false,
            created_at: now(),
            by: by.to_owned(),
            training_rows: classifier.summary().rows as u64,
            memory_change: self.store.last_memory_change()?,
            report: ModelReport::of_bundle(&classifier).to_json(),
        };
        self.add(&record, None, &files)
    }

    /// Keeps a bundle: whole and durable when it returns, and nothing of it otherwise.
    fn add(
        &self,
        record: &ModelRecord,
        learnt_texts: Option<&[u64]>,
        files: &bundle::Files,
    ) -> Result<ModelName, RegistryError> {
        folder::check_name(&record.version)?;
        let model = ModelName { version: record.version.clone(), is_embedded: false };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let is_whole = self.store.model(&record.version)?.is_some() && self.load(&model).is_ok();
        if !is_whole {
            folder::keep(&self.folder, &record.version, files)?;
            self.store.add_model(record, learnt_texts)?;
        }
        Ok(model)
    }

    /// Has another model serve: durable first, then `swap` hands it to the calls that follow. With `expected`, only in
    /// place of that one. What serves already is left as it is, and nothing is written down.
    ///
    /// Fails with [`RegistryError::Refused`] while the server is pinned to a bundle, where another than `expected` is
    /// active, or where the model lacks a field that the taxonomy requires.
    pub fn activate(
        &self,
        version: &str,
        expected: Option<&str>,
        author: &Author,
        taxonomy: &Taxonomy,
        swap: impl FnOnce(Classifier) -> Result<(), RegistryError>,
    ) -> Result<Option<Activation>, RegistryError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let active = self.active()?;
        if let Some(expected) = expected
            && self.find(expected).map_or(expected != active.version, |expected| expected != active)
        {
            let found = &active.version;
            return Err(RegistryError::Refused(format!("{found} is active and not {expected}: look at it again")));
        }
        let model = self.find(version)?;
        if model == active && self.pinned.is_none() {
            return Ok(None);
        }
        let classifier = self.usable(&model, taxonomy)?;
        let kind = ActivationKind::Activated;
        let Author { by, reason } = author;
        let new = NewActivation { model, kind, at: now(), by, reason };
        let activation = self.store.activate_model(&new, &active)?;
        swap(classifier)?;
        Ok(Some(activation))
    }

    /// Has the model serve again that was active before the active one was activated.
    ///
    /// Fails as [`Self::activate`], and where there is no earlier one.
    pub fn roll_back(
        &self,
        author: &Author,
        taxonomy: &Taxonomy,
        swap: impl FnOnce(Classifier) -> Result<(), RegistryError>,
    ) -> Result<Activation, RegistryError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let active = self.active()?;
        let came = self.store.activation_of(&active)?;
        let nothing = || RegistryError::Refused(format!("no other model was active before {}", active.version));
        let previous = came.ok_or_else(nothing)?.previous;
        let previous = if previous.is_embedded { embedded()? } else { previous };
        if !previous.is_embedded && self.store.model(&previous.version)?.is_none() {
            let version = previous.version;
            return Err(RegistryError::Refused(format!(
                "{version}, which was active before {}, was deleted: import it again, or activate another",
                active.version
            )));
        }
        let classifier = self.usable(&previous, taxonomy)?;
        let Author { by, reason } = author;
        let kind = ActivationKind::RolledBack;
        let new = NewActivation { model: previous, kind, at: now(), by, reason };
        let activation = self.store.activate_model(&new, &active)?;
        swap(classifier)?;
        Ok(activation)
    }

    /// A model that may serve.
    fn usable(&self, model: &ModelName, taxonomy: &Taxonomy) -> Result<Classifier, RegistryError> {
        if let Some(bundle) = &self.pinned {
            return Err(RegistryError::Refused(format!(
                "the server was started with --model {}, which serves whatever is active: start it without --model, and \
                 what is active in its data directory serves",
                bundle.display()
            )));
        }
        let classifier = self.load(model)?;
        // What the active one does not answer either is not lost; where it cannot be read, nobody knows what it answered.
        let serving = self.active().and_then(|active| self.load(&active)).ok();
        let is_lost = |field: &&str| {
            !answers(&classifier, taxonomy, field)
                && serving.as_ref().is_none_or(|serving| answers(serving, taxonomy, field))
        };
        let missing: Vec<&str> = required_fields(taxonomy).filter(is_lost).collect();
        if missing.is_empty() {
            return Ok(classifier);
        }
        Err(RegistryError::Refused(format!(
            "{} has not learnt {}, which the taxonomy requires, or none of the labels there: train it on tickets with \
             these fields, or take them out of the taxonomy",
            model.version,
            missing.join(", ")
        )))
    }

    /// Has this model answer silently beside the active one; `None`: no model. Durable first, then `swap` hands the
    /// shadow over.
    pub fn set_shadow(
        &self,
        version: Option<&str>,
        swap: impl FnOnce(Option<Shadow>) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let model = version.map(|version| self.find(version)).transpose()?;
        if let Some(model) = &model
            && *model == self.active()?
        {
            return Err(RegistryError::Refused(format!("{} is active: it cannot be its own shadow", model.version)));
        }
        let classifier = model.as_ref().map(|model| self.load(model)).transpose()?;
        self.store.set_shadow(model.map(|model| model.version).as_deref())?;
        swap(classifier.map(|classifier| Shadow::new(classifier, self.store.clone())))
    }

    /// The model that answers silently, by version.
    pub fn shadow(&self) -> Result<Option<String>, RegistryError> {
        Ok(self.store.shadow()?)
    }

    /// Deletes a model with its bundle. What is said of it in the history stays.
    ///
    /// Fails with [`RegistryError::Refused`] for the active one, the shadow, and the one inside the program.
    pub fn delete(&self, version: &str) -> Result<(), RegistryError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let model = self.find(version)?;
        let refused = |why: &str| Err(RegistryError::Refused(format!("{} {why}", model.version)));
        if model.is_embedded {
            return refused("is inside the program and cannot be deleted");
        }
        if model == self.active()? {
            return refused("is active: activate another, or roll back, and delete it then");
        }
        if self.store.shadow()?.as_ref() == Some(&model.version) {
            return refused("is the shadow: set another or none, and delete it then");
        }
        self.store.delete_model(&model.version)?;
        folder::remove(&self.folder, &model.version)
    }

    /// Which model began to serve when, the latest first, those behind `before`; at most `limit`.
    pub fn activations(&self, before: Option<u64>, limit: usize) -> Result<Vec<Activation>, RegistryError> {
        Ok(self.store.list_activations(before, limit)?)
    }

    /// What became of models that the server trained by itself, the latest first; at most `limit`.
    pub fn verdicts(&self, limit: usize) -> Result<Vec<Verdict>, RegistryError> {
        Ok(self.store.list_verdicts(limit)?)
    }
}

/// What is known of the model inside the program, once it was read.
struct Inside {
    version: String,
    name: String,
    report: ModelReport,
}

fn inside() -> Result<&'static Inside, RegistryError> {
    static INSIDE: OnceLock<Inside> = OnceLock::new();
    if let Some(inside) = INSIDE.get() {
        return Ok(inside);
    }
    let classifier = Classifier::embedded()?;
    let (version, name) = (classifier.version().to_owned(), classifier.summary().name);
    Ok(INSIDE.get_or_init(|| Inside { version, name, report: ModelReport::of_bundle(&classifier) }))
}

/// The model inside the program.
fn embedded() -> Result<ModelName, RegistryError> {
    Ok(ModelName { version: inside()?.version.clone(), is_embedded: true })
}

/// Fields that a desk's own taxonomy cannot do without: those that it has labels of and does not turn off.
pub fn required_fields(taxonomy: &Taxonomy) -> impl Iterator<Item = &str> {
    let is_required = |(field, labels): &(&String, &Vec<_>)| {
        taxonomy.restricts && !labels.is_empty() && taxonomy.route(field) != RouteSetting::Off
    };
    taxonomy.fields.iter().filter(is_required).map(|(field, _)| field.as_str())
}

/// Whether it has learnt a label of the field that may be proposed.
fn answers(classifier: &Classifier, taxonomy: &Taxonomy, field: &str) -> bool {
    let known = classifier.fields().iter().filter(|known| *known.name == *field);
    let names = taxonomy.names(field);
    known.flat_map(|known| &known.labels).any(|label| names.current(label).is_some())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
