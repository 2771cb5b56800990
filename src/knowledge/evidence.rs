//! What an article has in common with a ticket: its words, its title, its meaning as a vector, its product. Which of
//! it counts how much is decided above.

use tantivy::{DocSet as _, TantivyError, schema::IndexRecordOption};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    answer::Aim,
    question::{self, Asker},
    rank::{self, Parts, RankedTerm},
    schema::{self, Fields, comparable},
    search,
    sentences::Meaning,
    snapshot::Snapshot,
    top::{Ranked, Top},
    words::Terms,
};
use crate::{
    domain::article::{ArticleHit, ArticleKind, Day},
    encode::{HashIndex, MeasuredVector, SentenceVector, TextVector},
};

/// So many articles are looked at more closely, the best by their words.
const MAX_CANDIDATES: usize = 40;
/// So many more, the best by what a sentence encoder makes of them.
const MAX_BY_MEANING: usize = 60;
/// A title of few common words must not count as covered too soon.
const TITLE_PRIOR: f32 = 2.0;
/// Few tickets have more different words.
const TYPICAL_WORDS: usize = 128;
/// Shared words that are named.
const MAX_NAMED_WORDS: usize = 4;

/// A ticket as articles are compared with it. The text is plain.
pub(crate) struct Subject<'a> {
    pub text: &'a str,
    pub vector: &'a TextVector,
    /// What the sentence encoder makes of the text, where there is one.
    pub sentence: Option<&'a SentenceVector>,
    /// Names of the product, service or configuration item concerned, as far as they are known.
    pub products: Vec<&'a str>,
    pub category: Option<&'a str>,
}

/// An article that may solve the ticket.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    segment: usize,
    document: u32,
    pub id: String,
    pub kind: ArticleKind,
    /// BM25, as a share of the best one's; 0 to 1.
    pub words: f32,
    /// How much of the title stands in the ticket; 0 to less than 1.
    pub title: f32,
    /// Cosine of the vectors; -1 to 1.
    pub likeness: f32,
    /// All 0 without a sentence encoder.
    pub meaning: Meaning,
    pub agreement: Agreement,
    /// Whether it is a known error that says what helps, or what ends it.
    pub has_remedy: bool,
}

/// Whether ticket and article are about the same product or category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// One of them does not say.
    Unknown,
    Differs,
    /// The name as the ticket gives it.
    SameProduct(String),
    SameCategory(String),
}

/// Articles that may solve a ticket, in no certain order.
pub(crate) struct Candidates {
    pub list: Vec<Candidate>,
    pub(super) terms: Vec<RankedTerm>,
    pub(super) aim: Aim,
}

/// The articles that share most words with the ticket, and those of the ids in `also`; of all only those that may be
/// suggested on `today`.
pub(super) fn candidates<'a>(
    snapshot: &Snapshot,
    subject: &Subject,
    also: impl Iterator<Item = &'a str>,
    today: Day,
) -> Result<Candidates, TantivyError> {
    let terms = rank::choose_terms(snapshot, subject.text, Asker::Ticket)?;
    let today = schema::day_number(today);
    let parts = Parts::new(terms.iter().map(|term| term.weight), &snapshot.saturation);
    let mut top = Top::new(MAX_CANDIDATES);
    let mut scores = Vec::with_capacity(snapshot.segments.len());
    for (number, segment) in snapshot.segments.iter().enumerate() {
        let of_segment = rank::scores(snapshot, number, &terms, &parts)?;
        top.collect(number, &of_segment, |document| {
            snapshot.is_alive(number, document) && segment.suggested_until.get_val(document) >= today
        });
        scores.push(of_segment);
    }
    let mut places: Vec<(usize, u32)> =
        top.take(|ranked| snapshot.id(ranked), 0).into_iter().map(|ranked| (ranked.segment, ranked.document)).collect();
    let best = places.first().map_or(0, |&(segment, document)| scores[segment][document as usize]);
    let found = also.filter_map(|id| find(snapshot, id));
    for place in subject
        .sentence
        .map_or_else(Vec::new, |sentence| by_meaning(snapshot, sentence, today))
        .into_iter()
        .chain(found)
    {
        if snapshot.segments[place.0].suggested_until.get_val(place.1) >= today && !places.contains(&place) {
            places.push(place);
        }
    }
    let comparison = Comparison::new(snapshot, subject);
    comparison.fetch(&places);
    let mut list = Vec::with_capacity(places.len());
    for (segment, document) in places {
        let score = scores[segment][document as usize];
        let words = if best > 0 { f32::from(score) / f32::from(best) } else { 0.0 };
        list.push(comparison.candidate(segment, document, words));
    }
    Ok(Candidates { list, terms, aim: Aim::of(subject.text) })
}

