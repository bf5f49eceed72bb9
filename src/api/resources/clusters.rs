//! `GET /clusters`: which clusters there are.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{error::Result, openapi::ReadErrors, state::AppState};

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
/// A cluster comes to be when something is stored in it. Every path of this document also exists under
/// `/clusters/{name}`; without that it is about the cluster `default`.
#[utoipa::path(get, path = "/clusters", operation_id = "listClusters", tag = "state", responses(
    (status = 200, description = "All of them.", body = ClusterList), ReadErrors))]
pub async fn list(State(state): State<AppState>) -> Result<Json<ClusterList>> {
    let mut items = Vec::new();
    for name in state.store.clusters().await? {
        let revision = state.store.head(&name).await?.revision;
        items.push(ClusterItem { name, revision });
    }
    Ok(Json(ClusterList { items }))
}
