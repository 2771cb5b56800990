//! The memory's index as it stands behind one commit, and how many tickets hold each word.
//! Only living tickets count, so that the same tickets give the same numbers in whatever order they came.

use std::{collections::BTreeMap, hint::black_box, io, sync::Arc};

use tantivy::{
    InvertedIndexReader, Searcher, SegmentReader, TantivyError, Term,
    columnar::{BytesColumn, Column, StrColumn},
    fastfield::AliveBitSet,
    fieldnorm::FieldNormReader,
    index::SegmentId,
    postings::TermInfo,
    schema::IndexRecordOption,
    termdict::TermDictionary,
};

use super::{
    bag,
    experience::Experience,
    labels, neighbours,
    schema::{
        ARTICLES_COLUMN, Fields, ID_COLUMN, LABELS_COLUMN, PAIRS_COLUMN, REFUSED_COLUMN, SENTENCE_COLUMN,
        VECTOR_COLUMN, WORDS_COLUMN,
    },
    sentences::{SolvedMeanings, TicketSentences},
};
use crate::{
    encode::{SentenceVector, TextVector, VectorSum},
    knowledge::{
        names::{Names, for_each_value},
        rank::Saturation,
        snapshot::{Lengths, length_ids, lengths},
        term_table::TermTable,
    },
};

/// The first bits of a hash tell its slot.
const SLOT_BITS: u32 = 20;

pub(super) struct Snapshot {
    /// The store's change that it goes up to.
    pub version: u64,
    pub segments: Vec<Segment>,
    /// How many terms the tickets have.
    pub lengths: Lengths,
    /// Tickets that can be found.
    pub tickets: u32,
    pub frequencies: Frequencies,
    pub saturation: Saturation,
    /// What the articles solved.
    pub experience: Experience,
    /// The same as a sentence encoder reads it.
    pub meanings: SolvedMeanings,
    /// What has which label, by [`labels::key`].
    pub labelled: Experience,
}

pub(super) struct Segment {
    id: SegmentId,
    pub text: Arc<InvertedIndexReader>,
    pub lengths: FieldNormReader,
    pub links: Links<Arc<InvertedIndexReader>>,
    /// Finds tickets by their ids.
    tickets: Arc<InvertedIndexReader>,
    ready: Arc<Ready>,
    pairs: Option<Column<u64>>,
    vectors: Option<BytesColumn>,
    alive: Option<AliveBitSet>,
    pub documents: u32,
}

/// One thing of the articles that solved tickets, and the same of those that were refused.
pub(super) struct Links<T> {
    pub solved: T,
    pub refused: T,
}

/// What is asked of some hundred tickets for every question, ready to be read: looked up in the columns and their
/// dictionaries it took longer than comparing the tickets.
struct Ready {
    /// Of the tickets, one behind the other.
    tickets: String,
    /// By document, where its id starts and ends.
    places: Vec<(u32, u32)>,
    /// Ids of articles.
    articles: Links<Names>,
    /// As [`labels::encode`] writes them.
    labels: Names,
    /// Of the tickets, one behind the other, as [`bag::packed`] makes them.
    words: Vec<u32>,
    /// By document, where its words start and those before it end; one more than documents.
    starts: Vec<u32>,
    /// By document, see [`length_ids`].
    lengths: Vec<u8>,
    /// By document, a bit for whether it has links: few enough to stay in a cache.
    linked: Vec<u64>,
    /// Of the text.
    terms: TermTable,
    /// None without a sentence encoder.
    sentences: TicketSentences,
}

