//! What stands between the wire and the handlers: errors that tonic itself raises get the details, and
//! where its code misleads the code, that our own errors have.

use std::collections::HashMap;

use tonic::{Code, Status, codegen::http};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::status::ERROR_DOMAIN;

/// Completes a response that refuses the whole call, such as one for a message over its limit.
pub(crate) fn complete<B>(mut response: http::Response<B>) -> http::Response<B> {
    let headers = response.headers();
    // Ours have their details; reading them again would cost as much as making them.
    if headers.contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) else {
        return response;
    };
    response.headers_mut().remove(Status::GRPC_STATUS);
    response.headers_mut().remove("grpc-message");
    // Headers that cannot be written leave the plain HTTP status, which clients map as well.
    translate(status).add_header(response.headers_mut()).ok();
    response
}

/// The same error with our code and details. Errors that have details are ours already.
pub(super) fn translate(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    let said = status.message();
    // Compressed and plain messages over the limit fail with different codes in tonic.
    let over_limit = matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted)
        && (said.contains("too large") || said.contains("limit"));
    let (code, reason, message) = if over_limit {
        (
            Code::OutOfRange,
            "TOO_LARGE",
            format!(
                "message over limits.batch_bytes, and only batches and streams may be over limits.message_bytes: {said}"
            ),
        )
    } else if status.code() == Code::Internal && is_undecodable(said) {
        (Code::InvalidArgument, "INVALID_REQUEST", format!("invalid request: {said}"))
    } else if status.code() == Code::Unimplemented && said.contains("compressed") {
        (Code::Unimplemented, "UNKNOWN_ENCODING", format!("{said}: send it plain, or with gzip"))
    } else if status.code() == Code::Unimplemented {
        let message = "no such method; reflection and proto/triage/v1 list them".to_owned();
        (Code::Unimplemented, "UNKNOWN_METHOD", message)
    } else {
        (status.code(), "TRANSPORT", said.to_owned())
    };
    let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
    if code == Code::InvalidArgument {
        details.add_bad_request_violation("request", said);
    }
    Status::with_error_details(code, message, details)
}

/// Whether tonic says of a message that it is none. What is compressed without saying how stays an internal error, as
/// the protocol wants it.
fn is_undecodable(said: &str) -> bool {
    ["decode", "Error decompressing", "invalid compression flag", "Unexpected EOF"]
        .iter()
        .any(|sign| said.contains(sign))
}
