//! `triage feedback`: say what became of what was proposed, look at what was said, and take it back.

mod decision;
mod import;
mod trust;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::json;

use super::{DEFAULT_DATA_DIR, block_on, data_dir};
use crate::{
    config::Config,
    domain::feedback::{ArticleEvent, FeedbackEffect},
    feedback::Feedback,
    grpc::client::Client,
    store::Store,
};

#[derive(Debug, Subcommand)]
pub(super) enum FeedbackCommand {
    /// Say what a decided ticket turned out to be: the next decision knows it
    Record(decision::RecordArgs),
    /// Learn from resolved tickets: their values at close are compared with what would have been proposed
    Import(Box<import::ImportArgs>),
    /// Show what was said of decisions, the latest first
    List(decision::ListArgs),
    /// Show how far decisions may be trusted: volume, abstention, overrides, and whether promises are kept
    Trust(trust::TrustArgs),
    /// Take feedback back, as if it had never been given
    Withdraw(decision::WithdrawArgs),
    /// Say what became of a suggested article: what helped becomes memory
    Article(ArticleArgs),
}

#[derive(Debug, Args)]
pub(super) struct ArticleArgs {
    /// The `suggestion_handle` that came with the suggestion
    #[arg(long, value_name = "HANDLE")]
    handle: String,
    /// Id of the article, one of the suggestion
    #[arg(long, value_name = "ID")]
    article: String,
    /// What became of it
    #[arg(long, value_name = "EVENT", value_parser = event_parser())]
    event: ArticleEvent,
    /// Folder that the suggestion was made from
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Tell a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn event_parser() -> impl clap::builder::TypedValueParser<Value = ArticleEvent> {
    use clap::builder::TypedValueParser as _;

    let names = ArticleEvent::ALL.map(ArticleEvent::as_str);
    PossibleValuesParser::new(names).try_map(|name| ArticleEvent::parse(&name).ok_or("no event"))
}

pub(super) fn run(command: FeedbackCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        FeedbackCommand::Record(args) => decision::record(&args, config),
        FeedbackCommand::Import(args) => import::run(&args, config),
        FeedbackCommand::List(args) => decision::list(&args, config),
        FeedbackCommand::Trust(args) => trust::run(&args, config),
        FeedbackCommand::Withdraw(args) => decision::withdraw(&args, config),
        FeedbackCommand::Article(args) => article(&args, config),
    }
}

fn article(args: &ArticleArgs, config: &Config) -> anyhow::Result<()> {
    let ArticleArgs { handle, article, event, data_dir, server, json } = args;
    let effect = if let Some(address) = server {
        block_on(async {
            Client::connect(address, &config.client).await?.record_article_feedback(handle, article, *event).await
        })?
    } else {
        let feedback = open_existing(data_dir, config)?;
        feedback.record(&feedback.parse(handle, article, *event)?)?
    };
    let FeedbackEffect { is_new, memory_changed } = effect;
    let mut out = io::stdout().lock();
    if *json {
        writeln!(out, "{}", json!({"recorded": is_new, "memory_changed": memory_changed}))?;
    } else {
        let recorded = if is_new { "recorded" } else { "recorded before, nothing changed" };
        let memory = match (memory_changed, event) {
            (true, ArticleEvent::Refused) => ": the memory knows that it was of no use for this ticket",
            (true, _) => ": the memory knows that it solved this ticket",
            (false, _) => "",
        };
        writeln!(out, "{recorded}{memory}")?;
    }
    Ok(())
}

/// A folder without a database gave no handle.
fn open_existing(data_dir: &Path, config: &Config) -> anyhow::Result<Feedback> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "nothing was suggested from {}: name the folder with --data-dir, or a running server with --server",
        data_dir.display()
    );
    let store = Store::open(data_dir)?;
    let memory = data_dir::memory(&store, data_dir, config)?;
    Ok(Feedback::open(store, memory)?)
}
