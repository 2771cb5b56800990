//! Holds what a server has against what it acknowledged: all of that once, and nothing that is half there.

use std::collections::BTreeMap;

use ticket_triage::pb::{
    self, JobState, PauseCause, knowledge_service_client::KnowledgeServiceClient, reclassification_spec::Source,
};
use tonic::transport::Channel;

use super::load::{Deed, Ledger, REVISED};
use crate::{
    harness::{ServerProcess, in_time},
    jobs,
};

/// What a server holds, by name, and how often.
#[derive(Debug, Default)]
struct Kept {
    articles: BTreeMap<String, usize>,
    tickets: BTreeMap<String, usize>,
    feedback: BTreeMap<String, usize>,
    labels: BTreeMap<String, usize>,
    jobs: BTreeMap<String, usize>,
    /// The number and the version of the article that was revised.
    revision: Option<(u64, u32)>,
}

/// Fails where anything that was acknowledged is lost or doubled, or anything is half there.
pub async fn check(server: &ServerProcess, ledger: &Ledger) {
    let kept = in_time(read(server)).await;
    let entries = ledger.entries();
    let mut faults = Vec::new();
    for (deed, acknowledged) in &entries {
        if let Some(fault) = fault(&kept, deed, *acknowledged) {
            faults.push(format!("{deed:?}, acknowledged {acknowledged}: {fault}"));
        }
    }
    faults.extend(revision_fault(&kept, &entries));
    assert!(faults.is_empty(), "of {} deeds:\n{}", entries.len(), faults.join("\n"));
}

fn fault(kept: &Kept, deed: &Deed, acknowledged: bool) -> Option<String> {
    let count = |of: &BTreeMap<String, usize>, name: &str| of.get(name).copied().unwrap_or(0);
    let once = |of: &BTreeMap<String, usize>, name: &str| {
        let found = count(of, name);
        let right = if acknowledged { found == 1 } else { found <= 1 };
        (!right).then(|| format!("{name} is there {found} times"))
    };
    let both = |of: &BTreeMap<String, usize>, [first, second]: &[String; 2]| {
        let half = count(of, first) != count(of, second);
        once(of, first).or_else(|| half.then(|| "only half of it is there".to_owned()))
    };
    match deed {
        Deed::Articles(ids) => both(&kept.articles, ids),
        Deed::Tickets(ids) => both(&kept.tickets, ids),
        Deed::Deletion(id) => {
            let found = count(&kept.articles, id);
            (found > usize::from(!acknowledged)).then(|| format!("it is there {found} times"))
        }
        // A ticket that feedback was given on is a confirmed one.
        Deed::Feedback(id) => once(&kept.feedback, id).or_else(|| {
            let (said, confirmed) = (count(&kept.feedback, id), count(&kept.tickets, id));
            (said != confirmed).then(|| format!("feedback {said} times, ticket {confirmed} times"))
        }),
        Deed::Label(value) => once(&kept.labels, value),
        Deed::Job(name) => once(&kept.jobs, name),
        Deed::Revision(_) | Deed::Decision(_) => None,
    }
}

/// Each revision makes one version, and none that was acknowledged gives way to an earlier one.
fn revision_fault(kept: &Kept, entries: &[(Deed, bool)]) -> Option<String> {
    let revisions = entries.iter().filter_map(|(deed, acknowledged)| {
        if let Deed::Revision(number) = deed { Some((*number, *acknowledged)) } else { None }
    });
    let (all, acknowledged): (Vec<_>, Vec<_>) = (revisions.clone().collect(), revisions.filter(|of| of.1).collect());
    let (number, version) = kept.revision.unwrap_or_default();
    let last = acknowledged.iter().map(|of| of.0).max().unwrap_or_default();
    let versions = acknowledged.len()..=all.len();
    (number < last || !versions.contains(&(version as usize)))
        .then(|| format!("revision {number} with version {version}; {last} was acknowledged as one of {versions:?}"))
}

async fn read(server: &ServerProcess) -> Kept {
    let mut kept = Kept { labels: labels(server).await, ..Kept::default() };
    read_articles(server, &mut kept).await;
    read_feedback(server, &mut kept).await;
    read_jobs(server, &mut kept).await;
    read_tickets(server, &mut kept).await;
    kept
}

fn note(of: &mut BTreeMap<String, usize>, name: String) {
    *of.entry(name).or_default() += 1;
}

