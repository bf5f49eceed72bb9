//! Placements over the server's own clusters.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use podberth::live;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    objects::NODES,
    server::{Server, Setup},
};

fn node(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "pods": "110"}}})
}

/// Pods with a CPU each.
fn asked(replicas: u64, division: &Value) -> Value {
    json!({"replicas": replicas, "division": division, "name": "web",
        "template": {"metadata": {"namespace": "shop"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}}})
}

/// Three clusters: east with nodes of 4 and 2 CPUs, west with one of 3, and one without nodes.
async fn clusters(server: &Server) {
    for (cluster, name, cpu) in [("east", "a", "4"), ("east", "b", "2"), ("west", "a", "3")] {
        server.post(&format!("/clusters/{cluster}{NODES}"), &node(name, cpu)).await.is(201);
    }
    let namespace = json!({"metadata": {"name": "shop"}});
    server.post("/clusters/north/api/v1/namespaces", &namespace).await.is(201);
}

fn with(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}

fn shares(reply: &Value) -> BTreeMap<String, i64> {
    let clusters = reply["clusters"].as_array().expect("clusters").iter();
    clusters
        .map(|of| (of["name"].as_str().expect("a name").to_owned(), of["replicas"].as_i64().expect("a number")))
        .collect()
}

/// How many pods each node has.
async fn bound(server: &Server, cluster: &str) -> BTreeMap<String, usize> {
    let list = server.get(&format!("/clusters/{cluster}/api/v1/namespaces/shop/pods")).await.is(200);
    let mut bound = BTreeMap::new();
    for node in list["items"].as_array().expect("items").iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()) {
        *bound.entry(node.to_owned()).or_default() += 1;
    }
    bound
}

pub async fn room_is_counted_by_the_node_engine_and_every_rejection_is_told(server: Server) {
    clusters(&server).await;
    let reply =
        server.post("/placements", &asked(8, &json!({"weighted": {"dynamic": "AvailableReplicas"}}))).await.is(200);
    // By room of 6 and 3: 8 × 6/9 = 5.3 and 2.7.
    assert_eq!(shares(&reply), [("east".to_owned(), 5), ("west".to_owned(), 3)].into());
    let east = &reply["clusters"][0];
    assert_eq!((&east["available"], &east["onExisting"], &east["rank"]), (&json!(6), &json!(6), &json!(1)));
    let pods: u64 = east["nodes"].as_array().expect("nodes").iter().filter_map(|of| of["count"].as_u64()).sum();
    assert_eq!(pods, 5);
    assert!(reply["snapshotRevisions"]["east"].as_u64() > Some(0), "{reply}");
    assert_eq!(reply["rejected"][0]["name"], "north");
    assert_eq!(reply["rejected"][0]["reasons"][0]["rule"], "Capacity");
    // One that does not fit on any node, though the cluster has as much in sum.
    let large = json!({"replicas": 1, "division": {"aggregated": {}}, "clusters": {"names": ["east"]},
        "template": {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "5"}}}]}}});
    let reply = server.post("/placements", &large).await.is(200);
    assert_eq!((&reply["reason"], &reply["clusters"]), (&json!("NoClusterFits"), &json!([])));
    let reasons = reply["rejected"].as_array().expect("a list").iter().find(|of| of["name"] == "east").expect("east");
    let told = json!({"rule": "Capacity", "text": "Insufficient cpu", "nodes": 2});
    assert!(reasons["reasons"].as_array().expect("reasons").contains(&told), "{reasons}");
}

pub async fn short_of_room_all_or_nothing_or_what_fits(server: Server) {
    clusters(&server).await;
    let request = asked(12, &json!({"aggregated": {}}));
    let reply = server.post("/placements", &request).await.is(200);
    assert_eq!((&reply["reason"], &reply["unplaced"]), (&json!("InsufficientReplicas"), &json!(12)));
    assert_eq!(reply["message"], "the clusters have room for 9 more replicas; 12 have no place");
    let reply = server.post("/placements", &with(request, "partial", json!(true))).await.is(200);
    assert_eq!(shares(&reply), [("east".to_owned(), 6), ("west".to_owned(), 3)].into());
    assert_eq!(reply["unplaced"], 3);
}

