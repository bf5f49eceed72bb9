//! The operations that the published document lists.

use podberth::api::published::DOCUMENTS;
use serde_json::{Map, Value, json};

use crate::server::Server;

/// A documented POST of a stored object or its subresource.
pub struct Post {
    pub path: String,
    pub example: Value,
    /// The component of the object that is created.
    pub component: String,
}

/// Those below `/api`.
pub fn posts() -> Vec<Post> {
    let paths = DOCUMENTS.v3_0["paths"].as_object().expect("paths");
    let of = |(path, item): (&String, &Value)| {
        let example = item.pointer("/post/requestBody/content/application~1json/example")?;
        let reply = item.pointer("/post/responses/201/content/application~1json/schema/$ref")?.as_str()?;
        let component = reply.rsplit('/').next()?.to_owned();
        path.starts_with("/api").then(|| Post { path: path.clone(), example: example.clone(), component })
    };
    paths.iter().filter_map(of).collect()
}

/// Holds a reply against the published schema of this name.
#[track_caller]
pub fn conforms(component: &str, reply: &Value) {
    let schema = json!({
        "$ref": format!("#/components/schemas/{component}"),
        "components": DOCUMENTS.v3_1["components"],
    });
    let validator = jsonschema::validator_for(&schema).expect("the published schemas are schemas");
    let errors: Vec<String> =
        validator.iter_errors(reply).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{component}: {errors:?} in {reply}");
}

#[test]
fn every_kind_has_its_operations() {
    let text = DOCUMENTS.v3_0["paths"].to_string();
    for id in [
        "listNodes",
        "createNode",
        "readNode",
        "replaceNode",
        "deleteNode",
        "replaceNodeStatus",
        "listPods",
        "listPodsForAllNamespaces",
        "createPodBinding",
        "createPodEviction",
        "listPriorityClasses",
        "readCSINode",
        "replacePodDisruptionBudgetStatus",
        "importObjects",
        "listClusters",
        "listNetworkPolicies",
        "replaceDeploymentStatus",
        "createEvent",
        "createEventsV1Event",
        "listEventsV1EventsForAllNamespaces",
    ] {
        assert!(text.contains(&format!("\"operationId\":\"{id}\"")), "{id}");
    }
}

/// The parameters of an operation, wherever they are written down.
fn parameters(operation: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    parameters.map(|parameter| {
        let target = parameter["$ref"].as_str().and_then(|to| DOCUMENTS.v3_0.pointer(to.trim_start_matches('#')));
        target.unwrap_or(parameter)
    })
}

/// A path with the examples of its variables in their place.
fn filled_in(path: &str, operation: &Map<String, Value>) -> String {
    parameters(operation).filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let (name, example) = (&parameter["name"], &parameter["example"]);
        let example = example.as_str().unwrap_or_else(|| panic!("{path}: {name} has no example"));
        path.replace(&format!("{{{}}}", name.as_str().unwrap_or_default()), example)
    })
}

/// Like a visitor of the page at `/docs`: objects are created, then replaced, then the rest, evictions last.
#[tokio::test]
async fn every_operation_with_a_body_has_an_example_that_works_as_it_stands() {
    let server = Server::with(&[]).await;
    let mut asked = Vec::new();
    for (path, item) in DOCUMENTS.v3_0["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("a path") {
            let Some(operation) = operation.as_object().filter(|operation| operation.contains_key("requestBody"))
            else {
                continue;
            };
            if path.ends_with("/bindings") {
                // Its pod is bound by its own path.
                continue;
            }
            let contents = operation["requestBody"]["content"].as_object().expect("contents");
            // An apply, which is YAML, needs a `fieldManager`, which the page does not send unasked.
            let contents: Vec<_> = contents.iter().filter(|(media_type, _)| media_type.ends_with("json")).collect();
            assert!(
                contents.iter().all(|(_, content)| !content["example"].is_null()),
                "{method} {path} has no example"
            );
            let filled: Vec<_> = parameters(operation)
                .filter(|parameter| parameter["in"] != "path")
                .filter(|parameter| !parameter["example"].is_null() || !parameter["schema"]["example"].is_null())
                .collect();
            assert!(filled.is_empty(), "{method} {path}: the page would send {filled:?} unasked");
            let creates = operation["operationId"].as_str().is_some_and(|id| id.starts_with("create"));
            let last = path.ends_with("/eviction") || path.ends_with("/rollback");
            let rank = (last, !creates || path.contains("{name}"), method != "put");
            asked.extend(contents.into_iter().map(|(media_type, content)| {
                let path = filled_in(path, operation);
                (rank, method.to_uppercase(), path, media_type.clone(), content["example"].clone())
            }));
        }
    }
    asked.sort_by(|a, b| (a.0, &a.2).cmp(&(b.0, &b.2)));
    assert!(asked.len() > 40, "{asked:?}");
    let mut problems = Vec::new();
    for (_, method, path, media_type, example) in asked {
        let reply = server.ask(&method, &path, ("content-type", &media_type), &example).await;
        let text = reply.text();
        if !(200..300).contains(&reply.code) || text.contains("\"Error\":\"") && !text.contains("\"Error\":\"\"") {
            problems.push(format!("{method} {path}: {} {}", reply.code, text.trim()));
        }
        if let Some(warning) = reply.header("warning") {
            problems.push(format!("{method} {path}: warning {warning}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
