//! Ephemeral containers of a pod: they are added by a path of their own, and never changed or removed.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidatePodEphemeralContainersUpdate`).

use serde_json::Value;

use crate::{
    decode::DecodeError,
    document::Document,
    fault::{Cause, Faults, Path},
};

/// The field of `spec`.
pub const FIELD: &str = "ephemeralContainers";

/// The faults of a new pod that has some.
///
/// # Errors
/// If they are no list.
pub fn on_create(pod: &Document) -> Result<Vec<Cause>, DecodeError> {
    let mut faults = Faults::default();
    if !list(pod)?.is_empty() {
        faults.forbidden(&Path::ROOT.child("spec").child(FIELD), "cannot be set on create");
    }
    Ok(faults.into_causes())
}

fn list(pod: &Document) -> Result<Vec<Value>, DecodeError> {
    pod.list_in("spec", FIELD)
}

/// The faults of an update of the ephemeral containers.
///
/// # Errors
/// If they are no list.
pub fn changes(next: &Document, stored: &Document) -> Result<Vec<Cause>, DecodeError> {
    let (after, mut faults) = (list(next)?, Faults::default());
    let spec = Path::ROOT.child("spec");
    let at = spec.child(FIELD);
    for old in list(stored)? {
        let name = &old["name"];
        match after.iter().find(|new| new["name"] == *name) {
            None => faults.forbidden(&at, &format!("existing ephemeral containers {name} may not be removed\n")),
            Some(new) if *new != old => {
                faults.forbidden(&at, &format!("existing ephemeral containers {name} may not be changed\n"));
            }
            Some(_) => {}
        }
    }
    Ok(faults.into_causes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ephemeral_containers_are_added_and_never_changed() {
        let pod = |containers: Value| {
            let pod = json!({"metadata": {}, "spec": {"ephemeralContainers": containers}});
            Document::parse(pod.to_string().as_bytes()).expect("a pod")
        };
        let stored = pod(json!([{"name": "a", "image": "1"}]));
        for (next, message) in [
            (json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]), ""),
            (json!([{"name": "b", "image": "1"}]), "may not be removed"),
            (json!([{"name": "a", "image": "2"}]), "may not be changed"),
            (json!(null), "may not be removed"),
        ] {
            let causes = changes(&pod(next.clone()), &stored).expect("lists");
            let told: String = causes.into_iter().map(|cause| cause.message).collect();
            assert_eq!(told.is_empty(), message.is_empty(), "{next}: {told}");
            assert!(told.contains(message), "{next}: {told}");
        }
    }
}
