//! Settings: the embedded defaults, then a file, then `TRIAGE__SECTION__KEY`, then flags; checked once.
//! Every problem is reported together, unknown keys included. Binds nothing and reads no environment
//! of its own: the caller hands both in.

mod answers;
mod client;
mod doors;
mod exposure;
mod jobs;
mod learning;
mod redaction;
mod settings;
pub mod taxonomy;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use figment::{
    Figment, Source,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Value},
};
use serde::{Deserialize, de::DeserializeOwned};
use tracing_subscriber::EnvFilter;

pub use self::{
    client::{ClientAccess, Secret},
    exposure::{ExposedAddress, is_exposed},
};
use crate::{
    access::doors::{DoorSettings, Doors},
    domain::{answer::AnswerSettings, model::LearningPolicy, taxonomy::Taxonomy, ticket::TicketLimits},
    encode::{EncoderChoice, Encoders, Redactor},
    telemetry::LogFormat,
};

pub use self::settings::{Setting, SettingSource, differing};

const DEFAULTS: &str = include_str!("default.toml");
const ENVIRONMENT_PREFIX: &str = "TRIAGE__";

const MAX_BYTES: usize = 1 << 30;
const MAX_HELD_BYTES: usize = 1 << 40;
/// The answer to a batch holds its tickets sealed and what was said of them.
const ANSWER_TO_REQUEST: usize = 4;
const MAX_SECONDS: usize = 365 * 24 * 3_600;
const MAX_THREADS: usize = 1_024;

/// A configuration file with every setting, its default, and what it means.
pub fn default_text() -> &'static str {
    DEFAULTS
}

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub limits: Limits,
    pub compute_threads: NonZeroUsize,
    pub taxonomy: Taxonomy,
    /// The file that it was read from; `None`: the default taxonomy, unless the data directory keeps another.
    pub taxonomy_file: Option<PathBuf>,
    /// What is taken out of a ticket's text before it is read.
    pub redactor: Redactor,
    /// Where sentence encoders come from.
    pub encoders: Encoders,
    /// Where clients may have files of jobs read and written; absolute and without links.
    pub job_folders: Vec<PathBuf>,
    /// What chatbots are answered.
    pub answers: AnswerSettings,
    /// Values that one source may correct within an hour and that are learnt from.
    pub corrections_per_hour: u64,
    /// When the server trains and promotes models by itself.
    pub learning: LearningPolicy,
    /// How the server is guarded.
    pub doors: DoorSettings,
    /// What commands show the server that they talk to.
    pub client: ClientAccess,
    pub log_filter: String,
    pub log_format: LogFormat,
    /// Settings that work but are probably not meant, for the log.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// `None`: no admin address.
    pub admin_listen: Option<SocketAddr>,
    /// Whether either address may be reached from other machines.
    pub insecure: bool,
    pub drain: Duration,
    /// Whether programs may ask which methods there are.
    pub reflection: bool,
    /// The web pages that may call, by their origins.
    pub web_origins: Vec<String>,
}

/// What the server accepts.
#[derive(Debug, Clone)]
pub struct Limits {
    pub message_bytes: usize,
    pub batch_bytes: usize,
    pub ticket: TicketLimits,
    pub batch_tickets: usize,
    pub streams_per_connection: u32,
    pub header_bytes: u32,
    pub connections: usize,
    pub connections_per_peer: usize,
    pub calls: usize,
    pub open_calls_per_peer: usize,
    /// Of what calls hold beyond 64 KiB each.
    pub held_bytes: usize,
    pub held_bytes_per_peer: usize,
    /// So long single calls may keep waiting for a processor.
    pub queue: Duration,
    pub deadline: Duration,
    /// Within it a connection is secured, and again within it says what it speaks.
    pub handshake: Duration,
    pub idle: Duration,
    /// Of a connection that is older, new calls go elsewhere.
    pub connection_age: Duration,
    /// So much later it is closed.
    pub connection_grace: Duration,
}

