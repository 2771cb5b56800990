//! A model bundle through the program: trained, measured, used, and refused when it is damaged.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use ticket_triage::rows::{Row, Rows};

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

/// The rows of a CSV file as a spreadsheet shows them.
fn csv_rows(path: &Path) -> Vec<Row> {
    Rows::open(path, &[]).unwrap().map(Result::unwrap).collect()
}

#[test]
fn labels_that_are_probably_wrong_are_listed_with_what_they_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let rows = labelled_rows();
    // Of all rows about toner one is said to be about the network, and one text stands under two labels.
    let wrong = "\"text\": \"toner is empty at home\", \"topic\": \"printing\"";
    let wrong = (wrong, wrong.replace("\"printing\"", "\"network\", \"number\": \"INC7\""));
    assert!(rows.contains(wrong.0));
    let rows = rows.replace(wrong.0, &wrong.1);
    let copies = "{\"number\": \"INC8\", \"text\": \"VPN drops  AGAIN\", \"topic\": \"oos\"}\n\
                  {\"number\": \"INC9\", \"text\": \"vpn drops again \", \"topic\": \"network\"}\n";
    let (first, second) = (file(folder.path(), "first.jsonl", rows), file(folder.path(), "second.jsonl", copies));
    let (bundle, suspects) = (folder.path().join("bundle"), folder.path().join("suspects.csv"));
    let train = |suspects: &str, json: &[&str]| {
        let arguments = ["train", "--input", &first, &second, "--text", "text", "--label", "topic", "--id", "number"];
        let out = ["--out", bundle.to_str().unwrap(), "--suspects", suspects];
        run(arguments.into_iter().chain(out).chain(json.iter().copied()))
    };
    let trained = train(suspects.to_str().unwrap(), &["--json"]);
    trained.check(0, &[]);
    let summary: Value = serde_json::from_str(&trained.stdout).unwrap();
    assert_eq!(summary["suspects"]["mislabelled"], 1, "{summary}");
    assert_eq!(summary["suspects"]["conflicting_duplicates"], 1, "{summary}");
    let topic = &summary["fields"]["topic"];
    assert_eq!(topic["per_class"].as_array().map(Vec::len), Some(3));
    assert_eq!(topic["coverage_at_precision"]["0.99"]["coverage"], 0.0, "{topic}");

    let listed: Vec<_> = csv_rows(&suspects)
        .iter()
        .map(|row| {
            ["id", "file", "field", "label", "suggested_label", "reason", "text"].map(|column| row.value(column))
        })
        .collect();
    let line = |values: [&str; 7]| values.map(|value| Some(value.to_owned()));
    assert_eq!(listed.len(), 2);
    let mislabelled = ["INC7", &first, "topic", "network", "printing", "mislabelled", "toner is empty at home"];
    assert!(listed.contains(&line(mislabelled)), "{listed:?}");
    let copy = ["INC8", &second, "topic", "oos", "network", "conflicting duplicate", "VPN drops AGAIN"];
    assert!(listed.contains(&line(copy)), "{listed:?}");

    let shown = train(suspects.to_str().unwrap(), &[]);
    shown.check(0, &[]);
    for part in ["no confidence certifies 99 %: coverage 0", "worst labels", "most confused", "suspects.csv"] {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
    let untouched = fs::read(&first).unwrap();
    train(&first, &[]).check(2, &["--suspects", "overwrite the input"]);
    assert_eq!(fs::read(&first).unwrap(), untouched);
    train(folder.path().join("absent/suspects.csv").to_str().unwrap(), &[]).check(1, &["--suspects", "absent"]);

    let eval = |predictions: &str, id: &str| {
        let model = ["eval", "--model", bundle.to_str().unwrap(), "--input", &first, "--text", "text"];
        run(model.into_iter().chain(["--label", "topic", "--predictions", predictions, "--id", id]))
    };
    eval(&first, "number").check(2, &["--predictions", "overwrite the input"]);
    assert_eq!(fs::read(&first).unwrap(), untouched);
    let predictions = folder.path().join("predictions.jsonl");
    let misspelt = eval(predictions.to_str().unwrap(), "numbr");
    misspelt.check(0, &["no column `numbr`", "rows go by their number"]);
}

#[test]
fn a_label_column_of_ids_is_refused_before_minutes_are_spent() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> = (0..80).map(|row| format!("vpn is down in room {row},INC{row}")).collect();
    let input = file(folder.path(), "rows.csv", format!("text,number\n{}\n", rows.join("\n")));
    let bundle = folder.path().join("bundle");
    let out = ["--out", bundle.to_str().unwrap()];
    let trained = run(["train", "--input", &input, "--text", "text", "--label", "number"].into_iter().chain(out));
    trained.check(1, &["`number` has 80 different labels in 80 rows"]);
}

#[test]
fn a_quote_that_is_not_closed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> =
        (0..40).map(|row| format!("{row},vpn drops {row},network\n{row},toner {row},printing\n")).collect();
    let rows = rows.concat();
    let broken = format!("id,text,topic\n{rows}80,\"the rest is one field,network\n{rows}");
    let input = file(folder.path(), "rows.csv", broken);
    let bundle = folder.path().join("bundle");
    let out = ["--out", bundle.to_str().unwrap()];
    let trained = run(["train", "--input", &input, "--text", "text", "--label", "topic"].into_iter().chain(out));
    let message = "line 82: a quote that is not closed: all 81 lines to the end of the file are one row";
    trained.check(0, &[message]);
    assert!(trained.stdout.contains("1 rows could not be read"), "{}", trained.stdout);
}

#[test]
fn a_text_too_short_to_use_still_counts_as_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = labelled_rows();
    for start in ["weather forecast", "tell a joke about the weather", "weather tomorrow", "is the weather nice"] {
        for place in ["for paris", "for sunday", "in the hills", "at the sea", "next week", "in may", "outdoors"] {
            writeln!(rows, "{{\"text\": \"{start} {place}\", \"topic\": \"oos\"}}").unwrap();
        }
    }
    let input = file(folder.path(), "labelled.jsonl", rows);
    let bundle = folder.path().join("bundle");
    let bundle = bundle.to_str().unwrap();
    run(["train", "--input", &input, "--text", "text", "--label", "topic", "--out", bundle]).check(0, &[]);

    let short =
        "{\"text\": \"weather\", \"topic\": \"oos\"}\n{\"text\": \"printer jams again\", \"topic\": \"printing\"}\n";
    let short = file(folder.path(), "short.jsonl", short);
    let predictions = folder.path().join("predictions.jsonl");
    let eval = ["eval", "--model", bundle, "--input", &short, "--text", "text", "--label", "topic", "--json"];
    let measured = run(eval.into_iter().chain(["--predictions", predictions.to_str().unwrap()]));
    measured.check(0, &[]);
    let report: Value = serde_json::from_str(&measured.stdout).unwrap();
    assert_eq!((&report["oos"]["recall"], &report["oos"]["in_scope_rejected"]), (&1.0.into(), &0.0.into()), "{report}");
    let predictions = fs::read_to_string(predictions).unwrap();
    assert!(predictions.lines().next().unwrap().contains("TOO_SHORT"), "{predictions}");
    let printing = &report["per_class"][0];
    assert_eq!((&printing["label"], &printing["support"]), (&"printing".into(), &1.into()), "{report}");
    assert_eq!(report["confusions"], Value::Array(Vec::new()));
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
