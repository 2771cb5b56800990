//! Jobs as the store keeps them: created once, moved by one, committed chunk by chunk, and taken back.

use super::*;
use crate::domain::job::UndoOutcome;

const ALL_OPEN: [JobState; 3] = [JobState::Queued, JobState::Running, JobState::Paused];

struct Desk {
    _folder: tempfile::TempDir,
    store: Store,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self { _folder: folder, store }
    }

    fn create(&self, request_id: Option<&str>, fingerprint: u8) -> Created {
        self.store
            .create_job(&NewJob {
                request_id,
                fingerprint: Some([fingerprint; 32]),
                kind: "reclassification",
                origin: JobOrigin::Server,
                specification: "{}",
                model: "m",
                taxonomy: "t",
                created_at: 7,
            })
            .unwrap()
    }

    fn running(&self) -> JobId {
        let id = self.create(None, 1).id;
        assert!(self.store.move_job(id, &[JobState::Queued], JobState::Running, None, 8).unwrap());
        id
    }

    fn remember(&self, id: &str, category: &str) {
        let labels = [("category".to_owned(), category.to_owned())].into();
        let ticket =
            ConfirmedTicket { id: id.into(), summary: "It fails".into(), labels, ..ConfirmedTicket::default() };
        self.store.upsert_memory_tickets(&[ticket]).unwrap();
    }

    fn category(&self, id: &str) -> Option<String> {
        self.store.memory_ticket(id).unwrap().and_then(|ticket| ticket.labels.get("category").cloned())
    }

    fn relabelled(&self, id: &str, category: &str) -> Relabelled {
        let all = self.store.memory_tickets_with_changes("", 100).unwrap();
        let (mut ticket, read_at) = all.into_iter().find(|(ticket, _)| ticket.id == id).unwrap();
        let previous = ticket.labels.insert("category".into(), category.into());
        Relabelled { ticket, previous: [("category".to_owned(), previous)].into(), read_at }
    }

    fn commit(&self, id: JobId, number: u64, relabelled: &[Relabelled]) -> Committed {
        let counts = JobCounts { rows: 2, changed: 1, ..JobCounts::default() };
        let chunk = ChunkCommit {
            number,
            counts,
            results: b"r",
            id_hashes: b"12345678",
            checkpoint: "{}",
            worked_ms: 5,
            relabelled,
            imported: Imported::default(),
        };
        self.store.commit_chunk(id, &chunk).unwrap()
    }
}

#[test]
fn the_same_request_makes_one_job_until_it_no_longer_stands_for_it() {
    let desk = Desk::new();
    let first = desk.create(Some("a"), 1);
    assert!(first.is_new);
    for (request_id, fingerprint, expected) in [(Some("a"), 1, 1), (Some("a"), 2, 1), (None, 1, 1), (None, 3, 2)] {
        assert_eq!(desk.create(request_id, fingerprint).id, JobId(expected), "{request_id:?} {fingerprint}");
    }
    assert!(desk.store.move_job(first.id, &ALL_OPEN, JobState::Cancelled, None, 9).unwrap());
    assert_eq!(desk.create(None, 1), Created { id: JobId(3), is_new: true });
    assert_eq!(desk.create(Some("a"), 9).id, first.id, "a request's name stays taken");
}

#[test]
fn a_chunk_is_committed_once_and_only_while_the_job_runs() {
    let desk = Desk::new();
    let id = desk.create(None, 1).id;
    assert_eq!(desk.commit(id, 0, &[]), Committed::NotRunning);
    desk.store.move_job(id, &[JobState::Queued], JobState::Running, None, 8).unwrap();
    assert!(matches!(desk.commit(id, 0, &[]), Committed::Yes(_)));
    assert_eq!(desk.commit(id, 0, &[]), Committed::NotRunning);
    assert!(matches!(desk.commit(id, 1, &[]), Committed::Yes(_)));
    desk.store.move_job(id, &ALL_OPEN, JobState::Cancelled, None, 9).unwrap();
    assert_eq!(desk.commit(id, 2, &[]), Committed::NotRunning);
    let job = desk.store.job(id).unwrap().unwrap();
    assert_eq!((job.chunks, job.counts.rows, job.counts.changed, job.worked_ms), (2, 4, 2, 10));
    assert_eq!((job.state, job.ended_at), (JobState::Cancelled, Some(9)));
    assert_eq!(desk.store.job_chunks(id, 1, 9).unwrap().len(), 1);
    assert_eq!(desk.store.job_id_hashes(id, 0, 9).unwrap(), [b"12345678", b"12345678"]);
    assert_eq!(desk.store.job_id_hashes(id, 1, 9).unwrap(), [b"12345678"]);
    let mut seen = desk.store.ids_seen_by(id).unwrap();
    assert!(!seen.insert(u64::from_le_bytes(*b"12345678")).unwrap());
    assert!(seen.insert(u64::from_le_bytes(*b"87654321")).unwrap());
}

