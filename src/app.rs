//! Puts the parts together and serves: bind, load, answer, and drain in order.

mod admin;
mod counts;
mod jobs;
mod learning;
mod reload;
mod retraining;
mod taxonomy;

use std::{future::Future, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use futures_util::Stream;
use tokio::{net::TcpListener, task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use tonic::{
    codec::CompressionEncoding,
    server::NamedService,
    transport::{Server, server::Router as GrpcRouter},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_web::GrpcWebLayer;
use tower::{
    layer::util::{Identity, Stack},
    util::{Either, MapResponseLayer},
};
use tower_http::cors::CorsLayer;

use self::{jobs::Worker, reload::Reloads};
use crate::{
    access::doors::Doors,
    compute::Pool,
    config::{Config, Limits, Server as ServerSettings},
    domain::ticket::{TicketDraft, TicketLimits},
    error::TriageError,
    grpc::{
        Api, Core, FeedbackHandler, JobHandler, KnowledgeHandler, MemoryHandler, ModelHandler, TaxonomyHandler,
        TriageHandler, admission::Admission, connections, edge, frames, guard::GuardLayer, tls, web,
    },
    pb,
    triage::TriageOptions,
};

const SERVICES: [&str; 8] = [
    "",
    <pb::triage_service_server::TriageServiceServer<TriageHandler> as NamedService>::NAME,
    <pb::knowledge_service_server::KnowledgeServiceServer<KnowledgeHandler> as NamedService>::NAME,
    <pb::memory_service_server::MemoryServiceServer<MemoryHandler> as NamedService>::NAME,
    <pb::feedback_service_server::FeedbackServiceServer<FeedbackHandler> as NamedService>::NAME,
    <pb::job_service_server::JobServiceServer<JobHandler> as NamedService>::NAME,
    <pb::taxonomy_service_server::TaxonomyServiceServer<TaxonomyHandler> as NamedService>::NAME,
    <pb::model_service_server::ModelServiceServer<ModelHandler> as NamedService>::NAME,
];

/// Of what asks for health or for the description of the API: names.
const SMALL_MESSAGE: usize = 4 << 10;

/// Threads for calls that wait for the disk: some go on while another reads or writes for long.
const DISK_THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// A server that is bound and not yet serving.
#[derive(Debug)]
pub struct App {
    config: Config,
    listener: TcpListener,
    admin_listener: Option<TcpListener>,
    reloads: Option<Reloads>,
    doors: Arc<Doors>,
}

impl App {
    /// Reads what guards the server and binds both addresses. Refuses addresses beyond loopback unless they are guarded or
    /// the configuration allows them.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        config.check_exposure()?;
        let doors = config.open_doors()?;
        for warning in doors.warnings() {
            tracing::warn!("{warning}");
        }
        let listener = bind(config.server.listen, "--listen").await?;
        let admin_listener = match config.server.admin_listen {
            Some(address) => Some(bind(address, "--admin-listen").await?),
            None => None,
        };
        Ok(Self { config, listener, admin_listener, reloads: None, doors: Arc::new(doors) })
    }

    /// While it serves, reads certificates, credentials, the model in `folder` and the taxonomy file of the configuration
    /// again at every request; without a folder it says that there is none.
    #[must_use]
    pub fn reload_on(self, requests: impl Stream<Item = ()> + Send + 'static, folder: Option<PathBuf>) -> Self {
        let (taxonomy_file, doors) = (self.config.taxonomy_file.clone(), Arc::clone(&self.doors));
        Self { reloads: Some(Reloads { requests: Box::pin(requests), folder, taxonomy_file, doors }), ..self }
    }

    /// Where gRPC listens, with the port that was chosen.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where metrics and probes listen, with the port that was chosen.
    pub fn admin_address(&self) -> anyhow::Result<Option<SocketAddr>> {
        self.admin_listener.as_ref().map(TcpListener::local_addr).transpose().map_err(Into::into)
    }

    /// Serves until `shutdown`, then drains. `load` runs while the server already listens: health says
    /// `NOT_SERVING` and calls are answered `UNAVAILABLE` until it is done.
    pub async fn serve(
        self,
        load: impl FnOnce() -> anyhow::Result<Core> + Send + 'static,
        on_ready: impl FnOnce() + Send,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self { config, listener, admin_listener, reloads, doors } = self;
        let pool = Pool::adaptive(config.compute_threads, config.limits.calls, config.limits.queue)?;
        let draining = CancellationToken::new();
        let disk = Pool::start(DISK_THREADS, config.limits.calls)?;
        let counted = disk.clone();
        let api = Api::new(pool.clone(), disk.clone(), config.limits.clone(), draining.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        report(&health, ServingStatus::NotServing).await;

        let mut tasks = JoinSet::new();
        // Apart from the others: it is waited for, and not cut off.
        let mut worker = JoinSet::new();
        if let Some(listener) = admin_listener {
            tasks.spawn(admin::serve(listener, api.clone(), Arc::clone(&doors), config.limits.clone()));
        }

        let connections = connections::accept(listener, &config.limits);
        let connections = tls::secure(connections, Arc::clone(&doors), Doors::tls, config.limits.handshake);
        let connections = frames::watch(connections, &config.limits);
        let server = routes(&api, &config.limits, &config.server, doors)?
            .add_service(health_service.max_decoding_message_size(SMALL_MESSAGE))
            .serve_with_incoming_shutdown(connections, draining.clone().cancelled_owned());
        tokio::pin!(server);
        tokio::pin!(shutdown);

        let loaded = load_core(pool.clone(), load);
        tokio::pin!(loaded);
        tokio::select! {
            core = &mut loaded => {
                let core = core?;
                let versions = core.triager.versions();
                api.serve_with(core);
                report(&health, ServingStatus::Serving).await;
                tracing::info!(model = versions.model, taxonomy = versions.taxonomy, knowledge = versions.knowledge, memory = versions.memory, "serving");
                on_ready();
                tasks.spawn(learning::run(api.clone(), pool.clone()));
                tasks.spawn(counts::run(api.clone(), disk.clone()));
                tasks.spawn(retraining::run(api.clone(), disk.clone(), config.learning));
                let (threads, limits, stop) = (config.compute_threads, config.limits.ticket, draining.clone());
                worker.spawn(Worker { api: api.clone(), pool: pool.clone(), disk, threads, limits, stop }.run());
                if let Some(reloads) = reloads {
                    tasks.spawn(reloads.run(api.clone(), pool));
                }
                tokio::select! {
                    outcome = &mut server => outcome.context("gRPC server failed")?,
                    () = &mut shutdown => {}
                }
            }
            outcome = &mut server => outcome.context("gRPC server failed")?,
            () = &mut shutdown => {}
        }

        tracing::info!("draining");
        report(&health, ServingStatus::NotServing).await;
        draining.cancel();
        // Watchers have been told; without a sender their streams end, and no connection is held open by them.
        let mut health = health;
        for service in SERVICES {
            health.clear_service_status(service).await;
        }
        let drained = async {
            // A server that failed while it drained has nothing more to answer.
            (&mut server).await.ok();
            if let Err(error) = counts::keep(&api, &counted).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last counts of decisions are not kept");
            }
            while worker.join_next().await.is_some() {}
        };
        if time::timeout(config.server.drain, drained).await.is_err() {
            tracing::warn!(calls = api.in_flight(), "calls were cut off when the drain time was over");
        }
        tasks.shutdown().await;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another address with {flag}, or port 0 for a free one")
    })
}

/// Loads on the compute pool and decides one ticket, so that the first caller meets a warm server.
async fn load_core(pool: Pool, load: impl FnOnce() -> anyhow::Result<Core> + Send + 'static) -> anyhow::Result<Core> {
    let place = pool.admit()?;
    let warm_up = move || -> anyhow::Result<Core> {
        let core = load()?;
        let draft = TicketDraft { summary: "warm-up: cannot print".to_owned(), ..TicketDraft::default() };
        let ticket = draft.parse("", &TicketLimits::default()).map_err(TriageError::InvalidRequest)?;
        core.triager.triage(&ticket, TriageOptions::default())?;
        core.feedback.forget_counts();
        Ok(core)
    };
    pool.run(place, warm_up).await?
}

async fn report(health: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

type ChangeResponse =
    fn(tonic::codegen::http::Response<tonic::body::Body>) -> tonic::codegen::http::Response<tonic::body::Body>;
/// From the inside out.
type Layers = Stack<
    Admission,
    Stack<
        GuardLayer,
        Stack<
            MapResponseLayer<ChangeResponse>,
            Stack<GrpcWebLayer, Stack<MapResponseLayer<ChangeResponse>, Stack<Either<CorsLayer, Identity>, Identity>>>,
        >,
    >,
>;

/// Bytes of one call that may lie unread: a stream of tickets comes faster than they are read.
const STREAM_WINDOW: u32 = 128 << 10;

/// Room for what all calls of a connection may send. The library ends a connection on which many small pieces lie unread:
/// each counts as the bytes that it lacks to 256, and half of the connection's window is allowed (`h2`, data frame budget).
/// With windows of one size for both, that is a client which only streams short tickets.
fn connection_window(streams: u32) -> u32 {
    /// Of HTTP/2.
    const LARGEST: u32 = (1 << 31) - 1;
    streams.saturating_mul(STREAM_WINDOW).min(LARGEST)
}

fn routes(
    api: &Api,
    limits: &Limits,
    settings: &ServerSettings,
    doors: Arc<Doors>,
) -> anyhow::Result<GrpcRouter<Layers>> {
    let triage = pb::triage_service_server::TriageServiceServer::new(TriageHandler(api.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.batch_bytes);
    let knowledge = pb::knowledge_service_server::KnowledgeServiceServer::new(KnowledgeHandler(api.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.batch_bytes);
    let memory = pb::memory_service_server::MemoryServiceServer::new(MemoryHandler(api.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.batch_bytes);
    let feedback = pb::feedback_service_server::FeedbackServiceServer::new(FeedbackHandler(api.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.batch_bytes);
    let jobs = pb::job_service_server::JobServiceServer::new(JobHandler(api.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.batch_bytes);
    let taxonomy = pb::taxonomy_service_server::TaxonomyServiceServer::new(TaxonomyHandler(api.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.batch_bytes);
    let models = pb::model_service_server::ModelServiceServer::new(ModelHandler(api.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limits.batch_bytes);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let complete: ChangeResponse = edge::complete::<tonic::body::Body>;
    let hold_text: ChangeResponse = web::hold_text;
    let router = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(limits.streams_per_connection)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits.streams_per_connection))
        .http2_max_header_list_size(limits.header_bytes)
        // How long it may take then is `connections.rs`'s: with a grace tonic never asks the client to leave.
        .max_connection_age(limits.connection_age)
        .layer(web::origins(&settings.web_origins)?)
        .layer(MapResponseLayer::new(hold_text))
        .layer(GrpcWebLayer::new())
        .layer(MapResponseLayer::new(complete))
        .layer(GuardLayer::new(api.clone(), doors, &settings.web_origins))
        .layer(Admission::new(api))
        .add_service(triage)
        .add_service(knowledge)
        .add_service(memory)
        .add_service(feedback)
        .add_service(jobs)
        .add_service(taxonomy)
        .add_service(models);
    Ok(if settings.reflection {
        router
            .add_service(reflection().build_v1()?.max_decoding_message_size(SMALL_MESSAGE))
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(SMALL_MESSAGE))
    } else {
        router
    })
}
