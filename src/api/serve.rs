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
use tokio_io_timeout::TimeoutStream;
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
    /// For a client to take something of what is written to it: else what its reply holds would be held for ever.
    pub stalled: Duration,
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
            if first_byte && let Err(error) = connection(stream, router, timeouts, watcher).await {
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
    Timeouts { idle, stalled, .. }: Timeouts,
    watcher: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Two small packets of one reply would otherwise wait 40 ms for each other's acknowledgement.
    stream.set_nodelay(true)?;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(stalled));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(idle).max_concurrent_streams(HTTP2_STREAMS);
    let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::{Notify, oneshot},
        task::JoinHandle,
    };

    use super::*;

    /// A server with one handler that says that it was `entered` and answers when it is `released`.
    struct Server {
        entered: Arc<Notify>,
        released: Arc<Notify>,
        stop: oneshot::Sender<()>,
        ended: JoinHandle<()>,
        client: TcpStream,
    }

    async fn server(timeouts: Timeouts) -> Server {
        let (entered, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, release) = (entered.clone(), released.clone());
        let handler = move || {
            let (enter, release) = (enter.clone(), release.clone());
            async move {
                enter.notify_one();
                release.notified().await;
                "done"
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/", get(handler));
        let ended = tokio::spawn(serve(listener, router, timeouts, async {
            let _ = stopped.await;
        }));
        let client = TcpStream::connect(address).await.expect("it listens");
        Server { entered, released, stop, ended, client }
    }

    const PATIENT: Timeouts =
        Timeouts { idle: Duration::from_mins(1), stalled: Duration::from_mins(1), grace: Duration::from_mins(1) };

    async fn ask(client: &mut TcpStream) {
        client.write_all(b"GET / HTTP/1.1\r\nhost: podberth\r\n\r\n").await.expect("it reads");
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_end() {
        let Server { entered, released, stop, ended, mut client } = server(PATIENT).await;
        ask(&mut client).await;
        entered.notified().await;
        stop.send(()).expect("it serves");
        released.notify_one();
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.expect("a reply, and the end of the connection");
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("done"), "{reply}");
        ended.await.expect("no panic");
    }

    #[tokio::test]
    async fn the_grace_ends_the_wait() {
        let Server { entered, stop, ended, mut client, .. } =
            server(Timeouts { grace: Duration::from_millis(5), ..PATIENT }).await;
        ask(&mut client).await;
        entered.notified().await;
        stop.send(()).expect("it serves");
        ended.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_client_that_trickles_is_sent_away() {
        let Server { mut client, .. } = server(Timeouts { idle: Duration::from_millis(5), ..PATIENT }).await;
        client.write_all(b"GET / HT").await.expect("it reads");
        let mut reply = String::new();
        // Whether it hears of it as an end or as a reset is the system's choice.
        let _ = client.read_to_string(&mut reply).await;
        assert!(!reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
}
