//! The rules of deletion as tables.

use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn kind(plural: &str) -> &'static StoredKind {
    kinds::ALL.iter().find(|kind| kind.plural == plural).expect("a stored kind")
}

fn document(object: &Value) -> Document {
    Document::parse(object.to_string().as_bytes()).expect("an object")
}

fn object(document: Document) -> Value {
    serde_json::from_str(&document.into_body()).expect("JSON")
}

fn now() -> Timestamp {
    "2026-11-26T10:00:00Z".parse().expect("an instant")
}

/// The effect in one word, and the metadata without name and uid.
fn ended(plural: &str, stored: &Value, options: Options) -> (&'static str, Value) {
    let (word, next) = match end(kind(plural), &document(stored), options, now()).expect("metadata that can be read") {
        End::Removed(next) => ("removed", next),
        End::Marked(next) => ("marked", next),
        End::Pending => return ("pending", Value::Null),
    };
    (word, object(next)["metadata"].take())
}

const POLICY: Options = Options { grace_period_seconds: None, propagation_policy: None, orphan_dependents: None };

fn with_policy(policy: Propagation) -> Options {
    Options { propagation_policy: Some(policy), ..POLICY }
}

fn with_grace(seconds: i64) -> Options {
    Options { grace_period_seconds: Some(seconds), ..POLICY }
}

#[test]
fn objects_without_finalizers_go_at_once_as_they_are() {
    let stored = json!({"metadata": {"name": "a", "generation": 3}});
    for plural in ["configmaps", "nodes", "deployments", "persistentvolumes"] {
        assert_eq!(ended(plural, &stored, POLICY), ("removed", json!({"name": "a", "generation": 3})), "{plural}");
    }
}

#[test]
fn finalizers_keep_a_marked_object() {
    let stored = json!({"metadata": {"generation": 1, "finalizers": ["a.example/x"]}});
    let marked = json!({"generation": 2, "finalizers": ["a.example/x"], "deletionTimestamp": "2026-11-26T10:00:00Z",
        "deletionGracePeriodSeconds": 0});
    assert_eq!(ended("deployments", &stored, POLICY), ("marked", marked.clone()));
    // A second deletion changes nothing.
    assert_eq!(ended("deployments", &json!({"metadata": marked}), POLICY), ("marked", marked));
}

#[test]
fn propagation_sets_one_finalizer_and_takes_the_other() {
    use Propagation::{Background, Foreground, Orphan};
    let cases = [
        ("replicasets", json!([]), Some(Orphan), json!(["orphan"])),
        ("replicasets", json!([]), Some(Foreground), json!(["foregroundDeletion"])),
        ("replicasets", json!([]), Some(Background), Value::Null),
        ("replicasets", json!(["orphan"]), None, json!(["orphan"])),
        ("replicasets", json!(["orphan"]), Some(Background), Value::Null),
        ("replicasets", json!(["x", "orphan"]), Some(Foreground), json!(["x", "foregroundDeletion"])),
        ("replicationcontrollers", json!([]), None, json!(["orphan"])),
        ("replicationcontrollers", json!(["foregroundDeletion"]), None, json!(["foregroundDeletion"])),
        ("jobs", json!([]), None, json!(["orphan"])),
        ("jobs", json!([]), Some(Background), Value::Null),
        ("events", json!([]), Some(Orphan), Value::Null),
    ];
    for (plural, before, policy, after) in cases {
        let options = Options { propagation_policy: policy, ..POLICY };
        let (word, metadata) = ended(plural, &json!({"metadata": {"finalizers": before}}), options);
        assert_eq!(word, if after.is_null() { "removed" } else { "marked" }, "{plural} {before} {policy:?}");
        if word == "marked" {
            assert_eq!(metadata["finalizers"], after, "{plural} {before} {policy:?}");
        }
    }
    let older = |orphan| Options { orphan_dependents: Some(orphan), ..POLICY };
    assert_eq!(ended("replicasets", &json!({"metadata": {}}), older(true)).0, "marked");
    assert_eq!(ended("replicationcontrollers", &json!({"metadata": {}}), older(false)).0, "removed");
}

