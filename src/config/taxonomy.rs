//! Reads a taxonomy file, or the default taxonomy, and checks it.

use std::{collections::BTreeMap, path::Path};

use figment::{
    Figment,
    providers::{Format as _, Toml},
    value::Value,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::ConfigError;
use crate::domain::{
    priority::{Impact, Priority, PriorityMatrix, Urgency},
    route::{Precision, RouteSetting},
    taxonomy::{self, ImpactSource, ImpactSourceKind, Label, Taxonomy},
};

const DEFAULT: &str = include_str!("../../models/default/taxonomy.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTaxonomy {
    version: String,
    matrix: RawMatrix,
    #[serde(default)]
    groups: BTreeMap<String, String>,
    #[serde(default)]
    impact: Vec<RawImpactSource>,
    #[serde(default)]
    fields: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    routes: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMatrix {
    high: [u8; 3],
    medium: [u8; 3],
    low: [u8; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImpactSource {
    service: Option<String>,
    configuration_item: Option<String>,
    requester: Option<String>,
    impact: String,
}

/// Reads the taxonomy at `path`, or the default one.
pub fn load(path: Option<&Path>) -> Result<Taxonomy, ConfigError> {
    let Some(path) = path else { return parse(DEFAULT).map(|taxonomy| Taxonomy { restricts: false, ..taxonomy }) };
    let named = |problem: String| format!("taxonomy {}: {problem}", path.display());
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError { problems: vec![named(error.to_string())] })?;
    parse(&text).map_err(|error| ConfigError { problems: error.problems.into_iter().map(named).collect() })
}

fn parse(text: &str) -> Result<Taxonomy, ConfigError> {
    let raw: RawTaxonomy = Figment::from(Toml::string(text)).extract().map_err(|errors| ConfigError {
        problems: errors.into_iter().map(|error| format!("{}: {}", error.path.join("."), error.kind)).collect(),
    })?;
    let mut problems = Vec::new();
    let matrix = parse_matrix(&raw.matrix, &mut problems);
    let impact_sources = parse_impact_sources(raw.impact, &mut problems);
    check_fields(&raw.fields, &mut problems);
    check_groups(&raw.groups, raw.fields.get(taxonomy::CATEGORY), &mut problems);
    let routes = parse_routes(raw.routes, &mut problems);
    let (Some(matrix), true) = (matrix, problems.is_empty()) else {
        return Err(ConfigError { problems });
    };
    let hash = format!("{:x}", Sha256::digest(text));
    let labels = |labels: BTreeMap<String, String>| {
        labels.into_iter().map(|(value, description)| Label { value, description }).collect()
    };
    Ok(Taxonomy {
        version: format!("{}+{}", raw.version, &hash[..8]),
        fields: raw.fields.into_iter().map(|(field, values)| (field, labels(values))).collect(),
        restricts: true,
        matrix,
        groups: raw.groups,
        impact_sources,
        routes,
    })
}

fn parse_matrix(raw: &RawMatrix, problems: &mut Vec<String>) -> Option<PriorityMatrix> {
    let mut row = |name: &str, numbers: [u8; 3]| {
        let [Some(urgent), Some(medium), Some(routine)] = numbers.map(Priority::new) else {
            problems.push(format!("matrix.{name}: {numbers:?} holds a number that is no priority, expected 1 to 5"));
            return None;
        };
        Some([urgent, medium, routine])
    };
    let (high, medium, low) = (row("high", raw.high), row("medium", raw.medium), row("low", raw.low));
    Some(PriorityMatrix::new([high?, medium?, low?]))
}

fn parse_impact_sources(raw: Vec<RawImpactSource>, problems: &mut Vec<String>) -> Vec<ImpactSource> {
    let mut sources = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let named = [
            (ImpactSourceKind::Service, raw.service),
            (ImpactSourceKind::ConfigurationItem, raw.configuration_item),
            (ImpactSourceKind::Requester, raw.requester),
        ];
        let mut named = named.into_iter().filter_map(|(kind, name)| Some((kind, name?)));
        match (named.next(), named.next(), Impact::parse(&raw.impact)) {
            (Some((kind, name)), None, Some(impact)) if !name.trim().is_empty() => {
                sources.push(ImpactSource { kind, name: name.trim().to_owned(), impact });
            }
            (_, _, None) => {
                problems.push(format!("impact[{index}].impact: `{}` is not high, medium or low", raw.impact));
            }
            _ => problems.push(format!("impact[{index}]: name one of service, configuration_item and requester")),
        }
    }
    sources
}

/// Whether the model has the field and certifies the precision is known once a bundle is loaded. Read by hand, so
/// that a wrong key or type is named together with everything else.
fn parse_routes(raw: BTreeMap<String, Value>, problems: &mut Vec<String>) -> BTreeMap<String, RouteSetting> {
    let mut routes = BTreeMap::new();
    for (field, value) in raw {
        let mut wrong = |what: String| problems.push(format!("routes.{field}{what}"));
        if field == taxonomy::PRIORITY {
            wrong(": priority follows from impact and urgency and has no route of its own; set theirs".to_owned());
            continue;
        }
        let Value::Dict(_, mut table) = value else {
            wrong(": must be a table, such as { route = \"recommend\" }".to_owned());
            continue;
        };
        let (route, precision) = (table.remove("route"), table.remove("precision"));
        for key in table.keys() {
            wrong(format!(": unknown key `{key}`, expected route or precision"));
        }
        match parse_route(route.as_ref().and_then(Value::as_str), precision.as_ref()) {
            Ok(setting) => drop(routes.insert(field, setting)),
            Err(problem) => wrong(format!(".{problem}")),
        }
    }
    routes
}

fn parse_route(route: Option<&str>, precision: Option<&Value>) -> Result<RouteSetting, String> {
    let setting = match route {
        Some("off") => RouteSetting::Off,
        Some("monitor") => RouteSetting::Monitor,
        Some("recommend") => RouteSetting::Recommend,
        Some("autofill") => {
            let share = |value: &Value| value.deserialize().ok().and_then(Precision::new);
            let asked = precision.map_or_else(|| Some(Precision::default()), share).ok_or_else(|| {
                let (least, most) = (Precision::LEAST, Precision::MOST);
                format!("precision: must be a number from {least} to {most}; 0.95 asks for 95 % right")
            });
            return asked.map(RouteSetting::Autofill);
        }
        Some(unknown) => return Err(format!("route: `{unknown}` is not off, monitor, recommend or autofill")),
        None => return Err("route: must be off, monitor, recommend or autofill, as a string".to_owned()),
    };
    match precision {
        Some(_) => Err(format!("precision: only autofill takes one, and the route is {}", setting.as_str())),
        None => Ok(setting),
    }
}

/// Impact and urgency feed the matrix, so their labels are fixed; priority and group are never predicted from labels.
fn check_fields(fields: &BTreeMap<String, BTreeMap<String, String>>, problems: &mut Vec<String>) {
    for (field, labels) in fields {
        let wrong = match field.as_str() {
            taxonomy::PRIORITY => {
                problems
                    .push("fields.priority: priority follows from the matrix and has no labels of its own".to_owned());
                continue;
            }
            taxonomy::IMPACT => labels.keys().find(|label| Impact::parse(label).is_none()),
            taxonomy::URGENCY => labels.keys().find(|label| Urgency::parse(label).is_none()),
            _ => labels
                .keys()
                .find(|label| label.trim().is_empty() || label.split('/').any(|level| level.trim().is_empty())),
        };
        if let Some(label) = wrong {
            problems.push(format!("fields.{field}: `{label}` cannot be a label of this field"));
        }
        if labels.is_empty() {
            problems.push(format!("fields.{field}: has no labels; leave the field out to take the model's"));
        }
    }
}

/// A group for a category that no ticket can have is a misspelling.
fn check_groups(
    groups: &BTreeMap<String, String>,
    categories: Option<&BTreeMap<String, String>>,
    problems: &mut Vec<String>,
) {
    for (category, group) in groups {
        if group.trim().is_empty() {
            problems.push(format!("groups.{category}: the group has no name"));
        }
        let known = |known: &String| known == category || taxonomy::first_level(known) == category;
        if categories.is_some_and(|categories| !categories.keys().any(known)) {
            problems.push(format!("groups.{category}: fields.category has no such label and no such first level"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRIX: &str = "version = \"x\"\n[matrix]\nhigh = [1, 2, 3]\nmedium = [2, 3, 4]\nlow = [3, 4, 5]\n";

    #[test]
    fn the_default_taxonomy_has_every_field_of_the_guide() {
        let taxonomy = load(None).unwrap();
        let sizes: Vec<_> = taxonomy.fields.iter().map(|(field, labels)| (field.as_str(), labels.len())).collect();
        assert_eq!(sizes, [("category", 30), ("impact", 3), ("type", 5), ("urgency", 3)]);
        assert_eq!(taxonomy.group("network/vpn"), "network");
        assert!(taxonomy.version.starts_with("default-1+"));
    }

    #[test]
    fn problems_are_named_together() {
        let check = |text: &str, expected: &[&str]| {
            let problems = parse(text).unwrap_err().problems.join("\n");
            for part in expected {
                assert!(problems.contains(part), "{part} is missing in\n{problems}");
            }
        };
        check(&MATRIX.replace("4, 5]", "4, 9]"), &["matrix.low: [3, 4, 9]"]);
        check(
            &format!("{MATRIX}[[impact]]\nimpact = \"grave\"\n[[impact]]\nimpact = \"high\"\n"),
            &["impact[0]", "impact[1]"],
        );
        check(
            &format!("{MATRIX}[fields.urgency]\nsoon = \"\"\n[fields.priority]\nP1 = \"\"\n"),
            &["`soon`", "fields.priority"],
        );
        let groups = "[groups]\nnetwrok = \"NOC\"\naccess = \" \"\n[fields.category]\n\"network/vpn\" = \"\"\n";
        check(&format!("{MATRIX}{groups}"), &["groups.netwrok", "groups.access"]);
        let routes = "[routes]\ntype.route = \"auto\"\npriority.route = \"off\"\nurgency = { route = \"off\", precision = 0.9 }\n\
                      category = { route = \"autofill\", precision = 95 }\nimpact = { route = \"autofill\", precision = nan }\n\
                      colour = \"autofill\"\nshape = { route = \"autofill\", precision = \"95 %\", presicion = 1 }\n\
                      size = { precision = 0.9 }\n";
        check(
            &format!("{MATRIX}{groups}{routes}"),
            &[
                "groups.netwrok",
                "routes.type.route: `auto` is not off, monitor, recommend or autofill",
                "routes.priority: priority follows from impact and urgency",
                "routes.urgency.precision: only autofill takes one",
                "routes.category.precision: must be a number from 0.5 to 0.999",
                "routes.impact.precision: must be a number from 0.5 to 0.999",
                "routes.colour: must be a table",
                "routes.shape: unknown key `presicion`",
                "routes.shape.precision: must be a number",
                "routes.size.route: must be off, monitor",
            ],
        );
        check(&format!("{MATRIX}colour = 1\n"), &["colour"]);
        check("version = \"x\"\n", &["matrix"]);
    }

    #[test]
    fn a_field_has_the_route_that_the_file_gives_it() {
        let routes = "[routes.category]\nroute = \"autofill\"\n[routes.type]\nroute = \"autofill\"\nprecision = 0.99\n\
                      [routes.impact]\nroute = \"monitor\"\n[routes.colour]\nroute = \"off\"\n";
        let taxonomy = parse(&format!("{MATRIX}{routes}")).unwrap();
        for (field, expected) in [
            ("category", RouteSetting::Autofill(Precision::new(0.95).unwrap())),
            ("type", RouteSetting::Autofill(Precision::new(0.99).unwrap())),
            ("impact", RouteSetting::Monitor),
            ("colour", RouteSetting::Off),
            ("urgency", RouteSetting::Recommend),
        ] {
            assert_eq!(taxonomy.route(field), expected, "{field}");
        }
        assert!(load(None).unwrap().routes.is_empty());
    }

    #[test]
    fn a_changed_file_has_another_version() {
        let first = parse(MATRIX).unwrap().version;
        assert_ne!(first, parse(&format!("{MATRIX}[groups]\nnetwork = \"NOC\"\n")).unwrap().version);
    }
}
