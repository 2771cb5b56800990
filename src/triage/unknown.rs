//! Values of resolved tickets that neither the model nor the taxonomy knows: they are kept, and told, so that a misspelt
//! label is seen. What is told is bounded, however many there are.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::AddAssign,
};

use super::Triager;
use crate::domain::taxonomy::{IMPACT, URGENCY};

/// Different values that are counted; of more, those that came first.
const MAX_COUNTED: usize = 1_000;
/// Different values that are told, of a field and in all.
const MAX_TOLD_A_FIELD: usize = 10;
const MAX_TOLD: usize = 100;

/// A value that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownValue {
    pub field: String,
    pub value: String,
    /// How many tickets have it.
    pub tickets: u64,
}

/// Values that nobody knows, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownValues(BTreeMap<(String, String), u64>);

impl UnknownValues {
    /// By field in the order of their names, the most frequent first: at most 10 a field and 100 in all.
    pub fn told(&self) -> Vec<UnknownValue> {
        let mut by_field: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
        for ((field, value), tickets) in &self.0 {
            by_field.entry(field).or_default().push((*tickets, value));
        }
        let told = by_field.into_iter().flat_map(|(field, mut values)| {
            // Stable: of as many tickets, in the order of their names.
            values.sort_by_key(|(tickets, _)| std::cmp::Reverse(*tickets));
            values.truncate(MAX_TOLD_A_FIELD);
            let told = |(tickets, value): (u64, &str)| UnknownValue {
                field: field.to_owned(),
                value: value.to_owned(),
                tickets,
            };
            values.into_iter().map(told).collect::<Vec<_>>()
        });
        told.take(MAX_TOLD).collect()
    }

    pub(super) fn add(&mut self, unknown: UnknownValue) {
        let UnknownValue { field, value, tickets } = unknown;
        let (place, is_full) = ((field, value), self.0.len() >= MAX_COUNTED);
        match self.0.get_mut(&place) {
            Some(count) => *count += tickets,
            None if is_full => {}
            None => _ = self.0.insert(place, tickets),
        }
    }
}

impl FromIterator<UnknownValue> for UnknownValues {
    fn from_iter<I: IntoIterator<Item = UnknownValue>>(values: I) -> Self {
        let mut unknown = Self::default();
        values.into_iter().for_each(|value| unknown.add(value));
        unknown
    }
}

impl AddAssign for UnknownValues {
    fn add_assign(&mut self, other: Self) {
        for ((field, value), tickets) in other.0 {
            self.add(UnknownValue { field, value, tickets });
        }
    }
}

/// What model and taxonomy know, by field.
pub(super) struct KnownValues(HashMap<String, HashSet<String>>);

impl KnownValues {
    pub(super) fn knows(&self, field: &str, value: &str) -> bool {
        // Levels are checked before: there are no others.
        matches!(field, IMPACT | URGENCY) || self.0.get(field).is_some_and(|values| values.contains(value))
    }
}

impl Triager {
    /// Every value that the model may propose or the taxonomy lists, under the name it has now; retired ones too.
    pub(super) fn known_values(&self) -> KnownValues {
        let mut known: HashMap<String, HashSet<String>> = HashMap::new();
        let mut add = |field: &str, value: &str| {
            let value = self.taxonomy.names(field).renamed(value).to_owned();
            known.entry(field.to_owned()).or_default().insert(value);
        };
        for field in self.classifier.fields() {
            for label in &field.labels {
                add(&field.name, label);
            }
        }
        let fields = self.fields();
        let proposed = fields.iter().map(|field| (&field.name, &field.labels));
        for (field, labels) in proposed.chain(&self.taxonomy.fields).chain(&self.taxonomy.retired) {
            for label in labels {
                add(field, &label.value);
            }
        }
        KnownValues(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(field: &str, value: &str, tickets: u64) -> UnknownValue {
        UnknownValue { field: field.to_owned(), value: value.to_owned(), tickets }
    }

    #[test]
    fn the_most_frequent_of_each_field_are_told() {
        let mut all: UnknownValues =
            [unknown("b", "x", 1), unknown("a", "y", 2), unknown("a", "x", 2)].into_iter().collect();
        all += [unknown("a", "z", 1), unknown("b", "x", 4), unknown("a", "z", 3)].into_iter().collect();
        assert_eq!(
            all.told(),
            [unknown("a", "z", 4), unknown("a", "x", 2), unknown("a", "y", 2), unknown("b", "x", 5)]
        );
    }

    #[test]
    fn what_is_counted_and_told_is_bounded() {
        let value = |number: u64| unknown(&format!("{:02}", number % 50), &format!("{number:05}"), 1);
        let mut many: UnknownValues = (0..5_000).map(value).collect();
        assert_eq!((many.0.len(), many.told().len()), (MAX_COUNTED, MAX_TOLD));
        many += (0..5_000).map(value).collect();
        assert_eq!((many.0.len(), many.told()[0].tickets), (MAX_COUNTED, 2));
        let of_one = many.told().iter().filter(|value| value.field == "00").count();
        assert_eq!(of_one, MAX_TOLD_A_FIELD);
    }
}
