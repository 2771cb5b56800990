//! `triage kb` with a data directory and with a running server: both say the same.

use serde_json::Value;

use crate::harness::{Outcome, ServerProcess, file, run};

const ROWS: &str = "id,title,text,status,valid_until\n\
    plain,Printer offline,Switch it on.,,\n\
    valid,Printer offline,Switch it on.,,2999-01-01\n\
    expired,Printer offline,Switch it on.,,2024-05-01\n\
    retired,Printer offline,Switch it on.,retired,2024-05-01\n\
    draft,Printer offline,Switch it on.,draft,\n";

fn json(outcome: &Outcome) -> Value {
    outcome.check(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[tokio::test]
async fn a_server_takes_an_import_as_a_data_directory_does() {
    let folder = tempfile::tempdir().unwrap();
    let long = "word ".repeat(100_000);
    let lines = (0..20).map(|row| format!("{{\"id\": \"long-{row}\", \"text\": \"{long}\"}}\n"));
    let rows = file(folder.path(), "kb.jsonl", lines.chain(["{\"text\": \"no id\"}\n".into()]).collect::<String>());
    let short = file(folder.path(), "kb.csv", ROWS);
    let data = folder.path().join("served");
    let server = ServerProcess::start(&data, &[]).await;
    let alone = folder.path().join("alone");
    let places = [["--server", server.address.as_str()], ["--data-dir", alone.to_str().unwrap()]];
    for expected in [[25, 0, 0, 1], [0, 0, 25, 1]] {
        for place in places {
            let outcome = run(["kb", "import", &rows, &short, "--json"].into_iter().chain(place));
            outcome.check(1, &["row 21: no id"]);
            let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
            assert!(summary["seconds"].is_number());
            let counts = ["imported", "updated", "unchanged", "failed"].map(|count| summary[count].as_u64().unwrap());
            assert_eq!(counts, expected, "{place:?}");
        }
    }
    let found = places.map(|place| run(["kb", "search", "printer"].into_iter().chain(place)).stdout);
    assert_eq!(found[0], found[1]);
    run(["kb", "import", &short, "--server", "127.0.0.1:1"]).check(1, &["no server answers at 127.0.0.1:1"]);
}

#[tokio::test]
async fn a_search_marks_what_is_suggested_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "kb.csv", ROWS);
    let data = folder.path().join("data");
    run(["kb", "import", &rows, "--data-dir", data.to_str().unwrap()]).check(0, &[]);
    let here = ["--data-dir", data.to_str().unwrap()];
    let search = |place: [&str; 2], flags: &[&str]| {
        run(["kb", "search", "printer"].into_iter().chain(place).chain(flags.iter().copied()))
    };
    let (table, document) = (search(here, &[]), search(here, &["--json"]));
    for (id, mark) in [
        ("plain", ""),
        ("valid", ""),
        ("expired", " (expired 2024-05-01)"),
        ("retired", " (retired)"),
        ("draft", " (draft)"),
    ] {
        let line = format!("{id}  Printer offline{mark} (how to, score ");
        assert!(table.stdout.contains(&line), "{line} in\n{}", table.stdout);
    }
    let found = json(&document);
    let mut states: Vec<_> = found["articles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|article| ["id", "status", "valid_until", "expired"].map(|name| article[name].to_string()).join(" "))
        .collect();
    states.sort_unstable();
    let expected = [
        r#""draft" "draft" null false"#,
        r#""expired" "published" "2024-05-01" true"#,
        r#""plain" "published" null false"#,
        r#""retired" "retired" "2024-05-01" true"#,
        r#""valid" "published" "2999-01-01" false"#,
    ];
    assert_eq!(states, expected);

    let server = ServerProcess::start(&data, &[]).await;
    let there = ["--server", server.address.as_str()];
    assert_eq!(search(there, &[]).stdout, table.stdout);
    assert_eq!(json(&search(there, &["--json"])), found);
}
