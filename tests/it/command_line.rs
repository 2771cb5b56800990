//! The program: flags, files, output for people and programs, exit codes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Outcome, ServerProcess, file, program, run};

/// Every line of standard output as JSON.
fn json_lines(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn wrong_flags_exit_with_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["serve", "--nope"],
        &["classify"],
        &["classify", "--input", "rows.csv"],
        &["classify", "text", "--input", "rows.csv"],
        &["classify", "text", "--server", "127.0.0.1:1", "--model", "bundle"],
        &["classify", "--input", "rows.csv", "--text", "a", "--map", "nothing"],
        &["completions", "tcsh"],
    ] {
        let outcome = run(arguments);
        outcome.check(2, &[]);
        assert!(!outcome.stderr.is_empty() && outcome.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_configuration_exits_with_2_and_names_all_problems() {
    let folder = tempfile::tempdir().unwrap();
    let taxonomy = file(folder.path(), "taxonomy.toml", "version = \"x\"\ncolour = 1\n");
    let text = "[server]\nlisten = \"nowhere\"\n[limits]\ncalls = 0\nbatch = 3\n[colour]\nred = 1\n\
                [taxonomy]\nfile = \"taxonomy.toml\"\n";
    let config = file(folder.path(), "triage.toml", text);
    for command in [&["serve"][..], &["classify", "vpn"], &["kb", "search", "vpn"]] {
        let command = command.iter().copied().chain(["--config", &config]);
        let outcome: Outcome = program().args(command).env("TRIAGE__COMPUTE__THREADS", "many").output().unwrap().into();
        outcome.check(2, &["server.listen", "batch", "colour", "compute", &taxonomy]);
    }
    let missing = folder.path().join("absent.toml");
    run(["classify", "vpn", "--config", missing.to_str().unwrap()]).check(2, &["absent.toml"]);
    let outcome: Outcome =
        program().args(["classify", "vpn"]).env("TRIAGE__LIMITS__CALL", "1").output().unwrap().into();
    outcome.check(2, &["call"]);
    let limits = file(folder.path(), "limits.toml", "[limits]\ncalls = 0\nconnections = 0\n");
    run(["classify", "vpn", "--config", &limits]).check(2, &["limits.calls", "limits.connections"]);
}

#[test]
fn routes_that_cannot_be_are_refused_together_and_those_that_come_to_nothing_are_warned_of() {
    const MATRIX: &str = "version = \"x\"\n[matrix]\nhigh = [1, 2, 3]\nmedium = [2, 3, 4]\nlow = [3, 4, 5]\n[routes]\n";
    let folder = tempfile::tempdir().unwrap();
    let classify = |routes: &str| {
        file(folder.path(), "taxonomy.toml", format!("{MATRIX}{routes}"));
        let config = file(folder.path(), "triage.toml", "[taxonomy]\nfile = \"taxonomy.toml\"\n");
        run(["classify", "--config", &config, "VPN drops every few minutes since this morning, I cannot work"])
    };
    let refused = classify(
        "type.route = \"auto\"\npriority.route = \"off\"\nimpact = { route = \"off\", precision = 0.9 }\n\
         category = { route = \"autofill\", precision = 95 }\n",
    );
    refused.check(2, &["routes.type.route", "routes.priority", "routes.impact.precision", "routes.category.precision"]);

    let warned = classify(
        "colour.route = \"monitor\"\nurgency = { route = \"autofill\", precision = 0.999 }\n\
         impact.route = \"off\"\ntype = { route = \"autofill\", precision = 0.9 }\ncategory.route = \"monitor\"\n",
    );
    warned.check(
        0,
        &[
            "`colour`, which this model does not have",
            "no threshold certifies 0.999 for `urgency`: it is recommended, never filled",
            "`impact` is off: there is a priority only where the form holds it",
        ],
    );
    let marked = |name: &str, mark: &str| warned.stdout.lines().any(|line| line.contains(name) && line.contains(mark));
    assert!(marked("  type ", "[autofill]") && marked("  category ", "[monitor]"), "{}", warned.stdout);
    assert!(!warned.stdout.contains("impact") && !marked("urgency", "["), "{}", warned.stdout);
}

#[test]
fn listening_beyond_loopback_is_refused_and_the_flag_named() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let serve = ["serve", "--data-dir", data_dir.to_str().unwrap()];
    for flags in [
        ["--listen", "0.0.0.0:0", "--admin-listen", "off"],
        ["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"],
        ["--listen", "[::]:0", "--admin-listen", "127.0.0.1:0"],
    ] {
        let outcome = run(serve.into_iter().chain(flags));
        outcome.check(2, &["--insecure", "refusing to listen", "tls.certificate", "auth.tokens"]);
        assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    }
    assert!(!data_dir.exists(), "a refused start leaves nothing behind");
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flags, named) in [
        (["--listen", &address, "--admin-listen", "off"], "--listen"),
        (["--listen", "127.0.0.1:0", "--admin-listen", &address], "--admin-listen"),
    ] {
        let data_dir = ["serve", "--data-dir", folder.path().to_str().unwrap()];
        run(data_dir.into_iter().chain(flags)).check(1, &[&address, named]);
    }
}

