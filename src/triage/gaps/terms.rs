//! The words and phrases that tell some tickets from all the others, as people wrote them: what a new article should
//! hold, so that it is found.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{Vocabulary, hash, tells};
use crate::knowledge::{language::Language, words::Terms};

/// A word stands in at least so many of the tickets, and in this part of them.
const MIN_TICKETS: u32 = 2;
const MIN_SHARE: f64 = 0.2;
/// Two words that stand side by side in this part of the tickets that hold one of them are a phrase.
const PHRASE_SHARE: f64 = 0.5;
/// Of two equally telling the phrase says more.
const PHRASE_BONUS: f64 = 1.1;
/// Longer stretches are not shown.
const MAX_CHARS: usize = 60;

/// How often something stands in the tickets, and how it is written.
#[derive(Debug, Default)]
struct Found {
    tickets: u32,
    written: BTreeMap<String, u32>,
}

impl Found {
    /// As most people write it.
    fn as_written(&self) -> &str {
        let most = self.written.iter().max_by(|(a, a_times), (b, b_times)| a_times.cmp(b_times).then_with(|| b.cmp(a)));
        most.map_or("", |(written, _)| written)
    }
}

/// The terms of these texts, which are plain, most telling first; at most `limit`. The vocabulary counts all tickets,
/// these included.
pub(super) fn telling(texts: &[String], vocabulary: &Vocabulary, limit: usize) -> Vec<String> {
    let (mut words, mut pairs) = (BTreeMap::<String, Found>::new(), BTreeMap::<(String, String), Found>::new());
    for text in texts {
        read(text, &mut words, &mut pairs);
    }
    let tickets = u32::try_from(texts.len()).unwrap_or(u32::MAX);
    let score = |(term, found): (&String, &Found)| {
        let score = weight(found.tickets, tickets, vocabulary.found(hash(term)), vocabulary.tickets());
        (score > 0.0).then(|| (term.clone(), score))
    };
    let scores: BTreeMap<String, f64> = words.iter().filter_map(score).collect();
    let (mut listed, mut spoken_for) = (Vec::new(), BTreeSet::new());
    for ((first, second), found) in &pairs {
        let parts = [first, second].map(|term| words.get(term).map_or(0, |found| found.tickets));
        let of_rarer = f64::from(found.tickets) / f64::from(parts[0].min(parts[1]).max(1));
        let best = [first, second].iter().filter_map(|term| scores.get(*term)).copied().fold(0.0, f64::max);
        if found.tickets < MIN_TICKETS || of_rarer < PHRASE_SHARE || best <= 0.0 {
            continue;
        }
        // By how much of the tickets say it, so that the rarer of two phrases with one word stands behind.
        let share = f64::from(found.tickets) / f64::from(parts[0].max(parts[1]).max(1));
        listed.push((best * PHRASE_BONUS * share.sqrt(), found.as_written()));
        for (term, of_part) in [first, second].into_iter().zip(parts) {
            if f64::from(found.tickets) >= PHRASE_SHARE * f64::from(of_part) {
                spoken_for.insert(term);
            }
        }
    }
    let alone = scores.iter().filter(|(term, _)| !spoken_for.contains(term));
    listed.extend(alone.filter_map(|(term, score)| Some((*score, words.get(term)?.as_written()))));
    listed.sort_by(|(a, a_text), (b, b_text)| b.total_cmp(a).then_with(|| a_text.cmp(b_text)));
    let mut terms: Vec<String> = Vec::new();
    for (_, text) in listed {
        let is_new = |known: &String| known.to_lowercase() != text.to_lowercase();
        if terms.len() < limit && terms.iter().all(is_new) {
            terms.push(text.to_owned());
        }
    }
    terms
}

