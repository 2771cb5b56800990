//! What the knowledge base lacks, read from recent confirmed tickets. A ticket is answered where the desk linked an
//! article that is in force; where it linked none, by how well the best article fits (`suggest/answered.rs`); where it
//! linked only articles that are not in force, it is not. The search goes in small steps, so that no call waits for it
//! and whoever has no more use for it drops it.

mod articles;
mod cluster;
mod duplicates;
mod terms;
mod text;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    mem,
};

use self::{
    articles::{Articles, Suggested},
    cluster::{Clustering, MIN_TICKETS, as_float},
    text::{Point, Reading, Vocabulary},
};
use super::suggest::{Offer, Suggester};
use crate::{
    domain::{
        article::Day,
        decision::Versions,
        gaps::{
            ArticleFindings, GapCluster, GapExample, GapQuery, GapReport, LookedAt, NamedArticle, NearestArticle,
            Standing, TypicalLabel,
        },
        memory::ConfirmedTicket,
        taxonomy::{ASSIGNMENT_GROUP, CATEGORY},
    },
    error::TriageError,
    feedback::Feedback,
    knowledge::KnowledgeBase,
    memory::{self, Memory},
    store::ArticleFilter,
};

/// At a time: about three milliseconds each, which is how long a call waits for a step at most times.
const ARTICLES_PER_STEP: usize = 16;
const TICKETS_PER_STEP: usize = 4;
const MERGES_PER_STEP: usize = 8;
/// Tickets of a cluster that are read again for its terms, the most typical ones.
const TERM_TICKETS: usize = 100;
const SUMMARY_CHARS: usize = 200;
/// Fields whose typical value is told.
const LABELS: [&str; 2] = [CATEGORY, ASSIGNMENT_GROUP];

/// A search for gaps under way.
#[derive(Debug)]
pub struct GapSearch {
    suggester: Suggester,
    knowledge: KnowledgeBase,
    memory: Memory,
    feedback: Feedback,
    query: GapQuery,
    today: Day,
    /// The changes to knowledge base and memory that it began with.
    versions: (u64, u64),
    phase: Phase,
    articles: Articles,
    looked_at: LookedAt,
    vocabulary: Vocabulary,
    open: Vec<OpenTicket>,
    clusters: Vec<GapCluster>,
    clusters_total: u64,
}

/// What is done next; each phase goes on from the one before.
enum Phase {
    /// Behind the article of this id.
    Articles(Option<String>),
    /// Before this change.
    Tickets(Option<u64>),
    Clusters(Box<Clustering>, Vec<Group>),
    /// Groups of open tickets still to be described, the last first.
    Descriptions(Vec<Group>),
    Findings,
    Done(Box<ArticleFindings>),
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Articles(_) => "Articles",
            Self::Tickets(_) => "Tickets",
            Self::Clusters(..) => "Clusters",
            Self::Descriptions(_) => "Descriptions",
            Self::Findings => "Findings",
            Self::Done(_) => "Done",
        })
    }
}

/// A ticket that no article answers.
#[derive(Debug)]
struct OpenTicket {
    id: String,
    resolved_on: Option<Day>,
    /// Articles that solved it, none of them in force.
    named: Vec<String>,
    /// The article that would be suggested first.
    nearest: Option<String>,
    /// Nothing but the text says that no article answers it.
    is_by_text: bool,
    /// Its values of [`LABELS`].
    labels: [Option<String>; LABELS.len()],
    reading: Reading,
    point: Point,
}

/// Places of open tickets, with the sum of their points.
struct Group {
    tickets: Vec<usize>,
    sum: Point,
    /// Mean likeness of two of them.
    likeness: f32,
}

impl Group {
    fn new(mut tickets: Vec<usize>, open: &[OpenTicket]) -> Self {
        tickets.sort_unstable();
        let mut sum = Point::default();
        let mut own = 0.0;
        for &ticket in &tickets {
            sum.add(&open[ticket].point);
            own += open[ticket].point.likeness(&open[ticket].point);
        }
        let pairs = as_float(tickets.len() * (tickets.len().max(2) - 1));
        let likeness = ((sum.likeness(&sum) - own) / pairs).clamp(0.0, 1.0);
        Self { tickets, sum, likeness }
    }
}

