//! Numbers with a form of their own: payment cards and bank accounts by length and checksum. Numbers are read as runs
//! of digit groups; dates, addresses in a network and telephone numbers are told apart on the way (`network`,
//! `phone`), because what is one of them is none of the others.

use std::ops::Range;

use super::{Found, Kind, joins_after, joins_before, network, phone};

/// Lengths of account numbers by country (IBAN registry, SWIFT), with the country's code.
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 \
    EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 \
    LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 \
    SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20";

/// Separators between groups of one number.
const SEPARATORS: [&str; 15] =
    [" ", "-", ".", "/", ")", ") ", ")-", ")/", "(", " (", "-(", " - ", " / ", "\u{a0}", "\u{2011}"];

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
        let start = at + digit;
        if let Some(account) = iban(text, start) {
            at = account.end;
            found.push(Found { bytes: account, kind: Kind::Iban });
            continue;
        }
        read_groups(bytes, start, &mut groups);
        at = groups.last().map_or(start + 1, |last| last.end);
        // Most numbers are short.
        if groups.len() > 1 || at - start >= phone::MIN_DIGITS {
            find_in_run(text, &groups, found);
        }
    }
}

fn read_groups(bytes: &[u8], start: usize, groups: &mut Vec<Range<usize>>) {
    groups.clear();
    let mut next = Some(start);
    while let Some(start) = next {
        let end = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        groups.push(start..end);
        next = next_group(&bytes[end..]).map(|length| end + length);
    }
}

/// How many bytes part a group that ends here from the next; `None` where no group follows.
fn next_group(behind: &[u8]) -> Option<usize> {
    if behind.first().is_none_or(u8::is_ascii_alphanumeric) {
        return None;
    }
    let follows = |separator: &&&str| {
        behind.starts_with(separator.as_bytes()) && behind.get(separator.len()).is_some_and(u8::is_ascii_digit)
    };
    SEPARATORS.iter().find(follows).map(|separator| separator.len())
}

fn find_in_run(text: &str, groups: &[Range<usize>], found: &mut Vec<Found>) {
    let mut first = 0;
    while first < groups.len() {
        let rest = &groups[first..];
        first += if let Some(length) = date(text, rest) {
            length
        } else if let Some(dotted) = network::dotted_quad(text, rest) {
            if dotted.is_address {
                found.push(Found { bytes: dotted.bytes, kind: Kind::Ip });
            }
            dotted.groups
        } else if let Some((bytes, length)) = card(text, rest) {
            found.push(Found { bytes, kind: Kind::Card });
            length
        } else if let Some((bytes, length)) = phone::number(text, rest) {
            found.push(Found { bytes, kind: Kind::Phone });
            length
        } else {
            1
        };
    }
}

/// What stands between two groups.
pub(super) fn between<'t>(text: &'t str, groups: &[Range<usize>], second: usize) -> &'t str {
    match (groups.get(second.wrapping_sub(1)), groups.get(second)) {
        (Some(first), Some(second)) => &text[first.end..second.start],
        _ => "",
    }
}

/// How many groups the date has that begins here: day, month and year in any order, parted alike.
fn date(text: &str, groups: &[Range<usize>]) -> Option<usize> {
    let separator = between(text, groups, 1);
    if groups.len() < 3 || !["-", ".", "/"].contains(&separator) || between(text, groups, 2) != separator {
        return None;
    }
    if between(text, groups, 3) == separator {
        return None;
    }
    let [first, second, third] = [0, 1, 2].map(|group| &text[groups[group].clone()]);
    let small = |part: &str| part.len() <= 2 && part.parse::<u8>().is_ok_and(|value| (1..=31).contains(&value));
    let year = |part: &str| part.len() == 4 && (part.starts_with("19") || part.starts_with("20"));
    let is_date = small(second)
        && ((small(first) && (year(third) || small(third) || third.len() == 2)) || (year(first) && small(third)));
    is_date.then_some(3)
}

