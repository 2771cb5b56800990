//! Fits the weights to the desk's own links: a listwise softmax over each ticket's candidates and “none of them”, by
//! Newton's method, drawn towards the weights that hold without a fit. A fit counts only where it does better on tickets
//! that it has not seen.

use super::weights::{self, FEATURES, Features, NO_ARTICLE, Weights};

/// Fewer tickets teach nothing that weights could be fitted to.
pub(super) const MIN_TICKETS: usize = 100;
/// How strongly the fit is drawn towards the weights without one: as ten tickets would.
const PULL: f64 = 10.0;
/// Steps of Newton's method; some five are enough.
const MAX_STEPS: usize = 50;
const TOLERANCE: f64 = 1e-10;

/// A ticket whose articles are known, asked as if it were not in the memory.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// What speaks for each candidate.
    pub features: Vec<Features>,
    /// Places of the right candidates; empty where none is.
    pub right: Vec<usize>,
    /// Which half the ticket belongs to when a fit is checked.
    pub in_first_half: bool,
}

impl Sample {
    /// How likely each candidate is to be the one, and last that none is.
    fn shares(&self, weights: &Weights) -> Vec<f64> {
        let all = self.features.iter().chain([&NO_ARTICLE]);
        weights::softmax(&all.map(|features| weights::score(weights, features)).collect::<Vec<_>>())
    }

    /// What the shares should be.
    #[expect(clippy::cast_precision_loss, reason = "a handful of articles")]
    fn target(&self, place: usize) -> f64 {
        if self.right.is_empty() {
            return f64::from(u8::from(place == self.features.len()));
        }
        if self.right.contains(&place) { 1.0 / self.right.len() as f64 } else { 0.0 }
    }

    fn loss(&self, weights: &Weights) -> f64 {
        let shares = self.shares(weights);
        shares.iter().enumerate().map(|(place, share)| -self.target(place) * share.max(1e-300).ln()).sum()
    }

    /// The best candidate's share, and whether it is right; `None` where there is no candidate.
    pub(super) fn best(&self, weights: &Weights) -> Option<(f64, bool)> {
        let mut shares = self.shares(weights);
        shares.pop();
        let best = (0..shares.len()).max_by(|a, b| shares[*a].total_cmp(&shares[*b]).then_with(|| b.cmp(a)))?;
        Some((shares[best], self.right.contains(&best)))
    }
}

/// Weights that do better than `prior` on tickets that they were not fitted to; `None` where none do.
pub(super) fn fit(samples: &[Sample], prior: &Weights) -> Option<Weights> {
    if samples.len() < MIN_TICKETS {
        return None;
    }
    let (first, second): (Vec<&Sample>, Vec<&Sample>) = samples.iter().partition(|sample| sample.in_first_half);
    let mut gain = 0.0;
    for (learned_from, unseen) in [(&first, &second), (&second, &first)] {
        let fitted = newton(learned_from, prior);
        gain += unseen.iter().map(|sample| sample.loss(prior) - sample.loss(&fitted)).sum::<f64>();
    }
    (gain > 0.0).then(|| newton(&samples.iter().collect::<Vec<_>>(), prior))
}

fn objective(samples: &[&Sample], prior: &Weights, weights: &Weights) -> f64 {
    let distance: f64 = weights.iter().zip(prior).map(|(weight, prior)| (weight - prior).powi(2)).sum();
    samples.iter().map(|sample| sample.loss(weights)).sum::<f64>() + 0.5 * PULL * distance
}

/// The least of a convex function; steps that would not go down are halved.
fn newton(samples: &[&Sample], prior: &Weights) -> Weights {
    let mut weights = *prior;
    let mut value = objective(samples, prior, &weights);
    for _ in 0..MAX_STEPS {
        let (gradient, curvature) = derivatives(samples, prior, &weights);
        let step = solve(curvature, gradient);
        let mut length = 1.0;
        let (next, next_value) = loop {
            let next: Weights = std::array::from_fn(|place| weights[place] - length * step[place]);
            let next_value = objective(samples, prior, &next);
            if next_value <= value || length < 1e-6 {
                break (next, next_value);
            }
            length /= 2.0;
        };
        if next_value >= value - TOLERANCE * value.abs() {
            break;
        }
        (weights, value) = (next, next_value);
    }
    weights
}

type Curvature = [[f64; FEATURES]; FEATURES];

