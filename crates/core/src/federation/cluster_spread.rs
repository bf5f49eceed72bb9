//! # Rule
//! A cluster that is to be spread by provider, region, zone or a label has to have one.
//!
//! The selection does the rest: by cluster it takes `maxGroups` clusters, by region or by a label a set of the regions, or of the label's values. Of providers
//! and zones it makes no groups. With `maxSkew` no selected group gets more than so many replicas more than another, and as many groups are selected as
//! `maxGroups` allows. Where Karmada does otherwise: its spread by label has no effect, and with static weights it has none by cluster and region either.
//!
//! # Source
//! `karmada/pkg/scheduler/framework/plugins/spreadconstraint/spread_constraint.go`.
//!
//! # Reason text
//! `the cluster has no region`, `… no provider`, `… no zone`, `… no label …`

use super::{Judged, Registration, SpreadBy, predicate};

/// The registry's line.
pub(super) const REGISTRATION: Registration = predicate("ClusterSpread", include_str!("cluster_spread.rs"), rejects);

fn rejects(judged: &Judged<'_>) -> Option<String> {
    let missing = judged.request.spread.iter().find(|spread| !spread.by.is_known_of(judged.cluster))?;
    Some(match &missing.by {
        SpreadBy::Region => "the cluster has no region".to_owned(),
        SpreadBy::Zone => "the cluster has no zone".to_owned(),
        SpreadBy::Label(key) => format!("the cluster has no label {key}"),
        SpreadBy::Cluster | SpreadBy::Provider => "the cluster has no provider".to_owned(),
    })
}
