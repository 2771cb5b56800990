//! The best documents by score and, where scores are equal, by id; the same whatever segments they lie in.

use std::{collections::HashMap, io};

use tantivy::columnar::StrColumn;

/// Fewer are not worth a cut.
const MIN_KEPT: usize = 32;

/// A document with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranked {
    pub(crate) segment: usize,
    pub(crate) document: u32,
    pub(crate) score: f32,
}

/// Keeps the best `wanted` documents, and every further one with the score of the last.
pub(crate) struct Top {
    wanted: usize,
    ranked: Vec<Ranked>,
    /// Below it a document is not among the best.
    threshold: f32,
    /// At this many documents it is cut down.
    next_cut: usize,
}

impl Top {
    pub(crate) fn new(wanted: usize) -> Self {
        let ranked = Vec::with_capacity(2 * wanted.min(1_000));
        Self { wanted, ranked, threshold: f32::MIN_POSITIVE, next_cut: 2 * wanted.max(MIN_KEPT) }
    }

    /// The least score that is still of interest; more than 0.
    pub(crate) fn threshold(&self) -> f32 {
        self.threshold
    }

    pub(crate) fn push(&mut self, ranked: Ranked) {
        if self.wanted == 0 || ranked.score < self.threshold {
            return;
        }
        self.ranked.push(ranked);
        if self.ranked.len() >= self.next_cut {
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
        // Twice what was kept and not what is wanted: many equals must not be sorted again with each further one.
        self.next_cut = 2 * self.ranked.len().max(self.wanted).max(MIN_KEPT);
    }

    /// The documents from place `skip` on, at most `wanted - skip`, best first. `ids` are those of a segment.
    pub(crate) fn take<'a>(
        mut self,
        ids: impl Fn(usize) -> Option<&'a StrColumn>,
        skip: usize,
    ) -> io::Result<Vec<Ranked>> {
        self.cut();
        let mut start = 0;
        while start < self.ranked.len() && start < self.wanted {
            let score = self.ranked[start].score;
            let length =
                self.ranked[start..].iter().take_while(|ranked| ranked.score.total_cmp(&score).is_eq()).count();
            let end = start + length;
            if length > 1 && end > skip {
                order_by_id(&ids, &mut self.ranked[start..end], self.wanted - start)?;
            }
            start = end;
        }
        self.ranked.truncate(self.wanted);
        Ok(self.ranked.split_off(skip.min(self.ranked.len())))
    }
}

/// Brings the `needed` documents with the first ids to the front, in the order of their ids.
fn order_by_id<'a>(
    ids: impl Fn(usize) -> Option<&'a StrColumn>,
    equals: &mut [Ranked],
    needed: usize,
) -> io::Result<()> {
    // Within a segment the numbers of the ids are in the order of the ids: only those that can be needed are read.
    let mut by_segment: HashMap<usize, Vec<(u64, Ranked)>> = HashMap::new();
    for ranked in equals.iter() {
        let number = ids(ranked.segment).and_then(|ids| ids.ords().first(ranked.document)).unwrap_or(u64::MAX);
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
            if let Some(ids) = ids(segment) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_equals_are_all_kept_and_seldom_sorted() {
        let mut top = Top::new(10);
        let mut cuts = 0;
        for document in 0..50_000 {
            let before = top.next_cut;
            top.push(Ranked { segment: 0, document, score: 1.0 });
            cuts += usize::from(top.next_cut != before);
        }
        assert_eq!(top.ranked.len(), 50_000);
        assert!((5..20).contains(&cuts), "{cuts}");
        for document in 50_000..150_000 {
            top.push(Ranked { segment: 0, document, score: 2.0 });
        }
        top.cut();
        assert!(top.ranked.iter().all(|ranked| ranked.document >= 50_000), "the better ones displace the equals");
        assert!((top.threshold() - 2.0).abs() < 1e-6);
    }
}
