//! Which addresses other machines reach, and what must guard them then.

use std::net::SocketAddr;

use super::{Config, Server};

/// The server would listen beyond loopback, and not everything guards it that should.
#[derive(Debug, thiserror::Error)]
#[error(
    "refusing to listen on {address}: it can be reached from other machines, and {missing}; set tls.certificate and \
     tls.key, and one of auth.tokens, auth.jwt and auth.certificates (see SECURITY.md), or listen on 127.0.0.1, or pass \
     --insecure if you mean it"
)]
pub struct ExposedAddress {
    pub address: SocketAddr,
    missing: &'static str,
}

impl Config {
    /// Refuses addresses beyond loopback unless connections are secured and callers are known, or the desk asked for it.
    pub fn check_exposure(&self) -> Result<(), ExposedAddress> {
        let Server { listen, admin_listen, insecure, .. } = &self.server;
        let exposed = [Some(*listen), *admin_listen].into_iter().flatten().find(is_exposed);
        let Some(address) = exposed.filter(|_| !insecure && !self.doors.are_shut()) else { return Ok(()) };
        let missing = match (self.doors.tls.is_some(), self.doors.auth.is_on()) {
            (false, false) => "nothing guards it",
            (false, true) => "without TLS whoever is on the way reads tickets and credentials",
            (true, _) => "it asks nobody for a credential",
        };
        Err(ExposedAddress { address, missing })
    }
}

/// Whether other machines can reach the address.
pub fn is_exposed(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn addresses_beyond_loopback_need_tls_and_credentials_or_the_flag() {
        let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\n";
        let auth = "[auth]\ntokens = \"t\"\n";
        let addresses = [
            ("127.0.0.1:0", false),
            ("127.8.0.1:0", false),
            ("[::1]:0", false),
            ("[::ffff:127.0.0.1]:0", false),
            ("0.0.0.0:0", true),
            ("[::]:0", true),
            ("10.0.0.1:0", true),
            ("[::ffff:10.0.0.1]:0", true),
            ("[::ffff:0.0.0.0]:0", true),
        ];
        for (address, exposed) in addresses {
            for key in ["LISTEN", "ADMIN_LISTEN"] {
                for (doors, shut) in [("", false), (tls, false), (auth, false), (&*format!("{tls}{auth}"), true)] {
                    for insecure in ["true", "false"] {
                        let name = format!("TRIAGE__SERVER__{key}");
                        let environment = [(name.as_str(), address), ("TRIAGE__SERVER__INSECURE", insecure)];
                        let refused = load(doors, &environment).unwrap().check_exposure().is_err();
                        assert_eq!(
                            refused,
                            exposed && !shut && insecure == "false",
                            "{address} {key} {insecure} {doors}"
                        );
                    }
                }
            }
        }
    }
}
