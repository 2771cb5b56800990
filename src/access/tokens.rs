//! Bearer tokens: random, shown once, kept as hashes. A token has 256 random bits, so nobody finds it by trying and a
//! plain SHA-256 keeps it; slow hashes are for passwords, which people choose, and would cost every call.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{Date, Time, format_description::FormatItem, macros::format_description};

use super::{Caller, Credential, Known, Refusal, files, role::Role, unix_time};

/// What every token begins with, so that scanners for secrets find it.
pub const PREFIX: &str = "tt_";

const SETTING: &str = "auth.tokens";
const RANDOM_BYTES: usize = 32;
const MAX_NAME_CHARS: usize = 64;
const DAY: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]");

type Hash = [u8; 32];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTokens {
    #[serde(default)]
    token: Vec<RawToken>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: String,
    role: Role,
    sha256: String,
    calls_per_second: Option<NonZeroU32>,
    expires: Option<String>,
}

/// The tokens of a file.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    hash: Hash,
    known: Known,
    /// Seconds since 1970.
    expires: Option<u64>,
}

impl Tokens {
    pub(super) fn load(path: &Path, problems: &mut Vec<String>, warnings: &mut Vec<String>) -> Self {
        let Some(content) = files::read(SETTING, path, false, problems, warnings) else { return Self::default() };
        Self::parse(&String::from_utf8_lossy(&content)).unwrap_or_else(|found| {
            problems.extend(found.into_iter().map(|problem| format!("{SETTING}: {}: {problem}", path.display())));
            Self::default()
        })
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        // The message alone: the whole error quotes the file.
        let raw: RawTokens = toml::from_str(text).map_err(|error| vec![error.message().to_owned()])?;
        let (mut tokens, mut problems) = (Self::default(), Vec::new());
        let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        for token in raw.token {
            let name = token.name.clone();
            match Entry::parse(token) {
                Ok(entry) if names.insert(name.clone()) && hashes.insert(entry.hash) => tokens.entries.push(entry),
                Ok(_) => problems.push(format!("token `{name}`: its name or its hash stands there twice")),
                Err(problem) => problems.push(format!("token `{name}`: {problem}")),
            }
        }
        if tokens.entries.is_empty() && problems.is_empty() {
            problems.push("no token stands there; `triage token new` makes one".to_owned());
        }
        if problems.is_empty() { Ok(tokens) } else { Err(problems) }
    }

    /// Whose token this is. Takes as long whatever the token is.
    pub(super) fn find(&self, token: &[u8], now: SystemTime) -> Result<Known, Refusal> {
        let hash: Hash = Sha256::digest(token).into();
        let mut found = None;
        for entry in &self.entries {
            if bool::from(entry.hash.ct_eq(&hash)) {
                found = Some(entry);
            }
        }
        let entry = found.ok_or(Refusal::Unknown)?;
        if entry.expires.is_some_and(|expires| unix_time(now).as_secs() >= expires) {
            return Err(Refusal::Expired);
        }
        Ok(entry.known.clone())
    }
}

impl Entry {
    fn parse(raw: RawToken) -> Result<Self, String> {
        let RawToken { name, role, sha256, calls_per_second, expires } = raw;
        check_name(&name)?;
        let hash = parse_hash(&sha256).ok_or("sha256 must be 64 hexadecimal digits, and never the token itself")?;
        let expires = expires.map(|day| end_of(&day)).transpose()?;
        let caller = Caller { name: name.into(), role, credential: Credential::Token };
        Ok(Self { hash, known: Known { caller, calls_per_second }, expires })
    }
}

/// Names go to logs and metrics.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | ' ');
    if name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARS || !name.chars().all(is_plain) {
        return Err(format!("a name has 1 to {MAX_NAME_CHARS} letters, digits, blanks or `-_.@`"));
    }
    Ok(())
}

