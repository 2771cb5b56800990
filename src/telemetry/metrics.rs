//! What is counted and timed.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{LazyLock, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::labels::{ConnectionEnd, DoorPart, Refusal, ReloadOutcome, ShadowOutcome, Stage, TaxonomyCause};
use crate::domain::job::{JobState, TicketOutcome};

/// Upper bounds of the histogram's buckets, in seconds.
const BUCKETS: [f64; 15] =
    [25e-6, 50e-6, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0, 10.0];

type StageSeconds = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// The process' metrics. Labels come from closed sets only: stages, methods, codes, fields of the model, routes,
/// outcomes, events, states, and the one version that serves.
pub struct Metrics {
    registry: Registry,
    stage_seconds: StageSeconds,
    calls: Family<[(&'static str, &'static str); 2], Counter>,
    abstentions: Family<[(&'static str, String); 2], Counter>,
    decisions: Family<[(&'static str, String); 2], Counter>,
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    answers: Family<[(&'static str, &'static str); 1], Counter>,
    article_feedback: Family<[(&'static str, &'static str); 1], Counter>,
    feedback: Family<[(&'static str, String); 2], Counter>,
    demoted: Family<[(&'static str, String); 1], Gauge>,
    realised_precision: Family<[(&'static str, String); 1], Gauge<f64, AtomicU64>>,
    words: Counter,
    new_words: Counter,
    job_tickets: Family<[(&'static str, &'static str); 1], Counter>,
    jobs: Family<[(&'static str, &'static str); 1], Gauge>,
    model: Family<[(&'static str, String); 1], Gauge>,
    taxonomy_changes: Family<[(&'static str, &'static str); 2], Counter>,
    shadow_guesses: Family<[(&'static str, String); 2], Counter>,
    refused_handshakes: Family<[(&'static str, &'static str); 1], Counter>,
    door_reloads: Family<[(&'static str, &'static str); 2], Counter>,
    certificate_end: Gauge,
    /// Times that another model began to answer calls.
    pub model_swaps: Counter,
    /// Tickets that there was no time for the shadow to answer.
    pub shadow_dropped: Counter,
    /// Queued calls whose caller had left before they were worked on.
    pub abandoned: Counter,
    /// Seconds of work whose caller left before it was done.
    pub wasted: Counter<f64, AtomicU64>,
    refused_calls: Family<[(&'static str, &'static str); 1], Counter>,
    queued: Family<[(&'static str, &'static str); 1], Gauge>,
    pub connections: Gauge,
    /// Connections closed at once because there were too many, in all or of one peer.
    pub refused_connections: Counter,
    ended_connections: Family<[(&'static str, &'static str); 1], Counter>,
    pub calls_in_flight: Gauge,
    /// As many single calls may be at work or waiting now.
    pub calls_limit: Gauge,
    pub articles: Gauge,
    pub confirmed_tickets: Gauge,
}

/// The metrics of this process.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

impl Metrics {
    fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("triage"),
            stage_seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            calls: Family::default(),
            abstentions: Family::default(),
            decisions: Family::default(),
            reloads: Family::default(),
            answers: Family::default(),
            article_feedback: Family::default(),
            feedback: Family::default(),
            demoted: Family::default(),
            realised_precision: Family::default(),
            words: Counter::default(),
            new_words: Counter::default(),
            job_tickets: Family::default(),
            jobs: Family::default(),
            model: Family::default(),
            taxonomy_changes: Family::default(),
            shadow_guesses: Family::default(),
            refused_handshakes: Family::default(),
            door_reloads: Family::default(),
            certificate_end: Gauge::default(),
            model_swaps: Counter::default(),
            shadow_dropped: Counter::default(),
            abandoned: Counter::default(),
            wasted: Counter::default(),
            refused_calls: Family::default(),
            queued: Family::default(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            ended_connections: Family::default(),
            calls_in_flight: Gauge::default(),
            calls_limit: Gauge::default(),
            articles: Gauge::default(),
            confirmed_tickets: Gauge::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register_with_unit("stage", "Time a stage of a call took", Unit::Seconds, self.stage_seconds.clone());
        registry.register("calls", "Finished calls by method and gRPC code", self.calls.clone());
        registry.register("abstentions", "Fields whose best guess was not to be used", self.abstentions.clone());
        registry.register("decisions", "Decided fields by the route of their value", self.decisions.clone());
        registry.register("reloads", "Readings of the model folder on SIGHUP, by outcome", self.reloads.clone());
        registry.register("feedback", "Recorded feedback on decided fields, by what it said", self.feedback.clone());
        registry.register("demoted_labels", "Values that break their promise, by field", self.demoted.clone());
        let help =
            "The share of values that might fill themselves in which feedback of the last 30 days says were right";
        registry.register("realised_precision", help, self.realised_precision.clone());
        registry.register("words", "Words of decided tickets", self.words.clone());
        registry.register(
            "new_words",
            "Words of decided tickets that the model had never seen",
            self.new_words.clone(),
        );
        registry.register("answers", "Turns of conversations by what came of them", self.answers.clone());
        registry.register("article_feedback", "Recorded feedback on articles", self.article_feedback.clone());
        registry.register("job_tickets", "Tickets that jobs decided, by what became of them", self.job_tickets.clone());
        registry.register("jobs", "Jobs that have not ended, by state", self.jobs.clone());
        registry.register("model_info", "The version of the model that serves", self.model.clone());
        let help = "Taxonomies that were to take the place of another, by cause and outcome";
        registry.register("taxonomy_changes", help, self.taxonomy_changes.clone());
        registry.register("model_swaps", "Times that another model began to serve", self.model_swaps.clone());
        let shadow_guesses = self.shadow_guesses.clone();
        registry.register("shadow_guesses", "Best guesses of the shadow beside the active model's", shadow_guesses);
        let help = "Connections that were not secured, by cause";
        registry.register("refused_handshakes", help, self.refused_handshakes.clone());
        let help = "Readings of certificates and credentials while serving, by outcome";
        registry.register("door_reloads", help, self.door_reloads.clone());
        let help = "When the server's certificate ends, in seconds since 1970; 0 without one";
        registry.register("certificate_end_timestamp_seconds", help, self.certificate_end.clone());
        registry.register("shadow_dropped", "Tickets that the shadow had no time for", self.shadow_dropped.clone());
        registry.register("abandoned", "Queued calls whose caller had left", self.abandoned.clone());
        let help = "Time of work whose caller left before it was done";
        registry.register_with_unit("wasted", help, Unit::Seconds, self.wasted.clone());
        registry.register("refused_calls", "Calls refused at the door, by reason", self.refused_calls.clone());
        registry.register("queued", "Work that waits for a processor, by urgency", self.queued.clone());
        registry.register("connections", "Open gRPC connections", self.connections.clone());
        registry.register("refused_connections", "Connections over a limit", self.refused_connections.clone());
        let help = "Connections that the server ended, by reason";
        registry.register("ended_connections", help, self.ended_connections.clone());
        registry.register("calls_in_flight", "Calls at work or waiting", self.calls_in_flight.clone());
        let help = "As many single calls may be at work or waiting now";
        registry.register("calls_limit", help, self.calls_limit.clone());
        registry.register("articles", "Articles in the knowledge base", self.articles.clone());
        registry.register("confirmed_tickets", "Confirmed tickets in the memory", self.confirmed_tickets.clone());
        self
    }

    /// Adds the time that one stage took.
    pub fn record_stage(&self, stage: Stage, took: Duration) {
        self.stage_seconds.get_or_create(&[("stage", stage.as_str())]).observe(took.as_secs_f64());
    }

    /// Counts a finished call by method and gRPC code.
    pub fn count_call(&self, method: &'static str, code: &'static str) {
        self.calls.get_or_create(&[("method", method), ("code", code)]).inc();
    }

    /// Counts a call that was refused at the door.
    pub fn count_refusal(&self, reason: Refusal) {
        self.refused_calls.get_or_create(&[("reason", reason.as_str())]).inc();
    }

    /// Counts a connection that the server ended.
    pub fn count_connection_end(&self, reason: ConnectionEnd) {
        self.ended_connections.get_or_create(&[("reason", reason.as_str())]).inc();
    }

    /// Says how much of an urgency waits for a processor.
    pub fn set_queued(&self, urgency: &'static str, waiting: i64) {
        self.queued.get_or_create(&[("urgency", urgency)]).set(waiting);
    }

    /// Counts a field for which the model would not stand by its best guess.
    pub fn count_abstention(&self, field: &str, abstention: &str) {
        let labels = [("field", field.to_owned()), ("abstention", abstention.to_owned())];
        self.abstentions.get_or_create(&labels).inc();
    }

    /// Counts a decided field by what may be done with its value.
    pub fn count_decision(&self, field: &str, route: &'static str) {
        self.decisions.get_or_create(&[("field", field.to_owned()), ("route", route.to_owned())]).inc();
    }

    /// Counts what the shadow proposed for a field.
    pub fn count_shadow(&self, field: &str, outcome: ShadowOutcome) {
        let labels = [("field", field.to_owned()), ("outcome", outcome.as_str().to_owned())];
        self.shadow_guesses.get_or_create(&labels).inc();
    }

    /// Counts a SIGHUP by what came of it.
    pub fn count_reload(&self, outcome: ReloadOutcome) {
        self.reloads.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// Counts a taxonomy that was to take the place of the one in force: `embedded` where there is no file.
    pub fn count_taxonomy_change(&self, cause: TaxonomyCause, outcome: ReloadOutcome) {
        self.taxonomy_changes.get_or_create(&[("cause", cause.as_str()), ("outcome", outcome.as_str())]).inc();
    }

    /// Counts a call that the guard refused.
    pub fn count_refused_call(&self, reason: &'static str) {
        self.refused_calls.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts a connection that could not be secured.
    pub fn count_refused_handshake(&self, cause: &'static str) {
        self.refused_handshakes.get_or_create(&[("cause", cause)]).inc();
    }

    /// Counts a reading of certificates or credentials by what came of it.
    pub fn count_door_reload(&self, part: DoorPart, outcome: ReloadOutcome) {
        self.door_reloads.get_or_create(&[("part", part.as_str()), ("outcome", outcome.as_str())]).inc();
    }

    /// Says when the server's certificate ends, where that is known.
    pub fn set_certificate_end(&self, end: Option<SystemTime>) {
        let seconds = end.and_then(|end| end.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs());
        self.certificate_end.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Counts what became of a suggested article, once it is recorded.
    /// Counts what was said of a field; `held_back`: it is not learnt from.
    pub fn count_feedback(&self, field: &str, is_correction: bool, held_back: bool) {
        let verdict = match (is_correction, held_back) {
            (_, true) => "held_back",
            (true, false) => "corrected",
            (false, false) => "accepted",
        };
        self.feedback.get_or_create(&[("field", field.to_owned()), ("verdict", verdict.to_owned())]).inc();
    }

    /// Sets how many values of each field break their promise.
    pub fn set_demoted<'a>(&self, fields: impl Iterator<Item = &'a str>) {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        fields.for_each(|field| *counts.entry(field).or_default() += 1);
        self.demoted.clear();
        for (field, count) in counts {
            self.demoted.get_or_create(&[("field", field.to_owned())]).set(count);
        }
    }

    /// Sets the share of a field's promised values that was right.
    pub fn set_realised_precision(&self, field: &str, precision: f64) {
        self.realised_precision.get_or_create(&[("field", field.to_owned())]).set(precision);
    }

    pub fn count_words(&self, words: usize, new_words: usize) {
        self.words.inc_by(words as u64);
        self.new_words.inc_by(new_words as u64);
    }

    /// Counts a turn of a conversation by what came of it.
    pub fn count_answer(&self, outcome: &'static str) {
        self.answers.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub fn count_article_feedback(&self, event: &'static str) {
        self.article_feedback.get_or_create(&[("event", event)]).inc();
    }

    /// Counts the tickets of a chunk that was committed, in the order of [`TicketOutcome::ALL`].
    pub fn count_job_tickets(&self, outcomes: [u64; TicketOutcome::ALL.len()]) {
        for (outcome, tickets) in TicketOutcome::ALL.into_iter().zip(outcomes).filter(|(_, tickets)| *tickets > 0) {
            self.job_tickets.get_or_create(&[("outcome", outcome.as_str())]).inc_by(tickets);
        }
    }

    /// Says how many jobs are in each state that is not an end; those that are not named have none.
    pub fn set_open_jobs(&self, counts: &BTreeMap<JobState, u64>) {
        for state in JobState::ALL.into_iter().filter(|state| state.is_open()) {
            let count = counts.get(&state).copied().unwrap_or(0);
            self.jobs.get_or_create(&[("state", state.as_str())]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Names the model that serves from now on, and no other.
    pub fn set_model(&self, version: &str, previous: Option<&str>) {
        self.model.get_or_create(&[("version", version.to_owned())]).set(1);
        if let Some(previous) = previous.filter(|previous| *previous != version) {
            self.model.remove(&[("version", previous.to_owned())]);
        }
    }

    /// All metrics in the `OpenMetrics` text format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry).map(|()| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new();
        metrics.record_stage(Stage::Classify, Duration::from_micros(30));
        metrics.count_call("TriageTicket", "OK");
        metrics.count_decision("type", "autofill");
        metrics.count_reload(ReloadOutcome::Refused);
        metrics.count_article_feedback("helped");
        metrics.count_taxonomy_change(TaxonomyCause::Call, ReloadOutcome::Replaced);
        metrics.count_job_tickets([2, 0, 5, 0]);
        metrics.set_open_jobs(&[(JobState::Queued, 3)].into());
        metrics.set_open_jobs(&[(JobState::Running, 1)].into());
        metrics.set_model("a", None);
        metrics.set_model("b", Some("a"));
        metrics.set_model("b", Some("b"));
        let text = metrics.render().unwrap();
        for line in [
            r#"triage_stage_seconds_bucket{le="0.00005",stage="classify"} 1"#,
            r#"triage_calls_total{method="TriageTicket",code="OK"} 1"#,
            r#"triage_decisions_total{field="type",route="autofill"} 1"#,
            r#"triage_reloads_total{outcome="refused"} 1"#,
            r#"triage_article_feedback_total{event="helped"} 1"#,
            r#"triage_taxonomy_changes_total{cause="call",outcome="replaced"} 1"#,
            r#"triage_job_tickets_total{outcome="kept"} 5"#,
            r#"triage_jobs{state="queued"} 0"#,
            r#"triage_jobs{state="running"} 1"#,
            r#"triage_model_info{version="b"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("version=\"a\""), "{text}");
    }
}
