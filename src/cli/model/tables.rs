//! Models for people.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use crate::{
    cli::{
        job::{number, timestamp},
        render::shortened,
        report::percent,
    },
    domain::{
        model::{Activation, ModelOrigin, ModelState, PairCounts, Verdict},
        steering,
    },
    grpc::client::ListedModels,
    registry::{Basis, Comparison, FieldComparison, LabelComparison, Model, p_value, share},
};

/// Labels and changes shown a field.
const SHOWN_LABELS: usize = 15;
const SHOWN_CHANGES: usize = 10;
/// Longer labels are cut in tables.
const LABEL_CHARS: usize = 32;

/// A line a model.
pub(super) fn list(out: &mut impl Write, listed: &ListedModels) -> io::Result<()> {
    let ListedModels { models, serving, pinned, agreement, dropped } = listed;
    let width = models.iter().map(|model| model.version.len()).max().unwrap_or(0).max("model".len());
    writeln!(out, "{:width$}  {:9}  {:>9}  {:20}  came from", "model", "state", "rows", "since")?;
    for model in models {
        writeln!(
            out,
            "{:width$}  {:9}  {:>9}  {:20}  {}",
            plain(&model.version),
            model.state.as_str(),
            number(model.report.rows),
            model.created_at.map(timestamp).unwrap_or_default(),
            came_from(model)
        )?;
    }
    if !pinned.is_empty() {
        writeln!(out, "\n{} serves whatever is active: --model {}", plain(serving), plain(pinned))?;
    }
    let Some(shadow) = models.iter().find(|model| model.state == ModelState::Shadow) else { return Ok(()) };
    writeln!(out)?;
    for (field, found) in agreement {
        let tickets = found.agreed + found.differed;
        writeln!(
            out,
            "the shadow agrees on {} for {} of {} tickets",
            plain(field),
            percent(share(found.agreed, tickets)),
            number(tickets)
        )?;
    }
    if *dropped > 0 {
        writeln!(out, "there was no time to ask the shadow about {} tickets", number(*dropped))?;
    }
    shadow_scores(out, &shadow.shadow_scores)
}

fn came_from(model: &Model) -> String {
    let by = if model.by.is_empty() { String::new() } else { format!(", by {}", plain(&model.by)) };
    match model.origin {
        ModelOrigin::Embedded => "inside the program (`embedded`)".to_owned(),
        ModelOrigin::Imported => format!("imported{by}"),
        ModelOrigin::Trained(_) if model.is_automatic => "trained by the server itself".to_owned(),
        ModelOrigin::Trained(Some(job)) => format!("trained by job {job}{by}"),
        ModelOrigin::Trained(None) => format!("trained here{by}"),
    }
}

fn shadow_scores(out: &mut impl Write, scores: &BTreeMap<String, PairCounts>) -> io::Result<()> {
    for (field, counts) in scores {
        let PairCounts { only_first_right, only_second_right, .. } = counts;
        writeln!(
            out,
            "as feedback came in, {}: of {} tickets the active one is right about {}, the shadow about {}, p {:.3}",
            plain(field),
            number(counts.tickets()),
            number(counts.first_right()),
            number(counts.second_right()),
            p_value(*only_first_right, *only_second_right)
        )?;
    }
    Ok(())
}

/// How a model does.
pub(super) fn model(out: &mut impl Write, model: &Model) -> io::Result<()> {
    writeln!(out, "{}  {}, {}", plain(&model.version), model.state.as_str(), came_from(model))?;
    if let Some(at) = model.created_at {
        writeln!(out, "  since      {}", timestamp(at))?;
    }
    let report = &model.report;
    let outside = match report.out_of_scope_rows {
        0 => String::new(),
        rows => format!(", and {} out of scope", number(rows)),
    };
    writeln!(out, "  learnt     {} rows{outside}, seed {}", number(report.rows), report.seed)?;
    if !report.languages.is_empty() {
        writeln!(out, "  languages  {}", plain(&report.languages.join(", ")))?;
    }
    let width = report.fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0).max("field".len());
    writeln!(out, "\n  {:width$}  labels  accuracy  macro-F1  calibration error", "field")?;
    for field in &report.fields {
        writeln!(
            out,
            "  {:width$}  {:6}  {:>8}  {:>8}  {:>17}",
            plain(&field.name),
            field.labels.len(),
            percent(Some(field.accuracy)),
            percent(field.macro_f1),
            percent(field.calibration_error)
        )?;
    }
    for field in &report.fields {
        let certified: Vec<String> = field
            .coverage
            .iter()
            .map(|coverage| {
                let of =
                    coverage.share.map(|share| format!(" ({} of tickets)", percent(Some(share)))).unwrap_or_default();
                format!("{} from confidence {:.2}{of}", coverage.precision, coverage.confidence)
            })
            .collect();
        if certified.is_empty() {
            writeln!(out, "\n  {}: no precision is certified", plain(&field.name))?;
        } else {
            writeln!(out, "\n  {}: certified {}", plain(&field.name), certified.join(", "))?;
        }
    }
    if !model.shadow_scores.is_empty() {
        writeln!(out)?;
    }
    shadow_scores(out, &model.shadow_scores)
}

