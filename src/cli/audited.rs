//! Commands that change a data directory, each of which gets one entry in its audit log, whatever becomes of it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ArgMatches;

use crate::{
    audit::{self, AuditEntry, AuditLog},
    store::{Store, StoreError},
};

/// What changes the data directory that it is pointed at; everything else only reads it.
const CHANGING: [&str; 34] = [
    "feedback article",
    "feedback import",
    "feedback record",
    "feedback withdraw",
    "jobs cancel",
    "jobs resume",
    "jobs undo",
    "kb delete",
    "kb import",
    "kb publish",
    "kb retire",
    "memory delete",
    "memory import",
    "model activate",
    "model delete",
    "model import",
    "model rollback",
    "model shadow",
    "model train",
    "reclassify",
    "taxonomy add",
    "taxonomy apply",
    "taxonomy describe",
    "taxonomy group",
    "taxonomy impact",
    "taxonomy matrix",
    "taxonomy merge",
    "taxonomy rename",
    "taxonomy restore",
    "taxonomy retire",
    "taxonomy revert",
    "taxonomy route",
    "taxonomy sla",
    "taxonomy split",
];

/// Flags with the ids of what a command is about.
const SUBJECTS: [&str; 2] = ["ids", "id"];

/// A command that changes a data directory.
#[derive(Debug)]
pub(super) struct Audited {
    action: String,
    data_dir: PathBuf,
    subjects: Vec<String>,
}

impl Audited {
    /// The command, where it is one that changes a data directory of this machine.
    pub(super) fn of(matches: &ArgMatches) -> Option<Self> {
        let (mut names, mut leaf) = (Vec::new(), matches);
        while let Some((name, below)) = leaf.subcommand() {
            names.push(name);
            leaf = below;
        }
        let action = names.join(" ");
        let is_set = |flag: &str| leaf.try_get_one::<bool>(flag).ok().flatten().is_some_and(|set| *set);
        let has_server = leaf.try_get_one::<String>("server").ok().flatten().is_some();
        if !CHANGING.contains(&action.as_str()) || has_server || is_set("dry_run") {
            return None;
        }
        let data_dir = leaf.try_get_one::<PathBuf>("data_dir").ok().flatten()?.clone();
        let ids = SUBJECTS.into_iter().filter_map(|flag| leaf.try_get_many::<String>(flag).ok().flatten());
        let subjects = ids.flatten().cloned().collect();
        Some(Self { action, data_dir, subjects })
    }

    /// Runs the command and writes its entry. Where the log cannot be opened nothing is run.
    pub(super) fn run(self, command: impl FnOnce() -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
        let Self { action, data_dir, subjects } = self;
        let caller = caller();
        // A folder that is misspelt must not be made.
        if Store::exists(&data_dir) {
            drop(AuditLog::open(Store::open(&data_dir)?, &data_dir)?);
            audit::begin(&data_dir, &caller, &action, &subjects)?;
        }
        let outcome = command();
        let is_done = matches!(outcome, Ok(code) if code == ExitCode::SUCCESS);
        if Store::exists(&data_dir) {
            let entry = AuditEntry::new(&caller, &action, if is_done { "OK" } else { "FAILED" });
            conclude(&data_dir, entry.with_subjects(subjects.iter().map(String::as_str).collect()))?;
        }
        outcome
    }
}

/// Writes the entry of a command that has ended.
fn conclude(data_dir: &Path, entry: AuditEntry) -> anyhow::Result<()> {
    audit::conclude(data_dir, entry)?;
    match Store::open(data_dir) {
        // Whoever opens the log writes the entry that waits.
        Ok(store) => drop(AuditLog::open(store, data_dir)?),
        // Somebody was quicker: the entry waits for who opens the log next.
        Err(StoreError::Held { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The operating system's user.
pub(super) fn caller() -> String {
    let name = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let name = name.unwrap_or_default();
    // The environment says what it is told: the number does not.
    match user_number() {
        Some(number) => format!("{name} (uid {number})").trim_start().to_owned(),
        None => name,
    }
}

/// The number of the user that this process belongs to, where the system tells.
fn user_number() -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;

        std::fs::metadata("/proc/self").ok().map(|process| process.uid())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory as _};

    use super::{super::Arguments, *};

    /// What is given a data directory and changes nothing in it that is not derived.
    const READING: [&str; 30] = [
        "audit list",
        "audit verify",
        "backup",
        "classify",
        "doctor",
        "feedback list",
        "feedback trust",
        "jobs export",
        "jobs list",
        "jobs pause",
        "jobs results",
        "jobs show",
        "jobs watch",
        "kb answer",
        "kb eval",
        "kb gaps",
        "kb get",
        "kb list",
        "kb search",
        "kb versions",
        "memory similar",
        "model compare",
        "model history",
        "model list",
        "model show",
        "restore",
        "serve",
        "taxonomy export",
        "taxonomy history",
        "taxonomy show",
    ];

    fn leaves(command: &Command, above: &str, found: &mut BTreeSet<String>) {
        for below in command.get_subcommands() {
            let name = format!("{above} {}", below.get_name()).trim_start().to_owned();
            if below.get_arguments().any(|argument| argument.get_id() == "data_dir") {
                found.insert(name.clone());
            }
            leaves(below, &name, found);
        }
    }

    #[test]
    fn of_every_command_with_a_data_directory_it_is_known_whether_it_changes_it() {
        let mut found = BTreeSet::new();
        leaves(&Arguments::command(), "", &mut found);
        let known: BTreeSet<String> = CHANGING.into_iter().chain(READING).map(str::to_owned).collect();
        assert_eq!(found, known);
    }

    #[test]
    fn a_command_is_audited_where_it_changes_a_directory_of_this_machine() {
        let audited = |line: &str| {
            let matches = Arguments::command().try_get_matches_from(line.split(' ')).unwrap();
            Audited::of(&matches).map(|found| (found.action, found.data_dir, found.subjects))
        };
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            audited("triage kb delete KB1 KB2 --data-dir d"),
            Some(("kb delete".to_owned(), "d".into(), ids(&["KB1", "KB2"])))
        );
        assert_eq!(audited("triage memory import f.csv --text a").unwrap().1, Path::new("triage-data"));
        for line in [
            "triage kb delete KB1 --server 127.0.0.1:1",
            "triage kb search words",
            "triage taxonomy retire type question --dry-run",
            "triage serve",
            "triage completions bash",
        ] {
            assert_eq!(audited(line), None, "{line}");
        }
    }
}
