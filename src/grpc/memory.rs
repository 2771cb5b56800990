//! `MemoryService`: parse, call the memory on the compute pool, convert.

use tonic::{Request, Response, Status, Streaming};

use super::{
    Api, convert,
    import::{Frames, Refused},
    noted, observe,
};
use crate::{
    compute::Urgency,
    domain::{article::Article, memory::ConfirmedTicket},
    error::{FieldViolation, TriageError},
    memory::UnknownArticles,
    pb::{self, memory_service_server::MemoryService},
    store::ImportCounts,
};

const MAX_DELETED: usize = 1_000;

#[derive(Debug, Clone)]
pub(crate) struct MemoryHandler(pub(crate) Api);

fn check_ids(ids: &[String]) -> Result<(), TriageError> {
    let count = ids.len();
    if !(1..=MAX_DELETED).contains(&count) {
        return Err(TriageError::invalid("ids", format!("must be 1 to {MAX_DELETED}, are {count}")));
    }
    let longest = Article::MAX_ID_CHARS;
    let is_wrong = |id: &String| id.trim().is_empty() || id.chars().count() > longest;
    let wrong = ids.iter().enumerate().filter(|(_, id)| is_wrong(id));
    let problem = format!("must be 1 to {longest} characters and not blank");
    let violations: Vec<_> =
        wrong.map(|(place, _)| FieldViolation::new(format!("ids[{place}]"), problem.clone())).collect();
    if violations.is_empty() { Ok(()) } else { Err(TriageError::InvalidRequest(violations)) }
}

impl MemoryHandler {
    /// Stores the valid tickets of one frame, or says what storing them would do.
    async fn upsert_frame(
        &self,
        tickets: Vec<ConfirmedTicket>,
        validate_only: bool,
        mut unknown: UnknownArticles,
    ) -> Result<(ImportCounts, UnknownArticles), TriageError> {
        if validate_only {
            noted::rehearsed();
        } else {
            noted::about(tickets.iter().map(|ticket| ticket.id.as_str()));
        }
        let (_turn, place) = self.0.wait_to_write(Urgency::Batch).await?;
        self.0
            .compute(place, move |core| {
                let counts = if validate_only { core.memory.plan(&tickets)? } else { core.memory.upsert(&tickets)? };
                unknown.add(&core.memory, &tickets)?;
                Ok((counts, unknown))
            })
            .await
    }
}

#[tonic::async_trait]
impl MemoryService for MemoryHandler {
    async fn upsert_tickets(
        &self,
        request: Request<Streaming<pb::UpsertTicketsRequest>>,
    ) -> Result<Response<pb::UpsertTicketsResponse>, Status> {
        let mut frames = Frames::new(request.into_inner(), self.0.draining.clone());
        let upsert = async {
            self.0.core()?;
            let (mut counts, mut unknown) = (ImportCounts::default(), UnknownArticles::default());
            let (mut refused, mut index) = (Refused::default(), 0_u64);
            while let Some(frame) = frames.next().await? {
                let pb::UpsertTicketsRequest { tickets, validate_only } = frame;
                let mut valid = Vec::with_capacity(tickets.len());
                for raw in tickets {
                    let id = raw.id.clone();
                    let path = format!("tickets[{index}].");
                    match convert::confirmed_ticket(raw, &path, &self.0.limits.ticket) {
                        Ok(ticket) => valid.push(ticket),
                        Err(violations) => refused.add(index, id, violations),
                    }
                    index += 1;
                }
                let frame_counts;
                (frame_counts, unknown) = self.upsert_frame(valid, validate_only, unknown).await?;
                counts += frame_counts;
            }
            self.0.tell_links_changed();
            let ImportCounts { imported, updated, unchanged } = counts;
            let error = |(index, id, error)| pb::TicketError { index, id, error: Some(error) };
            Ok::<_, Status>(pb::UpsertTicketsResponse {
                imported,
                updated,
                unchanged,
                failed: refused.count,
                errors: refused.listed.into_iter().map(error).collect(),
                unknown_articles: unknown.count(),
            })
        };
        observe("UpsertTickets", upsert).await
    }

    async fn delete_tickets(
        &self,
        request: Request<pb::DeleteTicketsRequest>,
    ) -> Result<Response<pb::DeleteTicketsResponse>, Status> {
        self.0
            .unary("DeleteTickets", request, async |request| {
                let pb::DeleteTicketsRequest { ids } = request;
                check_ids(&ids)?;
                noted::about(ids.iter().map(String::as_str));
                let asked = ids.len();
                let (_turn, place) = self.0.wait_to_write(Urgency::Interactive).await?;
                let unknown_ids = self.0.compute(place, move |core| Ok(core.memory.delete(&ids)?)).await?;
                Ok(pb::DeleteTicketsResponse { deleted: (asked - unknown_ids.len()) as u64, unknown_ids })
            })
            .await
    }

    async fn find_similar_tickets(
        &self,
        request: Request<pb::FindSimilarTicketsRequest>,
    ) -> Result<Response<pb::FindSimilarTicketsResponse>, Status> {
        self.0
            .unary("FindSimilarTickets", request, async |request| {
                let (ticket, top_n) = convert::similar_request(request, &self.0.limits.ticket)?;
                let place = self.0.pool.admit()?;
                let (tickets, versions) =
                    self.0.compute(place, move |core| core.triager.similar_tickets(&ticket, top_n)).await?;
                Ok(pb::FindSimilarTicketsResponse {
                    tickets: tickets.into_iter().map(convert::similar_ticket).collect(),
                    versions: Some(convert::versions(versions)),
                })
            })
            .await
    }
}
