//! What confirmed tickets say about the labels of another: the nearest ones with the labels they have and who said so,
//! and how like a text is to all tickets of a label. What follows from that is decided above.

use super::{
    MemoryView, bag,
    experience::Own,
    neighbours::{self, Near, Others, Wanted},
};
use crate::{domain::memory::Voice, encode::TextVector, knowledge::IndexError};

/// So many tickets are compared with the text, the best by BM25.
const CANDIDATES: usize = 64;
/// So many speak: fewer suit a desk with many labels, more one with few, on streams of real tickets.
const WITNESSES: usize = 20;
/// Stands between the parts of a value; no field, label or source holds it, see [`encode`].
const SEPARATOR: char = '\u{1f}';
const CORRECTED: &str = "corrected";
const ACCEPTED: &str = "accepted";

/// What the memory says about the labels of a text.
pub(crate) struct LabelVotes<'a> {
    view: &'a MemoryView<'a>,
    /// Most alike first.
    pub witnesses: Vec<Witness<'a>>,
    own: Option<Own>,
}

/// A confirmed ticket that is like the text.
pub(crate) struct Witness<'a> {
    pub id: &'a str,
    /// More than 0, at most 1.
    pub similarity: f32,
    pub labels: Vec<Said<'a>>,
}

/// A label that a confirmed ticket has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said<'a> {
    pub field: &'a str,
    pub label: &'a str,
    /// Who said so; empty where it came with the ticket.
    pub source: &'a str,
    /// Something else had been proposed.
    pub corrected: bool,
}

/// One label of a ticket as a value of the index's column.
pub(super) fn encode(field: &str, label: &str, voice: Option<&Voice>) -> String {
    let clean = |text: &str| text.replace(SEPARATOR, " ");
    let mut value = clean(field);
    value.push(SEPARATOR);
    value.push_str(&clean(label));
    if let Some(Voice { source, corrected }) = voice {
        for part in [if *corrected { CORRECTED } else { ACCEPTED }, &clean(source)] {
            value.push(SEPARATOR);
            value.push_str(part);
        }
    }
    value
}

fn decode(value: &str) -> Option<Said<'_>> {
    let mut parts = value.splitn(4, SEPARATOR);
    let (field, label) = (parts.next()?, parts.next()?);
    let corrected = parts.next() == Some(CORRECTED);
    Some(Said { field, label, source: parts.next().unwrap_or_default(), corrected })
}

/// Field and label of a value, whoever said so.
pub(super) fn key(value: &str) -> &str {
    let second = value.match_indices(SEPARATOR).nth(1);
    second.map_or(value, |(end, _)| &value[..end])
}

impl MemoryView<'_> {
    /// Whether a confirmed ticket has this label.
    pub(crate) fn has_label(&self, field: &str, label: &str) -> bool {
        let key = encode(field, label, None);
        self.snapshot.labelled.likeness(&key, &TextVector::default(), None).is_some()
    }

    /// What confirmed tickets say about the labels of a ticket with this text, the one of the id `leave_out` left out.
    /// The text is plain.
    pub(crate) fn label_votes(&self, text: &str, leave_out: &str) -> Result<LabelVotes<'_>, IndexError> {
        let failed = |error| self.memory.index.error(error);
        let mut votes = LabelVotes { view: self, witnesses: Vec::new(), own: None };
        if self.snapshot.labelled.is_empty() {
            return Ok(votes);
        }
        let others = Others::new(&self.snapshot, self.memory.index.fields(), leave_out).map_err(failed)?;
        let words = bag::words(text);
        let near = neighbours::nearest(&others, &words, Wanted::Labelled, CANDIDATES, WITNESSES).map_err(failed)?;
        for Near { id, segment, document, similarity } in near {
            let labels = segment.labels(document).filter_map(decode).collect();
            votes.witnesses.push(Witness { id, similarity, labels });
        }
        votes.own = others.own_labels().map_err(failed)?;
        Ok(votes)
    }
}

impl LabelVotes<'_> {
    /// Cosine of a text and all tickets that have the label, and how many these are; `None` where there are none.
    pub(crate) fn likeness(&self, field: &str, label: &str, vector: &TextVector) -> Option<(f32, u32)> {
        let key = encode(field, label, None);
        self.view.snapshot.labelled.likeness(&key, vector, self.own.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_back_with_who_said_so() {
        let voice = |source: &str, corrected| Voice { source: source.into(), corrected };
        for (field, label, voice) in [
            ("category", "network/vpn", None),
            ("category", "network/vpn", Some(voice("ann", true))),
            ("type", "incident", Some(voice("", false))),
        ] {
            let value = encode(field, label, voice.as_ref());
            let (source, corrected) = voice.as_ref().map_or(("", false), |one| (&one.source, one.corrected));
            assert_eq!(decode(&value), Some(Said { field, label, source, corrected }));
            assert_eq!(key(&value), encode(field, label, None));
        }
        let odd = encode("a\u{1f}b", "c\u{1f}d", None);
        assert_eq!(decode(&odd).map(|said| (said.field, said.label)), Some(("a b", "c d")));
    }
}
