//! Requests of real kube-schedulers (1.6.0, 1.22.6 and 1.34.1), recorded on the wire, sent again as they were.

use axum::{body::Body, http::Request};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{Victims, filtered, node, pod, preempted, prioritized},
    server::Server,
};

#[derive(Deserialize)]
struct Recorded {
    client: String,
    verb: String,
    form: String,
    headers: BTreeMap<String, String>,
    body: String,
}

fn recorded() -> Vec<Recorded> {
    let text = include_str!("../data/requests.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is a request")).collect()
}

#[tokio::test]
async fn every_recorded_request_is_answered_in_its_form() {
    // n2 is full, n3 is known only where it is sent in full.
    let victim = |name: &str, on: &str| {
        let mut victim = pod(name, "0", on);
        victim["metadata"]["uid"] = format!("uid-pod-default-{name}").into();
        ("pods", victim)
    };
    let stored = [
        ("nodes", node("n1", "4", "8Gi")),
        ("nodes", node("n2", "4", "8Gi")),
        ("pods", pod("v", "3500m", "n2")),
        victim("v1", "n1"),
        victim("v2", "n2"),
    ];
    let server = Server::with(&stored).await;
    let mut answered = BTreeSet::new();
    for request in recorded() {
        // 1.6 does not trim its urlPrefix, so one that ends in a slash doubles it.
        let path = match (&*request.verb, &*request.client) {
            // Below, since this one changes what is stored.
            ("bind", _) => continue,
            (verb, "kube-scheduler 1.6.0") => format!("//{verb}"),
            (verb, _) => format!("/{verb}"),
        };
        let mut sent = Request::post(&path);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        let reply = server.send(sent.body(Body::from(request.body.clone())).expect("a request")).await;
        let told = format!("{} {} {}", request.client, request.verb, request.form);
        if request.verb == "filter" {
            let verdicts = filtered(&request.body, &reply);
            assert_eq!(verdicts.failed["n2"], "Insufficient cpu", "{told}");
            let (fits, unresolvable): (&[&str], &[&str]) =
                if request.form == "nodes" { (&["n1", "n3"], &[]) } else { (&["n1"], &["n3"]) };
            assert_eq!(verdicts.fits, fits, "{told}");
            assert!(verdicts.unresolvable.keys().eq(unresolvable), "{told}");
        } else if request.verb == "preempt" {
            // Without v1 the pod fits on n1. On n2 it does not even without v2, and v is of no lower priority.
            let victims = preempted(&request.body, &reply);
            let expected = Victims { uids: vec!["uid-pod-default-v1".into()], violations: 0 };
            assert_eq!(victims, BTreeMap::from([("n1".to_owned(), expected)]), "{told}");
        } else {
            let scores: BTreeMap<_, _> = prioritized(&request.body, &reply, 10).into_iter().collect();
            assert_eq!((scores["n1"], scores["n2"]), (10, 0), "{told}");
        }
        assert!(answered.insert(told), "a request is there twice");
    }
    assert_eq!(answered.len(), 16, "three clients, two verbs, two forms; two of them also preempt: {answered:?}");
}

#[tokio::test]
async fn every_recorded_bind_is_carried_out_and_may_be_repeated() {
    let mut waiting = pod("p", "1", "");
    waiting["metadata"]["uid"] = "uid-pod-default-p".into();
    let server = Server::with(&[("nodes", node("n1", "4", "8Gi")), ("pods", waiting)]).await;
    let binds: Vec<Recorded> = recorded().into_iter().filter(|request| request.verb == "bind").collect();
    assert_eq!(binds.len(), 2, "1.6.0 knows no such verb");
    for request in binds {
        let mut sent = Request::post("/bind");
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        let reply = server.send(sent.body(Body::from(request.body)).expect("a request")).await;
        assert_eq!((reply.code, reply.text()), (200, "{\"Error\":\"\"}\n"), "{}", request.client);
    }
}
