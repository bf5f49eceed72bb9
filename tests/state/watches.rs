//! Watches over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    fields,
    objects::{NODES, PODS, node, pod},
    server::Server,
    watch::Lines,
};

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";
const WITHIN: Duration = Duration::from_secs(30);

/// A watch in progress.
struct Watch(Lines);

impl Watch {
    async fn begin(server: &Server, path: &str) -> Self {
        Self(Lines::begin(server, path).await)
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        timeout(WITHIN, self.0.next()).await.expect("an event comes")
    }

    /// The next events as type and name.
    async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("an event");
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            told.push(format!("{} {name}", event["type"].as_str().expect("a type")));
        }
        told
    }
}

fn map(name: &str, value: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": {"v": value}}, "data": {"v": value}})
}

async fn revision(server: &Server, path: &str) -> String {
    let list = server.get(path).await.is(200);
    list["metadata"]["resourceVersion"].as_str().expect("a revision").to_owned()
}

pub async fn a_watch_tells_every_change(server: Server) {
    server.post(NODES, &node("n")).await.is(201);
    let seen = revision(&server, MAPS).await;
    let mut watch = Watch::begin(&server, &format!("{MAPS}?watch=1&resourceVersion={seen}")).await;
    let mut other = Watch::begin(&server, "/api/v1/configmaps?watch=true").await;
    let made = server.post(MAPS, &map("a", "1")).await.is(201);
    server.post("/api/v1/namespaces/other/configmaps", &map("x", "1")).await.is(201);
    server.put(&format!("{MAPS}/a"), &map("a", "2")).await.is(200);
    server.put(&format!("{MAPS}/a"), &map("a", "2")).await.is(200);
    server.delete(&format!("{MAPS}/a")).await.is(200);
    let first = watch.next().await.expect("an event");
    assert_eq!(first, json!({"type": "ADDED", "object": made}), "the object as it is read");
    assert_eq!(watch.told(2).await, ["MODIFIED a", "DELETED a"]);
    assert_eq!(other.told(4).await, ["ADDED a", "ADDED x", "MODIFIED a", "DELETED a"]);
    // The deleted object is as it was, with the revision of its deletion.
    let mut again = Watch::begin(&server, &format!("{MAPS}?watch=1&resourceVersion={seen}&timeoutSeconds=1")).await;
    again.told(2).await;
    let gone = again.next().await.expect("an event");
    assert_eq!(
        (&gone["object"]["data"]["v"], &gone["object"]["metadata"]["resourceVersion"]),
        (&json!("2"), &json!("5"))
    );
    assert_eq!(again.next().await, None, "its time is over");
}

pub async fn a_watch_begins_where_it_is_told(server: Server) {
    for name in ["a", "b"] {
        server.post(MAPS, &map(name, "1")).await.is(201);
    }
    for query in ["watch=1", "watch=1&resourceVersion=0", "watch", "watch=1&resourceVersion="] {
        let mut watch = Watch::begin(&server, &format!("{MAPS}?{query}")).await;
        assert_eq!(watch.told(2).await, ["ADDED a", "ADDED b"], "{query}");
    }
    let query = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let mut now = Watch::begin(&server, &format!("{MAPS}?{query}")).await;
    let mut after = Watch::begin(&server, &format!("{MAPS}?watch=1&resourceVersion=1")).await;
    let mut future = Watch::begin(&server, &format!("{MAPS}?watch=1&resourceVersion=3")).await;
    server.post(MAPS, &map("c", "1")).await.is(201);
    server.post(MAPS, &map("d", "1")).await.is(201);
    assert_eq!(now.told(2).await, ["ADDED c", "ADDED d"]);
    assert_eq!(after.told(3).await, ["ADDED b", "ADDED c", "ADDED d"]);
    assert_eq!(future.told(1).await, ["ADDED d"]);
}

