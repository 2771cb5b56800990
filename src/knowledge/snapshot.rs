//! The index as it stands behind one commit: opened once, read by every search until the next commit.

use std::sync::Arc;

use tantivy::{
    InvertedIndexReader, Searcher, SegmentReader, TantivyError, columnar::StrColumn, fastfield::AliveBitSet,
    fieldnorm::FieldNormReader,
};

use super::schema::{Fields, ID_COLUMN, KIND_COLUMN, STATUS_COLUMN, SUGGESTED_UNTIL_COLUMN};

/// A column with one number a document.
pub(super) type Numbers = Arc<dyn tantivy::columnar::ColumnValues<u64>>;

pub(super) struct Snapshot {
    /// The store's change that it goes up to.
    pub version: u64,
    pub searcher: Searcher,
    pub segments: Vec<Segment>,
    /// Mean number of terms a document, the weightier parts counted as often as they are indexed.
    pub mean_length: f32,
}

pub(super) struct Segment {
    pub text: Arc<InvertedIndexReader>,
    pub title_terms: Arc<InvertedIndexReader>,
    pub lengths: FieldNormReader,
    pub kinds: Numbers,
    pub statuses: Numbers,
    pub suggested_until: Numbers,
    pub ids: Option<StrColumn>,
    pub alive: Option<AliveBitSet>,
    pub documents: u32,
}

impl Snapshot {
    pub(super) fn load(searcher: Searcher, fields: &Fields, version: u64) -> Result<Self, TantivyError> {
        let segments: Vec<Segment> = searcher
            .segment_readers()
            .iter()
            .map(|reader| Segment::load(reader, fields))
            .collect::<Result<_, TantivyError>>()?;
        let mean_length = mean_length(segments.iter().map(|segment| (&segment.lengths, segment.alive.as_ref())));
        Ok(Self { version, searcher, segments, mean_length })
    }

    /// All documents, deleted ones that were not merged away yet included: so count the terms' frequencies too.
    pub(super) fn documents(&self) -> u32 {
        self.segments.iter().map(|segment| segment.documents).sum()
    }

    pub(super) fn is_alive(&self, segment: usize, document: u32) -> bool {
        self.segments[segment].alive.as_ref().is_none_or(|alive| alive.is_alive(document))
    }
}

impl Segment {
    fn load(reader: &SegmentReader, fields: &Fields) -> Result<Self, TantivyError> {
        let columns = reader.fast_fields();
        Ok(Self {
            text: reader.inverted_index(fields.text)?,
            title_terms: reader.inverted_index(fields.title_terms)?,
            lengths: reader.get_fieldnorms_reader(fields.text)?,
            kinds: columns.column_first_or_default(KIND_COLUMN)?,
            statuses: columns.column_first_or_default(STATUS_COLUMN)?,
            suggested_until: columns.column_first_or_default(SUGGESTED_UNTIL_COLUMN)?,
            ids: columns.str(ID_COLUMN)?,
            alive: reader.alive_bitset().cloned(),
            documents: reader.max_doc(),
        })
    }
}

/// Mean number of terms of the living documents, at least 1. The lengths are taken as the index rounds them: tantivy's
/// own total is exact in a new segment and rounded in a merged one, and the same documents shall score the same in both.
pub(crate) fn mean_length<'a>(segments: impl Iterator<Item = (&'a FieldNormReader, Option<&'a AliveBitSet>)>) -> f32 {
    let (mut terms, mut documents) = (0_u64, 0_u64);
    for (lengths, alive) in segments {
        for document in (0..lengths.num_docs()).filter(|document| alive.is_none_or(|alive| alive.is_alive(*document))) {
            terms += u64::from(lengths.fieldnorm(document));
            documents += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than the leading digits")]
    let mean = terms as f32 / documents.max(1) as f32;
    mean.max(1.0)
}
