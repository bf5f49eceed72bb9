//! Errors in HTTP: a status code, a body (always a Kubernetes [`Status`]) and a line of the OpenAPI document. All three come from the table
//! [`Reason`]. Handlers fail with the service layer's error; middleware and extractors refuse requests with a [`RequestError`].
//!
//! "Does not fit" is a verdict, not an error; the extender verbs answer 200 with their own `Error` field.
//!
//! Kubernetes source: `apimachinery/pkg/api/errors/errors.go`.

use axum::{
    Extension,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::line_feed::HasLineFeed;
use crate::{
    service::{
        audit,
        error::{Error, Subject, listed},
    },
    wire::{
        patch::PatchError,
        status::{Status, StatusCause, StatusDetails, StatusMetadata},
    },
};

/// The reason for which middleware or an extractor refuses a request: its form as HTTP, its size, its origin.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// The request comes from a page of another origin.
    #[error("{0}")]
    CrossOrigin(String),
    /// The request names a host that is not served here.
    #[error("{0}")]
    Misdirected(String),
    /// The credentials are not valid.
    #[error("Unauthorized")]
    Unauthorized,
    /// No such path.
    #[error("the server could not find the requested resource")]
    NoRoute,
    /// The path names a kind that is not stored on purpose.
    #[error("{0}")]
    Withheld(&'static str),
    /// The path exists, the method does not.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// The reply cannot be had in any form that the client accepts.
    #[error("{0}")]
    NotAcceptable(String),
    /// The body is larger than this operation takes.
    #[error("the request body is larger than this operation takes")]
    TooLarge,
    /// The body did not come in time.
    #[error(
        "the body of the request came too slowly: it has --body-timeout, and a second more for each --min-body-rate bytes"
    )]
    TooSlow,
    /// The body is compressed.
    #[error("the body of the request has a Content-Encoding: send it as it is")]
    UnsupportedEncoding,
    /// The body's media type is not one that this operation reads.
    #[error("the body of the request was in an unknown format - accepted media types include: {0}")]
    UnsupportedMediaType(&'static str),
    /// The service layer's error.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// The kinds of failure: a status code, the word for programs and the sentence for the OpenAPI document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The HTTP status code.
    pub code: StatusCode,
    /// `reason` of the body.
    pub word: &'static str,
    /// When it happens.
    pub description: &'static str,
}

const fn reason(code: StatusCode, word: &'static str, description: &'static str) -> Reason {
    Reason { code, word, description }
}

impl Reason {
    /// 400
    pub const BAD_REQUEST: Self =
        reason(StatusCode::BAD_REQUEST, "BadRequest", "The request cannot be understood; the message has the reason.");
    /// 401
    pub const UNAUTHORIZED: Self =
        reason(StatusCode::UNAUTHORIZED, "Unauthorized", "The token or other credentials are not valid.");
    /// 403
    pub const FORBIDDEN: Self = reason(
        StatusCode::FORBIDDEN,
        "Forbidden",
        "The sender has not the right, the object contradicts others or names a class that does not exist, or the request comes from a page of another origin.",
    );
    /// 404
    pub const NOT_FOUND: Self = reason(StatusCode::NOT_FOUND, "NotFound", "The object does not exist.");
    /// 405
    pub const METHOD_NOT_ALLOWED: Self = reason(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "The path does not have this method, or the cluster mirrors a live one.",
    );
    /// 406
    pub const NOT_ACCEPTABLE: Self = reason(
        StatusCode::NOT_ACCEPTABLE,
        "NotAcceptable",
        "The reply cannot be had in any form that `Accept` allows; the message lists those that there are.",
    );
    /// 408
    pub const TOO_SLOW: Self =
        reason(StatusCode::REQUEST_TIMEOUT, "Timeout", "The body did not come in time: see `--body-timeout`.");
    /// 409, a name that is taken.
    pub const ALREADY_EXISTS: Self = reason(StatusCode::CONFLICT, "AlreadyExists", "An object of this name exists.");
    /// 409
    pub const CONFLICT: Self = reason(
        StatusCode::CONFLICT,
        "Conflict",
        "The object exists already, or has changed since the request's state: read it again.",
    );
    /// 410
    pub const EXPIRED: Self =
        reason(StatusCode::GONE, "Expired", "The requested history or page is no longer kept: list again.");
    /// 412
    pub const PRECONDITION_FAILED: Self = reason(
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailed",
        "`If-Match` or `If-None-Match` does not hold: read it again.",
    );
    /// 413
    pub const TOO_LARGE: Self = reason(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
        "The body is larger than this operation accepts.",
    );
    /// 415
    pub const UNSUPPORTED_MEDIA_TYPE: Self =
        reason(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "The body's media type is not supported.");
    /// 421
    pub const MISDIRECTED: Self = reason(
        StatusCode::MISDIRECTED_REQUEST,
        "MisdirectedRequest",
        "The request names a host that is not served here: see `--allowed-hosts`.",
    );
    /// 422
    pub const INVALID: Self =
        reason(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "The object breaks a rule; `causes` lists every fault.");
    /// 429
    pub const TOO_MANY_REQUESTS: Self =
        reason(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "Overloaded: try again after `Retry-After` seconds.");
    /// 500
    pub const INTERNAL_ERROR: Self = reason(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        "Internal fault of the server; its log has the cause.",
    );
    /// 503
    pub const SERVICE_UNAVAILABLE: Self = reason(
        StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
        "The database or another resource is unavailable: try again after `Retry-After` seconds.",
    );
    /// 504
    pub const TIMEOUT: Self = reason(
        StatusCode::GATEWAY_TIMEOUT,
        "Timeout",
        "The request took too long. Its change may or may not have been made.",
    );

