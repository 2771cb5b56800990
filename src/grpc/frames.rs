//! Watches what a connection sends, without a look into it: it must soon say what it speaks, and must not keep the server
//! busy with HTTP/2 frames that ask for nothing. The library below limits resets, header blocks and small pieces of
//! messages itself, and answers pings, settings and unknown frames for as long as they come.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tonic::transport::server::Connected;

use crate::{
    config::Limits,
    telemetry::{ConnectionEnd, METRICS},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;

/// So many frames that ask for nothing may come at a time, and so many a second. Clients send some for each call, and a
/// ping now and then.
const MOST_IDLE: u32 = 1_000;
const IDLE_A_SECOND: u32 = 100;
/// A call may bring so many: its cancellation, and more room for its answer.
const IDLE_A_CALL: u32 = 4;
/// Who is sent so many bytes makes room for more with a frame or two.
const BYTES_AN_IDLE: u32 = 512;

/// The connections, each watched.
pub(crate) fn watch<T, C: Stream<Item = io::Result<T>>>(
    connections: C,
    limits: &Limits,
) -> impl Stream<Item = io::Result<Watched<T>>> + use<T, C> {
    let (handshake, header_bytes) = (limits.handshake, limits.header_bytes);
    connections.map(move |connection| connection.map(|inner| Watched::new(inner, handshake, header_bytes)))
}

/// A connection that ends itself where it does not behave.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: T,
    reader: Reader,
    /// Until it has said what it speaks.
    handshake: Option<Pin<Box<Sleep>>>,
}

impl<T> Watched<T> {
    fn new(inner: T, handshake: Duration, header_bytes: u32) -> Self {
        Self { inner, reader: Reader::new(header_bytes, Instant::now()), handshake: Some(Box::pin(sleep(handshake))) }
    }

    fn end(reason: ConnectionEnd, kind: io::ErrorKind) -> Poll<io::Result<()>> {
        METRICS.count_connection_end(reason);
        Poll::Ready(Err(kind.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let known = buffer.filled().len();
        if Pin::new(&mut self.inner).poll_read(context, buffer)?.is_pending() {
            return match &mut self.handshake {
                Some(handshake) => {
                    ready!(handshake.as_mut().poll(context));
                    Self::end(ConnectionEnd::Handshake, io::ErrorKind::TimedOut)
                }
                None => Poll::Pending,
            };
        }
        if let Err(reason) = self.reader.read(&buffer.filled()[known..], Instant::now()) {
            return Self::end(reason, io::ErrorKind::InvalidData);
        }
        if self.reader.has_begun() {
            self.handshake = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.reader.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, buffers))?;
        self.reader.sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<T: Connected> Connected for Watched<T> {
    type ConnectInfo = T::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.inner.connect_info()
    }
}

/// Where in the bytes of a connection the next one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In what HTTP/2 begins with, behind so many bytes of it.
    Preface(usize),
    /// In the headers of the first request of HTTP/1.1, behind so many bytes, and the last four of them.
    FirstRequest(u32, [u8; 4]),
    /// HTTP/1.1 that has begun: what comes then, calls and bodies limit, and the guard the heads of requests.
    Requests,
    /// In the head of a frame.
    Head([u8; HEAD_BYTES], usize),
    /// So many bytes before the next frame.
    Frame(usize),
}

#[derive(PartialEq, Eq)]
struct Reader {
    at: At,
    header_bytes: u32,
    /// So many more frames that ask for nothing may come.
    idle_left: u32,
    refilled: Instant,
    sent: u32,
    has_begun: bool,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("at", &self.at).field("idle_left", &self.idle_left).finish_non_exhaustive()
    }
}

impl Reader {
    fn new(header_bytes: u32, now: Instant) -> Self {
        Self { at: At::Preface(0), header_bytes, idle_left: MOST_IDLE, refilled: now, sent: 0, has_begun: false }
    }

    fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes note of what came.
    fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), ConnectionEnd> {
        while let Some(&byte) = bytes.first() {
            match self.at {
                At::Preface(matched) if byte == PREFACE[matched] => {
                    bytes = &bytes[1..];
                    let is_whole = matched + 1 == PREFACE.len();
                    self.at = if is_whole { At::Head([0; HEAD_BYTES], 0) } else { At::Preface(matched + 1) };
                }
                At::Preface(matched) => {
                    self.at = At::FirstRequest(0, [0; 4]);
                    PREFACE[..matched].iter().try_for_each(|byte| self.first_request(*byte))?;
                }
                At::FirstRequest(..) => {
                    bytes = &bytes[1..];
                    self.first_request(byte)?;
                }
                At::Requests => return Ok(()),
                At::Head(mut head, known) => {
                    let some = bytes.len().min(HEAD_BYTES - known);
                    head[known..known + some].copy_from_slice(&bytes[..some]);
                    bytes = &bytes[some..];
                    self.at = At::Head(head, known + some);
                    if known + some == HEAD_BYTES {
                        self.frame(head, now)?;
                    }
                }
                At::Frame(left) => {
                    let some = bytes.len().min(left);
                    bytes = &bytes[some..];
                    self.at = if some == left { At::Head([0; HEAD_BYTES], 0) } else { At::Frame(left - some) };
                }
            }
        }
        Ok(())
    }

    fn first_request(&mut self, byte: u8) -> Result<(), ConnectionEnd> {
        let At::FirstRequest(length, [_, a, b, c]) = self.at else { return Ok(()) };
        let last = [a, b, c, byte];
        self.has_begun = last == *b"\r\n\r\n";
        self.at = if self.has_begun { At::Requests } else { At::FirstRequest(length + 1, last) };
        if length < self.header_bytes { Ok(()) } else { Err(ConnectionEnd::Handshake) }
    }

    fn frame(&mut self, head: [u8; HEAD_BYTES], now: Instant) -> Result<(), ConnectionEnd> {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const END_STREAM: u8 = 1;
        let [high, middle, low, kind, flags, ..] = head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.at = if length == 0 { At::Head([0; HEAD_BYTES], 0) } else { At::Frame(length) };
        self.has_begun = true;
        match kind {
            HEADERS => self.allow(IDLE_A_CALL),
            DATA if length > 0 => self.allow(1),
            DATA if flags & END_STREAM != 0 => {}
            _ => self.idle(now)?,
        }
        Ok(())
    }

    /// Takes note of what was sent.
    fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.allow(self.sent / BYTES_AN_IDLE);
        self.sent %= BYTES_AN_IDLE;
    }

    fn allow(&mut self, frames: u32) {
        self.idle_left = self.idle_left.saturating_add(frames).min(MOST_IDLE);
    }

    /// Takes note of a frame that asks for nothing.
    fn idle(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        if self.idle_left == 0 {
            let seconds = now.saturating_duration_since(self.refilled).as_secs();
            self.refilled += Duration::from_secs(seconds);
            self.allow(IDLE_A_SECOND.saturating_mul(u32::try_from(seconds).unwrap_or(u32::MAX)));
        }
        self.idle_left = self.idle_left.checked_sub(1).ok_or(ConnectionEnd::Flood)?;
        Ok(())
    }
}

