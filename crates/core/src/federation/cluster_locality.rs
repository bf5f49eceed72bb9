//! # Rule
//! Stay where you are: 100 for a cluster of `previous`, also with 0 replicas, else 0. By default it alone orders the clusters, then their room.
//!
//! # Source
//! `karmada/pkg/scheduler/framework/plugins/clusterlocality/cluster_locality.go`.

use super::{Candidate, MAX_CLUSTER_SCORE, Registration, Request, priority};

/// Its name.
pub(super) const NAME: &str = "ClusterLocality";

/// The registry's line.
pub(super) const REGISTRATION: Registration = priority(NAME, include_str!("cluster_locality.rs"), score);

fn score(request: &Request, candidates: &[&Candidate]) -> Vec<i64> {
    let score = |of: &&Candidate| request.previous_of(&of.cluster.name).map_or(0, |_| MAX_CLUSTER_SCORE);
    candidates.iter().map(score).collect()
}
