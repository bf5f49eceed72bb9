//! How many nodes of a group the pods need that it could take, and which of them find a place on these.
//!
//! The classes of pods come by decreasing share of a node: CPU and memory added. Each pod goes to a node added before, then to the last one,
//! else to a new one. A class ends with the first pod that an empty new node refuses, or with the limit of nodes.
//!
//! Source: `cluster-autoscaler/estimator/binpacking_estimator.go`, `cluster-autoscaler/estimator/decreasing_pod_orderer.go`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    fork::{Among, Fork, Prepared},
    pending::Class,
    template::Template,
};
use crate::{
    model::{Name, Node, Pod, topology::HOSTNAME},
    snapshot::Snapshot,
    verdict::Reason,
    work,
};

/// The reason of a node that a spread constraint rules out.
const SPREAD: &str = "node(s) didn't match pod topology spread constraints";

/// The outcome of an estimate.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimate {
    /// How many nodes pods went to.
    pub(super) nodes: usize,
    /// The pods that found a node, in their order.
    pub(super) pods: Vec<Arc<Pod>>,
}

/// The nodes added so far.
struct Packing<'t, 'a> {
    template: &'t Template,
    fork: Fork<'a>,
    most_nodes: usize,
    added: usize,
    new: Among,
    last: Option<Name>,
    /// The nodes that pods went to.
    used: BTreeSet<Name>,
    placed: Vec<Arc<Pod>>,
}

/// Estimates for the classes that a group can take.
pub(super) fn estimate(fork: &Fork<'_>, template: &Template, classes: &[&Class], most_nodes: usize) -> Estimate {
    let mut ordered = classes.to_vec();
    ordered.sort_by(|a, b| share(b.sample(), &template.node).total_cmp(&share(a.sample(), &template.node)));
    let mut packing = Packing {
        template,
        fork: fork.clone(),
        most_nodes,
        added: 0,
        new: Among::default(),
        last: None,
        used: BTreeSet::new(),
        placed: Vec::new(),
    };
    let mut may_add = true;
    for class in ordered {
        let left = packing.on_nodes_there(&class.pods);
        if may_add {
            may_add = packing.on_new_nodes(left);
        }
    }
    Estimate { nodes: packing.used.len(), pods: packing.placed }
}

/// The part of a node's CPU that a pod asks for, and that of its memory, added.
fn share(pod: &Pod, node: &Node) -> f64 {
    let part = |asked: i64, offered: i64| if offered > 0 { asked as f64 / offered as f64 } else { 0.0 };
    part(pod.spec.requests.milli_cpu, node.allocatable.milli_cpu)
        + part(pod.spec.requests.memory, node.allocatable.memory)
}

impl Packing<'_, '_> {
    fn placed(&mut self, pod: &Arc<Pod>, node: Name) {
        self.used.insert(node);
        self.placed.push(pod.clone());
    }

    /// Places pods on the nodes added before, up to the first that fits on none. Returns the rest.
    fn on_nodes_there<'p>(&mut self, pods: &'p [Arc<Pod>]) -> &'p [Arc<Pod>] {
        if self.added == 0 {
            return pods;
        }
        for (at, pod) in pods.iter().enumerate() {
            match self.fork.place(pod, Some(&self.new)) {
                Some(node) => self.placed(pod, node),
                None => return &pods[at..],
            }
        }
        &[]
    }

    /// Places pods on the last node, or on one more. Returns `false` if no more nodes may be added.
    fn on_new_nodes(&mut self, pods: &[Arc<Pod>]) -> bool {
        let Some(first) = pods.first() else { return true };
        let before = self.fork.snapshot.clone();
        let prepared = Prepared::new(self.fork.profile(first), first, &before);
        let prepared = Some(&prepared).filter(|prepared| prepared.is_near());
        for pod in pods {
            work::spend(1);
            if self.on_last(pod, prepared) {
                continue;
            }
            // An empty node refused the pod: another one would as well.
            if self.last.as_ref().is_some_and(|last| !self.used.contains(last)) {
                return true;
            }
            if self.added >= self.most_nodes {
                return false;
            }
            let node = self.add_node();
            if refusal(&self.fork, prepared, pod, &node).is_some() {
                return true;
            }
            self.fork.put(pod, &node);
            self.placed(pod, node);
        }
        true
    }

    /// Places a pod on the last node. A pod whose spread over hosts forbids that may go to any other node.
    fn on_last(&mut self, pod: &Arc<Pod>, prepared: Option<&Prepared<'_>>) -> bool {
        let Some(last) = self.last.clone() else { return false };
        match refusal(&self.fork, prepared, pod, &last) {
            None => {
                self.fork.put(pod, &last);
                self.placed(pod, last);
                true
            }
            Some(reasons) if spreads_over_hosts(pod) && reasons.iter().any(|reason| reason == SPREAD) => {
                let Some(node) = self.fork.place_but_on(pod, &last) else { return false };
                self.placed(pod, node);
                true
            }
            Some(_) => false,
        }
    }

    fn add_node(&mut self) -> Name {
        let name = self.template.add_to(&mut self.fork.snapshot, &format!("e-{}", self.added));
        self.added += 1;
        if let Some(node) = self.fork.snapshot.node_ref(&name) {
            self.new.add(node.slot());
        }
        self.last = Some(name.clone());
        name
    }
}

fn refusal(fork: &Fork<'_>, prepared: Option<&Prepared<'_>>, pod: &Pod, node: &Name) -> Option<Vec<Reason>> {
    match prepared {
        Some(prepared) => prepared.refusal(&fork.snapshot, node),
        None => fork.refusal(pod, node),
    }
}

fn spreads_over_hosts(pod: &Pod) -> bool {
    pod.spec.topology_spread.iter().any(|constraint| &*constraint.topology_key == HOSTNAME)
}

/// The state of the cluster before anything was estimated, with one node of a group: which pods it would take.
pub(super) fn with_one_node(fork: &Fork<'_>, template: &Template) -> (Snapshot, Name) {
    let mut snapshot = fork.snapshot.clone();
    let name = template.add_to(&mut snapshot, "0");
    (snapshot, name)
}
