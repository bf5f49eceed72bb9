//! Quotas of namespaces, where objects are created at the same moment through one replica and through several.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::server::{Server, Setup};

const SHOP: &str = "/api/v1/namespaces/shop";

/// Another server over the database of `server`, which creates objects as the API server does.
fn strict(server: &Server) -> Server {
    Server::start(server.state.clusters.store().clone(), Setup::strict())
}

fn pod(name: &str, cpu: &str) -> Value {
    let container = json!({"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}});
    json!({"metadata": {"name": name}, "spec": {"containers": [container]}})
}

async fn opened(server: &Server, hard: &Value) {
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await.is(201);
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    server.post(&format!("{SHOP}/resourcequotas"), &quota).await.is(201);
}

async fn used(server: &Server) -> Value {
    server.get(&format!("{SHOP}/resourcequotas/q")).await.json()["status"]["used"].clone()
}

pub(crate) async fn replicas_together_stay_within_a_quota(server: Server) {
    let replicas = [strict(&server), strict(&server)];
    opened(&replicas[0], &json!({"pods": "5", "configmaps": "3"})).await;
    let create = async |i: usize| {
        let replica = &replicas[i % 2];
        let pod = replica.post(&format!("{SHOP}/pods"), &pod(&format!("pod-{i}"), "1")).await;
        let map = replica.post(&format!("{SHOP}/configmaps"), &json!({"metadata": {"generateName": "map-"}})).await;
        (pod.code, map.code)
    };
    let codes = join_all((0..16).map(create)).await;
    let created = |codes: Vec<u16>| {
        // Those that lost every race against the other replica are asked to try again.
        assert!(codes.iter().all(|code| matches!(code, 201 | 403 | 409)), "{codes:?}");
        codes.into_iter().filter(|code| *code == 201).count()
    };
    let (pods, maps): (Vec<u16>, Vec<u16>) = codes.into_iter().unzip();
    let (pods, maps) = (created(pods), created(maps));
    for (plural, created, most) in [("pods", pods, 5), ("configmaps", maps, 3)] {
        let stored = replicas[0].get(&format!("{SHOP}/{plural}")).await.json();
        assert_eq!(stored["items"].as_array().map(Vec::len), Some(created), "{plural}: what was told is stored");
        assert!(created <= most, "{plural}: {created} of {most}");
    }
    assert_eq!(used(&replicas[1]).await, json!({"pods": pods.to_string(), "configmaps": maps.to_string()}));
}

pub(crate) async fn one_replica_uses_a_quota_up(server: Server) {
    let server = strict(&server);
    opened(&server, &json!({"pods": "5"})).await;
    let create = async |i: usize| server.post(&format!("{SHOP}/pods"), &pod(&format!("pod-{i}"), "1")).await.code;
    let codes = join_all((0..16).map(create)).await;
    let count = |code: u16| codes.iter().filter(|of| **of == code).count();
    assert_eq!((count(201), count(403)), (5, 11), "{codes:?}");
}

pub(crate) async fn an_update_is_charged_the_difference(server: Server) {
    let server = strict(&server);
    opened(&server, &json!({"requests.cpu": "2", "services.nodeports": "0"})).await;
    server.post(&format!("{SHOP}/pods"), &pod("a", "1500m")).await.is(201);
    let resize = |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    let patch = ("content-type", "application/strategic-merge-patch+json");
    let path = format!("{SHOP}/pods/a/resize");
    let refused = server.ask("PATCH", &path, patch, &resize("2500m")).await.refusal(403);
    assert!(
        refused.ends_with(
            "exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=1500m, limited: requests.cpu=2"
        ),
        "{refused}"
    );
    server.ask("PATCH", &path, patch, &resize("2")).await.json();
    assert_eq!(used(&server).await["requests.cpu"], "2");
    let labels = ("content-type", "application/merge-patch+json");
    server.ask("PATCH", &format!("{SHOP}/pods/a"), labels, &json!({"metadata": {"labels": {"x": "y"}}})).await.json();

    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    server.post(&format!("{SHOP}/services"), &service).await.is(201);
    let refused =
        server.ask("PATCH", &format!("{SHOP}/services/s"), labels, &json!({"spec": {"type": "NodePort"}})).await;
    assert!(refused.refusal(403).contains("services.nodeports=1"), "{}", refused.text());
}

pub(crate) async fn a_dry_run_charges_nothing(server: Server) {
    let server = strict(&server);
    opened(&server, &json!({"pods": "1"})).await;
    server.post(&format!("{SHOP}/pods?dryRun=All"), &pod("a", "1")).await.is(201);
    assert_eq!(used(&server).await, Value::Null);
    server.post(&format!("{SHOP}/pods"), &pod("a", "1")).await.is(201);
    server.post(&format!("{SHOP}/pods?dryRun=All"), &pod("b", "1")).await.fails(403, "Forbidden");
}

/// Many clients that patch one object go one after another from the second attempt on, so none of them is told to try again.
pub(crate) async fn patches_of_one_object_all_come_through(server: Server) {
    let server = strict(&server);
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await.is(201);
    server.post(&format!("{SHOP}/configmaps"), &json!({"metadata": {"name": "m"}})).await.is(201);
    let path = format!("{SHOP}/configmaps/m");
    let patch = async |i: usize| {
        let merge = ("content-type", "application/merge-patch+json");
        server.ask("PATCH", &path, merge, &json!({"data": {format!("key-{i}"): "x"}})).await.code
    };
    let codes = join_all((0..40).map(patch)).await;
    assert!(codes.iter().all(|code| *code == 200), "{codes:?}");
    assert_eq!(server.get(&path).await.json()["data"].as_object().map(serde_json::Map::len), Some(40));
}

/// Rights to schedule do not lead past the rules for those who create.
pub(crate) async fn schedule_refuses_what_creation_refuses(server: Server) {
    let server = strict(&server);
    server
        .post(
            "/api/v1/nodes",
            &json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "9", "memory": "9Gi", "pods": "9"}}}),
        )
        .await
        .is(201);
    opened(&server, &json!({"pods": "0"})).await;
    let within = |namespace: &str, mut pod: Value| {
        pod["metadata"]["namespace"] = json!(namespace);
        json!({"pods": [pod]})
    };
    let refused = server.post("/schedule", &within("shop", pod("a", "1"))).await.refusal(403);
    assert!(refused.contains("has resourcequotas"), "{refused}");
    let mut urgent = pod("a", "1");
    urgent["spec"]["priority"] = json!(2_000_000_000);
    server.post("/schedule", &within("default", urgent)).await.fails(422, "Invalid");
    let report = server.post("/schedule", &within("default", pod("a", "1"))).await.json();
    assert_eq!(report["pods"][0]["result"], "Bound", "{report}");
}
