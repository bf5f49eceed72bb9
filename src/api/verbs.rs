//! Shared parts of the extender verbs: each call is parsed and computed off the runtime's threads, and measured.

use std::time::Instant;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use metrics::{counter, histogram};

use super::body::pieces;
use crate::{
    service::{compute::compute_on, context::DecisionContext, error::Result, verbs::Answer},
    telemetry,
};

/// One call of a verb: parse and compute off the runtime's threads, reply in one piece, measured.
pub(super) async fn measured(
    verb: &'static str,
    context: DecisionContext,
    body: Bytes,
    work: impl FnOnce(&Bytes, &DecisionContext) -> Answer + Send + 'static,
) -> Result<Response> {
    let start = Instant::now();
    let (headers, size) = (context.headers(), body.len());
    let Answer { form, body, .. } = compute_on(size, move || work(&body, &context)).await?;
    let code = body.as_ref().map_or_else(|error| error.reason().code, |_| StatusCode::OK);
    counter!(telemetry::EXTENDER_REQUESTS, "verb" => verb, "form" => form, "code" => code.as_str().to_owned())
        .increment(1);
    histogram!(telemetry::EXTENDER_REQUEST_DURATION, "verb" => verb).record(start.elapsed());
    Ok(([(header::CONTENT_TYPE, "application/json")], headers, pieces(body?)).into_response())
}
