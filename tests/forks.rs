//! Forks over HTTP: work on a copy of a cluster, compared with what it began with.

#[path = "support/server.rs"]
mod server;

use std::{sync::Arc, time::Duration};

use podberth::{
    live::fork,
    store::{self, Atomicity, Change, Commit, Keep, Key, Options, Precondition, Storage, StoreError, Write},
    wire,
};
use serde_json::{Value, json};
use server::{Server, Setup};

const PODS: &str = "/api/v1/namespaces/default/pods";

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

async fn bind(server: &Server, prefix: &str, name: &str, node: &str) {
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
    server.post(&format!("{prefix}{PODS}/{name}/binding"), binding).await.is(201);
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().expect("items").iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

async fn listed(server: &Server, path: &str) -> Vec<String> {
    names(&server.get(path).await.json()).into_iter().map(str::to_owned).collect()
}

/// One node, and the pods `a` (bound), `b`, `c` and `d`.
async fn shop(server: &Server) {
    server.post("/api/v1/nodes", node("small", "1")).await.is(201);
    for name in ["a", "b", "c", "d"] {
        server.post(PODS, pod(name, "1")).await.is(201);
    }
    bind(server, "", "a", "small").await;
}

async fn make(server: &Server, request: Value) -> Value {
    server.post("/forks", request).await.is(201)
}

#[tokio::test]
async fn work_on_a_fork_leaves_its_base_as_it_is_and_the_reverse() {
    let (_, server) = server().await;
    shop(&server).await;
    let before = server.get(PODS).await.json();
    let fork = make(&server, json!({"name": "try"})).await;
    assert_eq!((&fork["path"], &fork["cluster"]), (&json!("/forks/try"), &json!("default")));
    let in_fork = |path: &str| format!("/forks/try{path}");
    assert_eq!(names(&server.get(&in_fork(PODS)).await.json()), ["a", "b", "c", "d"]);

    // Decisions see what the base had, and what was changed since.
    let question = json!({"podName": "default/b"});
    assert_eq!(server.post(&in_fork("/explain"), &question).await.json()["selected"], Value::Null);
    server.post(&in_fork("/api/v1/nodes"), node("large", "8")).await.is(201);
    assert_eq!(server.post(&in_fork("/explain"), &question).await.json()["selected"], "large");
    bind(&server, "/forks/try", "b", "large").await;
    let mut changed = server.get(&in_fork(&format!("{PODS}/c"))).await.json();
    changed["metadata"]["labels"]["app"] = json!("other");
    server.put(&in_fork(&format!("{PODS}/c")), &changed).await.json();
    // The revision of an object of the base is a precondition like any other.
    server.put(&in_fork(&format!("{PODS}/c")), &changed).await.fails(409, "Conflict");
    assert_eq!(server.delete(&in_fork(&format!("{PODS}/d?gracePeriodSeconds=0"))).await.code, 200);
    server.get(&in_fork(&format!("{PODS}/d"))).await.fails(404, "NotFound");
    server.post(&in_fork(PODS), pod("a", "1")).await.fails(409, "AlreadyExists");
    let placed = server.post(&in_fork("/schedule"), json!({"pods": [pod("e", "1")]})).await.json();
    assert_eq!(placed["pods"][0]["node"], "large", "{placed}");

    assert_eq!(server.get(PODS).await.json(), before, "the base is as it was");
    assert_eq!(listed(&server, "/api/v1/nodes").await, ["small"]);
    // Its later changes do not show.
    assert_eq!(server.delete(&format!("{PODS}/a?gracePeriodSeconds=0")).await.code, 200);
    server.post(PODS, pod("late", "1")).await.is(201);
    assert_eq!(names(&server.get(&in_fork(PODS)).await.json()), ["a", "b", "c", "e"]);
    assert_eq!(server.get(&in_fork(&format!("{PODS}/a"))).await.json()["spec"]["nodeName"], "small");
    let first = server.get(&in_fork(&format!("{PODS}?limit=3"))).await.json();
    let token = first["metadata"]["continue"].as_str().expect("a further page");
    let second = server.get(&in_fork(&format!("{PODS}?limit=3&continue={token}"))).await.json();
    assert_eq!([names(&first), names(&second)].concat(), ["a", "b", "c", "e"]);

    let diff = server.get("/forks/try/diff").await.json();
    let of = |field: &str| -> Vec<String> {
        let objects = diff[field].as_array().expect("a list").iter();
        objects
            .map(|object| {
                format!("{} {}", object["kind"].as_str().unwrap_or("?"), object["name"].as_str().unwrap_or("?"))
            })
            .collect()
    };
    assert_eq!(of("added"), ["Node large", "Pod e"]);
    assert_eq!((of("changed"), of("removed")), (vec!["Pod c".to_owned()], vec!["Pod d".to_owned()]));
    assert_eq!(diff["moved"], json!([{"pod": {"namespace": "default", "name": "b"}, "from": null, "to": "large"}]));
}

#[tokio::test]
async fn forks_are_listed_shown_and_removed() {
    let (_, server) = server().await;
    shop(&server).await;
    let made = make(&server, json!({})).await;
    let name = made["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("fork-"), "{name}");
    make(&server, json!({"name": "b"})).await;
    server.post("/forks", json!({"name": "b"})).await.fails(409, "AlreadyExists");
    let forks = server.get("/forks").await.json();
    assert_eq!(forks["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.get(&format!("/forks/{name}")).await.json(), made);
    assert_eq!(server.get("/clusters").await.json()["items"].as_array().map(Vec::len), Some(1), "a fork is no cluster");
    server.delete(&format!("/forks/{name}")).await.json();
    for path in [format!("/forks/{name}"), format!("/forks/{name}/diff"), format!("/forks/{name}/api/v1/pods")] {
        server.get(&path).await.fails(404, "NotFound");
    }
    server.post(&format!("/forks/{name}{PODS}"), pod("x", "1")).await.fails(404, "NotFound");
    // The name is free again.
    make(&server, json!({"name": name})).await;
    assert_eq!(listed(&server, &format!("/forks/{name}{PODS}")).await, ["a", "b", "c", "d"]);
    server.post(&format!("/forks/{name}{PODS}"), pod("x", "1")).await.is(201);
    assert_eq!(listed(&server, &format!("/forks/{name}{PODS}")).await.len(), 5);
}

#[tokio::test]
async fn fork_begins_with_an_earlier_revision() {
    let (_, server) = server().await;
    shop(&server).await;
    let before = server.get(PODS).await.json()["metadata"]["resourceVersion"].clone();
    let before: u64 = before.as_str().and_then(|text| text.parse().ok()).expect("a revision");
    assert_eq!(server.delete(&format!("{PODS}/b?gracePeriodSeconds=0")).await.code, 200);
    make(&server, json!({"name": "then", "revision": before})).await;
    assert_eq!(listed(&server, &format!("/forks/then{PODS}")).await, ["a", "b", "c", "d"]);
    let report = server.post("/forks/then/explain", json!({"podName": "default/b"})).await.json();
    assert_eq!(report["selected"], Value::Null, "{report}");
    let of_cluster = server.post("/clusters/default/forks", json!({"name": "other"})).await.is(201);
    assert_eq!(of_cluster["path"], "/forks/other");
    server.get("/clusters/default/forks/other/api/v1/pods").await.json();
}

#[tokio::test]
async fn bad_requests_name_their_fault() {
    let (_, server) = server().await;
    shop(&server).await;
    for (request, part) in [
        (json!({"name": "Upper"}), "name: Invalid value"),
        (json!({"name": "a".repeat(64)}), "name: Invalid value"),
        (json!({"ttlSeconds": 0}), "ttlSeconds: Invalid value"),
        (json!({"ttlSeconds": 604_801}), "ttlSeconds: Invalid value"),
        (json!({"at": "noon"}), "at: Invalid value"),
        (json!({"unknown": 1}), "unknown"),
    ] {
        let refusal = server.post("/forks", &request).await.refusal(400);
        assert!(refusal.contains(part), "{request}: {refusal}");
    }
    server.post("/forks", json!({"revision": 99})).await.fails(504, "Timeout");
    server.post("/clusters/none/forks", json!({})).await.fails(404, "NotFound");
    make(&server, json!({"name": "a"})).await;
    server.post("/forks/a/forks", json!({})).await.fails(400, "BadRequest");
}

fn configmap(index: usize) -> Write {
    let name = format!("m{index}");
    let body = format!(r#"{{"metadata":{{"name":"{name}","namespace":"default"}}}}"#);
    let change = Change::Put { body: body.into(), uid: name.clone(), node: None };
    Write { key: Key::new("configmaps", "default", name), precondition: Precondition::default(), change }
}

#[tokio::test]
async fn full_fork_refuses_new_objects_and_takes_changes() {
    let (_, server) = server().await;
    shop(&server).await;
    make(&server, json!({"name": "full"})).await;
    let store = &server.state.store;
    let cluster = fork::cluster_of("default", "full");
    // One row is the fork's own.
    let writes: Vec<Write> = (0..9_998).map(configmap).collect();
    let Commit { outcomes, .. } = store.commit(&cluster, writes, Atomicity::Each).await.expect("there is room");
    assert_eq!(outcomes.len(), 9_998);
    server.post(&format!("/forks/full{PODS}"), pod("x", "0")).await.is(201);
    let refusal = server.post("/forks/full/schedule", json!({"pods": [pod("y", "0")]})).await.refusal(403);
    assert!(refusal.contains("full"), "{refusal}");
    let refusal = server.post(&format!("/forks/full{PODS}"), pod("y", "0")).await.refusal(403);
    assert!(refusal.contains("full") && refusal.contains("10000"), "{refusal}");
    bind(&server, "/forks/full", "x", "small").await;
    let more = vec![configmap(9_999)];
    assert!(matches!(store.commit(&cluster, more, Atomicity::Each).await, Err(StoreError::Full(_))));
}

#[tokio::test]
async fn pods_without_room_in_a_fork_are_told_apart_from_those_with() {
    let (_, server) = server().await;
    shop(&server).await;
    make(&server, json!({"name": "nearly"})).await;
    let writes: Vec<Write> = (0..9_998).map(configmap).collect();
    server.state.store.commit(&fork::cluster_of("default", "nearly"), writes, Atomicity::Each).await.expect("room");
    let pods = [pod("x", "0"), pod("y", "0"), pod("z", "0")];
    let report = server.post("/forks/nearly/schedule", json!({"pods": pods})).await.json();
    let results = report["pods"].as_array().expect("pods").iter().map(|pod| pod["result"].clone());
    let bound = results.clone().filter(|result| result == "Bound").count();
    assert_eq!((bound, results.count()), (1, 3), "{report}");
    assert!(report["pods"].to_string().contains("the fork \\\"nearly\\\" is full"), "{report}");
}

/// Has a fork end now.
async fn expire(store: &Arc<dyn Storage>, name: &str) {
    let body = r#"{"revision":1,"createdAt":"2026-01-01T00:00:00Z","expiresAt":"2026-01-01T00:00:01Z"}"#;
    let change = Change::Put { body: body.to_owned().into(), uid: "1".into(), node: None };
    let write = Write { key: fork::key(), precondition: Precondition::exists(), change };
    let cluster = fork::cluster_of("default", name);
    store.commit(&cluster, vec![write], Atomicity::AllOrNothing).await.expect("the store writes");
}

#[tokio::test]
async fn fork_whose_time_is_over_is_gone_and_removed() {
    let (store, server) = server().await;
    shop(&server).await;
    for name in ["over", "going"] {
        make(&server, json!({"name": name})).await;
    }
    expire(&store, "over").await;
    for path in ["/forks/over", "/forks/over/api/v1/pods"] {
        server.get(path).await.fails(410, "Expired");
    }
    assert_eq!(server.get("/forks").await.json()["items"].as_array().map(Vec::len), Some(1));
    server.state.clusters.expire().await.expect("the store answers");
    server.get("/forks/over").await.fails(404, "NotFound");
    server.get("/forks/going").await.json();
    expire(&store, "going").await;
    make(&server, json!({"name": "going"})).await;
}

#[tokio::test]
async fn history_of_the_base_is_held_for_its_forks() {
    let store = database(Some(Duration::ZERO)).await;
    let server = Server::start(store, Setup::default());
    shop(&server).await;
    make(&server, json!({"name": "held"})).await;
    for name in ["b", "c"] {
        assert_eq!(server.delete(&format!("{PODS}/{name}?gracePeriodSeconds=0")).await.code, 200);
    }
    let nothing = Keep { age: Duration::ZERO, revisions: 0 };
    server.state.store.compact("default", &nothing).await.expect("compaction succeeds");
    assert_eq!(listed(&server, &format!("/forks/held{PODS}")).await, ["a", "b", "c", "d"]);
    server.delete("/forks/held").await.json();
    server.state.store.compact("default", &nothing).await.expect("compaction succeeds");
    server.post("/forks", json!({"revision": 6})).await.fails(410, "Expired");
}

#[tokio::test]
async fn fork_without_the_history_of_its_base_says_so() {
    let server = Server::start(database(None).await, Setup::default());
    shop(&server).await;
    make(&server, json!({"name": "lost"})).await;
    assert_eq!(listed(&server, &format!("/forks/lost{PODS}")).await.len(), 4);
    server.post(PODS, pod("late", "1")).await.is(201);
    let gone = server.get(&format!("/forks/lost{PODS}")).await.fails(410, "Expired");
    assert!(gone["message"].as_str().is_some_and(|message| message.contains("not kept any more")), "{gone}");
}

#[tokio::test]
async fn fork_of_a_mirror_mirrors_nothing() {
    let (store, server) = server().await;
    shop(&server).await;
    let source = r#"{"kubeconfigFile":"/nowhere","context":"prod"}"#;
    let change = Change::Put { body: source.to_owned().into(), uid: "1".into(), node: None };
    let write = Write {
        key: Key::new(wire::source::KIND, "", wire::source::NAME),
        precondition: Precondition::default(),
        change,
    };
    let written = store.commit("default", vec![write], Atomicity::AllOrNothing).await.expect("the store writes");
    let live = server.state.clusters.get("default").await.expect("it loads");
    assert!(live.reached(written.revision, Duration::from_secs(30)).await && live.view().source().is_some());
    server.post(PODS, pod("x", "1")).await.fails(405, "MethodNotAllowed");

    make(&server, json!({"name": "try"})).await;
    let cluster = fork::cluster_of("default", "try");
    server.post(&format!("/forks/try{PODS}"), pod("x", "1")).await.is(201);
    assert!(server.state.clusters.get(&cluster).await.expect("it loads").view().source().is_none());
    let key = Key::new(wire::source::KIND, "", wire::source::NAME);
    assert_eq!(server.state.store.get(&cluster, &key).await, Ok(None));
    server.post("/forks/try/api/v1/nodes", node("large", "8")).await.is(201);
    // With no API server to ask.
    let placed = server.post("/forks/try/schedule", json!({"podNames": ["default/b"]})).await;
    assert_eq!(placed.code, 200, "{}", placed.text());
    bind(&server, "/forks/try", "c", "large").await;
    assert_eq!(server.get(&format!("/forks/try{PODS}/c")).await.json()["spec"]["nodeName"], "large");
    assert_eq!(server.get(&format!("{PODS}/c")).await.json()["spec"]["nodeName"], Value::Null);
}

#[tokio::test]
async fn forks_survive_a_restart_and_are_those_of_all_replicas() {
    let (store, first) = server().await;
    shop(&first).await;
    make(&first, json!({"name": "both"})).await;
    first.post(&format!("/forks/both{PODS}"), pod("one", "1")).await.is(201);
    // Another process on the database, as after a restart.
    let second = Server::replica(store);
    assert_eq!(listed(&second, &format!("/forks/both{PODS}")).await, ["a", "b", "c", "d", "one"]);
    let mut writing = tokio::task::JoinSet::new();
    for (index, server) in [&first, &second, &first, &second].into_iter().enumerate() {
        let server = server.clone();
        writing.spawn(async move {
            let path = format!("/forks/both{PODS}");
            server.post(&path, pod(&format!("w{index}"), "1")).await.is(201);
            // All want one object of the base: one deletes it.
            server.delete(&format!("{path}/b?gracePeriodSeconds=0")).await.code
        });
    }
    let mut codes = writing.join_all().await;
    codes.sort_unstable();
    assert_eq!(codes, [200, 404, 404, 404]);
    for server in [&first, &second] {
        assert_eq!(listed(server, &format!("/forks/both{PODS}")).await, ["a", "c", "d", "one", "w0", "w1", "w2", "w3"]);
    }
    let revision = second.get(&format!("/forks/both{PODS}")).await.json()["metadata"]["resourceVersion"].clone();
    let revision = revision.as_str().expect("a revision").to_owned();
    for server in [&first, &second] {
        let path = format!("/forks/both/explain?minRevision={revision}");
        server.post(&path, json!({"podName": "default/w3"})).await.json();
        assert_eq!(server.get(PODS).await.json()["items"].as_array().map(Vec::len), Some(4));
    }
}

#[tokio::test]
async fn one_of_those_who_make_a_fork_at_a_time_gets_the_name() {
    let (_, server) = server().await;
    shop(&server).await;
    let mut making = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let server = server.clone();
        making.spawn(async move { server.post("/forks", json!({"name": "one"})).await.code });
    }
    let mut codes = making.join_all().await;
    codes.sort_unstable();
    assert_eq!(codes, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn reservations_of_the_base_lapse_in_its_forks() {
    let (store, server) = server().await;
    shop(&server).await;
    let body = r#"{"podUid":"","kind":"Nominated","until":"2026-01-01T00:00:02Z"}"#;
    let change = Change::Put { body: body.into(), uid: "1".into(), node: Some("small".into()) };
    let key = Key::new(wire::reservation::KIND, "default", "b");
    let reserve = Write { key, precondition: Precondition::default(), change };
    store.commit("default", vec![reserve], Atomicity::AllOrNothing).await.expect("the store writes");
    make(&server, json!({"name": "try"})).await;
    let fork = fork::cluster_of("default", "try");
    let reached = async |cluster: &str| {
        let revision = server.state.store.head(cluster).await.expect("the store answers").revision;
        let live = server.state.clusters.get(cluster).await.expect("it loads");
        assert!(live.reached(revision, Duration::from_secs(30)).await);
    };
    reached("default").await;
    let reserved = async |path: &str| server.get(path).await.json()["items"].as_array().map(Vec::len);
    assert_eq!((reserved("/reservations").await, reserved("/forks/try/reservations").await), (Some(1), Some(1)));
    assert_eq!(server.state.clusters.expire().await, Ok(2));
    reached(&fork).await;
    assert_eq!(reserved("/forks/try/reservations").await, Some(0));
    assert_eq!(server.get("/forks/try/diff").await.json()["hidden"], 0);
}

#[tokio::test]
async fn past_of_a_fork_is_refused_by_its_name() {
    let (_, server) = server().await;
    shop(&server).await;
    make(&server, json!({"name": "now"})).await;
    server.post("/forks/now/api/v1/nodes", node("large", "8")).await.is(201);
    let question = json!({"podName": "default/b"});
    for query in ["revision=1", "at=2026-01-02T15:04:05Z"] {
        let listed = server.get(&format!("/forks/now{PODS}?{query}")).await.refusal(410);
        let explained = server.post(&format!("/forks/now/explain?{query}"), &question).await.refusal(410);
        for refusal in [listed, explained] {
            assert!(refusal.contains("\"now\" has no past") && !refusal.contains("fork:"), "{refusal}");
        }
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number");
    pages * 4_096
}

/// A measurement: `cargo test --release --test forks -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn thousand_forks_over_150_000_pods_take_less_than_200_megabytes() {
    let (store, server) = server().await;
    let write = |kind: &str, object: &Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let node = Some(text("/spec/nodeName")).filter(|node| !node.is_empty());
        let change = Change::Put { body: object.to_string().into(), uid: text("/metadata/name"), node };
        let key = Key::new(kind, text("/metadata/namespace"), text("/metadata/name"));
        Write { key, precondition: Precondition::default(), change }
    };
    let nodes: Vec<Write> = (0..5_000).map(|index| write("nodes", &node(&format!("n{index}"), "64"))).collect();
    store.commit("default", nodes, Atomicity::Each).await.expect("the store writes");
    for part in 0..15 {
        let pods = (0..10_000).map(|index| {
            let mut pod = pod(&format!("p{part}-{index}"), "1");
            pod["spec"]["nodeName"] = json!(format!("n{}", (part * 10_000 + index) % 5_000));
            write("pods", &pod)
        });
        store.commit("default", pods.collect(), Atomicity::Each).await.expect("the store writes");
    }
    let live = server.state.clusters.get("default").await.expect("it loads");
    assert_eq!(live.view().snapshot.pod_count(), 150_000);
    let before = resident();
    for index in 0..1_000 {
        make(&server, json!({"name": format!("f{index}")})).await;
        // Each is loaded, and differs.
        server.post(&format!("/forks/f{index}{PODS}"), pod("x", "1")).await.is(201);
    }
    assert_eq!(server.state.clusters.live().len(), 1_000, "as many as are kept at a time");
    let forks = resident().saturating_sub(before);
    println!("1,000 forks over 150,000 pods: {} MiB", forks >> 20);
    assert!(forks < 200 << 20);
}

#[tokio::test]
async fn fork_in_memory_answers_while_the_database_is_away() {
    let (store, server) = server().await;
    shop(&server).await;
    make(&server, json!({"name": "kept"})).await;
    let question = json!({"podName": "default/b"});
    let before = server.post("/forks/kept/explain", &question).await.json();
    store.close().await;
    assert_eq!(server.post("/forks/kept/explain", &question).await.json(), before);
    let other = server.post("/forks/other/explain", &question).await;
    assert!(other.code >= 500, "{}", other.text());
}
