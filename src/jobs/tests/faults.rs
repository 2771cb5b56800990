//! Faults at every step of a commit, and what becomes of a job then.

use super::*;

/// Fails at the n-th thing that a job asks of it, and at all further ones.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) durable: Durable,
    pub(super) left: Arc<AtomicUsize>,
    /// A commit that fails has been made all the same: its answer was lost.
    pub(super) commits_anyway: bool,
}

impl Storage for Failing {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Append>> {
        if fails(&self.left) {
            return Err(no_space());
        }
        Ok(Box::new(FailingFile { file: self.durable.open(path, length)?, left: Arc::clone(&self.left) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if fails(&self.left) { Err(no_space()) } else { self.durable.rename(from, to) }
    }

    fn commit(&self, id: JobId, chunk: &ChunkCommit<'_>) -> Result<Committed, StoreError> {
        if !fails(&self.left) {
            return self.durable.commit(id, chunk);
        }
        if self.commits_anyway {
            self.durable.commit(id, chunk)?;
        }
        Err(StoreError::NotADirectory("the disk is gone".into()))
    }
}

/// Whether this is one that fails.
pub(super) fn fails(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

struct FailingFile {
    file: Box<dyn Append>,
    left: Arc<AtomicUsize>,
}

impl Append for FailingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !fails(&self.left) {
            return self.file.append(bytes);
        }
        // Half of it was written.
        self.file.append(&bytes[..bytes.len() / 2])?;
        Err(no_space())
    }

    fn sync(&mut self) -> io::Result<()> {
        if fails(&self.left) { Err(no_space()) } else { self.file.sync() }
    }
}

#[tokio::test]
async fn whatever_fails_the_job_pauses_and_ends_with_the_same_bytes() {
    let desk = Desk::new();
    // Three chunks, with bad rows in each.
    let input = desk.tickets("in.csv", 4_100);
    let mut rows: Vec<String> = fs::read_to_string(&input).unwrap().lines().map(str::to_owned).collect();
    for (number, row) in rows.iter_mut().enumerate().skip(1) {
        match number {
            7 | 2_500 | 4_000 => *row = format!("T{number},one,too,many"),
            // Tickets without text cost nothing, and this test decides many.
            _ if number % 50 > 0 => *row = format!("T{number},,mail"),
            _ => {}
        }
    }
    fs::write(&input, rows.join("\n")).unwrap();
    let id = desk.create(desk.asked(&input, "undisturbed.csv"));
    assert_eq!(desk.work(id).await.record.state, JobState::Done);
    let read = |name: &str| fs::read(desk.path(name)).unwrap();

    for commits_anyway in [false, true] {
        let mut faults = 0;
        loop {
            let name = format!("{commits_anyway}-{faults}");
            let id = desk.create(desk.asked(&input, &format!("{name}.csv")));
            let storage = Failing {
                durable: Durable(desk.store.clone()),
                left: Arc::new(AtomicUsize::new(faults)),
                commits_anyway,
            };
            let job = desk.work_on(id, Arc::new(storage), &CancellationToken::new()).await;
            if job.record.state == JobState::Done {
                break;
            }
            let pause = job.record.pause.unwrap();
            assert_eq!(pause.cause, PauseCause::Storage);
            assert!(pause.text.contains("no space left") || pause.text.contains("disk is gone"), "{}", pause.text);
            assert!(!desk.path(&format!("{name}.csv")).exists(), "only what is whole bears the name");
            desk.jobs.resume(id).unwrap();
            let job = desk.work(id).await;
            assert_eq!((job.record.state, job.record.counts.rows), (JobState::Done, 4_100), "{name}");
            assert_eq!(read(&format!("{name}.csv")), read("undisturbed.csv"), "{name}");
            assert_eq!(read(&format!("{name}.csv.rejects.csv")), read("undisturbed.csv.rejects.csv"), "{name}");
            faults += 1;
        }
        assert!(faults > 15, "only {faults} steps: the seam is not in use");
    }
}

#[tokio::test]
async fn a_full_database_pauses_the_job() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let id = desk.create(desk.asked(&input, "out.jsonl"));
    desk.store.limit_pages(1);
    let job = desk.work(id).await;
    assert_eq!(job.record.counts.rows, 0);
    desk.store.limit_pages(1 << 20);
    // Not even the pause could be kept, or it could: either way the job goes on.
    if job.record.state == JobState::Paused {
        desk.jobs.resume(id).unwrap();
    }
    assert_eq!(desk.work(id).await.record.counts.rows, 4_100);
}

#[tokio::test]
async fn a_job_that_is_stopped_goes_on_behind_its_last_chunk() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let id = desk.create(desk.asked(&input, "out.csv"));
    let stop = CancellationToken::new();
    stop.cancel();
    for rows in [2_000, 4_000, 4_100] {
        let job = desk.work_on(id, Arc::new(Durable(desk.store.clone())), &stop).await;
        assert_eq!(job.record.counts.rows, rows);
    }
    let other = desk.create(desk.asked(&input, "other.csv"));
    desk.work(other).await;
    assert_eq!(fs::read(desk.path("out.csv")).unwrap(), fs::read(desk.path("other.csv")).unwrap());
}

/// Cancels the job when its first chunk is about to be committed.
#[derive(Debug)]
struct Cancelling {
    durable: Durable,
    jobs: Jobs,
}

impl Storage for Cancelling {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Append>> {
        self.durable.open(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.durable.rename(from, to)
    }

    fn commit(&self, id: JobId, chunk: &ChunkCommit<'_>) -> Result<Committed, StoreError> {
        self.jobs.cancel(id).unwrap();
        self.durable.commit(id, chunk)
    }
}

#[tokio::test]
async fn cancelling_during_a_commit_leaves_the_chunk_out() {
    let desk = Desk::new();
    desk.remember(&[("A", TEXTS[0], "mail")]);
    let id = desk.create(desk.over_memory(Filter::default()));
    let storage = Cancelling { durable: Durable(desk.store.clone()), jobs: desk.jobs.clone() };
    let job = desk.work_on(id, Arc::new(storage), &CancellationToken::new()).await;
    assert_eq!((job.record.state, job.record.counts.rows), (JobState::Cancelled, 0));
    assert_eq!(desk.category("A"), "mail");
}
