//! Kills at random moments under a mixed load.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tonic::Code;

use super::{
    Dice, checker,
    load::{KINDS, Ledger},
    setting,
};
use crate::harness::{ServerProcess, connect, in_time};

/// Behind so many kills a data directory is left for a new one, so that checking all of it stays quick.
const ROUNDS_OF_A_FOLDER: u64 = 25;
/// The promise is 2 s on a machine of its own; tests share theirs.
const READY: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_after_kills_under_mixed_load() {
    let (kills, mut dice) = (setting("TRIAGE_KILLS", 6), Dice(setting("TRIAGE_SEED", 1)));
    let (mut starts, mut acknowledged) = (Vec::new(), 0);
    let mut left = kills;
    while left > 0 {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::default();
        let rounds = left.min(ROUNDS_OF_A_FOLDER);
        for _ in 0..rounds {
            starts.push(kill_under_load(folder.path(), &ledger, &mut dice).await);
        }
        let server = started(folder.path(), &mut starts).await;
        checker::check(&server, &ledger).await;
        acknowledged += ledger.acknowledged();
        left -= rounds;
    }
    starts.sort();
    let (median, slowest) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    #[expect(clippy::print_stdout, reason = "the figures of the long form; shown with --nocapture")]
    {
        println!("{kills} kills, {acknowledged} deeds acknowledged; ready in {median:?}, at most {slowest:?}");
    }
    assert!(slowest < READY, "ready in {slowest:?}");
}

async fn started(folder: &Path, starts: &mut Vec<Duration>) -> ServerProcess {
    let begun = Instant::now();
    let server = ServerProcess::start(folder, &[]).await;
    starts.push(begun.elapsed());
    server
}

/// Starts the server over what an earlier kill left, checks that, loads it and kills it; how long the start took.
async fn kill_under_load(folder: &Path, ledger: &Ledger, dice: &mut Dice) -> Duration {
    if dice.roll(4) == 0 {
        kill_while_starting(folder, dice).await;
    }
    let begun = Instant::now();
    let server = ServerProcess::start(folder, &[]).await;
    let ready = begun.elapsed();
    checker::check(&server, ledger).await;

    let (wanted, more) = (ledger.acknowledged() as u64 + 1 + dice.roll(80), Duration::from_micros(dice.roll(20_000)));
    let mut channels = Vec::new();
    for _ in 0..KINDS {
        channels.push(connect(&server.address).await);
    }
    let load =
        futures_util::future::join_all((0..KINDS).zip(channels).map(|(kind, channel)| ledger.work(channel, kind)));
    let kill = async {
        ledger.wait_for(usize::try_from(wanted).unwrap()).await;
        // Not to wait for anything: a kill comes at any moment of a call.
        tokio::time::sleep(more).await;
        server.signal("KILL");
    };
    let (endings, ()) = in_time(futures_util::future::join(load, kill)).await;
    for status in endings {
        let cut_off = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal].contains(&status.code());
        assert!(cut_off && status.details().is_empty(), "a call failed before the kill: {status:?}");
    }
    assert_eq!(server.exit_code().await, None);
    ready
}

/// Kills a server that has not come up yet, at whatever it is.
async fn kill_while_starting(folder: &Path, dice: &mut Dice) {
    let data_dir = folder.to_str().unwrap();
    let server = ServerProcess::listen(["--data-dir", data_dir, "--admin-listen", "off"]);
    tokio::time::sleep(Duration::from_micros(dice.roll(300_000))).await;
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);
}
