//! Which files may be written: nothing is written over that somebody else has made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::JobError;

fn taken(path: &Path, problem: &str) -> JobError {
    JobError::OutputTaken { path: path.to_owned(), problem: format!("{problem}; name another output") }
}

/// Refuses a path that is that of the input, lies in no folder, or leads to what is no plain file.
pub(super) fn check_target(path: &Path, input: Option<&Path>) -> Result<(), JobError> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    if let Some(found) = real(path)
        && input.and_then(real).is_some_and(|input| input == found)
    {
        return Err(taken(path, "it is the input"));
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Into::into);
    if !folder.is_dir() {
        return Err(JobError::Invalid(format!("{}: the folder for the output does not exist", folder.display())));
    }
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(taken(path, "it is no plain file"));
    }
    Ok(())
}

/// Refuses a path where something is.
pub(super) fn check_vacant(path: &Path) -> Result<(), JobError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0 || !metadata.is_file()) {
        let problem = "it exists already; name another output, or remove it".to_owned();
        return Err(JobError::OutputTaken { path: path.to_owned(), problem });
    }
    Ok(())
}
