//! The extender verbs that judge nodes: `/filter` and `/prioritize`, as kube-scheduler calls them.
//!
//! A refusal is a 200 with the reason in `Error` or per node, since kube-scheduler discards the body of any other status. HTTP errors are those of an
//! unreadable body, and of a state that is too old to decide on: kube-scheduler tries such a pod again, and evicts nobody for it.

use axum::{extract::State, response::Response};

use super::{
    asked_by::Sampled,
    cluster::ClusterName,
    context::{FreshnessQuery, PolicyQuery},
    extract::{JsonBytes, Query},
    openapi::{DecisionErrors, ReadErrors},
    state::AppState,
    verbs::measured,
};
use crate::{
    service::{context, error::Result, filter, prioritize},
    wire::extender::{ExtenderArgs, ExtenderFilterResult, HostPriority},
};

/// Filter the nodes that a pod can run on
///
/// kube-scheduler's extender verb `filter`. The nodes that fit come back in the form of the request: names, or full nodes byte for byte. Every other
/// node is in `FailedNodes` or, if evicting pods cannot help, in `FailedAndUnresolvableNodes`, with the reasons of the first failing predicate.
/// Nothing durable is changed.
///
/// On the node that the pod is nominated to (`status.nominatedNodeName`), pods of lower priority count as gone if the pod would not fit otherwise:
/// kube-scheduler evicted them, and the stored state may lag.
#[utoipa::path(post, path = "/filter", operation_id = "filterNodes", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderArgs<'_>, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}},
        "NodeNames": ["example", "node-a"]
    })),
    responses((status = 200, description = "The nodes that fit, and why the others do not.", body = ExtenderFilterResult<'_>),
        ReadErrors))]
pub async fn filter(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Sampled(sample): Sampled,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::take(&state, &cluster, fresh.fresh()).await?;
    context.may_decide()?;
    let work = move |body: &_, context: &_| {
        let policy = query.policy.as_deref();
        let answer = filter::filter(body, policy, context);
        answer.noted(sample, context, policy, body);
        answer
    };
    measured("filter", context, body, work).await
}

/// How good each node is for a pod
///
/// kube-scheduler's extender verb `prioritize`. The candidates are taken to fit; their totals are spread over 0..10 (or
/// over the policy's `scoring.extenderMaxScore`): the best gets the highest score, the worst 0. Of more groups than there
/// are numbers, under `Lexicographic`, the best have a number each and the rest 0. Nothing durable is changed. With the
/// setting `assume-extender-binds` one node alone has the highest score, and is assumed for that time to have the pod.
#[utoipa::path(post, path = "/prioritize", operation_id = "prioritizeNodes", tag = "extender", params(PolicyQuery, FreshnessQuery),
    request_body(content = ExtenderArgs<'_>, example = json!({
        "Pod": {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [{"name": "main"}]}},
        "NodeNames": ["example", "node-a"]
    })),
    responses((status = 200, description = "A score for each candidate.", body = Vec<HostPriority>), DecisionErrors))]
pub async fn prioritize(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Sampled(sample): Sampled,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let context = context::take(&state, &cluster, fresh.fresh()).await?;
    context.may_decide()?;
    let work = move |body: &_, context: &_| {
        let policy = query.policy.as_deref();
        let answer = prioritize::prioritize(body, policy, context);
        answer.noted(sample, context, policy, body);
        answer
    };
    measured("prioritize", context, body, work).await
}
