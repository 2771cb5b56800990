//! From scores to probabilities that can be believed, and from those to thresholds that keep a promise.
//! Everything here is fitted on rows held back from the fit that scored them.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^52")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The chance that a certificate is wrong. So small that a quarter as many rows, drawn again, show the precision too
/// in nineteen cases of twenty: their own share of right guesses varies twice as much as that of the rows here.
const RISK: f64 = 1e-4;
/// A label is held to be worse than asked where its mistakes would be this unlikely otherwise.
const UNLIKELY: f64 = 0.05;
/// Fewer guesses of one label say nothing of it.
const MIN_GUESSES: usize = 10;
const THRESHOLD_STEPS: usize = 100;

/// The precisions that training certifies thresholds for.
pub(crate) const PRECISIONS: [&str; 7] = ["0.80", "0.85", "0.90", "0.95", "0.97", "0.98", "0.99"];

/// The best guess of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Guess {
    pub(crate) label: usize,
    pub(crate) confidence: f32,
    pub(crate) right: bool,
}

/// From which confidence on best guesses keep a promise of precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    confidence: f32,
    /// Labels that are right less often than asked, however sure the guess.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    never: Vec<String>,
    /// The higher confidence that labels need which are right less often than the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    stricter: BTreeMap<String, f32>,
}

impl Threshold {
    /// The same for every label.
    #[cfg(test)]
    pub(crate) fn at(confidence: f32) -> Self {
        Self { confidence, never: Vec::new(), stricter: BTreeMap::new() }
    }

    /// What most labels need.
    pub fn confidence(&self) -> f32 {
        self.confidence
    }

    /// Whether a best guess with this confidence keeps the promise.
    pub fn is_met(&self, label: &str, confidence: f32) -> bool {
        let needed = self.stricter.get(label).copied().unwrap_or(self.confidence);
        confidence >= needed && !self.never.iter().any(|never| never == label)
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.stricter.values().chain([&self.confidence]).all(|confidence| confidence.is_finite())
    }
}

/// Certifies a precision over all labels together, and asks more of the labels that fall behind it on their own.
/// `None` where nothing certifies it. `labels` are the names by number.
pub(crate) fn certify(guesses: &[Guess], labels: &[String], precision: f64) -> Option<Threshold> {
    let all: Vec<(f32, bool)> = guesses.iter().map(|guess| (guess.confidence, guess.right)).collect();
    let confidence = certified_threshold(&all, precision)?;
    let mut threshold = Threshold { confidence, never: Vec::new(), stricter: BTreeMap::new() };
    for (number, label) in labels.iter().enumerate() {
        let of_label = guesses.iter().filter(|guess| guess.label == number && guess.confidence >= confidence);
        let of_label: Vec<(f32, bool)> = of_label.map(|guess| (guess.confidence, guess.right)).collect();
        let wrong = of_label.iter().filter(|(_, right)| !right).count();
        if wrong == 0 || 1.0 - at_most(wrong - 1, of_label.len(), 1.0 - precision) > UNLIKELY {
            continue;
        }
        match lowest_precise(of_label, precision) {
            Some(needed) => _ = threshold.stricter.insert(label.clone(), needed),
            None => threshold.never.push(label.clone()),
        }
    }
    Some(threshold)
}

/// The lowest confidence from which on these guesses are right as often as asked.
fn lowest_precise(mut guesses: Vec<(f32, bool)>, precision: f64) -> Option<f32> {
    guesses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut right = 0;
    let mut lowest = None;
    for (place, guess) in guesses.iter().enumerate() {
        right += usize::from(guess.1);
        let seen = place + 1;
        let ends_tie = guesses.get(seen).is_none_or(|next| next.0 < guess.0);
        if ends_tie && seen >= MIN_GUESSES && right as f64 >= precision * seen as f64 {
            lowest = Some(guess.0);
        }
    }
    lowest
}

/// Softmax of the scores times `sharpness` (one over the temperature, Guo et al. 2017).
pub(crate) fn probabilities(scores: &[f32], sharpness: f32) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut weights: Vec<f32> = scores.iter().map(|score| ((score - largest) * sharpness).exp()).collect();
    let sum: f32 = weights.iter().sum();
    for weight in &mut weights {
        *weight /= sum;
    }
    weights
}

/// The number of the label with the highest confidence, the first of several.
pub(crate) fn best_of(confidences: &[f32]) -> usize {
    (1..confidences.len()).fold(0, |best, next| if confidences[next] > confidences[best] { next } else { best })
}

