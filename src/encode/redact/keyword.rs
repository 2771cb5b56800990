//! Words that tell that something secret follows, found in one pass over the text: what exactly follows is for
//! `password` and `secret` to say. A text without any of them costs that pass alone.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Found, Kind, login, password, secret};

/// How a word introduces its secret.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keyword {
    /// A word for a password.
    Password,
    /// One so short that the password may follow at once: `pw hunter2`, `pwd/hunter2`.
    ShortPassword,
    /// One that is an everyday word as well: only with `:` or `=` behind it.
    PlainPassword,
    Pin,
    /// A word for what one logs in with: a user's name and password follow, as in `login: ann / hunter2`.
    Login(login::Manner),
    /// A user that machines have, with the mark behind which the password follows: `admin:hunter2`.
    Administrator,
    /// The name of a key or token, with the fewest characters that one has.
    Key(usize),
    /// Part of an authorization header; the token follows at once.
    Scheme,
    /// The token begins with this word, written so, and goes on for so many characters at least.
    Token(usize),
    PemBegin,
    PemEnd,
}

const KEYWORDS: &[(&str, Keyword)] = &[
    ("password", Keyword::Password),
    ("passwort", Keyword::Password),
    ("passwörter", Keyword::Password),
    ("passwd", Keyword::Password),
    // Slips of the keyboard.
    ("psswd", Keyword::Password),
    ("pasword", Keyword::Password),
    ("paswword", Keyword::Password),
    ("passwrd", Keyword::Password),
    ("passphrase", Keyword::Password),
    ("passcode", Keyword::Password),
    ("kennwort", Keyword::Password),
    ("kennwörter", Keyword::Password),
    ("mot de passe", Keyword::Password),
    ("mots de passe", Keyword::Password),
    ("contraseña", Keyword::Password),
    // As some systems write it: the letter and its mark apart.
    ("contrasen\u{303}a", Keyword::Password),
    ("contrasena", Keyword::Password),
    ("wachtwoord", Keyword::Password),
    ("senha", Keyword::Password),
    ("palavra-passe", Keyword::Password),
    ("hasło", Keyword::Password),
    ("haslo", Keyword::PlainPassword),
    ("heslo", Keyword::Password),
    ("lösenord", Keyword::Password),
    ("adgangskode", Keyword::Password),
    ("passord", Keyword::Password),
    ("salasana", Keyword::Password),
    ("jelszó", Keyword::Password),
    ("parolă", Keyword::Password),
    ("parola", Keyword::PlainPassword),
    ("şifre", Keyword::Password),
    ("пароль", Keyword::Password),
    ("Пароль", Keyword::Password),
    ("密码", Keyword::Password),
    ("密碼", Keyword::Password),
    ("パスワード", Keyword::Password),
    ("비밀번호", Keyword::Password),
    ("pword", Keyword::PlainPassword),
    ("pass", Keyword::PlainPassword),
    ("mdp", Keyword::PlainPassword),
    ("clave", Keyword::PlainPassword),
    ("pwd", Keyword::ShortPassword),
    ("pw", Keyword::ShortPassword),
    ("login", Keyword::Login(login::Manner::Both)),
    ("logon", Keyword::Login(login::Manner::Both)),
    ("credential", Keyword::Login(login::Manner::Both)),
    ("zugangsdaten", Keyword::Login(login::Manner::Both)),
    ("anmeldedaten", Keyword::Login(login::Manner::Both)),
    ("identifiants", Keyword::Login(login::Manner::Both)),
    ("credenciales", Keyword::Login(login::Manner::Both)),
    ("user", Keyword::Login(login::Manner::Name)),
    ("account", Keyword::Login(login::Manner::Name)),
    ("benutzer", Keyword::Login(login::Manner::Name)),
    ("konto", Keyword::Login(login::Manner::Name)),
    ("utilisateur", Keyword::Login(login::Manner::Name)),
    ("usuario", Keyword::Login(login::Manner::Name)),
    ("admin:", Keyword::Administrator),
    ("administrator:", Keyword::Administrator),
    ("root:", Keyword::Administrator),
    ("guest:", Keyword::Administrator),
    ("postgres:", Keyword::Administrator),
    ("sa:", Keyword::Administrator),
    ("pin", Keyword::Pin),
    ("puk", Keyword::Pin),
    ("api key", Keyword::Key(8)),
    ("api-key", Keyword::Key(8)),
    ("api_key", Keyword::Key(8)),
    ("apikey", Keyword::Key(8)),
    ("api-schlüssel", Keyword::Key(8)),
    ("access key", Keyword::Key(12)),
    ("access-key", Keyword::Key(12)),
    ("access_key", Keyword::Key(12)),
    ("accesskey", Keyword::Key(12)),
    ("accountkey", Keyword::Key(12)),
    ("account_key", Keyword::Key(12)),
    ("sharedaccesssignature", Keyword::Key(12)),
    ("private_key", Keyword::Key(12)),
    ("encryption key", Keyword::Key(12)),
    ("subscription-key", Keyword::Key(12)),
    ("secret", Keyword::Key(6)),
    ("token", Keyword::Key(12)),
    ("key", Keyword::Key(16)),
    ("sig", Keyword::Key(16)),
    ("bearer ", Keyword::Scheme),
    ("authorization: basic ", Keyword::Scheme),
    ("AKIA", Keyword::Token(16)),
    ("ASIA", Keyword::Token(16)),
    ("AROA", Keyword::Token(16)),
    ("AIDA", Keyword::Token(16)),
    ("AIza", Keyword::Token(35)),
    ("ya29.", Keyword::Token(20)),
    ("GOCSPX-", Keyword::Token(20)),
    ("ghp_", Keyword::Token(20)),
    ("gho_", Keyword::Token(20)),
    ("ghu_", Keyword::Token(20)),
    ("ghs_", Keyword::Token(20)),
    ("ghr_", Keyword::Token(20)),
    ("github_pat_", Keyword::Token(20)),
    ("glpat-", Keyword::Token(20)),
    ("xoxa-", Keyword::Token(10)),
    ("xoxb-", Keyword::Token(10)),
    ("xoxe-", Keyword::Token(10)),
    ("xoxp-", Keyword::Token(10)),
    ("xoxr-", Keyword::Token(10)),
    ("xoxs-", Keyword::Token(10)),
    ("xapp-", Keyword::Token(10)),
    ("hooks.slack.com/services/", Keyword::Token(20)),
    ("sk_live_", Keyword::Token(16)),
    ("sk_test_", Keyword::Token(16)),
    ("rk_live_", Keyword::Token(16)),
    ("rk_test_", Keyword::Token(16)),
    ("whsec_", Keyword::Token(16)),
    ("sk-", Keyword::Token(20)),
    ("SG.", Keyword::Token(40)),
    ("npm_", Keyword::Token(30)),
    ("pypi-", Keyword::Token(40)),
    ("hf_", Keyword::Token(30)),
    ("dop_v1_", Keyword::Token(40)),
    ("eyJ", Keyword::Token(16)),
    ("-----begin ", Keyword::PemBegin),
    ("-----end ", Keyword::PemEnd),
];

