//! Characters and escape sequences that steer a terminal or the order of letters instead of being read.
//! What comes from articles is kept and shown without them: they hide words from readers and from the search.

use std::borrow::Cow;

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
    if !text.chars().any(|character| steers(character) || is_joiner(character)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' | '\u{9b}' | '\u{9d}' => skip_sequence(character, &mut rest),
            // A line end as some systems write it.
            '\r' if rest.peek() == Some(&'\n') => clean.push('\r'),
            '\r' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
            // Between plain letters they join nothing and only part a word from itself.
            joiner if is_joiner(joiner) => {
                if clean.chars().next_back().is_some_and(|before| !before.is_ascii())
                    && rest.peek().is_some_and(|after| !after.is_ascii())
                {
                    clean.push(joiner);
                }
            }
            other if steers(other) => {}
            other => clean.push(other),
        }
    }
    Cow::Owned(clean)
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
fn skip_sequence(start: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let kind = match start {
        '\u{9b}' => Some('['),
        '\u{9d}' => Some(']'),
        _ => rest.next_if(|next| ('\u{20}'..='\u{7e}').contains(next)),
    };
    match kind {
        Some('[') => {
            while rest.next_if(|next| ('\u{20}'..='\u{3f}').contains(next)).is_some() {}
            rest.next_if(|next| ('\u{40}'..='\u{7e}').contains(next));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(next) = rest.next_if(|next| *next != '\n') {
                if matches!(next, '\u{7}' | '\u{9c}') {
                    break;
                }
                if next == '\u{1b}' {
                    rest.next_if_eq(&'\\');
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
