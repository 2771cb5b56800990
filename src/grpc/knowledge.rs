//! `KnowledgeService`: parse, call the knowledge base on the compute pool, convert.

use tonic::{Request, Response, Status, Streaming};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Api, convert,
    import::{Frames, Refused},
    noted, observe, pages,
};
use crate::{
    compute::Urgency,
    domain::{article::Article, decision::Versions},
    error::{FieldViolation, TriageError},
    knowledge::SearchFilter,
    pb::{self, knowledge_service_server::KnowledgeService},
    store::{ArticlePage, ImportCounts, VersionPage},
};

const DEFAULT_PAGE: usize = 10;
const MAX_PAGE: usize = 100;
/// How deep pages of a search go: a search that needs more wants other words.
const MAX_SEARCH_DEPTH: usize = 1_000;
const DEFAULT_LIST_PAGE: usize = 100;
const MAX_LIST_PAGE: usize = 1_000;
const MAX_VERSIONS_PAGE: usize = 100;
const MAX_QUERY_CHARS: usize = 1_024;

#[derive(Debug, Clone)]
pub(crate) struct KnowledgeHandler(pub(crate) Api);

/// One page of a search, parsed.
struct SearchPage {
    query: String,
    filter: SearchFilter,
    offset: usize,
    size: usize,
    /// Ties a page token to its query and filters.
    fingerprint: u64,
}

fn search_page(request: pb::SearchArticlesRequest) -> Result<SearchPage, TriageError> {
    let pb::SearchArticlesRequest { query, page_size, page_token, kinds, statuses } = request;
    let fingerprint = xxh3_64(format!("{query}\0{kinds:?}\0{statuses:?}").as_bytes());
    let mut violations = Vec::new();
    let mut keep = |violation: Vec<FieldViolation>| violations.extend(violation);
    let chars = query.chars().count();
    if query.trim().is_empty() || chars > MAX_QUERY_CHARS {
        keep(vec![FieldViolation::new("query", format!("must be 1 to {MAX_QUERY_CHARS} characters, is {chars}"))]);
    }
    let size = convert::at_most(page_size, "page_size", DEFAULT_PAGE, MAX_PAGE).map_err(&mut keep);
    let offset = parse_search_token(&page_token, fingerprint).ok_or_else(|| {
        keep(vec![FieldViolation::new("page_token", "does not come from the previous page of this search")]);
    });
    let kinds = convert::filter(&kinds, "kinds", convert::domain_kind).map_err(&mut keep);
    let statuses = convert::filter(&statuses, "statuses", convert::domain_status).map_err(&mut keep);
    let (Ok(size), Ok(offset), Ok(kinds), Ok(statuses), true) = (size, offset, kinds, statuses, violations.is_empty())
    else {
        return Err(TriageError::InvalidRequest(violations));
    };
    Ok(SearchPage { query, filter: SearchFilter { kinds, statuses }, offset, size, fingerprint })
}

fn parse_search_token(token: &str, fingerprint: u64) -> Option<usize> {
    if token.is_empty() {
        return Some(0);
    }
    let (offset, of_query) = token.split_once('-')?;
    let offset = offset.parse().ok().filter(|offset| *offset < MAX_SEARCH_DEPTH)?;
    (u64::from_str_radix(of_query, 16).ok()? == fingerprint).then_some(offset)
}

fn not_found(id: &str) -> TriageError {
    TriageError::NotFound { resource: "article", id: id.to_owned() }
}

fn check_id(id: &str) -> Result<(), TriageError> {
    let chars = id.chars().count();
    if id.trim().is_empty() || chars > Article::MAX_ID_CHARS {
        return Err(TriageError::invalid(
            "id",
            format!("must be 1 to {} characters, is {chars}", Article::MAX_ID_CHARS),
        ));
    }
    Ok(())
}

impl KnowledgeHandler {
    /// Stores the valid articles of one frame, or says what storing them would do.
    async fn upsert_frame(&self, articles: Vec<Article>, validate_only: bool) -> Result<ImportCounts, TriageError> {
        if validate_only {
            noted::rehearsed();
        } else {
            noted::about(articles.iter().map(|article| article.id.as_str()));
        }
        let (_turn, place) = self.0.wait_to_write(Urgency::Batch).await?;
        self.0
            .compute(place, move |core| {
                let counts =
                    if validate_only { core.knowledge.plan(&articles) } else { core.knowledge.upsert(&articles) };
                counts.map_err(TriageError::from)
            })
            .await
    }
}

