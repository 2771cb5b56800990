//! The guard in front of the methods: where a request comes from, who sends it, and whether that caller may call that
//! method, now. It decides before the body is read.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header},
};
use tower::{Layer, Service};

use super::{Api, noted::Noted, tls::Peer};
use crate::{
    access::{
        Caller, Known, Refusal,
        doors::Doors,
        methods::{Method, method},
    },
    error::TriageError,
    telemetry::METRICS,
};

/// Balancers and probes ask it, and it tells nothing but whether the server is up.
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/";
/// What describes the API needs a credential, and no role.
const REFLECTION: [&str; 2] = ["/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// Puts the guard in front of a service.
#[derive(Debug, Clone)]
pub(crate) struct GuardLayer {
    /// Where changes and refusals are written down.
    api: Api,
    doors: Arc<Doors>,
    origins: Arc<[String]>,
}

impl GuardLayer {
    /// Lets in whom `doors` let in, and of web pages those of `origins`.
    pub(crate) fn new(api: Api, doors: Arc<Doors>, origins: &[String]) -> Self {
        Self { api, doors, origins: origins.into() }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { rules: self.clone(), inner }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Guard<S> {
    rules: GuardLayer,
    inner: S,
}

/// A call that was let in, for what is told of it when it is over.
#[derive(Debug, Clone)]
struct Admitted {
    /// `None` where nobody is asked, and for health.
    caller: Option<Caller>,
    /// `None` for health, reflection, and what is no method of ours.
    method: Option<&'static Method>,
}

/// Why a request goes no further.
enum Refused {
    Call(TriageError),
    /// Not even gRPC, as a form that a web page sends.
    Request(StatusCode),
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let admitted = match self.rules.admit(&request) {
            Ok(admitted) => admitted,
            Err(refused) => return Box::pin(ready(Ok(refused.answer()))),
        };
        let changed = admitted.change(&request);
        if let Some(caller) = &admitted.caller {
            request.extensions_mut().insert(caller.clone());
        }
        let call = self.inner.call(request);
        let Some((caller, method)) = changed else { return Box::pin(call) };
        let noted = Noted::default();
        let change = Change { api: self.rules.api.clone(), caller, method, noted: noted.clone(), is_over: false };
        Box::pin(async move {
            let response = noted.hear(call).await?;
            // Of a call that is answered by a stream this is how the stream begins; none of those changes anything.
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            change.end(code).await;
            Ok(response)
        })
    }
}

impl GuardLayer {
    fn admit(&self, request: &Request<Body>) -> Result<Admitted, Refused> {
        let (headers, path) = (request.headers(), request.uri().path());
        self.check_head(request)?;
        self.check_page(headers)?;
        let method = method(path);
        let access = self.doors.access();
        if !access.is_on() || path.starts_with(HEALTH) {
            return Ok(Admitted { caller: None, method });
        }
        let peer = request.extensions().get::<Peer>();
        let names = peer.map_or(&[][..], |peer| &peer.certificate_names);
        let authorization = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let known = access.identify(authorization, names, SystemTime::now()).map_err(|refusal| {
            METRICS.count_refused_call(refusal.as_str());
            self.api.audit_refusal(
                &address_of(request),
                method.map_or("", |method| method.path),
                Code::Unauthenticated,
            );
            Refused::Call(TriageError::Unauthenticated { is_missing: refusal == Refusal::Missing })
        })?;
        let is_described = REFLECTION.iter().any(|service| path.starts_with(service));
        if !is_described && let Err(refused) = check_role(method, &known.caller) {
            let path = method.map_or("", |method| method.path);
            self.api.audit_refusal(&known.caller.to_string(), path, Code::PermissionDenied);
            return Err(refused);
        }
        self.check_rate(&known)?;
        Ok(Admitted { caller: Some(known.caller), method })
    }

    /// Refuses a head over the limit. HTTP/2 has the limit itself; of HTTP/1.1 only a connection's first head is watched as
    /// it comes, and the library takes later ones of some hundred kilobytes.
    fn check_head(&self, request: &Request<Body>) -> Result<(), Refused> {
        if request.version() >= Version::HTTP_2 {
            return Ok(());
        }
        let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
        let bytes = request.uri().path().len() + headers.sum::<usize>();
        if bytes > self.api.limits.header_bytes as usize {
            METRICS.count_refused_call("headers");
            return Err(Refused::Request(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        Ok(())
    }

    /// Refuses what a browser sends for a page that nobody allowed, and what a page can send without asking: pages must not
    /// reach a server on the machine of whoever looks at them, whatever names they have for it.
    fn check_page(&self, headers: &HeaderMap) -> Result<(), Refused> {
        if let Some(origin) = headers.get(header::ORIGIN)
            && !self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes())
        {
            METRICS.count_refused_call("origin");
            return Err(Refused::Call(TriageError::OriginNotAllowed));
        }
        let content = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |content| content.as_bytes());
        if !content.starts_with(b"application/grpc") {
            METRICS.count_refused_call("content_type");
            return Err(Refused::Request(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        Ok(())
    }

    fn check_rate(&self, known: &Known) -> Result<(), Refused> {
        self.doors.take(known).map_err(|retry_after| {
            METRICS.count_refused_call("rate");
            Refused::Call(TriageError::RateLimited { retry_after })
        })
    }
}

/// Refuses a method that the caller's role may not call, and all that the list of methods does not hold.
fn check_role(method: Option<&Method>, caller: &Caller) -> Result<(), Refused> {
    if method.is_some_and(|method| method.allows(caller.role)) {
        return Ok(());
    }
    METRICS.count_refused_call("role");
    let allowed = method.map_or(&[][..], |method| method.roles).iter().map(|role| role.as_str());
    Err(Refused::Call(TriageError::PermissionDenied {
        role: caller.role.as_str(),
        allowed: allowed.collect::<Vec<_>>().join(", "),
    }))
}

impl Refused {
    fn answer(self) -> Response<Body> {
        match self {
            Self::Call(error) => Status::from(error).into_http(),
            Self::Request(status) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = status;
                response
            }
        }
    }
}

impl Admitted {
    /// Who calls and what, where that may change something. Where nobody is asked who he is, he goes by his address.
    fn change(&self, request: &Request<Body>) -> Option<(String, &'static str)> {
        let method = self.method.filter(|method| method.changes)?;
        let caller = self.caller.as_ref().map_or_else(|| address_of(request), Caller::to_string);
        Some((caller, method.path))
    }
}

/// A call that may change something, until its outcome is written down. A caller that leaves stops nothing that has begun.
struct Change {
    api: Api,
    caller: String,
    method: &'static str,
    noted: Noted,
    is_over: bool,
}

impl Change {
    async fn end(mut self, code: Code) {
        self.is_over = true;
        if !self.noted.is_rehearsal() {
            self.api.audit(&self.caller, self.method, &self.noted, code).await;
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.is_over && !self.noted.is_rehearsal() {
            self.api.audit_left(&self.caller, self.method, &self.noted);
        }
    }
}

fn address_of(request: &Request<Body>) -> String {
    let address = request.extensions().get::<Peer>().and_then(|peer| peer.address);
    address.map(|address| address.ip().to_string()).unwrap_or_default()
}
