//! Connections: accepted, bounded in time, and drained in the end.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Method, Request, Version, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, watch},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::{
    connection::Connection,
    pace::Pace,
    passing,
    peer::Peer,
    places::{Handshake, PAUSE, Places},
    replies::Replies,
};
use crate::{
    net::{Refusal, Secured, Stream, Tls, accept as accept_tls},
    telemetry::{TLS_HANDSHAKES, seldom::REFUSED_HANDSHAKES},
};

/// Requests that one HTTP/2 connection may have in progress.
const HTTP2_STREAMS: u32 = 256;

/// Bytes of the headers of a request that another replica passes on: those of its client, and its sender.
const HEADERS_OF_REPLICAS: u32 = 1 << 20;

/// Handshakes in progress at once. One more ends the oldest if that is slow, and else waits.
const HANDSHAKES: usize = 512;

/// Longest time of a handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long connections may take, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the next request's head to be complete: bounds idle connections and clients that trickle.
    pub idle: Duration,
    /// Time for a client to read something of a reply, longer for a slow client: otherwise the reply's memory could be held for ever.
    pub stalled: Pace,
    /// Time for requests in progress after the signal to stop.
    pub grace: Duration,
    /// Connections at once. One more closes the one that was without a request for longest.
    pub connections: usize,
    /// Bytes of large replies that may wait for their clients at once, all together.
    pub reply_bytes: usize,
    /// How long a reply waits for room among them.
    pub reply_wait: Duration,
}

/// The handshakes of a server that speaks TLS.
#[derive(Clone)]
pub struct Secure {
    tls: Tls,
    within: Duration,
    places: Arc<Places<Handshake>>,
    /// `true` for connections of other replicas, each of which has the requests of many clients.
    are_replicas: bool,
}

impl Secure {
    /// Handshakes with these certificates.
    pub fn new(tls: Tls) -> Self {
        Self::within(tls, HANDSHAKE_TIME, HANDSHAKES)
    }

    /// Handshakes with a longest time, and how many there may be at once.
    pub fn within(tls: Tls, within: Duration, most: usize) -> Self {
        Self { tls, within, places: Arc::new(Places::new(most)), are_replicas: false }
    }

    /// Handshakes with other replicas.
    pub fn of_replicas(tls: Tls) -> Self {
        Self { are_replicas: true, ..Self::new(tls) }
    }

    /// Performs the handshake of a client whose first byte has come.
    async fn handshake(&self, stream: Socket, first: u8) -> Option<(Stream<Socket>, Option<Secured>)> {
        let _place = self.places.one().await;
        let handshake = Arc::new(Handshake::new());
        self.places.add(&handshake);
        let peer = stream.get_ref().peer_addr().ok();
        let accepted = tokio::select! {
            accepted = accept_tls(stream, first, &self.tls, self.within) => accepted,
            () = handshake.to_be_closed() => Err(Refusal::Timeout),
        };
        let result = accepted.as_ref().map_or_else(Refusal::word, |_| "completed");
        metrics::counter!(TLS_HANDSHAKES, "result" => result).increment(1);
        match accepted {
            Ok(accepted) => Some((accepted.stream, Some(accepted.secured))),
            // Load balancers look in this way if there is a server.
            Err(Refusal::Closed) => None,
            Err(refusal) => {
                if let Some(left_out) = REFUSED_HANDSHAKES.turn() {
                    warn!(peer = peer.map(|peer| peer.to_string()), left_out, "no TLS connection: {refusal}");
                }
                None
            }
        }
    }
}

/// A connection that fails if its client takes nothing.
type Socket = Pin<Box<TimeoutStream<TcpStream>>>;

/// Serves until `stop` resolves. Then it accepts no new connections, lets requests in progress finish within the grace, and closes idle
/// connections at once.
pub async fn serve(listener: TcpListener, router: Router, timeouts: Timeouts, stop: impl Future<Output = ()>) {
    serve_over(listener, None, router, timeouts, stop).await;
}

