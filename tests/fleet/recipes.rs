//! The recipes of `docs/fleet-schedulers.md` for Kueue and Open Cluster Management: each command is run as it stands there, against a Podberth and an API
//! server that stores what it is sent.

use std::{
    collections::BTreeMap,
    future::pending,
    process::{Command, Output},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use podberth::api::{
    pace::Pace,
    serve::{Timeouts, serve},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::{LATE, Server, Setup, memory};

const TIMEOUTS: Timeouts = Timeouts {
    idle: LATE,
    stalled: Pace { grace: LATE, bytes_per_second: 1 },
    grace: LATE,
    connections: 100,
    reply_bytes: 1 << 30,
    reply_wait: LATE,
};

/// An API server: objects by their paths, and what was patched.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    objects: BTreeMap<String, Value>,
    patches: Vec<(String, Value)>,
}

impl Api {
    fn with<T>(&self, work: impl FnOnce(&mut Stored) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, path: &str, object: Value) {
        self.with(|stored| stored.objects.insert(path.to_owned(), object));
    }

    /// The patches since the last time.
    fn patches(&self) -> Vec<(String, Value)> {
        self.with(|stored| std::mem::take(&mut stored.patches))
    }
}

async fn answered(
    State(api): State<Api>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Option<Json<Value>>,
) -> Response {
    let path = uri.path().to_owned();
    let media = headers.get("content-type").map(|media| media.to_str().expect("text").to_owned());
    api.with(|stored| match method {
        Method::GET => {
            // A list is of all namespaces.
            let plural = path.rsplit('/').next().expect("a plural");
            let prefix = path.trim_end_matches(plural);
            let is_in = |key: &str| key.starts_with(prefix) && key.rsplit('/').nth(1) == Some(plural);
            let items: Vec<&Value> = stored.objects.iter().filter(|(key, _)| is_in(key)).map(|(_, of)| of).collect();
            Json(json!({"items": items})).into_response()
        }
        Method::POST => {
            let Some(Json(object)) = body else { return StatusCode::BAD_REQUEST.into_response() };
            let key = format!("{path}/{}", object["metadata"]["name"].as_str().expect("a name"));
            if stored.objects.contains_key(&key) {
                return (StatusCode::CONFLICT, Json(json!({}))).into_response();
            }
            stored.objects.insert(key, object.clone());
            (StatusCode::CREATED, Json(object)).into_response()
        }
        Method::PATCH => {
            assert_eq!(media.as_deref(), Some("application/merge-patch+json"));
            let Some(Json(patch)) = body else { return StatusCode::BAD_REQUEST.into_response() };
            let key = path.strip_suffix("/status").expect("the status is patched");
            let object = stored.objects.get_mut(key).expect("it is there");
            for (field, value) in patch["status"].as_object().expect("a status") {
                object["status"][field] = value.clone();
            }
            let object = object.clone();
            stored.patches.push((key.to_owned(), patch));
            Json(object).into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    })
}

/// Serves a router; its URL. Its body is JSON whatever it is called.
async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(serve(listener, router, TIMEOUTS, pending()));
    url
}

/// A Podberth and an API server, with the URLs of both.
struct World {
    server: Server,
    api: Api,
    podberth: String,
    kubernetes: String,
}

impl World {
    async fn start() -> Self {
        let server = Server::start(memory(&[]).await, Setup::default());
        let api = Api::default();
        let podberth = served(server.router.clone()).await;
        let kubernetes = served(Router::new().fallback(answered).with_state(api.clone())).await;
        Self { server, api, podberth, kubernetes }
    }

    async fn nodes(&self, cluster: &str, nodes: &[(&str, &str)]) {
        let items = nodes.iter().map(|(name, cpu)| {
            json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name},
                "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "110"}}})
        });
        let list = json!({"kind": "List", "apiVersion": "v1", "items": items.collect::<Vec<_>>()});
        self.server.post(&format!("/clusters/{cluster}/import"), &list).await.is(200);
    }

    /// Stores the Cluster object of a cluster.
    async fn cluster(&self, name: &str, spec: &Value) {
        let object =
            json!({"kind": "Cluster", "apiVersion": "podberth.io/v1", "metadata": {"name": name}, "spec": spec});
        self.server.post("/apis/podberth.io/v1/clusters", &object).await.is(201);
    }

    /// Runs the command of the guide that calls an example; `None` where there is no Python.
    async fn run(&self, example: &str) -> Option<String> {
        if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
            eprintln!("not run: python3 is not installed");
            return None;
        }
        let guide = include_str!("../../docs/fleet-schedulers.md");
        let command = guide.lines().find(|line| line.starts_with("PODBERTH_URL=") && line.contains(example));
        let command = command.unwrap_or_else(|| panic!("the guide does not call {example}"));
        let mine = [("http://127.0.0.1:8080", &self.podberth), ("http://127.0.0.1:8001", &self.kubernetes)];
        let command = mine.iter().fold(command.to_owned(), |command, (shown, real)| {
            assert!(command.contains(shown), "{command}");
            command.replace(shown, real)
        });
        let run = move || {
            let mut shell = Command::new("sh");
            shell.args(["-c", &command]).current_dir(env!("CARGO_MANIFEST_DIR")).env("no_proxy", "*");
            shell.output()
        };
        let Output { status, stdout, stderr } =
            tokio::task::spawn_blocking(run).await.expect("no panic").expect("a shell");
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(status.success(), "{stdout}{stderr}");
        Some(stdout)
    }
}

