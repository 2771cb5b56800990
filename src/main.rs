//! The `triage` command: reads the flags and hands over to `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ticket_triage::cli::main()
}
