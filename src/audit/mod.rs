//! The audit log: who did what, when, under which versions, and what came of it; no text. It is append-only, and what is
//! changed or removed in the database shows: `chain` says how. It decides nothing about who may do what.

mod chain;
mod entry;
mod pending;
mod refusals;
mod verify;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot};

pub(crate) use self::chain::write_head;
pub use self::{
    chain::{HEAD_FILE, KEY_FILE, hex, parse_hex},
    entry::{AuditEntry, Details, Subjects, Versions},
    pending::{PENDING_FILE, begin, conclude},
    verify::{Noted, Problem, Verified, verify},
};
use self::{
    chain::{Key, NOTHING},
    refusals::Refusals,
};
use crate::{
    error::TriageError,
    store::{AuditHead, AuditRow, Store, StoreError},
};

/// Entries that wait for the disk; whoever comes then waits for a place.
const QUEUE: usize = 1_024;
/// Entries that become durable together.
const MAX_GROUP: usize = 256;

/// What the entry is called that counts refusals without one of their own.
const REFUSED_MORE: &str = "refused calls";

/// What the log can fail with.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    #[error("{} is no key of an audit log: put it back from a backup", .0.display())]
    NoKey(PathBuf),
    #[error(
        "the key of the audit log, {}, is gone, so that nothing can be added to it: put it back from a backup",
        .0.display()
    )]
    KeyGone(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: Arc<io::Error> },
    #[error("the audit log cannot be written: {0}")]
    Store(#[from] Arc<StoreError>),
    #[error("the audit log is closed")]
    Closed,
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<AuditError> for TriageError {
    fn from(error: AuditError) -> Self {
        Self::internal(error)
    }
}

/// A cheap handle on the log of a data directory. What was handed in is written when the last handle is gone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Taken only to end the thread.
    sender: Option<mpsc::Sender<Waiting>>,
    writer: Option<JoinHandle<()>>,
    refusals: Arc<Mutex<Refusals>>,
}

/// An entry, and who waits for it.
#[derive(Debug)]
struct Waiting {
    entry: AuditEntry,
    done: Option<oneshot::Sender<Result<u64, AuditError>>>,
}

impl AuditLog {
    /// Opens the log of a data directory, making its key where there was no log yet. The last command over the directory
    /// gets its entry, where it has none.
    ///
    /// A log that was tampered with is gone on with, and stays as it is: [`verify`] finds it. Fails where the key is gone.
    pub fn open(store: Store, data_directory: &Path) -> Result<Self, AuditError> {
        let (key, last) = begin_at(&store, data_directory)?;
        let versions = Versions::kept_in(&store)?;
        let (sender, waiting) = mpsc::channel(QUEUE);
        let refusals = Arc::new(Mutex::new(Refusals::new(Instant::now())));
        let worker = Worker { store, directory: data_directory.to_owned(), key, last, refusals: Arc::clone(&refusals) };
        let writer = thread::Builder::new().name("audit".to_owned()).spawn(move || worker.run(waiting));
        let writer = writer.map_err(|source| AuditError::file(data_directory, source))?;
        let log = Self { shared: Arc::new(Shared { sender: Some(sender), writer: Some(writer), refusals }) };
        if let Some(entry) = pending::left_behind(data_directory)? {
            log.record_now(entry.with_versions(versions))?;
            pending::end(data_directory)?;
        }
        Ok(log)
    }

    /// Writes an entry; its number, once it is durable.
    pub async fn record(&self, entry: AuditEntry) -> Result<u64, AuditError> {
        let (done, written) = oneshot::channel();
        self.sender()?.send(Waiting { entry, done: Some(done) }).await.map_err(|_| AuditError::Closed)?;
        written.await.map_err(|_| AuditError::Closed)?
    }

    /// As [`Self::record`], where waiting holds up the thread.
    pub fn record_now(&self, entry: AuditEntry) -> Result<u64, AuditError> {
        let (done, written) = oneshot::channel();
        self.sender()?.blocking_send(Waiting { entry, done: Some(done) }).map_err(|_| AuditError::Closed)?;
        written.blocking_recv().map_err(|_| AuditError::Closed)?
    }

    /// Writes that somebody was refused, without waiting for it. Of a flood some get entries of their own, and one later
    /// says how many others there were.
    pub fn refused(&self, entry: AuditEntry) {
        let mut refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.admit(Instant::now()) {
            let sent = self.sender().ok().map(|sender| sender.try_send(Waiting { entry, done: None }));
            if !matches!(sent, Some(Ok(()))) {
                refusals.leave_out();
            }
        }
    }

