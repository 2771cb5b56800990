//! Jobs as a whole, in this process: faults at every step of a commit, and what becomes of a job then.

mod imports;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    course::Tools,
    specification::{FieldColumn, FieldValue, Filter, Pace},
    storage::{Append, Durable, Storage},
    *,
};
use crate::{
    classify::Classifier,
    domain::{job::UndoOutcome, memory::ConfirmedTicket},
    encode::Redactor,
    memory::TicketColumns,
    store::{ChunkCommit, Committed, StoreError},
};

const TEXTS: [&str; 4] = [
    "VPN drops every few minutes and I cannot work from home",
    "The printer on the second floor is out of toner again",
    "Outlook does not send my mail, it stays in the outbox",
    "Please order a new laptop for the colleague who starts on Monday",
];

struct Desk {
    folder: tempfile::TempDir,
    store: Store,
    jobs: Jobs,
    memory: Memory,
    triager: Triager,
    pool: Pool,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data")).unwrap();
        let jobs = Jobs::open(store.clone(), &folder.path().join("data"));
        let memory = Memory::open(store.clone(), &folder.path().join("data"), Redactor::default()).unwrap();
        let triager = Triager::new(Classifier::embedded().unwrap(), Arc::default(), None, None).unwrap();
        let pool = Pool::start(NonZeroUsize::new(2).unwrap(), 16).unwrap();
        Self { folder, store, jobs, memory, triager, pool }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of so many tickets, all in the category `mail`.
    fn tickets(&self, name: &str, count: usize) -> PathBuf {
        let mut csv = "id,text,category\n".to_owned();
        for number in 0..count {
            writeln!(csv, "T{number},\"{} ({number})\",mail", TEXTS[number % TEXTS.len()]).unwrap();
        }
        fs::write(self.path(name), csv).unwrap();
        self.path(name)
    }

    fn asked(&self, input: &Path, output: &str) -> NewReclassification {
        NewReclassification {
            file: Some(NewFile {
                path: input.to_owned(),
                renames: Vec::new(),
                text: vec!["text".into()],
                id: None,
                sample: None,
                is_spool: false,
            }),
            fields: vec![FieldColumn { field: "category".into(), column: "category".into() }],
            filter: Filter::default(),
            dry_run: false,
            output: Some(self.path(output)),
            pace: Pace::default(),
        }
    }

    fn over_memory(&self, filter: Filter) -> NewReclassification {
        let file = None;
        NewReclassification { file, filter, output: None, ..self.asked(Path::new(""), "") }
    }

    fn create(&self, asked: NewReclassification) -> JobId {
        self.jobs.create(asked, None, JobOrigin::CommandLine, &self.triager).unwrap().record.id
    }

    fn tools(&self, storage: Arc<dyn Storage>) -> Tools {
        Tools {
            store: self.store.clone(),
            storage,
            pool: self.pool.clone(),
            disk: Pool::start(Tools::DISK_THREADS, 4).unwrap(),
            width: 4,
            memory: Some(self.memory.clone()),
        }
    }

    async fn work(&self, id: JobId) -> Job {
        self.work_on(id, Arc::new(Durable(self.store.clone())), &CancellationToken::new()).await
    }

    async fn work_on(&self, id: JobId, storage: Arc<dyn Storage>, stop: &CancellationToken) -> Job {
        self.jobs.work_with(id, self.triager.clone(), &self.tools(storage), stop, &|_| ()).await.unwrap()
    }

    fn remember(&self, tickets: &[(&str, &str, &str)]) {
        let ticket = |(id, text, category): &(&str, &str, &str)| ConfirmedTicket {
            id: (*id).into(),
            summary: (*text).into(),
            labels: [("category".to_owned(), (*category).to_owned())].into(),
            ..ConfirmedTicket::default()
        };
        self.memory.upsert(&tickets.iter().map(ticket).collect::<Vec<_>>()).unwrap();
    }

    fn category(&self, id: &str) -> String {
        self.memory.get(id).unwrap().unwrap().labels["category"].clone()
    }
}

/// Fails at the n-th thing that a job asks of it, and at all further ones.
#[derive(Debug)]
struct Failing {
    durable: Durable,
    left: Arc<AtomicUsize>,
    /// A commit that fails has been made all the same: its answer was lost.
    commits_anyway: bool,
}

