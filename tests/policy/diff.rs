//! `POST /policy/diff`.

use std::time::Duration;

use podberth::{store::Options, wire::decision::Share};
use serde_json::{Value, json};

use super::{
    database::{Database, Engine, with_database},
    packing,
    server::{Server, Setup},
    spreading,
};

fn node(name: &str, zone: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str, cpu: &str, node: &str) -> Value {
    let mut pod = json!({"metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}});
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

async fn shop(server: &Server) {
    let items = [node("a", "east"), node("b", "west")].into_iter().map(|mut node| {
        (node["kind"], node["apiVersion"]) = ("Node".into(), "v1".into());
        node
    });
    let pods = [pod("w1", "1", ""), pod("w2", "1", ""), pod("w3", "1", ""), pod("runs", "1", "a")];
    let pods = pods.into_iter().map(|mut pod| {
        (pod["kind"], pod["apiVersion"]) = ("Pod".into(), "v1".into());
        pod
    });
    let items: Vec<Value> = items.chain(pods).collect();
    server.post("/import", json!({"kind": "List", "apiVersion": "v1", "items": items})).await.is(200);
    server.put("/policy", spreading()).await.is(200);
}

pub(crate) async fn pods_that_wait_are_placed_under_both_policies(server: Server) {
    shop(&server).await;
    let before = server.get("/api/v1/pods").await.json();
    for over in [json!({"pending": true}), Value::Null] {
        let mut body = json!({"candidate": packing(), "over": over});
        if over.is_null() {
            body.as_object_mut().expect("an object").remove("over");
        }
        let report = server.post("/policy/diff", &body).await.json();
        // One pod of one CPU runs on a. Spread: b, then a or b in turn, 2 and 2. Packed: all on a, 4 and 0.
        assert_eq!((&report["total"], &report["same"]), (&json!(3), &json!(1)), "{report}");
        assert_eq!(report["counts"], json!({"moved": 2, "newlyUnschedulable": 0, "newlySchedulable": 0, "skipped": 0}));
        for moved in report["moved"].as_array().expect("a list") {
            assert_eq!((&moved["from"], &moved["to"]), (&json!("b"), &json!("a")), "{report}");
        }
        assert_eq!(report["packing"]["before"]["nodesInUse"], 2);
        assert_eq!(report["packing"]["after"]["nodesInUse"], 1);
        assert_eq!(report["packing"]["after"]["resources"]["cpu"], json!({"mean": 1.0, "p95": 1.0, "stranded": "0"}));
        let zones = &report["spread"]["topology.kubernetes.io/zone"];
        assert_eq!(zones["after"], json!({"domains": 2, "maxSkew": 3, "pods": {"east": 3, "west": 0}}));
        assert_eq!(report["byReason"].as_object().map(serde_json::Map::len), Some(1), "{report}");
        assert_eq!((&report["before"]["name"], &report["before"]["revision"]), (&json!("default"), &json!(1)));
        assert_eq!(report["candidate"]["name"], "(request)");
    }
    assert_eq!(server.get("/api/v1/pods").await.json(), before, "nothing is stored");
}

pub(crate) async fn pods_are_named_or_sent_and_leave_their_nodes(server: Server) {
    shop(&server).await;
    let strict = json!({"kind": "Policy", "apiVersion": "v1", "priorities": [], "predicates": [
        {"name": "PodFitsResources"}, {"name": "L", "argument": {"labelsPresence": {"labels": ["gpu"], "presence": true}}}]});
    for over in
        [json!({"podNames": ["default/runs"]}), json!({"pods": ["runs"]}), json!({"pods": [pod("runs", "1", "")]})]
    {
        let report = server.post("/policy/diff", json!({"candidate": strict, "over": over})).await.json();
        assert_eq!(report["counts"]["newlyUnschedulable"], 1, "{report}");
        let lost = &report["newlyUnschedulable"][0];
        assert_eq!(
            (&lost["pod"]["name"], &lost["reason"]),
            (&json!("runs"), &json!("CheckNodeLabelPresence")),
            "{report}"
        );
        assert!(
            lost["why"].as_str().is_some_and(|why| why.starts_with("CheckNodeLabelPresence of the candidate rejects ")),
            "{report}"
        );
        assert_eq!(lost["message"], "0/2 nodes are available: 2 node(s) didn't have the requested labels.");
        assert_eq!(report["packing"]["before"]["nodesInUse"], 1, "it left its node");
    }
    let cluster = json!({"nodes": [node("c", "east")], "pods": [pod("waits", "1", "")]});
    let report = server.post("/policy/diff", json!({"candidate": strict, "cluster": cluster})).await.json();
    assert_eq!((&report["revision"], &report["newlyUnschedulable"][0]["from"]), (&json!(0), &json!("c")), "{report}");
    server.put("/policies/strict", strict).await.is(200);
    let back = server.post("/policy/diff?policy=strict", json!({"candidate": packing()})).await.json();
    assert_eq!(back["counts"]["newlySchedulable"], 3, "{back}");
    let limited = server.post("/policy/diff?policy=strict", json!({"candidate": packing(), "limit": 1})).await.json();
    assert_eq!((limited["newlySchedulable"].as_array().map(Vec::len), &limited["counts"]), (Some(1), &back["counts"]));
}

pub(crate) async fn faults_of_the_candidate_and_of_the_request_name_their_fields(server: Server) {
    shop(&server).await;
    let bad = json!({"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "PodFitsResourcez"}],
        "priorities": [{"name": "EqualPriority", "weight": -1}]});
    let told = server.post("/policy/diff", json!({"candidate": bad})).await.fails(422, "Invalid");
    let mut put = server.put("/policy", &bad).await.fails(422, "Invalid");
    // A candidate is a part of another text: its faults have no place there.
    for cause in put["details"]["causes"].as_array_mut().into_iter().flatten() {
        let cause = cause.as_object_mut().expect("a cause");
        assert!(cause.remove("line").is_some() && cause.remove("column").is_some());
    }
    assert_eq!(told["details"]["causes"], put["details"]["causes"]);
    let configuration = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "other"}, {"schedulerName": "third"}]});
    let report = server.post("/policy/diff", json!({"candidate": configuration})).await.json();
    assert_eq!(report["byReason"], json!({"SchedulerName": 3}), "{report}");
    for (body, message) in [
        (json!({}), "candidate: Required value: the policy that may come into force"),
        (
            json!({"candidate": packing(), "over": {}}),
            "over: exactly one of decisions, pods, podNames and pending: true is needed",
        ),
        (
            json!({"candidate": packing(), "over": {"pending": true, "podNames": ["runs"]}}),
            "over: exactly one of decisions, pods, podNames and pending: true is needed",
        ),
        (
            json!({"candidate": packing(), "over": {"podNames": ["runs", "default/runs"]}}),
            "over.podNames[1]: Duplicate value: \"default/runs\"",
        ),
        (json!({"candidate": packing(), "limit": 100_001}), "limit: Invalid value: 100001: must be at most 100000"),
    ] {
        assert_eq!(server.post("/policy/diff", &body).await.refusal(400), message);
    }
    let unknown = json!({"candidate": packing(), "over": {"pendin": true}});
    let unknown = server.post("/policy/diff", &unknown).await.refusal(400);
    assert!(unknown.contains("pendin") && unknown.contains("pending"), "{unknown}");
    server
        .post("/policy/diff", json!({"candidate": packing(), "over": {"podNames": ["none"]}}))
        .await
        .fails(404, "NotFound");
}

