//! The admin address: probes, which everybody may ask, and metrics. Where other machines reach it, it is secured as calls
//! are, and metrics are for who has a credential.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::{ConnectInfo, State, connect_info::Connected},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse as _, Response},
    routing::get,
    serve::{IncomingStream, Listener},
};
use futures_util::{Stream, StreamExt as _};
use tokio::net::TcpListener;

use crate::{
    access::doors::Doors,
    config::{Limits, is_exposed},
    grpc::{
        Api,
        connections::{self, Connection},
        tls::{self, Peer, Secured},
    },
    telemetry::METRICS,
};

/// Probes and scrapers are few.
const MAX_CONNECTIONS: usize = 64;
/// Scrapers come back within a minute.
const IDLE: Duration = Duration::from_mins(2);

#[derive(Clone)]
struct Admin {
    api: Api,
    /// Whose callers may read metrics; `None`: whoever reaches the address.
    doors: Option<Arc<Doors>>,
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, api: Api, doors: Arc<Doors>, limits: Limits) {
    let address = listener.local_addr();
    let is_exposed = address.as_ref().map_or(true, is_exposed);
    let admin = Admin { api, doors: is_exposed.then(|| Arc::clone(&doors)) };
    let service = router(admin).into_make_service_with_connect_info::<Peer>();
    let served = match address {
        Ok(address) if is_exposed => {
            let few = Limits { connections: MAX_CONNECTIONS, idle: IDLE, ..limits };
            let connections = connections::accept(listener, &few);
            let connections = Box::pin(tls::secure(connections, doors, Doors::admin_tls, few.handshake));
            axum::serve(SecuredListener { connections, address }, service).await
        }
        _ => axum::serve(listener, service).await,
    };
    if let Err(error) = served {
        tracing::error!(error = &error as &dyn std::error::Error, "admin address failed");
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.api.is_ready() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

async fn metrics(State(admin): State<Admin>, ConnectInfo(peer): ConnectInfo<Peer>, headers: HeaderMap) -> Response {
    if let Some(access) = admin.doors.map(|doors| doors.access()).filter(|access| access.is_on()) {
        let authorization = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        if let Err(refusal) = access.identify(authorization, &peer.certificate_names, SystemTime::now()) {
            METRICS.count_refused_call(refusal.as_str());
            let ask = [(WWW_AUTHENTICATE, "Bearer")];
            return (StatusCode::UNAUTHORIZED, ask, "metrics are for who shows a credential\n").into_response();
        }
    }
    admin.api.record_gauges().await;
    match METRICS.render() {
        Ok(text) => {
            let format = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
            (format, text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Hands secured connections to axum.
struct SecuredListener<S> {
    connections: Pin<Box<S>>,
    address: SocketAddr,
}

impl<S: Stream<Item = io::Result<Secured<Connection>>> + Send + 'static> Listener for SecuredListener<S> {
    type Io = Secured<Connection>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            match self.connections.next().await {
                Some(Ok(connection)) => {
                    let address = connection.peer().address.unwrap_or(self.address);
                    return (connection, address);
                }
                // Accepting tells and goes on by itself.
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl<S> Connected<IncomingStream<'_, SecuredListener<S>>> for Peer
where
    S: Stream<Item = io::Result<Secured<Connection>>> + Send + 'static,
{
    fn connect_info(stream: IncomingStream<'_, SecuredListener<S>>) -> Self {
        stream.io().peer()
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: Some(*stream.remote_addr()), ..Self::default() }
    }
}
