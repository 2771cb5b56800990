//! What feedback teaches about the two that decide: how far a desk's confirmed tickets are to be trusted beside the
//! model, by field, and how far what a source says is borne out by others. Pure: the same feedback, the same standing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::{
        feedback::{Agreement, Hindsight},
        trust::Promise,
    },
    store::{LeanRow, PromiseRow},
};

/// Before feedback says more: a model that learnt from a desk's history is the better one of the two.
const USUAL_LEAN: f32 = -1.0;
/// Leans that are tried, in quarters of a logit.
const LEANS: std::ops::RangeInclusive<i16> = -16..=16;
/// How strongly a lean is pulled to the usual one: as much as some rows say against it.
const PULL: f32 = 1.0;
/// A value that neither expected must not decide alone.
const LEAST_SHARE: f32 = 0.01;
/// The latest right values of a field that teach.
pub(super) const ROWS_A_FIELD: usize = 500;
/// A source that nobody spoke beside is taken to agree as others do; so many comparisons outweigh that.
const PRIOR_COMPARISONS: f32 = 6.0;
/// Even what a source says that is always alone keeps some weight: it may be the only one who knows.
const LEAST_RELIABILITY: f32 = 0.02;

/// The latest promises of a model that are looked at, and of one value.
pub(super) const PROMISES: usize = 5_000;
const PROMISES_A_VALUE: u64 = 200;

/// What feedback taught up to one change.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Standing {
    /// The change to feedback that it reflects.
    pub version: u64,
    /// By field, as a logit: what speaks for the confirmed tickets rather than the model.
    leans: BTreeMap<String, f32>,
    /// By source.
    reliabilities: BTreeMap<String, f32>,
    /// Field and value: what was promised of it was not kept.
    demoted: BTreeSet<(String, String)>,
}

impl Standing {
    pub(super) fn learn(version: u64, rows: &[LeanRow], agreements: &BTreeMap<String, Agreement>) -> Self {
        let mut by_field: BTreeMap<&str, Vec<Hindsight>> = BTreeMap::new();
        for LeanRow { field, hindsight } in rows {
            by_field.entry(field).or_default().push(*hindsight);
        }
        let leans = by_field.into_iter().map(|(field, seen)| (field.to_owned(), best_lean(&seen))).collect();
        let all = agreements
            .values()
            .fold((0, 0), |(agreed, disagreed), one| (agreed + one.agreed, disagreed + one.disagreed));
        let usual = share(all, 0.5, PRIOR_COMPARISONS);
        let reliability = |one: &Agreement| {
            let relative = share((one.agreed, one.disagreed), usual, PRIOR_COMPARISONS) / usual;
            // Squared: who is right half as often as the others is not half as good.
            (relative * relative).clamp(LEAST_RELIABILITY, 1.0)
        };
        let reliabilities = agreements.iter().map(|(source, one)| (source.clone(), reliability(one))).collect();
        Self { version, leans, reliabilities, demoted: BTreeSet::new() }
    }

    /// The same, with what came of promises, the latest first: a value of which fewer were right than was promised, and
    /// chance does not explain it, is no longer filled in. Its promises go on being counted.
    #[must_use]
    pub(super) fn with_promises(self, rows: &[PromiseRow]) -> Self {
        let mut promises: BTreeMap<(&str, &str), Promise> = BTreeMap::new();
        for PromiseRow { field, label, promised, is_right } in rows {
            let promise = promises.entry((field, label)).or_default();
            if promise.reviewed < PROMISES_A_VALUE {
                // What is promised now counts, which the latest row says.
                promise.promised = if promise.reviewed == 0 { *promised } else { promise.promised };
                promise.reviewed += 1;
                promise.right += u64::from(*is_right);
            }
        }
        let broken = promises.into_iter().filter(|(_, promise)| promise.is_broken());
        let demoted = broken.map(|((field, label), _)| (field.to_owned(), label.to_owned())).collect();
        Self { demoted, ..self }
    }

    /// Whether what was promised of this value was not kept.
    pub(crate) fn is_demoted(&self, field: &str, label: &str) -> bool {
        !self.demoted.is_empty() && self.demoted.contains(&(field.to_owned(), label.to_owned()))
    }

