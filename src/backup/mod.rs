//! Backups of a data directory, a running server's too: one state of the database with all that it refers to, in one
//! file. Indexes are left out, since they are derived. What is damaged, cut off or strange is refused before anything of
//! it is put in place. Calls block, and read and write all there is.

mod manifest;
mod restore;
mod write;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

pub use self::{
    restore::{RESTORING, Restored, restore},
    write::{BackedUp, back_up},
};
use crate::{
    audit::{AuditError, HEAD_FILE, KEY_FILE},
    jobs::JobError,
    store::{DATABASE_NAME, StoreError},
};

/// Files that lie in the data directory itself. The database stands last: a directory has one once all else is there.
const TOP_FILES: [&str; 3] = [KEY_FILE, HEAD_FILE, DATABASE_NAME];
const READ_BYTES: usize = 1 << 20;

/// Why there is no backup, or nothing is restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} exists: name another file, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the backup is damaged or cut off: {0}; nothing was restored")]
    Damaged(String),
    #[error(
        "the backup has format {found}, this program knows {known}: use the newer program that made it; nothing was restored"
    )]
    OtherFormat { found: u32, known: u32 },
    #[error(
        "the database of the backup has schema version {found}, this program knows versions up to {known}: use the newer \
         program that made it"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error("{} is not empty: name a folder that is empty or not there", .0.display())]
    NotEmpty(PathBuf),
    #[error("the backup needs {needed} bytes, and {free} are free for {}", directory.display())]
    NoRoom { directory: PathBuf, needed: u64, free: u64 },
    #[error("the database is damaged, and is not backed up: {0}; see `triage doctor`")]
    DamagedDatabase(String),
    #[error("{}: it changed while it was backed up: try once more", .0.display())]
    Changing(PathBuf),
    #[error("{} is gone, and a job needs it: cancel the job with `triage jobs cancel`, and try once more", .0.display())]
    Gone(PathBuf),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Jobs(#[from] JobError),
}

impl BackupError {
    fn file(path: &Path) -> impl Fn(io::Error) -> Self + use<'_> {
        |source| Self::File { path: path.to_owned(), source }
    }
}

/// Counts and hashes what goes through it.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The bytes so far, and their SHA-256 in hexadecimal digits.
    fn finish(self) -> (u64, String) {
        (self.bytes, crate::audit::hex(&self.hash.finalize().into()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Length and SHA-256 of a file.
fn measure(path: &Path) -> io::Result<(u64, String)> {
    let mut reader = Hashing::new(io::BufReader::with_capacity(READ_BYTES, File::open(path)?));
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.finish())
}

/// Names are durable once their folder is; elsewhere than on Unix folders cannot be synced and need not be.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Bytes that this user may still write below `folder`; `None` where the system does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(folder).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
    #[cfg(not(unix))]
    None
}
