//! The one error of the HTTP API. It speaks for the status code, the body (always a Kubernetes [`Status`]) and the
//! OpenAPI document at once: [`Reason`] is the table that all three are read off.
//!
//! "Does not fit" is a verdict, not an error; the extender verbs answer 200 with their own `Error` field.
//!
//! Kubernetes source: `apimachinery/pkg/api/errors/errors.go`.

use std::fmt::Display;

use axum::{
    Extension,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::line_feed::HasLineFeed;
use crate::{
    cluster::CommitError,
    store::StoreError,
    telemetry::seldom::REFUSED_REQUESTS,
    wire::{
        decode::DecodeError,
        status::{Status, StatusCause, StatusDetails, StatusMetadata},
    },
};

/// The object that an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in the plural, `pods`; in [`ApiError::Invalid`] the kind, `Pod`.
    pub resource: String,
    /// The object's name.
    pub name: String,
}

impl Subject {
    /// An object of a group's resource (in [`ApiError::Invalid`]: kind).
    pub fn new(group: impl Into<String>, resource: impl Into<String>, name: impl Into<String>) -> Self {
        Self { group: group.into(), resource: resource.into(), name: name.into() }
    }

    /// `pods`, or `deployments.apps` in a group.
    fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The object contradicts others, or names what there is not (Kubernetes' admission).
    #[error("{} \"{}\" is forbidden: {message}", .subject.qualified(), .subject.name)]
    Forbidden {
        /// What was to be created.
        subject: Subject,
        /// What stands against it.
        message: String,
    },
    /// A page of another origin asks.
    #[error("{0}")]
    CrossOrigin(String),
    /// The request names a host that is not served here.
    #[error("{0}")]
    Misdirected(String),
    /// No such object.
    #[error("{} \"{}\" not found", .0.qualified(), .0.name)]
    NotFound(Subject),
    /// The operator has ruled it out.
    #[error("{0}")]
    NotAllowed(String),
    /// No such path.
    #[error("the server could not find the requested resource")]
    NoRoute,
    /// The path exists, the method does not.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// An object of this name exists.
    #[error("{} \"{}\" already exists", .0.qualified(), .0.name)]
    AlreadyExists(Subject),
    /// The object is not (or no longer) as the request takes it to be.
    #[error("Operation cannot be fulfilled on {} \"{}\": {message}", .subject.qualified(), .subject.name)]
    Conflict {
        /// What was to be changed.
        subject: Subject,
        /// What stands against it.
        message: String,
    },
    /// A condition of the request's head (`If-Match`, `If-None-Match`) does not hold.
    #[error("{0}")]
    PreconditionFailed(String),
    /// The history asked for is gone: list again.
    #[error("{0}")]
    Expired(String),
    /// The body is larger than this operation takes.
    #[error("the request body is larger than this operation takes")]
    TooLarge,
    /// What the body says takes more memory than one request may have.
    #[error("{}", crate::wire::allowance::USED_UP)]
    TooMuch,
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
    /// The request was understood, and what it says cannot be.
    #[error("{} \"{}\" is invalid: {}", .subject.qualified(), .subject.name, list(.causes))]
    Invalid {
        /// The object, by kind.
        subject: Subject,
        /// Every fault, with the field's path.
        causes: Vec<StatusCause>,
    },
    /// More requests than can be taken on now.
    #[error("{message}")]
    TooManyRequests {
        /// What is overloaded.
        message: String,
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// A disruption budget forbids the eviction at the moment.
    #[error("Cannot evict pod as it would violate the pod's disruption budget.")]
    Disruption {
        /// Which budget, and why.
        cause: String,
        /// When to try again, where that is known.
        retry_after_seconds: Option<u32>,
    },
    /// Something broke here. The cause is logged and not told.
    #[error("an internal error occurred, see the server's log under this reply's x-request-id")]
    Internal(String),
    /// What the request needs (the database) is away.
    #[error("{message}")]
    Unavailable {
        /// What is away.
        message: String,
        /// When to try again.
        retry_after_seconds: u32,
    },
    /// The request took too long; what it was to change may or may not have been changed.
    #[error("{0}")]
    Timeout(String),
}

/// What the result of a handler is.
pub type Result<T> = std::result::Result<T, ApiError>;

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
        reason(StatusCode::BAD_REQUEST, "BadRequest", "The request cannot be understood; the message tells why.");
    /// 403
    pub const FORBIDDEN: Self = reason(
        StatusCode::FORBIDDEN,
        "Forbidden",
        "The object contradicts others, names a class that there is not, or a page of another origin asks.",
    );
    /// 404
    pub const NOT_FOUND: Self = reason(StatusCode::NOT_FOUND, "NotFound", "There is no such object.");
    /// 405
    pub const METHOD_NOT_ALLOWED: Self =
        reason(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "The path does not know this method.");
    /// 408
    pub const TOO_SLOW: Self =
        reason(StatusCode::REQUEST_TIMEOUT, "Timeout", "The body did not come in time: see `--body-timeout`.");
    /// 409, a name that is taken.
    pub const ALREADY_EXISTS: Self = reason(StatusCode::CONFLICT, "AlreadyExists", "An object of this name exists.");
    /// 409
    pub const CONFLICT: Self = reason(
        StatusCode::CONFLICT,
        "Conflict",
        "The object exists already, or is no longer what the request takes it to be: read it again.",
    );
    /// 410
    pub const EXPIRED: Self =
        reason(StatusCode::GONE, "Expired", "The history or page asked for is no longer kept: list again.");
    /// 412
    pub const PRECONDITION_FAILED: Self = reason(
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailed",
        "`If-Match` or `If-None-Match` does not hold: read it again.",
    );
    /// 413
    pub const TOO_LARGE: Self =
        reason(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "The body is larger than this operation takes.");
    /// 415
    pub const UNSUPPORTED_MEDIA_TYPE: Self =
        reason(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "The body's media type is not read here.");
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
    pub const TOO_MANY_REQUESTS: Self = reason(
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyRequests",
        "Too much to do at the moment: try again after `Retry-After` seconds.",
    );
    /// 500
    pub const INTERNAL_ERROR: Self = reason(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        "Something broke in the server; its log tells what.",
    );
    /// 503
    pub const SERVICE_UNAVAILABLE: Self = reason(
        StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
        "What the request needs is away: try again after `Retry-After` seconds.",
    );
    /// 504
    pub const TIMEOUT: Self = reason(
        StatusCode::GATEWAY_TIMEOUT,
        "Timeout",
        "It took too long. What was to be changed may or may not have been changed.",
    );

    /// The reason that documents a status code.
    pub fn of_code(code: StatusCode) -> Option<Self> {
        [
            Self::BAD_REQUEST,
            Self::FORBIDDEN,
            Self::NOT_FOUND,
            Self::METHOD_NOT_ALLOWED,
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

impl ApiError {
    /// A failure that is nobody's fault but ours; `cause` goes to the log only.
    pub fn internal(cause: impl Display) -> Self {
        Self::Internal(cause.to_string())
    }

    /// Which kind of failure this is.
    pub fn reason(&self) -> Reason {
        match self {
            Self::BadRequest(_) => Reason::BAD_REQUEST,
            Self::Forbidden { .. } | Self::CrossOrigin(_) | Self::NotAllowed(_) => Reason::FORBIDDEN,
            Self::Misdirected(_) => Reason::MISDIRECTED,
            Self::NotFound(_) | Self::NoRoute => Reason::NOT_FOUND,
            Self::MethodNotAllowed => Reason::METHOD_NOT_ALLOWED,
            Self::AlreadyExists(_) => Reason::ALREADY_EXISTS,
            Self::Conflict { .. } => Reason::CONFLICT,
            Self::PreconditionFailed(_) => Reason::PRECONDITION_FAILED,
            Self::Expired(_) => Reason::EXPIRED,
            Self::TooLarge | Self::TooMuch => Reason::TOO_LARGE,
            Self::TooSlow => Reason::TOO_SLOW,
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding => Reason::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid { .. } => Reason::INVALID,
            Self::TooManyRequests { .. } | Self::Disruption { .. } => Reason::TOO_MANY_REQUESTS,
            Self::Internal(_) => Reason::INTERNAL_ERROR,
            Self::Unavailable { .. } => Reason::SERVICE_UNAVAILABLE,
            Self::Timeout(_) => Reason::TIMEOUT,
        }
    }

    /// The body, which a watch sends as the object of its ERROR event too.
    pub fn status(&self) -> Status {
        let reason = self.reason();
        Status {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: StatusMetadata::default(),
            status: "Failure".into(),
            reason: reason.word.into(),
            message: self.to_string(),
            code: reason.code.as_u16(),
            details: self.details(),
        }
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
            | Self::Conflict { subject, .. } => Some(about(subject)),
            Self::Invalid { subject, causes } => Some(StatusDetails { causes: told(causes), ..about(subject) }),
            Self::Disruption { cause, retry_after_seconds } => {
                let cause =
                    StatusCause { reason: "DisruptionBudget".into(), message: cause.clone(), field: String::new() };
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
            _ => None,
        }
    }
}

/// The message of an error, carried by its response for paths that reply in plain text.
#[derive(Clone, Debug)]
pub struct ErrorText(pub String);

/// Faults that a refusal tells; of further ones it tells the number.
pub(super) const FAULTS_TOLD: usize = 100;

/// The faults that are told.
fn told(causes: &[StatusCause]) -> Vec<StatusCause> {
    // One more may be the sentence about the others.
    if causes.len() <= FAULTS_TOLD + 1 {
        return causes.to_vec();
    }
    let mut told: Vec<StatusCause> = causes.iter().take(FAULTS_TOLD).cloned().collect();
    let more = causes.len() - told.len();
    if more > 0 {
        told.push(StatusCause { message: format!("and {more} more faults"), ..StatusCause::default() });
    }
    told
}

/// Faults as Kubernetes lists them in a message: one as it is, several in brackets.
fn list(causes: &[StatusCause]) -> String {
    let faults: Vec<String> =
        told(causes)
            .iter()
            .map(|cause| {
                if cause.field.is_empty() {
                    cause.message.clone()
                } else {
                    format!("{}: {}", cause.field, cause.message)
                }
            })
            .collect();
    if faults.len() == 1 { faults.concat() } else { format!("[{}]", faults.join(", ")) }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(cause) = &self {
            tracing::error!(cause, "internal error");
        }
        let mut body = serde_json::to_string(&self.status()).unwrap_or_default();
        body.push('\n');
        let head = (self.reason().code, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let mut response = (head.0, head.1, Extension(HasLineFeed), body).into_response();
        response.extensions_mut().insert(ErrorText(self.to_string()));
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            error @ (StoreError::Unavailable(_)
            | StoreError::Unwritable(_)
            | StoreError::Busy(_)
            | StoreError::Aborted(_)
            | StoreError::Behind { .. }
            | StoreError::Corrupt(_)) => {
                if let Some(left_out) = REFUSED_REQUESTS.turn() {
                    tracing::warn!(%error, left_out, "the database did not take a request");
                }
                Self::Unavailable { message: format!("{error}; nothing was changed"), retry_after_seconds: 1 }
            }
            StoreError::OutcomeUnknown(cause) => {
                tracing::warn!(cause, "the outcome of a commit is unknown");
                Self::Timeout("the database was lost during the change, which may or may not have happened".into())
            }
            StoreError::Compacted { .. } | StoreError::HistoryLost { .. } => {
                Self::Expired("the revision asked for is too old: list again".into())
            }
            StoreError::Invalid(message) => Self::BadRequest(message),
            other => Self::internal(other),
        }
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        if error.is_used_up() { Self::TooMuch } else { Self::BadRequest(error.to_string()) }
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Overloaded { .. } => Self::TooManyRequests {
                message: "too many changes wait to be written, nothing was changed".into(),
                retry_after_seconds: 1,
            },
            error @ CommitError::NotAllowed { .. } => Self::NotAllowed(error.to_string()),
            CommitError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_client_go_reads() {
        let error = ApiError::NotFound(Subject::new("apps", "deployments", "web"));
        let body = serde_json::to_value(error.status()).expect("a status is plain data");
        let expected = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
            "message": "deployments.apps \"web\" not found", "code": 404,
            "details": {"name": "web", "group": "apps", "kind": "deployments"}
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn faults_are_listed_with_their_fields() {
        let cause = |field: &str, message: &str| StatusCause {
            reason: "FieldValueRequired".into(),
            message: message.into(),
            field: field.into(),
        };
        let invalid = |causes| ApiError::Invalid { subject: Subject::new("", "Pod", "web"), causes };
        assert_eq!(
            invalid(vec![cause("spec.a", "Required value")]).to_string(),
            "Pod \"web\" is invalid: spec.a: Required value"
        );
        assert_eq!(invalid(vec![cause("a", "x"), cause("b", "y")]).to_string(), "Pod \"web\" is invalid: [a: x, b: y]");
    }

    #[test]
    fn the_first_hundred_faults_are_told_and_how_many_more_there_are() {
        let cause =
            |i: usize| StatusCause { field: format!("pods[{i}]"), message: "x".into(), ..StatusCause::default() };
        let invalid =
            |count| ApiError::Invalid { subject: Subject::default(), causes: (0..count).map(cause).collect() };
        let causes = |count| invalid(count).status().details.expect("details").causes;
        assert_eq!(causes(100).len(), 100);
        let told = causes(100_000);
        assert_eq!((told.len(), told[100].message.as_str()), (101, "and 99900 more faults"));
        assert!(invalid(100_000).to_string().ends_with("pods[99]: x, and 99900 more faults]"));
    }

    #[test]
    fn what_broke_inside_stays_inside() {
        let error = ApiError::internal("password=secret");
        assert!(!serde_json::to_string(&error.status()).expect("a status is plain data").contains("secret"));
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let response =
            ApiError::TooManyRequests { message: "queue full".into(), retry_after_seconds: 2 }.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}
