//! The log and the metrics. Ticket text is personal data and never goes to either.

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// A step of the way that one ticket takes; the label `stage` of [`STAGE_SECONDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From admission to the start of work.
    Queue,
    Classify,
    Explain,
    Articles,
    /// The whole call, as the server saw it.
    Total,
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Classify => "classify",
            Self::Explain => "explain",
            Self::Articles => "articles",
            Self::Total => "total",
        }
    }
}

const STAGE_SECONDS: &str = "triage_stage_seconds";
const CALLS: &str = "triage_calls_total";
const ABSTENTIONS: &str = "triage_abstentions_total";

/// Adds the time that one stage took.
pub fn record_stage(stage: Stage, took: Duration) {
    metrics::histogram!(STAGE_SECONDS, "stage" => stage.as_str()).record(took.as_secs_f64());
}

/// Counts a finished call by method and gRPC code.
pub fn count_call(method: &'static str, code: &'static str) {
    metrics::counter!(CALLS, "method" => method, "code" => code).increment(1);
}

/// Counts a field for which the model would not stand by its best guess.
pub fn count_abstention(field: &str, abstention: &'static str) {
    metrics::counter!(ABSTENTIONS, "field" => field.to_owned(), "abstention" => abstention).increment(1);
}

/// Sends the log to standard error; a second call changes nothing.
pub fn init_log(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A subscriber that is there already stays: tests start many servers in one process.
    subscriber.try_init().ok();
    Ok(())
}

/// The process' metrics, installed on first use.
pub fn metrics() -> anyhow::Result<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    let installed = HANDLE.get_or_init(|| {
        let buckets = [25e-6, 50e-6, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0, 10.0];
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(STAGE_SECONDS.to_owned()), &buckets)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|error| error.to_string())?;
        metrics::describe_histogram!(STAGE_SECONDS, metrics::Unit::Seconds, "time a stage of a call took");
        metrics::describe_counter!(CALLS, "finished calls by method and gRPC code");
        metrics::describe_counter!(ABSTENTIONS, "fields for which the best guess was not to be used");
        metrics::describe_counter!("triage_abandoned_total", "queued calls whose caller had left");
        metrics::describe_gauge!("triage_calls_in_flight", "calls at work or waiting for a processor");
        metrics::describe_gauge!("triage_connections", "open gRPC connections");
        metrics::describe_gauge!("triage_articles", "articles in the knowledge base");
        Ok(handle)
    });
    installed.as_ref().map_err(|error| anyhow::anyhow!("metrics: {error}"))
}
