//! Sixteen numbers at once, for sums, and functions of one for loops over many. Everything is inlined, so that it is compiled for the processor its caller is compiled for.
//! `FUSED` says whether that one multiplies and adds in one step; where it does not, asking for it would be a call.

#![expect(clippy::inline_always, reason = "a function that is not inlined does not take its caller's instructions")]

pub(super) const LANES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    pub(super) fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    pub(super) fn map(self, function: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(function))
    }

    #[inline(always)]
    pub(super) fn zip(self, other: Self, function: impl Fn(f32, f32) -> f32) -> Self {
        let mut lanes = self.0;
        for (lane, other) in lanes.iter_mut().zip(other.0) {
            *lane = function(*lane, other);
        }
        Self(lanes)
    }

    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    pub(super) fn times(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    pub(super) fn times_plus<const FUSED: bool>(self, factor: Self, addend: Self) -> Self {
        let mut lanes = self.0;
        for ((lane, factor), addend) in lanes.iter_mut().zip(factor.0).zip(addend.0) {
            *lane = times_plus::<FUSED>(*lane, factor, addend);
        }
        Self(lanes)
    }

    /// In halves, so that the order of the additions is the same however many lanes a register has.
    #[inline(always)]
    pub(super) fn sum(self) -> f32 {
        self.fold(|a, b| a + b)
    }

    #[inline(always)]
    pub(super) fn max(self) -> f32 {
        self.fold(|a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn fold(self, function: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] = function(lanes[lane], lanes[lane + half]);
            }
            half /= 2;
        }
        lanes[0]
    }
}

/// `factor · other + addend`.
#[inline(always)]
pub(super) fn times_plus<const FUSED: bool>(factor: f32, other: f32, addend: f32) -> f32 {
    if FUSED { factor.mul_add(other, addend) } else { factor * other + addend }
}

/// Added to a number that is small beside it, it rounds it to a whole number, which then stands in the lowest bits.
pub(super) const ROUND: f32 = 12_582_912.0;

/// `e` to the power of `x`, within 2e-7 of the value; what is below -87 counts as -87. Not for numbers above 88.
/// The polynomial is that of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 8] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0];
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = times_plus::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let rest = times_plus::<FUSED>(power, -LN_2_LOW, times_plus::<FUSED>(power, -LN_2_HIGH, x));
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    polynomial::<FUSED>(rest, &COEFFICIENTS) * scale
}

/// `x · Φ(x)` with the normal distribution's `Φ`, within 5e-7. The error function is 7.1.26 of Abramowitz and Stegun.
#[inline(always)]
pub(super) fn gelu<const FUSED: bool>(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 6] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6, 0.0];
    let distance = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / times_plus::<FUSED>(distance, 0.327_591_1, 1.0);
    let tail = 0.5 * polynomial::<FUSED>(t, &COEFFICIENTS) * exp::<FUSED>(-distance * distance);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// Highest power first.
#[inline(always)]
fn polynomial<const FUSED: bool>(x: f32, coefficients: &[f32]) -> f32 {
    let mut value = 0.0;
    for coefficient in coefficients {
        value = times_plus::<FUSED>(value, x, *coefficient);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::{super::naive::erf, *};

    #[test]
    fn exp_and_gelu_are_those_of_the_books() {
        for step in -4_350..=2_000_i16 {
            let x = f32::from(step) / 50.0;
            for value in [exp::<true>(x), exp::<false>(x)] {
                let expected = f64::from(x).exp();
                assert!((f64::from(value) - expected).abs() <= 2e-7 * expected, "{x}: {value} for {expected}");
            }
        }
        for step in -500..=500_i16 {
            let x = f32::from(step) / 100.0;
            for value in [gelu::<true>(x), gelu::<false>(x)] {
                let wide = f64::from(x);
                let expected = wide * 0.5 * (1.0 + erf(wide * std::f64::consts::FRAC_1_SQRT_2));
                assert!((f64::from(value) - expected).abs() < 5e-7, "{x}: {value} for {expected}");
            }
        }
    }

    #[test]
    fn what_is_far_out_stays_finite() {
        for x in [-1e30, -100.0, 0.0, 100.0, 1e30] {
            let value = gelu::<true>(x);
            assert!((value - x.max(0.0)).abs() <= 1e-6 * x.abs(), "{x}: {value}");
        }
        assert!(exp::<true>(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn sums_and_maxima_are_over_all_lanes() {
        let lanes = Lanes(std::array::from_fn(|lane| f32::from(u8::try_from(lane).unwrap()) - 3.0));
        assert!((lanes.sum() - 72.0).abs() < 1e-6);
        assert!((lanes.max() - 12.0).abs() < 1e-6);
    }
}
