//! Clients that open too many watches, ask for absurd ones, or do not read them: nobody else is harmed, and nothing is left of them.

use std::time::Duration;

use axum::{body::Body, http::Request};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use podberth::live::{self, Watches, journal::Bounds};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    MAPS, Running, WITHIN, Watch, map,
    server::{Server, Setup, memory},
};

async fn server(watches: Watches) -> Server {
    let clusters = live::Limits { watches, most_live: 1, ..Setup::default().clusters };
    Server::start(memory(&[]).await, Setup { clusters, ..Setup::default() })
}

fn most(most: usize) -> Watches {
    Watches { most, ..Watches::default() }
}

/// A watch of all maps that has begun.
async fn begun(running: &Running) -> Watch {
    let watch = Watch::begin(running.address, &format!("{MAPS}?watch=1")).await;
    assert!(watch.status.contains(" 200 "), "{}", watch.status);
    watch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_are_opened_and_dropped_at_once_leave_their_places() {
    const MOST: usize = 400;
    let server = server(most(MOST)).await;
    let running = Running::start(server.router.clone()).await;
    for _ in 0..3 {
        let mut all = JoinSet::new();
        for _ in 0..MOST {
            let address = running.address;
            all.spawn(async move {
                loop {
                    let watch = Watch::begin(address, &format!("{MAPS}?watch=1")).await;
                    if watch.status.contains(" 200 ") {
                        return watch;
                    }
                    // Those before it are being cleared away.
                    assert!(watch.status.contains(" 429 "), "{}", watch.status);
                    sleep(Duration::from_millis(10)).await;
                }
            });
        }
        let all = timeout(WITHIN, all.join_all()).await.expect("there is room for all");
        let refused = server.get(&format!("{MAPS}?watch=1")).await;
        assert_eq!(refused.header("retry-after"), Some("5"));
        refused.fails(429, "TooManyRequests");
        drop(all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_options_are_refused_or_harmless() {
    let server = server(most(100)).await;
    let running = Running::start(server.router.clone()).await;
    server.post(MAPS, &map("a", "1")).await.is(201);
    let names: Vec<String> = (0..2_000).map(|i| format!("name-{i}")).collect();
    let many = format!("labelSelector=a%20notin%20({})", names.join(","));
    let deep = format!("labelSelector={}", "a%3D1,".repeat(1_000));
    for (query, code) in [
        ("resourceVersion=18446744073709551615&timeoutSeconds=1", 200),
        ("resourceVersion=18446744073709551616", 400),
        ("resourceVersion=-1", 400),
        ("resourceVersion=9223372036854775807&timeoutSeconds=1", 200),
        ("timeoutSeconds=9223372036854775807", 200),
        ("timeoutSeconds=9000000000000000000", 200),
        ("timeoutSeconds=9223372036854775808", 400),
        ("timeoutSeconds=-9223372036854775808", 200),
        ("timeoutSeconds=-1", 200),
        ("timeoutSeconds=1&limit=-1", 200),
        ("allowWatchBookmarks=true&timeoutSeconds=9223372036854775807", 200),
        ("fieldSelector=metadata.name%3D&timeoutSeconds=1", 200),
        ("fieldSelector=metadata.name%3Da,metadata.name%3Db&timeoutSeconds=1", 200),
        (many.as_str(), 200),
        (deep.as_str(), 400),
        ("labelSelector=%00", 400),
        ("labelSelector=a%20in%20()%20,", 400),
    ] {
        let path = format!("{MAPS}?watch=1&{query}");
        let watch = Watch::begin(running.address, &path).await;
        let shown: String = query.chars().take(80).collect();
        assert!(watch.status.contains(&format!(" {code} ")), "{shown}: {}", watch.status);
    }
    let mut well = begun(&running).await;
    assert_eq!(well.next().await.expect("an event")["object"]["metadata"]["name"], "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_connection_ends_its_watch() {
    let server = server(most(1)).await;
    let running = Running::start(server.router.clone()).await;
    for _ in 0..3 {
        let mut watch = loop {
            let watch = Watch::begin(running.address, &format!("{MAPS}?watch=1")).await;
            if watch.status.contains(" 200 ") {
                break watch;
            }
            sleep(Duration::from_millis(10)).await;
        };
        watch.stream.get_mut().shutdown().await.expect("its half is closed");
        assert_eq!(watch.next().await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_off_and_delays_nobody() {
    const CHANGES: usize = 80;
    let kept = Bounds { events: 10, bytes: 64 << 20 };
    let server = server(Watches { most: 10, kept }).await;
    let running = Running::start(server.router.clone()).await;
    let large = |i: usize| {
        let mut large = map("large", &i.to_string());
        large["data"]["much"] = Value::from("x".repeat(400_000));
        large
    };
    server.post(MAPS, &large(0)).await.is(201);
    let (mut slow, mut quick) = (begun(&running).await, begun(&running).await);
    assert_eq!(quick.next().await.expect("an event")["type"], "ADDED");
    for i in 1..=CHANGES {
        server.put(&format!("{MAPS}/large"), &large(i)).await.is(200);
        let event = quick.next().await.expect("an event");
        assert_eq!(event["object"]["data"]["v"], json!(i.to_string()), "the other one is told at once");
    }
    let mut last = Value::Null;
    while let Some(event) = slow.next().await {
        last = event;
    }
    assert_eq!((&last["type"], &last["object"]["code"]), (&"ERROR".into(), &410.into()));
    assert!(slow.bytes < CHANGES * 400_000, "{} bytes were kept for it", slow.bytes);
}

/// Events of a watch over HTTP/2.
struct Stream {
    body: Incoming,
    unread: Vec<u8>,
}

impl Stream {
    async fn next(&mut self) -> Option<Value> {
        use http_body_util::BodyExt;
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("JSON"));
            }
            let frame = timeout(WITHIN, self.body.frame()).await.expect("something comes")?.expect("it can be read");
            self.unread.extend(frame.into_data().unwrap_or_default());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_with_tiny_windows_share_a_connection() {
    let kept = Bounds { events: 10, bytes: 1 << 20 };
    let server = server(Watches { most: 10, kept }).await;
    let running = Running::start(server.router.clone()).await;
    let stream = TokioIo::new(TcpStream::connect(running.address).await.expect("it listens"));
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings.initial_stream_window_size(100);
    let (sender, connection) = settings.handshake(stream).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let mut watches = Vec::new();
    for _ in 0..3 {
        let request = Request::get(format!("http://podberth{MAPS}?watch=1")).body(Body::empty()).expect("a request");
        let reply = sender.clone().send_request(request).await.expect("a reply");
        watches.push(Stream { body: reply.into_body(), unread: Vec::new() });
    }
    server.post(MAPS, &map("a", "0")).await.is(201);
    let mut silent = watches.pop().expect("three");
    for watch in &mut watches {
        assert_eq!(watch.next().await.expect("an event")["type"], "ADDED");
    }
    for i in 1..40 {
        server.put(&format!("{MAPS}/a"), &map("a", &i.to_string())).await.is(200);
        for watch in &mut watches {
            let event = watch.next().await.expect("an event");
            assert_eq!(event["object"]["data"]["v"], json!(i.to_string()));
        }
    }
    let mut last = Value::Null;
    while let Some(event) = silent.next().await {
        last = event;
    }
    assert_eq!((&last["type"], &last["object"]["code"]), (&"ERROR".into(), &410.into()));
    // A stream that its client resets leaves the connection to the others.
    drop(watches.pop());
    server.put(&format!("{MAPS}/a"), &map("a", "end")).await.is(200);
    assert_eq!(watches[0].next().await.expect("an event")["object"]["data"]["v"], "end");
    connection.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_end_cleanly_when_the_server_stops() {
    let server = server(most(10)).await;
    let running = Running::start(server.router.clone()).await;
    let mut watches = vec![begun(&running).await, begun(&running).await];
    server.post(MAPS, &map("a", "1")).await.is(201);
    for watch in &mut watches {
        assert_eq!(watch.next().await.expect("an event")["type"], "ADDED");
    }
    server.state.clusters.end_watches();
    running.stop.send(()).expect("it serves");
    for watch in &mut watches {
        assert_eq!(watch.next().await, None);
        assert!(watch.is_whole, "the reply has an end");
    }
    timeout(WITHIN, running.ended).await.expect("nothing is waited for").expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_stay_in_memory_while_they_are_watched() {
    let server = server(most(10)).await;
    let running = Running::start(server.router.clone()).await;
    let path = |i: usize| MAPS.replace("east", &format!("c-{i}"));
    let mut watches = Vec::new();
    for i in 0..6 {
        // Every second one is there already.
        if i % 2 == 0 {
            server.post(&path(i), &map("old", "1")).await.is(201);
        }
        watches.push(Watch::begin(running.address, &format!("{}?watch=1", path(i))).await);
    }
    for (i, watch) in watches.iter_mut().enumerate() {
        if i % 2 == 0 {
            assert_eq!(watch.next().await.expect("an event")["object"]["metadata"]["name"], "old");
        }
        server.post(&path(i), &map("new", "1")).await.is(201);
        assert_eq!(watch.next().await.expect("an event")["object"]["metadata"]["name"], "new");
    }
    assert!(server.state.clusters.live().len() >= 6, "watched clusters stay");
    drop(watches);
    // Their places are free again for others: each new cluster releases those that nobody watches any more.
    let released = async {
        for i in 10.. {
            server.post(&path(i), &map("a", "1")).await.is(201);
            if server.state.clusters.live().len() <= 2 {
                return;
            }
        }
    };
    timeout(WITHIN, released).await.expect("clusters are released");
}
