//! The operations of every stored kind, written into the published document from the table of kinds.

use serde_json::{Map, Value, json};
use utoipa::{
    IntoResponses,
    openapi::{Components, OpenApi, PathItem, RefOr, Response, Schema, path::Operation},
};

use super::{Paths, WITH_STATUS, binding::Binding, eviction::Eviction};
use crate::{
    api::openapi::{ListErrors, ReadErrors, WriteErrors},
    wire::kinds::{self, StoredKind},
};

/// Adds the operations and schemas of every stored kind.
///
/// # Errors
/// If the JSON here is not OpenAPI: a mistake that the tests find.
pub fn add(document: &mut OpenApi) -> Result<(), serde_json::Error> {
    let components = document.components.get_or_insert_with(Components::default);
    components.schemas.insert("ListMeta".into(), serde_json::from_value(list_meta())?);
    for kind in kinds::ALL {
        let names = Names::of(kind);
        add_schemas(components, kind, &names)?;
        for (path, item) in items(kind, &names) {
            let mut item: PathItem = serde_json::from_value(item)?;
            add_errors(&mut item);
            document.paths.paths.insert(path, item);
        }
    }
    for (name, schema) in [
        (<Binding as utoipa::ToSchema>::name(), <Binding as utoipa::PartialSchema>::schema()),
        (<Eviction as utoipa::ToSchema>::name(), <Eviction as utoipa::PartialSchema>::schema()),
    ] {
        components_of(document).schemas.insert(name.into(), schema);
    }
    let mut further = Vec::new();
    <Binding as utoipa::ToSchema>::schemas(&mut further);
    <Eviction as utoipa::ToSchema>::schemas(&mut further);
    components_of(document).schemas.extend(further);
    Ok(())
}

fn components_of(document: &mut OpenApi) -> &mut Components {
    document.components.get_or_insert_with(Components::default)
}

/// The names of a kind in SDKs.
struct Names {
    /// `Pod`
    one: &'static str,
    /// `Pods`
    many: String,
    /// The component of its objects.
    schema: String,
}

impl Names {
    fn of(kind: &StoredKind) -> Self {
        let ending = kind.plural.get(kind.kind.len()..).unwrap_or("s");
        let schema = kind.schemas().pop().map(|(name, _)| name).unwrap_or_default();
        Self { one: kind.kind, many: format!("{}{ending}", kind.kind), schema }
    }
}

fn add_schemas(components: &mut Components, kind: &StoredKind, names: &Names) -> Result<(), serde_json::Error> {
    let own = |value: &str| json!({"type": "string", "description": format!("`{value}`."), "example": value});
    for (name, mut schema) in kind.schemas() {
        if name == names.schema
            && let RefOr::T(Schema::Object(object)) = &mut schema
        {
            let version = kind.api_version();
            for (field, value) in [("kind", kind.kind), ("apiVersion", version.as_str())] {
                object.properties.insert(field.into(), serde_json::from_value(own(value))?);
            }
        }
        components.schemas.insert(name, schema);
    }
    let list = json!({
        "type": "object",
        "description": format!("A page of {}.", names.many),
        "required": ["kind", "apiVersion", "metadata", "items"],
        "properties": {
            "kind": {"type": "string", "example": format!("{}List", names.one)},
            "apiVersion": {"type": "string", "example": kind.api_version()},
            "metadata": reference("ListMeta"),
            "items": {"type": "array", "items": reference(&names.schema)},
        },
    });
    components.schemas.insert(format!("{}List", names.one), serde_json::from_value(list)?);
    Ok(())
}

fn list_meta() -> Value {
    json!({
        "type": "object",
        "description": "Where a list stands.",
        "required": ["resourceVersion"],
        "properties": {
            "resourceVersion": {"type": "string", "description": "The revision of the list, opaque.", "example": "42"},
            "continue": {"type": "string", "description": "Gets the next page; absent on the last."},
            "remainingItemCount": {"type": "integer", "format": "int64", "description": "How many more there are; absent on the last page and with selectors."},
        },
    })
}

fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

