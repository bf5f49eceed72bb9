//! The loop over a store that fails: it always ends, and deletes nothing that has a living owner.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use podberth_testkit::memory::{Memory, Numbering};
use proptest::prelude::*;
use serde_json::{Value, json};

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{IDLE, Lifecycle, follower::Follower};
use crate::store::{Atomicity, Change, Key, ListQuery, Precondition, Schema, Storage, Store, Write};

const CLUSTER: &str = "prod";

fn now() -> Timestamp {
    "2026-11-26T10:00:00Z".parse().expect("an instant")
}

fn key(i: usize) -> Key {
    Key::new("configmaps", "shop", format!("c{i}"))
}

fn uid(i: usize) -> String {
    format!("uid-{i}")
}

fn put(i: usize, metadata: &Value) -> Write {
    let body = json!({"metadata": metadata}).to_string();
    Write {
        key: key(i),
        precondition: Precondition::default(),
        change: Change::Put { body: body.into(), uid: uid(i), node: None },
    }
}

async fn opened() -> Memory {
    let store = Memory::new(Numbering::Counter);
    store.migrate().await.expect("it migrates");
    store
}

async fn commit(store: &Memory, writes: Vec<Write>) {
    store.commit(CLUSTER, writes, Atomicity::Each).await.expect("the store writes");
}

async fn stored(store: &Memory) -> BTreeMap<String, Value> {
    let list = store.list(CLUSTER, &ListQuery::all("configmaps")).await.expect("the store lists");
    let read = |body: &[u8]| serde_json::from_slice(body).expect("JSON");
    list.items.into_iter().map(|record| (record.key.name, read(&record.body))).collect()
}

/// Runs turns of a few records and writes, each by a new process if `crashes`, until nothing is due.
async fn settle(store: &Memory, crashes: bool) -> usize {
    let mut follower = Follower::in_steps(3, 2);
    for turns in 0..500 {
        if crashes {
            follower = Follower::in_steps(3, 2);
        }
        let mut written = 0;
        // What is left alone for a moment is due later.
        for later in [0, 2] {
            let time = at(4 * i64::try_from(turns).expect("few turns") + later);
            written += follower.turn(store, CLUSTER, time).await.expect("the store answers");
        }
        if written == 0 {
            return turns;
        }
    }
    panic!("the loop does not end");
}

/// Objects whose owners have lower numbers, so that nobody owns itself.
fn owners() -> impl Strategy<Value = Vec<Vec<(usize, bool)>>> {
    let one = |i: usize| prop::collection::vec((0..i.max(1), any::<bool>()), 0..3);
    (0..12_usize).map(one).collect::<Vec<_>>()
}

fn metadata(i: usize, owners: &[(usize, bool)]) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .filter(|(owner, _)| *owner < i)
        .map(|(owner, blocks)| json!({"uid": uid(*owner), "name": key(*owner).name, "blockOwnerDeletion": blocks}))
        .collect();
    json!({"name": key(i).name, "ownerReferences": references})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_is_what_has_lost_every_owner(
        owners in owners(),
        deleted in prop::collection::btree_set(0..12_usize, 0..5),
        crashes in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let left = runtime.block_on(async {
            let store = opened().await;
            let writes = owners.iter().enumerate().map(|(i, owners)| put(i, &metadata(i, owners)));
            commit(&store, writes.collect()).await;
            let gone = deleted.iter().map(|i| Write { key: key(*i), precondition: Precondition::default(), change: Change::Delete });
            commit(&store, gone.collect()).await;
            settle(&store, crashes).await;
            stored(&store).await
        });
        // The model: an object goes when it is deleted, or has owners and all of them go.
        let mut goes = vec![false; owners.len()];
        for i in 0..owners.len() {
            let own: Vec<usize> = owners[i].iter().map(|(owner, _)| *owner).filter(|owner| *owner < i).collect();
            goes[i] = deleted.contains(&i) || (!own.is_empty() && own.iter().all(|owner| goes[*owner]));
        }
        let expected: Vec<String> = (0..owners.len()).filter(|i| !goes[*i]).map(|i| key(i).name).collect();
        let mut expected = expected;
        expected.sort();
        prop_assert_eq!(left.keys().cloned().collect::<Vec<_>>(), expected);
        for (name, object) in &left {
            for owner in object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
                let owner = owner["name"].as_str().expect("a name");
                prop_assert!(left.contains_key(owner), "{} names {}, which is gone", name, owner);
            }
        }
    }
}