/// [`serve`], over TLS if it is given.
pub async fn serve_over(
    listener: TcpListener,
    secure: Option<Secure>,
    router: Router,
    timeouts: Timeouts,
    stop: impl Future<Output = ()>,
) {
    let connections = GracefulShutdown::new();
    let (serving, until_stop) = watch::channel(());
    let places = Places::new(timeouts.connections);
    let replies = Replies::new(timeouts.reply_bytes, timeouts.reply_wait);
    tokio::pin!(stop);
    loop {
        let (stream, connection, place) = tokio::select! {
            accepted = accept(&listener, &places, timeouts.stalled, &replies) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let (router, watcher, mut until_stop) = (router.clone(), connections.watcher(), until_stop.clone());
        let secure = secure.clone();
        tokio::spawn(async move {
            let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
            let opened = tokio::select! {
                opened = opened(stream, secure.as_ref(), timeouts) => opened,
                () = connection.to_be_closed(timeouts.idle) => None,
                _ = until_stop.changed() => None,
            };
            if let Some((stream, secured)) = opened {
                let are_replicas = secure.is_some_and(|secure| secure.are_replicas);
                let ended = tokio::select! {
                    ended = served(stream, (secured, peer), router, (timeouts, are_replicas), watcher, connection.clone()) => ended,
                    () = connection.to_be_closed(timeouts.idle) => Err("it was idle, or its client took nothing".into()),
                };
                if let Err(error) = ended {
                    debug!(error, "connection ended");
                }
            }
            drop(place);
        });
    }
    drop((listener, serving));
    if timeout(timeouts.grace, connections.shutdown()).await.is_err() {
        warn!(grace = ?timeouts.grace, "requests were still under way when the time to stop was up");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Places<Connection>,
    pace: Pace,
    replies: &Replies,
) -> io::Result<(TcpStream, Arc<Connection>, Option<OwnedSemaphorePermit>)> {
    let (stream, _) = listener.accept().await?;
    let place = places.one().await;
    let connection = Arc::new(Connection::new(pace, replies.clone()));
    places.add(&connection);
    Ok((stream, connection, place))
}

/// The connection once its client has sent something, and after the handshake if it is one over TLS.
async fn opened(
    stream: TcpStream,
    secure: Option<&Secure>,
    Timeouts { idle, stalled, .. }: Timeouts,
) -> Option<(Stream<Socket>, Option<Secured>)> {
    let mut first = [0];
    match timeout(idle, stream.peek(&mut first)).await {
        Ok(Ok(1..)) => {}
        _ => return None,
    }
    // Two small packets of one reply would otherwise wait 40 ms for each other's acknowledgement.
    stream.set_nodelay(true).ok()?;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(stalled.grace));
    let stream = Box::pin(stream);
    match secure {
        Some(secure) => secure.handshake(stream, first[0]).await,
        None => Some((Stream::Plain(stream), None)),
    }
}

async fn served(
    stream: Stream<Socket>,
    (secured, peer): (Option<Secured>, Option<Peer>),
    router: Router,
    (Timeouts { idle, .. }, are_replicas): (Timeouts, bool),
    watcher: Watcher,
    connection: Arc<Connection>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(idle).max_concurrent_streams(HTTP2_STREAMS);
    if are_replicas {
        builder
            .http2()
            .max_concurrent_streams(None)
            .max_header_list_size(HEADERS_OF_REPLICAS)
            .initial_stream_window_size(passing::WINDOW)
            .initial_connection_window_size(passing::WINDOW_OF_ALL);
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (router, connection, version) = (router.clone(), connection.clone(), request.version());
        let at_work = connection.begin();
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if version == Version::HTTP_2 {
            request.extensions_mut().insert(connection.share.clone());
        }
        if let Some(secured) = &secured {
            request.extensions_mut().insert(secured.clone());
        }
        async move {
            let reply = router.oneshot(request).await?;
            let reply = connection.watched(reply, version, only_reads).await;
            drop(at_work);
            Ok::<_, std::convert::Infallible>(reply)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection.into_owned()).await
}

/// A connection that failed before it was accepted does not affect the next; running out of file descriptors does.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        warn!(%error, "no connection can be accepted at the moment");
        sleep(PAUSE).await;
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

    /// A server with one handler that reports that it was `entered` and answers when it is `released`.
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

    const PATIENT: Timeouts = Timeouts {
        idle: Duration::from_mins(1),
        stalled: Pace { grace: Duration::from_mins(1), bytes_per_second: 1 },
        grace: Duration::from_mins(1),
        connections: 2,
        reply_bytes: 1 << 20,
        reply_wait: Duration::from_mins(1),
    };

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
