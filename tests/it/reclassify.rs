//! `triage reclassify` and `triage jobs`: a change previewed, made, killed, resumed and taken back, and everything that
//! can be wrong with its input.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Outcome, file, program, run};

const TICKETS: &str = "id,text,category,note\n\
    1,\"VPN drops every few minutes, also at home\",mail,a\n\
    2,Printer on the second floor is out of toner,hardware/printer,\"b \"\"c\"\"\"\n\
    3,one,too,many,fields\n\
    4,,network,\n";

fn reclassify(input: &str, output: &str, data: &str, flags: &[&str]) -> Outcome {
    let fixed = ["reclassify", "--input", input, "--text", "text", "--current", "category", "--data-dir", data];
    let output = if output.is_empty() { vec![] } else { vec!["--output", output] };
    run(fixed.iter().chain(&output).chain(flags))
}

fn json(outcome: &Outcome) -> Value {
    outcome.check(0, &[]);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}\n{}", outcome.stdout, outcome.stderr))
}

fn lines(path: &str) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

struct Desk {
    folder: tempfile::TempDir,
    input: String,
    data: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let input = file(folder.path(), "in.csv", TICKETS);
        let data = folder.path().join("data").to_str().unwrap().to_owned();
        Self { folder, input, data }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn reclassify(&self, output: &str, flags: &[&str]) -> Outcome {
        let output = if output.is_empty() { String::new() } else { self.path(output) };
        reclassify(&self.input, &output, &self.data, flags)
    }

    fn jobs(&self, arguments: &[&str]) -> Outcome {
        run(["jobs"].iter().chain(arguments).chain(&["--data-dir", self.data.as_str()]))
    }
}

#[test]
fn a_change_is_previewed_made_and_taken_back() {
    let desk = Desk::new();
    let preview = json(&desk.reclassify("", &["--dry-run", "--json"]));
    assert_eq!(preview["fields"]["category"]["pairs"][0]["to"], "network/vpn");
    assert_eq!(preview["fields"]["category"]["pairs"][0]["examples"], json!(["1"]));
    assert!(!Path::new(&desk.path("out.jsonl")).exists());

    let made = json(&desk.reclassify("out.jsonl", &["--json"]));
    let counts = ["rows", "changed", "abstained", "failed"].map(|count| made[count].as_u64().unwrap());
    assert_eq!(counts, [4, 1, 1, 1]);
    let [vpn, printer, bad, blank] = &lines(&desk.path("out.jsonl"))[..] else { panic!("not a line a ticket") };
    let category = &vpn["fields"]["category"];
    assert_eq!((&category["current"], &category["value"]), (&json!("mail"), &json!("network/vpn")));
    assert_eq!((&category["abstention"], &category["changed"]), (&Value::Null, &json!(true)));
    assert_eq!(printer["fields"]["category"]["changed"], false);
    assert_eq!((&bad["id"], &bad["error"]), (&json!("3"), &json!("line 4: 5 fields where the header has 4")));
    assert_eq!((&blank["fields"]["category"]["abstention"], &blank["id"]), (&json!("TOO_SHORT"), &json!("4")));
    assert!(vpn.get("error").is_none() && bad["fields"] == json!({}));
    assert_eq!(
        fs::read_to_string(desk.path("out.jsonl.rejects.csv")).unwrap(),
        "line,reason,id,text,category,note\n4,5 fields where the header has 4,3,one,too,many,fields\n"
    );

    // The same command shows what it came to and touches nothing.
    let written = fs::metadata(desk.path("out.jsonl")).unwrap().modified().unwrap();
    assert_eq!(json(&desk.reclassify("out.jsonl", &["--json"])), made);
    assert_eq!(fs::metadata(desk.path("out.jsonl")).unwrap().modified().unwrap(), written);

    let changed = desk.jobs(&["results", "2", "--changed", "--field", "category"]);
    assert!(changed.stdout.starts_with("1\tcategory: mail -> network/vpn"), "{}", changed.stdout);
    let exported = desk.jobs(&["results", "2", "--json"]);
    assert_eq!(exported.stdout, fs::read_to_string(desk.path("out.jsonl")).unwrap());
    for _ in 0..2 {
        let undone = json(&desk.jobs(&["undo", "2", "--json"]));
        assert_eq!((&undone["restored"], &undone["touched"]), (&json!(1), &json!(0)));
        assert_eq!(
            fs::read_to_string(desk.path("out.jsonl.undo.jsonl")).unwrap(),
            "{\"id\":\"1\",\"category\":\"mail\"}\n"
        );
    }
    let resumed = desk.jobs(&["resume", "2", "--model", "absent"]);
    resumed.check(1, &["job 2 is undone and cannot be resumed"]);
    let listed = desk.jobs(&["list"]);
    assert!(listed.stdout.contains("undone") && listed.stdout.contains("(dry run)"), "{}", listed.stdout);
}

