//! What the command line asks `FeedbackService`.

use anyhow::Context as _;
use futures_util::stream;
use prost_types::Timestamp;

use super::{Client, domain_abstention, domain_route};
use crate::{
    domain::{
        feedback::{
            ArticleEvent, FeedbackEffect, FeedbackId, FeedbackReceipt, FeedbackRecord, FieldOutcome, KeptOutcome,
            Proposal,
        },
        memory::ConfirmedTicket,
        trust::{DecisionCounts, FieldTrust, LabelTrust, Promise, ReviewCounts, TicketCounts, TrustReport},
    },
    grpc::convert,
    pb::{self, feedback_service_client::FeedbackServiceClient},
    store::FeedbackFilter,
    triage::{FieldTally, ResolvedCounts, UnknownValue, Verdict},
};

impl Client {
    /// Records what the fields of a decision turned out to be.
    pub async fn record_feedback(&self, handle: &str, verdict: Verdict) -> anyhow::Result<FeedbackReceipt> {
        let Verdict { source, given_at, accepted, corrections } = verdict;
        let request = pb::RecordFeedbackRequest {
            decision_handle: handle.to_owned(),
            source,
            given_at: given_at.map(timestamp),
            accepted,
            corrections: corrections.into_iter().collect(),
        };
        let answer = FeedbackServiceClient::new(self.channel.clone()).record_feedback(request).await;
        let pb::RecordFeedbackResponse { feedback_id, recorded, memory_changed, held_back } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok(FeedbackReceipt { id: FeedbackId(feedback_id), is_new: recorded, memory_changed, held_back })
    }

    /// Records resolved tickets, in frames of about so many bytes; what became of them, and how many were refused.
    pub async fn record_resolved(
        &self,
        source: &str,
        tickets: Vec<ConfirmedTicket>,
        frame_bytes: usize,
    ) -> anyhow::Result<(ResolvedCounts, u64)> {
        let mut frames = vec![pb::RecordResolvedTicketsRequest { source: source.to_owned(), tickets: Vec::new() }];
        let mut bytes = 0;
        for ticket in tickets {
            bytes += ticket.text_bytes();
            if bytes > frame_bytes {
                frames.push(pb::RecordResolvedTicketsRequest::default());
                bytes = ticket.text_bytes();
            }
            if let Some(frame) = frames.last_mut() {
                frame.tickets.push(convert::wire_confirmed_ticket(ticket));
            }
        }
        let answer =
            FeedbackServiceClient::new(self.channel.clone()).record_resolved_tickets(stream::iter(frames)).await;
        let pb::RecordResolvedTicketsResponse { recorded, unchanged, failed, errors, fields, unknown_values } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        for pb::TicketError { index: _, id, error } in errors.into_iter().take(10) {
            tracing::warn!("ticket {id}: {}", error.unwrap_or_default().message);
        }
        let tally = |pb::FieldTally { field, tickets, right, right_by_model }| {
            (field, FieldTally { tickets, right, right_by_model })
        };
        let fields = fields.into_iter().map(tally).collect();
        let unknown = |pb::UnknownValue { field, value, tickets }| UnknownValue { field, value, tickets };
        let unknown = unknown_values.into_iter().map(unknown).collect();
        Ok((ResolvedCounts { recorded, unchanged, fields, unknown }, failed))
    }

    /// Takes feedback back; `false` where it was withdrawn before.
    pub async fn withdraw_feedback(&self, id: FeedbackId) -> anyhow::Result<bool> {
        let request = pb::WithdrawFeedbackRequest { feedback_id: id.0 };
        let answer = FeedbackServiceClient::new(self.channel.clone()).withdraw_feedback(request).await;
        Ok(answer.map_err(|status| self.explain(&status))?.into_inner().withdrawn)
    }

    /// The latest feedback first, at most `limit`.
    pub async fn list_feedback(&self, filter: &FeedbackFilter, limit: u32) -> anyhow::Result<Vec<FeedbackRecord>> {
        let FeedbackFilter { ticket_id, source, corrections } = filter.clone();
        let request = pb::ListFeedbackRequest {
            ticket_id: ticket_id.unwrap_or_default(),
            source: source.unwrap_or_default(),
            corrections_only: corrections,
            page_size: Some(limit),
            page_token: String::new(),
        };
        let answer = FeedbackServiceClient::new(self.channel.clone()).list_feedback(request).await;
        let listed = answer.map_err(|status| self.explain(&status))?.into_inner().feedback;
        listed.into_iter().map(feedback_record).collect()
    }

