//! Rules of strategic merge patches, on pods, nodes and services.

use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn patched(kind: &str, document: Value, patch: Value) -> Result<Value, PatchError> {
    let kind = kinds::by_api_version("v1", kind).expect("a stored kind");
    let Value::Object(patch) = patch else { panic!("an object") };
    apply(document, patch, &Place::root(kind))
}

fn names(document: &Value, list: &str, key: &str) -> Vec<String> {
    let items = document.pointer(list).and_then(Value::as_array).cloned().unwrap_or_default();
    items.iter().map(|item| item[key].to_string().replace('"', "")).collect()
}

fn pod(containers: &[&str]) -> Value {
    let containers: Vec<_> = containers.iter().map(|name| json!({"name": name, "image": "i"})).collect();
    json!({"spec": {"containers": containers}})
}

#[test]
fn lists_of_objects_merge_by_their_key() {
    let patch = json!({"spec": {"containers": [{"name": "c", "image": "j"}, {"name": "new"}]}});
    let merged = patched("Pod", pod(&["a", "c"]), patch).expect("merged");
    assert_eq!(names(&merged, "/spec/containers", "name"), ["a", "c", "new"]);
    assert_eq!(merged["spec"]["containers"][1], json!({"name": "c", "image": "j"}));
    // A new item comes first where nothing of the document stands before it, as in the API server.
    let merged = patched("Pod", pod(&["a"]), json!({"spec": {"containers": [{"name": "new"}]}})).expect("merged");
    assert_eq!(names(&merged, "/spec/containers", "name"), ["new", "a"]);
}

#[test]
fn tolerations_are_replaced() {
    let document = json!({"spec": {"tolerations": [{"key": "a"}]}});
    let merged = patched("Pod", document, json!({"spec": {"tolerations": [{"key": "b"}]}})).expect("merged");
    assert_eq!(merged, json!({"spec": {"tolerations": [{"key": "b"}]}}));
}

#[test]
fn directives_delete_and_replace() {
    let deletes = json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}});
    assert_eq!(names(&patched("Pod", pod(&["a", "b"]), deletes).expect("merged"), "/spec/containers", "name"), ["b"]);
    let replaces = json!({"spec": {"containers": [{"name": "z"}, {"$patch": "replace"}]}});
    assert_eq!(
        patched("Pod", pod(&["a"]), replaces).expect("merged"),
        json!({"spec": {"containers": [{"name": "z"}]}})
    );
    let whole = json!({"metadata": {"$patch": "replace", "name": "p"}});
    let document = json!({"metadata": {"name": "p", "labels": {}}});
    assert_eq!(patched("Pod", document, whole).expect("merged"), json!({"metadata": {"name": "p"}}));
    assert_eq!(patched("Pod", pod(&["a"]), json!({"$patch": "delete"})).expect("merged"), json!({}));
    for unknown in
        [json!({"metadata": {"$patch": "explode"}}), json!({"spec": {"containers": [{"name": "a", "$patch": 1}]}})]
    {
        let document = json!({"metadata": {}, "spec": {"containers": [{"name": "a"}]}});
        assert!(matches!(patched("Pod", document, unknown), Err(PatchError::BadRequest(_))));
    }
}

#[test]
fn the_order_of_a_list_can_be_set() {
    let order = json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "a", "image": "j"}]}});
    let merged = patched("Pod", pod(&["a", "b", "c"]), order).expect("merged");
    assert_eq!(names(&merged, "/spec/containers", "name"), ["b", "c", "a"]);
    let refused = json!({"spec": {"$setElementOrder/containers": [{"name": "zz"}], "containers": [{"name": "c"}]}});
    let Err(PatchError::BadRequest(why)) = patched("Pod", pod(&["c"]), refused) else { panic!("refused") };
    assert!(why.contains("$setElementOrder"), "{why}");
}

#[test]
fn texts_merge_and_are_deleted_by_value() {
    let document = json!({"metadata": {"finalizers": ["a", "b"]}});
    let merged = patched("Pod", document.clone(), json!({"metadata": {"finalizers": ["b", "c"]}})).expect("merged");
    assert_eq!(merged, json!({"metadata": {"finalizers": ["a", "b", "c"]}}));
    let merged = patched("Pod", document, json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}));
    assert_eq!(merged.expect("merged"), json!({"metadata": {"finalizers": ["b"]}}));
}

#[test]
fn retain_keys_takes_out_the_rest_and_must_name_what_the_patch_sets() {
    let document = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let patch =
        json!({"spec": {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}]}});
    let merged = patched("Pod", document.clone(), patch).expect("merged");
    assert_eq!(merged, json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}));
    let refused = patched("Pod", document, json!({"spec": {"$retainKeys": ["a"], "nodeName": "x"}}));
    assert!(matches!(refused, Err(PatchError::BadRequest(why)) if why == "invalid patch format of retainKeys"));
}

#[test]
fn directives_in_what_is_new_leave_no_trace() {
    let patch = json!({"spec": {"$setElementOrder/taints": [], "taints": [{"key": "k", "x": null}], "configSource": {"$patch": "delete"}}});
    assert_eq!(patched("Node", json!({}), patch).expect("merged"), json!({"spec": {"taints": [{"key": "k"}]}}));
}

#[test]
fn ports_of_services_merge_by_port_and_owners_by_uid() {
    let document = json!({"spec": {"ports": [{"name": "web", "port": 80}]}});
    let merged =
        patched("Service", document, json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}})).expect("merged");
    assert_eq!(merged, json!({"spec": {"ports": [{"name": "web", "port": 80, "targetPort": 8080}]}}));
    let document = json!({"metadata": {"ownerReferences": [{"uid": "u1", "name": "r"}, {"uid": "u2"}]}});
    let patch = json!({"metadata": {"ownerReferences": [{"uid": "u1", "$patch": "delete"}]}});
    assert_eq!(
        patched("Pod", document, patch).expect("merged"),
        json!({"metadata": {"ownerReferences": [{"uid": "u2"}]}})
    );
}