    /// Writes an entry that nobody waits for. Where too many wait already, one later says that it is missing.
    pub fn note(&self, entry: AuditEntry) {
        let sent = self.sender().ok().map(|sender| sender.try_send(Waiting { entry, done: None }));
        if !matches!(sent, Some(Ok(()))) {
            self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).leave_out();
        }
    }

    fn sender(&self) -> Result<&mpsc::Sender<Waiting>, AuditError> {
        self.shared.sender.as_ref().ok_or(AuditError::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(writer) = self.writer.take() {
            // A thread that panicked has nothing more to write.
            writer.join().ok();
        }
    }
}

impl AuditError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source: Arc::new(source) }
    }
}

/// The key, and the last entry there ever was, which need not be there any more: going on behind it leaves a gap that
/// shows for good.
fn begin_at(store: &Store, directory: &Path) -> Result<(Key, AuditHead), AuditError> {
    let (kept, last_row) = (store.audit_head()?, store.last_audit_sequence()?);
    let Some(key) = Key::load(directory)? else {
        if kept.is_some() || last_row > 0 {
            return Err(AuditError::KeyGone(directory.join(KEY_FILE)));
        }
        let key = Key::create(directory, &store.random_key()?)?;
        let head = key.head(0, NOTHING);
        chain::write_head(directory, &head)?;
        return Ok((key, head));
    };
    // A file that cannot be read is found by `verify`, and written anew with the next entry.
    let noted = chain::read_head(directory).ok().flatten();
    let believed = [kept, noted].into_iter().flatten().filter(|head| key.vouches_for(head));
    let head = believed.max_by_key(|head| head.sequence).unwrap_or_else(|| key.head(last_row, NOTHING));
    if head.sequence != last_row || noted.is_none() {
        tracing::error!(last_row, head = head.sequence, "the audit log was changed: see `triage audit verify`");
    }
    // Numbers are not given twice.
    let head = if head.sequence < last_row { key.head(last_row, NOTHING) } else { head };
    Ok((key, head))
}

/// Writes what waits, all of it in one transaction.
struct Worker {
    store: Store,
    directory: PathBuf,
    key: Key,
    last: AuditHead,
    refusals: Arc<Mutex<Refusals>>,
}

impl Worker {
    fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        while waiting.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
            self.count_left_out(&mut group, false);
            self.write(&mut group);
        }
        self.count_left_out(&mut group, true);
        self.write(&mut group);
    }

    /// Adds an entry for the refusals that have none.
    fn count_left_out(&self, group: &mut Vec<Waiting>, at_once: bool) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = refusals.take_left_out(Instant::now(), at_once);
        if left_out > 0 {
            let entry = AuditEntry::new("", REFUSED_MORE, "REFUSED").with_count("calls", left_out);
            group.push(Waiting { entry, done: None });
        }
    }

    fn write(&mut self, group: &mut Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let (entries, waiters): (Vec<_>, Vec<_>) = group.drain(..).map(|Waiting { entry, done }| (entry, done)).unzip();
        let first = self.last.sequence + 1;
        let written = self.append(entries);
        if let Err(error) = &written {
            tracing::error!(error = error as &dyn std::error::Error, "entries of the audit log are lost");
        }
        for (sequence, done) in (first..).zip(waiters) {
            // Who does not wait any more need not be told.
            done.map(|done| done.send(written.clone().map(|()| sequence)));
        }
    }

    fn append(&mut self, entries: Vec<AuditEntry>) -> Result<(), AuditError> {
        let mut rows = Vec::with_capacity(entries.len());
        let (mut sequence, mut previous) = (self.last.sequence, self.last.hash);
        for AuditEntry { at_ms, caller, action, outcome, details } in entries {
            sequence += 1;
            let details =
                serde_json::to_string(&details).map_err(|error| AuditError::file(&self.directory, error.into()))?;
            let mut row = AuditRow { sequence, at_ms, caller, action, outcome, details, hash: NOTHING };
            row.hash = self.key.hash(&previous, &row);
            previous = row.hash;
            rows.push(row);
        }
        let head = self.key.head(sequence, previous);
        self.store.append_audit(&rows, &head)?;
        self.last = head;
        // The entries are durable: that the file lags behind is made up for with the next one.
        if let Err(error) = chain::write_head(&self.directory, &head) {
            tracing::error!(error = &error as &dyn std::error::Error, "the head of the audit log is not noted");
        }
        Ok(())
    }
}
