use std::collections::BTreeSet;

use super::*;
use crate::{
    domain::article::{Article, ArticleStatus},
    encode::Redactor,
    store::Store,
};

const TODAY: &str = "2026-06-15";

/// Tickets about four things, by the number of the thing; what nobody else says tells them apart.
const TEXTS: [[&str; 4]; 4] = [
    [
        "Badge reader at the north gate is dead",
        "The gate's badge reader blinks red",
        "Badge reader again, gate stays shut",
        "North gate does not open, badge reader beeps",
    ],
    [
        "Scanner sends blank pages",
        "Blank pages from the scanner on floor two",
        "All pages that the scanner sends are blank",
        "The scanner makes blank pages since noon",
    ],
    [
        "VPN fails with error 809 at home",
        "Error 809 when VPN connects",
        "VPN error 809 in the hotel",
        "My VPN shows error 809",
    ],
    ["Standing desk does not rise", "Desk motor hums, standing desk stuck", "Standing desk stuck at the bottom", "x"],
];

fn day(raw: &str) -> Day {
    Day::parse(raw).unwrap()
}

fn ticket(thing: usize, number: usize) -> ConfirmedTicket {
    ConfirmedTicket {
        id: format!("{thing}-{number}"),
        summary: TEXTS[thing][number].into(),
        ..ConfirmedTicket::default()
    }
}

fn solved(thing: usize, number: usize, article: &str) -> ConfirmedTicket {
    ConfirmedTicket { articles: BTreeSet::from([article.to_owned()]), ..ticket(thing, number) }
}

fn article(id: &str, title: &str, status: ArticleStatus) -> Article {
    Article { id: id.into(), title: title.into(), body: format!("{title}. What to do."), status, ..Article::default() }
}

fn all_of(thing: usize) -> Vec<ConfirmedTicket> {
    (0..4).map(|number| ticket(thing, number)).collect()
}

struct Desk {
    _folder: tempfile::TempDir,
    suggester: Suggester,
    feedback: Feedback,
}

impl Desk {
    fn new(articles: &[Article], tickets: &[ConfirmedTicket]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let knowledge = KnowledgeBase::open(store.clone(), folder.path(), None).unwrap();
        knowledge.upsert(articles).unwrap();
        let memory = Memory::open(store.clone(), folder.path(), Redactor::default(), None).unwrap();
        memory.upsert(tickets).unwrap();
        let feedback = Feedback::open(store, memory.clone()).unwrap();
        let suggester = Suggester::new(knowledge, Some(memory), Redactor::default()).unwrap();
        Self { _folder: folder, suggester, feedback }
    }

    fn report_since(&self, since: &str, top: usize, tickets: usize) -> GapReport {
        let query = GapQuery { since: day(since), top, tickets };
        let mut search = GapSearch::begin(&self.suggester, self.feedback.clone(), query, day(TODAY)).unwrap();
        while search.step().unwrap() {}
        search.finish(Versions::default()).unwrap().0
    }

    fn report(&self) -> GapReport {
        self.report_since("2026-01-01", 20, GapQuery::MAX_TICKETS)
    }
}

fn things(report: &GapReport) -> Vec<BTreeSet<&str>> {
    report.clusters.iter().map(|cluster| cluster.ticket_ids.iter().map(String::as_str).collect()).collect()
}

#[test]
fn what_no_article_answers_stands_in_clusters_and_what_one_answers_does_not() {
    let vpn = article("KB809", "VPN error 809", ArticleStatus::Published);
    let tickets = [all_of(0), all_of(1)[..3].to_vec(), all_of(2)].concat();
    let report = Desk::new(&[vpn], &tickets).report();
    let expected = [["0-0", "0-1", "0-2", "0-3"].as_slice(), &["1-0", "1-1", "1-2"]];
    assert_eq!(things(&report), expected.map(|ids| ids.iter().copied().collect::<BTreeSet<_>>()));
    let LookedAt { looked_at, undated, unanswered, clustered, is_cut } = report.tickets;
    assert_eq!((looked_at, undated, unanswered, clustered, is_cut), (11, 11, 7, 7, false));
    let terms = report.clusters.iter().map(|cluster| cluster.terms[0].to_lowercase()).collect::<Vec<_>>();
    assert_eq!(terms, ["badge reader", "blank pages"]);
    assert!(report.clusters.iter().all(|cluster| cluster.nearest.is_none() && cluster.first_seen.is_none()));
    assert_eq!(report.clusters[0].examples.len(), GapCluster::MAX_EXAMPLES);
}

