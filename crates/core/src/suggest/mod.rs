//! Suggestions for a pod that fits nowhere: the cheapest changes, each tried before it is reported.
//!
//! The obstacles between the pod and each node are read off the pod's demands. The nodes with the cheapest obstacles are tried: the
//! changes are made on a copy, needless changes are left out, and changes that do not help are dropped. The number of further nodes
//! like an existing one that would suffice is tried as well.

mod change;
mod defects;

use std::sync::Arc;

pub use change::Change;

use super::{
    batch::{Batch, Options, Placement},
    cycle::Cycle,
    model::{Name, Node, Pod},
    policy::Profile,
    rule::Release,
    snapshot::Snapshot,
    work,
};

/// Nodes that are tried, the nearest first.
const NODES_TRIED: usize = 24;
/// Of those with the same kinds of defects.
const NODES_ALIKE: usize = 4;
/// Nodes that others are tried to be like.
const MODELS_TRIED: usize = 8;
/// More new nodes than this are no suggestion.
const MOST_NEW_NODES: usize = 1_000;
/// Steps of work for one node.
const STEPS: usize = 32;
/// Pods for which it is tried out how many nodes they need.
const MOST_ALIKE: usize = 10_000;
/// Largest number of suggestions in a reply.
const MOST_TOLD: usize = 5;

/// Changes with which the pod fits a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// All of them are needed.
    pub changes: Vec<Change>,
    /// A node that would take the pod then. A node to be added goes by the name of its model, `-new-` and a number.
    pub node: Name,
    /// The number of pods that would fit then, among those with equal demands.
    pub pods: usize,
}

impl Suggestion {
    /// The sum of the costs of its changes.
    pub fn cost(&self) -> i64 {
        self.changes.iter().fold(0, |sum, change| sum.saturating_add(change.cost()))
    }

    /// Pod and cluster with its changes.
    pub fn apply(&self, pod: &Pod, snapshot: &Snapshot) -> (Pod, Snapshot) {
        apply(&self.changes, pod, snapshot)
    }
}

fn apply(changes: &[Change], pod: &Pod, snapshot: &Snapshot) -> (Pod, Snapshot) {
    let (mut pod, mut snapshot) = (pod.clone(), snapshot.clone());
    for change in changes {
        change.apply(&mut pod, &mut snapshot);
    }
    (pod, snapshot)
}

/// The cheapest changes, the cheapest first, for `alike` pods with the demands of one that fits nowhere. What no change
/// tried here can help (a scheduling gate, a missing volume) has none.
pub fn suggest(profile: &Profile, pod: &Pod, snapshot: &Snapshot, alike: usize) -> Vec<Suggestion> {
    let gated = !pod.spec.scheduling_gates.is_empty();
    if gated || Cycle::prepare(profile, pod, snapshot).rejection().is_some() {
        return Vec::new();
    }
    let mut found: Vec<Suggestion> = Vec::new();
    for (_, node, ways) in nearest(profile.release, pod, snapshot) {
        for changes in ways {
            let Some(changes) = fewest(profile, pod, snapshot, &node, changes) else { continue };
            if !changes.is_empty() && found.iter().all(|other| other.changes != changes) {
                found.push(Suggestion { changes, node: node.clone(), pods: 1 });
            }
        }
    }
    found.extend(more_nodes(profile, pod, snapshot, alike.clamp(1, MOST_ALIKE)));
    found.sort_by_cached_key(|suggestion| (suggestion.cost(), suggestion.node.clone()));
    let mut told: Vec<Suggestion> = Vec::new();
    for suggestion in found {
        let kinds = |s: &Suggestion| s.changes.iter().map(std::mem::discriminant).collect::<Vec<_>>();
        // One of each kind: the same advice for another node is no news.
        if told.len() < MOST_TOLD && told.iter().all(|other| kinds(other) != kinds(&suggestion)) {
            told.push(suggestion);
        }
    }
    told
}

/// Nodes with the ways that might lead there, the cheapest first.
fn nearest(release: Release, pod: &Pod, snapshot: &Snapshot) -> Vec<(i64, Name, Vec<Vec<Change>>)> {
    let way = |node| {
        work::spend_on(STEPS + pod.spec.tolerations.len());
        let ways = defects::ways(pod, node, release)?;
        let cost = |changes: &Vec<Change>| changes.iter().map(Change::cost).fold(0_i64, i64::saturating_add);
        let cheapest = ways.iter().map(cost).min()?;
        Some((cheapest, Arc::clone(&node.node.name), ways))
    };
    let mut all: Vec<_> = snapshot.nodes().filter_map(|node| way(node)).collect();
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut kinds_seen: Vec<(Vec<_>, usize)> = Vec::new();
    all.retain(|(_, _, ways)| {
        let kinds: Vec<_> = ways.iter().flatten().map(std::mem::discriminant).collect();
        if let Some((_, times)) = kinds_seen.iter_mut().find(|(seen, _)| *seen == kinds) {
            *times += 1;
            *times <= NODES_ALIKE
        } else {
            kinds_seen.push((kinds, 1));
            true
        }
    });
    all.truncate(NODES_TRIED);
    all
}

