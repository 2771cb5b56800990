//! Triage of IT service-desk tickets on the desk's own machine.
//!
//! Start with [`triage`]: the path one ticket takes. `ARCHITECTURE.md` has the map.

pub mod access;
pub mod answers;
pub mod app;
pub mod audit;
pub mod backup;
pub mod classify;
pub mod cli;
pub mod compute;
pub mod config;
pub mod doctor;
pub mod domain;
pub mod encode;
pub mod error;
pub mod feedback;
pub mod grpc;
pub mod jobs;
pub mod knowledge;
pub mod memory;
pub mod pb;
pub mod registry;
pub mod rows;
pub mod store;
pub mod taxonomy;
pub mod telemetry;
pub mod triage;
