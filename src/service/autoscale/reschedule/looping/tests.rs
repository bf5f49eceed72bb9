//! Turns of the loop over a database in memory.

use podberth_testkit::memory::{Memory, Numbering};
use serde_json::{Value, json};

use super::*;
use crate::{
    extenders::Extenders,
    live::Clusters,
    service::Freshness,
    store::{Atomicity, Call, Change, Key, Precondition, Schema, Store, Write},
};

const CLUSTER: &str = "prod";

const POLICY: &str = r#"{"apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy", "gracePeriodSeconds": 0, "profiles": [{"name": "p",
    "pluginConfig": [{"name": "RemovePodsViolatingNodeTaints", "args": {}}],
    "plugins": {"deschedule": {"enabled": ["RemovePodsViolatingNodeTaints"]}}}]}"#;

fn write(kind: &str, namespace: &str, name: &str, body: &Value, node: Option<&str>) -> Write {
    let change = Change::Put { body: body.to_string().into(), uid: name.into(), node: node.map(str::to_owned) };
    Write { key: Key::new(kind, namespace, name), precondition: Precondition::default(), change }
}

fn machine(name: &str, taints: &Value) -> Write {
    let body = json!({"metadata": {"name": name}, "spec": {"taints": taints}, "status": {"allocatable": {"cpu": "4", "pods": "9"}}});
    write("nodes", "", name, &body, None)
}

fn running(name: &str) -> Write {
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web", "controller": true});
    let metadata =
        json!({"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}, "ownerReferences": [owner]});
    let containers = json!([{"name": "c", "resources": {"requests": {"cpu": "1"}}}]);
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let body = json!({"metadata": metadata, "spec": {"nodeName": "a", "containers": containers}, "status": status});
    write("pods", "shop", name, &body, Some("a"))
}

/// Two pods on a node whose taint they do not tolerate, and a budget that allows one disruption.
async fn cluster() -> (Memory, Service) {
    let store = Memory::new(Numbering::Counter);
    store.migrate().await.expect("it migrates");
    let clusters = Clusters::new(Arc::new(store.handle()), Duration::from_hours(1));
    let service = Service::new(clusters, Freshness::default(), Extenders::default());
    let budget = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1}});
    let writes = vec![
        machine("a", &json!([{"key": "gone", "effect": "NoSchedule"}])),
        machine("b", &json!([])),
        running("w0"),
        running("w1"),
        write("poddisruptionbudgets.policy", "shop", "web", &budget, None),
    ];
    let call = Call { writes, atomicity: Atomicity::AllOrNothing };
    service.clusters.commit(CLUSTER, call, None).await.expect("it is stored");
    (store, service)
}

fn settings(acts: bool) -> Arc<Rescheduling> {
    let policy: DeschedulerPolicy = decode::from_slice(POLICY.as_bytes()).expect("a policy");
    let policy = policy.to_core().expect("a policy without faults").into();
    Arc::new(Rescheduling { policy, acts, clusters: BTreeSet::new(), interval: Duration::from_secs(1) })
}

async fn stored(store: &Memory) -> Vec<&'static str> {
    let mut there = Vec::new();
    for name in ["w0", "w1"] {
        if store.get(CLUSTER, &Key::new("pods", "shop", name)).await.expect("the store answers").is_some() {
            there.push(name);
        }
    }
    there
}

#[tokio::test]
async fn loop_evicts_within_budgets_pods_with_a_better_place() {
    let (store, service) = cluster().await;
    let mut memory = Noted::default();
    for _ in 0..2 {
        turn(&service, &settings(true), &CLUSTER.into(), &mut memory).await.expect("a turn");
        assert_eq!(stored(&store).await, ["w1"], "the budget allows one disruption");
    }
}

#[tokio::test]
async fn loop_that_proposes_evicts_nothing() {
    let (store, service) = cluster().await;
    let mut memory = Noted::default();
    turn(&service, &settings(false), &CLUSTER.into(), &mut memory).await.expect("a turn");
    assert_eq!(memory.proposed, [("shop/w0".to_owned(), "a".to_owned())]);
    assert_eq!(stored(&store).await, ["w0", "w1"]);
}
