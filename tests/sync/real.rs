//! A real API server: mirrored, bound through, scheduled for. Without its binaries these say that they were skipped.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

use axum::http::Request;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Process, until};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";

/// Podberth as a process of its own over a file, which mirrors the cluster and schedules `mine`.
struct Podberth {
    process: Process,
    client: Client,
}

impl Podberth {
    async fn start(cluster: &Cluster, run: usize, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
        command.args(["serve", "--listen=127.0.0.1:0", "--kubeconfig"]).arg(cluster.kubeconfig());
        command.arg(format!("--database-url=sqlite:{}", cluster.path("podberth.db").display())).args(arguments);
        let process = Process::start(command, &cluster.path(&format!("podberth-{run}.log")));
        let url = until("podberth listens", async || {
            let log = process.output();
            let rest = log.split("listening on http://").nth(1)?;
            rest.split_whitespace().next().map(|address| format!("http://{address}"))
        })
        .await;
        let client = Client::try_from(Config::new(url.parse().expect("a URL"))).expect("a client");
        let podberth = Self { process, client };
        until("podberth is ready", async || podberth.try_get("/readyz").await.map(drop)).await;
        podberth
    }

    async fn try_get(&self, path: &str) -> Option<String> {
        let request = Request::get(path).body(Vec::new()).expect("a request");
        self.client.request_text(request).await.ok()
    }

    async fn items(&self, path: &str) -> Vec<Value> {
        let text = self.try_get(path).await.unwrap_or_else(|| panic!("{path} is answered"));
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }
}