impl Ready {
    fn load(
        ids: Option<&StrColumn>,
        (linked, labels): (&Links<Option<StrColumn>>, Option<&StrColumn>),
        (words, sentences): (Option<&Column<u64>>, Option<&BytesColumn>),
        (terms, lengths): (&TermDictionary, &FieldNormReader),
        documents: u32,
    ) -> io::Result<Self> {
        let (mut tickets, mut places) = (String::new(), vec![(0, 0); documents as usize]);
        if let Some(ids) = ids {
            for_each_value(&ids.clone().into(), 0..documents, |document, bytes| {
                let start = tickets.len();
                tickets.push_str(&String::from_utf8_lossy(bytes));
                if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(tickets.len())) {
                    places[document as usize] = (start, end);
                }
            })?;
        }
        let of = |column: &Option<StrColumn>| Names::load(column.as_ref(), documents);
        let articles = Links { solved: of(&linked.solved)?, refused: of(&linked.refused)? };
        let labels = Names::load(labels, documents)?;
        let (mut starts, mut packed, mut entries) = (vec![0], Vec::new(), Vec::new());
        for document in 0..documents {
            if let Some(words) = words {
                let rows = words.index.value_row_ids(document);
                entries.resize(rows.len(), 0);
                words.values.get_range(rows.start.into(), &mut entries);
                packed.extend(entries.iter().map(|entry| bag::packed(*entry)));
            }
            starts.push(u32::try_from(packed.len()).map_err(io::Error::other)?);
        }
        packed.shrink_to_fit();
        let mut linked = vec![0; documents as usize / 64 + 1];
        for document in (0..documents).filter(|&one| articles.solved.has_any(one) || articles.refused.has_any(one)) {
            linked[document as usize / 64] |= 1 << (document % 64);
        }
        Ok(Self {
            tickets,
            places,
            articles,
            labels,
            words: packed,
            starts,
            lengths: length_ids(lengths),
            linked,
            terms: TermTable::read(terms)?,
            sentences: TicketSentences::load(sentences, documents)?,
        })
    }
}

/// In how many tickets the words of each slot stand, at least as many as hold one of them: several that share
/// a slot are counted together. About a million slots, so that this matters for rare words of large memories only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frequencies {
    counts: Vec<u32>,
    /// As [`magnitude`] has them: a table that fits into a cache, since comparing tickets asks for tens of thousands.
    magnitudes: Vec<u8>,
}

impl Frequencies {
    fn none() -> Self {
        Self { counts: vec![0; 1 << SLOT_BITS], magnitudes: vec![0; 1 << SLOT_BITS] }
    }

    pub(super) fn of(&self, hash: u32) -> u32 {
        self.counts[slot(hash)]
    }

    #[inline]
    pub(super) fn magnitude_of(&self, hash: u32) -> u8 {
        self.magnitudes[slot(hash)]
    }

    fn add(&mut self, hash: u32) {
        self.counts[slot(hash)] += 1;
    }

    fn subtract(&mut self, hash: u32) {
        let count = &mut self.counts[slot(hash)];
        debug_assert!(*count > 0, "more is taken away than was added");
        *count = count.saturating_sub(1);
    }

    /// To be called when all is counted.
    fn measure(&mut self) {
        for (magnitude, count) in self.magnitudes.iter_mut().zip(&self.counts) {
            *magnitude = bag::magnitude(*count);
        }
    }
}

/// Where the frequency of a word is counted.
pub(super) fn slot(hash: u32) -> usize {
    (hash >> (u32::BITS - SLOT_BITS)) as usize
}