/// Whether this is one that fails.
fn fails(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
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

#[tokio::test]
async fn a_job_is_found_again_and_its_output_is_nobody_elses() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 10);
    let id = desk.create(desk.asked(&input, "out.csv"));
    assert_eq!(desk.create(desk.asked(&input, "out.csv")), id);
    let taken = |asked| {
        let error = desk.jobs.create(asked, None, JobOrigin::Server, &desk.triager).unwrap_err();
        assert!(matches!(error, JobError::OutputTaken { .. }), "{error}");
        error.to_string()
    };
    let other = || NewReclassification {
        filter: Filter { only_empty: true, ..Filter::default() },
        ..desk.asked(&input, "out.csv")
    };
    assert!(taken(other()).contains("it is the output of job 1, which is queued"));
    desk.work(id).await;
    assert!(taken(other()).contains("which is done"));
    assert!(taken(desk.asked(&input, "in.csv")).contains("it is the input"));
    fs::write(desk.path("foreign.csv"), "x").unwrap();
    assert!(taken(desk.asked(&input, "foreign.csv")).contains("it exists already"));

    let written = fs::metadata(desk.path("out.csv")).unwrap().modified().unwrap();
    assert_eq!(desk.create(desk.asked(&input, "out.csv")), id, "done: the same job");
    assert_eq!(fs::metadata(desk.path("out.csv")).unwrap().modified().unwrap(), written);
    fs::remove_file(desk.path("out.csv")).unwrap();
    assert_ne!(desk.create(desk.asked(&input, "out.csv")), id, "its results are gone: done anew");
}

#[tokio::test]
async fn an_input_that_changes_pauses_the_job() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let before = fs::read(&input).unwrap();
    let id = desk.create(desk.asked(&input, "out.csv"));
    let stop = CancellationToken::new();
    stop.cancel();
    desk.work_on(id, Arc::new(Durable(desk.store.clone())), &stop).await;
    fs::write(&input, [before.as_slice(), b"T9,later,mail\n"].concat()).unwrap();
    let job = desk.work(id).await;
    assert_eq!(job.record.pause.unwrap().cause, PauseCause::InputChanged);
    assert_eq!(job.record.counts.rows, 2_000);
    fs::write(&input, before).unwrap();
    desk.jobs.resume(id).unwrap();
    assert_eq!(desk.work(id).await.record.counts.rows, 4_100);
}

#[tokio::test]
async fn too_many_bad_rows_pause_the_job_until_it_is_resumed() {
    let desk = Desk::new();
    let rows =
        (0..300).map(|number| if number % 4 == 0 { "x,y\n".into() } else { format!("T{number},{},mail\n", TEXTS[0]) });
    fs::write(desk.path("in.csv"), format!("id,text,category\n{}", rows.collect::<String>())).unwrap();
    let id = desk.create(desk.asked(&desk.path("in.csv"), "out.csv"));
    let job = desk.work(id).await;
    let pause = job.record.pause.unwrap();
    assert_eq!((pause.cause, job.record.counts.rows), (PauseCause::BadRows, 101));
    assert!(pause.text.contains("26 of 101 rows so far are bad"), "{}", pause.text);
    desk.jobs.resume(id).unwrap();
    let job = desk.work(id).await;
    assert_eq!((job.record.state, job.record.counts.failed, job.record.counts.rows), (JobState::Done, 75, 300));
    assert_eq!(fs::read_to_string(desk.path("out.csv")).unwrap().lines().count(), 301);
    assert_eq!(fs::read_to_string(desk.path("out.csv.rejects.csv")).unwrap().lines().count(), 76);
}

#[tokio::test]
async fn another_model_pauses_the_job() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 10);
    let id = desk.create(desk.asked(&input, "out.csv"));
    let taxonomy = crate::domain::taxonomy::Taxonomy { version: "other".into(), ..Default::default() };
    let triager = Triager::new(Classifier::embedded().unwrap(), Arc::new(taxonomy), None, None).unwrap();
    let tools = desk.tools(Arc::new(Durable(desk.store.clone())));
    let job = desk.jobs.work_with(id, triager, &tools, &CancellationToken::new(), &|_| ()).await.unwrap();
    let pause = job.record.pause.unwrap();
    assert_eq!((pause.cause, job.record.counts.rows), (PauseCause::OtherVersion, 0));
    assert!(pause.text.contains("now other is there"), "{}", pause.text);
}