#[tokio::test]
async fn a_data_directory_that_another_process_holds_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let rows = file(folder.path(), "articles.jsonl", "{\"id\": \"1\", \"text\": \"x\"}\n");
    let _holder = ServerProcess::start(folder.path(), &[]).await;
    for command in [
        &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"][..],
        &["classify", "vpn"],
        &["kb", "search", "vpn"],
        &["kb", "import", &rows],
    ] {
        let outcome = run(command.iter().copied().chain(["--data-dir", data_dir]));
        outcome.check(1, &["--server", data_dir]);
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let plain_file = file(folder.path(), "file", "");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"];
    for path in [plain_file.clone(), format!("{plain_file}/below")] {
        run(serve.into_iter().chain([path.as_str()])).check(1, &[&path, "--data-dir"]);
    }

    let read_only = folder.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    let mut permissions = fs::metadata(&read_only).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&read_only, permissions).unwrap();
    // The superuser may write anywhere.
    if fs::write(read_only.join("probe"), "").is_err() {
        let path = read_only.to_str().unwrap();
        run(serve.into_iter().chain([path])).check(1, &[path, "--data-dir"]);
    }
}

#[test]
fn one_ticket_as_json_has_the_keys_that_scripts_read() {
    let outcome = run(["classify", "--json", "VPN drops every few minutes, cannot work from home"]);
    outcome.check(0, &[]);
    let [decision] = json_lines(&outcome).try_into().unwrap();
    let fields = decision["fields"].as_object().unwrap();
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["type", "category", "impact", "urgency", "assignment_group"]);
    for (name, field) in fields {
        assert!(field["value"].is_string() && field["confidence"].is_number(), "{name}: {field}");
        assert!(field["abstention"].is_null() || field["abstention"].is_string(), "{name}: {field}");
        assert_eq!(field["route"], "recommend", "{name}: {field}");
    }
    assert!(decision["priority"].as_str().unwrap().starts_with('P'));
    assert!(decision["reasons"].as_array().unwrap().iter().all(Value::is_string));
    for version in ["model", "taxonomy", "matrix", "server"] {
        assert!(!decision["versions"][version].as_str().unwrap().is_empty(), "{decision}");
    }

    let blank = run(["classify", "--json", " "]);
    blank.check(0, &[]);
    let [nothing] = json_lines(&blank).try_into().unwrap();
    assert_eq!(nothing["priority"], Value::Null);
    assert_eq!(nothing["fields"]["category"]["value"], Value::Null);
    assert_eq!(nothing["fields"]["category"]["abstention"], "TOO_SHORT");
}

