//! Podberth's own scheduler: pods that name it are placed as they come.

use std::time::Duration;

use futures_util::future::join_all;
use podberth::{
    core::waiting::Loops,
    live::{DEFAULT_CLUSTER, journal::Step},
    service::{
        objects::{Begin, Target, watch},
        scheduler::Scheduler,
    },
    wire::{kinds, selector::Query},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::server::Server;

const PODS: &str = "/api/v1/namespaces/default/pods";
const WITHIN: Duration = Duration::from_mins(1);

fn start(server: &Server) -> Scheduler {
    Scheduler::start(&server.state, Uuid::new_v4(), &"mine".parse::<Loops>().expect("a name"))
}

fn pod(name: &str, cpu: &str) -> Value {
    let container = json!({"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}});
    json!({"metadata": {"name": name}, "spec": {"schedulerName": "mine", "containers": [container]}})
}

async fn add_node(server: &Server, name: &str, cpu: &str) {
    let node =
        json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "1000"}}});
    server.post("/api/v1/nodes", &node).await.is(201);
}

/// The object of a kind that meets a condition, as soon as there is one.
pub(crate) async fn until(server: &Server, (group, plural): (&str, &str), meets: impl Fn(&Value) -> bool) -> Value {
    let kind = kinds::by_plural(group, plural).expect("a kind");
    let target = Target { cluster: DEFAULT_CLUSTER.into(), kind, namespace: None, name: String::new() };
    let query = Query::parse(kind.selectable, "", "").expect("a selector");
    let found = async {
        let mut steps = watch(&server.state, &target, query, Begin::Newest { objects: true }).await.expect("a watch");
        loop {
            let records = match steps.next().await {
                Step::Objects(states) => states.iter().map(|state| state.record.clone()).collect(),
                Step::Changes(changes) => changes.iter().filter_map(|(kind, event)| event.object(*kind)).collect(),
                Step::ObjectsEnd(_) => Vec::new(),
                step => panic!("{step:?}"),
            };
            for record in records {
                let mut object: Value = serde_json::from_slice(&record.body).expect("JSON");
                if let Some(node) = &record.node {
                    object["spec"]["nodeName"] = json!(**node);
                }
                if meets(&object) {
                    return object;
                }
            }
        }
    };
    timeout(WITHIN, found).await.expect("it happens")
}

fn is_bound(name: &str) -> impl Fn(&Value) -> bool {
    move |pod| pod["metadata"]["name"] == name && pod["spec"]["nodeName"].is_string()
}

fn condition(pod: &Value) -> &Value {
    let all = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|condition| condition["type"] == "PodScheduled").unwrap_or(&Value::Null)
}

fn is_event(reason: &str, pod: &str) -> impl Fn(&Value) -> bool {
    move |event| event["reason"] == reason && event["involvedObject"]["name"] == pod
}

pub(crate) async fn pods_are_placed_as_they_come(server: Server) {
    add_node(&server, "a", "2").await;
    server.post(PODS, &pod("early", "1")).await.is(201);
    let running = start(&server);
    until(&server, ("", "pods"), is_bound("early")).await;
    server.post(PODS, &pod("late", "1")).await.is(201);
    let late = until(&server, ("", "pods"), is_bound("late")).await;
    assert_eq!(late["spec"]["nodeName"], "a");
    let event = until(&server, ("", "events"), is_event("Scheduled", "late")).await;
    assert_eq!(event["message"], "Successfully assigned default/late to a");
    assert_eq!(
        (&event["reportingComponent"], &event["involvedObject"]["uid"]),
        (&json!("mine"), &late["metadata"]["uid"])
    );

    // The next pod shows that the loop has passed by the other one.
    let mut other = pod("other", "0");
    other["spec"]["schedulerName"] = json!("default-scheduler");
    server.post(PODS, &other).await.is(201);
    server.post(PODS, &pod("last", "0")).await.is(201);
    until(&server, ("", "pods"), is_bound("last")).await;
    assert_eq!(server.get(&format!("{PODS}/other")).await.json()["spec"]["nodeName"], Value::Null);
    drop(running);
}

