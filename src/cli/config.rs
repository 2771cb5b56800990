//! `triage config`: what the settings come to, before a server is started with them.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::environment;
use crate::config::{Config, ConfigError, Overrides, Setting, SettingSource, default_text, differing};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check --config and the environment, and show which settings are not the defaults; exit code 2 where they cannot
    /// be used
    Check(CheckArgs),
    /// Print a configuration file with every setting, its default, and what it means
    ShowDefault,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &ConfigCommand, file: Option<&Path>, overrides: &Overrides) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check(args) => check(args, file, overrides),
        ConfigCommand::ShowDefault => {
            io::stdout().write_all(default_text().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(args: &CheckArgs, file: Option<&Path>, overrides: &Overrides) -> anyhow::Result<ExitCode> {
    let settings = differing(file, environment());
    let (warnings, problems) = match Config::load(file, environment(), overrides) {
        Ok(config) => {
            let exposed = config.check_exposure().err().map(|error| error.to_string());
            let (of_doors, problems) = match config.open_doors() {
                Ok(doors) => (doors.warnings().to_vec(), Vec::new()),
                Err(ConfigError { problems }) => (Vec::new(), problems),
            };
            (config.warnings.into_iter().chain(exposed).chain(of_doors).collect(), problems)
        }
        Err(ConfigError { problems }) => (Vec::new(), problems),
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", check_json(&settings, &warnings, &problems))?;
    } else {
        show(&mut out, &settings, &warnings)?;
    }
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(ConfigError { problems }.into())
}

fn show(out: &mut impl io::Write, settings: &[Setting], warnings: &[String]) -> io::Result<()> {
    for Setting { key, value, default, source } in settings {
        let default = default.as_ref().map(|default| format!(", default {default}")).unwrap_or_default();
        writeln!(out, "{key} = {value}  ({}{default})", name_of(source))?;
    }
    if settings.is_empty() {
        writeln!(out, "every setting is the default")?;
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

fn name_of(source: &SettingSource) -> String {
    match source {
        SettingSource::File(path) => path.display().to_string(),
        SettingSource::Environment => "environment".to_owned(),
    }
}

fn check_json(settings: &[Setting], warnings: &[String], problems: &[String]) -> Value {
    let settings = settings.iter().map(|Setting { key, value, default, source }| {
        json!({"key": key, "value": value, "default": default, "source": name_of(source)})
    });
    json!({
        "sound": problems.is_empty(),
        "settings": settings.collect::<Vec<_>>(),
        "warnings": warnings,
        "problems": problems,
    })
}
