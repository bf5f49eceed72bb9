//! The rules of ends as tables, without a store.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-26T10:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn record(kind: &str, namespace: &str, name: &str, revision: u64, body: Option<&Value>) -> Record {
    Record {
        key: Key::new(kind, namespace, name),
        uid: format!("uid-{name}"),
        revision,
        create_revision: revision,
        node: None,
        deleted: body.is_none(),
        body_revision: revision,
        body: body.map(ToString::to_string).unwrap_or_default().into(),
    }
}

#[derive(Default)]
struct World {
    index: Index,
    revision: u64,
}

impl World {
    fn put(&mut self, kind: &str, name: &str, body: &Value) {
        let namespace = if kind == "namespaces" { "" } else { "shop" };
        self.revision += 1;
        let record = record(kind, namespace, name, self.revision, Some(body));
        let entry = Entry::parse(&record).expect("metadata that can be read");
        self.index.apply(&record, entry);
    }

    fn delete(&mut self, kind: &str, name: &str) {
        let namespace = if kind == "namespaces" { "" } else { "shop" };
        self.revision += 1;
        self.index.apply(&record(kind, namespace, name, self.revision, None), None);
    }

    /// The tasks that are due, as texts.
    fn due(&mut self) -> Vec<String> {
        let mut told: Vec<String> = self
            .index
            .due(at(NOW), 100)
            .iter()
            .map(|task| {
                let name = &task.key.name;
                match &task.action {
                    Action::Delete(options) => match options.propagation_policy {
                        Some(policy) => format!("delete {name} {policy:?}"),
                        None => format!("end {name}"),
                    },
                    Action::Release(finalizer) => format!("release {name} {finalizer}"),
                    Action::Disown(uids) => format!("disown {name} {}", uids.join(",")),
                    Action::Empty => format!("empty {name}"),
                }
            })
            .collect();
        told.sort();
        told
    }
}

fn owned(owners: &[&str]) -> Value {
    let owner = |name: &&str| json!({"uid": format!("uid-{name}"), "name": name, "blockOwnerDeletion": true});
    json!({"metadata": {"ownerReferences": owners.iter().map(owner).collect::<Vec<_>>()}})
}

fn ending(finalizers: &[&str]) -> Value {
    json!({"metadata": {"deletionTimestamp": NOW, "deletionGracePeriodSeconds": 0, "finalizers": finalizers}})
}

#[test]
fn fate_follows_from_the_owners() {
    use Standing::{Gone, Living, Waiting};
    let cases: [(&[Standing], Fate); 9] = [
        (&[], Fate::Stays),
        (&[Living], Fate::Stays),
        (&[Living, Living], Fate::Stays),
        (&[Gone], Fate::Goes),
        (&[Gone, Gone], Fate::Goes),
        (&[Waiting], Fate::Goes),
        (&[Gone, Waiting], Fate::Goes),
        (&[Living, Gone], Fate::Loses),
        (&[Living, Waiting], Fate::Loses),
    ];
    for (owners, is) in cases {
        assert_eq!(fate(owners), is, "{owners:?}");
    }
}

#[test]
fn dependents_go_once_every_owner_was_deleted() {
    let mut world = World::default();
    world.put("replicasets.apps", "a", &json!({"metadata": {}}));
    world.put("replicasets.apps", "b", &json!({"metadata": {}}));
    world.put("pods", "one", &owned(&["a"]));
    world.put("pods", "two", &owned(&["a", "b"]));
    assert_eq!(world.due(), Vec::<String>::new());
    world.delete("replicasets.apps", "a");
    assert_eq!(world.due(), ["delete one Background", "disown two uid-a"]);
}

#[test]
fn owners_that_were_never_stored_count_as_living() {
    let mut world = World::default();
    world.put("pods", "one", &owned(&["elsewhere"]));
    assert_eq!(world.due(), Vec::<String>::new());
    world.put("replicasets.apps", "a", &json!({"metadata": {}}));
    world.put("pods", "two", &owned(&["elsewhere", "a"]));
    world.delete("replicasets.apps", "a");
    assert_eq!(world.due(), ["disown two uid-a"]);
}

#[test]
fn dependents_that_come_after_the_deletion_go_as_well() {
    let mut world = World::default();
    world.put("replicasets.apps", "a", &json!({"metadata": {}}));
    world.delete("replicasets.apps", "a");
    world.put("pods", "late", &owned(&["a"]));
    assert_eq!(world.due(), ["delete late Background"]);
}

#[test]
fn a_tombstone_of_another_uid_collects_nothing() {
    let mut world = World::default();
    world.put("replicasets.apps", "a", &json!({"metadata": {}}));
    world.put("pods", "one", &owned(&["a"]));
    let mut let_go = record("replicasets.apps", "shop", "a", 9, None);
    let_go.uid = String::new();
    world.index.apply(&let_go, None);
    assert_eq!(world.due(), Vec::<String>::new());
}

#[test]
fn an_owner_of_another_uid_under_the_same_name_is_another_one() {
    let mut world = World::default();
    world.put("replicasets.apps", "a", &json!({"metadata": {}}));
    world.put("pods", "one", &owned(&["a"]));
    let mut again = record("replicasets.apps", "shop", "a", 9, Some(&json!({"metadata": {}})));
    again.uid = "another".into();
    let entry = Entry::parse(&again).expect("metadata that can be read");
    world.index.apply(&again, entry);
    assert_eq!(world.due(), ["delete one Background"]);
}

