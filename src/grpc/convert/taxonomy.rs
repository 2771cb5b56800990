//! Taxonomies and what is changed about them, between wire and domain.

use std::collections::BTreeSet;

use super::{sla_target, wire_route};
use crate::{
    domain::{
        priority::{Impact, Priority, PriorityMatrix, Urgency},
        route::{Precision, RouteSetting},
        sla::SlaTarget,
        taxonomy::{FieldDifference, ImpactSource, ImpactSourceKind, Label, Taxonomy, TaxonomyChange},
    },
    error::{FieldViolation, TriageError},
    pb::{self, taxonomy_change::Change},
    store::TaxonomyRecord,
    taxonomy::{NewRevision, Outcome, Revision},
};

pub(in crate::grpc) fn taxonomy(taxonomy: &Taxonomy) -> pb::Taxonomy {
    let Taxonomy { version, fields, retired, aliases: _, restricts, matrix, groups, impact_sources, routes, sla } =
        taxonomy;
    let names: BTreeSet<&String> = fields.keys().chain(retired.keys()).collect();
    let field = |field: &String| {
        let wire = |label: &Label, retired: bool| pb::TaxonomyLabel {
            retired,
            former_names: taxonomy.former_names(field, &label.value).map(str::to_owned).collect(),
            ..wire_label(label.clone())
        };
        let active = fields.get(field).into_iter().flatten().map(|label| wire(label, false));
        let retired = retired.get(field).into_iter().flatten().map(|label| wire(label, true));
        pb::TaxonomyField { field: field.clone(), labels: active.chain(retired).collect() }
    };
    let group = |(category, group): (&String, &String)| pb::GroupAssignment {
        category: category.clone(),
        group: group.clone(),
    };
    pb::Taxonomy {
        version: version.clone(),
        fields: names.into_iter().map(field).collect(),
        restricts: *restricts,
        matrix: Some(wire_matrix(matrix)),
        groups: groups.iter().map(group).collect(),
        impact_sources: impact_sources
            .iter()
            .map(|ImpactSource { kind, name, impact }| wire_source(*kind, name.clone(), Some(*impact)))
            .collect(),
        routes: routes.iter().map(|(field, route)| wire_field_route(field.clone(), *route)).collect(),
        sla: Priority::ALL.map(|priority| wire_sla(priority, sla.of(priority))).into(),
    }
}

fn wire_label(label: Label) -> pb::TaxonomyLabel {
    let Label { value, description, examples } = label;
    pb::TaxonomyLabel { value, description, examples, retired: false, former_names: Vec::new() }
}

fn wire_matrix(matrix: &PriorityMatrix) -> pb::PriorityMatrix {
    let row = |impact: Impact| {
        let [high, medium, low] = Urgency::ALL.map(|urgency| matrix.priority(impact, urgency).to_string());
        Some(pb::PriorityRow { high, medium, low })
    };
    let [high, medium, low] = Impact::ALL.map(row);
    pb::PriorityMatrix { high, medium, low }
}

fn wire_source(kind: ImpactSourceKind, name: String, impact: Option<Impact>) -> pb::ImpactSource {
    let kind = match kind {
        ImpactSourceKind::Service => pb::ImpactSourceKind::Service,
        ImpactSourceKind::ConfigurationItem => pb::ImpactSourceKind::ConfigurationItem,
        ImpactSourceKind::Requester => pb::ImpactSourceKind::Requester,
    };
    pb::ImpactSource { kind: kind.into(), name, impact: impact.map(|impact| impact.to_string()).unwrap_or_default() }
}

fn wire_field_route(field: String, route: RouteSetting) -> pb::FieldRoute {
    let precision = match route {
        RouteSetting::Off | RouteSetting::Monitor | RouteSetting::Recommend => None,
        RouteSetting::Autofill(precision) => Some(precision.share()),
    };
    pb::FieldRoute { field, route: route.furthest().map_or(pb::Route::Off, wire_route).into(), precision }
}

