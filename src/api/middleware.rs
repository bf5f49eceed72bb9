//! What stands around every request: its identity, its log span, its measurements, its time limit, its safety net.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, timeout};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, debug, info_span, warn};
use uuid::Uuid;

use super::error::ApiError;
use crate::telemetry::{HTTP_REQUEST_DURATION, HTTP_REQUESTS};

/// Carries the identity of a request, from the client or made here, and back in the reply.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer identities are replaced: they would fill the log.
const REQUEST_ID_LENGTH: usize = 128;

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the end of the request's head to the beginning of the reply.
    pub request_timeout: Duration,
    /// Bytes of a body where the route sets no limit of its own.
    pub body_bytes: usize,
}

/// Puts the layers around the router, the outermost last.
pub fn around(router: Router, limits: Limits) -> Router {
    router
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(from_fn_with_state(limits.request_timeout, in_time))
        .layer(CatchPanicLayer::custom(caught))
        .layer(from_fn(observed))
}

/// 504 when there is no reply in time. A reply's body may take longer: a watch does.
async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        ApiError::Timeout("the request took too long, it may or may not have been carried out".into()).into_response()
    })
}

/// 500 in place of a dropped connection. The panic's own message went to stderr with its place.
#[allow(clippy::needless_pass_by_value, reason = "the signature that CatchPanicLayer asks for")]
fn caught(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    ApiError::internal(format!("a handler panicked: {message}")).into_response()
}

/// Gives the request its identity, a span and its place in the metrics.
async fn observed(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str).to_owned();
    let span = info_span!("request", id = id.to_str().unwrap_or_default(), %method, path = request.uri().path());

    let start = Instant::now();
    let mut response = async {
        let response = next.run(request).await;
        let (code, took) = (response.status().as_u16(), start.elapsed());
        if response.status().is_server_error() {
            warn!(code, ?took, "request failed");
        } else {
            debug!(code, ?took, "request served");
        }
        response
    }
    .instrument(span)
    .await;

    let method = known_method(method.as_str());
    let code = response.status().as_str().to_owned();
    metrics::histogram!(HTTP_REQUEST_DURATION, "method" => method, "route" => route.clone()).record(start.elapsed());
    metrics::counter!(HTTP_REQUESTS, "method" => method, "route" => route, "code" => code).increment(1);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's identity of the request when it is printable and short, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |id: &&HeaderValue| {
        (1..=REQUEST_ID_LENGTH).contains(&id.len())
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
    };
    headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// A method as a label: clients must not be able to make up new ones.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}
