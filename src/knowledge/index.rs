//! A tantivy index that follows one kind of records of the store: derived from it and never the truth.
//! Its last commit names the database and the change it has followed it to; on opening it catches up from there, and
//! it is built anew when it is missing, damaged, of another schema, of another database or ahead of this one.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use tantivy::{
    Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyError,
    directory::MmapDirectory,
    indexer::{IndexWriterOptions, NoMergePolicy},
};

use super::{
    derived::{Derived, Watermark},
    encoder::Encoding,
    error::IndexError,
    files::{self, Unusable},
    merging::Merging,
    state::IndexState,
};
use crate::{
    encode::{SentenceEncoder, SentenceVector},
    store::{Change, Store, StoreError},
};

/// Blocks of the document store are read whole: small ones keep the cost of showing a document low.
const DOCUMENT_BLOCK_BYTES: usize = 8 << 10;
/// A commit costs a dozen synchronised files: seldom, and still in bounded memory.
const CHANGES_PAGE: usize = 5_000;
/// The same where a sentence encoder reads the texts: what is lost when that is interrupted is some seconds' work.
const ENCODED_PAGE: usize = 500;
/// Behind this many changes that renew most of the index it is merged once, at the end.
const MIN_BULK_CHANGES: u64 = 500;

pub(crate) struct DerivedIndex<D: Derived> {
    directory: PathBuf,
    fields: D,
    encoding: Option<Encoding>,
    index: Index,
    reader: IndexReader,
    /// Held while writing; the change up to which the index follows the store.
    followed: Mutex<Watermark>,
    snapshot: RwLock<Arc<D::Snapshot>>,
}