#[test]
fn a_csv_output_is_the_input_with_our_columns() {
    let desk = Desk::new();
    json(&desk.reclassify("out.csv", &["--json"]));
    let out = fs::read_to_string(desk.path("out.csv")).unwrap();
    let rows: Vec<Vec<String>> = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(out.as_bytes())
        .into_records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect();
    assert_eq!(rows[0][..6], ["id", "text", "category", "note", "triage_category", "triage_category_guess"]);
    assert_eq!(
        rows[1][..6],
        ["1", "VPN drops every few minutes, also at home", "mail", "a", "network/vpn", "network/vpn"]
    );
    assert_eq!(rows[2][3..5], ["b \"c\"", "hardware/printer"]);
    assert_eq!(rows[3][9], "line 4: 5 fields where the header has 4");
    assert_eq!(rows[4][4..], ["network", "", "0", "TOO_SHORT", "false", ""]);
    assert_eq!(rows.len(), 5);
    desk.jobs(&["undo", "1"]).check(0, &[]);
    assert_eq!(fs::read_to_string(desk.path("out.csv.undo.csv")).unwrap(), "id,category\n1,mail\n");

    // JSON lines have no header of their own: their columns are gathered.
    let rows =
        "{\"id\":1,\"text\":\"VPN drops again and again\",\"category\":null}\n{\"id\":2,\"text\":\"x\",\"more\":[1]}\n";
    let input = file(desk.folder.path(), "rows.jsonl", rows);
    let output = desk.path("rows.csv");
    json(&reclassify(&input, &output, &desk.data, &["--json"]));
    let out = fs::read_to_string(output).unwrap();
    assert!(out.starts_with("id,text,category,more,triage_category,"), "{out}");
    assert!(out.contains("\n1,VPN drops again and again,,,network/vpn,") && out.contains("\n2,x,,[1],,"), "{out}");
}

#[test]
fn a_filter_narrows_what_changes() {
    let desk = Desk::new();
    for (number, (flags, changed)) in [
        (&["--from", "category=network"][..], 0),
        (&["--from", "category=mail", "--to", "category=network"], 1),
        (&["--only-empty"], 0),
        (&["--min-confidence", "1"], 0),
    ]
    .into_iter()
    .enumerate()
    {
        let made = json(&desk.reclassify(&format!("{number}.jsonl"), &[flags, &["--json"]].concat()));
        assert_eq!(made["changed"], changed, "{flags:?}");
        assert_eq!(made["fields"]["category"]["filtered"], 1 - changed, "{flags:?}");
    }
    let misspelt = desk.reclassify("", &["--dry-run", "--from", "category=hardware", "--from", "category=mial"]);
    misspelt.check(0, &["warning: --from category=mial: no ticket has this value today"]);
    assert!(!misspelt.stderr.contains("=hardware"), "{}", misspelt.stderr);
    assert!(misspelt.stdout.contains("1 abstained, 1 held back by the filter"), "{}", misspelt.stdout);
}

#[test]
fn every_wrong_input_is_named_and_nothing_is_written() {
    let desk = Desk::new();
    let other = desk.path("other.jsonl");
    desk.reclassify("taken.jsonl", &[]).check(0, &[]);
    let gz = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let utf16: Vec<u8> =
        TICKETS.encode_utf16().fold(vec![0xFF, 0xFE], |bytes, unit| [bytes, unit.to_le_bytes().to_vec()].concat());
    for (name, content, expected) in [
        ("empty.csv", Vec::new(), "holds no rows"),
        ("header.csv", b"id,text,category\n".to_vec(), "holds no rows"),
        ("utf16.csv", utf16, "UTF-16"),
        ("no_column.csv", b"id,text,kind\n1,x,y\n".to_vec(), "no column `category`"),
        ("two_ids.csv", b"id,text,category,id\n1,x,y,2\n".to_vec(), "`id`"),
        ("rows.xlsx", b"PK".to_vec(), ".jsonl, .ndjson or .csv"),
        ("half.csv.gz", gz(TICKETS.as_bytes())[..60].to_vec(), "gzip"),
    ] {
        let input = file(desk.folder.path(), name, content);
        reclassify(&input, &other, &desk.data, &[]).check(1, &[expected]);
        assert!(!Path::new(&other).exists(), "{name}");
    }
    desk.reclassify("taken.jsonl", &["--only-empty"]).check(1, &["is the output of job 1, which is done"]);
    desk.reclassify("in.csv", &[]).check(1, &["is the input"]);
    desk.reclassify("no/out.csv", &[]).check(1, &["does not exist"]);
    desk.reclassify("", &[]).check(2, &["--output"]);
    desk.reclassify("x.csv", &["--sample", "5"]).check(2, &["--dry-run"]);
    let missing = run([
        "reclassify",
        "--input",
        &desk.input,
        "--text",
        "text",
        "--current",
        "note",
        "--output",
        &other,
        "--data-dir",
        &desk.data,
    ]);
    missing.check(2, &["FIELD=note", "type, category"]);
    desk.jobs(&["show", "77"]).check(1, &["there is no job 77"]);
    desk.jobs(&["cancel", "1"]).check(1, &["job 1 is done and cannot be cancelled"]);
    desk.jobs(&["show", "x"]).check(2, &["goes by its number"]);
}

