//! `POST /autoscale/vpa`: the requests that fit the usage of pods.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        cluster::ClusterName,
        context::{AtQuery, FreshnessQuery, PolicyQuery, written},
        extract::{JsonBytes, Query},
        openapi::{DecisionErrors, PastErrors},
        state::AppState,
    },
    service::{
        access::Caller,
        autoscale::vpa::{Asking, recommend},
        compute::compute_on,
        error::Result,
        past,
    },
    wire::{
        autoscale::vpa::{VpaReport, VpaRequest},
        decode,
    },
};

/// Recommend requests that fit the usage
///
/// From samples of CPU and memory each container gets a target between two bounds, as the vertical pod autoscaler's recommender has them: percentiles of decaying
/// histograms with a margin, widened by missing history, within the autoscaler's policies.
///
/// The autoscaler comes with the request (`vpa` and `selector`), or is a stored one (`name`), whose checkpoints are read; with `store` they are written anew, with its status. With
/// neither, all stored autoscalers are answered for.
///
/// With `effect` the reply tells what the recommended requests would do to the cluster: where the pods would go, which would fit nowhere, and how many nodes could go.
///
/// A request has at most 10,000 pods and 5,000,000 samples. Samples that are negative, or no numbers, are refused by their field.
#[utoipa::path(post, path = "/autoscale/vpa", operation_id = "recommendRequests", tag = "autoscaling", params(PolicyQuery, FreshnessQuery, AtQuery),
    request_body(content = VpaRequest, example = json!({
        "vpa": {"metadata": {"name": "web", "namespace": "prod"}, "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}},
        "selector": {"app": "web"},
        "pods": [{"name": "web-0", "labels": {"app": "web"}, "containers": [{"name": "web", "requests": {"cpu": "500m", "memory": "1Gi"},
            "series": [{"start": "2026-01-05T10:00:00Z", "everySeconds": 60, "count": 60, "cpuMilli": [110, 130, 120], "memoryBytes": [300_000_000]}]}]}]
    })),
    responses((status = 200, description = "The recommended requests.", body = VpaReport), DecisionErrors, PastErrors))]
pub async fn vpa(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(at): Query<AtQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let at = at.with_body(&body).await?.resolve(&state, &cluster).await?;
    let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
    let headers = context.headers();
    let request = compute_on(body.len(), move || decode::from_slice::<VpaRequest>(&body)).await??;
    let asking = Asking {
        service: &state,
        caller: &caller,
        cluster: &cluster,
        context: &context,
        at,
        policy: query.policy.as_deref(),
    };
    let report = Box::pin(recommend(asking, request)).await?;
    Ok((headers, written(report, true).await?).into_response())
}
