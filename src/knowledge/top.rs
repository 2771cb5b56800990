//! The best documents by score and, where scores are equal, by id; the same whatever segments they lie in.

/// Fewer are not worth a cut.
const MIN_KEPT: usize = 32;
/// So many scores are compared at once: mostly none of them is of interest, and else those of one part.
const BLOCK: usize = 256;
const PART: usize = 32;

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
    pub(crate) fn collect<S: Score>(&mut self, segment: usize, scores: &[S], accept: impl Fn(u32) -> bool) {
        let mut least = S::at_least(self.threshold);
        for (first, block) in (0_u32..).step_by(BLOCK).zip(scores.chunks(BLOCK)) {
            if largest(block) < least {
                continue;
            }
            for (first, part) in (first..).step_by(PART).zip(block.chunks(PART)) {
                if largest(part) < least {
                    continue;
                }
                for (document, &score) in (first..).zip(part) {
                    if score >= least && accept(document) {
                        self.push(Ranked { segment, document, score: score.into() });
                        least = S::at_least(self.threshold);
                    }
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

    /// The best documents in no certain order, at most those wanted; of equals those with the first ids. `id` is that of
    /// a document.
    pub(crate) fn take_unordered<'a>(mut self, id: impl Fn(&Ranked) -> &'a str) -> Vec<Ranked> {
        self.cut();
        if self.ranked.len() <= self.wanted {
            return self.ranked;
        }
        let (mut best, mut equals): (Vec<_>, Vec<_>) =
            self.ranked.into_iter().partition(|ranked| ranked.score > self.threshold);
        let needed = self.wanted - best.len();
        order_by_id(&id, &mut equals, needed);
        best.extend(equals.into_iter().take(needed));
        best
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

/// A score as segments keep it.
pub(crate) trait Score: Copy + Default + PartialOrd + Into<f32> {
    /// The smallest that is not below the threshold.
    fn at_least(threshold: f32) -> Self;
}

impl Score for f32 {
    fn at_least(threshold: f32) -> Self {
        threshold
    }
}

impl Score for i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a threshold is the score of a document, or all but 0")]
    fn at_least(threshold: f32) -> Self {
        threshold.ceil() as Self
    }
}

/// Looked for, and not the first of interest, so that the compiler compares several at a time.
fn largest<S: Score>(scores: &[S]) -> S {
    scores.iter().fold(S::default(), |a, &b| if a < b { b } else { a })
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
    fn the_best_are_the_same_in_any_order() {
        let scores: Vec<i16> =
            (0..3_000).map(|number: i32| i16::try_from(number * 7_919 % 1_013 % 61).unwrap()).collect();
        let ids: Vec<String> = (0..scores.len()).map(|number| format!("{:04}", number * 37 % 3_000)).collect();
        let id = |ranked: &Ranked| ids[ranked.document as usize].as_str();
        for wanted in [1, 10, 40, 1_000, 2_990, 5_000] {
            let collected = || {
                let mut top = Top::new(wanted);
                top.collect(0, &scores, |document| document % 11 != 0);
                top
            };
            let mut expected: Vec<u32> = (0..3_000).filter(|one| one % 11 != 0 && scores[*one as usize] > 0).collect();
            expected.sort_by_key(|one| (-scores[*one as usize], &ids[*one as usize]));
            expected.truncate(wanted);
            let ordered: Vec<u32> = collected().take(id, 0).iter().map(|ranked| ranked.document).collect();
            assert_eq!(ordered, expected);
            let mut unordered: Vec<u32> = collected().take_unordered(id).iter().map(|ranked| ranked.document).collect();
            unordered.sort_unstable();
            expected.sort_unstable();
            assert_eq!(unordered, expected);
        }
    }

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