pub async fn the_end_of_the_initial_events_is_marked(server: Server) {
    server.post(MAPS, &map("a", "1")).await.is(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for revision in ["", "&resourceVersion=0", "&resourceVersion=1"] {
        let mut watch = Watch::begin(&server, &format!("{MAPS}?{query}{revision}")).await;
        assert_eq!(watch.told(1).await, ["ADDED a"]);
        let end = watch.next().await.expect("an event");
        let metadata = json!({"resourceVersion": "1", "creationTimestamp": null,
            "annotations": {"k8s.io/initial-events-end": "true"}});
        let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata});
        assert_eq!(end, json!({"type": "BOOKMARK", "object": object}));
    }
    let path = format!("{MAPS}?{query}&resourceVersion=9");
    let status = server.get(&path).await.fails(504, "Timeout");
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    // The last bookmark comes before the end.
    let query = "watch=1&resourceVersion=1&allowWatchBookmarks=true&timeoutSeconds=3";
    let mut watch = Watch::begin(&server, &format!("{MAPS}?{query}")).await;
    let bookmark = watch.next().await.expect("a bookmark");
    assert_eq!(
        (&bookmark["type"], &bookmark["object"]["metadata"]["resourceVersion"]),
        (&json!("BOOKMARK"), &json!("1"))
    );
}

pub async fn pods_enter_and_leave_a_selection(server: Server) {
    server.post(NODES, &node("n")).await.is(201);
    server.post(PODS, &pod("a")).await.is(201);
    let seen = revision(&server, PODS).await;
    let watch =
        async |query: &str| Watch::begin(&server, &format!("{PODS}?watch=1&resourceVersion={seen}&{query}")).await;
    let mut waiting = watch("fieldSelector=spec.nodeName%3D").await;
    let mut on_node = watch("fieldSelector=spec.nodeName%3Dn").await;
    let mut labelled = watch("labelSelector=tier%3Dnew").await;
    server.post(&format!("{PODS}/a/binding"), &json!({"target": {"name": "n"}})).await.is(201);
    let left = waiting.next().await.expect("an event");
    assert_eq!(
        (&left["type"], &left["object"]["spec"]["nodeName"]),
        (&json!("DELETED"), &Value::Null),
        "as it was before"
    );
    let came = on_node.next().await.expect("an event");
    assert_eq!((&came["type"], &came["object"]["spec"]["nodeName"]), (&json!("ADDED"), &json!("n")));
    assert_eq!(came["object"]["metadata"]["resourceVersion"], left["object"]["metadata"]["resourceVersion"]);
    let mut web = server.get(&format!("{PODS}/a")).await.is(200);
    web["metadata"]["labels"] = json!({"tier": "new"});
    server.put(&format!("{PODS}/a"), &web).await.is(200);
    server.delete(&format!("{PODS}/a")).await.is(200);
    assert_eq!(labelled.told(2).await, ["ADDED a", "DELETED a"]);
    assert_eq!(on_node.told(2).await, ["MODIFIED a", "DELETED a"]);
}

pub async fn one_object_is_watched_by_its_name_and_by_the_old_path(server: Server) {
    let seen = revision(&server, MAPS).await;
    let mut watches = Vec::new();
    for path in [
        format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Db&resourceVersion={seen}"),
        format!("/api/v1/watch/namespaces/shop/configmaps/b?resourceVersion={seen}"),
    ] {
        watches.push(Watch::begin(&server, &path).await);
    }
    let mut all = Watch::begin(&server, "/api/v1/watch/namespaces/shop/configmaps").await;
    let mut everywhere = Watch::begin(&server, "/api/v1/watch/configmaps").await;
    let mut sets = Watch::begin(&server, "/apis/apps/v1/watch/namespaces/shop/replicasets?timeoutSeconds=1").await;
    for name in ["a", "b"] {
        server.post(MAPS, &map(name, "1")).await.is(201);
    }
    for watch in &mut watches {
        assert_eq!(watch.told(1).await, ["ADDED b"]);
    }
    for watch in [&mut all, &mut everywhere] {
        assert_eq!(watch.told(2).await, ["ADDED a", "ADDED b"]);
    }
    assert_eq!(sets.next().await, None);
    let path = "/api/v1/watch/namespaces/shop/configmaps/b?fieldSelector=metadata.name%3Da";
    server.get(path).await.fails(400, "BadRequest");
}