/// A card number, in one piece or in the groups that cards are printed with.
fn card(text: &str, groups: &[Range<usize>]) -> Option<(Range<usize>, usize)> {
    let start = groups[0].start;
    if joins_before(text, start) || text[..start].ends_with(['.', '-', '/', '+', '#']) {
        return None;
    }
    let separator = between(text, groups, 1);
    let parted = matches!(separator, " " | "-" | "\u{a0}");
    let most = if parted && groups[0].len() == 4 { groups.len().min(5) } else { 1 };
    (1..=most).rev().find_map(|count| {
        let groups = &groups[..count];
        let alike = (1..count).all(|group| between(text, groups, group) == separator);
        let lengths: Vec<usize> = groups.iter().map(ExactSizeIterator::len).collect();
        let printed = matches!(lengths.as_slice(), [_] | [4, 6, 4 | 5] | [4, 4, 4, 4] | [4, 4, 4, 4, 1..=3]);
        let bytes = start..groups[count - 1].end;
        let ends = !joins_after(text, bytes.end);
        let digits: Vec<u8> =
            text[bytes.clone()].bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        (alike && printed && ends && is_card(&digits)).then_some((bytes, count))
    })
}

/// Issuers' prefixes and lengths, and the checksum of ISO/IEC 7812-1 (Luhn).
fn is_card(digits: &[u8]) -> bool {
    if !(14..=19).contains(&digits.len()) {
        return false;
    }
    let prefix = digits[..4].iter().fold(0_u16, |number, digit| number * 10 + u16::from(*digit));
    let length = digits.len();
    let of_issuer = match prefix {
        // Visa
        4000..=4999 => matches!(length, 16 | 19),
        // Mastercard
        5100..=5599 | 2221..=2720 => length == 16,
        // Discover, UnionPay, Maestro; JCB
        6000..=6999 | 5000..=5099 | 5600..=5899 | 3528..=3589 => length >= 16,
        // American Express
        3400..=3499 | 3700..=3799 => length == 15,
        // Diners
        3000..=3059 | 3600..=3699 | 3800..=3999 => length == 14,
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    of_issuer && sum.is_multiple_of(10)
}

/// The account number whose check digits begin here (ISO 13616): the letters before them, as many characters as the
/// country has, and the remainder of 97.
fn iban(text: &str, check_digits: usize) -> Option<Range<usize>> {
    let start = check_digits.checked_sub(2)?;
    let bytes = text.as_bytes();
    let country = bytes.get(start..check_digits)?;
    if !country.iter().all(u8::is_ascii_alphabetic) || joins_before(text, start) {
        return None;
    }
    let country = std::str::from_utf8(country).ok()?.to_ascii_uppercase();
    let length = IBAN_LENGTHS.split(' ').find_map(|entry| entry.trim().strip_prefix(country.as_str()))?.parse().ok()?;
    let mut end = start;
    let mut remainder = 0_u32;
    let mut head = 0_u32;
    for place in 0..length {
        // Groups of four are parted by one blank or dash.
        if place > 0 && matches!(bytes.get(end), Some(b' ' | b'-')) {
            end += 1;
        }
        let value = char::from(*bytes.get(end)?).to_digit(36)?;
        end += 1;
        let append = |remainder: u32| if value < 10 { remainder * 10 + value } else { remainder * 100 + value } % 97;
        if place < 4 {
            head = append_raw(head, value);
        } else {
            remainder = append(remainder);
        }
    }
    // The country and the check digits count last: two letters and two digits make six.
    let all = (remainder * 1_000_000 % 97 + head) % 97;
    (all == 1 && !joins_after(text, end)).then_some(start..end)
}

/// Puts the value behind the digits of a number.
fn append_raw(number: u32, value: u32) -> u32 {
    if value < 10 { number * 10 + value } else { number * 100 + value }
}
