//! The fields of the index, and an article as a document of it.
//! One field ranks: it holds title, headings, summary, products and body together, the weightier parts several times,
//! so that a term costs one list of postings (the idea of BM25F, Robertson, Zaragoza and Taylor 2004).

use tantivy::{
    Index, Searcher, TantivyDocument, TantivyError, Term,
    schema::{BytesOptions, FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions},
    tokenizer::TextAnalyzer,
};

use super::{
    derived::Derived,
    markdown, sentences,
    snapshot::Snapshot,
    words::{TermTokenizer, Terms},
};
use crate::{
    domain::{
        article::{Article, ArticleKind, ArticleStatus, Day},
        known_error::Section,
    },
    encode::{SentenceVector, TextVector},
    store::{Change, Store, StoreError},
};

/// Raise with every change to fields, terms or what of an article is indexed: older indexes are then built anew.
const VERSION: u32 = 7;

/// A title, a summary or products longer than this count as their beginning does: stuffing them must not pay.
const MAX_WEIGHTED_BYTES: usize = 256;
/// How often the terms of each part count, measured on labelled queries.
const TITLE_TIMES: usize = 4;
const SUMMARY_TIMES: usize = 2;
const PRODUCTS_TIMES: usize = 2;
/// Passages are cut from the first bytes of an article and of each section; the whole of it is searched.
pub(super) const PASSAGE_SOURCE_BYTES: usize = 16 << 10;

const TERMS_TOKENIZER: &str = "terms";
/// Splits at everything but letters and digits and keeps function words, so that a phrase means what it says; words
/// of more than 40 bytes are left out.
const PHRASE_TOKENIZER: &str = "default";

pub(super) const KIND_COLUMN: &str = "kind";
pub(super) const STATUS_COLUMN: &str = "status";
pub(super) const SUGGESTED_UNTIL_COLUMN: &str = "suggested_until";
pub(super) const ID_COLUMN: &str = "id";
pub(super) const TITLE_WORDS_COLUMN: &str = "title_words";
pub(super) const PRODUCT_NAMES_COLUMN: &str = "product_names";
pub(super) const CATEGORY_NAME_COLUMN: &str = "category_name";
pub(super) const VECTOR_COLUMN: &str = "vector";
pub(super) const SENTENCES_COLUMN: &str = "sentences";
pub(super) const VERSION_COLUMN: &str = "version";
pub(super) const REMEDY_COLUMN: &str = "remedy";

/// So much of the body goes into an article's vector.
const VECTOR_BODY_CHARS: usize = 2_000;

/// The index's fields.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub schema: Schema,
    pub id: Field,
    /// Ranks: all parts, weighted by repetition.
    pub text: Field,
    /// The terms of titles alone: says whether a term is one that titles use.
    pub title_terms: Field,
    /// Every word in its place, for quoted phrases.
    pub phrase: Field,
    pub title: Field,
    /// Plain text that passages are cut from.
    pub plain: Field,
    pub products: Field,
    pub kind: Field,
    pub status: Field,
    pub suggested_until: Field,
    pub link: Field,
    /// Kept to be shown, beginnings only: `plain` is what passages are usually cut from.
    pub summary: Field,
    pub body: Field,
    /// Of a known error, in the order of [`Section::ALL`].
    sections: [Field; Section::ALL.len()],
    /// Which text of the article it is.
    version: Field,
    /// The number of the section that helps at once, as [`remedy_of`] reads it.
    remedy: Field,
    /// The different terms of the title, as values.
    title_words: Field,
    /// As [`comparable`].
    product_names: Field,
    category_name: Field,
    vector: Field,
    /// As [`sentences::to_bytes`].
    sentences: Field,
}

impl Derived for Fields {
    type Record = Article;
    type Snapshot = Snapshot;

    const NAME: &'static str = "knowledge";
    const VERSION: u32 = VERSION;
    /// They would count in the frequencies of terms, and the same articles would score otherwise than in an index
    /// built anew.
    const TOLERATES_DELETIONS: bool = false;
    const MAX_SEGMENT_DOCUMENTS: u32 = u32::MAX;

