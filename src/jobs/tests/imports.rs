//! Imports into the memory: where they go on, and what becomes of rows that make no ticket.

use super::{faults::Failing, *};

impl Desk {
    fn asked_import(&self, input: &str, rejects: Option<&str>) -> NewImport {
        NewImport {
            path: self.path(input),
            renames: Vec::new(),
            columns: TicketColumns {
                text: vec!["text".into()],
                labels: vec!["category".into()],
                ..TicketColumns::default()
            },
            rejects: rejects.map(|name| self.path(name)),
            pace: Pace::default(),
        }
    }

    fn create_import(&self, asked: NewImport) -> Result<JobId, JobError> {
        Ok(self.jobs.create_import(asked, None, JobOrigin::Server, &self.triager)?.record.id)
    }
}

#[tokio::test]
async fn an_import_goes_on_where_it_was_and_ends_as_one_clean_run() {
    let desk = Desk::new();
    desk.remember(&[("T1", "An older summary", "mail")]);
    let mut known = desk.memory.get("T1").unwrap().unwrap();
    known.articles.insert("KB1".into());
    desk.memory.upsert(&[known]).unwrap();
    let input = desk.tickets("in.csv", 4_100);
    let rows = fs::read_to_string(&input).unwrap() + "T2,Corrected later on,network\nT9000,,mail\n";
    fs::write(&input, rows).unwrap();
    let create = || desk.create_import(desk.asked_import("in.csv", None)).unwrap();
    let id = create();
    assert_eq!(create(), id);
    let stop = CancellationToken::new();
    stop.cancel();
    for rows in [2_000, 4_000] {
        let job = desk.work_on(id, Arc::new(Durable(desk.store.clone())), &stop).await;
        assert_eq!(job.record.counts.rows, rows);
    }
    let job = desk.work(id).await;
    let JobCounts { rows, changed, failed, .. } = job.record.counts;
    assert_eq!((job.record.state, rows, changed, failed), (JobState::Done, 4_102, 4_101, 1));
    assert_eq!(desk.memory.count(), 4_100);
    let ticket = desk.memory.get("T1").unwrap().unwrap();
    assert!(ticket.articles.contains("KB1"), "without a column of articles, links stay");
    assert_eq!(ticket.labels["category"], "mail");
    assert_eq!(desk.category("T2"), "network");
    let bad = desk.jobs.results(id, ResultPlace::default(), 10, |result| result.error.is_some()).unwrap();
    assert_eq!(bad.results[0].error.as_deref(), Some("line 4103: no text in text"));
    assert!(matches!(desk.jobs.undo(id, None), Err(JobError::NothingToUndo(_))));

    let again = create();
    assert_ne!(again, id, "an import that is done can be asked for again");
    assert_eq!(desk.work(again).await.record.counts.changed, 2, "the two that one id stands for");
}

/// Rows that cannot be read and rows that make no ticket, in each of three chunks.
fn with_bad_rows(desk: &Desk, name: &str) {
    let input = desk.tickets(name, 4_100);
    let mut rows: Vec<String> = fs::read_to_string(&input).unwrap().lines().map(str::to_owned).collect();
    for (line, row) in rows.iter_mut().enumerate().skip(1) {
        match line {
            7 | 2_500 | 4_090 => *row = format!("T{},\"one\", too,many", line - 1),
            9 | 4_000 => *row = format!("T{},,mail", line - 1),
            11 => *row = format!("{},\"two\n\"\"lines\"\"\",mail", "x".repeat(300)),
            _ => {}
        }
    }
    fs::write(input, rows.join("\n")).unwrap();
}

const REJECTS: &str = "line,reason,id,text,category\n\
    8,4 fields where the header has 3,T6,\"one\", too,many\n\
    10,no text in text,T8,,mail\n";

#[tokio::test]
async fn bad_rows_of_an_import_are_mended_and_fed_back() {
    let desk = Desk::new();
    with_bad_rows(&desk, "in.csv");
    let id = desk.create_import(desk.asked_import("in.csv", Some("bad.csv"))).unwrap();
    let job = desk.work(id).await;
    assert_eq!((job.record.state, job.record.counts.failed), (JobState::Done, 6));
    assert_eq!((desk.memory.count(), job.specification.rejects()), (4_094, Some(desk.path("bad.csv"))));
    let rejects = fs::read_to_string(desk.path("bad.csv")).unwrap();
    assert!(rejects.starts_with(REJECTS), "{rejects}");
    assert_eq!(rejects.matches(",id: ").count(), 1, "{rejects}");

    let mended = rejects.replace("\"one\", too,many", "one too,mail").replace(",,mail", ",Now it says something,mail");
    fs::write(desk.path("bad.csv"), mended.replace(&"x".repeat(300), "T10")).unwrap();
    let id = desk.create_import(desk.asked_import("bad.csv", Some("still-bad.csv"))).unwrap();
    let job = desk.work(id).await;
    assert_eq!((job.record.state, job.record.counts.rows, job.record.counts.failed), (JobState::Done, 6, 0));
    assert!(!desk.path("still-bad.csv").exists() && !desk.path("still-bad.csv.part").exists());
    assert_eq!(desk.memory.count(), 4_100);
    assert_eq!(desk.memory.get("T8").unwrap().unwrap().description, "Now it says something");
    assert_eq!(desk.memory.get("T10").unwrap().unwrap().description, "two\n\"lines\"");
}

