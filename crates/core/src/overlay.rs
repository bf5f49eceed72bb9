//! One node with other pods on it than the snapshot has, for dry runs of preemption and for nominations.
//!
//! Source: `pkg/scheduler/framework/interface.go` (`PreFilterExtensions`). As there, counts of a predicate over the whole cluster are
//! corrected by the pods that were removed and added, and not counted anew.

use std::sync::Arc;

use super::{
    model::{Name, Pod},
    node_info::NodeInfo,
    work,
};

/// A node, and how the pods on it differ from those that the snapshot has there.
#[derive(Clone, Debug)]
pub struct NodeOverlay {
    info: NodeInfo,
    removed: Vec<Arc<Pod>>,
    added: Vec<Arc<Pod>>,
    returned: Vec<Arc<Pod>>,
}

impl NodeOverlay {
    /// The node without changes.
    pub fn new(info: &NodeInfo) -> Self {
        Self { info: info.clone(), removed: Vec::new(), added: Vec::new(), returned: Vec::new() }
    }

    /// The node with the pods that are on it now.
    pub fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// The node's name.
    pub fn name(&self) -> &Name {
        self.info.name()
    }

    /// The removed pods.
    pub fn removed(&self) -> &[Arc<Pod>] {
        &self.removed
    }

    /// The pods put on it that were not there.
    pub fn added(&self) -> &[Arc<Pod>] {
        &self.added
    }

    /// The pods that were removed and put back, in the order in which they came back.
    pub fn returned(&self) -> &[Arc<Pod>] {
        &self.returned
    }

    /// The difference in the sum of `counts` over the pods; below 0 if it is smaller now.
    pub fn difference(&self, counts: impl Fn(&Pod) -> i64) -> i64 {
        work::spend_on(self.added.len() + self.removed.len());
        let sum = |pods: &[Arc<Pod>]| pods.iter().map(|pod| counts(pod)).sum::<i64>();
        sum(&self.added) - sum(&self.removed)
    }

    /// Takes off a pod that is on the node.
    pub fn remove(&mut self, pod: &Arc<Pod>) {
        work::spend_on(self.returned.len() / 4);
        self.info.remove(pod);
        self.returned.retain(|other| !other.is_same(pod));
        self.removed.push(pod.clone());
    }

    /// Puts back a removed pod.
    pub fn put_back(&mut self, pod: &Arc<Pod>) {
        work::spend_on(self.removed.len() / 4);
        self.info.add(pod);
        self.removed.retain(|other| !other.is_same(pod));
        self.returned.push(pod.clone());
    }

    /// Puts on a pod that is not on the node.
    pub fn add(&mut self, pod: &Arc<Pod>) {
        self.info.add(pod);
        self.added.push(pod.clone());
    }
}
