//! BM25 over the ranking field: which terms of a text are worth asking for, and which documents they find.
//! The number of terms is bounded, so the cost of a text is bounded however long it is. Every posting of the chosen
//! terms is added up, a term at a time: exact, and for some tens of terms cheaper than pruning by blocks.

use std::collections::HashMap;

use tantivy::{TantivyError, Term, fieldnorm::FieldNormReader, postings::TermInfo, schema::IndexRecordOption};

use super::{
    schema::Fields,
    snapshot::Snapshot,
    words::{Terms, is_desk_term},
};

/// BM25's saturation and length normalisation. Titles are indexed several times over, which makes term frequencies
/// large: they want a later saturation than the usual 1.2.
const K1: f32 = 2.5;
const B: f32 = 0.85;
/// A term that titles use is worth more: on labelled tickets such words are about the matter.
const TITLE_TERM_WEIGHT: f32 = 1.5;
/// Rare words count a little more than BM25 says.
const RARITY_EXPONENT: f32 = 0.25;
/// A word repeated more often, as in a pasted log, says no more.
const MAX_REPEATS: u16 = 6;
/// In an article, too: one stuffed with every word of the trade must not win every question.
const MAX_FREQUENCY: u32 = 20;
/// More terms find nothing better and cost their postings.
const MAX_TERMS: usize = 24;
/// Of a long text, such as a pasted log, only the beginning is looked at.
const MAX_DIFFERENT_WORDS: usize = 400;
const MAX_BYTES_READ: usize = 16 << 10;

/// A term worth asking for.
pub(super) struct RankedTerm {
    pub text: String,
    /// How much it tells; larger is more.
    pub weight: f32,
    /// Its postings in each segment.
    postings: Vec<Option<TermInfo>>,
}

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A ticket: words that every ticket holds are left out where others remain.
    Ticket,
    /// A person who chose the words.
    Analyst,
}

struct Candidate {
    text: String,
    /// What it is chosen by.
    value: f32,
    weight: f32,
    postings: Vec<Option<TermInfo>>,
}

/// The terms of a text that best tell its articles from the others, best first; at most [`MAX_TERMS`].
pub(super) fn choose_terms(
    snapshot: &Snapshot,
    fields: &Fields,
    text: &str,
    asker: Asker,
) -> Result<Vec<RankedTerm>, TantivyError> {
    let documents = snapshot.documents();
    let mut candidates = Vec::new();
    for (word, times) in count_words(text, asker) {
        let term = Term::from_field_text(fields.text, &word);
        let mut postings = Vec::with_capacity(snapshot.segments.len());
        for segment in &snapshot.segments {
            postings.push(segment.text.get_term_info(&term)?);
        }
        let found = postings.iter().flatten().map(|info| info.doc_freq).sum();
        if found > 0 {
            let rarity = inverse_document_frequency(found, documents);
            let value = f32::from(times) * rarity;
            candidates.push(Candidate { text: word, value, weight: value * rarity.powf(RARITY_EXPONENT), postings });
        }
    }
    // Titles are asked about the best only: each question costs a look into the dictionary.
    keep_best(&mut candidates, 2 * MAX_TERMS);
    for candidate in &mut candidates {
        let term = Term::from_field_text(fields.title_terms, &candidate.text);
        let mut in_a_title = false;
        for segment in &snapshot.segments {
            in_a_title = in_a_title || segment.title_terms.get_term_info(&term)?.is_some();
        }
        if in_a_title {
            candidate.value *= TITLE_TERM_WEIGHT;
            candidate.weight *= TITLE_TERM_WEIGHT;
        }
    }
    keep_best(&mut candidates, MAX_TERMS);
    let ranked = |Candidate { text, value: _, weight, postings }| RankedTerm { text, weight, postings };
    Ok(candidates.into_iter().map(ranked).collect())
}

/// The different words of a text with how often they stand there.
fn count_words(text: &str, asker: Asker) -> HashMap<String, u16> {
    let mut counts: HashMap<String, u16> = HashMap::new();
    let mut terms = Terms::new(&text[..text.floor_char_boundary(MAX_BYTES_READ)]);
    while let Some((term, _)) = terms.next_term() {
        if let Some(count) = counts.get_mut(term) {
            *count = (*count + 1).min(MAX_REPEATS);
        } else if counts.len() < MAX_DIFFERENT_WORDS {
            counts.insert(term.to_owned(), 1);
        }
    }
    if asker == Asker::Ticket && !counts.keys().all(|term| is_desk_term(term)) {
        counts.retain(|term, _| !is_desk_term(term));
    }
    counts
}

/// Sorts by value, then by text, so that the same question is always asked the same way.
fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    candidates.sort_unstable_by(|a, b| b.value.total_cmp(&a.value).then_with(|| a.text.cmp(&b.text)));
    candidates.truncate(count);
}

/// As in Lucene: never negative.
#[expect(clippy::cast_precision_loss, reason = "a ratio of counts needs no more than the leading digits")]
fn inverse_document_frequency(found: u32, documents: u32) -> f32 {
    let others = documents.saturating_sub(found) as f32;
    ((others + 0.5) / (found as f32 + 0.5)).ln_1p()
}

/// Scores of all documents of one segment, 0 where none of the terms stands in it.
pub(super) fn scores(snapshot: &Snapshot, segment: usize, terms: &[RankedTerm]) -> Result<Vec<f32>, TantivyError> {
    let view = &snapshot.segments[segment];
    let mut scores = vec![0.0; view.documents as usize];
    let saturation = saturation_by_length(snapshot.mean_length);
    for term in terms {
        let Some(info) = &term.postings[segment] else { continue };
        let mut block = view.text.read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
        let full_weight = term.weight * (K1 + 1.0);
        while block.block_len() > 0 {
            for (&document, &times) in block.docs().iter().zip(block.freqs()) {
                let length = view.lengths.fieldnorm_id(document);
                #[expect(clippy::cast_precision_loss, reason = "at most `MAX_FREQUENCY`")]
                let times = times.min(MAX_FREQUENCY) as f32;
                scores[document as usize] += full_weight * times / (times + saturation[usize::from(length)]);
            }
            block.advance();
        }
    }
    Ok(scores)
}

/// BM25's denominator without the frequency, for each of the 256 lengths that tantivy tells apart.
fn saturation_by_length(mean_length: f32) -> [f32; 256] {
    let mut saturation = [0.0; 256];
    for (id, saturation) in (0..=u8::MAX).zip(&mut saturation) {
        #[expect(clippy::cast_precision_loss, reason = "lengths are rounded to far fewer digits already")]
        let length = FieldNormReader::id_to_fieldnorm(id) as f32;
        *saturation = K1 * (1.0 - B + B * length / mean_length);
    }
    saturation
}
