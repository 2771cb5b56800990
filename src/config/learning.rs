//! The section `learning`: whether the server trains and promotes models by itself, and when.

use serde::Deserialize;

use crate::domain::model::LearningPolicy;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLearning {
    pub(super) corrections_per_hour: u64,
    retrain: bool,
    retrain_after: u64,
    min_rows: u64,
    promote: bool,
    promote_margin: f64,
    max_class_fall: f64,
    promote_p: f64,
}

/// The policy; `problems` name what makes none.
pub(super) fn check(raw: &RawLearning, problems: &mut Vec<String>) -> LearningPolicy {
    let RawLearning {
        corrections_per_hour: _,
        retrain,
        retrain_after,
        min_rows,
        promote,
        promote_margin,
        max_class_fall,
        promote_p,
    } = *raw;
    for (key, share) in
        [("promote_margin", promote_margin), ("max_class_fall", max_class_fall), ("promote_p", promote_p)]
    {
        if !(0.0..=1.0).contains(&share) {
            problems.push(format!("learning.{key}: must be 0 to 1, is {share}"));
        }
    }
    for (key, count) in [("retrain_after", retrain_after), ("min_rows", min_rows)] {
        if count == 0 {
            problems.push(format!("learning.{key}: must be at least 1"));
        }
    }
    if promote && !retrain {
        problems.push("learning.promote: needs learning.retrain: only what the server trained is promoted".to_owned());
    }
    LearningPolicy { retrain, retrain_after, min_rows, promote, promote_margin, max_class_fall, promote_p }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_off_by_default_and_must_make_sense() {
        let config = crate::config::Config::load(None, [], &crate::config::Overrides::default()).unwrap();
        let policy = config.learning;
        assert!(!policy.retrain && !policy.promote);
        assert_eq!((policy.retrain_after, policy.min_rows), (1_000, 200));
        let raw = RawLearning {
            corrections_per_hour: 0,
            retrain: false,
            retrain_after: 0,
            min_rows: 1,
            promote: true,
            promote_margin: 1.5,
            max_class_fall: f64::NAN,
            promote_p: 0.0,
        };
        let mut problems = Vec::new();
        check(&raw, &mut problems);
        for (problem, expected) in problems.iter().zip([
            "promote_margin: must",
            "max_class_fall: must",
            "retrain_after: must",
            "promote: needs",
        ]) {
            assert!(problem.starts_with(&format!("learning.{expected}")), "{problem}");
        }
        assert_eq!(problems.len(), 4);
    }
}
