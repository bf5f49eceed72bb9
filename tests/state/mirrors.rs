//! Clusters that mirror live ones: nobody writes their objects over HTTP, binds are refused on mirrors that are too old, and jobs leave them alone.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use jiff::Timestamp;
use podberth::{
    api::published::DOCUMENTS,
    commands::archive,
    live::upkeep::Job,
    service::lifecycle::{Turns, events::ExpireEvents},
    store::{Atomicity, Change, Key, Precondition, Restore, Storage, Write},
    wire::{
        kinds,
        source::{KindStatus, SyncStatus},
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    objects::{NODES, node, pod},
    server::{Reply, Server, Setup, memory},
};

const SOURCE: &str = "/etc/podberth/prod.kubeconfig";

/// Makes `prod` a mirror of a live cluster, which nobody reaches here.
async fn mirror(server: &Server, more: Value) -> Reply {
    let mut source = json!({"kubeconfigFile": SOURCE});
    source.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    server.put("/clusters/prod", json!({"source": source})).await
}

/// Writes objects as the mirror does, behind every rule.
async fn mirrored(store: &Arc<dyn Storage>, objects: &[(String, Value)]) {
    let write = |(kind, object): &(String, Value)| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let change = Change::Put { body: object.to_string().into(), uid: text("/metadata/uid"), node: None };
        let key = Key::new(&**kind, text("/metadata/namespace"), text("/metadata/name"));
        Write { key, precondition: Precondition::default(), change }
    };
    let writes = objects.iter().map(write).collect();
    store.commit("prod", writes, Atomicity::AllOrNothing).await.expect("the store writes");
}

async fn head(server: &Server) -> u64 {
    server.state.store.head("prod").await.expect("a head").revision
}

/// Waits until the server shows what was written behind it.
async fn shown(server: &Server) {
    let head = head(server).await;
    let cluster = server.state.clusters.get("prod").await.expect("the cluster loads");
    assert!(cluster.reached(head, Duration::from_secs(30)).await);
}

fn status(as_of: Option<Timestamp>) -> SyncStatus {
    let kind = KindStatus { as_of, source_version: "7".into(), objects: 2, relists: 1, trouble: None };
    SyncStatus { kinds: [("pods".to_owned(), kind)].into(), ..SyncStatus::default() }
}

fn seconds_ago(seconds: i64) -> Timestamp {
    let now = podberth::clock::now();
    now.checked_sub(jiff::SignedDuration::from_secs(seconds)).expect("an instant")
}

