//! How a client reaches a server: plain or secured, and with which credential.

use std::{error::Error, fs, io, net::IpAddr, path::Path, time::Duration};

use anyhow::Context as _;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use tonic::{
    Request, Status,
    codegen::http::Uri,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::config::ClientAccess;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What calls go through.
pub(super) type Service = InterceptedService<Channel, Authorization>;

/// Shows the token with every call.
#[derive(Debug, Clone)]
pub(super) struct Authorization(Option<MetadataValue<Ascii>>);

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects to `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`. With a CA or a certificate an address without a
/// scheme means the last.
pub(super) async fn connect(address: &str, access: &ClientAccess) -> anyhow::Result<Service> {
    let wants_tls = access.ca.is_some() || access.certificate.is_some();
    let named = if address.contains("://") {
        address.to_owned()
    } else {
        format!("{}://{address}", if wants_tls { "https" } else { "http" })
    };
    let uri = named.parse::<Uri>().ok().filter(|uri| uri.authority().is_some() && uri.port().is_some());
    let uri = uri.with_context(|| {
        format!("`{address}` is not an address such as 127.0.0.1:50051 or https://triage.example:50051")
    })?;
    let is_secured = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => anyhow::bail!("`{address}`: an address begins with https:// or http://, or with neither"),
    };
    anyhow::ensure!(is_secured || !wants_tls, "--ca and --client-certificate are for https://, and {address} is not");
    anyhow::ensure!(
        is_secured || access.token.is_none() || is_this_machine(&uri),
        "the token is not sent to {address}: without TLS whoever is on the way reads it; name the server with https://"
    );
    let mut endpoint = Endpoint::from(uri).connect_timeout(CONNECT_TIMEOUT);
    if is_secured {
        endpoint = endpoint.tls_config(tls(access)?).with_context(|| unusable(access))?;
    }
    let channel = endpoint.connect().await.map_err(|error| cannot_connect(error, address))?;
    let header = access.token.as_ref().map(|token| {
        let mut value = MetadataValue::try_from(format!("Bearer {}", token.reveal()))?;
        value.set_sensitive(true);
        anyhow::Ok(value)
    });
    Ok(InterceptedService::new(channel, Authorization(header.transpose()?)))
}

/// Nobody is on the way.
fn is_this_machine(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn tls(access: &ClientAccess) -> anyhow::Result<ClientTlsConfig> {
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    let mut config = match &access.ca {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let Some((certificate, key)) = &access.certificate {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(config.timeout(CONNECT_TIMEOUT))
}

fn unusable(access: &ClientAccess) -> String {
    let path = |path: &Path| path.display().to_string();
    let ca = access.ca.as_deref().map_or_else(|| "the CAs of this machine".to_owned(), path);
    let certificate = access.certificate.as_ref();
    let identity = certificate.map(|(file, key)| format!(", {} and {}", path(file), path(key))).unwrap_or_default();
    format!("the connection cannot be secured with {ca}{identity}")
}

fn cannot_connect(error: tonic::transport::Error, address: &str) -> anyhow::Error {
    match tls_problem(&error) {
        Some(problem) => anyhow::anyhow!("the connection to {address} cannot be secured: {problem}"),
        None => {
            anyhow::Error::new(error).context(format!("no server answers at {address}; start one with `triage serve`"))
        }
    }
}

/// What TLS says was wrong, where it was TLS.
pub(super) fn tls_problem(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an I/O error carries is no source of it.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inside = inside.map_or(error, |inside| inside as &(dyn Error + 'static));
        if let Some(found) = inside.downcast_ref::<rustls::Error>() {
            return Some(explain(found));
        }
        next = inside.source();
    }
    None
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls has many errors and gets more")]
fn explain(error: &rustls::Error) -> String {
    match error {
        // The second where another CA has the same name.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is from a CA that is not trusted here; name the CA with --ca FILE".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has ended".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("its certificate is for another name: {error}"),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server asks for a certificate; give one with --client-certificate FILE --client-key FILE".to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("the server refuses: {alert:?}; it may not trust the CA of --client-certificate")
        }
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS; name it with http://".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for (uri, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://127.9.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://[::ffff:127.0.0.1]:1", true),
            ("http://localhost:1", true),
            ("http://localhost.example:1", false),
            ("http://127.0.0.1.example:1", false),
            ("http://0.0.0.0:1", false),
            ("http://10.0.0.1:1", false),
        ] {
            assert_eq!(is_this_machine(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