/// The part of the tickets that hold a word, times the logarithm of how much likelier it is there than elsewhere; 0 for
/// what says nothing.
fn weight(here: u32, tickets: u32, everywhere: u32, all: u32) -> f64 {
    let [here_count, tickets, everywhere, all] = [here, tickets, everywhere, all].map(f64::from);
    let share = here_count / tickets.max(1.0);
    if here < MIN_TICKETS || share < MIN_SHARE {
        return 0.0;
    }
    let elsewhere = (everywhere - here_count).max(0.0);
    let others = (all - tickets - elsewhere).max(0.0);
    let odds = ((here_count + 0.5) / (tickets - here_count + 0.5)).ln() - ((elsewhere + 0.5) / (others + 0.5)).ln();
    share * odds.max(0.0)
}

/// Counts the words of one text, and those that stand side by side.
fn read(text: &str, words: &mut BTreeMap<String, Found>, pairs: &mut BTreeMap<(String, String), Found>) {
    let language = Language::of(text);
    let (mut seen_words, mut seen_pairs) = (BTreeSet::new(), BTreeSet::new());
    let mut last: Option<(String, std::ops::Range<usize>)> = None;
    let mut terms = Terms::new(text);
    while let Some((term, bytes)) = terms.next_term() {
        // The parts of a compound follow it and lie in it.
        if last.as_ref().is_some_and(|(_, last)| bytes.start < last.end) {
            continue;
        }
        if !tells(term, language) || text[bytes.clone()].chars().count() > MAX_CHARS {
            last = None;
            continue;
        }
        let found = words.entry(term.to_owned()).or_default();
        found.tickets += u32::from(seen_words.insert(term.to_owned()));
        *found.written.entry(text[bytes.clone()].to_owned()).or_default() += 1;
        if let Some((before, place)) = last {
            let between = &text[place.end..bytes.start];
            let stretch = &text[place.start..bytes.end];
            let is_phrase = !between.contains('\n')
                && between.chars().all(|character| character.is_whitespace() || character == '-')
                && before != term
                && stretch.chars().count() <= MAX_CHARS;
            if is_phrase {
                let pair = (before, term.to_owned());
                let found = pairs.entry(pair.clone()).or_default();
                found.tickets += u32::from(seen_pairs.insert(pair));
                let written = stretch.split_whitespace().collect::<Vec<_>>().join(" ");
                *found.written.entry(written).or_default() += 1;
            }
        }
        last = Some((term.to_owned(), bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::text::Reading, *};
    use crate::{domain::memory::ConfirmedTicket, encode::Redactor};

    fn check(here: &[&str], elsewhere: &[&str], expected: &[&str]) {
        let mut vocabulary = Vocabulary::default();
        for text in here.iter().chain(elsewhere) {
            let ticket = ConfirmedTicket { summary: (*text).to_owned(), ..ConfirmedTicket::default() };
            vocabulary.add(&Reading::of(&ticket, &Redactor::default()));
        }
        let texts: Vec<String> = here.iter().map(ToString::to_string).collect();
        assert_eq!(telling(&texts, &vocabulary, 4), expected, "{here:?}");
    }

    #[test]
    fn words_stand_as_most_people_wrote_them_and_those_of_all_tickets_do_not() {
        let elsewhere = ["the printer jams", "printer needs toner", "my printer is offline", "VPN drops", "new mouse"];
        check(
            &["Badge reader blinks", "badge readers do not open", "the Badge reader is dead, printer too"],
            &elsewhere,
            &["Badge reader"],
        );
        check(
            &["Error 809 on VPN", "VPN gives error 809", "809 again"],
            &["VPN drops", "VPN is slow", "VPN wanted", "printer jams", "toner"],
            &["809", "VPN"],
        );
        check(&[], &elsewhere, &[]);
        check(&["scanner", "mouse", "toner"], &elsewhere, &[]);
    }

    #[test]
    fn words_without_a_subject_are_no_terms_in_any_language() {
        check(
            &["der Drucker auf dem Flur ist kaputt", "kein Drucker auf dem Flur", "Drucker im Flur nicht da"],
            &["das Notebook ist nicht da", "mein Telefon ist kaputt", "der Zugang ist nicht da"],
            &["Drucker", "Flur"],
        );
    }
}
