//! Podberth as the scheduler of a live cluster: binds, preemption, reports and the Lease go through the API server.

use std::sync::Arc;

use podberth::{
    core::waiting::Loops,
    extenders::Extenders,
    live::{self, Clusters},
    service::{
        Freshness, Service,
        bind::{extender_bind, look_after},
        error::Error,
        evict,
        lead::Leads,
        objects::{Deletion, Target},
        scheduler::Scheduler,
        source::Sources,
    },
    store::{ListQuery, Storage},
    sync::{client::KubeConnector, mirror::Mirrors},
    wire::{
        decision::AskedBy,
        extender::ExtenderBindingArgs,
        kinds, outbox,
        source::{BindMode, ClusterSource},
    },
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    WITHIN,
    api_binds::{BUDGETS, Bound, EVENTS, node, overcommitted, pod, serve_schedulers},
    api_server::{ApiServer, NODES, PODS},
    put_source, quick, server,
};

const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";

/// An API server, and a process that schedules its pods of the scheduler `mine`.
struct Stage {
    api: ApiServer,
    bound: Bound,
    store: Arc<dyn Storage>,
    service: Service,
    running: Option<(Mirrors, Scheduler, Leads)>,
    _kubeconfig: NamedTempFile,
}

impl Stage {
    /// With these objects, each with its path, and this change of the source.
    async fn with(objects: Vec<(&str, Value)>, change: impl FnOnce(&mut ClusterSource)) -> Self {
        let api = ApiServer::start().await;
        let bound = serve_schedulers(&api);
        for (path, object) in objects {
            api.put(path, object);
        }
        let kubeconfig = api.kubeconfig();
        let mut source = ClusterSource {
            kubeconfig_file: Some(kubeconfig.path().to_string_lossy().into_owned()),
            bind: BindMode::ApiServer,
            schedulers: vec!["mine".into()],
            ..ClusterSource::default()
        };
        change(&mut source);
        let store = server::memory(&[]).await;
        put_source(&store, &source).await;
        let connector = KubeConnector::new(false);
        let clusters = Clusters::limited(store.clone(), live::Limits::default());
        let service = Service::new(clusters, Freshness::default(), Extenders::default());
        let service = Service { sources: Sources::by(Arc::new(connector.clone())), ..service };
        let holder = Uuid::new_v4();
        let mirrors = Mirrors::start(&service, holder, &connector, quick());
        let scheduler = Scheduler::start(&service, holder, &Loops::default());
        let running = Some((mirrors, scheduler, look_after(&service, holder)));
        Self { api, bound, store, service, running, _kubeconfig: kubeconfig }
    }

    /// Waits until the live cluster has the pod on the node.
    async fn binds(&self, name: &str, node: &str) {
        let is_on = |api: &ApiServer| pod_of(api, name).is_some_and(|pod| pod["spec"]["nodeName"] == node);
        self.api.until(is_on, &format!("{name} on {node}")).await;
    }

    /// Waits until the pod has this in the message of its condition.
    async fn tells(&self, name: &str, message: &str) {
        let told = |api: &ApiServer| {
            let pod = pod_of(api, name).unwrap_or_default();
            pod["status"]["conditions"][0]["message"].as_str().is_some_and(|text| text.contains(message))
        };
        self.api.until(told, &format!("{name}: {message}")).await;
    }

    /// Waits until nothing is on its way.
    async fn settles(&self) {
        let cluster = self.service.clusters.get("default").await.expect("the cluster loads");
        let mut progress = cluster.subscribe();
        let is_empty = async {
            while !self.store.list("default", &ListQuery::all(outbox::KIND)).await.expect("it reads").items.is_empty() {
                progress.changed().await.expect("the writer lives");
            }
        };
        assert!(timeout(WITHIN, is_empty).await.is_ok(), "binds stay on their way");
    }

    async fn end(&mut self) {
        let (mirrors, scheduler, binds) = self.running.take().expect("it runs");
        scheduler.end().await;
        binds.end().await;
        mirrors.end().await;
    }
}

