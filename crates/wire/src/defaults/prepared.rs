//! The work of the API server on an object between reading and validating it: a client does not write the status or the generation
//! through the object itself, and a new object gets those that it begins with.
//!
//! Source: `pkg/registry/*/*/strategy.go` (`PrepareForCreate`, `PrepareForUpdate`), `staging/src/k8s.io/apiserver/pkg/registry/rest/create.go`
//! (`BeforeCreate`), `update.go` (`BeforeUpdate`).

use serde_json::{Map, Value, json};

use super::{
    fixed::{part, set_in},
    label_keys, qos,
};
use crate::{
    kinds::{StoredKind, Subresource},
    types,
};
use podberth_core::snapshot::Kind;

type Object = Map<String, Value>;

/// How often the template of a daemon set changed, as clients see it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// The message of a pod that waits for its gates (`applySchedulingGatedCondition`).
const GATED: &str = "Scheduling is blocked due to non-empty scheduling gates";

/// `true` if the status is written by its own path alone. Those who create nodes write theirs at once.
fn has_own_status(kind: &StoredKind) -> bool {
    kind.has(Subresource::Status) && !kind.is(Kind::Node)
}

/// Makes a normalized object a new one. `now` is the time, RFC 3339.
pub(super) fn create(kind: &StoredKind, object: &mut Object, now: &str) {
    part(object, "metadata", |metadata| {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.remove(field);
        }
        if kind.counts_changes() {
            metadata.insert("generation".into(), 1.into());
        }
    });
    if has_own_status(kind) {
        match types::zeros_of(kind.fields(), "status") {
            Some(zeros) => drop(object.insert("status".into(), zeros.into())),
            None => drop(object.remove("status")),
        }
    }
    match kind.kind {
        "Pod" => {
            if let Some(Value::Object(spec)) = object.get_mut("spec") {
                let grace = "terminationGracePeriodSeconds";
                if spec.get(grace).and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
                    spec.insert(grace.into(), 1.into());
                }
                let mut status = json!({"phase": "Pending"});
                if spec.get("schedulingGates").and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
                    status["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                        "message": GATED, "lastTransitionTime": now}]);
                }
                status["qosClass"] = qos::class(spec).into();
                object.insert("status".into(), status);
            }
            label_keys::merge(object);
        }
        "Namespace" => {
            part(object, "spec", |spec| drop(spec.insert("finalizers".into(), json!(["kubernetes"]))));
            object.insert("status".into(), json!({"phase": "Active"}));
        }
        "PersistentVolume" => {
            drop(object.insert("status".into(), json!({"phase": "Pending", "lastPhaseTransitionTime": now})));
        }
        "PersistentVolumeClaim" => drop(object.insert("status".into(), json!({"phase": "Pending"}))),
        "DaemonSet" => set_in(object, &["metadata", "annotations"], TEMPLATE_GENERATION, "1".into()),
        _ => {}
    }
}

/// The annotations of a deployment, whose changes count as changes of its spec: clients write revisions into them
/// (`pkg/registry/apps/deployment/strategy.go`).
fn annotations(object: &Object) -> Option<&Map<String, Value>> {
    object.get("metadata")?.get("annotations")?.as_object().filter(|annotations| !annotations.is_empty())
}

/// Makes a normalized object the successor of a stored one.
pub(super) fn update(kind: &StoredKind, object: &mut Object, stored: &Object) {
    if kind.has(Subresource::Status) {
        match stored.get("status") {
            Some(status) => drop(object.insert("status".into(), status.clone())),
            None => drop(object.remove("status")),
        }
    }
    let before = stored.get("metadata").map(|metadata| metadata["generation"].clone()).unwrap_or_default();
    let is_changed = object.get("spec") != stored.get("spec")
        || (kind.kind == "Deployment" && annotations(object) != annotations(stored));
    if kind.counts_changes() {
        let generation = before.as_i64().unwrap_or_default() + i64::from(is_changed);
        if generation > 0 {
            part(object, "metadata", |metadata| drop(metadata.insert("generation".into(), generation.into())));
        }
    }
    if kind.kind == "DaemonSet" {
        let template = |object: &Object| object.get("spec").map(|spec| spec["template"].clone());
        let said = stored.get("metadata").and_then(|metadata| metadata["annotations"][TEMPLATE_GENERATION].as_str());
        let before: i64 = said.and_then(|said| said.parse().ok()).unwrap_or(1);
        let generation = before + i64::from(template(object) != template(stored));
        set_in(object, &["metadata", "annotations"], TEMPLATE_GENERATION, generation.to_string().into());
    }
    match kind.kind {
        "Pod" => label_keys::keep(object, stored),
        // They are taken off by a path of their own.
        "Namespace" => match stored.get("spec") {
            Some(spec) => drop(object.insert("spec".into(), spec.clone())),
            None => drop(object.remove("spec")),
        },
        _ => {}
    }
}
