//! Long replies are compressed for readers that ask for it, where that is wanted.

use std::io::Read;

use axum::{body::Body, http::Request};
use flate2::read::GzDecoder;
use podberth::api::middleware::Limits;
use serde_json::{Value, json};

use crate::{
    node, pod,
    server::{Reply, Server, Setup, memory},
};

const LIST: &str = "/api/v1/nodes";
const GZIP: (&str, &str) = ("accept-encoding", "gzip");

fn name(i: usize) -> String {
    format!("node-{i:03}")
}

async fn server(compress_from_bytes: Option<u64>) -> Server {
    let nodes: Vec<(&str, Value)> = (0..100).map(|i| ("nodes", node(&name(i), 4))).collect();
    let limits = Limits { compress_from_bytes, ..Setup::default().limits };
    Server::start(memory(&nodes).await, Setup { limits, ..Setup::default() })
}

fn is_compressed(reply: &Reply) -> bool {
    assert_eq!(reply.code, 200);
    reply.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip")
}

#[tokio::test]
async fn a_long_list_is_compressed_on_request() {
    let server = server(Some(4_096)).await;
    let plain = server.get(LIST).await;
    assert!(!is_compressed(&plain) && plain.body.len() > 4_096);
    let sent = server.ask("GET", LIST, GZIP, "").await;
    assert!(is_compressed(&sent) && sent.body.len() < plain.body.len() / 4);
    assert_eq!(sent.headers["vary"], "accept-encoding");
    assert_eq!(sent.headers["content-type"], plain.headers["content-type"]);
    let mut text = String::new();
    GzDecoder::new(&*sent.body).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, plain.text());

    let other = server.ask("GET", LIST, ("accept-encoding", "br, deflate, gzip;q=0"), "").await;
    assert!(!is_compressed(&other), "only what is asked for");
    let short = server.ask("GET", &format!("{LIST}/{}", name(0)), GZIP, "").await;
    assert!(!is_compressed(&short), "what is short is not worth it");
}

#[tokio::test]
async fn extender_replies_and_line_streams_are_never_compressed() {
    let server = server(Some(1)).await;
    let names: Vec<String> = (0..100).map(name).collect();
    let question = json!({"Pod": pod(1), "NodeNames": names});
    for verb in ["/filter", "/prioritize"] {
        let reply = server.ask("POST", verb, GZIP, &question).await;
        assert!(!is_compressed(&reply), "{verb}");
        assert_eq!(reply.text(), server.post(verb, &question).await.text());
    }
    for (verb, body) in [("/bind", json!({})), ("/preempt", json!({}))] {
        let reply = server.ask("POST", verb, GZIP, &body).await;
        assert!(!reply.headers.contains_key("content-encoding"), "{verb}");
    }
    let lines = Request::post("/schedule")
        .header("accept", "application/x-ndjson")
        .header(GZIP.0, GZIP.1)
        .body(Body::from(json!({"pods": [pod(1)]}).to_string()));
    let reply = server.send(lines.expect("a request")).await;
    assert!(!is_compressed(&reply) && reply.text().lines().count() == 2, "{}", reply.text());
}

#[tokio::test]
async fn nothing_is_compressed_unless_that_is_wanted() {
    assert!(!is_compressed(&server(None).await.ask("GET", LIST, GZIP, "").await));
}
