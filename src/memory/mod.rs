//! The memory: confirmed tickets kept in the store, found again by what they have in common with another text.
//! It decides what of a ticket is kept and which tickets are alike; what follows from that, for articles or labels, is
//! decided above. Calls block and use the CPU; callers run them on the compute pool.

mod bag;
mod columns;
mod day;
mod experience;
mod labels;
mod neighbours;
mod prepare;
mod schema;
mod sentences;
mod similar;
mod snapshot;
mod unknown;
mod votes;

use std::{path::Path, sync::Arc};

use tantivy::Term;

pub use self::columns::TicketColumns;
#[cfg(test)]
pub(crate) use self::labels::Said;
pub(crate) use self::labels::{LabelVotes, Witness};
pub(crate) use self::prepare::prepared_within;
pub(crate) use self::similar::summary;
pub use self::unknown::UnknownArticles;
pub(crate) use self::votes::{Copies, Experienced};
use self::{prepare::prepared, schema::Fields, snapshot::Snapshot};
use crate::{
    domain::{
        article::Day,
        memory::{ConfirmedTicket, LinkCounts, Neighbour},
    },
    encode::{PlainText, Redactor},
    knowledge::{Encoding, IndexError, IndexState, index::DerivedIndex},
    store::{ImportCounts, MemoryPage, Store},
};

type MemoryIndex = DerivedIndex<Fields>;

/// Where the index lies within the data directory.
pub(crate) const INDEX_FOLDER: &str = "index/memory";

/// As [`crate::knowledge::look_at_index`], for confirmed tickets.
pub(crate) fn look_at_index(directory: &Path, database: &str, last: u64, encoder: Option<&str>) -> IndexState {
    MemoryIndex::look(&directory.join(INDEX_FOLDER), database, last, encoder)
}

/// A cheap handle on the confirmed tickets and their index.
#[derive(Debug, Clone)]
pub struct Memory {
    store: Store,
    index: Arc<MemoryIndex>,
    redactor: Redactor,
}

impl Memory {
    /// Opens the index in the data directory and brings it up to date; builds it anew where it is missing, damaged or
    /// not of this database. Takes some seconds for hundreds of thousands of tickets then. What `redactor` finds in
    /// the text of a ticket is never kept. With `encoding`, tickets that articles solved get the vectors of a sentence
    /// encoder; that takes some milliseconds a ticket.
    pub fn open(
        store: Store,
        data_directory: &Path,
        redactor: Redactor,
        encoding: Option<Encoding>,
    ) -> Result<Self, IndexError> {
        let index = MemoryIndex::open(&store, &data_directory.join(INDEX_FOLDER), encoding)?;
        Ok(Self { store, index: Arc::new(index), redactor })
    }

    /// Adds or replaces tickets by id. They are durable and can be found when it returns; on an error nothing of them
    /// is stored, or all of them are and the next call or start makes them findable. Their text is kept as prepared.
    ///
    /// The caller has checked [`ConfirmedTicket::violations`].
    pub fn upsert(&self, tickets: &[ConfirmedTicket]) -> Result<ImportCounts, IndexError> {
        let counts = self.stage(tickets)?;
        self.publish()?;
        Ok(counts)
    }

    /// What [`Self::upsert`] would do; stores nothing.
    pub fn plan(&self, tickets: &[ConfirmedTicket]) -> Result<ImportCounts, IndexError> {
        Ok(self.store.plan_memory_tickets(&self.prepared(tickets))?)
    }

    /// Stores tickets that [`Self::publish`] makes findable: for many at a time.
    pub fn stage(&self, tickets: &[ConfirmedTicket]) -> Result<ImportCounts, IndexError> {
        Ok(self.store.upsert_memory_tickets(&self.prepared(tickets))?)
    }

    /// What is taken out of every text that is kept.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Makes everything stored findable.
    pub fn publish(&self) -> Result<(), IndexError> {
        self.index.catch_up(&self.store).map(|_| ())
    }

    /// As [`Self::publish`], where tickets may be gone: nothing of their text is left in the files of the index.
    pub(crate) fn publish_purged(&self) -> Result<(), IndexError> {
        self.index.purge(&self.store).map(|_| ())
    }

