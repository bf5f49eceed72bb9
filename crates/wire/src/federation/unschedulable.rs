//! Pods of a workload that wait because they fit nowhere, as their documents tell it.
//!
//! Source: `karmada/pkg/estimator/server/replica/replica.go`, `k8s.io/kubectl/pkg/util/deployment/deployment.go` (`FindNewReplicaSet`).

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The label by which a Deployment tells its ReplicaSets apart.
const HASH: &str = "pod-template-hash";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: Option<String>,
    last_transition_time: Option<Timestamp>,
}

/// Since when a pod counts as unschedulable by its condition; `None` if it does not. One without a time does so for ever.
pub fn since(pod: &[u8]) -> Option<Timestamp> {
    let pod: Pod = serde_json::from_slice(pod).ok()?;
    let condition = pod.status.conditions.into_iter().find(|condition| condition.kind == "PodScheduled")?;
    let is_so = condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable");
    is_so.then(|| condition.last_transition_time.unwrap_or(Timestamp::MIN))
}

/// `true` if the pods of a ReplicaSet are of the template that its Deployment has now.
pub fn has_template_of(replica_set: &[u8], deployment: &[u8]) -> bool {
    let template = |object: &[u8]| {
        let mut object: Value = serde_json::from_slice(object).ok()?;
        let mut template = object.get_mut("spec")?.get_mut("template")?.take();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.shift_remove(HASH);
        }
        Some(template)
    };
    template(replica_set).is_some_and(|of_set| template(deployment).is_some_and(|wanted| wanted == of_set))
}

/// `true` if an object has a controller with this uid.
pub fn is_controlled_by(object: &[u8], uid: &str) -> bool {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        #[serde(default)]
        owner_references: Vec<Owner>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Owner {
        uid: String,
        controller: Option<bool>,
    }
    let object = serde_json::from_slice(object).ok();
    object.is_some_and(|Object { metadata }| {
        metadata.owner_references.iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn a_pod_is_unschedulable_by_its_condition() {
        let pod = |condition: Value| {
            bytes(&json!({"status": {"conditions": [{"type": "Ready", "status": "False"}, condition]}}))
        };
        let waits = pod(
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": "2026-01-02T03:04:05Z"}),
        );
        assert_eq!(since(&waits).map(Timestamp::as_second), Some(1_767_323_045));
        let timeless = pod(json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}));
        assert_eq!(since(&timeless), Some(Timestamp::MIN));
        for other in [
            json!({"type": "PodScheduled", "status": "True"}),
            json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}),
        ] {
            assert_eq!(since(&pod(other)), None);
        }
        assert_eq!(since(b"{}"), None);
        assert_eq!(since(b"["), None);
    }

    #[test]
    fn the_new_replica_set_has_the_template_of_its_deployment() {
        let of = |labels: Value, image: &str| {
            bytes(
                &json!({"spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": image}]}}}}),
            )
        };
        let deployment = of(json!({"app": "web"}), "web:2");
        assert!(has_template_of(&of(json!({"app": "web", "pod-template-hash": "abc"}), "web:2"), &deployment));
        assert!(!has_template_of(&of(json!({"app": "web", "pod-template-hash": "abc"}), "web:1"), &deployment));
        assert!(!has_template_of(b"{}", &deployment) && !has_template_of(b"{}", b"{}"));
    }

    #[test]
    fn the_controller_is_one_of_the_owners() {
        let owned = bytes(&json!({"metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b", "controller": true}]}}));
        assert!(is_controlled_by(&owned, "b") && !is_controlled_by(&owned, "a"));
        assert!(!is_controlled_by(b"{}", "b"));
    }
}