#[test]
fn orphaning_takes_the_owner_off_before_it_goes() {
    let mut world = World::default();
    world.put("replicasets.apps", "a", &json!({"metadata": {}}));
    world.put("pods", "one", &owned(&["a"]));
    world.put("replicasets.apps", "a", &ending(&["orphan"]));
    assert_eq!(world.due(), ["disown one uid-a"]);
    world.put("pods", "one", &owned(&[]));
    assert_eq!(world.due(), ["release a orphan"]);
}

#[test]
fn foreground_deletion_waits_for_those_that_block_it() {
    let mut world = World::default();
    world.put("deployments.apps", "top", &json!({"metadata": {}}));
    world.put("replicasets.apps", "a", &owned(&["top"]));
    world.put("pods", "one", &owned(&["a"]));
    world.put("deployments.apps", "top", &ending(&["foregroundDeletion"]));
    assert_eq!(world.due(), ["delete a Foreground"]);
    let mut waiting = owned(&["top"]);
    waiting["metadata"]["deletionTimestamp"] = NOW.into();
    waiting["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    world.put("replicasets.apps", "a", &waiting);
    assert_eq!(world.due(), ["delete one Background"]);
    world.delete("pods", "one");
    assert_eq!(world.due(), ["release a foregroundDeletion"]);
    world.delete("replicasets.apps", "a");
    assert_eq!(world.due(), ["release top foregroundDeletion"]);
}

#[test]
fn owners_in_a_circle_do_not_wait_for_each_other() {
    let waiting = |owner: &str| {
        let mut object = owned(&[owner]);
        object["metadata"]["deletionTimestamp"] = NOW.into();
        object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        object
    };
    let mut world = World::default();
    world.put("configmaps", "alone", &waiting("alone"));
    assert_eq!(world.due(), ["release alone foregroundDeletion"]);
    world.put("configmaps", "a", &waiting("b"));
    world.put("configmaps", "b", &waiting("a"));
    world.put("pods", "one", &owned(&["b"]));
    // "b" still waits for the dependent that is not in the circle.
    assert_eq!(world.due(), ["delete one Background", "release a foregroundDeletion"]);
    world.delete("pods", "one");
    assert_eq!(world.due(), ["release b foregroundDeletion"]);
}

#[test]
fn dependents_that_do_not_block_keep_no_owner_waiting() {
    let mut world = World::default();
    world.put("deployments.apps", "top", &ending(&["foregroundDeletion"]));
    let mut free = owned(&["top"]);
    free["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = false.into();
    world.put("replicasets.apps", "a", &free);
    assert_eq!(world.due(), ["delete a Background", "release top foregroundDeletion"]);
}

#[test]
fn pods_end_when_their_grace_is_over() {
    let pod = |until: &str, grace: i64, finalizers: &[&str]| json!({"metadata": {"deletionTimestamp": until, "deletionGracePeriodSeconds": grace, "finalizers": finalizers}});
    let mut world = World::default();
    world.put("pods", "over", &pod("2026-11-26T09:59:59Z", 30, &[]));
    world.put("pods", "running", &pod("2026-11-26T10:00:09Z", 30, &[]));
    world.put("pods", "held", &pod("2026-11-26T09:00:00Z", 0, &["x"]));
    world.put("configmaps", "no-pod", &pod("2026-11-26T09:00:00Z", 30, &["x"]));
    assert_eq!(world.due(), ["end over"]);
    assert!(!world.index.has_work(at("2026-11-26T09:00:00Z")) && world.index.has_work(at("2026-11-26T10:00:09Z")));
}

#[test]
fn a_namespace_is_emptied_and_goes_last() {
    let mut world = World::default();
    world.put("namespaces", "shop", &json!({"metadata": {}, "spec": {"finalizers": ["kubernetes"]}}));
    world.put("pods", "one", &json!({"metadata": {}}));
    world.put("leases.coordination.k8s.io", "two", &json!({"metadata": {}}));
    assert_eq!(world.due(), Vec::<String>::new());
    world.put(
        "namespaces",
        "shop",
        &json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"finalizers": ["kubernetes"]}}),
    );
    assert_eq!(world.due(), ["delete one Background", "delete two Background"]);
    world.put("pods", "one", &ending(&["x"]));
    world.delete("leases.coordination.k8s.io", "two");
    assert_eq!(world.due(), Vec::<String>::new(), "the pod has a finalizer");
    world.delete("pods", "one");
    assert_eq!(world.due(), ["empty shop"]);
}

#[test]
fn a_namespace_that_others_hold_is_not_let_go() {
    let mut world = World::default();
    let held = json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"finalizers": ["kubernetes", "a.example/x"]}});
    world.put("namespaces", "shop", &held);
    assert_eq!(world.due(), Vec::<String>::new());
}

#[test]
fn no_more_is_due_at_once_than_asked_for() {
    let mut world = World::default();
    world.put(
        "namespaces",
        "shop",
        &json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"finalizers": ["kubernetes"]}}),
    );
    for i in 0..40 {
        world.put("configmaps", &format!("c{i}"), &json!({"metadata": {}}));
    }
    assert_eq!(world.index.due(at(NOW), 15).len(), 15);
    assert!(world.index.has_work(at(NOW)), "the rest is due next time");
}
