//! Exports that lost their line breaks: an article in one line, its headings in capitals run into the text
//! (`RESOLVING THE PROBLEMInstall the fix`), in some the full stops lost too. The headings that such systems use are a
//! fixed list; a sentence then begins at ` 2 Then` and at a capital behind a word in small letters that wants no noun.

use std::collections::HashSet;

use super::lines;

/// Fewer line breaks, or sentence ends, than one in so many words are none.
const WORDS_A_BREAK: usize = 60;

/// Headings that are nothing else wherever they stand in capitals: text may be glued to both sides.
const UNMISTAKABLE: [&str; 24] = [
    "RESOLVING THE PROBLEM",
    "DIAGNOSING THE PROBLEM",
    "ANSWER",
    "CAUSE",
    "SYMPTOM",
    "ENVIRONMENT",
    "RELATED INFORMATION",
    "AFFECTED PRODUCTS AND VERSIONS",
    "AFFECTED PRODUCTS",
    "WORKAROUNDS AND MITIGATIONS",
    "GET NOTIFIED ABOUT FUTURE SECURITY BULLETINS",
    "IMPORTANT NOTE",
    "LOCAL FIX",
    "TEMPORARY FIX",
    "PROBLEM CONCLUSION",
    "PROBLEM SUMMARY",
    "ERROR DESCRIPTION",
    "CROSS REFERENCE INFORMATION",
    "INSTALLATION INSTRUCTIONS",
    "DOWNLOAD DESCRIPTION",
    "VULNERABILITY DETAILS",
    "REMEDIATION FIXES",
    "REFERENCES",
    "REFERENCE",
];
/// Headings that are also words: they stand apart, and text in small letters follows.
const APART: [&str; 22] = [
    "RESOLUTION",
    "RESOLVE",
    "WORKAROUNDS",
    "WORKAROUND",
    "REMEDIATION",
    "SOLUTION",
    "SYMPTOMS",
    "ABSTRACT",
    "QUESTION",
    "CONTENT",
    "SUMMARY",
    "PROBLEMS",
    "PROBLEM(S)",
    "PROBLEM",
    "CHANGE HISTORY",
    "DISCLAIMER",
    "PRODUCT ALIAS SYNONYM",
    "DOWNLOAD PACKAGE",
    "PREREQUISITES",
    "NEWS",
    "STEPS",
    "OBJECTIVE",
];
/// Behind these words a capital begins a name and no sentence.
const GLUE: &str = "a an the of to in for with and or from on by as your is are using at into via be this that these \
    those any all its our my between than not no if when where which while after before use uses used called named see \
    was were has have per both either each other new latest following current under over within through about";

/// A heading, empty at the beginning, and the sentences below it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub heading: &'static str,
    pub sentences: Vec<String>,
}

/// The parts of an article whose text, without its markup, stands in these lines; `None` where it is no such export.
pub(super) fn read(text_lines: &[&str]) -> Option<Vec<Stretch>> {
    let text = text_lines.join("\n");
    let words = text.split_whitespace().count();
    if (text_lines.len().saturating_sub(1)) * WORDS_A_BREAK >= words.max(1) {
        return None;
    }
    let headings = headings(&text);
    if headings.is_empty() {
        return None;
    }
    let mut stretches = vec![Stretch::default()];
    let mut start = 0;
    let has_sentences = sentence_ends(&text) * WORDS_A_BREAK >= words;
    let add = |stretches: &mut Vec<Stretch>, text: &str| {
        if let Some(last) = stretches.last_mut() {
            last.sentences.extend(sentences(text, has_sentences));
        }
    };
    for (place, end, heading) in headings {
        add(&mut stretches, &text[start..place]);
        stretches.push(Stretch { heading, sentences: Vec::new() });
        start = end;
    }
    add(&mut stretches, &text[start..]);
    Some(stretches)
}

fn sentence_ends(text: &str) -> usize {
    text.as_bytes()
        .windows(2)
        .filter(|two| matches!(two[0], b'.' | b'!' | b'?') && two[1].is_ascii_whitespace())
        .count()
}

/// Where headings begin and end.
fn headings(text: &str) -> Vec<(usize, usize, &'static str)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut place = 0;
    while place + 1 < bytes.len() {
        let before = place.checked_sub(1).map_or(b' ', |before| bytes[before]);
        let may_begin = bytes[place].is_ascii_uppercase() && bytes[place + 1].is_ascii_uppercase();
        let heading = (may_begin && !before.is_ascii_uppercase()).then(|| heading_at(text, place, before)).flatten();
        match heading {
            Some((end, heading)) => {
                found.push((place, end, heading));
                place = end;
            }
            None => place += 1,
        }
    }
    found
}

fn heading_at(text: &str, place: usize, before: u8) -> Option<(usize, &'static str)> {
    let ends = |heading: &'static str| Some((end_of(text, place, heading)?, heading));
    let is_unmistakable = |(end, _): &(usize, &str)| !text[*end..].starts_with(|c: char| c.is_ascii_lowercase());
    let is_apart = |(end, _): &(usize, &str)| {
        let mut next = text[*end..].chars();
        match (next.next(), next.next()) {
            (None | Some('0'..='9' | ' ' | '\n' | ':'), _) | (Some('A'..='Z'), Some('a'..='z')) => true,
            // Not a plural.
            (Some('A'..='R' | 'T'..='Z'), Some(' ')) => text[*end + 2..].starts_with(|c: char| c.is_ascii_lowercase()),
            (Some(_), _) => false,
        }
    };
    let unmistakable = UNMISTAKABLE.into_iter().filter_map(ends).find(is_unmistakable);
    unmistakable.or_else(|| {
        (!before.is_ascii_alphabetic()).then(|| APART.into_iter().filter_map(ends).find(is_apart)).flatten()
    })
}

