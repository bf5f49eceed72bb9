//! Faulty requests, by accident or on purpose: the reply names the fault, never a 5xx, never a panic.

use std::sync::LazyLock;

use axum::{body::Body, http::Request};
use podberth::api::middleware::Limits;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    check::{by_names, node, pod},
    server::{Sent, Server, Setup, memory},
};

const PATHS: [&str; 5] = ["/filter", "/prioritize", "/explain", "/simulate", "/policy/diff"];

#[tokio::test]
async fn wrong_types_name_the_field() {
    let server = Server::with(&[]).await;
    for (body, field) in [
        (r#"{"NodeNames":"a"}"#, "NodeNames: "),
        (r#"{"nodenames":[1]}"#, "NodeNames[0]: "),
        (r#"{"Pod":7}"#, "Pod: "),
        (r#"{"Pod":{"spec":{"containers":{}}}}"#, "Pod.spec.containers: "),
        (r#"{"Pod":{"spec":{"tolerations":[{"key":{}}]}}}"#, "Pod.spec.tolerations[0].key: "),
        (r#"{"Nodes":[]}"#, "Nodes: "),
        (r#"{"Nodes":{"items":[{},{"spec":{"taints":1}}]}}"#, "Nodes.items[1].spec.taints: "),
        (r#"{"Nodes":{"items":[{"status":{"allocatable":{"cpu":"x"}}}]}}"#, "Nodes.items[0].status.allocatable[cpu]: "),
    ] {
        for verb in ["/filter", "/prioritize"] {
            let message = server.post(verb, body).await.refusal(400);
            assert!(message.starts_with(field), "{body}: {message}");
        }
    }
    let message =
        server.post("/explain", r#"{"pod":{},"cluster":{"pods":[{"spec":{"priority":"x"}}]}}"#).await.refusal(400);
    assert!(message.starts_with("cluster.pods[0].spec.priority: "), "{message}");
}

#[tokio::test]
async fn invalid_json_is_refused() {
    let server = Server::with(&[]).await;
    for path in PATHS {
        for body in [
            "",
            "{",
            "[1",
            r#"{"Pod":}"#,
            "{} {}",
            "\u{feff}{}",
            "kind: Pod",
            r#"{"Pod":{"metadata":{"name":"\ud800"}}}"#,
        ] {
            server.post(path, body).await.refusal(400);
        }
        server.post(path, vec![b'"', 0xff, b'"']).await.refusal(400);
        let text = Request::post(path).header("Content-Type", "text/plain").body(Body::from("{}")).expect("a request");
        assert!(server.send(text).await.refusal(415).contains("application/json"));
    }
}

#[tokio::test]
async fn depth_costs_nothing() {
    let server = Server::with(&[]).await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}0{}", open.repeat(200_000), close.repeat(200_000));
        for path in PATHS {
            server.post(path, open.repeat(200_000)).await.refusal(400);
            // An unknown field may hold anything; then it is the pod that is missing.
            let reply = server.post(path, deep.clone()).await;
            assert!(reply.code == 400 || reply.text().contains("has no Pod"), "{path}: {}", reply.text());
            let reply = server.post(path, format!(r#"{{"Nodes":{{"items":[{deep}]}}}}"#)).await;
            assert!(reply.code == 400 || reply.text().contains("has no Pod"), "{path}: {}", reply.text());
        }
        let passed_over = format!(r#"{{"Pod":{{"metadata":{{"managedFields":{deep}}}}},"NodeNames":[]}}"#);
        assert_eq!(server.post("/filter", passed_over).await.json()["NodeNames"], json!([]));
        for field in ["policy", "profile", "cluster"] {
            let reply = server.post("/explain", format!(r#"{{"pod":{{}},"{field}":{deep}}}"#)).await;
            assert!(reply.code < 500, "{field}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_a_status() {
    let server = Server::start(
        memory(&[("nodes", node("a", 4, 1))]).await,
        Setup { limits: Limits { bulk_body_bytes: 1024, ..Setup::default().limits }, ..Setup::default() },
    );
    let small = by_names(&pod("p", 1, ""), &["a"]);
    assert_eq!(server.post("/filter", small.clone()).await.json()["NodeNames"], json!(["a"]));
    for path in PATHS {
        server.post(path, format!("{small}{}", " ".repeat(1024))).await.refusal(413);
    }
}

static SERVER: LazyLock<(Runtime, Server)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let mut running = pod("old", "1", "a");
    running["metadata"]["labels"] = json!({"app": "web"});
    let server = runtime.block_on(Server::with(&[
        ("nodes", node("a", "4", "8Gi")),
        ("nodes", node("b", "2", "8Gi")),
        ("pods", running),
    ]));
    (runtime, server)
});

/// Requests with many fields, to be spoiled.
static WHOLE: LazyLock<[(&str, Value); 5]> = LazyLock::new(|| {
    let selector =
        json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]});
    let term = json!({"labelSelector": selector, "topologyKey": "kubernetes.io/hostname", "namespaces": ["x"],
        "namespaceSelector": {}});
    let wish = json!([{"weight": 5, "podAffinityTerm": term}]);
    let fields = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "cpu", "operator": "Gt", "values": ["3"]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]});
    let container = json!({"name": "c", "image": "x:1", "ports": [{"hostPort": 80, "hostIP": "1.2.3.4", "protocol": "UDP"}],
        "resources": {"requests": {"cpu": "1", "memory": 1024, "example.com/gpu": "1"}, "limits": {"cpu": "2"}}});
    let pod = json!({"metadata": {"name": "p", "namespace": "default", "labels": {"app": "web"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true}]},
        "spec": {"containers": [container], "initContainers": [container], "overhead": {"cpu": "1m"}, "priority": 3,
            "nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": fields,
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 2, "preference": fields["nodeSelectorTerms"][0]}]},
                "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term],
                    "preferredDuringSchedulingIgnoredDuringExecution": wish},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wish}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector, "minDomains": 2}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
                {"name": "w", "awsElasticBlockStore": {"volumeID": "x", "readOnly": true}}]}});
    let mut node = node("a", "4", "8Gi");
    node["metadata"]["labels"] = json!({"zone": "z", "a": "b", "cpu": "4"});
    node["spec"] = json!({"unschedulable": false, "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
    node["status"]["images"] = json!([{"names": ["x:1"], "sizeBytes": 100_000_000}]);
    node["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    let policy = json!({"kind": "Policy", "predicates": [{"name": "GeneralPredicates"},
            {"name": "L", "argument": {"labelsPresence": {"labels": ["zone"], "presence": true}}}],
        "priorities": [{"name": "R", "weight": 3, "argument": {"requestedToCapacityRatioArguments":
            {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}], "resources": [{"name": "cpu", "weight": 2}]}}}],
        "hardPodAffinitySymmetricWeight": 2, "scoring": {"extenderMaxScore": 100}});
    let mut fresh = pod.clone();
    fresh["metadata"]["name"] = json!("fresh");
    let other = json!({"metadata": {"name": "other"}, "spec": {"containers": [container]}});
    let cluster = json!({"nodes": [node], "pods": [pod], "namespaces": [{"metadata": {"name": "x"}}],
        "services": [{"metadata": {"name": "s"}, "spec": {"selector": {"app": "web"}}}],
        "persistentVolumeClaims": [{"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}],
        "persistentVolumes": [{"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"}}}]});
    [
        ("/filter", json!({"Pod": pod, "Nodes": {"items": [node]}, "NodeNames": null})),
        ("/prioritize", json!({"Pod": pod, "Nodes": null, "NodeNames": ["a", "b"]})),
        ("/explain", json!({"pod": pod, "cluster": cluster, "policy": policy, "seed": 1})),
        (
            "/simulate",
            json!({"on": cluster, "policy": policy, "seed": 1, "preempt": true, "steps": [
                {"addNodes": {"template": node, "count": 2}}, {"label": {"node": "a-1", "labels": {"zone": "y", "a": null}}},
                {"taint": {"node": "a-2", "key": "k", "value": "v", "effect": "NoExecute"}}, {"cordon": "a"}, {"uncordon": {"node": "a"}},
                {"addPods": {"template": fresh, "count": 3}}, {"addPods": [other]}, {"drain": "a"}, {"preempt": false},
                {"deletePods": {"selector": "app=web"}}, {"deletePods": {"names": ["other"]}}, {"setPolicy": policy},
                {"failZone": {"topologyKey": "zone", "value": "y"}}, {"removeNode": "a-2"}],
                "howMany": {"pod": fresh, "limit": 5}, "nodesNeeded": {"template": node, "pods": {"template": fresh, "count": 2}, "limit": 3},
                "whatFits": [fresh]}),
        ),
        (
            "/policy/diff",
            json!({"candidate": policy, "cluster": cluster, "over": {"pods": [fresh, other], "pending": false}, "seed": 1, "limit": 5}),
        ),
    ]
});