    /// Fields and values of which what was promised was not kept.
    pub(crate) fn demoted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.demoted.iter().map(|(field, label)| (field.as_str(), label.as_str()))
    }

    /// What speaks for the confirmed tickets rather than the model, as a logit.
    pub(crate) fn lean(&self, field: &str) -> f32 {
        self.leans.get(field).copied().unwrap_or(USUAL_LEAN)
    }

    /// How much what this source says counts, 0.02 to 1.
    pub(crate) fn reliability(&self, source: &str) -> f32 {
        self.reliabilities.get(source).copied().unwrap_or(1.0)
    }
}

/// The lean under which model and confirmed tickets together gave the right values most probability.
fn best_lean(seen: &[Hindsight]) -> f32 {
    let merit = |lean: f32| {
        let likelihood = seen.iter().map(|one| one.blended(lean).max(LEAST_SHARE).ln()).sum::<f32>();
        likelihood - PULL * (lean - USUAL_LEAN).powi(2)
    };
    let leans = LEANS.map(|quarters| f32::from(quarters) / 4.0);
    let best = leans
        .map(|lean| (merit(lean), lean))
        .fold((f32::NEG_INFINITY, USUAL_LEAN), |best, next| if next.0 > best.0 { next } else { best });
    best.1
}

#[expect(clippy::cast_precision_loss, reason = "counts of comparisons")]
fn share((agreed, disagreed): (u64, u64), usual: f32, prior: f32) -> f32 {
    (agreed as f32 + prior * usual) / ((agreed + disagreed) as f32 + prior)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(model_share: f32, memory_share: f32, count: usize) -> Vec<LeanRow> {
        let hindsight = Hindsight { model_share, memory_share, lean: 0.0, support: 1.0 };
        vec![LeanRow { field: "category".into(), hindsight }; count]
    }

    #[test]
    fn whoever_was_right_more_often_counts_more() {
        let lean = |rows: &[LeanRow]| Standing::learn(1, rows, &BTreeMap::new()).lean("category");
        assert_eq!(lean(&[]).to_bits(), USUAL_LEAN.to_bits());
        let (few, many) = (lean(&rows(0.1, 0.9, 3)), lean(&rows(0.1, 0.9, 100)));
        assert!(USUAL_LEAN < few && few < many, "{few} {many}");
        assert!(lean(&rows(0.9, 0.1, 100)) < USUAL_LEAN);
        assert_eq!(
            Standing::learn(1, &rows(0.1, 0.9, 100), &BTreeMap::new()).lean("type").to_bits(),
            USUAL_LEAN.to_bits()
        );
    }

    #[test]
    fn a_value_that_breaks_its_promise_is_demoted_until_it_keeps_it_again() {
        let row = |is_right| PromiseRow { field: "category".into(), label: "a".into(), promised: 0.95, is_right };
        let check = |wrong: usize, right: usize, expected: bool| {
            let rows: Vec<_> = (0..right).map(|_| row(true)).chain((0..wrong).map(|_| row(false))).collect();
            let standing = Standing::default().with_promises(&rows);
            assert_eq!(standing.is_demoted("category", "a"), expected, "{wrong} wrong, {right} right");
            assert!(!standing.is_demoted("category", "b"));
        };
        check(0, 0, false);
        check(1, 20, false);
        check(4, 16, true);
        // What is long ago does not count.
        check(50, 200, false);
    }

    #[test]
    fn a_source_that_stands_alone_counts_little() {
        let agreement = |source: &str, agreed, disagreed| {
            (source.to_owned(), Agreement { source: source.to_owned(), agreed, disagreed })
        };
        let agreements =
            [agreement("", 900, 140), agreement("ann", 60, 20), agreement("mal", 4, 120), agreement("new", 0, 1)];
        let standing = Standing::learn(1, &[], &agreements.into());
        let [ann, mal, new, unknown] = ["ann", "mal", "new", "eve"].map(|source| standing.reliability(source));
        assert!(ann > 0.7 && mal < 0.05 && new > 0.6, "{ann} {mal} {new}");
        assert!((unknown - 1.0).abs() < f32::EPSILON);
    }
}
