//! Lines and sentences: which line ends mean something, where a sentence ends, how it begins. By form, not by meaning.

use std::{ops::Range, sync::LazyLock};

use super::kinds;
use crate::knowledge::word_map::WordMap;

/// Nobody wraps shorter lines.
const MIN_WRAP_CHARS: usize = 40;
/// A line with more is not wrapped.
const MAX_WRAP_CHARS: usize = 120;
/// Longer lines are sentences.
const MAX_STEP_BYTES: usize = 300;
const MAX_HEADING_CHARS: usize = 70;

/// What sentences end with that ask nothing; a heading may be a question.
const SENTENCE_ENDS: [char; 4] = ['.', '!', '。', '！'];

/// What steps begin with.
const IMPERATIVES: &str = "open click select run set add install go navigate restart change check verify ensure make \
    create remove delete enter type download apply update upgrade follow start stop enable disable configure edit copy \
    contact obtain locate increase specify modify perform execute try replace uninstall reboot press choose \
    clear right-click double-click turn move tap sign log scroll find put look quit exit close connect disconnect expand \
    switch drag right unplug plug hold wait browse repeat do send reset öffne klicke wähle starte drücke gib prüfe warte melde \
    schließe trenne verbinde klik kies druk voer wacht sluit abra haga seleccione pulse reinicie escriba cierre";
static IMPERATIVE_SET: LazyLock<WordMap<()>> =
    LazyLock::new(|| IMPERATIVES.split_ascii_whitespace().map(|word| (word, ())).collect());
/// What a step may begin with between others.
const CONDITIONS: &str = "in from on at to if when under once after next then note wenn falls im in unter auf dann";
/// What says only that something follows, or stands elsewhere.
const PREAMBLES: [&str; 22] = [
    "follow the steps in this",
    "see",
    "refer to",
    "for more information",
    "there is",
    "there are",
    "this technote",
    "this document",
    "this article",
    "this page",
    "this section",
    "the following",
    "in this",
    "you may see",
    "you may find",
    "you may need",
    "you might see",
    "you will see",
    "you will find",
    "you will need",
    "dieser artikel",
    "in diesem artikel",
];
/// A full stop behind them ends no sentence.
const ABBREVIATIONS: &str = "e.g i.e etc vs nr bzw ca ggf usw inkl zzgl evtl dr mr mrs no fig vgl approx incl ex";

/// Lines without blanks around them, those that were only wrapped put together again; with each whether its end is meant.
pub(super) fn unwrapped(lines: Vec<(String, bool)>) -> Vec<String> {
    let width = lines.iter().map(|(line, _)| line.trim().chars().count()).max().unwrap_or(0).max(MIN_WRAP_CHARS);
    let mut whole: Vec<String> = Vec::with_capacity(lines.len());
    // Whether the next line goes on with the last, and that one's characters.
    let mut goes_on: Option<usize> = None;
    for (line, is_meant) in lines {
        let line = line.trim();
        match (goes_on, whole.last_mut()) {
            (Some(before), Some(last)) if !is_lead_in(last) && !is_line_end(before, line, width) => {
                if !line.is_empty() {
                    last.push(' ');
                    last.push_str(line);
                }
            }
            (_, _) if !line.is_empty() => whole.push(line.to_owned()),
            (_, _) => {}
        }
        goes_on = (!is_meant).then(|| line.chars().count());
    }
    whole
}

/// Whether a line of so many characters ends although the next line's first word had room in it.
fn is_line_end(chars: usize, next: &str, width: usize) -> bool {
    if next.chars().next().is_none_or(char::is_lowercase) {
        return false;
    }
    let first_word = next.split_whitespace().next().map_or(0, |word| word.chars().count());
    chars > MAX_WRAP_CHARS || chars + 1 + first_word <= width
}

