//! BM25 over the ranking field: which terms of a text are worth asking for, and which documents they find.
//! The number of terms is bounded, so the cost of a text is bounded however long it is. Every posting of the chosen
//! terms is added up, a term at a time: exact, and for some tens of terms cheaper than pruning by blocks.

use std::collections::HashSet;

use tantivy::{
    InvertedIndexReader, TantivyError, fieldnorm::FieldNormReader, postings::TermInfo, schema::IndexRecordOption,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    dictionary::Dictionary,
    language::Language,
    question::{AskedWord, Asker, Question},
    snapshot::Snapshot,
};

/// BM25's saturation and length normalisation. Titles are indexed several times over, which makes term frequencies
/// large: they want a later saturation than the usual 1.2.
const K1: f32 = 2.5;
const B: f32 = 0.85;
/// A term that titles use is worth more: on labelled tickets such words are about the matter.
const TITLE_TERM_WEIGHT: f32 = 1.5;
/// Rare words count a little more than BM25 says.
pub(crate) const RARITY_EXPONENT: f32 = 0.25;
/// A word repeated more often says no more: an article stuffed with every word of the trade must not win every question.
const MAX_FREQUENCY: u8 = 20;
/// More terms find nothing better and cost their postings.
pub(crate) const MAX_TERMS: usize = 40;
/// Postings that one ticket may read. With more the frequent words of a large base find no better, but worse.
const MAX_POSTINGS: u32 = 15_000;

/// A term worth asking for.
pub(super) struct RankedTerm {
    /// The forms of one word; mostly one.
    pub forms: Vec<String>,
    /// How much it tells; larger is more.
    pub weight: f32,
    /// The postings of each form in each segment.
    pub(super) postings: Vec<Vec<Option<TermInfo>>>,
}

struct Candidate {
    word: AskedWord,
    /// What it is chosen by.
    value: f32,
    weight: f32,
}

/// The terms of a text that best tell its articles from the others, best first; at most [`MAX_TERMS`].
pub(super) fn choose_terms(snapshot: &Snapshot, text: &str, asker: Asker) -> Result<Vec<RankedTerm>, TantivyError> {
    let documents = snapshot.documents();
    let dictionary = Dictionary::new(snapshot);
    let question = Question::read(text, asker, &dictionary)?;
    let mut candidates = Vec::with_capacity(question.words.len());
    for word in question.words {
        let rarity = inverse_document_frequency(word.entry.documents, documents);
        let value = word.times * rarity;
        candidates.push(Candidate { word, value, weight: value * rarity.powf(RARITY_EXPONENT) });
    }
    // Titles are asked about the best only: each question costs a look into the dictionary.
    keep_best(&mut candidates, 2 * MAX_TERMS);
    for candidate in &mut candidates {
        let hash = xxh3_64(candidate.word.text.as_bytes());
        if snapshot.segments.iter().any(|segment| segment.columns.title_terms.contains(hash)) {
            candidate.value *= TITLE_TERM_WEIGHT;
            candidate.weight *= TITLE_TERM_WEIGHT;
        }
    }
    keep_best(&mut candidates, MAX_TERMS);
    if asker == Asker::Ticket {
        keep_affordable(&mut candidates);
    }
    let mut ranked: Vec<RankedTerm> = candidates
        .into_iter()
        .map(|Candidate { word, value: _, weight }| RankedTerm {
            forms: vec![word.text],
            weight,
            postings: vec![word.entry.postings],
        })
        .collect();
    if let Some(language) = question.language {
        add_other_forms(&mut ranked, language, &dictionary);
    }
    Ok(ranked)
}

/// Every form goes with the first term that it is a form of, unless it is asked for on its own.
fn add_other_forms(ranked: &mut [RankedTerm], language: Language, dictionary: &Dictionary<'_>) {
    let mut taken: HashSet<String> = ranked.iter().flat_map(|term| term.forms.iter().cloned()).collect();
    for term in ranked {
        for form in term.forms.first().map(|word| language.other_forms(word)).unwrap_or_default() {
            if !taken.contains(&form)
                && let Some(entry) = dictionary.entry(&form)
            {
                taken.insert(form.clone());
                term.forms.push(form);
                term.postings.push(entry.postings);
            }
        }
    }
}

