//! Podberth as the API server of another Podberth.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use podberth::api::{
    pace::Pace,
    serve::{Secure, Timeouts, serve_over},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    Mirror,
    api_server::kubeconfig,
    quick,
    server::{LATE, Server, Setup},
    source_of,
};

/// Serves a router on a port of its own.
pub(crate) async fn serve_router(router: Router, secure: Option<Secure>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let timeouts = Timeouts {
        idle: LATE,
        stalled: Pace { grace: LATE, bytes_per_second: 1 },
        grace: Duration::ZERO,
        connections: 1_000,
        reply_bytes: 1 << 30,
        reply_wait: LATE,
    };
    (address, tokio::spawn(serve_over(listener, secure, router, timeouts, std::future::pending())))
}

#[tokio::test]
async fn podberth_mirrors_podberth() {
    let source = Server::start(crate::server::memory(&[]).await, Setup::default());
    let (address, serving) = serve_router(source.router.clone(), None).await;
    let pods = "/api/v1/namespaces/shop/pods";
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c"}]}});
    for at in 0..20 {
        source.post(pods, pod(&format!("p{at}"))).await.is(201);
    }
    let node =
        json!({"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    source.post("/api/v1/nodes", node).await.is(201);
    let kubeconfig = kubeconfig(&format!("http://{address}"));
    let of = source_of(&kubeconfig, &["pods", "nodes"]);
    let mirror = Mirror::with(of, kubeconfig, quick()).await;
    mirror.shows_pod("p19", "").await;
    mirror.shows("the node", |view| view.snapshot.node("n1").is_some()).await;
    let bind = json!({"target": {"name": "n1"}});
    source.post(&format!("{pods}/p7/binding"), bind).await.is(201);
    mirror.shows_pod("p7", "n1").await;
    source.delete(&format!("{pods}/p3")).await;
    mirror.shows_no_pod("p3").await;
    source.post(pods, pod("late")).await.is(201);
    mirror.shows_pod("late", "").await;
    serving.abort();
}
