//! The seam between a job and what it writes to: files of results and the store. Tests put faults in its place.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::Path,
};

#[cfg(unix)]
use rustix::fs::OFlags;

use crate::{
    domain::job::JobId,
    store::{ChunkCommit, Committed, Store, StoreError},
};

/// What helps where a file of the job's is gone.
pub(super) const BEGIN_ANEW: &str = "cancel the job and begin anew";

/// Where a job's work becomes durable.
pub(super) trait Storage: Send + Sync + fmt::Debug {
    /// Opens a file to append to, cut to `length` bytes; it is created where it is absent.
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Append>>;

    /// Gives a finished file its name; durable when it returns.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// As [`Store::commit_chunk`].
    fn commit(&self, id: JobId, chunk: &ChunkCommit<'_>) -> Result<Committed, StoreError>;
}

/// A file that grows.
pub(super) trait Append: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything appended survives a crash.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system and the store.
#[derive(Debug)]
pub(super) struct Durable(pub(super) Store);

impl Storage for Durable {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Append>> {
        open(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        rename(from, to)
    }

    fn commit(&self, id: JobId, chunk: &ChunkCommit<'_>) -> Result<Committed, StoreError> {
        self.0.commit_chunk(id, chunk)
    }
}

/// As [`Storage::open`], in the file system.
pub(super) fn open(path: &Path, length: u64) -> io::Result<Box<dyn Append>> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // Whoever may write to the folder must not lead us to another file, nor have us wait for the other end of a pipe.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed(),
    );
    let file = options.open(path)?;
    // Two that write one file would each cut what the other wrote.
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, "another job is writing it"),
        TryLockError::Error(error) => error,
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    let found = metadata.len();
    if found < length {
        let problem = format!("it has {found} bytes where {length} were written: {BEGIN_ANEW}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
    }
    file.set_len(length)?;
    Ok(Box::new(file))
}

/// As [`Storage::rename`], in the file system.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to)
}

impl Append for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A name is durable once its folder is; elsewhere than on Unix folders cannot be synced and need not be.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
