//! Recorded cases through `POST /explain`, read as a client reads the answer: nothing but its JSON.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{cases, server::Server};

#[derive(Deserialize)]
struct Case {
    id: String,
    policy: Option<Box<RawValue>>,
    profile: Option<Box<RawValue>>,
    cluster: Box<RawValue>,
    pod: Box<RawValue>,
    expect: Value,
}

#[derive(Deserialize)]
struct Suite {
    suite: String,
}

/// The first case of each suite.
fn firsts() -> Vec<Case> {
    let mut seen = BTreeSet::new();
    let files = ["policy-1.22.jsonl.gz", "profile-1.34.jsonl.gz", "large-1.22.jsonl.gz", "large-1.34.jsonl.gz"];
    let lines = files.into_iter().flat_map(|file| cases::lines(file).map(move |line| (file, line)));
    lines
        .filter(|(file, line)| {
            let Suite { suite } = serde_json::from_str(line).expect("a line is a case");
            seen.insert((*file, suite))
        })
        .map(|(_, line)| serde_json::from_str(&line).expect("a line is a case"))
        .collect()
}

fn list<'v>(value: &'v Value, field: &str) -> &'v Vec<Value> {
    value[field].as_array().unwrap_or_else(|| panic!("{field} is a list: {value}"))
}

/// All texts of `field`'s lists, once each.
fn texts<'v>(values: &[&'v Value], field: &str) -> BTreeSet<&'v str> {
    values.iter().flat_map(|value| list(value, field)).filter_map(Value::as_str).collect()
}

/// Compares one node of the answer with the answer of the real kube-scheduler.
fn same(case: &Case, name: &str, expected: &Value, node: &Value) {
    let at = format!("{} {name}", case.id);
    assert_eq!(node["fits"], expected["fits"], "{at}");
    if expected["fits"] == true {
        assert_eq!(&node["total"], case.expect["total"].get(name).unwrap_or(&node["total"]), "{at}");
        for (plugin, by_node) in case.expect["scores"].as_object().into_iter().flatten() {
            let score = list(node, "scores").iter().find(|score| score["plugin"] == **plugin);
            let score = score.unwrap_or_else(|| panic!("{at}: no score by {plugin}"));
            assert_eq!(score["score"], by_node[name], "{at} {plugin}");
            assert!(score["priority"].is_string() && score["weight"].is_i64(), "{at}: {score}");
        }
        return;
    }
    let failing: Vec<&Value> = list(node, "verdicts").iter().filter(|verdict| verdict["verdict"] != "Fits").collect();
    assert_eq!(texts(&failing, "reasons"), texts(&[expected], "reasons"), "{at}");
    let unresolvable = failing.iter().any(|verdict| verdict["verdict"] == "UnschedulableAndUnresolvable");
    assert_eq!(if unresolvable { "UnschedulableAndUnresolvable" } else { "Unschedulable" }, expected["code"], "{at}");
    if let Some(first) = expected.get("first").filter(|first| first.is_object()) {
        assert_eq!(failing[0]["plugin"], first["plugin"], "{at}");
        assert_eq!(texts(&failing[..1], "reasons"), texts(&[first], "reasons"), "{at}");
        assert!(failing[0]["predicate"].is_string(), "{at}");
    }
}

#[tokio::test]
async fn the_first_case_of_each_suite_is_exact_over_http() {
    let server = Server::with(&[]).await;
    let cases = firsts();
    assert!(cases.len() > 4, "{} suites", cases.len());
    for case in cases {
        let (field, rules) = match (&case.policy, &case.profile) {
            (Some(policy), _) => ("policy", policy.get()),
            (None, Some(profile)) => ("profile", profile.get()),
            (None, None) => ("profile", r#"{"schedulerName":"default-scheduler"}"#),
        };
        let (cluster, pod) = (case.cluster.get(), case.pod.get());
        let body = format!(r#"{{"cluster":{cluster},"pod":{pod},"{field}":{rules}}}"#);
        let answer = server.post("/explain", body).await.json();
        let expected = case.expect["filter"].as_object().expect("verdicts by node");
        assert_eq!(list(&answer, "nodes").len(), expected.len(), "{}", case.id);
        for node in list(&answer, "nodes") {
            let name = node["name"].as_str().expect("a name");
            same(&case, name, &expected[name], node);
        }
    }
}

#[tokio::test]
async fn a_configuration_is_taken_wherever_a_policy_is() {
    let server = Server::with(&[]).await;
    let configuration = serde_json::json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
    });
    for (policy, release) in [(configuration, "1.34"), (serde_json::json!({"kind": "Policy"}), "1.22")] {
        let question = serde_json::json!({"pod": {"metadata": {"name": "p"}}, "policy": policy});
        let answer = server.post("/explain", question.to_string()).await.json();
        assert_eq!(answer["policy"]["release"], release);
        assert_eq!(answer["message"], "no nodes available to schedule pods");
    }
}

#[tokio::test]
async fn a_client_that_prefers_text_gets_a_table() {
    let server = Server::with(&[]).await;
    let configuration = serde_json::json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "default-scheduler"}, {"schedulerName": "bin"}],
    });
    let node = |name: &str, cpu: &str| serde_json::json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "9"}}});
    let container = serde_json::json!({"name": "c", "resources": {"requests": {"cpu": "1"}}});
    let question = serde_json::json!({
        "pod": {"metadata": {"name": "web"}, "spec": {"schedulerName": "bin", "containers": [container]}},
        "cluster": {"nodes": [node("large", "4"), node("tiny", "500m")]}, "policy": configuration,
    });
    for (accept, is_text) in [
        ("text/plain", true),
        ("text/plain; charset=utf-8", true),
        ("text/plain, application/json;q=0.5", true),
        ("application/json, text/plain", false),
        ("*/*", false),
    ] {
        let reply = server.ask("POST", "/explain", ("Accept", accept), question.to_string()).await;
        let kind = reply.header("content-type").expect("a type").to_owned();
        assert_eq!(kind.starts_with("text/plain"), is_text, "{accept}: {kind}");
        assert!(reply.header("x-podberth-snapshot-revision").is_some());
        let text = reply.text();
        if is_text {
            let head =
                "default/web on 2 nodes, 1 of them fit (policy (request), profile bin, rules of kube-scheduler 1.34)";
            assert_eq!(text.lines().next(), Some(head));
            assert!(text.contains("tiny") && text.contains("Insufficient cpu"), "{text}");
            assert!(
                text.contains("→ default/web would go to large: 1/2 nodes are available.") && text.ends_with('\n'),
                "{text}"
            );
        } else {
            assert_eq!(reply.json()["policy"]["profile"], "bin");
        }
    }
    let question = serde_json::json!({"pod": {"spec": {"schedulerName": "none"}}, "policy": configuration});
    let refused = server.ask("POST", "/explain", ("Accept", "text/plain"), question.to_string()).await;
    refused.fails(422, "Invalid");
}
