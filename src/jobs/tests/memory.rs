//! Jobs over the confirmed tickets, beside others who change them.

use super::{faults::fails, *};

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
