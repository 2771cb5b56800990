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

#[cfg(test)]
mod tests {
    use super::super::tests::check_kind;

    #[test]
    fn a_password_beside_a_name_is_replaced_and_the_name_stays() {
        for (text, expected) in [
            ("admin:hunter22", "admin:<password>"),
            ("use sa:Qwer!1234, then root:toor99", "use sa:<password>, then root:<password-2>"),
            ("curl -u admin:hunter22 https://host.example", "curl -u admin:<password> https://host.example"),
            ("login: ann / Winter2023!", "login: ann / <password>"),
            ("Login=ann/hunter22", "Login=ann/<password>"),
            ("credentials ann / Winter2023!", "credentials ann / <password>"),
            ("Zugangsdaten: DESK\\ann | Winter2023", "Zugangsdaten: DESK\\ann | <password>"),
            ("user: ann:Hunter22", "user: ann:<password>"),
            ("user/pass: ann/Winter2023!", "user/pass: ann/<password>"),
            ("user/password: ann/Winter2023!", "user/password: ann/<password>"),
            ("username: ann@x.example / Winter2023!", "username: <email> / <password>"),
        ] {
            check_kind(text, expected);
        }
    }

    #[test]
    fn pairs_of_names_hosts_and_states_stay() {
        for text in [
            "login: ann12 / bob3456, user: ann / laptop12",
            "login failed: Error1234, user name: Ann12345, User ID: Ann12345",
            "login page / Windows10, account: ann / SRV-DB-01",
            "user:ann12345, login: ann12345, credentials: expired / Office365",
            "admin: please, admin:expired, sysadmin:hunter22x?",
            "root:x:0:0:root:/root:/bin/bash, visa:ab12cd34",
            "plant:plant_304, ESP:SHA1-None+60min, MSSQL:MSSQL$DPM2012",
        ] {
            check_kind(text, text);
        }
    }
}