#[tokio::test]
async fn a_foreground_deletion_ends_from_the_leaves_whoever_crashes() {
    for crashes in [false, true] {
        let store = opened().await;
        let chain = (0..6).map(|i| put(i, &metadata(i, &[(i.saturating_sub(1), true)]))).collect();
        commit(&store, chain).await;
        let mut top = metadata(0, &[]);
        top["deletionTimestamp"] = "2026-11-26T10:00:00Z".into();
        top["deletionGracePeriodSeconds"] = 0.into();
        top["finalizers"] = json!(["foregroundDeletion"]);
        commit(&store, vec![put(0, &top)]).await;
        settle(&store, crashes).await;
        assert_eq!(stored(&store).await.into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "crashes: {crashes}");
    }
}

#[tokio::test]
async fn a_large_namespace_goes_in_steps_and_nothing_outside_of_it() {
    let store = opened().await;
    let namespace = json!({"metadata": {"name": "shop", "deletionTimestamp": "2026-11-26T10:00:00Z"}, "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Terminating"}});
    let change = Change::Put { body: namespace.to_string().into(), uid: "ns".into(), node: None };
    commit(
        &store,
        vec![Write { key: Key::new("namespaces", "", "shop"), precondition: Precondition::default(), change }],
    )
    .await;
    commit(&store, (0..100).map(|i| put(i, &json!({"name": key(i).name}))).collect()).await;
    let outside = Change::Put { body: r#"{"metadata":{}}"#.into(), uid: "other".into(), node: None };
    commit(
        &store,
        vec![Write {
            key: Key::new("configmaps", "shop-2", "x"),
            precondition: Precondition::default(),
            change: outside,
        }],
    )
    .await;
    settle(&store, false).await;
    assert_eq!(stored(&store).await.into_keys().collect::<Vec<_>>(), ["x"]);
    let namespaces = store.list(CLUSTER, &ListQuery::all("namespaces")).await.expect("the store lists");
    assert_eq!(namespaces.items.len(), 0);
}

/// A volume or a claim.
fn storage(kind: &str, namespace: &str, name: &str, object: &Value) -> Write {
    let change = Change::Put { body: object.to_string().into(), uid: format!("uid-{name}"), node: None };
    Write { key: Key::new(kind, namespace, name), precondition: Precondition::default(), change }
}

