//! `TriageService`: parse, call the triager on the compute pool, convert.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status, Streaming};

use super::{Api, Core, Observed, Outcome, convert, edge, held, observe, status, within};
use crate::{
    compute::{Pool, Urgency},
    domain::{decision::TriageDecision, ticket::Ticket},
    error::{FieldViolation, TriageError},
    pb::{self, triage_service_server::TriageService},
    triage::TriageOptions,
};

/// Tickets of one stream or batch at work at a time: enough to keep every processor busy.
const TICKETS_AT_WORK: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct TriageHandler(pub(crate) Api);

impl TriageHandler {
    /// Decides one ticket of a batch or stream; its failure is its own.
    async fn triage_item(
        self,
        ticket_id: String,
        item: Result<(Arc<Core>, Ticket, TriageOptions), TriageError>,
    ) -> pb::TriageResult {
        let decision = async {
            let (core, ticket, options) = item?;
            let place = self.0.pool.wait(Urgency::Batch).await?;
            let pool = self.0.pool.clone();
            self.0.compute_with(core, place, move |core| core.triage(&ticket, options, &pool)).await
        };
        let result = match decision.await {
            Ok(decision) => pb::triage_result::Result::Decision(convert::decision(decision)),
            Err(error) => pb::triage_result::Result::Error(status::item_error(error)),
        };
        pb::TriageResult { ticket_id, result: Some(result) }
    }

    /// Reads a message at once, since many may wait, and decides its ticket in turn.
    fn stream_item(
        self,
        frame: Result<pb::StreamTriageRequest, Status>,
    ) -> impl Future<Output = Result<pb::StreamTriageResponse, Status>> {
        let item = frame.map_err(edge::translate).map(|pb::StreamTriageRequest { ticket, features, top_n }| {
            let ticket_id = id_of(ticket.as_ref());
            let parsed =
                convert::both(convert::ticket(ticket, &self.0.limits.ticket), convert::options(&features, top_n));
            let item = parsed.and_then(|(ticket, options)| {
                let part = held::hold_part(ticket.text().len())?;
                Ok(((self.0.core()?, ticket, options), part))
            });
            (ticket_id, item)
        });
        async move {
            let (ticket_id, item) = item?;
            let (item, _part) = item.map_or_else(|error| (Err(error), None), |(item, part)| (Ok(item), part));
            Ok(pb::StreamTriageResponse { result: Some(self.triage_item(ticket_id, item).await) })
        }
    }
}

impl Core {
    /// Decides a ticket, and has the shadow answer it too where the pool has time.
    fn triage(&self, ticket: &Ticket, options: TriageOptions, pool: &Pool) -> Result<TriageDecision, TriageError> {
        let decision = self.triager.triage(ticket, options)?;
        if let Some(shadow) = &self.shadow
            && (options.fields || options.explanation)
        {
            let (answering, active, text) =
                (shadow.clone(), self.triager.classifier().clone(), ticket.text().to_owned());
            if !pool.offer(move || answering.answer(&active, &text)) {
                shadow.drop_one();
            }
        }
        Ok(decision)
    }
}

#[tonic::async_trait]
impl TriageService for TriageHandler {
    async fn triage_ticket(
        &self,
        request: Request<pb::TriageTicketRequest>,
    ) -> Result<Response<pb::TriageTicketResponse>, Status> {
        self.0
            .unary("TriageTicket", request, async |request| {
                let (ticket, options) = convert::triage_request(request, &self.0.limits.ticket)?;
                let place = self.0.pool.admit()?;
                let pool = self.0.pool.clone();
                let decision = self.0.compute(place, move |core| core.triage(&ticket, options, &pool)).await?;
                Ok(pb::TriageTicketResponse { decision: Some(convert::decision(decision)) })
            })
            .await
    }

    async fn batch_triage_tickets(
        &self,
        request: Request<pb::BatchTriageTicketsRequest>,
    ) -> Result<Response<pb::BatchTriageTicketsResponse>, Status> {
        let deadline = self.0.deadline(&request);
        let pb::BatchTriageTicketsRequest { tickets, features, top_n } = request.into_inner();
        let answer = async {
            let at_most = self.0.limits.batch_tickets;
            let size = match tickets.len() {
                size if (1..=at_most).contains(&size) => Ok(()),
                size => {
                    Err(vec![FieldViolation::new("tickets", format!("must be 1 to {at_most} tickets, are {size}"))])
                }
            };
            let ((), options) = convert::both(size, convert::options(&features, top_n))?;
            // One model decides the whole batch, also where another takes over meanwhile.
            let core = self.0.core()?;
            // A full house refuses the batch as it refuses a ticket; the tickets then wait for their places.
            self.0.pool.check_room().map_err(|retry_after| TriageError::Overloaded { retry_after })?;
            let results = stream::iter(tickets)
                .map(|ticket| {
                    let id = ticket.id.clone();
                    let item = convert::ticket(Some(ticket), &self.0.limits.ticket)
                        .map(|ticket| (Arc::clone(&core), ticket, options))
                        .map_err(TriageError::InvalidRequest);
                    self.clone().triage_item(id, item)
                })
                .buffered(TICKETS_AT_WORK)
                .collect();
            within(deadline, async { Ok(pb::BatchTriageTicketsResponse { results: results.await }) }).await
        };
        observe("BatchTriageTickets", answer).await
    }

    type StreamTriageStream = Pin<Box<dyn Stream<Item = Result<pb::StreamTriageResponse, Status>> + Send>>;

    async fn stream_triage(
        &self,
        request: Request<Streaming<pb::StreamTriageRequest>>,
    ) -> Result<Response<Self::StreamTriageStream>, Status> {
        let mut outcome = Outcome::new("StreamTriage");
        if let Err(error) = self.0.core() {
            let status = Status::from(error);
            outcome.set(Some(&status));
            return Err(status);
        }
        let handler = self.clone();
        // Tells a stream that the client ended from one that draining cuts off.
        let cut_off = Arc::new(AtomicBool::new(false));
        let drain = {
            let (cut_off, draining) = (Arc::clone(&cut_off), self.0.draining.clone());
            async move {
                draining.cancelled().await;
                cut_off.store(true, Ordering::Relaxed);
            }
        };
        let goodbye = stream::once(async move { cut_off.load(Ordering::Relaxed) })
            .filter_map(|cut_off| ready(cut_off.then(|| Err(Status::from(super::draining_error())))));
        let answers = request
            .into_inner()
            .take_until(drain)
            .map(move |frame| handler.clone().stream_item(frame))
            .buffered(TICKETS_AT_WORK)
            .chain(goodbye);
        Ok(Response::new(Box::pin(Observed { answers: Box::pin(answers), outcome })))
    }

    async fn get_server_info(
        &self,
        request: Request<pb::GetServerInfoRequest>,
    ) -> Result<Response<pb::GetServerInfoResponse>, Status> {
        self.0
            .unary("GetServerInfo", request, async |request| {
                let pb::GetServerInfoRequest {} = request;
                let core = self.0.core()?;
                Ok(convert::server_info(core.triager.versions(), core.triager.fields(), &self.0.limits))
            })
            .await
    }
}

/// The id that the client gave, which the answer carries even where the ticket is refused.
fn id_of(ticket: Option<&pb::Ticket>) -> String {
    ticket.map(|ticket| ticket.id.clone()).unwrap_or_default()
}