/// Sorts by value, then by text, so that the same question is always asked the same way.
fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    candidates.sort_unstable_by(|a, b| b.value.total_cmp(&a.value).then_with(|| a.word.text.cmp(&b.word.text)));
    candidates.truncate(count);
}

/// Leaves out the least telling words whose postings are too many together, so that a large base costs no more.
fn keep_affordable(candidates: &mut Vec<Candidate>) {
    let mut all = 0_u32;
    candidates.retain(|candidate| {
        let found = candidate.word.entry.documents;
        let fits = all == 0 || all.saturating_add(found) <= MAX_POSTINGS;
        all = if fits { all.saturating_add(found) } else { all };
        fits
    });
}

/// As in Lucene: never negative.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts needs no more than the leading digits")]
pub(crate) fn inverse_document_frequency(found: u32, documents: u32) -> f32 {
    let others = documents.saturating_sub(found) as f32;
    ((others + 0.5) / (found as f32 + 0.5)).ln_1p()
}

/// Scores of all documents of one segment in whole numbers, 0 where none of the terms stands in it.
pub(super) fn scores(
    snapshot: &Snapshot,
    segment: usize,
    terms: &[RankedTerm],
    parts: &Parts,
) -> Result<Vec<i16>, TantivyError> {
    let view = &snapshot.segments[segment];
    let mut scores = vec![0; view.documents as usize];
    let mut of_forms: Vec<(u32, u32)> = Vec::new();
    for (term, part) in terms.iter().zip(&parts.of_terms) {
        let impact = Impact { part: *part, saturation: &snapshot.saturation, lengths: &view.columns.lengths };
        if let [postings] = &term.postings[..] {
            impact.add(&view.text, postings[segment].as_ref(), &mut scores)?;
            continue;
        }
        // The forms of a word count together, so that an article that holds two is not twice about it.
        of_forms.clear();
        for postings in &term.postings {
            for_each_posting(&view.text, postings[segment].as_ref(), &mut |document, times| {
                of_forms.push((document, times));
            })?;
        }
        of_forms.sort_unstable_by_key(|(document, _)| *document);
        for same in of_forms.chunk_by(|(a, _), (b, _)| a == b) {
            impact.add_to(&mut scores, same[0].0, same.iter().map(|(_, times)| *times).sum());
        }
    }
    Ok(scores)
}

/// What each term of a question is worth at most, in whole numbers whose sum fits two bytes: scores of a large base wait
/// for the memory and not for arithmetic, and sums of whole numbers do not depend on their order. Signed ones, since these
/// are what every processor compares eight at a time.
pub(crate) struct Parts {
    pub(crate) of_terms: Vec<u16>,
    /// Of a BM25 score of 1.
    unit: f32,
}

impl Parts {
    /// For terms of these weights, fewer than some thousands.
    pub(crate) fn new(weights: impl Iterator<Item = f32>, saturation: &Saturation) -> Self {
        let most: Vec<f32> = weights.map(|weight| weight * saturation.most).collect();
        // Every term that is found counts at least 1, see [`Impact::add_to`].
        let room = i16::MAX.saturating_sub(i16::try_from(most.len()).unwrap_or(i16::MAX));
        let unit = f32::from(room) / most.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the room there is")]
        let of_terms = most.into_iter().map(|most| (most * unit) as u16).collect();
        Self { of_terms, unit }
    }

    /// The BM25 score that stands behind a score in whole numbers.
    pub(super) fn exact(&self, score: i16) -> f32 {
        f32::from(score) / self.unit
    }
}

/// How one term adds to the scores of a segment.
pub(crate) struct Impact<'a> {
    /// One of [`Parts`].
    pub(crate) part: u16,
    pub(crate) saturation: &'a Saturation,
    /// As tantivy tells them apart, by document.
    pub(crate) lengths: &'a [u8],
}

