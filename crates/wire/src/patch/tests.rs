//! Rules of patches and of server-side apply, and properties that hold for all of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn kind(api_version: &str, kind: &str) -> &'static StoredKind {
    kinds::by_api_version(api_version, kind).expect("a stored kind")
}

fn config_map() -> &'static StoredKind {
    kind("v1", "ConfigMap")
}

fn document(tree: &Value) -> Document {
    Document::parse(tree.to_string().as_bytes()).expect("a document")
}

fn tree_of(document: &Document) -> Value {
    serde_json::from_str(&document.to_json()).expect("JSON")
}

fn writer(manager: &str) -> Writer<'_> {
    Writer { manager, is_named: true, subresource: "", now: Some("2026-11-26T12:00:00Z") }
}

fn data(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn applied(live: Option<&Document>, config: &Value, manager: &str, force: bool) -> Result<Document, PatchError> {
    let config = config.as_object().cloned().expect("an object");
    let api_version = config["apiVersion"].as_str().unwrap_or_default().to_owned();
    let of_kind = config["kind"].as_str().unwrap_or_default().to_owned();
    server_side(kind(&api_version, &of_kind), live, config, (Some("ns"), "a"), &writer(manager), force)
}

fn managers(document: &Document) -> Vec<String> {
    let tree = tree_of(document);
    let entries = tree.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
    entries.iter().map(|e| format!("{} {} {}", e["manager"], e["operation"], e["fieldsV1"]).replace('"', "")).collect()
}

fn conflicts(result: Result<Document, PatchError>) -> Vec<String> {
    match result {
        Err(PatchError::Conflicts(conflicts)) => {
            conflicts.iter().map(|c| format!("{}: {}", c.manager, c.field)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn content_types_name_a_patch() {
    for patch in PatchType::ALL {
        assert_eq!(PatchType::of(&format!("{}; charset=utf-8", patch.media_type())), Some(patch));
    }
    assert_eq!(PatchType::of("application/json"), None);
}

#[test]
fn a_field_left_out_goes_and_a_shared_one_stays() {
    let one = applied(None, &data(&json!({"k": "v", "x": "1"})), "alice", false).expect("created");
    assert_eq!(managers(&one), ["alice Apply {f:data:{f:k:{},f:x:{}}}"]);
    let both = applied(Some(&one), &data(&json!({"k": "v"})), "bob", false).expect("shared");
    let left = applied(Some(&both), &data(&json!({"x": "1"})), "alice", false).expect("left to bob");
    assert_eq!(tree_of(&left)["data"], json!({"k": "v", "x": "1"}));
    let gone = applied(Some(&left), &data(&json!({})), "bob", false).expect("gone");
    assert_eq!(tree_of(&gone)["data"], json!({"x": "1"}));
}

#[test]
fn another_value_conflicts_unless_it_is_forced() {
    let one = applied(None, &data(&json!({"k": "v", "l": "v"})), "alice", false).expect("created");
    let other = data(&json!({"k": "z", "l": "z"}));
    let refused = applied(Some(&one), &other, "bob", false).expect_err("a conflict");
    assert_eq!((refused.code(), refused.reason()), (409, "Conflict"));
    assert_eq!(refused.message(), "Apply failed with 2 conflicts: conflicts with \"alice\":\n- .data.k\n- .data.l");
    assert_eq!(refused.causes()[1].field, ".data.l");
    let forced = applied(Some(&one), &other, "bob", true).expect("forced");
    assert_eq!(managers(&forced), ["bob Apply {f:data:{f:k:{},f:l:{}}}"]);
}

#[test]
fn items_of_lists_have_owners_by_their_keys() {
    let deployment = |containers: Value| {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"template": template}})
    };
    let ports = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]);
    let alice = deployment(json!([{"name": "c", "image": "i", "ports": ports, "env": [{"name": "A", "value": "1"}]}]));
    let one = applied(None, &alice, "alice", false).expect("created");
    let bob = deployment(json!([{"name": "side", "image": "i"}, {"name": "c", "env": [{"name": "B", "value": "2"}]}]));
    let two = applied(Some(&one), &bob, "bob", false).expect("a sidecar");
    let containers = tree_of(&two).pointer("/spec/template/spec/containers").cloned().expect("containers");
    assert_eq!(containers[0]["name"], "side");
    assert_eq!(containers[1]["env"], json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
    let alone =
        applied(Some(&two), &deployment(json!([{"name": "c", "image": "i"}])), "alice", false).expect("without env");
    let containers = tree_of(&alone).pointer("/spec/template/spec/containers").cloned().expect("containers");
    assert_eq!(
        containers,
        json!([{"name": "side", "image": "i"}, {"name": "c", "image": "i", "env": [{"name": "B", "value": "2"}]}])
    );
    let other_image = deployment(json!([{"name": "c", "image": "j"}]));
    assert_eq!(
        conflicts(applied(Some(&alone), &other_image, "carol", false)),
        [r#""alice": .spec.template.spec.containers[name="c"].image"#]
    );
}

#[test]
fn what_an_atomic_object_holds_is_one_value() {
    let budget = |labels: Value| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"},
            "spec": {"selector": {"matchLabels": labels}}})
    };
    let one = applied(None, &budget(json!({"app": "web"})), "alice", false).expect("created");
    let refused = applied(Some(&one), &budget(json!({"tier": "front"})), "bob", false);
    assert_eq!(conflicts(refused), [r#""alice": .spec.selector"#]);
}

#[test]
fn a_configuration_is_one_of_the_kind() {
    let refused = |config: Value| {
        let result = server_side(
            config_map(),
            None,
            config.as_object().cloned().expect("an object"),
            (Some("ns"), "a"),
            &writer("m"),
            false,
        );
        result.expect_err("refused").message()
    };
    assert_eq!(refused(json!({"kind": "ConfigMap"})), "invalid object type: /, Kind=ConfigMap");
    assert_eq!(refused(json!({"apiVersion": "v1", "kind": "Secret"})), "invalid object type: /v1, Kind=Secret");
    assert_eq!(
        refused(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": []}})),
        "metadata.managedFields must be nil"
    );
    assert_eq!(
        refused(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "nope": 1})),
        "failed to create typed patch object (ns/a; /v1, Kind=ConfigMap): .nope: field not declared in schema"
    );
    assert_eq!(
        refused(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}})),
        "the name of the object (b) does not match the name on the URL (a)"
    );
    assert!(refused(json!({"apiVersion": "v1", "kind": "ConfigMap"})).contains("name must be provided"));
    let twice = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}, {"name": "c"}, {}]}});
    let message = applied(None, &twice, "m", false).expect_err("refused").message();
    assert!(message.contains(r#".spec.containers: duplicate entries for key [name="c"]"#), "{message}");
}

#[test]
fn an_object_that_nobody_applied_belongs_to_whoever_made_it() {
    let mut made = document(&data(&json!({"k": "v"})));
    let maker = Writer { is_named: false, ..writer("tool") };
    track(config_map(), None, &mut made, &maker).expect("tracked");
    assert_eq!(managers(&made), ["tool Update null"], "an only writer needs no list of fields");
    assert_eq!(
        conflicts(applied(Some(&made), &data(&json!({"k": "w"})), "alice", false)),
        [r#""tool" using v1: .data.k"#]
    );
    let mut later = document(&data(&json!({"k": "v", "l": "1"})));
    later.set_metadata("managedFields", made.metadata("managedFields").expect("fields").to_owned());
    track(config_map(), Some(&made), &mut later, &writer("other")).expect("tracked");
    assert_eq!(managers(&later), ["other Update {f:data:{f:l:{}}}", "tool Update {f:data:{.:{},f:k:{}}}"]);
    let untracked = document(&data(&json!({"k": "v"})));
    assert_eq!(
        conflicts(applied(Some(&untracked), &data(&json!({"k": "w"})), "alice", false)),
        [r#""before-first-apply" using v1: .data.k"#]
    );
}

#[test]
fn an_only_writer_stays_without_a_list_of_fields() {
    let mut made = document(&data(&json!({"k": "v"})));
    let maker = Writer { is_named: false, ..writer("tool") };
    track(config_map(), None, &mut made, &maker).expect("tracked");
    let again = Writer { now: Some("2027-01-01T00:00:00Z"), ..maker };
    for (value, time) in [("v", "2026-11-26T12:00:00Z"), ("w", "2027-01-01T00:00:00Z")] {
        let mut next = document(&data(&json!({"k": value})));
        track(config_map(), Some(&made), &mut next, &again).expect("tracked");
        assert_eq!(managers(&next), ["tool Update null"]);
        assert_eq!(tree_of(&next)["metadata"]["managedFields"][0]["time"], time);
    }
}

#[test]
fn updates_take_over_what_they_change_and_let_go_what_they_take_out() {
    let one = applied(None, &data(&json!({"k": "v", "l": "v"})), "alice", false).expect("created");
    let mut two = document(&{
        let mut tree = tree_of(&one);
        tree["data"] = json!({"k": "w"});
        tree
    });
    track(config_map(), Some(&one), &mut two, &writer("dave")).expect("tracked");
    assert_eq!(managers(&two), ["dave Update {f:data:{f:k:{}}}"]);
    let mut again = two.clone();
    track(config_map(), Some(&two), &mut again, &Writer { now: Some("2027-01-01T00:00:00Z"), ..writer("dave") })
        .expect("tracked");
    assert_eq!(again.to_json(), two.to_json(), "a write that changes nothing leaves no trace");
}

#[test]
fn an_empty_list_takes_managed_fields_away() {
    let one = applied(None, &data(&json!({"k": "v"})), "alice", false).expect("created");
    for reset in [json!([]), json!([{}])] {
        let mut two = one.clone();
        set_managed(&mut two, &reset);
        track(config_map(), Some(&one), &mut two, &writer("dave")).expect("tracked");
        assert_eq!(managers(&two), Vec::<String>::new());
    }
    let mut garbage = one.clone();
    set_managed(&mut garbage, &json!([{"manager": "x", "operation": "Dance"}]));
    track(config_map(), Some(&one), &mut garbage, &writer("dave")).expect("tracked");
    assert_eq!(managers(&garbage), managers(&one), "what cannot be read changes nothing");
}

fn set_managed(document: &mut Document, fields: &Value) {
    document.set_metadata("managedFields", serde_json::value::to_raw_value(fields).expect("JSON"));
}

#[test]
fn more_than_ten_updaters_become_one() {
    let mut live = applied(None, &data(&json!({"k": "v"})), "alice", false).expect("created");
    for i in 0..20 {
        let mut next = live.clone();
        let mut tree = tree_of(&live);
        tree["data"][format!("k{i}")] = json!("v");
        next.set("data", serde_json::value::to_raw_value(&tree["data"]).expect("JSON"));
        let (manager, now) = (format!("m{i}"), format!("2026-11-26T12:00:{i:02}Z"));
        let by = Writer { now: Some(&now), ..writer(&manager) };
        track(config_map(), Some(&live), &mut next, &by).expect("tracked");
        live = next;
    }
    let managers = managers(&live);
    assert_eq!(managers.len(), 11);
    assert!(managers[1].starts_with("ancient-changes Update {f:data:{f:k0:{},f:k1:{},f:k10:{}"), "{managers:?}");
    assert!(managers[10].starts_with("m19 "), "{managers:?}");
}

#[test]
fn status_belongs_to_its_subresource() {
    let node = |labels: Value, cpu: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "labels": labels}, "status": {"capacity": {"cpu": cpu}}});
    let one = applied(None, &node(json!({"l": "1"}), "1"), "alice", false).expect("created");
    assert_eq!(managers(&one), ["alice Apply {f:metadata:{f:labels:{f:l:{}}}}"]);
    let mut two = document(&{
        let mut tree = tree_of(&one);
        tree["status"] = json!({"capacity": {"cpu": "2"}});
        tree
    });
    let kubelet = Writer { subresource: "status", ..writer("kubelet") };
    track(kind("v1", "Node"), Some(&one), &mut two, &kubelet).expect("tracked");
    assert_eq!(
        managers(&two)[1],
        "kubelet Update {f:status:{.:{},f:capacity:{.:{},f:cpu:{}}}}".replace(".:{},f:capacity", "f:capacity")
    );
}

