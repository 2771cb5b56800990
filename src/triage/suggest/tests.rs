//! Suggestions from a small desk, its knowledge base and its memory.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        article::{Article, ArticleStatus},
        known_error::{KnownError, Section},
        suggestion::ReasonKind,
        ticket::{TicketDraft, TicketLimits},
    },
    store::Store,
};

struct Desk {
    folder: tempfile::TempDir,
    knowledge: KnowledgeBase,
    memory: Memory,
    suggester: Suggester,
}

impl Desk {
    fn new(articles: &[Article], tickets: &[ConfirmedTicket]) -> Self {
        let desk = Self::open(tempfile::tempdir().unwrap());
        desk.knowledge.upsert(articles).unwrap();
        desk.memory.upsert(tickets).unwrap();
        desk
    }

    fn open(folder: tempfile::TempDir) -> Self {
        let store = Store::open(folder.path()).unwrap();
        let knowledge = KnowledgeBase::open(store.clone(), folder.path(), None).unwrap();
        let memory = Memory::open(store, folder.path(), Redactor::default(), None).unwrap();
        let suggester = Suggester::new(knowledge.clone(), Some(memory.clone()), Redactor::default()).unwrap();
        Self { folder, knowledge, memory, suggester }
    }

    fn reopened(self) -> Self {
        let Self { folder, knowledge, memory, suggester } = self;
        drop((knowledge, memory, suggester));
        Self::open(folder)
    }

    fn suggest(&self, draft: TicketDraft) -> Vec<ArticleHit> {
        let ticket = draft.parse("", &TicketLimits::default()).unwrap();
        self.suggester.suggest(&ticket, today(), 10, || Ok(false)).unwrap().articles
    }

    fn ids(&self, summary: &str) -> Vec<String> {
        self.suggest(draft(summary)).into_iter().map(|hit| hit.id).collect()
    }

    fn learn(&self) {
        let mut learning = self.suggester.learning(today()).unwrap();
        while learning.step().unwrap() {}
        learning.finish().unwrap();
    }
}

fn today() -> Day {
    Day::parse("2026-06-15").unwrap()
}

fn draft(summary: &str) -> TicketDraft {
    TicketDraft { summary: summary.into(), ..TicketDraft::default() }
}

fn article(id: &str, title: &str, body: &str) -> Article {
    Article { id: id.into(), title: title.into(), body: body.into(), ..Article::default() }
}

fn solved(id: &str, summary: &str, articles: &[&str]) -> ConfirmedTicket {
    let articles = articles.iter().map(ToString::to_string).collect();
    ConfirmedTicket { id: id.into(), summary: summary.into(), articles, ..ConfirmedTicket::default() }
}

fn refused(id: &str, summary: &str, article: &str) -> ConfirmedTicket {
    ConfirmedTicket { refused: BTreeSet::from([article.to_owned()]), ..solved(id, summary, &[]) }
}

fn articles() -> Vec<Article> {
    vec![
        article("KB1", "Clean the rollers", "Open the tray and wipe the rubber."),
        article("KB2", "Printer out of toner", "Order a cartridge for the printer."),
        article("KB3", "VPN fails with error 809", "Open the ports on the firewall."),
        article("KB4", "Reset a password", "Use the portal."),
    ]
}

fn tickets() -> Vec<ConfirmedTicket> {
    vec![
        solved("INC1", "The printer on floor two has a paper jam", &["KB1"]),
        solved("INC2", "Paper jam again in the printer", &["KB1"]),
        solved("INC3", "Paper stuck, printer jams", &["KB1"]),
        solved("INC4", "vpn 809 at home", &["KB3"]),
        solved("INC5", "forgot my password", &["KB4", "GONE"]),
    ]
}

fn named(reasons: &[Reason], kind: ReasonKind) -> Vec<String> {
    reasons.iter().filter(|reason| reason.kind == kind).flat_map(|reason| reason.values.clone()).collect()
}

