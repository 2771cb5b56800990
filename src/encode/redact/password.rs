//! Passwords behind a word for one: `pw: …`, `Passwort = …`, `the password is …`. People also write `password: please
//! reset` and `password is expired`, so what follows must look like a password, the more so the looser it is tied to
//! the word. Reads a bounded stretch behind the word, on its line.

use std::ops::Range;

use super::{
    is_of_word, joins_after,
    look::{Look, Strength, is_no_password, look, quoted, strength, strict, token},
};

/// How far behind the word its password may stand, in bytes.
const REACH: usize = 160;

/// How loosely a password may be tied to the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// `password`: a mark, a phrase such as `for the VPN is`, or a blank before what can hardly be anything else.
    Long,
    /// `pw`: also nothing but a blank or a slash.
    Short,
    /// `pass`: a mark only.
    Plain,
}

const VERBS: [&str; 14] =
    ["is", "was", "ist", "war", "lautet", "lautete", "est", "était", "es", "era", "è", "é", "jest", "är"];
/// Between a verb and the password.
const FILLERS: [&str; 14] = [
    "now",
    "currently",
    "set",
    "changed",
    "to",
    "jetzt",
    "nun",
    "aktuell",
    "auf",
    "still",
    "again",
    "maintenant",
    "ahora",
    "nu",
];
/// What a password is for follows.
const PURPOSES: [&str; 16] =
    ["for", "für", "fuer", "of", "von", "pour", "para", "voor", "per", "de", "vom", "zum", "dla", "on", "auf", "in"];
const MAX_PURPOSE_WORDS: usize = 4;
/// Behind these stands whose password it is.
const USERS: [&str; 16] = [
    "user",
    "users",
    "username",
    "userid",
    "id",
    "account",
    "login",
    "name",
    "benutzer",
    "benutzername",
    "konto",
    "kennung",
    "utilisateur",
    "usuario",
    "gebruiker",
    "employee",
];

/// The password behind a word for one.
pub(super) fn behind(text: &str, word: Range<usize>, manner: Manner) -> Option<Range<usize>> {
    let end = text.floor_char_boundary(text.len().min(word.end + REACH));
    let behind = &text[word.end..end];
    let line = &behind[..behind.find(['\n', '\r']).unwrap_or(behind.len())];
    // Within a longer word only what makes it one of several, or one with a number.
    let rest = line.strip_prefix('s').unwrap_or(line).trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.starts_with(is_of_word) || (manner != Manner::Long && joins_in_word(text, word.start)) {
        return None;
    }
    let place = |part: &str| word.end + line.len() - part.len();
    let rest = rest.strip_prefix("(s)").unwrap_or(rest);
    let after = rest.trim_start_matches(['"', '\'', '`', '*', ']', ')']);
    if let Some(value) = after.strip_prefix('>') {
        return of_tag(value).filter(|_| is_tag(text, word.start)).map(|bytes| shifted(bytes, place(value)));
    }
    let after_blanks = after.trim_start_matches([' ', '\t', '\u{a0}']);
    if let Some(value) = after_mark(after_blanks) {
        if text[..word.start].trim_end().ends_with(';')
            && let Some(bytes) = of_connection(value)
        {
            return Some(shifted(bytes, place(value)));
        }
        let value = value.trim_start_matches([' ', '\t', '\u{a0}', '*']);
        if value.is_empty() {
            return on_the_next_line(text, place(value));
        }
        // "PASS: suite/test" is what a test says.
        let is_path = manner == Manner::Plain && token(value).contains('/');
        return marked(value).filter(|_| !is_path).map(|bytes| shifted(bytes, place(value)));
    }
    if manner == Manner::Plain {
        return None;
    }
    if manner == Manner::Short {
        let glued =
            after.strip_prefix(['/', '-']).filter(|value| !value.starts_with(' ') && !token(value).contains('/'));
        let spaced = (after_blanks.len() < after.len() && !asks_for_another(text, word.start)).then_some(after_blanks);
        for value in [glued, spaced].into_iter().flatten() {
            // The folder of a shell: $PWD/src, $PWD -x.
            let is_variable = text[..word.start].ends_with(['$', '(']) || value.starts_with('-');
            if let Some(bytes) = strict(value).filter(|_| !is_variable) {
                return Some(shifted(bytes, place(value)));
            }
        }
    }
    if manner == Manner::Long && after_blanks.len() < after.len() {
        // "Forgot password ann12" names a user; what else stands there, only a password looks like.
        let least = if asks_for_another(text, word.start) { Strength::Strong } else { Strength::Mixed };
        let value = after_blanks.trim_start_matches('(');
        let bytes = quoted(value).unwrap_or_else(|| 0..token(value).len());
        if strength(&value[bytes.clone()]) >= least {
            return Some(shifted(bytes, place(value)));
        }
    }
    if let Some(value) = after_blanks.strip_prefix("- ").or_else(|| after_blanks.strip_prefix("– ")) {
        return strict(value).map(|bytes| shifted(bytes, place(value)));
    }
    if after_blanks.is_empty() {
        return below_a_heading(text, word.start, place(after_blanks));
    }
    if let Some(value) = set_to(after_blanks) {
        let least = if is_set(text, word.start) { Strength::Mixed } else { Strength::Strong };
        if strength(token(value)) >= least {
            return Some(shifted(0..token(value).len(), place(value)));
        }
    }
    let value = after_phrase(after_blanks)?;
    strict(value).map(|bytes| shifted(bytes, place(value)))
}

