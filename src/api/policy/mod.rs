//! `/policy` and `/policies`: what decisions are made under.
//!
//! Reading is from the live view, which is what decides; writing is one commit, after which the view has it.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use utoipa::{
    IntoParams, IntoResponses,
    openapi::{RefOr, Response as ResponseObject},
};

use self::{
    conditions::{ConditionHeaders, Conditions},
    records::Text,
    target::Target,
};
use super::{
    cluster::ClusterName,
    context::{self, FreshnessQuery},
    error::{ApiError, Reason, Result},
    extract::{self, JsonBytes, Query},
    openapi::{self, ReadErrors, WriteErrors},
    resources,
    state::AppState,
};
use crate::{
    cluster::{DEFAULT_CLUSTER, View},
    extenders::label,
    telemetry::{
        self,
        labels::{EXTENDERS, PROFILES},
    },
    wire::{
        policy::{
            PluginCatalog, PolicyList, PolicyRevisionList, PolicyState, PolicySummary, Reading, RollbackRequest,
            revision, schema::PolicyDocument,
        },
        status::Status,
    },
};

pub mod conditions;
pub mod records;
pub mod target;

/// How many named policies `/metrics` tells the revisions of.
const MOST_TOLD: usize = 100;

/// How a policy is to be shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ShowQuery {
    /// `KubeSchedulerConfiguration`: converted to that kind, for kube-scheduler 1.25 and later, as YAML
    #[serde(rename = "as")]
    #[param(required = false, value_type = String, nullable = false)]
    form: Option<String>,
}

/// How a policy is to be changed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct WriteQuery {
    /// `All`: do everything but store it
    #[param(required = false, value_type = String, nullable = false)]
    dry_run: Option<String>,
    /// `warn`: plugins that do not exist here are passed over with a warning; refused where absent
    #[param(required = false, value_type = String, nullable = false)]
    unknown_plugins: Option<String>,
}

impl WriteQuery {
    fn reading(&self) -> Result<Reading> {
        match self.unknown_plugins.as_deref() {
            None | Some("" | "refuse") => Ok(Reading::default()),
            Some("warn") => Ok(Reading { pass_unknown_plugins: true, ..Reading::default() }),
            Some(other) => Err(ApiError::BadRequest(format!(
                "unknownPlugins: Unsupported value: {other:?}: supported values: \"refuse\", \"warn\""
            ))),
        }
    }

    pub(super) fn dry_run(&self) -> Result<bool> {
        resources::dry_run(self.dry_run.as_deref().unwrap_or_default())
    }
}

/// How a policy is to be deleted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// `All`: do everything but delete it
    #[param(required = false, value_type = String, nullable = false)]
    dry_run: Option<String>,
    /// `true`: delete its history too, also of a policy that is no longer in force; its numbers begin anew then
    #[param(required = false, value_type = bool, nullable = false)]
    purge: Option<bool>,
}

/// Which part of a history is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only revisions below this one
    #[param(required = false, value_type = u64, nullable = false)]
    before: Option<u64>,
    /// At most so many; 50 where absent, never more than 500
    #[param(required = false, value_type = u64, nullable = false)]
    limit: Option<u64>,
}

/// What a change of a policy may refuse besides the usual: a condition that does not hold.
#[derive(Debug)]
pub struct ConditionErrors;

impl IntoResponses for ConditionErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        openapi::responses([Reason::PRECONDITION_FAILED])
    }
}

/// What a rollback may refuse besides: there is no such revision.
#[derive(Debug)]
pub struct UnknownErrors;

impl IntoResponses for UnknownErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        openapi::responses([Reason::NOT_FOUND])
    }
}

/// The policy in force
///
/// What was sent and what it comes to. Without a stored policy: revision 0, kube-scheduler 1.22's default predicates and
/// priorities. The `ETag` is for `If-Match`. With `as=KubeSchedulerConfiguration` the reply is the file that
/// `kube-scheduler --config` takes today, with a comment for each thing that has no counterpart.
#[utoipa::path(get, path = "/policy", operation_id = "getPolicy", tag = "policy", params(ShowQuery, FreshnessQuery),
    responses((status = 200, description = "The policy, or the configuration that comes closest.",
        body = PolicyState,
        headers(("ETag" = String, description = "The revision, in quotes."))), ReadErrors))]