/// The sentences of a line; nothing of it is lost but the blanks between them.
pub(super) fn sentences(line: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut characters = line.char_indices().peekable();
    while let Some((place, character)) = characters.next() {
        let end = match character {
            '.' | '!' | '?' => {
                let mut end = place + 1;
                while let Some(&(closing, c)) = characters.peek()
                    && matches!(c, '.' | '!' | '?' | '"' | '\'' | ')' | ']' | '”' | '“' | '’' | '»')
                {
                    end = closing + c.len_utf8();
                    characters.next();
                }
                let next = line[end..].trim_start();
                let is_apart = next.len() < line[end..].len() && !next.starts_with(char::is_lowercase);
                if !is_apart || (character == '.' && is_abbreviation(&line[start..place])) {
                    continue;
                }
                end
            }
            '。' | '！' | '？' => place + character.len_utf8(),
            _ => continue,
        };
        sentences.push(line[start..end].trim());
        start = end;
    }
    sentences.push(line[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// Whether what stands before a full stop is no end of a sentence: an abbreviation, an initial, the number of a step.
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() == before.trim().len();
    let is_letter = word.chars().nth(1).is_none() && word.starts_with(char::is_alphabetic);
    is_number || is_letter || contains(ABBREVIATIONS, &word.to_lowercase())
}

fn contains(list: &str, word: &str) -> bool {
    !word.is_empty() && list.split_ascii_whitespace().any(|one| one == word)
}

/// Words as they are counted: texts without blanks have some too.
pub(super) fn count_words(text: &str) -> usize {
    const MOST_BYTES: usize = 12;
    text.split_whitespace().count().max(text.len() / MOST_BYTES)
}

/// Whether it tells the reader to do something: by its first word, in formal German and in French also by the form.
pub(super) fn is_imperative(text: &str) -> bool {
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '-')).filter(|word| !word.is_empty());
    let Some(first) = words.by_ref().find(|word| !word.bytes().all(|byte| byte.is_ascii_digit())) else { return false };
    let first = first.to_lowercase();
    IMPERATIVE_SET.contains(&first)
        || words.next() == Some("Sie") && first.ends_with("en")
        || (first.ends_with("ez") && first.len() > 4)
}

