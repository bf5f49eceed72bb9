//! `--admission=kubernetes`: writes as the API server does them.

use podberth::service::objects::create_built_in;
use serde_json::{Value, json};

use crate::{
    fields,
    objects::{NODES, PODS, node},
    server::{Server, Setup, memory},
};

async fn server() -> Server {
    let server = Server::start(memory(&[]).await, Setup::strict());
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await.is(201);
    server
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "web"}},
           "spec": {"containers": [{"name": "c", "image": "registry.example/app:1", "resources": {"limits": {"cpu": 0.5}}}]}})
}

#[tokio::test]
async fn a_new_pod_is_stored_with_its_defaults_and_without_a_status() {
    let server = server().await;
    let mut sent = pod("a");
    sent["status"] = json!({"phase": "Running"});
    sent["spec"]["misspelt"] = json!(1);
    let created = server.post(PODS, &sent).await.is(201);
    assert_eq!(
        created["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}})
    );
    assert_eq!((&created["spec"]["restartPolicy"], &created["spec"]["priority"]), (&"Always".into(), &0.into()));
    assert_eq!(created["status"], json!({"phase": "Pending", "qosClass": "Burstable"}));
    assert_eq!((&created["metadata"]["generation"], &created["spec"]["misspelt"]), (&1.into(), &Value::Null));
    let mut replaced = created.clone();
    replaced["status"]["phase"] = "Running".into();
    replaced["metadata"]["labels"]["x"] = "y".into();
    let replaced = server.put(&format!("{PODS}/a"), &replaced).await.is(200);
    assert_eq!((&replaced["status"]["phase"], &replaced["metadata"]["generation"]), (&"Pending".into(), &1.into()));
}

#[tokio::test]
async fn writes_are_refused_as_by_the_api_server() {
    let server = server().await;
    let status = server.post("/api/v1/namespaces/nowhere/pods", &pod("a")).await.fails(404, "NotFound");
    assert_eq!(status["message"], r#"namespaces "nowhere" not found"#);
    server.post("/api/v1/namespaces/default/pods", &pod("a")).await.is(201);
    let mut wrong = pod("a");
    wrong["spec"]["containers"][0]["image"] = json!(1);
    let status = server.post(PODS, &wrong).await.fails(400, "BadRequest");
    let message = "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field \
                   Container.spec.containers.image of type string";
    assert_eq!(status["message"], message);
    let mut bare = pod("a");
    bare["spec"]["containers"][0]["image"] = "".into();
    assert_eq!(fields(&server.post(PODS, &bare).await.fails(422, "Invalid")), ["spec.containers[0].image"]);
    let mut urgent = pod("a");
    urgent["spec"]["priority"] = 5.into();
    server.post(PODS, &urgent).await.fails(403, "Forbidden");
    let class = json!({"metadata": {"name": "fast"}, "provisioner": "p"});
    server.post("/apis/storage.k8s.io/v1/storageclasses", &class).await.is(201);
    let changed = json!({"metadata": {"name": "fast"}, "provisioner": "q"});
    let status = server.put("/apis/storage.k8s.io/v1/storageclasses/fast", &changed).await.fails(422, "Invalid");
    assert_eq!(fields(&status), ["provisioner"]);
}

#[tokio::test]
async fn limit_ranges_fill_in_and_refuse_amounts() {
    let server = server().await;
    let limits = json!([{"type": "Container", "defaultRequest": {"memory": "64Mi"}, "max": {"cpu": "400m"}}]);
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": limits}});
    server.post("/api/v1/namespaces/shop/limitranges", &range).await.is(201);
    let status = server.post(PODS, &pod("a")).await.fails(403, "Forbidden");
    let why = r#"pods "a" is forbidden: maximum cpu usage per Container is 400m, but limit is 500m"#;
    assert_eq!(status["message"], why);
    let mut open = pod("a");
    open["spec"]["containers"][0]["resources"] = json!({});
    let created = server.post(PODS, &open).await.is(201);
    let resources = &created["spec"]["containers"][0]["resources"];
    // the largest limit is the default limit, and that the default request
    assert_eq!(resources, &json!({"limits": {"cpu": "400m"}, "requests": {"memory": "64Mi", "cpu": "400m"}}));
}

#[tokio::test]
async fn changed_amounts_are_held_against_ranges_and_classes() {
    let server = server().await;
    let merge = ("content-type", "application/merge-patch+json");
    server.post(PODS, &pod("a")).await.is(201);
    let claims = "/api/v1/namespaces/shop/persistentvolumeclaims";
    let class = json!({"metadata": {"name": "fixed"}, "provisioner": "p"});
    server.post("/apis/storage.k8s.io/v1/storageclasses", &class).await.is(201);
    let spec = json!({"storageClassName": "fixed", "accessModes": ["ReadWriteOnce"], "volumeName": "v",
        "resources": {"requests": {"storage": "1Gi"}}});
    server.post(claims, &json!({"metadata": {"name": "c"}, "spec": spec})).await.is(201);
    let (claim, bound) = (format!("{claims}/c"), json!({"status": {"phase": "Bound"}}));
    server.ask("PATCH", &format!("{claim}/status"), merge, &bound).await.is(200);
    let limits = json!([{"type": "Container", "max": {"cpu": "700m"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}}]);
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": limits}});
    server.post("/api/v1/namespaces/shop/limitranges", &range).await.is(201);

    let resize = ("content-type", "application/strategic-merge-patch+json");
    let amounts = |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": cpu}}}]}});
    let path = format!("{PODS}/a/resize");
    let status = server.ask("PATCH", &path, resize, &amounts("1")).await.fails(403, "Forbidden");
    let why = r#"pods "a" is forbidden: maximum cpu usage per Container is 700m, but limit is 1"#;
    assert_eq!(status["message"], why);
    server.ask("PATCH", &path, resize, &amounts("600m")).await.is(200);

    let grow = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let status = server.ask("PATCH", &claim, merge, &grow("9Gi")).await.fails(403, "Forbidden");
    assert!(status["message"].as_str().is_some_and(|why| why.contains("maximum storage usage")), "{status}");
    let status = server.ask("PATCH", &claim, merge, &grow("2Gi")).await.fails(403, "Forbidden");
    assert!(status["message"].as_str().is_some_and(|why| why.contains("storageclass")), "{status}");
    let open = json!({"allowVolumeExpansion": true});
    server.ask("PATCH", "/apis/storage.k8s.io/v1/storageclasses/fixed", merge, &open).await.is(200);
    server.ask("PATCH", &claim, merge, &grow("2Gi")).await.is(200);
}

#[tokio::test]
async fn a_new_job_selects_its_own_pods() {
    let server = server().await;
    let path = "/apis/batch/v1/namespaces/shop/jobs";
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let job = json!({"metadata": {"generateName": "j-"}, "spec": {"template": template}});
    let created = server.post(path, &job).await.is(201);
    let (name, uid) = (&created["metadata"]["name"], &created["metadata"]["uid"]);
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    assert_eq!(created["spec"]["selector"], selector);
    assert_eq!(&created["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"], name);
    server.put(&format!("{path}/{}", name.as_str().unwrap_or_default()), &created).await.is(200);
    let own =
        json!({"metadata": {"name": "own"}, "spec": {"template": template, "selector": {"matchLabels": {"a": "b"}}}});
    let status = server.post(path, &own).await.fails(422, "Invalid");
    assert_eq!(fields(&status), ["spec.selector", "spec.template.metadata.labels"]);
    let apply = ("content-type", "application/apply-patch+yaml");
    let applied = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "applied"}, "spec": {"template": template}});
    for code in [201, 200] {
        let job = server.ask("PATCH", &format!("{path}/applied?fieldManager=me"), apply, &applied).await.is(code);
        assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], "applied");
    }
}