async fn send(server: &Server, method: &str, path: &str, media_type: &str, body: &Value) -> Reply {
    let request = Request::builder().method(method).uri(path).header("content-type", media_type);
    server.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

/// Paths at which something may be written in a mirrored cluster: it is Podberth's own, or a bind.
const OPEN: [&str; 22] = [
    "/filter",
    "/prioritize",
    "/preempt",
    "/explain",
    "/simulate",
    "/placements",
    "/autoscale/",
    "/reschedule",
    // Metrics are no objects.
    "/apis/custom.metrics.k8s.io/",
    "/apis/external.metrics.k8s.io/",
    "/apis/metrics.k8s.io/",
    "/replay",
    "/forks",
    "/bind",
    "/reservations",
    "/polic",
    "/clusters",
    "/tokens",
    "/apis/authorization.k8s.io/",
    "/apis/authentication.k8s.io/",
    "/apis/rbac.authorization.k8s.io/",
    "/apis/podberth.io/",
];

fn is_open(path: &str) -> bool {
    OPEN.iter().any(|open| path.starts_with(open)) || path.ends_with("/binding") || path.ends_with("/bindings")
}

#[tokio::test]
async fn every_route_that_writes_objects_refuses_a_mirrored_cluster() {
    for setup in [Setup::strict(), Setup::default()] {
        let server = Server::start(memory(&[]).await, setup);
        mirror(&server, json!({})).await.is(201);
        let named = |kind: &kinds::StoredKind| {
            let mut metadata = json!({"name": "name", "uid": "u", "creationTimestamp": "2026-01-02T15:04:05Z"});
            if kind.namespaced {
                metadata["namespace"] = "ns".into();
            }
            (kind.key(), json!({"metadata": metadata}))
        };
        let stored: Vec<_> = kinds::shared().filter(|kind| kind.is_stored_form()).map(named).collect();
        mirrored(&server.state.store, &stored).await;
        shown(&server).await;
        server.state.sources.tell("prod", status(Some(seconds_ago(1))));
        let before = head(&server).await;

        let paths = DOCUMENTS.v3_1["paths"].as_object().expect("paths");
        let mut refused = 0;
        for (path, item) in paths {
            let filled = path.replace("{namespace}", "ns").replace("{name}", "name").replace(['{', '}'], "");
            for method in ["put", "post", "delete", "patch"].into_iter().filter(|method| item.get(*method).is_some()) {
                if is_open(path) {
                    continue;
                }
                let body = match path.as_str() {
                    "/schedule" => json!({"pods": [pod("new")]}),
                    "/import" => json!({"kind": "List", "apiVersion": "v1", "items": [node("a")]}),
                    _ => json!({"metadata": {"name": "name", "labels": {"changed": "yes"}}}),
                };
                let media_type = if method == "patch" { "application/merge-patch+json" } else { "application/json" };
                let url = format!("/clusters/prod{filled}");
                let reply = send(&server, &method.to_uppercase(), &url, media_type, &body).await;
                assert_eq!(reply.code, 405, "{method} {url}: {}", reply.text());
                let message = reply.refusal(405);
                assert!(message.contains(SOURCE) && message.contains("PUT /clusters/prod"), "{message}");
                assert_eq!(reply.header("allow"), Some("GET, HEAD"));
                refused += 1;
            }
        }
        assert!(refused > 200, "{refused}");
        assert_eq!(head(&server).await, before, "nothing was written");
        server.post(NODES, &node("a")).await.is(201);
    }
}

#[tokio::test]
async fn own_annotations_of_mirrored_objects_can_be_written() {
    let server = Server::start(memory(&[]).await, Setup::strict());
    mirror(&server, json!({})).await.is(201);
    let object = json!({
        "metadata": {"name": "a", "uid": "u", "annotations": {"team": "x"}, "creationTimestamp": "2026-01-02T15:04:05Z"},
        "spec": {"unknown": {"to": "us"}}, "status": {"allocatable": {"cpu": "4", "pods": "10"}},
    });
    mirrored(&server.state.store, &[("nodes".into(), object)]).await;
    shown(&server).await;
    let path = format!("/clusters/prod{NODES}/a");
    let patches = [
        ("merge-patch+json", json!({"metadata": {"annotations": {"podberth.io/a": "1"}}})),
        ("strategic-merge-patch+json", json!({"metadata": {"annotations": {"podberth.io/b": "2"}}})),
        ("json-patch+json", json!([{"op": "add", "path": "/metadata/annotations/podberth.io~1c", "value": "3"}])),
        (
            "apply-patch+yaml?fieldManager=me",
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "annotations": {"podberth.io/d": "4"}}}),
        ),
    ];
    for (media_type, body) in &patches {
        let (media_type, query) = media_type.split_once('?').unwrap_or((media_type, ""));
        let tried = format!("{path}?dryRun=All&{query}");
        send(&server, "PATCH", &tried, &format!("application/{media_type}"), body).await.is(200);
        send(&server, "PATCH", &format!("{path}?{query}"), &format!("application/{media_type}"), body).await.is(200);
    }
    let mut got = server.get(&path).await.is(200);
    let annotations =
        json!({"team": "x", "podberth.io/a": "1", "podberth.io/b": "2", "podberth.io/c": "3", "podberth.io/d": "4"});
    assert_eq!(got["metadata"]["annotations"], annotations);
    assert_eq!((&got["spec"], &got["metadata"]["managedFields"]), (&json!({"unknown": {"to": "us"}}), &Value::Null));

    got["metadata"]["annotations"] = json!({"team": "x", "podberth.io/a": "5"});
    server.put(&path, &got).await.is(200);
    server.put(&path, &got).await.fails(409, "Conflict");
    let got = server.get(&path).await.is(200);
    assert_eq!(got["metadata"]["annotations"], json!({"team": "x", "podberth.io/a": "5"}), "a PUT takes them away too");

    for (what, body) in [
        ("another annotation", json!({"metadata": {"annotations": {"team": "y"}}})),
        ("both", json!({"metadata": {"annotations": {"podberth.io/a": "6", "podberth.iox": "1"}}})),
        ("a taint", json!({"metadata": {"annotations": {"podberth.io/a": "6"}}, "spec": {"unschedulable": true}})),
        ("a finalizer", json!({"metadata": {"finalizers": ["podberth.io/a"]}})),
    ] {
        let reply = send(&server, "PATCH", &path, "application/merge-patch+json", &body).await;
        assert_eq!(reply.code, 405, "{what}: {}", reply.text());
    }
    let long = json!({"metadata": {"annotations": {"podberth.io/a": "x".repeat(300 << 10)}}});
    send(&server, "PATCH", &path, "application/merge-patch+json", &long).await.fails(422, "Invalid");
    let absent = format!("/clusters/prod{NODES}/b");
    send(&server, "PATCH", &absent, "application/merge-patch+json", &patches[0].1).await.fails(404, "NotFound");
    let mut made = patches[3].1.clone();
    made["metadata"]["name"] = "b".into();
    let absent = format!("{absent}?fieldManager=me");
    send(&server, "PATCH", &absent, "application/apply-patch+yaml", &made).await.fails(405, "MethodNotAllowed");
}

