//! The index as it stands behind one commit: opened once, read by every search until the next commit.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use tantivy::{
    InvertedIndexReader, Searcher, SegmentReader, TantivyError,
    columnar::{BytesColumn, StrColumn},
    fastfield::AliveBitSet,
    fieldnorm::FieldNormReader,
    index::SegmentId,
    postings::TermInfo,
    termdict::TermDictionary,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    everyday::Nearest,
    names::{self, Names, Rarities},
    rank::Saturation,
    schema::{
        CATEGORY_NAME_COLUMN, Fields, ID_COLUMN, KIND_COLUMN, PRODUCT_NAMES_COLUMN, REMEDY_COLUMN, SENTENCES_COLUMN,
        STATUS_COLUMN, SUGGESTED_UNTIL_COLUMN, TITLE_WORDS_COLUMN, VECTOR_COLUMN, VERSION_COLUMN,
    },
    scope,
    sentences::ArticleSentences,
    spelling::Spellings,
    term_table::{NumberTable, TermTable},
    top::Ranked,
};
use crate::encode::{MeasuredVector, TextVector};

/// A column with one number a document.
pub(super) type Numbers = Arc<dyn tantivy::columnar::ColumnValues<u64>>;

pub(super) struct Snapshot {
    /// The store's change that it goes up to.
    pub version: u64,
    pub searcher: Searcher,
    pub segments: Vec<Segment>,
    /// By the mean number of terms a document, the weightier parts counted as often as they are indexed.
    pub saturation: Saturation,
    /// See [`scope`](super::scope).
    pub middle_of_everyday: OnceLock<f32>,
}

pub(super) struct Segment {
    id: SegmentId,
    pub text: Arc<InvertedIndexReader>,
    pub lengths: FieldNormReader,
    pub kinds: Numbers,
    pub statuses: Numbers,
    pub suggested_until: Numbers,
    pub versions: Numbers,
    pub remedies: Numbers,
    pub alive: Option<AliveBitSet>,
    pub documents: u32,
    pub columns: Arc<Columns>,
    /// Of the titles' words, in this state of the index.
    pub rarities: Rarities,
}

/// What suggestions compare articles by, ready to be read; taken over from commit to commit with its segment.
pub(super) struct Columns {
    pub title_words: Names,
    pub products: Names,
    pub categories: Names,
    /// One a document, as the others, as tantivy tells them apart.
    pub lengths: Vec<u8>,
    pub ids: Vec<Box<str>>,
    pub vectors: Vec<MeasuredVector>,
    /// None where there is no sentence encoder.
    pub sentences: ArticleSentences,
    /// Documents by their ids.
    places: NumberTable,
    /// Of the ranking text.
    terms: TermTable,
    pub title_terms: TermTable,
    /// Of the words that articles hold, read when they are first asked for.
    spellings: OnceLock<Spellings>,
    /// The articles that everyday questions are nearest to, reckoned when it is first asked for.
    pub everyday: OnceLock<Vec<Nearest<{ scope::NEAREST }>>>,
}

impl Snapshot {
    pub(super) fn load(
        searcher: Searcher,
        fields: &Fields,
        version: u64,
        previous: Option<&Self>,
    ) -> Result<Self, TantivyError> {
        let known = previous.map_or(&[][..], |previous| &previous.segments);
        let segments: Vec<Segment> = searcher
            .segment_readers()
            .iter()
            .map(|reader| Segment::load(reader, fields, known))
            .collect::<Result<_, TantivyError>>()?;
        let of_segments = segments.iter().map(|segment| (&segment.lengths, segment.alive.as_ref()));
        let saturation = Saturation::of_articles(lengths(of_segments).mean());
        Ok(Self { version, searcher, segments, saturation, middle_of_everyday: OnceLock::new() })
    }

    /// All documents, deleted ones that were not merged away yet included: so count the terms' frequencies too.
    pub(super) fn documents(&self) -> u32 {
        self.segments.iter().map(|segment| segment.documents).sum()
    }

    pub(super) fn id(&self, found: &Ranked) -> &str {
        &self.segments[found.segment].columns.ids[found.document as usize]
    }

    pub(super) fn is_alive(&self, segment: usize, document: u32) -> bool {
        self.segments[segment].alive.as_ref().is_none_or(|alive| alive.is_alive(document))
    }
}

impl Segment {
    /// What the index knows of the word with this hash.
    pub(super) fn term_info(&self, hash: u64) -> Option<TermInfo> {
        self.columns.terms.info(hash)
    }

    /// See [`TermTable::fetch`].
    pub(super) fn fetch_terms(&self, hashes: &[u64]) {
        self.columns.terms.fetch(hashes.iter().copied());
    }

    /// The articles of this id, deleted ones included.
    pub(super) fn with_id(&self, id: &str) -> impl Iterator<Item = u32> {
        let found = self.columns.places.all(xxh3_64(id.as_bytes()));
        found.filter(move |document| &*self.columns.ids[*document as usize] == id)
    }

    /// Of the words that articles hold.
    pub(super) fn spellings(&self) -> io::Result<&Spellings> {
        if let Some(spellings) = self.columns.spellings.get() {
            return Ok(spellings);
        }
        // Whoever else reads them meanwhile reads the same.
        let read = Spellings::read(self.text.terms())?;
        Ok(self.columns.spellings.get_or_init(|| read))
    }

