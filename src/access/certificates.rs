//! Certificates: the server's own, and which clients' are good. They are read again when the server is told to, and when
//! the files have changed: programs that renew certificates only replace files.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use webpki::{EndEntityCert, KeyUsage};

use super::files;

/// Files are looked at so often, when somebody connects.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// It is said of a certificate that it ends when it ends within this time.
const ENDS_SOON: Duration = Duration::from_hours(24 * 7);

/// Whether who connects must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    Required,
    Optional,
}

/// The files of TLS.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The certificate and those between it and its CA, as PEM.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The CAs whose certificates clients may show; `None`: clients are not asked for any.
    pub client_ca: Option<PathBuf>,
    pub client_certificates: ClientCertificates,
}

/// What connections are secured with.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) calls: Arc<ServerConfig>,
    /// Without the demand for a certificate: who probes has none.
    pub(super) admin: Arc<ServerConfig>,
    /// When the server's certificate ends.
    pub(super) ends: Option<SystemTime>,
    pub(super) warnings: Vec<String>,
}

impl Secured {
    /// Reads the files; every problem is reported with its setting.
    pub(super) fn load(settings: &TlsSettings) -> Result<Self, Vec<String>> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let mut read =
            |setting: &str, path: &Path, is_secret| files::read(setting, path, is_secret, &mut problems, &mut warnings);
        let certificate = read("tls.certificate", &settings.certificate, false);
        let key = read("tls.key", &settings.key, true);
        let client_ca = settings.client_ca.as_deref().map(|path| (path, read("tls.client_ca", path, false)));

        let mut problem = |setting: &str, path: &Path, what: &dyn Display| {
            problems.push(format!("{setting}: {}: {what}", path.display()));
        };
        let chain = certificate.and_then(|pem| {
            certificates(&pem).map_err(|error| problem("tls.certificate", &settings.certificate, &error)).ok()
        });
        let key = key.and_then(|pem| {
            let key = PrivateKeyDer::from_pem_slice(&pem);
            key.map_err(|_| problem("tls.key", &settings.key, &"this is no private key in PEM")).ok()
        });
        let roots = client_ca.map(|(path, pem)| {
            let roots = pem.and_then(|pem| roots(&pem).map_err(|error| problem("tls.client_ca", path, &error)).ok());
            roots.map(Arc::new)
        });
        let (Some(chain), Some(key), Some(roots)) = (chain, key, roots.map_or(Some(None), |roots| roots.map(Some)))
        else {
            return Err(problems);
        };
        let ends = chain.first().and_then(ends);
        warnings.extend(ends.and_then(|ends| warn_of(ends, &settings.certificate)));
        let is_required = settings.client_certificates == ClientCertificates::Required;
        let config = |is_required, protocols: &[&[u8]]| {
            let clients = clients(roots.clone(), is_required).map_err(|error| ("tls.client_ca", error))?;
            server_config(clients, chain.clone(), key.clone_key(), protocols).map_err(|error| ("tls.key", error))
        };
        let calls = config(is_required, &[b"h2", b"http/1.1"]);
        let admin = config(false, &[b"http/1.1"]);
        match (calls, admin) {
            (Ok(calls), Ok(admin)) if problems.is_empty() => {
                Ok(Self { calls: Arc::new(calls), admin: Arc::new(admin), ends, warnings })
            }
            (Err((setting, error)), _) | (Ok(_), Err((setting, error))) => {
                problems.push(format!("{setting}: {error}"));
                Err(problems)
            }
            (Ok(_), Ok(_)) => Err(problems),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or("this is no certificate in PEM")
}

fn roots(pem: &[u8]) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|_| "this is no certificate of a CA")?;
    }
    Ok(roots)
}

fn clients(roots: Option<Arc<RootCertStore>>, is_required: bool) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let Some(roots) = roots else { return Ok(Arc::new(NoClientAuth)) };
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()));
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| rustls::Error::General(error.to_string()))
}

fn server_config(
    clients: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                return rustls::Error::General("the key is not the one of tls.certificate".to_owned());
            }
            error
        })?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The DNS names of a certificate whose chain was found to be good.
pub fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    certificate.valid_dns_names().map(str::to_owned).collect()
}

/// When a certificate ends: asked whether it is good at the end of time, webpki says when it ended.
fn ends(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::from(u32::MAX) * 1_000));
    let checked = certificate.verify_for_usage(&[], &[], &[], end_of_time, KeyUsage::server_auth(), None, None);
    // Otherwise it is of another kind than the question.
    let webpki::Error::CertExpired { not_after, .. } = checked.err()? else { return None };
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.as_secs()))
}

fn warn_of(ends: SystemTime, certificate: &Path) -> Option<String> {
    let day = OffsetDateTime::from(ends).format(&Rfc3339).unwrap_or_default();
    let certificate = certificate.display();
    let now = SystemTime::now();
    if ends <= now {
        return Some(format!("tls.certificate: {certificate} has ended on {day}: clients refuse it"));
    }
    (ends <= now + ENDS_SOON).then(|| format!("tls.certificate: {certificate} ends on {day}"))
}

/// What tells that a file was replaced.
type Stamp = Vec<Option<(SystemTime, u64)>>;

/// What connections are secured with now.
#[derive(Debug)]
pub(super) struct Certificates {
    settings: TlsSettings,
    secured: RwLock<Arc<Secured>>,
    watch: Mutex<Watch>,
}

#[derive(Debug)]
struct Watch {
    /// Of the files that were read last, good or not.
    stamp: Stamp,
    next_look: Instant,
}

impl Certificates {
    pub(super) fn load(settings: TlsSettings) -> Result<Self, Vec<String>> {
        // Before the files are read: what changes meanwhile is seen as a change.
        let watch = Watch { stamp: stamp(&settings), next_look: Instant::now() };
        let secured = RwLock::new(Arc::new(Secured::load(&settings)?));
        Ok(Self { settings, secured, watch: Mutex::new(watch) })
    }

    pub(super) fn now(&self) -> Arc<Secured> {
        Arc::clone(&self.secured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether files may have changed since they were looked at; says so once a minute.
    pub(super) fn is_look_due(&self, now: Instant) -> bool {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = now >= watch.next_look;
        if is_due {
            watch.next_look = now + LOOK_EVERY;
        }
        is_due
    }

    /// Reads the files where they have changed; `None` where they have not.
    pub(super) fn read_if_changed(&self) -> Option<Result<Arc<Secured>, Vec<String>>> {
        let stamp = stamp(&self.settings);
        {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            if watch.stamp == stamp {
                return None;
            }
            watch.stamp = stamp;
        }
        Some(self.read_again())
    }

    /// Reads the files; what cannot be used leaves the old in force.
    pub(super) fn read_again(&self) -> Result<Arc<Secured>, Vec<String>> {
        let secured = Arc::new(Secured::load(&self.settings)?);
        *self.secured.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&secured);
        Ok(secured)
    }
}

fn stamp(settings: &TlsSettings) -> Stamp {
    let files = [Some(&settings.certificate), Some(&settings.key), settings.client_ca.as_ref()];
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.into_iter().flatten().map(stamp).collect()
}

#[cfg(test)]
mod tests;
