//! Parts of documents that are compared: the recording has the view alone.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Resources of which discovery documents are compared.
const KINDS: &[&str] = &[
    "nodes",
    "pods",
    "pods/status",
    "pods/binding",
    "pods/eviction",
    "bindings",
    "nodes/status",
    "namespaces",
    "services",
    "replicationcontrollers",
    "replicasets",
    "statefulsets",
    "deployments",
    "daemonsets",
    "persistentvolumes",
    "persistentvolumeclaims",
    "storageclasses",
    "csinodes",
    "priorityclasses",
    "poddisruptionbudgets",
    "poddisruptionbudgets/status",
    "events",
    "leases",
    "configmaps",
];

/// The view of that name.
pub(crate) fn view(name: &str, body: &Value) -> Value {
    match name {
        "resources" => resources(body),
        "groups" => groups(body),
        "aggregated" => aggregated(body),
        "openapi3index" => openapi_index(body),
        "openapi3" => openapi(body),
        "version" => version(body),
        "kind" => {
            if body.is_object() {
                json!({"kind": body["kind"], "apiVersion": body["apiVersion"]})
            } else {
                Value::Null
            }
        }
        "metadata" => json!({
            "kind": body["kind"], "apiVersion": body["apiVersion"], "name": body["metadata"]["name"],
            "namespace": body["metadata"]["namespace"], "labels": body["metadata"]["labels"],
            "annotations": body["metadata"]["annotations"],
        }),
        _ => Value::Null,
    }
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn sorted(value: &Value) -> Value {
    let texts: BTreeSet<&str> = list(value).map(text).collect();
    json!(texts)
}

fn resources(body: &Value) -> Value {
    const FIELDS: [&str; 9] =
        ["name", "singularName", "namespaced", "kind", "group", "version", "verbs", "shortNames", "categories"];
    let of = |resource: &Value| -> Value {
        let present = FIELDS.iter().filter(|field| !resource[**field].is_null());
        let fields = present.map(|field| {
            let value = &resource[*field];
            ((*field).to_owned(), if value.is_array() { sorted(value) } else { value.clone() })
        });
        Value::Object(fields.collect())
    };
    let named = list(&body["resources"]).filter(|resource| KINDS.contains(&text(&resource["name"])));
    let mut resources: Vec<Value> = named.map(of).collect();
    resources.sort_by_key(|resource| text(&resource["name"]).to_owned());
    json!({"kind": body["kind"], "groupVersion": body["groupVersion"], "resources": resources})
}

fn groups(body: &Value) -> Value {
    const NAMES: [&str; 6] =
        ["apps", "policy", "scheduling.k8s.io", "storage.k8s.io", "coordination.k8s.io", "events.k8s.io"];
    let mut groups: Vec<Value> = list(&body["groups"])
        .filter(|group| NAMES.contains(&text(&group["name"])))
        .map(|group| json!({"name": group["name"], "preferred": group["preferredVersion"]["groupVersion"]}))
        .collect();
    groups.sort_by_key(|group| text(&group["name"]).to_owned());
    json!({"kind": body["kind"], "groups": groups})
}

fn aggregated(body: &Value) -> Value {
    let mut found = Vec::new();
    for group in list(&body["items"]) {
        for version in list(&group["versions"]) {
            for one in list(&version["resources"]).filter(|one| KINDS.contains(&text(&one["resource"]))) {
                let of = |sub: &&Value| {
                    KINDS.contains(&&*format!("{}/{}", text(&one["resource"]), text(&sub["subresource"])))
                };
                let subresources: Vec<&Value> =
                    list(&one["subresources"]).filter(of).map(|sub| &sub["subresource"]).collect();
                found.push(json!({
                    "group": text(&group["metadata"]["name"]), "version": version["version"], "resource": one["resource"],
                    "scope": one["scope"], "verbs": sorted(&one["verbs"]), "short": sorted(&one["shortNames"]),
                    "kind": one["responseKind"]["kind"], "sub": sorted(&json!(subresources)),
                }));
            }
        }
    }
    found.sort_by_key(|one| (text(&one["group"]).to_owned(), text(&one["resource"]).to_owned()));
    json!({"kind": body["kind"], "apiVersion": body["apiVersion"], "resources": found})
}

fn openapi_index(body: &Value) -> Value {
    const NAMES: [&str; 6] = [
        "api/v1",
        "apis/apps/v1",
        "apis/policy/v1",
        "apis/scheduling.k8s.io/v1",
        "apis/storage.k8s.io/v1",
        "apis/coordination.k8s.io/v1",
    ];
    let is_there =
        |name: &str| text(&body["paths"][name]["serverRelativeURL"]).contains(&format!("/openapi/v3/{name}"));
    Value::Object(NAMES.iter().map(|name| ((*name).to_owned(), is_there(name).into())).collect())
}

fn openapi(body: &Value) -> Value {
    const NAMES: [&str; 12] = [
        "core.v1.Pod",
        "core.v1.PodSpec",
        "core.v1.Container",
        "core.v1.Node",
        "core.v1.NodeSpec",
        "core.v1.NodeStatus",
        "core.v1.Taint",
        "core.v1.Toleration",
        "core.v1.Affinity",
        "core.v1.TopologySpreadConstraint",
        "apps.v1.ReplicaSet",
        "policy.v1.PodDisruptionBudgetSpec",
    ];
    let mut found = Map::new();
    for name in NAMES {
        let schema = &body["components"]["schemas"][format!("io.k8s.api.{name}")];
        if schema.is_object() {
            let properties: BTreeSet<&String> =
                schema["properties"].as_object().into_iter().flat_map(Map::keys).collect();
            let gvk = |gvk: &Value| format!("{}/{}/{}", text(&gvk["group"]), text(&gvk["version"]), text(&gvk["kind"]));
            let gvks: Vec<String> = list(&schema["x-kubernetes-group-version-kind"]).map(gvk).collect();
            let described = !text(&schema["description"]).is_empty();
            let view = json!({"properties": properties, "required": sorted(&schema["required"]), "gvk": gvks, "described": described});
            found.insert(name.into(), view);
        }
    }
    Value::Object(found)
}

fn version(body: &Value) -> Value {
    const NAMES: [&str; 9] =
        ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
    let strings: BTreeSet<&str> = NAMES.into_iter().filter(|name| body[*name].is_string()).collect();
    json!({"major": body["major"], "strings": strings})
}