pub async fn get(
    target: Target,
    Query(query): Query<ShowQuery>,
    Query(fresh): Query<FreshnessQuery>,
) -> Result<Response> {
    target.show(&query, &fresh).await
}

/// Brings a policy into force
///
/// Takes what kube-scheduler's `--policy-config-file` took from Kubernetes 1.6 to 1.22, in JSON or YAML; or a
/// KubeSchedulerConfiguration v1, or one profile of it. It is validated whole (a 422 tells every fault at once), stored
/// under a new revision, and decides from the next request on. What says the same to the letter as the policy in force
/// changes nothing.
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
    extract::Text(text): extract::Text,
) -> Result<Response> {
    target.put(Text::New(text, query.reading()?), &conditions, &query).await
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
    extract::Text(text): extract::Text,
) -> Result<Response> {
    target.put(Text::New(text, query.reading()?), &conditions, &query).await
}

/// Returns to the default policy
///
/// kube-scheduler 1.22's default predicates and priorities decide from the next request on. The history stays within its
/// bounds, and a rollback brings the last policy back; `purge` deletes it.
#[utoipa::path(delete, path = "/policy", operation_id = "deletePolicy", tag = "policy",
    params(DeleteQuery, ConditionHeaders),
    responses((status = 200, description = "The default holds.", body = Status), WriteErrors, ConditionErrors))]
pub async fn delete(target: Target, conditions: Conditions, Query(query): Query<DeleteQuery>) -> Result<Json<Status>> {
    target.delete(&conditions, &query).await
}

/// The policy's revisions
#[utoipa::path(get, path = "/policy/revisions", operation_id = "listPolicyRevisions", tag = "policy",
    params(HistoryQuery),
    responses((status = 200, description = "The text in force and those before it that are kept, the newest first.",
        body = PolicyRevisionList), ReadErrors))]
pub async fn revisions(target: Target, Query(query): Query<HistoryQuery>) -> Result<Json<PolicyRevisionList>> {
    target.history(&query).await
}

/// Brings an earlier revision into force again
///
/// As a new revision with the old text. An empty body asks for the revision before the one in force.
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
    target.roll_back(&body, &conditions, &query).await
}

/// The policies of the cluster
#[utoipa::path(get, path = "/policies", operation_id = "listPolicies", tag = "policy",
    params(FreshnessQuery), responses((status = 200, description = "Their names and revisions.", body = PolicyList), ReadErrors))]
pub async fn list(
    State(state): State<AppState>,
    cluster: ClusterName,
    Query(fresh): Query<FreshnessQuery>,
) -> Result<Json<PolicyList>> {
    let view = context::stand(&state, &cluster, &fresh).await?.view;
    Ok(Json(PolicyList { items: summaries(&view) }))
}

/// The policies of a cluster by name, the default one always among them.
fn summaries(view: &View) -> Vec<PolicySummary> {
    let stored = view.policies().map(|(name, policy)| PolicySummary {
        name: name.to_string(),
        revision: policy.revision.revision,
        created_at: Some(policy.revision.created_at.clone()),
    });
    let mut items: Vec<_> = stored.collect();
    if let Err(at) = items.binary_search_by(|item| (*item.name).cmp(revision::DEFAULT)) {
        items.insert(at, PolicySummary { name: revision::DEFAULT.into(), revision: 0, created_at: None });
    }
    items
}

/// Which revisions decide in the default cluster, as lines of `/metrics`; nothing until somebody has asked about it.
pub(super) fn metrics(state: &AppState) -> String {
    let Some(cluster) = state.clusters.followed(DEFAULT_CLUSTER) else { return String::new() };
    let items = summaries(&cluster.view());
    let (default, others): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.name == revision::DEFAULT);
    let told = default.into_iter().chain(others.into_iter().take(MOST_TOLD));
    telemetry::policy_revisions(told.map(|item| (&*item.name, item.revision)))
}

