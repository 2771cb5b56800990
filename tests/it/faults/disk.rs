//! A disk that is full or read-only: a clear word, answers go on, nothing that was acknowledged is lost, and with room
//! again all is well.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ticket_triage::pb;
use tonic::Code;

use super::{
    checker,
    load::{Deed, KINDS, Ledger},
};
use crate::harness::{ServerProcess, connect, program, reason, request, vpn_ticket};

/// Lets the files of a process grow to so many bytes and no further, as a full disk would.
fn limit_files(server: &ServerProcess, bytes: &str) {
    let pid = server.child.id().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
    assert!(done.unwrap().success());
}

/// A server that is not ended by a write over the limit of its files: signals that are ignored stay so in what is
/// started.
async fn start_unkilled(folder: &Path) -> ServerProcess {
    let program = program();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program.get_program()).env_clear();
    ServerProcess::start_by(shell, folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_is_to_be_kept_and_answers_all_else() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let server = start_unkilled(folder.path()).await;
    let channel = connect(&server.address).await;
    for kind in (0..KINDS).cycle().take(3 * KINDS) {
        ledger.record(kind, &channel).await.unwrap();
    }
    // First nothing can be written any more, then a little, then more: wherever a change meets the end of the disk.
    for bytes in ["0", "4096", "20000", "60000", "150000", "300000"] {
        limit_files(&server, bytes);
        for kind in 0..KINDS {
            let Err(status) = ledger.record(kind, &channel).await else { continue };
            let refused = [(Code::Internal, "INTERNAL"), (Code::FailedPrecondition, "UNWRITABLE")];
            assert!(refused.contains(&(status.code(), reason(&status).as_str())), "{bytes}: {status:?}");
        }
        for reads in 0..3 {
            let decision = Deed::Decision(format!("{bytes}-{reads}"));
            decision.perform(&channel).await.unwrap();
        }
        limit_files(&server, "unlimited");
        for kind in 0..KINDS {
            ledger.record(kind, &channel).await.unwrap_or_else(|status| panic!("with room again: {status:?}"));
        }
        checker::check(&server, &ledger).await;
    }
    server.signal("KILL");
    assert_eq!(server.exit_code().await, None);
    let server = ServerProcess::start(folder.path(), &[]).await;
    checker::check(&server, &ledger).await;
}

/// A small disk of its own, where this user may mount one for a process.
struct SmallDisk {
    server: ServerProcess,
    /// What the process sees as its disk, seen from here.
    root: PathBuf,
}

impl SmallDisk {
    /// Starts a server over a disk of so many MiB; `None` where the system does not let us.
    async fn start(folder: &Path, mebibytes: u32) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={mebibytes}m tmpfs {}", folder.display());
        let can = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).stderr(Stdio::null()).status();
        if !can.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut shell = Command::new("unshare");
        let script = format!("{mount} && exec \"$0\" \"$@\"");
        shell.args(["-rm", "sh", "-c", &script]).arg(program().get_program()).env_clear();
        shell.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let server = ServerProcess::start_by(shell, folder).await;
        let root = PathBuf::from(format!("/proc/{}/root", server.child.id()));
        Some(Self { root: root.join(folder.strip_prefix("/").unwrap()), server })
    }

    /// Takes all the room that is left, but for so many bytes.
    fn fill(&self, left: u64) {
        let filler = self.root.join("filler");
        let mut file = File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 4_096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left)).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.root.join("filler")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_and_is_cleared_loses_nothing() {
    let (folder, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let Some(disk) = SmallDisk::start(folder.path(), 24).await else { return };
    let channel = connect(&disk.server.address).await;
    for kind in (0..KINDS).cycle().take(2 * KINDS) {
        ledger.record(kind, &channel).await.unwrap();
    }
    for left in [0, 4_096, 40_000, 100_000, 250_000] {
        disk.fill(left);
        for kind in (0..KINDS).cycle().take(3 * KINDS) {
            let Err(status) = ledger.record(kind, &channel).await else { continue };
            let refused = [(Code::Internal, "INTERNAL"), (Code::FailedPrecondition, "UNWRITABLE")];
            assert!(refused.contains(&(status.code(), reason(&status).as_str())), "{left} left: {status:?}");
        }
        let decided = disk.server.triage().await.triage_ticket(request(vpn_ticket("1"))).await;
        decided.unwrap_or_else(|status| panic!("{left} left: {status:?}"));
        disk.empty();
        for kind in 0..KINDS {
            ledger.record(kind, &channel).await.unwrap_or_else(|status| panic!("with room again: {status:?}"));
        }
        checker::check(&disk.server, &ledger).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), &[]).await;
    server.knowledge().await.list_articles(pb::ListArticlesRequest::default()).await.unwrap();
    server.signal("TERM");
    assert_eq!(server.exit_code().await, Some(0));

    let place = folder.path().display();
    let read_only = format!("mount --bind {place} {place} && mount -o remount,bind,ro {place}");
    let can = Command::new("unshare").args(["-rm", "sh", "-c", &read_only]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        return;
    }
    let script = format!("{read_only} && exec \"$0\" \"$@\"");
    let outcome = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .arg(program().get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"])
        .arg(folder.path())
        .output();
    let outcome = crate::harness::Outcome::from(outcome.unwrap());
    outcome.check(1, &["cannot write in data directory", "--data-dir"]);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}
