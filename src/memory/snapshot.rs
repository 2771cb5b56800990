//! The memory's index as it stands behind one commit, and how many tickets hold each word and pair.
//! Only living tickets count, so that the same tickets give the same numbers in whatever order they came.

use std::{io, sync::Arc};

use tantivy::{
    InvertedIndexReader, Searcher, SegmentReader, TantivyError, Term,
    columnar::{BytesColumn, StrColumn},
    fastfield::AliveBitSet,
    fieldnorm::FieldNormReader,
    index::SegmentId,
    schema::IndexRecordOption,
};

use super::{
    bag,
    schema::{ARTICLES_COLUMN, BAG_COLUMN, Fields, ID_COLUMN, REFUSED_COLUMN},
};
use crate::knowledge::snapshot::mean_length;

/// The first bits of a hash tell its slot.
const SLOT_BITS: u32 = 20;

pub(super) struct Snapshot {
    /// The store's change that it goes up to.
    pub version: u64,
    pub segments: Vec<Segment>,
    /// Mean number of terms a ticket.
    pub mean_length: f32,
    /// Tickets that can be found.
    pub tickets: u32,
    pub frequencies: Frequencies,
}

pub(super) struct Segment {
    id: SegmentId,
    pub text: Arc<InvertedIndexReader>,
    pub lengths: FieldNormReader,
    pub links: Links<Arc<InvertedIndexReader>>,
    /// Finds tickets by their ids.
    tickets: Arc<InvertedIndexReader>,
    pub ids: Option<StrColumn>,
    pub linked_ids: Links<Option<StrColumn>>,
    bags: Option<BytesColumn>,
    alive: Option<AliveBitSet>,
    pub documents: u32,
}

/// One thing of the articles that solved tickets, and the same of those that were refused.
pub(super) struct Links<T> {
    pub solved: T,
    pub refused: T,
}

/// In how many tickets the words and pairs of each slot stand, at least as many as hold one of them: several that share
/// a slot are counted together. About a million slots, so that this matters for rare pairs of large memories only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frequencies(Vec<u32>);

impl Frequencies {
    fn none() -> Self {
        Self(vec![0; 1 << SLOT_BITS])
    }

    pub(super) fn of(&self, hash: u32) -> u32 {
        self.0[slot(hash)]
    }

    fn add(&mut self, bag: &[u8]) {
        for (hash, _) in bag::decode(bag) {
            self.0[slot(hash)] += 1;
        }
    }

    fn subtract(&mut self, bag: &[u8]) {
        for (hash, _) in bag::decode(bag) {
            let count = &mut self.0[slot(hash)];
            debug_assert!(*count > 0, "more is taken away than was added");
            *count = count.saturating_sub(1);
        }
    }
}

fn slot(hash: u32) -> usize {
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
        let readers = searcher.segment_readers().iter();
        let segments: Vec<Segment> =
            readers.map(|reader| Segment::load(reader, fields)).collect::<Result<_, TantivyError>>()?;
        let known = previous.map_or(&[][..], |previous| &previous.segments);
        let mut frequencies = previous.map_or_else(Frequencies::none, |previous| previous.frequencies.clone());
        let of = |id: SegmentId, segments: &'_ [Segment]| segments.iter().position(|segment| segment.id == id);
        for segment in &segments {
            match of(segment.id, known).map(|place| &known[place]) {
                None => segment.for_each_bag(|document| segment.is_alive(document), |bag| frequencies.add(bag))?,
                Some(before) if before.living() == segment.living() => {}
                Some(before) => segment.for_each_bag(
                    |document| before.is_alive(document) && !segment.is_alive(document),
                    |bag| frequencies.subtract(bag),
                )?,
            }
        }
        for gone in known.iter().filter(|before| of(before.id, &segments).is_none()) {
            gone.for_each_bag(|document| gone.is_alive(document), |bag| frequencies.subtract(bag))?;
        }
        let mean_length = mean_length(segments.iter().map(|segment| (&segment.lengths, segment.alive.as_ref())));
        let tickets = segments.iter().map(Segment::living).sum();
        Ok(Self { version, segments, mean_length, tickets, frequencies })
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
    fn load(reader: &SegmentReader, fields: &Fields) -> Result<Self, TantivyError> {
        let columns = reader.fast_fields();
        Ok(Self {
            id: reader.segment_id(),
            text: reader.inverted_index(fields.text)?,
            lengths: reader.get_fieldnorms_reader(fields.text)?,
            links: Links {
                solved: reader.inverted_index(fields.articles)?,
                refused: reader.inverted_index(fields.refused)?,
            },
            tickets: reader.inverted_index(fields.id)?,
            ids: columns.str(ID_COLUMN)?,
            linked_ids: Links { solved: columns.str(ARTICLES_COLUMN)?, refused: columns.str(REFUSED_COLUMN)? },
            bags: columns.bytes(BAG_COLUMN)?,
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

    /// The id of a ticket.
    pub(super) fn ticket_id(&self, document: u32) -> io::Result<String> {
        Ok(strings(self.ids.as_ref(), document)?.pop().unwrap_or_default())
    }

    /// Reads a ticket's bag into `bag`.
    pub(super) fn bag(&self, document: u32, bag: &mut Vec<u8>) -> io::Result<()> {
        bag.clear();
        if let Some(bags) = &self.bags
            && let Some(number) = bags.ords().first(document)
        {
            bags.ord_to_bytes(number, bag)?;
        }
        Ok(())
    }

    fn for_each_bag(&self, wanted: impl Fn(u32) -> bool, act: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(bags) = &self.bags else { return Ok(()) };
        let documents = (0..self.documents).filter(|document| wanted(*document));
        // In the order in which they lie in the file; tickets with the same words share one entry.
        let mut numbers: Vec<u64> = documents.filter_map(|document| bags.ords().first(document)).collect();
        numbers.sort_unstable();
        bags.dictionary().sorted_ords_to_term_cb(&numbers, act).map(|_| ())
    }
}

/// All values of a column for one document, in the order in which they were given.
pub(super) fn strings(column: Option<&StrColumn>, document: u32) -> io::Result<Vec<String>> {
    let Some(column) = column else { return Ok(Vec::new()) };
    let mut values = Vec::new();
    for number in column.term_ords(document) {
        let mut value = String::new();
        column.ord_to_str(number, &mut value)?;
        values.push(value);
    }
    Ok(values)
}
