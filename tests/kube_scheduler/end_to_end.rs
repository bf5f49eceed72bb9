//! Real kube-schedulers schedule the pods of a server in this process: two programs, no etcd.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use podberth::service::lifecycle::Lifecycle;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    LEASE, PODS,
    binary::{Binary, Scheduler, binaries, listen},
    cluster, items, node, pod,
    server::Server,
    text,
    watch::Watch,
};

const NODES: usize = 100;
const COUNT: usize = 1000;
/// Each step of a test has this long. A debug build on a busy machine binds some 100 pods a second.
const WITHIN: Duration = Duration::from_mins(2);

/// How Podberth takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// As the API server alone.
    ApiServer,
    /// As the API server, and as the extender for each verb.
    Extender,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_scheduler_schedules_the_pods_of_podberth() {
    with_each(Role::ApiServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_scheduler_with_podberth_as_extender_schedules_its_pods() {
    with_each(Role::Extender).await;
}

async fn with_each(role: Role) {
    let binaries = binaries();
    if binaries.is_empty() {
        eprintln!("SKIPPED: KUBE_SCHEDULER_BIN names no kube-scheduler");
    }
    for binary in binaries {
        eprintln!("{role:?}: {binary:?}");
        schedules(&binary, role).await;
    }
}

async fn schedules(binary: &Binary, role: Role) {
    let server = cluster().await;
    for i in 0..NODES {
        server.post("/api/v1/nodes", node(&format!("n{i:02}"), "4")).await.is(201);
    }
    let address = listen(&server).await;
    // Pods end, and binds of volumes are completed.
    let _lifecycle = Lifecycle::start(server.state.clusters.store(), Uuid::new_v4());
    let extender = extender(&server, &address, binary, role).await;
    let mut scheduler = Scheduler::start(binary, &address, extender.as_deref());

    let mut watch = Watch::begin(&server, &format!("{PODS}?resourceVersion=0")).await;
    server.post(PODS, pod("impossible", "64")).await.is(201);
    for i in 0..COUNT {
        // 100m to 300m each, 200 CPUs of 400 in all.
        server.post(PODS, pod(&format!("p{i:03}"), &format!("{}m", 100 + i % 5 * 50))).await.is(201);
    }
    let mut bound = BTreeMap::<String, String>::new();
    let goal = "every pod is bound";
    watch.until(WITHIN, goal, |_, pod| bind(&mut bound, pod) && bound.len() == COUNT).await;
    no_node_is_over_its_allocatable(&server).await;

    tells_why(&server, binary).await;
    is_the_leader(&server).await;
    evicts_a_pod_of_lower_priority(&server, &mut watch).await;
    let errors = scheduler.errors();
    assert!(errors.iter().all(|error| is_harmless(error)), "{errors:#?}");
    binds_a_volume(&server, &mut watch).await;

    // The lease of a scheduler that is gone ends, and the next one takes over.
    let holder = text(&server.get(LEASE).await.json(), "/spec/holderIdentity").to_owned();
    scheduler.kill();
    let _next = Scheduler::start(binary, &address, extender.as_deref());
    server.post(PODS, pod("later", "100m")).await.is(201);
    watch.until(WITHIN, "a second scheduler takes over", |_, pod| is_bound(pod, "later")).await;
    let lease = server.get(LEASE).await.json();
    assert_ne!(text(&lease, "/spec/holderIdentity"), holder);
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
}

/// The file that `/extender/config` has for this release.
async fn extender(server: &Server, address: &str, binary: &Binary, role: Role) -> Option<String> {
    if role == Role::ApiServer {
        return None;
    }
    let version = if binary.minor >= 25 { "v1" } else { "policy" };
    let path = format!("/extender/config?version={version}&bind=true&ignorable=false");
    let file = server.ask("GET", &path, ("host", address), "").await;
    assert_eq!(file.code, 200, "{}", file.text());
    Some(file.text().to_owned())
}

/// Notes where a pod is; it must stay there.
fn bind(bound: &mut BTreeMap<String, String>, pod: &Value) -> bool {
    let (name, node) = (text(pod, "/metadata/name"), text(pod, "/spec/nodeName"));
    if node.is_empty() {
        return false;
    }
    let before = bound.insert(name.to_owned(), node.to_owned());
    assert!(before.as_deref().is_none_or(|before| before == node), "{name} is bound to {before:?} and to {node}");
    true
}

fn is_bound(pod: &Value, name: &str) -> bool {
    text(pod, "/metadata/name") == name && !text(pod, "/spec/nodeName").is_empty()
}

async fn no_node_is_over_its_allocatable(server: &Server) {
    let mut taken = BTreeMap::<String, (u64, usize)>::new();
    for pod in items(server, PODS).await {
        let node = text(&pod, "/spec/nodeName");
        if !node.is_empty() {
            let cpu = text(&pod, "/spec/containers/0/resources/requests/cpu").strip_suffix('m').expect("milli CPUs");
            let (sum, pods) = taken.entry(node.to_owned()).or_default();
            (*sum, *pods) = (*sum + cpu.parse::<u64>().expect("a number"), *pods + 1);
        }
    }
    assert!(taken.values().all(|(cpu, pods)| *cpu <= 4000 && *pods <= 20), "{taken:?}");
}

/// The event and the condition of the pod that fits nowhere, word for word, and an event of each pod that was bound.
async fn tells_why(server: &Server, binary: &Binary) {
    let nobody = format!("0/{NODES} nodes are available: {NODES} Insufficient cpu.");
    let why = match binary.minor {
        34.. => format!(
            "{nobody} no new claims to deallocate, preemption: 0/{NODES} nodes are available: {NODES} Preemption is not helpful for scheduling."
        ),
        24.. => format!(
            "{nobody} preemption: 0/{NODES} nodes are available: {NODES} No preemption victims found for incoming pod."
        ),
        _ => nobody,
    };
    let mut events = Watch::begin(server, "/api/v1/namespaces/default/events?resourceVersion=0").await;
    let (mut failed, mut scheduled) = (false, BTreeSet::new());
    let goal = "an event of the impossible pod, and of each other one";
    events
        .until(WITHIN, goal, |_, event| {
            let (pod, message) = (text(event, "/involvedObject/name").to_owned(), text(event, "/message"));
            match text(event, "/reason") {
                "FailedScheduling" if pod == "impossible" => {
                    assert_eq!((message, text(event, "/type")), (&*why, "Warning"));
                    failed = true;
                }
                "Scheduled" => {
                    assert!(message.starts_with(&format!("Successfully assigned default/{pod} to n")), "{message}");
                    scheduled.insert(pod);
                }
                _ => {}
            }
            failed && scheduled.len() == COUNT
        })
        .await;
    let pod = server.get(&format!("{PODS}/impossible")).await.json();
    let condition = &pod["status"]["conditions"][0];
    assert_eq!((text(condition, "/reason"), text(condition, "/message")), ("Unschedulable", &*why));
}

async fn is_the_leader(server: &Server) {
    let lease = server.get(LEASE).await.json();
    let holder = text(&lease, "/spec/holderIdentity");
    assert!(!holder.is_empty() && !text(&lease, "/spec/renewTime").is_empty(), "{lease}");
    let events = items(server, "/api/v1/namespaces/kube-system/events").await;
    let told = format!("{holder} became leader");
    assert!(events.iter().any(|event| text(event, "/message") == told), "{events:?}");
}

async fn evicts_a_pod_of_lower_priority(server: &Server, watch: &mut Watch) {
    let class = json!({"metadata": {"name": "high"}, "value": 1000});
    server.post("/apis/scheduling.k8s.io/v1/priorityclasses", class).await.is(201);
    let mut small = node("small", "1");
    small["spec"]["taints"] = json!([{"key": "only", "value": "small", "effect": "NoSchedule"}]);
    server.post("/api/v1/nodes", small).await.is(201);
    let on_small = |name: &str| {
        let mut pod = pod(name, "800m");
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "small"});
        pod["spec"]["tolerations"] = json!([{"key": "only", "operator": "Exists"}]);
        pod
    };
    server.post(PODS, on_small("low")).await.is(201);
    watch.until(WITHIN, "low is bound", |_, pod| is_bound(pod, "low")).await;
    let mut urgent = on_small("urgent");
    urgent["spec"]["priorityClassName"] = "high".into();
    server.post(PODS, urgent).await.is(201);
    let mut gone = false;
    let goal = "low is evicted, and urgent bound";
    watch
        .until(WITHIN, goal, |event, pod| {
            gone |= event == "DELETED" && text(pod, "/metadata/name") == "low";
            assert!(event != "DELETED" || text(pod, "/metadata/name") == "low", "{pod} is evicted too");
            gone && is_bound(pod, "urgent")
        })
        .await;
    let urgent = server.get(&format!("{PODS}/urgent")).await.json();
    assert_eq!(text(&urgent, "/spec/nodeName"), "small");
}

