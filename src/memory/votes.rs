//! What past tickets say about articles: the nearest ones vote for what solved them and against what was refused, and
//! all that an article solved tells what it is good for.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    MemoryView, bag,
    experience::Own,
    neighbours::{self, Near, Others, Wanted},
    sentences,
};
use crate::{
    encode::{HashIndex, SentenceVector, TextVector},
    knowledge::{IndexError, derived::Derived as _},
};

/// So many tickets are compared with the text, the best by BM25.
const CANDIDATES: usize = 100;
/// So many vote.
const VOTERS: usize = 60;
/// The same by their meaning, where votes count with a power of the cosine: that of any two tickets is more than 0.
const VOTERS_BY_MEANING: usize = 60;
const MEANING_EXPONENT: i32 = 8;
/// From this similarity on a ticket is called similar when a suggestion is explained.
const SIMILAR: f32 = 0.1;
const SIMILAR_MEANING: f32 = 0.6;
/// As like as the same words are: copies of the asking ticket.
const COPY: f32 = 0.999;

/// Whose voices count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    /// A ticket with the same words is the best witness there is.
    Vote,
    /// What is learned from a ticket must not be what its copy says.
    LeftOut,
}

/// What the memory says about a ticket.
pub(crate) struct Experienced<'a> {
    view: &'a MemoryView<'a>,
    own: Option<Own>,
    by_words: Votes<'a>,
    /// None without a sentence encoder.
    by_meaning: Votes<'a>,
}

/// Votes by article, in the order in which these were first voted for.
#[derive(Default)]
struct Votes<'a> {
    /// Of all articles that more speaks for than against.
    total: f32,
    /// Places in the list, by the hashes of the articles' ids.
    places: HashIndex,
    list: Vec<(&'a str, Vote<'a>)>,
}

impl<'a> Votes<'a> {
    /// Each ticket votes with the `weight` of its similarity; from `similar` on it is named as similar.
    fn cast<'b>(near: impl Iterator<Item = &'b Near<'a>>, similar: f32, weight: impl Fn(f32) -> f32) -> Self
    where
        'a: 'b,
    {
        let mut votes = Self::default();
        for near in near {
            let weight = weight(near.similarity);
            for article in near.segment.solved_by(near.document) {
                let vote = votes.of(article);
                vote.weight += weight;
                if near.similarity >= similar {
                    vote.solved.push(near.id);
                }
            }
            for article in near.segment.refused_for(near.document) {
                votes.of(article).weight -= weight;
            }
        }
        votes.total = votes.list.iter().map(|(_, vote)| vote.weight.max(0.0)).sum();
        votes
    }

    /// The article's part of all votes, from 0 to less than 1; `prior` votes are cast for none.
    fn share(&self, article: &str, prior: f32) -> f32 {
        self.get(article).map_or(0.0, |vote| vote.weight.max(0.0) / (self.total + prior))
    }

    /// The votes for an article, none yet where it is new.
    fn of(&mut self, (hash, article): (u64, &'a str)) -> &mut Vote<'a> {
        let place = self.places.intern(hash) as usize;
        if place == self.list.len() {
            self.list.push((article, Vote::default()));
        }
        &mut self.list[place].1
    }

    fn get(&self, article: &str) -> Option<&Vote<'a>> {
        let place = self.places.get(xxh3_64(article.as_bytes()))?;
        self.list.get(place as usize).map(|(_, vote)| vote)
    }
}

/// What past tickets say for one article.
#[derive(Debug, Clone, PartialEq, Default)]
struct Vote<'a> {
    /// Similarities of the tickets it solved, less those of the tickets it was of no use to.
    weight: f32,
    /// Similar tickets that it solved, most alike first.
    solved: Vec<&'a str>,
}

