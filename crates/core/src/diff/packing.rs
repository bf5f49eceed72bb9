//! How well the nodes of a cluster are packed.
//!
//! # Stranded amounts
//!
//! A free amount is *stranded* if it cannot be used because another resource of its node has run out. The measure is the *median pod*: the median
//! CPU request of the pods that request CPU, and the median memory request of those that request memory, over all pods on nodes and all compared pods
//! (of an even number the lower one; pods of DaemonSets do not count). The free CPU of a node is stranded if it suffices for the median pod, but the
//! node's free memory, or its free places for pods, does not. Free memory is stranded if it suffices, but free CPU or places do not. If both are too
//! little the node is full, and neither is stranded. Cordoned nodes do not count. One median pod measures both policies.
//!
//! Capacity that is stranded after a change and was not before is the price of the change: no pod of the usual size can use it.

use std::collections::BTreeMap;

use crate::{
    model::{Name, Pod, resources},
    node_info::NodeInfo,
    simulate::{MadeAnew, made_anew},
    snapshot::Snapshot,
    work,
};

/// How well the nodes of a cluster are packed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packing {
    /// Nodes.
    pub nodes: usize,
    /// Those with a pod that no DaemonSet owns.
    pub in_use: usize,
    /// CPU, memory and pods.
    pub resources: BTreeMap<Name, Fill>,
}

/// How full the nodes in use are of one resource. CPU counts in thousandths, anything else in whole units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fill {
    /// The mean over the nodes in use of the part that is requested.
    pub mean: f64,
    /// The part that 95 of 100 nodes in use do not exceed (nearest rank).
    pub p95: f64,
    /// The free amount that is stranded, over all nodes; 0 for pods.
    pub stranded: i64,
}

/// The median pod. 0: no pod requests the resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MedianPod {
    /// Thousandths of a core.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
}

impl MedianPod {
    /// That of the pods on the nodes of a cluster and some more.
    pub fn of<'a>(snapshot: &'a Snapshot, more: impl Iterator<Item = &'a Pod>) -> Self {
        let there = snapshot.nodes().flat_map(|info| &info.pods).map(|pod| &**pod);
        let (mut cpu, mut memory) = (Vec::new(), Vec::new());
        for pod in there.chain(more).filter(|pod| made_anew(pod) != MadeAnew::WithItsNode) {
            work::spend(1);
            cpu.extend(Some(pod.spec.requests.milli_cpu).filter(|amount| *amount > 0));
            memory.extend(Some(pod.spec.requests.memory).filter(|amount| *amount > 0));
        }
        Self { milli_cpu: median(cpu), memory: median(memory) }
    }
}

fn median(mut amounts: Vec<i64>) -> i64 {
    let Some(middle) = amounts.len().checked_sub(1).map(|last| last / 2) else { return 0 };
    *amounts.select_nth_unstable(middle).1
}

impl Packing {
    /// That of a cluster, by a median pod.
    pub fn of(snapshot: &Snapshot, median: MedianPod) -> Self {
        let mut of = Self { nodes: snapshot.node_count(), ..Self::default() };
        let mut parts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut stranded = [0_i64; 2];
        for info in snapshot.nodes() {
            work::spend_on(1 + info.pods.len());
            let is_in_use = info.pods.iter().any(|pod| made_anew(pod) != MadeAnew::WithItsNode);
            of.in_use += usize::from(is_in_use);
            for name in [resources::CPU, resources::MEMORY, resources::PODS] {
                let (requested, offered) = requested(info, name);
                if is_in_use && offered > 0 {
                    parts.entry(name).or_default().push(requested as f64 / offered as f64);
                }
            }
            for (sum, amount) in stranded.iter_mut().zip(stranded_on(info, median)) {
                *sum = sum.saturating_add(amount);
            }
        }
        for (name, stranded) in [(resources::CPU, stranded[0]), (resources::MEMORY, stranded[1]), (resources::PODS, 0)]
        {
            let (mean, p95) = mean_and_p95(parts.remove(name).unwrap_or_default());
            of.resources.insert(name.into(), Fill { mean, p95, stranded });
        }
        of
    }
}

/// The requested and the offered amount of a resource.
fn requested(info: &NodeInfo, name: &str) -> (i64, i64) {
    let requested = if name == resources::PODS { info.pods.len() as i64 } else { info.requested.get(name) };
    (requested, info.node.allocatable.get(name))
}

/// The CPU and the memory that are stranded on a node.
fn stranded_on(info: &NodeInfo, median: MedianPod) -> [i64; 2] {
    if info.node.unschedulable {
        return [0, 0];
    }
    let free = |name: &str| {
        let (requested, offered) = requested(info, name);
        offered.saturating_sub(requested).max(0)
    };
    let (cpu, memory) = (free(resources::CPU), free(resources::MEMORY));
    let has_place = free(resources::PODS) > 0;
    let (takes_cpu, takes_memory) = (cpu >= median.milli_cpu, memory >= median.memory);
    let stranded = |amount: i64, need: i64, suffices: bool, other_suffices: bool| {
        if need > 0 && suffices && !(other_suffices && has_place) { amount } else { 0 }
    };
    [stranded(cpu, median.milli_cpu, takes_cpu, takes_memory), stranded(memory, median.memory, takes_memory, takes_cpu)]
}

fn mean_and_p95(mut parts: Vec<f64>) -> (f64, f64) {
    if parts.is_empty() {
        return (0.0, 0.0);
    }
    parts.sort_by(f64::total_cmp);
    let rank = (parts.len() * 95).div_ceil(100);
    (parts.iter().sum::<f64>() / parts.len() as f64, parts[rank.max(1) - 1])
}
