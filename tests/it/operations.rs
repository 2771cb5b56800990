//! What keeps a data directory: backups of a live one, restoring, and finding what is wrong.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use ticket_triage::pb;

use crate::{
    harness::{Outcome, ServerProcess, article, file, program, run, upsert},
    jobs::{client_tickets, create, done, ended, results, sent, spec, until},
};

fn on(data_dir: &Path, arguments: &[&str]) -> Outcome {
    run(arguments.iter().copied().chain(["--data-dir", data_dir.to_str().unwrap()]))
}

fn back_up(data_dir: &Path, out: &Path) -> Outcome {
    on(data_dir, &["backup", "--out", out.to_str().unwrap(), "--json"])
}

fn restore(backup: &Path, data_dir: &Path) -> Outcome {
    on(data_dir, &["restore", backup.to_str().unwrap()])
}

/// A data directory with two articles.
fn desk(folder: &Path) -> PathBuf {
    let data_dir = folder.join("data");
    let rows = "{\"id\": \"KB1\", \"text\": \"Printer offline\"}\n{\"id\": \"KB2\", \"text\": \"VPN drops\"}\n";
    let rows = file(folder, "articles.jsonl", rows);
    on(&data_dir, &["kb", "import", &rows]).check(0, &[]);
    data_dir
}

fn articles_of(data_dir: &Path) -> Vec<String> {
    let listed = on(data_dir, &["kb", "list", "--json"]);
    listed.check(0, &[]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let articles = listed["articles"].as_array().unwrap().iter();
    articles.map(|article| article["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_backup_of_a_busy_server_began_is_there_after_restoring() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, out) = (folder.path().join("data"), folder.path().join("backup.tar.gz"));
    let server = ServerProcess::start(&data_dir, &[]).await;
    let mut client = server.knowledge().await;
    for n in 0..20 {
        upsert(&mut client, vec![article(&format!("before-{n:03}"), "Printer offline", "Switch it on.")]).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let goes_on = Arc::clone(&stop);
    let (began, begun) = tokio::sync::oneshot::channel();
    let writing = tokio::spawn(async move {
        let mut began = Some(began);
        let mut written = 0;
        while !goes_on.load(Ordering::Relaxed) {
            upsert(&mut client, vec![article(&format!("during-{written:05}"), "VPN drops", "Again.")]).await;
            written += 1;
            began.take().map(|began| began.send(()));
        }
        written
    });
    begun.await.unwrap();
    let outcome = tokio::task::block_in_place(|| back_up(&data_dir, &out));
    stop.store(true, Ordering::Relaxed);
    let written: usize = writing.await.unwrap();
    outcome.check(0, &[]);
    drop(server);

    let restored = folder.path().join("restored");
    restore(&out, &restored).check(0, &[]);
    let server = ServerProcess::start(&restored, &[]).await;
    let list = pb::ListArticlesRequest { page_size: Some(1_000), ..pb::ListArticlesRequest::default() };
    let listed = server.knowledge().await.list_articles(list).await.unwrap().into_inner();
    let of = |prefix: &str| listed.articles.iter().filter(|article| article.id.starts_with(prefix)).count();
    assert_eq!(of("before-"), 20);
    // One state: what was written meanwhile is there up to some point, and nothing behind it.
    let during = of("during-");
    assert!((1..=written).contains(&during), "{during} of {written}");
    assert!(listed.articles.iter().any(|article| article.id == format!("during-{:05}", during - 1)));
    drop(server);

    on(&restored, &["audit", "verify"]).check(0, &[]);
    let entries = on(&restored, &["audit", "list", "--limit", "1"]).stdout;
    assert!(entries.contains("restore") && entries.contains("OK"), "{entries}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for (path, mode) in [(&out, 0o600), (&restored, 0o700)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
    }
}

#[test]
fn a_bundle_of_the_directory_serves_after_restoring() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, out) = (desk(folder.path()), folder.path().join("backup.tar.gz"));
    let bundle = folder.path().join("bundle");
    let rows = (0..60).map(|n| match n % 2 {
        0 => format!("{{\"text\": \"printer {n} jams\", \"kind\": \"hardware\"}}\n"),
        _ => format!("{{\"text\": \"mail {n} bounces\", \"kind\": \"software\"}}\n"),
    });
    let rows = file(folder.path(), "rows.jsonl", rows.collect::<String>());
    run(["train", "--input", &rows, "--text", "text", "--label", "kind", "--out", bundle.to_str().unwrap()])
        .check(0, &[]);
    let imported = on(&data_dir, &["model", "import", bundle.to_str().unwrap(), "--json"]);
    imported.check(0, &[]);
    let version: Value = serde_json::from_str(&imported.stdout).unwrap();
    let version = version["version"].as_str().unwrap().to_owned();
    on(&data_dir, &["model", "shadow", &version]).check(0, &[]);
    back_up(&data_dir, &out).check(0, &[]);

    let restored = folder.path().join("restored");
    restore(&out, &restored).check(0, &[]);
    on(&restored, &["model", "show", &version]).check(0, &[]);
    on(&restored, &["doctor"]).check(0, &[]);

    // A flipped byte in the middle of the weights.
    let weights = restored.join("models").join(&version).join("weights.safetensors");
    flip(&weights, |length| length / 2);
    let found = on(&restored, &["doctor"]);
    found.check(1, &[]);
    assert!(found.stdout.contains("weights.safetensors is not the file that the manifest names"), "{}", found.stdout);
}

/// Turns one bit of a file.
fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = at(bytes.len());
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_backup_that_is_cut_off_or_changed_restores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, out) = (desk(folder.path()), folder.path().join("backup.tar.gz"));
    back_up(&data_dir, &out).check(0, &[]);
    back_up(&data_dir, &out).check(1, &["exists"]);
    let whole = fs::read(&out).unwrap();
    let (target, elsewhere) = (folder.path().join("target"), folder.path().join("elsewhere"));
    let broken = folder.path().join("broken.tar.gz");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&broken, bytes).unwrap();
        let outcome = restore(&broken, &target);
        assert_eq!(outcome.code, Some(1), "{what}");
        assert!(outcome.stderr.contains("nothing was restored"), "{what}: {}", outcome.stderr);
        let left: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "lock"), "{what}: {left:?}");
    };
    // Every place near both ends, and many between.
    let ends = (0..60).chain(whole.len() - 60..whole.len());
    for length in ends.chain((60..whole.len() - 60).step_by(whole.len() / 80)) {
        refused(&whole[..length], &format!("cut to {length}"));
    }
    for place in (10..whole.len()).step_by(whole.len() / 80) {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        fs::write(&broken, &changed).unwrap();
        let outcome = restore(&broken, &elsewhere);
        // Some bits say where among zeros other zeros are copied from: that changes nothing.
        if outcome.code == Some(0) {
            assert_eq!(articles_of(&elsewhere), ["KB1", "KB2"], "changed at {place}");
            fs::remove_dir_all(&elsewhere).unwrap();
        } else {
            assert!(outcome.stderr.contains("nothing was restored"), "changed at {place}: {}", outcome.stderr);
        }
    }
    refused(&[&whole[..], b"more"].concat(), "something behind it");

    restore(&out, &target).check(0, &[]);
    assert_eq!(articles_of(&target), ["KB1", "KB2"]);
    restore(&out, &target).check(1, &["is not empty"]);
}