#[test]
fn of_two_that_move_a_job_one_is_late() {
    let desk = Desk::new();
    let id = desk.running();
    let pause = Pause { cause: PauseCause::BadRows, text: "too many".into() };
    assert!(desk.store.move_job(id, &[JobState::Running], JobState::Paused, Some(&pause), 9).unwrap());
    assert!(!desk.store.move_job(id, &[JobState::Running], JobState::Done, None, 9).unwrap());
    assert_eq!(desk.store.job(id).unwrap().unwrap().pause, Some(pause));
    assert_eq!(desk.store.jobs_in(&[JobState::Paused]).unwrap().len(), 1);
    assert!(desk.store.move_job(id, &[JobState::Paused], JobState::Running, None, 9).unwrap());
    assert_eq!(desk.store.job(id).unwrap().unwrap().pause, None);
}

#[test]
fn labels_change_with_their_chunk_or_not_at_all() {
    let desk = Desk::new();
    desk.remember("A", "Network");
    desk.remember("B", "Network");
    let id = desk.running();
    let stale = [desk.relabelled("A", "Printer"), desk.relabelled("B", "Printer")];
    desk.remember("B", "Mail");
    assert_eq!(desk.commit(id, 0, &stale), Committed::Touched);
    assert_eq!(desk.category("A").as_deref(), Some("Network"));
    assert_eq!(desk.store.job(id).unwrap().unwrap().chunks, 0);
    let fresh = [desk.relabelled("A", "Printer"), desk.relabelled("B", "Printer")];
    assert!(matches!(desk.commit(id, 0, &fresh), Committed::Yes(_)));
    assert_eq!((desk.category("A"), desk.category("B")), (Some("Printer".into()), Some("Printer".into())));
}

#[test]
fn undoing_restores_what_nobody_touched_since() {
    let desk = Desk::new();
    for id in ["A", "B", "C", "D"] {
        desk.remember(id, "Network");
    }
    let unlabelled = ConfirmedTicket { id: "E".into(), summary: "It fails".into(), ..ConfirmedTicket::default() };
    desk.store.upsert_memory_tickets(&[unlabelled]).unwrap();
    let id = desk.running();
    let changes: Vec<_> = ["A", "B", "C", "E"].map(|ticket| desk.relabelled(ticket, "Printer")).into();
    assert!(matches!(desk.commit(id, 0, &changes), Committed::Yes(_)));
    desk.remember("B", "Mail");
    desk.store.delete_memory_tickets(&["C".to_owned()]).unwrap();

    assert_eq!(desk.store.undo_step(id, 3).unwrap(), 3);
    assert_eq!(desk.store.undo_step(id, 3).unwrap(), 1);
    assert_eq!(desk.store.undo_step(id, 3).unwrap(), 0);
    let found = ["A", "B", "C", "D", "E"].map(|ticket| desk.category(ticket));
    assert_eq!(found, [Some("Network".into()), Some("Mail".into()), None, Some("Network".into()), None]);
    let expected = [(UndoOutcome::Restored, 2), (UndoOutcome::Touched, 1), (UndoOutcome::Deleted, 1)];
    assert_eq!(desk.store.undo_counts(id).unwrap(), expected.into());
    assert_eq!(desk.store.undone_tickets(id, UndoOutcome::Touched, "", 9).unwrap(), ["B"]);
}

#[test]
fn jobs_are_listed_latest_first() {
    let desk = Desk::new();
    for fingerprint in 1..=3 {
        desk.create(None, fingerprint);
    }
    let ids = |before| {
        let jobs = desk.store.list_jobs(before, 2).unwrap();
        jobs.into_iter().map(|job| job.id.0).collect::<Vec<_>>()
    };
    assert_eq!((ids(None), ids(Some(JobId(2)))), (vec![3, 2], vec![1]));
}
