//! Whether a text is for this model at all: long enough, in a language it learnt, about what it learnt.
//! Says nothing of which label is right.
#![expect(clippy::cast_precision_loss, reason = "counts of rows and letters are far below 2^24")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::features;
use crate::encode::Redactor;

/// A single word shorter than this is no ticket.
const MIN_CHARS: usize = 10;
/// Fewer letters than this say nothing of the language.
const MIN_LETTERS: usize = 20;
const MIN_WORDS: usize = 4;
/// Texts of which the model knows this share of the words are read without asking for their language.
const FAMILIAR: f32 = 0.7;
/// The language of some hundred characters is as clear as that of thousands.
const LANGUAGE_BYTES: usize = 400;

/// What is known of a text before any label is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Signals {
    /// The best score among the labels of the field that has most of them.
    pub(crate) best_score: f32,
    /// The score of the plane that separates out-of-scope rows; 0 where training saw none.
    pub(crate) outside_score: f32,
    /// The share of the text's n-grams that the model knows.
    pub(crate) known_share: f32,
}

impl Signals {
    fn values(&self) -> [f32; 3] {
        [self.best_score, self.outside_score, self.known_share]
    }
}

/// Weighs the signals: the likelihood, 0 to 1, that a text is out of scope.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeModel {
    weights: [f32; 3],
    bias: f32,
    /// Above it a text is out of scope.
    pub(crate) threshold: f32,
}

impl ScopeModel {
    /// For training without a single out-of-scope row: a text is strange if no label wants it and its words are
    /// unknown. The weights are those that fitting on several desks' rows gave on average.
    pub(crate) fn without_examples() -> Self {
        Self { weights: [-4.0, 0.0, -4.0], bias: 0.0, threshold: 1.0 }
    }

    /// A logistic regression on signals of held-back rows, both sides counting the same.
    pub(crate) fn fit(inside: &[Signals], outside: &[Signals]) -> Self {
        const STEPS: usize = 500;
        const RATE: f32 = 1.0;
        const RIDGE: f32 = 1e-3;
        let rows = inside.iter().map(|row| (row, 0.0, 0.5 / inside.len() as f32));
        let rows: Vec<_> = rows.chain(outside.iter().map(|row| (row, 1.0, 0.5 / outside.len() as f32))).collect();
        let mut means = [0.0_f32; 3];
        let mut deviations = [0.0_f32; 3];
        for (row, _, share) in &rows {
            means.iter_mut().zip(row.values()).for_each(|(mean, value)| *mean += share * value);
        }
        for (row, _, share) in &rows {
            let values = row.values().into_iter().zip(means);
            deviations.iter_mut().zip(values).for_each(|(sum, (value, mean))| *sum += share * (value - mean).powi(2));
        }
        let deviations = deviations.map(|square| square.sqrt().max(1e-6));
        let mut weights = [0.0_f32; 3];
        let mut bias = 0.0_f32;
        for _ in 0..STEPS {
            let mut gradient = weights.map(|weight| RIDGE * weight);
            let mut bias_gradient = 0.0;
            for (row, label, share) in &rows {
                let values = row.values();
                let scaled: [f32; 3] = std::array::from_fn(|i| (values[i] - means[i]) / deviations[i]);
                let sum: f32 = scaled.iter().zip(weights).map(|(value, weight)| value * weight).sum();
                let error = share * (sigmoid(sum + bias) - label);
                gradient.iter_mut().zip(scaled).for_each(|(sum, value)| *sum += error * value);
                bias_gradient += error;
            }
            weights.iter_mut().zip(gradient).for_each(|(weight, gradient)| *weight -= RATE * gradient);
            bias -= RATE * bias_gradient;
        }
        let weights: [f32; 3] = std::array::from_fn(|i| weights[i] / deviations[i]);
        let shift: f32 = weights.iter().zip(means).map(|(weight, mean)| weight * mean).sum();
        Self { weights, bias: bias - shift, threshold: 1.0 }
    }

    /// The likelihood, 0 to 1, that the text is out of scope.
    pub(crate) fn score(&self, signals: &Signals) -> f32 {
        sigmoid(
            signals.values().iter().zip(self.weights).map(|(value, weight)| value * weight).sum::<f32>() + self.bias,
        )
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.weights.iter().chain([&self.bias, &self.threshold]).all(|value| value.is_finite())
    }
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// Whether the text has too little to go by: no letters or digits, or one short word.
pub(crate) fn is_too_short(text: &str) -> bool {
    let text = text.trim();
    !text.contains(char::is_alphanumeric)
        || (!text.contains(char::is_whitespace) && text.chars().take(MIN_CHARS).count() < MIN_CHARS)
}

/// The language of the text as an ISO 639-3 code; `None` for short texts, for codes, and where it is not clear.
pub(crate) fn language(text: &str) -> Option<&'static str> {
    let text = &text[..text.floor_char_boundary(LANGUAGE_BYTES)];
    let words: Vec<&str> = text.split_whitespace().filter(|word| is_plain_word(word)).collect();
    let plain = words.join(" ");
    let letters = plain.chars().filter(|character| character.is_alphabetic()).count();
    // Scripts without blanks have long words.
    if letters < MIN_LETTERS || (words.len() < MIN_WORDS && plain.is_ascii()) {
        return None;
    }
    whatlang::detect(&plain).filter(whatlang::Info::is_reliable).map(|info| info.lang().code())
}