    /// Deletes tickets; those of the ids that there was no ticket of. The others can no longer be found when this
    /// returns, and nothing of their text is left in the files of database and index, but for those that a search
    /// which is still going on reads: these go with the next change. With hundreds of thousands of tickets it takes a
    /// second or more.
    pub fn delete(&self, ids: &[String]) -> Result<Vec<String>, IndexError> {
        let unknown = self.store.delete_memory_tickets(ids)?;
        self.index.purge(&self.store)?;
        Ok(unknown)
    }

    pub fn get(&self, id: &str) -> Result<Option<ConfirmedTicket>, IndexError> {
        Ok(self.store.memory_ticket(id)?)
    }

    /// At most `limit` tickets in the order of their ids, behind the id `after`.
    pub fn list(&self, after: Option<&str>, limit: usize) -> Result<MemoryPage, IndexError> {
        Ok(self.store.list_memory_tickets(after, limit)?)
    }

    /// Tickets, the latest change first, each with the change that wrote it: those before `before` that were not resolved
    /// before `since`, at most `limit`, and fewer where they are long, but one where there is one.
    pub fn recent(
        &self,
        before: Option<u64>,
        since: Day,
        limit: usize,
    ) -> Result<Vec<(ConfirmedTicket, u64)>, IndexError> {
        Ok(self.store.recent_memory_tickets(before, since, limit)?)
    }

    /// What can be found now; it stays as it is while it is held.
    pub fn view(&self) -> MemoryView<'_> {
        MemoryView { memory: self, snapshot: self.index.snapshot() }
    }

    /// What was learned from links and kept last; `None` before the first time.
    pub(crate) fn learned(&self) -> Result<Option<String>, IndexError> {
        Ok(self.store.learned()?)
    }

    /// Keeps what was learned from links in place of what was kept before.
    pub(crate) fn keep_learned(&self, content: &str) -> Result<(), IndexError> {
        Ok(self.store.keep_learned(content)?)
    }

    /// The change that everything found reflects; grows with every change to a ticket.
    pub fn version(&self) -> u64 {
        self.index.snapshot().version
    }

    /// Tickets that can be found.
    pub fn count(&self) -> u64 {
        self.index.documents()
    }

    fn prepared(&self, tickets: &[ConfirmedTicket]) -> Vec<ConfirmedTicket> {
        tickets.iter().map(|ticket| prepared(ticket, &self.redactor)).collect()
    }
}

/// The memory as it stood behind one change.
pub struct MemoryView<'a> {
    memory: &'a Memory,
    snapshot: Arc<Snapshot>,
}

