//! `/preempt` and preemption in `/explain`.

use serde_json::{Value, json};

use crate::{
    check::{Victims, node, pod, preempted},
    server::Server,
};

/// A pod of a priority, with a uid of its own.
fn ranked(name: &str, cpu: &str, on: &str, priority: i32) -> Value {
    let mut pod = pod(name, cpu, on);
    pod["metadata"]["uid"] = format!("uid-{name}").into();
    pod["spec"]["priority"] = priority.into();
    pod
}

fn labelled(mut pod: Value, app: &str) -> Value {
    pod["metadata"]["labels"] = json!({"app": app});
    pod
}

fn budget(app: &str, allowed: i32) -> Value {
    json!({"metadata": {"name": app, "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed}})
}

/// `a`: 4 CPUs, of which low-1 and low-2 hold 1 each, high 2. `b`: 4 CPUs, all held by a pod of higher priority.
fn stored() -> Vec<(&'static str, Value)> {
    vec![
        ("nodes", node("a", "4", "8Gi")),
        ("nodes", node("b", "4", "8Gi")),
        ("pods", labelled(ranked("low-1", "1", "a", 1), "kept")),
        ("pods", ranked("low-2", "1", "a", 2)),
        ("pods", ranked("high", "2", "a", 500)),
        ("pods", ranked("higher", "4", "b", 500)),
        ("poddisruptionbudgets.policy", budget("kept", 0)),
    ]
}

fn by_uid(pod: &Value, nodes: &Value) -> String {
    json!({"Pod": pod, "NodeNameToVictims": null, "NodeNameToMetaVictims": nodes}).to_string()
}

fn proposal(uids: &[&str]) -> Value {
    json!({"Pods": uids.iter().map(|uid| json!({"UID": uid})).collect::<Vec<_>>(), "NumPDBViolations": 0})
}

async fn ask(server: &Server, pod: &Value, nodes: Value) -> Vec<(String, Victims)> {
    let request = by_uid(pod, &nodes);
    let reply = server.post("/preempt", request.clone()).await;
    preempted(&request, &reply).into_iter().collect()
}

fn answer(node: &str, uids: &[&str], violations: i64) -> Vec<(String, Victims)> {
    let uids = uids.iter().map(|uid| (*uid).to_owned()).collect();
    vec![(node.to_owned(), Victims { uids, violations })]
}

#[tokio::test]
async fn victims_proposed_are_kept_and_joined_where_they_do_not_suffice() {
    let server = Server::with(&stored()).await;
    let one = ranked("new", "1", "", 100);
    let two = ranked("new", "2", "", 100);
    let three = ranked("new", "3", "", 100);
    // 4 − 2 (high) − 1 (the other) = 1 CPU
    assert_eq!(ask(&server, &one, json!({"a": proposal(&["uid-low-2"])})).await, answer("a", &["uid-low-2"], 0));
    // The budget of low-1 allows no disruption; it was proposed all the same.
    assert_eq!(ask(&server, &one, json!({"a": proposal(&["uid-low-1"])})).await, answer("a", &["uid-low-1"], 1));
    // 2 CPUs take both; the more important stands first.
    let both = answer("a", &["uid-low-2", "uid-low-1"], 1);
    assert_eq!(ask(&server, &two, json!({"a": proposal(&["uid-low-2"])})).await, both);
    // Without both there are 2 CPUs, and high is of higher priority.
    assert_eq!(ask(&server, &three, json!({"a": proposal(&["uid-low-2"])})).await, []);
}

#[tokio::test]
async fn preempt_answers_only_stored_nodes_and_pods() {
    let server = Server::with(&stored()).await;
    let one = ranked("new", "1", "", 100);
    // A node that is not stored, one where nobody is of lower priority, a uid that is on another node.
    let nodes =
        json!({"nowhere": proposal(&["uid-low-1"]), "b": proposal(&["uid-low-1"]), "a": proposal(&["uid-gone"])});
    // low-2 takes its place on a: a budget protects low-1.
    assert_eq!(ask(&server, &one, nodes).await, answer("a", &["uid-low-2"], 0));
    let none = ranked("new", "0", "", 100);
    assert_eq!(ask(&server, &none, json!({"a": proposal(&["uid-gone"])})).await, [], "nobody has to leave");
    let mut patient = one;
    patient["spec"]["preemptionPolicy"] = "Never".into();
    assert_eq!(ask(&server, &patient, json!({"a": proposal(&["uid-low-2"])})).await, []);
}

#[tokio::test]
async fn pods_sent_in_full_count_though_they_are_not_stored() {
    let server = Server::with(&stored()[..2]).await;
    let victims = json!({"a": {"Pods": [ranked("unknown", "4", "a", 5)], "NumPDBViolations": 7},
        "b": {"Pods": [ranked("astray", "4", "a", 5)], "NumPDBViolations": 7}});
    let request = json!({"pod": ranked("new", "1", "", 100), "NodeNameToVictims": victims}).to_string();
    let reply = server.post("/preempt", request.clone()).await;
    let expected = answer("a", &["uid-unknown"], 0);
    assert_eq!(preempted(&request, &reply).into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused() {
    let server = Server::with(&stored()).await;
    let refusal = async |body: &str, code| server.post("/preempt", body.to_owned()).await.refusal(code);
    assert!(refusal(r#"{"NodeNameToMetaVictims": {}}"#, 400).await.contains("no Pod"));
    assert!(refusal(r#"{"Pod": {"metadata": {"name": "p"}}}"#, 400).await.contains("NodeNameToVictims"));
    assert!(refusal(r#"{"Pod": 7}"#, 400).await.starts_with("Pod"));
    let unknown = server.post("/preempt?policy=none", by_uid(&ranked("new", "1", "", 100), &json!({}))).await;
    unknown.refusal(404);
    let metrics = axum::http::Request::get("/metrics").body(axum::body::Body::empty()).expect("a request");
    let metrics = server.send(metrics).await;
    let labels = [r#"verb="preempt""#, r#"code="400""#, r#"form="none""#];
    let counted =
        |line: &str| line.starts_with("podberth_extender_requests_total{") && labels.iter().all(|l| line.contains(l));
    assert!(metrics.text().lines().any(counted), "{}", metrics.text());
}

#[tokio::test]
async fn explain_shows_preemption_on_request() {
    let server = Server::with(&stored()).await;
    let ask = async |pod: Value, preempt: bool| {
        let question = json!({"pod": pod, "preempt": preempt});
        server.post("/explain", question.to_string()).await.json()
    };
    let urgent = ranked("new", "2", "", 100);
    assert_eq!(ask(urgent.clone(), false).await.get("preemption"), None);
    let victim = |name: &str, priority: i32| json!({"uid": format!("uid-{name}"), "namespace": "default", "name": name, "priority": priority});
    // In 1.22 a pod that a budget protects stands first.
    let candidate = json!({"node": "a", "victims": [victim("low-1", 1), victim("low-2", 2)], "pdbViolations": 1});
    let message = "default/new would fit on a without 2 pods.";
    let expected = json!({"candidates": [candidate], "selected": "a", "message": message});
    assert_eq!(ask(urgent.clone(), true).await["preemption"], expected);
    let mut meek = urgent;
    meek["spec"]["priority"] = 1.into();
    let message = "0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    let expected = json!({"candidates": [], "selected": null, "message": message});
    assert_eq!(ask(meek, true).await["preemption"], expected);
}
