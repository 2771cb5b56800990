//! Which taxonomy is in force, and how it is changed while it is: checked, kept for good, and only then served. The file
//! that the configuration names is the truth where there is one; else it is the last version kept in the data directory,
//! and before the first change the default taxonomy.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    config::taxonomy::{parse, parse_kept, with_version, write},
    domain::taxonomy::{FieldDifference, Taxonomy, TaxonomyChange, TaxonomyDifference},
    encode::Redactor,
    error::{FieldViolation, TriageError},
    store::{NewTaxonomy, Store, TaxonomyRecord},
    triage::Triager,
};

/// The taxonomies of one data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Taxonomies {
    store: Store,
    /// The file that is the truth.
    file: Option<Arc<Path>>,
}

/// What is to be made of the taxonomy in force.
#[derive(Debug, Clone, PartialEq)]
pub enum Revision {
    /// These changes, one after the other.
    Changes(Vec<TaxonomyChange>),
    /// What the text of a taxonomy file says.
    Document(String),
    /// The version of this number again.
    Version(u64),
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRevision {
    pub revision: Revision,
    /// Refuse it where another version is in force by now.
    pub expected_version: Option<String>,
    /// As whoever asks calls themselves; may be empty.
    pub changed_by: String,
}

impl NewRevision {
    /// In one revision.
    pub const MAX_CHANGES: usize = 1_000;
    pub const MAX_NAME_CHARS: usize = 256;
    /// Of a taxonomy as a file: every change keeps the whole, and calls carry it.
    pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
}

/// For the log, which need not hold the change of thousands of labels.
const LOGGED_CHANGES: usize = 20;

/// What changed, in one line for the log.
pub fn in_one_line(changes: &[String]) -> String {
    let line = changes[..changes.len().min(LOGGED_CHANGES)].join("; ");
    match changes.len().saturating_sub(LOGGED_CHANGES) {
        0 => line,
        more => format!("{line}; and {more} more"),
    }
}

/// A taxonomy that may take the place of the one in force.
#[derive(Debug, Clone)]
pub struct Revised {
    /// As it is in force; the same where nothing changes.
    pub taxonomy: Arc<Taxonomy>,
    pub difference: TaxonomyDifference,
    /// What works but is probably not meant.
    pub warnings: Vec<String>,
    /// Confirmed tickets that bear a label which means something else now.
    pub concerned_tickets: u64,
    /// Whether there is anything to keep.
    pub is_new: bool,
}

/// What a revision did, or would do, for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// In force from now on, or that would be.
    pub version: String,
    /// `None` where nothing was kept.
    pub number: Option<u64>,
    pub fields: Vec<FieldDifference>,
    /// Everything that changed, as sentences.
    pub changes: Vec<String>,
    pub warnings: Vec<String>,
    pub concerned_tickets: u64,
}

impl Revised {
    /// With the number that it was kept under.
    pub fn outcome(&self, number: Option<u64>) -> Outcome {
        let Self { taxonomy, difference, warnings, concerned_tickets, is_new: _ } = self;
        Outcome {
            version: taxonomy.version.clone(),
            number,
            fields: difference.fields.clone(),
            changes: difference.sentences(),
            warnings: warnings.clone(),
            concerned_tickets: *concerned_tickets,
        }
    }
}

impl Taxonomies {
    /// `file` is the taxonomy file of the configuration.
    pub fn new(store: Store, file: Option<&Path>) -> Self {
        Self { store, file: file.map(Arc::from) }
    }

    /// Where it is read from, and cannot be changed otherwise.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The taxonomy in force, where the configuration names or implies this one.
    pub fn in_force(&self, configured: &Taxonomy) -> Result<Arc<Taxonomy>, TriageError> {
        let kept = if self.file.is_some() { None } else { self.store.latest_taxonomy()? };
        let taxonomy = kept.map_or_else(|| Ok(configured.clone()), |record| read(&record));
        taxonomy.map(Arc::new)
    }

    /// The number of the version in force; `None` where none is kept, or a file is the truth.
    pub fn number(&self) -> Result<Option<u64>, TriageError> {
        let latest = if self.file.is_some() { None } else { self.store.latest_taxonomy()? };
        Ok(latest.map(|latest| latest.number))
    }

