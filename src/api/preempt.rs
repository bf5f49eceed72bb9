//! `/preempt`: kube-scheduler's proposed victims, checked by Podberth's own predicates ([`crate::service::preempt`]).

use axum::{extract::State, response::Response};

use super::{
    cluster::ClusterName,
    context::{FreshnessQuery, PolicyQuery},
    extract::{JsonBytes, Query},
    openapi::DecisionErrors,
    state::AppState,
    verbs::measured,
};
use crate::{
    service::{context, error::Result, preempt},
    wire::extender::{ExtenderPreemptionArgs, ExtenderPreemptionResult},
};

/// Choose the pods to evict for a pod, node by node
///
/// kube-scheduler's extender verb `preempt`. The victims that kube-scheduler proposes on a node are kept. If the pod does not fit by the policy
/// without them, further pods of lower priority are added, as few as it needs. Nodes that cannot take the pod even then are left out. The reply
/// names victims by uid, for both forms of the request. Nothing durable is changed: kube-scheduler evicts. While the pod waits for victims that were
/// named earlier on its nominated node, the reply has only that node.
#[utoipa::path(post, path = "/preempt", operation_id = "preemptPods", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderPreemptionArgs, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"},
            "spec": {"priority": 1000, "containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}},
        "NodeNameToMetaVictims": {"node-a": {"Pods": [{"UID": "54c1a8b2-0001"}], "NumPDBViolations": 0}}
    })),
    responses((status = 200, description = "The victims on each node that remains.", body = ExtenderPreemptionResult),
        DecisionErrors))]
pub async fn preempt(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::take(&state, &cluster, fresh.fresh()).await?;
    context.may_decide()?;
    context.is_there()?;
    measured("preempt", context, body, move |body, context| preempt::preempt(body, query.policy.as_deref(), context))
        .await
}