impl<D: Derived> fmt::Debug for DerivedIndex<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DerivedIndex").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl<D: Derived> DerivedIndex<D> {
    /// Opens the index in `directory` and brings it up to date with the store, building it anew where it must be: also
    /// where its vectors come from another encoder, or are not there.
    pub(crate) fn open(store: &Store, directory: &Path, encoding: Option<Encoding>) -> Result<Self, IndexError> {
        let started = Instant::now();
        let database = store.identity()?;
        let (opened, rebuilt_because) = match Self::open_sound(store, directory, &database, encoding.as_ref())? {
            Ok(opened) => {
                opened.clear_leftovers()?;
                (opened, None)
            }
            Err(reason) => (Self::create(directory, &database, encoding)?, Some(reason)),
        };
        // What a process that was killed left to be cleaned is cleaned now.
        let changes = opened.purge(store)?;
        let (documents, milliseconds) = (opened.documents(), started.elapsed().as_millis());
        match rebuilt_because {
            Some(reason) => tracing::info!(documents, milliseconds, %reason, "{} index built", D::NAME),
            None if changes > 0 => tracing::info!(documents, changes, milliseconds, "{} index caught up", D::NAME),
            None => tracing::info!(documents, milliseconds, "{} index opened", D::NAME),
        }
        Ok(opened)
    }

    /// Deletes files that no commit names: a writer that was killed left them, and the next one would want the same names.
    fn clear_leftovers(&self) -> Result<(), IndexError> {
        let clear = || {
            let writer: IndexWriter = writer(&self.index)?;
            writer.garbage_collect_files().wait()?;
            writer.wait_merging_threads()
        };
        clear().map_err(|error| self.error(error))
    }

    /// What readers see now; it stays as it is while they hold it.
    pub(crate) fn snapshot(&self) -> Arc<D::Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads questions as the vectors of the documents were made.
    pub(crate) fn encoder(&self) -> Option<&SentenceEncoder> {
        self.encoding.as_ref().map(Encoding::encoder)
    }

    pub(crate) fn fields(&self) -> &D {
        &self.fields
    }

    pub(crate) fn error(&self, source: impl Into<TantivyError>) -> IndexError {
        IndexError::Index { directory: self.directory.clone(), source: source.into() }
    }

    /// Documents that can be found.
    pub(crate) fn documents(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Brings the index to the store's latest change; how many changes that took. Durable and visible on return.
    pub(crate) fn catch_up(&self, store: &Store) -> Result<u64, IndexError> {
        self.follow(store, D::TOLERATES_DELETIONS)
    }

    /// As [`Self::catch_up`], and nothing of deleted documents is left in the files on return, but for those that a
    /// search which is still going on reads: these go with the next change.
    pub(crate) fn purge(&self, store: &Store) -> Result<u64, IndexError> {
        self.follow(store, false)
    }

    fn follow(&self, store: &Store, tolerates_deletions: bool) -> Result<u64, IndexError> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = D::last_change(store)?.saturating_sub(followed.sequence);
        let searcher = self.reader.searcher();
        let has_deletions = searcher.segment_readers().iter().any(tantivy::SegmentReader::has_deletes);
        if pending == 0 && (tolerates_deletions || !has_deletions) {
            return Ok(0);
        }
        let failed = |source: TantivyError| self.error(source);
        let mut writer = writer(&self.index).map_err(failed)?;
        let renews_most = pending > MIN_BULK_CHANGES && pending > searcher.num_docs() / 2;
        drop(searcher);
        // Merged once, behind the last commit: what is merged then is settled here and not by the writer's threads.
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let mut reached = followed.clone();
        let mut applied = 0;
        loop {
            let page = if self.encoding.is_some() { ENCODED_PAGE } else { CHANGES_PAGE };
            let changes = D::changes_since(store, reached.sequence, page)?;
            let Some(last) = changes.last() else { break };
            reached.sequence = last.sequence;
            let mut sentences = self.sentences(&changes, applied, pending).into_iter();
            for change in &changes {
                writer.delete_term(self.fields.id_term(&change.id));
                if let Some(record) = &change.record {
                    let of_record = sentences.next().unwrap_or_default();
                    writer.add_document(self.fields.document(record, &of_record)).map_err(failed)?;
                }
                applied += 1;
            }
            // Page by page: the writer's queue is bounded in documents and not in bytes, and a build that is
            // interrupted goes on from here.
            reached.commit(&mut writer).map_err(failed)?;
        }
        let segments = self.index.searchable_segment_metas().map_err(failed)?;
        let merging = Merging { renews_most, tolerates_deletions, max_documents: D::MAX_SEGMENT_DOCUMENTS };
        for together in merging.groups(&segments) {
            writer.merge(&together).wait().map_err(failed)?;
        }
        self.reader.reload().map_err(failed)?;
        let previous = self.snapshot();
        let snapshot =
            self.fields.snapshot(&self.reader.searcher(), reached.sequence, Some(&previous)).map_err(failed)?;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        *followed = reached;
        // Files are kept as long as somebody reads them.
        drop((previous, segments));
        writer.garbage_collect_files().wait().map_err(failed)?;
        writer.wait_merging_threads().map_err(failed)?;
        Ok(applied)
    }

    /// Of each record among the changes, the vectors of its texts; nothing at all without an encoder. So many of all that
    /// are pending are behind.
    fn sentences(&self, changes: &[Change<D::Record>], applied: u64, pending: u64) -> Vec<Vec<SentenceVector>> {
        let Some(encoding) = &self.encoding else { return Vec::new() };
        let of_records: Vec<Vec<String>> =
            changes.iter().filter_map(|change| change.record.as_ref()).map(D::texts_to_encode).collect();
        let counts: Vec<usize> = of_records.iter().map(Vec::len).collect();
        let texts = of_records.concat();
        let page = changes.len();
        let on_read = |read: usize| {
            let records = page * read / texts.len().max(1);
            encoding.tell(applied + records as u64, pending);
        };
        let mut vectors = encoding.vectors(&texts, &on_read).into_iter();
        counts.into_iter().map(|count| vectors.by_ref().take(count).collect()).collect()
    }

    /// The outer error is the store's, the inner one says why the index on disk is of no use.
    fn open_sound(
        store: &Store,
        directory: &Path,
        database: &str,
        encoding: Option<&Encoding>,
    ) -> Result<Result<Self, Unusable>, StoreError> {
        let (opened, followed) = match Self::open_checked(directory, database, encoding) {
            Ok(opened) => opened,
            Err(unusable) => return Ok(Err(unusable)),
        };
        let last = D::last_change(store)?;
        if followed > last {
            return Ok(Err(Unusable::Ahead));
        }
        let documents = opened.documents();
        if followed == last && D::count(store)? != documents {
            return Ok(Err(Unusable::Damaged(format!("it holds {documents} documents, the database another number"))));
        }
        Ok(Ok(opened))
    }

    /// How the index on disk stands to a database whose last change is `last`; its vectors should be those of `encoder`, by
    /// hash. Nothing is changed.
    pub(crate) fn look(directory: &Path, database: &str, last: u64, encoder: Option<&str>) -> IndexState {
        let checked = Self::checked(directory, database, encoder);
        IndexState::of(checked.map(|(_, _, watermark)| watermark.sequence), last)
    }

    /// The index on disk, whole and of this database, and the change it goes up to.
    fn open_checked(directory: &Path, database: &str, encoding: Option<&Encoding>) -> Result<(Self, u64), Unusable> {
        let (index, fields, watermark) = Self::checked(directory, database, sha256_of(encoding).as_deref())?;
        let followed = watermark.sequence;
        let opened = Self::with_reader(directory, fields, (index, watermark), encoding.cloned());
        Ok((opened.map_err(|error| Unusable::Damaged(error.to_string()))?, followed))
    }

    /// The files of an index that is whole, of this database, and with vectors of this encoder.
    fn checked(directory: &Path, database: &str, encoder: Option<&str>) -> Result<(Index, D, Watermark), Unusable> {
        if !directory.join("meta.json").exists() {
            return Err(Unusable::Missing);
        }
        let damaged = |error: TantivyError| Unusable::Damaged(error.to_string());
        let index = Index::open_in_dir(directory).map_err(damaged)?;
        let fields = D::new();
        let metas = index.load_metas().map_err(damaged)?;
        let watermark = metas.payload.as_deref().and_then(|payload| serde_json::from_str::<Watermark>(payload).ok());
        let watermark = watermark
            .filter(|watermark| watermark.schema_version == D::VERSION && index.schema() == *fields.schema())
            .ok_or(Unusable::OtherSchema)?;
        if watermark.database != database {
            return Err(Unusable::OtherDatabase);
        }
        if watermark.encoder.as_deref() != encoder {
            return Err(Unusable::OtherEncoder);
        }
        // Before a reader maps the files, so that checking leaves nothing of them in memory. tantivy checks none
        // on its own.
        let managed = index.directory();
        for segment in &metas.segments {
            for extension in ["idx", "pos", "term", "store", "fast", "fieldnorm"] {
                let file = PathBuf::from(format!("{}.{extension}", segment.id().uuid_string()));
                files::check(directory, managed, &file)?;
            }
            if segment.has_deletes() {
                files::check(directory, managed, &segment.relative_path(tantivy::index::SegmentComponent::Delete))?;
            }
        }
        Ok((index, fields, watermark))
    }

    fn create(directory: &Path, database: &str, encoding: Option<Encoding>) -> Result<Self, IndexError> {
        let replace = |source| IndexError::Replace { directory: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(replace)?;
        files::clear(directory)?;
        let fields = D::new();
        let build = || {
            let settings = IndexSettings {
                docstore_blocksize: DOCUMENT_BLOCK_BYTES,
                docstore_compress_dedicated_thread: false,
                ..IndexSettings::default()
            };
            let files = MmapDirectory::open(directory)?;
            let index = Index::create(files, fields.schema().clone(), settings)?;
            let watermark = Watermark {
                schema_version: D::VERSION,
                database: database.to_owned(),
                sequence: 0,
                encoder: sha256_of(encoding.as_ref()),
            };
            // An index without a commit could not be told from one of another schema.
            let mut writer = writer(&index)?;
            watermark.commit(&mut writer)?;
            writer.wait_merging_threads()?;
            Self::with_reader(directory, fields, (index, watermark), encoding)
        };
        build().map_err(|source: TantivyError| IndexError::Index { directory: directory.to_owned(), source })
    }

    fn with_reader(
        directory: &Path,
        fields: D,
        (index, watermark): (Index, Watermark),
        encoding: Option<Encoding>,
    ) -> Result<Self, TantivyError> {
        D::register_tokenizers(&index);
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let snapshot = fields.snapshot(&reader.searcher(), watermark.sequence, None)?;
        Ok(Self {
            directory: directory.to_owned(),
            fields,
            encoding,
            index,
            reader,
            followed: Mutex::new(watermark),
            snapshot: RwLock::new(Arc::new(snapshot)),
        })
    }
}

