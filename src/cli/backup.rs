//! `triage backup` and `triage restore`: all of a data directory in one file, and back.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use super::{DEFAULT_DATA_DIR, audit::time_of, audited::caller};
use crate::{
    backup::{self, BackedUp, Restored},
    store::Store,
};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Folder to back up
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// The backup, a new file; it holds all that the folder holds: keep it as safe as that
    #[arg(long, value_name = "FILE.tar.gz")]
    out: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// What `triage backup` wrote
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// Folder that becomes the data directory: empty, or not there
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn back_up(args: &BackupArgs) -> anyhow::Result<()> {
    let BackupArgs { data_dir, out, json } = args;
    anyhow::ensure!(
        Store::exists(data_dir),
        "nothing to back up in {}: name the folder that a server or a command keeps with --data-dir",
        data_dir.display()
    );
    let BackedUp { files, bytes, archive_bytes, warnings } = backup::back_up(data_dir, out)?;
    let mut stdout = io::stdout().lock();
    if *json {
        let summary = json!({
            "backup": out, "files": files, "bytes": bytes, "archive_bytes": archive_bytes, "warnings": warnings,
        });
        writeln!(stdout, "{summary}")?;
        return Ok(());
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    writeln!(stdout, "{files} files of {bytes} bytes are in {} ({archive_bytes} bytes)", out.display())?;
    Ok(())
}

pub(super) fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let RestoreArgs { backup, data_dir, json } = args;
    let Restored { files, bytes, taken_at_ms, program } = backup::restore(backup, data_dir, &caller())?;
    let (mut stdout, taken_at) = (io::stdout().lock(), time_of(taken_at_ms));
    if *json {
        let summary = json!({
            "data_dir": data_dir, "files": files, "bytes": bytes, "taken_at": taken_at, "program": program,
        });
        writeln!(stdout, "{summary}")?;
        return Ok(());
    }
    let place = data_dir.display();
    writeln!(stdout, "{files} files of {bytes} bytes, as they were at {taken_at}, are in {place}")?;
    writeln!(stdout, "the indexes are made when it is first used: `triage serve --data-dir {place}`")?;
    Ok(())
}
