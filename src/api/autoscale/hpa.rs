//! `POST /autoscale/hpa`: the number of replicas that a workload needs.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        cluster::ClusterName,
        context::{AtQuery, written},
        extract::{JsonBytes, Query},
        openapi::{DecisionErrors, PastErrors},
        state::AppState,
    },
    clock,
    service::{
        access::Caller,
        autoscale::hpa::answer,
        compute::read_on,
        error::{Error, Result},
    },
    wire::{
        autoscale::hpa::{HpaReport, HpaRequest},
        decode,
    },
};

/// Compute how many replicas a workload needs
///
/// The answer is that of Kubernetes' HorizontalPodAutoscaler controller, with each step of it: the proposal of each metric and the pods behind it, the
/// stabilization over time, the limit that cut it. Nothing is stored.
///
/// The request brings the autoscaler, the scale of its target, pods and metrics; what it does not bring is what is stored. With `name` (and `namespace`)
/// it is about a stored HorizontalPodAutoscaler, with neither `hpa` nor `name` about all of them. `steps` go on from there: after so many seconds,
/// with these metrics. The reply's `history` is the memory for the next request.
///
/// With `revision` (or `at`) the stored objects are read as they were then.
#[utoipa::path(post, path = "/autoscale/hpa", operation_id = "autoscaleHpa", tag = "autoscaling", params(AtQuery),
    request_body(content = HpaRequest, example = json!({
        "hpa": {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 10,
            "metrics": [{"type": "External", "external": {"metric": {"name": "queue_depth", "selector": {"matchLabels": {"queue": "orders"}}},
                "target": {"type": "AverageValue", "averageValue": "30"}}}]}},
        "scale": {"spec": {"replicas": 3}, "status": {"replicas": 3, "selector": "app=web"}},
        "externalMetrics": [{"metricName": "queue_depth", "metricLabels": {"queue": "orders"}, "value": "150"}]
    })),
    responses((status = 200, description = "The number of replicas, and why.", body = HpaReport), DecisionErrors, PastErrors))]
pub async fn autoscale_hpa(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(at): Query<AtQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let at = at.parse()?.resolve(&state, &cluster).await?;
    let read = read_on(body.len(), move || decode::from_slice::<HpaRequest>(&body)).await?;
    let request = read.map_err(|error| Error::BadRequest(error.to_string()))?;
    let reply = answer(&state, &cluster, &caller, at, request, clock::now_nanoseconds()).await?;
    Ok(written(reply, false).await?.into_response())
}
