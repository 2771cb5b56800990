//! `triage taxonomy`: look at what tickets are sorted into, and change it: in a data directory, or at a running server.

mod arguments;
mod show;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use self::arguments::{
    parse_label, parse_level, parse_matrix, parse_priority, parse_span, route_setting, source_parser,
};
pub(super) use self::show::sla_json;
use super::{DEFAULT_DATA_DIR, UsageError, block_on, output, reclassify};
use crate::{
    config::{Config, taxonomy as file},
    domain::{
        priority::{Impact, Priority, PriorityMatrix},
        sla::SlaTarget,
        taxonomy::{ImpactSourceKind, Label, Taxonomy, TaxonomyChange},
    },
    error::TriageError,
    grpc::client::{Client, ServedTaxonomy},
    registry::Registry,
    store::Store,
    taxonomy::{NewRevision, Outcome, Revision, Taxonomies},
    triage::Triager,
};

#[derive(Debug, Subcommand)]
pub(super) enum TaxonomyCommand {
    /// Show the taxonomy in force
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Write the taxonomy in force as a taxonomy file
    Export {
        /// The file; without it standard output
        #[arg(value_name = "OUT")]
        out: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Put the taxonomy of a file in force
    Apply {
        /// A taxonomy file, as `export` writes it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Add a label: it works at once from its description and a few examples
    Add {
        field: String,
        label: String,
        /// What belongs under it
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        description: String,
        /// The text of such a ticket; may be repeated, up to 50
        #[arg(long = "example", value_name = "TEXT")]
        examples: Vec<String>,
        /// The field is new as well
        #[arg(long)]
        new_field: bool,
        #[command(flatten)]
        how: How,
    },
    /// Say what belongs under a label
    #[command(group(clap::ArgGroup::new("said").required(true).multiple(true).args(["description", "examples", "no_examples"])))]
    Describe {
        field: String,
        label: String,
        /// What belongs under it
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// The text of such a ticket, in place of those that there were; may be repeated, up to 50
        #[arg(long = "example", id = "examples", value_name = "TEXT", conflicts_with = "no_examples")]
        examples: Vec<String>,
        /// Without examples from now on
        #[arg(long)]
        no_examples: bool,
        #[command(flatten)]
        how: How,
    },
    /// Give a label, with all below it, another name; the old one counts for it
    Rename {
        field: String,
        old: String,
        new: String,
        #[command(flatten)]
        how: How,
    },
    /// Make several labels one, which counts what they counted
    Merge {
        field: String,
        /// A label in use
        into: String,
        /// Labels that become it
        #[arg(required = true)]
        from: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Retire a label and put new ones in its place
    Split {
        field: String,
        old: String,
        /// At least two
        #[arg(required = true, num_args = 2.., value_name = "NEW[=DESCRIPTION]", value_parser = parse_label)]
        new: Vec<Label>,
        #[command(flatten)]
        how: How,
    },
    /// Never propose a label, and those below it, again
    Retire {
        field: String,
        label: String,
        #[command(flatten)]
        how: How,
    },
    /// Take a retired label, and those below it, into use again
    Restore {
        field: String,
        label: String,
        #[command(flatten)]
        how: How,
    },
    /// Say what may be done with the values of a field: off, monitor, recommend or autofill
    Route {
        field: String,
        #[arg(value_parser = ["off", "monitor", "recommend", "autofill"])]
        route: String,
        /// With autofill: the share of filled values that must be right, 0.5 to 0.999 [default: 0.95]
        #[arg(long, value_name = "P")]
        precision: Option<f64>,
        #[command(flatten)]
        how: How,
    },
    /// Say which group takes a category, or a whole first level
    Group {
        category: String,
        /// Without it the category has no group of its own any more
        group: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Say how grave every ticket about a service, a CI or a requester is
    Impact {
        /// service, ci or requester
        #[arg(value_name = "KIND", value_parser = source_parser())]
        kind: ImpactSourceKind,
        name: String,
        /// high, medium, low, or none to take the entry away
        #[arg(value_name = "LEVEL", value_parser = parse_level)]
        impact: Level,
        #[command(flatten)]
        how: How,
    },
    /// Say how soon tickets of a priority are to be answered and solved
    Sla {
        /// P1 to P5
        #[arg(value_parser = parse_priority)]
        priority: Priority,
        /// Such as 15m, 4h, 1d or 1w
        #[arg(long, value_name = "TIME", value_parser = parse_span)]
        response: std::time::Duration,
        /// Such as 15m, 4h, 1d or 1w
        #[arg(long, value_name = "TIME", value_parser = parse_span)]
        resolution: std::time::Duration,
        #[command(flatten)]
        how: How,
    },
    /// Set the priority matrix
    Matrix {
        /// Rows impact, columns urgency, each high to low: 1,2,3/2,3,4/3,4,5
        #[arg(value_name = "ROWS", value_parser = parse_matrix)]
        matrix: PriorityMatrix,
        #[command(flatten)]
        how: How,
    },
    /// List the versions that are or were in force, the latest first
    History {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        #[command(flatten)]
        place: Place,
    },
    /// Put an older version in force again
    Revert {
        /// As `history` numbers it
        number: u64,
        #[command(flatten)]
        how: How,
    },
}

/// What an impact source raises to; `None` takes it away.
type Level = Option<Impact>;

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Folder that keeps the taxonomy
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["data_dir", "model"])]
    server: Option<String>,
    /// The model that serves with this folder, whose labels are listed; without it the active one there
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct How {
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Who changes it, for the history [default: the name of this user]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Refuse it unless this version is in force, as `show` names it
    #[arg(long, value_name = "VERSION")]
    expect: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &TaxonomyCommand, config: &Config) -> anyhow::Result<()> {
    let change = |change: TaxonomyChange, how: &How| revise(Revision::Changes(vec![change]), how, config);
    match command {
        TaxonomyCommand::Show { place } => show(place, config),
        TaxonomyCommand::Export { out, place } => export(out.as_deref(), place, config),
        TaxonomyCommand::History { limit, place } => history(usize::from(*limit), place, config),
        TaxonomyCommand::Revert { number, how } => revise(Revision::Version(*number), how, config),
        TaxonomyCommand::Apply { file, how } => {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            revise(Revision::Document(text), how, config)
        }
        TaxonomyCommand::Add { field, label, description, examples, new_field, how } => {
            let label = Label { examples: examples.clone(), ..Label::new(label, description) };
            let field = field.clone();
            let added = if *new_field {
                TaxonomyChange::AddField { field, labels: vec![label] }
            } else {
                TaxonomyChange::AddLabel { field, label }
            };
            change(added, how)
        }
        TaxonomyCommand::Describe { field, label, description, examples, no_examples, how } => {
            let examples = (*no_examples || !examples.is_empty()).then(|| examples.clone());
            let (field, value) = (field.clone(), label.clone());
            change(TaxonomyChange::Describe { field, value, description: description.clone(), examples }, how)
        }
        TaxonomyCommand::Rename { field, old, new, how } => {
            change(TaxonomyChange::Rename { field: field.clone(), from: old.clone(), to: new.clone() }, how)
        }
        TaxonomyCommand::Merge { field, into, from, how } => {
            change(TaxonomyChange::Merge { field: field.clone(), into: into.clone(), from: from.clone() }, how)
        }
        TaxonomyCommand::Split { field, old, new, how } => {
            change(TaxonomyChange::Split { field: field.clone(), from: old.clone(), into: new.clone() }, how)
        }
        TaxonomyCommand::Retire { field, label, how } => {
            change(TaxonomyChange::Retire { field: field.clone(), value: label.clone() }, how)
        }
        TaxonomyCommand::Restore { field, label, how } => {
            change(TaxonomyChange::Restore { field: field.clone(), value: label.clone() }, how)
        }
        TaxonomyCommand::Route { field, route, precision, how } => {
            let route = route_setting(route, *precision)?;
            change(TaxonomyChange::SetRoute { field: field.clone(), route }, how)
        }
        TaxonomyCommand::Group { category, group, how } => {
            change(TaxonomyChange::SetGroup { category: category.clone(), group: group.clone() }, how)
        }
        TaxonomyCommand::Impact { kind, name, impact, how } => {
            change(TaxonomyChange::SetImpactSource { kind: *kind, name: name.clone(), impact: *impact }, how)
        }
        TaxonomyCommand::Sla { priority, response, resolution, how } => {
            let target = SlaTarget::new(*response, *resolution).map_err(UsageError)?;
            change(TaxonomyChange::SetSla { priority: *priority, target }, how)
        }
        TaxonomyCommand::Matrix { matrix, how } => change(TaxonomyChange::SetMatrix(matrix.clone()), how),
    }
}

/// The taxonomy that decides with what this data directory keeps.
pub(super) fn taxonomy_in_force(store: &Store, config: &Config) -> anyhow::Result<Arc<Taxonomy>> {
    let taxonomies = Taxonomies::new(store.clone(), config.taxonomy_file.as_deref());
    in_plain_words(taxonomies.in_force(&config.taxonomy))
}

/// Without places in a request that nobody here has written.
fn in_plain_words<T>(result: Result<T, TriageError>) -> anyhow::Result<T> {
    result.map_err(|error| {
        let TriageError::InvalidRequest(violations) = error else { return error.into() };
        let said: Vec<_> = violations.into_iter().map(|violation| violation.description).collect();
        match said.as_slice() {
            [only] => anyhow::anyhow!("{only}"),
            _ => anyhow::anyhow!("{} problems\n  {}", said.len(), said.join("\n  ")),
        }
    })
}

/// The taxonomy in force with its number and, where a file is the truth, that file.
fn in_force(place: &Place, config: &Config) -> anyhow::Result<(Taxonomy, ServedTaxonomy)> {
    if let Some(address) = &place.server {
        let served = block_on(async { Client::connect(address, &config.client).await?.taxonomy().await })?;
        let taxonomy = file::parse_kept(&served.document)
            .map_err(|error| anyhow::anyhow!("{address} has a taxonomy that this version does not know: {error}"))?;
        return Ok((taxonomy, served));
    }
    // Looking leaves no folder behind.
    let store = Store::exists(&place.data_dir).then(|| Store::open(&place.data_dir)).transpose()?;
    let triager = triager(place, store.clone(), config)?;
    let (taxonomy, number) = if let Some(store) = store {
        let number = in_plain_words(Taxonomies::new(store.clone(), config.taxonomy_file.as_deref()).number())?;
        (taxonomy_in_force(&store, config)?, number)
    } else {
        (Arc::new(config.taxonomy.clone()), None)
    };
    let mut warnings = taxonomy.warnings();
    warnings.extend(triager.with_taxonomy(Arc::clone(&taxonomy)).mismatches());
    let file = config.taxonomy_file.as_ref().map(|file| file.display().to_string());
    let served = ServedTaxonomy { document: file::write(&taxonomy), warnings, number, file };
    Ok((Taxonomy::clone(&taxonomy), served))
}

fn show(place: &Place, config: &Config) -> anyhow::Result<()> {
    let (taxonomy, served) = in_force(place, config)?;
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", show::taxonomy_json(&taxonomy, &served))?;
    } else {
        show::taxonomy(&mut out, &taxonomy, &served)?;
        warn(&served.warnings);
    }
    Ok(())
}

fn export(out: Option<&Path>, place: &Place, config: &Config) -> anyhow::Result<()> {
    let Some(out) = out else {
        let (taxonomy, served) = in_force(place, config)?;
        let document = if place.json {
            format!("{}\n", serde_json::json!({"version": taxonomy.version, "document": served.document}))
        } else {
            served.document
        };
        return Ok(write!(io::stdout(), "{document}")?);
    };
    output::check("OUT", out, &[])?;
    let (taxonomy, served) = in_force(place, config)?;
    fs::write(out, &served.document).with_context(|| format!("cannot write {}", out.display()))?;
    if place.json {
        let document = serde_json::json!({"version": taxonomy.version, "output": out.display().to_string()});
        writeln!(io::stdout(), "{document}")?;
    } else {
        writeln!(io::stdout(), "taxonomy {} is in {}", taxonomy.version, out.display())?;
    }
    Ok(())
}

fn history(limit: usize, place: &Place, config: &Config) -> anyhow::Result<()> {
    let records = if let Some(address) = &place.server {
        block_on(async { Client::connect(address, &config.client).await?.taxonomy_versions(limit).await })?
    } else if Store::exists(&place.data_dir) {
        let store = Store::open(&place.data_dir)?;
        in_plain_words(Taxonomies::new(store, config.taxonomy_file.as_deref()).list(None, limit))?.0
    } else {
        Vec::new()
    };
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", show::history_json(&records))?;
    } else {
        show::history(&mut out, &records)?;
    }
    Ok(())
}

