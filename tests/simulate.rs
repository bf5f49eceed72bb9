//! `/simulate` over HTTP, without a socket.

#[path = "support/server.rs"]
mod server;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use server::Server;

fn node(name: &str, cpu: &str, zone: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"zone": zone}}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}})
}

/// A running pod of a ReplicaSet.
fn running(name: &str, cpu: &str, node: &str) -> Value {
    let mut pod = pod(name, cpu);
    pod["spec"]["nodeName"] = json!(node);
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]);
    pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    pod
}

async fn simulate(server: &Server, body: &Value) -> Value {
    server.post("/simulate", body).await.json()
}

async fn refused(server: &Server, body: Value) -> String {
    server.post("/simulate", &body).await.refusal(400)
}

fn names(pods: &Value) -> Vec<&str> {
    pods.as_array().expect("a list").iter().filter_map(|one| one["pod"]["name"].as_str()).collect()
}

async fn shop() -> Server {
    Server::with(&[
        ("nodes", node("a", "2", "x")),
        ("nodes", node("b", "2", "y")),
        ("pods", running("one", "1", "a")),
        ("pods", running("two", "1", "a")),
        ("pods", running("three", "1", "b")),
    ])
    .await
}

#[tokio::test]
async fn steps_see_those_before_them_and_nothing_is_stored() {
    let server = shop().await;
    let before = server.get("/api/v1/pods").await.json();
    let report = simulate(
        &server,
        &json!({"steps": [
            {"removeNode": "a"},
            {"addNodes": {"template": node("new", "1", "x"), "count": 1}},
            {"addPods": {"template": pod("more", "1"), "count": 2}},
            {"deletePods": {"selector": "app=web", "namespace": "shop"}}
        ]}),
    )
    .await;
    let steps = &report["steps"];
    assert_eq!((names(&steps[0]["moved"]).len(), names(&steps[0]["stuck"]).len()), (1, 1), "{report}");
    assert_eq!(steps[0]["moved"][0]["from"], "a");
    assert_eq!(steps[1]["added"], json!(["new-1"]));
    assert_eq!(names(&steps[1]["moved"]), names(&steps[0]["stuck"]), "it finds the new node");
    assert_eq!(names(&steps[2]["stuck"]), ["more-1", "more-2"]);
    assert_eq!(steps[2]["stuck"][0]["message"], "0/2 nodes are available: 2 Insufficient cpu.");
    assert_eq!(steps[3]["utilization"]["resources"]["pods"]["requested"], "0");
    assert_eq!(report["before"]["resources"]["cpu"], json!({"requested": "3", "allocatable": "4", "ratio": 0.75}));
    assert_eq!(server.get("/api/v1/pods").await.json(), before);
}

#[tokio::test]
async fn questions_are_about_the_cluster_after_the_steps() {
    let server = shop().await;
    let report = simulate(
        &server,
        &json!({
            "steps": [{"cordon": {"node": "b"}}, {"deletePods": {"names": ["shop/one"]}}],
            "howMany": {"pod": pod("small", "250m")},
            "whatFits": [pod("fits", "1"), pod("large", "3")],
            "nodesNeeded": {"template": node("new", "2", "x"), "pods": {"template": pod("big", "2"), "count": 3}}
        }),
    )
    .await;
    assert_eq!((&report["howMany"]["count"], &report["howMany"]["byNode"]), (&json!(4), &json!({"a": 4})), "{report}");
    assert_eq!((&report["whatFits"][0]["fits"], &report["whatFits"][0]["node"]), (&json!(true), &json!("a")));
    assert_eq!(report["whatFits"][1]["fits"], false);
    assert!(report["whatFits"][1]["message"].as_str().is_some_and(|why| why.contains("Insufficient cpu")));
    assert_eq!(report["nodesNeeded"]["count"], 3);
    assert_eq!(report["nodesNeeded"]["withOneLess"].as_array().map(Vec::len), Some(1));
    let few = json!({"nodesNeeded": {"template": node("new", "2", "x"), "pods": [pod("large", "3")], "limit": 5}});
    let few = simulate(&server, &few).await;
    assert_eq!(few["nodesNeeded"]["count"], Value::Null, "no number is enough");
}

