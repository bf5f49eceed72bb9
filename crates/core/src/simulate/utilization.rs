//! How full nodes are.

use std::collections::BTreeMap;

use super::{MadeAnew, made_anew};
use crate::{
    model::{Name, resources},
    snapshot::Snapshot,
};

/// Requests against what nodes offer, over the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utilization {
    /// Nodes.
    pub nodes: usize,
    /// Those with a pod that no DaemonSet owns.
    pub in_use: usize,
    /// By resource.
    pub resources: BTreeMap<Name, Share>,
}

/// A part of a resource. CPU counts in thousandths, anything else in whole units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Requested by pods on nodes.
    pub requested: i64,
    /// Offered by nodes.
    pub allocatable: i64,
}

impl Share {
    /// The part that is requested; 0 where nothing is offered.
    pub fn ratio(&self) -> f64 {
        if self.allocatable > 0 { self.requested as f64 / self.allocatable as f64 } else { 0.0 }
    }
}

impl Utilization {
    /// That of a cluster, for CPU, memory and pods.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut of = Self { nodes: snapshot.node_count(), ..Self::default() };
        for info in snapshot.nodes() {
            if info.pods.iter().any(|pod| made_anew(pod) != MadeAnew::WithItsNode) {
                of.in_use += 1;
            }
            for name in [resources::CPU, resources::MEMORY, resources::PODS] {
                let share = of.resources.entry(name.into()).or_default();
                let requested = if name == resources::PODS { info.pods.len() as i64 } else { info.requested.get(name) };
                share.requested = share.requested.saturating_add(requested);
                share.allocatable = share.allocatable.saturating_add(info.node.allocatable.get(name));
            }
        }
        of
    }
}
