//! Whether one model is right more often than another on the same tickets, or only by chance.

/// The two-sided mid-p value of McNemar's test (Fagerland, Lydersen and Laake 2013): only tickets that exactly one of the
/// two is right about tell them apart, and of equally good models each has half of these. 1 where there are none.
pub fn p_value(only_first_right: u64, only_second_right: u64) -> f64 {
    let (tickets, fewer) = (only_first_right + only_second_right, only_first_right.min(only_second_right));
    if only_first_right == only_second_right {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of tickets are far below 2^52")]
    let number = |count: u64| count as f64;
    // In logarithms: 2^-n is no number for a thousand tickets.
    let mut chance = -number(tickets) * std::f64::consts::LN_2;
    let mut below = 0.0;
    for count in 0..fewer {
        below += chance.exp();
        chance += (number(tickets - count) / number(count + 1)).ln();
    }
    (2.0 * (below + chance.exp() / 2.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_is_that_of_the_binomial_distribution() {
        for (first, second, expected) in [
            (0, 0, 1.0),
            (7, 7, 1.0),
            (0, 1, 0.5),
            (0, 5, 0.031_25),
            (5, 0, 0.031_25),
            // 2 (C(10,0) + C(10,1) + C(10,2) / 2) / 2^10
            (2, 8, 0.065_43),
            // As published for mid-p: 1 and 7 give 0.0391, 59 and 6 far less than 0.001.
            (1, 7, 0.039_06),
        ] {
            let found = p_value(first, second);
            assert!((found - expected).abs() < 1e-4, "{first} {second}: {found}");
        }
        assert!(p_value(59, 6) < 1e-9 && p_value(59, 6) > 0.0);
        assert!(p_value(10_000, 11_000) < 1e-9);
        assert!((p_value(500, 520) - 0.53).abs() < 0.01, "{}", p_value(500, 520));
    }
}