#[test]
fn one_ticket_for_people_fits_a_glance() {
    let outcome = run(["classify", "VPN drops every few minutes, cannot work from home"]);
    outcome.check(0, &[]);
    assert!(outcome.stdout.starts_with('P') && outcome.stdout.contains("category"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains('\u{1b}'), "colours without a terminal");
}

#[test]
fn a_file_gives_one_line_a_row_in_order_with_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "{\"id\": \"B\", \"summary\": \"VPN drops\", \"body\": \"cannot connect from home\"}\n\
                {\"id\": 7, \"summary\": \"\", \"body\": null}\n\
                {\"summary\": \"printer offline on floor two\"}\n";
    let json_lines_file = file(folder.path(), "rows.jsonl", rows);
    let csv = "number,summary,body\nB,VPN drops,\"cannot connect,\nfrom home\"\n7,,\n,printer offline on floor two,\n";
    let csv_file = file(folder.path(), "rows.csv", csv);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(csv.as_bytes()).unwrap();
    let packed_file = file(folder.path(), "rows.csv.gz", packed.finish().unwrap());

    for (input, id) in [(json_lines_file, "id"), (csv_file.clone(), "number"), (packed_file, "number")] {
        let outcome = run(["classify", "--input", &input, "--text", "summary,body", "--id", id, "--json"]);
        outcome.check(0, &[]);
        assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
        let lines = json_lines(&outcome);
        let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["B", "7", "3"], "{input}");
        assert_eq!(lines[0]["fields"]["category"]["value"], "network/vpn");
        assert_eq!(lines[1]["fields"]["category"]["value"], Value::Null);
        assert_eq!(lines[1]["fields"]["category"]["abstention"], "TOO_SHORT");
        assert_eq!(lines[1]["priority"], Value::Null);
    }
    let renamed = ["--text", "title", "--map", "title=summary,id=number", "--json"];
    let outcome = run(["classify", "--input", &csv_file].into_iter().chain(renamed));
    outcome.check(0, &[]);
    assert_eq!(json_lines(&outcome)[0]["id"], "B");
}

#[test]
fn a_missing_column_or_an_unreadable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "rows.csv", "id,text\n1,vpn drops\n");
    let classify = |input: &str, columns: &str| run(["classify", "--input", input, "--text", columns, "--json"]);
    let outcome = classify(&rows, "text,subject");
    outcome.check(1, &[&rows, "`subject`", "columns present", "--map"]);
    assert!(outcome.stdout.is_empty());
    let absent = folder.path().join("absent.csv");
    classify(absent.to_str().unwrap(), "text").check(1, &["absent.csv"]);
    let unknown = file(folder.path(), "rows.xlsx", "");
    classify(&unknown, "text").check(1, &[&unknown, ".jsonl", ".csv"]);
    run([
        "kb",
        "import",
        &rows,
        "--map",
        "text=words",
        "--data-dir",
        folder.path().join("d").to_str().unwrap(),
        "--json",
    ])
    .check(1, &[&rows, "text"]);
}

#[test]
fn a_row_that_is_not_utf8_is_named_and_the_others_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = b"id,text\n1,vpn drops\n2,caf\xe9\n3,printer offline\n";
    let input = file(folder.path(), "rows.csv", bytes);
    let outcome = run(["classify", "--input", &input, "--text", "text", "--json"]);
    outcome.check(1, &[&format!("{input}, line 3"), "UTF-8", "1 rows"]);
    let lines = json_lines(&outcome);
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "3"]);
}

#[test]
fn a_row_with_an_endless_id_does_not_cost_the_others_their_answers() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(300);
    let rows = format!("id,text\n1,vpn drops\n{long},vpn drops\n3,printer offline\n");
    let input = file(folder.path(), "rows.csv", rows);
    let outcome = run(["classify", "--input", &input, "--text", "text", "--json"]);
    let lines = json_lines(&outcome);
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(ids.starts_with(&["1"]) && ids.ends_with(&["3"]), "{ids:?}\n{}", outcome.stderr);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let rows = format!("text\n{}", "vpn drops every few minutes\n".repeat(2_000));
    let input = file(folder.path(), "rows.csv", rows);
    let mut child = program()
        .args(["classify", "--input", &input, "--text", "text", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"id\":\"1\""), "{line}");
    let outcome: Outcome = child.wait_with_output().unwrap().into();
    outcome.check(0, &[]);
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
}

