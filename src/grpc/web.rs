//! gRPC-Web: what browsers are told before their pages may call (CORS), and answers written as text. Browsers ask only for
//! pages of another origin; without an answer they do not send the call.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tonic::{
    body::Body,
    codegen::{
        Bytes,
        http::{
            HeaderName, HeaderValue, Method, Response,
            header::{AUTHORIZATION, CONTENT_TYPE, InvalidHeaderValue},
        },
    },
};
use tower::{
    layer::util::Identity,
    util::{Either, option_layer},
};
use tower_http::cors::CorsLayer;

use super::held::Held;

/// What gRPC-Web clients send.
const SENT: [HeaderName; 5] = [
    CONTENT_TYPE,
    AUTHORIZATION,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
];
/// What their pages may read.
const READ: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];
/// Browsers remember the answer for so long.
const MAX_AGE: Duration = Duration::from_hours(1);

/// Allows pages of these origins to call, without what a browser would send of its own, such as a certificate.
pub(crate) fn origins(origins: &[String]) -> Result<Either<CorsLayer, Identity>, InvalidHeaderValue> {
    let values = origins.iter().map(|origin| HeaderValue::from_str(origin)).collect::<Result<Vec<_>, _>>()?;
    let layer = (!values.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(values)
            .allow_methods([Method::POST])
            .allow_headers(SENT)
            .expose_headers(READ)
            .max_age(MAX_AGE)
    });
    Ok(option_layer(layer))
}

/// What an answer holds, it holds until it is written, also where it is written as base64.
pub(crate) fn hold_text(mut response: Response<Body>) -> Response<Body> {
    let kind = response.headers().get(CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web-text")) {
        return response;
    }
    let Some(held) = response.extensions_mut().remove::<Held>() else { return response };
    let is_counted_as_a_whole = held.method().is_some_and(|method| !method.streams);
    let hold = move |bytes: Bytes| {
        // It found room as it was, and is a third longer as text: where that finds none it goes out uncounted, and still
        // keeps the call open.
        let counted = (!is_counted_as_a_whole).then(|| held.counted_until_written(bytes.clone())).flatten();
        counted.unwrap_or_else(|| held.until_written(bytes))
    };
    response.map(|body| Body::new(body.map_frame(move |frame| frame.map_data(&hold))))
}
