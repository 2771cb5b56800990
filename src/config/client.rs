//! What commands show the server that they talk to.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// The token, where it is not in a file: never on a command line, which everybody on a machine can read.
const TOKEN: &str = "TRIAGE_TOKEN";

/// Something that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a client shows, and whom it trusts.
#[derive(Debug, Clone, Default)]
pub struct ClientAccess {
    /// The CA of the server, as PEM; `None`: those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// Where the token is.
    pub token_file: Option<PathBuf>,
    pub token: Option<Secret>,
    /// Certificate and key, as PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// The flags, and the token that they or the environment name; the file wins.
pub(super) fn check(
    flags: &ClientAccess,
    environment: &[(String, String)],
    problems: &mut Vec<String>,
) -> ClientAccess {
    let from_environment = || environment.iter().find(|(name, _)| name == TOKEN).map(|(_, token)| token.clone());
    let token = match &flags.token_file {
        Some(path) => match fs::read_to_string(path) {
            Ok(content) => Some((format!("--token-file: {}", path.display()), content)),
            Err(error) => {
                problems.push(format!("--token-file: {}: {error}", path.display()));
                None
            }
        },
        None => from_environment().map(|token| (TOKEN.to_owned(), token)),
    };
    let token = token.and_then(|(place, token)| {
        let token = token.trim();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token {
            problems.push(format!("{place}: this is no token: a token is one word"));
        }
        is_token.then(|| Secret(token.to_owned()))
    });
    for path in flags.files() {
        if let Err(error) = fs::metadata(path) {
            problems.push(format!("{}: {error}", path.display()));
        }
    }
    ClientAccess { token, ..flags.clone() }
}

impl ClientAccess {
    fn files(&self) -> impl Iterator<Item = &Path> {
        let certificate = self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(certificate).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_a_file_or_the_environment_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "tt_file\n").unwrap();
        let environment = [(TOKEN.to_owned(), "tt_environment".to_owned())];
        let found = |token_file: Option<&Path>, environment: &[(String, String)]| {
            let flags = ClientAccess { token_file: token_file.map(Path::to_owned), ..ClientAccess::default() };
            let mut problems = Vec::new();
            let access = check(&flags, environment, &mut problems);
            assert!(!format!("{access:?} {problems:?}").contains("tt_"));
            (access.token.map(|token| token.reveal().to_owned()), problems.len())
        };
        assert_eq!(found(None, &[]), (None, 0));
        assert_eq!(found(None, &environment), (Some("tt_environment".to_owned()), 0));
        assert_eq!(found(Some(&path), &environment), (Some("tt_file".to_owned()), 0));
        for wrong in ["", " \n", "tt_a b", "tt_ä"] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(found(Some(&path), &environment), (None, 1), "{wrong:?}");
        }
        assert_eq!(found(Some(Path::new("no/such")), &environment), (None, 1));
    }
}
