//! `/bind` as kube-scheduler calls it, and other changes of a pod that is to be bound.

use std::time::Duration;

use axum::{body::Body, http::Request};
use podberth::{live::Limits, service::Freshness, store::Atomicity};
use serde_json::{Value, json};

use crate::{
    check::{by_names, filtered, node, pod},
    server::{Server, Setup, memory, seed},
};

fn binding(pod: &str, uid: &str, node: &str) -> String {
    json!({"PodName": pod, "PodNamespace": "default", "PodUID": uid, "Node": node}).to_string()
}

async fn one_node(pods: &[&str]) -> Server {
    let pods = pods.iter().map(|name| {
        let mut pod = pod(name, "2", "");
        pod["metadata"]["uid"] = (*name).into();
        ("pods", pod)
    });
    Server::with(&std::iter::once(("nodes", node("a", "4", "8Gi"))).chain(pods).collect::<Vec<_>>()).await
}

/// The `Error` of a reply, which has nothing else.
async fn bind(server: &Server, path: &str, body: String) -> String {
    let reply = server.post(path, body).await.json();
    let Some(error) = reply["Error"].as_str() else { panic!("{reply}") };
    assert_eq!(reply.as_object().map(serde_json::Map::len), Some(1), "{reply}");
    error.to_owned()
}

#[tokio::test]
async fn a_bind_is_judged_stored_and_may_be_repeated() {
    let server = one_node(&["p", "q", "r"]).await;
    for _ in 0..3 {
        assert_eq!(bind(&server, "/bind", binding("p", "p", "a")).await, "", "a lost reply is asked for again");
    }
    assert_eq!(
        bind(&server, "//bind", r#"{"podName":"q","PODNAMESPACE":"default","poduid":"","node":"a"}"#.into()).await,
        ""
    );
    let third = by_names(&pod("r", "2", ""), &["a"]);
    assert_eq!(filtered(&third, &server.post("/filter", third.clone()).await).failed["a"], "Insufficient cpu");
    for (body, error) in [
        (binding("r", "r", "a"), "pod r does not fit on node a: Insufficient cpu"),
        (binding("r", "r", "gone"), "node gone is not known"),
        (binding("gone", "x", "a"), "pod default/gone is not known to the extender"),
        (binding("p", "other", "a"), "pod default/p has the uid p: it is not the pod with the uid other"),
        (binding("p", "p", "b"), r#"pod p is already assigned to node "a""#),
        ("{}".into(), "the request names no pod or no node"),
    ] {
        assert_eq!(bind(&server, "/bind", body).await, error);
    }
    for body in ["[]", "{", r#"{"PodName":1}"#] {
        server.post("/bind", body).await.refusal(400);
    }
}

#[tokio::test]
async fn the_policy_that_is_named_judges() {
    let text = json!({"kind": "Policy", "predicates": [{"name": "HostName"}]}).to_string();
    let lax = json!({"metadata": {"name": "lax"}, "revision": 1, "createdAt": "2026-01-01T00:00:00Z", "text": text});
    let objects = [("nodes", node("a", "1", "8Gi")), ("pods", pod("p", "2", "")), ("policies.podberth.io", lax)];
    let server = Server::with(&objects).await;
    assert!(bind(&server, "/bind", binding("p", "p", "a")).await.ends_with("Insufficient cpu"));
    assert!(bind(&server, "/bind?policy=none", binding("p", "p", "a")).await.contains("none"));
    assert_eq!(bind(&server, "/bind?policy=lax", binding("p", "p", "a")).await, "");
}

#[tokio::test]
async fn binds_at_once_share_what_there_is() {
    let names: Vec<String> = (0..40).map(|i| format!("p{i}")).collect();
    let server = one_node(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut calls = tokio::task::JoinSet::new();
    for name in names {
        let server = server.clone();
        calls.spawn(async move { bind(&server, "/bind", binding(&name, "", "a")).await });
    }
    let errors = calls.join_all().await;
    assert_eq!(errors.iter().filter(|error| error.is_empty()).count(), 2, "two pods of 2 CPUs on 4: {errors:?}");
}

#[tokio::test]
async fn overload_is_answered_with_a_retry_time() {
    let store = memory(&[("nodes", node("a", "4", "8Gi")), ("pods", pod("p", "2", ""))]).await;
    let server = Server::start(
        store,
        Setup { clusters: Limits { most_waiting: 0, ..Setup::default().clusters }, ..Setup::default() },
    );
    let reply = server.post("/bind", binding("p", "p", "a")).await;
    assert_eq!((reply.code, reply.headers["retry-after"].to_str().ok()), (429, Some("1")), "{}", reply.text());
}

#[tokio::test]
async fn without_its_database_it_decides_on_and_writes_nothing() {
    for (max_staleness, decides) in [(Duration::MAX, true), (Duration::ZERO, false)] {
        let store = memory(&[("nodes", node("a", "4", "8Gi")), ("pods", pod("p", "2", ""))]).await;
        let freshness = Freshness { max_staleness, ..Freshness::default() };
        let server = Server::start(store.clone(), Setup { freshness, ..Setup::default() });
        let request = by_names(&pod("p", "2", ""), &["a"]);
        // It loads.
        server.post("/filter", request.clone()).await;
        store.close().await;
        for (path, body) in [
            ("/filter", request.clone()),
            ("/prioritize", request.clone()),
            ("/explain", json!({"podName": "p"}).to_string()),
        ] {
            let reply = server.post(path, body).await;
            if decides {
                assert_eq!(reply.code, 200, "{}", reply.text());
                assert!(reply.headers["x-podberth-snapshot-age"].to_str().is_ok_and(|age| age.parse::<u64>().is_ok()));
                assert_eq!(reply.headers["x-podberth-snapshot-revision"], "2");
            } else {
                assert!(reply.refusal(503).contains("seconds old"));
                assert_eq!(reply.headers["retry-after"], "1");
            }
        }
        for (path, body) in [
            ("/bind", binding("p", "p", "a")),
            ("/api/v1/namespaces/default/pods/p/binding", json!({"target": {"name": "a"}}).to_string()),
            ("/api/v1/nodes", json!({"metadata": {"name": "b"}}).to_string()),
            ("/import", json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "b"}}).to_string()),
        ] {
            let reply = server.post(path, body).await;
            assert_eq!((reply.code, reply.headers["retry-after"].to_str().ok()), (503, Some("1")), "{path}");
        }
        assert_eq!(server.get("/livez").await.code, 200);
    }
}

