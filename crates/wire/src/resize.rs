//! Resources of a pod's containers: they are changed by a path of their own.
//!
//! Source: `pkg/registry/core/pod/strategy.go` (`podResizeStrategy`, `dropNonResizeUpdates`),
//! `pkg/apis/core/validation/validation.go` (`ValidatePodResize`).

use serde_json::{Map, Value, value::to_raw_value};

use crate::{
    decode::{self, DecodeError},
    defaults::qos_class,
    document::Document,
    fault::{Cause, Faults, Path},
};

/// The lists of containers that can be resized.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// The fields of a container that the path is about.
const FIELDS: [&str; 2] = ["resources", "resizePolicy"];

/// The resources that can be changed.
const CHANGEABLE: [&str; 2] = ["cpu", "memory"];

/// The stored pod with the resources of the pod sent, container by container.
///
/// # Errors
/// If one of them cannot be read.
pub fn of(stored: &Document, sent: &Document) -> Result<Document, DecodeError> {
    let mut next = stored.clone();
    for name in LISTS {
        let (mut containers, sent) = (list(stored, name)?, list(sent, name)?);
        for container in &mut containers {
            let Some(sent) = sent.iter().find(|other| other["name"] == container["name"]) else { continue };
            let Some(fields) = container.as_object_mut() else { continue };
            for field in FIELDS {
                match &sent[field] {
                    Value::Null => drop(fields.shift_remove(field)),
                    value => drop(fields.insert(field.into(), value.clone())),
                }
            }
        }
        if !containers.is_empty() {
            let raw = to_raw_value(&containers).map_err(|error| fault(name, &error))?;
            next.set_in("spec", name, raw)?;
        }
    }
    Ok(next)
}

/// The faults of a resize.
///
/// # Errors
/// If one of the pods cannot be read.
pub fn changes(next: &Document, stored: &Document) -> Result<Vec<Cause>, DecodeError> {
    let (after, before) = (spec(next)?, spec(stored)?);
    let (mut faults, at) = (Faults::default(), Path::ROOT.child("spec"));
    if before.get("os").is_some_and(|os| os["name"] == "windows") {
        faults.forbidden(&Path::ROOT, "windows pods cannot be resized");
    }
    let has_own = |spec: &Map<String, Value>| {
        spec.get("resources").and_then(Value::as_object).is_some_and(|resources| !resources.is_empty())
    };
    if has_own(&before) {
        faults.forbidden(&Path::ROOT, "pods with pod-level resources cannot be resized");
    }
    for name in LISTS {
        let place = at.child(name);
        let old = items(&before, name);
        for (i, container) in items(&after, name).iter().enumerate() {
            let Some(old) = old.get(i) else { continue };
            if name == "initContainers"
                && container["resources"] != old["resources"]
                && old["restartPolicy"] != "Always"
            {
                let place = place.index(i);
                faults.forbidden(&place.child("resources"), "non-sidecar init containers cannot be resized");
            }
            if others(container) != others(old) {
                faults.forbidden(&at, "only cpu and memory resources are mutable");
            }
            let place = place.index(i);
            let resources = place.child("resources");
            for list in ["requests", "limits"] {
                let place = resources.child(list);
                let removed = old["resources"][list].as_object().into_iter().flat_map(Map::keys);
                for gone in removed.filter(|gone| container["resources"][list].get(gone.as_str()).is_none()) {
                    if CHANGEABLE.contains(&&**gone) {
                        faults.forbidden(&place, &format!("resource {list} cannot be removed"));
                    }
                }
            }
        }
    }
    let (new_class, class) = (qos_class(&after), qos_class(&before));
    if new_class != class {
        faults.invalid(&at, new_class, "Pod QOS Class may not change as a result of resizing");
    }
    Ok(faults.into_causes())
}

/// The amounts of a container that cannot be changed.
fn others(container: &Value) -> Vec<(&'static str, &String, &Value)> {
    let of = |list: &'static str| {
        let amounts = container["resources"][list].as_object().into_iter().flatten();
        amounts.filter(|(name, _)| !CHANGEABLE.contains(&name.as_str())).map(move |(name, amount)| (list, name, amount))
    };
    ["requests", "limits"].into_iter().flat_map(of).collect()
}

fn items<'s>(spec: &'s Map<String, Value>, name: &str) -> &'s [Value] {
    spec.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn spec(pod: &Document) -> Result<Map<String, Value>, DecodeError> {
    pod.get("spec").map_or_else(|| Ok(Map::new()), |spec| decode::from_slice(spec.get().as_bytes()))
}

fn list(pod: &Document, name: &str) -> Result<Vec<Value>, DecodeError> {
    pod.list_in("spec", name)
}

fn fault(name: &str, error: &serde_json::Error) -> DecodeError {
    DecodeError { field: format!("spec.{name}"), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(containers: &Value) -> Document {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": containers}});
        Document::parse(pod.to_string().as_bytes()).expect("a pod")
    }

    #[test]
    fn resources_alone_are_taken_over() {
        let stored = pod(&json!([{"name": "a", "image": "1", "resources": {"requests": {"cpu": "1"}}}, {"name": "b"}]));
        let sent = pod(&json!([{"name": "a", "image": "2", "resources": {"requests": {"cpu": "2"}}}, {"name": "new"}]));
        let next: Value = serde_json::from_str(&of(&stored, &sent).expect("a pod").to_json()).expect("JSON");
        let expected = json!([{"name": "a", "image": "1", "resources": {"requests": {"cpu": "2"}}}, {"name": "b"}]);
        assert_eq!(next["spec"]["containers"], expected);
    }

    #[test]
    fn a_resize_changes_cpu_and_memory_within_the_class() {
        let of = |resources: Value| pod(&json!([{"name": "a", "resources": resources}]));
        let stored = of(json!({"requests": {"cpu": "1", "example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}));
        for (resources, message) in [
            (json!({"requests": {"cpu": "2", "example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}), ""),
            (
                json!({"requests": {"cpu": "1", "example.com/gpu": "2"}, "limits": {"example.com/gpu": "2"}}),
                "only cpu and memory resources are mutable",
            ),
            (json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}), "cannot be removed"),
            (
                json!({"requests": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"},
                    "limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"}}),
                "Pod QOS Class may not change",
            ),
        ] {
            let causes = changes(&of(resources.clone()), &stored).expect("pods");
            let told: String = causes.into_iter().map(|cause| cause.message).collect();
            assert_eq!(told.is_empty(), message.is_empty(), "{resources}: {told}");
            assert!(told.contains(message), "{resources}: {told}");
        }
    }
}
