//! The sections `[tls]` and `[auth]`: which files, who is let in as what. The files themselves are read by who serves:
//! the same configuration is used by commands that may not read a private key.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::access::{
    AuthSettings,
    certificates::{ClientCertificates, TlsSettings},
    doors::DoorSettings,
    jwt::{JwtAlgorithm, JwtSettings},
    role::Role,
};

/// Clocks that differ by more are wrong.
const MAX_LEEWAY_SECONDS: u64 = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
    client_certificates: ClientCertificates,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    tokens: PathBuf,
    calls_per_second: u32,
    jwt: RawJwt,
    certificates: BTreeMap<String, Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJwt {
    key: PathBuf,
    algorithm: JwtAlgorithm,
    issuer: String,
    audience: String,
    role_claim: String,
    leeway_seconds: u64,
}

/// The settings whose paths are meant from the folder of the file that names them.
pub(super) const PATHS: [&str; 5] = ["tls.certificate", "tls.key", "tls.client_ca", "auth.tokens", "auth.jwt.key"];

pub(super) fn check(tls: Option<RawTls>, auth: Option<RawAuth>, problems: &mut Vec<String>) -> DoorSettings {
    let tls = tls.and_then(|raw| check_tls(raw, problems));
    let auth = auth.map(|raw| check_auth(raw, tls.as_ref(), problems)).unwrap_or_default();
    DoorSettings { tls, auth }
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn check_tls(raw: RawTls, problems: &mut Vec<String>) -> Option<TlsSettings> {
    let RawTls { certificate, key, client_ca, client_certificates } = raw;
    match (is_set(&certificate), is_set(&key)) {
        (true, true) => {
            let client_ca = Some(client_ca).filter(|path| is_set(path));
            return Some(TlsSettings { certificate, key, client_ca, client_certificates });
        }
        (true, false) => problems.push("tls.key: is missing, and tls.certificate is set".to_owned()),
        (false, true) => problems.push("tls.certificate: is missing, and tls.key is set".to_owned()),
        (false, false) if is_set(&client_ca) => {
            problems.push("tls.client_ca: needs tls.certificate and tls.key as well".to_owned());
        }
        (false, false) => {}
    }
    None
}

fn check_auth(raw: RawAuth, tls: Option<&TlsSettings>, problems: &mut Vec<String>) -> AuthSettings {
    let RawAuth { tokens, calls_per_second, jwt, certificates } = raw;
    if !certificates.is_empty() && tls.is_none_or(|tls| tls.client_ca.is_none()) {
        problems.push("auth.certificates: needs tls.client_ca, which says whose certificates are good".to_owned());
    }
    for name in certificates.keys().filter(|name| !is_dns_name(name)) {
        problems.push(format!("auth.certificates: `{name}` is no DNS name in small letters"));
    }
    AuthSettings {
        tokens: Some(tokens).filter(|path| is_set(path)),
        jwt: check_jwt(jwt, problems),
        certificates,
        calls_per_second: NonZeroU32::new(calls_per_second),
    }
}

fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    name.split('.').all(is_label)
}

fn check_jwt(raw: RawJwt, problems: &mut Vec<String>) -> Option<JwtSettings> {
    let RawJwt { key, algorithm, issuer, audience, role_claim, leeway_seconds } = raw;
    if leeway_seconds > MAX_LEEWAY_SECONDS {
        problems.push(format!("auth.jwt.leeway_seconds: must be at most {MAX_LEEWAY_SECONDS}, is {leeway_seconds}"));
    }
    let texts = [("issuer", &issuer), ("audience", &audience), ("role_claim", &role_claim)];
    if !is_set(&key) {
        if !issuer.is_empty() || !audience.is_empty() {
            problems.push("auth.jwt.key: is missing, and auth.jwt.issuer or auth.jwt.audience is set".to_owned());
        }
        return None;
    }
    for (name, _) in texts.iter().filter(|(_, text)| text.is_empty()) {
        problems.push(format!("auth.jwt.{name}: is missing: any token of this key would be good"));
    }
    Some(JwtSettings { key, algorithm, issuer, audience, role_claim, leeway: Duration::from_secs(leeway_seconds) })
}

