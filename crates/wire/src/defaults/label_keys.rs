//! `matchLabelKeys` and `mismatchLabelKeys` of a new pod's affinity and spread: for each of the keys that the pod has as a label, its
//! selectors get a requirement with the label's value.
//!
//! Source: `pkg/registry/core/pod/strategy.go` (`applyMatchLabelKeysAndMismatchLabelKeys`, `mutateTopologySpreadConstraints`).

use serde_json::{Map, Value, json};

use crate::objects::affinity::{PREFERRED, REQUIRED};

type Object = Map<String, Value>;

/// Writes the requirements into a normalized pod.
pub(super) fn merge(pod: &mut Object) {
    let labels = match pod.get("metadata").map(|metadata| &metadata["labels"]) {
        Some(Value::Object(labels)) => labels.clone(),
        _ => return,
    };
    let Some(Value::Object(spec)) = pod.get_mut("spec") else { return };
    if let Some(Value::Object(affinity)) = spec.get_mut("affinity") {
        for of in ["podAffinity", "podAntiAffinity"] {
            let Some(Value::Object(terms)) = affinity.get_mut(of) else { continue };
            for term in items(terms, REQUIRED) {
                add(term, &labels);
            }
            for weighted in items(terms, PREFERRED) {
                if let Some(Value::Object(term)) = weighted.get_mut("podAffinityTerm") {
                    add(term, &labels);
                }
            }
        }
    }
    for constraint in items(spec, "topologySpreadConstraints") {
        add(constraint, &labels);
    }
}

/// The objects in a list.
fn items<'o>(object: &'o mut Object, field: &str) -> impl Iterator<Item = &'o mut Object> {
    let list = object.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Adds the requirements of one term.
fn add(term: &mut Object, labels: &Object) {
    let keys = |field: &str| {
        let keys = term.get(field).and_then(Value::as_array).into_iter().flatten();
        keys.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let (matched, mismatched) = (keys("matchLabelKeys"), keys("mismatchLabelKeys"));
    let Some(Value::Object(selector)) = term.get_mut("labelSelector") else { return };
    for (key, operator) in matched.iter().map(|key| (key, "In")).chain(mismatched.iter().map(|key| (key, "NotIn"))) {
        let Some(value) = labels.get(key) else { continue };
        let requirement = json!({"key": key, "operator": operator, "values": [value]});
        let list = selector.entry("matchExpressions").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(requirement);
        }
    }
}

/// Keeps in a pod that replaces a stored one the requirements that were written, if the pod was sent without them.
pub(super) fn keep(sent: &mut Object, stored: &Object) {
    let mut merged = sent.clone();
    merge(&mut merged);
    let spec = |pod: &Object, field: &str| pod.get("spec").map(|spec| spec[field].clone()).unwrap_or_default();
    for field in ["affinity", "topologySpreadConstraints"] {
        if spec(sent, field) != spec(stored, field)
            && spec(&merged, field) == spec(stored, field)
            && let Some(Value::Object(sent)) = sent.get_mut("spec")
        {
            sent.insert(field.into(), spec(stored, field));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_the_pod_has_become_requirements() {
        let term = json!({"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone", "matchLabelKeys": ["v", "absent"],
                          "mismatchLabelKeys": ["tenant"]});
        let pod = json!({"metadata": {"labels": {"v": "1", "tenant": "t"}}, "spec": {
            "affinity": {"podAffinity": {REQUIRED: [term], PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}},
            "topologySpreadConstraints": [term, {"matchLabelKeys": ["v"]}]}});
        let mut merged = pod.as_object().unwrap().clone();
        merge(&mut merged);
        let expected = json!([{"key": "v", "operator": "In", "values": ["1"]}, {"key": "tenant", "operator": "NotIn", "values": ["t"]}]);
        let affinity = &merged["spec"]["affinity"]["podAffinity"];
        assert_eq!(affinity[REQUIRED][0]["labelSelector"]["matchExpressions"], expected);
        assert_eq!(affinity[PREFERRED][0]["podAffinityTerm"]["labelSelector"]["matchExpressions"], expected);
        let spread = &merged["spec"]["topologySpreadConstraints"];
        assert_eq!(spread[0]["labelSelector"]["matchExpressions"], expected);
        assert_eq!(spread[1], json!({"matchLabelKeys": ["v"]}), "a missing selector stays missing");
        let mut sent = pod.as_object().unwrap().clone();
        keep(&mut sent, &merged);
        assert_eq!(sent, merged);
    }
}
