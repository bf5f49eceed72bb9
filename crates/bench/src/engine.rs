//! The engine by itself, in this process and on one thread: no HTTP, no store.

use std::time::{Duration, Instant};

use super::{report::Report, times::Times};
use podberth_core::{
    policy::{Configuration, Policy, Profile},
    snapshot::Snapshot,
};
use podberth_testkit::large::{PODS_PER_NODE, Running, Workload, cluster, decide, workloads};

/// The longest that one decision is repeated, and the least number of times.
const BUDGET: Duration = Duration::from_secs(1);
const REPEATS: usize = 15;

/// The cases whose growth is measured.
const GROWING: [&str; 2] = ["plain", "anti-affinity-among-apart"];

/// The default policy of 1.22 and the default profile of 1.34.
fn profiles() -> Result<[(&'static str, Profile); 2], String> {
    let old = Policy::default().compile().map_err(|_| "the default policy does not compile")?;
    let new = Configuration::default().compile(None).map_err(|_| "the default profile does not compile")?;
    Ok([("1.22", old), ("1.34", new)])
}

/// Every workload at one size.
pub(super) async fn decisions(nodes: usize, report: &mut Report) -> Result<(), String> {
    let nodes = round(nodes);
    for running in [Running::Plain, Running::Apart] {
        let measured = blocking(move || {
            let (snapshot, profiles) = (cluster(nodes, PODS_PER_NODE, running), profiles()?);
            let mut measured = Vec::new();
            for workload in workloads().into_iter().filter(|workload| workload.running == running) {
                for (release, profile) in &profiles {
                    measured.push((workload.name, *release, time(profile, &workload, &snapshot)?));
                }
            }
            Ok(measured)
        });
        for (workload, release, times) in measured.await? {
            let what = format!("one decision over {nodes} nodes, {workload}, {release}");
            let note = format!("p50 of {}, one thread", times.len());
            report.add(format!("engine/{workload}/{release}"), what, (times.percentile(50), "ms"), note);
        }
    }
    Ok(())
}

/// Two workloads at a tenth, at, and at ten times the nodes; then one with fewer and more pods on each node.
pub(super) async fn growth(nodes: usize, report: &mut Report) -> Result<(), String> {
    let nodes = round(nodes);
    let sizes = [nodes / 10, nodes, nodes * 10].map(|nodes| (nodes, PODS_PER_NODE, nodes.to_string()));
    let crowds = [10, PODS_PER_NODE, 60].map(|pods| (nodes, pods, format!("{pods}-a-node")));
    let plain = sizes.clone().into_iter().chain(crowds).map(|size| (Running::Plain, size));
    for (running, (nodes, pods_per_node, name)) in plain.chain(sizes.map(|size| (Running::Apart, size))) {
        for (workload, times) in blocking(move || grown(nodes, pods_per_node, running)).await? {
            let what = format!("one decision over {nodes} nodes, {} pods, {workload}", nodes * pods_per_node);
            report.add(format!("growth/{workload}/{name}"), what, (times.percentile(50), "ms"), "");
        }
    }
    Ok(())
}

/// A number of nodes at which the fixture's pods are spread evenly, at a tenth of it too.
fn round(nodes: usize) -> usize {
    nodes / 100 * 100
}

fn grown(nodes: usize, pods_per_node: usize, running: Running) -> Result<Vec<(&'static str, Times)>, String> {
    let (snapshot, [(_, profile), _]) = (cluster(nodes, pods_per_node, running), profiles()?);
    let chosen = workloads().into_iter().filter(|w| w.running == running && GROWING.contains(&w.name));
    chosen.map(|workload| time(&profile, &workload, &snapshot).map(|times| (workload.name, times))).collect()
}

/// Decides again and again, once it has been seen that the decision is right.
fn time(profile: &Profile, workload: &Workload, snapshot: &Snapshot) -> Result<Times, String> {
    let expected = (workload.fitting)(snapshot.node_refs().count());
    let fitting = decide(profile, &workload.pod, snapshot).len();
    if fitting != expected {
        return Err(format!("{}: {fitting} nodes fit, not {expected}", workload.name));
    }
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < REPEATS || begun.elapsed() < BUDGET {
        let once = Instant::now();
        std::hint::black_box(decide(profile, &workload.pod, snapshot));
        times.push(once.elapsed());
    }
    Ok(times.into_iter().collect())
}

/// Computes off the runtime's threads, so that a signal is heard meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}