/// The paths of a kind with their operations.
fn items(kind: &StoredKind, names: &Names) -> Vec<(String, Value)> {
    let Names { one, many, schema } = names;
    let Paths { collection, everywhere, object } = Paths::of(kind);
    let namespace = kind.namespaced.then(|| variable("namespace", "The namespace.", "default")).into_iter();
    let namespace: Vec<Value> = namespace.collect();
    let named = || [&namespace[..], &[variable("name", "The object's name.", "example")]].concat();
    let read = |id: String, summary: String| operation(id, &summary, named(), None, (200, "The object.", schema));
    let replace = |id: String, summary: String, what: &str| {
        let body = Some((schema.as_str(), example(kind)));
        described(
            operation(id, &summary, [named(), writing()].concat(), body, (200, "The object as it is now.", schema)),
            what,
        )
    };
    let list = |id: String, summary: String, parameters: Vec<Value>| {
        let list = format!("{one}List");
        operation(id, &summary, [parameters, list_parameters()].concat(), None, (200, "A page of objects.", &list))
    };

    let mut items = vec![
        (
            collection,
            json!({
                "get": list(format!("list{many}"), format!("List {many}"), namespace.clone()),
                "post": described(
                    operation(format!("create{one}"), &format!("Create a {one}"), [namespace.clone(), writing()].concat(),
                        Some((schema, example(kind))), (201, "The object as it was stored.", schema)),
                    "The whole object, `status` included. `metadata.generateName` gives it a name of its own."),
                "delete": described(
                    operation(format!("delete{many}"), &format!("Delete {many}"),
                        [namespace.clone(), list_parameters().into_iter().take(2).collect(), vec![dry_run()]].concat(), None,
                        (200, "They are gone.", "Status")),
                    "All that the selectors choose; without selectors, all."),
            }),
        ),
        (
            object.clone(),
            json!({
                "get": read(format!("read{one}"), format!("Read a {one}")),
                "put": replace(format!("replace{one}"), format!("Replace a {one}"),
                    "The whole object, `status` included. With `metadata.resourceVersion`, only if that is still its revision."),
                "delete": described(
                    operation(format!("delete{one}"), &format!("Delete a {one}"), with(named(), dry_run()), None,
                        (200, "It is gone.", "Status")),
                    "At once. A DeleteOptions as body may ask for `preconditions`: `uid`, `resourceVersion`."),
            }),
        ),
    ];
    if let Some(everywhere) = everywhere {
        let list = list(format!("list{many}ForAllNamespaces"), format!("List {many} of all namespaces"), Vec::new());
        items.push((everywhere, json!({"get": list})));
    }
    if WITH_STATUS.contains(&kind.plural) {
        let item = json!({
            "get": read(format!("read{one}Status"), format!("Read a {one} by its status")),
            "put": replace(format!("replace{one}Status"), format!("Replace the status of a {one}"),
                "Only `status` is read; everything else stays as it is."),
        });
        items.push((format!("{object}/status"), item));
    }
    if kind.plural == "pods" {
        let post = |id: &str, summary: &str, schema: &str, example: Value, further: Vec<Value>| {
            let parameters = [with(named(), dry_run()), further].concat();
            json!({"post": operation(id.into(), summary, parameters, Some((schema, example)), (201, "It is done.", "Status"))})
        };
        let binding = json!({"kind": "Binding", "apiVersion": "v1", "target": {"kind": "Node", "name": "example"}});
        let eviction = json!({"kind": "Eviction", "apiVersion": "policy/v1"});
        let policy = query(
            "policy",
            "The policy of `/policies/{name}` by which the binding is judged; that of `/policy` where absent.",
            &json!({"type": "string"}),
        );
        let bind = "Bind a Pod to a node, if it fits there";
        items.push((format!("{object}/binding"), post("createPodBinding", bind, "Binding", binding, vec![policy])));
        items.push((
            format!("{object}/eviction"),
            post("createPodEviction", "Evict a Pod, if its disruption budgets allow", "Eviction", eviction, vec![]),
        ));
    }
    items
}

fn operation(
    id: String,
    summary: &str,
    parameters: Vec<Value>,
    body: Option<(&str, Value)>,
    (code, done, schema): (u16, &str, &str),
) -> Value {
    let mut responses = Map::new();
    let content = json!({"application/json": {"schema": reference(schema)}});
    responses.insert(code.to_string(), json!({"description": done, "content": content}));
    let mut operation = json!({
        "tags": ["state"], "summary": summary, "operationId": Value::String(id), "parameters": Value::Array(parameters), "responses": responses,
    });
    if let (Some((schema, example)), Some(operation)) = (body, operation.as_object_mut()) {
        let content = json!({"application/json": {"schema": reference(schema), "example": example}});
        operation.insert("requestBody".into(), json!({"required": true, "content": content}));
    }
    operation
}

