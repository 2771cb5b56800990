//! Passwords that stand beside a user's name: `login: ann / hunter2`, `admin:hunter2`. Hosts, versions and other users
//! are written in pairs too, so that the value must look like a password, and the pair be introduced.

use std::ops::Range;

use super::look::{Strength, strength, token};

/// How far behind the word the pair may reach, in bytes.
const REACH: usize = 160;
const LONGEST_NAME: usize = 64;

/// What the word before a pair is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Name and password: `login`, `credentials`.
    Both,
    /// The name alone, so that another name may stand behind it: `user`.
    Name,
}

/// The password in the pair behind a word for it.
pub(super) fn behind(text: &str, word: Range<usize>, manner: Manner) -> Option<Range<usize>> {
    let end = text.floor_char_boundary(text.len().min(word.end + REACH));
    let behind = &text[word.end..end];
    let line = &behind[..behind.find(['\n', '\r']).unwrap_or(behind.len())];
    let before = &text[..word.start];
    if before.ends_with(|c: char| c.is_alphanumeric() || "./\\$%".contains(c)) {
        return None;
    }
    // "Usernames", "user/pass".
    let rest = line.trim_start_matches(|c: char| c.is_alphabetic() || "/_-".contains(c));
    let after = rest.trim_start_matches([' ', '\t', '\u{a0}']);
    let marked = after.strip_prefix([':', '=', '：']);
    let pair = marked.unwrap_or(after).trim_start_matches([' ', '\t', '\u{a0}', '"', '\'', '`', '*']);
    if marked.is_none() && after.len() == rest.len() {
        return None;
    }
    let is_of_name = |c: char| c.is_alphanumeric() || "._-@\\+".contains(c);
    let name = &pair[..pair.find(|c: char| !is_of_name(c)).unwrap_or(pair.len())];
    let separated = pair[name.len()..].trim_start_matches([' ', '"', '\'', '`']);
    // "User name: Ann12345" is no pair, "user: ann:Hunter22" is one.
    let colon = pair[name.len()..].strip_prefix(':').filter(|value| marked.is_some() && !value.starts_with(' '));
    let value = colon.or_else(|| separated.strip_prefix(['/', '|']))?.trim_start_matches([' ', '"', '\'', '`']);
    let is_name = name.len() <= LONGEST_NAME && name.contains(char::is_alphabetic);
    let value_start = word.end + line.len() - value.len();
    let value = token(value);
    // "login: ann12 / bob34" and "user: ann / srv12" are names as well.
    let has_digit = name.contains(|c: char| c.is_ascii_digit());
    let is_told = manner == Manner::Both && marked.is_some() && !has_digit;
    let least = if is_told { Strength::Mixed } else { Strength::Strong };
    (is_name && strength(value) >= least).then_some(value_start..value_start + value.len())
}

/// The password behind the name of a user that machines have, and its mark.
pub(super) fn of_administrator(text: &str, word: Range<usize>) -> Option<Range<usize>> {
    let end = text.floor_char_boundary(text.len().min(word.end + REACH));
    let value = token(&text[word.end..end]);
    // In addresses the host follows: those have a rule of their own.
    let is_within = text[..word.start].ends_with(|c: char| c.is_alphanumeric() || "./:_-".contains(c));
    (!is_within && strength(value) > Strength::None).then_some(word.end..word.end + value.len())
}