/// A server that keeps the past and records decisions.
async fn recording(database: &Database) -> Server {
    let history = Some(Duration::from_hours(1));
    let store = database.store_with(Options { history, ..Options::default() }).await;
    let decisions: Share = "binds".parse().expect("a share");
    Server::start(store, Setup { decisions, ..Setup::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_decisions_are_made_again_alone_on_their_clusters() {
    with_database(Engine::SqliteMemory, async |database| decisions_are_made_again(recording(&database).await).await)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_decisions_are_made_again_alone_on_their_clusters() {
    with_database(Engine::Postgres, async |database| decisions_are_made_again(recording(&database).await).await).await;
}

async fn decisions_are_made_again(server: Server) {
    shop(&server).await;
    server.post("/schedule", json!({"podNames": ["w1", "w2", "w3"]})).await.is(200);
    server.put("/policy", packing()).await.is(200);
    server.post("/schedule", json!({"pods": [pod("w4", "1", ""), pod("w5", "4", "")]})).await.is(200);
    let recorded = server.get("/decisions").await.json();
    let recorded = recorded["items"].as_array().expect("a list").clone();
    assert_eq!(recorded.len(), 5);
    for candidate in [packing(), spreading()] {
        // Each decision by itself, at its revision, with the pods that its batch had placed before.
        let mut moved = 0;
        let mut expected = Vec::new();
        for decision in recorded.iter().filter(|decision| decision["outcome"] == "bound") {
            let id = decision["id"].as_str().expect("an id");
            expected.push((id.to_owned(), decision["node"].clone()));
        }
        let report =
            server.post("/policy/diff", json!({"candidate": candidate, "over": {"decisions": {}}})).await.json();
        assert_eq!((&report["total"], &report["counts"]["skipped"]), (&json!(5), &json!(0)), "{report}");
        for change in report["moved"].as_array().expect("a list") {
            let id = change["decision"].as_str().expect("an id");
            let (_, node) = expected.iter().find(|(known, _)| known == id).expect("a decision");
            assert_eq!(change["from"], *node, "{report}");
            moved += 1;
        }
        // a has one pod. Under the spreading policy: w1 to b, then w2 and w3 to a and b in turn; under the packing one all to a, alone on the cluster
        // of each decision. Then a and b have two pods each, and w4 goes to either by its name.
        let is_packing = candidate == packing();
        assert_eq!(report["counts"]["moved"], moved);
        assert!(if is_packing { moved >= 1 } else { moved <= 1 }, "{report}");
        assert!(report.get("packing").is_none() && report["before"]["name"] == "(recorded)", "{report}");
        let last = json!({"candidate": candidate, "over": {"decisions": {"last": 2}}});
        assert_eq!(server.post("/policy/diff", last).await.json()["total"], 2);
    }
    let none = json!({"candidate": packing(), "over": {"decisions": {"since": "2100-01-01T00:00:00Z"}}});
    assert_eq!(server.post("/policy/diff", none).await.json()["total"], 0);
    for (decisions, message) in [
        (json!({"last": 50_001}), "over.decisions.last: Invalid value: 50001: must be at most 50000"),
        (
            json!({"since": "then"}),
            "over.decisions.since: Invalid value: \"then\": expected a time as 2026-01-02T15:04:05Z",
        ),
    ] {
        let body = json!({"candidate": packing(), "over": {"decisions": decisions}});
        assert_eq!(server.post("/policy/diff", body).await.refusal(400), message);
    }
}
