//! How much each kind of evidence counts. Without past links words decide; the more links there are, the more what
//! solved tickets before. All numbers were chosen on public questions and articles; `benches/peers/README.md` says what
//! they reach.

/// Kinds of evidence.
pub(super) const FEATURES: usize = 10;

/// What speaks for one article, or for none of them, in the order of [`BY_WORDS`].
pub(super) type Features = [f64; FEATURES];

/// How much each kind of evidence counts.
pub(crate) type Weights = [f64; FEATURES];

/// What stands for “no article solves this”.
pub(super) const NO_ARTICLE: Features = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];

/// Without a memory: words, title, likeness, votes, past likeness, agreement, no article, and what only a sentence encoder
/// tells: meaning of title and summary, of the best passage, votes by meaning. With one, the past is likeness of meaning.
const BY_WORDS: Weights = [4.0, 1.5, 2.5, 0.0, 0.0, 2.0, 7.5, 0.0, 0.0, 0.0];
/// With a large memory.
const BY_MEMORY: Weights = [2.5, 0.9, 2.5, 2.2, 3.4, 1.5, 5.9, 0.0, 0.0, 0.0];
/// The same where there is a sentence encoder.
const BY_MEANING: Weights = [2.5, 0.5, 0.75, 0.0, 0.0, 2.0, 9.0, 3.5, 10.0, 0.0];
const BY_MEANING_AND_MEMORY: Weights = [1.2, 0.4, 1.1, 0.8, 4.2, 1.5, 6.5, 1.5, 5.0, 0.8];
/// With so many linked tickets the weights stand half-way.
const HALF_WAY: f64 = 50.0;
/// The same with a sentence encoder: what articles mean tells more than a few links.
const HALF_WAY_WITH_MEANING: f64 = 200.0;

/// What evidence there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Basis {
    /// Tickets that an article solved.
    pub linked: u64,
    /// Whether a sentence encoder read the question.
    pub has_meaning: bool,
}

/// The weights where none were fitted.
#[expect(clippy::cast_precision_loss, reason = "counts of tickets are far below 2^52")]
pub(super) fn ramp(basis: Basis) -> Weights {
    let half_way = if basis.has_meaning { HALF_WAY_WITH_MEANING } else { HALF_WAY };
    let share = basis.linked as f64 / (basis.linked as f64 + half_way);
    let (mut weights, by_memory) =
        if basis.has_meaning { (BY_MEANING, BY_MEANING_AND_MEMORY) } else { (BY_WORDS, BY_MEMORY) };
    for (weight, by_memory) in weights.iter_mut().zip(by_memory) {
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
        for (has_meaning, half_way, first, last) in
            [(false, 50, BY_WORDS, BY_MEMORY), (true, 200, BY_MEANING, BY_MEANING_AND_MEMORY)]
        {
            let at = |linked| ramp(Basis { linked, has_meaning });
            for place in 0..FEATURES {
                assert!((at(0)[place] - first[place]).abs() < 1e-12);
                assert!((at(half_way)[place] - f64::midpoint(first[place], last[place])).abs() < 1e-9);
                assert!((at(100_000_000)[place] - last[place]).abs() < 1e-3);
            }
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
