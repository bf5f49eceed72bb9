//! Decisions that were taken under churn, on several replicas, with changes of the policy, a compaction and a restart in between, are made again: all are
//! identical. Run it with `scripts/test --test replay`; `DECISIONS=10000` takes so many.

#[path = "support/database.rs"]
#[allow(dead_code, reason = "SQLite files are for the suite of the store")]
mod database;
#[path = "support/server.rs"]
mod server;

use std::{sync::Arc, time::Duration};

use database::{Database, Engine, with_database};
use podberth::{
    live,
    store::{Keep, Options, Storage},
    wire::decision::{ReplayReport, Share},
};
use serde_json::{Value, json};
use server::{Server, Setup};

const NODES: u64 = 24;

/// Numbers by chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn node(at: u64, chance: &mut Chance) -> Value {
    let cpu = 8 + chance.below(24);
    json!({"metadata": {"name": format!("node-{at}"), "labels": {
            "zone": format!("z{}", at % 3), "kubernetes.io/hostname": format!("node-{at}"), "disk": if chance.below(2) == 0 { "ssd" } else { "hdd" }}},
        "status": {"allocatable": {"cpu": cpu.to_string(), "memory": format!("{}Gi", cpu * 2), "pods": "40"}}})
}

fn pod(name: &str, chance: &mut Chance) -> Value {
    let app = format!("app-{}", chance.below(4));
    let labels = json!({"app": app});
    let mut spec = json!({"priority": chance.below(3) * 100, "containers": [{"name": "main",
        "resources": {"requests": {"cpu": format!("{}m", 100 + 200 * chance.below(12)), "memory": "256Mi"}}}]});
    let selector = json!({"matchLabels": {"app": app}});
    match chance.below(6) {
        0 => spec["nodeSelector"] = json!({"disk": "ssd"}),
        1 => {
            spec["topologySpreadConstraints"] = json!([{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]);
        }
        2 => {
            spec["affinity"] = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 10, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}}]}});
        }
        3 => {
            spec["affinity"] = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": selector}]}});
        }
        _ => {}
    }
    json!({"metadata": {"name": name, "namespace": "shop", "labels": labels}, "spec": spec})
}

fn policies() -> [Value; 3] {
    let predicates =
        json!([{"name": "PodFitsResources"}, {"name": "MatchNodeSelector"}, {"name": "PodToleratesNodeTaints"}]);
    let policy = |priorities: Value| json!({"kind": "Policy", "apiVersion": "v1", "predicates": predicates, "priorities": priorities});
    [
        policy(json!([{"name": "MostRequestedPriority", "weight": 2}])),
        policy(
            json!([{"name": "LeastRequestedPriority", "weight": 1}, {"name": "BalancedResourceAllocation", "weight": 3}]),
        ),
        json!({"kind": "KubeSchedulerConfiguration", "apiVersion": "kubescheduler.config.k8s.io/v1",
            "profiles": [{"schedulerName": "default-scheduler"}]}),
    ]
}

async fn open(database: &Database) -> Arc<dyn Storage> {
    database.store_with(Options { history: Some(Duration::from_hours(10)), ..Options::default() }).await
}

fn start(store: &Arc<dyn Storage>) -> Server {
    let clusters = live::Limits { poll: Duration::from_millis(20), ..live::Limits::default() };
    Server::start(store.clone(), Setup { decisions: Share::Binds, clusters, ..Setup::default() })
}

/// A client that schedules pods, and makes changes in between.
async fn client(server: Server, of: usize, round: usize, seed: u64, count: usize) {
    let mut chance = Chance(seed);
    for at in 0..4 {
        let some = if at == 1 { count } else { 1 + usize::try_from(chance.below(6)).expect("it is small") };
        let pods: Vec<Value> = (0..some).map(|p| pod(&format!("p{of}-{round}-{at}-{p}"), &mut chance)).collect();
        let together = at == 2;
        let request = json!({"pods": pods, "seed": chance.below(100), "suggestions": false, "allOrNothing": together});
        server.post("/schedule", request).await.is(200);
        // Some of what is there leaves.
        for _ in 0..some / 2 {
            let (at, p) = (chance.below(4), chance.below(some as u64));
            let path = format!(
                "/api/v1/namespaces/shop/pods/p{}-{}-{at}-{p}",
                chance.below(2),
                chance.below(1 + round as u64)
            );
            server.delete(&path).await;
        }
        let changed = chance.below(NODES);
        server.put(&format!("/api/v1/nodes/node-{changed}"), node(changed, &mut chance)).await.is(200);
    }
}