#[tokio::test]
async fn a_cancelled_job_leaves_no_files_and_can_be_asked_for_anew() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let id = desk.create(desk.asked(&input, "out.csv"));
    let stop = CancellationToken::new();
    stop.cancel();
    desk.work_on(id, Arc::new(Durable(desk.store.clone())), &stop).await;
    assert!(desk.path("out.csv.part").exists());
    for _ in 0..2 {
        assert_eq!(desk.jobs.cancel(id).unwrap().record.state, JobState::Cancelled);
    }
    assert!(!desk.path("out.csv.part").exists() && !desk.path("out.csv").exists());
    for wrong in [desk.jobs.pause(id), desk.jobs.resume(id), desk.jobs.undo(id, None)] {
        assert!(matches!(wrong, Err(JobError::WrongState { state: JobState::Cancelled, .. })));
    }
    assert_ne!(desk.create(desk.asked(&input, "out.csv")), id);
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

#[tokio::test]
async fn the_memory_changes_and_gets_its_values_back() {
    let desk = Desk::new();
    desk.remember(&[
        ("A", TEXTS[0], "mail"),
        ("B", TEXTS[0], "mail"),
        ("C", TEXTS[0], "mail"),
        ("D", TEXTS[1], "mail"),
    ]);
    let from = vec![FieldValue { field: "category".into(), value: "mail".into() }];
    let to = vec![FieldValue { field: "category".into(), value: "network".into() }];
    let filter = Filter { from, to, ..Filter::default() };
    let dry = desk.create(NewReclassification { dry_run: true, ..desk.over_memory(filter.clone()) });
    let job = desk.work(dry).await;
    assert_eq!((job.record.counts.rows, job.record.counts.changed), (4, 3));
    assert_eq!(desk.category("A"), "mail", "a dry run changes nothing");
    assert!(matches!(desk.jobs.undo(dry, None), Err(JobError::NothingToUndo(_))));

    let id = desk.create(desk.over_memory(filter.clone()));
    assert_ne!(id, dry);
    assert_eq!(desk.work(id).await.record.counts.changed, 3);
    assert_eq!(
        ["A", "B", "C", "D"].map(|ticket| desk.category(ticket)),
        ["network/vpn", "network/vpn", "network/vpn", "mail"]
    );
    assert_ne!(desk.create(desk.over_memory(filter)), id, "the memory goes on changing: another job");

    desk.remember(&[("B", TEXTS[0], "desk's own")]);
    desk.memory.delete(&["C".to_owned()]).unwrap();
    for _ in 0..2 {
        let state = desk.jobs.undo(id, None).unwrap().record.state;
        if state == JobState::Undoing {
            assert_eq!(desk.work(id).await.record.state, JobState::Undone);
        }
        assert_eq!(["A", "B", "D"].map(|ticket| desk.category(ticket)), ["mail", "desk's own", "mail"]);
        let outcomes = [UndoOutcome::Restored, UndoOutcome::Touched, UndoOutcome::Deleted];
        let expected: BTreeMap<_, u64> = outcomes.map(|outcome| (outcome, 1)).into();
        assert_eq!(desk.jobs.undone(id).unwrap().counts, expected);
        assert_eq!(desk.jobs.undone_tickets(id, UndoOutcome::Touched, "", 9).unwrap(), ["B"]);
    }
}

#[tokio::test]
async fn what_two_jobs_changed_is_taken_back_in_part() {
    let desk = Desk::new();
    desk.remember(&[("A", TEXTS[0], "mail"), ("B", TEXTS[1], "mail")]);
    let only = |value: &str| Filter {
        to: vec![FieldValue { field: "category".into(), value: value.into() }],
        ..Filter::default()
    };
    let first = desk.create(desk.over_memory(Filter::default()));
    desk.work(first).await;
    assert_eq!(["A", "B"].map(|ticket| desk.category(ticket)), ["network/vpn", "hardware/printer"]);
    // Somebody corrects one, and another job changes it again.
    desk.remember(&[("A", TEXTS[0], "mail")]);
    let second = desk.create(desk.over_memory(only("network")));
    desk.work(second).await;
    desk.jobs.undo(first, None).unwrap();
    desk.work(first).await;
    assert_eq!(["A", "B"].map(|ticket| desk.category(ticket)), ["network/vpn", "mail"]);
    assert_eq!(desk.jobs.undone_tickets(first, UndoOutcome::Touched, "", 9).unwrap(), ["A"]);
}

