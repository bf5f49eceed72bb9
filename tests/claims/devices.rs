//! Claims to devices: those that they get when pods are bound, and contention for one device.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Object, bind, bind_twelve_at_once, list_of, results, schedule,
    server::{Server, memory},
    store_two_pods,
};

fn node(name: &str) -> Object {
    let allocatable = json!({"cpu": "100", "memory": "8Gi", "pods": "110"});
    ("nodes", json!({"metadata": {"name": name}, "status": {"allocatable": allocatable}}))
}

fn class() -> Object {
    let selector = json!({"cel": {"expression": "device.driver == 'gpu.example.com'"}});
    let config = json!({"opaque": {"driver": "gpu.example.com", "parameters": {"mode": "shared"}}});
    (
        "deviceclasses.resource.k8s.io",
        json!({"metadata": {"name": "gpu"}, "spec": {"selectors": [selector], "config": [config]}}),
    )
}

/// The devices of a node: `gpu-0` and so on.
fn slice(node: &str, count: usize) -> Object {
    let devices: Vec<Value> = (0..count).map(|i| json!({"name": format!("gpu-{i}")})).collect();
    let pool = json!({"name": node, "generation": 1, "resourceSliceCount": 1});
    let spec = json!({"driver": "gpu.example.com", "nodeName": node, "pool": pool, "devices": devices});
    ("resourceslices.resource.k8s.io", json!({"metadata": {"name": format!("{node}-gpu")}, "spec": spec}))
}

fn claim(name: &str) -> Object {
    let request = json!({"name": "gpu", "exactly": {"deviceClassName": "gpu"}});
    let metadata = json!({"name": name, "namespace": "shop", "uid": format!("uid-{name}")});
    ("resourceclaims.resource.k8s.io", json!({"metadata": metadata, "spec": {"devices": {"requests": [request]}}}))
}

fn pod(name: &str, claims: &[&str]) -> Value {
    let claims: Vec<Value> = claims.iter().map(|claim| json!({"name": claim, "resourceClaimName": claim})).collect();
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"resourceClaims": claims,
        "containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}})
}

/// A server that decides as kube-scheduler 1.34.
async fn server(objects: &[(&str, Value)]) -> Server {
    let server = Server::with(objects).await;
    decide_as_1_34(&server).await;
    server
}

async fn decide_as_1_34(server: &Server) {
    let profile = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"});
    server.put("/policy", profile).await.json();
}

async fn claim_of(server: &Server, name: &str) -> Value {
    server.get(&format!("/apis/resource.k8s.io/v1/namespaces/shop/resourceclaims/{name}")).await.json()
}