#[test]
fn what_the_desk_linked_counts_before_the_text() {
    let articles = [
        article("KB809", "VPN error 809", ArticleStatus::Published),
        article("KB-OLD", "Blank pages from the scanner", ArticleStatus::Retired),
        article("KB-DOOR", "Doors", ArticleStatus::Published),
    ];
    let tickets = [
        // An article in force solved them, whatever it says.
        (0..4).map(|number| solved(0, number, "KB-DOOR")).collect(),
        // A retired one did.
        (0..4).map(|number| solved(1, number, "KB-OLD")).collect(),
        // One that is not there did, though another would fit.
        (0..3).map(|number| solved(2, number, "KB-GONE")).collect::<Vec<_>>(),
    ];
    let report = Desk::new(&articles, &tickets.concat()).report();
    let named: Vec<_> = report.clusters.iter().flat_map(|cluster| &cluster.named).collect();
    let named: Vec<_> = named.iter().map(|one| (one.id.as_str(), one.standing, one.tickets)).collect();
    assert_eq!(named, [("KB-OLD", Standing::Retired, 4), ("KB-GONE", Standing::Missing, 3)]);
    assert_eq!(report.clusters[0].named[0].title, "Blank pages from the scanner");
    let nearest = report.clusters[1].nearest.as_ref().unwrap();
    assert_eq!((nearest.id.as_str(), nearest.title.as_str(), nearest.tickets), ("KB809", "VPN error 809", 3));
}

#[test]
fn a_cluster_joins_the_tickets_that_name_a_missing_article_where_they_are_alike() {
    let tickets = [0, 1, 2, 3].map(|number| [solved(0, number, "KB-GONE"), ticket(1, number)]).concat();
    let like = |number: usize| ConfirmedTicket { id: format!("like-{number}"), ..ticket(0, number) };
    let tickets = [tickets, vec![like(0), like(1), like(2)]].concat();
    let report = Desk::new(&[], &tickets).report();
    let sizes: Vec<_> = report.clusters.iter().map(|cluster| (cluster.tickets, cluster.named.len())).collect();
    assert_eq!(sizes, [(7, 1), (4, 0)]);
    assert_eq!(report.clusters[0].named[0].tickets, 4);
}

#[test]
fn days_and_labels_are_those_of_the_tickets() {
    let labelled = |number: usize, category: &str, resolved_on: &str| ConfirmedTicket {
        labels: [(CATEGORY.to_owned(), category.to_owned()), ("other".to_owned(), "x".to_owned())].into(),
        resolved_on: Day::parse(resolved_on),
        ..ticket(0, number)
    };
    let tickets = [
        labelled(0, "access/badge", "2026-05-02"),
        labelled(1, "access/badge", "2026-06-11"),
        labelled(2, "access/door", "2025-12-31"),
        ticket(0, 3),
    ];
    let desk = Desk::new(&[], &tickets);
    let report = desk.report();
    let cluster = &report.clusters[0];
    assert_eq!((report.tickets.looked_at, report.tickets.undated, cluster.tickets), (3, 1, 3));
    assert_eq!((cluster.first_seen, cluster.last_seen), (Day::parse("2026-05-02"), Day::parse("2026-06-11")));
    let labels: Vec<_> =
        cluster.labels.iter().map(|one| (&*one.field, &*one.value, one.tickets, one.labelled)).collect();
    assert_eq!(labels, [(CATEGORY, "access/badge", 2, 2)]);
    let all = desk.report_since("0001-01-01", 20, GapQuery::MAX_TICKETS);
    assert_eq!((all.tickets.looked_at, all.clusters[0].first_seen), (4, Day::parse("2025-12-31")));
}

#[test]
fn the_report_is_bounded_and_says_so() {
    let desk = Desk::new(&[], &[all_of(0), all_of(1), all_of(2), all_of(3)[..3].to_vec()].concat());
    let report = desk.report_since("2026-01-01", 1, 14);
    // The last changes count.
    assert_eq!((report.tickets.looked_at, report.tickets.is_cut), (14, true));
    assert_eq!((report.clusters.len(), report.clusters_total), (1, 4));
    assert!(!desk.report_since("2026-01-01", 1, 15).tickets.is_cut);
}

#[test]
fn the_way_to_a_memory_does_not_matter() {
    let tickets = [all_of(0), all_of(1), all_of(2)].concat();
    let backward: Vec<_> = tickets.iter().rev().cloned().collect();
    assert_eq!(Desk::new(&[], &tickets).report(), Desk::new(&[], &backward).report());
}

#[test]
fn nothing_there_is_nothing_found() {
    let report = Desk::new(&[], &[]).report();
    assert_eq!(report.tickets, LookedAt::default());
    assert!(report.clusters.is_empty());
    assert_eq!(report.articles, ArticleFindings::default());
    let report = Desk::new(&[article("KB1", "VPN error 809", ArticleStatus::Published)], &[]).report();
    assert_eq!((report.articles.articles, report.articles.never_suggested.total), (1, 1));
}

#[test]
fn a_search_ends_only_at_its_end() {
    let desk = Desk::new(&[], &all_of(0));
    let query = GapQuery { since: day("2026-01-01"), top: 1, tickets: 1 };
    let mut search = GapSearch::begin(&desk.suggester, desk.feedback.clone(), query, day(TODAY)).unwrap();
    assert!(search.step().unwrap());
    assert!(matches!(search.finish(Versions::default()), Err(TriageError::Internal(_))));
}