/// Changes a ticket behind the job's back just before its first commit.
#[derive(Debug)]
struct Interfering {
    durable: Durable,
    memory: Memory,
    left: AtomicUsize,
}

impl Storage for Interfering {
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn Append>> {
        self.durable.open(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.durable.rename(from, to)
    }

    fn commit(&self, id: JobId, chunk: &ChunkCommit<'_>) -> Result<Committed, StoreError> {
        if !fails(&self.left) {
            let mut ticket = self.memory.get("A").unwrap().unwrap();
            ticket.resolution = "Restarted it.".into();
            self.memory.upsert(&[ticket]).unwrap();
        }
        self.durable.commit(id, chunk)
    }
}

#[tokio::test]
async fn a_ticket_that_changes_meanwhile_is_decided_anew_and_keeps_what_was_said() {
    let desk = Desk::new();
    desk.remember(&[("A", TEXTS[0], "mail"), ("B", TEXTS[1], "mail")]);
    let id = desk.create(desk.over_memory(Filter::default()));
    let storage =
        Interfering { durable: Durable(desk.store.clone()), memory: desk.memory.clone(), left: AtomicUsize::new(1) };
    let job = desk.work_on(id, Arc::new(storage), &CancellationToken::new()).await;
    assert_eq!((job.record.state, job.record.counts.rows, job.record.counts.changed), (JobState::Done, 2, 2));
    let ticket = desk.memory.get("A").unwrap().unwrap();
    assert_eq!((ticket.labels["category"].as_str(), ticket.resolution.as_str()), ("network/vpn", "Restarted it."));
}

#[tokio::test]
async fn results_come_in_pages_in_the_order_of_the_input() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let id = desk.create(desk.asked(&input, "out.csv"));
    desk.work(id).await;
    let (mut next, mut ids) = (Some(ResultPlace::default()), Vec::new());
    while let Some(from) = next {
        let page = desk.jobs.results(id, from, 700, |_| true).unwrap();
        assert!(page.results.len() == 700 || page.next.is_none());
        ids.extend(page.results.into_iter().map(|result| result.id));
        next = page.next;
    }
    assert_eq!(ids, (0..4_100).map(|number| format!("T{number}")).collect::<Vec<_>>());
    let changed = desk.jobs.results(id, ResultPlace::default(), 9_999, TicketResult::is_changed).unwrap();
    assert_eq!(changed.results.len() as u64, desk.jobs.get(id).unwrap().record.counts.changed);
    assert_eq!(desk.jobs.diff(id).unwrap().fields[0].changed, changed.results.len() as u64);
}

#[tokio::test]
async fn a_sample_is_spread_over_the_file_and_the_same_every_time() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let mut ids = Vec::new();
    for max_bad_share in [0.1, 0.2] {
        let mut asked = NewReclassification { dry_run: true, output: None, ..desk.asked(&input, "") };
        asked.file.as_mut().unwrap().sample = Some(50);
        asked.pace.max_bad_share = max_bad_share;
        let id = desk.create(asked);
        desk.work(id).await;
        let page = desk.jobs.results(id, ResultPlace::default(), 100, |_| true).unwrap();
        ids.push(page.results.into_iter().map(|result| result.id[1..].parse::<usize>().unwrap()).collect::<Vec<_>>());
        desk.store.release_job(id).unwrap();
    }
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0].len() == 50 && ids[0].is_sorted() && ids[0][0] < 500 && ids[0][49] > 3_600, "{ids:?}");
}

#[tokio::test]
async fn nothing_of_anybody_elses_is_written_over() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 4_100);
    let id = desk.create(desk.asked(&input, "out.csv"));
    // Another data directory knows nothing of this job, and writes the same file.
    let theirs = fs::OpenOptions::new().append(true).create(true).open(desk.path("out.csv.part")).unwrap();
    theirs.lock().unwrap();
    let job = desk.work(id).await;
    assert!(job.record.pause.unwrap().text.contains("another job is writing it"));
    drop(theirs);
    desk.jobs.resume(id).unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    desk.work_on(id, Arc::new(Durable(desk.store.clone())), &stop).await;
    fs::write(desk.path("out.csv"), "theirs").unwrap();
    let job = desk.work(id).await;
    assert!(job.record.pause.unwrap().text.contains("somebody made it meanwhile"));
    assert_eq!(fs::read_to_string(desk.path("out.csv")).unwrap(), "theirs");
    fs::remove_file(desk.path("out.csv")).unwrap();
    desk.jobs.resume(id).unwrap();
    assert_eq!(desk.work(id).await.record.state, JobState::Done);

    for taken in [input.clone(), desk.path("out.csv")] {
        let error = desk.jobs.undo(id, Some(&taken)).unwrap_err();
        assert!(matches!(error, JobError::OutputTaken { .. }), "{error}");
    }
    assert_eq!(desk.jobs.get(id).unwrap().record.state, JobState::Done);
    desk.jobs.undo(id, None).unwrap();

    let id = desk.create(desk.asked(&input, "gone.csv"));
    desk.work_on(id, Arc::new(Durable(desk.store.clone())), &stop).await;
    fs::remove_file(desk.path("gone.csv.part")).unwrap();
    let job = desk.work(id).await;
    let text = job.record.pause.unwrap().text;
    assert!(text.ends_with("cancel the job and begin anew"), "{text}");
}

