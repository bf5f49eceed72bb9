//! A working copy of the cluster in which pods are placed one after the other.
//!
//! Unlike [`Batch`](crate::batch::Batch) it takes the first node that fits and scores nothing, as cluster-autoscaler does.
//!
//! Source: `cluster-autoscaler/simulator/clustersnapshot/predicate/plugin_runner.go` (`RunFiltersUntilPassingNode`,
//! `RunFiltersOnNode`), `cluster-autoscaler/simulator/clustersnapshot/scheduling_opts.go` (`lastIndexOrderMapping`).

use std::sync::Arc;

use crate::{
    block::{NODES, NodeRef, places},
    claim_choice::ClaimChoice,
    cycle::Cycle,
    index::Slot,
    model::{Name, Pod},
    node_info::NodeInfo,
    node_set::NodeSet,
    policy::{Profile, Profiles},
    rule::Reads,
    snapshot::{Object, Snapshot},
    verdict::Reason,
    work,
};

/// Steps of work that placing a pod takes besides the predicates' own.
const PLACE: u64 = 64;

/// A working copy.
#[derive(Clone)]
pub(super) struct Fork<'a> {
    profiles: &'a Profiles,
    /// The cluster with the pods placed so far.
    pub(super) snapshot: Snapshot,
    /// The slot of the node that a pod found last: the search for the next one begins behind it.
    last: usize,
}

/// Nodes to choose from, a mask for each block.
#[derive(Clone, Default)]
pub(super) struct Among(Vec<u64>);

impl Among {
    /// Adds the node in a slot.
    pub(super) fn add(&mut self, slot: Slot) {
        let (block, at) = (slot as usize / NODES, slot as usize % NODES);
        if self.0.len() <= block {
            self.0.resize(block + 1, 0);
        }
        self.0[block] |= 1 << at;
    }

    fn of<'s>(&self, snapshot: &'s Snapshot) -> NodeSet<'s> {
        let all = snapshot.node_set();
        let marked = |number: usize| self.0.get(number).copied().unwrap_or(0);
        NodeSet::new(all.parts().iter().map(|part| (part.block, part.marked & marked(part.block.number()))))
    }
}

/// A pod prepared for many nodes. It stays right when pods like it come to nodes, if its predicates read nothing but the node that they
/// judge.
pub(super) struct Prepared<'s> {
    cycle: Cycle<'s, 's>,
    is_near: bool,
}

impl<'s> Prepared<'s> {
    pub(super) fn new(profile: &'s Profile, pod: &'s Pod, snapshot: &'s Snapshot) -> Self {
        let is_near = !snapshot.has_nominated_pods()
            && pod.resource_claims.is_empty()
            && profile.predicates.iter().all(|predicate| predicate.rule.reads(pod, snapshot) <= Reads::Node);
        Self { cycle: Cycle::prepare(profile, pod, snapshot), is_near }
    }

    /// `true` if it may judge nodes of a later state of the cluster, to which only pods like this one have come.
    pub(super) fn is_near(&self) -> bool {
        self.is_near
    }

    /// `true` if a node is ruled out.
    pub(super) fn refuses(&self, node: &NodeInfo) -> bool {
        self.cycle.first_failure(node).is_some()
    }

    /// Why a node is ruled out; `None` if it fits.
    pub(super) fn refusal(&self, snapshot: &Snapshot, node: &Name) -> Option<Vec<Reason>> {
        let info = snapshot.node(node)?;
        self.cycle.first_failure(info).map(|failure| failure.verdict.reasons().to_vec())
    }
}

impl<'a> Fork<'a> {
    pub(super) fn new(profiles: &'a Profiles, snapshot: Snapshot) -> Self {
        Self { profiles, snapshot, last: 0 }
    }

    /// This one, with another state of the cluster.
    pub(super) fn at(&self, snapshot: Snapshot) -> Self {
        Self { snapshot, ..*self }
    }

    /// The profiles that decide.
    pub(super) fn profiles(&self) -> &'a Profiles {
        self.profiles
    }

    /// The profile that decides for a pod: that of the scheduler which it names, or the first.
    pub(super) fn profile(&self, pod: &Pod) -> &'a Arc<Profile> {
        self.profiles.of(&pod.spec.scheduler_name).unwrap_or_else(|_| self.profiles.first())
    }

    /// Why a node is ruled out for a pod; `None` if it fits.
    pub(super) fn refusal(&self, pod: &Pod, node: &Name) -> Option<Vec<Reason>> {
        work::spend(PLACE);
        Prepared::new(self.profile(pod), pod, &self.snapshot).refusal(&self.snapshot, node)
    }

    /// Puts a pod on a node, with the volumes and devices that its claims get there.
    pub(super) fn put(&mut self, pod: &Pod, node: &Name) {
        work::spend(PLACE);
        let choices = self.profile(pod).claim_choices(pod, &self.snapshot, node);
        let bound = Pod { node_name: node.clone(), nominated_node_name: Name::default(), ..pod.clone() };
        self.snapshot.apply(Object::Pod(Box::new(bound)));
        choices.iter().flat_map(ClaimChoice::outcome).for_each(|object| self.snapshot.apply(object));
    }

    /// The node that a pod finds: the first that fits behind the one found last, of `among`, or of all.
    pub(super) fn find(&mut self, pod: &Pod, among: Option<&Among>) -> Option<Name> {
        work::spend(PLACE);
        let nodes = match among {
            Some(among) => among.of(&self.snapshot),
            None => self.snapshot.node_set(),
        };
        let fitting = Cycle::prepare(self.profile(pod), pod, &self.snapshot).fitting_of(&nodes);
        let (slot, name) = self.first_behind(&fitting)?;
        self.last = slot;
        Some(name)
    }

    /// Finds a node for a pod, and puts it there.
    pub(super) fn place(&mut self, pod: &Pod, among: Option<&Among>) -> Option<Name> {
        let node = self.find(pod, among)?;
        self.put(pod, &node);
        Some(node)
    }

    /// Like [`Self::place`], on any node but one.
    pub(super) fn place_but_on(&mut self, pod: &Pod, other: &Name) -> Option<Name> {
        work::spend(PLACE);
        let one: NodeSet<'_> = self.snapshot.node_ref(other).into_iter().collect();
        let nodes = self.snapshot.node_set().without(&one);
        let fitting = Cycle::prepare(self.profile(pod), pod, &self.snapshot).fitting_of(&nodes);
        let (slot, node) = self.first_behind(&fitting)?;
        self.last = slot;
        self.put(pod, &node);
        Some(node)
    }

    /// The first of the nodes behind the one found last, then from the front. Cordoned nodes are passed over, whatever the pod tolerates.
    fn first_behind(&self, fitting: &NodeSet<'_>) -> Option<(usize, Name)> {
        let open = |part: &crate::node_set::Part<'_>| places(part.marked & !part.block.unschedulable);
        let slots = fitting.parts().iter().flat_map(|part| open(part).map(|at| part.block.node_ref(at)));
        let key = |node: &NodeRef<'_>| {
            let slot = node.slot() as usize;
            (slot <= self.last, slot)
        };
        slots.min_by_key(key).map(|node| (node.slot() as usize, node.name().clone()))
    }
}