pub async fn a_bind_is_made_in_all_clusters(server: Server) {
    clusters(&server).await;
    let request = with(asked(9, &json!({"aggregated": {}})), "commit", json!("bind"));
    let reply = server.post("/placements", &request).await.is(200);
    assert_eq!(reply["committed"], "bind");
    assert_eq!(bound(&server, "east").await, [("a".to_owned(), 4), ("b".to_owned(), 2)].into());
    assert_eq!(bound(&server, "west").await, [("a".to_owned(), 3)].into());
    // All is taken: nothing is made.
    let reply = server.post("/placements", &with(request, "replicas", json!(1))).await.is(200);
    assert_eq!((&reply["reason"], &reply["committed"]), (&json!("NoClusterFits"), &Value::Null));
}

pub async fn a_thousand_reservations_at_once_stay_within_the_room(server: Server) {
    // 3 clusters × 5 nodes × 8 CPUs: room for 120.
    let (names, nodes, cpus) = (["east", "north", "west"], 5, 8);
    for cluster in names {
        for number in 0..nodes {
            server
                .post(&format!("/clusters/{cluster}{NODES}"), &node(&format!("n{number}"), &cpus.to_string()))
                .await
                .is(201);
        }
    }
    let replica = || {
        let clusters = live::Limits { poll: Duration::from_millis(50), ..live::Limits::default() };
        Server::start(server.state.store.clone(), Setup { clusters, is_searched: false, ..Setup::default() })
    };
    let servers = [replica(), replica()];
    // As many are in progress as a server lets in, so that the pool of connections is not what is tested.
    let places = Arc::new(Semaphore::new(64));
    let mut placing = JoinSet::new();
    for number in 0..1_000 {
        let (server, places) = (servers[number % 2].clone(), places.clone());
        let mut request = asked(1 + number as u64 % 3, &json!({"weighted": {"dynamic": "AvailableReplicas"}}));
        (request["commit"], request["ttlSeconds"], request["seed"]) = ("reserve".into(), 3600.into(), number.into());
        placing.spawn(async move {
            let _place = places.acquire().await.expect("it stays open");
            let reply = server.post("/placements", &request).await;
            // Others may be first every time: then it is told as a conflict.
            if reply.code == 409 { Value::Null } else { reply.is(200) }
        });
    }
    let replies = placing.join_all().await;
    let mut told: BTreeMap<(String, String), i64> = BTreeMap::new();
    for reply in replies.iter().filter(|reply| reply["committed"] == "reserve") {
        for of in reply["clusters"].as_array().expect("clusters") {
            for on in of["nodes"].as_array().expect("nodes") {
                let place = [&of["name"], &on["name"]].map(|name| name.as_str().expect("a name").to_owned()).into();
                *told.entry(place).or_default() += on["count"].as_i64().expect("a number");
            }
        }
    }
    let mut reserved: BTreeMap<(String, String), i64> = BTreeMap::new();
    for cluster in names {
        let list = server.get(&format!("/clusters/{cluster}/reservations")).await.is(200);
        for of in list["items"].as_array().expect("items") {
            *reserved.entry((cluster.into(), of["node"].as_str().expect("a node").into())).or_default() += 1;
        }
    }
    assert_eq!(reserved, told, "what was told is what is reserved, and nothing is left of what was not");
    assert!(reserved.values().all(|count| *count <= cpus), "{reserved:?}");
    let (sum, conflicts) = (reserved.values().sum::<i64>(), replies.iter().filter(|reply| reply.is_null()).count());
    assert!((100..=120).contains(&sum), "{sum} of 120, {conflicts} conflicts");
}

pub async fn bad_placements_get_clear_errors(server: Server) {
    clusters(&server).await;
    let request = asked(1, &json!({"aggregated": {}}));
    for (field, value, told) in [
        ("clusters", json!({"names": ["east", "typo"]}), "clusters.names[1]: Not found: \"typo\""),
        ("replicas", json!(0), "replicas: Invalid value: 0: there is nothing to place"),
        ("replicas", json!(1_000_001), "replicas: Invalid value: 1000001: must be between 0 and 1000000"),
        ("template", json!({"spec": {"nodeName": "a"}}), "template.spec.nodeName: Forbidden"),
        ("template", Value::Null, "template: Required value"),
        ("spread", json!([{"by": "region"}]), "spread: Required value: one by \"cluster\""),
        ("ttlSeconds", json!(5), "ttlSeconds: Forbidden"),
        ("luck", json!(7), "unknown field `luck`"),
    ] {
        let refusal = server.post("/placements", &with(request.clone(), field, value)).await.refusal(400);
        assert!(refusal.contains(told), "{refusal}\nexpected: {told}");
    }
    server.post("/placements?policy=none", &request).await.fails(404, "NotFound");
}
