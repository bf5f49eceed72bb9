//! What the published document says can be done.

use podberth::api::openapi::DOCUMENTS;
use serde_json::{Value, json};

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
    ] {
        assert!(text.contains(&format!("\"operationId\":\"{id}\"")), "{id}");
    }
}
