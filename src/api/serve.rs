//! Connections: accepted, bounded in time, and drained in the end.

use std::{future::Future, io, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

/// Requests that one HTTP/2 connection may have under way.
const HTTP2_STREAMS: u32 = 256;

/// Until the next attempt when the system has no more connections to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the next request's head to be complete: bounds idle connections and clients that trickle.
    pub idle: Duration,
    /// For requests under way, once the process is to stop.
    pub grace: Duration,
}

/// Serves until `stop` resolves, then takes no new connection, lets requests under way finish within the grace and
/// closes idle connections at once.
pub async fn serve(listener: TcpListener, router: Router, timeouts: Timeouts, stop: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let (serving, until_stop) = watch::channel(());
    tokio::pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let (router, watcher, mut until_stop) = (router.clone(), connections.watcher(), until_stop.clone());
        tokio::spawn(async move {
            let first_byte = tokio::select! {
                readable = timeout(timeouts.idle, stream.readable()) => matches!(readable, Ok(Ok(()))),
                _ = until_stop.changed() => false,
            };
            if first_byte && let Err(error) = connection(stream, router, timeouts.idle, watcher).await {
                debug!(error, "connection ended");
            }
        });
    }
    drop((listener, serving));
    if timeout(timeouts.grace, connections.shutdown()).await.is_err() {
        warn!(grace = ?timeouts.grace, "requests were still under way when the time to stop was up");
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    idle: Duration,
    watcher: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Two small packets of one reply would otherwise wait 40 ms for each other's acknowledgement.
    stream.set_nodelay(true)?;
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(idle).max_concurrent_streams(HTTP2_STREAMS);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    watcher.watch(connection.into_owned()).await
}

/// A connection that failed before it was accepted says nothing about the next; running out of file descriptors does.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        warn!(%error, "no connection can be accepted at the moment");
        sleep(ACCEPT_PAUSE).await;
    }
}
