//! Files that a command writes beside its result: checked before the work, not after it.

use std::path::{Path, PathBuf};

use super::UsageError;

/// Refuses a file that cannot or must not be written. `flag` named it.
pub(super) fn check(flag: &str, path: &Path, inputs: &[PathBuf]) -> anyhow::Result<()> {
    if let Ok(target) = path.canonicalize() {
        let is_input = inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == target));
        if is_input {
            return Err(UsageError(format!("{flag} {} would overwrite the input", path.display())).into());
        }
        anyhow::ensure!(!target.is_dir(), "{flag} {} is a folder; name a file", path.display());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    anyhow::ensure!(folder.is_dir(), "{flag} {}: there is no folder {}", path.display(), folder.display());
    Ok(())
}
