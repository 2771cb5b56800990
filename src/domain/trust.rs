//! How far decisions may be trusted: what was decided, what people made of it, and whether what was promised of values
//! that fill themselves in is kept.

use std::ops::AddAssign;

/// One-sided, 95 of 100.
const Z: f64 = 1.644_853_6;
const SELDOM: f64 = 0.05;

/// Decisions of one field or one value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DecisionCounts {
    pub proposed: u64,
    /// Not to be used unseen.
    pub abstained: u64,
    /// That might be filled in.
    pub filled: u64,
}

/// Tickets, and what could not be decided about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TicketCounts {
    pub tickets: u64,
    pub out_of_scope: u64,
    pub unsupported_language: u64,
    pub too_short: u64,
    pub words: u64,
    /// Words that the model had never seen.
    pub new_words: u64,
}

/// What feedback said of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReviewCounts {
    pub reviewed: u64,
    /// The others were overridden.
    pub accepted: u64,
    pub promise: Promise,
}

/// Whether values that fill themselves in are right as often as was promised.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Promise {
    /// The highest precision that was promised of them, 0 where none was.
    pub promised: f64,
    pub reviewed: u64,
    pub right: u64,
}

impl Promise {
    /// The share that was right; `None` where none was reviewed.
    pub fn precision(self) -> Option<f64> {
        self.bounds().map(|_| share(self.right, self.reviewed))
    }

    /// Between these the share of all lies, each with 95 of 100 (Wilson 1927); `None` where none was reviewed.
    pub fn bounds(self) -> Option<(f64, f64)> {
        (self.reviewed > 0).then(|| wilson(self.right, self.reviewed))
    }

    /// Whether chance no longer explains that fewer were right than was promised: so many wrong ones would come in fewer
    /// than 5 of 100 cases where the promise is kept (exact binomial test).
    pub fn is_broken(self) -> bool {
        self.reviewed > 0 && chance_of_wrong(self.reviewed - self.right, self.reviewed, 1.0 - self.promised) < SELDOM
    }
}

impl AddAssign for DecisionCounts {
    fn add_assign(&mut self, other: Self) {
        self.proposed += other.proposed;
        self.abstained += other.abstained;
        self.filled += other.filled;
    }
}

impl AddAssign for TicketCounts {
    fn add_assign(&mut self, other: Self) {
        self.tickets += other.tickets;
        self.out_of_scope += other.out_of_scope;
        self.unsupported_language += other.unsupported_language;
        self.too_short += other.too_short;
        self.words += other.words;
        self.new_words += other.new_words;
    }
}

impl AddAssign for ReviewCounts {
    fn add_assign(&mut self, other: Self) {
        self.reviewed += other.reviewed;
        self.accepted += other.accepted;
        self.promise.promised = self.promise.promised.max(other.promise.promised);
        self.promise.reviewed += other.promise.reviewed;
        self.promise.right += other.promise.right;
    }
}

/// The figures of some days.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrustReport {
    pub days: u32,
    /// The model that decides now.
    pub model: String,
    pub tickets: TicketCounts,
    /// In the order of their names.
    pub fields: Vec<FieldTrust>,
}

/// The figures of one field.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FieldTrust {
    pub field: String,
    pub decisions: DecisionCounts,
    pub reviews: ReviewCounts,
    /// In the order of their names.
    pub labels: Vec<LabelTrust>,
}

/// The figures of one value of a field.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabelTrust {
    pub label: String,
    pub decisions: DecisionCounts,
    pub reviews: ReviewCounts,
    /// What was promised of it was not kept: it is recommended, and no longer filled in.
    pub is_demoted: bool,
}

/// The chance of at least so many wrong ones of `all`, where each is wrong with this chance.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn chance_of_wrong(wrong: u64, all: u64, chance: f64) -> f64 {
    let mut exactly = (1.0 - chance).powf(all as f64);
    let mut fewer = 0.0;
    for count in 0..wrong {
        fewer += exactly;
        exactly *= (all - count) as f64 / (count + 1) as f64 * chance / (1.0 - chance);
    }
    1.0 - fewer
}

/// A part of a whole; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn wilson(right: u64, all: u64) -> (f64, f64) {
    let (share, all) = (share(right, all), all as f64);
    let square = Z * Z;
    let centre = share + square / (2.0 * all);
    let spread = Z * (share * (1.0 - share) / all + square / (4.0 * all * all)).sqrt();
    let scale = 1.0 + square / all;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_broken_only_where_chance_does_not_explain_it() {
        let check = |right, reviewed, promised, expected: bool| {
            let promise = Promise { promised, reviewed, right };
            assert_eq!(promise.is_broken(), expected, "{right} of {reviewed} at {promised}: {:?}", promise.bounds());
        };
        check(0, 0, 0.95, false);
        check(0, 1, 0.9, false);
        check(0, 2, 0.95, true);
        check(1, 2, 0.95, false);
        check(3, 4, 0.95, false);
        check(2, 4, 0.95, true);
        check(95, 100, 0.95, false);
        check(90, 100, 0.95, true);
        check(92, 100, 0.95, false);
        check(460, 500, 0.95, true);
        check(100, 100, 0.999, false);
    }

    #[test]
    fn bounds_hold_the_share_and_close_in_on_it() {
        let (lower, upper) = wilson(90, 100);
        assert!((0.83..0.87).contains(&lower) && (0.92..0.95).contains(&upper), "{lower} {upper}");
        assert!(wilson(0, 10).0.abs() < 1e-9 && (wilson(10, 10).1 - 1.0).abs() < 1e-9);
        assert!(wilson(900, 1_000).1 < upper);
    }
}
