//! The text of articles as the index keeps it: Markdown, so that steps are still steps, and the beginning of each part
//! only. Whoever builds passages out of it needs no database.

use tantivy::{DocAddress, TantivyDocument, TantivyError, schema::Value as _};

use super::{
    evidence,
    schema::{self, Fields},
    snapshot::Snapshot,
};
use crate::domain::{
    article::{ArticleKind, ArticleStatus},
    known_error::{KnownError, Section},
};

/// Of body and sections the first bytes only, 16 KiB each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedText {
    pub id: String,
    pub version: u32,
    pub title: String,
    pub kind: ArticleKind,
    pub products: Vec<String>,
    pub status: ArticleStatus,
    pub link: Option<String>,
    pub summary: String,
    /// Markdown.
    pub body: String,
    /// Without what is affected.
    pub known_error: KnownError,
}

/// The living article of this id.
pub(super) fn of_article(snapshot: &Snapshot, fields: &Fields, id: &str) -> Result<Option<IndexedText>, TantivyError> {
    let Some((segment, number)) = evidence::find(snapshot, id) else { return Ok(None) };
    let view = &snapshot.segments[segment];
    let document = read(snapshot, segment, number)?;
    let mut known_error = KnownError::default();
    for section in Section::ALL {
        first(&document, fields.section(section)).clone_into(known_error.section_mut(section));
    }
    Ok(Some(IndexedText {
        id: id.to_owned(),
        version: version(snapshot, segment, number),
        title: first(&document, fields.title).to_owned(),
        kind: schema::kind_of(view.kinds.get_val(number)),
        products: all(&document, fields.products),
        status: schema::status_of(view.statuses.get_val(number)),
        link: link(&document, fields),
        summary: first(&document, fields.summary).to_owned(),
        body: first(&document, fields.body).to_owned(),
        known_error,
    }))
}

/// What the index keeps of a document.
pub(super) fn read(snapshot: &Snapshot, segment: usize, document: u32) -> Result<TantivyDocument, TantivyError> {
    let segment = u32::try_from(segment).unwrap_or(u32::MAX);
    snapshot.searcher.doc(DocAddress::new(segment, document))
}

pub(super) fn first(document: &TantivyDocument, field: tantivy::schema::Field) -> &str {
    document.get_first(field).and_then(|value| value.as_str()).unwrap_or_default()
}

pub(super) fn all(document: &TantivyDocument, field: tantivy::schema::Field) -> Vec<String> {
    document.get_all(field).filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

pub(super) fn link(document: &TantivyDocument, fields: &Fields) -> Option<String> {
    Some(first(document, fields.link).to_owned()).filter(|link| !link.is_empty())
}

/// Which text of the article it is.
pub(super) fn version(snapshot: &Snapshot, segment: usize, document: u32) -> u32 {
    u32::try_from(snapshot.segments[segment].versions.get_val(document)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use crate::{
        domain::{article::Article, known_error::KnownError},
        knowledge::KnowledgeBase,
        store::Store,
    };

    #[test]
    fn the_index_gives_the_text_that_it_found() {
        let folder = tempfile::tempdir().unwrap();
        let knowledge = KnowledgeBase::open(Store::open(folder.path()).unwrap(), folder.path(), None).unwrap();
        let article = Article {
            id: "a".into(),
            title: "T".into(),
            summary: "S".into(),
            body: "ä".repeat(20_000),
            kind: crate::domain::article::ArticleKind::KnownError,
            link: Some("https://kb.example/a".into()),
            products: vec!["SAP".into(), "Oracle".into()],
            known_error: KnownError { workaround: "1. Wait.\n2. Go.".into(), ..KnownError::default() },
            ..Article::default()
        };
        knowledge.upsert(&[Article { title: "Old".into(), ..article.clone() }]).unwrap();
        knowledge.upsert(std::slice::from_ref(&article)).unwrap();
        let text = knowledge.view().text("a").unwrap().unwrap();
        assert_eq!((text.version, text.title.as_str(), text.summary.as_str()), (2, "T", "S"));
        assert_eq!((text.body.len(), text.link, text.kind), (16 << 10, article.link, article.kind));
        assert_eq!(text.products, article.products);
        assert_eq!(text.known_error, article.known_error);
        assert_eq!(knowledge.view().text("b").unwrap(), None);
        knowledge.delete("a", false).unwrap();
        assert_eq!(knowledge.view().text("a").unwrap(), None);
    }
}
