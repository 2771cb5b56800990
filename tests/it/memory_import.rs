//! `triage memory`: from an export to similar tickets, wrong rows and interruptions included.

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use serde_json::Value;
use ticket_triage::{encode::Redactor, memory::Memory, store::Store};

use crate::harness::{Outcome, PATIENCE, ServerProcess, file, program, run};

const ROWS: &str = "{\"id\": 1, \"title\": \"Paper jam\", \"body\": \"Printer on floor two\", \"kb\": [\"KB1\", \"KB2\"], \"category\": \"printer\", \"fix\": \"Cleaned it.\"}\n\
     {\"id\": \"2\", \"title\": \"VPN drops\", \"body\": null, \"kb\": {\"KB3\": true}, \"category\": \"\"}\n\
     {\"id\": \"3\", \"title\": \" \", \"body\": \"\"}\n\
     not json\n\
     {\"id\": \"4\", \"title\": \"\", \"body\": \"Toner is empty\", \"kb\": \"KB1\"}\n";

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}\n{}", outcome.stdout, outcome.stderr))
}

fn counts(outcome: &Outcome) -> [u64; 5] {
    let summary = json(outcome);
    assert!(summary["seconds"].is_number());
    ["imported", "updated", "unchanged", "failed", "unknown_articles"].map(|count| summary[count].as_u64().unwrap())
}

fn import(rows: &str, data_dir: &str, flags: &[&str]) -> Outcome {
    let fixed = ["memory", "import", rows, "--text", "title,body", "--data-dir", data_dir, "--json"];
    run(fixed.iter().chain(flags))
}

fn open(data_dir: &Path) -> Memory {
    Memory::open(Store::open(data_dir).unwrap(), data_dir, Redactor::default(), None).unwrap()
}

#[test]
fn an_export_is_remembered_and_wrong_rows_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "solved.jsonl", ROWS);
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    let wiki = folder.path().join("wiki");
    fs::create_dir(&wiki).unwrap();
    file(&wiki, "KB1.md", "# Clear a jam\n\nOpen it.\n");
    run(["kb", "import", wiki.to_str().unwrap(), "--data-dir", data]).check(0, &[]);

    let flags = ["--articles", "kb", "--label", "category", "--resolution", "fix"];
    let first = import(&rows, data, &flags);
    first.check(
        1,
        &["line 3: no text in title, body", "line 4: not a JSON object", "no article `KB2`", "no article `KB3`"],
    );
    assert!(!first.stderr.contains("KB1"), "{}", first.stderr);
    assert_eq!(counts(&first), [3, 0, 0, 2, 2]);
    let second = import(&rows, data, &flags);
    assert_eq!(counts(&second), [0, 0, 3, 2, 2]);

    let memory = open(&data_dir);
    let ticket = memory.get("1").unwrap().unwrap();
    assert_eq!((ticket.summary.as_str(), ticket.description.as_str()), ("Paper jam", "Printer on floor two"));
    assert_eq!((ticket.labels["category"].as_str(), ticket.resolution.as_str()), ("printer", "Cleaned it."));
    assert_eq!(ticket.articles.iter().collect::<Vec<_>>(), ["KB1", "KB2"]);
    assert!(memory.get("2").unwrap().unwrap().labels.is_empty());
    assert_eq!(memory.get("4").unwrap().unwrap().description, "Toner is empty");
    drop(memory);

    let found = run(["memory", "similar", "paper jam again", "--data-dir", data, "--json"]);
    found.check(0, &[]);
    let found = json(&found);
    assert_eq!((&found["tickets"][0]["id"], &found["tickets"][0]["articles"][0]), (&"1".into(), &"KB1".into()));
    let shown = run(["memory", "similar", "paper jam again", "--data-dir", data]);
    shown.check(0, &[]);
    for part in ["1  Paper jam", "solved by KB1, KB2", "category printer", "Cleaned it.", "both say: paper jam"] {
        assert!(shown.stdout.contains(part), "{part:?} is missing in\n{}", shown.stdout);
    }

    let deleted = run(["memory", "delete", "1", "9", "--data-dir", data]);
    deleted.check(0, &["no ticket `9`"]);
    assert_eq!(deleted.stdout, "1 deleted\n");
    let gone = run(["memory", "similar", "paper jam again", "--data-dir", data]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(0), "no ticket in the memory is like this\n"));
}

