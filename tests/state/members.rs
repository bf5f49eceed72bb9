//! Clusters as objects: one store of truth behind `/clusters` and the Kubernetes API.

use podberth::{
    service::clusters,
    store::{Atomicity, Change, Key, Precondition, Write},
    wire::source,
};
use serde_json::{Value, json};

use crate::{
    objects::{NODES, node},
    server::Server,
};

const CLUSTERS: &str = "/apis/podberth.io/v1/clusters";

const FILE: &str = "/etc/podberth/eu.kubeconfig";

fn cluster(name: &str) -> Value {
    json!({"kind": "Cluster", "apiVersion": "podberth.io/v1", "metadata": {"name": name, "labels": {"tier": "gold"}},
        "spec": {"provider": "aws", "region": "eu", "cost": {"perCpuHour": "0.04", "currency": "EUR"}}})
}

fn listed(list: &Value) -> Vec<(&str, u64)> {
    let items = list["items"].as_array().expect("items").iter();
    items.map(|item| (item["name"].as_str().expect("a name"), item["revision"].as_u64().expect("a number"))).collect()
}

pub async fn a_cluster_is_one_object_under_every_path(server: Server) {
    let created = server.put(&format!("{CLUSTERS}/eu-1"), &cluster("eu-1")).await.is(201);
    assert_eq!(listed(&server.get("/clusters").await.is(200)), [("eu-1", 0), ("podberth-system", 1)]);
    let shown = server.get("/clusters/eu-1").await.is(200);
    assert_eq!((&shown["object"], &shown["source"], &shown["revision"]), (&created, &Value::Null, &0.into()));
    // It is about all clusters, so it is the same one under the path of each.
    for path in [format!("{CLUSTERS}/eu-1"), format!("/clusters/other{CLUSTERS}/eu-1")] {
        assert_eq!(server.get(&path).await.is(200), created, "{path}");
    }
    let patched = json!({"metadata": {"labels": {"tier": "silver"}}});
    let merge = ("content-type", "application/merge-patch+json");
    let patched = server.ask("PATCH", &format!("{CLUSTERS}/eu-1"), merge, patched.to_string()).await.is(200);
    assert_eq!(patched["metadata"]["labels"]["tier"], "silver");
    let apply = ("content-type", "application/apply-patch+yaml");
    let applied = json!({"kind": "Cluster", "apiVersion": "podberth.io/v1", "spec": {"zones": ["a", "b"]}});
    let path = format!("{CLUSTERS}/eu-1?fieldManager=me");
    let applied = server.ask("PATCH", &path, apply, applied.to_string()).await.is(200);
    assert_eq!((&applied["spec"]["zones"], &applied["spec"]["region"]), (&json!(["a", "b"]), &"eu".into()));
    let table = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table = server.ask("GET", CLUSTERS, table, "").await.is(200);
    assert_eq!(
        table["rows"][0]["cells"].as_array().expect("cells")[..5],
        ["eu-1", "<unknown>", "aws", "eu", "<none>"].map(Value::from)
    );

    let mut status = applied;
    status["status"] = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "Away", "message": "by hand",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    status["spec"]["region"] = "not written by this path".into();
    let told = server.put(&format!("{CLUSTERS}/eu-1/status"), &status).await.is(200);
    assert_eq!((&told["status"], &told["spec"]["region"]), (&status["status"], &"eu".into()));

    // Its deletion leaves the data of the cluster.
    server.post(&format!("/clusters/eu-1{NODES}"), &node("a")).await.is(201);
    server.delete(&format!("{CLUSTERS}/eu-1")).await.is(200);
    assert_eq!(server.get("/clusters/eu-1").await.is(200)["object"], Value::Null);
    server.get(&format!("/clusters/eu-1{NODES}/a")).await.is(200);
    // The deletion of the cluster takes its object along.
    server.post(CLUSTERS, &cluster("eu-1")).await.is(201);
    server.delete("/clusters/eu-1?dryRun=All").await.is(200);
    server.get(&format!("{CLUSTERS}/eu-1")).await.is(200);
    server.delete("/clusters/eu-1").await.is(200);
    server.get(&format!("{CLUSTERS}/eu-1")).await.fails(404, "NotFound");
    server.get("/clusters/eu-1").await.fails(404, "NotFound");
    server.delete("/clusters/eu-1").await.fails(404, "NotFound");
}

pub async fn the_source_of_a_cluster_is_in_its_object(server: Server) {
    let source = json!({"kubeconfigFile": FILE});
    server.put("/clusters/eu-1", json!({"source": source})).await.is(201);
    let object = server.get(&format!("{CLUSTERS}/eu-1")).await.is(200);
    assert_eq!(object["spec"]["source"]["kubeconfigFile"], FILE);
    server.post(&format!("/clusters/eu-1{NODES}"), &node("a")).await.fails(405, "MethodNotAllowed");
    // Either way changes it, and everything else of the object stays.
    let merge = ("content-type", "application/merge-patch+json");
    let patch = json!({"spec": {"region": "eu", "source": {"context": "other"}}});
    server.ask("PATCH", &format!("{CLUSTERS}/eu-1"), merge, patch.to_string()).await.is(200);
    let shown = server.get("/clusters/eu-1").await.is(200);
    assert_eq!((&shown["source"]["context"], &shown["source"]["kubeconfigFile"]), (&"other".into(), &FILE.into()));
    server.put("/clusters/eu-1", json!({"source": null})).await.is(200);
    let object = server.get(&format!("{CLUSTERS}/eu-1")).await.is(200);
    assert_eq!((&object["spec"]["source"], &object["spec"]["region"]), (&Value::Null, &"eu".into()));
    server.post(&format!("/clusters/eu-1{NODES}"), &node("a")).await.is(201);

    let of_tokens = json!({"metadata": {"name": "podberth-system"}, "spec": {"source": source}});
    server.post(CLUSTERS, &of_tokens).await.fails(400, "BadRequest");
}

