//! Messages that are odd but valid, and the effect of stored state.

use serde_json::{Value, json};

use crate::{
    check::{by_names, filtered, in_full, node, pod, prioritized},
    server::Server,
};

const UNKNOWN: &str = "node(s) not known to the extender";

async fn two_nodes() -> Server {
    Server::with(&[("nodes", node("a", "4", "8Gi")), ("nodes", node("b", "1", "8Gi"))]).await
}

#[tokio::test]
async fn keys_may_be_written_in_any_case() {
    let server = two_nodes().await;
    let web = pod("web", "2", "");
    let expected = server.post("/filter", by_names(&web, &["a", "b"])).await.json();
    assert_eq!(expected["NodeNames"], json!(["a"]));
    for body in [
        json!({"pod": web, "nodes": null, "nodenames": ["a", "b"]}),
        json!({"POD": web, "NODENAMES": ["a", "b"]}),
        json!({"Pod": web, "nodeNames": ["a", "b"], "unknown": {"x": [1]}}),
    ] {
        assert_eq!(server.post("/filter", body.to_string()).await.json(), expected, "{body}");
    }
    let body = json!({"pod": web, "nodes": {"Items": [node("a", "4", "8Gi")]}});
    let reply = server.post("/filter", body.to_string()).await.json();
    assert_eq!((&reply["Nodes"]["items"][0]["metadata"]["name"], &reply["NodeNames"]), (&json!("a"), &Value::Null));
}

#[tokio::test]
async fn duplicates_and_unknown_nodes_fail_nothing_but_themselves() {
    let server = two_nodes().await;
    let request = by_names(&pod("web", "2", ""), &["a", "gone", "b", "a", "gone", "b"]);
    let verdicts = filtered(&request, &server.post("/filter", request.clone()).await);
    assert_eq!(verdicts.fits, ["a", "a"]);
    assert_eq!((&*verdicts.failed["b"], &*verdicts.unresolvable["gone"]), ("Insufficient cpu", UNKNOWN));
    let scores = prioritized(&request, &server.post("/prioritize", request.clone()).await, 10);
    assert!(scores.contains(&("a".into(), 10)) && scores.contains(&("gone".into(), 0)), "{scores:?}");
    let twice = in_full(&pod("web", "2", ""), &[node("a", "4", "8Gi"), node("a", "4", "8Gi")]);
    assert_eq!(filtered(&twice, &server.post("/filter", twice.clone()).await).fits, ["a", "a"]);
}

#[tokio::test]
async fn missing_parts_are_reported_in_the_field_of_the_verb() {
    let server = two_nodes().await;
    for (body, form, error) in [
        (json!({"Pod": null, "NodeNames": ["a"]}), "NodeNames", "the request has no Pod"),
        (json!({"Pod": null, "Nodes": {"items": [node("a", 1, 1)]}}), "Nodes", "the request has no Pod"),
        (json!({"Pod": pod("p", 1, "")}), "NodeNames", "the request has neither Nodes nor NodeNames"),
        (json!(null), "NodeNames", "the request has no Pod"),
    ] {
        let reply = server.post("/filter", body.to_string()).await.json();
        assert_eq!(reply["Error"], error, "{body}");
        assert!(!reply[form].is_null(), "kube-scheduler reads null as no nodes at all: {reply}");
        assert_eq!(server.post("/prioritize", body.to_string()).await.refusal(400), error);
    }
    for request in [by_names(&pod("p", 1, ""), &[]), in_full(&pod("p", 1, ""), &[])] {
        assert_eq!(filtered(&request, &server.post("/filter", request.clone()).await).fits, [""; 0]);
        assert_eq!(server.post("/prioritize", request).await.json(), json!([]));
    }
}