#[test]
fn running_pods_get_their_grace_and_others_none() {
    let pod = |node: &str, phase: &str, own: Value| {
        json!({"metadata": {"generation": 1}, "status": {"phase": phase},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": own}})
    };
    let cases = [
        (pod("n", "Running", json!(30)), POLICY, "marked", 30),
        (pod("n", "Running", json!(null)), POLICY, "removed", 0),
        (pod("n", "Running", json!(30)), with_grace(5), "marked", 5),
        (pod("n", "Running", json!(30)), with_grace(0), "removed", 0),
        (pod("n", "Running", json!(30)), with_grace(-9), "marked", 1),
        (pod("n", "Pending", json!(30)), POLICY, "marked", 30),
        (pod("n", "Succeeded", json!(30)), POLICY, "removed", 0),
        (pod("n", "Failed", json!(30)), with_grace(60), "removed", 0),
        (pod("", "Pending", json!(30)), with_grace(60), "removed", 0),
    ];
    for (stored, options, word, seconds) in cases {
        let (done, metadata) = ended("pods", &stored, options);
        assert_eq!((done, &metadata["deletionGracePeriodSeconds"]), (word, &json!(seconds)), "{stored} {options:?}");
        assert_eq!(metadata["generation"], 2, "{stored}");
    }
    let (_, metadata) = ended("pods", &pod("n", "Running", json!(30)), POLICY);
    assert_eq!(metadata["deletionTimestamp"], "2026-11-26T10:00:30Z");
}

#[test]
fn the_grace_of_a_pod_is_shortened_and_never_lengthened() {
    let stored = json!({"spec": {"nodeName": "n"}, "metadata": {"generation": 2,
        "deletionTimestamp": "2026-11-26T10:00:20Z", "deletionGracePeriodSeconds": 30}});
    for options in [POLICY, with_grace(30), with_grace(60), with_policy(Propagation::Orphan)] {
        assert_eq!(ended("pods", &stored, options).0, "pending", "{options:?}");
    }
    let (word, metadata) = ended("pods", &stored, with_grace(10));
    assert_eq!((word, &metadata["deletionTimestamp"]), ("marked", &json!("2026-11-26T10:00:00Z")));
    assert_eq!((&metadata["deletionGracePeriodSeconds"], &metadata["generation"]), (&json!(10), &json!(2)));
    assert_eq!(ended("pods", &stored, with_grace(0)).0, "removed");
}

#[test]
fn namespaces_terminate_until_their_own_finalizers_are_gone() {
    let stored =
        json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let End::Marked(next) = end(kind("namespaces"), &document(&stored), POLICY, now()).expect("it can be read") else {
        panic!("a namespace waits for its content");
    };
    let next = object(next);
    assert_eq!(next["metadata"], json!({"name": "a", "deletionTimestamp": "2026-11-26T10:00:00Z"}));
    assert_eq!(next["status"], json!({"phase": "Terminating"}));
    assert_eq!(ended("namespaces", &next, POLICY).0, "pending");
    let emptied = json!({"metadata": {"deletionTimestamp": "2026-11-26T10:00:00Z"}, "spec": {"finalizers": []}});
    assert_eq!(ended("namespaces", &emptied, POLICY).0, "removed");
}

#[test]
fn updates_end_a_marked_object_that_nobody_waits_for() {
    let marked = |grace: Value, finalizers: Value, own: Value| {
        json!({"metadata": {"deletionTimestamp": "2026-11-26T10:00:00Z", "deletionGracePeriodSeconds": grace,
            "finalizers": finalizers}, "spec": {"finalizers": own}})
    };
    let cases = [
        ("configmaps", marked(json!(0), json!(["x"]), json!([])), marked(json!(0), json!([]), json!([])), true),
        ("configmaps", marked(json!(0), json!(["x"]), json!([])), marked(json!(0), json!(["x"]), json!([])), false),
        ("configmaps", json!({"metadata": {"finalizers": ["x"]}}), json!({"metadata": {}}), false),
        ("pods", marked(json!(30), json!(["x"]), json!([])), marked(json!(30), json!([]), json!([])), false),
        (
            "namespaces",
            marked(json!(null), json!([]), json!(["kubernetes"])),
            marked(json!(null), json!([]), json!([])),
            true,
        ),
        (
            "namespaces",
            marked(json!(null), json!(["x"]), json!([])),
            marked(json!(null), json!([]), json!(["a/b"])),
            false,
        ),
    ];
    for (plural, stored, next, is_end) in cases {
        let done = ends(kind(plural), &document(&next), &document(&stored)).expect("they can be read");
        assert_eq!(done, is_end, "{plural} {stored} → {next}");
    }
}

#[test]
fn no_update_takes_a_mark_off_or_adds_a_finalizer_to_a_marked_object() {
    let stored = document(&json!({"metadata": {"name": "a", "deletionTimestamp": "2026-11-26T10:00:00Z",
        "deletionGracePeriodSeconds": 0, "finalizers": ["x"]}}));
    let mut next = document(&json!({"metadata": {"name": "a", "finalizers": ["x", "y"]}}));
    let causes = keep(&mut next, &stored).expect("they can be read");
    assert_eq!(next.metadata_text("deletionTimestamp").as_deref(), Some("2026-11-26T10:00:00Z"));
    assert_eq!(causes.iter().map(|cause| &*cause.field).collect::<Vec<_>>(), ["metadata.finalizers"]);
    assert!(causes[0].message.ends_with(r#"found new finalizers []string{"y"}"#), "{causes:?}");

    let alive = document(&json!({"metadata": {"name": "a"}}));
    let mut next = document(&json!({"metadata": {"deletionTimestamp": "2026-11-26T10:00:00Z"}}));
    let causes = keep(&mut next, &alive).expect("they can be read");
    assert_eq!(causes[0].field, "metadata.deletionTimestamp");
}

#[test]
fn fields_of_the_wrong_type_are_told_and_not_guessed() {
    let stored = document(&json!({"metadata": {"finalizers": "x"}}));
    let error = end(kind("configmaps"), &stored, POLICY, now()).expect_err("finalizers are a list");
    assert_eq!(error.field, "metadata.finalizers");
}
