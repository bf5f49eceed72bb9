//! The answers of the three calls.

use serde_json::{Value, json};

use crate::client::{REPLICAS, Running, SETS, UNSCHEDULABLE, component, framed, node, replicas, request, template};
use podberth::wire::protobuf::Encoder;

/// Nodes of 4 and 2 CPUs.
async fn two_nodes() -> Running {
    let running = Running::start().await;
    running.import("eu-1", &[node("a", "4"), node("b", "2")]).await;
    running
}

/// The bytes are those that a client of Go sends and reads.
#[tokio::test]
async fn a_call_is_frames_of_bytes() {
    let running = two_nodes().await;
    let message = b"\x0a\x04eu-1\x12\x0c\x2a\x0a\x0a\x03cpu\x12\x03\x0a\x011";
    let body = [b"\0\0\0\0\x14".as_slice(), message].concat();
    assert_eq!(framed(message), body);
    let headers = [("grpc-timeout", "2999876u"), ("grpc-accept-encoding", "gzip"), ("user-agent", "grpc-go/1.78.0")];
    let called = running.client().await.send(request(REPLICAS, &headers, &body)).await;
    assert_eq!(called.http, 200);
    assert_eq!(called.headers["content-type"], "application/grpc");
    assert!(!called.headers.contains_key("grpc-status"));
    assert_eq!(called.body, b"\0\0\0\0\x02\x08\x06".as_slice());
    let trailers = called.trailers.expect("trailers");
    assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &"0".parse().expect("a value")));
    // Nothing fits: a zero is an empty message.
    let none = running.client().await.call(REPLICAS, replicas("eu-1", &template("5"))).await;
    assert_eq!(none.body, b"\0\0\0\0\0".as_slice());
}

#[tokio::test]
async fn one_server_answers_for_every_cluster_and_for_pods_that_are_there() {
    let running = two_nodes().await;
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"nodeName": "a", "containers": [{"name": "main", "resources": {"requests": {"cpu": "2"}}}]}});
    running.import("us-1", &[node("a", "3"), pod]).await;
    let client = running.client().await;
    for (cluster, cpu, room) in
        [("eu-1", "1", 6), ("eu-1", "3", 1), ("us-1", "1", 1), ("us-1", "500m", 2), ("default", "1", 0)]
    {
        let called = client.call(REPLICAS, replicas(cluster, &template(cpu))).await;
        assert_eq!(called.number(), room, "{cpu} in {cluster}");
    }
    // All predicates count, and the room of a placement is the same.
    let asked = json!({"template": template("1"), "replicas": 100, "partial": true, "division": {"aggregated": {}},
        "clusters": {"names": ["eu-1"]}});
    let placed = running.server.post("/placements", &asked).await.is(200);
    assert_eq!(placed["clusters"][0]["available"], 6);
}

#[tokio::test]
async fn pods_that_are_decided_and_not_yet_seen_take_their_room() {
    let running = two_nodes().await;
    let client = running.client().await;
    let assumed = |cpu: &str, count| Encoder::default().text(1, "batch").message(2, &component(&template(cpu), count));
    let message = replicas("eu-1", &template("1")).message(3, &assumed("2", 1)).message(3, &assumed("1", 2));
    assert_eq!(client.call(REPLICAS, message).await.number(), 2);
    // What fits of them counts.
    assert_eq!(client.call(REPLICAS, replicas("eu-1", &template("1")).message(3, &assumed("1", 50))).await.number(), 0);
}

#[tokio::test]
async fn sets_fit_as_a_whole() {
    let running = two_nodes().await;
    let client = running.client().await;
    let sets = |components: &[(&str, i32)]| {
        let message = Encoder::default().text(1, "eu-1").text(3, "shop");
        components.iter().fold(message, |message, (cpu, count)| message.message(2, &component(&template(cpu), *count)))
    };
    for (components, expected) in [
        (&[("1", 2), ("2", 1)][..], 1),
        (&[("1", 1), ("500m", 2)], 3),
        (&[("3", 1)], 1),
        (&[("3", 2)], 0),
        (&[("1", 1)], 6),
        (&[("1", 0), ("2", 1)], 3),
    ] {
        assert_eq!(client.call(SETS, sets(components)).await.number(), expected, "{components:?}");
    }
    let assumed = Encoder::default().text(1, "batch").message(2, &component(&template("2"), 1));
    assert_eq!(client.call(SETS, sets(&[("3", 1)]).message(4, &assumed)).await.number(), 0);
    // Nothing is to be placed: nothing bounds it but the type of the answer.
    assert_eq!(client.call(SETS, sets(&[])).await.number(), 2_147_483_647);
    assert_eq!(client.call(SETS, Encoder::default().text(1, "default")).await.number(), 0, "there are no nodes");
}

fn owned(kind: &str, name: &str, owner: (&str, &str), spec: &Value) -> Value {
    let version = if kind == "Pod" { "v1" } else { "apps/v1" };
    json!({"kind": kind, "apiVersion": version,
        "metadata": {"name": name, "namespace": "shop", "uid": name, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": owner.0, "name": owner.1, "uid": owner.1, "controller": true}]},
        "spec": spec})
}

/// A pod of a ReplicaSet with a condition since a time.
fn waiting(name: &str, set: &str, reason: &str, since: &str) -> Value {
    let mut pod = owned("Pod", name, ("ReplicaSet", set), &json!({"containers": [{"name": "main"}]}));
    pod["status"] = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": reason, "lastTransitionTime": since}]});
    pod
}

#[tokio::test]
async fn pods_that_wait_are_counted_by_their_conditions() {
    const LONG_AGO: &str = "2020-01-02T03:04:05Z";
    let running = two_nodes().await;
    let of = |image: &str| json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": image}]}});
    let set = |name: &str, image: &str| {
        let mut template = of(image);
        template["metadata"]["labels"]["pod-template-hash"] = name.into();
        owned("ReplicaSet", name, ("Deployment", "web"), &json!({"replicas": 3, "selector": {}, "template": template}))
    };
    let deployment = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "shop", "uid": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": of("web:2")}});
    let mut placed = waiting("placed", "new", "Unschedulable", LONG_AGO);
    placed["spec"]["nodeName"] = "a".into();
    let objects = [
        deployment,
        set("old", "web:1"),
        set("new", "web:2"),
        waiting("one", "new", "Unschedulable", LONG_AGO),
        waiting("two", "new", "Unschedulable", LONG_AGO),
        waiting("just-now", "new", "Unschedulable", "2900-01-02T03:04:05Z"),
        waiting("gated", "new", "SchedulingGated", LONG_AGO),
        waiting("of-before", "old", "Unschedulable", LONG_AGO),
        placed,
    ];
    running.import("eu-1", &objects).await;
    let client = running.client().await;
    let ask = async |kind: &str, name: &str, threshold: i32| {
        let resource = Encoder::default().text(1, "apps/v1").text(2, kind).text(3, "shop").text(4, name);
        let message = Encoder::default().text(1, "eu-1").message(2, &resource).number(3, threshold);
        client.call(UNSCHEDULABLE, message).await
    };
    assert_eq!(ask("Deployment", "web", 0).await.number(), 2);
    assert_eq!(ask("Deployment", "web", 1_000_000_000).await.number(), 2);
    assert_eq!(ask("ReplicaSet", "old", 0).await.number(), 1);
    let unknown = ask("Deployment", "shop", 0).await;
    assert_eq!((unknown.code(), unknown.message()), (5, "deployments.apps \"shop\" not found"));
    assert_eq!(ask("Flow", "web", 0).await.code(), 3);
}
