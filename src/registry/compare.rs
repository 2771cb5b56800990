//! Two models on the latest confirmed tickets: who is right how often, by field and by label, and what would change.
//! Tickets that either learnt from are left out as far as that is known, since a model looks better on those than it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Registry, RegistryError,
    labels::{guesses, label},
    paired,
};
use crate::{
    classify::{Classifier, suspects::text_hash},
    domain::{
        memory::ConfirmedTicket,
        model::{ModelName, PairCounts},
        taxonomy::Taxonomy,
    },
};

/// So many tickets that are new to both tell enough; with fewer, others are taken.
pub(super) const MIN_UNSEEN_TICKETS: u64 = 50;
pub const DEFAULT_TICKETS: usize = 2_000;
pub const MAX_TICKETS: usize = 20_000;
/// For each ticket wanted so many are looked at, since most may have been learnt from.
const LOOKED_AT_FOR_ONE: usize = 20;
const PAGE_TICKETS: usize = 500;
/// Changes listed a field.
const MAX_CHANGES: usize = 1_000;

/// How far tickets are new to both models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Neither learnt from any of them.
    Unseen,
    /// Either may have learnt from them.
    MayBeLearnt,
}

impl Basis {
    /// As scripts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::MayBeLearnt => "may_be_learnt",
        }
    }
}

/// Two models on the same tickets.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub first: String,
    pub second: String,
    pub basis: Basis,
    /// Tickets that were looked at.
    pub tickets: u64,
    /// Of the latest ones, those that a model learnt from.
    pub left_out: u64,
    /// That both know, in the order of the first.
    pub fields: Vec<FieldComparison>,
    pub only_in_first: Vec<String>,
    pub only_in_second: Vec<String>,
    /// How the two did where feedback told while the second was the shadow of the first, by field.
    pub shadow_scores: BTreeMap<String, PairCounts>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FieldComparison {
    pub field: String,
    pub counts: PairCounts,
    /// As [`paired::p_value`].
    pub p_value: f64,
    /// Most tickets first.
    pub labels: Vec<LabelComparison>,
    /// Most tickets first.
    pub changes: Vec<GuessChange>,
    /// Tickets of changes that are not listed.
    pub other_changes: u64,
}

/// How two models do on the tickets of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelComparison {
    pub label: String,
    /// Tickets that have it.
    pub tickets: u64,
    pub first: LabelCounts,
    pub second: LabelCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelCounts {
    /// Tickets that the model takes for it.
    pub guessed: u64,
    /// Those of them that have it.
    pub right: u64,
}

impl LabelCounts {
    /// `None` where the model takes no ticket for it.
    pub fn precision(self) -> Option<f64> {
        share(self.right, self.guessed)
    }

    /// `None` where no ticket has it.
    pub fn recall(self, tickets: u64) -> Option<f64> {
        share(self.right, tickets)
    }
}

/// Tickets that the first takes for one label and the second for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuessChange {
    pub from: String,
    pub to: String,
    pub tickets: u64,
    pub first_right: u64,
    pub second_right: u64,
}

/// `part` of `whole`; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of tickets are far below 2^52")]
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Registry {
    /// Holds two models against each other on the latest confirmed tickets, at most `limit`.
    pub fn compare(
        &self,
        first: &ModelName,
        second: &ModelName,
        limit: usize,
        taxonomy: &Taxonomy,
    ) -> Result<Comparison, RegistryError> {
        let classifiers = [self.load(first)?, self.load(second)?];
        let learnt = [self.learnt(first)?, self.learnt(second)?];
        let is_new = |text: &str, change: u64| learnt.iter().all(|learnt| !learnt.may_hold(text, change));
        let shadow_scores = self.store.shadow_scores(&first.version, &second.version)?;
        let mut counting = Counting::new(&classifiers, taxonomy);
        let (tickets, left_out) = self.look_at(limit, &mut counting, is_new)?;
        if tickets >= MIN_UNSEEN_TICKETS || left_out == 0 {
            return Ok(Comparison { shadow_scores, ..counting.finish(Basis::Unseen, tickets, left_out) });
        }
        let mut counting = Counting::new(&classifiers, taxonomy);
        let (tickets, _) = self.look_at(limit, &mut counting, |_, _| true)?;
        Ok(Comparison { shadow_scores, ..counting.finish(Basis::MayBeLearnt, tickets, 0) })
    }

    /// Counts the latest tickets that are `wanted`; how many those are, and how many are not.
    fn look_at(
        &self,
        limit: usize,
        counting: &mut Counting<'_>,
        wanted: impl Fn(&str, u64) -> bool,
    ) -> Result<(u64, u64), RegistryError> {
        let (mut counted, mut left_out, mut before) = (0, 0, None);
        loop {
            let page = self.store.latest_memory_tickets(before, PAGE_TICKETS)?;
            let Some((_, last)) = page.last() else { break };
            before = Some(*last);
            for (ticket, change) in &page {
                if counted >= limit || counted + left_out >= limit.saturating_mul(LOOKED_AT_FOR_ONE) {
                    return Ok((counted as u64, left_out as u64));
                }
                let text = ticket.text();
                if !counting.concerns(ticket) {
                    continue;
                }
                if wanted(&text, *change) {
                    counting.add(ticket, &text);
                    counted += 1;
                } else {
                    left_out += 1;
                }
            }
        }
        Ok((counted as u64, left_out as u64))
    }

    /// What is known of the tickets that a model learnt from.
    fn learnt(&self, model: &ModelName) -> Result<Learnt, RegistryError> {
        if model.is_embedded {
            // Made long before, of other tickets.
            return Ok(Learnt::Texts(Vec::new()));
        }
        if let Some(texts) = self.store.learnt_texts(&model.version)? {
            return Ok(Learnt::Texts(texts));
        }
        let known = self.store.model(&model.version)?;
        Ok(Learnt::Before(known.map_or(u64::MAX, |model| model.memory_change)))
    }
}

