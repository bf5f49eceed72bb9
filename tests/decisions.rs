//! The record of decisions: what is recorded, how it is read, and that each decision can be made again.

#[path = "support/server.rs"]
mod server;

use podberth::wire::decision::Share;
use serde_json::{Value, json};
use server::{Server, Setup, memory};

fn node(name: &str, cpu: &str) -> (&'static str, Value) {
    (
        "nodes",
        json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}}),
    )
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}})
}

async fn server(share: &str, objects: &[(&'static str, Value)]) -> Server {
    let decisions: Share = share.parse().expect("a share");
    Server::start(memory(objects).await, Setup { decisions, ..Setup::default() })
}

async fn list(server: &Server, query: &str) -> Value {
    server.get(&format!("/decisions?{query}")).await.is(200)
}

fn texts<'v>(list: &'v Value, field: &str) -> Vec<&'v str> {
    list["items"].as_array().expect("items").iter().map(|item| item[field].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn decisions_that_bind_are_recorded_with_why() {
    let server = server("binds", &[node("a", "2"), node("b", "4")]).await;
    let request = json!({"pods": [pod("p0", "3"), pod("p1", "2"), pod("p2", "2")], "seed": 7});
    server.post("/schedule", request.to_string()).await.is(200);
    let all = list(&server, "").await;
    assert_eq!(texts(&all, "outcome"), ["unschedulable", "bound", "bound"], "the newest first: {all}");
    assert_eq!(texts(&all, "node"), ["-", "a", "b"]);
    let (last, first) = (&all["items"][0], &all["items"][2]);
    assert_eq!((&last["batch"]["place"], &first["batch"]["place"]), (&2.into(), &0.into()));
    assert_eq!(last["batch"]["id"], first["id"], "a batch is called by its first decision");
    assert_eq!(last["message"], "0/2 nodes are available: 2 Insufficient cpu.");
    assert_eq!(last["verdicts"], json!([{"reason": "Insufficient cpu", "nodes": 2}]));
    assert_eq!(first["verdicts"], json!([{"reason": "Insufficient cpu", "nodes": 1}]));
    assert_eq!(first["scores"][0]["node"], "b");
    assert_eq!(first["scores"][0]["total"], first["total"]);
    assert_eq!(
        (&first["seed"], &first["call"], &first["policy"]["name"]),
        (&7.into(), &"schedule".into(), &"default".into())
    );
    assert_eq!(first["pod"]["body"]["spec"]["containers"][0]["name"], "main", "a pod that was sent is there in full");
    assert_eq!(first["by"]["user"], "system:admin");
    assert!(first["revision"].as_u64().is_some_and(|revision| revision > 0));
    let id = first["id"].as_str().expect("an id");
    assert_eq!(server.get(&format!("/decisions/{id}")).await.is(200), *first);
}

#[tokio::test]
async fn decisions_are_found_by_pod_node_outcome_and_time_and_come_in_pages() {
    let server = server("binds", &[node("a", "2"), node("b", "2")]).await;
    let request =
        json!({"pods": (0..5).map(|at| pod(&format!("p{at}"), "1")).collect::<Vec<_>>(), "suggestions": false});
    server.post("/schedule", request.to_string()).await.is(200);
    assert_eq!(texts(&list(&server, "pod=shop/p4").await, "outcome"), ["unschedulable"]);
    assert_eq!(texts(&list(&server, "node=a").await, "node"), ["a", "a"]);
    assert_eq!(texts(&list(&server, "outcome=bound").await, "node").len(), 4);
    assert_eq!(texts(&list(&server, "since=2100-01-01T00:00:00Z").await, "node").len(), 0);
    let mut pages = 0;
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = list(&server, &format!("limit=2&continue={after}")).await;
        found.extend(texts(&page, "id").iter().map(|id| (*id).to_owned()));
        pages += 1;
        match page["continue"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((pages, found.len()), (3, 5));
    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
    for (query, told) in [("outcome=good", "outcome"), ("since=then", "since"), ("continue=x", "continue")] {
        let refusal = server.get(&format!("/decisions?{query}")).await.refusal(400);
        assert!(refusal.contains(told), "{refusal}");
    }
    server.get("/decisions/none").await.is(404);
    server.get("/decisions/0198e3f0-2b1c-7a41-8000-1b2c3d400000").await.is(404);
}

#[tokio::test]
async fn trials_and_servers_that_record_nothing_have_no_decisions() {
    let off = server("none", &[node("a", "2")]).await;
    off.post("/schedule", json!({"pods": [pod("p", "1")]}).to_string()).await.is(200);
    assert_eq!(list(&off, "").await["items"], json!([]));
    let trial = server("binds", &[node("a", "2")]).await;
    trial.post("/schedule", json!({"pods": [pod("p", "1")], "dryRun": true}).to_string()).await.is(200);
    assert_eq!(list(&trial, "").await["items"], json!([]));
}