/// A claim that waits for its pod gets the volume that kube-scheduler chose.
async fn binds_a_volume(server: &Server, watch: &mut Watch) {
    let class = json!({"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer"});
    server.post("/apis/storage.k8s.io/v1/storageclasses", class).await.is(201);
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "local"});
    let (mut volume, mut claim) = (spec.clone(), spec);
    volume["capacity"] = json!({"storage": "1Gi"});
    volume["local"] = json!({"path": "/data"});
    let terms = json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n07"]}]}]);
    volume["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": terms}});
    claim["resources"] = json!({"requests": {"storage": "1Gi"}});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    server.post("/api/v1/persistentvolumes", json!({"metadata": {"name": "data"}, "spec": volume})).await.is(201);
    // Asked before, the extender and kube-scheduler might learn of it one after the other, and the pod wait for the next change.
    let mut volumes = Watch::begin(server, "/api/v1/persistentvolumes?resourceVersion=0").await;
    let goal = "the volume is available";
    volumes.until(WITHIN, goal, |_, volume| text(volume, "/status/phase") == "Available").await;
    server.post(claims, json!({"metadata": {"name": "data"}, "spec": claim})).await.is(201);
    let mut pod = pod("stateful", "100m");
    pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    server.post(PODS, pod).await.is(201);
    watch.until(WITHIN, "stateful is bound", |_, pod| is_bound(pod, "stateful")).await;
    assert_eq!(text(&server.get(&format!("{PODS}/stateful")).await.json(), "/spec/nodeName"), "n07");
    let claim = server.get(&format!("{claims}/data")).await.json();
    assert_eq!((text(&claim, "/spec/volumeName"), text(&claim, "/status/phase")), ("data", "Bound"));
    let volume = server.get("/api/v1/persistentvolumes/data").await.json();
    assert_eq!(
        (text(&volume, "/spec/claimRef/uid"), text(&volume, "/status/phase")),
        (text(&claim, "/metadata/uid"), "Bound")
    );
}

/// Errors that kube-scheduler logs against any API server.
fn is_harmless(error: &str) -> bool {
    // Up to 1.20 the first repetition of an event has the count 1 (`pkg/apis/core/validation/events.go` refuses that).
    error.contains("series.count: Invalid value: \"\": should be at least 2")
}
