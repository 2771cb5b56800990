//! What past tickets say about articles: the nearest ones vote for what solved them and against what was refused, and
//! all that an article solved tells what it is good for.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    MemoryView, bag,
    experience::Own,
    neighbours::{self, Others, Wanted},
};
use crate::{
    encode::{HashIndex, TextVector},
    knowledge::IndexError,
};

/// So many tickets are compared with the text, the best by BM25.
const CANDIDATES: usize = 100;
/// So many vote.
const VOTERS: usize = 60;
/// From this similarity on a ticket is called similar when a suggestion is explained.
const SIMILAR: f32 = 0.1;
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
    votes: Votes<'a>,
    total: f32,
}

/// Votes by article, in the order in which these were first voted for.
#[derive(Default)]
struct Votes<'a> {
    /// Places in the list, by the hashes of the articles' ids.
    places: HashIndex,
    list: Vec<(&'a str, Vote<'a>)>,
}

impl<'a> Votes<'a> {
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
pub(crate) struct Vote<'a> {
    /// Similarities of the tickets it solved, less those of the tickets it was of no use to.
    weight: f32,
    /// Similar tickets that it solved, most alike first.
    pub solved: Vec<&'a str>,
}

impl MemoryView<'_> {
    /// What past tickets say about a ticket, the one of the id `leave_out` left out. The text is plain.
    pub(crate) fn experienced(
        &self,
        text: &str,
        leave_out: &str,
        copies: Copies,
    ) -> Result<Experienced<'_>, IndexError> {
        if self.snapshot.tickets == 0 {
            return Ok(Experienced { view: self, own: None, votes: Votes::default(), total: 0.0 });
        }
        let failed = |error| self.memory.index.error(error);
        let others = Others::new(&self.snapshot, self.memory.index.fields(), leave_out).map_err(failed)?;
        let words = bag::words(text);
        let near = neighbours::nearest(&others, &words, Wanted::Linked, CANDIDATES, VOTERS).map_err(failed)?;
        let mut votes = Votes::default();
        for near in near {
            if copies == Copies::LeftOut && near.similarity >= COPY {
                continue;
            }
            for article in near.segment.solved_by(near.document) {
                let vote = votes.of(article);
                vote.weight += near.similarity;
                if near.similarity >= SIMILAR {
                    vote.solved.push(near.id);
                }
            }
            for article in near.segment.refused_for(near.document) {
                votes.of(article).weight -= near.similarity;
            }
        }
        let total = votes.list.iter().map(|(_, vote)| vote.weight.max(0.0)).sum();
        Ok(Experienced { view: self, own: others.own().map_err(failed)?, votes, total })
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
        self.votes.list.iter().map(|(article, _)| *article)
    }

    pub(crate) fn vote(&self, article: &str) -> Option<&Vote<'_>> {
        self.votes.get(article)
    }

    /// The article's part of all votes, from 0 to less than 1; `prior` votes are cast for none.
    pub(crate) fn share(&self, article: &str, prior: f32) -> f32 {
        self.votes.get(article).map_or(0.0, |vote| vote.weight.max(0.0) / (self.total + prior))
    }

    /// Cosine of the ticket's vector and the sum of those that the article solved; 0 where there are none.
    pub(crate) fn likeness(&self, article: &str, vector: &TextVector) -> f32 {
        let likeness = self.view.snapshot.experience.likeness(article, vector, self.own.as_ref());
        likeness.map_or(0.0, |(cosine, _)| cosine)
    }
}
