//! `RemoveDuplicates`: evicts pods of one owner that share a node, so that they can spread over the nodes.
//!
//! Two pods are duplicates if they have the same owners, namespace and images of containers. Each node keeps
//! `ceil(pods of the owner / nodes that would take them)` of them; the others go. A node would take them if they tolerate its `NoSchedule` and
//! `NoExecute` taints and select it. With fewer than two such nodes nothing is done. `excludeOwnerKinds` spares pods of some owners.
//!
//! Source: `descheduler/pkg/framework/plugins/removeduplicates`.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{Namespaces, PodFilter, Strategy, Turn, ledger::Denied, node_fit::repels, pod_life_time::owner_kinds};
use crate::{
    model::{Name, Pod, first_untolerated},
    node_info::NodeInfo,
    work,
};

/// Arguments of `RemoveDuplicates`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoveDuplicates {
    /// `namespaces`.
    pub namespaces: Namespaces,
    /// `excludeOwnerKinds`.
    pub excluded_owners: BTreeSet<Name>,
}

/// The common part of duplicates: namespace, kind and name of the controller, images.
type Owner<'s> = (&'s str, &'s str, &'s str, Vec<&'s str>);

/// The pods of an owner.
#[derive(Default)]
struct Owned<'s> {
    count: usize,
    /// The duplicates by node: all but the first pod of each.
    duplicates: BTreeMap<&'s str, Vec<&'s Arc<Pod>>>,
}

/// The part that a pod shares with its duplicates; `None` if it has no owner.
fn owner(pod: &Pod) -> Option<Owner<'_>> {
    let controller = pod.controller.as_ref()?;
    let mut images: Vec<&str> = pod.spec.images.iter().map(|image| &**image).collect();
    images.sort_unstable();
    Some((&pod.namespace, &controller.kind, &controller.name, images))
}

/// How many nodes would take any of the pods. A pod that only one node would take does not count.
fn feasible(duplicates: &BTreeMap<&str, Vec<&Arc<Pod>>>, nodes: &[&Arc<NodeInfo>]) -> usize {
    let mut kinds: Vec<&Arc<Pod>> = Vec::new();
    let mut feasible: HashSet<&str> = HashSet::new();
    for pod in duplicates.values().flatten() {
        work::spend_on(kinds.len());
        let is_like = |other: &&Arc<Pod>| {
            other.spec.tolerations == pod.spec.tolerations
                && other.spec.affinity.node_required == pod.spec.affinity.node_required
                && other.spec.node_selector == pod.spec.node_selector
        };
        if kinds.iter().any(is_like) {
            continue;
        }
        kinds.push(pod);
        work::spend_on(nodes.len());
        let takes = |node: &&&Arc<NodeInfo>| {
            first_untolerated(&node.node.taints, &pod.spec.tolerations, repels).is_none()
                && pod.selects_node(&node.node)
        };
        let taking: Vec<&str> = nodes.iter().filter(takes).map(|node| &**node.name()).collect();
        if taking.len() > 1 {
            feasible.extend(taking);
        }
    }
    feasible.len()
}

impl Strategy for RemoveDuplicates {
    fn name(&self) -> &'static str {
        "RemoveDuplicates"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        let filter = PodFilter { namespaces: self.namespaces.clone(), ..PodFilter::default() };
        let nodes = turn.nodes();
        let mut owners: BTreeMap<Owner<'_>, Owned<'_>> = BTreeMap::new();
        for node in &nodes {
            let mut seen: HashSet<Owner<'_>> = HashSet::new();
            for pod in &node.pods {
                let Some(owner) = owner(pod) else { continue };
                let is_excluded = owner_kinds(pod).any(|kind| self.excluded_owners.contains(kind));
                if is_excluded || !turn.may_leave(&filter, pod) {
                    continue;
                }
                let owned = owners.entry(owner.clone()).or_default();
                owned.count += 1;
                if !seen.insert(owner) {
                    owned.duplicates.entry(node.name()).or_default().push(pod);
                }
            }
        }
        for (owner, Owned { count, duplicates }) in owners {
            let feasible = if duplicates.is_empty() { 0 } else { feasible(&duplicates, &nodes) };
            if feasible < 2 {
                continue;
            }
            let most = count.div_ceil(feasible);
            for (_, pods) in duplicates {
                let here = pods.len() + 1;
                for pod in pods.into_iter().skip(most - 1) {
                    let why = || format!("its node has {here} pods of {} {}, {most} would be even", owner.1, owner.2);
                    match turn.evict(pod, why) {
                        Ok(()) | Err(Denied::ThisPod) => {}
                        Err(Denied::Node) => break,
                        Err(Denied::Total) => return,
                    }
                }
            }
        }
    }
}
