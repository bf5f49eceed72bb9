//! Topology spread constraints and the well-known topology labels.
//!
//! Source: `api/core/v1/types.go` (`TopologySpreadConstraint`), `component-helpers/node/topology/helpers.go` (`GetZoneKey`).

use super::{Labels, Name, Selector};

/// The label that names a node's host.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label that names a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The label that names a node's region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The zone label of releases before 1.17.
pub const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
/// The region label of releases before 1.17.
pub const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";

/// The action for a pod that cannot be spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenUnsatisfiable {
    /// A predicate: the node is ruled out.
    DoNotSchedule,
    /// A priority: the node scores less.
    ScheduleAnyway,
}

/// Which nodes' domains count when skew is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InclusionPolicy {
    /// Only nodes that meet the pod's demand (its node affinity, its tolerations).
    Honor,
    /// All nodes.
    Ignore,
}

/// How a pod's like are to be spread over the values of one node label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologySpreadConstraint {
    /// By how many pods the fullest domain may exceed the emptiest; at least 1.
    pub max_skew: i32,
    /// The node label whose equal values make one domain.
    pub topology_key: Name,
    /// Predicate or priority.
    pub when_unsatisfiable: WhenUnsatisfiable,
    /// The pods counted; `None` counts none.
    pub selector: Option<Selector>,
    /// With fewer domains than this the emptiest counts as empty; `None` is 1. Read since 1.24.
    pub min_domains: Option<i32>,
    /// `None` is `Honor`. Read since 1.25.
    pub node_affinity_policy: Option<InclusionPolicy>,
    /// `None` is `Ignore`. Read since 1.25.
    pub node_taints_policy: Option<InclusionPolicy>,
    /// Label keys whose values in the incoming pod join the selector. Read since 1.25.
    pub match_label_keys: Vec<Name>,
}

/// A node's region and zone, which together name its zone; `None` where it names neither.
///
/// The beta labels win over the current ones where a node carries both.
pub fn zone_key(labels: &Labels) -> Option<(&str, &str)> {
    let named = |key, beta| labels.get(beta).or_else(|| labels.get(key)).map_or("", |value| &**value);
    let key = (named(REGION, BETA_REGION), named(ZONE, BETA_ZONE));
    (key != ("", "")).then_some(key)
}