#[test]
fn a_bom_line_ends_of_windows_and_quoted_newlines_are_read() {
    let desk = Desk::new();
    let content = "\u{feff}id,text,category\r\n7,\"VPN drops\r\nall the time at home\",mail\r\n7,twice,mail\r\n";
    let input = file(desk.folder.path(), "win.csv", content);
    let made = json(&reclassify(&input, &desk.path("win.jsonl"), &desk.data, &["--json"]));
    assert_eq!((&made["rows"], &made["changed"], &made["failed"]), (&json!(2), &json!(1), &json!(1)));
    let second = &lines(&desk.path("win.jsonl"))[1];
    assert_eq!(second["error"], "line 4: the id `7` stands further up already");

    // CSV is written as it was read.
    let output = desk.path("win-out.csv");
    json(&reclassify(&input, &output, &desk.data, &["--json"]));
    desk.jobs(&["undo", "2"]).check(0, &[]);
    let read = |name: &str| fs::read_to_string(format!("{output}{name}")).unwrap();
    assert_eq!(
        read(".rejects.csv"),
        "\u{feff}line,reason,id,text,category\r\n4,the id `7` stands further up already,7,twice,mail\r\n"
    );
    assert_eq!(read(".undo.csv"), "\u{feff}id,category\r\n7,mail\r\n");
    let out = read("");
    assert!(out.starts_with("\u{feff}id,text,category,triage_category,"), "{out}");
    assert!(out.contains("\r\n7,\"VPN drops\r\nall the time at home\",mail,network/vpn,"), "{out}");
    assert_eq!((out.matches("\r\n").count(), out.matches('\n').count()), (4, 4), "{out}");
}

#[test]
fn the_memory_is_reclassified_and_gets_its_labels_back() {
    let desk = Desk::new();
    run(["memory", "import", &desk.input, "--text", "text", "--label", "category", "--data-dir", &desk.data]);
    let reclassify = |flags: &[&str]| {
        let fixed = ["reclassify", "--memory", "--current", "category", "--data-dir", &desk.data, "--json"];
        json(&run(fixed.iter().chain(flags)))
    };
    assert_eq!(reclassify(&["--dry-run"])["changed"], 1);
    assert_eq!(reclassify(&[])["changed"], 1);
    assert_eq!(reclassify(&[])["changed"], 0, "it is changed already");
    let undone = json(&desk.jobs(&["undo", "2", "--json"]));
    assert_eq!((&undone["restored"], &undone["touched"]), (&json!(1), &json!(0)));
    assert_eq!(reclassify(&["--dry-run"])["changed"], 1);
}

#[test]
fn a_job_goes_on_with_its_own_model_wherever_that_is_now() {
    let desk = Desk::new();
    let folder = |name: &str| desk.folder.path().join(name);
    for name in ["ours", "other"] {
        crate::reload::train(desk.folder.path(), &folder(name), name);
    }
    // It pauses, for a fifth of its rows are bad.
    let row =
        |number: u32| if number.is_multiple_of(5) { "x\n".to_owned() } else { format!("{number},printer jams,\n") };
    let rows = "id,text,topic\n".to_owned() + &(0..300).map(row).collect::<String>();
    let input = file(desk.folder.path(), "topics.csv", rows);
    let ours = desk.path("ours");
    let flags = ["--text", "text", "--current", "topic", "--data-dir", &desk.data, "--model", &ours];
    let arguments = ["reclassify", "--input", &input, "--output", &desk.path("out.csv")];
    run(arguments.iter().chain(&flags)).check(1, &["job 1 is paused: 21 of 101 rows so far are bad"]);
    fs::rename(folder("ours"), folder("moved")).unwrap();
    desk.jobs(&["resume", "1"]).check(1, &["job 1 began with model desk+", "--model", "ours"]);
    let wrong = desk.jobs(&["resume", "1", "--model", &desk.path("other")]);
    wrong.check(1, &["the job began with model desk+", "now desk+", "`triage jobs resume 1 --model DIR`"]);
    desk.jobs(&["resume", "1", "--model", &desk.path("moved")]).check(0, &[]);
    assert_eq!(fs::read_to_string(desk.path("out.csv")).unwrap().lines().count(), 301);
    desk.jobs(&["resume", "1", "--model", "x", "--server", "127.0.0.1:1"]).check(2, &["--model", "--server"]);
}

