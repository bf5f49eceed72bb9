//! `/evictions`: the pods that NoExecute taints drive off their nodes, and their departure.

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    cluster::ClusterName,
    error::{ApiError, Result},
    extract::Query,
    openapi::{ReadErrors, WriteErrors},
    queries::dry_run,
    state::AppState,
};
use crate::service::evict::taints::{self, EvictionList, EvictionReport, Meant};

/// How many pods one answer is about unless told otherwise, and at most.
const LIMIT: usize = 500;
const LARGEST_LIMIT: usize = 5_000;

/// Which evictions are meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EvictionQuery {
    /// Only pods on this node
    #[param(required = false, value_type = String, nullable = false)]
    node: Option<String>,
    /// Only pods of this namespace
    #[param(required = false, value_type = String, nullable = false)]
    namespace: Option<String>,
    /// Only those that are due by this instant, RFC 3339; where it is absent a list has all, and what is carried out is
    /// what is due now
    #[param(required = false, value_type = String, nullable = false)]
    before: Option<String>,
    /// At most so many, the soonest first; 500 where absent, never more than 5000
    #[param(required = false, value_type = u64, nullable = false)]
    limit: Option<usize>,
}

/// How evictions are to be carried out.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct CarryOutQuery {
    /// `All`: do everything but store it
    #[param(required = false, value_type = String, nullable = false)]
    dry_run: Option<String>,
}

impl EvictionQuery {
    /// What is asked for.
    fn meant(self) -> Result<Meant> {
        let instant = |text: String| -> Result<Timestamp> {
            text.parse().map_err(|_| ApiError::BadRequest(format!("before: {text:?} is no RFC 3339 instant")))
        };
        let before = self.before.map(instant).transpose()?;
        let limit = self.limit.unwrap_or(LIMIT).min(LARGEST_LIMIT);
        Ok(Meant { node: self.node, namespace: self.namespace, before, limit })
    }
}

/// List the pods that taints drive off their nodes
///
/// A pod that does not tolerate a NoExecute taint of its node is to leave at once; one whose toleration has
/// `tolerationSeconds`, that long after the taint's `timeAdded` (or after the pod's own start, where that is later). Nothing
/// is changed: POST carries out what is due.
#[utoipa::path(get, path = "/evictions", operation_id = "listEvictions", tag = "decisions", params(EvictionQuery),
    responses((status = 200, description = "Who is to leave which node, when and why.", body = EvictionList), ReadErrors))]
pub async fn list(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<EvictionQuery>,
) -> Result<Json<EvictionList>> {
    taints::list(&state, &cluster, query.meant()?).await.map(Json)
}

/// Delete the pods that taints drive off their nodes by now
///
/// Carries out what the list tells to be due, asking no disruption budget. Node and pod are read anew first; a pod whose
/// taints or tolerations have changed stays. `before` may narrow it to what was due earlier, never widen it to what is not
/// due yet.
#[utoipa::path(post, path = "/evictions", operation_id = "carryOutEvictions", tag = "decisions",
    params(EvictionQuery, CarryOutQuery),
    responses((status = 200, description = "What became of each pod.", body = EvictionReport), WriteErrors))]
pub async fn carry_out(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<EvictionQuery>,
    Query(how): Query<CarryOutQuery>,
) -> Result<Json<EvictionReport>> {
    let meant = query.meant()?;
    let dry_run = dry_run(how.dry_run.as_deref().unwrap_or_default())?;
    taints::carry_out(&state, &cluster, meant, dry_run).await.map(Json)
}
