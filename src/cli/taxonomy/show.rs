//! Taxonomies, their history and what changed, for people and for programs.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::{
    cli::job::{number, timestamp},
    domain::{
        priority::{Impact, Priority, Urgency},
        route::RouteSetting,
        sla::{SlaTarget, written},
        steering,
        taxonomy::{FieldDifference, ImpactSource, Label, Taxonomy},
    },
    grpc::client::ServedTaxonomy,
    store::TaxonomyRecord,
    taxonomy::Outcome,
};

/// Without what steers a terminal, on one line.
fn plain(text: &str) -> String {
    steering::one_line(text).into_owned()
}

pub(super) fn taxonomy(out: &mut impl Write, taxonomy: &Taxonomy, served: &ServedTaxonomy) -> io::Result<()> {
    write!(out, "{}", plain(&taxonomy.version))?;
    match (&served.file, served.number) {
        (Some(file), _) => writeln!(out, "  from {}", plain(file))?,
        (None, Some(number)) => writeln!(out, "  version {number}")?,
        (None, None) => writeln!(out, "  unchanged")?,
    }
    if !taxonomy.restricts {
        writeln!(out, "its labels only describe: what the model knows is proposed")?;
    }
    for (field, labels) in &taxonomy.fields {
        writeln!(out, "\n{}  {}", plain(field), taxonomy.route(field))?;
        let width = labels.iter().map(|label| label.value.chars().count()).max().unwrap_or(0).min(40);
        for label in labels {
            let Label { value, description, examples } = label;
            write!(out, "  {:width$}  {}", plain(value), plain(description))?;
            let former: Vec<_> = taxonomy.former_names(field, value).map(plain).collect();
            if !former.is_empty() {
                write!(out, "  (was {})", former.join(", "))?;
            }
            if !examples.is_empty() {
                write!(out, "  ({} examples)", examples.len())?;
            }
            writeln!(out)?;
        }
        let retired: Vec<_> =
            taxonomy.retired.get(field).into_iter().flatten().map(|label| plain(&label.value)).collect();
        if !retired.is_empty() {
            writeln!(out, "  retired: {}", retired.join(", "))?;
        }
    }
    let others = taxonomy.routes.iter().filter(|(field, _)| !taxonomy.fields.contains_key(*field));
    for (field, route) in others {
        writeln!(out, "\n{}  {route}", plain(field))?;
    }
    if !taxonomy.groups.is_empty() {
        writeln!(out, "\ngroups")?;
        taxonomy
            .groups
            .iter()
            .try_for_each(|(category, group)| writeln!(out, "  {} -> {}", plain(category), plain(group)))?;
    }
    if !taxonomy.impact_sources.is_empty() {
        writeln!(out, "\nimpact")?;
    }
    for ImpactSource { kind, name, impact } in &taxonomy.impact_sources {
        writeln!(out, "  {} {} counts as {impact}", kind.as_str(), plain(name))?;
    }
    writeln!(out, "\npriority        urgency high  medium  low")?;
    for impact in Impact::ALL {
        let [high, medium, low] = Urgency::ALL.map(|urgency| taxonomy.matrix.priority(impact, urgency).to_string());
        writeln!(out, "  impact {:<7} {high:>12}  {medium:>6}  {low:>3}", impact.as_str())?;
    }
    writeln!(out, "\nSLA  response  resolution")?;
    for priority in Priority::ALL {
        let target = taxonomy.sla.of(priority);
        writeln!(out, "  {priority}  {:>7}  {:>10}", written(target.response()), written(target.resolution()))?;
    }
    Ok(())
}

/// Targets as every command prints them for programs.
pub(in crate::cli) fn sla_json(target: SlaTarget) -> Value {
    let [response, resolution] = [target.response(), target.resolution()].map(|span| span.as_secs() / 60);
    json!({"response_minutes": response, "resolution_minutes": resolution})
}

