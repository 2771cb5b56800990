//! What the command line asks `MemoryService`.

use anyhow::Context as _;

use super::{Client, domain_evidence, domain_passage, wire_ticket};
use crate::{
    domain::{article::Day, memory::SimilarTicket, ticket::TicketDraft},
    pb::{self, memory_service_client::MemoryServiceClient},
};

impl Client {
    /// Deletes confirmed tickets; those of the ids that there was no ticket of.
    pub async fn delete_tickets(&self, ids: &[String]) -> anyhow::Result<Vec<String>> {
        let request = pb::DeleteTicketsRequest { ids: ids.to_vec() };
        let answer = MemoryServiceClient::new(self.channel.clone()).delete_tickets(request).await;
        Ok(answer.map_err(|status| self.explain(&status))?.into_inner().unknown_ids)
    }

    /// The confirmed tickets that are most like this one.
    pub async fn similar_tickets(&self, draft: TicketDraft, limit: u32) -> anyhow::Result<Vec<SimilarTicket>> {
        let request = pb::FindSimilarTicketsRequest { ticket: Some(wire_ticket(draft)), top_n: Some(limit) };
        let answer = MemoryServiceClient::new(self.channel.clone()).find_similar_tickets(request).await;
        let tickets = answer.map_err(|status| self.explain(&status))?.into_inner().tickets;
        tickets.into_iter().map(similar_ticket).collect()
    }
}

pub(super) fn similar_ticket(ticket: pb::SimilarTicket) -> anyhow::Result<SimilarTicket> {
    let pb::SimilarTicket { id, summary, similarity, labels, articles, resolution, resolved_on, shared } = ticket;
    let day = (!resolved_on.is_empty()).then(|| {
        Day::parse(&resolved_on)
            .with_context(|| format!("the server answers `{resolved_on}` for the day of a resolution"))
    });
    Ok(SimilarTicket {
        id,
        summary,
        similarity,
        labels: labels.into_iter().collect(),
        articles,
        resolution: domain_passage(resolution.unwrap_or_default()),
        resolved_on: day.transpose()?,
        shared: shared.into_iter().map(domain_evidence).collect(),
    })
}
