//! Texts that every bundle answers in its `golden.jsonl` and again whenever it is loaded: a program that reads
//! the weights but computes something else must not serve. Written for this purpose, never from training rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{bundle::BundleError, classifier::Classifier};

const TEXTS: [&str; 6] = [
    "Cannot print to the second floor printer since this morning, the queue shows an error.",
    "Please give our new colleague access to the shared finance folder before Monday.",
    "VPN drops every few minutes when I work from home. Error 0x80070005.",
    "How do I set an out of office reply?",
    "Whole site is down, nobody can log in to the ERP system and the line has stopped!",
    "Mein Kennwort ist abgelaufen, bitte zurücksetzen.",
];
/// How far a confidence may lie off on another processor.
const TOLERANCE: f32 = 1e-3;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: String,
    fields: BTreeMap<String, Answer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    value: String,
    confidence: f32,
}

/// What the classifier answers to the golden texts.
pub(super) fn write(classifier: &Classifier) -> Result<Vec<u8>, BundleError> {
    let mut file = Vec::new();
    for (number, text) in TEXTS.into_iter().enumerate() {
        let fields = classifier.classify(text).fields.into_iter().filter_map(|field| {
            let best = field.ranked.first()?;
            Some((field.name.to_string(), Answer { value: best.label.to_string(), confidence: best.confidence }))
        });
        let line = Line { text: text.to_owned(), fields: fields.collect() };
        let problem = |error: serde_json::Error| BundleError::Golden { line: number + 1, problem: error.to_string() };
        serde_json::to_writer(&mut file, &line).map_err(problem)?;
        file.push(b'\n');
    }
    Ok(file)
}

/// Refuses a classifier that answers other than the file says.
pub(super) fn check(classifier: &Classifier, file: &[u8]) -> Result<(), BundleError> {
    for (number, line) in file.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let refuse = |problem: String| BundleError::Golden { line: number + 1, problem };
        let line: Line = serde_json::from_slice(line).map_err(|error| refuse(error.to_string()))?;
        let found = classifier.classify(&line.text);
        for (name, expected) in &line.fields {
            let field = found.fields.iter().find(|field| *field.name == **name);
            let candidate = field.and_then(|field| field.ranked.iter().find(|ranked| *ranked.label == *expected.value));
            let confidence = candidate.map_or(f32::NAN, |candidate| candidate.confidence);
            let close = (confidence - expected.confidence).abs() <= TOLERANCE;
            if !close {
                let expected = format!("`{name}` is `{}` with {}", expected.value, expected.confidence);
                return Err(refuse(format!("expected that {expected}, computed {confidence}")));
            }
        }
    }
    Ok(())
}
