//! Triage of IT service-desk tickets on the desk's own machine.

pub mod classify;
pub mod compute;
pub mod config;
pub mod domain;
pub mod encode;
pub mod error;
pub mod knowledge;
pub mod pb;
pub mod rows;
pub mod store;
pub mod telemetry;
