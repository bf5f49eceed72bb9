//! Binding and eviction.

use serde_json::{Value, json};

use crate::{
    fields,
    objects::{NODES, PODS, node, pod},
    server::Server,
};

fn binding(node: &str, uid: &Value) -> Value {
    json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "web", "uid": uid},
           "target": {"kind": "Node", "name": node}})
}

pub async fn a_binding_binds_once(server: Server) {
    let path = format!("{PODS}/web/binding");
    server.post(&path, &binding("n1", &Value::Null)).await.fails(404, "NotFound");
    server.post(&format!("{path}?dryRun=All"), &binding("n1", &Value::Null)).await.fails(404, "NotFound");
    server.post(NODES, &node("n1")).await.is(201);
    let created = server.post(PODS, &pod("web")).await.is(201);
    let uid = &created["metadata"]["uid"];
    server.post(&path, &binding("n1", &"another".into())).await.fails(409, "Conflict");
    server.post(&format!("{path}?dryRun=All"), &binding("n1", uid)).await.is(201);
    assert!(server.get(&format!("{PODS}/web")).await.is(200)["spec"]["nodeName"].is_null());

    server.post(&path, &binding("n1", uid)).await.is(201);
    let bound = server.get(&format!("{PODS}/web")).await.is(200);
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(server.get(PODS).await.is(200)["items"][0], crate::item(&bound));
    server.post(&path, &binding("n1", uid)).await.is(201);
    let beside = |name: &str| json!({"metadata": {"name": name, "uid": uid}, "target": {"kind": "Node", "name": "n1"}});
    server.post("/api/v1/namespaces/shop/bindings", &beside("web")).await.is(201);
    server.post("/api/v1/namespaces/shop/bindings", &beside("")).await.fails(400, "BadRequest");
    assert_eq!(server.get(&format!("{PODS}/web")).await.is(200), bound, "a repeated binding changes nothing");
    for again in [binding("n2", uid), binding("n1", &Value::Null)] {
        let status = server.post(&path, &again).await.fails(409, "Conflict");
        assert_eq!(
            status["message"],
            r#"Operation cannot be fulfilled on pods/binding "web": pod web is already assigned to node "n1""#
        );
    }
    server.post(&path, &json!({"target": {"kind": "Pod"}})).await.fails(422, "Invalid");
    server.post(&path, &json!({"kind": "Pod", "target": {"name": "n1"}})).await.fails(400, "BadRequest");
    server
        .post(&path, &json!({"metadata": {"name": "other"}, "target": {"name": "n1"}}))
        .await
        .fails(400, "BadRequest");
}

