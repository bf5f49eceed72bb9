//! Counts over the whole cluster that decisions read, kept up to date pod by pod and node by node.
//!
//! Its owner, the [`Snapshot`](super::snapshot::Snapshot), reports every pod that comes to a node or leaves it and every change to a
//! node. All of it is persistent: a clone costs a few reference counts, a change O(log n).
//!
//! Invariant: it always equals a fresh count over all nodes and their pods. Nodes are identified by their [`Slot`]. Two snapshots of
//! one cluster may number nodes differently; they are equal if their objects are.

mod counts;
mod groups;
mod images;
mod numbers;
mod services;
mod terms;
#[cfg(test)]
mod tests;
mod topology;

pub(super) use counts::Counts;
pub(super) use groups::{Group, Groups};
pub(crate) use images::ImageState;
pub(super) use images::Images;
pub(super) use services::Services;
pub(super) use terms::{Stance, Terms};
pub(super) use topology::{Answers, Domains, Topology};

use std::sync::Arc;

use super::model::{Name, Node, Pod, Selector, Workload, WorkloadKind};
use numbers::Numbers;

/// The number of a node, or of a name that pods are bound to before there is such a node.
pub(crate) type Slot = u32;

/// Every index of one cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    slots: Numbers,
    /// Pods by what selectors read of them.
    pub(super) groups: Groups,
    /// Services by their selectors.
    pub(super) services: Services,
    /// Rules of pods about other pods.
    pub(super) terms: Terms,
    /// The domains that nodes are in.
    pub(super) topology: Topology,
    /// The images that nodes hold.
    pub(super) images: Images,
}

impl Index {
    /// A number for a node that has none yet.
    pub(super) fn take_slot(&mut self) -> Slot {
        self.slots.take()
    }

    /// Takes back the number of a node that is gone with all its pods.
    pub(super) fn give_back(&mut self, slot: Slot) {
        self.slots.give_back(slot);
    }

    /// How long an array has to be that has a place for each node.
    pub(super) fn slots(&self) -> usize {
        self.slots.bound()
    }

    /// A pod has come to a node.
    pub(super) fn add_pod(&mut self, slot: Slot, pod: &Pod) {
        self.groups.add(slot, pod);
        self.terms.add(slot, pod);
    }

    /// A pod has left a node.
    pub(super) fn remove_pod(&mut self, slot: Slot, pod: &Pod) {
        self.groups.remove(slot, pod);
        self.terms.remove(slot, pod);
    }

    /// A node has come, gone or changed.
    pub(super) fn replace_node(&mut self, slot: Slot, old: Option<&Node>, new: Option<&Node>) {
        self.topology.replace(slot, old, new);
        if old.map(|node| &node.images) != new.map(|node| &node.images) {
            old.inspect(|node| self.images.remove(slot, &node.images));
            new.inspect(|node| self.images.add(slot, &node.images));
        }
    }

    /// A service or controller has come, gone or changed.
    pub(super) fn replace_workload(&mut self, old: Option<&Workload>, new: Option<&Arc<Workload>>) {
        let is_service = |workload: &Workload| workload.kind == WorkloadKind::Service;
        old.filter(|old| is_service(old)).inspect(|old| self.services.remove(old));
        new.filter(|new| is_service(new)).inspect(|new| self.services.add(new));
    }

    /// How many pods of a namespace the selector selects, by slot. Those being deleted do not count.
    pub(super) fn count_selected(&self, namespace: &Name, selector: &Selector) -> Vec<i64> {
        let mut counts = vec![0; self.slots()];
        for (group, there) in self.groups.selected(Some(namespace), selector) {
            if !group.terminating {
                there.iter().for_each(|(slot, count)| counts[slot as usize] += count);
            }
        }
        counts
    }
}