#[tokio::test]
async fn a_rows_number_keeps_no_ticket_out() {
    let desk = Desk::new();
    let rows = "id,text,category\n,printer is broken in the hall,a\n1,VPN drops,b\n1,twice,c\nx,y\n4,Mail stays in the outbox,d\n";
    fs::write(desk.path("in.csv"), rows).unwrap();
    let id = desk.create(desk.asked(&desk.path("in.csv"), "out.csv"));
    let job = desk.work(id).await;
    assert_eq!((job.record.counts.rows, job.record.counts.failed), (5, 2));
    let out = fs::read_to_string(desk.path("out.csv")).unwrap();
    let twice = out.lines().nth(3).unwrap();
    assert!(twice.starts_with("1,twice,c,c,,,,,") && twice.contains("further up"), "{twice}");
}

#[tokio::test]
async fn other_redaction_pauses_the_job() {
    let desk = Desk::new();
    let id = desk.create(desk.asked(&desk.tickets("in.csv", 10), "out.csv"));
    let redactor = Redactor::new(Vec::new(), [("badge", "B[0-9]+")]).unwrap();
    let classifier = Classifier::embedded().unwrap().with_redactor(redactor);
    let triager = Triager::new(classifier, Arc::default(), None, None).unwrap();
    let tools = desk.tools(Arc::new(Durable(desk.store.clone())));
    let job = desk.jobs.work_with(id, triager, &tools, &CancellationToken::new(), &|_| ()).await.unwrap();
    assert_eq!((job.record.pause.unwrap().cause, job.record.counts.rows), (PauseCause::OtherVersion, 0));
}

#[test]
fn what_makes_no_job_is_named() {
    let desk = Desk::new();
    let input = desk.tickets("in.csv", 3);
    fs::write(desk.path("twice.csv"), "id,text,category,id\n1,x,y,2\n").unwrap();
    fs::write(desk.path("ours.csv"), "id,text,category,triage_category\n1,x,y,z\n").unwrap();
    let asked = || desk.asked(&input, "out.csv");
    let field = |field: &str| FieldColumn { field: field.into(), column: "category".into() };
    let elsewhere = Filter { from: vec![FieldValue { field: "type".into(), value: "x".into() }], ..Filter::default() };
    for (wrong, expected) in [
        (
            NewReclassification { fields: vec![field("colour")], ..asked() },
            "know no field `colour`; the fields are type, category",
        ),
        (NewReclassification { fields: Vec::new(), ..asked() }, "name at least one field"),
        (NewReclassification { fields: vec![field("category"), field("category")], ..asked() }, "named twice"),
        (NewReclassification { filter: elsewhere, ..asked() }, "which the job is not about"),
        (NewReclassification { filter: Filter { min_confidence: 1.5, ..Filter::default() }, ..asked() }, "from 0 to 1"),
        (NewReclassification { pace: Pace { max_bad_share: -0.5, ..Pace::default() }, ..asked() }, "from 0 to 1"),
        (desk.asked(&desk.path("twice.csv"), "out.csv"), "2 times"),
        (desk.asked(&desk.path("ours.csv"), "out.csv"), "has a column `triage_category` already"),
        (desk.asked(&desk.path("no.csv"), "out.csv"), "no.csv"),
        (desk.asked(&input, "no/out.csv"), "does not exist"),
    ] {
        let error = desk.jobs.create(wrong, None, JobOrigin::Server, &desk.triager).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(desk.jobs.list(None, 10).unwrap().is_empty());
}
