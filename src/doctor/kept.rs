//! What the directory holds: the database, and all that must fit it.

use std::{fs, path::Path};

use super::{Finding, Mend};
use crate::{
    audit,
    classify::{Classifier, bundle},
    encode::{EncoderRecord, Encoders},
    jobs::{self, SPOOL_FOLDER},
    knowledge::{self, IndexState},
    memory,
    registry::MODELS_FOLDER,
    store::{DATABASE_NAME, DatabaseView, StoreError},
};

/// An index that is written to may look damaged for a moment.
const LOOKS: usize = 3;

const FROM_BACKUP: &str = "restore the directory from a backup (`triage restore`). Without one: stop what uses it, copy \
                           the directory, and let `sqlite3 triage.sqlite3 .recover` save what rows can still be read; \
                           what it saves may lack rows, and what came from damaged pages is not to be trusted";

/// Looks at the database, and at everything that it says should be there.
pub(super) fn database(directory: &Path, encoders: &Encoders, is_held_elsewhere: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = look(directory, encoders, is_held_elsewhere, &mut findings) {
        let remedy = match &error {
            StoreError::Damaged { .. } => FROM_BACKUP,
            StoreError::NewerSchema { .. }
            | StoreError::Held { .. }
            | StoreError::NotADirectory(_)
            | StoreError::NotWritable { .. }
            | StoreError::Database { .. } => "",
        };
        let place = directory.join(DATABASE_NAME);
        findings.push(Finding::error("database", &place, error.to_string()).remedy(remedy));
    }
    findings
}

fn look(
    directory: &Path,
    encoders: &Encoders,
    is_held_elsewhere: bool,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let view = DatabaseView::open(directory)?;
    let place = directory.join(DATABASE_NAME);
    let damage = view.damage()?;
    findings.extend(damage.iter().map(|problem| Finding::error("database", &place, problem).remedy(FROM_BACKUP)));
    if view.is_older()? {
        let problem = "it is of an older version of the program";
        findings
            .push(Finding::note("database", &place, problem).remedy("it is brought up to date when it is next used"));
    }
    // What a damaged database says of other files is not worth much.
    if damage.is_empty() {
        models(directory, &view, encoders, findings)?;
        encoder(directory, &view, encoders, findings)?;
        job_files(directory, &view, findings);
        indexes(directory, &view, is_held_elsewhere, findings)?;
    }
    audit_log(directory, findings);
    Ok(())
}

fn models(
    directory: &Path,
    view: &DatabaseView,
    encoders: &Encoders,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let (folder, versions, active) = (directory.join(MODELS_FOLDER), view.model_versions()?, view.active_model()?);
    for version in &versions {
        let place = folder.join(version);
        let is_active = active.as_ref() == Some(version);
        let checked = bundle::check_folder(&place);
        let loaded =
            checked.and_then(|()| if is_active { Classifier::load(&place, encoders).map(drop) } else { Ok(()) });
        if let Err(error) = loaded {
            let remedy = if is_active {
                "it is the active one, and no server starts with it: import its bundle again, or activate another model"
            } else {
                "import its bundle again, or delete it with `triage model delete`"
            };
            findings.push(Finding::error("model", &place, error.to_string()).remedy(remedy));
        }
    }
    if let Some(active) = active.filter(|active| !versions.contains(active)) {
        let finding = Finding::error("model", &folder.join(&active), "it is active, and not among the models");
        findings.push(finding.remedy("import its bundle, or activate another model"));
    }
    Ok(())
}

fn encoder(
    directory: &Path,
    view: &DatabaseView,
    encoders: &Encoders,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let Some(record) = view.encoder()? else { return Ok(()) };
    let place = directory.join(DATABASE_NAME);
    let record: EncoderRecord = match serde_json::from_str(&record) {
        Ok(record) => record,
        Err(error) => {
            findings.push(Finding::error("encoder", &place, format!("what is kept of it cannot be read: {error}")));
            return Ok(());
        }
    };
    if let Err(error) = encoders.recorded(&record, "or let the data directory go without, with `--encoder none`") {
        let remedy = "no server starts without it: put its folder back, or go without it with `--encoder none`";
        findings.push(Finding::error("encoder", &record.folder, error.to_string()).remedy(remedy));
    }
    Ok(())
}

fn job_files(directory: &Path, view: &DatabaseView, findings: &mut Vec<Finding>) {
    let folder = directory.join(SPOOL_FOLDER);
    match jobs::files_of_open_jobs(view) {
        Ok(names) => {
            let gone = names.iter().map(|name| folder.join(name)).filter(|path| !path.exists());
            findings.extend(gone.map(|path| {
                let finding = Finding::error("job", &path, "a job that has not ended needs it, and it is gone");
                finding.remedy("cancel that job with `triage jobs cancel`")
            }));
        }
        Err(error) => findings.push(Finding::error("job", &folder, error.to_string())),
    }
}

fn indexes(
    directory: &Path,
    view: &DatabaseView,
    is_held_elsewhere: bool,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let encoder = view.encoder()?.and_then(|record| serde_json::from_str::<EncoderRecord>(&record).ok());
    let encoder = encoder.map(|record| record.sha256);
    let (database, articles, tickets) = view.state()?;
    let looks: [(&str, &dyn Fn() -> IndexState); 2] = [
        (knowledge::INDEX_FOLDER, &|| knowledge::look_at_index(directory, &database, articles, encoder.as_deref())),
        (memory::INDEX_FOLDER, &|| memory::look_at_index(directory, &database, tickets, encoder.as_deref())),
    ];
    for (name, look) in looks {
        let tries = if is_held_elsewhere { LOOKS } else { 1 };
        let states = (0..tries).map(|_| look());
        let state = states.reduce(|worst, state| if worst.is_damaged() { state } else { worst });
        findings.extend(state.and_then(|state| of_index(&directory.join(name), state, is_held_elsewhere)));
    }
    Ok(())
}

fn of_index(place: &Path, state: IndexState, is_held_elsewhere: bool) -> Option<Finding> {
    const NEXT: &str = "it is built anew when the directory is next used, or now with --mend";
    match state {
        IndexState::Current => None,
        // Whoever holds the directory is about to write it.
        IndexState::Behind(_) | IndexState::Stale(_) if is_held_elsewhere => None,
        IndexState::Behind(changes) => {
            let problem = format!("it lacks the last {changes} changes");
            Some(Finding::note("index", place, problem).remedy("it catches up when the directory is next used"))
        }
        IndexState::Stale(why) => Some(Finding::note("index", place, why).remedy(NEXT)),
        IndexState::Damaged(why) if is_held_elsewhere => {
            Some(Finding::error("index", place, why).remedy("start the server anew: it is built anew then"))
        }
        IndexState::Damaged(why) => Some(Finding::error("index", place, why).remedy(NEXT).mended_by(Mend::Indexes)),
    }
}

fn audit_log(directory: &Path, findings: &mut Vec<Finding>) {
    let place = directory.join(audit::KEY_FILE);
    match audit::verify(directory, None) {
        Ok(verified) => findings.extend(verified.problems.iter().map(|problem| {
            let finding = Finding::error("audit", &place, problem.to_string());
            finding.remedy("ask who could write here; the log goes on, and what is missing stays missing")
        })),
        Err(error) => findings.push(Finding::error("audit", &place, error.to_string())),
    }
    let pending = directory.join(audit::PENDING_FILE);
    if fs::exists(&pending).unwrap_or(false) {
        let finding = Finding::note("audit", &pending, "the last command has no entry yet");
        findings.push(finding.remedy("it gets one when the directory is next used"));
    }
}
