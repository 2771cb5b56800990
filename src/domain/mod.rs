//! The nouns of triage as plain values: parsed once at the edge, valid everywhere below.
//! Imports std and `error` only: no clock, no I/O, no wire types.

pub mod answer;
pub mod article;
pub mod decision;
pub mod feedback;
pub mod gaps;
pub mod job;
pub mod known_error;
pub mod memory;
pub mod model;
pub mod priority;
pub mod route;
pub mod sla;
pub mod steering;
pub mod suggestion;
pub mod taxonomy;
pub mod ticket;
pub mod trust;
