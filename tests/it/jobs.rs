//! `JobService`: jobs over what a client sends and over files, how they are steered, and what they came to.

use std::{collections::HashMap, fs, path::Path};

use ticket_triage::pb::{self, JobState, job_service_client::JobServiceClient, reclassification_spec::Source};
use tonic::{Code, Status, transport::Channel};

use crate::harness::{TestServer, file, in_time, names_a_retry, reason, ticket, violated_fields, with_form};

pub type Client = JobServiceClient<Channel>;

/// Reclassifies the category.
pub fn spec(source: Source) -> pb::ReclassificationSpec {
    let field = pb::ReclassificationField { field: "category".to_owned(), current_column: String::new() };
    pb::ReclassificationSpec { source: Some(source), fields: vec![field], ..pb::ReclassificationSpec::default() }
}

pub fn client_tickets() -> Source {
    Source::Client(pb::ClientTickets {})
}

fn file_tickets(path: impl AsRef<Path>, output: impl AsRef<Path>) -> Source {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    Source::File(pb::FileTickets {
        path: text(path.as_ref()),
        output_path: text(output.as_ref()),
        text_columns: vec!["text".to_owned()],
        ..pb::FileTickets::default()
    })
}

/// Creates a job with these tickets in two frames.
pub async fn create(
    client: &mut Client,
    spec: pb::ReclassificationSpec,
    request_id: &str,
    tickets: &[pb::Ticket],
) -> Result<pb::Job, Status> {
    let (first, second) = tickets.split_at(tickets.len() / 2);
    let frames = [
        pb::CreateReclassificationJobRequest {
            spec: Some(spec),
            request_id: request_id.to_owned(),
            tickets: first.to_vec(),
        },
        pb::CreateReclassificationJobRequest { tickets: second.to_vec(), ..Default::default() },
    ];
    let created = client.create_reclassification_job(tokio_stream::iter(frames)).await?;
    Ok(created.into_inner().job.unwrap())
}

/// Watches a job until it is as wanted; fails where it ends otherwise.
pub async fn until(client: &mut Client, id: &str, wanted: impl Fn(&pb::Job) -> bool) -> pb::Job {
    let mut changes = client.watch_job(pb::WatchJobRequest { id: id.to_owned() }).await.unwrap().into_inner();
    loop {
        let job = in_time(changes.message()).await.unwrap().expect("the job ended").job.unwrap();
        if wanted(&job) {
            return job;
        }
    }
}

/// Watches a job to its end.
pub async fn ended(client: &mut Client, id: &str) -> pb::Job {
    let mut changes = client.watch_job(pb::WatchJobRequest { id: id.to_owned() }).await.unwrap().into_inner();
    let mut last = None;
    while let Some(change) = in_time(changes.message()).await.unwrap() {
        last = change.job;
    }
    last.unwrap()
}

pub fn done(job: &pb::Job) -> u64 {
    job.progress.as_ref().unwrap().done
}

/// Tickets, changed, abstained, bad.
fn counts(job: &pb::Job) -> [u64; 4] {
    let progress = job.progress.as_ref().unwrap();
    [progress.done, progress.changed, progress.abstained, progress.failed]
}

pub async fn results(client: &mut Client, id: &str, filter: Option<pb::JobResultFilter>) -> Vec<pb::TicketResult> {
    let request = pb::ExportJobResultsRequest { id: id.to_owned(), filter };
    let mut answers = client.export_job_results(request).await.unwrap().into_inner();
    let mut results = Vec::new();
    while let Some(answer) = in_time(answers.message()).await.unwrap() {
        results.extend(answer.results);
    }
    results
}

/// A ticket that is clearly about a VPN, with this category today.
pub fn sent(id: &str, category: &str) -> pb::Ticket {
    let text = ticket("VPN drops every few minutes", "cannot stay connected from home since this morning");
    with_form(pb::Ticket { id: id.to_owned(), ..text }, &[("category", category)])
}

fn numbered(count: usize) -> Vec<pb::Ticket> {
    (0..count).map(|number| sent(&format!("INC{number}"), "hardware/printer")).collect()
}

fn slow(source: Source) -> pb::ReclassificationSpec {
    pb::ReclassificationSpec { tickets_per_second: 1, ..spec(source) }
}