/// The number behind `PIN:`.
pub(super) fn pin(text: &str, word: Range<usize>) -> Option<Range<usize>> {
    let end = text.floor_char_boundary(text.len().min(word.end + 24));
    let line = text[word.end..end].lines().next().unwrap_or_default();
    if joins_in_word(text, word.start) {
        return None;
    }
    let rest = line.trim_start().trim_start_matches(['-', ' ']);
    let rest = ["code", "Code", "CODE"].iter().find_map(|code| rest.strip_prefix(code)).unwrap_or(rest).trim_start();
    let value =
        rest.strip_prefix([':', '=']).or_else(|| rest.strip_prefix("is ")).or_else(|| rest.strip_prefix("ist "))?;
    let value = value.trim_start();
    let start = word.end + line.len() - value.len();
    let digits = text.as_bytes()[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    ((4..=8).contains(&digits) && !joins_after(text, start + digits)).then_some(start..start + digits)
}

fn shifted(bytes: Range<usize>, by: usize) -> Range<usize> {
    bytes.start + by..bytes.end + by
}

fn joins_in_word(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(char::is_alphanumeric)
}

pub(super) fn is_tag(text: &str, word: usize) -> bool {
    text[..word].trim_end_matches(|c: char| is_of_word(c) || c == '-' || c == ':').ends_with('<')
}

/// The text of an element that is closed on the same line.
fn of_tag(value: &str) -> Option<Range<usize>> {
    let end = value.find("</")?;
    (end > 0 && !value[..end].contains(['<', '>'])).then_some(0..end)
}

/// The value of a setting among others: all of it up to the next.
fn of_connection(value: &str) -> Option<Range<usize>> {
    let end = value.find(';')?;
    let is_value = !value[..end].trim().is_empty() && !value[..end].contains(['=', '"', '<']);
    is_value.then_some(0..end)
}

/// What stands behind a colon or its like.
fn after_mark(rest: &str) -> Option<&str> {
    let marks = ["=>", "->", ":=", "==", "：", "→", ":", "="];
    marks.iter().find_map(|mark| rest.strip_prefix(mark))
}

/// Whether the words before ask for another password rather than tell one: `reset pw ann12`.
fn asks_for_another(text: &str, word: usize) -> bool {
    let start = text.ceil_char_boundary(word.saturating_sub(40));
    let mut words = text[start..word].rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.by_ref().take(2).any(|word| {
        let word = word.to_lowercase();
        ["reset", "change", "unlock", "forgot", "reset", "ändern", "vergessen", "need", "no", "new"]
            .contains(&word.as_str())
    })
}

/// What a password is set to: behind `password to`, `Passwort wurde auf`.
fn set_to(rest: &str) -> Option<&str> {
    const BEFORE: [&str; 10] = ["wurde", "wurden", "was", "is", "has", "been", "back", "for", "her", "him"];
    const TARGETS: [&str; 8] = ["to", "as", "into", "auf", "in", "zu", "à", "a"];
    let mut rest = rest;
    for _ in 0..4 {
        let length = rest.find([' ', '\t'])?;
        let (word, behind) = (rest[..length].trim_end_matches(':').to_lowercase(), rest[length..].trim_start());
        if TARGETS.contains(&word.as_str()) {
            return Some(behind.trim_start_matches(['"', '\'', '`', '(']));
        }
        if !BEFORE.contains(&word.as_str()) {
            return None;
        }
        rest = behind;
    }
    None
}

/// Whether the words before say that somebody sets or resets it.
fn is_set(text: &str, word: usize) -> bool {
    const STEMS: [&str; 9] = ["reset", "set", "chang", "updat", "setz", "zurück", "änder", "aender", "cambi"];
    let start = text.ceil_char_boundary(word.saturating_sub(40));
    let words = text[start..word].rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(4).any(|word| STEMS.iter().any(|stem| word.to_lowercase().starts_with(stem)))
}

/// The password on a line of its own below the word on one of its own.
fn below_a_heading(text: &str, word: usize, line_end: usize) -> Option<Range<usize>> {
    let line = text[..word].rsplit('\n').next().unwrap_or_default();
    let bytes = on_the_next_line(text, line_end).filter(|_| line.trim().is_empty())?;
    (strength(&text[bytes.clone()]) == Strength::Strong).then_some(bytes)
}

/// The value behind a mark: one that looks like a password, or a plain word where nothing but the end follows.
fn marked(value: &str) -> Option<Range<usize>> {
    if let Some(bytes) = quoted(value) {
        let inner = &value[bytes.clone()];
        return (look(inner) != Look::Other && !is_no_password(inner)).then_some(bytes);
    }
    let token = token(value);
    match look(token) {
        Look::Secret => Some(0..token.len()),
        Look::Other => {
            // Two or three characters with a digit, alone.
            let short =
                token.len() < 4 && token.chars().any(|c| c.is_ascii_digit()) && token.chars().any(char::is_alphabetic);
            (short && ends(&value[token.len()..])).then_some(0..token.len())
        }
        Look::Word => {
            // "ann/<password>": the name before one that was found.
            let is_word =
                token.chars().count() >= 3 && !token.contains('-') && !token.ends_with('/') && !is_no_password(token);
            (is_word && ends(&value[token.len()..])).then_some(0..token.len())
        }
    }
}

/// Whether nothing more is said: the value was all there is.
fn ends(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['.', '!', ')', ']', '"', '\'', ' ', '\t', '*']);
    rest.is_empty() || rest.starts_with([',', ';', '|', '&', '<', '/'])
}

