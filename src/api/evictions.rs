//! `/evictions`: the pods that NoExecute taints evict from their nodes.

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    cluster::ClusterName,
    extract::Query,
    openapi::{ReadErrors, WriteErrors},
    queries::dry_run,
    state::AppState,
};
use crate::service::{
    access::{Caller, sight::Sight},
    error::{Error, Result},
    evict::{
        moves,
        taints::{self, EvictionList, EvictionReport, Meant},
    },
};

/// Number of pods in a reply: the default, and the maximum.
const LIMIT: usize = 500;
const LARGEST_LIMIT: usize = 5_000;

/// Which evictions are meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EvictionQuery {
    /// `clusters`: the moves of placed pods out of clusters that are not ready, over all clusters; by default the evictions from the nodes of this one
    #[param(required = false, value_type = String, nullable = false)]
    scope: Option<String>,
    /// Only pods on this node
    #[param(required = false, value_type = String, nullable = false)]
    node: Option<String>,
    /// Only pods of this namespace
    #[param(required = false, value_type = String, nullable = false)]
    namespace: Option<String>,
    /// Only evictions due by this instant, RFC 3339; by default a list has all, and POST carries out those that are due now
    #[param(required = false, value_type = String, nullable = false)]
    before: Option<String>,
    /// At most this many, the soonest first; default 500, at most 5000
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
    /// `true` if it is about clusters, `false` if about nodes.
    fn is_of_clusters(&self) -> Result<bool> {
        match self.scope.as_deref() {
            None | Some("" | "nodes") => Ok(false),
            Some("clusters") => Ok(true),
            Some(other) => Err(Error::BadRequest(format!("scope: {other:?} is none: expected nodes or clusters"))),
        }
    }

    /// The parsed query.
    fn meant(self) -> Result<Meant> {
        let instant = |text: String| -> Result<Timestamp> {
            text.parse().map_err(|_| Error::BadRequest(format!("before: {text:?} is no RFC 3339 instant")))
        };
        let before = self.before.map(instant).transpose()?;
        let limit = self.limit.unwrap_or(LIMIT).min(LARGEST_LIMIT);
        Ok(Meant { node: self.node, namespace: self.namespace, before, limit })
    }
}

/// List the pods that taints evict
///
/// A pod that does not tolerate a NoExecute taint of its node must leave at once; a pod whose toleration has `tolerationSeconds` must leave that
/// long after the taint's `timeAdded` (or after the pod's own start, if that is later). Nothing is changed: POST carries out the evictions that are
/// due.
///
/// With `scope=clusters` these are the pods with the label `podberth.io/placement` that are to leave clusters that are not ready: five minutes after that
/// began at the earliest, as far as the cluster's disruption budgets allow, one after the other, each with the cluster that has room for it (`to`).
#[utoipa::path(get, path = "/evictions", operation_id = "listEvictions", tag = "decisions", params(EvictionQuery),
    responses((status = 200, description = "The pending evictions: pods, nodes, times and taints.", body = EvictionList), ReadErrors))]
pub async fn list(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<EvictionQuery>,
) -> Result<Json<EvictionList>> {
    if query.is_of_clusters()? {
        return moves::list(&state, &caller, query.meant()?).await.map(Json);
    }
    let sight = Sight::of(&caller, &state, &cluster).await?;
    taints::list(&state, &cluster, query.meant()?, sight).await.map(Json)
}

/// Evict the pods that are due
///
/// Deletes the pods whose evictions are due, without regard to disruption budgets. Node and pod are read again first; a pod stays if its taints or
/// tolerations have changed. `before` may restrict it to evictions due earlier; it never includes those that are not due yet.
///
/// With `scope=clusters` it makes the moves that are due, one out of each cluster: a copy of the pod is created and bound in a cluster with room, then the pod
/// is evicted there, within the disruption budgets; if it stays, the copy is deleted. Copies whose cluster is ready again are deleted too.
#[utoipa::path(post, path = "/evictions", operation_id = "carryOutEvictions", tag = "decisions",
    params(EvictionQuery, CarryOutQuery),
    responses((status = 200, description = "The outcome for each pod.", body = EvictionReport), WriteErrors))]
pub async fn carry_out(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<EvictionQuery>,
    Query(how): Query<CarryOutQuery>,
) -> Result<Json<EvictionReport>> {
    let is_of_clusters = query.is_of_clusters()?;
    let meant = query.meant()?;
    let dry_run = dry_run(how.dry_run.as_deref().unwrap_or_default())?;
    if is_of_clusters {
        return moves::carry_out(&state, &caller, meant, dry_run).await.map(Json);
    }
    let sight = Sight::of(&caller, &state, &cluster).await?;
    taints::carry_out(&state, &cluster, meant, dry_run, sight).await.map(Json)
}