/// Who is right how often, and what would change.
pub(super) fn comparison(out: &mut impl Write, comparison: &Comparison) -> io::Result<()> {
    let Comparison {
        first,
        second,
        basis,
        tickets,
        left_out,
        fields,
        only_in_first,
        only_in_second,
        shadow_scores: scores,
    } = comparison;
    writeln!(out, "first   {}\nsecond  {}\n", plain(first), plain(second))?;
    let what = match (basis, left_out) {
        (Basis::Unseen, 0) => "neither learnt from them".to_owned(),
        (Basis::Unseen, left_out) => {
            format!("neither learnt from them; {} that one did are left out", number(*left_out))
        }
        (Basis::MayBeLearnt, _) => {
            "either may have learnt from them: the one that did looks better than it is".to_owned()
        }
    };
    writeln!(out, "On the latest {} confirmed tickets; {what}.", number(*tickets))?;
    for (fields, which) in [(only_in_first, "first"), (only_in_second, "second")] {
        if !fields.is_empty() {
            writeln!(out, "Only the {which} knows {}.", plain(&fields.join(", ")))?;
        }
    }
    if fields.is_empty() {
        return writeln!(out, "\nThey have no field in common.");
    }
    let width = fields.iter().map(|field| field.field.chars().count()).max().unwrap_or(0).max("field".len());
    writeln!(out, "\n  {:width$}  tickets    first   second  only first right  only second right  chance", "field")?;
    for FieldComparison { field, counts, p_value, .. } in fields {
        writeln!(
            out,
            "  {:width$}  {:>7}  {:>7}  {:>7}  {:>16}  {:>17}  {p_value:>6.3}",
            plain(field),
            number(counts.tickets()),
            percent(share(counts.first_right(), counts.tickets())),
            percent(share(counts.second_right(), counts.tickets())),
            number(counts.only_first_right),
            number(counts.only_second_right)
        )?;
    }
    writeln!(out, "  chance: of a difference at least so large between equally good models (McNemar, mid-p)")?;
    shadow_scores(out, scores)?;
    fields.iter().try_for_each(|field| field_comparison(out, field))
}

fn field_comparison(out: &mut impl Write, comparison: &FieldComparison) -> io::Result<()> {
    let FieldComparison { field, labels, changes, other_changes, .. } = comparison;
    let name = |label: &str| shortened(&plain(label), LABEL_CHARS);
    let width = |names: &mut dyn Iterator<Item = String>| names.map(|name| name.chars().count()).max().unwrap_or(0);
    let shown = &labels[..labels.len().min(SHOWN_LABELS)];
    let label_width = width(&mut shown.iter().map(|label| name(&label.label))).max("label".len());
    writeln!(out, "\n{}\n\n  {:label_width$}  tickets  precision           recall", plain(field), "label")?;
    for LabelComparison { label, tickets, first, second } in shown {
        writeln!(
            out,
            "  {:label_width$}  {:>7}  {:>7} -> {:>7}  {:>7} -> {:>7}",
            name(label),
            number(*tickets),
            percent(first.precision()),
            percent(second.precision()),
            percent(first.recall(*tickets)),
            percent(second.recall(*tickets))
        )?;
    }
    if labels.len() > shown.len() {
        writeln!(out, "  … and {} more", labels.len() - shown.len())?;
    }
    if changes.is_empty() {
        return writeln!(out, "\n  nothing would change");
    }
    let listed = &changes[..changes.len().min(SHOWN_CHANGES)];
    let from_width = width(&mut listed.iter().map(|change| name(&change.from))).max(4);
    let to_width = width(&mut listed.iter().map(|change| name(&change.to))).max(2);
    writeln!(out, "\n  would change  {:from_width$}    {:to_width$}  right before  right then", "from", "to")?;
    for change in listed {
        writeln!(
            out,
            "  {:>12}  {:from_width$} -> {:to_width$}  {:>12}  {:>10}",
            number(change.tickets),
            name(&change.from),
            name(&change.to),
            number(change.first_right),
            number(change.second_right)
        )?;
    }
    let rest = changes.iter().skip(SHOWN_CHANGES).map(|change| change.tickets).sum::<u64>() + other_changes;
    if rest > 0 { writeln!(out, "  {:>12}  in further pairs", number(rest)) } else { Ok(()) }
}

/// A line an activation, and what became of models that the server trained by itself.
pub(super) fn history(out: &mut impl Write, activations: &[Activation], verdicts: &[Verdict]) -> io::Result<()> {
    if activations.is_empty() {
        writeln!(out, "no model was activated yet: the one inside the program serves")?;
    }
    for Activation { id: _, model, previous, kind, at, by, reason } in activations {
        let by = if by.is_empty() { String::new() } else { format!(" by {}", plain(by)) };
        let reason = if reason.is_empty() { String::new() } else { format!(": {}", plain(reason)) };
        let (model, previous) = (plain(&model.version), plain(&previous.version));
        let kind = kind.as_str().replace('_', " ");
        writeln!(out, "{}  {model} {kind} in place of {previous}{by}{reason}", timestamp(*at))?;
    }
    for Verdict { candidate, active, is_promoted, at, reasons } in verdicts {
        let outcome = if *is_promoted { "promoted" } else { "not promoted" };
        writeln!(out, "\n{}  {} was {outcome} over {}", timestamp(*at), plain(candidate), plain(active))?;
        reasons.iter().try_for_each(|reason| writeln!(out, "  {}", plain(reason)))?;
    }
    Ok(())
}

/// Without what steers a terminal.
fn plain(text: &str) -> String {
    steering::one_line(text).into_owned()
}