/// What stands behind a phrase such as `for the VPN is`, `(new) is now`, `changed to`.
fn after_phrase(rest: &str) -> Option<&str> {
    let mut rest = rest;
    if let Some(inner) = rest.strip_prefix('(') {
        rest = inner[inner.find(')')? + 1..].trim_start();
        if let Some(value) = after_mark(rest) {
            return Some(value.trim_start());
        }
    }
    let mut purpose = None;
    let mut is_said = false;
    loop {
        let length = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (word, next) = (&rest[..length], rest[length..].trim_start());
        let name = word.trim_end_matches([':', ',']).to_lowercase();
        let is_one_of = |known: &[&str]| known.contains(&name.as_str());
        if is_said {
            if name.is_empty() || !is_one_of(&FILLERS) {
                return Some(rest.trim_start_matches('(')).filter(|rest| !rest.is_empty());
            }
        } else if is_one_of(&VERBS) {
            is_said = true;
        } else if purpose.is_none() && is_one_of(&["changed", "set", "reset", "geändert", "gesetzt"]) {
            let to = next.strip_prefix("to ").or_else(|| next.strip_prefix("auf "))?;
            return Some(to.trim_start());
        } else if let Some(words) = &mut purpose {
            *words += 1;
            if *words > MAX_PURPOSE_WORDS || word.contains(['.', ',', ';', '?', '!']) {
                return None;
            }
            if word.ends_with(':') {
                // "password for user: ann12" names the user.
                let is_secret = !USERS.contains(&name.trim_start_matches('('));
                return Some(next).filter(|next| !next.is_empty() && is_secret);
            }
        } else if is_one_of(&PURPOSES) {
            purpose = Some(0);
        } else {
            return None;
        }
        if next.is_empty() {
            return None;
        }
        rest = next;
        if is_said && let Some(value) = after_mark(rest) {
            return Some(value.trim_start());
        }
    }
}

/// A password alone on the line behind `Password:`.
fn on_the_next_line(text: &str, line_end: usize) -> Option<Range<usize>> {
    const FEWEST: usize = 6;
    let rest = &text[line_end..text.floor_char_boundary(text.len().min(line_end + REACH))];
    let start =
        rest.len() - rest.trim_start_matches(['\r', ' ']).strip_prefix('\n')?.trim_start_matches([' ', '\t']).len();
    let line = rest[start..].lines().next().unwrap_or_default().trim_end();
    let bytes = strict(line)?;
    let is_alone = bytes.len() == line.len() && line.len() >= FEWEST && line.contains(char::is_alphabetic);
    (is_alone && !line.ends_with(':')).then(|| shifted(bytes, line_end + start))
}