pub(crate) async fn an_unschedulable_pod_waits_for_a_cure(server: Server) {
    add_node(&server, "small", "1").await;
    let running = start(&server);
    server.post(PODS, &pod("large", "4")).await.is(201);
    let refused = until(&server, ("", "pods"), |pod| condition(pod)["status"] == "False").await;
    assert_eq!(condition(&refused)["reason"], "Unschedulable");
    let message = condition(&refused)["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{message}");
    let event = until(&server, ("", "events"), is_event("FailedScheduling", "large")).await;
    assert_eq!((&event["type"], &event["message"]), (&json!("Warning"), &json!(message)));
    add_node(&server, "large", "4").await;
    let bound = until(&server, ("", "pods"), is_bound("large")).await;
    assert_eq!(bound["spec"]["nodeName"], "large");
    let told = until(&server, ("", "pods"), |pod| is_bound("large")(pod) && condition(pod)["status"] == "True").await;
    assert_eq!((&condition(&told)["reason"], &condition(&told)["message"]), (&Value::Null, &Value::Null));
    drop(running);
}

pub(crate) async fn a_pod_that_goes_makes_room(server: Server) {
    add_node(&server, "a", "1").await;
    let running = start(&server);
    server.post(PODS, &pod("first", "1")).await.is(201);
    until(&server, ("", "pods"), is_bound("first")).await;
    server.post(PODS, &pod("second", "1")).await.is(201);
    until(&server, ("", "pods"), |pod| condition(pod)["status"] == "False").await;
    server.delete(&format!("{PODS}/first?gracePeriodSeconds=0")).await.json();
    until(&server, ("", "pods"), is_bound("second")).await;
    drop(running);
}

pub(crate) async fn a_gated_pod_waits_for_its_gates(server: Server) {
    add_node(&server, "a", "4").await;
    let running = start(&server);
    let mut gated = pod("gated", "1");
    gated["spec"]["schedulingGates"] = json!([{"name": "example.com/quota"}]);
    server.post(PODS, &gated).await.is(201);
    server.post(PODS, &pod("free", "1")).await.is(201);
    until(&server, ("", "pods"), is_bound("free")).await;
    assert_eq!(server.get(&format!("{PODS}/gated")).await.json()["spec"]["nodeName"], Value::Null);
    let merge = ("content-type", "application/merge-patch+json");
    server.ask("PATCH", &format!("{PODS}/gated"), merge, &json!({"spec": {"schedulingGates": null}})).await.json();
    until(&server, ("", "pods"), is_bound("gated")).await;
    drop(running);
}

pub(crate) async fn a_pod_of_higher_priority_preempts(server: Server) {
    add_node(&server, "a", "1").await;
    server
        .post("/apis/scheduling.k8s.io/v1/priorityclasses", &json!({"metadata": {"name": "high"}, "value": 1000}))
        .await
        .is(201);
    let running = start(&server);
    server.post(PODS, &pod("low", "1")).await.is(201);
    until(&server, ("", "pods"), is_bound("low")).await;
    let mut high = pod("high", "1");
    high["spec"]["priorityClassName"] = json!("high");
    server.post(PODS, &high).await.is(201);
    until(&server, ("", "pods"), is_bound("high")).await;
    until(&server, ("", "events"), is_event("Preempted", "low")).await;
    drop(running);
}

/// Two processes run the loop, and clients create while it runs: each pod is bound once, and no node holds more than it has.
pub(crate) async fn many_pods_are_each_placed_once(server: Server) {
    const PODS_OF_CLIENT: usize = 40;
    for i in 0..10 {
        add_node(&server, &format!("n{i}"), "20").await;
    }
    let second = Server::replica(server.state.clusters.store().clone());
    let running = [start(&server), start(&second)];
    let client = async |client: usize| {
        for i in 0..PODS_OF_CLIENT {
            server.post(PODS, &pod(&format!("p{client}-{i}"), "1")).await.is(201);
        }
    };
    join_all((0..5).map(client)).await;
    // 200 pods, 200 CPUs: the last one is bound when all are.
    for client in 0..5 {
        for i in 0..PODS_OF_CLIENT {
            until(&server, ("", "pods"), is_bound(&format!("p{client}-{i}"))).await;
        }
    }
    let pods = server.get(&format!("{PODS}?limit=1000")).await.json();
    let mut of_node = std::collections::BTreeMap::<&str, usize>::new();
    for pod in pods["items"].as_array().expect("items") {
        *of_node.entry(pod["spec"]["nodeName"].as_str().expect("a node")).or_default() += 1;
    }
    assert!(of_node.values().all(|pods| *pods == 20), "{of_node:?}");
    drop(running);
}