#[tokio::test]
async fn a_reader_can_wait_for_writes_of_another_replica() {
    let store = memory(&[("nodes", node("a", "4", "8Gi"))]).await;
    let freshness = Freshness { max_staleness: Duration::MAX, max_wait: Duration::from_millis(1) };
    let patient = Server::start(store.clone(), Setup::default());
    let hasty = Server::start(store.clone(), Setup { freshness, ..Setup::default() });
    let request = by_names(&pod("p", "2", ""), &["a"]);
    patient.post("/filter", request.clone()).await;
    let revision = |reply: &crate::server::Reply| {
        reply.headers["x-podberth-snapshot-revision"].to_str().ok().and_then(|text| text.parse::<u64>().ok())
    };
    for wanted in 2..6 {
        seed(&store, &[("nodes", node(&format!("n{wanted}"), "4", "8Gi"))], Atomicity::Each).await;
        let how = if wanted % 2 == 0 { format!("minRevision={wanted}") } else { "consistent=true".into() };
        for (path, body) in [("/filter", request.clone()), ("/explain", json!({"pod": {}}).to_string())] {
            let reply = patient.post(&format!("{path}?{how}"), body).await;
            assert_eq!(reply.code, 200, "{}", reply.text());
            assert!(revision(&reply) >= Some(wanted), "{how}");
        }
    }
    let message = hasty.post("/filter?minRevision=99", request.clone()).await.refusal(504);
    assert_eq!(message, "Too large resource version: 99, current: 5");
    hasty.post("/filter?minRevision=-1", request.clone()).await.refusal(400);
    hasty.post("/prioritize?consistent=maybe", request).await.refusal(400);
    assert_eq!(hasty.get("/policy?minRevision=99").await.code, 504);
    assert_eq!(hasty.get("/policies?minRevision=5").await.code, 200);
}

fn reservation(node: &str, kind: &str) -> Value {
    json!({"node": node, "kind": kind, "ttlSeconds": 60})
}

async fn put(server: &Server, path: &str, body: &Value) -> crate::server::Reply {
    let request = Request::put(path).header("Content-Type", "application/json").body(Body::from(body.to_string()));
    server.send(request.expect("a request")).await
}

#[tokio::test]
async fn a_reserved_node_counts_as_taken() {
    let server = one_node(&["p", "q", "r"]).await;
    let granted = put(&server, "/reservations/default/p", &reservation("a", "Assumed")).await.json();
    assert_eq!((&granted["node"], &granted["pod"], &granted["podUID"]), (&"a".into(), &"p".into(), &"p".into()));
    put(&server, "/reservations/default/q", &json!({"node": "a"})).await.json();
    let full = put(&server, "/reservations/default/r", &reservation("a", "Assumed")).await.refusal(409);
    assert!(full.ends_with("pod r does not fit on node a: Insufficient cpu"), "{full}");
    assert!(bind(&server, "/bind", binding("r", "r", "a")).await.ends_with("Insufficient cpu"));
    let listed = server.get("/reservations").await.json();
    let pods: Vec<_> = listed["items"].as_array().expect("items").iter().map(|r| r["pod"].clone()).collect();
    assert_eq!(pods, ["p", "q"]);
    assert_eq!(bind(&server, "/bind", binding("p", "p", "a")).await, "", "it is not in its own way");

    let delete = || Request::delete("/reservations/default/q").body(Body::empty()).expect("a request");
    assert_eq!(server.send(delete()).await.code, 200);
    server.send(delete()).await.refusal(404);
    assert_eq!(bind(&server, "/bind", binding("r", "r", "a")).await, "");

    put(&server, "/reservations/default/gone", &reservation("a", "Assumed")).await.refusal(404);
    put(&server, "/reservations/default/q", &json!({"node": "a", "podUID": "other"})).await.refusal(409);
    for bad in [json!({}), json!({"node": "a", "ttlSeconds": 0}), json!({"node": "a", "kind": "Odd"}), json!([])] {
        put(&server, "/reservations/default/q", &bad).await.refusal(400);
    }
    put(&server, "/reservations/default/q", &reservation("gone", "Nominated")).await.json();
}
