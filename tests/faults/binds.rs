//! The process that leads is killed (-9) again and again while it schedules the pods of a live cluster: every pod is bound once, none is lost, and
//! nothing is left on its way.
//!
//! `PODBERTH_TEST_BINDS` is the number of pods: a few hundred by default, 10,000 in the long form.

use std::time::{Duration, Instant};

use podberth::{
    store::{Atomicity, Change, Key, ListQuery, Options, Precondition, Write, open},
    wire::{
        outbox, reservation,
        source::{self, BindMode, ClusterSource},
    },
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{
    task::block_in_place,
    time::{sleep, timeout},
};

use crate::{
    api_binds::{Bound, node, overcommitted, pod, serve_schedulers},
    api_server::{ApiServer, NODES, PODS},
    client::{Answer, Client},
    long,
    postgres::Postgres,
    replica::Replica,
};

/// Time in which something has to go on, whatever was killed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Pods on a node.
const PER_NODE: usize = 50;

fn pods() -> usize {
    let told = std::env::var("PODBERTH_TEST_BINDS").ok().and_then(|number| number.parse().ok());
    told.unwrap_or(if long() { 10_000 } else { 300 })
}

/// The name of a pod that another scheduler binds when all others are bound. It stands last in lists.
const LAST: &str = "z-last";

/// A live cluster with pods that wait, and a database whose default cluster is to mirror it.
async fn live_cluster(database: &str, count: usize) -> (ApiServer, Bound, NamedTempFile) {
    let api = ApiServer::start().await;
    let bound = serve_schedulers(&api);
    for at in 0..=count / PER_NODE {
        api.put(NODES, node(&format!("n{at}"), &PER_NODE.to_string()));
    }
    for at in 0..count {
        api.put(PODS, pod(&format!("p{at}"), "1"));
    }
    let kubeconfig = api.kubeconfig();
    let source = ClusterSource {
        kubeconfig_file: Some(kubeconfig.path().to_string_lossy().into_owned()),
        bind: BindMode::ApiServer,
        schedulers: vec!["mine".into()],
        ..ClusterSource::default()
    };
    let store = open(database, &Options::default()).await.expect("the database is there");
    store.migrate().await.expect("it migrates");
    let body = serde_json::to_string(&source).expect("it is JSON").into();
    let change = Change::Put { body, uid: "source".into(), node: None };
    let key = Key::new(source::KIND, "", source::NAME);
    let write = Write { key, precondition: Precondition::default(), change };
    store.commit("default", vec![write], Atomicity::AllOrNothing).await.expect("it is stored");
    store.close().await;
    (api, bound, kubeconfig)
}

fn start(database: &str) -> Replica {
    block_in_place(|| Replica::start(database, &[], None))
}

/// Waits until the mirror of a replica has a pod that comes now: then it has all binds.
async fn shows_all(api: &ApiServer, replica: &Replica) {
    let mut last = pod(LAST, "0");
    (last["spec"]["schedulerName"], last["spec"]["nodeName"]) = (json!("another"), json!("n0"));
    api.put(PODS, last);
    let (client, path) = (Client::new(), format!("/api/v1/namespaces/shop/pods/{LAST}"));
    let shown = async {
        loop {
            match client.send("GET", replica.address(), &path, &Value::Null).await {
                Answer::Said(200, pod) if pod["spec"]["nodeName"].is_string() => return,
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    assert!(timeout(PATIENCE, shown).await.is_ok(), "the mirror does not show {LAST}:\n{}", replica.log());
}

/// Checks that the live cluster and the database agree, and that nothing is left on its way.
async fn check(api: &ApiServer, bound: &Bound, database: &str, count: usize) {
    let mut names = bound.names().clone();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), all), (count, count), "every pod is bound once");
    assert_eq!(overcommitted(api), Vec::<String>::new());
    let store = open(database, &Options::default()).await.expect("the database is there");
    let left = async |kind: &str| {
        let items = store.list("default", &ListQuery::all(kind)).await.expect("it is read").items;
        items.into_iter().map(|record| record.key.name).collect::<Vec<String>>()
    };
    let list = async |kind: &str| store.list("default", &ListQuery::all(kind)).await.expect("it is read").items;
    for record in list("pods").await {
        let live = api.look(|objects| objects.get(PODS, &record.key.namespace, &record.key.name));
        assert_eq!(record.node.as_deref(), live.unwrap_or_default()["spec"]["nodeName"].as_str(), "{:?}", record.key);
    }
    assert_eq!(left(reservation::KIND).await, Vec::<String>::new());
    assert_eq!(left(outbox::KIND).await, Vec::<String>::new());
    store.close().await;
}

/// Waits until so many pods are bound.
async fn has(bound: &Bound, count: usize) {
    let mut before = (bound.names().len(), Instant::now());
    while before.0 < count {
        sleep(Duration::from_millis(5)).await;
        let now = bound.names().len();
        if now > before.0 {
            before = (now, Instant::now());
        }
        assert!(before.1.elapsed() < PATIENCE, "{now} of {count} pods are bound, and no more come");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_a_loop_is_killed_and_another_one_goes_on() {
    let postgres = Postgres::start(100);
    let (count, database) = (pods(), postgres.url());
    let (api, bound, _kubeconfig) = live_cluster(&database, count).await;
    let began = Instant::now();
    let mut leader = start(&database);
    has(&bound, count / 10).await;
    let mut next = start(&database);
    has(&bound, count / 3).await;
    leader.kill();
    has(&bound, count).await;
    shows_all(&api, &next).await;
    assert!(!next.has_ended(), "{}", next.log());
    next.kill();
    check(&api, &bound, &database, count).await;
    println!("{count} pods, the leader killed, PostgreSQL: {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_slept_while_another_one_went_on_does_no_harm() {
    let postgres = Postgres::start(100);
    let (count, database) = (pods(), postgres.url());
    let (api, bound, _kubeconfig) = live_cluster(&database, count).await;
    let mut leader = start(&database);
    has(&bound, count / 10).await;
    let mut next = start(&database);
    has(&bound, count / 3).await;
    leader.freeze();
    has(&bound, count).await;
    leader.thaw();
    shows_all(&api, &leader).await;
    shows_all(&api, &next).await;
    assert!(!next.has_ended() && !leader.has_ended(), "{}\n{}", next.log(), leader.log());
    leader.kill();
    next.kill();
    check(&api, &bound, &database, count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_on_sqlite_is_killed_in_mid_bind_and_started_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = format!("sqlite:{}", directory.path().join("podberth.db").display());
    let count = pods();
    let (api, bound, _kubeconfig) = live_cluster(&database, count).await;
    let began = Instant::now();
    let mut running = start(&database);
    has(&bound, count / 3).await;
    running.kill();
    running = start(&database);
    has(&bound, count).await;
    shows_all(&api, &running).await;
    running.kill();
    check(&api, &bound, &database, count).await;
    println!("{count} pods, the process killed, SQLite: {:.1} s", began.elapsed().as_secs_f64());
}
