//! Podberth's own scheduler: clients create pods while it runs, and a watch tells when each has its node.

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
    sync::oneshot,
    task::JoinSet,
    time::timeout,
};

use super::{client::Client, fixture::Fixture, report::Report, times::Times};

/// Pods that are created, and the clients that do it.
const PODS: usize = 10_000;
const CLIENTS: usize = 16;

/// For the last pod to get its node.
const PATIENCE: Duration = Duration::from_mins(2);

/// The path of the pods.
const PATH: &str = "/api/v1/namespaces/loop/pods";

/// When each pod was sent.
type SentAt = Arc<Mutex<Vec<Option<Instant>>>>;

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    fixture.large().await?;
    let count = PODS.min(fixture.nodes() * 30);
    let (client, server) = (fixture.client(), fixture.server_with("--loop=bench").await?);
    let address = server.url.trim_start_matches("http://").to_owned();
    let sent: SentAt = Arc::new(Mutex::new(vec![None; count]));
    let (ready, begins) = oneshot::channel();
    let watch = tokio::spawn(watch(address, sent.clone(), ready));
    begins.await.map_err(|_| "the watch of pods was refused")?;

    let (begun, cpu, next) = (Instant::now(), server.cpu().unwrap_or_default(), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(create(client.clone(), format!("{}{PATH}", server.url), next.clone(), sent.clone()));
    }
    while let Some(created) = clients.join_next().await {
        created.map_err(|error| error.to_string())??;
    }
    let created = begun.elapsed().as_secs_f64();
    let waits = timeout(PATIENCE, watch).await.map_err(|_| format!("not all pods have a node after {PATIENCE:?}"))?;
    let waits = waits.map_err(|error| error.to_string())??;
    let took = begun.elapsed().as_secs_f64();
    let cpu = server.cpu().unwrap_or_default() - cpu;
    server.stop().await?;

    let times: Times = waits.into_iter().collect();
    let note = format!("{count} pods by {CLIENTS} clients, created in {created:.2} s; {cpu:.2} s of the server's CPU");
    report.add("loop/rate", "own scheduler: pods created and bound", (count as f64 / took, "pods/s"), note);
    for percent in [50, 99] {
        let what = format!("own scheduler: from sending a pod to reading its node in a watch, p{percent}");
        report.add(format!("loop/wait-p{percent}"), what, (times.percentile(percent), "ms"), "");
    }
    Ok(())
}

async fn create(client: Client, url: String, next: Arc<AtomicUsize>, sent: SentAt) -> Result<(), String> {
    loop {
        let i = next.fetch_add(1, Ordering::Relaxed);
        let Some(()) = lock(&sent).get_mut(i).map(|at| *at = Some(Instant::now())) else { return Ok(()) };
        let pod = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"loop-{i}","labels":{{"app":"loop"}}}},"spec":{{"schedulerName":"bench","containers":[{{"name":"main","image":"registry.example/app:1","resources":{{"requests":{{"cpu":"10m","memory":"16Mi"}}}}}}]}}}}"#
        );
        client.post(&url, pod).await?;
    }
}

/// Reads a watch until each pod has its node; the time that each waited.
async fn watch(address: String, sent: SentAt, ready: oneshot::Sender<()>) -> Result<Vec<Duration>, String> {
    let failed = |error: std::io::Error| format!("the watch of pods: {error}");
    let mut stream = TcpStream::connect(&address).await.map_err(failed)?;
    let request = format!("GET {PATH}?watch=1 HTTP/1.1\r\nhost: {address}\r\naccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let (mut lines, mut line, mut ready) = (BufReader::new(stream), Vec::new(), Some(ready));
    let mut waits: Vec<Option<Duration>> = vec![None; lock(&sent).len()];
    let mut missing = waits.len();
    while missing > 0 && lines.read_until(b'\n', &mut line).await.map_err(failed)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if text.starts_with("HTTP/1.1 200") {
            // Nobody waits for it any more if this is refused.
            let _ = ready.take().map(|ready| ready.send(()));
        } else if text.contains(r#""type":"ERROR""#) {
            return Err(format!("the watch of pods broke off: {text}"));
        }
        if text.contains(r#""nodeName":""#)
            && let Some((_, rest)) = text.split_once(r#""name":"loop-"#)
            && let Some(i) = rest.split('"').next().and_then(|i| i.parse::<usize>().ok())
            && let Some(wait @ None) = waits.get_mut(i)
        {
            *wait = lock(&sent).get(i).copied().flatten().map(|at| at.elapsed());
            missing -= 1;
        }
        line.clear();
    }
    if missing > 0 { Err("the watch of pods ended".into()) } else { Ok(waits.into_iter().flatten().collect()) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
