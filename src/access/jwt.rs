//! Signed tokens of an identity provider (JWT). One algorithm, one issuer and one audience are good, whatever a token
//! says of itself; keys are read from a file and from nowhere else.

mod signature;

use std::{collections::HashMap, path::PathBuf, str, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::{Caller, Credential, Refusal, files, role::Role};
use crate::domain::steering::steers;

const SETTING: &str = "auth.jwt.key";
/// A shared secret that is shorter than the hash it makes is weaker than it.
const MIN_SECRET_BYTES: usize = 32;
/// An RSA key of 2048 bits, written as DER.
const MIN_RSA_BYTES: usize = 266;
const MAX_SUBJECT_BYTES: usize = 256;

/// Which signatures are good; there is no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum JwtAlgorithm {
    RS256,
    ES256,
    EdDSA,
    HS256,
}

/// Which signed tokens are good.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// The public key as PEM, or for HS256 the secret.
    pub key: PathBuf,
    pub algorithm: JwtAlgorithm,
    pub issuer: String,
    pub audience: String,
    /// The claim that names the role.
    pub role_claim: String,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Tells signed tokens that are good.
#[derive(Debug)]
pub(super) struct Verifier {
    key: DecodingKey,
    validation: Validation,
    role_claim: String,
}

impl Verifier {
    pub(super) fn load(settings: &JwtSettings, problems: &mut Vec<String>, warnings: &mut Vec<String>) -> Option<Self> {
        let is_secret = settings.algorithm == JwtAlgorithm::HS256;
        let content = files::read(SETTING, &settings.key, is_secret, problems, warnings)?;
        match Self::new(settings, &content) {
            Ok(verifier) => Some(verifier),
            Err(problem) => {
                problems.push(format!("{SETTING}: {}: {problem}", settings.key.display()));
                None
            }
        }
    }

    fn new(settings: &JwtSettings, key: &[u8]) -> Result<Self, String> {
        signature::install();
        let mut validation = Validation::new(match settings.algorithm {
            JwtAlgorithm::RS256 => Algorithm::RS256,
            JwtAlgorithm::ES256 => Algorithm::ES256,
            JwtAlgorithm::EdDSA => Algorithm::EdDSA,
            JwtAlgorithm::HS256 => Algorithm::HS256,
        });
        validation.validate_nbf = true;
        validation.leeway = settings.leeway.as_secs();
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        // Without these, a token that does not name them would pass.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = read_key(settings.algorithm, key)?;
        Ok(Self { key, validation, role_claim: settings.role_claim.clone() })
    }

    /// Whose token this is.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Caller, Refusal> {
        let decoded = jsonwebtoken::decode::<HashMap<String, Value>>(token, &self.key, &self.validation);
        let decoded = decoded.map_err(|error| refusal(error.kind()))?;
        // Somebody demands what we do not know.
        if decoded.header.crit.is_some() {
            return Err(Refusal::Claims);
        }
        let role = decoded.claims.get(&self.role_claim).and_then(role).ok_or(Refusal::Claims)?;
        let subject = decoded.claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        // It goes to the audit log, where no two names may look the same.
        if subject.is_empty()
            || subject.len() > MAX_SUBJECT_BYTES
            || subject.chars().any(|letter| letter.is_control() || steers(letter))
        {
            return Err(Refusal::Claims);
        }
        Ok(Caller { name: subject.into(), role, credential: Credential::Jwt })
    }
}

fn refusal(kind: &ErrorKind) -> Refusal {
    if matches!(kind, ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature) {
        return Refusal::Expired;
    }
    let is_about_claims = matches!(
        kind,
        ErrorKind::InvalidIssuer
            | ErrorKind::InvalidAudience
            | ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_)
    );
    if is_about_claims { Refusal::Claims } else { Refusal::Unknown }
}

/// One role of ours: the claim itself, or the only one in a list of what may be roles elsewhere.
fn role(claim: &Value) -> Option<Role> {
    let named = match claim.as_array() {
        Some(list) => list.iter().filter_map(Value::as_str).filter_map(Role::parse).collect(),
        None => claim.as_str().and_then(Role::parse).into_iter().collect::<Vec<_>>(),
    };
    let [role] = named[..] else { return None };
    Some(role)
}

fn read_key(algorithm: JwtAlgorithm, content: &[u8]) -> Result<DecodingKey, String> {
    let is_pem = content.starts_with(b"-----BEGIN");
    let is_private = str::from_utf8(content).is_ok_and(|text| text.contains("PRIVATE KEY"));
    let not_public = |kind: &str| format!("this is no public key of the kind {kind} in PEM");
    let (key, kind, is_right): (_, _, fn(&[u8]) -> bool) = match algorithm {
        JwtAlgorithm::HS256 => {
            let secret = content.trim_ascii_end();
            // With a public key as the secret, anybody could sign.
            if is_pem {
                return Err("HS256 takes a secret, and this is a PEM file".to_owned());
            }
            if secret.len() < MIN_SECRET_BYTES {
                return Err(format!("a secret for HS256 has at least {MIN_SECRET_BYTES} bytes"));
            }
            return Ok(DecodingKey::from_secret(secret));
        }
        JwtAlgorithm::RS256 => {
            (DecodingKey::from_rsa_pem(content), "RSA, 2048 bits or more,", |der| der.len() >= MIN_RSA_BYTES)
        }
        JwtAlgorithm::ES256 => (DecodingKey::from_ec_pem(content), "P-256", |point| point.len() == 65 && point[0] == 4),
        JwtAlgorithm::EdDSA => (DecodingKey::from_ed_pem(content), "Ed25519", |point| point.len() == 32),
    };
    if is_private {
        return Err("this is a private key; here belongs the public one".to_owned());
    }
    key.ok().filter(|key| is_right(key.as_bytes())).ok_or_else(|| not_public(kind))
}

#[cfg(test)]
mod tests;
