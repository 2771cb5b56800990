//! What a sentence encoder reads of an article, and how like a question is to that: its title with its summary, and its
//! passages, of which the most alike counts. Exact dot products over all articles: of a hundred thousand vectors they
//! take a few milliseconds, less than reading the question.

use super::schema;
use crate::{
    domain::article::Article,
    encode::{SentenceVector, SentenceVectors},
};

/// Words of a passage; a passage begins where the last one ended.
const PASSAGE_WORDS: usize = 110;
/// Of a long article the beginning is read.
const MAX_PASSAGES: usize = 16;
/// How far the most like passage stands out among the others, which count a little too.
const SHARPNESS: f32 = 20.0;

/// Title and summary, then the passages.
pub(super) fn of_article(article: &Article) -> Vec<String> {
    let Article { title, summary, .. } = article;
    let head = [title.trim(), summary.trim()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let text = schema::plain_text(article).text;
    let words: Vec<&str> = text.split_whitespace().take(PASSAGE_WORDS * MAX_PASSAGES).collect();
    let passages = words.chunks(PASSAGE_WORDS).map(|words| format!("{title}\n{}", words.join(" ")));
    [head.join("\n")].into_iter().chain(passages).collect()
}

/// How many vectors there are, in one byte, and these one behind the other.
pub(super) fn to_bytes(vectors: &[SentenceVector]) -> Vec<u8> {
    let count = u8::try_from(vectors.len()).unwrap_or(u8::MAX);
    [count].into_iter().chain(vectors.iter().flat_map(SentenceVector::to_bytes)).collect()
}

/// The vectors of a segment's articles.
#[derive(Default)]
pub(super) struct ArticleSentences {
    vectors: SentenceVectors,
    /// By document, where its vectors start; one more than documents.
    starts: Vec<usize>,
}

/// How like a question is to an article; cosines.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Meaning {
    /// To its title and summary.
    pub head: f32,
    /// To its passages: a soft maximum.
    pub passage: f32,
}

impl ArticleSentences {
    /// Of all documents in order, as [`to_bytes`] made them; empty for one that has none.
    pub(super) fn new<'a>(documents: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut all = Self::default();
        for document in documents {
            all.starts.push(all.vectors.len());
            let Some((&count, bytes)) = document.split_first() else { continue };
            for vector in bytes.chunks_exact((bytes.len() / usize::from(count).max(1)).max(1)) {
                all.vectors.push(&SentenceVector::from_bytes(vector));
            }
        }
        all
    }

    /// How like a question is to one document.
    pub(super) fn of(&self, document: u32, question: &SentenceVector) -> Meaning {
        let document = document as usize;
        let Some(&start) = self.starts.get(document) else { return Meaning::default() };
        let end = self.starts.get(document + 1).copied().unwrap_or(self.vectors.len());
        Meaning::of((start..end).map(|place| self.vectors.cosine(place, question)))
    }

    /// How like a question is to each document, in order.
    pub(super) fn all(&self, question: &SentenceVector) -> impl Iterator<Item = Meaning> {
        let mut cosines = self.vectors.cosines(question);
        let ends = self.starts.iter().skip(1).copied().chain([self.vectors.len()]);
        self.starts.iter().zip(ends).map(move |(start, end)| Meaning::of(cosines.by_ref().take(end - start)))
    }
}

impl Meaning {
    /// Of the cosines with an article's vectors.
    fn of(mut cosines: impl Iterator<Item = f32>) -> Self {
        let head = cosines.next().unwrap_or_default();
        // An article that is nothing but its title says as much by it as one by a passage.
        let passages: f32 = cosines.map(|cosine| (SHARPNESS * cosine).exp()).sum();
        let passage = if passages > 0.0 { passages.ln() / SHARPNESS } else { head };
        Self { head, passage }
    }

    /// To the part that is most like it.
    pub(super) fn most(self) -> f32 {
        self.head.max(self.passage)
    }
}