pub(super) fn taxonomy_json(taxonomy: &Taxonomy, served: &ServedTaxonomy) -> Value {
    let ServedTaxonomy { document: _, warnings, number, file } = served;
    let Taxonomy { version, fields, retired, aliases: _, restricts, matrix, groups, impact_sources, routes, sla } =
        taxonomy;
    let label = |field: &str, label: &Label| {
        let Label { value, description, examples } = label;
        let former: Vec<_> = taxonomy.former_names(field, value).collect();
        json!({"value": value, "description": description, "examples": examples, "former_names": former})
    };
    let route = |route: RouteSetting| match route {
        RouteSetting::Autofill(precision) => json!({"route": route.as_str(), "precision": precision.share()}),
        RouteSetting::Off | RouteSetting::Monitor | RouteSetting::Recommend => json!({"route": route.as_str()}),
    };
    let of_field = |(field, labels): (&String, &Vec<Label>)| {
        let labels: Vec<_> = labels.iter().map(|one| label(field, one)).collect();
        let retired: Vec<_> = retired.get(field).into_iter().flatten().map(|one| label(field, one)).collect();
        (field.clone(), json!({"labels": labels, "retired": retired}))
    };
    let source = |ImpactSource { kind, name, impact }: &ImpactSource| json!({"kind": kind.as_str(), "name": name, "impact": impact.as_str()});
    json!({
        "version": version,
        "number": number,
        "file": file,
        "restricts": restricts,
        "fields": fields.iter().map(of_field).collect::<Map<_, _>>(),
        "routes": routes.iter().map(|(field, setting)| (field.clone(), route(*setting))).collect::<Map<_, _>>(),
        "matrix": matrix.to_string(),
        "groups": groups,
        "impact_sources": impact_sources.iter().map(source).collect::<Vec<_>>(),
        "sla": Priority::ALL.map(|priority| (priority.to_string(), sla_json(sla.of(priority)))).into_iter().collect::<Map<_, _>>(),
        "warnings": warnings,
    })
}

pub(super) fn outcome(out: &mut impl Write, outcome: &Outcome, dry_run: bool) -> io::Result<()> {
    let Outcome { version, number: kept, fields: _, changes, warnings: _, concerned_tickets } = outcome;
    for change in changes {
        writeln!(out, "{}", plain(change))?;
    }
    match concerned_tickets {
        0 => {}
        1 => writeln!(out, "1 confirmed ticket bears a label that changed")?,
        count => writeln!(out, "{} confirmed tickets bear labels that changed", number(*count))?,
    }
    let version = plain(version);
    match kept {
        Some(kept) => writeln!(out, "taxonomy {version} is in force (version {kept})"),
        None if changes.is_empty() => writeln!(out, "nothing changes: taxonomy {version} is in force"),
        None if dry_run => writeln!(out, "this would give taxonomy {version}; nothing was changed"),
        None => writeln!(out, "taxonomy {version} is in force"),
    }
}

pub(super) fn outcome_json(outcome: &Outcome, dry_run: bool) -> Value {
    let Outcome { version, number, fields, changes, warnings, concerned_tickets } = outcome;
    let moves = |pairs: &[(String, String)]| -> Vec<Value> {
        pairs.iter().map(|(from, to)| json!({"from": from, "to": to})).collect()
    };
    let of_field = |difference: &FieldDifference| {
        let FieldDifference { field, added, renamed, merged, retired, restored, removed, described } = difference;
        let document = json!({
            "added": added,
            "renamed": moves(renamed),
            "merged": moves(merged),
            "retired": retired,
            "restored": restored,
            "removed": removed,
            "described": described,
        });
        (field.clone(), document)
    };
    json!({
        "version": version,
        "number": number,
        "dry_run": dry_run,
        "fields": fields.iter().map(of_field).collect::<Map<_, _>>(),
        "changes": changes,
        "warnings": warnings,
        "concerned_tickets": concerned_tickets,
    })
}

pub(super) fn history(out: &mut impl Write, records: &[TaxonomyRecord]) -> io::Result<()> {
    if records.is_empty() {
        return writeln!(out, "nothing was changed yet");
    }
    for record in records {
        let TaxonomyRecord { number, version, document: _, changed_by, changed_at, changes } = record;
        let by = if changed_by.is_empty() { String::new() } else { format!("  {}", plain(changed_by)) };
        writeln!(out, "{number:>5}  {}  {}{by}", timestamp(*changed_at), plain(version))?;
        if changes.is_empty() && *number == 1 {
            writeln!(out, "         before the first change")?;
        }
        changes.iter().try_for_each(|change| writeln!(out, "         {}", plain(change)))?;
    }
    Ok(())
}

pub(super) fn history_json(records: &[TaxonomyRecord]) -> Value {
    let of_record = |record: &TaxonomyRecord| {
        let TaxonomyRecord { number, version, document: _, changed_by, changed_at, changes } = record;
        json!({
            "number": number,
            "version": version,
            "changed_by": changed_by,
            "changed_at": timestamp(*changed_at),
            "changes": changes,
        })
    };
    json!({"versions": records.iter().map(of_record).collect::<Vec<_>>()})
}
