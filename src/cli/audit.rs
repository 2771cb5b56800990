//! `triage audit`: who changed what, and whether somebody tampered with what is written about it. Both only read, also
//! where a server holds the data directory.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{DEFAULT_DATA_DIR, render::printable};
use crate::{
    audit::{self, Noted, Verified},
    store::{AuditRow, DatabaseView, Store},
};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List entries, the latest first
    List(ListArgs),
    /// Say whether an entry was removed or changed; exit code 1 where one was
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct Place {
    /// Folder whose log is read; a server may hold it
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Most entries to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The last entry of an earlier time, as `verify` printed it then: it must still be there
    #[arg(long, value_name = "SEQUENCE:HASH", value_parser = parse_noted)]
    since: Option<Noted>,
    #[command(flatten)]
    place: Place,
}

fn parse_noted(raw: &str) -> Result<Noted, String> {
    let parsed = raw
        .split_once(':')
        .and_then(|(sequence, hash)| Some(Noted { sequence: sequence.parse().ok()?, hash: audit::parse_hex(hash)? }));
    parsed.ok_or_else(|| "expected SEQUENCE:HASH, as `triage audit verify` prints it".to_owned())
}

pub(super) fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::List(args) => list(args),
        AuditCommand::Verify(args) => verify(args),
    }
}

fn check_exists(data_dir: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "no audit log in {}: name the folder that a server or a command keeps with --data-dir",
        data_dir.display()
    );
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let ListArgs { limit, place } = args;
    check_exists(&place.data_dir)?;
    let rows = DatabaseView::open(&place.data_dir)?.latest_audit_rows(*limit)?;
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", json!({"entries": rows.iter().map(row_json).collect::<Vec<_>>()}))?;
        return Ok(ExitCode::SUCCESS);
    }
    for row in &rows {
        let AuditRow { sequence, at_ms, caller, action, outcome, details, hash: _ } = row;
        let (caller, details) = (printable(caller), printable(details));
        writeln!(out, "{sequence:>6}  {}  {outcome:<12} {action}  {caller}  {details}", time_of(*at_ms))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row_json(row: &AuditRow) -> Value {
    let AuditRow { sequence, at_ms, caller, action, outcome, details, hash } = row;
    // What is no JSON was not written by this program, and is shown as it is.
    let details = serde_json::from_str(details).unwrap_or_else(|_| Value::from(details.as_str()));
    json!({
        "sequence": sequence,
        "time": time_of(*at_ms),
        "caller": caller,
        "action": action,
        "outcome": outcome,
        "details": details,
        "hash": audit::hex(hash),
    })
}

pub(super) fn time_of(at_ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| at_ms.to_string())
}

fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let VerifyArgs { since, place } = args;
    check_exists(&place.data_dir)?;
    let Verified { entries, head, problems } = audit::verify(&place.data_dir, since.as_ref())?;
    let head = head.map(|Noted { sequence, hash }| (sequence, audit::hex(&hash)));
    let mut out = io::stdout().lock();
    if place.json {
        let head = head.map(|(sequence, hash)| json!({"sequence": sequence, "hash": hash}));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let verdict = json!({"sound": problems.is_empty(), "entries": entries, "head": head, "problems": told});
        writeln!(out, "{verdict}")?;
    } else {
        for problem in &problems {
            writeln!(out, "{problem}")?;
        }
        let verdict = if problems.is_empty() { "nothing was removed or changed" } else { "the log was tampered with" };
        writeln!(out, "{entries} entries: {verdict}")?;
        if let Some((sequence, hash)) = head {
            writeln!(out, "last entry, for --since of a later time: {sequence}:{hash}")?;
        }
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_entry_is_read_as_it_is_printed() {
        let hash = "ab".repeat(32);
        assert_eq!(parse_noted(&format!("7:{hash}")), Ok(Noted { sequence: 7, hash: [0xab; 32] }));
        for wrong in ["", "7", "7:", "x:ab", &format!("7:{}", "zz".repeat(32)), &format!("-7:{hash}")] {
            assert!(parse_noted(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_told_as_people_write_it() {
        assert_eq!(time_of(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
