//! `triage serve`: the service, with or without a demo knowledge base.

use std::{
    future::ready,
    io::{self, IsTerminal as _, Write as _},
    panic,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::{Stream, StreamExt as _, stream};

use super::{load_config, model::classifier, render};
use crate::{
    app::App,
    audit::AuditLog,
    config::Overrides,
    doctor,
    domain::article::Article,
    encode::SentenceEncoder,
    feedback::Feedback,
    grpc::Core,
    jobs::Jobs,
    knowledge::{Encoding, KnowledgeBase, import, settle_encoder},
    memory::Memory,
    registry::{Registry, Shadow},
    store::Store,
    taxonomy::Taxonomies,
    telemetry,
    triage::Triager,
};

mod demo {
    include!(concat!(env!("OUT_DIR"), "/demo_articles.rs"));
}

/// Of a long encoding the log says something so often.
const ENCODING_TOLD_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Fill an empty knowledge base with demo articles and print commands to try; keeps nothing without --data-dir
    #[arg(long)]
    demo: bool,
    /// Model bundle to serve, read again on SIGHUP; without it the active one of the data directory (`triage model`), at
    /// first the one inside this program
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Where gRPC and gRPC-Web listen [default: 127.0.0.1:50051; port 0 picks a free one]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where /metrics, /livez and /readyz listen, or "off" [default: 127.0.0.1:50052]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Where articles and confirmed tickets are kept [default: ./triage-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Allow addresses beyond loopback without TLS, or without asking for credentials
    #[arg(long)]
    insecure: bool,
}

pub(super) fn run(args: ServeArgs, config: Option<&Path>, overrides: Overrides) -> anyhow::Result<()> {
    let ServeArgs { demo, model, listen, admin_listen, data_dir, insecure } = args;
    let config = load_config(config, &Overrides { listen, admin_listen, insecure, ..overrides })?;
    telemetry::init_log(&config.log_filter, config.log_format)?;
    keep_panics_private();
    raise_open_files();
    config.check_exposure()?;
    // Before anything is created: files that cannot be used are a wrong configuration.
    config.open_doors()?;

    // Lives as long as the server: dropping it removes the folder.
    let temporary = if demo && data_dir.is_none() { Some(tempfile::tempdir()?) } else { None };
    let data_dir = match (&temporary, data_dir) {
        // Made with the store, for this user alone.
        (Some(temporary), _) => temporary.path().join("data"),
        (None, Some(data_dir)) => data_dir,
        (None, None) => PathBuf::from(super::DEFAULT_DATA_DIR),
    };
    // Before anything is created for a bundle that cannot be read.
    let named = model.as_deref().map(|bundle| classifier(Some(bundle), None, &config)).transpose()?;
    let (redactor, encoders, job_folders) =
        (config.redactor.clone(), config.encoders.clone(), config.job_folders.clone());
    let store = Store::open(&data_dir)?;
    for finding in doctor::rights(&data_dir) {
        let (place, problem) = (finding.place.display(), &finding.problem);
        tracing::warn!("{place}: {problem}; {}", finding.remedy);
    }
    let registry = Registry::open(store.clone(), &data_dir, redactor.clone(), encoders.clone())?;
    let classifier = named.map_or_else(|| classifier(None, Some(&registry), &config), Ok)?;
    let registry = registry.pinned_to(model.as_deref());

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is printed: who reads the address may send the signal at once.
        let (shutdown, hangups) = (shutdown_signal()?, hangups()?);
        let taxonomies = Taxonomies::new(store.clone(), config.taxonomy_file.as_deref());
        let taxonomy = taxonomies.in_force(&config.taxonomy)?;
        let corrections_per_hour = config.corrections_per_hour;
        let answers = config.answers;
        // Calls go on beside it.
        let threads = (config.compute_threads.get() / 2).max(1);
        let (is_secured, asks_who) = (config.doors.tls.is_some(), config.doors.auth.is_on());
        let app = App::bind(config).await?.reload_on(hangups, model);
        let address = app.address()?;
        let mut out = io::stdout();
        writeln!(out, "listening on {address}")?;
        if let Some(admin) = app.admin_address()? {
            writeln!(out, "admin listening on {admin}")?;
        }
        out.flush()?;

        let (audited, audited_in) = (store.clone(), data_dir.clone());
        let load = move || {
            let encoding = settle_encoder(&store, &encoders)?.map(|encoder| encoding(encoder, threads));
            let knowledge = KnowledgeBase::open(store.clone(), &data_dir, encoding.clone())?;
            let memory = Memory::open(store.clone(), &data_dir, redactor, encoding)?;
            let feedback = Feedback::open(store.clone(), memory.clone())?.with_hourly_limit(corrections_per_hour);
            let jobs = Jobs::serve(store, &data_dir, &job_folders)?;
            // A base that holds the desk's own articles is shown as it is.
            if demo && knowledge.article_count() == 0 {
                knowledge.upsert(&demo_articles()?)?;
            }
            let triager = Triager::new(classifier, taxonomy, Some(knowledge.clone()), Some(memory.clone()))?
                .with_feedback(feedback.clone());
            for mismatch in triager.mismatches() {
                tracing::warn!("{mismatch}");
            }
            let shadow = shadow_at_work(&registry);
            let audit = AuditLog::open(audited, &audited_in)?;
            Ok(Core { triager, knowledge, memory, feedback, jobs, taxonomies, registry, answers, audit, shadow })
        };
        let on_ready = move || {
            if demo {
                // A closed terminal cannot be shown anything; the server goes on.
                render::demo_commands(&mut io::stdout(), address, is_secured, asks_who).ok();
            }
        };
        app.serve(load, on_ready, shutdown).await
    })
}