/// The devices of a claim, and the pods that it is reserved for.
async fn held(server: &Server, name: &str) -> (Vec<String>, Vec<String>) {
    let claim = claim_of(server, name).await;
    let texts = |list: &Value, field: &str| {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let status = &claim["status"];
    (texts(&status["allocation"]["devices"]["results"], "device"), texts(&status["reservedFor"], "name"))
}

/// Two nodes, one device on the first, two claims to one.
async fn one_device() -> Server {
    server(&[node("a"), node("b"), class(), slice("a", 1), claim("c1"), claim("c2")]).await
}

#[tokio::test]
async fn one_device_goes_to_one_of_two_pods_of_a_batch() {
    let server = one_device().await;
    let report = schedule(&server, json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c2"])]})).await;
    assert_eq!(results(&report), ["Bound a", "Unschedulable -"], "{report}");
    let chosen = json!([{"claim": "c1", "devices": ["gpu.example.com/a/gpu-0"]}]);
    assert_eq!(report["pods"][0]["volumes"], chosen);
    let message = report["pods"][1]["message"].as_str().unwrap();
    assert!(message.starts_with("0/2 nodes are available: 2 cannot allocate all claims."), "{message}");
    let status = &claim_of(&server, "c1").await["status"];
    let pod = server.get("/api/v1/namespaces/shop/pods/p1").await.json();
    let result = json!({"request": "gpu", "driver": "gpu.example.com", "pool": "a", "device": "gpu-0"});
    let config =
        json!({"source": "FromClass", "opaque": {"driver": "gpu.example.com", "parameters": {"mode": "shared"}}});
    let field = json!({"key": "metadata.name", "operator": "In", "values": ["a"]});
    assert_eq!(status["allocation"]["devices"], json!({"results": [result], "config": [config]}));
    assert_eq!(status["allocation"]["nodeSelector"], json!({"nodeSelectorTerms": [{"matchFields": [field]}]}));
    assert_eq!(status["reservedFor"], json!([{"resource": "pods", "name": "p1", "uid": pod["metadata"]["uid"]}]));
    assert_eq!(held(&server, "c2").await, (vec![], vec![]));
}

#[tokio::test]
async fn a_gang_gets_all_its_devices_or_none() {
    let server = one_device().await;
    let gang = json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c2"])], "allOrNothing": true});
    assert_eq!(results(&schedule(&server, gang.clone()).await), ["NotAttempted -", "Unschedulable -"]);
    assert_eq!(held(&server, "c1").await, (vec![], vec![]));
    server.post("/apis/resource.k8s.io/v1/resourceslices", slice("b", 1).1).await.is(201);
    let report = schedule(&server, gang).await;
    let mut nodes = results(&report);
    nodes.sort();
    assert_eq!(nodes, ["Bound a", "Bound b"], "{report}");
}

#[tokio::test]
async fn pods_of_a_gang_share_a_claim() {
    let server = one_device().await;
    let gang = json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c1"])], "allOrNothing": true});
    assert_eq!(results(&schedule(&server, gang).await), ["Bound a", "Bound a"]);
    assert_eq!(held(&server, "c1").await, (vec!["gpu-0".into()], vec!["p1".into(), "p2".into()]));
}

#[tokio::test]
async fn pods_of_a_batch_follow_the_claim_that_they_share() {
    let server = one_device().await;
    let report = schedule(&server, json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c1"])]})).await;
    assert_eq!(results(&report), ["Bound a", "Bound a"], "{report}");
    let (devices, mut pods) = held(&server, "c1").await;
    pods.sort();
    assert_eq!((devices, pods), (vec!["gpu-0".into()], vec!["p1".into(), "p2".into()]));
}

#[tokio::test]
async fn a_dry_run_holds_devices_in_its_batch_and_writes_nothing() {
    let server = one_device().await;
    let trial = json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c2"])], "dryRun": true});
    assert_eq!(results(&schedule(&server, trial).await), ["WouldBind a", "Unschedulable -"]);
    assert_eq!(held(&server, "c1").await, (vec![], vec![]));
}

#[tokio::test]
async fn the_bind_verb_gives_devices_and_refuses_a_bind_without_any() {
    let server = one_device().await;
    store_two_pods(&server, pod).await;
    assert_eq!(bind(&server, "q1", "a").await, "");
    assert_eq!(held(&server, "c1").await, (vec!["gpu-0".into()], vec!["q1".into()]));
    let refusal = bind(&server, "q2", "a").await;
    assert!(refusal.contains("cannot allocate all claims"), "{refusal}");
    assert_eq!(bind(&server, "q1", "a").await, "", "a repeat changes nothing");
    assert_eq!(held(&server, "c1").await, (vec!["gpu-0".into()], vec!["q1".into()]));
}

#[tokio::test]
async fn a_device_is_free_again_when_its_claim_is_gone() {
    let server = one_device().await;
    assert_eq!(results(&schedule(&server, json!({"pods": [pod("p1", &["c1"])]})).await), ["Bound a"]);
    let second = json!({"pods": [pod("p2", &["c2"])]});
    assert_eq!(results(&schedule(&server, second.clone()).await), ["Unschedulable -"]);
    server.delete("/apis/resource.k8s.io/v1/namespaces/shop/resourceclaims/c1").await.json();
    assert_eq!(results(&schedule(&server, second).await), ["Bound a"]);
}

#[tokio::test]
async fn a_claim_is_reserved_for_256_pods_at_most() {
    let mut full = claim("full").1;
    let device = json!({"request": "gpu", "driver": "gpu.example.com", "pool": "a", "device": "gpu-0"});
    let users: Vec<Value> =
        (0..256).map(|i| json!({"resource": "pods", "name": "x", "uid": format!("u{i}")})).collect();
    full["status"] = json!({"allocation": {"devices": {"results": [device]}}, "reservedFor": users});
    let server = server(&[node("a"), class(), slice("a", 1), ("resourceclaims.resource.k8s.io", full)]).await;
    server.post("/api/v1/namespaces/shop/pods", pod("p", &["full"])).await.is(201);
    let refusal = bind(&server, "p", "a").await;
    assert!(
        refusal.contains("resourceclaim full is reserved for 256 objects, the most: make another claim"),
        "{refusal}"
    );
    let report = schedule(&server, json!({"podNames": ["shop/p"]})).await;
    assert!(report["pods"][0]["message"].as_str().unwrap().contains("reserved for 256 objects"), "{report}");
}

#[tokio::test]
async fn devices_given_here_survive_an_import_that_omits_them() {
    let server = server(&[]).await;
    let objects = [node("a"), class(), slice("a", 1), claim("c1"), claim("c2")];
    let list = list_of(objects);
    server.post("/import", &list).await.json();
    assert_eq!(results(&schedule(&server, json!({"pods": [pod("p1", &["c1"])]})).await), ["Bound a"]);
    let again = server.post("/import", &list).await.json();
    assert_eq!((&again["updated"], &again["unchanged"]), (&json!(0), &json!(5)), "{again}");
    assert_eq!(held(&server, "c1").await.0, ["gpu-0"]);
    assert_eq!(results(&schedule(&server, json!({"pods": [pod("p2", &["c2"])]})).await), ["Unschedulable -"]);
}

/// Two replicas and many callers, 12 pods and 8 devices: each device is one claim's, whose pod is the only one bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_replicas_give_one_device_away() {
    let mut objects = vec![node("a"), node("b"), class(), slice("a", 4), slice("b", 4)];
    for i in 0..12 {
        objects.push(claim(&format!("c{i}")));
        objects.push(("pods", pod(&format!("p{i}"), &[&format!("c{i}")])));
    }
    let store = memory(&objects).await;
    decide_as_1_34(&Server::replica(store.clone())).await;
    bind_twelve_at_once(&store).await;
    let server = Server::replica(store);
    let (mut taken, mut bound) = (BTreeSet::new(), 0);
    for i in 0..12 {
        let claim = claim_of(&server, &format!("c{i}")).await;
        let pod = server.get(&format!("/api/v1/namespaces/shop/pods/p{i}")).await.json();
        let result = &claim["status"]["allocation"]["devices"]["results"][0];
        assert_eq!(pod["spec"]["nodeName"].as_str(), result["pool"].as_str(), "{pod} {claim}");
        if result.is_object() {
            assert!(taken.insert(format!("{}/{}", result["pool"], result["device"])), "{result} is given twice");
            bound += 1;
        }
    }
    assert_eq!(bound, 8, "and none is left over");
}
