//! At the door of every call, before its message is read: a full house refuses here, where that costs microseconds, and
//! the deadline begins. What is held open is bounded, by number and by bytes: messages that come slowly, and answers that
//! nobody reads.

use std::{
    collections::HashMap,
    future::{self, poll_fn},
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        BoxFuture, Bytes, Service,
        http::{HeaderMap, Request, Response},
    },
};
use tower::Layer;

use super::{
    Api, code_name,
    guard::HEALTH,
    held::{Held, Messages},
    places::{Place, Places},
    tls::Peer,
};
use crate::{
    access::methods::{self, Method},
    compute::Pool,
    error::TriageError,
    telemetry::{METRICS, Refusal},
};

/// For each call at work or waiting for a processor so many may be open in all: sending, waiting for a disk, streaming, or
/// not read by their clients.
const OPEN_FOR_EACH: usize = 4;

/// What a probe calls.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// When a call that found no room to be opened, or for its bytes, should come again.
const OPEN_RETRY: Duration = Duration::from_secs(1);

/// At its caller's deadline tonic ends a call with a code that misleads: our answer leaves a little earlier.
const ANSWER_MARGIN: Duration = Duration::from_millis(5);

/// When a call must have been answered; travels with the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

impl Deadline {
    /// The server's limit from now on, or what the caller allows where that is less.
    fn new(headers: &HeaderMap, limit: Duration) -> Self {
        let raw = headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
        let callers = raw.and_then(parse_timeout).map(|timeout| timeout.saturating_sub(ANSWER_MARGIN));
        Self(Instant::now() + callers.map_or(limit, |timeout| timeout.min(limit)))
    }
}

/// The layer that admits calls.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pool: Pool,
    open: Places,
    /// Probes: a full house answers them, whatever else is open.
    open_checks: Places,
    /// Who watches health, reflection, and what is no method of ours: not any number.
    open_others: Places,
    held_bytes: Places,
    /// Larger messages are refused with the limit's name.
    largest_message: usize,
    refusals: Refusals,
    deadline: Duration,
}

impl Admission {
    pub(crate) fn new(api: &Api) -> Self {
        let limits = &api.limits;
        Self {
            pool: api.pool.clone(),
            open: Places::new(limits.calls.saturating_mul(OPEN_FOR_EACH), limits.open_calls_per_peer),
            open_checks: Places::new(limits.connections, limits.connections_per_peer),
            open_others: Places::new(limits.connections, limits.connections_per_peer),
            held_bytes: Places::new(limits.held_bytes, limits.held_bytes_per_peer),
            largest_message: limits.batch_bytes,
            refusals: Refusals::default(),
            deadline: limits.deadline,
        }
    }

    /// A place among the open calls, or when to come again.
    fn admit(&self, method: Option<&Method>, path: &str, address: IpAddr) -> Result<Place, Duration> {
        // The tickets of a stream wait for their places one by one.
        if method.is_some_and(|method| !method.streams) {
            self.pool.check_room()?;
        }
        let open = match method {
            Some(_) => &self.open,
            None if path == CHECK => &self.open_checks,
            None => &self.open_others,
        };
        open.take(address).ok_or_else(|| {
            METRICS.count_refusal(Refusal::OpenCalls);
            OPEN_RETRY
        })
    }
}

/// Of a call whose bytes have no room.
pub(super) fn no_room() -> TriageError {
    METRICS.count_refusal(Refusal::HeldBytes);
    TriageError::Overloaded { retry_after: OPEN_RETRY }
}

/// The answers to calls that are refused, kept as they are sent: times to come again are few, refusals may be many.
#[derive(Debug, Clone, Default)]
struct Refusals(Arc<RwLock<HashMap<Duration, HeaderMap>>>);

impl Refusals {
    fn answer(&self, method: Option<&Method>, retry_after: Duration) -> Response<Body> {
        count(method, Code::ResourceExhausted);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&retry_after).cloned();
        let headers = known.unwrap_or_else(|| {
            let headers = Status::from(TriageError::Overloaded { retry_after }).into_http::<Body>().headers().clone();
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(retry_after, headers.clone());
            headers
        });
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = headers;
        response
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admitted { inner, admission: self.clone() }
    }
}

/// What is behind the door.
#[derive(Debug, Clone)]
pub(crate) struct Admitted<S> {
    inner: S,
    admission: Admission,
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let method = methods::method(path);
        let peer: Option<&Peer> = request.extensions().get();
        let address =
            peer.and_then(|peer| peer.address).map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        let open = match self.admission.admit(method, path, address) {
            Ok(open) => open,
            Err(retry_after) => {
                return Box::pin(future::ready(Ok(self.admission.refusals.answer(method, retry_after))));
            }
        };
        let held = Held::new(method, &self.admission.held_bytes, address, open);
        // What is asked of health is a single message, however long its answer lasts.
        let asks_once = method.map_or(path.starts_with(HEALTH), |method| !method.streams);
        let deadline = asks_once.then(|| Deadline::new(request.headers(), self.admission.deadline));
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let largest = self.admission.largest_message;
        let messages = (Messages::new(), 0);
        let request = request
            .map(|body| Body::new(Incoming { body, messages, largest, held: held.clone(), deadline, timer: None }));
        let answered = held.clone().reading(self.inner.call(request));
        Box::pin(async move {
            let (mut head, mut body) = answered.await?.into_parts();
            // A single answer is whole by now, and is counted before somebody has to read it.
            let is_awaited = method.is_some_and(|method| !method.streams) && !body.is_end_stream();
            let first =
                if is_awaited { poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await } else { None };
            if let Some(Ok(frame)) = &first
                && !held.hold_answer(frame.data_ref().map_or(0, Bytes::len))
                // What was changed is changed, and its caller has to know.
                && method.is_none_or(|method| !method.changes)
            {
                return Ok(Status::from(no_room()).into_http());
            }
            head.extensions.insert(held.clone());
            Ok(Response::from_parts(head, Body::new(Open { first, body, held, is_cut_off: false })))
        })
    }
}

