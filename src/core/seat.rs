//! A node in its place in the snapshot, with what nearly every decision reads of it at hand.

use std::{ops::Deref, sync::Arc};

use super::{index::Slot, model::Effect, snapshot::NodeInfo};

/// A node in the snapshot. Seats lie side by side in memory, in order of the nodes' names; the node behind one is a step
/// away and is not read where a glance is enough.
#[derive(Clone, Debug)]
pub struct Seat {
    /// What is read most.
    pub glance: Glance,
    /// The node.
    pub info: Arc<NodeInfo>,
}

/// What nearly every decision reads of a node: a copy, made anew at every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Thousandths of a core that it offers.
    pub milli_cpu: i64,
    /// Bytes that it offers.
    pub memory: i64,
    /// Bytes that it offers.
    pub ephemeral_storage: i64,
    /// Thousandths of a core that its pods ask for.
    pub requested_milli_cpu: i64,
    /// Bytes that its pods ask for.
    pub requested_memory: i64,
    /// Bytes that its pods ask for.
    pub requested_ephemeral_storage: i64,
    /// CPU that its pods ask for, as scoring counts it.
    pub non_zero_milli_cpu: i64,
    /// Memory that its pods ask for, as scoring counts it.
    pub non_zero_memory: i64,
    /// How many more pods it takes; 0 or below for none.
    pub free_places: i64,
    slot: Slot,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether it has a taint that keeps pods off.
    pub repels: bool,
    /// Whether it has a taint with effect `PreferNoSchedule`.
    pub discourages: bool,
}

impl Seat {
    /// Where the snapshot's indexes have the node.
    pub(super) fn slot(&self) -> Slot {
        self.glance.slot
    }

    /// Changes the node.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut NodeInfo)) {
        change(Arc::make_mut(&mut self.info));
        self.glance = Glance::from(&*self.info);
    }
}

impl From<Arc<NodeInfo>> for Seat {
    fn from(info: Arc<NodeInfo>) -> Self {
        Self { glance: Glance::from(&*info), info }
    }
}

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.info == other.info
    }
}

impl Eq for Seat {}

impl Deref for Seat {
    type Target = NodeInfo;

    fn deref(&self) -> &NodeInfo {
        &self.info
    }
}

impl From<&NodeInfo> for Glance {
    fn from(info: &NodeInfo) -> Self {
        let (node, offered) = (&info.node, &info.node.allocatable);
        let discourages = |effect| effect == Effect::PreferNoSchedule;
        Self {
            milli_cpu: offered.milli_cpu,
            memory: offered.memory,
            ephemeral_storage: offered.ephemeral_storage,
            requested_milli_cpu: info.requested.milli_cpu,
            requested_memory: info.requested.memory,
            requested_ephemeral_storage: info.requested.ephemeral_storage,
            non_zero_milli_cpu: info.non_zero_requested.milli_cpu,
            non_zero_memory: info.non_zero_requested.memory,
            free_places: offered.pods.saturating_sub(info.pods.len() as i64),
            slot: info.slot(),
            unschedulable: node.unschedulable,
            repels: node.taints.iter().any(|taint| !discourages(taint.effect)),
            discourages: node.taints.iter().any(|taint| discourages(taint.effect)),
        }
    }
}
