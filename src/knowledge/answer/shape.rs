//! What may be shown together: a few sentences, or a list with what announces it, from its first item on.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    lines,
    sections::{Form, Part, Unit},
};
use crate::{
    domain::answer::AnswerPassage,
    knowledge::passage::{self, WantedTerms},
};

/// Fewer words are given the next sentence to go with them.
const MIN_WORDS: usize = 16;
const MAX_WORDS: usize = AnswerPassage::MAX_WORDS;
/// A word takes no more bytes as words are counted.
const MAX_WORD_BYTES: usize = 12;

/// By what it is known whether it was shown before.
pub(super) fn hash(unit: &Unit) -> u64 {
    xxh3_64(unit.text.as_bytes())
}

/// Some units of a part in a row.
#[derive(Debug)]
pub(super) struct Stretch<'a> {
    part: &'a Part,
    range: Range<usize>,
}

impl<'a> Stretch<'a> {
    /// The one that begins with this unit; `None` where nothing worth showing begins there.
    pub(super) fn from(part: &'a Part, start: usize) -> Option<Self> {
        let units = &part.units;
        let announces = |unit: &Unit| is_sentence(unit) && lines::is_lead_in(&unit.text) && unit.words <= MAX_WORDS;
        let mut end = start;
        let mut words = 0;
        while let Some(unit) = units.get(end) {
            let before = end.checked_sub(1).map(|before| &units[before]);
            let is_announced = before.is_some_and(announces);
            if is_sentence(unit) {
                // Steps are what a section is opened for.
                let announces_steps = || announces(unit) && units.get(end + 1).is_some_and(is_steps);
                let goes_on = is_announced || (start == 0 && announces_steps());
                let is_enough = end > start && words >= MIN_WORDS && !goes_on;
                if is_enough || (end > start && words + unit.words > MAX_WORDS) {
                    break;
                }
                words += unit.words;
                end += 1;
                continue;
            }
            // A list and what announces it belong together.
            if end == start && is_announced {
                return None;
            }
            let is_opening = start == 0 && (words < MIN_WORDS || is_steps(unit));
            if end == start || is_announced || is_opening {
                end += 1;
            }
            break;
        }
        // What was to come is not there or has no room.
        while end > start && is_sentence(&units[end - 1]) && lines::is_lead_in(&units[end - 1].text) {
            end -= 1;
        }
        (start < end).then_some(Self { part, range: start..end })
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    fn units(&self) -> &'a [Unit] {
        &self.part.units[self.range.clone()]
    }

    pub(super) fn first(&self) -> &'a Unit {
        &self.part.units[self.range.start]
    }

    pub(super) fn words(&self) -> usize {
        self.units().iter().map(|unit| unit.words).sum()
    }

    pub(super) fn has_steps(&self) -> bool {
        self.units().last().is_some_and(is_steps)
    }

    /// Of its units, without a sentence that announces a list or code.
    pub(super) fn hashes(&self) -> Vec<u64> {
        let announced =
            self.units().last().filter(|last| !is_sentence(last)).map_or(usize::MAX, |_| self.range.len() - 1);
        let is_lead_in = |place: usize, unit: &Unit| place + 1 == announced && lines::is_lead_in(&unit.text);
        let units = self.units().iter().enumerate().filter(|(place, unit)| !is_lead_in(*place, unit));
        let mut hashes: Vec<u64> = units.map(|(_, unit)| hash(unit)).collect();
        // An article may say the same twice.
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    pub(super) fn passage(&self, wanted: &WantedTerms) -> AnswerPassage {
        let mut passage = AnswerPassage {
            section: self.part.section,
            heading: self.part.heading.clone(),
            ..AnswerPassage::default()
        };
        for unit in self.units() {
            match &unit.form {
                Form::Sentence => {
                    let room = MAX_WORDS.saturating_sub(lines::count_words(&passage.text));
                    let shown = if passage.text.is_empty() { cut_words(&unit.text, room) } else { &unit.text };
                    passage.truncated |= shown.len() < unit.text.len();
                    append(&mut passage.text, shown, unit.begins_line);
                }
                Form::Code => {
                    let shown = cut_lines(&unit.text, AnswerPassage::MAX_CODE_BYTES);
                    passage.truncated |= shown.len() < unit.text.len();
                    append(&mut passage.text, shown, true);
                }
                Form::List { items, goes_on, .. } => {
                    passage.introduction.clone_from(&passage.text);
                    passage.truncated |= *goes_on;
                    passage.truncated |= add_steps(&mut passage.steps, items);
                    passage.steps.iter().for_each(|step| append(&mut passage.text, step, true));
                }
            }
        }
        let matches = passage::matches(&passage.text, wanted);
        passage.highlights = passage::highlights(&matches, 0..passage.text.len());
        passage
    }
}

fn is_steps(unit: &Unit) -> bool {
    matches!(unit.form, Form::List { is_steps: true, .. })
}

fn is_sentence(unit: &Unit) -> bool {
    unit.form == Form::Sentence
}

fn append(text: &mut String, more: &str, begins_line: bool) {
    if !text.is_empty() {
        text.push(if begins_line { '\n' } else { ' ' });
    }
    text.push_str(more);
}

/// Adds as many items as may be shown; whether that is not all of them.
fn add_steps(steps: &mut Vec<String>, items: &[String]) -> bool {
    let mut room = AnswerPassage::MAX_STEPS_BYTES;
    for item in items.iter().take(AnswerPassage::MAX_STEPS) {
        if item.len() > room {
            // Half a step is worse than a step less.
            if steps.is_empty() {
                steps.push(cut_lines(item, room).to_owned());
            }
            return true;
        }
        room -= item.len();
        steps.push(item.clone());
    }
    items.len() > AnswerPassage::MAX_STEPS
}

/// Whole words up to a number of them.
fn cut_words(text: &str, words: usize) -> &str {
    if lines::count_words(text) <= words {
        return text;
    }
    let limit = text.floor_char_boundary(words * MAX_WORD_BYTES);
    let blanks = text.match_indices(char::is_whitespace).map(|(blank, _)| blank);
    let mut word_ends = blanks.filter(|blank| !text[..*blank].ends_with(char::is_whitespace));
    let end = word_ends.by_ref().take(words).take_while(|end| *end <= limit).last();
    text[..end.unwrap_or(limit)].trim_end()
}

/// Whole lines up to a number of bytes; whole words of the first one, where it is longer.
fn cut_lines(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let start = &text[..text.floor_char_boundary(bytes)];
    let end = start.rfind('\n').or_else(|| start.rfind(char::is_whitespace)).unwrap_or(start.len());
    start[..end].trim_end()
}
