//! Keys and tokens: by the beginning that their issuer gives them, by the name before them, and private keys in PEM,
//! also where a text holds only part of one.

use std::ops::Range;

use super::{
    joins_after, joins_before,
    look::{Look, look},
    password,
};

/// How far behind its name a key may stand, in bytes.
const REACH: usize = 40;
/// By so much of a value, in bytes, is decided what it is; so that a thousand names before one long word cost no more
/// than their length.
const DECISIVE: usize = 512;

/// A token that begins with `word`, written as `prefix`.
pub(super) fn token(text: &str, word: Range<usize>, prefix: &str, fewest: usize) -> Option<Range<usize>> {
    let of_host = prefix.contains('/');
    if &text[word.clone()] != prefix || (!of_host && joins_before(text, word.start)) {
        return None;
    }
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./".contains(byte);
    let is_upper = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let tail = &text.as_bytes()[word.end..];
    let length = if prefix.bytes().all(|byte| byte.is_ascii_uppercase()) {
        // AWS: exactly so many capital letters and digits.
        let length = tail.iter().take_while(|byte| is_upper(byte)).count();
        if length != fewest || joins_after(text, word.end + length) {
            return None;
        }
        length
    } else {
        let mut length = tail.iter().take(DECISIVE).take_while(|byte| is_of_token(byte)).count();
        if length == DECISIVE && tail[..length].iter().any(u8::is_ascii_digit) {
            length += tail[length..].iter().take_while(|byte| is_of_token(byte)).count();
        }
        length - tail[..length].iter().rev().take_while(|byte| b"./-".contains(byte)).count()
    };
    let is_mixed = tail[..length].iter().any(u8::is_ascii_digit);
    let start = if of_host { word.end } else { word.start };
    (length >= fewest && is_mixed).then_some(start..word.end + length)
}

/// The token behind `Bearer ` or `Authorization: Basic `.
pub(super) fn of_header(text: &str, word: Range<usize>) -> Option<Range<usize>> {
    const FEWEST: usize = 16;
    if joins_before(text, word.start) {
        return None;
    }
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./+=~".contains(byte);
    let tail = &text.as_bytes()[word.end..];
    let length = tail.iter().take_while(|byte| is_of_token(byte)).count();
    let is_mixed = tail[..length].iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    (length >= FEWEST && is_mixed).then_some(word.end..word.end + length)
}

/// The value behind `api_key: ` and its like.
pub(super) fn named(text: &str, word: Range<usize>, fewest: usize) -> Option<Range<usize>> {
    if !begins_a_name(text, word.start) {
        return None;
    }
    let end = text.floor_char_boundary(text.len().min(word.end + REACH));
    let line = text[word.end..end].lines().next().unwrap_or_default();
    // "Keys", "tokens", "secretary": the word must end here, or its mark follows within one or two characters.
    let after = line.trim_start_matches(['"', '\'', '*', '`']);
    let after = after.trim_start_matches([' ', '\t']);
    let behind = after.strip_prefix("is ").or_else(|| after.strip_prefix("ist ")).unwrap_or(after);
    let worded = behind.len() < after.len();
    let behind = behind.trim_start_matches([' ', '\t']);
    let marked = behind.strip_prefix("=>").or_else(|| behind.strip_prefix([':', '=', '：']));
    let tag = behind.strip_prefix('>').filter(|_| password::is_tag(text, word.start));
    let value = match marked.or(tag) {
        Some(value) => value,
        None if worded => behind,
        None => return None,
    };
    let value = value.trim_start_matches([' ', '\t', '=', '"', '\'', '*', '`']);
    let start = word.end + line.len() - value.len();
    let is_of_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./+=~%$!@#:".contains(byte);
    let value = &text.as_bytes()[start..];
    let length = value.iter().take(DECISIVE).take_while(|byte| is_of_key(byte)).count();
    let written = text[start..start + length].trim_end_matches(['.', ':', ',', '!']);
    let is_key = written.len() >= fewest
        && look(written) == Look::Secret
        && written.bytes().any(|byte| byte.is_ascii_digit())
        && written.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !text[start + length..].starts_with('\\')
        && (tag.is_none() || text[start + length..].starts_with("</"))
        && (fewest < 12 || !is_guid(written));
    let end = start + written.len();
    let rest =
        if length == DECISIVE { value[written.len()..].iter().take_while(|byte| is_of_key(byte)).count() } else { 0 };
    is_key.then_some(start..end + rest)
}