/// The articles that are most like a question by their meaning, of those that may be suggested on `today`.
fn by_meaning(snapshot: &Snapshot, question: &SentenceVector, today: u64) -> Vec<(usize, u32)> {
    let mut top = Top::new(MAX_BY_MEANING);
    for (number, segment) in snapshot.segments.iter().enumerate() {
        for (document, meaning) in (0..).zip(segment.columns.sentences.all(question)) {
            if snapshot.is_alive(number, document) && segment.suggested_until.get_val(document) >= today {
                top.push(Ranked { segment: number, document, score: meaning.most() });
            }
        }
    }
    top.take_unordered(|ranked| snapshot.id(ranked)).iter().map(|ranked| (ranked.segment, ranked.document)).collect()
}

/// The living article of this id.
pub(super) fn find(snapshot: &Snapshot, id: &str) -> Option<(usize, u32)> {
    let mut segments = snapshot.segments.iter().enumerate();
    segments.find_map(|(number, segment)| {
        segment.with_id(id).find(|document| snapshot.is_alive(number, *document)).map(|document| (number, document))
    })
}

/// A ticket made ready to be compared with many articles.
struct Comparison<'a> {
    snapshot: &'a Snapshot,
    vector: MeasuredVector,
    sentence: Option<&'a SentenceVector>,
    /// Hashes of its words.
    words: HashIndex,
    /// Names that the knowledge base knows, with their hashes.
    products: Vec<(u64, &'a str)>,
    category: Option<(u64, &'a str)>,
}

impl<'a> Comparison<'a> {
    fn new(snapshot: &'a Snapshot, subject: &Subject<'a>) -> Self {
        let mut words = HashIndex::with_capacity(TYPICAL_WORDS);
        let mut terms = Terms::new(&subject.text[..subject.text.floor_char_boundary(question::MAX_BYTES_READ)]);
        while let Some((term, _)) = terms.next_term() {
            words.intern(xxh3_64(term.as_bytes()));
        }
        let named = |name: &&'a str| (xxh3_64(comparable(name).as_bytes()), *name);
        let columns = || snapshot.segments.iter().map(|segment| &segment.columns);
        // A name that no article bears, such as that of a server, says nothing for or against one.
        let products = subject.products.iter().map(named);
        let products = products.filter(|(hash, _)| columns().any(|columns| columns.products.contains(*hash)));
        let category = subject.category.as_ref().map(named);
        let category = category.filter(|(hash, _)| columns().any(|columns| columns.categories.contains(*hash)));
        let (vector, sentence) = (subject.vector.clone().into(), subject.sentence);
        Self { snapshot, vector, sentence, words, products: products.collect(), category }
    }

    /// Asks the memory for the vectors of all these articles at once: mostly they are in no cache, and comparing one takes
    /// so long that the processor does not look ahead to the next.
    fn fetch(&self, places: &[(usize, u32)]) {
        let vector = |&(segment, document): &(usize, u32)| {
            self.snapshot.segments[segment].columns.vectors.get(document as usize)
        };
        MeasuredVector::fetch(places.iter().filter_map(vector));
    }

    fn candidate(&self, segment: usize, document: u32, words: f32) -> Candidate {
        let view = &self.snapshot.segments[segment];
        let vector = view.columns.vectors.get(document as usize);
        Candidate {
            segment,
            document,
            id: String::from(&*view.columns.ids[document as usize]),
            kind: schema::kind_of(view.kinds.get_val(document)),
            words,
            title: self.title(segment, document),
            likeness: vector.map_or(0.0, |vector| self.vector.cosine(vector)),
            meaning: self.sentence.map_or_else(Meaning::default, |own| view.columns.sentences.of(document, own)),
            agreement: self.agreement(segment, document),
            has_remedy: schema::remedy_of(view.remedies.get_val(document)).is_some(),
        }
    }

    /// The share of the title's words, weighted by rarity, that stand in the ticket.
    fn title(&self, segment: usize, document: u32) -> f32 {
        let view = &self.snapshot.segments[segment];
        let (mut shared, mut all) = (0.0, TITLE_PRIOR);
        for (number, hash) in view.columns.title_words.of(document) {
            let rarity = view.rarities.get(number, || self.rarity(hash));
            all += rarity;
            if self.words.get(hash).is_some() {
                shared += rarity;
            }
        }
        shared / all
    }

    fn rarity(&self, hash: u64) -> f32 {
        let found = self.snapshot.segments.iter().filter_map(|segment| segment.term_info(hash));
        rank::inverse_document_frequency(found.map(|info| info.doc_freq).sum(), self.snapshot.documents())
    }

    /// By products, and what a known error affects, where both have such, else by the category.
    fn agreement(&self, segment: usize, document: u32) -> Agreement {
        let columns = &self.snapshot.segments[segment].columns;
        let mut names = columns.products.of(document).peekable();
        if !self.products.is_empty() && names.peek().is_some() {
            let hashes: Vec<u64> = names.map(|(_, hash)| hash).collect();
            let same = self.products.iter().find(|(hash, _)| hashes.contains(hash));
            return same.map_or(Agreement::Differs, |(_, name)| Agreement::SameProduct((*name).to_owned()));
        }
        match (self.category, columns.categories.of(document).next()) {
            (Some((ours, name)), Some((_, theirs))) if ours == theirs => Agreement::SameCategory(name.to_owned()),
            (Some(_), Some(_)) => Agreement::Differs,
            (None, _) | (_, None) => Agreement::Unknown,
        }
    }
}

/// The candidates with the best scores, at most `limit`. `scores` are those of the list, each more than 0.
pub(super) fn best(snapshot: &Snapshot, candidates: &Candidates, scores: &[f32], limit: usize) -> Vec<Best> {
    let mut top = Top::new(limit);
    for (candidate, &score) in candidates.list.iter().zip(scores) {
        top.push(Ranked { segment: candidate.segment, document: candidate.document, score });
    }
    let place = |ranked: &Ranked| {
        let is_it = |one: &Candidate| (one.segment, one.document) == (ranked.segment, ranked.document);
        candidates.list.iter().position(is_it)
    };
    let best = top.take(|ranked| snapshot.id(ranked), 0).into_iter();
    best.filter_map(|ranked| Some(Best { place: place(&ranked)?, ranked })).collect()
}

/// A candidate that is among the best.
pub(crate) struct Best {
    /// In the list of candidates.
    pub place: usize,
    ranked: Ranked,
}

/// What people see of the best, each with the words of the ticket that speak most for it.
pub(super) fn show(
    snapshot: &Snapshot,
    fields: &Fields,
    candidates: &Candidates,
    best: &[Best],
    remedies_first: bool,
) -> Result<Vec<Suggested>, TantivyError> {
    let ranked: Vec<Ranked> = best.iter().map(|best| best.ranked).collect();
    let hits = search::show(snapshot, fields, &ranked, &search::wanted(&candidates.terms), remedies_first)?;
    let mut suggested = Vec::with_capacity(hits.len());
    for (Best { place, ranked }, hit) in best.iter().zip(hits) {
        let words = shared_words(snapshot, &candidates.terms, ranked)?;
        suggested.push(Suggested { place: *place, hit, words });
    }
    Ok(suggested)
}

/// A candidate to be shown.
pub(crate) struct Suggested {
    /// In the list of candidates.
    pub place: usize,
    pub hit: ArticleHit,
    /// Terms that ticket and article share, the weightiest first; a few of them.
    pub words: Vec<String>,
}

fn shared_words(snapshot: &Snapshot, terms: &[RankedTerm], found: &Ranked) -> Result<Vec<String>, TantivyError> {
    let segment = &snapshot.segments[found.segment];
    let mut shared: Vec<String> = Vec::new();
    for term in terms {
        if shared.len() == MAX_NAMED_WORDS {
            break;
        }
        for (form, postings) in term.forms.iter().zip(&term.postings) {
            // The parts of a code go with it.
            if shared.iter().any(|word| word.contains(form)) {
                continue;
            }
            if let Some(info) = &postings[found.segment] {
                let mut postings = segment.text.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
                if postings.doc() == found.document || postings.seek(found.document) == found.document {
                    shared.push(form.clone());
                    break;
                }
            }
        }
    }
    Ok(shared)
}

/// What a ticket's words alone suggest, on a day when all articles of a test are valid or long expired.
#[cfg(test)]
pub(super) fn by_words(knowledge: &super::KnowledgeBase, text: &str, limit: usize) -> Vec<ArticleHit> {
    let subject =
        Subject { text, vector: &TextVector::default(), sentence: None, products: Vec::new(), category: None };
    let (view, today) = (knowledge.view(), Day::parse("2026-06-15").unwrap());
    let candidates = view.candidates(&subject, std::iter::empty(), today).unwrap();
    let by_words: Vec<f32> = candidates.list.iter().map(|candidate| candidate.words).collect();
    let best = view.best(&candidates, &by_words, limit);
    view.show(&candidates, &best, false).unwrap().into_iter().map(|suggested| suggested.hit).collect()
}
