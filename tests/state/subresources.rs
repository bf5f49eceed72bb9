//! `--admission=kubernetes`: parts of objects that have paths of their own, and what every cluster begins with.

use serde_json::{Value, json};

use crate::{
    fields,
    server::{Server, Setup, memory},
};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn server() -> Server {
    Server::start(memory(&[]).await, Setup::strict())
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
async fn a_resized_pod_is_valid_like_any_other() {
    let server = server().await;
    server.post(PODS, &pod("1", "app:1")).await.is(201);
    let patch = ("content-type", "application/strategic-merge-patch+json");
    for (resources, policy) in [
        (json!({"requests": {"cpu": "-10"}}), "NotRequired"),
        (json!({"requests": {"cpu": "9"}, "limits": {"cpu": "2"}}), "NotRequired"),
        (json!({"requests": {"cpu": "zz"}}), "NotRequired"),
    ] {
        let container = json!({"name": "c", "resources": resources, "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]});
        let body = json!({"spec": {"containers": [container]}});
        let refused = server.ask("PATCH", &format!("{PODS}/web/resize"), patch, &body).await;
        assert!(matches!(refused.code, 400 | 422), "{resources}: {}", refused.text());
    }
}

#[tokio::test]
async fn ephemeral_containers_serve_debugging_alone() {
    let server = server().await;
    server.post(PODS, &pod("1", "app:1")).await.is(201);
    let patch = ("content-type", "application/strategic-merge-patch+json");
    let path = format!("{PODS}/web/ephemeralcontainers");
    let add = async |container: Value| {
        server.ask("PATCH", &path, patch, &json!({"spec": {"ephemeralContainers": [container]}})).await
    };
    for (container, field) in [
        (json!({"name": "c", "image": "x"}), "name"),
        (json!({"name": "A_", "image": "x"}), "name"),
        (json!({"name": "d"}), "image"),
        (json!({"name": "d", "image": "x", "ports": [{"containerPort": 80}]}), "ports"),
        (json!({"name": "d", "image": "x", "resources": {"requests": {"cpu": "1"}}}), "resources"),
        (json!({"name": "d", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}}}), "livenessProbe"),
        (json!({"name": "d", "image": "x", "targetContainerName": "nobody"}), "targetContainerName"),
        (
            json!({"name": "d", "image": "x", "volumeMounts": [{"name": "no", "mountPath": "/a"}]}),
            "volumeMounts[0].name",
        ),
        (json!({"name": "d", "image": "x", "imagePullPolicy": "Zz"}), "imagePullPolicy"),
    ] {
        let status = add(container.clone()).await.fails(422, "Invalid");
        assert_eq!(fields(&status), [format!("spec.ephemeralContainers[0].{field}")], "{container}");
    }
    add(json!({"name": "d", "image": "x", "targetContainerName": "c"})).await.json();
    // It is no fault of the pod from now on.
    let labels = ("content-type", "application/merge-patch+json");
    server.ask("PATCH", &format!("{PODS}/web"), labels, &json!({"metadata": {"labels": {"x": "y"}}})).await.json();
    let mut created = pod("1", "app:1");
    created["metadata"]["name"] = "other".into();
    created["spec"]["ephemeralContainers"] = json!([{"name": "d", "image": "x"}]);
    server.post(PODS, &created).await.fails(422, "Invalid");
}

#[tokio::test]
async fn an_apply_of_a_part_owns_it() {
    let server = server().await;
    server.post(PODS, &pod("1", "app:1")).await.is(201);
    let apply = ("content-type", "application/apply-patch+yaml");
    let body = |cpu: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
    };
    let path = |query: &str| format!("{PODS}/web/resize?{query}");
    let applied = server.ask("PATCH", &path("fieldManager=vpa&force=true"), apply, &body("2")).await.json();
    let managers = applied["metadata"]["managedFields"].as_array().expect("managers");
    let of = managers.iter().find(|entry| entry["manager"] == "vpa").expect("an entry");
    assert_eq!((&of["operation"], &of["subresource"]), (&json!("Apply"), &json!("resize")));
    server.ask("PATCH", &path("fieldManager=other"), apply, &body("3")).await.fails(409, "Conflict");
}

#[tokio::test]
async fn system_priority_classes_stay() {
    let server = server().await;
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical";
    podberth::service::objects::create_built_in(&server.state, &"default".into()).await.expect("they are made");
    let refused = server.delete(path).await.refusal(403);
    assert!(refused.ends_with("this is a system priority class and cannot be deleted"), "{refused}");
    server.get(path).await.json();
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

#[tokio::test]
async fn an_applied_scale_owns_the_replicas() {
    let server = server().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let workload = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}});
    server.post(&format!("{path}?fieldManager=maker"), &workload).await.is(201);
    let apply = ("content-type", "application/apply-patch+yaml");
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "namespace": "default"}, "spec": {"replicas": 3}});
    let at = format!("{path}/d/scale?fieldManager=h");
    server.ask("PATCH", &at, apply, &scale).await.fails(409, "Conflict");
    let applied = server.ask("PATCH", &format!("{at}&force=true"), apply, &scale).await.is(200);
    assert_eq!((&applied["kind"], &applied["spec"]["replicas"]), (&"Scale".into(), &3.into()));
    let stored = server.get(&format!("{path}/d")).await.is(200);
    let managers = stored["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let owner = managers.iter().find(|entry| entry["manager"] == "h").cloned().unwrap_or_default();
    assert_eq!((&owner["operation"], &owner["subresource"]), (&"Apply".into(), &"scale".into()));
    assert_eq!((&owner["apiVersion"], &owner["fieldsV1"]), (&"apps/v1".into(), &json!({"f:spec": {"f:replicas": {}}})));
    let maker = managers.iter().find(|entry| entry["manager"] == "maker").cloned().unwrap_or_default();
    assert!(maker["fieldsV1"]["f:spec"]["f:replicas"].is_null(), "{maker}");
}