/// Flags that win over every other layer.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub listen: Option<String>,
    pub admin_listen: Option<String>,
    pub insecure: bool,
    pub encoder: Option<EncoderChoice>,
    pub client: ClientAccess,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<String>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "configuration: {problem}"),
            problems => {
                write!(f, "configuration: {} problems", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    listen: String,
    admin_listen: String,
    insecure: bool,
    drain_seconds: u64,
    reflection: bool,
    web_origins: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    message_bytes: usize,
    batch_bytes: usize,
    text_bytes: usize,
    summary_chars: usize,
    batch_tickets: usize,
    streams_per_connection: u32,
    header_bytes: u32,
    connections: usize,
    connections_per_peer: usize,
    calls: usize,
    open_calls_per_peer: usize,
    held_bytes: usize,
    held_bytes_per_peer: usize,
    queue_milliseconds: u64,
    deadline_seconds: u64,
    handshake_seconds: u64,
    idle_seconds: u64,
    connection_age_seconds: u64,
    connection_grace_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCompute {
    threads: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTaxonomy {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    filter: String,
    format: LogFormat,
}

impl Config {
    /// Reads all layers. `file` must exist where it is given.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut layers = Figment::from(Toml::string(DEFAULTS));
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(_) => {
                    layers = layers.merge(Toml::file_exact(path));
                    // A path in a file is meant from that file's folder, one from the environment from here.
                    let folder = path.parent().unwrap_or(Path::new(""));
                    for setting in ["taxonomy.file"].into_iter().chain(doors::PATHS) {
                        if let Ok(named) = layers.extract_inner::<PathBuf>(setting)
                            && !named.as_os_str().is_empty()
                        {
                            // As a default: the environment must win over it.
                            layers = layers.merge(Serialized::default(setting, folder.join(named)));
                        }
                    }
                }
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        let environment: Vec<_> = environment.into_iter().collect();
        let client = client::check(&overrides.client, &environment, &mut problems);
        layers = layers
            .merge(Serialized::defaults(environment_layer(environment)))
            .merge(Serialized::defaults(flag_layer(overrides)));
        problems.extend(unknown_sections(&layers));

        let server = section::<RawServer>(&layers, "server", &mut problems);
        let limits = section::<RawLimits>(&layers, "limits", &mut problems);
        let compute = section::<RawCompute>(&layers, "compute", &mut problems);
        let taxonomy = section::<RawTaxonomy>(&layers, "taxonomy", &mut problems);
        let redaction = section::<redaction::RawRedaction>(&layers, "redaction", &mut problems);
        let jobs = section::<jobs::RawJobs>(&layers, "jobs", &mut problems);
        let answers = section::<answers::RawAnswers>(&layers, "answers", &mut problems);
        let learning = section::<learning::RawLearning>(&layers, "learning", &mut problems);
        let tls = section::<doors::RawTls>(&layers, "tls", &mut problems);
        let auth = section::<doors::RawAuth>(&layers, "auth", &mut problems);
        let log = section::<RawLog>(&layers, "log", &mut problems);

        let server = server.and_then(|raw| check_server(&raw, &mut problems));
        let limits = limits.and_then(|raw| check_limits(&raw, &mut problems));
        if let Some(threads) = compute.as_ref().map(|raw| raw.threads).filter(|threads| *threads > MAX_THREADS) {
            problems.push(format!("compute.threads: must be at most {MAX_THREADS}, is {threads}"));
        }
        if let Some(error) = log.as_ref().and_then(|raw| EnvFilter::try_new(&raw.filter).err()) {
            problems.push(format!("log.filter: {error}"));
        }
        let taxonomy_file = taxonomy.as_ref().map(|raw| raw.file.clone()).filter(|file| !file.as_os_str().is_empty());
        let taxonomy = taxonomy.and_then(|_| {
            taxonomy::load(taxonomy_file.as_deref()).map_err(|error| problems.extend(error.problems)).ok()
        });
        let redactor = redaction.and_then(|raw| redaction::check(&raw, &mut problems));
        let job_folders = jobs.map(|raw| jobs::check(&raw, &mut problems)).unwrap_or_default();
        let doors = doors::check(tls, auth, &mut problems);
        let answers = answers.map(|raw| answers::check(&raw, &mut problems));
        let learning = learning.map(|raw| (raw.corrections_per_hour, learning::check(&raw, &mut problems)));
        let (
            Some(server),
            Some(limits),
            Some(compute),
            Some(taxonomy),
            Some(redactor),
            Some(answers),
            Some((corrections_per_hour, learning)),
            Some(log),
            true,
        ) = (server, limits, compute, taxonomy, redactor, answers, learning, log, problems.is_empty())
        else {
            return Err(ConfigError { problems });
        };
        let warnings = taxonomy.warnings();
        Ok(Self {
            server,
            limits,
            compute_threads: NonZeroUsize::new(compute.threads)
                .unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
            taxonomy,
            taxonomy_file,
            redactor,
            encoders: Encoders::new(overrides.encoder.clone()),
            job_folders,
            answers,
            corrections_per_hour,
            learning,
            doors,
            client,
            log_filter: log.filter,
            log_format: log.format,
            warnings,
        })
    }

    /// Reads the files that guard the server.
    pub fn open_doors(&self) -> Result<Doors, ConfigError> {
        Doors::open(self.doors.clone()).map_err(|problems| ConfigError { problems })
    }
}

/// Nested tables from `TRIAGE__SECTION__KEY=value`.
fn environment_layer(environment: impl IntoIterator<Item = (String, String)>) -> Dict {
    let mut layer = Dict::new();
    for (name, text) in environment {
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let path = path.to_lowercase();
        // Parsing a figment value cannot fail: what is no number, list or table is a string.
        let value = text.parse::<Value>().unwrap_or_else(|infallible| match infallible {});
        let mut keys: Vec<_> = path.split("__").collect();
        let last = keys.pop().unwrap_or_default();
        let mut table = &mut layer;
        for key in keys {
            table = table_in(table, key);
        }
        table.insert(last.to_owned(), value);
    }
    layer
}

fn flag_layer(overrides: &Overrides) -> Dict {
    let mut layer = Dict::new();
    if let Some(listen) = &overrides.listen {
        insert(&mut layer, "server", "listen", Value::from(listen.as_str()));
    }
    if let Some(listen) = &overrides.admin_listen {
        insert(&mut layer, "server", "admin_listen", Value::from(listen.as_str()));
    }
    if overrides.insecure {
        insert(&mut layer, "server", "insecure", Value::from(true));
    }
    layer
}

fn insert(layer: &mut Dict, section: &str, key: &str, value: Value) {
    table_in(layer, section).insert(key.to_owned(), value);
}

/// The table of this name, which takes the place of what is none.
fn table_in<'a>(layer: &'a mut Dict, name: &str) -> &'a mut Dict {
    let empty = || Value::from(BTreeMap::<String, Value>::new());
    let entry = layer.entry(name.to_owned()).or_insert_with(empty);
    if !matches!(entry, Value::Dict(..)) {
        *entry = empty();
    }
    let Value::Dict(_, table) = entry else { unreachable!("it was made a table just now") };
    table
}

