//! The operations on a kind, as far as clients read them: which kind a path is of, and which queries it takes.

use serde_json::{Map, Value, json};

use super::{DELETE_OPTIONS, STATUS, name_of, schema_name};
use crate::{
    discovery::Taken,
    kinds::{StoredKind, Verb},
};

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
}

/// Queries of operations that write.
const WRITING: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const DELETING: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
const LISTING: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];

/// Body and reply of an operation: names of schemas.
struct Operation {
    action: &'static str,
    id: &'static str,
    query: Vec<&'static str>,
    body: Option<String>,
    reply: String,
}

/// The path of a resource that takes objects and stores none of them.
pub(super) fn path_of(taken: &Taken, version: Version) -> (String, Value) {
    let root = root(taken.group, taken.version);
    let namespace = if taken.namespaced { "/namespaces/{namespace}" } else { "" };
    let schema = name_of(taken.group, taken.version, taken.kind);
    let create =
        Operation { action: "post", id: "create", query: WRITING.to_vec(), body: Some(schema.clone()), reply: schema };
    let kind = json!({"group": taken.group, "kind": taken.kind, "version": taken.version});
    let mut operations = json!({"post": written(&create, &kind, taken.kind, version)});
    if taken.namespaced {
        operations["parameters"] = json!([parameter("namespace", "path", version)]);
    }
    (format!("{root}{namespace}/{}", taken.plural), operations)
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// The paths of a kind with their operations.
pub(super) fn paths(kind: &StoredKind, version: Version) -> Vec<(String, Value)> {
    let root = root(kind.group, kind.version);
    let collection = if kind.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        format!("{root}/{}", kind.plural)
    };
    let one = format!("{collection}/{{name}}");
    let (schema, list) = (schema_name(kind), format!("{}List", schema_name(kind)));
    let has = |verb| kind.verbs.contains(&verb);
    let (mut many, mut single) = (Map::new(), Map::new());
    let operation = |action, id, query: &[&'static str], body: Option<&str>, reply: &str| Operation {
        action,
        id,
        query: query.to_vec(),
        body: body.map(str::to_owned),
        reply: reply.to_owned(),
    };
    let add = |operations: &mut Map<String, Value>, method: &str, operation: &Operation| {
        operations.insert(method.into(), written(operation, &of_kind(kind), &kind.word(), version));
    };
    if has(Verb::List) {
        add(&mut many, "get", &operation("list", "list", LISTING, None, &list));
    }
    if has(Verb::Create) {
        add(&mut many, "post", &operation("post", "create", WRITING, Some(&schema), &schema));
    }
    if has(Verb::DeleteCollection) {
        let query = [DELETING, LISTING].concat();
        add(
            &mut many,
            "delete",
            &operation("deletecollection", "deleteCollection", &query, Some(DELETE_OPTIONS), STATUS),
        );
    }
    if has(Verb::Get) {
        add(&mut single, "get", &operation("get", "read", &[], None, &schema));
    }
    if has(Verb::Update) {
        add(&mut single, "put", &operation("put", "replace", WRITING, Some(&schema), &schema));
        let query = [WRITING, &["force"]].concat();
        add(&mut single, "patch", &operation("patch", "patch", &query, None, &schema));
    }
    if has(Verb::Delete) {
        add(&mut single, "delete", &operation("delete", "delete", DELETING, Some(DELETE_OPTIONS), STATUS));
    }
    let mut paths = vec![(collection, many), (one, single)];
    if kind.namespaced {
        let mut everywhere = Map::new();
        everywhere.insert(
            "get".into(),
            written(
                &operation("list", "listForAllNamespaces", LISTING, None, &list),
                &of_kind(kind),
                &kind.word(),
                version,
            ),
        );
        paths.push((format!("{root}/{}", kind.plural), everywhere));
    }
    paths
        .into_iter()
        .map(|(path, mut operations)| {
            let variables: Vec<Value> = [("name", "{name}"), ("namespace", "{namespace}")]
                .into_iter()
                .filter(|(_, variable)| path.contains(variable))
                .map(|(name, _)| parameter(name, "path", version))
                .collect();
            if !variables.is_empty() {
                operations.insert("parameters".into(), variables.into());
            }
            (path, operations.into())
        })
        .collect()
}

/// A query or a variable of a path.
fn parameter(name: &str, place: &str, version: Version) -> Value {
    let of = match name {
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
        "watch" | "allowWatchBookmarks" | "sendInitialEvents" | "force" | "orphanDependents" => "boolean",
        _ => "string",
    };
    let mut parameter = json!({"name": name, "in": place});
    if place == "path" {
        parameter["required"] = true.into();
    }
    match version {
        Version::V2 => parameter["type"] = of.into(),
        Version::V3 => parameter["schema"] = json!({"type": of}),
    }
    parameter
}

fn of_kind(kind: &StoredKind) -> Value {
    json!({"group": kind.group, "kind": kind.kind, "version": kind.version})
}

/// An operation on the objects of `kind`, a group, version and kind; `word` ends its id.
fn written(operation: &Operation, kind: &Value, word: &str, version: Version) -> Value {
    let Operation { action, id, query, body, reply } = operation;
    let mut parameters: Vec<Value> = query.iter().map(|name| parameter(name, "query", version)).collect();
    let mut written = json!({
        "operationId": format!("{id}{word}"), "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
    });
    match version {
        Version::V2 => {
            if let Some(body) = body {
                let schema = json!({"$ref": format!("#/definitions/{body}")});
                parameters.push(json!({"name": "body", "in": "body", "schema": schema}));
            }
            let schema = json!({"$ref": format!("#/definitions/{reply}")});
            written["responses"] = json!({"200": {"description": "OK", "schema": schema}});
        }
        Version::V3 => {
            let content = |name: &str| {
                let schema = json!({"$ref": format!("#/components/schemas/{name}")});
                json!({"application/json": {"schema": schema}, "application/yaml": {"schema": schema}})
            };
            if let Some(body) = body {
                written["requestBody"] = json!({"content": content(body)});
            }
            written["responses"] = json!({"200": {"description": "OK", "content": content(reply)}});
        }
    }
    written["parameters"] = parameters.into();
    written
}
