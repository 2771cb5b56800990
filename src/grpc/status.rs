//! The only place where a `Status` is made. A cause goes to the log and never to the client.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::error::TriageError;

/// An error travels in headers, and clients take 8 KiB of them: ten violations of 256 bytes, in details and message.
const MAX_VIOLATIONS: usize = 10;
const MAX_TEXT_BYTES: usize = 256;

/// The text without what is too long for a header.
fn clip(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_TEXT_BYTES)])
}

/// The domain of every `ErrorInfo`.
pub(super) const ERROR_DOMAIN: &str = "triage.v1";

impl From<TriageError> for Status {
    fn from(error: TriageError) -> Self {
        let mut details = ErrorDetails::with_error_info(error.reason(), ERROR_DOMAIN, HashMap::new());
        let code = match &error {
            TriageError::InvalidRequest(violations) => {
                for violation in violations.iter().take(MAX_VIOLATIONS) {
                    details.add_bad_request_violation(clip(&violation.field), clip(&violation.description));
                }
                if violations.len() > MAX_VIOLATIONS {
                    details.add_bad_request_violation("", format!("and {} more", violations.len() - MAX_VIOLATIONS));
                }
                Code::InvalidArgument
            }
            TriageError::NotFound { resource, id } => {
                details.set_resource_info(*resource, clip(id), "", "");
                Code::NotFound
            }
            TriageError::NoSuchVersion { id, version, kept: _ } => {
                details.set_resource_info("article_version", clip(&format!("{id}@{version}")), "", "");
                Code::NotFound
            }
            TriageError::TooLarge { .. } | TriageError::TooManyParts { .. } => Code::OutOfRange,
            TriageError::Overloaded { retry_after } | TriageError::RateLimited { retry_after } => {
                details.set_retry_info(Some(*retry_after));
                Code::ResourceExhausted
            }
            TriageError::NotReady { retry_after, .. } => {
                details.set_retry_info(Some(*retry_after));
                Code::Unavailable
            }
            TriageError::DeadlineExceeded => Code::DeadlineExceeded,
            TriageError::JobState(_)
            | TriageError::ArticleState(_)
            | TriageError::ConversationExpired
            | TriageError::TaxonomyInFile { .. }
            | TriageError::ModelState(_)
            | TriageError::OutputTaken { .. }
            | TriageError::Unwritable { .. } => Code::FailedPrecondition,
            TriageError::TaxonomyChanged { .. } => Code::Aborted,
            TriageError::PathNotAllowed { .. } | TriageError::OriginNotAllowed => Code::PermissionDenied,
            TriageError::Unauthenticated { .. } => Code::Unauthenticated,
            TriageError::PermissionDenied { role: _, allowed } => {
                let roles = HashMap::from([("roles".to_owned(), allowed.clone())]);
                details.set_error_info(error.reason(), ERROR_DOMAIN, roles);
                Code::PermissionDenied
            }
            TriageError::Internal(source) => {
                tracing::error!(error = source.as_ref(), "call failed");
                Code::Internal
            }
        };
        Self::with_error_details(code, clip(&error.to_string()), details)
    }
}

/// The same error as one item of a batch or stream.
pub(super) fn item_error(error: TriageError) -> tonic_types::pb::Status {
    use prost::Message as _;

    let status = Status::from(error);
    tonic_types::pb::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::pb::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldViolation;

    #[test]
    fn the_worst_refusal_fits_into_headers() {
        let violations =
            (0..5_000).map(|index| FieldViolation::new("ö".repeat(400), format!("{index} {}", "x".repeat(900))));
        let status = Status::from(TriageError::InvalidRequest(violations.collect()));
        assert!(status.details().len() < 6_000, "{} bytes of details", status.details().len());
        assert!(status.message().len() < 300, "{} bytes of message", status.message().len());
    }
}