/// Whether it only says that something follows or stands elsewhere.
pub(super) fn is_preamble(text: &str) -> bool {
    let words = text.split_whitespace().skip_while(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let words: Vec<String> = words.take(5).map(str::to_lowercase).collect();
    let start = words.join(" ");
    let begins =
        |phrase: &&str| start.strip_prefix(*phrase).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    let is_definition = |at: usize| {
        matches!(words.get(at).map(String::as_str), Some("is" | "are"))
            && matches!(words.get(at + 1).map(String::as_str), Some("a" | "an"))
    };
    let the = words.first().is_some_and(|word| word == "the");
    PREAMBLES.iter().any(begins) || is_definition(1) || (the && (is_definition(2) || is_definition(3)))
}

/// What stands between the cells of a table.
pub(super) const CELL_END: &str = " | ";

/// Whether it is a row of a table.
pub(super) fn is_row(text: &str) -> bool {
    text.starts_with('|') || text.contains(CELL_END)
}

/// Whether a sentence promises what follows it.
pub(super) fn is_lead_in(text: &str) -> bool {
    text.ends_with([':', '：'])
}

/// Which lines of a paragraph stand above the next one as headings do: short ones that are no sentences. What tells to do
/// something is one only among steps that end as sentences.
pub(super) fn headings(lines: &[String]) -> Vec<bool> {
    let steps = || lines.iter().filter(|line| is_imperative(line));
    let closed = steps().filter(|line| line.ends_with(SENTENCE_ENDS)).count();
    let are_steps_closed = closed > 1 && 2 * closed > steps().count();
    let is_heading = |(line, next): (&String, &String)| {
        let chars = line.chars().count();
        chars <= MAX_HEADING_CHARS
            && chars < next.chars().count()
            && !line.ends_with([':', ';', ',', ')'])
            && !line.ends_with(SENTENCE_ENDS)
            // The way through a menu.
            && !line.contains(['>', '→', '≡', '|'])
            && line.starts_with(|c: char| c.is_alphanumeric() && !c.is_lowercase())
            && (are_steps_closed || !is_imperative(line))
            || kinds::is_name(line)
    };
    let mut headings: Vec<bool> = lines.iter().zip(lines.iter().skip(1)).map(is_heading).collect();
    headings.resize(lines.len(), false);
    headings
}

/// Which lines of a paragraph are steps that were written without marks, two or more in a row and none of them a heading.
pub(super) fn step_runs(lines: &[String], headings: &[bool]) -> Vec<Range<usize>> {
    let is_step = |line: &String| line.len() < MAX_STEP_BYTES && is_imperative(line);
    let first_word = |line: &String| line.split_whitespace().next().unwrap_or_default().to_lowercase();
    let is_between = |line: &String| line.len() < MAX_STEP_BYTES && contains(CONDITIONS, &first_word(line));
    let mut runs = Vec::new();
    let mut next = 0;
    while next < lines.len() {
        let start = next;
        let (mut first, mut last, mut steps) = (None, start, 0);
        while let Some(line) = lines.get(next) {
            if headings.get(next) == Some(&true) {
                break;
            }
            if is_step(line) {
                first = first.or(Some(next));
                (last, steps) = (next, steps + 1);
            } else if !is_between(line) {
                break;
            }
            next += 1;
        }
        // A condition is the first step where steps are announced, else it is prose.
        let is_announced = start > 0 && is_lead_in(&lines[start - 1]);
        if steps > 1 {
            runs.push(if is_announced { start } else { first.unwrap_or(start) }..last + 1);
        }
        next += usize::from(next == start);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_are_put_together_and_others_are_not() {
        let lines = |lines: &[&str]| lines.iter().map(|line| ((*line).to_owned(), false)).collect::<Vec<_>>();
        for (given, expected) in [
            (
                &["This line was wrapped by an editor at some", "Forty columns or so of width and goes on"][..],
                &["This line was wrapped by an editor at some Forty columns or so of width and goes on"][..],
            ),
            (&["Cause", "Older routers do not know what to do."], &["Cause", "Older routers do not know what to do."]),
            (&["Cause", "of it all"], &["Cause of it all"]),
            (&["Run this:", "net stop"], &["Run this:", "net stop"]),
            (&["", " a ", "", "B"], &["a", "B"]),
            (&[], &[]),
        ] {
            assert_eq!(unwrapped(lines(given)), expected, "{given:?}");
        }
        assert_eq!(unwrapped(vec![("a".into(), true), ("b".into(), true)]), ["a", "b"]);
    }

    #[test]
    fn sentences_end_where_they_do() {
        for (line, expected) in [
            ("One. Two! Three? Four", &["One.", "Two!", "Three?", "Four"][..]),
            ("Use build 10.0.1 of it. then more", &["Use build 10.0.1 of it. then more"]),
            ("See e.g. Windows. Then (go.) Stop...", &["See e.g. Windows.", "Then (go.)", "Stop..."]),
            ("1. Open it. 2", &["1. Open it.", "2"]),
            ("Siehe z. B. Word. Ende", &["Siehe z. B. Word.", "Ende"]),
            ("再起動します。終わり", &["再起動します。", "終わり"]),
            ("Note: this. ", &["Note: this."]),
            ("", &[]),
        ] {
            assert_eq!(sentences(line), expected, "{line}");
        }
    }

    #[test]
    fn beginnings_tell_what_a_sentence_does() {
        for text in ["Click Start.", "1 Install it", "Öffnen Sie das Fenster", "Cliquez ici", "right-click it"] {
            assert!(is_imperative(text), "{text}");
        }
        for text in ["", "The click", "Sie öffnen", "12", "Das Fenster", "Rez"] {
            assert!(!is_imperative(text), "{text}");
        }
        for text in ["There are two ways", "The web server is a part", "DASH is a hub", "This article says", "In this"]
        {
            assert!(is_preamble(text), "{text}");
        }
        for text in ["", "The server is old", "Therein", "This articles", "Restart"] {
            assert!(!is_preamble(text), "{text}");
        }
    }

    #[test]
    fn lines_may_be_headings_or_steps() {
        for (lines, expected) in [
            (&["Cause", "Older routers"][..], &[true, false][..]),
            (&["Click Start", "Older routers of us"], &[false, false]),
            (&["It is old.", "Older routers"], &[false, false]),
            (&["cause", "older routers"], &[true, false]),
            (&["A much longer line than the next", "Older routers"], &[false, false]),
            (&["File > Options", "Select the last of them."], &[false, false]),
            (&["Add a printer", "Click the menu.", "Open the list."], &[true, false, false]),
            (&["Add a printer", "Click the menu", "Open the last list"], &[false, false, false]),
            (&["Cause"], &[false]),
            (&[], &[]),
        ] {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(headings(&lines), expected, "{lines:?}");
        }
        let range = |start, end| start..end;
        for (lines, steps) in [
            (&["Open it.", "Click it.", "It is open."][..], &[range(0, 2)][..]),
            (&["Here is how:", "In the menu, click it.", "Select it.", "Open it."], &[range(1, 4)]),
            (&["In the menu, it is.", "Select it.", "Open it.", "Now.", "Click", "Click"], &[range(1, 3), range(4, 6)]),
            (&["Open it.", "In the end, it is open."], &[]),
            (&["Open it."], &[]),
            (&[], &[]),
        ] {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(step_runs(&lines, &[]), steps, "{lines:?}");
        }
    }
}
