//! Addresses of machines: IPv4 and IPv6. Four small numbers with dots are as often a version, so the words before them
//! decide, then their size. Addresses that are the same everywhere stay, for they are symptoms and no one's: loopback,
//! 0.0.0.0, masks, self-assigned ones, public resolvers. MAC addresses stay as asset tags do.

use std::{net::Ipv6Addr, ops::Range, str::FromStr};

use super::{Found, Kind, joins_after, joins_before, number::between};

/// How far before a number the words are looked at, in bytes.
const CONTEXT_BYTES: usize = 32;
const VERSION_WORDS: [&str; 24] = [
    "version",
    "versions",
    "versionen",
    "ver",
    "vers",
    "v",
    "release",
    "rel",
    "build",
    "firmware",
    "fw",
    "update",
    "patch",
    "driver",
    "treiber",
    "client",
    "agent",
    "through",
    "before",
    "prior",
    "upgrade",
    "hotfix",
    "engine",
    "stand",
];
const ADDRESS_WORDS: [&str; 24] = [
    "ip",
    "ips",
    "ipv4",
    "address",
    "addresses",
    "addr",
    "adresse",
    "adressen",
    "host",
    "ping",
    "tracert",
    "traceroute",
    "gateway",
    "dns",
    "server",
    "subnet",
    "subnetz",
    "dhcp",
    "relay",
    "proxy",
    "src",
    "dst",
    "source",
    "destination",
];
const SHARED: [&str; 7] = ["0.0.0.0", "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "4.2.2.2"];

/// Four numbers with dots.
pub(super) struct DottedQuad {
    pub(super) bytes: Range<usize>,
    /// How many groups of digits it takes.
    pub(super) groups: usize,
    /// Whether it is the address of one machine; otherwise a version, or an address that all machines share.
    pub(super) is_address: bool,
}

/// The four numbers or more, parted by dots, that begin here.
pub(super) fn dotted_quad(text: &str, groups: &[Range<usize>]) -> Option<DottedQuad> {
    let dotted = (1..groups.len()).take_while(|group| between(text, groups, *group) == ".").count() + 1;
    if dotted < 4 {
        return None;
    }
    let bytes = groups[0].start..groups[dotted - 1].end;
    let mut octets = [0_u8; 4];
    let mut fits = dotted == 4;
    for (octet, group) in octets.iter_mut().zip(groups) {
        let digits = &text[group.clone()];
        let parsed = if digits.len() > 1 && digits.starts_with('0') { None } else { digits.parse().ok() };
        fits &= parsed.is_some();
        *octet = parsed.unwrap_or_default();
    }
    if !fits {
        // Pairs parted by dots may still be a telephone number.
        return (dotted != 5).then_some(DottedQuad { bytes, groups: dotted, is_address: false });
    }
    let behind = &text[bytes.end..];
    let of_name = |mark: char| behind.strip_prefix(mark).is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    let apart = !joins_before(text, bytes.start)
        && !text[..bytes.start].ends_with(['.', '-'])
        && !joins_after(text, bytes.end)
        && !of_name('.')
        && !of_name('-');
    let is_address = apart && !is_shared(octets, &text[bytes.clone()]) && is_meant_as_address(text, &bytes, octets);
    Some(DottedQuad { bytes, groups: dotted, is_address })
}

fn is_shared(octets: [u8; 4], written: &str) -> bool {
    let [first, second, ..] = octets;
    matches!((first, second), (127 | 255, _) | (169, 254)) || SHARED.contains(&written)
}

/// Whether the words before, what follows at once, or the size speak for an address rather than a version. Versions
/// begin small and go on in numbers of one or two digits, as 22.3.1.41 does.
fn is_meant_as_address(text: &str, bytes: &Range<usize>, [first, rest @ ..]: [u8; 4]) -> bool {
    for word in words_before(text, bytes.start).take(3) {
        if VERSION_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)) {
            return false;
        }
        if ADDRESS_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)) {
            return true;
        }
    }
    let behind = &text.as_bytes()[bytes.end..];
    let has_port = matches!(behind, [b':' | b'/', digit, ..] if digit.is_ascii_digit());
    let is_private = matches!((first, rest[0]), (10, _) | (172, 16..=31) | (192, 168));
    has_port || is_private || first > 31 || rest.iter().any(|octet| *octet >= 100)
}

