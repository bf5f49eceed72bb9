//! The documentation of the paths under `/policies/{name}`. Their handlers are those of `/policy`, which is
//! `/policies/default`: nothing here is called.

use super::{DeleteQuery, HistoryQuery, ShowQuery, conditions::ConditionHeaders};
use crate::{
    api::{
        context::FreshnessQuery,
        openapi::{ConditionErrors, ReadErrors, WriteErrors},
        queries::WriteQuery,
    },
    wire::{
        policy::{PolicyRevisionList, PolicyState, RollbackRequest, schema::PolicyDocument},
        status::Status,
    },
};

/// A named policy
///
/// Like `/policy`, which is `/policies/default`. Requests choose it by `?policy=name`.
#[utoipa::path(get, path = "/policies/{name}", operation_id = "getNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "default"), ShowQuery, FreshnessQuery),
    responses((status = 200, description = "The policy, or the configuration that comes closest.",
        body = PolicyState,
        headers(("ETag" = String, description = "The revision, in quotes."))), ReadErrors))]
pub async fn get() {}

/// Put a named policy in force
///
/// The body is that of `PUT /policy`. Requests choose the policy by `?policy=name`; it does not affect others.
#[utoipa::path(put, path = "/policies/{name}", operation_id = "replaceNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "A DNS subdomain", example = "bin-packing"), WriteQuery, ConditionHeaders),
    request_body(content = PolicyDocument, description = "In JSON, or as `application/yaml`.",
        example = json!({"kind": "Policy", "apiVersion": "v1",
            "priorities": [{"name": "MostRequestedPriority", "weight": 1}]})),
    responses((status = 200, description = "The policy now in force, and what its author may not have meant.",
        body = PolicyState, headers(("ETag" = String, description = "The revision, in quotes."))),
        WriteErrors, ConditionErrors))]
pub async fn replace() {}

/// Takes a named policy out of force
///
/// Its history stays within its bounds; `purge` deletes it.
#[utoipa::path(delete, path = "/policies/{name}", operation_id = "deleteNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "bin-packing"), DeleteQuery, ConditionHeaders),
    responses((status = 200, description = "It is gone.", body = Status),
        WriteErrors, ConditionErrors))]
pub async fn delete() {}

/// A named policy's revisions
#[utoipa::path(get, path = "/policies/{name}/revisions", operation_id = "listNamedPolicyRevisions", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "default"), HistoryQuery),
    responses((status = 200, description = "The text in force and those before it that are kept, the newest first.",
        body = PolicyRevisionList), ReadErrors))]
pub async fn revisions() {}

/// Brings an earlier revision of a named policy into force again
#[utoipa::path(post, path = "/policies/{name}/rollback", operation_id = "rollbackNamedPolicy", tag = "policy",
    params(("name" = String, Path, description = "The policy's name", example = "bin-packing"), WriteQuery, ConditionHeaders),
    request_body(content = RollbackRequest, example = json!({"revision": 1})),
    responses((status = 200, description = "The policy now in force.", body = PolicyState,
        headers(("ETag" = String, description = "The revision, in quotes."))), WriteErrors, ConditionErrors))]
pub async fn rollback() {}
