//! A large cluster: the time until its mirror is whole, and the memory and the commits that this takes. It is no test but a measurement:
//!
//! ```sh
//! cargo test --release --test sync large -- --ignored --nocapture
//! ```
//!
//! `NODES=… PODS=…` set the size. The API server makes its objects when they are asked for, and so needs no memory of note; Podberth is a process of its
//! own, on a database file.

use std::{
    env, fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::header,
    response::{IntoResponse, Response},
};
use podberth::store;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{api_server::kubeconfig, put_source, source_of};

/// Longest time until the mirror is whole.
const LONGEST: Duration = Duration::from_mins(30);

/// An amount from the environment.
fn amount(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn node(at: usize) -> String {
    format!(
        r#"{{"metadata":{{"name":"node-{at}","uid":"n-{at}","resourceVersion":"{at}","labels":{{"kubernetes.io/hostname":"node-{at}","topology.kubernetes.io/zone":"z{}"}},"managedFields":[{{"manager":"kubelet","operation":"Update","fieldsV1":{{"f:status":{{"f:conditions":{{}}}}}}}}]}},"spec":{{}},"status":{{"allocatable":{{"cpu":"64","memory":"256Gi","pods":"250"}},"conditions":[{{"type":"Ready","status":"True","lastHeartbeatTime":"2026-01-01T00:00:00Z"}}]}}}}"#,
        at % 3
    )
}

fn pod(at: usize, nodes: usize) -> String {
    let env: Vec<String> =
        (0..20).map(|at| format!(r#"{{"name":"VARIABLE_{at}","value":"a value of some length, {at}"}}"#)).collect();
    format!(
        r#"{{"metadata":{{"name":"pod-{at}","namespace":"ns-{}","uid":"p-{at}","resourceVersion":"{at}","labels":{{"app":"app-{}"}},"managedFields":[{{"manager":"kube-controller-manager","operation":"Update","fieldsV1":{{"f:metadata":{{"f:labels":{{".":{{}},"f:app":{{}}}}}},"f:spec":{{"f:containers":{{}},"f:nodeName":{{}}}}}}}}]}},"spec":{{"nodeName":"node-{}","schedulerName":"default-scheduler","containers":[{{"name":"c","image":"registry.example.com/app:1","env":[{}],"resources":{{"requests":{{"cpu":"250m","memory":"512Mi"}}}}}}]}},"status":{{"phase":"Running","containerStatuses":[{{"name":"c","ready":true,"restartCount":0,"image":"registry.example.com/app:1","imageID":"sha256:0","state":{{"running":{{"startedAt":"2026-01-01T00:00:00Z"}}}}}}]}}}}"#,
        at % 100,
        at % 1_000,
        at % nodes,
        env.join(",")
    )
}

/// An API server with so many nodes and pods, in which nothing happens.
async fn serve(nodes: usize, pods: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(move |request: Request| async move { answer(&request, nodes, pods) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn answer(request: &Request, nodes: usize, pods: usize) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let json = [(header::CONTENT_TYPE, "application/json")];
    if value("watch").is_some() {
        return (json, Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()))
            .into_response();
    }
    let number = |key: &str| value(key).and_then(|text| text.parse().ok());
    let (limit, from): (usize, usize) = (number("limit").unwrap_or(500), number("continue").unwrap_or(0));
    let all = match request.uri().path() {
        "/api/v1/nodes" => nodes,
        "/api/v1/pods" => pods,
        _ => 0,
    };
    let end = all.min(from + limit);
    let of_nodes = request.uri().path() == "/api/v1/nodes";
    let items: Vec<String> = (from..end).map(|at| if of_nodes { node(at) } else { pod(at, nodes) }).collect();
    let next = if end < all { end.to_string() } else { String::new() };
    let items = items.join(",");
    (json, format!(r#"{{"metadata":{{"resourceVersion":"1000000","continue":"{next}"}},"items":[{items}]}}"#))
        .into_response()
}

/// A process that ends with the measurement.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn metrics(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

fn metric(text: &str, begin: &str) -> Option<f64> {
    text.lines().find(|line| line.starts_with(begin))?.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn large() {
    let (nodes, pods) = (amount("NODES", 5_000), amount("PODS", 150_000));
    let api = serve(nodes, pods).await;
    let (folder, kubeconfig) = (TempDir::new().expect("a folder"), kubeconfig(&format!("http://{api}")));
    let database = format!("sqlite:{}", folder.path().join("podberth.db").display());
    let store = store::open(&database, &store::Options { create: true, ..store::Options::default() }).await;
    let store = store.expect("a database");
    store.migrate().await.expect("it migrates");
    let all = podberth::wire::source::ClusterSource { kinds: None, ..source_of(&kubeconfig, &[]) };
    put_source(&store, &all).await;
    store.close().await;
    let port =
        TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    for round in ["an empty store", "a store that has all of it"] {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_podberth"));
        command.args(["serve", "--listen", &address, "--database-url", &database, "--auth", "none"]);
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut process = Process(command.stderr(log).stdout(Stdio::null()).spawn().expect("it starts"));
        let text = loop {
            let ended = process.0.try_wait().expect("its status").is_some() || began.elapsed() > LONGEST;
            assert!(!ended, "{}", fs::read_to_string(folder.path().join("log")).unwrap_or_default());
            let text = metrics(&address).await.unwrap_or_default();
            let of =
                |kind: &str| metric(&text, &format!("podberth_sync_objects{{cluster=\"default\",kind=\"{kind}\"}}"));
            let lag = metric(&text, "podberth_sync_lag_seconds{cluster=\"default\",kind=\"pods\"}");
            // The status of the process before has the objects, and is old.
            let is_new = lag.is_some_and(|lag| lag < began.elapsed().as_secs_f64());
            if is_new && of("pods") == Some(pods as f64) && of("nodes") == Some(nodes as f64) {
                break text;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let ready = began.elapsed();
        let status = fs::read_to_string(format!("/proc/{}/status", process.0.id())).expect("Linux");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim().to_owned();
        let batches = metric(&text, "podberth_batch_duration_seconds_count").unwrap_or_default();
        let read = metric(&text, "podberth_sync_bytes_total{cluster=\"default\",kind=\"pods\"}").unwrap_or_default();
        println!(
            "{nodes} nodes, {pods} pods, {round}: whole after {:.1} s, at most {peak} of memory, {batches} transactions, {:.0} MB of pods read",
            ready.as_secs_f64(),
            read / 1e6
        );
        drop(process);
        // Its leases end by themselves.
        tokio::time::sleep(Duration::from_secs(16)).await;
    }
}
