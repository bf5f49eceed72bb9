//! `GET /nodes/{name}/fit`: how a stored pod fits on one node.

use axum::{Json, extract::State, response::IntoResponse};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    cluster::ClusterName,
    context::{AtQuery, FreshnessQuery, PolicyQuery},
    extract::{Path, Query},
    openapi::{DecisionErrors, PastErrors},
    state::AppState,
};
use crate::{
    service::{
        access::{Caller, sight::Sight},
        error::Result,
        fit, past,
    },
    wire::fit::FitReply,
};

/// The pod that is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FitQuery {
    /// A stored pod, as `namespace/name` or, in the namespace `default`, `name`
    #[param(example = "default/example")]
    pod: String,
}

/// How a stored pod fits on a node
///
/// Amounts that it asks for, that are free there and that are missing; the verdict of every predicate and the score of every priority, and how far the node is
/// behind the best one. A pod that runs already is treated as if it waited. Amounts are whole numbers: CPU in thousandths of a core, memory and storage
/// in bytes, anything else in pieces.
#[utoipa::path(get, path = "/nodes/{name}/fit", operation_id = "readNodeFit", tag = "decisions",
    params(("name" = String, Path, description = "The node's name", example = "example"), FitQuery, PolicyQuery, FreshnessQuery, AtQuery),
    responses((status = 200, description = "Amounts, verdicts, scores and margin.", body = FitReply), DecisionErrors, PastErrors))]
#[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn read(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Path(node): Path<String>,
    Query(query): Query<FitQuery>,
    Query(under): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(at): Query<AtQuery>,
) -> Result<impl IntoResponse> {
    let at = at.parse()?.resolve(&state, &cluster).await?;
    let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
    context.is_there()?;
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let headers = context.headers();
    Ok((headers, Json(fit::fit(context.view, node, query.pod, under.policy, sight).await?)))
}
