//! Making a backup: a copy of the database in one state, then the files that this state refers to. Where one of them is
//! gone since then, all begins anew with a state of now.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use tempfile::{NamedTempFile, TempDir};

use super::{
    BackupError, Hashing, READ_BYTES,
    manifest::{Entry, MANIFEST, Manifest},
    measure, sync_folder,
};
use crate::{
    audit::{self, HEAD_FILE, KEY_FILE},
    classify::bundle,
    encode::EncoderRecord,
    jobs,
    registry::MODELS_FOLDER,
    store::{DATABASE_NAME, DatabaseView},
};

/// States that are tried before giving up: a job that ends, or a model that is deleted, may take a file with it.
const TRIES: usize = 5;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    pub files: usize,
    /// Before they were compressed.
    pub bytes: u64,
    /// Of the archive.
    pub archive_bytes: u64,
    /// What is not in it and is wanted, or is not as it should be.
    pub warnings: Vec<String>,
}

/// A file that goes into the archive, and where it is read.
struct Source {
    path: PathBuf,
    entry: Entry,
}

/// Backs a data directory up, whoever holds it, into a new file that only this user can read. The file has its name when
/// all of it is on the disk.
pub fn back_up(directory: &Path, out: &Path) -> Result<BackedUp, BackupError> {
    if out.exists() {
        return Err(BackupError::Exists(out.to_owned()));
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unfinished =
        tempfile::Builder::new().prefix(".triage-backup-").tempfile_in(folder).map_err(BackupError::file(out))?;
    let scratch =
        tempfile::Builder::new().prefix(".triage-backup-").tempdir_in(folder).map_err(BackupError::file(folder))?;
    let (manifest, sources, warnings) = collect(directory, &scratch)?;
    let bytes = manifest.bytes();
    let unfinished = write(unfinished, &manifest, &sources, out)?;
    let archive_bytes = unfinished.as_file().metadata().map_err(BackupError::file(out))?.len();
    unfinished.persist_noclobber(out).map_err(|error| BackupError::file(out)(error.error))?;
    sync_folder(folder).map_err(BackupError::file(folder))?;
    Ok(BackedUp { files: sources.len(), bytes, archive_bytes, warnings })
}

/// One state of everything.
fn collect(directory: &Path, scratch: &TempDir) -> Result<(Manifest, Vec<Source>, Vec<String>), BackupError> {
    let mut gone = PathBuf::new();
    for attempt in 0..TRIES {
        let copy = scratch.path().join(format!("{attempt}.sqlite3"));
        match collect_once(directory, &copy, scratch.path()) {
            Err(BackupError::File { path, source }) if source.kind() == io::ErrorKind::NotFound => gone = path,
            other => return other,
        }
        fs::remove_file(&copy).map_err(BackupError::file(&copy))?;
    }
    Err(BackupError::Gone(gone))
}

fn collect_once(
    directory: &Path,
    copy: &Path,
    scratch: &Path,
) -> Result<(Manifest, Vec<Source>, Vec<String>), BackupError> {
    let view = DatabaseView::open(directory)?;
    view.copy_to(copy)?;
    drop(view);
    // From here on it is asked what is in the copy, and nothing else.
    let copied = DatabaseView::of_file(copy)?;
    if let Some(problem) = copied.damage()?.into_iter().next() {
        return Err(BackupError::DamagedDatabase(problem));
    }
    let (mut sources, mut warnings) = (Vec::new(), Vec::new());
    for name in jobs::files_of_open_jobs(&copied)? {
        sources
            .push(source(&directory.join(jobs::SPOOL_FOLDER).join(&name), format!("{}/{name}", jobs::SPOOL_FOLDER))?);
    }
    for version in copied.model_versions()? {
        let folder = directory.join(MODELS_FOLDER).join(&version);
        if let Err(error) = bundle::check_folder(&folder) {
            // Deleted since the copy was made: a new copy does not know it.
            if !DatabaseView::open(directory)?.model_versions()?.contains(&version) {
                return Err(BackupError::File { path: folder, source: io::ErrorKind::NotFound.into() });
            }
            warnings.push(format!("the bundle of model {version} is damaged: {error}"));
        }
        for name in bundle::FILES {
            let path = folder.join(name);
            if path.exists() {
                sources.push(source(&path, format!("{MODELS_FOLDER}/{version}/{name}"))?);
            }
        }
    }
    if let Some(encoder) = copied.encoder()?.and_then(|record| serde_json::from_str::<EncoderRecord>(&record).ok()) {
        let folder = encoder.folder.display();
        warnings.push(format!("the sentence encoder in {folder} is not in it: keep that folder as well"));
    }
    let key = directory.join(KEY_FILE);
    if key.exists() {
        sources.push(source(&key, KEY_FILE.to_owned())?);
        // The file beside the database may name a later entry than the copy has.
        if let Some(head) = copied.audit_head()? {
            audit::write_head(scratch, &head)?;
            sources.push(source(&scratch.join(HEAD_FILE), HEAD_FILE.to_owned())?);
        }
    }
    let schema = copied.schema_version()?;
    drop(copied);
    sources.push(source(copy, DATABASE_NAME.to_owned())?);
    let taken_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let entries = sources.iter().map(|source| source.entry.clone()).collect();
    let manifest = Manifest::new(schema, u64::try_from(taken_at.as_millis()).unwrap_or(u64::MAX), entries);
    Ok((manifest, sources, warnings))
}

fn source(path: &Path, name: String) -> Result<Source, BackupError> {
    let (bytes, sha256) = measure(path).map_err(BackupError::file(path))?;
    Ok(Source { path: path.to_owned(), entry: Entry { path: name, bytes, sha256 } })
}

/// Writes the archive; all of it is on the disk when it returns.
fn write(
    unfinished: NamedTempFile,
    manifest: &Manifest,
    sources: &[Source],
    out: &Path,
) -> Result<NamedTempFile, BackupError> {
    let failed = BackupError::file(out);
    let packed = GzEncoder::new(BufWriter::with_capacity(READ_BYTES, unfinished), Compression::fast());
    let mut archive = tar::Builder::new(packed);
    let text = serde_json::to_vec(manifest).map_err(|error| failed(error.into()))?;
    append(&mut archive, MANIFEST, text.len() as u64, text.as_slice()).map_err(&failed)?;
    for Source { path, entry } in sources {
        let file = File::open(path).map_err(BackupError::file(path))?;
        // As long as the manifest says, whatever comes to stand behind it meanwhile.
        let mut reader = Hashing::new(io::BufReader::with_capacity(READ_BYTES, file.take(entry.bytes)));
        append(&mut archive, &entry.path, entry.bytes, &mut reader).map_err(&failed)?;
        if reader.finish() != (entry.bytes, entry.sha256.clone()) {
            return Err(BackupError::Changing(path.clone()));
        }
    }
    let packed = archive.into_inner().map_err(&failed)?;
    let mut buffered = packed.finish().map_err(&failed)?;
    buffered.flush().map_err(&failed)?;
    let unfinished = buffered.into_inner().map_err(|error| failed(error.into_error()))?;
    unfinished.as_file().sync_all().map_err(&failed)?;
    Ok(unfinished)
}

fn append(archive: &mut tar::Builder<impl io::Write>, name: &str, bytes: u64, from: impl io::Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(bytes);
    archive.append_data(&mut header, name, from)
}
