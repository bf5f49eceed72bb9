//! The cluster as the search for unneeded nodes sees it: nodes that are found go, and their pods are elsewhere from then on.
//!
//! Source: `cluster-autoscaler/simulator/cluster.go` (`SimulateNodeRemoval`, `findPlaceFor`, `replaceWithTaintedGhostNode`),
//! `simulator/scheduling/hinting_simulator.go`, `simulator/clustersnapshot/predicate/plugin_runner.go` (`RunFiltersUntilPassingNode`),
//! `simulator/clustersnapshot/scheduling_opts.go` (`lastIndexOrderMapping`).

use std::{collections::HashMap, sync::Arc};

use super::{Input, TO_BE_DELETED};
use crate::{
    batch,
    claim_choice::ClaimChoice,
    cycle::Cycle,
    model::{Effect, Name, Node, Pod, Taint},
    node_set::NodeSet,
    policy::Profiles,
    simulate::Placing,
    snapshot::{Kind, Object, Snapshot},
    work,
};

/// So many nodes are asked one by one before all are asked together.
const ASKED_ALONE: usize = 8;

/// A pod and the node that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The pod, as it is now.
    pub pod: Arc<Pod>,
    /// The node that takes it.
    pub to: Name,
}

/// The cluster with the pods that wait, as far as they fit: the scheduler is about to place them.
///
/// Source: `cluster-autoscaler/core/podlistprocessor/filter_out_schedulable.go`.
fn with_waiting(snapshot: Snapshot, input: &Input<'_>, arrivals: &mut u32) -> Snapshot {
    let cutoff = input.options.expendable_pods_priority_cutoff;
    let counts = |pod: &&Arc<Pod>| pod.waits() && pod.spec.priority.is_none_or(|priority| priority >= cutoff);
    let mut waiting: Vec<Arc<Pod>> = input.snapshot.pods().filter(counts).cloned().collect();
    if waiting.is_empty() {
        return snapshot;
    }
    batch::in_order(&mut waiting, &snapshot, |pod| pod);
    let options = batch::Options { preempt: false, ..batch::Options::default() };
    let mut placing = Placing::new(input.profiles.clone(), snapshot, options);
    for pod in waiting {
        *arrivals = arrivals.saturating_add(1);
        placing.place(&Arc::new(Pod { arrival: *arrivals, ..(*pod).clone() }));
    }
    placing.into_snapshot()
}

/// A working copy of the cluster.
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) snapshot: Snapshot,
    profiles: Profiles,
    /// All nodes, in the order in which they are tried as places for pods, and whether pods may go there.
    names: Arc<Vec<Name>>,
    places: Arc<HashMap<Name, usize>>,
    is_open: Vec<bool>,
    /// The place of the node that took a pod last: the next pod is tried on the one after it.
    last: usize,
    /// The highest number of a pod that was there at first.
    arrived: u32,
    /// The highest number of a pod by now.
    arrivals: u32,
    now: i64,
}

impl Picture {
    /// The cluster without the pods that make way for others anyway.
    pub(super) fn new(input: &Input<'_>, names: Vec<Name>) -> Self {
        let mut snapshot = input.snapshot.clone();
        let cutoff = input.options.expendable_pods_priority_cutoff;
        work::spend_on(snapshot.pod_count());
        let mut arrived = 0;
        for pod in input.snapshot.pods().filter(|pod| pod.is_assigned()) {
            arrived = arrived.max(pod.arrival);
            if pod.spec.priority.is_some_and(|priority| priority < cutoff) {
                snapshot.delete(Kind::Pod, &pod.namespace, &pod.name);
            } else if pod.terminal && input.counts_ended_pods {
                snapshot.apply(Object::Pod(Box::new(Pod { terminal: false, ..(**pod).clone() })));
            }
        }
        let mut arrivals = arrived;
        snapshot = with_waiting(snapshot, input, &mut arrivals);
        let places = names.iter().cloned().zip(0..).collect();
        let is_open = names.iter().map(|name| !input.state.deleting.contains_key(name)).collect();
        Self {
            snapshot,
            profiles: input.profiles.clone(),
            is_open,
            names: Arc::new(names),
            places: Arc::new(places),
            last: 0,
            arrived,
            arrivals,
            now: input.now,
        }
    }

    /// The pods of a node, in the order in which they came.
    pub(super) fn pods_of(&self, node: &str) -> Vec<Arc<Pod>> {
        let mut pods = self.snapshot.node(node).map(|info| info.pods.clone()).unwrap_or_default();
        pods.sort_by_key(|pod| pod.arrival);
        pods
    }

