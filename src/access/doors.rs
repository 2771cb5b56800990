//! What stands between a stranger and the methods: certificates, credentials and rates, as they are now.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio_rustls::rustls::ServerConfig;

use super::{
    Access, AuthSettings, Known,
    certificates::{Certificates, Secured, TlsSettings},
    rate::Rates,
};
use crate::telemetry::{DoorPart, METRICS, ReloadOutcome};

/// How the server is guarded.
#[derive(Debug, Clone, Default)]
pub struct DoorSettings {
    /// `None`: what is sent can be read on its way.
    pub tls: Option<TlsSettings>,
    pub auth: AuthSettings,
}

impl DoorSettings {
    /// Whether a server that other machines reach is guarded.
    pub fn are_shut(&self) -> bool {
        self.tls.is_some() && self.auth.is_on()
    }
}

/// The doors of a server.
#[derive(Debug)]
pub struct Doors {
    settings: AuthSettings,
    access: RwLock<Arc<Access>>,
    certificates: Option<Certificates>,
    rates: Rates,
    warnings: Vec<String>,
}

impl Doors {
    /// Reads every file that the settings name; all problems are reported, each with its setting.
    pub fn open(settings: DoorSettings) -> Result<Self, Vec<String>> {
        let DoorSettings { tls, auth } = settings;
        let certificates = tls.map(Certificates::load).transpose();
        let access = Access::load(&auth);
        match (certificates, access) {
            (Ok(certificates), Ok((access, mut warnings))) => {
                if let Some(secured) = certificates.as_ref().map(Certificates::now) {
                    METRICS.set_certificate_end(secured.ends);
                    warnings.extend(secured.warnings.iter().cloned());
                }
                let access = RwLock::new(Arc::new(access));
                Ok(Self { settings: auth, access, certificates, rates: Rates::default(), warnings })
            }
            (certificates, access) => Err(certificates.err().into_iter().chain(access.err()).flatten().collect()),
        }
    }

    /// What works but is probably not meant.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The credentials that are good now.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a call, or says when its caller may make the next.
    pub fn take(&self, known: &Known) -> Result<(), Duration> {
        known.calls_per_second.map_or(Ok(()), |rate| self.rates.take(&known.caller, rate, Instant::now()))
    }

    /// Whether connections are secured.
    pub fn has_tls(&self) -> bool {
        self.certificates.is_some()
    }

    /// What a new connection is secured with.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.certificates.as_ref().map(|certificates| Arc::clone(&certificates.now().calls))
    }

    /// What a new connection to the admin address is secured with.
    pub fn admin_tls(&self) -> Option<Arc<ServerConfig>> {
        self.certificates.as_ref().map(|certificates| Arc::clone(&certificates.now().admin))
    }

    /// Whether the certificates' files should be looked at again; says so once a minute.
    pub fn is_look_due(&self) -> bool {
        self.certificates.as_ref().is_some_and(|certificates| certificates.is_look_due(Instant::now()))
    }

    /// Reads certificates whose files have changed. Reads files.
    pub fn look_at_certificates(&self) {
        if let Some(read) = self.certificates.as_ref().and_then(Certificates::read_if_changed) {
            tell_certificates(read);
        }
    }

    /// Reads everything again; what cannot be used leaves the old in force. Reads files.
    pub fn read_again(&self) {
        if let Some(certificates) = &self.certificates {
            tell_certificates(certificates.read_again());
        }
        if !self.settings.is_on() {
            return;
        }
        match Access::load(&self.settings) {
            Ok((access, warnings)) => {
                *self.access.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
                tell(DoorPart::Credentials, &warnings);
            }
            Err(problems) => refuse(DoorPart::Credentials, &problems),
        }
    }
}

fn tell_certificates(read: Result<Arc<Secured>, Vec<String>>) {
    match read {
        Ok(secured) => {
            METRICS.set_certificate_end(secured.ends);
            tell(DoorPart::Certificates, &secured.warnings);
        }
        Err(problems) => refuse(DoorPart::Certificates, &problems),
    }
}

fn tell(part: DoorPart, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    METRICS.count_door_reload(part, ReloadOutcome::Replaced);
    tracing::info!(part = part.as_str(), "read again: in force for new connections and calls");
}

fn refuse(part: DoorPart, problems: &[String]) {
    METRICS.count_door_reload(part, ReloadOutcome::Refused);
    tracing::error!(part = part.as_str(), problems = problems.join("; "), "refused, the old stay in force");
}
