//! Requests that a page of another site makes a browser send, over HTTP/1.1 and HTTP/2, in their wire form.

use std::net::IpAddr;

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{Request, Version},
};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use podberth::api::browser::Guard;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Running, node,
    server::{LATE, Server},
};

const POLICY: &str = r#"{"kind":"Policy","apiVersion":"v1","priorities":[{"name":"EqualPriority","weight":7}]}"#;

/// The server as `podberth serve` has it, where it listens at this address.
async fn guarded(listening: &str, hosts: &str, origins: &str) -> Router {
    let listening: IpAddr = listening.parse().expect("an address");
    let guard = Guard::new(&[listening], hosts.parse().expect("hosts"), origins.parse().expect("origins"));
    Server::with(&[("nodes", node("a", 4))]).await.router.layer(Extension(guard))
}

/// The status and the text of the reply to a raw request.
async fn reply(running: &Running, request: &str) -> (u16, String) {
    let mut stream = running.connect().await;
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("it answers and closes");
    let code = reply.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or_else(|| panic!("no reply: {reply}")), reply)
}

async fn get(running: &Running, target: &str, headers: &str) -> (u16, String) {
    reply(running, &format!("GET {target} HTTP/1.1\r\n{headers}connection: close\r\n\r\n")).await
}

/// Sends a policy to a path with these headers besides.
async fn post(running: &Running, path: &str, headers: &str) -> (u16, String) {
    let length = POLICY.len();
    let head = format!("POST {path} HTTP/1.1\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    reply(running, &(head + POLICY)).await
}

#[tokio::test]
async fn loopback_serves_local_names_addresses_and_named_hosts() {
    let running = Running::start(guarded("127.0.0.1", "podberth.example,*.ts.example:81", "none").await, LATE).await;
    for host in [
        "localhost",
        "LocalHost.:8080",
        "a.b.localhost",
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:8080",
        "[::ffff:127.0.0.1]",
        "podberth.example:8080",
        "Podberth.Example.",
        "a.ts.example:81",
        "",
    ] {
        let (code, reply) = get(&running, "/api/v1/nodes", &format!("host: {host}\r\n")).await;
        assert_eq!(code, 200, "{host}: {reply}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example:8080",
        "127.0.0.1.nip.example",
        "2130706433",
        "ts.example:81",
        "a.ts.example",
        "user@localhost",
        "[::1",
        "localhost:port",
    ] {
        for path in ["/api/v1/nodes", "/clusters/default/api/v1/nodes", "//healthz", "/nowhere", "/livez"] {
            let (code, reply) = get(&running, path, &format!("host: {host}\r\n")).await;
            assert_eq!(code, 421, "{host}{path}: {reply}");
            assert!(reply.contains("--allowed-hosts"), "{reply}");
        }
    }
    running.end().await;
}

#[tokio::test]
async fn every_way_to_name_a_host_counts() {
    let running = Running::start(guarded("::1", "none", "none").await, LATE).await;
    let (code, _) = get(&running, "http://localhost:1/livez", "host: localhost:1\r\n").await;
    assert_eq!(code, 200);
    for (target, headers) in [
        ("http://evil.example/livez", "host: localhost\r\n"),
        ("http://localhost/livez", "host: evil.example\r\n"),
        ("http://evil.example/livez", ""),
    ] {
        assert_eq!(get(&running, target, headers).await.0, 421, "{target} {headers}");
    }
    assert_eq!(get(&running, "/livez", "host: localhost\r\nhost: evil.example\r\n").await.0, 400);
    let (code, _) = reply(&running, "GET /livez HTTP/1.0\r\n\r\n").await;
    assert_eq!(code, 200, "HTTP/1.0 names none");
    running.end().await;
}

#[tokio::test]
async fn elsewhere_hosts_are_checked_where_they_are_named() {
    for (hosts, code) in [("none", 200), ("podberth.example", 421), ("any", 200)] {
        let running = Running::start(guarded("10.0.0.1", hosts, "none").await, LATE).await;
        assert_eq!(get(&running, "/livez", "host: some.example\r\n").await.0, code, "{hosts}");
        running.end().await;
    }
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let running = Running::start(guarded("127.0.0.1", "none", "https://ui.example").await, LATE).await;
    let host = "host: localhost:8080\r\n";
    for headers in [
        "sec-fetch-site: cross-site\r\norigin: http://evil.example\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\norigin: http://localhost:3000\r\n",
        "sec-fetch-site: something-new\r\n",
        "sec-fetch-site: same-origin\r\nsec-fetch-site: cross-site\r\n",
        "origin: http://evil.example\r\n",
        "origin: null\r\n",
        "origin: http://localhost:8081\r\n",
        "origin: http://ui.example\r\n",
        "origin: https://ui.example\r\norigin: http://evil.example\r\n",
        "content-type: application/x-www-form-urlencoded\r\norigin: http://evil.example\r\n",
        "content-type: text/plain\r\nsec-fetch-site: cross-site\r\n",
    ] {
        for path in ["/policy", "/import?replace=true", "/schedule", "/evictions", "/clusters/a/policy", "/filter"] {
            let (code, reply) = post(&running, path, &format!("{host}{headers}")).await;
            assert_eq!(code, 403, "{path} {headers}: {reply}");
            assert!(reply.contains("--allowed-origins") && reply.contains(r#""reason":"Forbidden""#), "{reply}");
        }
    }
    for method in ["PUT", "DELETE", "PATCH", "BREW"] {
        let request =
            format!("{method} /policy HTTP/1.1\r\n{host}origin: http://evil.example\r\nconnection: close\r\n\r\n");
        assert_eq!(reply(&running, &request).await.0, 403, "{method}");
    }
    running.end().await;
}

#[tokio::test]
async fn other_clients_and_own_pages_are_served() {
    let running = Running::start(guarded("127.0.0.1", "none", "https://ui.example").await, LATE).await;
    for headers in [
        "",
        "content-type: application/x-www-form-urlencoded\r\n",
        "sec-fetch-site: none\r\n",
        "sec-fetch-site: same-origin\r\norigin: http://localhost:8080\r\n",
        "origin: http://LOCALHOST:8080\r\n",
        "sec-fetch-site: cross-site\r\norigin: https://ui.example\r\n",
        "origin: https://UI.example:443\r\n",
    ] {
        let (code, reply) = post(&running, "/policy", &format!("host: localhost:8080\r\n{headers}")).await;
        assert_eq!(code, 200, "{headers}: {reply}");
    }
    let (code, _) = get(&running, "/api/v1/nodes", "host: localhost\r\norigin: http://evil.example\r\n").await;
    assert_eq!(code, 200, "the browser keeps the reply from the page");
    running.end().await;
}

#[tokio::test]
async fn an_allowed_page_may_read_replies() {
    let running = Running::start(guarded("127.0.0.1", "none", "https://ui.example").await, LATE).await;
    let page = "host: localhost\r\norigin: https://ui.example\r\n";
    let (_, text) = get(&running, "/api/v1/nodes", page).await;
    assert!(text.contains("access-control-allow-origin: https://ui.example\r\n"), "{text}");
    let (_, other) = get(&running, "/api/v1/nodes", "host: localhost\r\norigin: https://evil.example\r\n").await;
    assert!(!other.contains("access-control") && other.contains("vary: origin"), "{other}");

    let asked = "access-control-request-method: PUT\r\naccess-control-request-headers: content-type\r\n";
    let preflight = |page: &str| format!("OPTIONS /policy HTTP/1.1\r\n{page}{asked}connection: close\r\n\r\n");
    let (code, text) = reply(&running, &preflight(page)).await;
    assert_eq!(code, 204, "{text}");
    assert!(text.contains("access-control-allow-methods: ") && text.contains("PUT"), "{text}");
    let (code, text) = reply(&running, &preflight("host: localhost\r\norigin: https://evil.example\r\n")).await;
    assert!(code == 405 && !text.contains("access-control"), "{text}");
    running.end().await;
}

#[tokio::test]
async fn pages_load_nothing_from_other_origins_and_refuse_frames() {
    let server = Server::with(&[]).await;
    let page = server.get("/docs/").await;
    let header = |name: &str| page.headers[name].to_str().expect("text").to_owned();
    assert!(header("content-type").starts_with("text/html"));
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!((header("x-content-type-options"), header("referrer-policy")), ("nosniff".into(), "no-referrer".into()));
    assert!(!page.text().contains("<script>"), "the page's scripts are files of ours");
    assert!(page.text().contains("<title>Podberth") && !page.text().contains("Swagger UI"), "{}", page.text());
    assert!(server.get("/docs/index.css").await.text().contains("'Podberth'"), "the name stands in place of the logo");
    assert!(!server.get("/livez").await.headers.contains_key("content-security-policy"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_hold_over_http_2() {
    let running = Running::start(guarded("127.0.0.1", "none", "none").await, LATE).await;
    let (mut sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(running.connect().await)).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    for (authority, headers, code) in [
        ("localhost:1", &[][..], 200),
        ("[::1]:1", &[], 200),
        ("evil.example", &[], 421),
        ("localhost", &[("host", "evil.example")], 421),
        ("localhost", &[("sec-fetch-site", "cross-site")], 403),
        ("localhost", &[("origin", "http://localhost:2")], 403),
        ("localhost:2", &[("origin", "http://localhost:2")], 200),
    ] {
        let mut request = Request::post(format!("http://{authority}/policy")).version(Version::HTTP_2);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(POLICY)).expect("a request");
        let reply = sender.send_request(request).await.expect("a reply");
        assert_eq!(reply.status().as_u16(), code, "{authority} {headers:?}");
        let body = to_bytes(Body::new(reply.into_body()), usize::MAX).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert!(code == 200 || body["code"] == json!(code), "{body}");
    }
    drop(sender);
    let _ = connection.await;
    running.end().await;
}