    fn new() -> Self {
        let indexed = |tokenizer, option, lengths| {
            TextOptions::default().set_indexing_options(
                TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(option).set_fieldnorms(lengths),
            )
        };
        let mut schema = Schema::builder();
        let id = schema.add_text_field(ID_COLUMN, STRING | STORED | FAST);
        let text = schema.add_text_field("text", indexed(TERMS_TOKENIZER, IndexRecordOption::WithFreqs, true));
        let title_terms =
            schema.add_text_field("title_terms", indexed(TERMS_TOKENIZER, IndexRecordOption::Basic, false));
        let phrase =
            schema.add_text_field("phrase", indexed(PHRASE_TOKENIZER, IndexRecordOption::WithFreqsAndPositions, false));
        let title = schema.add_text_field("title", STORED);
        let plain = schema.add_text_field("plain", STORED);
        let products = schema.add_text_field("products", STORED);
        let kind = schema.add_u64_field(KIND_COLUMN, FAST);
        let status = schema.add_u64_field(STATUS_COLUMN, FAST);
        let suggested_until = schema.add_u64_field(SUGGESTED_UNTIL_COLUMN, FAST);
        let title_words = schema.add_text_field(TITLE_WORDS_COLUMN, FAST);
        let product_names = schema.add_text_field(PRODUCT_NAMES_COLUMN, FAST);
        let category_name = schema.add_text_field(CATEGORY_NAME_COLUMN, FAST);
        let [vector, sentences] = [VECTOR_COLUMN, SENTENCES_COLUMN]
            .map(|name| schema.add_bytes_field(name, BytesOptions::default().set_fast()));
        let [link, summary, body] = ["link", "summary", "body"].map(|name| schema.add_text_field(name, STORED));
        let sections = Section::ALL.map(|section| schema.add_text_field(section.as_str(), STORED));
        let [version, remedy] = [VERSION_COLUMN, REMEDY_COLUMN].map(|name| schema.add_u64_field(name, FAST));
        let schema = schema.build();
        Self {
            schema,
            id,
            text,
            title_terms,
            phrase,
            title,
            plain,
            products,
            kind,
            status,
            suggested_until,
            link,
            summary,
            body,
            sections,
            version,
            remedy,
            title_words,
            product_names,
            category_name,
            vector,
            sentences,
        }
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

    fn texts_to_encode(article: &Article) -> Vec<String> {
        sentences::of_article(article)
    }

    fn document(&self, article: &Article, vectors: &[SentenceVector]) -> TantivyDocument {
        let Article {
            id,
            title,
            summary,
            body,
            kind,
            status,
            products,
            category,
            valid_until,
            link,
            problem: _,
            known_error,
            version,
        } = article;
        let plain_text = plain_text(article);
        let is_titled = sentences::is_titled(article, &plain_text);
        let markdown::PlainText { text, headings } = plain_text;
        let names: Vec<&str> = products.iter().chain(&known_error.affected).map(String::as_str).collect();
        let mut document = TantivyDocument::new();
        document.add_text(self.id, id);
        document.add_text(self.title, title);
        document.add_text(self.title_terms, title);
        let mut add = |text: &str, times: usize| {
            document.add_text(self.text, text);
            for _ in 1..times {
                document.add_text(self.text, &text[..text.floor_char_boundary(MAX_WEIGHTED_BYTES)]);
            }
        };
        add(title, TITLE_TIMES);
        add(summary, SUMMARY_TIMES);
        add(&names.join("\n"), PRODUCTS_TIMES);
        for product in products {
            document.add_text(self.products, product);
        }
        for heading in &headings {
            // Once more than in the text.
            document.add_text(self.text, heading);
        }
        document.add_text(self.text, &text);
        for part in [title, summary, &text].into_iter().map(String::as_str).chain(names.iter().copied()) {
            document.add_text(self.phrase, part);
        }
        let mut plain = String::with_capacity(summary.len() + 1 + text.len().min(PASSAGE_SOURCE_BYTES));
        if !summary.trim().is_empty() {
            plain.push_str(&summary.trim().replace(['\n', '\r'], " "));
            plain.push('\n');
        }
        plain.push_str(beginning(&text));
        document.add_text(self.plain, plain);
        let mut title_words = Vec::new();
        let mut terms = Terms::new(title);
        while let Some((term, _)) = terms.next_term() {
            title_words.push(term.to_owned());
        }
        title_words.sort_unstable();
        title_words.dedup();
        for word in &title_words {
            document.add_text(self.title_words, word);
        }
        for name in names {
            document.add_text(self.product_names, comparable(name));
        }
        if let Some(category) = category {
            document.add_text(self.category_name, comparable(category));
        }
        let start: String = text.chars().take(VECTOR_BODY_CHARS).collect();
        document.add_bytes(self.vector, &TextVector::of(&format!("{title} {summary} {start}")).to_bytes());
        if !vectors.is_empty() {
            document.add_bytes(self.sentences, &sentences::to_bytes(vectors, is_titled));
        }
        document.add_u64(self.kind, kind_number(*kind));
        document.add_u64(self.status, status_number(*status));
        document.add_u64(self.suggested_until, suggested_until(*status, *valid_until));
        document.add_u64(self.version, u64::from(*version));
        document.add_u64(self.remedy, remedy_number(known_error.remedy()));
        let sections = known_error.sections().map(|(section, text)| (self.section(section), text));
        let shown = [(self.link, link.as_deref().unwrap_or_default()), (self.summary, summary), (self.body, body)];
        for (field, text) in shown.into_iter().chain(sections).filter(|(_, text)| !text.is_empty()) {
            document.add_text(field, beginning(text));
        }
        document
    }

    fn snapshot(
        &self,
        searcher: &Searcher,
        version: u64,
        previous: Option<&Snapshot>,
    ) -> Result<Snapshot, TantivyError> {
        Snapshot::load(searcher.clone(), self, version, previous)
    }

    fn last_change(store: &Store) -> Result<u64, StoreError> {
        store.last_change()
    }

    fn count(store: &Store) -> Result<u64, StoreError> {
        store.count_articles()
    }

    fn changes_since(store: &Store, sequence: u64, limit: usize) -> Result<Vec<Change<Article>>, StoreError> {
        store.article_changes_since(sequence, limit)
    }
}

impl Fields {
    pub(super) fn section(&self, section: Section) -> Field {
        let [symptoms, cause, workaround, fix] = self.sections;
        match section {
            Section::Symptoms => symptoms,
            Section::Cause => cause,
            Section::Workaround => workaround,
            Section::Fix => fix,
        }
    }
}

/// Body and sections as one text: sections are text as the body is; their headings say nothing, since all known errors
/// have them.
pub(super) fn plain_text(article: &Article) -> markdown::PlainText {
    let sections = article.known_error.sections().map(|(_, section)| section);
    let (mut text, mut headings) = (String::new(), Vec::new());
    for part in [article.body.as_str()].into_iter().chain(sections) {
        let plain = markdown::read(part);
        if !text.is_empty() && !plain.text.is_empty() {
            text.push('\n');
        }
        text.push_str(&plain.text);
        headings.extend(plain.headings);
    }
    markdown::PlainText { text, headings }
}

/// As much of a text as is shown.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(PASSAGE_SOURCE_BYTES)]
}

