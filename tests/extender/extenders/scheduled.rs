//! Extenders in `POST /schedule`.

use axum::{body::Body, http::Request};
use podberth::extenders::Options;
use serde_json::{Value, json};

use super::{
    calling, options,
    peer::{Manner, Peer, nobody},
};
use crate::{
    check::{node, pod},
    server::Server,
};

fn policy(url: &str, more: &Value) -> Value {
    let mut extender = json!({"urlPrefix": url, "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 3,
        "nodeCacheCapable": true, "httpTimeout": 300_000_000_000_u64});
    extender.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"kind": "Policy", "predicates": [{"name": "PodFitsResources"}], "priorities": [], "extenders": [extender]})
}

fn question(count: usize, url: &str, more: &Value) -> Value {
    let pods: Vec<Value> = (0..count).map(|i| pod(&format!("p{i}"), "2", "")).collect();
    json!({"pods": pods, "policy": policy(url, more), "suggestions": false})
}

async fn server() -> Server {
    let nodes = ["a", "b", "c"].map(|name| ("nodes", node(name, "4", "8Gi")));
    calling(&nodes, options()).await
}

async fn schedule(server: &Server, body: &Value) -> Value {
    server.post("/schedule", body.to_string()).await.json()
}

async fn list(server: &Server, path: &str) -> Value {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    server.send(request).await.json()["items"].clone()
}

fn told<'v>(report: &'v Value, field: &str) -> Vec<&'v Value> {
    report["pods"].as_array().expect("pods").iter().map(|pod| &pod[field]).collect()
}

/// An extender that rules `b` out, scores `c` best and answers binds with `bound`.
async fn peer(bound: Value) -> Peer {
    Peer::start(Manner::Says(Box::new(move |asked| {
        let answer = match &*asked.path {
            "/filter" => {
                let names = asked.body["NodeNames"].as_array().expect("names").iter();
                json!({"NodeNames": names.filter(|name| **name != "b").collect::<Vec<_>>(), "FailedNodes": {"b": "no licence"}})
            }
            "/prioritize" => json!([{"Host": "a", "Score": 1}, {"Host": "c", "Score": 7}]),
            _ => bound.clone(),
        };
        (200, answer.to_string())
    })))
    .await
}

fn paths(peer: &Peer) -> Vec<String> {
    peer.asked().into_iter().map(|asked| asked.path).collect()
}

#[tokio::test]
async fn each_pod_is_asked_about_and_sees_those_before_it() {
    for all_or_nothing in [false, true] {
        let (peer, server) = (peer(json!({})).await, server().await);
        let mut question = question(4, &peer.url(), &json!({}));
        question["allOrNothing"] = all_or_nothing.into();
        let report = schedule(&server, &question).await;
        assert_eq!(told(&report, "node"), ["c", "c", "a", "a"], "{report}");
        assert_eq!(told(&report, "result"), ["Bound"; 4]);
        assert_eq!((&report["pods"][0]["total"], &report["pods"][2]["total"]), (&(1 + 7 * 10 * 3).into(), &1.into()));
        let last = peer.asked().last().expect("asked").body["NodeNames"].clone();
        assert_eq!(last, json!(["a", "b"]), "c is full by then, and what is left of a and b is no choice");
        assert_eq!(paths(&peer).iter().filter(|path| *path == "/prioritize").count(), 2);
        let full = schedule(&server, &json!({"pods": [pod("p9", "2", "")], "policy": question["policy"]})).await;
        assert_eq!(full["pods"][0]["message"], "0/3 nodes are available: 1 no licence, 2 Insufficient cpu.");
        assert_eq!((&full["pods"][0]["result"], full["pods"][0].get("suggestions")), (&"Unschedulable".into(), None));
    }
}

