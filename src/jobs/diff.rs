//! What a job changes or would change, counted pair by pair: from which value to which, how sure, with some tickets to
//! look at. Bounded, whatever the labels.

use std::collections::HashMap;

use super::specification::is_at_or_below;
use crate::domain::job::{FieldResult, TicketResult};

/// Tickets named a pair.
const EXAMPLES: usize = 3;
/// Pairs kept a field; further ones are counted together.
const MAX_PAIRS: usize = 10_000;

/// How sure the model is of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// 0.9 and above.
    High,
    /// From 0.7.
    Medium,
    /// Below.
    Low,
}

impl Band {
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The one that a confidence lies in.
    pub fn of(confidence: f32) -> Self {
        match confidence {
            0.9.. => Self::High,
            0.7.. => Self::Medium,
            _ => Self::Low,
        }
    }

    /// The least confidence in it, and that of the next one.
    pub fn bounds(self) -> (f32, f32) {
        match self {
            Self::High => (0.9, 1.0),
            Self::Medium => (0.7, 0.9),
            Self::Low => (0.0, 0.7),
        }
    }

    /// The confidences in it, for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "0.9-1.0",
            Self::Medium => "0.7-0.9",
            Self::Low => "0.0-0.7",
        }
    }
}

/// The changes of one field from one value to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairDiff {
    /// `None`: there was no value.
    pub from: Option<String>,
    pub to: String,
    pub tickets: u64,
    /// Tickets by band, in the order of [`Band::ALL`].
    pub bands: [u64; 3],
    /// Ids of the first tickets.
    pub examples: Vec<String>,
}

/// The changes of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDiff {
    pub field: String,
    pub changed: u64,
    /// Tickets whose value stays because the model proposes the same.
    pub confirmed: u64,
    pub abstained: u64,
    /// Most tickets first.
    pub pairs: Vec<PairDiff>,
    /// Changed tickets of pairs that are not listed.
    pub other_pairs: u64,
    /// Values that a filter asks for and no ticket has today, nor one below them.
    pub absent: Vec<String>,
}

/// The changes of a job, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    pub fields: Vec<FieldDiff>,
}

type Places = HashMap<(Option<String>, String), usize>;

/// Counts results as they come.
#[derive(Debug)]
pub(super) struct Counting {
    fields: Vec<(FieldDiff, Places)>,
}

impl Counting {
    /// Of each field, with the values that the filter asks for.
    pub(super) fn new(fields: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let empty = |(field, absent)| FieldDiff {
            field,
            changed: 0,
            confirmed: 0,
            abstained: 0,
            pairs: Vec::new(),
            other_pairs: 0,
            absent,
        };
        Self { fields: fields.into_iter().map(|field| (empty(field), Places::new())).collect() }
    }

    pub(super) fn add(&mut self, ticket: &TicketResult) {
        for ((diff, places), result) in self.fields.iter_mut().zip(&ticket.fields) {
            let FieldResult { current, value, confidence, abstention, changed } = result;
            if let Some(current) = current {
                diff.absent.retain(|asked| !is_at_or_below(current, asked));
            }
            diff.abstained += u64::from(abstention.is_some());
            diff.confirmed += u64::from(abstention.is_none() && current == value);
            let (true, Some(value)) = (*changed, value) else { continue };
            diff.changed += 1;
            let pair = (current.clone(), value.clone());
            let place = match places.get(&pair) {
                Some(place) => *place,
                None if diff.pairs.len() < MAX_PAIRS => {
                    let (from, to) = pair.clone();
                    diff.pairs.push(PairDiff { from, to, tickets: 0, bands: [0; 3], examples: Vec::new() });
                    places.insert(pair, diff.pairs.len() - 1);
                    diff.pairs.len() - 1
                }
                None => {
                    diff.other_pairs += 1;
                    continue;
                }
            };
            let pair = &mut diff.pairs[place];
            pair.tickets += 1;
            pair.bands[Band::of(*confidence) as usize] += 1;
            if pair.examples.len() < EXAMPLES {
                pair.examples.push(ticket.id.clone());
            }
        }
    }

    pub(super) fn finish(self) -> Diff {
        let sorted = |(mut diff, _): (FieldDiff, Places)| {
            diff.pairs.sort_by(|a, b| b.tickets.cmp(&a.tickets).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
            diff
        };
        Diff { fields: self.fields.into_iter().map(sorted).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Abstention;

    fn ticket(
        id: usize,
        current: Option<&str>,
        value: &str,
        confidence: f32,
        abstention: Option<Abstention>,
    ) -> TicketResult {
        let changed = abstention.is_none() && current != Some(value);
        let (current, value) = (current.map(str::to_owned), Some(value.to_owned()));
        let field = FieldResult { current, value, confidence, abstention, changed };
        TicketResult { id: id.to_string(), fields: vec![field], error: None }
    }

    #[test]
    fn changes_are_counted_by_pair_and_band() {
        let asked = ["mail", "hardware", "net"].map(str::to_owned).to_vec();
        let mut counting = Counting::new([("category".to_owned(), asked)]);
        let tickets = [
            (Some("mail"), "network", 0.95, None),
            (Some("mail"), "network", 0.9, None),
            (Some("mail"), "network", 0.89, None),
            (Some("mail"), "network", 0.2, None),
            (None, "network", 0.7, None),
            (Some("mail"), "mail", 0.99, None),
            (Some("hardware/printer"), "hardware/printer", 0.99, None),
            (Some("mail"), "network", 0.4, Some(Abstention::Ambiguous)),
        ];
        for (id, (current, value, confidence, abstention)) in tickets.into_iter().enumerate() {
            counting.add(&ticket(id, current, value, confidence, abstention));
        }
        counting.add(&TicketResult { id: "bad".into(), fields: Vec::new(), error: Some("bad".into()) });
        let Diff { fields } = counting.finish();
        let [FieldDiff { field, changed, confirmed, abstained, pairs, other_pairs, absent }] = &fields[..] else {
            panic!()
        };
        assert_eq!((field.as_str(), *changed, *confirmed, *abstained, *other_pairs), ("category", 5, 2, 1, 0));
        assert_eq!(absent, &["net"]);
        let pair = |from: Option<&str>, tickets, bands, examples: &[&str]| PairDiff {
            from: from.map(str::to_owned),
            to: "network".into(),
            tickets,
            bands,
            examples: examples.iter().map(|&id| id.to_owned()).collect(),
        };
        assert_eq!(pairs, &[pair(Some("mail"), 4, [2, 1, 1], &["0", "1", "2"]), pair(None, 1, [0, 1, 0], &["4"])]);
    }

    #[test]
    fn pairs_are_bounded_and_the_rest_is_counted() {
        let mut counting = Counting::new([("category".to_owned(), Vec::new())]);
        for id in 0..MAX_PAIRS + 5 {
            counting.add(&ticket(id, Some("mail"), &format!("c{id}"), 0.9, None));
        }
        let diff = counting.finish();
        assert_eq!((diff.fields[0].pairs.len(), diff.fields[0].other_pairs), (MAX_PAIRS, 5));
        assert_eq!(diff.fields[0].changed, MAX_PAIRS as u64 + 5);
    }
}