impl Impact<'_> {
    /// Adds what the term is worth to the score of every document that holds it.
    pub(crate) fn add(
        &self,
        text: &InvertedIndexReader,
        postings: Option<&TermInfo>,
        scores: &mut [i16],
    ) -> Result<(), TantivyError> {
        for_each_posting(text, postings, &mut |document, times| self.add_to(scores, document, times))
    }

    #[inline]
    fn add_to(&self, scores: &mut [i16], document: u32, times: u32) {
        // Of the same length, which spares a look at the bounds.
        let (lengths, scores) = (&self.lengths[..scores.len()], &mut scores[..]);
        let share = self.saturation.share(times, lengths[document as usize]);
        let [_, _, worth @ ..] = (u32::from(self.part) * u32::from(share)).to_le_bytes();
        scores[document as usize] += i16::from_le_bytes(worth) + 1;
    }
}

fn for_each_posting(
    text: &InvertedIndexReader,
    postings: Option<&TermInfo>,
    act: &mut impl FnMut(u32, u32),
) -> Result<(), TantivyError> {
    let Some(postings) = postings else { return Ok(()) };
    let mut block = text.read_block_postings_from_terminfo(postings, IndexRecordOption::WithFreqs)?;
    while block.block_len() > 0 {
        for (&document, &times) in block.docs().iter().zip(block.freqs()) {
            act(document, times);
        }
        block.advance();
    }
    Ok(())
}

/// What a term is worth by BM25 in one collection: by frequency, up to [`MAX_FREQUENCY`], and each of the 256 lengths that
/// tantivy tells apart. A look into a table costs less than a division for every posting.
pub(crate) struct Saturation {
    /// What a term of weight 1 is worth at most.
    most: f32,
    /// Parts of it, of 65,535.
    shares: Box<[[u16; 256]; MAX_FREQUENCY as usize + 1]>,
}

impl Saturation {
    /// For articles.
    pub(super) fn of_articles(mean_length: f32) -> Self {
        Self::new(K1, B, mean_length)
    }

    pub(crate) fn new(k1: f32, b: f32, mean_length: f32) -> Self {
        let worth = |times: f32, length: u8| {
            #[expect(clippy::cast_precision_loss, reason = "lengths are rounded to far fewer digits already")]
            let length = FieldNormReader::id_to_fieldnorm(length) as f32;
            (k1 + 1.0) * times / (times + k1 * (1.0 - b + b * length / mean_length))
        };
        let most = worth(f32::from(MAX_FREQUENCY), 0);
        let mut shares = Box::new([[0; 256]; MAX_FREQUENCY as usize + 1]);
        for (times, row) in (0..=MAX_FREQUENCY).zip(shares.iter_mut()) {
            for (length, share) in (0..=u8::MAX).zip(row) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the most")]
                let part = (worth(f32::from(times), length) / most * f32::from(u16::MAX)) as u16;
                *share = part;
            }
        }
        Self { most, shares }
    }

    #[inline]
    fn share(&self, times: u32, length: u8) -> u16 {
        self.shares[times.min(MAX_FREQUENCY.into()) as usize][usize::from(length)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_document_with_every_term_fits_and_scores_as_it_would_exactly(
            terms in prop::collection::vec((0.000_01..30.0_f32, 1..40_u32), 1..MAX_TERMS),
            length in 0..=u8::MAX,
            mean in 1.0..500.0_f32,
        ) {
            let saturation = Saturation::of_articles(mean);
            let parts = Parts::new(terms.iter().map(|(weight, _)| *weight), &saturation);
            let mut scores = [0];
            let mut exact = 0.0;
            for ((weight, times), &part) in terms.iter().zip(&parts.of_terms) {
                let before = scores[0];
                Impact { part, saturation: &saturation, lengths: &[length] }.add_to(&mut scores, 0, *times);
                prop_assert!(scores[0] > before, "every term counts");
                let (times, words) = (times.min(&20), FieldNormReader::id_to_fieldnorm(length));
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let (times, words) = (*times as f32, words as f32);
                exact += weight * (K1 + 1.0) * times / (times + K1 * (1.0 - B + B * words / mean));
            }
            let rounding = terms.iter().map(|_| 3.0).sum::<f32>() / parts.unit;
            prop_assert!((parts.exact(scores[0]) - exact).abs() <= rounding + 0.001 * exact, "{} {exact}", parts.exact(scores[0]));
        }
    }
}
