//! What a question is after, and which of its words stand in a sentence.

use std::collections::HashSet;

use super::{flattened, kinds};
use crate::knowledge::{
    passage::{self, WantedTerms},
    rank::{self, RankedTerm},
};

/// Of the question's words so many count, the rarest.
const MAX_OVERLAP_TERMS: usize = 12;
/// Where a question says what it is after.
const QUESTION_BYTES: usize = 400;

/// What a question is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    Help,
    Cause,
    Explanation,
}

impl Aim {
    /// By the words that a sentence at the beginning of the question begins with, or that say it anywhere.
    pub(crate) fn of(question: &str) -> Self {
        const WHY: [&str; 6] = ["why", "warum", "wieso", "weshalb", "pourquoi", "waarom"];
        const CAUSE: [&str; 3] = ["reason", "ursache", "oorzaak"];
        const OF_CAUSE: [&[&str]; 4] =
            [&["what", "is", "the", "cause"], &["what", "was", "the", "cause"], &["what", "causes"], &["por", "qué"]];
        let start = question[..question.floor_char_boundary(QUESTION_BYTES)].to_lowercase();
        let asks_why = |sentence: &str| {
            let words = sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let words: Vec<&str> = words.collect();
            words.first().is_some_and(|first| WHY.contains(first))
                || words.iter().any(|word| CAUSE.contains(word))
                || OF_CAUSE.iter().any(|phrase| words.windows(phrase.len()).any(|part| part == *phrase))
        };
        let mut sentences = start.split(['.', '?', '!', '\n']);
        if sentences.clone().any(asks_why) {
            Self::Cause
        } else if sentences.any(kinds::explains) {
            Self::Explanation
        } else {
            Self::Help
        }
    }
}

/// The question, ready to be looked for in many sentences.
pub(super) struct Asked {
    pub wanted: WantedTerms,
    /// The number of its term, by the number of the form in `wanted`.
    term_of_form: Vec<usize>,
    /// By the number of the term, rarest words highest.
    rarities: Vec<f32>,
    /// What sharing all words would be worth.
    all: f32,
    pub aim: Aim,
    /// Beginnings of its words.
    pub stems: HashSet<String>,
}

impl Asked {
    pub(super) fn new(terms: &[RankedTerm], aim: Aim, documents: u32) -> Self {
        let rarity = |term: &RankedTerm| {
            let found = term.postings.first().into_iter().flatten().flatten().map(|info| info.doc_freq).sum();
            rank::inverse_document_frequency(found, documents)
        };
        let words = terms.iter().map(|term| (term.forms.as_slice(), rarity(term)));
        Self::of_words(words, aim)
    }

    pub(super) fn of_words<'a>(words: impl Iterator<Item = (&'a [String], f32)>, aim: Aim) -> Self {
        let (mut wanted, mut term_of_form, mut rarities) = (WantedTerms::new(), Vec::new(), Vec::new());
        let mut stems = HashSet::new();
        for (forms, rarity) in words.take(TermSet::MAX_TERMS) {
            for form in forms {
                wanted.insert(form, rarity);
                term_of_form.push(rarities.len());
                stems.extend(flattened::stem(form));
            }
            rarities.push(rarity);
        }
        let mut rarest = rarities.clone();
        rarest.sort_unstable_by(|a, b| b.total_cmp(a));
        let all = 1.0 + rarest.iter().take(MAX_OVERLAP_TERMS).sum::<f32>();
        Self { wanted, term_of_form, rarities, all, aim, stems }
    }

    pub(super) fn terms_in(&self, text: &str) -> TermSet {
        let matches = passage::matches(text, &self.wanted);
        let terms = matches.iter().filter_map(|found| self.term_of_form.get(found.term));
        TermSet(terms.fold(0, |set, term| set | 1 << term))
    }

    pub(super) fn overlap(&self, terms: TermSet) -> f32 {
        let shared = self.rarities.iter().enumerate().filter(|(term, _)| terms.0 & (1 << term) != 0);
        shared.map(|(_, rarity)| rarity).sum::<f32>() / self.all
    }
}

/// Terms of the question by their numbers, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TermSet(u64);

impl TermSet {
    const MAX_TERMS: usize = 64;

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_say_what_they_are_after() {
        for (aim, questions) in [
            (Aim::Help, &["", "vpn fails", "I wonder why it fails", "What is", "how to share"][..]),
            (
                Aim::Cause,
                &["Why is it slow?", "It is slow. Why?", "what's the reason", "Pourquoi ça rame ?", "¿Por qué?"],
            ),
            (Aim::Explanation, &["What is threading?", "Hello!\nwhat are profiles", "Was ist ein Profil"]),
        ] {
            for question in questions {
                assert_eq!(Aim::of(question), aim, "{question}");
            }
        }
    }
}
