//! `POST /simulate`: steps on a copy of the cluster.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use super::{
    cluster::ClusterName,
    context::{AtQuery, FreshnessQuery, PolicyQuery, written},
    extract::{JsonBytes, Query},
    openapi::{DecisionErrors, PastErrors},
    state::AppState,
    warning::{FieldValidationQuery, warn},
};
use crate::{
    service::{
        access::{Caller, sight::Sight},
        compute::compute_long,
        error::{Error, Result},
        fields::examined,
        past,
        simulate::simulate as simulated,
    },
    wire::{
        decode,
        simulation::{SimulateReport, SimulateRequest},
        validation::fields::Examined,
    },
};

/// Try steps on a copy of the cluster
///
/// The steps are carried out one after the other on a copy of the stored cluster, or of one in the request; nothing is stored. After each step the pods
/// that wait are placed as `/schedule` places them, and the reply tells where they went, what moved, what is stuck and why, and how full the nodes
/// are. The pods of a node that goes are placed again if a controller owns them; those of DaemonSets go with it, and others are `lost`. A `drain` evicts
/// only what disruption budgets allow, and each evicted pod is placed before the next is evicted.
///
/// `howMany`, `nodesNeeded` and `whatFits` ask about the cluster after the steps: how many copies of a pod fit; the smallest number of further nodes with
/// which some pods fit, proved by what is stuck with one less; and which of some pods fit, each for itself. They evict nothing.
///
/// With `revision` (or `at`) it begins with the cluster as it was then.
///
/// A simulation has at most 100 steps, 20,000 nodes and 200,000 new pods, and ends when its client leaves.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(post, path = "/simulate", operation_id = "simulate", tag = "decisions", params(PolicyQuery, FreshnessQuery, AtQuery, FieldValidationQuery),
    request_body(content = SimulateRequest, example = json!({
        "on": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]},
        "steps": [{"addPods": {"template": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}, "count": 3}}],
        "howMany": {"pod": {"metadata": {"name": "more"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "500m"}}}]}}}
    })),
    responses((status = 200, description = "The cluster after each step, and the answers.", body = SimulateReport), DecisionErrors, PastErrors))]
#[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn simulate(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(at): Query<AtQuery>,
    Query(fields): Query<FieldValidationQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let mode = fields.parse("CreateOptions")?;
    let at = at.with_body(&body).await?.resolve(&state, &cluster).await?;
    let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
    let (headers, is_there, view) = (context.headers(), context.is_there(), context.view);
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let work = move || -> Result<(SimulateReport, Vec<String>)> {
        let Examined { json, odd, .. } = examined("SimulateRequest", "the request cannot be read", &body, mode)?;
        let request: SimulateRequest =
            decode::from_slice(&json).map_err(|error| Error::BadRequest(error.to_string()))?;
        Ok((simulated(&request, query.policy.as_deref(), &view, is_there, sight)?, odd))
    };
    let (report, odd) = compute_long(false, work).await??;
    Ok(warn((headers, written(report, true).await?).into_response(), &odd))
}
