//! The best documents by score and, where scores are equal, by id; the same whatever segments they lie in.

/// Fewer are not worth a cut.
const MIN_KEPT: usize = 32;
/// So many scores are compared at once: mostly none of them is of interest.
const BLOCK: usize = 64;

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

    /// Pushes the documents of a segment, whose scores these are, that `accept` takes.
    pub(crate) fn collect<S>(&mut self, segment: usize, scores: &[S], accept: impl Fn(u32) -> bool)
    where
        S: Copy + Default + PartialOrd + Into<f32>,
    {
        for (first, block) in (0_u32..).step_by(BLOCK).zip(scores.chunks(BLOCK)) {
            // The largest and not the first of interest, so that the compiler compares several at a time.
            let largest = block.iter().fold(S::default(), |a, &b| if a < b { b } else { a });
            if largest.into() < self.threshold {
                continue;
            }
            for (document, &score) in (first..).zip(block) {
                let score = score.into();
                if score >= self.threshold && accept(document) {
                    self.push(Ranked { segment, document, score });
                }
            }
        }
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
        if let Some(last) = self.wanted.checked_sub(1).filter(|last| *last < self.ranked.len()) {
            self.ranked.select_nth_unstable_by(last, |a, b| b.score.total_cmp(&a.score));
            self.threshold = self.ranked[last].score;
            self.ranked.retain(|ranked| ranked.score >= self.threshold);
        }
        // Twice what was kept and not what is wanted: many equals must not be sorted again with each further one.
        self.next_cut = 2 * self.ranked.len().max(self.wanted).max(MIN_KEPT);
    }

    /// The documents from place `skip` on, at most `wanted - skip`, best first. `id` is that of a document.
    pub(crate) fn take<'a>(mut self, id: impl Fn(&Ranked) -> &'a str, skip: usize) -> Vec<Ranked> {
        self.cut();
        self.ranked.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        let mut start = 0;
        while start < self.ranked.len() && start < self.wanted {
            let score = self.ranked[start].score;
            let length =
                self.ranked[start..].iter().take_while(|ranked| ranked.score.total_cmp(&score).is_eq()).count();
            let end = start + length;
            if length > 1 && end > skip {
                order_by_id(&id, &mut self.ranked[start..end], self.wanted - start);
            }
            start = end;
        }
        self.ranked.truncate(self.wanted);
        self.ranked.split_off(skip.min(self.ranked.len()))
    }
}

/// Brings the `needed` documents with the first ids to the front, in the order of their ids.
fn order_by_id<'a>(id: impl Fn(&Ranked) -> &'a str, equals: &mut [Ranked], needed: usize) {
    let needed = needed.min(equals.len());
    if needed < equals.len() {
        equals.select_nth_unstable_by(needed, |a, b| id(a).cmp(id(b)));
    }
    equals[..needed].sort_unstable_by(|a, b| id(a).cmp(id(b)));
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
        assert!((top.threshold - 2.0).abs() < 1e-6);
    }
}