/// The best label's number and the confidences of all: probabilities, the best one corrected by `curve`.
pub(crate) fn confidences(scores: &[f32], sharpness: f32, curve: &[[f32; 2]]) -> (usize, Vec<f32>) {
    let mut confidences = probabilities(scores, sharpness);
    let best = best_of(&confidences);
    let after = corrected(confidences[best], curve);
    // The others share what is left, and none may overtake. Their sum, since the best one may round to 1.
    let others: f32 = confidences.iter().enumerate().filter(|(number, _)| *number != best).map(|(_, own)| own).sum();
    let scale = (1.0 - after) / others.max(f32::MIN_POSITIVE);
    for confidence in &mut confidences {
        *confidence = (*confidence * scale).min(after);
    }
    confidences[best] = after;
    (best, confidences)
}

/// How often the best guess is right, by its probability: a rising line through a few points, fitted by pooling
/// adjacent violators (Ayer et al. 1955). Empty where there are too few guesses to say.
pub(crate) fn fit_curve(guesses: &[Guess]) -> Vec<[f32; 2]> {
    const ROWS_A_POINT: usize = 50;
    const MAX_POINTS: usize = 20;
    const MIN_POINTS: usize = 4;
    let mut guesses: Vec<(f32, bool)> = guesses.iter().map(|guess| (guess.confidence, guess.right)).collect();
    guesses.sort_by(|a, b| a.0.total_cmp(&b.0));
    let points = (guesses.len() / ROWS_A_POINT).min(MAX_POINTS);
    if points < MIN_POINTS {
        return Vec::new();
    }
    // Sums of probability and of right guesses, and how many rows.
    let mut pools: Vec<(f64, f64, f64)> = Vec::new();
    for point in 0..points {
        let range = guesses.len() * point / points..guesses.len() * (point + 1) / points;
        let rows = range.len() as f64;
        let (sum, right) = guesses[range].iter().fold((0.0, 0.0), |(sum, right), (probability, is_right)| {
            (sum + f64::from(*probability), right + f64::from(u8::from(*is_right)))
        });
        let mut pool = (sum, right, rows);
        while let Some(last) = pools.pop_if(|last| last.1 * pool.2 >= pool.1 * last.2) {
            pool = (last.0 + pool.0, last.1 + pool.1, last.2 + pool.2);
        }
        pools.push(pool);
    }
    #[expect(clippy::cast_possible_truncation, reason = "shares of 1 need no more digits")]
    pools.iter().map(|(sum, right, rows)| [(sum / rows) as f32, (right / rows) as f32]).collect()
}

fn corrected(probability: f32, curve: &[[f32; 2]]) -> f32 {
    /// Keeps the line rising, so that no two probabilities become one confidence.
    const SLOPE: f32 = 0.001;
    let (Some(first), Some(last)) = (curve.first(), curve.last()) else { return probability };
    let above = curve.partition_point(|point| point[0] <= probability);
    let flat = if above == 0 {
        first[1]
    } else if above == curve.len() {
        last[1]
    } else {
        let ([x0, y0], [x1, y1]) = (curve[above - 1], curve[above]);
        y0 + (y1 - y0) * (probability - x0) / (x1 - x0).max(f32::MIN_POSITIVE)
    };
    flat + SLOPE * (probability - flat)
}

/// The sharpness that makes the true labels most likely. `rows` are scores with the true label's number.
pub(crate) fn fit_sharpness(rows: &[(&[f32], usize)]) -> f32 {
    let loss = |log: f32| -> f64 {
        let sharpness = log.exp();
        let row_loss = |(scores, label): &(&[f32], usize)| {
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = scores.iter().map(|score| ((score - largest) * sharpness).exp()).sum();
            f64::from(sum.ln() - (scores[*label] - largest) * sharpness)
        };
        rows.iter().map(row_loss).sum()
    };
    // Golden section: the loss has one minimum in the sharpness.
    let golden = (5.0_f32.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.1_f32.ln(), 40.0_f32.ln());
    let mut inner = (high - golden * (high - low), low + golden * (high - low));
    let mut losses = (loss(inner.0), loss(inner.1));
    while high - low > 1e-3 {
        if losses.0 < losses.1 {
            high = inner.1;
            inner = (high - golden * (high - low), inner.0);
            losses = (loss(inner.0), losses.0);
        } else {
            low = inner.0;
            inner = (inner.1, low + golden * (high - low));
            losses = (losses.1, loss(inner.1));
        }
    }
    f32::midpoint(low, high).exp()
}

