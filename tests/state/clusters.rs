//! Clusters by path: creation, removal, and errors for missing ones.

use serde_json::{Value, json};

use crate::{
    objects::{NODES, node, pod},
    server::Server,
};

fn listed(list: &Value) -> Vec<&str> {
    list["items"].as_array().expect("items").iter().filter_map(|item| item["name"].as_str()).collect()
}

pub async fn decisions_over_a_cluster_that_does_not_exist_are_not_found(server: Server) {
    let by_name = json!({"Pod": pod("p"), "NodeNames": ["a"]});
    let in_full = json!({"Pod": pod("p"), "Nodes": {"items": [node("a")]}});
    let proposed = json!({"Pod": pod("p"), "NodeNameToMetaVictims": {}});
    let asked = json!({"pod": pod("p")});
    let brought = json!({"pod": pod("p"), "cluster": {"nodes": [node("a")]}});
    let bound = json!({"PodName": "p", "PodNamespace": "default", "PodUID": "", "Node": "a"});
    let scheduled = json!({"pods": [pod("p")]});
    let tried = json!({"pods": [pod("p")], "cluster": {"nodes": [node("a")]}, "dryRun": true});
    // path, body, whether it needs the cluster
    let table = [
        ("filter", &by_name, true),
        ("filter", &in_full, false),
        ("prioritize", &by_name, true),
        ("prioritize", &in_full, false),
        ("preempt", &proposed, true),
        ("explain", &asked, true),
        ("explain", &brought, false),
        ("schedule", &scheduled, true),
        ("schedule", &tried, false),
        ("bind", &bound, true),
        ("evictions", &Value::Null, true),
    ];
    for (path, body, needs_it) in table {
        let reply = server.post(&format!("/clusters/typo/{path}"), body).await;
        if needs_it {
            let status = reply.fails(404, "NotFound");
            assert_eq!((&status["details"]["kind"], &status["details"]["name"]), (&"clusters".into(), &"typo".into()));
        } else {
            reply.is(200);
        }
        server.post(&format!("/{path}"), body).await.is(200);
    }
    server.get("/clusters/typo/evictions").await.fails(404, "NotFound");
    assert!(!listed(&server.get("/clusters").await.is(200)).contains(&"typo"), "asking makes none");
    server.post(&format!("/clusters/typo{NODES}"), &node("a")).await.is(201);
    server.post("/clusters/typo/filter", &by_name).await.is(200);
}

pub async fn a_removed_cluster_is_gone_everywhere(server: Server) {
    let replica = Server::replica(server.state.store.clone());
    for name in ["east", "west"] {
        server.post(&format!("/clusters/{name}{NODES}"), &node("a")).await.is(201);
        server.put(&format!("/clusters/{name}/policy"), json!({"kind": "Policy", "apiVersion": "v1"})).await.is(200);
    }
    let by_name = json!({"Pod": pod("p"), "NodeNames": ["a"]});
    replica.post("/clusters/east/filter", &by_name).await.is(200);

    server.delete("/clusters/east?dryRun=All").await.is(200);
    assert_eq!(listed(&server.get("/clusters").await.is(200)), ["east", "west"]);
    server.delete("/clusters/east").await.is(200);
    server.delete("/clusters/east").await.fails(404, "NotFound");
    server.delete("/clusters/east?dryRun=All").await.fails(404, "NotFound");
    assert_eq!(listed(&server.get("/clusters").await.is(200)), ["west"]);
    server.post("/clusters/east/filter", &by_name).await.fails(404, "NotFound");
    server.get(&format!("/clusters/east{NODES}/a")).await.fails(404, "NotFound");
    // The hint or the next look at the heads tells the other replica.
    while replica.state.clusters.followed("east").is_some() {
        tokio::task::yield_now().await;
    }
    replica.post("/clusters/east/filter", &by_name).await.fails(404, "NotFound");

    server.post(&format!("/clusters/east{NODES}"), &node("b")).await.is(201);
    let nodes = replica.get(&format!("/clusters/east{NODES}")).await.is(200);
    assert_eq!(crate::names(&nodes), ["b"]);
    assert_eq!(server.get("/clusters/east/policy/revisions").await.is(200)["items"], json!([]));
    server.get(&format!("/clusters/west{NODES}/a")).await.is(200);
}

pub async fn the_default_cluster_cannot_be_removed(server: Server) {
    server.post(NODES, &node("a")).await.is(201);
    let message = server.delete("/clusters/default").await.fails(400, "BadRequest");
    assert!(message["message"].as_str().is_some_and(|text| text.contains("default")), "{message}");
    server.delete("/clusters/No_Label").await.fails(400, "BadRequest");
    server.delete("/clusters/none").await.fails(404, "NotFound");
    server.get(&format!("{NODES}/a")).await.is(200);
}