#[tokio::test]
async fn a_cluster_and_a_policy_may_come_with_the_request() {
    let server = Server::with(&[]).await;
    let policy = json!({"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "HostName"}], "priorities": []});
    let on = json!({"nodes": [node("a", "1", "x")], "pods": [pod("waits", "2")]});
    let report = simulate(&server, &json!({"on": on, "steps": [{"preempt": false}, {"setPolicy": policy}]})).await;
    assert_eq!(names(&report["steps"][0]["stuck"]), ["waits"]);
    assert_eq!(names(&report["steps"][1]["placements"]), ["waits"], "this policy does not look at amounts");
    assert_eq!(report["revision"], 0);
}

#[tokio::test]
async fn faults_name_the_step_and_the_remedy() {
    let server = shop().await;
    for (body, message) in [
        (json!({"steps": [{"drain": "c"}]}), "steps[0].drain: node \"c\" not found"),
        (json!({"steps": [{}]}), "steps[0]: a step has exactly one field, as {\"drain\": \"node-a\"}; this one has 0"),
        (
            json!({"steps": [{"drain": "a", "cordon": "b"}]}),
            "steps[0]: a step has exactly one field, as {\"drain\": \"node-a\"}; this one has 2",
        ),
        (
            json!({"steps": [{"addNodes": {"template": node("n", "1", "x"), "count": 20_000}}]}),
            "steps[0].addNodes.count: Too many: a simulation has at most 20000 nodes; these would be 20002",
        ),
        (
            json!({"steps": [{"preempt": false}, {"failZone": {"topologyKey": "zone", "value": "z"}}]}),
            "steps[1].failZone: no node has the label zone=z",
        ),
        (json!({"steps": [{"deletePods": {}}]}), "steps[0].deletePods: one of names, selector and namespace is needed"),
        (json!({"on": "other"}), "on: Unsupported value: \"other\": it is \"cluster\", or a cluster in full"),
        (
            json!({"steps": [{"taint": {"node": "a", "key": "k", "effect": "Never"}}]}),
            "steps[0].taint.effect: Unsupported value: \"Never\": supported values: NoSchedule, PreferNoSchedule, NoExecute",
        ),
        (json!({"steps": vec![json!({"preempt": true}); 101]}), "steps: Too many: must have at most 100 items"),
        (
            json!({"steps": [{"addPods": [pod("p", "1")]}, {"addPods": {"template": pod("q", "1"), "count": 200_000}}]}),
            "steps[1].addPods: Too many: a simulation has at most 200000 new pods; these would be 200001",
        ),
        (
            json!({"steps": [{"addNodes": {"template": node(&"n".repeat(254), "1", "x"), "count": 2}}]}),
            "steps[0].addNodes.template.metadata.name: Too long: must have at most 253 bytes",
        ),
        (
            json!({"steps": [{"addPods": {"template": pod(&"p".repeat(254), "1"), "count": 2}}]}),
            "steps[0].addPods.template.metadata.name: Too long: must have at most 253 bytes",
        ),
        (
            json!({"howMany": {"pod": {"spec": {"containers": []}}}}),
            "howMany.pod.metadata.name: Required value: copies are named after it",
        ),
        (
            json!({"howMany": {"pod": pod("p", "1"), "limit": 200_001}}),
            "howMany.limit: Too many: a simulation has at most 200000 new pods; these would be 200001",
        ),
    ] {
        assert_eq!(refused(&server, body).await, message);
    }
    let unknown = refused(&server, json!({"stepz": []})).await;
    assert!(unknown.contains("stepz"), "{unknown}");
}

/// Answers of cluster-capacity (commit 3cb0ea289, which schedules as kube-scheduler 1.34.1) to a pod on a cluster of a real API server, one a line.
const CAPACITY: &str = include_str!("data/capacity-1.34.jsonl");

/// An input of cluster-capacity, and its answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    id: String,
    pod: Value,
    limit: Option<usize>,
    answer: CapacityAnswer,
    /// The answer here, where it differs on purpose.
    podberth: Option<OwnAnswer>,
    /// The cluster, by lists of its kinds.
    #[serde(flatten)]
    on: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CapacityAnswer {
    replicas: usize,
    fail_reason: FailReason,
    replicas_on_nodes: BTreeMap<String, usize>,
    /// Another run had other nodes (`names`), since kube-scheduler chooses among equal nodes by chance.
    nodes_differ: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailReason {
    fail_type: String,
    fail_message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnAnswer {
    count: usize,
    by_node: BTreeMap<String, usize>,
    limited_by: String,
}

/// An answer that cluster-capacity gave, in the terms of `howMany`: nothing limits the number where the caller's limit was reached.
fn wanted(recorded: Recorded) -> (usize, Option<String>, BTreeMap<String, usize>, bool) {
    let Recorded { answer, podberth, .. } = recorded;
    if let Some(OwnAnswer { count, by_node, limited_by }) = podberth {
        return (count, Some(limited_by), by_node, true);
    }
    let FailReason { fail_type, fail_message } = answer.fail_reason;
    let limited_by = match &*fail_type {
        "Unschedulable" => Some(fail_message),
        "LimitReached" => None,
        other => panic!("{other}"),
    };
    (answer.replicas, limited_by, answer.replicas_on_nodes, answer.nodes_differ.is_none())
}

#[tokio::test]
async fn how_many_is_what_cluster_capacity_answers() {
    let server = Server::with(&[]).await;
    let profile = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"});
    for line in CAPACITY.lines() {
        let recorded: Recorded = serde_json::from_str(line).expect("a recorded answer");
        let Recorded { id, pod, limit, on, .. } = &recorded;
        let mut asked = json!({"on": on, "profile": profile, "howMany": {"pod": pod}});
        if let Some(limit) = limit {
            asked["howMany"]["limit"] = json!(limit);
        }
        let mut answers = Vec::new();
        for seed in 0..3 {
            asked["seed"] = json!(seed);
            answers.push(simulate(&server, &asked).await["howMany"].take());
        }
        let id = id.clone();
        let (count, limited_by, by_node, is_one_way) = wanted(recorded);
        for answer in answers {
            assert_eq!(
                (&answer["count"], answer["limitedBy"].as_str()),
                (&json!(count), limited_by.as_deref()),
                "{id}"
            );
            let nodes: BTreeMap<String, usize> = serde_json::from_value(answer["byNode"].clone()).expect("numbers");
            if is_one_way {
                assert_eq!(nodes, by_node, "{id}");
            } else {
                assert_eq!(in_order(&nodes), in_order(&by_node), "{id}");
            }
        }
    }
}

fn in_order(by_node: &BTreeMap<String, usize>) -> Vec<usize> {
    let mut counts: Vec<usize> = by_node.values().copied().collect();
    counts.sort_unstable();
    counts
}
