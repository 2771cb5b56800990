//! A model that answers silently beside the active one. It is counted where the two agree, and, where feedback tells what
//! a ticket was, which of them was right. Nothing of it reaches an answer.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Registry, RegistryError};
use crate::{
    classify::Classifier,
    store::Store,
    telemetry::{METRICS, ShadowOutcome},
};

/// The shadow at work. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Shadow {
    classifier: Classifier,
    store: Store,
    seen: Arc<Seen>,
}

/// What was counted since the shadow began.
#[derive(Default)]
struct Seen {
    fields: Mutex<BTreeMap<String, Agreement>>,
    dropped: AtomicU64,
}

/// How often two models proposed the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreement {
    pub agreed: u64,
    pub differed: u64,
}

/// What feedback told of a ticket.
#[derive(Debug, Clone, Copy)]
pub struct Confirmed<'a> {
    /// As it was decided, prepared like the memory's.
    pub text: &'a str,
    /// The right value of each field that is known.
    pub labels: &'a BTreeMap<String, String>,
    /// The version of the model that decided it, and its own best guess for each field.
    pub active: &'a str,
    pub guesses: &'a BTreeMap<String, String>,
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Shadow {
    pub(super) fn new(classifier: Classifier, store: Store) -> Self {
        Self { classifier, store, seen: Arc::default() }
    }

    pub fn version(&self) -> &str {
        self.classifier.version()
    }

    /// Answers a ticket that `active` decided, and counts where the two agree.
    pub fn answer(&self, active: &Classifier, text: &str) {
        let (theirs, mut ours) = (active.best_guesses(text), self.classifier.best_guesses(text));
        let mut fields = self.seen.fields.lock().unwrap_or_else(PoisonError::into_inner);
        for (field, guess) in theirs {
            let Some(own) = ours.remove(&field) else { continue };
            let agreed = own == guess;
            METRICS.count_shadow(&field, if agreed { ShadowOutcome::Agreed } else { ShadowOutcome::Differed });
            let agreement = fields.entry(field).or_default();
            *(if agreed { &mut agreement.agreed } else { &mut agreement.differed }) += 1;
        }
    }

    /// Counts a ticket that there was no time to answer.
    pub fn drop_one(&self) {
        self.seen.dropped.fetch_add(1, Ordering::Relaxed);
        METRICS.shadow_dropped.inc();
    }

    /// How often it agreed since it began, by field, and how many tickets it did not answer.
    pub fn agreement(&self) -> (BTreeMap<String, Agreement>, u64) {
        let fields = self.seen.fields.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (fields, self.seen.dropped.load(Ordering::Relaxed))
    }

    /// Scores it and the model that decided the ticket by what feedback told; durable when this returns. Fields that
    /// either does not know are left out. Blocks.
    pub fn score(&self, confirmed: Confirmed<'_>) -> Result<(), RegistryError> {
        let Confirmed { text, labels, active, guesses } = confirmed;
        if active == self.version() {
            return Ok(());
        }
        let ours = self.classifier.best_guesses(text);
        let scores = labels.iter().filter_map(|(field, label)| {
            let (theirs, own) = (guesses.get(field)?, ours.get(field)?);
            Some((field.clone(), (theirs == label, own == label)))
        });
        let scores: BTreeMap<String, (bool, bool)> = scores.collect();
        if scores.is_empty() {
            return Ok(());
        }
        Ok(self.store.add_shadow_scores(active, self.version(), &scores)?)
    }
}

impl Registry {
    /// The shadow, ready to work; `None` where there is none.
    pub fn shadow_at_work(&self) -> Result<Option<Shadow>, RegistryError> {
        let Some(version) = self.shadow()? else { return Ok(None) };
        let classifier = self.load(&self.find(&version)?)?;
        Ok(Some(Shadow::new(classifier, self.store.clone())))
    }
}
