//! The report on gaps on the wire and back.

use anyhow::Context as _;

use super::{article_usage, at_most, domain_kind, wire_kind};
use crate::{
    domain::{
        article::Day,
        decision::Versions,
        feedback::ArticleUsage,
        gaps::{
            ArticleFinding, ArticleFindings, ArticleName, GapCluster, GapExample, GapQuery, GapReport, Listed,
            LookedAt, NamedArticle, NearDuplicates, NearestArticle, Standing, TypicalLabel,
        },
    },
    error::{FieldViolation, TriageError},
    knowledge, pb,
};

/// What is asked for on `today`, with all violations together.
pub(in crate::grpc) fn gap_query(request: pb::ListGapsRequest, today: Day) -> Result<GapQuery, TriageError> {
    let pb::ListGapsRequest { since, top, max_tickets } = request;
    let mut violations = Vec::new();
    let day = match since.as_str() {
        "" => knowledge::days_before(today, GapQuery::DEFAULT_DAYS),
        raw => Day::parse(raw).unwrap_or_else(|| {
            violations.push(FieldViolation::new("since", "must be a day, YYYY-MM-DD"));
            today
        }),
    };
    let mut keep = |found: Vec<FieldViolation>| violations.extend(found);
    let top = at_most(top, "top", GapQuery::DEFAULT_TOP, GapQuery::MAX_TOP).map_err(&mut keep);
    let tickets = at_most(max_tickets, "max_tickets", GapQuery::MAX_TICKETS, GapQuery::MAX_TICKETS).map_err(&mut keep);
    let query = GapQuery {
        since: day,
        top: top.unwrap_or(GapQuery::DEFAULT_TOP),
        tickets: tickets.unwrap_or(GapQuery::MAX_TICKETS),
    };
    violations.extend(query.violations(today));
    if violations.is_empty() { Ok(query) } else { Err(TriageError::InvalidRequest(violations)) }
}