fn sha256_of(encoding: Option<&Encoding>) -> Option<String> {
    encoding.map(|encoding| encoding.encoder().sha256().to_owned())
}

/// The smallest writer there is: the server must stay small, and a writer is opened for every change.
fn writer(index: &Index) -> Result<IndexWriter, TantivyError> {
    index.writer_with_options(IndexWriterOptions::builder().num_merge_threads(1).build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::article::Article, knowledge::schema::Fields};

    type ArticleIndex = DerivedIndex<Fields>;

    struct Desk {
        folder: tempfile::TempDir,
    }

    impl Desk {
        /// A data directory with some articles, closed again.
        fn new() -> Self {
            let desk = Self { folder: tempfile::tempdir().unwrap() };
            let store = desk.store();
            store.upsert_articles(&["a", "b", "c"].map(article), 0).unwrap();
            desk.open(&store).unwrap();
            desk
        }

        fn store(&self) -> Store {
            Store::open(self.folder.path()).unwrap()
        }

        fn folder(&self) -> PathBuf {
            self.folder.path().join("index").join("articles")
        }

        fn open(&self, store: &Store) -> Result<ArticleIndex, IndexError> {
            ArticleIndex::open(store, &self.folder(), None)
        }

        fn why_unusable(&self, store: &Store) -> Option<String> {
            let database = store.identity().unwrap();
            ArticleIndex::open_sound(store, &self.folder(), &database, None)
                .unwrap()
                .err()
                .map(|reason| reason.to_string())
        }

        /// The index is not used as it is, is built anew, and is sound from then on.
        fn check_healed(&self, reason: &str) {
            let store = self.store();
            let found = self.why_unusable(&store);
            assert!(found.as_deref().is_some_and(|found| found.contains(reason)), "{found:?} instead of {reason}");
            let index = self.open(&store).unwrap();
            assert_eq!(ids(&index), stored_ids(&store), "{reason}");
            assert_eq!(index.snapshot().version, store.last_change().unwrap(), "{reason}");
            drop(index);
            assert_eq!(self.why_unusable(&store), None, "{reason}");
        }

        fn files(&self, extension: &str) -> Vec<PathBuf> {
            let entries = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
        }
    }

    fn article(id: &str) -> Article {
        Article {
            id: id.into(),
            title: format!("Title {id}"),
            body: "The printer is out of paper".into(),
            ..Article::default()
        }
    }

    fn stored_ids(store: &Store) -> Vec<String> {
        store
            .list_articles(&crate::store::ArticleFilter::default(), None, 100)
            .unwrap()
            .articles
            .into_iter()
            .map(|article| article.id)
            .collect()
    }

    fn ids(index: &ArticleIndex) -> Vec<String> {
        let snapshot = index.snapshot();
        let found = super::super::search::search(
            &snapshot,
            index.fields(),
            "printer",
            &super::super::SearchFilter::default(),
            (0, 100),
        );
        found.unwrap().into_iter().map(|hit| hit.id).collect()
    }

    fn scores(index: &ArticleIndex) -> Vec<(String, f32)> {
        let filter = super::super::SearchFilter::default();
        let found =
            super::super::search::search(&index.snapshot(), index.fields(), "printer paper tray", &filter, (0, 100));
        found.unwrap().into_iter().map(|hit| (hit.id, hit.score)).collect()
    }

    #[test]
    fn an_index_that_is_up_to_date_is_used_as_it_is() {
        let desk = Desk::new();
        let store = desk.store();
        assert_eq!(desk.why_unusable(&store), None);
        let index = desk.open(&store).unwrap();
        assert_eq!(index.catch_up(&store).unwrap(), 0);
        assert_eq!(ids(&index), ["a", "b", "c"]);
    }

    #[test]
    fn an_index_that_is_behind_catches_up() {
        let desk = Desk::new();
        let store = desk.store();
        store.upsert_articles(&[article("d"), Article { body: "toner".into(), ..article("a") }], 0).unwrap();
        store.delete_article("b", false).unwrap();
        assert_eq!(desk.why_unusable(&store), None);
        let index = desk.open(&store).unwrap();
        assert_eq!(ids(&index), ["c", "d"]);
        assert_eq!(index.snapshot().version, 6);
    }

    #[test]
    fn a_missing_index_is_built() {
        let desk = Desk::new();
        fs::remove_dir_all(desk.folder()).unwrap();
        desk.check_healed("there was none");
    }

    #[test]
    fn a_deleted_file_is_noticed() {
        for extension in ["idx", "pos", "term", "store", "fast", "fieldnorm"] {
            let desk = Desk::new();
            for file in desk.files(extension) {
                fs::remove_file(file).unwrap();
            }
            desk.check_healed(&format!("{extension}: missing"));
        }
    }

    #[test]
    fn an_empty_base_is_built_once() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk { folder };
        let store = desk.store();
        drop(desk.open(&store).unwrap());
        assert_eq!(desk.why_unusable(&store), None);
        assert_eq!(ids(&desk.open(&store).unwrap()), [""; 0]);
    }

    #[test]
    fn files_that_are_not_the_index_s_are_never_deleted() {
        for name in ["notes.md", "meta.json.md", "0123.term", "sub"] {
            let desk = Desk::new();
            fs::write(desk.folder().join("meta.json"), "{").unwrap();
            let foreign = desk.folder().join(name);
            if name == "sub" {
                fs::create_dir(&foreign).unwrap();
            } else {
                fs::write(&foreign, "mine").unwrap();
            }
            let before = fs::read_dir(desk.folder()).unwrap().count();
            let error = desk.open(&desk.store()).unwrap_err();
            assert!(matches!(&error, IndexError::Foreign { entry, .. } if entry == Path::new(name)), "{error}");
            assert!(error.to_string().contains("holds other files"), "{error}");
            assert_eq!(fs::read_dir(desk.folder()).unwrap().count(), before);
        }
    }

    #[test]
    fn what_an_interrupted_write_leaves_is_cleared() {
        let desk = Desk::new();
        fs::write(desk.folder().join(".tmpAb12Cd"), "").unwrap();
        fs::write(desk.folder().join("meta.json"), "{").unwrap();
        desk.check_healed("damaged");
    }

    #[test]
    fn what_a_killed_writer_left_does_not_stop_the_next_one() {
        let desk = Desk::new();
        let store = desk.store();
        let read = |name: &str| fs::read(desk.folder().join(name)).unwrap();
        let segment = desk.files("term").pop().unwrap().file_stem().unwrap().to_owned();
        let names = fs::read_dir(desk.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        let before: Vec<_> = names.map(|name| (name.clone(), read(name.to_str().unwrap()))).collect();
        store.delete_article("a", false).unwrap();
        drop(desk.open(&store).unwrap());

        // The commit was not reached; what it wrote of the deletion before is there.
        let meta: serde_json::Value = serde_json::from_slice(&read("meta.json")).unwrap();
        let reached = meta["opstamp"].as_u64().unwrap();
        let left = (0..=reached).map(|stamp| format!("{}.{stamp}.del", segment.to_str().unwrap()));
        let left: Vec<String> = left.collect();
        files::clear(&desk.folder()).unwrap();
        for (name, bytes) in before {
            fs::write(desk.folder().join(name), bytes).unwrap();
        }
        let mut managed: Vec<String> = serde_json::from_slice(&read(".managed.json")).unwrap();
        managed.extend(left.iter().cloned());
        fs::write(desk.folder().join(".managed.json"), serde_json::to_string(&managed).unwrap()).unwrap();
        for name in &left {
            fs::write(desk.folder().join(name), "").unwrap();
        }

        assert_eq!(ids(&desk.open(&store).unwrap()), ["b", "c"]);
        assert!(left.iter().all(|name| !desk.folder().join(name).exists()));
    }

    #[test]
    fn a_file_shorter_than_its_footer_is_damaged() {
        for length in 0..10 {
            let desk = Desk::new();
            let file = desk.files("term").pop().unwrap();
            let bytes = fs::read(&file).unwrap();
            // The file's end, so that from 8 bytes on the magic number is right and the footer itself is missing.
            fs::write(file, &bytes[bytes.len() - length..]).unwrap();
            desk.check_healed("damaged");
        }
    }

    #[test]
    fn scores_after_changes_are_those_of_an_index_built_anew() {
        let desk = Desk::new();
        let store = desk.store();
        let varied = |number: usize, turn: usize| Article {
            body: format!("printer {} {}", "paper ".repeat(number * turn % 13), "tray ".repeat((number + turn) % 29)),
            ..article(&number.to_string())
        };
        let index = desk.open(&store).unwrap();
        for turn in 0..4 {
            store
                .upsert_articles(&(0..40 / (turn + 1)).map(|number| varied(number, turn)).collect::<Vec<_>>(), 0)
                .unwrap();
            store.delete_article(&(39 - turn).to_string(), false).unwrap();
            index.catch_up(&store).unwrap();
        }
        let changed = scores(&index);
        assert_eq!(changed.len(), 39);
        drop(index);
        fs::remove_dir_all(desk.folder()).unwrap();
        assert_eq!(scores(&desk.open(&store).unwrap()), changed);
    }

    #[test]
    fn a_flipped_byte_is_noticed() {
        for extension in ["idx", "pos", "term", "store", "fast", "fieldnorm"] {
            let desk = Desk::new();
            let file = desk.files(extension).pop().unwrap();
            let mut bytes = fs::read(&file).unwrap();
            bytes[0] ^= 1;
            fs::write(&file, bytes).unwrap();
            desk.check_healed("wrong checksum");
        }
    }

    #[test]
    fn a_broken_or_truncated_index_is_noticed() {
        let desk = Desk::new();
        fs::write(desk.folder().join("meta.json"), "{").unwrap();
        desk.check_healed("damaged");
        let file = desk.files("term").pop().unwrap();
        fs::write(file, "").unwrap();
        desk.check_healed("damaged");
    }

    #[test]
    fn an_index_of_another_schema_is_replaced() {
        let desk = Desk::new();
        let meta = desk.folder().join("meta.json");
        let text = fs::read_to_string(&meta).unwrap();
        let older = text.replace(&format!("schema_version\\\":{}", Fields::VERSION), "schema_version\\\":0");
        assert_ne!(text, older);
        fs::write(&meta, older).unwrap();
        desk.check_healed("schema version");
    }

    #[test]
    fn an_index_ahead_of_its_database_is_replaced() {
        let desk = Desk::new();
        let backup = desk.folder.path().join("backup");
        fs::copy(desk.folder.path().join("triage.sqlite3"), &backup).unwrap();
        let store = desk.store();
        store.upsert_articles(&[article("d")], 0).unwrap();
        desk.open(&store).unwrap();
        drop(store);
        fs::rename(backup, desk.folder.path().join("triage.sqlite3")).unwrap();
        desk.check_healed("ahead of the database");
    }

    #[test]
    fn an_index_of_another_database_is_replaced() {
        let desk = Desk::new();
        fs::remove_file(desk.folder.path().join("triage.sqlite3")).unwrap();
        desk.store().upsert_articles(&["x", "y", "z"].map(article), 0).unwrap();
        desk.check_healed("another database");
    }
}