/// Tickets that a model learnt from.
enum Learnt {
    /// Those with these texts, as [`short_hash`] and in order.
    Texts(Vec<u64>),
    /// Any that came up to this change.
    Before(u64),
}

impl Learnt {
    fn may_hold(&self, text: &str, change: u64) -> bool {
        match self {
            Self::Texts(texts) => !texts.is_empty() && texts.binary_search(&short_hash(text_hash(text))).is_ok(),
            Self::Before(last) => change <= *last,
        }
    }
}

/// Half of a text's hash tells texts apart well enough to leave one out.
#[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
pub(super) fn short_hash(hash: u128) -> u64 {
    hash as u64
}

/// Guesses while they are counted.
struct Counting<'a> {
    classifiers: &'a [Classifier; 2],
    taxonomy: &'a Taxonomy,
    fields: Vec<FieldCounting>,
}

struct FieldCounting {
    field: String,
    counts: PairCounts,
    tickets: HashMap<String, u64>,
    guessed: [HashMap<String, LabelCounts>; 2],
    changes: HashMap<(String, String), [u64; 3]>,
}

impl<'a> Counting<'a> {
    fn new(classifiers: &'a [Classifier; 2], taxonomy: &'a Taxonomy) -> Self {
        let [first, second] = classifiers;
        let common = first.fields().iter().filter(|field| second.fields().iter().any(|other| other.name == field.name));
        let fields = common.map(|field| FieldCounting::new(field.name.to_string()));
        Self { classifiers, taxonomy, fields: fields.collect() }
    }

    /// Whether anything about the ticket is known that both guess.
    fn concerns(&self, ticket: &ConfirmedTicket) -> bool {
        self.fields.iter().any(|field| label(self.taxonomy, ticket, &field.field).is_some())
    }

    fn add(&mut self, ticket: &ConfirmedTicket, text: &str) {
        let guesses = self.classifiers.each_ref().map(|classifier| guesses(self.taxonomy, classifier, text));
        for field in &mut self.fields {
            let [Some(first), Some(second)] = guesses.each_ref().map(|guesses| guesses.get(&field.field)) else {
                continue;
            };
            if let Some(truth) = label(self.taxonomy, ticket, &field.field) {
                field.add(truth, first, second);
            }
        }
    }

    fn finish(self, basis: Basis, tickets: u64, left_out: u64) -> Comparison {
        let names = |classifier: &Classifier| {
            classifier.fields().iter().map(|field| field.name.to_string()).collect::<Vec<_>>()
        };
        let [first, second] = self.classifiers;
        let without = |one: &Classifier, other: &Classifier| {
            let others: BTreeSet<String> = names(other).into_iter().collect();
            names(one).into_iter().filter(|name| !others.contains(name)).collect()
        };
        Comparison {
            first: first.version().to_owned(),
            second: second.version().to_owned(),
            basis,
            tickets,
            left_out,
            only_in_first: without(first, second),
            only_in_second: without(second, first),
            fields: self.fields.into_iter().map(FieldCounting::finish).collect(),
            shadow_scores: BTreeMap::new(),
        }
    }
}

impl FieldCounting {
    fn new(field: String) -> Self {
        Self {
            field,
            counts: PairCounts::default(),
            tickets: HashMap::new(),
            guessed: [HashMap::new(), HashMap::new()],
            changes: HashMap::new(),
        }
    }