#[test]
fn articles_are_imported_counted_and_found_and_a_malformed_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let wiki = folder.path().join("wiki");
    fs::create_dir(&wiki).unwrap();
    file(&wiki, "printer.md", "# Printer offline\n\nSwitch it on. Code 0x0000011b.\n");
    file(&wiki, "mail.md", "---\ntitle: Outlook password\nkind: known_error\n---\nDelete the saved password.\n");
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let import = || run(["kb", "import", wiki.to_str().unwrap(), "--data-dir", data_dir, "--json"]);
    let counts = |outcome: &Outcome| {
        let summary: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert!(summary["seconds"].is_number());
        ["imported", "updated", "unchanged", "failed"].map(|count| summary[count].as_u64().unwrap())
    };

    let first = import();
    first.check(0, &[]);
    assert_eq!(counts(&first), [2, 0, 0, 0]);
    file(&wiki, "mail.md", "---\ntitle: Outlook password\nvalid_until: never\n---\nx\n");
    file(&wiki, "printer.md", "# Printer offline\n\nCall the desk. Code 0x0000011b.\n");
    file(&wiki, "new.md", b"# caf\xe9\n");
    let second = import();
    second.check(1, &["mail.md", "valid_until", "new.md", "UTF-8"]);
    assert_eq!(counts(&second), [0, 1, 0, 2]);

    let rows = "id;text\n";
    let columns = file(folder.path(), "articles.csv", rows);
    run(["kb", "import", &columns, "--data-dir", data_dir, "--json"]).check(1, &[&columns, "`id`"]);

    let found = run(["kb", "search", "0x0000011b", "--data-dir", data_dir, "--json"]);
    found.check(0, &[]);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(found["articles"][0]["title"], "Printer offline");

    let queries =
        file(folder.path(), "queries.jsonl", "{\"id\": \"q\", \"text\": \"printer offline\", \"kb\": \"printer\"}\n");
    let flags = ["--queries", &queries, "--text", "text", "--relevant", "kb", "--data-dir", data_dir, "--json"];
    let measured = run(["kb", "eval"].into_iter().chain(flags));
    measured.check(0, &[]);
    let report: Value = serde_json::from_str(&measured.stdout).unwrap();
    assert_eq!((&report["queries"], &report["hit_at"]["1"]), (&Value::from(1), &Value::from(1.0)));
    for key in ["mrr_at_10", "ndcg_at_10", "latency_ms", "seconds"] {
        assert!(report.get(key).is_some(), "{key} in {report}");
    }
}

#[test]
fn commands_that_only_read_make_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let row = file(folder.path(), "rows.jsonl", "{\"id\": \"1\", \"text\": \"paper jam\", \"kb\": \"a\"}\n");
    let misspelt = folder.path().join("misspelt");
    let name = misspelt.to_str().unwrap();
    for command in [
        &["classify", "paper jam in the printer"][..],
        &["classify", "--input", &row, "--text", "text"],
        &["kb", "search", "paper"],
        &["kb", "eval", "--queries", &row, "--text", "text", "--relevant", "kb"],
        &["memory", "similar", "paper jam"],
        &["memory", "delete", "1"],
        &["jobs", "list"],
    ] {
        run(command.iter().chain(&["--data-dir", name])).check(1, &[name, "--data-dir"]);
        assert!(!misspelt.exists(), "{command:?}");
    }
}

