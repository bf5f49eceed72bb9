//! `POST /placements` and `POST /placements/estimate`: which clusters take how many replicas.

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;

use crate::{
    api::{
        asked_by::By,
        context::{PolicyQuery, written},
        extract::{JsonBytes, Query},
        openapi::{DecisionErrors, WriteErrors},
        state::AppState,
    },
    service::{
        access::Caller,
        compute::read_on,
        error::{Error, Result},
        placements,
    },
    wire::{
        decode,
        federation::{
            estimate::{EstimateReport, EstimateRequest},
            reply::ClusterPlacementReport,
            request::PlacementRequest,
        },
    },
};

/// Place replicas over clusters
///
/// Which of the clusters take how many replicas of a workload, on which nodes, and why the others do not. Clusters are judged by rules as nodes are (`GET /plugins` lists
/// them: ClusterAffinity, ClusterTaint, …), and each one's room is counted by the node engine: copies of the pod are placed one after the other as `/schedule` would, with
/// all predicates, until one fits nowhere. All is decided on one snapshot of each cluster (`snapshotRevisions`).
///
/// Short of room nothing is placed, with the reason; with `partial` what fits. Clusters that you may not ask about are left out: it takes the right to create `simulations`
/// there, and for a `commit` that to create `placements`, and to create and bind pods.
///
/// With `commit` the pods are made and their nodes reserved (`reserve`, for `ttlSeconds`), or bound (`bind`), in all clusters or in none. If others were first, the whole is worked
/// out anew.
///
/// With `clusterObjects` these clusters are judged instead of the server's own; nothing is stored, and `availableReplicas` stands in place of the count.
#[utoipa::path(post, path = "/placements", operation_id = "placeReplicas", tag = "decisions", params(PolicyQuery),
    request_body(content = PlacementRequest, example = json!({
        "replicas": 12, "division": {"aggregated": {}},
        "clusterObjects": [{"metadata": {"name": "eu-1"}, "availableReplicas": 10}, {"metadata": {"name": "us-1"}, "availableReplicas": 9}]
    })),
    responses((status = 200, description = "The clusters, and why.", body = ClusterPlacementReport), WriteErrors))]
pub async fn place(
    State(state): State<AppState>,
    caller: Caller,
    By(by): By,
    Query(PolicyQuery { policy }): Query<PolicyQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let request: PlacementRequest = read(body).await?;
    let report = Box::pin(placements::place(&state, &caller, &by, &request, policy)).await?;
    Ok(written(report, true).await?.into_response())
}

/// Estimate how many replicas a cluster takes
///
/// How many more pods of a template the nodes and pods of the request take, with all predicates of the default configuration; or, from a `summary`, how many its sums let in. Quotas
/// of the namespace bound both. Nothing is stored.
#[utoipa::path(post, path = "/placements/estimate", operation_id = "estimateReplicas", tag = "decisions",
    request_body(content = EstimateRequest, example = json!({
        "template": {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}},
        "nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]
    })),
    responses((status = 200, description = "The number.", body = EstimateReport), DecisionErrors))]
pub async fn estimate(JsonBytes(body): JsonBytes) -> Result<Response> {
    let request: EstimateRequest = read(body).await?;
    Ok(written(placements::estimate(request).await?, true).await?.into_response())
}

async fn read<T: DeserializeOwned + Send + 'static>(body: Bytes) -> Result<T> {
    let bytes = body.len();
    let read = move || decode::from_slice(&body).map_err(|error| Error::BadRequest(error.to_string()));
    read_on(bytes, read).await?
}
