//! Serving of requests in general, over real connections where that matters.

#[path = "../support/server.rs"]
mod server;

mod access;
mod admission;
mod audit;
mod browser;
mod compression;
mod http2;
mod identity;
mod in_browser;
mod kubectl;
mod limits;
mod manners;
mod masking;
mod memory;
mod slow;
mod tls;
mod tls_clients;
mod tls_commands;

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use podberth::api::{
    pace::Pace,
    serve::{Secure, Timeouts, serve_over},
};
use serde_json::{Value, json};
use server::LATE;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// Timeouts that no client exceeds.
const TIMEOUTS: Timeouts = Timeouts {
    idle: LATE,
    stalled: Pace { grace: LATE, bytes_per_second: 1 },
    grace: LATE,
    connections: 1_000,
    reply_bytes: 1 << 30,
    reply_wait: LATE,
};

/// A server on a port of its own.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    /// `stalled`: longest time for which a client may read nothing.
    async fn start(router: Router, stalled: Duration) -> Self {
        let stalled = Pace { grace: stalled, bytes_per_second: 1 << 20 };
        Self::within(router, Timeouts { stalled, ..TIMEOUTS }).await
    }

    async fn within(router: Router, timeouts: Timeouts) -> Self {
        Self::over(None, router, timeouts).await
    }

    async fn over(secure: Option<Secure>, router: Router, timeouts: Timeouts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(serve_over(listener, secure, router, timeouts, async {
            let _ = stopped.await;
        }));
        Self { address, stop, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Ends with the last connection.
    async fn end(self) {
        self.stop.send(()).expect("it serves");
        self.ended.await.expect("no panic");
    }
}

/// A node with this many CPUs.
fn node(name: &str, cpu: usize) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "8Gi", "pods": "110"}}})
}

/// A pod that requests this number of CPUs.
fn pod(cpu: usize) -> Value {
    json!({"metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu.to_string()}}}]}})
}
