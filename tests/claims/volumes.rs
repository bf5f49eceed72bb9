//! Claims that wait for their pod: the volumes chosen for them when pods are bound, and contention for one volume.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Object, bind, bind_twelve_at_once, list_of, results, schedule,
    server::{Server, memory},
    store_two_pods,
};

const SELECTED_NODE: &str = "/metadata/annotations/volume.kubernetes.io~1selected-node";

fn node(name: &str, cpu: &str) -> Object {
    let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{name}")});
    let allocatable = json!({"cpu": cpu, "memory": "8Gi", "pods": "110"});
    ("nodes", json!({"metadata": {"name": name, "labels": labels}, "status": {"allocatable": allocatable}}))
}

fn class(name: &str, provisioner: &str) -> Object {
    let mode = "WaitForFirstConsumer";
    let class = json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode});
    ("storageclasses.storage.k8s.io", class)
}

fn local() -> Object {
    class("local", "kubernetes.io/no-provisioner")
}

/// An available local volume of a node.
fn volume(name: &str, node: &str, size: &str) -> Object {
    let reached = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [node]});
    let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [reached]}]}});
    let spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "local": {"path": "/disk"}, "nodeAffinity": affinity});
    ("persistentvolumes", json!({"metadata": {"name": name}, "spec": spec, "status": {"phase": "Available"}}))
}

fn claim(name: &str, class: &str) -> Object {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": class});
    let metadata = json!({"name": name, "namespace": "shop", "uid": format!("uid-{name}")});
    ("persistentvolumeclaims", json!({"metadata": metadata, "spec": spec}))
}

fn pod(name: &str, claims: &[&str]) -> Value {
    let volumes: Vec<Value> =
        claims.iter().map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}})).collect();
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"volumes": volumes,
        "containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}})
}

async fn volume_of(server: &Server, name: &str) -> Value {
    server.get(&format!("/api/v1/persistentvolumes/{name}")).await.json()
}

async fn claim_of(server: &Server, name: &str) -> Value {
    server.get(&format!("/api/v1/namespaces/shop/persistentvolumeclaims/{name}")).await.json()
}

/// Two nodes, one local volume on the first, two claims to it.
async fn one_volume() -> Server {
    Server::with(&[
        node("a", "4"),
        node("b", "4"),
        local(),
        volume("pv", "a", "1Gi"),
        claim("c1", "local"),
        claim("c2", "local"),
    ])
    .await
}

async fn is_bound(server: &Server, volume: &str, claim: &str) {
    let (volume_now, claim_now) = (volume_of(server, volume).await, claim_of(server, claim).await);
    assert_eq!(volume_now["spec"]["claimRef"]["name"], claim, "{volume_now}");
    assert_eq!(volume_now["spec"]["claimRef"]["uid"], claim_now["metadata"]["uid"]);
    assert_eq!(volume_now["status"]["phase"], "Bound");
    assert_eq!(claim_now["spec"]["volumeName"], volume, "{claim_now}");
    assert_eq!(claim_now["status"]["phase"], "Bound");
    assert_eq!(claim_now["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"], "yes");
    assert_eq!(claim_now["status"]["capacity"], volume_now["spec"]["capacity"]);
}