/// The lowest confidence from which on the best guess is right at least as often as `precision` asks; `None` where
/// that holds nowhere. Thresholds are tried from the most confident down by a binomial test (Clopper and Pearson
/// 1934), and the first that fails after one has passed ends the search. Each try is wrong with a chance of
/// [`RISK`], so the promise with at most [`THRESHOLD_STEPS`] times that.
fn certified_threshold(guesses: &[(f32, bool)], precision: f64) -> Option<f32> {
    let mut guesses = guesses.to_vec();
    guesses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut certified = None;
    let mut wrong = 0;
    let mut seen = 0;
    for step in 1..=THRESHOLD_STEPS {
        let end = (guesses.len() * step).div_ceil(THRESHOLD_STEPS);
        wrong += guesses[seen..end].iter().filter(|(_, right)| !right).count();
        seen = end;
        if seen == 0 || guesses.get(end).is_some_and(|next| next.0 >= guesses[end - 1].0) {
            continue;
        }
        if at_most(wrong, seen, 1.0 - precision) <= RISK {
            certified = Some(guesses[end - 1].0);
        } else if certified.is_some() {
            break;
        }
    }
    certified
}

/// The chance of at most `successes` in `trials` that each succeed with `chance`.
fn at_most(successes: usize, trials: usize, chance: f64) -> f64 {
    // Terms in logarithms: the first one underflows for some thousands of trials.
    let odds = (chance / (1.0 - chance)).ln();
    let mut term = trials as f64 * (1.0 - chance).ln();
    let mut sum = term.exp();
    for k in 1..=successes.min(trials) {
        term += odds + ((trials - k + 1) as f64 / k as f64).ln();
        sum += term.exp();
    }
    sum.min(1.0)
}

/// The score above which at most `share` of these rows lie, with a chance of 5 % to be wrong about it where
/// there are rows enough to say so.
pub(crate) fn rejection_threshold(scores: &[f32], share: f64) -> f32 {
    let mut scores = scores.to_vec();
    scores.sort_by(|a, b| b.total_cmp(a));
    // At least half the share: else few rows would reject nothing at all.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the count of scores")]
    let mut rejected = (scores.len() as f64 * share / 2.0) as usize;
    while rejected < scores.len() && at_most(rejected + 1, scores.len(), share) <= 0.05 {
        rejected += 1;
    }
    scores.get(rejected).copied().unwrap_or(f32::INFINITY)
}

