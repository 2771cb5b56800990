//! Accepts connections: no more than the limits at a time, in all and of one peer, none that carries nothing for long, and
//! none for ever.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

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

/// How many connections there are, in all and of each peer.
#[derive(Debug, Clone)]
struct Places {
    all: Arc<Semaphore>,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_peer: usize,
}

/// A connection that counts, until it is dropped.
#[derive(Debug)]
struct Place {
    peer: IpAddr,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _of_all: OwnedSemaphorePermit,
}

/// Nothing is half done if a thread panicked under the lock.
fn counts(peers: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    peers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = counts(&self.peers);
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

/// Who opens connections from an address: whoever has one of IPv6 has 2^64 of them.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Places {
    fn new(all: usize, per_peer: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), peers: Arc::default(), per_peer }
    }

    /// A place, where there is one.
    fn take(&self, address: IpAddr) -> Option<Place> {
        let of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let peer = peer_of(address);
        let mut peers = counts(&self.peers);
        let count = peers.entry(peer).or_default();
        if *count >= self.per_peer {
            return None;
        }
        *count += 1;
        Some(Place { peer, peers: Arc::clone(&self.peers), _of_all: of_all })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_has_its_own_limit_and_gives_places_back() {
        let places = Places::new(3, 2);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = [places.take(one), places.take(one)];
        assert!(first.iter().all(Option::is_some) && places.take(one).is_none());
        let last = places.take(other);
        assert!(last.is_some() && places.take(other).is_none(), "three in all");
        drop(first);
        assert!(places.take(one).is_some());
        drop(last);
        assert!(counts(&places.peers).is_empty(), "nothing is left of peers that have gone");
    }

    #[test]
    fn a_peer_is_an_address_or_a_network_of_ipv6() {
        for (one, other, is_same) in [
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(peer_of(address(one)) == peer_of(address(other)), is_same, "{one} {other}");
        }
    }
}