fn volume(name: &str, claim_ref: &Value, phase: &str) -> Write {
    let spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "claimRef": claim_ref});
    let object = json!({"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}});
    storage("persistentvolumes", "", name, &object)
}

fn claim(name: &str, spec: &Value) -> Write {
    let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": {"phase": "Pending"}});
    storage("persistentvolumeclaims", "shop", name, &object)
}

/// Phase, claim and its uid of each volume, and phase and volume of each claim.
async fn bound(store: &Memory) -> Vec<String> {
    let mut told = Vec::new();
    for kind in ["persistentvolumes", "persistentvolumeclaims"] {
        for record in store.list(CLUSTER, &ListQuery::all(kind)).await.expect("the store lists").items {
            let object: Value = serde_json::from_slice(&record.body).expect("JSON");
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
            let other = if kind == "persistentvolumes" { "/spec/claimRef/uid" } else { "/spec/volumeName" };
            told.push(format!("{} {} {}", record.key.name, text("/status/phase"), text(other)));
        }
    }
    told
}

#[tokio::test]
async fn volumes_become_available_and_binds_that_were_begun_are_completed() {
    for crashes in [false, true] {
        let store = opened().await;
        let of = |name: &str, uid: &str| json!({"namespace": "shop", "name": name, "uid": uid});
        let writes = vec![
            volume("free", &Value::Null, "Pending"),
            volume("failed", &Value::Null, "Failed"),
            // As kube-scheduler leaves it, and as a user keeps it for a claim.
            volume("begun", &of("begun-claim", "uid-begun-claim"), "Available"),
            volume("kept", &of("kept-claim", ""), "Pending"),
            volume("kept-for-later", &of("nobody", ""), "Pending"),
            volume("other-uid", &of("replaced", "uid-of-an-earlier-one"), "Bound"),
            volume("second", &of("taken", "uid-taken"), "Available"),
            claim("begun-claim", &json!({"storageClassName": "local"})),
            claim("kept-claim", &json!({"volumeName": "kept"})),
            claim("replaced", &json!({})),
            claim("taken", &json!({"volumeName": "another"})),
        ];
        commit(&store, writes).await;
        settle(&store, crashes).await;
        let expected = [
            "begun Bound uid-begun-claim",
            "failed Failed -",
            "free Available -",
            "kept Bound uid-kept-claim",
            "kept-for-later Available ",
            "other-uid Bound uid-of-an-earlier-one",
            "second Available uid-taken",
            "begun-claim Bound begun",
            "kept-claim Bound kept",
            "replaced Pending -",
            "taken Pending another",
        ];
        assert_eq!(bound(&store).await, expected, "crashes: {crashes}");
        // A volume whose claim comes later.
        commit(&store, vec![claim("nobody", &json!({}))]).await;
        settle(&store, crashes).await;
        assert!(bound(&store).await.contains(&"nobody Bound kept-for-later".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_the_loop() {
    let memory = Arc::new(opened().await);
    let store: Arc<dyn Storage> = memory.clone();
    let _running = Lifecycle::start(&store, Uuid::nil());
    // All that it has to do is done: it rests.
    sleep(IDLE / 2).await;
    let namespace = json!({"metadata": {"name": "shop", "deletionTimestamp": "2026-11-26T10:00:00Z"}, "spec": {"finalizers": ["kubernetes"]}});
    let change = Change::Put { body: namespace.to_string().into(), uid: "ns".into(), node: None };
    let write = Write { key: Key::new("namespaces", "", "shop"), precondition: Precondition::default(), change };
    let (mut hints, since) = (memory.hints(), Instant::now());
    commit(&memory, vec![write, put(0, &json!({"name": key(0).name}))]).await;
    while !memory.list(CLUSTER, &ListQuery::all("namespaces")).await.expect("the store lists").items.is_empty() {
        hints.next().await.expect("a hint");
    }
    assert!(since.elapsed() < IDLE / 4, "{:?}", since.elapsed());
}

fn at(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn object(kind: &str, name: &str, body: &Value) -> Write {
    let change = Change::Put { body: body.to_string().into(), uid: format!("uid-{name}"), node: None };
    Write { key: Key::new(kind, "shop", name), precondition: Precondition::default(), change }
}

/// The managers of an object that a client made.
fn made() -> Value {
    json!([{"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}])
}

/// A budget that wants two of the pods `app=web`.
fn budget(managers: &Value) -> Write {
    let body = json!({"metadata": {"name": "web", "namespace": "shop", "generation": 1, "managedFields": managers},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}});
    object("poddisruptionbudgets.policy", "web", &body)
}

fn ready(name: &str) -> Write {
    let body = json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    object("pods", name, &body)
}

async fn status_of(store: &Memory, kind: &str, name: &str) -> Value {
    let record =
        store.get(CLUSTER, &Key::new(kind, "shop", name)).await.expect("the store answers").expect("the object");
    serde_json::from_slice::<Value>(&record.body).expect("JSON")["status"].clone()
}

#[tokio::test]
async fn budgets_and_quotas_get_the_status_that_is_counted() {
    let (store, mut follower) = (opened().await, Follower::default());
    let quota = json!({"metadata": {"name": "all", "namespace": "shop", "managedFields": made()}, "spec": {"hard": {"requests.cpu": "2", "pods": "4"}}});
    commit(&store, vec![budget(&made()), object("resourcequotas", "all", &quota), ready("a"), ready("b")]).await;
    follower.turn(&store, CLUSTER, now()).await.expect("a turn");
    assert_eq!(status_of(&store, "poddisruptionbudgets.policy", "web").await, Value::Null, "a new one is left alone");
    follower.turn(&store, CLUSTER, at(2)).await.expect("a turn");
    let status = status_of(&store, "poddisruptionbudgets.policy", "web").await;
    assert_eq!((&status["currentHealthy"], &status["disruptionsAllowed"]), (&json!(2), &json!(0)), "{status}");
    let used = status_of(&store, "resourcequotas", "all").await["used"].clone();
    assert_eq!(used, json!({"requests.cpu": "1", "pods": "2"}));
    commit(&store, vec![ready("c")]).await;
    // Where counting takes long, it is done less often.
    follower.turn(&store, CLUSTER, at(3)).await.expect("a turn");
    follower.turn(&store, CLUSTER, at(600)).await.expect("a turn");
    let status = status_of(&store, "poddisruptionbudgets.policy", "web").await;
    assert_eq!(status["disruptionsAllowed"], 1, "{status}");
    for later in [1_200, 1_800] {
        assert_eq!(follower.turn(&store, CLUSTER, at(later)).await.expect("a turn"), 0, "what is right is not written");
    }
}

#[tokio::test]
async fn a_status_that_another_client_writes_or_an_import_brings_is_left_alone() {
    let controller = json!([{"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"}]);
    for managers in [controller, json!([])] {
        let (store, mut follower) = (opened().await, Follower::default());
        commit(&store, vec![budget(&managers), ready("a"), ready("b"), ready("c")]).await;
        for seconds in [0, 2, 4] {
            assert_eq!(follower.turn(&store, CLUSTER, at(seconds)).await.expect("a turn"), 0);
        }
        assert_eq!(status_of(&store, "poddisruptionbudgets.policy", "web").await, Value::Null);
    }
}
