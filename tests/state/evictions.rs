//! Pods that NoExecute taints drive off their nodes.

use podberth::store::{Atomicity, Change, Key, Precondition, Write};
use serde_json::{Value, json};

use crate::{
    documents::conforms,
    objects::{NODES, PODS, node, pod},
    server::Server,
};

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

fn tainted(name: &str, taint: &Value) -> Value {
    let mut node = node(name);
    node["spec"] = json!({"taints": [taint]});
    node
}

/// An old pod on a node that tolerates a taint `fire` for this many seconds; `null` tolerates nothing.
async fn run(server: &Server, name: &str, on: &str, seconds: Value) {
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = on.into();
    pod["status"] = json!({"phase": "Running", "startTime": LONG_AGO});
    if !seconds.is_null() {
        pod["spec"]["tolerations"] =
            json!([{"key": "fire", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]);
    }
    server.post(PODS, &pod).await.is(201);
}

/// `n1` burns since 2020; `p0` does not bear it, `p60` for a minute, `later` for 200 years.
async fn fire(server: &Server) {
    let burning = json!({"key": "fire", "effect": "NoExecute", "timeAdded": LONG_AGO});
    server.post(NODES, &tainted("n1", &burning)).await.is(201);
    for (name, seconds) in [("p60", json!(60)), ("p0", Value::Null), ("later", json!(6_300_000_000_u64))] {
        run(server, name, "n1", seconds).await;
    }
}

fn told<'v>(list: &'v Value, field: &str) -> Vec<(&'v str, &'v Value)> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| (item["pod"]["name"].as_str().expect("a name"), &item[field])).collect()
}

pub async fn taints_evict_in_time(server: Server) {
    fire(&server).await;
    server.post(NODES, &tainted("n2", &json!({"key": "fire", "effect": "NoExecute"}))).await.is(201);
    run(&server, "lost", "n2", json!(1)).await;
    let list = server.get("/evictions").await.is(200);
    conforms("EvictionList", &list);
    let expected = [("p0", &json!(true)), ("p60", &json!(true)), ("later", &json!(false)), ("lost", &json!(false))];
    assert_eq!(told(&list, "due"), expected);
    let [soon, lost] = [&list["items"][1], &list["items"][3]];
    assert_eq!((&soon["at"], &soon["tolerationSeconds"]), (&"2020-01-01T00:01:00Z".into(), &60.into()));
    assert_eq!(soon["taints"], json!([{"key": "fire", "value": "", "timeAdded": LONG_AGO}]));
    assert_eq!((&soon["node"], &soon["pod"]["namespace"]), (&"n1".into(), &"shop".into()));
    assert!(lost.get("at").is_none(), "nobody knows since when: {lost}");

    for (query, names) in [
        ("?node=n2", vec!["lost"]),
        ("?namespace=none", vec![]),
        ("?before=2020-01-01T00:00:59Z", vec!["p0"]),
        ("?limit=1", vec!["p0"]),
    ] {
        let list = server.get(&format!("/evictions{query}")).await.is(200);
        assert_eq!(told(&list, "due").into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names, "{query}");
    }
    assert_eq!(server.get("/evictions?limit=1").await.is(200)["remaining"], 3);
    server.get("/evictions?before=soon").await.fails(400, "BadRequest");
    server.get("/evictions?limit=-1").await.fails(400, "BadRequest");

    // A pod that came a moment ago has its time before it, however old the taint.
    let mut fresh = pod("fresh");
    fresh["spec"]["nodeName"] = "n1".into();
    fresh["spec"]["tolerations"] = json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600}]);
    server.post(PODS, &fresh).await.is(201);
    let list = server.get("/evictions").await.is(200);
    assert!(told(&list, "due").contains(&("fresh", &json!(false))), "{list}");
}

pub async fn post_carries_out_the_evictions_that_are_due(server: Server) {
    fire(&server).await;
    let budget = json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "desiredHealthy": 3, "currentHealthy": 3, "expectedPods": 3}});
    server.post("/apis/policy/v1/namespaces/shop/poddisruptionbudgets", &budget).await.is(201);

    let tried = server.post("/evictions?dryRun=All", &Value::Null).await.is(200);
    conforms("EvictionReport", &tried);
    let deleted = json!("Deleted");
    assert_eq!(told(&tried, "outcome"), [("p0", &deleted), ("p60", &deleted)]);
    server.get(&format!("{PODS}/p0")).await.is(200);
    server.post("/evictions?dryRun=yes", &Value::Null).await.fails(400, "BadRequest");

    let done = server.post("/evictions?limit=1&before=2999-01-01T00:00:00Z", &Value::Null).await.is(200);
    assert_eq!((told(&done, "outcome"), &done["remaining"]), (vec![("p0", &deleted)], &1.into()));
    assert!(done["revision"].as_u64() > tried["revision"].as_u64());
    let done = server.post("/evictions", &Value::Null).await.is(200);
    assert_eq!(told(&done, "outcome"), [("p60", &deleted)], "no budget is asked, and who is not due stays");
    for (name, code) in [("p0", 404), ("p60", 404), ("later", 200)] {
        assert_eq!(server.get(&format!("{PODS}/{name}")).await.code, code, "{name}");
    }
    assert_eq!(server.post("/evictions", &Value::Null).await.is(200)["items"], json!([]));
}

/// The store is written past the server, so its view may or may not have the change: the outcome is equal.
pub async fn a_pod_that_may_stay_again_stays(server: Server) {
    fire(&server).await;
    let store = &server.state.store;
    let node = Key::new("nodes", "", "n1");
    let record = store.get("default", &node).await.expect("the store reads").expect("the node");
    let put = Change::Put { body: node_body().into(), uid: record.uid, node: None };
    let write = Write { key: node, precondition: Precondition::default(), change: put };
    let moved = Write {
        key: Key::new("pods", "shop", "p60"),
        precondition: Precondition::default(),
        change: Change::SetNode(Some("elsewhere".into())),
    };
    store.commit("default", vec![write, moved], Atomicity::AllOrNothing).await.expect("the store writes");
    let done = server.post("/evictions", &Value::Null).await.is(200);
    assert!(told(&done, "outcome").iter().all(|(_, outcome)| **outcome == "Stays"), "{done}");
    for name in ["p0", "p60", "later"] {
        server.get(&format!("{PODS}/{name}")).await.is(200);
    }
}

fn node_body() -> String {
    node("n1").to_string()
}

pub async fn many_evictions_at_once(server: Server) {
    fire(&server).await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.post("/evictions", &Value::Null).await.is(200) })
        })
        .collect();
    let mut deleted = 0;
    for call in calls {
        let done = call.await.expect("no panic");
        deleted += told(&done, "outcome").iter().filter(|(_, outcome)| **outcome == "Deleted").count();
    }
    assert_eq!(deleted, 2, "each pod is deleted by one of them");
}
