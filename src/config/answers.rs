//! The section `answers`: what chatbots are answered.

use serde::Deserialize;

use crate::domain::answer::AnswerSettings;

/// A week: a token that is good for longer is a risk and no help.
const MAX_MINUTES: u64 = 7 * 24 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAnswers {
    min_confidence: f32,
    conversation_minutes: u64,
}

/// The settings; `problems` name what makes none.
pub(super) fn check(raw: &RawAnswers, problems: &mut Vec<String>) -> AnswerSettings {
    let RawAnswers { min_confidence, conversation_minutes } = *raw;
    if !(0.0..=1.0).contains(&min_confidence) {
        problems.push(format!("answers.min_confidence: must be 0 to 1, is {min_confidence}"));
    }
    if !(1..=MAX_MINUTES).contains(&conversation_minutes) {
        problems.push(format!("answers.conversation_minutes: must be 1 to {MAX_MINUTES}, is {conversation_minutes}"));
    }
    AnswerSettings { min_confidence, conversation_seconds: conversation_minutes.saturating_mul(60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_program_and_nonsense_is_named() {
        let config = crate::config::Config::load(None, [], &crate::config::Overrides::default()).unwrap();
        assert_eq!(config.answers, AnswerSettings::default());
        let mut problems = Vec::new();
        check(&RawAnswers { min_confidence: f32::NAN, conversation_minutes: 0 }, &mut problems);
        assert!(problems[0].starts_with("answers.min_confidence: must") && problems[1].contains("must be 1 to 10080"));
        assert_eq!(problems.len(), 2);
    }
}
