//! The directory as files: who may read it, what killed processes left in it, and how much room there is.

use std::{fs, io, path::Path};

use super::{Finding, Mend};
use crate::{
    audit::KEY_FILE,
    backup::{RESTORING, free_bytes},
    jobs::SPOOL_FOLDER,
    registry::MODELS_FOLDER,
};

/// What tickets that a client sends are called until all of them are there.
const UNFINISHED: &str = ".part";

/// Less room than this is told: an index that is merged, or a backup, needs some.
const LEAST_FREE_BYTES: u64 = 512 << 20;

/// Rights of others to the directory, and of anybody but the user to the key.
#[cfg(unix)]
pub fn rights(directory: &Path) -> Vec<Finding> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &Path| fs::metadata(path).map_or(0, |found| found.permissions().mode());
    let mut findings = Vec::new();
    if mode(directory) & 0o007 != 0 {
        let finding = Finding::warning("rights", directory, "every user of this machine can look into it");
        findings.push(finding.remedy("chmod o-rwx, or --mend").mended_by(Mend::Restrict));
    }
    let key = directory.join(KEY_FILE);
    if mode(&key) & 0o077 != 0 {
        let finding = Finding::warning("rights", &key, "others can read the key of the audit log");
        findings.push(finding.remedy("chmod 600, or --mend").mended_by(Mend::Restrict));
    }
    findings
}

/// Other systems tell rights in other ways.
#[cfg(not(unix))]
pub fn rights(_: &Path) -> Vec<Finding> {
    Vec::new()
}

/// Takes the rights away that [`rights`] found: of a folder those of others, of a file all but the user's.
pub(super) fn restrict(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let mut permissions = fs::metadata(path)?.permissions();
        let kept = if path.is_dir() { 0o770 } else { 0o600 };
        permissions.set_mode(permissions.mode() & kept);
        fs::set_permissions(path, permissions)?;
    }
    Ok(())
}

pub(super) fn room(directory: &Path) -> Option<Finding> {
    let free = free_bytes(directory).filter(|free| *free < LEAST_FREE_BYTES)?;
    let problem = format!("only {} MiB are free for it", free >> 20);
    Some(Finding::warning("room", directory, problem).remedy("make room before writes fail"))
}

/// Files that nobody needs once the process is gone that made them. What nobody here would have named so is somebody
/// else's, and stays.
pub(super) fn leftovers(directory: &Path) -> Vec<Finding> {
    let is_ids = |name: &str| name.contains("-ids.tmp");
    let is_temporary = |name: &str| {
        name.strip_prefix(".tmp").is_some_and(|id| id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let top = |name: &str| is_ids(name) || is_temporary(name) || matches!(name, RESTORING | "audit.head.unfinished");
    let mut findings = found(directory, top);
    findings.extend(found(&directory.join(MODELS_FOLDER), |name| name.starts_with(".unfinished-")));
    findings
        .extend(found(&directory.join(SPOOL_FOLDER), |name| name.starts_with("sent-") && name.ends_with(UNFINISHED)));
    findings
}

fn found(folder: &Path, is_left: impl Fn(&str) -> bool) -> Vec<Finding> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let left = entries.filter(|entry| entry.file_name().to_str().is_some_and(&is_left));
    let mut paths: Vec<_> = left.map(|entry| entry.path()).collect();
    paths.sort();
    let finding = |path: &Path| {
        let finding = Finding::warning("leftover", path, "a process that was killed left it behind");
        finding.remedy("remove it, or --mend").mended_by(Mend::Remove)
    };
    paths.iter().map(|path| finding(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["models/.unfinished-abc", "models/desk-1"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::create_dir(folder.path().join("jobs")).unwrap();
        let left = ["job-3-ids.tmp", ".tmpA1b2C3", "audit.head.unfinished", "jobs/sent-1.jsonl.part"];
        for name in left.into_iter().chain(["notes.tmp", ".tmp", "triage.sqlite3", "jobs/sent-2.jsonl"]) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut found: Vec<_> = leftovers(folder.path()).into_iter().map(|finding| finding.place).collect();
        let mut expected: Vec<_> =
            left.into_iter().chain(["models/.unfinished-abc"]).map(|name| folder.path().join(name)).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[cfg(unix)]
    #[test]
    fn rights_that_are_too_wide_are_taken_away() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join(KEY_FILE);
        fs::write(&key, "").unwrap();
        for path in [folder.path(), &key] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let findings = rights(folder.path());
        assert_eq!(findings.iter().map(|finding| finding.place.as_path()).collect::<Vec<_>>(), [folder.path(), &key]);
        for finding in &findings {
            restrict(&finding.place).unwrap();
        }
        assert_eq!(rights(folder.path()), []);
    }
}