#[tokio::test]
async fn whatever_fails_the_rejects_of_an_import_are_the_same() {
    let desk = Desk::new();
    with_bad_rows(&desk, "in.csv");
    let id = desk.create_import(desk.asked_import("in.csv", Some("undisturbed.csv"))).unwrap();
    desk.work(id).await;
    let mut faults = 0;
    loop {
        let name = format!("{faults}.csv");
        let id = desk.create_import(desk.asked_import("in.csv", Some(&name))).unwrap();
        let left = Arc::new(AtomicUsize::new(faults));
        let storage = Failing { durable: Durable(desk.store.clone()), left, commits_anyway: faults.is_multiple_of(2) };
        if desk.work_on(id, Arc::new(storage), &CancellationToken::new()).await.record.state == JobState::Done {
            break;
        }
        assert!(!desk.path(&name).exists(), "only what is whole bears the name");
        desk.jobs.resume(id).unwrap();
        assert_eq!(desk.work(id).await.record.counts.failed, 6, "{name}");
        assert_eq!(fs::read(desk.path(&name)).unwrap(), fs::read(desk.path("undisturbed.csv")).unwrap(), "{name}");
        faults += 1;
    }
    assert!(faults > 9, "only {faults} steps: the seam is not in use");
}

#[tokio::test]
async fn packed_rows_of_json_are_rejected_as_they_were_and_too_many_pause() {
    let desk = Desk::new();
    let row = |number: usize| match number % 4 {
        0 => format!("{{\"nr\":{number},\"text\":\"\"}}\n"),
        1 => "no json\n".to_owned(),
        _ => format!("{{\"nr\":{number},\"text\":\"{}\"}}\n", TEXTS[0]),
    };
    fs::write(desk.path("in.jsonl"), (0..300).map(row).collect::<String>()).unwrap();
    let asked = || {
        let mut asked = desk.asked_import("in.jsonl", Some("bad.jsonl.gz"));
        (asked.columns.id, asked.columns.labels) = ("nr".into(), Vec::new());
        asked
    };
    let id = desk.create_import(asked()).unwrap();
    let pause = desk.work(id).await.record.pause.unwrap();
    assert_eq!(pause.cause, PauseCause::BadRows);
    assert!(pause.text.contains("51 of 101 rows so far are bad (see /"), "{}", pause.text);
    assert!(pause.text.contains("bad.jsonl.gz.part), more than the 10 %"), "{}", pause.text);
    assert_eq!(desk.create_import(asked()).unwrap(), id);
    desk.jobs.resume(id).unwrap();
    assert_eq!(desk.work(id).await.record.counts.failed, 150);
    let bad: Vec<_> = crate::rows::Rows::open(&desk.path("bad.jsonl.gz"), &[]).unwrap().collect();
    assert_eq!(bad.len(), 150);
    let empty = bad[0].as_ref().unwrap();
    assert_eq!((empty.value("_reason").as_deref(), empty.id("nr").as_str()), (Some("no text in text"), "0"));
    let kept = bad[1].as_ref().unwrap_err().to_string();
    assert!(kept.contains("mend the line in `_row`"), "{kept}");
}

#[tokio::test]
async fn rejects_are_written_over_nothing_and_where_they_can_be_read_again() {
    let desk = Desk::new();
    with_bad_rows(&desk, "in.csv");
    fs::write(desk.path("there.csv"), "x").unwrap();
    fs::create_dir(desk.path("folder.csv")).unwrap();
    for (rejects, expected) in [
        ("bad.jsonl", "let the name end like that one's"),
        ("bad.txt", "rows come as .jsonl"),
        ("in.csv", "it is the input"),
        ("no/bad.csv", "does not exist"),
        ("there.csv", "it exists already"),
        ("folder.csv", "no plain file"),
    ] {
        let error = desk.create_import(desk.asked_import("in.csv", Some(rejects))).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let id = desk.create_import(desk.asked_import("in.csv", Some("bad.csv"))).unwrap();
    desk.tickets("other.csv", 20);
    let other = || desk.create_import(desk.asked_import("other.csv", Some("bad.csv"))).unwrap_err().to_string();
    assert!(other().contains("it is the file of bad rows of job 1, which is queued"), "{}", other());
    desk.work(id).await;
    assert!(other().contains("which is done; name another output, or remove it"), "{}", other());
    desk.jobs.cancel(desk.create_import(desk.asked_import("other.csv", Some("free.csv"))).unwrap()).unwrap();
    assert!(desk.create_import(desk.asked_import("other.csv", Some("free.csv"))).is_ok());
}
