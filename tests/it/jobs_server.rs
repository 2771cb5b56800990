//! Jobs of a server that is killed and started again, and the command line that speaks to one.

use std::{fs, path::Path};

use serde_json::Value;
use ticket_triage::pb::{self, JobState};

use crate::{
    harness::{ServerProcess, file, run},
    jobs::{client_tickets, create, done, ended, results, sent, spec, until},
};

#[tokio::test]
async fn a_server_that_was_killed_takes_its_job_up_and_comes_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let tickets: Vec<_> = (0..20)
        .map(|number| match number % 5 {
            0 => pb::Ticket { summary: String::new(), description: String::new(), ..sent(&format!("{number}"), "") },
            _ => sent(&format!("{number}"), "network/vpn"),
        })
        .collect();
    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.jobs().await;
    let undisturbed = create(&mut client, spec(client_tickets()), "", &tickets).await.unwrap().id;
    assert_eq!(ended(&mut client, &undisturbed).await.state(), JobState::Done);
    let slow = pb::ReclassificationSpec { tickets_per_second: 8, ..spec(client_tickets()) };
    let killed = create(&mut client, slow, "nightly", &tickets).await.unwrap().id;
    until(&mut client, &killed, |job| done(job) > 0).await;
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);
    let orphan = folder.path().join("jobs/sent-x1.jsonl");
    let half = folder.path().join("jobs/sent-x2.jsonl.part");
    let foreign = folder.path().join("jobs/notes.txt");
    for path in [&orphan, &half, &foreign] {
        fs::write(path, "{}").unwrap();
    }

    let server = ServerProcess::start(folder.path(), &[]).await;
    let mut client = server.jobs().await;
    let again = create(&mut client, spec(client_tickets()), "nightly", &[]).await.unwrap();
    assert_eq!(again.id, killed, "the request is known");
    let job = ended(&mut client, &killed).await;
    assert_eq!((job.state(), done(&job)), (JobState::Done, 20));
    assert_eq!(results(&mut client, &killed, None).await, results(&mut client, &undisturbed, None).await);
    assert!(!orphan.exists() && !half.exists() && foreign.exists());
    assert_eq!(fs::read_dir(folder.path().join("jobs")).unwrap().count(), 1);
}

/// Lets clients name files in this folder, and tickets have so much text.
fn configuration(folder: &Path) -> String {
    format!("[jobs]\nfolders = [\"{}\"]\n[limits]\ntext_bytes = {TEXT_BYTES}\n", folder.display())
}

const TEXT_BYTES: usize = 500;

/// A server that may read and write in a folder with tickets, and what a command says to it.
struct Desk {
    _data: tempfile::TempDir,
    server: ServerProcess,
}

impl Desk {
    async fn start(folder: &Path) -> Self {
        let configuration = file(folder, "triage.toml", configuration(folder));
        let data = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(data.path(), &["--config", &configuration]).await;
        Self { _data: data, server }
    }

    /// The document that a command prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let outcome = run(arguments.iter().chain(&["--json", "--server", &self.server.address]));
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
    }

    fn fails(&self, arguments: &[&str], code: i32, parts: &[&str]) {
        run(arguments.iter().chain(&["--server", &self.server.address])).check(code, parts);
    }
}

