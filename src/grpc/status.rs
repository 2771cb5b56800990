//! The only place where a `Status` is made. A cause goes to the log and never to the client.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::error::TriageError;

/// The domain of every `ErrorInfo`.
pub(super) const ERROR_DOMAIN: &str = "triage.v1";

impl From<TriageError> for Status {
    fn from(error: TriageError) -> Self {
        let mut details = ErrorDetails::with_error_info(error.reason(), ERROR_DOMAIN, HashMap::new());
        let code = match &error {
            TriageError::InvalidRequest(violations) => {
                for violation in violations {
                    details.add_bad_request_violation(&violation.field, &violation.description);
                }
                Code::InvalidArgument
            }
            TriageError::NotFound { resource, id } => {
                details.set_resource_info(*resource, id, "", "");
                Code::NotFound
            }
            TriageError::TooLarge { .. } => Code::OutOfRange,
            TriageError::Overloaded { retry_after } => {
                details.set_retry_info(Some(*retry_after));
                Code::ResourceExhausted
            }
            TriageError::NotReady { retry_after, .. } => {
                details.set_retry_info(Some(*retry_after));
                Code::Unavailable
            }
            TriageError::DeadlineExceeded => Code::DeadlineExceeded,
            TriageError::Internal(source) => {
                tracing::error!(error = source.as_ref(), "call failed");
                Code::Internal
            }
        };
        Self::with_error_details(code, error.to_string(), details)
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
