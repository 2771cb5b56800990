//! What an entry of the audit log says. It has no place for the text of a ticket or an article.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    domain::model::EMBEDDED,
    store::{Store, StoreError},
};

/// Ids that an entry names; of more it says only how many there were.
const MAX_SUBJECTS: usize = 16;
/// What a caller, a command or an id may be long.
const MAX_CHARS: usize = 300;
/// Where there were more ids.
const SUBJECTS: &str = "subjects";

/// Who did what, when, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) caller: String,
    pub(super) action: String,
    pub(super) outcome: String,
    pub(super) details: Details,
}

/// Ids of what something is done to: the first of them, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subjects {
    first: Vec<String>,
    count: u64,
}

impl Subjects {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Extend<&'a str> for Subjects {
    fn extend<I: IntoIterator<Item = &'a str>>(&mut self, ids: I) {
        for id in ids {
            self.count += 1;
            if self.first.len() < MAX_SUBJECTS {
                self.first.push(shortened(id));
            }
        }
    }
}

impl<'a> FromIterator<&'a str> for Subjects {
    fn from_iter<I: IntoIterator<Item = &'a str>>(ids: I) -> Self {
        let mut subjects = Self::default();
        subjects.extend(ids);
        subjects
    }
}

/// What belongs to some entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    #[serde(default, skip_serializing_if = "Versions::is_empty")]
    pub versions: Versions,
    /// Ids of what it was done to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
}

/// What served, or was in force, behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taxonomy: Option<String>,
    /// The change to articles, and to confirmed tickets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knowledge: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Versions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that a data directory keeps now.
    pub fn kept_in(store: &Store) -> Result<Self, StoreError> {
        let active = store.last_activation()?.map(|activation| activation.model);
        let model =
            active.filter(|model| !model.is_embedded).map_or_else(|| EMBEDDED.to_owned(), |model| model.version);
        Ok(Self {
            model: Some(model),
            taxonomy: store.latest_taxonomy()?.map(|taxonomy| taxonomy.version),
            knowledge: Some(store.last_change()?),
            memory: Some(store.last_memory_change()?),
        })
    }
}

impl AuditEntry {
    /// An entry of now. `action` is a method or a command, `outcome` the name of a gRPC code or what became of a command.
    pub fn new(caller: &str, action: &str, outcome: &str) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            caller: shortened(caller),
            action: shortened(action),
            outcome: shortened(outcome),
            details: Details::default(),
        }
    }

    #[must_use]
    pub fn with_versions(mut self, versions: Versions) -> Self {
        self.details.versions = versions;
        self
    }

    /// Names the first of these ids, and says how many there were where there are more.
    #[must_use]
    pub fn with_subjects(mut self, Subjects { first, count }: Subjects) -> Self {
        if count > first.len() as u64 {
            self = self.with_count(SUBJECTS, count);
        }
        self.details.subjects = first;
        self
    }

    #[must_use]
    pub fn with_count(mut self, name: &str, count: u64) -> Self {
        self.details.counts.insert(name.to_owned(), count);
        self
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_bounded_whatever_it_is_told() {
        let long = "x".repeat(1_000);
        let ids: Vec<String> = (0..40).map(|n| format!("KB{n}-{long}")).collect();
        let entry = AuditEntry::new(&long, &long, &long).with_subjects(ids.iter().map(String::as_str).collect());
        assert_eq!(
            (entry.caller.len(), entry.details.subjects.len(), entry.details.subjects[0].len()),
            (MAX_CHARS, MAX_SUBJECTS, MAX_CHARS)
        );
        assert_eq!(entry.details.counts[SUBJECTS], 40);
        let few = AuditEntry::new("a", "b", "OK").with_subjects(["KB1"].into_iter().collect());
        assert_eq!(serde_json::to_string(&few.details).unwrap(), r#"{"subjects":["KB1"]}"#);
    }

    #[test]
    fn versions_are_those_of_the_data_directory() {
        let folder = tempfile::tempdir().unwrap();
        let versions = Versions::kept_in(&Store::open(folder.path()).unwrap()).unwrap();
        let expected =
            Versions { model: Some(EMBEDDED.to_owned()), taxonomy: None, knowledge: Some(0), memory: Some(0) };
        assert_eq!(versions, expected);
    }
}
