//! `triage model`: which models there are, how they do, which one serves, and how another takes over: those of a data
//! directory, or those of a running server.

mod json;
mod tables;
mod train;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{DEFAULT_DATA_DIR, block_on, taxonomy::taxonomy_in_force};
use crate::{
    classify::Classifier,
    config::Config,
    domain::{
        model::{Activation, Verdict},
        taxonomy::Taxonomy,
    },
    grpc::client::{Client, ListedModels},
    registry::{Author, Comparison, DEFAULT_TICKETS, MAX_TICKETS, Model, Registry},
    store::Store,
};

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// List models and say which one serves
    List(ListArgs),
    /// Show how a model does
    Show(VersionArgs),
    /// Copy a bundle that `triage train` wrote into the data directory
    Import(ImportArgs),
    /// Train a model on the confirmed tickets of the memory, and on files
    Train(train::TrainArgs),
    /// Hold two models against each other on the latest confirmed tickets
    Compare(CompareArgs),
    /// Have a model answer silently beside the active one, or none
    Shadow(ShadowArgs),
    /// Have a model serve
    Activate(ActivateArgs),
    /// Have the model serve again that was active before
    Rollback(RollbackArgs),
    /// Delete a model
    Delete(VersionArgs),
    /// List which model began to serve when, by whom and why
    History(HistoryArgs),
}

#[derive(Debug, Args)]
struct Place {
    /// Folder that keeps the models
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// As `triage model list` names it; `embedded` is the one inside the program, `active` the active one
    #[arg(value_name = "VERSION")]
    version: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The bundle; of a server a folder of its own, in one of its jobs.folders
    #[arg(value_name = "DIR")]
    bundle: PathBuf,
    /// Who does it [default: the user]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The first model: a version of `triage model list`, `active` or `embedded`
    #[arg(value_name = "FIRST")]
    first: String,
    /// The second one
    #[arg(value_name = "SECOND")]
    second: String,
    /// On so many of the latest confirmed tickets
    #[arg(long, value_name = "N", default_value_t = DEFAULT_TICKETS as u32,
          value_parser = clap::value_parser!(u32).range(1..=MAX_TICKETS as i64))]
    tickets: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct ShadowArgs {
    /// The model that answers silently
    #[arg(value_name = "VERSION", required_unless_present = "none", conflicts_with = "none")]
    version: Option<String>,
    /// No model
    #[arg(long)]
    none: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct ActivateArgs {
    /// As `triage model list` names it, or `embedded` for the one inside the program
    #[arg(value_name = "VERSION")]
    version: String,
    /// Only where this one is active
    #[arg(long, value_name = "VERSION")]
    expected_active: Option<String>,
    /// Who does it [default: the user]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// Who does it [default: the user]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Most activations to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    place: Place,
}

/// The model that decides: that of `--model`, else the active one of the data directory where there is one, else the one
/// inside the program.
pub(super) fn classifier(
    bundle: Option<&Path>,
    registry: Option<&Registry>,
    config: &Config,
) -> anyhow::Result<Classifier> {
    let classifier = match (bundle, registry) {
        (Some(bundle), _) => Classifier::load(bundle, &config.encoders)?,
        (None, Some(registry)) => registry.serving()?,
        (None, None) => Classifier::embedded()?,
    };
    Ok(classifier.with_redactor(config.redactor.clone()))
}

pub(super) fn run(command: &ModelCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        ModelCommand::List(args) => list(&args.place, config),
        ModelCommand::Show(VersionArgs { version, place }) => {
            let model = match &place.server {
                Some(address) => {
                    block_on(async { Client::connect(address, &config.client).await?.model(version).await })?
                }
                None => open(&place.data_dir, config)?.get(version)?,
            };
            shown(&model, place.json)
        }
        ModelCommand::Import(args) => import(args, config),
        ModelCommand::Train(args) => train::run(args, config),
        ModelCommand::Compare(args) => compare(args, config),
        ModelCommand::Shadow(args) => shadow(args, config),
        ModelCommand::Activate(args) => activate(args, config),
        ModelCommand::Rollback(args) => roll_back(args, config),
        ModelCommand::Delete(VersionArgs { version, place }) => {
            match &place.server {
                Some(address) => {
                    block_on(async { Client::connect(address, &config.client).await?.delete_model(version).await })?;
                }
                None => open(&place.data_dir, config)?.delete(version)?,
            }
            said(place.json, &json!({"deleted": version}), &format!("{version} is deleted"))
        }
        ModelCommand::History(args) => history(args, config),
    }
}

/// The models of a folder that is there: one without a database is a misspelt one.
fn open(data_dir: &Path, config: &Config) -> anyhow::Result<Registry> {
    anyhow::ensure!(
        Store::exists(data_dir),
        "no models in {}: name the folder that keeps them with --data-dir, or a running server with --server",
        data_dir.display()
    );
    Ok(create(data_dir, config)?.0)
}

/// The same with the taxonomy in force there.
fn open_with_taxonomy(data_dir: &Path, config: &Config) -> anyhow::Result<(Registry, Arc<Taxonomy>)> {
    // Says what is missing where nothing is there.
    drop(open(data_dir, config)?);
    create(data_dir, config)
}

/// The models of a folder, which is created where it is absent, and the taxonomy in force there.
fn create(data_dir: &Path, config: &Config) -> anyhow::Result<(Registry, Arc<Taxonomy>)> {
    let store = Store::open(data_dir)?;
    let taxonomy = taxonomy_in_force(&store, config)?;
    Ok((Registry::open(store, data_dir, config.redactor.clone(), config.encoders.clone())?, taxonomy))
}

