//! # Rule
//! Of the server's own clusters, one that is not `Ready`, or whose mirror is further behind than `maxLag` allows, gets nothing new. Clusters of `previous` pass, and keep
//! what they have: a cluster that is away for a minute loses nothing. Clusters that come with the request (`clusterObjects`) are taken at their word:
//! as with Karmada only their taints count.
//!
//! # Source
//! Karmada has no such rule: there a controller taints clusters that are not ready (`karmada/pkg/controllers/cluster/cluster_controller.go`).
//!
//! # Reason text
//! `the cluster is not ready: …`, `its mirror is … s behind, more than …`

use super::{Judged, Registration, predicate};

/// The registry's line.
pub(super) const REGISTRATION: Registration = predicate("ClusterReady", include_str!("cluster_ready.rs"), rejects);

fn rejects(judged: &Judged<'_>) -> Option<String> {
    let (live, cluster) = (judged.request.live?, judged.cluster);
    if judged.was_chosen() {
        return None;
    }
    for kind in ["Ready", "Synced"] {
        if !cluster.may_be(kind) {
            let why = cluster.condition(kind).map_or("", |condition| &condition.message);
            let what = if kind == "Ready" { "ready" } else { "in step with its source" };
            return Some(format!("the cluster is not {what}: {why}").trim_end_matches([':', ' ']).to_owned());
        }
    }
    let lag = cluster.lag.filter(|lag| *lag > live.max_lag)?;
    let seconds = |nanoseconds: i64| nanoseconds / 1_000_000_000;
    Some(format!("its mirror is {} s behind, more than {} s", seconds(lag), seconds(live.max_lag)))
}
