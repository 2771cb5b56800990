//! `triage doctor`: what is wrong with a data directory, and mending what can be mended.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use super::{DEFAULT_DATA_DIR, audited::caller, data_dir};
use crate::{
    audit::{AuditEntry, AuditLog},
    config::Config,
    doctor::{self, Finding, Report},
    store::Store,
};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Folder to look at; a server may hold it
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Build damaged indexes anew, remove what killed processes left, and take rights away that are too wide
    #[arg(long)]
    mend: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DoctorArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let DoctorArgs { data_dir, mend, json } = args;
    anyhow::ensure!(
        Store::exists(data_dir),
        "no data directory in {}: name the folder that a server or a command keeps with --data-dir",
        data_dir.display()
    );
    let mut report = doctor::examine(data_dir, &config.encoders)?;
    if *mend {
        anyhow::ensure!(
            report.holder.is_none(),
            "{} is held by another process: stop it, and mend then",
            data_dir.display()
        );
        mend_all(&mut report, data_dir, config)?;
    }
    let mut out = io::stdout().lock();
    if *json {
        writeln!(out, "{}", report_json(&report))?;
    } else {
        show(&mut out, &report)?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn mend_all(report: &mut Report, data_dir: &Path, config: &Config) -> anyhow::Result<()> {
    report.mend(|| {
        let store = Store::open(data_dir)?;
        data_dir::knowledge(&store, data_dir, config)?;
        data_dir::memory(&store, data_dir, config)?;
        Ok(())
    })?;
    let mended = report.findings.iter().filter(|finding| finding.is_mended).count();
    if mended > 0 {
        let log = AuditLog::open(Store::open(data_dir)?, data_dir)?;
        log.record_now(AuditEntry::new(&caller(), "doctor", "OK").with_count("mended", mended as u64))?;
    }
    Ok(())
}

fn show(out: &mut impl io::Write, report: &Report) -> io::Result<()> {
    if let Some(holder) = report.holder {
        let process = holder.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        writeln!(out, "held by another process{process}: what that is at work on was not looked at")?;
    }
    for Finding { severity, check, place, problem, remedy, mend: _, is_mended } in &report.findings {
        let state = if *is_mended { "mended" } else { severity.as_str() };
        writeln!(out, "{state}: {check}: {}: {problem}", place.display())?;
        if !is_mended && !remedy.is_empty() {
            writeln!(out, "    {remedy}")?;
        }
    }
    writeln!(out, "{}", if report.is_sound() { "nothing is wrong" } else { "something is wrong" })
}

fn report_json(report: &Report) -> Value {
    let findings = report.findings.iter().map(|finding| {
        let Finding { severity, check, place, problem, remedy, mend, is_mended } = finding;
        json!({
            "severity": severity.as_str(),
            "check": check,
            "place": place,
            "problem": problem,
            "remedy": remedy,
            "can_be_mended": mend.is_some(),
            "mended": is_mended,
        })
    });
    json!({
        "sound": report.is_sound(),
        "held": report.holder.is_some(),
        "findings": findings.collect::<Vec<_>>(),
    })
}