impl GapSearch {
    /// Begins to look, on `today`; nothing is read yet. The caller has checked [`GapQuery::violations`].
    ///
    /// Errors: `Internal` for a suggester without a memory.
    pub fn begin(suggester: &Suggester, feedback: Feedback, query: GapQuery, today: Day) -> Result<Self, TriageError> {
        let (knowledge, memory) = suggester.sources();
        let memory = memory.ok_or_else(|| TriageError::internal("gaps are looked for in a memory"))?;
        Ok(Self {
            versions: (knowledge.version(), memory.version()),
            suggester: suggester.clone(),
            knowledge,
            memory,
            feedback,
            query,
            today,
            phase: Phase::Articles(None),
            articles: Articles::default(),
            looked_at: LookedAt::default(),
            vocabulary: Vocabulary::default(),
            open: Vec::new(),
            clusters: Vec::new(),
            clusters_total: 0,
        })
    }

    /// Does some milliseconds of the work; whether there is more.
    pub fn step(&mut self) -> Result<bool, TriageError> {
        self.phase = match mem::replace(&mut self.phase, Phase::Findings) {
            Phase::Articles(after) => self.read_articles(after.as_deref())?,
            Phase::Tickets(before) => self.read_tickets(before)?,
            Phase::Clusters(mut clustering, named) => {
                if clustering.step(MERGES_PER_STEP) {
                    Phase::Clusters(clustering, named)
                } else {
                    Phase::Descriptions(self.ranked(*clustering, named))
                }
            }
            Phase::Descriptions(mut groups) => match groups.pop() {
                Some(group) => {
                    let cluster = self.described(&group)?;
                    self.clusters.push(cluster);
                    Phase::Descriptions(groups)
                }
                None => Phase::Findings,
            },
            Phase::Findings => Phase::Done(Box::new(mem::take(&mut self.articles).findings(&self.feedback.usages()?))),
            Phase::Done(findings) => Phase::Done(findings),
        };
        Ok(!matches!(self.phase, Phase::Done(_)))
    }

    /// The report, once [`Self::step`] says that there is nothing more to do, and what made it.
    pub fn finish(self, versions: Versions) -> Result<(GapReport, Versions), TriageError> {
        let Phase::Done(findings) = self.phase else {
            return Err(TriageError::internal("a search for gaps was ended before its end"));
        };
        let report = GapReport {
            since: self.query.since,
            tickets: self.looked_at,
            clusters: self.clusters,
            clusters_total: self.clusters_total,
            articles: *findings,
        };
        let (knowledge, memory) = self.versions;
        Ok((report, Versions { knowledge: knowledge.to_string(), memory: memory.to_string(), ..versions }))
    }

    fn read_articles(&mut self, after: Option<&str>) -> Result<Phase, TriageError> {
        let page = self.knowledge.list(&ArticleFilter::default(), after, ARTICLES_PER_STEP)?;
        for article in &page.articles {
            self.articles.add(article, self.today);
        }
        let last = page.articles.last().filter(|_| page.more).map(|last| last.id.clone());
        Ok(last.map_or(Phase::Tickets(None), |last| Phase::Articles(Some(last))))
    }

    fn read_tickets(&mut self, before: Option<u64>) -> Result<Phase, TriageError> {
        let page = self.memory.recent(before, self.query.since, TICKETS_PER_STEP)?;
        let (knowledge, memory) = (self.knowledge.clone(), self.memory.clone());
        let views = (knowledge.view(), memory.view());
        for (ticket, _) in &page {
            if self.looked_at.looked_at == self.query.tickets as u64 {
                self.looked_at.is_cut = true;
                return Ok(self.start_clustering());
            }
            self.looked_at.looked_at += 1;
            self.looked_at.undated += u64::from(ticket.resolved_on.is_none());
            let offer = self.suggester.offer((&views.0, &views.1), ticket, self.today)?;
            self.look_at(ticket, offer);
        }
        match page.last() {
            Some((_, last)) => Ok(Phase::Tickets(Some(*last))),
            None => Ok(self.start_clustering()),
        }
    }

    fn look_at(&mut self, ticket: &ConfirmedTicket, offer: Offer) {
        let in_force = |id: &&String| self.articles.standing(id).is_none();
        let is_answered =
            ticket.articles.iter().any(|id| in_force(&id)) || (ticket.articles.is_empty() && offer.is_answer);
        for article in &offer.first {
            self.articles.suggested(
                article,
                Suggested { is_passed_over: !ticket.articles.is_empty() && !ticket.articles.contains(article) },
            );
        }
        let reading = Reading::of(ticket, self.memory.redactor());
        self.vocabulary.add(&reading);
        if is_answered {
            return;
        }
        self.looked_at.unanswered += 1;
        self.open.push(OpenTicket {
            id: ticket.id.clone(),
            resolved_on: ticket.resolved_on,
            named: ticket.articles.iter().cloned().collect(),
            is_by_text: ticket.articles.is_empty() && !offer.is_learned,
            nearest: offer.first.into_iter().next(),
            labels: LABELS.map(|field| ticket.labels.get(field).cloned()),
            reading,
            point: Point::default(),
        });
    }

