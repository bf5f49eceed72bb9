//! `/clusters`: which clusters there are, and their removal.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    api::{
        extract::{Path, Query},
        openapi::{ReadErrors, UnknownErrors, WriteErrors},
        queries::WriteQuery,
        state::AppState,
    },
    service::{clusters, error::Result},
    store::Standing,
    wire::status::Status,
};

/// The clusters that hold anything.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterList {
    /// By name.
    pub items: Vec<ClusterItem>,
}

/// A cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterItem {
    /// Its name, as in `/clusters/{name}/…`.
    #[schema(example = "default")]
    pub name: String,
    /// How many changes it has seen.
    #[schema(example = 42)]
    pub revision: u64,
}

/// List clusters
///
/// The first stored object creates its cluster. Every path of this document also exists under `/clusters/{name}`; without that prefix it is about
/// the cluster `default`, which always exists. Decisions over the stored nodes of a cluster that does not exist are answered 404.
#[utoipa::path(get, path = "/clusters", operation_id = "listClusters", tag = "state", responses(
    (status = 200, description = "All of them.", body = ClusterList), ReadErrors))]
pub async fn list(State(state): State<AppState>) -> Result<Json<ClusterList>> {
    let item = |Standing { name, revision, .. }| ClusterItem { name, revision };
    Ok(Json(ClusterList { items: clusters::list(&state).await?.into_iter().map(item).collect() }))
}

/// The path's variable.
#[derive(Debug, Deserialize)]
pub struct Named {
    name: String,
}

/// Remove a cluster
///
/// This deletes all data of the cluster: objects, policies, reservations and their history. The cluster is gone at once and for good, on every
/// replica; its rows are deleted from the database in pieces. The cluster `default` cannot be removed.
#[utoipa::path(delete, path = "/clusters/{name}", operation_id = "deleteCluster", tag = "state",
    params(("name" = String, Path, description = "The cluster's name", example = "staging"), WriteQuery),
    responses((status = 200, description = "It is gone.", body = Status), WriteErrors, UnknownErrors))]
pub async fn delete(
    State(state): State<AppState>,
    Path(Named { name }): Path<Named>,
    Query(query): Query<WriteQuery>,
) -> Result<Json<Status>> {
    clusters::remove(&state, &name, query.dry_run()?).await?;
    Ok(Json(Status::success(200, None)))
}
