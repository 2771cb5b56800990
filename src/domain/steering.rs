//! Characters and escape sequences that steer a terminal or the order of letters instead of being read.
//! What comes from articles is kept and shown without them: they hide words from readers and from the search.

use std::{borrow::Cow, iter::Peekable, ops::Range, str::CharIndices};

/// Whether a character is not seen and changes how others are: control characters but line feeds and tabs, marks
/// that turn the direction of text (Boucher and Anderson, "Trojan Source", 2021), zero-width and tag characters.
/// The joiners of emoji and of scripts that need them are judged by [`without`].
pub fn steers(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

/// A text of several lines without what steers; escape sequences go whole. A carriage return alone ends a line, and
/// so do Unicode's separators.
pub fn without(text: &str) -> Cow<'_, str> {
    if !is_steered(text) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for_each_seen(text, |_, character| clean.push(character));
    Cow::Owned(clean)
}

/// Whether a text holds anything that [`without`] may take out.
pub fn is_steered(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    !text.bytes().all(is_plain) && text.chars().any(|character| steers(character) || is_joiner(character))
}

/// Hands over each character that is seen, with the bytes of the text that it stands for.
pub fn for_each_seen(text: &str, mut act: impl FnMut(Range<usize>, char)) {
    let mut before = None;
    let mut rest = text.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let next = rest.peek().map(|(_, next)| *next);
        let seen = match character {
            '\u{1b}' | '\u{9b}' | '\u{9d}' => {
                skip_sequence(character, &mut rest);
                None
            }
            // A line end as some systems write it.
            '\r' if next == Some('\n') => Some('\r'),
            '\r' | '\u{2028}' | '\u{2029}' => Some('\n'),
            // Between plain letters they join nothing and only part a word from itself.
            joiner if is_joiner(joiner) => {
                let joins = |beside: Option<char>| beside.is_some_and(|beside| !beside.is_ascii());
                (joins(before) && joins(next)).then_some(joiner)
            }
            other => (!steers(other)).then_some(other),
        };
        if let Some(seen) = seen {
            act(at..at + character.len_utf8(), seen);
            before = Some(seen);
        }
    }
}

/// The same on one line: lines and tabs become blanks.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let clean = without(text);
    if clean.contains(['\n', '\t']) {
        return Cow::Owned(clean.replace("\r\n", " ").replace(['\n', '\t'], " "));
    }
    clean
}

fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// Passes over the rest of an escape sequence (ECMA-48): `ESC [ … letter`, `ESC ] … BEL` or `… ESC \`, `ESC letter`.
/// One that does not end takes no more than its line.
fn skip_sequence(start: char, rest: &mut Peekable<CharIndices<'_>>) {
    let kind = match start {
        '\u{9b}' => Some('['),
        '\u{9d}' => Some(']'),
        _ => rest.next_if(|(_, next)| ('\u{20}'..='\u{7e}').contains(next)).map(|(_, kind)| kind),
    };
    match kind {
        Some('[') => {
            while rest.next_if(|(_, next)| ('\u{20}'..='\u{3f}').contains(next)).is_some() {}
            rest.next_if(|(_, next)| ('\u{40}'..='\u{7e}').contains(next));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some((_, next)) = rest.next_if(|(_, next)| *next != '\n') {
                if matches!(next, '\u{7}' | '\u{9c}') {
                    break;
                }
                if next == '\u{1b}' {
                    rest.next_if(|(_, next)| *next == '\\');
                    break;
                }
            }
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_dropped_and_the_text_stays() {
        for (text, expected) in [
            ("plain text\nof two lines\t!", "plain text\nof two lines\t!"),
            ("\u{1b}[31mred\u{1b}[0m and \u{9b}1mbold", "red and bold"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://x\u{1b}\\y", "xy"),
            ("\u{1b}]never ended\nnext line", "\nnext line"),
            ("\u{1b}c\u{1b}", ""),
            ("a\0b\u{8}c\u{7f}", "abc"),
            ("one\r\ntwo\rthree\u{2028}four", "one\r\ntwo\nthree\nfour"),
            ("file\u{202e}fdp.exe\u{202c} \u{2066}x\u{2069}", "filefdp.exe x"),
            ("pass\u{200b}wo\u{200d}rd\u{feff} so\u{ad}ft", "password soft"),
            ("👩\u{200d}💻 می\u{200c}خواهم", "👩\u{200d}💻 می\u{200c}خواهم"),
            ("ÄÖÜ ß 日本 العربية", "ÄÖÜ ß 日本 العربية"),
        ] {
            assert_eq!(without(text), expected, "{text:?}");
            assert_eq!(without(&without(text)), expected, "{text:?} again");
        }
        assert_eq!(one_line("a\r\nb\tc\u{1b}[2Jd"), "a b cd");
    }
}
