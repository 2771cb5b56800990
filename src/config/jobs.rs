//! The section `jobs`: the folders in which clients may have files read and written.

use std::{fs, path::PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJobs {
    folders: Vec<PathBuf>,
}

/// The folders without links; `problems` name those that cannot be used.
pub(super) fn check(raw: &RawJobs, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for folder in &raw.folders {
        let named = format!("jobs.folders: {}", folder.display());
        if !folder.is_absolute() {
            problems.push(format!("{named} does not say where it begins: name the whole path, from the root on"));
            continue;
        }
        match fs::canonicalize(folder) {
            Ok(found) if found.is_dir() => folders.push(found),
            Ok(_) => problems.push(format!("{named} is no folder")),
            Err(error) => problems.push(format!("{named} cannot be used: {error}")),
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_must_be_there_and_say_where_they_begin() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let check = |folders: &[PathBuf]| {
            let mut problems = Vec::new();
            (check(&RawJobs { folders: folders.to_vec() }, &mut problems), problems)
        };
        let found = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(check(&[folder.path().join(".")]), (vec![found], Vec::new()));
        let (folders, problems) = check(&["exports".into(), file, folder.path().join("nowhere")]);
        assert!(folders.is_empty());
        for (problem, expected) in
            problems.iter().zip(["exports does not say", "is no folder", "nowhere cannot be used"])
        {
            assert!(problem.contains(expected) && problem.starts_with("jobs.folders: "), "{problem}");
        }
        assert_eq!(problems.len(), 3);
    }
}
