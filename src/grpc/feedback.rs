//! `FeedbackService`: parse, record on the compute pool, convert.

use tonic::{Request, Response, Status};

use super::{Api, convert};
use crate::{
    domain::feedback::FeedbackEffect,
    pb::{self, feedback_service_server::FeedbackService},
};

#[derive(Debug, Clone)]
pub(crate) struct FeedbackHandler(pub(crate) Api);

#[tonic::async_trait]
impl FeedbackService for FeedbackHandler {
    async fn record_article_feedback(
        &self,
        request: Request<pb::RecordArticleFeedbackRequest>,
    ) -> Result<Response<pb::RecordArticleFeedbackResponse>, Status> {
        self.0
            .unary("RecordArticleFeedback", request, async |request| {
                let (handle, article, event) = convert::article_feedback(request)?;
                // Before it is its turn to write: a wrong handle holds nobody up.
                let place = self.0.pool.admit()?;
                let feedback = self.0.compute(place, move |core| core.feedback.parse(&handle, &article, event)).await?;
                let (_turn, place) = self.0.wait_to_write().await?;
                let effect = self.0.compute(place, move |core| core.feedback.record(&feedback)).await?;
                let FeedbackEffect { is_new, memory_changed } = effect;
                Ok(pb::RecordArticleFeedbackResponse { recorded: is_new, memory_changed })
            })
            .await
    }
}
