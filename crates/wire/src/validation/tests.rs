//! Objects compared with the replies of kube-apiserver 1.34.1 (`tests/data/validation-1.34.jsonl`), and properties.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use crate::{fault::Cause, kinds};

/// Faults that Podberth ignores, since no decision reads the field.
const UNREAD: &[&str] = &[
    "pod-spec: dnsPolicy",
    "pod-spec: dnsPolicy unknown",
    "pod-spec: hostname",
    "pod-spec: serviceAccountName",
    "pod-spec: many faults", // an image
    "gates-and-more: readinessGate",
    "gates-and-more: os",
    "gates-and-more: hostAliases",
    "nodes: podCIDR",
    "nodes: podCIDRs",
    "pvcs: data source",
    "workloads: no template",
    "workloads: template container", // an image
    "workloads: no spec",
    "rcs: no template",
    "services: no ports",
    "services: port 0",
    "services: type",
    "services: two ports no names",
    "services: affinity",
    "services: external",
];

/// `Ok` with the causes as (field, reason), or `Err` where the object cannot be read.
fn validated(plural: &str, json: &str) -> Result<BTreeSet<(String, String)>, ()> {
    let row = kinds::ALL.iter().find(|kind| kind.plural == plural).expect("a stored kind");
    let causes: Vec<Cause> = row.validate(json.as_bytes()).map_err(drop)?.causes;
    if causes.iter().any(|cause| cause.unreadable) {
        return Err(());
    }
    Ok(causes.into_iter().map(|cause| (cause.field, cause.reason)).collect())
}

#[test]
fn objects_are_refused_as_the_api_server_refuses_them() {
    let recorded = include_str!("../../../../tests/data/validation-1.34.jsonl");
    let mut wrong = Vec::new();
    for line in recorded.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let about = case["about"].as_str().expect("a text");
        let found = validated(case["plural"].as_str().expect("a text"), &case["object"].to_string());
        let pair = |cause: &Value| (cause[0].as_str().unwrap().to_owned(), cause[1].as_str().unwrap().to_owned());
        let expected = case["causes"].as_array().expect("a list").iter().map(pair).collect();
        let expected = if case["status"] == 400 { Err(()) } else { Ok(expected) };
        if (found != expected) != UNREAD.contains(&about) {
            wrong.push(format!("{about}: {found:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Any value for any place in an object.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-zA-Z0-9/.%-]{0,12}".prop_map(Value::from),
        Just(Value::from("1Gi")),
        Just(Value::from("hugepages-2Mi")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let keys = "(name|key|requests|cpu|spec|containers|matchExpressions|values|storage)";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..3).prop_map(Value::from_iter),
        ]
    })
}

/// An object that holds something else in one of its places.
fn bent() -> impl Strategy<Value = (String, String)> {
    let recorded = include_str!("../../../../tests/data/validation-1.34.jsonl");
    let cases: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (prop::sample::select(cases), any::<prop::sample::Index>(), anything()).prop_map(|(case, place, other)| {
        let mut object = case["object"].clone();
        let mut pointers = Vec::new();
        places(&object, String::new(), &mut pointers);
        if let Some(place) = object.pointer_mut(&pointers[place.index(pointers.len())]) {
            *place = other;
        }
        (case["plural"].as_str().expect("a text").to_owned(), object.to_string())
    })
}

pub(super) fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            places(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| places(value, format!("{at}/{i}"), found));
        }
        _ => {}
    }
    found.push(at);
}

proptest! {
    #[test]
    fn no_object_panics((plural, json) in bent()) {
        let once = validated(&plural, &json);
        prop_assert_eq!(validated(&plural, &json), once, "and the same is always said of it");
    }
}