fn parse_hash(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if text.len() != 2 * hash.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// When the last day that a token is good for is over, in seconds since 1970.
fn end_of(day: &str) -> Result<u64, String> {
    let date = Date::parse(day, DAY).map_err(|_| format!("expires: `{day}` is no day such as 2027-01-31"))?;
    let last = date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp();
    let over = u64::try_from(last).ok().and_then(|last| last.checked_add(Duration::from_hours(24).as_secs()));
    over.ok_or_else(|| format!("expires: `{day}` is before 1970"))
}

/// A token that nobody had before, and what the tokens file gets for it.
#[derive(Debug)]
pub struct NewToken {
    /// Stands nowhere else.
    pub token: String,
    /// Lines for the tokens file.
    pub lines: String,
}

impl NewToken {
    /// Fails for a name or a day that a tokens file may not have, or where this machine has no random numbers.
    pub fn make(
        name: &str,
        role: Role,
        calls_per_second: Option<NonZeroU32>,
        expires: Option<&str>,
    ) -> Result<Self, String> {
        check_name(name)?;
        expires.map(end_of).transpose()?;
        let mut random = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut random).map_err(|_| "this machine gives no random numbers".to_owned())?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let hash = Sha256::digest(&token);
        let mut lines = format!("[[token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{hash:x}\"\n");
        let calls = calls_per_second.map(|calls| format!("calls_per_second = {calls}\n"));
        let expires = expires.map(|day| format!("expires = \"{day}\"\n"));
        lines.extend(calls.into_iter().chain(expires));
        Ok(Self { token, lines })
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn find(lines: &str, token: &str) -> Result<Role, Refusal> {
        let now = UNIX_EPOCH + Duration::from_hours(500_000); // 2027-01-15
        Tokens::parse(lines).unwrap().find(token.as_bytes(), now).map(|known| known.caller.role)
    }

    #[test]
    fn a_new_token_is_found_by_its_lines_and_no_other_is() {
        let desk = NewToken::make("desk", Role::Triage, NonZeroU32::new(5), Some("2027-01-15")).unwrap();
        let boss = NewToken::make("the boss", Role::Admin, None, None).unwrap();
        assert_eq!(desk.token.len(), PREFIX.len() + 43);
        assert_ne!(desk.token, boss.token);
        assert!(!desk.lines.contains(&desk.token[3..]), "{}", desk.lines);
        let lines = format!("{}\n{}", desk.lines, boss.lines);
        assert_eq!(find(&lines, &desk.token), Ok(Role::Triage));
        assert_eq!(find(&lines, &boss.token), Ok(Role::Admin));
        for wrong in [PREFIX, "", &desk.token[..45], &format!("{}a", desk.token), &desk.token.to_lowercase()] {
            assert_eq!(find(&lines, wrong), Err(Refusal::Unknown), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_good_to_the_end_of_its_last_day() {
        for (day, expected) in [
            ("2027-01-14", Err(Refusal::Expired)),
            ("2027-01-15", Ok(Role::Job)),
            ("2028-02-29", Ok(Role::Job)),
            ("1970-01-01", Err(Refusal::Expired)),
        ] {
            let token = NewToken::make("job", Role::Job, None, Some(day)).unwrap();
            assert_eq!(find(&token.lines, &token.token), expected, "{day}");
        }
    }

    #[test]
    fn a_file_that_is_wrong_says_where() {
        let hash = "0".repeat(64);
        let entry = |name: &str, rest: &str| format!("[[token]]\nname = \"{name}\"\nrole = \"job\"\n{rest}\n");
        let hashed = |name: &str| entry(name, &format!("sha256 = \"{hash}\""));
        for (file, expected) in [
            (String::new(), "no token"),
            (entry("a", "sha256 = \"tt_secret\""), "64 hexadecimal"),
            (entry("a", &format!("sha256 = \"{}\"", "+1".repeat(32))), "64 hexadecimal"),
            (hashed("a") + &hashed("a"), "twice"),
            (hashed("a") + &hashed("b"), "twice"),
            (hashed("a\\nb"), "a name has"),
            (hashed("a").replace("job", "root"), "unknown variant `root`"),
            (hashed("a") + "expires = \"2027-13-01\"", "no day"),
            (hashed("a") + "calls_per_second = 0", "nonzero"),
            (hashed("a") + "colour = 1", "unknown field `colour`"),
        ] {
            let problems = Tokens::parse(&file).unwrap_err().join("\n");
            assert!(problems.contains(expected), "{expected} is missing in {problems}");
            assert!(!problems.contains(&hash) && !problems.contains("tt_secret"), "{problems}");
        }
    }
}
