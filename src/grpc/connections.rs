//! Accepts connections: no more than the limits at a time, in all and of one peer, none that carries nothing for long, and
//! none for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::places::{Place, Places};
use crate::{
    config::Limits,
    telemetry::{ConnectionEnd, METRICS},
};

/// Waits after a failed accept, such as one for want of file descriptors, so as not to spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A connection that closes itself after `idle` without a byte in either direction, and when it is too old.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    idle: Duration,
    too_old: Instant,
    /// When it is idle or too old, whichever comes first.
    until: Pin<Box<Sleep>>,
    _place: Place,
    _open: OpenConnection,
}

/// Keeps the gauge of open connections right, however a connection ends.
#[derive(Debug)]
struct OpenConnection;

impl OpenConnection {
    fn count() -> Self {
        METRICS.connections.inc();
        Self
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        METRICS.connections.dec();
    }
}

/// Connections of `listener`; one more than the limits allow is closed at once.
pub(crate) fn accept(
    listener: TcpListener,
    limits: &Limits,
) -> impl Stream<Item = io::Result<Connection>> + Send + use<> {
    let places = Places::new(limits.connections, limits.connections_per_peer);
    let (idle, age) = (limits.idle, limits.connection_age + limits.connection_grace);
    stream::unfold((listener, places), move |(listener, places)| async move {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let Some(place) = places.take(peer.ip()) else {
                        METRICS.refused_connections.inc();
                        continue;
                    };
                    // Answers are small and must not wait for more bytes; a socket without the option works as well.
                    socket.set_nodelay(true).ok();
                    let connection = Connection::new(socket, place, idle, age);
                    return Some((Ok(connection), (listener, places)));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    })
}

impl Connection {
    fn new(socket: TcpStream, place: Place, idle: Duration, age: Duration) -> Self {
        let (idle_until, too_old) = (Instant::now() + idle, Instant::now() + age);
        let until = Box::pin(sleep_until(idle_until.min(too_old)));
        Self { socket, idle, too_old, until, _place: place, _open: OpenConnection::count() }
    }

    /// Puts the end of idleness off after progress, or fails once it has come.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            let until = Instant::now() + self.idle;
            self.until.as_mut().reset(until.min(self.too_old));
            return outcome;
        }
        match self.until.as_mut().poll(context) {
            Poll::Ready(()) => {
                let is_too_old = self.until.deadline() >= self.too_old;
                METRICS.count_connection_end(if is_too_old { ConnectionEnd::Age } else { ConnectionEnd::Idle });
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.watch(context, outcome)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, buffers);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.socket.connect_info()
    }
}
