//! Two replicas over one database race for the same pods and nodes: nothing is bound twice, no node is overcommitted.
//! Run it with `scripts/test --test replicas`.

#[path = "support/database.rs"]
#[allow(dead_code, reason = "SQLite files are for the suite of the store")]
mod database;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use database::{Database, Engine, with_database};
use podberth::{
    live::Clusters,
    store::{Atomicity, Call, Change, Key, ListQuery, Outcome, Precondition, Refusal, Storage, Write},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const CLUSTER: &str = "prod";
const NODES: usize = 10;
/// CPUs of a node; a pod requests one.
const CPUS: usize = 4;
const PODS: usize = 60;
/// Clients of each replica.
const CLIENTS: usize = 8;

fn put(kind: &str, namespace: &str, name: &str, body: &Value) -> Write {
    let change = Change::Put { body: body.to_string().into(), uid: format!("uid-{name}"), node: None };
    Write { key: Key::new(kind, namespace, name), precondition: Precondition::default(), change }
}

fn node(i: usize) -> Write {
    let name = format!("node-{i}");
    let body = json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": CPUS.to_string(), "pods": "110"}}});
    put("nodes", "", &name, &body)
}

fn pod(i: usize) -> Write {
    let name = format!("pod-{i}");
    let body = json!({"metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
    put("pods", "shop", &name, &body)
}

fn bind(pod: usize, node: usize) -> Call {
    let key = Key::new("pods", "shop", format!("pod-{pod}"));
    let change = Change::Bind { node: format!("node-{node}") };
    Call { writes: vec![Write { key, precondition: Precondition::exists(), change }], atomicity: Atomicity::Each }
}

/// Tries every node for every pod, each client in an order of its own; returns the acknowledged binds.
async fn client(clusters: Clusters, seed: usize) -> Vec<(usize, usize)> {
    let mut bound = Vec::new();
    for i in 0..PODS {
        let pod = (i * 7 + seed * 13) % PODS;
        for j in 0..NODES {
            let node = (j * 3 + pod + seed) % NODES;
            let commit = clusters.commit(CLUSTER, bind(pod, node), None).await.expect("the database answers");
            match &commit.outcomes[..] {
                [Outcome::Written { .. }] => bound.push((pod, node)),
                [Outcome::Unchanged { .. } | Outcome::Refused(Refusal::AlreadyBound { .. })] => break,
                [Outcome::Refused(Refusal::Rejected(why))] => assert!(why.contains("Insufficient cpu"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
    bound
}

/// The nodes of the bound pods, as the database has them.
async fn stored(store: &Arc<dyn Storage>) -> BTreeMap<String, String> {
    let pods = store.list(CLUSTER, &ListQuery::all("pods")).await.expect("the database answers").items;
    pods.into_iter().filter_map(|pod| Some((pod.key.name, pod.node?))).collect()
}

async fn race(database: Database) {
    let first = database.store().await;
    let second = if database.url.starts_with("postgres") { database.open().await } else { first.clone() };
    let replicas = [first, second].map(|store| Clusters::new(store, Duration::from_millis(20)));
    let objects = (0..NODES).map(node).chain((0..PODS).map(pod)).collect();
    let setup = Call { writes: objects, atomicity: Atomicity::AllOrNothing };
    replicas[0].commit(CLUSTER, setup, None).await.expect("the database answers");

    let mut clients = JoinSet::new();
    for seed in 0..CLIENTS * 2 {
        clients.spawn(client(replicas[seed % 2].clone(), seed));
    }
    let told: Vec<(usize, usize)> = clients.join_all().await.into_iter().flatten().collect();

    let pods: BTreeSet<usize> = told.iter().map(|(pod, _)| *pod).collect();
    assert_eq!(pods.len(), told.len(), "a pod was told to be bound twice: {told:?}");
    let told: BTreeMap<String, String> =
        told.into_iter().map(|(pod, node)| (format!("pod-{pod}"), format!("node-{node}"))).collect();
    let stored = stored(replicas[0].store()).await;
    assert_eq!(stored, told, "what was told is what is stored");
    let mut taken = BTreeMap::<&str, usize>::new();
    for node in stored.values() {
        *taken.entry(node).or_default() += 1;
    }
    assert!(taken.values().all(|cpus| *cpus <= CPUS), "{taken:?}");
    assert_eq!(stored.len(), NODES * CPUS, "whoever was refused was so because all was taken");

    let head = replicas[0].store().head(CLUSTER).await.expect("the database answers").revision;
    for replica in &replicas {
        let cluster = replica.get(CLUSTER).await.expect("the cluster loads");
        assert!(cluster.reached(head, Duration::from_secs(30)).await);
        let view = cluster.view();
        let seen = view.snapshot.pods().filter(|p| p.is_assigned());
        let seen: BTreeMap<String, String> = seen.map(|p| (p.name.to_string(), p.node_name.to_string())).collect();
        assert_eq!(seen, stored, "replicas agree");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_race_on_postgres() {
    with_database(Engine::Postgres, race).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_caches_race_on_sqlite() {
    with_database(Engine::SqliteMemory, race).await;
}
