//! Secures connections: each handshake is a task of its own, so that a slow one holds up nobody, and is given up in time.
//! What a connection is secured with is asked for anew each time, so that another certificate needs no restart.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::{
    access::{certificates, doors::Doors},
    telemetry::METRICS,
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    /// The DNS names of its certificate, which was found to be good.
    pub(crate) certificate_names: Arc<[String]>,
}

/// A connection, secured where the server has a certificate.
#[derive(Debug)]
pub(crate) enum Secured<C> {
    Plain(C),
    Tls(Box<TlsStream<C>>, Arc<[String]>),
}

/// Secures connections as `doors` say now, at `config` of theirs.
pub(crate) fn secure<C>(
    incoming: impl Stream<Item = io::Result<C>> + Send + 'static,
    doors: Arc<Doors>,
    config: fn(&Doors) -> Option<Arc<ServerConfig>>,
    patience: Duration,
) -> impl Stream<Item = io::Result<Secured<C>>> + Send
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Handshakes end with the stream. There are no more of them than there may be connections.
    let state = (Box::pin(incoming), JoinSet::new(), doors);
    stream::unfold(state, move |(mut incoming, mut handshakes, doors)| async move {
        let next = loop {
            tokio::select! {
                Some(ended) = handshakes.join_next() => {
                    if let Ok(Some(connection)) = ended {
                        break Ok(connection);
                    }
                }
                next = incoming.next() => match next? {
                    Ok(connection) if doors.has_tls() => {
                        handshakes.spawn(shake_hands(connection, Arc::clone(&doors), config, patience));
                    }
                    next => break next.map(Secured::Plain),
                }
            }
        };
        Some((next, (incoming, handshakes, doors)))
    })
}

#[expect(clippy::disallowed_methods, reason = "the pools are for calls, and no call waits for this")]
async fn look_at_certificates(doors: Arc<Doors>) -> Option<()> {
    spawn_blocking(move || doors.look_at_certificates()).await.ok()
}

async fn shake_hands<C: AsyncRead + AsyncWrite + Unpin>(
    connection: C,
    doors: Arc<Doors>,
    config: fn(&Doors) -> Option<Arc<ServerConfig>>,
    patience: Duration,
) -> Option<Secured<C>> {
    if doors.is_look_due() {
        let doors = Arc::clone(&doors);
        // A thread of its own, once a minute at most: it may wait for a disk, and must not wait for calls.
        look_at_certificates(doors).await?;
    }
    let acceptor = TlsAcceptor::from(config(&doors)?);
    match timeout(patience, acceptor.accept(connection)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let names = certificates.and_then(|chain| chain.first()).map(certificates::dns_names);
            Some(Secured::Tls(Box::new(stream), names.unwrap_or_default().into()))
        }
        Ok(Err(error)) => {
            METRICS.count_refused_handshake("failed");
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection could not be secured");
            None
        }
        Err(_) => {
            METRICS.count_refused_handshake("timeout");
            None
        }
    }
}

impl<C: Connected<ConnectInfo = TcpConnectInfo>> Secured<C> {
    pub(crate) fn peer(&self) -> Peer {
        match self {
            Self::Plain(connection) => {
                Peer { address: connection.connect_info().remote_addr(), certificate_names: Arc::default() }
            }
            Self::Tls(stream, names) => {
                Peer { address: stream.get_ref().0.connect_info().remote_addr(), certificate_names: Arc::clone(names) }
            }
        }
    }
}

impl<C: Connected<ConnectInfo = TcpConnectInfo>> Connected for Secured<C> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer()
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<C> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_read(context, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<C> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_write_vectored(context, buffers),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(connection) => connection.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
