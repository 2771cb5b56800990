//! Trains by itself when that is due, judges what came of it by the desk's policy, and has it serve where that is met.
//! Every verdict is kept, whatever it is.

use std::sync::PoisonError;

use super::{
    Registry, RegistryError,
    compare::MAX_TICKETS,
    now,
    policy::{self, Judged},
};
use crate::{
    classify::Classifier,
    domain::{
        model::{ActivationKind, LearningPolicy, ModelName, Verdict},
        taxonomy::Taxonomy,
    },
    store::NewActivation,
};

/// Who promotes, as the history names it.
const BY: &str = "the server";

impl Registry {
    /// Whether the server is to train a model by itself; `tried` is the change to the memory up to which it did last.
    pub fn is_training_due(&self, policy: &LearningPolicy, tried: u64) -> Result<bool, RegistryError> {
        let active = self.active()?;
        let known = if active.is_embedded { None } else { self.store.model(&active.version)? };
        let since = known.map_or(0, |model| model.memory_change).max(tried);
        let new_tickets = self.store.count_memory_tickets_since(since)?;
        Ok(policy::is_due(policy, new_tickets, self.store.count_memory_tickets()?))
    }

    /// The last change to the memory.
    pub fn memory_change(&self) -> Result<u64, RegistryError> {
        Ok(self.store.last_memory_change()?)
    }

    /// Judges every model that the server trained by itself and that was not judged yet, and hands over to `swap` what
    /// serves from now on. Takes seconds.
    pub fn judge(
        &self,
        policy: &LearningPolicy,
        taxonomy: &Taxonomy,
        swap: &dyn Fn(Classifier) -> Result<(), RegistryError>,
    ) -> Result<Vec<Verdict>, RegistryError> {
        let mut verdicts = Vec::new();
        for candidate in self.store.unjudged_models()? {
            let candidate = ModelName { version: candidate.version, is_embedded: false };
            verdicts.extend(self.judge_one(&candidate, policy, taxonomy, swap)?);
        }
        Ok(verdicts)
    }

    /// `None` where another model began to serve meanwhile: it is judged against that one next time.
    fn judge_one(
        &self,
        candidate: &ModelName,
        policy: &LearningPolicy,
        taxonomy: &Taxonomy,
        swap: &dyn Fn(Classifier) -> Result<(), RegistryError>,
    ) -> Result<Option<Verdict>, RegistryError> {
        let active = self.active()?;
        let Judged { is_met, mut reasons } = if *candidate == active {
            Judged { is_met: false, reasons: vec!["it is active already".to_owned()] }
        } else {
            policy::judge(policy, &self.compare(&active, candidate, MAX_TICKETS, taxonomy)?)
        };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.active()? != active || self.store.model(&candidate.version)?.is_none() {
            return Ok(None);
        }
        let usable = if is_met && policy.promote { self.usable(candidate, taxonomy).map(Some) } else { Ok(None) };
        let usable = match usable {
            Ok(usable) => usable,
            Err(RegistryError::Refused(why)) => {
                reasons.push(why);
                None
            }
            Err(error) => return Err(error),
        };
        if is_met && !policy.promote {
            reasons.push("the policy is met, and learning.promote is off: activate it by hand".to_owned());
        }
        let (version, is_promoted) = (candidate.version.clone(), usable.is_some());
        let verdict = Verdict { candidate: version, active: active.version.clone(), is_promoted, at: now(), reasons };
        let Some(classifier) = usable else {
            self.store.keep_verdict(&verdict)?;
            return Ok(Some(verdict));
        };
        let reason = verdict.reasons.join("; ");
        let (kind, model) = (ActivationKind::Promoted, candidate.clone());
        let new = NewActivation { model, kind, at: verdict.at, by: BY, reason: &reason };
        self.store.promote_model(&new, &active, &verdict)?;
        swap(classifier)?;
        Ok(Some(verdict))
    }
}
