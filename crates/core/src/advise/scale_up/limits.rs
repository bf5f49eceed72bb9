//! Limits of a scale-up: how many nodes a group, a scale-up and the cluster may have, and how many cores and bytes of memory.
//!
//! Source: `cluster-autoscaler/resourcequotas/tracker.go`, `cluster-autoscaler/estimator` (`threshold_based_limiter.go`,
//! `sng_capacity_threshold.go`, `cluster_capacity_threshold.go`).

use std::collections::HashMap;

use super::{Group, Options, room};
use crate::{
    model::{Name, Node, Resources},
    snapshot::Snapshot,
};

/// Cores and memory that nodes may still have together.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    cores_left: i64,
    memory_left: i64,
    /// Cores and bytes of a node of each group.
    of_group: HashMap<Name, (i64, i64)>,
}

/// All that a node has, or what it offers where it does not say.
pub(super) fn capacity(node: &Node) -> &Resources {
    let capacity = node.facts.as_ref().map(|facts| &facts.capacity);
    capacity.filter(|capacity| **capacity != Resources::default()).unwrap_or(&node.allocatable)
}

/// Whole cores, rounded up, and bytes of a node.
fn cores_and_memory(node: &Node) -> (i64, i64) {
    let capacity = capacity(node);
    (capacity.milli_cpu.max(0).saturating_add(999) / 1000, capacity.memory.max(0))
}

impl Quota {
    /// The rest of the limits that the nodes of a cluster leave. The nodes of one group count alike.
    pub(super) fn new(options: &Options, snapshot: &Snapshot, group_of: &HashMap<Name, Name>) -> Self {
        let mut quota = Self {
            cores_left: options.max_cores_total,
            memory_left: options.max_memory_total,
            of_group: HashMap::new(),
        };
        for info in snapshot.nodes() {
            let (cores, memory) = match group_of.get(info.name()) {
                Some(group) => quota.of(group, &info.node),
                None => cores_and_memory(&info.node),
            };
            quota.cores_left = quota.cores_left.saturating_sub(cores);
            quota.memory_left = quota.memory_left.saturating_sub(memory);
        }
        quota.cores_left = quota.cores_left.max(0);
        quota.memory_left = quota.memory_left.max(0);
        quota
    }

    fn of(&mut self, group: &Name, node: &Node) -> (i64, i64) {
        *self.of_group.entry(group.clone()).or_insert_with(|| cores_and_memory(node))
    }

    /// How many of so many nodes may be added, and the limits that forbid the others.
    pub(super) fn allowed(&mut self, group: &Name, node: &Node, wanted: usize) -> (usize, Vec<&'static str>) {
        let (cores, memory) = self.of(group, node);
        let mut allowed = wanted;
        let mut exceeded = Vec::new();
        for (name, left, each) in [("cpu", self.cores_left, cores), ("memory", self.memory_left, memory)] {
            let most = if each > 0 { usize::try_from(left / each).unwrap_or(0) } else { usize::MAX };
            if most < wanted {
                allowed = allowed.min(most);
                exceeded.push(name);
            }
        }
        (allowed, exceeded)
    }

    /// Cores and bytes of memory that are left.
    pub(super) fn left(&self) -> (i64, i64) {
        (self.cores_left, self.memory_left)
    }

    /// Takes so many nodes of a group.
    pub(super) fn take(&mut self, group: &Name, node: &Node, count: usize) {
        let (cores, memory) = self.of(group, node);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.cores_left = self.cores_left.saturating_sub(cores.saturating_mul(count)).max(0);
        self.memory_left = self.memory_left.saturating_sub(memory.saturating_mul(count)).max(0);
    }
}

/// Nodes that an estimate may add for a group and those similar to it; `usize::MAX` for any number.
pub(super) fn most_new_nodes(options: &Options, group: &Group, similar: &[&Group], nodes: usize) -> usize {
    let room = similar.iter().map(|other| room(other)).fold(room(group), usize::saturating_add);
    let in_cluster = match options.max_nodes_total {
        0 => usize::MAX,
        most => most.saturating_sub(nodes),
    };
    let at_once = if options.max_nodes_per_scale_up == 0 { usize::MAX } else { options.max_nodes_per_scale_up };
    room.min(in_cluster).min(at_once)
}
