//! How much each kind of evidence counts. Without past links words decide; the more links there are, the more what
//! solved tickets before. All numbers were chosen on public questions and articles; `benches/peers/README.md` says what
//! they reach.

/// Kinds of evidence.
pub(super) const FEATURES: usize = 7;

/// What speaks for one article, or for none of them, in the order of [`BY_WORDS`].
pub(super) type Features = [f64; FEATURES];

/// How much each kind of evidence counts.
pub(crate) type Weights = [f64; FEATURES];

/// What stands for “no article solves this”.
pub(super) const NO_ARTICLE: Features = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];

/// Without a memory: words, title, likeness, votes, past likeness, agreement, no article.
const BY_WORDS: Weights = [4.0, 1.5, 2.5, 0.0, 0.0, 2.0, 7.5];
/// With a large memory.
const BY_MEMORY: Weights = [2.5, 0.9, 2.5, 2.2, 3.4, 1.5, 5.9];
/// With so many linked tickets the weights stand half-way.
const HALF_WAY: f64 = 50.0;

/// The weights for so many linked tickets, where none were fitted.
#[expect(clippy::cast_precision_loss, reason = "counts of tickets are far below 2^52")]
pub(super) fn ramp(linked: u64) -> Weights {
    let share = linked as f64 / (linked as f64 + HALF_WAY);
    let mut weights = BY_WORDS;
    for (weight, by_memory) in weights.iter_mut().zip(BY_MEMORY) {
        *weight += share * (by_memory - *weight);
    }
    weights
}

pub(super) fn score(weights: &Weights, features: &Features) -> f64 {
    weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum()
}

/// The softmax of scores: parts of 1, in their order; none for no scores.
pub(super) fn softmax(scores: &[f64]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|value| value / sum).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ramp_goes_from_words_to_memory() {
        let (none, half_way) = (ramp(0), ramp(50));
        for place in 0..FEATURES {
            assert!((none[place] - BY_WORDS[place]).abs() < 1e-12);
            assert!((half_way[place] - f64::midpoint(BY_WORDS[place], BY_MEMORY[place])).abs() < 1e-9);
            assert!((ramp(10_000_000)[place] - BY_MEMORY[place]).abs() < 1e-3);
        }
    }

    proptest! {
        #[test]
        fn a_softmax_is_a_share_of_one(scores in proptest::collection::vec(-700.0..700.0_f64, 1..20), shift in -300.0..300.0_f64) {
            let shares = softmax(&scores);
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let shifted: Vec<f64> = scores.iter().map(|score| score + shift).collect();
            for ((share, same), (a, b)) in shares.iter().zip(softmax(&shifted)).zip(scores.iter().zip(&shares)) {
                prop_assert!((share - same).abs() < 1e-9 && a.is_finite() && *b >= 0.0);
            }
            for (a, b) in (0..scores.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                prop_assert!(scores[a] <= scores[b] || shares[a] >= shares[b]);
            }
        }
    }
}
