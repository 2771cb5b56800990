//! Accepts connections: no more than the limit at a time, and none that carries nothing for long.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::telemetry::METRICS;

/// Waits after a failed accept, such as one for want of file descriptors, so as not to spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A connection that closes itself after `idle` without a byte in either direction.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    idle: Duration,
    idle_until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
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

/// Connections of `listener`, at most `limit` at a time; one more is closed at once.
pub(crate) fn accept(
    listener: TcpListener,
    limit: usize,
    idle: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(limit));
    stream::unfold((listener, places), move |(listener, places)| async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        METRICS.refused_connections.inc();
                        continue;
                    };
                    // Answers are small and must not wait for more bytes; a socket without the option works as well.
                    socket.set_nodelay(true).ok();
                    let idle_until = Box::pin(sleep(idle));
                    let connection =
                        Connection { socket, idle, idle_until, _place: place, _open: OpenConnection::count() };
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
    /// Puts the end of idleness off after progress, or fails once it has come.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            let until = Instant::now() + self.idle;
            self.idle_until.as_mut().reset(until);
            return outcome;
        }
        match self.idle_until.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
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
