//! `POST /policy/diff`.

use serde_json::{Value, json};

use super::{packing, server::Server, spreading};

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
        assert_eq!(report["counts"], json!({"moved": 2, "newlyUnschedulable": 0, "newlySchedulable": 0}));
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
    let put = server.put("/policy", &bad).await.fails(422, "Invalid");
    assert_eq!(told["details"]["causes"], put["details"]["causes"]);
    let configuration = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "other"}, {"schedulerName": "third"}]});
    let report = server.post("/policy/diff", json!({"candidate": configuration})).await.json();
    assert_eq!(report["byReason"], json!({"SchedulerName": 3}), "{report}");
    for (body, message) in [
        (json!({}), "candidate: Required value: the policy that may come into force"),
        (
            json!({"candidate": packing(), "over": {}}),
            "over: exactly one of pods, podNames and pending: true is needed",
        ),
        (
            json!({"candidate": packing(), "over": {"pending": true, "podNames": ["runs"]}}),
            "over: exactly one of pods, podNames and pending: true is needed",
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
