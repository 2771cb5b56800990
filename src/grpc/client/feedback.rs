//! What the command line asks `FeedbackService`.

use super::Client;
use crate::{
    domain::feedback::{ArticleEvent, FeedbackEffect},
    grpc::convert,
    pb::{self, feedback_service_client::FeedbackServiceClient},
};

impl Client {
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
