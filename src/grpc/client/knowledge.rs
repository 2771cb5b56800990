//! What the command line asks `KnowledgeService`.

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{super::convert, Client, article_hit};
use crate::{
    domain::{
        article::{Article, ArticleKind, ArticleStatus, Day, FoundArticle, LastDay},
        feedback::ArticleUsage,
        gaps::GapReport,
        known_error::ArticleVersion,
    },
    pb::{self, knowledge_service_client::KnowledgeServiceClient},
    store::{ArticleText, ImportCounts},
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

    /// What the knowledge base lacks. What is `None` is as the server has it.
    pub async fn gaps(
        &self,
        since: Option<Day>,
        top: Option<u32>,
        max_tickets: Option<u32>,
    ) -> anyhow::Result<GapReport> {
        let since = since.map(|day| day.to_string()).unwrap_or_default();
        let request = pb::ListGapsRequest { since, top, max_tickets };
        let answer = KnowledgeServiceClient::new(self.channel.clone()).list_gaps(request).await;
        convert::domain_gap_report(answer.map_err(|status| self.explain(&status))?.into_inner())
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

/// One text of an article, and what came of suggesting it.
#[derive(Debug)]
pub struct ServedArticle {
    pub text: ArticleText,
    pub usage: ArticleUsage,
}

impl Client {
    /// The text of an article in force, or that of a version.
    pub async fn article(&self, id: &str, version: Option<u32>) -> anyhow::Result<ServedArticle> {
        let request = pb::GetArticleRequest { id: id.to_owned(), version };
        let answer = KnowledgeServiceClient::new(self.channel.clone()).get_article(request).await;
        let answer = answer.map_err(|status| self.explain(&status))?.into_inner();
        let pb::GetArticleResponse { article, usage, create_time, current_version } = answer;
        let pb::ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage.unwrap_or_default();
        let article = convert::domain_article(article.context("the server answers no article")?);
        Ok(ServedArticle {
            text: ArticleText { article, made_at: seconds(create_time), current_version },
            usage: ArticleUsage { shown, clicked, helped, refused, solved_tickets },
        })
    }

    /// All versions of an article that are kept, the latest first.
    pub async fn article_versions(&self, id: &str) -> anyhow::Result<Vec<ArticleVersion>> {
        let mut service = KnowledgeServiceClient::new(self.channel.clone());
        let (mut versions, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListArticleVersionsRequest { id: id.to_owned(), page_size: None, page_token };
            let page = service.list_article_versions(request).await.map_err(|status| self.explain(&status))?;
            let page = page.into_inner();
            versions.extend(page.versions.into_iter().map(|version| {
                let status = convert::domain_status(version.status()).unwrap_or_default();
                let pb::ArticleVersion { version, create_time, title, status: _ } = version;
                ArticleVersion { version, made_at: seconds(create_time), title, status }
            }));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(versions);
            }
        }
    }

    /// A page of the list of articles behind a token, and the token of the next page; none behind the last one.
    pub async fn list_articles(
        &self,
        kinds: &[ArticleKind],
        statuses: &[ArticleStatus],
        expired: bool,
        page_token: String,
    ) -> anyhow::Result<(Vec<Article>, Option<String>)> {
        let request = pb::ListArticlesRequest {
            page_size: None,
            page_token,
            kinds: kinds.iter().map(|kind| convert::wire_kind(*kind).into()).collect(),
            statuses: statuses.iter().map(|status| convert::wire_status(*status).into()).collect(),
            expired,
        };
        let page = KnowledgeServiceClient::new(self.channel.clone()).list_articles(request).await;
        let page = page.map_err(|status| self.explain(&status))?.into_inner();
        let articles = page.articles.into_iter().map(convert::domain_article).collect();
        Ok((articles, Some(page.next_page_token).filter(|token| !token.is_empty())))
    }

    /// Moves an article on in its life; its version then, and whether that is a change.
    pub async fn set_article_status(
        &self,
        id: &str,
        status: ArticleStatus,
        last_day: LastDay,
    ) -> anyhow::Result<(u32, bool)> {
        let request = pb::SetArticleStatusRequest {
            id: id.to_owned(),
            status: convert::wire_status(status).into(),
            valid_until: match last_day {
                LastDay::AsItIs => None,
                LastDay::None => Some(String::new()),
                LastDay::On(day) => Some(day.to_string()),
            },
        };
        let answer = KnowledgeServiceClient::new(self.channel.clone()).set_article_status(request).await;
        let pb::SetArticleStatusResponse { version, changed } =
            answer.map_err(|status| self.explain(&status))?.into_inner();
        Ok((version, changed))
    }

    /// Whether there was such an article, or with `erase_versions` anything left of it.
    pub async fn delete_article(&self, id: &str, erase_versions: bool) -> anyhow::Result<bool> {
        let request = pb::DeleteArticleRequest { id: id.to_owned(), erase_versions };
        match KnowledgeServiceClient::new(self.channel.clone()).delete_article(request).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(false),
            Err(status) => Err(self.explain(&status)),
        }
    }
}

fn seconds(time: Option<prost_types::Timestamp>) -> Option<u64> {
    u64::try_from(time?.seconds).ok()
}

fn found_article(hit: pb::ArticleHit) -> anyhow::Result<FoundArticle> {
    let last_day = (!hit.valid_until.is_empty()).then(|| {
        Day::parse(&hit.valid_until)
            .with_context(|| format!("the server answers `{}` for the last day of an article", hit.valid_until))
    });
    Ok(FoundArticle { valid_until: last_day.transpose()?, hit: article_hit(hit) })
}