/// The archive with other contents or names, and its manifest as `change` makes it.
fn forged(backup: &Path, change: impl Fn(&str, Vec<u8>) -> Vec<(String, tar::EntryType, Vec<u8>)>) -> Vec<u8> {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(backup).unwrap()));
    let mut built = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        for (name, kind, bytes) in change(&name, bytes) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            // As no honest program writes it.
            let field = &mut header.as_old_mut().name;
            field.fill(0);
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            built.append(&header, bytes.as_slice()).unwrap();
        }
    }
    built.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_backup_that_somebody_made_up_writes_nothing_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, out) = (desk(folder.path()), folder.path().join("backup.tar.gz"));
    back_up(&data_dir, &out).check(0, &[]);
    let plain = tar::EntryType::Regular;
    let named = |name: &str, bytes: Vec<u8>| vec![(name.to_owned(), plain, bytes)];
    let with = |extra: &'static str, kind: tar::EntryType| {
        forged(&out, move |name, bytes| {
            let mut entries = named(name, bytes);
            if name == "audit.key" {
                entries.push((extra.to_owned(), kind, Vec::new()));
            }
            entries
        })
    };
    let cases = [
        with("../escaped", plain),
        with("/tmp/triage-escaped", plain),
        with("models/a/../../../escaped", plain),
        with("audit.key", plain),
        with("link", tar::EntryType::Symlink),
        with("link", tar::EntryType::Link),
        with("folder", tar::EntryType::Directory),
        // Another name in manifest and archive alike.
        forged(&out, |name, bytes| match name {
            "manifest.json" => {
                named(name, String::from_utf8(bytes).unwrap().replace("audit.key", "../escaped").into_bytes())
            }
            "audit.key" => named("../escaped", bytes),
            _ => named(name, bytes),
        }),
        // More than the manifest says, and less.
        forged(&out, |name, bytes| match name {
            "audit.key" => named(name, [&bytes[..], "x".repeat(1_000_000).as_bytes()].concat()),
            _ => named(name, bytes),
        }),
        forged(&out, |name, bytes| if name == "audit.key" { Vec::new() } else { named(name, bytes) }),
        // A name that another entry lengthens: those may be of any size.
        forged(&out, |name, bytes| {
            let mut entries = named(name, bytes);
            if name == "audit.key" {
                entries.insert(0, ("././@LongLink".to_owned(), tar::EntryType::GNULongName, b"audit.key".to_vec()));
            }
            entries
        }),
        // A database that is none, which SQLite takes for an empty one.
        forged(&out, |name, bytes| match name {
            "manifest.json" => {
                let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
                let files = manifest["files"].as_array_mut().unwrap();
                let database = files.iter_mut().find(|file| file["path"] == "triage.sqlite3").unwrap();
                database["bytes"] = 1.into();
                database["sha256"] = format!("{:x}", Sha256::digest(b"x")).into();
                named(name, serde_json::to_vec(&manifest).unwrap())
            }
            "triage.sqlite3" => named(name, b"x".to_vec()),
            _ => named(name, bytes),
        }),
        // No list.
        forged(&out, |name, bytes| if name == "manifest.json" { Vec::new() } else { named(name, bytes) }),
    ];
    for (number, bytes) in cases.iter().enumerate() {
        let backup = folder.path().join("forged.tar.gz");
        fs::File::create(&backup).unwrap().write_all(bytes).unwrap();
        let target = folder.path().join("target");
        restore(&backup, &target).check(1, &["nothing was restored"]);
        assert!(!target.join("triage.sqlite3").exists(), "{number}");
        assert!(!folder.path().join("escaped").exists() && !Path::new("/tmp/triage-escaped").exists(), "{number}");
    }
    let future = forged(&out, |name, bytes| match name {
        "manifest.json" => {
            named(name, String::from_utf8(bytes).unwrap().replace("\"format\":1", "\"format\":2").into_bytes())
        }
        _ => named(name, bytes),
    });
    let backup = folder.path().join("future.tar.gz");
    fs::write(&backup, future).unwrap();
    restore(&backup, &folder.path().join("target")).check(1, &["format 2", "newer program"]);
}