fn revise(revision: Revision, how: &How, config: &Config) -> anyhow::Result<()> {
    let How { dry_run, by, expect, place } = how;
    let user = || ["USER", "USERNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let changed_by = by.clone().unwrap_or_else(user);
    let asked = NewRevision { revision, expected_version: expect.clone(), changed_by };
    let outcome = match &place.server {
        Some(address) => {
            block_on(async { Client::connect(address, &config.client).await?.revise_taxonomy(asked, *dry_run).await })?
        }
        None => revise_here(&asked, *dry_run, place, config)?,
    };
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{}", show::outcome_json(&outcome, *dry_run))?;
    } else {
        show::outcome(&mut out, &outcome, *dry_run)?;
        warn(&outcome.warnings);
    }
    Ok(())
}

/// The model that decides: the one named, else the one that is active in the data directory.
fn triager(place: &Place, store: Option<Store>, config: &Config) -> anyhow::Result<Triager> {
    let registry = store
        .map(|store| Registry::open(store, &place.data_dir, config.redactor.clone(), config.encoders.clone()))
        .transpose()?;
    reclassify::triager(place.model.as_deref(), registry.as_ref(), config)
}

fn revise_here(asked: &NewRevision, dry_run: bool, place: &Place, config: &Config) -> anyhow::Result<Outcome> {
    if let Some(file) = &config.taxonomy_file {
        // Before a folder is made for what is not to be.
        return Err(TriageError::TaxonomyInFile { file: file.clone() }.into());
    }
    let store = Store::open(&place.data_dir)?;
    let triager = triager(place, Some(store.clone()), config)?;
    let taxonomies = Taxonomies::new(store, None);
    let now = in_plain_words(taxonomies.in_force(&config.taxonomy))?;
    let triager = triager.with_taxonomy(Arc::clone(&now));
    let revised = in_plain_words(taxonomies.plan(&triager, asked))?;
    if dry_run || !revised.is_new {
        return Ok(revised.outcome(None));
    }
    let number = in_plain_words(taxonomies.keep(&now, &revised, &asked.changed_by))?;
    Ok(revised.outcome(Some(number)))
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {}", crate::domain::steering::without(warning));
    }
}