/// Neither a code, nor an address, nor a shout.
fn is_plain_word(word: &str) -> bool {
    let word = word.trim_matches(|character: char| !character.is_alphanumeric());
    let mut characters = word.chars();
    // Scripts that set no blanks between words have their punctuation inside.
    let plain = |character: char| !character.is_ascii() && !character.is_numeric() && !character.is_uppercase();
    characters.next().is_some_and(char::is_alphabetic)
        && characters.all(|character| character.is_ascii_lowercase() || character == '\'' || plain(character))
}

/// The languages that training texts are written in.
#[derive(Debug, Default)]
pub(crate) struct Languages {
    texts: usize,
    clear: BTreeMap<&'static str, usize>,
}

impl Languages {
    /// So many texts are looked at one by one, and then every sixteenth.
    const FIRST_TEXTS: usize = 2_000;
    const MIN_CLEAR_TEXTS: usize = 20;

    pub(crate) fn add(&mut self, text: &str, redactor: &Redactor) {
        let is_looked_at = self.texts < Self::FIRST_TEXTS || self.texts.is_multiple_of(16);
        if is_looked_at && let Some(code) = language(&features::readable(text, redactor).words()) {
            *self.clear.entry(code).or_default() += 1;
        }
        self.texts += 1;
    }

    /// Those that at least one clear text in fifty is written in; empty where too few texts are clear.
    pub(crate) fn supported(self) -> Vec<String> {
        let total: usize = self.clear.values().sum();
        if total < Self::MIN_CLEAR_TEXTS {
            return Vec::new();
        }
        self.clear.into_iter().filter(|(_, count)| count * 50 >= total).map(|(code, _)| code.to_owned()).collect()
    }
}

/// Whether the text is clearly in a language that is not one of `supported`.
pub(crate) fn is_foreign(text: &str, known_words: f32, supported: &[String]) -> bool {
    !supported.is_empty()
        && known_words < FAMILIAR
        && language(text).is_some_and(|code| !supported.iter().any(|known| known == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_short_word_is_too_short() {
        for (text, expected) in [
            ("", true),
            (" ?! ", true),
            ("help", true),
            ("no wifi", false),
            ("Kennwort zurücksetzen", false),
            ("screensaver", false),
        ] {
            assert_eq!(is_too_short(text), expected, "{text}");
        }
    }

    #[test]
    fn only_clear_texts_have_a_language() {
        let english = vec!["eng".to_owned()];
        for (text, expected) in [
            ("Ich kann mich seit gestern nicht mehr am Rechner anmelden, bitte um Hilfe", true),
            ("我的电脑今天早上无法启动，屏幕一直是黑色的，请尽快派人来处理一下这个问题", true),
            ("I have not been able to log on to my computer since yesterday, please help", false),
            ("ERR_CONNECTION_REFUSED 0x80070005 SRV-DB-01 KB5034441 ORA-01017 TNS-12541", false),
            ("nicht gut", false),
        ] {
            assert_eq!(is_foreign(text, 0.2, &english), expected, "{text}");
        }
        assert!(!is_foreign("Ich kann mich seit gestern nicht mehr am Rechner anmelden", 0.2, &[]));
    }

    #[test]
    fn examples_teach_which_signals_count() {
        let signal = |best_score, outside_score| Signals { best_score, outside_score, known_share: 0.5 };
        let inside: Vec<_> = (0..50).map(|i| signal(i as f32 / 50.0, -1.0 + i as f32 / 100.0)).collect();
        let outside: Vec<_> = (0..20).map(|i| signal(i as f32 / 20.0, 0.2 + i as f32 / 100.0)).collect();
        let model = ScopeModel::fit(&inside, &outside);
        let lowest = outside.iter().map(|row| model.score(row)).fold(1.0, f32::min);
        let highest = inside.iter().map(|row| model.score(row)).fold(0.0, f32::max);
        assert!(lowest > 0.5 && highest < 0.5, "{lowest} {highest}");
    }
}