/// The words before this byte, the nearest first, on the same line.
pub(super) fn words_before(text: &str, at: usize) -> impl Iterator<Item = &str> {
    let start = text.ceil_char_boundary(at.saturating_sub(CONTEXT_BYTES));
    let line = text[start..at].rsplit('\n').next().unwrap_or_default();
    line.rsplit(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// IPv6; its IPv4 forms are written with colons before the dots.
pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let is_of_address = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':';
    let bytes = text.as_bytes();
    let mut read = 0;
    for (colon, _) in text.match_indices(':') {
        if colon < read {
            continue;
        }
        let start = colon - bytes[read..colon].iter().rev().take_while(|byte| is_of_address(byte)).count();
        let mut end = colon + bytes[colon..].iter().take_while(|byte| is_of_address(byte)).count();
        read = end;
        if bytes.get(end) == Some(&b'.') {
            end += bytes[end..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
            end -= usize::from(bytes[end - 1] == b'.');
        }
        // A colon at the end is one of the sentence.
        while text[start..end].ends_with(':') && !text[start..end].ends_with("::") {
            end -= 1;
        }
        let begins = !joins_before(text, start) && !text[..start].ends_with('.');
        if is_ipv6(&text[start..end]) && begins && !joins_after(text, end) {
            found.push(Found { bytes: start..end, kind: Kind::Ip });
        }
    }
}

fn is_ipv6(written: &str) -> bool {
    const MAX_BYTES: usize = 45;
    if written.len() > MAX_BYTES || !written.bytes().any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let groups = written.split(':').filter(|group| !group.is_empty()).count();
    // World-wide names of storage ports are eight pairs; times and MAC addresses have no `::`.
    let is_pairs = written.split(':').all(|group| group.len() == 2);
    groups > 1
        && !is_pairs
        && Ipv6Addr::from_str(written).is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_kind;

    #[test]
    fn addresses_of_machines_are_told_from_versions() {
        for (text, expected) in [
            ("ping 10.44.6.3 fails", "ping <ip> fails"),
            ("host 192.168.1.20:8080/x", "host <ip>:8080/x"),
            ("(198.105.254.63).", "(<ip>)."),
            ("subnet 10.20.0.0/16", "subnet <ip>/16"),
            ("from 31.199.53.10 to 62.157.140.133", "from <ip> to <ip-2>"),
            ("IP-Adresse: 22.3.1.41", "IP-Adresse: <ip>"),
            ("fe80::1ff:fe23:4567:890a%eth0", "<ip>%eth0"),
            ("2001:db8::8a2e:370:7334, again", "<ip>, again"),
            ("[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:443", "[<ip>]:443"),
            ("::ffff:10.1.2.3", "<ip>"),
        ] {
            check_kind(text, expected);
        }
        for text in [
            "Windows 10.0.22631.4037",
            "version 4.8.1.2",
            "Citrix 22.3.1.41",
            "versions 1.4.00 through 1.5.0.1",
            "sonar engine version: 10.1.0.96",
            "v10.0.0.1 and 10.0.0.1b",
            "127.0.0.1, 0.0.0.0, ::1, 255.255.255.0 and 169.254.7.9",
            "tracert 8.8.8.8",
            "OID 1.3.6.1.4.1.311",
            "248.192.10.22.in-addr.arpa and ec2-10-1-2-3.example",
            "999.1.2.3",
            "at 12:30:45",
            "MAC 0a:f5:c1:ab:82:b3, WWN 50:06:01:60:3b:a0:11:22",
            "std::vector a::b c::d",
            "dead::beef",
        ] {
            check_kind(text, text);
        }
    }
}
