//! Groups of equal nodes, which autoscaling makes larger and smaller.
//!
//! Source: `cluster-autoscaler/cloudprovider/cloud_provider.go` (`NodeGroup`), `cluster-autoscaler/config/autoscaling_options.go`
//! (`NodeGroupAutoscalingOptions`).

use std::sync::Arc;

use super::{Labels, Name, Node, Quantity};

/// The label that nodes of a group carry where the group names no other ones; its value is the group's name.
pub const NODE_GROUP: &str = "autoscaling.podberth.io/node-group";

/// A group of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeGroup {
    /// Its name.
    pub name: Name,
    /// It never has fewer nodes.
    pub min: u32,
    /// It never has more nodes.
    pub max: u32,
    /// The number of nodes that it is to have; `None` where nobody has asked yet: as many as it has.
    pub target: Option<u32>,
    /// Its nodes carry all of these labels. Never empty.
    pub selector: Labels,
    /// The node that the group makes, where it has none to learn from.
    pub template: Option<Arc<Node>>,
    /// The price of a node for an hour, in any currency.
    pub cost: Option<Quantity>,
    /// Its name at the cloud provider, where that is another one.
    pub provider_id: Option<Name>,
    /// Its own values of options.
    pub options: NodeGroupOptions,
}

impl NodeGroup {
    /// `true` if the node is one of the group's.
    pub fn has(&self, node: &Node) -> bool {
        self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
    }
}

/// Options of one group. Those absent are the cluster's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeGroupOptions {
    /// `true` if its nodes are never removed.
    pub scale_down_disabled: bool,
    /// The highest utilization of a node that may be removed, as a part of 1.
    pub utilization_threshold: Option<Quantity>,
    /// Of a node with GPUs: of its GPUs.
    pub gpu_utilization_threshold: Option<Quantity>,
    /// Nanoseconds for which a node is to be unneeded before it is removed.
    pub unneeded_time: Option<i64>,
    /// Nanoseconds for which a node that is not ready is to be unneeded before it is removed.
    pub unready_time: Option<i64>,
    /// Nanoseconds within which a new node is to be ready.
    pub provision_time: Option<i64>,
    /// `true` if pods of DaemonSets do not count for the utilization.
    pub ignore_daemon_sets: Option<bool>,
}