#[tokio::test]
async fn binds_policies_reservations_and_roles_of_mirrors_are_written() {
    let server = Server::start(memory(&[]).await, Setup::strict());
    mirror(&server, json!({})).await.is(201);
    let with_uid = |mut object: Value, uid: &str| {
        object["metadata"]["uid"] = uid.into();
        object["metadata"]["namespace"] = "default".into();
        object
    };
    let mut a = node("a");
    a["metadata"]["uid"] = "n".into();
    let objects =
        [("nodes".into(), a), ("pods".into(), with_uid(pod("p"), "p")), ("pods".into(), with_uid(pod("q"), "q"))];
    mirrored(&server.state.store, &objects).await;
    shown(&server).await;
    server.state.sources.tell("prod", status(Some(seconds_ago(1))));
    let bind = json!({"PodName": "p", "PodNamespace": "default", "PodUID": "p", "Node": "a"});
    assert_eq!(server.post("/clusters/prod/bind", &bind).await.is(200)["Error"], "");
    server.put("/clusters/prod/reservations/default/q", json!({"node": "a"})).await.is(200);
    server.delete("/clusters/prod/reservations/default/q").await.is(200);
    let binding = json!({"metadata": {"name": "q"}, "target": {"name": "a"}});
    server.post("/clusters/prod/api/v1/namespaces/default/pods/q/binding", &binding).await.is(201);
    server.put("/clusters/prod/policy", json!({"kind": "Policy", "apiVersion": "v1"})).await.is(200);
    let role = json!({"metadata": {"name": "mine"}, "rules": []});
    let roles = "/clusters/prod/apis/rbac.authorization.k8s.io/v1/clusterroles";
    server.post(roles, &role).await.is(201);
    server.delete(&format!("{roles}/mine")).await.is(200);
    let scheduled = json!({"podNames": ["default/p"]});
    server.post("/clusters/prod/schedule", &scheduled).await.is(200);
}

