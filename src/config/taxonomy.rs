//! Reads a taxonomy file, or the default taxonomy, and checks it; writes one so that it reads the same.

mod labels;
mod routes;
mod write;

use std::{collections::BTreeMap, path::Path};

use figment::{
    Figment,
    providers::{Format as _, Toml},
    value::Value,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

pub use self::write::write;
use super::ConfigError;
use crate::domain::{
    priority::{Impact, Priority, PriorityMatrix},
    sla::{SlaTarget, SlaTargets, parse_span},
    taxonomy::{ImpactSource, ImpactSourceKind, Taxonomy},
};

const DEFAULT: &str = include_str!("../../models/default/taxonomy.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTaxonomy {
    version: String,
    #[serde(default = "restricts")]
    restricts: bool,
    matrix: RawMatrix,
    #[serde(default)]
    groups: BTreeMap<String, String>,
    #[serde(default)]
    impact: Vec<RawImpactSource>,
    #[serde(default)]
    sla: BTreeMap<String, RawTarget>,
    #[serde(default)]
    fields: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    aliases: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    routes: BTreeMap<String, Value>,
}

fn restricts() -> bool {
    true
}

/// Rows that may have holes, which are named with everything else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMatrix {
    #[serde(default)]
    high: Vec<u8>,
    #[serde(default)]
    medium: Vec<u8>,
    #[serde(default)]
    low: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    response: String,
    resolution: String,
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
    let Some(path) = path else {
        return parse(DEFAULT).map(|taxonomy| with_version(Taxonomy { restricts: false, ..taxonomy }));
    };
    let named = |problem: String| format!("taxonomy {}: {problem}", path.display());
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError { problems: vec![named(error.to_string())] })?;
    parse(&text).map_err(|error| ConfigError { problems: error.problems.into_iter().map(named).collect() })
}

/// Reads the text of a taxonomy file.
pub fn parse(text: &str) -> Result<Taxonomy, ConfigError> {
    read(text, true)
}

/// Reads what was written by [`write`], maybe when less was checked.
pub fn parse_kept(text: &str) -> Result<Taxonomy, ConfigError> {
    read(text, false)
}

fn read(text: &str, is_from_outside: bool) -> Result<Taxonomy, ConfigError> {
    let raw: RawTaxonomy = Figment::from(Toml::string(text)).extract().map_err(|errors| ConfigError {
        problems: errors.into_iter().map(|error| format!("{}: {}", error.path.join("."), error.kind)).collect(),
    })?;
    let mut problems = Vec::new();
    if raw.version.trim().is_empty() {
        problems.push("version: the taxonomy has no name".to_owned());
    }
    let matrix = parse_matrix(&raw.matrix, &mut problems);
    let impact_sources = parse_impact_sources(raw.impact, &mut problems);
    let sla = parse_sla(&raw.sla, &mut problems);
    let (fields, retired) = labels::parse(raw.fields, &mut problems);
    let mut taxonomy = Taxonomy {
        version: raw.version,
        fields,
        retired,
        aliases: raw.aliases,
        restricts: raw.restricts,
        matrix: matrix.clone().unwrap_or_default(),
        groups: raw.groups,
        impact_sources,
        routes: routes::parse(raw.routes, &mut problems),
        sla,
    };
    if is_from_outside {
        problems.extend(taxonomy.unseen().iter().map(ToString::to_string));
    }
    let circles = taxonomy.flatten_aliases();
    problems.extend(circles.iter().map(ToString::to_string));
    if circles.is_empty() {
        problems.extend(taxonomy.violations().iter().map(ToString::to_string));
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    // Its name so far, which may hold anything.
    taxonomy.version.push('+');
    Ok(with_version(taxonomy))
}

/// The same with the version that its content has: the name, and a hash of what it says. Comments and the order of
/// tables in a file make no other version, and a change that is taken back gives the one of before.
#[must_use]
pub fn with_version(taxonomy: Taxonomy) -> Taxonomy {
    let hash = format!("{:x}", Sha256::digest(write(&taxonomy)));
    let version = format!("{}+{}", taxonomy.name(), &hash[..8]);
    Taxonomy { version, ..taxonomy }
}

fn parse_matrix(raw: &RawMatrix, problems: &mut Vec<String>) -> Option<PriorityMatrix> {
    let mut row = |name: &str, numbers: &[u8]| {
        let &[urgent, medium, routine] = numbers else {
            let count = numbers.len();
            problems.push(format!(
                "matrix.{name}: needs a priority for each urgency, high, medium and low: three numbers, not {count}"
            ));
            return None;
        };
        let [Some(urgent), Some(medium), Some(routine)] = [urgent, medium, routine].map(Priority::new) else {
            problems.push(format!("matrix.{name}: {numbers:?} holds a number that is no priority, expected 1 to 5"));
            return None;
        };
        Some([urgent, medium, routine])
    };
    let (high, medium, low) = (row("high", &raw.high), row("medium", &raw.medium), row("low", &raw.low));
    Some(PriorityMatrix::new([high?, medium?, low?]))
}

/// A priority without an entry keeps the usual target.
fn parse_sla(raw: &BTreeMap<String, RawTarget>, problems: &mut Vec<String>) -> SlaTargets {
    let mut targets = SlaTargets::default();
    for (name, RawTarget { response, resolution }) in raw {
        let mut wrong = |what: String| problems.push(format!("sla.{name}{what}"));
        let Some(priority) = Priority::parse(name) else {
            wrong(": must be one of P1 to P5".to_owned());
            continue;
        };
        let mut span = |key: &str, raw: &str| {
            let span = parse_span(raw);
            if span.is_none() {
                wrong(format!(".{key}: `{raw}` is no time such as 15m, 4h, 1d or 1w"));
            }
            span
        };
        if let (Some(response), Some(resolution)) = (span("response", response), span("resolution", resolution)) {
            match SlaTarget::new(response, resolution) {
                Ok(target) => targets = targets.with(priority, target),
                Err(problem) => wrong(format!(": {problem}")),
            }
        }
    }
    targets
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

#[cfg(test)]
mod tests;
