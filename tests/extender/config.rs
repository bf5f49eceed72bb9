//! `/extender/config`: kube-scheduler's configuration for this server.

use axum::{body::Body, http::Request};
use podberth::{
    api::{
        middleware, router,
        state::{AppState, Manner},
    },
    core::policy::Extender,
    wire::policy::{Document, parse},
};
use serde_json::{Value, json};

use crate::server::{Reply, Server, Setup};

async fn config(server: &Server, host: &str, query: &str) -> Reply {
    server.ask("GET", &format!("/extender/config{query}"), ("host", host), "").await
}

/// The only extender of a file, as Podberth itself reads it.
fn extender(reply: &Reply) -> Extender {
    assert_eq!(reply.code, 200, "{}", reply.text());
    let extenders = match parse(reply.text()).expect("the file has no fault") {
        Document::Policy(policy) => policy.extenders,
        Document::Configuration(configuration) => configuration.extenders,
    };
    let [extender] = extenders.try_into().expect("one extender");
    extender
}

#[tokio::test]
async fn a_configuration_names_the_host_of_the_request() {
    let server = Server::with(&[]).await;
    let reply = config(&server, "podberth.kube-system.svc:8080", "").await;
    assert_eq!(reply.header("content-type"), Some("application/yaml"));
    assert_eq!(
        reply.text(),
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders:\n\
         - urlPrefix: http://podberth.kube-system.svc:8080\n  filterVerb: filter\n  preemptVerb: preempt\n  \
         prioritizeVerb: prioritize\n  weight: 1\n  httpTimeout: 5s\n  nodeCacheCapable: true\n  ignorable: true\n"
    );
    assert_eq!(reply.text(), config(&server, "podberth.kube-system.svc:8080", "?version=v1").await.text());
}

#[tokio::test]
async fn a_policy_has_the_timeout_in_nanoseconds() {
    let server = Server::with(&[]).await;
    let reply = config(&server, "[::1]:8080", "?version=policy").await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let example: Value = serde_json::from_str(include_str!("../../examples/kube-scheduler/policy-with-extender.json"))
        .expect("the example is JSON");
    let mut expected = example;
    expected["extenders"][0]["urlPrefix"] = "http://[::1]:8080".into();
    assert_eq!(reply.json(), expected);
}

#[tokio::test]
async fn both_forms_are_accepted_and_mean_the_same() {
    let server = Server::with(&[]).await;
    server.put("/policies/batch", json!({"kind": "Policy", "apiVersion": "v1"})).await.json();
    for query in ["", "&bind=true", "&ignorable=false", "&policy=batch", "&policy=batch&bind=true&ignorable=false"] {
        let modern = extender(&config(&server, "h", &format!("?version=v1{query}")).await);
        assert_eq!(modern, extender(&config(&server, "h", &format!("?version=policy{query}")).await), "{query}");
        assert_eq!(modern.ignorable, !query.contains("ignorable=false"));
        let suffix = if query.contains("policy") { "?policy=batch" } else { "" };
        assert_eq!(modern.filter_verb, format!("filter{suffix}"));
        assert_eq!(modern.bind_verb, if query.contains("bind") { format!("bind{suffix}") } else { String::new() });
    }
}

#[tokio::test]
async fn another_cluster_has_its_prefix() {
    let server = Server::with(&[]).await;
    let reply = server.ask("GET", "/clusters/prod/extender/config", ("host", "h:1"), "").await;
    assert_eq!(extender(&reply).url_prefix, "http://h:1/clusters/prod");
}

#[tokio::test]
async fn the_public_url_stands_in_for_the_host() {
    let Server { state, .. } = Server::with(&[]).await;
    let url = Some("https://podberth.example.com/base".to_owned());
    let manner = Manner { public_url: url, ..Manner::default() };
    let service = podberth::service::Service::clone(&state);
    let state = AppState::asked(manner, service, Vec::new(), state.metrics.clone());
    let limits = middleware::Limits { ..Setup::default().limits };
    let server =
        Server { router: router(state.clone(), limits, Setup::default().diagnostics), state, is_searched: true };
    let told = config(&server, "10.0.0.1:8080", "").await;
    // With `enableHTTPS` and no authority kube-scheduler would trust every server.
    let expected = "- urlPrefix: https://podberth.example.com/base\n  filterVerb: filter\n  preemptVerb: preempt\n  \
        prioritizeVerb: prioritize\n  weight: 1\n  enableHTTPS: true\n  tlsConfig:\n    caFile: /etc/kubernetes/podberth/ca.crt\n";
    assert!(told.text().contains(expected), "{}", told.text());
}

#[tokio::test]
async fn what_cannot_work_is_refused() {
    let server = Server::with(&[]).await;
    let message = config(&server, "h", "?version=v1beta3").await.refusal(400);
    assert!(
        message.contains("version: Unsupported value: \"v1beta3\": supported values: \"v1\", \"policy\""),
        "{message}"
    );
    config(&server, "h", "?policy=absent").await.fails(404, "NotFound");
    config(&server, "h", "?bind=perhaps").await.refusal(400);
    config(&server, "h", "?verison=v1").await.refusal(400);
    for host in ["", "a b", "u@h", "h:x", "h\"\nx"] {
        let Ok(request) = Request::get("/extender/config").header("host", host).body(Body::empty()) else { continue };
        let message = server.send(request).await.refusal(400);
        assert!(message.contains("--public-url"), "{host:?}: {message}");
    }
    assert!(server.get("/extender/config").await.refusal(400).contains("--public-url"));
}