fn wire_sla(priority: Priority, target: SlaTarget) -> pb::SlaEntry {
    pb::SlaEntry { priority: priority.to_string(), target: Some(sla_target(target)) }
}

/// For the client.
pub(in crate::grpc) fn wire_change(change: TaxonomyChange) -> pb::TaxonomyChange {
    let labels = |labels: Vec<Label>| labels.into_iter().map(wire_label).collect();
    let change = match change {
        TaxonomyChange::AddField { field, labels: first } => {
            Change::AddField(pb::AddField { field, labels: labels(first) })
        }
        TaxonomyChange::AddLabel { field, label } => {
            Change::AddLabel(pb::AddLabel { field, label: Some(wire_label(label)) })
        }
        TaxonomyChange::Describe { field, value, description, examples } => {
            let examples = examples.map(|texts| pb::LabelExamples { texts });
            Change::Describe(pb::DescribeLabel { field, value, description, examples })
        }
        TaxonomyChange::Rename { field, from, to } => Change::Rename(pb::RenameLabel { field, from, to }),
        TaxonomyChange::Merge { field, into, from } => Change::Merge(pb::MergeLabels { field, into, from }),
        TaxonomyChange::Split { field, from, into } => {
            Change::Split(pb::SplitLabel { field, from, into: labels(into) })
        }
        TaxonomyChange::Retire { field, value } => Change::Retire(pb::RetireLabel { field, value }),
        TaxonomyChange::Restore { field, value } => Change::Restore(pb::RestoreLabel { field, value }),
        TaxonomyChange::SetRoute { field, route } => Change::SetRoute(wire_field_route(field, route)),
        TaxonomyChange::SetGroup { category, group } => {
            Change::SetGroup(pb::GroupAssignment { category, group: group.unwrap_or_default() })
        }
        TaxonomyChange::SetImpactSource { kind, name, impact } => {
            Change::SetImpactSource(wire_source(kind, name, impact))
        }
        TaxonomyChange::SetMatrix(matrix) => Change::SetMatrix(wire_matrix(&matrix)),
        TaxonomyChange::SetSla { priority, target } => Change::SetSla(wire_sla(priority, target)),
    };
    pb::TaxonomyChange { change: Some(change) }
}

fn asked(revision: Revision, expected_version: String, changed_by: String) -> NewRevision {
    let expected_version = Some(expected_version).filter(|version| !version.is_empty());
    NewRevision { revision, expected_version, changed_by }
}

/// And whether it is only to be said what would change.
pub(in crate::grpc) fn asked_document(request: pb::ApplyTaxonomyRequest) -> (NewRevision, bool) {
    let pb::ApplyTaxonomyRequest { document, expected_version, changed_by, validate_only } = request;
    (asked(Revision::Document(document), expected_version, changed_by), validate_only)
}

/// As [`asked_document`].
pub(in crate::grpc) fn asked_version(request: pb::RevertTaxonomyRequest) -> Result<(NewRevision, bool), TriageError> {
    let pb::RevertTaxonomyRequest { number, expected_version, changed_by, validate_only } = request;
    if number == 0 {
        return Err(TriageError::invalid("number", "must be the number of a version"));
    }
    // No version has a number beyond those of the database.
    if i64::try_from(number).is_err() {
        return Err(TriageError::NotFound { resource: "taxonomy version", id: number.to_string() });
    }
    Ok((asked(Revision::Version(number), expected_version, changed_by), validate_only))
}

