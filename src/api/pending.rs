//! `GET /pending`: pods that wait for a node, and why.

use axum::{Json, extract::State, response::IntoResponse};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    cluster::ClusterName,
    context::{AtQuery, FreshnessQuery, PolicyQuery},
    extract::Query,
    openapi::{DecisionErrors, PastErrors},
    state::AppState,
};
use crate::{
    service::{
        access::{Caller, sight::Sight},
        error::Result,
        past,
        pending::{self, Asked},
    },
    wire::pending::PendingReply,
};

/// The pods that are meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PendingQuery {
    /// Only pods of this namespace
    #[param(required = false, value_type = String, nullable = false)]
    namespace: Option<String>,
    /// At most so many groups; default 50, at most 500
    #[param(required = false, value_type = u64, nullable = false)]
    limit: Option<usize>,
    /// `continue` of the page before
    #[serde(rename = "continue")]
    #[param(required = false, value_type = String, nullable = false)]
    after: Option<String>,
}

/// The pods that wait for a node, in groups that wait for equal reasons
///
/// The largest group first. Each has the reasons with the number of nodes that they rule out, on how many nodes evicting pods might help, and its oldest
/// pods; those that fit somewhere wait for a scheduler alone. Pods with equal demands are judged once; of more than 1,000 different demands the rest
/// is in `unjudged`. The groups of one revision are kept for the pages that follow; a page after a change is of the new state, as its `revision` tells.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(get, path = "/pending", operation_id = "listPendingPods", tag = "decisions",
    params(PendingQuery, PolicyQuery, FreshnessQuery, AtQuery),
    responses((status = 200, description = "The groups.", body = PendingReply), DecisionErrors, PastErrors))]
pub async fn list(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<PendingQuery>,
    Query(under): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(at): Query<AtQuery>,
) -> Result<impl IntoResponse> {
    let at = at.parse()?.resolve(&state, &cluster).await?;
    let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
    context.is_there()?;
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let PendingQuery { namespace, limit, after } = query;
    let asked = Asked { policy: under.policy, namespace, limit, after };
    let headers = context.headers();
    Ok((headers, Json(pending::page(context.view, asked, sight).await?)))
}
