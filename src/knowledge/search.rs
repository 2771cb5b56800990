//! Two questions to one index: which articles may solve this ticket, and which hold what an analyst typed.

use tantivy::{
    DocSet, TERMINATED, TantivyDocument, TantivyError, Term,
    query::{EnableScoring, PhraseQuery, Query, TermQuery},
    schema::{IndexRecordOption, Value},
    tokenizer::TokenStream,
};

use super::{
    passage::{self, WantedTerms},
    rank::{self, Asker, RankedTerm},
    schema::{self, Fields},
    snapshot::Snapshot,
    top::{Ranked, Top},
};
use crate::domain::article::{ArticleHit, ArticleKind, ArticleStatus, Day};

/// An article whose id was typed stands before all others.
const ID_SCORE: f32 = 1_000.0;
/// So that a phrase of function words alone finds what it quotes.
const PHRASE_SCORE: f32 = 1.0;

/// Which articles an analyst wants to see; an empty list stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchFilter {
    pub kinds: Vec<ArticleKind>,
    pub statuses: Vec<ArticleStatus>,
}

/// Published articles that may still be suggested on `today`, best first.
pub(super) fn suggest(
    snapshot: &Snapshot,
    fields: &Fields,
    text: &str,
    today: Day,
    limit: usize,
) -> Result<Vec<ArticleHit>, TantivyError> {
    let terms = rank::choose_terms(snapshot, fields, text, Asker::Ticket)?;
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let today = schema::day_number(today);
    let mut top = Top::new(limit);
    for (number, segment) in snapshot.segments.iter().enumerate() {
        let scores = rank::scores(snapshot, number, &terms)?;
        collect(snapshot, number, &scores, &mut top, |document| segment.suggested_until.get_val(document) >= today);
    }
    let best = top.take(snapshot, 0)?;
    show(snapshot, fields, &best, &wanted(&terms))
}

/// Articles of any status that hold all quoted phrases and any of the words, best first.
pub(super) fn search(
    snapshot: &Snapshot,
    fields: &Fields,
    query: &str,
    filter: &SearchFilter,
    (offset, limit): (usize, usize),
) -> Result<Vec<ArticleHit>, TantivyError> {
    let terms = rank::choose_terms(snapshot, fields, query, Asker::Analyst)?;
    let phrases = phrases(snapshot, fields, query);
    let id = TermQuery::new(fields.id_term(query.trim()), IndexRecordOption::Basic);
    let statuses: Vec<u64> = filter.statuses.iter().map(|status| schema::status_number(*status)).collect();
    let kinds: Vec<u64> = filter.kinds.iter().map(|kind| schema::kind_number(*kind)).collect();
    let mut top = Top::new(offset.saturating_add(limit));
    for (number, segment) in snapshot.segments.iter().enumerate() {
        let mut scores = rank::scores(snapshot, number, &terms)?;
        for phrase in &phrases {
            keep_matches(snapshot, number, phrase.as_ref(), &mut scores)?;
        }
        for_each_match(snapshot, number, &id, |document| scores[document as usize] += ID_SCORE)?;
        collect(snapshot, number, &scores, &mut top, |document| {
            (kinds.is_empty() || kinds.contains(&segment.kinds.get_val(document)))
                && (statuses.is_empty() || statuses.contains(&segment.statuses.get_val(document)))
        });
    }
    let found = top.take(snapshot, offset)?;
    show(snapshot, fields, &found, &wanted(&terms))
}

fn collect(snapshot: &Snapshot, segment: usize, scores: &[f32], top: &mut Top, accept: impl Fn(u32) -> bool) {
    for (document, &score) in (0_u32..).zip(scores) {
        if score >= top.threshold() && snapshot.is_alive(segment, document) && accept(document) {
            top.push(Ranked { segment, document, score });
        }
    }
}

/// The quoted parts of a query; a quotation mark without its partner is none.
fn phrases(snapshot: &Snapshot, fields: &Fields, query: &str) -> Vec<Box<dyn Query>> {
    let mut parts: Vec<&str> = query.split(['"', '“', '”', '„']).collect();
    if parts.len().is_multiple_of(2) {
        parts.pop();
    }
    let Ok(mut tokenizer) = snapshot.searcher.index().tokenizer_for_field(fields.phrase) else { return Vec::new() };
    let mut phrases: Vec<Box<dyn Query>> = Vec::new();
    for quoted in parts.iter().skip(1).step_by(2) {
        let mut words = Vec::new();
        let mut tokens = tokenizer.token_stream(quoted);
        while let Some(token) = tokens.next() {
            words.push((token.position, Term::from_field_text(fields.phrase, &token.text)));
        }
        match words.pop() {
            None => {}
            Some((_, word)) if words.is_empty() => {
                phrases.push(Box::new(TermQuery::new(word, IndexRecordOption::Basic)))
            }
            Some(last) => {
                words.push(last);
                phrases.push(Box::new(PhraseQuery::new_with_offset(words)));
            }
        }
    }
    phrases
}

/// Sets the scores of all documents to 0 that the query does not match.
fn keep_matches(
    snapshot: &Snapshot,
    segment: usize,
    query: &dyn Query,
    scores: &mut [f32],
) -> Result<(), TantivyError> {
    let mut next = 0;
    for_each_match(snapshot, segment, query, |document| {
        let document = document as usize;
        scores[next..document].fill(0.0);
        scores[document] += PHRASE_SCORE;
        next = document + 1;
    })?;
    scores[next..].fill(0.0);
    Ok(())
}

fn for_each_match(
    snapshot: &Snapshot,
    segment: usize,
    query: &dyn Query,
    mut act: impl FnMut(u32),
) -> Result<(), TantivyError> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(&snapshot.searcher))?;
    let reader = &snapshot.searcher.segment_readers()[segment];
    let mut documents = weight.scorer(reader, 1.0)?;
    while documents.doc() != TERMINATED {
        act(documents.doc());
        documents.advance();
    }
    Ok(())
}

fn wanted(terms: &[RankedTerm]) -> WantedTerms {
    let mut wanted = WantedTerms::new();
    for term in terms {
        wanted.insert(&term.text, term.weight);
    }
    wanted
}

fn show(
    snapshot: &Snapshot,
    fields: &Fields,
    found: &[Ranked],
    wanted: &WantedTerms,
) -> Result<Vec<ArticleHit>, TantivyError> {
    let mut hits = Vec::with_capacity(found.len());
    for ranked in found {
        let segment = &snapshot.segments[ranked.segment];
        let number = u32::try_from(ranked.segment).unwrap_or(u32::MAX);
        let document: TantivyDocument = snapshot.searcher.doc(tantivy::DocAddress::new(number, ranked.document))?;
        let first = |field| document.get_first(field).and_then(|value| value.as_str()).unwrap_or_default();
        hits.push(ArticleHit {
            id: first(fields.id).to_owned(),
            title: first(fields.title).to_owned(),
            kind: schema::kind_of(segment.kinds.get_val(ranked.document)),
            status: schema::status_of(segment.statuses.get_val(ranked.document)),
            products: document.get_all(fields.products).filter_map(|value| value.as_str().map(str::to_owned)).collect(),
            score: ranked.score,
            passage: passage::best(first(fields.plain), wanted),
        });
    }
    Ok(hits)
}
