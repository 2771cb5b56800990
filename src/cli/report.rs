//! How good guesses are, as `train` and `eval` both report it: what a certified precision covers, the labels that go
//! worst, and the pairs that are taken for each other. Figures come from `classify::evaluate`.

use std::{collections::BTreeMap, io::Write};

use serde_json::{Map, Value, json};

use super::render::shortened;
use crate::classify::{
    Threshold,
    evaluate::{Confusion, Guesses, LabelQuality, PRECISIONS},
};

const LABELS_SHOWN: usize = 15;
const PAIRS_REPORTED: usize = 10;
/// Longer labels are cut in tables.
const LABEL_CHARS: usize = 40;

/// One field's guesses with what is needed to name them.
pub(super) struct FieldGuesses<'a> {
    pub(super) guesses: &'a Guesses,
    /// By number; empty where there was no text to guess from.
    pub(super) names: Vec<&'a str>,
    /// By precision.
    pub(super) thresholds: &'a BTreeMap<String, Threshold>,
}

impl FieldGuesses<'_> {
    /// Adds `coverage_at_precision`, `per_class` and `confusions`.
    pub(super) fn add_to(&self, report: &mut Map<String, Value>) {
        let coverage = PRECISIONS.iter().map(|precision| {
            let (reached, coverage) = self.coverage(precision);
            ((*precision).to_owned(), json!({ "precision": reached, "coverage": coverage }))
        });
        report.insert("coverage_at_precision".to_owned(), coverage.collect::<Map<_, _>>().into());
        let of_label = |found: LabelQuality| {
            let LabelQuality { label, precision, recall, f1, support } = found;
            json!({ "label": self.name(label), "precision": precision, "recall": recall, "f1": f1, "support": support })
        };
        report.insert("per_class".to_owned(), self.guesses.per_label().into_iter().map(of_label).collect());
        let of_pair = |Confusion { label, guess, rows }: Confusion| json!({ "label": self.name(label), "guess": self.name(guess), "rows": rows });
        let confusions = self.guesses.confusions().into_iter().take(PAIRS_REPORTED);
        report.insert("confusions".to_owned(), confusions.map(of_pair).collect());
    }

    /// For people.
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        self.write_coverage(out)?;
        self.write_labels(out)?;
        self.write_confusions(out)
    }

    fn write_coverage(&self, out: &mut impl Write) -> std::io::Result<()> {
        let (certified, missing): (Vec<&str>, Vec<&str>) =
            PRECISIONS.iter().partition(|precision| self.thresholds.contains_key(**precision));
        if !certified.is_empty() {
            writeln!(out, "  asked precision   reached   coverage")?;
        }
        for precision in certified {
            let (reached, coverage) = self.coverage(precision);
            writeln!(out, "  {:>15}  {:>8}  {:>9}", in_percent(precision), percent(reached), percent(Some(coverage)))?;
        }
        for precision in missing {
            writeln!(out, "  no confidence certifies {}: coverage 0", in_percent(precision))?;
        }
        Ok(())
    }

    fn write_labels(&self, out: &mut impl Write) -> std::io::Result<()> {
        let labels = self.guesses.per_label();
        let names: Vec<String> = labels.iter().take(LABELS_SHOWN).map(|found| self.shown(found.label)).collect();
        let width = widest(&names, "worst labels");
        writeln!(out, "\n  {:width$}  precision   recall       F1    rows", "worst labels")?;
        for (name, found) in names.iter().zip(&labels) {
            writeln!(
                out,
                "  {name:width$}   {:>8} {:>8} {:>8} {:>7}",
                percent(found.precision),
                percent(Some(found.recall)),
                percent(Some(found.f1)),
                found.support
            )?;
        }
        match labels.len().saturating_sub(LABELS_SHOWN) {
            0 => Ok(()),
            more => writeln!(out, "  … and {more} more"),
        }
    }

    fn write_confusions(&self, out: &mut impl Write) -> std::io::Result<()> {
        let confusions = self.guesses.confusions();
        if confusions.is_empty() {
            return Ok(());
        }
        let shown = confusions.iter().take(PAIRS_REPORTED);
        let names: (Vec<String>, Vec<String>) =
            shown.map(|pair| (self.shown(pair.label), self.shown(pair.guess))).unzip();
        let (width, guess_width) = (widest(&names.0, "most confused"), widest(&names.1, "taken for"));
        writeln!(out, "\n  {:width$}  {:guess_width$}    rows", "most confused", "taken for")?;
        for ((label, guess), pair) in names.0.iter().zip(&names.1).zip(&confusions) {
            writeln!(out, "  {label:width$}  {guess:guess_width$} {:>7}", pair.rows)?;
        }
        match confusions.len().saturating_sub(PAIRS_REPORTED) {
            0 => Ok(()),
            more => writeln!(out, "  … and {more} more"),
        }
    }

    fn coverage(&self, precision: &str) -> (Option<f64>, f64) {
        let threshold = self.thresholds.get(precision);
        self.guesses.coverage(|guess| {
            let name = self.name(guess.label).unwrap_or_default();
            threshold.is_some_and(|threshold| threshold.is_met(name, guess.confidence))
        })
    }

    fn name(&self, label: usize) -> Option<&str> {
        self.names.get(label).copied().filter(|name| !name.is_empty())
    }

    fn shown(&self, label: usize) -> String {
        shortened(self.name(label).unwrap_or("(no text)"), LABEL_CHARS)
    }
}

/// A share as a percentage of fixed width; a dash where there is none.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// `0.95` as `95 %`.
fn in_percent(precision: &str) -> String {
    format!("{} %", precision.trim_start_matches("0."))
}

fn widest(names: &[String], heading: &str) -> usize {
    names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(heading.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(labels: usize, thresholds: &BTreeMap<String, Threshold>) -> (Map<String, Value>, String) {
        let names: Vec<String> = (0..labels).map(|label| format!("label {label}")).chain([String::new()]).collect();
        let mut guesses = Guesses::new(labels);
        for label in 0..labels {
            guesses.add(label, label, 0.9);
            guesses.add(label, (label + 1) % (labels + 1), 0.5);
        }
        let names = names.iter().map(String::as_str).collect();
        let found = FieldGuesses { guesses: &guesses, names, thresholds };
        let (mut json, mut text) = (Map::new(), Vec::new());
        found.add_to(&mut json);
        found.write(&mut text).unwrap();
        (json, String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_precision_that_nothing_certifies_is_said_plainly() {
        let (json, text) = report(3, &BTreeMap::from([("0.90".to_owned(), Threshold::at(0.8))]));
        assert_eq!(json["coverage_at_precision"]["0.90"], json!({ "precision": 1.0, "coverage": 0.5 }));
        assert_eq!(json["coverage_at_precision"]["0.99"], json!({ "precision": null, "coverage": 0.0 }));
        assert!(text.contains("no confidence certifies 99 %: coverage 0"), "{text}");
        assert!(text.contains("90 %   100.0 %     50.0 %"), "{text}");
    }

    #[test]
    fn a_long_list_is_cut_for_people_and_whole_for_programs() {
        let (json, text) = report(20, &BTreeMap::new());
        assert_eq!(json["per_class"].as_array().map(Vec::len), Some(20));
        assert_eq!(json["confusions"].as_array().map(Vec::len), Some(10));
        assert!(text.contains("… and 5 more") && text.contains("… and 10 more"), "{text}");
        let last = &report(1, &BTreeMap::new()).0["confusions"][0];
        assert_eq!(*last, json!({ "label": "label 0", "guess": null, "rows": 1 }));
    }
}