#[tokio::test]
async fn the_node_is_reserved_before_the_extender_binds() {
    let binds = json!({"bindVerb": "bind"});
    for all_or_nothing in [false, true] {
        let (peer, server) = (peer(json!({})).await, server().await);
        let mut question = question(2, &peer.url(), &binds);
        question["allOrNothing"] = all_or_nothing.into();
        question["dryRun"] = true.into();
        assert_eq!(told(&schedule(&server, &question).await, "result"), ["WouldBind"; 2]);
        assert!(!paths(&peer).contains(&"/bind".into()), "a trial binds nothing");
        question["dryRun"] = false.into();
        let report = schedule(&server, &question).await;
        assert_eq!(told(&report, "result"), ["Bound"; 2], "{report}");
        let asked = peer.asked();
        let bound: Vec<_> = asked.iter().filter(|asked| asked.path == "/bind").map(|asked| &asked.body).collect();
        assert_eq!((bound.len(), &bound[0]["Node"], &bound[0]["PodNamespace"]), (2, &"c".into(), &"default".into()));
        assert!(bound[0]["PodUID"].as_str().is_some_and(|uid| !uid.is_empty()));
        let stored = list(&server, "/api/v1/pods").await;
        assert_eq!((&stored[0]["spec"]["nodeName"], &stored[1]["spec"]["nodeName"]), (&"c".into(), &"c".into()));
        assert_eq!(list(&server, "/reservations").await, json!([]));
    }
}

#[tokio::test]
async fn extender_binds_nothing_of_a_fork() {
    for all_or_nothing in [false, true] {
        let (peer, server) = (peer(json!({})).await, server().await);
        server.post("/forks", json!({"name": "try"})).await.is(201);
        let mut question = question(2, &peer.url(), &json!({"bindVerb": "bind"}));
        question["allOrNothing"] = all_or_nothing.into();
        let report = server.post("/forks/try/schedule", &question).await.json();
        assert_eq!(told(&report, "result"), ["Bound"; 2], "{report}");
        assert_eq!(told(&report, "node"), ["c"; 2], "{report}");
        assert!(!paths(&peer).contains(&"/bind".into()) && paths(&peer).contains(&"/filter".into()));
        assert_eq!(list(&server, "/forks/try/api/v1/pods").await[0]["spec"]["nodeName"], "c");
    }
}

#[tokio::test]
async fn a_bind_refused_leaves_the_pod_waiting() {
    for all_or_nothing in [false, true] {
        let (peer, server) = (peer(json!({"Error": "taken"})).await, server().await);
        let mut question = question(2, &peer.url(), &json!({"bindVerb": "bind"}));
        question["allOrNothing"] = all_or_nothing.into();
        let report = schedule(&server, &question).await;
        assert_eq!(told(&report, "result"), ["Failed"; 2], "{report}");
        let message = format!("extender {:?} failed to bind: taken", peer.url());
        assert_eq!(report["pods"][0]["message"], message);
        assert_eq!(report["pods"][0]["extenderErrors"][0]["verb"], "bind");
        let binds = paths(&peer).iter().filter(|path| *path == "/bind").count();
        assert_eq!(binds, if all_or_nothing { 1 } else { 2 }, "of a gang nobody is bound after the first refusal");
        let stored = list(&server, "/api/v1/pods").await;
        assert_eq!(stored.as_array().map(Vec::len), Some(2));
        assert!(stored[0]["spec"].get("nodeName").is_none_or(|node| *node == ""), "{stored}");
        assert_eq!(list(&server, "/reservations").await, json!([]), "and its node free");
    }
}

