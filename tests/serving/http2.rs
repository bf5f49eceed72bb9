//! HTTP/2 as clients speak it who know that the server does.

use axum::{
    body::{Body, to_bytes},
    http::{Request, Version},
};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    Running, node, pod,
    server::{LATE, Server},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_share_a_connection() {
    const NODES: usize = 8;
    let name = |cpu: usize| format!("n{cpu}");
    let nodes: Vec<(&str, Value)> = (1..=NODES).map(|cpu| ("nodes", node(&name(cpu), cpu))).collect();
    let running = Running::start(Server::with(&nodes).await.router, LATE).await;
    let stream = TokioIo::new(running.connect().await);
    let (sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);

    let mut calls = JoinSet::new();
    for cpu in 1..=NODES {
        let mut sender = sender.clone();
        let names: Vec<String> = (1..=NODES).map(name).collect();
        // Every second one is longer than the window that a stream begins with.
        let padding = " ".repeat(if cpu % 2 == 0 { 2 << 20 } else { 0 });
        let question = json!({"Pod": pod(cpu), "NodeNames": names}).to_string() + &padding;
        calls.spawn(async move {
            let request = Request::post("http://podberth/filter").body(Body::from(question)).expect("a request");
            let reply = sender.send_request(request).await.expect("a reply");
            assert_eq!((reply.version(), reply.status().as_u16()), (Version::HTTP_2, 200));
            let body = to_bytes(Body::new(reply.into_body()), usize::MAX).await.expect("a body");
            let reply: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(reply["NodeNames"], json!((cpu..=NODES).map(name).collect::<Vec<_>>()), "{cpu} CPUs");
        });
    }
    calls.join_all().await;

    // Told to stop, it says goodbye and the connection ends.
    running.end().await;
    connection.await.expect("no panic").expect("a clean end");
    drop(sender);
}
