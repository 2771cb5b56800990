//! E-mail addresses, and passwords in addresses such as `https://user:password@host`, of which only the password goes.

use std::ops::Range;

use super::{Found, Kind};

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    for (at, _) in text.match_indices('@') {
        if let Some(bytes) = email(text, at) {
            found.push(Found { bytes, kind: Kind::Email });
        }
    }
    for (at, mark) in text.match_indices("://") {
        if let Some(bytes) = password(text, at + mark.len()) {
            found.push(Found { bytes, kind: Kind::Password });
        }
    }
}

/// The address around this `@`. Neither part holds an `@`, so that many of them cost no more than their length.
fn email(text: &str, at: usize) -> Option<Range<usize>> {
    let is_local = |letter: char| letter.is_alphanumeric() || "._%+-'".contains(letter);
    let is_domain = |letter: char| letter.is_alphanumeric() || ".-".contains(letter);
    let local = text[..at].trim_end_matches(is_local);
    let start = at - text[local.len()..at].trim_start_matches(['.', '\'', '-', '%', '+']).len();
    let behind = &text[at + 1..];
    let domain = &behind[..behind.len() - behind.trim_start_matches(is_domain).len()];
    let domain = domain.trim_end_matches(['.', '-']);
    let (name, country) = domain.rsplit_once('.')?;
    let is_address = start < at
        && !name.is_empty()
        && !domain.starts_with(['.', '-'])
        && country.chars().count() >= 2
        && country.chars().all(char::is_alphabetic);
    // The user of an address such as ssh://git@host is no mailbox.
    (is_address && !is_of_url(local)).then_some(start..at + 1 + domain.len())
}

/// Whether the text ends within the user and password of an address.
fn is_of_url(before: &str) -> bool {
    const MAX_BYTES: usize = 256;
    let before = &before[before.ceil_char_boundary(before.len().saturating_sub(MAX_BYTES))..];
    let authority = before.rfind("://").map(|at| &before[at + 3..]);
    authority.is_some_and(|user| !user.contains(|c: char| c.is_whitespace() || "/?#<>\"".contains(c)))
}

/// The password of an address whose user begins here.
fn password(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text[start..];
    let end = rest.find(|c: char| c.is_whitespace() || "/?#<>\"".contains(c)).unwrap_or(rest.len());
    let user = &rest[..rest[..end].rfind('@')?];
    let colon = user.find(':')?;
    let bytes = start + colon + 1..start + user.len();
    (!bytes.is_empty()).then_some(bytes)
}
