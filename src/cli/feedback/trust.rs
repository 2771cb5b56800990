//! `triage feedback trust`: how far decisions may be trusted.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    super::{DEFAULT_DATA_DIR, block_on, classify::open_triager, render::printable},
    decision::check_exists,
};
use crate::{
    config::Config,
    domain::trust::{DecisionCounts, FieldTrust, LabelTrust, ReviewCounts, TicketCounts, TrustReport, share},
    grpc::client::Client,
};

#[derive(Debug, Args)]
pub(in super::super) struct TrustArgs {
    /// So many days, today included
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    days: u32,
    /// Only this field, with each of its values
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    /// Folder that decisions are made from
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TrustArgs, config: &Config) -> anyhow::Result<()> {
    let TrustArgs { days, field, data_dir, server, json } = args;
    let mut report = if let Some(address) = server {
        block_on(async { Client::connect(address, &config.client).await?.trust(*days).await })?
    } else {
        check_exists(data_dir)?;
        open_triager(None, Some(data_dir), config)?.trust(*days)?
    };
    if let Some(field) = field {
        let known: Vec<_> = report.fields.iter().map(|known| known.field.clone()).collect();
        report.fields.retain(|known| known.field == *field);
        anyhow::ensure!(
            !report.fields.is_empty(),
            "nothing is known of `{field}` within {days} days; there are figures of {}",
            if known.is_empty() { "no field".to_owned() } else { known.join(", ") }
        );
    }
    let mut out = io::stdout().lock();
    if *json {
        writeln!(out, "{}", to_json(&report))?;
    } else {
        print(&mut out, &report, field.is_some())?;
    }
    Ok(())
}

fn to_json(report: &TrustReport) -> Value {
    let TrustReport { days, model, tickets, fields } = report;
    let TicketCounts { tickets, out_of_scope, unsupported_language, too_short, words, new_words } = tickets;
    let fields = fields.iter().map(|FieldTrust { field, decisions, reviews, labels }| {
        let mut document = figures(decisions, reviews);
        let labels = labels.iter().map(|LabelTrust { label, decisions, reviews, is_demoted }| {
            let mut document = figures(decisions, reviews);
            document.insert("demoted".to_owned(), json!(is_demoted));
            (label.clone(), Value::Object(document))
        });
        document.insert("labels".to_owned(), Value::Object(labels.collect()));
        (field.clone(), Value::Object(document))
    });
    json!({
        "days": days,
        "model": model,
        "tickets": tickets,
        "out_of_scope": out_of_scope,
        "unsupported_language": unsupported_language,
        "too_short": too_short,
        "words": words,
        "new_words": new_words,
        "fields": fields.collect::<Map<_, _>>(),
    })
}

fn figures(decisions: &DecisionCounts, reviews: &ReviewCounts) -> Map<String, Value> {
    let DecisionCounts { proposed, abstained, filled } = decisions;
    let ReviewCounts { reviewed, accepted, promise } = reviews;
    let realised = promise.precision().zip(promise.bounds());
    let realised = realised.map(|(share, (lower, upper))| json!({"share": share, "lower": lower, "upper": upper}));
    let document = json!({
        "proposed": proposed,
        "abstained": abstained,
        "filled": filled,
        "reviewed": reviewed,
        "accepted": accepted,
        "promised": promise.promised,
        "promised_reviewed": promise.reviewed,
        "promised_right": promise.right,
        "realised": realised,
    });
    document.as_object().cloned().unwrap_or_default()
}

fn print(out: &mut impl Write, report: &TrustReport, with_labels: bool) -> io::Result<()> {
    let TrustReport { days, model, tickets, fields } = report;
    let TicketCounts { tickets, out_of_scope, unsupported_language, too_short, words, new_words } = tickets;
    writeln!(out, "{tickets} tickets in {days} days, decided now by {}", printable(model))?;
    let outside = percent(share(*out_of_scope, *tickets));
    let new = percent(share(*new_words, *words));
    writeln!(
        out,
        "out of scope {outside}, unknown language {unsupported_language}, too short {too_short}, words never seen {new}"
    )?;
    if fields.is_empty() {
        return writeln!(out, "nothing was decided or said yet");
    }
    let heads = ["proposed", "abstained", "filled in", "reviewed", "overridden", "right of filled"];
    write!(out, "\n{:<32}", "")?;
    for head in heads {
        write!(out, " {head:>10}")?;
    }
    writeln!(out)?;
    for FieldTrust { field, decisions, reviews, labels } in fields {
        line(out, &field.replace('_', " "), decisions, reviews, false)?;
        for LabelTrust { label, decisions, reviews, is_demoted } in labels {
            if with_labels || *is_demoted {
                line(out, &format!("  {}", printable(label)), decisions, reviews, *is_demoted)?;
            }
        }
    }
    Ok(())
}

fn line(
    out: &mut impl Write,
    name: &str,
    decisions: &DecisionCounts,
    reviews: &ReviewCounts,
    is_demoted: bool,
) -> io::Result<()> {
    let DecisionCounts { proposed, abstained, filled } = decisions;
    let ReviewCounts { reviewed, accepted, promise } = reviews;
    let overridden = percent(share(reviewed - accepted, *reviewed));
    write!(out, "{name:<32} {proposed:>10} {abstained:>10} {filled:>10} {reviewed:>10} {overridden:>10}")?;
    if let (Some(found), Some((lower, upper))) = (promise.precision(), promise.bounds()) {
        let [found, lower, upper, promised] = [found, lower, upper, promise.promised].map(percent);
        write!(out, " {found:>10} ({lower} to {upper}, promised {promised})")?;
    }
    writeln!(out, "{}", if is_demoted { "  no longer filled in" } else { "" })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