    /// What the revision would make of the taxonomy that decides with `triager`; changes nothing.
    ///
    /// Errors: `InvalidRequest` with everything that is wrong; `TaxonomyInFile` and `TaxonomyChanged` where it is not to
    /// be changed; `NotFound` for a version that is not kept.
    pub fn plan(&self, triager: &Triager, asked: &NewRevision) -> Result<Revised, TriageError> {
        let NewRevision { revision, expected_version, changed_by } = asked;
        if let Some(file) = &self.file {
            return Err(TriageError::TaxonomyInFile { file: PathBuf::from(&**file) });
        }
        check_name(changed_by)?;
        let (now, learnt) = (triager.taxonomy(), triager.learnt_labels());
        if let Some(expected) = expected_version.as_ref().filter(|expected| **expected != now.version) {
            return Err(TriageError::TaxonomyChanged { expected: expected.clone(), found: now.version.clone() });
        }
        let taxonomy = match revision {
            Revision::Changes(changes) => {
                let count = changes.len();
                if !(1..=NewRevision::MAX_CHANGES).contains(&count) {
                    let most = NewRevision::MAX_CHANGES;
                    return Err(TriageError::invalid("changes", format!("must be 1 to {most}, are {count}")));
                }
                let changed = now.changed(changes, &learnt).map_err(TriageError::InvalidRequest)?;
                check_size(redacted(changed, triager.redactor()), "changes")?
            }
            Revision::Document(text) => {
                let parsed = parse(text).map_err(|error| {
                    let problems = error.problems.into_iter();
                    let violations = problems.map(|problem| FieldViolation::new("document", problem));
                    TriageError::InvalidRequest(violations.collect())
                })?;
                check_size(redacted(parsed, triager.redactor()), "document")?
            }
            Revision::Version(number) => {
                let kept = self.store.taxonomy(*number)?;
                let unknown = || TriageError::NotFound { resource: "taxonomy version", id: number.to_string() };
                read(&kept.ok_or_else(unknown)?)?
            }
        };
        let difference = TaxonomyDifference::between(now, &taxonomy, &learnt);
        let concerned = difference.concerned(now);
        let concerned_tickets = if concerned.is_empty() { 0 } else { self.store.count_tickets_labelled(&concerned)? };
        let is_new = taxonomy.version != now.version;
        let taxonomy = Arc::new(taxonomy);
        let mut warnings = taxonomy.warnings();
        warnings.extend(triager.with_taxonomy(Arc::clone(&taxonomy)).mismatches());
        Ok(Revised { taxonomy, difference, warnings, concerned_tickets, is_new })
    }

    /// Keeps what was planned, for good, and says its number. `now` is the taxonomy that it was planned for, and still
    /// in force.
    pub fn keep(&self, now: &Taxonomy, revised: &Revised, changed_by: &str) -> Result<u64, TriageError> {
        let Revised { taxonomy, difference, .. } = revised;
        let changed_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (document, before, changes) = (write(taxonomy), write(now), difference.sentences());
        let before = NewTaxonomy { version: &now.version, document: &before, changed_by: "", changed_at, changes: &[] };
        let new =
            NewTaxonomy { version: &taxonomy.version, document: &document, changed_by, changed_at, changes: &changes };
        Ok(self.store.keep_taxonomy(before, new)?)
    }

    /// Versions that are kept, the latest first, below the number `before` and without their documents; and whether older
    /// ones follow.
    pub fn list(&self, before: Option<u64>, limit: usize) -> Result<(Vec<TaxonomyRecord>, bool), TriageError> {
        Ok(self.store.list_taxonomies(before, limit)?)
    }
}

fn check_name(name: &str) -> Result<(), TriageError> {
    let most = NewRevision::MAX_NAME_CHARS;
    if name.chars().count() > most || name.chars().any(char::is_control) {
        let problem = format!("must be at most {most} characters that can be printed");
        return Err(TriageError::invalid("changed_by", problem));
    }
    Ok(())
}

