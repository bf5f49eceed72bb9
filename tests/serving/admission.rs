//! The budget of bodies as clients meet it.

use std::time::Duration;

use podberth::{api::middleware::Limits, service::compute::SMALL_BODY};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Running, node, pod,
    server::{LATE, Server, Setup, memory},
};

/// More than counts as small.
pub(crate) const LARGE: usize = 2 * SMALL_BODY;

/// More than a connection holds that nobody reads from.
pub(crate) const LONG: usize = 16 << 20;

/// A server that knows the node `a`, with room for so many bytes of large bodies.
async fn server(bodies_bytes: usize, body_wait: Duration) -> Server {
    let limits = Limits { bodies_bytes, body_wait, ..Setup::default().limits };
    Server::start(memory(&[("nodes", node("a", 4))]).await, Setup { limits, ..Setup::default() })
}

/// A request about `a` with this length.
pub(crate) fn question(bytes: usize) -> Vec<u8> {
    let mut question = json!({"Pod": pod(1), "NodeNames": ["a"]}).to_string().into_bytes();
    question.resize(bytes.max(question.len()), b' ');
    question
}

/// A connection of HTTP/1.1.
pub(crate) struct Client(pub(crate) TcpStream);

pub(crate) struct Reply {
    pub(crate) head: String,
    body: Vec<u8>,
}

impl Client {
    pub(crate) async fn new(running: &Running) -> Self {
        Self(running.connect().await)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the server reads");
    }

    pub(crate) async fn begin(&mut self, length: usize, more: &str) {
        let head = format!("POST /filter HTTP/1.1\r\nhost: podberth\r\ncontent-length: {length}\r\n{more}\r\n");
        self.write(head.as_bytes()).await;
    }

    /// Announces a body of that length, waits until it may be sent, and sends all but the last byte: its room is taken then.
    pub(crate) async fn hold(running: &Running, length: usize) -> Self {
        let mut client = Self::new(running).await;
        client.begin(length, "expect: 100-continue\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client
    }

    /// Sends the request except for its last byte.
    pub(crate) async fn begun(running: &Running, body: &[u8]) -> Self {
        let mut client = Self::hold(running, body.len()).await;
        client.write(&body[..body.len() - 1]).await;
        client
    }

    pub(crate) async fn ask(&mut self, body: &[u8]) -> Reply {
        self.begin(body.len(), "").await;
        self.write(body).await;
        self.reply().await
    }

    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a reply"));
        }
        String::from_utf8(head).expect("text")
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        let head = self.head().await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("its length");
        let mut body = vec![0; length.parse().expect("a number")];
        self.0.read_exact(&mut body).await.expect("all of it");
        Reply { head, body }
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    #[track_caller]
    pub(crate) fn says_that_it_fits(&self) {
        assert!(self.head.starts_with("HTTP/1.1 200 "), "{}", self.head);
        assert_eq!(self.json()["NodeNames"], json!(["a"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upload_gets_its_reply_while_sending() {
    let running = Running::start(server(LARGE, Duration::ZERO).await.router, LATE).await;
    let mut first = Client::begun(&running, &question(LARGE)).await;

    let mut second = Client::new(&running).await;
    let refusal = second.ask(&question(LONG)).await;
    assert!(
        refusal.head.starts_with("HTTP/1.1 503 ") && refusal.head.contains("\r\nretry-after: 1\r\n"),
        "{}",
        refusal.head
    );
    assert_eq!((&refusal.json()["kind"], &refusal.json()["code"]), (&"Status".into(), &503.into()));
    second.ask(&question(0)).await.says_that_it_fits();

    let mut asking_first = Client::new(&running).await;
    asking_first.begin(LARGE, "expect: 100-continue\r\n").await;
    assert!(asking_first.reply().await.head.starts_with("HTTP/1.1 503 "), "and is not told to send");

    first.write(b" ").await;
    first.reply().await.says_that_it_fits();
    drop((first, second, asking_first));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_though_it_is_still_sent() {
    let limits = Limits { bulk_body_bytes: LARGE, ..Setup::default().limits };
    let server = Server::start(memory(&[("nodes", node("a", 4))]).await, Setup { limits, ..Setup::default() });
    let running = Running::start(server.router, LATE).await;
    let mut client = Client::new(&running).await;
    let refusal = client.ask(&question(LONG)).await;
    assert!(refusal.head.starts_with("HTTP/1.1 413 "), "{}", refusal.head);
    client.ask(&question(LARGE)).await.says_that_it_fits();
    drop(client);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_and_disconnected_requests_give_their_room_back() {
    let running = Running::start(server(LARGE, LATE).await.router, LATE).await;
    for is_answered in [true, false] {
        let mut first = Client::begun(&running, &question(LARGE)).await;
        let mut second = Client::new(&running).await;
        let waiting = tokio::spawn(async move { second.ask(&question(LARGE)).await });
        Client::new(&running).await.ask(&question(SMALL_BODY)).await.says_that_it_fits();
        if is_answered {
            first.write(b" ").await;
            first.reply().await.says_that_it_fits();
        } else {
            drop(first);
        }
        waiting.await.expect("no panic").says_that_it_fits();
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unread_reply_gives_its_room_back() {
    let mut large = node("a", 4);
    large["metadata"]["annotations"] = json!({"long": "x".repeat(LONG)});
    let full = json!({"Pod": pod(1), "Nodes": {"items": [large]}}).to_string().into_bytes();
    let running = Running::start(server(full.len(), LATE).await.router, Duration::from_millis(5)).await;
    let mut first = Client::hold(&running, full.len()).await;
    first.write(&full).await;
    // Its reply is as long: the node in full.
    Client::new(&running).await.ask(&question(LARGE)).await.says_that_it_fits();
    drop(first);
    running.end().await;
}
