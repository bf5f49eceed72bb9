//! kube-scheduler's extender verbs on the large cluster, by names and with full nodes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Deserialize;
use tokio::{task::JoinSet, time::sleep};

use super::{
    client::{Client, Failed},
    fixture::Fixture,
    report::{Report, number},
    server::Server,
    times::{Times, milliseconds, sample},
};
use podberth_testkit::{
    json::{self, Candidates},
    large::{TAINTED, node_name},
};

/// Calls by names, one after the other.
const CALLS: usize = 2_000;
/// Calls with full nodes, likewise.
const FULL_CALLS: usize = 30;
/// The longest that calls of a kind go on.
const BUDGET: Duration = Duration::from_secs(30);
/// Requests with full nodes at the same time.
const FLOOD: usize = 32;
/// After the flood, until memory is looked at again.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// The pod that is asked about.
pub(super) const INCOMING: &str = r#"{"metadata":{"name":"incoming","namespace":"running","labels":{"app":"app-1"}},"spec":{"containers":[{"name":"main","image":"example/app-1:v1","resources":{"requests":{"cpu":"1","memory":"2Gi"}}}]}}"#;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filtered {
    nodes: Option<Nodes>,
    node_names: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Nodes {
    items: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    metadata: Meta,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostPriority {
    host: String,
    score: i64,
}

/// The question about all nodes by their names.
pub(super) fn by_names(nodes: usize) -> Bytes {
    let names: Vec<String> = (0..nodes).map(node_name).collect();
    json::question(INCOMING, &Candidates::Names(&names)).into()
}

fn in_full(nodes: usize) -> Bytes {
    json::question(INCOMING, &Candidates::Full(&json::nodes(nodes))).into()
}

/// Only the nodes without the taint pass, and all of them.
pub(super) fn is_filtered(reply: &[u8], nodes: usize) -> Result<(), String> {
    let reply: Filtered = serde_json::from_slice(reply).map_err(|error| format!("/filter: {error}"))?;
    let full = |list: Nodes| list.items.into_iter().map(|node| node.metadata.name).collect();
    let passed = reply.node_names.or(reply.nodes.map(full)).ok_or("/filter: the reply has no nodes")?;
    let expected = (0..nodes).filter(|i| !i.is_multiple_of(TAINTED)).map(node_name);
    if passed.iter().cloned().eq(expected) {
        return Ok(());
    }
    Err(format!("/filter: {} nodes passed, and they are not those without the taint", passed.len()))
}

/// Every node has a score of 0 to 10.
pub(super) fn is_prioritized(reply: &[u8], nodes: usize) -> Result<(), String> {
    let reply: Vec<HostPriority> = serde_json::from_slice(reply).map_err(|error| format!("/prioritize: {error}"))?;
    let hosts: BTreeSet<&str> = reply.iter().map(|line| &*line.host).collect();
    let right = hosts.len() == nodes && reply.len() == nodes && reply.iter().all(|line| (0..=10).contains(&line.score));
    if right { Ok(()) } else { Err("/prioritize: not every node has one score of 0 to 10".into()) }
}

pub(super) async fn filter_names(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    names("filter", is_filtered, fixture, report).await
}

pub(super) async fn prioritize_names(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    names("prioritize", is_prioritized, fixture, report).await
}

async fn names(
    verb: &str,
    check: fn(&[u8], usize) -> Result<(), String>,
    fixture: &mut Fixture<'_>,
    report: &mut Report,
) -> Result<(), String> {
    let (client, nodes) = (fixture.client(), fixture.nodes());
    let server = fixture.large().await?;
    let (url, body) = (format!("{}/{verb}", server.url), by_names(nodes));
    check(&client.post(&url, body.clone()).await?.body, nodes)?;
    let before = server.cpu();
    let times = sample(CALLS, BUDGET, || async { Ok(client.post(&url, body.clone()).await?.took) }).await?;
    let note = per_call(server, before, times.len());
    let what = format!("/{verb}: {nodes} nodes by name");
    for percent in [50, 99] {
        let name = format!("{verb}-names/p{percent}");
        report.add(name, format!("{what}, p{percent}"), (times.percentile(percent), "ms"), note.clone());
    }
    Ok(())
}

/// How many calls, and the server's CPU time for each; calls that do not count are in it.
fn per_call(server: &Server, before: Option<f64>, calls: usize) -> String {
    let used = server.cpu().zip(before).map(|(after, before)| (after - before) * 1e3 / calls as f64);
    let cpu = used.map(|used| format!(", {} ms of CPU each", number(used))).unwrap_or_default();
    format!("{calls} calls{cpu}")
}

/// Full nodes, as if the server had never seen them: their resource versions are another cluster's.
pub(super) async fn filter_full(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let (client, nodes) = (fixture.client(), fixture.nodes());
    let body = in_full(nodes);
    let megabytes = body.len() as f64 / 1e6;
    let what = format!("/filter: {nodes} full nodes, {} MB", number(megabytes));
    // Memory that an earlier request took and that was kept would hide what one takes.
    fixture.large().await?;
    let server = fixture.fresh_server().await?;
    let url = format!("{}/filter", server.url);
    client.post(&format!("{}/filter", server.url), by_names(nodes)).await?;
    let rest = server.resident();
    let first = client.drain(&url, &body).await?;
    let peak = server.peak().zip(rest).map(|(peak, rest)| (peak - rest) / megabytes);
    let reply = client.post(&url, body.clone()).await?;
    is_filtered(&reply.body, nodes)?;

    let before = server.cpu();
    let expected = reply.body.len();
    drop(reply);
    let call = || async {
        let (took, bytes) = client.drain(&url, &body).await?;
        if bytes == expected { Ok(took) } else { Err(format!("/filter: {bytes} bytes, not {expected}")) }
    };
    let times = sample(FULL_CALLS, BUDGET, call).await?;
    let note = per_call(server, before, times.len());
    for percent in [50, 99] {
        let name = format!("filter-full/p{percent}");
        report.add(name, format!("{what}, p{percent}"), (times.percentile(percent), "ms"), note.clone());
    }
    if let Some(peak) = peak {
        let note = format!("of the first call, which took {} ms", number(milliseconds(first.0)));
        report.add("filter-full/peak-memory", "the same: memory above rest at its peak", (peak, "× the body"), note);
    }
    Ok(())
}

/// Many requests with full nodes at once, and what becomes of small ones meanwhile.
pub(super) async fn flood(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let (client, nodes) = (fixture.client(), fixture.nodes());
    let (body, small) = (in_full(nodes), by_names(nodes));
    let megabytes = body.len() as f64 / 1e6;
    let server = fixture.large().await?;
    let url = format!("{}/filter", server.url);
    let reply = client.post(&url, body.clone()).await?.body;
    is_filtered(&reply, nodes)?;
    let expected = reply.len();
    drop(reply);
    server.forget_peak()?;

    let begun = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let meanwhile = tokio::spawn(until(over.clone(), client.clone(), url.clone(), small.clone()));
    let mut flood = JoinSet::new();
    for _ in 0..FLOOD {
        let (client, url, body) = (client.clone(), url.clone(), body.clone());
        flood.spawn(insist(client, url, body));
    }
    let answers = flood.join_all().await;
    let took = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    let smalls = meanwhile.await.map_err(|error| error.to_string())??;
    let peak = server.peak();

    let mut turned_away = 0;
    for answer in answers {
        let (bytes, again) = answer?;
        turned_away += again;
        if bytes != expected {
            return Err(format!("/filter: {bytes} bytes, not {expected}"));
        }
    }
    is_filtered(&client.post(&url, small).await?.body, nodes)?;
    let what = format!("{FLOOD} × {} MB at once", number(megabytes));
    let note =
        format!("all answered after {} s, {turned_away} turned away and asked again", number(took.as_secs_f64()));
    sleep(AFTERWARDS).await;
    if let Some(peak) = peak {
        let rest = server.resident().map(number).unwrap_or_default();
        let note = format!("{note}; {rest} MB {} s later", AFTERWARDS.as_secs());
        report.add("flood/peak-memory", format!("{what}: peak memory"), (peak, "MB"), note);
    }
    let note = format!("{} calls with {nodes} names, p50 {} ms", smalls.len(), number(smalls.percentile(50)));
    report.add(
        "flood/small-requests-p99",
        format!("{what}: small requests meanwhile, p99"),
        (smalls.percentile(99), "ms"),
        note,
    );
    Ok(())
}

/// Asks until there is room: how many bytes the answer has and how often there was none.
async fn insist(client: Client, url: String, body: Bytes) -> Result<(usize, usize), String> {
    let mut turned_away = 0;
    loop {
        match client.drain(&url, &body).await {
            Ok((_, bytes)) => return Ok((bytes, turned_away)),
            Err(Failed { busy: Some(wait), .. }) => sleep(wait).await,
            Err(failed) => return Err(failed.into()),
        }
        turned_away += 1;
    }
}

/// Calls one after the other until it is over.
async fn until(over: Arc<AtomicBool>, client: Client, url: String, body: Bytes) -> Result<Times, String> {
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        times.push(client.post(&url, body.clone()).await?.took);
    }
    Ok(times.into_iter().collect())
}
