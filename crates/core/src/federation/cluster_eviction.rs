//! # Rule
//! A cluster that is being left (`evicting`) gets nothing.
//!
//! # Source
//! `karmada/pkg/scheduler/framework/plugins/clustereviction/cluster_eviction.go`.
//!
//! # Reason text
//! `the workload is leaving the cluster`

use super::{Judged, Registration, predicate};

/// The registry's line.
pub(super) const REGISTRATION: Registration =
    predicate("ClusterEviction", include_str!("cluster_eviction.rs"), rejects);

fn rejects(judged: &Judged<'_>) -> Option<String> {
    let leaves = judged.request.evicting.contains(&judged.cluster.name);
    leaves.then(|| "the workload is leaving the cluster".to_owned())
}