fn spooled(server: &TestServer) -> Vec<String> {
    let Ok(files) = fs::read_dir(server.data_dir().join("jobs")) else { return Vec::new() };
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn what_a_client_sends_is_decided_in_its_order_and_bad_tickets_stop_nothing() {
    let server = TestServer::start().await;
    let mut client = server.jobs().await;
    let tickets = [
        sent("INC1", "hardware/printer"),
        pb::Ticket { id: "INC2".to_owned(), ..ticket("", " ") },
        sent("INC3", ""),
        sent("INC1", ""),
        sent(" ", ""),
    ];
    let created = create(&mut client, spec(client_tickets()), "", &tickets).await.unwrap();
    assert_eq!((created.id.as_str(), created.request_id.as_str(), created.end_time), ("1", "", None));
    let job = ended(&mut client, &created.id).await;
    assert_eq!((job.state(), counts(&job)), (JobState::Done, [5, 2, 0, 3]));
    assert!(job.end_time.is_some() && job.pause.is_none() && !job.versions.unwrap().model.is_empty());

    let [first, blank, third, doubled, unnamed] = results(&mut client, "1", None).await.try_into().unwrap();
    let field = &first.fields[0];
    assert_eq!((first.id.as_str(), field.field.as_str(), field.changed), ("INC1", "category", true));
    assert_eq!((field.current.as_deref(), field.value.as_deref()), (Some("hardware/printer"), Some("network/vpn")));
    assert_eq!((third.id.as_str(), third.fields[0].current.as_deref()), ("INC3", None));
    for (bad, id, error) in [
        (blank, "INC2", "ticket 2: summary: summary or description must hold text"),
        (doubled, "INC1", "ticket 4: the id `INC1` stands further up already"),
        (unnamed, " ", "ticket 5: id: must not be blank"),
    ] {
        assert_eq!((bad.id.as_str(), bad.error.as_str(), bad.fields.len()), (id, error, 0));
    }
    assert!(spooled(&server).is_empty(), "nothing is kept of an ended job");
    let status = client.undo_job(pb::UndoJobRequest { id: "1".to_owned() }).await.unwrap_err();
    assert_eq!((status.code(), violated_fields(&status)), (Code::InvalidArgument, vec!["id".to_owned()]));
    let metrics = server.admin("/metrics").await.1;
    assert!(metrics.contains("triage_job_tickets_total{outcome=\"failed\"}") && metrics.contains("triage_jobs{state="));
    server.stop().await;
}

#[tokio::test]
async fn what_waits_for_its_job_is_redacted() {
    let server = TestServer::start().await;
    let mut client = server.jobs().await;
    let mut tickets = numbered(50);
    tickets[7].description = "my password: hunter2, write to ann@desk.example".to_owned();
    tickets[8].id = String::new();
    tickets[8].attributes.insert("x".repeat(300), "bob@desk.example".to_owned());
    let job = create(&mut client, slow(client_tickets()), "", &tickets).await.unwrap();
    let [kept] = spooled(&server).try_into().unwrap();
    assert!(kept.contains("<email>") && kept.lines().count() == 50, "{kept}");
    for secret in ["hunter2", "ann@", "bob@"] {
        assert!(!kept.contains(secret), "{secret}");
    }
    client.cancel_job(pb::CancelJobRequest { id: job.id }).await.unwrap();
    assert!(spooled(&server).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn one_name_makes_one_job_and_no_name_makes_one_each_time() {
    let server = TestServer::start().await;
    let (mut one, mut other) = (server.jobs().await, server.jobs().await);
    let tickets = numbered(50);
    let (first, second) = tokio::join!(
        create(&mut one, slow(client_tickets()), "nightly", &tickets),
        create(&mut other, slow(client_tickets()), "nightly", &tickets),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.id, first.request_id), (second.id, second.request_id));
    assert_eq!(spooled(&server).len(), 1);
    // Nothing else of the request is looked at, and nothing of the stream is read.
    let again = create(&mut one, pb::ReclassificationSpec { dry_run: true, ..spec(client_tickets()) }, "nightly", &[]);
    assert_eq!(again.await.unwrap().request_id, "nightly");
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(create(&mut one, slow(client_tickets()), "", &tickets).await.unwrap().id);
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(spooled(&server).len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn wrong_jobs_are_refused_with_everything_that_is_wrong() {
    let server = TestServer::start().await;
    let mut client = server.jobs().await;
    let none = client.create_reclassification_job(tokio_stream::empty()).await.unwrap_err();
    assert_eq!((none.code(), violated_fields(&none)), (Code::InvalidArgument, vec!["spec".to_owned()]));
    let value = |field: &str, value: &str| pb::FieldValue { field: field.to_owned(), value: value.to_owned() };
    let filter = |filter| pb::ReclassificationSpec { filter: Some(filter), ..spec(client_tickets()) };
    let named = |field: &str, column: &str| pb::ReclassificationField {
        field: field.to_owned(),
        current_column: column.to_owned(),
    };
    let fields = |fields| pb::ReclassificationSpec { fields, ..spec(client_tickets()) };
    let bare = pb::FileTickets { path: "in.csv".to_owned(), sample: 3, ..pb::FileTickets::default() };
    for (spec, tickets, expected) in [
        (pb::ReclassificationSpec::default(), numbered(2), vec!["spec.source", "tickets", "spec.fields"]),
        (spec(client_tickets()), Vec::new(), vec!["tickets"]),
        (spec(Source::Memory(pb::MemoryTickets {})), numbered(2), vec!["tickets"]),
        (
            filter(pb::ReclassificationFilter {
                min_confidence: f32::NAN,
                from: vec![value("category", " ")],
                ..pb::ReclassificationFilter::default()
            }),
            Vec::new(),
            vec!["spec.filter.min_confidence", "spec.filter.from[0]"],
        ),
        (
            filter(pb::ReclassificationFilter { to: vec![value("type", "x")], ..Default::default() }),
            numbered(2),
            vec!["spec"],
        ),
        (fields(vec![named(" ", "x")]), Vec::new(), vec!["spec.fields[0].field", "spec.fields[0].current_column"]),
        (fields(vec![named("colour", "")]), numbered(2), vec!["spec"]),
        (fields(vec![named("type", ""), named("type", "")]), numbered(2), vec!["spec"]),
        (
            pb::ReclassificationSpec { max_bad_share: Some(1.5), ..spec(Source::File(bare)) },
            Vec::new(),
            vec![
                "spec.max_bad_share",
                "spec.file.path",
                "spec.file.output_path",
                "spec.file.text_columns",
                "spec.file.sample",
            ],
        ),
    ] {
        let status = create(&mut client, spec, "", &tickets).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(violated_fields(&status), expected, "{}", status.message());
    }
    let long = create(&mut client, spec(client_tickets()), &"x".repeat(257), &numbered(2)).await.unwrap_err();
    assert_eq!(violated_fields(&long), ["request_id"]);
    let listed = client.list_jobs(pb::ListJobsRequest::default()).await.unwrap().into_inner();
    assert!(listed.jobs.is_empty() && spooled(&server).is_empty(), "nothing is left of what was refused");
    server.stop().await;
}

#[tokio::test]
async fn files_are_read_and_written_where_the_desk_allows_it_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let [inside, outside] = ["inside", "outside"].map(|name| folder.path().join(name));
    for folder in [&inside, &outside] {
        fs::create_dir(folder).unwrap();
        let rows = "id,text,category\nA,VPN drops every few minutes from home,hardware/printer\nB,,\nA,again,\n";
        file(folder, "in.csv", rows);
    }
    fs::write(inside.join("taken.csv"), "x").unwrap();
    let server = TestServer::start_with(&format!("[jobs]\nfolders = [\"{}\"]\n", inside.display())).await;
    let mut client = server.jobs().await;
    let job = create(&mut client, spec(file_tickets(inside.join("in.csv"), inside.join("out.csv"))), "", &[]).await;
    let job = ended(&mut client, &job.unwrap().id).await;
    assert_eq!((job.state(), counts(&job)), (JobState::Done, [3, 1, 1, 1]));
    assert!(job.rejects_path.ends_with("inside/out.csv.rejects.csv") && Path::new(&job.rejects_path).exists());
    let output = fs::read_to_string(inside.join("out.csv")).unwrap();
    assert!(output.lines().nth(1).unwrap().contains("hardware/printer,network/vpn"), "{output}");
    assert!(results(&mut client, &job.id, None).await[2].error.starts_with("line 4: "));
    let undone = client.undo_job(pb::UndoJobRequest { id: job.id.clone() }).await.unwrap().into_inner();
    assert_eq!(undone.job.unwrap().state(), JobState::Undone);
    assert_eq!(fs::read_to_string(undone.output_path).unwrap(), "id,category\nA,hardware/printer\n");

    let allowed = inside.join("in.csv");
    let mut refused = vec![
        (outside.join("in.csv"), inside.join("new.csv"), "PATH_NOT_ALLOWED"),
        (inside.join("../outside/in.csv"), inside.join("new.csv"), "PATH_NOT_ALLOWED"),
        (outside.join("missing.csv"), inside.join("new.csv"), "PATH_NOT_ALLOWED"),
        (allowed.clone(), outside.join("new.csv"), "PATH_NOT_ALLOWED"),
        (allowed.clone(), inside.join("missing/new.csv"), "INVALID_REQUEST"),
        (inside.join("missing/in.csv"), inside.join("new.csv"), "INVALID_REQUEST"),
        (inside.join("missing.csv"), inside.join("new.csv"), "INVALID_REQUEST"),
        (inside.clone(), inside.join("new.csv"), "INVALID_REQUEST"),
        (allowed.clone(), inside.join("taken.csv"), "OUTPUT_TAKEN"),
        (allowed.clone(), allowed.clone(), "OUTPUT_TAKEN"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outside.join("in.csv"), inside.join("link.csv")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("linked")).unwrap();
        refused.push((inside.join("link.csv"), inside.join("new.csv"), "PATH_NOT_ALLOWED"));
        refused.push((allowed, inside.join("linked/new.csv"), "PATH_NOT_ALLOWED"));
    }
    for (input, output, expected) in refused {
        let status = create(&mut client, spec(file_tickets(&input, &output)), "", &[]).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{} {}", input.display(), output.display());
        let named = expected != "PATH_NOT_ALLOWED" || status.message().contains("jobs.folders");
        assert!(named, "{}", status.message());
        let code = match expected {
            "PATH_NOT_ALLOWED" => Code::PermissionDenied,
            "OUTPUT_TAKEN" => Code::FailedPrecondition,
            _ => Code::InvalidArgument,
        };
        assert_eq!(status.code(), code);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_file_is_imported_into_the_memory_and_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "id,text,fix,kb,closed\n\
        A,VPN drops every few minutes from home,Restarted the gateway.,KB1;KB2,2026-03-31T23:30:00-02:00\n\
        B,,,,\n\
        C,Toner is empty,,,03/31/2026\n";
    let path = file(folder.path(), "solved.csv", rows);
    let server = TestServer::start_with(&format!("[jobs]\nfolders = [\"{}\"]\n", folder.path().display())).await;
    let mut client = server.jobs().await;
    let import = pb::MemoryImportSpec {
        path,
        text_columns: vec!["text".to_owned()],
        article_column: "kb".to_owned(),
        resolution_column: "fix".to_owned(),
        resolved_on_column: "closed".to_owned(),
        ..pb::MemoryImportSpec::default()
    };
    let request = |spec| pb::CreateMemoryImportJobRequest { spec: Some(spec), request_id: "solved".to_owned() };
    let created = client.create_memory_import_job(request(import.clone())).await.unwrap().into_inner().job.unwrap();
    let job = ended(&mut client, &created.id).await;
    assert_eq!((job.state(), counts(&job)), (JobState::Done, [3, 1, 0, 2]));
    assert!(matches!(&job.work, Some(pb::job::Work::MemoryImport(spec)) if spec.resolved_on_column == "closed"));
    let again = client.create_memory_import_job(request(import.clone())).await.unwrap().into_inner().job.unwrap();
    assert_eq!(again.id, created.id);
    let bad: Vec<_> = results(&mut client, &job.id, None).await.into_iter().skip(1).map(|bad| bad.error).collect();
    assert_eq!(bad[0], "line 3: no text in text");
    assert!(bad[1].starts_with("line 4: closed: `03/31/2026` is no day: expected 2026-03-31"), "{}", bad[1]);
    let similar = pb::FindSimilarTicketsRequest { ticket: Some(ticket("VPN drops from home", "")), top_n: None };
    let found = server.memory().await.find_similar_tickets(similar).await.unwrap().into_inner().tickets;
    assert_eq!((found[0].id.as_str(), found[0].articles.len()), ("A", 2));
    assert_eq!(found[0].resolved_on, "2026-04-01", "in UTC");

    let blank = pb::MemoryImportSpec { path: String::new(), text_columns: Vec::new(), ..import.clone() };
    let status = client.create_memory_import_job(request(blank)).await.unwrap_err();
    assert_eq!(violated_fields(&status), ["spec.path", "spec.text_columns"]);
    let unnamed = |spec| pb::CreateMemoryImportJobRequest { spec: Some(spec), request_id: String::new() };
    let elsewhere = pb::MemoryImportSpec { path: "/etc/passwd".to_owned(), ..import.clone() };
    let status = client.create_memory_import_job(unnamed(elsewhere)).await.unwrap_err();
    assert_eq!(reason(&status), "PATH_NOT_ALLOWED");
    let misspelt = pb::MemoryImportSpec { text_columns: vec!["texts".to_owned()], ..import };
    let status = client.create_memory_import_job(unnamed(misspelt)).await.unwrap_err();
    assert!(status.message().contains("no column `texts`"), "{}", status.message());
    server.stop().await;
}

#[tokio::test]
async fn a_job_is_paused_resumed_and_cancelled_and_every_other_move_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.jobs().await;
    let id = create(&mut client, slow(client_tickets()), "", &numbered(1_000)).await.unwrap().id;
    let second = create(&mut client, spec(client_tickets()), "", &numbered(3)).await.unwrap();
    assert_eq!(second.state(), JobState::Queued, "one after the other");
    until(&mut client, &id, |job| done(job) > 0 && job.progress.as_ref().unwrap().fraction.is_some()).await;
    for _ in 0..2 {
        let job = client.pause_job(pb::PauseJobRequest { id: id.clone() }).await.unwrap().into_inner().job.unwrap();
        assert_eq!((job.state(), job.pause.unwrap().cause()), (JobState::Paused, pb::PauseCause::Asked));
    }
    // The other one has its turn meanwhile.
    let second = ended(&mut client, &second.id).await;
    assert_eq!((second.state(), done(&second)), (JobState::Done, 3));
    client.resume_job(pb::ResumeJobRequest { id: id.clone() }).await.unwrap();
    let before = until(&mut client, &id, |job| job.state() == JobState::Running).await;
    until(&mut client, &id, |job| done(job) > done(&before)).await;
    for _ in 0..2 {
        let job = client.cancel_job(pb::CancelJobRequest { id: id.clone() }).await.unwrap().into_inner().job.unwrap();
        assert_eq!((job.state(), job.end_time.is_some()), (JobState::Cancelled, true));
    }
    for id in [&id, &second.id] {
        let refused = [
            client.pause_job(pb::PauseJobRequest { id: id.clone() }).await.unwrap_err(),
            client.resume_job(pb::ResumeJobRequest { id: id.clone() }).await.unwrap_err(),
        ];
        for status in refused {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "JOB_STATE"));
        }
    }
    let status = client.cancel_job(pb::CancelJobRequest { id: second.id }).await.unwrap_err();
    assert_eq!(reason(&status), "JOB_STATE");
    for (id, code) in [("99", Code::NotFound), ("x", Code::NotFound), ("", Code::InvalidArgument)] {
        let status = client.get_job(pb::GetJobRequest { id: id.to_owned() }).await.unwrap_err();
        assert_eq!(status.code(), code, "{id:?}");
        let status = client.watch_job(pb::WatchJobRequest { id: id.to_owned() }).await.unwrap_err();
        assert_eq!(status.code(), code, "{id:?}");
        let export = pb::ExportJobResultsRequest { id: id.to_owned(), filter: None };
        assert_eq!(client.export_job_results(export).await.unwrap_err().code(), code, "{id:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn results_and_jobs_come_page_by_page_and_as_they_are_wanted() {
    let server = TestServer::start().await;
    let mut client = server.jobs().await;
    let mut tickets = numbered(30);
    for place in [3, 13] {
        tickets[place].summary.clear();
        tickets[place].description.clear();
    }
    tickets[5] = sent("INC5", "network/vpn");
    for _ in 0..3 {
        let id = create(&mut client, spec(client_tickets()), "", &tickets).await.unwrap().id;
        assert_eq!(counts(&ended(&mut client, &id).await), [30, 27, 0, 2]);
    }
    let changed = pb::JobResultFilter { changed_only: true, field: "category".to_owned(), ..Default::default() };
    let failed = pb::JobResultFilter { failed_only: true, ..Default::default() };
    let all = results(&mut client, "2", None).await;
    for (filter, count) in [(None, 30), (Some(changed.clone()), 27), (Some(failed), 2)] {
        let exported = results(&mut client, "2", filter.clone()).await;
        let mut request =
            pb::ListJobResultsRequest { id: "2".to_owned(), filter, page_size: Some(7), ..Default::default() };
        let mut paged = Vec::new();
        loop {
            let page = client.list_job_results(request.clone()).await.unwrap().into_inner();
            paged.extend(page.results);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!((paged.len(), &paged), (count, &exported));
        assert!(paged.iter().all(|result| all.contains(result)));
    }
    let list = |filter, page_size, page_token: &str| pb::ListJobResultsRequest {
        id: "2".to_owned(),
        filter,
        page_size,
        page_token: page_token.to_owned(),
    };
    let first = client.list_job_results(list(None, Some(7), "")).await.unwrap().into_inner();
    let unknown = pb::JobResultFilter { changed_only: true, field: "colour".to_owned(), ..Default::default() };
    let both = pb::JobResultFilter { changed_only: true, failed_only: true, ..Default::default() };
    for (request, field) in [
        (list(Some(changed), None, &first.next_page_token), "page_token"),
        (list(None, None, "x"), "page_token"),
        (list(None, Some(1_001), ""), "page_size"),
        (list(Some(unknown), None, ""), "filter.field"),
        (list(Some(both), None, ""), "filter.failed_only"),
    ] {
        let status = client.list_job_results(request).await.unwrap_err();
        assert_eq!((status.code(), violated_fields(&status)), (Code::InvalidArgument, vec![field.to_owned()]));
    }
    let list = |page_token: String| pb::ListJobsRequest { page_size: Some(2), page_token };
    let page = client.list_jobs(list(String::new())).await.unwrap().into_inner();
    let last = client.list_jobs(list(page.next_page_token)).await.unwrap().into_inner();
    let ids: Vec<_> = page.jobs.iter().chain(&last.jobs).map(|job| job.id.as_str()).collect();
    assert_eq!((ids, last.next_page_token.as_str()), (vec!["3", "2", "1"], ""));
    assert!(client.list_jobs(list("x".to_owned())).await.is_err());

    let diff = client.get_job_diff(pb::GetJobDiffRequest { id: "2".to_owned() }).await.unwrap().into_inner();
    let [field] = diff.fields.try_into().unwrap();
    assert_eq!((field.changed, field.confirmed, field.abstained, field.other_pairs), (27, 1, 0, 0));
    let pair = &field.pairs[0];
    assert_eq!((pair.from.as_deref(), pair.to.as_str(), pair.tickets), (Some("hardware/printer"), "network/vpn", 27));
    assert_eq!((pair.bands.iter().map(|band| band.tickets).sum::<u64>(), pair.examples.len()), (27, 3));
    server.stop().await;
}

#[tokio::test]
async fn who_watches_is_told_when_the_server_leaves_and_the_job_does_not_hold_it_up() {
    let server = TestServer::start().await;
    let mut client = server.jobs().await;
    let id = create(&mut client, slow(client_tickets()), "", &numbered(1_000)).await.unwrap().id;
    let mut changes = client.watch_job(pb::WatchJobRequest { id }).await.unwrap().into_inner();
    while done(&in_time(changes.message()).await.unwrap().unwrap().job.unwrap()) == 0 {}
    let served = server.begin_shutdown();
    let status = loop {
        match in_time(changes.message()).await {
            Ok(change) => assert!(change.is_some(), "the job cannot have ended"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NOT_READY"));
    assert!(names_a_retry(&status));
    in_time(served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_ticket_that_is_decided_alone_is_decided_alike_by_a_job() {
    let server = TestServer::start().await;
    let asked = sent("INC1", "");
    let mut client = server.jobs().await;
    let id = create(&mut client, spec(client_tickets()), "", std::slice::from_ref(&asked)).await.unwrap().id;
    ended(&mut client, &id).await;
    let [result] = results(&mut client, &id, None).await.try_into().unwrap();
    let alone = pb::Ticket { field_values: HashMap::new(), ..asked };
    let decision = server.triage().await.triage_ticket(crate::harness::request(alone)).await.unwrap().into_inner();
    let decision = decision.decision.unwrap();
    let field = crate::harness::field(&decision, "category");
    let found = &result.fields[0];
    assert_eq!((found.value.as_ref(), found.confidence), (Some(&field.value), field.confidence));
    server.stop().await;
}