/// As [`asked_document`], with the violations that show without the taxonomy in force.
pub(in crate::grpc) fn asked_changes(request: pb::ChangeTaxonomyRequest) -> Result<(NewRevision, bool), TriageError> {
    let pb::ChangeTaxonomyRequest { changes, expected_version, changed_by, validate_only } = request;
    let most = NewRevision::MAX_CHANGES;
    if changes.len() > most {
        return Err(TriageError::invalid("changes", format!("must be 1 to {most}, are {}", changes.len())));
    }
    let (mut parsed, mut violations) = (Vec::new(), Vec::new());
    for (place, change) in changes.into_iter().enumerate() {
        match parse_change(change) {
            Ok(change) => parsed.push(change),
            Err((field, problem)) => violations.push(FieldViolation::new(format!("changes[{place}]{field}"), problem)),
        }
    }
    if !violations.is_empty() {
        return Err(TriageError::InvalidRequest(violations));
    }
    Ok((asked(Revision::Changes(parsed), expected_version, changed_by), validate_only))
}

/// A change, or the place within it that is wrong, and what is.
fn parse_change(change: pb::TaxonomyChange) -> Result<TaxonomyChange, (&'static str, String)> {
    let pb::TaxonomyChange { change } = change;
    Ok(match change.ok_or_else(|| ("", "must be one of the changes".to_owned()))? {
        Change::AddField(pb::AddField { field, labels }) => TaxonomyChange::AddField {
            field,
            labels: parse_labels(labels).map_err(|what| (".add_field.labels", what))?,
        },
        Change::AddLabel(pb::AddLabel { field, label }) => {
            let label = label.ok_or_else(|| "must be set".to_owned()).and_then(parse_label);
            TaxonomyChange::AddLabel { field, label: label.map_err(|what| (".add_label.label", what))? }
        }
        Change::Describe(pb::DescribeLabel { field, value, description, examples }) => {
            let examples = examples.map(|pb::LabelExamples { texts }| texts);
            TaxonomyChange::Describe { field, value, description, examples }
        }
        Change::Rename(pb::RenameLabel { field, from, to }) => TaxonomyChange::Rename { field, from, to },
        Change::Merge(pb::MergeLabels { field, into, from }) => TaxonomyChange::Merge { field, into, from },
        Change::Split(pb::SplitLabel { field, from, into }) => {
            TaxonomyChange::Split { field, from, into: parse_labels(into).map_err(|what| (".split.into", what))? }
        }
        Change::Retire(pb::RetireLabel { field, value }) => TaxonomyChange::Retire { field, value },
        Change::Restore(pb::RestoreLabel { field, value }) => TaxonomyChange::Restore { field, value },
        Change::SetRoute(route) => parse_route(route)?,
        Change::SetGroup(pb::GroupAssignment { category, group }) => {
            TaxonomyChange::SetGroup { category, group: Some(group).filter(|group| !group.is_empty()) }
        }
        Change::SetImpactSource(source) => parse_source(source)?,
        Change::SetMatrix(matrix) => {
            TaxonomyChange::SetMatrix(parse_matrix(matrix).map_err(|what| (".set_matrix", what))?)
        }
        Change::SetSla(entry) => parse_sla(entry)?,
    })
}

fn parse_labels(labels: Vec<pb::TaxonomyLabel>) -> Result<Vec<Label>, String> {
    labels.into_iter().map(parse_label).collect()
}

fn parse_label(label: pb::TaxonomyLabel) -> Result<Label, String> {
    let pb::TaxonomyLabel { value, description, examples, retired, former_names } = label;
    if retired || !former_names.is_empty() {
        return Err("a new label is not retired and has no former names".to_owned());
    }
    Ok(Label { value, description, examples })
}

fn parse_route(route: pb::FieldRoute) -> Result<TaxonomyChange, (&'static str, String)> {
    let pb::FieldRoute { field, route, precision } = route;
    let refused = |problem: String| Err((".set_route.precision", problem));
    let setting = match (pb::Route::try_from(route), precision) {
        (Ok(pb::Route::Autofill), precision) => match precision.map_or(Some(Precision::default()), Precision::new) {
            Some(precision) => RouteSetting::Autofill(precision),
            None => return refused(format!("must be from {} to {}", Precision::LEAST, Precision::MOST)),
        },
        (Ok(pb::Route::Off | pb::Route::Monitor | pb::Route::Recommend), Some(_)) => {
            return refused("only AUTOFILL takes one".to_owned());
        }
        (Ok(pb::Route::Off), None) => RouteSetting::Off,
        (Ok(pb::Route::Monitor), None) => RouteSetting::Monitor,
        (Ok(pb::Route::Recommend), None) => RouteSetting::Recommend,
        (Ok(pb::Route::Unspecified) | Err(_), _) => {
            return Err((".set_route.route", format!("{route} is no route: OFF, MONITOR, RECOMMEND or AUTOFILL")));
        }
    };
    Ok(TaxonomyChange::SetRoute { field, route: setting })
}

