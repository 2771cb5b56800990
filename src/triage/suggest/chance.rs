//! From the share of a candidate to the chance that it is the one: Platt's method (1999) on the desk's own links, drawn
//! towards leaving the share as it is.

use serde::{Deserialize, Serialize};

/// With fewer tickets no chance is given.
pub(super) const MIN_TICKETS: usize = 30;
/// How strongly slope 1 and offset 0 are drawn to.
const PULL: f64 = 3.0;
const STEPS: usize = 50;
/// Shares nearer to 0 and 1 count as this.
const MARGIN: f64 = 1e-6;

/// Chance = sigmoid(slope · logit(share) + offset).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calibration {
    slope: f64,
    offset: f64,
}

impl Calibration {
    pub(super) fn chance(&self, share: f64) -> f64 {
        sigmoid(self.slope * logit(share) + self.offset)
    }
}

fn logit(share: f64) -> f64 {
    let share = share.clamp(MARGIN, 1.0 - MARGIN);
    (share / (1.0 - share)).ln()
}

fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

/// From the shares of best candidates and whether each was right; `None` where they are too few.
pub(super) fn calibrate(best: &[(f64, bool)]) -> Option<Calibration> {
    if best.len() < MIN_TICKETS {
        return None;
    }
    let (mut slope, mut offset) = (1.0, 0.0);
    for _ in 0..STEPS {
        let mut gradient = [PULL * (slope - 1.0), PULL * offset];
        let mut curvature = [PULL, 0.0, PULL];
        for (share, right) in best {
            let logit = logit(*share);
            let chance = sigmoid(slope * logit + offset);
            let excess = chance - f64::from(u8::from(*right));
            let spread = chance * (1.0 - chance);
            gradient[0] += excess * logit;
            gradient[1] += excess;
            curvature[0] += spread * logit * logit;
            curvature[1] += spread * logit;
            curvature[2] += spread;
        }
        let [aa, ab, bb] = curvature;
        let determinant = aa * bb - ab * ab;
        // Bounded steps: where the shares say nothing, the curvature is small.
        let change =
            [(bb * gradient[0] - ab * gradient[1]) / determinant, (aa * gradient[1] - ab * gradient[0]) / determinant];
        slope -= change[0].clamp(-1.0, 1.0);
        offset -= change[1].clamp(-1.0, 1.0);
    }
    // A larger share is never a smaller chance.
    Some(Calibration { slope: slope.max(0.05), offset })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_that_promise_too_much_are_corrected() {
        // Of those that say 80 % one half are right, of those that say 20 % one in twenty.
        let best: Vec<(f64, bool)> = (0..4_000)
            .map(|number| if number % 2 == 0 { (0.8, number % 4 == 0) } else { (0.2, number % 40 == 1) })
            .collect();
        let calibration = calibrate(&best).unwrap();
        assert!((calibration.chance(0.8) - 0.5).abs() < 0.02, "{}", calibration.chance(0.8));
        assert!((calibration.chance(0.2) - 0.05).abs() < 0.02, "{}", calibration.chance(0.2));
    }

    #[test]
    fn a_handful_of_tickets_tells_no_chance() {
        assert_eq!(calibrate(&[(0.5, true); MIN_TICKETS - 1]), None);
        assert!(calibrate(&[(0.5, true); MIN_TICKETS]).is_some());
    }

    proptest! {
        #[test]
        fn a_chance_is_one_and_grows_with_the_share(
            best in proptest::collection::vec((0.0..=1.0_f64, any::<bool>()), MIN_TICKETS..80),
        ) {
            let calibration = calibrate(&best).unwrap();
            let chances: Vec<f64> = (0..=20).map(|share| calibration.chance(f64::from(share) / 20.0)).collect();
            prop_assert!(chances.is_sorted() && chances.iter().all(|chance| (0.0..=1.0).contains(chance)), "{:?}", calibration);
        }
    }
}