    fn add(&mut self, truth: &str, first: &str, second: &str) {
        self.counts.add(first == truth, second == truth);
        *self.tickets.entry(truth.to_owned()).or_default() += 1;
        for (guess, guessed) in [first, second].into_iter().zip(&mut self.guessed) {
            let counts = guessed.entry(guess.to_owned()).or_default();
            counts.guessed += 1;
            counts.right += u64::from(guess == truth);
        }
        if first != second {
            let [tickets, first_right, second_right] =
                self.changes.entry((first.to_owned(), second.to_owned())).or_default();
            *tickets += 1;
            *first_right += u64::from(first == truth);
            *second_right += u64::from(second == truth);
        }
    }

    fn finish(self) -> FieldComparison {
        let Self { field, counts, tickets, guessed: [first, second], changes } = self;
        let names: BTreeSet<&String> = tickets.keys().chain(first.keys()).chain(second.keys()).collect();
        let of =
            |label: &String, guessed: &HashMap<String, LabelCounts>| guessed.get(label).copied().unwrap_or_default();
        let mut labels: Vec<LabelComparison> = names
            .into_iter()
            .map(|label| LabelComparison {
                label: label.clone(),
                tickets: tickets.get(label).copied().unwrap_or(0),
                first: of(label, &first),
                second: of(label, &second),
            })
            .collect();
        // Stable: labels of as many tickets stay in the order of their names.
        labels.sort_by_key(|label| std::cmp::Reverse(label.tickets));
        // In the order of their names first, so that the same tickets always give the same list.
        let changes: BTreeMap<(String, String), [u64; 3]> = changes.into_iter().collect();
        let mut changes: Vec<GuessChange> = changes
            .into_iter()
            .map(|((from, to), [tickets, first_right, second_right])| GuessChange {
                from,
                to,
                tickets,
                first_right,
                second_right,
            })
            .collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.tickets));
        let unlisted = changes.split_off(changes.len().min(MAX_CHANGES));
        let p_value = paired::p_value(counts.only_first_right, counts.only_second_right);
        let other_changes = unlisted.iter().map(|change| change.tickets).sum();
        FieldComparison { field, counts, p_value, labels, changes, other_changes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_right_is_counted_by_field_label_and_change() {
        let mut field = FieldCounting::new("topic".to_owned());
        for (truth, first, second) in [
            ("a", "a", "a"),
            ("a", "a", "b"),
            ("b", "a", "b"),
            ("b", "a", "b"),
            ("c", "a", "b"),
            ("c", "c", "b"),
            ("b", "b", "b"),
        ] {
            field.add(truth, first, second);
        }
        let found = field.finish();
        let expected = PairCounts { both_right: 2, only_first_right: 2, only_second_right: 2, both_wrong: 1 };
        assert_eq!(found.counts, expected);
        assert!((found.p_value - 1.0).abs() < 1e-9);
        let order: Vec<_> = found.labels.iter().map(|label| (label.label.as_str(), label.tickets)).collect();
        assert_eq!(order, [("b", 3), ("a", 2), ("c", 2)]);
        let a = &found.labels[1];
        assert_eq!((a.first, a.second), (LabelCounts { guessed: 5, right: 2 }, LabelCounts { guessed: 1, right: 1 }));
        assert_eq!((a.first.precision(), a.second.recall(a.tickets)), (Some(0.4), Some(0.5)));
        let c = &found.labels[2];
        assert_eq!((c.second.precision(), c.second.recall(c.tickets)), (None, Some(0.0)));
        let changes: Vec<_> = found
            .changes
            .iter()
            .map(|change| (&*change.from, &*change.to, change.tickets, change.second_right))
            .collect();
        assert_eq!(changes, [("a", "b", 4, 2), ("c", "b", 1, 0)]);
        assert_eq!(found.changes[0].first_right, 1);
    }

    #[test]
    fn what_a_model_learnt_from_is_known_by_text_or_by_when_it_came() {
        let mut texts: Vec<u64> = ["VPN drops", "toner"].map(|text| short_hash(text_hash(text))).into();
        texts.sort_unstable();
        let learnt = Learnt::Texts(texts);
        assert!(learnt.may_hold("vpn  DROPS", 99) && !learnt.may_hold("vpn slow", 1));
        let imported = Learnt::Before(7);
        assert!(imported.may_hold("x", 7) && !imported.may_hold("x", 8));
        assert!(!Learnt::Texts(Vec::new()).may_hold("x", 1));
    }
}