fn node(name: &str, group: &str, cpu: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": "64Gi", "pods": "110"});
    json!({"metadata": {"name": name, "labels": {"group": group, "kubernetes.io/hostname": name}}, "status": {
        "allocatable": amounts, "capacity": amounts, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod(name: &str, scheduler: &str, group: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "schedulerName": scheduler, "nodeSelector": {"group": group}, "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn node_of(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty())
}

/// Milli-CPUs.
fn milli(quantity: &Value) -> i64 {
    let text = quantity.as_str().unwrap_or_default();
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().expect("a number"),
        None => text.parse::<i64>().expect("a number") * 1_000,
    }
}

/// The pods of a group, once all are on nodes.
async fn all_bound(cluster: &Cluster, group: &str) -> Vec<Value> {
    until(&format!("all pods of {group} are bound"), async || {
        let pods = cluster.items(PODS).await;
        let pods: Vec<Value> = pods.into_iter().filter(|pod| pod["spec"]["nodeSelector"]["group"] == group).collect();
        pods.iter().all(|pod| node_of(pod).is_some()).then_some(pods)
    })
    .await
}

/// No node has more than it can hold.
async fn nothing_is_overcommitted(cluster: &Cluster) {
    let mut used = BTreeMap::<String, i64>::new();
    for pod in cluster.items(PODS).await {
        let Some(node) = node_of(&pod) else { continue };
        *used.entry(node.to_owned()).or_default() +=
            milli(&pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]);
    }
    for node in cluster.items(NODES).await {
        let (has, of) =
            (used.get(&name(&node)).copied().unwrap_or_default(), milli(&node["status"]["allocatable"]["cpu"]));
        assert!(has <= of, "{}: {has} of {of}", name(&node));
    }
}

/// The parts of pods in which their copies in the mirror agree.
fn facts(pods: &[Value]) -> BTreeSet<(String, String, Option<String>)> {
    let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    pods.iter().map(|pod| (name(pod), uid(pod), node_of(pod).map(str::to_owned))).collect()
}

/// How many pods each scheduler gets, 1,000 unless `TEST_PODS` says otherwise.
fn pods() -> usize {
    env::var("TEST_PODS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

const MINE: &[&str] = &["--sync-bind=apiserver", "--loop=mine"];

#[tokio::test(flavor = "multi_thread")]
async fn a_real_cluster_is_mirrored_and_its_pods_are_scheduled_through_its_api_server() {
    let Some(cluster) = Cluster::start().await else { return };
    for i in 0..20 {
        cluster.post(NODES, &node(&format!("mine-{i}"), "mine", "8")).await;
        cluster.post(NODES, &node(&format!("theirs-{i}"), "theirs", "8")).await;
    }
    let theirs = env::var("KUBE_SCHEDULER_BIN").ok().and_then(|bins| bins.split([',', ':']).next().map(str::to_owned));
    let _theirs = theirs.as_deref().map(|binary| kube_scheduler(&cluster, Path::new(binary)));
    let podberth = Podberth::start(&cluster, 0, MINE).await;
    let count = pods();
    for i in 0..count {
        // Each of 150 milli-CPUs: 53 to a node, of which there are 20.
        cluster.post(PODS, &pod(&format!("m{i}"), "mine", "mine", "150m")).await;
        if theirs.is_some() {
            cluster.post(PODS, &pod(&format!("t{i}"), "default-scheduler", "theirs", "150m")).await;
        }
    }
    assert_eq!(all_bound(&cluster, "mine").await.len(), count);
    all_bound(&cluster, "theirs").await;
    nothing_is_overcommitted(&cluster).await;
    let source = facts(&cluster.items(PODS).await);
    until("the mirror equals the source", async || (facts(&podberth.items(PODS).await) == source).then_some(())).await;

    // A pod that fits nowhere is told why, and is placed as soon as a node has room.
    cluster.post(PODS, &pod("large", "mine", "mine", "12")).await;
    let large = format!("{PODS}/large");
    let told = until("the pod is told why it waits", async || {
        let pod = cluster.get(&large).await;
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False")
    })
    .await;
    assert_eq!(told["reason"], "Unschedulable", "{told}");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("Insufficient cpu")), "{told}");
    cluster.post(NODES, &node("mine-large", "mine", "16")).await;
    until("it is placed", async || (node_of(&cluster.get(&large).await) == Some("mine-large")).then_some(())).await;
    let events = cluster.items("/apis/events.k8s.io/v1/namespaces/default/events").await;
    let is_told = |reason: &str, pod: &str| {
        events.iter().any(|event| {
            event["reason"] == reason && event["regarding"]["name"] == pod && event["reportingController"] == "mine"
        })
    };
    assert!(is_told("FailedScheduling", "large"), "{events:?}");
    until("events of binds are written", async || {
        let events = cluster.items("/apis/events.k8s.io/v1/namespaces/default/events").await;
        events.iter().any(|event| event["reason"] == "Scheduled" && event["regarding"]["name"] == "large").then_some(())
    })
    .await;

    // Deleted at the source, gone in the mirror.
    cluster.delete(&large).await;
    until("it is gone", async || podberth.try_get(&large).await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_made_in_a_real_cluster_by_evictions() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.post(NODES, &node("only", "mine", "2")).await;
    cluster
        .post("/apis/scheduling.k8s.io/v1/priorityclasses", &json!({"metadata": {"name": "high"}, "value": 1000}))
        .await;
    let _podberth = Podberth::start(&cluster, 0, MINE).await;
    for i in 0..2 {
        cluster.post(PODS, &pod(&format!("low-{i}"), "mine", "mine", "1")).await;
    }
    all_bound(&cluster, "mine").await;
    let mut high = pod("high", "mine", "mine", "2");
    high["spec"]["priorityClassName"] = json!("high");
    cluster.post(PODS, &high).await;
    until("the pod has the node", async || {
        (node_of(&cluster.get(&format!("{PODS}/high")).await) == Some("only")).then_some(())
    })
    .await;
    assert_eq!(facts(&cluster.items(PODS).await).len(), 1, "the others were evicted");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bind_is_lost_when_podberth_is_killed_over_and_over() {
    let Some(cluster) = Cluster::start().await else { return };
    for i in 0..20 {
        cluster.post(NODES, &node(&format!("mine-{i}"), "mine", "8")).await;
    }
    let count = pods().min(1_000);
    for i in 0..count {
        cluster.post(PODS, &pod(&format!("m{i}"), "mine", "mine", "150m")).await;
    }
    let bound = async || cluster.items(PODS).await.iter().filter(|pod| node_of(pod).is_some()).count();
    for run in 0..3 {
        let podberth = Podberth::start(&cluster, run, MINE).await;
        let before = bound().await;
        until("some are bound", async || (bound().await > before || before == count).then_some(())).await;
        podberth.process.kill();
    }
    let podberth = Podberth::start(&cluster, 3, MINE).await;
    assert_eq!(all_bound(&cluster, "mine").await.len(), count);
    nothing_is_overcommitted(&cluster).await;
    let source = facts(&cluster.items(PODS).await);
    until("the mirror equals the source", async || (facts(&podberth.items(PODS).await) == source).then_some(())).await;
    let reservations = podberth.items("/reservations").await;
    assert_eq!(reservations, Vec::<Value>::new());
}

/// A kube-scheduler beside, of a release that reads KubeSchedulerConfiguration v1 (1.25 and later).
fn kube_scheduler(cluster: &Cluster, binary: &Path) -> Process {
    let configuration = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "leaderElection": {"leaderElect": false},
        "clientConnection": {"kubeconfig": cluster.kubeconfig(), "qps": 1000, "burst": 2000},
    });
    let path = cluster.path("kube-scheduler.json");
    fs::write(&path, configuration.to_string()).expect("a file");
    let mut command = Command::new(binary);
    command.arg("--config").arg(path).arg("--secure-port=0");
    Process::start(command, &cluster.path("kube-scheduler.log"))
}