pub async fn bound_pods_stay_bound(server: Server) {
    server.post(NODES, &node("n1")).await.is(201);
    let created = server.post(PODS, &pod("web")).await.is(201);
    server.post(&format!("{PODS}/web/binding"), &binding("n1", &Value::Null)).await.is(201);
    let path = format!("{PODS}/web");
    server.put(&path, &pod("web")).await.fails(422, "Invalid");
    let mut status = created.clone();
    status["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    status["status"] = json!({"phase": "Running"});
    let running = server.put(&format!("{path}/status"), &status).await.is(200);
    assert_eq!((&running["spec"]["nodeName"], &running["status"]["phase"]), (&"n1".into(), &"Running".into()));
    let mut labelled = running.clone();
    labelled["metadata"]["labels"] = json!({"new": "1"});
    assert_eq!(server.put(&path, &labelled).await.is(200)["spec"]["nodeName"], "n1");
}

pub async fn binding_rejects_a_node_without_room(server: Server) {
    server.post(NODES, &node("n1")).await.is(201);
    let mut large = pod("web");
    large["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "3".into();
    server.post(PODS, &large).await.is(201);
    large["metadata"]["name"] = "other".into();
    large["spec"]["nodeName"] = "n1".into();
    server.post(PODS, &large).await.is(201);
    for query in ["", "?dryRun=All", "?policy=default"] {
        let path = format!("{PODS}/web/binding{query}");
        for (node, why) in [("n1", "pod web does not fit on node n1: Insufficient cpu"), ("n2", "node n2 is not known")]
        {
            let status = server.post(&path, &binding(node, &Value::Null)).await.fails(409, "Conflict");
            let message = format!(r#"Operation cannot be fulfilled on pods/binding "web": {why}"#);
            assert_eq!(status["message"], message);
        }
    }
    let nowhere = format!("{PODS}/web/binding?policy=none");
    server.post(&nowhere, &binding("n1", &Value::Null)).await.fails(404, "NotFound");
    // No way around the judge: a PUT binds no pod.
    let mut fact = server.get(&format!("{PODS}/web")).await.is(200);
    fact["spec"]["nodeName"] = "n1".into();
    let status = server.put(&format!("{PODS}/web"), &fact).await.fails(422, "Invalid");
    assert_eq!(fields(&status), ["spec"]);
    // A fact is told, not judged.
    server.post("/import", &fact).await.is(200);
}

pub async fn pod_update_rejects_immutable_fields(server: Server) {
    server.post(NODES, &node("n1")).await.is(201);
    let path = format!("{PODS}/web");
    server.post(PODS, &pod("web")).await.is(201);
    server.post(&format!("{path}/binding"), &binding("n1", &Value::Null)).await.is(201);
    let mut changed = server.get(&path).await.is(200);
    changed["spec"]["containers"][0]["image"] = "another".into();
    changed["metadata"]["labels"] = json!({"app": "other"});
    let tolerations = changed["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let added = [tolerations, vec![json!({"key": "a", "operator": "Exists"})]].concat();
    changed["spec"]["tolerations"] = added.into();
    changed["metadata"]["resourceVersion"] = Value::Null;
    server.put(&path, &changed).await.is(200);
    for (field, value) in [("requests", json!({"cpu": "400"})), ("limits", json!({"cpu": "500"}))] {
        let mut raised = changed.clone();
        raised["spec"]["containers"][0]["resources"][field] = value;
        let status = server.put(&path, &raised).await.fails(422, "Invalid");
        assert_eq!(fields(&status), ["spec"], "{field}");
        server.post("/import?dryRun=All", &raised).await.is(200);
    }
}

/// A running, ready pod, as budgets protect it.
async fn run(server: &Server, name: &str) {
    let mut pod = pod(name);
    pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    server.post(PODS, &pod).await.is(201);
}

async fn budget(server: &Server, allowed: i32) -> String {
    let collection = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed, "desiredHealthy": 1, "currentHealthy": 2, "expectedPods": 2}});
    server.post(collection, &budget).await.is(201);
    format!("{collection}/web")
}

pub async fn an_eviction_charges_its_budget(server: Server) {
    let budget = budget(&server, 1).await;
    run(&server, "a").await;
    run(&server, "b").await;
    let evict = json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "a", "namespace": "shop"}});
    server.post(&format!("{PODS}/a/eviction?dryRun=All"), &evict).await.is(201);
    server.post(&format!("{PODS}/a/eviction"), &evict).await.is(201);
    server.get(&format!("{PODS}/a")).await.fails(404, "NotFound");
    let charged = server.get(&budget).await.is(200);
    assert_eq!((&charged["status"]["disruptionsAllowed"], &charged["status"]["expectedPods"]), (&0.into(), &2.into()));

    let status = server.post(&format!("{PODS}/b/eviction"), &json!({})).await.fails(429, "TooManyRequests");
    assert_eq!(status["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(
        status["details"]["causes"],
        json!([{"reason": "DisruptionBudget", "message": "The disruption budget web needs 1 healthy pods and has 2 currently"}])
    );
    server.get(&format!("{PODS}/b")).await.is(200);
}

pub async fn evicting_an_ended_pod_costs_no_disruption(server: Server) {
    let budget = budget(&server, 0).await;
    server.post(PODS, &pod("unknown-phase")).await.is(201);
    let mut done = pod("done");
    done["status"] = json!({"phase": "Succeeded"});
    server.post(PODS, &done).await.is(201);
    server.post(&format!("{PODS}/done/eviction"), &json!({})).await.is(201);
    // Not ready, and the budget's healthy pods are enough without it: it protects nobody by staying.
    server.post(&format!("{PODS}/unknown-phase/eviction"), &json!({})).await.is(201);
    assert_eq!(server.get(&budget).await.is(200)["status"]["disruptionsAllowed"], 0);
}

pub async fn evictions_obey_preconditions(server: Server) {
    run(&server, "a").await;
    let path = format!("{PODS}/a/eviction");
    let with = |uid: &str| json!({"deleteOptions": {"preconditions": {"uid": uid}}});
    server.post(&path, &with("another")).await.fails(409, "Conflict");
    server.post(&path, &json!({"metadata": {"name": "b"}})).await.fails(400, "BadRequest");
    server.post(&path, &json!({"deleteOptions": {"dryRun": ["All"]}})).await.is(201);
    server.post(&path, &json!({})).await.is(201);
    server.post(&path, &json!({})).await.fails(404, "NotFound");
}