/// Examples are texts of tickets, and are kept.
fn redacted(mut taxonomy: Taxonomy, redactor: &Redactor) -> Taxonomy {
    let labels = taxonomy.fields.values_mut().chain(taxonomy.retired.values_mut()).flatten();
    for example in labels.flat_map(|label| &mut label.examples) {
        if let Cow::Owned(redacted) = redactor.redacted(example) {
            *example = redacted;
        }
    }
    with_version(taxonomy)
}

fn check_size(taxonomy: Taxonomy, field: &str) -> Result<Taxonomy, TriageError> {
    let (bytes, most) = (write(&taxonomy).len(), NewRevision::MAX_DOCUMENT_BYTES);
    if bytes > most {
        let problem = format!("the taxonomy would be a file of {bytes} bytes, more than {most}");
        return Err(TriageError::invalid(field, problem));
    }
    Ok(taxonomy)
}

/// What this program wrote, or one before it.
fn read(record: &TaxonomyRecord) -> Result<Taxonomy, TriageError> {
    parse_kept(&record.document).map_err(|error| {
        let TaxonomyRecord { number, version, .. } = record;
        TriageError::internal(format!("version {number} of the taxonomy, {version}, cannot be read: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::Classifier,
        config::taxonomy::load,
        domain::{
            memory::ConfirmedTicket,
            taxonomy::{CATEGORY, Label},
        },
    };

    struct Desk {
        taxonomies: Taxonomies,
        triager: Triager,
        folder: tempfile::TempDir,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let taxonomies = Taxonomies::new(Store::open(folder.path()).unwrap(), None);
            let taxonomy = taxonomies.in_force(&load(None).unwrap()).unwrap();
            let triager = Triager::new(Classifier::embedded().unwrap(), taxonomy, None, None).unwrap();
            Self { taxonomies, triager, folder }
        }

        fn asked(revision: Revision) -> NewRevision {
            NewRevision { revision, expected_version: None, changed_by: "ann".to_owned() }
        }

        fn revise(&mut self, revision: Revision) -> Revised {
            let revised = self.taxonomies.plan(&self.triager, &Self::asked(revision)).unwrap();
            self.taxonomies.keep(self.triager.taxonomy(), &revised, "ann").unwrap();
            self.triager = self.triager.with_taxonomy(Arc::clone(&revised.taxonomy));
            revised
        }

        /// The same after a restart.
        fn reopened(self) -> Self {
            let Self { taxonomies, triager, folder } = self;
            drop(taxonomies);
            let taxonomies = Taxonomies::new(Store::open(folder.path()).unwrap(), None);
            let taxonomy = taxonomies.in_force(&load(None).unwrap()).unwrap();
            Self { taxonomies, triager: triager.with_taxonomy(taxonomy), folder }
        }
    }

    fn rename(from: &str, to: &str) -> Revision {
        let change = TaxonomyChange::Rename { field: CATEGORY.into(), from: from.into(), to: to.into() };
        Revision::Changes(vec![change])
    }

    #[test]
    fn what_was_kept_is_in_force_after_a_restart_and_every_version_can_be_brought_back() {
        let mut desk = Desk::new();
        let default = desk.triager.taxonomy().clone();
        let labels = |topic: &str| [("category".to_owned(), topic.to_owned())].into();
        let ticket = |id: &str, topic: &str| ConfirmedTicket {
            id: id.into(),
            labels: labels(topic),
            ..ConfirmedTicket::default()
        };
        let tickets = [ticket("1", "network/vpn"), ticket("2", "hardware/printer"), ticket("3", "network/wifi")];
        desk.taxonomies.store.upsert_memory_tickets(&tickets).unwrap();

        let renamed = desk.revise(rename("network", "net"));
        assert_eq!((renamed.concerned_tickets, renamed.is_new), (1, true));
        let label =
            Label { examples: vec!["the badge reader is dead".into()], ..Label::new("facilities/badges", "Badges.") };
        desk.revise(Revision::Changes(vec![TaxonomyChange::AddLabel { field: CATEGORY.into(), label }]));
        let latest = desk.triager.taxonomy().clone();
        let mut desk = desk.reopened();
        assert_eq!(desk.triager.taxonomy(), &latest);
        assert_eq!(desk.triager.taxonomy().current(CATEGORY, "network/vpn"), Some("net/vpn"));
        assert_eq!(desk.taxonomies.number().unwrap(), Some(3));
        let (records, more) = desk.taxonomies.list(None, 10).unwrap();
        let authors: Vec<_> = records.iter().map(|record| (record.number, record.changed_by.as_str())).collect();
        assert_eq!((authors, more), (vec![(3, "ann"), (2, "ann"), (1, "")], false));
        assert_eq!(records[0].changes, ["category: added facilities/badges"]);

        desk.revise(Revision::Version(1));
        assert_eq!(desk.triager.taxonomy(), &default);
        let export = write(&latest);
        let applied = desk.revise(Revision::Document(export));
        assert_eq!(applied.taxonomy, latest);
        assert_eq!(desk.taxonomies.number().unwrap(), Some(5));
    }

    #[test]
    fn what_is_not_to_be_changed_stays() {
        let desk = Desk::new();
        let refused = |taxonomies: &Taxonomies, asked: NewRevision| taxonomies.plan(&desk.triager, &asked).unwrap_err();
        let stale = NewRevision { expected_version: Some("x+1".into()), ..Desk::asked(rename("network", "net")) };
        assert_eq!(refused(&desk.taxonomies, stale).reason(), "TAXONOMY_CHANGED");
        let long = NewRevision { changed_by: "x".repeat(257), ..Desk::asked(rename("network", "net")) };
        for asked in [
            Desk::asked(Revision::Changes(Vec::new())),
            Desk::asked(Revision::Document("version = 1".into())),
            Desk::asked(rename("hardware/printer", "hardware/mobile")),
            long,
        ] {
            assert_eq!(refused(&desk.taxonomies, asked).reason(), "INVALID_REQUEST");
        }
        assert_eq!(refused(&desk.taxonomies, Desk::asked(Revision::Version(1))).reason(), "NOT_FOUND");
        let in_file = Taxonomies::new(desk.taxonomies.store.clone(), Some(Path::new("/etc/taxonomy.toml")));
        let error = refused(&in_file, Desk::asked(rename("network", "net")));
        assert!(error.to_string().contains("/etc/taxonomy.toml") && error.to_string().contains("SIGHUP"), "{error}");
        assert_eq!(desk.taxonomies.number().unwrap(), None);
    }

    #[test]
    fn examples_are_kept_without_what_must_not_be_kept() {
        let mut desk = Desk::new();
        let examples = vec!["badge of ann.smith@desk.example does not open the gate".to_owned()];
        let label = Label { examples, ..Label::new("facilities/badges", "") };
        desk.revise(Revision::Changes(vec![TaxonomyChange::AddLabel { field: CATEGORY.into(), label }]));
        let document = desk.taxonomies.store.latest_taxonomy().unwrap().unwrap().document;
        assert!(!document.contains("ann.smith") && document.contains("does not open the gate"), "{document}");
        let again = desk.taxonomies.plan(&desk.triager, &Desk::asked(Revision::Document(document))).unwrap();
        assert!(!again.is_new);
    }

    #[test]
    fn a_taxonomy_that_no_call_could_carry_is_refused() {
        let desk = Desk::new();
        let label = |number: usize| Label::new(format!("new/{number}"), "x".repeat(4_000));
        let changes = (0..300).map(|number| TaxonomyChange::AddLabel { field: CATEGORY.into(), label: label(number) });
        let error =
            desk.taxonomies.plan(&desk.triager, &Desk::asked(Revision::Changes(changes.collect()))).unwrap_err();
        assert!(error.to_string().contains("more than 1048576"), "{error}");
    }

    #[test]
    fn the_same_again_is_nothing_new() {
        let desk = Desk::new();
        let document = write(desk.triager.taxonomy());
        let same = desk.taxonomies.plan(&desk.triager, &Desk::asked(Revision::Document(document))).unwrap();
        assert!(!same.is_new && same.difference.is_empty());
    }
}
