//! `triage memory`: fill the memory of confirmed tickets, look into it, and take tickets out of it.

mod import;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DEFAULT_DATA_DIR, UsageError, block_on, data_dir, progress::Progress, render};
use crate::{
    config::Config,
    domain::{decision::Evidence, memory::SimilarTicket, ticket::TicketDraft},
    error::TriageError,
    grpc::client::Client,
    knowledge,
    memory::Memory,
    store::Store,
    triage::Suggester,
};

#[derive(Debug, Subcommand)]
pub(super) enum MemoryCommand {
    /// Add solved tickets from an export, or replace those that changed
    Import(Box<import::ImportArgs>),
    /// Delete tickets by their ids: from database and index, with all of their text
    Delete(DeleteArgs),
    /// Show the tickets that are most like a text
    Similar(SimilarArgs),
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Ids of the tickets
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Folder with the memory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Have a running server delete them
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SimilarArgs {
    /// The text of a ticket
    #[arg(required = true)]
    text: Vec<String>,
    /// Folder with the memory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Most tickets to show
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10))]
    limit: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: MemoryCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        MemoryCommand::Import(args) => import::run(&args, config),
        MemoryCommand::Delete(args) => delete(&args, config),
        MemoryCommand::Similar(args) => similar(&args, config),
    }
}

fn delete(args: &DeleteArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let unknown = if let Some(address) = &args.server {
        block_on(async { Client::connect(address, &config.client).await?.delete_tickets(&args.ids).await })?
    } else {
        open_existing(&args.data_dir, config)?.delete(&args.ids)?
    };
    let deleted = args.ids.len() - unknown.len();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({"deleted": deleted, "unknown": unknown}))?;
    } else {
        for id in &unknown {
            eprintln!("warning: no ticket `{id}` in the memory");
        }
        writeln!(out, "{deleted} deleted")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn similar(args: &SimilarArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let draft = TicketDraft { description: args.text.join(" "), ..TicketDraft::default() };
    if !draft.description.contains(char::is_alphanumeric) {
        return Err(UsageError("nothing to compare with: give the text of a ticket".to_owned()).into());
    }
    let limit = args.limit as usize;
    let tickets = if let Some(address) = &args.server {
        block_on(async { Client::connect(address, &config.client).await?.similar_tickets(draft, args.limit).await })?
    } else {
        let ticket = draft.parse("", &config.limits.ticket).map_err(TriageError::InvalidRequest)?;
        let memory = open_existing(&args.data_dir, config)?;
        if memory.count() == 0 {
            eprintln!("warning: there is no ticket in the memory; fill it with `triage memory import`");
        }
        memory.view().similar(&ticket, limit)?
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({"tickets": tickets.iter().map(similar_json).collect::<Vec<_>>()}))?;
    } else if tickets.is_empty() {
        writeln!(out, "no ticket in the memory is like this")?;
    } else {
        render::similar_tickets(&mut out, &tickets)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A ticket that is like another as every command prints it for programs.
pub(super) fn similar_json(ticket: &SimilarTicket) -> Value {
    let SimilarTicket { id, summary, similarity, labels, articles, resolution, resolved_on, shared } = ticket;
    let shared = shared.iter().map(|evidence| {
        let Evidence { part: _, bytes, utf16: _, text, weight } = evidence;
        json!({"text": text, "start": bytes.start, "end": bytes.end, "weight": weight})
    });
    json!({
        "id": id,
        "summary": summary,
        "similarity": similarity,
        "labels": labels,
        "articles": articles,
        "resolution": resolution.text,
        "resolved_on": resolved_on.map(|day| day.to_string()),
        "shared": shared.collect::<Vec<_>>(),
    })
}

/// For commands that only read or delete: a folder without a database is a misspelt one.
fn open_existing(data_dir: &Path, config: &Config) -> anyhow::Result<Memory> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "no memory in {}: fill one with `triage memory import`, or name another folder with --data-dir",
        data_dir.display()
    );
    open(data_dir, config)
}

/// Takes up what is new in the memory, where there are articles too.
fn learn(store: &Store, memory: Memory, data_dir: &Path, config: &Config) -> anyhow::Result<()> {
    let knowledge = data_dir::knowledge(store, data_dir, config)?;
    let today = knowledge::today().context("the system's clock shows no date")?;
    let Some(mut learning) = Suggester::new(knowledge, Some(memory), config.redactor.clone())?.learning(today) else {
        return Ok(());
    };
    let bar = Progress::counting("steps of learning from past links");
    while learning.step()? {
        bar.step();
    }
    learning.finish()?;
    bar.finish();
    Ok(())
}

fn open(data_dir: &Path, config: &Config) -> anyhow::Result<Memory> {
    data_dir::memory(&Store::open(data_dir)?, data_dir, config)
}