#[test]
fn an_import_without_articles_leaves_the_links_that_tickets_have() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "solved.jsonl", ROWS);
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    import(&rows, data, &["--articles", "kb"]);
    import(&rows, data, &["--resolution", "fix"]);
    let ticket = open(&data_dir).get("1").unwrap().unwrap();
    assert_eq!(ticket.resolution, "Cleaned it.");
    assert_eq!(ticket.articles.iter().collect::<Vec<_>>(), ["KB1", "KB2"]);
}

#[test]
fn tickets_are_known_by_the_day_they_were_resolved_and_what_is_no_day_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "id,title,body,closed\n1,Paper jam,,2026-03-31 23:59\n2,Toner,,\n3,Mouse,,31/03/26\n4,Fan,,1.4.2026\n";
    let rows = file(folder.path(), "a.csv", rows);
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    let outcome = import(&rows, data, &["--resolved-on", "closed"]);
    outcome.check(1, &["line 4: closed: `31/03/26` is no day: expected 2026-03-31"]);
    assert_eq!(counts(&outcome), [3, 0, 0, 1, 0]);
    let memory = open(&data_dir);
    let day = |id: &str| memory.get(id).unwrap().unwrap().resolved_on.map(|day| day.to_string());
    assert_eq!([day("1"), day("2"), day("4")], [Some("2026-03-31".to_owned()), None, Some("2026-04-01".to_owned())]);
    drop(memory);
    let recent = run(["kb", "gaps", "--since", "2026-04-01", "--data-dir", data, "--json"]);
    recent.check(0, &[]);
    let tickets = &json(&recent)["tickets"];
    assert_eq!((&tickets["looked_at"], &tickets["undated"]), (&2.into(), &1.into()), "{tickets}");
    import(&rows, data, &["--resolved-on", "closed_at"]).check(1, &["no column `closed_at`"]);
}

#[test]
fn a_column_that_stands_twice_is_refused_where_one_value_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    let rows = |header: &str| file(folder.path(), "export.csv", format!("{header}\n1,2,Paper jam,KB1\n"));
    let twice = ["column `id` stands 2 times in the header (columns 1 and 2)"];
    let tickets = rows("id,id,text,kb");
    run(["memory", "import", &tickets, "--text", "text", "--data-dir", data]).check(1, &twice);
    run(["kb", "import", &tickets, "--data-dir", data]).check(1, &twice);
    run(["classify", "--input", &tickets, "--text", "text"]).check(1, &twice);
    let links = rows("id,kb,text,kb");
    let refused = run(["memory", "import", &links, "--text", "text", "--articles", "kb", "--data-dir", data]);
    refused.check(1, &["column `kb` stands 2 times in the header (columns 2 and 4)"]);
    // Exports repeat columns of text, and those that nobody asked for.
    let others = rows("id,note,text,note");
    run(["memory", "import", &others, "--text", "text", "--data-dir", data]).check(0, &[]);
}

#[test]
fn a_row_that_is_classified_is_not_like_itself() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "solved.jsonl", ROWS.lines().next().unwrap());
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    import(&rows, data, &[]).check(0, &[]);
    let similar = |id: &str| {
        let asked =
            run(["classify", "--input", &rows, "--id", id, "--text", "title,body", "--data-dir", data, "--json"]);
        asked.check(0, &[]);
        json(&asked)["similar_tickets"].as_array().unwrap().len()
    };
    assert_eq!((similar("id"), similar("title")), (0, 1), "the second asks as another ticket");
}