#[tokio::test]
async fn sources_are_set_shown_and_removed() {
    let server = Server::start(memory(&[]).await, Setup::strict());
    server.get("/clusters/prod").await.fails(404, "NotFound");
    server.put("/clusters/prod", json!({})).await.fails(400, "BadRequest");
    server.put("/clusters/prod", json!({"source": null, "x": 1})).await.fails(400, "BadRequest");
    server.put("/clusters/prod", json!({"source": {"kubeConfig": "x"}})).await.fails(400, "BadRequest");
    server.put("/clusters/podberth-system", json!({"source": {"inCluster": true}})).await.fails(400, "BadRequest");
    server.put("/clusters/Prod", json!({"source": null})).await.fails(400, "BadRequest");
    let wrong = server.put("/clusters/prod", json!({"source": {"kubeconfigFile": "a", "kinds": ["secrets"]}})).await;
    let fields: Vec<Value> = wrong.fails(422, "Invalid")["details"]["causes"]
        .as_array()
        .expect("causes")
        .iter()
        .map(|c| c["field"].clone())
        .collect();
    assert_eq!(fields, ["source.kubeconfigFile", "source.kinds[0]"]);

    let tried = server.put("/clusters/prod?dryRun=All", json!({"source": {"inCluster": true}})).await.is(201);
    assert_eq!(tried["source"]["inCluster"], true);
    server.get("/clusters/prod").await.fails(404, "NotFound");
    let made = mirror(&server, json!({"context": "prod"})).await.is(201);
    assert_eq!((&made["name"], &made["source"]["kubeconfigFile"]), (&json!("prod"), &json!(SOURCE)));
    let before = head(&server).await;
    mirror(&server, json!({"context": "prod"})).await.is(200);
    assert_eq!(head(&server).await, before, "an equal source is not written again");

    server.state.sources.tell("prod", status(Some(seconds_ago(5))));
    let shown = server.get("/clusters/prod").await.is(200);
    assert_eq!((&shown["sync"]["kinds"]["pods"]["objects"], &shown["sync"]["isStale"]), (&json!(2), &json!(false)));
    assert!(shown["sync"]["lagSeconds"].as_u64().is_some_and(|lag| (5..60).contains(&lag)), "{shown}");
    let listed = server.get("/clusters").await.is(200);
    let prod =
        listed["items"].as_array().expect("items").iter().find(|item| item["name"] == "prod").expect("it is listed");
    assert_eq!(prod["source"], format!("context prod of {SOURCE}"));
    assert!(prod["lagSeconds"].is_u64());

    mirrored(&server.state.store, &[("nodes".into(), json!({"metadata": {"name": "a", "uid": "u"}}))]).await;
    let ended = server.put("/clusters/prod", json!({"source": null})).await.is(200);
    assert_eq!((&ended["source"], &ended["sync"]), (&Value::Null, &Value::Null));
    server.get(&format!("/clusters/prod{NODES}/a")).await.is(200);
    server.post(&format!("/clusters/prod{NODES}"), &node("b")).await.is(201);
    server.delete("/clusters/prod").await.is(200);

    server.put("/clusters/empty", json!({"source": null})).await.is(201);
    assert_eq!(server.get("/clusters/empty").await.is(200)["source"], Value::Null);
    server.put("/clusters/empty", json!({"source": null})).await.is(200);
    server.post(&format!("/clusters/empty{NODES}"), &node("b")).await.is(201);
}

#[tokio::test]
async fn stale_mirrors_decide_nothing() {
    let server = Server::start(memory(&[]).await, Setup::default());
    mirror(&server, json!({})).await.is(201);
    let mut waiting = pod("p");
    waiting["metadata"]["namespace"] = "default".into();
    waiting["metadata"]["uid"] = "p".into();
    mirrored(&server.state.store, &[("nodes".into(), node("a")), ("pods".into(), waiting.clone())]).await;
    shown(&server).await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"name": "a"}});
    let decisions = [
        ("/filter", json!({"Pod": waiting, "NodeNames": ["a"]})),
        ("/prioritize", json!({"Pod": waiting, "NodeNames": ["a"]})),
        ("/preempt", json!({"Pod": waiting, "NodeNameToMetaVictims": {"a": {"Pods": [{"UID": "p"}]}}})),
        ("/bind", json!({"PodName": "p", "PodNamespace": "default", "PodUID": "p", "Node": "a"})),
        ("/schedule", json!({"podNames": ["default/p"]})),
        ("/api/v1/namespaces/default/pods/p/binding", binding),
    ];
    let explain = json!({"podName": "default/p"});
    server.state.sources.limit_lag(Duration::from_mins(1));
    for (as_of, told) in [(Some(seconds_ago(100)), "--max-sync-lag"), (None, "not whole yet")] {
        server.state.sources.tell("prod", status(as_of));
        for (path, body) in &decisions {
            let reply = server.post(&format!("/clusters/prod{path}"), body).await;
            let message = reply.refusal(503);
            assert!(message.contains(told), "{path}: {message}");
            assert!(reply.header("retry-after").is_some(), "{path}");
        }
        let reply = server.post("/clusters/prod/explain", &explain).await;
        let explained = reply.is(200);
        assert_eq!((&explained["source"]["cluster"], &explained["source"]["isStale"]), (&json!("prod"), &json!(true)));
        assert!(reply.header("warning").is_some_and(|warning| warning.contains(told)));
        let listed = server.get(&format!("/clusters/prod{NODES}")).await;
        listed.is(200);
        assert!(listed.header("warning").is_some());
        assert_eq!(listed.header("x-podberth-source-as-of").is_some(), as_of.is_some());
        let tried = json!({"podNames": ["default/p"], "dryRun": true});
        // Before the mirror is whole not even a trial is made.
        server.post("/clusters/prod/schedule", &tried).await.is(if as_of.is_some() { 200 } else { 503 });
    }
    server.state.sources.tell("prod", status(Some(seconds_ago(3))));
    let reply = server.post("/clusters/prod/explain", &explain).await;
    let explained = reply.is(200);
    assert!(
        explained["source"]["asOf"].is_string() && explained["source"]["isStale"].is_null(),
        "{}",
        explained["source"]
    );
    assert!(reply.header("warning").is_none());
    let lag: u64 = reply.header("x-podberth-source-lag").and_then(|lag| lag.parse().ok()).expect("a lag");
    assert!((3..60).contains(&lag));
    let brought = json!({"pod": pod("x"), "cluster": {"nodes": [node("a")]}});
    assert!(server.post("/clusters/prod/explain", &brought).await.is(200)["source"].is_null());
    for (path, body) in decisions.iter().take(3) {
        server.post(&format!("/clusters/prod{path}"), body).await.is(200);
    }
    assert_eq!(
        server.post("/clusters/prod/schedule", &decisions[4].1).await.is(200)["summary"]["source"]["cluster"],
        "prod"
    );
    assert!(server.get(NODES).await.header("x-podberth-source-lag").is_none(), "another cluster");
}

