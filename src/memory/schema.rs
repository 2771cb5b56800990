//! The fields of the memory's index, and a confirmed ticket as a document of it. No text is stored: a ticket is found
//! by its terms, compared by its bag, and shown from the database.

use tantivy::{
    Index, Searcher, TantivyDocument, TantivyError, Term,
    schema::{BytesOptions, FAST, Field, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions},
    tokenizer::TextAnalyzer,
};

use super::{bag, labels, snapshot::Snapshot};
use crate::{
    domain::memory::ConfirmedTicket,
    encode::{SentenceVector, TextVector},
    knowledge::{derived::Derived, words::TermTokenizer},
    store::{Change, Store, StoreError},
};

const TERMS_TOKENIZER: &str = "terms";

pub(super) const ID_COLUMN: &str = "id";
pub(super) const ARTICLES_COLUMN: &str = "articles";
pub(super) const REFUSED_COLUMN: &str = "refused";
pub(super) const LABELS_COLUMN: &str = "labels";
pub(super) const WORDS_COLUMN: &str = "words";
pub(super) const PAIRS_COLUMN: &str = "pairs";
pub(super) const VECTOR_COLUMN: &str = "vector";
pub(super) const SENTENCE_COLUMN: &str = "sentence";

#[derive(Debug, Clone)]
pub(super) struct Fields {
    schema: Schema,
    pub id: Field,
    /// The terms of summary and description.
    pub text: Field,
    /// Ids of the articles that solved the ticket.
    pub articles: Field,
    /// Ids of the articles that were of no use.
    pub refused: Field,
    /// As [`labels::encode`] writes them.
    labels: Field,
    /// As hashes with counts, see [`bag`]. Apart, since words alone make a similarity.
    words: Field,
    pairs: Field,
    /// Of tickets that articles solved or that have labels.
    vector: Field,
    /// The vector of a sentence encoder, of tickets that articles solved.
    sentence: Field,
}

impl Derived for Fields {
    type Record = ConfirmedTicket;
    type Snapshot = Snapshot;

    const NAME: &'static str = "memory";
    const VERSION: u32 = 5;
    /// Frequencies and lengths are counted over living tickets only, so that a corrected ticket is found at once and
    /// need not wait for a large segment to be written anew.
    const TOLERATES_DELETIONS: bool = true;
    const MAX_SEGMENT_DOCUMENTS: u32 = 100_000;

    fn new() -> Self {
        let terms = TextFieldIndexing::default()
            .set_tokenizer(TERMS_TOKENIZER)
            .set_index_option(IndexRecordOption::WithFreqs)
            .set_fieldnorms(true);
        let mut schema = Schema::builder();
        let id = schema.add_text_field(ID_COLUMN, STRING | FAST);
        let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(terms));
        let articles = schema.add_text_field(ARTICLES_COLUMN, STRING | FAST);
        let refused = schema.add_text_field(REFUSED_COLUMN, STRING | FAST);
        let labels = schema.add_text_field(LABELS_COLUMN, STRING | FAST);
        let words = schema.add_u64_field(WORDS_COLUMN, FAST);
        let pairs = schema.add_u64_field(PAIRS_COLUMN, FAST);
        let [vector, sentence] = [VECTOR_COLUMN, SENTENCE_COLUMN]
            .map(|name| schema.add_bytes_field(name, BytesOptions::default().set_fast()));
        Self { schema: schema.build(), id, text, articles, refused, labels, words, pairs, vector, sentence }
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn register_tokenizers(index: &Index) {
        index.tokenizers().register(TERMS_TOKENIZER, TextAnalyzer::from(TermTokenizer));
    }

    fn id_term(&self, id: &str) -> Term {
        Term::from_field_text(self.id, id)
    }

    fn texts_to_encode(ticket: &ConfirmedTicket) -> Vec<String> {
        let has_links = !ticket.articles.is_empty() || !ticket.refused.is_empty();
        if has_links { vec![ticket.text()] } else { Vec::new() }
    }

    fn document(&self, ticket: &ConfirmedTicket, sentences: &[SentenceVector]) -> TantivyDocument {
        let text = ticket.text();
        let mut document = TantivyDocument::new();
        document.add_text(self.id, &ticket.id);
        document.add_text(self.text, bag::beginning(&text));
        for article in &ticket.articles {
            document.add_text(self.articles, article);
        }
        for article in &ticket.refused {
            document.add_text(self.refused, article);
        }
        for (field, label) in &ticket.labels {
            document.add_text(self.labels, labels::encode(field, label, ticket.voices.get(field)));
        }
        for feature in bag::features(&text) {
            let column = if feature.term.is_some() { self.words } else { self.pairs };
            document.add_u64(column, bag::encode(&feature));
        }
        if !ticket.articles.is_empty() || !ticket.labels.is_empty() {
            document.add_bytes(self.vector, &TextVector::of(&text).to_bytes());
        }
        if let Some(sentence) = sentences.first() {
            document.add_bytes(self.sentence, &sentence.to_bytes().collect::<Vec<_>>());
        }
        document
    }

    fn snapshot(
        &self,
        searcher: &Searcher,
        version: u64,
        previous: Option<&Snapshot>,
    ) -> Result<Snapshot, TantivyError> {
        Snapshot::load(searcher, self, version, previous)
    }

    fn last_change(store: &Store) -> Result<u64, StoreError> {
        store.last_memory_change()
    }

    fn count(store: &Store) -> Result<u64, StoreError> {
        store.count_memory_tickets()
    }

    fn changes_since(store: &Store, sequence: u64, limit: usize) -> Result<Vec<Change<ConfirmedTicket>>, StoreError> {
        store.memory_changes_since(sequence, limit)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use sha2::{Digest as _, Sha256};
    use tantivy::schema::Value as _;

    use super::*;

    /// Everything of some tickets that goes into an index, terms included.
    fn indexed_content() -> String {
        let fields = Fields::new();
        let index = Index::create_in_ram(fields.schema.clone());
        Fields::register_tokenizers(&index);
        let mut content = serde_json::to_string(&fields.schema).unwrap();
        for description in [
            "Printers out of paper",
            "ORA-01017 at sign-in: see `C:\\vpn.log`, build 10.0.22631. Größe zählt, KB5034441 don't x@y.example",
            &"日本語のテキスト VPN über e-mail ".repeat(900),
        ] {
            let ticket = ConfirmedTicket {
                id: "INC1".into(),
                summary: "Summary of it".into(),
                description: description.into(),
                articles: ["KB1".to_owned(), "KB2".to_owned()].into(),
                refused: ["KB3".to_owned()].into(),
                labels: [("category".to_owned(), "network/vpn".to_owned())].into(),
                ..ConfirmedTicket::default()
            };
            for (field, value) in fields.document(&ticket, &[]).field_values() {
                let name = fields.schema.get_field_name(field);
                write!(content, "\n{name} {:?} {:?} {:?}", value.as_str(), value.as_bytes(), value.as_u64()).unwrap();
                let (Some(text), Ok(mut tokenizer)) = (value.as_str(), index.tokenizer_for_field(field)) else {
                    continue;
                };
                tokenizer.token_stream(text).process(&mut |token| write!(content, " {}", token.text).unwrap());
            }
        }
        content
    }

    #[test]
    fn what_is_indexed_changes_only_with_the_version() {
        let hash = Sha256::digest(indexed_content()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(
            (Fields::VERSION, hash.as_str()),
            (5, "5ca9ee1a7e9929b135693581e871da027404d2e477044064507c551242672a11"),
            "what is indexed changed: raise VERSION, then write the hash here"
        );
    }
}
