//! The stretch of an article worth showing: it starts with a sentence and holds the most of what was asked for.

use std::ops::Range;

use super::{
    markdown,
    word_map::WordMap,
    words::{Beginnings, Terms},
};
use crate::domain::{article::Passage, known_error::Section};

/// A passage is cut behind this many bytes at the latest, and at a sentence where one ends before.
const MAX_BYTES: usize = 280;
/// A sentence that ends earlier than this is given the next one to go with it.
const MIN_BYTES: usize = 120;
const MAX_HEADING_BYTES: usize = 40;
/// How far back a passage may start to begin with a sentence.
const MAX_LEAD_BYTES: usize = 140;

/// What was asked for: each term with its weight.
#[derive(Debug)]
pub(crate) struct WantedTerms {
    /// Their numbers with their weights.
    terms: WordMap<(usize, f32)>,
    beginnings: Beginnings,
}

impl WantedTerms {
    pub(crate) fn new() -> Self {
        Self { terms: WordMap::with_capacity(0), beginnings: Beginnings::new() }
    }

    pub(crate) fn insert(&mut self, term: &str, weight: f32) {
        let number = self.terms.len();
        self.terms.insert(term, (number, weight));
        self.beginnings.insert(term);
    }

    pub(super) fn contains(&self, term: &str) -> bool {
        self.terms.contains(term)
    }
}

pub(super) struct Match {
    bytes: Range<usize>,
    /// Its number in the order in which terms were inserted.
    pub(super) term: usize,
    weight: f32,
}

/// The best passage of a plain text; its beginning where nothing matches.
pub(crate) fn best(text: &str, wanted: &WantedTerms) -> Passage {
    let matches = matches(text, wanted);
    let start = if text.len() <= MAX_BYTES { 0 } else { best_start(text, &matches, wanted.terms.len()) };
    cut(text, start, &matches)
}

/// The beginning of a section in Markdown: what is to be done is done from its first step on.
pub(crate) fn of_section(section: Section, markdown: &str, wanted: &WantedTerms) -> Passage {
    let text = markdown::read(markdown).text;
    Passage { section: Some(section), ..cut(&text, 0, &matches(&text, wanted)) }
}

pub(super) fn matches(text: &str, wanted: &WantedTerms) -> Vec<Match> {
    let mut matches = Vec::new();
    let mut terms = Terms::beginning_with(text, &wanted.beginnings);
    while let Some((term, bytes)) = terms.next_term() {
        if let Some(&(term, weight)) = wanted.terms.get(term) {
            matches.push(Match { bytes, term, weight });
        }
    }
    matches
}

/// Where the window that holds the heaviest different terms begins; the earliest of equals.
fn best_start(text: &str, matches: &[Match], terms: usize) -> usize {
    let (mut best, mut best_weight) = (0, 0.0);
    let mut last_start = usize::MAX;
    let mut seen = vec![usize::MAX; terms];
    for (number, first) in matches.iter().enumerate() {
        let start = sentence_start(text, first.bytes.start);
        if start == last_start {
            continue;
        }
        last_start = start;
        let mut weight = 0.0;
        for found in matches[number..].iter().take_while(|found| found.bytes.end <= start + MAX_BYTES) {
            if seen[found.term] != number {
                seen[found.term] = number;
                weight += found.weight;
            }
        }
        if weight > best_weight {
            (best, best_weight) = (start, weight);
        }
    }
    best
}

/// The start of the sentence or line around a place; a word's start where the sentence is long.
fn sentence_start(text: &str, place: usize) -> usize {
    let earliest = text.ceil_char_boundary(place.saturating_sub(MAX_LEAD_BYTES));
    let lead = &text[earliest..place];
    let sentence = sentence_end(lead);
    let offset = match sentence {
        Some(end) => end + 1,
        None if earliest == 0 => 0,
        None => lead.find(' ').map_or(lead.len(), |blank| blank + 1),
    };
    earliest + offset
}

/// Behind the last sentence or line that ends in a text.
fn sentence_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let ends =
        |place: &usize| bytes[*place] == b'\n' || bytes[*place] == b' ' && *place > 0 && bytes[*place - 1] == b'.';
    (0..bytes.len()).rev().find(ends)
}

fn cut(text: &str, start: usize, matches: &[Match]) -> Passage {
    let start = start + (text[start..].len() - text[start..].trim_start().len());
    let limit = text.floor_char_boundary(start.saturating_add(MAX_BYTES).min(text.len()));
    let mut end = limit;
    if limit < text.len() {
        let window = &text[start..limit];
        let sentence = sentence_end(window);
        end = match (sentence, window.rfind(' ')) {
            (Some(sentence), _) if sentence >= MIN_BYTES => start + sentence,
            (_, Some(blank)) if blank > 0 => start + blank,
            _ => limit,
        };
    }
    let mut shown = text[start..end].trim_end();
    if end < text.len() {
        shown = without_last_heading(shown);
    }
    let end = start + shown.len();
    let highlights = highlights(matches, start..end);
    Passage { text: shown.replace(['\n', '\t'], " "), highlights, section: None }
}

