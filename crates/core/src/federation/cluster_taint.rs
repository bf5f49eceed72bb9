//! # Rule
//! A taint of the cluster with the effect `NoSchedule` or `NoExecute` has to be tolerated (`clusters.tolerations`). `tolerationSeconds` does not matter here. Clusters
//! of `previous` pass.
//!
//! # Source
//! `karmada/pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go`.
//!
//! # Reason text
//! `the cluster has the untolerated taint {…}`

use super::{Judged, Registration, predicate};
use crate::model::{Effect, first_untolerated};

/// The registry's line.
pub(super) const REGISTRATION: Registration = predicate("ClusterTaint", include_str!("cluster_taint.rs"), rejects);

fn rejects(judged: &Judged<'_>) -> Option<String> {
    if judged.was_chosen() {
        return None;
    }
    let counts = |effect| effect != Effect::PreferNoSchedule;
    let taint = first_untolerated(&judged.cluster.taints, &judged.request.tolerations, counts)?;
    Some(format!("the cluster has the untolerated taint {{{taint}}}"))
}
