//! Bundles as folders of the data directory. One gets its name when all of it is on the disk: what has a name is whole,
//! and what has none, or is in no list, is removed at the next start.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::RegistryError;
use crate::classify::bundle::{self, Files};

pub(crate) const MODELS_FOLDER: &str = "models";
/// Before the names of folders that are not whole.
const UNFINISHED: &str = ".unfinished-";
const MAX_NAME_CHARS: usize = 128;

/// Refuses what cannot be the name of a folder everywhere.
pub(super) fn check_name(version: &str) -> Result<(), RegistryError> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '+');
    if version.len() <= MAX_NAME_CHARS && !version.starts_with('.') && version.chars().all(is_plain) {
        return Ok(());
    }
    Err(RegistryError::Invalid(format!(
        "the name of the bundle {version:?} must be letters, digits, -, _ and ., at most {MAX_NAME_CHARS} and no . first: \
         train it with another --name"
    )))
}

/// Keeps a bundle under its version, durable when this returns. What stood there is replaced.
pub(super) fn keep(models: &Path, version: &str, files: &Files) -> Result<(), RegistryError> {
    let unwritable = |source| RegistryError::Unwritable { path: models.to_owned(), source };
    fs::create_dir_all(models).map_err(unwritable)?;
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(models).map_err(unwritable)?;
    bundle::write(unfinished.path(), files)?;
    sync(unfinished.path()).map_err(unwritable)?;
    let named = models.join(version);
    if named.exists() {
        fs::remove_dir_all(&named).map_err(unwritable)?;
    }
    fs::rename(unfinished.keep(), named).map_err(unwritable)?;
    sync(models).map_err(unwritable)?;
    // The folder of bundles may be new itself.
    models.parent().map_or(Ok(()), sync).map_err(unwritable)
}

/// Removes a bundle that no list names any more.
pub(super) fn remove(models: &Path, version: &str) -> Result<(), RegistryError> {
    let folder = models.join(version);
    match fs::remove_dir_all(&folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RegistryError::Unwritable { path: folder, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes every folder that is not one of `kept`: begun and not finished, or deleted and not removed.
pub(super) fn remove_orphans(models: &Path, kept: &[String]) -> Result<(), RegistryError> {
    let entries = match fs::read_dir(models) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(RegistryError::Unwritable { path: models.to_owned(), source }),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_kept = name.to_str().is_some_and(|name| kept.iter().any(|version| version == name));
        if !is_kept && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|source| RegistryError::Unwritable { path, source })?;
        }
    }
    Ok(())
}

/// Names are durable once their folder is; elsewhere than on Unix folders cannot be synced and need not be.
fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}
