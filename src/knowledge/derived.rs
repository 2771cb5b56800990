//! What an index is derived from: the part of following the store that differs between articles and confirmed tickets.
//! `index` does the following itself, the same way for both.

use serde::{Deserialize, Serialize};
use tantivy::{Index, IndexWriter, Searcher, TantivyDocument, TantivyError, Term, schema::Schema};

use crate::{
    encode::SentenceVector,
    store::{Change, Store, StoreError},
};

/// The fields of an index, which know how records of the store become its documents.
pub(crate) trait Derived: Sized {
    type Record;
    /// The index as it stands behind one commit, ready to be searched.
    type Snapshot;

    /// What the log calls the index.
    const NAME: &'static str;
    /// Raise with every change to fields, terms or what of a record is indexed: older indexes are then built anew.
    const VERSION: u32;
    /// Whether deleted documents may stay for a while: then they must not count in any score.
    const TOLERATES_DELETIONS: bool;
    /// Segments are not merged into larger ones, so that changing one document does not rewrite all others.
    const MAX_SEGMENT_DOCUMENTS: u32;

    fn new() -> Self;
    fn schema(&self) -> &Schema;
    /// Teaches an index our tokenizers; they are code and not kept with the index.
    fn register_tokenizers(index: &Index);
    fn id_term(&self, id: &str) -> Term;
    /// What a sentence encoder reads of a record; nothing where its meaning is never asked for.
    fn texts_to_encode(record: &Self::Record) -> Vec<String>;
    /// `sentences` are the vectors of [`Self::texts_to_encode`]; none where there is no encoder.
    fn document(&self, record: &Self::Record, sentences: &[SentenceVector]) -> TantivyDocument;
    /// `previous` is the snapshot that this one takes the place of; it may save work and never changes the outcome.
    fn snapshot(
        &self,
        searcher: &Searcher,
        version: u64,
        previous: Option<&Self::Snapshot>,
    ) -> Result<Self::Snapshot, TantivyError>;

    /// The store's latest change to records of this kind.
    fn last_change(store: &Store) -> Result<u64, StoreError>;
    fn count(store: &Store) -> Result<u64, StoreError>;
    /// Changes behind `sequence`, oldest first; bounded, and empty when there are none.
    fn changes_since(store: &Store, sequence: u64, limit: usize) -> Result<Vec<Change<Self::Record>>, StoreError>;
}

/// What an index was derived from; the payload of its last commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watermark {
    pub schema_version: u32,
    /// The database's identity.
    pub database: String,
    /// Every change up to this one is in the index.
    pub sequence: u64,
    /// SHA-256 of the sentence encoder that made its vectors, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

impl Watermark {
    /// Makes what was written durable, as what the index holds at this point.
    pub(super) fn commit(&self, writer: &mut IndexWriter) -> Result<(), TantivyError> {
        let payload = serde_json::to_string(self).map_err(|error| TantivyError::InternalError(error.to_string()))?;
        let mut prepared = writer.prepare_commit()?;
        prepared.set_payload(&payload);
        prepared.commit().map(|_| ())
    }
}
