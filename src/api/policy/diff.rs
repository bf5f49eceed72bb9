//! `POST /policy/diff`: what would change if another policy were in force.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        cluster::ClusterName,
        context::{FreshnessQuery, PolicyQuery, written},
        extract::{JsonBytes, Query},
        openapi::DecisionErrors,
        state::AppState,
        warning::{FieldValidationQuery, warn},
    },
    service::{
        access::{Caller, sight::Sight},
        compute::compute_long,
        context,
        error::{Error, Result},
        fields::examined,
        policy_diff::{compare, decisions},
    },
    wire::{
        decode,
        policy_diff::{PolicyDiffReport, PolicyDiffRequest},
        validation::fields::Examined,
    },
};

/// Compare a policy with the one in force
///
/// The pods are placed one after another, by descending priority, on two copies of the cluster: on one by the policy in force, on the other by the
/// candidate. The reply tells which pods go elsewhere and which rule is the cause, and compares how well the nodes are packed in the end. Nothing is
/// stored or evicted: a pod for which room would have to be made fits nowhere. Extenders are not called.
///
/// Over recorded `decisions` each pod is decided alone, on the cluster that its decision was made on, under the policy that decided then and under the
/// candidate. That takes the right to list decisions. Decisions that cannot be made again are `skipped`.
///
/// Pods that run are taken off their nodes before the first one is placed. A free amount is `stranded` if it suffices for the median pod but
/// another resource of its node does not.
///
/// A comparison has at most 100,000 pods or 50,000 decisions, and ends when its client leaves. Faults of the candidate are refused as in `PUT /policy`.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(post, path = "/policy/diff", operation_id = "comparePolicy", tag = "policy", params(PolicyQuery, FreshnessQuery, FieldValidationQuery),
    request_body(content = PolicyDiffRequest, example = json!({
        "candidate": {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "PodFitsResources"}],
            "priorities": [{"name": "MostRequestedPriority", "weight": 1}]},
        "over": {"pods": [{"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}]},
        "cluster": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]}
    })),
    responses((status = 200, description = "The differences.", body = PolicyDiffReport), DecisionErrors))]
pub async fn compare_policy(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(fields): Query<FieldValidationQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let mode = fields.parse("CreateOptions")?;
    let context = context::take(&state, &cluster, fresh.fresh()).await?;
    let (headers, is_there, view) = (context.headers(), context.is_there(), context.view);
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let read = move || -> Result<(PolicyDiffRequest, Vec<String>)> {
        let Examined { json, odd, .. } = examined("PolicyDiffRequest", "the request cannot be read", &body, mode)?;
        let request = decode::from_slice(&json).map_err(|error| Error::BadRequest(error.to_string()))?;
        Ok((request, odd))
    };
    let (request, odd) = compute_long(false, read).await??;
    let report = if let Some(over) = request.over_decisions().map_err(Error::BadRequest)? {
        is_there?;
        Box::pin(decisions::compare(&state, &cluster, &caller, &request, (over, sight))).await?
    } else {
        let policy = query.policy;
        compute_long(true, move || compare(&request, policy.as_deref(), &view, is_there, sight)).await??
    };
    Ok(warn((headers, written(report, true).await?).into_response(), &odd))
}