#[test]
fn kubectl_takes_over_what_it_applied_by_itself() {
    let last = data(&json!({"k": "v", "l": "v"})).to_string();
    let mut live = data(&json!({"k": "v", "l": "changed"}));
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    let live = document(&live);
    let config = data(&json!({"k": "w"}));
    let taken = applied(Some(&live), &config, "kubectl", false).expect("taken over");
    let tree = tree_of(&taken);
    assert_eq!(tree["data"], json!({"k": "w", "l": "changed"}));
    let noted = tree["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].clone();
    assert_eq!(noted, format!("{config}\n"));
    let refused = applied(Some(&live), &data(&json!({"l": "w"})), "kubectl", false);
    assert_eq!(conflicts(refused), [r#""before-first-apply" using v1: .data.l"#]);
    assert_eq!(conflicts(applied(Some(&live), &config, "kubectl-2", false)).len(), 1);
}

#[test]
fn managers_are_named_by_the_request_or_its_program() {
    assert_eq!(manager_of("me", "kubectl/v1"), "me");
    assert_eq!(manager_of("", "tool/v1.2 (linux)"), "tool");
    assert_eq!(manager_of("", "\u{7}"), "unknown");
    assert_eq!(manager_of("", &"é".repeat(100)).len(), LONGEST_MANAGER);
}

#[test]
fn unknown_fields_that_a_patch_brings_in_are_dropped() {
    let stored = document(
        &json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}, "spec": {"old": 1, "containers": [{"name": "c"}]}}),
    );
    let body = br#"{"spec":{"zzz":1,"containers":[{"name":"c","colour":"red","env":[]}]}}"#;
    let patch = Patch::parse(PatchType::Strategic, body).expect("a patch");
    let merged = merged(kind("v1", "Pod"), &stored, patch).expect("merged");
    assert_eq!(merged.unknown, [r#"unknown field "spec.containers[0].colour""#, r#"unknown field "spec.zzz""#]);
    assert_eq!(tree_of(&merged.document)["spec"], json!({"old": 1, "containers": [{"name": "c", "env": []}]}));
}

#[test]
fn a_merge_keeps_the_kind_and_the_name() {
    let stored = document(&data(&json!({"k": "v"})));
    let result = |patch: PatchType, body: &str| merged(config_map(), &stored, Patch::parse(patch, body.as_bytes())?);
    let renamed = result(PatchType::Merge, r#"{"metadata":{"name":"b"}}"#).expect_err("another name");
    assert_eq!(renamed.message(), "the name of the object (b) does not match the name on the URL (a)");
    let deleted = result(PatchType::Strategic, r#"{"$patch":"delete"}"#).expect_err("no name");
    assert!(deleted.message().contains("name must be provided"), "{deleted:?}");
    let number = result(PatchType::Json, r#"[{"op":"add","path":"/data/n","value":5}]"#).expect_err("no text");
    assert_eq!((number.code(), number.causes()[0].field.as_str()), (422, "patch"));
    let other =
        result(PatchType::Json, r#"[{"op":"replace","path":"/kind","value":"Pod"}]"#).expect_err("another kind");
    assert_eq!((other.code(), other.causes()[0].field.as_str()), (422, "patch"));
    for (patch, body) in
        [(PatchType::Merge, "[]"), (PatchType::Strategic, "{"), (PatchType::Json, "{}"), (PatchType::Apply, "a: [")]
    {
        assert_eq!(Patch::parse(patch, body.as_bytes()).expect_err(body).code(), 400, "{body}");
    }
}

/// Any JSON, with directives and keys of lists among its names.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        "[abc]{0,2}".prop_map(Value::from),
        Just(json!("delete")),
        Just(json!("replace")),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let name = prop::sample::select(vec![
            "metadata",
            "spec",
            "containers",
            "env",
            "ports",
            "name",
            "containerPort",
            "volumes",
            "finalizers",
            "labels",
            "ownerReferences",
            "uid",
            "template",
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
            "$deleteFromPrimitiveList/finalizers",
            "data",
            "",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// Pods that differ in what merge keys are about.
fn pods() -> impl Strategy<Value = Value> {
    let env = prop::collection::btree_map("[AB]", "[12]", 0..3);
    let container = (prop::option::of("[ij]"), env);
    let containers = prop::collection::btree_map("[abc]", container, 0..3);
    let labels = prop::collection::btree_map("[lm]", "[12]", 0..3);
    (containers, labels, prop::option::of("[no]"), prop::collection::btree_set("[fg]", 0..2)).prop_map(
        |(containers, labels, node, finalizers)| {
            let containers: Vec<_> = containers
                .into_iter()
                .map(|(name, (image, env))| {
                    let env: Vec<_> = env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                    let mut container = json!({"name": name, "env": env});
                    if let Some(image) = image {
                        container["image"] = image.into();
                    }
                    container
                })
                .collect();
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "a", "labels": labels, "finalizers": finalizers}, "spec": {"containers": containers}});
            if let Some(node) = node {
                pod["spec"]["nodeName"] = node.into();
            }
            pod
        },
    )
}

/// A value without empty lists and objects.
fn full(value: &Value) -> Value {
    let is_empty = |v: &Value| v.as_object().is_some_and(Map::is_empty) || v.as_array().is_some_and(Vec::is_empty);
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), full(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => items.iter().map(full).collect(),
        other => other.clone(),
    }
}

/// The paths that a pod's configuration sets, with their values.
fn leaves(pod: &Value) -> Vec<String> {
    let mut leaves = Vec::new();
    let place = Place::root(kind("v1", "Pod"));
    typed::field_set(pod, &place).for_each(&mut |path| leaves.push(path::shown(path)));
    leaves
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn apply_is_idempotent_and_its_result_has_all_that_was_applied(first in pods(), second in pods(), third in pods()) {
        let one = applied(None, &first, "alice", false).expect("created");
        let two = applied(Some(&one), &second, "bob", true).expect("forced");
        let again = applied(Some(&two), &second, "bob", false).expect("no conflict with itself");
        prop_assert_eq!(tree_of(&again), tree_of(&two));
        let three = applied(Some(&two), &third, "alice", true).expect("forced");
        let object = tree_of(&three);
        let place = Place::root(kind("v1", "Pod"));
        // Merging what was just applied over the result changes nothing; an empty list or object is as good as none.
        prop_assert!(typed::same(&full(&typed::merge(object.clone(), &third, &place)), &full(&object)));
    }

    #[test]
    fn owners_never_lose_a_field_silently(first in pods(), second in pods()) {
        let one = applied(None, &first, "alice", false).expect("created");
        if let Ok(two) = applied(Some(&one), &second, "bob", false) {
            // Without a conflict, all that alice owns is there as she applied it.
            let (object, place) = (tree_of(&two), Place::root(kind("v1", "Pod")));
            prop_assert!(typed::same(&full(&typed::merge(object.clone(), &first, &place)), &full(&object)));
            // And alone again, bob leaves nothing behind that alice did not apply.
            let bare = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
            let left = applied(Some(&two), &bare, "bob", false).expect("let go");
            let mut kept = leaves(&tree_of(&left));
            kept.retain(|path| !path.starts_with(".metadata.managedFields"));
            let mut expected = leaves(&tree_of(&one));
            expected.retain(|path| !path.starts_with(".metadata.managedFields"));
            // Empty lists and objects that only bob had may stay; owned leaves are the same.
            let leaf = |path: &&String| path.contains("env[") || path.ends_with("image") || path.ends_with("nodeName") || path.contains("labels.");
            prop_assert_eq!(kept.iter().filter(leaf).collect::<Vec<_>>(), expected.iter().filter(leaf).collect::<Vec<_>>());
        } else {
            // A conflict: the fields have another value, or belong to one list.
            prop_assert!(first != second);
        }
    }

    #[test]
    fn a_tracked_write_leaves_each_field_with_one_owner(first in pods(), second in pods()) {
        let mut one = document(&first);
        let pod = kind("v1", "Pod");
        track(pod, None, &mut one, &writer("alice")).expect("tracked");
        let mut two = document(&second);
        track(pod, Some(&one), &mut two, &writer("bob")).expect("tracked");
        let entries = managers(&two);
        prop_assert!(entries.len() <= 2);
        let fields = tree_of(&two).pointer("/metadata/managedFields").cloned().unwrap_or(json!([]));
        let sets: Vec<_> = fields.as_array().into_iter().flatten().filter_map(|e| set::Set::from_json(&e["fieldsV1"])).collect();
        if let [a, b] = &sets[..] {
            prop_assert!(a.intersection(b).is_empty(), "{entries:?}");
        }
    }

    #[test]
    fn a_strategic_patch_with_the_object_itself_changes_nothing(pod in pods()) {
        let same = merged(kind("v1", "Pod"), &document(&pod), Patch::Strategic(pod.as_object().cloned().expect("an object")));
        prop_assert_eq!(tree_of(&same.expect("merged").document), pod);
    }

    #[test]
    fn no_patch_panics(stored in any_json(), patch in any_json(), pod in pods()) {
        let bodies = [patch.to_string(), json!([{"op": "add", "path": "/spec", "value": patch}]).to_string()];
        let mut with_spec = pod.clone();
        with_spec["spec"] = stored;
        for stored in [&pod, &with_spec] {
            let Ok(stored) = Document::parse(stored.to_string().as_bytes()) else { continue };
            for patch_type in PatchType::ALL {
                for body in &bodies {
                    match Patch::parse(patch_type, body.as_bytes()) {
                        Ok(Patch::Apply(mut config)) => {
                            config.insert("apiVersion".into(), "v1".into());
                            config.insert("kind".into(), "Pod".into());
                            for force in [false, true] {
                                let _ = server_side(kind("v1", "Pod"), Some(&stored), config.clone(), (None, "a"), &writer("m"), force);
                            }
                        }
                        Ok(patch) => {
                            if let Ok(Merged { document: mut after, .. }) = merged(kind("v1", "Pod"), &stored, patch) {
                                track(kind("v1", "Pod"), Some(&stored), &mut after, &writer("m")).expect("tracked");
                            }
                        }
                        Err(error) => prop_assert!((400..500).contains(&error.code())),
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    let deep = format!(r#"{{"metadata":{{"x":{}1{}}}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for patch in PatchType::ALL {
        assert_eq!(Patch::parse(patch, deep.as_bytes()).expect_err("too deep").code(), 400, "{patch:?}");
    }
}

#[test]
fn trees_are_charged_for() {
    let many = format!(r#"{{"data":{{"k":[{}]}}}}"#, vec!["{}"; 2_000_000].join(","));
    for patch in [PatchType::Merge, PatchType::Strategic, PatchType::Apply] {
        let error = Patch::parse(patch, many.as_bytes()).expect_err("too much");
        assert!(matches!(error, PatchError::Unread(_)), "{error:?}");
    }
}

/// An allowance of a fixed amount.
#[derive(Debug)]
struct Purse(std::sync::atomic::AtomicUsize);

impl allowance::Source for Purse {
    fn take(&self, bytes: usize) -> usize {
        let take = |left: usize| left.checked_sub(bytes);
        let order = std::sync::atomic::Ordering::Relaxed;
        self.0.fetch_update(order, order, take).map_or(0, |_| bytes)
    }
}

/// The steps of a write take place one after another, so a large object needs the memory of one of them and not of all.
#[test]
fn a_step_gives_back_what_its_trees_took() {
    let entries: serde_json::Map<String, Value> = (0..2_000).map(|i| (format!("key-{i}"), json!("value"))).collect();
    let mut live = document(&data(&Value::Object(entries)));
    let steps = |count: usize, allowed: usize, live: &mut Document| {
        let purse = std::sync::Arc::new(Purse(allowed.into()));
        allowance::within(Some(purse), || {
            for i in 0..count {
                let patch =
                    Patch::parse(PatchType::Merge, json!({"data": {"count": i.to_string()}}).to_string().as_bytes());
                let before = live.clone();
                *live = merged(config_map(), live, patch?)?.document;
                track(config_map(), Some(&before), live, &writer("w"))?;
            }
            Ok::<_, PatchError>(())
        })
    };
    let enough =
        (1..40).map(|power| 1 << power).find(|allowed| steps(1, *allowed, &mut live).is_ok()).expect("one step");
    steps(40, 2 * enough, &mut live).expect("as many as there are");
}

#[test]
fn a_refusal_does_not_repeat_a_long_path() {
    let path = format!("/data/{}", "x".repeat(1 << 20));
    let patch = json!([{"op": "remove", "path": path}]).to_string();
    let patch = Patch::parse(PatchType::Json, patch.as_bytes()).expect("a patch");
    let refused = merged(config_map(), &document(&data(&json!({}))), patch);
    let Err(PatchError::Unprocessable(why)) = refused else { panic!("there is no such key") };
    assert!(why.len() < 4_096, "{} bytes", why.len());
}