#[test]
fn what_solved_such_tickets_comes_before_what_shares_words() {
    let without_memory = Desk::new(&articles(), &[]);
    assert_eq!(without_memory.ids("paper jam in my printer")[0], "KB2");
    let few = Desk::new(&articles(), &tickets()).suggest(draft("paper jam in my printer"));
    assert!(few.iter().any(|hit| hit.id == "KB1" && hit.reasons[0].text == "solved 3 similar tickets"));
    assert_eq!(few[0].chance, None, "five links tell no chance");
    let many =
        (0..200).map(|number| solved(&number.to_string(), &format!("printer has a paper jam {number}"), &["KB1"]));
    let found = Desk::new(&articles(), &many.collect::<Vec<_>>()).suggest(draft("paper jam in my printer"));
    assert_eq!((found[0].id.as_str(), found[0].reasons[0].text.as_str()), ("KB1", "solved 60 similar tickets"));
    let of_second = found.iter().find(|hit| hit.id == "KB2").unwrap();
    assert_eq!(named(&of_second.reasons, ReasonKind::SharedWords), ["printer"]);
    assert!(found.iter().all(|hit| hit.score > 0.0 && hit.score < 1.0 && !hit.reasons.is_empty()));
}

#[test]
fn reasons_are_true() {
    let desk = Desk::new(&articles(), &tickets());
    for text in ["paper jam in my printer", "vpn error 809", "password forgotten", "toner"] {
        for hit in desk.suggest(draft(text)) {
            for id in named(&hit.reasons, ReasonKind::SolvedSimilar) {
                assert!(desk.memory.get(&id).unwrap().unwrap().articles.contains(&hit.id), "{id} {}", hit.id);
            }
            let article = desk.knowledge.get(&hit.id).unwrap().unwrap();
            let held = format!("{} {}", article.title, article.body).to_lowercase();
            for word in named(&hit.reasons, ReasonKind::SharedWords) {
                assert!(text.contains(&word) && held.contains(&word), "{word} {}", hit.id);
            }
        }
    }
}

#[test]
fn what_is_retired_expired_or_a_draft_is_not_suggested_whatever_it_solved() {
    let yesterday = Day::parse("2026-06-14");
    for spoilt in [
        Article { status: ArticleStatus::Retired, ..articles().remove(0) },
        Article { status: ArticleStatus::Draft, ..articles().remove(0) },
        Article { valid_until: yesterday, ..articles().remove(0) },
    ] {
        let desk = Desk::new(&[&articles()[1..], &[spoilt]].concat(), &tickets());
        let found = desk.ids("paper jam in my printer");
        assert!(!found.contains(&"KB1".to_owned()) && !found.is_empty(), "{found:?}");
        desk.knowledge.delete("KB1", false).unwrap();
        assert!(!desk.ids("paper jam in my printer").contains(&"KB1".to_owned()));
    }
}

#[test]
fn a_refusal_speaks_against_an_article() {
    let desk = Desk::new(&articles(), &tickets());
    let share =
        |desk: &Desk| desk.suggest(draft("vpn 809 at home")).iter().find(|hit| hit.id == "KB3").map(|hit| hit.score);
    let before = share(&desk).unwrap();
    desk.memory.upsert(&[refused("INC6", "vpn 809 in the hotel", "KB3")]).unwrap();
    assert!(share(&desk).unwrap() < before);
    // It takes away votes and no more.
    let many: Vec<_> = (0..9).map(|number| refused(&format!("R{number}"), "vpn 809 at home", "KB3")).collect();
    desk.memory.upsert(&many).unwrap();
    let found = desk.suggest(draft("vpn 809 at home"));
    assert_eq!(found[0].id, "KB3", "the words still speak for it");
}

#[test]
fn product_category_and_kind_settle_what_words_leave_open() {
    let about = |id: &str, product: &str| Article {
        products: vec![product.into()],
        ..article(id, "Crash at start", "Update it.")
    };
    let of = |id: &str, category: &str| Article {
        category: Some(category.into()),
        ..article(id, "Crash at start", "Update it.")
    };
    let products = Desk::new(&[about("A", "Outlook"), about("B", "SAP GUI")], &[]);
    let asked = TicketDraft { service: "sap gui ".into(), ..draft("crash at start") };
    let found = products.suggest(asked);
    assert_eq!((found[0].id.as_str(), found[1].id.as_str()), ("B", "A"));
    assert_eq!(named(&found[0].reasons, ReasonKind::SameProduct), ["sap gui "]);
    assert!(named(&found[1].reasons, ReasonKind::SameProduct).is_empty());
    // A name that no article bears speaks for none.
    let unknown = TicketDraft { configuration_item: "SRV-0815".into(), ..draft("crash at start") };
    assert_eq!(
        products.suggest(unknown)[0].score.to_bits(),
        products.suggest(draft("crash at start"))[0].score.to_bits()
    );

    let categories = Desk::new(&[of("A", "software/mail"), of("B", "software/erp")], &[]);
    let asked =
        TicketDraft { field_values: [("category".into(), "software/erp".into())].into(), ..draft("crash at start") };
    assert_eq!(categories.suggest(asked)[0].id, "B");

    let known_error = Article { kind: ArticleKind::KnownError, ..article("B", "Crash at start", "Update it.") };
    let kinds = Desk::new(&[article("A", "Crash at start", "Update it."), known_error], &[]);
    assert_eq!(kinds.ids("crash at start"), ["A", "B"]);
    let incident = TicketDraft { field_values: [("type".into(), "incident".into())].into(), ..draft("crash at start") };
    let found = kinds.suggest(incident);
    assert_eq!(found[0].id, "B");
    assert_eq!(found[0].reasons.last().map(|reason| reason.kind), Some(ReasonKind::KnownError));
}