pub async fn options_of_watches_are_checked(server: Server) {
    for (query, count) in [
        ("sendInitialEvents=true", 1),
        ("sendInitialEvents=true&resourceVersionMatch=Exact", 2),
        ("resourceVersionMatch=NotOlderThan", 1),
        ("resourceVersion=1&resourceVersionMatch=NotOlderThan", 1),
        ("continue=abc", 1),
    ] {
        let status = server.get(&format!("{MAPS}?watch=1&{query}")).await.fails(422, "Invalid");
        assert_eq!(fields(&status), vec!["resourceVersionMatch"; count], "{query}");
    }
    for query in ["timeoutSeconds=x", "resourceVersion=x", "labelSelector=%3D", "fieldSelector=spec.x%3D1"] {
        server.get(&format!("{MAPS}?watch=1&{query}")).await.fails(400, "BadRequest");
    }
    assert_eq!(server.get(&format!("{MAPS}?watch=False")).await.is(200)["kind"], "ConfigMapList");
    let mut limited = Watch::begin(&server, &format!("{MAPS}?watch=1&limit=5&timeoutSeconds=1")).await;
    assert_eq!(limited.next().await, None);
}

pub async fn each_form_of_an_object_has_its_own_events(server: Server) {
    let pairs = [
        (
            "/api/v1/namespaces/shop/events",
            "/apis/events.k8s.io/v1/namespaces/shop/events",
            ["v1", "events.k8s.io/v1"],
            json!({"message": "m"}),
        ),
        (
            "/apis/policy/v1/namespaces/shop/poddisruptionbudgets",
            "/apis/policy/v1beta1/namespaces/shop/poddisruptionbudgets",
            ["policy/v1", "policy/v1beta1"],
            json!({"spec": {"selector": {"matchLabels": {"app": "web"}}}}),
        ),
    ];
    for (stored, other, versions, mut object) in pairs {
        object["metadata"] = json!({"name": "e"});
        server.post(stored, &object).await.is(201);
        let seen = revision(&server, stored).await;
        let mut watches = Vec::new();
        // Events are encoded once for all watches of a form, whichever comes first.
        for path in [stored, other, stored, other] {
            watches.push(Watch::begin(&server, &format!("{path}?watch=1&resourceVersion={seen}")).await);
        }
        server.delete(&format!("{stored}/e")).await.is(200);
        for (watch, version) in watches.iter_mut().zip(versions.into_iter().cycle()) {
            let event = watch.next().await.expect("an event");
            assert_eq!(event["object"]["apiVersion"], version, "{event}");
        }
    }
}

pub async fn other_replicas_are_watched(one: Server) {
    let other = Server::replica(one.state.store.clone());
    one.post(MAPS, &map("a", "1")).await.is(201);
    let seen = revision(&other, MAPS).await;
    let mut watch = Watch::begin(&other, &format!("{MAPS}?watch=1&resourceVersion={seen}")).await;
    one.post(MAPS, &map("b", "1")).await.is(201);
    assert_eq!(watch.told(1).await, ["ADDED b"]);
    one.delete(&format!("{MAPS}/a")).await.is(200);
    assert_eq!(watch.told(1).await, ["DELETED a"]);
    // A state that is as new as the store's, wherever it was written.
    one.post(MAPS, &map("c", "1")).await.is(201);
    let mut newest = Watch::begin(&other, &format!("{MAPS}?watch=1")).await;
    assert_eq!(newest.told(2).await, ["ADDED b", "ADDED c"]);
    // A client goes on at the replica that is left.
    let mut moved =
        Watch::begin(&one, &format!("{MAPS}?watch=1&resourceVersion={seen}&fieldSelector=metadata.name!%3Da")).await;
    assert_eq!(moved.told(2).await, ["ADDED b", "ADDED c"]);
}