/// The spec of a cluster that may add two nodes of these amounts.
fn growing(amounts: &Value) -> Value {
    json!({"nodeTemplates": [{"name": "large", "max": 2, "template": {"status": {"allocatable": amounts}}}]})
}

const KUEUE: &str = "/apis/kueue.x-k8s.io/v1beta2";

/// A Workload of a driver and workers, with a CPU each times `cpu`.
fn workload(name: &str, workers: u32, cpu: &str, status: &Value) -> Value {
    let template =
        |cpu: &str| json!({"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}});
    json!({"metadata": {"name": name, "namespace": "team", "uid": name},
        "spec": {"podSets": [
            {"name": "driver", "count": 1, "template": template("1")},
            {"name": "workers", "count": workers, "template": template(cpu)},
            {"name": "none", "count": 0, "template": template("100")}]},
        "status": status})
}

/// The status of a Workload that waits for a cluster.
fn waiting() -> Value {
    json!({"conditions": [{"type": "QuotaReserved", "status": "True"}],
        "admissionChecks": [{"name": "fleet", "state": "Pending"}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kueue_is_told_the_clusters_in_which_a_workload_fits_the_best_first() {
    let world = World::start().await;
    world.nodes("tiny", &[("a", "2")]).await;
    world.nodes("dear", &[("a", "8")]).await;
    world.nodes("cheap", &[("a", "8")]).await;
    world.nodes("growing", &[("a", "1")]).await;
    world.nodes("not-of-kueue", &[("a", "100")]).await;
    // In full it has room, but for pods of another one that would be evicted.
    world.nodes("full", &[("a", "8")]).await;
    let low = json!({"metadata": {"name": "low"}, "value": -10});
    world.server.post("/clusters/full/apis/scheduling.k8s.io/v1/priorityclasses", &low).await.is(201);
    let filler = json!({"metadata": {"name": "filler"}, "spec": {"nodeName": "a", "priority": -10, "priorityClassName": "low",
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "8"}}}]}});
    world.server.post("/clusters/full/api/v1/namespaces/other/pods", &filler).await.is(201);
    for (cluster, price) in [("cheap", "1"), ("dear", "3"), ("full", "1")] {
        let cost = json!({"cost": {"perCpuHour": price, "perGiHour": "0", "currency": "EUR"}});
        world.cluster(cluster, &cost).await;
    }
    let amounts = json!({"cpu": "16", "memory": "64Gi", "pods": "110"});
    world.cluster("growing", &growing(&amounts)).await;

    let check = json!({"metadata": {"name": "fleet"}, "spec": {"controllerName": "kueue.x-k8s.io/multikueue",
        "parameters": {"apiGroup": "kueue.x-k8s.io", "kind": "MultiKueueConfig", "name": "all"}}});
    world.api.put(&format!("{KUEUE}/admissionchecks/fleet"), check);
    let other = json!({"metadata": {"name": "other"}, "spec": {"controllerName": "example.com/other"}});
    world.api.put(&format!("{KUEUE}/admissionchecks/other"), other);
    let clusters = ["tiny", "full", "growing", "dear", "cheap", "not-of-podberth"];
    let config = json!({"metadata": {"name": "all"}, "spec": {"clusters": clusters}});
    world.api.put(&format!("{KUEUE}/multikueueconfigs/all"), config);
    let path = |name: &str| format!("{KUEUE}/namespaces/team/workloads/{name}");
    let mut placed = waiting();
    placed["clusterName"] = "dear".into();
    let mut of_another = waiting();
    of_another["admissionChecks"][0]["name"] = "other".into();
    for (name, workers, cpu, status) in [
        ("train", 3, "2", waiting()),
        ("huge", 1, "1000", waiting()),
        ("placed", 3, "2", placed),
        ("of-another", 3, "2", of_another),
        ("without-quota", 3, "2", json!({"admissionChecks": [{"name": "fleet", "state": "Pending"}]})),
    ] {
        world.api.put(&path(name), workload(name, workers, cpu, &status));
    }
    let Some(told) = world.run("examples/kueue/dispatch.py").await else { return };
    let expected = json!({"status": {"nominatedClusterNames": ["cheap", "dear", "growing", "full"]}});
    assert_eq!(world.api.patches(), [(path("train"), expected)], "{told}");
    assert_eq!(told, "team/train: cheap, dear, growing, full\n");
    // Nothing has changed: nothing is written.
    world.run("examples/kueue/dispatch.py").await;
    assert_eq!(world.api.patches(), []);
}

const OCM: &str = "/apis/cluster.open-cluster-management.io";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_cluster_management_is_told_how_much_fits() {
    let world = World::start().await;
    world.nodes("eu-1", &[("a", "4"), ("b", "3")]).await;
    world.nodes("us-1", &[("a", "64")]).await;
    world.nodes("growing", &[("a", "500m")]).await;
    let amounts = json!({"cpu": "4", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "1"});
    world.cluster("growing", &growing(&amounts)).await;
    for cluster in ["eu-1", "us-1", "growing", "unknown"] {
        world.api.put(&format!("{OCM}/v1/managedclusters/{cluster}"), json!({"metadata": {"name": cluster}}));
    }
    let before = podberth::clock::now();
    for pass in 0..2 {
        let Some(told) = world.run("examples/ocm/scores.py").await else { return };
        let scores: BTreeMap<String, Value> = world
            .api
            .patches()
            .into_iter()
            .map(|(path, mut patch)| {
                let valid = patch["status"]["validUntil"].take();
                let valid: jiff::Timestamp = valid.as_str().expect("a time").parse().expect("a time");
                assert!((290..=400).contains(&(valid.as_second() - before.as_second())), "{valid}");
                (path, patch["status"]["scores"].take())
            })
            .collect();
        let of =
            |web: i32, training: i32| json!([{"name": "web", "value": web}, {"name": "training", "value": training}]);
        let path = |cluster: &str| format!("{OCM}/v1alpha1/namespaces/{cluster}/addonplacementscores/podberth");
        let expected = BTreeMap::from([
            (path("eu-1"), of(70, -100)),
            (path("us-1"), of(100, -100)),
            // Two nodes of 4 CPUs and a GPU each: 8 of 10, and both.
            (path("growing"), of(-20, -1)),
            (path("unknown"), of(-100, -100)),
        ]);
        assert_eq!(scores, expected, "pass {pass}: {told}");
    }
}
