//! `--admission=kubernetes`: how objects end.

use std::sync::Arc;

use podberth::{
    service::{lifecycle::Turns, objects::create_built_in},
    store::Storage,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    names,
    objects::PODS,
    server::{Server, Setup, memory},
};

const SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";
const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

async fn server_over(store: &Arc<dyn Storage>) -> Server {
    let server = Server::start(store.clone(), Setup::strict());
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await.is(201);
    server
}

async fn server() -> Server {
    server_over(&memory(&[]).await).await
}

fn pod(name: &str, node: Option<&str>) -> Value {
    json!({"metadata": {"name": name},
           "spec": {"nodeName": node, "containers": [{"name": "c", "image": "registry.example/app:1"}]}})
}

fn set(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}},
           "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "registry.example/app:1"}]}}}})
}

async fn delete(server: &Server, path: &str, options: Value) -> crate::server::Reply {
    server.ask("DELETE", path, ("content-type", "application/json"), options.to_string()).await
}

/// Does all that is due.
async fn settle(turns: &mut Turns) {
    for _ in 0..100 {
        if !turns.turn().await.expect("the store answers").is_zero() {
            return;
        }
    }
    panic!("the loop does not rest");
}

#[tokio::test]
async fn an_object_with_finalizers_stays_until_they_are_taken_off() {
    let server = server().await;
    let created = server.post(MAPS, &json!({"metadata": {"name": "a", "finalizers": ["a.example/x"]}})).await.is(201);
    let path = format!("{MAPS}/a");
    let marked = server.delete(&path).await.is(200);
    assert_eq!((&marked["kind"], &marked["metadata"]["deletionGracePeriodSeconds"]), (&"ConfigMap".into(), &0.into()));
    assert!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    let again = server.delete(&path).await.is(200);
    assert_eq!(again["metadata"], server.get(&path).await.is(200)["metadata"], "nothing more to mark");

    let mut changed = marked.clone();
    changed["metadata"]["finalizers"] = json!(["a.example/x", "a.example/y"]);
    let status = server.put(&path, &changed).await.fails(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.finalizers");
    let mut changed = created.clone();
    changed["metadata"]["resourceVersion"] = Value::Null;
    changed["metadata"]["labels"] = json!({"x": "y"});
    let kept = server.put(&path, &changed).await.is(200);
    assert_eq!(kept["metadata"]["deletionTimestamp"], marked["metadata"]["deletionTimestamp"]);

    changed["metadata"]["finalizers"] = json!([]);
    let last = server.put(&path, &changed).await.is(200);
    assert_eq!(last["metadata"]["name"], "a");
    server.get(&path).await.fails(404, "NotFound");
}

#[tokio::test]
async fn a_running_pod_has_its_grace_and_a_waiting_one_none() {
    let server = server().await;
    server.post(PODS, &pod("waiting", None)).await.is(201);
    server.post(PODS, &pod("running", Some("n"))).await.is(201);
    let gone = server.delete(&format!("{PODS}/waiting")).await.is(200);
    assert_eq!((&gone["kind"], &gone["metadata"]["deletionGracePeriodSeconds"]), (&"Pod".into(), &0.into()));
    server.get(&format!("{PODS}/waiting")).await.fails(404, "NotFound");

    let path = format!("{PODS}/running");
    let marked = delete(&server, &path, json!({"gracePeriodSeconds": 300})).await.is(200);
    assert_eq!(
        (&marked["metadata"]["deletionGracePeriodSeconds"], &marked["metadata"]["generation"]),
        (&300.into(), &2.into())
    );
    assert_eq!(server.get(&path).await.is(200)["metadata"], marked["metadata"]);
    let longer = delete(&server, &path, json!({"gracePeriodSeconds": 600})).await.is(200);
    assert_eq!(longer["metadata"], marked["metadata"], "grace is never lengthened");
    server.delete(&format!("{path}?gracePeriodSeconds=0")).await.is(200);
    server.get(&path).await.fails(404, "NotFound");
}

#[tokio::test]
async fn an_update_that_needs_a_revision_says_so() {
    let server = server().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/shop/leases";
    let lease = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "x"}});
    server.put(&format!("{leases}/a"), &lease).await.is(201);
    let status = server.put(&format!("{leases}/a"), &lease).await.fails(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.resourceVersion");
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_ends() {
    let server = server().await;
    create_built_in(&server.state, &"default".into()).await.expect("they are created");
    server.post(MAPS, &json!({"metadata": {"name": "a"}})).await.is(201);
    for _ in 0..2 {
        let marked = server.delete("/api/v1/namespaces/shop").await.is(200);
        assert_eq!(marked["status"]["phase"], "Terminating");
    }
    let status = server.post(MAPS, &json!({"metadata": {"name": "b"}})).await.fails(403, "Forbidden");
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    server.get(&format!("{MAPS}/a")).await.is(200);
    for name in ["default", "kube-system", "kube-public"] {
        server.delete(&format!("/api/v1/namespaces/{name}")).await.fails(403, "Forbidden");
    }
}

#[tokio::test]
async fn the_loop_ends_what_deletions_leave() {
    let store = memory(&[]).await;
    let server = server_over(&store).await;
    let owner = server.post(SETS, &set("owner")).await.is(201);
    let reference =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owner", "uid": owner["metadata"]["uid"]}]);
    let mut owned = pod("owned", None);
    owned["metadata"]["ownerReferences"] = reference.clone();
    server.post(PODS, &owned).await.is(201);
    let mut stray = pod("stray", None);
    stray["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "never-stored"}]);
    server.post(PODS, &stray).await.is(201);
    let orphaned = server.post(SETS, &set("orphaned")).await.is(201);
    let mut free = pod("free", None);
    free["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "orphaned", "uid": orphaned["metadata"]["uid"]}]);
    server.post(PODS, &free).await.is(201);
    let mut turns = Turns::new(&store, Uuid::from_u128(1));

    delete(&server, &format!("{SETS}/owner"), json!({"propagationPolicy": "Foreground"})).await.is(200);
    settle(&mut turns).await;
    server.get(&format!("{PODS}/owned")).await.fails(404, "NotFound");
    server.get(&format!("{SETS}/owner")).await.fails(404, "NotFound");
    delete(&server, &format!("{SETS}/orphaned"), json!({"propagationPolicy": "Orphan"})).await.is(200);
    settle(&mut turns).await;
    server.get(&format!("{SETS}/orphaned")).await.fails(404, "NotFound");
    let pods = server.get(PODS).await.is(200);
    assert_eq!(names(&pods), ["free", "stray"], "one lost its owner, and that of the other was never here");
    assert_eq!(pods["items"][0]["metadata"]["ownerReferences"], Value::Null);

    server.delete("/api/v1/namespaces/shop").await.is(200);
    settle(&mut turns).await;
    server.get("/api/v1/namespaces/shop").await.fails(404, "NotFound");
    assert_eq!(server.get("/api/v1/pods").await.is(200)["items"], json!([]));
}

#[tokio::test]
async fn an_import_that_lets_an_owner_go_collects_nothing() {
    let store = memory(&[]).await;
    let server = server_over(&store).await;
    let mut owned = pod("owned", None);
    owned["kind"] = "Pod".into();
    owned["apiVersion"] = "v1".into();
    owned["metadata"]["namespace"] = "shop".into();
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owner", "uid": "its-uid"}]);
    let mut owner = set("owner");
    owner["kind"] = "ReplicaSet".into();
    owner["apiVersion"] = "apps/v1".into();
    owner["metadata"]["namespace"] = "shop".into();
    owner["metadata"]["uid"] = "its-uid".into();
    let mut turns = Turns::new(&store, Uuid::from_u128(1));
    server.post("/import", &json!({"kind": "List", "apiVersion": "v1", "items": [owner, owned]})).await.is(200);
    settle(&mut turns).await;
    let report = server
        .post("/import?replace=true", &json!({"kind": "List", "apiVersion": "v1", "items": [owned]}))
        .await
        .is(200);
    assert_eq!(
        (&report["created"], &report["deleted"]),
        (&0.into(), &8.into()),
        "the owner, its namespace, and the six objects that every cluster begins with: {report}"
    );
    settle(&mut turns).await;
    server.get(&format!("{PODS}/owned")).await.is(200);
}