/// The numbers stand in indexes, as those of kinds do; 0 for none, which a document without the column has too.
fn remedy_number(section: Option<Section>) -> u64 {
    match section {
        None => 0,
        Some(Section::Symptoms) => 1,
        Some(Section::Cause) => 2,
        Some(Section::Workaround) => 3,
        Some(Section::Fix) => 4,
    }
}

pub(super) fn remedy_of(number: u64) -> Option<Section> {
    Section::ALL.into_iter().find(|section| remedy_number(Some(*section)) == number)
}

/// A name of a product, service or category as it is compared with others.
pub(super) fn comparable(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The numbers stand in indexes: a change to them is a change of [`VERSION`].
const KINDS: [ArticleKind; 4] = [ArticleKind::KnownError, ArticleKind::HowTo, ArticleKind::Faq, ArticleKind::Policy];
const STATUSES: [ArticleStatus; 3] = [ArticleStatus::Draft, ArticleStatus::Published, ArticleStatus::Retired];

pub(super) fn kind_number(kind: ArticleKind) -> u64 {
    match kind {
        ArticleKind::KnownError => 0,
        ArticleKind::HowTo => 1,
        ArticleKind::Faq => 2,
        ArticleKind::Policy => 3,
    }
}

pub(super) fn status_number(status: ArticleStatus) -> u64 {
    match status {
        ArticleStatus::Draft => 0,
        ArticleStatus::Published => 1,
        ArticleStatus::Retired => 2,
    }
}

pub(super) fn kind_of(number: u64) -> ArticleKind {
    usize::try_from(number).ok().and_then(|number| KINDS.get(number)).copied().unwrap_or_default()
}

pub(super) fn status_of(number: u64) -> ArticleStatus {
    usize::try_from(number).ok().and_then(|number| STATUSES.get(number)).copied().unwrap_or_default()
}

/// The last day on which an article may be suggested, as a number; 0 for never.
fn suggested_until(status: ArticleStatus, valid_until: Option<Day>) -> u64 {
    match status {
        ArticleStatus::Draft | ArticleStatus::Retired => 0,
        ArticleStatus::Published => valid_until.map_or(u64::MAX, day_number),
    }
}

/// Orders as days do; never 0.
pub(super) fn day_number(day: Day) -> u64 {
    u64::from(day.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::known_error::KnownError;

    #[test]
    fn every_kind_and_status_has_its_number() {
        for kind in KINDS {
            assert_eq!(kind_of(kind_number(kind)), kind);
        }
        for status in STATUSES {
            assert_eq!(status_of(status_number(status)), status);
        }
        for section in Section::ALL.map(Some).into_iter().chain([None]) {
            assert_eq!(remedy_of(remedy_number(section)), section);
        }
    }

    /// Everything of three articles that goes into an index, terms included.
    fn indexed_content() -> String {
        use std::fmt::Write as _;
        use tantivy::schema::Value as _;
        let fields = Fields::new();
        let index = tantivy::Index::create_in_ram(fields.schema.clone());
        Fields::register_tokenizers(&index);
        let mut content = serde_json::to_string(&fields.schema).unwrap();
        let articles = [
            Article { id: "a".into(), title: "Printers out of paper".into(), ..Article::default() },
            Article {
                id: "KE-7".into(),
                title: "ORA-01017 at sign-in".into(),
                summary: "The password\nhas expired.".into(),
                body: "# Cause\n\nIt *expired*: see `C:\\vpn.log`, build 10.0.22631.\n\n<p>Größe<br>zählt</p>".into(),
                kind: ArticleKind::KnownError,
                status: ArticleStatus::Retired,
                products: vec!["Oracle".into(), "Windows 11".into()],
                category: Some("database".into()),
                valid_until: Day::parse("2026-05-01"),
                link: Some("https://kb.example/KE-7".into()),
                problem: Some("PRB7".into()),
                known_error: KnownError {
                    symptoms: "- Sign-in *fails*".into(),
                    cause: "### Age\n\nIt is old.".into(),
                    workaround: "1. Ask.\n2. Wait.".into(),
                    fix: "Set a new one.".into(),
                    affected: vec!["ORA-PROD".into()],
                },
                version: 3,
            },
            Article {
                id: "c".into(),
                title: "VPN über e-mail".into(),
                body: "KB5034441 don't x@y.example 日本語のテキスト ".repeat(400),
                kind: ArticleKind::Policy,
                valid_until: Day::parse("2027-01-31"),
                ..Article::default()
            },
        ];
        for article in &articles {
            let document = fields.document(article, &[]);
            for (field, value) in document.field_values() {
                let name = fields.schema.get_field_name(field);
                write!(content, "\n{name} {:?} {:?}", value.as_u64(), value.as_str()).unwrap();
                let Some(text) = value.as_str() else { continue };
                if let Ok(mut tokenizer) = index.tokenizer_for_field(field) {
                    tokenizer.token_stream(text).process(&mut |token| {
                        write!(content, " {}@{}", token.text, token.position).unwrap();
                    });
                }
            }
        }
        content
    }

    #[test]
    fn what_is_indexed_changes_only_with_the_version() {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::digest(indexed_content()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(
            (VERSION, hash.as_str()),
            (7, "999c7953a5e25912bff98ed686bb3fbc930bfaeec690041130e854396f9d1139"),
            "what is indexed changed: raise VERSION, then write the hash here"
        );
    }

    #[test]
    fn only_published_articles_are_suggested_and_no_longer_than_valid() {
        let day = Day::parse("2026-05-01").unwrap();
        assert_eq!(suggested_until(ArticleStatus::Draft, None), 0);
        assert_eq!(suggested_until(ArticleStatus::Retired, Some(day)), 0);
        assert_eq!(suggested_until(ArticleStatus::Published, None), u64::MAX);
        assert_eq!(suggested_until(ArticleStatus::Published, Some(day)), 20_260_501);
    }
}
