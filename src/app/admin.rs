//! The admin address: probes, which everybody may ask, and metrics. Where other machines reach it, it is secured as calls
//! are, and metrics are for who has a credential.

use std::{
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::{ConnectInfo, State, connect_info::Connected},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE},
        uri::Authority,
    },
    response::{IntoResponse as _, Response},
    routing::get,
    serve::{IncomingStream, Listener},
};
use futures_util::{Stream, StreamExt as _};
use tokio::net::TcpListener;
use tonic::transport::server::Connected as _;

use crate::{
    access::doors::Doors,
    config::{Limits, is_exposed},
    grpc::{
        Api,
        connections::{self, Connection},
        frames::{self, Watched},
        tls::{self, Peer, Secured},
    },
    telemetry::METRICS,
};

/// Probes and scrapers are few, and no address has all the places.
const MAX_CONNECTIONS: usize = 64;
const MAX_CONNECTIONS_PER_PEER: usize = 16;
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
    if let Err(error) = accept(listener, api, doors, limits).await {
        tracing::error!(error = &error as &dyn std::error::Error, "admin address failed");
    }
}

async fn accept(listener: TcpListener, api: Api, doors: Arc<Doors>, limits: Limits) -> io::Result<()> {
    let address = listener.local_addr()?;
    let is_exposed = is_exposed(&address);
    let admin = Admin { api, doors: is_exposed.then(|| Arc::clone(&doors)) };
    let service = router(admin).into_make_service_with_connect_info::<Peer>();
    let few =
        Limits { connections: MAX_CONNECTIONS, connections_per_peer: MAX_CONNECTIONS_PER_PEER, idle: IDLE, ..limits };
    let connections = connections::accept(listener, &few);
    let connections: Pin<Box<dyn Stream<Item = io::Result<Secured<Connection>>> + Send>> = if is_exposed {
        Box::pin(tls::secure(connections, doors, Doors::admin_tls, few.handshake))
    } else {
        Box::pin(connections.map(|connection| connection.map(Secured::Plain)))
    };
    let connections = Box::pin(frames::watch(connections, &few));
    axum::serve(WatchedListener { connections, address }, service).await
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
    if admin.doors.is_none() && is_of_a_page(&headers) {
        METRICS.count_refused_call("origin");
        return (StatusCode::FORBIDDEN, "metrics are not for web pages: ask by 127.0.0.1 or localhost\n")
            .into_response();
    }
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

/// Whether a browser asks for a page. One that has given this machine a name of its own comes by that name.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    let is_own = |host: &HeaderValue| {
        let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        host.is_some_and(|host| {
            let name = host.host().trim_matches(['[', ']']);
            name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
        })
    };
    headers.contains_key(ORIGIN) || headers.get(HOST).is_some_and(|host| !is_own(host))
}

/// Hands connections to axum.
struct WatchedListener<S> {
    connections: Pin<Box<S>>,
    address: SocketAddr,
}

impl<S: Stream<Item = io::Result<Watched<Secured<Connection>>>> + Send + 'static> Listener for WatchedListener<S> {
    type Io = Watched<Secured<Connection>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            match self.connections.next().await {
                Some(Ok(connection)) => {
                    let address = connection.connect_info().address.unwrap_or(self.address);
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

impl<S> Connected<IncomingStream<'_, WatchedListener<S>>> for Peer
where
    S: Stream<Item = io::Result<Watched<Secured<Connection>>>> + Send + 'static,
{
    fn connect_info(stream: IncomingStream<'_, WatchedListener<S>>) -> Self {
        stream.io().connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_origin_or_by_its_name_for_this_machine() {
        for (host, origin, expected) in [
            (Some("127.0.0.1:50052"), None, false),
            (Some("[::1]:50052"), None, false),
            (Some("LocalHost"), None, false),
            (None, None, false),
            (Some("rebound.example:50052"), None, true),
            (Some("127.0.0.1.rebound.example"), None, true),
            (Some("no host"), None, true),
            (Some("127.0.0.1:50052"), Some("http://page.example"), true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(HOST, host), (ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_of_a_page(&headers), expected, "{host:?} {origin:?}");
        }
    }
}
