//! `/bind`: kube-scheduler's extender verb that changes something.

use std::sync::Arc;

use axum::{Json, extract::State};
use metrics::{counter, histogram};
use tokio::time::Instant;

use super::{
    cluster::ClusterName,
    context::PolicyQuery,
    error::{ApiError, Result},
    extract::{JsonBytes, Query},
    openapi::WriteErrors,
    state::AppState,
};
use crate::{
    core::snapshot::Kind,
    service::{
        Service,
        bind::{BindOutcome, bind_pod},
        context,
    },
    store::{Key, Refusal},
    telemetry::{self, trace},
    wire::{
        extender::{ExtenderBindingArgs, ExtenderBindingResult},
        kinds,
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
    Query(query): Query<PolicyQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Json<ExtenderBindingResult>> {
    let start = Instant::now();
    let reply = answer(&state, &cluster, query.policy.as_deref(), &body).await;
    let code = reply.as_ref().map_or_else(|error| error.reason().code.as_u16(), |_| 200);
    counter!(telemetry::EXTENDER_REQUESTS, "verb" => "bind", "form" => "none", "code" => code.to_string()).increment(1);
    histogram!(telemetry::EXTENDER_REQUEST_DURATION, "verb" => "bind").record(start.elapsed());
    reply.map(|error| Json(ExtenderBindingResult { error }))
}

/// Why the pod was not bound; empty where it was.
async fn answer(service: &Service, cluster: &Arc<str>, policy: Option<&str>, body: &[u8]) -> Result<String> {
    let ExtenderBindingArgs { pod_name, pod_namespace, pod_uid, node } =
        ExtenderBindingArgs::parse(body).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    if pod_name.is_empty() || node.is_empty() {
        return Ok("the request names no pod or no node".into());
    }
    context::existing(service, cluster).await?;
    let judged_by = match context::judged_by(service, cluster, policy, (&pod_namespace, &pod_name)).await {
        Err(error @ ApiError::NotFound(_)) => return Ok(error.to_string()),
        judged_by => judged_by?,
    };
    let pods = kinds::by_core(Kind::Pod).ok_or_else(|| ApiError::internal("pods are no stored kind"))?;
    let key = Key::new(pods.key(), &*pod_namespace, &*pod_name);
    let _committing = trace::phase("commit");
    Ok(match bind_pod(service, cluster, &key, &pod_uid, &node, judged_by).await? {
        BindOutcome::Refused(refusal) => why(refusal, &pod_namespace, &pod_name, &pod_uid),
        _ => String::new(),
    })
}

fn why(refusal: Refusal, namespace: &str, name: &str, uid: &str) -> String {
    match refusal {
        Refusal::NotFound => format!("pod {namespace}/{name} is not known to the extender"),
        Refusal::UidMismatch { current } => {
            format!("pod {namespace}/{name} has the uid {current}: it is not the pod with the uid {uid}")
        }
        Refusal::AlreadyBound { node } => format!("pod {name} is already assigned to node {node:?}"),
        Refusal::Rejected(why) => why,
        Refusal::AlreadyExists { .. } | Refusal::Conflict { .. } | Refusal::NotAttempted => {
            format!("pod {namespace}/{name} has been modified meanwhile")
        }
    }
}