#[tonic::async_trait]
impl KnowledgeService for KnowledgeHandler {
    async fn suggest_articles(
        &self,
        request: Request<pb::SuggestArticlesRequest>,
    ) -> Result<Response<pb::SuggestArticlesResponse>, Status> {
        self.0
            .unary("SuggestArticles", request, async |request| {
                let (ticket, top_n) = convert::suggest_request(request, &self.0.limits.ticket)?;
                let place = self.0.pool.admit()?;
                let (articles, versions, handle) = self
                    .0
                    .compute(place, move |core| {
                        let (articles, versions) = core.triager.suggest_articles(&ticket, top_n)?;
                        let handle = core.triager.suggestion_handle(&ticket, &articles)?;
                        Ok((articles, versions, handle))
                    })
                    .await?;
                Ok(pb::SuggestArticlesResponse {
                    articles: articles.into_iter().map(convert::article_hit).collect(),
                    versions: Some(convert::versions(versions)),
                    suggestion_handle: handle.unwrap_or_default(),
                })
            })
            .await
    }

    async fn suggest_answers(
        &self,
        request: Request<pb::SuggestAnswersRequest>,
    ) -> Result<Response<pb::SuggestAnswersResponse>, Status> {
        super::answers::suggest_answers(&self.0, request).await
    }

    async fn search_articles(
        &self,
        request: Request<pb::SearchArticlesRequest>,
    ) -> Result<Response<pb::SearchArticlesResponse>, Status> {
        self.0
            .unary("SearchArticles", request, async |request| {
                let SearchPage { query, filter, offset, size, fingerprint } = search_page(request)?;
                let place = self.0.pool.admit()?;
                // One more than the page holds tells whether another page follows.
                let (hits, more, versions) = self
                    .0
                    .compute(place, move |core| {
                        let view = core.knowledge.view();
                        let mut hits = view.search(&query, &filter, offset, size + 1)?;
                        let more = hits.len() > size;
                        hits.truncate(size);
                        let hits = core.knowledge.with_last_days(hits)?;
                        let versions = Versions { knowledge: view.version().to_string(), ..core.triager.versions() };
                        Ok((hits, more, versions))
                    })
                    .await?;
                let next = offset + size;
                let more = more && next < MAX_SEARCH_DEPTH;
                Ok(pb::SearchArticlesResponse {
                    articles: hits.into_iter().map(convert::found_article).collect(),
                    next_page_token: if more { format!("{next}-{fingerprint:x}") } else { String::new() },
                    versions: Some(convert::versions(versions)),
                })
            })
            .await
    }

    async fn upsert_articles(
        &self,
        request: Request<Streaming<pb::UpsertArticlesRequest>>,
    ) -> Result<Response<pb::UpsertArticlesResponse>, Status> {
        let mut frames = Frames::new(request.into_inner(), self.0.draining.clone());
        let upsert = async {
            self.0.core()?;
            let mut counts = ImportCounts::default();
            let (mut refused, mut index) = (Refused::default(), 0_u64);
            while let Some(frame) = frames.next().await? {
                let pb::UpsertArticlesRequest { articles, validate_only } = frame;
                let mut valid = Vec::with_capacity(articles.len());
                for raw in articles {
                    let id = raw.id.clone();
                    match convert::article(raw, &format!("articles[{index}].")) {
                        Ok(article) => valid.push(article),
                        Err(violations) => refused.add(index, id, violations),
                    }
                    index += 1;
                }
                counts += self.upsert_frame(valid, validate_only).await?;
            }
            let ImportCounts { imported, updated, unchanged } = counts;
            let error = |(index, id, error)| pb::ArticleError { index, id, error: Some(error) };
            let errors = refused.listed.into_iter().map(error).collect();
            Ok::<_, Status>(pb::UpsertArticlesResponse { imported, updated, unchanged, failed: refused.count, errors })
        };
        observe("UpsertArticles", upsert).await
    }

    async fn get_article(
        &self,
        request: Request<pb::GetArticleRequest>,
    ) -> Result<Response<pb::GetArticleResponse>, Status> {
        self.0
            .unary("GetArticle", request, async |request| {
                let pb::GetArticleRequest { id, version } = request;
                check_id(&id)?;
                if version == Some(0) {
                    return Err(TriageError::invalid("version", "must be at least 1"));
                }
                let place = self.0.pool.admit()?;
                let (text, usage) = self
                    .0
                    .compute(place, move |core| Ok((core.knowledge.text(&id, version)?, core.feedback.usage(&id)?)))
                    .await?;
                let usage = Some(convert::article_usage(usage));
                Ok(pb::GetArticleResponse { usage, ..convert::article_text(text) })
            })
            .await
    }

