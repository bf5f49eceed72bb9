//! Many watches of pods, one for each node as kubelets have them and some of all pods, while pods change: the delay until an event is read, and what
//! the server takes for it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::{
    fixture::{Fixture, import},
    report::Report,
    server::cpu_of,
    times::Times,
};

/// Times in a second that changes are written.
const TICKS: usize = 20;

/// How long changes are written.
const LASTS: Duration = Duration::from_secs(20);

/// For the last events to come.
const PATIENCE: Duration = Duration::from_mins(1);

/// The annotation that says when a change was sent, in microseconds.
const SENT_AT: &str = r#""bench/sent-at":""#;

/// The progress of all watches.
#[derive(Debug, Default)]
struct Read {
    ready: AtomicUsize,
    delays: Mutex<Vec<Duration>>,
}

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let (client, nodes) = (fixture.client(), fixture.nodes());
    let (of_all, rate) = (fixture.watches_of_all(), fixture.changes());
    let (ticks, at_once) = if rate < TICKS { (1, rate) } else { (TICKS, rate / TICKS) };
    let server = fixture.fresh_server().await?;
    let (url, begun) = (format!("{}/clusters/watched", server.url), Instant::now());
    let all: Vec<String> = (0..nodes).map(|i| pod(i, begun)).collect();
    for some in all.chunks(1_000) {
        import(&client, &format!("{url}/import"), some).await?;
    }
    let idle = server.resident().unwrap_or_default();
    let read = Arc::new(Read::default());
    let mut watches = JoinSet::new();
    let address = server.url.trim_start_matches("http://").to_owned();
    let selectors = (0..nodes).map(|i| format!("&fieldSelector=spec.nodeName%3Dnode-{i}"));
    for selector in selectors.chain(std::iter::repeat_n(String::new(), of_all)) {
        watches.spawn(watch(address.clone(), selector, begun, read.clone()));
        if watches.len().is_multiple_of(100) {
            sleep(Duration::from_millis(10)).await;
        }
    }
    let expected = nodes + of_all * nodes;
    wait(&read, &mut watches, "initial objects", |read| read.ready.load(Ordering::Relaxed) >= expected).await?;
    lock(&read.delays).clear();
    let watching = server.resident().unwrap_or_default();

    let own = || cpu_of("self").unwrap_or_default();
    let (cpu, client_cpu, start) = (server.cpu().unwrap_or_default(), own(), Instant::now());
    let mut ticks = interval(Duration::from_secs(1) / ticks as u32);
    let (mut changes, mut next) = (0, 0);
    let mut writes = JoinSet::new();
    while start.elapsed() < LASTS {
        ticks.tick().await;
        let some: Vec<String> = (next..next + at_once).map(|i| pod(i % nodes, begun)).collect();
        (next, changes) = ((next + at_once) % nodes, changes + at_once);
        let (client, url) = (client.clone(), format!("{url}/import"));
        writes.spawn(async move { import(&client, &url, &some).await });
    }
    while let Some(written) = writes.join_next().await {
        written.map_err(|error| error.to_string())??;
    }
    let took = start.elapsed().as_secs_f64();
    let (cpu, client_cpu) = (server.cpu().unwrap_or_default() - cpu, own() - client_cpu);
    let expected = changes * (1 + of_all);
    wait(&read, &mut watches, "events", |read| lock(&read.delays).len() >= expected).await?;
    let times: Times = lock(&read.delays).drain(..).collect();
    let note =
        format!("{} watches, {of_all} of them of all pods; {:.0} changes/s", nodes + of_all, changes as f64 / took);
    for percent in [50, 99] {
        let what = format!("from sending a change to reading its event, p{percent}");
        report.add(format!("watch/delay-p{percent}"), what, (times.percentile(percent), "ms"), &*note);
    }
    report.add("watch/events", "events read", (times.len() as f64 / took, "1/s"), &*note);
    let note = format!("100 % is one core; this client took {:.0} %", client_cpu / took * 100.0);
    report.add("watch/cpu", "CPU time of the server", (cpu / took * 100.0, "%"), note);
    let each = (watching - idle) * 1e3 / (nodes + of_all) as f64;
    let note = format!("{idle:.0} MB before; {each:.1} kB for each watch with its connection");
    report.add("watch/memory", "memory for the watches", (watching - idle, "MB"), note);
    Ok(())
}

/// A pod on a node of its own, which says when it was sent.
fn pod(i: usize, begun: Instant) -> String {
    let at = begun.elapsed().as_micros();
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{i}","namespace":"watched","annotations":{{{SENT_AT}{at}"}}}},"spec":{{"nodeName":"node-{i}","containers":[{{"name":"main","image":"registry.example/app:1","resources":{{"requests":{{"cpu":"100m","memory":"200Mi"}}}}}}]}},"status":{{"phase":"Running"}}}}"#
    )
}

/// Reads the events of one watch until it ends.
async fn watch(address: String, selector: String, begun: Instant, read: Arc<Read>) -> Result<(), String> {
    let failed =
        |error: std::io::Error| format!("a watch: {error}; does `ulimit -n` allow a connection for each, twice?");
    let mut stream = TcpStream::connect(&address).await.map_err(failed)?;
    let path = format!("/clusters/watched/api/v1/pods?watch=1{selector}");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let (mut lines, mut line) = (BufReader::new(stream), Vec::new());
    while lines.read_until(b'\n', &mut line).await.map_err(failed)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if let Some((_, rest)) = text.split_once(SENT_AT) {
            let micros = rest.split('"').next().and_then(|at| at.parse().ok()).unwrap_or_default();
            let delay = begun.elapsed().saturating_sub(Duration::from_micros(micros));
            lock(&read.delays).push(delay);
            read.ready.fetch_add(1, Ordering::Relaxed);
        }
        if text.starts_with("HTTP/1.1") && !text.contains(" 200 ") || text.contains(r#""type":"ERROR""#) {
            return Err(format!("a watch was refused: {text}"));
        }
        line.clear();
    }
    Err("a watch ended".into())
}

/// Waits until all was read; a watch that ends before is an error.
async fn wait(
    read: &Read,
    watches: &mut JoinSet<Result<(), String>>,
    what: &str,
    is_done: impl Fn(&Read) -> bool,
) -> Result<(), String> {
    let waiting = async {
        while !is_done(read) {
            if let Some(ended) = watches.try_join_next() {
                return ended.map_err(|error| error.to_string())?;
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    let read_so_far = || read.ready.load(Ordering::Relaxed);
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| Err(format!("not all {what} have come, but {}", read_so_far())))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