#[tokio::test]
async fn the_command_line_has_a_server_do_what_it_does_itself() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "id,text,category\n1,VPN drops every few minutes from home,hardware/printer\n2,Paper jam in the printer,\n\
                3,,\n1,again,\n";
    let input = file(folder.path(), "in.csv", rows);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (here, there) = (path("here.csv"), path("there.csv"));
    let data = path("data");
    let reclassify = ["reclassify", "--input", &input, "--text", "text", "--current", "category", "--output"];
    let alone = run(reclassify.iter().chain(&[here.as_str(), "--data-dir", &data, "--json"]));
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    let alone: Value = serde_json::from_str(&alone.stdout).unwrap();

    let desk = Desk::start(folder.path()).await;
    let arguments: Vec<&str> = reclassify.into_iter().chain([there.as_str()]).collect();
    let served = desk.json(&arguments);
    for name in ["job", "rows", "changed", "abstained", "failed", "state", "dry_run", "model", "taxonomy", "fields"] {
        assert_eq!(served[name], alone[name], "{name}");
    }
    assert_eq!(served["rejects"], Value::from(path("there.csv.rejects.csv")));
    assert_eq!(fs::read(&here).unwrap(), fs::read(&there).unwrap());
    assert_eq!(desk.json(&arguments)["job"], "1", "the same command shows the same job");

    assert_eq!(desk.json(&["jobs", "list"])["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(desk.json(&["jobs", "show", "1"]), desk.json(&["jobs", "watch", "1"]));
    let exported = path("exported.jsonl");
    assert_eq!(desk.json(&["jobs", "export", "1", "--output", &exported])["results"], 4);
    let alone = run(["jobs", "results", "1", "--json", "--data-dir", &data]);
    assert_eq!(fs::read_to_string(&exported).unwrap(), alone.stdout);
    let first = desk.json(&["jobs", "results", "1", "--changed", "--field", "category", "--limit", "1"]);
    assert_eq!((&first["id"], &first["fields"]["category"]["changed"]), (&Value::from("1"), &Value::from(true)));

    desk.fails(&["jobs", "pause", "1"], 1, &["job 1 is done and cannot be paused"]);
    desk.fails(&["jobs", "cancel", "1"], 1, &["job 1 is done and cannot be cancelled"]);
    desk.fails(&["jobs", "show", "7"], 1, &["job `7` not found"]);
    desk.fails(&["jobs", "export", "1", "--output", &path("x.csv")], 2, &["JSON lines"]);
    desk.fails(&["jobs", "undo", "1", "--output", "x.csv"], 2, &["--output", "--server"]);
    run(["jobs", "watch", "1"]).check(2, &["--server ADDRESS"]);
    let outside = ["reclassify", "--input", "/etc/hostname", "--text", "a", "--current", "category", "--dry-run"];
    desk.fails(&outside, 1, &["jobs.folders"]);
    let undone = desk.json(&["jobs", "undo", "1"]);
    assert_eq!(
        (&undone["restored"], &undone["output"]),
        (&served["changed"], &Value::from(path("there.csv.undo.csv")))
    );
    assert_eq!(desk.json(&["jobs", "show", "1"])["state"], "undone");
}

#[tokio::test]
async fn a_server_keeps_the_bad_rows_of_an_import_to_be_mended_and_fed_back() {
    fn import<'a>(input: &'a str, rejects: &'a str) -> [&'a str; 9] {
        ["memory", "import", input, "--text", "text", "--id", "nr", "--rejects", rejects]
    }

    let folder = tempfile::tempdir().unwrap();
    let long = "long ".repeat(TEXT_BYTES / 4);
    let rows =
        format!("nr,text,fix\nA,VPN drops every few minutes from home,Restarted it.\nB,,\nC,one,too,many\nD,{long},\n");
    let input = file(folder.path(), "solved.csv", &rows);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bad, again) = (path("bad.csv"), path("again.csv"));
    let desk = Desk::start(folder.path()).await;
    for (wrong, expected) in [
        ("bad.csv", "/bad.csv is in none of the folders of the setting jobs.folders"),
        ("/etc/bad.csv", "jobs.folders"),
        (&path("bad.jsonl"), "let the name end like that one's"),
        (&input, "it is the input"),
    ] {
        desk.fails(&import(&input, wrong), 1, &[expected]);
    }
    let outcome = run(import(&input, &bad).iter().chain(&["--json", "--server", &desk.server.address]));
    outcome.check(1, &[&format!("3 rows are bad: mend them in {bad} and import that file")]);
    let job: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&job["state"], &job["failed"], &job["rejects"]), (&"done".into(), &3.into(), &bad.as_str().into()));
    let rejects = fs::read_to_string(&bad).unwrap();
    assert_eq!(
        rejects,
        format!(
            "line,reason,nr,text,fix\n3,no text in text,B,,\n4,4 fields where the header has 3,C,one,too,many\n\
             5,\"description: summary and description must be at most {TEXT_BYTES} bytes together, are {}\",D,{long},\n",
            long.len()
        )
    );
    let shown = run(["jobs", "show", "1", "--server", &desk.server.address]).stdout;
    assert!(shown.contains("4 rows: 1 new or changed, 3 bad"), "{shown}");
    assert!(!shown.contains("model") && !shown.contains("abstention"), "{shown}");
    desk.fails(&import(&input, &bad), 1, &["it is the file of bad rows of job 1, which is done"]);
    fs::write(
        &bad,
        rejects.replace("B,,", "B,Mended,").replace("one,too,many", "One too,many").replace(&long, "short"),
    )
    .unwrap();
    let job = desk.json(&import(&bad, &again));
    assert_eq!((&job["changed"], &job["failed"], &job["rejects"]), (&3.into(), &0.into(), &Value::Null));
    assert!(!Path::new(&again).exists());
    let worse = file(folder.path(), "worse.csv", "nr,text,fix\nE,,\n");
    desk.fails(&import(&worse, &again), 1, &["job 3 is paused: 1 of 1 rows so far are bad"]);
    assert_eq!(desk.json(&["jobs", "show", "3"])["rejects"], Value::from(again.as_str()));
    assert_eq!(desk.json(&["jobs", "cancel", "3"])["rejects"], Value::Null, "they are gone");
    assert!(!Path::new(&again).exists());
    let similar = desk.json(&["memory", "similar", "One too"]);
    assert_eq!(similar["tickets"][0]["id"], "C");
    let mut client = desk.server.jobs().await;
    let job = client.get_job(pb::GetJobRequest { id: "1".to_owned() }).await.unwrap().into_inner().job.unwrap();
    let Some(pb::job::Work::MemoryImport(spec)) = job.work else { panic!("it is an import") };
    assert_eq!((spec.rejects_path.as_str(), job.rejects_path.as_str()), (bad.as_str(), bad.as_str()));
}

