//! What must not be kept: not in the log, not in files that `triage redact` writes; shown only to who sent it.

use std::{
    fs::{self, File},
    io::Write as _,
    process::Stdio,
};

use serde_json::Value;

use crate::harness::{ServerProcess, TestServer, field, file, program, request, run, ticket};

const SECRETS: [&str; 4] = ["hunter2x", "cleo@x.example", "+49 30 1234567", "10.1.2.3"];

#[tokio::test]
async fn no_text_of_a_ticket_reaches_the_log_at_any_level() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let config = file(folder.path(), "triage.toml", "[log]\nfilter = \"trace\"\n");
    let data_dir = folder.path().join("data");
    let arguments = ["--config", &config];
    let (server, _) = ServerProcess::start_with_admin(&data_dir, &arguments, File::create(&log).unwrap()).await;
    let text = format!(
        "cannot log in, my password is {}, mail {}, tel {}, pc {}",
        SECRETS[0], SECRETS[1], SECRETS[2], SECRETS[3]
    );
    let mut client = server.triage().await;
    let good = request(ticket("VPN zebrafish", &text));
    client.triage_ticket(good.clone()).await.unwrap();
    let mut bad = good.clone();
    bad.ticket.as_mut().unwrap().field_values.insert("impact".to_owned(), "hunter2x".to_owned());
    client.triage_ticket(bad).await.unwrap_err();
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
    let log = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is not as loud as it was asked to be");
    for secret in SECRETS.iter().chain(&["zebrafish"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn what_was_sent_is_shown_to_its_sender_in_the_place_of_a_placeholder() {
    let server = TestServer::start_with("[redaction.patterns]\nemployee = 'P\\d{7}'\n").await;
    let text = "please call me back on my mobile: 0171 1234567\n\nMy number is P1234567, thank you.";
    let decision = server.triage().await.triage_ticket(request(ticket("new phone", text))).await.unwrap().into_inner();
    let decision = decision.decision.unwrap();
    for evidence in &field(&decision, "category").evidence {
        assert!(text.contains(&evidence.text) || "new phone".contains(&evidence.text), "{evidence:?}");
        assert!(!evidence.text.contains('<'), "{evidence:?}");
    }
    server.stop().await;
}

#[test]
fn a_text_goes_through_and_comes_out_without_what_must_not_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let text = "mail cleo@x.example\nPassword:\nhunter2x\n-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEAMIIEowIB\n\
                -----END PRIVATE KEY-----\nCLEO@x.example and bob@x.example, KB0024, badge B12";
    let expected = "mail <email>\nPassword:\n<password>\n<private-key>\n<email> and <email-2>, KB0024, badge <badge>";
    let config = file(folder.path(), "triage.toml", "[redaction.patterns]\nbadge = 'badge (B\\d+)'\n");
    let path = file(folder.path(), "text.txt", text);
    assert_eq!(run(["redact", "--config", &config, &path]).stdout, expected);

    let mut child = program();
    child.args(["redact", "--config", &config]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    let out = folder.path().join("out.txt");
    let outcome = run(["redact", "--config", &config, &path, "--out", out.to_str().unwrap(), "--json"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), expected);
    let mut document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    document["seconds"].take();
    let replaced = serde_json::json!({"email": 3, "password": 1, "private-key": 1, "badge": 1});
    assert_eq!(document, serde_json::json!({"lines": 7, "replaced": replaced, "seconds": null}));
}

#[test]
fn rows_keep_their_other_columns_and_bad_ones_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "id,text,more,note\n1,\"a, cleo@x.example\",tel 030 1234567,cleo@x.example\n2,b,c,d\n3,short\n";
    let input = file(folder.path(), "rows.csv", csv);
    let out = folder.path().join("out.csv");
    let rows = ["redact", "--input", &input, "--text", "text,more", "--out", out.to_str().unwrap()];
    let outcome = run(rows.into_iter().chain(["--json"]));
    outcome.check(1, &["rows.csv, line 4", "1 rows of", "left out"]);
    let expected = "id,text,more,note\n1,\"a, <email>\",tel <phone>,cleo@x.example\n2,b,c,d\n";
    assert_eq!(fs::read_to_string(&out).unwrap(), expected);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["replaced"], serde_json::json!({"email": 1, "phone": 1}));
    assert_eq!((&document["rows"], &document["changed"], &document["failed"]), (&2.into(), &1.into(), &1.into()));
    let outcome = run(rows);
    assert!(outcome.stdout.contains("1 of 2 rows changed; replaced 1 email, 1 phone"), "{}", outcome.stdout);
}

#[test]
fn what_cannot_be_redacted_says_why_and_leaves_the_input_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = file(folder.path(), "text.txt", "cleo@x.example\n");
    let latin = file(folder.path(), "latin.txt", b"ok\nK\xfcche\n");
    let rows = file(folder.path(), "rows.csv", "id,text\n1,a\n");
    let jsonl = folder.path().join("out.jsonl").to_str().unwrap().to_owned();
    for (arguments, code, part) in [
        (vec!["redact", &text, "--out", &text], 2, "would overwrite the input"),
        (vec!["redact", "--input", &rows, "--text", "text", "--out", &rows], 2, "would overwrite the input"),
        (vec!["redact", "--input", &rows, "--text", "text", "--out", &jsonl], 2, "another format"),
        (vec!["redact", "--input", &rows, "--text", "txt", "--out", "out.csv"], 1, "no column `txt`"),
        (vec!["redact", "--input", &rows, "--text", "text"], 2, "--out"),
        (vec!["redact", &text, "--json"], 2, "--out"),
        (vec!["redact", &latin], 1, "latin.txt, line 2: not UTF-8"),
        (vec!["redact", "absent.txt"], 1, "cannot read absent.txt"),
    ] {
        run(&arguments).check(code, &[part]);
    }
    assert_eq!(fs::read_to_string(&text).unwrap(), "cleo@x.example\n");
    assert_eq!(fs::read_to_string(&rows).unwrap(), "id,text\n1,a\n");
    let config = file(folder.path(), "triage.toml", "[redaction.patterns]\nbadge = 'B('\n");
    run(["redact", "--config", &config, &text]).check(2, &["redaction.patterns.badge: unclosed group"]);
}