    /// The profiles that place pods.
    pub(super) fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// `true` for a pod that was on this node from the first.
    pub(super) fn was_there(&self, pod: &Pod) -> bool {
        pod.arrival <= self.arrived
    }

    /// Takes a node away and places some of its pods elsewhere. Where one fits nowhere, nothing has changed.
    ///
    /// # Errors
    /// The pod that fits nowhere.
    pub(super) fn remove(&mut self, node: &Name, to_move: &[Arc<Pod>]) -> Result<Vec<Move>, Arc<Pod>> {
        let mut tried = self.clone();
        tried.close(node);
        tried.empty(node);
        if !to_move.is_empty() {
            tried.taint(node);
        }
        let mut moves = Vec::with_capacity(to_move.len());
        for pod in to_move {
            let to = tried.place(pod).ok_or_else(|| pod.clone())?;
            moves.push(Move { pod: pod.clone(), to });
        }
        tried.delete(node);
        *self = tried;
        Ok(moves)
    }

    /// No pod goes to the node any more.
    pub(super) fn close(&mut self, node: &str) {
        if let Some(at) = self.places.get(node) {
            self.is_open[*at] = false;
        }
    }

    /// `true` if no pod goes to the node.
    pub(super) fn is_closed(&self, node: &str) -> bool {
        self.places.get(node).is_none_or(|at| !self.is_open[*at])
    }

    /// Takes all pods off a node.
    pub(super) fn empty(&mut self, node: &str) {
        let Some(info) = self.snapshot.node(node).cloned() else { return };
        work::spend_on(info.pods.len());
        for pod in &info.pods {
            self.snapshot.delete(Kind::Pod, &pod.namespace, &pod.name);
        }
    }

    /// Marks a node as one that goes. Topology spread still counts it.
    pub(super) fn taint(&mut self, node: &str) {
        let Some(info) = self.snapshot.node(node) else { return };
        let mut tainted: Node = (*info.node).clone();
        let value = (self.now / super::SECOND).to_string().into();
        tainted.taints.push(Taint { key: TO_BE_DELETED.into(), value, effect: Effect::NoSchedule, added: None });
        self.snapshot.apply(Object::Node(tainted));
    }

    /// Takes a node away.
    pub(super) fn delete(&mut self, node: &Name) {
        self.snapshot.delete(Kind::Node, &Name::default(), node);
    }

    /// Puts a pod on the first node that takes it, from the one after that which took the pod before.
    pub(super) fn place(&mut self, pod: &Arc<Pod>) -> Option<Name> {
        let profile = self.profiles.of(&pod.spec.scheduler_name).ok()?.clone();
        self.arrivals = self.arrivals.saturating_add(1);
        let waiting = Pod {
            node_name: Name::default(),
            nominated_node_name: Name::default(),
            arrival: self.arrivals,
            ..(**pod).clone()
        };
        let at = {
            let cycle = Cycle::prepare(&profile, &waiting, &self.snapshot);
            self.first_fit(&cycle)?
        };
        let node = self.names[at].clone();
        let choices = profile.claim_choices(&waiting, &self.snapshot, &node);
        self.snapshot.apply(Object::Pod(Box::new(Pod { node_name: node.clone(), ..waiting })));
        choices.iter().flat_map(ClaimChoice::outcome).for_each(|object| self.snapshot.apply(object));
        self.last = at;
        Some(node)
    }

    fn first_fit(&self, cycle: &Cycle<'_, '_>) -> Option<usize> {
        if cycle.rejection().is_some() {
            return None;
        }
        let count = self.names.len();
        let mut left = ASKED_ALONE;
        for step in 0..count {
            let at = (step + 1 + self.last) % count;
            if !self.is_open[at] {
                continue;
            }
            let Some(node) = self.snapshot.node_ref(&self.names[at]).filter(|node| !node.node.unschedulable) else {
                continue;
            };
            if cycle.fits(node) {
                return Some(at);
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        if left > 0 {
            return None;
        }
        let fitting: NodeSet<'_> = cycle.fitting();
        let distance = |at: usize| (at + count - (1 + self.last) % count) % count;
        fitting
            .iter()
            .filter(|node| !node.node.unschedulable)
            .filter_map(|node| self.places.get(node.name()).copied())
            .filter(|at| self.is_open[*at])
            .min_by_key(|at| distance(*at))
    }
}