pub async fn a_source_of_an_earlier_release_is_read_and_taken_over(server: Server) {
    let key = Key::new(source::KIND, "", source::NAME);
    let put = Change::Put { body: format!(r#"{{"kubeconfigFile":"{FILE}"}}"#).into(), uid: "s".into(), node: None };
    let write = Write { key: key.clone(), precondition: Precondition::default(), change: put };
    for name in ["eu-1", "eu-2"] {
        server.state.store.commit(name, vec![write.clone()], Atomicity::AllOrNothing).await.expect("the store writes");
    }
    let is_stored = async |name: &str| server.state.store.get(name, &key).await.expect("the store reads").is_some();
    assert_eq!(server.get("/clusters/eu-1").await.is(200)["source"]["kubeconfigFile"], FILE);
    server.post(&format!("/clusters/eu-1{NODES}"), &node("a")).await.fails(405, "MethodNotAllowed");
    let taken = server.post(CLUSTERS, &cluster("eu-1")).await.is(201);
    assert_eq!(taken["spec"]["source"]["kubeconfigFile"], FILE, "an object does not end a mirror");
    assert!(!is_stored("eu-1").await);
    assert_eq!(server.get("/clusters/eu-1").await.is(200)["source"]["kubeconfigFile"], FILE);
    server.put("/clusters/eu-2", json!({"source": null})).await.is(200);
    assert!(!is_stored("eu-2").await);
    assert_eq!(server.get("/clusters/eu-2").await.is(200)["source"], Value::Null);
    let replica = Server::replica(server.state.store.clone());
    assert_eq!(replica.get("/clusters/eu-1").await.is(200)["source"]["kubeconfigFile"], FILE);
}

pub async fn faulty_clusters_are_refused(server: Server) {
    let mut faulty = cluster("eu-1");
    faulty["spec"]["zones"] = json!(["a", "a"]);
    faulty["spec"]["source"] = json!({"kubeconfigFile": "relative"});
    faulty["spec"]["nodeTemplates"] = json!([{"name": "n", "max": -1, "template": {}}]);
    let status = server.post(CLUSTERS, &faulty).await.fails(422, "Invalid");
    for field in [
        "spec.zones[1]",
        "spec.source.kubeconfigFile",
        "spec.nodeTemplates[0].max",
        "spec.nodeTemplates[0].template.status.allocatable",
    ] {
        assert!(crate::fields(&status).contains(&field), "{field}: {status}");
    }
    let mut odd = cluster("eu-1");
    odd["spec"]["regoin"] = "eu".into();
    let status = server.post(&format!("{CLUSTERS}?fieldValidation=Strict"), &odd).await.fails(400, "BadRequest");
    assert!(status["message"].as_str().is_some_and(|text| text.contains("spec.regoin")), "{status}");
    let imported =
        server.post("/import", &json!({"kind": "List", "items": [cluster("eu-1")]})).await.fails(422, "Invalid");
    assert!(imported.to_string().contains(CLUSTERS), "{imported}");
}

pub async fn the_path_of_the_source_tells_where_the_object_is(server: Server) {
    for (body, fields) in
        [(cluster("eu-1"), "kind, apiVersion, metadata, spec"), (json!({"source": null, "region": "eu"}), "region")]
    {
        let refusal = server.put("/clusters/eu-1", &body).await.refusal(400);
        assert!(refusal.starts_with(&format!("{fields}: Forbidden: this path takes source alone")), "{refusal}");
        assert!(refusal.ends_with(&format!("PUT {CLUSTERS}/eu-1")), "{refusal}");
    }
    server.get("/clusters/eu-1").await.fails(404, "NotFound");
}

pub async fn placement_reads_all_clusters(server: Server) {
    server.post(&format!("/clusters/bare{NODES}"), &node("a")).await.is(201);
    let mut down = cluster("eu-1");
    down["status"] =
        json!({"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    server.post(CLUSTERS, &down).await.is(201);
    server.put(&format!("{CLUSTERS}/eu-1/status"), &down).await.is(200);
    server.put("/clusters/mirror", json!({"source": {"kubeconfigFile": FILE}})).await.is(201);
    let all = clusters::all(&server.state).await.expect("the store answers");
    let told: Vec<_> = all
        .iter()
        .map(|cluster| (&*cluster.name, cluster.region.as_deref(), cluster.taints.first().map(|taint| &*taint.key)))
        .collect();
    assert_eq!(
        told,
        [
            ("bare", None, None),
            ("eu-1", Some("eu"), Some("podberth.io/not-ready")),
            ("mirror", None, Some("podberth.io/unreachable")),
        ]
    );
}
