//! `/forks`: copies of a cluster to work on.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::{
    cluster::ClusterName,
    extract::{JsonBytes, Path},
    openapi::{PastErrors, ReadErrors, UnknownErrors, WriteErrors},
    state::AppState,
};
use crate::{
    service::{access::Caller, error::Result, forks},
    wire::{
        decode,
        fork::{Fork, ForkDiff, ForkList, ForkRequest},
        status::Status,
    },
};

/// The path's variable.
#[derive(Debug, Deserialize)]
pub struct Named {
    name: String,
}

/// List forks
///
/// The forks of the cluster that the path names.
#[utoipa::path(get, path = "/forks", operation_id = "listForks", tag = "state",
    responses((status = 200, description = "All of them.", body = ForkList), ReadErrors))]
pub async fn list(State(state): State<AppState>, ClusterName(cluster): ClusterName) -> Result<Json<ForkList>> {
    Ok(Json(forks::list(&state, &cluster).await?))
}

/// Make a fork
///
/// A fork begins as the cluster is (or was, at a `revision`), and is worked on under `/forks/{name}/…` like any cluster: objects, `/schedule`, `/explain`
/// and all else. Nothing of that changes the cluster, and later changes of the cluster do not show in the fork. What you may do in the cluster you may
/// do in its forks. A fork of the mirror of a live cluster mirrors nothing: binds stay in the fork.
///
/// A fork takes room for what differs from the cluster, up to 10,000 objects. It is removed after `ttlSeconds`. There are 1,000 forks at most.
#[utoipa::path(post, path = "/forks", operation_id = "createFork", tag = "state",
    request_body(content = ForkRequest, example = json!({"name": "upgrade", "ttlSeconds": 3600})),
    responses((status = 201, description = "The fork.", body = Fork), WriteErrors, UnknownErrors, PastErrors))]
pub async fn create(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Json<Fork>)> {
    let request: ForkRequest = if body.is_empty() { ForkRequest::default() } else { decode::from_slice(&body)? };
    Ok((StatusCode::CREATED, Json(forks::create(&state, &cluster, &request).await?)))
}

/// Show a fork
#[utoipa::path(get, path = "/forks/{name}", operation_id = "readFork", tag = "state",
    params(("name" = String, Path, description = "The fork's name", example = "upgrade")),
    responses((status = 200, description = "The fork.", body = Fork), ReadErrors, UnknownErrors, PastErrors))]
pub async fn read(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Path(Named { name }): Path<Named>,
) -> Result<Json<Fork>> {
    Ok(Json(forks::describe(&state, &cluster, &name).await?))
}

/// Compare a fork with what it began with
///
/// The reply has the objects that were added, changed and removed in the fork, and the pods that are on another node. Objects that you may not list are
/// only counted.
#[utoipa::path(get, path = "/forks/{name}/diff", operation_id = "diffFork", tag = "state",
    params(("name" = String, Path, description = "The fork's name", example = "upgrade")),
    responses((status = 200, description = "The differences.", body = ForkDiff), ReadErrors, UnknownErrors, PastErrors))]
pub async fn diff(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Path(Named { name }): Path<Named>,
) -> Result<Json<ForkDiff>> {
    Ok(Json(forks::diff(&state, &caller, &cluster, &name).await?))
}

/// Remove a fork
#[utoipa::path(delete, path = "/forks/{name}", operation_id = "deleteFork", tag = "state",
    params(("name" = String, Path, description = "The fork's name", example = "upgrade")),
    responses((status = 200, description = "It is gone.", body = Status), WriteErrors, UnknownErrors))]
pub async fn delete(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Path(Named { name }): Path<Named>,
) -> Result<Json<Status>> {
    forks::remove(&state, &cluster, &name).await?;
    Ok(Json(Status::success(200, None)))
}