/// Reads what a new connection sends in pieces of so many bytes: how far it came, or why it was ended. For the fuzz targets.
pub(super) fn read_in_pieces(
    bytes: &[u8],
    size: usize,
    now: Instant,
) -> Result<impl PartialEq + fmt::Debug, ConnectionEnd> {
    let mut reader = Reader::new(1_024, now);
    bytes.chunks(size.max(1)).try_for_each(|piece| reader.read(piece, now))?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: u8 = 4;
    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        [vec![0, high, low, kind, flags, 0, 0, 0, 1], vec![0; usize::from(length)]].concat()
    }

    fn begun(now: Instant) -> Reader {
        let mut reader = Reader::new(1_024, now);
        reader.read(&[PREFACE, &frame(SETTINGS, 0, 12)].concat(), now).unwrap();
        reader
    }

    /// Whether a connection lives through so many of these.
    fn lives(reader: &mut Reader, now: Instant, frames: &[Vec<u8>], times: usize) -> bool {
        let bytes = frames.concat();
        (0..times).all(|_| reader.read(&bytes, now).is_ok())
    }

    #[test]
    fn frames_that_ask_for_nothing_end_the_connection_and_calls_do_not() {
        let now = Instant::now();
        let call = [frame(1, 4, 40), frame(0, 1, 300), frame(8, 0, 4), frame(3, 0, 4)];
        for (what, frames, is_flood) in [
            ("calls that are cancelled", &call[..], false),
            ("messages in pieces, and pings", &[frame(0, 0, 100), frame(PING, 0, 8)], false),
            ("empty messages, each ended", &[frame(1, 4, 40), frame(0, 1, 0)], false),
            ("pings", &[frame(PING, 0, 8)], true),
            ("settings", &[frame(SETTINGS, 0, 0)], true),
            ("room for nothing", &[frame(8, 0, 4)], true),
            ("priorities", &[frame(2, 0, 5)], true),
            ("resets", &[frame(3, 0, 4)], true),
            ("empty data", &[frame(0, 0, 0)], true),
            ("frames of no known kind", &[frame(0xfa, 0, 100)], true),
            ("a call among many pings", &[vec![frame(1, 5, 9)], vec![frame(PING, 0, 8); 6]].concat(), true),
        ] {
            assert_eq!(lives(&mut begun(now), now, frames, 3_000), !is_flood, "{what}");
        }
    }

    #[test]
    fn who_reads_much_or_comes_seldom_may_send_such_frames_for_ever() {
        let mut now = Instant::now();
        let mut reader = begun(now);
        for _ in 0..10_000 {
            reader.sent(1_100);
            assert!(lives(&mut reader, now, &[frame(8, 0, 4)], 2));
        }
        let mut reader = begun(now);
        for _ in 0..100 {
            assert!(lives(&mut reader, now, &[frame(PING, 0, 8)], 90));
            now += Duration::from_secs(1);
        }
        assert!(!lives(&mut reader, now, &[frame(PING, 0, 8)], 1_200));
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        let bytes = [PREFACE, &frame(SETTINGS, 0, 12), &frame(1, 4, 300), &frame(0, 0, 0)].concat();
        for size in 1..40 {
            let now = Instant::now();
            let mut reader = Reader::new(1_024, now);
            for piece in bytes.chunks(size) {
                reader.read(piece, now).unwrap();
            }
            assert!(reader.has_begun() && matches!(reader.at, At::Head(_, 0)), "{reader:?}");
            assert_eq!(reader.idle_left, MOST_IDLE - 1, "in pieces of {size}");
        }
    }

    #[test]
    fn a_connection_has_begun_when_it_has_said_what_it_speaks() {
        let now = Instant::now();
        for (bytes, has_begun) in [
            (&b""[..], false),
            (PREFACE, false),
            (b"POST / HTTP/1.1\r\nHost: a\r\n", false),
            (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            (b"PRI * HTTP/2.0\r\n\r\nSX", true),
        ] {
            let mut reader = Reader::new(1_024, now);
            reader.read(bytes, now).unwrap();
            assert_eq!(reader.has_begun(), has_begun, "{bytes:?}");
        }
        let mut long = Reader::new(1_024, now);
        assert!(long.read(&[b'a'; 1_024], now).is_ok() && long.read(b"a", now).is_err());
    }
}