/// Makes decisions again, request by request.
async fn replay_all(server: &Server, mut request: Value) -> Value {
    let mut whole = ReplayReport::default();
    loop {
        let page: ReplayReport =
            serde_json::from_value(server.post("/replay", &request).await.is(200)).expect("a report");
        request["continue"] = page.next.clone().into();
        whole.join(page);
        if request["continue"].is_null() {
            return serde_json::to_value(whole).expect("a report");
        }
    }
}

async fn churn(database: Database, replicas: usize) {
    let wanted: usize = std::env::var("DECISIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(400);
    let mut store = open(&database).await;
    let mut chance = Chance(7);
    let mut servers: Vec<Server> = (0..replicas).map(|_| start(&store)).collect();
    for at in 0..NODES {
        servers[0].post("/api/v1/nodes", node(at, &mut chance)).await.is(201);
    }
    let rounds = 8;
    // Chunks are of 512 pods: some requests have several when many decisions are wanted.
    let count = (wanted / (rounds * replicas)).max(8);
    for round in 0..rounds {
        if let Some(policy) = policies().get(round / 2).filter(|_| round % 2 == 1) {
            servers[0].put("/policy", policy).await;
        }
        let clients = servers.iter().enumerate().map(|(of, server)| {
            let seed = (round * 10 + of) as u64;
            tokio::spawn(client(server.clone(), of, round, seed, count))
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("no panic");
        }
        if round == 3 {
            for server in &servers {
                server.state.decisions.flush().await;
            }
            store.compact("default", &Keep { age: Duration::ZERO, revisions: 1 }).await.expect("it is compacted");
            if !database.url.contains("memory") {
                // A restart.
                drop(servers);
                store.close().await;
                store = open(&database).await;
                servers = (0..replicas).map(|_| start(&store)).collect();
            }
        }
    }
    for server in &servers {
        server.state.decisions.flush().await;
    }
    let begun = std::time::Instant::now();
    let report = replay_all(&servers[0], json!({"all": true})).await;
    // Batches are gone through in parts, and give the same answers.
    let parts = replay_all(&servers[0], json!({"all": true, "limit": 37})).await;
    for field in ["total", "identical"] {
        assert_eq!(parts[field], report[field], "{parts}");
    }
    let short = |name: &str| report[name].as_array().expect("a list").iter().take(5).cloned().collect::<Vec<_>>();
    eprintln!("{} decisions replayed in {:?}", report["total"], begun.elapsed());
    assert_eq!((short("different"), short("skipped")), (vec![], vec![]), "of {}", report["total"]);
    assert_eq!(report["identical"], report["total"]);
    assert!(report["total"].as_u64().is_some_and(|total| total as usize >= wanted / 2), "{}", report["total"]);
    let latest = servers[0].get("/decisions?limit=3").await.is(200);
    let ids: Vec<&Value> = latest["items"].as_array().expect("items").iter().map(|item| &item["id"]).collect();
    let some = servers[0].post("/replay", json!({"decisions": ids})).await.is(200);
    assert_eq!((&some["identical"], &some["total"]), (&json!(3), &json!(3)), "{some}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_two_replicas_are_identical_on_postgresql() {
    with_database(Engine::Postgres, |database| churn(database, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_two_replicas_are_identical_in_memory() {
    with_database(Engine::Memory, |database| churn(database, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_identical_on_sqlite() {
    with_database(Engine::SqliteFile, |database| churn(database, 1)).await;
}