#[test]
fn a_restoring_that_was_killed_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, out) = (desk(folder.path()), folder.path().join("backup.tar.gz"));
    back_up(&data_dir, &out).check(0, &[]);
    let target = folder.path().join("target");
    fs::create_dir_all(target.join(".restoring/models")).unwrap();
    fs::write(target.join("audit.key"), "half").unwrap();
    restore(&out, &target).check(0, &[]);
    assert_eq!(articles_of(&target), ["KB1", "KB2"]);
    assert!(!target.join(".restoring").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_others_can_look_into_is_told_of_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let (data_dir, log) = (folder.path().join("data"), folder.path().join("log"));
    fs::create_dir(&data_dir).unwrap();
    for (mode, is_told) in [(0o700, false), (0o755, true)] {
        fs::set_permissions(&data_dir, fs::Permissions::from_mode(mode)).unwrap();
        let (server, _) = ServerProcess::start_with_admin(&data_dir, &[], fs::File::create(&log).unwrap()).await;
        let log = fs::read_to_string(&log).unwrap();
        assert_eq!(log.contains("chmod o-rwx"), is_told, "{mode:o}: {log}");
        drop(server);
    }
}

#[test]
fn a_sound_directory_is_called_sound_and_what_is_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = desk(folder.path());
    let sound = on(&data_dir, &["doctor", "--json"]);
    sound.check(0, &[]);
    let sound: Value = serde_json::from_str(&sound.stdout).unwrap();
    assert_eq!((&sound["sound"], &sound["held"]), (&Value::Bool(true), &Value::Bool(false)), "{sound}");

    // A flipped byte in the index is found, and mended.
    let index = data_dir.join("index/articles");
    let files = fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().path());
    let terms = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "term")).unwrap();
    flip(&terms, |_| 20);
    fs::write(data_dir.join("job-1-ids.tmp"), "").unwrap();
    let found = on(&data_dir, &["doctor"]);
    found.check(1, &[]);
    for part in ["error: index", "wrong checksum", "warning: leftover", "job-1-ids.tmp", "something is wrong"] {
        assert!(found.stdout.contains(part), "{part} is missing in\n{}", found.stdout);
    }
    let mended = on(&data_dir, &["doctor", "--mend"]);
    mended.check(0, &[]);
    assert!(mended.stdout.contains("mended: index"), "{}", mended.stdout);
    on(&data_dir, &["doctor"]).check(0, &[]);
    assert!(!data_dir.join("job-1-ids.tmp").exists());
    assert!(on(&data_dir, &["audit", "list", "--limit", "1"]).stdout.contains("doctor"));

    // So is one in the database, which nothing mends.
    flip(&data_dir.join("triage.sqlite3"), |_| 4_096 * 3 + 5);
    let found = on(&data_dir, &["doctor", "--mend"]);
    found.check(1, &[]);
    assert!(found.stdout.contains("error: database") && found.stdout.contains("backup"), "{}", found.stdout);
    back_up(&data_dir, &folder.path().join("damaged.tar.gz")).check(1, &["damaged"]);
}

