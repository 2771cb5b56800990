//! Restoring: everything is unpacked into a folder of its own and checked, and only then put in place, the database last.
//! Whatever is killed when, the directory has a database only once all else is there.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Write as _},
    path::{Path, PathBuf},
};

use flate2::bufread::GzDecoder;

use super::{
    BackupError, Hashing, READ_BYTES, TOP_FILES, free_bytes,
    manifest::{Entry, MANIFEST, MAX_MANIFEST_BYTES, Manifest},
    sync_folder,
};
use crate::{
    audit::{self, AuditEntry, AuditLog},
    jobs::SPOOL_FOLDER,
    registry::MODELS_FOLDER,
    store::{DATABASE_NAME, DatabaseView, DirectoryLock, Store, StoreError},
};

/// Where everything is unpacked, within the data directory: a folder there may be all that this user can write.
pub const RESTORING: &str = ".restoring";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub files: usize,
    pub bytes: u64,
    /// Milliseconds since 1970.
    pub taken_at_ms: u64,
    /// The version of the program that made it.
    pub program: String,
}

/// Makes a data directory of a backup; `caller` stands in its audit log. Nothing is put in place before all of it was
/// checked.
///
/// Fails where there is anything in `directory` already, but for what is left of a restoring that was killed.
pub fn restore(archive: &Path, directory: &Path, caller: &str) -> Result<Restored, BackupError> {
    let opened = File::open(archive).map_err(BackupError::file(archive))?;
    let hold = DirectoryLock::take(directory)?;
    clear(directory)?;
    let staging = directory.join(RESTORING);
    fs::create_dir(&staging).map_err(BackupError::file(&staging))?;
    let unpacked = unpack(opened, &staging, directory).and_then(|manifest| check(&manifest, &staging));
    let manifest = match unpacked {
        Ok(manifest) => manifest,
        Err(error) => {
            // What is left of it is in the way of nothing but the next attempt, which clears it away.
            fs::remove_dir_all(&staging).ok();
            return Err(error);
        }
    };
    let entry = AuditEntry::new(caller, "restore", "OK").with_count("taken_at_ms", manifest.taken_at_ms);
    put_in_place(&staging, directory)?;
    audit::conclude(directory, entry)?;
    drop(hold);
    match Store::open(directory) {
        Ok(store) => drop(AuditLog::open(store, directory)?),
        // A server was quicker, and has written the entry.
        Err(StoreError::Held { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Restored {
        files: manifest.files.len(),
        bytes: manifest.bytes(),
        taken_at_ms: manifest.taken_at_ms,
        program: manifest.program,
    })
}

/// Refuses a directory that holds anything, but for what a restoring that was killed left behind, which is removed.
fn clear(directory: &Path) -> Result<(), BackupError> {
    let failed = BackupError::file(directory);
    let staging = directory.join(RESTORING);
    if staging.exists() && !Store::exists(directory) {
        for name in [MODELS_FOLDER, SPOOL_FOLDER, RESTORING] {
            match fs::remove_dir_all(directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
        }
        for name in TOP_FILES {
            match fs::remove_file(directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
        }
    }
    for entry in fs::read_dir(directory).map_err(&failed)? {
        if !DirectoryLock::is_its_file(&entry.map_err(&failed)?.file_name()) {
            return Err(BackupError::NotEmpty(directory.to_owned()));
        }
    }
    Ok(())
}

/// Unpacks all files, each held against the manifest, and reads the archive to its end.
fn unpack(archive: File, staging: &Path, directory: &Path) -> Result<Manifest, BackupError> {
    let damaged = |error: io::Error| BackupError::Damaged(error.to_string());
    let packed = BufReader::with_capacity(READ_BYTES, archive);
    let mut archive = tar::Archive::new(GzDecoder::new(packed));
    // Raw: headers that only lengthen a name, which the library would read whole, are no plain files and refused as such.
    let mut entries = archive.entries().map_err(damaged)?.raw(true);
    let mut manifest: Option<Manifest> = None;
    let mut expected: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in &mut entries {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(BackupError::Damaged(format!("{name:?} is no plain file")));
        }
        if manifest.is_none() {
            let read = read_manifest(&name, &mut entry)?;
            check_room(&read, directory)?;
            expected = read.files.iter().map(|file| (file.path.clone(), file.clone())).collect();
            manifest = Some(read);
            continue;
        }
        // Names that are not the manifest's, and any that comes twice, are not written anywhere.
        let unknown = || BackupError::Damaged(format!("{name:?} is not in its list, or comes twice"));
        let file = expected.remove(&name).ok_or_else(unknown)?;
        unpack_one(&file, &mut entry, staging)?;
    }
    let manifest = manifest.ok_or_else(|| BackupError::Damaged("it is empty".to_owned()))?;
    if let Some(missing) = expected.into_keys().next() {
        return Err(BackupError::Damaged(format!("{missing} is missing")));
    }
    // The end of the compressed stream carries its checksum.
    let mut packed = archive.into_inner();
    io::copy(&mut packed, &mut io::sink()).map_err(damaged)?;
    let mut behind = packed.into_inner();
    if behind.read(&mut [0]).map_err(damaged)? > 0 {
        return Err(BackupError::Damaged("something stands behind its end".to_owned()));
    }
    Ok(manifest)
}

fn read_manifest(name: &str, entry: &mut impl Read) -> Result<Manifest, BackupError> {
    if name != MANIFEST {
        return Err(BackupError::Damaged(format!("it does not begin with {MANIFEST}: `triage backup` makes backups")));
    }
    let mut text = Vec::new();
    let read = entry.take(MAX_MANIFEST_BYTES).read_to_end(&mut text);
    read.map_err(|error| BackupError::Damaged(error.to_string()))?;
    Manifest::parse(&text)
}

fn check_room(manifest: &Manifest, directory: &Path) -> Result<(), BackupError> {
    let needed = manifest.bytes();
    match free_bytes(directory) {
        Some(free) if free < needed => Err(BackupError::NoRoom { directory: directory.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

fn unpack_one(file: &Entry, entry: &mut impl Read, staging: &Path) -> Result<(), BackupError> {
    let path = staging.join(&file.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(BackupError::file(folder))?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut target = options.open(&path).map_err(BackupError::file(&path))?;
    // One byte more than expected shows that there is more.
    let mut reader = Hashing::new(entry.take(file.bytes.saturating_add(1)));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| BackupError::Damaged(error.to_string()))?;
        if read == 0 {
            break;
        }
        target.write_all(&buffer[..read]).map_err(BackupError::file(&path))?;
    }
    if reader.finish() != (file.bytes, file.sha256.clone()) {
        return Err(BackupError::Damaged(format!("{} is not what was backed up", file.path)));
    }
    target.sync_all().map_err(BackupError::file(&path))
}

/// The database must be one that this program reads, and whole.
fn check(manifest: &Manifest, staging: &Path) -> Result<Manifest, BackupError> {
    let database = staging.join(DATABASE_NAME);
    if !database.exists() {
        return Err(BackupError::Damaged(format!("{DATABASE_NAME} is missing")));
    }
    let view = DatabaseView::of_file(&database);
    if let Err(StoreError::NewerSchema { found, known, .. }) = view {
        return Err(BackupError::NewerSchema { found, known });
    }
    let view = view?;
    // An empty file is an empty database to SQLite.
    if view.schema_version()? != manifest.schema {
        return Err(BackupError::Damaged(format!("{DATABASE_NAME} is not of the version that its list says")));
    }
    match view.damage()?.into_iter().next() {
        Some(problem) => Err(BackupError::Damaged(problem)),
        None => Ok(manifest.clone()),
    }
}

/// Moves everything to where it belongs, the database last.
fn put_in_place(staging: &Path, directory: &Path) -> Result<(), BackupError> {
    let folders = [MODELS_FOLDER, SPOOL_FOLDER].into_iter();
    let order: Vec<PathBuf> = folders.chain(TOP_FILES).map(PathBuf::from).collect();
    for name in order {
        let from = staging.join(&name);
        if from.exists() {
            if from.is_dir() {
                sync_below(&from)?;
            } else if name.as_os_str() == DATABASE_NAME {
                sync_folder(directory).map_err(BackupError::file(directory))?;
            }
            fs::rename(&from, directory.join(&name)).map_err(BackupError::file(&from))?;
        }
    }
    fs::remove_dir_all(staging).map_err(BackupError::file(staging))?;
    sync_folder(directory).map_err(BackupError::file(directory))
}

fn sync_below(folder: &Path) -> Result<(), BackupError> {
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.map_err(|error| BackupError::file(folder)(error.into()))?;
        if entry.file_type().is_dir() {
            sync_folder(entry.path()).map_err(BackupError::file(entry.path()))?;
        }
    }
    Ok(())
}
