//! `/policy` and `/policies`: the policies of decisions.
//!
//! Reads use the live view, as decisions do. A write is one commit, after which the view has it.

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

use self::{conditions::ConditionHeaders, target::Target};
use super::{
    cluster::ClusterName,
    context::FreshnessQuery,
    extract::{JsonBytes, Query, Text, parse_json},
    openapi::{ConditionErrors, ReadErrors, UnknownErrors, WriteErrors},
    queries::{WriteQuery, dry_run},
    state::AppState,
};
use crate::{
    service::{
        context,
        error::Result,
        policies::{self, Conditions, New},
    },
    wire::{
        policy::{PluginCatalog, PolicyList, PolicyRevisionList, PolicyState, RollbackRequest, schema::PolicyDocument},
        status::Status,
    },
};

pub mod conditions;
pub mod diff;
pub mod named;
pub mod target;

/// Revisions of a page of the history: the default, and the maximum.
const PAGE: u64 = 50;
const LARGEST_PAGE: u64 = 500;

/// The routes of policies. A path under `/policies/{name}` has the handlers of its like under `/policy`.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get, replace, create, delete))
        .routes(routes!(revisions))
        .routes(routes!(rollback))
        .routes(routes!(list))
        .routes(also(routes!(get, replace, delete), routes!(named::get, named::replace, named::delete)))
        .routes(also(routes!(revisions), routes!(named::revisions)))
        .routes(also(routes!(rollback), routes!(named::rollback)))
        .routes(routes!(plugins))
}

/// The handlers of one path under another one, which is documented by itself.
fn also(
    (_, _, handlers): UtoipaMethodRouter<AppState>,
    (schemas, paths, _): UtoipaMethodRouter<AppState>,
) -> UtoipaMethodRouter<AppState> {
    (schemas, paths, handlers)
}

/// How a policy is to be shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ShowQuery {
    /// `KubeSchedulerConfiguration`: converted to that kind, for kube-scheduler 1.25 and later, as YAML
    #[serde(rename = "as")]
    #[param(required = false, value_type = String, nullable = false)]
    form: Option<String>,
}

/// How a policy is to be deleted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// `All`: do everything but delete it
    #[param(required = false, value_type = String, nullable = false)]
    dry_run: Option<String>,
    /// `true`: delete its history too, also of a policy that is no longer in force; revision numbers then begin anew
    #[param(required = false, value_type = bool, nullable = false)]
    purge: Option<bool>,
}

/// The requested part of a history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only revisions below this one
    #[param(required = false, value_type = u64, nullable = false)]
    before: Option<u64>,
    /// At most this many; default 50, at most 500
    #[param(required = false, value_type = u64, nullable = false)]
    limit: Option<u64>,
}

/// The policy in force
///
/// The reply has the policy as it was sent, and the resulting predicates and priorities. Without a stored policy it has revision 0 and the defaults
/// of kube-scheduler 1.22. The `ETag` is for `If-Match`. With `as=KubeSchedulerConfiguration` the reply is the file that `kube-scheduler --config`
/// takes today, with a comment for each setting without a counterpart.
#[utoipa::path(get, path = "/policy", operation_id = "getPolicy", tag = "policy", params(ShowQuery, FreshnessQuery),
    responses((status = 200, description = "The policy, or the configuration that comes closest.",
        body = PolicyState,
        headers(("ETag" = String, description = "The revision, in quotes."))), ReadErrors))]
pub async fn get(
    target: Target,
    Query(query): Query<ShowQuery>,
    Query(fresh): Query<FreshnessQuery>,
) -> Result<Response> {
    target.show(query.form.as_deref(), fresh.fresh()).await
}

/// Put a policy in force
///
/// The body is a file of kube-scheduler's `--policy-config-file` from Kubernetes 1.6 to 1.22, in JSON or YAML; or a KubeSchedulerConfiguration v1,
/// or one profile of it. It is validated as a whole (a 422 lists every fault), stored under a new revision, and applies from the next request on. A
/// text that equals the policy in force changes nothing.
#[utoipa::path(put, path = "/policy", operation_id = "replacePolicy", tag = "policy",
    params(WriteQuery, ConditionHeaders),
    request_body(content = PolicyDocument, description = "In JSON, or as `application/yaml`.",
        example = json!({"kind": "Policy", "apiVersion": "v1",
            "predicates": [{"name": "GeneralPredicates"}, {"name": "PodToleratesNodeTaints"}],
            "priorities": [{"name": "MostRequestedPriority", "weight": 2}]})),
    responses((status = 200, description = "The policy now in force, and what its author may not have meant.",
        body = PolicyState, headers(("ETag" = String, description = "The revision, in quotes."))),
        WriteErrors, ConditionErrors))]