/// Built from constants well within its limits; without it nothing is found, which the tests would notice.
static SEARCHER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::DFA))
        .build(KEYWORDS.iter().map(|(word, _)| word))
        .ok()
});

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let Some(searcher) = &*SEARCHER else { return };
    let mut read = 0;
    for hit in searcher.find_iter(text) {
        let word = hit.range();
        // What is within a secret introduces none.
        if word.start < read {
            continue;
        }
        let secret = of(text, word, KEYWORDS[hit.pattern().as_usize()]);
        if let Some(secret) = secret {
            read = secret.bytes.end;
            found.push(secret);
        }
    }
}

fn of(text: &str, word: Range<usize>, (written, keyword): (&str, Keyword)) -> Option<Found> {
    let found = |kind: Kind| move |bytes: Range<usize>| Found { bytes, kind };
    match keyword {
        Keyword::Password => password::behind(text, word, password::Manner::Long).map(found(Kind::Password)),
        Keyword::ShortPassword => password::behind(text, word, password::Manner::Short).map(found(Kind::Password)),
        Keyword::PlainPassword => password::behind(text, word, password::Manner::Plain).map(found(Kind::Password)),
        Keyword::Login(manner) => login::behind(text, word, manner).map(found(Kind::Password)),
        Keyword::Administrator => login::of_administrator(text, word).map(found(Kind::Password)),
        Keyword::Pin => password::pin(text, word).map(found(Kind::Password)),
        Keyword::Key(fewest) => secret::named(text, word, fewest).map(found(Kind::Secret)),
        Keyword::Scheme => secret::of_header(text, word).map(found(Kind::Secret)),
        Keyword::Token(fewest) => secret::token(text, word, written, fewest).map(found(Kind::Secret)),
        Keyword::PemBegin => secret::pem(text, word).map(found(Kind::PrivateKey)),
        Keyword::PemEnd => secret::pem_without_begin(text, word).map(found(Kind::PrivateKey)),
    }
}
