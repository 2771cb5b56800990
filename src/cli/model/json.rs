//! Models for programs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    cli::job::timestamp,
    domain::model::{Activation, ModelOrigin, PairCounts, Verdict},
    grpc::client::ListedModels,
    registry::{
        Agreement, Comparison, Coverage, FieldComparison, FieldReport, GuessChange, LabelComparison, LabelCounts,
        Model, ModelReport, p_value, share,
    },
};

pub(super) fn model(model: &Model) -> Value {
    let Model { version, name, origin, state, is_automatic, created_at, by, report, shadow_scores } = model;
    let job = if let ModelOrigin::Trained(Some(job)) = origin { Some(job.to_string()) } else { None };
    json!({
        "version": version,
        "name": name,
        "state": state.as_str(),
        "origin": origin.as_str(),
        "job": job,
        "automatic": is_automatic,
        "created": created_at.map(timestamp),
        "by": by,
        "report": of_report(report),
        "shadow_scores": scores(shadow_scores),
    })
}

fn of_report(report: &ModelReport) -> Value {
    let ModelReport { rows, out_of_scope_rows, seed, languages, fields } = report;
    let field = |report: &FieldReport| {
        let FieldReport { name, labels, accuracy, macro_f1, calibration_error, coverage } = report;
        let coverage: Map<String, Value> = coverage
            .iter()
            .map(|Coverage { precision, confidence, share, reached }| {
                (precision.clone(), json!({"confidence": confidence, "coverage": share, "precision": reached}))
            })
            .collect();
        let document = json!({
            "classes": labels.len(),
            "labels": labels,
            "accuracy": accuracy,
            "macro_f1": macro_f1,
            "ece": calibration_error,
            "coverage_at_precision": coverage,
        });
        (name.clone(), document)
    };
    json!({
        "rows": rows,
        "out_of_scope_rows": out_of_scope_rows,
        "seed": seed,
        "languages": languages,
        "fields": fields.iter().map(field).collect::<Map<_, _>>(),
    })
}

fn scores(scores: &BTreeMap<String, PairCounts>) -> Value {
    let score = |(field, counts): (&String, &PairCounts)| {
        let p = p_value(counts.only_first_right, counts.only_second_right);
        let document = json!({
            "tickets": counts.tickets(),
            "active_right": counts.first_right(),
            "shadow_right": counts.second_right(),
            "only_active_right": counts.only_first_right,
            "only_shadow_right": counts.only_second_right,
            "p": p,
        });
        (field.clone(), document)
    };
    scores.iter().map(score).collect::<Map<_, _>>().into()
}

pub(super) fn list(listed: &ListedModels) -> Value {
    let ListedModels { models, serving, pinned, agreement, dropped } = listed;
    let agreed = |(field, Agreement { agreed, differed }): (&String, &Agreement)| {
        (field.clone(), json!({"agreed": agreed, "differed": differed}))
    };
    json!({
        "models": models.iter().map(model).collect::<Vec<_>>(),
        "serving": serving,
        "pinned": Some(pinned).filter(|pinned| !pinned.is_empty()),
        "shadow_agreement": agreement.iter().map(agreed).collect::<Map<_, _>>(),
        "shadow_dropped": dropped,
    })
}

pub(super) fn comparison(comparison: &Comparison) -> Value {
    let Comparison { first, second, basis, tickets, left_out, fields, only_in_first, only_in_second, shadow_scores } =
        comparison;
    json!({
        "first": first,
        "second": second,
        "basis": basis.as_str(),
        "tickets": tickets,
        "left_out": left_out,
        "fields": fields.iter().map(field_comparison).collect::<Map<_, _>>(),
        "only_in_first": only_in_first,
        "only_in_second": only_in_second,
        "shadow_scores": scores(shadow_scores),
    })
}

fn field_comparison(comparison: &FieldComparison) -> (String, Value) {
    let FieldComparison { field, counts, p_value, labels, changes, other_changes } = comparison;
    let figures =
        |counts: LabelCounts, tickets| json!({"precision": counts.precision(), "recall": counts.recall(tickets)});
    let label = |LabelComparison { label, tickets, first, second }: &LabelComparison| {
        json!({
            "label": label,
            "tickets": tickets,
            "first": figures(*first, *tickets),
            "second": figures(*second, *tickets),
            "precision_difference": second.precision().zip(first.precision()).map(|(second, first)| second - first),
            "recall_difference": second.recall(*tickets).zip(first.recall(*tickets)).map(|(second, first)| second - first),
        })
    };
    let change = |GuessChange { from, to, tickets, first_right, second_right }: &GuessChange| {
        json!({
            "from": from,
            "to": to,
            "tickets": tickets,
            "first_right": first_right,
            "second_right": second_right,
        })
    };
    let document = json!({
        "tickets": counts.tickets(),
        "first_accuracy": share(counts.first_right(), counts.tickets()),
        "second_accuracy": share(counts.second_right(), counts.tickets()),
        "only_first_right": counts.only_first_right,
        "only_second_right": counts.only_second_right,
        "p": p_value,
        "labels": labels.iter().map(label).collect::<Vec<_>>(),
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
        "other_changes": other_changes,
    });
    (field.clone(), document)
}

pub(super) fn history(activations: &[Activation], verdicts: &[Verdict]) -> Value {
    let activation = |Activation { id, model, previous, kind, at, by, reason }: &Activation| {
        json!({
            "id": id.to_string(),
            "version": model.version,
            "previous": previous.version,
            "kind": kind.as_str(),
            "at": timestamp(*at),
            "by": by,
            "reason": reason,
        })
    };
    let verdict = |Verdict { candidate, active, is_promoted, at, reasons }: &Verdict| {
        json!({
            "candidate": candidate,
            "active": active,
            "promoted": is_promoted,
            "at": timestamp(*at),
            "reasons": reasons,
        })
    };
    json!({
        "activations": activations.iter().map(activation).collect::<Vec<_>>(),
        "verdicts": verdicts.iter().map(verdict).collect::<Vec<_>>(),
    })
}
