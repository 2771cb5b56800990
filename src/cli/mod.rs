//! The command line: one file a command. Results go to standard output, everything else to standard error.
//! Exit codes: 0 done, 1 failed, 2 wrong usage (flags or configuration).

#![expect(clippy::print_stderr, reason = "a command line tells people what went wrong there")]

mod audit;
mod audited;
mod backup;
mod classify;
mod config;
mod data_dir;
mod doctor;
mod eval;
mod feedback;
mod job;
mod jobs;
mod kb;
mod memory;
mod model;
mod output;
mod progress;
mod reclassify;
mod redact;
mod render;
mod report;
mod serve;
mod suspects;
mod taxonomy;
mod token;
mod train;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use self::audited::Audited;
use crate::{
    config::{ClientAccess, Config, ConfigError, ExposedAddress, Overrides},
    domain::steering,
    encode::EncoderChoice,
    rows::Rows,
};

/// Sorts IT service-desk tickets and finds the article that solves them, on this machine.
#[derive(Debug, Parser)]
#[command(name = "triage", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    /// Configuration file (TOML); the environment (`TRIAGE__SECTION__KEY`) and flags win over it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Sentence encoder, a transformer of the BERT family with config.json, tokenizer.json and model.safetensors:
    /// `train`, `kb import`, `memory import` and `serve` begin to use it, other commands find it there; or "none"
    #[arg(long, global = true, value_name = "minilm:DIR")]
    encoder: Option<EncoderChoice>,

    #[command(flatten)]
    client: ClientArgs,

    #[command(subcommand)]
    command: Command,
}

/// How commands with `--server https://HOST:PORT` reach it. The token comes from a file or the environment: everybody on a
/// machine can read command lines.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection to a server (--server https://HOST:PORT)")]
struct ClientArgs {
    /// CA of the server, PEM [default: those that this machine trusts]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with the token [default: the environment's `TRIAGE_TOKEN`]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificate to show to the server, PEM; needs --client-key
    #[arg(long, global = true, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// Private key of --client-certificate, PEM
    #[arg(long, global = true, value_name = "FILE")]
    client_key: Option<PathBuf>,
}

