//! Permitted changes of an existing pod: few, so that decisions about it stay true.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidatePodUpdate`, `validateOnlyAddedTolerations`,
//! `validateOnlyDeletedSchedulingGates`, `validateNodeSelectorMutation`, `validateNodeAffinityMutation`).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    document::Document,
    fault::{Cause, Faults, Path},
    objects::affinity::REQUIRED,
    tree,
};
use podberth_core::model::Quantity;

/// Changeable fields, as the API server lists them.
const MUTABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                       `spec.tolerations` (only additions to existing tolerations),\
                       `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// How many fields that may not change are named.
const NAMED: usize = 5;

/// Texts that the API server fills in: leaving them out equals setting them.
const DEFAULTS: [(&str, &str); 9] = [
    ("restartPolicy", "Always"),
    ("dnsPolicy", "ClusterFirst"),
    ("schedulerName", "default-scheduler"),
    ("serviceAccountName", "default"),
    ("serviceAccount", "default"),
    ("preemptionPolicy", "PreemptLowerPriority"),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
    ("protocol", "TCP"),
];

/// Fields that only the server sets: if the update leaves them out, they stay.
const GIVEN: [&str; 4] = ["priority", "imagePullPolicy", "terminationGracePeriodSeconds", "enableServiceLinks"];

/// The faults of a pod that is to take the place of the stored one.
pub fn pod(sent: &Document, stored: &Document) -> Vec<Cause> {
    let mut faults = Faults::default();
    if let (Some(sent), Some(stored)) = (spec(sent), spec(stored))
        && sent != stored
    {
        compare(sent, &stored, &mut faults);
    }
    faults.into_causes()
}

fn spec(document: &Document) -> Option<Map<String, Value>> {
    let spec = document.get("spec").map_or(Ok(Value::Null), |raw| tree::parse(raw.get().as_bytes()));
    match plain("spec", spec.ok()?) {
        Some(Value::Object(spec)) => Some(spec),
        // Other rules report a value that is not an object.
        Some(_) => None,
        None => Some(Map::new()),
    }
}

/// A value without its meaningless parts: absent, empty and false ones, and the API server's defaults. Amounts are compared by value.
fn plain(key: &str, value: Value) -> Option<Value> {
    let amounts = matches!(key, "requests" | "limits" | "overhead");
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) => {
            let said = !text.is_empty() && !DEFAULTS.contains(&(key, &text));
            said.then_some(Value::String(text))
        }
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().map(|item| plain("", item).unwrap_or(Value::Null)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(fields) => {
            let fields: Map<String, Value> = fields
                .into_iter()
                .filter_map(|(key, value)| {
                    let value = if amounts { amount(value) } else { plain(&key, value)? };
                    Some((key, value))
                })
                .collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        other => Some(other),
    }
}

fn amount(value: Value) -> Value {
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.trim().parse::<Quantity>().map_or(value, |quantity| Value::String(quantity.to_string()))
}

fn list<'v>(spec: &'v Map<String, Value>, field: &str) -> &'v [Value] {
    spec.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn compare(mut sent: Map<String, Value>, stored: &Map<String, Value>, faults: &mut Faults) {
    let at = Path::ROOT.child("spec");
    for field in ["containers", "initContainers"] {
        if list(&sent, field).len() != list(stored, field).len() {
            faults.forbidden(&at.child(field), "pod updates may not add or remove containers");
            return;
        }
    }
    deadline(&sent, stored, &at, faults);
    tolerations(&sent, stored, &at, faults);
    gates(&sent, stored, &at, faults);
    let grace = "terminationGracePeriodSeconds";
    if stored.get(grace).and_then(Value::as_i64).is_some_and(|seconds| seconds < 0)
        && sent.get(grace) == Some(&json!(1))
    {
        take(&mut sent, stored, grace);
    }
    if !list(stored, "schedulingGates").is_empty() {
        gated(&mut sent, stored, &at, faults);
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        take(&mut sent, stored, field);
    }
    for field in GIVEN {
        if !sent.contains_key(field) {
            take(&mut sent, stored, field);
        }
    }
    for field in ["containers", "initContainers"] {
        let pairs = sent.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().zip(list(stored, field));
        for (sent, stored) in pairs {
            if let (Value::Object(sent), Value::Object(stored)) = (sent, stored) {
                take(sent, stored, "image");
                for field in GIVEN.into_iter().filter(|field| !sent.contains_key(*field)).collect::<Vec<_>>() {
                    take(sent, stored, field);
                }
            }
        }
    }
    let mut changed = Vec::new();
    differences(&Value::Object(sent), &Value::Object(stored.clone()), "spec", &mut changed);
    if !changed.is_empty() {
        let more = if changed.len() > NAMED { ", and more" } else { "" };
        changed.truncate(NAMED);
        let changed = changed.join(", ");
        let hint = if changed.contains("spec.nodeName") { "; bind the pod, or delete it if it is bound" } else { "" };
        let why = format!("pod updates may not change fields other than {MUTABLE}; these would: {changed}{more}{hint}");
        faults.forbidden(&at, &why);
    }
}

/// Takes a field over as it is stored.
fn take(sent: &mut Map<String, Value>, stored: &Map<String, Value>, field: &str) {
    match stored.get(field) {
        Some(value) => drop(sent.insert(field.into(), value.clone())),
        None => drop(sent.remove(field)),
    }
}

/// The fields in which two values differ.
fn differences(sent: &Value, stored: &Value, at: &str, found: &mut Vec<String>) {
    if found.len() > NAMED || sent == stored {
        return;
    }
    match (sent, stored) {
        (Value::Object(sent), Value::Object(stored)) => {
            let keys: BTreeSet<&String> = sent.keys().chain(stored.keys()).collect();
            for key in keys {
                let of = |fields: &'_ Map<String, Value>| fields.get(key).cloned().unwrap_or(Value::Null);
                differences(&of(sent), &of(stored), &format!("{at}.{key}"), found);
            }
        }
        (Value::Array(sent), Value::Array(stored)) if sent.len() == stored.len() => {
            for (i, (sent, stored)) in sent.iter().zip(stored).enumerate() {
                differences(sent, stored, &format!("{at}[{i}]"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

fn deadline(sent: &Map<String, Value>, stored: &Map<String, Value>, at: &Path<'_>, faults: &mut Faults) {
    let field = "activeDeadlineSeconds";
    let at = at.child(field);
    let seconds = |spec: &Map<String, Value>| spec.get(field).and_then(Value::as_i64);
    match (seconds(sent), seconds(stored)) {
        (None, Some(_)) => faults.invalid(&at, "", "must not update from a positive integer to nil value"),
        (Some(new), Some(old)) if new > old => {
            faults.invalid(&at, new, "must be less than or equal to previous value");
        }
        _ => {}
    }
}

/// Tolerations may be added; of those there are, `tolerationSeconds` may change.
fn tolerations(sent: &Map<String, Value>, stored: &Map<String, Value>, at: &Path<'_>, faults: &mut Faults) {
    let without_seconds = |toleration: &Value| match toleration.clone() {
        Value::Object(mut fields) => {
            fields.remove("tolerationSeconds");
            Value::Object(fields).to_string()
        }
        other => other.to_string(),
    };
    let kept: BTreeSet<String> = list(sent, "tolerations").iter().map(without_seconds).collect();
    if !list(stored, "tolerations").iter().all(|toleration| kept.contains(&without_seconds(toleration))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        faults.forbidden(&at.child("tolerations"), why);
    }
}

/// Gates may be taken away.
fn gates(sent: &Map<String, Value>, stored: &Map<String, Value>, at: &Path<'_>, faults: &mut Faults) {
    let gates_at = at.child("schedulingGates");
    let name = |gate: &Value| gate.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let old: BTreeSet<String> = list(stored, "schedulingGates").iter().map(name).collect();
    for (i, gate) in list(sent, "schedulingGates").iter().map(name).enumerate().filter(|(_, gate)| !old.contains(gate))
    {
        let why = format!("only deletion is allowed, but found new scheduling gate '{gate}'");
        faults.forbidden(&gates_at.index(i).child("name"), &why);
    }
}

/// Of a pod that is held back, the nodes it may go to may become fewer.
fn gated(sent: &mut Map<String, Value>, stored: &Map<String, Value>, at: &Path<'_>, faults: &mut Faults) {
    let selector = "nodeSelector";
    let pairs = stored.get(selector).and_then(Value::as_object).into_iter().flatten();
    let new = sent.get(selector).cloned().unwrap_or_default();
    if pairs.into_iter().any(|(key, value)| new.get(key) != Some(value)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        faults.invalid(&at.child(selector), new.to_string(), why);
    }
    take(sent, stored, selector);
    let (affinity_at, field) = (at.child("affinity"), "nodeAffinity");
    let of = |spec: &Map<String, Value>| spec.get("affinity").and_then(|affinity| affinity.get(field)).cloned();
    node_affinity(of(sent).as_ref(), of(stored).as_ref(), &affinity_at.child(field), faults);
    let mut affinity = sent.get("affinity").and_then(Value::as_object).cloned().unwrap_or_default();
    match of(stored) {
        Some(old) => drop(affinity.insert(field.into(), old)),
        None => drop(affinity.remove(field)),
    }
    if affinity.is_empty() {
        sent.remove("affinity");
    } else {
        sent.insert("affinity".into(), Value::Object(affinity));
    }
}

fn node_affinity(sent: Option<&Value>, stored: Option<&Value>, at: &Path<'_>, faults: &mut Faults) {
    let terms = |affinity: Option<&Value>| {
        let terms = affinity.and_then(|affinity| affinity.get(REQUIRED)?.get("nodeSelectorTerms")?.as_array().cloned());
        terms.unwrap_or_default()
    };
    let (new, old) = (terms(sent), terms(stored));
    let required = at.child(REQUIRED);
    let terms_at = required.child("nodeSelectorTerms");
    if old.is_empty() {
        return;
    }
    if new.len() != old.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        faults.invalid(&terms_at, Value::Array(new).to_string(), why);
        return;
    }
    for (i, (new, old)) in new.iter().zip(&old).enumerate() {
        let grows = |field: &str| {
            let list = |term: &Value| term.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
            list(new).starts_with(&list(old))
        };
        if !grows("matchExpressions") || !grows("matchFields") {
            let why = "only additions are allowed (no mutations or deletions)";
            faults.invalid(&terms_at.index(i), new.to_string(), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(stored: &str, sent: &str) -> Vec<String> {
        let document = |spec: &str| Document::parse(format!(r#"{{"spec":{spec}}}"#).as_bytes()).unwrap();
        pod(&document(sent), &document(stored)).into_iter().map(|cause| cause.field).collect()
    }

    const POD: &str = r#"{"containers":[{"name":"c","image":"a","resources":{"requests":{"cpu":"1"}}}],"tolerations":[{"key":"a","operator":"Exists"}]}"#;

    #[test]
    fn only_few_fields_of_a_pod_change() {
        for (from, to, expected) in [
            ("}", "}", [].as_slice()),
            (r#""image":"a""#, r#""image":"b""#, &[]),
            (r#""cpu":"1""#, r#""cpu":"1000m""#, &[]),
            (r#""cpu":"1""#, r#""cpu":1"#, &[]),
            (r#""image":"a""#, r#""image":"a","terminationMessagePolicy":"File","ports":[],"stdin":false"#, &[]),
            (r#"{"containers""#, r#"{"nodeName":"","dnsPolicy":"ClusterFirst","priority":null,"containers""#, &[]),
            (r"}]}", r#"},{"key":"b"}]}"#, &[]),
            (r#""Exists"}"#, r#""Exists","tolerationSeconds":5}"#, &[]),
            (r#"{"containers""#, r#"{"activeDeadlineSeconds":5,"containers""#, &[]),
            (r#""cpu":"1""#, r#""cpu":"400""#, &["spec"]),
            (r#""cpu":"1""#, r#""cpu":"1","memory":"1Gi""#, &["spec"]),
            (r#"{"containers""#, r#"{"nodeName":"n","containers""#, &["spec"]),
            (r#"{"containers""#, r#"{"priority":7,"containers""#, &["spec"]),
            (r#"{"containers""#, r#"{"nodeSelector":{"a":"b"},"containers""#, &["spec"]),
            (r#"{"containers""#, r#"{"schedulerName":"x","containers""#, &["spec"]),
            (r#"{"name":"c""#, r#"{"name":"d"},{"name":"c""#, &["spec.containers"]),
            (r#"{"containers""#, r#"{"initContainers":[{"name":"i"}],"containers""#, &["spec.initContainers"]),
            (r#""key":"a""#, r#""key":"b""#, &["spec.tolerations"]),
            (
                r#"{"containers""#,
                r#"{"schedulingGates":[{"name":"g"}],"containers""#,
                &["spec.schedulingGates[0].name"],
            ),
        ] {
            assert_eq!(faults(POD, &POD.replacen(from, to, 1)), expected, "{from} → {to}");
        }
        assert_eq!(
            faults(r#"{"activeDeadlineSeconds":5}"#, r#"{"activeDeadlineSeconds":6}"#),
            ["spec.activeDeadlineSeconds"]
        );
        assert_eq!(faults(r#"{"activeDeadlineSeconds":5}"#, "{}"), ["spec.activeDeadlineSeconds"]);
        assert_eq!(faults(r#"{"priority":5}"#, "{}"), [""; 0], "what the server gave stays where it is left out");
        assert_eq!(faults(r#"{"nodeName":"n"}"#, "{}"), ["spec"]);
        assert_eq!(faults(r#"{"nodeName":"n"}"#, r#"{"nodeName":"m"}"#), ["spec"]);
    }

    #[test]
    fn a_gated_pod_may_become_pickier() {
        let gated = r#"{"schedulingGates":[{"name":"g"}],"nodeSelector":{"a":"1"},"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"x"}]}]}}}}"#;
        let terms = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        for (from, to, expected) in [
            (r#"{"a":"1"}"#, r#"{"a":"1","b":"2"}"#, vec![]),
            (r#"[{"name":"g"}]"#, "[]", vec![]),
            (r#"{"key":"x"}"#, r#"{"key":"x"},{"key":"y"}"#, vec![]),
            (r#"{"a":"1"}"#, r#"{"a":"2"}"#, vec!["spec.nodeSelector".to_owned()]),
            (r#"{"key":"x"}"#, r#"{"key":"y"}"#, vec![format!("{terms}[0]")]),
            (r#"[{"matchE"#, r#"[{},{"matchE"#, vec![terms.to_owned()]),
        ] {
            assert_eq!(faults(gated, &gated.replacen(from, to, 1)), expected, "{from} → {to}");
        }
    }
}