/// Origins of web pages, as browsers write them.
pub(super) fn check_origins(origins: &[String], problems: &mut Vec<String>) {
    for origin in origins.iter().filter(|origin| !is_origin(origin)) {
        problems.push(format!(
            "server.web_origins: `{origin}` is no origin such as https://desk.example or http://localhost:3000; \
             `*` would let in every page that a browser here opens"
        ));
    }
}

fn is_origin(origin: &str) -> bool {
    let Some(host) = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")) else { return false };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_host = inside.map_or_else(|| is_dns_name(name), |address| address.parse::<std::net::Ipv6Addr>().is_ok());
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::load, *};

    #[test]
    fn the_defaults_ask_nobody_and_let_no_page_in() {
        let config = load("", &[]).unwrap();
        assert!(config.doors.tls.is_none() && !config.doors.auth.is_on() && config.server.web_origins.is_empty());
    }

    #[test]
    fn what_is_set_is_found_beside_the_file() {
        let file = "[tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\nclient_ca = \"ca.pem\"\nclient_certificates = \"optional\"\n\
                    [auth]\ntokens = \"tokens.toml\"\ncalls_per_second = 9\n\
                    [auth.jwt]\nkey = \"jwt.pem\"\nalgorithm = \"ES256\"\nissuer = \"i\"\naudience = \"a\"\n\
                    [auth.certificates]\n\"desk.internal\" = \"triage\"\n";
        let config =
            load(file, &[("TRIAGE__AUTH__JWT__AUDIENCE", "b"), ("TRIAGE__TLS__CERTIFICATE", "d.pem")]).unwrap();
        let (tls, auth) = (config.doors.tls.unwrap(), config.doors.auth);
        assert_eq!((tls.certificate.to_str(), tls.key.to_str()), (Some("d.pem"), Some("/k.pem")));
        assert!(tls.client_ca.unwrap().is_absolute() && auth.tokens.unwrap().is_absolute());
        let jwt = auth.jwt.unwrap();
        assert!(jwt.key.is_absolute());
        assert_eq!((jwt.algorithm, jwt.audience.as_str(), jwt.role_claim.as_str()), (JwtAlgorithm::ES256, "b", "role"));
        assert_eq!(auth.certificates["desk.internal"], Role::Triage);
        assert_eq!(auth.calls_per_second.map(NonZeroU32::get), Some(9));
    }

    #[test]
    fn every_problem_names_its_setting() {
        for (file, expected) in [
            ("[tls]\nkey = \"k\"", "tls.certificate: is missing"),
            ("[tls]\ncertificate = \"c\"", "tls.key: is missing"),
            ("[tls]\nclient_ca = \"c\"", "tls.client_ca: needs"),
            ("[tls]\nclient_certificates = \"maybe\"", "tls.client_certificates: "),
            ("[auth.certificates]\ndesk = \"triage\"", "auth.certificates: needs tls.client_ca"),
            ("[auth.certificates]\n\"*.x\" = \"triage\"", "no DNS name"),
            ("[auth.certificates]\ndesk = \"root\"", "auth.certificates.desk: "),
            ("[auth.jwt]\nissuer = \"i\"", "auth.jwt.key: is missing"),
            ("[auth.jwt]\nkey = \"k\"\naudience = \"a\"", "auth.jwt.issuer: is missing"),
            ("[auth.jwt]\nalgorithm = \"none\"", "auth.jwt.algorithm: "),
            ("[auth.jwt]\nleeway_seconds = 301", "auth.jwt.leeway_seconds: "),
            ("[server]\nweb_origins = [\"*\"]", "server.web_origins: `*`"),
        ] {
            let problems = load(file, &[]).unwrap_err().problems.join("\n");
            assert!(problems.contains(expected), "{expected} is missing in\n{problems}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for origin in ["https://desk.example", "http://localhost:3000", "https://10.0.0.1", "http://[::1]:80"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in
            ["null", "", "desk.example", "https://", "https://a/", "https://a:0", "https://A", "https://*.a", "ftp://a"]
        {
            assert!(!is_origin(other), "{other}");
        }
    }
}
