//! `/explain`: the whole decision for one pod.

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use super::{
    cluster::ClusterName,
    context::{AtQuery, FreshnessQuery, PolicyQuery},
    explained::{ViewQuery, reply},
    extract::{JsonBytes, Query},
    openapi::{DecisionErrors, PastErrors},
    state::AppState,
    warning::{FieldValidationQuery, warn},
};
use crate::{
    service::{
        access::{Caller, sight::Sight},
        compute::compute_long,
        error::Result,
        explain::{ExplainRequest, Step},
        fields::examined,
        past,
    },
    wire::{columns::ColumnExplanation, explanation::Explanation, table, validation::fields::Examined},
};

/// Explain which nodes can take a pod, and which is best
///
/// The reply has the whole decision: for every node the verdict and reasons of every predicate, the score and weight of every priority, total and
/// rank; and the selected node and kube-scheduler's own message. It is made over the stored cluster, or over one in the request. Of nodes with equal
/// totals the one with the lower hash of seed, pod and node name ranks first, so equal requests have equal replies. Under a decision tree
/// (`scoring.strategy: Lexicographic`) the reply names the level that decided, and for each node the level at which it fell behind the best. With
/// `preempt` it also shows which pods kube-scheduler would evict, and where; nothing is evicted.
///
/// A stored pod that runs already is treated as if it waited: `boundTo` shows its node, and if that is still the best. Of several profiles that of
/// the pod's `schedulerName` decides. Unknown keys of the request are refused; unknown keys of objects in it are listed in `Warning` headers.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: victims there are numbered.
///
/// With `suggestions` a pod that fits nowhere gets the cheapest changes of itself or of the cluster with which it would fit. Each was tried, without
/// extenders: it fits with all of the changes, and does not without any one of them.
///
/// With `callExtenders` the policy's extenders are called for the nodes that fit: a node that one of them rules out has its verdict, and their
/// scores count. If one that is not `ignorable` does not answer, no node is selected and `message` has the reason.
///
/// With `revision` (or `at`) the decision is made over the cluster as it was then, under the policy of then: docs/time-travel.md.
///
/// With `view=columns` the reply has the same by columns, for pages that show thousands of nodes: a text of verdicts for each predicate, a list of scores
/// for each priority, and nodes with equal verdicts together.
///
/// With `Accept: text/plain` the reply is a table for people.
#[utoipa::path(post, path = "/explain", operation_id = "explainPod", tag = "decisions", params(PolicyQuery, FreshnessQuery, AtQuery, FieldValidationQuery, ViewQuery),
    request_body(content = ExplainRequest, example = json!({
        "pod": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}},
        "cluster": {"nodes": [{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "pods": "110"}}}]}
    })),
    responses((status = 200, description = "The decision, with everything that led to it.",
        content((Explanation = "application/json"), (ColumnExplanation = "application/vnd.podberth.columns+json"))),
        DecisionErrors, PastErrors))]
#[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn explain(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<PolicyQuery>,
    Query(fresh): Query<FreshnessQuery>,
    Query(at): Query<AtQuery>,
    accepted: HeaderMap,
    Query(fields): Query<FieldValidationQuery>,
    Query(view): Query<ViewQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let (mode, is_columns) = (fields.parse("CreateOptions")?, view.is_columns()?);
    let at = at.with_body(&body).await?.resolve(&state, &cluster).await?;
    let context = past::take(&state, &cluster, fresh.fresh(), at).await?;
    let (headers, is_there, view, source) = (context.headers(), context.is_there(), context.view, context.source);
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let first = move || -> Result<(Step, Vec<String>)> {
        let Examined { json, odd, .. } = examined("ExplainRequest", "the request cannot be read", &body, mode)?;
        Ok((Step::first(&json, query.policy.as_deref(), &view, is_there, sight)?, odd))
    };
    let (step, odd) = compute_long(false, first).await??;
    let mut explanation = step.finish(&state, &cluster).await?;
    explanation.source = source.filter(|_| explanation.snapshot_revision > 0);
    if !is_columns && wants_text(&accepted) {
        let warnings = odd.iter().map(|odd| format!("\nwarning: {odd}")).collect::<Vec<_>>().concat();
        let text = compute_long(true, move || table::render(&explanation, table::WIDTH)).await? + &warnings;
        return Ok(warn((headers, text).into_response(), &odd));
    }
    Ok(warn((headers, reply(explanation, is_columns).await?).into_response(), &odd))
}

/// `true` if the client prefers plain text to JSON, as people with curl do.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').next().is_some_and(|first| first.trim().starts_with("text/plain"))
}
