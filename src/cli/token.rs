//! `triage token`: tokens that callers of a server show.

use std::{
    io::{self, Write as _},
    num::NonZeroU32,
};

use clap::{Args, Subcommand};

use super::UsageError;
use crate::access::{role::Role, tokens::NewToken};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token: it goes to standard output, once, and its lines for the tokens file to standard error
    New(NewArgs),
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Who will show it, as logs name the caller
    #[arg(long)]
    name: String,
    /// What it may call: triage, chatbot, analyst, job or admin (SECURITY.md lists the methods)
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// Most calls that it may make in a second
    #[arg(long, value_name = "N")]
    calls_per_second: Option<NonZeroU32>,
    /// Last day (UTC) on which it is good
    #[arg(long, value_name = "YYYY-MM-DD")]
    expires: Option<String>,
    /// Print JSON: the token and its lines
    #[arg(long)]
    json: bool,
}

fn parse_role(raw: &str) -> Result<Role, String> {
    let names = Role::ALL.map(Role::as_str).join(", ");
    Role::parse(raw).ok_or_else(|| format!("there is no such role; there are {names}"))
}

pub(super) fn run(command: &TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::New(NewArgs { name, role, calls_per_second, expires, json }) = command;
    let new = NewToken::make(name, *role, *calls_per_second, expires.as_deref()).map_err(UsageError)?;
    let NewToken { token, lines } = new;
    let mut out = io::stdout().lock();
    if *json {
        writeln!(out, "{}", serde_json::json!({"token": token, "lines": lines}))?;
        return Ok(());
    }
    // Apart, so that each can go to where it belongs.
    writeln!(out, "{token}")?;
    eprint!("{lines}");
    Ok(())
}
