//! What a job does not go on over, and how it goes on then.

use super::*;

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
async fn of_few_rows_the_job_pauses_where_all_are_bad_or_none_may_be() {
    let desk = Desk::new();
    let good = format!("1,{},mail\n", TEXTS[0]);
    for (name, rows, max_bad_share, read) in [
        ("all.csv", "x,y\nx,y\n".to_owned(), 0.5, 2),
        ("none.csv", format!("x,y\n{good}"), 0.0, 1),
        ("last.csv", format!("{good}x,y\n"), 0.0, 2),
    ] {
        fs::write(desk.path(name), format!("id,text,category\n{rows}")).unwrap();
        let mut asked = desk.asked(&desk.path(name), &format!("of-{name}"));
        asked.pace.max_bad_share = max_bad_share;
        let id = desk.create(asked);
        let record = desk.work(id).await.record;
        assert_eq!((record.pause.unwrap().cause, record.counts.rows), (PauseCause::BadRows, read), "{name}");
        desk.jobs.resume(id).unwrap();
        let record = desk.work(id).await.record;
        assert_eq!((record.state, record.counts.rows), (JobState::Done, 2), "{name}");
        assert_eq!(fs::read_to_string(desk.path(&format!("of-{name}"))).unwrap().lines().count(), 3, "{name}");
    }
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