impl MemoryView<'_> {
    /// The change that this view reflects.
    pub fn version(&self) -> u64 {
        self.snapshot.version
    }

    /// The `limit` tickets that are most like the text of a ticket, best first. A ticket is not its own neighbour: the
    /// one with the id `leave_out` is left out, none where that is empty. The text may be of any length and as messy
    /// as it came; the cost is bounded.
    pub fn neighbours(&self, text: &str, leave_out: &str, limit: usize) -> Result<Vec<Neighbour>, IndexError> {
        if self.snapshot.tickets == 0 {
            return Ok(Vec::new());
        }
        let text = PlainText::of(text, usize::MAX, &self.memory.redactor);
        let found = neighbours::neighbours(&self.snapshot, self.memory.index.fields(), &text, leave_out, limit);
        found.map_err(|error| self.memory.index.error(error))
    }

    /// How many tickets an article solved, and for how many it was of no use.
    pub fn link_counts(&self, article: &str) -> Result<LinkCounts, IndexError> {
        let fields = self.memory.index.fields();
        let (solved, refused) =
            (Term::from_field_text(fields.articles, article), Term::from_field_text(fields.refused, article));
        let mut counts = LinkCounts::default();
        for segment in &self.snapshot.segments {
            let failed = |error| self.memory.index.error(error);
            counts.solved += segment.living_with(&segment.links.solved, &solved).map_err(failed)?;
            counts.refused += segment.living_with(&segment.links.refused, &refused).map_err(failed)?;
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::knowledge::derived::Derived as _;

    struct Desk {
        folder: tempfile::TempDir,
        memory: Memory,
    }

    impl Desk {
        fn new(tickets: &[ConfirmedTicket]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let memory =
                Memory::open(Store::open(folder.path()).unwrap(), folder.path(), Redactor::default(), None).unwrap();
            memory.upsert(tickets).unwrap();
            Self { folder, memory }
        }

        /// Closes the memory and opens it again.
        fn reopened(self) -> Self {
            let Self { folder, memory } = self;
            drop(memory);
            let memory =
                Memory::open(Store::open(folder.path()).unwrap(), folder.path(), Redactor::default(), None).unwrap();
            Self { folder, memory }
        }

        fn neighbours(&self, text: &str) -> Vec<Neighbour> {
            self.memory.view().neighbours(text, "", 10).unwrap()
        }

        fn ids(&self, text: &str) -> Vec<String> {
            self.neighbours(text).into_iter().map(|neighbour| neighbour.id).collect()
        }

        /// Whether any file of the data directory holds these bytes.
        fn holds(&self, word: &str) -> bool {
            let files = ["", "index/memory"].map(|below| fs::read_dir(self.folder.path().join(below)).unwrap());
            let files = files.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
            let mut contents = files.map(|path| fs::read(path).unwrap());
            contents.any(|bytes| bytes.windows(word.len()).any(|found| found == word.as_bytes()))
        }

        fn segment_files(&self) -> BTreeSet<String> {
            let files = fs::read_dir(self.folder.path().join(INDEX_FOLDER)).unwrap();
            let paths = files.map(|entry| entry.unwrap().path());
            let terms = paths.filter(|path| path.extension().is_some_and(|extension| extension == "term"));
            terms.map(|path| path.display().to_string()).collect()
        }

        fn segments_with(&self, term: &str) -> usize {
            let snapshot = self.memory.index.snapshot();
            let term = Term::from_field_text(self.memory.index.fields().text, term);
            snapshot.segments.iter().filter(|segment| segment.text.get_term_info(&term).unwrap().is_some()).count()
        }
    }

    fn ticket(id: &str, summary: &str) -> ConfirmedTicket {
        ConfirmedTicket { id: id.into(), summary: summary.into(), ..ConfirmedTicket::default() }
    }

    fn solved(id: &str, summary: &str, articles: &[&str]) -> ConfirmedTicket {
        let articles = articles.iter().map(ToString::to_string).collect();
        ConfirmedTicket { articles, ..ticket(id, summary) }
    }

    fn desk() -> Desk {
        Desk::new(&[
            solved("jam", "The printer on floor two has a paper jam", &["KB2", "KB1"]),
            ticket("toner", "Printer out of toner, please send paper too"),
            ticket("vpn", "VPN drops with error 809 after sleep"),
            ticket("mail", "Outlook asks for the password again and again"),
        ])
    }

    #[test]
    fn the_most_alike_come_first_with_what_they_share() {
        let desk = desk();
        let text = "<p>Paper jam in the <b>printer</b> of floor three</p>";
        let found = desk.neighbours(text);
        assert_eq!(found.iter().map(|neighbour| neighbour.id.as_str()).collect::<Vec<_>>(), ["jam", "toner"]);
        assert_eq!(found[0].articles, ["KB1", "KB2"]);
        let shared: Vec<_> = found[0].shared.iter().map(|shared| &text[shared.bytes.clone()]).collect();
        assert_eq!(shared, ["Paper jam", "printer</b> of floor"]);
        let parts: f32 = found[0].shared.iter().map(|shared| shared.weight).sum();
        assert!((parts - found[0].similarity).abs() < 1e-5 && found[0].similarity < 0.9);
        assert!(desk.neighbours("keyboard broken").is_empty());
        assert!(desk.neighbours("").is_empty());
    }

    #[test]
    fn the_same_text_is_as_alike_as_can_be_and_no_ticket_its_own_neighbour() {
        let desk = desk();
        let text = "VPN drops with error 809 after sleep";
        let found = desk.neighbours(text);
        assert_eq!(found[0].id, "vpn");
        assert!((found[0].similarity - 1.0).abs() < 1e-5);
        assert!(desk.memory.view().neighbours(text, "vpn", 10).unwrap().is_empty());
        desk.memory.upsert(&[ticket("vpn 2", text)]).unwrap();
        assert_eq!(desk.memory.view().neighbours(text, "vpn", 10).unwrap()[0].id, "vpn 2");
    }

    #[test]
    fn what_was_changed_is_found_at_once_and_what_was_deleted_no_more() {
        let desk = desk();
        let version = desk.memory.version();
        desk.memory.upsert(&[ticket("mail", "Scanner sends blank pages")]).unwrap();
        assert_eq!((desk.ids("outlook password"), desk.ids("blank pages")), (vec![], vec!["mail".to_owned()]));
        let asked = ["mail", "nobody"].map(str::to_owned);
        assert_eq!(desk.memory.delete(&asked).unwrap(), ["nobody"]);
        assert!(desk.ids("blank pages").is_empty() && desk.memory.get("mail").unwrap().is_none());
        assert_eq!((desk.memory.version(), desk.memory.count()), (version + 2, 3));
        let desk = desk.reopened();
        assert!(desk.ids("blank pages").is_empty());
        assert_eq!((desk.memory.version(), desk.memory.count()), (version + 2, 3));
    }

    #[test]
    fn nothing_of_a_deleted_ticket_is_left_in_any_file() {
        let desk = desk();
        desk.memory.upsert(&[solved("secret", "my xylophone quetzalcoatl", &["KBQUETZALCOATL"])]).unwrap();
        assert!(desk.holds("quetzalcoatl") && desk.holds("KBQUETZALCOATL"), "the search is blind");
        assert_eq!(desk.segments_with("quetzalcoatl"), 1);
        let before = desk.segment_files();
        desk.memory.delete(&["secret".to_owned()]).unwrap();
        assert!(!desk.holds("quetzalcoatl") && !desk.holds("KBQUETZALCOATL"));
        assert_eq!(desk.segments_with("quetzalcoatl"), 0);
        let after = desk.segment_files();
        assert_eq!(before.difference(&after).count(), 1, "the segment that held it is gone: {before:?} {after:?}");
        assert_eq!(desk.ids("paper jam"), ["jam", "toner"]);
    }

    #[test]
    fn the_text_is_kept_as_it_is_read() {
        let desk = Desk::new(&[ticket("1", "<p>K&uuml;che<br>kalt</p>")]);
        assert_eq!(desk.memory.get("1").unwrap().unwrap().summary, "Küche\nkalt");
        assert_eq!(desk.memory.plan(&[ticket("1", "Küche\nkalt")]).unwrap().unchanged, 1);
    }

    #[test]
    fn a_corrected_ticket_does_not_rewrite_the_others_and_a_deleted_one_leaves_nothing() {
        let tickets: Vec<_> = (0..40).map(|number| ticket(&number.to_string(), "printer jam")).collect();
        let desk = Desk::new(&tickets);
        let before = desk.segment_files();
        desk.memory.upsert(&[ticket("7", "xylophone")]).unwrap();
        assert!(desk.segment_files().is_superset(&before));
        assert_eq!(desk.segment_files().len(), 2);
        assert_eq!((desk.ids("xylophone"), desk.memory.count()), (vec!["7".to_owned()], 40));
        desk.memory.delete(&["8".to_owned()]).unwrap();
        assert!(desk.segment_files().is_disjoint(&before));
        assert_eq!(desk.memory.view().neighbours("printer jam", "", 100).unwrap().len(), 38);
    }

    #[test]
    fn links_count_what_an_article_did() {
        let refused = ConfirmedTicket { refused: BTreeSet::from(["A".to_owned()]), ..ticket("3", "c") };
        let desk = Desk::new(&[solved("1", "a", &["A", "B"]), solved("2", "b", &["A"]), refused]);
        let counts = |article: &str| desk.memory.view().link_counts(article).unwrap();
        assert_eq!(counts("A"), LinkCounts { solved: 2, refused: 1 });
        desk.memory.upsert(&[solved("2", "b", &["B"])]).unwrap();
        assert_eq!(
            (counts("A"), counts("B")),
            (LinkCounts { solved: 1, refused: 1 }, LinkCounts { solved: 2, refused: 0 })
        );
        assert_eq!(counts("C"), LinkCounts::default());
    }

    #[test]
    fn any_text_is_answered() {
        let desk = desk();
        let long = "printer 0x80070005 ".repeat(10_000);
        for text in [&long, "\0", "\"", "ß\u{301}'", "......", "'s", "-", "\u{feff}a\u{202e}b", &"ä".repeat(40_000)] {
            desk.neighbours(text);
        }
        assert_eq!(desk.ids(&long).len(), 2);
        assert!(desk.memory.view().neighbours("printer", "", 0).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_index_or_one_of_another_schema_is_built_anew() {
        let folder_of = |desk: &Desk| desk.folder.path().join(INDEX_FOLDER);
        let spoil = |desk: &Desk, extension: &str| {
            let files = fs::read_dir(folder_of(desk)).unwrap().map(|entry| entry.unwrap().path());
            let file = files.into_iter().find(|path| path.extension().is_some_and(|found| found == extension)).unwrap();
            let mut bytes = fs::read(&file).unwrap();
            bytes[0] ^= 1;
            fs::write(file, bytes).unwrap();
        };
        let age = |desk: &Desk| {
            let meta = folder_of(desk).join("meta.json");
            let text = fs::read_to_string(&meta).unwrap();
            fs::write(&meta, text.replace(&format!("schema_version\\\":{}", Fields::VERSION), "schema_version\\\":0"))
                .unwrap();
        };
        let remove = |desk: &Desk| fs::remove_dir_all(folder_of(desk)).unwrap();
        let spoil_column = |desk: &Desk| spoil(desk, "fast");
        let spoil_postings = |desk: &Desk| spoil(desk, "idx");
        for damage in [&spoil_column as &dyn Fn(&Desk), &spoil_postings, &age, &remove] {
            let desk = desk();
            damage(&desk);
            let desk = desk.reopened();
            assert_eq!((desk.ids("paper jam"), desk.memory.count()), (vec!["jam".to_owned(), "toner".to_owned()], 4));
        }
    }

    /// What is done to the memory: a ticket with one of a few ids gets a text, or is deleted where there is none.
    type Step = (u8, Option<String>);

    fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
        let text = "((printer|paper|jam|toner|vpn|drops|sleep|mail) ){1,8}";
        let step = (0_u8..9, proptest::option::weighted(0.8, text));
        proptest::collection::vec(proptest::collection::vec(step, 1..6), 1..7)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
        #[test]
        fn the_way_to_a_memory_does_not_matter(batches in steps()) {
            // Enough in one segment for deletions to stay in it for a while.
            let first = (0..30).map(|number| (number.to_string(), format!("printer jam {}", "mail ".repeat(number % 7))));
            let mut kept: BTreeMap<String, String> = first.collect();
            let tickets: Vec<_> = kept.iter().map(|(id, text)| solved(id, text, &[id])).collect();
            let carried_on = Desk::new(&tickets);
            for batch in batches {
                for (id, text) in &batch {
                    let id = id.to_string();
                    if let Some(text) = text {
                        carried_on.memory.stage(&[solved(&id, text, &[&id])]).unwrap();
                        kept.insert(id, text.clone());
                    } else {
                        let unknown = carried_on.memory.delete(std::slice::from_ref(&id)).unwrap();
                        prop_assert_eq!(unknown.is_empty(), kept.remove(&id).is_some());
                    }
                }
                carried_on.memory.publish().unwrap();
            }
            let tickets: Vec<_> = kept.iter().rev().map(|(id, text)| solved(id, text, &[id])).collect();
            let built_anew = Desk::new(&tickets);
            let texts = ["printer paper jam", "vpn drops after sleep, mail too", "toner"];
            let answers = |desk: &Desk| texts.map(|text| desk.neighbours(text));
            let expected = answers(&built_anew);
            prop_assert_eq!(&answers(&carried_on), &expected);
            let frequencies = |desk: &Desk| desk.memory.index.snapshot().frequencies.clone();
            prop_assert!(frequencies(&carried_on) == frequencies(&built_anew));
            prop_assert_eq!(&answers(&carried_on.reopened()), &expected);
            for neighbour in expected.iter().flatten() {
                prop_assert!(neighbour.similarity > 0.0 && neighbour.similarity <= 1.0);
            }
            for (id, text) in &kept {
                let same = built_anew.memory.view().neighbours(text, "", 10).unwrap();
                let own = same.iter().find(|neighbour| neighbour.id == *id).unwrap();
                prop_assert!((own.similarity - 1.0).abs() < 1e-5);
                let others = built_anew.memory.view().neighbours(text, id, 10).unwrap();
                prop_assert!(others.iter().all(|neighbour| neighbour.id != *id));
            }
        }
    }
}
