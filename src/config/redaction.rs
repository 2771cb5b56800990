//! The section `redaction`: what stays in a ticket's text, and the desk's own patterns.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::encode::{Redactor, redact::Kind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedaction {
    keep: Vec<String>,
    patterns: BTreeMap<String, String>,
}

/// `None` where it cannot be used; `problems` say why.
pub(super) fn check(raw: &RawRedaction, problems: &mut Vec<String>) -> Option<Redactor> {
    let mut keep = Vec::new();
    for name in &raw.keep {
        match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            Some(kind) if kind.may_be_kept() => keep.push(kind),
            Some(_) => problems.push(format!("redaction.keep: `{name}` is never kept")),
            None => {
                let kinds = Kind::ALL.into_iter().filter(|kind| kind.may_be_kept()).map(Kind::as_str);
                let kinds = kinds.collect::<Vec<_>>().join(", ");
                problems.push(format!("redaction.keep: no kind `{name}`; what may be kept is {kinds}"));
            }
        }
    }
    let patterns = raw.patterns.iter().map(|(name, expression)| (name.as_str(), expression.as_str()));
    match Redactor::new(keep, patterns) {
        Ok(redactor) => Some(redactor),
        Err(errors) => {
            problems.extend(errors.iter().map(ToString::to_string));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn patterns_that_cannot_be_used_are_named_with_what_is_wrong() {
        let file = "[redaction]\nkeep = [\"ip\", \"password\", \"name\"]\n\
                    [redaction.patterns]\nbadge = \"B(\"\nany = \".*\"\nBad = \"x\"\n";
        let problems = load(file, &[]).unwrap_err().problems;
        for expected in [
            "redaction.keep: `password` is never kept",
            "redaction.keep: no kind `name`; what may be kept is email, phone, ip",
            "redaction.patterns.badge: unclosed group",
            "redaction.patterns.any: matches the empty text",
            "redaction.patterns.Bad: a name",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected}: {problems:?}");
        }
        let file = "[redaction]\nkeep = [\"ip\"]\n[redaction.patterns]\nbadge = '\\bB\\d{4}\\b'\n";
        let config = load(file, &[("TRIAGE__REDACTION__KEEP", "[\"phone\"]")]).unwrap();
        let text = "B1234 of ann@x.example, 10.1.2.3, +49 30 1234567";
        assert_eq!(config.redactor.redacted(text), "<badge> of <email>, <ip>, +49 30 1234567");
    }
}
