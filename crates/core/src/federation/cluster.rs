//! Clusters as placement judges them.
//!
//! Source: `karmada/pkg/apis/cluster/v1alpha1/types.go` (`ClusterSpec`, `ClusterStatus`).

use std::sync::Arc;

use crate::model::{ConditionStatus, Labels, Name, Node, Quantity, Taint};

/// A cluster, as far as placement reads it. One without a stored Cluster object has nothing but a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Its name, as in `/clusters/{name}/…`.
    pub name: Name,
    /// Its labels.
    pub labels: Labels,
    /// The provider; `None` if it is not told.
    pub provider: Option<Name>,
    /// The region; `None` if it is not told.
    pub region: Option<Name>,
    /// The zones that it spans.
    pub zones: Vec<Name>,
    /// Its taints, in their order.
    pub taints: Vec<Taint>,
    /// The kinds that it serves.
    pub apis: Apis,
    /// Its conditions, by type: `Ready`, `Synced`, …
    pub conditions: Vec<(Name, Condition)>,
    /// Nanoseconds that its mirror is behind; `None` for one that mirrors nothing, or whose lag nobody knows.
    pub lag: Option<i64>,
    /// The price of what pods request there.
    pub cost: Option<Cost>,
    /// Nodes that its autoscaler could add.
    pub node_templates: Vec<NodeTemplate>,
    /// When its deletion began, in nanoseconds since 1970; `None` for one that stays.
    pub deleted: Option<i64>,
}

/// A condition of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its status.
    pub status: ConditionStatus,
    /// The reason, in one word.
    pub reason: Name,
    /// Details for people.
    pub message: Name,
    /// When the status changed last, in nanoseconds since 1970; `None` if it is not told.
    pub since: Option<i64>,
}

/// The kinds that a cluster serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Apis {
    /// Nobody told: every kind is taken for served.
    #[default]
    Untold,
    /// These.
    Told {
        /// Group, version and kind: `("apps/v1", "Deployment")`, sorted.
        kinds: Vec<(Name, Name)>,
        /// `true` if the list is known to be whole.
        complete: bool,
    },
}

/// Prices, in any currency that all clusters share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of one CPU for an hour.
    pub per_cpu_hour: Quantity,
    /// Of one GiB of memory for an hour.
    pub per_gib_hour: Quantity,
}

/// A sort of node that a cluster's autoscaler could add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTemplate {
    /// Its name: that of a node group.
    pub name: Name,
    /// Such a node.
    pub node: Arc<Node>,
    /// At most so many more nodes.
    pub limit: u32,
    /// Nanoseconds until a new one is ready.
    pub start: i64,
    /// The price of one for an hour; `None` if it is not told.
    pub cost: Option<Quantity>,
}

impl Cluster {
    /// A cluster of which nothing but the name is known.
    pub fn named(name: impl Into<Name>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|(name, _)| **name == *kind).map(|(_, condition)| condition)
    }

    /// `true` unless a condition of this type says that it is not so.
    pub fn may_be(&self, kind: &str) -> bool {
        self.condition(kind).is_none_or(|condition| condition.status == ConditionStatus::True)
    }
}

impl Apis {
    /// `true` if the cluster serves the kind, or nobody told what it serves.
    pub fn serve(&self, api_version: &str, kind: &str) -> bool {
        match self {
            Self::Untold => true,
            Self::Told { kinds, .. } => kinds.iter().any(|(of, name)| **of == *api_version && **name == *kind),
        }
    }
}