fn day(day: Option<Day>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

pub(in crate::grpc) fn gap_report(report: GapReport, versions: Versions) -> pb::ListGapsResponse {
    let GapReport { since, tickets, clusters, clusters_total, articles } = report;
    let LookedAt { looked_at, undated, unanswered, clustered, is_cut } = tickets;
    pb::ListGapsResponse {
        since: since.to_string(),
        tickets: Some(pb::GapTickets { looked_at, undated, unanswered, clustered, cut: is_cut }),
        clusters: clusters.into_iter().map(wire_cluster).collect(),
        clusters_total,
        articles: Some(wire_findings(articles)),
        versions: Some(super::versions(versions)),
    }
}

fn wire_cluster(cluster: GapCluster) -> pb::GapCluster {
    let GapCluster { tickets, first_seen, last_seen, terms, examples, ticket_ids, nearest, named, labels, likeness } =
        cluster;
    let example = |GapExample { id, summary }| pb::GapExample { id, summary };
    let label = |TypicalLabel { field, value, tickets, labelled }| pb::TypicalLabel { field, value, tickets, labelled };
    pb::GapCluster {
        tickets,
        first_seen: day(first_seen),
        last_seen: day(last_seen),
        terms,
        examples: examples.into_iter().map(example).collect(),
        ticket_ids,
        nearest_article: nearest.map(|NearestArticle { id, title, tickets }| pb::NearestArticle { id, title, tickets }),
        named_articles: named.into_iter().map(wire_named).collect(),
        labels: labels.into_iter().map(label).collect(),
        likeness,
    }
}

fn wire_named(named: NamedArticle) -> pb::NamedArticle {
    let NamedArticle { id, title, standing, tickets } = named;
    let standing = match standing {
        Standing::Missing => pb::ArticleStanding::Missing,
        Standing::Draft => pb::ArticleStanding::Draft,
        Standing::Retired => pb::ArticleStanding::Retired,
        Standing::Expired => pb::ArticleStanding::Expired,
    };
    pb::NamedArticle { id, title, standing: standing.into(), tickets }
}

fn wire_findings(findings: ArticleFindings) -> pb::GapArticles {
    let ArticleFindings { articles, never_suggested, never_helpful, expired, near_duplicates, compared } = findings;
    let list = |listed: Vec<ArticleFinding>| listed.into_iter().map(wire_finding).collect();
    pb::GapArticles {
        articles,
        never_suggested_total: never_suggested.total,
        never_suggested: list(never_suggested.first),
        never_helpful_total: never_helpful.total,
        never_helpful: list(never_helpful.first),
        expired_total: expired.total,
        expired: list(expired.first),
        near_duplicates_total: near_duplicates.total,
        near_duplicates: near_duplicates.first.into_iter().map(wire_pair).collect(),
        compared,
    }
}

fn wire_finding(finding: ArticleFinding) -> pb::ArticleFinding {
    let ArticleFinding { id, title, kind, valid_until, suggested, passed_over, usage } = finding;
    pb::ArticleFinding {
        id,
        title,
        kind: wire_kind(kind).into(),
        valid_until: day(valid_until),
        suggested,
        passed_over,
        usage: Some(article_usage(usage)),
    }
}

fn wire_pair(pair: NearDuplicates) -> pb::NearDuplicates {
    let NearDuplicates { first, second, similarity } = pair;
    let name = |ArticleName { id, title }| Some(pb::ArticleName { id, title });
    pb::NearDuplicates { first: name(first), second: name(second), similarity }
}

/// As a server answered it.
pub(in crate::grpc) fn domain_gap_report(answer: pb::ListGapsResponse) -> anyhow::Result<GapReport> {
    let pb::ListGapsResponse { since, tickets, clusters, clusters_total, articles, versions: _ } = answer;
    let pb::GapTickets { looked_at, undated, unanswered, clustered, cut } = tickets.unwrap_or_default();
    Ok(GapReport {
        since: domain_day(&since)?.context("the server does not say from which day on it looked at tickets")?,
        tickets: LookedAt { looked_at, undated, unanswered, clustered, is_cut: cut },
        clusters: clusters.into_iter().map(domain_cluster).collect::<anyhow::Result<_>>()?,
        clusters_total,
        articles: domain_findings(articles.unwrap_or_default())?,
    })
}

fn domain_day(raw: &str) -> anyhow::Result<Option<Day>> {
    let parse = || Day::parse(raw).with_context(|| format!("the server answers `{raw}` for a day"));
    (!raw.is_empty()).then(parse).transpose()
}

fn domain_cluster(cluster: pb::GapCluster) -> anyhow::Result<GapCluster> {
    let pb::GapCluster {
        tickets,
        first_seen,
        last_seen,
        terms,
        examples,
        ticket_ids,
        nearest_article,
        named_articles,
        labels,
        likeness,
    } = cluster;
    let example = |pb::GapExample { id, summary }| GapExample { id, summary };
    let label = |pb::TypicalLabel { field, value, tickets, labelled }| TypicalLabel { field, value, tickets, labelled };
    Ok(GapCluster {
        tickets,
        first_seen: domain_day(&first_seen)?,
        last_seen: domain_day(&last_seen)?,
        terms,
        examples: examples.into_iter().map(example).collect(),
        ticket_ids,
        nearest: nearest_article.map(|pb::NearestArticle { id, title, tickets }| NearestArticle { id, title, tickets }),
        named: named_articles.into_iter().map(domain_named).collect::<anyhow::Result<_>>()?,
        labels: labels.into_iter().map(label).collect(),
        likeness,
    })
}

fn domain_named(named: pb::NamedArticle) -> anyhow::Result<NamedArticle> {
    let standing = match named.standing() {
        pb::ArticleStanding::Missing => Standing::Missing,
        pb::ArticleStanding::Draft => Standing::Draft,
        pb::ArticleStanding::Retired => Standing::Retired,
        pb::ArticleStanding::Expired => Standing::Expired,
        pb::ArticleStanding::Unspecified => {
            anyhow::bail!("the server answers a standing of `{}` that this version does not know", named.id)
        }
    };
    let pb::NamedArticle { id, title, standing: _, tickets } = named;
    Ok(NamedArticle { id, title, standing, tickets })
}

fn domain_findings(findings: pb::GapArticles) -> anyhow::Result<ArticleFindings> {
    let pb::GapArticles {
        articles,
        never_suggested,
        never_suggested_total,
        never_helpful,
        never_helpful_total,
        expired,
        expired_total,
        near_duplicates,
        near_duplicates_total,
        compared,
    } = findings;
    let list = |found: Vec<pb::ArticleFinding>, total| {
        let first = found.into_iter().map(domain_finding).collect::<anyhow::Result<_>>()?;
        Ok::<_, anyhow::Error>(Listed { first, total })
    };
    let pairs = near_duplicates.into_iter().map(domain_pair).collect();
    Ok(ArticleFindings {
        articles,
        never_suggested: list(never_suggested, never_suggested_total)?,
        never_helpful: list(never_helpful, never_helpful_total)?,
        expired: list(expired, expired_total)?,
        near_duplicates: Listed { first: pairs, total: near_duplicates_total },
        compared,
    })
}

fn domain_finding(finding: pb::ArticleFinding) -> anyhow::Result<ArticleFinding> {
    let kind = domain_kind(finding.kind());
    let pb::ArticleFinding { id, title, kind: _, valid_until, suggested, passed_over, usage } = finding;
    let pb::ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage.unwrap_or_default();
    Ok(ArticleFinding {
        id,
        title,
        kind: kind.unwrap_or_default(),
        valid_until: domain_day(&valid_until)?,
        suggested,
        passed_over,
        usage: ArticleUsage { shown, clicked, helped, refused, solved_tickets },
    })
}

fn domain_pair(pair: pb::NearDuplicates) -> NearDuplicates {
    let pb::NearDuplicates { first, second, similarity } = pair;
    let name = |name: Option<pb::ArticleName>| {
        let pb::ArticleName { id, title } = name.unwrap_or_default();
        ArticleName { id, title }
    };
    NearDuplicates { first: name(first), second: name(second), similarity }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: &str = "2026-06-15";

    fn query(since: &str, top: Option<u32>, max_tickets: Option<u32>) -> Result<GapQuery, Vec<String>> {
        let request = pb::ListGapsRequest { since: since.to_owned(), top, max_tickets };
        match gap_query(request, Day::parse(TODAY).unwrap()) {
            Ok(query) => Ok(query),
            Err(TriageError::InvalidRequest(violations)) => {
                Err(violations.into_iter().map(|violation| violation.field).collect())
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_not_asked_for_is_as_documented() {
        let found = query("", None, None).unwrap();
        assert_eq!((found.since.to_string().as_str(), found.top, found.tickets), ("2026-03-17", 20, 20_000));
        let found = query("0001-01-01", Some(100), Some(1)).unwrap();
        assert_eq!((found.since.to_string().as_str(), found.top, found.tickets), ("0001-01-01", 100, 1));
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        assert_eq!(
            query("2026-06-16", Some(0), Some(20_001)),
            Err(vec!["top".into(), "max_tickets".into(), "since".into()])
        );
        assert_eq!(query("yesterday", None, None), Err(vec!["since".into()]));
    }

    #[test]
    fn a_report_comes_back_as_it_was_sent() {
        let usage = ArticleUsage { shown: 1, clicked: 2, helped: 3, refused: 4, solved_tickets: 5 };
        let finding = |id: &str| ArticleFinding {
            id: id.to_owned(),
            title: "T".to_owned(),
            kind: crate::domain::article::ArticleKind::Faq,
            valid_until: Day::parse(TODAY),
            suggested: 6,
            passed_over: 7,
            usage,
        };
        let listed = |id: &str| Listed { first: vec![finding(id)], total: 9 };
        let named = Standing::ALL.map(|standing| NamedArticle {
            id: standing.as_str().to_owned(),
            title: String::new(),
            standing,
            tickets: 2,
        });
        let name = |id: &str| ArticleName { id: id.to_owned(), title: "T".to_owned() };
        let report = GapReport {
            since: Day::parse("2026-01-31").unwrap(),
            tickets: LookedAt { looked_at: 9, undated: 1, unanswered: 5, clustered: 4, is_cut: true },
            clusters: vec![GapCluster {
                tickets: 4,
                first_seen: Day::parse("2026-02-01"),
                last_seen: None,
                terms: vec!["badge reader".to_owned()],
                examples: vec![GapExample { id: "1".to_owned(), summary: "s".to_owned() }],
                ticket_ids: vec!["1".to_owned()],
                nearest: Some(NearestArticle { id: "KB".to_owned(), title: "T".to_owned(), tickets: 2 }),
                named: named.to_vec(),
                labels: vec![TypicalLabel {
                    field: "category".to_owned(),
                    value: "access".to_owned(),
                    tickets: 2,
                    labelled: 3,
                }],
                likeness: 0.5,
            }],
            clusters_total: 7,
            articles: ArticleFindings {
                articles: 8,
                never_suggested: listed("a"),
                never_helpful: listed("b"),
                expired: listed("c"),
                near_duplicates: Listed {
                    first: vec![NearDuplicates { first: name("a"), second: name("b"), similarity: 0.75 }],
                    total: 1,
                },
                compared: 8,
            },
        };
        let versions = Versions { memory: "3".to_owned(), ..Versions::default() };
        assert_eq!(domain_gap_report(gap_report(report.clone(), versions)).unwrap(), report);
    }
}
