//! The identity of a request, by which logs, audit events and clients name it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// Carries the identity of a request, from the client or made here, and back in the reply.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Carries the identity of a request in its audit events, from the client or that of the request, and back in the reply.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Longer identities are replaced: they would fill the log.
const LONGEST: usize = 128;

/// The client's identity of the request, or a new one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    identity(headers, &REQUEST_ID).unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// An identity that the client gave the request, if it is printable and short.
fn identity(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let sane = |id: &&HeaderValue| {
        (1..=LONGEST).contains(&id.len())
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
    };
    headers.get(name).filter(sane).cloned()
}

/// The identity of a request in its audit events: the client's, else that of the request.
pub(super) fn audit_id(headers: &HeaderMap, request_id: &HeaderValue) -> HeaderValue {
    identity(headers, &AUDIT_ID).unwrap_or_else(|| request_id.clone())
}
