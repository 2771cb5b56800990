//! The files of an index on disk: whether they are whole, and which may be deleted. Only what tantivy wrote is ever
//! deleted, since a data directory is a folder in which people keep other things too.

use std::{
    fmt, fs,
    io::{self, Read as _, Seek as _},
    path::Path,
};

use tantivy::{Directory as _, directory::ManagedDirectory};

use super::error::IndexError;

/// A file ends with the length of its footer and a magic number, four bytes each.
const FOOTER_END_BYTES: u64 = 8;

/// Why an index on disk is not used.
#[derive(Debug)]
pub(super) enum Unusable {
    Missing,
    Damaged(String),
    OtherSchema,
    OtherDatabase,
    /// Its vectors come from another sentence encoder, or are missing, or are wanted no more.
    OtherEncoder,
    /// The database was restored to an earlier state.
    Ahead,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there was none"),
            Self::Damaged(what) => write!(f, "it was damaged: {what}"),
            Self::OtherSchema => f.write_str("it was of another schema version"),
            Self::OtherDatabase => f.write_str("it belonged to another database"),
            Self::OtherEncoder => f.write_str("the sentence encoder is another one"),
            Self::Ahead => f.write_str("it was ahead of the database"),
        }
    }
}

/// Deletes what tantivy wrote into the directory; nothing when anything else lies there.
pub(super) fn clear(directory: &Path) -> Result<(), IndexError> {
    let replace = |source| IndexError::Replace { directory: directory.to_owned(), source };
    let mut ours = Vec::new();
    for entry in fs::read_dir(directory).map_err(replace)? {
        let entry = entry.map_err(replace)?;
        let name = entry.file_name();
        let is_file = entry.file_type().map_err(replace)?.is_file();
        if !is_file || !name.to_str().is_some_and(is_index_file) {
            return Err(IndexError::Foreign { directory: directory.to_owned(), entry: name.into() });
        }
        ours.push(entry.path());
    }
    ours.iter().try_for_each(fs::remove_file).map_err(replace)
}

/// Whether a file of this name is one of an index; `.tmp…` are what an interrupted write of `meta.json` leaves.
fn is_index_file(name: &str) -> bool {
    let is_segment = |name: &str| {
        name.split_once('.').is_some_and(|(id, _)| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let is_lock = |name: &str| matches!(name, ".tantivy-writer.lock" | ".tantivy-meta.lock");
    let is_leftover = |name: &str| {
        name.strip_prefix(".tmp").is_some_and(|id| id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    matches!(name, "meta.json" | ".managed.json") || is_lock(name) || is_segment(name) || is_leftover(name)
}

/// Whether a file is long enough for the footer that its last bytes announce; tantivy panics where it is not.
fn has_footer(path: &Path) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    let Some(start) = length.checked_sub(FOOTER_END_BYTES) else { return Ok(false) };
    file.seek(io::SeekFrom::Start(start))?;
    let mut footer_length = [0; 4];
    file.read_exact(&mut footer_length)?;
    Ok(u64::from(u32::from_le_bytes(footer_length)) <= start)
}

pub(super) fn check(directory: &Path, files: &ManagedDirectory, file: &Path) -> Result<(), Unusable> {
    let damaged = |problem: &str| Err(Unusable::Damaged(format!("{}: {problem}", file.display())));
    match has_footer(&directory.join(file)) {
        Ok(true) => {}
        Ok(false) => return damaged("cut off"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return damaged("missing"),
        Err(error) => return damaged(&error.to_string()),
    }
    match files.exists(file).and_then(|exists| exists.then(|| files.validate_checksum(file)).transpose()) {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false)) => damaged("wrong checksum"),
        Ok(None) => damaged("missing"),
        Err(error) => damaged(&error.to_string()),
    }
}
