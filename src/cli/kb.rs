//! `triage kb`: fill, keep, search and measure the knowledge base of a data directory.

mod answer;
mod articles;
mod eval;
mod gaps;
mod import;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DEFAULT_DATA_DIR, UsageError, block_on, classify::article_json, data_dir, render};
use crate::{
    config::Config,
    domain::article::{Day, FoundArticle},
    grpc::client::Client,
    knowledge::{self, KnowledgeBase, SearchFilter},
    store::Store,
};

#[derive(Debug, Subcommand)]
pub(super) enum KbCommand {
    /// Add articles, or replace those that changed
    Import(import::ImportArgs),
    /// Find articles by their words
    Search(SearchArgs),
    /// Answer what the user of a chatbot says, or say why there is no answer
    Answer(answer::AnswerArgs),
    /// Show an article, or what it said in an earlier version
    Get(articles::GetArgs),
    /// List the versions of an article that are kept
    Versions(articles::VersionsArgs),
    /// List articles by their ids
    List(articles::ListArgs),
    /// Put articles in force, so that they are suggested
    Publish(articles::PublishArgs),
    /// Take articles out of force: found by a search, suggested no more
    Retire(articles::RetireArgs),
    /// Delete articles by their ids; their texts stay readable by version unless they are erased
    Delete(articles::DeleteArgs),
    /// Measure how well articles are suggested, on questions whose answer is known
    Eval(eval::EvalArgs),
    /// Show what it lacks: tickets that no article answers, and articles that do no good
    Gaps(gaps::GapsArgs),
}

#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// Words to look for; "quoted phrases" match exactly
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// Folder with the knowledge base
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Most articles to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: KbCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        KbCommand::Import(args) => import::run(&args, config),
        KbCommand::Search(args) => search(&args, config),
        KbCommand::Answer(args) => answer::run(&args, config),
        KbCommand::Get(args) => articles::get(&args, config),
        KbCommand::Versions(args) => articles::versions(&args, config),
        KbCommand::List(args) => articles::list(&args, config),
        KbCommand::Publish(args) => articles::publish(&args, config),
        KbCommand::Retire(args) => articles::retire(&args, config),
        KbCommand::Delete(args) => articles::delete(&args, config),
        KbCommand::Eval(args) => eval::run(&args, config),
        KbCommand::Gaps(args) => gaps::run(&args, config),
    }
}

fn search(args: &SearchArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let query = args.words.join(" ");
    if !query.contains(char::is_alphanumeric) {
        return Err(UsageError("nothing to search for: give at least one word".to_owned()).into());
    }
    let found = if let Some(address) = &args.server {
        block_on(async { Client::connect(address, &config.client).await?.search(&query, args.limit).await })?
    } else {
        let knowledge = open_existing(&args.data_dir, config)?;
        let hits = knowledge.search(&query, &SearchFilter::default(), 0, args.limit as usize)?;
        knowledge.with_last_days(hits)?
    };
    let today = knowledge::today().context("the system's clock shows no date")?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", found_json(&found, today))?;
    } else if found.is_empty() {
        writeln!(out, "no article holds these words")?;
    } else {
        render::found_articles(&mut out, &found, today)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn found_json(found: &[FoundArticle], today: Day) -> Value {
    let articles = found.iter().map(|article| {
        let mut document = article_json(&article.hit);
        document["valid_until"] = article.valid_until.map(|day| day.to_string()).into();
        document["expired"] = article.expired(today).is_some().into();
        document
    });
    json!({"articles": articles.collect::<Vec<_>>()})
}

/// For commands that only read: a folder without a knowledge base is a misspelt one.
fn open_existing(data_dir: &Path, config: &Config) -> anyhow::Result<KnowledgeBase> {
    data_dir::knowledge(&existing_store(data_dir)?, data_dir, config)
}

fn existing_store(data_dir: &Path) -> anyhow::Result<Store> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "no knowledge base in {}: fill one with `triage kb import`, or name another folder with --data-dir",
        data_dir.display()
    );
    Ok(Store::open(data_dir)?)
}
