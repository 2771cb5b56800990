//! The log: what is written, and how.

use std::io::{self, IsTerminal as _};

use serde::Deserialize;
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::FilterFn,
    fmt::{self as lines, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// What our own events come under.
const OURS: &str = "ticket_triage";

/// Sends the log to standard error; a second call changes nothing.
pub fn init_log(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    // A subscriber that is there already stays: tests start many servers in one process.
    log_to(filter, format, io::stderr, io::stderr().is_terminal())?.try_init().ok();
    Ok(())
}

/// The log as it is written to `writer`. Libraries are heard from "info" on only: below that they write out headers and
/// frames, with what people sent in them.
fn log_to<W>(
    filter: &str,
    format: LogFormat,
    writer: W,
    in_colour: bool,
) -> anyhow::Result<impl tracing::Subscriber + Send + Sync + 'static>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let is_fit = |metadata: &tracing::Metadata<'_>| {
        let is_ours = metadata.target().split("::").next() == Some(OURS);
        is_ours || *metadata.level() <= Level::INFO
    };
    // Where the log cannot be written, as when its reader has gone, saying so there would panic.
    let layer = lines::layer().with_writer(writer).with_ansi(in_colour).log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let fit = FilterFn::new(is_fit).with_max_level_hint(LevelFilter::TRACE);
    Ok(tracing_subscriber::registry().with(layer.with_filter(fit)).with(EnvFilter::try_new(filter)?))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(log_to(filter, format, move || writer.clone(), false).unwrap(), log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_json_is_an_object() {
        let line = logged("info", LogFormat::Json, || tracing::warn!(documents = 3, "index built"));
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["documents"]),
            (&"WARN".into(), &"index built".into(), &3.into())
        );
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn libraries_are_heard_from_info_on_only() {
        let log = || {
            tracing::trace!("ours");
            tracing::debug!(target: "h2::codec", "frame");
            tracing::trace!(target: "ticket_triage_other", "foreign");
            tracing::info!(target: "tonic::transport", "listening");
        };
        for filter in ["trace", "h2=trace,trace"] {
            let text = logged(filter, LogFormat::Text, log);
            assert!(text.contains("ours") && text.contains("listening"), "{text}");
            assert!(!text.contains("frame") && !text.contains("foreign"), "{text}");
        }
        assert!(!logged("info", LogFormat::Text, log).contains("ours"));
    }
}
