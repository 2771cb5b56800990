//! `FeedbackService`: parse, record on the compute pool, convert.

use std::error::Error;

use tonic::{Request, Response, Status, Streaming};

use super::{
    Api, Core, convert,
    import::{Frames, Refused},
    noted, observe, pages,
};
use crate::{
    compute::Urgency,
    domain::{
        feedback::{DecisionFeedback, FeedbackEffect, FeedbackId, FeedbackReceipt},
        memory::ConfirmedTicket,
    },
    error::TriageError,
    feedback::now,
    pb::{self, feedback_service_server::FeedbackService},
    registry::Confirmed,
    triage::{ResolvedCounts, resolved_violations, source_violations},
};

#[derive(Debug, Clone)]
pub(crate) struct FeedbackHandler(pub(crate) Api);

impl FeedbackHandler {
    /// Records the valid tickets of one frame.
    async fn learn_frame(&self, tickets: Vec<ConfirmedTicket>, source: String) -> Result<ResolvedCounts, TriageError> {
        noted::about(tickets.iter().map(|ticket| ticket.id.as_str()));
        let (_turn, place) = self.0.wait_to_write(Urgency::Batch).await?;
        let learn = move |core: &Core| {
            let mut on_new = |said: &DecisionFeedback| score_shadow(core, said);
            core.triager.learn_resolved(&tickets, &source, now(), &mut on_new)
        };
        let counts = self.0.compute(place, learn).await?;
        self.0.tell_links_changed();
        Ok(counts)
    }
}

#[tonic::async_trait]
impl FeedbackService for FeedbackHandler {
    async fn record_feedback(
        &self,
        request: Request<pb::RecordFeedbackRequest>,
    ) -> Result<Response<pb::RecordFeedbackResponse>, Status> {
        self.0
            .unary("RecordFeedback", request, async |request| {
                let (handle, verdict) = convert::field_verdict(request)?;
                // Before it is its turn to write: what is wrong holds nobody up.
                let place = self.0.pool.admit()?;
                let review = move |core: &Core| core.triager.review_sealed(&handle, &verdict, now());
                let feedback = self.0.compute(place, review).await?;
                noted::about([feedback.ticket.id.as_str()]);
                let (_turn, place) = self.0.wait_to_write(Urgency::Interactive).await?;
                let record = move |core: &Core| {
                    let receipt = core.triager.learn(&feedback)?;
                    if receipt.is_new {
                        score_shadow(core, &feedback);
                    }
                    Ok(receipt)
                };
                let FeedbackReceipt { id, is_new, memory_changed, held_back } = self.0.compute(place, record).await?;
                self.0.tell_links_changed();
                Ok(pb::RecordFeedbackResponse { feedback_id: id.0, recorded: is_new, memory_changed, held_back })
            })
            .await
    }

    async fn record_resolved_tickets(
        &self,
        request: Request<Streaming<pb::RecordResolvedTicketsRequest>>,
    ) -> Result<Response<pb::RecordResolvedTicketsResponse>, Status> {
        let mut frames = Frames::new(request.into_inner(), self.0.draining.clone());
        let record = async {
            self.0.core()?;
            let (mut counts, mut refused, mut index) = (ResolvedCounts::default(), Refused::default(), 0_u64);
            let mut vouches: Option<String> = None;
            while let Some(frame) = frames.next().await? {
                let pb::RecordResolvedTicketsRequest { source, tickets } = frame;
                let source = vouches.get_or_insert(source).clone();
                let violations = source_violations(&source);
                if !violations.is_empty() {
                    return Err(TriageError::InvalidRequest(violations).into());
                }
                let mut valid = Vec::with_capacity(tickets.len());
                for raw in tickets {
                    let (id, path) = (raw.id.clone(), format!("tickets[{index}]."));
                    let ticket = convert::confirmed_ticket(raw, &path, &self.0.limits.ticket);
                    let checked = ticket.and_then(|ticket| match resolved_violations(&ticket, &path) {
                        violations if violations.is_empty() => Ok(ticket),
                        violations => Err(violations),
                    });
                    match checked {
                        Ok(ticket) => valid.push(ticket),
                        Err(violations) => refused.add(index, id, violations),
                    }
                    index += 1;
                }
                counts += self.learn_frame(valid, source).await?;
            }
            let ResolvedCounts { recorded, unchanged, fields, unknown } = counts;
            let error = |(index, id, error)| pb::TicketError { index, id, error: Some(error) };
            Ok::<_, Status>(pb::RecordResolvedTicketsResponse {
                recorded,
                unchanged,
                failed: refused.count,
                errors: refused.listed.into_iter().map(error).collect(),
                fields: fields.into_iter().map(convert::tally).collect(),
                unknown_values: unknown.told().into_iter().map(convert::unknown_value).collect(),
            })
        };
        observe("RecordResolvedTickets", record).await
    }

