//! The passage of an answer: which stretch of an article answers a question. It says nothing of whether the article is
//! the right one. What a section is for decides most, then where it stands, then the question's words.
//!
//! The values were set on public technical questions with the sentences that answer them, all but the kinds of sections
//! are worth a question or two in a hundred.

mod asked;
mod blocks;
mod flattened;
mod kinds;
mod lines;
mod sections;
mod shape;

use std::collections::HashSet;

use tantivy::TantivyError;

pub(super) use self::asked::Aim;
use self::{
    asked::{Asked, TermSet},
    kinds::Kind,
    sections::{Part, Unit},
    shape::Stretch,
};
use super::{
    evidence::Candidates,
    rank,
    schema::Fields,
    snapshot::Snapshot,
    texts::{self, IndexedText},
    words::Terms,
};
use crate::domain::{answer::AnswerPassage, known_error::Section};

/// Of the cause of a known error for those who ask why.
const TYPED_CAUSE: f32 = 1.5;
const FIRST_OF_SECTION: f32 = 0.3;
/// A workaround helps at once.
const FRESH_WORKAROUND: f32 = 1.0;
const OVERLAP: f32 = 0.5;
/// In a long section the words have to find the place.
const LONG_OVERLAP: f32 = 1.0;
const LONG_SECTION_WORDS: usize = 150;
const LATE: f32 = 0.3;
const TELLS_TO_DO: f32 = 0.15;
const PREAMBLE: f32 = 0.2;
/// A few words say little, a row of a table without the others too.
const SHORT: f32 = 0.5;
const SHORT_WORDS: usize = 8;
/// A heading in the question's words: the author has said that this answers it.
const NAMED_HEADING: f32 = 1.0;
const NAMED_FLATTENED: f32 = 1.3;
/// A heading of few common words must not count as asked for too soon.
const HEADING_PRIOR: f32 = 2.0;
/// What something is, for those who did not ask it.
const EXPLANATION: f32 = 0.3;
/// A step that follows from others.
const LATER_STEP: f32 = 0.5;

/// What an article answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    pub text: IndexedText,
    pub passage: AnswerPassage,
    /// Hashes of the passage's sentences and blocks of code, and of its list as a whole: two lists may begin alike. A
    /// sentence that only announces a list or code is none, since many lists have the same.
    pub units: Vec<u64>,
}

/// See [`super::KnowledgeView::answer`].
pub(super) fn of_article(
    snapshot: &Snapshot,
    fields: &Fields,
    candidates: &Candidates,
    id: &str,
    shown: &HashSet<u64>,
) -> Result<Option<Answered>, TantivyError> {
    let Some(text) = texts::of_article(snapshot, fields, id)? else { return Ok(None) };
    let question = Asked::new(&candidates.terms, candidates.aim, snapshot.documents());
    let parts = sections::of(&text);
    let rarity = |term: &str| {
        let hash = xxhash_rust::xxh3::xxh3_64(term.as_bytes());
        let found = snapshot.segments.iter().filter_map(|segment| segment.term_info(hash));
        rank::inverse_document_frequency(found.map(|info| info.doc_freq).sum(), snapshot.documents())
    };
    let best = best(&parts, &question, &rarity, shown);
    Ok(best.map(|stretch| {
        let (passage, units) = (stretch.passage(&question.wanted), stretch.hashes());
        Answered { text, passage, units }
    }))
}

