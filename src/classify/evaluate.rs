//! How good guesses are: accuracy, macro-F1, calibration error, coverage at certified thresholds, and how well
//! out-of-scope rows are told apart. Counts and divides; what counts as a row is the caller's business.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]

use std::{cmp::Reverse, collections::BTreeMap};

use super::calibrate;
use super::calibrate::Guess;
pub(crate) use super::calibrate::PRECISIONS;

/// Guesses over labels that have numbers.
#[derive(Debug, Clone)]
pub(crate) struct Guesses {
    right: Vec<usize>,
    wrongly_chosen: Vec<usize>,
    missed: Vec<usize>,
    /// How often one label was taken for another.
    confused: BTreeMap<(usize, usize), usize>,
    all: Vec<Guess>,
}

/// The usual figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quality {
    pub(crate) accuracy: f64,
    /// Unweighted mean over the labels that occur in the rows.
    pub(crate) macro_f1: f64,
    /// Expected calibration error.
    pub(crate) calibration_error: f64,
}

/// How well one label is told from the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LabelQuality {
    pub(crate) label: usize,
    /// `None` where it was never guessed.
    pub(crate) precision: Option<f64>,
    pub(crate) recall: f64,
    pub(crate) f1: f64,
    /// Rows that have it, at least 1.
    pub(crate) support: usize,
}

/// One label taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confusion {
    pub(crate) label: usize,
    pub(crate) guess: usize,
    pub(crate) rows: usize,
}

impl Guesses {
    pub(crate) fn new(labels: usize) -> Self {
        Self {
            right: vec![0; labels],
            wrongly_chosen: vec![0; labels],
            missed: vec![0; labels],
            confused: BTreeMap::new(),
            all: Vec::new(),
        }
    }

    /// Adds one row; labels with numbers not seen yet are new.
    pub(crate) fn add(&mut self, label: usize, guess: usize, confidence: f32) {
        let labels = self.right.len().max(label + 1).max(guess + 1);
        for counts in [&mut self.right, &mut self.wrongly_chosen, &mut self.missed] {
            counts.resize(labels, 0);
        }
        if label == guess {
            self.right[label] += 1;
        } else {
            self.wrongly_chosen[guess] += 1;
            self.missed[label] += 1;
            *self.confused.entry((label, guess)).or_default() += 1;
        }
        self.all.push(Guess { label: guess, confidence, right: label == guess });
    }