fn derivatives(samples: &[&Sample], prior: &Weights, weights: &Weights) -> (Weights, Curvature) {
    let mut gradient: Weights = std::array::from_fn(|place| PULL * (weights[place] - prior[place]));
    let mut curvature = [[0.0; FEATURES]; FEATURES];
    (0..FEATURES).for_each(|place| curvature[place][place] = PULL);
    for sample in samples {
        let mut mean = [0.0; FEATURES];
        let all = sample.features.iter().chain([&NO_ARTICLE]);
        for ((place, features), share) in all.enumerate().zip(sample.shares(weights)) {
            let excess = share - sample.target(place);
            for row in 0..FEATURES {
                gradient[row] += excess * features[row];
                mean[row] += share * features[row];
                for column in 0..=row {
                    curvature[row][column] += share * features[row] * features[column];
                }
            }
        }
        for row in 0..FEATURES {
            for column in 0..=row {
                curvature[row][column] -= mean[row] * mean[column];
            }
        }
    }
    (gradient, curvature)
}

/// Solves a positive definite system, of which the lower triangle is given, by Cholesky's method.
fn solve(mut matrix: Curvature, mut right: Weights) -> Weights {
    for row in 0..FEATURES {
        for column in 0..=row {
            let known: f64 = (0..column).map(|place| matrix[row][place] * matrix[column][place]).sum();
            let rest = matrix[row][column] - known;
            matrix[row][column] = if row == column { rest.max(1e-12).sqrt() } else { rest / matrix[column][column] };
        }
        let known: f64 = (0..row).map(|place| matrix[row][place] * right[place]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    for row in (0..FEATURES).rev() {
        let known: f64 = (row + 1..FEATURES).map(|place| matrix[place][row] * right[place]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::{super::weights::Basis, *};

    fn ramp(linked: u64) -> Weights {
        weights::ramp(Basis { linked, has_meaning: false })
    }

    /// Numbers that look random and are not.
    fn noise(seed: u64) -> f64 {
        let bits = xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes()) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let noise = bits as f64 / (1_u64 << 53) as f64;
        noise
    }

    /// Tickets whose right candidate is the one that `truth` scores best, now and then another.
    fn samples(count: u64, truth: &Weights) -> Vec<Sample> {
        let sample = |number: u64| {
            let feature = |candidate: u64, place: u64| noise(number * 1_000 + candidate * 10 + place);
            let features: Vec<Features> = (0..8)
                .map(|candidate| {
                    std::array::from_fn(|place| {
                        if place == 6 || truth[place] == 0.0 { 0.0 } else { feature(candidate, place as u64) }
                    })
                })
                .collect();
            let scores: Vec<f64> =
                features.iter().chain([&NO_ARTICLE]).map(|features| weights::score(truth, features)).collect();
            let shares = weights::softmax(&scores);
            let mut drawn = noise(number * 1_000 + 999);
            let place = shares.iter().position(|share| {
                drawn -= share;
                drawn < 0.0
            });
            let right = place.filter(|place| *place < features.len()).into_iter().collect();
            Sample { features, right, in_first_half: number.is_multiple_of(2) }
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn weights_are_found_again() {
        let truth = [2.0, 0.5, 2.0, 1.5, 2.5, 1.0, 8.0, 1.5, 1.0, 2.0];
        let prior = weights::ramp(Basis { linked: 1_000, has_meaning: true });
        let fitted = fit(&samples(20_000, &truth), &prior).unwrap();
        for (fitted, truth) in fitted.iter().zip(truth) {
            assert!((fitted - truth).abs() < 0.3, "{fitted} for {truth}");
        }
    }

    #[test]
    fn a_fit_that_does_no_better_on_unseen_tickets_is_dropped() {
        let prior = ramp(1_000);
        assert_eq!(fit(&samples(99, &[0.0; FEATURES]), &prior), None);
        // Drawn from the prior itself: there is nothing to be learned but noise.
        let kept = (0..8).filter(|turn| {
            let mut own = samples(400, &prior);
            own.rotate_left(turn * 50);
            fit(&own[..120], &prior).is_some()
        });
        assert!(kept.count() <= 4);
    }

    #[test]
    fn the_derivatives_are_those_of_the_objective() {
        let prior = ramp(200);
        let samples = samples(30, &prior);
        let samples: Vec<&Sample> = samples.iter().collect();
        let at: Weights = std::array::from_fn(|place| prior[place] * 0.8 + 0.1);
        let (gradient, curvature) = derivatives(&samples, &prior, &at);
        let moved = |place: usize, by: f64| {
            let mut moved = at;
            moved[place] += by;
            moved
        };
        for place in 0..FEATURES {
            let (ahead, behind) = (moved(place, 1e-5), moved(place, -1e-5));
            let slope = (objective(&samples, &prior, &ahead) - objective(&samples, &prior, &behind)) / 2e-5;
            assert!((slope - gradient[place]).abs() < 1e-4, "{slope} {}", gradient[place]);
            let change =
                derivatives(&samples, &prior, &ahead).0[place] - derivatives(&samples, &prior, &behind).0[place];
            assert!((change / 2e-5 - curvature[place][place]).abs() < 1e-3);
        }
    }
}
