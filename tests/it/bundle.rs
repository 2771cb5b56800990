//! A model bundle through the program: trained, measured, used, and refused when it is damaged.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::harness::{Outcome, file, run};

/// Labelled rows of three topics, told apart by their words.
fn labelled_rows() -> String {
    let topics = [
        ("network", ["vpn drops", "wifi is slow", "no internet", "network cable broken", "cannot reach the intranet"]),
        ("printing", ["printer jams", "toner is empty", "print queue stuck", "paper tray missing", "scanner is dirty"]),
        ("access", ["password expired", "account locked", "cannot sign in", "reset my password", "login refused"]),
    ];
    let places = ["in the office", "at home", "since this morning", "on floor two", "for the whole team", "again"];
    let mut rows = String::new();
    for (topic, starts) in topics {
        for start in starts {
            for place in places {
                writeln!(rows, "{{\"text\": \"{start} {place}\", \"topic\": \"{topic}\"}}").unwrap();
            }
        }
    }
    rows
}

/// Trains a small bundle in `folder` and returns its folder.
fn train_bundle(folder: &Path) -> (PathBuf, Outcome) {
    let input = file(folder, "labelled.jsonl", labelled_rows());
    let bundle = folder.join("bundle");
    let out = bundle.to_str().unwrap();
    let trained = run(["train", "--input", &input, "--text", "text", "--label", "topic", "--out", out, "--json"]);
    trained.check(0, &[]);
    (bundle, trained)
}

#[test]
fn a_bundle_is_trained_measured_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, trained) = train_bundle(folder.path());
    let summary: Value = serde_json::from_str(&trained.stdout).unwrap();
    assert_eq!((&summary["rows"], &summary["fields"]["topic"]["classes"]), (&Value::from(90), &Value::from(3)));
    assert_eq!(summary["bundle"], bundle.to_str().unwrap());
    assert!(summary["seconds"].is_number());
    for measure in ["accuracy", "macro_f1", "ece"] {
        assert!(summary["fields"]["topic"][measure].is_number(), "{measure} in {summary}");
    }

    let input = file(folder.path(), "labelled.jsonl", labelled_rows());
    let predictions = folder.path().join("predictions.jsonl");
    let (model, out) = (bundle.to_str().unwrap(), predictions.to_str().unwrap());
    let measured = run([
        "eval",
        "--model",
        model,
        "--input",
        &input,
        "--text",
        "text",
        "--label",
        "topic",
        "--json",
        "--predictions",
        out,
    ]);
    measured.check(0, &[]);
    let report: Value = serde_json::from_str(&measured.stdout).unwrap();
    assert_eq!((&report["rows"], &report["oos"]), (&Value::from(90), &Value::Null));
    assert!(report["accuracy"].as_f64().unwrap() > 0.9, "{report}");
    for precision in ["0.90", "0.95", "0.99"] {
        assert!(report["coverage_at_precision"][precision]["coverage"].is_number(), "{report}");
    }
    let lines: Vec<Value> =
        fs::read_to_string(predictions).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[89]["id"]), (90, &Value::from("90")));
    for key in ["label", "value", "confidence", "abstention"] {
        assert!(lines[0].get(key).is_some(), "{key} in {}", lines[0]);
    }

    let classified = run(["classify", "--model", model, "--json", "the printer is jammed and the toner is empty"]);
    classified.check(0, &[]);
    let decision: Value = serde_json::from_str(&classified.stdout).unwrap();
    assert_eq!(
        (&decision["fields"]["topic"]["value"], &decision["priority"]),
        (&Value::from("printing"), &Value::Null)
    );
}

#[test]
fn a_corrupt_bundle_is_refused_and_the_file_named() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, _) = train_bundle(folder.path());
    let classify = |bundle: &Path| run(["classify", "--model", bundle.to_str().unwrap(), "--json", "printer jams"]);
    classify(&bundle).check(0, &[]);

    let manifest = bundle.join("manifest.toml");
    let text = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    classify(&bundle).check(1, &["manifest.toml"]);
    fs::write(&manifest, "not a manifest").unwrap();
    classify(&bundle).check(1, &["manifest.toml"]);
    fs::write(&manifest, text).unwrap();

    // The files that the model is computed from, without the ones for people.
    let files = fs::read_dir(&bundle).unwrap().map(|entry| entry.unwrap().path());
    let for_people = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let files: Vec<_> = files.filter(|path| *path != manifest && !for_people(path)).collect();
    assert!(!files.is_empty());
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [flipped.as_slice(), &whole[..whole.len() - 1], &[]] {
            fs::write(&path, damaged).unwrap();
            classify(&bundle).check(1, &[name]);
        }
        fs::remove_file(&path).unwrap();
        classify(&bundle).check(1, &[name]);
        fs::write(&path, whole).unwrap();
    }
    classify(&bundle).check(0, &[]);
    classify(&folder.path().join("absent")).check(1, &["absent"]);
    let data_dir = folder.path().join("data");
    fs::remove_file(&manifest).unwrap();
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir", data_dir.to_str().unwrap()];
    run(arguments.into_iter().chain(["--model", bundle.to_str().unwrap()])).check(1, &["manifest.toml"]);
}
