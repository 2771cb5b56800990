//! Trust figures: decisions are counted as they are made, kept day by day, and told together with what people made of
//! them. Counts that were not kept yet are lost where the process is killed; nothing else hangs on them.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, PoisonError},
};

use super::{Feedback, Standing, decision::now};
use crate::{
    domain::{
        article::Day,
        decision::{Abstention, FieldDecision, ValueSource},
        route::Route,
        trust::{DecisionCounts, FieldTrust, LabelTrust, TicketCounts, TrustReport},
    },
    error::TriageError,
    store::ByLabel,
};

const SECONDS_A_DAY: u64 = 86_400;
/// Days whose counts are kept.
const KEPT_DAYS: u32 = 400;

/// Decisions since they were last kept.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Unkept>);

#[derive(Debug, Default)]
struct Unkept {
    tickets: TicketCounts,
    decisions: ByLabel<DecisionCounts>,
}

impl Tally {
    /// Counts a decided ticket of so many words, of which the model had never seen so many.
    pub(crate) fn add(&self, fields: &[FieldDecision], words: usize, new_words: usize) {
        // Of the text, whatever field it is read from.
        let of_text = fields.iter().find_map(|field| field.abstention.filter(|abstention| abstention.is_of_text()));
        let count = |abstention| u64::from(of_text == Some(abstention));
        let tickets = TicketCounts {
            tickets: 1,
            out_of_scope: count(Abstention::OutOfScope),
            unsupported_language: count(Abstention::UnsupportedLanguage),
            too_short: count(Abstention::TooShort),
            words: words as u64,
            new_words: new_words as u64,
        };
        let mut unkept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.tickets += tickets;
        for field in fields.iter().filter(|field| field.source != ValueSource::Form) {
            let counts = DecisionCounts {
                proposed: 1,
                abstained: u64::from(field.abstention.is_some()),
                filled: u64::from(field.route == Route::Autofill),
            };
            *unkept.decisions.entry((field.field.clone(), field.value.clone())).or_default() += counts;
        }
    }

    fn take(&self) -> Unkept {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Feedback {
    /// Where decisions are counted.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Forgets what was counted and not kept.
    pub(crate) fn forget_counts(&self) {
        drop(self.tally.take());
    }

    /// Keeps what was counted. Blocks.
    pub fn keep_counts(&self) -> Result<(), TriageError> {
        let Unkept { tickets, decisions } = self.tally.take();
        if tickets.tickets == 0 {
            return Ok(());
        }
        let (day, oldest) = (day_before(0)?, day_before(KEPT_DAYS)?);
        Ok(self.store.add_decision_counts(day, oldest, tickets, &decisions)?)
    }

    /// The figures of the last `days`, today included; at least 1. `standing` says what is demoted.
    pub(crate) fn trust(&self, days: u32, model: &str, standing: &Standing) -> Result<TrustReport, TriageError> {
        self.keep_counts()?;
        let since = day_before(days.saturating_sub(1))?;
        let (tickets, decisions) = self.store.decision_counts(since)?;
        let reviews = self.store.review_counts(super::seconds_of(since).unwrap_or_default())?;
        let mut fields: BTreeMap<&str, BTreeMap<&str, LabelTrust>> = BTreeMap::new();
        for ((field, label), counts) in &decisions {
            fields.entry(field).or_default().entry(label).or_default().decisions = *counts;
        }
        for ((field, label), counts) in &reviews {
            fields.entry(field).or_default().entry(label).or_default().reviews = *counts;
        }
        for (field, label) in standing.demoted() {
            fields.entry(field).or_default().entry(label).or_default().is_demoted = true;
        }
        let fields = fields.into_iter().map(|(field, labels)| {
            let mut trust = FieldTrust { field: field.to_owned(), ..FieldTrust::default() };
            for (label, figures) in labels {
                trust.decisions += figures.decisions;
                trust.reviews += figures.reviews;
                trust.labels.push(LabelTrust { label: label.to_owned(), ..figures });
            }
            trust
        });
        Ok(TrustReport { days, model: model.to_owned(), tickets, fields: fields.collect() })
    }
}

/// The day so many days ago, in UTC.
fn day_before(days: u32) -> Result<Day, TriageError> {
    let seconds = now().saturating_sub(u64::from(days) * SECONDS_A_DAY);
    let day = Day::parse(&super::day_of(seconds));
    day.ok_or_else(|| TriageError::internal("the clock shows no day of the calendar"))
}