impl Snapshot {
    /// Counts the frequencies of what `previous` does not know and takes over the rest.
    pub(super) fn load(
        searcher: &Searcher,
        fields: &Fields,
        version: u64,
        previous: Option<&Self>,
    ) -> Result<Self, TantivyError> {
        let known = previous.map_or(&[][..], |previous| &previous.segments);
        let readers = searcher.segment_readers().iter();
        let segments: Vec<Segment> =
            readers.map(|reader| Segment::load(reader, fields, known)).collect::<Result<_, TantivyError>>()?;
        let mut frequencies = previous.map_or_else(Frequencies::none, |previous| previous.frequencies.clone());
        let of = |id: SegmentId, segments: &'_ [Segment]| segments.iter().position(|segment| segment.id == id);
        let mut experience = previous.map_or_else(Experience::default, |previous| previous.experience.clone());
        let mut meanings = previous.map_or_else(SolvedMeanings::default, |previous| previous.meanings.clone());
        let mut labelled = previous.map_or_else(Experience::default, |previous| previous.labelled.clone());
        for segment in &segments {
            match of(segment.id, known).map(|place| &known[place]) {
                None => {
                    segment.for_each_word(|document| segment.is_alive(document), |hash| frequencies.add(hash));
                    let living = |document| segment.is_alive(document);
                    segment.for_each_link(living, |id, sum, n| experience.add(id, sum, n))?;
                    segment.for_each_meaning(living, |id, vector| meanings.add(id, vector));
                    segment.for_each_label(living, |key, sum, n| labelled.add(key, sum, n))?;
                    experience.linked += segment.linked(living);
                }
                Some(before) if before.living() == segment.living() => {}
                Some(before) => {
                    let gone = |document| before.is_alive(document) && !segment.is_alive(document);
                    segment.for_each_word(gone, |hash| frequencies.subtract(hash));
                    segment.for_each_link(gone, |id, sum, n| experience.subtract(id, sum, n))?;
                    segment.for_each_meaning(gone, |id, vector| meanings.subtract(id, vector));
                    segment.for_each_label(gone, |key, sum, n| labelled.subtract(key, sum, n))?;
                    experience.linked -= segment.linked(gone);
                }
            }
        }
        for gone in known.iter().filter(|before| of(before.id, &segments).is_none()) {
            gone.for_each_word(|document| gone.is_alive(document), |hash| frequencies.subtract(hash));
            let living = |document| gone.is_alive(document);
            gone.for_each_link(living, |id, sum, n| experience.subtract(id, sum, n))?;
            gone.for_each_meaning(living, |id, vector| meanings.subtract(id, vector));
            gone.for_each_label(living, |key, sum, n| labelled.subtract(key, sum, n))?;
            experience.linked -= gone.linked(living);
        }
        frequencies.measure();
        let lengths = lengths(segments.iter().map(|segment| (&segment.lengths, segment.alive.as_ref())));
        let tickets = segments.iter().map(Segment::living).sum();
        let saturation = neighbours::saturation(lengths);
        Ok(Self { version, segments, lengths, tickets, frequencies, saturation, experience, meanings, labelled })
    }

    /// Asks the memory for the words of all these tickets, by segment and number, at once: mostly they are in no cache,
    /// and comparing one takes so long that the processor does not look ahead to the next.
    pub(super) fn fetch_words(&self, tickets: impl Iterator<Item = (usize, u32)>) {
        /// So many stand in a line of the processor's cache.
        const WORDS_A_LINE: usize = 16;
        let words = tickets.map(|(segment, document)| self.segments[segment].words(document));
        let lines = words.flat_map(|words| words.iter().step_by(WORDS_A_LINE));
        black_box(lines.fold(0, |sum: u32, word| sum.wrapping_add(*word)));
    }

    /// Segment and number of the ticket with this id.
    pub(super) fn find(&self, id: &Term) -> Result<Option<(usize, u32)>, TantivyError> {
        for (place, segment) in self.segments.iter().enumerate() {
            let Some(info) = segment.tickets.get_term_info(id)? else { continue };
            let block = segment.tickets.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            if let Some(document) = block.docs().iter().find(|document| segment.is_alive(**document)) {
                return Ok(Some((place, *document)));
            }
        }
        Ok(None)
    }
}

