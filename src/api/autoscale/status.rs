//! `GET /autoscale/status`: the node groups, and what the loop over them does.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use crate::{
    api::{cluster::ClusterName, context::FreshnessQuery, extract::Query, openapi::ReadErrors, state::AppState},
    service::{autoscale::status, context, error::Result},
    wire::autoscale::status::AutoscaleStatus,
};

/// Show the node groups and the loop over them
///
/// The sizes of all node groups, nodes on their way in and out, nodes that are not needed and since when, and the last steps of the loop
/// (`--autoscale=act`) or those that it would do (`--autoscale=advise`), each with its reason.
#[utoipa::path(get, path = "/autoscale/status", operation_id = "readAutoscaleStatus", tag = "autoscaling", params(FreshnessQuery),
    responses((status = 200, description = "The whole picture.", body = AutoscaleStatus), ReadErrors))]
pub async fn status(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(fresh): Query<FreshnessQuery>,
) -> Result<Response> {
    let context = context::take(&state, &cluster, fresh.fresh()).await?;
    let headers = context.headers();
    context.is_there()?;
    let status = status::status(&state, &cluster, &context.view).await?;
    Ok((headers, Json(status)).into_response())
}
