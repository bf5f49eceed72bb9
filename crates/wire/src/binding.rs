//! A bind as the API server writes it: the node, the annotations of the Binding, and the condition `PodScheduled`.
//!
//! Source: `pkg/registry/core/pod/storage/storage.go` (`assignPod`, `setPodNodeAndMetadata`), `pkg/api/pod/util.go`
//! (`UpdatePodCondition`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{decode::DecodeError, document::Document};

/// Why a pod is not bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBound {
    /// Its text cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// It cannot be bound now.
    #[error("{0}")]
    Refused(String),
}

/// The pod on a node. `now` is the time, RFC 3339.
///
/// # Errors
/// If the pod is on a node already, is being deleted, or waits for its gates.
pub fn bound(
    pod: &Document,
    node: &str,
    annotations: &BTreeMap<String, String>,
    now: &str,
) -> Result<Document, NotBound> {
    let mut refusal = None;
    let bound = pod.edited(|pod| {
        refusal = refused(pod);
        if refusal.is_none() {
            set(pod, node, annotations, now);
        }
        Ok(())
    })?;
    refusal.map_or(Ok(bound), |why| Err(NotBound::Refused(why)))
}

fn refused(pod: &Map<String, Value>) -> Option<String> {
    let (metadata, spec) = (pod.get("metadata"), pod.get("spec"));
    let name = metadata.and_then(|metadata| metadata["name"].as_str()).unwrap_or_default();
    let is_going = metadata.is_some_and(|metadata| !metadata["deletionTimestamp"].is_null());
    let node = spec.and_then(|spec| spec["nodeName"].as_str()).unwrap_or_default();
    let gates = spec.and_then(|spec| spec["schedulingGates"].as_array()).is_some_and(|gates| !gates.is_empty());
    if is_going {
        Some(format!("pod {name} is being deleted, cannot be assigned to a host"))
    } else if !node.is_empty() {
        Some(format!("pod {name} is already assigned to node {node:?}"))
    } else if gates {
        Some(format!("pod {name} has non-empty .spec.schedulingGates"))
    } else {
        None
    }
}

fn set(pod: &mut Map<String, Value>, node: &str, annotations: &BTreeMap<String, String>, now: &str) {
    within(pod, "spec", |spec| drop(spec.insert("nodeName".into(), node.into())));
    if !annotations.is_empty() {
        within(pod, "metadata", |metadata| {
            within(metadata, "annotations", |own| {
                own.extend(annotations.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
            });
        });
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now});
    within(pod, "status", |status| {
        let Value::Array(conditions) = status.entry("conditions").or_insert_with(|| json!([])) else { return };
        match conditions.iter_mut().find(|condition| condition["type"] == "PodScheduled") {
            Some(condition) => *condition = scheduled,
            None => conditions.push(scheduled),
        }
    });
}

/// Changes the object in a field, which is made if there is none.
fn within(object: &mut Map<String, Value>, name: &str, work: impl FnOnce(&mut Map<String, Value>)) {
    if let Value::Object(part) = object.entry(name).or_insert_with(|| json!({})) {
        work(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(pod: &str) -> Result<String, String> {
        let pod = Document::parse(pod.as_bytes()).unwrap();
        let annotations = [("a".to_owned(), "b".to_owned())].into();
        bound(&pod, "n", &annotations, "2026-11-26T10:00:00Z").map(Document::into_body).map_err(|e| e.to_string())
    }

    #[test]
    fn a_bind_sets_node_annotations_and_condition() {
        let condition = r#"{"type":"PodScheduled","status":"True","lastTransitionTime":"2026-11-26T10:00:00Z"}"#;
        assert_eq!(
            bind(
                r#"{"metadata":{"name":"p"},"spec":{"x":1},"status":{"conditions":[{"type":"PodScheduled","status":"False"}]}}"#
            ),
            Ok(format!(
                r#"{{"metadata":{{"name":"p","annotations":{{"a":"b"}}}},"spec":{{"x":1,"nodeName":"n"}},"status":{{"conditions":[{condition}]}}}}"#
            ))
        );
    }

    #[test]
    fn a_pod_that_is_bound_gated_or_going_is_not_bound() {
        let refused = |pod: &str| bind(pod).unwrap_err();
        assert_eq!(
            refused(r#"{"metadata":{"name":"p"},"spec":{"nodeName":"n"}}"#),
            r#"pod p is already assigned to node "n""#
        );
        assert_eq!(
            refused(r#"{"metadata":{"name":"p"},"spec":{"schedulingGates":[{"name":"g"}]}}"#),
            "pod p has non-empty .spec.schedulingGates"
        );
        assert!(refused(r#"{"metadata":{"name":"p","deletionTimestamp":"x"}}"#).contains("is being deleted"));
    }
}