    pub(crate) fn rows(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn quality(&self) -> Quality {
        let (sum, labels) = self.of_labels().fold((0.0, 0_u32), |(sum, labels), label| (sum + label.f1, labels + 1));
        Quality {
            accuracy: share(self.right.iter().sum(), self.rows()),
            macro_f1: sum / f64::from(labels.max(1)),
            calibration_error: calibrate::calibration_error(&self.all),
        }
    }

    /// Every label that occurs in the rows, the worst first; of equally bad ones those of most rows.
    pub(crate) fn per_label(&self) -> Vec<LabelQuality> {
        let mut labels: Vec<LabelQuality> = self.of_labels().collect();
        labels.sort_by(|a, b| a.f1.total_cmp(&b.f1).then(b.support.cmp(&a.support)));
        labels
    }

    /// Pairs of labels that were taken for each other, the most frequent first.
    pub(crate) fn confusions(&self) -> Vec<Confusion> {
        let confusion = |(&(label, guess), &rows): (&(usize, usize), &usize)| Confusion { label, guess, rows };
        let mut confusions: Vec<Confusion> = self.confused.iter().map(confusion).collect();
        confusions.sort_by_key(|confusion| Reverse(confusion.rows));
        confusions
    }

    fn of_labels(&self) -> impl Iterator<Item = LabelQuality> {
        (0..self.right.len()).filter(|&label| self.right[label] + self.missed[label] > 0).map(|label| {
            let (right, guessed) = (self.right[label], self.right[label] + self.wrongly_chosen[label]);
            let support = right + self.missed[label];
            LabelQuality {
                label,
                precision: (guessed > 0).then(|| share(right, guessed)),
                recall: share(right, support),
                f1: share(2 * right, guessed + support),
                support,
            }
        })
    }

    /// Every row's guess, in the order of the rows.
    pub(crate) fn all(&self) -> &[Guess] {
        &self.all
    }

    /// Precision and share of the rows whose guess is accepted; no precision where that is no row.
    pub(crate) fn coverage(&self, accepts: impl Fn(&Guess) -> bool) -> (Option<f64>, f64) {
        let covered = self.all.iter().filter(|guess| accepts(guess));
        let (rows, right) = covered.fold((0, 0), |(rows, right), guess| (rows + 1, right + usize::from(guess.right)));
        ((rows > 0).then(|| share(right, rows)), share(rows, self.rows()))
    }
}

/// `part` of `whole`; 0 of nothing.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The chance that a row of `outside` has a higher score than one of `inside` (area under the ROC curve).
pub(crate) fn area_under_curve(inside: &[f32], outside: &[f32]) -> f64 {
    let mut scores: Vec<(f32, bool)> = inside.iter().map(|score| (*score, false)).collect();
    scores.extend(outside.iter().map(|score| (*score, true)));
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = 0;
    let mut wins = 0.0;
    for equals in scores.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let outside_here = equals.iter().filter(|(_, outside)| *outside).count();
        let inside_here = equals.len() - outside_here;
        wins += outside_here as f64 * (below as f64 + inside_here as f64 / 2.0);
        below += inside_here;
    }
    wins / (inside.len().max(1) as f64 * outside.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macro_f1_counts_the_labels_of_the_rows() {
        let mut guesses = Guesses::new(5);
        for (label, guess) in [(0, 0), (0, 0), (0, 1), (1, 1), (7, 2)] {
            guesses.add(label, guess, 0.6);
        }
        let quality = guesses.quality();
        assert!((quality.accuracy - 0.6).abs() < 1e-9);
        // 4/5 for label 0, 2/3 for label 1, 0 for label 7; label 2 is in no row.
        assert!((quality.macro_f1 - (0.8 + 2.0 / 3.0) / 3.0).abs() < 1e-9, "{quality:?}");
        assert!(quality.calibration_error < 1e-6);
    }

    #[test]
    fn labels_come_worst_first_and_average_to_macro_f1() {
        let mut guesses = Guesses::new(3);
        for (label, guess) in [(0, 0), (0, 0), (0, 1), (1, 1), (7, 2), (7, 1), (7, 1), (5, 0)] {
            guesses.add(label, guess, 0.6);
        }
        let labels = guesses.per_label();
        let order: Vec<_> = labels.iter().map(|label| (label.label, label.support)).collect();
        assert_eq!(order, [(7, 3), (5, 1), (1, 1), (0, 3)]);
        assert_eq!((labels[0].precision, labels[0].recall), (None, 0.0));
        assert_eq!((labels[2].precision, labels[2].recall), (Some(0.25), 1.0));
        let mean = labels.iter().map(|label| label.f1).sum::<f64>() / labels.len() as f64;
        assert!((mean - guesses.quality().macro_f1).abs() < 1e-9);
        let first = |at: usize| (guesses.confusions()[at].label, guesses.confusions()[at].guess);
        assert_eq!((first(0), guesses.confusions()[0].rows, first(1)), ((7, 1), 2, (0, 1)));
    }

    #[test]
    fn only_accepted_guesses_are_covered() {
        let mut guesses = Guesses::new(2);
        guesses.add(0, 0, 0.9);
        guesses.add(0, 1, 0.8);
        assert_eq!(guesses.coverage(|_| false), (None, 0.0));
        assert_eq!(guesses.coverage(|guess| guess.confidence >= 0.9), (Some(1.0), 0.5));
        assert_eq!(guesses.coverage(|guess| guess.label == 1), (Some(0.0), 0.5));
        assert_eq!(guesses.coverage(|_| true), (Some(0.5), 1.0));
    }

    #[test]
    fn the_area_counts_ties_half() {
        assert!((area_under_curve(&[0.1, 0.5], &[0.5, 0.9]) - 0.875).abs() < 1e-9);
        assert!((area_under_curve(&[0.1], &[0.2]) - 1.0).abs() < 1e-9);
    }
}
