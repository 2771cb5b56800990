//! `triage feedback record`, `list` and `withdraw`: what people say of decisions.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::super::{DEFAULT_DATA_DIR, UsageError, block_on, classify::open_triager, data_dir, render::printable};
use crate::{
    config::Config,
    domain::{
        decision::Abstention,
        feedback::{FeedbackId, FeedbackReceipt, FeedbackRecord, FieldOutcome, KeptOutcome, Proposal},
    },
    feedback::{Feedback, day_of, now, seconds_of_text},
    grpc::client::Client,
    store::{FeedbackFilter, Store},
    triage::Verdict,
};

#[derive(Debug, Args)]
pub(in super::super) struct RecordArgs {
    /// The `decision_handle` that came with the decision
    #[arg(long, value_name = "HANDLE")]
    handle: String,
    /// Who says so
    #[arg(long = "by", value_name = "NAME")]
    source: String,
    /// A field whose proposal was right; may be repeated. Without it and --set, all that the decision showed
    #[arg(long = "accept", value_name = "FIELD")]
    accepted: Vec<String>,
    /// What a field turned out to be, such as category=network/vpn; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = parse_correction)]
    corrections: Vec<(String, String)>,
    /// When it was said, such as 2026-03-01 or 2026-03-01T09:30:00Z; without it, now
    #[arg(long = "at", value_name = "TIME", value_parser = parse_time)]
    given_at: Option<u64>,
    /// Model bundle that decides; without it the one that `triage classify` uses
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    model: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(in super::super) struct ListArgs {
    /// Only on this ticket
    #[arg(long, value_name = "ID")]
    ticket: Option<String>,
    /// Only from this source
    #[arg(long = "by", value_name = "NAME")]
    source: Option<String>,
    /// Only where something else had been proposed
    #[arg(long)]
    corrections: bool,
    /// Most to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(in super::super) struct WithdrawArgs {
    /// Number of the feedback, as `list` shows it
    #[arg(value_parser = parse_id)]
    id: FeedbackId,
    #[command(flatten)]
    place: Place,
}

/// Where feedback is kept, and how it is shown.
#[derive(Debug, Args)]
struct Place {
    /// Folder that the decision was made from
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn parse_correction(raw: &str) -> Result<(String, String), String> {
    let (field, value) = raw.split_once('=').ok_or("expected FIELD=VALUE, such as category=network/vpn")?;
    Ok((field.trim().to_owned(), value.trim().to_owned()))
}

fn parse_time(raw: &str) -> Result<u64, String> {
    seconds_of_text(raw)
        .ok_or_else(|| "expected a day such as 2026-03-01, or a time such as 2026-03-01T09:30:00Z".to_owned())
}

fn parse_id(raw: &str) -> Result<FeedbackId, String> {
    FeedbackId::parse(raw).ok_or_else(|| "expected a number from 1 on, as `triage feedback list` shows it".to_owned())
}

pub(super) fn record(args: &RecordArgs, config: &Config) -> anyhow::Result<()> {
    let RecordArgs { handle, source, accepted, corrections, given_at, model, place } = args;
    let mut by_field = std::collections::BTreeMap::new();
    for (field, value) in corrections {
        if by_field.insert(field.clone(), value.clone()).is_some() {
            return Err(UsageError(format!("--set names `{field}` twice")).into());
        }
    }
    let verdict =
        Verdict { source: source.clone(), given_at: *given_at, accepted: accepted.clone(), corrections: by_field };
    let receipt = if let Some(address) = &place.server {
        block_on(async { Client::connect(address, &config.client).await?.record_feedback(handle, verdict).await })?
    } else {
        check_exists(&place.data_dir)?;
        let triager = open_triager(model.as_deref(), Some(&place.data_dir), config)?;
        triager.learn(&triager.review_sealed(handle, &verdict, now())?)?
    };
    let FeedbackReceipt { id, is_new, memory_changed, held_back } = receipt;
    let mut out = io::stdout().lock();
    if place.json {
        let document =
            json!({"feedback": id.0, "recorded": is_new, "memory_changed": memory_changed, "held_back": held_back});
        writeln!(out, "{document}")?;
        return Ok(());
    }
    match (is_new, memory_changed) {
        (true, true) => writeln!(out, "recorded as {id}: the next decision on such a ticket knows it")?,
        (true, false) if held_back.is_empty() => {
            writeln!(out, "recorded as {id}; it changes nothing: the memory knew it, or something later stands")?;
        }
        (true, false) => writeln!(out, "recorded as {id}")?,
        (false, _) => {
            writeln!(out, "recorded before as {id}, nothing changed (what was withdrawn is said again with --at)")?;
        }
    }
    if !held_back.is_empty() {
        let fields = held_back.join(", ");
        writeln!(out, "not learnt from: {fields}; {source} corrected too much within the hour")?;
    }
    Ok(())
}

pub(super) fn list(args: &ListArgs, config: &Config) -> anyhow::Result<()> {
    let ListArgs { ticket, source, corrections, limit, place } = args;
    let filter = FeedbackFilter { ticket_id: ticket.clone(), source: source.clone(), corrections: *corrections };
    let records = if let Some(address) = &place.server {
        block_on(async { Client::connect(address, &config.client).await?.list_feedback(&filter, *limit).await })?
    } else {
        open(&place.data_dir, config)?.list(&filter, None, *limit as usize)?
    };
    let mut out = io::stdout().lock();
    if place.json {
        let feedback: Vec<Value> = records.iter().map(record_json).collect();
        writeln!(out, "{}", json!({"feedback": feedback}))?;
        return Ok(());
    }
    if records.is_empty() {
        writeln!(out, "no feedback of this kind")?;
    }
    for FeedbackRecord { id, ticket_id, source, given_at, withdrawn_at, outcomes, .. } in &records {
        let withdrawn = if withdrawn_at.is_some() { "  withdrawn" } else { "" };
        let (ticket, source, day) = (printable(ticket_id), printable(source), day_of(*given_at));
        writeln!(out, "{id:>6}  {day}  {ticket}  by {source}{withdrawn}")?;
        for KeptOutcome { outcome, counts } in outcomes {
            let FieldOutcome { field, value, proposal, .. } = outcome;
            let was = match proposal {
                Some(proposal) if proposal.value == *value => "as proposed".to_owned(),
                Some(proposal) => format!("proposed {}", printable(&proposal.value)),
                None => "nothing proposed".to_owned(),
            };
            let idle = if *counts { "" } else { ", does not count" };
            writeln!(out, "        {field} {} ({was}{idle})", printable(value))?;
        }
    }
    Ok(())
}

pub(super) fn withdraw(args: &WithdrawArgs, config: &Config) -> anyhow::Result<()> {
    let WithdrawArgs { id, place } = args;
    let withdrawn = if let Some(address) = &place.server {
        block_on(async { Client::connect(address, &config.client).await?.withdraw_feedback(*id).await })?
    } else {
        open(&place.data_dir, config)?.withdraw(*id)?
    };
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", json!({"withdrawn": withdrawn}))?;
    } else if withdrawn {
        writeln!(out, "withdrawn: decisions are as if it had never been given")?;
    } else {
        writeln!(out, "withdrawn before, nothing changed")?;
    }
    Ok(())
}

fn record_json(record: &FeedbackRecord) -> Value {
    let FeedbackRecord { id, ticket_id, source, given_at, recorded_at, withdrawn_at, model, taxonomy, outcomes } =
        record;
    let outcomes = outcomes.iter().map(|KeptOutcome { outcome, counts }| {
        let FieldOutcome { field, value, proposal, hindsight: _ } = outcome;
        let proposal = proposal.as_ref().map(|Proposal { value, confidence, route, abstention, promised: _ }| {
            let abstention = abstention.map(Abstention::as_str);
            json!({"value": value, "confidence": confidence, "route": route.as_str(), "abstention": abstention})
        });
        json!({"field": field, "value": value, "proposed": proposal, "counts": counts})
    });
    json!({
        "feedback": id.0,
        "ticket": ticket_id,
        "by": source,
        "given_at": given_at,
        "recorded_at": recorded_at,
        "withdrawn_at": withdrawn_at,
        "model": model,
        "taxonomy": taxonomy,
        "outcomes": outcomes.collect::<Vec<_>>(),
    })
}

/// A folder without a database made no decision.
pub(super) fn check_exists(data_dir: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "nothing was decided from {}: name the folder with --data-dir, or a running server with --server",
        data_dir.display()
    );
    Ok(())
}

fn open(data_dir: &Path, config: &Config) -> anyhow::Result<Feedback> {
    check_exists(data_dir)?;
    let store = Store::open(data_dir)?;
    let memory = data_dir::memory(&store, data_dir, config)?;
    Ok(Feedback::open(store, memory)?)
}
