//! `/bind`: kube-scheduler's extender verb that changes something.

use std::sync::Arc;

use axum::{Json, extract::State};
use metrics::{counter, histogram};
use tokio::time::Instant;

use super::{
    asked_by::By,
    cluster::ClusterName,
    context::PolicyQuery,
    extract::{JsonBytes, Query},
    openapi::WriteErrors,
    state::AppState,
};
use crate::{
    service::{
        Service,
        access::Caller,
        audit,
        bind::extender_bind,
        error::{Error, Result},
    },
    telemetry,
    wire::{
        audit::event::NODE,
        decision::AskedBy,
        extender::{ExtenderBindingArgs, ExtenderBindingResult},
    },
};

/// Bind a pod to a node, if it fits there
///
/// kube-scheduler's extender verb `bind`, recorded in Podberth's own state. The commit applies the whole filter again to the complete state, so that
/// no two binds, on any replicas, share a resource that only one can have. Waiting claims get their volumes in the same commit. The reason why a pod
/// was not bound is in `Error`. A pod (`PodUID`) may be bound to its node any number of times.
#[utoipa::path(post, path = "/bind", operation_id = "bindPod", tag = "extender", params(PolicyQuery),
    request_body(content = ExtenderBindingArgs, example = json!({
        "PodName": "example", "PodNamespace": "default", "PodUID": "", "Node": "example"
    })),
    responses((status = 200, description = "The pod is bound, durably, unless `Error` has a reason.",
        body = ExtenderBindingResult), WriteErrors))]
pub async fn bind(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    By(by): By,
    Query(query): Query<PolicyQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Json<ExtenderBindingResult>> {
    let start = Instant::now();
    let reply = answer(&state, &cluster, (&caller, &by), query.policy.as_deref(), &body).await;
    let code = reply.as_ref().map_or_else(|error| error.reason().code.as_u16(), |_| 200);
    counter!(telemetry::EXTENDER_REQUESTS, "verb" => "bind", "form" => "none", "code" => code.to_string()).increment(1);
    histogram!(telemetry::EXTENDER_REQUEST_DURATION, "verb" => "bind").record(start.elapsed());
    reply.map(|why| Json(ExtenderBindingResult { error: why.unwrap_or_default() }))
}

/// The reason why the pod is not bound, if it is not.
async fn answer(
    service: &Service,
    cluster: &Arc<str>,
    (caller, by): (&Caller, &AskedBy),
    policy: Option<&str>,
    body: &[u8],
) -> Result<Option<String>> {
    let args = ExtenderBindingArgs::parse(body).map_err(|error| Error::BadRequest(error.to_string()))?;
    caller.check_bind(service, cluster, &args.pod_namespace, &args.pod_name).await?;
    audit::named(&args.pod_namespace, &args.pod_name);
    let node = args.node.clone();
    let why = extender_bind(service, cluster, args, policy, by).await?;
    if why.is_none() {
        audit::note(NODE, || node);
    }
    Ok(why)
}
