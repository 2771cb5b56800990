//! What the desk sorts tickets into: fields with their labels and routes, the priority matrix, the groups that
//! take the tickets, and the services and people that raise impact.

use std::collections::BTreeMap;

use super::{
    priority::{Impact, PriorityMatrix},
    route::RouteSetting,
};

/// Field names with a meaning of their own.
pub const TYPE: &str = "type";
pub const CATEGORY: &str = "category";
pub const IMPACT: &str = "impact";
pub const URGENCY: &str = "urgency";
pub const PRIORITY: &str = "priority";
pub const ASSIGNMENT_GROUP: &str = "assignment_group";

/// The desk's taxonomy. `config::taxonomy` reads it from a file and checks it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taxonomy {
    /// As the file names it, followed by a hash of its content.
    pub version: String,
    /// Labels of a field, by field name; a field not named here has the labels the model knows.
    pub fields: BTreeMap<String, Vec<Label>>,
    /// Whether only the labels in `fields` may be proposed. The default taxonomy only describes them, so that a
    /// desk's own model keeps its own labels.
    pub restricts: bool,
    pub matrix: PriorityMatrix,
    /// Assignment group by category or its first level.
    pub groups: BTreeMap<String, String>,
    pub impact_sources: Vec<ImpactSource>,
    /// What may be done with a field's value, by field name; a field not named here is recommended.
    pub routes: BTreeMap<String, RouteSetting>,
}

/// One value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Levels are separated by `/`.
    pub value: String,
    /// What belongs under it, for people; may be empty.
    pub description: String,
}

/// A service, CI or requester that makes every ticket about it at least this grave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImpactSource {
    pub kind: ImpactSourceKind,
    pub name: String,
    pub impact: Impact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Whether `label` may be proposed for `field`.
    pub fn allows(&self, field: &str, label: &str) -> bool {
        let listed = |labels: &Vec<Label>| labels.iter().any(|known| known.value == label);
        !self.restricts || self.fields.get(field).is_none_or(listed)
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
}
