//! `triage kb import`: articles from Markdown folders and files of rows into the knowledge base.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use serde_json::json;

use super::super::{DEFAULT_DATA_DIR, progress::Progress};
use crate::{domain::article::Article, knowledge::import::Articles, rows::parse_rename, store::ImportCounts};

/// Articles are stored in batches: one durable write each, and memory for one.
const BATCH_ARTICLES: usize = 500;
const BATCH_BYTES: usize = 8 << 20;

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
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let knowledge = super::open(&args.data_dir)?;
    let bar = Progress::counting("articles");
    let (mut counts, mut failed) = (ImportCounts::default(), 0_u64);
    let mut batch: Vec<Article> = Vec::new();
    let mut batch_bytes = 0;
    let articles = Articles::new(&args.paths, &args.map);
    for folder in articles.folders_without_markdown() {
        let folder = folder.display();
        bar.warn(format_args!("{folder}: no Markdown in it (.md, .markdown); name files of rows themselves"));
    }
    for article in articles {
        bar.step();
        match article {
            Ok(article) => {
                batch_bytes += article.text_bytes();
                batch.push(article);
            }
            Err(error) => {
                failed += 1;
                bar.warn(error);
            }
        }
        if batch.len() >= BATCH_ARTICLES || batch_bytes >= BATCH_BYTES {
            counts += knowledge.stage(&batch)?;
            batch.clear();
            batch_bytes = 0;
        }
    }
    counts += knowledge.stage(&batch)?;
    knowledge.publish()?;
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
