//! Which files may be written: nothing is written over that somebody else has made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{JobError, output::unfinished};

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

/// Refuses a path where something is, or in the place of what is written until it is whole.
pub(super) fn check_begun(path: &Path) -> Result<(), JobError> {
    check_vacant(path)?;
    let part = unfinished(path);
    // A link is something too, wherever it leads.
    if fs::symlink_metadata(&part).is_ok_and(|found| found.len() > 0 || !found.is_file()) {
        return Err(taken(
            &part,
            "it exists already, and the output bears this name until it is whole: remove it if nobody needs it",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::storage, *};

    #[test]
    fn what_is_in_the_place_of_an_output_that_is_not_whole_yet_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (output, part) = (folder.path().join("out.csv"), folder.path().join("out.csv.part"));
        assert!(check_begun(&output).is_ok());
        fs::write(&part, "").unwrap();
        assert!(check_begun(&output).is_ok(), "as a job leaves it that was killed before its first chunk");
        fs::write(&part, "somebody's").unwrap();
        assert!(matches!(check_begun(&output), Err(JobError::OutputTaken { .. })));
        #[cfg(unix)]
        {
            let theirs = folder.path().join("theirs");
            fs::write(&theirs, "").unwrap();
            fs::remove_file(&part).unwrap();
            std::os::unix::fs::symlink(&theirs, &part).unwrap();
            assert!(matches!(check_begun(&output), Err(JobError::OutputTaken { .. })), "a link");
            fs::write(&theirs, "somebody's").unwrap();
            assert!(storage::open(&part, 0).is_err(), "a link that was put there later");
            assert_eq!(fs::read_to_string(&theirs).unwrap(), "somebody's");
        }
    }
}
