//! What a sentence encoder reads of an article, and how like a question is to that: its title with its summary, and its
//! passages, of which the most alike counts. Exact dot products over all articles: of a hundred thousand vectors they
//! take a few milliseconds, less than reading the question.

use super::{markdown::PlainText, schema};
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
    let plain = schema::plain_text(article);
    let before = if is_titled(article, &plain) { format!("{title}\n") } else { String::new() };
    let words: Vec<&str> = plain.text.split_whitespace().take(PASSAGE_WORDS * MAX_PASSAGES).collect();
    let passages = words.chunks(PASSAGE_WORDS).map(|words| format!("{before}{}", words.join(" ")));
    [head.join("\n")].into_iter().chain(passages).collect()
}

/// Whether title and summary say what the article is about. A title that was taken from the text of an article that has
/// none is only how it begins: before a passage from further on it misleads.
pub(super) fn is_titled(article: &Article, plain: &PlainText) -> bool {
    let Article { title, summary, .. } = article;
    !summary.trim().is_empty() || plain.headings.first() == Some(title) || !plain.text.starts_with(title.as_str())
}

/// How many vectors there are, in one byte, whether the article is titled, and the vectors one behind the other.
pub(super) fn to_bytes(vectors: &[SentenceVector], is_titled: bool) -> Vec<u8> {
    let count = u8::try_from(vectors.len()).unwrap_or(u8::MAX);
    [count, u8::from(is_titled)].into_iter().chain(vectors.iter().flat_map(SentenceVector::to_bytes)).collect()
}

/// The vectors of a segment's articles.
#[derive(Default)]
pub(super) struct ArticleSentences {
    vectors: SentenceVectors,
    /// By document, where its vectors start.
    starts: Vec<usize>,
    /// By document.
    titled: Vec<bool>,
}

/// How like a question is to an article; cosines.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Meaning {
    /// To its title and summary; where it has none, to whatever of it is most like the question.
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
            let &[count, is_titled, ref bytes @ ..] = document else {
                all.titled.push(true);
                continue;
            };
            all.titled.push(is_titled != 0);
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
        Meaning::of(self.titled[document], (start..end).map(|place| self.vectors.cosine(place, question)))
    }

    /// How like a question is to each document, in order.
    pub(super) fn all(&self, question: &SentenceVector) -> impl Iterator<Item = Meaning> {
        let mut cosines = self.vectors.cosines(question);
        let ends = self.starts.iter().skip(1).copied().chain([self.vectors.len()]);
        let documents = self.starts.iter().zip(ends).zip(&self.titled);
        documents.map(move |((start, end), titled)| Meaning::of(*titled, cosines.by_ref().take(end - start)))
    }
}

impl Meaning {
    /// Of the cosines with an article's vectors.
    fn of(is_titled: bool, mut cosines: impl Iterator<Item = f32>) -> Self {
        let head = cosines.next().unwrap_or_default();
        // An article that is nothing but its title says as much by it as one by a passage.
        let passages: f32 = cosines.map(|cosine| (SHARPNESS * cosine).exp()).sum();
        let passage = if passages > 0.0 { passages.ln() / SHARPNESS } else { head };
        Self { head: if is_titled { head } else { head.max(passage) }, passage }
    }

    /// To the part that is most like it.
    pub(super) fn most(self) -> f32 {
        self.head.max(self.passage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titled(title: &str, summary: &str, body: &str) -> (bool, Vec<String>) {
        let (title, summary, body) = (title.into(), summary.into(), body.into());
        let article = Article { title, summary, body, ..Article::default() };
        (is_titled(&article, &schema::plain_text(&article)), of_article(&article))
    }

    #[test]
    fn a_title_that_is_how_the_text_begins_stands_before_no_passage() {
        for (title, summary, body, expected, passage) in [
            ("VPN drops", "", "Connect again.", true, "VPN drops\nConnect again."),
            ("VPN drops", "", "# VPN drops\n\nConnect again.", true, "VPN drops\nVPN drops Connect again."),
            ("VPN", "After sleep.", "VPN drops. Connect again.", true, "VPN\nVPN drops. Connect again."),
            ("Fixes are av", "", "Fixes are available *now*.", false, "Fixes are available now."),
            ("VPN drops", "", "VPN drops\nConnect again.", false, "VPN drops Connect again."),
        ] {
            let (is_titled, texts) = titled(title, summary, body);
            assert_eq!((is_titled, texts[1].as_str()), (expected, passage), "{title} {body}");
        }
        assert_eq!(titled("VPN drops", "", "").1, ["VPN drops"]);
    }

    #[test]
    fn what_is_kept_is_compared_as_it_was_made() {
        let vector = |values: [f32; 2]| SentenceVector::new(&values);
        let (north, east) = (vector([0.0, 0.3]), vector([0.3, 0.0]));
        let documents = [
            to_bytes(&[north.clone(), east.clone()], true),
            Vec::new(),
            to_bytes(&[north.clone(), east.clone()], false),
            to_bytes(std::slice::from_ref(&east), true),
        ];
        let sentences = ArticleSentences::new(documents.iter().map(Vec::as_slice));
        let expected = [(0.0, 1.0), (0.0, 0.0), (1.0, 1.0), (1.0, 1.0)];
        let all: Vec<Meaning> = sentences.all(&east).collect();
        for (document, (head, passage)) in (0..).zip(expected) {
            let meaning = sentences.of(document, &east);
            assert!((meaning.head - head).abs() < 1e-3 && (meaning.passage - passage).abs() < 1e-3, "{meaning:?}");
            assert_eq!(all[document as usize], meaning);
        }
        assert_eq!(sentences.of(4, &east), Meaning::default());
    }
}
