//! Clients that ask for everything that the server keeps, and write down what it acknowledged.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use ticket_triage::pb::{
    self, feedback_service_client::FeedbackServiceClient, knowledge_service_client::KnowledgeServiceClient,
    memory_service_client::MemoryServiceClient, taxonomy_change::Change,
    taxonomy_service_client::TaxonomyServiceClient, triage_service_client::TriageServiceClient,
};
use tokio::sync::Notify;
use tonic::{Status, transport::Channel};

use crate::{
    harness::{article, frame, request, ticket},
    jobs,
};

/// Something that a client asked to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Two articles in one frame: both or none.
    Articles([String; 2]),
    /// The next text of the one article that is changed again and again.
    Revision(u64),
    /// An article that was stored and then deleted.
    Deletion(String),
    /// Two confirmed tickets in one frame: both or none.
    Tickets([String; 2]),
    /// Feedback on the decision for this ticket.
    Feedback(String),
    /// A new label of the category.
    Label(String),
    /// A job over three tickets, by its request id.
    Job(String),
    /// A decision, of which nothing is kept.
    Decision(String),
}

pub const KINDS: usize = 8;
pub const REVISED: &str = "revised";

impl Deed {
    /// The deed of a kind; no two have the same number.
    fn new(kind: usize, number: u64) -> Self {
        let pair = |name: &str| [format!("{name}-{number}-a"), format!("{name}-{number}-b")];
        match kind {
            0 => Self::Articles(pair("article")),
            1 => Self::Revision(number),
            2 => Self::Deletion(format!("deleted-{number}")),
            3 => Self::Tickets(pair("ticket")),
            4 => Self::Feedback(format!("said-{number}")),
            5 => Self::Label(format!("new/label-{number}")),
            6 => Self::Job(format!("job-{number}")),
            _ => Self::Decision(format!("decided-{number}")),
        }
    }

    /// Does it; `Ok` once the server has acknowledged it.
    pub async fn perform(&self, channel: &Channel) -> Result<(), Status> {
        match self {
            Self::Articles(ids) => store(channel, ids.iter().map(|id| plain_article(id)).collect()).await,
            Self::Revision(number) => store(channel, vec![article(REVISED, &format!("Revision {number}"), "")]).await,
            Self::Deletion(id) => {
                store(channel, vec![plain_article(id)]).await?;
                let request = pb::DeleteArticleRequest { id: id.clone(), erase_versions: false };
                KnowledgeServiceClient::new(channel.clone()).delete_article(request).await.map(drop)
            }
            Self::Tickets(ids) => {
                let tickets = ids.iter().map(|id| confirmed(id)).collect();
                let frames = tokio_stream::iter([pb::UpsertTicketsRequest { tickets, validate_only: false }]);
                let answer = MemoryServiceClient::new(channel.clone()).upsert_tickets(frames).await?.into_inner();
                assert_eq!(answer.failed, 0, "{answer:?}");
                Ok(())
            }
            Self::Feedback(id) => say(channel, id).await,
            Self::Label(value) => {
                let label = pb::TaxonomyLabel { value: value.clone(), ..pb::TaxonomyLabel::default() };
                let change = Change::AddLabel(pb::AddLabel { field: "category".to_owned(), label: Some(label) });
                let changes = vec![pb::TaxonomyChange { change: Some(change) }];
                let request = pb::ChangeTaxonomyRequest { changes, ..pb::ChangeTaxonomyRequest::default() };
                TaxonomyServiceClient::new(channel.clone()).change_taxonomy(request).await.map(drop)
            }
            Self::Job(name) => {
                let tickets = ["1", "2", "3"].map(|id| pb::Ticket { id: id.to_owned(), ..fault(id) });
                let mut client = jobs::Client::new(channel.clone());
                jobs::create(&mut client, jobs::spec(jobs::client_tickets()), name, &tickets).await.map(drop)
            }
            Self::Decision(id) => {
                let mut client = TriageServiceClient::new(channel.clone());
                let decision = client.triage_ticket(request(fault(id))).await?.into_inner().decision.unwrap();
                assert_eq!(&decision.ticket_id, id);
                Ok(())
            }
        }
    }
}

async fn store(channel: &Channel, articles: Vec<pb::Article>) -> Result<(), Status> {
    let frames = tokio_stream::iter([frame(articles)]);
    let answer = KnowledgeServiceClient::new(channel.clone()).upsert_articles(frames).await?.into_inner();
    assert_eq!(answer.failed, 0, "{answer:?}");
    Ok(())
}

async fn say(channel: &Channel, id: &str) -> Result<(), Status> {
    let mut client = TriageServiceClient::new(channel.clone());
    let decision = client.triage_ticket(request(fault(id))).await?.into_inner().decision.unwrap();
    let said = pb::RecordFeedbackRequest {
        decision_handle: decision.decision_handle,
        source: "ann".to_owned(),
        ..pb::RecordFeedbackRequest::default()
    };
    FeedbackServiceClient::new(channel.clone()).record_feedback(said).await.map(drop)
}

fn plain_article(id: &str) -> pb::Article {
    article(id, &format!("Printer {id} offline"), "Switch it on at the wall.")
}

fn confirmed(id: &str) -> pb::ConfirmedTicket {
    let labels = [("category".to_owned(), "network/vpn".to_owned())].into();
    let summary = format!("VPN of {id} drops");
    pb::ConfirmedTicket { id: id.to_owned(), summary, labels, ..pb::ConfirmedTicket::default() }
}

fn fault(id: &str) -> pb::Ticket {
    pb::Ticket { id: id.to_owned(), ..ticket(&format!("VPN {id} drops every few minutes"), "since this morning") }
}

/// What was asked for and whether it was acknowledged, in the order of asking.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Vec<(Deed, bool)>>,
    /// Across all rounds, so that no two deeds are alike.
    asked: AtomicUsize,
    acknowledged: AtomicUsize,
    changed: Notify,
}

impl Ledger {
    pub fn entries(&self) -> Vec<(Deed, bool)> {
        self.entries.lock().unwrap().clone()
    }

    /// How many deeds were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many deeds were acknowledged.
    pub async fn wait_for(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            if self.acknowledged() >= count {
                return;
            }
            changed.await;
        }
    }

    /// Does one deed after the other until one fails; what it failed with.
    pub async fn work(&self, channel: Channel, kind: usize) -> Status {
        loop {
            if let Err(status) = self.record(kind, &channel).await {
                return status;
            }
        }
    }

    /// Does the next deed of this kind.
    pub async fn record(&self, kind: usize, channel: &Channel) -> Result<(), Status> {
        let deed = Deed::new(kind, self.asked.fetch_add(1, Ordering::SeqCst) as u64);
        let place = {
            let mut entries = self.entries.lock().unwrap();
            entries.push((deed.clone(), false));
            entries.len() - 1
        };
        deed.perform(channel).await?;
        self.entries.lock().unwrap()[place].1 = true;
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        Ok(())
    }
}
