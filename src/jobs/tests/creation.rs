//! Which jobs are the same, what makes none, and whose files are whose.

use super::*;

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