    async fn list_article_versions(
        &self,
        request: Request<pb::ListArticleVersionsRequest>,
    ) -> Result<Response<pb::ListArticleVersionsResponse>, Status> {
        self.0
            .unary("ListArticleVersions", request, async |request| {
                let pb::ListArticleVersionsRequest { id, page_size, page_token } = request;
                check_id(&id)?;
                let before = pages::parse_version_token(&page_token);
                let size = convert::at_most(page_size, "page_size", MAX_VERSIONS_PAGE, MAX_VERSIONS_PAGE);
                let (size, before) = convert::both(size, before)?;
                let place = self.0.pool.admit()?;
                let page = self.0.compute(place, move |core| core.knowledge.versions(&id, before, size)).await?;
                let VersionPage { versions, more } = page;
                let last = versions.last().filter(|_| more);
                Ok(pb::ListArticleVersionsResponse {
                    next_page_token: last.map(|last| pages::number_token(last.version.into())).unwrap_or_default(),
                    versions: versions.into_iter().map(convert::article_version).collect(),
                })
            })
            .await
    }

    async fn set_article_status(
        &self,
        request: Request<pb::SetArticleStatusRequest>,
    ) -> Result<Response<pb::SetArticleStatusResponse>, Status> {
        self.0
            .unary("SetArticleStatus", request, async |request| {
                let pb::SetArticleStatusRequest { id, status, valid_until } = request;
                check_id(&id)?;
                noted::about([id.as_str()]);
                let (status, last_day) = convert::asked_status(status, valid_until.as_deref())?;
                let (_turn, place) = self.0.wait_to_write(Urgency::Interactive).await?;
                let (article, changed) =
                    self.0.compute(place, move |core| core.knowledge.set_status(&id, status, last_day)).await?;
                Ok(pb::SetArticleStatusResponse { version: article.version, changed })
            })
            .await
    }

    async fn list_articles(
        &self,
        request: Request<pb::ListArticlesRequest>,
    ) -> Result<Response<pb::ListArticlesResponse>, Status> {
        self.0
            .unary("ListArticles", request, async |request| {
                let pb::ListArticlesRequest { page_size, page_token, kinds, statuses, expired } = request;
                let after = pages::parse_id_token(&page_token);
                let size = convert::at_most(page_size, "page_size", DEFAULT_LIST_PAGE, MAX_LIST_PAGE);
                let filter = convert::list_filter(&kinds, &statuses, expired);
                let (size, after) = convert::both(size, after)?;
                let filter = filter.map_err(TriageError::InvalidRequest)?;
                let place = self.0.pool.admit()?;
                let (page, total) = self
                    .0
                    .compute(place, move |core| {
                        let after = (!after.is_empty()).then_some(after.as_str());
                        Ok((core.knowledge.list(&filter, after, size)?, core.knowledge.article_count()))
                    })
                    .await?;
                let ArticlePage { articles, more } = page;
                let last = articles.last().filter(|_| more);
                Ok(pb::ListArticlesResponse {
                    next_page_token: last.map(|article| pages::id_token(&article.id)).unwrap_or_default(),
                    articles: articles.into_iter().map(convert::wire_article).collect(),
                    total,
                })
            })
            .await
    }

    async fn delete_article(
        &self,
        request: Request<pb::DeleteArticleRequest>,
    ) -> Result<Response<pb::DeleteArticleResponse>, Status> {
        self.0
            .unary("DeleteArticle", request, async |request| {
                let pb::DeleteArticleRequest { id, erase_versions } = request;
                check_id(&id)?;
                noted::about([id.as_str()]);
                let (_turn, place) = self.0.wait_to_write(Urgency::Interactive).await?;
                self.0
                    .compute(place, move |core| {
                        let existed = core.knowledge.delete(&id, erase_versions)?;
                        if existed { Ok(()) } else { Err(not_found(&id)) }
                    })
                    .await?;
                Ok(pb::DeleteArticleResponse {})
            })
            .await
    }

    async fn list_gaps(&self, request: Request<pb::ListGapsRequest>) -> Result<Response<pb::ListGapsResponse>, Status> {
        // Looking at thousands of tickets may take longer than a call's deadline.
        observe("ListGaps", self.0.list_gaps(request.into_inner())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_token_belongs_to_its_query() {
        assert_eq!(parse_search_token("20-ff", 255), Some(20));
        for token in ["20-fe", "x-ff", "-ff", "20", "1000-ff", "99999999999999999999999-ff"] {
            assert_eq!(parse_search_token(token, 255), None, "{token}");
        }
    }
}
