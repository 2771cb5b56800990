//! Where clients of a server may have files read and written. What a path leads to decides, not how it is written:
//! links are followed, and nothing is said about what lies elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::JobError;

/// The folders that clients may name files in; the command line may name any.
#[derive(Debug, Clone)]
pub(super) enum Folders {
    Any,
    /// Each without links.
    Only(Arc<[PathBuf]>),
}

impl Folders {
    /// The file that `path` leads to.
    ///
    /// Fails with [`JobError::PathNotAllowed`] where that lies elsewhere, and [`JobError::Invalid`] where it is no file.
    pub(super) fn to_read(&self, path: &Path) -> Result<PathBuf, JobError> {
        let Self::Only(folders) = self else { return Ok(path.to_owned()) };
        let Ok(found) = fs::canonicalize(path) else {
            // Whether a file is missing is said only of files that may be read.
            self.to_write(path)?;
            return Err(JobError::Invalid(format!("{}: there is no such file", path.display())));
        };
        if !is_below(folders, &found) {
            return Err(JobError::PathNotAllowed(path.to_owned()));
        }
        if !found.is_file() {
            return Err(JobError::Invalid(format!("{} is no file", path.display())));
        }
        Ok(found)
    }

    /// The folder that `path` leads to, otherwise as [`Self::to_read`].
    pub(super) fn to_read_folder(&self, path: &Path) -> Result<PathBuf, JobError> {
        let Self::Only(folders) = self else { return Ok(path.to_owned()) };
        let Ok(found) = fs::canonicalize(path) else {
            self.to_write(path)?;
            return Err(JobError::Invalid(format!("{}: there is no such folder", path.display())));
        };
        if !is_below(folders, &found) {
            return Err(JobError::PathNotAllowed(path.to_owned()));
        }
        if !found.is_dir() {
            return Err(JobError::Invalid(format!("{} is no folder", path.display())));
        }
        Ok(found)
    }

    /// The same file by the folder that its own leads to; it need not be there.
    ///
    /// Fails with [`JobError::PathNotAllowed`] where that folder lies elsewhere, and [`JobError::Invalid`] where it would
    /// lie within those that are allowed and is not there.
    pub(super) fn to_write(&self, path: &Path) -> Result<PathBuf, JobError> {
        let Self::Only(folders) = self else { return Ok(path.to_owned()) };
        let refused = || JobError::PathNotAllowed(path.to_owned());
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(refused()) };
        let way = nearest(folder).filter(|(found, _)| is_below(folders, found));
        let (found, is_whole) = way.ok_or_else(refused)?;
        if !is_whole || !found.is_dir() {
            return Err(JobError::Invalid(format!("{}: there is no such folder", folder.display())));
        }
        Ok(found.join(name))
    }
}

/// Where the part of a path leads that is there, and whether that is all of it. `None` where it ends in something that
/// leads nowhere, such as a link: to say more would tell what lies behind it.
fn nearest(path: &Path) -> Option<(PathBuf, bool)> {
    for (place, part) in path.ancestors().enumerate() {
        match fs::canonicalize(part) {
            Ok(found) => return Some((found, place == 0)),
            Err(_) if fs::symlink_metadata(part).is_ok() => return None,
            Err(_) => {}
        }
    }
    None
}

fn is_below(folders: &[PathBuf], path: &Path) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Desk {
        folder: tempfile::TempDir,
        folders: Folders,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["in", "in/deep", "out"] {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
            for name in ["in/a.csv", "in/deep/b.csv", "out/c.csv"] {
                fs::write(folder.path().join(name), "id\n").unwrap();
            }
            let only = fs::canonicalize(folder.path().join("in")).unwrap();
            Self { folder, folders: Folders::Only([only].into()) }
        }

        /// Whether a file may be read, and written; `None` where it is refused for other reasons.
        fn check(&self, path: &str, expected: (Option<bool>, bool)) {
            let path = self.folder.path().join(path);
            let read = match self.folders.to_read(&path) {
                Ok(_) => Some(true),
                Err(JobError::PathNotAllowed(refused)) if refused == path => Some(false),
                Err(_) => None,
            };
            assert_eq!((read, self.folders.to_write(&path).is_ok()), expected, "{}", path.display());
        }
    }

    #[test]
    fn what_a_path_leads_to_decides() {
        let desk = Desk::new();
        for (path, expected) in [
            ("in/a.csv", (Some(true), true)),
            ("in/deep/b.csv", (Some(true), true)),
            ("in/../in/a.csv", (Some(true), true)),
            ("in/new.csv", (None, true)),
            ("in/deep", (None, true)),
            ("in/../out/c.csv", (Some(false), false)),
            ("in/../out/new.csv", (Some(false), false)),
            ("out/c.csv", (Some(false), false)),
            ("nowhere/c.csv", (Some(false), false)),
            ("in/nowhere/c.csv", (None, false)),
            ("in/nowhere/../../out/c.csv", (None, false)),
            ("in/a.csv/c.csv", (None, false)),
            ("in/deep/..", (None, false)),
        ] {
            desk.check(path, expected);
        }
        for (path, expected) in
            [("in", true), ("in/deep", true), ("in/a.csv", false), ("out", false), ("in/new", false)]
        {
            let found = desk.folders.to_read_folder(&desk.folder.path().join(path));
            assert_eq!(found.is_ok(), expected, "{path}");
        }
        assert!(Folders::Only([].into()).to_read(&desk.folder.path().join("in/a.csv")).is_err());
        assert!(Folders::Any.to_read(Path::new("nowhere")).is_ok() && Folders::Any.to_write(Path::new("x")).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere_else() {
        use std::os::unix::fs::symlink;

        let desk = Desk::new();
        let path = |name: &str| desk.folder.path().join(name);
        symlink(path("out/c.csv"), path("in/link.csv")).unwrap();
        symlink(path("out"), path("in/linked")).unwrap();
        symlink(path("in"), path("way-in")).unwrap();
        // The link itself would be replaced, what it leads to stays.
        desk.check("in/link.csv", (Some(false), true));
        desk.check("in/linked/c.csv", (Some(false), false));
        desk.check("in/linked/new.csv", (Some(false), false));
        desk.check("in/linked/nowhere/new.csv", (Some(false), false));
        symlink(path("out/nowhere"), path("in/loose")).unwrap();
        desk.check("in/loose/new.csv", (Some(false), false));
        desk.check("in/loose/deep/new.csv", (Some(false), false));
        desk.check("way-in/a.csv", (Some(true), true));
        assert_eq!(
            desk.folders.to_write(&path("way-in/n.csv")).unwrap(),
            fs::canonicalize(path("in")).unwrap().join("n.csv")
        );
    }
}
