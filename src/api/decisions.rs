//! `/decisions`: the record of decisions.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    cluster::ClusterName,
    context::written,
    explained::{ViewQuery, reply},
    extract::{JsonBytes, Path, Query, parse_json},
    openapi::{DecisionErrors, ReadErrors, free_form},
    state::AppState,
};
use crate::{
    service::{
        access::{Caller, sight::Sight},
        decisions::{self, Asked, masked},
        error::{Error, Result},
        replay::{bundle as bundled, completed, explain as explained, replay as replayed},
    },
    wire::{
        columns::ColumnExplanation,
        decision::{Decision, DecisionList, DecisionOutcome, ReplayReport, ReplayRequest},
        explanation::Explanation,
    },
};

/// The decisions that are meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DecisionsQuery {
    /// Only decisions about this pod: `namespace/name` or, in the namespace `default`, `name`
    #[param(required = false, value_type = String, nullable = false)]
    pod: Option<String>,
    /// Only decisions for this node
    #[param(required = false, value_type = String, nullable = false)]
    node: Option<String>,
    /// Only this outcome: `bound`, `assumed`, `unschedulable`, `stale`, `notBound`, `answered`
    #[param(required = false, value_type = String, nullable = false)]
    outcome: Option<String>,
    /// Only from this instant on, RFC 3339
    #[param(required = false, value_type = String, nullable = false)]
    since: Option<String>,
    /// At most this many decisions; default 100, at most 500
    #[param(required = false, value_type = u64, nullable = false)]
    limit: Option<usize>,
    /// The next page: `continue` of the page before
    #[param(required = false, value_type = String, nullable = false)]
    #[serde(rename = "continue")]
    #[param(rename = "continue")]
    after: Option<String>,
}

impl DecisionsQuery {
    fn asked(self) -> Result<Asked> {
        let since = self.since.as_deref().map(str::parse::<Timestamp>).transpose();
        let outcome = self.outcome.as_deref().map(|text| {
            serde_json::from_value::<DecisionOutcome>(text.into()).map_err(|_| {
                let names = "bound, assumed, unschedulable, stale, notBound or answered";
                Error::BadRequest(format!("outcome: {text:?} is none of {names}"))
            })
        });
        Ok(Asked {
            pod: self.pod,
            node: self.node,
            outcome: outcome.transpose()?,
            since: since.map_err(|_| {
                let text = self.since.as_deref().unwrap_or_default();
                let expected = "expected a time as 2026-01-02T15:04:05Z";
                Error::BadRequest(format!("since: Invalid value: {text:?}: {expected}"))
            })?,
            limit: self.limit,
            after: self.after,
            oldest_first: false,
        })
    }
}

/// List recorded decisions
///
/// The newest first. `--record-decisions` tells which decisions are recorded, `--decisions-max-age` and `--decisions-max-bytes` how many are kept. A page
/// may have fewer decisions than `limit`, or none, though there are more: there are as long as it has `continue`.
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(get, path = "/decisions", operation_id = "listDecisions", tag = "decisions", params(DecisionsQuery),
    responses((status = 200, description = "The decisions.", body = DecisionList), ReadErrors))]
pub async fn list(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<DecisionsQuery>,
) -> Result<Json<DecisionList>> {
    let asked = query.asked()?;
    let mut sight = Sight::of(&caller, &state, &cluster).await?;
    if let Some(pod) = &asked.pod {
        let (namespace, name) = pod.split_once('/').unwrap_or(("default", pod));
        sight.check(namespace, name)?;
    }
    let mut found = decisions::list(&state, &cluster, &asked).await?;
    found.items = found.items.into_iter().map(|decision| masked(decision, &mut sight)).collect();
    Ok(Json(found))
}

/// Read a recorded decision
///
/// Of pods in namespaces whose pods you may not list the reply has no names: they are numbered.
#[utoipa::path(get, path = "/decisions/{id}", operation_id = "readDecision", tag = "decisions",
    params(("id" = String, Path, description = "The decision's id", example = "0198e3f0-2b1c-7a41-8000-1b2c3d400000")),
    responses((status = 200, description = "The decision.", body = Decision), ReadErrors))]