#[test]
fn words_without_a_subject_make_no_likeness() {
    let folder = tempfile::tempdir().unwrap();
    let row =
        "{\"id\": \"de\", \"title\": \"Drucker klemmt\", \"body\": \"Das ist aus dem Lager und seit dem Umzug so\"}\n";
    let rows = file(folder.path(), "solved.jsonl", format!("{row}{ROWS}"));
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    import(&rows, data, &[]);
    for (text, found) in [("ich habe das und die aus dem", false), ("der Drucker klemmt und ist aus", true)] {
        let similar = json(&run(["memory", "similar", text, "--data-dir", data, "--json"]));
        assert_eq!(!similar["tickets"].as_array().unwrap().is_empty(), found, "{text}: {similar}");
    }
}

#[test]
fn unknown_articles_are_kept_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "a.csv", "id,title,body,kb\n1,Paper jam,,KB1;KB2\n2,Toner,,KB1\n");
    let data_dir = folder.path().join("data");
    let outcome = import(&rows, data_dir.to_str().unwrap(), &["--articles", "kb"]);
    outcome.check(0, &["no article `KB1`", "no article `KB2`"]);
    assert_eq!(counts(&outcome), [2, 0, 0, 0, 2]);
    assert_eq!(open(&data_dir).get("1").unwrap().unwrap().articles.len(), 2);
}

#[test]
fn what_cannot_be_imported_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "a.csv", "number,title,body,kb\n1,Paper jam,,KB1\n");
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    import(&rows, data, &["--articles", "links"]).check(1, &["no column `links`", "`kb`"]);
    import(&rows, data, &["--label", "category", "--id", "nr"]).check(1, &["`category`", "`nr`"]);
    import("absent.csv", data, &[]).check(1, &["absent.csv"]);
    import("a.txt", data, &[]).check(1, &["a.txt", ".jsonl"]);
    run(["memory", "import", &rows, "--data-dir", data]).check(2, &["--text"]);
    assert!(!data_dir.exists());
    run(["memory", "similar", "x", "--data-dir", data]).check(1, &["no memory in", "triage memory import"]);
    run(["memory", "delete", "1", "--data-dir", data]).check(1, &["no memory in"]);
    run(["memory", "similar", " ", "--data-dir", data]).check(2, &["nothing to compare with"]);
    assert!(!data_dir.exists());
    import(&rows, data, &[]).check(0, &["1 rows have nothing in `id`", "--id"]);
}

#[tokio::test]
async fn a_running_server_is_asked_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "solved.jsonl", ROWS);
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    import(&rows, data, &[]).check(1, &[]);
    let server = ServerProcess::start(&data_dir, &[]).await;
    import(&rows, data, &[]).check(1, &["is held by another process", "--server"]);
    let asked = run(["memory", "similar", "paper jam", "--server", &server.address, "--json"]);
    asked.check(0, &[]);
    assert_eq!(json(&asked)["tickets"][0]["id"], "1");
    let deleted = run(["memory", "delete", "1", "9", "--server", &server.address, "--json"]);
    assert_eq!(json(&deleted), serde_json::json!({"deleted": 1, "unknown": ["9"]}));
    let classified = run(["classify", "vpn drops", "--server", &server.address, "--json"]);
    assert_eq!(json(&classified)["similar_tickets"][0]["id"], "2");
}