/// Each connection is an open file, and many systems allow 1,024 unless one asks for more.
fn raise_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the number of open files could not be raised");
        }
    }
}

/// Makes the vectors of articles and tickets, and says every few seconds how far that is.
fn encoding(encoder: SentenceEncoder, threads: usize) -> Encoding {
    let last = Mutex::new(Instant::now());
    let progress = move |done, total| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= ENCODING_TOLD_EVERY {
            *last = Instant::now();
            tracing::info!(done, total, "articles or tickets read by the sentence encoder");
        }
    };
    Encoding::new(encoder, threads, Arc::new(progress))
}

/// The server serves also where its shadow cannot.
fn shadow_at_work(registry: &Registry) -> Option<Shadow> {
    registry.shadow_at_work().unwrap_or_else(|error| {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "no model answers silently: set another shadow, or none");
        None
    })
}

fn demo_articles() -> anyhow::Result<Vec<Article>> {
    let articles = demo::ARTICLES.iter().map(|(name, text)| Ok(import::parse_markdown(name, text)?));
    articles.collect()
}

/// Every SIGHUP, which is caught from now on.
#[cfg(unix)]
fn hangups() -> io::Result<impl Stream<Item = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let hangup = signal(SignalKind::hangup())?;
    Ok(stream::unfold(hangup, async |mut hangup| hangup.recv().await.map(|()| ((), hangup))))
}

/// Other systems have no such signal.
#[cfg(not(unix))]
fn hangups() -> io::Result<impl Stream<Item = ()>> {
    Ok(stream::empty())
}

/// Ends with Ctrl-C, SIGTERM, or the terminal that the server was started from; all are caught from now on.
#[cfg(unix)]
fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A terminal that is closed sends SIGHUP too: nobody is left who would end a server that lives on.
    let had_terminal = has_terminal();
    let mut closed = Box::pin(hangups()?.filter(move |()| ready(had_terminal && !has_terminal())));
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = closed.next() => {}
        }
    })
}

#[cfg(unix)]
fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// Ends with Ctrl-C; it is caught from now on.
#[cfg(windows)]
fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}

/// A panic's message may quote ticket text: the log gets its place only.
fn keep_panics_private() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked");
    }));
}
