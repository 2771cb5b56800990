//! Triage of IT service-desk tickets on the desk's own machine.

pub mod domain;
pub mod error;
pub mod pb;
