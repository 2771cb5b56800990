//! `triage kb get`, `versions`, `list`, `publish`, `retire` and `delete`: what whoever keeps the knowledge base does with
//! articles that are in it, in a data directory or through a running server.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::super::{
    DEFAULT_DATA_DIR, block_on,
    job::timestamp,
    render::{printable, shortened},
};
use crate::{
    config::Config,
    domain::{
        article::{Article, ArticleKind, ArticleStatus, Day, LastDay},
        feedback::ArticleUsage,
        known_error::ArticleVersion,
        steering,
    },
    grpc::client::{Client, ServedArticle},
    knowledge::{self, KnowledgeBase},
    store::{ArticleFilter, ArticleText, KEPT_VERSIONS},
};

/// Articles read at a time.
const PAGE: usize = 500;
const MAX_TITLE_CHARS: usize = 60;

/// Where the articles are.
#[derive(Debug, Args)]
pub(in super::super) struct Place {
    /// Folder with the knowledge base
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Ask a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
}

impl Place {
    fn knowledge(&self, config: &Config) -> anyhow::Result<KnowledgeBase> {
        super::open_existing(&self.data_dir, config)
    }
}

#[derive(Debug, Args)]
pub(in super::super) struct GetArgs {
    /// Id of the article
    #[arg(value_name = "ID")]
    id: String,
    /// The text of this version instead of the one in force; also of a deleted article
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    #[command(flatten)]
    place: Place,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in super::super) struct VersionsArgs {
    /// Id of the article
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in super::super) struct ListArgs {
    /// Only articles of this kind
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    kind: Vec<ArticleKind>,
    /// Only articles of this status
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    status: Vec<ArticleStatus>,
    /// Only articles whose last day is past
    #[arg(long)]
    expired: bool,
    #[command(flatten)]
    place: Place,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in super::super) struct PublishArgs {
    /// Ids of the articles
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Last day on which they may be suggested, or `none`
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_last_day)]
    valid_until: Option<LastDay>,
    #[command(flatten)]
    place: Place,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in super::super) struct RetireArgs {
    /// Ids of the articles
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in super::super) struct DeleteArgs {
    /// Ids of the articles
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Erase all their texts too, also of articles that were deleted before
    #[arg(long)]
    erase_versions: bool,
    #[command(flatten)]
    place: Place,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn parse_kind(raw: &str) -> Result<ArticleKind, String> {
    ArticleKind::parse(raw).ok_or_else(|| format!("it is one of {}", ArticleKind::NAMES.join(", ")))
}

fn parse_status(raw: &str) -> Result<ArticleStatus, String> {
    ArticleStatus::parse(raw).ok_or_else(|| format!("it is one of {}", ArticleStatus::NAMES.join(", ")))
}

fn parse_last_day(raw: &str) -> Result<LastDay, String> {
    if raw == "none" {
        return Ok(LastDay::None);
    }
    Day::parse(raw).map(LastDay::On).ok_or_else(|| "write YYYY-MM-DD, or none".to_owned())
}

pub(super) fn get(args: &GetArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let ServedArticle { text, usage } = if let Some(address) = &args.place.server {
        block_on(async { Client::connect(address, &config.client).await?.article(&args.id, args.version).await })?
    } else {
        let text = args.place.knowledge(config)?.text(&args.id, args.version)?;
        ServedArticle { text, usage: super::existing_store(&args.place.data_dir)?.article_usage(&args.id)? }
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", text_json(&text, usage))?;
    } else {
        show(&mut out, &text, usage)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(out: &mut impl Write, text: &ArticleText, usage: ArticleUsage) -> io::Result<()> {
    let ArticleText { article, made_at, current_version } = text;
    writeln!(out, "{}  {}", printable(&article.id), printable(&article.title))?;
    let made = made_at.map(|seconds| format!(" of {}", timestamp(seconds))).unwrap_or_default();
    let force = match *current_version {
        0 => "; the article was deleted".to_owned(),
        current if current != article.version => format!("; version {current} is in force"),
        _ => String::new(),
    };
    let kind = article.kind.as_str().replace('_', " ");
    writeln!(out, "{kind}, {}, version {}{made}{force}", article.status.as_str(), article.version)?;
    let last_day = article.valid_until.map(|day| day.to_string());
    for (name, value) in [
        ("products", Some(article.products.join(", "))),
        ("affected", Some(article.known_error.affected.join(", "))),
        ("category", article.category.clone()),
        ("problem", article.problem.clone()),
        ("link", article.link.clone()),
        ("valid until", last_day),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            writeln!(out, "{name}: {}", printable(&value))?;
        }
    }
    let ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage;
    if shown + clicked + helped + refused + solved_tickets > 0 {
        writeln!(
            out,
            "shown {shown}, opened {clicked}, helped {helped}, refused {refused} times; solved {solved_tickets} tickets"
        )?;
    }
    for part in [article.summary.clone(), article.markdown()] {
        if !part.trim().is_empty() {
            writeln!(out, "\n{}", steering::without(part.trim()))?;
        }
    }
    Ok(())
}

fn text_json(text: &ArticleText, usage: ArticleUsage) -> Value {
    let ArticleText { article, made_at, current_version } = text;
    let ArticleUsage { shown, clicked, helped, refused, solved_tickets } = usage;
    let mut document = article_json(article);
    document["summary"] = article.summary.as_str().into();
    document["body"] = article.body.as_str().into();
    let known = &article.known_error;
    let mut sections = json!({});
    for (section, text) in known.sections() {
        sections[section.as_str()] = text.into();
    }
    sections["affected"] = json!(known.affected);
    document["known_error"] = if known.is_empty() { Value::Null } else { sections };
    document["made_at"] = made_at.map(timestamp).into();
    document["current_version"] = (*current_version).into();
    document["usage"] = json!({
        "shown": shown, "clicked": clicked, "helped": helped, "refused": refused, "solved_tickets": solved_tickets,
    });
    document
}

/// What a list says of an article.
fn article_json(article: &Article) -> Value {
    json!({
        "id": article.id,
        "title": article.title,
        "kind": article.kind.as_str(),
        "status": article.status.as_str(),
        "version": article.version,
        "products": article.products,
        "category": article.category,
        "valid_until": article.valid_until.map(|day| day.to_string()),
        "link": article.link,
        "problem": article.problem,
    })
}

pub(super) fn versions(args: &VersionsArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let versions = if let Some(address) = &args.place.server {
        block_on(async { Client::connect(address, &config.client).await?.article_versions(&args.id).await })?
    } else {
        args.place.knowledge(config)?.versions(&args.id, None, KEPT_VERSIONS as usize)?.versions
    };
    let mut out = io::stdout().lock();
    if args.json {
        let versions = versions.iter().map(|version| {
            let ArticleVersion { version, made_at, title, status } = version;
            json!({"version": version, "made_at": made_at.map(timestamp), "title": title, "status": status.as_str()})
        });
        writeln!(out, "{}", json!({"id": args.id, "versions": versions.collect::<Vec<_>>()}))?;
        return Ok(ExitCode::SUCCESS);
    }
    for ArticleVersion { version, made_at, title, status } in &versions {
        let made = made_at.map_or_else(|| "before versions were kept".to_owned(), timestamp);
        writeln!(out, "{version:>4}  {made:<25}  {:<9}  {}", status.as_str(), shortened(title, MAX_TITLE_CHARS))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(args: &ListArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let today = knowledge::today().context("the system's clock shows no date")?;
    let mut out = io::stdout().lock();
    let mut documents = Vec::new();
    let mut count = 0_u64;
    let mut take = |articles: &[Article]| -> anyhow::Result<()> {
        count += articles.len() as u64;
        for article in articles {
            let is_expired = article.valid_until.is_some_and(|last| last < today);
            if args.json {
                let mut document = article_json(article);
                document["expired"] = is_expired.into();
                documents.push(document);
            } else {
                list_line(&mut out, article, is_expired)?;
            }
        }
        Ok(())
    };
    if let Some(address) = &args.place.server {
        block_on(async {
            let client = Client::connect(address, &config.client).await?;
            let mut next = Some(String::new());
            while let Some(token) = next {
                let (articles, more) = client.list_articles(&args.kind, &args.status, args.expired, token).await?;
                take(&articles)?;
                next = more;
            }
            Ok(())
        })?;
    } else {
        let knowledge = args.place.knowledge(config)?;
        let expired_on = args.expired.then_some(today);
        let filter = ArticleFilter { kinds: args.kind.clone(), statuses: args.status.clone(), expired_on };
        let mut last: Option<String> = None;
        loop {
            let page = knowledge.list(&filter, last.as_deref(), PAGE)?;
            take(&page.articles)?;
            if !page.more {
                break;
            }
            last = page.articles.last().map(|article| article.id.clone());
        }
    }
    if args.json {
        writeln!(out, "{}", json!({"articles": documents}))?;
    } else if count == 0 {
        writeln!(out, "no articles")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list_line(out: &mut impl Write, article: &Article, is_expired: bool) -> io::Result<()> {
    let last = match article.valid_until {
        None => String::new(),
        Some(day) if is_expired => format!("  (expired {day})"),
        Some(day) => format!("  (until {day})"),
    };
    let (kind, version) = (article.kind.as_str().replace('_', " "), format!("v{}", article.version));
    let (id, status) = (printable(&article.id), article.status.as_str());
    writeln!(
        out,
        "{id:<12}  {status:<9}  {kind:<11}  {version:<4}  {}{last}",
        shortened(&article.title, MAX_TITLE_CHARS)
    )
}

pub(super) fn publish(args: &PublishArgs, config: &Config) -> anyhow::Result<ExitCode> {
    move_on(&args.ids, ArticleStatus::Published, args.valid_until.unwrap_or_default(), (&args.place, config), args.json)
}

pub(super) fn retire(args: &RetireArgs, config: &Config) -> anyhow::Result<ExitCode> {
    move_on(&args.ids, ArticleStatus::Retired, LastDay::AsItIs, (&args.place, config), args.json)
}

/// One article after the other; what is refused is said, and stops none of the others.
fn move_on(
    ids: &[String],
    status: ArticleStatus,
    last_day: LastDay,
    (place, config): (&Place, &Config),
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let outcomes: Vec<(&String, anyhow::Result<(u32, bool)>)> = if let Some(address) = &place.server {
        block_on(async {
            let client = Client::connect(address, &config.client).await?;
            let mut outcomes = Vec::new();
            for id in ids {
                outcomes.push((id, client.set_article_status(id, status, last_day).await));
            }
            Ok(outcomes)
        })?
    } else {
        let knowledge = place.knowledge(config)?;
        let set = |id: &String| {
            let (article, changed) = knowledge.set_status(id, status, last_day)?;
            Ok((article.version, changed))
        };
        ids.iter().map(|id| (id, set(id))).collect()
    };
    let mut out = io::stdout().lock();
    let (mut moved, mut failed) = (Vec::new(), Vec::new());
    for (id, outcome) in outcomes {
        match outcome {
            Ok((version, changed)) if as_json => moved.push(json!({"id": id, "version": version, "changed": changed})),
            Ok((version, changed)) => {
                let already = if changed { "" } else { " as it was" };
                writeln!(out, "{}  {}{already} (version {version})", printable(id), status.as_str())?;
            }
            Err(error) => {
                eprintln!("error: {}", steering::without(&error.to_string()));
                failed.push(json!({"id": id, "error": error.to_string()}));
            }
        }
    }
    if as_json {
        writeln!(out, "{}", json!({"articles": moved, "failed": failed}))?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn delete(args: &DeleteArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let mut unknown = Vec::new();
    if let Some(address) = &args.place.server {
        block_on(async {
            let client = Client::connect(address, &config.client).await?;
            for id in &args.ids {
                if !client.delete_article(id, args.erase_versions).await? {
                    unknown.push(id);
                }
            }
            Ok(())
        })?;
    } else {
        let knowledge = args.place.knowledge(config)?;
        for id in &args.ids {
            if !knowledge.delete(id, args.erase_versions)? {
                unknown.push(id);
            }
        }
    }
    let deleted = args.ids.len() - unknown.len();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({"deleted": deleted, "unknown": unknown}))?;
    } else {
        for id in &unknown {
            eprintln!("warning: no article `{}` in the knowledge base", printable(id));
        }
        writeln!(out, "{deleted} deleted")?;
    }
    Ok(ExitCode::SUCCESS)
}