async fn labels(server: &ServerProcess) -> BTreeMap<String, usize> {
    let answer = server.taxonomy().await.get_taxonomy(pb::GetTaxonomyRequest {}).await.unwrap().into_inner();
    let fields = answer.taxonomy.unwrap().fields;
    let mut labels = BTreeMap::new();
    for label in fields.into_iter().filter(|field| field.field == "category").flat_map(|field| field.labels) {
        note(&mut labels, label.value);
    }
    labels
}

async fn read_articles(server: &ServerProcess, kept: &mut Kept) {
    let mut client = server.knowledge().await;
    let mut page_token = String::new();
    loop {
        let request = pb::ListArticlesRequest { page_size: Some(1_000), page_token, ..Default::default() };
        let page = client.list_articles(request).await.unwrap().into_inner();
        for article in page.articles {
            if article.id == REVISED {
                let number = article.title.strip_prefix("Revision ").unwrap().parse().unwrap();
                kept.revision = Some((number, article.version));
            }
            note(&mut kept.articles, article.id);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    // What is kept is found: the index has followed the database.
    let printers: Vec<_> = kept.articles.keys().filter(|id| *id != REVISED).collect();
    assert_eq!(found_ids(&mut client, "printer").await.iter().collect::<Vec<_>>(), printers);
}

async fn found_ids(client: &mut KnowledgeServiceClient<Channel>, query: &str) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let query = query.to_owned();
        let request = pb::SearchArticlesRequest { query, page_size: Some(100), page_token, ..Default::default() };
        let page = client.search_articles(request).await.unwrap().into_inner();
        ids.extend(page.articles.into_iter().map(|hit| hit.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            ids.sort();
            return ids;
        }
    }
}

async fn read_feedback(server: &ServerProcess, kept: &mut Kept) {
    let mut client = server.feedback().await;
    let mut page_token = String::new();
    loop {
        let request = pb::ListFeedbackRequest { page_size: Some(1_000), page_token, ..Default::default() };
        let page = client.list_feedback(request).await.unwrap().into_inner();
        for said in page.feedback {
            note(&mut kept.feedback, said.ticket_id);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return;
        }
    }
}

async fn read_jobs(server: &ServerProcess, kept: &mut Kept) {
    let mut client = server.jobs().await;
    let mut page_token = String::new();
    loop {
        let request = pb::ListJobsRequest { page_size: Some(100), page_token };
        let page = client.list_jobs(request).await.unwrap().into_inner();
        // Those without a name are looks of ours.
        for job in page.jobs.into_iter().filter(|job| !job.request_id.is_empty()) {
            let job = settled(&mut client, &job.id).await;
            if job.state() == JobState::Done {
                assert_eq!(jobs::done(&job), 3, "{job:?}");
                assert_eq!(result_ids(&mut client, &job.id).await, ["1", "2", "3"]);
            }
            note(&mut kept.jobs, job.request_id);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return;
        }
    }
}

/// A job that is done. One that met a full disk is resumed; one that was created under another taxonomy than the server
/// now starts with waits for its owner, as it should.
async fn settled(client: &mut jobs::Client, id: &str) -> pb::Job {
    let is_settled = |job: &pb::Job| matches!(job.state(), JobState::Done | JobState::Paused);
    let mut job = jobs::until(client, id, is_settled).await;
    if job.pause.as_ref().is_some_and(|pause| pause.cause() == PauseCause::Storage) {
        client.resume_job(pb::ResumeJobRequest { id: id.to_owned() }).await.unwrap();
        job = jobs::until(client, id, is_settled).await;
    }
    let waits = job.pause.as_ref().is_some_and(|pause| pause.cause() == PauseCause::OtherVersion);
    assert!(job.state() == JobState::Done || waits, "{job:?}");
    job
}

/// A look at every confirmed ticket, which leaves no trace of itself but a job that is not counted.
async fn read_tickets(server: &ServerProcess, kept: &mut Kept) {
    let mut client = server.jobs().await;
    let spec = pb::ReclassificationSpec { dry_run: true, ..jobs::spec(Source::Memory(pb::MemoryTickets {})) };
    let job = jobs::create(&mut client, spec, "", &[]).await.unwrap();
    jobs::ended(&mut client, &job.id).await;
    for id in result_ids(&mut client, &job.id).await {
        note(&mut kept.tickets, id);
    }
}

async fn result_ids(client: &mut jobs::Client, job: &str) -> Vec<String> {
    let request = pb::ExportJobResultsRequest { id: job.to_owned(), filter: None };
    let mut results = client.export_job_results(request).await.unwrap().into_inner();
    let mut ids = Vec::new();
    while let Some(page) = results.message().await.unwrap() {
        ids.extend(page.results.into_iter().map(|result| result.id));
    }
    ids
}
