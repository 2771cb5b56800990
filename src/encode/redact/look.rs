//! What a value looks like, whatever stands around it: a password, a plain word, or neither. The looser a value is tied
//! to the word that introduces it, the more it must look like a secret.

use std::ops::Range;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Letters mixed with digits, signs or capitals in the wrong place, or a number of four digits and more.
    Secret,
    /// One plain word.
    Word,
    /// Neither a word nor a secret: an address, an error code, nothing.
    Other,
}

/// What follows a word for a password and is none, in lower case.
const NOT_PASSWORDS: &[&str] = &[
    "abgelaufen",
    "account",
    "ändern",
    "aendern",
    "benötigt",
    "blocked",
    "caducada",
    "change",
    "changed",
    "checked",
    "unchecked",
    "blank",
    "cambiar",
    "correct",
    "denied",
    "does",
    "empty",
    "enter",
    "erforderlich",
    "erneuern",
    "error",
    "expire",
    "expired",
    "expires",
    "expiring",
    "expiration",
    "expirado",
    "expiré",
    "failed",
    "failure",
    "falsch",
    "false",
    "fehler",
    "forgot",
    "forgotten",
    "funktioniert",
    "gesperrt",
    "geändert",
    "has",
    "help",
    "hilfe",
    "history",
    "i",
    "incorrect",
    "invalid",
    "is",
    "issue",
    "issues",
    "keeps",
    "kennwort",
    "leer",
    "locked",
    "lost",
    "manager",
    "management",
    "mismatch",
    "missing",
    "need",
    "needed",
    "neu",
    "new",
    "never",
    "nicht",
    "no",
    "none",
    "not",
    "null",
    "ok",
    "old",
    "olvidada",
    "olvidé",
    "oublié",
    "oubliée",
    "passwort",
    "password",
    "perdu",
    "please",
    "bitte",
    "policy",
    "problem",
    "problème",
    "probleme",
    "problema",
    "prompt",
    "protected",
    "rejected",
    "request",
    "required",
    "requested",
    "reset",
    "resetting",
    "restablecer",
    "réinitialiser",
    "rücksetzen",
    "same",
    "see",
    "siehe",
    "setzen",
    "settings",
    "sync",
    "synchronisation",
    "the",
    "ticket",
    "true",
    "unable",
    "ungültig",
    "unknown",
    "unlock",
    "unlocked",
    "update",
    "updated",
    "user",
    "username",
    "verfallen",
    "vergessen",
    "vergeten",
    "verlopen",
    "vencida",
    "wrong",
    "working",
    "yes",
    "ja",
    "nein",
    "zurücksetzen",
    "zuruecksetzen",
    "undefined",
    "string",
    "bloqué",
    "bloqueada",
    "geblokkeerd",
    "resetten",
    "wijzigen",
    "scaduta",
    "dimenticata",
    "esqueci",
    "expirada",
    "and",
    "or",
    "und",
    "oder",
    "self-service",
    "redacted",
    "hidden",
    "entfernt",
    "removed",
    "n/a",
    "na",
    "tbd",
];