    /// Tickets that the desk solved with the same article, which is not in force, are a group from the start; the others
    /// are compared by their text.
    fn start_clustering(&mut self) -> Phase {
        // In the order of their ids, so that the way to a memory does not matter.
        self.open.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let readings: Vec<Reading> = self.open.iter_mut().map(|ticket| mem::take(&mut ticket.reading)).collect();
        for (ticket, point) in self.open.iter_mut().zip(text::points(&readings, &self.vocabulary)) {
            ticket.point = point;
        }
        let groups = by_named_article(&self.open);
        let free = free_places(&self.open, &groups);
        let points = free.iter().map(|place| self.open[*place].point.clone()).collect();
        let groups = groups.into_iter().map(|tickets| Group::new(tickets, &self.open)).collect();
        Phase::Clusters(Box::new(Clustering::new(points)), groups)
    }

    /// The clusters that are reported, the largest last.
    fn ranked(&mut self, clustering: Clustering, mut groups: Vec<Group>) -> Vec<Group> {
        let free = free_places(&self.open, groups.iter().map(|group| &group.tickets));
        let named = groups.len();
        for cluster in clustering.finish() {
            let tickets = cluster.into_iter().map(|place| free[place]).collect();
            let cluster = Group::new(tickets, &self.open);
            if self.is_answered(&cluster) {
                continue;
            }
            match alike(&groups[..named], &cluster) {
                Some(place) => groups[place] = self.merged(&groups[place], &cluster),
                None => groups.push(cluster),
            }
        }
        self.looked_at.clustered = groups.iter().map(|group| group.tickets.len() as u64).sum();
        self.clusters_total = groups.len() as u64;
        groups.sort_by(|a, b| {
            let by_size = b.tickets.len().cmp(&a.tickets.len());
            by_size.then(b.likeness.total_cmp(&a.likeness)).then_with(|| a.tickets.cmp(&b.tickets))
        });
        groups.truncate(self.query.top);
        groups.reverse();
        groups
    }

    /// Whether the tickets of a cluster agree on an article that seemed to fit none of them well enough, where nothing but
    /// the text speaks: without links of the desk this tells more than how well it fits (twice as many of the missing
    /// articles were found on public questions).
    fn is_answered(&self, cluster: &Group) -> bool {
        let tickets = || cluster.tickets.iter().map(|place| &self.open[*place]);
        let most = most_frequent(tickets().filter_map(|ticket| ticket.nearest.as_deref()));
        let agree = most.is_some_and(|(_, count)| count * 2 >= cluster.tickets.len() as u64);
        agree && tickets().all(|ticket| ticket.is_by_text)
    }

    fn merged(&self, one: &Group, other: &Group) -> Group {
        Group::new(one.tickets.iter().chain(&other.tickets).copied().collect(), &self.open)
    }

