//! Durable binds: many callers, each binding one pod after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinSet;

use super::{
    check,
    client::Client,
    fixture::Fixture,
    report::{Report, number},
    times::Times,
};
use podberth_testkit::{
    json::{Shape, waiting},
    large::{TAINTED, node_name},
};

/// Pods that are bound.
const PODS: usize = 10_000;

/// The node to which pod `i` is bound: one without the taint.
fn node_for(i: usize, nodes: usize) -> String {
    let untainted = nodes - nodes.div_ceil(TAINTED);
    let nth = i % untainted;
    // Before the nth untainted node there is a tainted one for every nine others, the first node of all included.
    node_name(nth + nth / (TAINTED - 1) + 1)
}

pub(super) async fn measure(callers: usize, fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let namespace: &'static str = "binds";
    // Each part has pods of its own.
    let labels = format!(r#"{{"callers":"{callers}"}}"#);
    let prefix: &'static str = String::leak(format!("bind-{callers}"));
    let shape = Shape { prefix, namespace, labels, ..waiting("", "") };
    // On fewer nodes there is less room.
    let count = PODS.min(fixture.nodes() * 30);
    fixture.add_waiting(&shape, count).await?;
    let (client, nodes) = (fixture.client(), fixture.nodes());
    let server = fixture.large().await?;
    let url = format!("{}/bind", server.url);
    let before = server.cpu();

    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        tasks.spawn(caller(client.clone(), url.clone(), prefix, next.clone(), count, nodes));
    }
    let answers = tasks.join_all().await;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = server.cpu().zip(before).map(|(after, before)| (after - before) * 1e3 / count as f64);
    let mut times = Vec::new();
    for answer in answers {
        times.extend(answer?);
    }
    let times: Times = times.into_iter().collect();

    let stored = check::stored(&client, &format!("{}/api/v1/namespaces/{namespace}/pods", server.url)).await?;
    for i in 0..count {
        let (name, node) = (format!("{prefix}-{i:07}"), node_for(i, nodes));
        // A list is in order of names.
        let at = stored.binary_search_by(|pod| pod.name.as_str().cmp(&name)).map_err(|_| format!("{name} is gone"))?;
        if stored[at].node != node {
            return Err(format!("{name} is on {:?} and was bound to {node}", stored[at].node));
        }
    }
    let cpu = cpu.map(|cpu| format!(", {} ms of the server's CPU each", number(cpu))).unwrap_or_default();
    let what = format!("durable binds, {callers} callers");
    let note = format!("{count} binds{cpu}");
    report.add(format!("binds-{callers}/rate"), &*what, (count as f64 / seconds, "binds/s"), note);
    for percent in [50, 99] {
        let name = format!("binds-{callers}/p{percent}");
        report.add(name, format!("{what}, p{percent}"), (times.percentile(percent), "ms"), "");
    }
    Ok(())
}

async fn caller(
    client: Client,
    url: String,
    prefix: &'static str,
    next: Arc<AtomicUsize>,
    count: usize,
    nodes: usize,
) -> Result<Vec<std::time::Duration>, String> {
    let mut times = Vec::new();
    loop {
        let i = next.fetch_add(1, Ordering::Relaxed);
        if i >= count {
            return Ok(times);
        }
        let node = node_for(i, nodes);
        let body = format!(r#"{{"PodName":"{prefix}-{i:07}","PodNamespace":"binds","PodUID":"","Node":"{node}"}}"#);
        let reply = client.post(&url, body).await?;
        if reply.body.trim_ascii() != br#"{"Error":""}"# {
            return Err(format!("/bind: {}", String::from_utf8_lossy(&reply.body)));
        }
        times.push(reply.took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pod_is_bound_to_a_node_with_the_taint_and_every_other_node_gets_some() {
        let mut used: Vec<String> = (0..45).map(|i| node_for(i, 50)).collect();
        used.sort();
        used.dedup();
        let untainted: Vec<String> = (0..50).filter(|i| i % TAINTED != 0).map(node_name).collect();
        assert_eq!(used, untainted);
    }
}