#[tokio::test]
async fn a_server_goes_on_with_what_the_command_line_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..300).map(|number| format!("{number},VPN drops every few minutes,\n")).collect();
    let rows = rows.concat();
    let input = file(folder.path(), "in.csv", format!("id,text,category\n{rows}"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, output) = (path("data"), path("out.jsonl"));
    let mut command = crate::harness::program()
        .args(["reclassify", "--input", &input, "--text", "text", "--current", "category", "--output", &output])
        .args(["--rate", "100", "--data-dir", &data])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It says nothing of its start: the first chunk is in the unfinished file.
    let part = path("out.jsonl.part");
    while fs::metadata(&part).map_or(0, |part| part.len()) == 0 {
        assert!(command.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    command.kill().unwrap();
    command.wait().unwrap();

    let configuration = file(folder.path(), "triage.toml", configuration(folder.path()));
    let server = ServerProcess::start(Path::new(&data), &["--config", &configuration]).await;
    let mut client = server.jobs().await;
    let job = client.get_job(pb::GetJobRequest { id: "1".to_owned() }).await.unwrap().into_inner().job.unwrap();
    assert_eq!((job.state(), job.pause.unwrap().cause()), (JobState::Paused, pb::PauseCause::Interrupted));
    client.resume_job(pb::ResumeJobRequest { id: "1".to_owned() }).await.unwrap();
    let job = ended(&mut client, "1").await;
    assert_eq!((job.state(), done(&job)), (JobState::Done, 300));
    assert_eq!(fs::read_to_string(output).unwrap().lines().count(), 300);
}
