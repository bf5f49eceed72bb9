//! Shared parts of the extender verbs: each call is parsed and computed off the runtime's threads, and measured.

use std::time::Instant;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use metrics::{counter, histogram};
use serde::Serialize;

use super::{
    body::pieces,
    error::{ApiError, Result},
};
use crate::{
    service::{
        compute::compute_on,
        context::{Chosen, DecisionContext},
    },
    telemetry::{self, labels::PROFILES},
    wire::extender::Pieces,
};

/// Said where a request has no pod.
pub(super) const NO_POD: &str = "the request has no Pod";

/// One call of a verb: parse and compute off the runtime's threads, reply in one piece, measured.
/// `work` answers the form of the request (`nodes`, `names`, or `none` where it has neither) and the reply's body.
pub(super) async fn measured(
    verb: &'static str,
    context: DecisionContext,
    body: Bytes,
    work: impl FnOnce(&Bytes, &DecisionContext) -> (&'static str, Result<Pieces>) + Send + 'static,
) -> Result<Response> {
    let start = Instant::now();
    let (headers, size) = (context.headers(), body.len());
    let (form, reply) = compute_on(size, move || work(&body, &context)).await?;
    let code = reply.as_ref().map_or_else(|error| error.reason().code, |_| StatusCode::OK);
    counter!(telemetry::EXTENDER_REQUESTS, "verb" => verb, "form" => form, "code" => code.as_str().to_owned())
        .increment(1);
    histogram!(telemetry::EXTENDER_REQUEST_DURATION, "verb" => verb).record(start.elapsed());
    Ok(([(header::CONTENT_TYPE, "application/json")], headers, pieces(reply?)).into_response())
}

/// Measures one extension point's part of a call.
pub(super) fn timed(
    point: &'static str,
    policy: Result<Chosen>,
    decide: impl FnOnce(Result<Chosen>) -> Result<Pieces>,
) -> Result<Pieces> {
    let start = Instant::now();
    let profile = policy.as_ref().map_or_else(|_| String::new(), |policy| policy.name().to_owned());
    let reply = decide(policy);
    let status = if reply.is_ok() { "Success" } else { "Error" };
    histogram!(telemetry::EXTENSION_POINT_DURATION, "extension_point" => point, "status" => status,
        "profile" => PROFILES.of(&profile))
    .record(start.elapsed());
    reply
}

/// A reply that is short.
pub(super) fn written(reply: &impl Serialize) -> Result<Pieces> {
    serde_json::to_vec(reply).map(Pieces::from).map_err(ApiError::internal)
}