fn unknown_sections(layers: &Figment) -> Vec<String> {
    const KNOWN: [&str; 11] =
        ["server", "tls", "auth", "limits", "compute", "taxonomy", "redaction", "answers", "learning", "jobs", "log"];
    let all: Dict = match layers.extract() {
        Ok(all) => all,
        Err(error) => return error.into_iter().map(|error| error.to_string()).collect(),
    };
    all.keys()
        .filter(|section| !KNOWN.contains(&section.as_str()))
        .map(|section| format!("unknown section `{section}`, expected one of {}", KNOWN.join(", ")))
        .collect()
}

fn section<T: DeserializeOwned>(layers: &Figment, name: &str, problems: &mut Vec<String>) -> Option<T> {
    match layers.extract_inner(name) {
        Ok(section) => Some(section),
        Err(errors) => {
            for error in errors {
                // figment puts the section behind the key.
                let mut path = error.path.clone();
                if path.last().is_none_or(|last| last == name) {
                    path.pop();
                    path.insert(0, name.to_owned());
                }
                let source = error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref());
                let place = source.and_then(Source::file_path).map(|file| format!(" ({})", file.display()));
                let place = place.unwrap_or_default();
                // A file that does not parse fails every section the same way: once is enough.
                let problem = format!("{}: {}{place}", path.join("."), error.kind);
                let syntax = problem.contains("TOML parse error")
                    && problems.iter().any(|known| known.contains("TOML parse error"));
                if !syntax {
                    problems.push(problem);
                }
            }
            None
        }
    }
}

