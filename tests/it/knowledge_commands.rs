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
