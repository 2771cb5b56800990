//! The best documents by score and, where scores are equal, by id; the same whatever segments they lie in.

use std::{collections::HashMap, io};

use super::snapshot::Snapshot;

/// A document with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    pub segment: usize,
    pub document: u32,
    pub score: f32,
}

/// Keeps the best `wanted` documents, and every further one with the score of the last.
pub(super) struct Top {
    wanted: usize,
    ranked: Vec<Ranked>,
    /// Below it a document is not among the best.
    threshold: f32,
}

impl Top {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, ranked: Vec::with_capacity(2 * wanted.min(1_000)), threshold: f32::MIN_POSITIVE }
    }

    /// The least score that is still of interest; more than 0.
    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    pub(super) fn push(&mut self, ranked: Ranked) {
        if self.wanted == 0 || ranked.score < self.threshold {
            return;
        }
        self.ranked.push(ranked);
        // Cut down when twice full: a sort for every `wanted` documents.
        if self.ranked.len() >= 2 * self.wanted.max(32) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        if let Some(last) = self.wanted.checked_sub(1).and_then(|last| self.ranked.get(last)) {
            self.threshold = last.score;
            let kept = self.ranked.partition_point(|ranked| ranked.score >= self.threshold);
            self.ranked.truncate(kept);
        }
    }

    /// The documents from place `skip` on, at most `wanted - skip`, best first.
    pub(super) fn take(mut self, snapshot: &Snapshot, skip: usize) -> io::Result<Vec<Ranked>> {
        self.cut();
        let mut start = 0;
        while start < self.ranked.len() && start < self.wanted {
            let score = self.ranked[start].score;
            let length =
                self.ranked[start..].iter().take_while(|ranked| ranked.score.total_cmp(&score).is_eq()).count();
            let end = start + length;
            if length > 1 && end > skip {
                order_by_id(snapshot, &mut self.ranked[start..end], self.wanted - start)?;
            }
            start = end;
        }
        self.ranked.truncate(self.wanted);
        Ok(self.ranked.split_off(skip.min(self.ranked.len())))
    }
}

/// Brings the `needed` documents with the first ids to the front, in the order of their ids.
fn order_by_id(snapshot: &Snapshot, equals: &mut [Ranked], needed: usize) -> io::Result<()> {
    // Within a segment the numbers of the ids are in the order of the ids: only those that can be needed are read.
    let mut by_segment: HashMap<usize, Vec<(u64, Ranked)>> = HashMap::new();
    for ranked in equals.iter() {
        let ids = snapshot.segments[ranked.segment].ids.as_ref();
        let number = ids.and_then(|ids| ids.ords().first(ranked.document)).unwrap_or(u64::MAX);
        by_segment.entry(ranked.segment).or_default().push((number, *ranked));
    }
    let mut first = Vec::new();
    let mut others = Vec::new();
    for (segment, mut members) in by_segment {
        members.sort_unstable_by_key(|(number, _)| *number);
        for (place, (number, ranked)) in members.into_iter().enumerate() {
            if place >= needed {
                others.push(ranked);
                continue;
            }
            let mut id = String::new();
            if let Some(ids) = &snapshot.segments[segment].ids {
                ids.ord_to_str(number, &mut id)?;
            }
            first.push((id, ranked));
        }
    }
    first.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let ordered = first.into_iter().map(|(_, ranked)| ranked).chain(others);
    for (place, ranked) in equals.iter_mut().zip(ordered) {
        *place = ranked;
    }
    Ok(())
}
