//! What the published document says can be done.

use podberth::api::openapi::DOCUMENTS;
use serde_json::Value;

/// A documented POST of a stored object or its subresource.
pub struct Post {
    pub path: String,
    pub example: Value,
}

/// Those below `/api`.
pub fn posts() -> Vec<Post> {
    let paths = DOCUMENTS.v3_0["paths"].as_object().expect("paths");
    let of = |(path, item): (&String, &Value)| {
        let example = item.pointer("/post/requestBody/content/application~1json/example")?;
        path.starts_with("/api").then(|| Post { path: path.clone(), example: example.clone() })
    };
    paths.iter().filter_map(of).collect()
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