fn described(mut operation: Value, description: &str) -> Value {
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("description".into(), description.into());
    }
    operation
}

fn with(mut parameters: Vec<Value>, one_more: Value) -> Vec<Value> {
    parameters.push(one_more);
    parameters
}

fn variable(name: &str, description: &str, example: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string"}, "example": example})
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema})
}

fn dry_run() -> Value {
    query("dryRun", "`All`: check everything and store nothing.", &json!({"type": "string"}))
}

/// The parameters of operations that write an object.
fn writing() -> Vec<Value> {
    let description = "Fields that do not exist or stand twice: `Warn` (default) tells them in `Warning` headers, `Strict` \
                       refuses the object, `Ignore` says nothing.";
    vec![dry_run(), query("fieldValidation", description, &json!({"type": "string"}))]
}

fn list_parameters() -> Vec<Value> {
    let text = json!({"type": "string"});
    vec![
        query("labelSelector", "Only objects with these labels: `app=web,tier in (a,b),!old`.", &text),
        query(
            "fieldSelector",
            "Only objects with these fields, of `metadata.name`, `metadata.namespace`, `spec.nodeName`, `status.phase`.",
            &text,
        ),
        query("limit", "At most so many objects on a page; 0 for all.", &json!({"type": "integer", "format": "int64"})),
        query("continue", "The next page: what `metadata.continue` of the one before says.", &text),
        query("resourceVersion", "A revision that the list may not be older than.", &text),
        query("resourceVersionMatch", "`Exact` or `NotOlderThan`.", &text),
    ]
}

/// Adds the errors of operations besides the usual ones.
fn add_errors(item: &mut PathItem) {
    fn extend(operation: Option<&mut Operation>, errors: impl IntoIterator<Item = (String, RefOr<Response>)>) {
        if let Some(operation) = operation {
            operation.responses.responses.extend(errors);
        }
    }
    let is_list =
        item.get.as_ref().and_then(|get| get.operation_id.as_deref()).is_some_and(|id| id.starts_with("list"));
    extend(item.get.as_mut(), if is_list { ListErrors::responses() } else { ReadErrors::responses() });
    for operation in [&mut item.post, &mut item.put, &mut item.delete] {
        extend(operation.as_mut(), WriteErrors::responses());
    }
}

/// An object that can be stored just so.
fn example(kind: &StoredKind) -> Value {
    let labels = json!({"matchLabels": {"app": "web"}});
    let rest = match kind.kind {
        "Node" => json!({"status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}}),
        "Pod" => json!({"spec": {"containers": [
            {"name": "web", "image": "nginx", "resources": {"requests": {"cpu": "500m", "memory": "128Mi"}}}]}}),
        "PriorityClass" => json!({"value": 1000}),
        "RuntimeClass" => json!({"handler": "kata", "overhead": {"podFixed": {"cpu": "250m", "memory": "160Mi"}}}),
        "StorageClass" => json!({"provisioner": "ebs.csi.aws.com", "volumeBindingMode": "WaitForFirstConsumer"}),
        "PersistentVolume" => json!({"spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"}}}),
        "PersistentVolumeClaim" => json!({"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}}}}),
        "Service" | "ReplicationController" => json!({"spec": {"selector": {"app": "web"}}}),
        "ReplicaSet" | "StatefulSet" => json!({"spec": {"selector": labels}}),
        "PodDisruptionBudget" => json!({"spec": {"selector": labels}, "status": {"disruptionsAllowed": 1}}),
        "CSIDriver" => json!({"spec": {"attachRequired": true, "storageCapacity": true}}),
        "CSIStorageCapacity" => json!({"storageClassName": "local", "capacity": "100Gi",
            "nodeTopology": {"matchLabels": {"topology.kubernetes.io/zone": "az1"}}}),
        "VolumeAttachment" => json!({"spec": {"attacher": "ebs.csi.aws.com", "nodeName": "node-a",
            "source": {"persistentVolumeName": "pv-1"}}}),
        "CSINode" => json!({"spec": {"drivers": [
            {"name": "ebs.csi.aws.com", "nodeID": "i-1", "allocatable": {"count": 25}}]}}),
        _ => json!({}),
    };
    let mut object = json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": {"name": "example"}});
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    object
}
