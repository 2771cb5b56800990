//! The client that the command line uses for `--server`.

mod answers;
mod connection;
mod feedback;
mod jobs;
mod knowledge;
mod memory;
mod models;
mod taxonomy;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub use self::{
    jobs::{JobChanges, JobResults},
    knowledge::{ServedArticle, UpsertedArticles},
    models::ListedModels,
    taxonomy::ServedTaxonomy,
};
use super::convert;
use crate::{
    config::ClientAccess,
    domain::{
        article::{ArticleHit, Passage},
        decision::{
            Abstention, Candidate, Evidence, FieldDecision, FieldWitness, PriorityDecision, TriageDecision,
            ValueSource, Versions,
        },
        priority::{Impact, Priority, Urgency},
        route::Route,
        sla::SlaTarget,
        ticket::{TicketDraft, TicketPart},
    },
    pb::{self, triage_service_client::TriageServiceClient},
};

/// A connection to a running server.
#[derive(Debug, Clone)]
pub struct Client {
    address: String,
    channel: connection::Service,
    /// What may be missing where a connection ends by itself.
    hint: &'static str,
}

impl Client {
    /// Connects to `HOST:PORT` or `https://HOST:PORT`.
    pub async fn connect(address: &str, access: &ClientAccess) -> anyhow::Result<Self> {
        let channel = connection::connect(address, access).await?;
        let is_secured = access.ca.is_some() || access.certificate.is_some() || address.starts_with("https://");
        let hint = match (is_secured, &access.certificate) {
            (false, _) => "; where it is secured, name it with https://",
            (true, None) => {
                "; where it asks for certificates, give one with --client-certificate FILE --client-key FILE"
            }
            (true, Some(_)) => "",
        };
        Ok(Self { address: address.to_owned(), channel, hint })
    }

    /// As it was named.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// One ticket's decision, with everything in it.
    pub async fn triage(&self, draft: TicketDraft) -> anyhow::Result<TriageDecision> {
        let request = pb::TriageTicketRequest { ticket: Some(wire_ticket(draft)), features: Vec::new(), top_n: None };
        let answer = TriageServiceClient::new(self.channel.clone()).triage_ticket(request).await;
        decision(answer.map_err(|status| self.explain(&status))?.into_inner().decision.unwrap_or_default())
    }

    /// The fields of every decision, in its order and each with the furthest that its route goes, and what makes it.
    pub async fn fields(&self) -> anyhow::Result<(Vec<(String, Route)>, Versions)> {
        let answer = TriageServiceClient::new(self.channel.clone()).get_server_info(pb::GetServerInfoRequest {}).await;
        let info = answer.map_err(|status| self.explain(&status))?.into_inner();
        let decided = info.fields.into_iter().filter(|field| field.route != i32::from(pb::Route::Off));
        let fields = decided.map(|field| Ok((field.field, domain_route(field.route)?)));
        let fields = fields.collect::<anyhow::Result<_>>()?;
        Ok((fields, domain_versions(info.versions.unwrap_or_default())))
    }

    /// What the server said was wrong, field by field.
    fn explain(&self, status: &Status) -> anyhow::Error {
        if let Some(problem) = connection::tls_problem(status) {
            return anyhow::anyhow!("the connection to {} is refused: {problem}", self.address);
        }
        // A server that is not met as it asks ends the connection, and what it says of that may come too late.
        if std::error::Error::source(status).is_some() {
            return anyhow::anyhow!("the connection to {} ended: {}{}", self.address, status.message(), self.hint);
        }
        if status.code() == Code::Unauthenticated {
            let hint = "name a file with the token with --token-file, or set TRIAGE_TOKEN";
            return anyhow::anyhow!("{} answers {:?}: {}; {hint}", self.address, status.code(), status.message());
        }
        let violations = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
        if violations.is_empty() {
            return anyhow::anyhow!("{} answers {:?}: {}", self.address, status.code(), status.message());
        }
        let lines = violations.iter().map(|violation| format!("  {}: {}", violation.field, violation.description));
        anyhow::anyhow!("{} refuses the request:\n{}", self.address, lines.collect::<Vec<_>>().join("\n"))
    }
}

fn wire_ticket(draft: TicketDraft) -> pb::Ticket {
    let TicketDraft { id, summary, description, requester, service, configuration_item, field_values, attributes } =
        draft;
    let entries = |map: BTreeMap<String, String>| map.into_iter().collect();
    pb::Ticket {
        id,
        summary,
        description,
        requester,
        service,
        configuration_item,
        field_values: entries(field_values),
        attributes: entries(attributes),
    }
}

fn decision(decision: pb::Decision) -> anyhow::Result<TriageDecision> {
    let pb::Decision {
        ticket_id,
        fields,
        priority,
        reasons,
        articles,
        truncated,
        versions,
        similar_tickets,
        suggestion_handle,
        decision_handle,
    } = decision;
    Ok(TriageDecision {
        ticket_id,
        fields: fields.into_iter().map(field_decision).collect::<anyhow::Result<_>>()?,
        priority: priority.map(priority_decision).transpose()?,
        reasons,
        articles: articles.into_iter().map(article_hit).collect(),
        decision_handle: Some(decision_handle).filter(|handle| !handle.is_empty()),
        suggestion_handle: Some(suggestion_handle).filter(|handle| !handle.is_empty()),
        similar: similar_tickets.into_iter().map(memory::similar_ticket).collect::<anyhow::Result<_>>()?,
        truncated,
        versions: domain_versions(versions.unwrap_or_default()),
    })
}

fn domain_versions(versions: pb::Versions) -> Versions {
    let pb::Versions { model, taxonomy, matrix, knowledge, server, memory, learned, feedback } = versions;
    Versions { model, taxonomy, matrix, knowledge, memory, learned, feedback, server }
}