#[tokio::test]
async fn odd_values_are_read_as_kubernetes_reads_them() {
    let server = Server::with(&[("nodes", node("knoten-ü-節点", 4, 8_589_934_592_i64))]).await;
    let request = by_names(&pod("poď", 2, ""), &["knoten-ü-節点"]);
    assert_eq!(filtered(&request, &server.post("/filter", request.clone()).await).fits, ["knoten-ü-節点"]);

    let mut decorated = node("n", 4, "8Gi");
    decorated["metadata"]["creationTimestamp"] = Value::Null;
    decorated["metadata"]["annotations"] = json!({"note": "x".repeat(1 << 20), "other": "é\u{1f600}\\\"\u{7f}"});
    decorated["metadata"]["managedFields"] = json!([{"fieldsV1": {"f:status": {"f:conditions": {"k:{}": {}}}}}]);
    decorated["spec"]["taints"] = Value::Null;
    decorated["unknown"] = json!({"deep": [[[{"1e400": -0.0}]]]});
    // Written with blanks, so that echoing byte for byte is not the same as printing again.
    let spaced = serde_json::to_string_pretty(&decorated).expect("JSON");
    let request = format!(r#"{{"Pod":{},"Nodes":{{"items":[ {spaced} ]}},"NodeNames":null}}"#, pod("p", 2, ""));
    let verdicts = filtered(&request, &server.post("/filter", request.clone()).await);
    assert_eq!(verdicts.fits, ["n"]);
}

#[tokio::test]
async fn quantities_beyond_reason_are_judged_or_refused_by_field() {
    let server = two_nodes().await;
    for (cpu, fits) in [
        (json!("9223372036854775807"), false),
        (json!("99999999999999999999999E"), false),
        (json!("1e-30"), true),
        (json!("-5"), true),
        (json!(-5), true),
        (json!(""), true),
    ] {
        let request = by_names(&pod("p", cpu.clone(), ""), &["a"]);
        let reply = server.post("/filter", request.clone()).await;
        if reply.code == 400 {
            let message = reply.refusal(400);
            assert!(message.starts_with("Pod.spec.containers[0].resources.requests[cpu]"), "{cpu}: {message}");
        } else {
            assert_eq!(!filtered(&request, &reply).fits.is_empty(), fits, "{cpu}");
        }
        let request = in_full(&pod("p", "1", ""), &[node("n", cpu.clone(), cpu.clone())]);
        let reply = server.post("/filter", request.clone()).await;
        if reply.code == 400 {
            assert!(reply.refusal(400).starts_with("Nodes.items[0].status.allocatable"), "{cpu}");
        } else {
            assert_eq!(filtered(&request, &reply).fits.is_empty(), fits, "a node of {cpu} CPUs");
            prioritized(&request, &server.post("/prioritize", request.clone()).await, 10);
        }
    }
}

#[tokio::test]
async fn sent_nodes_are_the_truth_about_nodes_and_stored_pods_about_pods() {
    let server = Server::with(&[
        ("nodes", node("a", "1", "8Gi")),
        ("pods", pod("big", "3", "a")),
        ("pods", pod("unknown", "3", "new")),
        ("pods", pod("done", "4", "b")).finished(),
    ])
    .await;
    // Stored, a offers 1 CPU; sent, it offers 4, of which 3 are taken. new and b are not stored at all.
    let nodes = ["a", "new", "b"].map(|name| node(name, "4", "8Gi"));
    let fits = async |cpu: &str| {
        let request = in_full(&pod("web", cpu, ""), &nodes);
        filtered(&request, &server.post("/filter", request.clone()).await).fits
    };
    assert_eq!(fits("1").await, ["a", "new", "b"]);
    assert_eq!(fits("2").await, ["b"], "a finished pod holds nothing");
    let request = by_names(&pod("web", "1", ""), &["a"]);
    let verdicts = filtered(&request, &server.post("/filter", request.clone()).await);
    assert_eq!(verdicts.failed["a"], "Insufficient cpu", "the request changed nothing that is stored");
}

/// Marks a pod as ended.
trait Finished {
    fn finished(self) -> Self;
}

impl Finished for (&str, Value) {
    fn finished(mut self) -> Self {
        self.1["status"] = json!({"phase": "Succeeded"});
        self
    }
}

#[tokio::test]
async fn a_pod_does_not_stand_in_its_own_way() {
    let server = Server::with(&[("nodes", node("a", "4", "8Gi")), ("pods", pod("web", "3", "a"))]).await;
    for request in [by_names(&pod("web", "3", ""), &["a"]), in_full(&pod("web", "3", ""), &[node("a", "4", "8Gi")])] {
        assert_eq!(filtered(&request, &server.post("/filter", request.clone()).await).fits, ["a"]);
    }
    let other = by_names(&pod("other", "3", ""), &["a"]);
    assert_eq!(filtered(&other, &server.post("/filter", other.clone()).await).failed["a"], "Insufficient cpu");
}

#[tokio::test]
async fn scores_are_spread_over_the_policys_range() {
    let text = json!({"kind": "Policy", "scoring": {"extenderMaxScore": 1000},
        "priorities": [{"name": "LeastRequestedPriority", "weight": 1}]});
    let wide = json!({"metadata": {"name": "wide"}, "revision": 1, "createdAt": "2026-01-01T00:00:00Z",
        "text": text.to_string()});
    let nodes = ["4", "6", "16"].map(|cpu| ("nodes", node(&format!("c{cpu}"), cpu, "8Gi")));
    let server = Server::with(&[&nodes[..], &[("policies.podberth.io", wide)]].concat()).await;
    let request = by_names(&pod("web", "2", ""), &["c4", "c6", "c16"]);

    let scores = prioritized(&request, &server.post("/prioritize", request.clone()).await, 10);
    assert_eq!((scores[0].1, scores[2].1), (0, 10), "{scores:?}");
    // LeastRequested: memory counts the same on all, CPU (4-2)·100/4 = 50, (6-2)·100/6 = 66, (16-2)·100/16 = 87. An
    // empty request counts 200 MiB of 8192: 97. (50+97)/2 = 73, (66+97)/2 = 81, (87+97)/2 = 92; spread over 0..1000:
    // (81-73)·1000/(92-73) = 421.
    let scores = prioritized(&request, &server.post("/prioritize?policy=wide", request.clone()).await, 1000);
    assert_eq!(scores.iter().map(|(_, score)| *score).collect::<Vec<_>>(), [0, 421, 1000]);

    let reply = server.post("/filter?policy=none", request.clone()).await.json();
    assert!(reply["Error"].as_str().is_some_and(|error| error.contains("none")), "{reply}");
    server.post("/prioritize?policy=none", request).await.refusal(404);
}

#[tokio::test]
async fn a_decision_tree_answers_its_order_and_its_deciding_level() {
    let tree = |name: &str, max: i64| {
        let text = json!({"kind": "Policy", "scoring": {"strategy": "Lexicographic", "extenderMaxScore": max, "levels": [
            {"priority": "NodePreferAvoidPodsPriority"}, {"priority": "LeastRequestedPriority"}]}});
        json!({"metadata": {"name": name}, "revision": 1, "createdAt": "2026-01-01T00:00:00Z", "text": text.to_string()})
    };
    let policies = [("ten", 10), ("three", 3)].map(|(name, max)| ("policies.podberth.io", tree(name, max)));
    let names = ["10", "11", "12", "14", "16", "19", "23", "29"];
    let nodes = names.map(|cpu| ("nodes", node(cpu, cpu, "8Gi")));
    let server = Server::with(&[&nodes[..], &policies[..]].concat()).await;
    // Nobody is to be avoided. The mean of (c−2)·100/c of CPU, 80 81 83 85 87 89 91 93, and memory's 97: 88 to 95, eight
    // groups, 10/7 apart: 0, 1.4, 2.9, 4.3, 5.7, 7.1, 8.6, 10.
    let request = by_names(&pod("web", "2", ""), &names);
    let scores = async |policy: &str, max| {
        let reply = server.post(&format!("/prioritize?policy={policy}"), request.clone()).await;
        prioritized(&request, &reply, max).into_iter().map(|(_, score)| score).collect::<Vec<_>>()
    };
    assert_eq!(scores("ten", 10).await, [0, 1, 3, 4, 6, 7, 9, 10]);
    assert_eq!(scores("three", 3).await, [0, 0, 0, 0, 0, 1, 2, 3], "the best keep a number each");

    let question = json!({"pod": pod("web", "2", "")}).to_string();
    let explained = server.post("/explain?policy=ten", question.clone()).await.json();
    let level = json!({"level": 2, "priority": "LeastRequestedPriority"});
    assert_eq!((&explained["selected"], &explained["decidedBy"]), (&json!("29"), &level));
    for (place, node) in explained["nodes"].as_array().expect("nodes").iter().enumerate() {
        let lost = if place == 7 { &Value::Null } else { &level };
        assert_eq!((&node["total"], &node["lostAt"]), (&json!(place), lost), "{node}");
    }
    let summed = server.post("/explain", question).await.json();
    assert!(summed.get("decidedBy").is_none() && summed["nodes"][0].get("lostAt").is_none());
    assert!(summed["nodes"][0]["scores"][0].get("tolerance").is_none());
}

#[tokio::test]
async fn other_clusters_are_reached_by_prefix_and_calls_are_counted() {
    let server = two_nodes().await;
    let request = by_names(&pod("web", "2", ""), &["a"]);
    server.post("/clusters/elsewhere/filter", request.clone()).await.fails(404, "NotFound");
    server.post("/clusters/elsewhere/api/v1/nodes", &node("b", "4", "8Gi")).await.is(201);
    let elsewhere = server.post("/clusters/elsewhere/filter", request.clone()).await;
    assert_eq!(filtered(&request, &elsewhere).unresolvable["a"], UNKNOWN);
    let doubled = server.post("/clusters/default//filter", request.clone()).await;
    assert_eq!(filtered(&request, &doubled).fits, ["a"]);
    server.post("/prioritize", "[]").await.refusal(400);

    let metrics = axum::http::Request::get("/metrics").body(axum::body::Body::empty()).expect("a request");
    let metrics = server.send(metrics).await;
    let counted = |labels: [&str; 3]| {
        let named = |line: &&str| line.starts_with("podberth_extender_requests_total{");
        metrics.text().lines().filter(named).any(|line| labels.iter().all(|label| line.contains(label)))
    };
    assert!(counted([r#"verb="filter""#, r#"code="200""#, r#"form="names""#]), "{}", metrics.text());
    assert!(counted([r#"verb="prioritize""#, r#"code="400""#, r#"form="none""#]), "{}", metrics.text());
}

#[tokio::test]
async fn a_resent_node_is_judged_by_its_new_text() {
    let server = Server::with(&[("nodes", node("a", "1", "8Gi"))]).await;
    let sent = |cpu: &str| {
        let mut node = node("a", cpu, "8Gi");
        node["metadata"]["resourceVersion"] = json!("7");
        // Long enough to be remembered, and the same up to there.
        node["metadata"]["annotations"] = json!({"note": "x".repeat(5000)});
        in_full(&pod("web", "2", ""), &[node])
    };
    let (small, large) = (sent("1"), sent("4"));
    for (request, fits) in [(&small, false), (&small, false), (&large, true), (&large, true), (&small, false)] {
        let verdicts = filtered(request, &server.post("/filter", request.clone()).await);
        assert_eq!(!verdicts.fits.is_empty(), fits);
        prioritized(request, &server.post("/prioritize", request.clone()).await, 10);
    }
}
