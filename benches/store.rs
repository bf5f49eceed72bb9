//! Measures the store and the writers on it, on PostgreSQL and on SQLite, as one table:
//!
//! ```sh
//! PODBERTH_POSTGRES_FSYNC=on scripts/postgres cargo bench --profile release --bench store
//! PODBERTH_POSTGRES_FSYNC=on scripts/postgres cargo bench --profile release --bench store ledger    only that
//! ```
//!
//! `PODBERTH_BENCH_PODS` sets the size of the cluster at the start (default 150,000). The state is checked before a figure is
//! reported: every acknowledged write exists, no pod is bound twice, no node is overcommitted.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use podberth::{
    live::Clusters,
    store::{
        self, Atomicity, Call, Change, Entry, EntryId, Key, ListQuery, Options, Outcome, Precondition, Storage, Write,
    },
};
use tokio::task::JoinSet;

/// Bytes of a pod's body, as real ones have.
const BODY: usize = 3_650;
/// Pods on which replicas race.
const RACED: usize = 20_000;
/// Nodes for them; each takes 110.
const NODES: usize = 500;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pods = std::env::var("PODBERTH_BENCH_PODS").ok().and_then(|n| n.parse().ok()).unwrap_or(150_000);
        println!("| engine | what | figure |\n|---|---|---|");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sqlite = format!("sqlite:{}", folder.path().join("bench.db").display());
        match std::env::var("PODBERTH_TEST_POSTGRES_URL") {
            Ok(url) => measure("PostgreSQL", &url, pods, 3).await,
            Err(_) => println!("| PostgreSQL | not measured: run this with scripts/postgres | |"),
        }
        measure("SQLite", &sqlite, pods, 1).await;
    });
}

/// One engine's rows; SQLite takes one replica.
async fn measure(engine: &str, url: &str, pods: usize, replicas: usize) {
    let told = |what: &str, figure: String| println!("| {engine} | {what} | {figure} |");
    let store = open(url).await;
    store.migrate().await.expect("the database migrates");

    let ledger = async || {
        for (size, count) in [(1, 1_000), (100, 20_000), (1_000, 50_000)] {
            let rate = appends(&store, size, count).await;
            told(&format!("ledger entries of 2 kB, {size} an append"), format!("{rate:.0}/s"));
        }
    };
    if std::env::args().any(|argument| argument == "ledger") {
        return ledger().await;
    }

    let single = writes(&store, "single", 500, 1, false).await;
    told("durable writes, one at a time", format!("{single:.0}/s"));
    let alone = writes(&store, "alone", 2_000, 32, false).await;
    told("32 callers, a transaction each", format!("{alone:.0}/s ({:.1} ×)", alone / single));
    for (cluster, callers) in [("grouped-32", 32), ("grouped-256", 256)] {
        let grouped = writes(&store, cluster, 10_000, callers, true).await;
        told(&format!("{callers} callers, group commit"), format!("{grouped:.0}/s ({:.1} ×)", grouped / single));
    }

    ledger().await;

    let mut first = 0.0;
    for replicas in 1..=replicas {
        let (rate, times) = binds(&store, url, replicas).await;
        first = if replicas == 1 { rate } else { first };
        let figure = format!("{rate:.0}/s ({:.2} ×), p50 {}, p99 {}", rate / first, at(&times, 50), at(&times, 99));
        told(&format!("durable binds, {replicas} replica(s) racing for the same pods"), figure);
    }

    if replicas > 1 {
        let times = propagation(url).await;
        let figure = format!("p50 {}, p99 {}", at(&times, 50), at(&times, 99));
        told("acknowledged here → in force on another replica", figure);
    }

    fill(&*store, "large", pods).await;
    store.close().await;
    let mut times = Vec::new();
    for _ in 0..3 {
        let store = open(url).await;
        let start = Instant::now();
        let cluster = Clusters::new(store.clone(), Duration::from_secs(1)).get("large").await.expect("it loads");
        times.push(start.elapsed());
        assert_eq!(cluster.view().snapshot.pod_count(), pods);
        drop(cluster);
        store.close().await;
    }
    times.sort_unstable();
    told(&format!("start to the first decision, {pods} pods"), at(&times, 50));
}

async fn open(url: &str) -> Arc<dyn Storage> {
    store::open(url, &Options::default()).await.expect("the database opens")
}

/// A percentile in milliseconds.
fn at(sorted: &[Duration], percent: usize) -> String {
    let time = sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn pod(name: &str) -> Change {
    let head =
        format!(r#"{{"metadata":{{"name":"{name}","namespace":"default","uid":"{name}","annotations":{{"filling":""#);
    let tail = r#""}},"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"10m","memory":"1Mi"}}}]}}"#;
    let filling = "x".repeat(BODY.saturating_sub(head.len() + tail.len()));
    Change::Put { body: format!("{head}{filling}{tail}").into(), uid: name.into(), node: None }
}

fn write(name: &str, change: Change) -> Write {
    Write { key: Key::new("pods", "default", name), precondition: Precondition::default(), change }
}

fn call(write: Write) -> Call {
    Call { writes: vec![write], atomicity: Atomicity::Each }
}

/// Runs `work` for each number below `count` on so many callers; how long each took, sorted, and all together.
async fn run<F: Future<Output = ()> + Send + 'static>(
    count: usize,
    callers: usize,
    work: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> (Vec<Duration>, Duration) {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (next, work) = (next.clone(), work.clone());
        tasks.spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return times;
                }
                let begun = Instant::now();
                work(number).await;
                times.push(begun.elapsed());
            }
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let all = start.elapsed();
    times.sort_unstable();
    (times, all)
}