#[tokio::test]
async fn a_directory_that_a_server_holds_is_looked_at_and_not_mended() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let server = ServerProcess::start(&data_dir, &[]).await;
    upsert(&mut server.knowledge().await, vec![article("KB1", "Printer offline", "")]).await;
    let found = on(&data_dir, &["doctor", "--json"]);
    found.check(0, &[]);
    assert!(found.stdout.contains("\"held\":true"), "{}", found.stdout);
    on(&data_dir, &["doctor", "--mend"]).check(1, &["held by another process"]);
}

#[test]
fn settings_that_are_not_the_defaults_are_named_with_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "triage.toml", "[limits]\ncalls = 7\n");
    let check = |arguments: &[&str]| {
        let mut command = program();
        command.args(["config", "check", "--config", &config]).args(arguments).env("TRIAGE__LOG__FORMAT", "json");
        Outcome::from(command.output().unwrap())
    };
    let checked = check(&[]);
    checked.check(0, &[]);
    let expected = [
        format!("limits.calls = 7  ({config}, default 512)"),
        "log.format = \"json\"  (environment, default \"text\")".to_owned(),
    ];
    assert_eq!(checked.stdout.lines().collect::<Vec<_>>(), expected);
    let checked: Value = serde_json::from_str(&check(&["--json"]).stdout).unwrap();
    assert_eq!(checked["settings"][0]["source"], Value::from(config.clone()));

    let wrong = file(folder.path(), "wrong.toml", "[limits]\ncalls = 0\n[log]\nformat = \"xml\"\n[colour]\n");
    let refused = run(["config", "check", "--config", &wrong, "--json"]);
    refused.check(2, &["limits.calls", "log.format", "colour"]);
    let refused: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!((&refused["sound"], refused["problems"].as_array().unwrap().len()), (&Value::Bool(false), 3));
}

#[test]
fn the_default_configuration_is_one_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run(["config", "show-default"]);
    shown.check(0, &[]);
    let config = file(folder.path(), "triage.toml", &shown.stdout);
    let checked = run(["config", "check", "--config", &config]);
    checked.check(0, &[]);
    assert_eq!(checked.stdout, "every setting is the default\n");
}

#[test]
fn the_unit_waits_longer_than_the_server_drains() {
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/triage.service")).unwrap();
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let drain = ticket_triage::config::Config::load(None, [], &ticket_triage::config::Overrides::default()).unwrap();
    assert!(stop.parse::<u64>().unwrap() > drain.server.drain.as_secs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_over_what_a_client_sent_goes_on_in_the_restored_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, out) = (folder.path().join("data"), folder.path().join("backup.tar.gz"));
    let tickets: Vec<_> = (0..20).map(|number| sent(&format!("{number}"), "network/vpn")).collect();
    let server = ServerProcess::start(&data_dir, &[]).await;
    let mut client = server.jobs().await;
    let undisturbed = create(&mut client, spec(client_tickets()), "", &tickets).await.unwrap().id;
    ended(&mut client, &undisturbed).await;
    let slow = pb::ReclassificationSpec { tickets_per_second: 4, ..spec(client_tickets()) };
    let slow = create(&mut client, slow, "", &tickets).await.unwrap().id;
    until(&mut client, &slow, |job| done(job) > 0).await;
    tokio::task::block_in_place(|| back_up(&data_dir, &out)).check(0, &[]);
    drop(server);
    fs::remove_dir_all(&data_dir).unwrap();

    let restored = folder.path().join("restored");
    restore(&out, &restored).check(0, &[]);
    let server = ServerProcess::start(&restored, &[]).await;
    let mut client = server.jobs().await;
    let job = ended(&mut client, &slow).await;
    assert_eq!((job.state(), done(&job)), (pb::JobState::Done, 20));
    assert_eq!(results(&mut client, &slow, None).await, results(&mut client, &undisturbed, None).await);
}
