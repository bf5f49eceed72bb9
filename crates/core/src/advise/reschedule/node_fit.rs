//! A quick look whether a pod would fit on a node, as the descheduler takes it: a part of the scheduler's predicates.
//!
//! A node fits if it is not cordoned, the pod's node selector and required node affinity accept it, the pod tolerates its `NoSchedule` and
//! `NoExecute` taints, none of its pods matches a required anti-affinity of the pod, and its free amounts hold the pod's requests. Pods that
//! were evicted in the cycle still count.
//!
//! Source: `descheduler/pkg/descheduler/node/node.go` (`NodeFit`, `fitsRequest`).

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{
    model::{Effect, Name, Pod, PodAffinityTerm, first_untolerated},
    node_info::NodeInfo,
    work,
};

/// `true` if the effect keeps new pods off.
pub(super) fn repels(effect: Effect) -> bool {
    matches!(effect, Effect::NoSchedule | Effect::NoExecute)
}

/// The namespaces that a term means: those that it names, else the pod's own. Selectors of namespaces are not read.
pub(super) fn means(term: &PodAffinityTerm, own: &Name, other: &Name) -> bool {
    if term.namespaces.is_empty() { own == other } else { term.namespaces.contains(other) }
}

/// `true` if the node would take the pod.
pub(super) fn fits(pod: &Pod, node: &NodeInfo) -> bool {
    work::spend(1);
    !node.node.unschedulable
        && pod.selects_node(&node.node)
        && first_untolerated(&node.node.taints, &pod.spec.tolerations, repels).is_none()
        && (pod.node_name == *node.name() || has_room(pod, node))
        && !is_repelled(pod, node)
}

fn has_room(pod: &Pod, node: &NodeInfo) -> bool {
    let (offered, taken, asked) = (&node.node.allocatable, &node.requested, &pod.spec.requests);
    let holds = |asked: i64, offered: i64, taken: i64| asked == 0 || asked <= offered.saturating_sub(taken);
    i64::try_from(node.pods.len()).is_ok_and(|pods| pods < offered.pods)
        && holds(asked.milli_cpu, offered.milli_cpu, taken.milli_cpu)
        && holds(asked.memory, offered.memory, taken.memory)
        && holds(asked.ephemeral_storage, offered.ephemeral_storage, taken.ephemeral_storage)
        && asked.scalar.iter().all(|(name, asked)| holds(*asked, offered.get(name), taken.get(name)))
}

/// `true` if a pod of the node matches a required anti-affinity of this pod.
fn is_repelled(pod: &Pod, node: &NodeInfo) -> bool {
    pod.spec.affinity.anti_required.iter().filter(|term| node.labels().has(&term.topology_key)).any(|term| {
        work::spend((node.pods.len() as u64).saturating_mul(term.cost()));
        node.pods.iter().any(|other| other.name != pod.name && matches(term, &pod.namespace, other))
    })
}

/// `true` if a term of a pod of this namespace matches another pod.
pub(super) fn matches(term: &PodAffinityTerm, own: &Name, other: &Pod) -> bool {
    means(term, own, &other.namespace) && term.selector.as_ref().is_some_and(|s| s.matches(&other.labels))
}

/// A pod of a kind, with the first two nodes that would take it: one of them is not its own.
type Found<'s> = (&'s Pod, [Option<&'s str>; 2]);

/// Nodes among which pods look for another place. Pods with equal demands share the search.
#[derive(Debug, Default)]
pub(super) struct Places<'s> {
    nodes: Vec<&'s Arc<NodeInfo>>,
    /// The kinds of pods, by namespace and owner.
    found: FxHashMap<(&'s str, &'s str), Vec<Found<'s>>>,
}

impl<'s> Places<'s> {
    pub(super) fn new(nodes: Vec<&'s Arc<NodeInfo>>) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// `true` if any node but its own would take the pod.
    pub(super) fn has_another(&mut self, pod: &'s Pod) -> bool {
        if !pod.spec.affinity.anti_required.is_empty() {
            // Its terms pass over pods of its own name, so its like may find other nodes.
            return self.nodes.iter().any(|node| *node.name() != pod.node_name && fits(pod, node));
        }
        let owner = pod.controller.as_ref().map_or("", |controller| &*controller.name);
        let kinds = self.found.entry((&*pod.namespace, owner)).or_default();
        work::spend_on(kinds.len());
        let known = kinds.iter().find(|(like, _)| is_alike(like, pod)).map(|(_, nodes)| *nodes);
        let nodes = known.unwrap_or_else(|| {
            let free = Pod { node_name: Name::default(), ..pod.clone() };
            let mut fitting = self.nodes.iter().filter(|node| fits(&free, node)).map(|node| &**node.name());
            let nodes = [fitting.next(), fitting.next()];
            kinds.push((pod, nodes));
            nodes
        });
        nodes.into_iter().flatten().any(|name| *name != *pod.node_name)
    }
}

/// `true` if both pods fit on the same nodes.
fn is_alike(one: &Pod, other: &Pod) -> bool {
    one.spec.requests == other.spec.requests
        && one.spec.node_selector == other.spec.node_selector
        && one.spec.tolerations == other.spec.tolerations
        && one.spec.affinity.node_required == other.spec.affinity.node_required
}