/// Whether a name, or a part of one as in `client_secret` and `clientSecret`, begins here. The public key token of an
/// assembly is part of error messages and no secret.
fn begins_a_name(text: &str, at: usize) -> bool {
    let before = &text[..at];
    let is_public =
        before.get(before.len().saturating_sub(9)..).is_some_and(|end| end.eq_ignore_ascii_case("publickey"));
    let joins = before.ends_with(char::is_alphabetic);
    let is_camel = before.ends_with(char::is_lowercase) && text[at..].starts_with(char::is_uppercase);
    !is_public && (!joins || is_camel)
}

/// Identifiers of objects have this form, and they find the article.
fn is_guid(value: &str) -> bool {
    value.len() == 36 && value.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

const DASHES: &str = "-----";
const PRIVATE: &str = "PRIVATE KEY";

/// From `-----BEGIN … PRIVATE KEY` to the end that belongs to it; without one, as far as it looks like a key.
pub(super) fn pem(text: &str, begin: Range<usize>) -> Option<Range<usize>> {
    const LONGEST_TITLE: usize = 48;
    let title_end = text.floor_char_boundary(text.len().min(begin.end + LONGEST_TITLE));
    let title = &text[begin.end..title_end];
    let private = title.to_ascii_uppercase().find(PRIVATE)?;
    if title[..private].contains(['-', '\n']) {
        return None;
    }
    let title = begin.end + private + PRIVATE.len();
    let dashes = text[title..].find(DASHES).filter(|dashes| *dashes <= " BLOCK".len());
    let body = dashes.map_or(title, |dashes| title + dashes + DASHES.len());
    // The next dashes are those of the end, or of another key's beginning.
    if let Some(next) = text[body..].find(DASHES) {
        let end = body + next;
        let behind = &text[end + DASHES.len()..];
        if behind.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("END ")) {
            let closing =
                text.floor_char_boundary(behind.len().min(4 + LONGEST_TITLE).saturating_add(end + DASHES.len()));
            let closing = &text[end + DASHES.len()..closing.min(text.len())];
            let line = closing.lines().next().unwrap_or_default();
            let closed = line.find(DASHES).map_or(line.trim_end().len(), |dashes| dashes + DASHES.len());
            return Some(begin.start..end + DASHES.len() + closed);
        }
    }
    Some(begin.start..body + key_lines(&text[body..]))
}

/// How many bytes at the beginning are lines of a key: base64 and the headers before it, parted by line breaks, also
/// by those that a program wrote as `\n`.
fn key_lines(text: &str) -> usize {
    const SHORTEST: usize = 24;
    let mut end = 0;
    loop {
        let rest = &text[end..];
        let gap = rest.len() - rest.trim_start().trim_start_matches("\\r").trim_start_matches("\\n").trim_start().len();
        let line = &rest[gap..];
        let length = line.bytes().take_while(|byte| is_base64(*byte)).count();
        let header = ["Proc-Type:", "DEK-Info:", "Version:", "Comment:"].iter().any(|name| line.starts_with(name));
        let length = if header { line.find('\n').unwrap_or(line.len()) } else { length };
        if length < SHORTEST && !header {
            return end;
        }
        end += gap + length;
    }
}

/// The lines of a key before an `-----END … PRIVATE KEY-----` whose beginning is missing.
pub(super) fn pem_without_begin(text: &str, end: Range<usize>) -> Option<Range<usize>> {
    let closing = text[end.end..].lines().next().unwrap_or_default();
    let title = closing.split(DASHES).next().unwrap_or_default();
    if !title.to_ascii_uppercase().contains(PRIVATE) || title.len() > 48 {
        return None;
    }
    let is_of_key = |byte: &u8| is_base64(*byte) || byte.is_ascii_whitespace();
    let before = text.as_bytes()[..end.start].iter().rev().take_while(|byte| is_of_key(byte)).count();
    let mut start = end.start - before;
    // A word of prose before the key is no line of it.
    while let Some(line) = text[start..end.start].split_inclusive('\n').next() {
        if line.trim().len() >= 24 || !line.contains(|c: char| c.is_alphanumeric()) {
            break;
        }
        start += line.len();
    }
    start += text[start..end.start].len() - text[start..end.start].trim_start().len();
    let closed = if closing[title.len()..].is_empty() { title.trim_end().len() } else { title.len() + DASHES.len() };
    Some(start..end.end + closed)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}