/// Expected calibration error over 15 bins of equal width: how far confidence and accuracy lie apart.
pub(crate) fn calibration_error(guesses: &[Guess]) -> f64 {
    const BINS: usize = 15;
    let mut bins = [(0.0_f64, 0.0_f64); BINS];
    for &Guess { confidence, right, .. } in guesses {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a confidence is within 0 to 1")]
        let bin = ((confidence * BINS as f32) as usize).min(BINS - 1);
        bins[bin].0 += f64::from(confidence);
        bins[bin].1 += f64::from(u8::from(right));
    }
    let gaps: f64 = bins.iter().map(|(confidence, right)| (confidence - right).abs()).sum();
    gaps / guesses.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_possible_truncation, reason = "random numbers of a test need no digits")]

    use super::*;
    use crate::classify::fit::Random;

    fn uniform(random: &mut Random) -> f64 {
        (random.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Guesses that are right exactly as often as their confidence says.
    fn honest_guesses(count: usize, seed: u64) -> Vec<(f32, bool)> {
        let mut random = Random(seed);
        let guess = |_| {
            let confidence = uniform(&mut random).sqrt();
            (confidence as f32, uniform(&mut random) < confidence)
        };
        (0..count).map(guess).collect()
    }

    fn guesses_of(guesses: &[(f32, bool)]) -> Vec<Guess> {
        guesses.iter().map(|&(confidence, right)| Guess { label: 0, confidence, right }).collect()
    }

    fn error_of(guesses: &[(f32, bool)]) -> f64 {
        calibration_error(&guesses_of(guesses))
    }

    #[test]
    fn a_certified_threshold_keeps_its_promise() {
        let mut broken = 0;
        for seed in 0..200 {
            let Some(threshold) = certified_threshold(&honest_guesses(2_000, seed), 0.9) else { continue };
            // The mean confidence above t is 2/3 (1 - t³) / (1 - t²) for this density of 2x.
            let t = f64::from(threshold);
            let precision = 2.0 / 3.0 * (1.0 - t.powi(3)) / (1.0 - t.powi(2));
            broken += usize::from(precision < 0.9);
        }
        assert!(broken <= 5, "{broken} of 200");
    }

    #[test]
    fn a_label_that_falls_behind_needs_more_confidence_or_is_never_certified() {
        let mut random = Random(11);
        let mut guesses = Vec::new();
        for row in 0..8_000 {
            let confidence = uniform(&mut random) as f32;
            // The second label is right where it is very sure, the third hardly ever.
            let (label, chance) = match row % 8 {
                0 => (1, if confidence > 0.8 { 0.99 } else { 0.5 }),
                1 => (2, 0.3),
                _ => (0, 0.99),
            };
            guesses.push(Guess { label, confidence, right: uniform(&mut random) < chance });
        }
        let labels = ["good", "fair", "bad"].map(str::to_owned);
        let threshold = certify(&guesses, &labels, 0.85).unwrap();
        assert!(threshold.is_met("good", threshold.confidence) && !threshold.is_met("good", 0.0), "{threshold:?}");
        assert!(!threshold.is_met("fair", threshold.confidence) && threshold.is_met("fair", 0.95), "{threshold:?}");
        assert!(!threshold.is_met("bad", 1.0), "{threshold:?}");
    }

    #[test]
    fn nothing_is_certified_on_few_or_bad_guesses() {
        assert_eq!(certified_threshold(&[], 0.9), None);
        assert_eq!(certified_threshold(&[(0.99, true); 20], 0.9), None);
        assert_eq!(certified_threshold(&[(0.99, false); 2_000], 0.9), None);
        assert_eq!(certified_threshold(&[(0.8, true); 2_000], 0.99), Some(0.8));
    }

    #[test]
    fn binomial_tails_match_known_values() {
        for (successes, trials, chance, expected) in
            [(0, 10, 0.1, 0.348_678), (2, 10, 0.5, 0.054_687_5), (10, 10, 0.3, 1.0), (50, 10_000, 0.01, 2.1122e-8)]
        {
            let found = at_most(successes, trials, chance);
            assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
        }
    }

    #[test]
    fn honest_guesses_have_a_small_calibration_error() {
        assert!(error_of(&honest_guesses(50_000, 1)) < 0.01);
        assert!(error_of(&[(1.0, false); 10]) > 0.99);
    }

    #[test]
    fn the_sharpness_is_found_again() {
        let mut random = Random(3);
        let row = |_| {
            let scores: Vec<f32> = (0..4).map(|_| uniform(&mut random) as f32 * 2.0).collect();
            let mut draw = uniform(&mut random) as f32;
            let label = probabilities(&scores, 3.0).iter().position(|p| {
                draw -= p;
                draw < 0.0
            });
            (scores, label.unwrap_or(3))
        };
        let rows: Vec<_> = (0..5_000).map(row).collect();
        let rows: Vec<(&[f32], usize)> = rows.iter().map(|(scores, label)| (scores.as_slice(), *label)).collect();
        let found = fit_sharpness(&rows);
        assert!((found - 3.0).abs() < 0.3, "{found}");
    }

    #[test]
    fn the_curve_takes_boasting_back() {
        // As often right as the square of the probability says.
        let boasting: Vec<_> = honest_guesses(20_000, 5).into_iter().map(|(p, right)| (p.sqrt(), right)).collect();
        let curve = fit_curve(&guesses_of(&boasting));
        assert!(curve.is_sorted_by(|a, b| a[0] < b[0] && a[1] < b[1]), "{curve:?}");
        let corrected: Vec<_> = boasting.iter().map(|(p, right)| (corrected(*p, &curve), *right)).collect();
        assert!(error_of(&boasting) > 0.1 && error_of(&corrected) < 0.02);
        assert!(fit_curve(&guesses_of(&boasting[..150])).is_empty());
    }

    #[test]
    fn corrected_confidences_keep_their_order() {
        for curve in [&[][..], &[[0.3, 0.1], [0.6, 0.2]]] {
            let (best, confidences) = confidences(&[0.1, 0.9, 0.8], 2.0, curve);
            assert_eq!(best, 1);
            assert!(confidences[1] >= confidences[2] && confidences[2] > confidences[0], "{confidences:?}");
            assert!(confidences.iter().sum::<f32>() < 1.001);
        }
        // So sure that the others have next to nothing, of which a correction must not make much.
        for scores in [[0.0, 9.0, 0.1], [0.0, 90.0, 0.1]] {
            let (_, confidences) = confidences(&scores, 2.0, &[[0.3, 0.2], [0.9, 0.95]]);
            assert!(confidences[1] > 0.9 && confidences[0] + confidences[2] < 0.06, "{confidences:?}");
        }
    }

    #[test]
    fn few_rows_are_rejected() {
        let scores: Vec<f32> = (0..10_000).map(|score| score as f32).collect();
        let threshold = rejection_threshold(&scores, 0.05);
        assert!((9_500.0..9_600.0).contains(&threshold), "{threshold}");
        assert!(rejection_threshold(&[], 0.05).is_infinite());
    }
}