    fn load(reader: &SegmentReader, fields: &Fields, known: &[Self]) -> Result<Self, TantivyError> {
        let columns = reader.fast_fields();
        let text = reader.inverted_index(fields.text)?;
        let id = reader.segment_id();
        let compared = match known.iter().find(|segment| segment.id == id) {
            Some(segment) => Arc::clone(&segment.columns),
            None => Arc::new(Columns::load(reader, fields, text.terms())?),
        };
        Ok(Self {
            id,
            rarities: Rarities::unknown(compared.title_words.len()),
            columns: compared,
            text,
            lengths: reader.get_fieldnorms_reader(fields.text)?,
            kinds: columns.column_first_or_default(KIND_COLUMN)?,
            statuses: columns.column_first_or_default(STATUS_COLUMN)?,
            suggested_until: columns.column_first_or_default(SUGGESTED_UNTIL_COLUMN)?,
            versions: columns.column_first_or_default(VERSION_COLUMN)?,
            remedies: columns.column_first_or_default(REMEDY_COLUMN)?,
            alive: reader.alive_bitset().cloned(),
            documents: reader.max_doc(),
        })
    }
}

impl Columns {
    fn load(reader: &SegmentReader, fields: &Fields, terms: &TermDictionary) -> Result<Self, TantivyError> {
        let (columns, documents) = (reader.fast_fields(), reader.max_doc());
        let ids = ids(columns.str(ID_COLUMN)?, documents)?;
        let hashes: Vec<u64> = ids.iter().map(|id| xxh3_64(id.as_bytes())).collect();
        Ok(Self {
            title_words: Names::load(columns.str(TITLE_WORDS_COLUMN)?.as_ref(), documents)?,
            products: Names::load(columns.str(PRODUCT_NAMES_COLUMN)?.as_ref(), documents)?,
            categories: Names::load(columns.str(CATEGORY_NAME_COLUMN)?.as_ref(), documents)?,
            lengths: length_ids(&reader.get_fieldnorms_reader(fields.text)?),
            ids,
            vectors: vectors(columns.bytes(VECTOR_COLUMN)?.as_ref(), documents)?,
            sentences: sentences(columns.bytes(SENTENCES_COLUMN)?.as_ref(), documents)?,
            places: NumberTable::new(&hashes),
            terms: TermTable::read(terms)?,
            title_terms: TermTable::read(reader.inverted_index(fields.title_terms)?.terms())?,
            spellings: OnceLock::new(),
            everyday: OnceLock::new(),
        })
    }
}

fn ids(column: Option<StrColumn>, documents: u32) -> io::Result<Vec<Box<str>>> {
    let mut ids = vec![Box::default(); documents as usize];
    if let Some(column) = column {
        names::for_each_value(&column.into(), 0..documents, |document, bytes| {
            ids[document as usize] = String::from_utf8_lossy(bytes).into();
        })?;
    }
    Ok(ids)
}

/// The vectors of a segment's documents, all zero where one has none.
fn vectors(column: Option<&BytesColumn>, documents: u32) -> io::Result<Vec<MeasuredVector>> {
    let Some(column) = column else { return Ok(Vec::new()) };
    let mut vectors = vec![MeasuredVector::default(); documents as usize];
    names::for_each_value(column, 0..documents, |document, bytes| {
        if let Some(vector) = TextVector::from_bytes(bytes) {
            vectors[document as usize] = vector.into();
        }
    })?;
    Ok(vectors)
}

/// The vectors of a sentence encoder, where there is one.
fn sentences(column: Option<&BytesColumn>, documents: u32) -> io::Result<ArticleSentences> {
    let Some(column) = column.filter(|column| column.num_terms() > 0) else { return Ok(ArticleSentences::default()) };
    let mut values = vec![Vec::new(); documents as usize];
    names::for_each_value(column, 0..documents, |document, bytes| values[document as usize] = bytes.to_vec())?;
    Ok(ArticleSentences::new(values.iter().map(Vec::as_slice)))
}

/// The lengths of documents as tantivy tells them apart, ready to be read for every posting.
pub(crate) fn length_ids(lengths: &FieldNormReader) -> Vec<u8> {
    (0..lengths.num_docs()).map(|document| lengths.fieldnorm_id(document)).collect()
}

/// How many terms documents have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lengths {
    pub(crate) terms: u64,
    pub(crate) documents: u64,
}

impl Lengths {
    /// Mean number of terms a document, at least 1.
    pub(crate) fn mean(self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than the leading digits")]
        let mean = self.terms as f32 / self.documents.max(1) as f32;
        mean.max(1.0)
    }
}

/// The lengths of the living documents, taken as the index rounds them: tantivy's own total is exact in a new segment
/// and rounded in a merged one, and the same documents shall score the same in both.
pub(crate) fn lengths<'a>(segments: impl Iterator<Item = (&'a FieldNormReader, Option<&'a AliveBitSet>)>) -> Lengths {
    let mut lengths = Lengths::default();
    for (of_segment, alive) in segments {
        let documents = 0..of_segment.num_docs();
        for document in documents.filter(|document| alive.is_none_or(|alive| alive.is_alive(*document))) {
            lengths.terms += u64::from(of_segment.fieldnorm(document));
            lengths.documents += 1;
        }
    }
    lengths
}
