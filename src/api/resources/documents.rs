//! The operations of every stored kind, written into the published document from the table of kinds.

use serde_json::{Map, Value, json};
use utoipa::{
    IntoResponses,
    openapi::{
        Components, ObjectBuilder, OpenApi, PathItem, RefOr, Response, Schema, path::Operation, schema::SchemaType,
    },
};

use super::{Paths, binding::Binding, eviction::Eviction};
use crate::{
    api::openapi::{FormErrors, ListErrors, PastErrors, ReadErrors, WriteErrors},
    wire::{
        kinds::{self, StoredKind, Subresource, Verb},
        patch::PatchType,
        scale,
    },
};

/// Adds the operations and schemas of every stored kind.
///
/// # Errors
/// If the JSON here is not OpenAPI: a mistake that the tests find.
pub fn add(document: &mut OpenApi) -> Result<(), serde_json::Error> {
    let components = document.components.get_or_insert_with(Components::default);
    components.schemas.insert("ListMeta".into(), serde_json::from_value(list_meta())?);
    for (name, schema) in [(scale::KIND, scale()), ("ScaleSpec", scale_spec()), ("ScaleStatus", scale_status())] {
        components.schemas.insert(name.into(), serde_json::from_value(schema)?);
    }
    for (name, schema) in patches() {
        components.schemas.insert(name.into(), serde_json::from_value(schema)?);
    }
    if let Some(RefOr::T(Schema::Object(operation))) = components.schemas.get_mut("JsonPatchOperation") {
        let value = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        let value = value.description(Some("Of `add`, `replace` and `test`: the value."));
        operation.properties.insert("value".into(), value.into());
    }
    for kind in kinds::shared() {
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
    one: String,
    /// `Pods`
    many: String,
    /// The component of its objects.
    schema: String,
    /// The component of its lists.
    list: String,
}

impl Names {
    fn of(kind: &StoredKind) -> Self {
        let schema = kind.schema();
        let list = if kind.core().is_some() { format!("{}List", kind.kind) } else { format!("{schema}List") };
        Self { one: kind.word(), many: kind.many(), schema, list }
    }
}

/// Adds the schemas of a kind. Kinds that no decision reads share theirs.
fn add_schemas(components: &mut Components, kind: &StoredKind, names: &Names) -> Result<(), serde_json::Error> {
    let is_read = kind.has_schema();
    let own = |what: &str, value: &str| {
        if is_read {
            json!({"type": "string", "description": format!("`{value}`."), "example": value})
        } else {
            json!({"type": "string", "description": what})
        }
    };
    for (name, mut schema) in kind.schemas() {
        if name == names.schema
            && let RefOr::T(Schema::Object(object)) = &mut schema
        {
            let version = kind.api_version();
            for (field, what, value) in
                [("kind", "The kind.", kind.kind), ("apiVersion", "Its group and version.", &version)]
            {
                object.properties.insert(field.into(), serde_json::from_value(own(what, value))?);
            }
        }
        components.schemas.insert(name, schema);
    }
    let list = json!({
        "type": "object",
        "description": if is_read { format!("A page of {}.", names.many) } else { "A page of objects.".to_owned() },
        "required": ["kind", "apiVersion", "metadata", "items"],
        "properties": {
            "kind": own("The kind, with `List` behind it.", &format!("{}List", kind.kind)),
            "apiVersion": own("Its group and version.", &kind.api_version()),
            "metadata": reference("ListMeta"),
            "items": {"type": "array", "items": reference(&names.schema)},
        },
    });
    components.schemas.insert(names.list.clone(), serde_json::from_value(list)?);
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

/// The components that are bodies of patches.
fn patches() -> [(&'static str, Value); 3] {
    let text = |what: &str| json!({"type": "string", "description": what});
    let operation = json!({
        "type": "object",
        "description": "An operation of a JSON patch (RFC 6902).",
        "required": ["op", "path"],
        "properties": {
            "op": {"type": "string", "description": "`add`, `remove`, `replace`, `move`, `copy` or `test`.", "example": "add"},
            "path": {"type": "string", "description": "The place, as a JSON pointer.", "example": "/metadata/labels/tier"},
            "from": text("Of `move` and `copy`: the place of the value."),
        },
    });
    let fields = json!({
        "type": "object",
        "description": "Fields of an object: to merge, or to be applied.",
        "additionalProperties": true,
    });
    let list = json!({
        "type": "array",
        "description": "Operations, done in their order; all or none.",
        "items": reference("JsonPatchOperation"),
    });
    [("JsonPatchOperation", operation), ("JsonPatch", list), ("Patch", fields)]
}

fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

/// The paths of a kind with their operations.
#[expect(clippy::too_many_lines, reason = "a table of operations")]
fn items(kind: &StoredKind, names: &Names) -> Vec<(String, Value)> {
    let Names { one, many, schema, list } = names;
    let Paths { collection, everywhere, object } = Paths::of(kind);
    let path_of_many = collection.clone();
    let namespace = kind.namespaced.then(|| variable("namespace", "The namespace.", "default")).into_iter();
    let namespace: Vec<Value> = namespace.collect();
    let named = || [&namespace[..], &[variable("name", "The object's name.", kind.example_name())]].concat();
    let read = |id: String, summary: String| {
        operation(id, &summary, [named(), past()].concat(), None, (200, "The object.", schema))
    };
    let replace = |id: String, summary: String, what: &str| {
        let body = Some((schema.as_str(), kind.example()));
        described(
            operation(id, &summary, [named(), writing()].concat(), body, (200, "The object as it is now.", schema)),
            what,
        )
    };
    let lists = |id: String, summary: String, parameters: Vec<Value>| {
        let parameters = [parameters, list_parameters(), past(), watch_parameters()].concat();
        described(operation(id, &summary, parameters, None, (200, "A page of objects.", list)), WATCHED)
    };
    let (mut of_many, mut of_one) = (Map::new(), Map::new());
    for verb in kind.verbs {
        let (operations, method, operation) = match verb {
            Verb::List => {
                (&mut of_many, "get", lists(format!("list{many}"), format!("List {many}"), namespace.clone()))
            }
            Verb::Create => {
                let (parameters, body) = ([namespace.clone(), writing()].concat(), Some((&**schema, kind.example())));
                let created = (201, "The object as it was stored.", &**schema);
                let create = operation(format!("create{one}"), &format!("Create a {one}"), parameters, body, created);
                let what = "The whole object, `status` included. `metadata.generateName` gives it a name of its own.";
                (&mut of_many, "post", described(create, what))
            }
            Verb::DeleteCollection => {
                let chosen = list_parameters().into_iter().take(2).collect();
                let parameters = [namespace.clone(), chosen, deleting()].concat();
                let done = (200, "The objects as they were.", &**list);
                let delete = operation(format!("delete{many}"), &format!("Delete {many}"), parameters, None, done);
                let what = "All that the selectors choose; without selectors, all.";
                (&mut of_many, "delete", described(delete, what))
            }
            Verb::Get => (&mut of_one, "get", read(format!("read{one}"), format!("Read a {one}"))),
            Verb::Update => {
                let what = "The whole object, `status` included. With `metadata.resourceVersion`, only if that is still \
                            its revision.";
                (&mut of_one, "put", replace(format!("replace{one}"), format!("Replace a {one}"), what))
            }
            Verb::Patch => {
                (&mut of_one, "patch", patch(format!("patch{one}"), &format!("Patch a {one}"), named(), schema))
            }
            Verb::Delete => {
                let shown = if kind.replies_with_object() { &**schema } else { "Status" };
                let done = (200, "It is gone, or stays until its finalizers are gone and its grace is over.", shown);
                let parameters = [named(), deleting()].concat();
                let delete = operation(format!("delete{one}"), &format!("Delete a {one}"), parameters, None, done);
                let what = "A DeleteOptions as body has the options of the query, and `preconditions`: `uid`, \
                            `resourceVersion`. An object that stays for a while is the reply.";
                (&mut of_one, "delete", described(delete, what))
            }
        };
        operations.insert(method.into(), operation);
    }
    let mut items = vec![(collection, Value::Object(of_many)), (object.clone(), Value::Object(of_one))];
    if let Some(everywhere) = everywhere {
        let list = lists(format!("list{many}ForAllNamespaces"), format!("List {many} of all namespaces"), Vec::new());
        items.push((everywhere, json!({"get": list})));
    }
    if let Some(path) = super::bindings(kind, &path_of_many) {
        let metadata = json!({"name": "example"});
        let example = json!({"kind": "Binding", "apiVersion": "v1", "metadata": metadata, "target": {"kind": "Node", "name": "example"}});
        let summary = "Bind the Pod that the body names to a node, if it fits there";
        items.push((path, done("createBinding", summary, with(namespace.clone(), dry_run()), ("Binding", example))));
    }
    for subresource in kind.subresources {
        let item = match subresource {
            Subresource::Status => json!({
                "get": read(format!("read{one}Status"), format!("Read a {one} by its status")),
                "put": replace(format!("replace{one}Status"), format!("Replace the status of a {one}"),
                    "Only `status`, labels, annotations, finalizers and owners are read; everything else stays as it is."),
                "patch": patch(format!("patch{one}Status"), &format!("Patch the status of a {one}"), named(), schema),
            }),
            Subresource::Scale => json!({
                "get": operation(format!("read{one}Scale"), &format!("Read the scale of a {one}"), named(), None, scaled()),
                "put": operation(format!("replace{one}Scale"), &format!("Scale a {one}"), [named(), writing()].concat(),
                    Some(("Scale", scale_example())), scaled()),
                "patch": patch(format!("patch{one}Scale"), &format!("Patch the scale of a {one}"), named(), "Scale"),
            }),
            Subresource::EphemeralContainers => json!({
                "get": read("readPodEphemeralContainers".into(), "Read a Pod by its ephemeral containers".into()),
                "put": replace("replacePodEphemeralContainers".into(), "Add ephemeral containers to a Pod".into(),
                    "Only `spec.ephemeralContainers` is read. Those that are there stay as they are."),
                "patch": patch("patchPodEphemeralContainers".into(), "Patch the ephemeral containers of a Pod", named(), schema),
            }),
            Subresource::Resize => json!({
                "get": read("readPodResize".into(), "Read a Pod by its resources".into()),
                "put": replace("replacePodResize".into(), "Resize the containers of a Pod".into(),
                    "Only `resources` and `resizePolicy` of containers are read. CPU and memory may change."),
                "patch": patch("patchPodResize".into(), "Patch the resources of a Pod's containers", named(), schema),
            }),
            Subresource::Finalize => json!({
                "put": replace("replaceNamespaceFinalize".into(), "Take finalizers off a Namespace".into(),
                    "Only `spec.finalizers` is read. A namespace that is being deleted goes with the last one."),
            }),
            Subresource::Binding => {
                let policy = query(
                    "policy",
                    "The policy of `/policies/{name}` by which the binding is judged; that of `/policy` where absent.",
                    &json!({"type": "string"}),
                );
                let example =
                    json!({"kind": "Binding", "apiVersion": "v1", "target": {"kind": "Node", "name": "example"}});
                let parameters = with(with(named(), dry_run()), policy);
                done("createPodBinding", "Bind a Pod to a node, if it fits there", parameters, ("Binding", example))
            }
            Subresource::Eviction => {
                let example = json!({"kind": "Eviction", "apiVersion": "policy/v1"});
                let (summary, parameters) = ("Evict a Pod, if its disruption budgets allow", with(named(), dry_run()));
                done("createPodEviction", summary, parameters, ("Eviction", example))
            }
        };
        items.push((format!("{object}/{}", subresource.name()), item));
    }
    items
}

/// The reply of operations on a scale.
fn scaled() -> (u16, &'static str, &'static str) {
    (200, "The scale as it is now.", "Scale")
}

fn scale_example() -> Value {
    json!({"kind": scale::KIND, "apiVersion": scale::API_VERSION, "spec": {"replicas": 2}})
}

/// The schema of a scale.
fn scale() -> Value {
    json!({
        "type": "object",
        "description": "The number of pods of a workload (`autoscaling/v1`).",
        "properties": {
            "kind": {"type": "string", "description": "`Scale`"},
            "apiVersion": {"type": "string", "description": "`autoscaling/v1`"},
            "metadata": {"type": "object", "description": "The workload's name, namespace, uid, revision and creation time.", "additionalProperties": true},
            "spec": reference("ScaleSpec"),
            "status": reference("ScaleStatus"),
        },
    })
}

fn scale_spec() -> Value {
    json!({
        "type": "object", "description": "The wanted state of a scale.",
        "properties": {"replicas": {"type": "integer", "format": "int32", "description": "Number of pods."}},
    })
}

fn scale_status() -> Value {
    json!({
        "type": "object", "description": "The state of a scale.",
        "properties": {
            "replicas": {"type": "integer", "format": "int32", "description": "Number of pods."},
            "selector": {"type": "string", "description": "The pods, as a label selector."},
        },
    })
}

/// An operation that changes a part of an object.
fn patch(id: String, summary: &str, parameters: Vec<Value>, schema: &str) -> Value {
    let text = json!({"type": "string"});
    let manager =
        "The owner of the fields that the patch sets; needed for an apply. The client's program where absent.";
    let force = "`true`: an apply takes fields that other managers own.";
    let parameters =
        [parameters, writing(), vec![query("fieldManager", manager, &text), query("force", force, &text)]].concat();
    let mut patch = operation(id, summary, parameters, None, (200, "The object as it is now.", schema));
    let content = |patch: PatchType| {
        let (schema, example) = match patch {
            PatchType::Json => {
                ("JsonPatch", json!([{"op": "add", "path": "/metadata/labels", "value": {"tier": "front"}}]))
            }
            _ => ("Patch", json!({"metadata": {"labels": {"tier": "front"}}})),
        };
        (patch.media_type().to_owned(), json!({"schema": reference(schema), "example": example}))
    };
    let contents: Map<_, _> = PatchType::ALL.into_iter().map(content).collect();
    if let Some(patch) = patch.as_object_mut() {
        patch.insert("requestBody".into(), json!({"required": true, "content": contents}));
        let created = json!({"application/json": {"schema": reference(schema)}});
        let created = json!({"description": "An apply made the object.", "content": created});
        patch["responses"]["201"] = created;
        let what = "A JSON patch, a merge patch, a strategic merge patch or a configuration for server-side apply, by its \
                    media type. Without `metadata.resourceVersion`, the patch is for whatever the object is now.";
        patch.insert("description".into(), what.into());
    }
    patch
}

/// A path where something is done to an object.
fn done(id: &str, summary: &str, parameters: Vec<Value>, body: (&str, Value)) -> Value {
    json!({"post": operation(id.into(), summary, parameters, Some(body), (201, "It is done.", "Status"))})
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

/// The parameters of operations that delete objects.
fn deleting() -> Vec<Value> {
    let text = json!({"type": "string"});
    vec![
        dry_run(),
        query(
            "gracePeriodSeconds",
            "The time that a running Pod gets; its own choice where absent.",
            &json!({"type": "integer", "format": "int64"}),
        ),
        query(
            "propagationPolicy",
            "The fate of objects that it owns: `Background` (they go after it), `Foreground` (before it), `Orphan` (they stay).",
            &text,
        ),
        query("orphanDependents", "The older form of the same: `true` keeps them.", &json!({"type": "boolean"})),
    ]
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
            "Only objects with these fields: `metadata.name`, `metadata.namespace`, and those that the API server knows of the kind, as in \
             `spec.nodeName=n,status.phase!=Failed`.",
            &text,
        ),
        query(
            "limit",
            "At most so many objects on a page; 0 for all. Not read with `resourceVersion=0`.",
            &json!({"type": "integer", "format": "int64"}),
        ),
        query("continue", "The next page: what `metadata.continue` of the one before says.", &text),
        query("resourceVersion", "A revision that the list may not be older than.", &text),
        query("resourceVersionMatch", "`Exact` or `NotOlderThan`.", &text),
    ]
}

/// The past that a read is of.
fn past() -> Vec<Value> {
    let what = "A revision of the past: what is read is as it was then. 410 with the revisions that are left if it is not kept any more.";
    vec![
        query("revision", what, &json!({"type": "integer", "format": "int64"})),
        query("at", "Instead of `revision` a time, RFC 3339: the newest revision of then.", &json!({"type": "string"})),
    ]
}

/// The watch of a list.
const WATCHED: &str = "With `watch=true` the reply does not end: it has one JSON document a line, `{\"type\": …, \"object\": …}`, for each change of a \
    selected object. The types are `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` and `ERROR`; the object of an `ERROR` is a Status.";

fn watch_parameters() -> Vec<Value> {
    let flag = json!({"type": "boolean"});
    vec![
        query("watch", "`true`: the changes from `resourceVersion` on, as they happen.", &flag),
        query("allowWatchBookmarks", "`true`: a watch may send bookmarks, which tell a revision to go on from.", &flag),
        query(
            "sendInitialEvents",
            "`true`: a watch begins with the objects there are, and a bookmark behind them.",
            &flag,
        ),
        query("timeoutSeconds", "The time after which a watch ends.", &json!({"type": "integer", "format": "int64"})),
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
    extend(item.get.as_mut(), PastErrors::responses());
    for operation in [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete] {
        extend(operation.as_mut(), WriteErrors::responses());
    }
    for operation in [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete] {
        extend(operation.as_mut(), FormErrors::responses());
    }
}
