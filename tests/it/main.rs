//! The service as its users meet it: a real server and client, and the real program.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "a test fails by panicking, and nothing outside this binary sees its helpers"
)]

mod answers;
mod audit;
mod bad_input;
mod bundle;
mod certificates;
mod command_line;
mod contract;
mod corpus;
mod crash;
mod doors;
mod doors_roles;
mod doors_tls;
mod encoder;
mod every_field;
#[cfg(unix)]
mod faults;
mod feedback;
mod fuzz_corpus;
mod gaps;
mod harness;
mod health;
mod http2;
mod jobs;
#[cfg(unix)]
mod jobs_server;
mod jobs_undo;
mod knowledge;
mod knowledge_commands;
mod known_errors;
mod learning;
mod learning_again;
mod learning_import;
mod learning_labels;
mod limits;
mod log;
mod memory;
mod memory_import;
mod models;
mod operations;
mod overload;
mod raw;
mod reclassify;
#[cfg(unix)]
mod redaction;
mod reload;
mod shutdown;
mod suggest;
mod taxonomy;
mod taxonomy_commands;
mod triage;