#[test]
fn an_incident_is_shown_what_helps_first() {
    let known = |id: &str, known_error: KnownError| Article {
        kind: ArticleKind::KnownError,
        known_error: KnownError { symptoms: "Outlook crashes at start.".into(), ..known_error },
        ..article(id, "Outlook crashes", "")
    };
    let text = |text: &str| text.to_owned();
    let desk = Desk::new(
        &[
            known(
                "both",
                KnownError { workaround: text("1. Start it."), fix: text("Update."), ..KnownError::default() },
            ),
            known("fix", KnownError { fix: text("Update it."), ..KnownError::default() }),
            known("neither", KnownError { cause: text("An add-in."), ..KnownError::default() }),
            article("how", "Outlook crashes", "Outlook crashes at start: update."),
        ],
        &[],
    );
    let shown = |field: &str, decided: bool| {
        let mut draft = draft("outlook crashes at start");
        draft.field_values.insert("type".into(), field.into());
        let ticket = draft.parse("", &TicketLimits::default()).unwrap();
        let found = desk.suggester.suggest(&ticket, today(), 10, || Ok(decided)).unwrap().articles;
        let mut passages: Vec<_> =
            found.into_iter().map(|hit| (hit.id, hit.passage.section, hit.passage.text)).collect();
        passages.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        passages
    };
    let of_incident = shown("incident", false);
    let sections: Vec<_> =
        of_incident.iter().map(|(id, section, text)| (id.as_str(), *section, text.as_str())).collect();
    assert_eq!(
        sections,
        [
            ("both", Some(Section::Workaround), "Start it."),
            ("fix", Some(Section::Fix), "Update it."),
            ("how", None, "Outlook crashes at start: update."),
            ("neither", None, "Outlook crashes at start. An add-in."),
        ]
    );
    assert_eq!(shown("", true), of_incident, "also where the decision says so");
    for (_, section, text) in [shown("question", false), shown("", false)].concat() {
        assert_eq!(section, None);
        assert!(text.starts_with("Outlook crashes at start"), "{text}");
    }
}

#[test]
fn what_a_known_error_affects_counts_as_a_product() {
    let about = |id: &str, affected: &str| Article {
        kind: ArticleKind::KnownError,
        known_error: KnownError { affected: vec![affected.into()], ..KnownError::default() },
        ..article(id, "Crash at start", "Update it.")
    };
    let desk = Desk::new(&[about("A", "Mail"), about("B", "SRV-07")], &[]);
    let found = desk.suggest(TicketDraft { configuration_item: "srv-07".into(), ..draft("crash at start") });
    assert_eq!((found[0].id.as_str(), found[1].id.as_str()), ("B", "A"));
    assert_eq!(named(&found[0].reasons, ReasonKind::SameProduct), ["srv-07"]);
    assert!(found[0].products.is_empty());
}

#[test]
fn a_ticket_of_the_memory_does_not_speak_for_itself() {
    let desk = Desk::new(&articles(), &tickets());
    let asked = |id: &str| TicketDraft { id: id.into(), ..draft("vpn 809 at home") };
    let own = desk.suggest(asked("INC4"));
    desk.memory.delete(&["INC4".to_owned()]).unwrap();
    assert_eq!(own, desk.suggest(asked("INC4")));
    assert_eq!(own, desk.suggest(asked("")));
}

/// A desk with `count` tickets, each solved by the article of its topic.
fn large_desk(count: usize) -> Desk {
    let topics = ["printer", "vpn", "password", "outlook", "sap", "screen", "phone", "disk", "teams", "scanner"];
    let complaints = ["broken", "slow", "gone", "stuck", "late", "hot"];
    let articles: Vec<_> =
        topics.map(|topic| article(topic, &format!("Repair {topic}"), &format!("About the {topic}."))).into();
    let ticket = |number: usize| {
        let topic = topics[number * 7 % topics.len()];
        // One in five names another topic too, so that words alone are not always right.
        let other = if number.is_multiple_of(5) { topics[number * 3 % topics.len()] } else { "" };
        let complaint = complaints[number % complaints.len()];
        solved(&format!("INC{number}"), &format!("my {topic} {complaint} {other} case{number}"), &[topic])
    };
    Desk::new(&articles, &(0..count).map(ticket).collect::<Vec<_>>())
}