/// The changes without those that are not needed for the pod to fit on the node; `None` where all of them are not enough.
fn fewest(
    profile: &Profile,
    pod: &Pod,
    snapshot: &Snapshot,
    node: &str,
    mut changes: Vec<Change>,
) -> Option<Vec<Change>> {
    let fits = |changes: &[Change]| {
        let (pod, snapshot) = apply(changes, pod, snapshot);
        let cycle = Cycle::prepare(profile, &pod, &snapshot);
        snapshot.node(node).is_some_and(|node| cycle.first_failure(node).is_none())
    };
    if !fits(&changes) {
        changes.extend(defects::rules_about_pods(pod));
        if !fits(&changes) {
            return None;
        }
    }
    // The dearest first, so that the cheaper of two that do the same stays.
    let mut order = changes.clone();
    order.sort_by_key(|change| std::cmp::Reverse(change.cost()));
    for change in order {
        let without: Vec<Change> = changes.iter().filter(|other| **other != change).cloned().collect();
        if fits(&without) {
            changes = without;
        }
    }
    Some(changes)
}

/// How many more nodes of one kind would take all of the pods: with the fewest nodes, and of those the smallest.
fn more_nodes(profile: &Profile, pod: &Pod, snapshot: &Snapshot, alike: usize) -> Option<Suggestion> {
    let pods: Vec<Arc<Pod>> = (0..alike).map(|number| numbered(pod, number)).collect();
    let mut best: Option<Suggestion> = None;
    for model in models(pod, snapshot) {
        let most = best.as_ref().map_or(MOST_NEW_NODES, |best| best.changes.iter().map(nodes_added).sum::<usize>() - 1);
        let Some((count, node)) = nodes_needed(profile, &pods, snapshot, &model.name, most) else { continue };
        best =
            Some(Suggestion { changes: vec![Change::AddNodes { like: model.name.clone(), count }], node, pods: alike });
        if count == 1 {
            break;
        }
    }
    best
}

fn nodes_added(change: &Change) -> usize {
    if let Change::AddNodes { count, .. } = change { *count } else { 0 }
}

/// Nodes of different kinds, the smallest first, none of them too small for the pod.
fn models(pod: &Pod, snapshot: &Snapshot) -> Vec<Arc<Node>> {
    let mut models: Vec<Arc<Node>> = Vec::new();
    for info in snapshot.nodes() {
        work::spend_on(STEPS + models.len());
        let node = &info.node;
        let alike = |other: &Arc<Node>| {
            other.allocatable == node.allocatable
                && other.taints == node.taints
                && other.unschedulable == node.unschedulable
        };
        if defects::is_large_enough(pod, node) && !node.unschedulable && !models.iter().any(alike) {
            models.push(node.clone());
        }
    }
    models.sort_by_key(|node| (node.allocatable.milli_cpu, node.allocatable.memory));
    models.truncate(MODELS_TRIED);
    models
}

/// How many nodes like the model it takes, at most `most`, and which node takes the first pod. One node less was tried and is not enough.
fn nodes_needed(
    profile: &Profile,
    pods: &[Arc<Pod>],
    snapshot: &Snapshot,
    like: &Name,
    most: usize,
) -> Option<(usize, Name)> {
    let (mut too_few, mut count) = (0, 1);
    let mut enough = loop {
        if count > most {
            return None;
        }
        let (placed, first) = placed_with(profile, pods, snapshot, like, count);
        if placed == pods.len() {
            break first.map(|node| (count, node))?;
        }
        if placed == 0 && count > 1 {
            return None;
        }
        too_few = count;
        // As many as would do if each new node took its share of those placed; always more than before.
        count = if placed == 0 { 2 } else { (count * pods.len()).div_ceil(placed).max(count + 1) };
    };
    // The last one that was not enough may be far below.
    while enough.0 - too_few > 1 {
        let count = too_few.midpoint(enough.0);
        match placed_with(profile, pods, snapshot, like, count) {
            (placed, Some(first)) if placed == pods.len() => enough = (count, first),
            _ => too_few = count,
        }
    }
    Some(enough)
}

/// How many of the pods find a place one after the other with so many nodes like the model, and which node takes the first one.
fn placed_with(
    profile: &Profile,
    pods: &[Arc<Pod>],
    snapshot: &Snapshot,
    like: &Name,
    count: usize,
) -> (usize, Option<Name>) {
    let mut widened = snapshot.clone();
    Change::AddNodes { like: like.clone(), count }.apply(&mut Pod::default(), &mut widened);
    let options = Options { preempt: false, ..Options::default() };
    let mut batch = Batch::new(profile, widened, options);
    let mut first = None;
    for (placed, pod) in pods.iter().enumerate() {
        let Placement::Placed(there) = batch.place(pod) else { return (placed, first) };
        first.get_or_insert(there.node);
    }
    (pods.len(), first)
}

/// One of many pods with the same demands.
fn numbered(pod: &Pod, number: usize) -> Arc<Pod> {
    if number == 0 {
        return Arc::new(pod.clone());
    }
    Arc::new(Pod { name: format!("{}-like-{number}", pod.name).into(), ..pod.clone() })
}

#[cfg(test)]
mod tests;
