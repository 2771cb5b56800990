//! Telephone numbers: international ones by `+` or `00`, national ones by the zero before the area or the North American
//! form, others only behind a word such as `mobile`. Extensions and numbers of orders, tickets and parts stay.

use std::ops::Range;

use super::{joins_after, network::words_before, number::between};

/// Fewer digits are an extension.
pub(super) const MIN_DIGITS: usize = 6;
const MAX_DIGITS: usize = 15;
const MAX_GROUPS: usize = 8;
/// Marks and blanks between a word and its number.
const MAX_GAP: usize = 6;

/// Words that say that a telephone number follows.
const PHONE_WORDS: [&str; 38] = [
    "tel",
    "tele",
    "telephone",
    "phone",
    "phones",
    "mobile",
    "mob",
    "cell",
    "cellphone",
    "fax",
    "telefax",
    "telefon",
    "telefonnummer",
    "tel-nr",
    "handy",
    "handynummer",
    "mobil",
    "mobilnummer",
    "mobiltelefon",
    "rufnummer",
    "rückrufnummer",
    "rückruf",
    "festnetz",
    "téléphone",
    "portable",
    "gsm",
    "telefono",
    "teléfono",
    "móvil",
    "movil",
    "celular",
    "cellulare",
    "telefone",
    "telefoon",
    "telefoonnummer",
    "mobiel",
    "whatsapp",
    "phonenumber",
];
/// Words that say so only together with one of [`LINKS`].
const CALLING_WORDS: [&str; 11] =
    ["contact", "callback", "reach", "me", "us", "mich", "uns", "erreichbar", "kontakt", "reached", "reachable"];
const LINKS: [&str; 22] = [
    "number", "no", "nr", "num", "nummer", "numéro", "numero", "número", "is", "ist", "at", "on", "under", "unter",
    "via", "auf", "est", "es", "al", "au", "op", "the",
];

/// The number that begins here, and how many groups it takes.
pub(super) fn number(text: &str, groups: &[Range<usize>]) -> Option<(Range<usize>, usize)> {
    let form = form(text, groups)?;
    let (count, opening) = form;
    let bytes = groups[0].start - opening..groups[count - 1].end;
    let behind = &text.as_bytes()[bytes.end..];
    let goes_on = match behind {
        [b'-' | b'/', next, ..] => next.is_ascii_alphanumeric(),
        [b'.' | b':' | b',', next, ..] => next.is_ascii_digit(),
        [b'%', ..] => true,
        _ => joins_after(text, bytes.end),
    };
    (!goes_on).then_some((bytes, count))
}

/// How many groups the number has, and how many bytes before the first digit belong to it.
fn form(text: &str, groups: &[Range<usize>]) -> Option<(usize, usize)> {
    let before = &text[..groups[0].start];
    let outer = before.trim_end_matches(['+', '(']);
    let opening = before.len() - outer.len();
    if opening > 2 || !is_apart(outer) {
        return None;
    }
    let marks = &before[outer.len()..];
    let first = &text[groups[0].clone()];
    let (count, digits) = extent(text, groups);
    if marks.contains('+') {
        let fits = (8..=MAX_DIGITS).contains(&digits) && !first.starts_with('0');
        return fits.then_some((count, opening));
    }
    let in_brackets = marks == "(" && between(text, groups, 1).starts_with(')');
    let opening = if in_brackets { opening } else { 0 };
    if let Some(count) = north_american(text, groups, in_brackets) {
        return Some((count, opening));
    }
    // A zero within a longer number begins no number of its own.
    let begins = !outer.strip_suffix(' ').is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit()))
        || outer.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().is_some_and(|last| last.len() <= 2);
    let separator = between(text, groups, 1);
    let is_pairs = (0..count).all(|group| groups[group].len() == 2);
    let national = first.starts_with('0')
        && !first.starts_with("00")
        && (2..=5).contains(&first.len())
        && count >= 2
        && ((9..=12).contains(&digits) || (in_brackets && digits == 8))
        && (1..count).all(|group| groups[group].len() >= 2 && !text[groups[group].clone()].starts_with("000"))
        && (is_pairs || first.len() > 2 || groups[1].len() >= 4)
        && !(is_pairs && follows_a_byte(outer))
        && if is_pairs { count == 5 } else { separator != "." && between(text, groups, 2) != "." };
    // Two zeros, then the country's code.
    let behind_zeros = text[groups[0].start..].strip_prefix("00").map(str::trim_start);
    let international = behind_zeros.is_some_and(|code| !code.is_empty() && !code.starts_with('0'))
        && !(is_pairs && count >= 6)
        && (11..=MAX_DIGITS).contains(&digits)
        && if count == 1 { digits >= 12 } else { first.len() <= 6 };
    let named = || (MIN_DIGITS..=MAX_DIGITS).contains(&digits) && is_named(text, groups[0].start - opening);
    ((begins && (national || international)) || named()).then_some((count, opening))
}