    /// How far decisions may be trusted, by the last `days`.
    pub async fn trust(&self, days: u32) -> anyhow::Result<TrustReport> {
        let request = pb::GetTrustFiguresRequest { days: Some(days) };
        let answer = FeedbackServiceClient::new(self.channel.clone()).get_trust_figures(request).await;
        Ok(trust_report(answer.map_err(|status| self.explain(&status))?.into_inner()))
    }

    /// Records what became of an article of the suggestion that this handle came with.
    pub async fn record_article_feedback(
        &self,
        handle: &str,
        article: &str,
        event: ArticleEvent,
    ) -> anyhow::Result<FeedbackEffect> {
        let request = pb::RecordArticleFeedbackRequest {
            suggestion_handle: handle.to_owned(),
            article_id: article.to_owned(),
            event: convert::article_event(event).into(),
        };
        let answer = FeedbackServiceClient::new(self.channel.clone()).record_article_feedback(request).await;
        let pb::RecordArticleFeedbackResponse { recorded, memory_changed } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok(FeedbackEffect { is_new: recorded, memory_changed })
    }
}

fn timestamp(seconds: u64) -> Timestamp {
    Timestamp { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 }
}

fn feedback_record(feedback: pb::Feedback) -> anyhow::Result<FeedbackRecord> {
    let pb::Feedback { id, ticket_id, source, given_at, recorded_at, withdrawn_at, model, taxonomy, outcomes } =
        feedback;
    let seconds = |time: Timestamp| u64::try_from(time.seconds).context("the server answers a time before 1970");
    Ok(FeedbackRecord {
        id: FeedbackId(id),
        ticket_id,
        source,
        given_at: seconds(given_at.unwrap_or_default())?,
        recorded_at: seconds(recorded_at.unwrap_or_default())?,
        withdrawn_at: withdrawn_at.map(seconds).transpose()?,
        model,
        taxonomy,
        outcomes: outcomes.into_iter().map(kept_outcome).collect::<anyhow::Result<_>>()?,
    })
}

fn kept_outcome(outcome: pb::FieldOutcome) -> anyhow::Result<KeptOutcome> {
    let pb::FieldOutcome { field, value, proposed, confidence, route, abstention, counts } = outcome;
    let abstention = domain_abstention(&field, abstention)?;
    let route = domain_route(route)?;
    let proposal =
        (!proposed.is_empty()).then_some(Proposal { value: proposed, confidence, route, abstention, promised: None });
    Ok(KeptOutcome { outcome: FieldOutcome { field, value, proposal, hindsight: None }, counts })
}

fn trust_report(answer: pb::GetTrustFiguresResponse) -> TrustReport {
    let pb::GetTrustFiguresResponse {
        days,
        model,
        tickets,
        out_of_scope,
        unsupported_language,
        too_short,
        words,
        new_words,
        fields,
    } = answer;
    let label = |pb::LabelTrust { label, figures: of_label, demoted }| {
        let (decisions, reviews) = figures(of_label.unwrap_or_default());
        LabelTrust { label, decisions, reviews, is_demoted: demoted }
    };
    let field = |pb::FieldTrust { field, figures: of_field, labels }| {
        let (decisions, reviews) = figures(of_field.unwrap_or_default());
        FieldTrust { field, decisions, reviews, labels: labels.into_iter().map(label).collect() }
    };
    TrustReport {
        days,
        model,
        tickets: TicketCounts { tickets, out_of_scope, unsupported_language, too_short, words, new_words },
        fields: fields.into_iter().map(field).collect(),
    }
}

fn figures(figures: pb::TrustFigures) -> (DecisionCounts, ReviewCounts) {
    let pb::TrustFigures {
        proposed,
        abstained,
        filled,
        reviewed,
        accepted,
        promised,
        promised_reviewed,
        promised_right,
        // Follows from the counts.
        realised: _,
    } = figures;
    let promise = Promise { promised, reviewed: promised_reviewed, right: promised_right };
    (DecisionCounts { proposed, abstained, filled }, ReviewCounts { reviewed, accepted, promise })
}