impl ClientArgs {
    fn access(self) -> Result<ClientAccess, UsageError> {
        let Self { ca, token_file, client_certificate, client_key } = self;
        // Flags that are global cannot require each other.
        let certificate = match (client_certificate, client_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(UsageError("--client-certificate and --client-key go together".to_owned())),
        };
        Ok(ClientAccess { ca, token_file, token: None, certificate })
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve tickets over gRPC
    Serve(serve::ServeArgs),
    /// Decide one ticket, or a file of them
    Classify(classify::ClassifyArgs),
    /// Train a model bundle on labelled tickets
    Train(train::TrainArgs),
    /// Measure a model bundle on labelled tickets
    Eval(eval::EvalArgs),
    /// Replace what must not be kept in texts and files by placeholders
    Redact(redact::RedactArgs),
    /// Import, search and measure the knowledge base
    #[command(subcommand)]
    Kb(kb::KbCommand),
    /// Remember solved tickets and find those that are like another
    #[command(subcommand)]
    Memory(memory::MemoryCommand),
    /// Decide the tickets of a file, or the memory, anew
    Reclassify(reclassify::ReclassifyArgs),
    /// Look at jobs, steer them, and take them back
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Look at models, train and compare them, and choose which one serves
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Say what became of what was proposed
    #[command(subcommand)]
    Feedback(feedback::FeedbackCommand),
    /// Look at what tickets are sorted into, and change it
    #[command(subcommand)]
    Taxonomy(taxonomy::TaxonomyCommand),
    /// Look at who changed what, and whether that was tampered with
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look at the settings before a server is started with them
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Say what is wrong with a data directory, and mend what can be mended
    Doctor(doctor::DoctorArgs),
    /// Keep all of a data directory in one file; a server may hold it
    Backup(backup::BackupArgs),
    /// Make a data directory of a backup
    Restore(backup::RestoreArgs),
    /// Make tokens, which callers of a server show
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let parsed = Arguments::command().try_get_matches().and_then(|mut matches| {
        let audited = Audited::of(&matches);
        let arguments = Arguments::from_arg_matches_mut(&mut matches);
        Ok((arguments.map_err(|error| error.format(&mut Arguments::command()))?, audited))
    });
    let (arguments, audited) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // A closed terminal cannot be told anything.
            error.print().ok();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match audited {
        Some(audited) => audited.run(|| run(arguments)),
        None => run(arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", steering::without(&describe(&error)));
            let usage = error.is::<ConfigError>() || error.is::<ExposedAddress>() || error.is::<UsageError>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { config, encoder, client, command } = arguments;
    let config = config.as_deref();
    let overrides = Overrides { encoder, client: client.access()?, ..Overrides::default() };
    match command {
        Command::Serve(args) => serve::run(args, config, overrides)?,
        Command::Classify(args) => classify::run(&args, &load_config(config, &overrides)?)?,
        Command::Train(args) => {
            let config = load_config(config, &overrides)?;
            train::run(&args, &config)?;
        }
        Command::Eval(args) => {
            let config = load_config(config, &overrides)?;
            eval::run(&args, &config)?;
        }
        Command::Redact(args) => redact::run(&args, &load_config(config, &overrides)?.redactor)?,
        Command::Kb(command) => {
            let config = load_config(config, &overrides)?;
            return kb::run(command, &config);
        }
        Command::Memory(command) => return memory::run(command, &load_config(config, &overrides)?),
        Command::Reclassify(args) => {
            return reclassify::run(&args, &load_config(config, &overrides)?);
        }
        Command::Jobs(command) => return jobs::run(&command, &load_config(config, &overrides)?),
        Command::Model(command) => model::run(&command, &load_config(config, &overrides)?)?,
        Command::Feedback(command) => {
            feedback::run(command, &load_config(config, &overrides)?)?;
        }
        Command::Taxonomy(command) => taxonomy::run(&command, &load_config(config, &overrides)?)?,
        Command::Audit(command) => return audit::run(&command),
        Command::Config(command) => return config::run(&command, config, &overrides),
        Command::Doctor(args) => return doctor::run(&args, &load_config(config, &overrides)?),
        Command::Backup(args) => backup::back_up(&args)?,
        Command::Restore(args) => backup::restore(&args)?,
        Command::Token(command) => token::run(&command)?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "triage", &mut io::stdout());
            io::stdout().flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The column with a row's id where `--id` names none.
const DEFAULT_ID: &str = "id";

/// Says so where no row has the column that `--id` names: rows then go by their numbers, which nobody asked for.
fn warn_without_id(rows: &Rows, id: &str, bar: &progress::Progress) {
    if let Err(error) = rows.require(&[id]) {
        bar.warn(format_args!("{error}; until then rows go by their number"));
    }
}

/// Flags that do not go together; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// A server has an encoder of its own, which a client cannot choose.
fn no_encoder_for(address: &str, config: &Config) -> Result<(), UsageError> {
    match config.encoders.choice() {
        Some(_) => Err(UsageError(format!(
            "--encoder: the server at {address} reads with its own; start it with `triage serve --encoder`"
        ))),
        None => Ok(()),
    }
}

/// The variables that are text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn load_config(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let config = Config::load(file, environment(), overrides)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(config)
}

/// The reader of our output has gone, as `triage … | head` does: no fault of ours. Only writing our output fails
/// with a bare I/O error; one from a file or a connection has its context around it.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error with its causes; a cause that its parent quotes already is not said twice.
fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        known if known.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

/// Where commands that keep state keep it, unless they are told otherwise.
const DEFAULT_DATA_DIR: &str = "triage-data";

/// Runs a client call to a server.
fn block_on<T>(call: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(call)
}

/// Reads a share, from 0 to 1.
fn parse_share(raw: &str) -> Result<f64, String> {
    raw.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "must be from 0 to 1".to_owned())
}