/// Whether a byte in hexadecimal stands before, as in a dump.
fn follows_a_byte(before: &str) -> bool {
    let tail = &before[before.ceil_char_boundary(before.len().saturating_sub(8))..];
    let last = tail.trim_end_matches(' ').rsplit([' ', '\n']).next().unwrap_or_default();
    let is_hexadecimal = |byte: u8| byte.is_ascii_hexdigit();
    last.len() == 2 && last.bytes().all(is_hexadecimal) && !last.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Whether what stands before a number is no part of it.
fn is_apart(before: &str) -> bool {
    let mut letters = before.chars().rev();
    match letters.next() {
        None => true,
        Some('.' | ':' | ',') => !letters.next().is_some_and(|letter| letter.is_ascii_digit()),
        Some('-' | '/') => letters.next().is_some_and(char::is_whitespace),
        Some('#' | '_' | '$' | '€' | '\\') => false,
        Some(letter) => !letter.is_alphanumeric(),
    }
}

/// How many of the groups are one number, and how many digits they have. A blank and two more digits behind a whole
/// number are the next word.
fn extent(text: &str, groups: &[Range<usize>]) -> (usize, usize) {
    let mut digits = groups[0].len();
    let mut count = 1;
    for group in 1..groups.len().min(MAX_GROUPS) {
        let length = groups[group].len();
        let blank = between(text, groups, group).trim().is_empty();
        let whole = digits >= 10 && length <= 2 && groups[group - 1].len() > 2;
        if digits + length > MAX_DIGITS || (blank && (whole || digits >= 12)) {
            break;
        }
        digits += length;
        count += 1;
    }
    (count, digits)
}

/// `202-555-0123`, `(202) 555-0123`, `202.555.0123`, also behind `1-`.
fn north_american(text: &str, groups: &[Range<usize>], in_brackets: bool) -> Option<usize> {
    let trunk =
        usize::from(groups.len() > 3 && &text[groups[0].clone()] == "1" && !between(text, groups, 1).contains('.'));
    let parts = groups.get(trunk..trunk + 3)?;
    let code = |part: &Range<usize>| part.len() == 3 && matches!(text.as_bytes()[part.start], b'2'..=b'9');
    let separators = (between(text, parts, 1), between(text, parts, 2));
    let is_usual = match separators {
        ("-", "-") | (".", ".") => true,
        (first, " " | "-" | ".") => in_brackets || first.contains(')'),
        _ => false,
    };
    let shaped = code(&parts[0]) && code(&parts[1]) && parts[2].len() == 4;
    (is_usual && shaped && between(text, groups, trunk + 3) != "-").then_some(trunk + 3)
}

/// Whether the words before say that a telephone number follows.
fn is_named(text: &str, at: usize) -> bool {
    // Neither across a comma nor from a placeholder.
    let gap = text[..at].chars().rev().take_while(|letter| !letter.is_alphanumeric()).take(MAX_GAP + 1);
    if gap.clone().count() > MAX_GAP || gap.clone().any(|letter| [',', ';', '>', '|', '\n'].contains(&letter)) {
        return false;
    }
    let is_one_of = |word: &str, known: &[&str]| known.iter().any(|known| word.to_lowercase() == *known);
    let mut linked = false;
    for word in words_before(text, at).take(4) {
        if is_one_of(word, &PHONE_WORDS) || (linked && is_one_of(word, &CALLING_WORDS)) {
            return true;
        }
        if !is_one_of(word, &LINKS) {
            return false;
        }
        linked = true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_kind;

    #[test]
    fn telephone_numbers_are_told_from_other_numbers() {
        for (text, expected) in [
            ("call +49 (0) 30 1234567 today", "call <phone> today"),
            ("+1-202-555-0123", "<phone>"),
            ("+442079460958.", "<phone>."),
            ("Tel.:+49.30.1234567", "Tel.:<phone>"),
            ("+33 1 23 45 67 89", "<phone>"),
            ("0049 30 1234567", "<phone>"),
            ("00441234567890", "<phone>"),
            ("030 1234567", "<phone>"),
            ("0171/1234567 10 Uhr", "<phone> 10 Uhr"),
            ("089 - 1234567", "<phone>"),
            ("(030) 123456", "<phone>"),
            ("020 7946 0958", "<phone>"),
            ("01 23 45 67 89", "<phone>"),
            ("01.23.45.67.89", "<phone>"),
            ("06-12345678", "<phone>"),
            ("(202) 555-0123 or 202.555.0123", "<phone> or <phone>"),
            ("1-800-555-0199", "<phone>"),
            ("mobile: 01711234567", "mobile: <phone>"),
            ("Handy 1711234567", "Handy <phone>"),
            ("phone number is 5551234", "phone number is <phone>"),
            ("please call me at 555 1234", "please call me at <phone>"),
            ("erreichbar unter 7654321", "erreichbar unter <phone>"),
            ("Téléphone : 123456789", "Téléphone : <phone>"),
        ] {
            check_kind(text, expected);
        }
        for text in [
            "My extension is 4417",
            "ext. 4417, room 1234",
            "PO 5616473800 and 4500012345",
            "SAP document 0080012345, material 000000001234567",
            "personalnr. 10056553",
            "INC0012345 KB0024 RITM0010001 CHG0030000",
            "call 12345678",
            "job failed at: 09/18/2016 18:39:00",
            "2016-09-20T14:52:40+02:00",
            "01.02.2024 10:30, 01-02-2024, 1/2/24",
            "08/07/16 1:08am",
            "10.000€-24.999€ or 2.500.000,00",
            "000110 612f 352e 3020 2857 696e",
            "0b0dac9d-8010-3000-b1eb-26ad5dd27abc",
            "9:00 - 17:00",
            "cve-2015-1397",
            "52151 vid3654 1:21163262:2",
            "part 450-12-3456",
            "87 f8 5d 0D 1b 02 03 01 00 01 ..]",
            "2.0.50727.4016 (NetFxQFE.050727-4000), 7600.win7_rtm.090713-1255",
            "0646 00000644 28.49",
            "08 15 51 50 788 EDT, 08 16 2012 09 52",
            "00-11-22-33-44-55",
            "0.123456789 and 99.9999999 %",
            "12345678901234567890",
            "https://x.example/030/1234567",
            "ISBN 978-3-16-148410-0",
            "phone asset tag 1234567",
            "<phone> + 0158484133 and <phone>, 3516494",
        ] {
            check_kind(text, text);
        }
    }
}
