//! What makes the log hold: a key in a file of its own, hashes that chain each entry to the one before, and the place
//! that says which entry is the last. Whoever edits the database alone can mend neither.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::AuditError;
use crate::store::{AuditHead, AuditRow};

/// Where the key lies within the data directory.
pub const KEY_FILE: &str = "audit.key";
/// Where the last entry is named, beside the database.
pub const HEAD_FILE: &str = "audit.head";

/// Before the first entry.
pub(super) const NOTHING: [u8; 32] = [0; 32];

/// Tells hashes of entries from codes of heads.
const ENTRY: &[u8] = b"triage audit entry\0";
const HEAD: &[u8] = b"triage audit head\0";

/// The key of a data directory's log.
#[derive(Clone)]
pub(crate) struct Key(Hmac<Sha256>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    fn new(bytes: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length"))
    }

    /// The key of this directory; `None` where there is none.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>, AuditError> {
        let path = directory.join(KEY_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => match parse_hex(text.trim()) {
                Some(bytes) => Ok(Some(Self::new(&bytes))),
                None => Err(AuditError::NoKey(path)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AuditError::file(&path, source)),
        }
    }

    /// Keeps a new key in this directory, which only this user can read.
    pub(super) fn create(directory: &Path, bytes: &[u8; 32]) -> Result<Self, AuditError> {
        let path = directory.join(KEY_FILE);
        replace(&path, format!("{}\n", hex(bytes)).as_bytes()).map_err(|source| AuditError::file(&path, source))?;
        Ok(Self::new(bytes))
    }

    /// The hash of an entry behind the one with the hash `previous`; its own hash counts nothing.
    pub(super) fn hash(&self, previous: &[u8; 32], row: &AuditRow) -> [u8; 32] {
        let AuditRow { sequence, at_ms, caller, action, outcome, details, hash: _ } = row;
        let mut mac = self.0.clone();
        mac.update(ENTRY);
        mac.update(previous);
        mac.update(&sequence.to_le_bytes());
        mac.update(&at_ms.to_le_bytes());
        // With its length, so that text moved from one part to the next is another entry.
        for text in [caller, action, outcome, details] {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Names an entry as the last one.
    pub(super) fn head(&self, sequence: u64, hash: [u8; 32]) -> AuditHead {
        let mut mac = self.0.clone();
        mac.update(HEAD);
        mac.update(&sequence.to_le_bytes());
        mac.update(&hash);
        AuditHead { sequence, hash, mac: mac.finalize().into_bytes().into() }
    }

    /// Whether somebody with the key named this entry the last one.
    pub(super) fn vouches_for(&self, head: &AuditHead) -> bool {
        self.head(head.sequence, head.hash) == *head
    }
}

/// Reads the file that names the last entry; `None` where there is none, and an error where it is of no use.
pub(super) fn read_head(directory: &Path) -> Result<Option<AuditHead>, AuditError> {
    let path = directory.join(HEAD_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AuditError::file(&path, source)),
    };
    let damaged = || AuditError::file(&path, io::Error::new(io::ErrorKind::InvalidData, "it is damaged"));
    parse_head(text.trim()).map(Some).ok_or_else(damaged)
}

/// Names the last entry in the file. It is swapped whole and not synchronised: after a power cut it may name an entry
/// before the last one, which the database's own head makes up for.
pub(crate) fn write_head(directory: &Path, head: &AuditHead) -> Result<(), AuditError> {
    let (path, unfinished) = (directory.join(HEAD_FILE), unfinished_head(directory));
    let line = format!("{} {} {}\n", head.sequence, hex(&head.hash), hex(&head.mac));
    let written = fs::write(&unfinished, line).and_then(|()| fs::rename(&unfinished, &path));
    written.map_err(|source| AuditError::file(&path, source))
}

/// What a process that was killed may leave of the file.
fn unfinished_head(directory: &Path) -> PathBuf {
    directory.join("audit.head.unfinished")
}

fn parse_head(line: &str) -> Option<AuditHead> {
    let mut parts = line.split(' ');
    let head = AuditHead {
        sequence: parts.next()?.parse().ok()?,
        hash: parse_hex(parts.next()?)?,
        mac: parse_hex(parts.next()?)?,
    };
    parts.next().is_none().then_some(head)
}

/// Writes a file whole and durably under its name; only this user can read it.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// As people write hashes down.
pub fn hex(bytes: &[u8; 32]) -> String {
    use fmt::Write as _;

    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a string never fails.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads what [`hex`] wrote.
pub fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> AuditRow {
        AuditRow {
            sequence: 1,
            at_ms: 2,
            caller: "ab".to_owned(),
            action: "c".to_owned(),
            outcome: "OK".to_owned(),
            details: "{}".to_owned(),
            hash: NOTHING,
        }
    }

    #[test]
    fn every_part_of_an_entry_counts() {
        let key = Key::new(&[1; 32]);
        let plain = key.hash(&NOTHING, &row());
        let others = [
            key.hash(&plain, &row()),
            Key::new(&[2; 32]).hash(&NOTHING, &row()),
            key.hash(&NOTHING, &AuditRow { sequence: 2, ..row() }),
            key.hash(&NOTHING, &AuditRow { at_ms: 3, ..row() }),
            key.hash(&NOTHING, &AuditRow { caller: "a".to_owned(), action: "bc".to_owned(), ..row() }),
            key.hash(&NOTHING, &AuditRow { outcome: "FAILED".to_owned(), ..row() }),
            key.hash(&NOTHING, &AuditRow { details: "{ }".to_owned(), ..row() }),
        ];
        assert!(others.iter().all(|other| *other != plain));
        assert_eq!(key.hash(&NOTHING, &AuditRow { hash: [9; 32], ..row() }), plain);
    }

    #[test]
    fn a_key_is_kept_for_this_user_alone_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Key::load(folder.path()).unwrap().is_none());
        let key = Key::create(folder.path(), &[3; 32]).unwrap();
        let again = Key::load(folder.path()).unwrap().unwrap();
        assert_eq!(key.hash(&NOTHING, &row()), again.hash(&NOTHING, &row()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(folder.path().join(KEY_FILE), "short").unwrap();
        assert!(matches!(Key::load(folder.path()), Err(AuditError::NoKey(_))));
    }

    #[test]
    fn a_head_is_believed_only_where_the_key_made_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_head(folder.path()).unwrap(), None);
        let key = Key::new(&[1; 32]);
        let head = key.head(7, [5; 32]);
        write_head(folder.path(), &head).unwrap();
        assert_eq!(read_head(folder.path()).unwrap(), Some(head));
        assert!(key.vouches_for(&head) && !Key::new(&[2; 32]).vouches_for(&head));
        assert!(!key.vouches_for(&AuditHead { sequence: 6, ..head }));
        for damaged in ["", "7", "7 00 00", "x y z"] {
            fs::write(folder.path().join(HEAD_FILE), damaged).unwrap();
            read_head(folder.path()).unwrap_err();
        }
    }
}