#[test]
fn bad_rows_are_kept_to_be_mended_and_fed_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, bad, again) = (path("data"), path("bad.jsonl"), path("again.jsonl"));
    let rows = file(folder.path(), "solved.jsonl", ROWS);
    for (wrong, expected) in
        [("bad.csv", "let the name end like"), ("solved.jsonl", "is the input"), ("no/x.jsonl", "folder")]
    {
        import(&rows, &data, &["--rejects", &path(wrong)]).check(1, &[expected]);
    }
    assert!(!Path::new(&data).exists(), "nothing is written before");
    let first = import(&rows, &data, &["--rejects", &bad]);
    first.check(1, &["line 3: no text in title, body"]);
    assert_eq!((counts(&first), json(&first)["rejects"].as_str()), ([3, 0, 0, 2, 0], Some(bad.as_str())));
    let rejects = fs::read_to_string(&bad).unwrap();
    let expected = "{\"_line\":3,\"_reason\":\"no text in title, body\",\"id\":\"3\",\"title\":\" \",\"body\":\"\"}\n";
    assert!(rejects.starts_with(expected) && rejects.ends_with("\"_row\":\"not json\"}\n"), "{rejects}");
    import(&rows, &data, &["--rejects", &bad]).check(1, &["bad.jsonl: it exists already"]);

    let second = path("second.jsonl");
    import(&bad, &data, &["--rejects", &second]).check(1, &["line 2: mend the line in `_row`"]);
    let unmended = fs::read_to_string(&second).unwrap();
    assert!(unmended.ends_with("\"_row\":\"not json\"}\n") && unmended.lines().count() == 2, "{unmended}");
    assert!(!unmended.lines().last().unwrap().contains("\"id\""), "no id is invented: {unmended}");

    let mended = rejects.replace("\"body\":\"\"", "\"body\":\"Screen stays black\"");
    fs::write(&bad, mended.replace("not json", "{\\\"id\\\":5,\\\"title\\\":\\\"Mouse\\\"}")).unwrap();
    let fed_back = import(&bad, &data, &["--rejects", &again]);
    fed_back.check(0, &[]);
    assert_eq!((counts(&fed_back), &json(&fed_back)["rejects"]), ([2, 0, 0, 0, 0], &Value::Null));
    assert!(!Path::new(&again).exists() && !Path::new(&format!("{again}.part")).exists());
    let memory = open(Path::new(&data));
    assert_eq!((memory.count(), memory.get("3").unwrap().unwrap().description.as_str()), (5, "Screen stays black"));
}

#[test]
fn an_import_stops_where_too_many_rows_are_bad() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let row = |number: usize| match number % 5 {
        0 => "too,many,fields\n".to_owned(),
        _ => format!("Ticket {number},offline\n"),
    };
    let rows = file(folder.path(), "a.csv", "title,body\n".to_owned() + &(0..300).map(row).collect::<String>());
    let (data, bad) = (path("data"), path("bad.csv"));
    import(&rows, &path("strict"), &["--max-bad-share", "0"]).check(1, &["1 of 1 rows so far are bad"]);
    import(&rows, &data, &["--max-bad-share", "2"]).check(2, &["--max-bad-share", "from 0 to 1"]);
    let bare = import(&rows, &data, &[]);
    assert_eq!(bare.stderr.matches(": 3 fields where").count(), 10, "{}", bare.stderr);
    bare.check(
        1,
        &[
            "… and 11 more bad rows; --rejects FILE",
            "a.csv: 21 of 101 rows so far are bad, more than the 10 %",
            "--rejects FILE",
        ],
    );
    let stopped = import(&rows, &data, &["--rejects", &bad]);
    stopped.check(1, &[&format!("(see {bad}.part)"), "--max-bad-share 1"]);
    assert_eq!((counts(&stopped), &json(&stopped)["rejects"]), ([0, 0, 80, 21, 0], &Value::Null));
    let rejects = |path: &str| fs::read_to_string(path).unwrap();
    assert_eq!(rejects(&format!("{bad}.part")).lines().count(), 22);
    let whole = import(&rows, &data, &["--rejects", &bad, "--max-bad-share", "1"]);
    whole.check(1, &[]);
    assert_eq!(counts(&whole), [160, 0, 80, 60, 0]);

    // Without ids rows go by their numbers, and keep them when they come back.
    let mended = rejects(&bad).replace("too,many,fields", "Mended,offline");
    assert!(mended.starts_with("line,reason,id,title,body\n2,3 fields where the header has 2,1,Mended,offline\n"));
    fs::write(&bad, mended).unwrap();
    let fed_back = import(&bad, &data, &[]);
    fed_back.check(0, &[]);
    assert_eq!(counts(&fed_back), [60, 0, 0, 0, 0]);
    assert_eq!(open(Path::new(&data)).get("6").unwrap().unwrap().summary, "Mended");
}

