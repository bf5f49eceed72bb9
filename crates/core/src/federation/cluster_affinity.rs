//! # Rule
//! A cluster has to meet `clusters` of the request: its labels (`selector`), its provider, region and zones (`fields`), its name (`names`), and it is not
//! one of `exclude`. All given parts hold together. With several terms (`clusters.affinities`) the term that is tried counts, with its groups for the overflow.
//!
//! # Source
//! `karmada/pkg/scheduler/framework/plugins/clusteraffinity/cluster_affinity.go`, `karmada/pkg/util/selector.go` (`ClusterMatches`).
//!
//! # Reason text
//! `the cluster does not match the affinity`

use super::{Judged, Registration, predicate};

/// The registry's line.
pub(super) const REGISTRATION: Registration =
    predicate("ClusterAffinity", include_str!("cluster_affinity.rs"), rejects);

fn rejects(judged: &Judged<'_>) -> Option<String> {
    let matches = judged.scope.tier(judged.cluster).is_some();
    (!matches).then(|| "the cluster does not match the affinity".to_owned())
}