/// Values to replace a value with.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, {}, [null]])),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "-1",
            "1e99",
            "9E",
            "0.0000001n",
            "999999999999999999999Ei",
            "In",
            "k",
            "zone",
            "a",
            "\0"
        ])
        .prop_map(Value::from),
    ]
}

/// All values below one, by their paths.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| pointers(item, &format!("{at}/{i}"), found));
        }
        Value::Object(fields) => fields.iter().for_each(|(key, field)| {
            pointers(field, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        _ => {}
    }
}

fn answers(path: &str, body: impl Sent) -> Result<(), TestCaseError> {
    let (runtime, server) = &*SERVER;
    let reply = runtime.block_on(server.post(path, body));
    prop_assert!(reply.code < 500, "{path}: {} {}", reply.code, reply.text());
    if reply.code != 200 {
        reply.refusal(reply.code);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300), text in r#"[\[\]{}":,.a-zA-Z0-9 -]{0,120}"#) {
        for path in PATHS {
            answers(path, bytes.clone())?;
            answers(path, text.clone())?;
        }
    }

    #[test]
    fn no_spoiled_value_breaks_it(spoiled in prop::collection::vec((any::<Index>(), odd()), 1..4)) {
        for (path, whole) in &*WHOLE {
            let mut request = whole.clone();
            for (at, with) in &spoiled {
                let mut places = Vec::new();
                pointers(&request, "", &mut places);
                if let Some(value) = request.pointer_mut(&places[at.index(places.len())]) {
                    *value = with.clone();
                }
            }
            answers(path, request.to_string())?;
        }
    }

    #[test]
    fn no_spoiled_text_breaks_it(cut in any::<Index>(), length in 0_usize..30, put in prop::collection::vec(any::<u8>(), 0..4)) {
        for (path, whole) in &*WHOLE {
            let mut bytes = whole.to_string().into_bytes();
            let from = cut.index(bytes.len());
            let to = bytes.len().min(from + length);
            bytes.splice(from..to, put.iter().copied());
            answers(path, bytes)?;
        }
    }
}

#[test]
fn the_unspoiled_requests_are_valid() {
    let (runtime, server) = &*SERVER;
    for (path, whole) in &*WHOLE {
        runtime.block_on(server.post(path, whole.to_string())).json();
    }
}