impl Segment {
    fn load(reader: &SegmentReader, fields: &Fields, known: &[Self]) -> Result<Self, TantivyError> {
        let columns = reader.fast_fields();
        let id = reader.segment_id();
        let ids = columns.str(ID_COLUMN)?;
        let labels = columns.str(LABELS_COLUMN)?;
        let linked_ids = Links { solved: columns.str(ARTICLES_COLUMN)?, refused: columns.str(REFUSED_COLUMN)? };
        let words = columns.column_opt(WORDS_COLUMN)?;
        let text = reader.inverted_index(fields.text)?;
        let lengths = reader.get_fieldnorms_reader(fields.text)?;
        let ready = match known.iter().find(|segment| segment.id == id) {
            Some(segment) => Arc::clone(&segment.ready),
            None => Arc::new(Ready::load(
                ids.as_ref(),
                (&linked_ids, labels.as_ref()),
                (words.as_ref(), columns.bytes(SENTENCE_COLUMN)?.as_ref()),
                (text.terms(), &lengths),
                reader.max_doc(),
            )?),
        };
        Ok(Self {
            id,
            text,
            lengths,
            links: Links {
                solved: reader.inverted_index(fields.articles)?,
                refused: reader.inverted_index(fields.refused)?,
            },
            tickets: reader.inverted_index(fields.id)?,
            ready,
            pairs: columns.column_opt(PAIRS_COLUMN)?,
            vectors: columns.bytes(VECTOR_COLUMN)?,
            alive: reader.alive_bitset().cloned(),
            documents: reader.max_doc(),
        })
    }