/// The stretch that answers best; the first of equals.
fn best<'a>(
    parts: &'a [Part],
    question: &Asked,
    rarity: &dyn Fn(&str) -> f32,
    shown: &HashSet<u64>,
) -> Option<Stretch<'a>> {
    let was_shown = |unit: &Unit| shown.contains(&shape::hash(unit));
    let is_fresh = shown.is_empty() || !parts.iter().flat_map(|part| &part.units).any(was_shown);
    let all_units: usize = parts.iter().map(|part| part.units.len()).sum();
    let mut before = 0;
    let mut best: Option<(f32, Stretch<'a>)> = None;
    for part in parts {
        let base = value_of_part(part, question, rarity) + fresh_workaround(part, question, &was_shown);
        let words: usize = part.units.iter().map(|unit| unit.words).sum();
        let of_overlap = if words > LONG_SECTION_WORDS { LONG_OVERLAP } else { OVERLAP };
        let terms: Vec<TermSet> = part.units.iter().map(|unit| question.terms_in(&unit.text)).collect();
        let mut is_first = true;
        for start in 0..part.units.len() {
            let Some(stretch) = Stretch::from(part, start) else { continue };
            let shared = terms[stretch.range()].iter().fold(TermSet::default(), |all, terms| all.with(*terms));
            let mut value = base + of_overlap * question.overlap(shared) - LATE * share(before + start, all_units);
            value += value_of_form(&stretch);
            let is_preamble = lines::is_preamble(&stretch.first().text);
            if is_preamble {
                value -= PREAMBLE;
            }
            if is_first && part.kind != Kind::Other {
                value += FIRST_OF_SECTION;
            }
            is_first = is_first && is_preamble;
            // Whoever has refused something is not given the question back.
            let says_something = !(is_preamble || matches!(part.kind, Kind::Restating | Kind::Footer));
            let is_worth = is_fresh || (value > 0.0 && says_something);
            let is_better = best.as_ref().is_none_or(|(most, _)| value > *most);
            if is_worth && is_better && !stretch.hashes().iter().any(|hash| shown.contains(hash)) {
                best = Some((value, stretch));
            }
        }
        before += part.units.len();
    }
    best.map(|(_, stretch)| stretch)
}

fn value_of_part(part: &Part, question: &Asked, rarity: &dyn Fn(&str) -> f32) -> f32 {
    let of_kind = match part.kind {
        Kind::Answering => 1.0,
        // Many who ask why want help: only where an author has set the cause apart, it goes before what helps.
        Kind::Cause if question.aim == Aim::Cause && part.section.is_some() => TYPED_CAUSE,
        Kind::Cause if question.aim == Aim::Cause => 1.0,
        Kind::Cause | Kind::Half => 0.5,
        Kind::Other => 0.3,
        Kind::Restating => -0.3,
        Kind::Footer => -1.0,
    };
    if part.is_flattened {
        let is_open = matches!(part.kind, Kind::Half | Kind::Other);
        let is_named = is_open && flattened::names(part.heading.as_str(), &question.stems);
        return if is_named { NAMED_FLATTENED } else { of_kind };
    }
    let (mut shared, mut all) = (0.0, HEADING_PRIOR);
    let mut terms = Terms::new(&part.heading);
    while let Some((term, _)) = terms.next_term() {
        let rarity = rarity(term);
        all += rarity;
        if question.wanted.contains(term) {
            shared += rarity;
        }
    }
    let mut value = of_kind + NAMED_HEADING * shared / all;
    if kinds::is_later_step(&part.heading) {
        value -= LATER_STEP;
    }
    if question.aim != Aim::Explanation && kinds::explains(&part.heading) {
        value -= EXPLANATION;
    }
    value
}

/// The workaround of a known error goes before its fix until it was shown.
fn fresh_workaround(part: &Part, question: &Asked, was_shown: &dyn Fn(&Unit) -> bool) -> f32 {
    let is_workaround = part.section == Some(Section::Workaround);
    if is_workaround && question.aim != Aim::Cause && !part.units.iter().any(was_shown) {
        FRESH_WORKAROUND
    } else {
        0.0
    }
}

fn value_of_form(stretch: &Stretch<'_>) -> f32 {
    let first = stretch.first();
    let mut value = 0.0;
    if stretch.has_steps() || lines::is_imperative(&first.text) {
        value += TELLS_TO_DO;
    }
    if stretch.words() < SHORT_WORDS || lines::is_row(&first.text) {
        value -= SHORT;
    }
    value
}

#[expect(clippy::cast_precision_loss, reason = "units of a text of some KiB")]
fn share(part: usize, all: usize) -> f32 {
    part as f32 / all.max(1) as f32
}

#[cfg(test)]
mod tests;