fn priority_decision(decision: pb::PriorityDecision) -> anyhow::Result<PriorityDecision> {
    let pb::PriorityDecision { priority, impact, urgency, disagreement, route, sla } = decision;
    let newer = || {
        format!(
            "the server answers priority {priority} of impact {impact} and urgency {urgency}, which this version does not know"
        )
    };
    Ok(PriorityDecision {
        priority: Priority::parse(&priority).with_context(newer)?,
        impact: Impact::parse(&impact).with_context(newer)?,
        urgency: Urgency::parse(&urgency).with_context(newer)?,
        disagreement,
        sla: sla.and_then(sla_target),
        route: domain_route(route)?,
    })
}

/// `None` for what no taxonomy can hold, as from a server that knows no targets.
fn sla_target(target: pb::SlaTarget) -> Option<SlaTarget> {
    let pb::SlaTarget { response, resolution } = target;
    let span = |span: Option<prost_types::Duration>| Duration::try_from(span?).ok();
    SlaTarget::new(span(response)?, span(resolution)?).ok()
}

fn field_decision(decision: pb::FieldDecision) -> anyhow::Result<FieldDecision> {
    let abstention = domain_abstention(&decision.field, decision.abstention)?;
    let source = decision.source();
    let pb::FieldDecision {
        field,
        value,
        source: _,
        confidence,
        abstention: _,
        candidates,
        evidence,
        disagreement,
        raised_by,
        route,
        witnesses,
        demoted,
    } = decision;
    Ok(FieldDecision {
        field,
        value,
        source: match source {
            pb::ValueSource::Unspecified | pb::ValueSource::Model => ValueSource::Model,
            pb::ValueSource::Form => ValueSource::Form,
            pb::ValueSource::ImpactTable => ValueSource::ImpactTable(raised_by),
            pb::ValueSource::GroupTable => ValueSource::GroupTable,
            pb::ValueSource::Memory => ValueSource::Memory,
        },
        confidence,
        abstention,
        candidates: candidates
            .into_iter()
            .map(|pb::Candidate { value, confidence }| Candidate { value, confidence })
            .collect(),
        evidence: evidence.into_iter().map(domain_evidence).collect(),
        witnesses: witnesses
            .into_iter()
            .map(|pb::FieldWitness { ticket_id, similarity, value, corrected }| FieldWitness {
                ticket_id,
                similarity,
                value,
                corrected,
            })
            .collect(),
        is_demoted: demoted,
        disagreement,
        route: domain_route(route)?,
    })
}

fn domain_abstention(field: &str, abstention: i32) -> anyhow::Result<Option<Abstention>> {
    // An unknown number must not pass for "use it".
    let abstention = pb::Abstention::try_from(abstention)
        .with_context(|| format!("the server abstains from {field} for a reason that this version does not know"))?;
    Ok(match abstention {
        pb::Abstention::Unspecified => None,
        pb::Abstention::TooShort => Some(Abstention::TooShort),
        pb::Abstention::UnsupportedLanguage => Some(Abstention::UnsupportedLanguage),
        pb::Abstention::OutOfScope => Some(Abstention::OutOfScope),
        pb::Abstention::Ambiguous => Some(Abstention::Ambiguous),
        pb::Abstention::LowConfidence => Some(Abstention::LowConfidence),
    })
}

/// A server that knows no routes recommends everything.
fn domain_route(route: i32) -> anyhow::Result<Route> {
    // An unknown number must not pass for "show it".
    match pb::Route::try_from(route) {
        Ok(pb::Route::Unspecified | pb::Route::Recommend) => Ok(Route::Recommend),
        Ok(pb::Route::Monitor) => Ok(Route::Monitor),
        Ok(pb::Route::Autofill) => Ok(Route::Autofill),
        Ok(pb::Route::Off) | Err(_) => {
            Err(anyhow::anyhow!("the server answers a route that this version does not know"))
        }
    }
}

fn domain_evidence(evidence: pb::Evidence) -> Evidence {
    let part = match evidence.part() {
        pb::TicketPart::Unspecified | pb::TicketPart::Summary => TicketPart::Summary,
        pb::TicketPart::Description => TicketPart::Description,
    };
    let pb::Evidence { part: _, start_byte, end_byte, start_utf16, end_utf16, text, weight } = evidence;
    Evidence {
        part,
        bytes: start_byte as usize..end_byte as usize,
        utf16: start_utf16 as usize..end_utf16 as usize,
        text,
        weight,
    }
}

fn article_hit(hit: pb::ArticleHit) -> ArticleHit {
    let (kind, status) = (convert::domain_kind(hit.kind()), convert::domain_status(hit.status()));
    let pb::ArticleHit {
        id,
        title,
        kind: _,
        status: _,
        products,
        score,
        passage,
        reasons,
        chance,
        valid_until: _,
        version,
        link,
    } = hit;
    ArticleHit {
        id,
        title,
        kind: kind.unwrap_or_default(),
        status: status.unwrap_or_default(),
        products,
        score,
        passage: domain_passage(passage.unwrap_or_default()),
        reasons: reasons.into_iter().filter_map(convert::domain_reason).collect(),
        chance,
        version,
        link: Some(link).filter(|link| !link.is_empty()),
    }
}

fn domain_passage(passage: pb::Passage) -> Passage {
    let section = convert::known_section(passage.section());
    let pb::Passage { text, highlights, section: _ } = passage;
    let highlights = highlights
        .into_iter()
        .map(|pb::Highlight { start_byte, end_byte }| start_byte as usize..end_byte as usize)
        .collect();
    Passage { text, highlights, section }
}
