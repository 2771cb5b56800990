//! `triage jobs results` and `triage jobs export`: what a job made of each ticket, for the eye and as a file.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;

use super::{Place, open, parse_id};
use crate::{
    cli::{UsageError, block_on, job, output},
    config::Config,
    domain::job::{JobId, TicketResult},
    grpc::client::Client,
    jobs::{Job, ResultFilter, ResultPlace, result_line},
};

/// Results read from the store in one go.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
struct Which {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = parse_id)]
    id: JobId,
    /// Only tickets that change
    #[arg(long)]
    changed: bool,
    /// Only bad rows
    #[arg(long, conflicts_with = "changed")]
    failed: bool,
    /// Only changes of this field
    #[arg(long, value_name = "FIELD", requires = "changed")]
    field: Option<String>,
    /// At most N tickets
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ResultsArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    #[command(flatten)]
    which: Which,
    /// Where the results go, as JSON lines
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    place: Place,
}

impl Which {
    /// Hands every result to `act`, in the order of the tickets.
    fn each(
        &self,
        place: &Place,
        config: &Config,
        mut act: impl FnMut(&Job, &TicketResult) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { id, changed, failed, field, limit } = self;
        let filter = ResultFilter { changed_only: *changed, failed_only: *failed, field: field.clone() };
        let mut left = limit.unwrap_or(usize::MAX);
        if let Some(address) = &place.server {
            return block_on(async {
                let client = Client::connect(address, &config.client).await?;
                let job = client.job(*id).await?;
                let mut results = client.job_results(*id, &filter).await?;
                while left > 0
                    && let Some(some) = results.next().await?
                {
                    some.iter().take(left).try_for_each(|result| act(&job, result))?;
                    left = left.saturating_sub(some.len());
                }
                Ok(())
            });
        }
        let jobs = open(&place.data_dir)?.1;
        let job = jobs.get(*id)?;
        let wanted = filter.of(&job)?;
        let mut next = Some(ResultPlace::default());
        while let Some(from) = next.filter(|_| left > 0) {
            let page = jobs.results(*id, from, PAGE.min(left), |result| wanted.lets_through(result))?;
            left -= page.results.len();
            page.results.iter().try_for_each(|result| act(&job, result))?;
            next = page.next;
        }
        Ok(())
    }
}

pub(super) fn print(args: &ResultsArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let ResultsArgs { which, place } = args;
    let mut out = BufWriter::new(io::stdout().lock());
    which.each(place, config, |job, result| {
        let fields = job.specification.fields();
        if place.json {
            out.write_all(&result_line(fields, result))
        } else {
            job::result_line(&mut out, fields, result)
        }
    })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn export(args: &ExportArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let ExportArgs { which, output, place } = args;
    let name = output.to_string_lossy().to_ascii_lowercase();
    if [".csv", ".gz"].iter().any(|ending| name.ends_with(ending)) {
        let problem = format!("--output {}: results are exported as JSON lines: name a .jsonl file", output.display());
        return Err(UsageError(problem).into());
    }
    output::check("--output", output, &[])?;
    let part = unfinished(output);
    anyhow::ensure!(
        fs::metadata(output).map_or(true, |file| file.is_file() && file.len() == 0),
        "{} exists already: name another output, or remove it",
        output.display()
    );
    let written = write(which, place, config, &part);
    let tickets = match written.and_then(|tickets| fs::rename(&part, output).map(|()| tickets).context("renaming")) {
        Ok(tickets) => tickets,
        Err(error) => {
            // Half a file is of no use; where it cannot be removed either, the first error says why.
            fs::remove_file(&part).ok();
            return Err(error.context(format!("cannot write {}", output.display())));
        }
    };
    let mut out = io::stdout().lock();
    if place.json {
        let document = serde_json::json!({
            "job": which.id.to_string(),
            "results": tickets,
            "output": output.display().to_string(),
        });
        writeln!(out, "{document}")?;
    } else {
        writeln!(out, "job {}: {} results are in {}", which.id, job::number(tickets), output.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of the file until it is whole.
fn unfinished(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    output.with_file_name(name)
}

fn write(which: &Which, place: &Place, config: &Config, path: &Path) -> anyhow::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut tickets = 0;
    which.each(place, config, |job, result| {
        tickets += 1;
        file.write_all(&result_line(job.specification.fields(), result))
    })?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(tickets)
}
