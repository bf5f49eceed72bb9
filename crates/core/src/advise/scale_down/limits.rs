//! # Rule
//! An unneeded node may go when it was unneeded for longer than `scaleDownUnneededTime` (10 minutes; a node that is not ready: `scaleDownUnreadyTime`, 20
//! minutes), while its group stays above its smallest size, and while the cluster keeps `minCoresTotal` and `minMemoryTotal`. Empty nodes are asked before
//! those whose pods would have to move; of these, ones with pods that no budget holds back come first. A group that comes and goes as a whole
//! (`zeroOrMaxNodeScaling`) goes only if all of its nodes may. A node with a pod that is waited for stays until that has ended.
//!
//! # Reasons
//! `NotUnneededLongEnough`, `NotUnreadyLongEnough`, `NodeGroupMinSizeReached`, `MinimalResourceLimitExceeded`, `AtomicScaleDownFailed`,
//! `BlockedByOnCompletionPod`
//!
//! # Source
//! `cluster-autoscaler/core/scaledown/unneeded/nodes.go` (`RemovableAt`), `core/scaledown/planner/planner.go` (`NodesToDelete`, `sortByRisk`),
//! `resourcequotas/tracker.go`, `processors/nodes/scale_down_set_processor.go`
//!
//! # Example
//! A group of four with a smallest size of three: of its three unneeded nodes one goes, and the others wait with `NodeGroupMinSizeReached`.

use std::collections::HashMap;

use super::{Input, Reason, Unneeded, eligibility::is_ready};
use crate::{
    advise::groups::Group,
    model::{Node, Quantity},
};

/// Nodes of the cluster as the limits count them: the first node of a group stands for all of it.
struct Minimums<'a> {
    cores: i64,
    memory: i64,
    by_group: HashMap<usize, (i64, i64)>,
    input: &'a Input<'a>,
}

impl<'a> Minimums<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let mut minimums = Self { cores: 0, memory: 0, by_group: HashMap::new(), input };
        let (mut cores, mut memory) = (0_i64, 0_i64);
        for info in input.snapshot.nodes() {
            let of_node = minimums.of(&info.node);
            cores = cores.saturating_add(of_node.0);
            memory = memory.saturating_add(of_node.1);
        }
        minimums.cores = cores.saturating_sub(input.options.min_cores_total).max(0);
        minimums.memory = memory.saturating_sub(input.options.min_memory_total).max(0);
        minimums
    }

    fn of(&mut self, node: &Node) -> (i64, i64) {
        let Some(group) = self.input.groups.index_of(&node.name) else { return capacity(node) };
        *self.by_group.entry(group).or_insert_with(|| capacity(node))
    }

    /// `true` if the cluster can do without the node, which it then does.
    fn spare(&mut self, node: &Node) -> bool {
        let (cores, memory) = self.of(node);
        let can = (cores <= 0 || cores <= self.cores) && (memory <= 0 || memory <= self.memory);
        if can {
            self.cores = self.cores.saturating_sub(cores).max(0);
            self.memory = self.memory.saturating_sub(memory).max(0);
        }
        can
    }
}

/// Whole cores and bytes that a node has.
fn capacity(node: &Node) -> (i64, i64) {
    let all = node.facts.as_ref().map_or(&node.allocatable, |facts| &facts.capacity);
    (Quantity::from_milli(all.milli_cpu).value().max(0), all.memory.max(0))
}

/// The time for which a node of the group is to be unneeded.
pub(super) fn threshold(node: &Node, group: &Group, input: &Input<'_>) -> i64 {
    if is_ready(node) {
        group.options.unneeded_time.unwrap_or(input.options.unneeded_time)
    } else {
        group.options.unready_time.unwrap_or(input.options.unready_time)
    }
}

/// The size of a group when the deletions under way are done. Nodes beyond its target size are deletions that the target says already.
fn size_after_deletions(group: &Group, input: &Input<'_>) -> i64 {
    let count = |of: usize| i64::try_from(of).unwrap_or(i64::MAX);
    let there = count(group.nodes.iter().filter(|name| input.snapshot.node(name).is_some()).count());
    let deleted = count(group.nodes.iter().filter(|name| input.state.deleting.contains_key(*name)).count());
    let target = i64::from(group.target);
    let told = (there - target).max(0);
    target - (deleted - told).max(0)
}

/// Gives each unneeded node that may not go yet its reason. The nodes that may go come in the order in which they go.
pub(super) fn apply(unneeded: &mut [Unneeded], input: &Input<'_>) -> Vec<usize> {
    let mut sizes: Vec<i64> = input.groups.all().iter().map(|group| size_after_deletions(group, input)).collect();
    let mut minimums = Minimums::new(input);
    let mut may_go = Vec::new();
    for with_pods in [false, true] {
        for (at, node) in unneeded.iter_mut().enumerate().filter(|(_, node)| node.needs_drain() == with_pods) {
            let group = &input.groups.all()[node.group];
            let is_due = node.threshold <= 0 || node.since.saturating_add(node.threshold) < input.now;
            node.reason = if !is_due {
                let ready = is_ready(&node.node);
                Some(if ready { Reason::NotUnneededLongEnough } else { Reason::NotUnreadyLongEnough })
            } else if sizes[node.group] <= i64::from(group.min) {
                Some(Reason::NodeGroupMinSizeReached)
            } else if !minimums.spare(&node.node) {
                Some(Reason::MinimalResourceLimitExceeded)
            } else {
                sizes[node.group] -= 1;
                may_go.push(at);
                None
            };
        }
    }
    may_go.sort_by_key(|at| (unneeded[*at].needs_drain(), unneeded[*at].risky));
    whole_groups(unneeded, &mut may_go, input);
    may_go.retain(|at| {
        let waits = !unneeded[*at].on_completion.is_empty();
        if waits {
            unneeded[*at].reason = Some(Reason::BlockedByOnCompletionPod);
        }
        !waits
    });
    may_go
}

/// Keeps the nodes of groups that go as a whole, if not all of them may go.
fn whole_groups(unneeded: &mut [Unneeded], may_go: &mut Vec<usize>, input: &Input<'_>) {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for at in may_go.iter() {
        *counts.entry(unneeded[*at].group).or_default() += 1;
    }
    may_go.retain(|at| {
        let node = &mut unneeded[*at];
        let group = &input.groups.all()[node.group];
        let count = counts.get(&node.group).copied().unwrap_or_default();
        let registered = || group.nodes.iter().filter(|name| input.snapshot.node(name).is_some()).count();
        let goes = !group.zero_or_max || count == group.target as usize || count == registered();
        if !goes {
            node.reason = Some(Reason::AtomicScaleDownFailed);
        }
        goes
    });
}
