//! What is in a backup: the first file of the archive, against which all others are held.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::BackupError;

/// Changes whenever older programs could not read the archive.
const FORMAT: u32 = 1;
/// More than any data directory has.
const MAX_FILES: usize = 100_000;
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MAX_MANIFEST_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version of the program that made it.
    pub(super) program: String,
    /// The version of the database's schema.
    pub(super) schema: i64,
    /// Milliseconds since 1970.
    pub(super) taken_at_ms: u64,
    /// In the order of the archive.
    pub(super) files: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Within the data directory, with `/`.
    pub(super) path: String,
    pub(super) bytes: u64,
    /// In hexadecimal digits.
    pub(super) sha256: String,
}

impl Manifest {
    pub(super) fn new(schema: i64, taken_at_ms: u64, files: Vec<Entry>) -> Self {
        Self { format: FORMAT, program: env!("CARGO_PKG_VERSION").to_owned(), schema, taken_at_ms, files }
    }

    /// Reads a manifest, refusing what this program would not have written.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| BackupError::Damaged(format!("{MANIFEST}: {error}"));
        // The version first: a manifest of the future may hold what is unknown here.
        let Version { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            return Err(BackupError::OtherFormat { found: format, known: FORMAT });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        if manifest.files.len() > MAX_FILES {
            return Err(BackupError::Damaged(format!("it names more than {MAX_FILES} files")));
        }
        match manifest.files.iter().find(|file| !is_ours(&file.path)) {
            Some(file) => Err(BackupError::Damaged(format!("{:?} is no file of a data directory", file.path))),
            None => Ok(manifest),
        }
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// Whether a file of this name may stand in a backup; whatever else it leads to, it stays within the directory.
fn is_ours(path: &str) -> bool {
    let plain = |part: &str| {
        !part.starts_with('.')
            && !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
    };
    // As the system reads it, and not only as we do.
    let is_relative = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    is_relative
        && match path.split('/').collect::<Vec<_>>().as_slice() {
            [name] => super::TOP_FILES.contains(name),
            ["jobs", name] => plain(name),
            ["models", version, name] => plain(version) && plain(name),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_data_directory_are_taken() {
        for ours in ["triage.sqlite3", "audit.key", "models/desk-1.2+a/weights.safetensors", "jobs/sent-aB1.jsonl"] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in [
            "",
            "/etc/passwd",
            "../triage.sqlite3",
            "models/../x/y",
            "models/a/../../b",
            "models//x",
            "models/a",
            "models/a/b/c",
            "jobs/.hidden",
            "jobs/..",
            "jobs/a b",
            "lock",
            "index/articles/meta.json",
            "triage.sqlite3/x",
            "C:\\x",
            "jobs/a\\b",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn a_manifest_of_the_future_or_with_strange_files_is_refused() {
        let entry = Entry { path: "audit.key".to_owned(), bytes: 1, sha256: String::new() };
        let manifest = Manifest::new(12, 0, vec![entry.clone()]);
        let written = |manifest: &Manifest| serde_json::to_vec(manifest).unwrap();
        assert_eq!(Manifest::parse(&written(&manifest)).unwrap(), manifest);
        let future = Manifest { format: 2, ..manifest.clone() };
        assert!(matches!(Manifest::parse(&written(&future)), Err(BackupError::OtherFormat { found: 2, .. })));
        let strange = Manifest { files: vec![Entry { path: "../x".to_owned(), ..entry }], ..manifest };
        for damaged in [written(&strange), b"{".to_vec(), b"{\"format\":1}".to_vec()] {
            assert!(matches!(Manifest::parse(&damaged), Err(BackupError::Damaged(_))));
        }
    }
}