#[test]
fn of_rows_with_one_id_the_last_counts_and_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "a.csv", "id,title,body\n1,Paper jam,\n2,Toner,\n1,Paper jam again,\n");
    let data_dir = folder.path().join("data");
    let data = data_dir.to_str().unwrap();
    let first = import(&rows, data, &[]);
    first.check(0, &["1 rows have an id that stands further up already"]);
    assert_eq!(counts(&first), [2, 0, 0, 0, 0]);
    assert_eq!(counts(&import(&rows, data, &[])), [0, 0, 2, 0, 0]);
    assert_eq!(open(&data_dir).get("1").unwrap().unwrap().summary, "Paper jam again");
}

/// Many tickets of a few words each; those with an odd number share theirs.
fn many_rows(count: usize) -> String {
    (0..count).fold(String::new(), |mut rows, number| {
        let word = if number % 2 == 0 { format!("word{number}") } else { "printer".to_owned() };
        writeln!(
            rows,
            "{{\"id\": \"{number}\", \"title\": \"Ticket {word}\", \"body\": \"offline\", \"kb\": \"KB{}\"}}",
            number % 7
        )
        .unwrap();
        rows
    })
}

/// Everything that can be seen of a memory.
fn state(data_dir: &Path) -> String {
    let memory = open(data_dir);
    let mut state = format!("{} {}", memory.count(), memory.version());
    let mut last = None;
    loop {
        let page = memory.list(last.as_deref(), 1_000).unwrap();
        for ticket in &page.tickets {
            write!(state, "\n{ticket:?}").unwrap();
        }
        last = page.tickets.last().map(|ticket| ticket.id.clone());
        if !page.more {
            break;
        }
    }
    for text in ["printer offline", "ticket word4000", "word7"] {
        write!(state, "\n{:?}", memory.view().neighbours(text, "", 20).unwrap()).unwrap();
    }
    state
}

#[test]
fn an_import_that_was_killed_and_run_again_ends_as_one_clean_run() {
    const ROWS: usize = 12_000;
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "many.jsonl", many_rows(ROWS));
    let [killed, clean] = ["killed", "clean"].map(|name| folder.path().join(name));
    let flags = ["--articles", "kb"];
    let arguments = ["memory", "import", &rows, "--text", "title,body", "--articles", "kb", "--data-dir"];
    let stored = |data_dir: &Path| {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(data_dir.join("triage.sqlite3"), flags).ok()?;
        database.query_row("SELECT COUNT(*) FROM memory_tickets", [], |row| row.get::<_, i64>(0)).ok()
    };
    let mut process = program().args(arguments).arg(&killed).spawn().unwrap();
    let started = Instant::now();
    while stored(&killed).unwrap_or(0) == 0 {
        assert!(started.elapsed() < PATIENCE && process.try_wait().unwrap().is_none(), "nothing is stored");
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let kept = u64::try_from(stored(&killed).unwrap()).unwrap();
    assert!(kept > 0 && kept < ROWS as u64, "the kill came too late: {kept}");

    let again = import(&rows, killed.to_str().unwrap(), &flags);
    again.check(0, &[]);
    assert_eq!(counts(&again), [ROWS as u64 - kept, 0, kept, 0, 7]);
    import(&rows, clean.to_str().unwrap(), &flags).check(0, &[]);
    assert_eq!(state(&killed), state(&clean));
}
