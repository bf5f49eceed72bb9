//! Clients that send slowly, take nothing, or do nothing at all.

use std::time::Duration;

use axum::{body::Body, http::Request};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use podberth::{
    api::{middleware::Limits, pace::Pace, serve::Timeouts},
    service::compute::SMALL_BODY,
};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::{
    Running, TIMEOUTS,
    admission::{Client, LARGE, LONG, question},
    node, pod,
    server::{LATE, Server, Setup, memory},
};

const SHORT: Duration = Duration::from_millis(5);
const PATIENT: Pace = Pace { grace: LATE, bytes_per_second: 1 };

/// A server that knows the node `a`, with room for two small bodies and for eight large ones.
async fn server(body_pace: Pace) -> Server {
    let limits = Limits { bodies_bytes: 8 * LARGE, body_pace, ..Setup::default().limits };
    Server::start(memory(&[("nodes", node("a", 4))]).await, Setup { limits, ..Setup::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_body_that_does_not_come_delays_nobody() {
    let running = Running::start(server(PATIENT).await.router, LATE).await;
    for length in [SMALL_BODY, LARGE] {
        let mut idle = Vec::new();
        for _ in 0..10 {
            let mut client = Client::new(&running).await;
            client.begin(length, "").await;
            client.write(b"          ").await;
            idle.push(client);
        }
        Client::new(&running).await.ask(&question(length)).await.says_that_it_fits();
        // Nor is anybody sent away who still has time.
        for mut client in idle {
            client.write(&question(length - 10)).await;
            client.reply().await.says_that_it_fits();
        }
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_unknown_length_holds_room_for_received_bytes() {
    let running = Running::start(server(PATIENT).await.router, LATE).await;
    let mut chunked = Client::new(&running).await;
    chunked
        .write(b"POST /filter HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\na\r\n          \r\n")
        .await;
    Client::new(&running).await.ask(&question(SMALL_BODY)).await.says_that_it_fits();
    let body = question(LARGE - 10);
    chunked.write(format!("{:x}\r\n", body.len()).as_bytes()).await;
    chunked.write(&body).await;
    chunked.write(b"\r\n0\r\n\r\n").await;
    chunked.reply().await.says_that_it_fits();
    drop(chunked);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_takes_too_long_is_refused() {
    let running = Running::start(server(Pace { grace: SHORT, bytes_per_second: 1 << 20 }).await.router, LATE).await;
    let mut client = Client::new(&running).await;
    client.begin(SMALL_BODY, "").await;
    client.write(b"          ").await;
    let reply = client.reply().await;
    assert!(reply.head.starts_with("HTTP/1.1 408 "), "{}", reply.head);
    let message = reply.json()["message"].to_string();
    assert!(message.contains("--body-timeout") && message.contains("--min-body-rate"), "{message}");
    drop(client);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_refused_with_the_remedy() {
    let running = Running::start(server(PATIENT).await.router, LATE).await;
    let mut client = Client::new(&running).await;
    client.begin(4, "content-encoding: gzip\r\n").await;
    client.write(b"\x1f\x8b\x08\x00").await;
    let reply = client.reply().await;
    assert!(reply.head.starts_with("HTTP/1.1 415 "), "{}", reply.head);
    assert!(reply.json()["message"].to_string().contains("Content-Encoding"));
    drop(client);
    running.end().await;
}

/// A client of HTTP/2 whose streams have this window, and the result of its connection.
async fn http2_client(
    running: &Running,
    window: u32,
) -> (http2::SendRequest<Body>, tokio::task::JoinHandle<Result<(), hyper::Error>>) {
    let stream = TokioIo::new(running.connect().await);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(stream).await.expect("it speaks HTTP/2");
    (sender, tokio::spawn(connection))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_window_gives_its_room_back_and_the_connection_ends() {
    let mut large = node("a", 4);
    large["metadata"]["annotations"] = json!({"long": "x".repeat(LONG)});
    let full = json!({"Pod": pod(1), "Nodes": {"items": [large]}}).to_string();
    let limits = Limits { bodies_bytes: full.len(), ..Setup::default().limits };
    let server = Server::start(memory(&[("nodes", node("a", 4))]).await, Setup { limits, ..Setup::default() });
    for window in [0, 1, 100_000] {
        let stalled = Pace { grace: Duration::from_millis(50), bytes_per_second: 1 << 30 };
        let timeouts = Timeouts { stalled, connections: 10, ..TIMEOUTS };
        let running = Running::within(server.router.clone(), timeouts).await;
        let (mut sender, connection) = http2_client(&running, window).await;
        let request = Request::post("http://localhost/filter").body(Body::from(full.clone())).expect("a request");
        let reply = sender.send_request(request).await.expect("the head of a reply");
        assert_eq!(reply.status(), 200, "and nobody reads the rest");
        Client::new(&running).await.ask(&question(LARGE)).await.says_that_it_fits();
        let _ = connection.await.expect("it ends, and without a panic");
        drop(reply);
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_lists_give_way_to_one_that_is_read() {
    let mut large = node("a", 4);
    large["metadata"]["annotations"] = json!({"long": "x".repeat(8 << 20)});
    let server = Server::start(memory(&[("nodes", large)]).await, Setup::default());
    // Room for one such list, which is more than sockets hold.
    let timeouts = Timeouts { reply_bytes: 9 << 20, ..TIMEOUTS };
    let running = Running::within(server.router.clone(), timeouts).await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        let mut client = Client::new(&running).await;
        client.write(b"GET /api/v1/nodes HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        // The beginning of the reply: it has its room.
        assert_eq!(client.0.read(&mut [0]).await.expect("a reply"), 1);
        unread.push(client);
    }
    let mut cut = Vec::new();
    unread[0].0.read_to_end(&mut cut).await.ok();
    assert!(cut.len() < 8 << 20, "it made room: {} bytes", cut.len());
    let mut whole = Vec::new();
    let last = unread.last_mut().expect("three");
    while whole.len() < 8 << 20 {
        assert!(last.0.read_buf(&mut whole).await.expect("the rest") > 0, "{} bytes", whole.len());
    }
    drop(unread);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_requests_is_closed() {
    let timeouts = Timeouts { idle: Duration::from_millis(20), stalled: PATIENT, connections: 10, ..TIMEOUTS };
    let running = Running::within(server(PATIENT).await.router, timeouts).await;
    let mut silent = running.connect().await;
    assert_eq!(silent.read(&mut [0]).await.expect("an end"), 0);
    let (sender, connection) = http2_client(&running, 1 << 16).await;
    let _ = connection.await.expect("over HTTP/2 too, though it answers pings");
    drop(sender);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_closes_the_idlest() {
    let timeouts = Timeouts { stalled: PATIENT, connections: 2, ..TIMEOUTS };
    let running = Running::within(server(PATIENT).await.router, timeouts).await;
    let mut busy = Client::begun(&running, &question(LARGE)).await;
    let mut idle = Client::new(&running).await;
    idle.write(b"GET /livez HT").await;
    for _ in 0..3 {
        Client::new(&running).await.ask(&question(0)).await.says_that_it_fits();
    }
    assert_eq!(idle.0.read(&mut [0]).await.unwrap_or(0), 0, "it had no request");
    busy.write(b" ").await;
    busy.reply().await.says_that_it_fits();
    drop(busy);
    running.end().await;
}
