//! The log and the metrics. Ticket text is personal data and never goes to either.

mod labels;
mod log;
mod metrics;

pub use self::{
    labels::{ConnectionEnd, DoorPart, Refusal, ReloadOutcome, ShadowOutcome, Stage, TaxonomyCause},
    log::{LogFormat, init_log},
    metrics::{METRICS, Metrics},
};
