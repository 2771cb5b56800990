use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

use super::*;

/// A folder with a CA, and a certificate with its key for each year in which it ends.
struct Files {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), ca }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, last_year: i32) -> TlsSettings {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["desk.internal".to_owned(), "Other.internal".to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 2, 3);
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let settings = TlsSettings {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            client_ca: None,
            client_certificates: ClientCertificates::Required,
        };
        fs::write(&settings.certificate, certificate.pem()).unwrap();
        fs::write(&settings.key, key.serialize_pem()).unwrap();
        allow(&settings.key, 0o600);
        settings
    }
}

fn allow(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_certificate_says_when_it_ends_and_for_whom_it_is() {
    let files = Files::new();
    for (year, is_warned) in [(2020, true), (2090, false)] {
        let settings = files.write("server", year);
        let secured = Secured::load(&settings).unwrap();
        assert_eq!(OffsetDateTime::from(secured.ends.unwrap()).year(), year);
        assert_eq!(secured.warnings.len(), usize::from(is_warned), "{:?}", secured.warnings);
        let chain = certificates(&fs::read(&settings.certificate).unwrap()).unwrap();
        assert_eq!(dns_names(&chain[0]), ["desk.internal", "Other.internal"]);
    }
}

#[test]
fn every_problem_is_reported_with_its_setting() {
    let files = Files::new();
    let (good, other) = (files.write("server", 2090), files.write("other", 2090));
    let nonsense = files.path("nonsense");
    fs::write(&nonsense, "-----BEGIN NONSENSE-----\n").unwrap();
    let with_ca = |client_ca| TlsSettings { client_ca: Some(client_ca), ..good.clone() };
    for (settings, expected) in [
        (TlsSettings { key: other.key.clone(), ..good.clone() }, &["tls.key: ", "not the one of tls.certificate"][..]),
        (TlsSettings { certificate: good.key.clone(), ..good.clone() }, &["tls.certificate: ", "no certificate"]),
        (TlsSettings { key: good.certificate.clone(), ..good.clone() }, &["tls.key: ", "no private key"]),
        (with_ca(nonsense.clone()), &["tls.client_ca: ", "no certificate"]),
        (
            TlsSettings { certificate: nonsense.clone(), key: files.path("missing"), ..with_ca(nonsense.clone()) },
            &["tls.certificate: ", "tls.key: ", "missing", "tls.client_ca: "],
        ),
    ] {
        let problems = Secured::load(&settings).unwrap_err().join("\n");
        for part in expected {
            assert!(problems.contains(part), "{part} is missing in {problems}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_told_and_one_that_they_may_write_is_refused() {
    let files = Files::new();
    let settings = files.write("server", 2090);
    for (mode, warnings, is_good) in [(0o600, 0, true), (0o640, 0, true), (0o644, 1, true), (0o666, 0, false)] {
        allow(&settings.key, mode);
        match Secured::load(&settings) {
            Ok(secured) => assert!(is_good && secured.warnings.len() == warnings, "{mode:o}: {secured:?}"),
            Err(problems) => assert!(!is_good && problems.join("").contains("chmod o-w"), "{problems:?}"),
        }
    }
}

#[test]
fn files_are_looked_at_once_a_minute_and_read_where_they_changed() {
    let files = Files::new();
    let certificates = Certificates::load(files.write("server", 2090)).unwrap();
    let start = Instant::now();
    let due = [0, 1, 59, 60, 61, 120].map(|seconds| certificates.is_look_due(start + Duration::from_secs(seconds)));
    assert_eq!(due, [true, false, false, true, false, true]);

    assert!(certificates.read_if_changed().is_none());
    let first = certificates.now();
    // Half of a renewal: the key is not the one of the certificate yet.
    fs::write(&certificates.settings.certificate, "").unwrap();
    assert!(certificates.read_if_changed().unwrap().is_err());
    assert!(certificates.read_if_changed().is_none());
    assert!(Arc::ptr_eq(&first, &certificates.now()));
    files.write("server", 2091);
    assert!(certificates.read_if_changed().unwrap().is_ok());
    assert_eq!(OffsetDateTime::from(certificates.now().ends.unwrap()).year(), 2091);
}