    fn described(&self, group: &Group) -> Result<GapCluster, TriageError> {
        let mut typical: Vec<(f32, &OpenTicket)> = group
            .tickets
            .iter()
            .map(|place| &self.open[*place])
            .map(|ticket| (ticket.point.likeness(&group.sum), ticket))
            .collect();
        typical.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.id.cmp(&other.id)));
        let (mut texts, mut examples) = (Vec::new(), Vec::<GapExample>::new());
        for (_, open) in typical.iter().take(TERM_TICKETS) {
            // It may be gone since.
            let Some(ticket) = self.memory.get(&open.id)? else { continue };
            texts.push(text::plain(&ticket.text(), self.memory.redactor()));
            let summary: String = memory::summary(&ticket).chars().take(SUMMARY_CHARS).collect();
            let is_new = |known: &GapExample| known.summary.to_lowercase() != summary.to_lowercase();
            if examples.len() < GapCluster::MAX_EXAMPLES && examples.iter().all(is_new) {
                examples.push(GapExample { id: open.id.clone(), summary });
            }
        }
        let tickets: Vec<&OpenTicket> = typical.into_iter().map(|(_, ticket)| ticket).collect();
        let days = || tickets.iter().filter_map(|ticket| ticket.resolved_on);
        Ok(GapCluster {
            tickets: group.tickets.len() as u64,
            first_seen: days().min(),
            last_seen: days().max(),
            terms: terms::telling(&texts, &self.vocabulary, GapCluster::MAX_TERMS),
            examples,
            ticket_ids: tickets.iter().take(GapCluster::MAX_TICKET_IDS).map(|ticket| ticket.id.clone()).collect(),
            nearest: self.nearest(&tickets),
            named: self.named(&tickets),
            labels: typical_labels(&tickets),
            likeness: group.likeness,
        })
    }

    /// The article that is the first suggestion for most of the tickets, where that is a third or more.
    fn nearest(&self, tickets: &[&OpenTicket]) -> Option<NearestArticle> {
        let (id, count) = most_frequent(tickets.iter().filter_map(|ticket| ticket.nearest.as_deref()))?;
        (count * 3 >= tickets.len() as u64).then(|| NearestArticle {
            id: id.to_owned(),
            title: self.articles.title(id).to_owned(),
            tickets: count,
        })
    }

    fn named(&self, tickets: &[&OpenTicket]) -> Vec<NamedArticle> {
        let counts = counted(tickets.iter().flat_map(|ticket| ticket.named.iter().map(String::as_str)));
        let mut named: Vec<NamedArticle> = counts
            .into_iter()
            .map(|(id, tickets)| NamedArticle {
                id: id.to_owned(),
                title: self.articles.title(id).to_owned(),
                standing: self.articles.standing(id).unwrap_or(Standing::Missing),
                tickets,
            })
            .collect();
        named.sort_by_key(|named| Reverse(named.tickets));
        named.truncate(GapCluster::MAX_NAMED);
        named
    }
}

/// Groups of the tickets that name the same article; where one names several, it goes with the most frequent.
fn by_named_article(open: &[OpenTicket]) -> Vec<Vec<usize>> {
    let counts: HashMap<&str, u64> =
        counted(open.iter().flat_map(|ticket| ticket.named.iter().map(String::as_str))).into_iter().collect();
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, ticket) in open.iter().enumerate() {
        let most =
            ticket.named.iter().max_by(|a, b| counts[a.as_str()].cmp(&counts[b.as_str()]).then_with(|| b.cmp(a)));
        if let Some(article) = most {
            groups.entry(article).or_default().push(place);
        }
    }
    groups.into_values().filter(|tickets| tickets.len() >= MIN_TICKETS).collect()
}

/// Places that are in none of the groups, in order.
fn free_places<'a>(open: &[OpenTicket], groups: impl IntoIterator<Item = &'a Vec<usize>>) -> Vec<usize> {
    let mut is_taken = vec![false; open.len()];
    groups.into_iter().flatten().for_each(|place| is_taken[*place] = true);
    (0..open.len()).filter(|place| !is_taken[*place]).collect()
}

/// The group whose tickets are as like to those of the cluster as these are to one another; the likest of several.
fn alike(groups: &[Group], cluster: &Group) -> Option<usize> {
    let likeness = |group: &Group| {
        let pairs = as_float(group.tickets.len() * cluster.tickets.len());
        group.sum.likeness(&cluster.sum) / pairs
    };
    let likest =
        groups.iter().map(likeness).enumerate().max_by(|(a, one), (b, other)| one.total_cmp(other).then(b.cmp(a)));
    likest.filter(|(_, likeness)| *likeness >= cluster.likeness).map(|(place, _)| place)
}

fn typical_labels(tickets: &[&OpenTicket]) -> Vec<TypicalLabel> {
    let typical = |(place, field): (usize, &str)| {
        let values = || tickets.iter().filter_map(|ticket| ticket.labels[place].as_deref());
        let (value, tickets) = most_frequent(values())?;
        let labelled = values().count() as u64;
        Some(TypicalLabel { field: field.to_owned(), value: value.to_owned(), tickets, labelled })
    };
    LABELS.into_iter().enumerate().filter_map(typical).collect()
}

fn counted<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts
}

/// Of equally frequent ones the first in the alphabet.
fn most_frequent<'a>(values: impl Iterator<Item = &'a str>) -> Option<(&'a str, u64)> {
    counted(values).into_iter().max_by(|(a, a_count), (b, b_count)| a_count.cmp(b_count).then_with(|| b.cmp(a)))
}

#[cfg(test)]
mod tests;