#[tokio::test]
async fn an_unclear_bind_keeps_the_node_reserved() {
    let broken = Peer::start(Manner::Says(Box::new(|asked| match &*asked.path {
        "/bind" => (200, "<html>".into()),
        _ => (200, r#"{"NodeNames":["b"]}"#.into()),
    })))
    .await;
    let server = server().await;
    let only_binds = json!({"bindVerb": "bind", "prioritizeVerb": ""});
    let first = schedule(&server, &question(1, &broken.url(), &only_binds)).await;
    assert_eq!(first["pods"][0]["result"], "Failed", "{first}");
    assert!(first["pods"][0]["message"].as_str().is_some_and(|text| text.contains("not known")), "{first}");
    assert_eq!(list(&server, "/reservations").await[0]["node"], "b");
    let healthy = peer(json!({})).await;
    let again = schedule(&server, &question(1, &healthy.url(), &only_binds)).await;
    assert_eq!((&again["pods"][0]["result"], &again["pods"][0]["node"]), (&"Bound".into(), &"b".into()));
    assert_eq!(paths(&healthy), ["/bind"], "it is bound where it was to be bound");
}

#[tokio::test]
async fn silent_or_lying_extenders_delay_nobody() {
    let never = Peer::start(Manner::Never).await;
    let liar = Peer::saying(200, r#"{"NodeNames":["z"]}"#).await;
    let quick = json!({"httpTimeout": 100_000_000});
    for (url, more) in [(never.url(), quick), (nobody().await, json!({})), (liar.url(), json!({}))] {
        let server = server().await;
        let needed = schedule(&server, &question(2, &url, &more)).await;
        assert_eq!(told(&needed, "result"), ["Failed"; 2], "{needed}");
        assert!(needed["pods"][0]["message"].as_str().is_some_and(|text| text.contains("failed to filter")));
        assert_eq!(list(&server, "/api/v1/pods").await, json!([]));
        let mut ignorable = more.clone();
        ignorable["ignorable"] = true.into();
        let passed_over = schedule(&server, &question(2, &url, &ignorable)).await;
        assert_eq!(told(&passed_over, "result"), ["Bound"; 2], "{passed_over}");
        assert_eq!(passed_over["pods"][0]["extenderErrors"][0]["verb"], "filter");
    }
}

#[tokio::test]
async fn extenders_are_called_only_for_their_pods_and_allowed_hosts() {
    let peer = Peer::saying(500, "").await;
    let managed = json!({"managedResources": [{"name": "example.com/gpu"}], "bindVerb": "bind"});
    let report = schedule(&server().await, &question(2, &peer.url(), &managed)).await;
    assert_eq!(told(&report, "result"), ["Bound"; 2]);
    let quiet = calling(&[("nodes", node("a", "4", "8Gi"))], Options::default()).await;
    let report = schedule(&quiet, &question(2, &peer.url(), &json!({}))).await;
    assert_eq!(told(&report, "result"), ["Bound"; 2]);
    assert!(peer.asked().is_empty());
}

#[tokio::test]
async fn victims_are_agreed_upon() {
    let agree = |asked: &super::peer::Asked| asked.body["NodeNameToMetaVictims"].clone();
    let nobodies = |_: &super::peer::Asked| json!({});
    for (answer, expected) in
        [(Box::new(agree) as Box<dyn Fn(&_) -> Value + Send + Sync>, "Bound"), (Box::new(nobodies), "Unschedulable")]
    {
        let peer = Peer::start(Manner::Says(Box::new(move |asked| match &*asked.path {
            "/preempt" => (200, json!({"NodeNameToMetaVictims": answer(asked)}).to_string()),
            _ => (200, json!({"NodeNames": [], "FailedNodes": {"a": "in use"}}).to_string()),
        })))
        .await;
        let server = calling(&[("nodes", node("a", "4", "8Gi")), ("pods", pod("low", "3", "a"))], options()).await;
        let mut high = pod("high", "3", "");
        high["spec"]["priority"] = 10.into();
        let body = json!({"pods": [high], "suggestions": false, "policy": policy(&peer.url(), &json!({"preemptVerb": "preempt"}))});
        let report = schedule(&server, &body).await;
        assert_eq!(report["pods"][0]["result"], expected, "{report}");
        assert_eq!(paths(&peer), ["/filter", "/preempt"]);
        assert_eq!(report["summary"]["evicted"], usize::from(expected == "Bound"));
    }
}