pub async fn read(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Decision>> {
    let mut sight = Sight::of(&caller, &state, &cluster).await?;
    let decision = decisions::get(&state, &cluster, &id).await?;
    let decision = Box::pin(completed(&state, &cluster, decision)).await?;
    Ok(Json(masked(decision, &mut sight)))
}

/// Explain a recorded decision
///
/// Every node by every predicate and priority, on the state on which the decision was made: its revision, and the pods that were placed before it in its
/// batch. A 410 tells why that state is not there any more.
#[utoipa::path(get, path = "/decisions/{id}/explain", operation_id = "explainDecision", tag = "decisions",
    params(("id" = String, Path, description = "The decision's id", example = "0198e3f0-2b1c-7a41-8000-1b2c3d400000"), ViewQuery),
    responses((status = 200, description = "The whole decision.",
        content((Explanation = "application/json"), (ColumnExplanation = "application/vnd.podberth.columns+json"))), DecisionErrors))]
pub async fn explain(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Path(id): Path<String>,
    Query(view): Query<ViewQuery>,
) -> Result<Response> {
    let is_columns = view.is_columns()?;
    let sight = Sight::of(&caller, &state, &cluster).await?;
    let explanation = Box::pin(explained(&state, &cluster, &id, sight)).await?;
    reply(explanation, is_columns).await
}

/// The form of a bundle.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct BundleQuery {
    /// `true`: names and the values of labels are replaced, each by the same everywhere
    #[param(required = false, value_type = bool, nullable = false)]
    hash_names: Option<bool>,
}

/// A decision with all that it was made on.
#[derive(Debug)]
pub struct DecisionBundle;

impl PartialSchema for DecisionBundle {
    fn schema() -> RefOr<Schema> {
        free_form(
            "`pod`, `cluster`, `policy` and `seed` as `/explain` takes them, and `answer`: the node chosen (`selected`) and the `message`.",
        )
    }
}

impl ToSchema for DecisionBundle {}

/// Read a decision with all that it was made on
///
/// One document that reproduces the decision elsewhere: `/explain`, `podberth explain -f` and `podberth test` take it, and give its `answer`. It has the
/// nodes, the pods on them, and what else the pod can touch, with the fields that decisions read. You need the right to list all of these kinds, and to
/// get the policy.
#[utoipa::path(get, path = "/decisions/{id}/bundle", operation_id = "bundleDecision", tag = "decisions",
    params(("id" = String, Path, description = "The decision's id", example = "0198e3f0-2b1c-7a41-8000-1b2c3d400000"), BundleQuery),
    responses((status = 200, description = "The bundle.", body = DecisionBundle), DecisionErrors))]
pub async fn bundle(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<BundleQuery>,
) -> Result<impl IntoResponse> {
    let bundle = Box::pin(bundled(&state, &cluster, &id, query.hash_names == Some(true), &caller)).await?;
    written(bundle, true).await
}

/// Make recorded decisions again
///
/// Each at its revision, under its policy and seed, with the pods that were placed before it in its batch, the newest batch first. A decision whose
/// revision is not kept any more is skipped: `--history-retention` tells how long revisions are kept. A request ends after about ten seconds: as long
/// as replies have `continue`, there are more decisions.
#[utoipa::path(post, path = "/replay", operation_id = "replayDecisions", tag = "decisions",
    request_body(content = ReplayRequest, example = json!({"all": true})),
    responses((status = 200, description = "How many are identical, and the others.", body = ReplayReport), DecisionErrors))]
pub async fn replay(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    JsonBytes(body): JsonBytes,
) -> Result<Json<ReplayReport>> {
    let request: ReplayRequest = parse_json(&body)?;
    let sight = Sight::of(&caller, &state, &cluster).await?;
    Box::pin(replayed(&state, &cluster, &request, sight)).await.map(Json)
}
