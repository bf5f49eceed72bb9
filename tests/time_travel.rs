//! The past over HTTP: reads, lists and decisions of a revision.

#[path = "support/server.rs"]
mod server;

use std::{sync::Arc, time::Duration};

use podberth::store::{self, Atomicity, Change, Keep, Key, Options, Precondition, Storage, Write};
use serde_json::{Value, json};
use server::{Server, Setup};

async fn database(history: Option<Duration>) -> Arc<dyn Storage> {
    let options = Options { history, ..Options::default() };
    let store = store::open("sqlite::memory:", &options).await.expect("an empty database opens");
    store.migrate().await.expect("and migrates");
    store
}

async fn server() -> (Arc<dyn Storage>, Server) {
    let store = database(Some(Duration::from_hours(1))).await;
    (store.clone(), Server::start(store, Setup::default()))
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "web", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a resource version")
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().expect("items").iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

/// Three pods, of which one is bound, one changed and one deleted later; the revision before that.
async fn history(server: &Server) -> u64 {
    server.post("/api/v1/nodes", node("a", "4")).await.is(201);
    for name in ["bound", "changed", "deleted"] {
        server.post("/api/v1/namespaces/default/pods", pod(name, "1")).await.is(201);
    }
    let before = revision(&server.get("/api/v1/pods").await.json());
    let binding = json!({"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "a"}});
    server.post("/api/v1/namespaces/default/pods/bound/binding", binding).await.is(201);
    let mut changed = server.get("/api/v1/namespaces/default/pods/changed").await.json();
    changed["metadata"]["labels"]["app"] = json!("other");
    server.put("/api/v1/namespaces/default/pods/changed", changed).await.json();
    assert_eq!(server.delete("/api/v1/namespaces/default/pods/deleted?gracePeriodSeconds=0").await.code, 200);
    server.post("/api/v1/namespaces/default/pods", pod("new", "1")).await.is(201);
    before
}

#[tokio::test]
async fn reads_and_lists_are_as_they_were_at_the_revision() {
    let (_, server) = server().await;
    let before = history(&server).await;
    let of = |path: &str| format!("/api/v1/namespaces/default/{path}revision={before}");
    let bound = server.get(&of("pods/bound?")).await.json();
    assert_eq!(bound["spec"]["nodeName"], Value::Null);
    assert_eq!(server.get("/api/v1/namespaces/default/pods/bound").await.json()["spec"]["nodeName"], "a");
    assert_eq!(server.get(&of("pods/changed/status?")).await.json()["metadata"]["labels"]["app"], "changed");
    assert_eq!(server.get(&of("pods/deleted?")).await.code, 200);
    server.get(&of("pods/new?")).await.fails(404, "NotFound");

    let list = server.get(&of("pods?")).await.json();
    assert_eq!((names(&list), revision(&list)), (vec!["bound", "changed", "deleted"], before));
    assert_eq!(names(&server.get(&of("pods?labelSelector=app%3Dchanged&")).await.json()), ["changed"]);
    assert_eq!(names(&server.get(&of("pods?fieldSelector=spec.nodeName%3Da&")).await.json()), [""; 0]);
    // The token tells the revision by itself, and does not take another one.
    let page = server.get(&of("pods?limit=2&")).await.json();
    assert_eq!((names(&page), &page["metadata"]["remainingItemCount"]), (vec!["bound", "changed"], &json!(1)));
    let token = page["metadata"]["continue"].as_str().expect("a further page");
    for query in [format!("continue={token}"), format!("continue={token}&revision={before}")] {
        let rest = server.get(&format!("/api/v1/namespaces/default/pods?{query}")).await.json();
        assert_eq!((names(&rest), revision(&rest)), (vec!["deleted"], before));
    }
    let other = format!("/api/v1/namespaces/default/pods?continue={token}&revision={}", before - 1);
    server.get(&other).await.fails(400, "BadRequest");
    let table = ("accept", "application/json;as=Table;g=meta.k8s.io;v=v1");
    let table = server.ask("GET", &of("pods?"), table, "").await.json();
    assert_eq!((&table["kind"], table["rows"].as_array().map(Vec::len)), (&json!("Table"), Some(3)));
}

#[tokio::test]
async fn decisions_are_made_on_the_state_of_the_revision() {
    let (_, server) = server().await;
    server.post("/api/v1/nodes", node("a", "1")).await.is(201);
    let small = revision(&server.get("/api/v1/nodes").await.json());
    let packing = json!({"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "HostName"}], "priorities": []});
    assert_eq!(server.put("/policy", packing).await.code, 200);
    let question = json!({"pod": pod("p", "2")});
    let now = server.post("/explain", &question).await.json();
    assert_eq!(now["selected"], "a", "{now}");
    let then = server.post(&format!("/explain?revision={small}"), &question).await;
    assert_eq!(then.header("x-podberth-snapshot-revision"), Some(small.to_string().as_str()));
    let then = then.json();
    assert_eq!((&then["selected"], &then["snapshotRevision"]), (&Value::Null, &json!(small)), "{then}");
    assert_eq!(then["policy"]["revision"], 0, "the policy of then");
    let body = json!({"pod": pod("p", "2"), "revision": small});
    assert_eq!(server.post("/explain", &body).await.json(), then);
    server.post(&format!("/explain?revision={small}"), &body).await.fails(400, "BadRequest");

    let steps = json!({"revision": small, "steps": [{"addPods": {"pods": [pod("p", "2")]}}]});
    let report = server.post("/simulate", &steps).await.json();
    assert_eq!((&report["revision"], &report["steps"][0]["placements"]), (&json!(small), &json!([])), "{report}");
}

#[tokio::test]
async fn revision_that_is_gone_is_answered_with_those_that_are_left() {
    let store = database(Some(Duration::ZERO)).await;
    let server = Server::start(store.clone(), Setup::default());
    let before = history(&server).await;
    store.compact("default", &Keep { age: Duration::ZERO, revisions: 0 }).await.expect("compaction succeeds");
    server.post("/api/v1/nodes", node("b", "1")).await.is(201);
    let head = revision(&server.get("/api/v1/nodes").await.json());
    let query = format!("revision={before}");
    let mut messages = Vec::new();
    for path in ["/api/v1/pods", "/api/v1/namespaces/default/pods/bound"] {
        messages.push(server.get(&format!("{path}?{query}")).await.fails(410, "Expired")["message"].clone());
    }
    for path in ["/explain", "/simulate"] {
        let body = if path == "/explain" { json!({"pod": pod("p", "1")}) } else { json!({}) };
        messages.push(server.post(&format!("{path}?{query}"), body).await.fails(410, "Expired")["message"].clone());
    }
    for message in messages {
        let message = message.as_str().expect("a message");
        assert!(message.contains(&format!("from {} to {head} are left", head - 1)), "{message}");
        assert!(message.contains("--history-retention"), "{message}");
    }
}

#[tokio::test]
async fn without_history_the_newest_revision_is_left() {
    let server = Server::start(database(None).await, Setup::default());
    let before = history(&server).await;
    let head = revision(&server.get("/api/v1/nodes").await.json());
    let gone = server.get(&format!("/api/v1/pods?revision={before}")).await.fails(410, "Expired");
    let message = gone["message"].as_str().expect("a message");
    assert!(message.contains(&format!("only the newest one, {head}, is left")), "{message}");
    assert_eq!(names(&server.get(&format!("/api/v1/pods?revision={head}")).await.json()).len(), 3);
}

#[tokio::test]
async fn revision_to_come_and_nonsense_are_refused() {
    let (_, server) = server().await;
    history(&server).await;
    server.get("/api/v1/pods?revision=99").await.fails(504, "Timeout");
    server.get("/api/v1/nodes/a?revision=99").await.fails(504, "Timeout");
    server.post("/explain?revision=99", json!({"pod": pod("p", "1")})).await.fails(504, "Timeout");
    for query in [
        "revision=x",
        "revision=-1",
        "at=noon",
        "revision=3&resourceVersion=3",
        "revision=3&at=2026-01-02T15:04:05Z",
        "at=2999-01-02T15:04:05Z",
    ] {
        server.get(&format!("/api/v1/pods?{query}")).await.fails(400, "BadRequest");
    }
    server.get("/api/v1/pods?watch=true&revision=3").await.fails(400, "BadRequest");
    server.get("/api/v1/pods?at=1999-01-02T15:04:05Z").await.fails(410, "Expired");
}

#[tokio::test]
async fn time_stands_for_the_newest_revision_of_then() {
    let (_, server) = server().await;
    history(&server).await;
    let head = revision(&server.get("/api/v1/pods").await.json());
    let list = server.get(&format!("/api/v1/pods?at={}", podberth::clock::now())).await.json();
    assert_eq!(revision(&list), head);
    let explanation =
        server.post(&format!("/explain?at={}", podberth::clock::now()), json!({"pod": pod("p", "1")})).await;
    assert_eq!(explanation.json()["snapshotRevision"], head);
}

#[tokio::test]
async fn pages_of_a_revision_within_a_batch_go_on() {
    let (store, server) = server().await;
    let before = history(&server).await;
    let before = before + 4;
    let write = |name: &str| {
        let change = Change::Put { body: pod(name, "1").to_string().into(), uid: name.to_owned(), node: None };
        Write { key: Key::new("pods", "default", name), precondition: Precondition::default(), change }
    };
    let batch = vec![write("x"), write("y"), write("z")];
    store.commit("default", batch, Atomicity::AllOrNothing).await.expect("the store writes");
    let within = format!("/api/v1/pods?limit=2&revision={}", before + 2);
    let first = server.get(&within).await.json();
    assert_eq!((names(&first), revision(&first)), (vec!["bound", "changed"], before));
    let token = first["metadata"]["continue"].as_str().expect("a further page");
    let second = server.get(&format!("{within}&continue={token}")).await.json();
    assert_eq!((names(&second), revision(&second)), (vec!["new"], before));
    let other = format!("/api/v1/pods?limit=2&continue={token}&revision={}", before + 3);
    server.get(&other).await.fails(400, "BadRequest");
}

#[tokio::test]
async fn revision_of_a_body_counts_however_it_is_written() {
    let (_, server) = server().await;
    let before = history(&server).await;
    let pod = pod("p", "1").to_string();
    let question = |fields: &str| format!(r#"{{"pod": {pod}, {fields}}}"#);
    for field in [format!(r#""revision": {before}"#), format!(r#""r\u0065vision": {before}"#)] {
        let report = server.post("/explain", question(&field)).await.json();
        assert_eq!(report["snapshotRevision"], before, "{field}");
    }
    for (path, body, part) in [
        ("/explain", question(r#""revision": 1, "revision": 2"#), "twice"),
        ("/explain", question(r#""revision": 1, "r\u0065vision": 2"#), "twice"),
        ("/explain", question(r#""revision": 1, "cluster": {}"#), "exclude each other"),
        ("/explain?revision=1", question(r#""cluster": {}"#), "exclude each other"),
        ("/explain?at=2026-01-01T00:00:00Z", question(r#""cluster": {}"#), "exclude each other"),
        ("/simulate", r#"{"revision": 1, "on": {"nodes": []}}"#.to_owned(), "exclude each other"),
        ("/simulate?revision=1", r#"{"on": {"nodes": []}}"#.to_owned(), "exclude each other"),
        ("/explain?revision=1&revision=2", question(r#""seed": 1"#), "twice"),
    ] {
        let refusal = server.post(path, body.clone()).await.refusal(400);
        assert!(refusal.contains(part), "{path} {body}: {refusal}");
    }
    let of_stored = format!(r#"{{"revision": {before}, "on": "cluster"}}"#);
    assert_eq!(server.post("/simulate", of_stored).await.json()["revision"], before);
    let without = question(r#""revision": null, "cluster": {}"#);
    assert_eq!(server.post("/explain", without).await.json()["snapshotRevision"], 0);
    server.get("/api/v1/pods?revision=3&revision=4").await.fails(400, "BadRequest");
}

#[tokio::test]
async fn writes_are_of_the_present_alone() {
    let (_, server) = server().await;
    history(&server).await;
    let before = server.get("/api/v1/pods").await.json();
    let pods = "/api/v1/namespaces/default/pods";
    for query in ["revision=3", "at=2026-01-02T15:04:05Z", "revisio%6e=3"] {
        for path in [pods.to_owned(), format!("{pods}/new"), "/api/v1/nodes/a".into()] {
            let refusal = server.delete(&format!("{path}?{query}")).await.refusal(400);
            assert!(refusal.contains("reads alone"), "{refusal}");
        }
        server.post(&format!("{pods}?{query}"), pod("late", "1")).await.fails(400, "BadRequest");
    }
    assert_eq!(server.get("/api/v1/pods").await.json(), before);
}