/// Where a heading ends that begins at `place`; blanks and strokes between its words may be any number.
fn end_of(text: &str, place: usize, heading: &str) -> Option<usize> {
    let mut rest = &text[place..];
    for (number, word) in heading.split(' ').enumerate() {
        let trimmed = rest.trim_start_matches([' ', '/']);
        if (number > 0) != (trimmed.len() < rest.len()) {
            return None;
        }
        rest = trimmed.strip_prefix(word)?;
    }
    Some(text.len() - rest.len())
}

/// The sentences of a stretch, blanks between words made one.
fn sentences(text: &str, has_sentences: bool) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let mut sentence = String::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence.push_str(word);
        let Some(next) = words.peek() else { break };
        let is_number = sentence.bytes().all(|byte| byte.is_ascii_digit());
        let ends = word.ends_with(['.', '!', '?', ':'])
            || (!has_sentences && !is_number && begins_sentence(word, next, words.clone().nth(1)));
        if ends {
            sentences.push(std::mem::take(&mut sentence));
        }
    }
    sentences.extend(Some(sentence).filter(|sentence| !sentence.is_empty()));
    sentences
}

/// Whether a sentence begins with `next` where full stops are lost.
fn begins_sentence(word: &str, next: &str, after: Option<&str>) -> bool {
    let Some(after) = after else { return false };
    let is_capital = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(next) && next.len() < 3 && is_capital(after) {
        return word.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ')');
    }
    let is_plain = is_capital(next) && next != "I" && next[1..].bytes().all(|byte| byte.is_ascii_lowercase());
    let last = word.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '\'' | '-' | ')'))).next();
    let last = last.unwrap_or_default();
    let is_small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_word = match last.strip_suffix(')') {
        Some(inner) => inner.bytes().all(is_small),
        None => {
            is_number(last)
                || last.starts_with(|c: char| c.is_ascii_lowercase())
                    && last.bytes().all(|byte| is_small(byte) || byte == b'-')
        }
    };
    is_plain && is_word && !GLUE.split_ascii_whitespace().any(|glue| glue == last)
}

/// Whether a sentence is worth its place: numbers alone are none.
pub(super) fn is_worth(sentence: &str) -> bool {
    sentence.contains(char::is_alphabetic) && lines::count_words(sentence) > 0
}

/// What words of one kind begin with; `None` for short ones.
pub(super) fn stem(word: &str) -> Option<String> {
    const STEM_CHARS: usize = 6;
    const MIN_CHARS: usize = 5;
    let is_long = word.len() >= MIN_CHARS && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_long.then(|| word[..word.len().min(STEM_CHARS)].to_owned())
}

/// Whether a heading in capitals has one of the stems; those that headings have anyway are none.
pub(super) fn names(heading: &str, stems: &HashSet<String>) -> bool {
    const ANYWAY: [&str; 7] = ["proble", "questi", "answer", "cause", "detail", "produc", "affect"];
    let stem_of = |word: &str| stem(&word.to_ascii_lowercase()).filter(|stem| !ANYWAY.contains(&stem.as_str()));
    heading.split(' ').filter_map(stem_of).any(|stem| stems.contains(&stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &[&str])]) {
        let found = read(&[text]).unwrap_or_default();
        let found: Vec<(&str, Vec<&str>)> =
            found.iter().map(|part| (part.heading, part.sentences.iter().map(String::as_str).collect())).collect();
        let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(head, texts)| (*head, texts.to_vec())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn headings_in_capitals_are_found_where_they_are_glued() {
        check(
            "NOTE  FAQ QUESTION How do I export keys ANSWERHSM boxes export them Set the flag RELATED INFORMATIONMore",
            &[
                ("", &["NOTE FAQ"]),
                ("QUESTION", &["How do I export keys"]),
                ("ANSWER", &["HSM boxes export them", "Set the flag"]),
                ("RELATED INFORMATION", &["More"]),
            ],
        );
        check(
            "It hangs with a valueRESOLVING THE  PROBLEMInstall   the fix in 7 steps 1 Open it 2 Close it",
            &[
                ("", &["It hangs with a value"]),
                ("RESOLVING THE PROBLEM", &["Install the fix in 7 steps", "1 Open it", "2 Close it"]),
            ],
        );
        check("It fails. SOLUTION: Wait. Go on", &[("", &["It fails."]), ("SOLUTION", &[":", "Wait.", "Go on"])]);
    }

    #[test]
    fn other_texts_are_no_such_exports() {
        for text in ["", "Just text", "The ANSWERs", "MYANSWER is", "The SOLUTIONS are", "Résumé des PROBLÈMES"] {
            assert_eq!(read(&[text]), None, "{text}");
        }
        assert_eq!(read(&["CAUSE", "It is old", "SOLUTION", "Wait"]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_letter_is_lost(text in "((CAUSE|ANSWER|PROBLEM \\(S\\)|NEWS|is|Open|1|ä|Ä|日|\\.)[ ]{0,2}){0,40}") {
            let letters = |text: &str| text.chars().filter(|c| !matches!(c, ' ' | '/')).collect::<String>();
            if let Some(parts) = read(&[&text]) {
                let all = parts.iter().flat_map(|part| [part.heading.to_owned(), part.sentences.concat()]).collect::<String>();
                proptest::prop_assert_eq!(letters(&all), letters(&text));
            }
        }
    }
}