/// Lets go of what metrics tell apart of policies and extenders that no cluster in memory has any more.
pub(super) fn retain_labels(state: &AppState) {
    let (mut profiles, mut extenders) = (BTreeSet::new(), BTreeSet::new());
    for cluster in state.clusters.live() {
        for (name, policy) in cluster.view().policies() {
            profiles.insert(name.to_string());
            extenders.extend(policy.profile.extenders.iter().map(|extender| label(&extender.url_prefix)));
        }
    }
    PROFILES.retain(&profiles);
    EXTENDERS.retain(&extenders);
}

/// A named policy
///
/// Like `/policy`, which is `/policies/default`. Requests choose it by `?policy=name`.
#[utoipa::path(get, path = "/policies/{name}", operation_id = "getNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "default"), ShowQuery, FreshnessQuery),
    responses((status = 200, description = "The policy, or the configuration that comes closest.",
        body = PolicyState,
        headers(("ETag" = String, description = "The revision, in quotes."))), ReadErrors))]
pub async fn get_named(
    target: Target,
    Query(query): Query<ShowQuery>,
    Query(fresh): Query<FreshnessQuery>,
) -> Result<Response> {
    target.show(&query, &fresh).await
}

/// Brings a named policy into force
///
/// Takes what `PUT /policy` takes. Requests choose it by `?policy=name`; others are not touched by it.
#[utoipa::path(put, path = "/policies/{name}", operation_id = "replaceNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "A DNS subdomain", example = "bin-packing"), WriteQuery, ConditionHeaders),
    request_body(content = PolicyDocument, description = "In JSON, or as `application/yaml`.",
        example = json!({"kind": "Policy", "apiVersion": "v1",
            "priorities": [{"name": "MostRequestedPriority", "weight": 1}]})),
    responses((status = 200, description = "The policy now in force, and what its author may not have meant.",
        body = PolicyState, headers(("ETag" = String, description = "The revision, in quotes."))),
        WriteErrors, ConditionErrors))]
pub async fn replace_named(
    target: Target,
    conditions: Conditions,
    Query(query): Query<WriteQuery>,
    extract::Text(text): extract::Text,
) -> Result<Response> {
    target.put(Text::New(text, query.reading()?), &conditions, &query).await
}

/// Takes a named policy out of force
///
/// Its history stays within its bounds; `purge` deletes it.
#[utoipa::path(delete, path = "/policies/{name}", operation_id = "deleteNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "bin-packing"), DeleteQuery, ConditionHeaders),
    responses((status = 200, description = "It is gone.", body = Status),
        WriteErrors, ConditionErrors))]
pub async fn delete_named(
    target: Target,
    conditions: Conditions,
    Query(query): Query<DeleteQuery>,
) -> Result<Json<Status>> {
    target.delete(&conditions, &query).await
}

/// A named policy's revisions
#[utoipa::path(get, path = "/policies/{name}/revisions", operation_id = "listNamedPolicyRevisions", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "default"), HistoryQuery),
    responses((status = 200, description = "The text in force and those before it that are kept, the newest first.",
        body = PolicyRevisionList), ReadErrors))]
pub async fn revisions_named(target: Target, Query(query): Query<HistoryQuery>) -> Result<Json<PolicyRevisionList>> {
    target.history(&query).await
}

/// Brings an earlier revision of a named policy into force again
#[utoipa::path(post, path = "/policies/{name}/rollback", operation_id = "rollbackNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "bin-packing"), WriteQuery, ConditionHeaders),
    request_body(content = RollbackRequest, example = json!({"revision": 1})),
    responses((status = 200, description = "The policy now in force.", body = PolicyState,
        headers(("ETag" = String, description = "The revision, in quotes."))), WriteErrors, ConditionErrors))]
pub async fn rollback_named(
    target: Target,
    conditions: Conditions,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    target.roll_back(&body, &conditions, &query).await
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