    pub(super) fn is_alive(&self, document: u32) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.is_alive(document))
    }

    /// How many living tickets hold a term.
    pub(super) fn living_with(&self, postings: &InvertedIndexReader, term: &Term) -> Result<u64, TantivyError> {
        let Some(info) = postings.get_term_info(term)? else { return Ok(0) };
        if self.alive.is_none() {
            return Ok(info.doc_freq.into());
        }
        let mut block = postings.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
        let mut living = 0;
        while block.block_len() > 0 {
            living += block.docs().iter().map(|document| u64::from(self.is_alive(*document))).sum::<u64>();
            block.advance();
        }
        Ok(living)
    }

    fn living(&self) -> u32 {
        let alive = self.alive.as_ref().map(AliveBitSet::num_alive_docs);
        alive.map_or(self.documents, |alive| u32::try_from(alive).unwrap_or(u32::MAX))
    }

    /// What the index knows of the term with this hash.
    pub(super) fn term_info(&self, hash: u64) -> Option<TermInfo> {
        self.ready.terms.info(hash)
    }

    /// The lengths of the tickets' texts, see [`length_ids`].
    pub(super) fn length_ids(&self) -> &[u8] {
        &self.ready.lengths
    }

    /// See [`TermTable::fetch`].
    pub(super) fn fetch_terms(&self, hashes: impl Iterator<Item = u64>) {
        self.ready.terms.fetch(hashes);
    }

    /// The id of a ticket.
    pub(super) fn ticket_id(&self, document: u32) -> &str {
        let (start, end) = self.ready.places[document as usize];
        &self.ready.tickets[start as usize..end as usize]
    }

    /// The articles that solved a ticket.
    pub(super) fn solved(&self, document: u32) -> impl Iterator<Item = &str> {
        self.solved_by(document).map(|(_, article)| article)
    }

    /// The articles that were refused for it.
    pub(super) fn refused(&self, document: u32) -> impl Iterator<Item = &str> {
        self.refused_for(document).map(|(_, article)| article)
    }

    /// The articles that solved a ticket, each with the hash of its id.
    pub(super) fn solved_by(&self, document: u32) -> impl Iterator<Item = (u64, &str)> {
        self.ready.articles.solved.hashed_values_of(document)
    }

    /// The articles that were refused for it, each with the hash of its id.
    pub(super) fn refused_for(&self, document: u32) -> impl Iterator<Item = (u64, &str)> {
        self.ready.articles.refused.hashed_values_of(document)
    }

    /// The words of a ticket as [`bag::packed`] makes them, in the order of their hashes.
    pub(super) fn words(&self, document: u32) -> &[u32] {
        let (start, end) = (self.ready.starts[document as usize], self.ready.starts[document as usize + 1]);
        &self.ready.words[start as usize..end as usize]
    }

    /// The pairs of neighbouring words of a ticket, each with its count, in the order of their hashes.
    pub(super) fn pairs(&self, document: u32) -> impl Iterator<Item = (u32, u8)> + '_ {
        self.pairs.iter().flat_map(move |column| column.values_for_doc(document)).map(bag::decode)
    }

    /// Whether an article solved a ticket.
    pub(super) fn is_solved(&self, document: u32) -> bool {
        self.ready.articles.solved.has_any(document)
    }

    /// Whether an article solved a ticket or was refused for it.
    pub(super) fn is_linked(&self, document: u32) -> bool {
        self.ready.linked[document as usize / 64] & 1 << (document % 64) != 0
    }

    /// The labels of a ticket, as [`labels::encode`] writes them.
    pub(super) fn labels(&self, document: u32) -> impl Iterator<Item = &str> {
        self.ready.labels.hashed_values_of(document).map(|(_, label)| label)
    }

    /// Whether a ticket has labels.
    pub(super) fn is_labelled(&self, document: u32) -> bool {
        self.ready.labels.has_any(document)
    }

    /// What a sentence encoder made of the tickets.
    pub(super) fn sentences(&self) -> &TicketSentences {
        &self.ready.sentences
    }

    /// The bytes of a ticket's vector; none where it has no links and no labels.
    pub(super) fn vector(&self, document: u32) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(vectors) = &self.vectors
            && let Some(number) = vectors.ords().first(document)
        {
            vectors.ord_to_bytes(number, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// How many of these tickets an article solved.
    fn linked(&self, wanted: impl Fn(u32) -> bool) -> u64 {
        (0..self.documents).filter(|document| wanted(*document) && self.is_solved(*document)).count() as u64
    }

    /// Each article with the sum of the vectors of these tickets that it solved, and their number.
    fn for_each_link(
        &self,
        wanted: impl Fn(u32) -> bool,
        act: impl FnMut(&str, &VectorSum, u32),
    ) -> Result<(), TantivyError> {
        let solved = &self.ready.articles.solved;
        self.for_each_sum(solved, |document| wanted(document) && solved.has_any(document), act)
    }

    /// Each article with the sentence of each of these tickets that it solved.
    fn for_each_meaning(&self, wanted: impl Fn(u32) -> bool, mut act: impl FnMut(&str, &SentenceVector)) {
        for (document, vector) in self.sentences().iter().filter(|(document, _)| wanted(*document)) {
            self.solved(document).for_each(|article| act(article, &vector));
        }
    }

    /// Each label, by [`labels::key`], with the sum of the vectors of these tickets that have it, and their number.
    fn for_each_label(
        &self,
        wanted: impl Fn(u32) -> bool,
        mut act: impl FnMut(&str, &VectorSum, u32),
    ) -> Result<(), TantivyError> {
        let values = &self.ready.labels;
        let of_key = |value: &str, sum: &VectorSum, tickets| act(labels::key(value), sum, tickets);
        self.for_each_sum(values, |document| wanted(document) && values.has_any(document), of_key)
    }

    fn for_each_sum(
        &self,
        names: &Names,
        wanted: impl Fn(u32) -> bool,
        mut act: impl FnMut(&str, &VectorSum, u32),
    ) -> Result<(), TantivyError> {
        let Some(vectors) = &self.vectors else { return Ok(()) };
        let mut sums: BTreeMap<usize, (VectorSum, u32)> = BTreeMap::new();
        for_each_value(vectors, (0..self.documents).filter(|document| wanted(*document)), |document, bytes| {
            let Some(vector) = TextVector::from_bytes(bytes) else { return };
            for (number, _) in names.of(document) {
                let (sum, count) = sums.entry(number).or_default();
                sum.add(&vector);
                *count += 1;
            }
        })?;
        for (number, (sum, count)) in &sums {
            act(names.value(*number), sum, *count);
        }
        Ok(())
    }

    fn for_each_word(&self, wanted: impl Fn(u32) -> bool, mut act: impl FnMut(u32)) {
        for document in (0..self.documents).filter(|document| wanted(*document)) {
            for entry in self.words(document) {
                act(bag::unpacked(*entry).0);
            }
        }
    }
}