/// Where in a part of the text words were matched, counted from its beginning.
pub(super) fn highlights(matches: &[Match], part: Range<usize>) -> Vec<Range<usize>> {
    let mut highlights: Vec<Range<usize>> = Vec::new();
    for found in matches.iter().filter(|found| found.bytes.start >= part.start && found.bytes.end <= part.end) {
        let range = found.bytes.start - part.start..found.bytes.end - part.start;
        match highlights.last_mut() {
            // The parts of a compound lie in it.
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => highlights.push(range),
        }
    }
    highlights
}

/// A heading at the end promises what is no longer shown.
fn without_last_heading(shown: &str) -> &str {
    match shown.rsplit_once('\n') {
        Some((before, last)) if last.len() <= MAX_HEADING_BYTES && !last.ends_with(['.', '!', ':', ';', ')']) => {
            before.trim_end()
        }
        Some(_) | None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(text: &str, terms: &[(&str, f32)]) -> (String, Vec<String>) {
        let mut wanted = WantedTerms::new();
        for (term, weight) in terms {
            wanted.insert(term, *weight);
        }
        let passage = best(text, &wanted);
        let highlights = passage.highlights.iter().map(|range| passage.text[range.clone()].to_owned()).collect();
        (passage.text, highlights)
    }

    #[test]
    fn the_sentence_with_most_of_the_terms_is_shown() {
        let filler = "Nothing of interest stands in this sentence at all. ".repeat(12);
        let text =
            format!("{filler}A printer. {filler}The Printers' spooler gives 0x80070005 then.\nAnd more. {filler}");
        let (shown, marked) =
            passage(&text, &[("printer", 1.0), ("0x80070005", 4.0), ("80070005", 4.0), ("spooler", 2.0)]);
        assert!(shown.starts_with("The Printers' spooler gives 0x80070005 then. And more."), "{shown}");
        assert_eq!(marked, ["Printers", "spooler", "0x80070005"]);
        assert!((MIN_BYTES..=MAX_BYTES).contains(&shown.len()) && shown.ends_with('.'), "{shown}");
    }

    #[test]
    fn a_section_is_shown_from_its_first_step_on() {
        let mut wanted = WantedTerms::new();
        wanted.insert("spooler", 1.0);
        let steps = format!("1. Stop the **spooler**.\n{}", "2. Another step of some words.\n".repeat(30));
        let passage = of_section(Section::Workaround, &steps, &wanted);
        assert!(passage.text.starts_with("Stop the spooler. Another step of some words."), "{passage:?}");
        assert_eq!((&passage.highlights[0], passage.section), (&(9..16), Some(Section::Workaround)));
        assert!(passage.text.len() <= MAX_BYTES);
    }

    #[test]
    fn a_passage_does_not_end_with_a_heading() {
        let text = format!("Pull the paper out.\nCause\n{}", "An unbroken sentence ".repeat(30));
        assert_eq!(without_last_heading("Pull the paper out.\nCause"), "Pull the paper out.");
        assert_eq!(without_last_heading("Cause"), "Cause");
        assert!(passage(&text, &[("paper", 1.0)]).0.starts_with("Pull the paper out. Cause An unbroken"));
    }

    #[test]
    fn without_a_match_the_beginning_is_shown() {
        assert_eq!(passage("Just a text.", &[("printer", 1.0)]), ("Just a text.".into(), vec![]));
        assert_eq!(passage("", &[("printer", 1.0)]), (String::new(), vec![]));
    }

    #[test]
    fn a_text_without_sentences_or_blanks_is_cut_on_characters() {
        for unit in ["ä", "x", "词", "word ", "\n"] {
            for terms in [&[("printer", 1.0)][..], &[]] {
                let text = format!("{0}printer{0}", unit.repeat(400));
                let (shown, _) = passage(&text, terms);
                assert!(shown.len() <= MAX_BYTES, "{shown}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn highlights_are_in_order_and_inside(text in "([a-c]{1,4}[ .\nä-]{1,2}){0,200}") {
            let mut wanted = WantedTerms::new();
            for term in ["a", "bb", "abc", "ca", "cab"] {
                wanted.insert(term, 1.0);
            }
            let passage = best(&text, &wanted);
            let mut end = 0;
            for range in &passage.highlights {
                proptest::prop_assert!(range.start >= end && range.end > range.start);
                proptest::prop_assert!(passage.text.get(range.clone()).is_some());
                end = range.end;
            }
            proptest::prop_assert!(passage.text.len() <= MAX_BYTES);
        }
    }
}
