//! A certificate authority of a test's own, and what it signs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Certificates and keys in a folder.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the folder, as a configuration or an argument names it.
    pub fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes `server.pem` and `server.key`, for localhost.
    pub fn write_server(&self) {
        let (certificate, key) = self.sign(&["localhost", "127.0.0.1"], false);
        write(&self.path("server.pem"), &certificate);
        write(&self.path("server.key"), &key);
    }

    /// Writes a client's certificate for `name` and its key, and names both.
    pub fn write_client(&self, name: &str) -> (String, String) {
        let (certificate, key) = self.sign(&[name], true);
        let names = [format!("{name}.pem"), format!("{name}.key")];
        write(&self.path(&names[0]), &certificate);
        write(&self.path(&names[1]), &key);
        (self.file(&names[0]), self.file(&names[1]))
    }

    /// A client that trusts this authority and shows a certificate for `name`.
    pub fn client(&self, name: Option<&str>) -> ClientTlsConfig {
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.issuer.pem()));
        match name.map(|name| self.sign(&[name], true)) {
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
            None => config,
        }
    }

    fn sign(&self, names: &[&str], is_client: bool) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![if is_client { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth }];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}
