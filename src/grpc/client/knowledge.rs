//! What the command line asks `KnowledgeService`.

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{super::convert, Client, article_hit};
use crate::{
    domain::article::{Article, Day, FoundArticle},
    pb::{self, knowledge_service_client::KnowledgeServiceClient},
    store::ImportCounts,
};

/// Frames that wait while the server stores another.
const FRAMES_AHEAD: usize = 2;

/// What became of articles that were sent.
#[derive(Debug)]
pub struct UpsertedArticles {
    pub counts: ImportCounts,
    /// Articles that the server refused.
    pub failed: u64,
    /// Ids of the first of them, and what was wrong.
    pub errors: Vec<(String, String)>,
}

impl Client {
    /// The first page of a search.
    pub async fn search(&self, query: &str, limit: u32) -> anyhow::Result<Vec<FoundArticle>> {
        let request = pb::SearchArticlesRequest {
            query: query.to_owned(),
            page_size: Some(limit),
            page_token: String::new(),
            kinds: Vec::new(),
            statuses: Vec::new(),
        };
        let answer = KnowledgeServiceClient::new(self.channel.clone()).search_articles(request).await;
        let hits = answer.map_err(|status| self.explain(&status))?.into_inner().articles;
        hits.into_iter().map(found_article).collect()
    }

    /// Adds or replaces articles by id; each batch is a frame of its own. They are durable and can be found when it
    /// returns. On an error the batches that the server has taken by then stay: sending all again ends as sending once.
    pub async fn upsert_articles(
        &self,
        batches: impl Iterator<Item = Vec<Article>>,
    ) -> anyhow::Result<UpsertedArticles> {
        let (frames, receiver) = mpsc::channel(FRAMES_AHEAD);
        let send = async move {
            for batch in batches {
                let articles = batch.into_iter().map(convert::wire_article).collect();
                if frames.send(pb::UpsertArticlesRequest { articles, validate_only: false }).await.is_err() {
                    return;
                }
            }
        };
        let mut service = KnowledgeServiceClient::new(self.channel.clone());
        let answer = service.upsert_articles(ReceiverStream::new(receiver));
        tokio::pin!(answer);
        // A server that refuses answers before all is sent.
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = send => answer.await,
        };
        let answer = answer.map_err(|status| self.explain(&status))?.into_inner();
        let pb::UpsertArticlesResponse { imported, updated, unchanged, failed, errors } = answer;
        let error = |pb::ArticleError { index: _, id, error }| (id, error.unwrap_or_default().message);
        Ok(UpsertedArticles {
            counts: ImportCounts { imported, updated, unchanged },
            failed,
            errors: errors.into_iter().map(error).collect(),
        })
    }
}

fn found_article(hit: pb::ArticleHit) -> anyhow::Result<FoundArticle> {
    let last_day = (!hit.valid_until.is_empty()).then(|| {
        Day::parse(&hit.valid_until)
            .with_context(|| format!("the server answers `{}` for the last day of an article", hit.valid_until))
    });
    Ok(FoundArticle { valid_until: last_day.transpose()?, hit: article_hit(hit) })
}