    /// The reason that documents a status code.
    pub fn of_code(code: StatusCode) -> Option<Self> {
        [
            Self::BAD_REQUEST,
            Self::UNAUTHORIZED,
            Self::FORBIDDEN,
            Self::NOT_FOUND,
            Self::METHOD_NOT_ALLOWED,
            Self::NOT_ACCEPTABLE,
            Self::TOO_SLOW,
            Self::CONFLICT,
            Self::EXPIRED,
            Self::PRECONDITION_FAILED,
            Self::TOO_LARGE,
            Self::UNSUPPORTED_MEDIA_TYPE,
            Self::MISDIRECTED,
            Self::INVALID,
            Self::TOO_MANY_REQUESTS,
            Self::INTERNAL_ERROR,
            Self::SERVICE_UNAVAILABLE,
            Self::TIMEOUT,
        ]
        .into_iter()
        .find(|reason| reason.code == code)
    }
}

impl Error {
    /// Which kind of failure this is.
    pub fn reason(&self) -> Reason {
        match self {
            Self::BadRequest(_) => Reason::BAD_REQUEST,
            Self::Forbidden { .. } | Self::Denied { .. } | Self::Terminating { .. } | Self::NotAllowed(_) => {
                Reason::FORBIDDEN
            }
            Self::NotFound(_) => Reason::NOT_FOUND,
            Self::ReadOnly { .. } => Reason::METHOD_NOT_ALLOWED,
            Self::AlreadyExists(_) => Reason::ALREADY_EXISTS,
            Self::Conflict { .. } => Reason::CONFLICT,
            Self::PreconditionFailed(_) => Reason::PRECONDITION_FAILED,
            Self::Expired(_) => Reason::EXPIRED,
            Self::TooMuch => Reason::TOO_LARGE,
            Self::Invalid { .. } => Reason::INVALID,
            Self::Patch(error) => match error.code() {
                409 => Reason::CONFLICT,
                413 => Reason::TOO_LARGE,
                422 => Reason::INVALID,
                _ => Reason::BAD_REQUEST,
            },
            Self::TooManyRequests { .. } | Self::Disruption { .. } => Reason::TOO_MANY_REQUESTS,
            Self::Internal(_) => Reason::INTERNAL_ERROR,
            Self::Unavailable { .. } => Reason::SERVICE_UNAVAILABLE,
            Self::Timeout(_) | Self::TooNew { .. } => Reason::TIMEOUT,
        }
    }

    /// The body, which a watch sends as the object of its ERROR event too.
    pub fn status(&self) -> Status {
        status(self.reason(), self.to_string(), self.details())
    }

    fn details(&self) -> Option<StatusDetails> {
        let about = |subject: &Subject| StatusDetails {
            name: subject.name.clone(),
            group: subject.group.clone(),
            kind: subject.resource.clone(),
            ..StatusDetails::default()
        };
        match self {
            Self::NotFound(subject)
            | Self::AlreadyExists(subject)
            | Self::Forbidden { subject, .. }
            | Self::Denied { subject, .. }
            | Self::Conflict { subject, .. } => Some(about(subject)),
            Self::Invalid { subject, causes } => Some(StatusDetails { causes: listed(causes), ..about(subject) }),
            Self::TooNew { .. } => {
                // `apiserver/pkg/storage/errors.go` (NewTooLargeResourceVersionError)
                let cause = StatusCause {
                    reason: "ResourceVersionTooLarge".into(),
                    message: "Too large resource version".into(),
                    field: String::new(),
                    ..StatusCause::default()
                };
                Some(StatusDetails {
                    causes: vec![cause],
                    retry_after_seconds: self.retry_after_seconds(),
                    ..StatusDetails::default()
                })
            }
            Self::Terminating { subject, namespace } => {
                // `apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go`
                let cause = StatusCause {
                    reason: "NamespaceTerminating".into(),
                    message: format!("namespace {namespace} is being terminated"),
                    field: "metadata.namespace".into(),
                    ..StatusCause::default()
                };
                Some(StatusDetails { causes: vec![cause], ..about(subject) })
            }
            Self::Patch(PatchError::BadRequest(_) | PatchError::TooLarge(_) | PatchError::Unread(_)) => None,
            Self::Patch(error) => {
                let causes: Vec<StatusCause> = error.causes().into_iter().map(Into::into).collect();
                Some(StatusDetails { causes: listed(&causes), ..StatusDetails::default() })
            }
            Self::Disruption { cause, retry_after_seconds } => {
                let cause = StatusCause {
                    reason: "DisruptionBudget".into(),
                    message: cause.clone(),
                    field: String::new(),
                    ..StatusCause::default()
                };
                Some(StatusDetails {
                    causes: vec![cause],
                    retry_after_seconds: *retry_after_seconds,
                    ..StatusDetails::default()
                })
            }
            _ => self
                .retry_after_seconds()
                .map(|seconds| StatusDetails { retry_after_seconds: Some(seconds), ..StatusDetails::default() }),
        }
    }

    fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::TooManyRequests { retry_after_seconds, .. } | Self::Unavailable { retry_after_seconds, .. } => {
                Some(*retry_after_seconds)
            }
            Self::Disruption { retry_after_seconds, .. } => *retry_after_seconds,
            Self::TooNew { .. } => Some(1),
            _ => None,
        }
    }
}

impl RequestError {
    /// Which kind of failure this is.
    pub fn reason(&self) -> Reason {
        match self {
            Self::CrossOrigin(_) => Reason::FORBIDDEN,
            Self::Unauthorized => Reason::UNAUTHORIZED,
            Self::Misdirected(_) => Reason::MISDIRECTED,
            Self::NoRoute | Self::Withheld(_) => Reason::NOT_FOUND,
            Self::MethodNotAllowed => Reason::METHOD_NOT_ALLOWED,
            Self::NotAcceptable(_) => Reason::NOT_ACCEPTABLE,
            Self::TooLarge => Reason::TOO_LARGE,
            Self::TooSlow => Reason::TOO_SLOW,
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding => Reason::UNSUPPORTED_MEDIA_TYPE,
            Self::Failed(error) => error.reason(),
        }
    }
}

fn status(reason: Reason, message: String, details: Option<StatusDetails>) -> Status {
    Status {
        kind: "Status".into(),
        api_version: "v1".into(),
        metadata: StatusMetadata::default(),
        status: "Failure".into(),
        reason: reason.word.into(),
        message,
        code: reason.code.as_u16(),
        details,
    }
}

/// The message of an error, carried by its response for paths that reply in plain text.
#[derive(Clone, Debug)]
pub struct ErrorText(pub String);

fn response(reason: Reason, status: Status) -> Response {
    audit::failed(status.code, &status.reason, &status.message);
    let mut body = serde_json::to_string(&status).unwrap_or_default();
    body.push('\n');
    let head = (reason.code, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let mut response = (head.0, head.1, Extension(HasLineFeed), body).into_response();
    response.extensions_mut().insert(ErrorText(status.message));
    if let Some(seconds) = status.details.and_then(|details| details.retry_after_seconds) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Internal(cause) = &self {
            tracing::error!(cause, "internal error");
        }
        let mut response = response(self.reason(), self.status());
        if matches!(self, Self::ReadOnly { .. }) {
            // RFC 9110 (15.5.6): it names the methods that there are.
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        match self {
            Self::Failed(error) => error.into_response(),
            Self::Unauthorized => {
                let mut response = response(self.reason(), status(self.reason(), self.to_string(), None));
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
            refused => response(refused.reason(), status(refused.reason(), refused.to_string(), None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_have_the_fields_that_client_go_reads() {
        let error = Error::NotFound(Subject::new("apps", "deployments", "web"));
        let body = serde_json::to_value(error.status()).expect("a status is plain data");
        let expected = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
            "message": "deployments.apps \"web\" not found", "code": 404,
            "details": {"name": "web", "group": "apps", "kind": "deployments"}
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn the_first_hundred_faults_are_listed_and_the_rest_counted() {
        let cause =
            |i: usize| StatusCause { field: format!("pods[{i}]"), message: "x".into(), ..StatusCause::default() };
        let invalid = |count| Error::Invalid { subject: Subject::default(), causes: (0..count).map(cause).collect() };
        let causes = |count| invalid(count).status().details.expect("details").causes;
        assert_eq!(causes(100).len(), 100);
        let listed = causes(100_000);
        assert_eq!((listed.len(), listed[100].message.as_str()), (101, "and 99900 more faults"));
        assert!(invalid(100_000).to_string().ends_with("pods[99]: x, and 99900 more faults]"));
    }

    #[test]
    fn internal_errors_hide_their_cause() {
        let error = Error::internal("password=secret");
        assert!(!serde_json::to_string(&error.status()).expect("a status is plain data").contains("secret"));
    }

    #[test]
    fn overload_names_a_retry_time() {
        let response = Error::TooManyRequests { message: "queue full".into(), retry_after_seconds: 2 }.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}
