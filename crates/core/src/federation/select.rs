//! Selection: which of the clusters that pass the filter take part in the division.
//!
//! Source: `karmada/pkg/scheduler/core/spreadconstraint/select_clusters.go`, `…/select_clusters_by_cluster.go`.

use super::{Division, Reason, Request, Spread, groups, selected::Selected};
use crate::work;

/// The clusters that take part, in order.
///
/// # Errors
/// The constraint that cannot be met.
pub(super) fn select<'a>(request: &Request, clusters: Vec<Selected<'a>>) -> Result<Vec<Selected<'a>>, Reason> {
    match (request.by_group(), request.by_cluster()) {
        (Some(by_group), by_cluster) => groups::select(request, by_group, by_cluster, clusters),
        (None, Some(by_cluster)) => by_clusters(request, by_cluster, clusters),
        (None, None) => Ok(clusters),
    }
}

/// The first `max` clusters. Where they are too small, the last ones are exchanged for larger ones.
fn by_clusters<'a>(
    request: &Request,
    spread: &Spread,
    mut clusters: Vec<Selected<'a>>,
) -> Result<Vec<Selected<'a>>, Reason> {
    if clusters.len() < spread.min {
        return Err(Reason::TooFewClusters);
    }
    let count = clusters.len().min(spread.max.unwrap_or(usize::MAX));
    let mut rest = clusters.split_off(count);
    if matches!(request.division, Division::Duplicated | Division::Static(_)) {
        return Ok(clusters);
    }
    let is_enough = |clusters: &[Selected<'_>]| {
        work::spend(clusters.len() as u64);
        clusters.iter().map(Selected::holds).sum::<i64>() >= request.replicas
    };
    for at in (0..clusters.len()).rev() {
        if is_enough(&clusters) {
            break;
        }
        work::spend(rest.len() as u64);
        let mut largest = None;
        for (index, one) in rest.iter().enumerate() {
            let than = largest.map_or(clusters[at].holds(), |largest: usize| rest[largest].holds());
            if one.holds() > than {
                largest = Some(index);
            }
        }
        if let Some(largest) = largest {
            std::mem::swap(&mut clusters[at], &mut rest[largest]);
        }
    }
    if is_enough(&clusters) || request.partial { Ok(clusters) } else { Err(Reason::InsufficientReplicas) }
}