fn count(method: Option<&Method>, code: Code) {
    if let Some(method) = method {
        METRICS.count_call(method.name(), code_name(code));
    }
}

/// Counts a call that no handler sees.
pub(super) fn refused(method: Option<&Method>, error: TriageError) -> Status {
    let status = Status::from(error);
    // Handlers of streams hear of it, and count it.
    count(method.filter(|method| !method.streams), status.code());
    status
}

/// The messages of a call, as long as there is room for them and, of a single one, as long as it comes before the deadline.
struct Incoming {
    body: Body,
    /// Where they stand, and how many have begun.
    messages: (Messages, u64),
    largest: usize,
    held: Held,
    deadline: Option<Deadline>,
    /// Made when something must be waited for: most messages come with their headers.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// Takes note of the messages that begin in these bytes.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), Status> {
        let (messages, begun) = &mut self.messages;
        let Some((more, length)) = messages.read(bytes) else { return Ok(()) };
        *begun += more;
        if self.deadline.is_some() && *begun > 1 {
            return Err(Status::internal("failed to decode: the call has one message, and there are more"));
        }
        if length <= self.largest && !self.held.hold_coming(*begun, length) {
            return Err(refused(self.held.method(), no_room()));
        }
        Ok(())
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some(Ok(frame)) = &frame
                && let Some(bytes) = frame.data_ref()
                && let Err(status) = self.begin(bytes)
            {
                return Poll::Ready(Some(Err(status)));
            }
            return Poll::Ready(frame);
        }
        let Some(Deadline(deadline)) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(refused(self.held.method(), TriageError::DeadlineExceeded)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that counts as open until it is written or nobody wants it.
struct Open {
    /// Of the body, where it was waited for.
    first: Option<Result<Frame<Bytes>, Status>>,
    body: Body,
    held: Held,
    /// Of a stream: there is no room for what its client does not read.
    is_cut_off: bool,
}

impl Open {
    /// Ends a stream whose client does not read.
    fn cut_off(&mut self) -> Frame<Bytes> {
        self.is_cut_off = true;
        let mut trailers = HeaderMap::new();
        // Without a code a client takes the call for failed as well.
        Status::from(no_room()).add_header(&mut trailers).ok();
        Frame::trailers(trailers)
    }
}

impl HttpBody for Open {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            let first = first.map(|frame| frame.map_data(|bytes| self.held.until_written(bytes)));
            return Poll::Ready(Some(first));
        }
        if self.is_cut_off {
            return Poll::Ready(None);
        }
        let Self { body, held, .. } = &mut *self;
        // The messages of a stream are read as its answers are asked for.
        let frame = match ready!(held.while_reading(|| Pin::new(body).poll_frame(context))) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let frame = match frame.into_data() {
            Ok(bytes) => match self.held.counted_until_written(bytes) {
                Some(bytes) => Frame::data(bytes),
                None => self.cut_off(),
            },
            Err(trailers) => trailers,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_cut_off || (self.first.is_none() && self.body.is_end_stream())
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit, as in `100m`.
pub(super) fn parse_timeout(raw: &str) -> Option<Duration> {
    let (digits, unit) = raw.split_at_checked(raw.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    #[test]
    fn a_stream_is_cut_off_where_there_is_no_room_for_what_nobody_reads() {
        let places = || Places::new(100_000, 100_000);
        for (is_read, expected) in [(false, 2), (true, 4)] {
            let (address, parts) = (Ipv4Addr::LOCALHOST.into(), [(); 4].map(|()| Bytes::from(vec![7; 60_000])));
            let parts = parts.map(|part| Ok::<_, Status>(Frame::data(part)));
            let body = Body::new(StreamBody::new(stream::iter(parts)));
            let held = Held::new(None, &places(), address, places().take(address).unwrap());
            let mut open = Open { first: None, body, held, is_cut_off: false };
            let (mut unwritten, mut trailers) = (Vec::new(), None);
            while let Some(frame) = open.frame().now_or_never().unwrap() {
                match frame.unwrap().into_data() {
                    Ok(part) => unwritten.push(part),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                }
                if is_read {
                    unwritten.fill(Bytes::new());
                }
            }
            assert_eq!(unwritten.len(), expected);
            assert_eq!(trailers.is_none(), is_read);
            if let Some(status) = trailers.and_then(|trailers| Status::from_header_map(&trailers)) {
                assert_eq!(status.code(), Code::ResourceExhausted);
            }
            assert_eq!(open.is_cut_off, !is_read);
        }
    }

    #[test]
    fn a_callers_timeout_is_read_as_the_protocol_writes_it() {
        let milliseconds = |raw| parse_timeout(raw).map(|timeout| timeout.as_millis());
        for (raw, expected) in [("100m", 100), ("2S", 2_000), ("1M", 60_000), ("99999999H", 359_999_996_400_000)] {
            assert_eq!(milliseconds(raw), Some(expected), "{raw}");
        }
        for raw in ["", "m", "-1m", "+1m", "1", "1x", "100000000m", "1é"] {
            assert_eq!(parse_timeout(raw), None, "{raw}");
        }
    }
}
