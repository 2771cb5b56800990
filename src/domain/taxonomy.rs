//! What the desk sorts tickets into: fields with their labels and routes, the priority matrix, the groups that
//! take the tickets, the services and people that raise impact, and how soon tickets are to be solved. What may be
//! changed about it, and how, is in `change.rs`.

mod change;
mod difference;
mod labels;
mod rules;

use std::collections::BTreeMap;

pub use self::{
    change::{LearntLabels, TaxonomyChange},
    difference::{FieldDifference, TaxonomyDifference},
};
use super::{
    priority::{Impact, PriorityMatrix},
    route::RouteSetting,
    sla::SlaTargets,
};

/// Field names with a meaning of their own.
pub const TYPE: &str = "type";
pub const CATEGORY: &str = "category";
pub const IMPACT: &str = "impact";
pub const URGENCY: &str = "urgency";
pub const PRIORITY: &str = "priority";
pub const ASSIGNMENT_GROUP: &str = "assignment_group";

/// Labels of all fields together, retired ones included.
pub const MAX_LABELS: usize = 5_000;

/// The desk's taxonomy. `config::taxonomy` reads it from a file and checks it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taxonomy {
    /// As the file names it, followed by a hash of its content.
    pub version: String,
    /// Active labels of a field in the order of their values, by field name; a field not named here has the labels
    /// the model knows.
    pub fields: BTreeMap<String, Vec<Label>>,
    /// Labels that are never proposed again, as those in `fields`.
    pub retired: BTreeMap<String, Vec<Label>>,
    /// What labels are called now, by field and by the name that they had: each leads to a label of `fields` or
    /// `retired`.
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether only the labels in `fields` may be proposed. The default taxonomy only describes them, so that a
    /// desk's own model keeps its own labels.
    pub restricts: bool,
    pub matrix: PriorityMatrix,
    /// Assignment group by category or its first level.
    pub groups: BTreeMap<String, String>,
    pub impact_sources: Vec<ImpactSource>,
    /// What may be done with a field's value, by field name; a field not named here is recommended.
    pub routes: BTreeMap<String, RouteSetting>,
    pub sla: SlaTargets,
}

/// One value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Label {
    /// Levels are separated by `/`.
    pub value: String,
    /// What belongs under it, for people and for telling tickets of a new label; may be empty.
    pub description: String,
    /// Texts of such tickets, at most [`Label::MAX_EXAMPLES`].
    pub examples: Vec<String>,
}

impl Label {
    pub const MAX_VALUE_CHARS: usize = 1_024;
    pub const MAX_DESCRIPTION_CHARS: usize = 4_096;
    pub const MAX_EXAMPLES: usize = 50;
    pub const MAX_EXAMPLE_CHARS: usize = 1_024;

    /// Without examples.
    pub fn new(value: impl Into<String>, description: impl Into<String>) -> Self {
        Self { value: value.into(), description: description.into(), examples: Vec::new() }
    }
}

/// A service, CI or requester that makes every ticket about it at least this grave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImpactSource {
    pub kind: ImpactSourceKind,
    pub name: String,
    pub impact: Impact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImpactSourceKind {
    Service,
    ConfigurationItem,
    Requester,
}

impl ImpactSourceKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::ConfigurationItem => "configuration_item",
            Self::Requester => "requester",
        }
    }
}

/// The first level of a label such as `network/vpn`.
pub fn first_level(label: &str) -> &str {
    label.split_once('/').map_or(label, |(first, _)| first)
}

/// What is left of a label below `branch`, with its `/`: empty for the branch itself, `None` elsewhere.
fn below<'a>(branch: &str, label: &'a str) -> Option<&'a str> {
    label.strip_prefix(branch).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn find<'a>(labels: &'a [Label], value: &str) -> Option<&'a Label> {
    labels.binary_search_by(|label| label.value.as_str().cmp(value)).ok().map(|place| &labels[place])
}

/// What the labels of one field are called now.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    aliases: Option<&'a BTreeMap<String, String>>,
    retired: &'a [Label],
    /// The only ones that may be proposed; `None`: any that is not retired.
    listed: Option<&'a [Label]>,
}

impl<'a> Names<'a> {
    /// Whether every label may be proposed under the name it has.
    pub fn is_plain(&self) -> bool {
        self.aliases.is_none() && self.retired.is_empty() && self.listed.is_none()
    }

    /// What `label` is called now; `None` where it is never to be proposed.
    pub fn current<'b>(&self, label: &'b str) -> Option<&'b str>
    where
        'a: 'b,
    {
        let name = self.renamed(label);
        let is_gone =
            find(self.retired, name).is_some() || self.listed.is_some_and(|listed| find(listed, name).is_none());
        (!is_gone).then_some(name)
    }

    /// What `label` is called now, whether or not it may be proposed.
    pub fn renamed<'b>(&self, label: &'b str) -> &'b str
    where
        'a: 'b,
    {
        self.aliases.and_then(|aliases| aliases.get(label)).map_or(label, String::as_str)
    }
}

