//! `--admission=kubernetes`: parts of objects that have paths of their own, and what every cluster begins with.

use podberth::service::objects::AdmissionMode;
use serde_json::{Value, json};

use crate::server::{Server, Setup, memory};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn server() -> Server {
    Server::start(memory(&[]).await, Setup { admission: AdmissionMode::Kubernetes, ..Setup::default() })
}

fn pod(cpu: &str, image: &str) -> Value {
    let resources = json!({"requests": {"cpu": cpu}});
    json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": image, "resources": resources}]}})
}

#[tokio::test]
async fn a_resize_changes_resources_and_nothing_else() {
    let server = server().await;
    server.post(PODS, &pod("1", "app:1")).await.is(201);
    server.put(&format!("{PODS}/web"), &pod("2", "app:1")).await.fails(422, "Invalid");
    let path = format!("{PODS}/web/resize");
    let resized = server.put(&path, &pod("2", "app:2")).await.is(200);
    let container = &resized["spec"]["containers"][0];
    assert_eq!((&container["resources"]["requests"]["cpu"], &container["image"]), (&json!("2"), &json!("app:1")));
    assert_eq!(resized["metadata"]["generation"], 2);
    let patch = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}});
    let media = ("content-type", "application/strategic-merge-patch+json");
    let patched = server.ask("PATCH", &path, media, &patch).await.is(200);
    assert_eq!(patched["spec"]["containers"][0]["resources"]["requests"]["cpu"], "500m");
    let guaranteed = json!({"cpu": "1", "memory": "1Gi"});
    let mut other = pod("1", "app:1");
    other["spec"]["containers"][0]["resources"] = json!({"requests": guaranteed, "limits": guaranteed});
    let status = server.put(&path, &other).await.fails(422, "Invalid");
    assert!(status["message"].as_str().is_some_and(|text| text.contains("QOS")), "{status}");
}

#[tokio::test]
async fn a_deleted_namespace_goes_with_its_last_finalizer() {
    let server = server().await;
    let (all, shop) = ("/api/v1/namespaces", "/api/v1/namespaces/shop");
    server.post(all, &json!({"metadata": {"name": "shop"}})).await.is(201);
    let replaced =
        server.put(shop, &json!({"metadata": {"name": "shop", "labels": {"a": "b"}}, "spec": {}})).await.is(200);
    assert_eq!(replaced["spec"]["finalizers"], json!(["kubernetes"]), "they have a path of their own");
    server.delete(shop).await.is(200);
    let finalize = format!("{shop}/finalize");
    let kept = json!({"metadata": {"name": "shop"}, "spec": {"finalizers": ["example.com/wait"]}});
    assert_eq!(server.put(&finalize, &kept).await.is(200)["spec"]["finalizers"], json!(["example.com/wait"]));
    server.put(&finalize, &json!({"metadata": {"name": "shop"}})).await.is(200);
    server.get(shop).await.fails(404, "NotFound");
}

#[tokio::test]
async fn every_cluster_begins_with_its_namespaces_and_system_classes() {
    let server = server().await;
    let root = "/clusters/prod";
    server.post(&format!("{root}/api/v1/nodes"), &json!({"metadata": {"name": "n"}})).await.is(201);
    server.get(&format!("{root}/api/v1/namespaces/kube-system")).await.is(200);
    let mut critical = pod("1", "app:1");
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    let created = server.post(&format!("{root}/api/v1/namespaces/kube-system/pods"), &critical).await.is(201);
    assert_eq!(created["spec"]["priority"], 2_000_001_000);
}

#[tokio::test]
async fn what_nothing_serves_is_answered_as_by_kube_apiserver() {
    let server = server().await;
    for path in ["/nope", "//api/v1/nodes", "/apis/nope.example/v1/things"] {
        let reply = server.get(path).await;
        assert_eq!((reply.code, reply.text()), (404, "404 page not found\n"), "{path}");
    }
    for path in ["/api/v2/pods", "/policies/a/b/c"] {
        server.get(path).await.fails(404, "NotFound");
    }
    let head = axum::http::Request::head("/api/v1/nodes").body(axum::body::Body::empty()).expect("a request");
    assert_eq!(server.send(head).await.code, 405);
}
