//! One process at a time in a data directory: a lock on a file in it, held for the life of the handle.
//! The system lets go of it when a process dies, so nothing is left behind to clean up.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
};

use super::StoreError;

const LOCK_FILE: &str = "lock";

/// The directory is ours while this lives.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory when absent, for this user alone, and takes its lock, without waiting.
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source: io::Error| {
            if matches!(source.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) {
                return StoreError::NotADirectory(directory.to_owned());
            }
            StoreError::NotWritable { directory: directory.to_owned(), source }
        };
        create(directory).map_err(failed)?;
        let path = directory.join(LOCK_FILE);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is a help for people; without it the message still says what to do.
                let pid = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
                return Err(StoreError::Held { directory: directory.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Whether the lock itself is kept under this name, which says nothing about the directory.
    pub fn is_its_file(name: &OsStr) -> bool {
        name == LOCK_FILE
    }
}

/// Creates a directory that only this user can look into, where it is absent.
fn create(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(above) = directory.parent() {
        fs::create_dir_all(above)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
