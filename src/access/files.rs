//! Reads files that others should not read or write.

use std::{fs, io, path::Path};

/// The content of the file that `setting` names. Who may write it may call everything: a file that anybody on this
/// machine may write is refused. Of a `secret` one it is said where anybody may read it.
pub(super) fn read(
    setting: &str,
    path: &Path,
    is_secret: bool,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Option<Vec<u8>> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) => {
            problems.push(format!("{setting}: {}: {error}", path.display()));
            return None;
        }
    };
    match others(path) {
        Ok((_, true)) => {
            problems.push(format!("{setting}: {} may be written by anybody (chmod o-w)", path.display()));
        }
        Ok((true, false)) if is_secret => {
            warnings.push(format!("{setting}: {} may be read by anybody (chmod o-r)", path.display()));
        }
        Ok(_) => {}
        Err(error) => problems.push(format!("{setting}: {}: {error}", path.display())),
    }
    Some(content)
}

/// Whether those who neither own the file nor are in its group may read and write it.
#[cfg(unix)]
fn others(path: &Path) -> io::Result<(bool, bool)> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path)?.permissions().mode();
    Ok((mode & 0o004 != 0, mode & 0o002 != 0))
}

/// Other systems have other rights.
#[cfg(not(unix))]
fn others(_: &Path) -> io::Result<(bool, bool)> {
    Ok((false, false))
}