#[test]
fn what_is_learned_does_not_depend_on_the_way_and_survives_a_start() {
    let desk = large_desk(120);
    let before = desk.suggest(draft("vpn broken"));
    assert!(before.iter().all(|hit| hit.chance.is_none()));
    desk.learn();
    assert!(desk.suggester.learning(today()).is_none(), "nothing changed since");
    assert!(desk.suggester.learning_when_due(today()).is_none());
    let learned = desk.suggest(draft("vpn broken"));
    assert_eq!(learned[0].id, "vpn");
    let chances: Vec<f32> = learned.iter().map(|hit| hit.chance.unwrap()).collect();
    assert!(chances[0] > 0.5 && chances.is_sorted_by(|a, b| a >= b), "{chances:?}");

    // The same tickets, learned from half-way too and in another order.
    let other = large_desk(60);
    other.learn();
    let rest: Vec<_> =
        (0..120).rev().map(|number| desk.memory.get(&format!("INC{number}")).unwrap().unwrap()).collect();
    for some in rest.chunks(7) {
        other.memory.upsert(some).unwrap();
    }
    assert!(other.suggester.learning_when_due(today()).is_some(), "links doubled");
    other.learn();
    assert_eq!(other.suggest(draft("vpn broken")), learned);
    assert_eq!(desk.reopened().suggest(draft("vpn broken")), learned);
}

#[test]
fn a_memory_that_lost_its_links_gives_no_chance() {
    let desk = large_desk(120);
    desk.learn();
    let ids: Vec<_> = (0..100).map(|number| format!("INC{number}")).collect();
    desk.memory.delete(&ids).unwrap();
    assert!(desk.suggest(draft("vpn broken")).iter().all(|hit| hit.chance.is_none()));
    assert!(desk.suggester.learning_when_due(today()).is_some());
}

#[test]
fn any_text_is_answered() {
    let desk = Desk::new(&articles(), &tickets());
    let long = "printer 0x80070005 ".repeat(3_000);
    for text in [&long, "\0", "ß\u{301}'", "......", "-", "\u{feff}a\u{202e}b", "日本語"] {
        desk.suggest(TicketDraft { description: text.to_owned(), ..draft("x") });
    }
    let empty = Desk::new(&[], &[]);
    assert!(empty.ids("printer").is_empty());
    let only_memory = Desk::new(&[], &tickets());
    assert!(only_memory.ids("printer jam").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]
    #[test]
    fn the_way_to_a_memory_does_not_matter(
        texts in proptest::collection::vec("((printer|paper|jam|toner|vpn|809|password|home) ){1,6}", 1..9),
        cut in 0_usize..9,
    ) {
        let tickets: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(number, text)| match number % 4 {
                3 => refused(&number.to_string(), text, "KB1"),
                kind => solved(&number.to_string(), text, &[["KB1", "KB3"], ["KB2", "KB3"], ["KB4", "KB1"]][kind][..=number % 2]),
            })
            .collect();
        let at_once = Desk::new(&articles(), &tickets);
        let turned = Desk::new(&articles(), &[solved("extra", "printer jam", &["KB2"]), solved("0", "vpn", &["KB4"])]);
        let (first, second) = tickets.split_at(cut.min(tickets.len()));
        turned.memory.upsert(second).unwrap();
        turned.memory.delete(&["extra".to_owned(), "0".to_owned()]).unwrap();
        turned.memory.upsert(first).unwrap();
        if second.iter().any(|ticket| ticket.id == "0") {
            turned.memory.upsert(&tickets[..1]).unwrap();
        }
        for text in ["printer paper jam", "vpn 809 from home", "toner password"] {
            prop_assert_eq!(at_once.suggest(draft(text)), turned.suggest(draft(text)));
        }
        // Asked as itself, a ticket is as if it were not there.
        let own = |desk: &Desk| desk.suggest(TicketDraft { id: "0".into(), ..draft(&texts[0]) });
        let left_out = own(&at_once);
        at_once.memory.delete(&["0".to_owned()]).unwrap();
        prop_assert_eq!(left_out, own(&at_once));
    }
}
