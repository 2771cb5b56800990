//! Reads what stands on the command line for parts of a taxonomy.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Level;
use crate::{
    cli::UsageError,
    domain::{
        priority::{Impact, Priority, PriorityMatrix},
        route::{Precision, RouteSetting},
        sla,
        taxonomy::{ImpactSourceKind, Label},
    },
};

/// `NEW` or `NEW=DESCRIPTION`.
pub(super) fn parse_label(raw: &str) -> Result<Label, String> {
    let (value, description) = raw.split_once('=').unwrap_or((raw, ""));
    if value.trim().is_empty() {
        return Err("the label's name is blank".to_owned());
    }
    Ok(Label::new(value.trim(), description.trim()))
}

pub(super) fn parse_priority(raw: &str) -> Result<Priority, String> {
    Priority::parse(raw).ok_or_else(|| "expected P1 to P5".to_owned())
}

pub(super) fn parse_span(raw: &str) -> Result<Duration, String> {
    sla::parse_span(raw).ok_or_else(|| "expected a time such as 15m, 4h, 1d or 1w".to_owned())
}

pub(super) fn parse_level(raw: &str) -> Result<Level, String> {
    if raw == "none" {
        return Ok(None);
    }
    Impact::parse(raw).map(Some).ok_or_else(|| "expected high, medium, low or none".to_owned())
}

pub(super) fn source_parser() -> impl TypedValueParser<Value = ImpactSourceKind> {
    PossibleValuesParser::new(["service", "ci", "requester"]).map(|name| match name.as_str() {
        "service" => ImpactSourceKind::Service,
        "ci" => ImpactSourceKind::ConfigurationItem,
        _ => ImpactSourceKind::Requester,
    })
}

/// Rows split by `/`, numbers by `,` or by nothing.
pub(super) fn parse_matrix(raw: &str) -> Result<PriorityMatrix, String> {
    let rows: Vec<&str> = raw.split('/').collect();
    let &[high, medium, low] = rows.as_slice() else {
        let count = rows.len();
        return Err(format!(
            "expected three rows, of high, medium and low impact, such as 1,2,3/2,3,4/3,4,5; found {count}"
        ));
    };
    let row = |impact: &str, raw: &str| {
        let cells: Vec<String> = if raw.contains(',') {
            raw.split(',').map(|cell| cell.trim().to_owned()).collect()
        } else {
            raw.trim().chars().map(String::from).collect()
        };
        let [high, medium, low] = cells.as_slice() else {
            return Err(format!(
                "{impact} impact: expected three priorities, for high, medium and low urgency, in `{raw}`"
            ));
        };
        let cell = |raw: &String| {
            let number = raw.trim_start_matches(['P', 'p']).parse().ok();
            number
                .and_then(Priority::new)
                .ok_or_else(|| format!("{impact} impact: `{raw}` is no priority, expected 1 to 5"))
        };
        Ok([cell(high)?, cell(medium)?, cell(low)?])
    };
    Ok(PriorityMatrix::new([row("high", high)?, row("medium", medium)?, row("low", low)?]))
}

pub(super) fn route_setting(route: &str, precision: Option<f64>) -> Result<RouteSetting, UsageError> {
    let setting = match route {
        "off" => RouteSetting::Off,
        "monitor" => RouteSetting::Monitor,
        "autofill" => {
            let asked = precision.map_or(Some(Precision::default()), Precision::new);
            let (least, most) = (Precision::LEAST, Precision::MOST);
            let refused = || UsageError(format!("--precision: must be from {least} to {most}"));
            return asked.map(RouteSetting::Autofill).ok_or_else(refused);
        }
        _ => RouteSetting::Recommend,
    };
    match precision {
        Some(_) => Err(UsageError(format!("--precision: only autofill takes one, and the route is {route}"))),
        None => Ok(setting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_read_with_and_without_commas_and_holes_are_named() {
        for raw in ["1,2,3/2,3,4/3,4,5", "123/234/345", "P1, P2, P3/2,3,4/345"] {
            assert_eq!(parse_matrix(raw).unwrap(), PriorityMatrix::default(), "{raw}");
        }
        for (raw, expected) in [
            ("1,2,3/2,,4/3,4,5", "medium impact: `` is no priority"),
            ("123/24/345", "medium impact: expected three priorities"),
            ("123/234", "found 2"),
            ("129/234/345", "high impact: `9` is no priority"),
        ] {
            let error = parse_matrix(raw).unwrap_err();
            assert!(error.contains(expected), "{raw}: {error}");
        }
    }
}
