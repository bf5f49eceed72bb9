//! `POST /import`: a whole cluster, or a part of one, in one request and one commit.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    api::{
        cluster::ClusterName,
        extract::{Encoded, Format, Query},
        openapi::WriteErrors,
        queries::dry_run,
        state::AppState,
        warning::FieldValidationQuery,
    },
    service::{
        access::Caller,
        error::Result,
        import::{self, ImportReport, Options},
    },
};

/// The query of an import.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Delete every stored object, of any kind, that is not in the body: the cluster becomes its mirror
    #[param(required = false)]
    replace: bool,
    /// Store the objects that can be read and named, and report the others; otherwise one such fault refuses all
    #[param(required = false)]
    skip_invalid: bool,
    /// `All`: report the changes and make none
    #[param(required = false, value_type = String)]
    dry_run: String,
}

/// Objects of any kinds.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "documents what `kubectl get -o json` prints; the items are read one by one")]
#[schema(as = ObjectList, example = json!({"kind": "List", "apiVersion": "v1", "items": [
    {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"},
     "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}}
]}))]
pub struct ObjectList {
    /// `List`, or that of a list of one kind, such as `PodList`.
    kind: String,
    /// Of the list.
    #[schema(rename = "apiVersion")]
    api_version: String,
    /// The objects, each with its kind and version unless the list has them.
    items: Vec<BTreeMap<String, serde_json::Value>>,
}

/// Import objects
///
/// The body is a `List`, a list of one kind, an array, objects one after another (NDJSON), or YAML with any number of documents. One commit stores
/// all or none. Existing objects are replaced. Kinds that are not stored, such as secrets,
/// are ignored and counted.
///
/// Objects are facts: faults for which a client's write would be refused are listed in `warnings`, since a running cluster may have admitted them
/// under other rules. Only objects that cannot be read or named are refused.
#[utoipa::path(post, path = "/import", operation_id = "importObjects", tag = "state", params(ImportQuery, FieldValidationQuery),
    request_body(content = ObjectList, description = "The objects; `application/yaml` and `application/x-ndjson` are read too.",
        example = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-a"},
         "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}}
    ]})),
    responses((status = 200, description = "The changes made.", body = ImportReport), WriteErrors))]
pub async fn import(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    caller: Caller,
    Query(query): Query<ImportQuery>,
    Query(fields): Query<FieldValidationQuery>,
    Encoded { bytes, format }: Encoded,
) -> Result<Json<ImportReport>> {
    let options = Options {
        is_yaml: format == Format::Yaml,
        replace: query.replace,
        skip_invalid: query.skip_invalid,
        dry_run: dry_run(&query.dry_run)?,
        fields: fields.parse("CreateOptions")?,
        without_access: !caller.may_everything(&state, &cluster).await?,
    };
    import::import(&state, &cluster, bytes, options).await.map(Json)
}