/// Who does something: as named, else the user.
fn author(by: Option<&String>, reason: &str) -> Author {
    let user = || ["USER", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    Author { by: by.cloned().unwrap_or_else(user), reason: reason.to_owned() }
}

/// One line for people, or a document.
fn said(as_json: bool, document: &Value, line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn shown(model: &Model, as_json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json::model(model))?;
    } else {
        tables::model(&mut out, model)?;
    }
    Ok(())
}

fn list(place: &Place, config: &Config) -> anyhow::Result<()> {
    let listed = if let Some(address) = &place.server {
        block_on(async { Client::connect(address, &config.client).await?.list_models().await })?
    } else {
        let registry = open(&place.data_dir, config)?;
        let serving = registry.active()?.version;
        let (pinned, agreement) = (String::new(), std::collections::BTreeMap::new());
        ListedModels { models: registry.list()?, serving, pinned, agreement, dropped: 0 }
    };
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", json::list(&listed))?;
    } else {
        tables::list(&mut out, &listed)?;
    }
    Ok(())
}

fn import(args: &ImportArgs, config: &Config) -> anyhow::Result<()> {
    let ImportArgs { bundle, by, place } = args;
    let Author { by, .. } = author(by.as_ref(), "");
    let model = if let Some(address) = &place.server {
        block_on(async { Client::connect(address, &config.client).await?.import_model(bundle, &by).await })?
    } else {
        let (registry, _) = create(&place.data_dir, config)?;
        let imported = registry.import(bundle, &by)?;
        registry.get(&imported.version)?
    };
    shown(&model, place.json)
}

fn compare(args: &CompareArgs, config: &Config) -> anyhow::Result<()> {
    let CompareArgs { first, second, tickets, place } = args;
    let comparison: Comparison = if let Some(address) = &place.server {
        block_on(async {
            Client::connect(address, &config.client).await?.compare_models(first, second, Some(*tickets)).await
        })?
    } else {
        let (registry, taxonomy) = open_with_taxonomy(&place.data_dir, config)?;
        registry.compare(&registry.find(first)?, &registry.find(second)?, *tickets as usize, &taxonomy)?
    };
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", json::comparison(&comparison))?;
    } else {
        tables::comparison(&mut out, &comparison)?;
    }
    Ok(())
}

fn shadow(args: &ShadowArgs, config: &Config) -> anyhow::Result<()> {
    let ShadowArgs { version, none: _, place } = args;
    let version = version.as_deref();
    match &place.server {
        Some(address) => {
            block_on(async { Client::connect(address, &config.client).await?.set_shadow(version).await })?;
        }
        None => open(&place.data_dir, config)?.set_shadow(version, |_| Ok(()))?,
    }
    let line = match version {
        Some(version) => format!("{version} answers silently beside the active model"),
        None => "no model answers silently".to_owned(),
    };
    said(place.json, &json!({"shadow": version}), &line)
}

fn activate(args: &ActivateArgs, config: &Config) -> anyhow::Result<()> {
    let ActivateArgs { version, expected_active, by, reason, place } = args;
    let (author, expected) = (author(by.as_ref(), reason), expected_active.as_deref());
    let (active, previous) = if let Some(address) = &place.server {
        let activated = block_on(async {
            Client::connect(address, &config.client).await?.activate_model(version, expected, author).await
        })?;
        (activated.0.version, activated.1)
    } else {
        let (registry, taxonomy) = open_with_taxonomy(&place.data_dir, config)?;
        // Nothing serves here: what is written down serves at the next start.
        let activated = registry.activate(version, expected, &author, &taxonomy, |_| Ok(()))?;
        let active = registry.find(version)?.version;
        (active.clone(), activated.map_or(active, |activation| activation.previous.version))
    };
    let line = if active == previous {
        format!("{active} is active already: nothing changed")
    } else {
        format!("{active} is active in place of {previous}; `triage model rollback` takes that back")
    };
    said(place.json, &json!({"active": active, "previous": previous}), &line)
}

fn roll_back(args: &RollbackArgs, config: &Config) -> anyhow::Result<()> {
    let RollbackArgs { by, reason, place } = args;
    let author = author(by.as_ref(), reason);
    let (active, previous) = if let Some(address) = &place.server {
        let rolled_back =
            block_on(async { Client::connect(address, &config.client).await?.roll_back_model(author).await })?;
        (rolled_back.0.version, rolled_back.1)
    } else {
        let (registry, taxonomy) = open_with_taxonomy(&place.data_dir, config)?;
        let rolled_back = registry.roll_back(&author, &taxonomy, |_| Ok(()))?;
        (rolled_back.model.version, rolled_back.previous.version)
    };
    let line = format!("{active} is active again in place of {previous}");
    said(place.json, &json!({"active": active, "previous": previous}), &line)
}

/// Verdicts shown beside a history.
const LISTED_VERDICTS: usize = 100;

fn history(args: &HistoryArgs, config: &Config) -> anyhow::Result<()> {
    let HistoryArgs { limit, place } = args;
    let (activations, verdicts): (Vec<Activation>, Vec<Verdict>) = if let Some(address) = &place.server {
        block_on(async { Client::connect(address, &config.client).await?.activations(*limit).await })?
    } else {
        let registry = open(&place.data_dir, config)?;
        (registry.activations(None, *limit)?, registry.verdicts(LISTED_VERDICTS)?)
    };
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", json::history(&activations, &verdicts))?;
    } else {
        tables::history(&mut out, &activations, &verdicts)?;
    }
    Ok(())
}