#[tokio::test]
async fn jobs_leave_mirrors_alone() {
    let server = Server::start(memory(&[]).await, Setup::strict());
    mirror(&server, json!({})).await.is(201);
    let event = json!({"metadata": {"name": "old", "namespace": "default", "uid": "e", "creationTimestamp": "2020-01-01T00:00:00Z"}});
    let terminating = json!({"metadata": {"name": "ns", "uid": "ns", "deletionTimestamp": "2020-01-01T00:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}});
    let objects = [("events".into(), event), ("namespaces".into(), terminating)];
    mirrored(&server.state.store, &objects).await;
    let before = head(&server).await;
    let store: Arc<dyn Storage> = server.state.store.clone();
    let mut turns = Turns::new(&store, Uuid::from_u128(1));
    for _ in 0..3 {
        turns.turn().await.expect("a turn");
    }
    let clusters = server.state.clusters.clone();
    let job = ExpireEvents { every: Duration::from_secs(1), keep: Duration::from_secs(1), clusters };
    job.run(&*store).await.expect("a run");
    assert_eq!(head(&server).await, before);

    server.put("/clusters/prod", json!({"source": null})).await.is(200);
    for _ in 0..3 {
        turns.turn().await.expect("a turn");
    }
    server.get("/clusters/prod/api/v1/namespaces/ns").await.fails(404, "NotFound");
    job.run(&*store).await.expect("a run");
    server.get("/clusters/prod/api/v1/namespaces/default/events/old").await.fails(404, "NotFound");
}

#[tokio::test]
async fn a_copy_of_a_mirror_mirrors_nothing() {
    let server = Server::start(memory(&[]).await, Setup::default());
    mirror(&server, json!({})).await.is(201);
    mirrored(&server.state.store, &[("nodes".into(), json!({"metadata": {"name": "a", "uid": "u"}}))]).await;
    let mut exported = Vec::new();
    archive::export(&*server.state.store, "prod", &mut exported).await.expect("an export");
    let again = Restore { replace: true, skip: 0 };
    let refused = archive::import(&*server.state.store, &mut &*exported, None, again).await.expect_err("a refusal");
    assert!(refused.to_string().contains("PUT /clusters/prod"), "{refused}");

    let copy = Server::start(memory(&[]).await, Setup::default());
    let done = archive::import(&*copy.state.store, &mut &*exported, None, Restore::default()).await;
    let done = done.expect("an import").expect("a cluster");
    assert_eq!(done.sources, [""; 0], "the source is in the Cluster object");
    let mut objects = Vec::new();
    archive::export(&*server.state.store, "podberth-system", &mut objects).await.expect("an export");
    let done = archive::import(&*copy.state.store, &mut &*objects, None, again).await;
    assert_eq!(done.expect("an import").expect("a cluster").sources, [format!("prod: {SOURCE}")]);
    let object = copy.get("/apis/podberth.io/v1/clusters/prod").await.is(200);
    assert_eq!(object.pointer("/spec/source"), None);
    copy.get(&format!("/clusters/prod{NODES}/a")).await.is(200);
    assert_eq!(copy.get("/clusters/prod").await.is(200)["source"], Value::Null);
}