pub async fn replace(
    target: Target,
    conditions: Conditions,
    Query(query): Query<WriteQuery>,
    Text(text): Text,
) -> Result<Response> {
    target.put(&New::Text(text, query.reading()?), &conditions, query.dry_run()?).await
}

/// Brings a policy into force, like PUT
#[utoipa::path(post, path = "/policy", operation_id = "createPolicy", tag = "policy",
    params(WriteQuery, ConditionHeaders),
    request_body(content = PolicyDocument, description = "In JSON, or as `application/yaml`.",
        example = json!({"kind": "Policy", "apiVersion": "v1",
            "priorities": [{"name": "LeastRequestedPriority", "weight": 1}]})),
    responses((status = 200, description = "The policy now in force, and what its author may not have meant.",
        body = PolicyState, headers(("ETag" = String, description = "The revision, in quotes."))),
        WriteErrors, ConditionErrors))]
pub async fn create(
    target: Target,
    conditions: Conditions,
    Query(query): Query<WriteQuery>,
    Text(text): Text,
) -> Result<Response> {
    target.put(&New::Text(text, query.reading()?), &conditions, query.dry_run()?).await
}

/// Returns to the default policy
///
/// kube-scheduler 1.22's default predicates and priorities decide from the next request on. The history stays within its
/// bounds, and a rollback brings the last policy back; `purge` deletes it.
#[utoipa::path(delete, path = "/policy", operation_id = "deletePolicy", tag = "policy",
    params(DeleteQuery, ConditionHeaders),
    responses((status = 200, description = "The default holds.", body = Status), WriteErrors, ConditionErrors))]
pub async fn delete(target: Target, conditions: Conditions, Query(query): Query<DeleteQuery>) -> Result<Json<Status>> {
    let dry_run = dry_run(query.dry_run.as_deref().unwrap_or_default())?;
    target.records().delete(&conditions, query.purge == Some(true), dry_run).await?;
    Ok(Json(Status::success(200, None)))
}

/// The policy's revisions
#[utoipa::path(get, path = "/policy/revisions", operation_id = "listPolicyRevisions", tag = "policy",
    params(HistoryQuery),
    responses((status = 200, description = "The text in force and those before it that are kept, the newest first.",
        body = PolicyRevisionList), ReadErrors))]
pub async fn revisions(target: Target, Query(query): Query<HistoryQuery>) -> Result<Json<PolicyRevisionList>> {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    target.records().history(query.before, limit).await.map(Json)
}

/// Put an earlier revision in force again
///
/// This makes a new revision with the old text. An empty body stands for the revision before the one in force.
#[utoipa::path(post, path = "/policy/rollback", operation_id = "rollbackPolicy", tag = "policy",
    params(WriteQuery, ConditionHeaders), request_body(content = RollbackRequest, example = json!({"revision": 1})),
    responses((status = 200, description = "The policy now in force.", body = PolicyState,
        headers(("ETag" = String, description = "The revision, in quotes."))),
        WriteErrors, ConditionErrors, UnknownErrors))]
pub async fn rollback(
    target: Target,
    conditions: Conditions,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let request: RollbackRequest =
        if body.trim_ascii().is_empty() { RollbackRequest::default() } else { parse_json(&body)? };
    target.put(&New::Again(request.revision), &conditions, query.dry_run()?).await
}

/// The policies of the cluster
#[utoipa::path(get, path = "/policies", operation_id = "listPolicies", tag = "policy",
    params(FreshnessQuery), responses((status = 200, description = "Their names and revisions.", body = PolicyList), ReadErrors))]
pub async fn list(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(fresh): Query<FreshnessQuery>,
) -> Result<Json<PolicyList>> {
    let view = context::take(&state, &cluster, fresh.fresh()).await?.view;
    Ok(Json(PolicyList { items: policies::list(&view) }))
}

/// Every predicate and priority that a policy can name
///
/// With its other names, its defaults, the plugins that carry it and its documentation.
#[utoipa::path(get, path = "/plugins", operation_id = "listPlugins", tag = "policy",
    responses((status = 200, description = "The predicates in order of evaluation, and the priorities.",
        body = PluginCatalog)))]
pub async fn plugins() -> Json<PluginCatalog> {
    Json(PluginCatalog::complete())
}
