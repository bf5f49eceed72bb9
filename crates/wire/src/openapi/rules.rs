//! The rules for lists and maps in schemas, from the table of patches.

use serde_json::{Value, json};

use crate::patch::list_rules;

/// Marks the fields of a type that patches do not treat as plain JSON, and the type itself.
pub(super) fn mark(name: &str, schema: &mut Value) {
    let Some(of) = type_of(name) else { return };
    let Some(schema) = schema.as_object_mut() else { return };
    if list_rules().any(|(place, _, applied)| place == of && applied == "atomic") {
        schema.insert("x-kubernetes-map-type".into(), "atomic".into());
    }
    for (field, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(property) = property.as_object_mut() else { continue };
        let is_list = property.get("type").is_some_and(|of| of == "array");
        let rule = list_rules().find(|(place, ..)| place.rsplit_once('.') == Some((of, field.as_str())));
        let (strategic, applied) = rule.map_or(("-", "-"), |(_, strategic, applied)| (strategic, applied));
        match strategic.strip_prefix("merge(").and_then(|key| key.strip_suffix(')')) {
            Some(key) => {
                property.insert("x-kubernetes-patch-merge-key".into(), key.into());
                property.insert("x-kubernetes-patch-strategy".into(), "merge".into());
            }
            None if strategic == "merge" => {
                property.insert("x-kubernetes-patch-strategy".into(), "merge".into());
            }
            None => {}
        }
        let keys = applied.strip_prefix("map(").and_then(|keys| keys.strip_suffix(')'));
        if let Some(keys) = keys {
            let keys: Vec<&str> = keys.split(',').map(|key| key.split('=').next().unwrap_or_default()).collect();
            property.insert("x-kubernetes-list-map-keys".into(), json!(keys));
            property.insert("x-kubernetes-list-type".into(), "map".into());
        } else if applied == "set" {
            property.insert("x-kubernetes-list-type".into(), "set".into());
        } else if is_list {
            property.insert("x-kubernetes-list-type".into(), "atomic".into());
        } else if applied == "atomic" {
            property.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
    }
}

/// The name of a type in the table of patches: `Container`, and `resource.ResourceClaim` where two groups have one.
fn type_of(name: &str) -> Option<&str> {
    const APART: [&str; 2] = ["io.k8s.api.resource.v1.ResourceClaim", "io.k8s.api.events.v1.Event"];
    (!APART.contains(&name)).then(|| name.rsplit('.').next())?
}
