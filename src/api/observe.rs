//! Observation of requests: the span of each.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use super::middleware::known_method;
use crate::telemetry::trace::{Here, Tracing};

/// Carries a request out within a span of its own.
pub(super) async fn traced(State(tracing): State<Tracing>, request: Request, next: Next) -> Response {
    let method = known_method(request.method().as_str());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let span = tracing.request(method, route, request.headers());
    let response = Here::carry(Some(span.clone()), next.run(request)).await;
    span.answered(response.status());
    response
}