/// A number that is as good as random, and the same every time.
fn drawn(seed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes())
}

/// Runs the program and kills it after so long where it has not ended by itself; whether it has.
fn ends_within(arguments: &[&str], limit: Duration) -> bool {
    let mut child = program().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (ended, end) = mpsc::channel();
    let reader = thread::spawn(move || {
        stdout.read_to_end(&mut Vec::new()).unwrap();
        ended.send(()).ok();
    });
    let ended = end.recv_timeout(limit).is_ok();
    child.kill().ok();
    let status = child.wait().unwrap();
    reader.join().unwrap();
    ended && status.success()
}

/// The long version: `TRIAGE_KILLS=200 TRIAGE_TICKETS=100000 cargo test --release kills`.
#[test]
fn kills_at_any_moment_change_no_byte() {
    let from_environment =
        |name: &str, default: u64| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let (kills, tickets) = (from_environment("TRIAGE_KILLS", 6), from_environment("TRIAGE_TICKETS", 20_000));
    let kills = u32::try_from(kills).unwrap();
    let desk = Desk::new();
    let texts = ["VPN drops every few minutes", "Printer is out of toner", "Mail stays in the outbox", ""];
    let mut rows = "id,text,category\n".to_owned();
    for number in 0..tickets {
        let text = texts[usize::try_from(drawn(number) % 4).unwrap()];
        let surplus = if drawn(number).is_multiple_of(97) { ",surplus" } else { "" };
        writeln!(rows, "INC{number},\"{text}, \"\"{number}\"\"\",mail{surplus}").unwrap();
    }
    let input = file(desk.folder.path(), "many.csv", rows);
    let (undisturbed, killed) = (desk.path("undisturbed.csv"), desk.path("killed.csv"));
    let started = Instant::now();
    let expected = json(&reclassify(&input, &undisturbed, &desk.data, &["--json"]));
    assert_eq!(expected["rows"], tickets);
    let took = started.elapsed();

    let (data, part) = (desk.path("killed-data"), format!("{killed}.part"));
    let fixed = ["reclassify", "--input", &input, "--text", "text", "--current", "category"];
    let arguments: Vec<&str> = fixed.into_iter().chain(["--output", &killed, "--data-dir", &data]).collect();
    let same = |ours: &str| {
        let rejects = |output: &str| fs::read(format!("{output}.rejects.csv")).unwrap();
        assert!(fs::read(ours).unwrap() == fs::read(&undisturbed).unwrap() && rejects(ours) == rejects(&undisturbed));
    };
    // Counted are kills amid the work: those that come before the first chunk or behind the last one prove little.
    let (mut amid, mut moments) = (0, 0..);
    while amid < kills {
        let moment = moments.next().unwrap();
        assert!(moment < 50 * u64::from(kills), "only {amid} of {moment} kills came amid the work");
        let limit = took * u32::try_from(drawn(moment) % 1_000).unwrap() / 1_000;
        if !ends_within(&arguments, limit) {
            amid += u32::from(fs::metadata(&part).is_ok_and(|part| part.len() > 0));
        }
        if Path::new(&killed).exists() {
            // It is done, and another one begins. A job that was killed behind its last rename is done when it is asked for.
            run(&arguments).check(0, &[]);
            same(&killed);
            fs::remove_file(&killed).unwrap();
            fs::remove_file(format!("{killed}.rejects.csv")).unwrap();
            fs::remove_dir_all(&data).unwrap();
        }
    }
    let made = json(&run(arguments.iter().chain(&["--json"])));
    // Of the job that the last kill interrupted.
    for count in ["rows", "changed", "abstained", "failed", "fields"] {
        assert_eq!(made[count], expected[count], "{count}");
    }
    same(&killed);
}
