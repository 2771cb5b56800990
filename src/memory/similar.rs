//! Neighbours as people are shown them: the ticket's first line, its labels, what solved it, and the words that both
//! have, marked in the ticket that was asked about.

use super::MemoryView;
use crate::{
    domain::{
        decision::Evidence,
        memory::{ConfirmedTicket, Neighbour, SimilarTicket},
        ticket::Ticket,
    },
    knowledge::{
        IndexError,
        passage::{self, WantedTerms},
        words::Terms,
    },
};

/// Of a description that stands in for a summary.
const MAX_SUMMARY_CHARS: usize = 200;

impl MemoryView<'_> {
    /// The `limit` confirmed tickets that are most like this one, best first; never the one with its id. Those that
    /// were deleted since this view was taken are left out.
    pub fn similar(&self, ticket: &Ticket, limit: usize) -> Result<Vec<SimilarTicket>, IndexError> {
        let mut similar = Vec::with_capacity(limit);
        for neighbour in self.neighbours(ticket.text(), ticket.id(), limit)? {
            if let Some(confirmed) = self.memory.get(&neighbour.id)? {
                similar.push(shown(ticket, neighbour, confirmed));
            }
        }
        Ok(similar)
    }
}

fn shown(ticket: &Ticket, neighbour: Neighbour, confirmed: ConfirmedTicket) -> SimilarTicket {
    let Neighbour { id, similarity, articles, refused: _, shared } = neighbour;
    let mut wanted = WantedTerms::new();
    for stretch in &shared {
        let mut terms = Terms::new(&ticket.text()[stretch.bytes.clone()]);
        while let Some((term, _)) = terms.next_term() {
            wanted.insert(term, stretch.weight);
        }
    }
    let evidence = shared.into_iter().map(|stretch| Evidence::within(ticket, stretch.bytes, stretch.weight));
    SimilarTicket {
        id,
        summary: summary(&confirmed),
        similarity,
        labels: confirmed.labels,
        articles,
        resolution: passage::best(&confirmed.resolution, &wanted),
        resolved_on: confirmed.resolved_on,
        shared: evidence.collect(),
    }
}

/// The summary, or the first line of the description where there is none.
pub(crate) fn summary(confirmed: &ConfirmedTicket) -> String {
    if !confirmed.summary.is_empty() {
        return confirmed.summary.clone();
    }
    let line = confirmed.description.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().take(MAX_SUMMARY_CHARS).collect()
}