fn parse_source(source: pb::ImpactSource) -> Result<TaxonomyChange, (&'static str, String)> {
    let pb::ImpactSource { kind, name, impact } = source;
    let kind = match pb::ImpactSourceKind::try_from(kind) {
        Ok(pb::ImpactSourceKind::Service) => ImpactSourceKind::Service,
        Ok(pb::ImpactSourceKind::ConfigurationItem) => ImpactSourceKind::ConfigurationItem,
        Ok(pb::ImpactSourceKind::Requester) => ImpactSourceKind::Requester,
        Ok(pb::ImpactSourceKind::Unspecified) | Err(_) => {
            let problem = format!("{kind} is no kind: SERVICE, CONFIGURATION_ITEM or REQUESTER");
            return Err((".set_impact_source.kind", problem));
        }
    };
    let level = Impact::parse(&impact);
    if level.is_none() && !impact.is_empty() {
        return Err((".set_impact_source.impact", format!("`{impact}` is not high, medium or low")));
    }
    Ok(TaxonomyChange::SetImpactSource { kind, name, impact: level })
}

fn parse_matrix(matrix: pb::PriorityMatrix) -> Result<PriorityMatrix, String> {
    let pb::PriorityMatrix { high, medium, low } = matrix;
    let row = |impact: Impact, row: Option<pb::PriorityRow>| {
        let pb::PriorityRow { high, medium, low } = row.unwrap_or_default();
        let cell = |urgency: Urgency, raw: String| {
            let hole = || format!("impact {impact}, urgency {urgency}: `{raw}` is no priority, expected P1 to P5");
            Priority::parse(&raw).ok_or_else(hole)
        };
        Ok::<_, String>([cell(Urgency::High, high)?, cell(Urgency::Medium, medium)?, cell(Urgency::Low, low)?])
    };
    Ok(PriorityMatrix::new([row(Impact::High, high)?, row(Impact::Medium, medium)?, row(Impact::Low, low)?]))
}

fn parse_sla(entry: pb::SlaEntry) -> Result<TaxonomyChange, (&'static str, String)> {
    let pb::SlaEntry { priority: raw, target } = entry;
    let unknown = || (".set_sla.priority", format!("`{raw}` is no priority, expected P1 to P5"));
    let priority = Priority::parse(&raw).ok_or_else(unknown)?;
    let wrong = |what: &str| (".set_sla.target", what.to_owned());
    let pb::SlaTarget { response, resolution } = target.unwrap_or_default();
    let span = |span: Option<prost_types::Duration>, what: &str| {
        std::time::Duration::try_from(span.ok_or_else(|| wrong(what))?).map_err(|_| wrong(what))
    };
    let (response, resolution) = (span(response, "response must be set")?, span(resolution, "resolution must be set")?);
    let target = SlaTarget::new(response, resolution).map_err(|what| wrong(&what))?;
    Ok(TaxonomyChange::SetSla { priority, target })
}

pub(in crate::grpc) fn revision(outcome: Outcome) -> pb::TaxonomyRevision {
    let Outcome { version, number, fields, changes, warnings, concerned_tickets } = outcome;
    pb::TaxonomyRevision {
        version,
        number: number.unwrap_or_default(),
        fields: fields.into_iter().map(field_changes).collect(),
        changes,
        warnings,
        concerned_tickets,
    }
}

