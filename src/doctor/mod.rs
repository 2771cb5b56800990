//! What is wrong with a data directory, and what to do about it. Looking changes nothing; mending removes leftovers and
//! takes rights away, and leaves what the database holds as it is. Indexes are mended by whoever can make them.

mod files;
mod kept;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::files::rights;
use crate::{
    encode::Encoders,
    store::{DirectoryLock, StoreError},
};

/// How much something is worth saying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong.
    Note,
    /// It works, and should be looked after.
    Warning,
    /// It does not work, or something is lost.
    Error,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What mends a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    Remove,
    /// Nobody but this user may read it.
    Restrict,
    /// Opening the directory's indexes builds anew what must be.
    Indexes,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at.
    pub check: &'static str,
    pub place: PathBuf,
    pub problem: String,
    /// What to do.
    pub remedy: String,
    pub mend: Option<Mend>,
    pub is_mended: bool,
}

impl Finding {
    fn new(severity: Severity, check: &'static str, place: &Path, problem: impl Into<String>) -> Self {
        let (problem, remedy) = (problem.into(), String::new());
        Self { severity, check, place: place.to_owned(), problem, remedy, mend: None, is_mended: false }
    }

    fn error(check: &'static str, place: &Path, problem: impl Into<String>) -> Self {
        Self::new(Severity::Error, check, place, problem)
    }

    fn warning(check: &'static str, place: &Path, problem: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, place, problem)
    }

    fn note(check: &'static str, place: &Path, problem: impl Into<String>) -> Self {
        Self::new(Severity::Note, check, place, problem)
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    fn mended_by(self, mend: Mend) -> Self {
        Self { mend: Some(mend), ..self }
    }
}

/// A process that holds the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Where it is known.
    pub pid: Option<u32>,
}

/// What was found in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The other process that holds it.
    pub holder: Option<Holder>,
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing is wrong, or no longer.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note || finding.is_mended)
    }

    /// Mends what can be mended. `indexes` opens the indexes of the directory, which builds anew what must be.
    ///
    /// The caller knows that nobody holds the directory.
    pub fn mend(&mut self, indexes: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        for finding in &mut self.findings {
            match &finding.mend {
                Some(Mend::Remove) => remove(&finding.place)?,
                Some(Mend::Restrict) => files::restrict(&finding.place)?,
                Some(Mend::Indexes) | None => continue,
            }
            finding.is_mended = true;
        }
        let is_of_index = |finding: &Finding| finding.mend == Some(Mend::Indexes);
        if self.findings.iter().any(is_of_index) {
            indexes()?;
            for finding in self.findings.iter_mut().filter(|finding| is_of_index(finding)) {
                finding.is_mended = true;
            }
        }
        Ok(())
    }
}

/// Looks at everything in a data directory that has a database. Bundles are read with `encoders`.
pub fn examine(directory: &Path, encoders: &Encoders) -> Result<Report, StoreError> {
    // Held while it is looked at, so that nobody begins to change it.
    let (hold, holder) = match DirectoryLock::take(directory) {
        Ok(lock) => (Some(lock), None),
        Err(StoreError::Held { pid, .. }) => (None, Some(Holder { pid })),
        Err(error) => return Err(error),
    };
    let is_held_elsewhere = hold.is_none();
    let mut findings = files::rights(directory);
    findings.extend(files::room(directory));
    findings.extend(kept::database(directory, encoders, is_held_elsewhere));
    if !is_held_elsewhere {
        findings.extend(files::leftovers(directory));
    }
    drop(hold);
    Ok(Report { holder, findings })
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