impl Taxonomy {
    /// The group that takes tickets of this category: the category's own, else its first level's,
    /// else the first level's name.
    pub fn group<'a>(&'a self, category: &'a str) -> &'a str {
        let first = first_level(category);
        self.groups.get(category).or_else(|| self.groups.get(first)).map_or(first, String::as_str)
    }

    /// What the desk wants done with the values of `field`.
    pub fn route(&self, field: &str) -> RouteSetting {
        self.routes.get(field).copied().unwrap_or_default()
    }

    /// What the labels of `field` are called now.
    pub fn names(&self, field: &str) -> Names<'_> {
        Names {
            aliases: self.aliases.get(field),
            retired: self.retired.get(field).map(Vec::as_slice).unwrap_or_default(),
            listed: self.fields.get(field).filter(|_| self.restricts).map(Vec::as_slice),
        }
    }

    /// What the label that a model or a ticket has is called now; `None` where it is never to be proposed. For many
    /// labels of a field ask [`Self::names`] once.
    pub fn current<'a>(&'a self, field: &str, label: &'a str) -> Option<&'a str> {
        self.names(field).current(label)
    }

    /// Whether `label` may be proposed for `field`, under this name.
    pub fn allows(&self, field: &str, label: &str) -> bool {
        self.current(field, label) == Some(label)
    }

    /// The active label of this name.
    pub fn label(&self, field: &str, value: &str) -> Option<&Label> {
        find(self.fields.get(field)?, value)
    }

    /// Texts that tell tickets of the active labels: field, label and text, descriptions first. None of a taxonomy
    /// that only describes: its labels may be foreign to the model that serves.
    pub fn examples(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let fields = self.fields.iter().filter(|_| self.restricts);
        let labels = fields.flat_map(|(field, labels)| labels.iter().map(move |label| (field.as_str(), label)));
        labels.flat_map(|(field, label)| {
            let description = Some(label.description.as_str()).filter(|description| !description.trim().is_empty());
            let texts = description.into_iter().chain(label.examples.iter().map(String::as_str));
            texts.map(move |text| (field, label.value.as_str(), text))
        })
    }

    /// Names that a label of `field` had before, in order.
    pub fn former_names(&self, field: &str, value: &str) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.get(field).into_iter().flatten();
        aliases.filter(move |(_, current)| *current == value).map(|(old, _)| old.as_str())
    }

    /// What the version starts with: the name that the file gives.
    pub fn name(&self) -> &str {
        self.version.rsplit_once('+').map_or(&self.version, |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_group_takes_the_ticket() {
        let groups = [("access", "Identity"), ("access/mfa_sso", "Security")]
            .map(|(category, group)| (category.to_owned(), group.to_owned()));
        let taxonomy = Taxonomy { groups: groups.into(), ..Taxonomy::default() };
        for (category, group) in [
            ("access/mfa_sso", "Security"),
            ("access/password", "Identity"),
            ("network/vpn", "network"),
            ("misc", "misc"),
        ] {
            assert_eq!(taxonomy.group(category), group);
        }
    }

    #[test]
    fn a_label_is_known_under_the_name_it_has_now() {
        let of_field = |labels: Vec<Label>| BTreeMap::from([("topic".to_owned(), labels)]);
        let aliases = [("mail", "email"), ("fax", "paper")].map(|(old, new)| (old.to_owned(), new.to_owned()));
        let taxonomy = Taxonomy {
            fields: of_field(vec![Label::new("email", "Mail."), Label::new("vpn", " ")]),
            retired: of_field(vec![Label::new("paper", "")]),
            aliases: [("topic".to_owned(), aliases.into())].into(),
            ..Taxonomy::default()
        };
        let check = |taxonomy: &Taxonomy, label: &str, expected: Option<&str>| {
            assert_eq!(taxonomy.current("topic", label), expected, "{label}, restricts {}", taxonomy.restricts);
        };
        for (label, expected) in
            [("mail", Some("email")), ("email", Some("email")), ("fax", None), ("paper", None), ("odd", Some("odd"))]
        {
            check(&taxonomy, label, expected);
        }
        assert!(taxonomy.names("other").is_plain() && !taxonomy.names("topic").is_plain());
        assert_eq!(taxonomy.examples().count(), 0);
        let restricting = Taxonomy { restricts: true, ..taxonomy };
        check(&restricting, "mail", Some("email"));
        check(&restricting, "odd", None);
        assert_eq!(restricting.current("other", "odd"), Some("odd"));
        assert_eq!(restricting.examples().collect::<Vec<_>>(), [("topic", "email", "Mail.")]);
        assert_eq!(restricting.former_names("topic", "email").collect::<Vec<_>>(), ["mail"]);
    }
}
