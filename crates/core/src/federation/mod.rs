//! Placement over many clusters: which of them take how many replicas of a workload.
//!
//! One engine works at two levels. The node engine ([`crate::cycle`], [`crate::batch`]) answers how many replicas a cluster has room for; the rules here
//! judge [`Cluster`]s as predicates and priorities judge nodes, and divide the replicas among those selected.
//!
//! # The cluster
//!
//! [`Cluster`] is what all of them read: name, labels, provider, region, zones, taints, served kinds, conditions, lag of the mirror, prices, nodes that its
//! autoscaler could add, and its deletion. The stored object is `podberth.io/v1` Cluster, `crates/wire` reads it; what the server knows
//! by itself (`Ready`, `Synced`, the lag) is filled in by the service. A cluster without an object is [`Cluster::named`]: nothing but a name,
//! and no rule rejects it for what nobody told, but for those that ask for it (a spread by region, an affinity).
//!
//! # Facts that are absent
//!
//! - No region, provider or zone: it takes part in no spread by them.
//! - No list of kinds ([`Apis::Untold`]): every kind is taken for served.
//! - No condition of a type: it is not held against the cluster.
//! - No price: it is the dearest. No node templates: it cannot grow.
//!
//! Source: `karmada/pkg/scheduler/core`, `karmada/pkg/scheduler/framework/plugins`, `karmada/pkg/util/helper/binding.go`.

mod cluster;
pub mod failover;

pub use cluster::{Apis, Cluster, Condition, Cost, NodeTemplate};
