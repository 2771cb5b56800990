//! `triage kb import`: articles from Markdown folders and files of rows into the knowledge base of a data directory, or
//! of a running server.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use clap::Args;
use serde_json::json;

use super::super::{DEFAULT_DATA_DIR, block_on, data_dir, progress::Progress};
use crate::{
    config::Config,
    domain::article::Article,
    grpc::client::{Client, UpsertedArticles},
    knowledge::{KnowledgeBase, import::Articles},
    rows::parse_rename,
    store::{ImportCounts, Store},
};

/// Articles are stored in batches: one durable write each, and memory for one.
const BATCH_ARTICLES: usize = 500;
const BATCH_BYTES: usize = 8 << 20;
/// The same for a server, where a batch is a frame: with one article more than that it stays below the 4 MiB of the
/// default `limits.batch_bytes`.
const FRAME_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
pub(in super::super) struct ImportArgs {
    /// Folders of Markdown, and files of rows (.jsonl, .ndjson or .csv, .gz on top)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Folder with the knowledge base; created when absent
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Read column THEIRS of the rows under the name OURS
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',', value_parser = parse_rename)]
    map: Vec<(String, String)>,
    /// Send them to a running server
    #[arg(long, value_name = "ADDRESS", conflicts_with = "data_dir")]
    server: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Articles as they are read, some at a time; what cannot be read is said and counted.
struct Batches<'a> {
    articles: Articles,
    most_bytes: usize,
    bar: &'a Progress,
    failed: u64,
}

impl Iterator for Batches<'_> {
    type Item = Vec<Article>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_ARTICLES && bytes < self.most_bytes {
            let Some(article) = self.articles.next() else { break };
            self.bar.step();
            match article {
                Ok(article) => {
                    bytes += article.text_bytes();
                    batch.push(article);
                }
                Err(error) => {
                    self.failed += 1;
                    self.bar.warn(error);
                }
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}

pub(super) fn run(args: &ImportArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let bar = Arc::new(Progress::counting("articles"));
    let articles = Articles::new(&args.paths, &args.map);
    for folder in articles.folders_without_markdown() {
        let folder = folder.display();
        bar.warn(format_args!("{folder}: no Markdown in it (.md, .markdown); name files of rows themselves"));
    }
    let most_bytes = if args.server.is_some() { FRAME_BYTES } else { BATCH_BYTES };
    let mut batches = Batches { articles, most_bytes, bar: &bar, failed: 0 };
    let counts = match &args.server {
        Some(address) => {
            super::super::no_encoder_for(address, config)?;
            send(&mut batches, address, config)?
        }
        None => store(&mut batches, &args.data_dir, &bar, config)?,
    };
    let failed = batches.failed;
    bar.finish();

    let ImportCounts { imported, updated, unchanged } = counts;
    let seconds = started.elapsed().as_secs_f64();
    let mut out = io::stdout().lock();
    if args.json {
        let summary = json!({
            "imported": imported, "updated": updated, "unchanged": unchanged, "failed": failed, "seconds": seconds,
        });
        writeln!(out, "{summary}")?;
    } else {
        writeln!(out, "{imported} new, {updated} updated, {unchanged} unchanged, {failed} failed in {seconds:.1} s")?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn store(
    batches: &mut Batches<'_>,
    data_dir: &Path,
    bar: &Arc<Progress>,
    config: &Config,
) -> anyhow::Result<ImportCounts> {
    let store = Store::open(data_dir)?;
    let encoding = data_dir::settled(&store, config, bar)?;
    let knowledge = KnowledgeBase::open(store, data_dir, encoding)?;
    let mut counts = ImportCounts::default();
    for batch in batches {
        counts += knowledge.stage(&batch)?;
    }
    knowledge.publish()?;
    Ok(counts)
}

fn send(batches: &mut Batches<'_>, address: &str, config: &Config) -> anyhow::Result<ImportCounts> {
    let sent = block_on(async { Client::connect(address, &config.client).await?.upsert_articles(&mut *batches).await });
    let UpsertedArticles { counts, failed, errors } = sent?;
    for (id, problem) in errors {
        batches.bar.warn(format_args!("{address} refuses the article `{id}`: {problem}"));
    }
    batches.failed += failed;
    Ok(counts)
}
