//! Watches over real connections: their contract at two replicas of one database, and clients that behave badly.
//! Run it with `scripts/test --test watches`.

#[path = "../support/database.rs"]
#[allow(dead_code, reason = "SQLite files are for the suite of the store")]
mod database;
#[macro_use]
#[path = "../support/engines.rs"]
mod engines;
#[path = "../support/server.rs"]
mod server;

mod abuse;
mod contract;

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use podberth::api::{
    pace::Pace,
    serve::{Timeouts, serve},
};
use serde_json::{Value, json};
use server::LATE;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

cases! {
    contract:
        replicas_keep_the_contract_together
        revisions_of_another_history_have_expired
        a_removed_cluster_can_be_watched_until_it_is_made_again;
}

const MAPS: &str = "/clusters/east/api/v1/namespaces/shop/configmaps";
const WITHIN: Duration = Duration::from_secs(30);

/// A server on a port of its own.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start(router: Router) -> Self {
        Self::within(router, LATE).await
    }

    /// `stalled`: longest time for which a client may read nothing.
    async fn within(router: Router, stalled: Duration) -> Self {
        let timeouts = Timeouts {
            idle: LATE,
            stalled: Pace { grace: stalled, bytes_per_second: 1 << 20 },
            grace: LATE,
            connections: 10_000,
            reply_bytes: 1 << 30,
            reply_wait: LATE,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(serve(listener, router, timeouts, async {
            let _ = stopped.await;
        }));
        Self { address, stop, ended }
    }
}

/// A watch over HTTP/1.1.
struct Watch {
    stream: BufReader<TcpStream>,
    /// The status line.
    status: String,
    /// All that was read.
    bytes: usize,
    unread: Vec<u8>,
    /// It has ended as a reply does that is whole.
    is_whole: bool,
}

impl Watch {
    async fn begin(address: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: podberth\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut watch = Self {
            stream: BufReader::new(stream),
            status: String::new(),
            bytes: 0,
            unread: Vec::new(),
            is_whole: false,
        };
        watch.status = watch.line().await.expect("a reply");
        watch
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(WITHIN, self.stream.read_line(&mut line)).await.expect("something comes");
        self.bytes += read.expect("it can be read");
        (!line.is_empty()).then_some(line)
    }

    /// The next event, or the document of another reply; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                if line.starts_with(b"{") {
                    return Some(serde_json::from_slice(&line).expect("JSON"));
                }
                continue;
            }
            let line = self.line().await?;
            if line.starts_with('{') {
                return Some(serde_json::from_str(&line).expect("JSON"));
            }
            // The length of a piece, behind the empty line that ends the head or the piece before.
            let Ok(length) = usize::from_str_radix(line.trim_end(), 16) else { continue };
            if length == 0 {
                self.is_whole = true;
                return None;
            }
            let mut piece = vec![0; length];
            let read = timeout(WITHIN, self.stream.read_exact(&mut piece)).await.expect("the rest comes");
            self.bytes += read.ok()?;
            self.unread.extend(piece);
        }
    }
}

fn map(name: &str, value: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": {"v": value}}, "data": {"v": value}})
}

fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a resource version")
}