fn pod_of(api: &ApiServer, name: &str) -> Option<Value> {
    api.look(|objects| objects.get(PODS, "shop", name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_live_cluster_are_bound_through_its_api_server() {
    let mut objects: Vec<(&str, Value)> = (0..3).map(|at| (NODES, node(&format!("n{at}"), "10"))).collect();
    objects.extend((0..20).map(|at| (PODS, pod(&format!("p{at}"), "1"))));
    let mut stage = Stage::with(objects, |_| {}).await;
    stage.api.until(|_| stage.bound.names().len() >= 20, "20 binds").await;
    stage.api.put(PODS, pod("late", "1"));
    stage.api.until(|_| stage.bound.names().len() >= 21, "the bind of a pod that came later").await;
    stage.settles().await;
    let mut names = stage.bound.names().clone();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), overcommitted(&stage.api)), (21, Vec::new()));
    assert_eq!(stage.api.count("POST /api/v1/namespaces/shop/pods/"), 21, "each is sent once");
    let scheduled = |api: &ApiServer| {
        let events = api.look(|objects| objects.all(EVENTS));
        events.iter().filter(|event| event["reason"] == "Scheduled").count()
    };
    stage.api.until(|api| scheduled(api) == 21, "an event for each pod").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unschedulable_pod_of_a_live_cluster_is_told_why_and_bound_when_it_fits() {
    let mut stage = Stage::with(vec![(NODES, node("n", "1")), (PODS, pod("p", "2"))], |_| {}).await;
    stage.tells("p", "1 Insufficient cpu").await;
    stage.api.put(NODES, node("n", "4"));
    stage.binds("p", "n").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_kubelet_refused_a_pod_for_want_of_room_rests() {
    // The large node is the one that pods prefer.
    let objects = vec![(NODES, node("large", "64")), (NODES, node("small", "2")), (PODS, pod("first", "1"))];
    let mut stage = Stage::with(objects, |_| {}).await;
    stage.binds("first", "large").await;
    let mut refused = pod_of(&stage.api, "first").expect("it is there");
    refused["status"] = json!({"phase": "Failed", "reason": "OutOfcpu"});
    stage.api.put(PODS, refused);
    // It is told after the failure.
    stage.api.put(PODS, pod("second", "1"));
    stage.binds("second", "small").await;
    stage.api.put(PODS, pod("third", "2"));
    stage.tells("third", "podberth.io/resting").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preemption_evicts_and_nominates_and_the_pod_follows() {
    let mut victim = pod("victim", "2");
    victim["spec"]["nodeName"] = json!("n");
    let mut urgent = pod("urgent", "2");
    urgent["spec"]["priority"] = json!(1_000);
    let mut stage = Stage::with(vec![(NODES, node("n", "2")), (PODS, victim), (PODS, urgent)], |_| {}).await;
    stage.binds("urgent", "n").await;
    let requests = stage.api.requests();
    let at = |begin: &str| requests.iter().position(|request| request.starts_with(begin));
    let evicted = at("POST /api/v1/namespaces/shop/pods/victim/eviction");
    let bound = at("POST /api/v1/namespaces/shop/pods/urgent/binding");
    assert!(evicted.is_some() && evicted < bound, "{requests:#?}");
    let urgent = pod_of(&stage.api, "urgent").expect("it is there");
    assert_eq!(urgent["status"]["nominatedNodeName"], "n");
    let told = |api: &ApiServer| {
        let events = api.look(|objects| objects.all(EVENTS));
        events.iter().any(|event| event["reason"] == "Preempted" && event["regarding"]["name"] == "victim")
    };
    stage.api.until(told, "an event about the victim").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_goes_by_deletion_where_the_plan_breaks_its_budget() {
    let mut victim = pod("victim", "2");
    victim["spec"]["nodeName"] = json!("n");
    victim["metadata"]["labels"] = json!({"app": "a"});
    let mut urgent = pod("urgent", "2");
    urgent["spec"]["priority"] = json!(1_000);
    let budget = json!({"metadata": {"namespace": "shop", "name": "b"}, "spec": {"minAvailable": 1,
        "selector": {"matchLabels": {"app": "a"}}}, "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
    let objects = vec![(NODES, node("n", "2")), (BUDGETS, budget), (PODS, victim)];
    let mut stage = Stage::with(objects, |_| {}).await;
    stage.api.put(PODS, urgent);
    stage.binds("urgent", "n").await;
    assert_eq!(stage.api.count("DELETE /api/v1/namespaces/shop/pods/victim"), 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_whose_claim_waits_for_its_first_consumer_is_refused_by_name() {
    let class = json!({"metadata": {"name": "late"}, "provisioner": "x", "volumeBindingMode": "WaitForFirstConsumer"});
    let claim = json!({"metadata": {"namespace": "shop", "name": "data"}, "spec": {"storageClassName": "late",
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}});
    let mut with_claim = pod("p", "1");
    with_claim["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    let objects = vec![
        (NODES, node("n", "2")),
        ("/apis/storage.k8s.io/v1/storageclasses", class),
        ("/api/v1/persistentvolumeclaims", claim),
        (PODS, with_claim),
    ];
    let mut stage = Stage::with(objects, |_| {}).await;
    stage.tells("p", "\"data\" waits for its first consumer: volumes are not bound in a mirrored cluster yet").await;
    assert!(stage.bound.names().is_empty());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_scheduled_while_another_one_holds_the_lease() {
    let spec = |holder: &str, seconds: u64| json!({"holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": 3});
    let lease = json!({"metadata": {"namespace": "kube-system", "name": "podberth"}, "spec": spec("other", 3_600)});
    let objects = vec![(NODES, node("n", "2")), (PODS, pod("p", "1")), (LEASES, lease)];
    let mut stage = Stage::with(objects, |source| source.lease = Some("kube-system/podberth".into())).await;
    let asked =
        |api: &ApiServer| api.count("GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/podberth") >= 2;
    stage.api.until(asked, "two looks at the Lease").await;
    assert!(stage.bound.names().is_empty());
    let given = json!({"metadata": {"namespace": "kube-system", "name": "podberth"}, "spec": spec("", 1)});
    stage.api.put(LEASES, given);
    stage.binds("p", "n").await;
    let holder = |api: &ApiServer| {
        let lease = api.look(|objects| objects.get(LEASES, "kube-system", "podberth")).unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    };
    assert!(holder(&stage.api).starts_with("podberth_"), "{}", holder(&stage.api));
    stage.end().await;
    assert_eq!(holder(&stage.api), "", "it is given back by then");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_source_ends_a_loop_that_waits_for_its_lease() {
    let spec = json!({"holderIdentity": "other", "leaseDurationSeconds": 3_600});
    let lease = json!({"metadata": {"namespace": "kube-system", "name": "held"}, "spec": spec});
    let objects = vec![(NODES, node("n", "2")), (PODS, pod("p", "1")), (LEASES, lease)];
    let mut stage = Stage::with(objects, |source| source.lease = Some("kube-system/held".into())).await;
    let asked = |api: &ApiServer| api.count("GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/held") >= 1;
    stage.api.until(asked, "a look at the Lease").await;
    let cluster = stage.service.clusters.get("default").await.expect("the cluster loads");
    let source = cluster.view().source().expect("it has one");
    let free = ClusterSource { lease: Some("kube-system/free".into()), ..ClusterSource::clone(&source) };
    put_source(&stage.store, &free).await;
    stage.binds("p", "n").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eviction_that_a_client_asks_for_goes_to_the_api_server() {
    let (mut free, mut kept) = (pod("free", "1"), pod("kept", "1"));
    for (pod, app) in [(&mut free, "free"), (&mut kept, "kept")] {
        pod["spec"]["nodeName"] = json!("n");
        pod["metadata"]["labels"] = json!({"app": app});
    }
    let budget = json!({"metadata": {"namespace": "shop", "name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}, "status": {"disruptionsAllowed": 0}});
    let objects = vec![(NODES, node("n", "4")), (BUDGETS, budget), (PODS, free), (PODS, kept)];
    let mut stage = Stage::with(objects, |_| {}).await;
    let cluster = stage.service.clusters.get("default").await.expect("the cluster loads");
    let mut progress = cluster.subscribe();
    while cluster.view().snapshot.pod_count() < 2 {
        progress.changed().await.expect("the writer lives");
    }
    let evict = async |name: &str| {
        let kind = kinds::by_plural("", "pods").expect("a kind");
        let target = Target { cluster: "default".into(), kind, namespace: Some("shop".into()), name: name.into() };
        evict::evict(&stage.service, &target, &Deletion::default()).await
    };
    let refused = evict("kept").await;
    assert!(matches!(refused, Err(Error::Disruption { .. })), "{refused:?}");
    assert_eq!(evict("free").await.expect("it leaves").key.name, "free");
    assert!(pod_of(&stage.api, "free").is_none() && pod_of(&stage.api, "kept").is_some());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bind_waits_for_the_pod_that_its_scheduler_has_seen() {
    let mut stage = Stage::with(vec![(NODES, node("n", "4"))], |_| {}).await;
    let cluster = stage.service.clusters.get("default").await.expect("the cluster loads");
    let mut progress = cluster.subscribe();
    while stage.service.sources.as_of("default").is_none() || cluster.view().snapshot.node("n").is_none() {
        progress.changed().await.expect("the writer lives");
    }
    let args = |pod_name: &str| ExtenderBindingArgs {
        pod_name: pod_name.into(),
        pod_namespace: "shop".into(),
        pod_uid: String::new(),
        node: "n".into(),
    };
    let mut late = pod("late", "1");
    late["spec"]["schedulerName"] = json!("default-scheduler");
    let name: Arc<str> = "default".into();
    let by = AskedBy::default();
    let binds = extender_bind(&stage.service, &name, args("late"), None, &by);
    let (bound, ()) = tokio::join!(binds, async { stage.api.put(PODS, late) });
    assert_eq!(bound.expect("the store writes"), None);
    stage.binds("late", "n").await;
    let unknown = extender_bind(&stage.service, &name, args("never"), None, &by).await.expect("an answer");
    assert!(unknown.is_some_and(|why| why.contains("not known")), "it waits for a bounded time");
    stage.end().await;
}