/// What a value looks like, whatever stands around it.
pub(super) fn look(value: &str) -> Look {
    let is_code = value.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let is_place = value.contains("://")
        || value.contains(":\\")
        || value.starts_with(['\\', '<', '{', '/', ':'])
        || value.starts_with("${");
    if is_code || is_place || !value.chars().any(char::is_alphanumeric) {
        return Look::Other;
    }
    let body = value.trim_end_matches(['!', '?']);
    let digits = body.chars().filter(char::is_ascii_digit).count();
    let letters = body.chars().filter(|letter| letter.is_alphabetic()).count();
    let signs = body.chars().any(|letter| "!@#$%^&*+=?~§€|_".contains(letter));
    let capital_inside = body.chars().zip(body.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
    let is_masked = body.trim_matches(['*', 'x', 'X', '.', '•', '_', '#']).is_empty();
    let is_mixed = letters > 0 && (digits > 0 || signs || capital_inside);
    let length = value.chars().count();
    if is_masked {
        Look::Other
    } else if length >= 4 && (is_mixed || digits >= 4) {
        Look::Secret
    } else if digits == 0 && !signs {
        Look::Word
    } else {
        Look::Other
    }
}

pub(super) fn is_no_password(word: &str) -> bool {
    let word = word.trim_end_matches(['!', '?', '.']).to_lowercase();
    NOT_PASSWORDS.contains(&word.as_str())
}

/// A value that is tied to its word loosely: only what looks like a password.
pub(super) fn strict(value: &str) -> Option<Range<usize>> {
    if let Some(bytes) = quoted(value) {
        let inner = &value[bytes.clone()];
        return (look(inner) == Look::Secret || !(inner.contains(' ') || is_no_password(inner))).then_some(bytes);
    }
    let token = token(value);
    let is_secret = look(token) == Look::Secret && !is_reference(token);
    is_secret.then_some(0..token.len())
}

/// Numbers of tickets, articles and people, dates and shares: `INC0012345`, `90-day`, `2024-01-01`, `100%`.
fn is_reference(token: &str) -> bool {
    let letters = token.bytes().take_while(u8::is_ascii_uppercase).count();
    let is_ticket =
        (2..=5).contains(&letters) && token.len() > letters + 4 && token[letters..].bytes().all(|b| b.is_ascii_digit());
    let is_number = token.contains(['-', '.', '/', ':', ',', '%']) && !token.contains(char::is_alphabetic);
    let counted = token.split_once('-').is_some_and(|(count, unit)| {
        count.bytes().all(|byte| byte.is_ascii_digit()) && unit.chars().all(char::is_lowercase)
    });
    is_ticket || is_number || counted
}

/// What stands between the quotation marks that the value begins with.
pub(super) fn quoted(value: &str) -> Option<Range<usize>> {
    let mark = value.chars().next().filter(|first| "\"'`“„«»".contains(*first))?;
    let closing = match mark {
        '“' => '”',
        '„' => '“',
        '«' => '»',
        '»' => '«',
        other => other,
    };
    let start = mark.len_utf8();
    let length = value[start..].find(closing).filter(|length| *length > 0)?;
    Some(start..start + length)
}

/// The first word of the value, without what ends a sentence or begins another setting.
pub(super) fn token(value: &str) -> &str {
    let end = value.find(|c: char| c.is_whitespace() || "\"<>|".contains(c)).unwrap_or(value.len());
    let token = &value[..end];
    let setting = |mark: usize| token[mark..].contains(['=', ':']) || mark + 1 == token.len();
    let token = token.find([';', '&', ',']).filter(|mark| setting(*mark)).map_or(token, |mark| &token[..mark]);
    token.trim_end_matches(['.', ',', ';', ':', ')', ']', '}', '\'', '*', '`'])
}

/// What passwords are named beside that have a number: products, machines, places, algorithms. In lower case.
const NUMBERED: &[&str] = &[
    "android",
    "base",
    "build",
    "building",
    "chrome",
    "client",
    "desktop",
    "edge",
    "excel",
    "exchange",
    "firefox",
    "floor",
    "host",
    "ios",
    "ipad",
    "iphone",
    "laptop",
    "level",
    "macos",
    "notebook",
    "oauth",
    "office",
    "outlook",
    "page",
    "pc",
    "plant",
    "powerpoint",
    "printer",
    "raum",
    "release",
    "room",
    "sap",
    "schritt",
    "server",
    "sha",
    "sharepoint",
    "site",
    "skype",
    "step",
    "teams",
    "ubuntu",
    "utf",
    "version",
    "vpn",
    "wifi",
    "win",
    "windows",
    "wlan",
    "word",
];

/// How much a value looks like a password where nothing but its place says that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// A word, a number, or what finds the article: a product, a host, a ticket.
    None,
    /// Letters and digits, as the names of users are as well.
    Mixed,
    /// Capitals, small letters and digits, or letters, digits and a sign.
    Strong,
}

/// How much the first word looks like a password: at least six characters, letters and digits among them.
pub(super) fn strength(word: &str) -> Strength {
    const FEWEST: usize = 6;
    const SIGNS: &str = "!@#$%^&*+?~§€";
    let body = word.trim_end_matches('?');
    let is_only_of = |sign: char| sign.is_alphanumeric() || SIGNS.contains(sign);
    if body.chars().count() < FEWEST || !body.chars().all(is_only_of) || is_reference(body) {
        return Strength::None;
    }
    let has = |is: fn(char) -> bool| body.chars().any(is);
    let (is_small, is_capital) = (has(char::is_lowercase), has(char::is_uppercase));
    let is_digit = |letter: char| letter.is_ascii_digit();
    let name = body.trim_end_matches(|letter: char| is_digit(letter) || SIGNS.contains(letter)).to_lowercase();
    // $variable, %VARIABLE%, 2nd, 14days, 0x80070005.
    let begins_otherwise = !body.starts_with(char::is_alphanumeric)
        || (is_digit_first(body) && body.trim_start_matches(is_digit).chars().all(char::is_alphabetic));
    let is_known = NUMBERED.contains(&name.as_str()) || is_no_password(&name) && !is_word_for_password(&name);
    if !body.contains(is_digit)
        || !has(char::is_alphabetic)
        || begins_otherwise
        || is_known
        || look(body) != Look::Secret
    {
        Strength::None
    } else if (is_small && is_capital) || body.contains(|letter| SIGNS.contains(letter)) {
        Strength::Strong
    } else if is_small {
        Strength::Mixed
    } else {
        Strength::None
    }
}

fn is_digit_first(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_digit())
}

/// `Password1` is one that people choose.
fn is_word_for_password(name: &str) -> bool {
    ["password", "passwort", "kennwort"].contains(&name)
}
