//! Who may call what. It knows nothing of gRPC, HTTP or sockets: callers hand in what they were shown.

pub mod certificates;
pub mod doors;
mod files;
pub mod jwt;
pub mod methods;
mod rate;
pub mod role;
pub mod tokens;

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU32,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{
    jwt::{JwtSettings, Verifier},
    role::Role,
    tokens::Tokens,
};

/// How callers show who they are. Where nothing is set, nobody is asked.
#[derive(Debug, Clone, Default)]
pub struct AuthSettings {
    /// The file with the hashes of tokens.
    pub tokens: Option<PathBuf>,
    pub jwt: Option<JwtSettings>,
    /// The role of each DNS name that a client's certificate may have.
    pub certificates: BTreeMap<String, Role>,
    /// For callers whose token says nothing else; `None`: no limit.
    pub calls_per_second: Option<NonZeroU32>,
}

impl AuthSettings {
    /// Whether a call needs a credential.
    pub fn is_on(&self) -> bool {
        self.tokens.is_some() || self.jwt.is_some() || !self.certificates.is_empty()
    }
}

/// What a caller showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    Token,
    Jwt,
    Certificate,
}

/// Who a call is from. Names are unique only among credentials of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    pub name: Arc<str>,
    pub role: Role,
    pub credential: Credential,
}

/// As the audit log names a caller: `token:desk`, `jwt:auth0|42`, `certificate:desk.example`.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.credential {
            Credential::Token => "token",
            Credential::Jwt => "jwt",
            Credential::Certificate => "certificate",
        };
        write!(f, "{kind}:{}", self.name)
    }
}

/// A caller whose credential is good, and how often it may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub caller: Caller,
    pub calls_per_second: Option<NonZeroU32>,
}

/// Why a credential is not taken; the label `cause` of `triage_refused_calls_total`. Callers hear the same of all but the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    /// Not one `Bearer` header.
    Malformed,
    /// A token, a signature or a certificate's name that is not ours.
    Unknown,
    Expired,
    /// A signed token that is meant for others, or says no role that we know.
    Claims,
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Claims => "claims",
        }
    }
}

/// The credentials that are good now.
#[derive(Debug, Default)]
pub struct Access {
    is_on: bool,
    tokens: Tokens,
    jwt: Option<Verifier>,
    certificates: BTreeMap<String, Role>,
    calls_per_second: Option<NonZeroU32>,
}

impl Access {
    /// Reads all that the settings name; every problem is reported with its setting.
    pub(crate) fn load(settings: &AuthSettings) -> Result<(Self, Vec<String>), Vec<String>> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let tokens = settings.tokens.as_deref().map(|path| Tokens::load(path, &mut problems, &mut warnings));
        let jwt = settings.jwt.as_ref().map(|jwt| Verifier::load(jwt, &mut problems, &mut warnings));
        if !problems.is_empty() {
            return Err(problems);
        }
        let access = Self {
            is_on: settings.is_on(),
            tokens: tokens.unwrap_or_default(),
            jwt: jwt.flatten(),
            certificates: settings.certificates.clone(),
            calls_per_second: settings.calls_per_second,
        };
        Ok((access, warnings))
    }

    /// Whether a call needs a credential.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Who showed these values of the header `authorization`, or this certificate. A header decides alone: who sends one
    /// that is wrong is not let in by a certificate.
    pub fn identify<'a>(
        &self,
        mut authorization: impl Iterator<Item = &'a [u8]>,
        certificate_names: &[String],
        now: SystemTime,
    ) -> Result<Known, Refusal> {
        let known = match (authorization.next(), authorization.next()) {
            (None, _) => self.by_certificate(certificate_names)?,
            (Some(value), None) => self.by_bearer(bearer(value).ok_or(Refusal::Malformed)?, now)?,
            (Some(_), Some(_)) => return Err(Refusal::Malformed),
        };
        let calls_per_second = known.calls_per_second.or(self.calls_per_second);
        Ok(Known { calls_per_second, ..known })
    }

    fn by_bearer(&self, bearer: &[u8], now: SystemTime) -> Result<Known, Refusal> {
        if bearer.starts_with(tokens::PREFIX.as_bytes()) {
            return self.tokens.find(bearer, now);
        }
        let verifier = self.jwt.as_ref().ok_or(Refusal::Unknown)?;
        Ok(Known { caller: verifier.verify(bearer)?, calls_per_second: None })
    }

    fn by_certificate(&self, names: &[String]) -> Result<Known, Refusal> {
        let mut known = names.iter().filter_map(|name| Some((name, *self.certificates.get(name)?)));
        let Some((name, role)) = known.next() else {
            let is_shown = !names.is_empty() && !self.certificates.is_empty();
            return Err(if is_shown { Refusal::Unknown } else { Refusal::Missing });
        };
        // Nobody said which of two roles counts.
        if known.any(|(_, other)| other != role) {
            return Err(Refusal::Unknown);
        }
        let caller = Caller { name: name.as_str().into(), role, credential: Credential::Certificate };
        Ok(Known { caller, calls_per_second: None })
    }
}

/// What stands behind `Bearer`, which may be written in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credential) = value.split_at_checked("Bearer ".len())?;
    let credential = credential.trim_ascii_start();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !credential.is_empty()).then_some(credential)
}

fn unix_time(now: SystemTime) -> Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(certificates: &[(&str, Role)]) -> Access {
        let certificates = certificates.iter().map(|(name, role)| ((*name).to_owned(), *role)).collect();
        Access { is_on: true, certificates, ..Access::default() }
    }

    #[test]
    fn only_one_bearer_header_is_a_credential() {
        let check = |values: &[&str], expected| {
            let values = values.iter().map(|value| value.as_bytes());
            let found = access(&[]).identify(values, &[], SystemTime::now());
            assert_eq!(found, Err(expected));
        };
        check(&[], Refusal::Missing);
        for malformed in ["", "Bearer", "Bearer ", "Bearer   ", "Basic dXNlcjpwYXNz", "tt_x", "Bearer\u{a0}x"] {
            check(&[malformed], Refusal::Malformed);
        }
        check(&["Bearer tt_a", "Bearer tt_a"], Refusal::Malformed);
        for unknown in ["Bearer tt_a", "bearer tt_a", "BEARER  tt_a", "Bearer a.b.c"] {
            check(&[unknown], Refusal::Unknown);
        }
    }

    #[test]
    fn a_certificate_has_the_role_of_its_name() {
        let access = access(&[("desk", Role::Triage), ("desk2", Role::Triage), ("boss", Role::Admin)]);
        let check = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            access.identify([].into_iter(), &names, SystemTime::now()).map(|known| known.caller.role)
        };
        assert_eq!(check(&["desk"]), Ok(Role::Triage));
        assert_eq!(check(&["other", "desk", "desk2"]), Ok(Role::Triage));
        assert_eq!(check(&["desk", "boss"]), Err(Refusal::Unknown));
        assert_eq!(check(&["other"]), Err(Refusal::Unknown));
        assert_eq!(check(&[]), Err(Refusal::Missing));
    }

    #[test]
    fn a_wrong_header_is_not_made_good_by_a_certificate() {
        let access = access(&[("desk", Role::Triage)]);
        let found = access.identify([&b"Bearer tt_x"[..]].into_iter(), &["desk".to_owned()], SystemTime::now());
        assert_eq!(found, Err(Refusal::Unknown));
    }
}
