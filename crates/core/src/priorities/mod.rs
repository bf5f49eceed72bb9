//! Priorities. Each scores the nodes that fit and has its own file; [`ALL`] lists them.
//!
//! To add a priority, write a file and add a line to [`ALL`].

use super::{
    model::Pod,
    node_set::NodeSet,
    rule::{Arguments, Identity, Reads},
    snapshot::Snapshot,
};

mod arithmetic;
mod balanced_resource_allocation;
mod equal;
mod even_pods_spread;
mod image_locality;
pub(crate) mod inter_pod_affinity;
pub(crate) mod label_preference;
mod least_requested;
mod ln;
mod most_requested;
mod node_affinity;
mod node_prefer_avoid_pods;
pub mod normalize;
pub(crate) mod requested_to_capacity_ratio;
mod resource_limits;
pub(crate) mod resource_scoring;
mod scores;
mod selector_spread;
mod service_anti_affinity;
mod taint_toleration;

pub use scores::Scores;

/// The highest score of a node by one priority; the lowest is 0.
pub const MAX_NODE_SCORE: i64 = 100;

/// A rule that scores nodes.
pub trait Priority: Send + Sync {
    /// The score of each candidate, normalized to 0..=[`MAX_NODE_SCORE`].
    ///
    /// The candidates are the nodes that fit; the snapshot holds the whole cluster.
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores;

    /// The inputs of its score of a node. `Nothing`: all nodes have the same score.
    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Cluster
    }
}

/// A line of the registry.
pub struct Registration {
    /// Names and documentation.
    pub identity: Identity,
    /// The weight in kube-scheduler 1.22's default policy; `None` where it is not part of that.
    pub default_weight: Option<i64>,
    /// Makes the rule from a policy's arguments.
    pub build: fn(&Arguments) -> Box<dyn Priority>,
}

/// Every priority: those of kube-scheduler 1.22's default policy first.
pub static ALL: &[Registration] = &[
    selector_spread::REGISTRATION,
    inter_pod_affinity::REGISTRATION,
    least_requested::REGISTRATION,
    balanced_resource_allocation::REGISTRATION,
    node_prefer_avoid_pods::REGISTRATION,
    node_affinity::REGISTRATION,
    taint_toleration::REGISTRATION,
    image_locality::REGISTRATION,
    even_pods_spread::REGISTRATION,
    most_requested::REGISTRATION,
    requested_to_capacity_ratio::REGISTRATION,
    label_preference::REGISTRATION,
    service_anti_affinity::REGISTRATION,
    equal::REGISTRATION,
    resource_limits::REGISTRATION,
];

/// The registration that users call so, by its name or an alias.
pub fn find(name: &str) -> Option<&'static Registration> {
    ALL.iter().find(|r| r.identity.is_called(name))
}