    async fn withdraw_feedback(
        &self,
        request: Request<pb::WithdrawFeedbackRequest>,
    ) -> Result<Response<pb::WithdrawFeedbackResponse>, Status> {
        self.0
            .unary("WithdrawFeedback", request, async |request| {
                let pb::WithdrawFeedbackRequest { feedback_id } = request;
                if feedback_id == 0 {
                    return Err(TriageError::invalid("feedback_id", "must be the id of recorded feedback"));
                }
                noted::about([feedback_id.to_string().as_str()]);
                let (_turn, place) = self.0.wait_to_write(Urgency::Interactive).await?;
                let withdraw = move |core: &Core| core.triager.unlearn(FeedbackId(feedback_id));
                let withdrawn = self.0.compute(place, withdraw).await?;
                self.0.tell_links_changed();
                Ok(pb::WithdrawFeedbackResponse { withdrawn })
            })
            .await
    }

    async fn list_feedback(
        &self,
        request: Request<pb::ListFeedbackRequest>,
    ) -> Result<Response<pb::ListFeedbackResponse>, Status> {
        self.0
            .unary("ListFeedback", request, async |request| {
                let wrong = TriageError::InvalidRequest;
                let (filter, size, token) = convert::feedback_filter(request).map_err(wrong)?;
                let before = pages::parse_number_token(&token).map_err(wrong)?.map(FeedbackId);
                let place = self.0.disk.admit()?;
                // One more tells whether another page follows.
                let list = move |core: &Core| core.feedback.list(&filter, before, size + 1);
                let mut listed = self.0.block(place, list).await?;
                let more = listed.len() > size;
                listed.truncate(size);
                let last = listed.last().filter(|_| more).map(|last| last.id.0);
                Ok(pb::ListFeedbackResponse {
                    feedback: listed.into_iter().map(convert::feedback_record).collect(),
                    next_page_token: last.map(pages::number_token).unwrap_or_default(),
                })
            })
            .await
    }

    async fn get_trust_figures(
        &self,
        request: Request<pb::GetTrustFiguresRequest>,
    ) -> Result<Response<pb::GetTrustFiguresResponse>, Status> {
        self.0
            .unary("GetTrustFigures", request, async |request| {
                let days = convert::trust_days(request).map_err(TriageError::InvalidRequest)?;
                let place = self.0.disk.admit()?;
                let report = self.0.block(place, move |core: &Core| core.triager.trust(days)).await?;
                Ok(convert::trust_report(report))
            })
            .await
    }

    async fn record_article_feedback(
        &self,
        request: Request<pb::RecordArticleFeedbackRequest>,
    ) -> Result<Response<pb::RecordArticleFeedbackResponse>, Status> {
        self.0
            .unary("RecordArticleFeedback", request, async |request| {
                let (handle, article, event) = convert::article_feedback(request)?;
                // Before it is its turn to write: a wrong handle holds nobody up.
                noted::about([article.as_str()]);
                let place = self.0.pool.admit()?;
                let feedback = self.0.compute(place, move |core| core.feedback.parse(&handle, &article, event)).await?;
                let (_turn, place) = self.0.wait_to_write(Urgency::Interactive).await?;
                let effect = self.0.compute(place, move |core| core.feedback.record(&feedback)).await?;
                let FeedbackEffect { is_new, memory_changed } = effect;
                Ok(pb::RecordArticleFeedbackResponse { recorded: is_new, memory_changed })
            })
            .await
    }
}

/// Tells the shadow what a ticket was. What was said is recorded already: where this fails, only the shadow's score
/// lacks a ticket.
fn score_shadow(core: &Core, said: &DecisionFeedback) {
    let Some(shadow) = &core.shadow else { return };
    let text = said.ticket.text();
    let labels = said.outcomes.iter().map(|outcome| (outcome.field.clone(), outcome.value.clone())).collect();
    let classifier = core.triager.classifier();
    let guesses = classifier.best_guesses(&text);
    let confirmed = Confirmed { text: &text, labels: &labels, active: classifier.version(), guesses: &guesses };
    if let Err(error) = shadow.score(confirmed) {
        tracing::error!(error = &error as &dyn Error, "the shadow was not told what a ticket was");
    }
}
