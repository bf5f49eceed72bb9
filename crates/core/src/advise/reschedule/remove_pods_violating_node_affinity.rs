//! `RemovePodsViolatingNodeAffinity`: evicts pods whose node does not meet their node affinity any more.
//!
//! `nodeAffinityType` lists the kinds that are looked at. With `requiredDuringSchedulingIgnoredDuringExecution` a pod with required node affinity
//! goes if its node does not match that or the pod's node selector. With `preferredDuringSchedulingIgnoredDuringExecution` a pod goes if another
//! node has a higher sum of weights. Both want that some node would take the pod. Other texts are accepted and mean nothing.
//!
//! Source: `descheduler/pkg/framework/plugins/removepodsviolatingnodeaffinity`.

use std::sync::Arc;

use super::{PodFilter, Strategy, Turn, node_fit::fits};
use crate::{
    model::{Node, Pod},
    node_info::NodeInfo,
    work,
};

/// Arguments of `RemovePodsViolatingNodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovePodsViolatingNodeAffinity {
    /// `namespaces` and `labelSelector`.
    pub pods: PodFilter,
    /// `nodeAffinityType`.
    pub kinds: Vec<AffinityKind>,
}

/// A kind of node affinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffinityKind {
    /// `requiredDuringSchedulingIgnoredDuringExecution`.
    Required,
    /// `preferredDuringSchedulingIgnoredDuringExecution`.
    Preferred,
}

/// The sum of the weights that a pod's preferences give a node.
fn weight(pod: &Pod, node: &Node) -> i32 {
    let matching = pod.spec.affinity.node_preferred.iter().filter(|liked| liked.term.matches(&node.name, &node.labels));
    matching.fold(0, |sum, liked| liked.weight.saturating_add(sum))
}

impl AffinityKind {
    /// Why a pod goes; `None` if it stays.
    fn breaks(self, pod: &Pod, node: &Node, nodes: &[&Arc<NodeInfo>]) -> Option<String> {
        match self {
            Self::Required => (pod.spec.affinity.node_required.is_some() && !pod.selects_node(node))
                .then(|| "its node does not meet its node selector and required node affinity".into()),
            Self::Preferred => {
                if pod.spec.affinity.node_preferred.is_empty() {
                    return None;
                }
                work::spend_on(nodes.len());
                let here = weight(pod, node);
                let best = nodes.iter().map(|other| weight(pod, &other.node)).max().unwrap_or(0).max(0);
                (best > here).then(|| format!("its preferences give its node the weight {here}, another one {best}"))
            }
        }
    }
}

impl Strategy for RemovePodsViolatingNodeAffinity {
    fn name(&self) -> &'static str {
        "RemovePodsViolatingNodeAffinity"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        let nodes = turn.nodes();
        for kind in &self.kinds {
            for node in &nodes {
                let mut chosen = Vec::new();
                for pod in &node.pods {
                    if kind.breaks(pod, &node.node, &nodes).is_some()
                        && turn.may_leave(&self.pods, pod)
                        && nodes.iter().any(|other| fits(pod, other))
                    {
                        chosen.push(pod);
                    }
                }
                let why = |pod: &Pod| kind.breaks(pod, &node.node, &nodes).unwrap_or_default();
                if turn.evict_all(chosen, why).is_err() {
                    break;
                }
            }
        }
    }
}