#[tokio::test]
async fn one_volume_goes_to_one_of_two_pods_of_a_batch() {
    let server = one_volume().await;
    let report = schedule(&server, json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c2"])]})).await;
    assert_eq!(results(&report), ["Bound a", "Unschedulable -"]);
    assert_eq!(report["pods"][0]["volumes"], json!([{"claim": "c1", "volume": "pv"}]));
    let message = report["pods"][1]["message"].as_str().unwrap();
    assert_eq!(message, "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.");
    is_bound(&server, "pv", "c1").await;
    assert_eq!(claim_of(&server, "c2").await["spec"]["volumeName"], Value::Null);
}

#[tokio::test]
async fn one_volume_goes_to_the_first_of_two_calls() {
    let server = one_volume().await;
    let first = schedule(&server, json!({"pods": [pod("p1", &["c1"])]})).await;
    let second = schedule(&server, json!({"pods": [pod("p2", &["c2"])]})).await;
    assert_eq!((results(&first), results(&second)), (vec!["Bound a".into()], vec!["Unschedulable -".into()]));
}

#[tokio::test]
async fn a_gang_that_wants_one_volume_twice_binds_nothing() {
    let server = one_volume().await;
    let gang = json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c2"])], "allOrNothing": true});
    assert_eq!(results(&schedule(&server, gang).await), ["NotAttempted -", "Unschedulable -"]);
    assert_eq!(volume_of(&server, "pv").await["spec"]["claimRef"], Value::Null);
}

#[tokio::test]
async fn a_gang_settles_all_its_claims_in_one_commit() {
    let server = one_volume().await;
    server.post("/api/v1/persistentvolumes", volume("pv2", "a", "2Gi").1).await.is(201);
    let gang = json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c2"])], "allOrNothing": true});
    assert_eq!(results(&schedule(&server, gang).await), ["Bound a", "Bound a"]);
    is_bound(&server, "pv", "c1").await;
    is_bound(&server, "pv2", "c2").await;
}

#[tokio::test]
async fn a_dry_run_reserves_volumes_in_its_batch_and_writes_nothing() {
    let server = one_volume().await;
    let before = volume_of(&server, "pv").await;
    let trial = json!({"pods": [pod("p1", &["c1"]), pod("p2", &["c2"])], "dryRun": true});
    assert_eq!(results(&schedule(&server, trial).await), ["WouldBind a", "Unschedulable -"]);
    assert_eq!(volume_of(&server, "pv").await, before);
}

#[tokio::test]
async fn the_smallest_volume_that_fits_is_bound() {
    let server = one_volume().await;
    for (name, size) in [("big", "9Gi"), ("tiny", "1Mi"), ("mid", "5Gi")] {
        server.post("/api/v1/persistentvolumes", volume(name, "b", size).1).await.is(201);
    }
    let mut on_b = pod("p1", &["c1"]);
    on_b["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "b"});
    assert_eq!(results(&schedule(&server, json!({"pods": [on_b]})).await), ["Bound b"]);
    is_bound(&server, "mid", "c1").await;
}

async fn with_stored_pods() -> Server {
    let server = one_volume().await;
    store_two_pods(&server, pod).await;
    server
}

#[tokio::test]
async fn the_bind_verb_settles_claims_and_refuses_the_second_bind() {
    let server = with_stored_pods().await;
    assert_eq!(bind(&server, "q1", "a").await, "");
    is_bound(&server, "pv", "c1").await;
    let refusal = bind(&server, "q2", "a").await;
    assert!(refusal.contains("didn't find available persistent volumes to bind"), "{refusal}");
    assert_eq!(bind(&server, "q1", "a").await, "", "a repeat changes nothing");
}

#[tokio::test]
async fn a_binding_settles_claims_and_its_dry_run_does_not() {
    let server = with_stored_pods().await;
    let binding = json!({"target": {"kind": "Node", "name": "a"}});
    let path = |pod: &str, query: &str| format!("/api/v1/namespaces/shop/pods/{pod}/binding{query}");
    server.post(&path("q1", "?dryRun=All"), &binding).await.is(201);
    assert_eq!(volume_of(&server, "pv").await["spec"]["claimRef"], Value::Null);
    server.post(&path("q1", ""), &binding).await.is(201);
    is_bound(&server, "pv", "c1").await;
    server.post(&path("q2", ""), &binding).await.is(409);
}

#[tokio::test]
async fn a_policy_that_does_not_ask_about_volumes_binds_none() {
    let server = with_stored_pods().await;
    let policy = json!({"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "PodFitsResources"}]});
    server.put("/policy", policy).await;
    assert_eq!((bind(&server, "q1", "a").await, bind(&server, "q2", "a").await), (String::new(), String::new()));
    assert_eq!(volume_of(&server, "pv").await["spec"]["claimRef"], Value::Null);
}

#[tokio::test]
async fn pods_follow_the_claim_that_they_share() {
    let objects = [node("a", "1"), node("b", "1"), class("made", "csi.example.com"), claim("c", "made")];
    let server = Server::with(&objects).await;
    let report = schedule(&server, json!({"pods": [pod("p1", &["c"]), pod("p2", &["c"])]})).await;
    let chosen = report["pods"][0]["node"].as_str().unwrap().to_owned();
    assert_eq!(results(&report), [format!("Bound {chosen}"), "Unschedulable -".into()], "the node has room for one");
    assert_eq!(claim_of(&server, "c").await.pointer(SELECTED_NODE), Some(&json!(chosen)));

    let roomy = [node("a", "4"), node("b", "4"), class("made", "csi.example.com"), claim("c", "made")];
    let server = Server::with(&roomy).await;
    let report = schedule(&server, json!({"pods": [pod("p1", &["c"]), pod("p2", &["c"])], "allOrNothing": true})).await;
    let results = results(&report);
    assert!(results == ["Bound a"; 2] || results == ["Bound b"; 2], "{results:?}");
}

#[tokio::test]
async fn a_recreated_pod_comes_back_to_its_disk() {
    let objects = [node("a", "1"), node("b", "4"), class("ebs", "ebs.csi.aws.com"), claim("data", "ebs")];
    let server = Server::with(&objects).await;
    let mut first = pod("db-0", &["data"]);
    first["spec"]["nodeSelector"] = json!({"topology.kubernetes.io/zone": "zone-a"});
    assert_eq!(results(&schedule(&server, json!({"pods": [first]})).await), ["Bound a"]);
    server.delete("/api/v1/namespaces/shop/pods/db-0").await.json();
    let mut second = pod("db-0", &["data"]);
    assert_eq!(results(&schedule(&server, json!({"pods": [second.clone()]})).await), ["Bound a"]);
    server.delete("/api/v1/namespaces/shop/pods/db-0").await.json();
    second["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2".into();
    let report = schedule(&server, json!({"pods": [second]})).await;
    assert_eq!(results(&report), ["Unschedulable -"], "its disk is where it no longer fits");
}

#[tokio::test]
async fn a_volume_stays_with_its_claim_until_it_is_reclaimed() {
    let server = one_volume().await;
    schedule(&server, json!({"pods": [pod("p1", &["c1"])]})).await;
    server.delete("/api/v1/namespaces/shop/pods/p1").await.json();
    is_bound(&server, "pv", "c1").await;
    server.delete("/api/v1/namespaces/shop/persistentvolumeclaims/c1").await.json();
    let second = json!({"pods": [pod("p2", &["c2"])]});
    assert_eq!(results(&schedule(&server, second.clone()).await), ["Unschedulable -"], "as with Retain");
    let mut free = volume_of(&server, "pv").await;
    free["spec"].as_object_mut().unwrap().remove("claimRef");
    free["status"]["phase"] = "Available".into();
    server.put("/api/v1/persistentvolumes/pv", &free).await.json();
    server.put("/api/v1/persistentvolumes/pv/status", &free).await;
    assert_eq!(results(&schedule(&server, second).await), ["Bound a"]);
    is_bound(&server, "pv", "c2").await;
}

#[tokio::test]
async fn a_volume_choice_survives_an_import_that_omits_it() {
    let server = Server::with(&[]).await;
    let objects = [node("a", "4"), local(), volume("pv", "a", "1Gi"), claim("c1", "local"), claim("c2", "local")];
    let list = list_of(objects);
    server.post("/import", &list).await.json();
    assert_eq!(results(&schedule(&server, json!({"pods": [pod("p1", &["c1"])]})).await), ["Bound a"]);
    let again = server.post("/import", &list).await.json();
    assert_eq!((&again["updated"], &again["unchanged"]), (&json!(0), &json!(5)), "{again}");
    is_bound(&server, "pv", "c1").await;
    assert_eq!(results(&schedule(&server, json!({"pods": [pod("p2", &["c2"])]})).await), ["Unschedulable -"]);
    let mut told = list.clone();
    told["items"][2]["spec"]["claimRef"] = json!({"namespace": "shop", "name": "c2", "uid": "uid-c2"});
    server.post("/import", &told).await.json();
    assert_eq!(volume_of(&server, "pv").await["spec"]["claimRef"]["name"], "c2", "a fact goes before our decision");
}

#[tokio::test]
async fn two_claims_of_one_pod_get_two_volumes() {
    let server = one_volume().await;
    let both = json!({"pods": [pod("p", &["c1", "c2"])]});
    assert_eq!(results(&schedule(&server, both.clone()).await), ["Unschedulable -"]);
    server.post("/api/v1/persistentvolumes", volume("pv2", "a", "2Gi").1).await.is(201);
    assert_eq!(results(&schedule(&server, both).await), ["Bound a"]);
    let names: Vec<Value> = [claim_of(&server, "c1").await, claim_of(&server, "c2").await]
        .iter()
        .map(|claim| claim["spec"]["volumeName"].clone())
        .collect();
    assert!(names.contains(&json!("pv")) && names.contains(&json!("pv2")), "{names:?}");
}

#[tokio::test]
async fn a_node_that_was_assumed_is_bound_with_its_volumes() {
    let server = one_volume().await;
    let assumed = json!({"pods": [pod("p1", &["c1"])], "assume": 60});
    assert_eq!(results(&schedule(&server, assumed).await), ["Assumed a"]);
    assert_eq!(volume_of(&server, "pv").await["spec"]["claimRef"], Value::Null, "only a bind settles claims");
    assert_eq!(results(&schedule(&server, json!({"podNames": ["shop/p1"]})).await), ["Bound a"]);
    is_bound(&server, "pv", "c1").await;
}

#[tokio::test]
async fn the_first_bound_of_two_assumed_pods_gets_the_volume() {
    let server = with_stored_pods().await;
    for pod in ["shop/q1", "shop/q2"] {
        let assumed = schedule(&server, json!({"podNames": [pod], "assume": 60})).await;
        assert_eq!(results(&assumed), ["Assumed a"], "volumes are not reserved with the node");
    }
    assert_eq!(results(&schedule(&server, json!({"podNames": ["shop/q2"]})).await), ["Bound a"]);
    is_bound(&server, "pv", "c2").await;
    let second = schedule(&server, json!({"podNames": ["shop/q1"]})).await;
    assert_eq!(results(&second), ["Unschedulable -"], "{second}");
}

/// Two replicas and many callers, 12 pods and 8 volumes: each volume is bound to one claim, whose pod is the only one bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_replicas_give_one_volume_away() {
    let mut objects = vec![node("a", "100"), node("b", "100"), local()];
    for i in 0..12 {
        objects.push(claim(&format!("c{i}"), "local"));
        objects.push(("pods", pod(&format!("p{i}"), &[&format!("c{i}")])));
    }
    for i in 0..8 {
        objects.push(volume(&format!("pv{i}"), if i % 2 == 0 { "a" } else { "b" }, "1Gi"));
    }
    let store = memory(&objects).await;
    bind_twelve_at_once(&store).await;
    let server = Server::replica(store);
    let (mut taken, mut bound) = (BTreeSet::new(), 0);
    for i in 0..12 {
        let claim = claim_of(&server, &format!("c{i}")).await;
        let pod = server.get(&format!("/api/v1/namespaces/shop/pods/p{i}")).await.json();
        let volume = claim["spec"]["volumeName"].as_str();
        assert_eq!(pod["spec"]["nodeName"].is_string(), volume.is_some(), "{pod} {claim}");
        if let Some(volume) = volume {
            assert!(taken.insert(volume.to_owned()), "{volume} is bound twice");
            assert_eq!(volume_of(&server, volume).await["spec"]["claimRef"]["name"], format!("c{i}"));
            bound += 1;
        }
    }
    assert_eq!(bound, 8, "and none is left over");
}