/// Creations per second.
async fn writes(store: &Arc<dyn Storage>, cluster: &'static str, count: usize, callers: usize, grouped: bool) -> f64 {
    let clusters = Clusters::new(store.clone(), Duration::from_secs(1));
    let direct = store.clone();
    let (_, all) = run(count, callers, move |number| {
        let (clusters, direct) = (clusters.clone(), direct.clone());
        async move {
            let name = format!("pod-{number}");
            let write = write(&name, pod(&name));
            let commit = if grouped {
                clusters.commit(cluster, call(write), None).await.expect("the cluster commits")
            } else {
                direct.commit(cluster, vec![write], Atomicity::Each).await.expect("the store commits")
            };
            assert!(matches!(commit.outcomes[..], [Outcome::Written { .. }]));
        }
    })
    .await;
    assert_eq!(store.list(cluster, &ListQuery::all("pods")).await.expect("a list").items.len(), count);
    count as f64 / all.as_secs_f64()
}

/// Entries of the ledger appended per second by one caller, so many at a time.
async fn appends(store: &Arc<dyn Storage>, size: u64, count: u64) -> f64 {
    let entry = |number: u64| Entry {
        cluster: "appended".into(),
        kind: format!("by-{size}").into(),
        id: EntryId::new(Timestamp::UNIX_EPOCH, number),
        subject: format!("node-{}", number % 100),
        object: format!("default/pod-{number}"),
        body: vec![b'x'; 2_000].into(),
    };
    let start = Instant::now();
    for first in (0..count).step_by(size as usize) {
        let entries: Vec<Entry> = (first..first + size).map(entry).collect();
        store.append(&entries).await.expect("the store appends");
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// Pods bound per second by replicas that all want to bind all of them, and how long each commit took.
async fn binds(store: &Arc<dyn Storage>, url: &str, replicas: usize) -> (f64, Vec<Duration>) {
    let cluster: &'static str = ["", "raced-1", "raced-2", "raced-3"][replicas];
    let node = |number| {
        let name = format!("node-{number}");
        let body = format!(
            r#"{{"metadata":{{"name":"{name}"}},"status":{{"allocatable":{{"cpu":"64","memory":"256Gi","pods":"110"}}}}}}"#
        );
        let change = Change::Put { body: body.into(), uid: name.clone(), node: None };
        Write { key: Key::new("nodes", "", name), precondition: Precondition::default(), change }
    };
    store.commit(cluster, (0..NODES).map(node).collect(), Atomicity::Each).await.expect("the store commits");
    fill(&**store, cluster, RACED).await;

    let mut racing = JoinSet::new();
    let start = Instant::now();
    for replica in 0..replicas {
        let own = if replica == 0 { store.clone() } else { open(url).await };
        let clusters = Clusters::new(own, Duration::from_millis(250));
        clusters.get(cluster).await.expect("it loads");
        racing.spawn(run(RACED, 128, move |number| {
            let clusters = clusters.clone();
            async move {
                // Each replica begins elsewhere and wants another node.
                let pod = (number + replica * RACED / 3) % RACED;
                let node = format!("node-{}", (pod + replica * 7) % NODES);
                let bind = write(&format!("pod-{pod}"), Change::Bind { node });
                clusters.commit(cluster, call(bind), None).await.expect("the cluster commits");
            }
        }));
    }
    let results = racing.join_all().await;
    let all = start.elapsed();
    let bound = store.list(cluster, &ListQuery::all("pods")).await.expect("a list").items;
    let mut load = BTreeMap::<&str, usize>::new();
    for record in &bound {
        *load.entry(record.node.as_deref().expect("every pod is bound")).or_default() += 1;
    }
    assert!(load.values().all(|pods| *pods <= 110), "no node is overcommitted");
    assert_eq!(bound.len(), RACED);
    let mut times: Vec<Duration> = results.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_unstable();
    (RACED as f64 / all.as_secs_f64(), times)
}

/// How long after an acknowledgement another replica decides on it.
async fn propagation(url: &str) -> Vec<Duration> {
    let (here, there) = (open(url).await, open(url).await);
    let writer = Clusters::new(here.clone(), Duration::from_millis(250));
    writer.commit("seen", call(write("pod-0", pod("pod-0"))), None).await.expect("the cluster commits");
    let followed = Clusters::new(there.clone(), Duration::from_millis(250));
    let reader = followed.get("seen").await.expect("it loads");
    let mut times = Vec::new();
    for number in 1..=1_000 {
        let name = format!("pod-{number}");
        let commit = writer.commit("seen", call(write(&name, pod(&name))), None).await.expect("the cluster commits");
        let acknowledged = Instant::now();
        let mut progress = reader.subscribe();
        progress.wait_for(|p| p.revision >= commit.revision).await.expect("it is kept");
        times.push(acknowledged.elapsed());
    }
    drop(reader);
    here.close().await;
    there.close().await;
    times.sort_unstable();
    times
}

/// Pending pods, in large batches.
async fn fill(store: &dyn Storage, cluster: &str, count: usize) {
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(2_500) {
        let create = |number: &usize| {
            let name = format!("pod-{number}");
            write(&name, pod(&name))
        };
        store.commit(cluster, numbers.iter().map(create).collect(), Atomicity::Each).await.expect("the store commits");
    }
}