fn field_changes(difference: FieldDifference) -> pb::FieldChanges {
    let FieldDifference { field, added, renamed, merged, retired, restored, removed, described } = difference;
    let moves = |pairs: Vec<(String, String)>| pairs.into_iter().map(|(from, to)| pb::LabelMove { from, to }).collect();
    pb::FieldChanges {
        field,
        added,
        renamed: moves(renamed),
        merged: moves(merged),
        retired,
        restored,
        removed,
        described,
    }
}

/// For the client.
pub(in crate::grpc) fn outcome(revision: pb::TaxonomyRevision) -> Outcome {
    let pb::TaxonomyRevision { version, number, fields, changes, warnings, concerned_tickets } = revision;
    let pairs = |moves: Vec<pb::LabelMove>| moves.into_iter().map(|pb::LabelMove { from, to }| (from, to)).collect();
    let fields = fields.into_iter().map(|changes| {
        let pb::FieldChanges { field, added, renamed, merged, retired, restored, removed, described } = changes;
        let (renamed, merged) = (pairs(renamed), pairs(merged));
        FieldDifference { field, added, renamed, merged, retired, restored, removed, described }
    });
    let number = Some(number).filter(|number| *number > 0);
    Outcome { version, number, fields: fields.collect(), changes, warnings, concerned_tickets }
}

pub(in crate::grpc) fn taxonomy_version(record: TaxonomyRecord) -> pb::TaxonomyVersion {
    let TaxonomyRecord { number, version, document: _, changed_by, changed_at, changes } = record;
    let seconds = i64::try_from(changed_at).unwrap_or(i64::MAX);
    let create_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
    pb::TaxonomyVersion { number, version, changed_by, create_time, changes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_survives_the_wire() {
        let label = || Label { examples: vec!["x".to_owned()], ..Label::new("a/b", "B.") };
        let field = || "topic".to_owned();
        let source = |impact| TaxonomyChange::SetImpactSource {
            kind: ImpactSourceKind::ConfigurationItem,
            name: "core-sw-01".to_owned(),
            impact,
        };
        let describe = |examples| TaxonomyChange::Describe {
            field: field(),
            value: "a".to_owned(),
            description: Some(String::new()),
            examples,
        };
        let group = |group: Option<&str>| TaxonomyChange::SetGroup {
            category: "network".to_owned(),
            group: group.map(str::to_owned),
        };
        let route = |route| TaxonomyChange::SetRoute { field: field(), route };
        let hour = std::time::Duration::from_hours(1);
        let changes = [
            TaxonomyChange::AddField { field: field(), labels: vec![label()] },
            TaxonomyChange::AddLabel { field: field(), label: label() },
            describe(None),
            describe(Some(Vec::new())),
            describe(Some(vec!["x".to_owned()])),
            TaxonomyChange::Rename { field: field(), from: "a".to_owned(), to: "b".to_owned() },
            TaxonomyChange::Merge { field: field(), into: "a".to_owned(), from: vec!["b".to_owned()] },
            TaxonomyChange::Split { field: field(), from: "a".to_owned(), into: vec![label()] },
            TaxonomyChange::Retire { field: field(), value: "a".to_owned() },
            TaxonomyChange::Restore { field: field(), value: "a".to_owned() },
            route(RouteSetting::Off),
            route(RouteSetting::Monitor),
            route(RouteSetting::Recommend),
            route(RouteSetting::Autofill(Precision::new(0.937).unwrap())),
            group(Some("NOC")),
            group(None),
            source(Some(Impact::Medium)),
            source(None),
            TaxonomyChange::SetMatrix(PriorityMatrix::default()),
            TaxonomyChange::SetSla { priority: Priority::ALL[1], target: SlaTarget::new(hour, 2 * hour).unwrap() },
        ];
        for change in changes {
            assert_eq!(parse_change(wire_change(change.clone())), Ok(change));
        }
    }
}