impl MemoryView<'_> {
    /// What past tickets say about a ticket, the one of the id `leave_out` left out. The text is plain.
    pub(crate) fn experienced(
        &self,
        text: &str,
        sentence: Option<&SentenceVector>,
        leave_out: &str,
        copies: Copies,
    ) -> Result<Experienced<'_>, IndexError> {
        if self.snapshot.tickets == 0 {
            let (by_words, by_meaning) = (Votes::default(), Votes::default());
            return Ok(Experienced { view: self, own: None, by_words, by_meaning });
        }
        let failed = |error| self.memory.index.error(error);
        let others = Others::new(&self.snapshot, self.memory.index.fields(), leave_out).map_err(failed)?;
        let words = bag::words(text);
        let near = neighbours::nearest(&others, &words, Wanted::Linked, CANDIDATES, VOTERS).map_err(failed)?;
        let is_copy = |near: &Near<'_>| copies == Copies::LeftOut && near.similarity >= COPY;
        let copied: Vec<&str> = near.iter().filter(|near| is_copy(near)).map(|near| near.id).collect();
        let by_words = Votes::cast(near.iter().filter(|near| !is_copy(near)), SIMILAR, |similarity| similarity);
        let near = sentence.map_or_else(Vec::new, |text| sentences::nearest(&others, text, VOTERS_BY_MEANING));
        let is_other = |near: &&Near<'_>| !is_copy(near) && !copied.contains(&near.id);
        let weight = |cosine: f32| cosine.max(0.0).powi(MEANING_EXPONENT);
        let by_meaning = Votes::cast(near.iter().filter(is_other), SIMILAR_MEANING, weight);
        Ok(Experienced { view: self, own: others.own().map_err(failed)?, by_words, by_meaning })
    }

    /// What the sentence encoder made of a ticket that articles solved; `None` where there is no such ticket or encoder.
    pub(crate) fn sentence(&self, id: &str) -> Result<Option<SentenceVector>, IndexError> {
        let found = self.snapshot.find(&self.memory.index.fields().id_term(id));
        let found = found.map_err(|error| self.memory.index.error(error))?;
        Ok(found.and_then(|(segment, document)| self.snapshot.segments[segment].sentences().of(document)))
    }

    /// Ids of at most `limit` tickets that an article solved, those whose ids have the smallest hashes: the same ones
    /// for the same memory.
    pub(crate) fn linked_sample(&self, limit: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for segment in &self.snapshot.segments {
            let solved =
                (0..segment.documents).filter(|document| segment.is_alive(*document) && segment.is_solved(*document));
            for document in solved {
                let id = segment.ticket_id(document);
                ids.push((xxh3_64(id.as_bytes()), id));
            }
            ids.sort_unstable();
            ids.truncate(limit);
        }
        ids.into_iter().map(|(_, id)| id.to_owned()).collect()
    }

    /// Tickets that an article solved.
    pub(crate) fn linked(&self) -> u64 {
        self.snapshot.experience.linked
    }
}

impl Experienced<'_> {
    /// Tickets that an article solved, but for the one left out.
    pub(crate) fn linked(&self) -> u64 {
        self.view.linked() - u64::from(self.own.is_some())
    }

    /// Articles that solved one of the nearest tickets or were refused there.
    pub(crate) fn articles(&self) -> impl Iterator<Item = &str> {
        self.by_words.list.iter().chain(&self.by_meaning.list).map(|(article, _)| *article)
    }

    /// Ids of similar tickets that the article solved: first those with the same words, then those with the same meaning,
    /// the most alike first.
    pub(crate) fn solved_by(&self, article: &str) -> Vec<String> {
        let votes = [self.by_words.get(article), self.by_meaning.get(article)];
        let mut ids: Vec<String> = Vec::new();
        for id in votes.into_iter().flatten().flat_map(|vote| &vote.solved) {
            if !ids.iter().any(|known| known == id) {
                ids.push((*id).to_owned());
            }
        }
        ids
    }

    /// The article's part of the votes of tickets with the same words, from 0 to less than 1; `prior` votes are cast for
    /// none.
    pub(crate) fn share(&self, article: &str, prior: f32) -> f32 {
        self.by_words.share(article, prior)
    }

    /// Its part of the votes of tickets with the same meaning.
    pub(crate) fn share_by_meaning(&self, article: &str, prior: f32) -> f32 {
        self.by_meaning.share(article, prior)
    }

    /// Cosine of the ticket's sentence and the sum of those that the article solved; 0 where there are none.
    pub(crate) fn likeness_of_meaning(&self, article: &str, sentence: &SentenceVector) -> f32 {
        let own = self.own.as_ref().filter(|own| own.articles.iter().any(|id| id == article));
        let own = own.and_then(|own| own.sentence.as_ref());
        self.view.snapshot.meanings.likeness(article, sentence, own)
    }

    /// Cosine of the ticket's vector and the sum of those that the article solved; 0 where there are none.
    pub(crate) fn likeness(&self, article: &str, vector: &TextVector) -> f32 {
        let likeness = self.view.snapshot.experience.likeness(article, vector, self.own.as_ref());
        likeness.map_or(0.0, |(cosine, _)| cosine)
    }
}