#[tokio::test]
async fn a_binding_is_carried_out_as_it_is() {
    let server = server().await;
    server.post(PODS, &pod("a")).await.is(201);
    let bind = |node: &str| json!({"metadata": {"annotations": {"by": "me"}}, "target": {"name": node}});
    let path = format!("{PODS}/a/binding");
    server.post(&format!("{path}?dryRun=All"), &bind("nowhere")).await.is(201);
    server.post(&path, &bind("nowhere")).await.is(201);
    let bound = server.get(&format!("{PODS}/a")).await.is(200);
    assert_eq!(
        (&bound["spec"]["nodeName"], &bound["metadata"]["annotations"]["by"]),
        (&"nowhere".into(), &"me".into())
    );
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let status = server.post(&path, &bind("nowhere")).await.fails(409, "Conflict");
    let why = r#"Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "nowhere""#;
    assert_eq!(status["message"], why);
}

#[tokio::test]
async fn clusters_have_the_built_in_objects() {
    let server = server().await;
    for _ in 0..2 {
        create_built_in(&server.state, &"default".into()).await.expect("they are created once");
    }
    let class = server.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").await.is(200);
    assert_eq!(class["value"], 2_000_001_000);
    let namespace = server.get("/api/v1/namespaces/kube-system").await.is(200);
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "kube-system");
    server.post(NODES, &node("n")).await.is(201);
}