#[test]
fn a_hostile_article_does_not_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let articles = file(
        folder.path(),
        "kb.jsonl",
        "{\"id\": \"a\", \"title\": \"Toner\\u001b[2J\\u202eempty\", \"text\": \"Change \\u001b]0;x\\u0007the toner\\u0000.\"}\n\
         {\"id\": \"b\", \"text\": \"t\", \"kind\": \"\\u001b[31mhow\\u202eto\"}\n",
    );
    let imported = run(["kb", "import", &articles, "--data-dir", data_dir]);
    imported.check(1, &["`howto` is no kind"]);
    let found = run(["kb", "search", "toner", "--data-dir", data_dir]);
    assert!(found.stdout.contains("Tonerempty") && found.stdout.contains("Change the toner."), "{}", found.stdout);
    for outcome in [imported, found] {
        assert!(!format!("{}{}", outcome.stdout, outcome.stderr).contains(['\u{1b}', '\u{202e}', '\0', '\u{7}']));
    }
}

#[test]
fn the_version_and_completions_are_printed() {
    let version = run(["--version"]);
    version.check(0, &[]);
    assert_eq!(version.stdout.trim_end(), concat!("triage ", env!("CARGO_PKG_VERSION")));
    for (shell, mark) in [("bash", "complete -F _triage"), ("zsh", "#compdef triage"), ("fish", "complete -c triage")] {
        let outcome = run(["completions", shell]);
        outcome.check(0, &[]);
        assert!(outcome.stdout.contains(mark) && outcome.stdout.contains("classify"), "{shell}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_refuses_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    run(["classify", "--server", &free, "vpn"]).check(1, &[&free, "triage serve"]);
    run(["classify", "--server", "no address", "vpn"]).check(1, &["no address"]);
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let text = "x".repeat((64 << 10) + 1);
    run(["classify", "--server", &server.address, &text]).check(1, &[&server.address, "ticket.description"]);
}

#[tokio::test]
async fn a_server_answers_the_command_line_as_the_bundle_alone_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let text = "VPN drops every few minutes, cannot work from home";
    let [alone, asked] =
        [run(["classify", "--json", text]), run(["classify", "--json", "--server", &server.address, text])].map(
            |outcome| {
                outcome.check(0, &[]);
                let mut decision: Value = serde_json::from_str(&outcome.stdout).unwrap();
                // Only the server has a knowledge base and a memory.
                decision["versions"]["knowledge"].take();
                decision["versions"]["memory"].take();
                decision["versions"]["learned"].take();
                decision["versions"]["feedback"].take();
                decision["decision_handle"].take();
                decision
            },
        );
    assert_eq!(alone, asked);
}

#[tokio::test]
async fn a_blank_text_is_too_short_for_a_server_as_for_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let blank = run(["classify", "--json", "--server", &server.address, ""]);
    blank.check(0, &[]);
    let nothing: Value = serde_json::from_str(&blank.stdout).unwrap();
    assert_eq!(nothing["fields"]["category"]["abstention"], "TOO_SHORT");
}

#[test]
fn the_demo_prints_three_commands_that_work_by_copy_and_paste() {
    let default_data_dir = Path::new("triage-data");
    let was_there = default_data_dir.exists();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let file = fs::File::create(&log).unwrap();
    let mut server = ServerProcess::listen_and_log(["--demo", "--admin-listen", "off"], file.into());
    let lines = server.wait_for_line("Ctrl-C");
    let commands: Vec<_> = lines.iter().filter(|line| line.contains("--server")).collect();
    assert_eq!(commands.len(), 3, "{lines:?}");
    for command in commands {
        assert!(command.contains(&server.address), "{command}");
        let outcome: Outcome = Command::new("sh").args(["-c", command]).env_clear().output().unwrap().into();
        outcome.check(0, &[]);
        assert!(outcome.stdout.lines().count() > 1, "{command}\n{}", outcome.stdout);
    }
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains(" INFO ") && !log.contains(" WARN "),
        "nobody is warned of what the demo makes itself:\n{log}"
    );
    assert_eq!(default_data_dir.exists(), was_there, "the demo leaves nothing behind");
}