fn check_server(raw: &RawServer, problems: &mut Vec<String>) -> Option<Server> {
    let mut address = |key: &str, text: &str| {
        text.parse::<SocketAddr>()
            .map_err(|_| problems.push(format!("server.{key}: `{text}` is not an address such as 127.0.0.1:50051")))
            .ok()
    };
    let listen = address("listen", &raw.listen);
    let admin_listen =
        if raw.admin_listen == "off" { Some(None) } else { address("admin_listen", &raw.admin_listen).map(Some) };
    if seconds(raw.drain_seconds) > MAX_SECONDS {
        problems.push(format!("server.drain_seconds: must be at most {MAX_SECONDS}, is {}", raw.drain_seconds));
    }
    doors::check_origins(&raw.web_origins, problems);
    Some(Server {
        listen: listen?,
        admin_listen: admin_listen?,
        insecure: raw.insecure,
        drain: Duration::from_secs(raw.drain_seconds),
        reflection: raw.reflection,
        web_origins: raw.web_origins.clone(),
    })
}

/// For a range check: what does not fit is too long in any case.
fn seconds(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn check_limits(raw: &RawLimits, problems: &mut Vec<String>) -> Option<Limits> {
    let before = problems.len();
    let mut within = |key: &str, value: usize, allowed: RangeInclusive<usize>| {
        if !allowed.contains(&value) {
            problems.push(format!("limits.{key}: must be {} to {}, is {value}", allowed.start(), allowed.end()));
        }
    };
    within("message_bytes", raw.message_bytes, 1_024..=MAX_BYTES);
    within("batch_bytes", raw.batch_bytes, raw.message_bytes..=MAX_BYTES);
    within("text_bytes", raw.text_bytes, 1..=MAX_BYTES);
    within("summary_chars", raw.summary_chars, 1..=MAX_BYTES);
    within("batch_tickets", raw.batch_tickets, 1..=65_536);
    within("streams_per_connection", raw.streams_per_connection as usize, 1..=65_536);
    within("header_bytes", raw.header_bytes as usize, 1_024..=1_048_576);
    within("connections", raw.connections, 1..=1_000_000);
    within("connections_per_peer", raw.connections_per_peer, 1..=1_000_000);
    within("calls", raw.calls, 1..=65_536);
    within("open_calls_per_peer", raw.open_calls_per_peer, 1..=1_000_000);
    within("held_bytes", raw.held_bytes, 1..=MAX_HELD_BYTES);
    within("held_bytes_per_peer", raw.held_bytes_per_peer, 1..=raw.held_bytes);
    within("queue_milliseconds", seconds(raw.queue_milliseconds), 1..=10_000);
    within("deadline_seconds", seconds(raw.deadline_seconds), 1..=MAX_SECONDS);
    within("handshake_seconds", seconds(raw.handshake_seconds), 1..=MAX_SECONDS);
    within("idle_seconds", seconds(raw.idle_seconds), 1..=MAX_SECONDS);
    within("connection_age_seconds", seconds(raw.connection_age_seconds), 1..=MAX_SECONDS);
    within("connection_grace_seconds", seconds(raw.connection_grace_seconds), 1..=MAX_SECONDS);
    // The largest request, of long texts, finds room where nobody else is, and its answer, which may be larger, does too.
    let (largest_call, held) = (raw.batch_bytes.saturating_mul(ANSWER_TO_REQUEST), raw.held_bytes_per_peer);
    if held < largest_call {
        problems.push(format!(
            "limits.held_bytes_per_peer: must be {ANSWER_TO_REQUEST} times limits.batch_bytes ({largest_call}) or more, is {held}"
        ));
    }
    (problems.len() == before).then(|| Limits {
        message_bytes: raw.message_bytes,
        batch_bytes: raw.batch_bytes,
        ticket: TicketLimits { summary_chars: raw.summary_chars, text_bytes: raw.text_bytes },
        batch_tickets: raw.batch_tickets,
        streams_per_connection: raw.streams_per_connection,
        header_bytes: raw.header_bytes,
        connections: raw.connections,
        connections_per_peer: raw.connections_per_peer,
        calls: raw.calls,
        open_calls_per_peer: raw.open_calls_per_peer,
        held_bytes: raw.held_bytes,
        held_bytes_per_peer: raw.held_bytes_per_peer,
        queue: Duration::from_millis(raw.queue_milliseconds),
        deadline: Duration::from_secs(raw.deadline_seconds),
        handshake: Duration::from_secs(raw.handshake_seconds),
        idle: Duration::from_secs(raw.idle_seconds),
        connection_age: Duration::from_secs(raw.connection_age_seconds),
        connection_grace: Duration::from_secs(raw.connection_grace_seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("triage.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(Some(&path), environment, &Overrides::default())
    }

    #[test]
    fn the_defaults_alone_are_a_whole_configuration() {
        let config = Config::load(None, [], &Overrides::default()).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:50051");
        assert_eq!(config.limits.batch_tickets, 256);
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn the_environment_wins_over_the_file_and_flags_win_over_both() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\n[limits]\ncalls = 7\n";
        let config = load(file, &[("TRIAGE__SERVER__LISTEN", "127.0.0.1:2"), ("HOME", "x")]).unwrap();
        assert_eq!((config.server.listen.port(), config.limits.calls), (2, 7));

        let overrides = Overrides { listen: Some("127.0.0.1:3".to_owned()), ..Overrides::default() };
        let environment = [("TRIAGE__SERVER__LISTEN".to_owned(), "127.0.0.1:2".to_owned())];
        assert_eq!(Config::load(None, environment, &overrides).unwrap().server.listen.port(), 3);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let file = "[server]\nlisten = \"nowhere\"\n[limits]\ncalls = 0\nbatch = 3\n[colour]\nred = 1\n";
        let problems = load(file, &[("TRIAGE__COMPUTE__THREADS", "many")]).unwrap_err().problems.join("\n");
        for expected in ["server.listen", "batch", "colour", "compute"] {
            assert!(problems.contains(expected), "{expected} is missing in\n{problems}");
        }
        assert!(problems.contains("limits.batch: ") && problems.contains("triage.toml"), "{problems}");
    }

    #[test]
    fn a_file_that_is_not_there_or_no_toml_is_named() {
        let missing = Config::load(Some(Path::new("no/such.toml")), [], &Overrides::default()).unwrap_err();
        assert!(missing.to_string().contains("no/such.toml"), "{missing}");
        assert_eq!(load("[server\n", &[]).unwrap_err().problems.len(), 1);
    }

    #[test]
    fn absurd_sizes_are_refused_and_not_tried() {
        let file = "[limits]\ncalls = 9000000000000000000\nidle_seconds = 9000000000000000000\n\
                    [compute]\nthreads = 100000\n[log]\nfilter = \"a=b=c[\"\n";
        let problems = load(file, &[]).unwrap_err().problems.join("\n");
        for expected in ["limits.calls", "limits.idle_seconds", "compute.threads", "log.filter"] {
            assert!(problems.contains(expected), "{expected} is missing in\n{problems}");
        }
    }

    #[test]
    fn the_largest_call_has_room_where_nobody_else_is() {
        let limits = |held: usize| format!("[limits]\nbatch_bytes = 67108864\nheld_bytes_per_peer = {held}\n");
        assert!(load(&limits(256 << 20), &[]).is_ok());
        let problems = load(&limits((256 << 20) - 1), &[]).unwrap_err().problems.join("\n");
        assert!(problems.contains("held_bytes_per_peer: must be 4 times limits.batch_bytes (268435456)"), "{problems}");
        let problems = load(&limits((256 << 20) + 1), &[]).unwrap_err().problems.join("\n");
        assert!(problems.contains("held_bytes_per_peer: must be 1 to 268435456"), "{problems}");
    }

    #[test]
    fn a_taxonomy_is_looked_for_beside_the_file_that_names_it() {
        let problem = load("[taxonomy]\nfile = \"tax.toml\"\n", &[]).unwrap_err().to_string();
        let folder = std::env::temp_dir();
        assert!(problem.contains(&folder.display().to_string()), "{problem}");
        let problem = load("", &[("TRIAGE__TAXONOMY__FILE", "no/tax.toml")]).unwrap_err().to_string();
        assert!(problem.contains("taxonomy no/tax.toml"), "{problem}");
    }
}
