//! A flipped byte, wherever it is, heals or is said: never a panic, and of an index never a wrong answer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ticket_triage::pb;
use tonic::Code;

use super::{
    Dice, checker,
    load::{Deed, KINDS, Ledger},
    setting,
};
use crate::{
    harness::{Outcome, ServerProcess, connect, request, run, vpn_ticket},
    reload::train,
};

/// A data directory with something of everything, at rest.
async fn fill(folder: &Path, ledger: &Ledger) {
    let server = ServerProcess::start(folder, &[]).await;
    let channel = connect(&server.address).await;
    for kind in (0..KINDS).cycle().take(12 * KINDS) {
        ledger.record(kind, &channel).await.unwrap();
    }
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.unwrap());
    files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn flip(path: &Path, at: usize, bit: u32) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

fn roll(dice: &mut Dice, sides: usize) -> usize {
    usize::try_from(dice.roll(sides as u64)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_an_index_heals() {
    let (folder, ledger, mut dice) = (tempfile::tempdir().unwrap(), Ledger::default(), Dice(setting("TRIAGE_SEED", 2)));
    fill(folder.path(), &ledger).await;
    for _ in 0..setting("TRIAGE_FLIPS", 8) {
        // One flip in the articles' index and one in the memory's.
        for index in ["index/articles", "index/memory"] {
            let files = files_below(&folder.path().join(index));
            let files: Vec<_> = files.into_iter().filter(|file| fs::metadata(file).unwrap().len() > 0).collect();
            let file = &files[roll(&mut dice, files.len())];
            let length = usize::try_from(fs::metadata(file).unwrap().len()).unwrap();
            flip(file, roll(&mut dice, length), u32::try_from(dice.roll(8)).unwrap());
        }
        let server = ServerProcess::start(folder.path(), &[]).await;
        checker::check(&server, &ledger).await;
        server.signal("TERM");
        assert_eq!(server.exit_code().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_database_is_no_panic() {
    let (folder, ledger, mut dice) = (tempfile::tempdir().unwrap(), Ledger::default(), Dice(setting("TRIAGE_SEED", 3)));
    fill(folder.path(), &ledger).await;
    let database = folder.path().join("triage.sqlite3");
    let whole = fs::read(&database).unwrap();
    let mut refused = 0;
    for number in 0..setting("TRIAGE_FLIPS", 8) {
        // The first ones at what SQLite reads first, the others anywhere.
        let at = if number < 4 { roll(&mut dice, 100) } else { roll(&mut dice, whole.len()) };
        fs::write(&database, &whole).unwrap();
        flip(&database, at, u32::try_from(dice.roll(8)).unwrap());
        refused += u32::from(refuses(folder.path(), at).await);
    }
    // What is sure to be seen: the head and the first page of the tables' names.
    for at in [0, 16, 100] {
        fs::write(&database, &whole).unwrap();
        flip(&database, at, 7);
        assert!(refuses(folder.path(), at).await, "byte {at}");
        refused += 1;
    }
    assert!(refused >= 3);
    fs::write(&database, &whole).unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    checker::check(&server, &ledger).await;
}

/// Starts a server over a database with a flipped byte: whether it refuses, with a clear word. Where it starts it
/// answers or fails call by call, ends as ever, and its log holds no panic.
async fn refuses(folder: &Path, at: usize) -> bool {
    let log = folder.join("log");
    let started = ServerProcess::try_start(folder, fs::File::create(&log).unwrap()).await;
    let refused = match started {
        Ok(server) => {
            read_everything(&server).await;
            server.signal("TERM");
            assert_eq!(server.exit_code().await, Some(0), "byte {at}");
            false
        }
        Err(code) => {
            assert_eq!(code, Some(1), "byte {at}");
            true
        }
    };
    let log = fs::read_to_string(log).unwrap();
    assert!(!log.contains("panicked"), "byte {at}: {log}");
    assert!(!refused || log.contains("triage.sqlite3"), "byte {at}: {log}");
    refused
}

/// Whatever is damaged fails the call that needs it and none else.
async fn read_everything(server: &ServerProcess) {
    let decided = server.triage().await.triage_ticket(request(vpn_ticket("1"))).await;
    let list = pb::ListArticlesRequest { page_size: Some(1_000), ..Default::default() };
    let listed = server.knowledge().await.list_articles(list).await.map(drop);
    let said = server.feedback().await.list_feedback(pb::ListFeedbackRequest::default()).await.map(drop);
    let jobs = server.jobs().await.list_jobs(pb::ListJobsRequest::default()).await.map(drop);
    let taxonomy = server.taxonomy().await.get_taxonomy(pb::GetTaxonomyRequest {}).await.map(drop);
    let stored =
        Deed::Articles(["new-a".to_owned(), "new-b".to_owned()]).perform(&connect(&server.address).await).await;
    for outcome in [decided.map(drop), listed, said, jobs, taxonomy, stored] {
        let code = outcome.err().map_or(Code::Ok, |status| status.code());
        assert!([Code::Ok, Code::Internal].contains(&code), "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_active_bundle_stops_the_start_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, data) = (folder.path().join("bundle"), folder.path().join("data"));
    train(folder.path(), &bundle, "one");
    let data_dir = data.to_str().unwrap();
    let imported = run(["model", "import", bundle.to_str().unwrap(), "--data-dir", data_dir]);
    imported.check(0, &[]);
    let folder_of_models = data.join("models");
    let version = fs::read_dir(&folder_of_models).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    run(["model", "activate", &version, "--data-dir", data_dir]).check(0, &[]);
    let answer = decide(&data).await.expect("the bundle is whole");

    let mut dice = Dice(setting("TRIAGE_SEED", 4));
    for file in files_below(&folder_of_models) {
        let whole = fs::read(&file).unwrap();
        for _ in 0..setting("TRIAGE_FLIPS", 8).div_ceil(4) {
            flip(&file, roll(&mut dice, whole.len()), u32::try_from(dice.roll(8)).unwrap());
            match decide(&data).await {
                Ok(decided) => assert_eq!(decided, answer, "{}", file.display()),
                Err(outcome) => {
                    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
                    outcome.check(1, &[&version]);
                }
            }
            fs::write(&file, &whole).unwrap();
        }
    }
}

/// A decision of a server over this directory, or how its start ended.
async fn decide(data: &Path) -> Result<pb::Decision, Outcome> {
    let data_dir = data.to_str().unwrap();
    // Quick, and as strict as the server: what does not serve does not answer here either.
    let checked = run(["model", "list", "--data-dir", data_dir]);
    let served = run(["classify", "--data-dir", data_dir, "vpn drops"]);
    if served.code != Some(0) {
        return Err(if checked.code == Some(0) { served } else { checked });
    }
    let server = ServerProcess::start(data, &[]).await;
    let decided = server.triage().await.triage_ticket(request(vpn_ticket("1"))).await.unwrap();
    Ok(decided.into_inner().decision.unwrap())
}
